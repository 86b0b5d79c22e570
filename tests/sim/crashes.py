"""A crash at every boundary of a scenario: before and after each commit and each exchange, one at a time.

A dry run plays the scenario without a crash, counts its boundaries and keeps what it ended in: that must be what the
oracle says. Then the scenario is played once per boundary with the process dying there. Whoever had begun something
begins it again twenty seconds later, and in the end every target and the wanted state must be as in the dry run.
"""

from __future__ import annotations

import asyncio
import inspect
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from connector.engine import delivery, runs
from connector.engine.engine import stamp
from tests.sim import check, wire
from tests.sim.plan import Doc, Event, Plan
from tests.sim.world import Broken, Crash, Process, World, broken_by, memory

#: Seconds after which a killed process is started again.
AGAIN = 20.0
#: How long a run may wait for what is due: longer than every quiet time, and than the first retries.
WAIT = timedelta(hours=6)

Story = Callable[["Stage"], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}


@dataclass(frozen=True)
class Scenario:
    name: str
    targets: tuple[str, ...]
    staff: tuple[tuple[str, str], ...]
    story: Story


def scenario(name: str, *targets: str, staff: tuple[tuple[str, str], ...] = ()) -> Callable[[Story], Story]:
    def keep(story: Story) -> Story:
        SCENARIOS[name] = Scenario(name, targets, staff, story)
        return story

    return keep


@dataclass
class Mishap:
    """The next exchange that fits suffers this fault."""

    fault: str
    name: str
    path: str


class Stage(World):
    """A world in which nothing happens by chance: a story is told, and at most one process dies."""

    def __init__(self, played: Scenario, folder: Path, point: int | None, *, keep_trace: bool = False) -> None:
        crashes = () if point is None else (point,)
        super().__init__(Plan(0, played.targets, crashes=crashes, staff=played.staff), folder, keep_trace=keep_trace)
        self.played = played
        self.mishaps: list[Mishap] = []
        self.process: Process | None = None
        self.unlike: set[str] = set()  #: checks of which the oracle knows less than the story
        self.deaths = 0
        self.points = 0  #: boundaries the story had
        self.held: dict[str, Any] = {}  #: what it ended in

    # ------------------------------------------------------------ what a story is made of

    def happens(self, what: str, id: str, doc: Doc | None = None) -> None:
        """Something takes place at the source (``plan.Event``)."""
        event = Event(self.seconds(), what, id, doc or {})
        assert self.act(event), f"{what} {id} cannot be done"
        self.log.append(event)
        self.trace(f"input {what} {id}")

    def put(self, *docs: Doc) -> None:
        for doc in docs:
            self.happens("put", doc["_id"], doc)

    def expect(self, fault: str, name: str, path: str = "") -> None:
        """The next write to this target (whose path ends so) suffers this fault."""
        self.mishaps.append(Mishap(fault, name, path))

    async def run(self, *, outcome: str = "settled", **how: Any) -> None:
        """``relais run --wait``, again if the process died; ``outcome`` as its summary says."""
        found = await self.begin(lambda p: runs.once(p.engine, wait=WAIT, **how))
        if found["outcome"] != outcome or found["errors"]:
            raise Broken(f"a run ended {found['outcome']}, not {outcome}: {found['errors']} {found['targets']}")

    async def begin(self, work: Callable[[Process], Any]) -> Any:
        """A command, or what a person does in the pages: whoever sees it fail does it again."""
        while True:
            try:
                if self.process is None:
                    self.process = Process(self, f"process-{self.count('start')}", "here")
                process = self.process
                process.engine.run = f"run-{self.count('run')}"
                main = self.spawn(_awaited(work, process))
                process.tasks = [main, self.spawn(process.beat())]
                return await main
            except Crash:
                pass
            except asyncio.CancelledError:
                if self.process is None or not self.process.dead:
                    raise
            finally:
                for task in self.process.tasks if self.process is not None else ():
                    task.cancel()
                if self.process is None or self.process.dead:
                    self.stop()
            await asyncio.sleep(AGAIN)

    def stop(self) -> None:
        """The process ends; the next begins anew."""
        if self.process is not None:
            self.process.close()
            self.process = None

    def backup(self) -> Path:
        """What ``relais db backup`` makes."""
        copy = self.folder / "backup.db"
        with closing(sqlite3.connect(copy)) as there:
            self.database.backup(there)
        return copy

    def put_back(self, copy: Path) -> None:
        """Relais is stopped, the old database moved away, the backup put in its place."""
        self.stop()
        self.database.close()
        place = self.folder / "relais" / "relais.db"
        for side in ("", "-wal", "-shm"):
            Path(f"{place}{side}").unlink(missing_ok=True)
        shutil.copyfile(copy, place)
        self.open()
        self.generations.clear()
        self.tries.clear()

    async def later(self, **span: float) -> None:
        """Nobody works meanwhile."""
        self.stop()
        await asyncio.sleep(timedelta(**span).total_seconds())

    # ------------------------------------------------------------ how it is played

    def forget(self, process: Process) -> None:
        self.deaths += 1

    def fault(self, x: wire.Exchange) -> str | None:
        for mishap in self.mishaps:
            if x.writes and mishap.name == x.name and x.path.endswith(mishap.path):
                self.mishaps.remove(mishap)
                return mishap.fault
        return None

    async def _play(self) -> None:
        await self.played.story(self)
        self.stop()
        self.calm = True
        self.points = self.counts["boundary"]
        if self.failed is not None:
            raise self.failed
        if self.mishaps:
            raise Broken(f"never happened: {self.mishaps}")
        self.held = ending(self)
        if found := standing(self):
            raise Broken(found)


async def _awaited(work: Callable[[Process], Any], process: Process) -> Any:
    found = work(process)
    return await found if inspect.isawaitable(found) else found


# ---------------------------------------------------------------- what it ends in


def ending(stage: Stage) -> dict[str, Any]:
    """What the targets hold and what is wanted, without times and numbers that a crash may rightly change."""
    clinic = stage.openmrs.state()
    for row in clinic["appointments"]:
        del row["uuid"]  # the server's own
    for row in clinic["patients"]:  # a number that was drawn and not used is lost to the server
        row["identifiers"] = [i for i in row["identifiers"] if i[0] != "OpenMRS ID"]
    dhis2 = stage.dhis2.state()
    fhir = stage.fhir.state()
    return {
        "dhis2": dhis2,
        "fhir": fhir,
        "openmrs": clinic,
        "cht": {d.id: d.whole() for d in stage.cht._docs.values()},
        **{name: [tuple(row) for row in stage.rows(sql)] for name, sql in OURS.items()},
    }


OURS = {
    "head": "SELECT record, revision, form, deleted, dirty, state, purged IS NULL FROM head ORDER BY record",
    "body": "SELECT key, revision, body_enc IS NULL FROM body ORDER BY key, revision",
    "activity": "SELECT record, revision, date, place, worker, subject, org_unit, activity_enc=X'' FROM activity "
    "ORDER BY record",
    "entity": "SELECT kind, key, revision, digest FROM entity ORDER BY kind, key",
    "contribution": "SELECT record, indicator, part, org_unit, period, categories, amount, distinct_key, date "
    "FROM contribution ORDER BY 1, 2, 3, 4, 5, 6",
    "touched": "SELECT * FROM touched",
    "cell": "SELECT indicator, part, org_unit, period, categories, data_element, combo, value, records, accepted, "
    "there, state, reason, released FROM cell ORDER BY 1, 2, 3, 4, 5",
    "delivery": "SELECT target, key, kind, record, subject, digest, state, accepted_digest FROM delivery ORDER BY 1, 2",
    "referral": "SELECT record, subject, state FROM referral ORDER BY record",
    "quarantine": "SELECT key, revision, code FROM quarantine ORDER BY key",
}


def differences(one: dict[str, Any], other: dict[str, Any]) -> str:
    """The first thing that is not as it was without the crash."""
    for name in one:
        if one[name] != other[name]:
            return f"{name}: {_smallest(one[name], other[name])}"
    return ""


def _smallest(with_crash: Any, without: Any) -> str:
    if isinstance(with_crash, dict) and isinstance(without, dict):
        for key in [*without, *with_crash]:
            if with_crash.get(key) != without.get(key):
                return f"{key}: {_smallest(with_crash.get(key), without.get(key))}"
    if isinstance(with_crash, list) and isinstance(without, list):
        lost = [row for row in without if row not in with_crash]
        extra = [row for row in with_crash if row not in without]
        return f"lost {lost[:3]}, too much {extra[:3]}"
    return f"{with_crash} instead of {without}"


def standing(stage: Stage) -> str:
    """What must hold at the end of every scenario, crash or not."""
    if held := stage.rows("SELECT key, state, lease_by FROM delivery WHERE state='leased' OR unsure"):
        return f"left leased or unsure: {[tuple(r) for r in held]}"
    # A lane of a killed process ends by itself: until then what it sent may still arrive.
    latest = stamp(stage.now() + delivery.LANE)
    if lanes := stage.rows("SELECT name, holder, until FROM lane WHERE name='run' OR until > ?", latest):
        return f"lanes left taken: {[tuple(r) for r in lanes]}"
    checks = [check.tracker, check.fhir, check.openmrs, check.answers, check.trail, check.secrets]
    checks += [check.dhis2] if "dhis2" in stage.plan.targets else []
    for one in checks:
        if one.__name__ not in stage.unlike and (found := one(stage)):
            return f"{one.__name__}: {found}"
    return ""


# ---------------------------------------------------------------- one crash after the other


def play(name: str, point: int | None, *, keep_trace: bool = False) -> tuple[str | None, Stage]:
    """(what broke or None, the stage as it ended). ``point`` None: nobody dies."""
    folder = Path(tempfile.mkdtemp(prefix="relais-crash-", dir=memory()))
    stage = Stage(SCENARIOS[name], folder, point, keep_trace=keep_trace)
    try:
        return broken_by(stage.play), stage
    except Exception as error:  # of the connector: a failure like any other
        return f"{type(error).__name__}: {error}", stage
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def dry(name: str) -> tuple[int, dict[str, Any]]:
    """(boundaries, what it ends in) when nobody dies. Raises Broken when not even that ends well."""
    broken, stage = play(name, None)
    if broken:
        raise Broken(f"{name} without any crash: {broken}")
    return stage.points, stage.held


def crash(name: str, point: int, *, keep_trace: bool = False) -> tuple[str | None, Stage]:
    """Play it with a crash at this boundary: (what is not as without the crash, or None; the stage)."""
    _, wanted = dry(name)
    broken, stage = play(name, point, keep_trace=keep_trace)
    if broken is None and stage.deaths != 1:
        broken = f"died {stage.deaths} times, not once"
    return broken or differences(stage.held, wanted) or None, stage
