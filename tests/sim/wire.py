"""Between a simulated process and one server: every exchange is counted, may fail in each of the ways real ones do, and
is watched from the far side."""

from __future__ import annotations

import asyncio
import email.utils
import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from tests.sim import plan as plans
from tests.sim import servers

if TYPE_CHECKING:
    from tests.sim.world import Process, World

#: Seconds after which the client gives up on a silent server.
TIMEOUT = 60.0
#: The longest a request stays under way after the client has given up; every target's ``settles_within`` is longer.
LATEST = {"dhis2": 90.0, "tracker": 90.0, "fhir": 90.0, "openmrs": 90.0, "cht_answers": 50.0, "cht": 0.0}

#: List in a request to the tracker, identifier in each of its rows.
TRACKED = (("trackedEntities", "trackedEntity"), ("enrollments", "enrollment"), ("events", "event"))
PAGE = b"<!DOCTYPE html><html><body>Welcome to the network, please log in</body></html>"
_STATUS = {"401": 401, "403": 403, "413": 413, "429": 429, "429_seconds": 429, "429_date": 429, "503": 503,
           "503_seconds": 503}  # fmt: skip


@dataclass
class Exchange:
    number: int
    name: str
    method: str
    path: str
    body: Any
    keys: frozenset[str]  #: what it would change, as the far side names it
    query: Mapping[str, str]

    @property
    def writes(self) -> bool:
        return self.method not in ("GET", "HEAD") and not self.path.endswith(("/search", "/identifier"))

    def __str__(self) -> str:
        return f"#{self.number} {self.name} {self.method} {self.path}"


def keys_of(name: str, method: str, path: str, body: Any) -> frozenset[str]:
    """The things a request changes: while one is under way nothing else may be sent for them."""
    found: list[str] = []
    if name == "dhis2" and path == "/api/dataValueSets" and method == "POST":
        found.append(f"block {body['orgUnit']} {body['period']}")
    elif name == "dhis2" and path == "/api/completeDataSetRegistrations" and method == "POST":
        row = body["completeDataSetRegistrations"][0]
        found.append(f"completion {row['organisationUnit']} {row['period']}")
    elif name == "fhir" and method == "POST":
        found += [entry["request"]["url"] for entry in body["entry"]]
    elif name == "openmrs" and method == "POST" and path.endswith("/encounter"):
        found.append(f"encounter {body.get('uuid')}")
    elif name == "openmrs" and method == "POST" and path.endswith("/appointments"):
        found.append(f"appointment {body['appointmentNumber']}")
    elif name == "tracker" and method == "POST":
        found += [f"{kind} {row[kind]}" for rows, kind in TRACKED for row in body.get(rows, ())]
    elif name == "cht_answers" and method == "PUT":
        found.append(path)
    return frozenset(found)


def _unpacked(body: bytes) -> bytes:
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


class Wire(httpx.AsyncBaseTransport):
    """The transport of one connection of one process."""

    def __init__(self, world: World, process: Process, name: str) -> None:
        self.world, self.process, self.name = world, process, name
        self.app = httpx.ASGITransport(app=world.sims[name].app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        world, process = self.world, self.process
        process.boundary()
        body = orjson.loads(_unpacked(request.content)) if request.content else None
        keys = keys_of(self.name, request.method, request.url.path, body)
        x = Exchange(world.count("exchange"), self.name, request.method, request.url.path, body, keys,
                     dict(request.url.params))  # fmt: skip
        fault = world.fault(x)
        world.trace(f"{process.name} {x}{f' !{fault}' if fault else ''} {' '.join(sorted(keys))}")
        world.watch()
        if fault in (*plans.BEFORE, *servers.SAID) and fault != "lost_request":
            await asyncio.sleep(world.rng.uniform(0.05, 0.5))
            answer = self._before(fault, request)
        else:
            world.leaves(x)
            try:
                answer = await self._sent(x, fault, request)
            finally:
                world.lands(x)
        process.boundary()
        world.trace(f"{process.name} #{x.number} {answer.status_code} {len(answer.content)}")
        return answer

    def _before(self, fault: str, request: httpx.Request) -> httpx.Response:
        """Nothing reached the server, or it did nothing."""
        if fault in servers.SAID:
            return self._json(*servers.SAID[fault], request)
        if fault in ("refused", "dns", "tls"):
            raise httpx.ConnectError(fault, request=request)
        if fault == "portal":
            return httpx.Response(200, headers={"content-type": "text/html"}, content=PAGE, request=request)
        if fault == "login":
            return httpx.Response(302, headers={"location": "/dhis-web-login/"}, request=request)
        headers = {"content-type": "application/json"}
        if fault.endswith("_seconds"):
            headers["retry-after"] = str(self.world.rng.randrange(1, 300))
        if fault == "429_date":
            now = self.world.now()
            headers["date"] = email.utils.format_datetime(now, usegmt=True)
            later = now + timedelta(seconds=self.world.rng.randrange(1, 300))
            headers["retry-after"] = email.utils.format_datetime(later, usegmt=True)
        status = _STATUS[fault]
        said = {"status": "ERROR", "httpStatusCode": status, "message": "armed fault"}
        return httpx.Response(status, headers=headers, content=orjson.dumps(said), request=request)

    async def _sent(self, x: Exchange, fault: str | None, request: httpx.Request) -> httpx.Response:
        world = self.world
        if fault == "lost_request":
            await asyncio.sleep(world.rng.choice([0.1, TIMEOUT]))
            raise httpx.ReadTimeout("lost", request=request)
        if fault == "fhir_conflict":
            await asyncio.sleep(0.1)
            issue = {"severity": "error", "code": "processing", "diagnostics": "HAPI-0823: Trying to update a version"}
            said = {"resourceType": "OperationOutcome", "issue": [issue]}
            return self._json(409, said, request, "application/fhir+json")
        wait = world.rng.uniform(0.02, 0.6)
        if fault == "late":
            world.spawn(self._reach(x, request, world.rng.uniform(1.0, LATEST[self.name]), None))
            await asyncio.sleep(world.rng.choice([0.1, 0.5]))
            raise httpx.ReadTimeout("late", request=request)
        reached = world.spawn(self._reach(x, request, wait, fault))
        if x.writes:
            world.meanwhile(self.process)
        answer = await asyncio.shield(reached)
        await asyncio.sleep(world.rng.uniform(0.02, 0.6))
        return await self._after(fault, answer, request)

    async def _reach(self, x: Exchange, request: httpx.Request, wait: float, fault: str | None) -> httpx.Response:
        """The request arrives and is carried out, whatever has become of its sender."""
        world = self.world
        world.under_way(x, wait)
        try:
            await asyncio.sleep(wait)
            content = request.content
            if fault == "dhis2_half" and x.body and x.body.get("dataValues"):
                half = x.body["dataValues"][: len(x.body["dataValues"]) // 2]
                content = orjson.dumps({**x.body, "dataValues": half})
            content = servers.arrives(world, fault, x, content)
            if fault is not None:
                world.refuse(fault, x)
            headers = [(n, v) for n, v in request.headers.raw if n.lower() != b"content-length"]
            copy = httpx.Request(request.method, request.url, headers=headers, content=content)
            if fault == "tracker_raced":  # the other one, which wins
                await self.app.handle_async_request(copy)
                world.dhis2.tracker.raced = {row["trackedEntity"] for row in x.body["trackedEntities"]}
            if fault in servers.TWICE:
                await self.app.handle_async_request(copy)
            answer = await self.app.handle_async_request(copy)
            await answer.aread()
            servers.answered(world, fault, x, answer)
            world.applied(x, answer)
            return answer
        finally:
            world.arrived(x)
            if fault is not None:
                world.refuse(None, x)

    async def _after(self, fault: str | None, answer: httpx.Response, request: httpx.Request) -> httpx.Response:
        """The server did its part; what of that the client sees."""
        headers = dict(answer.headers)
        body = answer.content
        match fault:
            case "lost_answer":
                if self.world.rng.random() < 0.5:
                    await asyncio.sleep(TIMEOUT)
                    raise httpx.ReadTimeout("lost", request=request)
                raise httpx.ReadError("connection reset by peer", request=request)
            case "500" | "502" | "504":
                page = PAGE if fault != "500" else orjson.dumps({"message": "Internal error"})
                kind = "text/html" if fault != "500" else "application/json"
                return httpx.Response(int(fault), headers={"content-type": kind}, content=page, request=request)
            case "openmrs_session":  # 388, 389: carried out all the same
                return httpx.Response(401, headers={"content-type": "text/html"}, content=PAGE, request=request)
            case "dhis2_half":
                said = {"httpStatus": "Internal Server Error", "httpStatusCode": 500, "status": "ERROR"}
                return self._json(500, said, request)
            case "truncated":
                headers.pop("content-length", None)
                half = body[: len(body) // 2]
                return httpx.Response(answer.status_code, headers=headers, content=half, request=request)
            case "garbage":
                kind = {"content-type": "application/json"}
                return httpx.Response(200, headers=kind, content=b"\x00\xff{", request=request)
            case "wrong_content":
                return self._json(200, {"ok": 1, "status": "OK"}, request)
            case "empty":
                return httpx.Response(200, headers={"content-type": "application/json"}, request=request)
        headers.pop("content-length", None)
        return httpx.Response(answer.status_code, headers=headers, content=body, request=request)

    @staticmethod
    def _json(status: int, said: Any, request: httpx.Request, kind: str = "application/json") -> httpx.Response:
        return httpx.Response(status, headers={"content-type": kind}, content=orjson.dumps(said), request=request)


def suits(fault: str, x: Exchange) -> bool:
    """Whether this fault can happen to this exchange."""
    if fault in servers.ALL:
        return servers.suits(fault, x)
    if fault.startswith("dhis2_"):
        return x.path == "/api/dataValueSets" and x.method == "POST"
    if fault.startswith("tracker_"):
        people = x.body.get("trackedEntities") if x.name == "tracker" and x.method == "POST" else None
        return bool(people) if fault in ("tracker_known", "tracker_raced") else x.name == "tracker" and x.writes
    if fault.startswith("fhir_"):
        return x.name == "fhir" and x.method == "POST"
    if fault == "late":
        return x.writes
    return fault != "413" or x.writes


#: fault -> code of a refusal, up to 2.42 and since 2.43.
_CODES = {
    "dhis2_refused_value": ("E7619", "E8122"),
    "dhis2_locked": ("E7640", "E8030"),
    "dhis2_approved": ("E7642", "E8033"),
    "dhis2_not_open": ("E7641", "E8030"),
    "dhis2_bad_period": ("E7611", ""),
}


def rules(fault: str | None, profile: str) -> Iterable[dict[str, Any]]:
    """What the simulated DHIS2 is told to do with the next posted block."""
    code = _CODES.get(fault or "", ("", ""))[profile == "v43"]
    if code:
        yield {"code": code, "times": 1 if fault == "dhis2_refused_value" else 1000}
    elif fault == "dhis2_bad_period":  # 2.43 says nothing, and stores nothing
        yield {"race": True, "times": 1}
    elif fault == "dhis2_silent_loss":
        yield {"short": True, "times": 2}
    elif fault in ("dhis2_failed", "dhis2_completion_breaks"):
        yield {"failed": "Failed to flush BatchHandler", "times": 1}
