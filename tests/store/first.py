"""A database of the first migration, taken in the middle of its work: made, written down as SQL, read again.

    python -m tests.store.first        writes tests/store/first.sql anew (synthetic records only)

Today's code does the work; its rows are then put back to what the first migration held (``_back``). Only needed when
the dump must hold something else: a database of the past does not change.
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection

from connector.engine import runs
from connector.engine.engine import stamp
from connector.store import migrations
from tests.engine.house import MODIBO, Road, a_few, environment, meeting, visit
from tests.store.databases import database

FILE = Path(__file__).with_name("first.sql")
#: Who held the run lock and the leases when the machine lost its power.
KILLED = "another-machine/00000000/4711"
EDITED = visit("visit-08-2", "2026-08-12", subject=MODIBO, rdt="positive")
LATE = [visit(f"late-{n}", f"2026-09-{n + 10}") for n in range(3)]
MEETINGS = [meeting(n, saved=0.1) for n in range(10)]


class PowerLost(BaseException):
    pass


def mid_flight(road: Road) -> None:
    """Requests under way, refused, unanswered; records received and not mapped, mapped and not counted; one held."""

    def busy(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(503) if request.method == "POST" else None

    def silent(request: httpx.Request) -> httpx.Response | None:
        if request.method == "POST" and "idgen" not in request.url.path:
            raise httpx.ReadTimeout("no answer", request=request)
        return None

    def off(request: httpx.Request) -> httpx.Response | None:
        if request.method in ("POST", "PUT"):
            raise PowerLost
        return None

    road.write_meetings("a", MEETINGS)
    road.wires["dhis2"].instead = busy
    road.wires["openmrs"].instead = silent
    road.run(targets=["dhis2", "openmrs"])
    road.engine.holder = KILLED
    road.wires["fhir"].instead = off
    with pytest.raises(PowerLost):
        road.run(targets=["fhir"], sources=[])
    run = runs.Run(road.engine, ["cht"], [])
    road.cht.put(EDITED)
    road.go(run.pull)
    road.go(run.map)  # mapped, and its cells not counted again
    for doc in LATE:
        road.cht.put(doc)
    road.go(run.pull)  # received, and not mapped
    until = stamp(road.clock.now() + timedelta(seconds=90))
    road.engine.store.write(lambda unit: unit.take_lane("run", KILLED, road.engine.now(), until))


# ---------------------------------------------------------------- writing it down


def _back(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """The row as the first migration held it."""
    if table == "contribution":
        row["amount"] = row["amount"] / 10_000  # 0003
    return row


def _sql(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "TRUE", False: "FALSE"}[value]
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, (int, float)):
        return repr(int(value) if value == int(value) else value)
    assert isinstance(value, str) and "\n" not in value
    return "'" + value.replace("'", "''") + "'"


def dump(url: str) -> Iterator[str]:
    """The statements of the SQLite database, its tables as the first migration made them."""
    now, first = create_engine(url), create_engine("sqlite://")
    with now.connect() as there, first.begin() as then:
        migrations.upgrade(then, None, "0001")
        made = then.execute(
            text("SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name")
        )
        tables = []
        for name, kind, sql in made:
            yield " ".join(sql.split())
            tables += [name] if kind == "table" else []
        booleans = {
            table: [r[1] for r in then.execute(text(f'PRAGMA table_info("{table}")')) if r[2] == "BOOLEAN"]
            for table in tables
        }
        for table in sorted(tables):
            if table == "alembic_version":
                yield "INSERT INTO alembic_version (version_num) VALUES ('0001')"
                continue
            for found in there.execute(text(f'SELECT * FROM "{table}" ORDER BY 1')).mappings():
                row = _back(table, dict(found))
                row |= {name: bool(row[name]) for name in booleans[table]}
                yield f'INSERT INTO "{table}" ({", ".join(row)}) VALUES ({", ".join(map(_sql, row.values()))})'
    now.dispose(), first.dispose()


# ---------------------------------------------------------------- reading it


def load(connection: Connection) -> None:
    """Put the dump into an empty database."""
    statements = FILE.read_text(encoding="utf-8").split(";\n")
    if connection.dialect.name != "sqlite":
        migrations.upgrade(connection, None, "0001")
        rows = [s for s in statements if s.startswith("INSERT") and "alembic_version" not in s]
        statements = [re.sub(r"\bX'([0-9a-f]*)'", r"'\\x\1'::bytea", s) for s in rows]
    for statement in statements:
        if statement.strip():
            connection.exec_driver_sql(
                statement.replace("%", "%%") if connection.dialect.name != "sqlite" else statement
            )
    if connection.dialect.name != "sqlite":
        for table in ("head", "cell", "value_sent", "delivery", "attempt", "quarantine", "beat", "audit"):
            connection.exec_driver_sql(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT COALESCE(MAX(id), 1) FROM {table}))"
            )


def main() -> None:
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        folder = Path(place)
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        (folder / "relais").mkdir()
        with database("sqlite", folder / "relais") as url:
            patch.setenv("RELAIS_DATABASE_URL", url)
            road = Road(folder, a_few(), lambda pack: pack, [])
            mid_flight(road)
            road.close()
            text = "".join(f"{statement};\n" for statement in dump(url))
    sqlite3.connect(":memory:").executescript(text).close()
    FILE.write_text(text, encoding="utf-8")
    print(f"{FILE}: {len(text)} bytes")


if __name__ == "__main__":
    main()
