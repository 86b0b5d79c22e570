"""Counting: touched cells are counted again and become the wanted values of DHIS2 blocks.

Recount, never add: a cell's figure is one fixed GROUP BY over the contributions of records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from connector import periods
from connector.engine import audit, backfilling, deriving, release
from connector.engine.engine import Engine
from connector.engine.keys import block_key
from connector.identity import digest
from connector.mappings import fhir_sharing, indicators
from connector.mappings.pack import Indicator, Pack, PartRule
from connector.model import ADDRESS

#: Cells per transaction.
CHUNK = 500


def figure(rule: PartRule, row: Mapping[str, Any]) -> str | None:
    """The value of a recounted cell as DHIS2 text; None when no record contributes any more."""
    if not row["records"]:
        return None
    if rule.aggregate in ("first", "latest"):
        return _number(row[rule.aggregate]) if row[rule.aggregate] else None
    if rule.aggregate == "distinct":
        different = int(row["keys"] if rule.keyed else row["different"])
        return str(different) if different else None
    return _number(row["total"])  # of a count each amount is 1, but that of a register is as many as it found


def _number(total: Any) -> str:
    return format(Decimal(str(total)).normalize(), "f")


def rule_of(indicator: Indicator, part: str) -> PartRule:
    """The rule of a part; of one the indicator has no more, that of the part it has."""
    return indicator.rules.get(part) or next(iter(indicator.rules.values()))


def keyed(pack: Pack) -> list[str]:
    """Indicators of which all records of a person (or worker, place ...) are looked at together."""
    return [one.id for one in pack.indicators.values() if any(rule.keyed for rule in one.rules.values())]


def differing(engine: Engine, unit: Any, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells whose value is not what ``rows``, counted elsewhere, make of it (both as DHIS2 text, or None).

    ``rows``: of cells that have a contribution, as ``unit.recount`` gives them. What waits to be recounted differs.
    """
    found = []
    for row in rows:
        indicator = engine.pack.indicators.get(row["indicator"])
        if indicator is None:
            continue  # the indicator left the pack; its cells stay as they are
        value, cell = figure(rule_of(indicator, row["part"]), row), unit.cell_of(row) or {"value": None}
        if cell["value"] != value:
            found.append({**dict(zip(ADDRESS, _address(row), strict=True)), "value": cell["value"], "recounted": value})
    return found


def of_persons(pack: Pack) -> list[str]:
    """Parts (``indicator/part``) that count each person once: two ids of one person are one there."""
    parts = [(one.id, part, rule) for one in pack.indicators.values() for part, rule in one.rules.items()]
    return [f"{id}/{part}" for id, part, rule in parts if rule.distinct == "subject"]


def parse_categories(text: str) -> tuple[tuple[str, str], ...]:
    if not text:
        return ()
    return tuple((p.partition("=")[0], p.partition("=")[2]) for p in text.split(";"))


def wanted_value(pack: Pack, cell: Mapping[str, Any], vanished: str, sent: bool) -> str | None:
    """What the target should hold: a value, ``""`` for deleted there, or None for nothing of ours.

    A cell once sent is kept true for ever, down to zero or deletion; but one whose indicator left the pack is left as
    it is, here and there.
    """
    if cell["indicator"] not in pack.indicators:
        return None
    if cell["value"] is not None:
        return str(cell["value"])
    if cell["accepted"] is None and not sent:
        return None
    if cell["accepted"] == "":
        return ""
    return "0" if vanished == "zero" else ""


def tally(engine: Engine) -> dict[str, int]:
    """Recount every touched cell and want the blocks that changed. Returns counts: recounted, changed."""
    deriving.derive(engine)
    totals = {"recounted": 0, "changed": 0}
    while True:
        counts = engine.store.write(lambda unit: _chunk(engine, unit))
        if counts is None:
            return totals
        for name, count in counts.items():
            totals[name] += count
        engine.progress("tally", counts["recounted"])


def _chunk(engine: Engine, unit: Any) -> dict[str, int] | None:
    pack = engine.pack
    rows = unit.recount(CHUNK, keyed(pack), backfilling.waiting(unit), of_persons(pack))
    if not rows:
        return None
    now = engine.now()
    config = engine.target_of("dhis2")
    cells: list[dict[str, Any]] = []
    blocks: dict[tuple[str, str, str], None] = {}
    for row in rows:
        indicator = pack.indicators.get(row["indicator"])
        if indicator is None:
            continue  # the indicator left the pack; its cells stay as they are
        try:
            element, combo = indicators.element_and_combo(
                pack, row["indicator"], row["part"], parse_categories(row["categories"])
            )
        except KeyError:  # the pack has this part, category or option no more: it is called as it was
            gone = unit.cell_of(row)
            if gone is None:
                continue
            element, combo = gone["data_element"], gone["combo"]
        data_set = pack.data_sets[indicator.data_set]
        old = config is not None and not periods.not_before(row["period"], config.live_from)
        cells.append(
            {
                "indicator": row["indicator"],
                "part": row["part"],
                "org_unit": row["org_unit"],
                "period": row["period"],
                "categories": row["categories"],
                "data_set": data_set.id,
                "data_element": element,
                "combo": combo,
                "value": figure(rule_of(indicator, row["part"]), row),
                "records": int(row["records"]),
                "version": indicator.version,
                "state": "old" if old else "shadow" if config is not None and config.mode == "shadow" else "wanted",
                "now": now,
            }
        )
        blocks[(data_set.id, row["org_unit"], row["period"])] = None
    before = {block: {_address(c): c for c in unit.cells(block)} for block in blocks}
    changed = 0
    for cell in cells:
        known = before[(cell["data_set"], cell["org_unit"], cell["period"])].get(_address(cell))
        changed += known is None or known["value"] != cell["value"]
        if known is not None and known["state"] in ("held", "kept"):
            cell["state"] = known["state"]
        elif known is not None and _name(known) == _name(cell) and known["accepted"] == cell["value"] is not None:
            cell["state"] = "accepted"
    unit.keep_cells(cells)
    unit.untouch([{name: row[name] for name in ADDRESS} for row in rows])
    for block in blocks:
        want_block(engine, unit, block)
        want_report(engine, unit, block)
    audit.record(
        unit,
        at=now,
        event="cells.recounted",
        subject=pack.id,
        detail={"cells": len(cells), "changed": changed, "keys": digest([[*_address(c)] for c in cells])},
    )
    return {"recounted": len(rows), "changed": changed}


def _address(cell: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(cell[name] for name in ADDRESS)


def _name(cell: Mapping[str, Any]) -> tuple[str, str]:
    """What DHIS2 knows it as."""
    return (cell["data_element"], cell["combo"])


def want_block(engine: Engine, unit: Any, block: tuple[str, str, str], *, again: bool = False) -> None:
    """Want this (data set, org unit, period) block at DHIS2 as its cells say."""
    config = engine.target_of("dhis2")
    if config is None or not periods.not_before(block[2], config.live_from) or config.mode == "shadow":
        return
    cells = unit.cells(block)
    sent = unit.values_once_sent([c["id"] for c in cells])
    wanted = []
    for cell in cells:
        value = wanted_value(engine.pack, cell, config.vanished, cell["id"] in sent)
        if value is not None:
            wanted.append([cell["data_element"], cell["combo"], value])
    known = unit.delivery(config.name, block_key(block))
    if not wanted and known is None:
        return
    now = engine.now()
    payload, behind = block_payload(engine, unit, block_key(block)) if _asks_first(engine, block) else ({}, [])
    held_back = release.waits(engine, unit, block_key(block), payload.get("values", []), behind)
    unit.want(
        [
            {
                "target": config.name,
                "key": block_key(block),
                "kind": "block",
                "subject": "/".join(block[1:]),
                "digest": digest(sorted(wanted)),
                "state": "pending",
                "due_at": now,
                "now": now,
                "again": again,
                **(release.waiting_fields(engine, block_key(block)) if held_back else {}),
            }
        ]
    )


def _asks_first(engine: Engine, block: tuple[str, str, str]) -> bool:
    data_set = engine.pack.data_sets.get(block[0])
    return data_set is not None and data_set.release is not None


def block_payload(engine: Engine, unit: Any, key: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The values of a block that changed, or that the target may hold otherwise, and the cells behind them."""
    config = engine.target_of("dhis2")
    assert config is not None
    _, data_set, org_unit, period = key.split("/")
    cells = unit.cells((data_set, org_unit, period))
    sent = unit.values_once_sent([c["id"] for c in cells])
    doubtful = unit.values_in_doubt([c["id"] for c in cells])
    values, behind = [], []
    for cell in cells:
        wanted = wanted_value(engine.pack, cell, config.vanished, cell["id"] in sent)
        if wanted is None or cell["state"] == "kept":
            continue
        if wanted == cell["accepted"] and cell["id"] not in doubtful:
            continue
        before = sent.get(cell["id"], set())
        values.append(
            {
                "dataElement": cell["data_element"],
                "categoryOptionCombo": cell["combo"],
                "value": wanted or None,
                "neverSent": cell["accepted"] is None,
                "sentBefore": sorted(str(v) for v in before if v is not None),
                "released": cell["released"],
                "old": cell["accepted"] or None,
            }
        )
        behind.append(cell)
    first = unit.delivery_first(config.name, period)
    payload = {
        "dataSet": engine.pack.data_sets[data_set].code,
        "orgUnit": org_unit,
        "period": period,
        "attributeOptionCombo": "default",
        "first": first,
        "onExisting": config.on_existing,
        "values": values,
    }
    return payload, behind


def want_report(engine: Engine, unit: Any, block: tuple[str, str, str]) -> None:
    """The MeasureReport of a block for the FHIR server. Figures that wait for approval leave for no target: a report
    that is there stays as it was approved, and this is asked again once they may leave."""
    from connector.engine import resources

    config = engine.target_of("fhir_server")
    if config is None or "MeasureReport" not in fhir_sharing.types_of(config.settings):
        return
    asked = engine.target_of("dhis2")  # where it is sent nothing, nobody is asked: there is nothing to approve
    sent = asked is not None and asked.mode != "shadow" and periods.not_before(block[2], asked.live_from)
    if sent and _asks_first(engine, block):
        payload, behind = block_payload(engine, unit, block_key(block))
        if release.waits(engine, unit, block_key(block), payload["values"], behind):
            return
    cells = [
        (c["indicator"], c["part"], parse_categories(c["categories"]), c["value"])
        for c in unit.cells(block)
        if c["value"] is not None
    ]
    resource = engine.builder.measure_report(engine.pack.data_sets[block[0]], block[1], block[2], cells)
    if not cells:
        known = unit.delivery(config.name, resources.key_of(resource))
        if known is None:
            return
        row = {
            "target": config.name,
            "key": known["key"],
            "kind": "resource",
            "digest": "",
            "state": "pending",
            "due_at": engine.now(),
            "now": engine.now(),
        }
    else:
        row = resources.wanted_row(config.name, resource, None, digest(resource), engine.now())
        row["payload_enc"] = unit.seal("delivery", resource)
    unit.want([row])
