"""What the health worker hears of a referral: one document in the CHW's app per referral, kept true.

It says what the clinic answered; that nothing is known of the person when she is overdue; and, once there is such a
document, that the referral was taken back or is open again. In the pack's first language, without any name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from connector.engine.engine import Engine, stamp
from connector.identity import digest
from connector.mappings.codec import activity_from
from connector.model import Activity

#: What the clinic may answer; the last three are final.
STATUSES = ("arrived", "missed", "completed", "cancelled", "voided")

#: What Relais says of itself, while the clinic has said nothing.
OURS = ("overdue", "withdrawn", "sent")

#: Days within which a referred person should be seen. An urgent one has 24 hours: days alone are known, so she is
#: overdue when the day after the visit is over, and not an hour too soon.
URGENT_DAYS, ROUTINE_DAYS = 1, 3

#: Status -> the sentence, in French and English.
WORDS: Mapping[str, tuple[str, str]] = {
    "arrived": (
        "La personne que vous avez référée est arrivée à {facility}.",
        "The person you referred has arrived at {facility}.",
    ),
    "completed": (
        "La personne que vous avez référée a été vue à {facility} le {day}.",
        "The person you referred was seen at {facility} on {day}.",
    ),
    "missed": (
        "La personne que vous avez référée n'est pas venue à son rendez-vous du {day} à {facility}. Allez la voir.",
        "The person you referred did not come to the appointment of {day} at {facility}. Go and see her.",
    ),
    "cancelled": (
        "{facility} a annulé le rendez-vous de la personne que vous avez référée. Appelez le centre avant de la "
        "renvoyer.",
        "{facility} cancelled the appointment of the person you referred. Call the clinic before you send her again.",
    ),
    "voided": (
        "{facility} a effacé cette référence de ses dossiers. Si la personne a encore besoin de soins, appelez le "
        "centre et faites une nouvelle référence.",
        "{facility} removed this referral from its records. If the person still needs care, call the clinic and make "
        "a new referral.",
    ),
    "overdue": (
        "La personne que vous avez référée le {referred} n'est pas encore notée comme arrivée à {facility}. Allez la "
        "voir ; si elle y est déjà allée, prévenez le centre.",
        "The person you referred on {referred} is not yet noted as arrived at {facility}. Go and see her; if she has "
        "been there, tell the clinic.",
    ),
    "withdrawn": (
        "Vous avez annulé cette référence ; Relais la retire à {facility}.",
        "You cancelled this referral; Relais takes it back at {facility}.",
    ),
    "sent": (
        "Cette référence est de nouveau à {facility} ; la personne n'y est pas encore notée comme arrivée.",
        "This referral is at {facility} again; the person is not yet noted as arrived there.",
    ),
}
_WRITTEN = {
    "diagnosis": (" Diagnostic : {}.", " Diagnosis: {}."),
    "advice": (" Conseil du centre : {}.", " Advice of the clinic: {}."),
}
#: Longest text of the clinic that goes into the sentence; the fields hold it whole.
_LONGEST = 500


def take(engine: Engine, unit: Any, outcome: Activity) -> None:
    """Keep what the clinic answered (an activity of form ``referral_outcome``) and want it told."""
    facts: dict[str, Any] = {**outcome.facts, "date": outcome.date.isoformat()}
    if outcome.at is not None:
        facts["at"] = outcome.at.isoformat(timespec="seconds")
    record, status = str(facts.get("referral") or ""), str(facts.get("status") or "")
    known = unit.referral(record)
    if known is None or status not in STATUSES:
        return
    said = unit.open("referral", known["answer_enc"]) if known["answer_enc"] else None
    if (known["state"], said) != (status, facts):  # mapped again is not answered again
        now = engine.now()
        unit.referral_state(record, status, now, answered=now, answer_enc=unit.seal("referral", facts))
    _tell(engine, unit, known, facts)


def mend(engine: Engine, unit: Any, record: str, status: str) -> None:
    """Correct what Relais itself told (``OURS``); the clinic's answer stays, and who was told nothing hears nothing.

    From the message before: the record may be gone by now.
    """
    config = engine.target_of("cht_answers")
    known, before = unit.referral(record), None
    if config is not None and known is not None:
        before = unit.delivery(config.name, _id(engine, record))
    if known is None or before is None or _said(unit, before) not in OURS:
        return
    document = unit.open("delivery", before["payload_enc"])
    source, day = record.split("/", 1)[0], engine.today().isoformat()
    fields = {**document["fields"], "status": status, "date": day}
    fields["message"] = _sentence(engine, source, known, {"status": status}, day)
    moment = int(engine.clock.now().timestamp() * 1000)
    _want(engine, unit, known, {**document, "reported_date": moment, "fields": fields})


def remind(engine: Engine, rows: Sequence[Mapping[str, Any]]) -> int:
    """Tell of the overdue among open referrals the clinic has just been asked about, without news. Returns how many
    messages that makes.

    ``rows``: rows of ``referral`` with ``there_since``, the instant the clinic's server took it: what came to the
    clinic late is not held against the person.
    """
    late = [row for row in rows if row["state"] == "sent" and _has_had_time(engine, row)]
    if not late or engine.target_of("cht_answers") is None:
        return 0
    told: int = engine.store.write(lambda unit: sum(_remind(engine, unit, row) for row in late))
    return told


def overdue_before(today: date) -> tuple[str, str]:
    """The days of the visit before which an urgent, and any other, referral is overdue today."""
    urgent, routine = (today - timedelta(days=n) for n in (URGENT_DAYS, ROUTINE_DAYS))
    return urgent.isoformat(), routine.isoformat()


def _has_had_time(engine: Engine, row: Mapping[str, Any]) -> bool:
    urgent, routine = overdue_before(engine.today())
    since = stamp(engine.clock.now() - timedelta(days=URGENT_DAYS if row["urgent"] else ROUTINE_DAYS))
    return row["date"] < (urgent if row["urgent"] else routine) and bool(
        row["there_since"] and row["there_since"] < since
    )


def _remind(engine: Engine, unit: Any, row: Mapping[str, Any]) -> bool:
    known = unit.referral(row["record"])
    if known is None or known["state"] != "sent":  # it has moved since it was read
        return False
    config = engine.target_of("cht_answers")
    before = unit.delivery(config.name, _id(engine, row["record"])) if config is not None else None
    if before is not None and before["wanted_at"] > known["updated"] and _said(unit, before) != "sent":
        return False  # told since anything changed about it
    return _tell(engine, unit, known, {"status": "overdue", "date": known["date"]})


def _tell(engine: Engine, unit: Any, known: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Want the document of this referral to say this; False when it says so already or is not to be sent."""
    config = engine.target_of("cht_answers")
    if config is None or known["date"] < config.live_from:
        return False
    row = unit.activities([known["record"]]).get(known["record"])
    if row is None:
        return False
    activity = activity_from(unit.open("activity", row["activity_enc"]))
    return _want(engine, unit, known, answer_document(engine, activity, known, facts))


def _want(engine: Engine, unit: Any, known: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    config = engine.target_of("cht_answers")
    if config is None:
        return False
    wanted = digest(document)
    before = unit.delivery(config.name, document["_id"])
    shadow = config.mode == "shadow"
    unit.want(
        [
            {
                "target": config.name,
                "key": document["_id"],
                "kind": "answer",
                "record": known["record"],
                "subject": known["subject"],
                "digest": wanted,
                "payload_enc": unit.seal("delivery", document),
                "state": "resolved" if shadow else "pending",
                "reason": "mode.shadow" if shadow else None,
                "due_at": engine.now(),
                "now": engine.now(),
            }
        ]
    )
    return before is None or before["digest"] != wanted


def _said(unit: Any, delivery: Mapping[str, Any]) -> str:
    """The status in the document of a delivery; "" where its text is purged, wholly or but for what takes it back."""
    payload = delivery["payload_enc"]
    fields = unit.open("delivery", payload).get("fields") if payload else None
    return str(fields["status"]) if fields else ""


def _id(engine: Engine, record: str) -> str:
    return engine.names.uuid("answer", record)


def answer_document(
    engine: Engine, activity: Any, referral: Mapping[str, Any], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The report the CHW sees in the app: a CHT ``data_record`` with our deterministic id."""
    at = str(facts.get("at") or facts.get("date") or activity.date.isoformat())
    day = str(facts.get("date") or at[:10])
    fields = {
        "patient_id": activity.subject,
        "referral_id": activity.key,
        "status": facts["status"],
        "facility": referral["to_place"],
        "date": day,
    }
    for name in _WRITTEN:
        if facts.get(name):
            fields[name] = facts[name]
    fields["message"] = _sentence(engine, activity.source, referral, facts, day)
    return {
        "_id": _id(engine, activity.id),
        "type": "data_record",
        "form": "referral_answer",
        "content_type": "xml",
        "reported_date": int(datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp() * 1000),
        "contact": {"_id": activity.worker, "parent": {"_id": activity.place}},
        "fields": fields,
    }


def _sentence(engine: Engine, source: str, referral: Mapping[str, Any], facts: Mapping[str, Any], day: str) -> str:
    english = (*engine.pack.languages, "fr")[0] == "en"
    said = WORDS[facts["status"]][english].format(
        facility=_facility(engine, source, referral["to_place"]),
        day=_written(day, english), referred=_written(referral["date"], english),
    )  # fmt: skip
    for name, words in _WRITTEN.items():
        text = " ".join(str(facts.get(name) or "").split())[:_LONGEST].rstrip(" .")
        said += words[english].format(text) if text else ""
    return said[:1].upper() + said[1:]


def _facility(engine: Engine, source: str, place: str) -> str:
    """What the clinic is called in ``org_units.csv``; its code where it is not there."""
    rows = [row for row in engine.pack.org_units if row.place == place and row.source == source]
    return rows[-1].name if rows else place


def _written(day: str, english: bool) -> str:
    year, month, rest = day[:10].split("-")
    return day[:10] if english else f"{rest}/{month}/{year}"
