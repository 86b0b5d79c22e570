"""Named queries about the database itself and what stands open: facts, counts, connection states, lineage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.engine import Connection

from connector.model import ADDRESS
from connector.store.intake import dicts, in_list, statement
from connector.store.matching import REASON as MATCH_REVIEW
from connector.store.tables import amount


class TrailQueries:
    connection: Connection

    def _rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        return dicts(self.connection.execute(statement(sql), parameters))

    def _number(self, sql: str, **parameters: Any) -> int:
        return int(self.connection.execute(text(sql), parameters).scalar() or 0)

    def fact(self, key: str) -> str | None:
        found = self.connection.execute(text("SELECT value FROM meta WHERE key=:k"), {"k": key}).scalar()
        return None if found is None else str(found)

    def keep_fact(self, key: str, value: str) -> None:
        self.connection.execute(
            text("INSERT INTO meta (key, value) VALUES (:k, :v) ON CONFLICT (key) DO UPDATE SET value=excluded.value"),
            {"k": key, "v": value},
        )

    # -- what stands open

    def vanished(self) -> int:
        return self._number("SELECT COUNT(*) FROM head WHERE state='vanished'")

    def quarantined_by_source(self) -> dict[str, int]:
        return {
            r["source"]: int(r["n"]) for r in self._rows("SELECT source, COUNT(*) AS n FROM quarantine GROUP BY source")
        }

    def quarantined_by_code(self) -> dict[str, int]:
        return {r["code"]: int(r["n"]) for r in self._rows("SELECT code, COUNT(*) AS n FROM quarantine GROUP BY code")}

    def row_of_target(self, target: str) -> dict[str, Any]:
        found = self._rows("SELECT * FROM target_state WHERE target=:t", t=target)
        return found[0] if found else {}

    def row_of_source(self, source: str) -> dict[str, Any]:
        found = self._rows("SELECT * FROM source_state WHERE source=:s", s=source)
        return found[0] if found else {}

    def oldest_waiting(self, target: str) -> str | None:
        """What waits for the target; what waits for the ministry is no sign that something is stuck."""
        found = self.connection.execute(
            text(
                "SELECT MIN(wanted_at) FROM delivery WHERE target=:t AND state IN ('pending','leased','deferred','unknown') "
                "AND COALESCE(who, '') <> 'ministry' AND COALESCE(reason, '') <> 'dhis2.awaiting_release'"
            ),
            {"t": target},
        ).scalar()
        return str(found) if found else None

    def audit_count(self) -> int:
        return self._number("SELECT COUNT(*) FROM audit")

    def audit_entries(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Entries in the order written, sealed or not."""
        return self._rows("SELECT * FROM audit WHERE id > :a ORDER BY id LIMIT :n", a=after, n=limit)

    def audit_at(self, moments: Sequence[str]) -> list[dict[str, Any]]:
        """Entries of attempts and approvals written at these moments, in the order written."""
        rows = self.select_in(  # type: ignore[attr-defined]
            "SELECT * FROM audit WHERE event IN ('attempt.begun', 'attempt.ended', 'person.approve') AND at IN {in}",
            moments,
        )
        return sorted(rows, key=lambda row: int(row["id"]))

    def audit_chain(self, first: int, last: int) -> list[dict[str, Any]]:
        return self._rows("SELECT * FROM audit WHERE sequence BETWEEN :f AND :l ORDER BY sequence", f=first, l=last)

    def head_from(self, sequence: int) -> dict[str, Any] | None:
        """The first signed head that speaks of this entry."""
        found = self._rows("SELECT * FROM audit_head WHERE sequence >= :s ORDER BY sequence LIMIT 1", s=sequence)
        return found[0] if found else None

    def attempt_moments(self, attempts: Sequence[int]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.select_in(  # type: ignore[attr-defined]
            "SELECT id, started, ended FROM attempt WHERE id IN {in}", attempts
        )
        return found

    def values_of_attempt(
        self, attempt: int, data_sets: Sequence[str], org_unit: str, period: str
    ) -> list[dict[str, Any]]:
        """What left in an attempt for an org unit and period: cell, value."""
        found: list[dict[str, Any]] = self.select_in(  # type: ignore[attr-defined]
            "SELECT v.cell, v.value FROM cell c JOIN value_sent v ON v.cell=c.id WHERE v.attempt=:attempt AND "
            "c.org_unit=:org_unit AND c.period=:period AND c.data_set IN {in}",
            data_sets,
            attempt=attempt,
            org_unit=org_unit,
            period=period,
        )
        return found

    def last_head(self) -> str | None:
        found = self.connection.execute(text("SELECT at FROM audit_head ORDER BY sequence DESC LIMIT 1")).scalar()
        return str(found) if found else None

    def lane(self, name: str) -> dict[str, Any]:
        found = self._rows("SELECT * FROM lane WHERE name=:n", n=name)
        return found[0] if found else {}

    # -- lists

    def list_deliveries(self, where: dict[str, Any], limit: int, after: int = 0) -> list[dict[str, Any]]:
        """Deliveries newest first; ``where``: target, state, kind, reason, record (each optional)."""
        clauses = ["(:after = 0 OR id < :after)"] + [f"{name}=:{name}" for name in where]
        return self._rows(
            "SELECT id, target, key, kind, record, state, generation, tries, due_at, reason, who, note, note_by, accepted_at, wanted_at, "
            f"updated FROM delivery WHERE {' AND '.join(clauses)} ORDER BY id DESC LIMIT :limit",
            **where,
            after=after,
            limit=limit,
        )

    def list_quarantine(self, where: dict[str, Any], limit: int, after: int = 0) -> list[dict[str, Any]]:
        clauses = ["(:after = 0 OR id < :after)"] + [f"{name}=:{name}" for name in where]
        return self._rows(
            f"SELECT * FROM quarantine WHERE {' AND '.join(clauses)} ORDER BY id DESC LIMIT :limit",
            **where,
            after=after,
            limit=limit,
        )

    def flagged(self) -> int:
        """Records with an answer that could not be used."""
        return self._number("SELECT COUNT(*) FROM head WHERE flags IS NOT NULL")

    def list_flagged(self, where: dict[str, Any], limit: int, code: str = "") -> list[dict[str, Any]]:
        """Newest first; ``flags`` as it is kept. ``code``: of one of them."""
        clauses = ["flags IS NOT NULL"] + [f"{name}=:{name}" for name in where]
        if code:
            clauses.append("flags LIKE :code")
            where = {**where, "code": f'%["{code}",%'}
        return self._rows(
            f"SELECT id, source, stream, key, revision, form, state, received_at, flags FROM head WHERE "
            f"{' AND '.join(clauses)} ORDER BY id DESC LIMIT :limit",
            **where,
            limit=limit,
        )

    # -- lineage

    def cell_at(self, element: str, org_unit: str, period: str, combo: str) -> dict[str, Any] | None:
        found = self._rows(
            "SELECT * FROM cell WHERE data_element=:e AND org_unit=:o AND period=:p AND combo=:c",
            e=element,
            o=org_unit,
            p=period,
            c=combo,
        )
        return found[0] if found else None

    def cell_by_id(self, id: int) -> dict[str, Any] | None:
        found = self._rows("SELECT * FROM cell WHERE id=:i", i=id)
        return found[0] if found else None

    def cells_where(self, clause: str, **parameters: Any) -> list[dict[str, Any]]:
        return self._rows(
            f"SELECT * FROM cell WHERE {clause} ORDER BY period, org_unit, data_element, combo", **parameters
        )

    def cell_of(self, row: dict[str, Any]) -> dict[str, Any] | None:
        found = self._rows(
            "SELECT * FROM cell WHERE indicator=:indicator AND part=:part AND org_unit=:org_unit AND period=:period "
            "AND categories=:categories",
            **{k: row[k] for k in ADDRESS},
        )
        return found[0] if found else None

    def contributors(self, cell: dict[str, Any], after: str, limit: int) -> list[dict[str, Any]]:
        rows = self._rows(
            "SELECT c.record, c.amount, c.date, c.version, c.distinct_key, a.place, a.worker, a.form, a.mapping, h.purged FROM contribution c "
            "LEFT JOIN activity a ON a.record=c.record LEFT JOIN head h ON h.record=c.record WHERE c.indicator=:indicator AND c.part=:part AND c.org_unit=:org_unit "
            "AND c.period=:period AND c.categories=:categories AND c.record > :after ORDER BY c.record LIMIT :limit",
            **{k: cell[k] for k in ADDRESS},
            after=after,
            limit=limit,
        )
        return [{**r, "amount": amount(r["amount"])} for r in rows]

    def left_out(
        self, cell: dict[str, Any], kinds: Sequence[str], units: Sequence[str], days: tuple[str, str], limit: int
    ) -> list[dict[str, Any]]:
        """Activities of these kinds, org units and days that count nowhere for the indicator and part of a cell."""
        dialect = self.connection.dialect.name
        in_units, in_kinds = in_list(dialect, units), in_list(dialect, kinds).replace(":list", ":kinds")
        return self._rows(
            "SELECT a.record, a.date, a.org_unit, a.activity_enc FROM activity a WHERE a.date BETWEEN :first AND :last AND "
            f"a.kind IN {in_kinds} AND a.org_unit IN {in_units} AND NOT EXISTS "
            "(SELECT 1 FROM contribution c WHERE c.record=a.record AND c.indicator=:indicator AND c.part=:part) "
            "ORDER BY a.record LIMIT :limit",
            first=days[0],
            last=days[1],
            indicator=cell["indicator"],
            part=cell["part"],
            limit=limit,
            list=orjson.dumps(list(units)).decode(),
            kinds=orjson.dumps(list(kinds)).decode(),
        )

    def sums(self, cell: dict[str, Any]) -> list[dict[str, Any]]:
        """Amounts of a cell by the reporters' place, for the ledger that must add up."""
        rows = self._rows(
            "SELECT a.place AS place, COUNT(*) AS records, SUM(c.amount) AS total FROM contribution c LEFT JOIN activity a "
            "ON a.record=c.record WHERE c.indicator=:indicator AND c.part=:part AND c.org_unit=:org_unit AND c.period=:period "
            "AND c.categories=:categories GROUP BY a.place ORDER BY a.place",
            **{k: cell[k] for k in ADDRESS},
        )
        return [{**r, "total": amount(r["total"])} for r in rows]

    def workers_of_cell(self, cell: dict[str, Any], limit: int) -> list[dict[str, Any]]:
        """What each worker's records add to a cell, the largest first: worker, records, amount, last (day)."""
        rows = self._rows(
            "SELECT a.worker AS worker, COUNT(DISTINCT c.record) AS records, SUM(c.amount) AS amount, MAX(c.date) AS last "
            "FROM contribution c LEFT JOIN activity a ON a.record=c.record WHERE c.indicator=:indicator AND c.part=:part "
            "AND c.org_unit=:org_unit AND c.period=:period AND c.categories=:categories GROUP BY a.worker "
            "ORDER BY SUM(c.amount) DESC, a.worker LIMIT :limit",
            **{k: cell[k] for k in ("indicator", "part", "org_unit", "period", "categories")},
            limit=limit,
        )
        return [{**r, "amount": amount(r["amount"])} for r in rows]

    def drop_fact(self, key: str) -> None:
        self.connection.execute(text("DELETE FROM meta WHERE key=:k"), {"k": key})

    def facts_like(self, prefix: str) -> dict[str, str]:
        """Facts whose key begins with this."""
        rows = self._rows("SELECT key, value FROM meta WHERE key LIKE :p", p=prefix + "%")
        return {row["key"]: row["value"] for row in rows}

    def sends(self, cell: int) -> list[dict[str, Any]]:
        return self._rows("SELECT * FROM value_sent WHERE cell=:c ORDER BY id DESC LIMIT 50", c=cell)

    def attempts(self, delivery: int) -> list[dict[str, Any]]:
        return self._rows(
            "SELECT a.id, a.started, a.ended, d.verdict, d.reason, d.http_status, d.generation FROM attempt_delivery d "
            "JOIN attempt a ON a.id=d.attempt WHERE d.delivery=:d ORDER BY a.id DESC LIMIT 50",
            d=delivery,
        )

    def revisions(self, source: str, stream: str, key: str) -> list[dict[str, Any]]:
        return self._rows(
            "SELECT revision, received_at, deleted FROM body WHERE source=:s AND stream=:st AND key=:k ORDER BY received_at",
            s=source,
            st=stream,
            k=key,
        )

    def head(self, record: str) -> dict[str, Any] | None:
        found = self._rows("SELECT * FROM head WHERE record=:r", r=record)
        return found[0] if found else None

    def find_records(self, source: str, key: str) -> list[str]:
        return [r["record"] for r in self._rows("SELECT record FROM head WHERE source=:s AND key=:k", s=source, k=key)]

    def deliveries_of_record(self, record: str) -> list[dict[str, Any]]:
        return self._rows(
            "SELECT id, target, key, kind, state, reason, accepted_at, updated FROM delivery WHERE record=:r ORDER BY target, key",
            r=record,
        )

    def quarantine_of(self, source: str, stream: str, key: str) -> dict[str, Any] | None:
        found = self._rows(
            "SELECT * FROM quarantine WHERE source=:s AND stream=:st AND key=:k", s=source, st=stream, k=key
        )
        return found[0] if found else None

    # -- what a person does

    def release_cell(self, id: int, decision: str) -> None:
        state = "kept" if decision == "keep" else "wanted"
        self.connection.execute(
            text("UPDATE cell SET released=:d, state=:s WHERE id=:i"), {"d": decision, "s": state, "i": id}
        )

    def set_delivery(
        self,
        ids: list[int],
        state: str,
        now: str,
        *,
        note: str,
        by: str,
        reason: str | None = None,
        who: str | None = None,
    ) -> int:
        """Park or resolve with a note; what is on its way, accepted or settled already is left alone."""
        allowed = "'parked'" if state == "resolved" else "'pending','deferred','unknown'"
        count = 0
        for id in ids:
            count += self.connection.execute(
                text(
                    "UPDATE delivery SET state=:s, note=:n, note_by=:by, reason=COALESCE(:reason, reason), "
                    f"who=COALESCE(:who, who), updated=:now WHERE id=:i AND state IN ({allowed})"
                ),
                {"i": id, "s": state, "n": note, "by": by, "reason": reason, "who": who, "now": now},
            ).rowcount
        return count

    def pause(self, table: str, name: str, value: str | None) -> None:
        column = "source" if table == "source_state" else "target"
        self.connection.execute(text(f"UPDATE {table} SET paused=:v WHERE {column}=:n"), {"v": value, "n": name})

    def quarantine_records(self, ids: list[int] | None) -> list[str]:
        rows = self._rows("SELECT id, source, stream, key FROM quarantine")
        return [f"{r['source']}/{r['stream']}/{r['key']}" for r in rows if ids is None or int(r["id"]) in ids]

    def try_now(self, name: str, *, forget: bool) -> None:
        """Nothing stands in the way of one try; an open breaker lets one probe through. ``forget``: of the reason, too."""
        known = ", reason=NULL, who=NULL" if forget else ""
        self.connection.execute(
            text(
                "UPDATE target_state SET due_at=NULL, refusals=0, breaker=CASE WHEN breaker='closed' AND failures=0 "
                f"AND refusals=0 THEN 'closed' ELSE 'half_open' END{known} WHERE target=:t"
            ),
            {"t": name},
        )
        self.connection.execute(text(f"UPDATE source_state SET due_at=NULL{known} WHERE source=:t"), {"t": name})

    def most_parked(self, target: str) -> dict[str, Any]:
        """Who must act, and the reason, of most of what is parked at a target; empty when nothing is. What waits for a
        match is told apart from it, and comes last."""
        found = self._rows(
            "SELECT who, reason FROM delivery WHERE target=:t AND state='parked' GROUP BY who, reason "
            "ORDER BY CASE WHEN reason=:match THEN 1 ELSE 0 END, COUNT(*) DESC, reason LIMIT 1",
            t=target,
            match=MATCH_REVIEW,
        )
        return found[0] if found else {}

    def most_waiting(self, target: str) -> str | None:
        """The reason of most of what waits at a target; None when nothing that waits has one."""
        found = self._rows(
            "SELECT reason FROM delivery WHERE target=:t AND state IN ('pending', 'deferred', 'unknown') AND reason IS NOT "
            "NULL AND reason <> '' GROUP BY reason ORDER BY COUNT(*) DESC, reason LIMIT 1",
            t=target,
        )
        return str(found[0]["reason"]) if found else None

    # -- reconcile

    def cell_blocks(self, period: str | None) -> list[tuple[str, str, str]]:
        rows = self._rows(
            "SELECT DISTINCT data_set, org_unit, period FROM cell WHERE (:p = '' OR period=:p) ORDER BY period, data_set, org_unit",
            p=period or "",
        )
        return [(r["data_set"], r["org_unit"], r["period"]) for r in rows]

    def cell_forgotten(self, id: int) -> None:
        """What we sent is not there any more: it is wanted again."""
        self.connection.execute(
            text("UPDATE cell SET accepted=NULL, accepted_at=NULL, state='wanted', released='overwrite' WHERE id=:i"),
            {"i": id},
        )

    def cell_was_accepted(self, id: int, value: str, now: str) -> None:
        """The target holds this from us, though nothing here remembers that it was sent."""
        cell = self.cell_by_id(id) or {}
        state = "accepted" if cell.get("value") == value else "wanted"
        self.connection.execute(
            text(
                "UPDATE cell SET accepted=:v, accepted_at=:now, there=NULL, reason=NULL, state=CASE WHEN state='shadow' "
                "THEN state ELSE :s END WHERE id=:i"
            ),
            {"v": value, "now": now, "s": state, "i": id},
        )
        self.connection.execute(
            text(
                "INSERT INTO value_sent (cell, attempt, value, verdict, reason, at) "
                "VALUES (:i, 0, :v, 'accepted', 'restored.found', :now)"
            ),
            {"i": id, "v": value, "now": now},
        )

    def waiting_deliveries(self, target: str, after: int, limit: int) -> list[dict[str, Any]]:
        return self._rows(
            "SELECT * FROM delivery WHERE target=:t AND state IN ('pending','deferred','unknown','leased') AND id > :a "
            "ORDER BY id LIMIT :n",
            t=target,
            a=after,
            n=limit,
        )

    def are_unsure(self, ids: list[int], now: str) -> None:
        """Look before sending: something is there under these keys."""
        for id in ids:
            self.connection.execute(
                text("UPDATE delivery SET unsure=:yes, state='unknown', due_at=:now, updated=:now WHERE id=:i"),
                {"i": id, "now": now, "yes": True},
            )

    def accepted_deliveries(self, target: str, after: int, limit: int) -> list[dict[str, Any]]:
        return self._rows(
            "SELECT * FROM delivery WHERE target=:t AND state='accepted' AND id > :a ORDER BY id LIMIT :n",
            t=target,
            a=after,
            n=limit,
        )

    def accepted_but(self, id: int, reason: str | None, who: str | None, now: str) -> None:
        """What is accepted has a remark, or has it no more."""
        self.connection.execute(
            text("UPDATE delivery SET reason=:r, who=:w, updated=:n WHERE id=:i AND state='accepted'"),
            {"i": id, "r": reason, "w": who, "n": now},
        )

    def reopen(self, id: int, now: str, *, gone: bool) -> None:
        """Wanted again. What is gone there has no ids and no finished steps any more."""
        forgotten = ", remote='{}', step=''" if gone else ""
        self.connection.execute(
            text(
                "UPDATE delivery SET state='pending', accepted_digest=NULL, due_at=:n, updated=:n, generation=generation+1"
                f"{forgotten} WHERE id=:i"
            ),
            {"i": id, "n": now},
        )

    def forget_versions(self, target: str) -> None:
        """The versions of resources that a backup knows of are not those there now, nor does it know all that was sent:
        whichever version is there is replaced."""
        self.connection.execute(
            text("UPDATE delivery SET remote='{}' WHERE target=:t AND kind='resource'"), {"t": target}
        )

    def open_deliveries(self, target: str, limit: int) -> list[dict[str, Any]]:
        return self._rows(
            "SELECT id, key, kind, state, reason, digest, accepted_digest FROM delivery WHERE target=:t AND state <> 'accepted' "
            "ORDER BY id LIMIT :n",
            t=target,
            n=limit,
        )

    def held_referrals(self) -> list[dict[str, Any]]:
        return self._rows("SELECT record, state FROM referral WHERE state IN ('old','waiting_person') ORDER BY record")

    def resource_rows(self, target: str, after: int, limit: int) -> list[dict[str, Any]]:
        return self._rows(
            "SELECT * FROM delivery WHERE target=:t AND kind='resource' AND digest <> '' AND id > :a ORDER BY id LIMIT :n",
            t=target,
            a=after,
            n=limit,
        )

    def keep_user(self, name: str, password: str, role: str, now: str) -> None:
        self.connection.execute(
            text(
                'INSERT INTO "user" (name, password, role, created, failures) VALUES (:n, :p, :r, :now, 0) '
                "ON CONFLICT (name) DO UPDATE SET password=excluded.password, role=excluded.role"
            ),
            {"n": name, "p": password, "r": role, "now": now},
        )
