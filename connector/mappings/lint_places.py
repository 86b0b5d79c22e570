"""Org units, reporters, levels: what the tables say of each other and of the data sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from difflib import get_close_matches
from itertools import pairwise
from typing import Protocol

from connector.findings import nearest
from connector.mappings.linting import Checking, at
from connector.mappings.pack import DeploymentRow, OrgUnitRow, Place


class _Dated(Protocol):
    @property
    def valid_from(self) -> date: ...
    @property
    def valid_to(self) -> date | None: ...
    @property
    def at(self) -> Place | None: ...


#: Years before and after the start (``live_from``) within which units open and close, and reporters come and go.
_BEFORE, _AFTER = 150, 5
#: So alike are a level and the same level with a slip in it (``difflib``).
_A_SLIP = 0.8


def check(one: Checking) -> None:
    _org_units(one)
    _deployments(one)
    _far(one)
    _data_sets(one)


def _last(row: _Dated) -> date:
    return row.valid_to or date.max


def _in_time(rows: Iterable[_Dated]) -> list[_Dated]:
    return sorted(rows, key=lambda row: (row.valid_from, _last(row)))


def _line(row: _Dated) -> int:
    return at(row.at).line


def _org_units(one: Checking) -> None:
    pack = one.pack
    codes = {row.org_unit for row in pack.org_units}
    sources = {*pack.sources, *pack.targets, "*"}
    places: dict[tuple[str, str], list[OrgUnitRow]] = {}
    units: dict[str, list[OrgUnitRow]] = {}
    for row in pack.org_units:
        places.setdefault((row.source, row.place), []).append(row)
        units.setdefault(row.org_unit, []).append(row)
        if row.parent and row.parent not in codes:
            place = one.where.cell(at(row.at), "parent")
            near = nearest(row.parent, codes)
            one.add("org_unit.parent", place, org_unit=row.org_unit, parent=row.parent, nearest=near)
        if row.source and row.source not in sources:
            place = one.where.cell(at(row.at), "source")
            one.add("org_unit.source", place, name=row.source, nearest=nearest(row.source, pack.sources))
    for (source, name), rows in places.items():
        if name:
            _validity(one, source, name, rows)
    for rows in units.values():
        _agreement(one, rows)
        for row in rows:
            if row.parent in units:
                _inside(one, "org_unit.outside", row, units[row.parent], org_unit=row.org_unit, parent=row.parent)
    _above_itself(one, units)
    _names(one, units)


def _names(one: Checking, units: Mapping[str, list[OrgUnitRow]]) -> None:
    """One name below one parent is one org unit; and an org unit is there for what lies below it or is entered."""
    named: dict[tuple[str, str, str], OrgUnitRow] = {}
    for rows in units.values():
        row = rows[0]
        first = named.setdefault((row.parent, row.level, row.name), row)
        if row.name and first is not row:
            place = one.where.cell(at(row.at), "org_unit")
            words = {"org_unit": row.org_unit, "other": first.org_unit, "name": row.name}
            one.add("org_unit.twice", place, line=_line(first), **words)
    entered = {data_set.level for data_set in one.pack.data_sets.values()}
    above = {row.parent for row in one.pack.org_units} | {row.org_unit for row in one.pack.deployments}
    for code, rows in units.items():
        if code not in above and not entered & {row.level for row in rows}:
            one.add("unused.org_unit", one.where.cell(at(rows[0].at), "org_unit"), org_unit=code)


def _validity(one: Checking, source: str, name: str, rows: list[OrgUnitRow]) -> None:
    """One org unit at a time, and one at every time between the first and the last day."""
    for before, row in pairwise(_in_time(rows)):
        place = one.where.cell(at(row.at), "valid_from")
        if row.valid_from <= _last(before):
            one.add("org_unit.overlap", place, source=source, place=name, line=_line(before))
        elif row.valid_from > _last(before) + timedelta(days=1):
            first, last = _last(before) + timedelta(days=1), row.valid_from - timedelta(days=1)
            one.add(
                "org_unit.gap", place, source=source, place=name, first=first.isoformat(), last=last.isoformat(),
                line=_line(before),
            )  # fmt: skip


def _inside(one: Checking, code: str, row: _Dated, around: list[OrgUnitRow], **words: str) -> None:
    """What holds on a day lies in something that holds on that day, at its first and at its last day."""
    first, last = min(around, key=lambda one: one.valid_from), max(around, key=_last)
    if row.valid_from < first.valid_from:
        days, column, line = f"{row.valid_from} – {first.valid_from - timedelta(days=1)}", "valid_from", _line(first)
    elif last.valid_to is not None and _last(row) > last.valid_to:
        end = row.valid_to or "…"
        days, column, line = f"{last.valid_to + timedelta(days=1)} – {end}", "valid_to", _line(last)
    else:
        return
    one.add(code, one.where.cell(at(row.at), column), days=days, line=line, **words)


def _far(one: Checking) -> None:
    """Dates in a year that is a slip: 2105 for 2015. Without a clock the start of the targets says what year it is."""
    starts = [int(target.live_from[:4]) for target in one.pack.targets.values() if target.live_from]
    rows: list[_Dated] = [*one.pack.org_units, *one.pack.deployments]
    for row in rows if starts else ():
        for column in ("valid_from", "valid_to"):
            day: date | None = getattr(row, column)
            if day is not None and not min(starts) - _BEFORE <= day.year <= max(starts) + _AFTER:
                one.add("date.far", one.where.cell(at(row.at), column), column=column, date=day.isoformat())


def _agreement(one: Checking, rows: list[OrgUnitRow]) -> None:
    """All lines of an org unit that hold on one day give it the same level and parent."""
    first = rows[0]
    for row in rows[1:]:
        if row.valid_from > _last(first) or first.valid_from > _last(row):
            first = row
            continue
        for column in ("level", "parent"):
            if getattr(row, column) != getattr(first, column):
                other = getattr(first, column) or "–"
                place = one.where.cell(at(row.at), column)
                one.add(
                    "org_unit.differs", place, org_unit=row.org_unit, column=column, line=_line(first), other=other
                )  # fmt: skip


def _above_itself(one: Checking, units: Mapping[str, list[OrgUnitRow]]) -> None:
    for code, rows in units.items():
        current, seen = rows[0].parent, {code}
        while current and current not in seen and current in units:
            seen.add(current)
            current = units[current][0].parent
        if current == code:
            one.add("org_unit.cycle", one.where.cell(at(rows[0].at), "parent"), org_unit=code)


def _deployments(one: Checking) -> None:
    pack = one.pack
    units: dict[str, list[OrgUnitRow]] = {}
    for unit in pack.org_units:
        units.setdefault(unit.org_unit, []).append(unit)
    reporters: dict[tuple[str, str], list[DeploymentRow]] = {}
    for row in pack.deployments:
        reporters.setdefault((row.reporter, row.group), []).append(row)
        if row.org_unit not in units:
            place = one.where.cell(at(row.at), "org_unit")
            near = nearest(row.org_unit, units)
            one.add("org_unit.unknown", place, reporter=row.reporter, org_unit=row.org_unit, nearest=near)
        else:
            around = units[row.org_unit]
            _inside(one, "deployment.outside", row, around, reporter=row.reporter, org_unit=row.org_unit)
    for (reporter, group), rows in reporters.items():
        for before, after in pairwise(_in_time(rows)):
            if after.valid_from <= _last(before):
                place = one.where.cell(at(after.at), "valid_from")
                one.add("deployment.overlap", place, reporter=reporter, group=group, line=_line(before))
            elif after.valid_from > _last(before) + timedelta(days=1):
                gone, back = _last(before) + timedelta(days=1), after.valid_from - timedelta(days=1)
                place = one.where.cell(at(after.at), "valid_from")
                one.add(
                    "deployment.gap", place, reporter=reporter, group=group, first=gone.isoformat(),
                    last=back.isoformat(), line=_line(before),
                )  # fmt: skip
    _place_reporters(one)
    levels = {unit.org_unit: unit.level for unit in pack.org_units}
    _alike(one, "kind", "deployment.kind", "group", {row: row.kind for row in pack.deployments})
    known = {row: levels[row.org_unit] for row in pack.deployments if row.org_unit in levels}
    _alike(one, "level", "deployment.level", "org_unit", known)
    wanted = {data_set.complete for data_set in pack.data_sets.values()}
    for first in {row.group: row for row in reversed(pack.deployments)}.values():
        if first.group not in wanted:
            one.add("unused.group", one.where.cell(at(first.at), "group"), group=first.group)


def _place_reporters(one: Checking) -> None:
    """A place that reports is a place of the source's, of the org unit it reports for, or of one below."""
    places: dict[str, list[OrgUnitRow]] = {}
    parents: dict[str, set[str]] = {}
    for unit in one.pack.org_units:
        places.setdefault(unit.place, []).append(unit)
        parents.setdefault(unit.org_unit, set()).add(unit.parent)
    for row in one.pack.deployments:
        if row.kind != "place":
            continue
        if row.reporter not in places:
            near = nearest(row.reporter, [name for name in places if name])
            place = one.where.cell(at(row.at), "reporter")
            one.add("deployment.no_place", place, reporter=row.reporter, nearest=near)
            continue
        units = {unit.org_unit for unit in places[row.reporter]}
        above = set(units)
        while more := {parent for code in above for parent in parents.get(code, ())} - above:
            above |= more
        if row.org_unit not in above:
            unit = places[row.reporter][0]
            one.add(
                "deployment.elsewhere", one.where.cell(at(row.at), "org_unit"), reporter=row.reporter,
                org_unit=row.org_unit, other=unit.org_unit, line=_line(unit),
            )  # fmt: skip


def _alike(one: Checking, what: str, code: str, column: str, rows: Mapping[DeploymentRow, str]) -> None:
    """All reporters of a group are of one kind and report from one level: the few that are not are reported."""
    counted: dict[str, Counter[str]] = {}
    for row, value in rows.items():
        counted.setdefault(row.group, Counter())[value] += 1
    for row, value in rows.items():
        other = counted[row.group].most_common(1)[0][0]
        if value != other:
            place = one.where.cell(at(row.at), column)
            one.add(code, place, reporter=row.reporter, group=row.group, other=other, **{what: value})


def _data_sets(one: Checking) -> None:
    pack = one.pack
    levels = {row.level for row in pack.org_units}
    wanted = {data_set.level for data_set in pack.data_sets.values()}
    slips = {level: get_close_matches(level, wanted, 1, _A_SLIP) for level in levels - wanted}
    for row in pack.org_units:
        if close := slips.get(row.level):
            place = one.where.cell(at(row.at), "level")
            one.add("level.slip", place, org_unit=row.org_unit, level=row.level, nearest=nearest(row.level, close))
    groups = {row.group for row in pack.deployments}
    for data_set in pack.data_sets.values():
        steps = ("data_sets", data_set.id)
        if pack.org_units and data_set.level not in levels:
            place = one.where.value("dhis2.yaml", *steps, "level")
            near = nearest(data_set.level, sorted(levels))
            one.add("level.unknown", place, data_set=data_set.id, level=data_set.level, nearest=near)
        if data_set.complete and pack.deployments and data_set.complete not in groups:
            place = one.where.value("dhis2.yaml", *steps, "complete")
            near = nearest(data_set.complete, sorted(groups))
            one.add("group.unknown", place, data_set=data_set.id, group=data_set.complete, nearest=near)
