"""Whatever is asked of the pages and the API, by whom and with whatever method, address, query and body: an answer
that is none of ours going wrong. 503 only where it is documented; no traceback, no path of the source in a body."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.cli.wiring import web_app
from connector.engine import tokens
from connector.web import api
from connector.web.pages import deliveries, help, overview, quarantine, records, referrals, session, values
from tests.engine.house import _as_shipped, a_few, visit
from tests.properties.scale import scale
from tests.properties.world import World

MODULES: tuple[Any, ...] = (api, overview, deliveries, values, records, quarantine, referrals, session, help)
ROUTES = sorted({route.path for module in MODULES for route in module.router.routes} | {"/static/{name}", "/nothing"})
TOKENS = {role: f"relais_{n}123456789ab_{'x' * 43}" for n, role in enumerate(("submit", "viewer", "observe", "admin"))}
METHODS = ("GET", "GET", "POST", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
ODD = (
    "", " ", "0", "1", "-1", "9" * 24, "1.5", "NaN", "null", "%", "%00", "\u0000", "../../etc", "'", '"', "' OR 1=1 --",
    "<script>", "{{7*7}}", "\u202e", "\U0001f600", "a" * 3000, "202608", "2026-08-10", "accepted", "parked", "dhis2",
    "cht", "openmrs", "overwrite", "keep", "fr", "en", "xx", "//example.org", "ML-KKO-D1-A1-S1", "MH_A04",
    "A2_Y1_4-SEX_F", "retry", "park", "resolve", "all", "remap", "pause", "resume", "visit-08-1", "reports",
)  # fmt: skip
NAMES = tuple(
    [
        "de",
        "ou",
        "pe",
        "co",
        "state",
        "target",
        "kind",
        "before",
        "after",
        "q",
        "lang",
        "langue",
        "to",
        "form",
        "view",
        "why",
        "who",
        "reason",
        "code",
        "source",
        "stream",
        "period",
        "id",
        "ids",
        "do",
        "act",
        "action",
        "what",
        "note",
        "frozen",
        "csrf",
        "until",
        "decision",
        "cell",
        "unmask",
        "username",
        "password",
        "page",
    ]
)
TYPES = (
    "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "multipart/form-data",
    "text/plain", "application/fhir+json", "", "application/json; charset=utf-16", "é",
)  # fmt: skip
WORD = st.sampled_from(ODD) | st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORD, inner, max_size=4),
    max_leaves=10,
)


class Server:
    """The app over a road that has worked, as people on this machine and senders elsewhere see it."""

    def __init__(self) -> None:
        self.road = World([*a_few(), visit("nowhere", site="site-77")], _as_shipped)
        self.road.type_in("MH_A04", "A2_Y1_4-SEX_F", "7")
        self.road.settle()
        for role, token in TOKENS.items():
            tokens.make(self.road.engine, token, name=role, role=role, by="sysadmin")
        house = self.road.house
        assert house is not None
        house.settings = house.settings.model_copy(update={"env": "demo"})
        self.app = web_app(house)
        page = self.ask("GET", "/quarantaine", {}, b"", {}, "127.0.0.1")
        self.cookies = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
        self.csrf = (re.findall(r'name="csrf" value="([^"]+)"', page.text) or [""])[0]
        self.frozen = (re.findall(r'name="frozen" value="([^"]+)"', page.text) or [""])[0]

    def ask(
        self, method: str, path: str, query: Any, body: bytes, headers: dict[str, str], peer: str
    ) -> httpx.Response:
        async def inside() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, client=(peer, 5000), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                encoded = {name: value.encode("utf-8", "replace") for name, value in headers.items()}
                return await client.request(method, path, params=query or None, content=body, headers=encoded)

        return asyncio.run(inside())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.road.gone()


def test_all_routes_are_asked(server: Server) -> None:
    assert {"/envois", "/valeur", "/api/v1/ingest/{source}", "/api/v1/explain", "/readyz", "/"} <= set(ROUTES)
    assert server.csrf and server.ask("GET", "/envois", {}, b"", {}, "127.0.0.1").status_code == 200


@scale(150, 2_000 * len(ROUTES))
@given(data=st.data())
def test_no_request_makes_an_error_of_ours(server: Server, data: Any) -> None:
    draw = data.draw
    path = draw(st.sampled_from(ROUTES))
    for part in re.findall(r"{[^}]+}", path):
        path = path.replace(part, quote(draw(WORD), safe="/" if "path" in part else ""), 1)
    method = draw(st.sampled_from(METHODS))
    query = draw(st.dictionaries(st.sampled_from(NAMES) | WORD, WORD, max_size=4))
    headers = {"accept-language": draw(st.sampled_from(("fr", "en", "*", "xx-YY;q=nan", "")))}
    peer = draw(st.sampled_from(("127.0.0.1", "127.0.0.1", "192.0.2.7")))
    if draw(st.booleans()):
        headers["cookie"] = (
            server.cookies if draw(st.integers(0, 3)) else draw(st.sampled_from(("a=b", "session=" + "x" * 99)))
        )
    if draw(st.booleans()):
        token = draw(st.sampled_from((*TOKENS.values(), "nothing", "relais_x_y")))
        headers["authorization"] = draw(st.sampled_from(("Bearer ", "bearer", "Basic "))) + token
    if draw(st.integers(0, 3)):
        headers["origin"] = "http://127.0.0.1"
    body = b""
    match draw(st.sampled_from(("none", "form", "json", "bytes"))):
        case "form":
            headers["content-type"] = TYPES[1]
            fields = draw(st.dictionaries(st.sampled_from(NAMES), WORD, max_size=5))
            if draw(st.integers(0, 3)):
                fields |= {"csrf": server.csrf, **({"frozen": server.frozen} if draw(st.booleans()) else {})}
            body = str(
                httpx.QueryParams({k: v.encode("utf-8", "replace").decode() for k, v in fields.items()})
            ).encode()
        case "json":
            headers["content-type"] = draw(st.sampled_from(TYPES))
            body = orjson.dumps(draw(JSON))
        case "bytes":
            headers["content-type"] = draw(st.sampled_from(TYPES))
            body = draw(st.binary(max_size=200))
    answer = server.ask(method, path, query, body, headers, peer)
    asked = f"{method} {path} {query} {headers} {body[:200]!r}"
    assert answer.status_code < 500 or (answer.status_code == 503 and path == "/readyz"), asked
    for word in ("Traceback", ".py", "sqlalchemy", "site-packages"):
        assert word not in answer.text, asked
