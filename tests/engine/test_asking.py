"""The value at the target at this moment: asked on a person's word, within a time limit, and never past a refusal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from connector.engine import asking
from connector.engine.asking import Asker
from tests.engine.house import Make, Road, a_few

PATIENCE = 0.2
WHERE = ("MH_B02_NUM", "A3_Y0_4")


def asker(road: Road, **more: Any) -> Asker:
    assert road.house is not None
    return Asker(road.engine, road.house.another, **more)


@pytest.mark.again
def test_the_target_is_asked_and_nothing_is_written(make_road: Make) -> None:
    road = make_road(a_few())
    road.settle()
    cell = road.cell(*WHERE)
    assert cell["value"] == "1"
    rows = road.rows("SELECT * FROM cell ORDER BY id")
    found = asker(road).value(cell)
    assert (found["state"], found["value"], found["reason"]) == ("equal", "1", None)
    road.type_in(*WHERE, "7")
    written = road.writes()
    found = asker(road).value(cell)
    assert (found["state"], found["value"]) == ("different", "7")
    assert "7" in found["words"]["fr"] and "1" in found["words"]["fr"] and found["words"]["en"] != found["words"]["fr"]
    assert road.rows("SELECT * FROM cell ORDER BY id") == rows and road.writes() == written

    # what is no figure: the referral at the clinic, and a resource
    for target, kind in (("openmrs", "referral"), ("fhir", "resource")):
        row = road.rows("SELECT * FROM delivery WHERE target=:t AND kind=:k ORDER BY id LIMIT 1", t=target, k=kind)[0]
        assert asker(road).delivery(row)["state"] == "equal", target
    road.fhir.plane.arm({"down": True})
    found = asker(road, seconds=PATIENCE).delivery(row)
    assert found["state"] == "unreadable" and found["words"]["fr"]

    # nobody answers: the sentence says so
    road.dhis2.plane.arm({"down": True})
    found = asker(road).value(cell)
    assert (found["state"], found["value"], found["reason"]) == ("unreadable", None, "dhis2.unreachable")
    assert road.engine.reasons["dhis2.unreachable"].fr in found["words"]["fr"]

    # paused, and the account refused: nothing is asked
    road.dhis2.plane.arm({})
    road.actions.pause("dhis2", "works", None, "ana")
    asked = len(road.wires["dhis2"].seen)
    found = asker(road).value(cell)
    assert (found["state"], found["reason"]) == ("not_asked", "asked.paused")
    assert len(road.wires["dhis2"].seen) == asked
    road.actions.resume("dhis2", "ana")
    assert asker(road).value(cell)["state"] == "different"


def test_a_person_waits_no_longer_than_the_limit(make_road: Make) -> None:
    road = make_road(a_few())
    road.run(targets=[])
    cell, asked = road.cell(*WHERE), []

    class Slow:
        async def read_block(self, *_: Any) -> dict[Any, Any]:
            asked.append(1)
            await asyncio.sleep(30)
            return {}

    class Deaf:
        async def read_block(self, *_: Any) -> dict[Any, Any]:
            asked.append(1)
            time.sleep(1.5)  # as a name that cannot be resolved: no loop can cut it short
            return {}

    class Refusing:
        async def read_block(self, *_: Any) -> dict[Any, Any]:
            asked.append(1)
            raise asking.TargetUnreadable("dhis2.credentials")

    def over(target: Any) -> Any:
        @asynccontextmanager
        async def another(name: str) -> AsyncIterator[Any]:
            yield target

        return another

    for target in (Slow(), Deaf()):
        began = time.monotonic()
        found = Asker(road.engine, over(target), seconds=PATIENCE, at_once=1).value(cell)
        assert (found["state"], found["reason"]) == ("unreadable", "asked.too_slow")
        assert time.monotonic() - began < PATIENCE + 1.2

    busy = Asker(road.engine, over(Deaf()), seconds=PATIENCE, at_once=1)
    assert [busy.value(cell)["reason"] for _ in range(2)] == ["asked.too_slow", "asked.busy"]

    # an account that was refused is not tried again until ten minutes later
    asked.clear()
    one = Asker(road.engine, over(Refusing()))
    assert [one.value(cell)["reason"] for _ in range(3)] == [
        "dhis2.credentials",
        "asked.credentials",
        "asked.credentials",
    ]
    assert len(asked) == 1
    road.later(seconds=asking.REFUSED + 1)
    assert one.value(cell)["reason"] == "dhis2.credentials" and len(asked) == 2
    road.engine.store.write(lambda unit: unit.target_state("dhis2"))
    with road.engine.store._writer.begin() as connection:
        connection.exec_driver_sql("UPDATE target_state SET refusals=1 WHERE target='dhis2'")
    road.later(seconds=asking.REFUSED + 1)
    assert one.value(cell)["reason"] == "asked.credentials" and len(asked) == 2
