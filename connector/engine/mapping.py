"""The mapping job: dirty heads -> activities, entities, contributions, touched cells, wanted resources and referrals.

It runs in chunks: read, work out (pure), write in one transaction. People and places go first, so that most
activities are completed at once; a person who comes later marks her activities dirty again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from connector.engine import audit, contributing, referrals, resources, tracker
from connector.engine.deriving import Derived, completed
from connector.engine.engine import Engine
from connector.engine.places import OrgUnits
from connector.errors import MappingError
from connector.identity import digest
from connector.mappings.codec import activity_from, activity_to, entity_from, entity_to
from connector.model import Activity, Contribution, Entity, Flag, Mapped, Record, Who

NOTHING = {"mapped": 0, "quarantined": 0, "deleted": 0, "resources": 0, "invalid": 0}

#: Records per chunk: one transaction stays well under 50 ms per 100 of them.
CHUNK = 500

#: Who must act on a quarantined record.
WHO = {
    "form.unknown": Who.MAPPING,
    "place.no_org_unit": Who.MAPPING,
    "place.closed_at_date": Who.MAPPING,
    "date.missing": Who.CHW_DATA,
    "date.invalid": Who.CHW_DATA,
    "date.future": Who.CHW_DATA,
    "key.missing": Who.CHW_DATA,
    "record.unreadable": Who.SYSADMIN,
    "place.missing": Who.CHW_DATA,
}

#: Reasons that go away when the registry learns where a place is.
PLACELESS = ("place.no_org_unit", "place.closed_at_date")


@dataclass(slots=True)
class Work:
    """One mapped record and everything that follows from it."""

    record: Record
    fresh: bool = False  #: never mapped before: nothing is kept of it that could have changed
    activity: Activity | None = None
    entity: Entity | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    contributions: list[Contribution] = field(default_factory=list)
    org_unit: str | None = None
    error: MappingError | None = None
    purged: bool = False  #: its body is gone: taken as it was mapped last
    flags: str | None = None  #: as ``head.flags`` keeps them

    @property
    def stands(self) -> bool:
        """Nothing is left of it to work out again, or nowhere to count it: it stays as it was counted."""
        return self.purged and (self.error is not None or (self.activity is None and self.entity is None))


def kept_flags(flags: Sequence[Flag]) -> str | None:
    """Code and fact of each, once. Not the detail: a library's words about an expression may repeat an answer."""
    return json.dumps(sorted({(f.code, f.fact) for f in flags}), separators=(",", ":")) if flags else None


def read_flags(kept: str | None) -> list[dict[str, str]]:
    return [{"code": code, "fact": fact, "detail": ""} for code, fact in json.loads(kept or "[]")]


def _record(unit: Any, row: dict[str, Any]) -> Record:
    return Record(
        source=row["source"],
        stream=row["stream"],
        key=row["key"],
        revision=row["revision"],
        form=row["form"],
        body=unit.open("body", row["body_enc"]) or {},
        deleted=bool(row["deleted"]),
        unreadable=row["unreadable"],
    )


def _translate(engine: Engine, record: Record, today: date, *, fresh: bool) -> Work:
    work = Work(record, fresh)
    if record.deleted:
        return work
    try:
        if record.unreadable:
            raise MappingError("record.unreadable", detail=record.unreadable)
        mapped: Mapped = engine.mapper.apply(record)
        if mapped.activity is not None and mapped.activity.date > today:
            raise MappingError("date.future", path="date", file=mapped.activity.mapping)
        work.activity, work.entity, work.flags = mapped.activity, mapped.entity, kept_flags(mapped.flags)
    except MappingError as error:
        work.error = error
    return work


def _as_mapped_last(unit: Any, rows: Sequence[dict[str, Any]]) -> list[Work]:
    """Records without a body, as their activities and the registry have them."""
    records = [row["record"] for row in rows]
    activities = unit.activities(records)
    entities = {row["record"]: row for row in unit.entities_of_records(records)}
    works = []
    for row in rows:
        work = Work(_record(unit, row), purged=True, flags=row["flags"])
        said, registered = activities.get(row["record"]), entities.get(row["record"])
        if said is not None:
            work.activity = stored_activity(unit, said)
        if registered is not None and (said is not None or unit.activity_row(row["record"]) is None):
            work.entity = entity_from(unit.open("entity", registered["entity_enc"]))
        works.append(work)
    return works


def _told(work: Work) -> bool:
    """The record itself says what it registers now."""
    return work.error is None and not work.purged


def parents_of(unit: Any, places: Collection[tuple[str, str]] = ()) -> Callable[[str, str], str | None]:
    """The place a place of a source lies in, by the registry as it is now. ``places`` (source, place): looked up
    together, as they will be asked for."""
    seen: dict[tuple[str, str], str | None] = {}

    def look_up(several: Collection[tuple[str, str]]) -> None:
        for source in sorted({source for source, _ in several}):
            keys = sorted(place for of, place in several if of == source)
            rows = unit.entities("place", source, keys)
            for key in keys:
                row = rows.get(key)
                parent = entity_from(unit.open("entity", row["entity_enc"])).data.get("parent") if row else None
                seen[source, key] = str(parent) if parent else None

    def parent_of(source: str, place: str) -> str | None:
        if (source, place) not in seen:
            look_up([(source, place)])
        return seen[source, place]

    look_up(places)
    return parent_of


def _count(
    engine: Engine, derived: Derived, unit: Any, org_units: OrgUnits, works: Sequence[Work], known: dict[str, Entity]
) -> None:
    parents = parents_of(unit)
    homes = derived.homes(unit, [w.activity for w in works if w.activity is not None], known)
    for work in works:
        activity = work.activity
        if activity is None or work.error is not None:
            continue
        work.facts = completed(activity, known, homes)
        day = activity.date
        try:
            if activity.place is not None:
                row = org_units.row(activity.source, activity.place, day, parents)
                work.org_unit = row.org_unit
                work.contributions = engine.counter.contributions(
                    activity, work.facts, partial(org_units.at_level, row, day=day)
                )
        except MappingError as error:
            work.error = error


class Mapping:
    """The job with what it keeps between chunks (the org-unit index)."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.org_units = OrgUnits(engine.pack)
        self.derived = Derived(engine)
        self.zone = ZoneInfo(engine.pack.zone)
        self.registering = sorted({f.name for f in engine.pack.forms.values() if f.registers})

    def run(self) -> dict[str, int]:
        """Map until no head is dirty. Returns counts: mapped, quarantined, deleted, resources, invalid."""
        totals: dict[str, int] = {}
        for counts in self.chunks():
            for name, count in counts.items():
                totals[name] = totals.get(name, 0) + count
        return {**NOTHING, **totals}

    def chunks(self) -> Iterator[dict[str, int]]:
        """Map chunk by chunk, so that what follows from one can go on its way before the next."""
        for forms in (self.registering, None):
            after = 0
            while True:
                counts, after = self.chunk(forms, after)
                if counts is None:
                    break
                self.engine.progress("map", sum(counts[n] for n in ("mapped", "quarantined", "deleted")))
                yield counts

    def chunk(self, forms: Sequence[str] | None, after: int) -> tuple[dict[str, int] | None, int]:
        engine = self.engine
        today = engine.clock.now().astimezone(self.zone).date()

        def read(unit: Any) -> tuple[list[Work], int]:
            rows = unit.dirty_heads(after, CHUNK, forms)
            works = [
                _translate(engine, _record(unit, r), today, fresh=r["state"] == "received" and r["moves"] == 1)
                for r in rows
                if not r["purged"]
            ]
            works += _as_mapped_last(unit, [r for r in rows if r["purged"]])
            return works, rows[-1]["id"] if rows else after

        works, last = engine.store.read(read)
        if not works:
            return None, after
        counts: dict[str, int] = engine.store.write(lambda unit: self._keep(unit, works))
        return counts, last

    # -- the transaction of one chunk

    def _keep(self, unit: Any, works: list[Work]) -> dict[str, int]:
        engine, now = self.engine, self.engine.now()
        # The registry first: what of this chunk is counted is counted with the people and places as they are now.
        self._keep_entities(unit, works, now)
        known = resources.people_of(unit, [w.activity for w in works if w.activity])
        _count(engine, self.derived, unit, self.org_units, works, known)
        every, works = works, [w for w in works if not w.stands]
        self.derived.note(unit, works)
        good = [w for w in works if w.error is None and w.activity is not None]
        gone = [w for w in works if w.error is not None or (w.activity is None and not w.fresh)]
        unit.keep_activities(
            [
                {
                    "record": w.record.id,
                    "revision": w.record.revision,
                    "kind": w.activity.kind,
                    "form": w.activity.form,
                    "mapping": w.activity.mapping,
                    "version": w.activity.version,
                    "date": w.activity.date.isoformat(),
                    "place": w.activity.place,
                    "worker": w.activity.worker,
                    "subject": w.activity.subject,
                    "org_unit": w.org_unit,
                    "activity_enc": unit.seal("activity", activity_to(w.activity)),
                    "now": now,
                }
                for w in good
                if w.activity is not None
            ]
        )
        unit.drop_activities([w.record.id for w in gone])
        self._recount(unit, works, now)
        built, invalid = resources.want(engine, unit, works, known)
        referrals.want(engine, unit, works, known)
        tracker.want(engine, unit, works, known, self.org_units)
        self._heads(unit, every, now)
        quarantined = sum(1 for w in works if w.error)
        audit.record(
            unit,
            at=now,
            event="records.mapped",
            subject=engine.pack.id,
            detail={
                "records": len(works),
                "quarantined": quarantined,
                "keys": digest([w.record.id for w in works]),
                "pack": engine.pack.version[:16],
            },
        )
        return {
            "mapped": sum(1 for w in works if w.error is None and not w.record.deleted),
            "quarantined": quarantined,
            "deleted": sum(1 for w in works if w.record.deleted),
            "resources": built,
            "invalid": invalid,
        }

    def _keep_entities(self, unit: Any, works: list[Work], now: str) -> None:
        """The registry as these records say, and everything that looks at what changed marked to be mapped again."""
        self._drop_entities(unit, works)
        by_source: dict[tuple[str, str], list[Work]] = {}
        for work in works:
            if work.entity:
                by_source.setdefault((work.entity.source, work.entity.kind), []).append(work)
        for (source, kind), group in by_source.items():
            known = unit.entities(kind, source, [w.entity.key for w in group if w.entity])
            rows, moved, replaced, appeared = [], [], [], False
            for work in group:
                entity = work.entity
                assert entity is not None
                data = entity_to(entity)
                mark = digest({"data": data["data"]})
                before = known.get(entity.key)
                if before is None or before["digest"] != mark:
                    moved.append(entity.key)
                    appeared = appeared or before is None
                if kind == "place" and before is not None and before["digest"] != mark:
                    old = entity_from(unit.open("entity", before["entity_enc"]))
                    if old.data.get("parent") != entity.data.get("parent"):
                        replaced.append(entity.key)
                rows.append(
                    {
                        "source": source,
                        "kind": kind,
                        "key": entity.key,
                        "record": work.record.id,
                        "revision": work.record.revision,
                        "entity_enc": unit.seal("entity", data),
                        "digest": mark,
                        "now": now,
                        "parent": entity.data.get("parent"),
                    }
                )
            unit.keep_entities(rows)
            unit.dirty_by_subject(moved)
            self.derived.moved(unit, source, kind, moved, parents=appeared or bool(replaced))
            if kind == "place" and (appeared or replaced):
                self._replaced(unit, source, set(replaced))

    def _drop_entities(self, unit: Any, works: list[Work]) -> None:
        """Forget who or what these records registered and do no more. One that cannot be read now keeps its entity."""
        now = {w.record.id: (w.entity.kind, w.entity.key) if w.entity else None for w in works if _told(w)}
        dropped: dict[str, list[dict[str, Any]]] = {}
        for row in unit.entities_of_records([w.record.id for w in works if not w.fresh and _told(w)]):
            if now[row["record"]] != (row["kind"], row["key"]):
                unit.drop_entity(row["record"])
                dropped.setdefault(row["source"], []).append(row)
        for source, rows in dropped.items():
            unit.dirty_by_subject([row["key"] for row in rows])
            for kind in {row["kind"] for row in rows}:
                self.derived.moved(unit, source, kind, [r["key"] for r in rows if r["kind"] == kind], parents=True)
            places = {row["key"] for row in rows if row["kind"] == "place"}
            if places:
                self._replaced(unit, source, places)

    def _replaced(self, unit: Any, source: str, places: set[str]) -> None:
        """Mark what is where it is by the registry's word: records without an org unit, and those whose place has no
        row of its own and lies in one of ``places``, which moved or went. (What stood between a place and the first
        one that moved is as it was, so looking upwards now finds all of them.)"""
        self.org_units.forget()
        unit.dirty_records(unit.quarantined_for(source, PLACELESS))
        if not places:
            return
        parent_of = parents_of(unit)
        inside = []
        for place in unit.places_of_activities():
            current: str | None = place
            for _ in range(10):
                if current is None or self.org_units.known(source, current):
                    break
                if current in places:
                    inside.append(place)
                    break
                current = parent_of(source, current)
        unit.dirty_by_place(source, inside)

    @staticmethod
    def _recount(unit: Any, works: list[Work], now: str) -> None:
        """Replace the contributions of changed records."""
        new = {w.record.id: [] if w.error else w.contributions for w in works}
        contributing.replace(unit, new, [w.record.id for w in works if not w.fresh], now)

    @staticmethod
    def _heads(unit: Any, works: list[Work], now: str) -> None:
        heads, bad, well = [], [], []
        for work in works:
            record = work.record
            error = None if work.stands else work.error
            state = "deleted" if record.deleted else "quarantined" if error else "mapped"
            flags = work.flags if state == "mapped" else None
            heads.append({"record": record.id, "revision": record.revision, "state": state, "flags": flags})
            address = {"source": record.source, "stream": record.stream, "key": record.key}
            if error:
                bad.append(
                    {
                        **address,
                        "revision": record.revision,
                        "form": record.form,
                        "code": error.code,
                        "path": error.path,
                        "file": error.file,
                        "line": error.line,
                        "detail": error.detail,
                        "who": str(WHO.get(error.code, Who.MAPPING)),
                        "version": "",
                        "now": now,
                    }
                )
            else:
                well.append(address)
        unit.clean_heads(heads)
        unit.quarantine(bad)
        unit.leave_quarantine(well)


def stored_activity(unit: Any, row: dict[str, Any]) -> Activity:
    return activity_from(unit.open("activity", row["activity_enc"]))
