"""Making metadata at the simulated OpenMRS by REST, as recordings/openmrs-2.8 did before its probes (001-032, 633).

A uuid that is given is kept (001, 003, 007, 012, 013, 015, 016, 052); without one the server makes its own, as it
always does for an appointment service (633) and an identifier source (006). A concept is known as ``CIEL:code`` by its
SAME-AS mapping to a term of that source (015, 016). Privileges of a role and roles of a user are the whole list (754,
840, 842). A type without ``locationBehavior`` wants a location with each identifier (004, 109). A repeated uuid is 500
with "Duplicate entry", as a repeated encounter is (213). Not recorded: a missing name, 400, and a mapping that is added
to a concept (webservices.rest, ``ConceptMappingResource``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.sandbox.openmrs_rows import (
    ALPHABET,
    DATATYPES,
    Rows,
    concept_row,
    identifier_type_row,
    location_row,
    metadatum,
    term_row,
)
from connector.sandbox.openmrs_shapes import Json, Refused, duplicate_row, error, invalid, read_date

_DATATYPES = {uuid: name for name, uuid in DATATYPES.items()}
KINDS = {
    "location": "Manage Locations", "patientidentifiertype": "Manage Identifier Types",
    "encountertype": "Manage Encounter Types", "provider": "Manage Providers", "person": "Add People",
    "concept": "Manage Concepts", "appointmentService": "Manage Appointment Services",
    "conceptsource": "Manage Concept Sources", "conceptreferenceterm": "Manage Concept Reference Terms",
    "role": "Manage Roles",
}  # fmt: skip
#: Who may look at them.
READING = {
    "location": "Get Locations", "patientidentifiertype": "Get Identifier Types", "provider": "Get Providers",
    "encountertype": "Get Encounter Types", "encounterrole": "Get Encounter Roles", "concept": "Get Concepts",
    "conceptsource": "Get Concept Sources", "conceptreferenceterm": "Get Concept Reference Terms",
    "conceptmaptype": "Get Concept Map Types", "role": "Get Roles", "privilege": "Get Privileges",
}  # fmt: skip


#: 214, 215.
_SAME_NAME = {
    "location": ("location.duplicate.name", "Specified Location name already exists, please specify another"),
    "encountertype": (
        "EncounterType.error.duplicateEncounterTypeNameSpecified",
        "Encounter Type name already exists, please specify another",
    ),
}


def make(rows: Rows, kind: str, body: Mapping[str, Any]) -> Json:
    """The new row. Raises Refused."""
    key = str(body.get("uuid") or rows.new_uuid())
    tables: dict[str, dict[str, Json]] = {
        "location": rows.locations, "patientidentifiertype": rows.identifier_types, "provider": rows.providers,
        "encountertype": rows.encounter_types, "concept": rows.concepts, "person": rows.people,
        "conceptsource": rows.concept_sources, "conceptreferenceterm": rows.concept_terms, "role": rows.user_roles,
    }  # fmt: skip
    if key in tables.get(kind, {}):
        raise duplicate_row(key)  # 213
    if kind in _SAME_NAME and any(one["name"] == body.get("name") for one in tables[kind].values()):
        raise invalid(name=_SAME_NAME[kind])
    row = {"uuid": key, "name": body.get("name"), "description": body.get("description")}
    match kind:
        case "appointmentService":
            if not body.get("name"):
                raise Refused(400, error("[Appointment Service name should not be null]", "AppointmentServiceMapper:1"))
            place = rows.locations.get(str(body.get("locationUuid")))
            made = {
                "uuid": rows.new_uuid(), "name": body["name"], "location": body.get("locationUuid"),
                "description": body.get("description"), "place": place["name"] if place else body["name"],
            }  # fmt: skip
            rows.services[made["uuid"]] = made
            return made
        case "person":
            names = body.get("names") or []
            if not names:
                raise invalid(general=["Person needs at least one name"])
            born = body.get("birthdate")
            at = read_date(born, rows.zone, "birthdate on class org.openmrs.Person") if born else None
            made = rows.new_person(key, {**body, "birthdate": at})
        case "provider":
            person = rows.people.get(str(body.get("person")))
            if person is None:
                raise invalid(general=["A provider needs a person or a name"])
            identifier = body.get("identifier")
            made = {
                **metadatum("provider", {**row, "name": person["display"]}),
                "display": f"{identifier} - {person['display']}", "identifier": identifier, "person": person,
                "providerRole": None, "attributes": [],
            }  # fmt: skip
        case "concept":
            names = body.get("names") or []
            datatype = _DATATYPES.get(str(body.get("datatype")))
            if not names or datatype is None or not body.get("conceptClass"):
                raise invalid(general=["Concept.name.atLeastOneRequired"])
            answers = [rows.concept(one) for one in body.get("answers") or []]
            if None in answers:
                raise invalid(general=["answers"])
            integer = body.get("allowDecimal") is False
            made = concept_row(
                {**row, "name": names[0]["name"], "datatype": datatype, "answers": answers, "integer": integer}
            )
            for one in body.get("mappings") or []:
                map_concept(rows, made, one)
        case _ if not body.get("name"):
            raise invalid(general=["name: Name is required"])
        case "role":
            if any(one["name"] == row["name"] for one in rows.user_roles.values()):
                raise invalid(general=["Role.error.duplicateName"])
            made = metadatum("role", row, privileges=_privileges(rows, body), inheritedRoles=[])
        case "conceptsource":
            made = metadatum("conceptsource", row, hl7Code=body.get("hl7Code"), uniqueId=None)
        case "conceptreferenceterm":
            source = rows.concept_sources.get(str(body.get("conceptSource")))
            code = body.get("code")
            if source is None or not code:
                raise invalid(general=["ConceptReferenceTerm.error.sourceRequired"])
            if any(t["code"] == code and t["conceptSource"] is source for t in rows.concept_terms.values()):
                raise invalid(general=["ConceptReferenceTerm.duplicate.code"])
            made = term_row({**row, "code": code}, source)
        case "location":
            made = location_row(row)
        case "patientidentifiertype":
            flags = {
                "required": bool(body.get("required")), "unique": body.get("uniquenessBehavior") == "UNIQUE",
                "needs_location": body.get("locationBehavior") != "NOT_USED",
                "check_digit": bool(body.get("validator")), "format": body.get("format"),
                "formatDescription": body.get("formatDescription"),
            }  # fmt: skip
            made = identifier_type_row({**row, **flags})
        case _:
            made = metadatum("encountertype", row)
    tables[kind][key] = made
    return made


def map_concept(rows: Rows, concept: Json, body: Mapping[str, Any]) -> Json:
    """A mapping of a concept to a term that is there. Raises Refused."""
    term = rows.concept_terms.get(str(body.get("conceptReferenceTerm")))
    how = rows.map_types.get(str(body.get("conceptMapType")))
    if term is None or how is None:
        raise invalid(general=["ConceptMap.error.termRequired"])
    mapping = {"_kind": "mapping", "uuid": rows.new_uuid(), "display": term["display"]}
    concept["mappings"].append(mapping)
    if term["conceptSource"]["name"] == "CIEL" and how["name"] == "SAME-AS":
        rows.ciel[term["code"]] = concept["uuid"]
    return mapping


def change_role(rows: Rows, role: Json, body: Mapping[str, Any]) -> Json:
    role["privileges"] = _privileges(rows, body)
    return role


def _privileges(rows: Rows, body: Mapping[str, Any]) -> list[Json]:
    found = [rows.by_uuid_or_name(rows.privileges, one) for one in body.get("privileges") or []]
    if None in found:
        raise invalid(general=["privileges"])
    return [one for one in found if one is not None]


def make_source(rows: Rows, body: Mapping[str, Any]) -> Json:
    """A generator of identifiers (006). Not recorded: one of another kind, or without its type, 400."""
    kind = rows.identifier_types.get(str(body.get("identifierType")))
    if body.get("sourceType") != "SequentialIdentifierGenerator" or kind is None or not body.get("name"):
        raise invalid(general=["identifierType"])
    made = {
        "uuid": rows.new_uuid(), "name": body["name"], "identifier_type": kind["uuid"],
        "alphabet": body["baseCharacterSet"], "first": body["firstIdentifierBase"],
        "min": int(body["minLength"]) if body.get("minLength") else None,
        "max": int(body["maxLength"]) if body.get("maxLength") else None,
    }  # fmt: skip
    rows.idgen[made["uuid"]] = {**made, "next": made["first"]}
    return rows.idgen[made["uuid"]]


def source_row(rows: Rows, row: Mapping[str, Any]) -> Json:
    """As ``represent`` takes one; the resource knows no view but its own (068)."""
    sequential = row.get("kind", "SequentialIdentifierGenerator") == "SequentialIdentifierGenerator"
    generator = {
        "baseCharacterSet": row.get("alphabet", ALPHABET), "prefix": row.get("prefix"), "suffix": row.get("suffix"),
        "firstIdentifierBase": row["first"], "minLength": row.get("min", 7), "maxLength": row.get("max", 7),
    }  # fmt: skip
    return {
        "_kind": "identifiersource", "uuid": row["uuid"], "display": row["name"], "name": row["name"],
        "description": None, "identifierType": rows.identifier_types.get(row["identifier_type"]),
        "type": str(row.get("kind", "SequentialIdentifierGenerator")).lower(),
        **(generator if sequential else dict.fromkeys(generator)),
    }  # fmt: skip
