"""The database: SQLite (WAL, synchronous=FULL) or PostgreSQL behind one small face.

``Store.write`` is synchronous and short; two implementations: inline (commands, simulation) and queued
(``serve``: one writer thread, group commit with a savepoint per piece of work, answered after COMMIT).
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy import Engine as SqlEngine
from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from connector.errors import StoreBusy, StoreError, StoreFull
from connector.store.tables import metadata
from connector.store.unit import Unit

T = TypeVar("T")

#: Bumped with every migration; kept in ``meta``. 0002: table ``token``.
SCHEMA = "0002"


def _sqlite_engine(url: str, *, writer: bool, busy_seconds: float) -> SqlEngine:
    engine = create_engine(url, connect_args={"timeout": busy_seconds, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _connect(dbapi: sqlite3.Connection, _record: Any) -> None:
        dbapi.isolation_level = None
        cursor = dbapi.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA cache_size=-16000")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


def translated(error: DBAPIError) -> StoreError:
    """The store's own error for what the driver said."""
    words = str(error.orig).lower()
    if "full" in words or "no space" in words or "disk i/o" in words:
        return StoreFull(StoreFull.__doc__)
    if "locked" in words or "busy" in words or isinstance(error, OperationalError):
        return StoreBusy(f"{StoreBusy.__doc__} ({type(error.orig).__name__})")
    return StoreError(f"{StoreError.__doc__} ({type(error.orig).__name__}: {error.orig})")


class SqlStore:
    """Inline store: the caller's thread does the work."""

    def __init__(self, url: str, cipher: Any = None, *, busy_seconds: float = 10.0) -> None:
        self.url = url
        self.cipher = cipher
        self.sqlite = url.startswith("sqlite")
        if self.sqlite:
            self._writer = _sqlite_engine(url, writer=True, busy_seconds=busy_seconds)
            self._reader = _sqlite_engine(url, writer=False, busy_seconds=busy_seconds)
        else:
            self._writer = self._reader = create_engine(url, pool_pre_ping=True)

    def create(self) -> None:
        """Make the tables that are missing (all of them in a new database) and note the schema version. Harmless on
        a database of this version, or of a later one."""
        try:
            if (self.schema() or "") < SCHEMA:
                with self._writer.begin() as connection:
                    metadata.create_all(connection)
                    connection.execute(
                        text(
                            "INSERT INTO meta (key, value) VALUES ('schema', :v) "
                            "ON CONFLICT (key) DO UPDATE SET value=excluded.value"
                        ),
                        {"v": SCHEMA},
                    )
        except DBAPIError as error:
            raise translated(error) from None

    def schema(self) -> str | None:
        if not inspect(self._reader).has_table("meta"):
            return None
        with self._reader.connect() as connection:
            return connection.execute(text("SELECT value FROM meta WHERE key='schema'")).scalar()

    def write(self, fn: Callable[[Unit], T]) -> T:
        """Run ``fn(unit)`` in one transaction. Raises StoreBusy, StoreFull, StoreError; nothing half-written."""
        try:
            with self._writer.begin() as connection:
                return fn(Unit(connection, self.cipher))
        except DBAPIError as error:
            raise translated(error) from None

    def read(self, fn: Callable[[Unit], T]) -> T:
        try:
            with self._reader.begin() as connection:
                return fn(Unit(connection, self.cipher))
        except DBAPIError as error:
            raise translated(error) from None

    def check(self) -> list[str]:
        """Problems the database itself finds; empty when it is sound."""
        if not self.sqlite:
            return []
        with self._reader.connect() as connection:
            found = [str(r[0]) for r in connection.exec_driver_sql("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        self._writer.dispose()
        self._reader.dispose()


class QueuedStore(SqlStore):
    """One writer thread; what queued up meanwhile shares a COMMIT. The caller waits for the COMMIT."""

    #: Most pieces of work in one COMMIT.
    GROUP = 200

    def __init__(self, url: str, cipher: Any = None, *, busy_seconds: float = 10.0, bound: int = 1000) -> None:
        super().__init__(url, cipher, busy_seconds=busy_seconds)
        self._queue: queue.Queue[tuple[Callable[[Unit], Any], Future[Any]] | None] = queue.Queue(bound)
        self._thread = threading.Thread(target=self._work, name="relais-writer", daemon=True)
        self._thread.start()

    def write(self, fn: Callable[[Unit], T]) -> T:
        if threading.current_thread() is self._thread:
            return super().write(fn)
        return self.submit(fn).result()

    def submit(self, fn: Callable[[Unit], T]) -> Future[T]:
        """Queue the work; the future resolves after its COMMIT. Raises StoreBusy when the queue is full."""
        future: Future[T] = Future()
        try:
            self._queue.put((fn, future), timeout=5)
        except queue.Full:
            raise StoreBusy(StoreBusy.__doc__) from None
        return future

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            last = False
            while len(group) < self.GROUP:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                    break
                group.append(more)
            self._commit(group)
            if last:
                return

    def _commit(self, group: list[tuple[Callable[[Unit], Any], Future[Any]]]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        try:
            with self._writer.begin() as connection:
                for fn, future in group:
                    try:
                        with connection.begin_nested():
                            done.append((future, fn(Unit(connection, self.cipher))))
                    except DBAPIError:
                        raise
                    except Exception as error:  # the caller's own error: only its savepoint is rolled back
                        future.set_exception(error)
        except DBAPIError as error:
            for _, future in group:
                if not future.done():
                    future.set_exception(translated(error))
            return
        for future, result in done:
            future.set_result(result)

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join(timeout=30)
        super().close()
