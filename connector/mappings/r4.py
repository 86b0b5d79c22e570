"""Is this dict a valid FHIR R4 (4.0.1) resource? A strict generated schema plus the four invariants it cannot say.

The schema is ``r4.schema.json.gz``, made by ``scripts/make_r4_schema.py`` from HL7's own definitions. It covers the
resource types we send; any other type is a problem. A message names the place and the rule and never repeats a value
of the resource, so it may be logged.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs


@dataclass(frozen=True, slots=True)
class Problem:
    """``path``: FHIRPath-like place, e.g. ``Observation.code.coding[0].system``."""

    path: str
    message: str


# ---------------------------------------------------------------- invariants (hl7.org/fhir/R4, "Constraints")


def _obs_6(node: Mapping[str, Any]) -> bool:
    return not any(key.startswith(("value", "_value")) for key in node)


def _per_1(node: Mapping[str, Any]) -> bool:
    """Two moments are compared as instants, else on the precision both have; a bad date is the schema's business."""
    start, end = node.get("start"), node.get("end")
    if not isinstance(start, str) or not isinstance(end, str):
        return True
    if "T" in start and "T" in end:
        try:
            return datetime.fromisoformat(start) <= datetime.fromisoformat(end)
        except (ValueError, TypeError):
            return True
    shared = min(len(start.partition("T")[0]), len(end.partition("T")[0]))
    return start[:shared] <= end[:shared]


def _prr_1(node: Mapping[str, Any]) -> bool:
    return "code" in node


def _cpt_2(node: Mapping[str, Any]) -> bool:
    return "system" in node or "_system" in node


#: invariant -> (type, the element without which it holds, test of the object, words)
_INVARIANTS: dict[str, tuple[str, str, Callable[[Mapping[str, Any]], bool], str]] = {
    "obs-6": ("Observation", "dataAbsentReason", _obs_6, "dataAbsentReason only where there is no value"),
    "per-1": ("Period", "end", _per_1, "start must not be after end"),
    "prr-1": ("ServiceRequest", "orderDetail", _prr_1, "orderDetail only where there is a code"),
    "cpt-2": ("ContactPoint", "value", _cpt_2, "a system is required if a value is provided"),
}


class _Invariant:
    """The keyword ``invariant`` of the schema: called only for objects that hold the element in question."""

    def __init__(self, parent: Mapping[str, Any], value: str, path: list[str | int]) -> None:
        *_, self.holds, words = _INVARIANTS[value]
        self.message = f"{value}: {words}"

    def validate(self, instance: Any) -> None:
        if isinstance(instance, Mapping) and not self.holds(instance):
            raise ValueError(self.message)


# ---------------------------------------------------------------- the schema


@cache
def _schema() -> dict[str, Any]:
    packed = files(__package__).joinpath("r4.schema.json.gz").read_bytes()
    schema: dict[str, Any] = json.loads(gzip.decompress(packed))
    return schema


@cache
def resource_types() -> frozenset[str]:
    """The resource types that can be checked."""
    return frozenset(_schema()["$defs"]["Resource"]["properties"]["resourceType"]["enum"])


def _compiled(resource_type: str, rule: Callable[[str], Any]) -> jsonschema_rs.Draft202012Validator:
    """``rule``: what becomes of an object that holds the element an invariant speaks of."""
    schema = _schema()
    defs = dict(schema["$defs"])
    for name, (owner, element, _, _) in _INVARIANTS.items():
        rules = defs[owner].get("dependentSchemas", {})
        defs[owner] = {**defs[owner], "dependentSchemas": {**rules, element: rule(name)}}
    root = {**schema, "$defs": defs, "$ref": f"#/$defs/{resource_type}"}
    options = jsonschema_rs.RegexOptions()
    if rule is _refused:  # a validator that knows a keyword of ours is slower, used or not
        return jsonschema_rs.Draft202012Validator(root, pattern_options=options)
    return jsonschema_rs.Draft202012Validator(root, pattern_options=options, keywords={"invariant": _Invariant})


def _checked(name: str) -> Any:
    return {"invariant": name}


def _refused(name: str) -> Any:
    return False


@cache
def _validator(resource_type: str) -> jsonschema_rs.Draft202012Validator:
    """Compiled at first use, some 60 ms. KeyError for a type that is not known."""
    if resource_type not in resource_types():
        raise KeyError(resource_type)
    return _compiled(resource_type, _checked)


@cache
def _quick(resource_type: str) -> jsonschema_rs.Draft202012Validator:
    """Refuses whatever is invalid and whatever an invariant has to look at; what it takes is valid."""
    if resource_type not in resource_types():
        raise KeyError(resource_type)
    return _compiled(resource_type, _refused)


def is_valid(resource: Mapping[str, Any]) -> bool:
    """True when ``problems`` would be empty; the fast path, some microseconds a resource."""
    try:
        resource_type = resource["resourceType"]
        return _quick(resource_type).is_valid(resource) or _validator(resource_type).is_valid(resource)
    except (KeyError, TypeError, ValueError):  # no known type, or not JSON at all
        return False


def problems(resource: Mapping[str, Any]) -> list[Problem]:
    """Everything that is wrong with ``resource``, in the order of the paths; empty when it is valid R4."""
    resource_type = resource.get("resourceType")
    if not isinstance(resource_type, str) or resource_type not in resource_types():
        return [Problem("resourceType", "not a resource type that is known here")]
    try:
        found = {
            Problem(_path(resource_type, error.instance_path), _words(error))
            for error in _validator(resource_type).iter_errors(resource)
        }
    except (TypeError, ValueError):
        return [Problem(resource_type, "holds what JSON cannot")]
    return sorted(found, key=lambda problem: (problem.path, problem.message))


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
        case "invariant":
            return error.message
        case "contains":
            return "no coding of the required value set"
        case "anyOf":
            missing = [e.kind.as_dict().get("property") for branch in detail["context"] for e in branch]
            names = sorted({str(name) for name in missing if name})
            if len(names) == 1:  # the rule of the primitive arrays: null holds a place for extensions only
                return f"null only beside {names[0]}"
            return f"one of {', '.join(names[:6])} is required" if names else "fits none of what may be there"
        case _:
            return f"breaks the rule {kind}"
