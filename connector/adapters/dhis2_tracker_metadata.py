"""DHIS2's metadata behind the codes of ``tracker.yaml``: one program with its attributes, stages and org units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connector.adapters.dhis2_metadata import UID, UNIT_FIELDS, Unit, units_of

FIELDS = (
    f"id,code,programType,access[data[write]],trackedEntityType[id],{UNIT_FIELDS},"
    "programTrackedEntityAttributes[mandatory,trackedEntityAttribute[id,code,valueType,unique]],"
    "programStages[id,code,name,repeatable,programStageDataElements[compulsory,dataElement[id,code,valueType]]]"
)


@dataclass(frozen=True, slots=True)
class Field:
    """An attribute of the program or a data element of a stage."""

    id: str
    value_type: str
    needed: bool  #: the server refuses without it (E1018, E1303)
    unique: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    id: str
    repeatable: bool
    elements: Mapping[str, Field]  #: by code


@dataclass(frozen=True, slots=True)
class Program:
    id: str
    entity_type: str  #: "" of a program without registration
    writable: bool
    units: Mapping[str, Unit]  #: by code
    attributes: Mapping[str, Field]  #: by code
    stages: Mapping[str, Stage]  #: by code and by UID: many servers give stages no code


def program_of(wire: Mapping[str, Any]) -> Program:
    """From ``GET /api/programs?fields=FIELDS``. Raises KeyError, TypeError or AttributeError when the answer is not of
    that shape."""
    attributes = {}
    for entry in wire.get("programTrackedEntityAttributes", ()):
        one = entry["trackedEntityAttribute"]
        if one.get("code"):
            attributes[str(one["code"])] = _field(one, entry.get("mandatory"), bool(one.get("unique")))
    stages = {}
    for entry in wire["programStages"]:
        elements = {}
        for inner in entry.get("programStageDataElements", ()):
            one = inner["dataElement"]
            if one.get("code"):
                elements[str(one["code"])] = _field(one, inner.get("compulsory"), False)
        stage = Stage(_id(entry), bool(entry.get("repeatable")), elements)
        stages[stage.id] = stage
        if entry.get("code"):
            stages[str(entry["code"])] = stage
    kind = wire.get("trackedEntityType")
    return Program(
        id=_id(wire),
        entity_type=_id(kind) if kind else "",
        writable=bool(wire.get("access", {}).get("data", {}).get("write", True)),
        units=units_of({"organisationUnits": wire["organisationUnits"]}),
        attributes=attributes,
        stages=stages,
    )


def _field(wire: Mapping[str, Any], needed: Any, unique: bool) -> Field:
    return Field(_id(wire), str(wire.get("valueType", "")), bool(needed), unique)


def _id(wire: Mapping[str, Any]) -> str:
    if not isinstance(wire["id"], str) or not UID.fullmatch(wire["id"]):
        raise TypeError("not a UID")
    return wire["id"]
