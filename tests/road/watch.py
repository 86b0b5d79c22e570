"""The simulators as ``connector.sandbox`` starts them, watched: they can kill a process when a request arrives, and
they write down which keys were on their way when.

    python -m tests.road.watch serve ...      the arguments of ``python -m connector.sandbox``

``POST /_watch/kill {"pid", "at", "after"}`` on any of the four: SIGKILL when the ``at``-th writing request from now
arrives there, before it is applied or (``after``) once it is. ``GET /_watch/killed`` says whether that happened;
``GET /_watch/flights`` lists every write: [key, arrived, answered].
"""

from __future__ import annotations

import gzip
import hashlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from connector.sandbox import __main__ as sandbox
from connector.sandbox import serve
from connector.sandbox.plane import App, Message, Receive, Scope, Send

READS = {"GET", "HEAD", "OPTIONS"}


class Watch:
    """Around the app of one simulator."""

    def __init__(self, name: str, app: App) -> None:
        self.name = name
        self.app = app
        self.order: dict[str, Any] | None = None
        self.killed = False
        self.flights: list[list[Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_sandbox/"):
            await self.app(scope, receive, send)
            return
        body = await _body(receive)
        if scope["path"].startswith("/_watch/"):
            await self._told(scope["path"].removeprefix("/_watch/"), body, send)
            return
        if scope["method"] in READS:
            await self.app(scope, _again(body, receive), send)
            return
        order = self._now()
        if order is not None and not order["after"]:
            self._kill(order)
            return  # a request that never was
        flights = [[key, time.monotonic(), None] for key in keys(self.name, scope, body)]
        self.flights += flights
        try:
            await self.app(scope, _again(body, receive), _nobody if order is not None else send)
        finally:
            for flight in flights:
                flight[2] = time.monotonic()
        if order is not None:
            self._kill(order)

    def _now(self) -> dict[str, Any] | None:
        """The order to kill, when this is the request it waits for."""
        if self.order is None:
            return None
        self.order["at"] -= 1
        if self.order["at"] > 0:
            return None
        order, self.order = self.order, None
        return order

    def _kill(self, order: Mapping[str, Any]) -> None:
        os.kill(int(order["pid"]), signal.SIGKILL)
        self.killed = True

    async def _told(self, what: str, body: bytes, send: Send) -> None:
        if what == "kill":
            self.killed = False
            self.order = orjson.loads(body) or None
        answer = {"kill": {}, "killed": {"killed": self.killed}, "flights": {"flights": self.flights}}[what]
        data = orjson.dumps(answer)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": data})


def keys(server: str, scope: Scope, body: bytes) -> Iterable[str]:
    """What a writing request is about: a value at DHIS2, a resource, a row, a document."""
    path, document = scope["path"], _json(body)
    if server == "dhis2" and "dataValues" in document:
        for value in document["dataValues"]:
            at = [value.get(n) or document.get(n) for n in ("dataElement", "orgUnit", "period", "categoryOptionCombo")]
            yield f"dhis2 {at}"
    elif server == "fhir" and "entry" in document:
        for entry in document["entry"]:
            yield f"fhir {entry['request']['url']}"
    elif scope["method"] == "PUT":
        yield f"{server} {path}"
    else:
        yield f"{server} {path} {document.get('uuid') or hashlib.sha256(body).hexdigest()}"


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


async def _body(receive: Receive) -> bytes:
    parts = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever comes. The simulators cut connections by the method's owner, so it stays."""

    class Again:
        def __init__(self) -> None:
            self.first = True
            self.transport = getattr(getattr(receive, "__self__", None), "transport", None)

        async def receive(self) -> Message:
            if self.first:
                self.first = False
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

    return Again().receive


async def _nobody(message: Message) -> None:
    """The answer goes nowhere: who asked is about to be killed."""


def main() -> int:
    real = serve.simulators

    def watched(*arguments: Any, **more: Any) -> dict[str, Any]:
        found = real(*arguments, **more)
        for name, simulator in found.items():
            simulator.app = Watch(name, simulator.app)
        return found

    serve.simulators = watched
    return sandbox.main()


if __name__ == "__main__":
    sys.exit(main())
