"""What a person may do: retry, park, resolve, pause, release a held value, map again. Each is one transaction with
its audit entry; nothing is ever deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from connector.engine import approving, audit, tally
from connector.engine.delivery import held_already
from connector.engine.engine import Engine, moment, stamp

#: Deliveries of a selection in one transaction.
CHUNK = 200

#: Positions of a selection are spread over this many microseconds before now.
FIRST = 1_000_000

OUTCOMES = ("retried", "quiet", "held_already", "moved_on", "left")


def _mark(unit: Any, text: str) -> str:
    """What a person wrote, for the audit: a keyed hash, as people write names into notes. The words are in the row."""
    marked: str = unit.keyed(text)
    return marked


class Actions:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def _write(self, unit: Any, event: str, by: str, subject: str, **detail: Any) -> None:
        audit.record(unit, at=self.engine.now(), event=event, who=by, subject=subject, detail=detail)

    # -- retry

    def standing(self, ids: Sequence[int], where: Mapping[str, Any] | None = None) -> dict[str, int]:
        """How many deliveries a choice is (``chosen``) and how many of them the target holds already (``held``), are on
        their way (``sending``) or are uncertain and keep their quiet time (``uncertain``). Changes nothing."""
        found: dict[str, int] = self.engine.store.read(lambda unit: unit.standing_of(list(ids), dict(where or {})))
        return found

    def freeze(self, ids: Sequence[int], where: Mapping[str, Any] | None, by: str) -> int:
        """Write down which deliveries are to be retried: what comes later is not among them. Returns the number of the
        selection."""

        def work(unit: Any) -> int:
            number: int = unit.freeze("retry", list(ids), dict(where or {}), by, self.engine.now())
            count = unit.selection_counts(number).get("left", 0)
            self._write(unit, "person.retry", by, f"selection/{number}", selection=number, count=count)
            return number

        return int(self.engine.store.write(work))

    def retry_selection(
        self, number: int, by: str, progress: Callable[[int], None] = lambda count: None
    ) -> dict[str, int]:
        """Make what is left of a selection due now, in the order received, chunk by chunk. Returns counts: ``retried``,
        ``quiet`` (uncertain: retried when its quiet time is over), ``held_already`` (nothing to do), ``moved_on`` (on
        its way or pending by itself), ``left``.

        KeyboardInterrupt (or any error) between two chunks leaves the rest untouched and the selection open.
        """
        while count := self.engine.store.write(lambda unit: self._retry_chunk(unit, number)):
            progress(count)
        return self._end(number, "done", by)

    def cancel_selection(self, number: int, by: str) -> dict[str, int]:
        """What is left of it stays as it is. The selection can be taken up again."""
        return self._end(number, "cancelled", by)

    def _end(self, number: int, state: str, by: str) -> dict[str, int]:
        def work(unit: Any) -> dict[str, int]:
            counts: dict[str, int] = dict.fromkeys(OUTCOMES, 0) | unit.selection_counts(number)
            unit.selection_ends(number, state, self.engine.now())
            self._write(unit, "person.retry.ended", by, f"selection/{number}", selection=number, state=state, **counts)
            return counts

        counts: dict[str, int] = self.engine.store.write(work)
        return counts

    def _retry_chunk(self, unit: Any, number: int) -> int:
        rows: list[dict[str, Any]] = unit.not_yet(number, CHUNK)
        now = self.engine.clock.now()
        due: list[dict[str, Any]] = []
        for row in rows:
            row["outcome"] = self._outcome(row)
            if row["outcome"] in ("retried", "quiet"):
                # The first received is due first, so that it is claimed first.
                earliest = now - timedelta(microseconds=max(0, FIRST - row["position"]))
                row["due"] = stamp(max(earliest, self._quiet_until(row)))
                row["outcome"] = "quiet" if row["due"] > stamp(now) else "retried"
                due.append(row)
        unit.retried(due, stamp(now))
        unit.chosen_done(number, rows)
        return len(rows)

    @staticmethod
    def _outcome(row: Mapping[str, Any]) -> str:
        if row["state"] == "accepted" or (row["state"] == "pending" and held_already(row)):
            return "held_already"
        return "retried" if row["state"] in ("parked", "deferred", "unknown", "resolved") else "moved_on"

    def _quiet_until(self, row: Mapping[str, Any]) -> datetime:
        """Before this an uncertain delivery is left alone: what was sent may still arrive."""
        target = self.engine.targets.get(row["target"])
        if not row["unsure"] or target is None:
            return datetime.min.replace(tzinfo=UTC)
        quiet = moment(row["updated"]) + target.capabilities.settles_within * self.engine.quiet_scale
        return quiet if row["state"] in ("parked", "resolved") else min(quiet, moment(row["due_at"]))

    def retry(self, ids: Sequence[int], by: str) -> int:
        """Make these due now; a retry of what the target already holds is a no-op. Returns how many changed."""
        counts = self.retry_selection(self.freeze(ids, None, by), by)
        return counts["retried"] + counts["quiet"]

    def park(self, ids: Sequence[int], reason: str, by: str) -> int:
        return self._set(ids, "parked", reason, by)

    def resolve(self, ids: Sequence[int], note: str, by: str) -> int:
        return self._set(ids, "resolved", note, by)

    def _set(self, ids: Sequence[int], state: str, note: str, by: str) -> int:
        parked = state == "parked"

        def work(unit: Any) -> int:
            count: int = unit.set_delivery(
                list(ids),
                state,
                self.engine.now(),
                note=note,
                by=by,
                reason="delivery.parked_by_person" if parked else None,
                who="sysadmin" if parked else None,
            )
            event = "person.park" if parked else "person.resolve"
            self._write(unit, event, by, "deliveries", ids=list(ids)[:100], count=count, note=_mark(unit, note))
            return count

        return int(self.engine.store.write(work))

    # -- connections

    def pause(self, name: str, reason: str, until: datetime | None, by: str) -> None:
        """Nothing is read from or sent to it until ``until`` (None: until somebody resumes it)."""
        value = orjson.dumps(
            {"reason": reason, "by": by, "until": stamp(until) if until else None, "since": self.engine.now()}
        ).decode()

        def work(unit: Any) -> None:
            self._state_row(unit, name)
            unit.pause(self._table(name), name, value)
            ends = stamp(until) if until else None
            self._write(unit, "person.pause", by, name, until=ends, reason=_mark(unit, reason))

        self.engine.store.write(work)

    def resume(self, name: str, by: str) -> None:
        """Go on: the pause, the waiting and what was refused are forgotten; after failures one delivery goes first."""

        def work(unit: Any) -> None:
            self._state_row(unit, name)
            unit.pause(self._table(name), name, None)
            unit.try_now(name, forget=True)
            self._write(unit, "person.resume", by, name)

        self.engine.store.write(work)

    def try_now(self, name: str, by: str) -> None:
        """Do not wait any longer: the source is read, or one delivery goes to the target as a probe, at the next
        opportunity. A pause stays."""

        def work(unit: Any) -> None:
            self._state_row(unit, name)
            unit.try_now(name, forget=False)
            self._write(unit, "person.try_now", by, name)

        self.engine.store.write(work)

    def _table(self, name: str) -> str:
        return "source_state" if name in self.engine.sources else "target_state"

    def _state_row(self, unit: Any, name: str) -> None:
        if name in self.engine.sources:
            unit.source_state(name)
        else:
            unit.target_state(name)

    def release(self, cell_id: int, decision: str, by: str) -> None:
        """Settle a held value: ``overwrite`` sends ours, ``keep`` leaves the value found at the target."""
        if decision not in ("overwrite", "keep"):
            raise ValueError(f"decision must be overwrite or keep, not {decision!r}")

        def work(unit: Any) -> None:
            cell = unit.cell_by_id(cell_id)
            if cell is None or cell["state"] not in ("held", "kept"):
                return
            unit.release_cell(cell_id, decision)
            if decision == "overwrite":
                tally.want_block(self.engine, unit, (cell["data_set"], cell["org_unit"], cell["period"]), again=True)
            self._write(unit, "person.release", by, f"cell/{cell_id}", decision=decision)

        self.engine.store.write(work)

    def approve(self, period: str, org_unit: str, data_set: str | None, seen: str, by: str) -> dict[str, int]:
        """Let the figures of a period leave, at an org unit and below it, those that were ``seen``
        (``approving.seen``). Counts ``blocks``, ``values``, ``changed``; nothing but ``changed`` when they are others
        by now. Raises NotOver."""
        found = approving.waiting(self.engine, period, org_unit or None, data_set)
        if approving.seen(found) != seen:
            return {"blocks": 0, "values": 0, "changed": max(1, len(found))}
        return approving.approve(self.engine, found, by)

    def remap(self, ids: Sequence[int] | None, by: str) -> int:
        """Map quarantined records again at the next run (all of them when ``ids`` is None)."""

        def work(unit: Any) -> int:
            records = unit.quarantine_records(None if ids is None else list(ids))
            count: int = unit.dirty_records(records)
            self._write(unit, "person.remap", by, "quarantine", count=count)
            return count

        return int(self.engine.store.write(work))

    def read_audit(self, event: str, subject: str, by: str, **detail: Any) -> None:
        """Write down that ``by`` is about to be shown personal data about ``subject``; before it is shown.

        For a record the entry also says whom it is about, as a keyed hash.
        """

        def work(unit: Any) -> None:
            row = unit.activities([subject]).get(subject) if event.startswith("record.") else None
            if row is not None and row["subject"]:
                detail["patient"] = unit.keyed(f"{subject.partition('/')[0]}/{row['subject']}")
            self._write(unit, event, by, subject, **detail)

        self.engine.store.write(work)
