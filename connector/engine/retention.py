"""Retention: the text of a record, then what it said, are forgotten; the figures and how they came about stay.

A body goes 90 days after the last accepted delivery of its record, an activity after 24 months (``retention`` of the
pack). Never of a record that anything waits for. What stays: contributions, cells, digests, attempts without answers,
the audit, and of an activity its place, worker, date, form and version, so that a figure is still explained by places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connector.engine import audit
from connector.engine.engine import Engine, stamp
from connector.errors import ConfigError
from connector.identity import digest

BODY = "90d"
ACTIVITY = "24 months"

#: Records in one transaction.
CHUNK = 100

_SPAN = re.compile(r"\s*(\d{1,4})\s*(d|days?|months?|years?)\s*")


def before(text: str, today: date) -> date:
    """The day so long before today. Raises ConfigError for what is no span of days, months or years."""
    found = _SPAN.fullmatch(str(text))
    if found is None:
        raise ConfigError(
            f"retention: {text!r} is no span such as 90d, 24 months or 2 years. Nothing was purged. Mend "
            "connector.yaml.",
            french=f"retention : « {text} » n'est pas une durée comme 90d, 24 months ou 2 years. Rien n'a été purgé. "
            "Corrigez connector.yaml.",
        )
    count, unit = int(found[1]), found[2][0]
    if unit == "d":
        return today - timedelta(days=count)
    months = today.year * 12 + today.month - 1 - count * (12 if unit == "y" else 1)
    year, month = divmod(months, 12)
    return date(max(year, 1), month + 1, min(today.day, 28))


def cuts(engine: Engine) -> tuple[str, str]:
    """(moment before which a record must have been settled, day before which an activity must have been)."""
    zone = ZoneInfo(engine.pack.zone)
    today = engine.clock.now().astimezone(zone).date()
    body = before(engine.pack.retention.get("body", BODY), today)
    activity = before(engine.pack.retention.get("activity", ACTIVITY), today)
    return stamp(datetime(body.year, body.month, body.day, tzinfo=zone)), activity.isoformat()


def purge(engine: Engine, *, dry_run: bool = False) -> dict[str, Any]:
    """Forget what is old enough, chunk by chunk; interrupted, it goes on where it stopped. Returns counts of records,
    bodies, answers, activities, requests and data keys, and ``waiting``: old enough, but something waits for them."""
    cut, day = cuts(engine)
    totals = {"records": 0, "bodies": 0, "answers": 0, "activities": 0, "requests": 0, "keys": 0}
    told = {"body_before": cut, "activity_before": day, "dry_run": dry_run}
    for rows in _pages(engine, lambda unit, after: unit.bodies_to_purge(cut, after, CHUNK)):
        totals["records"] += len(rows)
        if not dry_run:
            _add(totals, engine.store.write(lambda unit, r=rows: _bodies(engine, unit, r)))
    for rows in _pages(engine, lambda unit, after: unit.activities_to_purge(day, after, CHUNK)):
        if dry_run:
            totals["activities"] += len(rows)
        else:
            _add(totals, engine.store.write(lambda unit, r=rows: _activities(engine, unit, r)))
    if not dry_run:
        idle = engine.store.read(lambda unit: unit.idle_keys("body", cut[:7]))
        totals["keys"] = engine.store.write(lambda unit: _keys(engine, unit, idle))
    waiting = engine.store.read(lambda unit: unit.old_and_waiting(cut))
    return {**totals, "waiting": waiting, **told}


def _pages(engine: Engine, page: Callable[[Any, int], list[dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
    after = 0
    while rows := engine.store.read(lambda unit, a=after: page(unit, a)):
        after = rows[-1]["id"]
        engine.progress("purge", len(rows))
        yield rows


def _add(totals: dict[str, int], counts: dict[str, int]) -> None:
    for name, count in counts.items():
        totals[name] += count


def _still(unit: Any, rows: list[dict[str, Any]], fresh: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the page that may still go: an edit may have come in since it was read."""
    known = {row["record"] for row in fresh}
    return [row for row in rows if row["record"] in known]


def _bodies(engine: Engine, unit: Any, rows: list[dict[str, Any]]) -> dict[str, int]:
    cut, _ = cuts(engine)
    rows = _still(unit, rows, unit.bodies_to_purge(cut, rows[0]["id"] - 1, CHUNK))
    counts: dict[str, int] = unit.purge_bodies(rows, engine.now())
    _told(engine, unit, "bodies", rows, counts)
    return counts


def _activities(engine: Engine, unit: Any, rows: list[dict[str, Any]]) -> dict[str, int]:
    _, day = cuts(engine)
    rows = _still(unit, rows, unit.activities_to_purge(day, rows[0]["id"] - 1, CHUNK))
    counts = {"activities": unit.purge_activities(rows), "requests": 0, "answers": 0}
    for row in rows:
        counts["requests"] += shorten(unit, row["record"])
        counts["answers"] += unit.forget_answer(row["record"])
    _told(engine, unit, "activities", rows, counts)
    return counts


def shorten(unit: Any, record: str) -> int:
    """Of a request about a person only what is needed to take it back one day: number, date, place, ids."""
    count = 0
    for row in unit.payloads(record, ("referral", "answer")):
        payload = unit.open("delivery", row["payload_enc"])
        kept = {name: payload[name] for name in ("number", "date", "to", "_id", "deleted") if name in payload}
        if (payload.get("encounter") or {}).get("id"):
            kept["encounter"] = {"id": payload["encounter"]["id"]}
        unit.replace_payload(row["id"], unit.seal("delivery", kept))
        count += 1
    for row in unit.payloads(record, ("event",)):
        unit.replace_payload(row["id"], None)  # to take it back its key is enough
        count += 1
    return count


def _told(engine: Engine, unit: Any, what: str, rows: list[dict[str, Any]], counts: dict[str, int]) -> None:
    if rows:
        detail = {"what": what, "records": len(rows), "keys": digest([r["record"] for r in rows]), **counts}
        audit.record(unit, at=engine.now(), event="records.purged", subject=engine.pack.id, detail=detail)


def _keys(engine: Engine, unit: Any, idle: list[str]) -> int:
    """A month whose bodies are all gone needs no key: without it what a disk still holds of them is noise."""
    for key in idle:
        unit.destroy_key(key)
    if idle:
        audit.record(unit, at=engine.now(), event="key.destroyed", subject=engine.pack.id, detail={"keys": idle})
    return len(idle)
