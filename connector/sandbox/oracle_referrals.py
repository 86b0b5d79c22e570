"""What the clinics should hold, and what the health workers should hear back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from connector.sandbox import openmrs_metadata as meta
from connector.sandbox.oracle_records import Answer, Truth

if TYPE_CHECKING:
    from connector.sandbox.district import District

Json = dict[str, Any]
STATUSES = ("completed", "arrived", "missed", "cancelled", "voided")


def expected_referrals(truth: Truth, district: District, clinic: Mapping[str, Any] | None = None) -> dict[str, Json]:
    """Number (the report's id) -> what the clinic should hold. Older ones and those of strangers are not there.
    ``clinic``: the state of ``OpenMRSSim``, which may be one that books no appointments."""
    found = {}
    for rec in truth.records:
        if rec.referral is None or rec.day.isoformat() < district.referrals_live_from:
            continue
        if rec.subject not in truth.persons:
            continue
        found[rec.key] = {
            "patient": rec.subject,
            "location": meta.location_uuid(rec.referral["to"]),
            "day": rec.day.isoformat(),
            "urgency": "urgent" if rec.referral["urgent"] else "routine",
            "reason": rec.referral["reason"],
            "note": rec.referral["note"],
            "signs": rec.referral["signs"],
            "treatments": rec.referral["treatments"],
            "appointments": [f"{(rec.day + timedelta(days=1)).isoformat()} 08:00"] if books(clinic) else [],
        }
    return found


def books(clinic: Mapping[str, Any] | None) -> bool:
    """Does the clinic book appointments?"""
    return (clinic or {}).get("profile") != "platform2"


def held_referrals(state: Mapping[str, Any], zone: ZoneInfo, withdrawn: Iterable[str]) -> dict[str, Any]:
    """The same shape, read from the state of ``OpenMRSSim``; what is there twice shows as a list of both.

    ``withdrawn``: numbers whose encounter the clinic itself has voided; for them the voided one is what counts.
    """
    persons: dict[str, list[str]] = {}
    for patient in state["patients"]:
        for kind, value in patient["identifiers"]:
            if kind == "CHW Patient ID" and not patient["voided"]:
                persons.setdefault(value, []).append(patient["uuid"])
    owner = {uuid: value for value, uuids in persons.items() for uuid in uuids if len(uuids) == 1}
    withdrawn = set(withdrawn)
    found: dict[str, list[Json]] = {}
    for encounter in state["encounters"]:
        if encounter["type"] != meta.COMMUNITY_REFERRAL:
            continue
        said = {obs["concept"]: obs["value"] for obs in encounter["obs"]}
        number = said.get(meta.REFERRAL_NUMBER, "")
        if encounter["voided"] and number not in withdrawn:
            continue
        signs = {meta.ciel_uuid(code): name for name, code in meta.SIGNS.items()}
        given = {uuid: name for name, uuid in meta.TREATMENTS.items()}
        found.setdefault(number, []).append(
            {
                "patient": owner.get(encounter["patient"], "not exactly one patient with this identifier"),
                "location": encounter["location"],
                "day": local(encounter["datetime"], zone)[:10],
                "urgency": next((k for k, u in meta.URGENCIES.items() if u == said.get(meta.REFERRAL_URGENCY)), None),
                "reason": next((k for k, u in meta.REASONS.items() if u == said.get(meta.REFERRAL_REASON)), None),
                "note": said.get(meta.REFERRAL_NOTE, ""),
                "signs": sorted(
                    signs.get(obs["value"], "?") for obs in encounter["obs"] if obs["concept"] == meta.DANGER_SIGN
                ),
                "treatments": sorted(
                    given.get(obs["value"], "?") for obs in encounter["obs"] if obs["concept"] == meta.TREATMENT_GIVEN
                ),
                "appointments": sorted(local(a["start"], zone) for a in booked(state, number)),
            }
        )
    return {number: rows[0] if len(rows) == 1 else rows for number, rows in found.items()}


def booked(state: Mapping[str, Any], number: str) -> list[Json]:
    """The appointments of a referral; a cancelled one counts only where no other stands: a correction makes another."""
    rows = [a for a in state["appointments"] if a["number"] == number and not a["voided"]]
    return [a for a in rows if a["status"] != "Cancelled"] or rows[:1]


def local(stamp: str, zone: ZoneInfo) -> str:
    """A UTC instant as day and minute in the district."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).astimezone(zone).strftime("%Y-%m-%d %H:%M")


def expected_answers(
    referrals: Mapping[str, Json], district: District, clinic: Mapping[str, Any] | None = None
) -> dict[str, Json]:
    """Number -> what the health worker should read. ``clinic``: the state of ``OpenMRSSim``; with it, what the staff
    did by hand (``POST /_sandbox/people``) counts too. Without it, their decisions by seed."""
    found = {}
    for number, referral in referrals.items():
        decision = district.staff(number) or {}
        status, advice = decision.get("act"), decision.get("advice")
        if clinic is not None:
            status, advice = answer_of(clinic, number, status)
        if status in STATUSES:
            found[number] = {"patient": referral["patient"], "status": status, "advice": advice or ""}
    return found


def clinic_answers(truth: Truth, district: District, clinic: Mapping[str, Any] | None = None) -> dict[str, Answer]:
    """Number -> what the clinic did and on which day, as its rows have it, else as its staff decides by seed.

    The day is that of the consultation; where there is none, that of the appointment.
    """
    found = {}
    for number, referral in expected_referrals(truth, district).items():
        decision = district.staff(number) or {}
        status = decision.get("act")
        day = date.fromisoformat(referral["appointments"][0][:10])
        if status == "completed" and decision.get("at"):
            day = datetime.fromisoformat(decision["at"]).astimezone(district.calendar.zone).date()
        if clinic is not None:
            status, _ = answer_of(clinic, number, status)
            day = seen_on(clinic, number, district.calendar.zone) or day
        if status in STATUSES:
            found[number] = Answer(str(status), day)
    return found


def seen_on(clinic: Mapping[str, Any], number: str, zone: ZoneInfo) -> date | None:
    """The local day of the consultation that quotes this number, else of the appointment."""
    for encounter in clinic["encounters"]:
        said = {obs["concept"]: obs["value"] for obs in encounter["obs"]}
        quoted = said.get(meta.REFERRAL_NUMBER) == number
        if quoted and encounter["type"] == meta.CONSULTATION and not encounter["voided"]:
            return date.fromisoformat(local(encounter["datetime"], zone)[:10])
    for appointment in booked(clinic, number):
        return date.fromisoformat(local(appointment["start"], zone)[:10])
    return None


def answer_of(clinic: Mapping[str, Any], number: str, decided: str | None) -> tuple[str | None, str | None]:
    """Status and advice as the clinic's own rows have them now."""
    states = [a["status"] for a in booked(clinic, number)]
    advice = None
    voided = living = seen = False
    for encounter in clinic["encounters"]:
        said = {obs["concept"]: obs["value"] for obs in encounter["obs"]}
        if said.get(meta.REFERRAL_NUMBER) != number:
            continue
        if encounter["type"] == meta.CONSULTATION and not encounter["voided"]:
            advice, seen = said.get(meta.COUNTER_REFERRAL_NOTE) or advice, True
        if encounter["type"] == meta.COMMUNITY_REFERRAL:
            voided, living = voided or encounter["voided"], living or not encounter["voided"]
    if voided and not living:
        return "voided", None
    if not books(clinic):  # a consultation is all it says
        return ("completed", advice) if seen else (None, None)
    if not states:
        return decided, None
    names = {"Completed": "completed", "CheckedIn": "arrived", "Missed": "missed", "Cancelled": "cancelled"}
    return names.get(states[0]), advice


def awaited(
    answers: Mapping[str, Any], due: Iterable[str], referrals: Mapping[str, Json], today: date
) -> dict[str, Any]:
    """Without what the connector says of itself where the clinic has said nothing. When it reminds depends on when the
    clinic's server took the referral, which is not known here; only that it does not remind too early is."""
    known, found = set(due), {}
    for number, said in answers.items():
        status = said["status"] if number not in known and isinstance(said, Mapping) else None
        limit = 1 if referrals.get(number, {}).get("urgency") == "urgent" else 3
        late = number in referrals and date.fromisoformat(referrals[number]["day"]) + timedelta(days=limit) < today
        if not (status in ("sent", "withdrawn") or (status == "overdue" and late)):
            found[number] = said
    return found


def held_answers(docs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Number -> the answer that stands in CHT; two answers to one referral show as a list."""
    found: dict[str, list[Json]] = {}
    for doc in docs:
        if doc.get("_deleted") or doc.get("form") != "referral_answer":
            continue
        fields = doc["fields"]
        found.setdefault(fields.get("referral_id", ""), []).append(
            {"patient": fields.get("patient_id"), "status": fields.get("status"), "advice": fields.get("advice") or ""}
        )
    return {number: rows[0] if len(rows) == 1 else rows for number, rows in found.items()}
