"""Making metadata at the simulated OpenMRS by REST, as recordings/openmrs-2.8 did before its probes (001-032, 633).

A uuid that is given is kept (001, 003, 007, 012, 016); without one the server makes its own, as it always does for an
appointment service (633). A type without ``locationBehavior`` wants a location with each identifier (004, 109). Not
recorded: a repeated uuid, answered as 500 with "Duplicate entry", as a repeated encounter is; a missing name, 400.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.sandbox.openmrs_rows import Rows, concept_row, identifier_type_row, location_row, metadatum
from connector.sandbox.openmrs_shapes import Json, Refused, error, invalid

#: Fixed by core: uuid of a data type -> its name (016, 022, 024, 030, 031, 033).
_DATATYPES = {
    "8d4a4ab4-c2cc-11de-8d13-0010c6dffd0f": "Text", "8d4a48b6-c2cc-11de-8d13-0010c6dffd0f": "Coded",
    "8d4a4c94-c2cc-11de-8d13-0010c6dffd0f": "N/A", "8d4a4488-c2cc-11de-8d13-0010c6dffd0f": "Numeric",
    "8d4a505e-c2cc-11de-8d13-0010c6dffd0f": "Date", "8d4a5cca-c2cc-11de-8d13-0010c6dffd0f": "Boolean",
}  # fmt: skip
KINDS = {
    "location": "Manage Locations", "patientidentifiertype": "Manage Identifier Types",
    "encountertype": "Manage Encounter Types", "provider": "Manage Providers", "person": "Add People",
    "concept": "Manage Concepts", "appointmentService": "Manage Appointment Services",
}  # fmt: skip


def make(rows: Rows, kind: str, body: Mapping[str, Any]) -> Json:
    """The new row. Raises Refused."""
    key = str(body.get("uuid") or rows.new_uuid())
    tables: dict[str, dict[str, Json]] = {
        "location": rows.locations, "patientidentifiertype": rows.identifier_types, "provider": rows.providers,
        "encountertype": rows.encounter_types, "concept": rows.concepts, "person": rows.people,
    }  # fmt: skip
    if key in tables.get(kind, {}):
        raise Refused(500, error(f"[could not execute statement => Duplicate entry '{key}']", "SQLStateConverter:88"))
    row = {"uuid": key, "name": body.get("name"), "description": body.get("description")}
    match kind:
        case "appointmentService":
            if not body.get("name"):
                raise Refused(400, error("[Appointment Service name should not be null]", "AppointmentServiceMapper:1"))
            made = {"uuid": rows.new_uuid(), "name": body["name"], "location": body.get("locationUuid")}
            rows.services[made["uuid"]] = made
            return made
        case "person":
            names = body.get("names") or []
            if not names:
                raise invalid(general=["Person needs at least one name"])
            row["name"] = " ".join(str(names[0].get(part) or "") for part in ("givenName", "familyName"))
            made = {**metadatum("person", row), "gender": body.get("gender")}
        case "provider":
            person = rows.people.get(str(body.get("person")))
            if person is None:
                raise invalid(general=["A provider needs a person or a name"])
            identifier = body.get("identifier")
            made = {
                **metadatum("provider", {**row, "name": person["name"]}), "display": f"{identifier} - {person['name']}",
                "identifier": identifier, "person": None, "providerRole": None, "attributes": [],
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
                "check_digit": bool(body.get("validator")),
            }  # fmt: skip
            made = identifier_type_row({**row, **flags})
        case _:
            made = metadatum("encountertype", row)
    tables[kind][key] = made
    return made


def person_body(row: Mapping[str, Any]) -> Json:
    """A person made apart from a patient, as far as the provider needs it (011)."""
    return {"uuid": row["uuid"], "display": row["display"], "gender": row["gender"], "voided": False}
