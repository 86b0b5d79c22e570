"""A connection that a person paused: until when, and that it goes on by itself after that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from connector.engine import audit
from connector.engine.engine import Engine, moment


def of(engine: Engine, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """``{reason, by, until, since}`` of a source's or target's row; None when it works, or its pause is over."""
    if not row.get("paused"):
        return None
    paused: dict[str, Any] = orjson.loads(row["paused"])
    until = paused.get("until")
    return None if until and moment(until) <= engine.clock.now() else paused


def holds(engine: Engine, table: str, name: str, row: Mapping[str, Any]) -> bool:
    """Is it paused now? A pause that is over is taken away, and that is written down."""
    if not row.get("paused"):
        return False
    if of(engine, row) is not None:
        return True

    def over(unit: Any) -> None:
        unit.pause(table, name, None)
        audit.record(unit, at=engine.now(), event="pause.ended", subject=name)

    engine.store.write(over)
    return False
