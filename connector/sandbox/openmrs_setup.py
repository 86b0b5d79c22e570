"""Making metadata at the simulated OpenMRS by REST, as recordings/openmrs-2.8 did before its probes (001-032, 633).

A uuid that is given is kept (001, 003, 007, 012, 016); without one the server makes its own, as it always does for an
appointment service (633). A type without ``locationBehavior`` wants a location with each identifier (004, 109). A
repeated uuid is 500 with "Duplicate entry", as a repeated encounter is (213). Not recorded: a missing name, 400.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.sandbox.openmrs_rows import DATATYPES, Rows, concept_row, identifier_type_row, location_row, metadatum
from connector.sandbox.openmrs_shapes import Json, Refused, duplicate_row, error, invalid, read_date

_DATATYPES = {uuid: name for name, uuid in DATATYPES.items()}
KINDS = {
    "location": "Manage Locations", "patientidentifiertype": "Manage Identifier Types",
    "encountertype": "Manage Encounter Types", "provider": "Manage Providers", "person": "Add People",
    "concept": "Manage Concepts", "appointmentService": "Manage Appointment Services",
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
            made = concept_row(
                {**row, "name": names[0]["name"], "datatype": datatype, "ciel": None, "answers": answers}
            )
        case _ if not body.get("name"):
            raise invalid(general=["name: Name is required"])
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
