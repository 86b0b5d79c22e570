"""Migrations: they make what the code expects, they carry a database of the past along, a newer one is refused."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hatchling.builders.wheel import WheelBuilder
from sqlalchemy import inspect, text

from connector.errors import SchemaDiffers, WrongKey
from connector.store import migrations
from connector.store.database import SCHEMA, SqlStore
from connector.store.tables import metadata
from tests.conftest import migrated
from tests.engine.house import MASTER_KEY, Make, Road, a_few, environment, make_road
from tests.store import first
from tests.store.databases import DATABASES, ROOT, database

__all__ = ["make_road"]  # the fixture


@pytest.fixture(autouse=True)
def real_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere the tables of an empty database are copied (tests/conftest.py)."""
    monkeypatch.setattr(SqlStore, "create", migrated)


@pytest.fixture(params=DATABASES)
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(database_kind: str, tmp_path: Path) -> Iterator[SqlStore]:
    with database(database_kind, tmp_path) as url:
        made = SqlStore(url)
        yield made
        made.close()


def test_the_newest_migration_is_the_schema_the_code_asks_for() -> None:
    script = ScriptDirectory.from_config(migrations.config())
    revisions = [r.revision for r in script.walk_revisions()]
    assert revisions[0] == script.get_current_head() == SCHEMA
    assert revisions == sorted(revisions, reverse=True), "an older Relais knows a newer database by its number"


def test_the_migrations_make_the_tables_the_code_speaks_of(store: SqlStore) -> None:
    store.create()
    with store._writer.begin() as connection:
        made = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(made, metadata) == []
        tables = inspect(connection)
        for table in metadata.sorted_tables:
            assert tables.get_pk_constraint(table.name)["constrained_columns"] == [c.name for c in table.primary_key]
    store.create()
    assert store.schema() == SCHEMA and store.check() == []


def test_the_migrations_lie_in_the_wheel(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = set(zipfile.ZipFile(wheel).namelist())
    place = migrations.PLACE.relative_to(ROOT)
    here = {(place / p.relative_to(migrations.PLACE)).as_posix() for p in migrations.PLACE.rglob("*.py")}
    assert len(here) >= 4 and here <= names


def put_first(store: SqlStore) -> None:
    with store._writer.begin() as connection:
        first.load(connection)


def test_a_database_of_the_past_keeps_every_row(store: SqlStore) -> None:
    put_first(store)
    there = inspect(store._reader)
    columns = {
        name: ", ".join(f'"{c["name"]}"' for c in there.get_columns(name))
        for name in there.get_table_names()
        if name not in ("contribution", "alembic_version")
    }

    def everything() -> dict[str, list[Any]]:
        with store._reader.begin() as connection:
            return {
                name: [
                    tuple(r) for r in connection.execute(text(f'SELECT {columns[name]} FROM "{name}" ORDER BY 1, 2'))
                ]
                for name in columns
            }

    with store._reader.begin() as connection:
        old = list(
            connection.execute(text("SELECT record, indicator, part, amount FROM contribution ORDER BY 1, 2, 3"))
        )
    before = everything()
    assert store.schema() == "0001" and sum(map(len, before.values())) > 150
    store.create()
    assert store.schema() == SCHEMA and everything() == before
    kept = store.read(lambda unit: unit.contributions({r.record for r in old}))
    assert sorted((r["record"], r["indicator"], r["part"], r["amount"]) for r in kept) == [
        (r.record, r.indicator, r.part, Decimal(str(r.amount))) for r in old
    ]
    assert Decimal("0.1") in {r["amount"] for r in kept}


def test_a_database_made_before_there_were_migrations(store: SqlStore) -> None:
    put_first(store)
    with store._writer.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
        connection.execute(text("INSERT INTO meta (key, value) VALUES ('schema', '0001')"))
    assert store.schema() == "0001"
    store.create()
    assert store.schema() == SCHEMA and store.read(lambda unit: unit.fact("schema")) is None


def test_a_migration_that_fails_changes_nothing(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put_first(store)
    real = migrations.upgrade

    def fails(*arguments: Any) -> None:
        real(*arguments)
        raise OSError("the power went")

    monkeypatch.setattr(migrations, "upgrade", fails)
    with pytest.raises(OSError):
        store.create()
    assert store.schema() == "0001"
    monkeypatch.setattr(migrations, "upgrade", real)
    store.create()
    assert store.schema() == SCHEMA


# ---------------------------------------------------------------- as the sysadmin meets it


@pytest.fixture
def relais(store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """The command line in this process: (exit code, JSON document)."""
    from connector.cli.app import main

    for name, value in {**environment(tmp_path), "RELAIS_DATABASE_URL": store.url, "RELAIS_LANG": "en"}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr(sys, "argv", ["relais", *arguments, "--json"])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capfd.readouterr().out.strip()
        return int(left.value.code or 0), json.loads(said.splitlines()[-1])

    return run


def test_an_older_database_is_upgraded_on_demand_only(store: SqlStore, relais: Any) -> None:
    put_first(store)
    code, said = relais("run")
    assert (code, said["error"]) == (2, "database.schema") and "relais db upgrade" in said["message"]
    code, said = relais("db", "check")
    assert (code, said["ok"], said["schema"]) == (3, False, "0001") and "relais db upgrade" in said["problems"][0]
    assert store.schema() == "0001"
    assert relais("db", "upgrade") == (0, {"schema": SCHEMA})
    assert relais("db", "check") == (0, {"ok": True, "schema": SCHEMA, "problems": []})
    assert relais("db", "upgrade") == (0, {"schema": SCHEMA})


def test_a_newer_database_is_refused(store: SqlStore, relais: Any) -> None:
    put_first(store)
    store.create()
    with store._writer.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num='9999'"))
    before = store.read(lambda unit: (unit.audit_count(), unit.fact("pack_version")))
    for command in (["run"], ["db", "upgrade"], ["status"], ["audit", "verify"]):
        code, said = relais(*command)
        assert (code, said["error"]) == (2, "database.schema"), command
        assert "newer Relais" in said["message"] and "Nothing was written" in said["message"]
    code, said = relais("db", "check")
    assert (code, said["schema"]) == (3, "9999") and "newer Relais" in said["problems"][0]
    assert store.read(lambda unit: (unit.audit_count(), unit.fact("pack_version"))) == before
    with pytest.raises(SchemaDiffers):
        store.create()


def test_an_empty_database_has_no_tables_to_check(relais: Any) -> None:
    code, said = relais("db", "check")
    assert (code, said["schema"]) == (3, None) and "relais db upgrade" in said["problems"][0]


def test_the_wrong_key_upgrades_nothing(store: SqlStore, relais: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put_first(store)
    monkeypatch.setenv("RELAIS_MASTER_KEY", "d" + MASTER_KEY[1:])
    code, said = relais("db", "upgrade")
    assert (code, said["error"]) == (WrongKey.exit_code, WrongKey.code)
    assert store.schema() == "0001"


# ---------------------------------------------------------------- nothing is lost on the way


def finished(road: Road) -> dict[str, Any]:
    assert road.settle()["outcome"] == "settled"
    assert {r["state"] for r in road.rows("SELECT DISTINCT state FROM delivery")} == {"accepted"}
    assert road.rows("SELECT * FROM touched") == [] and road.rows("SELECT id FROM head WHERE dirty") == []
    resources = sorted(road.fhir.state()["resources"])
    appointments = sorted((a["number"], a["status"]) for a in road.openmrs.state()["appointments"])
    return {"values": road.values(), "resources": resources, "appointments": appointments}


def documents() -> list[dict[str, Any]]:
    return [*(d for d in a_few() if d["_id"] != first.EDITED["_id"]), first.EDITED, *first.LATE]


def test_a_database_taken_in_the_middle_of_its_work_is_opened_and_settles(
    make_road: Make, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqlStore(os.environ["RELAIS_DATABASE_URL"])
    put_first(store)
    store.create()
    assert store.read(lambda u: {r["state"] for r in u._rows("SELECT DISTINCT state FROM delivery")}) >= {
        "leased", "deferred", "unknown", "pending",
    }  # fmt: skip
    store.close()
    road = make_road(documents())
    road.write_meetings("a", first.MEETINGS)
    road.later(minutes=30)
    found = finished(road)
    assert found["values"][("MH_G05", "ML-KKO-D1-A1", "202608", "default")] == "1"
    sent = {name: road.writes(name) for name in road.sims}
    assert road.settle()["outcome"] == "settled" and {n: road.writes(n) for n in road.sims} == sent
    verified = road.one("SELECT value FROM meta WHERE key='audit_verified'")
    assert verified["value"] == "ok"

    # the same records without a past
    home = tmp_path_factory.mktemp("clean")
    monkeypatch.setenv("RELAIS_HOME", str(home))
    monkeypatch.setenv("RELAIS_DATABASE_URL", f"sqlite:///{home}/clean.db")
    clean = Road(home, documents(), lambda pack: pack, [])
    clean.write_meetings("a", first.MEETINGS)
    assert finished(clean) == found
    clean.close()
