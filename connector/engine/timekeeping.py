"""What waits keeps its length, whatever becomes of the machine's clock.

Locks, leases, quiet times and due times stand in the database as instants of the wall clock, so that people can read
them. That clock is set now and then, and another machine has another one. So whoever writes or judges such an instant
calls ``check`` first, in the same transaction: how far did the wall clock go since it was last read, and how far a
count that nobody can set (``Clock.steady``)? Where they differ, all that waits is moved by the difference. So no wait
ends early and none grows, and no two clocks need to agree.

Known limit: the count begins anew with each start of a machine, so how long it was off is not known. A lock, a lease
or a quiet time then lasts for the rest of its time from the next check on; what is certain is due when the wall clock
says so, or sooner when that went back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from connector.engine import audit
from connector.engine.engine import Engine, moment, stamp
from connector.model import State

#: Less than this is no jump (a leap second, the time between two looks at two clocks).
JUMP = 2.0

#: What was read is kept when so many seconds passed since it was kept last.
KEPT_EVERY = 1.0

#: Machines (each start of one counts as another) and jumps remembered.
MACHINES, JUMPS = 8, 20

#: Where that is kept.
FACT = "clock"

#: From here on it is not an instant but "until a person does something" (``retry.NEVER``).
_NEVER = "9"

#: What a clock that was behind refused as of the future.
FUTURE = ("date.future",)


@dataclass(frozen=True, slots=True)
class Reading:
    """The clock in one transaction, and when it was set before."""

    at: datetime
    jumps: Sequence[dict[str, Any]]

    def age(self, since: str) -> timedelta:
        """How long it really is since that instant, without what the clock was only set by."""
        set_by = sum(one["seconds"] for one in self.jumps if since <= one["before"])
        return self.at - moment(since) - timedelta(seconds=set_by)


def jumps(unit: Any) -> list[dict[str, Any]]:
    """When the clock of a machine was set (``at``) and by how many ``seconds``, the last ones."""
    found: list[dict[str, Any]] = orjson.loads(unit.fact(FACT) or b"{}").get("jumps", [])
    return found


def take_lane(engine: Engine, unit: Any, name: str, span: timedelta) -> bool:
    """Take or renew a lane from now for ``span``; False while another holds it."""
    check(engine, unit)
    taken: bool = unit.take_lane(name, engine.holder, engine.now(), stamp(engine.clock.now() + span))
    return taken


def check(engine: Engine, unit: Any) -> Reading:
    """Read the clock, and move what waits if it was set since it was last read.

    ``count`` is the time that really passed while somebody looked, over all machines; ``seen`` says for each machine
    where its own count stood then, so that two that take turns are both understood.
    """
    at, (machine, steady) = engine.clock.now(), engine.clock.steady()
    kept = orjson.loads(unit.fact(FACT) or b"null") or {
        "machine": machine, "wall": stamp(at), "count": 0.0, "seen": {}, "jumps": [],
    }  # fmt: skip
    seen = kept["seen"]
    own = seen.get(machine)
    passed = max(0.0, own["count"] + steady - own["steady"] - kept["count"]) if own else 0.0
    gap = (at - moment(kept["wall"])).total_seconds() - passed
    if own and kept["machine"] == machine and passed < KEPT_EVERY and abs(gap) <= JUMP:
        return Reading(at, kept["jumps"])
    if abs(gap) > JUMP:
        moved = _move(engine, unit, at, gap, known=own is not None)
        set_by = (at - moment(own["wall"])).total_seconds() - (steady - own["steady"]) if own else 0.0
        if set_by < -JUMP or (own is None and gap < 0):
            unit.forget_fires(stamp(at))  # or schedules would rest until the clock is there again
        if set_by > JUMP:
            for source in engine.pack.sources:
                unit.dirty_records(unit.quarantined_for(source, FUTURE))
        if abs(set_by) > JUMP:
            before = stamp(min(at, at - timedelta(seconds=set_by)))
            one = {"at": stamp(at), "before": before, "seconds": round(set_by, 3)}
            kept["jumps"] = [*kept["jumps"], one][-JUMPS:]
        if abs(set_by) > JUMP or moved:
            event = "clock.jumped" if abs(set_by) > JUMP else "clocks.differ"
            detail = {"seconds": round(set_by if abs(set_by) > JUMP else gap), "moved": moved}
            audit.record(unit, at=at, event=event, subject=engine.pack.id, detail=detail)
    count = kept["count"] + passed
    seen[machine] = {"steady": steady, "count": count, "wall": stamp(at)}
    newest = sorted(seen, key=lambda name: float(seen[name]["count"]))[-MACHINES:]
    value = {**kept, "machine": machine, "wall": stamp(at), "count": count, "seen": {n: seen[n] for n in newest}}
    unit.keep_fact(FACT, orjson.dumps(value).decode())
    return Reading(at, kept["jumps"])


def _move(engine: Engine, unit: Any, at: datetime, gap: float, *, known: bool) -> int:
    """Move what is still waiting by ``gap`` seconds; returns how many waits. Not ``known``: the machine was never seen
    before, so that a gap forward may be time that really passed; only what is uncertain trusts nothing."""
    by, freely = timedelta(seconds=gap), timedelta(seconds=gap if known else min(gap, 0.0))
    ended = min(at - by, at)  # what ends sooner than this has ended by either clock
    after = stamp(ended)
    quiet = max((t.capabilities.settles_within for t in engine.targets.values()), default=timedelta(0))
    recent = stamp(ended - quiet * engine.quiet_scale)

    def moved(text: str | None, span: timedelta) -> str | None:
        return stamp(moment(text) + span) if text is not None and after < text < _NEVER else text

    count = 0
    for target in engine.targets:
        last = 0
        while rows := unit.waits(target, after, recent, last):
            last = rows[-1]["id"]
            changed = []
            for row in rows:
                uncertain = bool(row["unsure"]) or row["state"] == State.LEASED
                span = by if uncertain else freely
                times = {name: moved(row[name], span) for name in ("due_at", "lease_until")}
                updated = stamp(moment(row["updated"]) + span) if uncertain else row["updated"]
                changed.append({"id": row["id"], **times, "updated": updated})
            unit.move_waits(changed)
            count += len(changed)
        if gap < 0:
            count += unit.due_by(target, stamp(at))  # these wait for nothing but their turn
    lanes = [{**row, "until": moved(row["until"], by)} for row in unit.lanes_held(after)]
    unit.move_lanes(lanes)
    for table in ("target_state", "source_state"):
        rows = [{**row, "due_at": moved(row["due_at"], freely)} for row in unit.connections_waiting(table, after)]
        unit.move_connections(table, rows)
        count += len(rows)
    return count + len(lanes)
