"""What a pack shares with its FHIR server: which types of resources, how much they say of a person, and what is left of
one that was taken back. Pure.

``types`` of the target names the types that go there (all, unless it is given); ``persons: pseudonymous`` leaves out of
them what names a person: her name, all of her birth date but the year, and whatever somebody wrote in words of her own,
as people write names into notes. Identifiers of the app stay: they tell nothing to whoever cannot open the app.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connector.mappings.fhir_terms import Json, coded
from connector.mappings.pack import Pack

#: Types that Relais makes -> those that they refer to.
REFERS: Mapping[str, tuple[str, ...]] = {
    "Patient": (),
    "Group": (),
    "Encounter": ("Patient", "Group"),
    "Observation": ("Patient", "Group", "Encounter"),
    "Condition": ("Patient", "Group", "Encounter"),
    "ServiceRequest": ("Patient", "Group", "Encounter", "Observation"),
    "Task": ("Patient", "Group", "Encounter", "ServiceRequest"),
    "QuestionnaireResponse": ("Patient", "Group"),
    "MeasureReport": (),
}
TYPES = tuple(REFERS)

#: Of an Observation that says something in words: why its value is not there (R4, obs-6 and value set
#: data-absent-reason).
_MASKED = coded("http://terminology.hl7.org/CodeSystem/data-absent-reason", "masked")

_NOBODY = {"display": "entered in error"}
_NO_CODE = coded("http://terminology.hl7.org/CodeSystem/data-absent-reason", "unknown")
#: What stays of a resource that was entered in error: its status and what R4 demands beside it. Nothing that it said,
#: and no reference, so that whom it was about may be removed. Of a Condition the status of its verification (R4, con-5:
#: then no clinical status). Other types have no such status.
_RETRACTED: Mapping[str, Json] = {
    "Encounter": {"class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "FLD"}},
    "Observation": {"code": _NO_CODE},
    "Condition": {
        "verificationStatus": coded("http://terminology.hl7.org/CodeSystem/condition-ver-status", "entered-in-error"),
        "subject": _NOBODY,
    },
    "ServiceRequest": {"intent": "order", "subject": _NOBODY},
    "Task": {"intent": "order"},
    "QuestionnaireResponse": {},
}


def retracted(settings: Mapping[str, Any], kind: str, id: str) -> Json | None:
    """The resource that says that this one was entered in error; None where it is deleted at the server."""
    if settings.get("retract") != "entered_in_error" or kind not in _RETRACTED:
        return None
    status = {} if kind == "Condition" else {"status": "entered-in-error"}
    return {"resourceType": kind, "id": id, **status, **_RETRACTED[kind]}


def types_of(settings: Mapping[str, Any]) -> frozenset[str]:
    """The types that go to a target with these settings."""
    said = settings.get("types")
    return frozenset(TYPES if said is None else [said] if isinstance(said, str) else said)


def types_made(pack: Pack) -> frozenset[str]:
    """The types that the mappings of a pack make, by the shapes of its activities."""
    found = {"MeasureReport"} if pack.indicators else set[str]()
    for kind in pack.activities.values():
        shape = kind.fhir.get("shape")
        found |= {"encounter": {"Encounter", "Observation"}, "questionnaire_response": {"QuestionnaireResponse"},
                  "task": {"Task"}}.get(str(shape), set())  # fmt: skip
        subject = {"person": "Patient", "group": "Group"}.get(str(kind.fhir.get("subject")))
        if subject and shape != "none":
            found.add(subject)
    if "Encounter" in found and any(concept.fhir.get("condition") for concept in pack.concepts.values()):
        found.add("Condition")
    if any(form.referral for form in pack.forms.values()):
        found |= {"ServiceRequest", "Task"}
    return frozenset(found)


def shared(settings: Mapping[str, Any], resources: Iterable[Json]) -> list[Json]:
    """Those of the resources that go to a target with these settings, as they go there."""
    types = types_of(settings)
    kept = [one for one in resources if one["resourceType"] in types]
    return [without_names(one) for one in kept] if settings.get("persons") == "pseudonymous" else kept


def without_names(resource: Json) -> Json:
    """The resource without what names a person; itself where there is nothing of that."""
    match resource["resourceType"]:
        case "Patient":
            kept = {name: value for name, value in resource.items() if name not in ("name", "birthDate")}
            return {**kept, "birthDate": resource["birthDate"][:4]} if "birthDate" in resource else kept
        case "Observation" if "valueString" in resource:
            kept = {name: value for name, value in resource.items() if name != "valueString"}
            return {**kept, "dataAbsentReason": _MASKED}
        case "ServiceRequest":
            return {name: value for name, value in resource.items() if name != "note"}
        case "QuestionnaireResponse" if "item" in resource:
            return {**resource, "item": [_without_words(item) for item in resource["item"]]}
    return resource


def _without_words(item: Json) -> Json:
    """Items stay, so that it shows that something was answered."""
    kept = {name: value for name, value in item.items() if name not in ("answer", "item")}
    if answers := [answer for answer in item.get("answer", ()) if "valueString" not in answer]:
        kept["answer"] = answers
    if inner := [_without_words(one) for one in item.get("item", ())]:
        kept["item"] = inner
    return kept
