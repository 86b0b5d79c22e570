"""A referral as the rows OpenMRS takes by REST: pure functions from our FHIR to its JSON.

``openmrs`` is ``openmrs.yaml`` of the pack as plain data; every scalar in it may be text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from connector.identity import digest

Json = dict[str, Any]

#: Longest texts the server takes: name part (124), comments of an appointment (663), its number (664).
_NAME, _COMMENTS, _NUMBER = 50, 255, 50

#: The check of OpenMRS IDs, and the characters of its numbers (003, 006).
LUHN_MOD_30 = "org.openmrs.module.idgen.validator.LuhnMod30IdentifierValidator"
CHARACTERS = "0123456789ACDEFGHJKLMNPRTUVWXY"


def passes_luhn_mod_30(identifier: str) -> bool:
    """Whether its last character is the check digit of the others: Luhn's sum in base 30 (070, 071, 088, 089; letters
    of either case, 808)."""
    places = [CHARACTERS.find(character) for character in reversed(identifier.upper())]
    if len(places) < 2 or -1 in places:
        return False
    doubled = [2 * place if at % 2 else place for at, place in enumerate(places)]
    return sum(sum(divmod(one, 30)) for one in doubled) % 30 == 0


def writable(text: str) -> str:
    """Without characters above U+FFFF: a server on utf8mb3 answers 500 to an emoji (recordings/openmrs-2.8/125)."""
    return "".join(c if ord(c) <= 0xFFFF else "\N{REPLACEMENT CHARACTER}" for c in text).strip()


def stamp(moment: datetime) -> str:
    """Milliseconds and an offset without colon, the one form every version reads (295-309)."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}{moment:%z}"


def person_key(payload: Mapping[str, Any]) -> str:
    """The person's id in the source app, the value of the CHW identifier."""
    return str(payload["patient"]["identifier"][0]["value"])


def visited(payload: Mapping[str, Any], zone: ZoneInfo) -> datetime:
    """When the CHW saw the patient, in the pack's zone; midnight of the day when only the day is known (noon of today
    may lie in the future, which OpenMRS refuses: 288)."""
    day = date.fromisoformat(payload["date"])
    if payload.get("at"):
        at = datetime.fromisoformat(str(payload["at"]).replace("Z", "+00:00")).astimezone(zone)
        if at.date() == day:
            return at
    return datetime.combine(day, time(0), zone)


def patient_body(payload: Mapping[str, Any], openmrs: Mapping[str, Any], location: str, openmrs_id: str) -> Json:
    """``POST /patient``: our uuid at ``person.uuid``, both identifiers (079)."""
    patient = payload["patient"]
    name = (patient.get("name") or [{}])[0]
    given = writable(" ".join(name.get("given") or []) or name.get("text") or "")[:_NAME].strip()
    family = writable(name.get("family") or "")[:_NAME].strip()
    if not given:
        given, family = family or "?", ""
    names: Json = {"givenName": given, "preferred": True}
    if family:
        names["familyName"] = family
    person: Json = {
        "uuid": patient["id"],
        "names": [names],
        "gender": {"female": "F", "male": "M"}.get(patient.get("gender") or "", "U"),
    }
    born = patient.get("birthDate")
    if born:
        # A day without an hour: with an offset the day may shift (106). Year or month alone are refused (103).
        person["birthdate"] = f"{born}-01-01"[:10] if len(born) == 4 else f"{born}-01"[:10]
        person["birthdateEstimated"] = len(born) < 10
    phone = next((t.get("value") for t in patient.get("telecom") or [] if t.get("system") == "phone"), None)
    if phone and openmrs.get("phone_attribute"):
        person["attributes"] = [{"attributeType": openmrs["phone_attribute"], "value": str(phone)[:_NAME]}]
    types = openmrs["identifier_types"]
    return {
        "person": person,
        "identifiers": [
            {"identifier": openmrs_id, "identifierType": types["openmrs_id"], "location": location, "preferred": True},
            {
                "identifier": person_key(payload),
                "identifierType": types["chw"],
                "location": location,
                "preferred": False,
            },
        ],
    }


def encounter_body(payload: Mapping[str, Any], openmrs: Mapping[str, Any], location: str, zone: ZoneInfo) -> Json:
    """``POST /encounter`` without ``uuid`` and ``patient``: what the referral says, the base of its digest.

    Obs carry no uuids: the encounter is saved whole or not at all (291), and nested uuids make a repeat fail in a way
    that looks like something else (230).
    """
    return {
        "encounterType": openmrs["encounter_type"],
        "encounterDatetime": stamp(visited(payload, zone)),
        "location": location,
        "encounterProviders": [{"provider": openmrs["provider"], "encounterRole": openmrs["encounter_role"]}]
        if openmrs.get("provider")
        else [],
        "obs": observations(payload, openmrs),
    }


def observations(payload: Mapping[str, Any], openmrs: Mapping[str, Any]) -> list[Json]:
    """Number, reason, urgency, note, each treatment given before the referral, then every finding of the visit that
    ``openmrs.yaml`` has a concept for."""
    concepts, answers = openmrs["concepts"], openmrs.get("answers") or {}
    out = [{"concept": concepts["number"], "value": str(payload["number"])}]
    reason = (answers.get("reason") or {}).get(payload.get("reason") or "")
    if reason:
        out.append({"concept": concepts["reason"], "value": reason})
    urgency = (answers.get("urgency") or {}).get("urgent" if payload.get("urgent") else "routine")
    if urgency:
        out.append({"concept": concepts["urgency"], "value": urgency})
    note = writable(str(payload.get("note") or ""))[:2000]
    if note and concepts.get("note"):
        out.append({"concept": concepts["note"], "value": note})
    mapped = openmrs.get("observations") or {}
    seen: dict[str, Any] = dict.fromkeys(payload.get("reasons") or (), True)
    for resource in payload.get("observations") or ():
        seen[str(resource["identifier"][0]["value"]).rpartition("#")[2]] = _value(resource)
    given = (answers.get("treatment") or {}) if concepts.get("treatment") else {}
    for name in sorted(given):
        if seen.get(name) is True:
            out.append({"concept": concepts["treatment"], "value": given[name]})
    for name in sorted(seen):
        found = _obs(mapped.get(name), seen[name])
        if found:
            out.append(found)
    return out


def _obs(rule: Mapping[str, Any] | None, value: Any) -> Json | None:
    """``{concept, value}``: sent when true · ``{concept, answers}``: coded · ``{concept, factor}``: a number."""
    if rule is None or value is None:
        return None
    if "value" in rule:
        return {"concept": rule["concept"], "value": rule["value"]} if value is True else None
    if "answers" in rule:
        names = (
            ("yes" if value else "no",) if isinstance(value, bool) else value if isinstance(value, tuple) else (value,)
        )
        answer = next((rule["answers"][n] for n in names if n in rule["answers"]), None)
        return {"concept": rule["concept"], "value": answer} if answer else None
    if isinstance(value, (bool, tuple)):
        return None
    if isinstance(value, str):
        return {"concept": rule["concept"], "value": writable(value)[:2000]} if value.strip() else None
    try:
        number = Decimal(str(value)) * Decimal(str(rule.get("factor", 1)))
    except InvalidOperation:
        return None
    return {"concept": rule["concept"], "value": float(number)}


def _value(resource: Mapping[str, Any]) -> Any:
    """The value of an Observation: bool, number, text, or the codes of a coded answer as a tuple."""
    for name in ("valueBoolean", "valueInteger", "valueString", "valueDateTime"):
        if name in resource:
            return resource[name]
    if "valueQuantity" in resource:
        return resource["valueQuantity"].get("value")
    coded = resource.get("valueCodeableConcept")
    return None if coded is None else tuple(str(c.get("code")) for c in coded.get("coding") or [])


def appointment_body(
    payload: Mapping[str, Any], openmrs: Mapping[str, Any], place: Mapping[str, Any], patient: str, zone: ZoneInfo
) -> Json:
    """``POST /appointments``: the next morning at the clinic (638)."""
    start = appointment_start(payload, openmrs, zone)
    minutes = int((openmrs.get("appointment") or {}).get("minutes", 15))
    urgency = "urgent" if payload.get("urgent") else "routine"
    comments = " · ".join(filter(None, (f"CHW REFERRAL ({urgency})", writable(str(payload.get("note") or "")))))
    return {
        "appointmentNumber": str(payload["number"])[:_NUMBER],
        "patientUuid": patient,
        "serviceUuid": place["service"],
        "startDateTime": stamp(start),
        "endDateTime": stamp(start + timedelta(minutes=minutes)),
        "appointmentKind": "Scheduled",
        "status": "Scheduled",
        "locationUuid": place["location"],
        "dateAppointmentScheduled": stamp(visited(payload, zone)),
        "comments": comments[:_COMMENTS],
        "providers": [],
    }


def appointment_start(payload: Mapping[str, Any], openmrs: Mapping[str, Any], zone: ZoneInfo) -> datetime:
    rule = openmrs.get("appointment") or {}
    day = date.fromisoformat(payload["date"]) + timedelta(days=int(rule.get("days_after", 1)))
    return datetime.combine(day, time(int(rule.get("hour", 8))), zone)


def said(body: Mapping[str, Any]) -> str:
    """Digest of what an encounter says, whoever's uuid it has."""
    return digest(body)[:32]


def same_findings(
    held: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]], resolve: Mapping[str, str]
) -> bool:
    """Whether an encounter read back holds the wanted obs. ``resolve``: ``CIEL:1643`` -> uuid."""

    def plain(value: Any) -> str:
        if isinstance(value, Mapping):
            value = value.get("uuid")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return f"{float(value):g}"
        text = str(value)
        return resolve.get(text, text)

    def rows(obs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
        return sorted((plain(o.get("concept")), plain(o.get("value"))) for o in obs if not o.get("voided"))

    return rows(held) == rows(wanted)
