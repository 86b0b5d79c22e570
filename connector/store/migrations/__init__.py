"""Migrations of the tables, by Alembic, for both databases (README.md)."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import inspect
from sqlalchemy.engine import Connection

PLACE = Path(__file__).parent


def config(connection: Connection | None = None) -> Config:
    made = Config()
    made.set_main_option("script_location", str(PLACE).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def upgrade(connection: Connection, found: str | None, to: str = "head") -> None:
    """Bring the tables from ``found`` (None: there are none) to ``to``, in the transaction of ``connection``."""
    if found is not None and not inspect(connection).has_table("alembic_version"):
        command.stamp(config(connection), found)  # tables made before there were migrations
    command.upgrade(config(connection), to)
