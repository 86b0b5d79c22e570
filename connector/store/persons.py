"""Named queries of people registered twice: which ids were declared to be one person, and what counts them as one.

Nothing that was kept under an id is written anew: what is read is read under the id that is kept (``same_key``), so
taking a declaration back is taking its rows away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.engine import Connection

from connector.store.intake import dicts, in_list, many, statement

INSERT_SAME = text(
    "INSERT INTO same_person (key, source, into_source, into_key, kept_source, kept_key, by, at, note_enc) VALUES (:key, "
    ":source, :into_source, :into_key, :kept_source, :kept_key, :by, :at, :note_enc)"
)
KEEP_UNDER = text("UPDATE same_person SET kept_source=:kept_source, kept_key=:kept_key WHERE key=:key")
INSERT_ALIAS = text(
    "INSERT INTO same_key (key, kept) VALUES (:key, :kept) ON CONFLICT (key) DO UPDATE SET kept=excluded.kept"
)
PAGE = text("SELECT * FROM same_person WHERE key > :after ORDER BY key LIMIT :limit")
#: Every category of the parts, places and periods in which anything is counted once by one of these hashes.
TOUCH_KEYS = (
    "INSERT INTO touched (indicator, part, org_unit, period, categories) SELECT c.indicator, c.part, c.org_unit, c.period, "
    "c.categories FROM cell c JOIN (SELECT DISTINCT indicator, part, org_unit, period FROM contribution WHERE "
    "distinct_key <> '' AND distinct_key IN {in}) d ON c.indicator=d.indicator AND c.part=d.part "
    "AND c.org_unit=d.org_unit AND c.period=d.period WHERE TRUE "
    "ON CONFLICT (indicator, part, org_unit, period, categories) DO NOTHING"
)
#: Records about these persons and those that register them; also where the text is purged and what it said is kept.
DIRTY_PERSONS = (
    "UPDATE head SET dirty=:yes WHERE NOT deleted AND state <> 'erased' AND record IN (SELECT record FROM activity WHERE "
    "LENGTH(activity_enc) > 0 AND subject IN {in} UNION SELECT record FROM entity WHERE kind='person' AND key IN {in})"
)


class PersonQueries:
    connection: Connection

    def same_persons(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        """The declarations about these ids: each is another id of somebody who is kept under another one."""
        return self.select_in("SELECT * FROM same_person WHERE key IN {in}", keys)  # type: ignore[attr-defined,no-any-return]

    def same_as(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        """The declarations of all ids that are kept under these, by id."""
        rows = self.select_in("SELECT * FROM same_person WHERE kept_key IN {in}", keys)  # type: ignore[attr-defined]
        return sorted(rows, key=lambda row: str(row["key"]))

    def same_page(self, after: str, limit: int) -> list[dict[str, Any]]:
        return dicts(self.connection.execute(PAGE, {"after": after, "limit": limit}))

    def keep_same(self, row: Mapping[str, Any]) -> None:
        self.connection.execute(INSERT_SAME, dict(row))

    def keep_under(self, rows: list[dict[str, Any]]) -> None:
        """Another id is kept for these: key, kept_source, kept_key."""
        many(self.connection, KEEP_UNDER, rows)

    def drop_same(self, key: str) -> None:
        self.connection.execute(text("DELETE FROM same_person WHERE key=:key"), {"key": key})

    # -- what is counted, by keyed hashes

    def keep_aliases(self, rows: Mapping[str, str]) -> None:
        """Hash -> the hash it is read as."""
        many(self.connection, INSERT_ALIAS, [{"key": key, "kept": kept} for key, kept in rows.items()])

    def drop_aliases(self, keys: Iterable[str]) -> None:
        many(self.connection, text("DELETE FROM same_key WHERE key=:key"), [{"key": key} for key in keys])

    def read_as(self, keys: Iterable[str]) -> dict[str, str]:
        """Of these hashes those that are read as another one."""
        rows = self.select_in("SELECT key, kept FROM same_key WHERE key IN {in}", set(keys))  # type: ignore[attr-defined]
        return {row["key"]: row["kept"] for row in rows}

    def all_read_as(self, keys: Iterable[str]) -> set[str]:
        """These hashes and all that are read as one of them."""
        wanted = set(keys)
        rows = self.select_in("SELECT key FROM same_key WHERE kept IN {in}", wanted)  # type: ignore[attr-defined]
        return wanted | {row["key"] for row in rows}

    def touch_keys(self, keys: Sequence[str]) -> None:
        """Count again whatever is counted once by one of these hashes."""
        self._for(TOUCH_KEYS, keys)

    def dirty_persons(self, keys: Sequence[str]) -> None:
        """Mark all that is about these persons to be worked out again."""
        self._for(DIRTY_PERSONS, keys, yes=True)

    def _for(self, sql: str, keys: Sequence[str], **more: Any) -> None:
        if keys:
            clause = in_list(self.connection.dialect.name, list(keys))
            parameters = {"list": orjson.dumps(list(keys)).decode(), **more}
            self.connection.execute(statement(sql.replace("{in}", clause)), parameters)
