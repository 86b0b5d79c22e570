"""What follows from several records together, after each of them was mapped: episodes and registers.

Mapping notes in its own transaction which of them a changed record may belong to; this job works just those out again,
chunk by chunk, and before the cells are counted. So it does not matter in which order records come, change or go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from connector.engine import resources
from connector.engine.engine import Engine
from connector.engine.places import OrgUnits
from connector.mappings import people
from connector.mappings.codec import activity_from, entity_from
from connector.mappings.episodes import Episodes, Member
from connector.mappings.pack import DeploymentRow, Pack
from connector.mappings.registers import Registers
from connector.model import Activity, Entity

EPISODE, ENTITY, DEPLOYMENT = "episode", "entity", "deployment"


class Derived:
    """What the pack says of episodes and registers, ready for many records."""

    def __init__(self, engine: Engine) -> None:
        self.pack = engine.pack
        self.episodes = Episodes(engine.pack, engine.counter)
        self.registers = Registers(engine.pack, engine.counter)
        self.org_units = OrgUnits(engine.pack)
        self._by_key: dict[str, list[str]] = {}
        self.households = looks_at_households(engine.pack)
        groups = {register.group for register in self.registers.of_deployments}
        #: Worker -> where and when she is deployed, of those that a register looks at.
        self.deployed: dict[str, list[DeploymentRow]] = {}
        for row in engine.pack.deployments:
            if row.kind == "worker" and groups & {row.group, None}:
                self.deployed.setdefault(row.reporter, []).append(row)

    def homes(
        self, unit: Any, activities: Sequence[Activity], persons: Mapping[str, Entity]
    ) -> dict[tuple[str, str], Entity]:
        """The registered households these records are about, by source and id; nothing when no indicator asks."""
        wanted: dict[str, set[str]] = {}
        for activity in activities if self.households else ():
            home = people.household_of(activity, persons.get(f"{activity.source}/{activity.subject}"))
            if home is not None:
                wanted.setdefault(activity.source, set()).add(home)
        return {
            (source, key): entity_from(unit.open("entity", row["entity_enc"]))
            for source, keys in wanted.items()
            for key, row in unit.entities("place", source, sorted(keys)).items()
        }

    def members(self, unit: Any, records: Iterable[str]) -> dict[str, Member]:
        """Kept records with their facts completed from the registry; those that were purged are left out."""
        rows = unit.activities(records)
        activities = [activity_from(unit.open("activity", row["activity_enc"])) for row in rows.values()]
        persons = resources.people_of(unit, activities)
        homes = self.homes(unit, activities, persons)
        kept = {
            (row["source"], row["key"]): row["kept_key"]
            for row in unit.same_persons({one.subject for one in activities if one.subject})
        }
        return {
            one.id: Member(one, completed(one, persons, homes), kept.get((one.source, one.subject or "")))
            for one in activities
        }

    # -- in the transaction of mapping

    def note(self, unit: Any, works: Sequence[Any]) -> None:
        """Write down under which keys these records may belong to something, and mark what they belonged to and belong
        to now. ``works``: before their activities are kept."""
        known = [w.record.id for w in works if not w.fresh]
        before = unit.members_of(known)
        stale = set()
        for row in before:
            if row["kind"] in self.pack.registers:  # the worker it was about, in whatever month that was
                stale |= {(DEPLOYMENT, worker, "") for worker in self._workers(unit).get(row["key"], ())}
            else:
                stale.add((EPISODE, row["kind"], row["key"]))
        days = unit.worker_days(known) if self.deployed else []
        rows: list[dict[str, Any]] = []
        for work in works:
            if work.activity is None or work.error is not None:
                continue
            for link in self.episodes.links(work.activity, work.facts):
                key = unit.keyed(link.key)
                rows.append(
                    {"record": work.record.id, "kind": link.kind, "key": key, "opens": link.opens, "own": link.own}
                )
                stale.add((EPISODE, link.kind, key))
            for register, worker in self.registers.keys(work.activity, work.facts):
                key = unit.keyed(worker)
                rows.append({"record": work.record.id, "kind": register, "key": key, "opens": False, "own": False})
                days.append((worker, work.activity.date.isoformat()))
            if work.activity.worker is not None:
                days.append((work.activity.worker, work.activity.date.isoformat()))
        unit.replace_members(sorted({row["record"] for row in before}), rows)
        stale |= {(DEPLOYMENT, worker, day[:7]) for worker, day in days if worker in self.deployed}
        unit.mark_stale(sorted(stale))

    def _workers(self, unit: Any) -> dict[str, list[str]]:
        """Deployed workers by the hash they are kept under."""
        if not self._by_key:
            for worker in self.deployed:
                self._by_key.setdefault(unit.keyed(worker), []).append(worker)
        return self._by_key

    def moved(self, unit: Any, source: str, kind: str, keys: Sequence[str], *, parents: bool) -> None:
        """The registry changed: entities are other than they were. ``parents``: some of them may lie elsewhere now."""
        if not keys:
            return
        if kind == "place" and self.households:
            unit.dirty_by_household(source, keys)
        if kind == "person":
            self._follow(unit, source, keys)
        if kind == "worker":
            unit.mark_stale((DEPLOYMENT, key, "") for key in keys if key in self.deployed)
        if not self.registers.of_entities:
            return
        if kind in self.registers.of_entities:
            unit.mark_stale((ENTITY, kind, f"{source}/{key}") for key in keys)
        if kind == "place" and parents:
            self.org_units.forget()
            unit.stale_below(source, keys)

    def _follow(self, unit: Any, source: str, keys: Sequence[str]) -> None:
        """What is known under the other ids of these persons is theirs, too."""
        others = [row for row in unit.same_as(keys) if row["kept_source"] == source]
        if others:
            unit.dirty_persons([row["key"] for row in others])
            self.stale_persons(unit, [(row["source"], row["key"]) for row in others])

    def stale_persons(self, unit: Any, ids: Iterable[tuple[str, str]]) -> None:
        """Work out the lines of the register of these persons (source, key) again."""
        if "person" in self.registers.of_entities:
            unit.mark_stale((ENTITY, "person", f"{source}/{key}") for source, key in ids)


def completed(
    activity: Activity, persons: Mapping[str, Entity], homes: Mapping[tuple[str, str], Entity]
) -> dict[str, Any]:
    """The facts to count by, from what the registry knows of the person and the household."""
    person = persons.get(f"{activity.source}/{activity.subject}") if activity.subject else None
    if not homes:
        return people.complete(activity, person)
    home = people.household_of(activity, person)
    return people.complete(activity, person, homes.get((activity.source, home)) if home else None)


@lru_cache(maxsize=8)
def _asks(texts: tuple[str, ...]) -> bool:
    return any("household_" in text for text in texts)


def looks_at_households(pack: Pack) -> bool:
    """Some indicator looks at what the registry knows of a household."""
    texts = [category.fact for category in pack.categories.values()]
    texts += [one.source for indicator in pack.indicators.values() for one in indicator.parts.values()]
    texts += [one.source for one in pack.derived.values()]
    return _asks(tuple(texts))


def derive(engine: Engine) -> dict[str, int]:
    """Work out again what changed records belong to, and the registers. Returns counts: episodes, lines."""
    from connector.engine import episodes, registers

    wanted = engine.pack.episodes or engine.pack.registers
    if not wanted and engine.store.read(lambda unit: unit.fact(registers.STANDING)) is None:
        return {"episodes": 0, "lines": 0}
    derived = Derived(engine)
    return {"episodes": episodes.work_out(engine, derived), "lines": registers.close(engine, derived)}


__all__ = ["DEPLOYMENT", "ENTITY", "EPISODE", "Derived", "completed", "derive", "looks_at_households"]
