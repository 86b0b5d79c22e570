"""Findings of probes put where the pack speaks of what they are about: a server's answer has no line, the pack has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from connector.mappings.linting import at
from connector.mappings.pack import Pack, Place
from connector.mappings.where import Where
from connector.model import Finding


class InFrench(Protocol):
    """A row of a table of reasons, as far as it matters here."""

    @property
    def fr(self) -> str: ...


def placed(pack: Pack, connection: str, findings: Iterable[Finding], reasons: Mapping[str, InFrench]) -> list[Finding]:
    """The findings of one connection's probe with file, line and column, and in French where the reason has words."""
    where = Where(pack)
    return [_placed(pack, where, connection, one, reasons) for one in findings]


def _placed(pack: Pack, where: Where, connection: str, one: Finding, reasons: Mapping[str, InFrench]) -> Finding:
    place = _about(pack, where, one.about) or _connection(pack, where, connection)
    french = one.french
    if not any(french) and one.code in reasons:
        french = (f"{connection} : {reasons[one.code].fr}", "", "")
    return replace(one, file=place.file, line=place.line, column=place.column, french=french)


def _connection(pack: Pack, where: Where, name: str) -> Place:
    part = "targets" if name in pack.targets else "sources"
    return where.key("connector.yaml", part, name)


def _about(pack: Pack, where: Where, about: tuple[str, ...]) -> Place | None:
    match about:
        case ("data_set", code):
            found = next((one for one in pack.data_sets.values() if one.code == code), None)
            return where.value("dhis2.yaml", "data_sets", found.id, "id") if found else None
        case ("element" | "combo" as what, code):
            indicator = next((one for one in pack.indicators.values() if code in one.elements.values()), None)
            if indicator is None:
                return None
            file, *steps = where.indicator(indicator.id)
            return where.value(file, *steps, "by" if what == "combo" and where.node(file, *steps, "by") else "id")
        case ("org_unit", code):
            row = next((one for one in pack.org_units if one.org_unit == code), None)
            return where.cell(at(row.at), "org_unit") if row else None
        case ("tracker", *steps):
            return where.value("tracker.yaml", *steps)
        case ("openmrs", *steps):
            return where.value("openmrs.yaml", *steps)
    return None
