"""Episodes and registers: the kinds and facts they look at."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from connector.findings import nearest, of
from connector.mappings.lint_indicators import name_at
from connector.mappings.linting import MEMBER_FACTS, Checking, names_read
from connector.mappings.pack import Place, Predicate
from connector.mappings.where import Step
from connector.mappings.yaml_nodes import Map, Scalar, Seq

#: A fact of the members: ``members.x``, ``members[...].x``, ``members[...][-1].x``.
_OF_MEMBERS = re.compile(r"\bmembers(?:\[[^\]]*\])*\.(\w+)")
_EPISODES, _REGISTERS = "episodes.yaml", "registers.yaml"


def check(one: Checking) -> None:
    pack, where = one.pack, one.where
    for episode in pack.episodes.values():
        steps: tuple[Step, ...] = ("episodes", episode.id)
        _kinds(one, _EPISODES, (*steps, "opens"), episode.id, episode.opens)
        _kinds(one, _EPISODES, (*steps, "members"), episode.id, [member.kind for member in episode.members])
        tables = ((pack.activities, "activities.yaml", "activities"), (pack.registers, _REGISTERS, "registers"))
        for table, file, key in tables:
            if episode.id in table:
                first = where.value(file, key, episode.id)
                place = where.value(_EPISODES, *steps, "id")
                one.add("id.twice", place, name=episode.id, first=first.file, line=first.line)
        kinds = {*episode.opens, *(member.kind for member in episode.members)}
        known = {*_of(one, kinds), *episode.facts, *MEMBER_FACTS, *pack.derived}
        read: list[Predicate | None] = [episode.key, episode.when, *episode.facts.values()]
        _names(one, _EPISODES, steps, [*read, *(member.key for member in episode.members)], known)
        if episode.day is not None and episode.day not in known:
            _unknown(one, where.value(_EPISODES, *steps, "day"), episode.id, episode.day, known)
    groups = sorted({row.group for row in pack.deployments})
    for register in pack.registers.values():
        steps = ("registers", register.id)
        for kind in register.members:
            if kind not in pack.activities:
                place = where.key(_REGISTERS, *steps, "members", kind)
                near = nearest(kind, pack.activities)
                one.add("activity.unknown", place, what=of(register.id), name=kind, nearest=near)
        known = {*one.produced[register.id], *_of(one, register.members), *pack.derived}
        read = [register.when, *register.facts.values(), *register.members.values()]
        _names(one, _REGISTERS, steps, read, known)
        if register.group is not None and groups and register.group not in groups:
            place = where.value(_REGISTERS, *steps, "group")
            near = nearest(register.group, groups)
            one.add("group.unknown", place, data_set=register.id, group=register.group, nearest=near)


def _of(one: Checking, kinds: Iterable[str]) -> set[str]:
    return set().union(*(one.produced.get(kind, frozenset()) for kind in kinds))


def _kinds(one: Checking, file: str, steps: tuple[Step, ...], owner: str, kinds: Iterable[str]) -> None:
    for number, kind in enumerate(kinds):
        if kind not in one.pack.activities:
            listed = one.where.node(file, *steps)
            place = one.where.value(file, *steps, number if isinstance(listed, Seq) else kind)
            if isinstance(listed, Seq) and isinstance(listed.items[number], Map):
                place = one.where.value(file, *steps, number, "kind")
            near = nearest(kind, one.pack.activities)
            one.add("activity.unknown", place, what=of(owner), name=kind, nearest=near)


def _names(
    one: Checking, file: str, steps: tuple[Step, ...], predicates: Iterable[Predicate | None], known: Collection[str]
) -> None:
    """Facts that the expressions look at and that no record of theirs gives."""
    told: set[str] = set()
    for predicate in predicates:
        if predicate is None:
            continue
        of_members = {match[1]: match.start(1) for match in _OF_MEMBERS.finditer(predicate.source)}
        names = {*names_read(predicate.evaluate, predicate.source), *of_members}
        for name in sorted(names - set(known) - told):
            told.add(name)
            node = Scalar(predicate.source, False, predicate.at, True) if predicate.at is not None else None
            place = node.inside(of_members[name]) if node is not None and name in of_members else None
            place = place or (name_at(node, name) if node is not None else None) or one.where.value(file, *steps)
            _unknown(one, place, str(steps[1]), name, known)


def _unknown(one: Checking, place: Place, owner: str, name: str, known: Collection[str]) -> None:
    near = nearest(name, sorted(known))
    one.add("fact.unknown", place, what=of(owner), name=name, where=("", ""), nearest=near)
