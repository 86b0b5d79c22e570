"""One run: pull, map, tally, deliver, poll, write back, until nothing more can be done now."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from connector.engine import (
    audit,
    backfilling,
    completeness,
    completion,
    delivery,
    expiring,
    intake,
    kept_plans,
    pauses,
    referrals,
    restoring,
    tally,
    timekeeping,
)
from connector.engine.engine import Engine, moment, stamp
from connector.engine.mapping import Mapping as MappingJob
from connector.errors import RelaisError, RunLocked

#: The run lock is renewed every BEAT; a process that was killed loses it after LOCK, or at once when it ran on this
#: machine and is gone.
LOCK = timedelta(seconds=90)
BEAT = 20.0

#: Waits up to here are slept through by the target's own loop; longer ones by the run.
SHORT = timedelta(seconds=5)

#: For so long: what the sources and the clinic have meanwhile must not wait for a target that keeps failing.
LINGER = timedelta(minutes=1)

#: A trail up to here is read again at the end of each run (a fraction of a second); a longer one at night.
VERIFIED = 20_000

#: While a run sleeps from one due delivery to the next, sources and clinic are asked again this often at most (and
#: whenever something moved): a wait of hours must not read every open referral each time one delivery is due.
ASK_AGAIN = timedelta(minutes=15)

#: Rounds in a row without a pause: far above what a fixpoint needs, so that a loop of ours cannot run for ever.
ROUNDS = 200

EMPTY_SOURCE = {"received": 0, "new": 0, "repeated": 0, "quarantined": 0, "behind": 0}


@contextmanager
def locked(engine: Engine) -> Iterator[None]:
    """Hold the run lock of this database. Raises RunLocked when another living process holds it.

    Whoever holds it is the only one that delivers, so leases of others are of killed processes: their requests may
    still be under way, so those deliveries become uncertain and keep their quiet time.
    """
    if not _renew(engine):
        held = engine.store.read(lambda unit: unit.lane("run"))
        if not held or not _dead(engine.holder, held["holder"]):
            raise RunLocked()
        engine.store.write(lambda unit: unit.leave_lane("run", held["holder"]))
        if not _renew(engine):
            raise RunLocked()
    engine.store.write(lambda unit: _take_over(engine, unit))
    stop = threading.Event()
    beating = threading.Thread(target=_beat, args=(engine, stop), name="relais-lock", daemon=True)
    if engine.heartbeat:
        beating.start()
    try:
        yield
    finally:
        stop.set()
        if engine.heartbeat:
            beating.join(timeout=BEAT)
        engine.store.write(lambda unit: unit.leave_lane("run", engine.holder))


def _renew(engine: Engine) -> bool:
    def work(unit: Any) -> bool:
        timekeeping.check(engine, unit)
        return bool(unit.take_lane("run", engine.holder, engine.now(), stamp(engine.clock.now() + LOCK)))

    return bool(engine.store.write(work))


def _beat(engine: Engine, stop: threading.Event) -> None:
    while not stop.wait(BEAT):
        with suppress(RelaisError):  # a busy database: the next beat is soon
            _renew(engine)


def began(process: int) -> str | None:
    """The clock tick a process of this machine began at; None when there is none (or no /proc to ask)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _dead(ours: str, theirs: str) -> bool:
    """The holder was a process of this very machine (same boot) that is no more."""
    machine, _, process = theirs.rpartition("/")
    number, _, tick = process.partition("-")
    if machine != ours.rpartition("/")[0] or not number.isdigit() or not Path("/proc/self").exists():
        return False
    at = began(int(number))
    return at is None or bool(tick and at != tick)


def _take_over(engine: Engine, unit: Any) -> None:
    longest = max((t.capabilities.settles_within for t in engine.targets.values()), default=timedelta(0))
    unit.free_lanes(engine.holder, stamp(engine.clock.now() + longest * engine.quiet_scale))
    for name, target in engine.targets.items():
        quiet = target.capabilities.settles_within * engine.quiet_scale
        count = unit.take_over_leases(name, engine.holder, stamp(engine.clock.now() + quiet), engine.now())
        if count:
            audit.record(unit, at=engine.now(), event="leases.taken_over", subject=name, detail={"count": count})


class Run:
    """The counts of one run, in the shape `relais run --json` prints."""

    def __init__(
        self,
        engine: Engine,
        sources: list[str],
        targets: list[str],
        wait: timedelta | None = None,
        plan: int | None = None,
    ) -> None:
        self.engine = engine
        self.plan = plan  #: only what this plan says leaves
        self.sources = {s: dict(EMPTY_SOURCE) for s in sources}
        self.targets = {t: {"accepted": 0, "rejected": 0, "values": 0} for t in targets}
        self.mapped = {"mapped": 0, "quarantined": 0, "deleted": 0, "resources": 0, "invalid": 0}
        self.cells = {"recounted": 0, "changed": 0}
        self.errors: dict[str, str] = {}
        self.started = engine.clock.now()
        self.deadline = self.started + wait if wait else None
        self.history = 0  #: records of history marked in this round
        self.asked: datetime | None = None  #: when sources and clinic were asked last; None: ask at the next round

    async def pull(self) -> int:
        new = 0
        for name, totals in self.sources.items():
            with self.engine.stage("pull"):
                counts = await intake.pull(self.engine, name)
            for key in ("received", "new", "repeated"):
                totals[key] += counts[key]
            totals["behind"] = counts["behind"]
            new += counts["new"]
            if counts["error"]:
                self.errors[name] = counts["error"]
            else:
                self.errors.pop(name, None)
        return new

    async def map(self) -> int:
        """Map everything; the resources of a chunk leave while they are in memory, so that none is built twice."""
        engine = self.engine
        server = engine.target_of("fhir_server")
        leaves = server is not None and server.name in self.targets
        moved = 0
        chunks = MappingJob(engine).chunks()
        while True:
            with engine.stage("map"):
                counts = next(chunks, None)
            if counts is None:
                return moved
            for key, count in counts.items():
                self.mapped[key] += count
            moved += counts["mapped"] + counts["deleted"] + counts["quarantined"]
            if leaves and server is not None:
                await self._attempt(server.name)

    def tally(self) -> int:
        with self.engine.stage("tally"):
            counts = tally.tally(self.engine)
        for key, count in counts.items():
            self.cells[key] += count
        return counts["recounted"]

    async def _attempt(self, target: str) -> int:
        """Deliver what is due at one target; returns how much moved."""
        with self.engine.stage(target):
            counts = await delivery.deliver(self.engine, target, self.plan)
        for key in ("accepted", "rejected", "values"):
            self.targets[target][key] += counts[key]
        return counts["accepted"] + counts["rejected"]

    async def _deliver(self, target: str, until: datetime | None) -> int:
        """Deliver to one target, and until then sleep on through its short waits, so that a slow or failing target
        holds up no other one."""
        engine = self.engine
        moved = await self._attempt(target)
        while until is not None:
            due = engine.store.read(lambda unit: _due(engine, unit, target))
            now = engine.clock.now()
            if due is None or due > until or due - now > SHORT:
                break
            await engine.clock.sleep(max(0.02, (due - now).total_seconds()))
            moved += await self._attempt(target)
        return moved

    async def deliver(self, until: datetime | None) -> int:
        return sum(await asyncio.gather(*(self._deliver(t, until) for t in self.targets)))

    async def poll(self) -> int:
        try:
            counts = await referrals.poll(self.engine)
            return counts["new"] + counts["reminded"]
        except Exception as error:  # the clinic out of reach is not the end of the run; it is asked again
            self.errors["openmrs"] = getattr(error, "code", type(error).__name__)
            return 0

    async def round(self) -> int:
        """One pass over everything; returns how much moved. After one that moved nothing only deliveries may be due."""
        ask = self._ask()
        moved = await self.pull() if ask else 0
        self.history = backfilling.step(self.engine)
        moved += self.history
        moved += await self.map()
        moved += self.tally()
        until = self.deadline and min(self.deadline, self.engine.clock.now() + LINGER)
        moved += await self.deliver(until)
        if ask or moved:
            with self.engine.stage("completions"):
                moved += completion.completions(self.engine)
            with self.engine.stage("poll"):
                moved += await self.poll()
        if moved:
            self.asked = None
        elif ask:
            self.asked = self.engine.clock.now()
        return moved

    def _ask(self) -> bool:
        """Whether sources and clinic are asked in this round. A clock that was set back must not silence them."""
        if self.asked is None or self.errors:
            return True
        return abs(self.engine.clock.now() - self.asked) >= ASK_AGAIN * self.engine.retry_scale

    def summary(self) -> dict[str, Any]:
        engine = self.engine
        attention, states, due = engine.store.read(lambda unit: _standing(engine, unit, list(self.targets)))
        rows = engine.store.read(lambda unit: {t: unit.row_of_target(t) for t in self.targets})
        refused = {t: row["reason"] for t, row in rows.items() if row.get("reason")}
        for name in self.sources:
            self.sources[name]["quarantined"] = attention.pop(f"quarantined:{name}", 0)
        for key in [k for k in attention if k.startswith("quarantined:")]:
            attention.pop(key)
        waiting = sum(s.get(n, 0) for s in states.values() for n in ("pending", "leased", "deferred", "unknown"))
        outcome = "waiting" if waiting else "needs_a_person" if attention["parked"] else "settled"
        return {
            "run": engine.run,
            "outcome": outcome,
            "next_due": due if waiting else None,
            "started": stamp(self.started),
            "seconds": round((engine.clock.now() - self.started).total_seconds(), 3),
            "attention": attention,
            "flagged": engine.store.read(lambda unit: unit.flagged()),
            "sources": self.sources,
            "activities": self.mapped["mapped"],
            "resources": {"built": self.mapped["resources"], "invalid": self.mapped["invalid"]},
            "cells": self.cells,
            "targets": {
                name: {
                    "accepted": states[name].get("accepted", 0),
                    "sent": counts["accepted"],
                    "rejected": counts["rejected"],
                    "deferred": states[name].get("deferred", 0),
                    "unknown": states[name].get("unknown", 0),
                    "waiting": states[name].get("pending", 0) + states[name].get("leased", 0),
                    "values": counts["values"],
                }
                for name, counts in self.targets.items()
            },
            "errors": {**self.errors, **refused},
        }


def _standing(
    engine: Engine, unit: Any, targets: list[str]
) -> tuple[dict[str, int], dict[str, dict[str, int]], str | None]:
    """Attention, delivery states per target and the next due time, as they stand."""
    states = {t: unit.states(t) for t in targets}
    attention = {
        "quarantined": unit.quarantined(),
        # What waits for a match is told as that, so that nothing is counted twice.
        "parked": sum(s.get("parked", 0) - unit.parked_for_match(t) for t, s in states.items()),
        "held_values": unit.held(),
        "matches": unit.matches_waiting(),
        "vanished": unit.vanished(),
    }
    for source, count in unit.quarantined_by_source().items():
        attention[f"quarantined:{source}"] = count
    due = [found for target in targets if (found := _due(engine, unit, target)) is not None]
    return attention, states, stamp(min(due)) if due else None


def _due(engine: Engine, unit: Any, target: str) -> datetime | None:
    """When something may be sent to the target next: its deliveries' due time, not before its own, nor before a pause
    is over; None when nothing waits or a person must resume it."""
    found = unit.next_due(target)
    if not found:
        return None
    row = unit.row_of_target(target)
    paused = pauses.of(engine, row)
    if paused and not paused["until"]:
        return None
    return moment(max(t for t in (found, row.get("due_at"), paused and paused["until"]) if t))


def exit_code(summary: Mapping[str, Any]) -> int:
    """5 if anything waits, else 3 if a person is needed, else 0; 4 when a connection is refused its credentials."""
    errors = summary.get("errors", {}).values()
    if any("credentials" in str(e) for e in errors):
        return 4
    if summary["outcome"] == "waiting" or errors:
        return 5
    return 3 if any(summary["attention"].values()) else 0


async def once(
    engine: Engine,
    *,
    wait: timedelta | None = None,
    sources: list[str] | None = None,
    targets: list[str] | None = None,
    after_restore: bool = False,
) -> dict[str, Any]:
    """Run to a fixpoint; with ``wait`` sleep on to each due time until nothing waits or the time is up.

    ``after_restore``: the database came from a backup, so targets are read back before anything is sent.
    """
    run = Run(engine, sources or list(engine.sources), list(engine.targets) if targets is None else targets, wait)
    deadline = run.deadline
    with locked(engine):
        engine.store.write(lambda unit: unit.begin_run(engine.run, "once", engine.now()))
        for target in run.targets:
            engine.store.write(lambda unit, t=target: unit.look_again(t, engine.held_reasons, engine.now()))
        if after_restore:
            run.errors.update(await _restored(engine, run))
        busy = 0
        while busy < ROUNDS:
            moved = await run.round()
            if moved:
                busy = 0 if run.history else busy + 1  # history comes to an end by itself
                continue
            busy = 0
            summary = run.summary()
            if not (summary["outcome"] == "waiting" or run.errors) or deadline is None:
                break
            pause = _pause(engine, run, summary["next_due"], deadline)
            if pause is None:
                break
            await engine.clock.sleep(pause)
        await expiring.look(engine, run.targets)
        completeness.note(engine)
        seal(engine)
        if engine.store.read(lambda unit: unit.audit_count()) <= VERIFIED:
            verify(engine)
        summary = run.summary()
    engine.store.write(
        lambda unit: unit.end_run(engine.run, summary["outcome"], orjson.dumps(summary).decode(), engine.now())
    )
    return summary


def count(engine: Engine) -> bool:
    """Map and count what was received; False when another process holds the run lock, which does it by itself."""
    try:
        with locked(engine):
            MappingJob(engine).run()
            while backfilling.step(engine):
                MappingJob(engine).run()
            tally.tally(engine)
    except RunLocked:
        return False
    return True


async def carry_out(engine: Engine, number: int, by: str, *, wait: timedelta | None = None) -> dict[str, Any]:
    """Send what a kept plan says and nothing else: nothing is pulled, mapped, counted or polled. With ``wait`` sleep
    through the short waits of a target. Raises PlanUnknown, PlanChanged before anything is sent.
    """
    with locked(engine):
        kept_plans.ready(engine, number)
        targets = [t for t in engine.store.read(lambda unit: unit.plan_targets(number)) if t in engine.targets]
        run = Run(engine, [], targets, wait, number)
        engine.store.write(lambda unit: unit.begin_run(engine.run, "plan", engine.now()))
        await run.deliver(run.deadline)
        states = engine.store.read(lambda unit: unit.plan_states(number))
        sent, left = states.pop("accepted", 0), sum(states.values())
        kept_plans.finished(engine, number, by, {"plan": number, "sent": sent, "left": left})
        seal(engine)
        summary = {**run.summary(), "plan": {"id": number, "sent": sent, "left": left, "states": states}}
        waits = any(states.get(one) for one in ("pending", "leased", "deferred", "unknown"))
        summary["outcome"] = "waiting" if waits else "needs_a_person" if left else "settled"
    engine.store.write(
        lambda unit: unit.end_run(engine.run, summary["outcome"], orjson.dumps(summary).decode(), engine.now())
    )
    return summary


async def _restored(engine: Engine, run: Run) -> dict[str, str]:
    """Take in what came since the backup, then compare. Returns the targets that could not be read, with the reason."""
    restoring.shut(engine)
    reading = Run(engine, list(run.sources), [])
    for _ in range(ROUNDS):
        moved = await reading.pull()
        moved += await reading.map()
        if not moved + reading.tally():
            break
    run.sources, run.mapped, run.cells = reading.sources, reading.mapped, reading.cells
    if reading.errors:  # what would be compared is not yet what is true; every target stays shut
        return {**reading.errors, **dict.fromkeys(engine.targets, restoring.REASON)}
    return await restoring.compare(engine)


def _pause(engine: Engine, run: Run, next_due: str | None, deadline: datetime) -> float | None:
    """Seconds until something is due again; None when the deadline comes first."""
    now = engine.clock.now()
    times = [moment(next_due)] if next_due else []
    for name in run.errors:
        if name in run.sources:
            state = engine.store.write(lambda unit, n=name: unit.source_state(n))
            if state.get("due_at"):
                times.append(moment(state["due_at"]))
        else:
            times.append(now + timedelta(seconds=5 * engine.retry_scale))
    if not times:
        return None  # what waits, waits for a person
    due = min(times)
    if due > deadline:
        return None
    return max(0.02, (due - now).total_seconds())


def seal(engine: Engine) -> None:
    """Chain every entry that is not sealed yet and sign the heads."""
    while engine.store.write(lambda unit: audit.seal(unit, engine.now(), engine.sign)) is not None:
        pass
    if engine.heads:
        engine.store.read(lambda unit: audit.export(unit, engine.heads))


def verify(engine: Engine) -> bool:
    """Read the whole audit trail again and keep the answer for ``relais status``."""
    if engine.public_key is None:
        return False
    place = Path(engine.heads) if engine.heads and not engine.heads.startswith("syslog:") else None
    found = engine.store.read(lambda unit: audit.verify(unit, place, engine.public_key))
    engine.store.write(lambda unit: unit.keep_fact("audit_verified", "ok" if found["ok"] else found["reason"]))
    return bool(found["ok"])
