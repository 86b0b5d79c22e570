"""People and groups as FHIR: Patient of a person, Group of a household or a savings group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.mappings.fhir_terms import Ids, Json, Terms, partial_day, source_system
from connector.model import Entity


def entity_resources(ids: Ids, terms: Terms, entity: Entity, replaced_by: Entity | None = None) -> list[Json]:
    """Nothing for other places and for workers: those are named by identifier only."""
    if entity.kind == "person":
        return [patient(ids, entity, replaced_by)]
    if entity.kind != "place":
        return []
    match _role(entity.data):
        case "household":
            return [group(ids, terms, entity.source, entity.key, "household")]
        case "savings-group":
            return [savings_group(ids, terms, entity.source, entity.key, entity.data.get("group_type"))]
    return []


def patient(ids: Ids, person: Entity, replaced_by: Entity | None = None) -> Json:
    """Phone numbers stay with us: no receiver of these resources needs them.

    ``replaced_by``: the registration of the same person that is kept. This one then must no longer be used, and says
    which must (R4, Patient.link, link-type ``replaced-by``).
    """
    data = person.data
    out: Json = {
        "resourceType": "Patient",
        "id": ids("Patient", person.source, person.key),
        "identifier": [{"system": source_system(person.source), "value": person.key}],
        "gender": data.get("sex") if data.get("sex") in ("female", "male") else "unknown",
    }
    if name := human_name(data):
        out["name"] = [name]
    if birth := partial_day(data.get("birth_date")):
        out["birthDate"] = birth
    if replaced_by is not None:
        other = f"Patient/{ids('Patient', replaced_by.source, replaced_by.key)}"
        out.update(active=False, link=[{"other": {"reference": other}, "type": "replaced-by"}])
    return out


def group(ids: Ids, terms: Terms, source: str, key: str, code: str) -> Json:
    """Without members and without name: who lives where, and who borrows, is nobody else's business."""
    return {
        "resourceType": "Group",
        "id": ids("Group", source, key),
        "identifier": [{"system": source_system(source), "value": key}],
        "type": "person",
        "actual": True,
        "code": terms.code(code),
    }


def savings_group(ids: Ids, terms: Terms, source: str, code: str, group_type: str | None) -> Json:
    out = group(ids, terms, source, code, "savings-group")
    if group_type:
        value = terms.code(group_type)
        out["characteristic"] = [
            {"code": terms.code("group-type"), "valueCodeableConcept": value, "exclude": False},
        ]
    return out


def _role(data: Mapping[str, Any]) -> str:
    role = data.get("role") or data.get("contact_type") or data.get("type") or ""
    return str(role).replace("_", "-")


def human_name(data: Mapping[str, Any]) -> Json | None:
    """``text`` as recorded; family and given as the registry has them, else the last word and the words before it."""
    text = " ".join(str(data.get("name") or "").split())
    family, given = str(data.get("family") or "").strip(), str(data.get("given") or "").strip()
    if not family and not given and " " in text:
        given, _, family = text.rpartition(" ")
    name: Json = {}
    if text or given or family:
        name["text"] = text or f"{given} {family}".strip()
    if family:
        name["family"] = family
    if given:
        name["given"] = given.split()
    return name or None
