"""Records on their way to a DHIS2 program: what is there afterwards is worked out by hand from the documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from connector.engine import tracker as engine_tracker
from connector.mappings.pack import Pack, Sent, TargetConfig, Tracker, TrackerStage
from tests.engine.house import ANNA, MODIBO, UNIT, Make, Road, a_few, person, said, visit

STAGE = TrackerStage(
    "PS_SICK",
    "sick_visit",
    {
        "TR_FEVER": Sent("fever"),
        "TR_RDT": Sent("malaria_rdt", {"positive": "POS", "negative": "NEG"}),
        "TR_MUAC": Sent("muac_mm"),
    },
)
TRACKER = Tracker(
    program="TR_CHILD",
    level="site",
    attributes={"TR_ID": Sent("id"), "TR_NAME": Sent("name"), "TR_BIRTH": Sent("birth_date"), "TR_SEX": Sent("sex")},
    stages=(STAGE,),
    version="1",
)


def going(stages: Any = (STAGE,), version: str = "1", **changes: Any) -> Callable[[Pack], Pack]:
    """The shipped pack with a tracker for its only target."""

    def change(pack: Pack) -> Pack:
        settings = pack.targets["dhis2"].settings
        target = TargetConfig("tracker", "dhis2_tracker", settings, "every 30m", "2026-08-01")
        made = replace(TRACKER, stages=stages, version=version, **changes)
        name = f"{pack.version}+tracker{version}{sorted(changes)}"
        return replace(pack, version=name, targets={"tracker": target}, tracker=made)

    return change


def fields(*rows: tuple[str, str, str]) -> dict[str, dict[str, Any]]:
    return {uid: {"code": code, "id": uid, "name": code, "valueType": kind} for code, uid, kind in rows}


def with_program(road: Road) -> Road:
    there = road.dhis2.tracker
    there.attributes = fields(
        ("TR_ID", "TaIdentif01", "TEXT"), ("TR_NAME", "TaName00001", "TEXT"), ("TR_BIRTH", "TaBirth0001", "DATE"),
        ("TR_SEX", "TaSex000001", "TEXT"),
    )  # fmt: skip
    there.attributes["TaIdentif01"]["unique"] = True
    there.elements = fields(
        ("TR_FEVER", "TdFever0001", "BOOLEAN"), ("TR_RDT", "TdRdt000001", "TEXT"), ("TR_MUAC", "TdMuac00001", "INTEGER")
    )
    there.programs = [
        {"code": "TR_CHILD", "id": "TrProgram01", "name": "Sick children", "entityType": "TrPerson001",
         "orgUnits": [UNIT], "attributes": [{"code": one["code"], "mandatory": one["code"] == "TR_NAME"}
                                            for one in there.attributes.values()],
         "stages": [{"id": "TrStage0001", "code": "PS_SICK", "name": "Sick visit", "repeatable": True,
                     "elements": [{"code": one["code"]} for one in there.elements.values()]}]},
    ]  # fmt: skip
    return road


@pytest.fixture
def road(make_road: Make) -> Road:
    return with_program(make_road(a_few(), going()))


def there(road: Road) -> dict[str, Any]:
    """By the person's id at the source: her attributes and enrolment, and day -> values of her events."""
    held = road.dhis2.state()["tracker"]
    people = {}
    for one in held["trackedEntities"]:
        attributes = {road.dhis2.tracker.attributes[uid]["code"]: value for uid, value in one["attributes"].items()}
        enrolled = [e for e in held["enrollments"] if e["trackedEntity"] == one["trackedEntity"]]
        events = {}
        for event in held["events"]:
            if event["enrollment"] in [e["enrollment"] for e in enrolled]:
                values = {road.dhis2.tracker.elements[uid]["code"]: v for uid, v in event["dataValues"].items()}
                assert event["occurredAt"] not in events, "one event per record"
                events[event["occurredAt"]] = values
        key = attributes.pop("TR_ID")
        people[key] = {**attributes, "enrolled": [e["enrolledAt"] for e in enrolled], "events": events}
    return people


def whole() -> dict[str, Any]:
    """What ``a_few`` says from August on: two visits each."""
    positive, negative = {"TR_FEVER": "true", "TR_RDT": "POS"}, {"TR_FEVER": "true", "TR_RDT": "NEG"}
    return {
        ANNA: {"TR_NAME": "Personne Fictive", "TR_BIRTH": "2024-03-11", "TR_SEX": "female", "enrolled": ["2026-08-10"],
               "events": {"2026-08-10": positive, "2026-09-10": positive}},
        MODIBO: {"TR_NAME": "Personne Fictive", "TR_BIRTH": "2021-02-01", "TR_SEX": "male", "enrolled": ["2026-08-12"],
                 "events": {"2026-08-12": negative, "2026-09-12": negative}},
    }  # fmt: skip


def test_records_of_the_kinds_named_are_events_of_their_people_from_live_from_on(road: Road) -> None:
    done = road.run()
    assert there(road) == whole()
    assert done["targets"]["tracker"]["accepted"] == 6 and done["outcome"] == "settled"
    writes = road.writes()
    road.run()
    assert road.writes() == writes, "nothing changed, nothing is sent"
    (unit,) = {one["orgUnit"] for one in road.dhis2.state()["tracker"]["events"]}
    assert unit == road.dhis2.metadata.by_code("orgUnits", UNIT)["id"]


def test_corrections_deletions_and_second_thoughts(road: Road) -> None:
    road.run()
    expected = whole()
    road.cht.put(visit("visit-08-1", "2026-08-10", rdt="negative", refer=True))
    road.cht.delete("visit-09-2")
    road.cht.put(person(ANNA, name="Anna Fictive"))
    road.run()
    expected[ANNA] |= {"TR_NAME": "Anna Fictive"}
    expected[ANNA]["events"]["2026-08-10"] = {"TR_FEVER": "true", "TR_RDT": "NEG"}
    del expected[MODIBO]["events"]["2026-09-12"]
    assert there(road) == expected
    road.cht.put(visit("visit-09-2", "2026-09-12", subject=MODIBO, rdt="positive"))
    road.cht.put(visit("earlier", "2026-08-03"))
    done = road.run()
    expected[MODIBO]["events"]["2026-09-12"] = {"TR_FEVER": "true", "TR_RDT": "POS"}
    expected[ANNA] |= {"enrolled": ["2026-08-03"]}
    expected[ANNA]["events"]["2026-08-03"] = {"TR_FEVER": "true", "TR_RDT": "POS"}
    assert there(road) == expected and done["outcome"] == "settled"
    road.cht.put(visit("earlier", "2026-08-20"))
    road.run()
    expected[ANNA]["events"]["2026-08-20"] = expected[ANNA]["events"].pop("2026-08-03")
    assert there(road) == expected, "nothing moves an enrolment forward"
    road.cht.put({**visit("earlier", "2026-08-20"), "contact": {"_id": "asc-001", "parent": {"_id": "nowhere"}}})
    road.run()
    assert road.quarantined() and there(road) == expected, "in quarantine it stays as it was sent"
    road.cht.put(visit("earlier", "2026-07-20"))
    road.run()
    del expected[ANNA]["events"]["2026-08-20"]
    assert there(road) == expected, "now it is older than live_from"


def test_a_fact_that_is_no_more_is_taken_away(road: Road) -> None:
    road.cht.put(visit("more", "2026-08-20", group_nutrition={"muac_score": "114"}))
    road.run()
    assert there(road)[ANNA]["events"]["2026-08-20"]["TR_MUAC"] == "114"
    road.cht.put(visit("more", "2026-08-20"))
    road.run()
    assert "TR_MUAC" not in there(road)[ANNA]["events"]["2026-08-20"]


def test_a_record_waits_for_its_person_and_goes_to_another_when_it_says_so(road: Road) -> None:
    road.cht.put(visit("early", "2026-08-21", subject="person-late"))
    road.run()
    assert there(road) == whole()
    road.cht.put(person("person-late", name="Retard Fictif", born="2024"))
    road.run()
    late = there(road)["person-late"]
    assert late == {"TR_NAME": "Retard Fictif", "TR_SEX": "female", "enrolled": ["2026-08-21"],
                    "events": {"2026-08-21": {"TR_FEVER": "true", "TR_RDT": "POS"}}}  # fmt: skip
    assert "TR_BIRTH" not in late, "2024 is no birth date there"
    road.cht.put(visit("early", "2026-08-21", subject=MODIBO))
    road.run()
    found = there(road)
    assert found["person-late"]["events"] == {} and "2026-08-21" in found[MODIBO]["events"]
    road.cht.delete(MODIBO)
    road.run()
    assert there(road)[MODIBO]["events"] == found[MODIBO]["events"], "who is no longer registered keeps her events"


SLOW = pytest.mark.slow


@pytest.mark.again
@pytest.mark.parametrize("faults", [
    {"lose_response_every": 2, "only": "writes"}, {"late_seconds": 2, "every": 2, "only": "writes"},
    pytest.param({"every": 2, "status": 503}, marks=SLOW),
    pytest.param({"truncate_every": 2, "only": "writes"}, marks=SLOW),
    pytest.param({"html_every": 2, "only": "writes"}, marks=SLOW),
    pytest.param({"every": 2, "status": 500, "only": "writes"}, marks=SLOW),
])  # fmt: skip
def test_whatever_fails_each_is_there_once(road: Road, faults: dict[str, Any]) -> None:
    road.dhis2.plane.arm(faults)
    for n in range(3):
        road.cht.put(visit("more", f"2026-08-2{n}"))
        road.settle(48)
    road.dhis2.plane.arm({})
    road.settle(48)
    expected = whole()
    expected[ANNA]["events"]["2026-08-22"] = {"TR_FEVER": "true", "TR_RDT": "POS"}
    assert there(road) == expected
    assert {row["state"] for row in road.rows("SELECT state FROM delivery")} == {"accepted"}


def test_who_is_there_already_is_taken_and_her_events_follow(road: Road) -> None:
    held = road.dhis2.tracker.held
    held["TRACKED_ENTITY"]["TeByHand001"] = {
        "trackedEntity": "TeByHand001", "trackedEntityType": "TrPerson001", "deleted": False,
        "orgUnit": road.dhis2.metadata.by_code("orgUnits", UNIT)["id"],
        "attributes": {"TaIdentif01": ANNA, "TaName00001": "ANNA F."},
    }  # fmt: skip
    road.run()
    expected = whole()
    expected[ANNA]["TR_NAME"] = "ANNA F."
    assert there(road) == expected
    (row,) = [
        r for r in road.rows("SELECT * FROM delivery WHERE kind='tracked_entity'") if "TeByHand001" in r["remote"]
    ]
    assert row["state"] == "accepted"


def test_what_somebody_deleted_there_is_found_by_reading_back_and_made_again(road: Road) -> None:
    road.run()
    anna = next(
        uid
        for uid, one in road.dhis2.tracker.held["TRACKED_ENTITY"].items()
        if one["attributes"]["TaIdentif01"] == ANNA
    )
    road.dhis2.tracker._delete("TRACKED_ENTITY", anna)
    found = road.reconcile("tracker")
    assert (found["equal"], found["missing"], found["different"]) == (3, 3, 0)
    road.settle()
    assert there(road) == whole()
    assert road.reconcile("tracker")["equal"] == 6
    event = next(iter(road.dhis2.tracker.held["EVENT"].values()))
    event["dataValues"]["TdRdt000001"] = "X"
    assert road.reconcile("tracker")["different"] == (0 if event["deleted"] else 1)


def test_another_pack_sends_what_changed(road: Road) -> None:
    road.run()
    fewer = replace(STAGE, data_elements={"TR_FEVER": Sent("fever")})
    road.again(going((fewer,), "2"))
    road.run()
    assert there(road) == whole(), "a field the pack no longer names is not touched"
    road.again(going((), "3"))
    road.run()
    assert {day for one in there(road).values() for day in one["events"]} == set()


def test_a_tracker_that_comes_later_gets_what_was_there_before(make_road: Make) -> None:
    road = with_program(make_road(a_few(), lambda pack: replace(pack, targets={})))
    road.run()
    assert there(road) == {}
    road.again(going())
    road.run()
    assert there(road) == whole()


def test_a_place_without_a_unit_of_the_level_parks_the_event_for_the_mapping(make_road: Make) -> None:
    road = with_program(make_road(a_few(), going(level="household")))
    done = road.run()
    assert there(road) == {} and done["outcome"] == "needs_a_person"
    (reason,) = {row["reason"] for row in road.rows("SELECT reason FROM delivery WHERE state='parked'")}
    assert reason == engine_tracker.NO_UNIT and str(said(road, reason).who) == "mapping"


def test_once_live_what_waited_in_shadow_arrives_with_what_is_new(make_road: Make) -> None:
    def shadow(pack: Pack) -> Pack:
        pack = going()(pack)
        return replace(pack, targets={"tracker": replace(pack.targets["tracker"], mode="shadow")})

    road = with_program(make_road(a_few(), shadow))
    road.run()
    assert there(road) == {}
    road.again(going())
    road.cht.put(visit("live", "2026-09-20"))
    road.run()
    assert {"2026-09-20"} < there(road)[ANNA]["events"].keys()


def test_in_shadow_nothing_leaves(make_road: Make) -> None:
    def shadow(pack: Pack) -> Pack:
        pack = going()(pack)
        return replace(pack, targets={"tracker": replace(pack.targets["tracker"], mode="shadow")})

    road = with_program(make_road(a_few(), shadow))
    road.run()
    assert there(road) == {} and {r["state"] for r in road.rows("SELECT state FROM delivery")} == {"resolved"}


def test_no_name_and_no_id_of_a_person_is_in_a_key(road: Road) -> None:
    road.run()
    keys = " ".join(row["key"] for row in road.rows("SELECT key FROM delivery"))
    assert ANNA not in keys and "visit-08" not in keys
    sealed = road.rows("SELECT payload_enc FROM delivery")
    assert all(b"Fictive" not in bytes(row["payload_enc"]) for row in sealed)
