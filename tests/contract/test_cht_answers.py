"""Answers back to the CHT: the document there afterwards, once, whatever happened on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from connector.adapters.cht_answers import REASONS, ChtAnswersTarget
from connector.errors import TargetUnreadable
from connector.http import make_client
from connector.model import Delivery, Observed, Outcome, Verdict
from connector.sandbox.cht import CHTSim
from connector.sandbox.plane import Plane

_PROGRESS: Any = None


def answer(id: str = "a-1", **fields: Any) -> dict[str, Any]:
    """The document DISC-Mali gets: a report under an id of ours."""
    return {
        "_id": id,
        "type": "data_record",
        "form": "referral_answer",
        "content_type": "xml",
        "reported_date": 1783000000000,
        "contact": {"_id": "asc-001", "parent": {"_id": "site-1"}},
        "fields": {"referral_id": "r-1", "status": "completed", **fields},
    }


def using(sim: CHTSim, work: Callable[[ChtAnswersTarget], Any], password: str = "relais-sandbox") -> Any:
    async def go() -> Any:
        transport = httpx.ASGITransport(app=sim.app)
        async with make_client("http://127.0.0.1", user="relais", password=password, transport=transport) as client:
            return await work(ChtAnswersTarget(client, "cht_answers", {"database": "medic"}))

    return asyncio.run(go())


def delivery(document: dict[str, Any]) -> Delivery:
    return Delivery(1, "cht_answers", document["_id"], "answer", 1, "d", document)


def deliver(sim: CHTSim, *documents: dict[str, Any], **options: Any) -> list[Outcome]:
    batch = [delivery(document) for document in documents]
    outcomes: list[Outcome] = using(sim, lambda target: target.deliver(batch, _PROGRESS), **options)
    for outcome in outcomes:
        reason = REASONS[outcome.reason]
        assert reason.verdict is outcome.verdict and reason.fr and reason.en
    return outcomes


def look_up(sim: CHTSim, document: dict[str, Any]) -> Observed | None:
    observed: Observed | None = using(sim, lambda target: target.look_up(delivery(document)))
    return observed


def held(sim: CHTSim) -> list[dict[str, Any]]:
    return [{name: value for name, value in doc.items() if name != "_rev"} for doc in sim.state()["docs"]]


def test_an_answer_is_put_once_and_the_same_again_changes_nothing() -> None:
    sim = CHTSim(Plane())
    (first,) = deliver(sim, answer())
    assert (first.reason, first.remote_id) == ("cht.created", "a-1")  # 267
    (again,) = deliver(sim, answer())
    assert again.reason == "cht.already_there"  # 268: 409, and the document there is equal
    assert held(sim) == [answer()] and len(sim.plane.log) == 1


def test_a_later_answer_replaces_the_earlier_one() -> None:
    sim = CHTSim(Plane())
    deliver(sim, answer())
    (second,) = deliver(sim, answer(advice="Revenir dans 3 jours"))
    assert second.reason == "cht.updated"
    assert held(sim) == [answer(advice="Revenir dans 3 jours")]
    assert sim.state()["docs"][0]["_rev"].startswith("2-")


def test_an_id_with_odd_letters_is_one_document() -> None:
    sim = CHTSim(Plane())
    assert deliver(sim, answer("réf/1 ?#"))[0].reason == "cht.created"
    assert held(sim)[0]["_id"] == "réf/1 ?#"
    assert deliver(sim, answer("réf/1 ?#"))[0].reason == "cht.already_there"


@pytest.mark.parametrize(
    ("fault", "reason", "of_target", "applied"),
    [
        ({"down": True}, "cht.unreachable", True, 0),
        ({"every": 1, "status": 503}, "cht.busy", True, 0),
        ({"every": 1, "status": 429, "retry_after": 10}, "cht.busy", True, 0),
        ({"every": 1, "status": 302}, "cht.wrong_address", True, 0),
        ({"every": 1, "status": 404}, "cht.wrong_address", True, 0),
        ({"every": 1, "status": 500}, "cht.no_answer", False, 0),
        ({"every": 1, "status": 502}, "cht.no_answer", False, 0),
        ({"every": 1, "status": 400}, "cht.invalid_document", False, 0),
        ({"lose_response_every": 1}, "cht.no_answer", False, 2),
        ({"truncate_every": 1}, "cht.no_answer", False, 2),
        ({"html_every": 1}, "cht.no_answer", False, 0),
    ],
)
def test_trouble_is_an_outcome(fault: dict[str, Any], reason: str, of_target: bool, applied: int) -> None:
    sim = CHTSim(Plane())
    sim.plane.arm(fault)
    outcomes = deliver(sim, answer("a"), answer("b"))
    assert [(o.reason, o.of_target) for o in outcomes] == [(reason, of_target)] * 2
    assert len(held(sim)) == applied
    assert sim.plane.requests == (1 if of_target else 2)  # the rest is not sent when the target itself fails
    if "retry_after" in fault:
        assert outcomes[1].retry_after is not None and outcomes[1].retry_after.total_seconds() == 10
    sim.plane.arm({})
    assert {o.verdict for o in deliver(sim, answer("a"), answer("b"))} == {Verdict.ACCEPTED}
    assert held(sim) == [answer("a"), answer("b")] and len(sim.plane.log) == 2


def test_one_refused_login_stops_the_batch() -> None:
    """findings-cht 26: ten failed logins shut out everybody behind the same address."""
    sim = CHTSim(Plane())
    outcomes = deliver(sim, *[answer(f"a-{n}") for n in range(20)], password="wrong")
    assert {(o.reason, o.of_target) for o in outcomes} == {("cht.credentials", True)}
    assert sim.plane.requests == 1


def test_no_right_to_write_and_a_locked_account() -> None:
    assert deliver(CHTSim(Plane(), can_edit=False), answer())[0].reason == "cht.forbidden"  # 246
    locked = CHTSim(Plane(clock=lambda: 0.0), lockout="couchdb")
    for _ in range(10):
        deliver(locked, answer(), password="wrong")
    assert deliver(locked, answer())[0].reason == "cht.locked"  # 263


def test_a_document_the_server_refuses_is_not_sent_again() -> None:
    sim = CHTSim(Plane())
    (refused, fine) = deliver(sim, {**answer("bad"), "_wrong": 1}, answer("good"))  # 105
    assert (refused.verdict, refused.reason) == (Verdict.REJECTED, "cht.invalid_document")
    assert "Bad special document member" in refused.answer and fine.reason == "cht.created"


def test_a_document_that_changes_while_we_write_is_tried_again_later() -> None:
    sim = CHTSim(Plane())
    deliver(sim, answer())

    class Busy(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "PUT":
                sim.edit("a-1", {"touched": sim.plane.requests})
            return await super().handle_async_request(request)

    async def go() -> Outcome:
        login = {"user": "relais", "password": "relais-sandbox"}
        async with make_client("http://127.0.0.1", transport=Busy(app=sim.app), **login) as client:
            return (await ChtAnswersTarget(client, "a").deliver([delivery(answer(x=1))], _PROGRESS))[0]

    assert asyncio.run(go()).reason == "cht.conflict"


def test_look_up_says_what_is_there() -> None:
    sim = CHTSim(Plane())
    assert look_up(sim, answer()) is None
    rev = sim.put(answer())
    assert look_up(sim, answer()) == Observed(True, remote={"rev": rev})
    assert look_up(sim, answer(advice="x")) == Observed(False, remote={"rev": rev})
    sim.delete("a-1")
    assert look_up(sim, answer()) is None


@pytest.mark.parametrize(
    "fault",
    [
        {"down": True},
        {"lose_response_every": 1},
        {"html_every": 1},
        {"truncate_every": 1},
        {"every": 1, "status": 500},
        {"every": 1, "status": 401},
        {"every": 1, "status": 404},
    ],
)
def test_look_up_never_guesses(fault: dict[str, Any]) -> None:
    sim = CHTSim(Plane(), [answer()])
    sim.plane.arm(fault)
    with pytest.raises(TargetUnreadable):
        look_up(sim, answer())


def test_probe() -> None:
    def probe(sim: CHTSim, **options: Any) -> list[str]:
        return [finding.code for finding in using(sim, lambda target: target.probe(), **options)]

    assert probe(CHTSim(Plane())) == []
    assert probe(CHTSim(Plane()), password="no") == ["cht.credentials"]
    for fault, code in (({"down": True}, "cht.unreachable"), ({"html_every": 1}, "cht.wrong_address")):
        sim = CHTSim(Plane())
        sim.plane.arm(fault)
        assert probe(sim) == [code]
