"""Deliveries: filters of the URL, keyset pages, groups of one reason, one delivery with its attempts and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, true
from sqlalchemy.engine import Connection

from connector.store.tables import attempt, attempt_delivery, cell, delivery, value_sent
from connector.web.reading import PAGE, Row

#: Views of the list: the states each stands for. ``open`` is the default.
STATES: dict[str, tuple[str, ...]] = {
    "open": ("pending", "leased", "deferred", "unknown", "parked"),
    "waiting": ("pending", "leased", "deferred", "unknown"),
    "pending": ("pending",),
    "leased": ("leased",),
    "deferred": ("deferred",),
    "unknown": ("unknown",),
    "parked": ("parked",),
    "accepted": ("accepted",),
    "resolved": ("resolved",),
    "all": (),
}
#: An uncertain or running delivery cannot be picked until its answer is known; an accepted one needs nothing.
PICKABLE = ("pending", "deferred", "parked")
#: Most rows one frozen selection may hold.
FROZEN = 2000


@dataclass(frozen=True, slots=True)
class Filters:
    """The list's filters, as they stand in the URL. ``ou`` holds org unit codes, ``blocks`` keys (from ``de:``)."""

    state: str = "open"
    target: str = ""
    kind: str = ""
    period: str = ""
    ou: str = ""
    err: str = ""
    src: str = ""
    de: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filters:
        found = {
            k: query[k].strip()[:200] for k in ("target", "kind", "period", "ou", "err", "src", "de") if query.get(k)
        }
        state = query.get("state", "open")
        return cls(state=state if state in STATES else "open", **found)

    def params(self) -> dict[str, str]:
        """Only what differs from the default."""
        values = {k: getattr(self, k) for k in ("target", "kind", "period", "ou", "err", "src", "de")}
        return ({} if self.state == "open" else {"state": self.state}) | {k: v for k, v in values.items() if v}

    def query(self, **more: object) -> str:
        text = urlencode(self.params() | {k: str(v) for k, v in more.items()})
        return f"?{text}" if text else ""

    def without(self, name: str) -> Filters:
        return replace(self, **{name: "all" if name == "state" else ""})


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def condition(connection: Connection, filters: Filters) -> ColumnElement[bool]:
    parts: list[ColumnElement[bool]] = []
    if STATES[filters.state]:
        parts.append(delivery.c.state.in_(STATES[filters.state]))
    for column, value in ((delivery.c.target, filters.target), (delivery.c.kind, filters.kind)):
        if value:
            parts.append(column == value)
    if filters.err:
        parts.append(delivery.c.reason == filters.err)
    if filters.src:
        parts.append(delivery.c.record.like(_like(filters.src) + "%", escape="\\"))
    if filters.period:
        parts.append(delivery.c.key.like(f"%/{_like(filters.period)}", escape="\\"))
    if filters.ou:
        codes = filters.ou.split(",")[:50]
        parts.append(or_(*[delivery.c.key.like(f"%/{_like(code)}/%", escape="\\") for code in codes]))
    if filters.de:
        block = "block/" + cell.c.data_set + "/" + cell.c.org_unit + "/" + cell.c.period
        parts.append(delivery.c.key.in_(select(block).where(cell.c.data_element == filters.de).distinct()))
    return and_(true(), *parts)


def count(connection: Connection, filters: Filters) -> int:
    statement = select(func.count()).select_from(delivery).where(condition(connection, filters))
    return int(connection.execute(statement).scalar_one())


@dataclass(frozen=True, slots=True)
class Listing:
    rows: Sequence[Row]
    newer: int | None  #: ``after`` of the page before, None at the top
    older: int | None  #: ``before`` of the next page, None at the end


_LISTED = [c for c in delivery.c if c.name not in ("payload_enc", "remote")]


def page(
    connection: Connection, filters: Filters, before: int | None = None, after: int | None = None, size: int = PAGE
) -> Listing:
    """One keyset page, newest first. ``before`` goes to older rows, ``after`` back to newer ones."""
    statement = select(*_LISTED).where(condition(connection, filters)).limit(size + 1)
    if after is not None:
        statement = statement.where(delivery.c.id > after).order_by(delivery.c.id)
    else:
        statement = statement.order_by(delivery.c.id.desc())
        if before is not None:
            statement = statement.where(delivery.c.id < before)
    rows = list(connection.execute(statement).mappings())
    more, rows = len(rows) > size, rows[:size]
    if after is not None:
        rows.reverse()
        return Listing(rows, rows[0]["id"] if more and rows else None, rows[-1]["id"] if rows else None)
    newer = rows[0]["id"] if rows and before is not None else None
    return Listing(rows, newer, rows[-1]["id"] if more and rows else None)


def frozen(connection: Connection, filters: Filters) -> list[int]:
    """The ids a bulk action would act on now, oldest first, at most ``FROZEN``."""
    statement = (
        select(delivery.c.id)
        .where(condition(connection, filters), delivery.c.state.in_(PICKABLE))
        .order_by(delivery.c.id)
        .limit(FROZEN)
    )
    return list(connection.execute(statement).scalars())


def pickable(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Those of ``ids`` that may be acted on, in the order they were wanted."""
    found: list[int] = []
    for start in range(0, len(ids), 500):
        part = list(ids[start : start + 500])
        statement = select(delivery.c.id).where(delivery.c.id.in_(part), delivery.c.state.in_(PICKABLE))
        found += connection.execute(statement).scalars()
    return sorted(found)


def groups(connection: Connection, limit: int = 8) -> list[Row]:
    """Not yet accepted deliveries by target, reason and whether they wait or are parked, the largest first."""
    parked = (delivery.c.state == "parked").label("parked")
    n = func.count().label("n")
    statement = (
        select(
            delivery.c.target,
            delivery.c.reason,
            parked,
            n,
            func.min(delivery.c.who).label("who"),
            func.min(delivery.c.kind).label("kind"),
            func.min(delivery.c.id).label("first"),
            func.min(delivery.c.updated).label("since"),
            func.max(delivery.c.updated).label("last"),
            func.min(delivery.c.due_at).label("due_at"),
        )
        .where(delivery.c.state.in_(STATES["open"]), delivery.c.reason.is_not(None))
        .group_by(delivery.c.target, delivery.c.reason, parked)
        .order_by(parked.desc(), n.desc())
        .limit(limit)
    )
    return list(connection.execute(statement).mappings())


def totals(connection: Connection) -> list[Row]:
    """Deliveries by target and state."""
    statement = select(delivery.c.target, delivery.c.state, func.count().label("n")).group_by(
        delivery.c.target, delivery.c.state
    )
    return list(connection.execute(statement).mappings())


def one(connection: Connection, id: int) -> Row | None:
    return connection.execute(select(delivery).where(delivery.c.id == id)).mappings().first()


def by_key_of_block(connection: Connection, row: Row) -> int | None:
    """The delivery that carries a cell."""
    key = f"block/{row['data_set']}/{row['org_unit']}/{row['period']}"
    return connection.execute(select(delivery.c.id).where(delivery.c.kind == "block", delivery.c.key == key)).scalar()


def neighbours(connection: Connection, filters: Filters, id: int) -> tuple[int | None, int | None, int, int]:
    """(newer, older, place, of) of a delivery within the filtered list."""
    inside = condition(connection, filters)
    newer = connection.execute(select(func.min(delivery.c.id)).where(inside, delivery.c.id > id)).scalar()
    older = connection.execute(select(func.max(delivery.c.id)).where(inside, delivery.c.id < id)).scalar()
    ahead = select(func.count()).select_from(delivery).where(inside, delivery.c.id > id)
    return newer, older, int(connection.execute(ahead).scalar_one()) + 1, count(connection, filters)


def attempts(connection: Connection, id: int, limit: int = 20) -> list[Row]:
    """The newest attempts of a delivery."""
    ad = attempt_delivery
    statement = (
        select(
            attempt.c.id,
            attempt.c.started,
            attempt.c.ended,
            attempt.c.size,
            attempt.c.run,
            ad.c.generation,
            ad.c.verdict,
            ad.c.reason,
            ad.c.http_status,
            ad.c.answer_enc,
        )
        .join(ad, ad.c.attempt == attempt.c.id)
        .where(ad.c.delivery == id)
        .order_by(attempt.c.id.desc())
        .limit(limit)
    )
    return list(connection.execute(statement).mappings())


def last_tries(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[int, str]]:
    """Per delivery: how many attempts there were and when the last one left."""
    ad = attempt_delivery
    statement = (
        select(ad.c.delivery, func.count(), func.max(attempt.c.started))
        .join(attempt, attempt.c.id == ad.c.attempt)
        .where(ad.c.delivery.in_(ids))
        .group_by(ad.c.delivery)
    )
    return {row[0]: (row[1], row[2]) for row in connection.execute(statement)}


def block_of(key: str) -> tuple[str, str, str] | None:
    """(data set, org unit, period) of a block's or completion's key."""
    parts = key.split("/")
    return (parts[1], parts[2], parts[3]) if len(parts) == 4 and parts[0] in ("block", "complete") else None


def _values_of(rows: Sequence[Row]) -> Select[Any] | None:
    """The values sent for these blocks in their present generation (a cell's index leads, an attempt holds many
    blocks)."""
    ad = attempt_delivery
    wanted = []
    for row in rows:
        block = block_of(row["key"]) if row["kind"] == "block" else None
        if block:
            tries = select(ad.c.attempt).where(ad.c.delivery == row["id"], ad.c.generation == row["generation"])
            wanted.append(
                and_(
                    cell.c.data_set == block[0],
                    cell.c.org_unit == block[1],
                    cell.c.period == block[2],
                    value_sent.c.attempt.in_(tries),
                )
            )
    if not wanted:
        return None
    return (
        select(
            cell.c.data_set,
            cell.c.org_unit,
            cell.c.period,
            value_sent.c.cell,
            value_sent.c.value,
            value_sent.c.verdict,
            value_sent.c.reason,
            value_sent.c.attempt,
        )
        .join(cell, cell.c.id == value_sent.c.cell)
        .where(or_(*wanted))
        .order_by(value_sent.c.id)
    )


def value_counts(connection: Connection, rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Per block key: how many values stand at each verdict, the last verdict of a value counting."""
    statement = _values_of(rows)
    if statement is None:
        return {}
    last: dict[tuple[str, int], str] = {}
    for row in connection.execute(statement).mappings():
        last[(f"block/{row['data_set']}/{row['org_unit']}/{row['period']}", row["cell"])] = row["verdict"]
    counts: dict[str, dict[str, int]] = {}
    for (key, _), verdict in last.items():
        counts.setdefault(key, {}).setdefault(verdict, 0)
        counts[key][verdict] += 1
    return counts


def values_sent(connection: Connection, row: Row) -> dict[int, Row]:
    """Per cell of one block: what was sent last in this generation and what was answered."""
    statement = _values_of([row])
    return {} if statement is None else {r["cell"]: r for r in connection.execute(statement).mappings()}


def block_cells(connection: Connection, block: tuple[str, str, str]) -> list[Row]:
    statement = (
        select(cell)
        .where(cell.c.data_set == block[0], cell.c.org_unit == block[1], cell.c.period == block[2])
        .order_by(cell.c.indicator, cell.c.part, cell.c.categories)
    )
    return list(connection.execute(statement).mappings())


def filter_choices(connection: Connection) -> dict[str, list[str]]:
    """Targets, kinds and periods there are deliveries for."""
    pairs = connection.execute(select(delivery.c.target, delivery.c.kind).distinct()).all()
    months = connection.execute(select(cell.c.period).distinct()).scalars()
    return {
        "target": sorted({p[0] for p in pairs}),
        "kind": sorted({p[1] for p in pairs}),
        "period": sorted(months, reverse=True)[:36],
    }
