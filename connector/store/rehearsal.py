"""A copy of what is received, mapped and counted, to try something on. The database itself is only read."""

from __future__ import annotations

from sqlalchemy import insert, select

from connector.store.database import SqlStore
from connector.store.tables import metadata

#: Rows written together.
CHUNK = 500
#: Nothing is mapped or counted by these: what was sent, who looked, who may.
LEFT_OUT = frozenset(
    (
        "approval", "attempt", "attempt_delivery", "audit", "audit_head", "beat", "cell_change", "delivery", "fire", "lane",
        "plan", "plan_delivery", "run", "selection", "selection_delivery", "target_state", "token", "user", "value_sent",
    )
)  # fmt: skip


def copy(store: SqlStore, into: SqlStore) -> None:
    """Fill a new database with the rows of another, as of one moment. Encrypted columns stay as they are. A reader
    holds up no writer, so work goes on meanwhile. Raises StoreError."""
    into.create()

    def read(unit: object) -> None:
        connection = unit.connection  # type: ignore[attr-defined]
        for table in metadata.sorted_tables:
            if table.name in LEFT_OUT:
                continue
            into.write(lambda other, t=table: other.connection.execute(t.delete()))  # what creating it put there
            found = connection.execution_options(stream_results=True).execute(select(table)).mappings()
            for rows in found.partitions(CHUNK):
                values = [dict(row) for row in rows]
                into.write(lambda other, t=table, v=values: other.connection.execute(insert(t), v))

    store.read(read)
