"""The clock may lie: it is set forward and back by an hour and a day at every awkward moment, a machine comes back from
a power cut in another year, and twice a year an hour is missing or comes twice.

What must hold: nothing is sent before its quiet time is over, nothing is on its way twice, everything is sent in the
end, no fire doubled, no period wrong; and that the clock was set can be seen. Time that really passes is
``house.clock.at`` set forward; ``house.clock.jump`` sets the clock, and no time passes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from connector.engine import audit, runs, timekeeping
from connector.engine import delivery as delivering
from connector.engine.actions import Actions
from connector.engine.engine import Engine, stamp
from connector.engine.reconcile import PER_SECOND, Pace
from connector.engine.schedule import Schedule, claim, due_time, trigger
from connector.errors import LaneBusy, RunLocked
from connector.mappings.forms import Mapper
from connector.mappings.pack import SourceConfig, TargetConfig
from connector.model import Capabilities, Verdict
from connector.retry import TargetHealth
from tests.engine.bench_house import HandClock, Shelf, empty_pack, engine
from tests.engine.house import Make, a_few, shipped, visit
from tests.engine.test_delivery import deliver, later, row, want

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
JUMPS = [pytest.param(by, id=name) for name, by in (("+1h", HOUR), ("-1h", -HOUR), ("+1d", DAY), ("-1d", -DAY))]
every_jump = pytest.mark.parametrize("by", JUMPS)
#: One each way, where the four do the same and the test costs more.
two_jumps = pytest.mark.parametrize("by", [JUMPS[0], JUMPS[3]])
QUIET = Shelf.capabilities.settles_within


def clock(house: Engine) -> HandClock:
    assert isinstance(house.clock, HandClock)
    return house.clock


def jump(house: Engine, by: timedelta) -> None:
    clock(house).jump(seconds=by.total_seconds())


def shelf(house: Engine) -> Any:
    return house.targets["shelf"]


def passed(house: Engine) -> float:
    return house.clock.steady()[1]


def another(house: Engine, *, machine: str = "machine", ahead: timedelta = timedelta(0)) -> Engine:
    """A second process on the same database, perhaps on a machine whose clock goes differently."""
    own = HandClock(clock(house).at + ahead)
    own.wrong, own.machine = clock(house).wrong + ahead, machine
    return replace(house, clock=own, holder=f"other/{machine}", turns={})


def both_later(*houses: Engine, **span: float) -> None:
    for house in houses:
        later(house, **span)


def trail(house: Engine, event: str) -> list[str]:
    rows: list[dict[str, Any]] = house.store.read(
        lambda unit: unit._rows("SELECT detail FROM audit WHERE event=:e ORDER BY id", e=event)
    )
    return [str(one["detail"]) for one in rows]


# ---------------------------------------------------------------- deliveries


def in_the_end(house: Engine, by: timedelta) -> None:
    """A clock set back makes it late, by no more than it was set."""
    later(house, seconds=QUIET.total_seconds() + 1 + max(0.0, -by.total_seconds()))
    deliver(house)


@every_jump
def test_an_older_value_never_lands_on_a_newer_one(tmp_path: Path, by: timedelta) -> None:
    """The clock is set in the quiet time, and the lost request arrives at the end of it."""
    house = engine(tmp_path)
    shelf(house).faults = ["lost"]
    want(house, "a", {"v": 1})
    deliver(house)
    want(house, "a", {"v": 2})
    later(house, seconds=10)
    jump(house, by)
    deliver(house)
    later(house, seconds=QUIET.total_seconds() - 11)
    deliver(house)
    assert shelf(house).requests == 1, "the lost value may still arrive"
    shelf(house).held["a"] = {"v": 1}
    in_the_end(house, by)
    assert shelf(house).held["a"] == {"v": 2} and row(house, "a")["state"] == "accepted"


@every_jump
@pytest.mark.parametrize(("parked", "seen"), [(False, True), (True, True), (True, False)])
def test_a_persons_retry_keeps_the_quiet_time(tmp_path: Path, by: timedelta, parked: bool, seen: bool) -> None:
    house = engine(tmp_path)
    shelf(house).faults = ["lost"]
    want(house, "a", {"v": 1})
    deliver(house)
    one = row(house, "a")["id"]
    later(house, seconds=10)
    if parked:
        Actions(house).park([one], "wait", "somebody")
    jump(house, by)
    if seen:
        deliver(house)
    Actions(house).retry([one], "somebody")
    deliver(house)
    later(house, seconds=QUIET.total_seconds() - 11)
    deliver(house)
    assert shelf(house).requests == 1
    in_the_end(house, by)
    assert shelf(house).held == {"a": {"v": 1}}


@every_jump
def test_a_killed_workers_lease_does_not_end_early(tmp_path: Path, by: timedelta) -> None:
    house = engine(tmp_path)
    want(house, "a", {"v": 1})
    house.store.write(lambda unit: delivering._claim(house, unit, "shelf", TargetHealth()))
    shelf(house).held["a"] = {"v": 1}  # the request arrived; then the worker was killed
    later(house, minutes=1)
    jump(house, by)
    deliver(house)
    later(house, minutes=8.9)
    deliver(house)
    assert row(house, "a")["state"] == "leased"
    later(house, minutes=1.2 + max(0.0, -by.total_seconds() / 60))
    deliver(house)
    assert row(house, "a")["state"] == "accepted" and shelf(house).requests == 0, "looked up, not sent again"


class JumpsWithin(Shelf):
    """The clock is set between a request and its answer."""

    house: Engine
    by = timedelta(0)

    async def deliver(self, batch: Sequence[Any], progress: Any) -> Any:
        jump(self.house, self.by)
        self.by = timedelta(0)
        return await super().deliver(batch, progress)


@every_jump
@pytest.mark.parametrize("answer", ["lost_after", "ok"])
@pytest.mark.parametrize("mended", [False, True])
def test_the_clock_is_set_between_a_request_and_its_answer(
    tmp_path: Path, by: timedelta, answer: str, mended: bool
) -> None:
    within = JumpsWithin()
    within.by = by
    within.house = house = engine(tmp_path, shelf=within)
    within.faults = [answer]
    want(house, "a", {"v": 1})
    deliver(house)
    if answer == "ok":
        assert row(house, "a")["state"] == "accepted"
        return
    if mended:  # before anybody looks again
        jump(house, -by)
    later(house, seconds=QUIET.total_seconds() - 1)
    deliver(house)
    assert row(house, "a")["state"] == "unknown"
    in_the_end(house, -abs(by))
    assert row(house, "a")["state"] == "accepted" and shelf(house).held == {"a": {"v": 1}}


@pytest.mark.again
@pytest.mark.parametrize("seed", range(3))
def test_however_often_the_clock_is_set_nothing_is_sent_in_its_quiet_time(tmp_path: Path, seed: int) -> None:
    """Half an hour of every kind of answer, in which the clock is set again and again, also during a request."""
    rng = random.Random(seed)
    quiet: dict[str, float] = {}  # key -> when, in seconds that really passed, it may be sent again

    def perhaps(chance: float) -> None:
        if rng.random() < chance:
            jump(house, rng.choice((HOUR, -HOUR, DAY, -DAY, timedelta(minutes=-3))))

    class Watched(Shelf):
        capabilities = Capabilities(max_batch=4, settles_within=QUIET)

        async def deliver(self, batch: Sequence[Any], progress: Any) -> Any:
            for one in batch:
                assert passed(house) >= quiet.get(one.key, 0.0), one.key
            perhaps(0.3)
            outcomes = await super().deliver(batch, progress)
            for one, outcome in zip(batch, outcomes, strict=True):
                if outcome.verdict is Verdict.UNKNOWN:
                    quiet[one.key] = passed(house) + QUIET.total_seconds()
            return outcomes

    house = engine(tmp_path, shelf=Watched())
    shelf(house).faults = ["ok", "lost", "defer", "down", "lost_after", "down", "lost", "lost", "defer", "lost"]
    for tick in range(90):
        if tick % 9 == 0 and tick < 60:
            for key in "abcd":
                want(house, key, {"v": tick}, subject="one" if key in "ab" else None)
        perhaps(0.15)
        deliver(house)
        later(house, seconds=20)
    for _ in range(40):
        later(house, days=1)
        deliver(house)
    assert quiet and shelf(house).held == {key: {"v": 54} for key in "abcd"}


# ---------------------------------------------------------------- locks, pace, pauses


@every_jump
@pytest.mark.parametrize("what", ["run", "lane"])
def test_a_lock_does_not_end_early(tmp_path: Path, by: timedelta, what: str) -> None:
    house = engine(tmp_path)
    other = another(house)

    async def hold(it: Engine) -> None:
        with runs.locked(it):
            async with delivering.Progress(it).lane("create"):
                pass

    def take(it: Engine) -> bool:
        try:
            if what == "lane":
                asyncio.run(hold(it))
            else:
                with runs.locked(it):
                    pass
        except (RunLocked, LaneBusy):
            return False
        return True

    assert runs._renew(house)
    if what == "lane":
        until = stamp(house.clock.now() + delivering.LANE)
        house.store.write(lambda unit: unit.take_lane("create", house.holder, house.now(), until))
        house.store.write(lambda unit: unit.leave_lane("run", house.holder))
    for it in (house, other):
        later(it, seconds=30)
        jump(it, by)
    assert not take(other)
    for it in (house, other):
        later(it, seconds=QUIET.total_seconds() - 1 if what == "lane" else runs.LOCK.total_seconds() - 31)
    assert not take(other)
    for it in (house, other):
        later(it, minutes=5, seconds=max(0.0, -by.total_seconds()))
    assert take(other)


def test_reading_back_keeps_its_pace(tmp_path: Path) -> None:
    for n, by in enumerate((HOUR, -DAY)):
        (tmp_path / str(n)).mkdir()
        house = engine(tmp_path / str(n))
        begun = passed(house)

        async def read(house: Engine = house, by: timedelta = by) -> None:
            pace = Pace(house)
            for n in range(500):
                await pace.step()
                if n == 250:
                    jump(house, by)

        asyncio.run(read())
        assert passed(house) - begun == pytest.approx(500 / PER_SECOND, abs=0.2)


@two_jumps
def test_a_pause_ends_at_the_hour_that_a_person_named(tmp_path: Path, by: timedelta) -> None:
    """It is no wait: who says "until six" means the clock on the wall."""
    house = engine(tmp_path)
    want(house, "a", {"v": 1})
    until = house.clock.now() + timedelta(hours=30)
    Actions(house).pause("shelf", "works", until, "somebody")
    jump(house, by)
    deliver(house)
    assert shelf(house).requests == 0
    clock(house).at = until
    deliver(house)
    assert shelf(house).requests == 1


# ---------------------------------------------------------------- a machine that starts again


@pytest.mark.parametrize("off", [timedelta(hours=10), timedelta(days=-20000), -HOUR, DAY])
def test_after_a_power_cut_quiet_times_begin_anew(tmp_path: Path, off: timedelta) -> None:
    """A machine without a battery for its clock comes back in 1972, and learns the hour some minutes later."""
    house = engine(tmp_path)
    shelf(house).faults = ["lost"]
    want(house, "a", {"v": 1})
    deliver(house)
    want(house, "a", {"v": 2})
    clock(house).machine = "machine, started again"
    jump(house, off)
    deliver(house)
    later(house, seconds=QUIET.total_seconds() - 1)
    deliver(house)
    assert shelf(house).requests == 1
    jump(house, -off)
    deliver(house)
    later(house, seconds=QUIET.total_seconds() - 1)
    deliver(house)
    assert shelf(house).requests == 1 or off > timedelta(0), "right only now: nobody knows how long it was off"
    in_the_end(house, -abs(off) if abs(off) < 2 * DAY else timedelta(0))
    assert shelf(house).held["a"] == {"v": 2}


def test_after_a_power_cut_the_machines_own_old_lock_is_in_nobodys_way(tmp_path: Path) -> None:
    house = engine(tmp_path)
    assert runs._renew(house)
    later(house, minutes=2)
    with runs.locked(another(house, machine="machine, started again")):
        pass


def test_of_many_machines_the_last_are_remembered(tmp_path: Path) -> None:
    house = engine(tmp_path)
    for n in range(12):
        clock(house).machine = f"start {n}"
        deliver(house)
    kept = house.store.read(lambda unit: unit.fact(timekeeping.FACT))
    assert kept is not None and [n for n in range(12) if f'"start {n}"' in kept] == list(range(4, 12))


# ---------------------------------------------------------------- it can be seen


@every_jump
def test_that_the_clock_was_set_can_be_seen(tmp_path: Path, by: timedelta) -> None:
    house = engine(tmp_path)
    deliver(house)
    later(house, minutes=10)
    jump(house, timedelta(seconds=1.5))  # a leap second, and the time between two looks
    deliver(house)
    assert not trail(house, "clock.jumped")
    later(house, minutes=10)
    jump(house, by)
    deliver(house)
    (seen,) = trail(house, "clock.jumped")
    assert abs(orjson.loads(seen)["seconds"] - by.total_seconds()) <= 2


def test_the_trail_is_sealed_and_found_whole_whatever_the_clock_says(tmp_path: Path) -> None:
    house = engine(tmp_path)
    house.heads = str(tmp_path / "heads")
    cipher: Any = house.store.cipher
    for n in range(4):
        want(house, "a", {"v": n})
        deliver(house)
        jump(house, DAY if n % 2 else -2 * DAY)
        runs.seal(house)
    found = house.store.read(lambda u: audit.verify(u, tmp_path / "heads", cipher.public_key))
    assert found["ok"] and found["vouched"] == found["entries"] > 4


# ---------------------------------------------------------------- schedules

#: Nights in which the clock on the wall is moved: zone, the last day before.
NIGHTS = [
    ("Europe/Paris", date(2026, 3, 28)), ("Europe/Paris", date(2026, 10, 24)),
    ("Africa/Cairo", date(2026, 4, 23)), ("Africa/Cairo", date(2026, 10, 29)),  # at midnight
    ("Africa/Casablanca", date(2026, 2, 14)), ("Africa/Casablanca", date(2026, 3, 21)),  # for Ramadan
    ("Africa/Bamako", date(2028, 2, 28)), ("Africa/Nairobi", date(2026, 12, 31)),
]  # fmt: skip


def fires_of(text: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    when, found, now = trigger(text, zone), [], begin
    last = None
    while (last := when.get_next_fire_time(last, now)) is not None and last < end:
        found.append(last.astimezone(UTC))
        now = last
    return found


@pytest.mark.parametrize(("zone", "day"), NIGHTS)
@pytest.mark.parametrize(
    "text", ["0 0 * * *", "30 0 * * *", "45 1 * * *", "0 2 * * *", "30 2 * * *", "0 3 * * *", "30 23 * * *"]
)
def test_what_is_due_once_a_day_is_due_once_in_those_nights_too(zone: str, day: date, text: str) -> None:
    here = ZoneInfo(zone)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=here) - timedelta(days=2)
    begin, end = noon.astimezone(UTC), (noon + timedelta(days=5)).astimezone(UTC)
    found = fires_of(text, zone, begin, end)
    assert len(found) == 5
    assert all(timedelta(hours=23) <= b - a <= timedelta(hours=25) for a, b in pairwise(found))


@pytest.mark.parametrize(("zone", "day"), NIGHTS)
@pytest.mark.parametrize(("text", "minutes"), [("every 15m", 15), ("0 * * * *", 60), ("*/20 * * * *", 20)])
def test_what_is_due_every_hour_goes_on_through_those_nights(zone: str, day: date, text: str, minutes: int) -> None:
    begin = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = fires_of(text, zone, begin, begin + timedelta(days=1))
    assert len(found) == 24 * 60 // minutes
    assert {b - a for a, b in pairwise(found)} == {timedelta(minutes=minutes)}


class Alarm:
    """A process with its alarm clock: it wakes as APScheduler does, and compares its alarms every minute."""

    def __init__(self, house: Engine, text: str) -> None:
        self.house, self.text = house, text
        self.when = trigger(text, house.pack.zone)
        self.next = self.when.get_next_fire_time(None, house.clock.now())
        self.fired: list[float] = []  #: seconds that really passed

    def look(self) -> None:
        now = self.house.clock.now()
        if self.next <= now:
            due = stamp(due_time(self.text, now))
            if self.house.store.write(lambda unit: claim(self.house, unit, "job", due)):
                self.fired.append(passed(self.house))
        self.next = self.when.get_next_fire_time(None, now + timedelta(microseconds=1))


def alarms(
    folder: Path, text: str, hours: float, jump_at: float, by: timedelta, *more: timedelta, step: int = 1
) -> list[float]:
    """Gaps in minutes between the fires of one schedule over some hours, in which the clock is set once. ``more``:
    other processes, on machines whose clocks are so far ahead. Everybody looks every ``step`` minutes."""
    house = engine(folder, empty_pack(zone="Europe/Paris"))
    others = [another(house, machine=f"m{n}", ahead=ahead) for n, ahead in enumerate(more)]
    processes = [Alarm(one, text) for one in (house, *others)]
    for minute in range(0, int(hours * 60), step):
        if minute == int(jump_at * 60):
            for process in processes:
                jump(process.house, by)
        for process in processes:
            process.look()
            later(process.house, minutes=step)
    return [(b - a) / 60 for a, b in pairwise(sorted(at for process in processes for at in process.fired))]


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_a_schedule_goes_on_when_the_clock_is_set(tmp_path: Path, by: timedelta) -> None:
    gaps = alarms(tmp_path, "every 15m", 5, 2.1, by)
    assert len(gaps) >= 17 and max(gaps) <= 30 and sum(gap < 15 for gap in gaps) <= 2


@pytest.mark.parametrize(("by", "hour"), [(-HOUR, 18.5), (-HOUR, 20.0), (HOUR, 18.5)])
def test_a_nightly_job_is_not_doubled_when_the_clock_is_set(tmp_path: Path, by: timedelta, hour: float) -> None:
    """It is due at 02:30, which is 19.5 hours after the beginning: just before it, and just after."""
    gaps = alarms(tmp_path, "30 2 * * *", 72, hour, by, step=10)
    assert min(gaps) >= 22 * 60 and max(gaps) <= 24 * 60 + max(0, -by.total_seconds() / 60)
    assert len(gaps) >= 2


@pytest.mark.parametrize("by", [HOUR, -DAY])
@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(seconds=40)])
def test_two_processes_do_not_double_a_fire(tmp_path: Path, by: timedelta, ahead: timedelta) -> None:
    gaps = alarms(tmp_path, "every 15m", 5, 2.1, by, ahead)
    assert max(gaps) <= 30
    assert sum(gap < 14 for gap in gaps) <= 2, "but where the clock was set, each fire once, whoever it is that wakes"


def test_a_machine_a_little_ahead_does_not_double_a_fire(tmp_path: Path) -> None:
    house = engine(tmp_path)
    other = another(house, machine="elsewhere", ahead=timedelta(minutes=3))
    claims = []
    for _ in range(7):
        for it in (other, house):
            due = stamp(due_time("every 1m", it.clock.now()))
            claims.append(it.store.write(lambda unit, it=it, due=due: claim(it, unit, "job", due)))
        for it in (other, house):
            later(it, minutes=1)
    assert claims == [True] * 6 + [True, False] * 4  # the first three minutes of the one behind are nobody else's


def test_alarms_are_set_anew_when_the_clock_was_set_back(tmp_path: Path) -> None:
    pack = empty_pack(
        sources={"app": SourceConfig("app", "cht", {}, "every 15m")},
        targets={"shelf": TargetConfig("shelf", "shelf", {}, "30 2 * * *", "2026-01-01")},
    )
    house = engine(tmp_path, pack)
    house.clock.at = datetime.now(UTC)  # type: ignore[attr-defined]

    async def inside() -> None:
        schedule = Schedule(house)
        schedule.start()
        try:
            away = {job.id: job.next_run_time for job in schedule.scheduler.get_jobs()}
            for job in schedule.scheduler.get_jobs():  # as they stand when the clock was set back by a day
                job.modify(next_run_time=job.next_run_time + DAY)
            schedule.set_alarms()
            for job in schedule.scheduler.get_jobs():
                limit = {"seal": 5, "pull/app": 900}.get(job.id, 86400)
                assert (job.next_run_time - house.clock.now()).total_seconds() <= limit, job.id
            schedule.set_alarms()  # what is due already stays so
            assert set(away) == {job.id for job in schedule.scheduler.get_jobs()}
            assert schedule.watching is not None and not schedule.watching.done()
        finally:
            schedule.stop()

    asyncio.run(inside())


# ---------------------------------------------------------------- periods

#: The hours that the zones' laws say, written by hand: from this instant on, so many hours ahead of UTC.
OFFSETS: dict[str, list[tuple[str, int]]] = {
    "Europe/Paris": [("2026-01-01T00:00", 1), ("2026-03-29T01:00", 2), ("2026-10-25T01:00", 1)],
    "Africa/Cairo": [("2026-01-01T00:00", 2), ("2026-04-23T22:00", 3), ("2026-10-29T21:00", 2)],
    "Africa/Casablanca": [("2026-01-01T00:00", 1), ("2026-02-15T02:00", 0), ("2026-03-22T02:00", 1)],
    "Africa/Bamako": [("2026-01-01T00:00", 0)],
}


def day_by_law(zone: str, instant: datetime) -> date:
    ahead = [hours for since, hours in OFFSETS[zone] if datetime.fromisoformat(since).replace(tzinfo=UTC) <= instant]
    return (instant + timedelta(hours=ahead[-1])).date()


@pytest.mark.parametrize("zone", OFFSETS)
def test_the_day_of_service_is_the_law_of_the_zone_through_those_nights(make_road: Make, zone: str) -> None:
    mapper = Mapper(replace(shipped()[0], zone=zone))
    turns = [datetime.fromisoformat(since).replace(tzinfo=UTC) for since, _ in OFFSETS[zone]]
    turns.append(datetime(2027, 1, 1, tzinfo=UTC))
    feed: Any = __import__("connector.model", fromlist=["Record"]).Record
    for turn in turns:
        for minutes in range(-30 * 60, 30 * 60, 47):
            at = turn + timedelta(minutes=minutes)
            if at < turns[0]:
                continue
            doc = visit("v")
            del doc["fields"]["visit_date"]
            doc["reported_date"] = int(at.timestamp() * 1000)
            mapped = mapper.apply(feed("cht", "reports", "v", "1", "assessment", doc, False))
            assert mapped.activity is not None and mapped.activity.date == day_by_law(zone, at), at


def test_leap_day_and_the_turn_of_the_year_are_counted_where_they_belong(make_road: Make) -> None:
    days = {"2027-12-31": "202712", "2028-01-01": "202801", "2028-02-29": "202802", "2028-03-01": "202803"}
    docs = [doc for doc in a_few() if not doc["_id"].startswith("visit")]
    road = make_road([*docs, *(visit(f"v-{day}", day) for day in days)])
    road.clock.at = datetime(2028, 3, 2, 9, 0, tzinfo=UTC)
    road.run(targets=[])
    counted = {
        r["record"].rpartition("/v-")[2]: r["period"]
        for r in road.rows("SELECT DISTINCT record, period FROM contribution WHERE indicator='A04'")
    }
    assert counted == days


def iso_week(day: date) -> str:
    """By the rule itself: the week belongs to the year that its Thursday lies in, and is numbered by it."""
    thursday = day + timedelta(days=3 - day.weekday())
    return f"{thursday.year}W{(thursday - date(thursday.year, 1, 1)).days // 7 + 1}"


def test_weeks_of_a_data_set_are_iso_weeks_at_the_turn_of_every_year(make_road: Make) -> None:
    def weekly(pack: Any) -> Any:
        return replace(pack, data_sets={k: replace(d, period_type="Weekly") for k, d in pack.data_sets.items()})

    pack = weekly(shipped()[0])
    counter: Callable[..., Any] = __import__("connector.mappings.indicators", fromlist=["Counter"]).Counter(pack)
    mapper = Mapper(pack)
    record: Any = __import__("connector.model", fromlist=["Record"]).Record
    seen = set()
    for year in range(2020, 2050):
        for n in range(-5, 6):
            day = date(year, 1, 1) + timedelta(days=n)
            doc = visit("v", day.isoformat())
            activity = mapper.apply(record("cht", "reports", "v", "1", "assessment", doc, False)).activity
            found = counter.contributions(activity, dict(activity.facts), lambda level: "unit")
            assert {c.period for c in found} == {iso_week(day)}, day
            seen |= {c.period for c in found}
    assert {p for p in seen if p.endswith("W53")} == {f"{y}W53" for y in (2020, 2026, 2032, 2037, 2043, 2048)}
