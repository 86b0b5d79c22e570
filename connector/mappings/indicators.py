"""Activity -> contributions: what one record adds to which cells, by the indicators of the pack. Pure.

Counting itself (sums, distinct) is the store's one fixed query; here is decided only *whether* and *where* a record
counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from connector import periods
from connector.mappings.expressions import Compiled, ExpressionError
from connector.mappings.jsonata_values import MISSING, truth
from connector.mappings.pack import UNKNOWN, Category, DataSet, Indicator, Pack, Predicate
from connector.model import SEEN, Activity, Contribution

OrgUnitOf = Callable[[str], str | None]
Evaluate = Callable[[Mapping[str, Any]], Any]
Condition = Callable[[Mapping[str, Any]], bool]
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
            together = [["den", "num"]] if indicator.nested else [[part] for part in indicator.parts]
            for parts in together:
                rule = indicator.rules[parts[0]]
                categories = [pack.categories[one] for one in rule.by if one in pack.categories]
                plan = _Plan(indicator, parts, [_Reader(one) for one in categories], data_set)
                for kind in rule.counts:
                    self._plans.setdefault(kind, []).append(plan)
        self._needed = {kind: self.needed([text for plan in plans for text in plan.texts])
                        for kind, plans in self._plans.items()}  # fmt: skip

    def needed(self, texts: Sequence[str]) -> list[str]:
        """The derived facts that these expressions look at, themselves or by way of others, in the order declared."""
        texts, wanted = list(texts), set[str]()
        while True:
            words = set(_WORD.findall(" ".join(texts)))
            more = {name for name in self.pack.derived if name in words} - wanted
            if not more:
                return [name for name in self.pack.derived if name in wanted]
            wanted |= more
            texts += [self.pack.derived[name].source for name in more]

    def counts(self, kind: str) -> bool:
        """Some indicator looks at this kind of activity, episode or register."""
        return kind in self._plans

    def period_types(self, kind: str) -> list[str]:
        """The period types of what is counted of this kind."""
        return sorted({plan.period_type for plan in self._plans.get(kind, ())})

    def facts(
        self, facts: Mapping[str, Any], kind: str | None = None, *, only: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """The facts as conditions see them: decimals as numbers, and the derived facts beside them.

        ``kind``: only the derived facts that indicators of this kind of activity look at; ``only``: just these.
        """
        scope = {name: _number(value) if type(value) is Decimal else value for name, value in facts.items()}
        if only is None:
            only = list(self._derived) if kind is None else self._needed.get(kind, ())
        for name in only:
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
        for part, predicate in indicator.parts.items():
            rule = indicator.rules[part]
            if activity.kind not in rule.counts:
                continue
            steps += self._around(indicator, part, activity, scope)
            for number, item in enumerate(_scopes(scope, rule.each)):
                steps.append(_step(indicator_id, part, predicate, item, number if rule.each else None))
        return steps

    def _around(self, indicator: Indicator, part: str, activity: Activity, scope: Mapping[str, Any]) -> list[Step]:
        """What must hold besides the part's condition: the record may be chosen, has whom it counts once, a period."""
        rule, steps = indicator.rules[part], []
        if rule.among is not None:
            steps.append(_step(indicator.id, part, rule.among, scope, None))
        if rule.distinct is not None and key_of(rule.distinct, activity, scope) is None:
            steps.append(Step(indicator.id, part, f"$exists({rule.distinct})", "false"))
        if rule.period is not None:
            data_set = self.pack.data_sets[indicator.data_set]
            if named_period(scope.get(rule.period), data_set.period_type) is None:
                steps.append(Step(indicator.id, part, f"{rule.period} is a {data_set.period_type} period", "false"))
        return steps


def _step(indicator: str, part: str, predicate: Predicate, scope: Mapping[str, Any], item: int | None) -> Step:
    try:
        result = "true" if truth(predicate.evaluate(scope)) else "false"
    except ExpressionError as error:
        result = str(error)
    why = predicate.evaluate.explain(scope) if isinstance(predicate.evaluate, Compiled) else []
    return Step(indicator, part, predicate.source, result, item, tuple(why))


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
    """One indicator, or one part of it where its parts stand alone, ready for many activities."""

    def __init__(
        self, indicator: Indicator, parts: Sequence[str], readers: Sequence[_Reader], data_set: DataSet
    ) -> None:
        self.indicator = indicator
        self.id, self.version = indicator.id, indicator.version
        rule = indicator.rules[parts[0]]
        self.each, self.distinct, self.at_least, self.period = rule.each, rule.distinct, rule.at_least, rule.period
        self.chosen = rule.aggregate in ("first", "latest")
        self.latest = rule.aggregate == "latest"
        self.among = condition(rule.among.evaluate) if rule.among is not None else None
        self.readers = readers
        self.by = [reader.id for reader in readers]
        self.level = data_set.level
        self.period_type = data_set.period_type
        self.names = list(parts)
        self.nested = indicator.nested
        self.parts: list[tuple[str, Condition, Evaluate | None]] = []
        for part in parts:
            predicate, amount = indicator.parts[part], indicator.rules[part].amount
            alone = predicate.alone if self.nested and predicate.alone is not None else predicate.evaluate
            self.parts.append((part, condition(alone), raw(amount.evaluate) if amount is not None else None))
        #: (found, activity, record, scope, unit, options): adds what the activity adds. ``options``: what is known
        #: already of the activity's options by category, shared by its indicators.
        self.add = self._candidate if self.chosen else self._add if self.each is None else self._each
        self.texts = [predicate.source for predicate in indicator.parts.values()]
        looked_at = [rule.among, *(indicator.rules[part].amount for part in parts)]
        self.texts += [one.source for one in looked_at if one is not None]
        self.texts += [reader.fact for reader in readers] + [rule.period or "", rule.distinct or ""]

    def _each(
        self,
        found: list[Contribution],
        activity: Activity,
        record: str,
        scope: dict[str, Any],
        unit: str,
        options: dict[str, str],
    ) -> None:
        for one in _scopes(scope, self.each):
            self._add(found, activity, record, one, unit, {})

    def _candidate(
        self,
        found: list[Contribution],
        activity: Activity,
        record: str,
        scope: dict[str, Any],
        unit: str,
        options: dict[str, str],
    ) -> None:
        """One of the records of which the first or latest counts; with nothing to count it still stands in the way of
        the others, so that is written down too."""
        try:
            if self.among is not None and not self.among(scope):
                return
        except ValueError:
            return
        key, period = key_of(self.distinct, activity, scope), self._period(activity, scope)
        if key is None or period is None:
            return
        before = len(found)
        for one in _scopes(scope, self.each):
            self._add(found, activity, record, one, unit, options if self.each is None else {})
        counted = {one.part for one in found[before:]}
        for part in self.names:
            if part not in counted:
                found.append(
                    Contribution(
                        record, self.id, part, unit, period, SEEN, _NONE, key, activity.date, self.version,
                        moment_of(activity, self.latest),
                    )
                )  # fmt: skip

    def _period(self, activity: Activity, scope: Mapping[str, Any]) -> str | None:
        if self.period is None:
            return _period(activity.date, self.period_type)
        return named_period(scope.get(self.period), self.period_type)

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
        period: str | None = None
        for part, holds, amount_of in self.parts:
            try:
                if not holds(scope):
                    if self.nested:
                        return  # where the denominator does not hold, the numerator cannot
                    continue
                amount = _ONE if amount_of is None else _amount(amount_of(scope))
            except ValueError:  # a condition that fails is not met; explain() shows why
                if self.nested:
                    return
                continue
            if amount is None:
                continue
            if categories is None or period is None:
                distinct = key_of(self.distinct, activity, scope) if self.distinct is not None else None
                moment = moment_of(activity, self.latest) if distinct is not None else ""
                period = self._period(activity, scope)
                if period is None or (self.distinct is not None and distinct is None):
                    return  # in no period, or nobody can say whether it was counted already
                for reader in self.readers:
                    if reader.id not in options:
                        options[reader.id] = reader.option(scope)
                categories = tuple([(name, options[name]) for name in self.by])
            found.append(
                Contribution(
                    record, self.id, part, unit, period, categories, amount, distinct, activity.date, self.version,
                    moment, self.at_least,
                )
            )  # fmt: skip


def moment_of(activity: Activity, latest: bool = False) -> str:
    """Sorts records of a key in time, as text: by day, then instant of the day, then id. A record without an instant is
    the last of its day where the first one is looked for, and the first where the latest is: the one that says when it
    was goes before the one that does not."""
    at = activity.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") if activity.at is not None else ""
    return f"{activity.date.isoformat()} {at or ('' if latest else '~')} {activity.id}"


_ONE, _NONE = Decimal(1), Decimal(0)
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


def condition(evaluate: Evaluate) -> Condition:
    """As :func:`raw`, for what is asked only whether it holds: absent is no."""
    if isinstance(evaluate, Compiled) and evaluate.shortcut is not None:
        return evaluate.shortcut.holds
    return lambda scope: truth(evaluate(scope))


def _scopes(scope: Mapping[str, Any], each: str | None) -> list[dict[str, Any]]:
    """The facts, or for a list fact its items' facts laid over them, one set per item."""
    if each is None:
        return [dict(scope)]
    items = scope.get(each) or []
    return [
        {**scope, **{name: _number(value) if type(value) is Decimal else value for name, value in item.items()}}
        for item in items
    ]


def key_of(what: str | None, activity: Activity, scope: Mapping[str, Any]) -> str | None:
    """Whom or what the record is about, to count it once; None when it does not say."""
    key: Any
    if what == "worker":
        key = activity.worker
    elif what == "place":
        key = activity.place
    elif what == "subject":
        key = activity.subject
    elif what == "household":
        key = scope.get("household")
    else:
        key = scope.get("group") or activity.subject
    return str(key) if key else None


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


@lru_cache(maxsize=4096)
def _period(day: date, period_type: str) -> str:
    return periods.period_of(day, period_type)


def named_period(value: Any, period_type: str) -> str | None:
    """The period a fact names: a DHIS2 period of this type, or that of a day. None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        if len(value) == 10 and value[4] == "-":
            return _period(date.fromisoformat(value), period_type)
        return value if periods.period_type(value) == period_type else None
    except ValueError:
        return None


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
