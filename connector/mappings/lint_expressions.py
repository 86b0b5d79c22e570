"""Expressions that can be read and still do something else than was meant."""

from __future__ import annotations

import re
from collections.abc import Mapping

from connector.findings import Pair, nearest
from connector.mappings.comparisons import Comparison, comparisons, texts
from connector.mappings.expressions import Compiled
from connector.mappings.fact_functions import functions
from connector.mappings.linting import PERSON_FACTS, Checking
from connector.mappings.pack import Concept
from connector.mappings.people import SEXES
from connector.mappings.shortcuts import NoShortcut, shortcut
from connector.mappings.where import Step
from connector.mappings.yaml_nodes import Scalar

_RAW = re.compile(r"\$(number|split|not)\s*\(")
_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")
#: Kind of concept -> kind of constant it can be compared with, and how such a comparison looks.
_KINDS = {
    "boolean": ("boolean", "{0} = true"),
    "integer": ("number", "{0} > 2"),
    "decimal": ("number", "{0} > 2"),
    "coded": ("text", "{0} = '{1}'"),
    "text": ("text", "{0} = 'x'"),
    "date": ("text", "{0} >= '2026-07-01'"),
}
_SAID: Mapping[str, Pair] = {
    "boolean": ("oui ou non", "yes or no"),
    "integer": ("un nombre", "a number"),
    "decimal": ("un nombre", "a number"),
    "coded": ("une réponse codée", "a coded answer"),
    "text": ("un texte", "a text"),
    "date": ("une date", "a date"),
}


def check(one: Checking) -> None:
    known = functions(one.pack.zone)
    for _file, steps, node, compiled in one.expressions("form", "indicators", "activities", "episodes", "registers"):
        _raw(one, node, known)
        _functions(one, node, compiled, known)
        if steps[0] in ("indicators", "derived"):
            for comparison in comparisons(node.text):
                _comparison(one, steps, node, comparison)


def _raw(one: Checking, node: Scalar, known: Mapping[str, object]) -> None:
    """$number, $split and $not turn "not asked" into an error or into yes: they need a look."""
    for match in _RAW.finditer(_STRING.sub(lambda m: " " * len(m.group()), node.text)):
        name = match.group(1)
        if name == "not" and _always_boolean(_argument(node.text, match.end()), known):
            continue
        one.add(f"expression.raw_{name}", node.inside(match.start()), source=node.text[:60])


def _argument(source: str, start: int) -> str:
    depth = 1
    for index in range(start, len(source)):
        depth += {"(": 1, ")": -1}.get(source[index], 0)
        if depth == 0:
            return source[start:index]
    return source[start:]


def _always_boolean(text: str, known: Mapping[str, object]) -> bool:
    try:
        return shortcut(text, known).boolean  # type: ignore[arg-type]
    except NoShortcut:
        return False


def _functions(one: Checking, node: Scalar, compiled: Compiled, known: Mapping[str, object]) -> None:
    """Functions and variables that nobody declared: such an expression fails on every record."""
    for name in sorted(compiled.reads()[1] - set(known)):
        found = re.search(rf"\${re.escape(name)}\b", node.text)
        place = node.inside(found.start()) if found else node.at
        one.add("expression.function", place, name=name, nearest=nearest(name, known))


def _comparison(one: Checking, steps: tuple[Step, ...], node: Scalar, found: Comparison) -> None:
    """A comparison that never holds: with an answer the concept does not have, or with another kind of value."""
    what = f"{steps[1]}: "
    name = found.name
    possible = _possible(one, name)
    if found.text is not None and possible is not None and found.text not in possible:
        place = node.inside(found.at + 1)
        near = nearest(found.text, possible)
        one.add("condition.code", place, what=what, fact=name, value=found.text, nearest=near)
        return
    kind = _kind(one, name)
    if kind is None:
        return
    wanted, example = _KINDS[kind]
    ordered = found.order in ("<", "<=", ">", ">=")
    if found.kind != wanted or (ordered and kind in ("boolean", "coded")):
        answer = next(iter(possible), "x") if possible else "x"
        shown: Pair = (found.constant, found.constant)
        if found.kind == wanted:
            shown = f"{found.order} {found.constant}", f"{found.order} {found.constant}"
        one.add(
            "condition.type", node.inside(found.at), what=what, fact=name, kind=_SAID[kind], value=shown,
            example=example.format(name, answer),
        )  # fmt: skip


def _possible(one: Checking, name: str) -> list[str] | None:
    """Every text a fact can be, where that is known."""
    concept: Concept | None = one.pack.concepts.get(name)
    if concept is not None:
        return list(concept.answers) if concept.kind == "coded" and concept.answers else None
    if name == "sex":
        return list(SEXES)
    derived = one.pack.derived.get(name)
    if derived is None:
        return None
    given = texts(derived.source) - {one.text for one in comparisons(derived.source) if one.text is not None}
    return sorted(given) or None


def _kind(one: Checking, name: str) -> str | None:
    """What kind of value a fact is. None: not known, or a list, or worked out."""
    concept = one.pack.concepts.get(name)
    if concept is not None:
        return concept.kind
    if name in PERSON_FACTS:
        return {"sex": "coded", "age_known": "boolean"}.get(name, "integer")
    return None
