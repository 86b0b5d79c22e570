"""What a person may do: retry, park, resolve, pause, release a held value, map again. Each is one transaction with
its audit entry; nothing is ever deleted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from connector.engine import audit, tally
from connector.engine.engine import Engine, stamp


class Actions:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def _write(self, unit: Any, event: str, by: str, subject: str, **detail: Any) -> None:
        audit.record(unit, at=self.engine.now(), event=event, who=by, subject=subject, detail=detail)

    def retry(self, ids: Sequence[int], by: str) -> int:
        """Make these due now; a retry of what the target already holds is a no-op. Returns how many changed."""

        def work(unit: Any) -> int:
            count: int = unit.retry_deliveries(list(ids), self.engine.now())
            self._write(unit, "person.retry", by, "deliveries", ids=list(ids)[:100], count=count)
            return count

        return int(self.engine.store.write(work))

    def park(self, ids: Sequence[int], reason: str, by: str) -> int:
        def work(unit: Any) -> int:
            count: int = unit.set_delivery(list(ids), "parked", reason, self.engine.now())
            self._write(unit, "person.park", by, "deliveries", ids=list(ids)[:100], count=count)
            return count

        return int(self.engine.store.write(work))

    def resolve(self, ids: Sequence[int], note: str, by: str) -> int:
        def work(unit: Any) -> int:
            count: int = unit.set_delivery(list(ids), "resolved", note, self.engine.now())
            self._write(unit, "person.resolve", by, "deliveries", ids=list(ids)[:100], count=count)
            return count

        return int(self.engine.store.write(work))

    def pause(self, name: str, reason: str, until: datetime | None, by: str) -> None:
        value = orjson.dumps(
            {"reason": reason, "by": by, "until": stamp(until) if until else None, "since": self.engine.now()}
        ).decode()

        def work(unit: Any) -> None:
            self._state_row(unit, name)
            unit.pause(self._table(name), name, value)
            self._write(unit, "person.pause", by, name, until=stamp(until) if until else None)

        self.engine.store.write(work)

    def resume(self, name: str, by: str) -> None:
        def work(unit: Any) -> None:
            self._state_row(unit, name)
            unit.pause(self._table(name), name, None)
            unit.try_now(name)
            self._write(unit, "person.resume", by, name)

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
