"""The episodes of changed records, worked out again whole: what they add to cells replaces what they added before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from connector.engine import audit, contributing, resources
from connector.engine.deriving import EPISODE, Derived
from connector.engine.engine import Engine
from connector.engine.mapping import parents_of
from connector.errors import MappingError
from connector.identity import digest
from connector.mappings import people
from connector.mappings.episodes import MAX_MEMBERS, Episode, Member
from connector.model import Activity, Contribution

#: Keys per transaction.
CHUNK = 100


def work_out(engine: Engine, derived: Derived) -> int:
    """Every stale episode; returns how many there were."""
    total = 0
    while True:
        counts = engine.store.write(lambda unit: _chunk(engine, derived, unit))
        if counts is None:
            return total
        total += counts
        engine.progress("episodes", counts)


def _chunk(engine: Engine, derived: Derived, unit: Any) -> int | None:
    taken = unit.take_stale(EPISODE, CHUNK)
    if not taken:
        return None
    keys: dict[str, list[str]] = {}
    for kind, key in taken:
        keys.setdefault(kind, []).append(key)
    found: dict[str, Episode] = {}
    under: dict[str, tuple[str, str]] = {}
    gone: list[str] = []
    too_many = 0
    for kind, several in keys.items():
        if not derived.episodes.known(kind):
            gone += [row["record"] for row in unit.episodes_by_key(kind, several)]
            continue
        group = _Group(engine, derived, unit, kind, several)
        too_many += group.too_many
        found.update(group.found)
        under.update(group.under)
        gone += group.gone
    _keep(engine, derived, unit, found, under, gone)
    unit.unstale(EPISODE, taken)
    if found or gone or too_many:
        audit.record(
            unit,
            at=engine.now(),
            event="episodes.worked_out",
            subject=engine.pack.id,
            detail={"episodes": len(found), "gone": len(gone), "too_many": too_many, "keys": digest(sorted(found))},
        )
    return len(taken)


class _Group:
    """The episodes of one kind under some keys. ``gone``: those that are no more."""

    def __init__(self, engine: Engine, derived: Derived, unit: Any, kind: str, keys: Sequence[str]) -> None:
        self.found: dict[str, Episode] = {}
        self.under: dict[str, tuple[str, str]] = {}
        self.too_many = 0
        # A key leads to openings, which may be kept under another key; those have more keys, under which lie members.
        # Two ids of one person are one key: ``key`` is the one they are read as, ``under`` the one of the record.
        read = _Keys(unit, kind)
        keys = read.kept(keys)
        openings = {row["record"] for row in read.openings(keys)}
        own = {row["key"] for row in read.members_of(openings) if row["own"]}
        wanted = sorted(own.union(keys))
        heads: dict[str, list[str]] = {key: [] for key in wanted}
        under: dict[str, str] = {}
        for row in read.openings(wanted) if openings else ():
            if row["own"]:
                heads[row["key"]].append(row["record"])
                under[row["record"]] = row["under"]
        links: dict[str, list[str]] = {}
        for row in read.members_of({record for several in heads.values() for record in several}):
            if row["opens"]:
                links.setdefault(row["record"], []).append(row["key"])
        beside: dict[str, list[str]] = {}
        for row in read.members_by_key({key for several in links.values() for key in several}):
            beside.setdefault(row["key"], []).append(row["record"])
        known = derived.members(unit, {record for several in beside.values() for record in several})
        before = unit.episodes_by_key(kind, sorted(unit.all_read_as(wanted)))
        kept: set[str] = set()
        for records in heads.values():
            candidates = sorted({r for one in records for link in links[one] for r in beside.get(link, ())})
            if len(candidates) > MAX_MEMBERS:
                self.too_many += 1
                continue
            if any(record not in known for record in candidates):
                # What a member said was purged: the episodes of those that are still there stay as they were counted.
                names = {_name(engine, kind, record) for record in records}
                kept |= {row["record"] for row in before if row["record"] in names}
                continue
            for episode in derived.episodes.work_out(kind, [known[r] for r in records], [known[r] for r in candidates]):
                name = _name(engine, kind, episode.opening.id)
                self.found[name] = episode
                self.under[name] = (kind, under[episode.opening.id])
        self.gone = [row["record"] for row in before if row["record"] not in self.found and row["record"] not in kept]


class _Keys:
    """The members of one kind by key."""

    def __init__(self, unit: Any, kind: str) -> None:
        self.unit, self.kind = unit, kind

    def kept(self, keys: Iterable[str]) -> list[str]:
        read = self.unit.read_as(keys)
        return sorted({read.get(key, key) for key in keys})

    def openings(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        """Those that may open an episode. Most keys of some kinds have none, and many records beside."""
        return self._read(self.unit.members_by_key(self.kind, sorted(self.unit.all_read_as(keys)), openings=True))

    def members_by_key(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        return self._read(self.unit.members_by_key(self.kind, sorted(self.unit.all_read_as(keys))))

    def members_of(self, records: Iterable[str]) -> list[dict[str, Any]]:
        return self._read([row for row in self.unit.members_of(records) if row["kind"] == self.kind])

    def _read(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        read = self.unit.read_as({row["key"] for row in rows})
        return [{**row, "key": read.get(row["key"], row["key"]), "under": row["key"]} for row in rows]


def _name(engine: Engine, kind: str, opening: str) -> str:
    return f"episode/{kind}/{engine.names.uuid('episode', kind, opening)}"


def _keep(
    engine: Engine,
    derived: Derived,
    unit: Any,
    found: Mapping[str, Episode],
    under: Mapping[str, tuple[str, str]],
    gone: Sequence[str],
) -> None:
    activities = {name: _activity(name, episode) for name, episode in found.items()}
    # The registry is asked under the source of the opening, which is not the episode's own.
    openings = [episode.opening for episode in found.values()]
    persons = resources.people_of(unit, openings)
    homes = derived.homes(unit, openings, persons)
    parents = parents_of(unit)
    added: dict[str, list[Contribution]] = {name: [] for name in gone}
    rows = []
    for name, episode in found.items():
        opening, activity = episode.opening, activities[name]
        person = persons.get(f"{opening.source}/{opening.subject}") if opening.subject else None
        home = people.household_of(activity, person)
        facts = people.complete(activity, person, homes.get((opening.source, home)) if home else None)
        added[name], org_unit = [], None
        if opening.place is not None:
            try:
                row = derived.org_units.row(opening.source, opening.place, opening.date, parents)
            except MappingError:  # its opening is in quarantine by now, and will be mapped again
                continue
            org_unit = row.org_unit
            added[name] = engine.counter.contributions(
                activity, facts, partial(derived.org_units.at_level, row, day=opening.date)
            )
        rows.append(
            {
                "record": name,
                "revision": opening.revision,
                "kind": activity.kind,
                "form": opening.form,
                "mapping": activity.mapping,
                "version": activity.version,
                "date": activity.date.isoformat(),
                "place": activity.place,
                "worker": activity.worker,
                "subject": None,
                "org_unit": org_unit,
                "activity_enc": b"",
                "now": engine.now(),
            }
        )
    unit.keep_activities(rows)
    unit.drop_activities(list(gone))
    unit.drop_episodes(list(gone))
    unit.keep_episodes(
        [{"record": name, "kind": kind, "key": key} for name, (kind, key) in under.items()],
        [{"episode": name, "record": one.id} for name, episode in found.items() for one in episode.members],
    )
    contributing.replace(unit, added, list(added), engine.now())


def _activity(name: str, episode: Episode) -> Activity:
    """The episode as an activity: where and of whom its opening was, on its own day."""
    opening = episode.opening
    return Activity(
        source="episode", stream=episode.kind.id, key=name.rsplit("/", 1)[1], revision=opening.revision,
        kind=episode.kind.id, form=opening.form, mapping="episodes.yaml", version=episode.kind.version,
        date=episode.day, at=opening.at if episode.day == opening.date else None, place=opening.place,
        worker=opening.worker, subject=opening.subject, facts=dict(episode.facts),
    )  # fmt: skip


__all__ = ["CHUNK", "Member", "work_out"]
