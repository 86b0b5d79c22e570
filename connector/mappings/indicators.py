"""Activity -> contributions: what one record adds to which cells, by the indicators of the pack. Pure.

Counting itself (sums, distinct) is the store's one fixed query; here is decided only *whether* and *where* a record
counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from connector import periods
from connector.mappings.expressions import Compiled, ExpressionError
from connector.mappings.jsonata_values import MISSING, truth
from connector.mappings.pack import UNKNOWN, Category, Indicator, Pack, Predicate
from connector.model import Activity, Contribution

OrgUnitOf = Callable[[str], str | None]
Evaluate = Callable[[Mapping[str, Any]], Any]
_WORD = re.compile(r"\w+")

#: The category option combo of an indicator without categories (DHIS2's own name for it).
DEFAULT_COMBO = "default"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of "why is this record (not) counted": a condition as written and how it came out."""

    indicator: str
    part: str
    condition: str
    result: str  #: true | false | the error
    item: int | None = None
    why: tuple[str, ...] = ()  #: the comparisons, with the facts compared: for people who may see them


class Counter:
    """Computes contributions by one pack."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self._derived = {name: raw(one.evaluate) for name, one in pack.derived.items()}
        self._plans: dict[str, list[_Plan]] = {}
        for indicator in pack.indicators.values():
            data_set = pack.data_sets.get(indicator.data_set)
            if data_set is None:
                continue  # a lint finding
            categories = [pack.categories[one] for one in indicator.by if one in pack.categories]
            plan = _Plan(indicator, [_Reader(one) for one in categories], data_set.level, data_set.period_type)
            for kind in indicator.counts:
                self._plans.setdefault(kind, []).append(plan)
        self._needed = {kind: _needed(pack, [plan.indicator for plan in plans]) for kind, plans in self._plans.items()}

    def facts(self, facts: Mapping[str, Any], kind: str | None = None) -> dict[str, Any]:
        """The facts as conditions see them: decimals as numbers, and the derived facts beside them.

        ``kind``: only the derived facts that indicators of this kind of activity look at.
        """
        scope = {name: _number(value) if type(value) is Decimal else value for name, value in facts.items()}
        for name in self._derived if kind is None else self._needed.get(kind, ()):
            try:
                value = self._derived[name](scope)
            except ValueError:  # facts that cannot be compared: explain() names them
                continue
            if value is not None and value is not MISSING:
                scope[name] = value
        return scope

    def contributions(self, activity: Activity, facts: Mapping[str, Any], org_unit_of: OrgUnitOf) -> list[Contribution]:
        """What the activity adds. ``facts``: from ``people.complete``; ``org_unit_of``: the DHIS2 org unit code of
        the activity's place at a level on its date, None when there is none (then it adds nothing there).
        """
        plans = self._plans.get(activity.kind)
        if not plans:
            return []
        scope = self.facts(facts, activity.kind)
        record = activity.id
        options: dict[str, str] = {}
        units: dict[str, str | None] = {}
        found: list[Contribution] = []
        for plan in plans:
            if plan.level not in units:
                units[plan.level] = org_unit_of(plan.level)
            unit = units[plan.level]
            if unit is None:
                continue
            plan.add(found, activity, record, scope, unit, options)
        return found

    def option(self, category: str, facts: Mapping[str, Any]) -> str:
        """The option of a category for a set of facts."""
        return _Reader(self.pack.categories[category]).option(facts)

    def explain(self, activity: Activity, facts: Mapping[str, Any], indicator_id: str) -> list[Step]:
        """Why the activity counts, or not, for one indicator."""
        indicator = self.pack.indicators[indicator_id]
        if activity.kind not in indicator.counts:
            return [Step(indicator_id, "", f"kind in {', '.join(indicator.counts)}", "false")]
        scope = self.facts(facts)
        steps = []
        for number, item in enumerate(_scopes(scope, indicator.each)):
            for part, predicate in indicator.parts.items():
                try:
                    result = "true" if truth(predicate.evaluate(item)) else "false"
                except ExpressionError as error:
                    result = str(error)
                why = predicate.evaluate.explain(item) if isinstance(predicate.evaluate, Compiled) else []
                steps.append(
                    Step(indicator_id, part, predicate.source, result, number if indicator.each else None, tuple(why))
                )
        return steps


class _Reader:
    """The option of a category for a set of facts."""

    def __init__(self, category: Category) -> None:
        self.id = category.id
        self.fact = category.fact
        self.options = category.options
        self.bands: list[tuple[str, str, int, int]] | None = None
        if category.bands is not None:
            self.bands = [
                (option, category.band_facts.get(option, category.fact), low, high)
                for option, (low, high) in category.bands.items()
            ]

    def option(self, scope: Mapping[str, Any]) -> str:
        """The option the facts fall in; ``unknown`` when the fact is absent or in none. The first band wins."""
        if self.bands is None:
            value = scope.get(self.fact)
            return value if isinstance(value, str) and value in self.options else UNKNOWN
        for option, fact, low, high in self.bands:
            value = scope.get(fact)
            if isinstance(value, (int, float)) and low <= value < high:
                return option
        return UNKNOWN


class _Plan:
    """One indicator ready for many activities."""

    def __init__(self, indicator: Indicator, readers: Sequence[_Reader], level: str, period_type: str) -> None:
        self.indicator = indicator
        self.id, self.version = indicator.id, indicator.version
        self.each, self.distinct = indicator.each, indicator.distinct
        self.readers = readers
        self.by = [reader.id for reader in readers]
        self.level = level
        self.period_type = period_type
        parts = dict(indicator.parts)
        den = parts.pop("den", None)
        first = [("den", raw(den.evaluate), _amount_of(indicator, "den"))] if den else []
        self.parts: list[tuple[str, Evaluate, Evaluate | None]] = first + [
            (part, raw(predicate.alone or predicate.evaluate), _amount_of(indicator, part))
            for part, predicate in parts.items()
        ]

    def add(
        self,
        found: list[Contribution],
        activity: Activity,
        record: str,
        scope: dict[str, Any],
        unit: str,
        options: dict[str, str],
    ) -> None:
        """``options``: what is known already of the activity's options by category, shared by its indicators."""
        if self.each is None:
            self._add(found, activity, record, scope, unit, options)
            return
        for one in _scopes(scope, self.each):
            self._add(found, activity, record, one, unit, {})

    def _add(
        self,
        found: list[Contribution],
        activity: Activity,
        record: str,
        scope: dict[str, Any],
        unit: str,
        options: dict[str, str],
    ) -> None:
        categories: tuple[tuple[str, str], ...] | None = None
        for part, predicate, amount_of in self.parts:
            try:
                if not truth(predicate(scope)):
                    if part == "den":
                        return  # where the denominator does not hold, the numerator cannot
                    continue
                amount = _ONE if amount_of is None else _amount(amount_of(scope))
            except ValueError:  # a condition that fails is not met; explain() shows why
                if part == "den":
                    return
                continue
            if amount is None:
                continue
            if categories is None:
                for reader in self.readers:
                    if reader.id not in options:
                        options[reader.id] = reader.option(scope)
                categories = tuple([(name, options[name]) for name in self.by])
                distinct = _distinct(self.distinct, activity, scope) if self.distinct else None
                period = _period(activity.date, self.period_type)
            found.append(
                Contribution(
                    record, self.id, part, unit, period, categories, amount, distinct, activity.date, self.version
                )
            )


_ONE = Decimal(1)
#: No record of a village adds so much: a slip of the finger, and more than a column of the database may hold.
_ABSURD = 10**11


def _amount(value: Any) -> Decimal | None:
    """How much a record adds to a sum; nothing when it is absent, 0 or absurd."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_ABSURD < value < _ABSURD:
        return None
    return Decimal(repr(value)) if value else None


def raw(evaluate: Evaluate) -> Evaluate:
    """The closure behind a compiled expression, where it has one: it may return MISSING and raises ValueError."""
    if isinstance(evaluate, Compiled) and evaluate.shortcut is not None:
        return evaluate.shortcut.evaluate
    return evaluate


def _needed(pack: Pack, indicators: Sequence[Indicator]) -> list[str]:
    """The derived facts these indicators look at, themselves or by way of others, in the order declared."""
    texts = []
    for indicator in indicators:
        texts += [one.source for one in (*indicator.parts.values(), *(indicator.amount or {}).values())]
        texts += [pack.categories[one].fact for one in indicator.by if one in pack.categories]
    wanted: set[str] = set()
    while True:
        words = set(_WORD.findall(" ".join(texts)))
        more = {name for name in pack.derived if name in words} - wanted
        if not more:
            return [name for name in pack.derived if name in wanted]
        wanted |= more
        texts += [pack.derived[name].source for name in more]


def _amount_of(indicator: Indicator, part: str) -> Evaluate | None:
    predicate: Predicate | None = (indicator.amount or {}).get(part)
    return raw(predicate.evaluate) if predicate else None


def _scopes(scope: Mapping[str, Any], each: str | None) -> list[dict[str, Any]]:
    """The facts, or for a list fact its items' facts laid over them, one set per item."""
    if each is None:
        return [dict(scope)]
    items = scope.get(each) or []
    return [
        {**scope, **{name: _number(value) if type(value) is Decimal else value for name, value in item.items()}}
        for item in items
    ]


def _distinct(what: str | None, activity: Activity, scope: Mapping[str, Any]) -> str | None:
    """The key counted once. Without one, the record stands for itself: it is not merged with others."""
    if what is None:
        return None
    key: Any
    if what == "worker":
        key = activity.worker
    elif what == "place":
        key = activity.place
    elif what == "subject":
        key = activity.subject
    else:
        key = scope.get(what) or activity.subject
    return str(key) if key else activity.id


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


@lru_cache(maxsize=4096)
def _period(day: date, period_type: str) -> str:
    return periods.period_of(day, period_type)


def element_and_combo(
    pack: Pack, indicator_id: str, part: str, categories: Sequence[tuple[str, str]]
) -> tuple[str, str]:
    """The DHIS2 codes (data element, category option combo) of a cell.

    The combo's code is its options' codes joined with ``-`` in the indicator's order, ``default`` without any.
    Raises KeyError for what the pack does not have.
    """
    element = pack.indicators[indicator_id].elements[part]
    codes = [pack.categories[category].options[option] for category, option in categories]
    return element, "-".join(codes) or DEFAULT_COMBO


__all__ = ["DEFAULT_COMBO", "Compiled", "Counter", "Step", "element_and_combo"]
