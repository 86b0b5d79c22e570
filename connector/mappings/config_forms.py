"""Reading form mappings: how a form becomes an activity with facts, or registers a person, place or worker."""

from __future__ import annotations

from collections.abc import Mapping

from connector.identity import digest
from connector.mappings.config_reading import Reading
from connector.mappings.expressions import first_of
from connector.mappings.pack import (
    FactRule,
    FormMapping,
    Place,
)
from connector.mappings.yaml_nodes import (
    Any_,
    Map,
    Scalar,
    Section,
    Seq,
    read_yaml,
)

ENTITIES = ("person", "place", "worker")


def read_form(reading: Reading, name: str) -> list[FormMapping]:
    """The mappings of one file: one for each form name it lists."""
    path = reading.folder / name
    reading.used = set()
    top = Section(read_yaml(path, name, reading.findings), Place(name, 1), reading.findings, name)
    head = top.section("form", required=True)
    source = head.text("source", required=True)
    form_names = head.names("name", required=True)
    head.done()
    activity = top.maybe("activity")
    registers = top.text("registers", among=ENTITIES) or None
    if (activity is None) == (registers is None):
        reading.findings.add(
            "form.purpose", top.at, f"{name}: give either activity or registers", "activity: ... or registers: person"
        )
    wants_date = activity is not None
    parts = {
        key: _fact(reading, key, top.node(key, required=wants_date and key == "date"), name)
        for key in ("date", "time", "place", "worker", "subject", "key")
    }
    facts = _facts(reading, top.node("facts"), f"{name}: facts")
    referral = _referral(reading, top.section("referral")) if "referral" in top else None
    top.done()
    if not source or not form_names or (activity is None and registers is None):
        return []
    tables = {table: reading.tables.get(table) for table in sorted(reading.used)}
    content = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    version = digest({"file": content, "tables": tables, "zone": reading.zone})[:16]
    return [
        FormMapping(
            source=source,
            name=form_name,
            activity=activity,
            registers=registers,
            facts=facts,
            referral=referral,
            file=name,
            version=version,
            at=Place(name, 1),
            **parts,
        )
        for form_name in form_names
    ]


def _referral(reading: Reading, section: Section) -> dict[str, FactRule] | None:
    found = {}
    for key in ("when", "to", "urgent", "reason", "reasons", "note"):
        rule = _fact(reading, key, section.node(key, required=key == "when"), section.what)
        if rule:
            found[key] = rule
    section.done()
    return found if "when" in found else None


def _facts(reading: Reading, node: Any_ | None, what: str) -> tuple[FactRule, ...]:
    if node is None:
        return ()
    if not isinstance(node, Map):
        reading.findings.add("value.type", node.at, f"{what} must be a list of  fact: expression", "")
        return ()
    rules = (_fact(reading, fact, value, what) for fact, value in node.entries.items())
    return tuple(rule for rule in rules if rule is not None)


def _fact(reading: Reading, name: str, node: Any_ | None, what: str) -> FactRule | None:
    """One fact: an expression, or ``{value|first|constant|each|rows, codes, items}``."""
    if node is None:
        return None
    label = f"{what} {name}"
    if isinstance(node, Scalar):
        compiled = reading.compile(node.text, node.at, label)
        return FactRule(name, compiled, source=node.text, at=node.at) if compiled else None
    section = Section(node, node.at, reading.findings, label)
    rule = _fact_section(reading, name, section)
    section.done()
    return rule


def _fact_section(reading: Reading, name: str, section: Section) -> FactRule | None:
    at = section.at
    ways = [key for key in ("value", "first", "constant", "each", "rows") if key in section]
    if len(ways) != 1:
        reading.findings.add(
            "fact.way", at, f"{section.what}: give one of value, first, constant, each, rows", "value: path.of.answer"
        )
        return None
    way = ways[0]
    codes = _codes(reading, section)
    if way == "constant":
        text = section.text("constant")
        return FactRule(name, None, constant=text, source=f"'{text}'", at=at)
    if way == "rows":
        return _rows_rule(reading, name, section)
    texts = section.names(way)
    if way != "first" and len(texts) != 1:
        return None
    compiled = [one for text in texts if (one := reading.compile(text, section.place(way), section.what))]
    if not compiled or len(compiled) != len(texts):
        return None
    source = " | ".join(texts)
    expression = compiled[0] if way != "first" else first_of(compiled)
    if way == "each":
        items = {rule.name: rule for rule in _facts(reading, section.node("items", required=True), section.what)}
        return FactRule(name, expression, items=items, source=source, at=at)
    return FactRule(name, expression, codes=codes, source=source, at=at)


def _rows_rule(reading: Reading, name: str, section: Section) -> FactRule | None:
    node = section.node("rows")
    if not isinstance(node, Seq):
        reading.findings.add("value.type", section.at, f"{section.what}: rows must be a list", "Start each row with  -")
        return None
    rows = tuple(
        {rule.name: rule for rule in _facts(reading, row, f"{section.what} row {number}")}
        for number, row in enumerate(node.items, 1)
    )
    return FactRule(name, None, rows=rows, source=f"{len(rows)} rows", at=section.at)


def _codes(reading: Reading, section: Section) -> Mapping[str, str | None] | None:
    node = section.node("codes")
    if node is None:
        return None
    if isinstance(node, Scalar):
        return reading.table(node.text, node.at)
    if isinstance(node, Map):
        return {
            key: None
            if isinstance(value, Scalar) and value.empty
            else value.text
            if isinstance(value, Scalar)
            else None
            for key, value in node.entries.items()
        }
    reading.findings.add("value.type", node.at, f"{section.what}: codes must be a table or a list", "")
    return None
