"""Reading form mappings: how a form becomes an activity with facts, or registers a person, place or worker."""

from __future__ import annotations

from collections.abc import Mapping

from connector.findings import nearest, of
from connector.identity import digest
from connector.mappings import pack_shapes as shapes
from connector.mappings.config_reading import Reading
from connector.mappings.expressions import first_of
from connector.mappings.pack import FactRule, FormMapping, Place
from connector.mappings.sections import Section
from connector.mappings.shapes import join
from connector.mappings.yaml_nodes import Any_, Map, Scalar, Seq

#: What may stand beside each way to give a fact.
_BESIDE = {"value": ("codes",), "first": ("codes",), "constant": (), "each": ("items",), "rows": ()}


def read_form(reading: Reading, name: str) -> list[FormMapping]:
    """The mappings of one file: one for each form name it lists."""
    path = reading.folder / name
    reading.used = set()
    top = reading.file(name, shapes.FORM)
    head = top.section("form")
    source = head.text("source")
    form_names = head.names("name")
    activity = top.maybe("activity")
    registers = top.maybe("registers")
    if ("activity" in top) == ("registers" in top):
        at = top.place("registers") if "registers" in top else top.at
        reading.findings.add("form.purpose", at)
    if activity is not None and top.node("date") is None:
        reading.findings.add("key.missing", top.at, what="", key="date")
    parts = {key: _fact(reading, key, top.node(key), "", top.place(key)) for key in shapes.HEADS}
    facts = _facts(reading, top.node("facts"), "facts")
    referral = _referral(reading, top.section("referral")) if "referral" in top else None
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
            at=head.value_at("name"),
            **parts,
        )
        for form_name in form_names
    ]


def _referral(reading: Reading, section: Section) -> dict[str, FactRule] | None:
    found = {}
    for key in shapes.REFERRAL:
        rule = _fact(reading, key, section.node(key), section.what, section.place(key))
        if rule:
            found[key] = rule
    return found if "when" in found else None


def _facts(reading: Reading, node: Any_ | None, what: str) -> tuple[FactRule, ...]:
    if not isinstance(node, Map):
        return ()
    rules = (_fact(reading, fact, value, what, node.keys_at[fact]) for fact, value in node.entries.items())
    return tuple(rule for rule in rules if rule is not None)


def _fact(reading: Reading, name: str, node: Any_ | None, what: str, at: Place) -> FactRule | None:
    """One fact: an expression, or ``{value|first|constant|each|rows, codes, items}``. ``at``: where its name stands."""
    if node is None or isinstance(node, Seq):
        return None
    label = join(what, name)
    if isinstance(node, Scalar):
        compiled = reading.compile(node, label)
        return FactRule(name, compiled, source=node.text, at=at) if compiled else None
    return _fact_section(reading, name, Section(node, node.at, reading.findings, label, shapes.FACT), at)


def _fact_section(reading: Reading, name: str, section: Section, at: Place) -> FactRule | None:
    ways = [key for key in ("value", "first", "constant", "each", "rows") if key in section]
    if len(ways) != 1:
        reading.findings.add("fact.way", section.place(ways[1]) if ways else section.at, what=section.what)
        return None
    way = ways[0]
    for key in section.map.entries:
        if key in ("codes", "items") and key not in _BESIDE[way]:  # it would do nothing
            near = nearest(key, _BESIDE[way])
            reading.findings.add("key.unknown", section.place(key), what=of(section.what), key=key, nearest=near)
    codes = _codes(reading, section)
    if way == "constant":
        text = section.text("constant")
        return FactRule(name, None, constant=text, source=f"'{text}'", at=at)
    if way == "rows":
        return _rows_rule(reading, name, section, at)
    written = section.node(way)
    nodes = [one for one in (written.items if isinstance(written, Seq) else [written]) if isinstance(one, Scalar)]
    compiled = [one for node in nodes if (one := reading.compile(node, section.what))]
    if not compiled or len(compiled) != len(nodes):
        return None
    source = " | ".join(node.text for node in nodes)
    expression = compiled[0] if way != "first" else first_of(compiled)
    if way == "each":
        if section.node("items") is None:
            reading.findings.add("key.missing", section.at, what=of(section.what), key="items")
        items = {rule.name: rule for rule in _facts(reading, section.node("items"), section.what)}
        return FactRule(name, expression, items=items, source=source, at=at)
    return FactRule(name, expression, codes=codes, source=source, at=at)


def _rows_rule(reading: Reading, name: str, section: Section, at: Place) -> FactRule | None:
    node = section.node("rows")
    if not isinstance(node, Seq):
        return None
    rows = tuple(
        {rule.name: rule for rule in _facts(reading, row, f"{section.what} {number}")}
        for number, row in enumerate(node.items, 1)
    )
    return FactRule(name, None, rows=rows, source=f"{len(rows)} rows", at=at)


def _codes(reading: Reading, section: Section) -> Mapping[str, str | None] | None:
    node = section.node("codes")
    if isinstance(node, Scalar):
        return reading.table(node.text, node.at)
    if not isinstance(node, Map):
        return None
    return {
        key: value.text if isinstance(value, Scalar) and not value.empty else None
        for key, value in node.entries.items()
    }
