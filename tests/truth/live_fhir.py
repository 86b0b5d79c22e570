"""What is asked of a running FHIR R4 server: transactions of PUTs, versions, references, a search, deletion."""

from __future__ import annotations

from typing import Any

from connector.sandbox.fhir import FHIRSim
from connector.sandbox.plane import Plane
from tests.truth.live import Simulated, Talk, Trouble, rows

_FHIR = {"content-type": "application/fhir+json", "accept": "application/fhir+json"}
_SYSTEM = "urn:relais:truth"


def script(talk: Talk) -> tuple[Simulated, list[str]]:
    answer = talk.send("GET", "/metadata", headers=_FHIR)
    try:
        statement = answer.json()
    except ValueError:
        statement = {}
    if answer.status_code in (401, 403):
        raise Trouble(f"the account is refused ({answer.status_code})")
    if statement.get("resourceType") != "CapabilityStatement":
        raise Trouble(f"/metadata does not answer like a FHIR server ({answer.status_code}); is the address right?")
    version = str(statement.get("fhirVersion", ""))
    if not version.startswith("4.0"):
        raise Trouble(f"it speaks FHIR {version or '?'}, not 4.0")
    name = talk.prefix.lower().replace("_", "-")
    patient, visit, other = f"{name}-p", f"{name}-e", f"{name}-o"
    for key in (f"Patient/{other}", f"Patient/{patient}", f"Encounter/{visit}"):  # the last is undone first
        talk.undo.append(lambda key=key: _gone(talk, key))  # type: ignore[misc]
    bundle = [_patient(patient), _encounter(visit, patient)]
    _transaction(talk, "transaction-create", bundle)
    _transaction(talk, "transaction-the-same-again", bundle)
    _transaction(talk, "transaction-update", [{**bundle[0], "gender": "male"}])
    talk.ask("read", "GET", f"/Patient/{patient}", headers=_FHIR, keep=_resource)
    changed = {**bundle[0], "gender": "unknown"}
    stale, current = {**_FHIR, "if-match": 'W/"1"'}, {**_FHIR, "if-match": 'W/"2"'}
    talk.ask("if-match-stale", "PUT", f"/Patient/{patient}", changed, headers=stale, keep=_type)
    talk.ask("if-match-current", "PUT", f"/Patient/{patient}", changed, headers=current, keep=_resource)
    lost = [_patient(other), _encounter(f"{name}-x", f"{name}-nobody")]
    talk.undo.append(lambda: _gone(talk, f"Encounter/{name}-x"))
    _transaction(talk, "transaction-with-a-reference-to-nothing", lost)
    talk.ask("nothing-of-it-is-stored", "GET", f"/Patient/{other}", headers=_FHIR, keep=_type)
    query = {"identifier": f"{_SYSTEM}|{patient}"}
    talk.ask("search", "GET", "/Patient", query=query, headers={**_FHIR, "cache-control": "no-cache"}, keep=_found)
    talk.ask("delete-what-is-referred-to", "DELETE", f"/Patient/{patient}", headers=_FHIR, keep=_type)
    _transaction(talk, "transaction-delete-both", [f"Encounter/{visit}", f"Patient/{patient}"])
    talk.ask("read-deleted", "GET", f"/Patient/{patient}", headers=_FHIR, keep=_type)
    talk.ask("delete-again", "DELETE", f"/Patient/{patient}", headers=_FHIR, keep=_type)
    _transaction(talk, "transaction-again-after-deletion", bundle)
    return Simulated(FHIRSim(Plane(), validating=False).app, "http://simulator/fhir", {}), []


def _patient(id: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient", "id": id, "identifier": [{"system": _SYSTEM, "value": id}],
        "name": [{"family": "Truth", "given": ["Relais"]}], "gender": "female", "birthDate": "2001-05-14",
    }  # fmt: skip


def _encounter(id: str, patient: str) -> dict[str, Any]:
    return {
        "resourceType": "Encounter", "id": id, "status": "finished", "subject": {"reference": f"Patient/{patient}"},
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HH"},
    }  # fmt: skip


def _transaction(talk: Talk, name: str, wanted: list[Any]) -> None:
    """PUTs of resources; of a name (``Patient/p``) its DELETE."""
    base = str(talk.client.base_url).rstrip("/")
    entries = []
    for one in wanted:
        key = one if isinstance(one, str) else f"{one['resourceType']}/{one['id']}"
        request = {"method": "DELETE" if isinstance(one, str) else "PUT", "url": key}
        resource = {} if isinstance(one, str) else {"resource": one}
        entries.append({"fullUrl": f"{base}/{key}", **resource, "request": request})
    body = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    talk.ask(name, "POST", "", body, headers=_FHIR, keep=_responses)


# ---------------------------------------------------------------- what matters of an answer


def _type(answer: Any) -> Any:
    return {"resourceType": answer.get("resourceType")}


def _resource(answer: Any) -> Any:
    kept = {name: answer[name] for name in ("resourceType", "id", "gender") if name in answer}
    return {**kept, "meta": {"versionId": (answer.get("meta") or {}).get("versionId")}}


def _found(answer: Any) -> Any:
    return {"resourceType": answer.get("resourceType"), "total": answer.get("total")}


def _responses(answer: Any) -> Any:
    """Which entries were stored, under which place and version."""
    if answer.get("resourceType") != "Bundle":
        return _type(answer)
    shown = [{"response": _response(row.get("response") or {})} for row in rows(answer, "entry")]
    return {"resourceType": "Bundle", "type": answer.get("type"), "entry": shown}


def _response(told: Any) -> Any:
    kept = {"status": told.get("status")}
    return {**kept, "location": told["location"]} if told.get("location") else kept


# ---------------------------------------------------------------- cleared away


def _gone(talk: Talk, key: str) -> str | None:
    talk.send("DELETE", f"/{key}", headers=_FHIR)
    answer = talk.send("GET", f"/{key}", headers={**_FHIR, "cache-control": "no-cache"})
    return None if answer.status_code in (404, 410) else f"{key} is still at the FHIR server ({answer.status_code})"
