"""The clock may lie: it is set forward and back by an hour and a day at every awkward moment, two machines have two
clocks, a machine comes back from a power cut in another year, and twice a year an hour is missing or comes twice.

What must hold: nothing is sent before its quiet time is over, nothing waits for longer than it would have, nothing is
on its way twice, no fire doubled, no period wrong; and that the clock was set can be seen. Time that really passes is
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

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from connector.engine import audit, intake, runs, tally, timekeeping
from connector.engine import delivery as delivering
from connector.engine.actions import Actions
from connector.engine.engine import Engine, moment, stamp
from connector.engine.mapping import Mapping
from connector.engine.reconcile import PER_SECOND, Pace
from connector.engine.schedule import Schedule, claim, due_time, trigger
from connector.errors import LaneBusy, RunLocked, SourceUnavailable
from connector.mappings.forms import Mapper
from connector.mappings.pack import SourceConfig, TargetConfig
from connector.model import Capabilities, Cursor, Outcome, Verdict
from connector.retry import TargetHealth
from tests.engine.bench_house import Feed, HandClock, Shelf, empty_pack, engine
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
    later(house, seconds=2)
    deliver(house)
    assert shelf(house).held["a"] == {"v": 2} and row(house, "a")["state"] == "accepted"


@two_jumps
@pytest.mark.parametrize("first", ["the person", "the delivery"])
def test_a_persons_retry_keeps_the_quiet_time(tmp_path: Path, by: timedelta, first: str) -> None:
    house = engine(tmp_path)
    shelf(house).faults = ["lost"]
    want(house, "a", {"v": 1})
    deliver(house)
    one = row(house, "a")["id"]
    later(house, seconds=10)
    Actions(house).park([one], "wait", "somebody")
    jump(house, by)
    if first == "the delivery":
        deliver(house)
    Actions(house).retry([one], "somebody")
    deliver(house)
    later(house, seconds=QUIET.total_seconds() - 12)
    deliver(house)
    assert shelf(house).requests == 1
    later(house, seconds=13)  # parking began it anew
    deliver(house)
    assert shelf(house).held == {"a": {"v": 1}}


@two_jumps
def test_a_killed_workers_lease_ends_when_it_would_have(tmp_path: Path, by: timedelta) -> None:
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
    later(house, minutes=0.2)
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


@two_jumps
@pytest.mark.parametrize("answer", ["lost_after", "defer", "down", "ok"])
def test_the_clock_is_set_between_a_request_and_its_answer(tmp_path: Path, by: timedelta, answer: str) -> None:
    waits = {"lost_after": QUIET, "defer": timedelta(seconds=30), "down": timedelta(seconds=45), "ok": timedelta(0)}
    within = JumpsWithin()
    within.by = by
    within.house = house = engine(tmp_path, shelf=within)
    within.faults = [answer]
    want(house, "a", {"v": 1})
    deliver(house)
    (attempt,) = house.store.read(lambda unit: unit.attempts(row(house, "a")["id"]))
    assert attempt["verdict"] == {"lost_after": "unknown", "ok": "accepted"}.get(answer, "deferred")
    if answer == "lost_after":
        later(house, seconds=QUIET.total_seconds() - 1)
        deliver(house)
        assert row(house, "a")["state"] == "unknown"
    later(house, seconds=waits[answer].total_seconds() + 1)
    deliver(house)
    assert row(house, "a")["state"] == "accepted" and shelf(house).held == {"a": {"v": 1}}


def sends(house: Engine, hours: float) -> list[float]:
    """When requests leave in the time to come, in seconds that really pass; somebody looks every half minute."""
    begun, before, found = passed(house), shelf(house).requests, []
    for _ in range(int(hours * 120)):
        deliver(house)
        found += [passed(house) - begun] * (shelf(house).requests - before)
        before = shelf(house).requests
        later(house, seconds=30)
    return found


@pytest.mark.parametrize("by", [HOUR, -DAY])
def test_an_open_breaker_lets_its_probes_through_as_it_would_have(tmp_path: Path, by: timedelta) -> None:
    seen = []
    for n, span in enumerate((timedelta(0), by)):
        folder = tmp_path / str(n)
        folder.mkdir()
        house = engine(folder)
        shelf(house).faults = ["down"] * 1000
        for key in "abc":
            want(house, key, {"v": 1})
        begun = sends(house, 0.2)
        jump(house, span)
        seen.append((begun, sends(house, 0.3)))
    assert seen[1] == seen[0] and seen[0][1]


@two_jumps
def test_retry_after_is_obeyed_and_no_longer_than_asked(tmp_path: Path, by: timedelta) -> None:
    class Asks(Shelf):
        async def deliver(self, batch: Sequence[Any], progress: Any) -> Any:
            self.requests += 1
            if self.faults:
                of_target = self.faults.pop() == "target"
                wish = timedelta(minutes=20)
                return [Outcome(Verdict.DEFERRED, "shelf.busy", retry_after=wish, of_target=of_target)] * len(batch)
            return await super().deliver(batch, progress)

    for n, whose in enumerate(("target", "delivery")):
        folder = tmp_path / str(n)
        folder.mkdir()
        house = engine(folder, shelf=Asks())
        shelf(house).faults = [whose]
        want(house, "a", {"v": 1})
        deliver(house)
        later(house, minutes=5)
        jump(house, by)
        deliver(house)
        later(house, minutes=14.9)
        deliver(house)
        assert shelf(house).requests == 1
        later(house, minutes=0.2)
        deliver(house)
        assert row(house, "a")["state"] == "accepted"


@two_jumps
def test_a_delivery_that_waits_for_its_turn_waits_no_longer(tmp_path: Path, by: timedelta) -> None:
    house = engine(tmp_path)
    shelf(house).faults = ["down"]
    want(house, "first", {"v": 1})
    deliver(house)
    for n in range(3):
        want(house, f"a{n}", {"v": n}, subject="one")
    jump(house, by)
    want(house, "a3", {"v": 3}, subject="one")  # before anybody has read the clock
    later(house, minutes=2)
    deliver(house)
    later(house, seconds=2)
    deliver(house)
    assert set(shelf(house).held) == {"first", "a0", "a1", "a2", "a3"}


@pytest.mark.parametrize(("by", "days", "parked"), [(DAY, 29.5, False), (-DAY, 29.5, False), (DAY, 30.1, True),
                                                    (-DAY, 30.1, True), (HOUR, 29.99, False)])  # fmt: skip
def test_nothing_is_parked_for_an_age_it_does_not_have(
    tmp_path: Path, by: timedelta, days: float, parked: bool
) -> None:
    house = engine(tmp_path)
    shelf(house).faults = ["defer", "defer"]
    want(house, "a", {"v": 1})
    deliver(house)
    jump(house, by)
    later(house, days=days)
    deliver(house)
    assert (row(house, "a")["state"] == "parked") is parked
    if parked:
        assert row(house, "a")["reason"] == "delivery.too_old"


def play(folder: Path, seed: int | None) -> list[tuple[float, str, int]]:
    """Half an hour of every kind of answer: (seconds that really passed, key, value) of each request. With a seed the
    clock is set again and again, also between a request and its answer."""
    rng = random.Random(seed)
    sent: list[tuple[float, str, int]] = []

    def perhaps(chance: float) -> None:
        if seed is not None and rng.random() < chance:
            jump(house, rng.choice((HOUR, -HOUR, DAY, -DAY, timedelta(minutes=-3))))

    class Watched(Shelf):
        capabilities = Capabilities(max_batch=4, settles_within=QUIET)

        async def deliver(self, batch: Sequence[Any], progress: Any) -> Any:
            sent.extend((passed(house) - begun, one.key, one.payload["v"]) for one in batch)
            perhaps(0.3)
            return await super().deliver(batch, progress)

    folder.mkdir()
    house = engine(folder, shelf=Watched())
    begun = passed(house)
    shelf(house).faults = ["ok", "lost", "defer", "down", "lost_after", "down", "down", "lost", "defer", "lost", "defer"]
    for tick in range(120):
        if tick % 9 == 0 and tick < 60:
            for key in "abcd":
                want(house, key, {"v": tick}, subject="one" if key in "ab" else None)
        perhaps(0.15)
        deliver(house)
        later(house, seconds=20)
    assert {r["state"] for r in house.store.read(lambda u: u._rows("SELECT state FROM delivery"))} == {"accepted"}
    assert shelf(house).held == {key: {"v": 54} for key in "abcd"}
    return sent


def test_whatever_becomes_of_the_clock_everything_is_sent_when_it_would_have_been(tmp_path: Path) -> None:
    right = play(tmp_path / "right", None)
    assert len(right) > 20
    for seed in range(2):
        assert play(tmp_path / str(seed), seed) == right, f"seed {seed}"


# ---------------------------------------------------------------- locks, lanes, sources, runs


@two_jumps
@pytest.mark.parametrize("what", ["run", "lane"])
def test_a_lock_of_a_killed_process_holds_as_long_as_it_would_have(tmp_path: Path, by: timedelta, what: str) -> None:
    house = engine(tmp_path)
    other = another(house)

    async def hold(it: Engine) -> None:
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

    span = delivering.LANE if what == "lane" else runs.LOCK
    until = stamp(house.clock.now() + span)
    house.store.write(lambda u: (timekeeping.check(house, u), u.take_lane(
        "create" if what == "lane" else "run", house.holder, house.now(), until)))  # fmt: skip
    both_later(house, other, seconds=30)
    for it in (house, other):
        jump(it, by)
    assert not take(other)
    both_later(house, other, seconds=span.total_seconds() - 31)
    assert not take(other)
    both_later(house, other, seconds=2)
    assert take(other)


@two_jumps
def test_a_source_that_failed_is_asked_again_when_it_would_have_been(tmp_path: Path, by: timedelta) -> None:
    house = engine(tmp_path)

    class Silent(Feed):
        asked = 0

        async def pages(self, since: Cursor | None) -> Any:
            self.asked += 1
            raise SourceUnavailable("out of reach")
            yield

    house.sources = {"app": Silent()}
    asyncio.run(intake.pull(house, "app"))
    later(house, seconds=20)
    jump(house, by)
    for seconds, asked in ((0, 1), (39, 1), (2, 2)):
        later(house, seconds=seconds)
        asyncio.run(intake.pull(house, "app"))
        assert house.sources["app"].asked == asked  # type: ignore[attr-defined]


@two_jumps
def test_reading_back_keeps_its_pace(tmp_path: Path, by: timedelta) -> None:
    house = engine(tmp_path)
    begun = passed(house)

    async def read() -> None:
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


# ---------------------------------------------------------------- two machines, and one that starts again


@pytest.mark.parametrize("ahead", [timedelta(minutes=3), *JUMPS])
def test_two_machines_need_not_agree(tmp_path: Path, ahead: timedelta) -> None:
    """They take turns while a key is quiet: nobody sends too soon, and their turns do not begin it anew."""
    house = engine(tmp_path)
    other = another(house, machine="elsewhere", ahead=ahead)
    deliver(other)  # it was seen before
    want(house, "a", {"v": 1})
    shelf(house).faults = ["lost"]
    deliver(house)
    want(house, "a", {"v": 2})
    for n in range(11):
        both_later(house, other, seconds=5)
        deliver(other if n % 2 else house)
    assert shelf(house).requests == 1
    both_later(house, other, seconds=5)
    deliver(other)
    assert shelf(house).held == {"a": {"v": 2}}


@pytest.mark.parametrize("ahead", JUMPS)
def test_a_machine_never_seen_before_takes_no_lock_of_a_living_one(tmp_path: Path, ahead: timedelta) -> None:
    house = engine(tmp_path)
    with runs.locked(house):
        other = another(house, machine="elsewhere", ahead=ahead)
        with pytest.raises(RunLocked), runs.locked(other):
            pytest.fail("two at once")
        both_later(house, other, seconds=60)
        assert runs._renew(house)
        both_later(house, other, seconds=60)
        with pytest.raises(RunLocked), runs.locked(other):
            pytest.fail("two at once")
    with runs.locked(other):
        pass


@pytest.mark.parametrize("off", [timedelta(hours=10), timedelta(days=-20000), -HOUR, DAY])
def test_after_a_power_cut_quiet_times_go_on_and_nothing_waits_for_the_old_clock(
    tmp_path: Path, off: timedelta
) -> None:
    """A machine without a battery for its clock comes back in 1972, and learns the hour some minutes later."""
    house = engine(tmp_path)
    shelf(house).faults = ["lost", "defer"]
    want(house, "quiet", {"v": 1})
    want(house, "later", {"v": 1})
    deliver(house)
    want(house, "waiting", {"v": 1})
    want(house, "quiet", {"v": 2})
    clock(house).machine = "machine, started again"
    jump(house, off)
    requests = shelf(house).requests
    deliver(house)
    assert "quiet" not in shelf(house).held and shelf(house).held["waiting"] == {"v": 1}
    assert row(house, "later")["due_at"] <= stamp(house.clock.now() + timedelta(seconds=30))
    later(house, seconds=59)
    deliver(house)
    assert shelf(house).held == {"waiting": {"v": 1}, "later": {"v": 1}} and shelf(house).requests == requests + 2
    jump(house, -off)
    later(house, seconds=2)
    deliver(house)
    assert shelf(house).held["quiet"] == {"v": 2}


def test_of_many_machines_the_last_are_remembered(tmp_path: Path) -> None:
    house = engine(tmp_path)
    for n in range(20):
        clock(house).machine = f"start {n}"
        deliver(house)
        later(house, days=1)
    kept = house.store.read(lambda unit: unit.fact(timekeeping.FACT))
    assert kept is not None and len(kept) < 2500 and "start 19" in kept and "start 3" not in kept


# ---------------------------------------------------------------- it can be seen, and put right


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
    assert trail(house, "clock.jumped") == [f'{{"moved":0,"seconds":{by.total_seconds():.0f}}}']


@two_jumps
def test_the_trail_is_sealed_and_found_whole_whatever_the_clock_says(tmp_path: Path, by: timedelta) -> None:
    house = engine(tmp_path)
    house.heads = str(tmp_path / "heads")
    cipher: Any = house.store.cipher
    for n in range(4):
        want(house, "a", {"v": n})
        deliver(house)
        jump(house, by if n % 2 else -2 * by)
        deliver(house)
        runs.seal(house)
        jump(house, by)
    found = house.store.read(lambda u: audit.verify(u, tmp_path / "heads", cipher.public_key))
    assert found["ok"] and found["vouched"] == found["entries"] > 8
    assert cipher.public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def test_what_a_clock_that_was_behind_took_for_the_future_is_mapped_once_it_is_right(make_road: Make) -> None:
    road = make_road()
    road.clock.at = datetime(2026, 10, 8, 9, 0, tzinfo=UTC)
    road.settle()
    road.clock.jump(days=-1)
    road.cht.put(visit("today", "2026-10-08"))
    road.cht.put(visit("never", "2027-10-08"))  # a slip of the pen
    road.settle()
    assert road.quarantined() == {"today": "date.future", "never": "date.future"}
    road.clock.jump(days=1)
    road.settle()
    assert road.quarantined() == {"never": "date.future"}
    assert road.rows("SELECT DISTINCT period FROM contribution WHERE record LIKE '%/today'") == [{"period": "202610"}]


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
    """Gaps in minutes between the fires of one schedule over some hours, in which the clock is set once. ``more``: other
    processes, on machines whose clocks are so far ahead. Everybody looks every ``step`` minutes."""
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


@two_jumps
def test_a_schedule_goes_on_when_the_clock_is_set(tmp_path: Path, by: timedelta) -> None:
    gaps = alarms(tmp_path, "every 15m", 5, 2.1, by)
    assert len(gaps) >= 17 and max(gaps) <= 30 and sum(gap < 15 for gap in gaps) <= 2


@pytest.mark.parametrize(("by", "hour"), [(-HOUR, 18.5), (-HOUR, 20.5), (HOUR, 18.5)])
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
def test_the_day_of_service_is_the_law_of_the_zone_through_those_nights(zone: str) -> None:
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
