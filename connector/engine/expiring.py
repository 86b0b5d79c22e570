"""Tokens of ours at a target that end soon: asked about once a day, kept, and told by ``relais status`` from that.

The servers do not tell which token it is that a request carries. So it is the one of our account that ends first.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import orjson

from connector.engine import pauses
from connector.engine.engine import Engine, moment, stamp
from connector.engine.tokens import SOON
from connector.errors import TargetUnreadable
from connector.ports import Expiring

#: What was kept is good for so long: less than a day, so that a run of each morning asks each morning.
FRESH = timedelta(hours=20)


async def look(engine: Engine, targets: Iterable[str], *, anew: bool = False) -> None:
    """Ask the targets that can tell, where it was not asked today; ``anew``: ask all. A target that is paused or has
    failed is not asked, and one that cannot be read keeps what was known."""
    for name in targets:
        target = engine.targets.get(name)
        if not isinstance(target, Expiring):
            continue
        kept, row = engine.store.read(lambda unit, n=name: (_kept(unit, n), unit.row_of_target(n)))
        fresh = abs(engine.clock.now() - moment(kept["looked"])) < FRESH if kept else False
        if not anew and (fresh or row.get("reason") or pauses.of(engine, row)):
            continue
        try:
            ends = await target.token_ends()
        except TargetUnreadable:
            continue
        told = {"looked": engine.now(), "ends": stamp(ends) if ends else None}
        engine.store.write(lambda unit, n=name, told=told: unit.keep_fact(_key(n), orjson.dumps(told).decode()))


def noted(engine: Engine, unit: Any) -> list[dict[str, Any]]:
    """``[{"name", "ends", "days", "who"}]`` of the targets whose token ends within two weeks, whole days left
    from 0. What has ended is told by the refusals it gets."""
    found = []
    for name in engine.targets:
        kept = _kept(unit, name)
        if not kept or not kept["ends"]:
            continue
        left = moment(kept["ends"]) - engine.clock.now()
        if timedelta(0) < left <= SOON:
            days = left // timedelta(days=1)
            found.append({"name": name, "ends": kept["ends"], "days": days, "who": "credentials"})
    return found


def _key(name: str) -> str:
    return f"token_ends/{name}"


def _kept(unit: Any, name: str) -> dict[str, Any] | None:
    text = unit.fact(_key(name))
    return orjson.loads(text) if text else None
