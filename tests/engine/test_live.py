"""Going live without harm (DECISIONS 1): nothing typed by hand is overwritten, nothing old is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from connector.engine import delivery as delivering
from connector.engine import runs
from connector.mappings.pack import Pack
from tests.engine.house import ANNA, MODIBO, UNIT, Make, Road, Wire, a_few, said, target, visit

A04 = ("MH_A04", "A2_Y1_4-SEX_F")
B02 = ("MH_B02_NUM", "A3_Y0_4")
BLOCK = f"block/MH_SEC/{UNIT}/202608"


def held(road: Road) -> dict[str, Any]:
    return road.one("SELECT * FROM cell WHERE state='held'")


# ---------------------------------------------------------------- live_from


def test_older_periods_are_computed_and_never_sent(make_road: Make) -> None:
    road = make_road([*a_few(), visit("june", "2026-06-20"), visit("spring", "2026-03-02")])
    summary = road.settle()
    assert (summary["outcome"], summary["attention"]["held_values"]) == ("settled", 0)
    for period in ("202606", "202603"):
        cell = road.cell(*A04, period)
        assert (cell["value"], cell["state"], cell["accepted"]) == ("1", "old", None)
        assert road.rows("SELECT id FROM delivery WHERE target='dhis2' AND key LIKE :k", k=f"%/{period}") == []
    assert not [key for key in road.values() if key[2] < "202607"]
    assert road.value(*A04) == "1"


def test_older_referrals_open_nothing_at_the_clinic(make_road: Make) -> None:
    road = make_road([*a_few(), visit("before", "2026-07-05", refer=True), visit("first", "2026-07-06", refer=True)])
    assert road.settle()["outcome"] == "settled"
    assert road.one("SELECT state FROM referral WHERE record LIKE '%/before'")["state"] == "old"
    assert sorted(a["number"] for a in road.openmrs.state()["appointments"]) == ["first", "visit-08-1"]
    referrals = [e for e in road.openmrs.state()["encounters"] if not e["voided"]]
    assert len(referrals) == 2 and not any("before" in str(e) for e in referrals)
    said(road, "before_live_from")


# ---------------------------------------------------------------- a value that was there before us


def test_ask_holds_back_just_that_value(road: Road) -> None:
    road.type_in(*A04, "7")
    summary = road.settle()
    assert (summary["outcome"], summary["attention"]["held_values"], runs.exit_code(summary)) == ("settled", 1, 3)
    cell = held(road)
    assert (cell["data_element"], cell["value"], cell["there"], cell["accepted"]) == ("MH_A04", "1", "7", None)
    assert cell["reason"] == "dhis2.value_already_there"
    assert str(said(road, cell["reason"]).who) == "ministry"
    assert road.value(*A04) == "7" and road.value(*B02) == "1", "the rest of the block is in"
    assert road.delivery(BLOCK)["state"] == "accepted"
    assert {c["period"] for c in road.dhis2.state()["completions"]} == {"202607", "202609"}


def test_an_equal_value_there_is_ours_without_sending(road: Road) -> None:
    road.type_in(*A04, "1")
    summary = road.settle()
    assert summary["attention"]["held_values"] == 0 and road.cell(*A04)["state"] == "accepted"
    stored_by = {
        v["storedBy"] for v in road.dhis2.state()["values"] if v["dataElement"] == A04[0] and v["period"] == "202608"
    }
    assert stored_by == {"admin"}


def test_a_held_value_stays_held_when_our_figure_changes(road: Road) -> None:
    road.type_in(*A04, "7")
    road.settle()
    road.cht.put(visit("more", "2026-08-21"))
    assert road.settle()["attention"]["held_values"] == 1
    assert (held(road)["value"], held(road)["there"], road.value(*A04), road.value(*B02)) == ("2", "7", "7", "2")


def test_a_held_value_may_come_to_agree(road: Road) -> None:
    road.type_in(*A04, "2")
    road.settle()
    road.cht.put(visit("more", "2026-08-21"))
    assert road.settle()["attention"]["held_values"] == 0
    assert (road.cell(*A04)["state"], road.value(*A04)) == ("accepted", "2")


def test_released_it_is_sent_and_completes_the_month(road: Road) -> None:
    road.type_in(*A04, "7")
    road.settle()
    road.actions.release(held(road)["id"], "overwrite", "ministry")
    summary = road.settle()
    assert (summary["attention"]["held_values"], road.value(*A04)) == (0, "1")
    assert road.cell(*A04)["accepted"] == "1"
    assert {c["period"] for c in road.dhis2.state()["completions"]} == {"202607", "202608", "202609"}
    assert len(road.rows("SELECT id FROM audit WHERE event='person.release'")) == 1


def test_kept_it_is_never_sent_again(road: Road) -> None:
    road.type_in(*A04, "7")
    road.settle()
    road.actions.release(held(road)["id"], "keep", "ministry")
    road.cht.put(visit("more", "2026-08-21"))
    summary = road.settle()
    assert (summary["attention"]["held_values"], road.value(*A04), road.value(*B02)) == (0, "7", "2")
    assert (road.cell(*A04)["state"], road.cell(*A04)["released"]) == ("kept", "keep")


def test_a_decision_that_is_none_changes_nothing(road: Road) -> None:
    road.type_in(*A04, "7")
    road.settle()
    with pytest.raises(ValueError, match="overwrite or keep"):
        road.actions.release(held(road)["id"], "perhaps", "ministry")
    road.actions.release(road.cell(*B02)["id"], "keep", "ministry")
    assert road.cell(*B02)["state"] == "accepted" and held(road)["released"] is None


def test_on_existing_keep_asks_nobody(make_road: Make) -> None:
    road = make_road(None, target("dhis2", on_existing="keep"))
    road.type_in(*A04, "7")
    summary = road.settle()
    assert (summary["attention"]["held_values"], road.value(*A04), road.value(*B02)) == (0, "7", "1")
    cell = road.cell(*A04)
    assert (cell["state"], cell["reason"], cell["there"]) == ("kept", "dhis2.value_kept", "7")
    said(road, "dhis2.value_kept")


def test_on_existing_overwrite_sends_ours(make_road: Make) -> None:
    road = make_road(None, target("dhis2", on_existing="overwrite"))
    road.type_in(*A04, "7")
    summary = road.settle()
    assert (summary["attention"]["held_values"], road.value(*A04)) == (0, "1")


# ---------------------------------------------------------------- changed by hand after our send


def test_a_value_changed_there_is_shown_and_kept(road: Road) -> None:
    road.settle()
    road.type_in(*A04, "9")
    found = road.reconcile()
    assert (found["different"], found["missing"]) == (1, 0)
    assert found["items"][0] == {
        "what": "different", "data_element": A04[0], "combo": A04[1], "org_unit": UNIT, "period": "202608", "ours": "1",
        "there": "9",
    }  # fmt: skip
    cell = road.cell(*A04)
    assert (cell["there"], cell["reason"]) == ("9", "dhis2.changed_by_hand")
    said(road, "dhis2.changed_by_hand")
    road.settle()
    assert road.value(*A04) == "9", "kept"


def patient_of(road: Road) -> str:
    (key,) = [
        key for key, held in road.fhir._held.items() if key.startswith("Patient/") and "2021-02-01" in str(held.content)
    ]
    return key


def write_there(road: Road, key: str, content: dict[str, Any]) -> None:
    held = road.fhir._held[key]
    held.content, held.canonical, held.version = content, b"", held.version + 1


def test_a_resource_changed_there_is_shown_and_kept_until_a_person_says_otherwise(road: Road) -> None:
    road.settle()
    key = patient_of(road)
    theirs = {**road.fhir._held[key].content, "active": False}
    ours = road.fhir._held[key].content
    write_there(road, key, theirs)
    for _ in range(2):
        assert road.reconcile("fhir")["items"] == [{"what": "different", "key": key}]
        road.settle()
        assert road.fhir._held[key].content == theirs
    row = road.one("SELECT * FROM delivery WHERE key=:k", k=key)
    assert (row["state"], row["reason"], row["who"]) == ("accepted", "fhir.changed_by_hand", "target_admin")
    said(road, row["reason"])
    write_there(road, key, ours)
    assert road.reconcile("fhir")["different"] == 0
    assert road.one("SELECT reason FROM delivery WHERE key=:k", k=key)["reason"] is None, "nothing to say any more"
    write_there(road, key, theirs)
    road.reconcile("fhir")
    road.cht.edit(MODIBO, {"name": "Modibo Deux"})
    road.settle()
    assert road.fhir._held[key].content == theirs, "a change of the record overwrites nobody's work unseen"
    row = road.one("SELECT * FROM delivery WHERE key=:k", k=key)
    assert (row["state"], row["reason"], row["who"]) == ("parked", "fhir.changed_there", "target_admin")
    said(road, row["reason"])
    road.actions.retry([row["id"]], by="admin")
    road.settle()
    assert "Deux" in str(road.fhir._held[key].content) and "active" not in road.fhir._held[key].content
    assert road.one("SELECT reason FROM delivery WHERE key=:k", k=key)["reason"] is None


def test_an_older_version_of_ours_there_is_put_right(road: Road) -> None:
    """A write that arrived late, or a server put back from a backup: nobody wrote that by hand."""
    road.settle()
    key = patient_of(road)
    before = road.fhir._held[key].content
    road.cht.edit(MODIBO, {"name": "Modibo Deux"})
    road.settle()
    now = road.fhir._held[key].content
    assert now != before
    write_there(road, key, before)
    assert road.reconcile("fhir")["items"] == [{"what": "different", "key": key}]
    road.settle()
    assert road.fhir._held[key].content == now


def test_what_we_sent_before_we_were_killed_is_no_work_of_somebody_else(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    road.run(targets=["fhir"])
    key = patient_of(road)
    road.cht.edit(MODIBO, {"name": "Modibo Deux"})

    def killed(*_: Any) -> Any:
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(delivering, "_settle", killed)
        road.run(targets=["fhir"])
    assert "Deux" in str(road.fhir._held[key].content), "it is there, and nobody wrote that down"
    road.cht.edit(MODIBO, {"name": "Modibo Trois"})
    road.again()
    road.run(targets=["fhir"], wait=timedelta(hours=2))
    row = road.one("SELECT * FROM delivery WHERE key=:k", k=key)
    assert row["state"] == "accepted" and "Trois" in str(road.fhir._held[key].content), row["reason"]


def test_where_ours_win_a_resource_changed_there_is_put_right(make_road: Make) -> None:
    road = make_road(None, target("fhir", on_existing="overwrite"))
    road.settle()
    key = patient_of(road)
    ours = road.fhir._held[key].content
    write_there(road, key, {**ours, "active": False})
    road.reconcile("fhir")
    road.settle()
    assert road.fhir._held[key].content == ours


def test_a_value_changed_there_is_kept_when_our_figure_moves_on(road: Road) -> None:
    road.settle()
    road.type_in(*A04, "9")
    road.cht.put(visit("more", "2026-08-21"))
    summary = road.settle()
    assert (summary["attention"]["held_values"], road.value(*A04), road.value(*B02)) == (1, "9", "2")
    assert (held(road)["reason"], held(road)["there"], held(road)["accepted"]) == (
        "dhis2.value_changed_there",
        "9",
        "1",
    )
    said(road, "dhis2.value_changed_there")
    road.actions.release(held(road)["id"], "overwrite", "ministry")
    road.settle()
    assert road.value(*A04) == "2"


def test_with_overwrite_reconcile_puts_ours_back(make_road: Make) -> None:
    road = make_road(None, target("dhis2", on_existing="overwrite"))
    road.settle()
    road.type_in(*A04, "9")
    assert road.reconcile()["different"] == 1
    road.settle()
    assert road.value(*A04) == "1" and road.reconcile()["different"] == 0


def test_what_disappeared_there_is_sent_again(road: Road) -> None:
    road.settle()
    for key in list(road.dhis2.values):
        if key[2] == "202608":
            del road.dhis2.values[key]
    assert road.reconcile()["missing"] > 3
    assert road.settle()["outcome"] == "settled"
    assert road.value(*A04) == "1"
    found = road.reconcile()
    assert (found["missing"], found["different"]) == (0, 0)


# ---------------------------------------------------------------- mode: shadow


def test_shadow_computes_compares_and_sends_nothing(make_road: Make) -> None:
    road = make_road(None, target("dhis2", mode="shadow"))
    road.type_in(*A04, "1")
    road.type_in(*B02, "5")
    summary = road.settle()
    assert (summary["outcome"], summary["attention"]["held_values"]) == ("settled", 0)
    assert road.writes() == 0 and road.dhis2.state()["completions"] == []
    assert {r["state"] for r in road.rows("SELECT DISTINCT state FROM cell")} == {"shadow"}
    wanted = len(road.rows("SELECT id FROM cell WHERE value IS NOT NULL"))
    table = road.reconcile()
    assert (table["equal"], table["different"], table["missing"]) == (1, 1, wanted - 2)
    different = next(i for i in table["items"] if i["what"] == "different")
    assert (different["ours"], different["there"], different["data_element"]) == ("1", "5", B02[0])
    assert road.settle()["outcome"] == "settled"
    assert road.writes() == 0, "comparing reopens nothing"
    assert len(road.fhir.plane.log) > 0, "another target is live"
    said(road, "mode.shadow")


def test_shadow_lists_what_is_there_and_not_ours(make_road: Make) -> None:
    road = make_road(None, target("dhis2", mode="shadow"))
    road.type_in("MH_E02", "A1_M12_59-SEX_F", "3")
    road.settle()
    table = road.reconcile()
    assert table["unknown_there"] == 1
    assert next(i for i in table["items"] if i["what"] == "unknown_there")["there"] == "3"


def test_a_shadow_clinic_gets_no_referral(make_road: Make) -> None:
    road = make_road(None, target("openmrs", mode="shadow"))
    assert road.settle()["outcome"] == "settled"
    assert road.openmrs.state()["appointments"] == [] and road.openmrs.state()["patients"] == []
    assert road.delivery("cht/reports/visit-08-1", "openmrs")["reason"] == "mode.shadow"


def test_from_shadow_to_live_what_was_computed_is_sent(make_road: Make) -> None:
    road = make_road(None, target("dhis2", mode="shadow"))
    road.type_in(*B02, "5")
    road.settle()
    assert road.writes() == 0
    road.again(lambda pack: pack)
    summary = road.settle()
    assert road.value(*A04) == "1" and road.value(*A04, "202607") == "1"
    assert (summary["attention"]["held_values"], road.value(*B02)) == (1, "5")


def test_an_earlier_live_from_sends_the_older_months(make_road: Make) -> None:
    road = make_road([*a_few(), visit("june", "2026-06-20", subject=ANNA)])
    road.settle()
    road.again(target("dhis2", live_from="202606"))
    road.settle()
    assert road.value(*A04, "202606") == "1"


def test_a_server_gets_the_types_that_the_pack_shares_and_no_names(make_road: Make) -> None:
    sharing = ["Patient", "Group", "Encounter", "Observation"]

    def some(pack: Pack) -> Pack:
        settings = {**pack.targets["fhir"].settings, "types": sharing, "persons": "pseudonymous"}
        return target("fhir", settings=settings)(pack)

    road = make_road([*a_few(), visit("told", "2026-08-14", refer=True)], some)
    road.run(targets=["fhir"])
    held = road.fhir.state()["resources"]
    assert {one["resourceType"] for one in held.values()} == {"Patient", "Encounter", "Observation"}
    assert "Fictive" not in str(held) and {len(p.get("birthDate", "2024")) for p in held.values()} == {4}
    assert road.rows("SELECT key FROM delivery WHERE target='fhir' AND state <> 'accepted'") == []


def test_what_is_taken_back_may_stay_as_entered_in_error(make_road: Make) -> None:
    def retracting(pack: Pack) -> Pack:
        return target("fhir", settings={**pack.targets["fhir"].settings, "retract": "entered_in_error"})(pack)

    road = make_road(change=retracting)
    road.run(targets=["fhir"])
    before = road.fhir.state()["resources"]
    of_visit = {
        row["key"] for row in road.rows("SELECT key FROM delivery WHERE target='fhir' AND record LIKE '%/visit-08-1'")
    }
    kinds = {key.partition("/")[0] for key in of_visit}
    assert kinds >= {"Encounter", "Observation", "Condition", "ServiceRequest", "Task"} and of_visit <= before.keys()
    road.cht.delete("visit-08-1")
    road.run(targets=["fhir"])
    after = road.fhir.state()["resources"]
    assert all("entered-in-error" in str(after[key]) and "reference" not in str(after[key]) for key in of_visit)
    assert {k: v for k, v in after.items() if k not in of_visit and "MeasureReport" not in k} == {
        k: v for k, v in before.items() if k not in of_visit and "MeasureReport" not in k
    }
    found = road.reconcile("fhir")
    assert found["different"] == found["missing"] == 0
    road.cht.put(visit("visit-08-1", "2026-08-10", refer=True))
    road.run(targets=["fhir"])
    assert {key: road.fhir.state()["resources"][key] for key in of_visit} == {key: before[key] for key in of_visit}


class Shaky(Wire):
    """``now``: ``ok``; ``500``: bundles are carried out, and the answer says they failed; ``down``."""

    now = "ok"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.now == "down":
            raise httpx.ConnectError("down", request=request)
        answer = await super().handle_async_request(request)
        return httpx.Response(500) if self.now == "500" and request.method == "POST" else answer


def test_what_may_be_there_is_taken_away_however_often_it_was_changed_since(make_road: Make) -> None:
    road = make_road()
    wire = road.wires["fhir"] = Shaky(road.fhir.app)
    road.again()

    def conditions() -> int:
        return sum(key.startswith("Condition/") for key in road.fhir.state()["resources"])

    wire.now = "500"
    road.run(targets=["fhir"])
    assert conditions() == 3 and road.rows("SELECT key FROM delivery WHERE target='fhir' AND state='accepted'") == []
    wire.now = "down"
    for rdt in ("not_done", "positive", "not_done"):
        road.cht.put(visit("visit-08-1", "2026-08-10", rdt=rdt, refer=True))
        road.later(minutes=5)
        road.run(targets=["fhir"])
    wire.now = "ok"
    road.later(hours=1)
    road.run(targets=["fhir"], wait=timedelta(hours=2))
    assert conditions() == 2
    assert road.rows("SELECT key FROM delivery WHERE target='fhir' AND state <> 'accepted'") == []
