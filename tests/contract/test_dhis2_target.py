"""The DHIS2 adapter against the simulated server: what is asserted is the state at the server and the outcome."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest

from connector.adapters.dhis2 import Dhis2Target
from connector.adapters.dhis2_answers import REASONS
from connector.errors import LaneBusy, TargetUnreadable
from connector.http import make_client
from connector.model import Delivery, Observed, Outcome, Severity, Verdict
from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.plane import Plane

SETTINGS: dict[str, Any] = {
    "expected": {
        "MH_SEC": {
            "period_type": "Monthly",
            "elements": {"MH_A": ["default"], "MH_B": ["SEX_F", "SEX_M"]},
            "org_units": ["ML-S1", "ML-S2"],
        }
    }
}


def metadata() -> dict[str, Any]:
    def element(code: str, uid: str, zero: bool = True, combo: str = "default") -> dict[str, Any]:
        return {"code": code, "id": uid, "name": code, "valueType": "INTEGER_ZERO_OR_POSITIVE",
                "zeroIsSignificant": zero, "categoryCombo": combo}  # fmt: skip

    return {
        "today": "2026-10-05",
        "users": [
            {"username": "relais", "password": "relais", "token": "d2p_sandbox", "id": "UsrRelais01",
             "orgUnits": ["ML"], "authorities": ["F_DATAVALUE_ADD"]},
            {"username": "reader", "password": "reader", "id": "UsrReader01", "orgUnits": ["ML"], "authorities": []},
            {"username": "north", "password": "north", "id": "UsrNorth001", "orgUnits": ["ML-S2"],
             "authorities": ["F_DATAVALUE_ADD"]},
        ],
        "orgUnits": [
            {"code": "ML", "id": "OuCountry01", "name": "Mali", "parent": None, "opening": "2015-01-01"},
            {"code": "ML-S1", "id": "OuSiteAAA01", "name": "Site 1", "parent": "ML", "opening": "2015-01-01"},
            {"code": "ML-S2", "id": "OuSiteAAA02", "name": "Site 2", "parent": "ML", "opening": "2015-01-01"},
            {"code": "ML-SX", "id": "OuClosed001", "name": "Closed site", "parent": "ML", "opening": "2015-01-01",
             "closed": "2026-06-30"},
            {"code": "ML-SU", "id": "OuUnassig01", "name": "Unassigned", "parent": "ML", "opening": "2015-01-01"},
        ],
        "categoryCombos": [{"code": "SEX", "id": "CcSex000001", "name": "Sex"}],
        "categoryOptionCombos": [
            {"code": "SEX_F", "id": "CocSexF0001", "name": "Female", "categoryCombo": "SEX"},
            {"code": "SEX_M", "id": "CocSexM0001", "name": "Male", "categoryCombo": "SEX"},
        ],
        "dataElements": [
            element("MH_A", "DeAaaaaaa01"),
            element("MH_B", "DeBbbbbbb01", combo="SEX"),
            element("MH_Z", "DeZzzzzzz01", zero=False),
        ],
        "dataSets": [
            {"code": "MH_SEC", "id": "DsMonthly01", "name": "Monthly", "periodType": "Monthly", "openFuturePeriods": 1,
             "elements": ["MH_A", "MH_B", "MH_Z"], "orgUnits": ["ML-S1", "ML-S2", "ML-SX"]},
        ],
    }  # fmt: skip


class Lanes:
    """``ports.Progress`` that remembers the lanes that were held."""

    def __init__(self, busy: bool = False) -> None:
        self.held: list[str] = []
        self.busy = busy

    def note(self, delivery: Delivery, *, step: str, remote: Mapping[str, Any]) -> None: ...

    @asynccontextmanager
    async def lane(self, name: str) -> AsyncIterator[None]:
        if self.busy:
            raise LaneBusy()
        self.held.append(name)
        yield


def value(code: str = "MH_A", number: str | None = "12", combo: str = "default", **more: Any) -> dict[str, Any]:
    base = {"dataElement": code, "categoryOptionCombo": combo, "value": number, "neverSent": True, "released": None}
    return {**base, "old": None, **more}


def block(*values: dict[str, Any], unit: str = "ML-S1", period: str = "202609", **more: Any) -> Delivery:
    payload = {"dataSet": "MH_SEC", "orgUnit": unit, "period": period, "attributeOptionCombo": "default",
               "first": False, "onExisting": "ask", "values": list(values)}  # fmt: skip
    tries = more.pop("tries", 0)
    return Delivery(1, "dhis2", f"block/MH_SEC/{unit}/{period}", "block", 1, "d", {**payload, **more}, tries=tries)


def completion(
    unit: str = "ML-S1", period: str = "202609", completed: bool = True, day: str = "2026-10-05"
) -> Delivery:
    payload = {"dataSet": "MH_SEC", "orgUnit": unit, "period": period, "attributeOptionCombo": "default",
               "date": day, "completed": completed}  # fmt: skip
    return Delivery(2, "dhis2", f"complete/MH_SEC/{unit}/{period}", "completion", 1, "d", payload)


class House:
    """A server, an adapter and what is needed to look at both."""

    def __init__(self, values: list[dict[str, Any]] | None = None, *, user: str = "relais",
                 change: Callable[[dict[str, Any]], None] | None = None, **settings: Any) -> None:  # fmt: skip
        data = metadata()
        if change:
            change(data)
        self.plane = Plane()
        self.sim = DHIS2Sim(data, values or [], self.plane)
        self.user, self.settings = user, settings
        self.progress = Lanes()

    def _run(self, work: Callable[[Dhis2Target], Any]) -> Any:
        async def run() -> Any:
            transport = httpx.ASGITransport(app=self.sim.app)
            client = make_client("http://127.0.0.1:1", user=self.user, password=self.user, transport=transport)
            async with client:
                return await work(Dhis2Target(client, name="dhis2", settings={**SETTINGS, **self.settings}))

        return asyncio.run(run())

    def deliver(self, *deliveries: Delivery) -> list[Outcome]:
        return list(self._run(lambda target: target.deliver(deliveries, self.progress)))

    def look_up(self, delivery: Delivery) -> Observed | None:
        found: Observed | None = self._run(lambda target: target.look_up(delivery))
        return found

    def probe(self) -> Any:
        return self._run(lambda target: target.probe())

    def stored(self) -> dict[tuple[str, str, str], str]:
        """(element, combo, org unit) -> value."""
        return {
            (v["dataElement"], v["categoryOptionCombo"], v["orgUnit"]): v["value"] for v in self.sim.state()["values"]
        }

    def sent(self) -> list[str]:
        return [path for method, path in self.plane.recent if method == "POST"]


def typed(code: str = "MH_A", number: str = "7", combo: str = "default", unit: str = "ML-S1") -> dict[str, Any]:
    """A value a person has typed in."""
    return {"dataElement": code, "categoryOptionCombo": combo, "orgUnit": unit, "period": "202609", "value": number,
            "storedBy": "awa"}  # fmt: skip


# ---------------------------------------------------------------- it goes well


def test_a_block_is_stored_in_one_request_and_every_value_is_accounted_for() -> None:
    house = House()
    (outcome,) = house.deliver(block(value(), value("MH_B", "3", "SEX_F"), value("MH_B", "0", "SEX_M")))
    assert (outcome.verdict, outcome.reason) == (Verdict.ACCEPTED, "dhis2.stored")
    assert [fate.verdict for fate in outcome.per_value] == [Verdict.ACCEPTED] * 3
    assert house.stored() == {
        ("MH_A", "default", "ML-S1"): "12",
        ("MH_B", "SEX_F", "ML-S1"): "3",
        ("MH_B", "SEX_M", "ML-S1"): "0",
    }
    (path,) = house.sent()
    for flag in ("strictDataElements=true", "strictOrganisationUnits=true", "strictPeriods=true", "async=false"):
        assert flag in path


def test_codes_are_resolved_once_for_many_blocks() -> None:
    house = House()
    house.deliver(*[block(value(number=str(n)), unit=unit) for n in (1, 2) for unit in ("ML-S1", "ML-S2")])
    assert [p for _, p in house.plane.recent].count(next(p for _, p in house.plane.recent if "/api/dataSets" in p)) == 1


def test_unchanged_rows_are_ignored_by_the_server_and_accepted_after_a_look() -> None:
    # recordings/dhis2-2.42/036-dv-repush-identical.json
    house = House([typed(number="12")])
    (outcome,) = house.deliver(block(value(number="12"), value("MH_B", "1", "SEX_F"), onExisting="overwrite"))
    assert outcome.verdict is Verdict.ACCEPTED
    assert [fate.reason for fate in outcome.per_value] == ["dhis2.stored", "dhis2.stored"]
    assert house.plane.recent[-1][0] == "GET", "the row that only counted as ignored is read back"


def test_a_nought_that_does_not_count_is_in_no_counter_and_still_accepted() -> None:
    # recordings/dhis2-2.42/040-dv-zero-insignificant-new.json
    house = House()
    (outcome,) = house.deliver(block(value("MH_Z", "0")))
    assert outcome.verdict is Verdict.ACCEPTED and house.stored() == {}
    observed = house.look_up(block(value("MH_Z", "0")))
    assert observed is not None and observed.matches


def test_null_deletes_and_deleting_what_is_not_there_is_done_already() -> None:
    house = House([{**typed(), "storedBy": "relais"}])
    gone = value(number=None, neverSent=False, old="7")
    assert house.deliver(block(gone))[0].verdict is Verdict.ACCEPTED
    assert house.stored() == {}
    posts = len(house.sent())
    (again,) = house.deliver(block(gone))
    assert (again.verdict, again.reason) == (Verdict.ACCEPTED, "dhis2.already_there")
    assert len(house.sent()) == posts, "nothing to send, nothing sent"


def test_the_first_block_of_a_period_holds_the_lane() -> None:
    house = House()
    house.deliver(block(value(), first=True), block(value(), unit="ML-S2"))
    assert house.progress.held == ["dhis2:dhis2:period:202609"]
    house.progress.busy = True
    (outcome,) = house.deliver(block(value("MH_B", "1", "SEX_F"), first=True))
    assert (outcome.verdict, outcome.reason, outcome.of_target) == (Verdict.DEFERRED, "lane.busy", False)
    assert ("MH_B", "SEX_F", "ML-S1") not in house.stored()


# ---------------------------------------------------------------- a person's value is there


def test_a_value_typed_by_hand_is_held_and_the_rest_of_the_block_goes() -> None:
    house = House([typed(number="7")])
    (outcome,) = house.deliver(block(value(number="12"), value("MH_B", "3", "SEX_F")))
    assert outcome.verdict is Verdict.ACCEPTED
    held, good = outcome.per_value
    assert (held.held, held.verdict, held.reason, held.there) == (
        True,
        Verdict.DEFERRED,
        "dhis2.value_already_there",
        "7",
    )
    assert not good.held and good.verdict is Verdict.ACCEPTED
    assert house.stored() == {("MH_A", "default", "ML-S1"): "7", ("MH_B", "SEX_F", "ML-S1"): "3"}


def test_an_equal_value_is_accepted_without_sending() -> None:
    house = House([typed(number="12")])
    (outcome,) = house.deliver(block(value(number="12")))
    assert (outcome.verdict, outcome.reason) == (Verdict.ACCEPTED, "dhis2.already_there")
    assert house.sent() == [] and house.plane.log == []


@pytest.mark.parametrize(
    ("settings", "released", "left"),
    [("ask", None, "7"), ("keep", None, "7"), ("overwrite", None, "12"), ("ask", "overwrite", "12")],
)
def test_the_pack_or_a_person_decides(settings: str, released: str | None, left: str) -> None:
    house = House([typed(number="7")])
    (outcome,) = house.deliver(block(value(number="12", released=released), onExisting=settings))
    assert house.stored() == {("MH_A", "default", "ML-S1"): left}
    assert outcome.verdict is Verdict.ACCEPTED
    assert outcome.per_value[0].held == (left == "7")
    if settings == "keep":
        assert outcome.per_value[0].reason == "dhis2.value_kept"


def test_a_value_changed_by_hand_after_our_send_is_kept_but_what_we_may_have_sent_is_ours() -> None:
    house = House([typed(number="9")])
    (outcome,) = house.deliver(block(value(number="12", neverSent=False, old="8")))
    assert (outcome.per_value[0].held, outcome.per_value[0].reason) == (True, "dhis2.value_changed_there")
    assert house.stored() == {("MH_A", "default", "ML-S1"): "9"}
    house.deliver(block(value(number="12", neverSent=False, old="8", sentBefore=["9"])))
    assert house.stored() == {("MH_A", "default", "ML-S1"): "12"}


# ---------------------------------------------------------------- refusals


def test_refused_rows_refuse_the_block_and_good_rows_are_stored_once() -> None:
    # recordings/dhis2-2.42/160-mixed-good-bad.json: 409 with part of the rows stored
    house = House()
    (outcome,) = house.deliver(block(value(number="-4"), value("MH_B", "3", "SEX_F")))
    assert (outcome.verdict, outcome.reason, outcome.http_status) == (Verdict.REJECTED, "dhis2.E7619", 409)
    assert [(f.reason, f.verdict) for f in outcome.per_value] == [
        ("dhis2.E7619", Verdict.REJECTED),
        ("dhis2.stored", Verdict.ACCEPTED),
    ]
    assert house.stored() == {("MH_B", "SEX_F", "ML-S1"): "3"}


def test_a_row_the_server_does_not_count_is_sent_again() -> None:
    # findings-dhis2 0.1: 200 SUCCESS, and a row is in no counter and nowhere
    house = House()
    house.sim.refuse = [{"match": {"dataElement": "MH_A"}, "short": True, "times": 1}]
    short = block(value(number="12"), value("MH_B", "3", "SEX_F"))
    (outcome,) = house.deliver(short)
    assert (outcome.verdict, outcome.reason, outcome.of_target) == (Verdict.DEFERRED, "dhis2.counted_short", False)
    assert [fate.verdict for fate in outcome.per_value] == [Verdict.DEFERRED, Verdict.ACCEPTED]
    (again,) = house.deliver(short)
    assert again.verdict is Verdict.ACCEPTED and house.stored()["MH_A", "default", "ML-S1"] == "12"


def test_a_good_period_refused_for_a_moment_is_tried_again() -> None:
    # recordings/dhis2-2.42/571-z-period-not-valid-after-db-cut.json
    house = House()
    house.sim.refuse = [{"code": "E7611", "times": 2}]
    delivery = block(value(), value("MH_B", "1", "SEX_F"))
    (outcome,) = house.deliver(delivery)
    assert (outcome.verdict, outcome.reason) == (Verdict.DEFERRED, "dhis2.E7611")
    assert house.deliver(delivery)[0].verdict is Verdict.ACCEPTED


def test_future_periods_wait_and_expired_ones_are_for_the_ministry() -> None:
    # recordings/dhis2-2.42/121-pe-future.json, 125-pe-expired-clerk.json
    house = House(change=lambda data: data["dataSets"][0].update(expiryDays=10))
    future, expired = house.deliver(block(value(), period="202611"), block(value(), period="202606"))
    assert (future.verdict, future.reason) == (Verdict.DEFERRED, "dhis2.E7641")
    assert (expired.verdict, expired.reason) == (Verdict.DEFERRED, "dhis2.period_closed")
    assert [one.reason for one in expired.per_value] == ["dhis2.E7640"]
    assert future.endless and expired.endless and expired.retry_after is not None
    assert {REASONS[code].who for code in ("dhis2.E7640", "dhis2.period_closed")} == {"ministry"}


@pytest.mark.parametrize(
    ("delivery", "reason"),
    [
        (block(value(), unit="ML-SX", period="202609"), "dhis2.org_unit_closed"),
        (block(value(), unit="ML-SU"), "dhis2.org_unit_not_assigned"),
        (block(value(), period="2026Q3"), "dhis2.period_type"),
        (block(value(), dataSet="MH_NONE"), "dhis2.data_set_missing"),
        (completion(unit="ML-SX"), "dhis2.org_unit_closed"),
        (completion(unit="ML-SU"), "dhis2.org_unit_not_assigned"),
        (completion(period="202610"), "dhis2.period_not_over"),
        (completion(period="2026W40"), "dhis2.period_type"),
    ],
    ids=lambda given: given if isinstance(given, str) else given.key,
)
def test_what_the_server_would_take_silently_is_refused_here(delivery: Delivery, reason: str) -> None:
    # recordings/dhis2-2.42/144-ou-closed-later-period.json, 235-comp-wrong-period-type.json .. 237-comp-future.json
    house = House()
    (outcome,) = house.deliver(delivery)
    ours = reason == "dhis2.period_not_over"
    assert (outcome.verdict, outcome.reason) == (Verdict.REJECTED if ours else Verdict.DEFERRED, reason)
    assert REASONS[reason].held != ours and outcome.endless != ours, "held back until it is mended, however long"
    assert house.plane.log == []


@pytest.mark.parametrize("delivery", [block(value()), completion()], ids=["block", "completion"])
def test_a_data_set_that_tells_its_figures_apart_by_more_is_held_until_it_does_not(delivery: Delivery) -> None:
    house = House(change=lambda data: data["dataSets"][0].update(categoryCombo="SEX"))

    async def twice(target: Dhis2Target) -> list[Outcome]:
        (before,) = await target.deliver([delivery], house.progress)
        with pytest.raises(TargetUnreadable) as unread:
            await target.read_block("MH_SEC", "ML-S1", "202609")
        assert unread.value.reason == before.reason
        house.sim.metadata.lists["dataSets"][0]["categoryCombo"] = "default"
        return [before, *await target.deliver([delivery], house.progress)]

    held, mended = house._run(twice)
    assert (held.verdict, held.reason, held.of_target) == (Verdict.DEFERRED, "dhis2.attribute_combo", False)
    assert (held.endless, held.retry_after) == (True, timedelta(hours=1)) and held.per_value == ()
    assert REASONS[held.reason].held and REASONS[held.reason].who == "target_admin"
    assert mended.verdict is Verdict.ACCEPTED
    assert len(house.sent()) == 1, "nothing left while it was held"
    state = house.sim.state()
    assert [row["attributeOptionCombo"] for row in (*state["values"], *state["completions"])] == ["default"]


def test_codes_the_server_does_not_have_are_refused_one_by_one() -> None:
    house = House()
    (outcome,) = house.deliver(block(value("MH_404"), value("MH_B", "2", "SEX_X"), value("MH_A", "5")))
    assert outcome.verdict is Verdict.DEFERRED and outcome.reason in ("dhis2.element_missing", "dhis2.combo_missing")
    assert outcome.endless and outcome.retry_after == timedelta(hours=1)
    assert [f.reason for f in outcome.per_value] == ["dhis2.element_missing", "dhis2.combo_missing", "dhis2.stored"]
    assert house.stored() == {("MH_A", "default", "ML-S1"): "5"}


def test_the_same_cell_twice_is_never_sent() -> None:
    # recordings/dhis2-2.42/501-z-dup-new-three.json: the first wins, the others vanish uncounted
    house = House()
    (outcome,) = house.deliver(block(value(number="1"), value(number="2")))
    assert (outcome.verdict, outcome.reason) == (Verdict.REJECTED, "dhis2.duplicate_row")
    assert house.stored() == {}


def test_the_whole_request_refused() -> None:
    # recordings/dhis2-2.42/154-access-no-data-write.json
    house = House(change=lambda data: data["dataSets"][0].update(write=False))
    (outcome,) = house.deliver(block(value(), value("MH_B", "1", "SEX_F")))
    assert (outcome.verdict, outcome.reason) == (Verdict.REJECTED, "dhis2.E7601")
    assert [f.reason for f in outcome.per_value] == ["dhis2.E7601"] * 2


def test_an_import_that_breaks_is_unknown_twice_and_refused_the_third_time() -> None:
    # recordings/dhis2-2.42/436-x-concurrent-0.json
    house = House()
    house.sim.refuse = [{"failed": "Failed to flush BatchHandler"}]
    verdicts = [house.deliver(block(value(), tries=tries))[0].verdict for tries in (0, 1, 2)]
    assert verdicts == [Verdict.UNKNOWN, Verdict.UNKNOWN, Verdict.REJECTED]


def test_outside_the_hierarchy_an_empty_200_is_no_empty_block() -> None:
    # recordings/dhis2-2.42/274-get-outside-clerk.json
    house = House([typed(number="7")], user="north")
    (outcome,) = house.deliver(block(value()))
    assert (outcome.verdict, outcome.reason, outcome.of_target) == (Verdict.DEFERRED, "dhis2.read_refused", False)
    (blind,) = house.deliver(block(value(), onExisting="overwrite"))
    assert (blind.verdict, blind.reason) == (Verdict.REJECTED, "dhis2.E7617")
    assert house.stored() == {("MH_A", "default", "ML-S1"): "7"}


def test_metadata_mended_at_the_server_is_seen_without_a_restart() -> None:
    house = House()
    unassigned = block(value(), unit="ML-SU")

    async def work(target: Dhis2Target) -> list[Outcome]:
        before = await target.deliver([block(value()), unassigned], house.progress)
        house.sim.metadata.lists["dataSets"][0]["orgUnits"].append("ML-SU")
        house.sim.metadata.lists["dataSets"][0]["_units"].add("ML-SU")
        return [*before, *await target.deliver([unassigned], house.progress)]

    reasons = [outcome.reason for outcome in house._run(work)]
    assert reasons == ["dhis2.stored", "dhis2.org_unit_not_assigned", "dhis2.stored"]


# ---------------------------------------------------------------- the target fails, the answer is lost


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"down": True}, "dhis2.unreachable"),
        ({"every": 1, "status": 503, "retry_after": 7}, "dhis2.unavailable"),
        ({"every": 1, "status": 429, "retry_after": 7}, "dhis2.busy"),
        ({"html_every": 1}, "dhis2.unavailable"),
    ],
)
def test_a_failure_of_the_target_stores_nothing_and_ends_the_batch(fault: dict[str, Any], reason: str) -> None:
    house = House()
    house.plane.arm(fault)
    outcomes = house.deliver(block(value()), block(value(), unit="ML-S2"), completion())
    assert [(o.verdict, o.reason, o.of_target) for o in outcomes] == [(Verdict.DEFERRED, reason, True)] * 3
    assert house.plane.requests <= 3, "one read, asked three times at most; the rest of the batch is not tried"
    if "retry_after" in fault:
        assert outcomes[0].retry_after == timedelta(seconds=7)
    assert house.plane.log == []


@pytest.mark.parametrize(
    "key", ["dataElement", "categoryOptionCombo", "attributeOptionCombo", "value", "period", "orgUnit"]
)
def test_a_row_that_cannot_be_read_is_no_value_that_is_gone(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passed over it would look as if there were nothing to delete."""

    class Mangling(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await super().handle_async_request(request)
            if request.method != "GET" or not request.url.path.endswith("/dataValueSets"):
                return answer
            body = orjson.loads(await answer.aread())
            rows = [{**row, key: [row[key]]} for row in body["dataValues"]]
            return httpx.Response(answer.status_code, json={**body, "dataValues": rows})

    house = House([{**typed("MH_A", "3"), "storedBy": "relais"}])
    held = house.stored()
    monkeypatch.setattr(httpx, "ASGITransport", Mangling)
    (outcome,) = house.deliver(block(value("MH_A", None, neverSent=False, old="3")))
    assert (outcome.verdict, outcome.reason, outcome.of_target) == (Verdict.DEFERRED, "dhis2.unavailable", True)
    assert house.stored() == held and held


@pytest.mark.parametrize(
    ("fault", "reason", "applied"),
    [
        ({"lose_response_every": 1, "only": "writes"}, "dhis2.answer_lost", True),
        ({"truncate_every": 1, "only": "writes"}, "dhis2.unreadable_answer", True),
        ({"html_every": 1, "only": "writes"}, "dhis2.unreadable_answer", False),
        ({"every": 1, "status": 500, "only": "writes"}, "dhis2.server_error", False),
        ({"every": 1, "status": 502, "only": "writes"}, "dhis2.server_error", False),
    ],
    ids=lambda given: str(given),
)
def test_a_lost_answer_is_unknown_and_a_look_settles_it(fault: dict[str, Any], reason: str, applied: bool) -> None:
    house = House()
    house.plane.arm(fault)
    delivery = block(value(), value("MH_B", "3", "SEX_F"))
    (outcome,) = house.deliver(delivery)
    assert (outcome.verdict, outcome.reason, outcome.of_target) == (Verdict.UNKNOWN, reason, False)
    house.plane.arm({})
    observed = house.look_up(delivery)
    assert (observed is not None and observed.matches) == applied
    (again,) = house.deliver(delivery)
    assert again.verdict is Verdict.ACCEPTED
    written = [entry for entry in house.plane.log if entry["dataElement"] == "MH_A"]
    assert len(written) == 1, "sent twice, stored once"


def test_rows_counted_short_that_cannot_be_read_back_are_unknown() -> None:
    house = House([typed(number="12")])
    house.plane.arm({"every": 3, "status": 503, "retry_after": 1})  # data set, values, read-back
    (outcome,) = house.deliver(block(value(number="12"), onExisting="overwrite"))
    assert (outcome.verdict, outcome.reason, outcome.of_target) == (Verdict.UNKNOWN, "dhis2.unverified", False)


def test_refused_credentials_stop_the_target() -> None:
    wrong = House(user="nobody")
    (outcome,) = wrong.deliver(block(value()))
    assert (outcome.verdict, outcome.reason, outcome.of_target) == (Verdict.DEFERRED, "dhis2.credentials", True)
    unable = House(user="reader")
    (outcome,) = unable.deliver(block(value()))
    assert (outcome.reason, outcome.of_target) == ("dhis2.credentials_no_authority", True)
    locked = House()
    locked.sim.users[0]["disabled"] = True
    assert locked.deliver(block(value()))[0].reason == "dhis2.credentials_locked"
    down = House()
    down.sim.doors.database_down = True  # recordings/dhis2-2.42/453-db-down-post.json
    assert down.deliver(block(value()))[0].reason == "dhis2.credentials"


@pytest.mark.parametrize("delivery", [block(value()), completion()], ids=["block", "completion"])
@pytest.mark.parametrize(
    ("calendar", "version", "reason"),
    [
        ("ethiopian", "2.42.5", "dhis2.calendar"),
        ("nepali", "2.42.5", "dhis2.calendar"),
        ("iso8601", "2.37.9", "dhis2.version"),
        ("iso8601", "2.44.0", "dhis2.version"),
        ("iso8601", "3.42.0", "dhis2.version"),
        ("iso8601", None, "dhis2.unavailable"),
        ("iso8601", "2.38.0", None),
        ("gregorian", "2.43.1", None),
    ],
)
def test_what_kind_of_server_it_is_is_known_before_the_first_send(
    delivery: Delivery, calendar: str, version: str, reason: str | None
) -> None:
    house = House()
    house.sim.calendar, house.sim.importer.version = calendar, version

    async def send(target: Dhis2Target) -> list[Outcome]:
        target._look_first = True
        return list(await target.deliver([delivery, block(value(), unit="ML-S2")], house.progress))

    outcomes = house._run(send)
    if reason is None:
        assert [outcome.verdict for outcome in outcomes] == [Verdict.ACCEPTED] * 2
        return
    held = reason != "dhis2.unavailable"
    assert {(o.verdict, o.reason, o.of_target, o.endless) for o in outcomes} == {(Verdict.DEFERRED, reason, True, held)}
    assert house.sent() == [] and house.plane.log == []


def test_without_credentials_the_server_says_so_instead_of_showing_its_login_page() -> None:
    # recordings/dhis2-2.42/024-noauth-get-xrw.json against 021-noauth-get-json.json
    async def run() -> Outcome:
        house = House()
        async with make_client("http://127.0.0.1:1", transport=httpx.ASGITransport(app=house.sim.app)) as client:
            return (await Dhis2Target(client, name="dhis2", settings={}).deliver([block(value())], house.progress))[0]

    outcome = asyncio.run(run())
    assert (outcome.reason, outcome.of_target, outcome.http_status) == ("dhis2.credentials", True, 401)


def test_a_token_is_sent_the_way_dhis2_wants_it() -> None:
    async def run(token: str, **login: str) -> Outcome:
        house = House()
        transport = httpx.ASGITransport(app=house.sim.app)
        client = make_client("http://127.0.0.1:1", token=token, transport=transport, **login)
        async with client:
            target = Dhis2Target(client, name="dhis2", settings={"token": token})
            return (await target.deliver([block(value())], house.progress))[0]

    assert asyncio.run(run("d2p_sandbox")).verdict is Verdict.ACCEPTED
    assert asyncio.run(run("d2p_sandboxx")).reason == "dhis2.credentials_token"  # 390: 400, not 401
    wrong = asyncio.run(run("d2p_sandbox", user="relais", password="an old one"))
    assert wrong.verdict is Verdict.ACCEPTED, "the token is preferred to user and password"


@pytest.mark.parametrize("kind", ["block", "completion"])
@pytest.mark.parametrize("wrong", [{"OuSiteAAA01": "OuSiteZZZ99"}, {"HllvX50cXC0": "HllvX50cXC9"}])
def test_ids_that_were_wrong_once_are_asked_for_again(kind: str, wrong: dict[str, str]) -> None:
    """Metadata recreated on the server, or an answer gone bad: the next try must not fail for ever."""
    house = House()

    class GarbledOnce(httpx.ASGITransport):
        done = False

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await super().handle_async_request(request)
            if request.url.path != "/api/dataSets" or self.done:
                return answer
            self.done = True
            text = (await answer.aread()).decode()
            for before, after in wrong.items():
                assert before in text
                text = text.replace(before, after)
            return httpx.Response(answer.status_code, headers={"content-type": "application/json"}, text=text)

    async def run() -> list[Outcome]:
        async with make_client(
            "http://127.0.0.1:1", user="relais", password="relais", transport=GarbledOnce(house.sim.app)
        ) as client:
            target = Dhis2Target(client, name="dhis2", settings=SETTINGS)
            wanted = block(value()) if kind == "block" else completion()
            return [(await target.deliver([wanted], house.progress))[0] for _ in range(3)]

    last = asyncio.run(run())[-1]
    assert last.verdict is Verdict.ACCEPTED, last


def test_an_answer_bigger_than_the_bound_is_not_swallowed() -> None:
    house = House(max_answer_bytes=200)
    (outcome,) = house.deliver(block(value()))
    assert (outcome.verdict, outcome.of_target) == (Verdict.DEFERRED, True)


# ---------------------------------------------------------------- looking up, reading, completing


def test_look_up_compares_value_by_value() -> None:
    house = House([typed(number="12"), typed("MH_B", "4", "SEX_F")])
    same = house.look_up(block(value(number="12"), value("MH_B", "4", "SEX_F")))
    assert same is not None and same.matches
    other = house.look_up(block(value(number="12"), value("MH_B", "5", "SEX_F")))
    assert other is not None and not other.matches
    assert {v["there"] for v in other.detail["values"]} == {"12", "4"}
    assert house.look_up(block(value(number="1"), unit="ML-S2")) is None
    house.plane.arm({"every": 1, "status": 503})
    with pytest.raises(TargetUnreadable):
        house.look_up(block(value()))


def test_a_block_is_read_in_codes() -> None:
    other_period = {**typed("MH_A", "99"), "period": "202608"}
    other_attribute = {**typed("MH_A", "55"), "attributeOptionCombo": "SEX_F"}
    house = House([typed(number="12"), typed("MH_B", "4", "SEX_F"), typed(unit="ML-S2"), other_period, other_attribute])
    read = house._run(lambda target: target.read_block("MH_SEC", "ML-S1", "202609"))
    assert read == {("MH_A", "default"): "12", ("MH_B", "SEX_F"): "4"}


def test_completions_are_stored_looked_up_and_taken_back() -> None:
    house = House()
    assert house.look_up(completion()) is None
    assert house.deliver(completion())[0].verdict is Verdict.ACCEPTED
    assert house.deliver(completion())[0].verdict is Verdict.ACCEPTED, "again is updated (229)"
    (held,) = house.sim.state()["completions"]
    assert (held["dataSet"], held["orgUnit"], held["period"], held["date"]) == (
        "MH_SEC",
        "ML-S1",
        "202609",
        "2026-10-05",
    )
    found = house.look_up(completion())
    assert found is not None and found.matches
    undone = completion(completed=False)
    found = house.look_up(undone)
    assert found is not None and not found.matches
    assert house.deliver(undone)[0].verdict is Verdict.ACCEPTED
    assert house.sim.state()["completions"] == []
    found = house.look_up(undone)
    assert found is not None and found.matches


def test_completions_that_are_refused_lost_or_answered_with_a_page() -> None:
    house = House(change=lambda data: data["dataSets"][0].update(compulsory=[["MH_A", "default"]]))
    assert house.deliver(completion())[0].reason == "dhis2.compulsory_missing"  # 242
    outside = House(user="north")
    assert outside.deliver(completion())[0].reason == "dhis2.E7617"  # 239
    lost = House()
    lost.plane.arm({"lose_response_every": 1, "only": "writes"})
    assert lost.deliver(completion())[0].verdict is Verdict.UNKNOWN
    page = House()
    page.plane.arm({"html_every": 1, "only": "writes"})
    assert page.deliver(completion(completed=False))[0].verdict is Verdict.UNKNOWN


# ---------------------------------------------------------------- probe


def test_probe_is_silent_when_all_is_well() -> None:
    assert House().probe() == []


def test_probe_names_what_is_missing_with_a_fix() -> None:
    def spoil(data: dict[str, Any]) -> None:
        data["dataSets"][0].update(write=False, elements=["MH_B", "MH_Z"], orgUnits=["ML-S1"])

    expected = {
        "MH_SEC": {
            "period_type": "Quarterly",
            "elements": {"MH_A": ["default"], "MH_B": ["SEX_F", "SEX_X"], "MH_Z": ["default"], "MH_NOT": []},
            "org_units": ["ML-S1", "ML-S2"],
        },
        "MH_GONE": {},
    }
    findings = House(user="reader", change=spoil, expected=expected).probe()
    assert sorted(f.code for f in findings) == [
        "dhis2.E7601",
        "dhis2.combo_missing",
        "dhis2.credentials_no_authority",
        "dhis2.data_set_missing",
        "dhis2.element_missing",
        "dhis2.element_not_in_set",
        "dhis2.org_unit_not_assigned",
        "dhis2.period_type",
        "dhis2.zero_not_significant",
    ]
    assert all(f.fix for f in findings)
    assert [f.severity for f in findings if f.code == "dhis2.zero_not_significant"] == [Severity.WARNING]


def test_probe_of_a_server_that_does_not_answer() -> None:
    house = House()
    house.plane.arm({"down": True})
    assert [finding.code for finding in house.probe()] == ["dhis2.unreachable"]


# ---------------------------------------------------------------- one adapter, several calls


@asynccontextmanager
async def living(house: House, **more: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Dhis2Target]]:
    """One adapter that goes on living, as in a process that serves."""
    transport = httpx.ASGITransport(app=house.sim.app)
    async with make_client("http://127.0.0.1:1", user=house.user, password=house.user, transport=transport) as client:
        yield client, Dhis2Target(client, name="dhis2", settings=SETTINGS, **more)


def test_a_refusal_of_the_account_says_nothing_else_of_the_next_block(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()

    async def run() -> None:
        async with living(house, look_first=True) as (_, target):
            one = target._one

            async def refused(delivery: Delivery, progress: Any) -> Outcome:
                outcome = await one(delivery, progress)
                if delivery.payload["orgUnit"] != "ML-S1":
                    return outcome
                return replace(outcome, verdict=Verdict.REJECTED, reason="dhis2.E7617")

            monkeypatch.setattr(target, "_one", refused)
            batch = [block(value(), unit="ML-S1"), block(value(), unit="ML-S2")]
            done = await target.deliver(batch, house.progress)
            assert [outcome.reason for outcome in done] == ["dhis2.E7617", "dhis2.stored"]

    asyncio.run(run())


@pytest.mark.parametrize(("failures", "asked"), [(1, 0), (3, 1)])
def test_a_server_that_was_away_is_asked_what_it_is_and_not_for_all_its_codes_again(failures: int, asked: int) -> None:
    house = House()

    async def run() -> list[str]:
        async with living(house, look_first=True) as (client, target):
            paths: list[str] = []

            async def seen(request: httpx.Request) -> None:
                paths.append(request.url.path)

            client.event_hooks["request"].append(seen)
            (first,) = await target.deliver([block(value())], house.progress)
            assert first.reason == "dhis2.stored" and paths.count("/api/dataSets") == 1
            house.plane.arm([{"status": 503}])
            for _ in range(failures):
                (away,) = await target.deliver([block(value(), unit="ML-S2")], house.progress)
                assert away.of_target
            house.plane.arm([])
            paths.clear()
            (again,) = await target.deliver([block(value(), unit="ML-S2")], house.progress)
            assert again.reason == "dhis2.stored"
            return paths

    paths = asyncio.run(run())
    assert "/api/dataSets" not in paths
    assert paths.count("/api/system/info") == paths.count("/api/me") == asked


def test_reading_back_sees_what_was_mended_without_a_delivery() -> None:
    house = House()

    async def run() -> None:
        async with living(house) as (client, target):
            with pytest.raises(TargetUnreadable):
                await target.read_block("MH_SEC", "ML-SU", "202609")
            data = copy.deepcopy(dict(house.sim.metadata.given))
            data["dataSets"][0]["orgUnits"].append("ML-SU")
            client._transport = httpx.ASGITransport(app=DHIS2Sim(data, [], Plane()).app)
            assert await target.read_block("MH_SEC", "ML-SU", "202609") == {}

    asyncio.run(run())
