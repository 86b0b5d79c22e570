"""Release: figures that leave only once approved, what asks again, and what the two kinds of approving have in common.

Asserted at the simulated DHIS2: what it holds before and after a person's word.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.engine import approving, runs
from connector.engine.completeness import completeness
from connector.engine.status import status
from connector.mappings.pack import Pack, Release
from tests.engine.house import MODIBO, UNIT, WORKERS, Change, Make, Road, only_here, said, target, visit

A04 = ("MH_A04", "A2_Y1_4-SEX_F")
BLOCK = f"block/MH_SEC/{UNIT}/202608"
MONTHS = ("202607", "202608", "202609")


def asking(margin: str | None = None, percent: bool = False, **more: Any) -> Change:
    """The pack, with MH_SEC to be approved before it leaves."""

    def change(pack: Pack) -> Pack:
        rule = Release(None if margin is None else Decimal(margin), percent)
        changed = replace(pack.data_sets["MH_SEC"], release=rule, **more)
        return only_here(replace(pack, data_sets={**pack.data_sets, "MH_SEC": changed}))

    return change


def approve(road: Road, period: str = "202608", org_unit: str | None = None, by: str = "ministry") -> dict[str, int]:
    return approving.approve(road.engine, approving.waiting(road.engine, period, org_unit), by)


def completed(road: Road) -> set[str]:
    return {c["period"] for c in road.dhis2.state()["completions"] if c["completed"]}


def test_nothing_leaves_before_somebody_approved_it(make_road: Make) -> None:
    road = make_road(change=asking())
    summary = road.settle()
    assert road.values() == {} and completed(road) == set(), "neither figures nor completion"
    assert (summary["outcome"], summary["attention"]["parked"], runs.exit_code(summary)) == ("waiting", 0, 5)
    assert summary["targets"]["dhis2"]["rejected"] == 0 and summary["errors"] == {}
    row = road.delivery(BLOCK)
    assert (row["state"], row["reason"], row["who"], row["tries"]) == (
        "deferred", "dhis2.awaiting_release", "ministry", 0
    )  # fmt: skip
    said(road, "dhis2.awaiting_release")
    (dhis2,) = [c for c in status(road.engine, "")["connections"] if c["name"] == "dhis2"]
    assert (dhis2["state"], dhis2["who"], dhis2["oldest_waiting_seconds"]) == ("action_needed", "ministry", 0)
    assert status(road.engine, "")["awaiting_release"] == 3
    for _ in range(3):  # longer than a delivery may wait for a target
        road.later(days=15)
        road.run()
    assert road.values() == {} and road.delivery(BLOCK)["state"] == "deferred", "never parked for its age"


def test_approved_a_month_leaves_with_its_completion_and_the_others_wait(make_road: Make) -> None:
    road = make_road(change=asking())
    road.settle()
    assert approve(road) == {"blocks": 1, "values": len(road.engine.store.read(_ours)), "changed": 0}
    road.settle()
    assert {key[2] for key in road.values()} == {"202608"} and completed(road) == {"202608"}
    assert road.value(*A04) == "1"
    kept = road.one("SELECT * FROM approval")
    assert (kept["by"], kept["org_unit"], kept["period"]) == ("ministry", UNIT, "202608")
    assert orjson.loads(kept["figures"])[str(road.cell(*A04)["id"])] == "1"
    (entry,) = road.rows("SELECT detail FROM audit WHERE event='person.approve'")
    assert orjson.loads(entry["detail"])["blocks"] == 1


def _ours(unit: Any) -> list[Any]:
    return [c for c in unit.cells(("MH_SEC", UNIT, "202608")) if c["value"] is not None]


def test_a_change_asks_again_and_the_approved_figure_stays_there(make_road: Make) -> None:
    road = make_road(change=asking())
    road.settle()
    for month in MONTHS:
        approve(road, month)
    assert road.settle()["outcome"] == "settled"
    road.cht.put(visit("late", "2026-08-20"))
    assert road.settle()["outcome"] == "waiting"
    assert road.value(*A04) == "1" and road.delivery(BLOCK)["reason"] == "dhis2.awaiting_release"
    assert approve(road, by="second")["blocks"] == 1
    assert road.settle()["outcome"] == "settled"
    assert road.value(*A04) == "2"
    assert [r["by"] for r in road.rows("SELECT by FROM approval WHERE period='202608' ORDER BY id")] == [
        "ministry", "second"
    ]  # fmt: skip


def test_back_to_what_was_approved_needs_no_word(make_road: Make) -> None:
    road = make_road(change=asking())
    road.settle()
    for month in MONTHS:
        approve(road, month)
    road.settle()
    road.cht.put(visit("mistake", "2026-08-20"))
    road.settle()
    road.cht.delete("mistake")
    assert road.settle()["outcome"] == "settled"
    assert road.value(*A04) == "1"


def test_within_the_margin_it_goes_and_small_steps_do_not_add_up(make_road: Make) -> None:
    road = make_road(change=asking("1"))
    road.settle()
    for month in MONTHS:
        approve(road, month)
    road.settle()
    road.cht.put(visit("one-more", "2026-08-20"))
    assert road.settle()["outcome"] == "settled" and road.value(*A04) == "2", "one more is within the margin"
    road.cht.put(visit("two-more", "2026-08-21"))
    assert road.settle()["outcome"] == "waiting" and road.value(*A04) == "2", "two more than approved are not"


def test_a_figure_that_was_not_there_asks_even_within_a_share(make_road: Make) -> None:
    road = make_road(change=asking("50", True))
    road.settle()
    for month in MONTHS:
        approve(road, month)
    road.settle()
    road.cht.put(visit("boy", "2026-08-20", subject=MODIBO))
    assert road.settle()["outcome"] == "waiting"
    held = len(road.values())
    assert approve(road)["blocks"] == 1
    road.settle()
    assert len(road.values()) > held


def test_a_running_month_waits_quietly_and_cannot_be_approved(make_road: Make) -> None:
    road = make_road([visit("october", "2026-10-02")], change=asking())
    road.settle()
    row = road.delivery(f"block/MH_SEC/{UNIT}/202610")
    assert (row["state"], row["reason"], row["who"]) == ("deferred", "dhis2.awaiting_release", "nobody")
    assert status(road.engine, "")["awaiting_release"] == 0, "nobody has anything to decide yet"
    with pytest.raises(approving.NotOver):
        approve(road, "202610")
    road.later(days=27)
    road.dhis2.today = road.dhis2.today.replace(month=11)
    road.run()
    assert status(road.engine, "")["awaiting_release"] == 1
    approve(road, "202610")
    road.settle()
    assert road.value("MH_A04", "A2_Y1_4-UNKNOWN", "202610") or road.values()


def test_figures_that_changed_since_they_were_looked_at_are_not_approved(make_road: Make) -> None:
    road = make_road(change=asking())
    road.settle()
    seen = approving.seen(approving.waiting(road.engine, "202608"))
    listed = approving.waiting(road.engine, "202608")
    road.cht.put(visit("late", "2026-08-20"))
    road.settle()
    assert road.actions.approve("202608", "", None, seen, "ministry")["blocks"] == 0
    assert approving.approve(road.engine, listed, "ministry") == {"blocks": 0, "values": 0, "changed": 1}
    road.settle()
    assert road.values() == {}
    now = approving.seen(approving.waiting(road.engine, "202608"))
    assert road.actions.approve("202608", "ML-KKO-D1-A1", "MH_SEC", now, "ministry")["blocks"] == 1


def test_approving_does_not_write_over_what_somebody_typed(make_road: Make) -> None:
    """The figures leave, and where another value stands the person is asked about that one."""
    road = make_road(change=asking())
    road.type_in(*A04, "7")
    road.settle()
    approve(road)
    summary = road.settle()
    assert (road.value(*A04), summary["attention"]["held_values"]) == ("7", 1)
    cell = road.one("SELECT id FROM cell WHERE state='held'")
    road.actions.release(cell["id"], "overwrite", "ministry")
    road.settle()
    assert road.value(*A04) == "1"


def test_a_pack_that_asks_no_more_lets_it_go(make_road: Make) -> None:
    road = make_road(change=asking())
    road.settle()
    road.again(lambda pack: pack)
    road.later(days=1, minutes=1)
    assert road.settle()["outcome"] == "settled"
    assert road.value(*A04) == "1"


def reports(road: Road) -> dict[str, int]:
    """Period -> children with diarrhoea (A04), as the FHIR server was told them."""
    found = {}
    for one in road.fhir.state()["resources"].values():
        if one["resourceType"] == "MeasureReport" and one["identifier"][0]["value"].startswith("MH_SEC/"):
            groups = {g["code"]["coding"][0]["code"]: g["population"][0]["count"] for g in one["group"]}
            found[one["identifier"][0]["value"].split("/")[2]] = groups["A04"]
    return found


def test_a_report_for_the_fhir_server_waits_for_the_same_word(make_road: Make) -> None:
    road = make_road(change=asking())
    road.settle()
    assert reports(road) == {}
    approve(road)
    road.settle()
    assert reports(road) == {"202608": 1}
    road.cht.put(visit("late", "2026-08-20"))
    road.settle()
    assert reports(road) == {"202608": 1}, "a change that nobody approved leaves for no target"
    approve(road)
    road.settle()
    assert reports(road) == {"202608": 2}
    road.again(lambda pack: pack)  # the pack asks no more
    road.later(days=1, minutes=1)
    road.settle()
    assert reports(road).keys() == {*MONTHS}


@pytest.mark.parametrize("freed", ["a person approves", "the pack asks no more"])
def test_figures_of_a_completed_month_reach_both_targets_once_they_may(make_road: Make, freed: str) -> None:
    """The completion is taken back between the word and the figures: the report must not be forgotten meanwhile."""
    road = make_road(change=asking(on_change="mark_incomplete"))
    road.settle()
    for month in MONTHS:
        approve(road, month)
    road.settle()
    assert completed(road) == {*MONTHS} and reports(road)["202608"] == 1
    road.cht.put(visit("late", "2026-08-20"))
    road.settle()
    assert road.value(*A04) == "1" and completed(road) == {*MONTHS}, "until somebody decides, all stays as it was"
    if freed == "a person approves":
        approve(road)
    else:
        changed = replace(road.engine.pack.data_sets["MH_SEC"], release=None)
        road.again(lambda pack: only_here(replace(pack, data_sets={**pack.data_sets, "MH_SEC": changed})))
        road.later(days=1, minutes=1)
    assert road.settle()["outcome"] == "settled"
    assert road.value(*A04) == "2" and reports(road)["202608"] == 2 and completed(road) == {*MONTHS}


@pytest.mark.parametrize(("settings", "months"), [({"mode": "shadow"}, MONTHS), ({"live_from": "202609"}, MONTHS[:2])])
def test_where_dhis2_is_sent_nothing_nobody_is_asked(
    make_road: Make, settings: dict[str, str], months: tuple[str, ...]
) -> None:
    """There would be nothing to approve, and the report would wait for ever."""
    road = make_road(change=lambda pack: target("dhis2", **settings)(asking()(pack)))
    road.run()
    assert reports(road).keys() == {*months}


def test_only_below_the_place_named(make_road: Make) -> None:
    road = make_road(change=asking())
    road.settle()
    assert approving.waiting(road.engine, "202608", "ML-KKO-D1-A2") == []
    assert [one.block[1] for one in approving.waiting(road.engine, "202608", "ML-KKO-D1-A1")] == [UNIT]
    (one,) = completeness(road.engine, "202608", "MH_SEC", UNIT)["data_sets"]
    assert one["figures"] == {"awaiting_release": 1} and one["completion"] == {"figures": 1}


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 60))
def test_a_margin_is_what_it_says(approved: int, wanted: int, margin: int) -> None:
    count, share = Release(Decimal(margin)), Release(Decimal(margin), True)
    assert count.covers(str(approved), str(wanted)) == (abs(wanted - approved) <= margin)
    assert share.covers(str(approved), str(wanted)) == (100 * abs(wanted - approved) <= margin * approved)
    assert Release().covers(str(approved), str(wanted)) == (approved == wanted)
    assert count.covers(None, "0") and count.covers("0", None) and Release().covers("", None)


# ---------------------------------------------------------------- completion


def test_gaps_are_completed_only_after_the_days_the_pack_says(make_road: Make) -> None:
    def gaps(pack: Pack) -> Pack:
        changed = replace(pack.data_sets["MH_SEC"], deadline=5, gaps_after=20)
        return only_here(replace(pack, data_sets={**pack.data_sets, "MH_SEC": changed}))

    road = make_road(change=gaps)
    road.cht.delete("visit-09-2")  # the second reporter of September
    road.settle()  # 6 October
    assert completed(road) == {"202607", "202608"}
    (one,) = completeness(road.engine, "202609", "MH_SEC", UNIT)["data_sets"]
    assert (one["expected"], one["reported"], one["missing"]) == (2, 1, 1)
    (here,) = one["units"]
    assert here["completion"] == "missing" and here["missing"] == [
        {"reporter": WORKERS[1], "kind": "worker", "last": "2026-08-12"}
    ]
    road.later(days=14)  # the 20th is still inside
    road.settle()
    assert completed(road) == {"202607", "202608"}
    road.later(days=1)
    road.settle()
    assert completed(road) == set(MONTHS)
    (one,) = completeness(road.engine, "202609", "MH_SEC", UNIT)["data_sets"]
    assert one["completion"] == {"gaps": 1}, "and it says so"
    (entry,) = road.rows("SELECT detail FROM audit WHERE event='completion.with_gaps'")
    assert orjson.loads(entry["detail"])["missing"] == 1


@pytest.mark.again
def test_without_the_word_of_the_pack_gaps_are_never_completed(road: Road) -> None:
    road.cht.delete("visit-09-2")
    road.settle()
    road.later(days=300)
    road.settle()
    assert completed(road) == {"202607", "202608"}


@pytest.mark.again
def test_on_time_is_received_before_the_deadline_is_over(make_road: Make) -> None:
    def due(pack: Pack) -> Pack:
        changed = replace(pack.data_sets["MH_SEC"], deadline=5)
        return replace(pack, data_sets={**pack.data_sets, "MH_SEC": changed})

    road = make_road(change=due)
    road.cht.delete("visit-09-2")
    road.clock.at = road.clock.at.replace(day=5, hour=23, minute=50)
    road.settle(hours=0.05)
    road.cht.put(visit("visit-09-3", "2026-09-12", subject=MODIBO, worker=WORKERS[1]))
    road.clock.at = road.clock.at.replace(day=6, hour=0, minute=1)
    road.settle(hours=0.05)
    (one,) = completeness(road.engine, "202609", "MH_SEC", UNIT)["data_sets"]
    assert (one["deadline"], one["on_time"], one["late"], one["missing"]) == ("2026-10-05", 1, 1, 0)
    (late,) = one["units"][0]["late_reporters"]
    assert late["reporter"] == WORKERS[1] and late["received"].startswith("2026-10-06T00:01")


def test_reporters_below_the_level_of_the_data_set_are_expected_at_its_units(make_road: Make) -> None:
    """CHWs deployed at sites report for a data set that is entered per CSCom."""

    def by_area(pack: Pack) -> Pack:
        changed = replace(pack.data_sets["MH_STOCK"], complete="asc")
        return replace(pack, data_sets={**pack.data_sets, "MH_STOCK": changed})

    road = make_road(change=by_area)
    road.settle()
    (one,) = completeness(road.engine, "202608", "MH_STOCK", "ML-KKO-D1-A1")["data_sets"]
    (area,) = one["units"]
    assert (area["org_unit"], area["expected"], area["reported"]) == ("ML-KKO-D1-A1", 8, 2)


@pytest.mark.again
def test_status_has_the_counts_of_the_last_period(road: Road) -> None:
    road.settle()
    found = {one["data_set"]: one for one in status(road.engine, "")["completeness"]}
    assert found["MH_SEC"] == {"data_set": "MH_SEC", "period": "202609", "expected": 24, "reported": 2, "missing": 22}
