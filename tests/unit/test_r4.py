"""The strict R4 check: what is valid passes, and every planted fault is found at its place.

Rules: FHIR R4 4.0.1 (hl7.org/fhir/R4). That servers do not do this for us: recordings/hapi-fhir-8.8, 78-87 (an
Observation without code, a number as text, a second value[x] are all answered with 201).
"""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector.mappings import r4
from connector.mappings.r4 import Problem

Resource = dict[str, Any]

TEXT = {"text": "fièvre"}
PATIENT_REF = {"reference": "Patient/p-1"}

VALID: dict[str, Resource] = {
    "Patient": {
        "resourceType": "Patient",
        "id": "p-1",
        "identifier": [{"use": "usual", "system": "urn:relais:cht", "value": "7f3a"}],
        "name": [{"use": "official", "family": "Traoré", "given": ["Awa"]}],
        "telecom": [{"system": "phone", "value": "+223 00 00 00 00"}],
        "gender": "female",
        "birthDate": "2024-02-29",
        "multipleBirthBoolean": False,
    },
    "Observation": {
        "resourceType": "Observation",
        "id": "o.1",
        "status": "final",
        "category": [{"coding": [{"system": "http://example.org/c", "code": "exam"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "56072-2"}], "text": "PB"},
        "subject": PATIENT_REF,
        "encounter": {"reference": "Encounter/e-1"},
        "effectiveDateTime": "2026-07-04T01:30:00+03:00",
        "valueQuantity": {"value": 112, "unit": "mm", "system": "http://unitsofmeasure.org", "code": "mm"},
        "component": [{"code": TEXT, "valueBoolean": True}],
    },
    "Encounter": {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HH"},
        "subject": {"type": "Patient", "identifier": {"system": "urn:relais:cht", "value": "7f3a"}},
        "period": {"start": "2026-07-04T08:00:00+00:00", "end": "2026-07-04T08:20:00+00:00"},
        "location": [{"location": {"display": "site-1"}}],
    },
    "Condition": {
        "resourceType": "Condition",
        "clinicalStatus": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
        },
        "code": TEXT,
        "subject": PATIENT_REF,
    },
    "ServiceRequest": {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "priority": "urgent",
        "code": TEXT,
        "orderDetail": [TEXT],
        "subject": PATIENT_REF,
        "authoredOn": "2026-07-04",
    },
    "Task": {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "focus": {"reference": "ServiceRequest/s-1"},
        "input": [{"type": TEXT, "valuePositiveInt": 1}],
    },
    "Group": {
        "resourceType": "Group",
        "type": "person",
        "actual": True,
        "quantity": 25,
        "characteristic": [{"code": TEXT, "valueCodeableConcept": TEXT, "exclude": False}],
    },
    "QuestionnaireResponse": {
        "resourceType": "QuestionnaireResponse",
        "identifier": {"value": "k"},
        "status": "completed",
        "item": [{"linkId": "loans", "item": [{"linkId": "amount", "answer": [{"valueDecimal": 1500.5}]}]}],
    },
    "MeasureReport": {
        "resourceType": "MeasureReport",
        "status": "complete",
        "type": "summary",
        "measure": "urn:relais:measure:MH_SEC",
        "subject": {"type": "Location", "identifier": {"value": "S1"}},
        "period": {"start": "2026-07-01", "end": "2026-07-31"},
        "group": [{"population": [{"count": 3}], "stratifier": [{"stratum": [{"value": TEXT}]}]}],
    },
    "AuditEvent": {
        "resourceType": "AuditEvent",
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "action": "C",
        "recorded": "2026-07-04T08:00:00.123Z",
        "agent": [{"requestor": True}],
        "source": {"observer": {"display": "relais"}},
    },
    "Bundle": {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:0b7d1111-2222-3333-4444-555566667777",
                "resource": {"resourceType": "Patient", "id": "p-1"},
                "request": {"method": "PUT", "url": "Patient/p-1"},
            }
        ],
    },
    "OperationOutcome": {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "processing", "diagnostics": "no"}],
    },
    "Location": {"resourceType": "Location", "status": "active", "position": {"longitude": -8.0, "latitude": 12}},
    "Organization": {"resourceType": "Organization", "name": "CSCom"},
    "Practitioner": {"resourceType": "Practitioner", "active": True},
    "PractitionerRole": {
        "resourceType": "PractitionerRole",
        "availableTime": [{"daysOfWeek": ["mon"], "availableStartTime": "08:00:00"}],
    },
}

#: Valid, and easily taken for wrong.
UNUSUAL: dict[str, Resource] = {
    "a required primitive with an extension only": {
        **VALID["Observation"],
        "status": None,
        "_status": {"extension": [{"url": "http://example.org/absent", "valueCode": "unknown"}]},
    },
    "null beside its twin": {
        "resourceType": "Patient",
        "name": [{"given": ["Awa", None], "_given": [None, {"id": "second"}]}],
    },
    "a year for a birth date": {**VALID["Patient"], "birthDate": "1994"},
    "a contained resource": {
        "resourceType": "Encounter",
        "contained": [{"resourceType": "Location", "id": "here", "name": "Case"}],
        "status": "finished",
        "class": {"code": "HH"},
        "location": [{"location": {"reference": "#here"}}],
    },
    "a reference to another server": {
        **VALID["Observation"],
        "subject": {"reference": "https://example.org/fhir/Patient/9/_history/2"},
    },
    "a conditional reference": {**VALID["Observation"], "subject": {"reference": "Patient?identifier=a|b"}},
    "a leap second": {**VALID["Observation"], "effectiveDateTime": "2016-12-31T23:59:60Z"},
    "no value but a reason": {
        "resourceType": "Observation",
        "status": "final",
        "code": TEXT,
        "dataAbsentReason": TEXT,
    },
    "an end of coarser precision": {**VALID["Encounter"], "period": {"start": "2026-07-04", "end": "2026-07"}},
    "one moment in two zones": {
        **VALID["Encounter"],
        "period": {"start": "2026-07-04T10:00:00+03:00", "end": "2026-07-04T07:30:00Z"},
    },
    "a nested extension": {
        **VALID["Patient"],
        "extension": [{"url": "http://example.org/a", "extension": [{"url": "b", "valueInteger": 1}]}],
    },
    "no codings of a set that is only preferred": {**VALID["Encounter"], "type": [TEXT]},
}
UNUSUAL["a required primitive with an extension only"].pop("status")


def put(path: str, value: Any) -> Callable[[Resource], None]:
    """A change that sets the element at ``a.0.b``."""

    def change(resource: Resource) -> None:
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        node: Any = resource
        for step in steps:
            node = node[step]
        node[last] = value

    return change


def drop(name: str) -> Callable[[Resource], None]:
    return lambda resource: resource.pop(name)


QUANTITY = {"value": 1}

#: (the fault, the type it is planted in, the change, where it must be found)
FAULTS: list[tuple[str, str, Callable[[Resource], None], str]] = [
    ("required primitive missing", "Observation", drop("status"), "Observation"),
    ("required boolean missing", "Group", drop("actual"), "Group"),
    ("required object missing", "Observation", drop("code"), "Observation"),
    ("required reference missing", "Condition", drop("subject"), "Condition"),
    ("required array missing", "OperationOutcome", drop("issue"), "OperationOutcome"),
    ("required canonical missing", "MeasureReport", drop("measure"), "MeasureReport"),
    ("required nested element missing", "Observation", put("component.0", {"valueBoolean": True}),
     "Observation.component[0]"),
    ("required choice missing", "Task", put("input.0", {"type": TEXT}), "Task.input[0]"),
    ("code outside the list", "Observation", put("status", "done"), "Observation.status"),
    ("code in the wrong case", "Patient", put("gender", "F"), "Patient.gender"),
    ("code of a nested element", "Patient", put("telecom.0.system", "mobile"), "Patient.telecom[0].system"),
    ("code of a task", "Task", put("intent", "wish"), "Task.intent"),
    ("code of a bundle request", "Bundle", put("entry.0.request.method", "UPSERT"), "Bundle.entry[0].request.method"),
    ("code in an array", "PractitionerRole", put("availableTime.0.daysOfWeek", ["lundi"]),
     "PractitionerRole.availableTime[0].daysOfWeek[0]"),
    ("required CodeableConcept with another code", "Condition", put("clinicalStatus.coding.0.code", "sick"),
     "Condition.clinicalStatus.coding"),
    ("required CodeableConcept of another system", "Condition", put("clinicalStatus.coding.0.system", "http://x.org"),
     "Condition.clinicalStatus.coding"),
    ("required CodeableConcept with text only", "Condition", put("clinicalStatus", TEXT), "Condition.clinicalStatus"),
    ("two choices", "Observation", put("valueString", "12"), "Observation.valueString"),
    ("two choices, one by its twin", "Observation", put("_valueString", {"id": "x"}), "Observation._valueString"),
    ("two choices in a component", "Observation", put("component.0.valueInteger", 1),
     "Observation.component[0].valueInteger"),
    ("two effective times", "Observation", put("effectivePeriod", {"start": "2026"}), "Observation.effectivePeriod"),
    ("two choices of another type", "Patient", put("multipleBirthInteger", 2), "Patient.multipleBirthInteger"),
    ("empty array", "Patient", put("name", []), "Patient.name"),
    ("empty object", "Observation", put("subject", {}), "Observation.subject"),
    ("empty object in an array", "Observation", put("category", [{}]), "Observation.category[0]"),
    ("empty string", "Patient", put("name.0.family", ""), "Patient.name[0].family"),
    ("string of spaces", "Patient", put("name.0.family", " \t"), "Patient.name[0].family"),
    ("string of a wide space", "Patient", put("name.0.family", "\u2003"), "Patient.name[0].family"),
    ("control character", "Patient", put("name.0.family", "Tra\x00oré"), "Patient.name[0].family"),
    ("null", "Patient", put("birthDate", None), "Patient.birthDate"),
    ("null in an array of objects", "Patient", put("name", [None]), "Patient.name[0]"),
    ("null in an array without twin", "Patient", put("name.0.given", ["Awa", None]), "Patient.name[0]"),
    ("object for an array", "Patient", put("name", {"family": "Traoré"}), "Patient.name"),
    ("array for an object", "Observation", put("code", [TEXT]), "Observation.code"),
    ("array for a primitive", "Patient", put("gender", ["female"]), "Patient.gender"),
    ("number as text", "Observation", put("valueQuantity.value", "112"), "Observation.valueQuantity.value"),
    ("boolean as text", "Group", put("actual", "true"), "Group.actual"),
    ("integer with a fraction", "Group", put("quantity", 2.5), "Group.quantity"),
    ("negative unsigned integer", "Group", put("quantity", -1), "Group.quantity"),
    ("zero for a positive integer", "Task", put("input.0.valuePositiveInt", 0), "Task.input[0].valuePositiveInt"),
    ("integer over 32 bits", "MeasureReport", put("group.0.population.0.count", 2**31),
     "MeasureReport.group[0].population[0].count"),
    ("boolean for an integer", "Group", put("quantity", True), "Group.quantity"),
    ("30 February", "Patient", put("birthDate", "2024-02-30"), "Patient.birthDate"),
    ("29 February of a common year", "Patient", put("birthDate", "2025-02-29"), "Patient.birthDate"),
    ("29 February of 1900", "Patient", put("birthDate", "1900-02-29"), "Patient.birthDate"),
    ("31 April", "Patient", put("birthDate", "2024-04-31"), "Patient.birthDate"),
    ("month 13", "Patient", put("birthDate", "2024-13"), "Patient.birthDate"),
    ("a time in a date", "Patient", put("birthDate", "2024-02-01T00:00:00Z"), "Patient.birthDate"),
    ("French date", "Patient", put("birthDate", "01/02/2024"), "Patient.birthDate"),
    ("date and line feed", "Patient", put("birthDate", "2024-02-01\n"), "Patient.birthDate"),
    ("dateTime without zone", "Observation", put("effectiveDateTime", "2026-07-04T01:30:00"),
     "Observation.effectiveDateTime"),
    ("dateTime without seconds", "Observation", put("effectiveDateTime", "2026-07-04T01:30Z"),
     "Observation.effectiveDateTime"),
    ("dateTime at 24:00", "Observation", put("effectiveDateTime", "2026-07-04T24:00:00Z"),
     "Observation.effectiveDateTime"),
    ("zone without colon", "Observation", put("effectiveDateTime", "2026-07-04T01:30:00+0300"),
     "Observation.effectiveDateTime"),
    ("instant without time", "AuditEvent", put("recorded", "2026-07-04"), "AuditEvent.recorded"),
    ("time without seconds", "PractitionerRole", put("availableTime.0.availableStartTime", "08:00"),
     "PractitionerRole.availableTime[0].availableStartTime"),
    ("id with an underscore", "Patient", put("id", "p_1"), "Patient.id"),
    ("id of 65 characters", "Patient", put("id", "a" * 65), "Patient.id"),
    ("uri with a space", "Patient", put("identifier.0.system", "urn:relais: cht"), "Patient.identifier[0].system"),
    ("code with a leading space", "Observation", put("code.coding.0.code", " 56072-2"),
     "Observation.code.coding[0].code"),
    ("reference to a wrong type", "Observation", put("subject.reference", "Organization/1"),
     "Observation.subject.reference"),
    ("reference without type", "Observation", put("encounter.reference", "e-1"), "Observation.encounter.reference"),
    ("reference with a bad id", "Observation", put("encounter.reference", "Encounter/e_1"),
     "Observation.encounter.reference"),
    ("typed reference to a wrong type", "Encounter", put("subject.type", "Practitioner"), "Encounter.subject.type"),
    ("reference to no R4 type at all", "Task", put("focus.reference", "Visit/1"), "Task.focus.reference"),
    ("unknown element", "Patient", put("surname", "Traoré"), "Patient"),
    ("unknown nested element", "Observation", put("code.label", "x"), "Observation.code"),
    ("element of R5", "Encounter", put("actualPeriod", {"start": "2026"}), "Encounter"),
    ("comparator where R4 wants a simple quantity", "Observation",
     put("referenceRange", [{"low": {"value": 1, "comparator": "<"}}]), "Observation.referenceRange[0].low"),
    ("extension without url", "Patient", put("extension", [{"valueString": "x"}]), "Patient.extension[0]"),
    ("extension with neither value nor extension", "Patient", put("extension", [{"url": "http://x.org"}]),
     "Patient.extension[0]"),
    ("extension with both", "Patient",
     put("extension", [{"url": "http://x.org", "valueInteger": 1, "extension": [{"url": "y", "valueInteger": 1}]}]),
     "Patient.extension[0].valueInteger"),
    ("invalid resource in a bundle", "Bundle", put("entry.0.resource.gender", "F"), "Bundle.entry[0].resource.gender"),
    ("unknown resource in a bundle", "Bundle", put("entry.0.resource.resourceType", "Pet"),
     "Bundle.entry[0].resource.resourceType"),
    ("invalid contained resource", "Encounter", put("contained", [{"resourceType": "Location", "status": "open"}]),
     "Encounter.contained[0].status"),
    ("obs-6", "Observation", put("dataAbsentReason", TEXT), "Observation"),
    ("per-1, days", "MeasureReport", put("period.end", "2026-06-30"), "MeasureReport.period"),
    ("per-1, moments in two zones", "Encounter",
     put("period", {"start": "2026-07-04T08:00:00Z", "end": "2026-07-04T10:00:00+03:00"}), "Encounter.period"),
    ("per-1, precisions", "Encounter", put("period", {"start": "2026-07-04", "end": "2026-06"}), "Encounter.period"),
    ("per-1, deep inside", "Patient", put("identifier.0.period", {"start": "2026", "end": "2025"}),
     "Patient.identifier[0].period"),
    ("prr-1", "ServiceRequest", drop("code"), "ServiceRequest"),
    ("cpt-2", "Patient", put("telecom", [{"value": "+223 00 00 00 00"}]), "Patient.telecom[0]"),
]  # fmt: skip


@pytest.mark.again
@pytest.mark.parametrize("resource_type", VALID)
def test_a_valid_resource_has_no_problem(resource_type: str) -> None:
    assert r4.problems(VALID[resource_type]) == []
    assert r4.is_valid(VALID[resource_type])


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_only_looks_wrong_passes(name: str) -> None:
    assert r4.problems(UNUSUAL[name]) == []
    assert r4.is_valid(UNUSUAL[name])


@pytest.mark.parametrize(("resource_type", "change", "where"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_planted_fault_is_found_at_its_place(
    resource_type: str, change: Callable[[Resource], None], where: str
) -> None:
    resource = copy.deepcopy(VALID[resource_type])
    change(resource)
    assert not r4.is_valid(resource)
    assert where in [problem.path for problem in r4.problems(resource)]


def test_at_least_forty_kinds_of_fault_are_planted() -> None:
    assert len({fault[0] for fault in FAULTS}) == len(FAULTS) >= 40


@pytest.mark.parametrize("name", ["obs-6", "per-1, days", "prr-1", "cpt-2"])
def test_a_broken_invariant_is_named(name: str) -> None:
    _, resource_type, change, where = next(fault for fault in FAULTS if fault[0] == name)
    resource = copy.deepcopy(VALID[resource_type])
    change(resource)
    [problem] = r4.problems(resource)
    assert problem.path == where
    assert problem.message.startswith(name[:5] + ":")


def test_every_problem_is_told_once_and_in_order() -> None:
    resource = {**VALID["Observation"], "status": "done", "subject": {}, "performer": []}
    assert r4.problems(resource) == [
        Problem("Observation.performer", "must not be empty"),
        Problem("Observation.status", "not a code (or type) of the required list"),
        Problem("Observation.subject", "must not be empty"),
    ]


@pytest.mark.parametrize("fault", FAULTS, ids=[f[0] for f in FAULTS])
def test_no_problem_repeats_a_value(fault: tuple[str, str, Callable[[Resource], None], str]) -> None:
    """Problems go to logs and pages, where the values of a patient have no business."""
    resource = copy.deepcopy(VALID[fault[1]])
    fault[2](resource)
    told = " ".join(f"{problem.path} {problem.message}" for problem in r4.problems(resource))
    for value in ("Traoré", "+223", "Awa", "2024-02-", "01/02/2024", "7f3a", "p_1", "surname"):
        assert value not in told


@pytest.mark.parametrize(
    "resource",
    [
        {},
        {"resourceType": "Pet"},
        {"resourceType": None},
        {"resourceType": ["Patient"]},
        {"resourceType": "HumanName"},
        {"resourceType": "Medication"},
    ],
    ids=str,
)
def test_what_is_no_known_resource_is_refused(resource: Resource) -> None:
    assert not r4.is_valid(resource)
    assert [problem.path for problem in r4.problems(resource)] == ["resourceType"]


def test_what_json_cannot_hold_is_refused() -> None:
    for value in ({1: "a"}, {"id": object()}, {"multipleBirthInteger": float("nan")}):
        resource: Resource = {"resourceType": "Patient", **value}  # type: ignore[dict-item]
        assert not r4.is_valid(resource)
        assert r4.problems(resource)


def test_the_schema_covers_what_is_sent_and_received() -> None:
    assert r4.resource_types() == set(VALID)


def test_every_definition_is_reached_and_none_is_missing() -> None:
    packed = Path(r4.__file__).with_name("r4.schema.json.gz").read_bytes()
    schema = json.loads(gzip.decompress(packed))
    wanted: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                wanted.add(node["$ref"].removeprefix("#/$defs/"))
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(schema["$defs"])
    assert wanted <= set(schema["$defs"])
    assert all(schema["$defs"][name] for name in wanted)
    assert "CC0" in schema["$comment"]
