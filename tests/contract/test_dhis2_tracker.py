"""The tracker adapter against the simulated server: what is asserted is the state at the server, what the row keeps and
the outcome. The simulator's rules are compared with the recordings by ``make truth``."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from connector.adapters.dhis2_codes import CODES
from connector.adapters.dhis2_tracker import Dhis2TrackerTarget
from connector.adapters.dhis2_tracker_answers import REASONS, read_report, reason, refusal
from connector.adapters.dhis2_tracker_probe import FINDINGS
from connector.errors import LaneBusy, TargetUnreadable
from connector.http import make_client
from connector.identity import Names
from connector.mappings.config import load_pack
from connector.mappings.lint_live import placed
from connector.mappings.pack import Pack, Sent, Tracker, TrackerStage
from connector.model import Delivery, Observed, Outcome, Verdict
from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.plane import Plane
from tests.tracker_pack import TARGET_YAML, TRACKER_YAML

from .live_plants import TRACKER as LIVE
from .live_plants import Live

SHIPPED = Path(__file__).parents[2] / "config/mali-health"
NAMES = Names("test-pack")
PROGRAM, STAGE, TYPE, UNIT = "PrChw000001", "PsVisit0001", "TetPerson01", "OuHealthA01"
TRACKER = Tracker(
    program="PR_CHW",
    level="site",
    attributes={
        code: Sent(fact) for code, fact in {"TEA_NAME": "name", "TEA_NID": "nid", "TEA_BIRTH": "birth"}.items()
    },
    stages=(
        TrackerStage("PS_VISIT", "visit", {"DT_TEMP": Sent("temp"), "DT_MUST": Sent("n"), "DT_SEEN": Sent("seen")}),
    ),
    version="1",
)


def metadata() -> dict[str, Any]:
    """The program that the recordings were made with, as far as they use it; its stages have no code there."""

    def field(code: str, uid: str, kind: str, **more: Any) -> dict[str, Any]:
        return {"code": code, "id": uid, "name": code, "valueType": kind, **more}

    return {
        "today": "2026-11-22",
        "users": [
            {"username": "relais", "password": "relais", "id": "UsrRelais01", "orgUnits": ["OU_DISTRICT"],
             "authorities": []},
            {"username": "admin", "password": "district", "id": "M5zQapPyTZI", "orgUnits": ["OU_DISTRICT"],
             "authorities": ["ALL"]},
            {"username": "clerk", "password": "clerk", "id": "UsrClerk001", "orgUnits": ["OU_A1"], "authorities": []},
        ],
        "orgUnits": [
            {"code": code, "id": uid, "name": code, "parent": parent, "opening": "2015-01-01"}
            for code, uid, parent in (
                ("OU_DISTRICT", "OuDistrict1", None), ("OU_A1", UNIT, "OU_DISTRICT"),
                ("OU_A3", "OuHealthA03", "OU_DISTRICT"), ("OU_OUT", "OuOutside01", None),
                ("OU_S1", "OuSouthA001", None), ("OU_CLOSED", "OuClosed001", "OU_DISTRICT"),
            )
        ],
        "dataElements": [], "dataSets": [],
        "tracker": {
            "attributes": [
                field("TEA_NAME", "TeaName0001", "TEXT"), field("TEA_NID", "TeaUnique01", "TEXT", unique=True),
                field("TEA_AGE", "TeaAge00001", "INTEGER"), field("TEA_BIRTH", "TeaBirth001", "DATE"),
            ],
            "elements": [
                field("DT_TEMP", "DtTemp00001", "NUMBER"), field("DT_NOTE", "DtNote00001", "TEXT"),
                field("DT_MUST", "DtMust00001", "INTEGER_POSITIVE"), field("DT_SEEN", "DtSeen00001", "TRUE_ONLY"),
            ],
            "programs": [
                {"code": "PR_CHW", "id": PROGRAM, "name": "CHW follow-up", "entityType": TYPE,
                 "orgUnits": ["OU_A1", "OU_OUT", "OU_CLOSED"],
                 "attributes": [{"code": "TEA_NAME", "mandatory": True}, {"code": "TEA_NID"}, {"code": "TEA_AGE"},
                                {"code": "TEA_BIRTH"}],
                 "stages": [
                     {"id": STAGE, "code": "PS_VISIT", "name": "Visit", "repeatable": True,
                      "elements": [{"code": "DT_TEMP"}, {"code": "DT_NOTE"}, {"code": "DT_SEEN"},
                                   {"code": "DT_MUST", "compulsory": True}]},
                     {"id": "PsOnce00001", "name": "Once", "repeatable": False, "elements": [{"code": "DT_NOTE"}]},
                 ]},
            ],
        },
    }  # fmt: skip


class Rows:
    """``ports.Progress`` that keeps what a database row would."""

    def __init__(self, busy: bool = False) -> None:
        self.remote: dict[str, dict[str, Any]] = {}
        self.lanes: list[str] = []
        self.busy = busy

    def note(self, delivery: Delivery, *, step: str, remote: Mapping[str, Any]) -> None:
        self.remote[delivery.key] = dict(remote)

    @asynccontextmanager
    async def lane(self, name: str) -> Any:
        if self.busy:
            raise LaneBusy()
        self.lanes.append(name)
        yield


class House:
    def __init__(self, profile: str = "legacy", **changes: Any) -> None:
        self.sim = DHIS2Sim({**metadata(), **changes}, [], Plane(1), profile)
        self.rows = Rows()
        self.requests: list[httpx.Request] = []
        self.instead: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
        self._app = httpx.ASGITransport(app=self.sim.app)
        self.target = self.wired()

    def wired(self, tracker: Tracker = TRACKER, **settings: Any) -> Dhis2TrackerTarget:
        client = make_client("http://127.0.0.1:9", user="relais", password="relais", transport=self)  # type: ignore[arg-type]
        given = {"batch": 50, **settings}
        more = {key: given.pop(key) for key in ("overwrite", "now") if key in given}
        return Dhis2TrackerTarget(client, name="tracker", settings=given, names=NAMES, tracker=tracker, **more)

    def wired_again(self) -> House:
        """As after a start: nothing is remembered."""
        self.target = self.wired()
        return self

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.instead(request) or await self._app.handle_async_request(request)

    async def __aenter__(self) -> House:
        return self

    async def __aexit__(self, *args: Any) -> None: ...

    async def aclose(self) -> None: ...

    def deliver(self, *deliveries: Delivery) -> list[Outcome]:
        """As the engine does: each delivery with what its row keeps by now."""
        now = [replace(one, remote=self.rows.remote.get(one.key, one.remote)) for one in deliveries]
        return list(asyncio.run(self.target.deliver(now, self.rows)))

    def look_up(self, one: Delivery) -> Observed | None:
        one = replace(one, remote=self.rows.remote.get(one.key, one.remote))
        return asyncio.run(self.target.look_up(one))

    def direct(self, body: dict[str, Any], user: str = "admin", **query: str) -> httpx.Response:
        """What somebody else does there."""

        async def ask() -> httpx.Response:
            passwords = {u["username"]: u["password"] for u in metadata()["users"]}
            async with httpx.AsyncClient(
                transport=self._app, base_url="http://x", auth=(user, passwords[user])
            ) as client:
                return await client.post("/api/tracker", params={"async": "false", **query}, json=body)

        return asyncio.run(ask())

    @property
    def posts(self) -> list[httpx.Request]:
        return [one for one in self.requests if one.method == "POST"]

    def people(self) -> dict[str, dict[str, Any]]:
        return {one["trackedEntity"]: one for one in self.sim.state()["tracker"]["trackedEntities"]}

    def enrollments(self) -> list[dict[str, Any]]:
        return list(self.sim.state()["tracker"]["enrollments"])

    def events(self) -> dict[str, dict[str, Any]]:
        return {one["event"]: one for one in self.sim.state()["tracker"]["events"]}


@pytest.fixture(params=["legacy", "v43"])
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    yield House(request.param)


def uid(*parts: str) -> str:
    return NAMES.dhis2_uid(*parts)


def person(key: str = "anna", *, name: str = "Anna", nid: str | None = None, day: str = "2026-09-01",
           unit: str = "OU_A1",
           known: bool = False, fresh: bool = True, **more: Any) -> Delivery:  # fmt: skip
    made = uid("p", key)
    payload = {
        "uid": made, "program": "PR_CHW", "orgUnit": unit, "enrolled": day, "known": known, "fresh": fresh,
        "attributes": {"TEA_NAME": name, "TEA_NID": nid, **more},
    }  # fmt: skip
    return Delivery(1, "tracker", f"tracked_entity/{made}", "tracked_entity", 1, "d", payload)


def event(key: str = "v1", who: str = "anna", *, day: str = "2026-09-02", known: bool = False, entity: Any = None,
          unit: str = "OU_A1", stage: str = "PS_VISIT", **values: Any) -> Delivery:  # fmt: skip
    made = uid("e", key)
    payload = {
        "uid": made, "program": "PR_CHW", "stage": stage, "person": f"tracked_entity/{uid('p', who)}", "orgUnit": unit,
        "date": day, "values": values or {"DT_MUST": "1"}, "entity": entity, "known": known, "fresh": not known,
    }  # fmt: skip
    return Delivery(2, "tracker", f"event/{made}", "event", 1, "d", payload)


def gone(key: str = "v1") -> Delivery:
    return Delivery(2, "tracker", f"event/{uid('e', key)}", "event", 2, "", {"uid": uid("e", key), "deleted": True})


def told(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(str(one.verdict), one.reason) for one in outcomes]


STORED = ("accepted", "dhis2.tracker_stored")


# ---------------------------------------------------------------- what goes well


def test_a_person_her_enrolment_and_her_events_are_there_under_ids_made_from_keys(house: House) -> None:
    outcomes = house.deliver(event(DT_TEMP="37.2", DT_MUST="1"), person(nid="NID-1"), event("v2"))
    assert told(outcomes) == [STORED] * 3
    (anna,) = house.people().values()
    assert anna["trackedEntity"] == uid("p", "anna") == outcomes[1].remote_id
    assert anna["trackedEntityType"] == TYPE and anna["orgUnit"] == UNIT
    assert anna["attributes"] == {"TeaName0001": "Anna", "TeaUnique01": "NID-1"}
    (enrolled,) = house.enrollments()
    assert enrolled["program"] == PROGRAM and enrolled["trackedEntity"] == uid("p", "anna")
    assert enrolled["enrolledAt"] == "2026-09-01" and enrolled["status"] == "ACTIVE"
    events = house.events()
    assert set(events) == {uid("e", "v1"), uid("e", "v2")}
    assert events[uid("e", "v1")]["dataValues"] == {"DtTemp00001": "37.2", "DtMust00001": "1"}
    assert {one["enrollment"] for one in events.values()} == {enrolled["enrollment"]}
    assert {one["status"] for one in events.values()} == {"COMPLETED"}
    assert len(house.posts) == 2 and house.rows.lanes == ["dhis2_tracker:tracker"]
    for request in house.posts:
        query = dict(request.url.params)
        assert query["async"] == "false" and query["atomicMode"] == "OBJECT"
        assert query["importStrategy"] == "CREATE_AND_UPDATE"


def test_the_same_again_changes_nothing_and_a_correction_changes_what_it_says(house: House) -> None:
    first = (person(nid="NID-1"), event(DT_TEMP="37.2", DT_MUST="1"))
    house.deliver(*first)
    before = house.sim.state()["tracker"]
    assert told(house.deliver(*first)) == [STORED] * 2
    assert house.sim.state()["tracker"] == before
    later = (person(name="Anna B", known=True, fresh=False), event(DT_TEMP=None, DT_MUST="2", known=True))
    assert told(house.deliver(*later)) == [STORED] * 2
    assert house.people()[uid("p", "anna")]["attributes"] == {"TeaName0001": "Anna B"}, "null takes the NID away"
    assert house.events()[uid("e", "v1")]["dataValues"] == {"DtMust00001": "2"}


def test_an_enrolment_that_a_nurse_closed_is_not_opened_again(house: House) -> None:
    house.deliver(person())
    (enrolled,) = house.enrollments()
    house.direct({"enrollments": [{**enrolled, "status": "COMPLETED"}]})
    house.deliver(person(name="Anna B", known=True, fresh=False))
    assert [one["status"] for one in house.enrollments()] == ["COMPLETED"]
    house.deliver(person(name="Anna B", day="2026-08-01", known=True, fresh=False))
    assert [one["enrolledAt"] for one in house.enrollments()] == ["2026-08-01"]


def test_an_event_is_removed_and_what_is_not_there_needs_no_removing(house: House) -> None:
    house.deliver(person(), event())
    assert told(house.deliver(gone())) == [("accepted", "dhis2.tracker_deleted")]
    assert house.events() == {}
    assert told(house.deliver(gone(), gone("never"))) == [("accepted", "dhis2.tracker_deleted")] * 2
    assert len(house.people()) == 1, "nobody is ever deleted"
    assert house.look_up(gone()) == Observed(True)


def test_true_only_has_no_no(house: House) -> None:
    house.deliver(person(), event(DT_MUST="1", DT_SEEN="true"), event("v2", DT_MUST="1", DT_SEEN="false"))
    values = {uid: one["dataValues"] for uid, one in house.events().items()}
    assert values[uid("e", "v1")] == {"DtMust00001": "1", "DtSeen00001": "true"}
    assert values[uid("e", "v2")] == {"DtMust00001": "1"}


# ---------------------------------------------------------------- duplicates


def elsewhere(
    house: House, person_uid: str = "TeOther0001", nid: str = "NID-1", *, enrolled: str | None = "ACTIVE"
) -> None:
    """Somebody registered her by hand, with another spelling."""
    there = {"trackedEntity": person_uid, "trackedEntityType": TYPE, "orgUnit": "OuDistrict1",
             "attributes": [{"attribute": "TeaName0001", "value": "ANNA"},
                            {"attribute": "TeaUnique01", "value": nid}]}  # fmt: skip
    body: dict[str, Any] = {"trackedEntities": [there]}
    if enrolled:
        body["enrollments"] = [{"enrollment": "EnOther0001", "trackedEntity": person_uid, "program": PROGRAM,
                                "orgUnit": UNIT, "status": enrolled, "enrolledAt": "2025-01-05"}]  # fmt: skip
    assert house.direct(body).status_code == 200


def test_who_is_there_under_another_id_is_taken_and_what_was_written_of_her_stays(house: House) -> None:
    elsewhere(house)
    outcomes = house.deliver(person(nid="NID-1", TEA_BIRTH="2024-03-11"), event())
    assert told(outcomes) == [STORED] * 2 and outcomes[0].remote_id == "TeOther0001"
    (anna,) = house.people().values()
    assert anna["trackedEntity"] == "TeOther0001" and anna["orgUnit"] == "OuDistrict1"
    assert anna["attributes"] == {"TeaName0001": "ANNA", "TeaUnique01": "NID-1", "TeaBirth001": "2024-03-11"}
    assert [one["enrolledAt"] for one in house.enrollments()] == ["2025-01-05"], "her enrolment is taken as it is"
    assert house.events()[uid("e", "v1")]["enrollment"] == "EnOther0001"
    kept = house.rows.remote[person().key]
    assert kept["trackedEntity"] == "TeOther0001" and kept["enrollment"] == "EnOther0001"
    # Later batches, another process: the row says who she is.
    later = house.deliver(person(nid="NID-1", name="Anna C", known=True, fresh=False), event("v2", entity=kept))
    assert told(later) == [STORED] * 2
    assert house.people()["TeOther0001"]["attributes"]["TeaName0001"] == "ANNA"
    assert house.events()[uid("e", "v2")]["enrollment"] == "EnOther0001"


def test_who_is_there_and_not_enrolled_is_enrolled(house: House) -> None:
    elsewhere(house, enrolled=None)
    assert told(house.deliver(person(nid="NID-1"), event())) == [STORED] * 2
    (enrolled,) = house.enrollments()
    assert enrolled["trackedEntity"] == "TeOther0001" and enrolled["enrollment"] != "EnOther0001"
    assert house.events()[uid("e", "v1")]["enrollment"] == enrolled["enrollment"]


def test_a_unit_that_was_merged_away_is_asked_for_again(house: House) -> None:
    """Her place is not ours to say, so it is remembered; by now DHIS2 may have moved her to another."""
    elsewhere(house)
    house.deliver(person(nid="NID-1"))
    house.rows.remote[person().key]["unit"] = "OuMerged001"
    later = house.deliver(person(nid="NID-1", TEA_BIRTH="2024-03-11", known=True, fresh=False))
    assert told(later) == [STORED]
    (anna,) = house.people().values()
    assert anna["orgUnit"] == "OuDistrict1" and anna["attributes"]["TeaBirth001"] == "2024-03-11"
    assert house.rows.remote[person().key]["unit"] == "OuDistrict1"


def test_what_is_no_identifier_names_nobody(house: House) -> None:
    elsewhere(house)
    body = {"trackedEntities": [{"trackedEntity": ["TeOther0001"],
                                 "attributes": [{"attribute": "TeaUnique01", "value": "NID-1"}]}]}  # fmt: skip
    house.instead = lambda request: (
        httpx.Response(200, json=body) if request.method == "GET" and "filter" in request.url.params else None
    )
    assert [verdict for verdict, _ in told(house.deliver(person(nid="NID-1")))] != ["rejected"]
    assert "trackedEntity" not in house.rows.remote.get(person().key, {})
    house.instead = lambda request: None
    assert told(house.deliver(person(nid="NID-1"))) == [STORED]


def test_a_pack_may_say_that_ours_wins() -> None:
    house = House()
    house.target = house.wired(overwrite=True)
    elsewhere(house)
    house.deliver(person(nid="NID-1"))
    assert house.people()["TeOther0001"]["attributes"]["TeaName0001"] == "Anna"


def test_an_active_enrolment_under_another_id_is_taken(house: House) -> None:
    house.deliver(person())
    (ours,) = house.enrollments()
    house.direct({"enrollments": [{"enrollment": ours["enrollment"]}]}, importStrategy="DELETE")
    other = {**ours, "enrollment": "EnOther0001", "enrolledAt": "2026-01-05"}
    assert house.direct({"enrollments": [other]}).status_code == 200
    assert told(house.deliver(person(known=True), event())) == [STORED] * 2
    assert [one["enrollment"] for one in house.enrollments()] == ["EnOther0001"]
    assert house.events()[uid("e", "v1")]["enrollment"] == "EnOther0001"


def test_of_two_people_with_her_unique_values_none_is_chosen(house: House) -> None:
    fields = metadata()["tracker"]
    fields["attributes"][2]["unique"] = True
    house = House(tracker=fields)
    elsewhere(house)
    house.direct({"trackedEntities": [{"trackedEntity": "TeOther0002", "trackedEntityType": TYPE, "orgUnit": UNIT,
                                       "attributes": [{"attribute": "TeaAge00001", "value": "31"}]}]})  # fmt: skip
    before = house.sim.state()["tracker"]
    assert told(house.deliver(person(nid="NID-1", TEA_AGE="31"))) == [("rejected", "dhis2.duplicate_several")]
    assert house.sim.state()["tracker"] == before


def test_who_cannot_be_seen_is_for_the_administrator(house: House) -> None:
    elsewhere(house)
    house.instead = lambda request: (
        httpx.Response(200, json={"pager": {}, "trackedEntities": []})
        if request.url.path == "/api/tracker/trackedEntities" else None
    )  # fmt: skip
    assert told(house.deliver(person(nid="NID-1"))) == [("rejected", "dhis2.duplicate_unseen")]


def test_a_value_that_only_looks_alike_is_nobody(house: House) -> None:
    """The server's EQ may not tell case; ours does."""
    elsewhere(house)
    answer = {
        "trackedEntities": [
            {"trackedEntity": "TeOther0009", "attributes": [{"attribute": "TeaUnique01", "value": "nid-1"}]}
        ]
    }
    house.instead = lambda request: (
        httpx.Response(200, json=answer) if request.url.path == "/api/tracker/trackedEntities" else None
    )
    assert told(house.deliver(person(nid="NID-1"))) == [("rejected", "dhis2.duplicate_unseen")]


# ---------------------------------------------------------------- what was deleted there


def test_a_deleted_id_stays_taken_and_the_next_one_in_a_row_is_used(house: House) -> None:
    house.deliver(person(), event())
    house.deliver(gone())
    assert told(house.deliver(event(DT_MUST="3", known=True, entity={}))) == [STORED]
    (again,) = house.events().values()
    assert again["event"] == uid(uid("e", "v1"), "1") and again["dataValues"] == {"DtMust00001": "3"}
    assert house.rows.remote[event().key]["n"] == 1
    house.deliver(gone())
    assert house.events() == {}, "it is removed under the id it has"


def test_a_person_who_was_deleted_is_made_again_with_her_enrolment_and_events(house: House) -> None:
    house.deliver(person(), event())
    house.direct({"trackedEntities": [{"trackedEntity": uid("p", "anna")}]}, importStrategy="DELETE")
    assert house.look_up(person(known=True)) is None and house.look_up(event(known=True, entity={})) is None
    assert told(house.deliver(person(known=True), event(known=True, entity={}))) == [STORED] * 2
    (anna,) = house.people()
    assert anna == uid(uid("p", "anna"), "1")
    (enrolled,) = house.enrollments()
    assert enrolled["trackedEntity"] == anna
    (again,) = house.events().values()
    assert again["enrollment"] == enrolled["enrollment"] and again["event"] == uid(uid("e", "v1"), "1")


def test_an_enrolment_that_was_deleted_is_made_again(house: House) -> None:
    house.deliver(person(), event())
    (enrolled,) = house.enrollments()
    house.direct({"enrollments": [{"enrollment": enrolled["enrollment"]}]}, importStrategy="DELETE")
    assert house.look_up(person(known=True)) is None
    (waits,) = house.deliver(event("v2", entity=house.rows.remote[person().key]))
    assert (waits.verdict, waits.reason, waits.patient) == (Verdict.DEFERRED, "dhis2.enrollment_missing", True)
    assert told(house.deliver(person(known=True), event("v2"))) == [STORED] * 2
    assert len(house.enrollments()) == 1


@pytest.mark.parametrize("again", [None, "EnOther0002"])
def test_an_enrolment_that_was_taken_and_then_deleted_is_missed_by_reading_back(
    house: House, again: str | None
) -> None:
    """It is never written, so that no refusal tells of it; ours takes its place, or the one a nurse made."""
    elsewhere(house)
    house.deliver(person(nid="NID-1"), event())
    house.direct({"enrollments": [{"enrollment": "EnOther0001"}]}, importStrategy="DELETE")
    kept = house.rows.remote[person().key]
    (waits,) = house.deliver(event("v2", known=True, entity=kept))
    assert waits.reason == "dhis2.enrollment_missing"
    if again:
        made = {"enrollment": again, "trackedEntity": "TeOther0001", "program": PROGRAM, "orgUnit": UNIT,
                "status": "ACTIVE", "enrolledAt": "2026-02-02"}  # fmt: skip
        assert house.direct({"enrollments": [made]}).status_code == 200
    assert house.look_up(person(nid="NID-1", known=True, fresh=False)) is None
    assert told(house.deliver(person(nid="NID-1", known=True), event("v2"))) == [STORED] * 2
    (enrolled,) = house.enrollments()
    assert enrolled["enrolledAt"] == ("2026-02-02" if again else "2026-09-01")
    assert (enrolled["enrollment"] == again) is bool(again)
    assert house.events()[uid("e", "v2")]["enrollment"] == enrolled["enrollment"]


# ---------------------------------------------------------------- one verdict per object


def test_one_bad_object_holds_back_only_what_hangs_on_it(house: House) -> None:
    outcomes = house.deliver(
        person("anna"), event("a1", "anna"), event("a2", "anna", DT_MUST="none"), event("a3", "anna", DT_TEMP="37"),
        person("bintou", name=""), event("b1", "bintou"), person("carla", TEA_BIRTH="2024-13-01"), event("c1", "carla"),
    )  # fmt: skip
    assert told(outcomes) == [
        STORED, STORED, ("rejected", "dhis2.E1302"), ("rejected", "dhis2.E1303"),
        ("rejected", "dhis2.E1018"), ("deferred", "dhis2.person_first"),
        ("rejected", "dhis2.E1007"), ("deferred", "dhis2.person_first"),
    ]  # fmt: skip
    assert set(house.events()) == {uid("e", "a1")}


def test_a_person_who_was_accepted_before_keeps_her_events_going(house: House) -> None:
    house.deliver(person())
    outcomes = house.deliver(
        person(TEA_BIRTH="2024-13-01", known=True, fresh=False), event(entity=house.rows.remote[person().key])
    )
    assert told(outcomes) == [("rejected", "dhis2.E1007"), STORED]


@pytest.mark.parametrize("code", [code for code in CODES if code[1] in "1459" and len(code) == 5])
def test_every_code_of_the_tracker_has_a_verdict_a_person_and_words(code: str) -> None:
    house = House()
    house.deliver(person())
    house.sim.tracker.refuse[uid("e", "v1")] = code
    (outcome,) = house.deliver(event(entity={}))
    verdict, who, _, _ = CODES[code]
    if code == "E1082":  # another identifier is tried, which nobody refuses
        assert set(house.events()) == {uid(uid("e", "v1"), "1")} and outcome.verdict is Verdict.ACCEPTED
        return
    assert house.events() == {} and outcome.verdict is not Verdict.ACCEPTED
    words = reason(outcome.reason)
    assert str(words.who) and len(words.fr) > 10 and len(words.en) > 10 and words.fr != words.en
    if code not in ("E1313", "E1081", "E1033", "E1308", "E1310"):
        assert (outcome.reason, outcome.verdict, words.who) == (f"dhis2.{code}", verdict, who)
        assert outcome.verdict in (Verdict.REJECTED, Verdict.DEFERRED)


def test_a_code_nobody_knows_is_read_back_and_never_success(house: House) -> None:
    house.deliver(person())
    house.sim.tracker.refuse[uid("e", "v1")] = "E1999"
    (outcome,) = house.deliver(event(entity={}))
    assert (outcome.verdict, outcome.reason) == (Verdict.UNKNOWN, "dhis2.code_unknown") and "E1999" in outcome.answer
    assert house.look_up(event(known=True, entity={})) is None


def test_a_final_refusal_says_more_than_a_passing_one() -> None:
    assert refusal(["E5000", "E1305", "E1304"]) == "dhis2.E1305"
    assert refusal(["E5000"]) == "dhis2.E5000"
    assert refusal(["E1305", "no code"]) == "dhis2.code_unknown"


@pytest.mark.parametrize("body", [
    None, [], "OK", {}, {"status": "OK"}, {"status": "OK", "validationReport": {"errorReports": {}}},
    {"status": "OK", "message": "boom"}, {"status": "OK", "validationReport": {"errorReports": ["E1"]}},
])  # fmt: skip
def test_what_is_no_report_is_no_report(body: Any) -> None:
    assert read_report(body) is None


def test_what_the_report_does_not_name_is_not_stored(house: House) -> None:
    """A success without the identifier, as any proxy could make one up."""
    report = {"status": "OK", "validationReport": {"errorReports": [], "warningReports": []},
              "stats": {"created": 2, "updated": 0, "deleted": 0, "ignored": 0, "total": 2}}  # fmt: skip
    house.instead = lambda request: httpx.Response(200, json=report) if request.method == "POST" else None
    assert told(house.deliver(person())) == [("unknown", "dhis2.not_in_report")]


# ---------------------------------------------------------------- no answer to trust


def _html(request: httpx.Request) -> httpx.Response | None:
    return httpx.Response(200, html="<html>Starting</html>") if request.method == "POST" else None


def _drop(request: httpx.Request) -> httpx.Response | None:
    if request.method == "POST":
        raise httpx.ReadError("gone")
    return None


def _failed(request: httpx.Request) -> httpx.Response | None:
    return httpx.Response(500, json={"message": "x"}) if request.method == "POST" else None


def _gateway(request: httpx.Request) -> httpx.Response | None:
    return httpx.Response(504) if request.method == "POST" else None


@pytest.mark.parametrize("instead", [_html, _drop, _failed, _gateway])
def test_no_trusted_answer_is_unknown_and_read_back(instead: Any) -> None:
    house = House()
    house.instead = instead
    (outcome, waits) = house.deliver(person(nid="NID-1"), event())
    assert outcome.verdict is Verdict.UNKNOWN and waits.reason == "dhis2.person_first"
    house.instead = lambda request: None
    assert house.look_up(person(nid="NID-1")) is None, "certainly not there"
    house.deliver(person(nid="NID-1"), event())
    seen = house.look_up(person(nid="NID-1", known=True))
    assert seen is not None and seen.matches
    assert house.look_up(event(known=True, entity={})) == Observed(True)
    other = house.look_up(person(nid="NID-2", known=True))
    assert other is not None and not other.matches
    moved = house.look_up(person(nid="NID-1", day="2026-08-31", known=True))
    assert moved is not None and not moved.matches
    assert house.look_up(event(DT_MUST="2", known=True, entity={})) == Observed(False)


def test_a_look_up_that_cannot_be_read_says_so(house: House) -> None:
    house.deliver(person())
    house.instead = lambda request: httpx.Response(503)
    with pytest.raises(TargetUnreadable):
        house.look_up(person(known=True))


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "dhis2.credentials"), (429, "dhis2.busy"), (503, "dhis2.unavailable")]
)
def test_the_target_s_own_trouble_counts_against_nobody(status: int, reason: str) -> None:
    house = House()
    house.instead = lambda request: httpx.Response(status, json={"message": "x"}) if request.method == "POST" else None
    outcomes = house.deliver(person(), event(), person("b"), gone("x"))
    assert [(one.of_target, one.reason) for one in outcomes] == [(True, reason)] * 4
    assert len(house.posts) == 1


def test_nothing_leaves_while_another_process_writes(house: House) -> None:
    house.rows.busy = True
    with pytest.raises(LaneBusy):
        house.deliver(person())
    assert house.requests == []


# ---------------------------------------------------------------- bodies


def test_a_request_refused_whole_is_cut_until_only_the_culprit_is_left(house: House) -> None:
    """One date that is none is 400 for everything in the request (314)."""
    people = [person(str(n), name=f"P{n}") for n in range(8)]
    people[5] = person("5", day="2026-02-30")
    outcomes = house.deliver(*people)
    assert [one.reason for one in outcomes] == ["dhis2.tracker_stored"] * 5 + ["dhis2.bad_request"] + [
        "dhis2.tracker_stored"
    ] * 2
    assert len(house.people()) == 7


def test_a_body_is_never_bigger_than_its_bound_and_a_smaller_limit_is_found() -> None:
    house = House()
    limit = 20_000

    def proxy(request: httpx.Request) -> httpx.Response | None:
        if request.method == "POST" and len(request.content) > limit:
            return httpx.Response(413)
        return None

    house.instead = proxy
    people = [person(str(n), name="N" * 4000) for n in range(12)]
    assert told(house.deliver(*people)) == [STORED] * 12
    assert told(house.deliver(person("big", name="N" * 30_000))) == [("rejected", "dhis2.too_big")]
    house.instead = lambda request: None
    house.requests.clear()
    house.deliver(*(person(f"x{n}", name="N" * 300_000) for n in range(8)))
    assert max(len(one.content) for one in house.posts) <= 1024 * 1024 and len(house.posts) == 3


# ---------------------------------------------------------------- metadata


def test_codes_become_ids_and_what_is_mended_there_heals(house: House) -> None:
    program = house.sim.tracker.programs[0]
    whole = dict(program)
    program["orgUnits"] = []
    assert told(house.deliver(person())) == [("rejected", "dhis2.program_no_unit")]
    program["orgUnits"] = whole["orgUnits"]
    assert told(house.deliver(person())) == [STORED]
    stages = program["stages"]
    program["stages"] = []
    house.target = house.wired()
    assert told(house.deliver(event(entity={}))) == [("rejected", "dhis2.stage_missing")]
    program["stages"] = stages
    assert (
        told(house.deliver(event(entity={}), event("once", stage="PsOnce00001", entity={}, DT_NOTE="x")))
        == [STORED] * 2
    )
    program["id"] = "PrChw000009"  # the server was set up again
    (refused,) = house.deliver(event("v3", entity={}))
    assert refused.reason == "dhis2.E1010"
    program["id"] = PROGRAM
    assert told(house.deliver(event("v3", entity={}))) == [STORED]


def test_what_many_lack_is_asked_for_once() -> None:
    house = House()
    outcomes = house.deliver(*(person(str(n), unit="OU_A3") for n in range(20)))
    assert {one.reason for one in outcomes} == {"dhis2.program_no_unit"} and len(house.requests) == 1
    house.requests.clear()
    house.sim.tracker.programs[0]["code"] = "PR_OTHER"
    outcomes = house.wired_again().deliver(*(person(str(n)) for n in range(20)))
    assert {one.reason for one in outcomes} == {"dhis2.program_missing"} and len(house.requests) == 1


def test_fields_that_are_not_there_refuse_what_names_them(house: House) -> None:
    outcomes = house.deliver(person("a", TEA_NONE="x"), person(), event(DT_NONE="1"), event("v2", stage="PS_NONE"))
    assert told(outcomes) == [
        ("rejected", "dhis2.attribute_missing"), STORED, ("rejected", "dhis2.stage_element_missing"),
        ("rejected", "dhis2.stage_missing"),
    ]  # fmt: skip


@pytest.mark.parametrize(("change", "code"), [
    ({"code": "PR_OTHER"}, "dhis2.program_missing"), ({"entityType": None}, "dhis2.program_no_person"),
    ({"write": False}, "dhis2.program_no_write"),
])  # fmt: skip
def test_a_program_that_cannot_be_written_stops_the_target_and_parks_nobody(change: dict[str, Any], code: str) -> None:
    house = House()
    house.sim.tracker.programs[0].update(change)
    outcomes = house.deliver(person(), event())
    assert [(one.verdict, one.reason, one.of_target) for one in outcomes] == [(Verdict.DEFERRED, code, True)] * 2
    assert house.posts == []
    again = house.deliver(person("b"))
    assert [one.reason for one in again] == [code], "what is remembered of it is not enough"
    findings = asyncio.run(house.target.probe())
    assert [(one.code, one.about) for one in findings] == [(code, ("tracker", "program"))]


def test_the_probe_finds_what_would_be_refused(house: House) -> None:
    assert asyncio.run(house.target.probe()) == []
    program = house.sim.tracker.programs[0]
    program["attributes"] = [{"code": "TEA_NAME"}, {"code": "TEA_AGE", "mandatory": True}, {"code": "TEA_NID"}]
    program["stages"][0]["elements"] = [
        {"code": "DT_TEMP"},
        {"code": "DT_NOTE", "compulsory": True},
        {"code": "DT_SEEN"},
    ]
    program["stages"][0]["repeatable"] = False
    found = asyncio.run(house.target.probe())
    assert [(one.code, one.about) for one in found] == [
        ("dhis2.attribute_missing", ("tracker", "attributes", "TEA_BIRTH")),
        ("dhis2.field_needed", ("tracker", "attributes")),
        ("dhis2.stage_once", ("tracker", "stages", "PS_VISIT", "id")),
        ("dhis2.stage_element_missing", ("tracker", "stages", "PS_VISIT", "data_elements", "DT_MUST")),
        ("dhis2.field_needed", ("tracker", "stages", "PS_VISIT", "data_elements")),
    ]
    assert all(one.message and one.fix and all(one.french) for one in found)
    program["stages"][0]["code"] = "PS_OTHER"
    assert "dhis2.stage_missing" in [one.code for one in asyncio.run(house.target.probe())]
    house.instead = lambda request: httpx.Response(401, json={"message": "Unauthorized"})
    assert [one.code for one in asyncio.run(house.target.probe())] == ["dhis2.credentials"]


def test_the_probe_says_of_server_account_and_org_units_what_that_of_the_figures_says() -> None:
    now = datetime(2026, 11, 22, 8, tzinfo=UTC)
    places = [{**one, "closed": "2026-01-31"} if one["code"] == "OU_CLOSED" else one for one in metadata()["orgUnits"]]
    house = House(orgUnits=places)
    house.sim.users[0] |= {"token": "d2p_relais", "expires": round(now.timestamp() * 1000) + 7 * 86_400_000}
    answered = house.handle_async_request

    async def slow(request: httpx.Request) -> httpx.Response:
        answer = await answered(request)
        await answer.aread()
        answer.headers["date"] = format_datetime(now - timedelta(minutes=2), usegmt=True)
        if request.url.path == "/api/system/info":
            return httpx.Response(
                200, json={**answer.json(), "version": "2.41.9"}, headers={"date": answer.headers["date"]}
            )
        return answer

    house.handle_async_request = slow  # type: ignore[method-assign]
    units = ["OU_A1", "OU_A3", "OU_CLOSED", "OU_NONE", "OU_OUT"]
    house.target = house.wired(org_units=units, token="d2p_relais", now=lambda: now)
    found = asyncio.run(house.target.probe())
    assert [(one.code, one.about) for one in found] == [
        ("dhis2.version_from_source", ()),
        ("dhis2.program_unit_not_assigned", ("org_unit", "OU_A3")),
        ("dhis2.org_unit_closed", ("org_unit", "OU_CLOSED")),
        ("dhis2.org_unit_missing", ("org_unit", "OU_NONE")),
        ("dhis2.E7617", ("org_unit", "OU_OUT")),
        ("dhis2.clock", ()),
        ("dhis2.token_expires", ()),
    ]
    assert all(one.message and one.fix and all(one.french) for one in found)
    house.sim.users[0]["orgUnits"] = []
    assert [one.about for one in asyncio.run(house.target.probe()) if one.code == "dhis2.E7617"] == [()]


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """The shipped pack with the tracker that the documentation shows."""
    folder = tmp_path_factory.mktemp("pack") / "pack"
    shutil.copytree(SHIPPED, folder)
    main = folder / "connector.yaml"
    main.write_text(main.read_text("utf-8").replace("targets:\n", "targets:\n" + TARGET_YAML, 1), "utf-8")
    (folder / "tracker.yaml").write_text(TRACKER_YAML, "utf-8")
    return load_pack(folder, {}, strict=False)[0]


@pytest.mark.parametrize("live", LIVE, ids=lambda live: live.code)
def test_every_trouble_there_is_found_at_its_place_in_the_pack(live: Live, tracked: Pack) -> None:
    def rows(sent: Any) -> list[dict[str, Any]]:
        return [
            {"code": code, "id": f"Tx{code:0>9}".replace("_", "x")[:11], "name": code, "valueType": "TEXT"}
            for code in sent
        ]

    assert tracked.tracker is not None
    (stage,) = tracked.tracker.stages
    attributes = [*tracked.tracker.attributes, "TR_TEL"]
    units = sorted({row.org_unit for row in tracked.org_units if row.level == tracked.tracker.level})
    places = [
        {"code": code, "id": f"Ou{number:09}", "name": code, "parent": "OU_DISTRICT", "opening": "2015-01-01"}
        for number, code in enumerate(units)
    ]
    program = {
        "code": tracked.tracker.program, "id": PROGRAM, "name": "x", "entityType": TYPE, "orgUnits": list(units),
        "attributes": [{"code": code} for code in tracked.tracker.attributes],
        "stages": [{"id": STAGE, "code": stage.stage, "name": "x", "repeatable": True,
                    "elements": [{"code": code} for code in stage.data_elements]}],
    }  # fmt: skip
    tracker = {"attributes": rows(attributes), "elements": rows(stage.data_elements), "programs": [program]}
    house = House(tracker=tracker, orgUnits=[*metadata()["orgUnits"], *places])
    house.target = house.wired(tracker=tracked.tracker, org_units=units)
    assert asyncio.run(house.target.probe()) == []
    live.spoil(house.sim.tracker.programs[0], {})
    found = placed(tracked, "suivi", asyncio.run(house.target.probe()), REASONS)
    (one,) = [one for one in found if one.code == live.code]
    file, marked = live.stands
    before, _, after = marked.partition("«")
    text = TRACKER_YAML if file == "tracker.yaml" else (SHIPPED / file).read_text("utf-8")
    at = text.index(before + after) + len(before)
    line, column = text[:at].count("\n") + 1, at - text.rfind("\n", 0, at)
    assert (one.file, one.line, one.column) == (file, line, column)
    assert one.message and one.fix and all(one.french)


def test_there_is_a_trouble_for_every_finding() -> None:
    assert {one.code for one in LIVE} == set(FINDINGS)


def test_the_documentation_shows_the_pack_that_is_tried() -> None:
    page = (SHIPPED.parents[1] / "docs/informatician.md").read_text("utf-8")
    assert TRACKER_YAML in page and TARGET_YAML in page


def test_every_reason_has_words_in_both_languages() -> None:
    for code, one in REASONS.items():
        assert len(one.fr) > 10 and len(one.en) > 10 and one.fr != one.en and str(one.who), code
