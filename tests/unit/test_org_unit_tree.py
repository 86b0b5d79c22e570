"""DHIS2's own tree beside org_units.csv: what is missing is added, what differs is told, what is there stays."""

from __future__ import annotations

import csv
from datetime import date
from typing import Any

import pytest

from connector.mappings.org_unit_tree import below, compare, level_names, units_of, with_lines
from connector.mappings.pack import OrgUnitRow, Place


def listed(code: str, level: int, parent: str = "", **more: Any) -> dict[str, Any]:
    return {
        "id": f"id-{code}", "code": code, "name": f"Unit {code}", "level": level,
        "openingDate": "2015-01-01T00:00:00.000", **({"parent": {"id": f"id-{parent}"}} if parent else {}), **more,
    }  # fmt: skip


TREE = [
    listed("S1", 3, "D1"),
    listed("ML", 1),
    listed("D1", 2, "ML"),
    listed("D2", 2, "ML", name="D 2;\n  south"),
    listed("S2", 3, "D2", closedDate="2026-06-30T00:00:00.000"),
    {**listed("x", 3, "D1", name="Nameless"), "code": None},
]


def row(code: str, level: str, parent: str, line: int, to: str = "", name: str = "") -> OrgUnitRow:
    end = date.fromisoformat(to) if to else None
    return OrgUnitRow("odk", f"place-{code}", code, level, parent, name or f"Unit {code}", date(2015, 1, 1), end,
                      Place("org_units.csv", line))  # fmt: skip


def test_what_lies_under_a_unit_without_a_code_is_still_below() -> None:
    units, without = units_of(
        [
            {"id": "a", "code": "R", "name": "Region", "level": 2},
            {"id": "b", "name": "District", "level": 3, "parent": {"id": "a"}},
            {"id": "c", "code": "S", "name": "Site", "level": 4, "parent": {"id": "b"}},
        ]
    )
    assert without == ["District"] and [unit.code for unit in below(units, "R")] == ["R", "S"]


def test_units_come_from_the_top_down_with_the_codes_of_their_parents() -> None:
    units, without = units_of(TREE)
    assert [(u.code, u.parent) for u in units] == [("ML", ""), ("D1", "ML"), ("D2", "ML"), ("S1", "D1"), ("S2", "D2")]
    assert without == ["Nameless"]
    assert (units[4].opened, units[4].closed, units[2].name) == ("2015-01-01", "2026-06-30", "D 2; south")
    assert [u.code for u in below(units, "D1")] == ["D1", "S1"]


@pytest.mark.parametrize("rows", [[1], [{"code": "A"}], ["A"]])
def test_what_is_no_tree_is_refused(rows: Any) -> None:
    with pytest.raises(ValueError, match="org units"):
        units_of(rows)


def test_only_what_is_missing_is_added() -> None:
    units, _ = units_of(TREE)
    rows = [row("ML", "country", "", 2), row("D1", "district", "ML", 3), row("S1", "site", "D1", 4)]
    names = level_names(rows, units, {})
    assert names == {1: "country", 2: "district", 3: "site"}
    assert list(compare(rows, units, names).lines) == [
        ("", "", "D2", "district", "ML", "D 2; south", "2015-01-01", ""),
        ("", "", "S2", "site", "D2", "Unit S2", "2015-01-01", "2026-06-30"),
    ]
    (line,) = compare(rows[:2], units, names, "odk", "D1").lines
    assert line == ("odk", "S1", "S1", "site", "D1", "Unit S1", "2015-01-01", "")
    assert compare(rows, units, names).differences == []


def test_the_name_of_a_level_is_learned_or_given() -> None:
    units, _ = units_of(TREE)
    assert level_names([], units, {3: "site"}) == {1: "level1", 2: "level2", 3: "site"}


def test_where_the_two_differ_is_told_once_of_the_newest_line() -> None:
    units, _ = units_of(TREE)
    rows = [
        row("S1", "site", "D2", 2, to="2025-12-31"), row("S1", "site", "D2", 3), row("S2", "site", "D2", 4),
        row("D2", "district", "ML", 5), row("S9", "site", "D1", 6),
    ]  # fmt: skip
    found = compare(rows, units, level_names(rows, units, {})).differences
    assert [(d.code, d.what, d.here, d.there, d.line) for d in found] == [
        ("S1", "moved", "D2", "D1", 3),
        ("S2", "closed", "", "2026-06-30", 4),
        ("D2", "renamed", "Unit D2", "D 2; south", 5),
        ("S9", "absent", "Unit S9", "", 6),
    ]
    assert compare([row("S2", "site", "D2", 2, to="2026-06-30")], units, {1: "", 2: "", 3: ""}).differences == []


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_the_table_keeps_its_lines_and_its_delimiter(delimiter: str) -> None:
    text = delimiter.join(("source", "place")) + "\n" + delimiter.join(("odk", "a"))
    made = with_lines(text, [("odk", "b; c, d")])
    assert made.startswith(text + "\n")
    assert list(csv.reader(made.splitlines(), delimiter=delimiter))[2] == ["odk", "b; c, d"]
