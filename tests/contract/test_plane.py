"""The frame of the simulators: every fault, in process and over a real socket."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connector.sandbox.plane import Plane


class Counter:
    """The smallest simulator: PUT /n adds what was sent."""

    def __init__(self, plane: Plane) -> None:
        self.plane, self.sum = plane, 0

        async def put(request: Request) -> Response:
            self.sum += int(await request.body())
            plane.applied({"sum": self.sum})
            return JSONResponse({"sum": self.sum, "words": ["enough to be cut in half"] * 3})

        async def get(request: Request) -> Response:
            return JSONResponse({"sum": self.sum})

        app = Starlette(routes=[Route("/n", put, methods=["PUT"]), Route("/n", get)])
        self.app = plane.wrap(
            app, state=lambda: {"sum": self.sum}, reset=self.reset, extra_routes={"people": self.people}
        )

    def reset(self) -> None:
        self.sum = 0

    def people(self, posted: Any) -> Any:
        return {"name": posted["name"]}


Talk = Callable[[httpx.AsyncClient], Awaitable[None]]


class Served:
    def __init__(self, sim: Counter, address: str | None) -> None:
        self.sim, self.address = sim, address
        self.in_process = address is None

    def talk(self, talk: Talk) -> None:
        async def go() -> None:
            transport = httpx.ASGITransport(app=self.sim.app) if self.in_process else None
            async with httpx.AsyncClient(base_url=self.address or "http://sim", transport=transport) as http:
                await talk(http)

        asyncio.run(go())


@pytest.fixture(params=["in process", "socket"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    sim = Counter(Plane())
    if request.param == "in process":
        yield Served(sim, None)
        return
    server = uvicorn.Server(uvicorn.Config(sim.app, port=0, log_config=None, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Served(sim, f"http://127.0.0.1:{port}")
    server.should_exit = True
    thread.join(5)


async def arm(http: httpx.AsyncClient, *faults: dict[str, Any]) -> None:
    assert (await http.post("/_sandbox/faults", json=list(faults))).json() == {"armed": len(faults)}


async def fates(http: httpx.AsyncClient, n: int, method: str = "PUT") -> list[Any]:
    """What n requests came to: a status, ``broken`` (not JSON) or ``lost``."""
    out: list[Any] = []
    for _ in range(n):
        try:
            answer = await http.request(method, "/n", content=b"1" if method == "PUT" else None)
            answer.json()
            out.append(answer.status_code)
        except ValueError:
            out.append("broken")
        except httpx.TransportError:
            out.append("lost")
    return out


def test_status_every_second_request_without_applying(served: Served) -> None:
    async def talk(http: httpx.AsyncClient) -> None:
        await arm(http, {"every": 2, "status": 503, "retry_after": 7})
        assert await fates(http, 4) == [200, 503, 200, 503]
        await arm(http, {"every": 1, "status": 429, "retry_after": 7})
        assert (await http.put("/n", content=b"1")).headers["retry-after"] == "7"
        assert served.sim.sum == 2

    served.talk(talk)


def test_a_lost_response_was_applied(served: Served) -> None:
    async def talk(http: httpx.AsyncClient) -> None:
        await arm(http, {"lose_response_every": 3})
        assert await fates(http, 3) == [200, 200, "lost"]
        assert served.sim.sum == 3
        await arm(http)
        assert await fates(http, 1) == [200]

    served.talk(talk)


def test_a_late_write_is_lost_at_once_and_applied_afterwards(served: Served) -> None:
    async def talk(http: httpx.AsyncClient) -> None:
        await arm(http, {"late_seconds": 0.15, "every": 1})
        assert await fates(http, 1) == ["lost"]
        assert served.sim.sum == 0
        await asyncio.sleep(0.3)
        assert served.sim.sum == 1

    served.talk(talk)


def test_a_truncated_answer_was_applied(served: Served) -> None:
    async def talk(http: httpx.AsyncClient) -> None:
        await arm(http, {"truncate_every": 1})
        assert await fates(http, 1) == ["broken" if served.in_process else "lost"]
        assert served.sim.sum == 1

    served.talk(talk)


def test_a_start_page_and_a_refusing_server_apply_nothing(served: Served) -> None:
    async def talk(http: httpx.AsyncClient) -> None:
        await arm(http, {"html_every": 1})
        page = await http.put("/n", content=b"1")
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        await arm(http, {"down": True})
        assert await fates(http, 2) == ["lost", "lost"]
        assert (await http.post("/_sandbox/faults", json={"down": False})).json() == {"armed": 0}
        assert await fates(http, 1, "GET") == [200]
        assert served.sim.sum == 0

    served.talk(talk)


def test_delay(served: Served) -> None:
    async def talk(http: httpx.AsyncClient) -> None:
        await arm(http, {"delay_ms": 80})
        begun = time.monotonic()
        assert await fates(http, 1) == [200]
        assert time.monotonic() - begun >= 0.08

    served.talk(talk)


def test_only_writes_and_seed_choose_what_is_hit() -> None:
    served = Served(Counter(Plane()), None)

    async def talk(http: httpx.AsyncClient) -> None:
        await arm(http, {"every": 2, "status": 500, "only": "writes"})
        assert await fates(http, 3, "GET") == [200, 200, 200]
        assert await fates(http, 2) == [200, 500]
        await arm(http, {"every": 3, "status": 500, "seed": 1})
        assert await fates(http, 4, "GET") == [200, 500, 200, 200]

    served.talk(talk)


def test_control_routes_are_never_hit_and_know_everything() -> None:
    sim = Counter(Plane())

    async def talk(http: httpx.AsyncClient) -> None:
        await fates(http, 2)
        await arm(http, {"down": True})
        assert (await http.get("/_sandbox/state")).json() == {"sum": 2}
        assert (await http.get("/_sandbox/log")).json() == {"log": [{"n": 1, "sum": 1}, {"n": 2, "sum": 2}]}
        assert (await http.get("/_sandbox/faults")).json() == {"armed": [{"down": True}], "hit": {}}
        assert (await http.post("/_sandbox/people", json={"name": "x"})).json() == {"name": "x"}
        assert (await http.post("/_sandbox/people", json={})).status_code == 400
        assert (await http.post("/_sandbox/nothing", json={})).status_code == 404
        for wrong in ({"up": True}, {"every": 2}, {"status": 500, "down": True}, {"every": 0, "status": 500}):
            assert (await http.post("/_sandbox/faults", json=wrong)).status_code == 400
        assert (await http.post("/_sandbox/reset")).json() == {"reset": True}
        assert (await http.get("/_sandbox/log")).json() == {"log": []}
        assert await fates(http, 1) == [200]

    Served(sim, None).talk(talk)
    assert sim.sum == 1


def test_with_a_clock_that_stands_still_a_late_write_waits_for_it() -> None:
    now = [0.0]
    sim = Counter(Plane(clock=lambda: now[0]))
    served = Served(sim, None)

    async def lose(http: httpx.AsyncClient) -> None:
        sim.plane.arm({"late_seconds": 100, "every": 1})
        assert await fates(http, 1) == ["lost"]
        sim.plane.arm([])

    async def read(http: httpx.AsyncClient) -> None:
        assert await fates(http, 1, "GET") == [200]

    served.talk(lose)
    served.talk(read)
    assert sim.sum == 0
    now[0] = 101.0
    served.talk(read)
    assert sim.sum == 1


def test_catch_up_applies_what_still_waits() -> None:
    sim = Counter(Plane())

    async def talk(http: httpx.AsyncClient) -> None:
        sim.plane.arm({"late_seconds": 60, "every": 1})
        await fates(http, 2)
        assert await sim.plane.catch_up() == 2
        assert sim.sum == 0
        assert await sim.plane.catch_up(everything=True) == 0

    Served(sim, None).talk(talk)
    assert sim.sum == 2
