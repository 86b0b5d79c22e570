"""Reading the words of a pack: concepts, kinds of activity and derived facts, categories.

What cannot be read is left out with a finding, so that one wrong line shows beside all the others.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from connector.mappings import pack_shapes as shapes
from connector.mappings.config_reading import Reading
from connector.mappings.pack import (
    UNKNOWN,
    ActivityKind,
    Category,
    Concept,
    Plausible,
    Predicate,
)
from connector.mappings.sections import Section, mapping
from connector.mappings.yaml_nodes import Any_, Map, Scalar, Seq, plain

CODE_SYSTEMS = tuple(shapes.CODE_SYSTEMS)


def read_concepts(reading: Reading, name: str = "concepts.yaml") -> dict[str, Concept]:
    found: dict[str, Concept] = {}
    file = reading.file(name, shapes.CONCEPTS)
    checked = file.section("versions")
    versions = {system: version for system in CODE_SYSTEMS if (version := checked.text(system))}
    for entry in file.sections("concepts"):
        identifier = entry.text("id")
        concept = Concept(
            id=identifier,
            kind=entry.text("kind"),
            name=entry.texts("name"),
            codings=_codings(entry),
            unit=entry.maybe("unit"),
            answers=_answers(entry),
            fhir=_plain_map(entry.node("fhir")),
            at=entry.at,
            kept=entry.flag("kept"),
            plausible=_plausible(entry),
            versions=versions,
        )
        keep(found, identifier, concept, entry)
    return found


def _codings(entry: Section) -> dict[str, str]:
    part = entry.section("codings")  # its "from" is for people
    return {system: code for system in CODE_SYSTEMS if (code := part.text(system))}


def _answers(entry: Section) -> dict[str, str]:
    node = entry.node("answers")
    if isinstance(node, Seq):
        return {item.text: item.text for item in node.items if isinstance(item, Scalar)}
    return mapping(node)


def _plausible(entry: Section) -> Plausible | None:
    part = entry.section("plausible")
    low, high = (Decimal(text) if (text := part.text(key)) else None for key in ("from", "to"))
    return Plausible(low, high, part.flag("counts")) if "plausible" in entry else None


def _plain_map(node: Any_ | None) -> dict[str, Any]:
    value = plain(node) if node is not None else {}
    return value if isinstance(value, dict) else {}


def keep(found: dict[str, Any], identifier: str, value: Any, entry: Section) -> None:
    if not identifier:
        return
    if identifier in found:
        first = found[identifier].at
        at = entry.value_at("id")
        entry.findings.add("id.twice", at, name=identifier, first=first.file, line=first.line)
        return
    found[identifier] = value


def read_activities(
    reading: Reading, name: str = "activities.yaml"
) -> tuple[dict[str, ActivityKind], dict[str, Predicate]]:
    """The kinds of activity, and the facts derived from facts."""
    found: dict[str, ActivityKind] = {}
    top = reading.file(name, shapes.ACTIVITIES)
    for entry in top.sections("activities"):
        identifier = entry.text("id")
        kind = ActivityKind(
            id=identifier,
            name=entry.texts("name"),
            fhir=_plain_map(entry.node("fhir")),
            facts=tuple(entry.names("facts")),
            at=entry.at,
        )
        keep(found, identifier, kind, entry)
    derived: dict[str, Predicate] = {}
    node = top.node("derived")
    if isinstance(node, Map):
        for fact, expression in node.entries.items():
            predicate = reading.predicate(expression, f"derived {fact}")
            if predicate:
                derived[fact] = predicate
    return found, derived


def read_categories(reading: Reading, name: str = "categories.yaml") -> dict[str, Category]:
    found: dict[str, Category] = {}
    for entry in reading.file(name, shapes.CATEGORIES).sections("categories"):
        identifier = entry.text("id")
        keep(found, identifier, _category(entry, identifier), entry)
    return found


def _category(entry: Section, identifier: str) -> Category:
    prefix = entry.text("prefix") or identifier
    fact = entry.text("fact")
    options: dict[str, str] = {}
    names: dict[str, dict[str, str]] = {}
    bands: dict[str, tuple[int, int]] = {}
    band_facts: dict[str, str] = {}
    for option in entry.sections("options"):
        label = option.text("id")
        if label in options:
            option.findings.add("id.twice", option.value_at("id"), name=label, first=entry.at.file, line=entry.at.line)
        options[label] = option.text("code") or f"{prefix}_{label.upper()}"
        names[label] = option.texts("name")
        if "from" in option or "below" in option:
            bands[label] = (option.whole("from"), option.whole("below"))
            if measured_in := option.text("measured_in"):
                band_facts[label] = measured_in
    options.setdefault(UNKNOWN, f"{prefix}_UNK")
    names.setdefault(UNKNOWN, {"fr": "Inconnu", "en": "Unknown"})
    return Category(
        id=identifier,
        name=entry.texts("name"),
        fact=fact,
        options=options,
        option_names=names,
        bands=bands or None,
        code=entry.text("code") or identifier,
        band_facts=band_facts,
        at=entry.at,
    )
