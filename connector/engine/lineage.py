"""Why is this number what it is, and what became of this record? The documents of ``explain`` and ``trace``.

``explain``: a value down to its records, its rule, its attempts and what was sent when. ``trace``: a record
forwards to its facts, cells, resources and deliveries. Both read only; personal facts are masked unless asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from connector import periods
from connector.engine import left_out, proof, resources, restoring, rules
from connector.engine.contributing import SEEN_TEXT
from connector.engine.engine import Engine
from connector.engine.mapping import read_flags
from connector.engine.release import approved_figures
from connector.engine.tally import parse_categories, rule_of, wanted_value
from connector.mappings import people
from connector.mappings.codec import activity_from
from connector.mappings.concepts import IMPLAUSIBLE
from connector.mappings.pack import Indicator
from connector.model import Activity

#: Records shown at once.
PAGE = 10

#: Sendings of each value told with a record, the newest first.
SENDS = 5

#: Workers shown with what each counted.
WORKERS = 100

#: Facts that may say who somebody is; shown only to a role that may see them.
PERSONAL = {"name", "family", "given", "phone", "birth_date", "born", "note", "lmp_date", "advice"}


def explain(
    engine: Engine,
    data_element: str,
    org_unit: str,
    period: str,
    combo: str = "default",
    after: str | None = None,
    *,
    why_not: bool = False,
) -> dict[str, Any] | None:
    """The lineage of one DHIS2 value; None when nothing was ever counted there. ``why_not``: also what of the same
    place and period does not count for the indicator, which takes a look at every record there is."""
    result: dict[str, Any] | None = engine.store.read(
        lambda unit: _explain(engine, unit, data_element, org_unit, period, combo, after or "", why_not)
    )
    return result


def _explain(
    engine: Engine, unit: Any, element: str, org_unit: str, period: str, combo: str, after: str, why_not: bool
) -> dict[str, Any] | None:
    cell = unit.cell_at(element, org_unit, period, combo)
    if cell is None:
        return None
    indicator = engine.pack.indicators.get(cell["indicator"])
    records = unit.contributors(cell, after, PAGE + 1)
    shown, more = records[:PAGE], len(records) > PAGE
    made_of = unit.records_of_episodes([r["record"] for r in shown if r["record"].startswith("episode/")])
    config = engine.target_of("dhis2")
    block = unit.delivery(config.name, f"block/{cell['data_set']}/{org_unit}/{period}") if config else None
    attempts = unit.attempts(block["id"]) if block else []
    answers = {one["id"]: one for one in attempts}
    sends = unit.sends(cell["id"])
    return {
        "value": {
            "cell": cell["id"],
            "data_element": element,
            "combo": combo,
            "org_unit": org_unit,
            "period": period,
            "data_set": cell["data_set"],
            "name": dict(indicator.name) if indicator else {},
            "current": cell["value"],
            "wanted": wanted(engine, unit, cell),
            "accepted": cell["accepted"],
            "accepted_at": cell["accepted_at"],
            "there": cell["there"],
            "state": cell["state"],
            "reason": cell["reason"],
            "categories": dict(parse_categories(cell["categories"])),
            "records": cell["records"],
            "small": engine.pack.is_small(cell["indicator"], cell["value"]),
            "approval": _approval(unit, cell),
        },
        "rule": _rule(unit, indicator, cell),
        "led": _led(indicator, unit.sums(cell), cell),
        "records": [
            {
                "record": r["record"],
                "date": r["date"],
                "place": r["place"],
                "worker": r["worker"],
                "form": r["form"],
                "mapping": r["mapping"],
                "amount": number(r["amount"]),
                "version": r["version"],
                "purged": r["purged"],
                "made_of": made_of.get(r["record"], []),
            }
            for r in shown
        ],
        "left": [{"record": r["record"], "state": r["state"] or "gone"} for r in unit.records_gone(cell, PAGE)],
        "next": shown[-1]["record"] if more else None,
        "workers": [{**w, "amount": number(w["amount"])} for w in unit.workers_of_cell(cell, WORKERS)],
        "sends": [
            {
                "at": s["at"],
                "value": s["value"],
                "verdict": s["verdict"],
                "reason": s["reason"],
                "attempt": s["attempt"],
                "answered_at": answers.get(s["attempt"], {}).get("ended"),
                "http_status": answers.get(s["attempt"], {}).get("http_status"),
            }
            for s in sends
        ],
        "attempts": attempts,
        "delivery": {
            "id": block["id"],
            "state": block["state"],
            "reason": block["reason"],
            "generation": block["generation"],
        }
        if block
        else None,
        "proof": proof.of_cell(engine, unit, cell, sends),
        "not_counted": left_out.reasons(engine, unit, cell, indicator, PERSONAL) if why_not and indicator else [],
    }


def wanted(engine: Engine, unit: Any, cell: dict[str, Any]) -> str | None:
    """What DHIS2 should hold of a cell: its value; where nothing counts any more what ``vanished`` says."""
    config = engine.target_of("dhis2")
    sent = cell["id"] in unit.values_once_sent([cell["id"]])
    return wanted_value(engine.pack, cell, config.vanished if config else "zero", sent)


def uncounted(
    engine: Engine, element: str, org_unit: str, period: str, combo: str, *, why_not: bool = True
) -> dict[str, Any]:
    """Why nothing was ever counted at an address. ``value``: None; ``unknown``: what of it the pack does not know
    (data_element | combo | org_unit | period), else None; ``not_counted`` as that of ``explain``. Without ``why_not``
    only whether there is something to tell (``more``)."""
    indicator, part, unknown = _part_of(engine, element, combo)
    codes = {code for row in engine.pack.org_units for code in (row.org_unit, row.parent)}
    if unknown is None and org_unit not in codes:
        unknown = "org_unit"
    try:
        periods.bounds(period)
    except ValueError:
        unknown = unknown or "period"
    result: dict[str, Any] = {"value": None, "unknown": unknown, "not_counted": []}
    if not why_not:
        result["more"] = False
    if unknown is None and indicator is not None:
        there = {"indicator": indicator.id, "part": part, "org_unit": org_unit, "period": period}
        if why_not:
            result["not_counted"] = engine.store.read(
                lambda unit: left_out.reasons(engine, unit, there, indicator, PERSONAL)
            )
        else:
            result["more"] = engine.store.read(lambda unit: left_out.some(engine, unit, there, indicator))
    return result


def _part_of(engine: Engine, element: str, combo: str) -> tuple[Indicator | None, str, str | None]:
    """The indicator and part sent under a name, and which of its two codes no cell has."""
    pack = engine.pack
    for one in pack.indicators.values():
        if element in one.elements.values():
            for id, part, _, address in restoring.addresses(pack, one.data_set):
                if address == (element, combo):
                    return pack.indicators[id], part, None
            return None, "", "combo"
    return None, "", "data_element"


def near(engine: Engine, element: str, org_unit: str, period: str) -> list[tuple[str, str]]:
    """What was counted in that place and period under this data element, or for the indicator of this id: data element
    and option combination. For who asked for what is not there."""
    rows = engine.store.read(
        lambda unit: unit.cells_where(
            "(data_element=:e OR indicator=:e) AND org_unit=:o AND period=:p", e=element, o=org_unit, p=period
        )
    )
    return sorted({(row["data_element"], row["combo"]) for row in rows})


def explain_delivery(engine: Engine, target: str, key: str, unmask: bool = False) -> dict[str, Any] | None:
    """What is wanted under a key at any target, down to its record: ``delivery``, ``record`` (the document of
    ``trace``, or None), ``attempts`` with each answer, ``proof``. None when nothing was ever wanted there."""
    result: dict[str, Any] | None = engine.store.read(lambda unit: _explain_delivery(engine, unit, target, key, unmask))
    return result


#: What of a delivery's row is told.
_DELIVERY = (
    "id", "target", "key", "kind", "state", "reason", "who", "generation", "tries", "wanted_at", "due_at",
    "accepted_at", "digest", "accepted_digest", "note", "note_by",
)  # fmt: skip


def _explain_delivery(engine: Engine, unit: Any, target: str, key: str, unmask: bool) -> dict[str, Any] | None:
    row = unit.delivery(target, key)
    if row is None:
        return None
    attempts = unit.attempts(row["id"])
    return {
        "delivery": {name: row[name] for name in _DELIVERY},
        "record": _trace(engine, unit, row["record"], unmask) if row["record"] else None,
        "attempts": attempts,
        "proof": proof.of_delivery(engine, unit, attempts),
    }


def _approval(unit: Any, cell: dict[str, Any]) -> dict[str, Any] | None:
    """What was approved of this value last, when and by whom."""
    row = unit.approval_of((cell["data_set"], cell["org_unit"], cell["period"]))
    return {"by": row["by"], "at": row["at"], "value": approved_figures(row).get(str(cell["id"]))} if row else None


def number(value: Any) -> str:
    """An amount without the noughts that the database adds."""
    text = str(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _rule(unit: Any, indicator: Any, cell: dict[str, Any]) -> dict[str, Any]:
    """The rule as it is now, since when it is, and whether the figure was counted by this version of it."""
    if indicator is None:
        return {"indicator": cell["indicator"], "part": cell["part"], "where": None, "counted_by": cell["version"]}
    predicate = indicator.parts.get(cell["part"])
    rule = rule_of(indicator, cell["part"])
    return {
        "indicator": indicator.id,
        "part": cell["part"],
        "counts": list(rule.counts),
        "aggregate": rule.aggregate,
        "each": rule.each,
        "distinct": rule.distinct,
        "distinct_at_least": rule.at_least,
        "among": rule.among.source if rule.among else None,
        "words": {language: text for language, text in indicator.definition.items() if text},
        "where": predicate.source if predicate else None,
        "file": indicator.at.file if indicator.at else None,
        "line": indicator.at.line if indicator.at else None,
        "version": indicator.version,
        "since": rules.since(unit, indicator),
        "counted_by": cell["version"],
    }


def _led(indicator: Any, sums: list[dict[str, Any]], cell: dict[str, Any]) -> list[dict[str, Any]]:
    """Lines per place that add up to the figure; one line more for what is counted once."""
    aggregate = rule_of(indicator, cell["part"]).aggregate if indicator else "count"
    amounts = aggregate in ("sum", "first", "latest")
    lines = [{"label": r["place"] or "", "n": number(r["total"] if amounts else r["records"])} for r in sums]
    if aggregate in ("distinct", "first", "latest"):
        whole = sum((Decimal(str(r["total"] if amounts else r["records"])) for r in sums), Decimal(0))
        spare = whole - Decimal(cell["value"] or 0)
        if spare:
            lines.append({"label": "counted_once" if aggregate == "distinct" else "not_chosen", "n": number(-spare)})
    return lines


def trace(engine: Engine, record: str, unmask: bool = False) -> dict[str, Any] | None:
    """The way of one record (``source/stream/key``); None when it is unknown."""
    result: dict[str, Any] | None = engine.store.read(lambda unit: _trace(engine, unit, record, unmask))
    return result


def _trace(engine: Engine, unit: Any, record: str, unmask: bool) -> dict[str, Any] | None:
    head = unit.head(record)
    if head is None:
        return None
    row = unit.activity_row(record)
    activity = activity_from(unit.open("activity", row["activity_enc"])) if row and row["activity_enc"] else None
    deliveries = unit.deliveries_of_record(record)
    cells = []
    for contribution in unit.contributions([record, *unit.episodes_of_record(record)]):
        if contribution["categories"] == SEEN_TEXT:
            continue  # it stands in no cell: a later or earlier report counts
        cell = unit.cell_of(contribution) or {}
        cells.append(
            {
                **{k: contribution[k] for k in ("indicator", "part", "org_unit", "period")},
                "by_way_of": contribution["record"] if contribution["record"] != record else None,
                "categories": dict(parse_categories(contribution["categories"])),
                "amount": number(contribution["amount"]),
                "data_element": cell.get("data_element"),
                "combo": cell.get("combo"),
                "value": cell.get("value"),
                "accepted": cell.get("accepted"),
                "sends": [
                    {k: s[k] for k in ("at", "value", "verdict", "reason")} for s in unit.sends(cell["id"])[:SENDS]
                ]
                if cell
                else [],
                "state": cell.get("state"),
            }
        )
    referral = unit.referral(record)
    return {
        "record": {
            "id": record,
            "source": head["source"],
            "stream": head["stream"],
            "key": head["key"],
            "form": head["form"],
            "revision": head["revision"],
            "state": head["state"],
            "received_at": head["received_at"],
            "first_received": head["first_received"],
            "deleted": bool(head["deleted"]),
            "purged": head["purged"],
            "date": row["date"] if row else None,
            "place": row["place"] if row else None,
            "worker": row["worker"] if row else None,
            "org_unit": row["org_unit"] if row else None,
            "kind": row["kind"] if row else None,
        },
        "revisions": unit.revisions(head["source"], head["stream"], head["key"]),
        "mapping": {"file": row["mapping"], "version": row["version"], "form": row["form"]} if row else None,
        "facts": _facts(activity.facts, unmask) if activity else [],
        "derived": _derived(engine, unit, activity, unmask) if activity else [],
        "flags": [{"code": f.code, "fact": f.fact, "detail": f.detail} for f in activity.flags]
        if activity
        else read_flags(head["flags"]),  # of a person, a place; of what was purged
        "cells": cells,
        "resources": [{"key": d["key"], "state": d["state"]} for d in deliveries if d["kind"] == "resource"],
        "deliveries": [
            {
                "id": d["id"],
                "target": d["target"],
                "key": d["key"],
                "kind": d["kind"],
                "state": d["state"],
                "reason": d["reason"],
                "at": d["accepted_at"] or d["updated"],
            }
            for d in deliveries
            if d["kind"] != "resource"
        ],
        "quarantine": unit.quarantine_of(head["source"], head["stream"], head["key"]),
        "referral": None
        if referral is None
        else {k: referral[k] for k in ("state", "date", "urgent", "reason", "to_place", "answered_at")},
    }


def _facts(facts: Mapping[str, Any], unmask: bool) -> list[dict[str, Any]]:
    """Each fact, then those outside the plausible range of their concepts (``implausible``), which count nowhere."""
    said = [(name, value, False) for name, value in sorted(facts.items()) if name != IMPLAUSIBLE]
    said += [(name, value, True) for name, value in sorted(facts.get(IMPLAUSIBLE, {}).items())]
    return [
        {
            "name": name,
            "value": None if name in PERSONAL and not unmask else value,
            "masked": name in PERSONAL and not unmask,
            "implausible": implausible,
        }
        for name, value, implausible in said
    ]


def _derived(engine: Engine, unit: Any, activity: Activity, unmask: bool) -> list[dict[str, Any]]:
    """The facts worked out from those of the record and its person, as indicators see them now."""
    known = resources.people_of(unit, [activity])
    complete = people.complete(activity, known.get(f"{activity.source}/{activity.subject}"))
    behind = {k: v for k, v in engine.counter.facts(complete).items() if k not in activity.facts}
    return [
        {"name": k, "value": None if k in PERSONAL and not unmask else v, "masked": k in PERSONAL and not unmask}
        for k, v in sorted(behind.items())
    ]
