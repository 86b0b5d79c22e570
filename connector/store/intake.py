"""Named queries of intake and mapping: cursors, bodies, heads, activities, entities, quarantine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import CursorResult, TextClause, text
from sqlalchemy.engine import Connection

#: Values of one IN list.
CHUNK = 1000

SOURCE_STATE = text("SELECT * FROM source_state WHERE source = :source")
MAKE_SOURCE = text(
    "INSERT INTO source_state (source, cursor, instance, received, failures) VALUES (:source, '', '', 0, 0) "
    "ON CONFLICT (source) DO NOTHING"
)
MOVE_CURSOR = text(
    "UPDATE source_state SET cursor=:cursor, instance=:instance, behind=:behind, received=received+:received, "
    "last_success=:now, last_record=COALESCE(:last_record, last_record), failures=0, reason=NULL, who=NULL, due_at=NULL "
    "WHERE source=:source"
)
PUSHED = text("UPDATE source_state SET received=received+1, last_record=:now WHERE source=:source")
SOURCE_FAILED = text(
    "UPDATE source_state SET failures=failures+1, reason=:reason, who=:who, due_at=:due_at WHERE source=:source"
)
INSERT_BODY = text(
    "INSERT INTO body (source, stream, key, revision, form, deleted, body_enc, unreadable, changed_at, received_at) "
    "VALUES (:source, :stream, :key, :revision, :form, :deleted, :body_enc, :unreadable, :changed_at, :now) "
    "ON CONFLICT (source, stream, key, revision) DO UPDATE SET body_enc=excluded.body_enc "
    "WHERE body.body_enc IS NULL AND excluded.body_enc IS NOT NULL"
)
UPSERT_HEAD = text(
    "INSERT INTO head (record, source, stream, key, revision, form, deleted, dirty, state, moves, first_received, "
    "received_at) VALUES (:record, :source, :stream, :key, :revision, :form, :deleted, :dirty, :state, 1, :now, :now) "
    "ON CONFLICT (record) DO UPDATE SET revision=excluded.revision, form=COALESCE(excluded.form, head.form), deleted=excluded.deleted, "
    "dirty=excluded.dirty, state=excluded.state, moves=head.moves+1, received_at=excluded.received_at, purged=NULL"
)
HEAD_AND_AGE = text(
    "SELECT h.revision, h.deleted, b.changed_at FROM head h LEFT JOIN body b ON b.source=h.source AND b.stream=h.stream "
    "AND b.key=h.key AND b.revision=h.revision WHERE h.record=:record"
)
BODY_KNOWN = text("SELECT 1 FROM body WHERE source=:source AND stream=:stream AND key=:key AND revision=:revision")
DIRTY = text(
    "SELECT h.id, h.record, h.source, h.stream, h.key, h.revision, h.form, h.deleted, h.state, h.moves, h.purged, h.flags, b.body_enc, "
    "b.unreadable FROM head h LEFT JOIN body b ON b.source=h.source AND b.stream=h.stream AND b.key=h.key "
    "AND b.revision=h.revision WHERE h.dirty AND h.id > :after ORDER BY h.id LIMIT :limit"
)
CLEAN_HEAD = text("UPDATE head SET dirty=:no, state=:state, flags=:flags WHERE record=:record AND revision=:revision")
UPSERT_ACTIVITY = text(
    "INSERT INTO activity (record, revision, kind, form, mapping, version, date, place, worker, subject, org_unit, "
    "activity_enc, mapped_at) VALUES (:record, :revision, :kind, :form, :mapping, :version, :date, :place, :worker, "
    ":subject, :org_unit, :activity_enc, :now) ON CONFLICT (record) DO UPDATE SET revision=excluded.revision, "
    "kind=excluded.kind, form=excluded.form, mapping=excluded.mapping, version=excluded.version, date=excluded.date, "
    "place=excluded.place, worker=excluded.worker, subject=excluded.subject, org_unit=excluded.org_unit, "
    "activity_enc=excluded.activity_enc, mapped_at=excluded.mapped_at"
)
UPSERT_ENTITY = text(
    "INSERT INTO entity (source, kind, key, record, revision, entity_enc, digest, updated, parent) VALUES (:source, :kind, "
    ":key, :record, :revision, :entity_enc, :digest, :now, :parent) ON CONFLICT (source, kind, key) DO UPDATE SET "
    "record=excluded.record, revision=excluded.revision, entity_enc=excluded.entity_enc, digest=excluded.digest, "
    "updated=excluded.updated, parent=excluded.parent"
)
#: Also where the text is purged, as long as what it said is kept: who she is holds for all her activities.
DIRTY_BY_SUBJECT = (
    "UPDATE head SET dirty=:yes WHERE NOT deleted AND state <> 'erased' AND record IN "
    "(SELECT record FROM activity WHERE LENGTH(activity_enc) > 0 AND subject IN {in})"
)
DIRTY_BY_PLACE = "UPDATE head SET dirty=:yes WHERE NOT deleted AND purged IS NULL AND source=:source AND record IN (SELECT record FROM activity WHERE place IN {in})"
UPSERT_QUARANTINE = text(
    "INSERT INTO quarantine (source, stream, key, revision, form, code, path, file, line, detail, who, version, at) "
    "VALUES (:source, :stream, :key, :revision, :form, :code, :path, :file, :line, :detail, :who, :version, :now) "
    "ON CONFLICT (source, stream, key) DO UPDATE SET revision=excluded.revision, form=excluded.form, code=excluded.code, "
    "path=excluded.path, file=excluded.file, line=excluded.line, detail=excluded.detail, who=excluded.who, "
    "version=excluded.version, at=excluded.at"
)
LEAVE_QUARANTINE = text("DELETE FROM quarantine WHERE source=:source AND stream=:stream AND key=:key")


def chunks(values: Sequence[Any], size: int = CHUNK) -> Iterable[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def in_list(dialect: str, values: Sequence[Any]) -> str:
    """The SQL after ``IN`` for a list passed as one JSON parameter ``:list``: the text stays the same whatever the
    length, so the statement is compiled once."""
    if dialect == "sqlite":
        return "(SELECT value FROM json_each(:list))"
    kind = "bigint" if values and isinstance(values[0], int) else "text"
    return f"(SELECT CAST(item AS {kind}) FROM jsonb_array_elements_text(CAST(:list AS jsonb)) AS item)"


def in_rows(dialect: str, names: Sequence[str]) -> str:
    """As ``in_list``, for rows of text: ``:list`` is a JSON array of arrays, and the SQL a table with these columns."""
    item, rows = ("json_extract(value, '$[{}]')", "json_each(:list)")
    if dialect != "sqlite":
        item, rows = ("value ->> {}", "jsonb_array_elements(CAST(:list AS jsonb))")
    columns = ", ".join(f"{item.format(number)} AS {name}" for number, name in enumerate(names))
    return f"(SELECT {columns} FROM {rows})"


@lru_cache(maxsize=200)
def _driver_text(sql: str) -> str:
    """``:name`` parameters as psycopg writes them."""
    return re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", sql)


def many(connection: Connection, statement: TextClause, rows: Sequence[Mapping[str, Any]]) -> None:
    """One statement for many rows, straight through the driver: on a hundred thousand small rows the parameter
    handling of SQLAlchemy costs more than the insert."""
    if rows:
        sql = statement.text if connection.dialect.name == "sqlite" else _driver_text(statement.text)
        connection.exec_driver_sql(sql, [dict(row) for row in rows])


def dicts(result: CursorResult[Any]) -> list[dict[str, Any]]:
    """All rows of a textual statement as dicts, straight from the driver's tuples: a mapping object for each row
    costs more than the row."""
    names = list(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result.cursor.fetchall()]


@lru_cache(maxsize=200)
def block_names(block: tuple[str, str, str]) -> dict[str, str]:
    """A block as the parameters of a statement: ``data_set``, ``org_unit``, ``period``."""
    return dict(zip(("data_set", "org_unit", "period"), block, strict=True))


def statement(sql: str) -> TextClause:
    return text(sql)


class IntakeQueries:
    connection: Connection

    def rows(self, statement: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return dicts(self.connection.execute(statement, parameters or {}))

    def row(self, statement: Any, parameters: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        found = self.connection.execute(statement, parameters or {}).mappings().first()
        return dict(found) if found else None

    def execute(self, statement: Any, parameters: Any = None) -> int:
        if isinstance(parameters, list):
            many(self.connection, statement, parameters)
            return len(parameters)
        return int(self.connection.execute(statement, parameters or {}).rowcount)

    def select_in(self, sql: str, values: Iterable[Any], **more: Any) -> list[dict[str, Any]]:
        """Rows of ``sql`` (with ``{in}`` where the list goes), in chunks."""
        found: list[dict[str, Any]] = []
        for chunk in chunks(list(values)):
            clause = in_list(self.connection.dialect.name, chunk)
            found += self.rows(statement(sql.replace("{in}", clause)), {"list": orjson.dumps(chunk).decode(), **more})
        return found

    # -- sources

    def source_state(self, source: str) -> dict[str, Any]:
        self.execute(MAKE_SOURCE, {"source": source})
        return self.row(SOURCE_STATE, {"source": source}) or {}

    def move_cursor(self, **values: Any) -> None:
        self.execute(MOVE_CURSOR, values)

    def pushed(self, source: str, now: str) -> None:
        """A record came by itself: the source is not silent."""
        self.execute(PUSHED, {"source": source, "now": now})

    def source_failed(self, **values: Any) -> None:
        self.execute(MAKE_SOURCE, {"source": values["source"]})
        self.execute(SOURCE_FAILED, values)

    # -- bodies and heads

    def heads(self, records: Iterable[str]) -> dict[str, dict[str, Any]]:
        rows = self.select_in("SELECT record, revision, deleted, state FROM head WHERE record IN {in}", records)
        return {r["record"]: r for r in rows}

    def head_and_age(self, record: str) -> dict[str, Any] | None:
        """Revision of the head, whether it is a deletion, and when it changed as far as the source said."""
        return self.row(HEAD_AND_AGE, {"record": record})

    def body_known(self, source: str, stream: str, key: str, revision: str) -> bool:
        return bool(self.rows(BODY_KNOWN, {"source": source, "stream": stream, "key": key, "revision": revision}))

    def keep_bodies(self, rows: list[dict[str, Any]]) -> None:
        self.execute(INSERT_BODY, rows)

    def move_heads(self, rows: list[dict[str, Any]]) -> None:
        self.execute(UPSERT_HEAD, rows)

    def dirty_heads(self, after: int, limit: int, forms: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Heads to map, oldest first; ``forms`` restricts to those forms (registers before activities)."""
        if forms is None:
            return self.rows(DIRTY, {"after": after, "limit": limit})
        if not forms:
            return []
        clause = in_list(self.connection.dialect.name, list(forms))
        found = statement(DIRTY.text.replace("WHERE h.dirty", f"WHERE h.dirty AND h.form IN {clause}"))
        return self.rows(found, {"after": after, "limit": limit, "list": orjson.dumps(list(forms)).decode()})

    def clean_heads(self, rows: list[dict[str, Any]]) -> None:
        self.execute(CLEAN_HEAD, [{"no": False, "flags": None, **r} for r in rows])

    def dirty_forms(self, forms: Iterable[tuple[str, str]]) -> int:
        """Mark every living record of the (source, form) pairs to be mapped again."""
        count = 0
        for source, form in forms:
            count += self.execute(
                text(
                    "UPDATE head SET dirty=:yes WHERE source=:source AND form=:form AND NOT deleted AND purged IS NULL"
                ),
                {"yes": True, "source": source, "form": form},
            )
        return count

    def dirty_records(self, records: Iterable[str]) -> int:
        count = 0
        for record in records:
            count += self.execute(
                text("UPDATE head SET dirty=:yes WHERE record=:r AND purged IS NULL"), {"yes": True, "r": record}
            )
        return count

    def dirty_by_subject(self, subjects: Sequence[str]) -> int:
        """Mark the living records about these subjects to be mapped again."""
        if not subjects:
            return 0
        clause = in_list(self.connection.dialect.name, subjects)
        parameters = {"yes": True, "list": orjson.dumps(subjects).decode()}
        return self.execute(statement(DIRTY_BY_SUBJECT.replace("{in}", clause)), parameters)

    def dirty_by_place(self, source: str, places: Sequence[str]) -> int:
        """Mark the living records of a source that were made in these places to be mapped again."""
        if not places:
            return 0
        clause = in_list(self.connection.dialect.name, places)
        parameters = {"yes": True, "list": orjson.dumps(places).decode(), "source": source}
        return self.execute(statement(DIRTY_BY_PLACE.replace("{in}", clause)), parameters)

    def places_of_activities(self) -> list[str]:
        rows = self.rows(text("SELECT DISTINCT place FROM activity WHERE place IS NOT NULL"))
        return [str(r["place"]) for r in rows]

    # -- activities and entities

    def keep_activities(self, rows: list[dict[str, Any]]) -> None:
        self.execute(UPSERT_ACTIVITY, rows)

    def drop_activities(self, records: Sequence[str]) -> None:
        self.execute(text("DELETE FROM activity WHERE record=:r"), [{"r": r} for r in records])

    def activities(self, records: Iterable[str]) -> dict[str, dict[str, Any]]:
        rows = self.select_in("SELECT * FROM activity WHERE LENGTH(activity_enc) > 0 AND record IN {in}", records)
        return {r["record"]: r for r in rows}

    def keep_entities(self, rows: list[dict[str, Any]]) -> None:
        self.execute(UPSERT_ENTITY, [{"parent": None, **row} for row in rows])

    def entities(self, kind: str, source: str, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        rows = self.select_in(
            "SELECT * FROM entity WHERE source=:source AND kind=:kind AND key IN {in}",
            set(keys),
            source=source,
            kind=kind,
        )
        return {r["key"]: r for r in rows}

    def entities_of_records(self, records: Iterable[str]) -> list[dict[str, Any]]:
        return self.select_in("SELECT * FROM entity WHERE record IN {in}", records)

    def drop_entity(self, record: str) -> None:
        self.execute(text("DELETE FROM entity WHERE record=:r"), {"r": record})

    # -- quarantine

    def quarantine(self, rows: list[dict[str, Any]]) -> None:
        self.execute(UPSERT_QUARANTINE, rows)

    def quarantined_for(self, source: str, codes: Sequence[str]) -> list[str]:
        """Records of a source that are in quarantine for one of these reasons."""
        sql = "SELECT stream, key FROM quarantine WHERE source=:source AND code IN {in}"
        return [f"{source}/{r['stream']}/{r['key']}" for r in self.select_in(sql, codes, source=source)]

    def leave_quarantine(self, rows: list[dict[str, Any]]) -> None:
        self.execute(LEAVE_QUARANTINE, rows)

    def quarantined(self) -> int:
        return int(self.connection.execute(text("SELECT COUNT(*) FROM quarantine")).scalar() or 0)
