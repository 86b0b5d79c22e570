"""Activities, people and totals as FHIR: what is said, under which id, and that a strict check accepts all of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from connector.identity import Names
from connector.mappings import r4
from connector.mappings.fhir import FhirBuilder
from connector.mappings.fhir_terms import CONCEPT, canonical_number
from connector.model import Entity, Referral
from tests.unit.fhir_pack import BUILDER, KEY, NAMES, PACK, PERSON, REFERRAL, SICK_FACTS, activity, person

Resource = dict[str, Any]


def built(known: bool = True, **more: Any) -> list[Resource]:
    one = activity(**more)
    resources = BUILDER.activity_resources(one, one.facts, person_known=known)
    for resource in resources:
        assert r4.problems(resource) == []
    return resources


def values(resources: Iterable[Resource]) -> dict[str, str]:
    """identifier value -> resource type"""
    return {resource["identifier"][0]["value"]: resource["resourceType"] for resource in resources}


def observation(role: str, **more: Any) -> Resource:
    return next(r for r in built(**more) if r["identifier"][0]["value"] == f"{KEY}#{role}")


def test_a_visit_becomes_these_resources_and_no_others() -> None:
    assert values(built(referral=REFERRAL)) == {
        KEY: "Encounter",
        f"{KEY}#fever": "Observation",
        f"{KEY}#malaria_rdt": "Observation",
        f"{KEY}#breath_count": "Observation",
        f"{KEY}#muac_mm": "Observation",
        f"{KEY}#oedema": "Observation",
        f"{KEY}#diarrhoea": "Observation",
        f"{KEY}#doses_taken": "Observation",
        f"{KEY}#weight_kg": "Observation",
        f"{KEY}#lmp_date": "Observation",
        f"{KEY}#visit_topic": "Observation",
        f"{KEY}#sign_convulsions": "Observation",
        f"{KEY}#sign_lethargic": "Observation",
        f"{KEY}#malaria": "Condition",
        f"{KEY}#sam": "Condition",
        f"{KEY}#referral": "ServiceRequest",
        f"{KEY}#referral-task": "Task",
    }


def test_the_encounter_holds_the_visit() -> None:
    encounter = built()[0]
    assert encounter == {
        "resourceType": "Encounter",
        "id": NAMES.uuid("Encounter", "cht", KEY),
        "identifier": [{"system": "urn:relais:cht", "value": KEY}],
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HH"},
        "type": [{"coding": [{"system": "urn:relais:activity", "code": "sick_visit"}], "text": "Enfant malade"}],
        "period": {"start": "2026-07-04T01:30:00+03:00"},
        "subject": {"reference": f"Patient/{NAMES.uuid('Patient', 'cht', PERSON)}"},
        "participant": [
            {
                "individual": {
                    "type": "Practitioner",
                    "identifier": {"system": "urn:relais:cht", "value": "asc-001"},
                    "display": "asc-001",
                }
            }
        ],
        "location": [
            {
                "location": {
                    "type": "Location",
                    "identifier": {"system": "urn:relais:cht", "value": "site-1"},
                    "display": "site-1",
                }
            }
        ],
    }


def test_ids_are_those_of_the_names_and_belong_to_one_pack() -> None:
    for parts in (("Patient", "cht", "é|x"), ("Observation", "cht", "k", "fever"), ("Group", "odk", "")):
        assert BUILDER.resource_id(*parts) == NAMES.uuid(*parts)
    other = FhirBuilder(PACK, Names("another-pack"))
    assert other.resource_id("Patient", "cht", "k") != BUILDER.resource_id("Patient", "cht", "k")


def test_the_same_visit_gives_the_same_bytes() -> None:
    again = FhirBuilder(PACK, Names("test-pack"))
    one = activity(referral=REFERRAL, revision="2-b", version="another version of the mapping")
    assert orjson.dumps(again.activity_resources(one, one.facts, person_known=True)) == orjson.dumps(
        built(referral=REFERRAL)
    )


def test_ids_within_a_visit_are_unique() -> None:
    resources = built(referral=REFERRAL)
    assert len({(r["resourceType"], r["id"]) for r in resources}) == len(resources)


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("fever", {"valueBoolean": True}),
        ("oedema", {"valueBoolean": False}),
        ("muac_mm", {"valueQuantity": {
            "value": 112, "unit": "mm", "system": "http://unitsofmeasure.org", "code": "mm"}}),
        ("breath_count", {"valueQuantity": {
            "value": 44, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"}}),
        ("doses_taken", {"valueInteger": 3}),
        ("weight_kg", {"valueQuantity": {
            "value": 11.5, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"}}),
        ("lmp_date", {"valueDateTime": "2026-05-01"}),
        ("visit_topic", {"valueString": "moustiquaires"}),
        ("sign_convulsions", {"valueBoolean": True}),
        ("sign_lethargic", {"valueBoolean": False}),
        ("malaria_rdt", {"valueCodeableConcept": {
            "coding": [
                {"system": "https://cielterminology.org", "code": "703"},
                {"system": "urn:relais:concept", "code": "rdt_positive"},
                {"system": "urn:relais:concept:malaria_rdt", "code": "positive"},
            ],
            "text": "le rdt_positive",
        }}),
    ],
)  # fmt: skip
def test_a_fact_is_written_by_the_type_of_its_concept(role: str, expected: Resource) -> None:
    written = observation(role)
    assert {name: value for name, value in written.items() if name.startswith("value")} == expected


def test_codings_stand_in_order_and_ours_is_always_there() -> None:
    assert observation("malaria_rdt")["code"] == {
        "coding": [
            {"system": "http://loinc.org", "code": "70569-9"},
            {"system": "https://cielterminology.org", "code": "1643"},
            {"system": "urn:relais:concept", "code": "malaria_rdt"},
        ],
        "text": "le malaria_rdt",
    }
    assert [c["system"] for c in observation("fever")["code"]["coding"]] == [
        "https://cielterminology.org",
        "http://snomed.info/sct",
        "http://id.who.int/icd/release/11/mms",
        "urn:relais:concept",
    ]
    assert observation("oedema")["code"]["coding"] == [{"system": "urn:relais:concept", "code": "oedema"}]


def test_a_coding_bears_the_version_its_code_was_checked_against() -> None:
    versions = {"ciel": "2024-10-04", "loinc": "2.78"}
    pinned = replace(PACK, concepts={id: replace(one, versions=versions) for id, one in PACK.concepts.items()})
    one = activity()
    resources = FhirBuilder(pinned, NAMES).activity_resources(one, one.facts, person_known=True)
    rdt = next(r for r in resources if r["identifier"][0]["value"] == f"{KEY}#malaria_rdt")
    told = {coding["system"]: coding.get("version") for coding in rdt["code"]["coding"]}
    assert told == {"https://cielterminology.org": "2024-10-04", "http://loinc.org": "2.78", CONCEPT: None}
    assert r4.problems(rdt) == []


def test_a_category_is_one_of_hl7s_or_absent() -> None:
    assert observation("breath_count")["category"] == [
        {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                    "code": "vital-signs",
                }
            ]
        }
    ]
    assert "category" not in observation("visit_topic")


@pytest.mark.parametrize(
    ("given", "written"),
    [(38, "38"), (Decimal("39.10"), "39.1"), (Decimal("38.0"), "38"), (38.0, "38"), (Decimal("1E+3"), "1000"),
     (Decimal("-0.50"), "-0.5"), (Decimal("0.1"), "0.1")],
)  # fmt: skip
def test_numbers_have_one_spelling(given: Any, written: str) -> None:
    """39.10 after 39.1 is a new version of the resource (recordings/hapi-fhir-8.8, 13)."""
    assert orjson.dumps(canonical_number(given)).decode() == written


@pytest.mark.parametrize("number", [float("inf"), Decimal("nan"), Decimal("-inf")])
def test_what_is_no_number_is_refused(number: Any) -> None:
    with pytest.raises(ValueError):
        canonical_number(number)


@pytest.mark.parametrize(
    "facts",
    [{"fever": "yes"}, {"muac_mm": "112"}, {"muac_mm": True}, {"malaria_rdt": ""}, {"visit_topic": "  "},
     {"fever": None}, {"lmp_date": "soon"}, {"unheard_of": True}, {"age_months": 9, "sex": "female"},
     {"rdt_positive": "x"}, {"malaria_rdt": 1}, {"visit_topic": 3}],
    ids=str,
)  # fmt: skip
def test_what_is_absent_failed_or_no_observation_makes_none(facts: dict[str, Any]) -> None:
    assert values(built(facts=facts)) == {KEY: "Encounter"}


def test_the_danger_signs_are_told_one_by_one_only_when_asked() -> None:
    asked = {k for k in values(built(facts={"danger_signs": []})) if "#" in k}
    assert asked == {f"{KEY}#sign_convulsions", f"{KEY}#sign_lethargic"}
    assert values(built(facts={})) == {KEY: "Encounter"}


def test_completed_facts_count_beside_those_of_the_activity() -> None:
    one = activity(facts={})
    made = BUILDER.activity_resources(one, {"fever": True}, person_known=True)
    assert values(made) == {KEY: "Encounter", f"{KEY}#fever": "Observation"}


# ---------------------------------------------------------------- time


def test_a_moment_has_seconds_and_the_offset_of_the_packs_zone() -> None:
    at = datetime(2026, 7, 4, 6, 0, 1, 987654, tzinfo=UTC)
    assert observation("fever", at=at)["effectiveDateTime"] == "2026-07-04T09:00:01+03:00"


@pytest.mark.parametrize("at", [None, datetime(2026, 7, 4, 22, 30, tzinfo=UTC)], ids=["no time", "another day's time"])
def test_without_a_time_of_that_day_the_day_stands_alone(at: datetime | None) -> None:
    assert observation("fever", at=at)["effectiveDateTime"] == "2026-07-04"
    assert built(at=at)[0]["period"] == {"start": "2026-07-04"}


# ---------------------------------------------------------------- references


def test_an_unknown_person_is_named_by_identifier_only() -> None:
    """A literal reference to an absent patient is refused (recordings/hapi-fhir-8.8, 27), a logical one is not (32)."""
    for resource in built(known=False, referral=REFERRAL):
        for name in ("subject", "for"):
            if name in resource:
                assert resource[name] == {
                    "type": "Patient",
                    "identifier": {"system": "urn:relais:cht", "value": PERSON},
                }


def test_literal_references_point_at_what_is_built_with_them_or_at_the_known_person() -> None:
    resources = built(referral=REFERRAL)
    there = {f"{r['resourceType']}/{r['id']}" for r in resources} | {f"Patient/{NAMES.uuid('Patient', 'cht', PERSON)}"}
    before: set[str] = {f"Patient/{NAMES.uuid('Patient', 'cht', PERSON)}"}

    def references(node: Any) -> Iterable[str]:
        if isinstance(node, dict):
            if isinstance(node.get("reference"), str):
                yield node["reference"]
            for child in node.values():
                yield from references(child)
        elif isinstance(node, list):
            for child in node:
                yield from references(child)

    for resource in resources:
        assert set(references(resource)) <= there
        assert set(references(resource)) <= before  # parents come first
        before.add(f"{resource['resourceType']}/{resource['id']}")


def test_without_a_subject_nothing_that_needs_one_is_made() -> None:
    resources = built(subject=None, referral=REFERRAL)
    assert {r["resourceType"] for r in resources} == {"Encounter", "Observation"}
    assert not any("subject" in r for r in resources)


def test_a_worker_is_an_identifier_never_a_name() -> None:
    assert "participant" in built()[0]
    assert b"Une" not in orjson.dumps(built(worker="Une Personne", referral=REFERRAL))
    assert "participant" not in built(worker=None)[0]
    assert "location" not in built(place=None)[0]


def test_nothing_of_lineage_goes_into_a_resource() -> None:
    """A tag of a run is a new version of everything (recordings/hapi-fhir-8.8, 09-11)."""
    for resource in built(referral=REFERRAL):
        assert "meta" not in resource
        assert b"assessment.yaml" not in orjson.dumps(resource)


def test_a_household_visit_has_the_group_for_subject() -> None:
    encounter = built(kind="household_visit", subject="hh-1", facts={})[0]
    household = BUILDER.entity_resources(Entity("cht", "place", "hh-1", "1", {"role": "household"}))[0]
    assert encounter["subject"] == {"reference": f"Group/{household['id']}"}
    assert encounter["type"][0]["coding"][0]["code"] == "home"


# ---------------------------------------------------------------- conditions and referrals


@pytest.mark.parametrize(
    ("facts", "made"),
    [
        ({"malaria_rdt": "positive"}, {"malaria"}),
        ({"malaria_rdt": "negative"}, set()),
        ({"muac_mm": 114}, {"sam"}),
        ({"muac_mm": 115}, set()),
        ({"oedema": True}, {"sam"}),
        ({"oedema": True, "muac_mm": 100}, {"sam"}),
        ({"oedema": False}, set()),
        ({"muac_mm": "114"}, set()),
        ({"doses_taken": 78}, {"malaria"}),
        ({"doses_taken": 78, "malaria_rdt": "positive"}, {"malaria"}),
        ({"diarrhoea": True}, {"diarrhoea"}),
        ({"diarrhoea": False}, set()),
        ({}, set()),
    ],
    ids=str,
)  # fmt: skip
def test_conditions_follow_from_the_facts(facts: dict[str, Any], made: set[str]) -> None:
    found = [r for r in built(facts=facts) if r["resourceType"] == "Condition"]
    assert {r["identifier"][0]["value"] for r in found} == {f"{KEY}#{one}" for one in made}
    assert len(found) == len(made)


def test_a_condition_is_provisional() -> None:
    [condition] = [r for r in built(facts={"malaria_rdt": "positive"}) if r["resourceType"] == "Condition"]
    assert condition["verificationStatus"]["coding"][0]["code"] == "provisional"
    assert condition["clinicalStatus"]["coding"][0]["code"] == "active"
    assert condition["code"]["coding"] == [
        {"system": "https://cielterminology.org", "code": "116128"},
        {"system": "http://id.who.int/icd/release/11/mms", "code": "1F45"},
        {"system": "https://smart.who.int/ccc/CodeSystem/Ccc-custom-codes", "code": "CHE.X"},
        {"system": "urn:relais:concept", "code": "malaria"},
    ]


def test_a_referral_is_a_request_and_the_task_of_fulfilling_it() -> None:
    made = {r["resourceType"]: r for r in built(referral=REFERRAL)}
    request, task = made["ServiceRequest"], made["Task"]
    assert (request["status"], request["intent"], request["priority"]) == ("active", "order", "urgent")
    assert [r["coding"][-1]["code"] for r in request["reasonCode"]] == ["danger_sign", "sign_convulsions"]
    assert request["reasonCode"][1]["coding"][0] == {"system": "https://cielterminology.org", "code": "113054"}
    assert request["supportingInfo"] == [{"reference": f"Observation/{observation('sign_convulsions')['id']}"}]
    assert request["note"] == [{"text": "Voir vite"}]
    assert request["performer"][0]["type"] == "Organization"
    assert request["performer"][0]["identifier"] == {"system": "urn:relais:cht", "value": "area-1"}
    assert task["focus"] == {"reference": f"ServiceRequest/{request['id']}"}
    assert task["status"] == "requested"
    assert task["code"]["coding"] == [{"system": "http://hl7.org/fhir/CodeSystem/task-code", "code": "fulfill"}]
    assert task["owner"] == request["performer"][0]


def test_a_bare_referral_is_still_valid() -> None:
    made = {r["resourceType"]: r for r in built(referral=Referral(None, False, None), worker=None)}
    request = made["ServiceRequest"]
    assert request["priority"] == "routine"
    assert not {"performer", "reasonCode", "note", "supportingInfo", "requester"} & set(request)


def test_the_payload_of_a_referral_holds_all_its_resources() -> None:
    one = activity(referral=REFERRAL)
    payload = BUILDER.referral_payload(one, one.facts, person(name="Awa Traoré", sex="female"))
    whole = {r["identifier"][0]["value"]: r for r in built(referral=REFERRAL)}
    assert payload["encounter"] == whole[KEY]
    assert payload["service_request"] == whole[f"{KEY}#referral"]
    assert payload["task"] == whole[f"{KEY}#referral-task"]
    assert payload["observations"] == [r for r in whole.values() if r["resourceType"] == "Observation"]
    assert payload["patient"]["identifier"][0] == {"system": "urn:relais:cht", "value": PERSON}
    rest = {k: payload[k] for k in ("number", "date", "at", "urgent", "to", "reason", "reasons", "note", "deleted")}
    assert rest == {
        "number": KEY,
        "date": "2026-07-04",
        "at": "2026-07-03T22:30:00+00:00",
        "urgent": True,
        "to": "area-1",
        "reason": "danger_sign",
        "reasons": ["sign_convulsions"],
        "note": "Voir vite ",
        "deleted": False,
    }
    orjson.dumps(payload)


def test_a_referral_payload_needs_a_referral_and_can_wait_for_its_person() -> None:
    one = activity(referral=REFERRAL, at=None)
    payload = BUILDER.referral_payload(one, one.facts, None)
    assert payload["patient"] is None
    assert payload["at"] is None
    assert "identifier" in payload["encounter"]["subject"]
    with pytest.raises(ValueError):
        BUILDER.referral_payload(activity(), {}, None)


# ---------------------------------------------------------------- meetings, counts, actions

MEETING = {
    "group_type": "SHARE",
    "meeting_day": "2026-07-04T08:00:00Z",
    "present": 18,
    "amount": Decimal("12500.00"),
    "rate": Decimal("1.50"),
    "balance": 3_000_000_000,
    "member_of": "a",
    "quiet": None,
    "empty": " ",
    "topics": ["eau", "palu"],
    "loans": [{"motif": "accouchement", "amount": 5000, "paid": True}, {"motif": None}],
}


def meeting(**more: Any) -> Resource:
    [response] = built(
        **{"kind": "savings_meeting", "source": "odk", "subject": "GE-1", "facts": MEETING, "form": "reunion"} | more
    )
    return response


def test_a_meeting_is_a_response_with_one_item_per_fact() -> None:
    response = meeting(known=False, worker="anim-1")
    assert response["identifier"] == {"system": "urn:relais:odk", "value": KEY}
    assert response["status"] == "completed"
    assert response["questionnaire"] == "urn:relais:questionnaire:reunion"
    assert response["authored"] == "2026-07-04T01:30:00+03:00"
    assert response["author"]["identifier"]["value"] == "anim-1"
    assert response["subject"] == {"type": "Group", "identifier": {"system": "urn:relais:odk", "value": "GE-1"}}
    money = {"unit": "XOF", "system": "urn:iso:std:iso:4217", "code": "XOF"}
    assert response["item"] == [
        {"linkId": "group_type", "answer": [{"valueString": "SHARE"}]},
        {"linkId": "meeting_day", "text": "le meeting_day", "answer": [{"valueDate": "2026-07-04"}]},
        {"linkId": "present", "answer": [{"valueInteger": 18}]},
        {"linkId": "amount", "text": "le amount", "answer": [{"valueQuantity": {"value": 12500, **money}}]},
        {"linkId": "rate", "answer": [{"valueDecimal": 1.5}]},
        {"linkId": "balance", "answer": [{"valueDecimal": 3_000_000_000}]},
        {"linkId": "member_of", "text": "le member_of", "answer": [
            {"valueCoding": {"system": "urn:relais:concept", "code": "club_a"}}]},
        {"linkId": "topics", "answer": [{"valueString": "eau"}, {"valueString": "palu"}]},
        {"linkId": "loans", "item": [
            {"linkId": "motif", "answer": [{"valueString": "accouchement"}]},
            {"linkId": "amount", "text": "le amount", "answer": [{"valueQuantity": {"value": 5000, **money}}]},
            {"linkId": "paid", "answer": [{"valueBoolean": True}]},
        ]},
    ]  # fmt: skip


def test_a_meeting_of_nothing_has_no_items() -> None:
    assert "item" not in meeting(facts={})
    assert "item" not in meeting(facts={"loans": [], "x": None})


def test_the_subject_of_a_response_is_what_its_kind_says() -> None:
    assert meeting()["subject"] == {"reference": f"Group/{NAMES.uuid('Group', 'odk', 'GE-1')}"}
    assert meeting(subject=None, place="GE-2", known=False)["subject"]["identifier"]["value"] == "GE-2"
    assert "subject" not in meeting(subject=None, place=None)
    stock = meeting(kind="stock_report", source="cht")
    assert (stock["subject"]["type"], stock["subject"]["display"]) == ("Location", "site-1")
    assert "subject" not in meeting(kind="stock_report", place=None)
    assert meeting(kind="supervision", subject="asc-002")["subject"]["type"] == "Practitioner"
    assert "subject" not in meeting(kind="supervision", subject=None)


def test_a_savings_group_is_a_group_without_members() -> None:
    group = BUILDER.savings_group("odk", "GE-1", "SHARE")
    assert r4.problems(group) == []
    assert group["id"] == NAMES.uuid("Group", "odk", "GE-1")
    assert group["identifier"] == [{"system": "urn:relais:odk", "value": "GE-1"}]
    assert (group["type"], group["actual"]) == ("person", True)
    assert group["code"] == {
        "coding": [{"system": "urn:relais:concept", "code": "savings-group"}],
        "text": "Groupe d'épargne",
    }
    [kind] = group["characteristic"]
    assert kind["valueCodeableConcept"]["coding"][0]["code"] == "SHARE"
    assert "member" not in group
    assert "characteristic" not in BUILDER.savings_group("odk", "GE-1", None)


def test_a_meeting_tells_of_its_group() -> None:
    one = activity("savings_meeting", MEETING, source="odk", subject="GE-1")
    assert BUILDER.group_of(one, one.facts) == BUILDER.savings_group("odk", "GE-1", "SHARE")
    assert BUILDER.group_of(activity("savings_meeting", {}, subject=None, place=None), {}) is None
    for kind in ("sick_visit", "household_visit", "stock_report", "unheard_of"):
        assert BUILDER.group_of(activity(kind), {}) is None


@pytest.mark.parametrize(
    ("facts", "status", "more"),
    [
        ({"planned": "2026-08-01"}, "requested", {"restriction": {"period": {"end": "2026-08-01"}}}),
        ({"planned": "2026-08-01", "finished": date(2026, 8, 9)}, "completed",
         {"restriction": {"period": {"end": "2026-08-01"}}, "executionPeriod": {"end": "2026-08-09"}}),
        ({}, "requested", {}),
    ],
)  # fmt: skip
def test_a_quality_action_is_a_task(facts: dict[str, Any], status: str, more: Resource) -> None:
    [task] = built(kind="qi_action", source="kobo", facts=facts, worker=None)
    assert task["identifier"] == [{"system": "urn:relais:kobo", "value": KEY}]
    assert (task["status"], task["intent"]) == (status, "plan")
    assert task["for"]["identifier"]["value"] == "site-1"
    assert {k: v for k, v in task.items() if k in ("restriction", "executionPeriod")} == more


def test_kinds_without_a_shape_and_unknown_kinds_give_nothing() -> None:
    assert built(kind="silent") == []
    assert built(kind="unheard_of") == []


# ---------------------------------------------------------------- registry


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"name": "Awa  Traoré", "sex": "female", "birth_date": "2024-03-11", "phone": "+223 00"},
         {"gender": "female", "birthDate": "2024-03-11",
          "name": [{"text": "Awa Traoré", "family": "Traoré", "given": ["Awa"]}]}),
        ({"family": "Coulibaly", "given": "Moussa Ali", "sex": "male", "birth_date": "2024-03"},
         {"gender": "male", "birthDate": "2024-03",
          "name": [{"text": "Moussa Ali Coulibaly", "family": "Coulibaly", "given": ["Moussa", "Ali"]}]}),
        ({"name": "Awa", "sex": "unknown", "birth_date": "1994"},
         {"gender": "unknown", "birthDate": "1994", "name": [{"text": "Awa"}]}),
        ({"name": " ", "birth_date": "n/a"}, {"gender": "unknown"}),
    ],
    ids=["whole", "parts", "one word, year", "nothing"],
)  # fmt: skip
def test_a_person_is_a_patient(data: dict[str, Any], expected: Resource) -> None:
    [patient] = BUILDER.entity_resources(person(**data))
    assert r4.problems(patient) == []
    assert patient.pop("resourceType") == "Patient"
    assert patient.pop("id") == NAMES.uuid("Patient", "cht", PERSON)
    assert patient.pop("identifier") == [{"system": "urn:relais:cht", "value": PERSON}]
    assert patient == expected


def test_a_household_is_a_group_and_other_places_are_nothing() -> None:
    [household] = BUILDER.entity_resources(Entity("cht", "place", "hh-1", "1", {"role": "household", "name": "Traoré"}))
    assert r4.problems(household) == []
    assert household["code"]["coding"][0]["code"] == "household"
    assert household["identifier"] == [{"system": "urn:relais:cht", "value": "hh-1"}]
    assert b"Traor" not in orjson.dumps(household)
    [savings] = BUILDER.entity_resources(Entity("odk", "place", "GE-1", "1", {"role": "savings_group"}))
    assert savings == BUILDER.savings_group("odk", "GE-1", None)
    assert BUILDER.entity_resources(Entity("cht", "place", "site-1", "1", {"role": "site"})) == []
    assert BUILDER.entity_resources(Entity("cht", "worker", "asc-001", "1", {"name": "X"})) == []


# ---------------------------------------------------------------- totals

CELLS = [
    ("A04", "count", (("sex", "female"),), Decimal(3)),
    ("A04", "count", (("sex", "unknown"),), "2"),
    ("B02", "den", (("sex", "male"),), 9),
    ("B02", "num", (("sex", "male"),), 4),
    ("F01", "num", (("sex", "male"),), 1),
    ("F02", "den", (), 7),
    ("G05", "count", (), Decimal("3000000000.00")),
    ("Z99", "count", (), 1),
]


def test_a_block_is_a_measure_report() -> None:
    report = BUILDER.measure_report("sec", "S1", "202607", CELLS)
    assert r4.problems(report) == []
    assert report["identifier"] == [{"system": "urn:relais:measure", "value": "MH_SEC/S1/202607"}]
    assert (report["status"], report["type"]) == ("complete", "summary")
    assert report["measure"] == "urn:relais:measure:MH_SEC"
    assert report["subject"]["identifier"] == {"system": "urn:relais:org-unit", "value": "S1"}
    assert report["reporter"] == report["subject"]
    assert report["period"] == {"start": "2026-07-01", "end": "2026-07-31"}
    groups = {g["code"]["coding"][0]["code"]: g for g in report["group"]}
    assert list(groups) == ["A04", "B02", "F01", "F02", "G05"]

    def populations(node: Resource) -> dict[str, int]:
        return {p["code"]["coding"][0]["code"]: p["count"] for p in node["population"]}

    assert populations(groups["A04"]) == {"measure-population": 5}
    assert populations(groups["B02"]) == {"numerator": 4, "denominator": 9}
    assert populations(groups["F02"]) == {"denominator": 7}
    assert groups["G05"]["measureScore"] == {"value": 3_000_000_000}
    assert "population" not in groups["F01"]  # counted once each: categories do not add up
    [stratifier] = groups["A04"]["stratifier"]
    assert [(s["component"][0]["value"]["coding"][0]["code"], populations(s)) for s in stratifier["stratum"]] == [
        ("female", {"measure-population": 3}),
        ("unknown", {"measure-population": 2}),
    ]
    assert stratifier["stratum"][0]["component"][0]["value"]["text"] == "féminin"


def test_a_report_does_not_depend_on_the_order_of_its_cells() -> None:
    one = BUILDER.measure_report(PACK.data_sets["sec"], "S1", "202607", CELLS)
    assert orjson.dumps(one) == orjson.dumps(BUILDER.measure_report("MH_SEC", "S1", "202607", reversed(CELLS)))


def test_a_report_of_no_cells_and_of_no_period() -> None:
    empty = BUILDER.measure_report("sec", "S1", "2026Q3", [])
    assert r4.problems(empty) == []
    assert empty["period"] == {"start": "2026-07-01", "end": "2026-09-30"}
    assert "group" not in empty
    with pytest.raises(ValueError):
        BUILDER.measure_report("sec", "S1", "202613", [])


def test_the_facts_are_left_as_they_were() -> None:
    before = orjson.dumps(SICK_FACTS, default=str)
    built(referral=REFERRAL)
    assert orjson.dumps(SICK_FACTS, default=str) == before
