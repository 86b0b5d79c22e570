"""A plan is exactly what a run sends; carried out it sends just that, and nothing when its input has changed since."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from connector.engine import approving, kept_plans, runs
from connector.engine import plan as planning
from connector.errors import PlanChanged, PlanUnknown
from connector.mappings.pack import Pack, Release
from tests.engine.house import ANNA, SITE, UNIT, WORKERS, Make, Road, a_few, person, place, visit

A1 = "ML-KKO-D1-A1"
A04 = ("MH_A04", "A2_Y1_4-SEX_F")


def carry_out(road: Road, name: int, **more: Any) -> dict[str, Any]:
    road.engine.run = f"run-{len(road.rows('SELECT id FROM run'))}"
    found: dict[str, Any] = road.go(lambda: runs.carry_out(road.engine, name, "awa", **more))
    return found


def addresses(items: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    return {(i["data_element"], i["org_unit"], i["period"], i["combo"]) for i in items if "data_element" in i}


def item(document: dict[str, Any], element: str, combo: str, period: str = "202608") -> dict[str, Any]:
    (found,) = [
        i for i in document["items"]
        if (i.get("data_element"), i.get("combo"), i.get("period")) == (element, combo, period)
    ]  # fmt: skip
    return found


def test_carried_out_it_sends_exactly_what_it_says_and_nothing_more(make_road: Make) -> None:
    road = make_road(a_few())
    road.run(targets=[])
    document = kept_plans.keep(road.engine, "awa", "dhis2", "202608")
    planned = addresses(document["items"])
    assert planned and {p[2] for p in planned} == {"202608"} and road.values() == {}
    summary = carry_out(road, document["id"])
    assert set(road.values()) == planned, "no other period, no other value"
    assert road.values() == {
        (i["data_element"], i["org_unit"], i["period"], i["combo"]): i["sends"] for i in document["items"]
    }
    assert road.dhis2.state()["completions"] == [] and not road.fhir.state()["resources"]
    assert summary["plan"]["left"] == 0 and summary["outcome"] == "settled"
    events = [r["event"] for r in road.rows("SELECT event FROM audit WHERE event LIKE 'plan.%' ORDER BY id")]
    assert events == ["plan.made", "plan.carried_out"]
    told = summary["targets"]["dhis2"]
    assert told["sent"] == summary["plan"]["sent"] == told["accepted"] > 0
    # a second time there is nothing left to send
    writes = road.writes()
    again = carry_out(road, document["id"])
    assert again["plan"] == summary["plan"] and road.writes() == writes
    assert (again["targets"]["dhis2"]["sent"], again["targets"]["dhis2"]["accepted"]) == (0, told["accepted"])


def test_a_whole_plan_is_what_the_next_run_sends_to_every_target(make_road: Make) -> None:
    road = make_road(a_few())
    road.run(targets=[])
    document = kept_plans.keep(road.engine, "awa")
    carry_out(road, document["id"])
    sent = road.values(), len(road.fhir.state()["resources"])
    assert set(sent[0]) == addresses(document["items"])
    assert sent[1] == sum(1 for i in document["items"] if i.get("kind") == "resource") > 0
    again = planning.plan(road.engine)
    assert [i for i in again["items"] if i.get("kind") != "completion"] == []


def test_the_same_state_gives_the_same_plan(make_road: Make) -> None:
    road = make_road(a_few())
    road.run(targets=[])
    first, second = kept_plans.keep(road.engine, "awa"), kept_plans.keep(road.engine, "modibo")
    assert first["id"] == second["id"] and first["digest"] == second["digest"]
    assert len(road.rows("SELECT id FROM plan")) == 1
    assert {r["plan"] for r in road.rows("SELECT DISTINCT plan FROM plan_delivery")} == {first["id"]}


def test_a_number_never_goes_back(make_road: Make) -> None:
    road = make_road(a_few())
    empty = kept_plans.keep(road.engine, "awa")
    road.run(targets=[])
    full = kept_plans.keep(road.engine, "awa")
    carry_out(road, full["id"])
    again = kept_plans.keep(road.engine, "awa", "dhis2", "202601")
    last = kept_plans.keep(road.engine, "awa", "dhis2", "202601")
    assert empty["id"] < full["id"] < again["id"] == last["id"]
    after = kept_plans.keep(road.engine, "awa", "dhis2", "202602")
    assert kept_plans.keep(road.engine, "awa", "dhis2", "202601")["id"] > after["id"], "the same as an older one"
    assert carry_out(road, again["id"])["plan"]["sent"] == 0


def test_a_changed_input_is_refused_and_nothing_leaves(make_road: Make) -> None:
    road = make_road(a_few())
    road.run(targets=[])
    document = kept_plans.keep(road.engine, "awa", "dhis2", "202608")
    road.cht.put(visit("late", "2026-08-21"))
    road.run(targets=[])
    with pytest.raises(PlanChanged, match=r"block/MH_SEC/.*another state is wanted now.*Nothing was sent"):
        carry_out(road, document["id"])
    assert road.values() == {} and PlanChanged.exit_code == 3


def replaced(pack: Pack) -> Pack:
    """From 15 August site 1 is what was site 4, site 2 is closed, and site 3 is another CSCom's site."""
    half, rows = date(2026, 8, 14), []
    for row in pack.org_units:
        if (row.source, row.place) in (("cht", "site-1"), ("cht", "site-2"), ("cht", "site-3")):
            rows.append(replace(row, valid_to=half))
            unit = {"site-1": f"{A1}-S4", "site-3": "ML-KKO-D1-A2-S1"}.get(row.place)
            if unit is not None:
                rows.append(replace(row, org_unit=unit, parent=unit[:-3], valid_from=half + timedelta(days=1)))
        else:
            rows.append(row)
    return replace(pack, version="replaced", org_units=tuple(rows))


def test_a_place_that_moves_one_that_closes_and_one_that_changes_its_area_stand_in_one_plan(make_road: Make) -> None:
    """Both sides of each are told together, and carried out together."""
    sites = [place(f"site-{n}", "site", "area-1") for n in (1, 2, 3)]
    visits = [
        visit(f"{site}-{day}", f"2026-08-{day}", site=f"site-{site}")
        for site in (1, 2, 3)
        for day in ("05", "10", "20")
    ]
    road = make_road([place("area-1", "area", "district-1"), *sites, person(ANNA), *visits])
    road.settle()
    before = {unit: road.value(*A04, unit=unit) for unit in (f"{A1}-S1", f"{A1}-S2", f"{A1}-S3", f"{A1}-S4")}
    assert before == {f"{A1}-S1": "3", f"{A1}-S2": "3", f"{A1}-S3": "3", f"{A1}-S4": None}
    road.again(replaced)
    road.run(targets=[])
    document = kept_plans.keep(road.engine, "awa", "dhis2", "202608")
    told = {
        i["org_unit"]: (i["what"], i["accepted"], i["sends"])
        for i in document["items"] if (i.get("data_element"), i.get("combo")) == A04
    }  # fmt: skip
    assert told == {
        f"{A1}-S1": ("changed", "3", "2"), f"{A1}-S2": ("changed", "3", "2"), f"{A1}-S3": ("changed", "3", "2"),
        f"{A1}-S4": ("new", None, "1"), "ML-KKO-D1-A2-S1": ("new", None, "1"),
    }  # fmt: skip
    assert road.quarantined() == {"2-20": "place.closed_at_date"}
    carry_out(road, document["id"])
    assert {unit: road.value(*A04, unit=unit) for unit in told} == {unit: sends for unit, (_, _, sends) in told.items()}


def test_records_not_counted_yet_are_a_changed_input_too(make_road: Make) -> None:
    road = make_road(a_few())
    road.run(targets=[])
    document = kept_plans.keep(road.engine, "awa", "dhis2", "202608")
    cell = road.cell(*A04)
    address = {name: cell[name] for name in ("indicator", "part", "org_unit", "period", "categories")}
    road.engine.store.write(lambda unit: unit.touch([address]))
    with pytest.raises(PlanChanged, match="not counted yet"):
        carry_out(road, document["id"])


def test_what_came_for_another_month_refuses_nothing_and_is_not_sent(make_road: Make) -> None:
    road = make_road(a_few())
    road.run(targets=[])
    document = kept_plans.keep(road.engine, "awa", "dhis2", "202608")
    road.cht.put(visit("late", "2026-07-21"))
    road.run(targets=[])
    carry_out(road, document["id"])
    assert set(road.values()) == addresses(document["items"])


def test_another_pack_is_refused(make_road: Make) -> None:
    def other(pack: Pack) -> Pack:
        return replace(pack, version="another")

    road = make_road(a_few())
    road.run(targets=[])
    document = kept_plans.keep(road.engine, "awa", "dhis2")
    road.again(other)
    with pytest.raises(PlanChanged, match="the pack ") as changed:
        carry_out(road, document["id"])
    assert "le paquet (" in changed.value.french and "le paquet" not in str(changed.value)
    with pytest.raises(PlanUnknown):
        carry_out(road, 4711)


@pytest.mark.again
def test_a_change_names_the_records_it_comes_from(make_road: Make) -> None:
    road = make_road(a_few())
    road.settle()
    road.later(hours=1)
    road.cht.put(visit("late", "2026-08-21"))
    road.cht.put(visit("later", "2026-08-22"))
    road.cht.delete("visit-08-1")
    road.run(targets=[])
    document = kept_plans.keep(road.engine, "awa", "dhis2")
    changed = item(document, *A04)
    assert (changed["what"], changed["accepted"], changed["value"]) == ("changed", "1", "2")
    because = changed["because"]
    assert {one["record"] for one in because["came"]} == {"cht/reports/late", "cht/reports/later"}
    assert because["came_total"] == 2
    assert because["left"] == [{"record": "cht/reports/visit-08-1", "state": "deleted"}]
    carry_out(road, document["id"])
    assert road.value(*A04) == "2" and road.rows("SELECT * FROM cell_change WHERE indicator='A04'") == []


@pytest.mark.again
def test_an_edit_that_no_longer_counts_is_named(make_road: Make) -> None:
    road = make_road(a_few())
    road.settle()
    road.later(hours=1)
    road.cht.put({**visit("visit-08-1", rdt="negative", refer=True)})
    road.run(targets=[])
    removed = item(planning.plan(road.engine, "dhis2"), "MH_B02_NUM", "A3_Y0_4")
    assert removed["what"] == "removed" and removed["sends"] == "0"
    assert removed["because"]["left"] == [{"record": "cht/reports/visit-08-1", "state": "mapped"}]


def test_what_was_counted_alike_before_is_no_reason_however_often_it_was_mapped_again(make_road: Make) -> None:
    road = make_road(a_few())
    road.settle()
    road.later(hours=1)
    road.again(
        lambda pack: replace(
            pack,
            version="another",
            indicators={id: replace(one, version="another") for id, one in pack.indicators.items()},
        )
    )
    everything = "UPDATE head SET dirty=:yes WHERE NOT deleted"
    road.engine.store.write(lambda unit: unit.connection.execute(text(everything), {"yes": True}))
    road.cht.put(visit("visit-08-1", note="another word"))
    road.cht.put(visit("late", "2026-08-21"))
    road.run(targets=[])
    because = item(planning.plan(road.engine, "dhis2"), *A04)["because"]
    assert [one["record"] for one in because["came"]] == ["cht/reports/late"]
    assert (because["came_total"], because["left"]) == (1, [])
    moved = visit("visit-08-1", "2026-07-10")
    gone = [{"record": "cht/reports/visit-08-1", "state": "mapped"}]
    for document, left in ((moved, gone), (visit("visit-08-1"), [])):
        road.later(hours=1)
        road.cht.put(document)
        road.run(targets=[])
        found = road.rows("SELECT record FROM cell_change WHERE indicator='A04' AND period='202608' ORDER BY record")
        assert [one["record"] for one in found] == ["cht/reports/late", *(one["record"] for one in left)]
        if not left:
            because = item(planning.plan(road.engine, "dhis2"), *A04)["because"]
            assert (because["came_total"], because["left"]) == (1, []), "away and back again"


def test_a_paused_target_is_one_line_and_gets_nothing(make_road: Make) -> None:
    road = make_road(a_few())
    road.run(targets=[])
    road.actions.pause("dhis2", "maintenance", None, "awa")
    document = kept_plans.keep(road.engine, "awa", "dhis2")
    assert document["items"] == [] and document["blocked"][0]["state"] == "paused"


def test_what_is_not_due_is_held_back_with_its_time(make_road: Make) -> None:
    road = make_road(a_few())
    road.run(targets=[])
    later = "2026-12-01T00:00:00.000000Z"
    rows = [{"id": r["id"], "due_at": later} for r in road.rows("SELECT id FROM delivery WHERE kind='block'")]
    road.engine.store.write(lambda unit: unit.wait_until(rows))
    found = planning.plan(road.engine, "dhis2")
    assert found["items"] == [] and {b["state"] for b in found["blocked"]} == {"pending"}


def test_what_waits_for_approval_is_held_back_and_not_in_the_plan(make_road: Make) -> None:
    def asking(pack: Pack) -> Pack:
        return replace(
            pack,
            data_sets={**pack.data_sets, "MH_SEC": replace(pack.data_sets["MH_SEC"], release=Release(None, False))},
        )

    road = make_road(a_few(), asking)
    road.run(targets=[])
    for _ in range(2):  # also once it is asked about again
        document = kept_plans.keep(road.engine, "awa", "dhis2", "202608")
        assert document["items"] == []
        assert {(b["state"], b["reason"]) for b in document["blocked"]} == {("deferred", "dhis2.awaiting_release")}
        road.later(days=2)
    approving.approve(road.engine, approving.waiting(road.engine, "202608"), "ministry")
    assert {i["period"] for i in planning.plan(road.engine, "dhis2")["items"]} == {"202608"}


def test_completions_that_follow_are_told_and_come_with_the_next_run(make_road: Make) -> None:
    road = make_road([*a_few(), visit("more", "2026-08-12", worker=WORKERS[1], site=SITE)])
    road.run(targets=[])
    document = kept_plans.keep(road.engine, "awa", "dhis2")
    ahead = {(c["org_unit"], c["period"]) for c in document["completions"]}
    assert ahead and {unit for unit, _ in ahead} == {UNIT}
    carry_out(road, document["id"])
    assert road.dhis2.state()["completions"] == []
    road.settle()
    assert {c["period"] for c in road.dhis2.state()["completions"]} == {period for _, period in ahead}


def test_a_plan_cut_off_halfway_is_gone_on_with(make_road: Make) -> None:
    road = make_road(a_few())
    road.run(targets=[])
    document = kept_plans.keep(road.engine, "awa")
    asyncio.run(_only(road, document["id"], "dhis2"))
    assert road.values() and not road.fhir.state()["resources"]
    summary = carry_out(road, document["id"])
    assert summary["plan"]["left"] == 0 and len(road.fhir.state()["resources"]) > 0


async def _only(road: Road, name: int, target: str) -> None:
    from connector.engine import delivery

    await delivery.deliver(road.engine, target, name)
