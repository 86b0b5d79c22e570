"""What machines read: health, metrics, status, documents, webhooks; and the headers on every answer."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from connector.engine.tokens import ROLES
from connector.errors import StoreBusy, StoreFull
from connector.web import api
from connector.web.api import PUSHES
from connector.web.context import Ingested
from connector.web.signing import webhook_key
from tests.web.fixture import NOW, SITE, STATUS, House, sign_in, visible

OUTSIDE = {"base": "http://relais.example", "peer": "192.0.2.7"}
TOKEN = {"authorization": "Bearer viewer-token"}
PUSH = {"authorization": "Bearer submit-token"}


def run(house: House, steps: Callable[[httpx.AsyncClient], object], **options: Any) -> None:
    async def inside() -> None:
        async with house.client(**options) as client:
            await steps(client)  # type: ignore[misc]

    asyncio.run(inside())


def test_health(build: Callable[..., House]) -> None:
    house = build(env="production")

    async def steps(client: httpx.AsyncClient) -> None:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200

    run(house, steps, **OUTSIDE)

    async def stopped(client: httpx.AsyncClient) -> None:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).text == "schedule\n"

    run(build(ready=lambda: False), stopped)

    class Gone:
        def read(self, fn: object) -> object:
            raise StoreBusy("busy")

        write = read

    async def down(client: httpx.AsyncClient) -> None:
        answer = await client.get("/readyz")
        assert answer.status_code == 503 and answer.text == "database\n"

    run(build(store=Gone()), down)


@pytest.mark.parametrize("path", ["/metrics", "/status.json", "/api/v1/status"])
def test_metrics_and_status_need_a_token_off_loopback(build: Callable[..., House], path: str) -> None:
    house = build(env="production")

    async def outside(client: httpx.AsyncClient) -> None:
        answer = await client.get(path)
        assert answer.status_code == 401 and "Bearer" in answer.headers["www-authenticate"]
        assert (await client.get(path, headers={"authorization": "Bearer bad"})).status_code == 401
        assert (await client.get(path, headers=TOKEN)).status_code == 200

    async def inside(client: httpx.AsyncClient) -> None:
        assert (await client.get(path)).status_code == 200
        assert (await client.get(path, headers={"x-forwarded-for": "192.0.2.7"})).status_code == 401

    run(house, outside, **OUTSIDE)
    run(house, inside)


DOCUMENTS = [
    "/api/v1/deliveries",
    "/api/v1/quarantine",
    f"/api/v1/explain?de=MH_B02_NUM&ou={SITE}&pe=202610&co=A1_M2_11",
    "/api/v1/trace/cht/reports/3c91-7be0",
]


@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_need_a_session_or_a_token_even_on_loopback(build: Callable[..., House], path: str) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        assert (await client.get(path)).status_code == 401
        assert (await client.get(path, headers=TOKEN)).status_code == 200

    run(build(env="production"), steps)


def test_the_status_is_the_document_of_the_command(house: House) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        for path in ("/status.json", "/api/v1/status"):
            assert (await client.get(path)).json() == STATUS

    run(house, steps)


def test_deliveries_and_quarantine_as_documents(house: House) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        seen: list[int] = []
        path = "/api/v1/deliveries?state=all"
        while path:
            document = (await client.get(path)).json()
            seen += [d["id"] for d in document["items"]]
            assert not [k for d in document["items"] for k in d if k.endswith("_enc")]
            path = document["next"]
        assert len(seen) == len(set(seen)) == 71
        document = (await client.get("/api/v1/quarantine?code=place.no_org_unit")).json()
        assert document["total"] == 2 and len(document["items"]) == 2

    run(house, steps)


def test_explain_and_trace(house: House) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        assert (await client.get(DOCUMENTS[2])).json()["value"]["current"] == "7"
        assert (await client.get("/api/v1/explain?de=MH_B02_NUM")).status_code == 422
        assert (await client.get(f"/api/v1/explain?de=MH_NO&ou={SITE}&pe=202610")).status_code == 404
        facts = (await client.get(DOCUMENTS[3])).json()["facts"]
        assert {"name": "patient_name", "value": None, "masked": True} in facts

    run(house, steps)


def test_metrics_parse_and_say_the_same_as_the_ledger(house: House) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        for _ in range(2):
            text = (await client.get("/metrics")).text
        families = {f.name: f for f in text_string_to_metric_families(text)}
        counts = {(s.labels["target"], s.labels["state"]): s.value for s in families["relais_deliveries"].samples}
        assert counts[("dhis2", "parked")] == 2 and counts[("fhir", "accepted")] == 60
        states = [
            s for s in families["relais_connection_state"].samples if s.labels["connection"] == "dhis2" and s.value
        ]
        assert [s.labels["state"] for s in states] == ["action_needed"]
        assert families["relais_quarantined_records"].samples[0].value == 4

    run(house, steps)


def test_two_apps_in_one_process_have_their_own_metrics(build: Callable[..., House]) -> None:
    one, two = build(), build(empty=True)

    async def busy(client: httpx.AsyncClient) -> None:
        assert 'relais_deliveries{state="parked",target="dhis2"} 2.0' in (await client.get("/metrics")).text

    async def empty(client: httpx.AsyncClient) -> None:
        assert "relais_deliveries{" not in (await client.get("/metrics")).text

    run(one, busy)
    run(two, empty)


# ---------------------------------------------------------------- webhooks


@pytest.mark.parametrize(
    ("answer", "status", "wait"),
    [
        (Ingested(202, {"receipt": "r"}), 202, None),
        (Ingested(200, {"receipt": "r"}), 200, None),
        (Ingested(404, {"error": "ingest.unknown_source"}), 404, None),
        (Ingested(422, {"error": "ingest.unreadable", "missing": ["_rev"]}), 422, None),
        (Ingested(503, {"error": "ingest.paused"}, retry_after=2.2), 503, "3"),
        (StoreBusy("busy"), 503, "30"),
        (StoreFull("full"), 503, "300"),
    ],
)
def test_ingest_answers_what_the_intake_says(
    build: Callable[..., House], answer: Any, status: int, wait: str | None
) -> None:
    taken: list[tuple[str, bytes, str | None, str]] = []

    def ingest(source: str, body: bytes, form: str | None, by: str) -> Ingested:
        taken.append((source, body, form, by))
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Ingested)
        return answer

    async def steps(client: httpx.AsyncClient) -> None:
        got = await client.post("/api/v1/ingest/cht?form=f", content=b'{"_id":"1"}', headers=PUSH)
        assert got.status_code == status and got.headers.get("retry-after") == wait
        document = got.json()
        assert document == {"receipt": "r"} if status < 400 else "Nothing was kept" in document["message"]
        french = await client.post("/api/v1/ingest/cht", content=b"{}", headers={**PUSH, "accept-language": "fr"})
        assert status < 400 or "Rien n’a été gardé" in french.json()["message"].replace("'", "’")

    run(build(env="production", ingest=ingest), steps, **OUTSIDE, headers={"accept-language": "en"})
    assert taken[0] == ("cht", b'{"_id":"1"}', "f", "submit")


def never(source: str, body: bytes, form: str | None, by: str) -> Ingested:
    raise AssertionError("must not be called")


def test_ingest_stops_at_its_limit(build: Callable[..., House]) -> None:
    sent: list[int] = []

    async def chunks() -> Any:
        for _ in range(100):
            sent.append(1)
            yield b"x" * 100

    async def steps(client: httpx.AsyncClient) -> None:
        announced = await client.post("/api/v1/ingest/cht", content=b"x" * 1001, headers=PUSH)
        assert announced.status_code == 413 and announced.json()["limit"] == 1000
        huge = {**PUSH, "content-length": "9" * 30}
        assert (await client.post("/api/v1/ingest/cht", content=b"x", headers=huge)).status_code == 413
        assert (await client.post("/api/v1/ingest/cht", content=chunks(), headers=PUSH)).status_code == 413

    run(build(ingest=never, ingest_limit=1000), steps)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 202),
        ({"content-type": "application/fhir+json"}, 202),
        ({}, 202),
    ],
)
def test_ingest_takes_json_only(build: Callable[..., House], headers: dict[str, str], status: int) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        got = await client.post("/api/v1/ingest/cht", content=b"{}", headers={**PUSH, **headers})
        assert got.status_code == status

    run(build(), steps)


def test_pushes_do_not_take_every_thread(build: Callable[..., House]) -> None:
    """Twenty are taken in at the same time; the next is told to come again, and the pages still answer."""
    go_on = threading.Event()
    began: list[str] = []

    def slow(source: str, body: bytes, form: str | None, by: str) -> Ingested:
        began.append(source)
        assert go_on.wait(20)
        return Ingested(202, {"receipt": "r"})

    async def steps(client: httpx.AsyncClient) -> None:
        async def push() -> int:
            return (await client.post("/api/v1/ingest/cht", content=b"{}", headers=PUSH)).status_code

        waiting = [asyncio.create_task(push()) for _ in range(PUSHES)]
        try:
            while len(began) < PUSHES:
                await asyncio.sleep(0.01)
            over = await client.post("/api/v1/ingest/cht", content=b"{}", headers=PUSH)
            assert over.status_code == 429 and over.headers["retry-after"] == "5"
            assert (await client.get("/status.json")).status_code == 200, "the loop and the pages go on"
        finally:
            go_on.set()
        assert [await one for one in waiting] == [202] * PUSHES
        assert await push() == 202, "and the places are free again"

    run(build(ingest=slow), steps)


def test_a_body_that_does_not_come_whole_is_not_taken(
    build: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "READ_SECONDS", 0.05)

    async def slow() -> Any:
        yield b'{"_id":'
        await asyncio.sleep(5)
        yield b'"1"}'

    async def steps(client: httpx.AsyncClient) -> None:
        assert (await client.post("/api/v1/ingest/cht", content=slow(), headers=PUSH)).status_code == 408

    run(build(ingest=never), steps)


# ---------------------------------------------------------------- roles

CALLS = {
    "observe": ["/metrics", "/status.json", "/api/v1/status"],
    "read": DOCUMENTS,
}


@pytest.mark.parametrize("role", [*ROLES, "kobo"])
def test_a_token_opens_what_its_role_may(build: Callable[..., House], role: str) -> None:
    """The whole table of roles and routes, off loopback."""
    observes = role in ("observe", "viewer", "operator", "clinic", "admin")
    reads = observes and role != "observe"
    made = build(env="production")

    async def steps(client: httpx.AsyncClient) -> None:
        for what, allowed in (("observe", observes), ("read", reads)):
            for path in CALLS[what]:
                assert (await client.get(path)).status_code == (200 if allowed else 403), (role, path)
        for source, allowed in (("cht", role == "submit"), ("kobo", role in ("submit", "kobo"))):
            got = await client.post(f"/api/v1/ingest/{source}", json={})
            assert got.status_code == (202 if allowed else 403), (role, source)
        assert (await client.get("/")).status_code == 303, "a token is no sign-in to the pages"
        assert (await client.get("/livez")).status_code == (await client.get("/readyz")).status_code == 200

    run(made, steps, **OUTSIDE, headers={"authorization": f"Bearer {role}-token"})


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer ", "Bearer wrong-token", "Basic viewer-token", "viewer-token"])
def test_without_a_valid_token_everything_is_401(build: Callable[..., House], shown: str) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        for path in [*CALLS["observe"], *DOCUMENTS]:
            answer = await client.get(path)
            assert answer.status_code == 401 and "Bearer" in answer.headers["www-authenticate"], path
            assert answer.json()["error"] == "token.needed" and len(answer.json()["message"]) > 20
            in_address = await client.get(path, params={"token": "viewer-token", "access_token": "viewer-token"})
            assert in_address.status_code == 401, "a token in an address is none"
        assert (await client.post("/api/v1/ingest/cht", content=b"{}")).status_code == 401

    run(build(env="production", ingest=never), steps, **OUTSIDE, headers={"authorization": shown})


@pytest.mark.parametrize("env", ["demo", "production"])
def test_pushing_needs_a_token_even_where_nobody_signs_in(build: Callable[..., House], env: str) -> None:
    """A page of another site could make a browser post to this machine: neither loopback nor a cookie is enough."""

    async def steps(client: httpx.AsyncClient) -> None:
        if env == "production":
            assert (await sign_in(client, "admin")).status_code == 303
        assert (await client.get("/api/v1/deliveries")).status_code == 200
        assert (await client.post("/api/v1/ingest/cht", json={})).status_code == 401

    run(build(env=env, ingest=never), steps)


# ---------------------------------------------------------------- signatures

SECRETS = ["whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3)]


def signed(secret: str, body: bytes = b"{}", *, id: str = "msg_1", at: datetime = NOW) -> dict[str, str]:
    """Headers as the reference libraries of Standard Webhooks write them."""
    stamp = str(int(at.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = base64.b64encode(hmac.new(key, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()
    return {"webhook-id": id, "webhook-timestamp": stamp, "webhook-signature": f"v1,{mac}"}


GOOD = signed(SECRETS[0])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (GOOD, 202),
        (signed(SECRETS[1]), 202),
        ({**GOOD, "webhook-signature": "v1,AAAA v1a,BBBB " + GOOD["webhook-signature"]}, 202),
        (signed(SECRETS[0], at=NOW - timedelta(minutes=5)), 202),
        (signed(SECRETS[0], at=NOW - timedelta(minutes=5, seconds=1)), 401),
        (signed(SECRETS[0], at=NOW + timedelta(minutes=5, seconds=1)), 401),
        (signed(SECRETS[2]), 401),
        (signed(SECRETS[0], b"{ }"), 401),
        ({**GOOD, "webhook-id": "msg_2"}, 401),
        ({**GOOD, "webhook-timestamp": str(int(NOW.timestamp()) + 1)}, 401),
        ({**GOOD, "webhook-timestamp": "now"}, 401),
        ({**GOOD, "webhook-signature": GOOD["webhook-signature"].replace("v1,", "v2,")}, 401),
        ({**GOOD, "webhook-signature": ""}, 401),
        ({}, 401),
    ],
)
def test_a_source_with_a_secret_takes_signed_pushes_only(
    build: Callable[..., House], headers: dict[str, str], status: int
) -> None:
    keys = {"cht": [webhook_key(one) for one in SECRETS[:2]]}

    async def steps(client: httpx.AsyncClient) -> None:
        got = await client.post("/api/v1/ingest/cht", content=b"{}", headers={**PUSH, **headers})
        assert got.status_code == status
        unsigned = await client.post("/api/v1/ingest/kobo", content=b"{}", headers=PUSH)
        assert unsigned.status_code == 202, "another source has no secret"
        assert (await client.post("/api/v1/ingest/cht", content=b"{}", headers=headers)).status_code == 401, "no token"

    run(build(webhook_keys=keys), steps)


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_AAAA", "whsec_not base64 at all, not at all", "é" * 40])
def test_what_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a webhook secret"):
        webhook_key(text)


# ---------------------------------------------------------------- headers, errors


@pytest.mark.parametrize(
    "path", ["/", "/connexion", "/nope", "/api/v1/nope", "/livez", "/static/relais.css", "/status.json"]
)
def test_headers_on_every_answer(house: House, path: str) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        headers = (await client.get(path)).headers
        policy = headers["content-security-policy"]
        assert (
            "default-src 'none'" in policy
            and "unsafe" not in policy
            and "http" not in policy
            and "frame-ancestors 'none'" in policy
        )
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == ("public, max-age=300" if path.startswith("/static") else "no-store")

    run(house, steps)


def test_static_files_are_kept_for_ever_under_their_digest(house: House) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        page = (await client.get("/")).text
        address = page.split('rel="stylesheet" href="')[1].split('"')[0]
        answer = await client.get(address)
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
        assert (await client.get("/static/../app.py")).status_code == 404

    run(house, steps)


def test_an_error_of_ours_gives_a_number_and_nothing_else(
    build: Callable[..., House], caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Any:
        raise RuntimeError("secret detail")

    house = build(status=None)
    object.__setattr__(house.context, "status", broken)

    async def steps(client: httpx.AsyncClient) -> None:
        with caplog.at_level(logging.ERROR):
            answer = await client.get("/?lang=en")
        assert answer.status_code == 500 and "secret detail" not in answer.text
        assert "content-security-policy" in answer.headers
        number = visible(answer.text).split("e-")[1][:6]
        assert f"e-{number}" in caplog.text, "the number leads to the log"
        assert (await client.get("/status.json")).json()["error"] == "error.ours"

    run(house, steps)


def test_a_busy_database_is_said_so(build: Callable[..., House]) -> None:
    class Busy:
        def read(self, fn: object) -> object:
            raise StoreBusy("busy")

        write = read

    async def steps(client: httpx.AsyncClient) -> None:
        answer = await client.get("/envois?lang=en")
        assert (
            answer.status_code == 503
            and "The database is busy" in visible(answer.text)
            and answer.headers["retry-after"] == "30"
        )

    run(build(store=Busy()), steps)


def test_methods_are_not_guessed(house: House) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        assert (await client.put("/envois")).status_code == 405
        assert (await client.delete("/envois/1")).status_code == 405

    run(house, steps)
