"""Reading ``episodes.yaml`` (records that belong together) and ``registers.yaml`` (who or what there is). A pack needs
neither."""

from __future__ import annotations

import re

from connector.identity import digest
from connector.mappings.config_dictionary import keep
from connector.mappings.config_reading import Reading
from connector.mappings.pack import EpisodeKind, EpisodeMember, Place, Predicate, Register
from connector.mappings.yaml_nodes import Map, Section, plain, read_yaml

REGISTERS = ("person", "place", "worker", "deployments")
#: Days an episode may reach from its opening: no pregnancy, illness or referral is longer.
MAX_DAYS = 1_000
_DAYS = re.compile(r"-?\d{1,4}")


def read_episodes(reading: Reading, name: str = "episodes.yaml") -> dict[str, EpisodeKind]:
    found: dict[str, EpisodeKind] = {}
    for entry in _entries(reading, name, "episodes"):
        identifier = entry.text("id", required=True)
        key = reading.predicate(entry.node("key", required=True), f"{entry.what}: key")
        when = reading.predicate(entry.node("when"), f"{entry.what}: when")
        members = [_member(reading, one, key) for one in entry.sections("members")] if key else []
        episode = EpisodeKind(
            id=identifier,
            name=entry.texts("name", required=True),
            opens=tuple(entry.names("opens", required=True)),
            key=key or Predicate("", lambda scope: None),
            when=when,
            merges=_days(entry, "merges", 0) if "merges" in entry else None,
            members=tuple(one for one in members if one is not None),
            facts=_facts(reading, entry),
            day=entry.maybe("day"),
            version=digest(plain(entry.map))[:16],
            at=entry.at,
        )
        entry.done()
        if key is not None:
            keep(found, identifier, episode, entry)
    return found


def read_registers(reading: Reading, name: str = "registers.yaml") -> dict[str, Register]:
    found: dict[str, Register] = {}
    for entry in _entries(reading, name, "registers"):
        identifier = entry.text("id", required=True)
        of = entry.text("of", required=True, among=REGISTERS)
        members = entry.node("members")
        linked = members.entries if isinstance(members, Map) else {}
        keys = {kind: reading.predicate(node, f"{entry.what}: members {kind}") for kind, node in linked.items()}
        register = Register(
            id=identifier,
            name=entry.texts("name", required=True),
            of=of,
            when=reading.predicate(entry.node("when"), f"{entry.what}: when"),
            facts=_facts(reading, entry),
            version=digest(plain(entry.map))[:16],
            role=entry.maybe("role"),
            group=entry.maybe("group"),
            deadline=_days(entry, "deadline", 0),
            members={kind: one for kind, one in keys.items() if one is not None},
            at=entry.at,
        )
        entry.done()
        if of:
            keep(found, identifier, register, entry)
    return found


def _entries(reading: Reading, name: str, key: str) -> list[Section]:
    path = reading.folder / name
    if not path.is_file():
        return []
    top = Section(read_yaml(path, name, reading.findings), Place(name, 1), reading.findings, name)
    entries = top.sections(key, required=True)
    top.done()
    return entries


def _member(reading: Reading, section: Section, key: Predicate | None) -> EpisodeMember | None:
    own = reading.predicate(section.node("key"), f"{section.what}: key") or key
    matches = reading.predicate(section.node("matches"), f"{section.what}: matches") or own
    kind = section.text("kind", required=True)
    first, last = _days(section, "from", 0), _days(section, "to", 0)
    if last < first:
        section.findings.add("episode.window", section.at, f"{section.what}: to is before from", "Swap the two.")
    section.done()
    if not kind or own is None or matches is None:
        return None
    return EpisodeMember(kind, own, matches, first, last)


def _days(section: Section, key: str, default: int) -> int:
    text = section.text(key, str(default))
    if _DAYS.fullmatch(text) and abs(int(text)) <= MAX_DAYS:
        return int(text)
    section.findings.add(
        "value.type", section.place(key), f"{section.what}: {key} must be a number of days up to {MAX_DAYS}", ""
    )
    return default


def _facts(reading: Reading, entry: Section) -> dict[str, Predicate]:
    node = entry.node("facts")
    if node is None:
        return {}
    if not isinstance(node, Map):
        reading.findings.add("value.type", node.at, f"{entry.what}: facts must be a list of  fact: expression", "")
        return {}
    found = {name: reading.predicate(one, f"{entry.what}: fact {name}") for name, one in node.entries.items()}
    return {name: one for name, one in found.items() if one is not None}
