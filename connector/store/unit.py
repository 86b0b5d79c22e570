"""A unit of work: one transaction, with the named queries of each area mixed in."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy.engine import Connection

from connector.store.choosing import ChoosingQueries
from connector.store.counting import CountingQueries
from connector.store.deriving import DerivingQueries
from connector.store.intake import IntakeQueries
from connector.store.keeping import KeepingQueries
from connector.store.ledger import LedgerQueries
from connector.store.matching import MatchQueries
from connector.store.persons import PersonQueries
from connector.store.planning import PlanQueries
from connector.store.reporting import ReportingQueries
from connector.store.tokens import TokenQueries
from connector.store.trail import TrailQueries


class Unit(
    IntakeQueries,
    CountingQueries,
    DerivingQueries,
    LedgerQueries,
    MatchQueries,
    TrailQueries,
    ChoosingQueries,
    KeepingQueries,
    PersonQueries,
    PlanQueries,
    ReportingQueries,
    TokenQueries,
):
    def __init__(self, connection: Connection, cipher: Any) -> None:
        self.connection = connection
        self.cipher = cipher

    def seal(self, table: str, value: Any) -> bytes:
        """The value as encrypted JSON for a ``*_enc`` column of the table."""
        data = value if isinstance(value, bytes) else orjson.dumps(value, default=str)
        blob: bytes = self.cipher.encrypt(self.connection, table, data)
        return blob

    def open(self, table: str, blob: bytes | None) -> Any:
        """The value of an encrypted column; None for NULL and for what is purged."""
        if not blob:  # never written, or purged
            return None
        return orjson.loads(self.cipher.decrypt(table, bytes(blob)))

    def keyed(self, text: str) -> str:
        hashed: str = self.cipher.keyed_hash(text)
        return hashed
