"""Records that belong together -> episodes, which are counted like activities. Pure.

Which records can belong together is said by keys (the same woman, the record an answer names); which of them do, by
days from the opening. All of it follows from the records as they are now, in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from connector.mappings.expressions import ExpressionError
from connector.mappings.indicators import Counter, Evaluate, moment_of, raw
from connector.mappings.jsonata_values import MISSING, truth
from connector.mappings.pack import EpisodeKind, Pack, Predicate
from connector.model import Activity

#: Most records looked at under one key; nobody has so many visits.
MAX_MEMBERS = 1_000


@dataclass(frozen=True, slots=True)
class Link:
    """A key of a record for a kind of episode. ``opens``: it may open one; ``own``: its episode is kept under it."""

    kind: str
    key: str
    opens: bool
    own: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A record with its facts completed from the registry. ``subject``: the id its person is kept under, where that is
    another one than the record says."""

    activity: Activity
    facts: Mapping[str, Any]
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """``members`` in time order, the opening among them; ``facts``: those of the opening and those worked out."""

    kind: EpisodeKind
    opening: Activity
    day: date
    members: Sequence[Activity]
    facts: Mapping[str, Any]
    scope: Mapping[str, Any]  #: what the expressions of its facts looked at


class Episodes:
    """Works out episodes by one pack."""

    def __init__(self, pack: Pack, counter: Counter) -> None:
        self.pack = pack
        self.counter = counter
        self._kinds = {one.id: _Kind(one, counter) for one in pack.episodes.values() if counter.counts(one.id)}
        self._of: dict[str, list[_Kind]] = {}
        for kind in self._kinds.values():
            for name in kind.looks_at:
                self._of.setdefault(name, []).append(kind)

    def known(self, kind: str) -> bool:
        """An episode of the pack that some indicator counts."""
        return kind in self._kinds

    def links(self, activity: Activity, facts: Mapping[str, Any]) -> list[Link]:
        """The keys a record has for the kinds of episode it can belong to. ``facts``: from ``people.complete``."""
        found: list[Link] = []
        for kind in self._of.get(activity.kind, ()):
            found += kind.links(activity, kind.scope(activity, facts))
        return found

    def keys_of(self, kind: str, subject: str) -> list[str]:
        """The keys a record about this person has where a key is the person and nothing else."""
        return self._kinds[kind].keys_of(subject)

    @property
    def kinds(self) -> list[str]:
        return list(self._kinds)

    def work_out(self, kind: str, openings: Sequence[Member], candidates: Sequence[Member]) -> list[Episode]:
        """The episodes of one key. ``openings``: every record that may open one under it; ``candidates``: every record
        that has a key of theirs."""
        return self._kinds[kind].work_out(openings, candidates)


class _Kind:
    def __init__(self, kind: EpisodeKind, counter: Counter) -> None:
        self.kind = kind
        self.counter = counter
        self.looks_at = {*kind.opens, *(one.kind for one in kind.members)}
        expressions = [kind.key, kind.when, *kind.facts.values(), *(one.key for one in kind.members)]
        expressions += [one.matches for one in kind.members]
        self.needed = counter.needed([one.source for one in expressions if one is not None])
        self.key = raw(kind.key.evaluate)
        self.when = raw(kind.when.evaluate) if kind.when is not None else None
        self.members = [(one, raw(one.key.evaluate), raw(one.matches.evaluate)) for one in kind.members]
        self.facts = [(name, raw(one.evaluate)) for name, one in kind.facts.items()]

    def scope(self, activity: Activity, facts: Mapping[str, Any], subject: str | None = None) -> dict[str, Any]:
        """The facts of a record as the expressions of an episode see them, with what it says of itself."""
        own = {
            "record": activity.id,
            "kind": activity.kind,
            "date": activity.date.isoformat(),
            "place": activity.place,
            "worker": activity.worker,
            "subject": subject or activity.subject,
        }
        known = {name: value for name, value in own.items() if value is not None}
        return {**self.counter.facts(facts, only=self.needed), **known}

    def opens(self, activity: Activity, scope: Mapping[str, Any]) -> bool:
        return activity.kind in self.kind.opens and (self.when is None or _holds(self.when, scope))

    def links(self, activity: Activity, scope: Mapping[str, Any]) -> list[Link]:
        found: dict[str, tuple[bool, bool]] = {}
        if self.opens(activity, scope):
            own = self.own_key(activity, scope)
            found[own] = (True, True)
            for member, _, matches in self.members:
                key = _named(member.matches, _value(matches, scope))
                if key and key not in found:
                    found[key] = (True, False)
        for member, key_of, _ in self.members:
            if member.kind == activity.kind:
                key = _named(member.matches, _value(key_of, scope))
                if key and key not in found:
                    found[key] = (False, False)
        return [Link(self.kind.id, key, opens, own) for key, (opens, own) in found.items()]

    def own_key(self, activity: Activity, scope: Mapping[str, Any]) -> str:
        """Without a key the opening stands for itself."""
        return _named(self.kind.key, _value(self.key, scope)) or f"record:{activity.id}"

    def keys_of(self, subject: str) -> list[str]:
        named = {_named(one, subject) for one in (self.kind.key, *(member.matches for member, _, _ in self.members))}
        return sorted(key for key in named if key)

    def work_out(self, openings: Sequence[Member], candidates: Sequence[Member]) -> list[Episode]:
        scopes = {m.activity.id: self.scope(m.activity, m.facts, m.subject) for m in (*openings, *candidates)}
        groups: list[list[Member]] = []
        within = self.kind.merges
        for one in sorted(openings, key=lambda m: moment_of(m.activity)):
            known = groups[-1][0].activity.date if groups else date.min
            if groups and within is not None and one.activity.date <= known + timedelta(days=within):
                groups[-1].append(one)
            else:
                groups.append([one])
        return [self._episode(group, candidates, scopes) for group in groups]

    def _episode(
        self, group: Sequence[Member], candidates: Sequence[Member], scopes: Mapping[str, dict[str, Any]]
    ) -> Episode:
        head = group[0].activity
        scope = scopes[head.id]
        belonging = {one.activity.id: one for one in group}
        for member, key_of, matches in self.members:
            wanted = _value(matches, scope)
            if wanted is None:
                continue
            first, last = (head.date + timedelta(days=days) for days in (member.first, member.last))
            for one in candidates:
                activity = one.activity
                if activity.kind != member.kind or not first <= activity.date <= last or activity.id in belonging:
                    continue
                if _value(key_of, scopes[activity.id]) == wanted:
                    belonging[activity.id] = one
        members = sorted((one.activity for one in belonging.values()), key=moment_of)
        seen = {
            **scope,
            "members": [
                {**scopes[one.id], "day": (one.date - head.date).days, "opening": one.id == head.id} for one in members
            ],
        }
        worked_out: dict[str, Any] = {}
        for name, evaluate in self.facts:
            value = _value(evaluate, seen)
            if value is not None:
                seen[name] = worked_out[name] = value
        return Episode(self.kind, head, self._day(head, seen), members, {**head.facts, **worked_out}, seen)

    def _day(self, head: Activity, scope: Mapping[str, Any]) -> date:
        try:
            return date.fromisoformat(str(scope.get(self.kind.day))) if self.kind.day else head.date
        except ValueError:
            return head.date


def _value(evaluate: Evaluate, scope: Mapping[str, Any]) -> Any:
    """The value, or None when it is absent or cannot be worked out."""
    try:
        value = evaluate(scope)
    except (ExpressionError, ValueError):
        return None
    return None if value is MISSING or value == "" else value


def _holds(evaluate: Evaluate, scope: Mapping[str, Any]) -> bool:
    try:
        return truth(evaluate(scope))
    except ValueError:
        return False


def _named(expression: Predicate, value: Any) -> str | None:
    """A key with the expression it comes from: a person's id is never taken for that of a record."""
    return None if value is None or isinstance(value, (dict, list)) else f"{expression.source}:{value}"
