"""``on_change: mark_incomplete``: at no moment does DHIS2 hold a changed figure of ours under an old completion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from connector.engine import kept_plans, runs
from connector.mappings.pack import Pack
from tests.engine.house import MODIBO, UNIT, WORKERS, Change, Make, Road, only_here, said, visit

AUGUST, MONTHS = "202608", {"202607", "202608", "202609"}


def on_change(word: str) -> Change:
    def change(pack: Pack) -> Pack:
        changed = replace(pack.data_sets["MH_SEC"], on_change=word)
        return only_here(replace(pack, data_sets={**pack.data_sets, "MH_SEC": changed}))

    return change


def completed(road: Road) -> set[str]:
    return {c["period"] for c in road.dhis2.state()["completions"] if c["completed"]}


class Watched:
    """What was written to DHIS2, and whether August was complete when figures arrived."""

    def __init__(self, road: Road) -> None:
        self.road = road
        self.writes: list[str] = []
        self.under: list[bool] = []
        self.instead: dict[
            str, list[int]
        ] = {}  #: write -> how it is answered the first times; 0: lost after it was done
        road.wires["dhis2"] = self  # type: ignore[assignment]
        self.app = httpx.ASGITransport(app=road.dhis2.app)
        road.again()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        what = f"{request.method} {request.url.path.removeprefix('/api/')}"
        assert "pprov" not in what, "approval is never touched"
        if request.method == "GET":
            return await self.app.handle_async_request(request)
        self.writes.append(what)
        if what == "POST dataValueSets":
            self.under.append(AUGUST in completed(self.road))
        answer = self.instead.get(what, []).pop(0) if self.instead.get(what) else None
        if answer:
            return httpx.Response(answer, json={"message": "starting"})
        done = await self.app.handle_async_request(request)
        if answer == 0:
            raise httpx.ReadError("lost", request=request)
        return done

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *args: Any) -> None: ...

    async def aclose(self) -> None: ...


def changed(make_road: Make, word: str) -> tuple[Road, Watched, str | None]:
    """Three complete months, and one more visit of August."""
    road = make_road(change=on_change(word))
    road.settle()
    assert completed(road) == MONTHS
    before = figures(road)
    road.cht.put(visit("visit-08-3", "2026-08-20", subject=MODIBO, worker=WORKERS[1]))
    return road, Watched(road), before


def figures(road: Road) -> Any:
    return sorted(item for item in road.values().items() if item[0][1:3] == (UNIT, AUGUST))


TAKEN_BACK = ["DELETE completeDataSetRegistrations", "POST dataValueSets", "POST completeDataSetRegistrations"]


def test_the_completion_is_taken_back_first_and_made_again_behind_the_figures(make_road: Make) -> None:
    road, seen, before = changed(make_road, "mark_incomplete")
    summary = road.run()
    assert seen.writes == TAKEN_BACK and seen.under == [False]
    assert figures(road) != before and completed(road) == MONTHS
    assert summary["outcome"] == "settled", "in one run, without a wait"
    seen.writes.clear()
    road.run()
    assert seen.writes == [], "and then there is rest"


def test_a_pack_that_says_nothing_keeps_it(make_road: Make) -> None:
    road, seen, before = changed(make_road, "keep")
    road.run()
    assert seen.writes == ["POST dataValueSets"] and seen.under == [True]
    assert figures(road) != before and completed(road) == MONTHS


@pytest.mark.parametrize(("write", "answers"), [(TAKEN_BACK[0], [503, 0]), (TAKEN_BACK[1], [0]), (TAKEN_BACK[2], [0])])
def test_whichever_answer_is_lost_no_changed_figure_stands_under_the_old_completion(
    make_road: Make, write: str, answers: list[int]
) -> None:
    road, seen, before = changed(make_road, "mark_incomplete")
    seen.instead = {write: list(answers)}
    road.settle()
    assert seen.instead == {write: []}, "it was lost"
    assert figures(road) != before and completed(road) == MONTHS
    assert not any(seen.under)
    assert [w for w in seen.writes if w != write] == [w for w in TAKEN_BACK if w != write]


def test_while_it_cannot_be_taken_back_the_figures_stay_here(make_road: Make) -> None:
    road, seen, before = changed(make_road, "mark_incomplete")
    seen.instead = {TAKEN_BACK[0]: [409] * 3}
    road.run()
    assert "POST dataValueSets" not in seen.writes and figures(road) == before
    row = road.delivery(f"block/MH_SEC/{UNIT}/{AUGUST}")
    assert (row["state"], row["reason"]) == ("deferred", "dhis2.completion_first")
    assert said(road, row["reason"])


def test_figures_that_are_as_before_leave_the_month_complete(make_road: Make) -> None:
    road, seen, before = changed(make_road, "mark_incomplete")
    seen.instead = {TAKEN_BACK[0]: [503]}
    road.run()
    road.cht.delete("visit-08-3")
    road.settle()
    assert "POST dataValueSets" not in seen.writes and figures(road) == before and completed(road) == MONTHS


def test_a_plan_sends_no_figure_under_an_old_completion(make_road: Make) -> None:
    road, seen, before = changed(make_road, "mark_incomplete")
    road.run(targets=[])
    plan = kept_plans.keep(road.engine, "awa", "dhis2")
    assert {one["period"] for one in plan["items"]} == {AUGUST}
    road.engine.run = "the plan"
    summary = road.go(lambda: runs.carry_out(road.engine, plan["id"], "awa"))
    assert seen.writes == [] and summary["outcome"] == "waiting", "what it takes is in no plan"
    road.run()
    assert seen.writes == TAKEN_BACK and figures(road) != before and completed(road) == MONTHS


def test_a_refused_value_that_is_wanted_no_more_does_not_keep_the_month_open(make_road: Make) -> None:
    """Found by the simulation: refused as it vanished, it was nothing that could ever be sent again."""
    road = make_road(change=only_here)
    road.cht.put(visit("gone", "2026-08-21", worker=WORKERS[1], subject=MODIBO))
    road.run(targets=[])
    road.cht.delete("gone")
    road.run(targets=[])
    empty = road.rows("SELECT id FROM cell WHERE period=:p AND org_unit=:u AND value IS NULL", p=AUGUST, u=UNIT)
    assert empty
    road.engine.store.write(
        lambda unit: unit.cells_state(
            [{"id": row["id"], "state": "rejected", "reason": "dhis2.E7619", "there": None} for row in empty]
        )
    )
    assert road.settle()["outcome"] == "settled"
    assert completed(road) == MONTHS
    assert {row["state"] for row in road.rows("SELECT state FROM cell WHERE value IS NULL")} == {"wanted"}
