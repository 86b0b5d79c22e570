"""Values for DHIS2: one by its address, lists by state, counts per month, who contributed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.engine import Connection

from connector.model import ADDRESS
from connector.store.tables import activity, cell, contribution, delivery
from connector.web.reading import PAGE, Row

#: Views of the list of values.
VIEWS: dict[str, tuple[str, ...]] = {
    "held": ("held",),
    "rejected": ("rejected",),
    "wanted": ("wanted",),
    "kept": ("kept",),
    "accepted": ("accepted",),
    "old": ("old",),
    "shadow": ("shadow",),
}


def at(connection: Connection, element: str, org_unit: str, period: str, combo: str) -> Row | None:
    """The cell behind a DHIS2 value. ``combo`` empty: the only one there is, else the default."""
    where = [cell.c.data_element == element, cell.c.org_unit == org_unit, cell.c.period == period]
    if combo:
        where.append(cell.c.combo == combo)
    order = (cell.c.combo != "default", cell.c.id)
    return connection.execute(select(cell).where(*where).order_by(*order).limit(1)).mappings().first()


def siblings(connection: Connection, row: Row, limit: int = 60) -> Sequence[Row]:
    """The other categories of the same element, place and period."""
    statement = (
        select(cell.c.combo, cell.c.categories, cell.c.value, cell.c.state)
        .where(
            cell.c.data_element == row["data_element"],
            cell.c.org_unit == row["org_unit"],
            cell.c.period == row["period"],
            cell.c.id != row["id"],
        )
        .order_by(cell.c.categories)
        .limit(limit)
    )
    return connection.execute(statement).mappings().all()


def by_worker(connection: Connection, row: Row, limit: int = 25) -> Sequence[Row]:
    """What each worker's records add to a cell, the largest first."""
    same = and_(*[contribution.c[n] == row[n] for n in ADDRESS])
    amount = func.sum(contribution.c.amount).label("amount")
    statement = (
        select(
            activity.c.worker,
            func.count(contribution.c.record.distinct()).label("records"),
            amount,
            func.max(activity.c.date).label("last"),
            func.min(activity.c.place).label("place"),
        )
        .join(activity, activity.c.record == contribution.c.record)
        .where(same)
        .group_by(activity.c.worker)
        .order_by(amount.desc(), activity.c.worker)
        .limit(limit)
    )
    return connection.execute(statement).mappings().all()


def funnel(
    connection: Connection, row: Row, kinds: Sequence[str], units: Sequence[str], first: str, last: str
) -> dict[str, int]:
    """Records on their way into a cell: ``activities`` of these kinds, places and days, those its ``indicator`` part
    counts in any category, those that count in this ``cell``, and how often they do (``rows``, ``different``)."""
    asked = (
        select(func.count())
        .select_from(activity)
        .where(
            activity.c.kind.in_(kinds),
            activity.c.org_unit.in_(units),
            activity.c.date >= first,
            activity.c.date <= last,
        )
    )
    c = contribution
    same = and_(*[c.c[n] == row[n] for n in ("indicator", "part", "org_unit", "period")])
    own = and_(same, c.c.categories == row["categories"])
    any_category = select(func.count(c.c.record.distinct())).where(same)
    cells = select(
        func.count(c.c.record.distinct()), func.count(), func.count(func.nullif(c.c.distinct_key, "").distinct())
    )
    counted, rows, different = connection.execute(cells.where(own)).one()
    return {
        "activities": int(connection.execute(asked).scalar_one()),
        "indicator": int(connection.execute(any_category).scalar_one()),
        "cell": int(counted),
        "rows": int(rows),
        "different": int(different),
    }


def state_counts(connection: Connection) -> dict[str, int]:
    sent = or_(cell.c.value.is_not(None), cell.c.accepted.is_not(None))
    return {
        r[0]: r[1] for r in connection.execute(select(cell.c.state, func.count()).where(sent).group_by(cell.c.state))
    }


def by_id(connection: Connection, id: int) -> Row | None:
    return connection.execute(select(cell).where(cell.c.id == id)).mappings().first()


def _listed(view: str, period: str) -> list[Any]:
    where: list[Any] = [cell.c.state.in_(VIEWS[view]), or_(cell.c.value.is_not(None), cell.c.accepted.is_not(None))]
    return [*where, cell.c.period == period] if period else where


def listing(connection: Connection, view: str, period: str = "", after: int = 0, size: int = PAGE) -> Sequence[Row]:
    """``size`` + 1 cells of a view in order of id, from after ``after``."""
    statement = select(cell).where(*_listed(view, period), cell.c.id > after).order_by(cell.c.id).limit(size + 1)
    return connection.execute(statement).mappings().all()


def listing_count(connection: Connection, view: str, period: str = "") -> int:
    return int(connection.execute(select(func.count()).select_from(cell).where(*_listed(view, period))).scalar_one())


def months(connection: Connection) -> Sequence[str]:
    """Every monthly period there are values for, the newest first."""
    statement = select(cell.c.period).where(func.length(cell.c.period) == 6).distinct().order_by(cell.c.period.desc())
    return [p for p in connection.execute(statement).scalars() if p.isdigit()]


def month_states(connection: Connection, period: str) -> dict[str, int]:
    """Values of one period by state. A cell that never had to be sent (no value, nothing there of ours) is left out,
    and so is the empty one."""
    sent = or_(cell.c.value.is_not(None), cell.c.accepted.is_not(None))
    statement = select(cell.c.state, func.count()).where(cell.c.period == period, sent).group_by(cell.c.state)
    return {r[0]: r[1] for r in connection.execute(statement)}


def uncarried(connection: Connection, period: str) -> int:
    """Values of a period that differ from what was accepted and that no delivery carries. The ledger proves that
    nothing is lost when this is 0."""
    key = "block/" + cell.c.data_set + "/" + cell.c.org_unit + "/" + cell.c.period
    carried = select(delivery.c.key).where(delivery.c.kind == "block", delivery.c.state != "accepted")
    statement = (
        select(func.count())
        .select_from(cell)
        .where(cell.c.period == period, cell.c.state.in_(("wanted", "rejected")), key.not_in(carried))
    )
    return int(connection.execute(statement).scalar_one())


def completions(connection: Connection, period: str) -> dict[str, int]:
    """Completion deliveries of one period by state."""
    statement = (
        select(delivery.c.state, func.count())
        .where(delivery.c.kind == "completion", delivery.c.key.like(f"complete/%/{period}"))
        .group_by(delivery.c.state)
    )
    return {r[0]: r[1] for r in connection.execute(statement)}


def completion(connection: Connection, row: Row) -> Row | None:
    """Where the completion of a cell's block stands."""
    key = f"complete/{row['data_set']}/{row['org_unit']}/{row['period']}"
    statement = select(delivery.c.id, delivery.c.state, delivery.c.accepted_at).where(delivery.c.key == key)
    return connection.execute(statement).mappings().first()


def totals_of(connection: Connection, ids: Sequence[tuple[str, str, str, str]]) -> dict[tuple[str, str, str, str], Any]:
    """(element, combo, org unit, period) -> cell, for the figures a record touches."""
    if not ids:
        return {}
    wanted = or_(
        *[
            and_(cell.c.data_element == e, cell.c.combo == c, cell.c.org_unit == o, cell.c.period == p)
            for e, c, o, p in ids[:100]
        ]
    )
    rows = connection.execute(select(cell).where(wanted)).mappings()
    return {(r["data_element"], r["combo"], r["org_unit"], r["period"]): r for r in rows}
