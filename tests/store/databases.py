"""The databases under test: a new SQLite file, or a schema of its own in a PostgreSQL that is running.

PostgreSQL is the one RELAIS_TEST_POSTGRES names, else the one scripts/postgres.sh started, if it answers.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

ROOT = Path(__file__).parents[2]
DATABASES = ("sqlite", "postgres")
_GIVEN = os.environ.get("RELAIS_TEST_POSTGRES")  # read once: tests clear the variables of Relais


@lru_cache(maxsize=1)
def server() -> str | None:
    """The URL of a PostgreSQL that answers; None when there is none."""
    started = ROOT / "var/postgres/url"
    url = _GIVEN or (started.read_text().strip() if started.exists() else "")
    if not url:
        return None
    engine = create_engine(url, connect_args={"connect_timeout": 5})
    try:
        with engine.connect():
            return url
    except DBAPIError:
        if _GIVEN:
            raise
        return None
    finally:
        engine.dispose()


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database, gone afterwards. Skips the test when it needs a PostgreSQL and there is none."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'relais.db'}"
        return
    url = server()
    if url is None:
        pytest.skip("no PostgreSQL: start one with scripts/postgres.sh, or name one in RELAIS_TEST_POSTGRES")
    name = f"relais_{uuid.uuid4().hex}"
    admin = create_engine(url)
    with admin.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    try:
        yield f"{url}?options=-csearch_path%3D{name}"
    finally:
        with admin.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
        admin.dispose()
