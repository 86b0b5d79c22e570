"""The line between an adapter and a simulator, where answers go bad; and a loop that never waits.

``Line`` hands each request to ``spoil`` together with a way to get the genuine answer. What comes back may be the
genuine answer, a changed one, one to another request, or none. It is given to the adapter as a network would: a status
line, headers and a body in parts, so that nothing is unpacked before the adapter unpacks it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

Headers = tuple[tuple[bytes, bytes], ...]
JSON: Headers = ((b"content-type", b"application/json;charset=UTF-8"),)


@dataclass(frozen=True)
class Given:
    """An answer as it goes over the line. ``parts`` (seconds to wait, bytes) instead of ``body`` for a body that takes
    its time or never ends; ``broken``: what happens after the body; ``error``: no answer at all."""

    status: int = 200
    headers: Headers = JSON
    body: bytes = b""
    parts: Callable[[], Iterable[tuple[float, bytes]]] | None = None
    broken: Exception | None = None
    error: Exception | None = None

    def saying(self, body: bytes, **more: Any) -> Given:
        return replace(self, body=body, parts=None, **more)

    def named(self, name: bytes, value: bytes | None) -> Given:
        """With this header instead of those of the same name; None: without."""
        kept = tuple(h for h in self.headers if h[0].lower() != name)
        return replace(self, headers=kept if value is None else (*kept, (name, value)))


class _Body(httpx.AsyncByteStream):
    def __init__(self, given: Given) -> None:
        self.given = given

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.given.parts is not None:
            for wait, part in self.given.parts():
                if wait:
                    await asyncio.sleep(wait)
                yield part
        elif self.given.body:
            yield self.given.body
        if self.given.broken is not None:
            raise self.given.broken


Genuine = Callable[[], Awaitable[Given]]
Spoil = Callable[[int, httpx.Request, Genuine], Awaitable[Given]]


@dataclass
class Line(httpx.AsyncBaseTransport):
    app: Any
    spoil: Spoil | None = None
    asked: int = 0
    heard: list[tuple[httpx.Request, Given]] = field(default_factory=list)  #: what the adapter was given, in order

    def clear(self) -> None:
        self.spoil, self.asked = None, 0
        self.heard.clear()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        number = self.asked
        if number > 400:
            raise AssertionError(f"more than 400 requests: {request.method} {request.url}")

        async def genuine() -> Given:
            response = await httpx.ASGITransport(app=self.app).handle_async_request(request)
            body = await response.aread()
            return Given(response.status_code, tuple(response.headers.raw), body)

        given = await (self.spoil(number, request, genuine) if self.spoil else genuine())
        self.heard.append((request, given))
        if given.error is not None:
            raise given.error
        return httpx.Response(given.status, headers=list(given.headers), stream=_Body(given), request=request)


class QuickLoop(asyncio.SelectorEventLoop):
    """Sleeping takes no time: when nothing is ready, its clock jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self._ahead = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def at_once(timeout: float | None = None) -> Any:
            ready = select(0 if timeout else timeout)
            if not ready and timeout:
                self._ahead += timeout
            return ready

        selector.select = at_once

    def time(self) -> float:
        return super().time() + self._ahead
