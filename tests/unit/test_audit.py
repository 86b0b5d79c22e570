"""The audit trail: any alteration shows, and the first bad entry is named."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from connector.engine import audit, heads
from connector.errors import ChainBroken, ConfigError
from connector.store.tables import audit as audit_table
from connector.store.tables import audit_head, metadata

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
THIEF = Ed25519PrivateKey.from_private_bytes(b"t" * 32)
COLUMNS = [column.name for column in audit_table.columns]
NOW = "2026-11-22T06:00:00.000000Z"


class Unit:
    """What the engine sees of a transaction."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def keyed(self, text: str) -> str:
        return f"hash-of-{len(text)}"


class Trail:
    """A database file with an audit trail and heads kept elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "relais.db"
        self.heads = folder / "elsewhere" / "heads"
        self.engine = create_engine(f"sqlite:///{self.file}", poolclass=NullPool)

    def work(self, fn: Callable[[Unit], Any]) -> Any:
        with self.engine.begin() as connection:
            return fn(Unit(connection))

    def create(self) -> Trail:
        self.work(lambda unit: metadata.create_all(unit.connection))
        return self

    def record(self, count: int) -> None:
        def entries(unit: Unit) -> None:
            for number in range(count):
                audit.record(unit, at=NOW, event="attempt", subject="dhis2", detail={"rows": number, "code": "é"})

        self.work(entries)

    def seal(self, limit: int = 1000, sign: Any = KEY.sign) -> heads.Head | None:
        return self.work(lambda unit: audit.seal(unit, NOW, sign, limit))

    def export(self) -> int:
        return self.work(lambda unit: audit.export(unit, str(self.heads)))

    def verify(self, elsewhere: bool = True) -> dict[str, Any]:
        return self.work(lambda unit: audit.verify(unit, self.heads if elsewhere else None, KEY.public_key()))

    def sql(self, statement: str, *values: Any) -> None:
        """As somebody with the database file in hand."""
        connection = sqlite3.connect(self.file)
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(statement, values)
        connection.commit()
        connection.close()

    def rows(self) -> list[dict[str, Any]]:
        connection = sqlite3.connect(self.file)
        connection.row_factory = sqlite3.Row
        found = [dict(row) for row in connection.execute("SELECT * FROM audit ORDER BY id")]
        connection.close()
        return found


def whole(entries: int, *, heads: int, vouched: int) -> dict[str, Any]:
    found = {"ok": True, "first_bad": None, "reason": "", "restored": []}
    return {**found, "entries": entries, "heads": heads, "vouched": vouched}


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six entries sealed in heads of two, then two that are not sealed yet."""
    trail = Trail(tmp_path_factory.mktemp("trail")).create()
    trail.record(6)
    for _ in range(3):
        trail.seal(limit=2)
    assert trail.export() == 3
    trail.record(2)
    return trail.file.parent


@pytest.fixture
def trail(sealed: Path, tmp_path: Path) -> Trail:
    shutil.copytree(sealed, tmp_path / "copy")
    return Trail(tmp_path / "copy")


def test_an_honest_trail_is_whole(trail: Trail) -> None:
    assert trail.verify() == whole(8, heads=3, vouched=6)
    assert trail.verify(elsewhere=False)["ok"]


def test_an_empty_trail_is_whole(tmp_path: Path) -> None:
    trail = Trail(tmp_path).create()
    assert trail.seal() is None and trail.export() == 0
    assert trail.verify()["ok"]


def test_sealing_goes_on_where_it_stopped(trail: Trail) -> None:
    head = trail.seal()
    assert head is not None and head.sequence == 8
    assert trail.seal() is None
    trail.record(1)
    trail.seal()
    assert trail.export() == 2
    assert trail.verify() == whole(9, heads=5, vouched=9)
    assert [head.sequence for head in heads.read(trail.heads)] == [2, 4, 6, 8, 9]


def _altered(value: Any) -> list[Any]:
    """The value with one byte changed, at its beginning, middle and end; and gone altogether."""
    if value is None:
        return ["x", 7]
    if isinstance(value, int):
        return [value + 100, value ^ 64, -value]
    places = {0, len(value) // 2, len(value) - 1} if value else set()
    changed = [value[:i] + ("0" if value[i] != "0" else "1") + value[i + 1 :] for i in sorted(places)]
    return [*changed, value + "0", *([value[:-1]] if value else [])]


@pytest.mark.again
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("entry", range(1, 9))
def test_a_change_of_any_column_of_any_entry_shows(trail: Trail, entry: int, column: str) -> None:
    row = trail.rows()[entry - 1]
    for value in _altered(row[column]):
        trail.sql(f"UPDATE audit SET {column}=? WHERE id=?", value, row["id"])
        now_id = value if column == "id" else row["id"]
        found = trail.verify()
        assert not found["ok"], (column, value)
        if not (row["sequence"] is None and column in ("id", "sequence")):
            # an entry that was torn off the tail is missing there; anything else is named exactly
            assert found["first_bad"] == entry, (column, value, found)
        trail.sql(f"UPDATE audit SET {column}=? WHERE id=?", row[column], now_id)
    assert trail.verify()["ok"]


def test_a_byte_that_is_no_text_shows(trail: Trail) -> None:
    trail.sql("UPDATE audit SET detail=CAST(x'7bff7d' AS TEXT) WHERE sequence=3")
    found = trail.verify()
    assert (found["ok"], found["first_bad"], found["reason"]) == (False, 3, "entry.unreadable")


@pytest.mark.parametrize("entry", range(1, 7))
def test_a_removed_entry_shows(trail: Trail, entry: int) -> None:
    trail.sql("DELETE FROM audit WHERE sequence=?", entry)
    found = trail.verify()
    assert (found["ok"], found["first_bad"]) == (False, entry)
    assert found["reason"] == ("tail.cut" if entry == 6 else "entry.missing")


def test_swapped_entries_show(trail: Trail) -> None:
    one, two = trail.rows()[1:3]
    for name in ("at", "event", "who", "subject", "detail", "digest"):
        trail.sql(f"UPDATE audit SET {name}=? WHERE id=?", two[name], one["id"])
        trail.sql(f"UPDATE audit SET {name}=? WHERE id=?", one[name], two["id"])
    assert trail.verify()["first_bad"] == 2


def test_an_inserted_entry_shows(trail: Trail) -> None:
    trail.sql(
        "INSERT INTO audit (at, event, who, subject, detail, digest, sequence, previous, hash) "
        "SELECT at, event, who, subject, detail, digest, 7, hash, hash FROM audit WHERE sequence=6"
    )
    found = trail.verify()
    assert (found["ok"], found["first_bad"]) == (False, 7)


def test_an_entry_out_of_the_count_shows(trail: Trail) -> None:
    trail.sql(
        "INSERT INTO audit (at, event, who, subject, detail, digest, sequence) "
        "SELECT at, event, who, subject, detail, digest, -1 FROM audit WHERE sequence=6"
    )
    found = trail.verify()
    assert (found["ok"], found["first_bad"], found["reason"]) == (False, 7, "entry.inserted")


def _recompute(trail: Trail, *, up_to: int, sign: Any) -> None:
    """Make a consistent chain of the first ``up_to`` entries, one of them altered, with new heads."""
    trail.sql("DELETE FROM audit WHERE sequence IS NULL OR sequence > ?", up_to)
    trail.sql("DELETE FROM audit_head")
    trail.sql("UPDATE audit SET sequence=NULL, previous=NULL, hash=NULL")
    trail.sql("UPDATE audit SET detail='{}' WHERE id=3")
    row = trail.rows()[2]
    trail.sql("UPDATE audit SET digest=? WHERE id=3", audit.entry_digest(row))
    while trail.seal(limit=2, sign=sign):
        pass


def test_a_cut_tail_shows_by_the_heads_here(trail: Trail) -> None:
    trail.sql("DELETE FROM audit WHERE sequence > 4")
    found = trail.verify(elsewhere=False)
    assert (found["ok"], found["first_bad"], found["reason"]) == (False, 5, "tail.cut")


def test_a_tail_cut_together_with_its_heads_shows_by_the_heads_elsewhere(trail: Trail) -> None:
    trail.sql("DELETE FROM audit WHERE sequence > 4")
    trail.sql("DELETE FROM audit_head WHERE sequence > 4")
    assert trail.verify(elsewhere=False)["ok"], "by itself a shorter chain is whole: that is why heads go elsewhere"
    found = trail.verify()
    assert (found["ok"], found["first_bad"], found["reason"]) == (False, 5, "tail.cut")


def test_a_chain_computed_anew_without_our_key_shows(trail: Trail) -> None:
    _recompute(trail, up_to=6, sign=THIEF.sign)
    found = trail.verify(elsewhere=False)
    assert (found["ok"], found["reason"]) == (False, "head.signature")


def test_a_chain_computed_anew_with_our_key_shows_by_the_heads_elsewhere(trail: Trail) -> None:
    _recompute(trail, up_to=6, sign=KEY.sign)
    assert trail.verify(elsewhere=False)["ok"]
    found = trail.verify()
    assert (found["ok"], found["first_bad"], found["reason"]) == (False, 3, "head.differs")


@pytest.mark.parametrize("column", [column.name for column in audit_head.columns])
@pytest.mark.parametrize("head", [2, 4, 6])
def test_a_change_of_a_head_shows(trail: Trail, head: int, column: str) -> None:
    value = {"sequence": head + 1}.get(column, "2026")
    trail.sql(f"UPDATE audit_head SET {column}=? WHERE sequence=?", value, head)
    assert not trail.verify(elsewhere=False)["ok"]


def test_removed_heads_show(trail: Trail) -> None:
    trail.sql("DELETE FROM audit_head WHERE sequence=6")
    assert trail.verify(elsewhere=False)["reason"] == "head.missing"
    assert trail.verify()["reason"] == "head.removed"


def test_a_heads_file_that_is_gone_or_unordered_shows(trail: Trail) -> None:
    lines = trail.heads.read_bytes().splitlines(keepends=True)
    trail.heads.write_bytes(b"".join([lines[1], lines[0], lines[2]]))
    assert trail.verify()["reason"] == "head.order"
    trail.heads.unlink()
    assert trail.verify()["reason"] == "heads.none"


def test_a_heads_line_that_a_crash_cut_short_is_written_again(trail: Trail) -> None:
    whole = trail.heads.read_bytes()
    trail.heads.write_bytes(whole[:-40])
    assert trail.export() == 1
    assert [head.sequence for head in heads.read(trail.heads)] == [2, 4, 6]
    assert trail.verify()["ok"]


def test_sealing_stops_when_the_chain_was_cut(trail: Trail) -> None:
    trail.sql("DELETE FROM audit WHERE sequence=6")
    with pytest.raises(ChainBroken):
        trail.seal()


@pytest.mark.again
def test_many_entries_are_read_in_pages(tmp_path: Path) -> None:
    trail = Trail(tmp_path).create()
    trail.record(1203)
    while trail.seal():
        pass
    trail.export()
    assert trail.verify() == whole(1203, heads=2, vouched=1203)
    trail.sql("UPDATE audit SET who='x' WHERE sequence=1100")
    assert trail.verify()["first_bad"] == 1100


@pytest.mark.again
def test_no_subject_and_no_user_is_kept_in_the_clear(tmp_path: Path) -> None:
    trail = Trail(tmp_path).create()
    trail.work(lambda unit: audit.record(unit, at=NOW, event="delivery.retried", who="Aminata", subject="patient-1"))
    assert "Aminata" not in str(trail.rows()) and "patient-1" not in str(trail.rows())
    assert trail.rows()[0]["event"] == "delivery.retried"


@pytest.mark.parametrize("destination", ["https://atna.example.org", "syslog:remote"])
def test_a_destination_that_is_not_known_is_refused(trail: Trail, destination: str) -> None:
    with pytest.raises(ConfigError, match="RELAIS_AUDIT_HEADS"):
        trail.work(lambda unit: audit.export(unit, destination))


def test_syslog_gets_the_newest_head(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[heads.Head] = []
    monkeypatch.setattr(heads, "to_syslog", sent.append)
    assert trail.work(lambda unit: audit.export(unit, "syslog:")) == 1
    assert [head.sequence for head in sent] == [6]


def test_the_names_used_for_statements_are_those_of_the_schema() -> None:
    assert [c.name for c in audit._entry.columns] == [c.name for c in audit_table.columns]
    assert [c.name for c in audit._head.columns] == [c.name for c in audit_head.columns]
