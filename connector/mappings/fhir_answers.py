"""The facts of a meeting, a session or a count as the items of a FHIR QuestionnaireResponse."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from connector.mappings.concepts import IMPLAUSIBLE
from connector.mappings.fhir_terms import (
    CONCEPT,
    MAX_INTEGER,
    Json,
    Terms,
    canonical_number,
    is_number,
    partial_day,
    quantity,
)
from connector.mappings.pack import Concept


def items(facts: Mapping[str, Any], concepts: Mapping[str, Concept], terms: Terms) -> list[Json]:
    """One item per fact, its link id the fact's name. A list of flat dicts is one group item per entry, all with the
    link id of the list; what is absent has no item."""
    out: list[Json] = []
    for name, value in facts.items():
        if name == IMPLAUSIBLE:
            continue  # kept for people, sent to nobody
        concept = concepts.get(name)
        head: Json = {"linkId": name}
        if concept is not None and (text := terms.words(concept.name)):
            head["text"] = text
        if not isinstance(value, list | tuple):
            value = (value,)
        answers: list[Json] = []
        for entry in value:
            if isinstance(entry, Mapping):
                if parts := items(entry, concepts, terms):
                    out.append({**head, "item": parts})
            elif answer := _answer(entry, concept):
                answers.append(answer)
        if answers:
            out.append({**head, "answer": answers})
    return out


def _answer(value: Any, concept: Concept | None) -> Json | None:
    if isinstance(value, bool):
        return {"valueBoolean": value}
    if is_number(value):
        number = canonical_number(value)
        if concept is not None and concept.unit:
            return {"valueQuantity": quantity(number, concept.unit)}
        whole = isinstance(number, int) and abs(number) <= MAX_INTEGER
        return {"valueInteger" if whole else "valueDecimal": number}
    kind = concept.kind if concept is not None else ""
    if isinstance(value, date) or kind == "date":
        day = partial_day(value)
        return {"valueDate": day} if day else None
    if not isinstance(value, str) or not value.strip():
        return None
    if concept is not None and kind == "coded":
        code = concept.answers.get(value, " ".join(value.split()))  # FHIR's code: single spaces, none at the ends
        return {"valueCoding": {"system": CONCEPT, "code": code}}
    return {"valueString": value.strip()}
