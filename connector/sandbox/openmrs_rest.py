"""REST of patients, encounters and observations as the sandbox's OpenMRS answers it.

Each function takes the rows and plain data and returns ``(status, row or document)``; refusals are ``Refused``.
Rules cite recordings/openmrs-2.8 by number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from connector.sandbox.openmrs_rows import ALPHABET, Rows, valid_openmrs_id
from connector.sandbox.openmrs_shapes import (
    Json,
    Refused,
    bad_property,
    duplicate_row,
    error,
    invalid,
    missing,
    not_found,
    not_null,
    read_date,
    unknown_property,
)

_PATIENT = {"uuid", "person", "identifiers", "resourceVersion"}
_PERSON = {"uuid", "names", "gender", "birthdate", "birthdateEstimated", "addresses", "attributes", "age", "dead"}
_ENCOUNTER = {
    "uuid", "patient", "encounterType", "encounterDatetime", "location", "form", "visit", "encounterProviders", "obs",
    "orders", "diagnoses", "voided",
}  # fmt: skip
_OBS = {
    "uuid", "concept", "value", "comment", "groupMembers", "obsDatetime", "person", "location", "encounter", "status",
    "interpretation", "formFieldNamespace", "formFieldPath", "accessionNumber", "voided", "order",
}  # fmt: skip

#: Turns of the event loop between checking an identifier and saving the row: the gap two requests fit into (363-369).
GAP = 3


# ---------------------------------------------------------------- patients


def check_patient_body(body: Mapping[str, Any]) -> None:
    """What is refused before the login is looked at (043)."""
    _need(body, "identifiers", "person")
    _known(body, _PATIENT, "Patient")
    if isinstance(body["person"], Mapping):
        _known(body["person"], _PERSON, "Person")
        top = body.get("uuid")
        if top is not None and top != body["person"].get("uuid"):
            # 118, 119: a top-level uuid is accepted only when it repeats the person's.
            raise Refused(400, error("[Some properties are not allowed to be set: uuid]", "BaseDelegatingResource:631"))


async def create_patient(rows: Rows, body: Mapping[str, Any]) -> Json:
    person = body["person"] if isinstance(body["person"], Mapping) else {"uuid": body["person"]}
    uuid = person.get("uuid")
    if uuid is not None and len(uuid) > 38:
        raise invalid(uuid=("error.exceededMaxLengthOfField", "This value exceeds the maximum length of 38 permitted"))
    if not person.get("names"):
        raise bad_property("names", "Patient", "names")  # 095
    names = person["names"]
    identifiers = [_identifier(rows, item, n) for n, item in enumerate(body["identifiers"])]
    birthdate = _birthdate(rows, person.get("birthdate"))
    if uuid and _find(rows.patients, uuid):
        # 081, 082, 084, 191: whatever else changed, and whether voided or not.
        number = list(rows.patients).index(_find(rows.patients, uuid)["uuid"]) + 5  # type: ignore[index]
        raise Refused(
            500,
            error(
                "[A different object with the same identifier value was already associated with the session : "
                f"[org.openmrs.Patient#{number}]]",
                "org.hibernate.engine.internal.StatefulPersistenceContext:700",
                leak=f"name={names[0].get('givenName')}",
            ),
        )
    if not identifiers:
        raise invalid(general=["Select a preferred identifier"])  # 091
    if not person.get("gender"):
        raise invalid(gender=("Person.gender.required", "Please select a gender"))  # 093
    if birthdate and birthdate > rows.now():
        raise invalid(birthdate=("error.date.future", "The date cannot be in the future"))  # 100
    for name in names:
        for part in ("givenName", "familyName"):
            text = name.get(part) or ""
            if len(text) > 50:
                raise invalid(names=("error.exceededMaxLengthOfField", f"{part} exceeds the maximum length of 50"))
            if rows.metadata.get("charset") == "utf8mb3" and any(ord(c) > 0xFFFF for c in text):
                raise Refused(
                    500,
                    error(
                        f"[could not execute statement => Incorrect string value: for column '{part}']",
                        "org.hibernate.exception.internal.SQLExceptionTypeDelegate:59",
                        leak=text,
                    ),
                )  # 125
    if sum(i["preferred"] for i in identifiers) > 1:
        raise invalid(general=["Only one identifier can be preferred"])  # 805
    problems = [problem for i in identifiers for problem in _problems(rows, i, None)]
    if problems:
        raise invalid(general=problems)
    for kind in rows.identifier_types.values():
        if kind["required"] and all(i["identifierType"] is not kind for i in identifiers):
            raise Refused(
                500,
                error(
                    f"[Patient is missing the following required identifier(s): {kind['name']}]",
                    "org.openmrs.api.impl.PatientServiceImpl:317",
                ),
            )  # 090
    for _ in range(GAP):
        await asyncio.sleep(0)
    if uuid and _find(rows.patients, uuid):
        raise duplicate_row(uuid)  # 758: two at the same time
    if all(not i["preferred"] for i in identifiers):
        identifiers[0]["preferred"] = True
    return rows.new_patient(uuid, {**person, "birthdate": birthdate}, identifiers)


async def add_identifier(rows: Rows, patient: Json, body: Mapping[str, Any]) -> Json:
    given = body.get("uuid")
    if given and any(i["uuid"] == given for p in rows.patients.values() for i in p["identifiers"]):
        raise duplicate_row(given)  # 170
    identifier = _identifier(rows, body, 0)
    identifier["preferred"] = bool(body.get("preferred"))
    problems = _problems(rows, identifier, patient)
    if problems:
        raise invalid(general=problems)
    for _ in range(GAP):
        await asyncio.sleep(0)
    patient["identifiers"].append(identifier)
    return identifier


def patient(rows: Rows, uuid: str) -> Json:
    found = _find(rows.patients, uuid)
    if found is None:
        raise not_found()
    return found


def search_patients(rows: Rows, query: Mapping[str, str]) -> list[Json]:
    """``identifier``: inside and whatever the case (133-135, 159, 168, 898-916). ``q``: the start of a name or an
    identifier, at least two characters. Other parameters: nothing found (150); none at all: 400 (146)."""
    living = [p for p in rows.patients.values() if not p["voided"]]
    if "identifier" in query:
        wanted = query["identifier"].lower()
        return [
            p for p in living if any(not i["voided"] and wanted in i["identifier"].lower() for i in p["identifiers"])
        ]
    if "q" in query:
        words = query["q"].lower().split()
        if len(query["q"]) < 2:
            return []
        return [
            p
            for p in living
            if all(
                any(part.lower().startswith(w) for part in p["person"]["display"].split())
                or any(i["identifier"].lower().startswith(w) for i in p["identifiers"])
                for w in words
            )
        ]
    if set(query) - {"v", "limit", "startIndex", "totalCount", "includeAll"}:
        return []
    raise Refused(
        400,
        error("The Resource Does not Support the Requested Operation [null]", "DelegatingCrudResource:237", raw=None),
    )


def _identifier(rows: Rows, item: Mapping[str, Any], n: int) -> Json:
    kind = rows.by_uuid_or_name(rows.identifier_types, item.get("identifierType"))
    if kind is None:
        raise bad_property(
            "identifiers",
            "Patient",
            "identifierType on class org.openmrs.PatientIdentifier => Cannot invoke "
            '"org.openmrs.PatientIdentifierType.getUuid()" because "identifierType" is null',
        )  # 112
    location = rows.by_uuid_or_name(rows.locations, item.get("location"))
    if item.get("location") is not None and location is None:
        raise bad_property(
            "identifiers",
            "Patient",
            "location on class org.openmrs.PatientIdentifier => Cannot invoke "
            '"org.openmrs.Location.getUuid()" because "location" is null',
        )  # 110
    return rows.new_identifier(
        str(item.get("identifier") or ""), kind, location, bool(item.get("preferred")), item.get("uuid")
    )


def _problems(rows: Rows, identifier: Json, owner: Json | None) -> list[str]:
    value, kind = identifier["identifier"], identifier["identifierType"]
    if not value:
        return ["Identifier cannot be blank"]
    if kind["validator"] and any(c not in ALPHABET for c in value.upper()):
        return [f"Identifier {value} is not appropriate for validation scheme Luhn Mod-30 Check-Digit Validator"]  # 089
    if kind["validator"] and not valid_openmrs_id(value):
        return [f"Invalid check digit for identifier: {value}"]  # 088
    if kind["locationBehavior"] != "NOT_USED" and identifier["location"] is None:
        return [f"Identifier Location cannot be null for {value}"]  # 109
    if kind["uniquenessBehavior"] == "UNIQUE":
        for p in rows.patients.values():
            if not p["voided"] and any(
                not i["voided"] and i["identifierType"] is kind and i["identifier"].lower() == value.lower()
                for i in p["identifiers"]
            ):
                who = "this" if owner is p else "another"
                return [f"Identifier {value} already in use by {who} patient"]  # 086, 087, 173
    return []


def _birthdate(rows: Rows, value: Any) -> datetime | None:
    """The instant, as the server keeps it: an offset can shift the day (104-107)."""
    if value is None:
        return None
    moment = read_date(value, rows.zone, "birthdate on class org.openmrs.Person")
    if moment.astimezone(rows.zone).date() < date(1886, 1, 1):
        raise invalid(birthdate=("error.date.nonsensical", "The date is nonsensical"))
    return moment


# ---------------------------------------------------------------- encounters


def check_encounter_body(body: Mapping[str, Any]) -> None:
    _need(body, "patient", "encounterType")
    _known(body, _ENCOUNTER, "Encounter")


def create_encounter(rows: Rows, body: Mapping[str, Any]) -> Json:
    """All or nothing (291, 292). An unknown location is dropped without a word (281)."""
    at = rows.now()
    if body.get("encounterDatetime") is not None:
        at = read_date(body["encounterDatetime"], rows.zone, "encounterDatetime on class org.openmrs.Encounter")
    values = [
        (item, *_obs_value(rows, item, "obs on class org.openmrs.Encounter => ")) for item in body.get("obs") or []
    ]
    owner = _find(rows.patients, _reference(body["patient"]))
    if owner is None:
        raise invalid(patient=("Encounter.error.patient.required", "Patient is Required"))  # 276
    kind = rows.by_uuid_or_name(rows.encounter_types, body["encounterType"])
    if kind is None:
        raise invalid(encounterType=("Encounter.error.encounterType.required", "Encounter type is Required"))  # 278
    if at > rows.now():
        raise invalid(
            encounterDatetime=(
                "Encounter.datetimeShouldBeBeforeCurrent",
                "The encounter datetime should be before the current date.",
            )
        )  # 288, 289
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
    if uuid is not None and len(uuid) > 38:
        raise invalid(uuid=("error.exceededMaxLengthOfField", "exceeds the maximum length of 38"))  # 819
    nested = [item["uuid"] for item, _, _ in values if item.get("uuid")]
    if any(one in rows.obs for one in nested):
        text = "object references an unsaved transient instance - save the transient instance before flushing"
        raise Refused(
            500,
            error(
                f"[org.hibernate.TransientObjectException: {text}: org.openmrs.Encounter]",
                "org.hibernate.internal.ExceptionConverterImpl:151",
            ),
        )  # 230, 232
    if uuid is not None and _find(rows.encounters, uuid):
        raise duplicate_row(uuid, leak=f"patient={owner['uuid']}")  # 222, 326
    location = rows.by_uuid_or_name(rows.locations, body.get("location"))
    row = rows.new_encounter(uuid, owner, kind, at, location, providers)
    _add_obs(rows, row, values)
    return row


def update_encounter(rows: Rows, row: Json, body: Mapping[str, Any]) -> Json:
    """310-319, 328: location, date, type, patient, more obs; ``voided: false`` leaves its obs voided."""
    if body.get("uuid") not in (None, row["uuid"]):
        raise Refused(400, error("[Some properties are not allowed to be set: uuid]", "BaseDelegatingResource:631"))
    _known(body, _ENCOUNTER, "Encounter")
    values = [
        (item, *_obs_value(rows, item, "obs on class org.openmrs.Encounter => ")) for item in body.get("obs") or []
    ]
    if "location" in body:
        if any(o["location"] is None for o in row["obs"] if not o["voided"]):
            raise Refused(
                500, error("[Editing the fields [location] on Obs is not allowed]", "ObsServiceImpl:1")
            )  # 834
        row["location"] = rows.by_uuid_or_name(rows.locations, body["location"])
    if "encounterDatetime" in body:
        at = read_date(body["encounterDatetime"], rows.zone, "encounterDatetime on class org.openmrs.Encounter")
        row["at"], row["encounterDatetime"] = at, body["encounterDatetime"]
    if "voided" in body:
        row["voided"] = bool(body["voided"])
    _add_obs(rows, row, values)
    return row


def encounter(rows: Rows, uuid: str, line: int = 53) -> Json:
    found = _find(rows.encounters, uuid)
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
    return [_shown(e) for e in sorted(found, key=lambda e: (e["at"], e["uuid"]), reverse=query.get("order") == "desc")]


def create_obs(rows: Rows, body: Mapping[str, Any]) -> Json:
    _need(body, "person", "concept")
    if body.get("obsDatetime") is None:
        raise invalid(obsDatetime=("error.null", "Cannot be empty or null"))  # 270
    _known(body, _OBS, "Obs")
    concept, value = _obs_value(rows, body, "")
    owner = _find(rows.patients, _reference(body["person"]))
    if owner is None:
        raise invalid(person=("error.null", "Cannot be empty or null"))
    if body.get("uuid") in rows.obs:
        raise duplicate_row(body["uuid"])  # 237
    at = read_date(body["obsDatetime"], rows.zone, "obsDatetime on class org.openmrs.Obs")
    parent = _find(rows.encounters, _reference(body.get("encounter")))
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

    _known(item, _OBS, "Obs")
    concept = rows.concept(item.get("concept"))
    if concept is None:
        raise bad(
            'Cannot invoke "org.openmrs.Concept.getDatatype()" because the return value of '
            '"org.openmrs.Obs.getConcept()" is null'
        )
    value, datatype = item.get("value"), concept["datatype"]["name"]
    if not isinstance(item.get("comment") or "", str):
        raise Refused(400, error("[comment on class org.openmrs.Obs]", "BaseDelegatingResource:751"))  # 895
    if len(item.get("comment") or "") > 255:
        raise invalid(comment=("error.exceededMaxLengthOfField", "exceeds the maximum length of 255"))  # 262
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
                raise invalid(valueText=("error.exceededMaxLengthOfField", "exceeds the maximum length of 65,535"))
            if rows.metadata.get("charset") == "utf8mb3" and any(ord(c) > 0xFFFF for c in text):
                raise Refused(400, error("[Illegal mix of collations]", "SQLExceptionTypeDelegate:59"))  # 261
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
                raise invalid(valueNumeric=("Obs.error.precision", "Assigning decimal value is not allowed."))  # 246
            return concept, number
        case "Date" | "Datetime":
            return concept, str(value)
        case "Boolean":
            raise bad(
                'Cannot invoke "org.openmrs.Concept.getUuid()" because the return value of '
                '"org.openmrs.api.ConceptService.getTrueConcept()" is null'
            )  # 267
        case _:
            raise bad(f"Don't know how to handle ZZ for concept: {concept['name']}")  # 272


# ---------------------------------------------------------------- small


def _find(table: Mapping[str, Json], uuid: Any) -> Json | None:
    """uuids compare without case (815, 816)."""
    if not isinstance(uuid, str):
        return None
    return table.get(uuid) or next((row for key, row in table.items() if key.lower() == uuid.lower()), None)


def _reference(value: Any) -> Any:
    return value.get("uuid") if isinstance(value, Mapping) else value


def _need(body: Mapping[str, Any], *names: str) -> None:
    lacking = [name for name in names if body.get(name) is None]
    if lacking:
        raise missing(lacking)


def _known(body: Mapping[str, Any], names: set[str], cls: str) -> None:
    for name in body:
        if name not in names:
            raise unknown_property(name, cls)
