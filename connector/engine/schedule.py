"""The alarm clock of ``relais serve``: APScheduler wakes, the fire row and the run lock decide.

Intervals are anchored to the epoch; cron weekdays by name only. A missed fire is made up once at start. When the clock
is set back, the alarms are set anew, and fires that then lie in the future count no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from connector.engine import (
    backfilling,
    completeness,
    completion,
    delivery,
    expiring,
    intake,
    referrals,
    retention,
    runs,
    tally,
)
from connector.engine import reconcile as reconciling
from connector.engine.engine import Engine, moment, stamp
from connector.engine.mapping import Mapping
from connector.engine.status import span
from connector.errors import RunLocked

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: So often, in seconds that nobody can set, the alarms are compared with the clock.
WATCH = 5.0

#: So often a step of history is taken when somebody asked for some: 2,000 records, so a quarter of a million an hour.
HISTORY = "every 30s"

#: A fire further in the future was named by a clock that was set back since; nearer, by a machine a little ahead.
AHEAD = timedelta(minutes=5)


def trigger(text: str, zone: str) -> Any:
    """``every 15m`` or five cron fields. Raises ValueError."""
    if text.startswith("every "):
        return IntervalTrigger(seconds=int(span(text[6:].strip()).total_seconds()), start_date=EPOCH, timezone=UTC)
    return CronTrigger.from_crontab(text, timezone=zone) if often(text) else Cron(text, zone)


def often(text: str) -> bool:
    """An interval, or cron fields for every hour: it goes on through any night."""
    return text.startswith("every ") or text.split()[1:2] == ["*"]


class Cron(BaseTrigger):  # type: ignore[misc]
    """Cron fields by the clock on the wall of a zone, once a day also in the nights when that is moved: of an hour that
    comes twice the first counts, and what lies in the hour that is left out comes as much later. (APScheduler's own
    goes twice in the one night, and near midnight leaves out a day around the other.)"""

    def __init__(self, text: str, zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self.fields = CronTrigger.from_crontab(text, timezone=UTC)

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        after = now if previous is None else previous + timedelta(microseconds=1)
        wall: datetime | None = after.astimezone(self.zone).replace(tzinfo=UTC, fold=0)
        while (wall := self.fields.get_next_fire_time(None, wall)) is not None:
            found: datetime = wall.replace(tzinfo=self.zone).astimezone(UTC)
            if found >= after:
                return found
            wall += timedelta(microseconds=1)
        return None


def due_time(text: str, now: datetime) -> datetime:
    """The instant this fire was due: two processes that wake at the same fire name it the same."""
    if text.startswith("every "):
        seconds = int(span(text[6:].strip()).total_seconds())
        return datetime.fromtimestamp(int(now.timestamp()) // seconds * seconds, UTC)
    return now.replace(second=0, microsecond=0)


def claim(engine: Engine, unit: Any, id: str, due: str) -> bool:
    """Whether this fire is ours; False when another process has it, or had it before the clock was set back."""
    unit.forget_fires(id, stamp(engine.clock.now() + AHEAD))
    claimed: bool = unit.fire(id, due, engine.now())
    return claimed


class Schedule:
    """Runs pulls, deliveries, polls and sealing by the pack's schedules, one job at a time per process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.turn = asyncio.Lock()
        self.scheduler = AsyncIOScheduler(timezone=UTC)
        self.watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        engine = self.engine
        for name, source in engine.pack.sources.items():
            if name in engine.sources:
                self._add(f"pull/{name}", source.schedule, partial(self.pull, name))
        for name, target in engine.pack.targets.items():
            self._add(f"deliver/{name}", target.schedule, partial(self.deliver, name))
        clinic = engine.target_of("openmrs")
        if clinic is not None:
            self._add("poll/openmrs", clinic.schedule, self.poll)
        nightly = engine.pack.schedules.get("reconcile")
        if nightly:
            for name in engine.pack.targets:
                self._add(f"reconcile/{name}", nightly, partial(self.reconcile, name))
        self._add("verify", "15 3 * * *", self.verify)
        self._add("purge", "45 1 * * *", self.purge)
        self._add("expiring", "every 6h", partial(expiring.look, engine, list(engine.targets)))
        self.scheduler.add_job(
            self.seal, trigger("every 5s", "UTC"), id="seal", max_instances=1, coalesce=True, misfire_grace_time=None
        )
        self.scheduler.add_job(
            self.history, trigger(HISTORY, "UTC"), id="history", max_instances=1, coalesce=True, misfire_grace_time=None
        )
        self.scheduler.start()
        self.watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH)
            self.set_alarms()

    def set_alarms(self) -> None:
        """APScheduler sleeps until an instant of the wall clock; when that was set back, it would sleep for longer than
        the schedule says."""
        now = self.engine.clock.now()
        for job in self.scheduler.get_jobs():
            due = job.trigger.get_next_fire_time(None, now)
            if due is not None and job.next_run_time > due:
                job.modify(next_run_time=due)

    def _add(self, id: str, text: str, job: Callable[[], Awaitable[None]]) -> None:
        async def fire() -> None:
            due = stamp(due_time(text, self.engine.clock.now()))
            if not self.engine.store.write(lambda unit: claim(self.engine, unit, id, due)):
                return
            async with self.turn:
                try:
                    with runs.locked(self.engine):
                        await job()
                    outcome = "ok"
                except Exception as error:
                    outcome = getattr(error, "code", type(error).__name__)
                self.engine.store.write(lambda unit: unit.fired(id, due, self.engine.now(), outcome))

        now = self.engine.clock.now()
        when = trigger(text, self.engine.pack.zone)
        last = self.engine.store.read(lambda unit: unit.last_fire(id))
        if last is None:
            missed = text.startswith("every ")  # what has an hour of its own waits for it
        else:
            after = when.get_next_fire_time(moment(last), moment(last))
            missed = after is not None and after <= now
        self.scheduler.add_job(
            fire,
            when,
            id=id,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            **({"next_run_time": now} if missed else {}),
        )

    async def pull(self, name: str) -> None:
        await intake.pull(self.engine, name)
        await asyncio.to_thread(Mapping(self.engine).run)
        tally.tally(self.engine)

    async def deliver(self, name: str) -> None:
        await delivery.deliver(self.engine, name)
        completion.completions(self.engine)
        completeness.note(self.engine)

    async def poll(self) -> None:
        await referrals.poll(self.engine)
        Mapping(self.engine).run()
        tally.tally(self.engine)

    async def verify(self) -> None:
        runs.verify(self.engine)

    async def purge(self) -> None:
        await asyncio.to_thread(retention.purge, self.engine)

    async def reconcile(self, name: str) -> None:
        await reconciling.reconcile(self.engine, name)

    async def history(self) -> None:
        """One step of what was asked of history; between steps everything else has its turn."""
        if not self.engine.store.read(backfilling.standing):
            return
        async with self.turn:
            with suppress(RunLocked), runs.locked(self.engine):
                backfilling.step(self.engine)
                await asyncio.to_thread(Mapping(self.engine).run)
                tally.tally(self.engine)

    async def seal(self) -> None:
        async with self.turn:
            runs.seal(self.engine)

    def stop(self) -> None:
        if self.watching is not None:
            self.watching.cancel()
        self.scheduler.shutdown(wait=False)
