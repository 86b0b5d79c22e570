"""Not waiting: one try of a source or a target now, and another look at what is held back."""

from __future__ import annotations

from typing import Any

from connector.engine import delivery, intake, runs
from connector.engine.actions import Actions
from connector.engine.engine import Engine


def look_again(engine: Engine, target: str, *, answers: bool = False) -> None:
    """What is held back until something is mended at the target is due: the adapter looks before it sends, so what is
    not mended costs no refusal. ``answers``: the target has just taken our credentials, so a refusal is over too."""

    def work(unit: Any) -> None:
        unit.look_again(target, engine.held_reasons, engine.now())
        if answers and unit.row_of_target(target).get("reason"):
            unit.try_now(target, forget=False)

    engine.store.write(work)


async def now(engine: Engine, name: str, by: str) -> dict[str, int]:
    """Read the source, or deliver what is due to the target: after failures one delivery as a probe, and the rest when
    that is answered. Returns counts. Raises RunLocked when another Relais is at work; it is told and tries by itself.
    """
    Actions(engine).try_now(name, by)
    with runs.locked(engine):
        if name in engine.sources:
            counts = await intake.pull(engine, name)
            return {key: int(counts[key]) for key in ("received", "new", "repeated")}
        return await delivery.deliver(engine, name)
