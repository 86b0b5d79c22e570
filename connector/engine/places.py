"""Which DHIS2 org unit a place is, on a date. Rows of ``org_units.csv`` decide; the app's live parent chain is used
only where no row exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from connector.errors import MappingError
from connector.mappings.pack import OrgUnitRow, Pack


def _valid(row: OrgUnitRow, day: date) -> bool:
    return row.valid_from <= day and (row.valid_to is None or day <= row.valid_to)


class OrgUnits:
    def __init__(self, pack: Pack) -> None:
        self._by_place: dict[tuple[str, str], list[OrgUnitRow]] = {}
        self._by_code: dict[str, list[OrgUnitRow]] = {}
        for row in pack.org_units:
            self._by_place.setdefault((row.source, row.place), []).append(row)
            self._by_code.setdefault(row.org_unit, []).append(row)
        self._cache: dict[tuple[str, str, date], OrgUnitRow] = {}

    def known(self, source: str, place: str) -> bool:
        """The table has a row of this place, whatever its dates."""
        return (source, place) in self._by_place or ("*", place) in self._by_place

    def forget(self) -> None:
        """Look up again: places of the registry moved."""
        self._cache.clear()

    def row(self, source: str, place: str, day: date, parent_of: Callable[[str, str], str | None]) -> OrgUnitRow:
        """The row of a place on a date. ``parent_of(source, place)`` is the registry's live parent.

        Raises MappingError ``place.no_org_unit`` or ``place.closed_at_date``.
        """
        key = (source, place, day)
        if (found := self._cache.get(key)) is not None:
            return found
        current: str | None = place
        for _ in range(10):
            if current is None:
                break
            rows = self._by_place.get((source, current)) or self._by_place.get(("*", current))
            if rows:
                for row in rows:
                    if _valid(row, day):
                        if len(self._cache) > 50_000:
                            self._cache.clear()
                        self._cache[key] = row
                        return row
                raise MappingError("place.closed_at_date", path="place", file="org_units.csv", detail=current)
            current = parent_of(source, current)
        raise MappingError("place.no_org_unit", path="place", file="org_units.csv", detail=place)

    def at_level(self, row: OrgUnitRow, level: str, *, day: date) -> str | None:
        """Code of the nearest ancestor (or itself) at the level on the date; None when there is none."""
        current = row
        for _ in range(10):
            if current.level == level:
                return current.org_unit
            rows = self._by_code.get(current.parent)
            if not rows:
                return None
            current = next((r for r in rows if _valid(r, day)), rows[0])
        return None

    def chain(self, code: str, day: date) -> list[str]:
        """Codes from the top down to this org unit on the date; itself alone when the table does not know it."""
        found = [code]
        for _ in range(10):
            rows = self._by_code.get(found[-1])
            if not rows:
                break
            parent = next((r for r in rows if _valid(r, day)), rows[0]).parent
            if not parent or parent in found:
                break
            found.append(parent)
        return found[::-1]

    def entered_at(self, code: str, level: str, day: date) -> str | None:
        """As ``at_level``, from the code of an org unit."""
        rows = self._by_code.get(code)
        if not rows:
            return None
        return self.at_level(next((r for r in rows if _valid(r, day)), rows[0]), level, day=day)

    def below(self, code: str) -> set[str]:
        """An org unit and all that ever lay under it."""
        children: dict[str, set[str]] = {}
        for one, rows in self._by_code.items():
            for row in rows:
                children.setdefault(row.parent, set()).add(one)
        found, todo = {code}, [code]
        while todo:
            more = children.get(todo.pop(), set()) - found
            found |= more
            todo += more
        return found

    def of_code(self, code: str, day: date) -> OrgUnitRow | None:
        """The row of an org unit on a date, or any of its rows when none is valid then."""
        rows = self._by_code.get(code)
        return next((row for row in rows if _valid(row, day)), rows[0]) if rows else None

    def codes(self) -> Mapping[str, list[OrgUnitRow]]:
        return self._by_code
