"""No quiet time, lease or lock ends early because the machine's clock was set forward.

They stand in the database as instants of the wall clock, so that people can read them. What that clock is ahead of a
count that nobody can set (``Clock.steady``) stays the same until it is set. So whoever is about to act on such an
instant calls ``check`` first, in the same transaction; when the clock is further ahead than it was, all of them begin
anew. A clock set back lets everything wait for longer, which harms nobody.

The count begins at the start of the machine. After a start (another machine, to us) nobody knows how long it was off:
quiet times begin anew then too. Known limit (``docs/adr/0015``): machines on one database must agree about the hour.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson

from connector.engine import audit
from connector.engine.engine import Engine, stamp

#: Seconds; less is no jump (a leap second, the time between two looks at two clocks).
JUMP = 2.0

#: Longer than any request of ours takes: a delivery leased, and a lane, ends this long after the jump.
LEASE = timedelta(minutes=10)
LANE = timedelta(minutes=5)

#: Where it is kept how far the clock is ahead, in seconds, by machine; of the last few only.
FACT, MACHINES = "clock", 8

#: How far the clock may be wrong after a start of the machine, to find what a person has set aside just before.
UNKNOWN = timedelta(days=1)


def check(engine: Engine, unit: Any) -> None:
    """Call before judging whether a quiet time, lease or lock is over."""
    now, (machine, steady) = engine.clock.now(), engine.clock.steady()
    ahead = now.timestamp() - steady
    kept: dict[str, float] = orjson.loads(unit.fact(FACT) or b"{}")
    before = kept.pop(machine, None)
    if before is not None and abs(ahead - before) <= JUMP:
        return
    if before is None or ahead > before:
        by = UNKNOWN if before is None else timedelta(seconds=ahead - before)
        for name, target in engine.targets.items():
            quiet = target.capabilities.settles_within * engine.quiet_scale
            recent = stamp(now - by - quiet)
            unit.quiet_again(name, now=stamp(now), until=stamp(now + quiet), lease=stamp(now + LEASE), recent=recent)
        if before is not None:  # a machine that starts again must not wait for its own old lock
            unit.lanes_again(stamp(now + LANE))
    if before is not None:
        detail = {"seconds": round(ahead - before)}
        audit.record(unit, at=now, event="clock.jumped", subject=engine.pack.id, detail=detail)
    last = list(kept.items())[-(MACHINES - 1) :]
    unit.keep_fact(FACT, orjson.dumps({**dict(last), machine: ahead}).decode())
