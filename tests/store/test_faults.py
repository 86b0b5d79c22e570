"""Trouble of the database itself: callers are told, nothing is half-written, and it heals when the trouble ends."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.pool import NullPool

from connector.errors import StoreBusy, StoreError, StoreFull, StoreUnreachable
from connector.store import database
from connector.store.database import QueuedStore, SqlStore
from tests.store.conftest import BUSY, KINDS, Open, rows
from tests.store.test_queries import body, head
from tests.store.test_queued import one_group

HALF = (
    "SELECT (SELECT COUNT(*) FROM body) AS bodies, (SELECT COUNT(*) FROM head) AS heads, "
    "(SELECT COUNT(*) FROM meta WHERE key LIKE 'page%') AS facts"
)


def page(number: int, size: int = 1500) -> Callable[[Any], None]:
    """A piece of work of three statements, a few database pages long."""

    def work(unit: Any) -> None:
        unit.keep_bodies([body(f"{number}-{n}", body_enc=bytes(size)) for n in range(6)])
        unit.move_heads([head(f"{number}-{n}") for n in range(6)])
        unit.keep_fact(f"page {number}", "kept")

    return work


def whole(store: SqlStore) -> int:
    """How many pages are kept; fails when one is kept in part."""
    (found,) = rows(store, HALF)
    assert (found["bodies"], found["heads"]) == (6 * found["facts"], 6 * found["facts"]), "half-written"
    return int(found["facts"])


on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("url", ["postgres"], indirect=True)


# ---------------------------------------------------------------- full


@on_sqlite
def test_a_disk_that_fills_up_at_any_write(store: SqlStore) -> None:
    room = [0]
    event.listen(store._writer, "begin", lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={room[0]}").close())
    room[0] = 1_000_000
    store.write(page(0))
    with store._writer.connect() as connection:
        used = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    kept, full = 1, 0
    for more in range(40):
        room[0] = used + more
        try:
            store.write(page(kept))
            kept += 1
        except StoreFull as error:
            full += 1
            assert "disk is full" in str(error)
        assert whole(store) == kept
    assert kept > 5 and full > 10, (kept, full)
    room[0] = 1_000_000
    store.write(page(kept))
    assert whole(store) == kept + 1


@on_sqlite
def test_a_full_disk_fails_the_whole_group_and_the_next_one_goes_well(opened: Open) -> None:
    store = opened("queued")
    assert isinstance(store, QueuedStore)
    room = [1_000_000]
    event.listen(store._writer, "begin", lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={room[0]}").close())
    with one_group(store):
        with store._reader.connect() as connection:
            room[0] = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        futures = [store.submit(page(n, size)) for n, size in enumerate((10, 500_000, 10))]
    for future in futures:
        with pytest.raises(StoreFull):
            future.result(20)
    assert whole(store) == 0
    room[0] = 1_000_000
    store.write(page(0))
    assert whole(store) == 1


#: As PostgreSQL itself would say it; the disk of a server cannot be filled by a test.
SAYS = {
    "53100": StoreFull, "58030": StoreFull, "55P03": StoreBusy, "40P01": StoreBusy, "40001": StoreBusy,
    "53300": StoreBusy, "57P01": StoreUnreachable, "08006": StoreUnreachable, "XX000": StoreError,
}  # fmt: skip


@on_postgres
@pytest.mark.parametrize("state", SAYS)
def test_what_postgres_says_in_the_middle(store: SqlStore, state: str) -> None:
    def work(unit: Any) -> None:
        page(1)(unit)
        unit.connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'Mariam''s row' USING ERRCODE = '{state}'; END $$"))

    with pytest.raises(StoreError) as raised:
        store.write(work)
    assert type(raised.value) is SAYS[state]
    assert "Mariam" not in str(raised.value), "PostgreSQL's words may quote a row"
    assert whole(store) == 0
    store.write(page(1))
    assert whole(store) == 1


# ---------------------------------------------------------------- locked


@contextmanager
def held(store: SqlStore, how: str) -> Iterator[None]:
    """Another program holds the database."""
    engine = create_engine(store.url, poolclass=NullPool)
    with engine.connect() as connection:
        if store.sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif how == "table":
            connection.exec_driver_sql("LOCK TABLE head IN ACCESS EXCLUSIVE MODE")
        else:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('relais ' || current_schema()))")
        yield
        connection.rollback()
    engine.dispose()


HOW = ("writer", "table")


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_shorter_than_our_patience_is_waited_for(opened: Open, kind: str, how: str) -> None:
    store = opened(kind, 10.0)
    begun = time.monotonic()
    with held(store, how):
        timer = threading.Thread(target=store.write, args=(page(1),))
        timer.start()
        time.sleep(0.4)
        assert timer.is_alive()
    timer.join(10)
    assert whole(store) == 1 and time.monotonic() - begun < 9


@pytest.mark.parametrize("how", HOW)
def test_a_lock_longer_than_our_patience_is_said_and_nothing_is_written(store: SqlStore, how: str) -> None:
    with held(store, how):
        for _ in range(2):
            begun = time.monotonic()
            with pytest.raises(StoreBusy) as busy:
                store.write(page(1))
            assert BUSY * 0.8 < time.monotonic() - begun < BUSY + 2
            assert type(busy.value) is StoreBusy and "locked by another program" in str(busy.value)
    assert whole(store) == 0
    store.write(page(1))
    assert whole(store) == 1


def test_every_caller_of_a_queue_is_told_of_the_lock(opened: Open) -> None:
    store = opened("queued")
    assert isinstance(store, QueuedStore)
    go = one_group(store)
    go.__enter__()
    futures = [store.submit(page(n)) for n in range(3)]
    go.__exit__(None, None, None)
    for future in futures:
        future.result(20)
    with held(store, "writer"):
        futures = [store.submit(page(n)) for n in range(3, 6)]
        errors = [future.exception(20) for future in futures]
    assert {type(e) for e in errors} == {StoreBusy} and len({id(e) for e in errors}) == 3
    assert whole(store) == 3


# ---------------------------------------------------------------- the connection breaks


def kill(store: SqlStore, mine: bool = False, unit: Any = None) -> None:
    """End every connection of this database's stores (``mine``: the one of this unit of work)."""
    engine = create_engine(store.url, poolclass=NullPool)
    with engine.connect() as connection:
        if mine:
            pids = [unit.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()]
        else:
            pids = [pid for pool in (store._writer.pool, store._reader.pool) for pid in _pids(pool)]
        for pid in pids:
            connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    engine.dispose()


def _pids(pool: Any) -> list[int]:
    """The server processes behind the idle connections of a pool."""
    taken = [pool.connect() for _ in range(pool.checkedin())]
    found = [one.dbapi_connection.info.backend_pid for one in taken]
    for one in taken:
        one.close()
    return found


@on_postgres
def test_a_connection_lost_between_two_transactions_is_not_even_noticed(store: SqlStore) -> None:
    for n in range(3):
        store.write(page(n))
        assert whole(store) == n + 1
        assert _pids(store._writer.pool) and _pids(store._reader.pool)
        kill(store)


@on_postgres
def test_a_connection_lost_in_the_middle(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        page(1)(unit)
        kill(store, mine=True, unit=unit)
        page(2)(unit)

    for _ in range(2):
        with pytest.raises(StoreUnreachable):
            store.write(work)
        with pytest.raises(StoreUnreachable):
            store.read(lambda unit: (kill(store, mine=True, unit=unit), unit.fact("x")))
    assert whole(store) == 0
    store.write(page(1))
    assert whole(store) == 1


@on_postgres
def test_a_connection_lost_just_before_the_commit(store: SqlStore) -> None:
    on = [True]

    def commit(connection: Any) -> None:
        if on[0]:
            kill(store, mine=True, unit=type("Unit", (), {"connection": connection}))

    event.listen(store._writer, "commit", commit)
    with pytest.raises(StoreUnreachable):
        store.write(page(1))
    on[0] = False
    assert whole(store) == 0
    store.write(page(1))
    assert whole(store) == 1


@on_postgres
def test_a_lost_connection_fails_the_whole_group_and_the_writer_goes_on(opened: Open) -> None:
    store = opened("queued")
    assert isinstance(store, QueuedStore)
    with one_group(store):
        futures = [store.submit(page(1)), store.submit(lambda u: kill(store, mine=True, unit=u)), store.submit(page(2))]
    for future in futures:
        assert type(future.exception(20)) is StoreUnreachable
    store.write(page(3))
    assert whole(store) == 1


@on_postgres
def test_a_process_frozen_in_a_transaction_does_not_hold_up_the_others_for_ever(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = opened("inline", 10.0)
    monkeypatch.setattr(database, "_IDLE_SECONDS", 1)
    frozen = opened("inline")

    def freeze(unit: Any) -> None:
        page(1)(unit)
        other.write(page(2))
        page(3)(unit)

    with pytest.raises(StoreUnreachable):
        frozen.write(freeze)
    assert whole(other) == 1
    frozen.write(page(1))
    assert whole(other) == 2


class Forwarder:
    """The way to the server, which can be cut."""

    def __init__(self, url: str) -> None:
        self.to = make_url(url)
        self.open()
        self.url = self.to.set(host="127.0.0.1", port=self.port).render_as_string(hide_password=False)

    def open(self, port: int = 0) -> None:
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self.listener, selectors.EVENT_READ, None)
        while not self.stopped.is_set():
            for key, _ in selector.select(0.05):
                if key.data is None:
                    near, _ = self.listener.accept()
                    far = socket.create_connection((str(self.to.host), int(self.to.port or 5432)))
                    selector.register(near, selectors.EVENT_READ, far)
                    selector.register(far, selectors.EVENT_READ, near)
                    continue
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if data:
                    key.data.sendall(data)
                else:
                    selector.unregister(key.fileobj)
                    selector.unregister(key.data)
                    key.fileobj.close()  # type: ignore[union-attr]
                    key.data.close()
        for key in list(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        selector.close()

    def cut(self) -> None:
        self.stopped.set()
        self.thread.join(10)


@on_postgres
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_away_for_a_while(opened: Open, kind: str) -> None:
    direct = opened()
    way = Forwarder(direct.url)
    store = KINDS[kind](way.url, busy_seconds=BUSY)
    try:
        store.write(page(1))
        way.cut()
        for _ in range(2):
            for ask in (lambda: store.write(page(2)), lambda: whole(store), store.schema, store.create):
                with pytest.raises(StoreUnreachable) as away:
                    ask()
                assert away.value.exit_code == 5 and isinstance(away.value, StoreBusy)
        assert whole(direct) == 1
        way.open(way.port)
        store.write(page(2))
        assert whole(store) == 2
    finally:
        store.close()
        way.cut()
