"""REST of encounters and observations as the sandbox's OpenMRS answers it. Refusals are ``Refused``.

Rules cite recordings/openmrs-2.8 by number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from connector.sandbox.openmrs_rows import Rows, find, reference
from connector.sandbox.openmrs_shapes import (
    TOO_LONG,
    Json,
    Refused,
    bad_property,
    duplicate_row,
    error,
    invalid,
    known,
    need,
    not_found,
    not_null,
    read_date,
    write_date,
)

_ENCOUNTER = {
    "uuid", "patient", "encounterType", "encounterDatetime", "location", "form", "visit", "encounterProviders", "obs",
    "orders", "diagnoses", "voided", "display",
}  # fmt: skip
_OBS = {
    "uuid", "concept", "value", "comment", "groupMembers", "obsDatetime", "person", "location", "encounter", "status",
    "interpretation", "formFieldNamespace", "formFieldPath", "accessionNumber", "voided", "order",
}  # fmt: skip


_WHOLE = 'Assigning decimal value to numeric concept with "Allowed decimal" property set to false is not allowed.'


def check_encounter_body(body: Mapping[str, Any]) -> None:
    need(body, "patient", "encounterType")
    known(body, _ENCOUNTER, "Encounter")


def create_encounter(rows: Rows, body: Mapping[str, Any]) -> Json:
    """All or nothing (291, 292). An unknown location is dropped without a word (281)."""
    at = rows.now()
    if body.get("encounterDatetime") is not None:
        at = read_date(body["encounterDatetime"], rows.zone, "encounterDatetime on class org.openmrs.Encounter")
    values = [
        (item, *_obs_value(rows, item, "obs on class org.openmrs.Encounter => ")) for item in body.get("obs") or []
    ]
    if isinstance(body["patient"], int):
        why = "Don't know how to convert from class java.lang.Integer to class org.openmrs.Patient"
        raise bad_property("patient", "Encounter", why)  # 813
    owner = find(rows.patients, reference(body["patient"]))
    if owner is None:
        raise invalid(patient=("Encounter.error.patient.required", "Patient is Required"))  # 276
    kind = rows.by_uuid_or_name(rows.encounter_types, body["encounterType"])
    if kind is None:
        raise invalid(encounterType=("Encounter.error.encounterType.required", "Encounter type is Required"))  # 278
    _not_in_future(rows, at)
    providers = []
    for item in body.get("encounterProviders") or []:
        provider = rows.by_uuid_or_name(rows.providers, item.get("provider"))
        role = rows.by_uuid_or_name(rows.roles, item.get("encounterRole"))
        if provider is None:
            raise not_null("provider_id")  # 284
        if role is None:
            raise not_null("encounter_role_id")  # 285, 286
        providers.append(
            {
                "_kind": "encounterProvider",
                "uuid": rows.new_uuid(),
                "display": f"{provider['name']}: {role['name']}",
                "provider": provider,
                "encounterRole": role,
                "voided": False,
            }
        )
    uuid = body.get("uuid")
    if uuid == "":
        text = "not-null property references a null or transient value : org.openmrs.Encounter.uuid"
        raise Refused(500, error(f"[{text}]", "Nullability:1"))  # 817
    if uuid is not None and len(uuid) > 38:
        raise invalid(uuid=("error.exceededMaxLengthOfField", TOO_LONG.format(38)))  # 819
    nested = [item["uuid"] for item, _, _ in values if item.get("uuid")]
    if any(one in rows.obs for one in nested):
        text = (
            "object references an unsaved transient instance - save the transient instance before flushing: "
            "org.openmrs.Encounter"
        )
        raise Refused(
            500,
            error(
                f"[org.hibernate.TransientObjectException: {text} => {text}]",
                "org.hibernate.internal.ExceptionConverterImpl:151",
            ),
        )  # 230, 232
    if uuid is not None and find(rows.encounters, uuid):
        raise duplicate_row(uuid, leak=f"patient={owner['uuid']}")  # 222, 326
    location = rows.by_uuid_or_name(rows.locations, body.get("location"))
    row = rows.new_encounter(uuid, owner, kind, at, location, providers)
    _add_obs(rows, row, values)
    return row


def update_encounter(rows: Rows, row: Json, body: Mapping[str, Any]) -> Json:
    """310-319, 328: location, date, type, patient, more obs; ``voided: false`` leaves its obs voided."""
    if body.get("uuid") not in (None, row["uuid"]):
        raise Refused(400, error("[Some properties are not allowed to be set: uuid]", "BaseDelegatingResource:631"))
    known(body, _ENCOUNTER, "Encounter")
    values = [
        (item, *_obs_value(rows, item, "obs on class org.openmrs.Encounter => ")) for item in body.get("obs") or []
    ]
    if body.keys() & {"location", "encounterDatetime"} and any(
        one["location"] is None for one in row["obs"] if not one["voided"]
    ):
        raise Refused(500, error("[Editing the fields [location] on Obs is not allowed]", "ObsServiceImpl:1"))  # 834
    before = (row["location"], row["at"], row["patient"])
    if "encounterDatetime" in body:
        at = read_date(body["encounterDatetime"], rows.zone, "encounterDatetime on class org.openmrs.Encounter")
        _not_in_future(rows, at)  # 320
        row["at"], row["encounterDatetime"] = at, write_date(at, rows.zone)
    if "location" in body:
        row["location"] = rows.by_uuid_or_name(rows.locations, body["location"])
    if "patient" in body and (owner := find(rows.patients, reference(body["patient"]))):
        row["patient"] = owner  # 315
    if "encounterType" in body and (kind := rows.by_uuid_or_name(rows.encounter_types, body["encounterType"])):
        row["encounterType"] = kind  # 316
    row["display"] = rows.encounter_display(row)
    if body.get("voided"):
        text = "The voided bit was set to true, so a void reason is required at save time for object: Encounter"
        raise Refused(500, error(f"[{text}]", "RequireVoidReasonVoidHandler:1"))  # 823
    if "voided" in body:
        row["voided"] = False
    if before != (row["location"], row["at"], row["patient"]) and not values:
        _move_obs(rows, row, before[0], before[1:])
    held = len(row["obs"])
    _add_obs(rows, row, values)
    return {**row, "obs": row["obs"][held:]} if values else _shown(row)  # 311, 313: the answer shows the new ones only


def _move_obs(rows: Rows, row: Json, from_: Json | None, moved: tuple[datetime, Json]) -> None:
    """Observations go along with their encounter, under new uuids (310, 315)."""
    same = (row["at"], row["patient"]) == moved
    for old in [one for one in row["obs"] if not one["voided"]]:
        if same and old["location"] is not from_:
            continue  # 317: only the place changed, and it was at another one
        old["voided"] = True
        location = row["location"] if old["location"] is from_ else old["location"]
        more = {"location": location, "encounter": row, "comment": old["comment"]}
        row["obs"].append(rows.new_obs(old["concept"], old["value"], row["at"], row["patient"], **more))


def _not_in_future(rows: Rows, at: datetime) -> None:
    if at > rows.now():
        raise invalid(
            encounterDatetime=(
                "Encounter.datetimeShouldBeBeforeCurrent",
                "The encounter datetime should be before the current date.",
            )
        )  # 288, 289


def encounter(rows: Rows, uuid: str, line: int = 53) -> Json:
    found = find(rows.encounters, uuid)
    if found is None:
        raise not_found(line)
    return _shown(found)


def search_encounters(rows: Rows, query: Mapping[str, str]) -> list[Json]:
    """Per patient only (336-340); voided rows are left out unless ``includeAll``."""
    if "patient" not in query:
        raise Refused(
            500,
            error(
                "[getCountOfEncounters failed => query must not be null]",
                "org.openmrs.module.webservices.rest.web.resource.impl.ServiceSearcher:98",
            ),
        )
    owner = query["patient"].lower()
    found = [e for e in rows.encounters.values() if e["patient"]["uuid"].lower() == owner]
    if query.get("includeAll") != "true":
        found = [e for e in found if not e["voided"]]
    if kind := query.get("encounterType"):
        found = [e for e in found if e["encounterType"]["uuid"] == kind]
    if start := query.get("fromdate"):
        first = read_date(start, rows.zone, "fromdate")
        found = [e for e in found if e["at"] >= first]
    if end := query.get("todate"):
        last = read_date(end, rows.zone, "todate")
        if len(end) == 10:
            last += timedelta(days=1)
        found = [e for e in found if e["at"] < last]
    found.sort(key=lambda e: e["at"])
    return [_shown(e) for e in (reversed(found) if query.get("order") == "desc" else found)]


def create_obs(rows: Rows, body: Mapping[str, Any]) -> Json:
    need(body, "person", "concept")
    if body.get("obsDatetime") is None:
        raise invalid(obsDatetime=("error.null", "Cannot be empty or null"))  # 270
    known(body, _OBS, "Obs")
    concept, value = _obs_value(rows, body, "")
    owner = find(rows.patients, reference(body["person"]))
    if owner is None:
        raise invalid(person=("error.null", "Cannot be empty or null"))
    if body.get("uuid") in rows.obs:
        raise duplicate_row(body["uuid"])  # 237
    at = read_date(body["obsDatetime"], rows.zone, "obsDatetime on class org.openmrs.Obs")
    parent = find(rows.encounters, reference(body.get("encounter")))
    location = rows.by_uuid_or_name(rows.locations, body.get("location"))
    row = rows.new_obs(
        concept,
        value,
        at,
        owner,
        uuid=body.get("uuid"),
        location=location,
        encounter=parent,
        comment=body.get("comment"),
    )
    if parent is not None:
        parent["obs"].append(row)
    return row


def search_obs(rows: Rows, query: Mapping[str, str]) -> list[Json]:
    found = [o for o in rows.obs.values() if not o["voided"]]
    if "patient" in query:
        found = [o for o in found if o["person"]["uuid"] == query["patient"]]
    if "encounter" in query:
        found = [o for o in found if o["encounter"] and o["encounter"]["uuid"] == query["encounter"]]
    if "concept" in query:
        concept = rows.concept(query["concept"])
        found = [o for o in found if o["concept"] is concept]
    return found


def _shown(row: Json) -> Json:
    """As representations see it: only living obs (322)."""
    return {**row, "obs": [o for o in row["obs"] if not o["voided"]]}


def _add_obs(rows: Rows, row: Json, values: list[tuple[Mapping[str, Any], Json, Any]]) -> None:
    for item, concept, value in values:
        row["obs"].append(
            rows.new_obs(
                concept,
                value,
                row["at"],
                row["patient"],
                uuid=item.get("uuid"),
                location=row["location"],
                encounter=row,
                comment=item.get("comment"),
            )
        )


def _obs_value(rows: Rows, item: Mapping[str, Any], prefix: str) -> tuple[Json, Any]:
    """The concept and the stored value of an obs, or the refusal. 240-272, 293."""

    def bad(why: str) -> Refused:
        return Refused(400, error(f"[{prefix}value on class org.openmrs.Obs => {why}]", "BaseDelegatingResource:751"))

    known(item, _OBS, "Obs")
    concept = rows.concept(item.get("concept"))
    if concept is None:
        raise bad(
            'Cannot invoke "org.openmrs.Concept.getDatatype()" because the return value of '
            '"org.openmrs.Obs.getConcept()" is null'
        )
    value, datatype = item.get("value"), concept["datatype"]["name"]
    if not isinstance(item.get("comment") or "", str):
        why = "Don't know how to convert from class java.lang.Integer to class java.lang.String"
        raise Refused(
            400, error(f"[{prefix}comment on class org.openmrs.Obs => {why}]", "BaseDelegatingResource:751")
        )  # 895
    if len(item.get("comment") or "") > 255:
        raise invalid(comment=("error.exceededMaxLengthOfField", TOO_LONG.format(255)))  # 262
    if value is None:
        raise invalid(
            general=["error.noValue"], **{f"value{datatype}": ("error.null", "Cannot be empty or null")}
        )  # 255
    match datatype:
        case "Text":
            if value == "":
                raise bad(f"Cannot set value to a empty string for concept: {concept['name']}")  # 257
            text = str(value)
            if len(text) > 65535:
                raise invalid(valueText=("error.exceededMaxLengthOfField", TOO_LONG.format("65,535")))
            if rows.metadata.get("charset") == "utf8mb3" and any(ord(c) > 0xFFFF for c in text):
                raise bad(
                    "org.hibernate.exception.GenericJDBCException: could not extract ResultSet => could not extract "
                    "ResultSet => Illegal mix of collations (utf8mb3_general_ci,IMPLICIT) and "
                    "(utf8mb4_general_ci,COERCIBLE) for operation '='"
                )  # 261
            return concept, text
        case "Coded":
            answer = rows.concept(value)
            if answer is None:
                raise bad(f"{concept['name']}:{value}")  # 248, 249, 251
            return concept, answer  # 252: outside the answer list too
        case "Numeric":
            try:
                number = float(value)
            except (TypeError, ValueError):
                raise bad(f'{value} has invalid units => For input string: "{value}"') from None  # 240, 242
            for bound, sign, word in ((concept["hiAbsolute"], 1, "high"), (concept["lowAbsolute"], -1, "low")):
                if bound is not None and (number - bound) * sign > 0:
                    code = f"error.value.outOfRange.{word}"
                    raise invalid(valueNumeric=(code, code))  # 243, 244
            if not concept["allowDecimal"] and not number.is_integer():
                raise invalid(valueNumeric=("Obs.error.precision", _WHOLE))  # 246
            return concept, number
        case "Date" | "Datetime":
            if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d", value):
                raise bad(f'Unparseable date: "{value}"')  # 266
            if datatype == "Date":
                return concept, value[:10]  # 264: the day as it is written
            return concept, write_date(read_date(value, rows.zone, "value on class org.openmrs.Obs"), rows.zone)  # 265
        case "Boolean":
            raise bad(
                'Cannot invoke "org.openmrs.Concept.getUuid()" because the return value of '
                '"org.openmrs.api.ConceptService.getTrueConcept()" is null'
            )  # 267
        case _:
            raise bad(f"Don't know how to handle ZZ for concept: {concept['name']}")  # 272
