"""What the pack says of concepts and activity kinds, made ready once so that each visit costs little."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from connector.mappings.fhir_terms import (
    CONCEPT,
    MAX_INTEGER,
    TERMINOLOGY,
    Json,
    Terms,
    canonical_number,
    coded,
    is_number,
    partial_day,
    quantity,
)
from connector.mappings.pack import ActivityKind, Concept

#: (value[x], the value), or None for a value that is not of the concept's type
Written = tuple[str, Any] | None


@dataclass(frozen=True, slots=True)
class Sign:
    """Role, code and category of one Observation."""

    role: str
    code: Json
    category: list[Json] | None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The provisional Condition a fact leads to, and the test of the fact's value that makes it."""

    role: str
    code: Json
    made_by: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class ConceptTemplate:
    """``answers``: option -> sign, for a question with several answers: each of these is an Observation of its own
    that says true or false."""

    sign: Sign
    write: Callable[[Any], Written]
    answers: Mapping[str, Sign]

    def observations(self, value: Any) -> Sequence[tuple[Sign, tuple[str, Any]]]:
        if isinstance(value, list | tuple):
            return [(sign, ("valueBoolean", option in value)) for option, sign in self.answers.items()]
        written = self.write(value)
        return () if written is None else ((self.sign, written),)


@dataclass(frozen=True, slots=True)
class KindTemplate:
    """``shape``: encounter | questionnaire_response | task | none; ``subject``: person | group | worker | place | none;
    ``due`` and ``done``: the facts that hold the days of a task."""

    shape: str
    subject: str
    klass: Json
    type: list[Json]
    due: str
    done: str


def kind_template(kind: ActivityKind, terms: Terms) -> KindTemplate:
    fhir = kind.fhir
    return KindTemplate(
        shape=str(fhir.get("shape") or "none"),
        subject=str(fhir.get("subject") or "none"),
        klass={"system": TERMINOLOGY + "v3-ActCode", "code": str(fhir.get("class") or "HH")},
        type=[coded("urn:relais:activity", str(fhir.get("type") or kind.id), terms.words(kind.name))],
        due=str(fhir.get("due") or "planned_date"),
        done=str(fhir.get("done") or "done_date"),
    )


def concept_template(concept: Concept, terms: Terms) -> ConceptTemplate | None:
    """None for a concept that is no Observation."""
    if concept.fhir.get("resource") != "Observation":
        return None
    category = None
    if concept.fhir.get("category"):
        category = [coded(TERMINOLOGY + "observation-category", str(concept.fhir["category"]))]
    return ConceptTemplate(
        sign=Sign(concept.id, terms.code(concept.id), category),
        write=_writer(concept, terms),
        answers={option: Sign(id, terms.code(id), category) for option, id in concept.answers.items()},
    )


def diagnosis(concept: Concept, terms: Terms) -> Diagnosis | None:
    """None for a concept that leads to none."""
    fhir = concept.fhir
    if not fhir.get("condition"):
        return None
    role = str(fhir["condition"])
    if fhir.get("below") is not None:
        limit = Decimal(str(fhir["below"]))
        return Diagnosis(role, terms.code(role), lambda value: is_number(value) and value < limit)
    when = fhir.get("when", "true")
    wanted = {_as_written(one) for one in (when if isinstance(when, list | tuple) else (when,))}
    return Diagnosis(role, terms.code(role), lambda value: _as_written(value) in wanted)


def _as_written(value: Any) -> str:
    """As packs write it: scalars are text there."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _writer(concept: Concept, terms: Terms) -> Callable[[Any], Written]:
    match concept.kind:
        case "boolean":
            return _boolean
        case "integer" | "decimal":
            return _number_writer(concept)
        case "coded":
            return _coded_writer(concept, terms)
        case "date":
            return _day
    return _text


def _boolean(value: Any) -> Written:
    return ("valueBoolean", value) if isinstance(value, bool) else None


def _day(value: Any) -> Written:
    day = partial_day(value)
    return ("valueDateTime", day) if day else None


def _text(value: Any) -> Written:
    return ("valueString", value.strip()) if isinstance(value, str) and value.strip() else None


def _number_writer(concept: Concept) -> Callable[[Any], Written]:
    unit = concept.unit
    as_integer = concept.kind == "integer" and not unit

    def write(value: Any) -> Written:
        if not is_number(value):
            return None
        number = canonical_number(value)
        if as_integer and isinstance(number, int) and abs(number) <= MAX_INTEGER:
            return "valueInteger", number
        return "valueQuantity", quantity(number, unit)

    return write


def _coded_writer(concept: Concept, terms: Terms) -> Callable[[Any], Written]:
    """The codings of the answer's concept, then the option under the question's own system."""
    system = f"{CONCEPT}:{concept.id}"
    answers: dict[str, Json] = {}
    for option, id in concept.answers.items():
        code = terms.code(id)
        answers[option] = {**code, "coding": [*code["coding"], {"system": system, "code": option}]}

    def write(value: Any) -> Written:
        if not isinstance(value, str) or not value.strip():
            return None
        return "valueCodeableConcept", answers.get(value) or coded(system, " ".join(value.split()))

    return write
