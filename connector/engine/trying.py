"""A person does not want to wait: one try of a source or a target now, whatever its due time says."""

from __future__ import annotations

from connector.engine import delivery, intake, runs
from connector.engine.actions import Actions
from connector.engine.engine import Engine


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
