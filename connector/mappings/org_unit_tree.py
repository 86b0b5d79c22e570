"""The tree of org units as DHIS2 has it, beside ``org_units.csv``: lines for what the table lacks, and where the two
differ. Pure; ``relais org-units`` reads and writes.

What is there in the table is a person's and stays as it is: only lines are added, and each difference is told.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from connector.mappings.pack import OrgUnitRow

#: What is asked of each org unit (``/api/organisationUnits``).
FIELDS = "id,code,name,level,parent[id],openingDate,closedDate"
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Unit:
    """``parent``: code of the unit above, empty at the top or where it has none; ``level``: 1 at the top; ``opened``,
    ``closed``: ISO days, empty when not said."""

    code: str
    name: str
    level: int
    parent: str
    opened: str
    closed: str


@dataclass(frozen=True, slots=True)
class Difference:
    """``what``: closed (there, and open here) | moved (its parent is another) | renamed | absent (not in DHIS2)."""

    code: str
    what: str
    here: str
    there: str
    line: int


@dataclass(frozen=True, slots=True)
class Compared:
    """``lines``: cells of the lines to add, in the table's columns."""

    lines: Sequence[Sequence[str]] = ()
    differences: Sequence[Difference] = ()


def units_of(rows: Iterable[Mapping[str, Any]]) -> tuple[list[Unit], list[str]]:
    """The units with a code, from the top down, and the names of those without. ``rows``: as DHIS2 lists them with
    ``FIELDS``. ValueError when they are something else."""
    listed = list(rows)
    if not all(isinstance(row, Mapping) and isinstance(row.get("id"), str) for row in listed):
        raise ValueError("not a list of org units")
    by_id = {row["id"]: row for row in listed}
    found, without = [], []
    for row in listed:
        name, code = " ".join(str(row.get("name") or "").split()), str(row.get("code") or "").strip()
        if not code:
            without.append(name or row["id"])
            continue
        above = _above(row, by_id)
        level = row.get("level")
        found.append(
            Unit(
                code, name, level if isinstance(level, int) else 0, str(above.get("code") or "").strip(),
                _day(row.get("openingDate")), _day(row.get("closedDate")),
            )
        )  # fmt: skip
    return sorted(found, key=lambda unit: (unit.level, unit.code)), sorted(without)


def _above(row: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The unit above, or the next one above it that has a code."""
    for _ in by_id:  # no further, were one its own ancestor
        row = by_id.get(str((row.get("parent") or {}).get("id")), {})
        if not row or str(row.get("code") or "").strip():
            break
    return row


def _day(moment: Any) -> str:
    return found[0] if isinstance(moment, str) and (found := _DAY.match(moment)) else ""


def below(units: Sequence[Unit], code: str) -> list[Unit]:
    """The unit of this code and those under it. ``units``: from the top down."""
    kept: dict[str, Unit] = {}
    for unit in units:
        if unit.code == code or unit.parent in kept:
            kept[unit.code] = unit
    return list(kept.values())


def level_names(rows: Iterable[OrgUnitRow], units: Iterable[Unit], given: Mapping[int, str]) -> dict[int, str]:
    """What the pack calls each level of DHIS2: as ``given``, else as most lines of units that are in both call it, else
    ``level4``."""
    numbers = {unit.code: unit.level for unit in units}
    said: dict[int, Counter[str]] = {}
    for row in rows:
        if row.org_unit in numbers and row.level:
            said.setdefault(numbers[row.org_unit], Counter())[row.level] += 1
    found = {number: f"level{number}" for number in set(numbers.values())}
    found |= {number: names.most_common(1)[0][0] for number, names in said.items()}
    return found | dict(given)


def compare(
    rows: Sequence[OrgUnitRow], units: Sequence[Unit], levels: Mapping[int, str], source: str = "", root: str = ""
) -> Compared:
    """``rows``: of the pack; ``units``: all of DHIS2; ``root``: only lines for this unit and what lies under it.
    ``source``: lines for places that this source calls by the codes of DHIS2; without it the place is left empty, for a
    person to say."""
    there = {unit.code: unit for unit in units}
    here = {row.org_unit for row in rows}
    lines = [
        (source, unit.code if source else "", unit.code, levels[unit.level], unit.parent, unit.name, unit.opened,
         unit.closed)
        for unit in (below(units, root) if root else units)
        if unit.code not in here
    ]  # fmt: skip
    return Compared(lines, list(_differences(rows, there)))


def _differences(rows: Sequence[OrgUnitRow], there: Mapping[str, Unit]) -> Iterable[Difference]:
    told = set()
    last = {row.org_unit: max(r.valid_to or date.max for r in rows if r.org_unit == row.org_unit) for row in rows}
    for row in rows:
        unit, line = there.get(row.org_unit), row.at.line if row.at else 0
        ended = last[row.org_unit]
        if row.org_unit in told or (row.valid_to or date.max) != ended:
            continue  # said already, or a line of the past: the newest one says how it is now
        told.add(row.org_unit)
        if unit is None:
            yield Difference(row.org_unit, "absent", row.name, "", line)
            continue
        if unit.closed and ended.isoformat() > unit.closed:
            yield Difference(row.org_unit, "closed", "" if ended == date.max else ended.isoformat(), unit.closed, line)
        if row.parent and unit.parent and row.parent != unit.parent:
            yield Difference(row.org_unit, "moved", row.parent, unit.parent, line)
        if row.name and unit.name != row.name:
            yield Difference(row.org_unit, "renamed", row.name, unit.name, line)


def with_lines(text: str, lines: Sequence[Sequence[str]]) -> str:
    """The table with the lines at its end, separated as it is."""
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    added = io.StringIO()
    csv.writer(added, delimiter=delimiter, lineterminator="\n").writerows(lines)
    return text + ("" if not text or text.endswith("\n") else "\n") + added.getvalue()
