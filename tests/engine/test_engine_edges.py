"""The jobs around delivery: alarm clock, run lock, what a person may do, reading back, plan, status, lineage."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector.engine import delivery as delivering
from connector.engine import intake, lineage, runs
from connector.engine import plan as planning
from connector.engine import reconcile as reconciling
from connector.engine import status as standing
from connector.engine.actions import Actions
from connector.engine.engine import Engine, moment, stamp
from connector.engine.places import OrgUnits
from connector.engine.schedule import Schedule, due_time, trigger
from connector.errors import MappingError, RunLocked, SourceUnavailable, TargetUnreadable
from connector.identity import digest
from connector.mappings.pack import OrgUnitRow, SourceConfig, TargetConfig
from connector.model import Cursor, Delivery, Outcome, Page
from connector.retry import TargetHealth
from tests.engine.bench_house import Feed, Shelf, empty_pack, engine, record
from tests.engine.house import MODIBO, UNIT, WORKERS, Make, Road, a_few, person, place, report, target, visit


def want(house: Engine, key: str, value: Any, *, kind: str = "answer", mark: str | None = None) -> None:
    now = house.now()
    house.store.write(
        lambda unit: unit.want(
            [{
                "target": "shelf", "key": key, "kind": kind, "digest": digest(value) if mark is None else mark,
                "payload_enc": unit.seal("delivery", value), "state": "pending", "due_at": now, "now": now,
            }]
        )
    )  # fmt: skip


def row(house: Engine, key: str) -> dict[str, Any]:
    found: dict[str, Any] = house.store.read(lambda unit: unit.delivery("shelf", key))
    return found


def rows(house: Engine, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.store.read(lambda unit: unit._rows(sql, **parameters))
    return found


def deliver(house: Engine) -> dict[str, int]:
    return asyncio.run(delivering.deliver(house, "shelf"))


def shelf(house: Engine) -> Shelf:
    found = house.targets["shelf"]
    assert isinstance(found, Shelf)
    return found


def later(house: Engine, **span: float) -> None:
    house.clock.at += timedelta(**span)  # type: ignore[attr-defined]


def run(house: Engine, **more: Any) -> dict[str, Any]:
    """One run; a run of its own name, as each process has one."""
    house.run = f"run-{len(rows(house, 'SELECT id FROM run'))}"
    summary: dict[str, Any] = asyncio.run(runs.once(house, **more))
    return summary


def page(*keys: str) -> Page:
    return Page([record(key) for key in keys], Cursor(keys[-1] if keys else "0"))


# ---------------------------------------------------------------- the alarm clock


@pytest.mark.parametrize(
    ("text", "zone", "wanted"),
    [
        ("every 15m", "Africa/Bamako", "2026-11-22T06:15:00+00:00"),  # on the quarter hour, whenever it was started
        ("every 2h", "Africa/Nairobi", "2026-11-22T08:00:00+00:00"),
        ("30 2 * * *", "Africa/Bamako", "2026-11-23T02:30:00+00:00"),
        ("30 2 * * *", "Africa/Nairobi", "2026-11-22T23:30:00+00:00"),  # cron fields are in the zone of the pack
        ("0 6 * * mon", "Africa/Bamako", "2026-11-23T06:00:00+00:00"),  # 2026-11-23 is a Monday
    ],
)
def test_when_a_schedule_fires_next(text: str, zone: str, wanted: str) -> None:
    now = datetime(2026, 11, 22, 6, 7, tzinfo=UTC)
    assert trigger(text, zone).get_next_fire_time(None, now) == datetime.fromisoformat(wanted)


@pytest.mark.parametrize("text", ["every 15", "every", "every 5w", "every ", "1 2 3", "every day"])
def test_what_is_no_schedule_raises(text: str) -> None:
    with pytest.raises(ValueError):
        trigger(text, "UTC")


def test_processes_that_wake_at_the_same_fire_name_it_the_same() -> None:
    early, late = (datetime(2026, 11, 22, 6, 15, second, 7, tzinfo=UTC) for second in (0, 59))
    for text in ("every 15m", "15 6 * * *"):
        assert due_time(text, early) == due_time(text, late) == datetime(2026, 11, 22, 6, 15, tzinfo=UTC)
    assert due_time("every 15m", early + timedelta(minutes=14)) == datetime(2026, 11, 22, 6, 15, tzinfo=UTC)
    assert due_time("every 15m", early + timedelta(minutes=15)) == datetime(2026, 11, 22, 6, 30, tzinfo=UTC)


def scheduled(folder: Path, *, every: str = "every 30d", nightly: str = "") -> Engine:
    """A house on real time, for APScheduler knows no other; thirty days are longer than any test."""
    pack = empty_pack(
        sources={"app": SourceConfig("app", "cht", {}, every)},
        targets={"shelf": TargetConfig("shelf", "shelf", {}, every, "2026-01-01")},
        schedules={"reconcile": nightly} if nightly else {},
    )
    house = engine(folder, pack)
    house.clock.at = datetime.now(UTC)  # type: ignore[attr-defined]
    return house


def fires(house: Engine) -> dict[str, str | None]:
    """Job -> how its fire ended, None while it runs."""
    return {one["schedule"]: one["outcome"] for one in rows(house, "SELECT schedule, outcome FROM fire")}


def serve(house: Engine, done: Callable[[], bool]) -> dict[str, datetime]:
    """Start the alarm clock, wait until ``done``, stop. Returns when each job is due next."""

    async def inside() -> dict[str, datetime]:
        schedule = Schedule(house)
        schedule.start()
        try:
            for _ in range(1000):
                if done():
                    break
                await asyncio.sleep(0.01)
            return {job.id: job.next_run_time for job in schedule.scheduler.get_jobs()}
        finally:
            schedule.stop()

    return asyncio.run(inside())


async def fire(schedule: Schedule, job: str) -> None:
    await schedule.scheduler.get_job(job).func()


def test_a_start_makes_up_what_was_missed_once(tmp_path: Path) -> None:
    house = scheduled(tmp_path)
    house.sources["app"].queue.append(page("a", "b"))  # type: ignore[attr-defined]
    want(house, "one", {"n": 1})
    both = {"pull/app": "ok", "deliver/shelf": "ok", "expiring": "ok"}
    jobs = serve(house, lambda: fires(house) == both)
    assert fires(house) == both and {*both, "seal"} <= set(jobs)
    assert len(rows(house, "SELECT record FROM head")) == 2
    assert shelf(house).held == {"one": {"n": 1}} and row(house, "one")["state"] == "accepted"
    # A second process, or the same one again: this fire is done, the next is in the future.
    want(house, "two", {"n": 2})
    again = serve(house, lambda: True)
    assert all(when > house.clock.now() for when in again.values())
    assert row(house, "two")["state"] == "pending" and fires(house) == both


def test_a_nightly_job_slept_through_is_made_up(tmp_path: Path) -> None:
    """A machine that is off every night would never be reconciled otherwise."""
    house = scheduled(tmp_path, nightly="30 2 * * *")
    first = serve(house, lambda: "deliver/shelf" in fires(house))
    assert "reconcile/shelf" in first and "reconcile/shelf" not in fires(house), "a new house has missed nothing"
    before = stamp(house.clock.now() - timedelta(days=2))
    house.store.write(lambda unit: unit.fire("reconcile/shelf", before, before))
    want(house, "one", {"n": 1})
    deliver(house)
    shelf(house).held.clear()
    serve(house, lambda: len(rows(house, "SELECT due FROM fire WHERE outcome='ok' AND schedule LIKE 'rec%'")) == 1)
    assert row(house, "one")["state"] == "pending", "what is gone there is wanted again"


def test_one_fire_is_run_by_one_process(tmp_path: Path) -> None:
    house = scheduled(tmp_path)

    async def inside() -> None:
        schedule = Schedule(house)
        schedule.start()
        try:
            want(house, "one", {"n": 1})
            await fire(schedule, "deliver/shelf")
            want(house, "two", {"n": 2})
            await fire(schedule, "deliver/shelf")  # claimed already
        finally:
            schedule.stop()

    asyncio.run(inside())
    assert set(shelf(house).held) == {"one"}


def test_a_job_that_fails_is_noted_and_leaves_the_lock(tmp_path: Path) -> None:
    house = scheduled(tmp_path)

    class Broken(Feed):
        async def pages(self, since: Cursor | None) -> AsyncIterator[Page]:
            raise RuntimeError("not foreseen")
            yield  # pragma: no cover

    house.sources = {"app": Broken()}
    want(house, "one", {"n": 1})
    ended = {"pull/app": "RuntimeError", "deliver/shelf": "ok", "expiring": "ok"}
    serve(house, lambda: fires(house) == ended)
    assert fires(house) == ended and set(shelf(house).held) == {"one"}


def test_a_job_keeps_off_while_another_process_runs(tmp_path: Path) -> None:
    house = scheduled(tmp_path)
    until = stamp(house.clock.now() + timedelta(minutes=5))
    house.store.write(lambda unit: unit.take_lane("run", "elsewhere/1", house.now(), until))
    want(house, "one", {"n": 1})
    ended = dict.fromkeys(("pull/app", "deliver/shelf", "expiring"), RunLocked.code)
    serve(house, lambda: fires(house) == ended)
    assert fires(house) == ended and shelf(house).requests == 0


def test_sealing_goes_by_the_alarm_clock_too(tmp_path: Path) -> None:
    house = scheduled(tmp_path)
    Actions(house).read_audit("person.read", "somebody", "ana")
    asyncio.run(_seal(house))
    (entry,) = rows(house, "SELECT sequence, hash FROM audit WHERE event='person.read'")
    assert entry["sequence"] == 1 and entry["hash"]


async def _seal(house: Engine) -> None:
    await Schedule(house).seal()


def test_a_clinic_is_polled_and_its_answers_are_mapped(road: Road) -> None:
    road.settle()
    before = len(road.rows("SELECT record FROM head WHERE source='openmrs'"))

    async def inside() -> None:
        schedule = Schedule(road.engine)
        await schedule.poll()
        await schedule.pull("cht")

    road.go(inside)
    assert len(road.rows("SELECT record FROM head WHERE source='openmrs'")) >= before
    assert road.rows("SELECT record FROM head WHERE dirty") == []
    assert road.rows("SELECT * FROM touched") == []


# ---------------------------------------------------------------- the run lock


def test_a_run_keeps_off_while_another_one_lives_and_goes_when_its_lock_ends(tmp_path: Path) -> None:
    house = engine(tmp_path)
    want(house, "one", {"n": 1})
    until = stamp(house.clock.now() + runs.LOCK)
    house.store.write(lambda unit: unit.take_lane("run", "elsewhere/1", house.now(), until))
    with pytest.raises(RunLocked):
        run(house)
    assert shelf(house).requests == 0
    later(house, seconds=runs.LOCK.total_seconds() + 1)
    assert run(house)["outcome"] == "settled"


def test_a_living_process_of_this_machine_keeps_its_lock(tmp_path: Path) -> None:
    house = engine(tmp_path)
    until = stamp(house.clock.now() + runs.LOCK)
    house.store.write(lambda unit: unit.take_lane("run", f"test/{os.getppid()}", house.now(), until))
    with pytest.raises(RunLocked), runs.locked(house):
        pytest.fail("two at once")


def test_a_killed_process_of_this_machine_loses_its_lock_and_its_requests_become_uncertain(tmp_path: Path) -> None:
    house = engine(tmp_path)
    want(house, "one", {"n": 1})
    want(house, "two", {"n": 2})
    ours, house.holder = house.holder, "test/99999999"
    until = stamp(house.clock.now() + runs.LOCK)
    house.store.write(lambda unit: unit.take_lane("run", house.holder, house.now(), until))
    house.store.write(lambda unit: delivering._claim(house, unit, "shelf", TargetHealth(breaker="half_open")))
    shelf(house).held["one"] = {"n": 1}  # its request had arrived
    house.holder = ours

    summary = run(house)
    assert row(house, "two")["state"] == "accepted"
    assert (row(house, "one")["state"], summary["outcome"]) == ("unknown", "waiting")
    quiet = shelf(house).capabilities.settles_within
    assert moment(row(house, "one")["due_at"]) >= house.clock.now() + quiet - timedelta(seconds=1)
    assert len(rows(house, "SELECT id FROM audit WHERE event='leases.taken_over'")) == 1

    later(house, seconds=quiet.total_seconds() + 1)
    requests = shelf(house).requests
    assert run(house)["outcome"] == "settled"
    assert row(house, "one")["state"] == "accepted" and shelf(house).requests == requests, "looked up, not sent again"


def test_the_lock_is_renewed_while_a_run_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = engine(tmp_path)
    house.heartbeat = True
    monkeypatch.setattr(runs, "BEAT", 0.01)
    with runs.locked(house):
        before = house.store.read(lambda unit: unit.lane("run"))["until"]
        later(house, seconds=60)
        for _ in range(500):
            if house.store.read(lambda unit: unit.lane("run"))["until"] > before:
                break
            asyncio.run(asyncio.sleep(0.01))
        assert house.store.read(lambda unit: unit.lane("run"))["until"] == stamp(house.clock.now() + runs.LOCK)
    with runs.locked(house):
        pass  # it was given back


@pytest.mark.parametrize(
    ("ours", "theirs", "dead"),
    [
        ("boot-1/10", "boot-1/99999999", True),
        ("boot-1/10", "boot-1/living", False),
        ("boot-1/10", "boot-1/living-now", False),
        ("boot-1/10", "boot-1/living-1", True),  # its number belongs to another process now
        ("boot-1/10", "boot-2/99999999", False),  # another machine, or before a reboot: its lock runs out by itself
        ("boot-1/10", "boot-1/other", False),
    ],
)
def test_who_is_known_to_be_dead(ours: str, theirs: str, dead: bool) -> None:
    tick = str(runs.began(os.getpid()))
    assert runs._dead(ours, theirs.replace("living", str(os.getpid())).replace("now", tick)) is dead


# ---------------------------------------------------------------- a run


def test_without_waiting_a_run_says_what_is_due_when(tmp_path: Path) -> None:
    house = engine(tmp_path)
    want(house, "one", {"n": 1})
    shelf(house).faults = ["down"]
    started = house.clock.now()
    summary = run(house)
    assert (summary["outcome"], runs.exit_code(summary), house.clock.now()) == ("waiting", 5, started)
    assert moment(summary["next_due"]) > started and summary["errors"] == {"shelf": "shelf.unreachable"}
    assert rows(house, "SELECT outcome FROM run") == [{"outcome": "waiting"}]


def test_with_waiting_it_sleeps_to_each_due_time(tmp_path: Path) -> None:
    house = engine(tmp_path)
    want(house, "one", {"n": 1})
    shelf(house).faults = ["down", "defer", "lost"]
    started = house.clock.now()
    summary = run(house, wait=timedelta(hours=1))
    assert (summary["outcome"], summary["errors"], runs.exit_code(summary)) == ("settled", {}, 0)
    assert shelf(house).held == {"one": {"n": 1}} and house.clock.now() > started + timedelta(seconds=60)


def test_it_does_not_sleep_past_its_time(tmp_path: Path) -> None:
    house = engine(tmp_path)
    want(house, "one", {"n": 1})
    shelf(house).faults = ["lost"]  # quiet for a minute
    started = house.clock.now()
    summary = run(house, wait=timedelta(seconds=30))
    assert (summary["outcome"], house.clock.now()) == ("waiting", started)


def test_a_source_that_failed_is_asked_again_when_it_is_due(tmp_path: Path) -> None:
    house = engine(tmp_path)

    class Moody(Feed):
        asked = 0

        async def pages(self, since: Cursor | None) -> AsyncIterator[Page]:
            self.asked += 1
            if self.asked < 3:
                raise SourceUnavailable
            async for one in super().pages(since):
                yield one

    feed = Moody()
    feed.queue.append(page("a"))
    house.sources = {"app": feed}
    started = house.clock.now()
    summary = run(house, wait=timedelta(hours=1))
    assert summary["errors"] == {} and summary["sources"]["app"]["new"] == 1
    assert house.clock.now() - started >= timedelta(seconds=60 + 120), "longer after each failure"


@pytest.mark.parametrize(
    ("outcome", "attention", "errors", "code"),
    [
        ("settled", {}, {}, 0),
        ("settled", {"parked": 0, "held_values": 1}, {}, 3),
        ("needs_a_person", {"parked": 1}, {}, 3),
        ("waiting", {"parked": 1}, {}, 5),
        ("settled", {}, {"cht": "source.unavailable"}, 5),
        ("waiting", {"parked": 1}, {"dhis2": "dhis2.credentials"}, 4),
    ],
)
def test_exit_codes_of_a_run(outcome: str, attention: dict[str, int], errors: dict[str, str], code: int) -> None:
    assert runs.exit_code({"outcome": outcome, "attention": attention, "errors": errors}) == code


# ---------------------------------------------------------------- what a person may do


def test_a_paused_source_is_not_read_and_a_paused_target_not_sent_to(tmp_path: Path) -> None:
    house = engine(tmp_path)
    actions = Actions(house)
    house.sources["app"].queue.append(page("a"))  # type: ignore[attr-defined]
    want(house, "one", {"n": 1})
    actions.pause("app", "moving house", None, "ana")
    actions.pause("shelf", "count first", house.clock.now() + timedelta(days=1), "ana")
    run(house)
    assert rows(house, "SELECT record FROM head") == [] and shelf(house).requests == 0
    shown = {one["name"]: one for one in standing.status(house, "0")["connections"]}
    assert {name: one["state"] for name, one in shown.items()} == {"app": "paused", "shelf": "paused"}
    assert shown["app"]["paused"]["reason"] == "moving house" and shown["app"]["paused"]["until"] is None
    assert shown["shelf"]["paused"]["until"] == stamp(house.clock.now() + timedelta(days=1))
    actions.resume("app", "ana")
    actions.resume("shelf", "ana")
    run(house)
    assert len(rows(house, "SELECT record FROM head")) == 1 and set(shelf(house).held) == {"one"}


def test_refused_credentials_wait_for_a_person_who_resumes(tmp_path: Path) -> None:
    house = engine(tmp_path)
    want(house, "one", {"n": 1})
    shelf(house).faults = ["credentials"]
    deliver(house)
    later(house, days=40)
    deliver(house)
    assert shelf(house).requests == 1
    document = standing.status(house, "0")
    assert standing.exit_code(document) in (3, 4) and document["state"] == "action_needed"
    Actions(house).resume("shelf", "ana")
    deliver(house)
    assert set(shelf(house).held) == {"one"}
    assert standing.status(house, "0")["connections"][1]["reason"] is None


def test_park_retry_and_resolve(tmp_path: Path) -> None:
    house = engine(tmp_path)
    actions = Actions(house)
    for key in ("one", "two", "sent"):
        want(house, key, {"key": key})
    one, two, sent = (row(house, key)["id"] for key in ("one", "two", "sent"))
    assert actions.park([one], "ask the clinic first", "ana") == 1
    deliver(house)
    assert set(shelf(house).held) == {"two", "sent"} and row(house, "one")["note"] == "ask the clinic first"
    assert actions.park([two, sent], "too late", "ana") == 0, "what was accepted is not taken back"
    assert actions.resolve([two], "nothing to do", "ana") == 0
    assert actions.retry([one, two], "ana") == 1
    deliver(house)
    assert shelf(house).requests == 3 and row(house, "one")["state"] == "accepted"
    want(house, "bad", {"n": 1})
    shelf(house).faults = ["refuse"]
    deliver(house)
    assert actions.resolve([row(house, "bad")["id"]], "written by hand", "ana") == 1
    assert (row(house, "bad")["state"], row(house, "bad")["note"]) == ("resolved", "written by hand")
    deliver(house)
    assert "bad" not in shelf(house).held
    events = [one["event"] for one in rows(house, "SELECT event FROM audit WHERE event LIKE 'person.%' ORDER BY id")]
    assert events == [f"person.{one}" for one in ("park", "park", "resolve", "retry", "retry.ended", "resolve")]
    assert {one["who"] for one in rows(house, "SELECT who FROM audit WHERE event LIKE 'person.%'")} != {"ana"}


def test_a_retry_of_an_uncertain_one_still_looks_first(tmp_path: Path) -> None:
    house = engine(tmp_path)
    want(house, "one", {"n": 1})
    shelf(house).faults = ["lost_after"]
    deliver(house)
    later(house, seconds=50)  # the target's own wait after silence is over, the quiet time of a minute is not
    deliver(house)
    assert row(house, "one")["state"] == "unknown"
    assert Actions(house).retry([row(house, "one")["id"]], "ana") == 1
    deliver(house)
    assert row(house, "one")["state"] == "unknown", "a retry does not cut the quiet time short"
    later(house, seconds=10)
    deliver(house)
    assert row(house, "one")["state"] == "accepted" and shelf(house).requests == 1


def test_quarantined_records_are_mapped_again_when_asked(tmp_path: Path) -> None:
    house = engine(tmp_path)
    house.sources["app"].queue.append(page("a", "b"))  # type: ignore[attr-defined]
    run(house)
    held = rows(house, "SELECT id, key, code FROM quarantine ORDER BY key")
    assert [(one["key"], one["code"]) for one in held] == [("a", "form.unknown"), ("b", "form.unknown")]
    dirty = "SELECT key FROM head WHERE dirty ORDER BY key"
    assert rows(house, dirty) == []
    assert Actions(house).remap([held[0]["id"]], "ana") == 1 and [one["key"] for one in rows(house, dirty)] == ["a"]
    assert Actions(house).remap(None, "ana") == 2 and [one["key"] for one in rows(house, dirty)] == ["a", "b"]


# ---------------------------------------------------------------- reading back by key


def test_what_is_gone_is_sent_again_and_what_differs_is_shown(tmp_path: Path) -> None:
    house = engine(tmp_path)
    for key in ("same", "gone", "other"):
        want(house, key, {"key": key})
    deliver(house)
    del shelf(house).held["gone"]
    shelf(house).held["other"] = {"changed": "there"}

    look = asyncio.run(reconciling.reconcile(house, "shelf", reopen=False))
    assert {name: look[name] for name in ("equal", "missing", "different", "unknown_there")} == {
        "equal": 1, "missing": 1, "different": 1, "unknown_there": 0,
    }  # fmt: skip
    assert look["items"] == [{"what": "missing", "key": "gone"}, {"what": "different", "key": "other"}]
    assert {row(house, key)["state"] for key in ("same", "gone", "other")} == {"accepted"}

    asyncio.run(reconciling.reconcile(house, "shelf"))
    assert {key: row(house, key)["state"] for key in ("same", "gone", "other")} == {
        "same": "accepted", "gone": "pending", "other": "accepted",
    }  # fmt: skip
    deliver(house)
    assert shelf(house).held == {"same": {"key": "same"}, "gone": {"key": "gone"}, "other": {"changed": "there"}}
    (first, _) = rows(house, "SELECT detail FROM audit WHERE event='target.reconciled' ORDER BY id")
    assert '"missing":1' in first["detail"] and "gone" not in first["detail"], "counts, no keys"


def test_what_was_deleted_there_by_us_is_not_missing(tmp_path: Path) -> None:
    house = engine(tmp_path)
    want(house, "void", {"deleted": True})
    deliver(house)
    shelf(house).held.clear()
    found = asyncio.run(reconciling.reconcile(house, "shelf"))
    assert (found["equal"], found["missing"], row(house, "void")["state"]) == (1, 0, "accepted")


def test_a_target_that_cannot_be_read_reopens_nothing(tmp_path: Path) -> None:
    house = engine(tmp_path)
    want(house, "one", {"n": 1})
    deliver(house)

    class Blind(Shelf):
        async def look_up(self, delivery: Delivery) -> None:
            raise TargetUnreadable

    house.targets = {"shelf": Blind()}
    with pytest.raises(TargetUnreadable):
        asyncio.run(reconciling.reconcile(house, "shelf"))
    assert row(house, "one")["state"] == "accepted"
    assert rows(house, "SELECT id FROM audit WHERE event='target.reconciled'") == []


def test_more_than_one_page_is_read_back_and_items_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = engine(tmp_path)
    monkeypatch.setattr(reconciling, "ITEMS", 2)
    for n in range(205):
        want(house, f"k-{n:03d}", {"n": n})
    deliver(house)
    shelf(house).held = {key: value for key, value in shelf(house).held.items() if key < "k-200"}
    found = asyncio.run(reconciling.reconcile(house, "shelf", reopen=False))
    assert (found["equal"], found["missing"], len(found["items"])) == (200, 5, 2)


# ---------------------------------------------------------------- plan and status


def test_a_plan_tells_new_changed_removed_and_blocked(tmp_path: Path) -> None:
    house = engine(tmp_path)
    for key in ("same", "changed", "removed", "parked"):
        want(house, key, {"key": key})
    deliver(house)
    want(house, "changed", {"key": "again"})
    want(house, "removed", {"deleted": True}, mark="")
    want(house, "new", {"key": "new"})
    want(house, "parked", {"key": "again"})
    Actions(house).park([row(house, "parked")["id"]], "", "ana")
    found = planning.plan(house)
    assert {kind: found[kind] for kind in ("new", "changed", "removed", "same")} == {
        "new": 1, "changed": 1, "removed": 1, "same": 1,
    }  # fmt: skip
    assert {(one["key"], one["what"]) for one in found["items"]} == {
        ("new", "new"), ("changed", "changed"), ("removed", "removed"),
    }  # fmt: skip
    assert [(one["key"], one["state"]) for one in found["blocked"]] == [("parked", "parked")]
    assert planning.plan(house, target="other") == {
        "new": 0, "changed": 0, "removed": 0, "same": 0, "blocked": [], "items": [], "completions": [], "frozen": 0,
        "unmapped": 0, "uncounted": 0,
    }  # fmt: skip
    assert shelf(house).requests == 4, "a plan sends nothing"


def states(house: Engine) -> dict[str, str]:
    return {one["name"]: one["state"] for one in standing.status(house, "0")["connections"]}


def test_status_from_the_first_day_to_a_silent_app(tmp_path: Path) -> None:
    house = engine(tmp_path)
    document = standing.status(house, "1.2.3")
    assert (document["state"], document["version"], standing.exit_code(document)) == ("never_run", "1.2.3", 0)
    assert states(house) == {"app": "never_run", "shelf": "never_run"}

    house.pack = empty_pack(ignore={"app": ("visit",)})  # so that nothing lies in quarantine
    house.sources["app"].queue.append(Page([replace(record("a"), form="other", deleted=False)], Cursor("1")))  # type: ignore[attr-defined]
    want(house, "one", {"n": 1})
    waiting = standing.status(house, "0")
    assert (waiting["state"], standing.exit_code(waiting), states(house)["shelf"]) == ("waiting", 5, "waiting")
    later(house, minutes=5)
    assert standing.status(house, "0")["connections"][1]["oldest_waiting_seconds"] == 300
    asyncio.run(intake.pull(house, "app"))
    deliver(house)
    assert states(house) == {"app": "ok", "shelf": "ok"}
    assert (standing.status(house, "0")["state"], standing.exit_code(standing.status(house, "0"))) == ("ok", 0)
    later(house, days=2)
    assert states(house)["app"] == "ok"
    later(house, days=2)
    shown = standing.status(house, "0")
    assert (shown["state"], standing.exit_code(shown)) == ("waiting", 5)
    assert (shown["connections"][0]["state"], shown["connections"][0]["who"]) == ("silent", "chw_data")


def test_status_while_a_run_goes(tmp_path: Path) -> None:
    house = engine(tmp_path)
    run(house)
    want(house, "one", {"n": 1})
    with runs.locked(house):
        assert states(house)["shelf"] == "running"
    assert states(house)["shelf"] == "waiting"


def test_what_is_parked_needs_somebody(tmp_path: Path) -> None:
    house = engine(tmp_path)
    want(house, "one", {"n": 1})
    shelf(house).faults = ["refuse"]
    deliver(house)
    document = standing.status(house, "0")
    assert (document["state"], document["parked"], standing.exit_code(document)) == ("action_needed", 1, 3)
    found = document["connections"][1]
    assert (found["state"], found["who"], found["parked"]) == ("action_needed", "sysadmin", 1)


def test_a_target_that_is_down_waits_and_needs_nobody(tmp_path: Path) -> None:
    house = engine(tmp_path)
    want(house, "one", {"n": 1})
    shelf(house).faults = ["down"]
    deliver(house)
    document = standing.status(house, "0")
    found = document["connections"][1]
    assert (document["state"], found["state"], found["who"]) == ("waiting", "waiting", "nobody")
    assert found["reason"] == "shelf.unreachable" and found["next_try"] > house.now()


@pytest.mark.parametrize(
    ("connections", "state", "code"),
    [
        ([], "ok", 0),
        ([], "never_run", 0),
        ([], "waiting", 5),
        ([{"state": "action_needed", "who": "sysadmin"}], "action_needed", 3),
        ([{"state": "action_needed", "who": "credentials"}], "action_needed", 4),
        ([{"state": "waiting", "who": "credentials"}], "waiting", 5),
    ],
)
def test_exit_codes_of_a_status(connections: list[dict[str, Any]], state: str, code: int) -> None:
    assert standing.exit_code({"connections": connections, "state": state}) == code


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("3d", 259_200)])
def test_spans(text: str, seconds: int) -> None:
    assert standing.span(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["15", "m", "", "5w", "x d"])
def test_what_is_no_span_raises(text: str) -> None:
    with pytest.raises(ValueError):
        standing.span(text)


# ---------------------------------------------------------------- delivery: the rarer ways


def test_a_delivery_that_finds_its_lane_taken_comes_back_a_second_later(tmp_path: Path) -> None:
    from connector.errors import LaneBusy

    house = engine(tmp_path)

    class Narrow(Shelf):
        async def deliver(self, batch: Sequence[Delivery], progress: Any) -> Sequence[Outcome]:
            async with progress.lane("patient/1"):
                return await super().deliver(batch, progress)

    house.targets = {"shelf": Narrow()}
    want(house, "one", {"n": 1})
    until = stamp(house.clock.now() + timedelta(seconds=30))
    house.store.write(lambda unit: unit.take_lane("patient/1", "other/1", house.now(), until))
    deliver(house)
    found = row(house, "one")
    assert (found["state"], found["reason"], found["tries"]) == ("deferred", "lane.busy", 0), "no try was made"
    assert LaneBusy.code == "lane.busy" and shelf(house).requests == 0
    later(house, seconds=31)
    deliver(house)
    assert row(house, "one")["state"] == "accepted"
    assert house.store.write(lambda unit: unit.take_lane("patient/1", "other/2", house.now(), until)), "given back"


def test_an_uncertain_one_stays_uncertain_while_the_target_cannot_be_read(tmp_path: Path) -> None:
    house = engine(tmp_path)
    want(house, "one", {"n": 1})
    shelf(house).faults = ["lost_after"]
    deliver(house)

    class Blind(Shelf):
        async def look_up(self, delivery: Delivery) -> None:
            raise TargetUnreadable("html instead of json")

    seeing, house.targets = house.targets, {"shelf": Blind()}
    later(house, minutes=5)
    deliver(house)
    assert (row(house, "one")["state"], row(house, "one")["reason"]) == ("unknown", "target.unreadable")
    assert shelf(house).requests == 0, "never sent blindly"
    house.targets = seeing
    later(house, minutes=30)
    deliver(house)
    assert row(house, "one")["state"] == "accepted" and shelf(house).requests == 1


# ---------------------------------------------------------------- places


def unit_row(key: str, code: str, level: str, parent: str = "", **more: Any) -> OrgUnitRow:
    values = {"valid_from": datetime(2020, 1, 1).date(), "valid_to": None, **more}
    return OrgUnitRow(
        more.get("source", "app"), key, code, level, parent, code, values["valid_from"], values["valid_to"]
    )


def test_the_org_unit_of_a_place_on_a_date() -> None:
    day = datetime(2026, 7, 1).date()
    old, new = datetime(2026, 6, 30).date(), day
    units = OrgUnits(empty_pack(org_units=(
        unit_row("area", "A", "cscom", "D"), unit_row("*", "D", "district"),
        unit_row("s", "S-OLD", "site", "A", valid_to=old), unit_row("s", "S-NEW", "site", "A", valid_from=new),
        unit_row("closed", "C", "site", "A", valid_to=old), unit_row("any", "X", "site", "none", source="*"),
    )))  # fmt: skip
    registry = {("app", "house"): "s", ("app", "loop"): "loop", ("other", "home"): "s"}

    def parent(source: str, place: str) -> str | None:
        return registry.get((source, place))

    assert units.row("app", "s", old, parent).org_unit == "S-OLD"
    assert units.row("app", "s", day, parent).org_unit == "S-NEW"
    assert units.row("app", "house", day, parent).org_unit == "S-NEW", "by its live parent"
    assert units.row("odk", "any", day, parent).org_unit == "X", "a row for every source"
    with pytest.raises(MappingError, match="no_org_unit"):
        units.row("app", "home", day, parent)  # a place of another source's registry
    for key, code in (
        ("closed", "place.closed_at_date"),
        ("nowhere", "place.no_org_unit"),
        ("loop", "place.no_org_unit"),
    ):
        with pytest.raises(MappingError) as raised:
            units.row("app", key, day, parent)
        assert raised.value.code == code
    site = units.row("app", "s", day, parent)
    assert [units.at_level(site, level, day=day) for level in ("site", "cscom", "district", "region")] == [
        "S-NEW", "A", "D", None,
    ]  # fmt: skip
    assert units.at_level(units.row("odk", "any", day, parent), "cscom", day=day) is None


# ---------------------------------------------------------------- lineage, plan and removal over the whole road


def test_a_value_is_explained_down_to_its_records(make_road: Make) -> None:
    """Eleven of twelve cases: ten at once and the rest by their name; the ledger adds up to the figure."""
    more = [visit(f"more-{n:02d}", "2026-08-15", subject=MODIBO, rdt="positive") for n in range(12)]
    road = make_road([*a_few(), *more])
    road.settle()
    explain = lineage.explain
    first = explain(road.engine, "MH_B02_NUM", UNIT, "202608", "A3_Y5_9")
    assert first is not None
    assert (first["value"]["current"], first["value"]["accepted"], first["value"]["state"]) == ("12", "12", "accepted")
    assert first["value"]["categories"] and first["value"]["records"] == 12
    assert [one["record"] for one in first["records"]] == [f"cht/reports/more-{n:02d}" for n in range(10)]
    assert {one["worker"] for one in first["records"]} == {WORKERS[0]}
    second = explain(road.engine, "MH_B02_NUM", UNIT, "202608", "A3_Y5_9", after=first["next"])
    assert second is not None and len(second["records"]) == 2 and second["next"] is None
    assert sum(int(line["n"]) for line in first["led"]) == 12
    assert first["rule"]["indicator"] == "B02" and first["rule"]["file"] and first["rule"]["line"] > 1
    assert [(one["value"], one["verdict"]) for one in first["sends"]] == [("12", "accepted")]
    assert first["delivery"]["state"] == "accepted" and first["attempts"][0]["verdict"] == "accepted"
    assert explain(road.engine, "MH_B02_NUM", UNIT, "202601", "A3_Y5_9") is None
    assert explain(road.engine, "MH_NOTHING", UNIT, "202608") is None
    by_indicator = lineage.near(road.engine, "B02", UNIT, "202608")
    assert ("MH_B02_NUM", "A3_Y5_9") in by_indicator and {one[0] for one in by_indicator} == {
        "MH_B02_NUM",
        "MH_B02_DEN",
    }
    assert {one[0] for one in lineage.near(road.engine, "MH_B02_NUM", UNIT, "202608")} == {"MH_B02_NUM"}
    assert lineage.near(road.engine, "MH_NOTHING", UNIT, "202608") == []

    road.engine.pack = replace(road.engine.pack, indicators={})  # the pack has lost it since
    later = explain(road.engine, "MH_B02_NUM", UNIT, "202608", "A3_Y5_9")
    assert later is not None
    assert later["value"]["name"] == {}
    by = first["rule"]["counted_by"]
    assert by and later["rule"] == {"indicator": "B02", "part": "num", "where": None, "counted_by": by}


def stock(key: str, day: str, worker: str) -> dict[str, Any]:
    items = {product: {"on_hand": 2, "stockout_days": 3} for product in ("tdr", "cta", "sro", "zinc", "amoxicilline")}
    return report(key, "stock_count", day, items, worker=worker)


def test_what_is_counted_once_is_a_line_of_the_ledger(make_road: Make) -> None:
    docs = [stock("one", "2026-08-05", WORKERS[0]), stock("two", "2026-08-25", WORKERS[0])]
    road = make_road([*a_few(), *docs, stock("three", "2026-08-25", WORKERS[1])])
    road.settle()
    cell = road.one("SELECT * FROM cell WHERE indicator='F02' AND part='den' AND period='202608'")
    found = lineage.explain(road.engine, cell["data_element"], cell["org_unit"], "202608", cell["combo"])
    assert found is not None and found["value"]["current"] == "2", "two workers, three reports"
    assert found["led"][-1] == {"label": "counted_once", "n": "-1"}
    assert sum(int(line["n"]) for line in found["led"]) == 2
    assert found["rule"]["distinct"] == "worker"


def test_a_record_is_traced_forwards(make_road: Make) -> None:
    road = make_road([*a_few(), visit("odd", "2026-08-11", group_nutrition={"muac_score": "thin"})])
    road.settle()
    found = lineage.trace(road.engine, "cht/reports/visit-08-1")
    assert found is not None
    assert (found["record"]["kind"], found["record"]["org_unit"], found["record"]["deleted"]) == (
        "sick_visit", UNIT, False,
    )  # fmt: skip
    facts = {one["name"]: one["value"] for one in found["facts"]}
    assert facts["fever"] is True and facts["malaria_rdt"] == "positive" and facts["referred"] is True
    assert all(one["value"] == "1" or one["value"] == "2" for one in found["cells"]) and found["cells"]
    assert {"MH_A04", "MH_B02_NUM", "MH_B02_DEN"} <= {one["data_element"] for one in found["cells"]}
    assert found["resources"] and {one["state"] for one in found["resources"]} == {"accepted"}
    assert ("openmrs", "accepted") in {(one["target"], one["state"]) for one in found["deliveries"]}
    assert found["referral"]["urgent"] and found["referral"]["to_place"] == "area-1"
    assert found["quarantine"] is None and len(found["revisions"]) == 1
    odd = lineage.trace(road.engine, "cht/reports/odd")
    assert odd is not None and odd["flags"] and "thin" not in str(odd["flags"])
    assert lineage.trace(road.engine, "cht/reports/nobody") is None


def test_what_may_say_who_somebody_is_is_shown_to_whoever_may_see_it(make_road: Make) -> None:
    doc = visit("note", "2026-08-11", refer=True)
    home = report(
        "preg", "pregnancy_home_visit", "2026-08-11",
        {"patient_id": "person-anna", "is_new_pregnancy": "yes", "lmp_date_8601": "2026-05-01"},
    )  # fmt: skip
    road = make_road([*a_few(), doc, home])
    road.settle()
    for unmask in (False, True):
        found = lineage.trace(road.engine, "cht/reports/preg", unmask=unmask)
        assert found is not None
        facts = {one["name"]: (one["value"], one["masked"]) for one in found["facts"]}
        assert facts["lmp_date"] == (("2026-05-01", False) if unmask else (None, True))
        assert facts["new_pregnancy"] == (True, False)


def test_a_refused_record_is_traced_to_its_reason(make_road: Make) -> None:
    road = make_road([*a_few(), report("strange", "no_such_form", "2026-08-11", {})])
    road.settle()
    found = lineage.trace(road.engine, "cht/reports/strange")
    assert found is not None and found["quarantine"]["code"] == "form.unknown"
    assert (found["mapping"], found["facts"], found["cells"], found["referral"]) == (None, [], [], None)
    assert found["record"]["kind"] is None


def test_a_plan_of_dhis2_is_what_the_next_run_sends(make_road: Make) -> None:
    road = make_road([*a_few(), place("area-9", "area", "district-1"), person("person-new")])
    road.run(targets=[])
    before = planning.plan(road.engine, "dhis2")
    assert before["new"] == len(before["items"]) > 0 and (before["changed"], before["removed"], before["same"]) == (
        0,
        0,
        0,
    )
    august = planning.plan(road.engine, "dhis2", period="202608")
    assert 0 < august["new"] < before["new"] and {one["period"] for one in august["items"]} == {"202608"}
    assert len(planning.plan(road.engine, "dhis2", limit=3)["items"]) == 3
    road.settle()
    after = planning.plan(road.engine, "dhis2")
    assert (after["new"], after["changed"], after["removed"], after["same"]) == (0, 0, 0, before["new"])
    assert len(road.values()) == before["new"]


def test_a_plan_says_what_is_held_back_and_why(make_road: Make) -> None:
    road = make_road([*a_few(), visit("june", "2026-06-20", refer=True)])
    road.type_in("MH_A04", "A2_Y1_4-SEX_F", "7")
    road.settle()
    blocked = planning.plan(road.engine)["blocked"]
    cells = {(one["period"], one["state"], one["reason"]) for one in blocked if one["target"] == "dhis2"}
    assert ("202608", "held", "dhis2.value_already_there") in cells and ("202606", "old", "before_live_from") in cells
    (referral,) = [one for one in blocked if one["target"] == "openmrs"]
    assert (referral["key"], referral["state"], referral["reason"]) == (
        "cht/reports/june", "old", "before_live_from",
    )  # fmt: skip


def test_a_plan_in_shadow_blocks_everything(make_road: Make) -> None:
    road = make_road(a_few(), target("dhis2", mode="shadow"))
    road.settle()
    found = planning.plan(road.engine, "dhis2")
    assert {one["reason"] for one in found["blocked"]} == {"mode.shadow"} and found["items"] == []
