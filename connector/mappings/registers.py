"""Registers: who or what there is at the end of a period, as facts that indicators count like those of records. Pure.

A register line is counted whether or not anybody reported: registered children, deployed workers, reports expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from connector import periods
from connector.mappings import people
from connector.mappings.episodes import Member, _holds, _value
from connector.mappings.indicators import Counter, OrgUnitOf, raw
from connector.mappings.pack import Pack, Register
from connector.model import Activity, Contribution, Entity


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of a register: a registered entity, or a deployment with the worker's entity and what her records of
    the period say. ``record``: the id its contributions are kept under; ``place``: where it begins to be looked for."""

    record: str
    key: str
    place: str
    data: Mapping[str, Any]
    members: Sequence[Member] = ()
    records: int = 0  #: how many records of the period are hers


class Registers:
    """Counts register lines by one pack."""

    def __init__(self, pack: Pack, counter: Counter) -> None:
        self.pack = pack
        self.counter = counter
        self._kinds = {one.id: _Kind(one, counter) for one in pack.registers.values() if counter.counts(one.id)}
        self.of_entities: dict[str, list[Register]] = {}
        self.of_deployments: list[Register] = []
        for kind in self._kinds.values():
            if kind.register.of == "deployments":
                self.of_deployments.append(kind.register)
            else:
                self.of_entities.setdefault(kind.register.of, []).append(kind.register)

    def period_types(self) -> list[str]:
        return sorted({one for kind in self._kinds for one in self.counter.period_types(kind)})

    def keys(self, activity: Activity, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(register, worker) of the deployments that look at this record."""
        found = []
        for register in self.of_deployments:
            key = register.members.get(activity.kind)
            if key is not None:
                value = self._kinds[register.id].key(activity, facts, key.source)
                if value is not None:
                    found.append((register.id, str(value)))
        return found

    def scope(self, register: Register, line: Line, period: str) -> dict[str, Any] | None:
        """What the expressions of a register see of a line; None when it is not counted."""
        return self._kinds[register.id].scope(line, period)

    def count(self, register: Register, line: Line, period: str, org_unit_of: OrgUnitOf) -> list[Contribution]:
        """What a line adds to the cells of one period."""
        return self._kinds[register.id].count(line, period, org_unit_of)


class _Kind:
    def __init__(self, register: Register, counter: Counter) -> None:
        self.register = register
        self.counter = counter
        expressions = [one for one in (register.when, *register.facts.values(), *register.members.values()) if one]
        self.needed = counter.needed([one.source for one in expressions])
        self.when = raw(register.when.evaluate) if register.when is not None else None
        self.facts = [(name, raw(one.evaluate)) for name, one in register.facts.items()]
        self.keys = {one.source: raw(one.evaluate) for one in register.members.values()}

    def key(self, activity: Activity, facts: Mapping[str, Any], source: str) -> Any:
        return _value(self.keys[source], self._scope(activity, facts))

    def _scope(self, activity: Activity, facts: Mapping[str, Any]) -> dict[str, Any]:
        own = {"record": activity.id, "kind": activity.kind, "date": activity.date.isoformat()}
        known = {"place": activity.place, "worker": activity.worker, "subject": activity.subject}
        return {
            **self.counter.facts(facts, only=self.needed),
            **own,
            **{name: value for name, value in known.items() if value is not None},
        }

    def scope(self, line: Line, period: str) -> dict[str, Any] | None:
        """What is known of a line at the end of a period, with the facts worked out; None when it is not counted."""
        first, last = periods.bounds(period)
        scope: dict[str, Any] = {
            **line.data,
            "first_day": first.isoformat(),
            "last_day": last.isoformat(),
            "deadline": _after(last, self.register.deadline).isoformat(),
            "records": line.records,
            "members": [self._scope(one.activity, one.facts) for one in line.members],
        }
        ages = people.ages_of(line.data, last)
        if ages is not None:
            scope["age_days"], scope["age_months"], scope["age_years"] = ages
        if self.when is not None and not _holds(self.when, scope):
            return None
        for name, evaluate in self.facts:
            value = _value(evaluate, scope)
            if value is not None:
                scope[name] = value
        return scope

    def count(self, line: Line, period: str, org_unit_of: OrgUnitOf) -> list[Contribution]:
        scope = self.scope(line, period)
        if scope is None:
            return []
        last = periods.bounds(period)[1]
        activity = Activity(
            source="register", stream=self.register.id, key=line.key, revision="", kind=self.register.id, form="",
            mapping="registers.yaml", version=self.register.version, date=last, at=None, place=line.key,
            worker=line.key, subject=line.key, facts=scope,
        )  # fmt: skip
        found = self.counter.contributions(activity, scope, org_unit_of)
        return [replace(one, record=line.record) for one in found if one.period == period]


def _after(day: date, days: int) -> date:
    return day + timedelta(days=days)


def of_entity(entity: Entity) -> Line:
    """The line of a person, place or worker; a place is counted where it is, the others where they belong."""
    data = {name: value for name, value in entity.data.items() if value is not None}
    place = entity.key if entity.kind == "place" else str(data.get("parent") or "")
    return Line(f"register/{entity.kind}/{entity.source}/{entity.key}", entity.key, place, data)
