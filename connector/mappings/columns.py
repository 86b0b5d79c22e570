"""Which fields of a form a figure is made of, and how: by the pack alone, read off expressions. Pure.

The kinds are those of OpenLineage's column lineage (its facet 1-2-0): DIRECT what is added up, INDIRECT what decides
whether and where it counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from connector.mappings.pack import FactRule, FormMapping, Indicator, Pack

_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")
_NAME = r"(?:`[^`]+`|[A-Za-z_]\w*)"
_PATH = re.compile(rf"(?<![\w.$`]){_NAME}(?:\.{_NAME})*(?!\w*\()")
_KEYWORDS = {"and", "or", "in", "true", "false", "null", "function"}

AGGREGATION = ("DIRECT", "AGGREGATION")
FILTER = ("INDIRECT", "FILTER")
GROUP_BY = ("INDIRECT", "GROUP_BY")


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a form. ``fact``: what it gives, or date, place or key of the record. ``kind``: type, subtype."""

    field: str
    fact: str
    kind: tuple[str, str]
    expression: str


def paths_read(source: str) -> list[str]:
    """The paths an expression names, in order, each once; back quotes and what is in strings left out."""
    found = (match.group().replace("`", "") for match in _PATH.finditer(_STRING.sub(" ", source)))
    return [one for one in dict.fromkeys(found) if one not in _KEYWORDS]


def columns(pack: Pack, indicator: Indicator, part: str, form: FormMapping) -> list[Column]:
    """The fields of ``form`` that a part of an indicator is made of, each once for each use."""
    rule = indicator.rules[part]
    conditions = [one for one in (indicator.parts.get(part), rule.among) if one is not None]
    amount = rule.amount
    groups = [pack.categories[one].fact for one in rule.by if one in pack.categories]
    uses: list[tuple[str, tuple[str, str]]] = []
    if amount is not None:
        uses += [(one, AGGREGATION) for one in paths_read(amount.source)]
    uses += [(one, FILTER) for predicate in conditions for one in paths_read(predicate.source)]
    uses += [(one, GROUP_BY) for one in groups]
    heads: list[tuple[FactRule | None, tuple[str, str]]] = [(form.date, GROUP_BY), (form.place, GROUP_BY)]
    counted = {"subject": form.subject, "worker": form.worker, "place": form.place}.get(rule.distinct or "", form.key)
    if amount is None:
        heads.insert(0, (counted, AGGREGATION))
    found = [
        Column(path, head.name, kind, head.source)
        for head, kind in heads
        if head is not None
        for path in paths_read(head.source)
    ]
    rules = {rule.name: rule for rule in form.facts}
    for name, kind in uses:
        for fact in _underived(pack, name.partition(".")[0]):
            for one in _rules(rules, fact):
                found += [Column(path, fact, kind, one.source) for path in paths_read(one.source)]
    return list(dict.fromkeys(found))


def _underived(pack: Pack, name: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """The facts of forms behind a fact that may be derived from others."""
    if name not in pack.derived or name in seen:
        yield name
        return
    for path in paths_read(pack.derived[name].source):
        yield from _underived(pack, path.partition(".")[0], seen | {name})


def _rules(rules: dict[str, FactRule], fact: str) -> Iterable[FactRule]:
    """The rule of a fact; a fact of items stands within the rule of a list."""
    if fact in rules:
        one = rules[fact]
        return [one, *_inner(one)]
    return [inner for one in rules.values() for inner in _inner(one) if inner.name == fact]


def _inner(rule: FactRule) -> list[FactRule]:
    return [*(rule.items or {}).values(), *(inner for row in rule.rows or () for inner in row.values())]
