"""What a pack shares with its FHIR server: which types, and how much they say of a person."""

from __future__ import annotations

from typing import Any

from connector.mappings import r4, second_opinion
from connector.mappings.fhir_sharing import REFERS, TYPES, retracted, shared, types_made, types_of, without_names
from connector.sandbox.fhir_rules import TYPES as TAKEN
from connector.sandbox.fhir_rules import invalid
from tests.unit.fhir_pack import PACK

NAME, WORDS = "Aminata Fictive", "seen with Aminata Fictive at the market"
PATIENT: dict[str, Any] = {
    "resourceType": "Patient", "id": "p", "identifier": [{"system": "urn:relais:cht", "value": "k"}],
    "gender": "female", "name": [{"text": NAME}], "birthDate": "2020-03-04",
}  # fmt: skip
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "remark"}, "valueString": WORDS,
    "subject": {"reference": "Patient/p"},
}  # fmt: skip
REQUEST: dict[str, Any] = {
    "resourceType": "ServiceRequest", "id": "s", "status": "active", "intent": "order",
    "subject": {"reference": "Patient/p"}, "note": [{"text": WORDS}],
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "resourceType": "QuestionnaireResponse", "id": "q", "status": "completed",
    "item": [
        {"linkId": "remark", "answer": [{"valueString": WORDS}, {"valueInteger": 3}]},
        {"linkId": "loans", "item": [{"linkId": "who", "answer": [{"valueString": NAME}]}]},
    ],
}  # fmt: skip


def test_pseudonymous_says_nobodys_name_and_nothing_in_own_words() -> None:
    told = shared({"persons": "pseudonymous"}, [PATIENT, OBSERVATION, REQUEST, ANSWERS])
    assert "Fictive" not in str(told) and "-03-04" not in str(told)
    patient, observation, request, answers = told
    assert patient == {**{k: v for k, v in PATIENT.items() if k != "name"}, "birthDate": "2020"}
    assert observation["dataAbsentReason"]["coding"][0]["code"] == "masked" and observation["subject"]
    assert request == {k: v for k, v in REQUEST.items() if k != "note"}
    assert answers["item"] == [
        {"linkId": "remark", "answer": [{"valueInteger": 3}]},
        {"linkId": "loans", "item": [{"linkId": "who"}]},
    ]
    for one in told:
        assert r4.problems(one) == [] and second_opinion.problems(one) == []


def test_what_names_nobody_stays_as_it_is() -> None:
    for one in (
        {"resourceType": "Patient", "id": "p", "gender": "unknown"},
        {**{k: v for k, v in OBSERVATION.items() if k != "valueString"}, "valueBoolean": True},
        {"resourceType": "MeasureReport", "id": "m"},
    ):
        assert without_names(one) == one
    assert shared({}, [PATIENT]) == shared({"persons": "named"}, [PATIENT]) == [PATIENT]


def test_just_the_types_that_are_named_go() -> None:
    assert shared({"types": ["Patient"]}, [PATIENT, OBSERVATION]) == [PATIENT]
    assert shared({"types": "Observation"}, [PATIENT, OBSERVATION]) == [OBSERVATION]
    assert types_of({}) == frozenset(TYPES) <= TAKEN, "the simulated server knows them"


def test_the_types_a_pack_makes_are_those_of_its_shapes() -> None:
    made = types_made(PACK)
    assert {"Encounter", "Observation", "Patient", "MeasureReport"} <= made <= frozenset(TYPES)
    assert all(needed in REFERS for needs in REFERS.values() for needed in needs)


def test_what_was_entered_in_error_says_just_that() -> None:
    settings = {"retract": "entered_in_error"}
    for kind in ("Encounter", "Observation", "Condition", "ServiceRequest", "Task", "QuestionnaireResponse"):
        one = retracted(settings, kind, "x")
        assert one is not None and r4.problems(one) == [] and second_opinion.problems(one) == []
        assert list(invalid(one, kind)) == [], "a server that validates takes it"
        assert "entered-in-error" in str(one) and "reference" not in str(one) and "clinicalStatus" not in one
        assert retracted({}, kind, "x") is None
    assert [retracted(settings, kind, "x") for kind in ("Patient", "Group", "MeasureReport")] == [None] * 3
