"""What the checks of a pack share: the pack, where things stand in its files, and which facts its forms give."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from connector.findings import Pair
from connector.mappings.expressions import Compiled, ExpressionError, compile_expression
from connector.mappings.pack import FactRule, FormMapping, Indicator, Pack, Place, Predicate
from connector.mappings.shapes import Expression
from connector.mappings.where import Step, Where
from connector.mappings.yaml_nodes import Findings, Scalar

#: Facts that ``people.complete`` adds to activities about a person.
PERSON_FACTS = ("age_days", "age_months", "age_years", "age_known", "sex")
#: Facts that a form's ``referral`` part gives.
REFERRAL_FACTS = ("referred", "referral_reason")
_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")
_NAME = re.compile(r"(?<![\w.$`])(?:`[^`]+`|[A-Za-z_]\w*)")
_KEYWORDS = {"and", "or", "in", "true", "false", "null", "function"}


@dataclass(frozen=True)
class Checking:
    """A pack being checked. ``produced``: the facts some form gives, by kind of activity (of list items too)."""

    pack: Pack
    where: Where
    findings: Findings
    produced: Mapping[str, frozenset[str]]

    def add(self, code: str, at: Place, /, **words: str | int | Pair) -> None:
        self.findings.add(code, at, severity=None, **words)

    def forms(self) -> list[FormMapping]:
        """One mapping per file: a file may map several forms alike."""
        return list({form.file: form for form in self.pack.forms.values()}.values())

    def expressions(self, *kinds: str) -> Iterator[tuple[str, tuple[Step, ...], Scalar, Compiled]]:
        """Every expression in files of these kinds that can be compiled: file, steps, node, compiled."""
        for file in self.where.files(*kinds):
            for steps, node, shape in self.where.scalars(file):
                if isinstance(shape, Expression) and not node.empty:
                    try:
                        yield file, steps, node, compile_expression(node.text, zone=self.pack.zone)
                    except ExpressionError:  # found when it was read
                        continue


def checking(pack: Pack) -> Checking:
    found: dict[str, set[str]] = {}
    for form in pack.forms.values():
        if form.activity is None:
            continue
        facts = found.setdefault(form.activity, set())
        facts.update(rule.name for rule in every_rule(form.facts))
        if form.referral:
            facts.update(REFERRAL_FACTS)
    for kind, facts in found.items():
        activity = pack.activities.get(kind)
        if activity is not None and activity.fhir.get("subject") == "person":
            facts.update(PERSON_FACTS)
    produced = {kind: frozenset(facts) for kind, facts in found.items()}
    return Checking(pack, Where(pack), Findings(), produced)


def every_rule(rules: Iterable[FactRule]) -> Iterator[FactRule]:
    """The rules and those inside lists."""
    for rule in rules:
        yield rule
        yield from every_rule((rule.items or {}).values())
        for row in rule.rows or ():
            yield from every_rule(row.values())


def placed_rules(form: FormMapping) -> Iterator[tuple[tuple[Step, ...], FactRule]]:
    """Every rule of a form with the steps to it in its file."""
    heads = {"date": form.date, "time": form.time, "place": form.place, "worker": form.worker,
             "subject": form.subject, "key": form.key}  # fmt: skip
    for key, head in heads.items():
        if head is not None:
            yield (key,), head
    for key, one in (form.referral or {}).items():
        yield ("referral", key), one
    for rule in form.facts:
        yield from _placed(("facts", rule.name), rule)


def _placed(steps: tuple[Step, ...], rule: FactRule) -> Iterator[tuple[tuple[Step, ...], FactRule]]:
    yield steps, rule
    for name, one in (rule.items or {}).items():
        yield from _placed((*steps, "items", name), one)
    for number, row in enumerate(rule.rows or ()):
        for name, one in row.items():
            yield from _placed((*steps, "rows", number, name), one)


def names_read(evaluate: object, source: str) -> set[str]:
    """The facts an expression looks at."""
    if isinstance(evaluate, Compiled) and evaluate.shortcut is not None:
        return set(evaluate.shortcut.reads)
    text = _STRING.sub(" ", source)
    return {name.strip("`") for name in _NAME.findall(text)} - _KEYWORDS


def predicates(indicator: Indicator) -> Sequence[Predicate]:
    """Conditions and amounts of an indicator, the denominator first: a numerator repeats its names."""
    parts = [one for _, one in sorted(indicator.parts.items())]
    return [*parts, *(indicator.amount or {}).values()]


def at(place: Place | None) -> Place:
    return place or Place("", 0, 0)
