"""What waits keeps its length, whatever becomes of the machine's clock.

Locks, leases, quiet times and due times stand in the database as instants of the wall clock, so that people can read
them. That clock is set now and then, and another machine has another one. So whoever writes or judges such an instant
first takes a ``reading``, in the same transaction: how far did the wall clock go since it was last read, and how far a
count that nobody can set (``Clock.steady``)? Where they differ, all that waits is moved by the difference. So no wait
ends early and none grows, and no two clocks need to agree.

Known limit: a machine's count begins anew with each start of it, so the time before the first reading of a machine is
not known. A lock, a lease or a quiet time then waits for the rest of its time from that reading on; what is not
uncertain is due when the wall clock says so, or sooner when that went back.
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

#: A reading is kept when so many seconds passed since the one kept before.
KEPT_EVERY = 1.0

#: Machines (each start of one counts as another) and jumps remembered.
MACHINES, JUMPS = 8, 20

#: Where the last reading is kept.
FACT = "clock"

#: From here on it is not an instant but "until a person does something" (``retry.NEVER``).
_NEVER = "9"

#: What is refused as of the future, by a clock that was behind.
FUTURE = ("date.future",)


@dataclass(frozen=True, slots=True)
class Reading:
    """The time of one transaction."""

    at: datetime
    jumps: Sequence[tuple[datetime, float]] = ()  #: (instants up to here are older by, so many seconds)

    @property
    def now(self) -> str:
        return stamp(self.at)

    def later(self, span: timedelta) -> str:
        return stamp(self.at + span)

    def waited(self, since: str) -> timedelta:
        """How long it really is since that instant, without what the clock was only set by."""
        then = moment(since)
        return self.at - then - timedelta(seconds=sum(seconds for before, seconds in self.jumps if then <= before))


def jumps(unit: Any) -> list[dict[str, Any]]:
    """When the clock of a machine was set and by how many seconds, the last ones."""
    found: list[dict[str, Any]] = orjson.loads(unit.fact(FACT) or b"{}").get("jumps", [])
    return found


def reading(engine: Engine, unit: Any) -> Reading:
    """Read the clock, and move what waits if it was set since the last reading."""
    at, (machine, steady) = engine.clock.now(), engine.clock.steady()
    kept = orjson.loads(unit.fact(FACT) or b"null") or {
        "machine": machine, "wall": stamp(at), "count": 0.0, "seen": {}, "jumps": [],
    }  # fmt: skip
    seen, told = kept["seen"], kept["jumps"]
    own = seen.get(machine)
    passed = max(0.0, own["count"] + steady - own["steady"] - kept["count"]) if own else 0.0
    gap = (at - moment(kept["wall"])).total_seconds() - passed
    if own is None or kept["machine"] != machine or passed >= KEPT_EVERY or abs(gap) > JUMP:
        if abs(gap) > JUMP:
            moved = _move(engine, unit, at, gap, known=own is not None)
            set_by = (at - moment(own["wall"])).total_seconds() - (steady - own["steady"]) if own else 0.0
            told = _tell(engine, unit, at, gap, set_by, moved, told)
        count = kept["count"] + passed
        seen[machine] = {"steady": steady, "count": count, "wall": stamp(at)}
        newest = sorted(seen, key=lambda name: float(seen[name]["count"]))[-MACHINES:]
        value = {
            "machine": machine, "wall": stamp(at), "count": count, "seen": {n: seen[n] for n in newest}, "jumps": told,
        }  # fmt: skip
        unit.keep_fact(FACT, orjson.dumps(value).decode())
    return Reading(at, tuple((moment(one["before"]), one["seconds"]) for one in told))


def _tell(
    engine: Engine, unit: Any, at: datetime, gap: float, set_by: float, moved: int, told: list[Any]
) -> list[dict[str, Any]]:
    """Write down that the clock was set, or that the clocks of two machines differ; returns the jumps to remember."""
    jumped = abs(set_by) > JUMP
    if jumped or moved:
        detail = {"seconds": round(set_by if jumped else gap), "moved": moved}
        audit.record(
            unit,
            at=at,
            event="clock.jumped" if jumped else "clocks.differ",
            subject=engine.pack.id,
            detail=detail,
        )
    if not jumped:
        return told
    if set_by > 0:
        for source in engine.pack.sources:
            unit.dirty_records(unit.quarantined_for(source, FUTURE))
    before = stamp(min(at, at - timedelta(seconds=set_by)))
    return [*told, {"at": stamp(at), "before": before, "seconds": round(set_by, 3)}][-JUMPS:]


def _move(engine: Engine, unit: Any, at: datetime, gap: float, *, known: bool) -> int:
    """Move what is still waiting by ``gap`` seconds; returns how many waits. Not ``known``: the machine was never read
    before, so that a gap forward may be time that really passed; only what is uncertain trusts nothing."""
    by, freely = timedelta(seconds=gap), timedelta(seconds=gap if known else min(gap, 0.0))
    before = at - by  # what the clock that was last read would say now
    after = stamp(min(before, at))  # what ends sooner than this has ended by either clock
    quiet = max((t.capabilities.settles_within for t in engine.targets.values()), default=timedelta(0))
    recent = stamp(min(before, at) - quiet * engine.quiet_scale)

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
                told = moment(row["updated"])  # a newer state may have been wanted since, by the new clock
                touched = uncertain and told <= before + timedelta(seconds=JUMP)
                if span:
                    changed.append(
                        {
                            "id": row["id"],
                            "due_at": moved(row["due_at"], span),
                            "lease_until": moved(row["lease_until"], span),
                            "updated": stamp(told + span) if touched else row["updated"],
                        }
                    )
            unit.move_waits(changed)
            count += len(changed)
        if gap < 0:
            count += unit.due_by(target, stamp(at))  # these wait for nothing but their turn
    lanes = [{**row, "until": moved(row["until"], by)} for row in unit.lanes_held(after)]
    unit.move_lanes(lanes)
    for name in ("target_state", "source_state") if freely else ():
        rows = [{**row, "due_at": moved(row["due_at"], freely)} for row in unit.connections_waiting(name, after)]
        unit.move_connections(name, rows)
        count += len(rows)
    return count + len(lanes)
