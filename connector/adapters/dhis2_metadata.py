"""DHIS2's metadata behind our codes: one data set with its elements, option combos and org units, as UIDs.

The pack speaks in codes, which are the same on every server; requests carry UIDs, which are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector import periods

#: What DHIS2 gives everything as id (developer guide, "unique identifiers"). An answer with another one is garbled.
UID = re.compile("[A-Za-z][A-Za-z0-9]{10}")

UNIT_FIELDS = "organisationUnits[id,code,path,openingDate,closedDate]"
FIELDS = (
    "id,code,periodType,expiryDays,openFuturePeriods,workflow[id],dataInputPeriods[period[id],openingDate,closingDate],"
    "categoryCombo[categoryOptionCombos[id,code,name]],access[data[write]],"
    f"{UNIT_FIELDS},"
    "dataSetElements[categoryCombo[categoryOptionCombos[id,code,name]],dataElement[id,code,valueType,zeroIsSignificant,"
    "aggregationType,optionSet[id],categoryCombo[categoryOptionCombos[id,code,name]]]]"
)


@dataclass(frozen=True, slots=True)
class Element:
    id: str
    zero_counts: bool  #: a nought is stored; otherwise the server drops it, or deletes what was there (040, 041)
    has_options: bool  #: a delete must carry the old value (053)
    combos: Mapping[str, str]  #: option combo code -> UID
    value_type: str = ""


@dataclass(frozen=True, slots=True)
class Unit:
    id: str
    path: str
    opening: str  #: ISO date, "" if unknown
    closed: str

    def open_in(self, period: str) -> bool:
        """Open on at least one day of the period. The server up to 2.42 does not look (144, 146); 2.43 does."""
        first, last = periods.bounds(period)
        return not (self.opening > last.isoformat() or (self.closed and self.closed < first.isoformat()))


@dataclass(frozen=True, slots=True)
class Window:
    """A data input period: figures of ``period`` are taken from ``opening`` to ``closing`` (ISO dates, "" for ever)."""

    period: str
    opening: str
    closing: str

    def holds(self, today: str) -> bool:
        return self.opening <= today and (not self.closing or today <= self.closing)


@dataclass(frozen=True, slots=True)
class DataSet:
    id: str
    period_type: str
    writable: bool
    elements: Mapping[str, Element]
    units: Mapping[str, Unit]
    attribute_combos: Mapping[
        str, str
    ]  #: as ``Element.combos``; without ``default`` its figures are told apart by more
    expiry_days: int = 0  #: after the end of a period, while figures are taken; 0: for ever
    future: int = 0  #: periods ahead that are open; 0: the current one is closed still
    windows: tuple[Window, ...] = ()  #: none: every period is open
    workflow: str = ""  #: UID of its approval workflow

    def codes(self) -> dict[tuple[str, str], tuple[str, str]]:
        """(element UID, combo UID) -> (element code, combo code)."""
        return {(e.id, uid): (code, combo) for code, e in self.elements.items() for combo, uid in e.combos.items()}


def data_set_of(wire: Mapping[str, Any]) -> DataSet:
    """From ``GET /api/dataSets?fields=FIELDS``. Raises KeyError or TypeError when the answer is not of that shape."""
    elements = {}
    for entry in wire.get("dataSetElements", ()):
        element = entry["dataElement"]
        if "code" not in element:
            continue
        combo = entry.get("categoryCombo") or element["categoryCombo"]  # the data set's own comes first
        aggregation = str(element.get("aggregationType", "SUM"))
        elements[element["code"]] = Element(
            _id(element),
            zero_counts=bool(element.get("zeroIsSignificant")) or aggregation.startswith("AVERAGE"),
            has_options="optionSet" in element,
            combos=_combos(combo),
            value_type=str(element.get("valueType", "")),
        )
    return DataSet(
        id=_id(wire),
        period_type=wire["periodType"],
        writable=bool(wire.get("access", {}).get("data", {}).get("write", True)),
        elements=elements,
        units=units_of(wire),
        attribute_combos=_combos(wire["categoryCombo"]),
        expiry_days=_days(wire.get("expiryDays")),
        future=_days(wire.get("openFuturePeriods")),
        windows=_windows(wire.get("dataInputPeriods")),
        workflow=str(named["id"]) if isinstance(named := wire.get("workflow"), Mapping) and "id" in named else "",
    )


def units_of(wire: Mapping[str, Any]) -> dict[str, Unit]:
    """The org units of a data set or program asked for with ``UNIT_FIELDS``, by code."""
    return {
        str(unit["code"]): Unit(
            _id(unit),
            str(unit.get("path", "")),
            str(unit.get("openingDate", ""))[:10],
            str(unit.get("closedDate", ""))[:10],
        )
        for unit in wire.get("organisationUnits", ())
        if unit.get("code")
    }


def _windows(listed: Any) -> tuple[Window, ...]:
    """Only the probe looks at them, so one that cannot be read is passed over: it stops no figure."""
    return tuple(
        Window(str(one["period"]["id"]), str(one.get("openingDate") or "")[:10], str(one.get("closingDate") or "")[:10])
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, Mapping) and isinstance(one.get("period"), Mapping) and "id" in one["period"]
    )


def _id(wire: Mapping[str, Any]) -> str:
    if not isinstance(wire["id"], str) or not UID.fullmatch(wire["id"]):
        raise TypeError("not a UID")
    return wire["id"]


def _days(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and 0 < value < 10_000 else 0


def _combos(combo: Mapping[str, Any]) -> dict[str, str]:
    """By code; the default combo also by its name, as old servers gave it no code."""
    listed: Sequence[Mapping[str, Any]] = combo.get("categoryOptionCombos", ())
    found = {str(c["code"]): _id(c) for c in listed if c.get("code")}
    for member in listed:
        if member.get("name") == "default":
            found["default"] = _id(member)
    return found
