"""What the checks of a pack share: the pack, where things stand in its files, and which facts its forms give."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from connector.findings import Pair
from connector.mappings.expressions import Compiled, ExpressionError, compile_expression
from connector.mappings.pack import FactRule, FormMapping, Indicator, Pack, Place, Predicate
from connector.mappings.people import REPORTED_AGE
from connector.mappings.shapes import Expression
from connector.mappings.where import Step, Where
from connector.mappings.yaml_nodes import Findings, Scalar

#: Facts that ``people.complete`` adds to activities about a person.
PERSON_FACTS = ("age_days", "age_months", "age_years", "age_known", "sex", "born")
#: Facts that ``people.complete`` adds from the household of the person, or the one a form names.
HOUSEHOLD_FACTS = ("household", "household_registered", "household_type")
#: What a record says of itself among the members of an episode, and what is known of a line of a register.
MEMBER_FACTS = ("members", "kind", "day", "opening", "record", "date", "place", "worker", "subject")
LINE_FACTS = (*MEMBER_FACTS, "records", "reporter", "first_day", "last_day", "deadline")
#: Facts that a form's ``referral`` part gives.
REFERRAL_FACTS = ("referred", "referral_reason")
_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")
_NAME = re.compile(r"(?<![\w.$`])(?:`[^`]+`|[A-Za-z_]\w*)")
_KEY = re.compile(r"['\"]([A-Za-z_]\w*)['\"]\s*:")
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
            facts.update((*PERSON_FACTS, *HOUSEHOLD_FACTS))
        if "household" in facts:
            facts.update(HOUSEHOLD_FACTS)
        if REPORTED_AGE in facts:
            facts.update(("age_days", "age_months", "age_years", "age_known"))
    for episode in pack.episodes.values():
        opening: set[str] = set().union(*(found.get(kind, set()) for kind in episode.opens))
        found[episode.id] = opening | worked_out(episode.facts)
    for register in pack.registers.values():
        of = "worker" if register.of == "deployments" else register.of
        said = {rule.name for form in pack.forms.values() if form.registers == of for rule in every_rule(form.facts)}
        ages = set(PERSON_FACTS) if of == "person" else set()
        found[register.id] = said | ages | worked_out(register.facts) | set(LINE_FACTS)
    produced = {kind: frozenset(facts) for kind, facts in found.items()}
    return Checking(pack, Where(pack), Findings(), produced)


def worked_out(facts: Mapping[str, Predicate]) -> set[str]:
    """Facts an episode or register gives, and those of the lines of its lists (``{'received': ...}``)."""
    return set(facts) | {key for one in facts.values() for key in _KEY.findall(one.source)}


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
    """The expressions of an indicator, those of the denominator first: a numerator repeats its names."""
    return [one for part in sorted(indicator.parts) for one in predicates_of(indicator, part)]


def predicates_of(indicator: Indicator, part: str) -> Sequence[Predicate]:
    """The condition of a part, its amount, and what the first or latest is chosen among."""
    rule = indicator.rules[part]
    return [one for one in (indicator.parts[part], rule.amount, rule.among) if one is not None]


def together(pack: Pack) -> Sequence[Predicate]:
    """The expressions of episodes and registers."""
    found: list[Predicate | None] = []
    for episode in pack.episodes.values():
        found += [episode.key, episode.when, *episode.facts.values()]
        found += [one for member in episode.members for one in (member.key, member.matches)]
    for register in pack.registers.values():
        found += [register.when, *register.facts.values(), *register.members.values()]
    return [one for one in found if one is not None]


def at(place: Place | None) -> Place:
    return place or Place("", 0, 0)
