"""The simulated DHIS2 against the recordings of a running 2.42.5.

``dhis2_legacy.ndjson`` holds recorded exchanges in the order in which they ran against one server (cut down: no
import options, no time stamps); ``dhis2_legacy_metadata.json`` the metadata that server had. The whole sequence is
sent to one simulator once, as later answers depend on earlier writes; each exchange is then one test.
"""

from __future__ import annotations

import asyncio
import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.plane import Plane

HERE = Path(__file__).parent
RECORDED = [json.loads(line) for line in (HERE / "dhis2_legacy.ndjson").read_text("utf-8").splitlines()]


def recorded_metadata() -> dict[str, Any]:
    return json.loads((HERE / "dhis2_legacy_metadata.json").read_text("utf-8"))


def login(exchange: dict[str, Any]) -> dict[str, str]:
    user = exchange["user"]
    wrong = any(name in exchange["file"] for name in ("login-wrong", "lock-wrong"))
    if user in ("none", "changed token", "bad token", "token as Bearer"):
        return {}
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{'no' if wrong else 'pw'}-{user}".encode()).decode()}


def before(sim: DHIS2Sim, exchange: dict[str, Any]) -> None:
    """What else had happened on the recorded server: settings and approvals that are not simulated as requests."""
    name = exchange["file"].split("-", 1)[1].removesuffix(".json")
    approval = next(s for s in sim.metadata.lists["dataSets"] if s["code"] == "DS_APPROVAL")
    match name:
        case "approval-push-clerk":
            approval["approved"] = [["OU_A1", "202609"]]
        case "approval-push-after":
            approval["approved"] = []
        case "db-down-post" | "db-down-me" | "db-down-ping":
            sim.doors.database_down = True
        case "z-lock-wrong-0":
            sim.doors.lock_after_failures = 5
        case "z-disabled-login":
            sim.doors.lock_after_failures = None
            sim.users[2]["disabled"] = True
        case _:
            sim.doors.database_down = False


@cache
def replayed() -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        sim = DHIS2Sim(recorded_metadata(), [], Plane())
        answers = []
        for exchange in RECORDED:
            before(sim, exchange)
            body = exchange["body"]
            headers = {"accept": "application/json", **login(exchange)}
            if body is not None and "content-type" not in exchange.get("headers", {}):
                headers["content-type"] = "application/json"
            headers |= exchange.get("headers", {})
            if not headers.get("content-type", "-"):
                del headers["content-type"]
            content = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app=sim.app), base_url="http://127.0.0.1:8085"
            ) as client:
                answers.append(
                    await client.request(
                        exchange["method"],
                        exchange["path"],
                        params=exchange.get("query"),
                        content=content,
                        headers=headers,
                    )
                )
        return answers

    return asyncio.run(run())


def comparable(answer: Any) -> Any:
    """Sets where the order is the server's own; no words that name a Java class."""
    if isinstance(answer, list):
        return sorted((comparable(item) for item in answer), key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(answer, dict):
        dropped = ("importOptions", "created", "lastUpdated", "nextPage", "prevPage", "programs")
        return {key: comparable(value) for key, value in answer.items() if key not in dropped}
    return answer


@pytest.mark.parametrize("index", range(len(RECORDED)), ids=[exchange["file"] for exchange in RECORDED])
def test_as_recorded(index: int) -> None:
    exchange, answer = RECORDED[index], replayed()[index]
    assert answer.status_code == exchange["status"]
    assert ("set-cookie" in answer.headers) == exchange["cookie"]
    if answer.content:
        assert answer.headers["content-type"].partition(";")[0] == exchange["type"].partition(";")[0]
    expected = exchange["answer"]
    if isinstance(expected, str):
        assert bool(answer.content) == bool(expected)
    elif exchange["file"][:3] in ("001", "018"):
        assert {key: answer.json()[key] for key in expected} == expected
    elif exchange["file"][:3] == "210":  # the message goes on with Java signatures
        assert answer.json()["message"].startswith(expected["message"].partition(". ")[0])
    else:
        assert comparable(answer.json()) == comparable(expected)
