"""Named queries of plans: what was shown, why it changed, and the claim of just that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from connector.model import ADDRESS
from connector.store.intake import dicts, many, statement

NEW_PLAN = text(
    'INSERT INTO plan (at, "by", target, period, pack, digest, summary) VALUES (:now, :by, :target, :period, :pack, '
    "'', '{}') RETURNING id"
)
PLAN_DELIVERY = text(
    "INSERT INTO plan_delivery (plan, delivery, key, generation, mark) VALUES (:plan, :delivery, :key, :generation, :mark) "
    "ON CONFLICT (plan, delivery) DO NOTHING"
)
#: Only what was planned and is still wanted as it was then.
CLAIM_PLANNED = text(
    "SELECT d.* FROM plan_delivery p JOIN delivery d ON d.id=p.delivery AND d.generation=p.generation WHERE p.plan=:plan "
    "AND d.target=:target AND d.due_at <= :now AND (d.state IN ('pending', 'deferred', 'unknown') OR (d.state='leased' AND "
    "d.lease_until < :now)) ORDER BY d.due_at, d.id LIMIT :limit"
)
TOUCH_CELLS = text(
    "INSERT INTO touched (indicator, part, org_unit, period, categories) SELECT indicator, part, org_unit, period, categories "
    "FROM cell WHERE indicator=:i AND period=:p ON CONFLICT (indicator, part, org_unit, period, categories) DO NOTHING"
)
_CELL = (
    "c.indicator=:indicator AND c.part=:part AND c.org_unit=:org_unit AND c.period=:period AND c.categories=:categories"
)
#: The record of a change adds to the cell now.
_ADDS = (
    "EXISTS (SELECT 1 FROM contribution x WHERE x.record=c.record AND x.indicator=c.indicator AND x.part=c.part AND "
    "x.org_unit=c.org_unit AND x.period=c.period AND x.categories=c.categories)"
)


class PlanQueries:
    connection: Connection

    def _planned(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        return dicts(self.connection.execute(statement(sql), parameters))

    def open_page(self, target: str, after: int, limit: int) -> list[dict[str, Any]]:
        """Deliveries that are not settled, blocks left out, by id."""
        return self._planned(
            "SELECT * FROM delivery WHERE target=:t AND kind <> 'block' AND state <> 'accepted' AND id > :a ORDER BY id LIMIT :n",
            t=target,
            a=after,
            n=limit,
        )

    def accepted_count(self, target: str) -> int:
        """Deliveries the target holds as wanted, blocks left out: those are counted by their values."""
        return int(
            self._planned(
                "SELECT COUNT(*) AS n FROM delivery WHERE target=:t AND kind <> 'block' AND state='accepted'", t=target
            )[0]["n"]
        )

    def not_yet_counted(self) -> dict[str, int]:
        """What was received and is not in the figures: records not mapped, cells not counted again."""
        return {
            "unmapped": int(self._planned("SELECT COUNT(*) AS n FROM head WHERE dirty")[0]["n"]),
            "uncounted": int(self._planned("SELECT COUNT(*) AS n FROM touched")[0]["n"]),
        }

    def last_read(self) -> str | None:
        """When a source was read last; of those read at all, the one longest ago."""
        found = self._planned("SELECT MIN(last_success) AS at FROM source_state WHERE last_success IS NOT NULL")
        return str(found[0]["at"]) if found[0]["at"] else None

    def touched_in(self, org_unit: str, period: str) -> int:
        return int(
            self._planned("SELECT COUNT(*) AS n FROM touched WHERE period=:p AND org_unit=:o", p=period, o=org_unit)[0][
                "n"
            ]
        )

    def records_come(self, cell: dict[str, Any], limit: int) -> tuple[list[dict[str, Any]], int]:
        """Records that add to the cell what they did not when its value was accepted, newest first, and how many."""
        address = {name: cell[name] for name in ADDRESS}
        those = f"FROM cell_change c LEFT JOIN head h ON h.record=c.record WHERE {_CELL} AND {_ADDS}"
        rows = self._planned(
            f"SELECT c.record, h.received_at, CASE WHEN h.moves > 1 THEN 1 ELSE 0 END AS edited {those} "
            "ORDER BY h.received_at DESC, c.record LIMIT :n",
            **address,
            n=limit,
        )
        total = self._planned(f"SELECT COUNT(*) AS n {those}", **address)
        return rows, int(total[0]["n"])

    def records_gone(self, cell: dict[str, Any], limit: int) -> list[dict[str, Any]]:
        """Records that added to the cell when its value was accepted and do no more, and what became of them."""
        return self._planned(
            "SELECT c.record, c.at, h.state, h.received_at FROM cell_change c LEFT JOIN head h ON h.record=c.record WHERE "
            f"{_CELL} AND NOT {_ADDS} ORDER BY c.at DESC, c.record LIMIT :n",
            **{name: cell[name] for name in ADDRESS},
            n=limit,
        )

    # -- comparing two databases

    def cell_groups(self) -> list[tuple[str, str]]:
        """Indicator and period of every cell."""
        return [
            (row["indicator"], row["period"]) for row in self._planned("SELECT DISTINCT indicator, period FROM cell")
        ]

    def cells_of(self, indicator: str, period: str) -> list[dict[str, Any]]:
        return self._planned("SELECT * FROM cell WHERE indicator=:i AND period=:p", i=indicator, p=period)

    def form_states(self) -> dict[tuple[str, str | None], dict[str, int]]:
        """(source, form) -> how many records are in which state."""
        found: dict[tuple[str, str | None], dict[str, int]] = {}
        rows = self._planned("SELECT source, form, state, COUNT(*) AS n FROM head GROUP BY source, form, state")
        for row in rows:
            found.setdefault((row["source"], row["form"]), {})[row["state"]] = int(row["n"])
        return found

    # -- history counted again

    def activities_of_day(self, kinds: Sequence[str], day: str, after: str, limit: int) -> list[str]:
        """Living records of these kinds and this day, by key."""
        rows = self.select_in(  # type: ignore[attr-defined]
            "SELECT a.record FROM activity a JOIN head h ON h.record=a.record WHERE a.date=:day AND a.record > :after "
            "AND h.purged IS NULL AND NOT h.deleted AND a.kind IN {in} ORDER BY a.record LIMIT :limit",
            kinds,
            day=day,
            after=after,
            limit=limit,
        )
        return sorted(row["record"] for row in rows)[:limit]

    def last_day_between(self, first: str, last: str) -> str | None:
        """The latest day with activities in these."""
        found = self._planned("SELECT MAX(date) AS day FROM activity WHERE date BETWEEN :f AND :l", f=first, l=last)
        return found[0]["day"]

    def count_activities(self, kinds: Sequence[str], first: str, last: str) -> int:
        rows = self.select_in(  # type: ignore[attr-defined]
            "SELECT COUNT(*) AS n FROM activity a JOIN head h ON h.record=a.record WHERE a.date BETWEEN :first AND :last "
            "AND h.purged IS NULL AND NOT h.deleted AND a.kind IN {in}",
            kinds,
            first=first,
            last=last,
        )
        return sum(int(row["n"]) for row in rows)

    def count_cells(self, indicator: str, periods: Sequence[str]) -> int:
        rows = self.select_in(  # type: ignore[attr-defined]
            "SELECT COUNT(*) AS n FROM cell WHERE indicator=:indicator AND period IN {in}", periods, indicator=indicator
        )
        return sum(int(row["n"]) for row in rows)

    def quarantine_after(self, where: dict[str, str], after: int, limit: int) -> list[dict[str, Any]]:
        """Quarantined records (``where``: source, code), by id."""
        clauses = " AND ".join(["id > :after", *(f"{name}=:{name}" for name in where)])
        return self._planned(
            f"SELECT id, source, stream, key FROM quarantine WHERE {clauses} ORDER BY id LIMIT :limit",
            **where,
            after=after,
            limit=limit,
        )

    def count_quarantine(self, where: dict[str, str]) -> int:
        clauses = " AND ".join(["1=1", *(f"{name}=:{name}" for name in where)])
        return int(self._planned(f"SELECT COUNT(*) AS n FROM quarantine WHERE {clauses}", **where)[0]["n"])

    def touched_groups(self) -> list[tuple[str, str]]:
        """Indicator and period of every touched cell."""
        return [(r["indicator"], r["period"]) for r in self._planned("SELECT DISTINCT indicator, period FROM touched")]

    def touch_cells(self, indicator: str, periods: Sequence[str]) -> None:
        """Count the cells of an indicator and these periods again."""
        values = [{"i": indicator, "p": one} for one in periods]
        many(self.connection, TOUCH_CELLS, values)

    # -- kept plans

    def new_plan(self, **values: Any) -> int:
        """The number of a plan that is being made; it has no digest yet."""
        return int(self.connection.execute(NEW_PLAN, values).scalar_one())

    def keep_plan(self, id: int, digest: str, summary: str) -> None:
        query = text("UPDATE plan SET digest=:d, summary=:s WHERE id=:i")
        self.connection.execute(query, {"i": id, "d": digest, "s": summary})

    def keep_plan_deliveries(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            many(self.connection, PLAN_DELIVERY, rows)

    def plan(self, id: int) -> dict[str, Any] | None:
        found = self._planned("SELECT * FROM plan WHERE id=:i", i=id)
        return found[0] if found else None

    def newest_plan(self) -> dict[str, Any] | None:
        """Of those that are kept."""
        found = self._planned("SELECT * FROM plan WHERE digest<>'' ORDER BY id DESC LIMIT 1")
        return found[0] if found else None

    def plans_to_forget(self, kept: int) -> list[int]:
        """All but the newest plans, and those that were begun and not kept."""
        rows = self._planned(
            "SELECT id FROM plan WHERE digest='' OR id NOT IN (SELECT id FROM plan WHERE digest<>'' ORDER BY id DESC LIMIT :n)",
            n=kept,
        )
        return [int(row["id"]) for row in rows]

    def forget_plan(self, id: int, limit: int) -> int:
        """Delete a part of it; 0 when all is gone."""
        part = "SELECT delivery FROM plan_delivery WHERE plan=:i LIMIT :n"
        lines = text(f"DELETE FROM plan_delivery WHERE plan=:i AND delivery IN ({part})")
        gone = self.connection.execute(lines, {"i": id, "n": limit}).rowcount
        if not gone:
            self.connection.execute(text("DELETE FROM plan WHERE id=:i"), {"i": id})
        return int(gone)

    def plan_page(self, id: int, after: int, limit: int) -> list[dict[str, Any]]:
        """Planned deliveries with how they stand now (NULL where they are gone)."""
        return self._planned(
            "SELECT p.delivery, p.key, p.generation AS planned, p.mark, d.id, d.target, d.kind, d.digest, d.generation, d.state, "
            "d.accepted_generation FROM plan_delivery p LEFT JOIN delivery d ON d.id=p.delivery WHERE p.plan=:i "
            "AND p.delivery > :a ORDER BY p.delivery LIMIT :n",
            i=id,
            a=after,
            n=limit,
        )

    def plan_targets(self, id: int) -> list[str]:
        rows = self._planned(
            "SELECT DISTINCT d.target FROM plan_delivery p JOIN delivery d ON d.id=p.delivery WHERE p.plan=:i ORDER BY d.target",
            i=id,
        )
        return [str(row["target"]) for row in rows]

    def plan_states(self, id: int) -> dict[str, int]:
        """How the planned deliveries stand: ``accepted`` as planned, else their state; ``gone`` where another state is
        wanted by now."""
        rows = self._planned(
            "SELECT CASE WHEN d.accepted_generation=p.generation THEN 'accepted' WHEN d.id IS NULL OR d.generation<>p.generation "
            "THEN 'gone' ELSE d.state END AS stands, COUNT(*) AS n FROM plan_delivery p LEFT JOIN delivery d ON d.id=p.delivery "
            "WHERE p.plan=:i GROUP BY CASE WHEN d.accepted_generation=p.generation THEN 'accepted' WHEN d.id IS NULL OR "
            "d.generation<>p.generation THEN 'gone' ELSE d.state END",
            i=id,
        )
        return {str(row["stands"]): int(row["n"]) for row in rows}

    def plan_done(self, id: int, now: str) -> None:
        self.connection.execute(text("UPDATE plan SET done=:now WHERE id=:i"), {"now": now, "i": id})

    def claim_planned(self, plan: int, target: str, now: str, limit: int) -> list[dict[str, Any]]:
        return dicts(
            self.connection.execute(CLAIM_PLANNED, {"plan": plan, "target": target, "now": now, "limit": limit})
        )
