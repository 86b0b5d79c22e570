"""``relais test --accept``: what an example gave is written in the place of what it expected.

Only the value of ``expect`` (or ``option``) of a failing example is replaced, by its place in the text, so comments,
order and everything else around it are untouched; comments between its key and its end are lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from connector.mappings.examples import Correction

_PLAIN = re.compile(r"\d{4}-\d\d-\d\d|[A-Za-zÀ-ÿ_][\w .À-ÿ/+:-]*[\w+]|[A-Za-zÀ-ÿ_]")
_TYPED = re.compile(r"(?i)true|false|null|yes|no|on|off|~")
#: Longest line that is written in one.
WIDTH = 118


def accept(folder: Path, corrections: Sequence[Correction]) -> list[str]:
    """Write the corrections down. Returns the files changed."""
    changed = []
    for name in dict.fromkeys(one.file for one in corrections):
        path = folder / name
        raw = path.read_bytes().decode("utf-8")
        text = _replaced(raw, [one for one in corrections if one.file == name])
        if text != raw:
            part = path.with_name(path.name + ".part")
            part.write_bytes(text.encode("utf-8"))
            part.replace(path)
            changed.append(name)
    return changed


def _replaced(text: str, corrections: Iterable[Correction]) -> str:
    wanted = {one.line: one for one in corrections}
    places = []
    for example in _examples(text):
        one = wanted.get(example.start_mark.line + 1)
        if one is None:
            continue
        for key, value in example.value:
            if isinstance(key, ScalarNode) and key.value == one.key:
                places.append((key, value, _written(one.value, key.start_mark.column, _room(example, value))))
    for key, value, written in reversed(places):  # from the end, so that places before it stay where they are
        colon = text.index(":", key.end_mark.index)
        text = text[: colon + 1] + written + text[_end(text, value) :]
    return text


def _room(example: Node, value: Node) -> int | None:
    """Letters for the value on the line of its key, 0 to begin below it; None: one line, however long."""
    if _flow(example):
        return None
    return WIDTH if _flow(value) else 0


def _examples(text: str) -> Iterator[MappingNode]:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    top = yaml.compose(text.removeprefix("\ufeff"))
    for key, value in top.value if isinstance(top, MappingNode) else ():
        if key.value == "examples" and isinstance(value, SequenceNode):
            yield from (one for one in value.value if isinstance(one, MappingNode))


def _flow(node: Node) -> bool:
    return bool(getattr(node, "flow_style", True))


def _end(text: str, node: Node) -> int:
    """Where a value ends; a block's mark lies after the blank lines and comments that follow it."""
    if _flow(node):
        return int(node.end_mark.index)
    last = node.value[-1] if node.value else node
    while isinstance(last, tuple) or not _leaf(last):
        last = last[1] if isinstance(last, tuple) else last.value[-1]
    return int(last.end_mark.index)


def _leaf(node: Node) -> bool:
    return isinstance(node, ScalarNode) or _flow(node) or not node.value


def _written(value: Any, indent: int, room: int | None) -> str:
    """The value as it stands after the colon of its key: on that line where there is room, else below it."""
    line = _line(value)
    if not isinstance(value, dict) or not value or room is None or len(line) + indent < room:
        return " " + line
    pad = "\n" + " " * (indent + 2)
    rows = (f"{pad}{_line(key)}:{_written(one, indent + 2, WIDTH - 20)}" for key, one in value.items())
    return "".join(rows)


def _line(value: Any) -> str:
    if value is None:
        return "~"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_line(str(key))}: {_line(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_line, value)) + "]"
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and not _TYPED.fullmatch(value) and ": " not in value
        return value if plain else json.dumps(value, ensure_ascii=False)
    return str(value)
