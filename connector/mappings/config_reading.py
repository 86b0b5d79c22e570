"""What all readers of a pack share: its folder and zone, the findings so far, expressions and tables."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from connector.findings import nearest
from connector.mappings.expressions import Compiled, ExpressionError, compile_expression
from connector.mappings.pack import Place, Predicate
from connector.mappings.sections import Section, read_section
from connector.mappings.shapes import Shape
from connector.mappings.yaml_nodes import MAX_BYTES, Any_, Findings, Scalar


@dataclass
class Reading:
    """The pack being read: its folder, zone and findings, and the tables used by the file at hand."""

    folder: Path
    zone: str
    findings: Findings
    tables: dict[str, dict[str, str | None]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def file(self, name: str, shape: Shape) -> Section:
        """One file of the pack by its declaration."""
        return read_section(self.folder, name, self.findings, shape)

    def compile(self, node: Scalar, what: str, text: str | None = None) -> Compiled | None:
        """The expression of a scalar, or a longer one made of it."""
        try:
            return compile_expression(node.text if text is None else text, zone=self.zone)
        except ExpressionError as error:
            at = node.at if text is not None or error.position is None else node.inside(error.position)
            self.findings.add("expression.syntax", at, what=what, problem=str(error))
            return None

    def predicate(self, node: Any_ | None, what: str) -> Predicate | None:
        if not isinstance(node, Scalar):
            return None
        compiled = self.compile(node, what)
        return Predicate(node.text, compiled, at=node.at) if compiled else None

    def table(self, name: str, at: Place) -> dict[str, str | None]:
        """A two-column CSV of the pack: what the form writes -> what it means (``~`` or empty: not asked)."""
        self.used.add(name)
        if name not in self.tables:
            self.tables[name] = {}
            path = (self.folder / name).resolve()
            if not path.is_relative_to(self.folder.resolve()) or not path.is_file():
                there = [one.relative_to(self.folder).as_posix() for one in sorted(self.folder.glob("tables/*.csv"))]
                self.findings.add("table.missing", at, name=name, nearest=nearest(name, there))
            else:
                self.tables[name] = self._rows(path, name)
        return self.tables[name]

    def _rows(self, path: Path, name: str) -> dict[str, str | None]:
        if path.stat().st_size > MAX_BYTES:
            self.findings.add("file.too_big", Place(name, 1), name=name, most=MAX_BYTES)
            return {}
        found: dict[str, str | None] = {}
        seen: dict[str, int] = {}
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            for row in reader:
                at = Place(name, reader.line_num)
                if reader.line_num == 1 or not row or row[0].startswith("#"):
                    continue
                if len(row) != 2:
                    self.findings.add("csv.row", at, count=len(row), wanted=2)
                    continue
                answer, meaning = row[0].strip(), row[1].strip()
                if answer in seen:
                    self.findings.add("table.twice", at, answer=answer, line=seen[answer])
                seen[answer] = reader.line_num
                found[answer] = None if meaning in ("", "~") else meaning
        return found


def files(folder: Path, pattern: str) -> Sequence[str]:
    """Mapping files of the pack by name, without the examples beside them."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.glob(pattern) if not path.name.endswith(".test.yaml")
    )
