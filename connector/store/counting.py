"""Named queries of counting: contributions, touched cells, the one recount, cells.

The recount is one fixed text, the same on SQLite and PostgreSQL; no SQL is made per indicator.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.engine import Connection

from connector.model import ADDRESS
from connector.store.intake import block_names, chunks, dicts, in_list, in_rows, many, statement
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
#: Contributions by the person they are of: where a part counts persons (``:persons``), two ids of one person are one key.
WHO = "LEFT JOIN same_key s ON s.key=c.distinct_key AND c.distinct_key <> '' AND (c.indicator || '/' || c.part) IN {persons} "
#: The recount: count, sum and count distinct of the touched cells' contributions.
RECOUNT = (
    "SELECT t.indicator, t.part, t.org_unit, t.period, t.categories, COUNT(c.record) AS records, "
    "COALESCE(SUM(c.amount), 0) AS total, COUNT(DISTINCT COALESCE(s.kept, NULLIF(c.distinct_key, ''))) AS different "
    "FROM (SELECT indicator, part, org_unit, period, categories FROM touched "
    "ORDER BY period, org_unit, indicator, part, categories LIMIT :limit) t "
    "LEFT JOIN contribution c ON c.indicator=t.indicator AND c.part=t.part AND c.org_unit=t.org_unit "
    "AND c.period=t.period AND c.categories=t.categories "
    + WHO
    + "GROUP BY t.indicator, t.part, t.org_unit, t.period, t.categories"
)
#: The recount of what looks at all records of a key: of each key the first record says in which category it counts
#: (``keys``), or only the first or the latest record counts (``first``, ``latest``). One row per category that any record
#: stands in, of the parts, places and periods among the touched cells.
RECOUNT_KEYS = (
    "SELECT indicator, part, org_unit, period, categories, "
    "SUM(CASE WHEN nth = 1 AND times >= at_least THEN 1 ELSE 0 END) AS keys, "
    "SUM(CASE WHEN oldest = 1 THEN amount ELSE 0 END) AS first, SUM(CASE WHEN newest = 1 THEN amount ELSE 0 END) AS latest "
    "FROM (SELECT c.indicator, c.part, c.org_unit, c.period, c.categories, c.amount, c.at_least, "
    "ROW_NUMBER() OVER (PARTITION BY c.indicator, c.part, c.org_unit, c.period, COALESCE(s.kept, c.distinct_key) ORDER BY c.moment) AS nth, "
    "COUNT(*) OVER (PARTITION BY c.indicator, c.part, c.org_unit, c.period, COALESCE(s.kept, c.distinct_key)) AS times, "
    "RANK() OVER (PARTITION BY c.indicator, c.part, c.org_unit, c.period, COALESCE(s.kept, c.distinct_key) ORDER BY c.moment) AS oldest, "
    "RANK() OVER (PARTITION BY c.indicator, c.part, c.org_unit, c.period, COALESCE(s.kept, c.distinct_key) ORDER BY c.moment DESC) AS newest "
    "FROM (SELECT DISTINCT indicator, part, org_unit, period FROM (SELECT indicator, part, org_unit, period FROM touched "
    "ORDER BY period, org_unit, indicator, part, categories LIMIT :limit) u WHERE indicator IN {in}) t "
    "JOIN contribution c ON c.indicator=t.indicator AND c.part=t.part AND c.org_unit=t.org_unit AND c.period=t.period "
    + WHO
    + "WHERE c.distinct_key <> '') k GROUP BY indicator, part, org_unit, period, categories"
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
#: Of these cells those whose figure a target holds, or may hold, or held when it changed.
CELLS_OUT = (
    "SELECT c.indicator, c.part, c.org_unit, c.period, c.categories FROM {rows} g JOIN cell c ON c.indicator=g.indicator AND "
    "c.part=g.part AND c.org_unit=g.org_unit AND c.period=g.period AND c.categories=g.categories WHERE c.accepted_at IS NOT NULL "
    "OR EXISTS (SELECT 1 FROM value_sent s WHERE s.cell=c.id) OR EXISTS (SELECT 1 FROM cell_change x WHERE x.indicator=c.indicator "
    "AND x.part=c.part AND x.org_unit=c.org_unit AND x.period=c.period AND x.categories=c.categories)"
)
#: The first change since the value was accepted says what the record added then; later ones leave it.
CELL_CHANGE = text(
    "INSERT INTO cell_change (indicator, part, org_unit, period, categories, record, was, at) SELECT c.indicator, c.part, "
    "c.org_unit, c.period, c.categories, CAST(:record AS TEXT), CAST(:was AS TEXT), CAST(:now AS TEXT) FROM cell c WHERE "
    "c.indicator=:indicator AND c.part=:part AND c.org_unit=:org_unit AND c.period=:period AND c.categories=:categories AND "
    "(c.accepted_at IS NOT NULL OR EXISTS (SELECT 1 FROM value_sent s WHERE s.cell=c.id)) "
    "ON CONFLICT (indicator, part, org_unit, period, categories, record) DO NOTHING"
)
CHANGED_BACK = text(
    "DELETE FROM cell_change WHERE indicator=:indicator AND part=:part AND org_unit=:org_unit AND period=:period AND "
    "categories=:categories AND record=:record AND was=:is"
)
FORGET_CHANGES = text(
    "DELETE FROM cell_change WHERE EXISTS (SELECT 1 FROM cell c WHERE c.id=:id AND c.indicator=cell_change.indicator AND "
    "c.part=cell_change.part AND c.org_unit=cell_change.org_unit AND c.period=cell_change.period AND "
    "c.categories=cell_change.categories)"
)
#: Nothing is wanted of these at the target any more, and nothing of ours is there: a refusal of before says nothing.
CELLS_FORGIVEN = text(
    "UPDATE cell SET state='wanted', reason=NULL, there=NULL WHERE data_set=:data_set AND org_unit=:org_unit "
    "AND period=:period AND state='rejected' AND value IS NULL AND accepted IS NULL"
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

    def recount(
        self,
        limit: int,
        keyed: Sequence[str] = (),
        waiting: Sequence[tuple[str, str]] = (),
        persons: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """The touched cells counted again, but those of ``waiting`` (indicator, period). ``keyed``: indicators that look
        at all records of a key; their rows have ``keys``, ``first`` and ``latest`` too. ``persons``: the parts
        (``indicator/part``) whose keys are persons."""
        dialect = self.connection.dialect.name
        more: dict[str, Any] = {"limit": limit, "persons": orjson.dumps(list(persons)).decode()}
        among = in_list(dialect, list(persons)).replace(":list", ":persons")
        touched = "FROM touched "
        if waiting:
            names = in_list(dialect, ["text"]).replace(":list", ":waiting")
            touched += f"WHERE indicator || '/' || period NOT IN {names} "
            more["waiting"] = orjson.dumps(["/".join(one) for one in waiting]).decode()
        whole, by_key = (
            query.replace("{persons}", among).replace("FROM touched ", touched) for query in (RECOUNT, RECOUNT_KEYS)
        )
        rows = dicts(self.connection.execute(statement(whole), more))
        found = {
            _address(row): {**row, "total": amount(row["total"]), "keys": 0, "first": 0, "latest": 0} for row in rows
        }
        asked = {row["indicator"] for row in rows} & set(keyed)
        if asked:
            for row in self.select_in(by_key, sorted(asked), **more):  # type: ignore[attr-defined]
                known = found.get(_address(row))
                if known is not None:
                    known.update(keys=int(row["keys"]), first=amount(row["first"]), latest=amount(row["latest"]))
        return list(found.values())

    def untouch(self, cells: list[dict[str, Any]]) -> None:
        if cells:
            many(self.connection, UNTOUCH, cells)

    def cells(self, block: tuple[str, str, str]) -> list[dict[str, Any]]:
        return dicts(self.connection.execute(BLOCK_CELLS, block_names(block)))

    def keep_cells(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            many(self.connection, UPSERT_CELL, [{"version": None, **row} for row in rows])

    def cells_accepted(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            many(self.connection, CELL_ACCEPTED, rows)
            if self._any_change():
                many(self.connection, FORGET_CHANGES, [{"id": row["id"]} for row in rows])

    def _any_change(self) -> bool:
        return self.connection.execute(text("SELECT 1 FROM cell_change LIMIT 1")).first() is not None

    def cells_out(self, cells: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
        """Of these cells (``ADDRESS``) those of which it matters that a record adds something else than before: a target
        holds their figure, or may hold it."""
        table = in_rows(self.connection.dialect.name, ADDRESS)
        sql = statement(CELLS_OUT.replace("{rows}", table))
        found: set[tuple[str, ...]] = set()
        for several in chunks(list(cells)):
            rows = self.connection.execute(sql, {"list": orjson.dumps(several).decode()})
            found |= {_address(row) for row in dicts(rows)}
        return found

    def cells_change(self, rows: list[dict[str, Any]]) -> None:
        """Remember which records add something else to which cells, until the new figure is accepted. ``was``, ``is``:
        what the record added before and adds now, "" for nothing."""
        if rows:
            many(self.connection, CELL_CHANGE, [{k: v for k, v in row.items() if k != "is"} for row in rows])
            if self._any_change():
                back = [{k: v for k, v in row.items() if k not in ("was", "now")} for row in rows]
                many(self.connection, CHANGED_BACK, back)

    def cells_state(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            many(self.connection, CELL_STATE, rows)

    def cells_forgiven(self, block: tuple[str, str, str]) -> None:
        """The block is accepted whole: a value of it that was refused and is not wanted any more is in nobody's way."""
        self.connection.execute(CELLS_FORGIVEN, block_names(block))

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
