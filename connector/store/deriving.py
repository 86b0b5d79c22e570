"""Named queries of what is worked out from several records: members and episodes, register lines, what is stale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.engine import Connection

from connector.store.intake import dicts, in_list, many, statement

INSERT_MEMBER = text(
    "INSERT INTO member (record, kind, key, opens, own) VALUES (:record, :kind, :key, :opens, :own) "
    "ON CONFLICT (record, kind, key) DO UPDATE SET opens=excluded.opens, own=excluded.own"
)
MARK_STALE = text(
    "INSERT INTO stale (what, kind, key) VALUES (:what, :kind, :key) ON CONFLICT (what, kind, key) DO NOTHING"
)
UNSTALE = text("DELETE FROM stale WHERE what=:what AND kind=:kind AND key=:key")
TAKE_STALE = text("SELECT kind, key FROM stale WHERE what=:what ORDER BY kind, key LIMIT :limit")
UPSERT_EPISODE = text(
    "INSERT INTO episode (record, kind, key) VALUES (:record, :kind, :key) "
    "ON CONFLICT (record) DO UPDATE SET kind=excluded.kind, key=excluded.key"
)
INSERT_EPISODE_RECORD = text("INSERT INTO episode_record (episode, record) VALUES (:episode, :record)")
#: Everybody and everything below some places, however deep, and the places themselves; also of one that is registered
#: no more.
STALE_BELOW = (
    "INSERT INTO stale (what, kind, key) WITH RECURSIVE given(key) AS {in}, below(kind, key, depth) AS ("
    "SELECT CAST('place' AS text), key, 0 FROM given UNION "
    "SELECT CAST(e.kind AS text), CAST(e.key AS text), b.depth + 1 FROM entity e JOIN below b ON e.source=:source AND e.parent=b.key "
    "WHERE b.kind='place' AND b.depth < 10) SELECT DISTINCT 'entity', kind, :source || '/' || key FROM below WHERE TRUE "
    "ON CONFLICT (what, kind, key) DO NOTHING"
)
#: Of one source at a time: asked for several at once, SQLite reads and sorts all entities again for every page.
ENTITY_PAGE = text("SELECT * FROM entity WHERE source=:source AND kind=:kind AND key > :key ORDER BY key LIMIT :limit")
NEXT_SOURCE = text("SELECT MIN(source) FROM entity WHERE source > :source")
#: The first day from ``:day`` on with a record that was made at a place.
NEXT_DAY = text(
    "SELECT MIN(date) FROM activity WHERE date >= :day AND place IS NOT NULL AND record NOT LIKE 'episode/%'"
)
RECORDS_OF_WORKER = text(
    "SELECT COUNT(*) FROM activity WHERE worker=:worker AND date BETWEEN :first AND :last AND record NOT LIKE 'episode/%'"
)
REGISTER_RECORDS = text(
    "SELECT DISTINCT record FROM contribution WHERE record > :after AND record LIKE 'register/%' ORDER BY record LIMIT :limit"
)
DIRTY_BY_HOUSEHOLD = (
    "UPDATE head SET dirty=:yes WHERE NOT deleted AND state <> 'erased' AND record IN (SELECT record FROM activity "
    "WHERE LENGTH(activity_enc) > 0 AND subject IN "
    "(SELECT key FROM entity WHERE source=:source AND kind='person' AND parent IN {in} UNION SELECT s.key FROM same_person s "
    "JOIN entity k ON k.source=s.kept_source AND k.kind='person' AND k.key=s.kept_key "
    "WHERE k.source=:source AND k.parent IN {in}))"
)


class DerivingQueries:
    connection: Connection

    # -- stale

    def mark_stale(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """(what, kind, key) to be worked out again."""
        many(self.connection, MARK_STALE, [dict(zip(("what", "kind", "key"), r, strict=True)) for r in rows])

    def take_stale(self, what: str, limit: int) -> list[tuple[str, str]]:
        rows = dicts(self.connection.execute(TAKE_STALE, {"what": what, "limit": limit}))
        return [(r["kind"], r["key"]) for r in rows]

    def unstale(self, what: str, rows: Iterable[tuple[str, str]]) -> None:
        many(self.connection, UNSTALE, [{"what": what, "kind": kind, "key": key} for kind, key in rows])

    def stale_below(self, source: str, places: Sequence[str]) -> None:
        """The lines of the register of everything that is in these places."""
        if places:
            self._with_list(STALE_BELOW, places, source=source)

    def _with_list(self, sql: str, values: Sequence[str], **more: Any) -> None:
        clause = in_list(self.connection.dialect.name, values)
        self.connection.execute(
            statement(sql.replace("{in}", clause)), {"list": orjson.dumps(list(values)).decode(), **more}
        )

    # -- members and episodes

    def members_of(self, records: Iterable[str]) -> list[dict[str, Any]]:
        return self._select("SELECT * FROM member WHERE record IN {in}", records)

    def members_by_key(self, kind: str, keys: Iterable[str], *, openings: bool = False) -> list[dict[str, Any]]:
        """``openings``: only those that may open an episode of their key."""
        only = " AND opens" if openings else ""
        return self._select(f"SELECT * FROM member WHERE kind=:kind AND key IN {{in}}{only}", keys, kind=kind)

    def members_between(self, kind: str, key: str, first: str, last: str) -> list[str]:
        """Records under a key dated in these days."""
        rows = self._select(
            "SELECT m.record FROM member m JOIN activity a ON a.record=m.record WHERE m.kind=:kind AND m.key IN {in} "
            "AND a.date BETWEEN :first AND :last ORDER BY m.record",
            [key],
            kind=kind,
            first=first,
            last=last,
        )
        return [str(r["record"]) for r in rows]

    def replace_members(self, drop: Sequence[str], rows: list[dict[str, Any]]) -> None:
        many(self.connection, text("DELETE FROM member WHERE record=:r"), [{"r": r} for r in drop])
        many(self.connection, INSERT_MEMBER, rows)

    def episodes_by_key(self, kind: str, keys: Iterable[str]) -> list[dict[str, Any]]:
        return self._select("SELECT * FROM episode WHERE kind=:kind AND key IN {in}", keys, kind=kind)

    def keep_episodes(self, rows: list[dict[str, Any]], members: list[dict[str, Any]]) -> None:
        """``rows``: record, kind, key; ``members``: episode, record: in place of those it had."""
        many(self.connection, UPSERT_EPISODE, rows)
        many(
            self.connection, text("DELETE FROM episode_record WHERE episode=:e"), [{"e": row["record"]} for row in rows]
        )
        many(self.connection, INSERT_EPISODE_RECORD, members)

    def episode_kinds(self) -> list[str]:
        return [str(r["kind"]) for r in dicts(self.connection.execute(text("SELECT DISTINCT kind FROM episode")))]

    def episodes_of_kind(self, kind: str, limit: int) -> list[str]:
        sql = text("SELECT record FROM episode WHERE kind=:k ORDER BY record LIMIT :limit")
        rows = self.connection.execute(sql, {"k": kind, "limit": limit})
        return [str(r["record"]) for r in dicts(rows)]

    def drop_episodes(self, records: Sequence[str]) -> None:
        for sql in ("DELETE FROM episode WHERE record=:r", "DELETE FROM episode_record WHERE episode=:r"):
            many(self.connection, text(sql), [{"r": r} for r in records])

    def records_of_episodes(self, episodes: Iterable[str]) -> dict[str, list[str]]:
        """The records each episode was worked out from."""
        found: dict[str, list[str]] = {}
        for row in self._select("SELECT * FROM episode_record WHERE episode IN {in} ORDER BY record", episodes):
            found.setdefault(row["episode"], []).append(row["record"])
        return found

    def episodes_of_record(self, record: str) -> list[str]:
        rows = self._select("SELECT episode FROM episode_record WHERE record IN {in} ORDER BY episode", [record])
        return [str(r["episode"]) for r in rows]

    def worker_days(self, records: Iterable[str]) -> list[tuple[str, str]]:
        """(worker, day) of the activities as they are kept now."""
        rows = self._select(
            "SELECT DISTINCT worker, date FROM activity WHERE worker IS NOT NULL AND record IN {in}", records
        )
        return [(r["worker"], r["date"]) for r in rows]

    def records_of_worker(self, worker: str, first: str, last: str) -> int:
        """How many mapped records of these days are a worker's."""
        found = self.connection.execute(RECORDS_OF_WORKER, {"worker": worker, "first": first, "last": last}).scalar()
        return int(found or 0)

    # -- registers

    def entity_page(self, kind: str, after: tuple[str, str], limit: int) -> list[dict[str, Any]]:
        """Entities of a kind by source and key. What a page costs does not depend on how many there are."""
        found: list[dict[str, Any]] = []
        source, key = after
        while True:
            asked = {"kind": kind, "source": source, "key": key, "limit": limit - len(found)}
            found += dicts(self.connection.execute(ENTITY_PAGE, asked))
            if len(found) >= limit:
                return found
            following = self.connection.execute(NEXT_SOURCE, {"source": source}).scalar()
            if following is None:
                return found
            source, key = str(following), ""

    def entity_belongs(self, rows: list[dict[str, Any]]) -> None:
        """Write down the parent of entities kept before there was a column for it."""
        many(
            self.connection,
            text("UPDATE entity SET parent=:parent WHERE source=:source AND kind=:kind AND key=:key"),
            rows,
        )

    def next_day(self, day: str) -> str | None:
        found = self.connection.execute(NEXT_DAY, {"day": day}).scalar()
        return None if found is None else str(found)

    def register_records(self, after: str, limit: int) -> list[str]:
        """The next register lines that add something now."""
        rows = self.connection.execute(REGISTER_RECORDS, {"after": after, "limit": limit})
        return [str(r["record"]) for r in dicts(rows)]

    def dirty_by_household(self, source: str, households: Sequence[str]) -> None:
        """Mark the records about people of these households to be mapped again."""
        if households:
            self._with_list(DIRTY_BY_HOUSEHOLD, households, source=source, yes=True)

    def _select(self, sql: str, values: Iterable[Any], **more: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.select_in(sql, values, **more)  # type: ignore[attr-defined]
        return rows
