"""Why a record does not count for an indicator: the comparison that failed, and where the fact in it comes from. Pure.

``jlens`` says how a condition came out (``expressions.Compiled.explain``); here the answer is taken down to the facts:
where a failed comparison speaks of a fact that is worked out from others (``under5``), its own comparisons follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from connector.mappings.concepts import IMPLAUSIBLE
from connector.mappings.expressions import Compiled
from connector.mappings.indicators import Counter, Step
from connector.mappings.pack import Indicator, Place
from connector.model import Activity

_WORD = re.compile(r"[A-Za-z_]\w*")
_TEXT = re.compile(r"'[^']*'|\"[^\"]*\"")
#: Facts worked out from facts worked out from facts: no pack goes deeper.
DEPTH = 4


@dataclass(frozen=True, slots=True)
class Comparison:
    """``text``: as written in the pack; ``result``: true or false; ``values``: what was compared, empty when that is
    not to be shown; ``depth``: 0, or more for the facts behind the comparison before it."""

    text: str
    result: str
    values: str = ""
    depth: int = 0

    def __str__(self) -> str:
        return f"{self.text} → {self.result}" + (f" ({self.values})" if self.values else "")


@dataclass(frozen=True, slots=True)
class NotCounted:
    """One indicator of the activity that the record adds nothing to. ``reason``: condition (it is not met) |
    no_amount | no_items | no_org_unit | failed."""

    indicator: str
    part: str
    reason: str
    condition: str
    comparisons: tuple[Comparison, ...]
    item: int | None = None
    at: Place | None = None


def not_counted(
    counter: Counter,
    activity: Activity,
    facts: Mapping[str, Any],
    counted: Iterable[tuple[str, str]],
    *,
    hide: frozenset[str] = frozenset(),
    placed: bool = True,
    only: str | None = None,
) -> list[NotCounted]:
    """Every indicator of the activity's kind that is not among ``counted`` (indicator, part), with the first part that
    failed. Values of facts in ``hide`` are left out. ``placed``: the place has an org unit."""
    parts = set(counted)
    scope = counter.facts(facts)
    found: list[NotCounted] = []
    for indicator in counter.pack.indicators.values():
        if activity.kind not in indicator.counts or only not in (None, indicator.id):
            continue
        missing = [part for part in ("den", *indicator.parts) if part in indicator.parts]
        missing = [
            part
            for part in dict.fromkeys(missing)
            if (indicator.id, part) not in parts and activity.kind in indicator.rules[part].counts
        ]
        if not missing:
            continue
        steps = counter.explain(activity, facts, indicator.id)
        found += _of_indicator(counter, indicator, missing[0], steps, scope, hide, placed)
    return found


def _of_indicator(
    counter: Counter,
    indicator: Indicator,
    part: str,
    steps: list[Step],
    scope: Mapping[str, Any],
    hide: frozenset[str],
    placed: bool,
) -> Iterator[NotCounted]:
    predicate = indicator.parts[part]
    at = predicate.at or indicator.at
    rule = indicator.rules[part]
    if rule.each and not any(step.part == part for step in steps):
        yield NotCounted(indicator.id, part, "no_items", rule.each, (), None, at)
        return
    for step in steps:
        if step.part != part:
            continue
        if step.result == "true":
            if step.condition != predicate.source:
                continue  # it may be chosen; whether it counts is the next step
            amount = rule.amount
            reason = "no_amount" if amount and placed else "no_org_unit"
            condition = amount.source if amount and reason == "no_amount" else step.condition
            yield NotCounted(indicator.id, part, reason, condition, (), step.item, at)
            continue
        comparisons = tuple(_comparisons(counter, step.why, scope, hide, 0))
        reason = "condition" if step.result == "false" else "failed"
        yield NotCounted(indicator.id, part, reason, step.condition, comparisons, step.item, at)


def _comparisons(
    counter: Counter, lines: Iterable[str], scope: Mapping[str, Any], hide: frozenset[str], depth: int
) -> Iterator[Comparison]:
    odd = scope.get(IMPLAUSIBLE) or {}
    for line in lines:
        one = _parsed(line, depth)
        words = set(_WORD.findall(_TEXT.sub("", one.text)))
        if left := sorted(words & odd.keys()):  # absent here, and yet the record says it
            one = replace(one, values=", ".join(f"{name} = {odd[name]} ∉ plausible" for name in left))
        yield Comparison(one.text, one.result, "", depth) if words & hide else one
        if depth >= DEPTH:
            continue
        for name in sorted(words & counter.pack.derived.keys()):
            evaluate = counter.pack.derived[name].evaluate
            if isinstance(evaluate, Compiled):
                yield from _comparisons(counter, evaluate.explain(scope), scope, hide, depth + 1)


def _parsed(line: str, depth: int) -> Comparison:
    """``muac_mm < 115 → false (120 < 115)``; a line of another shape is kept as it is."""
    text, arrow, rest = line.partition(" → ")
    if not arrow:
        return Comparison(line, "", "", depth)
    result, _, values = rest.partition(" (")
    return Comparison(text, result, values.removesuffix(")"), depth)
