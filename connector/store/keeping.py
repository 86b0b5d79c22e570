"""Named queries of retention, of changing keys and of forgetting a person."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

#: Nothing of this record waits for anything: it is mapped, not in quarantine, every delivery and every figure it is
#: part of is settled, and no referral of it waits to be sent.
SETTLED = (
    "NOT h.dirty AND h.state IN ('mapped', 'ignored', 'deleted') "
    "AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.source=h.source AND q.stream=h.stream AND q.key=h.key) "
    "AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.record=h.record AND d.state NOT IN ('accepted', 'resolved')) "
    "AND NOT EXISTS (SELECT 1 FROM referral r WHERE r.record=h.record AND r.state IN ('waiting_person', 'wanted')) "
    "AND NOT EXISTS (SELECT 1 FROM contribution c JOIN touched t ON t.indicator=c.indicator AND t.part=c.part "
    "AND t.org_unit=c.org_unit AND t.period=c.period AND t.categories=c.categories WHERE c.record=h.record) "
    "AND NOT EXISTS (SELECT 1 FROM contribution c JOIN cell e ON e.indicator=c.indicator AND e.part=c.part "
    "AND e.org_unit=c.org_unit AND e.period=c.period AND e.categories=c.categories "
    "WHERE c.record=h.record AND e.state IN ('wanted', 'rejected', 'held'))"
)
#: Its last delivery was accepted (or, where there is none, it was received) before ``:cut``.
LONG_AGO = (
    "h.received_at < :cut "
    "AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.record=h.record AND COALESCE(d.accepted_at, d.updated) >= :cut) "
    "AND NOT EXISTS (SELECT 1 FROM contribution c JOIN cell e ON e.indicator=c.indicator AND e.part=c.part "
    "AND e.org_unit=c.org_unit AND e.period=c.period AND e.categories=c.categories "
    "WHERE c.record=h.record AND e.accepted_at >= :cut)"
)
BODIES = text(
    "SELECT h.id, h.record, h.source, h.stream, h.key FROM head h "
    f"WHERE h.id > :after AND h.purged IS NULL AND {LONG_AGO} AND {SETTLED} ORDER BY h.id LIMIT :limit"
)
ACTIVITIES = text(
    "SELECT h.id, h.record, h.source, h.stream, h.key FROM head h JOIN activity a ON a.record=h.record "
    f"WHERE h.id > :after AND h.purged IS NOT NULL AND a.date < :day AND LENGTH(a.activity_enc) > 0 AND {SETTLED} "
    "ORDER BY h.id LIMIT :limit"
)
#: Old enough, but something of them waits.
WAITING = text(f"SELECT COUNT(*) FROM head h WHERE h.purged IS NULL AND {LONG_AGO} AND NOT ({SETTLED})")

#: Encrypted columns: table -> (name the values are sealed under, primary key, column).
ENCRYPTED = {
    "body": ("body", ("source", "stream", "key", "revision"), "body_enc"),
    "activity": ("activity", ("record",), "activity_enc"),
    "entity": ("entity", ("source", "kind", "key"), "entity_enc"),
    "delivery": ("delivery", ("id",), "payload_enc"),
    "attempt_delivery": ("attempt", ("attempt", "delivery"), "answer_enc"),
    "referral": ("referral", ("record",), "answer_enc"),
    "same_person": ("same_person", ("key",), "note_enc"),
    "match_review": ("match_review", ("id",), "match_enc"),
}


class KeepingQueries:
    connection: Connection

    def _all(self, statement: Any, **parameters: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in self.connection.execute(statement, parameters).mappings()]

    def _done(self, sql: str, **parameters: Any) -> int:
        return int(self.connection.execute(text(sql), parameters).rowcount)

    # -- retention

    def activity_row(self, record: str) -> dict[str, Any] | None:
        """The activity of a record, also where what it said is purged (``activity_enc`` is empty then)."""
        found = self._all(text("SELECT * FROM activity WHERE record=:r"), r=record)
        return found[0] if found else None

    def purged_versions(self) -> list[dict[str, Any]]:
        """Purged records by source, form and the version they were mapped with."""
        return self._all(
            text(
                "SELECT h.source, a.form, a.version, COUNT(*) AS n FROM head h JOIN activity a ON a.record=h.record "
                "WHERE h.purged IS NOT NULL AND h.state='mapped' GROUP BY h.source, a.form, a.version"
            )
        )

    def bodies_to_purge(self, cut: str, after: int, limit: int) -> list[dict[str, Any]]:
        return self._all(BODIES, cut=cut, after=after, limit=limit)

    def activities_to_purge(self, day: str, after: int, limit: int) -> list[dict[str, Any]]:
        return self._all(ACTIVITIES, day=day, after=after, limit=limit)

    def old_and_waiting(self, cut: str) -> int:
        return int(self.connection.execute(WAITING, {"cut": cut}).scalar() or 0)

    def purge_bodies(self, rows: list[dict[str, Any]], now: str) -> dict[str, int]:
        """Every revision's body of these records, and what targets answered about them."""
        counts = {"bodies": 0, "answers": 0}
        for row in rows:
            counts["bodies"] += self._done(
                "UPDATE body SET body_enc=NULL WHERE source=:s AND stream=:st AND key=:k AND body_enc IS NOT NULL",
                s=row["source"],
                st=row["stream"],
                k=row["key"],
            )
            counts["answers"] += self.purge_answers(row["record"])
            self._done("UPDATE head SET purged=:now WHERE record=:r", now=now, r=row["record"])
        return counts

    def purge_answers(self, record: str) -> int:
        return self._done(
            "UPDATE attempt_delivery SET answer_enc=NULL WHERE answer_enc IS NOT NULL AND delivery IN "
            "(SELECT id FROM delivery WHERE record=:r)",
            r=record,
        )

    def purge_activities(self, rows: list[dict[str, Any]]) -> int:
        """What these records said; place, worker, date and version stay, so that figures are explained by place."""
        return sum(
            self._done("UPDATE activity SET activity_enc=:e, subject=NULL WHERE record=:r", e=b"", r=row["record"])
            for row in rows
        )

    def payloads(self, record: str, kinds: tuple[str, ...]) -> list[dict[str, Any]]:
        rows = self._all(text("SELECT * FROM delivery WHERE record=:r AND payload_enc IS NOT NULL"), r=record)
        return [row for row in rows if row["kind"] in kinds]

    def replace_payload(self, id: int, payload_enc: bytes | None) -> None:
        self._done("UPDATE delivery SET payload_enc=:p WHERE id=:i", p=payload_enc, i=id)

    def forget_answer(self, record: str) -> int:
        return self._done(
            "UPDATE referral SET answer_enc=NULL, subject=NULL WHERE record=:r AND (answer_enc IS NOT NULL OR subject IS NOT NULL)",
            r=record,
        )

    def idle_keys(self, table: str, before: str) -> list[str]:
        """Data keys of months before ``before`` (``2026-08``) that no value of the table is encrypted with any more."""
        _, _, column = ENCRYPTED[table]
        idle = []
        for row in self._all(text("SELECT id FROM data_key WHERE id LIKE :p"), p=f"{table}/%"):
            name = str(row["id"])
            if name.partition("/")[2][:7] >= before:
                continue
            beginning = bytes((1, len(name))) + name.encode("ascii")  # as crypto.py lays a value out
            held = self.connection.execute(
                text(f"SELECT 1 FROM {table} WHERE SUBSTR({column}, 1, :n)=:b LIMIT 1"),
                {"n": len(beginning), "b": beginning},
            ).first()
            if held is None:
                idle.append(name)
        return idle

    def destroy_key(self, id: str) -> None:
        self._done("DELETE FROM data_key WHERE id=:i", i=id)

    # -- fresh data keys

    def encrypted_page(self, table: str, after: list[Any] | None, limit: int) -> list[dict[str, Any]]:
        """Rows of an encrypted column by primary key: the key's columns and ``blob``."""
        _, keys, column = ENCRYPTED[table]
        names = ", ".join(keys)
        where, parameters = f"{column} IS NOT NULL AND LENGTH({column}) > 0", {}
        if after is not None:
            where += f" AND ({names}) > ({', '.join(f':k{n}' for n in range(len(keys)))})"
            parameters = {f"k{n}": value for n, value in enumerate(after)}
        return self._all(
            text(f"SELECT {names}, {column} AS blob FROM {table} WHERE {where} ORDER BY {names} LIMIT :limit"),
            limit=limit,
            **parameters,
        )

    def keep_encrypted(self, table: str, row: dict[str, Any], old: bytes, new: bytes) -> int:
        """Put the new value in place of the old one, unless another process changed it meanwhile."""
        _, keys, column = ENCRYPTED[table]
        where = " AND ".join(f"{key}=:{key}" for key in keys)
        return self._done(
            f"UPDATE {table} SET {column}=:new_blob WHERE {where} AND {column}=:old_blob",
            **{key: row[key] for key in keys},
            new_blob=new,
            old_blob=old,
        )

    # -- forgetting a person

    def records_of_person(self, source: str, key: str) -> list[str]:
        """Records that registered her, and records about her."""
        rows = self._all(
            text(
                "SELECT record FROM entity WHERE source=:s AND kind='person' AND key=:k "
                "UNION SELECT a.record FROM activity a JOIN head h ON h.record=a.record WHERE a.subject=:k AND h.source=:s "
                "UNION SELECT r.record FROM referral r JOIN head h ON h.record=r.record WHERE r.subject=:k AND h.source=:s "
                "UNION SELECT o.record FROM head o JOIN referral r ON o.key=r.record JOIN head h ON h.record=r.record "
                "WHERE r.subject=:k AND h.source=:s "  # what the clinic answered
                "UNION SELECT record FROM head WHERE source=:s AND key=:k AND NOT EXISTS "
                "(SELECT 1 FROM entity WHERE source=:s AND kind <> 'person' AND key=:k)"
            ),
            s=source,
            k=key,
        )
        return sorted(str(row["record"]) for row in rows)

    def unmapped_bodies(self, source: str, after: int, limit: int) -> list[dict[str, Any]]:
        """Bodies of records nobody could map: whom they are about is only in their text. ``limit`` counts records, of
        which every revision is in the page."""
        return self._all(
            text(
                "SELECT h.id, h.record, b.body_enc FROM (SELECT id, record, source, stream, key FROM head f WHERE f.source=:s "
                "AND f.id > :a AND f.state IN ('received', 'quarantined') AND EXISTS (SELECT 1 FROM body e WHERE e.source=f.source "
                "AND e.stream=f.stream AND e.key=f.key AND e.body_enc IS NOT NULL) ORDER BY f.id LIMIT :n) h "
                "JOIN body b ON b.source=h.source AND b.stream=h.stream AND b.key=h.key "
                "WHERE b.body_enc IS NOT NULL ORDER BY h.id"
            ),
            s=source,
            a=after,
            n=limit,
        )

    def erase_record(self, record: str, now: str) -> dict[str, int]:
        """Text, facts, registry entry, requests and answers of one record; its contributions and digests stay."""
        source, stream, key = record.split("/", 2)
        where = {"s": source, "st": stream, "k": key}
        registered = "(SELECT key FROM entity WHERE record=:r AND kind='person')"
        self._done(  # what somebody wrote about two ids of hers; that they are hers stays, for the figures
            f"UPDATE same_person SET note_enc=NULL WHERE note_enc IS NOT NULL AND (key IN {registered} OR into_key IN {registered})",
            r=record,
        )
        self._done(f"DELETE FROM match_review WHERE key IN {registered}", r=record)
        counts = {
            "bodies": self._done(
                "UPDATE body SET body_enc=NULL WHERE source=:s AND stream=:st AND key=:k AND body_enc IS NOT NULL",
                **where,
            ),
            "activities": self._done(
                "UPDATE activity SET activity_enc=:e, subject=NULL WHERE record=:r AND LENGTH(activity_enc) > 0",
                e=b"",
                r=record,
            ),
            "entities": self._done("DELETE FROM entity WHERE record=:r", r=record),
            "answers": self.purge_answers(record) + self.forget_answer(record),
            "requests": self._done(
                "UPDATE delivery SET payload_enc=NULL WHERE record=:r AND payload_enc IS NOT NULL", r=record
            ),
        }
        self._done("DELETE FROM quarantine WHERE source=:s AND stream=:st AND key=:k", **where)
        self._done(
            "UPDATE delivery SET state='resolved', reason='person.erased', who=NULL, unsure=:no, updated=:now "
            "WHERE record=:r AND kind <> 'resource' AND state <> 'accepted'",
            r=record,
            now=now,
            no=False,
        )
        self._done("UPDATE referral SET state='withdrawn', updated=:now WHERE record=:r", r=record, now=now)
        self._done("UPDATE delivery SET subject=NULL WHERE record=:r AND kind <> 'resource'", r=record)
        self._done(
            "UPDATE head SET state='erased', purged=:now, dirty=:no, flags=NULL WHERE record=:r",
            r=record,
            now=now,
            no=False,
        )
        return counts

    def resources_of(self, record: str) -> list[dict[str, Any]]:
        return self._all(text("SELECT * FROM delivery WHERE record=:r AND kind='resource' AND digest <> ''"), r=record)

    def overwrite_deleted(self) -> None:
        """SQLite: what is removed in this transaction is overwritten with noughts, not only unlinked."""
        if self.connection.dialect.name == "sqlite":
            self.connection.exec_driver_sql("PRAGMA secure_delete=ON")
