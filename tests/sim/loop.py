"""Time that only jumps: an asyncio loop that never waits. When nothing is ready, the clock moves to what is due next.

So the shipped code runs as it is (tasks, locks, sleeps), on one thread, in an order that depends on nothing but what
it was given.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class Stuck(Exception):
    """Nothing is ready and nothing will ever be due."""


class _Jump(selectors.BaseSelector):
    """Instead of waiting for a file, move the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self._keys[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return self._keys[fileobj]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[fileobj]

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck
        self.now += max(timeout, 0.0)
        return []


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        # A process that was killed leaves tasks behind that nobody will ask for their end.
        self.set_exception_handler(lambda _loop, _context: None)

    def time(self) -> float:
        return self._jump.now

    def run_in_executor(self, *_: Any) -> Any:
        raise AssertionError("a second thread would make the order of things depend on the machine")
