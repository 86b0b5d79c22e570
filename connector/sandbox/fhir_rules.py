"""What a validating HAPI FHIR JPA 8.8.0 refuses, for the types Relais sends (recordings ``hapi-fhir-8.8``).

Not the whole of FHIR: known elements, required elements, required codes, dates, types of values, and the rules for
bundles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

ID = re.compile(r"[A-Za-z0-9.\-]{1,64}")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TYPES = _words(
    "AuditEvent Condition DiagnosticReport Encounter Group Immunization Location Measure MeasureReport Medication "
    "MedicationAdministration Observation Organization Patient Practitioner PractitionerRole Procedure Provenance "
    "Questionnaire QuestionnaireResponse RelatedPerson ServiceRequest Task"
)
#: Elements with minimum 1 (FHIR R4, StructureDefinition of each type).
_REQUIRED = {
    "Condition": ("subject",),
    "Encounter": ("status", "class"),
    "Group": ("type", "actual"),
    "MeasureReport": ("status", "type", "measure", "period"),
    "Observation": ("status", "code"),
    "Provenance": ("target", "recorded", "agent"),
    "QuestionnaireResponse": ("status",),
    "ServiceRequest": ("status", "intent", "subject"),
    "Task": ("status", "intent"),
}
#: Codes of required bindings (FHIR R4); a wrong one cannot even be parsed (79).
_ENUMS = {
    ("Patient", "gender"): {"male", "female", "other", "unknown"},
    ("Encounter", "status"): _words(
        "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown"
    ),
    ("Observation", "status"): _words(
        "registered preliminary final amended corrected cancelled entered-in-error unknown"
    ),
    ("ServiceRequest", "status"): _words("draft active on-hold revoked completed entered-in-error unknown"),
    ("ServiceRequest", "intent"): _words(
        "proposal plan directive order original-order reflex-order filler-order instance-order option"
    ),
    ("ServiceRequest", "priority"): {"routine", "urgent", "asap", "stat"},
    ("Task", "priority"): {"routine", "urgent", "asap", "stat"},
    ("Task", "status"): _words(
        "draft requested received accepted rejected ready cancelled in-progress on-hold failed completed "
        "entered-in-error"
    ),
    ("Task", "intent"): _words(
        "unknown proposal plan order original-order reflex-order filler-order instance-order option"
    ),
    ("Group", "type"): {"person", "animal", "practitioner", "device", "medication", "substance"},
    ("MeasureReport", "status"): {"complete", "pending", "error"},
    ("MeasureReport", "type"): {"individual", "subject-list", "summary", "data-collection"},
    ("QuestionnaireResponse", "status"): _words("in-progress completed amended entered-in-error stopped"),
}
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_DATE_TIME = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?)?)?")
_ZONELESS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")
_DATE_TIMES = {"effectiveDateTime", "authoredOn", "authored", "recordedDate", "onsetDateTime", "start", "end", "date"}
#: Class codes of v3-ActCode for encounters; ``outpatient`` is refused (153).
_CLASSES = {"AMB", "EMER", "FLD", "HH", "IMP", "ACUTE", "NONAC", "OBSENC", "PRENC", "SS", "VR"}


#: Types that a reference may point to, where R4 forbids some (37).
_SUBJECTS = _words("Patient Group")
TARGETS = {
    "Observation.subject": _words("Patient Group Device Location"),
    "Observation.encounter": _words("Encounter"),
    "Encounter.subject": _SUBJECTS,
    "Condition.subject": _SUBJECTS,
    "Condition.encounter": _words("Encounter"),
    "ServiceRequest.subject": _words("Patient Group Location Device"),
    "ServiceRequest.encounter": _words("Encounter"),
    "Task.encounter": _words("Encounter"),
}
_ALL = "id meta implicitRules language text contained extension modifierExtension resourceType identifier "
#: Every element of the types Relais sends (FHIR R4); an unknown one is dropped in silence (78) or refused (149).
_ELEMENTS = {
    kind: _words(_ALL + names)
    for kind, names in {
        "Condition": "abatementAge abatementDateTime abatementPeriod abatementRange abatementString asserter bodySite "
        "category clinicalStatus code encounter evidence note onsetAge onsetDateTime onsetPeriod onsetRange "
        "onsetString recordedDate recorder severity stage subject verificationStatus",
        "Encounter": "account appointment basedOn class classHistory diagnosis episodeOfCare hospitalization length "
        "location partOf participant period priority reasonCode reasonReference serviceProvider serviceType status "
        "statusHistory subject type",
        "Group": "active actual characteristic code managingEntity member name quantity type",
        "MeasureReport": "date evaluatedResource group improvementNotation measure period reporter status subject type",
        "Observation": "basedOn bodySite category code component dataAbsentReason derivedFrom device effectiveDateTime "
        "effectiveInstant effectivePeriod effectiveTiming encounter focus hasMember interpretation issued method note "
        "partOf performer referenceRange specimen status subject valueBoolean valueCodeableConcept valueDateTime "
        "valueInteger valuePeriod valueQuantity valueRange valueRatio valueSampledData valueString valueTime",
        "Patient": "active address birthDate communication contact deceasedBoolean deceasedDateTime gender "
        "generalPractitioner link managingOrganization maritalStatus multipleBirthBoolean multipleBirthInteger name "
        "photo telecom",
        "QuestionnaireResponse": "author authored basedOn encounter item partOf questionnaire source status subject",
        "ServiceRequest": "asNeededBoolean asNeededCodeableConcept authoredOn basedOn bodySite category code "
        "doNotPerform encounter instantiatesCanonical instantiatesUri insurance intent locationCode locationReference "
        "note occurrenceDateTime occurrencePeriod occurrenceTiming orderDetail patientInstruction performer "
        "performerType priority quantityQuantity quantityRange quantityRatio reasonCode reasonReference "
        "relevantHistory replaces requester requisition specimen status subject supportingInfo",
        "Task": "authoredOn basedOn businessStatus code description encounter executionPeriod focus for "
        "groupIdentifier input instantiatesCanonical instantiatesUri insurance intent lastModified location note "
        "output owner partOf performerType priority reasonCode reasonReference relevantHistory requester restriction "
        "status statusReason",
    }.items()
}


class Refused(Exception):
    """An answer that is an error, with its OperationOutcome issues."""

    def __init__(self, status: int, diagnostics: str, issues: list[dict[str, Any]] | None = None) -> None:
        super().__init__(diagnostics)
        self.status = status
        self.issues = issues or [{"severity": "error", "code": "processing", "diagnostics": diagnostics}]


UNPARSED = "HAPI-0450: Failed to parse request body as JSON resource. Error was:"


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "reference" and isinstance(inner, str):
                if not inner.startswith("#"):
                    yield inner
            elif isinstance(inner, dict | list):
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def check_parses(resource: Any) -> None:
    """What HAPI's parser refuses even without validation. Raises Refused 400; never names the entry (92)."""
    if not isinstance(resource, dict) or "resourceType" not in resource:
        text = "HAPI-1838: Invalid JSON content detected, missing required element: 'resourceType'"
        raise Refused(400, f"{UNPARSED} {text}")
    kind = resource["resourceType"]
    for name, value in resource.items():
        codes = _ENUMS.get((kind, name))
        if codes is not None and value not in codes:
            of = "AdministrativeGender code" if name == "gender" else "code"
            text = f'[element="{name}"] Invalid attribute value "{value}": Unknown {of} \'{value}\''
            raise Refused(400, f"{UNPARSED} HAPI-1821: {text}")  # 79
        if name == "birthDate" and value is not None and not (isinstance(value, str) and _DATE.fullmatch(value)):
            text = f'[element="birthDate"] Invalid attribute value "{value}": Invalid date/time format: "{value}"'
            raise Refused(400, f"{UNPARSED} HAPI-1821: {text}")  # 80
        readable = name not in _DATE_TIMES or not isinstance(value, str) or _DATE_TIME.fullmatch(value)
        if not readable and not _ZONELESS.fullmatch(value):
            text = f'[element="{name}"] Invalid attribute value "{value}": Invalid date/time format: "{value}"'
            raise Refused(400, f"{UNPARSED} HAPI-1821: {text}")


def invalid(resource: dict[str, Any], place: str) -> Iterator[dict[str, Any]]:
    """Issues of severity error that a validating HAPI finds (148-153); an empty iterator is a valid resource."""
    kind = resource["resourceType"]
    for name in _REQUIRED.get(kind, ()):
        if name not in resource:
            origin = f"from http://hl7.org/fhir/StructureDefinition/{kind}|4.0.1"
            yield _issue(f"{kind}.{name}: minimum required = 1, but only found 0 ({origin})", place)  # 148
    known = _ELEMENTS.get(kind)
    for name in resource:
        if known is not None and name not in known and not name.startswith("_"):
            yield _issue(f"Unrecognized property '{name}'", place)  # 149
    setting = (resource.get("class") or {}) if kind == "Encounter" else {}
    if "v3-ActCode" in setting.get("system", "") and setting.get("code") not in _CLASSES:
        yield _issue(f"Unknown code '{setting['system']}#{setting.get('code')}'", f"{place}.class")  # 153
    yield from _invalid_values(resource, place)


def _invalid_values(value: Any, place: str) -> Iterator[dict[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in items:
        here = f"{place}[{name}]" if isinstance(name, int) else f"{place}.{name}"
        if inner is None or inner == "" or inner == {} or inner == []:
            yield _issue("Object must have some content", here)  # 86, 87 when validated
        elif isinstance(inner, dict | list):
            yield from _invalid_values(inner, here)
        elif name in _DATE_TIMES and isinstance(inner, str) and not _DATE_TIME.fullmatch(inner):
            yield _issue("If a date has a time, it must have a timezone", _typed(here))  # 150
        elif name == "valueInteger" and type(inner) is not int:
            yield _issue("Error parsing JSON: the primitive value must be a number", here)
        elif name == "value" and place.endswith("Quantity") and isinstance(inner, str):
            text = "Error parsing JSON: the primitive value must be a number"
            yield _issue(text, here.replace("valueQuantity", "value[x]"))  # 151
        elif name == "valueBoolean" and type(inner) is not bool:
            yield _issue("Error parsing JSON: the primitive value must be a boolean", here)


def _typed(place: str) -> str:
    """``effectiveDateTime`` as FHIRPath has it (150)."""
    return re.sub(r"\b(\w+)DateTime$", r"\1.ofType(dateTime)", place)


#: Elements that are lists; a single object is taken as a list of one (84).
_LISTS = _words("identifier name telecom address")


def stored(resource: dict[str, Any]) -> dict[str, Any]:
    """What HAPI keeps of a resource that it accepts without validation: no unknown element (78), no second value[x]
    (85), nothing empty (86, 87); a number that came as text is a number (83)."""
    known = _ELEMENTS.get(resource["resourceType"])
    kept: dict[str, Any] = {}
    valued = False
    for name, value in resource.items():
        if known is not None and name not in known and not name.startswith("_"):
            continue
        if name.startswith("value") and name != "value":
            if valued:
                continue
            valued = True
        if name == "valueQuantity" and isinstance(value, dict) and isinstance(value.get("value"), str):
            value = {**value, "value": float(value["value"])}
        if name in _LISTS and known is not None and isinstance(value, dict) and resource["resourceType"] == "Patient":
            value = [value]
        value = _filled(value)
        if value not in (None, "", {}, []):
            kept[name] = value
    return kept


def _filled(value: Any) -> Any:
    """The same value where nothing in it is empty."""
    if isinstance(value, dict):
        inner = {name: _filled(one) for name, one in value.items()}
        return {name: one for name, one in inner.items() if one not in (None, "", {}, [])}
    if isinstance(value, list):
        return [one for one in map(_filled, value) if one not in (None, "", {}, [])]
    return value


def invalid_bundle(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    urls: dict[str, int] = {}
    for index, entry in enumerate(entries):
        place = f"Bundle.entry[{index}]"
        url = entry.get("fullUrl")
        if url in urls:
            yield _issue(
                "Constraint failed: bdl-7: 'FullUrl must be unique in a bundle, or else entries with the same fullUrl "
                "must have different meta.versionId (except in history bundles)'",
                "Bundle",
            )  # 161
        if url:
            place = f"Bundle.entry[{urls.setdefault(url, index)}]"
        resource = entry.get("resource")
        if resource is None:
            continue
        name = f"{resource['resourceType']}/{resource.get('id')}"
        if url and "://" in url and not url.endswith(f"/{name}"):
            text = f"The fullUrl '{url}' looks like a RESTful server URL, so it must end with the correct type and id"
            yield _issue(f"{text} (/{name})", place)  # 161
        place = f"Bundle.entry[{index}]"
        inside = f"{place}.resource/*{name}*/"
        if not url and any("://" not in target for target in references(resource)):
            yield _issue("Bundle entry missing fullUrl", place)  # 158
            for element, value in resource.items():
                if any("://" not in target for target in references({element: value})):
                    text = "Relative Reference appears inside Bundle whose entry is missing a fullUrl"
                    yield _issue(text, f"{inside}.{element}")  # 156, 158
        yield from invalid(resource, inside)


def _issue(text: str, place: str) -> dict[str, Any]:
    return {
        "severity": "error",
        "code": "processing",
        "diagnostics": text,
        "location": [place],
        "expression": [place],
    }
