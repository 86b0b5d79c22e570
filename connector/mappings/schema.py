"""JSON Schema (draft 07) of every YAML file of a pack, from the declarations the readers use: for editors."""

from __future__ import annotations

from typing import Any

from connector.mappings.pack_shapes import KINDS_OF_FILE
from connector.mappings.shapes import Making

#: What an editor's setting calls the file of a schema.
ENDING = ".schema.json"


def json_schema(kind: str) -> dict[str, Any]:
    """The schema of one kind of file (``KINDS_OF_FILE``). In ``connector.yaml`` a ``${NAME}`` may stand for a value."""
    declared = KINDS_OF_FILE[kind]
    making = Making(references=kind == "connector")
    made = declared.shape.schema(making, empty=False)
    french, english = declared.says
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"Relais: {', '.join(declared.files)}",
        "description": f"{french} / {english}",
        **made,
        **({"definitions": making.defined} if making.defined else {}),
    }


def editor_settings(folder: str) -> dict[str, list[str]]:
    """``yaml.schemas`` of an editor: schema file -> the files of a pack it is for. ``folder``: where the schemas lie.
    Examples come after the mappings they lie beside, whose patterns fit them too."""
    return {f"{folder}/{kind}{ENDING}": _patterns(kind) for kind in KINDS_OF_FILE}


def _patterns(kind: str) -> list[str]:
    """Patterns of the kind; those of examples are taken out of the kinds whose patterns they fit too."""
    out: list[str] = []
    for pattern in KINDS_OF_FILE[kind].files:
        out.append(pattern)
        if "*" in pattern and not pattern.endswith(".test.yaml"):
            out.append(f"!{pattern.removesuffix('.yaml')}.test.yaml")
    return out
