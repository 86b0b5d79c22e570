"""Named queries of completeness and approval: who reported, when first, and what a person let leave."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.engine import Connection

from connector.store.intake import block_names, chunks, dicts, statement

#: The reporters asked about, as a table: one parameter whatever their number.
_LISTS = {
    "sqlite": "(SELECT value AS reporter FROM json_each(:list)) r",
    "postgresql": "(SELECT item AS reporter FROM jsonb_array_elements_text(CAST(:list AS jsonb)) AS item) r",
}
#: Stops at a reporter's first record, so that a month of a nation costs two look-ups a reporter.
_REPORTED = (
    "SELECT r.reporter FROM {list} WHERE EXISTS (SELECT 1 FROM activity a WHERE a.{column}=r.reporter "
    "AND a.date BETWEEN :first AND :last)"
)
_ON_TIME = (
    "SELECT r.reporter FROM {list} WHERE EXISTS (SELECT 1 FROM activity a JOIN head h ON h.record=a.record "
    "WHERE a.{column}=r.reporter AND a.date BETWEEN :first AND :last AND h.first_received < :by)"
)
_FIRST = (
    "SELECT r.reporter, (SELECT MIN(h.first_received) FROM activity a JOIN head h ON h.record=a.record "
    "WHERE a.{column}=r.reporter AND a.date BETWEEN :first AND :last) AS at FROM {list}"
)
_LAST = "SELECT r.reporter, (SELECT MAX(a.date) FROM activity a WHERE a.{column}=r.reporter) AS day FROM {list}"

_PERIODS = text(
    "SELECT DISTINCT period FROM cell WHERE data_set=:data_set AND (value IS NOT NULL OR accepted IS NOT NULL)"
)
_BLOCKS = (
    "SELECT id, key, state, reason, digest, updated, accepted_at FROM delivery WHERE target=:target AND key IN {in}"
)
_UNITS = text("SELECT DISTINCT org_unit FROM cell WHERE data_set=:data_set AND period=:period")
_TROUBLED = text(
    "SELECT DISTINCT org_unit FROM cell WHERE data_set=:data_set AND period=:period AND state IN ('held', 'rejected')"
)
_APPROVE = text(
    "INSERT INTO approval (data_set, org_unit, period, figures, digest, by, at) "
    "VALUES (:data_set, :org_unit, :period, :figures, :digest, :by, :now)"
)
_APPROVED = text(
    "SELECT * FROM approval WHERE data_set=:data_set AND org_unit=:org_unit AND period=:period ORDER BY id DESC LIMIT 1"
)
_APPROVALS = text(
    "SELECT data_set, org_unit, by, at, digest FROM approval WHERE period=:period AND id IN "
    "(SELECT MAX(id) FROM approval WHERE period=:period GROUP BY data_set, org_unit)"
)
_WAITING = text(
    "SELECT reason, COUNT(*) AS n FROM delivery WHERE target=:target AND state='deferred' AND who='ministry' GROUP BY reason"
)
_OPEN_BLOCKS = text(
    "SELECT id, key, state, reason, wanted_at FROM delivery WHERE target=:target AND kind='block' "
    "AND state IN ('pending', 'deferred', 'unknown') ORDER BY key"
)
_SENT_LAST = (
    "SELECT s.cell, s.value, s.verdict FROM value_sent s WHERE s.id IN "
    "(SELECT MAX(id) FROM value_sent WHERE cell IN {in} GROUP BY cell)"
)


class ReportingQueries:
    connection: Connection

    def _each(self, sql: str, kind: str, reporters: Iterable[str], **more: Any) -> list[dict[str, Any]]:
        """``kind``: worker | place, whose records are looked for."""
        written = sql.format(
            list=_LISTS[self.connection.dialect.name], column="worker" if kind == "worker" else "place"
        )
        found: list[dict[str, Any]] = []
        for chunk in chunks(sorted(set(reporters))):
            found += dicts(self.connection.execute(statement(written), {"list": orjson.dumps(chunk).decode(), **more}))
        return found

    def who_reported(self, kind: str, reporters: Iterable[str], first: str, last: str) -> set[str]:
        """Those with a mapped record dated in the days given."""
        return {r["reporter"] for r in self._each(_REPORTED, kind, reporters, first=first, last=last)}

    def who_was_on_time(self, kind: str, reporters: Iterable[str], first: str, last: str, by: str) -> set[str]:
        """Those with such a record that was received before ``by``."""
        return {r["reporter"] for r in self._each(_ON_TIME, kind, reporters, first=first, last=last, by=by)}

    def first_received(self, kind: str, reporters: Iterable[str], first: str, last: str) -> dict[str, str]:
        """When the first record of the days given came in."""
        return {r["reporter"]: r["at"] for r in self._each(_FIRST, kind, reporters, first=first, last=last) if r["at"]}

    def last_day(self, kind: str, reporters: Iterable[str]) -> dict[str, str]:
        """The day of the newest record of any period."""
        return {r["reporter"]: r["day"] for r in self._each(_LAST, kind, reporters) if r["day"]}

    # -- blocks of a period

    def periods_of(self, data_set: str) -> list[str]:
        return [str(r[0]) for r in self.connection.execute(_PERIODS, {"data_set": data_set})]

    def units_of(self, data_set: str, period: str) -> list[str]:
        return sorted(str(r[0]) for r in self.connection.execute(_UNITS, {"data_set": data_set, "period": period}))

    def standing_deliveries(self, target: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Key -> where that delivery stands."""
        rows = self.select_in(_BLOCKS, keys, target=target)  # type: ignore[attr-defined]
        return {r["key"]: r for r in rows}

    def troubled_units(self, data_set: str, period: str) -> set[str]:
        """Org units with a value that is held or refused."""
        return {str(r[0]) for r in self.connection.execute(_TROUBLED, {"data_set": data_set, "period": period})}

    # -- approval

    def approve_block(self, block: tuple[str, str, str], figures: str, digest: str, by: str, now: str) -> None:
        self.connection.execute(_APPROVE, {**block_names(block), "figures": figures, "digest": digest, "by": by, "now": now})

    def approval_of(self, block: tuple[str, str, str]) -> dict[str, Any] | None:
        """The newest approval of a block."""
        found = dicts(self.connection.execute(_APPROVED, block_names(block)))
        return found[0] if found else None

    def approvals(self, period: str) -> list[dict[str, Any]]:
        """The newest approval of each block of a period, without its figures."""
        return dicts(self.connection.execute(_APPROVALS, {"period": period}))

    def waiting_for_ministry(self, target: str) -> dict[str, int]:
        """Reason -> deliveries that only a decision of the ministry moves on."""
        return {r["reason"]: int(r["n"]) for r in dicts(self.connection.execute(_WAITING, {"target": target}))}

    def open_blocks(self, target: str) -> list[dict[str, Any]]:
        """Blocks that have not been settled and are not on their way."""
        return dicts(self.connection.execute(_OPEN_BLOCKS, {"target": target}))

    def last_sent(self, cells: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Per cell the last value that left, and what became of it."""
        rows = self.select_in(_SENT_LAST, cells)  # type: ignore[attr-defined]
        return {r["cell"]: r for r in rows}
