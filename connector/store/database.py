"""The database: SQLite (WAL, synchronous=FULL) or PostgreSQL behind one small face.

``Store.write`` is synchronous and short; two implementations: inline (commands, simulation) and queued
(``serve``: one writer thread, group commit with a savepoint per piece of work, answered after COMMIT).

One writer at a time on both: SQLite begins with IMMEDIATE, PostgreSQL takes an advisory lock for the transaction. So
what a piece of work read is still so when it writes, and claims, lanes, the audit's chain need no locks of their own.
Readers see one moment on both and are refused any write.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Engine as SqlEngine
from sqlalchemy import create_engine, event, inspect, make_url, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from connector.errors import SchemaDiffers, StoreBusy, StoreError, StoreFull, StoreUnreachable
from connector.store.unit import Unit

T = TypeVar("T")

#: The newest migration. Numbers only grow, so that an older Relais knows a newer database.
SCHEMA = "0013"

#: How a connection to a server that went away without a word is noticed, in seconds (tcp_user_timeout: milliseconds).
_NETWORK = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
#: A process that was frozen in the middle of a transaction holds up the others so long.
_IDLE_SECONDS = 60


def _sqlite_engine(url: str, *, writer: bool, busy_seconds: float) -> SqlEngine:
    engine = create_engine(
        url, connect_args={"timeout": busy_seconds, "check_same_thread": False}, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _connect(dbapi: sqlite3.Connection, _record: Any) -> None:
        dbapi.isolation_level = None
        cursor = dbapi.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA cache_size=-16000")
        cursor.execute("PRAGMA temp_store=MEMORY")
        if not writer:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


def _postgres_engine(url: str, *, writer: bool, busy_seconds: float) -> SqlEngine:
    given = make_url(url).query
    engine = create_engine(
        url,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={name: value for name, value in _NETWORK.items() if name not in given},
        **(
            {} if writer else {"isolation_level": "REPEATABLE READ", "execution_options": {"postgresql_readonly": True}}
        ),
    )

    @event.listens_for(engine, "connect")
    def _connect(dbapi: Any, _record: Any) -> None:
        dbapi.autocommit = True
        dbapi.execute(f"SET lock_timeout = {max(1, int(busy_seconds * 1000))}")
        dbapi.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")
        dbapi.autocommit = False

    if writer:

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('relais ' || current_schema()))")

    return engine


def translated(error: DBAPIError | sqlite3.Error) -> StoreError:
    """The store's own error for what the driver said. It never quotes PostgreSQL, which quotes rows."""
    found = error if isinstance(error, sqlite3.Error) else error.orig
    if isinstance(found, sqlite3.Error):
        name = getattr(found, "sqlite_errorname", None) or type(found).__name__
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            return StoreFull()
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return StoreBusy.about(f"({name})")
        return StoreError.about(f"({name}: {found})")
    state = getattr(found, "sqlstate", None) or ""
    said = f"({type(found).__name__} {state})".replace(" )", ")")
    if state in ("53100", "58030"):  # disk full, input/output error
        return StoreFull()
    if state in ("55P03", "40001", "40P01", "53300"):  # lock timeout, serialisation, deadlock, too many connections
        return StoreBusy.about(said)
    assert isinstance(error, DBAPIError)
    if error.connection_invalidated or state[:2] in ("08", "57") or (not state and isinstance(error, OperationalError)):
        return StoreUnreachable.about(said)
    return StoreError.about(said)


def _schema(connection: Connection) -> str | None:
    tables = inspect(connection)
    if tables.has_table("alembic_version"):
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if tables.has_table("meta"):  # made before there were migrations
        return connection.execute(text("SELECT value FROM meta WHERE key='schema'")).scalar()
    return None


def refuse_newer(found: str | None) -> None:
    """Raises SchemaDiffers when a newer Relais made the tables."""
    if found is not None and found > SCHEMA:
        raise SchemaDiffers(
            f"This database is of a newer Relais (its schema is {found}, this one knows {SCHEMA}). Nothing was "
            "written. Install that Relais again, or restore the backup made before the upgrade.",
            french=f"Cette base de données est d'un Relais plus récent (son schéma est {found}, celui-ci connaît "
            f"{SCHEMA}). Rien n'a été écrit. Réinstallez ce Relais, ou remettez la sauvegarde faite avant la mise à "
            "niveau.",
        )


def require_current(found: str | None) -> None:
    """Raises SchemaDiffers unless the tables are those of this very version."""
    refuse_newer(found)
    if found is None:
        raise SchemaDiffers(
            "This database has no tables. Nothing was written. Run: relais db upgrade.",
            french="Cette base de données n'a pas de tables. Rien n'a été écrit. Lancez : relais db upgrade.",
        )
    if found != SCHEMA:
        raise SchemaDiffers(
            f"This database is of an older Relais (its schema is {found}, this one needs {SCHEMA}). Nothing was "
            "written. Back it up, then run: relais db upgrade.",
            french=f"Cette base de données est d'un Relais plus ancien (son schéma est {found}, il faut {SCHEMA}). Rien "
            "n'a été écrit. Faites-en une sauvegarde, puis lancez : relais db upgrade.",
        )


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:  # rows taken straight from the driver raise its own
        raise translated(error) from None
    except PoolTimeout:
        raise StoreBusy() from None


class SqlStore:
    """Inline store: the caller's thread does the work."""

    def __init__(self, url: str, cipher: Any = None, *, busy_seconds: float = 10.0) -> None:
        self.url = url
        self.cipher = cipher
        self.sqlite = url.startswith("sqlite")
        make = _sqlite_engine if self.sqlite else _postgres_engine
        self._writer = make(url, writer=True, busy_seconds=busy_seconds)
        self._reader = make(url, writer=False, busy_seconds=busy_seconds)

    def create(self) -> None:
        """Make the tables, or bring them up to date. Harmless when they are. Raises SchemaDiffers when they are of a
        newer Relais."""
        from connector.store import migrations  # it takes a tenth of a second, and is needed once

        found = self.schema()
        if found != SCHEMA:
            refuse_newer(found)
            with _translating(), self._writer.begin() as connection:
                migrations.upgrade(connection, _schema(connection))

    def schema(self) -> str | None:
        """The migration the tables stand at; None for an empty database."""
        with _translating(), self._reader.begin() as connection:
            return _schema(connection)

    def write(self, fn: Callable[[Unit], T]) -> T:
        """Run ``fn(unit)`` in one transaction. Raises StoreBusy, StoreFull, StoreError; nothing half-written."""
        with _translating(), self._writer.begin() as connection:
            return fn(Unit(connection, self.cipher))

    def read(self, fn: Callable[[Unit], T]) -> T:
        with _translating(), self._reader.begin() as connection:
            return fn(Unit(connection, self.cipher))

    def check(self) -> list[str]:
        """Problems the database itself finds; empty when it is sound."""
        if not self.sqlite:
            return []
        with _translating(), self._reader.connect() as connection:
            found = [str(r[0]) for r in connection.exec_driver_sql("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        self._writer.dispose()
        self._reader.dispose()


_Piece = tuple[Callable[[Unit], Any], Future[Any]]

#: What the database holds against one statement, not a trouble of its own.
_OWN = (IntegrityError, DataError, ProgrammingError)


def _closed() -> StoreError:
    return StoreError(
        "The database is being closed. Nothing was written. Start Relais again.",
        french="La base de données est en cours de fermeture. Rien n'a été écrit. Redémarrez Relais.",
    )


class QueuedStore(SqlStore):
    """One writer thread; what queued up meanwhile shares a COMMIT. The caller waits for the COMMIT."""

    #: Most pieces of work in one COMMIT.
    GROUP = 200

    def __init__(self, url: str, cipher: Any = None, *, busy_seconds: float = 10.0, bound: int = 1000) -> None:
        super().__init__(url, cipher, busy_seconds=busy_seconds)
        self._queue: queue.Queue[_Piece | None] = queue.Queue(bound)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="relais-writer", daemon=True)
        self._thread.start()

    def write(self, fn: Callable[[Unit], T]) -> T:
        if threading.current_thread() is self._thread:
            return super().write(fn)
        future = self.submit(fn)
        while not wait([future], timeout=1).done:
            if not self._thread.is_alive() and not future.done():
                raise _closed()
        return future.result()

    def submit(self, fn: Callable[[Unit], T]) -> Future[T]:
        """Queue the work; the future resolves after its COMMIT. Raises StoreBusy when the queue is full."""
        if self._closed:
            raise _closed()
        future: Future[T] = Future()
        try:
            self._queue.put((fn, future), timeout=5)
        except queue.Full:
            raise StoreBusy() from None
        return future

    def _work(self) -> None:
        last = False
        while not last:
            group: list[_Piece] = []
            piece = self._queue.get()
            while True:
                if piece is None:
                    last = True
                    break
                if piece[1].set_running_or_notify_cancel():  # from here on nobody can call it off
                    group.append(piece)
                if len(group) >= self.GROUP:
                    break
                try:
                    piece = self._queue.get_nowait()
                except queue.Empty:
                    break
            try:
                self._commit(group)
            except BaseException as error:  # whatever it was, the next group gets its own chance
                _fail(group, error)
        while not self._queue.empty():
            if (piece := self._queue.get()) is not None:
                _fail([piece], _closed())

    def _commit(self, group: list[_Piece]) -> None:
        if not group:
            return
        done: list[tuple[Future[Any], Any]] = []
        with _translating(), self._writer.begin() as connection:
            for fn, future in group:
                savepoint = connection.begin_nested()
                try:
                    result = fn(Unit(connection, self.cipher))
                    savepoint.commit()
                except Exception as error:
                    if isinstance(error, (DBAPIError, sqlite3.Error)) and not isinstance(error, _OWN):
                        raise  # the database's trouble is everybody's: nothing of this group is kept
                    savepoint.rollback()  # the caller's own error undoes the caller's own work
                    future.set_exception(translated(error) if isinstance(error, DBAPIError) else error)
                else:
                    done.append((future, result))
        for future, result in done:
            future.set_result(result)

    def close(self) -> None:
        self._closed = True
        self._queue.put(None)
        self._thread.join(timeout=30)
        super().close()


def _fail(group: list[_Piece], error: BaseException) -> None:
    for _, future in group:
        if not future.done():
            # Each caller is given an exception of its own: they raise it in threads of their own.
            own = type(error)(*error.args) if isinstance(error, StoreError) else error
            future.set_exception(own)
