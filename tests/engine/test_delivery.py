"""The delivery core: what each verdict does to a delivery, to its tries and to the target's own due time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from connector.engine import delivery as delivering
from connector.engine.engine import Engine, stamp
from connector.errors import RunLocked, StoreError
from connector.model import Capabilities, State
from connector.retry import TargetHealth
from tests.engine.bench_house import Shelf, engine


def want(house: Engine, key: str, value: Any, subject: str | None = None) -> None:
    from connector.identity import digest

    def work(unit: Any) -> None:
        unit.want(
            [
                {
                    "target": "shelf",
                    "key": key,
                    "kind": "answer",
                    "subject": subject,
                    "digest": digest(value),
                    "payload_enc": unit.seal("delivery", value),
                    "state": "pending",
                    "due_at": house.now(),
                    "now": house.now(),
                }
            ]
        )

    house.store.write(work)


def row(house: Engine, key: str) -> dict[str, Any]:
    found: dict[str, Any] = house.store.read(lambda unit: unit.delivery("shelf", key))
    return found


def rows(house: Engine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.store.read(lambda unit: unit._rows("SELECT * FROM delivery"))
    return found


def deliver(house: Engine) -> dict[str, int]:
    return asyncio.run(delivering.deliver(house, "shelf"))


def later(house: Engine, **span: float) -> None:
    house.clock.at += timedelta(**span)  # type: ignore[attr-defined]


def test_accepted_is_settled_and_sent_once(tmp_path: Path) -> None:
    house = engine(tmp_path)
    shelf: Any = house.targets["shelf"]
    want(house, "a", {"v": 1})
    assert deliver(house)["accepted"] == 1
    assert row(house, "a")["state"] == State.ACCEPTED and shelf.held == {"a": {"v": 1}}
    want(house, "a", {"v": 1})
    deliver(house)
    assert shelf.requests == 1


def test_back_to_what_the_target_holds_sends_nothing(tmp_path: Path) -> None:
    house = engine(tmp_path)
    shelf: Any = house.targets["shelf"]
    want(house, "a", {"v": 1})
    deliver(house)
    want(house, "a", {"v": 2})
    want(house, "a", {"v": 1})
    deliver(house)
    assert shelf.requests == 1 and row(house, "a")["state"] == State.ACCEPTED


def test_refused_is_parked_and_sinks_nobody_else(tmp_path: Path) -> None:
    house = engine(tmp_path)
    shelf: Any = house.targets["shelf"]
    shelf.faults = ["refuse"]
    want(house, "a", {"v": 1})
    want(house, "b", {"v": 1})
    deliver(house)
    assert row(house, "a")["state"] == State.PARKED and row(house, "a")["reason"] == "shelf.refused"
    assert row(house, "b")["state"] == State.ACCEPTED


def test_deferred_by_its_own_answer_counts_a_try_and_waits(tmp_path: Path) -> None:
    house = engine(tmp_path)
    shelf: Any = house.targets["shelf"]
    shelf.faults = ["defer"]
    want(house, "a", {"v": 1})
    deliver(house)
    assert (row(house, "a")["state"], row(house, "a")["tries"]) == (State.DEFERRED, 1)
    assert row(house, "a")["due_at"] > house.now()
    later(house, minutes=5)
    deliver(house)
    assert row(house, "a")["state"] == State.ACCEPTED


def test_a_delivery_that_is_always_deferred_parks_after_nine_tries(tmp_path: Path) -> None:
    house = engine(tmp_path)
    shelf: Any = house.targets["shelf"]
    shelf.faults = ["defer"] * 50
    want(house, "a", {"v": 1})
    for _ in range(12):
        deliver(house)
        later(house, hours=25)
    assert row(house, "a")["state"] == State.PARKED and shelf.requests == 10


def test_a_target_that_is_down_counts_no_try_however_long(tmp_path: Path) -> None:
    house = engine(tmp_path)
    shelf: Any = house.targets["shelf"]
    shelf.faults = ["down"] * 1000
    want(house, "a", {"v": 1})
    for _ in range(60):
        deliver(house)
        later(house, hours=4)
    assert (row(house, "a")["state"], row(house, "a")["tries"]) == (State.DEFERRED, 0)
    shelf.faults = []
    deliver(house)
    assert row(house, "a")["state"] == State.ACCEPTED
    state = house.store.read(lambda unit: unit.row_of_target("shelf"))
    assert state["breaker"] == "closed" and state["due_at"] is None


def test_while_a_target_fails_a_single_probe_goes(tmp_path: Path) -> None:
    house = engine(tmp_path)
    shelf: Any = house.targets["shelf"]
    for key in "abcdefgh":
        want(house, key, {"v": 1})
    shelf.faults = ["down"] * 1000
    for _ in range(4):
        deliver(house)
        later(house, hours=1)
    before = shelf.requests
    deliver(house)
    assert shelf.requests == before + 1


def test_refused_credentials_stop_the_target_at_once(tmp_path: Path) -> None:
    house = engine(tmp_path)
    shelf: Any = house.targets["shelf"]
    shelf.faults = ["credentials"] * 100
    want(house, "a", {"v": 1})
    deliver(house)
    later(house, days=2)
    deliver(house)
    assert shelf.requests == 1 and row(house, "a")["tries"] == 0
    assert house.store.read(lambda unit: unit.row_of_target("shelf"))["who"] == "credentials"


def test_unknown_waits_its_quiet_time_then_looks_before_it_sends(tmp_path: Path) -> None:
    house = engine(tmp_path)
    shelf: Any = house.targets["shelf"]
    shelf.faults = ["lost_after"]
    want(house, "a", {"v": 1})
    deliver(house)
    assert row(house, "a")["state"] == State.UNKNOWN
    later(house, seconds=30)
    deliver(house)
    assert shelf.requests == 1 and row(house, "a")["state"] == State.UNKNOWN
    later(house, minutes=5)
    deliver(house)
    assert shelf.requests == 1, "it was there: looked up, not sent again"
    assert row(house, "a")["state"] == State.ACCEPTED


def test_unknown_that_is_not_there_is_sent_again(tmp_path: Path) -> None:
    house = engine(tmp_path)
    shelf: Any = house.targets["shelf"]
    shelf.faults = ["lost"]
    want(house, "a", {"v": 1})
    deliver(house)
    later(house, minutes=5)
    deliver(house)
    assert shelf.requests == 2 and shelf.held == {"a": {"v": 1}}


def test_where_sending_again_is_safe_it_is_sent_again_after_the_quiet_time(tmp_path: Path) -> None:
    class Upsert(Shelf):
        capabilities = Capabilities(max_batch=10, settles_within=timedelta(seconds=60), resend_is_safe=True)

        async def look_up(self, delivery: Any) -> Any:
            raise AssertionError("not needed: the answer to the second request says what is held")

    house = engine(tmp_path, shelf=Upsert())
    shelf: Any = house.targets["shelf"]
    shelf.faults = ["lost_after"]
    want(house, "a", {"v": 1})
    deliver(house)
    deliver(house)
    assert shelf.requests == 1, "not before the quiet time is over"
    later(house, minutes=5)
    deliver(house)
    assert shelf.requests == 2 and row(house, "a")["state"] == State.ACCEPTED


def test_a_late_answer_settles_no_newer_generation(tmp_path: Path) -> None:
    class Slow(Shelf):
        async def deliver(self, batch: Any, progress: Any) -> Any:
            if self.requests == 0:
                want(house, "a", {"v": 2})  # the wanted state moves on while the request is out
            return await super().deliver(batch, progress)

    slow = Slow()
    house = engine(tmp_path, shelf=slow)
    want(house, "a", {"v": 1})
    deliver(house)
    assert row(house, "a")["accepted_generation"] == 2
    assert slow.held["a"] == {"v": 2} and slow.requests == 2


def test_a_newer_state_after_an_unknown_answer_keeps_the_key_quiet(tmp_path: Path) -> None:
    house = engine(tmp_path)
    shelf: Any = house.targets["shelf"]
    shelf.faults = ["lost"]
    want(house, "a", {"v": 1})
    deliver(house)
    want(house, "a", {"v": 2})
    deliver(house)
    assert shelf.requests == 1, "the lost value may still arrive; nothing newer goes before the quiet time is over"
    later(house, minutes=5)
    deliver(house)
    assert shelf.held["a"] == {"v": 2}


def test_a_lease_that_ran_out_is_looked_up_first(tmp_path: Path) -> None:
    house = engine(tmp_path)
    shelf: Any = house.targets["shelf"]
    want(house, "a", {"v": 1})
    items, attempt = house.store.write(lambda unit: delivering._claim(house, unit, "shelf", TargetHealth()))
    shelf.held["a"] = dict(items[0].delivery.payload)  # the request arrived; then the process was killed
    assert attempt is not None
    deliver(house)
    assert shelf.requests == 0, "the lease still holds"
    later(house, minutes=11)
    deliver(house)
    assert shelf.requests == 0 and row(house, "a")["state"] == State.ACCEPTED


def test_every_attempt_is_written_before_its_request_leaves(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Watcher(Shelf):
        async def deliver(self, batch: Any, progress: Any) -> Any:
            seen.extend(house.store.read(lambda unit: unit.attempts(batch[0].id)))
            return await super().deliver(batch, progress)

    house = engine(tmp_path, shelf=Watcher())
    want(house, "a", {"v": 1})
    deliver(house)
    assert [a["verdict"] for a in seen] == ["open"]
    after = house.store.read(lambda unit: unit.attempts(row(house, "a")["id"]))
    assert [a["verdict"] for a in after] == ["accepted"]


def test_after_thirty_days_a_waiting_delivery_is_parked(tmp_path: Path) -> None:
    house = engine(tmp_path)
    shelf: Any = house.targets["shelf"]
    shelf.faults = ["defer"] * 5
    want(house, "a", {"v": 1})
    later(house, days=31)
    deliver(house)
    assert (row(house, "a")["state"], row(house, "a")["reason"]) == (State.PARKED, "delivery.too_old")


# ---------------------------------------------------------------- a target that fails, order, overlap


class Noting(Shelf):
    """Notes what came together, and is down while told so."""

    capabilities = Capabilities(max_batch=20, settles_within=timedelta(seconds=60))

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.down = False

    async def deliver(self, batch: Any, progress: Any) -> Any:
        self.batches.append([one.key for one in batch])
        if self.down:
            self.faults = ["down"] * len(batch)
        return await super().deliver(batch, progress)


def test_after_an_outage_it_begins_slowly_with_what_waited_longest(tmp_path: Path) -> None:
    shelf = Noting()
    house = engine(tmp_path, shelf=shelf)
    keys = [f"k{n:03}" for n in range(100)]
    for key in keys:
        want(house, key, {})
        later(house, seconds=1)
    shelf.down = True
    for _ in range(200):
        deliver(house)
        later(house, minutes=1)
    assert [len(b) for b in shelf.batches[:4]] == [20, 1, 1, 1], "one batch, then probes"
    assert len(shelf.batches) < 30, "seldom"
    assert {r["state"] for r in rows(house)} == {"pending", "deferred"} and all(r["tries"] == 0 for r in rows(house))
    shelf.down, shelf.batches = False, []
    later(house, minutes=30)
    deliver(house)
    sizes = [len(batch) for batch in shelf.batches]
    assert sizes[:5] == [1, 1, 2, 4, 8] and max(sizes) == 20
    sent = [key for batch in shelf.batches for key in batch]
    assert sorted(sent) == keys, "each once"
    assert {r["state"] for r in rows(house)} == {"accepted"}


def test_retries_leave_room_for_what_was_never_sent(tmp_path: Path) -> None:
    shelf = Noting()
    house = engine(tmp_path, shelf=shelf)
    for n in range(20):
        want(house, f"old{n:02}", {})
    shelf.down = True
    deliver(house)
    for n in range(100):
        want(house, f"new{n:03}", {})
    shelf.down, shelf.batches = False, []
    later(house, minutes=1)
    deliver(house)
    full = [batch for batch in shelf.batches if any(key.startswith("new") for key in batch)]
    assert [sum(key.startswith("old") for key in batch) for batch in full] == [1, 2, 2, 2, 2, 1]
    assert [len(batch) for batch in full][:2] == [16, 20]
    assert {r["state"] for r in rows(house)} == {"accepted"}


def test_what_waits_for_a_retry_of_its_subject_is_no_company_for_retries(tmp_path: Path) -> None:
    shelf = Noting()
    house = engine(tmp_path, shelf=shelf)
    for n in range(20):
        want(house, f"first{n:02}", {}, subject=f"record{n:02}")
    shelf.down = True
    deliver(house)
    for n in range(100):
        want(house, f"later{n:03}", {}, subject=f"record{n % 20:02}")
    shelf.down, shelf.batches = False, []
    later(house, minutes=1)
    deliver(house)
    later(house, minutes=1)
    deliver(house)
    assert {r["state"] for r in rows(house)} == {"accepted"}
    assert len(shelf.batches) < 12, "twenty retries, two at a time, would be ten batches before anything else"


@pytest.mark.again
def test_a_line_that_loses_two_of_five_requests_is_served_in_batches(tmp_path: Path) -> None:
    class Lossy(Noting):
        capabilities = Capabilities(max_batch=20, settles_within=timedelta(seconds=1), resend_is_safe=True)

        async def deliver(self, batch: Any, progress: Any) -> Any:
            self.down = len(self.batches) % 5 in (0, 2)
            return await super().deliver(batch, progress)

    shelf = Lossy()
    house = engine(tmp_path, shelf=shelf)
    for n in range(400):
        want(house, f"k{n:03}", {}, subject=f"record{n // 6}")
    while any(r["state"] != "accepted" for r in rows(house)):
        deliver(house)
        later(house, minutes=1)
        assert len(shelf.batches) < 150


def test_a_later_delivery_of_a_subject_waits_for_the_earlier_one(tmp_path: Path) -> None:
    shelf = Noting()
    house = engine(tmp_path, shelf=shelf)
    shelf.faults = ["defer"]
    want(house, "first", {}, subject="person")
    deliver(house)
    want(house, "second", {}, subject="person")
    want(house, "other", {}, subject="somebody else")
    deliver(house)
    assert set(shelf.held) == {"other"}
    for _ in range(3):
        later(house, minutes=1)
        deliver(house)
    assert [key for batch in shelf.batches for key in batch] == ["first", "other", "first", "second"]


def test_one_that_waits_for_others_does_not_hold_them_up(tmp_path: Path) -> None:
    shelf = Noting()
    shelf.capabilities = replace(Noting.capabilities, needs_others=frozenset({"shelf.later"}))
    house = engine(tmp_path, shelf=shelf)
    shelf.faults = ["defer"]
    want(house, "first", {}, subject="person")
    deliver(house)
    want(house, "second", {}, subject="person")
    deliver(house)
    assert (row(house, "first")["state"], row(house, "second")["state"]) == ("deferred", "accepted")


def test_a_parked_one_holds_nobody_up(tmp_path: Path) -> None:
    house = engine(tmp_path, shelf=Noting())
    house.targets["shelf"].faults = ["refuse"]  # type: ignore[attr-defined]
    want(house, "first", {}, subject="person")
    deliver(house)
    want(house, "second", {}, subject="person")
    deliver(house)
    assert row(house, "first")["state"] == "parked" and row(house, "second")["state"] == "accepted"


def test_who_lost_the_lock_while_asleep_sends_nothing_more(tmp_path: Path) -> None:
    house = engine(tmp_path)
    want(house, "a", {"v": 1})
    until = stamp(house.clock.now() + timedelta(minutes=1))
    house.store.write(lambda unit: unit.take_lane("run", "another/1", house.now(), until))
    with pytest.raises(RunLocked):
        deliver(house)
    assert not house.targets["shelf"].held  # type: ignore[attr-defined]


def test_an_answer_that_comes_after_the_lease_went_to_another_settles_nothing(tmp_path: Path) -> None:
    class Slow(Shelf):
        async def deliver(self, batch: Any, progress: Any) -> Any:
            house.store.write(
                lambda unit: unit.execute(text("UPDATE delivery SET lease_by='another/1' WHERE key='a'"), {})
            )
            return await super().deliver(batch, progress)

    house = engine(tmp_path, shelf=Slow())
    want(house, "a", {"v": 1})
    deliver(house)
    assert row(house, "a")["state"] == "leased" and row(house, "a")["lease_by"] == "another/1"


def test_a_change_of_state_that_is_not_in_the_table_is_refused_here(tmp_path: Path) -> None:
    """What every other test of the engine rests on."""
    house = engine(tmp_path)
    want(house, "a", {"v": 1})
    deliver(house)
    with pytest.raises(StoreError, match="no such transition"):
        house.store.write(lambda unit: unit.execute(text("UPDATE delivery SET state='leased'"), {}))
