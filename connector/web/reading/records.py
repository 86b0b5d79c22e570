"""Quarantine, referrals, entities and connections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, not_, or_, select, true
from sqlalchemy.engine import Connection

from connector.engine.referral_answers import overdue_before
from connector.store.tables import (
    activity,
    beat,
    delivery,
    entity,
    head,
    quarantine,
    referral,
    source_state,
    target_state,
)
from connector.web.reading import PAGE, Row

# ---------------------------------------------------------------- quarantine


def quarantine_filter(query: Mapping[str, str]) -> dict[str, str]:
    """``code``, ``source``, ``form``, ``where`` (file) and ``detail`` as they stand in the URL."""
    return {k: query[k][:200] for k in ("code", "source", "form", "file", "detail") if query.get(k)}


def _quarantined(filters: Mapping[str, str]) -> ColumnElement[bool]:
    return and_(true(), *[quarantine.c[name] == value for name, value in filters.items()])


def quarantine_count(connection: Connection, filters: Mapping[str, str] | None = None) -> int:
    statement = select(func.count()).select_from(quarantine).where(_quarantined(filters or {}))
    return int(connection.execute(statement).scalar_one())


def quarantine_groups(connection: Connection, limit: int = 12) -> Sequence[Row]:
    """Quarantined records of one reason at one place of the pack, the largest group first."""
    q, n = quarantine, func.count().label("n")
    by = (q.c.code, q.c.source, q.c.form, q.c.file, q.c.line, q.c.path, q.c.detail)
    statement = (
        select(*by, n, func.min(q.c.who).label("who"), func.min(q.c.at).label("since"), func.max(q.c.at).label("last"))
        .group_by(*by)
        .order_by(n.desc(), q.c.code, func.min(q.c.id))
        .limit(limit)
    )
    return connection.execute(statement).mappings().all()


def quarantine_ids(connection: Connection, group: Row, limit: int = 2000) -> list[int]:
    same = [
        quarantine.c[n].is_not_distinct_from(group[n])
        for n in ("code", "source", "form", "file", "line", "path", "detail")
    ]
    return list(
        connection.execute(select(quarantine.c.id).where(*same).order_by(quarantine.c.id).limit(limit)).scalars()
    )


def quarantine_page(
    connection: Connection, filters: Mapping[str, str], after: int = 0, size: int = PAGE
) -> Sequence[Row]:
    """``size`` + 1 rows, the oldest first."""
    statement = (
        select(quarantine)
        .where(_quarantined(filters), quarantine.c.id > after)
        .order_by(quarantine.c.id)
        .limit(size + 1)
    )
    return connection.execute(statement).mappings().all()


def quarantine_still(connection: Connection, ids: Sequence[int]) -> list[int]:
    found: list[int] = []
    for start in range(0, len(ids), 500):
        part = list(ids[start : start + 500])
        found += connection.execute(select(quarantine.c.id).where(quarantine.c.id.in_(part))).scalars()
    return sorted(found)


# ---------------------------------------------------------------- referrals

OPEN = ("wanted", "sent", "arrived", "waiting_person")
DONE = ("completed", "missed", "cancelled", "voided", "withdrawn")
VIEWS = ("open", "late", "person", "done", "old")


def _late(today: date) -> ColumnElement[bool]:
    """Not seen in time, by the day of the visit: see ``referral_answers.overdue_before``."""
    urgent, routine = overdue_before(today)
    day = referral.c.date
    return and_(
        referral.c.state.in_(("wanted", "sent", "waiting_person")),
        or_(and_(referral.c.urgent, day < urgent), and_(not_(referral.c.urgent), day < routine)),
    )


def _view(view: str, today: date) -> ColumnElement[bool]:
    if view == "late":
        return _late(today)
    states = {"open": OPEN, "person": ("waiting_person",), "done": DONE, "old": ("old",)}[view]
    return referral.c.state.in_(states)


def referral_counts(connection: Connection, today: date) -> dict[str, int]:
    """How many referrals each view holds."""
    sums = [func.coalesce(func.sum(case((_view(v, today), 1), else_=0)), 0).label(v) for v in VIEWS]
    row = connection.execute(select(*sums).select_from(referral)).mappings().one()
    return {k: int(v) for k, v in row.items()}


def referral_flow(connection: Connection) -> dict[str, int]:
    """From the CHW to the answer: sent, in OpenMRS, seen, answer on the phone. Old ones are not part of it."""

    def count(*states: str) -> Any:
        return func.coalesce(func.sum(case((referral.c.state.in_(states), 1), else_=0)), 0)

    row = (
        connection.execute(
            select(
                count(
                    "wanted", "waiting_person", "sent", "arrived", "completed", "missed", "cancelled", "voided"
                ).label("sent"),
                count("sent", "arrived", "completed", "missed", "cancelled", "voided").label("there"),
                count("arrived", "completed").label("seen"),
                count("waiting_person").label("person"),
                func.coalesce(
                    func.sum(case((and_(referral.c.answered_at.is_not(None), referral.c.state != "old"), 1), else_=0)),
                    0,
                ).label("answered"),
            ).select_from(referral)
        )
        .mappings()
        .one()
    )
    back = connection.execute(
        select(func.count()).select_from(delivery).where(delivery.c.kind == "answer", delivery.c.state == "accepted")
    ).scalar_one()
    return {k: int(v) for k, v in row.items()} | {"back": int(back)}


def referral_page(connection: Connection, view: str, today: date, after: str = "", size: int = PAGE) -> Sequence[Row]:
    """``size`` + 1 referrals, late ones first, then by date. ``after``: ``late|date|record`` of the last row seen."""
    late = case((_late(today), 0), else_=1).label("late")
    newest_first = view in ("done", "old")
    day = referral.c.date
    statement = select(referral, late).where(_view(view, today)).limit(size + 1)
    order = (late, day.desc() if newest_first else day, referral.c.record)
    mark = after.split("|", 2)
    if len(mark) == 3 and mark[0] in ("0", "1"):
        flag = int(mark[0])
        later = day < mark[1] if newest_first else day > mark[1]
        statement = statement.where(
            or_(late > flag, and_(late == flag, or_(later, and_(day == mark[1], referral.c.record > mark[2]))))
        )
    return connection.execute(statement.order_by(*order)).mappings().all()


def referral_one(connection: Connection, record: str) -> Row | None:
    return connection.execute(select(referral).where(referral.c.record == record)).mappings().first()


# ---------------------------------------------------------------- people, records


def entities(connection: Connection, kind: str, keys: Iterable[str | None]) -> dict[str, bytes]:
    """key -> encrypted entity."""
    wanted = sorted({k for k in keys if k})[:200]
    if not wanted:
        return {}
    statement = select(entity.c.key, entity.c.entity_enc).where(entity.c.kind == kind, entity.c.key.in_(wanted))
    return {r[0]: r[1] for r in connection.execute(statement)}


def record_head(connection: Connection, source: str, stream: str, key: str) -> Row | None:
    statement = select(head).where(head.c.source == source, head.c.stream == stream, head.c.key == key)
    return connection.execute(statement).mappings().first()


def record_activity(connection: Connection, record: str) -> Row | None:
    return connection.execute(select(activity).where(activity.c.record == record)).mappings().first()


def received_at(connection: Connection, records: Sequence[str]) -> dict[str, tuple[str, str]]:
    """record id -> (first received, last received)."""
    keys = [r.split("/", 2) for r in records if r.count("/") >= 2]
    if not keys:
        return {}
    where = or_(*[and_(head.c.source == s, head.c.stream == t, head.c.key == k) for s, t, k in keys])
    rows = connection.execute(select(head).where(where)).mappings()
    return {f"{r['source']}/{r['stream']}/{r['key']}": (r["first_received"], r["received_at"]) for r in rows}


# ---------------------------------------------------------------- connections


def connections(connection: Connection) -> dict[str, Row]:
    """What the database knows of each source and target."""
    found = {r["source"]: r for r in connection.execute(select(source_state)).mappings()}
    return found | {r["target"]: r for r in connection.execute(select(target_state)).mappings()}


def beats(connection: Connection, names: Iterable[str], last: int = 30) -> dict[str, list[str]]:
    """The last results of each connection, the oldest first."""
    found = {}
    for name in names:
        statement = select(beat.c.result).where(beat.c.connection == name).order_by(beat.c.id.desc()).limit(last)
        found[name] = list(connection.execute(statement).scalars())[::-1]
    return found


def received(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(head)).scalar_one())


def ping(connection: Connection) -> int:
    """The database answers and has its tables."""
    return int(
        connection.execute(
            select(func.count()).select_from(select(source_state.c.source).limit(1).subquery())
        ).scalar_one()
    )
