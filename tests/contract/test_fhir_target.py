"""The FHIR target: what is at the server afterwards, whatever happened on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import respx

from connector.adapters.fhir_server import REASONS, FhirServerTarget
from connector.errors import TargetUnreadable
from connector.http import make_client
from connector.identity import digest
from connector.model import Delivery, Observed, Outcome, Verdict, Who
from connector.sandbox.fhir import FHIRSim
from connector.sandbox.plane import Plane

_PROGRESS: Any = None  # this target needs neither lanes nor steps


def patient(id: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, "gender": "female", **more}


def observation(id: str, subject: str = "p-1", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"text": "fever"},
        "subject": {"reference": f"Patient/{subject}"},
        "valueBoolean": True,
        **more,
    }


def gone(kind: str, id: str) -> dict[str, Any]:
    return {"deleted": True, "resourceType": kind, "id": id}


def deliveries(*payloads: dict[str, Any]) -> list[Delivery]:
    return [
        Delivery(n, "fhir", f"{p['resourceType']}/{p['id']}", "resource", 1, "d", p) for n, p in enumerate(payloads, 1)
    ]


def using(sim: FHIRSim | httpx.AsyncBaseTransport, work: Callable[[FhirServerTarget], Any], **settings: Any) -> Any:
    transport = httpx.ASGITransport(app=sim.app) if isinstance(sim, FHIRSim) else sim

    async def go() -> Any:
        async with make_client(
            "http://127.0.0.1:8087/fhir", transport=transport, token=settings.pop("token", None)
        ) as client:
            return await work(FhirServerTarget(client, "fhir", settings))

    return asyncio.run(go())


def deliver(sim: FHIRSim | httpx.AsyncBaseTransport, *payloads: dict[str, Any], **settings: Any) -> list[Outcome]:
    outcomes: list[Outcome] = using(sim, lambda target: target.deliver(deliveries(*payloads), _PROGRESS), **settings)
    for outcome in outcomes:
        reason = REASONS[outcome.reason]
        assert reason.verdict is outcome.verdict and reason.fr and reason.en
    return outcomes


def look_up(sim: FHIRSim | httpx.AsyncBaseTransport, payload: dict[str, Any]) -> Observed | None:
    observed: Observed | None = using(sim, lambda target: target.look_up(deliveries(payload)[0]))
    return observed


def reasons(outcomes: list[Outcome]) -> list[str]:
    return [outcome.reason.removeprefix("fhir.") for outcome in outcomes]


def held(sim: FHIRSim) -> dict[str, Any]:
    resources: dict[str, Any] = sim.state()["resources"]
    return resources


@pytest.fixture(params=[True, False], ids=["validating", "lenient"])
def sim(request: pytest.FixtureRequest) -> FHIRSim:
    return FHIRSim(Plane(), validating=request.param)


def test_children_before_parents_in_one_request_with_what_was_done_for_each(sim: FHIRSim) -> None:
    outcomes = deliver(sim, observation("o-1"), patient("p-1"))
    assert reasons(outcomes) == ["created", "created"]
    assert outcomes[0].remote_id == "Observation/o-1/_history/1" and sim.plane.requests == 2, (
        "the statement, then one bundle"
    )
    assert held(sim) == {"Observation/o-1": observation("o-1"), "Patient/p-1": patient("p-1")}
    assert reasons(deliver(sim, observation("o-1"), patient("p-1", active=True))) == ["unchanged", "updated"]
    assert sim.state()["versions"] == {"Observation/o-1": 1, "Patient/p-1": 2}


def test_removing_a_parent_with_its_child_in_any_order(sim: FHIRSim) -> None:
    deliver(sim, patient("p-1"), observation("o-1"))
    assert reasons(deliver(sim, gone("Patient", "p-1"), gone("Observation", "o-1"))) == ["deleted", "deleted"]
    assert held(sim) == {}
    assert reasons(deliver(sim, gone("Observation", "o-1"), gone("Patient", "never"))) == ["deleted", "deleted"]


def test_one_bad_resource_never_sinks_the_others(sim: FHIRSim) -> None:
    good = [observation(f"o-{n}") for n in range(9)]
    bad = patient("p-bad", gender="F")  # 92, 93: the parser refuses transaction and batch and names no entry
    outcomes = deliver(sim, patient("p-1"), *good[:5], bad, *good[5:])
    assert reasons(outcomes) == ["created"] * 6 + ["refused"] + ["created"] * 4
    assert "HAPI-0450" in outcomes[6].answer
    assert len(held(sim)) == 10


def test_entries_named_by_the_validator_are_left_out() -> None:
    sim = FHIRSim(Plane(), validating=True)
    no_code = observation("o-2")
    del no_code["code"]
    outcomes = deliver(sim, patient("p-1"), observation("o-1"), no_code, patient("p-3", birthDay="2001-01-01"))
    assert reasons(outcomes) == ["created", "created", "refused", "refused"]
    assert "Observation.code" in outcomes[2].answer and "birthDay" in outcomes[3].answer
    assert sim.plane.requests == 3


def test_a_reference_to_nobody_waits_and_the_rest_goes(sim: FHIRSim) -> None:
    outcomes = deliver(sim, observation("o-1", subject="later"), patient("p-1"), observation("o-2"))
    assert reasons(outcomes) == ["reference_missing", "created", "created"]  # 28, 30
    assert sim.plane.requests == 3
    assert reasons(deliver(sim, observation("o-1", subject="later"), patient("later"))) == ["created", "created"]


def test_nobody_is_left_of_a_server_that_makes_up_what_is_missing() -> None:
    """It takes the reference and puts an empty resource there (162, 163); when she comes, that is her."""
    sim = FHIRSim(Plane(), lenient=True)
    assert reasons(deliver(sim, observation("o-1", subject="later"))) == ["created"]
    assert "extension" in held(sim)["Patient/later"]
    there = look_up(sim, patient("later"))
    assert there is not None and not there.matches, "an empty one is not her"
    assert reasons(deliver(sim, patient("later"))) == ["updated"]
    assert held(sim) == {"Observation/o-1": observation("o-1", subject="later"), "Patient/later": patient("later")}


def test_a_child_of_a_refused_parent_waits(sim: FHIRSim) -> None:
    outcomes = deliver(sim, patient("p-1", gender="F"), observation("o-1"), patient("p-2"))
    assert reasons(outcomes) == ["refused", "reference_missing", "created"]


def test_removing_what_others_refer_to_waits_and_the_rest_goes(sim: FHIRSim) -> None:
    deliver(sim, patient("p-1"), observation("o-1"))
    assert reasons(deliver(sim, gone("Patient", "p-1"), patient("p-2"))) == ["still_referenced", "created"]  # 40
    assert "Patient/p-1" in held(sim)


def test_bad_ids_are_refused_one_by_one(sim: FHIRSim) -> None:
    assert reasons(deliver(sim, patient("123"), patient("a_b"), patient("p-1"))) == ["refused", "refused", "created"]


def test_the_same_key_twice_goes_in_two_bundles_in_order(sim: FHIRSim) -> None:
    outcomes = deliver(sim, patient("p-1"), patient("p-2"), patient("p-1", active=True))
    assert reasons(outcomes) == ["created", "created", "updated"]  # 63: one transaction with both is refused
    assert held(sim)["Patient/p-1"]["active"] is True


@pytest.mark.parametrize(
    ("fault", "reason", "of_target", "applied"),
    [
        ({"down": True}, "unreachable", True, False),
        ({"every": 1, "status": 503, "retry_after": 30}, "busy", True, False),
        ({"every": 1, "status": 429}, "busy", True, False),
        ({"every": 1, "status": 401}, "credentials", True, False),
        ({"every": 1, "status": 403}, "credentials", True, False),
        ({"every": 1, "status": 404}, "wrong_address", True, False),
        ({"every": 1, "status": 302}, "wrong_address", True, False),
        ({"every": 1, "status": 409}, "conflict", False, False),
        ({"every": 1, "status": 500}, "server_error", False, False),
        ({"every": 1, "status": 504}, "no_answer", False, False),
        ({"lose_response_every": 1}, "no_answer", False, True),
        ({"truncate_every": 1}, "no_answer", False, True),
        ({"html_every": 1}, "no_answer", False, False),
    ],
)
def test_trouble_is_an_outcome_for_all_and_few_requests(
    sim: FHIRSim, fault: dict[str, Any], reason: str, of_target: bool, applied: bool
) -> None:
    sim.plane.arm(fault)
    batch = [patient("p-1"), *[observation(f"o-{n}") for n in range(20)]]
    outcomes = deliver(sim, *batch)
    assert reasons(outcomes) == [reason] * 21 and {o.of_target for o in outcomes} == {of_target}
    assert sim.plane.requests <= 3
    assert (len(held(sim)) == 21) is applied
    if "retry_after" in fault:
        assert outcomes[0].retry_after is not None and outcomes[0].retry_after.total_seconds() == 30
    sim.plane.arm({})
    assert {o.verdict for o in deliver(sim, *batch)} == {Verdict.ACCEPTED}
    assert len(held(sim)) == 21 and set(sim.state()["versions"].values()) == {1}


def test_a_refusal_that_broke_off_is_no_refusal_for_ever(sim: FHIRSim) -> None:
    """Why it was refused is in the part that did not arrive; whose patient is not there yet is sent again."""
    sim.plane.arm({"truncate_every": 1})
    (outcome,) = deliver(sim, observation("o-1"))
    assert (outcome.verdict, outcome.reason) == (Verdict.UNKNOWN, "fhir.no_answer")
    assert outcome.http_status in (None, 400) and held(sim) == {}
    sim.plane.arm({})
    assert reasons(deliver(sim, observation("o-1"))) == ["reference_missing"]


def test_under_changing_trouble_the_server_ends_with_what_was_wanted() -> None:
    sim = FHIRSim(Plane(4))
    sim.plane.arm([{"lose_response_every": 3}, {"every": 4, "status": 503}, {"truncate_every": 5}, {"html_every": 7}])
    wanted = [patient(f"p-{n}") for n in range(6)] + [observation(f"o-{n}", subject=f"p-{n % 6}") for n in range(30)]
    waiting = list(wanted)
    for _ in range(12):
        outcomes = deliver(sim, *waiting)
        unsure = [payload for payload, o in zip(waiting, outcomes, strict=True) if o.verdict is not Verdict.ACCEPTED]
        waiting = unsure
        if not waiting:
            break
    assert not waiting and len(sim.plane.hit) >= 3
    assert held(sim) == {f"{r['resourceType']}/{r['id']}": r for r in wanted}
    assert set(sim.state()["versions"].values()) == {1}


def only(router: respx.MockRouter) -> httpx.MockTransport:
    """A server that knows the router's exchanges and nothing else, nor says what it can do."""
    router.get(path="/fhir/metadata").respond(404)
    return httpx.MockTransport(router.async_handler)


def test_an_answer_that_does_not_account_for_every_entry_is_not_trusted() -> None:
    short = {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": [{"response": {"status": "201 Created"}}],
    }
    router = respx.MockRouter()
    router.post(path="/fhir").respond(200, json=short)
    assert reasons(deliver(only(router), patient("p-1"), patient("p-2"))) == ["no_answer", "no_answer"]


def test_duplicates_at_the_server_are_for_a_person() -> None:
    issue = {"severity": "error", "code": "processing", "diagnostics": "HAPI-0958: multiple matches"}
    outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
    router = respx.MockRouter()
    router.post(path="/fhir").respond(412, json=outcome)  # 57, 58
    (found,) = deliver(only(router), patient("p-1"))
    assert found.reason == "fhir.duplicates" and REASONS[found.reason].who is Who.TARGET_ADMIN


def test_a_bundle_too_big_is_cut_in_halves() -> None:
    sim = FHIRSim(Plane())

    class Small(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if len(request.content) > 1500:
                return httpx.Response(413)
            return await super().handle_async_request(request)

    huge = patient("p-x", name=[{"text": "x" * 3000}])
    outcomes = deliver(Small(app=sim.app), *[patient(f"p-{n}") for n in range(20)], huge)
    assert reasons(outcomes) == ["created"] * 20 + ["too_big"] and len(held(sim)) == 20


def test_look_up_compares_without_meta(sim: FHIRSim) -> None:
    assert look_up(sim, patient("p-1")) is None
    deliver(sim, patient("p-1", meta={"tag": [{"code": "x"}]}))
    there = {"remote": {"version": "1"}, "digest": digest(patient("p-1"))}
    assert look_up(sim, patient("p-1")) == Observed(True, **there)
    assert look_up(sim, patient("p-1", active=True)) == Observed(False, **there)
    removal = look_up(sim, gone("Patient", "p-1"))
    assert removal is not None and not removal.matches
    deliver(sim, gone("Patient", "p-1"))
    assert look_up(sim, patient("p-1")) is None
    removal = look_up(sim, gone("Patient", "p-1"))
    assert removal is not None and removal.matches


def test_look_up_is_not_answered_by_a_cache() -> None:
    router = respx.MockRouter()
    router.get(path="/fhir/Patient/p-1", headers={"cache-control": "no-cache"}).respond(json=patient("p-1"))
    found = look_up(only(router), patient("p-1"))
    assert found == Observed(True, remote={"version": None}, digest=digest(patient("p-1")))


@pytest.mark.parametrize(
    "fault",
    [
        {"down": True},
        {"html_every": 1},
        {"truncate_every": 1},
        {"every": 1, "status": 500},
        {"every": 1, "status": 404},
    ],
)
def test_look_up_never_guesses(fault: dict[str, Any]) -> None:
    sim = FHIRSim(Plane())
    sim.plane.arm(fault)
    with pytest.raises(TargetUnreadable):
        look_up(sim, patient("p-1"))


def test_probe() -> None:
    def probe(sim: FHIRSim | httpx.AsyncBaseTransport, **settings: Any) -> list[str]:
        return [finding.code for finding in using(sim, lambda target: target.probe(), **settings)]

    assert probe(FHIRSim(Plane())) == []
    guarded = FHIRSim(Plane(), authorization="Bearer t")
    assert probe(guarded) == ["fhir.credentials"] and probe(guarded, token="t") == []
    down = FHIRSim(Plane())
    down.plane.arm({"down": True})
    assert probe(down) == ["fhir.unreachable"]
    for answer in ({"fhirVersion": "5.0.0"}, {}, []):
        router = respx.MockRouter()
        router.get(path="/fhir/metadata").respond(json=answer)
        assert probe(only(router)) == ["fhir.wrong_address"]


# ---------------------------------------------------------------- what somebody else changed there


class Notes:
    """``ports.Progress`` that remembers."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []

    def note(self, delivery: Delivery, *, step: str, remote: Any) -> None:
        self.kept.append(dict(remote))


def again(payload: dict[str, Any], version: int, *ours: dict[str, Any], generation: int = 2, **remote: Any) -> Delivery:
    """A delivery of which this version was told, and these contents were sent before."""
    name = f"{payload['resourceType']}/{payload['id']}"
    known = {"id": f"{name}/_history/{version}", "sent": [digest(one)[:16] for one in ours], **remote}
    return Delivery(1, "fhir", name, "resource", generation, "d", payload, remote=known)


def put(sim: FHIRSim, *resources: dict[str, Any]) -> None:
    """Somebody else writes."""
    assert {o.verdict for o in deliver(sim, *resources)} == {Verdict.ACCEPTED}


def send(sim: Any, *of: Delivery, **settings: Any) -> tuple[list[str], list[dict[str, Any]]]:
    notes: Any = Notes()
    outcomes = using(sim, lambda target: target.deliver(of, notes), **settings)
    return reasons(outcomes), notes.kept


@pytest.fixture(params=[409, 412], ids=["hapi", "r4"])
def versioned(request: pytest.FixtureRequest) -> FHIRSim:
    sim = FHIRSim(Plane(), stale=request.param)
    put(sim, patient("p-1"), patient("p-2"))
    return sim


def test_what_somebody_changed_there_stays_and_is_shown_and_the_rest_goes(versioned: FHIRSim) -> None:
    put(versioned, patient("p-1", active=False))  # not ours
    wanted = patient("p-1", birthDate="2020-01-01")
    of = again(wanted, 1, patient("p-1")), again(patient("p-2", active=True), 1, patient("p-2"))
    found, notes = send(versioned, *of)
    assert found == ["changed_there", "updated"]
    assert held(versioned)["Patient/p-1"] == patient("p-1", active=False), "not overwritten"
    assert held(versioned)["Patient/p-2"]["active"] is True
    (note,) = notes
    assert note["shown"] == {"version": "2", "generation": 2} and note["sent"] == [digest(patient("p-1"))[:16]]
    later = again(wanted, 1, patient("p-1"), generation=3, shown=note["shown"])
    assert send(versioned, later)[0] == ["changed_there"], "of this change nobody has said anything yet"
    told = again(wanted, 1, patient("p-1"), shown=note["shown"])
    put(versioned, patient("p-1", active=True))
    assert send(versioned, told)[0] == ["changed_there"], "changed once more since a person was shown it"
    told = again(wanted, 1, patient("p-1"), shown={"version": "3", "generation": 2})
    assert send(versioned, told)[0] == ["updated"] and held(versioned)["Patient/p-1"] == wanted


def test_the_pack_may_say_who_wins(versioned: FHIRSim) -> None:
    put(versioned, patient("p-1", active=False))
    mine = again(patient("p-1", birthDate="2020-01-01"), 1, patient("p-1"))
    assert send(versioned, mine, on_existing="keep") == (["kept"], [])
    assert held(versioned)["Patient/p-1"] == patient("p-1", active=False)
    assert send(versioned, mine, on_existing="overwrite") == (["updated"], [])
    assert held(versioned)["Patient/p-1"] == mine.payload


def test_a_version_that_is_ours_is_replaced(versioned: FHIRSim) -> None:
    """Its answer was lost, or an older one of ours came back with the server's backup."""
    put(versioned, patient("p-1", active=False))
    mine = again(patient("p-1", birthDate="2020-01-01"), 1, patient("p-1"), patient("p-1", active=False))
    assert send(versioned, mine) == (["updated"], [])
    assert held(versioned)["Patient/p-1"] == mine.payload
    assert send(versioned, again(mine.payload, 1)) == (["unchanged"], []), "it is there already"


def test_what_was_removed_there_is_put_again(versioned: FHIRSim) -> None:
    put(versioned, gone("Patient", "p-1"))
    assert send(versioned, again(patient("p-1", active=True), 1, patient("p-1")))[0] == ["created"]


def test_two_writers_at_once_are_no_change_of_content(versioned: FHIRSim) -> None:
    """409 without another version there (19, 116): sent again later."""
    versioned.plane.arm({"every": 1, "status": 409, "only": "writes"})
    for ours in (patient("p-1"), patient("p-1", note="the server keeps it otherwise than it was sent")):
        assert send(versioned, again(patient("p-1", active=True), 1, ours))[0] == ["conflict"]
    versioned.plane.arm({})
    put(versioned, patient("p-1", active=False))
    mine = again(patient("p-1", birthDate="2020-01-01"), 1, patient("p-1"))

    class Blind(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET" and "Patient" in request.url.path:
                return httpx.Response(500)
            return await super().handle_async_request(request)

    assert send(Blind(app=versioned.app), mine)[0] == ["conflict"], (
        "what is there could not be read: nothing is guessed"
    )
    assert held(versioned)["Patient/p-1"] == patient("p-1", active=False)


# ---------------------------------------------------------------- what the server says it can do


def test_a_server_without_transactions_is_sent_batches() -> None:
    sim = FHIRSim(Plane(), bundles=["batch"])
    bad = observation("o-2", subject="nobody")
    assert reasons(deliver(sim, observation("o-1"), patient("p-1"), bad)) == ["created", "created", "reference_missing"]
    assert sim.plane.requests == 2, "no transaction was tried"
    hidden = Hidden(app=FHIRSim(Plane(), bundles=["batch"]).app)
    assert reasons(deliver(hidden, observation("o-1"), patient("p-1"))) == ["created", "created"], "tried, and refused"
    assert reasons(deliver(hidden, observation("o-2"))) == ["created"], "one alone, too"
    assert reasons(deliver(hidden, observation("o-3", subject="nobody"))) == ["reference_missing"]


class Hidden(httpx.ASGITransport):
    """A gateway that does not let the statement through."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/metadata"):
            return httpx.Response(404)
        return await super().handle_async_request(request)


def test_a_server_that_keeps_no_versions_is_not_asked_for_one() -> None:
    sim = FHIRSim(Plane(), resource={"versioning": "no-version"})
    put(sim, patient("p-1"))
    put(sim, patient("p-1", active=False))
    assert send(sim, again(patient("p-1", active=True), 1, patient("p-1")))[0] == ["updated"]


def test_requests_may_be_compressed(sim: FHIRSim) -> None:
    sizes = []

    class Measured(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                sizes.append((request.headers.get("content-encoding"), len(request.content)))
            return await super().handle_async_request(request)

    batch = [patient(f"p-{n}") for n in range(50)]
    assert set(reasons(deliver(Measured(app=sim.app), *batch, gzip="true"))) == {"created"}
    assert set(reasons(deliver(Measured(app=sim.app), *batch))) == {"unchanged"}
    (how, small), (plain, whole) = sizes
    assert (how, plain) == ("gzip", None) and small < whole / 8


def test_probe_names_what_the_server_cannot_do() -> None:
    def probe(sim: FHIRSim) -> list[tuple[str, str]]:
        found = using(sim, lambda target: target.probe(), expected_types=["Patient", "Basic"])
        return [(one.code, one.message) for one in found]

    assert probe(FHIRSim(Plane())) == [("fhir.type_missing", "fhir: Basic")]
    codes = [code for code, _ in probe(FHIRSim(Plane(), bundles=[], resource={"updateCreate": False}))]
    assert codes == ["fhir.no_bundles", "fhir.type_missing", "fhir.no_client_ids"]


def test_capabilities_follow_the_settings() -> None:
    def capabilities(**settings: Any) -> tuple[int, float]:
        async def read(target: FhirServerTarget) -> tuple[int, float]:
            return target.capabilities.max_batch, target.capabilities.settles_within.total_seconds()

        found: tuple[int, float] = using(FHIRSim(Plane()), read, **settings)
        return found

    assert capabilities() == (200, 120) and capabilities(bundle="50", settles_within="1.5") == (50, 1.5)


class Gateway(httpx.AsyncBaseTransport):
    """A gateway that shows nobody what the server behind it can do."""

    def __init__(self, sim: FHIRSim) -> None:
        self.inner = httpx.ASGITransport(app=sim.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/metadata"):
            return httpx.Response(403, json={"error": "forbidden"})
        return await self.inner.handle_async_request(request)


def test_a_gateway_that_hides_the_statement_is_no_refusal() -> None:
    assert reasons(deliver(Gateway(FHIRSim(Plane())), patient("p-1"))) == ["created"]
