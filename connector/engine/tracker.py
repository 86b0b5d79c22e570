"""A DHIS2 program as wanted state: one delivery per person (with her enrolment), one per event.

A record of a kind that ``tracker.yaml`` names is an event of the person it is about, from ``live_from`` on. It waits
for her registration, like a referral. She is wanted as soon as an event of hers is. Her enrolment begins on the day of
the first record that goes there: an earlier record moves it back, nothing moves it forward. Keys hold identifiers made
by us, never hers. Nobody is ever deleted there: only events are, when their record goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from connector.engine.engine import Engine
from connector.engine.places import OrgUnits
from connector.identity import digest
from connector.mappings import tracker as shapes
from connector.mappings.pack import TargetConfig, Tracker
from connector.model import Activity, Entity, Who

PERSON, EVENT = "tracked_entity", "event"
KIND = "dhis2_tracker"
#: The record's place has no org unit at the level of the program.
NO_UNIT = "dhis2.tracker_no_unit"


def sends(engine: Engine) -> str:
    """What goes to the tracker, and how: it changes when records must be looked at again for it."""
    config, tracker = engine.target_of(KIND), engine.pack.tracker
    if config is None or tracker is None:
        return ""
    kinds = ",".join(sorted({one.activity for one in tracker.stages}))
    return f"{tracker.version}@{config.live_from}:{kinds}"


def kinds_of(sends: str) -> set[str]:
    """The kinds of activity it speaks of."""
    return set(filter(None, sends.rpartition(":")[2].split(",")))


def want(engine: Engine, unit: Any, works: Sequence[Any], known: Mapping[str, Entity], org_units: OrgUnits) -> int:
    """Want the events of these records and the people they are about, and the removal of events whose record is no
    more. Returns how many are wanted."""
    config, tracker = engine.target_of(KIND), engine.pack.tracker
    if config is None or tracker is None:
        return 0
    events: dict[str, dict[str, Any]] = {}
    about: dict[str, tuple[Entity, tuple[str, str]]] = {}  # key of the person -> her, first day and org unit
    waiting: set[str] = set()
    for work in works:
        activity = work.activity
        if work.error is not None:  # a removal there is for ever, and a pack is mended in an hour
            waiting.add(work.record.id)
            continue
        if activity is None or activity.date.isoformat() < config.live_from:
            continue
        for stage in tracker.stages_of(activity.kind):
            person = known.get(f"{activity.source}/{activity.subject}")
            if person is None or person.kind != "person":
                waiting.add(work.record.id)
                continue
            row = _event(engine, unit, config, tracker, stage, work, person, org_units)
            events[row["key"]] = row
            key = person_key(engine, person)
            if row["state"] != "parked":
                day = (activity.date.isoformat(), row.pop("org_unit"))
                about[key] = (person, min(day, about[key][1]) if key in about else day)
            row.pop("org_unit", None)
    rows = _people(engine, unit, config, tracker, about)  # before their events, so that they leave first
    rows += events.values()
    rows += _vanished(engine, unit, config, works, set(events), waiting)
    unit.want(rows)
    return len(rows)


def person_key(engine: Engine, person: Entity) -> str:
    return f"{PERSON}/{engine.names.dhis2_uid(PERSON, person.source, person.key)}"


def _event(
    engine: Engine,
    unit: Any,
    config: TargetConfig,
    tracker: Tracker,
    stage: Any,
    work: Any,
    person: Entity,
    org_units: OrgUnits,
) -> dict[str, Any]:
    """The row of one event. What an event belongs to can never change there (E1128), so it is part of its name."""
    activity: Activity = work.activity
    uid = engine.names.dhis2_uid(EVENT, tracker.program, stage.stage, activity.id, person.source, person.key)
    place = org_units.entered_at(work.org_unit, tracker.level, activity.date) if work.org_unit else None
    payload = {
        "uid": uid,
        "program": tracker.program,
        "stage": stage.stage,
        "person": person_key(engine, person),
        "orgUnit": place,
        "date": activity.date.isoformat(),
        "values": shapes.values(stage.data_elements, work.facts),
    }
    row = _row(engine, unit, config, f"{EVENT}/{uid}", EVENT, activity.id, person.key, payload)
    if place is None:
        return row | {"state": "parked", "reason": NO_UNIT, "who": str(Who.MAPPING)}
    return row | {"org_unit": place}


def _people(
    engine: Engine,
    unit: Any,
    config: TargetConfig,
    tracker: Tracker,
    about: Mapping[str, tuple[Entity, tuple[str, str]]],
) -> list[dict[str, Any]]:
    rows = []
    records = _registrations(unit, [person for person, _ in about.values()])
    for key, (person, first) in about.items():
        before = unit.delivery(config.name, key)
        held = unit.open("delivery", before["payload_enc"]) if before and before["payload_enc"] else None
        if held is not None and held["program"] == tracker.program and held["enrolled"] < first[0]:
            first = (held["enrolled"], held["orgUnit"])
        payload = {
            "uid": key.partition("/")[2],
            "program": tracker.program,
            "orgUnit": first[1],
            "enrolled": first[0],
            "attributes": shapes.values(tracker.attributes, shapes.person_facts(person.key, person.data)),
        }
        record = records.get((person.source, person.key))
        rows.append(_row(engine, unit, config, key, PERSON, record, person.key, payload))
    return rows


def _registrations(unit: Any, people: Iterable[Entity]) -> dict[tuple[str, str], str]:
    """The records that registered them, by source and key."""
    by_source: dict[str, set[str]] = {}
    for person in people:
        by_source.setdefault(person.source, set()).add(person.key)
    return {
        (source, key): row["record"]
        for source, keys in by_source.items()
        for key, row in unit.entities("person", source, keys).items()
    }


def _row(
    engine: Engine,
    unit: Any,
    config: TargetConfig,
    key: str,
    kind: str,
    record: str | None,
    subject: str | None,
    payload: dict[str, Any] | None,
) -> dict[str, Any]:
    """``payload`` None: it is to be removed."""
    shadow = config.mode == "shadow"
    now = engine.now()
    return {
        "target": config.name,
        "key": key,
        "kind": kind,
        "record": record,
        "subject": subject,
        "digest": digest(payload) if payload is not None else "",
        "payload_enc": unit.seal("delivery", payload) if payload is not None else None,
        "state": "resolved" if shadow else "pending",
        "reason": "mode.shadow" if shadow else None,
        "due_at": now,
        "now": now,
    }


def _vanished(
    engine: Engine, unit: Any, config: TargetConfig, works: Sequence[Any], keep: set[str], waiting: set[str]
) -> list[dict[str, Any]]:
    """Removals of events that these records no longer are. What is of a record in quarantine, or of a person who is not
    registered (any more), stays."""
    rows, forget = [], []
    records = [w.record.id for w in works if not w.fresh and w.record.id not in waiting]
    events = [row for row in unit.deliveries_of(config.name, records) if row["key"].startswith(f"{EVENT}/")]
    gone = [row for row in events if row["key"] not in keep and row["digest"] != ""]
    never = unit.unsent(config.name, [row["key"] for row in gone])
    for row in gone:
        if row["key"] in never:
            forget.append(row["id"])
        else:
            rows.append(_row(engine, unit, config, row["key"], EVENT, row["record"], None, None))
    unit.unwant(forget)
    return rows


def payload_of(unit: Any, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """What leaves for a row: as it was wanted, for an event with ``entity``: the identifiers its person has at the
    target (None while she is not there). ``known``: something of it may be there already; ``fresh``: nothing was
    accepted yet, or what was is gone. None when what it was made from is purged."""
    if row["digest"] == "":
        return {"uid": row["key"].partition("/")[2], "deleted": True}
    if row["payload_enc"] is None:
        return None
    payload: dict[str, Any] = unit.open("delivery", row["payload_enc"])
    payload["known"] = row["generation"] > 1 or row["tries"] > 0 or bool(row["unsure"])
    payload["fresh"] = row["accepted_digest"] is None
    if row["kind"] == EVENT:
        person = unit.delivery(row["target"], payload["person"])
        there = person is not None and person["accepted_digest"] is not None
        payload["entity"] = orjson.loads(person["remote"]) if person is not None and there else None
    return payload
