"""REST of patients as the sandbox's OpenMRS answers it. Refusals are ``Refused``.

Rules cite recordings/openmrs-2.8 by number.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from connector.sandbox.openmrs_rows import ALPHABET, Rows, find, valid_openmrs_id
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
    read_date,
)

_PATIENT = {"uuid", "person", "identifiers", "resourceVersion"}
_PERSON = {
    "uuid", "names", "gender", "birthdate", "birthdateEstimated", "addresses", "attributes", "age", "dead",
    "deathDate", "causeOfDeath",
}  # fmt: skip

#: Turns of the event loop between checking an identifier and saving the row: the gap two requests fit into (363-369).
GAP = 3


def check_patient_body(body: Mapping[str, Any]) -> None:
    """What is refused before the login is looked at (043)."""
    need(body, "identifiers", "person")
    known(body, _PATIENT, "Patient")
    if isinstance(body["person"], Mapping):
        for name in body["person"]:
            if name not in _PERSON:
                why = (
                    'Cannot invoke "java.beans.PropertyDescriptor.getWriteMethod()" because the return value of '
                    '"org.apache.commons.beanutils.PropertyUtils.getPropertyDescriptor(Object, String)" is null'
                )
                raise bad_property(name, "Person", why)  # 115
        top = body.get("uuid")
        if top is not None and top != body["person"].get("uuid"):
            # 118, 119: a top-level uuid is accepted only when it repeats the person's.
            raise Refused(400, error("[Some properties are not allowed to be set: uuid]", "BaseDelegatingResource:631"))


def check_patient_names(body: Mapping[str, Any]) -> None:
    """What a change of a patient may name (197)."""
    known(body, _PATIENT | {"voided"}, "Patient")


async def create_patient(rows: Rows, body: Mapping[str, Any]) -> Json:
    person = body["person"] if isinstance(body["person"], Mapping) else {"uuid": body["person"]}
    if made := rows.people.get(str(body["person"])):  # 129: a person who was there before
        person = made
    uuid = person.get("uuid")
    if uuid is not None and len(uuid) > 38:
        raise invalid(uuid=("error.exceededMaxLengthOfField", TOO_LONG.format(38)))
    if not person.get("names"):
        raise Refused(400, error("[names on class org.openmrs.Patient]", "BaseDelegatingResource:751"))  # 095
    names = person["names"]
    identifiers = [_identifier(rows, item, n) for n, item in enumerate(body["identifiers"])]
    birthdate = _birthdate(rows, person.get("birthdate"))
    for attribute in person.get("attributes") or []:
        if rows.attribute_types and attribute.get("attributeType") not in rows.attribute_types:
            raise bad_property(
                "attributes",
                "Person",
                "attributeType on class org.openmrs.PersonAttribute => Cannot invoke "
                '"org.openmrs.PersonAttributeType.getUuid()" because "attributeType" is null',
            )  # 116
    if uuid and find(rows.patients, uuid):
        # 081, 082, 084, 191: whatever else changed, and whether voided or not.
        number = list(rows.patients).index(find(rows.patients, uuid)["uuid"]) + 5  # type: ignore[index]
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
    if person.get("dead") and not person.get("causeOfDeath"):
        why = "Cause of Death or Cause of Death (non coded) is required for people marked as deceased."
        raise invalid(causeOfDeath=("Person.dead.causeOfDeathAndCauseOfDeathNonCodedNull", why))  # 127
    if birthdate and birthdate > rows.now():
        raise invalid(birthdate=("error.date.future", "Cannot be a date in the future"))  # 100
    for n, name in enumerate(names):
        for part in ("givenName", "familyName"):
            text = name.get(part) or ""
            if len(text) > 50:
                raise invalid(**{f"names[{n}].{part}": ("error.exceededMaxLengthOfField", TOO_LONG.format(50))})  # 124
            if rows.metadata.get("charset") == "utf8mb3" and any(ord(c) > 0xFFFF for c in text):
                raise Refused(
                    500,
                    error(
                        "[could not execute statement => Data truncation: Incorrect string value: "
                        f"'{_bytes(text)}' for column `openmrs`.`person_name`.`{part.replace('Name', '_name')}` at row "
                        "1]",
                        "org.hibernate.exception.internal.SQLExceptionTypeDelegate:52",
                        leak=text,
                    ),
                )  # 125
    if sum(i["preferred"] for i in identifiers) > 1:
        raise bad_property("identifiers", "Patient", "Only one preferred identifier allowed")  # 805
    for n, one in enumerate(identifiers):
        if len(one["identifier"]) > 50:
            field = {f"identifiers[{n}].identifier": ("error.exceededMaxLengthOfField", TOO_LONG.format(50))}
            raise invalid(**field)  # 123
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
    if uuid and find(rows.patients, uuid):
        raise duplicate_row(uuid)  # 758: two at the same time
    if all(not i["preferred"] for i in identifiers):
        identifiers[0]["preferred"] = True
    return rows.new_patient(uuid, person if "_kind" in person else {**person, "birthdate": birthdate}, identifiers)


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
    found = find(rows.patients, uuid)
    if found is None:
        raise not_found()
    return found


def search_patients(rows: Rows, query: Mapping[str, str]) -> list[Json]:
    """``identifier``: inside and whatever the case (133-135, 159, 168, 898-916). ``q``: the start of a name or an
    identifier, at least two characters, accents left aside (138-145). Other parameters: nothing found (150); none
    at all: 400 (146)."""
    living = [p for p in rows.patients.values() if not p["voided"]]
    if "identifier" in query:
        wanted, kinds = query["identifier"].lower().split(), query.get("identifierType", "").split(",")
        if len(query["identifier"]) < 2:
            return []  # 161
        return [
            p
            for p in living
            if any(
                not i["voided"]
                and all(word in i["identifier"].lower() for word in wanted)  # 162
                and (kinds == [""] or i["identifierType"]["uuid"] in kinds)  # 163
                for i in p["identifiers"]
            )
        ]
    if "q" in query:
        words = [f" {word}" for word in bare(query["q"]).split()]
        if len(query["q"]) < 2:
            return []
        return [p for p in living if _begins(p, words)]
    if set(query) - {"v", "limit", "startIndex", "totalCount", "includeAll"}:
        return []
    raise Refused(
        400,
        error("The Resource Does not Support the Requested Operation [null]", "DelegatingCrudResource:237", raw=None),
    )


def bare(text: str) -> str:
    """Lower case, without accents: how MySQL compares (143)."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))


@lru_cache(maxsize=20_000)
def _names(text: str) -> str:
    return " ".join(("", *bare(text).split()))


def _begins(patient: Json, words: list[str]) -> bool:
    """Whether each word (with a blank before it) begins a name or an identifier."""
    names = _names(patient["person"]["display"])
    for word in words:
        numbers = (f" {i['identifier'].lower()}" for i in patient["identifiers"])
        if word not in names and not any(number.startswith(word) for number in numbers):
            return False
    return True


def _bytes(text: str) -> str:
    """What utf8mb3 cannot hold, as the database names it (125)."""
    return "".join(f"\\x{byte:02X}" for c in text if ord(c) > 0xFFFF for byte in c.encode())


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
        str(item.get("identifier") or "").strip(), kind, location, bool(item.get("preferred")), item.get("uuid")
    )


def _problems(rows: Rows, identifier: Json, owner: Json | None) -> list[str]:
    value, kind = identifier["identifier"], identifier["identifierType"]
    if not value:
        return ["Identifier cannot be blank"]
    if kind["validator"] and any(c not in ALPHABET for c in value.upper()):
        return [f"Identifier {value} is not appropriate for validation scheme Luhn Mod-30 Check-Digit Validator"]  # 089
    if kind["validator"] and not valid_openmrs_id(value):
        return [f"Invalid check digit for identifier: {value}"]  # 088
    if kind["format"] and not re.fullmatch(kind["format"], value):
        return [f'Identifier "{value}" does not match : "{kind["formatDescription"]}"']  # 111
    if kind["locationBehavior"] != "NOT_USED" and identifier["location"] is None:
        return [f"Identifier Location cannot be null for {value}"]  # 109
    if owner and any(
        not i["voided"] and i["identifierType"] is kind and i["identifier"] == value for i in owner["identifiers"]
    ):
        return [f"Identifier {value} already in use by this patient"]  # 171: even where it need not be unique
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
        raise invalid(birthdate=("error.date.nonsensical", "Nonsensical date, please check."))
    return moment
