"""Reading indicators: what is counted, for whom, and how it is called in DHIS2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connector.identity import digest
from connector.mappings.config_dictionary import keep
from connector.mappings.config_reading import Reading
from connector.mappings.expressions import compile_expression
from connector.mappings.pack import (
    Indicator,
    PartRule,
    Place,
    Predicate,
)
from connector.mappings.yaml_nodes import (
    Map,
    Scalar,
    Section,
    plain,
    read_yaml,
)

AGGREGATES = ("count", "sum", "distinct", "first", "latest")
DISTINCT = ("subject", "worker", "household", "group", "place")
AREAS = ("sec", "epargne", "promotion", "gouvernance")


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
    top = Section(read_yaml(reading.folder / name, name, reading.findings), Place(name, 1), reading.findings, name)
    area = top.text("area", "sec", required=True, among=AREAS)
    data_set = top.text("data_set")
    for entry in top.sections("indicators", required=True):
        indicator = _indicator(reading, entry, area, data_set, codes, meaning)
        entry.done()
        if indicator:
            keep(found, indicator.id, indicator, entry)
    top.done()


def _indicator(
    reading: Reading, entry: Section, area: str, data_set: str, codes: ElementCodes, meaning: Mapping[str, Any]
) -> Indicator | None:
    identifier = entry.text("id", required=True)
    parts, own = _parts(reading, entry)
    rules = _rules(reading, entry, parts, own)
    kinds = tuple(dict.fromkeys(kind for rule in rules.values() for kind in rule.counts))
    by = dict.fromkeys(one for rule in rules.values() for one in rule.by)
    meant = [meaning.get(one) for one in (*by, *kinds)]
    indicator = Indicator(
        id=identifier,
        name=entry.texts("name", required=True),
        definition=entry.texts("definition"),
        counts=kinds,
        parts=parts,
        rules=rules,
        data_set=entry.text("data_set", data_set),
        elements={part: codes.code(identifier, part) for part in parts},
        chis=entry.maybe("chis"),
        area=area,
        at=entry.at,
        small=entry.count("small"),
        version=digest([_counted(entry), meant, meaning.get("")])[:16],
        nested=set(parts) == {"num", "den"} and not own,
    )
    return indicator if identifier and parts else None


def _counted(entry: Section) -> dict[str, Any]:
    """The entry without what is for people alone: mending a definition counts nothing again."""
    return {key: value for key, value in plain(entry.map).items() if key not in ("definition", "small")}


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
    own = {
        part: entry.section(key)
        for part, key in (("num", "numerator"), ("den", "denominator"))
        if isinstance(entry.node(key, required=True), Map)
    }
    if own:
        found = {}
        for part, key in (("num", "numerator"), ("den", "denominator")):
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
    whole = entry.text("denominator", "true", required=True)
    part = entry.text("numerator", "true", required=True)
    at = entry.place("denominator")
    den = reading.compile(whole, at, f"{entry.what}: denominator")
    alone = reading.compile(part, entry.place("numerator"), f"{entry.what}: numerator")
    if den is None or alone is None:
        return {}
    if whole == "true":
        return {"num": Predicate(part, alone, alone, entry.place("numerator")), "den": always()}
    both = f"({whole}) and ({part})"
    num = reading.compile(both, at, entry.what)
    if num is None:
        return {}
    return {"num": Predicate(both, num, alone, entry.place("numerator")), "den": Predicate(whole, den, at=at)}


def always() -> Predicate:
    return Predicate("true", compile_expression("true"))


def _rules(
    reading: Reading, entry: Section, parts: Mapping[str, Predicate], own: Mapping[str, Section]
) -> dict[str, PartRule]:
    """The rule of each part. What is written for the whole holds where a part says nothing."""
    amounts = _amounts(reading, entry)
    whole = _rule(reading, entry, None, amounts.get(""))
    if len(own) < 2 and not whole.counts:
        entry.node("counts", required=True)
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
            section.done()
        _check(reading, section or entry, rules[part])
    return rules


def _rule(reading: Reading, section: Section, whole: PartRule | None, amount: Predicate | None) -> PartRule:
    """One part as written, or the indicator's own keys. What a part does not say is as the whole says."""
    base = whole or PartRule((), "count")
    among = section.node("among")
    aggregate = section.text("aggregate", base.aggregate, among=AGGREGATES)
    same = aggregate == base.aggregate  # a part counted otherwise does not inherit how the whole is counted
    inherited = base.among if same else None
    return PartRule(
        counts=tuple(section.names("counts")) or base.counts,
        aggregate=aggregate,
        distinct=section.text("distinct", (base.distinct or "") if same else "", among=DISTINCT) or None,
        at_least=_whole_number(section, "distinct_at_least", base.at_least if same else 1),
        each=section.text("each", base.each or "") or None,
        by=tuple(section.names("by")) if "by" in section else base.by,
        among=reading.predicate(among, f"{section.what}: among") if among is not None else inherited,
        period=section.text("period", base.period or "") or None,
        amount=amount,
    )


def _whole_number(section: Section, key: str, default: int) -> int:
    text = section.text(key, str(default))
    if text.isdigit() and 1 <= int(text) <= 1_000:
        return int(text)
    section.findings.add("value.type", section.place(key), f"{section.what}: {key} must be a whole number", "")
    return default


def _check(reading: Reading, section: Section, rule: PartRule) -> None:
    once = rule.aggregate in ("distinct", "first", "latest")
    if once != (rule.distinct is not None):
        reading.findings.add(
            "indicator.distinct",
            section.at,
            f"{section.what}: aggregate {rule.aggregate} {'needs' if once else 'has no'} distinct",
            "distinct says whom or what is counted once, or of whom the first or latest record counts.",
        )
    if rule.aggregate == "sum" and rule.amount is None:
        reading.findings.add("key.missing", section.at, f"{section.what}: amount is missing", "Add  amount: ...")
    if rule.amount is not None and rule.aggregate in ("count", "distinct"):
        reading.findings.add(
            "indicator.amount", section.at, f"{section.what}: amount is for aggregate: sum, first or latest", ""
        )
    if rule.at_least > 1 and (rule.aggregate != "distinct" or rule.each is not None):
        reading.findings.add(
            "indicator.at_least", section.at, f"{section.what}: distinct_at_least is for aggregate: distinct", ""
        )
    if rule.among is not None and rule.aggregate not in ("first", "latest"):
        reading.findings.add(
            "indicator.among", section.at, f"{section.what}: among is for aggregate: first or latest", "Use where."
        )


def _amounts(reading: Reading, entry: Section) -> dict[str, Predicate]:
    """``amount``: one expression (under ``""``), or one for each part."""
    node = entry.node("amount")
    if node is None:
        return {}
    if isinstance(node, Scalar):
        predicate = reading.predicate(node, f"{entry.what}: amount")
        return {"": predicate} if predicate else {}
    section = Section(node, node.at, reading.findings, f"{entry.what}: amount")
    found = {
        part: reading.predicate(section.node(key, required=True), f"{entry.what}: amount {key}")
        for part, key in (("num", "numerator"), ("den", "denominator"))
    }
    section.done()
    return {part: one for part, one in found.items() if one is not None}
