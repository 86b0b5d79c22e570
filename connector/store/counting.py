"""Named queries of counting: contributions, touched cells, the one recount, cells.

The recount is one fixed text, the same on SQLite and PostgreSQL; no SQL is made per indicator.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from connector.model import ADDRESS
from connector.store.intake import dicts, many
from connector.store.tables import amount, stored

INSERT_CONTRIBUTION = text(
    "INSERT INTO contribution (record, indicator, part, org_unit, period, categories, amount, distinct_key, date, version, "
    "moment, at_least) VALUES (:record, :indicator, :part, :org_unit, :period, :categories, :amount, :distinct_key, :date, "
    ":version, :moment, :at_least)"
)
TOUCH = text(
    "INSERT INTO touched (indicator, part, org_unit, period, categories) VALUES (:indicator, :part, :org_unit, :period, "
    ":categories) ON CONFLICT (indicator, part, org_unit, period, categories) DO NOTHING"
)
TAKE_TOUCHED = text(
    "SELECT indicator, part, org_unit, period, categories FROM touched "
    "ORDER BY period, org_unit, indicator, part, categories LIMIT :limit"
)
TOUCH_ALL = text(
    "INSERT INTO touched (indicator, part, org_unit, period, categories) SELECT indicator, part, org_unit, period, categories "
    "FROM cell WHERE TRUE ON CONFLICT (indicator, part, org_unit, period, categories) DO NOTHING"
)
#: The other categories of the same indicator part, place and period: a person counted once may move between them.
TOUCH_ALIKE = text(
    "INSERT INTO touched (indicator, part, org_unit, period, categories) SELECT indicator, part, org_unit, period, categories "
    "FROM cell WHERE indicator=:indicator AND part=:part AND org_unit=:org_unit AND period=:period "
    "ON CONFLICT (indicator, part, org_unit, period, categories) DO NOTHING"
)
UNTOUCH = text(
    "DELETE FROM touched WHERE indicator=:indicator AND part=:part AND org_unit=:org_unit AND period=:period "
    "AND categories=:categories"
)
#: The recount: count, sum and count distinct of the touched cells' contributions.
RECOUNT = text(
    "SELECT t.indicator, t.part, t.org_unit, t.period, t.categories, COUNT(c.record) AS records, "
    "COALESCE(SUM(c.amount), 0) AS total, COUNT(DISTINCT NULLIF(c.distinct_key, '')) AS different "
    "FROM (SELECT indicator, part, org_unit, period, categories FROM touched "
    "ORDER BY period, org_unit, indicator, part, categories LIMIT :limit) t "
    "LEFT JOIN contribution c ON c.indicator=t.indicator AND c.part=t.part AND c.org_unit=t.org_unit "
    "AND c.period=t.period AND c.categories=t.categories "
    "GROUP BY t.indicator, t.part, t.org_unit, t.period, t.categories"
)
#: The recount of what looks at all records of a key: of each key the first record says in which category it counts
#: (``keys``), or only the first or the latest record counts (``first``, ``latest``). One row per category that any record
#: stands in, of the parts, places and periods among the touched cells.
RECOUNT_KEYS = (
    "SELECT indicator, part, org_unit, period, categories, "
    "SUM(CASE WHEN nth = 1 AND times >= at_least THEN 1 ELSE 0 END) AS keys, "
    "SUM(CASE WHEN oldest = 1 THEN amount ELSE 0 END) AS first, SUM(CASE WHEN newest = 1 THEN amount ELSE 0 END) AS latest "
    "FROM (SELECT c.indicator, c.part, c.org_unit, c.period, c.categories, c.amount, c.at_least, "
    "ROW_NUMBER() OVER (PARTITION BY c.indicator, c.part, c.org_unit, c.period, c.distinct_key ORDER BY c.moment) AS nth, "
    "COUNT(*) OVER (PARTITION BY c.indicator, c.part, c.org_unit, c.period, c.distinct_key) AS times, "
    "RANK() OVER (PARTITION BY c.indicator, c.part, c.org_unit, c.period, c.distinct_key ORDER BY c.moment) AS oldest, "
    "RANK() OVER (PARTITION BY c.indicator, c.part, c.org_unit, c.period, c.distinct_key ORDER BY c.moment DESC) AS newest "
    "FROM (SELECT DISTINCT indicator, part, org_unit, period FROM (SELECT indicator, part, org_unit, period FROM touched "
    "ORDER BY period, org_unit, indicator, part, categories LIMIT :limit) u WHERE indicator IN {in}) t "
    "JOIN contribution c ON c.indicator=t.indicator AND c.part=t.part AND c.org_unit=t.org_unit AND c.period=t.period "
    "WHERE c.distinct_key <> '') k GROUP BY indicator, part, org_unit, period, categories"
)
#: What was accepted under one name says nothing of another: renamed in the pack, a cell is sent again.
UPSERT_CELL = text(
    "INSERT INTO cell (indicator, part, org_unit, period, categories, data_set, data_element, combo, value, records, state, "
    "version, updated) VALUES (:indicator, :part, :org_unit, :period, :categories, :data_set, :data_element, :combo, :value, "
    ":records, :state, :version, :now) ON CONFLICT (indicator, part, org_unit, period, categories) DO UPDATE SET "
    "value=excluded.value, records=excluded.records, version=excluded.version, updated=excluded.updated, data_set=excluded.data_set, "
    "accepted=CASE WHEN cell.data_element=excluded.data_element AND cell.combo=excluded.combo THEN cell.accepted END, "
    "data_element=excluded.data_element, combo=excluded.combo, state=excluded.state"
)
BLOCK_CELLS = text(
    "SELECT * FROM cell WHERE data_set=:data_set AND org_unit=:org_unit AND period=:period ORDER BY data_element, combo"
)
CELL_ACCEPTED = text(
    "UPDATE cell SET accepted=:value, accepted_at=:now, state='accepted', reason=NULL, there=NULL, released=NULL WHERE id=:id"
)
DEPARTED = text(
    "INSERT INTO departed (indicator, part, org_unit, period, categories, record, at) VALUES (:indicator, :part, :org_unit, "
    ":period, :categories, :record, :now) ON CONFLICT (indicator, part, org_unit, period, categories, record) DO NOTHING"
)
FORGET_DEPARTED = text(
    "DELETE FROM departed WHERE EXISTS (SELECT 1 FROM cell c WHERE c.id=:id AND c.indicator=departed.indicator AND "
    "c.part=departed.part AND c.org_unit=departed.org_unit AND c.period=departed.period AND c.categories=departed.categories)"
)
CELL_STATE = text("UPDATE cell SET state=:state, reason=:reason, there=:there WHERE id=:id")
INSERT_SENT = text(
    "INSERT INTO value_sent (cell, attempt, value, verdict, reason, at) VALUES (:cell, :attempt, :value, 'open', NULL, :now)"
)
SENT_VERDICT = text("UPDATE value_sent SET verdict=:verdict, reason=:reason WHERE attempt=:attempt AND cell=:cell")


def _address(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] for name in ADDRESS)


class CountingQueries:
    connection: Connection

    def contributions(self, records: Iterable[str]) -> list[dict[str, Any]]:
        rows = self.select_in("SELECT * FROM contribution WHERE record IN {in}", records)  # type: ignore[attr-defined]
        return [{**r, "amount": amount(r["amount"])} for r in rows]

    def replace_contributions(self, drop: Sequence[str], rows: list[dict[str, Any]]) -> None:
        if drop:
            many(self.connection, text("DELETE FROM contribution WHERE record=:r"), [{"r": r} for r in drop])
        if rows:
            many(self.connection, INSERT_CONTRIBUTION, [{**r, "amount": stored(r["amount"])} for r in rows])

    def touch(self, cells: list[dict[str, Any]]) -> None:
        if cells:
            many(self.connection, TOUCH, cells)

    def touch_all(self) -> None:
        """Count every cell again."""
        self.connection.execute(TOUCH_ALL)

    def touch_alike(self, parts: Iterable[tuple[str, str, str, str]]) -> None:
        """Count all categories of these (indicator, part, org unit, period) again."""
        names = ("indicator", "part", "org_unit", "period")
        rows = [dict(zip(names, part, strict=True)) for part in parts]
        if rows:
            many(self.connection, TOUCH_ALIKE, rows)

    def recount(self, limit: int, keyed: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The touched cells counted again. ``keyed``: indicators that look at all records of a key; their rows have
        ``keys``, ``first`` and ``latest`` too."""
        rows = dicts(self.connection.execute(RECOUNT, {"limit": limit}))
        found = {
            _address(row): {**row, "total": amount(row["total"]), "keys": 0, "first": 0, "latest": 0} for row in rows
        }
        asked = {row["indicator"] for row in rows} & set(keyed)
        if asked:
            for row in self.select_in(RECOUNT_KEYS, sorted(asked), limit=limit):  # type: ignore[attr-defined]
                known = found.get(_address(row))
                if known is not None:
                    known.update(keys=int(row["keys"]), first=amount(row["first"]), latest=amount(row["latest"]))
        return list(found.values())

    def untouch(self, cells: list[dict[str, Any]]) -> None:
        if cells:
            many(self.connection, UNTOUCH, cells)

    def cells(self, block: tuple[str, str, str]) -> list[dict[str, Any]]:
        parameters = {"data_set": block[0], "org_unit": block[1], "period": block[2]}
        return dicts(self.connection.execute(BLOCK_CELLS, parameters))

    def keep_cells(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            many(self.connection, UPSERT_CELL, [{"version": None, **row} for row in rows])

    def cells_accepted(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            many(self.connection, CELL_ACCEPTED, rows)
            if self.connection.execute(text("SELECT 1 FROM departed LIMIT 1")).first():
                many(self.connection, FORGET_DEPARTED, [{"id": row["id"]} for row in rows])

    def departed(self, rows: list[dict[str, Any]]) -> None:
        """Remember which records left which cells, until the new figure is accepted."""
        if rows:
            many(self.connection, DEPARTED, rows)

    def cells_state(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            many(self.connection, CELL_STATE, rows)

    def values_leave(self, rows: list[dict[str, Any]]) -> None:
        """Write down every value about to be sent, before it leaves."""
        if rows:
            many(self.connection, INSERT_SENT, rows)

    def values_judged(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            many(self.connection, SENT_VERDICT, rows)

    def values_once_sent(self, cells: Iterable[int]) -> dict[int, set[str | None]]:
        """Per cell the values that may have reached the target from us, whatever was answered."""
        rows = self.select_in(  # type: ignore[attr-defined]
            "SELECT DISTINCT cell, value FROM value_sent WHERE verdict IN ('open', 'unknown', 'accepted') AND cell IN {in}",
            cells,
        )
        found: dict[int, set[str | None]] = {}
        for row in rows:
            found.setdefault(row["cell"], set()).add(row["value"])
        return found

    def values_in_doubt(self, cells: Iterable[int]) -> set[int]:
        """Cells for which something left after the value accepted last and no trusted answer came: whatever is wanted,
        the target may hold another value."""
        rows = self.select_in(  # type: ignore[attr-defined]
            "SELECT DISTINCT cell FROM value_sent s WHERE verdict IN ('open', 'unknown') AND NOT EXISTS (SELECT 1 FROM "
            "value_sent a WHERE a.cell=s.cell AND a.verdict='accepted' AND a.attempt > s.attempt) AND cell IN {in}",
            cells,
        )
        return {row["cell"] for row in rows}

    def held(self) -> int:
        return int(self.connection.execute(text("SELECT COUNT(*) FROM cell WHERE state='held'")).scalar() or 0)
