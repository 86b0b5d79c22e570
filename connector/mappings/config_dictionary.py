"""Reading the words of a pack: concepts, kinds of activity and derived facts, categories.

What cannot be read is left out with a finding, so that one wrong line shows beside all the others.
"""

from __future__ import annotations

from typing import Any

from connector.mappings.concepts import KINDS
from connector.mappings.config_reading import Reading
from connector.mappings.pack import (
    UNKNOWN,
    ActivityKind,
    Category,
    Concept,
    Place,
    Predicate,
)
from connector.mappings.yaml_nodes import (
    Any_,
    Map,
    Scalar,
    Section,
    Seq,
    plain,
    read_yaml,
    words,
)

CODE_SYSTEMS = ("ciel", "loinc", "snomed", "icd11", "who")
_NO_UPPER = 1_000_000


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
        keep(found, identifier, concept, entry)
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


def keep(found: dict[str, Any], identifier: str, value: Any, entry: Section) -> None:
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
        keep(found, identifier, kind, entry)
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
        keep(found, identifier, category, entry)
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
