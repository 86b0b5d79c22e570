"""Encryption at rest: what opens, what must not, and what a crash or another process may do to the keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, event, select, text
from sqlalchemy.pool import NullPool

from connector import crypto
from connector.crypto import Cipher, new_master_key, parse_master_key
from connector.errors import ConfigError, KeyReadable, SecretMissing, StoreError, WrongKey
from connector.store import tables

MASTER = parse_master_key(new_master_key())


class Calendar:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'relais.db'}", poolclass=NullPool)

    # As the store sets it up: transactions are ours, the driver starts none by itself.
    @event.listens_for(engine, "connect")
    def _connect(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    tables.metadata.create_all(engine)
    yield engine
    engine.dispose()


def opened(database: Engine, master: bytes = MASTER, now: Calendar | None = None) -> Cipher:
    with database.begin() as connection:
        return Cipher.open(connection, master, now=now or Calendar())


def encrypted(database: Engine, cipher: Cipher, plain: bytes, table: str = "body") -> bytes:
    with database.begin() as connection:
        return cipher.encrypt(connection, table, plain)


def key_ids(database: Engine) -> list[str]:
    with database.begin() as connection:
        return sorted(connection.execute(select(tables.data_key.c.id)).scalars())


# ---------------------------------------------------------------- values


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(plain=st.binary(max_size=300), table=st.sampled_from(["body", "activity", "entity"]))
def test_what_is_encrypted_opens_again_and_nowhere_shows(database: Engine, plain: bytes, table: str) -> None:
    cipher = opened(database)
    blob = encrypted(database, cipher, plain, table)
    assert cipher.decrypt(table, blob) == plain
    assert opened(database).decrypt(table, blob) == plain, "after a restart"
    assert len(plain) < 4 or plain not in blob
    assert encrypted(database, cipher, plain, table) != blob, "no two values look the same"


def test_nothing_stays_nothing(database: Engine) -> None:
    assert opened(database).decrypt("body", None) is None


def test_a_value_moved_to_another_table_does_not_open(database: Engine) -> None:
    cipher = opened(database)
    with pytest.raises(StoreError, match="altered"):
        cipher.decrypt("entity", encrypted(database, cipher, b"Fanta"))


def test_a_value_altered_at_any_byte_does_not_open(database: Engine) -> None:
    cipher = opened(database)
    blob = encrypted(database, cipher, b"Fanta")
    for place in range(len(blob)):
        changed = blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]
        with pytest.raises(StoreError):
            cipher.decrypt("body", changed)
    for length in range(len(blob)):
        with pytest.raises(StoreError):
            cipher.decrypt("body", blob[:length])


def test_a_value_of_a_later_format_says_so(database: Engine) -> None:
    with pytest.raises(StoreError, match="format 9"):
        opened(database).decrypt("body", b"\x09rest")


# ---------------------------------------------------------------- data keys


def test_each_table_and_month_has_its_own_key(database: Engine) -> None:
    calendar = Calendar()
    cipher = opened(database, now=calendar)
    november = encrypted(database, cipher, b"one")
    encrypted(database, cipher, b"two", "activity")
    calendar.at = datetime(2026, 12, 1, tzinfo=UTC)
    december = encrypted(database, cipher, b"three")
    assert key_ids(database) == ["activity/2026-11", "body/2026-11", "body/2026-12", "hash"]
    assert cipher.decrypt("body", november) == b"one" and cipher.decrypt("body", december) == b"three"


def test_destroying_a_months_key_makes_it_unreadable(database: Engine) -> None:
    blob = encrypted(database, opened(database), b"Fanta")
    with database.begin() as connection:
        connection.execute(tables.data_key.delete().where(tables.data_key.c.id == "body/2026-11"))
    with pytest.raises(StoreError, match="is gone"):
        opened(database).decrypt("body", blob)


def test_a_key_made_in_a_transaction_that_was_rolled_back_is_not_used_later(database: Engine) -> None:
    cipher = opened(database)
    with database.connect() as connection:
        connection.begin()
        cipher.encrypt(connection, "body", b"lost")
        connection.rollback()
    blob = encrypted(database, cipher, b"kept")
    assert opened(database).decrypt("body", blob) == b"kept"


def test_a_key_made_in_a_savepoint_that_was_rolled_back_is_not_used_later(database: Engine) -> None:
    cipher = opened(database)
    with database.begin() as connection:
        savepoint = connection.begin_nested()
        cipher.encrypt(connection, "body", b"lost")
        savepoint.rollback()
        blob = cipher.encrypt(connection, "body", b"kept")
    assert opened(database).decrypt("body", blob) == b"kept"


def test_a_key_made_here_is_good_for_the_rest_of_the_transaction(database: Engine) -> None:
    cipher = opened(database)
    with database.begin() as connection:
        blobs = [cipher.encrypt(connection, "body", b"%d" % number) for number in range(3)]
        with connection.begin_nested():
            blobs.append(cipher.encrypt(connection, "body", b"3"))
        assert cipher.decrypt("body", blobs[0]) == b"0", "readable before the commit"
    assert [opened(database).decrypt("body", blob) for blob in blobs] == [b"0", b"1", b"2", b"3"]


def test_two_processes_share_the_months_key(database: Engine) -> None:
    one, two = opened(database), opened(database)
    first = encrypted(database, one, b"from one")
    second = encrypted(database, two, b"from two")
    assert key_ids(database) == ["body/2026-11", "hash"]
    assert one.decrypt("body", second) == b"from two"
    assert two.decrypt("body", first) == b"from one"


def test_a_key_that_another_process_made_since_is_fetched(database: Engine) -> None:
    web, engine = opened(database), opened(database)
    blob = encrypted(database, engine, b"Fanta")
    with pytest.raises(StoreError, match="is gone"):
        web.decrypt("body", blob)
    with database.connect() as connection:
        assert web.decrypt("body", blob, connection) == b"Fanta"
    reader = opened(database)
    reader._keys.clear()

    def read(fn: Any) -> Any:
        with database.connect() as connection:
            return fn(connection)

    reader.read = read
    assert reader.decrypt("body", blob) == b"Fanta"


def test_an_altered_data_key_is_told(database: Engine) -> None:
    encrypted(database, opened(database), b"Fanta")
    with database.begin() as connection:
        connection.execute(tables.data_key.update().values(wrapped=b"x" * 60))
    with pytest.raises(StoreError, match="data key"):
        opened(database)


def test_thousands_of_values_need_no_query(database: Engine) -> None:
    cipher = opened(database)
    encrypted(database, cipher, b"first")
    encrypted(database, cipher, b"second")
    asked: list[str] = []
    with database.begin() as connection:
        event.listen(connection, "before_cursor_execute", lambda *a: asked.append(a[2]))
        for _ in range(100):
            cipher.encrypt(connection, "body", b"x")
    assert asked == []


# ---------------------------------------------------------------- the master key and its database


def test_a_wrong_master_key_is_told_before_anything_is_written(database: Engine) -> None:
    encrypted(database, opened(database), b"Fanta")
    before = key_ids(database)
    with database.connect() as connection:
        event.listen(
            connection, "before_cursor_execute", lambda *a: pytest.fail(a[2]) if a[2].startswith("INSERT") else None
        )
        with pytest.raises(WrongKey, match="master key"):
            Cipher.open(connection, parse_master_key(new_master_key()))
        with pytest.raises(WrongKey):
            crypto.check_key(connection, parse_master_key(new_master_key()))
        assert crypto.check_key(connection, MASTER)
    assert key_ids(database) == before


def test_a_database_with_keys_but_no_check_is_not_taken_over(database: Engine) -> None:
    encrypted(database, opened(database), b"Fanta")
    with database.begin() as connection:
        connection.execute(text("DELETE FROM meta"))
        with pytest.raises(WrongKey, match="backup"):
            Cipher.open(connection, MASTER)


def test_a_new_database_has_no_key_yet(tmp_path: Path) -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        assert crypto.check_key(connection, MASTER) is False
    tables.metadata.create_all(engine)
    with engine.connect() as connection:
        assert crypto.check_key(connection, MASTER) is False
    engine.dispose()


def test_keyed_hashes_compare_for_ever_within_one_database_and_nowhere_else(database: Engine, tmp_path: Path) -> None:
    one = opened(database)
    assert one.keyed_hash("patient-1") == opened(database).keyed_hash("patient-1")
    assert one.keyed_hash("patient-1") != one.keyed_hash("patient-2")
    assert len(one.keyed_hash("é")) == 32
    other = create_engine(f"sqlite:///{tmp_path / 'other.db'}", poolclass=NullPool)
    tables.metadata.create_all(other)
    assert opened(other).keyed_hash("patient-1") != one.keyed_hash("patient-1")


def test_the_signing_key_is_the_master_keys(database: Engine) -> None:
    cipher = opened(database)
    cipher.public_key.verify(cipher.sign(b"head"), b"head")
    assert crypto.fingerprint(cipher.public_key) == crypto.fingerprint(crypto.signing_key(MASTER).public_key())
    other = crypto.signing_key(parse_master_key(new_master_key())).public_key()
    assert crypto.fingerprint(other) != crypto.fingerprint(cipher.public_key)


def test_the_names_used_for_statements_are_those_of_the_schema() -> None:
    assert [c.name for c in crypto._meta.columns] == [c.name for c in tables.meta.columns]
    assert [c.name for c in crypto._data_key.columns] == [c.name for c in tables.data_key.columns]


# ---------------------------------------------------------------- reading the master key


def test_a_new_key_is_read_back() -> None:
    text_ = new_master_key()
    assert len(text_) == 43 and len(parse_master_key(text_ + "\n")) == 32
    assert new_master_key() != text_


@pytest.mark.parametrize("bad", ["", "secret", "x" * 43 + "!", "a" * 42, "é" * 43, "A" * 47])
def test_what_is_no_key_is_refused_without_being_shown(bad: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_master_key(bad)
    assert not bad or bad not in str(caught.value)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "master_key"
    file.write_text(new_master_key() + "\n")
    file.chmod(0o600)
    return file


def test_the_key_comes_from_the_variable_or_the_file(key_file: Path) -> None:
    text_ = key_file.read_text()
    assert crypto.read_master_key(None, key_file) == crypto.read_master_key(text_, None) == parse_master_key(text_)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o660])
def test_a_key_file_that_others_can_read_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(KeyReadable, match="chmod 600"):
        crypto.read_master_key(None, key_file)


def test_a_systemd_credential_shows_its_acl_in_the_groups_bits(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(key_file.parent))
    key_file.chmod(0o440)
    assert crypto.read_master_key(None, key_file)
    key_file.chmod(0o444)
    with pytest.raises(KeyReadable):
        crypto.read_master_key(None, key_file)


def test_no_key_and_two_keys_are_refused(key_file: Path) -> None:
    with pytest.raises(SecretMissing, match="relais key new"):
        crypto.read_master_key(None, None)
    with pytest.raises(ConfigError, match="Both"):
        crypto.read_master_key("x", key_file)
    with pytest.raises(SecretMissing, match="cannot be read"):
        crypto.read_master_key(None, key_file.with_name("absent"))


def test_the_demo_makes_its_own_key_once(tmp_path: Path) -> None:
    file = tmp_path / "var" / "demo.key"
    key = crypto.demo_master_key(file)
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert crypto.demo_master_key(file) == key
