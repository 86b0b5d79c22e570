"""The frame around every simulator: faults between client and server, and the control routes beside the real paths.

A simulator builds a plain ASGI app of its own and wraps it::

    self.app = plane.wrap(app, state=self.state, reset=self.reset, extra_routes={"records": self.records})

and calls ``plane.applied({...})`` for every write it applied. Faults never reach the simulator itself: they decide
whether its answer comes back, comes back late, or was never asked for. Control routes are never hit.

Over uvicorn a lost answer is a closed socket; in process (``httpx.ASGITransport``) it is the exception httpx would
raise for it.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: What a server or its proxy shows while it starts (findings-cht 23).
START_PAGE = b"<!DOCTYPE html><html><head><title>Starting</title></head><body>The service is starting</body></html>"

#: The key that names each kind of fault, and the key that says how often it hits (1 = every request).
_KINDS = {
    "status": "every",
    "lose_response_every": "lose_response_every",
    "late_seconds": "every",
    "truncate_every": "truncate_every",
    "html_every": "html_every",
    "delay_ms": "every",
    "down": "every",
}
_KNOWN = {*_KINDS, "every", "retry_after", "only", "seed"}


class BadFault(ValueError):
    """The fault is not one of those the sandbox knows."""


@dataclass(slots=True)
class Fault:
    """One armed fault. It hits when ``(requests counted + seed)`` divides by ``every``."""

    kind: str
    every: int
    settings: Mapping[str, Any]
    seed: int
    writes_only: bool
    counted: int = 0

    @classmethod
    def parse(cls, settings: Mapping[str, Any], seed: int) -> Fault | None:
        """Read one fault as posted; None for an empty one. Raises BadFault."""
        if not settings or settings.get("down") is False:
            return None
        if unknown := set(settings) - _KNOWN:
            raise BadFault(f"unknown keys: {', '.join(sorted(unknown))}")
        kinds = [kind for kind in _KINDS if kind in settings]
        if len(kinds) != 1:
            raise BadFault(f"a fault has exactly one of {', '.join(_KINDS)}")
        if settings.get("only", "writes") != "writes":
            raise BadFault('"only" can be "writes"')
        kind = kinds[0]
        every = int(settings.get(_KINDS[kind], 1))
        if every < 1:
            raise BadFault(f"{_KINDS[kind]} must be 1 or more")
        return cls(kind, every, settings, int(settings.get("seed", seed)), "only" in settings)

    def hits(self, write: bool) -> bool:
        """Count this request and say whether it is hit."""
        if self.writes_only and not write:
            return False
        self.counted += 1
        return (self.counted + self.seed) % self.every == 0


@dataclass(slots=True)
class _Late:
    due: float
    app: App
    scope: Scope
    body: bytes


@dataclass(slots=True)
class _Answer:
    """An answer of the simulator, held back until the plane has decided what becomes of it."""

    messages: list[Message] = field(default_factory=list)

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.messages if m["type"] == "http.response.body")


class Plane:
    """Faults, log and control routes of one simulator.

    ``seed`` is the default seed of the faults. ``clock`` gives seconds and decides when a late write is due; with a
    clock that stands still, late writes are applied by ``catch_up`` or by the next request after it moved.
    """

    def __init__(self, seed: int = 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.seed = seed
        self.clock = clock
        self.faults: list[Fault] = []
        self.log: list[dict[str, Any]] = []
        self.requests = 0  #: requests to the real paths so far
        self.recent: deque[tuple[str, str]] = deque(maxlen=2000)  #: (method, path?query) of the last requests
        self.hit: Counter[str] = Counter()  #: how often each kind of fault has hit
        self._late: list[_Late] = []
        self._timers: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ for simulators and tests

    def applied(self, entry: Mapping[str, Any]) -> None:
        """Write down a change the simulator has made; ``n`` is its number, from 1."""
        self.log.append({"n": len(self.log) + 1, **entry})

    def arm(self, faults: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> int:
        """Replace the armed faults by these; ``{}`` or ``[]`` clears. Returns how many are armed now."""
        listed = [faults] if isinstance(faults, Mapping) else list(faults)
        parsed = [Fault.parse(fault, self.seed) for fault in listed]
        self.faults = [fault for fault in parsed if fault is not None]
        return len(self.faults)

    async def catch_up(self, *, everything: bool = False) -> int:
        """Apply the late writes that are due (or every one); returns how many still wait."""
        now = self.clock()
        due = [late for late in self._late if everything or late.due <= now]
        self._late = [late for late in self._late if not (everything or late.due <= now)]
        for late in due:
            await late.app(late.scope, _receive(late.body), _Answer().send)
        return len(self._late)

    def wrap(
        self,
        app: App,
        *,
        state: Callable[[], Mapping[str, Any]],
        reset: Callable[[], None],
        extra_routes: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> App:
        """The app behind the faults, with ``/_sandbox/...`` beside it.

        ``extra_routes``: name -> function of the posted JSON giving the JSON to answer (may be async). A ValueError,
        KeyError or TypeError it raises is answered 400.
        """
        routes = dict(extra_routes or {})

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
            elif scope["path"].startswith("/_sandbox/"):
                await self.catch_up()
                status, document = await self._control(scope, receive, state, reset, routes)
                await _answer(send, status, orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
            else:
                await self.catch_up()
                await self._pass(app, scope, receive, send)

        return wrapped

    # ------------------------------------------------------------ control routes

    async def _control(
        self,
        scope: Scope,
        receive: Receive,
        state: Callable[[], Mapping[str, Any]],
        reset: Callable[[], None],
        routes: Mapping[str, Callable[[Any], Any]],
    ) -> tuple[int, Any]:
        name = scope["path"].removeprefix("/_sandbox/")
        method = scope["method"]
        raw = await _body(receive)
        try:
            if (method, name) == ("GET", "state"):
                return 200, state()
            if (method, name) == ("GET", "log"):
                return 200, {"log": self.log}
            if (method, name) == ("GET", "faults"):
                return 200, {"armed": [fault.settings for fault in self.faults], "hit": dict(self.hit)}
            if (method, name) == ("POST", "faults"):
                return 200, {"armed": self.arm(orjson.loads(raw or b"{}"))}
            if (method, name) == ("POST", "reset"):
                self.arm({})
                self._late.clear()
                self.log.clear()
                reset()
                return 200, {"reset": True}
            if method == "POST" and name in routes:
                answer = routes[name](orjson.loads(raw or b"{}"))
                return 200, await answer if inspect.isawaitable(answer) else answer
        except (ValueError, KeyError, TypeError) as error:
            return 400, {"error": f"{type(error).__name__}: {error}"}
        return 404, {"error": f"no {method} /_sandbox/{name} here"}

    # ------------------------------------------------------------ faults

    async def _pass(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests += 1
        query = scope.get("query_string", b"").decode("latin-1")
        self.recent.append((scope["method"], scope["path"] + (f"?{query}" if query else "")))
        write = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        hit = [fault for fault in self.faults if fault.hits(write)]
        for fault in hit:
            self.hit[fault.kind] += 1
            if fault.kind == "delay_ms":
                await asyncio.sleep(float(fault.settings["delay_ms"]) / 1000)
                continue
            await self._strike(fault, app, scope, receive, send)
            return
        await app(scope, receive, send)

    async def _strike(self, fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        match fault.kind:
            case "down":
                await _cut(receive, httpx.ConnectError("connection refused"))
            case "status":
                headers = []
                if "retry_after" in fault.settings:
                    headers.append((b"retry-after", str(fault.settings["retry_after"]).encode()))
                status = int(fault.settings["status"])
                await _body(receive)
                await _answer(send, status, orjson.dumps({"status": status, "message": "armed fault"}), headers=headers)
            case "html_every":
                await _body(receive)
                await _answer(send, 200, START_PAGE, content_type=b"text/html; charset=utf-8")
            case "lose_response_every":
                await app(scope, _receive(await _body(receive)), _Answer().send)
                await _cut(receive, httpx.ReadError("connection reset by peer"))
            case "late_seconds":
                self._later(float(fault.settings["late_seconds"]), app, scope, await _body(receive))
                await _cut(receive, httpx.ReadError("connection reset by peer"))
            case "truncate_every":
                answer = _Answer()
                await app(scope, _receive(await _body(receive)), answer.send)
                await _half(answer, receive, send)

    def _later(self, seconds: float, app: App, scope: Scope, body: bytes) -> None:
        self._late.append(_Late(self.clock() + seconds, app, dict(scope), body))

        async def wait() -> None:
            await asyncio.sleep(seconds + 0.001)
            await self.catch_up()

        timer = asyncio.create_task(wait())
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(parts)


def _receive(body: bytes) -> Receive:
    """A receive channel that holds this body and nothing after it."""
    messages: deque[Message] = deque([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        return messages.popleft() if messages else {"type": "http.disconnect"}

    return receive


async def _answer(
    send: Send,
    status: int,
    body: bytes,
    *,
    content_type: bytes = b"application/json",
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    length = str(len(body)).encode()
    start = [(b"content-type", content_type), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


async def _half(answer: _Answer, receive: Receive, send: Send) -> None:
    """Half of the answer, then a closed connection. An answer without a body passes whole."""
    body = answer.body
    if len(body) < 2:
        for message in answer.messages:
            await send(message)
        return
    start = next(m for m in answer.messages if m["type"] == "http.response.start")
    # Without content-length the server sends chunks, so that the cut is seen as a cut and not as a server's error.
    headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    await send({**start, "headers": headers})
    socket = _socket(receive)
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": socket is not None})
    if socket is not None:
        await asyncio.sleep(0)
        socket.close()
        await receive()


async def _cut(receive: Receive, in_process: httpx.TransportError) -> None:
    """Close the connection without an answer; in process, raise what httpx would have raised."""
    socket = _socket(receive)
    if socket is None:
        raise in_process
    socket.abort()
    while (await receive())["type"] != "http.disconnect":  # uvicorn is silent once it knows of the disconnect
        pass


def _socket(receive: Receive) -> asyncio.Transport | None:
    """uvicorn's transport: its ``receive`` is a bound method of the request's cycle, which holds it."""
    return getattr(getattr(receive, "__self__", None), "transport", None)
