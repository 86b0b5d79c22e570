"""What a pack needs to find at DHIS2, with the names it should bear there: what ``relais setup dhis2`` makes.

``expected.py`` says the same by codes alone, for a probe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from connector.mappings.pack import DataSet, Indicator, Pack, Text

#: Aggregates whose figures are whole numbers and never below nought.
_COUNTS = ("count", "distinct")
#: The figure of a longer period is that of its last part, not the sum of the parts.
_LAST = ("latest",)
#: part of a ratio -> what is written behind the indicator's name
_PARTS: Mapping[str, Text] = {
    "num": {"fr": " (numérateur)", "en": " (numerator)"},
    "den": {"fr": " (dénominateur)", "en": " (denominator)"},
}
#: Period types whose figures are sent while the period runs: DHIS2 must have it open then.
_LONG = ("SixMonthly", "Yearly")
#: Code of the combination without categories; every DHIS2 has it.
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class NeededCategory:
    name: Text
    options: tuple[str, ...]  #: codes, in order


@dataclass(frozen=True, slots=True)
class NeededElement:
    name: Text
    combo: str  #: code of a category combination, or ``DEFAULT``
    data_set: str
    value_type: str = "INTEGER_ZERO_OR_POSITIVE"
    aggregation: str = "SUM"
    description: Text = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NeededDataSet:
    name: Text
    period_type: str
    org_units: tuple[str, ...]
    open_future_periods: int = 0


@dataclass(frozen=True, slots=True)
class Dhis2Needs:
    """By code. A category combination is the codes of its categories, joined with ``-``; so is the code of an option
    combination with those of its options."""

    options: Mapping[str, Text]
    categories: Mapping[str, NeededCategory]
    combos: Mapping[str, tuple[str, ...]]  #: code -> categories, in order
    elements: Mapping[str, NeededElement]
    data_sets: Mapping[str, NeededDataSet]


def dhis2_needs(pack: Pack) -> Dhis2Needs:
    """Everything the indicators of the pack need. Two categories of the pack may be one at DHIS2: then the first one
    names it, and it has the options of both."""
    options: dict[str, Text] = {}
    categories: dict[str, NeededCategory] = {}
    combos: dict[str, tuple[str, ...]] = {}
    elements: dict[str, NeededElement] = {}
    for indicator in pack.indicators.values():
        data_set = pack.data_sets[indicator.data_set].code
        for part, element in indicator.elements.items():
            codes = tuple(_category(pack, one, categories, options) for one in indicator.rules[part].by)
            combo = "-".join(codes) or DEFAULT
            if codes:
                combos[combo] = codes
            elements[element] = _element(indicator, part, combo, data_set)
    data_sets = {one.code: _data_set(pack, one) for one in pack.data_sets.values()}
    return Dhis2Needs(options, categories, combos, elements, data_sets)


def _category(pack: Pack, name: str, categories: dict[str, NeededCategory], options: dict[str, Text]) -> str:
    """Adds the category; returns its code."""
    category = pack.categories[name]
    for option, code in category.options.items():
        options.setdefault(code, category.option_names[option])
    found = categories.get(category.code) or NeededCategory(category.name, ())
    more = tuple(code for code in category.options.values() if code not in found.options)
    categories[category.code] = replace(found, options=found.options + more)
    return category.code


def _element(indicator: Indicator, part: str, combo: str, data_set: str) -> NeededElement:
    behind = _PARTS.get(part, {})
    return NeededElement(
        name={language: text + behind.get(language, "") for language, text in indicator.name.items()},
        combo=combo,
        data_set=data_set,
        value_type="INTEGER_ZERO_OR_POSITIVE" if indicator.rules[part].aggregate in _COUNTS else "NUMBER",
        aggregation="LAST" if indicator.rules[part].aggregate in _LAST else "SUM",
        description=indicator.definition,
    )


def _data_set(pack: Pack, data_set: DataSet) -> NeededDataSet:
    units: Sequence[str] = sorted({row.org_unit for row in pack.org_units if row.level == data_set.level})
    ahead = 1 if data_set.period_type in _LONG else 0
    return NeededDataSet(data_set.name, data_set.period_type, tuple(units), ahead)
