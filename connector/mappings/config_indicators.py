"""Reading indicators: what is counted, for whom, and how it is called in DHIS2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connector.findings import nearest
from connector.identity import digest
from connector.mappings import pack_shapes as shapes
from connector.mappings.config_dictionary import keep
from connector.mappings.config_reading import Reading
from connector.mappings.expressions import Compiled, compile_expression
from connector.mappings.pack import Indicator, PartRule, Predicate
from connector.mappings.sections import Section
from connector.mappings.shapes import prefix
from connector.mappings.yaml_nodes import Map, Scalar, plain

#: The parts of a ratio, and the keys they are written under.
_RATIO = (("num", "numerator"), ("den", "denominator"))
#: Keys that change no figure.
_FOR_PEOPLE = ("definition", "small", "periodicity")


@dataclass(frozen=True)
class ElementCodes:
    """How a DHIS2 data element is called: ``<prefix><id><suffix of the part>``, but for the exceptions."""

    prefix: str = ""
    numerator: str = "_NUM"
    denominator: str = "_DEN"
    exceptions: Mapping[str, str] = field(default_factory=dict)

    def code(self, indicator: str, part: str) -> str:
        suffix = {"num": self.numerator, "den": self.denominator}.get(part, "")
        name = f"{indicator}{suffix}"
        return self.exceptions.get(name, f"{self.prefix}{name}")


def read_indicators(
    reading: Reading, name: str, codes: ElementCodes, found: dict[str, Indicator], meaning: Mapping[str, Any]
) -> None:
    """Add the indicators of one file. ``meaning``: what else a count depends on, by id, for its version."""
    top = reading.file(name, shapes.INDICATORS)
    area, data_set = top.text("area"), top.text("data_set")
    for entry in top.sections("indicators"):
        indicator = _indicator(reading, entry, area, data_set, codes, meaning)
        if indicator:
            keep(found, indicator.id, indicator, entry)


def _indicator(
    reading: Reading, entry: Section, area: str, data_set: str, codes: ElementCodes, meaning: Mapping[str, Any]
) -> Indicator | None:
    identifier = entry.text("id")
    parts, own = _parts(reading, entry)
    rules = _rules(reading, entry, parts, own)
    kinds = tuple(dict.fromkeys(kind for rule in rules.values() for kind in rule.counts))
    by = dict.fromkeys(one for rule in rules.values() for one in rule.by)
    meant = [meaning.get(one) for one in (*by, *kinds)]
    indicator = Indicator(
        id=identifier,
        name=entry.texts("name"),
        definition=entry.texts("definition"),
        counts=kinds,
        parts=parts,
        rules=rules,
        data_set=entry.text("data_set") or data_set,
        elements={part: codes.code(identifier, part) for part in parts},
        chis=entry.maybe("chis"),
        area=area,
        at=entry.at,
        small=entry.count("small"),
        periodicity=entry.maybe("periodicity"),
        version=digest([_counted(entry), meant, meaning.get("")])[:16],
        nested=set(parts) == {"num", "den"} and not own,
    )
    return indicator if identifier and parts else None


def _counted(entry: Section) -> dict[str, Any]:
    """The entry without what is for people alone: mending a definition counts nothing again."""
    return {key: value for key, value in plain(entry.map).items() if key not in _FOR_PEOPLE}


def _parts(reading: Reading, entry: Section) -> tuple[dict[str, Predicate], dict[str, Section]]:
    """The conditions: ``where`` for a count; ``denominator`` and ``numerator`` for a ratio. And the parts that are
    written out with a rule of their own.

    Written as conditions, a numerator is part of its denominator: both must hold, so nobody has to write the first one
    twice. When one of them is written out (``numerator: {counts: ..., where: ...}``), each stands alone.
    """
    ratio = "numerator" in entry or "denominator" in entry
    if not ratio:
        predicate = _where(reading, entry, entry.what)
        return ({"count": predicate} if predicate else {}), {}
    if "where" in entry:  # it would do nothing
        near = nearest("where", ("denominator", "numerator"))
        reading.findings.add("key.unknown", entry.place("where"), what=prefix(entry.what), key="where", nearest=near)
    for _, key in _RATIO:
        if entry.node(key) is None:
            reading.findings.add("key.missing", entry.at, what=prefix(entry.what), key=key)
    own = {part: entry.section(key) for part, key in _RATIO if isinstance(entry.node(key), Map)}
    if own:
        found = {}
        for part, key in _RATIO:
            section = own.get(part)
            predicate = (
                _where(reading, section, section.what)
                if section is not None
                else reading.predicate(entry.node(key), f"{entry.what}: {key}")
            )
            if predicate:
                found[part] = predicate
        return (found if len(found) == 2 else {}), own
    return _nested(reading, entry), {}


def _where(reading: Reading, section: Section, what: str) -> Predicate | None:
    node = section.node("where")
    return reading.predicate(node, f"{what}: where") if node is not None else always()


def _nested(reading: Reading, entry: Section) -> dict[str, Predicate]:
    whole, part = (_condition(entry, key) for key in ("denominator", "numerator"))
    den = _compile(reading, entry, "denominator", whole)
    alone = _compile(reading, entry, "numerator", part)
    if den is None or alone is None:
        return {}
    at, beside = entry.value_at("denominator"), entry.value_at("numerator")
    if whole == "true":
        return {"num": Predicate(part, alone, alone, beside), "den": always()}
    both = f"({whole}) and ({part})"
    num = _compile(reading, entry, "denominator", both)
    if num is None:
        return {}
    return {"num": Predicate(both, num, alone, beside), "den": Predicate(whole, den, at=at)}


def _condition(entry: Section, key: str) -> str:
    node = entry.node(key)
    return node.text if isinstance(node, Scalar) else "true"


def _compile(reading: Reading, entry: Section, key: str, text: str) -> Compiled | None:
    """The condition of a key, or a longer one made of it."""
    node = entry.node(key)
    if not isinstance(node, Scalar):
        node = Scalar(text, False, entry.at)
    return reading.compile(node, f"{entry.what}: {key}", None if text == node.text else text)


def always() -> Predicate:
    return Predicate("true", compile_expression("true"))


def _rules(
    reading: Reading, entry: Section, parts: Mapping[str, Predicate], own: Mapping[str, Section]
) -> dict[str, PartRule]:
    """The rule of each part. What is written for the whole holds where a part says nothing."""
    amounts = _amounts(reading, entry)
    whole = _rule(reading, entry, None, amounts.get(""))
    if len(own) < 2 and not whole.counts:
        reading.findings.add("key.missing", entry.at, what=prefix(entry.what), key="counts")
    rules = {}
    for part in parts:
        amount = amounts.get(part, amounts.get(""))
        section = own.get(part)
        if section is None:
            rules[part] = replace(whole, amount=amount)
        else:
            node = section.node("amount")
            mine = reading.predicate(node, f"{section.what}: amount") if node is not None else amount
            rules[part] = _rule(reading, section, whole, mine)
    for part, section in own.items():
        _check(reading, section, rules.get(part, whole))
    if len(own) < len(parts):
        _check(reading, entry, replace(whole, amount=next(iter(amounts.values()), None)))
    return rules


def _rule(reading: Reading, section: Section, whole: PartRule | None, amount: Predicate | None) -> PartRule:
    """One part as written, or the indicator's own keys. What a part does not say is as the whole says."""
    base = whole or PartRule((), "count")
    among = section.node("among")
    aggregate = section.text("aggregate") or base.aggregate
    same = aggregate == base.aggregate  # a part counted otherwise does not inherit how the whole is counted
    inherited = base.among if same else None
    return PartRule(
        counts=tuple(section.names("counts")) or base.counts,
        aggregate=aggregate,
        distinct=section.maybe("distinct") or (base.distinct if same else None),
        at_least=section.count("distinct_at_least") or (base.at_least if same else 1),
        each=section.maybe("each") or base.each,
        by=tuple(section.names("by")) if "by" in section else base.by,
        among=reading.predicate(among, f"{section.what}: among") if among is not None else inherited,
        period=section.maybe("period") or base.period,
        amount=amount,
    )


def _check(reading: Reading, section: Section, rule: PartRule) -> None:
    add, what = reading.findings.add, section.what
    once = rule.aggregate in ("distinct", "first", "latest")
    if once != (rule.distinct is not None):
        at = section.place("distinct") if "distinct" in section else section.value_at("aggregate")
        add("indicator.distinct", at, what=what, aggregate=rule.aggregate)
    if rule.aggregate == "sum" and rule.amount is None:
        add("key.missing", section.at, what=prefix(what), key="amount")
    if rule.amount is not None and rule.aggregate in ("count", "distinct"):
        add("indicator.amount", section.place("amount"), what=what)
    if rule.at_least > 1 and (rule.aggregate != "distinct" or rule.each is not None):
        add("indicator.at_least", section.place("distinct_at_least"), what=what)
    if rule.among is not None and rule.aggregate not in ("first", "latest"):
        add("indicator.among", section.place("among"), what=what)


def _amounts(reading: Reading, entry: Section) -> dict[str, Predicate]:
    """``amount``: one expression (under ``""``), or one for each part."""
    node = entry.node("amount")
    if isinstance(node, Scalar):
        predicate = reading.predicate(node, f"{entry.what}: amount")
        return {"": predicate} if predicate else {}
    if not isinstance(node, Map):
        return {}
    found = {part: reading.predicate(node.entries.get(key), f"{entry.what}: amount: {key}") for part, key in _RATIO}
    return {part: one for part, one in found.items() if one is not None}
