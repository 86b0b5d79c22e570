"""One simulated world: the servers, the database, the processes of the connector, and everybody who acts meanwhile.

The connector is the shipped one, wired by ``bootstrap.build``; only transport, clock, chance and the disk are ours. A
crash is a ``BaseException`` raised at a boundary (before or after a commit, before or after an exchange); from then on
the process can neither write nor send, its connections are dropped, and what was under way at the servers goes on.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import types
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import tenacity
import tenacity.asyncio
from sqlalchemy import event as sql_event

from connector import bootstrap
from connector.engine import intake, match_review, runs, tally
from connector.engine.actions import Actions
from connector.engine.mapping import Mapping
from connector.engine.reconcile import reconcile
from connector.errors import RelaisError, TargetUnreadable
from connector.loading import load
from connector.mappings.fhir import FhirBuilder
from connector.mappings.forms import Mapper
from connector.mappings.indicators import Counter as Indicators
from connector.mappings.pack import Pack
from connector.sandbox import metadata, openmrs_metadata, serve
from connector.sandbox.cht import CHTSim
from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.district_people import Calendar, People
from connector.sandbox.fhir import FHIRSim
from connector.sandbox.openmrs import OpenMRSSim
from connector.sandbox.plane import Plane
from connector.settings import Settings
from connector.store.database import SqlStore
from tests.sim import plan as plans
from tests.sim import servers, tracker, wire
from tests.sim.loop import Loop, Stuck
from tests.sim.plan import Event, Plan

START = datetime(2026, 10, 6, 8, 0, tzinfo=UTC)
ZONE = "Africa/Bamako"
URLS = {name: f"http://127.0.0.1:{port}" for name, port in zip(serve.NAMES, range(9101, 9105), strict=True)}
FORMS = (("cht", "assessment"), ("cht", "person"), ("openmrs", "referral_outcome"))
#: Small ones, so that several are on their way together, and those that take all at once.
BUNDLES = (3, 200)
INDICATORS = ("A04", "B01", "B02", "C01")
#: Reasons of the target itself.
OUTAGES = ("dhis2.unreachable", "dhis2.busy", "dhis2.unavailable", "dhis2.credentials", "fhir.unreachable", "fhir.busy")
#: Commits and exchanges of one world; far more than the longest needs.
ENDLESS = 40_000


class Crash(BaseException):
    """The process is gone."""


class Broken(AssertionError):
    """A promise was not kept."""


class Store(SqlStore):
    """The real store on a disk that never waits; each commit is two boundaries, before and after."""

    def __init__(self, url: str, process: Process) -> None:
        super().__init__(url, busy_seconds=0.1)
        self.process = process
        for engine in (self._writer, self._reader):
            sql_event.listen(engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA synchronous=OFF").close())

    def write(self, fn: Callable[[Any], Any]) -> Any:
        self.process.alive()

        def work(unit: Any) -> Any:
            result = fn(unit)
            self.process.boundary()
            return result

        result = super().write(work)
        self.process.boundary()
        return result

    def read(self, fn: Callable[[Any], Any]) -> Any:
        self.process.alive()
        return super().read(fn)


class Clock:
    """The wall clock of a machine: the world's time, wrong by however much it has jumped."""

    def __init__(self, world: World, machine: str) -> None:
        self.world, self.machine = world, machine

    def now(self) -> datetime:
        return self.world.now() + timedelta(seconds=self.world.wrong)

    def steady(self) -> tuple[str, float]:
        return self.machine, self.world.seconds()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Process:
    """The connector as one process; ``dead`` once it has crashed."""

    def __init__(self, world: World, name: str, machine: str) -> None:
        self.world, self.name = world, name
        self.dead = False
        self.tasks: list[asyncio.Task[Any]] = []
        rng = random.Random(f"{world.plan.seed} {name}")
        pack = world_pack(world.plan.targets, BUNDLES[world.plan.seed % len(BUNDLES)])
        with (
            mock.patch.object(bootstrap, "load", lambda settings: (pack, [])),
            mock.patch.object(bootstrap, "SqlStore", lambda url: Store(url, self)),
            mock.patch.object(bootstrap, "Mapper", lambda p: mapper()),
            mock.patch.object(bootstrap, "Counter", lambda p: indicators()),
            mock.patch.object(bootstrap, "FhirBuilder", builder),
            mock.patch.object(bootstrap, "_holder", lambda: f"{machine}/{90_000_000 + world.count('process')}"),
        ):
            self.house = bootstrap.build(
                world.settings, transport=lambda n: wire.Wire(world, self, n), clock=Clock(world, machine), rng=rng
            )
        self.engine = self.house.engine
        assert not self.engine.heartbeat, "a thread of its own would beat in real time"
        world.processes.append(self)

    def alive(self) -> None:
        if self.dead:
            raise Crash

    def boundary(self) -> None:
        """A place where the process may die."""
        self.alive()
        number = self.world.count("boundary")
        if number > ENDLESS:
            self.world.fail(f"no end after {number} commits and exchanges")
            raise self.world.failed or Broken()
        if number in self.world.plan.crashes and not self.world.calm:
            self.die()
            raise Crash

    def die(self) -> None:
        self.dead = True
        self.world.trace(f"{self.name} dies at boundary {self.world.counts['boundary']}")
        self.world.forget(self)
        for task in self.tasks:
            task.cancel()

    def close(self) -> None:
        self.house.store.close()
        if self in self.world.processes:
            self.world.processes.remove(self)

    async def beat(self) -> None:
        """What the heartbeat's thread does in production."""
        while True:
            await asyncio.sleep(runs.BEAT if not self.world.calm else 3 * runs.BEAT)  # nobody else is left to take it
            if self.world.rows("SELECT 1 FROM lane WHERE name='run' AND holder=?", self.engine.holder):
                runs._renew(self.engine)

    async def work(self, rng: random.Random) -> None:
        """Run, wait for the next schedule, run again."""
        while True:
            wait = rng.choice([None, timedelta(minutes=3), timedelta(minutes=15)])
            await self.once(wait)
            await asyncio.sleep(rng.uniform(60, 600))

    async def once(self, wait: timedelta | None) -> dict[str, Any] | None:
        self.engine.run = f"run-{self.world.count('run')}"
        try:
            return await runs.once(self.engine, wait=wait)
        except RelaisError as error:  # another living process holds the lock, or the database is busy
            self.world.trace(f"{self.name} {type(error).__name__}")
            return None


class World:
    def __init__(self, plan: Plan, folder: Path, *, keep_trace: bool = False) -> None:
        self.plan = plan
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self.rng = random.Random(f"{plan.seed} world")
        self.lines: list[str] | None = [] if keep_trace else None
        self.calm = False  #: True: no fault, no crash any more
        self.wrong = 0.0  #: seconds by which the clocks on the wall are off
        self.coming = list(plan.events)
        self.log: list[Event] = []  #: what was put in, as it happened
        self.history: dict[str, list[tuple[Any, str]]] = {}  #: document -> its (body, revision), oldest first
        self.processes: list[Process] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.flying: dict[str, wire.Exchange] = {}  #: key -> the exchange whose client still waits
        self.sailing: dict[str, tuple[int, wire.Exchange]] = {}  #: key -> requests not yet carried out
        self.generations: dict[tuple[int, str, str], int] = {}
        self.tries: dict[tuple[int, str, str], int] = {}
        #: cursor -> what a reader up to it has been shown: revision, deleted, form
        self.covered: dict[str, dict[str, tuple[str, bool, str]]] = {"0": {}}
        self.checked_cursor = ""
        self.periods: set[str] = set()  #: periods into which something was pushed
        self.parked: list[dict[str, Any]] = []
        self.failed: Broken | None = None
        home = folder / "relais"
        home.mkdir(parents=True)
        shutil.copy(template(), home / "relais.db")
        self.settings = settings().model_copy(update={"home": home})
        self.open()
        plane = lambda: Plane(plan.seed, clock=self.seconds)  # noqa: E731
        self.cht = CHTSim(plane(), ground(), user=serve.CHT_USER, password=serve.CHT_PASSWORD)
        self.dhis2 = DHIS2Sim(
            dhis2_metadata() | ({"tracker": tracker.METADATA} if "tracker" in plan.targets else {}), [], plane(),
            plan.dhis2,
        )  # fmt: skip
        self.program = tracker.Program(self.dhis2.tracker, self.rng)
        self.openmrs = OpenMRSSim(clinic_metadata(), [], plane(), staff=self._staff)
        kinds = ("batch",) if "fhir_batch_only" in plan.faults else ("transaction", "batch")
        self.fhir = FHIRSim(plane(), bundles=kinds)
        #: Resource -> until when the FHIR server refuses it, and what makes it unfit.
        self.refused: dict[str, tuple[float, dict[str, Any]]] = {}
        self.once: set[str] = set()  #: what happens once in a world, and has
        self.sims: dict[str, Any] = {
            "cht": self.cht, "cht_answers": self.cht, "dhis2": self.dhis2, "tracker": self.dhis2,
            "openmrs": self.openmrs, "fhir": self.fhir,
        }  # fmt: skip

    def open(self) -> None:
        """Look into the database from outside, past the connector."""
        self.database = sqlite3.connect(self.folder / "relais" / "relais.db", isolation_level=None)
        self.database.row_factory = sqlite3.Row

    # ------------------------------------------------------------ time, chance, trace

    def seconds(self) -> float:
        return asyncio.get_running_loop().time() if self.started else 0.0

    started = False

    def now(self) -> datetime:
        return START + timedelta(seconds=round(self.seconds(), 6))

    def count(self, what: str) -> int:
        self.counts[what] += 1
        return self.counts[what]

    def trace(self, line: str) -> None:
        if self.lines is not None:
            self.lines.append(f"{self.seconds():10.3f} {line}")

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    # ------------------------------------------------------------ what the far side sees

    def fault(self, x: wire.Exchange) -> str | None:
        # Reads come before every write: failing as often as writes, they would keep the writes from ever leaving.
        rate = self.plan.rate if x.writes else self.plan.rate / 3
        if self.calm or self.rng.random() >= rate:
            return None
        fitting = [f for f in self.plan.faults if wire.suits(f, x)]
        # What only some requests can suffer would be drowned by what any of them can.
        rare = {*plans.DOMAIN, *plans.TRACKER, *servers.ALL, "late"}
        weights = [4 if f in rare else 1 for f in fitting]
        return self.rng.choices(fitting, weights)[0] if fitting else None

    def refuse(self, fault: str | None, x: wire.Exchange) -> None:
        if x.name == "dhis2":
            self.dhis2.refuse = [dict(rule) for rule in wire.rules(fault, self.plan.dhis2)]
        elif x.name == "tracker":
            self.program.suffers(fault, x)

    def leaves(self, x: wire.Exchange) -> None:
        """A request leaves: nothing else for its keys may be under way."""
        for key in sorted(x.keys):
            if key in self.flying:
                self.fail(f"{key} is in flight twice: {self.flying[key]} and {x}")
            if key in self.sailing:
                self.fail(f"{key}: {x} was sent while {self.sailing[key][1]} may still arrive")
            self._first_alone(key)
            self.flying[key] = x
        if double := servers.doubled(x):
            self.fail(f"{x} names {double} twice")

    def _first_alone(self, key: str) -> None:
        """Two first pushes into a period that is new to the server lose rows (findings-dhis2 0.1, 0.2)."""
        kind, _, period = key.rpartition(" ")
        if kind.startswith("block ") and period not in self.periods:
            # One that its sender has given up may still be under way: what is lost then is sent again by whoever waits.
            others = [k for k in self.flying if k.startswith("block ") and k.endswith(period)]
            if others:
                self.fail(f"{key} is sent while the first push into {period} is under way: {others}")

    def lands(self, x: wire.Exchange) -> None:
        for key in x.keys:
            if self.flying.get(key) is x:
                del self.flying[key]

    def forget(self, process: Process) -> None:
        """The client died: it waits for no answer any more."""

    def under_way(self, x: wire.Exchange, seconds: float) -> None:
        for key in x.keys:
            self.sailing[key] = (self.sailing.get(key, (0, x))[0] + 1, x)

    def arrived(self, x: wire.Exchange) -> None:
        for key in x.keys:
            left = self.sailing[key][0] - 1
            if left:
                self.sailing[key] = (left, x)
            else:
                del self.sailing[key]

    def applied(self, x: wire.Exchange, answer: httpx.Response) -> None:
        """Remember which periods have a row, and what a reader of the feed was shown up to which cursor."""
        self.periods |= {key.rpartition(" ")[2] for key in x.keys if key.startswith("block ")}
        if x.name == "cht" and x.path.endswith("/_changes") and answer.status_code == 200:
            page = answer.json()
            self.covered[page["last_seq"]] = {
                **self.covered.get(x.query.get("since", ""), {}),
                **{r["id"]: (r["changes"][0]["rev"], bool(r.get("deleted")), _form(r)) for r in page["results"]},
            }

    # ------------------------------------------------------------ checks that hold always

    def fail(self, words: str) -> None:
        self.trace(f"BROKEN {words}")
        if self.failed is None:
            self.failed = Broken(words)

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        return self.database.execute(sql, values).fetchall()

    def watch(self) -> None:
        for row in self.rows("SELECT id, target, key, generation, tries, reason FROM delivery"):
            # SQLite gives the id of a wanted state that was taken back before any attempt to the next one.
            one = (row["id"], row["target"], row["key"])
            if row["tries"] > self.tries.get(one, 0) and row["reason"] in OUTAGES:
                self.fail(f"an outage ({row['reason']}) counts as a try of delivery {one}")
            self.tries[one] = row["tries"]
            if row["generation"] < self.generations.get(one, 0):
                self.fail(f"the generation of delivery {one} went back to {row['generation']}")
            self.generations[one] = row["generation"]
        cursor = self.rows("SELECT cursor FROM source_state WHERE source='cht'")
        if cursor and cursor[0]["cursor"] and cursor[0]["cursor"] != self.checked_cursor:
            self.checked_cursor = cursor[0]["cursor"]
            held = {(r["key"], r["revision"]) for r in self.rows("SELECT key, revision FROM body WHERE source='cht'")}
            known = {key for key, _ in held}
            for id, (revision, deleted, form) in self.covered.get(self.checked_cursor, {}).items():
                # A tombstone of what was never received, and our own answers, are not kept.
                if (id, revision) not in held and (id in known or not deleted) and form != "referral_answer":
                    self.fail(f"the cursor is ahead of {id} {revision}")
            self.covered[self.checked_cursor] = {}  # seen once; what is known since is another matter

    # ------------------------------------------------------------ the input

    async def feed(self) -> None:
        while self.coming:
            await asyncio.sleep(max(0.0, self.coming[0].at - self.seconds()))
            if self.coming and self.coming[0].at <= self.seconds():
                self.happen()

    def happen(self) -> Event | None:
        """The next thing in the plan takes place."""
        event = self.coming.pop(0)
        if not self.act(event):
            return None
        self.log.append(event)
        self.trace(f"input {event.what} {event.id}")
        return event

    def meanwhile(self, process: Process) -> None:
        """While a request is out, the app pushes what has just changed: it is taken in, mapped and counted at once."""
        soon = self.coming and self.coming[0].at < self.seconds() + 300
        if "push" not in self.plan.actors or self.calm or not soon or self.rng.random() > 0.5:
            return
        event = self.happen()
        document = self.cht._docs.get(event.id) if event is not None else None
        if document is None:
            return
        engine = process.engine
        row = {"id": document.id, "changes": [{"rev": document.rev}], "doc": document.whole()}
        records = engine.sources["cht"]._records({**row, "deleted": document.deleted})  # type: ignore[attr-defined]
        self.trace(f"pushed {document.id} {document.rev}")
        with suppress(RelaisError):
            engine.store.write(lambda unit: intake.take(engine, unit, records, "cht"))
            Mapping(engine).run()
            tally.tally(engine)

    def act(self, event: Event) -> bool:
        """Do it at the source; False when it cannot be done any more."""
        match event.what:
            case "put":
                self.cht.put(event.doc)
                self.history.setdefault(event.id, []).append((event.doc, self.cht._docs[event.id].rev))
            case "delete":
                if event.id not in self.cht._docs or self.cht._docs[event.id].deleted:
                    return False
                self.cht.delete(event.id, keep_body=event.doc["keep"])
            case "purge":
                # What was never received cannot be counted; what was stays counted.
                found = self.cht._docs.get(event.id)
                head = self.rows("SELECT revision FROM head WHERE key=?", event.id)
                if found is None or found.deleted or not head or head[0]["revision"] != found.rev:
                    return False
                self.cht.purge(event.id)
            case "flip":
                return self._flip(event)
        return True

    def _flip(self, event: Event) -> bool:
        """Another leaf of the document wins: an earlier revision is the current one again (findings-cht 21)."""
        document = self.cht._docs.get(event.id)
        found = [rev for body, rev in self.history.get(event.id, []) if body == event.doc]
        if document is None or document.deleted or not found:
            return False
        self.cht._feed[document.shard][document.place] = None
        document.body = {k: v for k, v in event.doc.items() if k not in ("_id", "_rev", "_deleted")}
        document.rev = found[-1]
        document.number = int(document.rev.split("-")[0])
        self.cht._place(document)
        return True

    def _staff(self, number: str) -> dict[str, Any] | None:
        act = dict(self.plan.staff).get(number)
        return {"act": act, "at": "2026-10-05T10:00:00Z", "advice": "revoir"} if act else None

    # ------------------------------------------------------------ who acts

    async def driver(self, name: str, machine: str) -> None:
        """A process that is started again whenever it dies."""
        rng = random.Random(f"{self.plan.seed} driver {name}")
        await asyncio.sleep(rng.uniform(0, 60))
        while not self.calm:
            process: Process | None = None
            try:
                process = Process(self, f"{name}{self.count('start')}", machine)
                main = self.spawn(process.work(rng))
                process.tasks = [main, self.spawn(process.beat())]
                await main
            except Crash:
                pass
            except asyncio.CancelledError:
                if self.calm or process is None or not process.dead:
                    raise
            finally:
                if process is not None:
                    for task in process.tasks:
                        task.cancel()
                    process.close()
            if not self.calm:
                await asyncio.sleep(rng.uniform(5, 300))

    def someone(self) -> Process | None:
        """A living process through which a person acts (the pages of ``serve``, a command)."""
        living = [p for p in self.processes if not p.dead]
        return living[0] if living else None

    async def operator(self) -> None:
        """Retries, parks, pauses and resumes at unlucky moments."""
        rng = random.Random(f"{self.plan.seed} operator")
        while not self.calm:
            await asyncio.sleep(rng.uniform(20, 500))
            process = self.someone()
            if process is None:
                continue
            actions = Actions(process.engine)
            ids = [int(r["id"]) for r in self.rows("SELECT id FROM delivery ORDER BY id")]
            some = rng.sample(ids, min(len(ids), 3))
            what = rng.choice(["retry", "retry", "park", "pause", "resume"])
            target = rng.choice(self.plan.targets)
            self.trace(f"operator {what} {some if what in ('retry', 'park') else target}")
            try:
                if what == "retry":
                    actions.retry(some, "operator")
                elif what == "park":
                    actions.park(some, "parked for a while", "operator")
                    await asyncio.sleep(rng.uniform(10, 600))
                    if (again := self.someone()) is not None:
                        Actions(again.engine).retry(some, "operator")
                elif what == "pause":
                    actions.pause(target, "maintenance", None, "operator")
                    await asyncio.sleep(rng.uniform(10, 600))
                    if (again := self.someone()) is not None:
                        Actions(again.engine).resume(target, "operator")
                else:
                    actions.resume(target, "operator")
            except (Crash, RelaisError):
                pass

    async def reconciler(self) -> None:
        """``relais reconcile`` in a process of its own, beside the run."""
        rng = random.Random(f"{self.plan.seed} reconciler")
        while not self.calm:
            await asyncio.sleep(rng.uniform(100, 1500))
            target = rng.choice(self.plan.targets)
            process: Process | None = None
            try:
                process = Process(self, f"reconcile{self.count('start')}", "other")
                work = self.spawn(reconcile(process.engine, target))
                process.tasks = [work]
                found = await work
                self.trace(f"reconciled {target} {found['missing']} missing {found['different']} different")
            except (Crash, TargetUnreadable, RelaisError) as error:
                self.trace(f"reconcile {target}: {type(error).__name__}")
            except asyncio.CancelledError:
                if self.calm or process is None or not process.dead:
                    raise
            finally:
                if process is not None:
                    process.close()

    async def nurse(self) -> None:
        """A person mends refused credentials within the hour: nothing asks again by itself."""
        while True:
            await asyncio.sleep(500)
            if (process := self.someone()) is not None:
                with suppress(Crash, RelaisError):
                    self.heal(process)

    def heal(self, process: Process) -> None:
        for table, column in (("source_state", "source"), ("target_state", "target")):
            for row in self.rows(f"SELECT {column} AS name FROM {table} WHERE who='credentials' ORDER BY 1"):
                if not servers.BLAMING & set(self.plan.faults):
                    self.fail(f"{row['name']} is said to refuse our account, and nothing does")
                Actions(process.engine).resume(row["name"], "operator")

    async def jumps(self) -> None:
        for at, by in self.plan.jumps:
            await asyncio.sleep(max(0.0, at - self.seconds()))
            self.wrong += by
            self.trace(f"the clock jumps by {by:.0f} s")

    # ------------------------------------------------------------ the whole

    def play(self) -> None:
        """Everything, to the end. Raises Broken."""
        loop = Loop()
        random.seed(self.plan.seed)  # tenacity's jitter
        shim = types.SimpleNamespace(monotonic=loop.time, sleep=None)
        try:
            with mock.patch.object(tenacity, "time", shim):
                self.started = True
                loop.run_until_complete(self._play())
        finally:
            for process in self.processes:
                process.dead = True
            loop.run_until_complete(end())
            self.started = False
            self.database.close()
            loop.close()

    async def _play(self) -> None:
        from tests.sim import check

        actors = [self.spawn(self.driver("run", "here")), self.spawn(self.nurse()), self.spawn(self.jumps())]
        named = {
            "second": lambda: self.driver("second", "there"),
            "operator": self.operator,
            "reconcile": self.reconciler,
        }
        actors += [self.spawn(named[name]()) for name in self.plan.actors if name in named]
        feed = self.spawn(self.feed())
        await asyncio.sleep(self.plan.until)
        await feed
        self.calm = True
        self.trace("calm")
        for actor in actors:
            actor.cancel()
        for process in list(self.processes):
            process.die()
            process.close()
        await asyncio.gather(*actors, return_exceptions=True)
        await self.rest()
        if self.failed is not None:
            raise self.failed
        check.everything(self)

    async def rest(self) -> None:
        """The faults are over: everything must settle by itself within a day, but for what needs a person."""
        process = Process(self, "last", "here")
        process.tasks = [beat := self.spawn(process.beat())]
        try:
            deadline = self.seconds() + 86400 * (3 if self.plan.jumps else 1) + 7200
            for target in self.plan.targets:
                Actions(process.engine).resume(target, "operator")  # ends a pause nobody was left to end
            self.heal(process)
            # What the operator parked for a while and nobody was left to take up again.
            held = self.rows("SELECT id FROM delivery WHERE state='parked' AND note IS NOT NULL")
            Actions(process.engine).retry([int(r["id"]) for r in held], "operator")
            # What hangs on something a person must mend waits for her; she comes after two hours.
            parking = self.rows("SELECT 1 FROM delivery WHERE state='parked' AND target IN ('fhir', 'tracker')")
            undone = "tracker_removed" in self.plan.faults
            apart = parking or undone
            await self._settle(process, self.seconds() + 7200 if apart else deadline, strict=not apart)
            if self.failed is None:
                self.parked = [dict(r) for r in self.rows("SELECT * FROM delivery WHERE state='parked' ORDER BY id")]
                Actions(process.engine).retry([r["id"] for r in self.parked], "operator")
                self._asked(process)
                if undone:  # what somebody removed there is missed by reading back only
                    await self._settle(process, self.seconds() + 7200, strict=False)
                    await reconcile(process.engine, "tracker")
                await self._settle(process, deadline + 86400)
                if self.failed is None and self._asked(process):
                    await self._settle(process, deadline + 2 * 86400)
        finally:
            beat.cancel()
            for client in process.house.clients:
                await client.aclose()
            process.close()

    def _asked(self, process: Process) -> int:
        """A clerk of the clinic says of everybody she is asked about that it is the one who carries her identifier;
        returns of how many."""
        open_ = list(match_review.listed(process.engine))
        for one in open_:
            holder = servers.holder(self.openmrs, one["person"].partition("/")[2])
            self.trace(f"decided {one['person']}")
            match_review.decide(process.engine, one["id"], holder, "she is", "clerk")
        return len(open_)

    async def _settle(self, process: Process, deadline: float, *, strict: bool = True) -> None:
        while True:
            left = deadline - self.seconds()
            summary = await process.once(timedelta(seconds=max(left, 60)))
            if summary is not None and (summary["outcome"] != "waiting" and not summary["errors"]):
                return
            if not strict and self.seconds() >= deadline:
                return
            if self.seconds() >= deadline or self.failed is not None:
                shown = summary and {k: summary[k] for k in ("outcome", "errors", "targets")}
                columns = "target, key, state, tries, reason"
                left_over = self.rows(f"SELECT {columns} FROM delivery WHERE state NOT IN ('accepted', 'parked')")
                waiting = [tuple(r) for r in left_over]
                self.fail(f"not settled within a day after the last fault: {shown} {waiting[:5]}")
                return
            await asyncio.sleep(900)  # what waits for a closed period waits a day


def _form(row: dict[str, Any]) -> str:
    return str((row.get("doc") or {}).get("form", ""))


async def end() -> None:
    """Nothing of a world outlives it."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


# ---------------------------------------------------------------- made once per process


@lru_cache(maxsize=1)
def settings() -> Settings:
    district = types.SimpleNamespace(zone=ZONE, covered="all")
    folder = Path("/nonexistent")
    found = serve.environment(district, {**URLS, "folder": str(folder)})  # type: ignore[arg-type]
    os.environ.update({**found, "RELAIS_HOME": str(folder), "RELAIS_MASTER_KEY": "c" * 42 + "A"})
    # The sandbox shortens the waits for the demo; here time costs nothing, so they are those of production.
    return Settings.load().model_copy(update={"quiet_scale": 1.0, "retry_scale": 1.0})


@lru_cache(maxsize=1)
def pack() -> Pack:
    """The shipped pack with the forms and indicators the oracle knows."""
    whole, _ = load(settings())
    return replace(
        whole,
        sources={"cht": whole.sources["cht"]},
        forms={k: f for k, f in whole.forms.items() if k in FORMS},
        ignore={**whole.ignore, "cht": [*whole.ignore.get("cht", ()), "area", "site"]},
        indicators={k: whole.indicators[k] for k in INDICATORS},
        data_sets={"MH_SEC": whole.data_sets["MH_SEC"]},
        # One worker alone at the second site, so that months are often complete.
        deployments=[d for d in whole.deployments if d.reporter in plans.WORKERS],
    )


@lru_cache(maxsize=32)
def world_pack(targets: tuple[str, ...], bundle: int) -> Pack:
    """``bundle``: resources that leave for the FHIR server together."""
    known = {**pack().targets, "tracker": tracker.target(pack().targets["dhis2"])}
    known["fhir"] = replace(known["fhir"], settings={**known["fhir"].settings, "bundle": bundle})
    there = tracker.TRACKER if "tracker" in targets else None
    return replace(pack(), targets={name: known[name] for name in targets}, tracker=there)


@lru_cache(maxsize=1)
def mapper() -> Mapper:
    return Mapper(pack())


@lru_cache(maxsize=1)
def indicators() -> Indicators:
    return Indicators(pack())


_builders: dict[str, FhirBuilder] = {}


def builder(_pack: Pack, names: Any) -> FhirBuilder:
    if "one" not in _builders:
        _builders["one"] = FhirBuilder(pack(), names)
    return _builders["one"]


@lru_cache(maxsize=1)
def people() -> People:
    return People(7, Calendar.of("2026-07", 3, ZONE), 12, 24)


@lru_cache(maxsize=1)
def dhis2_metadata() -> dict[str, Any]:
    return metadata.dhis2_metadata(people(), START.date())


@lru_cache(maxsize=1)
def clinic_metadata() -> dict[str, Any]:
    clinics = [{"code": area, "name": f"CSCom de {name}"} for area, _, name in people().areas]
    return {**openmrs_metadata.default_metadata(clinics), "now": START.isoformat()}


def ground() -> list[dict[str, Any]]:
    return []


@lru_cache(maxsize=1)
def template() -> Path:
    """An empty database with its tables and keys; every world starts from a copy."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="relais-sim-", dir=memory()))
    randoms = random.Random("keys")
    with mock.patch("os.urandom", randoms.randbytes):
        store, _ = bootstrap.open_store(settings().model_copy(update={"home": folder}))
    store.close()
    with sqlite3.connect(folder / "relais.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return folder / "relais.db"


def prepare() -> None:
    """What is made once per process, made before its children are."""
    for make in (pack, mapper, indicators, people, dhis2_metadata, clinic_metadata, template):
        make()  # type: ignore[operator]


def memory() -> str | None:
    """A file system in memory where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def play(plan: Plan, *, keep_trace: bool = False) -> tuple[str | None, World]:
    """(what broke, or None; the world as it ended)."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="relais-sim-", dir=memory()))
    world = World(plan, folder, keep_trace=keep_trace)
    try:
        return broken_by(world.play), world
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def broken_by(played: Callable[[], None]) -> str | None:
    """Play it; what broke, or None."""
    try:
        played()
    except Broken as broken:
        return str(broken)
    except Stuck:
        return "stuck: everybody waits and nothing will come"
    return None


__all__ = ["Broken", "Crash", "World", "plans", "play"]
