"""Reading indicators: what is counted, for whom, and how it is called in DHIS2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.findings import nearest
from connector.identity import digest
from connector.mappings import pack_shapes as shapes
from connector.mappings.config_dictionary import keep
from connector.mappings.config_reading import Reading
from connector.mappings.expressions import Compiled, compile_expression
from connector.mappings.pack import Indicator, Predicate
from connector.mappings.sections import Section
from connector.mappings.shapes import prefix
from connector.mappings.yaml_nodes import Map, Scalar, plain


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
    aggregate = entry.text("aggregate")
    parts = _parts(reading, entry)
    amount = _amounts(reading, entry, aggregate, parts)
    by = tuple(entry.names("by"))
    distinct = entry.maybe("distinct")
    if (aggregate == "distinct") != ("distinct" in entry):
        at = entry.place("distinct") if "distinct" in entry else entry.value_at("aggregate")
        reading.findings.add("indicator.distinct", at, name=identifier)
    indicator = Indicator(
        id=identifier,
        name=entry.texts("name"),
        definition=entry.texts("definition"),
        counts=tuple(entry.names("counts")),
        parts=parts,
        aggregate=aggregate,
        amount=amount,
        distinct=distinct,
        each=entry.maybe("each"),
        by=by,
        data_set=entry.text("data_set") or data_set,
        elements={part: codes.code(identifier, part) for part in parts},
        chis=entry.maybe("chis"),
        area=area,
        at=entry.at,
        small=entry.count("small"),
        periodicity=entry.maybe("periodicity"),
        version=digest([_counted(entry), [meaning.get(one) for one in by], meaning.get("")])[:16],
    )
    return indicator if identifier and parts else None


#: Keys that change no figure.
_FOR_PEOPLE = ("definition", "small", "periodicity")


def _counted(entry: Section) -> dict[str, Any]:
    """The entry without what is for people alone: mending a definition counts nothing again."""
    return {key: value for key, value in plain(entry.map).items() if key not in _FOR_PEOPLE}


def _parts(reading: Reading, entry: Section) -> dict[str, Predicate]:
    """``where`` for a count; ``denominator`` and ``numerator`` for a ratio.

    A numerator is part of its denominator: both conditions must hold, so nobody has to write the first one twice.
    """
    ratio = "numerator" in entry or "denominator" in entry
    if not ratio:
        node = entry.node("where")
        predicate = reading.predicate(node, f"{entry.what}: where") if node is not None else always()
        return {"count": predicate} if predicate else {}
    if "where" in entry:  # it would do nothing
        near = nearest("where", ("denominator", "numerator"))
        reading.findings.add("key.unknown", entry.place("where"), what=prefix(entry.what), key="where", nearest=near)
    for key in ("numerator", "denominator"):
        if entry.node(key) is None:
            reading.findings.add("key.missing", entry.at, what=prefix(entry.what), key=key)
    whole, part = entry.text("denominator"), entry.text("numerator")
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


def _compile(reading: Reading, entry: Section, key: str, text: str) -> Compiled | None:
    """The condition of a key, or a longer one made of it."""
    node = entry.node(key)
    if not isinstance(node, Scalar):
        node = Scalar(text, False, entry.at)
    return reading.compile(node, f"{entry.what}: {key}", None if text == node.text else text)


def always() -> Predicate:
    return Predicate("true", compile_expression("true"))


def _amounts(
    reading: Reading, entry: Section, aggregate: str, parts: Mapping[str, Predicate]
) -> dict[str, Predicate] | None:
    node = entry.node("amount")
    if aggregate != "sum":
        if node is not None:
            reading.findings.add("indicator.amount", entry.place("amount"), what=entry.what)
        return None
    if node is None:
        reading.findings.add("key.missing", entry.at, what=prefix(entry.what), key="amount")
        return None
    if isinstance(node, Scalar):
        predicate = reading.predicate(node, f"{entry.what}: amount")
        return dict.fromkeys(parts, predicate) if predicate else None
    if not isinstance(node, Map):
        return None
    found = {
        part: reading.predicate(node.entries.get(key), f"{entry.what}: amount: {key}")
        for part, key in (("num", "numerator"), ("den", "denominator"))
    }
    return {part: one for part, one in found.items() if one is not None}
