"""Referrals and their answers: from the visit to the clinic, and back to the CHW.

A referral whose person has not arrived waits, visibly; one from before ``live_from`` is computed and never sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from connector.engine import audit, intake, match_review, pauses, referral_answers
from connector.engine.engine import Engine, stamp
from connector.identity import digest
from connector.mappings import people
from connector.mappings.codec import entity_from
from connector.model import Activity, Cursor, Entity, OpenReferral, Page

#: States in which nobody at the clinic has done anything for a referral.
NOT_BEGUN = ("waiting_person", "old", "withdrawn", "wanted", "sent")

#: How long the clinic is still asked about a referral it has completed or cancelled: the advice may be written after
#: the visit is closed, and an appointment cancelled by mistake is booked again.
STILL_ASKED = timedelta(days=3)


def want(engine: Engine, unit: Any, works: Sequence[Any], known: Mapping[str, Entity]) -> None:
    """Want the referrals of these records at the clinic, and take in the clinic's answers among them."""
    config = engine.target_of("openmrs")
    if config is None:
        return
    rows: list[dict[str, Any]] = []
    open_before = unit.known_referrals([w.record.id for w in works])
    for work in works:
        if work.activity is not None and work.error is None and work.activity.kind == "referral_outcome":
            referral_answers.take(engine, unit, work.activity)
            continue
        referral = work.activity.referral if work.activity is not None and work.error is None else None
        if referral is None:
            if work.record.id in open_before:
                _withdraw(engine, unit, config.name, work.record.id, rows)
            continue
        activity = work.activity
        person = known.get(f"{activity.source}/{activity.subject}")
        old = activity.date.isoformat() < config.live_from
        state = "old" if old else "waiting_person" if person is None else "wanted"
        unit.keep_referral(
            record=activity.id,
            subject=activity.subject,
            worker=activity.worker,
            to_place=referral.to,
            date=activity.date.isoformat(),
            urgent=referral.urgent,
            reason=referral.reason,
            state=state,
            now=engine.now(),
        )
        if state == "wanted" and person is not None:
            payload = _payload(engine, unit, activity, work.facts, person)
            about = payload["patient"]["identifier"][0]["value"]
            rows.append(_row(engine, unit, config, activity.id, about, payload))
    unit.want(rows)


def _payload(engine: Engine, unit: Any, activity: Activity, facts: Mapping[str, Any], person: Entity) -> dict[str, Any]:
    """What the clinic is to hold.

    Of a person with several ids: ``same_person`` has ``ids``, those that are not kept, by which a patient of hers may
    be there already, and ``own``, the one on the record. A referral the clinic has begun with stays with the patient it
    has it under, whatever was declared since. ``match``: who a person of the clinic said she is there.
    """
    others = [row["key"] for row in unit.same_as([person.key]) if row["kept_source"] == person.source]
    config = engine.target_of("openmrs")
    match = match_review.decided(unit, config.name, [person.key, *others]) if config is not None else {}
    payload = _about_her(engine, unit, activity, facts, person, others)
    return {**payload, "match": match} if match else payload


def _about_her(
    engine: Engine, unit: Any, activity: Activity, facts: Mapping[str, Any], person: Entity, others: Sequence[str]
) -> dict[str, Any]:
    if not others:
        return engine.builder.referral_payload(activity, facts, person)
    if unit.referral(activity.id)["state"] in NOT_BEGUN:
        found = engine.builder.referral_payload(activity, facts, person)
        return {**found, "same_person": {"ids": list(others), "own": activity.subject}}
    own = unit.entities("person", activity.source, [activity.subject]).get(activity.subject)
    registered = entity_from(unit.open("entity", own["entity_enc"])) if own is not None else person
    return engine.builder.referral_payload(activity, people.complete(activity, registered), registered)


def _row(
    engine: Engine, unit: Any, config: Any, key: str, subject: str | None, payload: dict[str, Any]
) -> dict[str, Any]:
    shadow = config.mode == "shadow"
    return {
        "target": config.name,
        "key": key,
        "kind": "referral",
        "record": key,
        "subject": subject,
        "digest": digest(payload),
        "payload_enc": unit.seal("delivery", payload),
        "state": "resolved" if shadow else "pending",
        "reason": "mode.shadow" if shadow else None,
        "due_at": engine.now(),
        "now": engine.now(),
    }


def _withdraw(engine: Engine, unit: Any, target: str, record: str, rows: list[dict[str, Any]]) -> None:
    """A referral that is no longer there (deleted, corrected to "not referred") is taken back at the clinic."""
    known = unit.referral(record)
    if known is None or known["state"] == "withdrawn":
        return
    before = unit.delivery(target, record)
    if before is not None:
        if unit.unsent(target, [record]):
            unit.unwant([before["id"]])
        else:
            payload = {**(unit.open("delivery", before["payload_enc"]) or {}), "deleted": True}
            rows.append(
                {
                    "target": target,
                    "key": record,
                    "kind": "referral",
                    "record": record,
                    "subject": before["subject"],
                    "digest": digest(payload),
                    "payload_enc": unit.seal("delivery", payload),
                    "state": "pending",
                    "due_at": engine.now(),
                    "now": engine.now(),
                }
            )
    unit.referral_state(record, "withdrawn", engine.now())
    referral_answers.mend(engine, unit, record, "withdrawn")


async def poll(engine: Engine, limit: int = 50) -> dict[str, int]:
    """Ask the clinic about every open referral, by id. Answers enter the inbox as records of source ``openmrs``; of
    the others, the health worker is told of those that are overdue."""
    counts = {"asked": 0, "new": 0, "reminded": 0}
    clinic = engine.target_of("openmrs")
    row = engine.store.read(lambda unit: unit.row_of_target(clinic.name)) if clinic else {}
    if clinic and pauses.holds(engine, "target_state", clinic.name, row):
        return counts
    for name, feed in engine.feeds.items():
        after = ""
        while True:
            rows = engine.store.read(lambda unit, after=after: _open(engine, unit, after, limit))
            if not rows:
                break
            after = rows[-1]["record"]
            asked = [
                OpenReferral(
                    id=r["record"],
                    number=r["record"].rsplit("/", 1)[-1],
                    date=datetime.fromisoformat(r["date"]).date(),
                    remote=orjson.loads(r["remote"]),
                )
                for r in rows
            ]
            records = await feed.answers(asked)
            counts["asked"] += len(asked)
            if records:
                page = Page(records, Cursor(""), None)
                counts["new"] += intake.take_page(engine, name, page)["new"]
            heard = {record.key for record in records} | set(feed.unread)
            counts["reminded"] += referral_answers.remind(engine, [r for r in rows if r["record"] not in heard])
    return counts


def _open(engine: Engine, unit: Any, after: str, limit: int) -> list[dict[str, Any]]:
    """Open referrals with the clinic's ids as the delivery knows them now: after a correction the encounter is another
    one, and the one we voided ourselves must not be taken for the clinic's answer."""
    since = stamp(engine.clock.now() - STILL_ASKED)
    rows: list[dict[str, Any]] = unit.open_referrals(after, limit, since)
    config = engine.target_of("openmrs")
    if config is None:
        return rows
    for row in rows:
        delivery = unit.delivery(config.name, row["record"])
        if delivery is not None and orjson.loads(delivery["remote"]):
            row["remote"] = delivery["remote"]
        row["there_since"] = delivery["accepted_at"] if delivery is not None else None
    return rows


def settled(engine: Engine, unit: Any, delivery: Mapping[str, Any], remote: Mapping[str, Any]) -> None:
    """A referral reached the clinic: it is open now, with the clinic's ids. Whom the clinic merged is written down."""
    record, now, target = delivery["key"], engine.now(), delivery["target"]
    known = unit.referral(record)
    if known is not None and known["state"] == "wanted":
        unit.referral_state(record, "sent", now, remote=orjson.dumps(dict(remote)).decode())
        referral_answers.mend(engine, unit, record, "sent")
    audit.record(unit, at=now, event="referral.sent", subject=record, detail={"target": target})
    before = orjson.loads(delivery["remote"]).get("followed") or []
    for gone in remote.get("followed") or ():
        if gone not in before:
            detail = {"target": target, "from": gone, "to": remote.get("patient")}
            audit.record(unit, at=now, event="referral.patient_followed", subject=record, detail=detail)
