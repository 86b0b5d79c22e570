"""What the doctor says of a period is what the server does with it: at both importers, whatever shuts it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from connector.adapters.dhis2 import Dhis2Target
from connector.adapters.dhis2_answers import reason
from connector.adapters.dhis2_looking import first_approved, unavailable
from connector.adapters.dhis2_metadata import DataSet, Window
from connector.adapters.dhis2_probe import Asked, examine
from connector.http import make_client
from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.plane import Plane

TODAY, PERIOD = "2026-10-06", "202609"
OPEN, SHUT = ("2026-10-01", "2026-10-31"), ("2026-09-01", "2026-10-05")


def metadata(**of_set: Any) -> dict[str, Any]:
    return {
        "today": TODAY,
        "users": [{"username": "relais", "password": "relais", "id": "UsrRelais01", "orgUnits": ["OU"],
                   "authorities": ["F_DATAVALUE_ADD"]}],
        "orgUnits": [{"code": "OU", "id": "OuHealthA01", "name": "OU", "parent": None,
                      "opening": of_set.pop("opening", "2015-01-01")}],
        "dataElements": [{"code": "DE", "id": "DeNumber001", "name": "DE", "valueType": "INTEGER",
                          "zeroIsSignificant": True, "categoryCombo": "default"}],
        "dataSets": [{"code": "DS", "id": "DsMonthly01", "name": "DS", "periodType": "Monthly", "elements": ["DE"],
                      "orgUnits": ["OU"], "openFuturePeriods": 0, "expiryDays": 0, **of_set}],
    }  # fmt: skip


def window(days: tuple[str, str], period: str = PERIOD) -> dict[str, str]:
    return {"period": period, "opening": days[0], "closing": days[1]}


@pytest.mark.parametrize("profile", ["legacy", "v43"])
@pytest.mark.parametrize(
    ("of_set", "code"),
    [
        ({}, ""),
        ({"expiryDays": 5}, "dhis2.period_expired"),
        ({"expiryDays": 6}, ""),
        ({"inputPeriods": [window(OPEN)]}, "window"),
        ({"inputPeriods": [window(SHUT)]}, "window"),
        ({"inputPeriods": [window(OPEN), window(SHUT)]}, "window"),
        ({"inputPeriods": [window(OPEN, "202608")]}, "window"),
        ({"workflow": "WfMonthly01", "approved": [["OU", PERIOD]]}, "dhis2.period_approved"),
        ({"workflow": "WfMonthly01", "approved": [["OU", "202608"]]}, ""),
        ({"opening": "2026-10-01"}, "dhis2.org_unit_not_open"),
        ({"opening": "2026-09-30"}, ""),
    ],
)
def test_what_is_said_of_the_period_is_what_the_server_does(profile: str, of_set: dict[str, Any], code: str) -> None:
    sim = DHIS2Sim(metadata(**of_set), [], Plane(), profile=profile)
    values = {"dataSet": "DsMonthly01", "dataValues": [
        {"dataElement": "DeNumber001", "period": PERIOD, "orgUnit": "OuHealthA01", "value": "3"}]}  # fmt: skip

    async def both() -> tuple[list[str], int]:
        async with make_client(
            "http://dhis2", user="relais", password="relais", transport=httpx.ASGITransport(app=sim.app), insecure=True
        ) as client:  # fmt: skip
            wanted = {"DS": {"period_type": "Monthly", "elements": {"DE": ["default"]}, "org_units": ["OU"]}}
            target = Dhis2Target(client, name="dhis2", settings={"expected": wanted, "live_from": PERIOD})
            found = [one.code for one in await target.probe()]
            return found, (await client.post("/api/dataValueSets", json=values)).status_code

    found, status = asyncio.run(both())
    if code == "window":
        code = "dhis2.input_window_inverted" if profile == "v43" else "dhis2.input_window_closed"
    elif code == "dhis2.org_unit_not_open" and profile == "legacy":  # that server takes it, Relais holds it back (144)
        assert found == [code] and status == 200
        return
    assert (found, status) in (([code], 409), ([], 200)), found
    if code and "window" not in code:
        assert found == [code]


def named(version: str, *windows: Window, today: str = TODAY, live_from: str = "") -> list[str]:
    info = {"version": version, "serverDate": f"{today}T08:00:00.000"}
    me = {"authorities": ["F_DATAVALUE_ADD"], "organisationUnits": [{"id": "x"}]}
    held = DataSet("DsMonthly01", "Monthly", True, {}, {}, {}, windows=windows)
    return [one.code for one in examine("d", Asked(info, me, live_from), {"DS": {}}, {"DS": held})]


@pytest.mark.parametrize("version", ["2.42.5", "2.43.0", "2.43.1", "2.43", "2.43.2", "2.43.10"])
def test_only_two_versions_read_the_windows_the_wrong_way_round(version: str) -> None:
    wrong = version in ("2.43", "2.43.0", "2.43.1")
    refused = "dhis2.input_window_inverted" if wrong else "dhis2.input_window_closed"
    inside, outside = Window(PERIOD, *OPEN), Window(PERIOD, *SHUT)
    assert named(version, inside) == ([refused] if wrong else [])
    assert named(version, outside) == ([] if wrong else [refused])
    assert named(version, Window("202608", *OPEN)) == [refused]
    assert named(version, Window("202608", *OPEN), live_from="202610") == []  # what is older than that is never sent
    assert named(version, Window(PERIOD, "", "")) == ([refused] if wrong else [])


@pytest.mark.parametrize("code", ["dhis2.E8030", "dhis2.period_closed"])
def test_nobody_is_told_to_open_a_window_without_the_versions_that_take_it_for_shut(code: str) -> None:
    for words in (reason(code).fr, reason(code).en):
        assert "2.43.0" in words and "2.43.1" in words, words


def test_one_org_unit_below_each_parent_is_asked_first_and_no_more_than_thirty() -> None:
    asked: list[str] = []

    async def get(path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        assert path == "/api/dataApprovals" and query["wf"] == "Wf" and query["pe"] == PERIOD
        asked.append(query["ou"])
        return {"state": "APPROVED_ABOVE" if query["ou"].startswith("c") else "UNAPPROVED_ABOVE"}

    units = [(f"{area}{n:02d}", f"/ML/{area}/{area}{n:02d}") for area in "ab" for n in range(40)]
    assert asyncio.run(first_approved(get, "Wf", PERIOD, units)) is None
    assert len(asked) == 30 and asked[:3] == ["a00", "b00", "a01"]
    asked.clear()
    assert asyncio.run(first_approved(get, "Wf", PERIOD, [*units, ("c00", "/ML/c/c00")])) == "c00"
    assert asked == ["a00", "b00", "c00"]


def test_a_server_that_does_not_tell_is_not_taken_for_approved() -> None:
    async def get(path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        raise unavailable("dhis2.unavailable", 409)

    assert asyncio.run(first_approved(get, "Wf", PERIOD, [("a", "/a"), ("b", "/b")])) is None
