"""Reading what a pack says about meaning: concepts, activities, forms, categories, indicators.

Each function takes nodes and a :class:`Findings`; what cannot be read is left out with a finding, so that one
wrong line shows beside all the others.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connector.identity import digest
from connector.mappings.concepts import KINDS
from connector.mappings.expressions import Compiled, ExpressionError, compile_expression, first_of
from connector.mappings.pack import (
    ActivityKind,
    Category,
    Concept,
    FactRule,
    FormMapping,
    Indicator,
    Place,
    Predicate,
)
from connector.mappings.yaml_nodes import (
    MAX_BYTES,
    Any_,
    Findings,
    Map,
    Scalar,
    Section,
    Seq,
    plain,
    read_yaml,
    sections,
    words,
)

CODE_SYSTEMS = ("ciel", "loinc", "snomed", "icd11", "who")
ENTITIES = ("person", "place", "worker")
AGGREGATES = ("count", "sum", "distinct")
DISTINCT = ("subject", "worker", "household", "group", "place")
AREAS = ("sec", "epargne", "promotion", "gouvernance")
#: The option every category has for what is not known.
UNKNOWN = "unknown"
_NO_UPPER = 1_000_000


@dataclass
class Reading:
    """The pack being read: its folder, zone and findings, and the tables used by the file at hand."""

    folder: Path
    zone: str
    findings: Findings
    tables: dict[str, dict[str, str | None]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def compile(self, text: str, at: Place, what: str) -> Compiled | None:
        try:
            return compile_expression(text, zone=self.zone)
        except ExpressionError as error:
            self.findings.add("expression.syntax", at, f"{what}: {error}", "See jsonata.org for the language.")
            return None

    def predicate(self, node: Any_ | None, what: str) -> Predicate | None:
        if node is None:
            return None
        if not isinstance(node, Scalar):
            self.findings.add("value.type", node.at, f"{what} must be an expression", "")
            return None
        compiled = self.compile(node.text, node.at, what)
        return Predicate(node.text, compiled) if compiled else None

    def table(self, name: str, at: Place) -> dict[str, str | None]:
        """A two-column CSV of the pack: what the form writes -> what it means (``~`` or empty: not asked)."""
        self.used.add(name)
        if name not in self.tables:
            self.tables[name] = {}
            path = (self.folder / name).resolve()
            if not path.is_relative_to(self.folder.resolve()) or not path.is_file():
                self.findings.add("table.missing", at, f"there is no table {name}", "Create it, or mend the path.")
            else:
                self.tables[name] = self._rows(path, name)
        return self.tables[name]

    def _rows(self, path: Path, name: str) -> dict[str, str | None]:
        if path.stat().st_size > MAX_BYTES:
            self.findings.add("file.too_big", Place(name, 1), f"{name} is larger than {MAX_BYTES} bytes", "Split it.")
            return {}
        found: dict[str, str | None] = {}
        with path.open(encoding="utf-8-sig", newline="") as lines:
            for row in list(csv.reader(lines))[1:]:
                if len(row) >= 2 and not row[0].startswith("#"):
                    found[row[0].strip()] = None if row[1].strip() in ("", "~") else row[1].strip()
        return found


# ---------------------------------------------------------------- dictionary


def read_concepts(reading: Reading, name: str = "concepts.yaml") -> dict[str, Concept]:
    found: dict[str, Concept] = {}
    top = Section(read_yaml(reading.folder / name, name, reading.findings), Place(name, 1), reading.findings, name)
    for entry in top.sections("concepts", required=True):
        identifier = entry.text("id", required=True)
        concept = Concept(
            id=identifier,
            kind=entry.text("kind", "text", required=True, among=KINDS),
            name=entry.texts("name", required=True),
            codings=_codings(entry),
            unit=entry.maybe("unit"),
            answers=_answers(entry),
            fhir=_plain_map(entry.node("fhir")),
            at=entry.at,
        )
        entry.done()
        _keep(found, identifier, concept, entry)
    top.done()
    return found


def _codings(entry: Section) -> dict[str, str]:
    part = entry.section("codings")
    found = {system: part.text(system) for system in CODE_SYSTEMS if system in part}
    part.maybe("from")  # where the codes were read: for people
    part.done()
    return found


def _answers(entry: Section) -> dict[str, str]:
    node = entry.node("answers")
    if isinstance(node, Seq):
        return {item.text: item.text for item in node.items if isinstance(item, Scalar)}
    return words(node, entry.findings, f"{entry.what}: answers") if node is not None else {}


def _plain_map(node: Any_ | None) -> dict[str, Any]:
    value = plain(node) if node is not None else {}
    return value if isinstance(value, dict) else {}


def _keep(found: dict[str, Any], identifier: str, value: Any, entry: Section) -> None:
    if not identifier:
        return
    if identifier in found:
        first = found[identifier].at
        entry.findings.add(
            "id.twice", entry.at, f"{identifier} is declared twice", f"First at {first.file}:{first.line}."
        )
        return
    found[identifier] = value


def read_activities(
    reading: Reading, name: str = "activities.yaml"
) -> tuple[dict[str, ActivityKind], dict[str, Predicate]]:
    """The kinds of activity, and the facts derived from facts."""
    found: dict[str, ActivityKind] = {}
    top = Section(read_yaml(reading.folder / name, name, reading.findings), Place(name, 1), reading.findings, name)
    for entry in top.sections("activities", required=True):
        identifier = entry.text("id", required=True)
        kind = ActivityKind(
            id=identifier,
            name=entry.texts("name", required=True),
            fhir=_plain_map(entry.node("fhir")),
            facts=tuple(entry.names("facts")),
            at=entry.at,
        )
        entry.done()
        _keep(found, identifier, kind, entry)
    derived: dict[str, Predicate] = {}
    node = top.node("derived")
    if isinstance(node, Map):
        for fact, expression in node.entries.items():
            predicate = reading.predicate(expression, f"derived {fact}")
            if predicate:
                derived[fact] = predicate
    top.done()
    return found, derived


def read_categories(reading: Reading, name: str = "categories.yaml") -> dict[str, Category]:
    found: dict[str, Category] = {}
    top = Section(read_yaml(reading.folder / name, name, reading.findings), Place(name, 1), reading.findings, name)
    for entry in top.sections("categories", required=True):
        identifier = entry.text("id", required=True)
        category = _category(entry, identifier)
        entry.done()
        _keep(found, identifier, category, entry)
    top.done()
    return found


def _category(entry: Section, identifier: str) -> Category:
    prefix = entry.text("prefix", identifier)
    fact = entry.text("fact", required=True)
    options: dict[str, str] = {}
    names: dict[str, dict[str, str]] = {}
    bands: dict[str, tuple[int, int]] = {}
    band_facts: dict[str, str] = {}
    for option in entry.sections("options", required=True):
        label = option.text("id", required=True)
        options[label] = option.text("code", f"{prefix}_{label.upper()}")
        names[label] = option.texts("name", required=True)
        if "from" in option or "below" in option:
            bands[label] = (_number(option, "from", 0), _number(option, "below", _NO_UPPER))
            if "measured_in" in option:
                band_facts[label] = option.text("measured_in", among=("age_days", "age_months", "age_years"))
        option.done()
    options.setdefault(UNKNOWN, f"{prefix}_UNK")
    names.setdefault(UNKNOWN, {"fr": "Inconnu", "en": "Unknown"})
    return Category(
        id=identifier,
        name=entry.texts("name", required=True),
        fact=fact,
        options=options,
        option_names=names,
        bands=bands or None,
        code=entry.text("code", identifier),
        band_facts=band_facts,
        at=entry.at,
    )


def _number(section: Section, key: str, default: int) -> int:
    text = section.text(key, str(default))
    if text.isdigit():
        return int(text)
    section.findings.add("value.type", section.place(key), f"{section.what}: {key} must be a whole number", "")
    return default


# ---------------------------------------------------------------- forms


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


# ---------------------------------------------------------------- indicators


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
            _keep(found, indicator.id, indicator, entry)
    top.done()


def _indicator(
    reading: Reading, entry: Section, area: str, data_set: str, codes: ElementCodes, meaning: Mapping[str, Any]
) -> Indicator | None:
    identifier = entry.text("id", required=True)
    aggregate = entry.text("aggregate", "count", among=AGGREGATES)
    parts = _parts(reading, entry)
    amount = _amounts(reading, entry, aggregate, parts)
    by = tuple(entry.names("by"))
    distinct = entry.text("distinct", among=DISTINCT) or None
    if (aggregate == "distinct") != (distinct is not None):
        reading.findings.add(
            "indicator.distinct", entry.at, f"{identifier}: aggregate distinct and distinct: ... go together", ""
        )
    indicator = Indicator(
        id=identifier,
        name=entry.texts("name", required=True),
        counts=tuple(entry.names("counts", required=True)),
        parts=parts,
        aggregate=aggregate,
        amount=amount,
        distinct=distinct,
        each=entry.maybe("each"),
        by=by,
        data_set=entry.text("data_set", data_set),
        elements={part: codes.code(identifier, part) for part in parts},
        chis=entry.maybe("chis"),
        area=area,
        at=entry.at,
        version=digest([plain(entry.map), [meaning.get(one) for one in by], meaning.get("")])[:16],
    )
    return indicator if identifier and parts else None


def _parts(reading: Reading, entry: Section) -> dict[str, Predicate]:
    """``where`` for a count; ``denominator`` and ``numerator`` for a ratio.

    A numerator is part of its denominator: both conditions must hold, so nobody has to write the first one twice.
    """
    ratio = "numerator" in entry or "denominator" in entry
    if not ratio:
        node = entry.node("where")
        predicate = reading.predicate(node, f"{entry.what}: where") if node is not None else always()
        return {"count": predicate} if predicate else {}
    whole = entry.text("denominator", "true", required=True)
    part = entry.text("numerator", "true", required=True)
    at = entry.place("denominator")
    den = reading.compile(whole, at, f"{entry.what}: denominator")
    alone = reading.compile(part, entry.place("numerator"), f"{entry.what}: numerator")
    if den is None or alone is None:
        return {}
    if whole == "true":
        return {"num": Predicate(part, alone, alone), "den": always()}
    both = f"({whole}) and ({part})"
    num = reading.compile(both, at, entry.what)
    return {"num": Predicate(both, num, alone), "den": Predicate(whole, den)} if num else {}


def always() -> Predicate:
    return Predicate("true", compile_expression("true"))


def _amounts(
    reading: Reading, entry: Section, aggregate: str, parts: Mapping[str, Predicate]
) -> dict[str, Predicate] | None:
    node = entry.node("amount", required=aggregate == "sum")
    if aggregate != "sum" or node is None:
        if node is not None:
            reading.findings.add("indicator.amount", node.at, f"{entry.what}: amount is for aggregate: sum", "")
        return None
    if isinstance(node, Scalar):
        predicate = reading.predicate(node, f"{entry.what}: amount")
        return dict.fromkeys(parts, predicate) if predicate else None
    section = Section(node, node.at, reading.findings, f"{entry.what}: amount")
    found = {
        part: reading.predicate(section.node(key, required=True), f"{entry.what}: amount {key}")
        for part, key in (("num", "numerator"), ("den", "denominator"))
    }
    section.done()
    return {part: one for part, one in found.items() if one is not None}


def files(folder: Path, pattern: str) -> Sequence[str]:
    """Mapping files of the pack by name, without the examples beside them."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.glob(pattern) if not path.name.endswith(".test.yaml")
    )


__all__ = ["ElementCodes", "Reading", "files", "sections"]
