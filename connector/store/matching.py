"""Named queries of match review: who waits for whom, and what was decided.

A review is open while nobody has decided and a delivery stands parked for it: what is retried, resolved or taken back
closes it without anybody having to say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

#: The reason a delivery is parked for (``adapters.openmrs_answers``).
REASON = "openmrs.match_review"

ASK = text(
    "INSERT INTO match_review (target, source, key, asked, match_enc) VALUES (:target, :source, :key, :now, :match_enc) "
    "ON CONFLICT (target, key) DO UPDATE SET match_enc=excluded.match_enc WHERE match_review.decision IS NULL"
)
DECIDE = text(
    "UPDATE match_review SET decision=:decision, patient=:patient, by=:by, at=:now, match_enc=:match_enc WHERE id=:id"
)
_WAITS = (
    "EXISTS (SELECT 1 FROM delivery d WHERE d.target=m.target AND d.subject=m.key AND d.kind='referral' "
    f"AND d.state='parked' AND d.reason='{REASON}')"
)
OPEN = text(
    f"SELECT m.* FROM match_review m WHERE m.decision IS NULL AND {_WAITS} AND m.id > :after ORDER BY m.id LIMIT :limit"
)
COUNT = text(f"SELECT COUNT(*) FROM match_review m WHERE m.decision IS NULL AND {_WAITS}")
#: Deliveries that stand parked for an open review.
WAITING = text(
    "SELECT COUNT(*) FROM delivery d JOIN match_review m ON m.target=d.target AND m.key=d.subject WHERE "
    f"d.target=:t AND d.kind='referral' AND d.state='parked' AND d.reason='{REASON}' AND m.decision IS NULL"
)
REFERRALS = text(
    "SELECT d.id, d.record, d.payload_enc, d.state, d.reason FROM delivery d WHERE d.target=:target AND d.subject=:key "
    "AND d.kind='referral' ORDER BY d.id LIMIT 20"
)


class MatchQueries:
    connection: Connection

    def ask_match(self, row: Mapping[str, Any]) -> None:
        """target, source, key, match_enc, now: a person must say who this is. What is decided stays decided: what asks
        then left before the answer came."""
        self.connection.execute(ASK, dict(row))

    def decide_match(self, row: Mapping[str, Any]) -> None:
        """id, decision, patient, by, now, match_enc."""
        self.connection.execute(DECIDE, dict(row))

    def match(self, id: int) -> dict[str, Any] | None:
        return self.row(text("SELECT * FROM match_review WHERE id=:i"), {"i": id})  # type: ignore[attr-defined,no-any-return]

    def matches_of(self, target: str, keys: Iterable[str]) -> list[dict[str, Any]]:
        return self.select_in(  # type: ignore[attr-defined,no-any-return]
            "SELECT * FROM match_review WHERE target=:target AND key IN {in}", keys, target=target
        )

    def match_waits(self, row: Mapping[str, Any]) -> bool:
        """Whether a delivery waits for this review."""
        found = self.connection.execute(
            text(f"SELECT 1 FROM match_review m WHERE m.id=:i AND {_WAITS}"), {"i": row["id"]}
        )
        return found.first() is not None

    def open_matches(self, after: int, limit: int) -> list[dict[str, Any]]:
        return self.rows(OPEN, {"after": after, "limit": limit})  # type: ignore[attr-defined,no-any-return]

    def decided_matches(self, after: int, limit: int) -> list[dict[str, Any]]:
        return self.rows(  # type: ignore[attr-defined,no-any-return]
            text("SELECT * FROM match_review WHERE decision IS NOT NULL AND id > :after ORDER BY id LIMIT :limit"),
            {"after": after, "limit": limit},
        )

    def matches_waiting(self) -> int:
        """Persons somebody must decide about."""
        return int(self.connection.execute(COUNT).scalar_one())

    def parked_for_match(self, target: str) -> int:
        return int(self.connection.execute(WAITING, {"t": target}).scalar_one())

    def referrals_of_match(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Her referrals to the target, oldest first: id, record, payload_enc, state, reason."""
        return self.rows(REFERRALS, {"target": row["target"], "key": row["key"]})  # type: ignore[attr-defined,no-any-return]
