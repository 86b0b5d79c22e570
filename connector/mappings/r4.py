"""Is this dict a valid FHIR R4 (4.0.1) resource? A strict generated schema plus the four invariants it cannot say.

The schema is ``r4.schema.json.gz``, made by ``scripts/make_r4_schema.py`` from HL7's own definitions. It covers the
resource types we send; any other type is a problem. A message names the place and the rule and never repeats a value
of the resource, so it may be logged.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs
import orjson

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """``path``: FHIRPath-like place, e.g. ``Observation.code.coding[0].system``."""

    path: str
    message: str


@cache
def _schema() -> dict[str, Any]:
    packed = files(__package__).joinpath("r4.schema.json.gz").read_bytes()
    schema: dict[str, Any] = json.loads(gzip.decompress(packed))
    return schema


@cache
def resource_types() -> frozenset[str]:
    """The resource types that can be checked."""
    return frozenset(_schema()["$defs"]["Resource"]["properties"]["resourceType"]["enum"])


@cache
def _validator(resource_type: str) -> jsonschema_rs.Draft202012Validator:
    # compiled at first use: 60 ms a type
    return jsonschema_rs.Draft202012Validator(
        {**_schema(), "$ref": f"#/$defs/{resource_type}"}, pattern_options=jsonschema_rs.RegexOptions()
    )


def is_valid(resource: Mapping[str, Any]) -> bool:
    """True when ``problems`` would be empty; the fast path, some microseconds a resource."""
    resource_type = resource.get("resourceType")
    if resource_type not in resource_types():
        return False
    return _validator(resource_type).is_valid(resource) and next(_broken_invariants(resource), None) is None


def problems(resource: Mapping[str, Any]) -> list[Problem]:
    """Everything that is wrong with ``resource``, in the order of its paths; empty when it is valid R4."""
    resource_type = resource.get("resourceType")
    if resource_type not in resource_types():
        return [Problem("resourceType", "not a resource type that is known here")]
    found = [
        Problem(_path(resource_type, error.instance_path), _words(error))
        for error in _validator(resource_type).iter_errors(resource)
    ]
    found += _broken_invariants(resource)
    return sorted(set(found), key=lambda problem: (problem.path, problem.message))


# ---------------------------------------------------------------- invariants (hl7.org/fhir/R4, per resource)

#: What must stand in the JSON text before a resource is walked for an invariant: most resources skip the walk.
_MARKS = (b'"dataAbsentReason":', b'"end":', b'"orderDetail":', b'"telecom":', b'ContactPoint":')


def _broken_invariants(resource: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        text = orjson.dumps(resource)
    except TypeError:  # not JSON at all: the schema has said so
        return
    if any(mark in text for mark in _MARKS):
        yield from _walk(str(resource.get("resourceType")), resource)


def _walk(path: str, node: Any) -> Iterator[Problem]:
    if isinstance(node, Mapping):
        for holds, problem in _INVARIANTS:
            if not holds(node):
                yield Problem(path, problem)
        for key, child in node.items():
            if isinstance(child, Mapping | list):
                yield from _walk(f"{path}.{key}", child)
                if key == "telecom" or key.endswith("ContactPoint"):
                    points = child if isinstance(child, list) else [child]
                    if any(isinstance(p, Mapping) and "value" in p and "system" not in p for p in points):
                        yield Problem(f"{path}.{key}", "cpt-2: a system is required if a value is provided")
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _walk(f"{path}[{index}]", child)


def _obs_6(node: Mapping[str, Any]) -> bool:
    return "dataAbsentReason" not in node or not any(key.startswith(("value", "_value")) for key in node)


def _per_1(node: Mapping[str, Any]) -> bool:
    """Compared on the precision both have; with a time on both, as instants."""
    start, end = node.get("start"), node.get("end")
    if not isinstance(start, str) or not isinstance(end, str):
        return True
    if "T" in start and "T" in end:
        from datetime import datetime

        try:
            return datetime.fromisoformat(start) <= datetime.fromisoformat(end)
        except (ValueError, TypeError):  # a bad date is the schema's business
            return True
    shared = min(len(start.partition("T")[0]), len(end.partition("T")[0]))
    return start[:shared] <= end[:shared]


def _prr_1(node: Mapping[str, Any]) -> bool:
    return node.get("resourceType") != "ServiceRequest" or "orderDetail" not in node or "code" in node


_INVARIANTS: tuple[tuple[Callable[[Mapping[str, Any]], bool], str], ...] = (
    (_obs_6, "obs-6: dataAbsentReason only where there is no value"),
    (_per_1, "per-1: start must not be after end"),
    (_prr_1, "prr-1: orderDetail only where there is a code"),
)


# ---------------------------------------------------------------- words


def _path(resource_type: str, steps: list[str | int]) -> str:
    return resource_type + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _words(error: jsonschema_rs.ValidationError) -> str:
    """The rule that is broken, in words, without the value that breaks it."""
    kind, detail = error.kind.name, error.kind.as_dict()
    match kind:
        case "required":
            return f"{detail['property']} is required"
        case "additionalProperties":
            # a name outside R4 may itself be a slip of personal data: only its number is told
            return f"{len(detail['unexpected'])} element(s) that R4 does not have here"
        case "type":
            return f"must be of type {' or '.join(detail['types'])}"
        case "enum" | "constant":
            return "not a code (or type) of the required list"
        case "pattern":
            return "not written as its type demands"
        case "minItems" | "minProperties" | "minLength":
            return "must not be empty"
        case "falseSchema":
            return "only one of the choices [x] may be there"
        case "contains":
            return "no coding of the required value set"
        case "anyOf":
            missing = [e.kind.as_dict().get("property") for branch in detail["context"] for e in branch]
            names = sorted({str(name) for name in missing if name})
            return f"one of {', '.join(names[:6])} is required" if names else "null only beside its _ twin"
        case _:
            return f"breaks the rule {kind}"
