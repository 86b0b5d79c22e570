"""Reading ``org_units.csv`` and ``deployments.csv``: which place is which org unit, and who is expected to report."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from connector.mappings.pack import DeploymentRow, OrgUnitRow, Place
from connector.mappings.yaml_nodes import MAX_BYTES, Findings


def _csv(
    folder: Path, name: str, columns: tuple[str, ...], findings: Findings
) -> Iterator[tuple[dict[str, str], Place]]:
    path = folder / name
    if not path.is_file():
        findings.add("file.missing", Place(name, 1), f"{name} does not exist", "Create the file.")
        return
    if path.stat().st_size > MAX_BYTES * 10:
        findings.add("file.too_big", Place(name, 1), f"{name} is too large", "Split the pack.")
        return
    with path.open(encoding="utf-8-sig", newline="") as lines:
        text = lines.read()
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter)
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        findings.add(
            "csv.columns",
            Place(name, 1),
            f"{name}: column {', '.join(missing)} is missing",
            f"Columns: {', '.join(columns)}",
        )
        return
    for row in reader:
        if any((row.get(column) or "").strip() for column in columns):
            yield {column: (row.get(column) or "").strip() for column in columns}, Place(name, reader.line_num)


def _validity(row: dict[str, str], at: Place, findings: Findings) -> tuple[date, date | None] | None:
    try:
        first = date.fromisoformat(row["valid_from"]) if row["valid_from"] else date(1900, 1, 1)
        last = date.fromisoformat(row["valid_to"]) if row["valid_to"] else None
    except ValueError:
        findings.add("csv.date", at, "valid_from or valid_to is not a day", "Write 2026-07-31.")
        return None
    if last and last < first:
        findings.add("csv.date", at, "valid_to is before valid_from", "")
        return None
    return first, last


_ORG_UNIT_COLUMNS = ("source", "place", "org_unit", "level", "parent", "name", "valid_from", "valid_to")
_DEPLOYMENT_COLUMNS = ("reporter", "kind", "group", "org_unit", "valid_from", "valid_to")


def read_org_units(folder: Path, findings: Findings) -> Iterator[OrgUnitRow]:
    for row, at in _csv(folder, "org_units.csv", _ORG_UNIT_COLUMNS, findings):
        validity = _validity(row, at, findings)
        if validity:
            yield OrgUnitRow(
                row["source"], row["place"], row["org_unit"], row["level"], row["parent"], row["name"], *validity
            )


def read_deployments(folder: Path, findings: Findings) -> Iterator[DeploymentRow]:
    for row, at in _csv(folder, "deployments.csv", _DEPLOYMENT_COLUMNS, findings):
        validity = _validity(row, at, findings)
        if row["kind"] not in ("worker", "place"):
            findings.add("value.choice", at, f"kind cannot be {row['kind']!r}", "worker or place")
        elif validity:
            yield DeploymentRow(row["reporter"], row["kind"], row["group"], row["org_unit"], *validity)
