"""YAML 1.2 read as nodes that know their line. Every scalar is text; our schema types it, so ``no``, ``010``,
``2026-07-06`` and ``1e5`` survive as written.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from connector.mappings.pack import Place
from connector.model import Finding, Severity

#: Largest YAML or CSV file of a pack, in bytes, and most nodes in one (aliases can multiply).
MAX_BYTES = 2_000_000
MAX_NODES = 100_000
MAX_DEPTH = 30
_COUNT = re.compile(r"\d{1,6}")
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")


@dataclass(frozen=True, slots=True)
class Scalar:
    text: str
    quoted: bool
    at: Place

    @property
    def empty(self) -> bool:
        """``~``, ``null`` or nothing."""
        return not self.quoted and self.text in ("", "~", "null")


@dataclass(frozen=True, slots=True)
class Seq:
    items: tuple[Any, ...]
    at: Place


@dataclass(frozen=True, slots=True)
class Map:
    entries: dict[str, Any]
    keys_at: dict[str, Place]
    at: Place


Any_ = Scalar | Seq | Map


@dataclass(slots=True)
class Findings:
    """What was found wrong so far, in reading order."""

    items: list[Finding] = field(default_factory=list)

    def add(self, code: str, at: Place, message: str, fix: str = "", severity: Severity = Severity.ERROR) -> None:
        self.items.append(Finding(code, severity, message, fix, at.file, at.line))

    def warn(self, code: str, at: Place, message: str, fix: str = "") -> None:
        self.add(code, at, message, fix, Severity.WARNING)


def nearest(name: str, known: Iterable[str]) -> str:
    """``Did you mean ...?`` for a name that is not known, or the names that are."""
    names = list(known)
    close = difflib.get_close_matches(name, names, 1, 0.6)
    if close:
        return f"Did you mean {close[0]}?"
    return f"Known: {', '.join(names[:20])}" if names else ""


@lru_cache(maxsize=64)
def _compose(text: str) -> Node | None:
    """The node graph of a text. Kept, because a pack is read again by every command and most files are as before."""
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    node: Node | None = yaml.compose(text)
    return node


def read_yaml(path: Path, name: str, findings: Findings) -> Any_ | None:
    """The nodes of one file, or None with a finding. ``name``: the path shown to people, relative to the pack."""
    at = Place(name, 1)
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            findings.add("file.too_big", at, f"{name} is larger than {MAX_BYTES} bytes", "Split it.")
            return None
        node = _compose(raw.decode("utf-8-sig"))
    except FileNotFoundError:
        findings.add("file.missing", at, f"{name} does not exist", "Create the file.")
        return None
    except UnicodeDecodeError:
        findings.add("file.encoding", at, f"{name} is not UTF-8", "Save the file as UTF-8.")
        return None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        findings.add("yaml.syntax", Place(name, line), f"not readable as YAML: {error.problem}", "Mend this line.")
        return None
    except (YAMLError, ValueError, RecursionError) as error:
        findings.add("yaml.syntax", at, f"not readable as YAML: {type(error).__name__}", "Mend the file.")
        return None
    if node is None:
        return Map({}, {}, at)
    try:
        return _Converter(name, findings).convert(node, 0)
    except _TooMuch:
        findings.add("yaml.too_big", at, f"{name} has too many or too deeply nested values", "Split it.")
        return None


class _TooMuch(Exception):
    pass


class _Converter:
    def __init__(self, file: str, findings: Findings) -> None:
        self.file = file
        self.findings = findings
        self.count = 0

    def convert(self, node: Node, depth: int) -> Any_:
        self.count += 1
        if depth > MAX_DEPTH or self.count > MAX_NODES:
            raise _TooMuch
        at = Place(self.file, node.start_mark.line + 1)
        if isinstance(node, ScalarNode):
            return Scalar(str(node.value), node.style in ("'", '"', "|", ">"), at)
        if isinstance(node, SequenceNode):
            return Seq(tuple(self.convert(item, depth + 1) for item in node.value), at)
        assert isinstance(node, MappingNode)
        entries: dict[str, Any] = {}
        keys_at: dict[str, Place] = {}
        for key_node, value_node in node.value:
            key_at = Place(self.file, key_node.start_mark.line + 1)
            if not isinstance(key_node, ScalarNode):
                self.findings.add("yaml.key", key_at, "a key must be a word", "Write  name: value")
                continue
            key = str(key_node.value)
            if key in entries:
                self.findings.add("key.twice", key_at, f"{key} is given twice", f"First at line {keys_at[key].line}.")
                continue
            entries[key] = self.convert(value_node, depth + 1)
            keys_at[key] = key_at
        return Map(entries, keys_at, at)


def plain(node: Any_) -> Any:
    """The node as plain data: quoted scalars stay text, ``true``/``false``/integers are typed, the rest is text."""
    if isinstance(node, Map):
        return {key: plain(value) for key, value in node.entries.items()}
    if isinstance(node, Seq):
        return [plain(item) for item in node.items]
    if node.quoted:
        return node.text
    if node.empty:
        return None
    if node.text in ("true", "false"):
        return node.text == "true"
    return int(node.text) if _INTEGER.fullmatch(node.text) else node.text


class Section:
    """A mapping being read by our schema: each ``take`` uses one key, ``done`` reports what nobody took."""

    def __init__(self, node: Any_ | None, at: Place, findings: Findings, what: str) -> None:
        self.findings = findings
        self.what = what
        self.at = node.at if node is not None else at
        self.taken: list[str] = []
        self.map: Map = node if isinstance(node, Map) else Map({}, {}, self.at)
        if node is not None and not isinstance(node, Map):
            findings.add("value.type", self.at, f"{what} must be a list of  name: value", "")

    def __contains__(self, key: str) -> bool:
        return key in self.map.entries

    def node(self, key: str, *, required: bool = False) -> Any_ | None:
        self.taken.append(key)
        found: Any_ | None = self.map.entries.get(key)
        if isinstance(found, Scalar) and found.empty:
            found = None
        if found is None and required:
            self.findings.add("key.missing", self.at, f"{self.what}: {key} is missing", f"Add  {key}: ...")
        return found

    def place(self, key: str) -> Place:
        return self.map.keys_at.get(key, self.at)

    def text(self, key: str, default: str = "", *, required: bool = False, among: Iterable[str] = ()) -> str:
        node = self.node(key, required=required)
        if node is None:
            return default
        if not isinstance(node, Scalar):
            self.findings.add("value.type", node.at, f"{self.what}: {key} must be one value", "")
            return default
        names = list(among)
        if names and node.text not in names:
            message = f"{self.what}: {key} cannot be {node.text!r}"
            self.findings.add("value.choice", node.at, message, nearest(node.text, names))
            return default
        return node.text

    def maybe(self, key: str) -> str | None:
        return self.text(key) or None

    def flag(self, key: str, default: bool = False) -> bool:
        text = self.text(key, "true" if default else "false", among=("true", "false"))
        return text == "true"

    def count(self, key: str) -> int | None:
        """A whole number, nought or more."""
        text = self.text(key)
        if text and not _COUNT.fullmatch(text):
            self.findings.add("value.type", self.place(key), f"{self.what}: {key} must be a whole number", "Write  5")
            return None
        return int(text) if text else None

    def names(self, key: str, *, required: bool = False) -> list[str]:
        """One word or a list of words."""
        node = self.node(key, required=required)
        if node is None:
            return []
        if isinstance(node, Scalar):
            return [node.text]
        if isinstance(node, Seq) and all(isinstance(item, Scalar) for item in node.items):
            return [item.text for item in node.items]
        self.findings.add("value.type", node.at, f"{self.what}: {key} must be a list of words", "Write  [one, two]")
        return []

    def texts(self, key: str, *, required: bool = False) -> dict[str, str]:
        """A name in several languages, or one word for all of them."""
        node = self.node(key, required=required)
        if node is None:
            return {}
        if isinstance(node, Scalar):
            return {"fr": node.text}
        return words(node, self.findings, f"{self.what}: {key}")

    def section(self, key: str, *, required: bool = False) -> Section:
        return Section(self.node(key, required=required), self.place(key), self.findings, f"{self.what}: {key}")

    def sections(self, key: str, *, required: bool = False) -> list[Section]:
        """A list of mappings."""
        return list(sections(self.node(key, required=required), self.findings, f"{self.what}: {key}"))

    def rest(self) -> dict[str, Any_]:
        """What is left, all taken."""
        left = {key: value for key, value in self.map.entries.items() if key not in self.taken}
        self.taken.extend(left)
        return left

    def done(self) -> None:
        for key in self.map.entries:
            if key not in self.taken:
                self.findings.add(
                    "key.unknown",
                    self.place(key),
                    f"{self.what}: {key} is not known here",
                    nearest(key, dict.fromkeys(self.taken)),
                )


def words(node: Any_, findings: Findings, what: str) -> dict[str, str]:
    """A mapping of text to text."""
    if not isinstance(node, Map):
        findings.add("value.type", node.at, f"{what} must be a list of  name: value", "")
        return {}
    found = {}
    for key, value in node.entries.items():
        if isinstance(value, Scalar):
            found[key] = value.text
        else:
            findings.add("value.type", value.at, f"{what}: {key} must be one value", "")
    return found


def sections(node: Any_ | None, findings: Findings, what: str) -> Iterator[Section]:
    if node is None:
        return
    if not isinstance(node, Seq):
        findings.add("value.type", node.at, f"{what} must be a list", "Start each entry with  -")
        return
    for number, item in enumerate(node.items, 1):
        name = item.entries.get("id") if isinstance(item, Map) else None
        label = name.text if isinstance(name, Scalar) else f"entry {number}"
        yield Section(item, item.at, findings, f"{what} {label}")
