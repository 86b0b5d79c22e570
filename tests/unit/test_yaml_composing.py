"""Our reading of YAML gives what ruamel gives, values and places, for whatever a file may hold."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from connector.mappings.yaml_composing import Composer, TooMuch

PACK = Path(__file__).parents[2] / "config/mali-health"
ODD = [
    "", "# nothing\n", "a", "a:\n", "- a\n-\n- ~\n", "a: b\nc: 'd''e'\nf: \"g\\n\\u00e9\"\n",
     "a: |\n  one\n  two\nb: >-\n  x\n  y\n",
    "a:\n- 1\n- 2\nb: 3\n", "{a: [1, {b: c}], ? d : e}", "a: &x [1, 2]\nb: *x\nc: *x\n",
     "a: one\n  two\n  three # not\nb: x#y\n",
    "a: !!str 5\n", "%YAML 1.2\n---\na: 1\n...\n", "a : b:c\nd: http://x.org/?a=b&c=d\n", "[a, b, ]",
     "a: [x y, z: 1]\n",
    "\ufeffa: 1\n", "a: 1\r\nb: 2\r\n", "é: à\nlong: " + "x" * 2000 + "\n", "a: ${NAME:-b}\n", "- - a\n  - b\n- c\n",
    "a: {b: }\n", "'a b': c\n", "a: - b\n", "a: b\n c: d\n", "a: [b\n", "\ta: b\n", "a: 'x\n", "a: *x\n",
     "---\na: 1\n---\nb: 2\n",
    "a: @b\n", "a: `b`\n", "? [a]\n: b\n", "a: {x:y}\n", "a: {x: y:}\n", "key: value: x\n", "a: 1\na: 2\n",
     "- a: 1\n  b: 2\n-   c: 3\n",
]  # fmt: skip


class Made:
    """Nodes as tuples, with their places."""

    def scalar(self, text: str, style: str | None, start: Any, end: Any) -> Any:
        return ("scalar", text, bool(style), start.line, start.column)

    def sequence(self, items: list[Any], start: Any) -> Any:
        return ("sequence", start.line, start.column, items)

    def mapping(self, pairs: list[Any], start: Any) -> Any:
        return (
            "mapping",
            start.line,
            start.column,
            [(key, mark.line, mark.column, value) for key, mark, value in pairs],
        )


def theirs(node: Any) -> Any:
    if node is None:
        return None
    line, column = node.start_mark.line, node.start_mark.column
    if isinstance(node, ScalarNode):
        return ("scalar", node.value, bool(node.style), line, column)
    if isinstance(node, SequenceNode):
        return ("sequence", line, column, [theirs(item) for item in node.value])
    assert isinstance(node, MappingNode)
    pairs = [(theirs(k), k.start_mark.line, k.start_mark.column, theirs(v)) for k, v in node.value]
    return ("mapping", line, column, pairs)


def same(text: str) -> None:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    try:
        wanted: Any = theirs(yaml.compose(text))
    except YAMLError as error:
        wanted = type(error)
        with pytest.raises(YAMLError):
            Composer(text, Made(), 10_000, 100).document()
        return
    assert Composer(text, Made(), 10_000, 100).document() == wanted


@pytest.mark.parametrize("path", sorted(PACK.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_file_of_the_pack(path: Path) -> None:
    same(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", ODD)
def test_odd_texts(text: str) -> None:
    same(text)


_words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
_values = st.recursive(
    _words | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_words, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(_values, st.booleans(), st.integers(20, 100))
def test_whatever_ruamel_writes(value: Any, flow: bool, width: int) -> None:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width = flow, width
    written = io.StringIO()
    yaml.dump(value, written)
    same(written.getvalue())


@settings(max_examples=120, deadline=None)
@given(st.text(st.sampled_from(list("ab:-,[]{}'\"#&*!|>%@?\n ~x")), max_size=24))
def test_any_letters(text: str) -> None:
    same(text)


@pytest.mark.parametrize("text", ["[" * 50 + "]" * 50, "a: &a [x]\nb: [" + ", ".join(["*a"] * 9) + "]"])
def test_more_than_a_file_has_stops_it(text: str) -> None:
    with pytest.raises(TooMuch):
        Composer(text, Made(), 15, 40).document()
