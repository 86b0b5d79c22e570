"""Reading ``org_units.csv`` and ``deployments.csv``: which place is which org unit, and who is expected to report."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from connector.findings import nearest
from connector.mappings.pack import DeploymentRow, OrgUnitRow, Place
from connector.mappings.yaml_nodes import MAX_BYTES, Findings

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class _Row(dict[str, str]):
    """The cells of one line by column, and where they stand."""

    def __init__(self, cells: dict[str, str], at: Place, line: str, heads: Sequence[str], delimiter: str) -> None:
        super().__init__(cells)
        self.line_at = at
        self._line, self._heads, self._delimiter = line, heads, delimiter

    def at(self, column: str) -> Place:
        return cell_at(self.line_at, self._line, self._heads, self._delimiter, column)


def _csv(folder: Path, name: str, columns: tuple[str, ...], findings: Findings) -> Iterator[_Row]:
    path = folder / name
    at = Place(name, 1)
    if not path.is_file():
        findings.add("file.missing", at, name=name)
        return
    if path.stat().st_size > MAX_BYTES * 10:
        findings.add("file.too_big", at, name=name, most=MAX_BYTES * 10)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            lines = opened.read().splitlines()
    except UnicodeDecodeError:
        findings.add("file.encoding", at, name=name)
        return
    delimiter = ";" if lines and ";" in lines[0] else ","
    reader = csv.reader(lines, delimiter=delimiter)
    heads = [head.strip() for head in next(reader, [])]
    missing = [column for column in columns if column not in heads]
    if missing:
        findings.add("csv.columns", at, missing=", ".join(missing), columns=", ".join(columns))
        return
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        at = Place(name, reader.line_num)
        if len(cells) != len(heads):
            findings.add("csv.row", at, count=len(cells), wanted=len(heads))
        row = dict(zip(heads, (cell.strip() for cell in cells), strict=False))
        yield _Row({column: row.get(column, "") for column in columns}, at, lines[at.line - 1], heads, delimiter)


def cell_at(at: Place, line: str, heads: Sequence[str], delimiter: str, column: str) -> Place:
    """The place of a column's cell in a line; a delimiter inside quotes is none."""
    starts, quoted = [1], False
    for index, letter in enumerate(line, 2):
        if letter == '"':
            quoted = not quoted
        elif letter == delimiter and not quoted:
            starts.append(index)
    index = heads.index(column) if column in heads else 0
    return Place(at.file, at.line, starts[index]) if index < len(starts) else at


def _validity(row: _Row, findings: Findings) -> tuple[date, date | None] | None:
    found: dict[str, date | None] = {}
    for column in ("valid_from", "valid_to"):
        text = row[column]
        try:
            found[column] = date.fromisoformat(text) if text else None
            if text and not _DAY.fullmatch(text):
                raise ValueError
        except ValueError:
            problem = (f"{column} n'est pas un jour : {text!r}", f"{column} is not a day: {text!r}")
            findings.add("csv.date", row.at(column), problem=problem)
            return None
    first, last = found["valid_from"] or date(1900, 1, 1), found["valid_to"]
    if last and last < first:
        problem = ("valid_to est avant valid_from", "valid_to is before valid_from")
        findings.add("csv.date", row.at("valid_to"), problem=problem)
        return None
    return first, last


_ORG_UNIT_COLUMNS = ("source", "place", "org_unit", "level", "parent", "name", "valid_from", "valid_to")
_DEPLOYMENT_COLUMNS = ("reporter", "kind", "group", "org_unit", "valid_from", "valid_to")


def read_org_units(folder: Path, findings: Findings) -> Iterator[OrgUnitRow]:
    for row in _csv(folder, "org_units.csv", _ORG_UNIT_COLUMNS, findings):
        validity = _validity(row, findings)
        if validity:
            yield OrgUnitRow(
                row["source"], row["place"], row["org_unit"], row["level"], row["parent"], row["name"], *validity,
                row.line_at,
            )  # fmt: skip


def read_deployments(folder: Path, findings: Findings) -> Iterator[DeploymentRow]:
    for row in _csv(folder, "deployments.csv", _DEPLOYMENT_COLUMNS, findings):
        validity = _validity(row, findings)
        if row["kind"] not in ("worker", "place"):
            known = nearest(row["kind"], ("worker", "place"))
            findings.add("value.choice", row.at("kind"), what="kind", value=row["kind"], nearest=known)
        elif validity:
            yield DeploymentRow(
                row["reporter"], row["kind"], row["group"], row["org_unit"], *validity, row.line_at
            )  # fmt: skip
