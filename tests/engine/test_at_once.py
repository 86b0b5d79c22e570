"""Several batches on their way to one target: only of what has nothing to do with each other, and as one target."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connector.engine.engine import Engine
from connector.model import Capabilities, State
from tests.engine.bench_house import Shelf, engine
from tests.engine.test_delivery import deliver, later, row, want


class Road(Shelf):
    """Notes which batches were on their way at each departure. ``breaks``: the key at which the adapter fails."""

    capabilities = Capabilities(max_batch=1, settles_within=timedelta(seconds=60), resend_is_safe=True, at_once=3)

    def __init__(self) -> None:
        super().__init__()
        self.flying: list[list[str]] = []
        self.seen: list[list[list[str]]] = []
        self.breaks = ""

    async def deliver(self, batch: Any, progress: Any) -> Any:
        mine = [one.key for one in batch]
        self.flying.append(mine)
        self.seen.append(list(self.flying))
        for _ in range(20):
            await asyncio.sleep(0)
            if self.breaks in mine:
                raise RuntimeError(self.breaks)
        self.flying.remove(mine)
        return await super().deliver(batch, progress)

    def together(self, *keys: str) -> bool:
        return any(set(keys) <= {key for batch in flying for key in batch} for flying in self.seen)


def house_of(tmp_path: Path, **wanted: Any) -> tuple[Engine, Road]:
    """``name=(payload, subject)``, wanted in this order."""
    road = Road()
    house = engine(tmp_path, shelf=road)
    for key, (payload, subject) in wanted.items():
        want(house, key, payload, subject)
    return house, road


def refers(*keys: str) -> dict[str, Any]:
    return {"basedOn": [{"reference": key} for key in keys]}


def target(house: Engine) -> dict[str, Any]:
    found: dict[str, Any] = house.store.read(lambda unit: unit.row_of_target("shelf"))
    return found


def test_three_batches_are_on_their_way_and_each_is_sent_once(tmp_path: Path) -> None:
    house, road = house_of(tmp_path, **{f"k{n}": ({"v": n}, None) for n in range(8)})
    counts = deliver(house)
    assert (counts["accepted"], counts["batches"], road.requests) == (8, 8, 8)
    assert max(map(len, road.seen)) == 3
    assert list(road.held) == [f"k{n}" for n in range(8)], "in their order"


def test_what_refers_to_something_on_its_way_waits_for_it_and_so_does_what_refers_to_that(tmp_path: Path) -> None:
    house, road = house_of(
        tmp_path, parent=({"v": 1}, None), child=(refers("parent"), "s"), grandchild=(refers("x", "child"), None),
        beside=({"v": 2}, None), same_subject=({"v": 3}, "s"),
    )  # fmt: skip
    sent = road.deliver

    async def widening(batch: Any, progress: Any) -> Any:  # the first goes alone, then all that may
        road.capabilities = replace(road.capabilities, max_batch=4)
        return await sent(batch, progress)

    road.deliver = widening  # type: ignore[method-assign]
    assert deliver(house)["accepted"] == 5
    assert road.seen == [[["parent"]], [["parent"], ["beside"]], [["child", "grandchild", "same_subject"]]]


def test_two_of_one_subject_are_never_on_their_way_together(tmp_path: Path) -> None:
    house, road = house_of(tmp_path, a=({"v": 1}, "s"), c=({"v": 3}, "other"), b=({"v": 2}, "s"), d=({"v": 4}, "s"))
    assert deliver(house)["accepted"] == 4
    assert road.together("a", "c") and not any(road.together(*pair) for pair in ("ab", "bd", "ad"))


def test_what_is_removed_goes_alone(tmp_path: Path) -> None:
    house, road = house_of(tmp_path, a=({"v": 1}, None), gone=({"deleted": True}, None), b=({"v": 2}, None),
                           c=({"v": 3}, None))  # fmt: skip
    assert deliver(house)["accepted"] == 4
    assert not any(road.together("gone", one) for one in "abc") and road.together("b", "c")


def test_a_failure_that_three_batches_meet_is_one_failure(tmp_path: Path) -> None:
    house, road = house_of(tmp_path, **{f"k{n}": ({"v": n}, None) for n in range(6)})
    road.faults = ["down"] * 3
    assert deliver(house)["deferred"] == 3
    assert (target(house)["failures"], target(house)["breaker"], road.requests) == (1, "closed", 3)
    assert {row(house, f"k{n}")["tries"] for n in range(6)} == {0}
    later(house, minutes=2)
    road.seen.clear()
    assert deliver(house)["accepted"] == 6
    assert len(road.seen[0]) == 1 and len(road.seen[1]) == 1, "one by one until it is well again"


def test_after_a_failure_nothing_leaves_even_where_nothing_is_waited_for(tmp_path: Path) -> None:
    house, road = house_of(tmp_path, **{f"k{n}": ({"v": n}, None) for n in range(6)})
    house.retry_scale = 0.0
    road.faults = ["down"]
    assert (deliver(house)["accepted"], road.requests) == (2, 3)
    assert deliver(house)["accepted"] == 4, "but with the next run"


@pytest.mark.parametrize("fault", ["down", "credentials"])
def test_what_is_accepted_beside_a_failure_does_not_hide_it(tmp_path: Path, fault: str) -> None:
    house, road = house_of(tmp_path, **{f"k{n}": ({"v": n}, None) for n in range(6)})
    road.faults = [fault]
    assert (deliver(house)["accepted"], road.requests) == (2, 3), "nothing more leaves"
    reason = "shelf.unreachable" if fault == "down" else "shelf.credentials"
    state = target(house)
    assert (state["failures"] + state["refusals"], state["reason"]) == (1, reason)
    assert state["due_at"] > house.now()


def test_a_refused_account_stays_refused_whatever_else_fails_beside(tmp_path: Path) -> None:
    house, road = house_of(tmp_path, **{f"k{n}": ({"v": n}, None) for n in range(3)})
    road.faults = ["credentials", "down"]
    deliver(house)
    state = target(house)
    assert (state["refusals"], state["reason"], state["due_at"][:4]) == (1, "shelf.credentials", "9999")


def test_where_one_fails_in_itself_the_others_are_taken_up_when_their_lease_is_over(tmp_path: Path) -> None:
    house, road = house_of(tmp_path, **{f"k{n}": ({"v": n}, None) for n in range(4)})
    road.breaks = "k1"
    with pytest.raises(RuntimeError):
        deliver(house)
    assert {row(house, key)["state"] for key in ("k0", "k1", "k2")} == {State.LEASED} and not road.held
    road.breaks = ""
    assert deliver(house)["accepted"] == 1, "only what never left"
    later(house, minutes=11)
    assert deliver(house)["accepted"] == 3
