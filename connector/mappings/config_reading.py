"""What all readers of a pack share: its folder and zone, the findings so far, expressions and tables."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from connector.mappings.expressions import Compiled, ExpressionError, compile_expression
from connector.mappings.pack import (
    Place,
    Predicate,
)
from connector.mappings.yaml_nodes import (
    MAX_BYTES,
    Any_,
    Findings,
    Scalar,
)


@dataclass
class Reading:
    """The pack being read: its folder, zone and findings, and the tables used by the file at hand."""

    folder: Path
    zone: str
    findings: Findings
    tables: dict[str, dict[str, str | None]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def compile(self, text: str, at: Place, what: str) -> Compiled | None:
        try:
            return compile_expression(text, zone=self.zone)
        except ExpressionError as error:
            self.findings.add("expression.syntax", at, f"{what}: {error}", "See jsonata.org for the language.")
            return None

    def predicate(self, node: Any_ | None, what: str) -> Predicate | None:
        if node is None:
            return None
        if not isinstance(node, Scalar):
            self.findings.add("value.type", node.at, f"{what} must be an expression", "")
            return None
        compiled = self.compile(node.text, node.at, what)
        return Predicate(node.text, compiled, at=node.at) if compiled else None

    def table(self, name: str, at: Place) -> dict[str, str | None]:
        """A two-column CSV of the pack: what the form writes -> what it means (``~`` or empty: not asked)."""
        self.used.add(name)
        if name not in self.tables:
            self.tables[name] = {}
            path = (self.folder / name).resolve()
            if not path.is_relative_to(self.folder.resolve()) or not path.is_file():
                self.findings.add("table.missing", at, f"there is no table {name}", "Create it, or mend the path.")
            else:
                self.tables[name] = self._rows(path, name)
        return self.tables[name]

    def _rows(self, path: Path, name: str) -> dict[str, str | None]:
        if path.stat().st_size > MAX_BYTES:
            self.findings.add("file.too_big", Place(name, 1), f"{name} is larger than {MAX_BYTES} bytes", "Split it.")
            return {}
        found: dict[str, str | None] = {}
        with path.open(encoding="utf-8-sig", newline="") as lines:
            for row in list(csv.reader(lines))[1:]:
                if len(row) >= 2 and not row[0].startswith("#"):
                    found[row[0].strip()] = None if row[1].strip() in ("", "~") else row[1].strip()
        return found


def files(folder: Path, pattern: str) -> Sequence[str]:
    """Mapping files of the pack by name, without the examples beside them."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.glob(pattern) if not path.name.endswith(".test.yaml")
    )
