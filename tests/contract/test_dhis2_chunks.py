"""A block in as many requests as the server, or a proxy before it, takes. What is asserted is what DHIS2 holds.

The house is that of ``test_dhis2_target``; ``plenty`` adds a data element for each value a block needs.
"""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from typing import Any

import httpx
import orjson
import pytest

from connector.adapters.dhis2 import Dhis2Target
from connector.adapters.dhis2_request_size import FEW, MOST, SURE, RequestSize
from connector.http import make_client
from connector.model import Delivery, Verdict
from connector.sandbox.dhis2 import DHIS2Sim
from tests.contract.test_dhis2_target import House, block, completion, metadata, value

PROFILES = ("legacy", "v43")
A, R, D, U = Verdict.ACCEPTED, Verdict.REJECTED, Verdict.DEFERRED, Verdict.UNKNOWN


def code(number: int) -> str:
    return f"MH_{number:04}"


def plenty(number: int) -> dict[str, Any]:
    """The metadata with so many data elements more, ``MH_0000`` and on, in the data set."""
    data = metadata()
    for n in range(number):
        data["dataElements"].append(
            {**data["dataElements"][0], "code": code(n), "id": f"DeMany{n:05}", "name": code(n)}
        )
        data["dataSets"][0]["elements"].append(code(n))
    return data


class Wire(httpx.ASGITransport):
    """Remembers the bodies of pushes; ``dies_at``: the process ends while that push, from 1, is on its way."""

    def __init__(self, app: Any) -> None:
        super().__init__(app=app)
        self.pushed: list[tuple[str | None, bytes]] = []
        self.dies_at = 0
        self.seconds = 0.0
        self.job: dict[str, Any] | None = None  #: answered at once; what was sent is applied by ``job_runs``
        self._queued: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.pushed.append((request.headers.get("content-encoding"), await request.aread()))
            if len(self.pushed) == self.dies_at:
                raise SystemExit("killed")
            await asyncio.sleep(self.seconds)
            if self.job is not None:
                self._queued.append(request)
                return httpx.Response(200, json=self.job)
        return await super().handle_async_request(request)

    async def job_runs(self) -> None:
        while self._queued:
            await super().handle_async_request(self._queued.pop())

    def sizes(self) -> list[int]:
        """Rows of each push."""
        bodies = [gzip.decompress(body) if coding == "gzip" else body for coding, body in self.pushed]
        return [len(orjson.loads(body)["dataValues"]) for body in bodies]


class Many(House):
    """One adapter for the whole test, as in one process."""

    def __init__(self, profile: str, number: int, *, timeout: float = 60.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.sim = DHIS2Sim(plenty(number), [], self.plane, profile=profile)
        self.wire = Wire(self.sim.app)
        client = make_client(
            "http://127.0.0.1:1", user="relais", password="relais", transport=self.wire, timeout=timeout
        )
        self.target = Dhis2Target(client, name="dhis2", settings={"expected": {}, **settings})

    def _run(self, work: Any) -> Any:
        return asyncio.run(work(self.target))

    def held(self) -> dict[str, str]:
        return {element: number for (element, _, _), number in self.stored().items()}


def wanted(number: int, **more: Any) -> Delivery:
    return block(*(value(code(n), str(n + 1)) for n in range(number)), **more)


def figures(number: int) -> dict[str, str]:
    return {code(n): str(n + 1) for n in range(number)}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_block_too_big_goes_in_parts_and_every_value_arrives_once(profile: str) -> None:
    house = Many(profile, 21)
    house.sim.refuse = [{"status": 413, "more_than": 4}]
    (outcome,) = house.deliver(wanted(21))
    assert (outcome.verdict, outcome.reason) == (A, "dhis2.stored")
    assert [(f.verdict, f.reason) for f in outcome.per_value] == [(A, "dhis2.stored")] * 21
    assert house.held() == figures(21)
    assert Counter(entry["dataElement"] for entry in house.plane.log) == dict.fromkeys(figures(21), 1)
    assert house.wire.sizes() == [21, 10, 5, *[2] * 8, 4, 1], "halved until it fits; grown again after eight"


@pytest.mark.parametrize("profile", PROFILES)
def test_the_size_is_kept_for_the_next_block_and_grows_again(profile: str) -> None:
    house = Many(profile, 8)
    house.sim.refuse = [{"status": 413, "more_than": 4, "times": 1}]
    house.deliver(wanted(8))
    assert house.wire.sizes() == [8, 4, 4]
    house.deliver(wanted(8, unit="ML-S2"))
    assert house.wire.sizes()[3:] == [4, 4], "not asked for more at once"
    for month in ("202605", "202606", "202607", "202608"):
        house.deliver(wanted(8, period=month))
    assert house.wire.sizes()[5:] == [4, 4, 4, 4, 8, 8], "and after eight good ones in one request again"
    assert house.held() == figures(8)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_single_value_too_big_is_refused_and_the_others_are_stored(profile: str) -> None:
    house = Many(profile, 5)
    house.sim.refuse = [{"status": 413, "match": {"dataElement": code(2)}}]
    (outcome,) = house.deliver(wanted(5))
    assert (outcome.verdict, outcome.reason, outcome.http_status) == (R, "dhis2.too_big", 413)
    assert [f.verdict for f in outcome.per_value] == [A, A, R, A, A]
    assert outcome.per_value[2].reason == "dhis2.too_big"
    assert house.held() == {element: number for element, number in figures(5).items() if element != code(2)}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_part_that_is_stored_stays_stored_when_the_next_fails(profile: str) -> None:
    house = Many(profile, 8)
    house.sim.refuse = [
        {"status": 413, "more_than": 4, "times": 1},
        {"status": 500, "match": {"dataElement": code(5)}, "times": 1},
    ]
    delivery = wanted(8)
    (outcome,) = house.deliver(delivery)
    assert (outcome.verdict, outcome.reason, outcome.http_status) == (U, "dhis2.server_error", 500)
    assert [(f.data_element, f.verdict) for f in outcome.per_value] == [(code(n), A) for n in range(4)]
    observed = house.look_up(delivery)
    assert observed is not None and not observed.matches, "half of it is not the whole"
    assert house.held() == figures(4)
    (again,) = house.deliver(delivery)
    assert again.verdict is A and house.held() == figures(8)
    assert Counter(entry["dataElement"] for entry in house.plane.log) == dict.fromkeys(figures(8), 1)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_target_that_goes_away_between_two_parts_keeps_the_fates_of_the_first(profile: str) -> None:
    house = Many(profile, 8)
    house.sim.refuse = [
        {"status": 413, "more_than": 4, "times": 1},
        {"status": 401, "match": {"dataElement": code(5)}, "times": 1},
    ]
    outcomes = house.deliver(wanted(8), wanted(8, unit="ML-S2"))
    assert [(o.verdict, o.reason, o.of_target) for o in outcomes] == [(D, "dhis2.credentials", True)] * 2
    assert [f.verdict for f in outcomes[0].per_value] == [A] * 4 and outcomes[1].per_value == ()
    assert house.held() == figures(4)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("mode", ["ask", "overwrite"])
def test_an_answer_that_a_gateway_gave_up_halves_the_next_attempt(profile: str, stored: bool, mode: str) -> None:
    many = 2 * FEW
    house = Many(profile, many)
    if stored:
        house.plane.arm({"lose_response_every": 1, "only": "writes"})
    else:
        house.sim.refuse = [{"status": 504, "more_than": FEW}]
    delivery = wanted(many, onExisting=mode)
    (outcome,) = house.deliver(delivery)
    assert (outcome.verdict, outcome.per_value) == (U, ())
    assert house.wire.sizes() == [many], "nothing more is sent before a look"
    assert house.held() == (figures(many) if stored else {})
    house.plane.arm({})
    (again,) = house.deliver(delivery)
    assert again.verdict is A and house.held() == figures(many)
    looked = stored and mode == "ask"
    assert house.wire.sizes()[1:] == ([] if looked else [FEW, FEW])
    if looked:
        assert again.reason == "dhis2.already_there"


@pytest.mark.parametrize("profile", PROFILES)
def test_a_line_that_loses_answers_makes_no_figure_travel_alone(profile: str) -> None:
    house = Many(profile, FEW)
    for month in range(1, 9):
        house.plane.arm({"lose_response_every": 1, "only": "writes"})
        house.deliver(wanted(FEW, period=f"2026{month:02}"))
    house.plane.arm({})
    house.deliver(wanted(FEW))
    assert house.wire.sizes() == [FEW] * 9


@pytest.mark.parametrize("profile", PROFILES)
def test_slow_answers_halve_the_size(profile: str) -> None:
    house = Many(profile, 4 * FEW, timeout=0.1)  # slow is more than half of that
    house.wire.seconds = 0.06
    house.deliver(wanted(4 * FEW))
    house.deliver(wanted(4 * FEW, period="202608"))
    assert house.wire.sizes() == [4 * FEW, 2 * FEW, FEW, FEW]
    assert house.held() == figures(4 * FEW)


@pytest.mark.parametrize("profile", PROFILES)
def test_refused_rows_of_each_part_are_told_apart(profile: str) -> None:
    house = Many(profile, 8)
    house.sim.refuse = [{"status": 413, "more_than": 4, "times": 1}]
    values = [value(code(n), "-4" if n in (1, 6) else str(n + 1)) for n in range(8)]
    (outcome,) = house.deliver(block(*values))
    assert outcome.verdict is R
    assert [n for n, fate in enumerate(outcome.per_value) if fate.verdict is R] == [1, 6]
    assert house.held() == {code(n): str(n + 1) for n in range(8) if n not in (1, 6)}


def test_a_part_that_243_refuses_for_one_element_is_sent_again_without_it() -> None:
    house = Many("v43", 8)
    house.sim.refuse = [{"status": 413, "more_than": 4, "times": 1}]
    house._run(lambda target: target.read_block("MH_SEC", "ML-S1", "202609"))  # what it knows of the data set
    house.sim.metadata.lists["dataSets"][0]["_elements"].discard(code(6))
    (outcome,) = house.deliver(wanted(8))
    assert (outcome.verdict, outcome.reason) == (R, "dhis2.E8020")
    assert [fate.reason for fate in outcome.per_value].count("dhis2.stored") == 7
    assert house.wire.sizes() == [8, 4, 4, 3]
    assert house.held() == {element: number for element, number in figures(8).items() if element != code(6)}


def test_values_sent_again_without_the_blamed_one_are_unknown_when_that_answer_is_lost() -> None:
    house = Many("v43", 4)
    house._run(lambda target: target.read_block("MH_SEC", "ML-S1", "202609"))
    house.sim.metadata.lists["dataSets"][0]["_elements"].discard(code(2))
    house.plane.arm({"lose_response_every": 2, "only": "writes"})
    (outcome,) = house.deliver(wanted(4))
    assert (outcome.verdict, outcome.reason) == (U, "dhis2.answer_lost")
    assert [(fate.data_element, fate.verdict) for fate in outcome.per_value] == [(code(2), R)]
    assert house.held() == {element: number for element, number in figures(4).items() if element != code(2)}


@pytest.mark.parametrize("profile", PROFILES)
def test_killed_between_two_parts_the_block_is_not_taken_for_whole(profile: str) -> None:
    house = Many(profile, 8)
    house.sim.refuse = [{"status": 413, "more_than": 4, "times": 1}]
    house.wire.dies_at = 3
    delivery = wanted(8)
    with pytest.raises(SystemExit):
        house.deliver(delivery)
    assert house.held() == figures(4)
    after = Many(profile, 8)  # a new process, which knows nothing, before the same server
    after.sim, after.plane, after.wire.app = house.sim, house.plane, house.sim.app
    observed = after.look_up(delivery)
    assert observed is not None and not observed.matches
    (again,) = after.deliver(delivery)
    assert again.verdict is A and after.held() == figures(8)
    assert after.wire.sizes() == [4], "the other half alone"
    assert Counter(entry["dataElement"] for entry in house.plane.log) == dict.fromkeys(figures(8), 1)


def test_the_size_is_bounded_on_both_sides() -> None:
    size = RequestSize()
    for _ in range(100):
        size.went_well(MOST)
    assert size.most == MOST
    for _ in range(100):
        size.slow(size.most)
    assert size.most == FEW
    for _ in range(100):
        size.too_big(size.most)
    assert size.most == 1
    size.slow(1)
    assert size.most == 1
    for _ in range(SURE - 1):
        size.went_well(1)
    assert size.most == 1
    size.went_well(1)
    assert size.most == 2
    for _ in range(1000):
        size.went_well(1)
    assert size.most == 2, "small requests say nothing about big ones"


# ---------------------------------------------------------------- a job instead of an answer


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", ["block", "completion"])
def test_a_job_instead_of_an_answer_is_unknown_until_a_look_shows_what_became_of_it(profile: str, kind: str) -> None:
    """213-async-submit, both versions: 200, OK, and nothing is stored yet. The job runs some twenty seconds later."""
    house = Many(profile, 3)
    house.wire.job = {
        "httpStatus": "OK",
        "httpStatusCode": 200,
        "status": "OK",
        "message": "Initiated DATAVALUE_IMPORT (1795367355006)",
        "response": {
            "name": "DATAVALUE_IMPORT (1795367355006)",
            "id": "ogYU5hamGmI",
            "created": "2026-11-22T17:09:15.007",
            "jobType": "DATAVALUE_IMPORT",
            "jobStatus": "NOT_STARTED",
            "jobParameters": {"async": True, "dryRun": False},
            "relativeNotifierEndpoint": "/api/system/tasks/DATAVALUE_IMPORT/ogYU5hamGmI",
            "responseType": "JobConfiguration",
        },
    }
    delivery = wanted(3) if kind == "block" else completion()
    (outcome,) = house.deliver(delivery)
    assert (outcome.verdict, outcome.reason, outcome.of_target) == (U, "dhis2.unreadable_answer", False)
    assert outcome.per_value == () and "DATAVALUE_IMPORT" in outcome.answer
    assert house.look_up(delivery) is None and house.plane.log == []
    house.wire.job = None
    if kind == "completion":
        house.deliver(block(value()))  # 250: on 2.43 a period has to be there
    for again in (True, False):  # the job runs; then what Relais sends after its look
        if again:
            asyncio.run(house.wire.job_runs())
        assert house.deliver(delivery)[0].verdict is A
    observed = house.look_up(delivery)
    assert observed is not None and observed.matches
    if kind == "block":
        assert house.held() == figures(3) and len(house.plane.log) == 3, "stored once"
    else:
        assert len(house.sim.state()["completions"]) == 1


# ---------------------------------------------------------------- compressed


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("gzipped", ["true", "false"])
def test_big_bodies_are_compressed_unless_that_is_switched_off(profile: str, gzipped: str) -> None:
    house = Many(profile, 30, gzip=gzipped)
    outcomes = house.deliver(wanted(30), wanted(1, unit="ML-S2"))
    assert [outcome.verdict for outcome in outcomes] == [A, A]
    assert house.held() == figures(30)
    (coding, body), (short, small) = house.wire.pushed
    assert (coding, short) == ("gzip" if gzipped == "true" else None, None)
    assert (body[:2] == b"\x1f\x8b") == (gzipped == "true") and small[:1] == b"{"
    if gzipped == "true":
        assert len(body) < len(gzip.decompress(body)) / 5
