"""Reading ``episodes.yaml`` (records that belong together) and ``registers.yaml`` (who or what there is). A pack needs
neither."""

from __future__ import annotations

from connector.identity import digest
from connector.mappings import pack_shapes as shapes
from connector.mappings.config_dictionary import keep
from connector.mappings.config_reading import Reading
from connector.mappings.pack import EpisodeKind, EpisodeMember, Predicate, Register
from connector.mappings.sections import Section
from connector.mappings.shapes import Shape
from connector.mappings.yaml_nodes import Map, plain


def read_episodes(reading: Reading, name: str = "episodes.yaml") -> dict[str, EpisodeKind]:
    found: dict[str, EpisodeKind] = {}
    for entry in _entries(reading, name, "episodes", shapes.EPISODES):
        identifier = entry.text("id")
        key = reading.predicate(entry.node("key"), f"{entry.what}: key")
        when = reading.predicate(entry.node("when"), f"{entry.what}: when")
        members = [_member(reading, one, key) for one in entry.sections("members")] if key else []
        episode = EpisodeKind(
            id=identifier,
            name=entry.texts("name"),
            opens=tuple(entry.names("opens")),
            key=key or Predicate("", lambda scope: None),
            when=when,
            merges=entry.count("merges"),
            members=tuple(one for one in members if one is not None),
            facts=_facts(reading, entry),
            day=entry.maybe("day"),
            version=digest(plain(entry.map))[:16],
            at=entry.at,
        )
        if key is not None:
            keep(found, identifier, episode, entry)
    return found


def read_registers(reading: Reading, name: str = "registers.yaml") -> dict[str, Register]:
    found: dict[str, Register] = {}
    for entry in _entries(reading, name, "registers", shapes.REGISTERS):
        identifier = entry.text("id")
        of = entry.text("of")
        members = entry.node("members")
        linked = members.entries if isinstance(members, Map) else {}
        keys = {kind: reading.predicate(node, f"{entry.what}: members {kind}") for kind, node in linked.items()}
        register = Register(
            id=identifier,
            name=entry.texts("name"),
            of=of,
            when=reading.predicate(entry.node("when"), f"{entry.what}: when"),
            facts=_facts(reading, entry),
            version=digest(plain(entry.map))[:16],
            role=entry.maybe("role"),
            group=entry.maybe("group"),
            deadline=entry.count("deadline") or 0,
            members={kind: one for kind, one in keys.items() if one is not None},
            at=entry.at,
        )
        if of:
            keep(found, identifier, register, entry)
    return found


def _entries(reading: Reading, name: str, key: str, shape: Shape) -> list[Section]:
    return list(reading.file(name, shape).sections(key)) if (reading.folder / name).is_file() else []


def _member(reading: Reading, section: Section, key: Predicate | None) -> EpisodeMember | None:
    own = reading.predicate(section.node("key"), f"{section.what}: key") or key
    matches = reading.predicate(section.node("matches"), f"{section.what}: matches") or own
    kind = section.text("kind")
    first, last = (section.count(key) or 0 for key in ("from", "to"))
    if last < first:
        section.findings.add("episode.window", section.value_at("to"), what=section.what, first=first, last=last)
    if not kind or own is None or matches is None:
        return None
    return EpisodeMember(kind, own, matches, first, last)


def _facts(reading: Reading, entry: Section) -> dict[str, Predicate]:
    node = entry.node("facts")
    facts = node.entries if isinstance(node, Map) else {}
    found = {name: reading.predicate(one, f"{entry.what}: fact {name}") for name, one in facts.items()}
    return {name: one for name, one in found.items() if one is not None}
