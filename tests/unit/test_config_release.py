"""What a data set says about reporters, approval and small figures, read from a copy of the pack."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from connector.mappings.pack import Release
from tests.unit.pack_copy import PackCopy

SEC = "    complete: asc\n"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("release: after_approval", Release()),
        ("release: none", None),
        ("release: {after: approval, margin: 5%}", Release(Decimal(5), True)),
        ("release: {after: approval, margin: 3}", Release(Decimal(3), False)),
        ("release: {after: approval}", Release()),
    ],
)
def test_release_is_read(tmp_path: Path, line: str, wanted: Release | None) -> None:
    copy = PackCopy(tmp_path)
    copy.change("dhis2.yaml", SEC, f"{SEC}    {line}\n    deadline: 5\n    gaps_after: 20\n    small: 5\n")
    pack, findings = copy.load()
    assert findings == []
    found = pack.data_sets["MH_SEC"]
    assert (found.release, found.deadline, found.gaps_after, found.small) == (wanted, 5, 20, 5)


@pytest.mark.parametrize(
    ("lines", "code", "row"),
    [
        ("    release: later\n", "value.choice", 1),
        ("    release: {after: approval, margin: many}\n", "value.format", 1),
        ("    release: {margin: 5%}\n", "key.missing", 1),
        ("    deadline: soon\n", "value.format", 1),
        ("    on_change: reopen\n", "value.choice", 1),
        ("    deadlin: 5\n", "key.unknown", 1),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, lines: str, code: str, row: int) -> None:
    copy = PackCopy(tmp_path)
    line = copy.change("dhis2.yaml", SEC, SEC + lines)
    assert [(f.code, f.line) for f in copy.findings()] == [(code, line + row)]


@pytest.mark.parametrize(("line", "wanted"), [("", "keep"), ("keep", "keep"), ("mark_incomplete", "mark_incomplete")])
def test_what_becomes_of_a_completion_is_read(tmp_path: Path, line: str, wanted: str) -> None:
    copy = PackCopy(tmp_path)
    if line:
        copy.change("dhis2.yaml", SEC, f"{SEC}    on_change: {line}\n")
    pack, findings = copy.load()
    assert findings == [] and pack.data_sets["MH_SEC"].on_change == wanted


@pytest.mark.parametrize("key", ["deadline: 5", "on_change: mark_incomplete"])
def test_a_deadline_needs_to_know_for_whom(tmp_path: Path, key: str) -> None:
    copy = PackCopy(tmp_path)
    line = copy.change("dhis2.yaml", SEC, f"    {key}\n")
    assert ("data_set.reporters", line) in [(f.code, f.line) for f in copy.findings()]


def test_small_figures_are_those_above_nought_and_below_the_limit(tmp_path: Path) -> None:
    copy = PackCopy(tmp_path)
    copy.change("dhis2.yaml", SEC, f"{SEC}    small: 5\n")
    pack, _ = copy.load()
    id = next(one.id for one in pack.indicators.values() if one.data_set == "MH_SEC")
    assert [v for v in (None, "", "0", "1", "4", "5", "12") if pack.is_small(id, v)] == ["1", "4"]
    assert not pack.is_small("gone", "1")


def test_the_shipped_pack_asks_for_no_approval(tmp_path: Path) -> None:
    pack, _ = PackCopy(tmp_path).load()
    assert {one.release for one in pack.data_sets.values()} == {None}
