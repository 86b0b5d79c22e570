"""The commands that make, list and revoke tokens, and what becomes of a token: state in the database, not calls."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from connector import bootstrap, cli
from connector.engine import tokens
from connector.errors import ConfigError
from connector.identity import digest
from connector.mappings.config_connections import SETTINGS
from connector.settings import Settings
from connector.store.database import SCHEMA, SqlStore
from connector.web.auth import MAY
from tests.engine.house import Road, shipped

TOKEN = "relais_0123456789ab_" + "x" * 43


def make(road: Road, token: str = TOKEN, **how: Any) -> dict[str, Any]:
    return tokens.make(road.engine, token, **{"name": "prometheus", "role": "observe", "by": "sysadmin", **how})


def relais(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str, str]:
    """A command as typed: exit code, stdout, stderr."""
    monkeypatch.setattr(bootstrap, "load", lambda settings, strict=True: (shipped()[0], []))
    monkeypatch.setattr(sys, "argv", ["relais", *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = capsys.readouterr()
    return int(left.value.code or 0), said.out, said.err


def test_the_commands(road: Road, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        return relais(capsys, monkeypatch, "token", *arguments)

    code, token, hint = run("new", "--name", "cht", "--role", "submit", "--source", "cht", "--expires", "90d")
    assert code == 0 and token.count("\n") == 1 and token.startswith("relais_") and "Bearer" in hint
    assert token.strip() not in hint
    row = road.one("SELECT * FROM token")
    assert (row["name"], row["role"], row["source"], row["last_used"]) == ("cht", "submit", "cht", None)
    assert row["digest"] == digest(token.strip().encode()) and token.strip() not in str(
        road.rows("SELECT * FROM audit")
    )
    assert row["expires"][:10] > row["created"][:10]

    code, said, _ = run("new", "--name", "prometheus", "--role", "observe", "--json")
    document = orjson.loads(said)
    assert code == 0 and document["expires"] is None and document["state"] == "active"
    assert tokens.bearer(road.engine, document["token"]) == tokens.Bearer("prometheus", "observe")
    assert document["token"] != token.strip()

    listed = orjson.loads(run("list", "--json")[1])["tokens"]
    assert [(t["name"], t["role"], t["state"]) for t in listed] == [
        ("cht", "submit", "active"),
        ("prometheus", "observe", "active"),
    ]
    shown = run("list")[1] + str(listed)
    assert "prometheus" in shown and row["digest"] not in shown and row["key"] not in shown

    assert run("revoke", "prometheus")[0] == 0
    assert tokens.bearer(road.engine, document["token"]) is None
    assert orjson.loads(run("revoke", "prometheus", "--json")[1]) == {"revoked": "prometheus", "changed": False}
    events = [r["event"] for r in road.rows("SELECT event FROM audit ORDER BY id") if r["event"].startswith("token.")]
    assert events == ["token.made", "token.made", "token.revoked"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("new", "--name", "x", "--role", "root"),
        ("new", "--name", "../x", "--role", "submit"),
        ("new", "--name", "x", "--role", "submit", "--source", "nowhere"),
        ("new", "--name", "x", "--role", "observe", "--source", "cht"),
        ("new", "--name", "x", "--role", "submit", "--expires", "soon"),
        ("new", "--name", "x", "--role", "submit", "--expires", "-1d"),
        ("new", "--name", "taken", "--role", "submit"),
        ("new", "--role", "submit"),
        ("revoke", "nobody"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_made(
    road: Road, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    make(road, name="taken")
    before = road.rows("SELECT * FROM token"), road.rows("SELECT * FROM audit")
    code, said, error = relais(capsys, monkeypatch, "token", *arguments)
    assert code == 2 and said == "" and len(error) > 20
    assert (road.rows("SELECT * FROM token"), road.rows("SELECT * FROM audit")) == before


def test_a_token_ends_when_it_was_said_to(road: Road) -> None:
    make(road, lasts=timedelta(days=90))
    road.later(days=76, hours=1)
    assert [t["name"] for t in tokens.ending(road.engine)] == ["prometheus"], "the doctor warns two weeks before"
    road.later(days=13, hours=22)
    assert tokens.bearer(road.engine, TOKEN) is not None
    road.later(hours=1)
    assert tokens.bearer(road.engine, TOKEN) is None and tokens.listed(road.engine)[0]["state"] == "expired"
    assert tokens.ending(road.engine) == []


def test_a_new_token_takes_the_place_of_a_dead_one_only(road: Road) -> None:
    other = TOKEN.replace("0123", "4567")
    make(road)
    with pytest.raises(ConfigError):
        make(road, other)
    assert tokens.bearer(road.engine, TOKEN) is not None and tokens.bearer(road.engine, other) is None
    tokens.revoke(road.engine, "prometheus", "sysadmin")
    make(road, other)
    assert tokens.bearer(road.engine, TOKEN) is None and tokens.bearer(road.engine, other) is not None
    assert len(road.rows("SELECT * FROM token")) == 1 and tokens.listed(road.engine)[0]["revoked"] is None


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "relais_",
        TOKEN[:-1],
        TOKEN + "x",
        TOKEN.replace("x", "y"),
        TOKEN.replace("ab_", "ac_"),
        TOKEN.upper(),
        "é" * 60,
    ],
)
def test_only_the_very_token_opens(road: Road, shown: str) -> None:
    make(road)
    assert tokens.bearer(road.engine, shown) is None
    assert road.one("SELECT * FROM token")["last_used"] is None, "a wrong one leaves no trace on the right one"
    assert tokens.bearer(road.engine, TOKEN) is not None


def test_last_used_is_to_the_minute(road: Road) -> None:
    make(road)
    tokens.bearer(road.engine, TOKEN)
    first = road.one("SELECT * FROM token")["last_used"]
    road.later(seconds=59)
    tokens.bearer(road.engine, TOKEN)
    assert road.one("SELECT * FROM token")["last_used"] == first
    road.later(seconds=1)
    tokens.bearer(road.engine, TOKEN)
    assert road.one("SELECT * FROM token")["last_used"] == road.engine.now() > first


def test_a_database_that_cannot_be_written_still_lets_in(road: Road) -> None:
    """A full disk must not hide the metrics that say so."""
    make(road)
    assert road.house is not None
    other = SqlStore(road.house.settings.database)
    with other._writer.begin():
        assert tokens.bearer(road.engine, TOKEN) is not None
    other.close()


def test_every_role_of_a_token_may_something() -> None:
    assert set().union(*MAY.values()) == set(tokens.ROLES)


def test_a_database_of_the_version_before_gets_the_table(road: Road) -> None:
    """As ``relais db upgrade`` and every start do; what it held stays."""
    road.settle()
    values, heads = road.values(), road.rows("SELECT * FROM head")
    road.engine.store.write(lambda unit: unit.connection.execute(text("DROP TABLE token")))
    road.engine.store.write(lambda unit: unit.keep_fact("schema", "0001"))
    road.again()
    make(road)
    assert road.engine.store.schema() == SCHEMA and road.rows("SELECT * FROM head") == heads
    road.settle()
    assert road.values() == values
    road.engine.store.write(lambda unit: unit.keep_fact("schema", "9999"))
    road.again()
    assert road.engine.store.schema() == "9999", "a later version is left as it is"


def test_secrets_of_webhooks_and_the_limit_are_settings() -> None:
    assert all("webhook_secret" in SETTINGS[kind] for kind in ("cht", "files"))
    assert Settings.load().ingest_limit == 5_000_000
