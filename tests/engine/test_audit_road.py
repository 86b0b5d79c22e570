"""The audit trail of a real run, checked by the command a sysadmin uses: any alteration shows, by exit code 3."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from connector import bootstrap, cli
from connector.engine import audit, heads
from connector.engine.heads import Head
from connector.settings import Settings
from tests.engine.house import Make, on_sqlite, visit

pytestmark = on_sqlite

COLUMNS = ("at", "event", "who", "subject", "detail", "digest", "sequence", "previous", "hash")


class Trail:
    """The database of a run, closed, with its heads kept elsewhere; ``alter`` always starts from the honest one."""

    def __init__(self, home: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
        self.file = home / "relais.db"
        self.honest = elsewhere / "honest.db"
        self.heads = elsewhere / "heads"
        shutil.copyfile(self.file, self.honest)
        self.monkeypatch, self.capfd = monkeypatch, capfd
        self.entries = int(self.ask("SELECT COUNT(*) FROM audit")[0][0])

    def ask(self, sql: str, *parameters: Any) -> list[Any]:
        connection = sqlite3.connect(self.file)
        try:
            with connection:
                return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()

    def alter(self, *statements: tuple[Any, ...]) -> None:
        for side in ("-wal", "-shm"):
            Path(f"{self.file}{side}").unlink(missing_ok=True)
        shutil.copyfile(self.honest, self.file)
        for sql, *parameters in statements:
            self.ask(sql, *parameters)

    def verify(self) -> tuple[int, dict[str, Any]]:
        self.capfd.readouterr()
        self.monkeypatch.setattr(sys, "argv", ["relais", "audit", "verify", "--json"])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return int(left.value.code or 0), orjson.loads(self.capfd.readouterr().out.splitlines()[-1])

    def shows(self, first_bad: int | Callable[[int], bool]) -> None:
        code, found = self.verify()
        assert (code, found["ok"]) == (3, False), found
        named = found["first_bad"]
        assert first_bad(named) if callable(first_bad) else named == first_bad, found


@pytest.fixture
def trail(make_road: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Trail:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("RELAIS_AUDIT_HEADS", str(elsewhere / "heads"))
    road = make_road()
    road.settle()
    road.cht.put(visit("more", "2026-08-20"))
    road.settle()
    road.close()
    return Trail(tmp_path / "relais", elsewhere, monkeypatch, capfd)


def another_byte(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1
    text = str(value)
    middle = len(text) // 2
    return text[:middle] + chr(ord(text[middle]) ^ 1) + text[middle + 1 :] if text else "x"


def test_the_trail_of_a_run_is_whole_and_every_alteration_of_it_shows(trail: Trail) -> None:
    code, found = trail.verify()
    assert (code, found["ok"], found["first_bad"]) == (0, True, None)
    assert found["entries"] == trail.entries > 20 and found["heads"] >= 2
    events = {row[0] for row in trail.ask("SELECT event FROM audit")}
    assert {"page.received", "records.mapped", "cells.recounted", "attempt.begun", "attempt.ended"} <= events

    # One byte in any column: the first entry, one in the middle, the last one.
    for entry in (1, trail.entries // 2, trail.entries):
        for column in COLUMNS:
            trail.alter()
            value = trail.ask(f"SELECT {column} FROM audit WHERE sequence=?", entry)[0][0]
            free = trail.entries + 1 if column == "sequence" and entry < trail.entries else another_byte(value)
            trail.alter((f"UPDATE audit SET {column}=? WHERE sequence=?", free, entry))
            trail.shows(entry)

    trail.alter(("DELETE FROM audit WHERE sequence=?", 7))
    trail.shows(7)
    trail.alter(("DELETE FROM audit WHERE sequence=?", 1))
    trail.shows(1)
    trail.alter(("DELETE FROM audit WHERE sequence>?", trail.entries - 3))
    trail.shows(trail.entries - 2)
    trail.alter()
    assert trail.verify()[0] == 0, "and the honest one is whole still"


def test_a_tail_cut_with_its_heads_shows_by_the_heads_elsewhere(trail: Trail) -> None:
    first = trail.ask("SELECT MIN(sequence) FROM audit_head")[0][0]
    trail.alter(("DELETE FROM audit WHERE sequence>?", first), ("DELETE FROM audit_head WHERE sequence>?", first))
    trail.shows(first + 1)
    trail.heads.unlink()
    assert trail.verify()[0] == 0, "which is why the heads must be elsewhere"


def test_a_chain_computed_anew_shows_by_the_heads_elsewhere(trail: Trail) -> None:
    """Whoever holds the database and even the key can make a whole chain, but not the heads that are out of reach."""
    trail.ask("UPDATE audit SET detail='{}' WHERE sequence=5")
    store, cipher = bootstrap.open_store(Settings.load(), create=False)
    store.close()
    connection = sqlite3.connect(trail.file)
    connection.row_factory = sqlite3.Row
    previous = audit.GENESIS
    with connection:
        for row in connection.execute("SELECT * FROM audit ORDER BY sequence").fetchall():
            entry = audit.entry_digest(dict(row))
            link = audit.link(row["sequence"], previous, entry)
            changed = (entry, previous, link, row["id"])
            connection.execute("UPDATE audit SET digest=?, previous=?, hash=? WHERE id=?", changed)
            old = connection.execute("SELECT at FROM audit_head WHERE sequence=?", (row["sequence"],)).fetchone()
            if old:
                head = Head(row["sequence"], link, old["at"])
                signature = cipher.sign(head.statement()).hex()
                connection.execute(
                    "UPDATE audit_head SET hash=?, signature=? WHERE sequence=?", (link, signature, head.sequence)
                )
            previous = link
    connection.close()
    code, found = trail.verify()
    assert (code, found["reason"]) == (3, "head.differs") and found["first_bad"] <= 5
    kept = next(heads.read(trail.heads)).sequence
    assert found["first_bad"] <= kept, "no later than the first head that disagrees"
    trail.heads.unlink()
    assert trail.verify()[0] == 0, "which is why the heads must be elsewhere"


def test_the_command_itself_names_the_first_bad_entry(trail: Trail) -> None:
    trail.alter(("UPDATE audit SET detail=detail || ' ' WHERE sequence=9",))
    done = subprocess.run(
        [sys.executable, "-m", "connector", "audit", "verify"], env={**os.environ, "NO_COLOR": "1", "LANG": "en"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "9" in done.stdout and "entry.changed" in done.stdout
