"""A token of ours that ends soon is told by the status, from what one look a day found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connector.cli import looking
from connector.engine import expiring
from connector.engine.status import exit_code, status
from tests.engine.house import Road


def asked(road: Road) -> int:
    return sum("/api/apiToken" in url for _, url in road.wires["dhis2"].seen)


def told(road: Road) -> list[tuple[str, int, str]]:
    document = status(road.engine, "x")
    return [(one["name"], one["days"], one["who"]) for one in document["expiring"]]


def ends_in(road: Road, **span: float) -> None:
    """A token of our account, at the server."""
    at = road.clock.now() + timedelta(**span)
    road.dhis2.users[0]["expires"] = round(at.timestamp() * 1000)


def test_a_token_that_ends_within_two_weeks_is_told_and_nothing_asked_for_it(make_road: Callable[..., Road]) -> None:
    road = make_road([])
    ends_in(road, days=9, hours=6)
    assert told(road) == []
    road.run()
    assert (told(road), asked(road)) == ([("dhis2", 9, "credentials")], 1)
    road.run()
    for _ in range(3):
        status(road.engine, "x")
    assert asked(road) == 1, "once a day, and never by the status"
    assert exit_code(status(road.engine, "x")) != 4, "nothing has stopped yet"
    road.later(days=1)
    assert told(road) == [("dhis2", 8, "credentials")], "the days go on without a look"
    road.run()
    assert asked(road) == 2


@pytest.mark.parametrize(("days", "there"), [(13.9, True), (14.5, False), (-1, False)])
def test_two_weeks_before_and_not_after(make_road: Callable[..., Road], days: float, there: bool) -> None:
    road = make_road([])
    ends_in(road, days=days)
    road.run()
    assert bool(told(road)) is there


def test_what_was_known_stays_while_the_server_does_not_tell(make_road: Callable[..., Road]) -> None:
    road = make_road([])
    ends_in(road, days=5)
    road.run()
    road.later(days=1)
    road.wires["dhis2"].instead = lambda request: httpx.Response(503, json={"message": "starting"})
    road.run()
    assert told(road) == [("dhis2", 4, "credentials")]
    road.wires["dhis2"].instead = lambda request: None
    ends_in(road, days=200)
    road.run()
    assert told(road) == [], "a look that failed is made again by the next run"


def test_a_paused_target_is_not_asked_but_a_doctor_asks(make_road: Callable[..., Road]) -> None:
    road = make_road([])
    ends_in(road, days=5)
    road.actions.pause("dhis2", "audit of the servers", None, "somebody")
    road.run()
    assert asked(road) == 0
    road.go(lambda: expiring.look(road.engine, ["dhis2", "openmrs"], anew=True))
    assert (asked(road), told(road)) == (1, [("dhis2", 5, "credentials")])


def test_both_languages_say_who_must_act(monkeypatch: pytest.MonkeyPatch) -> None:
    end = datetime(2026, 12, 14, tzinfo=UTC)
    document: dict[str, Any] = {
        "expiring": [{"name": "dhis2", "ends": end.isoformat(), "days": 9, "who": "credentials"}]
    }
    said = {}
    for french in (True, False):
        monkeypatch.setattr("connector.cli.output.FRENCH", french)
        (said[french],) = looking._expiring(document)
        assert "2026-12-14" in said[french] and "connector.yaml" in said[french]
    assert said[True] != said[False]
