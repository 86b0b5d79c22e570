"""Intake: bodies once per revision, a head per key, the cursor in the same transaction."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from connector.engine import intake
from connector.engine.engine import Engine
from connector.errors import PageUnreadable, SourceRefused, StoreError
from connector.model import Cursor, Page
from tests.engine.bench_house import engine, record


def page(*records: Any, cursor: str = "1") -> Page:
    return Page(records, Cursor(cursor, "db-1"))


def heads(house: Engine) -> dict[str, Any]:
    found: dict[str, Any] = house.store.read(lambda unit: unit.heads(["app/reports/a", "app/reports/b"]))
    return found


def bodies(house: Engine) -> list[Any]:
    found: list[Any] = house.store.read(lambda unit: unit.revisions("app", "reports", "a"))
    return found


def test_a_to_b_to_a_ends_at_a_with_two_bodies(tmp_path: Path) -> None:
    house = engine(tmp_path)
    for revision in ("A", "B", "A"):
        intake.take_page(house, "app", page(record("a", revision)))
    assert heads(house)["app/reports/a"]["revision"] == "A"
    assert sorted(b["revision"] for b in bodies(house)) == ["A", "B"]


def test_an_exact_repeat_of_the_head_changes_nothing(tmp_path: Path) -> None:
    house = engine(tmp_path)
    first = intake.take_page(house, "app", page(record("a"), record("a")))
    again = intake.take_page(house, "app", page(record("a")))
    assert (first["new"], first["repeated"], again["new"], again["repeated"]) == (1, 1, 0, 1)


def test_a_deletion_is_a_revision_and_a_tombstone_of_the_unknown_is_nothing(tmp_path: Path) -> None:
    house = engine(tmp_path)
    intake.take_page(house, "app", page(record("a")))
    counts = intake.take_page(house, "app", page(record("a", "2", deleted=True), record("b", "2", deleted=True)))
    assert counts["new"] == 1 and heads(house)["app/reports/a"]["deleted"]
    assert "app/reports/b" not in heads(house)


def test_forms_the_pack_ignores_are_not_kept(tmp_path: Path) -> None:
    house = engine(tmp_path)
    counts = intake.take_page(house, "app", page(record("a", form="skipped"), record("b", form=None)))
    assert counts["ignored"] == 2 and heads(house) == {}


def test_the_cursor_moves_with_the_records_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = engine(tmp_path)
    intake.take_page(house, "app", page(record("a"), cursor="1"))

    def broken(*_: Any, **__: Any) -> None:
        raise StoreError("the disk went away")

    monkeypatch.setattr("connector.store.unit.Unit.move_heads", broken)
    with pytest.raises(StoreError):
        intake.take_page(house, "app", page(record("b"), cursor="2"))
    state = house.store.read(lambda unit: unit.row_of_source("app"))
    assert state["cursor"] == "1" and "app/reports/b" not in heads(house)


def test_bodies_are_encrypted_at_rest(tmp_path: Path) -> None:
    house = engine(tmp_path)
    intake.take_page(house, "app", page(record("a", body={"name": "Canari Sankaré-Test"})))
    house.store.close()
    for file in tmp_path.iterdir():
        assert b"Canari" not in file.read_bytes()


@pytest.mark.parametrize(
    ("error", "who", "result"),
    [
        (PageUnreadable("cut"), "sysadmin", "deferred"),
        (SourceRefused("no"), "credentials", "refused"),
    ],
)
def test_a_source_that_fails_keeps_what_came_before(tmp_path: Path, error: Any, who: str, result: str) -> None:
    house = engine(tmp_path)

    class Failing:
        name = "app"

        async def pages(self, since: Any) -> Any:
            yield page(record("a"))
            raise error

    house.sources = {"app": Failing()}  # type: ignore[dict-item]
    counts = asyncio.run(intake.pull(house, "app"))
    state = house.store.read(lambda unit: unit.row_of_source("app"))
    assert counts["new"] == 1 and counts["error"] == error.code
    assert state["who"] == who and state["cursor"] == "1" and state["due_at"] > house.now()


def test_a_page_leaves_one_audit_entry_without_its_keys(tmp_path: Path) -> None:
    house = engine(tmp_path)
    intake.take_page(house, "app", page(record("key-of-somebody")))
    rows = house.store.read(lambda unit: unit._rows("SELECT * FROM audit"))
    assert [r["event"] for r in rows] == ["page.received"]
    assert "key-of-somebody" not in str(rows)
