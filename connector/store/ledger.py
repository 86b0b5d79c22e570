"""Named queries of delivery: what is wanted, leases, attempts, verdicts, target health, lanes, referrals, runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.engine import Connection

from connector.store.intake import many

#: A newer wanted state raises the generation; a leased row keeps its lease and is settled behind the fence.
WANT = text(
    "INSERT INTO delivery (target, key, kind, record, subject, generation, digest, payload_enc, state, step, remote, tries, "
    "unsure, due_at, wanted_at, updated, reason, who) VALUES (:target, :key, :kind, :record, :subject, 1, :digest, "
    ":payload_enc, :state, '', '{}', 0, :no, :due_at, :now, :now, :reason, :who) "
    "ON CONFLICT (target, key) DO UPDATE SET generation=delivery.generation+1, digest=excluded.digest, "
    "payload_enc=excluded.payload_enc, record=excluded.record, subject=excluded.subject, "
    "state=CASE WHEN delivery.state='leased' THEN 'leased' WHEN delivery.unsure THEN delivery.state ELSE excluded.state END, "
    "due_at=CASE WHEN delivery.unsure THEN delivery.due_at ELSE excluded.due_at END, "
    "tries=0, reason=excluded.reason, who=excluded.who, note=NULL, note_by=NULL, wanted_at=excluded.wanted_at, updated=excluded.updated "
    "WHERE delivery.digest <> excluded.digest OR :again"
)
#: One index range per state, so that a claim costs the same with a thousand rows waiting or a million.
_DUE = "SELECT id, due_at FROM delivery WHERE target=:target AND state='{state}' AND due_at <= :now{more} ORDER BY due_at, id LIMIT :limit"
_FRESH = (("pending", ""),)
_RETRIES = (("deferred", ""), ("unknown", ""), ("leased", " AND lease_until < :now"))


def _claim(states: tuple[tuple[str, str], ...]) -> TextClause:
    ranges = (f"SELECT * FROM ({_DUE.format(state=state, more=more)}) AS {state}" for state, more in states)
    return text(
        "SELECT * FROM delivery WHERE id IN (SELECT id FROM ("
        + " UNION ALL ".join(ranges)
        + ") AS due ORDER BY due_at, id LIMIT :limit) ORDER BY due_at, id"
    )


CLAIM, CLAIM_FRESH, CLAIM_RETRIES = _claim(_FRESH + _RETRIES), _claim(_FRESH), _claim(_RETRIES)
LEASE = text(
    "UPDATE delivery SET state='leased', lease_until=:until, lease_by=:by, updated=:now, "
    "unsure=(unsure OR state='leased') WHERE id=:id"
)
PROGRESS = text("UPDATE delivery SET step=:step, remote=:remote WHERE id=:id")
SETTLE_ACCEPTED = text(
    "UPDATE delivery SET state='accepted', accepted_digest=:digest, accepted_generation=:generation, accepted_at=:now, "
    "unsure=:no, tries=0, step='', remote=:remote, reason=NULL, who=NULL, lease_until=NULL, lease_by=NULL, updated=:now "
    "WHERE id=:id AND generation=:generation AND (lease_by=:by OR lease_by IS NULL)"
)
SETTLE_OVERTAKEN = text(
    "UPDATE delivery SET state='pending', accepted_digest=COALESCE(:digest, accepted_digest), unsure=:unsure, due_at=:due_at, "
    "remote=:remote, step=:step, lease_until=NULL, lease_by=NULL, updated=:now WHERE id=:id AND generation<>:generation "
    "AND (lease_by=:by OR lease_by IS NULL)"
)
SETTLE_OTHER = text(
    "UPDATE delivery SET state=:state, tries=:tries, unsure=:unsure, due_at=:due_at, reason=:reason, who=:who, "
    "remote=:remote, step=:step, lease_until=NULL, lease_by=NULL, updated=:now WHERE id=:id AND generation=:generation "
    "AND (lease_by=:by OR lease_by IS NULL)"
)
NEW_ATTEMPT = text(
    "INSERT INTO attempt (target, started, size, verdict, run) VALUES (:target, :now, :size, 'open', :run) RETURNING id"
)
ATTEMPT_OF = text(
    "INSERT INTO attempt_delivery (attempt, delivery, generation, digest, verdict) "
    "VALUES (:attempt, :delivery, :generation, :digest, 'open')"
)
ATTEMPT_JUDGED = text(
    "UPDATE attempt_delivery SET verdict=:verdict, reason=:reason, http_status=:http_status, answer_enc=:answer_enc "
    "WHERE attempt=:attempt AND delivery=:delivery"
)
ATTEMPT_ENDED = text("UPDATE attempt SET ended=:now, verdict=:verdict WHERE id=:attempt")
MAKE_TARGET = text(
    "INSERT INTO target_state (target, breaker, failures, refusals) VALUES (:target, 'closed', 0, 0) "
    "ON CONFLICT (target) DO NOTHING"
)
KEEP_TARGET = text(
    "UPDATE target_state SET due_at=:due_at, breaker=:breaker, failures=:failures, refusals=:refusals, good=:good, "
    "reason=:reason, who=:who, last_try=:now, last_success=COALESCE(:last_success, last_success) WHERE target=:target"
)
#: What may still arrive, or a person has set aside lately in that state, waits from now on.
QUIET_AGAIN = text(
    "UPDATE delivery SET updated=:now, due_at=CASE WHEN due_at > :until THEN due_at ELSE :until END, "
    "lease_until=CASE WHEN lease_until < :lease THEN :lease ELSE lease_until END WHERE target=:target AND "
    "(state IN ('unknown','leased') OR (unsure AND state IN ('pending','deferred')) "
    "OR (unsure AND state IN ('parked','resolved') AND updated > :recent))"
)
TAKE_LANE = text(
    "INSERT INTO lane (name, holder, until, fence) VALUES (:name, :holder, :until, 1) ON CONFLICT (name) DO UPDATE SET "
    "holder=excluded.holder, until=excluded.until, fence=lane.fence+1 WHERE lane.until < :now OR lane.holder=excluded.holder"
)
UPSERT_REFERRAL = text(
    "INSERT INTO referral (record, subject, worker, to_place, date, urgent, reason, state, remote, updated) VALUES (:record, "
    ":subject, :worker, :to_place, :date, :urgent, :reason, :state, '{}', :now) ON CONFLICT (record) DO UPDATE SET "
    "subject=excluded.subject, worker=excluded.worker, to_place=excluded.to_place, date=excluded.date, "
    "urgent=excluded.urgent, reason=excluded.reason, updated=excluded.updated, state=CASE WHEN referral.state IN "
    "('waiting_person','old','withdrawn','wanted') THEN excluded.state ELSE referral.state END"
)


class LedgerQueries:
    connection: Connection

    # -- wanted

    def delivery(self, target: str, key: str) -> dict[str, Any] | None:
        return self.row(  # type: ignore[attr-defined,no-any-return]
            text("SELECT * FROM delivery WHERE target=:target AND key=:key"), {"target": target, "key": key}
        )

    def deliveries_of(self, target: str, records: Iterable[str]) -> list[dict[str, Any]]:
        return self.select_in(  # type: ignore[attr-defined,no-any-return]
            "SELECT id, record, key, digest FROM delivery "
            "WHERE target=:target AND record IN {in}",
            records,
            target=target,
        )

    def digests(self, target: str, keys: Iterable[str]) -> dict[str, str]:
        rows = self.select_in(  # type: ignore[attr-defined]
            "SELECT key, digest FROM delivery WHERE target=:target AND key IN {in}", keys, target=target
        )
        return {r["key"]: r["digest"] for r in rows}

    def want(self, rows: list[dict[str, Any]]) -> None:
        """Make these the wanted states. A row equal to what is wanted already changes nothing."""
        if rows:
            defaults = {
                "no": False,
                "again": False,
                "record": None,
                "subject": None,
                "payload_enc": None,
                "reason": None,
                "who": None,
            }
            many(self.connection, WANT, [{**defaults, **r} for r in rows])

    def unsent(self, target: str, keys: Iterable[str]) -> set[str]:
        """Which of these were never about to be sent, in whatever version: nothing of them can be at the target."""
        rows = self.select_in(  # type: ignore[attr-defined]
            "SELECT key FROM delivery WHERE target=:target AND key IN {in} "
            "AND accepted_digest IS NULL AND NOT unsure AND step='' "
            "AND NOT EXISTS (SELECT 1 FROM attempt_delivery a WHERE a.delivery=delivery.id)",
            keys,
            target=target,
        )
        return {r["key"] for r in rows}

    def unwant(self, ids: Sequence[int]) -> None:
        """Forget wanted states that no attempt was ever made for."""
        if ids:
            many(self.connection, text("DELETE FROM delivery WHERE id=:id"), [{"id": i} for i in ids])

    # -- attempts

    def claim(self, target: str, now: str, limit: int, *, only: str = "") -> list[dict[str, Any]]:
        """What is due, longest waiting first; ``only``: ``fresh`` (never tried) or ``retries``."""
        if limit <= 0:
            return []
        query = {"": CLAIM, "fresh": CLAIM_FRESH, "retries": CLAIM_RETRIES}[only]
        parameters = {"target": target, "now": now, "limit": limit}
        return self.rows(query, parameters)  # type: ignore[attr-defined,no-any-return]

    def still_open(self, target: str, subjects: Iterable[str]) -> list[dict[str, Any]]:
        """Deliveries of these subjects that nobody has settled and nobody has on its way, by id."""
        found = self.select_in(  # type: ignore[attr-defined]
            "SELECT id, subject, due_at, reason FROM delivery WHERE target=:target AND state IN ('pending', 'deferred', 'unknown') "
            "AND subject IN {in}",
            set(subjects),
            target=target,
        )
        return sorted(found, key=lambda row: int(row["id"]))

    def look_again(self, target: str, reasons: Iterable[str], now: str) -> None:
        """What is held back for these reasons is due."""
        found = self.select_in(  # type: ignore[attr-defined]
            "SELECT id FROM delivery WHERE target=:target AND state='deferred' AND due_at>:now AND reason IN {in}",
            reasons,
            target=target,
            now=now,
        )
        self.wait_until([{"id": row["id"], "due_at": now} for row in found])

    def leave_shadow(self, target: str, now: str) -> None:
        """What was wanted while nothing left for this target is due."""
        self.connection.execute(  # type: ignore[attr-defined]
            text(
                "UPDATE delivery SET state='pending', reason=NULL, who=NULL, due_at=:now, updated=:now WHERE target=:target "
                "AND state='resolved' AND reason='mode.shadow' AND digest <> ''"
            ),
            {"target": target, "now": now},
        )

    def held_back(self, target: str, reasons: Iterable[str]) -> dict[str, int]:
        """Reason -> deliveries held back for it, of these reasons."""
        sql = (
            "SELECT reason, COUNT(*) AS n FROM delivery WHERE target=:target AND state='deferred' AND reason IN {in} "
            "GROUP BY reason"
        )
        return {row["reason"]: int(row["n"]) for row in self.select_in(sql, reasons, target=target)}  # type: ignore[attr-defined]

    def wait_until(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            many(self.connection, text("UPDATE delivery SET due_at=:due_at WHERE id=:id"), rows)

    def lease(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            many(self.connection, LEASE, rows)

    def begin_attempt(self, target: str, now: str, deliveries: list[dict[str, Any]], run: str) -> int:
        attempt = self.connection.execute(
            NEW_ATTEMPT, {"target": target, "now": now, "size": len(deliveries), "run": run}
        ).scalar_one()
        many(
            self.connection,
            ATTEMPT_OF,
            [
                {"attempt": attempt, "delivery": d["id"], "generation": d["generation"], "digest": d["digest"]}
                for d in deliveries
            ],
        )
        return int(attempt)

    def digests_in_doubt(self, delivery: int) -> list[str]:
        """What was sent of a delivery without an answer to trust; "" for its removal."""
        found = self.connection.execute(
            text(
                "SELECT DISTINCT digest FROM attempt_delivery WHERE delivery=:d AND verdict IN ('open', 'unknown') "
                "ORDER BY digest"
            ),
            {"d": delivery},
        )
        return [str(row[0]) for row in found]

    def take_over_leases(self, target: str, holder: str, due: str, now: str) -> int:
        """Leases of processes that are gone: what they sent is uncertain until the quiet time is over."""
        done = self.connection.execute(
            text(
                "UPDATE delivery SET state='unknown', unsure=:yes, due_at=:due, lease_until=NULL, lease_by=NULL, updated=:now "
                "WHERE target=:t AND state='leased' AND lease_by <> :h"
            ),
            {"t": target, "h": holder, "due": due, "now": now, "yes": True},
        )
        return done.rowcount

    def note(self, id: int, step: str, remote: str) -> None:
        self.connection.execute(PROGRESS, {"id": id, "step": step, "remote": remote})

    def settle_accepted(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            many(self.connection, SETTLE_ACCEPTED, rows)

    def settle_overtaken(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            many(self.connection, SETTLE_OVERTAKEN, rows)

    def settle_other(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            many(self.connection, SETTLE_OTHER, rows)

    def attempt_judged(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            many(self.connection, ATTEMPT_JUDGED, rows)

    def end_attempt(self, attempt: int, verdict: str, now: str) -> None:
        self.connection.execute(ATTEMPT_ENDED, {"attempt": attempt, "verdict": verdict, "now": now})

    def generations(self, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
        rows = self.select_in(  # type: ignore[attr-defined]
            "SELECT id, generation, remote, step FROM delivery WHERE id IN {in}", ids
        )
        return {r["id"]: r for r in rows}

    def states(self, target: str) -> dict[str, int]:
        rows = self.rows(  # type: ignore[attr-defined]
            text("SELECT state, COUNT(*) AS n FROM delivery WHERE target=:t GROUP BY state"), {"t": target}
        )
        return {r["state"]: int(r["n"]) for r in rows}

    def next_due(self, target: str) -> str | None:
        found = self.connection.execute(
            text(
                "SELECT MIN(CASE WHEN state='leased' THEN lease_until ELSE due_at END) FROM delivery "
                "WHERE target=:t AND state IN ('pending','deferred','unknown','leased')"
            ),
            {"t": target},
        ).scalar()
        return str(found) if found else None

    # -- targets and lanes

    def target_state(self, target: str) -> dict[str, Any]:
        self.connection.execute(MAKE_TARGET, {"target": target})
        return self.row(text("SELECT * FROM target_state WHERE target=:t"), {"t": target}) or {}  # type: ignore[attr-defined]

    def keep_target(self, **values: Any) -> None:
        self.connection.execute(KEEP_TARGET, values)

    def take_lane(self, name: str, holder: str, now: str, until: str) -> bool:
        done = self.connection.execute(TAKE_LANE, {"name": name, "holder": holder, "now": now, "until": until})
        return done.rowcount == 1

    def free_lanes(self, holder: str, until: str) -> None:
        """Lanes of processes that are gone end when what they sent has settled."""
        self.connection.execute(
            text("UPDATE lane SET until=:until WHERE holder <> :h AND name <> 'run' AND until > :until"),
            {"h": holder, "until": until},
        )

    def quiet_again(self, target: str, **times: str) -> None:
        """``until`` and ``lease`` at the earliest for what is uncertain or leased; ``recent``: since when set aside."""
        self.connection.execute(QUIET_AGAIN, {"target": target, **times})

    def lanes_again(self, until: str) -> None:
        """No lane that somebody holds ends sooner than this."""
        self.connection.execute(text("UPDATE lane SET until=:until WHERE until < :until"), {"until": until})

    def leave_lane(self, name: str, holder: str) -> None:
        self.connection.execute(text("DELETE FROM lane WHERE name=:n AND holder=:h"), {"n": name, "h": holder})

    # -- referrals

    def keep_referral(self, **values: Any) -> None:
        self.connection.execute(UPSERT_REFERRAL, values)

    def referral(self, record: str) -> dict[str, Any] | None:
        return self.row(text("SELECT * FROM referral WHERE record=:r"), {"r": record})  # type: ignore[attr-defined,no-any-return]

    def known_referrals(self, records: Iterable[str]) -> set[str]:
        rows = self.select_in("SELECT record FROM referral WHERE record IN {in}", records)  # type: ignore[attr-defined]
        return {r["record"] for r in rows}

    def referral_state(
        self,
        record: str,
        state: str,
        now: str,
        *,
        remote: str | None = None,
        answered: str | None = None,
        answer_enc: bytes | None = None,
    ) -> None:
        self.connection.execute(
            text(
                "UPDATE referral SET state=:state, updated=:now, remote=COALESCE(:remote, remote), "
                "answered_at=COALESCE(:answered, answered_at), answer_enc=COALESCE(:answer, answer_enc) WHERE record=:r"
            ),
            {"r": record, "state": state, "now": now, "remote": remote, "answered": answered, "answer": answer_enc},
        )

    def open_referrals(self, after: str, limit: int, since: str = "9") -> list[dict[str, Any]]:
        """Those to ask the clinic about: without an outcome, or with one it may still add to or take back, that was
        learnt after ``since``."""
        return self.rows(  # type: ignore[attr-defined,no-any-return]
            text(
                "SELECT * FROM referral WHERE (state IN ('sent','arrived','missed') OR (state IN ('completed','cancelled') "
                "AND answered_at > :since)) AND record > :after ORDER BY record LIMIT :limit"
            ),
            {"after": after, "limit": limit, "since": since},
        )

    def referrals_standing(self, urgent: str, routine: str) -> dict[str, int]:
        """``open``: referrals without an outcome; ``overdue``: those nobody has seen of visits before these days."""
        row = self.row(  # type: ignore[attr-defined]
            text(
                "SELECT COUNT(*) AS n, COALESCE(SUM(CASE WHEN state<>'arrived' AND date < "
                "(CASE WHEN urgent THEN CAST(:urgent AS TEXT) ELSE CAST(:routine AS TEXT) END) THEN 1 ELSE 0 END), 0) AS late "
                "FROM referral WHERE state IN ('waiting_person','wanted','sent','arrived')"
            ),
            {"urgent": urgent, "routine": routine},
        )
        return {"open": int(row["n"]), "overdue": int(row["late"])}

    # -- runs

    def begin_run(self, id: str, kind: str, now: str) -> None:
        self.connection.execute(
            text("INSERT INTO run (id, kind, started) VALUES (:id, :kind, :now)"), {"id": id, "kind": kind, "now": now}
        )

    def end_run(self, id: str, outcome: str, summary: str, now: str) -> None:
        self.connection.execute(
            text("UPDATE run SET ended=:now, outcome=:outcome, summary=:summary WHERE id=:id"),
            {"id": id, "outcome": outcome, "summary": summary, "now": now},
        )

    def beat(self, connection: str, result: str, now: str) -> None:
        self.connection.execute(
            text("INSERT INTO beat (connection, at, result) VALUES (:c, :now, :result)"),
            {"c": connection, "result": result, "now": now},
        )
        self.connection.execute(
            text(
                "DELETE FROM beat WHERE connection=:c AND id NOT IN "
                "(SELECT id FROM beat WHERE connection=:c ORDER BY id DESC LIMIT 30)"
            ),
            {"c": connection},
        )

    def fire(self, schedule: str, due: str, now: str) -> bool:
        """Claim this fire; False when another process has it."""
        done = self.connection.execute(
            text(
                "INSERT INTO fire (schedule, due, started) VALUES (:s, :d, :now) ON CONFLICT (schedule, due) DO NOTHING"
            ),
            {"s": schedule, "d": due, "now": now},
        )
        return done.rowcount == 1

    def forget_fires(self, schedule: str, after: str) -> None:
        """Fires after this instant were named by a clock that was set back since."""
        self.connection.execute(text("DELETE FROM fire WHERE schedule=:s AND due > :a"), {"s": schedule, "a": after})

    # -- DHIS2 blocks

    def delivery_first(self, target: str, period: str) -> bool:
        """No block of this period has been accepted by this target yet."""
        found = self.connection.execute(
            text(
                "SELECT 1 FROM delivery WHERE target=:t AND kind='block' AND accepted_digest IS NOT NULL "
                "AND key LIKE :p LIMIT 1"
            ),
            {"t": target, "p": f"block/%/{period}"},
        ).first()
        return found is None

    def blocks(self, target: str, data_set: str) -> list[str]:
        rows = self.connection.execute(
            # No LIKE: "_" is a letter of names, and SQLite's LIKE does not tell a from A.
            text("SELECT key FROM delivery WHERE target=:t AND kind='block' AND SUBSTR(key, 1, :n) = :p ORDER BY key"),
            {"t": target, "p": f"block/{data_set}/", "n": len(f"block/{data_set}/")},
        )
        return [str(r[0]) for r in rows]

    def reported(self, kind: str, reporter: str, first: str, last: str) -> bool:
        """Whether a worker (or a place) has a mapped activity dated in the days given."""
        column = "worker" if kind == "worker" else "place"
        found = self.connection.execute(
            text(
                f"SELECT 1 FROM activity WHERE {column}=:r AND date BETWEEN :first AND :last "
                "AND record NOT LIKE 'episode/%' LIMIT 1"
            ),
            {"r": reporter, "first": first, "last": last},
        ).first()
        return found is not None

    def fired(self, schedule: str, due: str, now: str, outcome: str) -> None:
        self.connection.execute(
            text("UPDATE fire SET ended=:now, outcome=:o WHERE schedule=:s AND due=:d"),
            {"s": schedule, "d": due, "now": now, "o": outcome},
        )
        self.connection.execute(
            text(
                "DELETE FROM fire WHERE schedule=:s AND due NOT IN (SELECT due FROM fire WHERE schedule=:s "
                "ORDER BY due DESC LIMIT 100)"
            ),
            {"s": schedule},
        )

    def last_fire(self, schedule: str) -> str | None:
        found = self.connection.execute(text("SELECT MAX(due) FROM fire WHERE schedule=:s"), {"s": schedule}).scalar()
        return str(found) if found else None
