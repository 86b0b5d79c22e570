"""FHIR resources as wanted state. Only key and digest are kept; a resource is rebuilt when it leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connector.engine.engine import Engine
from connector.identity import digest
from connector.mappings import fhir_sharing, people, r4
from connector.mappings.codec import activity_from, entity_from
from connector.model import Activity, Entity

#: Resources kept in memory between mapping and delivery; beyond it they are rebuilt from the stored activity.
KEEP = 10_000


def of_activity(
    engine: Engine, activity: Activity, facts: Mapping[str, Any], subject: Entity | None
) -> list[dict[str, Any]]:
    """``subject``: who the activity is about as the registry knows her, under the id that is kept of hers."""
    made = engine.builder.activity_resources(activity, facts, person_known=subject is not None, subject=subject)
    return shared(engine, made)


def of_entity(engine: Engine, entity: Entity, kept: Mapping[str, Entity]) -> list[dict[str, Any]]:
    """``kept``: from ``kept_persons``."""
    other = kept.get(f"{entity.source}/{entity.key}") if entity.kind == "person" else None
    return shared(engine, engine.builder.entity_resources(entity, replaced_by=other))


def shared(engine: Engine, made: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What of these resources goes to the FHIR server of the pack, as it goes there; all where there is no server."""
    config = engine.target_of("fhir_server")
    return fhir_sharing.shared(config.settings if config is not None else {}, made)


def key_of(resource: Mapping[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def wanted_row(target: str, resource: dict[str, Any], record: str | None, mark: str, now: str) -> dict[str, Any]:
    """The delivery row of one resource; an invalid one is parked for the mapping author."""
    valid = r4.is_valid(resource)
    return {
        "target": target,
        "key": key_of(resource),
        "kind": "resource",
        "record": record,
        "subject": record,
        "digest": mark,
        "state": "pending" if valid else "parked",
        "reason": None if valid else "fhir.invalid",
        "due_at": now,
        "now": now,
    }


def want(engine: Engine, unit: Any, works: Sequence[Any], known: Mapping[str, Entity]) -> tuple[int, int]:
    """Want the resources of these records, and the removal of those they no longer have. Returns (built, invalid)."""
    config = engine.target_of("fhir_server")
    if config is None:
        return 0, 0
    wanted: dict[str, tuple[str, dict[str, Any], str | None]] = {}
    known_before: list[str] = []
    kept = kept_persons(unit, [(w.entity.source, w.entity.key) for w in works if w.entity is not None])
    for work in works:
        if work.error is not None:
            continue
        made: list[dict[str, Any]] = []
        if work.entity is not None:
            made += of_entity(engine, work.entity, kept)
        if work.activity is not None:
            person = known.get(f"{work.activity.source}/{work.activity.subject}")
            made += of_activity(engine, work.activity, work.facts, person)
            group = engine.builder.group_of(work.activity, work.facts)
            for one in shared(engine, [group] if group is not None else []):
                wanted[key_of(one)] = (digest(one), one, None)
                known_before.append(key_of(one))
        for resource in made:
            key = key_of(resource)
            wanted[key] = (digest(resource), resource, work.record.id)
            if not work.fresh:
                known_before.append(key)
    before = unit.digests(config.name, known_before)
    now = engine.now()
    rows: list[dict[str, Any]] = []
    invalid = 0
    for key, (mark, resource, record) in wanted.items():
        if before.get(key) == mark:
            continue
        row = wanted_row(config.name, resource, record, mark, now)
        invalid += row["state"] == "parked"
        if record is None:
            row["payload_enc"] = unit.seal("delivery", resource)
        elif len(engine.built) < KEEP:
            engine.built[key] = (mark, resource)
        rows.append(row)
    _vanished(engine, unit, config.name, [w.record.id for w in works if not w.fresh], set(wanted), rows)
    unit.want(rows)
    return len(wanted), invalid


def _vanished(
    engine: Engine, unit: Any, target: str, records: Sequence[str], keep: set[str], rows: list[dict[str, Any]]
) -> None:
    forget: list[int] = []
    now = engine.now()
    gone = [row for row in unit.deliveries_of(target, records) if row["key"] not in keep and row["digest"] != ""]
    never = unit.unsent(target, [row["key"] for row in gone])
    for row in gone:
        if row["key"] in never:
            forget.append(row["id"])
        else:
            rows.append(
                {
                    "target": target,
                    "key": row["key"],
                    "kind": "resource",
                    "record": row["record"],
                    "subject": row["record"],
                    "digest": "",
                    "state": "pending",
                    "due_at": now,
                    "now": now,
                }
            )
    unit.unwant(forget)


def removal(engine: Engine, key: str) -> dict[str, Any]:
    """What is sent of a resource that is wanted gone."""
    config = engine.target_of("fhir_server")
    kind, _, id = key.partition("/")
    retracted = fhir_sharing.retracted(config.settings if config is not None else {}, kind, id)
    return retracted or {"deleted": True, "resourceType": kind, "id": id}


def rebuild(engine: Engine, unit: Any, rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The resources behind these delivery rows, by key, from memory or from the stored activities and entities."""
    found: dict[str, dict[str, Any]] = {}
    missing: set[str] = set()
    for row in rows:
        if row["digest"] == "":
            found[row["key"]] = removal(engine, row["key"])
        elif row["payload_enc"] is not None:
            found[row["key"]] = unit.open("delivery", row["payload_enc"])
        else:
            kept = engine.built.pop(row["key"], None)
            if kept is not None and kept[0] == row["digest"]:
                found[row["key"]] = kept[1]
            elif row["record"]:
                missing.add(row["record"])
    if missing:
        for resource in _of_records(engine, unit, missing):
            found.setdefault(key_of(resource), resource)
    return found


def built_again(engine: Engine, row: Mapping[str, Any], resource: Mapping[str, Any]) -> None:
    """It does not leave yet: keep it in memory as it was before ``rebuild`` took it out."""
    if row["digest"] and row["payload_enc"] is None and len(engine.built) < KEEP:
        engine.built[row["key"]] = (row["digest"], dict(resource))


def refers_to(resource: Any) -> set[str]:
    """The keys (``Type/id``) of everything this one refers to."""
    found: set[str] = set()
    todo: list[Any] = [resource]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            said = one.get("reference")
            if isinstance(said, str):
                found.add(said)
            todo += one.values()
        elif isinstance(one, list):
            todo += one
    return found


def _of_records(engine: Engine, unit: Any, records: Iterable[str]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    chosen = list(records)
    entities = [entity_from(unit.open("entity", row["entity_enc"])) for row in unit.entities_of_records(chosen)]
    kept = kept_persons(unit, [(one.source, one.key) for one in entities])
    for entity in entities:
        made += of_entity(engine, entity, kept)
    activities = [activity_from(unit.open("activity", r["activity_enc"])) for r in unit.activities(chosen).values()]
    known = people_of(unit, activities)
    for activity in activities:
        person = known.get(f"{activity.source}/{activity.subject}")
        made += of_activity(engine, activity, people.complete(activity, person), person)
    return made


def people_of(unit: Any, activities: Iterable[Activity]) -> dict[str, Entity]:
    """The subjects of these activities as the registry knows them now, by ``source/key``."""
    by_source: dict[str, set[str]] = {}
    for activity in activities:
        if activity.subject:
            by_source.setdefault(activity.source, set()).add(activity.subject)
    found: dict[str, Entity] = {}
    for source, keys in by_source.items():
        for kind in ("place", "person"):
            for key, row in unit.entities(kind, source, keys).items():
                found[f"{source}/{key}"] = entity_from(unit.open("entity", row["entity_enc"]))
    return {**found, **kept_persons(unit, ((source, key) for source, keys in by_source.items() for key in keys))}


def kept_persons(unit: Any, ids: Iterable[tuple[str, str]]) -> dict[str, Entity]:
    """Of these ids those that are other ids of a person, by ``source/key``, with the person as she is registered under
    the id that is kept. Nothing where that one is not registered."""
    wanted = set(ids)
    rows = [r for r in unit.same_persons({key for _, key in wanted}) if (r["source"], r["key"]) in wanted]
    by_source: dict[str, set[str]] = {}
    for row in rows:
        by_source.setdefault(row["kept_source"], set()).add(row["kept_key"])
    persons = {
        (source, key): entity_from(unit.open("entity", row["entity_enc"]))
        for source, keys in by_source.items()
        for key, row in unit.entities("person", source, keys).items()
    }
    return {
        f"{row['source']}/{row['key']}": persons[row["kept_source"], row["kept_key"]]
        for row in rows
        if (row["kept_source"], row["kept_key"]) in persons
    }
