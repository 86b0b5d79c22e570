"""Figures as ADX (IHE QRPH, Aggregate Data Exchange), the XML that DHIS2 imports. Pure text, one group at a time.

    <adx xmlns="urn:ihe:qrph:adx:2015" exported="...">
      <group dataSet="MH_SEC" orgUnit="..." period="2026-08-01/P1M">
        <dataValue dataElement="MH_A04" A2="A2_Y1_4" SEX="SEX_F" value="32"/>

Everything is named by its code. The categories that a figure is split by are attributes: the code of the category, and
as its value the code of the option. No ``completeDate``: whether a month is complete is not for a file to say, as
nobody knows yet whether its figures were taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import quoteattr

from connector import periods
from connector.mappings.pack import Category, Pack

NAMESPACE = "urn:ihe:qrph:adx:2015"
CLOSING = "</adx>\n"

#: ISO 8601 durations (DHIS2 reads a period as its first day and how long it is).
_DURATIONS = {
    "Daily": "P1D", "Monthly": "P1M", "BiMonthly": "P2M", "Quarterly": "P3M", "SixMonthly": "P6M", "Yearly": "P1Y",
}  # fmt: skip
#: What an XML attribute may be called, in the letters that every reader knows.
_NAME = re.compile(r"(?!xml)[A-Za-z_][A-Za-z0-9_.\-]*", re.IGNORECASE)
#: Attributes of ADX's own.
_TAKEN = frozenset({"dataElement", "value"})

#: (data element code, categories with their options as the pack calls them, value)
Value = tuple[str, Sequence[tuple[str, str]], str]


def opening(exported: str) -> str:
    """``exported``: the moment, ISO 8601 with its offset."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<adx xmlns="{NAMESPACE}" exported={quoteattr(exported)}>\n'


def group(pack: Pack, data_set: str, org_unit: str, period: str, values: Iterable[Value]) -> str:
    """The figures of one block. ``data_set``, ``org_unit``: codes. KeyError for a category or an option that the pack
    does not have, ValueError for a period that is none."""
    lines = [f"  <group{_attributes(dataSet=data_set, orgUnit=org_unit, period=period_of(period))}>"]
    for element, categories, value in values:
        split = dict(code_of(pack, *one) for one in categories)
        lines.append(f"    <dataValue{_attributes(dataElement=element, **split, value=value)}/>")
    return "\n".join([*lines, "  </group>\n"])


def code_of(pack: Pack, category: str, option: str) -> tuple[str, str]:
    """The codes of a category and of its option. KeyError when the pack does not have them."""
    known = pack.categories[category]
    return known.code, known.options[option]


def period_of(period: str) -> str:
    """``202608`` is ``2026-08-01/P1M``, ``2026W5`` is ``2026-01-26/P7D``. ValueError when it is no period."""
    kind = periods.period_type(period)
    length = "P7D" if kind.startswith("Weekly") else _DURATIONS.get(kind, "P1Y")
    return f"{periods.bounds(period)[0].isoformat()}/{length}"


def unsayable(pack: Pack, data_sets: Iterable[str]) -> list[Category]:
    """Categories that figures of these data sets are split by and whose code cannot be an attribute."""
    chosen = set(data_sets)
    used = {
        name
        for indicator in pack.indicators.values()
        if indicator.data_set in chosen
        for rule in indicator.rules.values()
        for name in rule.by
    }
    return [one for id, one in pack.categories.items() if id in used and not _may_be_attribute(one.code)]


def _may_be_attribute(code: str) -> bool:
    return _NAME.fullmatch(code) is not None and code not in _TAKEN


def _attributes(**named: str) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in named.items())
