"""A store on each database, inline and queued."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from connector import crypto
from connector.store.database import QueuedStore, SqlStore
from connector.store.tables import metadata
from tests.store.databases import DATABASES, database

KINDS: dict[str, type[SqlStore]] = {"inline": SqlStore, "queued": QueuedStore}
BUSY = 0.3
MASTER = b"m" * 32


@pytest.fixture(scope="module", params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with tables, the same for a whole module: ``store`` empties it."""
    with database(request.param, tmp_path_factory.mktemp("database")) as made:
        store = SqlStore(made)
        store.create()
        store.close()
        yield made


Open = Callable[..., SqlStore]


@pytest.fixture
def opened(url: str) -> Iterator[Open]:
    """``opened(kind="queued")``: another process's store on the same, emptied database."""
    names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
    with ExitStack() as stack:

        def make(kind: str = "inline", busy_seconds: float = BUSY) -> SqlStore:
            made = KINDS[kind](url, busy_seconds=busy_seconds)
            stack.callback(made.close)
            made.cipher = made.write(
                lambda unit: crypto.Cipher.open(
                    unit.connection, MASTER, now=lambda: datetime(2026, 10, 6, 8, 0, tzinfo=UTC)
                )
            )
            made.cipher.read = lambda fn: made.read(lambda unit: fn(unit.connection))
            return made

        empty = SqlStore(url)
        with empty._writer.begin() as connection:
            if empty.sqlite:
                for table in metadata.sorted_tables:
                    connection.execute(table.delete())
            else:
                connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
        empty.close()
        yield make


@pytest.fixture(params=list(KINDS))
def store(request: pytest.FixtureRequest, opened: Open) -> SqlStore:
    return opened(request.param)


def rows(store: SqlStore, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.read(lambda unit: unit._rows(sql, **parameters))
    return found
