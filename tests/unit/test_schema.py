"""The schemas for editors and the check of Relais come from one declaration, and say the same of a file."""

from __future__ import annotations

from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from connector.mappings.pack import Place
from connector.mappings.pack_shapes import KINDS_OF_FILE, kind_of
from connector.mappings.schema import json_schema
from connector.mappings.yaml_nodes import Findings, Map, read_yaml

from .lint_plants import MARK, PLANTS, Plant
from .pack_copy import SHIPPED

FILES = sorted(path.relative_to(SHIPPED).as_posix() for path in SHIPPED.rglob("*.yaml"))
#: What a declaration alone can tell; the rest needs other files.
OF_SHAPE = ("key.unknown", "key.missing", "value.type", "value.choice", "value.format", "pack.id", "span.invalid")


def kind(file: str) -> str:
    return next(name for name, one in KINDS_OF_FILE.items() if one is kind_of(file))


@lru_cache(maxsize=32)
def validator(name: str) -> Any:
    return jsonschema_rs.Draft7Validator(json_schema(name))


def as_an_editor_sees(text: str) -> Any:
    """YAML 1.2 with typed values, dates left as text as an editor's parser does."""
    yaml = YAML(typ="safe", pure=True)
    yaml.constructor.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)
    return yaml.load(StringIO(text))


@pytest.mark.again
@pytest.mark.parametrize("file", FILES)
def test_the_shipped_pack_is_valid_for_an_editor_too(file: str) -> None:
    document = as_an_editor_sees((SHIPPED / file).read_text("utf-8"))
    errors = [(list(one.instance_path), one.message) for one in validator(kind(file)).iter_errors(document)]
    assert errors == []


SHAPE_PLANTS = [one for one in PLANTS if one.code in OF_SHAPE and one.do is None]


def test_there_are_mistakes_to_try() -> None:
    assert {one.code for one in SHAPE_PLANTS} == set(OF_SHAPE)


@pytest.mark.again
@pytest.mark.parametrize("plant", SHAPE_PLANTS, ids=lambda plant: plant.code)
def test_a_mistake_of_shape_is_one_for_both(plant: Plant, tmp_path: Path) -> None:
    text = (SHIPPED / plant.file).read_text("utf-8")
    assert plant.right in text
    text = text.replace(plant.right, plant.wrong.replace(MARK, ""), 1)
    for name, old, new in plant.more:
        assert name == plant.file and old in text
        text = text.replace(old, new, 1)
    (tmp_path / "file.yaml").write_text(text, "utf-8")
    findings = Findings()
    node = read_yaml(tmp_path / "file.yaml", plant.file, findings)
    assert isinstance(node, Map) and node.at == Place(plant.file, node.at.line, 1)
    KINDS_OF_FILE[kind(plant.file)].shape.conform(node, findings, "")
    assert plant.code in [one.code for one in findings.items]
    assert not validator(kind(plant.file)).is_valid(as_an_editor_sees(text))


def test_every_key_of_every_kind_says_what_it_is_for() -> None:
    """Completion in an editor shows the words: French and English."""

    def keys(schema: Any) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        if isinstance(schema, dict):
            for name, one in schema.get("properties", {}).items():
                found.append((name, one))
            for one in schema.values():
                found += keys(one)
        elif isinstance(schema, list):
            for one in schema:
                found += keys(one)
        return found

    for name in ("indicators", "dhis2", "categories", "connector"):
        said = [one for key, one in keys(json_schema(name)) if key not in ("fr", "en") and isinstance(one, dict)]
        described = [one for one in said if " / " in one.get("description", "")]
        assert len(described) >= 0.8 * len(said) > 0, name
