"""Reading ``tracker.yaml``: which activities become events of a DHIS2 program. A pack needs none."""

from __future__ import annotations

from connector.identity import digest
from connector.mappings import pack_shapes as shapes
from connector.mappings.config_reading import Reading
from connector.mappings.pack import Sent, Tracker, TrackerStage
from connector.mappings.sections import Section, mapping
from connector.mappings.yaml_nodes import Map, Scalar, plain


def read_tracker(reading: Reading, name: str = "tracker.yaml") -> Tracker:
    top = reading.file(name, shapes.TRACKER)
    stages: list[TrackerStage] = []
    first: dict[tuple[str, str], int] = {}
    for entry in top.sections("stages"):
        stage = TrackerStage(entry.text("id"), entry.text("activity"), _sent(entry, "data_elements"))
        told = (stage.stage, stage.activity)
        if told in first:  # each record would be two events with one identifier
            at, line = entry.value_at("activity"), first[told]
            reading.findings.add("id.twice", at, name=f"{stage.stage}: {stage.activity}", first=name, line=line)
            continue
        first[told] = entry.at.line
        if all(told):
            stages.append(stage)
    return Tracker(
        program=top.text("program"),
        level=top.text("level"),
        attributes=_sent(top, "attributes"),
        stages=tuple(stages),
        version=digest(plain(top.map))[:16],
    )


def _sent(section: Section, key: str) -> dict[str, Sent]:
    node = section.node(key)
    found: dict[str, Sent] = {}
    for code, one in node.entries.items() if isinstance(node, Map) else ():
        if isinstance(one, Scalar) and not one.empty:
            found[code] = Sent(one.text)
        elif isinstance(one, Map) and isinstance(fact := one.entries.get("fact"), Scalar):
            found[code] = Sent(fact.text, mapping(one.entries.get("codes")))
    return found
