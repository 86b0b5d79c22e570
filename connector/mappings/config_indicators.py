"""Reading indicators: what is counted, for whom, and how it is called in DHIS2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.identity import digest
from connector.mappings.config_dictionary import keep
from connector.mappings.config_reading import Reading
from connector.mappings.expressions import compile_expression
from connector.mappings.pack import (
    Indicator,
    Place,
    Predicate,
)
from connector.mappings.yaml_nodes import (
    Scalar,
    Section,
    plain,
    read_yaml,
)

AGGREGATES = ("count", "sum", "distinct")
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
        definition=entry.texts("definition"),
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
        small=entry.count("small"),
        version=digest([_counted(entry), [meaning.get(one) for one in by], meaning.get("")])[:16],
    )
    return indicator if identifier and parts else None


def _counted(entry: Section) -> dict[str, Any]:
    """The entry without what is for people alone: mending a definition counts nothing again."""
    return {key: value for key, value in plain(entry.map).items() if key not in ("definition", "small")}


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
        return {"num": Predicate(part, alone, alone, entry.place("numerator")), "den": always()}
    both = f"({whole}) and ({part})"
    num = reading.compile(both, at, entry.what)
    if num is None:
        return {}
    return {"num": Predicate(both, num, alone, entry.place("numerator")), "den": Predicate(whole, den, at=at)}


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
