"""Named queries of what people choose to act on: frozen selections of deliveries."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.engine import Connection

#: Filters of a selection, column by column.
COLUMNS = ("target", "state", "kind", "reason", "record")

FREEZE = (
    "INSERT INTO selection_delivery (selection, position, delivery) SELECT :s, ROW_NUMBER() OVER (ORDER BY wanted_at, id), "
    "id FROM delivery WHERE {where}"
)
STANDING = (
    "SELECT COUNT(*) AS chosen, COALESCE(SUM(CASE WHEN state='accepted' THEN 1 ELSE 0 END), 0) AS held, "
    "COALESCE(SUM(CASE WHEN state='leased' THEN 1 ELSE 0 END), 0) AS sending, "
    "COALESCE(SUM(CASE WHEN unsure AND state IN ('parked','deferred','unknown','resolved') THEN 1 ELSE 0 END), 0) AS uncertain "
    "FROM delivery WHERE {where}"
)


class ChoosingQueries:
    connection: Connection

    def _chosen(self, ids: list[int], where: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """SQL and parameters of "these ids, or whatever fits the filter"."""
        clauses = [f"{name}=:{name}" for name in where if name in COLUMNS]
        parts = [f"({' AND '.join(clauses)})"] if clauses else []
        if ids or not clauses:
            listed = (
                "(SELECT value FROM json_each(:ids))"
                if self.connection.dialect.name == "sqlite"
                else "(SELECT CAST(item AS bigint) FROM jsonb_array_elements_text(CAST(:ids AS jsonb)) AS item)"
            )
            parts.append(f"id IN {listed}")
        return " OR ".join(parts), {**where, **({"ids": orjson.dumps(ids).decode()} if ids or not clauses else {})}

    def standing_of(self, ids: list[int], where: dict[str, Any]) -> dict[str, int]:
        """How many a choice is, and how many of them the target holds, are on their way, or are uncertain."""
        clause, parameters = self._chosen(ids, where)
        row = self.connection.execute(text(STANDING.format(where=clause)), parameters).mappings().one()
        return {name: int(n) for name, n in row.items()}

    def freeze(self, what: str, ids: list[int], where: dict[str, Any], by: str, now: str) -> int:
        """Write the choice down, oldest wanted first. Returns the number of the selection."""
        number = self.connection.execute(
            text(
                "INSERT INTO selection (what, filter, \"by\", at, state) VALUES (:w, :f, :by, :now, 'open') RETURNING id"
            ),
            {"w": what, "f": orjson.dumps(where, option=orjson.OPT_SORT_KEYS).decode(), "by": by, "now": now},
        ).scalar_one()
        clause, parameters = self._chosen(ids, where)
        self.connection.execute(text(FREEZE.format(where=clause)), {"s": number, **parameters})
        return int(number)

    def selection(self, number: int) -> dict[str, Any] | None:
        row = self.connection.execute(text("SELECT * FROM selection WHERE id=:s"), {"s": number}).mappings().first()
        return dict(row) if row else None

    def not_yet(self, number: int, limit: int) -> list[dict[str, Any]]:
        """The next of a selection that nothing was done about, with how they stand now."""
        rows = self.connection.execute(
            text(
                "SELECT s.position, d.id, d.target, d.kind, d.state, d.unsure, d.step, d.due_at, d.updated, d.digest, d.accepted_digest "
                "FROM selection_delivery s JOIN delivery d ON d.id=s.delivery WHERE s.selection=:s AND s.outcome IS NULL "
                "ORDER BY s.position LIMIT :n"
            ),
            {"s": number, "n": limit},
        ).mappings()
        return [dict(row) for row in rows]

    def retried(self, rows: list[dict[str, Any]], now: str) -> None:
        """Due again, as an uncertain one where it was uncertain."""
        for row in rows:
            self.connection.execute(
                text(
                    "UPDATE delivery SET state=CASE WHEN unsure THEN 'unknown' ELSE 'pending' END, tries=0, due_at=:due, "
                    "note=NULL, note_by=NULL, updated=:now WHERE id=:id"
                ),
                {"id": row["id"], "due": row["due"], "now": now},
            )

    def chosen_done(self, number: int, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            self.connection.execute(
                text("UPDATE selection_delivery SET outcome=:o WHERE selection=:s AND position=:p"),
                {"o": row["outcome"], "s": number, "p": row["position"]},
            )

    def selection_ends(self, number: int, state: str, now: str) -> None:
        self.connection.execute(
            text("UPDATE selection SET state=:st, ended=:now WHERE id=:s"), {"st": state, "now": now, "s": number}
        )

    def selection_counts(self, number: int) -> dict[str, int]:
        """Outcome -> how many; ``left`` where nothing was done yet (or its delivery is not there any more)."""
        rows = self.connection.execute(
            text(
                "SELECT COALESCE(outcome, 'left') AS outcome, COUNT(*) AS n FROM selection_delivery WHERE selection=:s "
                "GROUP BY COALESCE(outcome, 'left')"
            ),
            {"s": number},
        ).mappings()
        return {row["outcome"]: int(row["n"]) for row in rows}
