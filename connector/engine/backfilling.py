"""Mapping and counting history again, because a person asked for it.

What was asked is kept as a job. Each step marks a bounded number of its records, the newest first, and the run (or the
schedule) maps just those before it pulls, counts and delivers again, so that history holds up nothing that is
current. Marks and the place reached are written in one transaction: what is killed goes on where it was. Cells that a
job is about are not counted until it is done, so that no figure leaves half counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import orjson

from connector import periods
from connector.engine import audit
from connector.engine.engine import Engine
from connector.errors import TooManyOpen
from connector.identity import canonical

#: Records marked in one step; mapping them takes about a second.
STEP = 2000

#: Days looked at in one step: of one kind of record there may be few, among many of others.
DAYS = 7

#: Jobs that may stand open at once.
JOBS = 20

#: Keys of the facts that keep jobs.
_KEY = "history/"


def days(first: str, last: str) -> tuple[date, date]:
    """The first and the last day of a span of periods. Raises ValueError."""
    start, end = periods.bounds(first)[0], periods.bounds(last)[1]
    if end < start:
        raise ValueError(f"{last} is before {first}")
    return start, end


# ---------------------------------------------------------------- asking


def ask(
    engine: Engine,
    indicators: Sequence[str],
    first: str,
    last: str,
    by: str,
    seen: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Ask for the history of these indicators and periods to be mapped and counted again; who asked, for how many
    records and cells, and what was seen before (the counts of a rehearsal) is written to the audit trail. Returns the
    job.

    Raises ValueError for what is no period, KeyError for an indicator the pack has not, TooManyOpen.
    """
    start, end = days(first, last)
    chosen = [engine.pack.indicators[one] for one in indicators]
    kinds = sorted({kind for one in chosen for kind in one.counts})
    span = {"indicators": sorted(indicators), "periods": f"{first}..{last}"}

    def counts(unit: Any) -> dict[str, Any]:
        groups = unit.cell_groups()
        return {
            "records": unit.count_activities(kinds, start.isoformat(), end.isoformat()),
            "cells": sum(unit.count_cells(one.id, _within(groups, one.id, start, end)) for one in chosen),
        }

    place = {"kinds": kinds, "first": start.isoformat(), "day": end.isoformat(), "after": ""}
    job = {"what": "backfill", **span, **place, **engine.store.read(counts)}
    detail = {**span, "pack": engine.pack.version, "seen": dict(seen or {})}
    found: dict[str, Any] = engine.store.write(lambda unit: _keep_new(engine, unit, job, by, detail))
    return found


def ask_remap(
    engine: Engine, where: Mapping[str, str], by: str, seen: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Ask for quarantined records (``where``: source, code; all without) to be mapped again. Returns the job. Raises
    TooManyOpen."""
    records = engine.store.read(lambda unit: unit.count_quarantine(where))
    job = {"what": "remap", "where": dict(where), "after": 0, "records": records, "cells": None}
    detail = {**where, "pack": engine.pack.version, "seen": dict(seen or {})}
    found: dict[str, Any] = engine.store.write(lambda unit: _keep_new(engine, unit, job, by, detail))
    return found


def _keep_new(engine: Engine, unit: Any, job: dict[str, Any], by: str, detail: dict[str, Any]) -> dict[str, Any]:
    if len(_open(unit)) >= JOBS:
        raise TooManyOpen()
    number = int(unit.fact("histories") or 0) + 1
    unit.keep_fact("histories", str(number))
    job = {"id": number, "by": by, "at": engine.now(), "done": 0, **job}
    _keep(unit, job)
    counts = {"job": number, "records": job["records"], "cells": job["cells"]}
    event = f"person.{job['what']}"
    audit.record(unit, at=engine.now(), event=event, who=by, subject=engine.pack.id, detail={**counts, **detail})
    return job


def _keep(unit: Any, job: Mapping[str, Any]) -> None:
    unit.keep_fact(f"{_KEY}{job['id']:09d}", canonical(dict(job)).decode())


def _open(unit: Any) -> list[dict[str, Any]]:
    """Jobs that are not done, the oldest first."""
    return [orjson.loads(text) for _, text in sorted(unit.facts_like(_KEY).items())]


def standing(unit: Any) -> list[dict[str, Any]]:
    """How far each job is, for ``relais status``: ``id``, ``what``, ``by``, ``at``, ``records``, ``done`` and what it
    is about."""
    told = ("id", "what", "by", "at", "records", "done", "indicators", "periods", "where")
    return [{name: job[name] for name in told if name in job} for job in _open(unit)]


# ---------------------------------------------------------------- doing


def step(engine: Engine) -> int:
    """Mark the next records of the oldest job, at most ``STEP``, to be mapped by what follows. Returns how much moved:
    0 when no job is open."""

    def work(unit: Any) -> int:
        jobs = _open(unit)
        if not jobs:
            return 0
        job = jobs[0]
        records = _next_records(unit, job, STEP)
        unit.dirty_records(records)
        job["done"] += len(records)
        if _at_end(job, records):
            _finish(engine, unit, job)
        else:
            _keep(unit, job)
        engine.progress(job["what"], len(records))
        return max(1, len(records))

    return int(engine.store.write(work)) if engine.store.read(_open) else 0


def _next_records(unit: Any, job: dict[str, Any], limit: int) -> list[str]:
    """The records of a step; moves the job's place."""
    if job["what"] == "remap":
        rows = unit.quarantine_after(job["where"], job["after"], limit)
        job["after"] = rows[-1]["id"] if rows else None
        return [f"{r['source']}/{r['stream']}/{r['key']}" for r in rows]
    records: list[str] = []
    looked = 0
    while job["day"] is not None and len(records) < limit and looked < DAYS:
        found = unit.activities_of_day(job["kinds"], job["day"], job["after"], limit - len(records))
        records += found
        if found:
            job["after"] = found[-1]
            continue
        looked += 1
        before = unit.last_day_between(job["first"], (date.fromisoformat(job["day"]) - timedelta(days=1)).isoformat())
        job.update(day=before, after="")
    return records


def _at_end(job: Mapping[str, Any], records: Sequence[str]) -> bool:
    return (job["after"] is None or not records) if job["what"] == "remap" else job["day"] is None


def _finish(engine: Engine, unit: Any, job: Mapping[str, Any]) -> None:
    unit.drop_fact(f"{_KEY}{job['id']:09d}")
    if job["what"] == "backfill":
        start, end = days(*job["periods"].split(".."))
        for one in job["indicators"]:
            unit.touch_cells(one, _within(unit.cell_groups(), one, start, end))
    detail = {"job": job["id"], "records": job["done"]}
    audit.record(unit, at=engine.now(), event="history.done", subject=engine.pack.id, detail=detail)


def _within(groups: Sequence[tuple[str, str]], indicator: str, start: date, end: date) -> list[str]:
    """The periods of an indicator's cells that end within the span."""
    return [period for name, period in groups if name == indicator and start <= periods.bounds(period)[1] <= end]


def waiting(unit: Any) -> list[tuple[str, str]]:
    """Indicator and period of touched cells that are not counted yet: a job about them is not done."""
    jobs = [job for job in _open(unit) if job["what"] == "backfill"]
    if not jobs:
        return []
    found = []
    for indicator, period in unit.touched_groups():
        first, last = (day.isoformat() for day in periods.bounds(period))
        for job in jobs:
            end = periods.bounds(job["periods"].partition("..")[2])[1].isoformat()
            if indicator in job["indicators"] and first <= end and last >= job["first"]:
                found.append((indicator, period))
                break
    return found
