"""YAML 1.2 read as nodes that know their place. Every scalar is text; our declarations type it, so ``no``, ``010``,
``2026-07-06`` and ``1e5`` survive as written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml.error import MarkedYAMLError, YAMLError

from connector.findings import Pair, found
from connector.mappings.lint_codes import CODES
from connector.mappings.pack import Place
from connector.mappings.yaml_composing import Composer, Mark, TooMuch
from connector.model import Finding, Severity

#: Largest YAML or CSV file of a pack, in bytes, and most nodes in one (aliases can multiply).
MAX_BYTES = 2_000_000
MAX_NODES = 100_000
MAX_DEPTH = 30
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")


@dataclass(frozen=True, slots=True)
class Scalar:
    """``straight``: on one line without escapes, so that a place inside the text is a place in the file."""

    text: str
    quoted: bool
    at: Place
    straight: bool = False

    @property
    def empty(self) -> bool:
        """``~``, ``null`` or nothing."""
        return not self.quoted and self.text in ("", "~", "null")

    def inside(self, position: int) -> Place:
        """The place of a character of the text, or of the whole where that cannot be told."""
        if not self.straight or not 0 <= position <= len(self.text):
            return self.at
        return Place(self.at.file, self.at.line, self.at.column + position + self.quoted)


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

    def add(self, code: str, at: Place, /, *, severity: Severity | None = None, **words: str | int | Pair) -> None:
        """The finding of a code of ``lint_codes``, with the words its text wants."""
        self.items.append(found(CODES, code, words, file=at.file, line=at.line, column=at.column, severity=severity))


def read_yaml(path: Path, name: str, findings: Findings) -> Any_ | None:
    """The nodes of one file, or None with a finding. ``name``: the path shown to people, relative to the pack."""
    at = Place(name, 1)
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            findings.add("file.too_big", at, name=name, most=MAX_BYTES)
            return None
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        findings.add("file.missing", at, name=name)
        return None
    except UnicodeDecodeError:
        findings.add("file.encoding", at, name=name)
        return None
    node, problems = _read(text, name)
    findings.items += problems
    return node


@lru_cache(maxsize=256)
def _read(text: str, name: str) -> tuple[Any_ | None, Sequence[Finding]]:
    """The nodes of a text, or None, and what was found. Kept, because a pack is read again by every command and most
    files are as before."""
    findings = Findings()
    at = Place(name, 1)
    try:
        node = Composer(text, _Make(name, findings), MAX_NODES, MAX_DEPTH).document()
        return (Map({}, {}, at) if node is None else node), findings.items
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark:
            at = Place(name, mark.line + 1, mark.column + 1)
        findings.add("yaml.syntax", at, problem=str(error.problem or "").strip())
    except (YAMLError, ValueError, RecursionError) as error:
        findings.add("yaml.syntax", at, problem=type(error).__name__)
    except TooMuch:
        findings.add("yaml.too_big", at, name=name, most=MAX_NODES, deepest=MAX_DEPTH)
    return None, findings.items


class _Make:
    """Our nodes for the composer."""

    def __init__(self, file: str, findings: Findings) -> None:
        self.file = file
        self.findings = findings

    def place(self, mark: Mark) -> Place:
        return Place(self.file, mark.line + 1, mark.column + 1)

    def scalar(self, text: str, style: str | None, start: Mark, end: Mark) -> Scalar:
        quotes = 2 if style in ("'", '"') else 0
        straight = style not in ("|", ">") and start.line == end.line and end.index - start.index == len(text) + quotes
        return Scalar(text, bool(style), self.place(start), straight)

    def sequence(self, items: list[Any], start: Mark) -> Seq:
        return Seq(tuple(items), self.place(start))

    def mapping(self, pairs: list[tuple[Any, Mark, Any]], start: Mark) -> Map:
        entries: dict[str, Any] = {}
        keys_at: dict[str, Place] = {}
        for key, mark, value in pairs:
            at = self.place(mark)
            if not isinstance(key, Scalar):
                self.findings.add("yaml.key", at)
            elif key.text in entries:
                self.findings.add("key.twice", at, key=key.text, line=keys_at[key.text].line)
            else:
                entries[key.text] = value
                keys_at[key.text] = at
        return Map(entries, keys_at, self.place(start))


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
