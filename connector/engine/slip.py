"""The monthly slip of a CSCom: its figures, what was sent and accepted, who is missing, who approved.

One per org unit of the highest level a data set of the pack is entered at; what lies below is added up, as DHIS2 does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from connector import periods
from connector.engine import tally
from connector.engine.completeness import completeness
from connector.engine.engine import Engine
from connector.engine.keys import block_key
from connector.engine.places import OrgUnits
from connector.mappings.pack import DataSet

#: Columns of the CSV. ``row``: figure | missing (a reporter).
COLUMNS = (
    "row", "period", "slip", "slip_name", "org_unit", "org_unit_name", "data_set", "indicator", "indicator_name",
    "part", "categories", "data_element", "combo", "value", "sent", "accepted", "small", "state", "reason", "reporter",
    "approved_by", "approved_at",
)  # fmt: skip


def slip_units(engine: Engine) -> list[str]:
    """Org units that have a slip, in order of their codes."""
    levels = {one.level for one in engine.pack.data_sets.values()}
    places = OrgUnits(engine.pack)
    depths: dict[str, int] = {}
    for row in engine.pack.org_units:
        if row.level in levels:
            depths[row.level] = min(depths.get(row.level, 99), len(places.chain(row.org_unit, row.valid_from)))
    top = min(depths, key=lambda level: (depths[level], level), default="")
    return sorted({row.org_unit for row in engine.pack.org_units if row.level == top})


def slips(engine: Engine, period: str, org_unit: str | None = None) -> Iterator[dict[str, Any]]:
    """Slips of a period, one at a time: of every unit that has one, or of the unit given alone. Raises ValueError for a
    period that is none."""
    kind = periods.period_type(period)
    sets = [one for one in engine.pack.data_sets.values() if one.period_type == kind]
    places = OrgUnits(engine.pack)
    for code in [org_unit] if org_unit else slip_units(engine):
        yield _slip(engine, places, sets, period, code)


def _slip(engine: Engine, places: OrgUnits, sets: Sequence[DataSet], period: str, code: str) -> dict[str, Any]:
    within = places.below(code)
    reporting = {one["data_set"]: one for one in completeness(engine, period, org_unit=code)["data_sets"]}
    found = []
    for data_set in sets:
        cells, approvals = engine.store.read(
            lambda unit, ds=data_set: (_cells(engine, unit, ds, period, within), _approvals(unit, ds, period, within))
        )
        told = reporting.get(data_set.id)
        if not cells and not (told and told["expected"]):
            continue
        found.append(
            {
                "data_set": data_set.id,
                "name": dict(data_set.name),
                "figures": _added_up(cells),
                "cells": cells,
                "reporters": None
                if told is None
                else {k: told[k] for k in ("expected", "reported", "on_time", "late", "missing", "deadline")},
                "missing": _missing(told),
                "completion": told["completion"] if told else {},
                "release": data_set.release is not None,
                "approvals": approvals,
            }
        )
    return {"period": period, "org_unit": code, "now": engine.now(), "data_sets": found}


def _missing(told: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return [{**m, "org_unit": u["org_unit"]} for u in (told["units"] if told else ()) for m in u["missing"]]


def _cells(engine: Engine, unit: Any, data_set: DataSet, period: str, within: set[str]) -> list[dict[str, Any]]:
    config = engine.target_of("dhis2")
    vanished = config.vanished if config else "zero"
    cells = []
    for org_unit in unit.units_of(data_set.id, period):
        if org_unit not in within:
            continue
        rows = unit.cells((data_set.id, org_unit, period))
        ids = [r["id"] for r in rows]
        sent, last = unit.values_once_sent(ids), unit.last_sent(ids)
        block = unit.delivery(config.name, block_key((data_set.id, org_unit, period))) if config else None
        waits = block["reason"] if block and block["state"] not in ("accepted", "leased") else None
        for row in rows:
            value = tally.wanted_value(engine.pack, row, vanished, row["id"] in sent)
            if value is None:
                continue
            left = last.get(row["id"])
            cells.append(
                {
                    **{k: row[k] for k in ("org_unit", "indicator", "part", "categories", "data_element", "combo")},
                    "value": value,
                    "sent": None if left is None else left["value"] or "",
                    "accepted": row["accepted"],
                    "small": engine.pack.is_small(row["indicator"], value),
                    "state": row["state"],
                    "reason": row["reason"] or (waits if value != row["accepted"] else None),
                }
            )
    return cells


def _approvals(unit: Any, data_set: DataSet, period: str, within: set[str]) -> list[dict[str, Any]]:
    rows = [r for r in unit.approvals(period) if r["data_set"] == data_set.id and r["org_unit"] in within]
    return [{"org_unit": r["org_unit"], "by": r["by"], "at": r["at"], "figures": r["digest"]} for r in rows]


def _added_up(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One line per indicator and part, in the order of the pack's codes: all units and categories together."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for cell in cells:
        line = lines.setdefault(
            (cell["indicator"], cell["part"]),
            {
                "indicator": cell["indicator"],
                "part": cell["part"],
                "data_element": cell["data_element"],
                "value": Decimal(0),
                "sent": None,
                "accepted": None,
                "units": set(),
                "small": 0,
                "waiting": 0,
                "reasons": set(),
            },
        )
        line["value"] += Decimal(cell["value"] or 0)
        for name in ("sent", "accepted"):
            if cell[name] is not None:
                line[name] = (line[name] or Decimal(0)) + Decimal(cell[name] or 0)
        line["units"].add(cell["org_unit"])
        line["small"] += cell["small"]
        if cell["value"] != cell["accepted"]:
            line["waiting"] += 1
        if cell["reason"]:
            line["reasons"].add(cell["reason"])
    return [
        {
            **line,
            **{n: None if line[n] is None else format(line[n].normalize(), "f") for n in ("value", "sent", "accepted")},
            "units": len(line["units"]),
            "reasons": sorted(line["reasons"]),
        }
        for _, line in sorted(lines.items())
    ]


def csv_rows(engine: Engine, slip: Mapping[str, Any], language: str) -> Iterator[dict[str, Any]]:
    """The lines of the CSV: every figure with its categories, then who is missing."""
    pack = engine.pack
    names = {row.org_unit: row.name for row in pack.org_units}
    base = {"period": slip["period"], "slip": slip["org_unit"], "slip_name": names.get(slip["org_unit"], "")}
    for one in slip["data_sets"]:
        approved = {a["org_unit"]: a for a in one["approvals"]}
        for cell in one["cells"]:
            indicator = pack.indicators.get(cell["indicator"])
            mark = approved.get(cell["org_unit"], {})
            name = indicator.name.get(language) or next(iter(indicator.name.values()), "") if indicator else ""
            yield {
                **base,
                **cell,
                "row": "figure",
                "org_unit_name": names.get(cell["org_unit"], ""),
                "data_set": one["data_set"],
                "indicator_name": name,
                "small": "1" if cell["small"] else "",
                "approved_by": mark.get("by"),
                "approved_at": mark.get("at"),
            }
        for gone in one["missing"]:
            unit = gone["org_unit"]
            yield {**base, "row": "missing", "org_unit": unit, "org_unit_name": names.get(unit, ""),
                   "data_set": one["data_set"], "reporter": gone["reporter"]}  # fmt: skip


__all__ = ["COLUMNS", "csv_rows", "slip_units", "slips"]
