"""What machines read: health, metrics, status, documents, webhooks; and the headers on every answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from connector.errors import StoreBusy, StoreFull
from connector.web.context import Ingested
from tests.web.fixture import SITE, STATUS, House, visible

OUTSIDE = {"base": "http://relais.example", "peer": "192.0.2.7"}
TOKEN = {"authorization": "Bearer good-token"}


def run(house: House, steps: Callable[[httpx.AsyncClient], object], **options: str) -> None:
    async def inside() -> None:
        async with house.client(**options) as client:  # type: ignore[arg-type]
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
        (Ingested(200, {"repeat": True}), 200, None),
        (Ingested(401), 401, None),
        (Ingested(422, {"error": "unreadable"}), 422, None),
        (Ingested(429, retry_after=2.2), 429, "3"),
        (StoreBusy("busy"), 503, "30"),
        (StoreFull("full"), 503, "300"),
    ],
)
def test_ingest_answers_what_the_intake_says(
    build: Callable[..., House], answer: Any, status: int, wait: str | None
) -> None:
    taken: list[tuple[str, bytes, str]] = []

    def ingest(source: str, body: bytes, headers: Mapping[str, str]) -> Ingested:
        taken.append((source, body, headers["x-signature"]))
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Ingested)
        return answer

    async def steps(client: httpx.AsyncClient) -> None:
        got = await client.post("/api/v1/ingest/cht", content=b'{"_id":"1"}', headers={"X-Signature": "s"})
        assert got.status_code == status and got.headers.get("retry-after") == wait

    run(build(env="production", ingest=ingest), steps, **OUTSIDE)
    assert taken == [("cht", b'{"_id":"1"}', "s")]


def test_ingest_stops_at_its_limit(build: Callable[..., House]) -> None:
    sent: list[int] = []

    def ingest(source: str, body: bytes, headers: Mapping[str, str]) -> Ingested:
        raise AssertionError("must not be called")

    async def chunks() -> Any:
        for _ in range(100):
            sent.append(1)
            yield b"x" * 100

    async def steps(client: httpx.AsyncClient) -> None:
        assert (await client.post("/api/v1/ingest/cht", content=b"x" * 1001)).status_code == 413
        assert (await client.post("/api/v1/ingest/cht", content=chunks())).status_code == 413

    run(build(ingest=ingest, ingest_limit=1000), steps)


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
