"""DHIS2 2.43 as a target: another importer, another envelope, and still every value's fate is known.

Numbers in comments are files of recordings/dhis2-2.43. The house is that of ``test_dhis2_target``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connector.adapters.dhis2_answers import REASONS, read_import
from connector.model import Verdict
from connector.sandbox.dhis2 import DHIS2Sim
from tests.contract.test_dhis2_target import House, block, completion, metadata, typed, value
from tests.truth.recorded import exchanges


def v43(
    values: list[dict[str, Any]] | None = None, *, change: Callable[[dict[str, Any]], None] | None = None, **more: Any
) -> House:
    house = House(values, change=change, **more)
    data = metadata()
    if change:
        change(data)
    house.sim = DHIS2Sim(data, values or [], house.plane, profile="v43")
    return house


def test_a_block_is_stored_and_counted_without_a_look() -> None:
    house = v43()
    (outcome,) = house.deliver(block(value(), value("MH_B", "3", "SEX_F"), value("MH_Z", "0"), onExisting="overwrite"))
    assert (outcome.verdict, outcome.reason) == (Verdict.ACCEPTED, "dhis2.stored")
    assert house.stored() == {
        ("MH_A", "default", "ML-S1"): "12", ("MH_B", "SEX_F", "ML-S1"): "3", ("MH_Z", "default", "ML-S1"): "0",
    }  # fmt: skip
    assert house.plane.recent[-1][0] == "POST", "updated counts new and old alike, so nothing need be read back (036)"


def test_what_is_sent_again_or_taken_back_is_counted_too() -> None:
    house = v43([{**typed(number="12"), "storedBy": "relais"}])
    (outcome,) = house.deliver(block(value(number=None, neverSent=False, old="12"), onExisting="overwrite"))
    assert outcome.verdict is Verdict.ACCEPTED and house.stored() == {}


@pytest.mark.parametrize("number", ["12", "0"])
def test_a_push_that_lost_the_race_for_a_new_period_is_sent_again(number: str) -> None:
    """200, SUCCESS, no conflict, and nothing stored (588). A nought that does not count is no exception."""
    house = v43()
    house.sim.refuse = [{"race": True, "times": 1}]
    delivery = block(value("MH_Z", number))
    (outcome,) = house.deliver(delivery)
    assert (outcome.verdict, outcome.reason, outcome.of_target) == (Verdict.DEFERRED, "dhis2.counted_short", False)
    assert house.look_up(delivery) is None
    assert house.deliver(delivery)[0].verdict is Verdict.ACCEPTED
    assert house.stored() == {("MH_Z", "default", "ML-S1"): number}


def test_a_wrong_value_is_refused_alone() -> None:
    """WARNING with 200 (161)."""
    house = v43()
    (outcome,) = house.deliver(block(value(number="-4"), value("MH_B", "3", "SEX_F")))
    assert (outcome.verdict, outcome.reason, outcome.http_status) == (Verdict.REJECTED, "dhis2.E8122", 200)
    assert [(f.reason, f.verdict) for f in outcome.per_value] == [
        ("dhis2.E8122", Verdict.REJECTED),
        ("dhis2.stored", Verdict.ACCEPTED),
    ]
    assert house.stored() == {("MH_B", "SEX_F", "ML-S1"): "3"}


def test_a_block_refused_for_one_element_is_sent_again_without_it() -> None:
    """066: one element that is not in the set refuses every row. It left the set after we looked."""
    house = v43()
    sim = house.sim

    def leaves(request: Any, *rest: Any) -> bool:
        sim.metadata.lists["dataSets"][0]["_elements"].discard("MH_A")
        return False

    sim.request = leaves  # type: ignore[method-assign]
    (outcome,) = house.deliver(block(value(), value("MH_B", "3", "SEX_F"), value("MH_B", "4", "SEX_M")))
    assert (outcome.verdict, outcome.reason) == (Verdict.REJECTED, "dhis2.E8020")
    assert [fate.reason for fate in outcome.per_value] == ["dhis2.E8020", "dhis2.stored", "dhis2.stored"]
    assert house.stored() == {("MH_B", "SEX_F", "ML-S1"): "3", ("MH_B", "SEX_M", "ML-S1"): "4"}
    assert len(house.sent()) == 2


def test_a_block_refused_for_what_all_rows_share_is_not_sent_again() -> None:
    """143: the org unit is outside the hierarchy."""
    house = v43(change=lambda data: data["users"][0].update(orgUnits=["ML-S2"]))
    (outcome,) = house.deliver(block(value(), value("MH_B", "3", "SEX_F"), onExisting="overwrite"))
    assert (outcome.verdict, outcome.reason) == (Verdict.REJECTED, "dhis2.E8011")
    assert [fate.reason for fate in outcome.per_value] == ["dhis2.E8011"] * 2
    assert len(house.sent()) == 1 and house.stored() == {}


def test_closed_and_not_open_yet_are_told_apart_by_the_date_of_the_server() -> None:
    """122, 125: one code for both."""
    house = v43(change=lambda data: data["dataSets"][0].update(expiryDays=10))
    future, expired = house.deliver(block(value(), period="202611"), block(value(), period="202606"))
    assert (future.verdict, future.reason, future.endless) == (Verdict.DEFERRED, "dhis2.period_not_open", True)
    assert (expired.verdict, expired.reason, expired.endless) == (Verdict.DEFERRED, "dhis2.period_closed", True)
    assert [one.reason for one in expired.per_value] == ["dhis2.E8030"]
    assert REASONS["dhis2.period_not_open"].who == "nobody" and REASONS["dhis2.E8030"].who == "ministry"


def test_an_approved_period_waits_for_the_ministry() -> None:
    house = v43(change=lambda data: data["dataSets"][0].update(approved=[["ML-S1", "202609"]]))  # 262
    (outcome,) = house.deliver(block(value()))
    assert (outcome.reason, outcome.per_value[0].reason) == ("dhis2.period_closed", "dhis2.E8033")


def test_the_whole_request_refused() -> None:
    """A conflict whose index is -1 (203)."""
    house = v43()
    house.sim.refuse = [{"request": "E8005"}]
    (outcome,) = house.deliver(block(value()))
    assert (outcome.verdict, outcome.reason) == (Verdict.REJECTED, "dhis2.E8005")
    assert house.stored() == {}


def test_a_500_may_have_stored_something() -> None:
    house = v43()
    house.sim.refuse = [{"failed": "duplicate key"}]
    assert [one.verdict for one in house.deliver(block(value()))] == [Verdict.UNKNOWN]


def test_the_first_completion_of_a_period_without_a_row_breaks_and_the_next_is_stored() -> None:
    """250, 251"""
    house = v43()
    (broken,) = house.deliver(completion())
    assert (broken.verdict, broken.reason) == (Verdict.UNKNOWN, "dhis2.import_failed")
    assert house.look_up(completion()) is None
    assert house.deliver(completion())[0].reason == "dhis2.completed"
    found = house.look_up(completion())
    assert found is not None and found.matches


def test_values_read_back_have_their_keys_in_the_header() -> None:
    house = v43([typed(number="7")])
    observed = house.look_up(block(value(number="7")))
    assert observed is not None and observed.matches
    (outcome,) = house.deliver(block(value(number="12")))
    assert [fate.reason for fate in outcome.per_value] == ["dhis2.value_already_there"]


def test_probe_knows_the_version() -> None:
    house = v43()
    assert house.probe() == []
    house.sim.importer.version = "2.44.0"
    assert [finding.code for finding in house.probe()] == ["dhis2.version"]


@pytest.mark.parametrize("server", ["dhis2-2.42", "dhis2-2.43"])
def test_every_recorded_answer_to_a_push_is_understood(server: str) -> None:
    """Each row of each recorded push: refused for a reason that is in the table, stored, or to be read back. A whole
    answer is trusted only when its counters account for every row."""
    pushes = [
        one
        for one in exchanges(server)
        if (one.method, one.path) == ("POST", "/api/dataValueSets") and isinstance(one.body, dict) and not one.part
    ]
    assert len(pushes) > 150
    for one in pushes:
        rows = one.body.get("dataValues") or []
        if one.status not in (200, 409):
            continue
        read = read_import(one.answer, len(rows), 0, rows)
        codes = {*read.refused.values(), *([read.fault.code] if read.fault else [])}
        assert codes <= set(REASONS), one.recording
        counts = one.answer["response"]["importCount"]
        stored = counts["imported"] + counts["updated"] + counts["deleted"]
        assert read.settled == (read.fault is None and stored + len(read.refused) == len(rows)), one.recording
