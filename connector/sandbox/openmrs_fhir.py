"""FHIR R4 of the sandbox's OpenMRS, for reading only, as far as anyone needs it.

Rules cite recordings/openmrs-2.8 by number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from connector.sandbox.openmrs_rows import Rows
from connector.sandbox.openmrs_shapes import Json, Refused

READABLE = ("Patient", "Encounter", "Condition")
#: What a search asks of an account, in this order: of conditions both tables are read (741, 751; the second as the
#: module's source has it). Of the others no account without was tried but one without any (062-064).
ASKED = {"Condition": ("Get Diagnoses", "Get Conditions")}
_HL7 = "http://terminology.hl7.org/CodeSystem/"
_CIEL = "https://cielterminology.org"


def outcome(code: str, text: str) -> Json:
    return {
        "resourceType": "OperationOutcome",
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><pre>{text}</pre></div>'},
        "issue": [{"severity": "error", "code": code, "diagnostics": text}],
    }


def denied(privilege: str) -> Refused:
    """500, as everything the module did not foresee (741, 751)."""
    why = f"org.openmrs.api.APIAuthenticationException: Privileges required: {privilege}"
    return Refused(500, outcome("processing", f"HAPI-0389: Failed to call access method: {why}"))


def answer(rows: Rows, method: str, path: list[str], query: Mapping[str, str], base: str) -> Any:
    """The document for one request. Raises Refused with an OperationOutcome."""
    if "_getpages" in query:
        text = f"HAPI-0417: Search ID {query['_getpages']} does not exist and may have expired"
        raise Refused(410 if not path else 400, outcome("processing", text))  # 526, 527, 849
    kind = path[0] if path else ""
    if method != "GET":
        # 593: what cannot be created is 400 not-supported, never 405.
        text = (
            f"Invalid request: The FHIR endpoint on this server does not know how to handle {method} operation[{kind}]"
        )
        raise Refused(400, outcome("not-supported", text))
    if kind == "metadata":
        return _metadata(base)
    if kind not in READABLE:
        raise Refused(404, outcome("processing", f"HAPI-0302: Unknown resource type '{kind}'"))  # 512-514
    if len(path) > 1:
        return _read(rows, kind, path[1])
    found = _FOUND[kind](rows, query)
    count = min(int(query.get("_count", 10)), 100)  # 878
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(found),
        "link": [{"relation": "self", "url": f"{base}/{kind}" + ("?" + urlencode(query) if query else "")}],
        "entry": [{"fullUrl": f"{base}/{kind}/{row['id']}", "resource": row} for row in found[:count]],
    }


def _read(rows: Rows, kind: str, uuid: str) -> Json:
    table = {"Patient": rows.patients, "Encounter": rows.encounters}.get(kind, {})
    row = table.get(uuid)
    if row is None:
        raise Refused(404, outcome("processing", f"Resource of type {kind} with ID {uuid} is not known"))  # 425
    if row["voided"]:
        raise Refused(410, outcome("processing", f"Resource of type {kind} with ID {uuid} is gone/deleted"))  # 505
    return _patient(row) if kind == "Patient" else _encounter(row)


def _patients(rows: Rows, query: Mapping[str, str]) -> list[Json]:
    """``identifier=Type name|value`` is exact but for case; an address as system finds nothing (460, 484-488)."""
    found = [p for p in rows.patients.values() if not p["voided"]]
    if "identifier" in query:
        system, bar, value = query["identifier"].rpartition("|")
        found = [
            p
            for p in found
            if any(
                i["identifier"].lower() == value.lower() and (not bar or i["identifierType"]["name"] == system)
                for i in p["identifiers"]
                if not i["voided"]
            )
        ]
    return [_patient(p) for p in found]


def _encounters(rows: Rows, query: Mapping[str, str]) -> list[Json]:
    wanted = query.get("patient", query.get("subject", "")).removeprefix("Patient/")
    return [_encounter(e) for e in rows.encounters.values() if not e["voided"] and wanted in ("", e["patient"]["uuid"])]


def _conditions(rows: Rows, query: Mapping[str, str]) -> list[Json]:
    """Diagnoses first, then the problem list (853); ``_lastUpdated=ge...`` by when a row was made (592)."""
    wanted = query.get("patient", query.get("subject", "")).removeprefix("Patient/")
    since = query.get("_lastUpdated", "").removeprefix("ge")
    first = datetime.fromisoformat(since) if since else None
    if first is not None and first.tzinfo is None:
        first = first.replace(tzinfo=rows.zone)
    found = [
        row
        for row in rows.conditions.values()
        if not row["voided"] and wanted in ("", row["patient"]["uuid"]) and (first is None or row["created"] >= first)
    ]
    return [_condition(rows, row) for row in sorted(found, key=lambda row: row["encounter"] is None)]


_FOUND: dict[str, Callable[[Rows, Mapping[str, str]], list[Json]]] = {
    "Patient": _patients, "Encounter": _encounters, "Condition": _conditions,
}  # fmt: skip


def _patient(row: Json) -> Json:
    person, name = row["person"], row["person"]["preferredName"]
    return {
        "resourceType": "Patient",
        "id": row["uuid"],
        "identifier": [
            {
                "id": i["uuid"],
                "use": "official" if i["preferred"] else "usual",
                "type": {"text": i["identifierType"]["name"]},
                "value": i["identifier"],
            }
            for i in row["identifiers"]
            if not i["voided"]
        ],
        "active": True,
        "name": [{"id": name["uuid"], "family": name["familyName"], "given": [name["givenName"]]}],
        "gender": {"F": "female", "M": "male"}.get(person["gender"], "unknown"),
        "birthDate": person["day"],
        "deceasedBoolean": False,
    }


def _encounter(row: Json) -> Json:
    out = {
        "resourceType": "Encounter",
        "id": row["uuid"],
        "status": "unknown",  # 543: whatever was sent
        "type": [
            {
                "coding": [
                    {
                        "system": "http://fhir.openmrs.org/code-system/encounter-type",
                        "code": row["encounterType"]["uuid"],
                        "display": row["encounterType"]["name"],
                    }
                ]
            }
        ],
        "subject": {"reference": f"Patient/{row['patient']['uuid']}", "type": "Patient"},
        "period": {"start": row["at"].isoformat()},
    }
    if row["location"]:
        out["location"] = [{"location": {"reference": f"Location/{row['location']['uuid']}"}}]
    return out


def _condition(rows: Rows, row: Json) -> Json:
    """587, 590, 591, 853. One without a code is there, too (590)."""
    patient, encounter, concept = row["patient"], row["encounter"], row["concept"]
    number = next((i for i in patient["identifiers"] if i["preferred"] and not i["voided"]), None)
    whose = patient["person"]["display"]
    updated = row["created"].astimezone(rows.zone).replace(microsecond=0)
    category = "encounter-diagnosis" if encounter else "problem-list-item"
    out: Json = {
        "resourceType": "Condition",
        "id": row["uuid"],
        "meta": {
            "versionId": str(round(updated.timestamp() * 1000)),
            "lastUpdated": updated.isoformat(timespec="milliseconds"),
        },
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{row["uuid"]}</div>'},
        "clinicalStatus": _coded("condition-clinical", row["clinical"], shown=encounter is not None),
        "category": [_coded("condition-category", category, shown=True)],
        "subject": {
            "reference": f"Patient/{patient['uuid']}",
            "type": "Patient",
            "display": f"{whose} ({number['identifierType']['name']}: {number['identifier']})" if number else whose,
        },
        "recordedDate": row["recorded"].astimezone(rows.zone).isoformat(timespec="seconds"),
    }
    if row["verification"]:
        out["verificationStatus"] = _coded("condition-ver-status", row["verification"], shown=True)
    if concept:
        ciel = next((code for code, uuid in rows.ciel.items() if uuid == concept["uuid"]), None)
        mapped = [{"system": _CIEL, "code": ciel}] if ciel else []
        out["code"] = {
            "coding": [{"code": concept["uuid"], "display": concept["name"]}, *mapped],
            "text": concept["name"],
        }
    if row["words"]:
        url = "http://fhir.openmrs.org/ext/non-coded-condition"
        out["extension"] = [{"url": url, "valueString": row["words"]}]
    if encounter:
        url = "http://fhir.openmrs.org/R4/StructureDefinition/diagnosis-rank"
        out["extension"] = [*out.get("extension", []), {"url": url, "valueInteger": row["rank"]}]
        out["encounter"] = {"reference": f"Encounter/{encounter['uuid']}", "type": "Encounter"}
    if row["onset"]:
        out["onsetDateTime"] = row["onset"]
    if row["recorder"]:
        out["recorder"] = row["recorder"]
    return out


def _coded(system: str, code: str, *, shown: bool) -> Json:
    coding = {"system": _HL7 + system, "code": code}
    return {"coding": [{**coding, "display": code.replace("-", " ").title()} if shown else coding]}


def _metadata(base: str) -> Json:
    """423: open to everyone."""
    reading = [{"code": "read"}, {"code": "search-type"}]
    return {
        "resourceType": "CapabilityStatement",
        "id": "metadata",
        "name": "RestServer",
        "publisher": "Not provided",
        "date": "2026-01-01T00:00:00+03:00",
        "status": "active",
        "kind": "instance",
        "software": {"name": "HAPI FHIR Server", "version": "5.7.9"},
        "implementation": {"description": "HAPI FHIR", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{"mode": "server", "resource": [{"type": kind, "interaction": reading} for kind in READABLE]}],
    }
