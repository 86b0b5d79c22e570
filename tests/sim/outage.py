"""A target that is down for ten days while many deliveries wait: nothing is parked, nobody is hammered, and afterwards
everything arrives in order. One connector, one database; the servers are not needed, so the target is a shelf."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from connector import bootstrap
from connector.engine import delivery as delivering
from connector.model import Capabilities, Delivery, Finding, Observed, Outcome, Verdict
from tests.sim.world import memory, pack, settings, template

START = datetime(2026, 10, 6, 8, 0, tzinfo=UTC)
DAYS = 10
#: A schedule asks this often whether something is due.
TICK = timedelta(seconds=10)


class Clock:
    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def steady(self) -> tuple[str, float]:
        return "machine", self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Shelf:
    """Out of reach until ``up``; counts what it is asked."""

    clock: Clock
    up: datetime
    name: str = "dhis2"
    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(max_batch=50, settles_within=timedelta(seconds=60), resend_is_safe=True)
    )
    sent: int = 0  #: deliveries given to us, whatever became of them
    probes: list[datetime] = field(default_factory=list)
    held: dict[str, list[int]] = field(default_factory=dict)  #: subject -> numbers in the order they came

    async def deliver(self, batch: Sequence[Delivery], progress: Any) -> Sequence[Outcome]:
        self.sent += len(batch)
        if self.clock.at < self.up:
            self.probes.append(self.clock.at)
            return [Outcome(Verdict.DEFERRED, "dhis2.unreachable", of_target=True)] * len(batch)
        for one in batch:
            self.held.setdefault(one.payload["subject"], []).append(one.payload["number"])
        self.clock.at += timedelta(milliseconds=20)
        return [Outcome(Verdict.ACCEPTED, "dhis2.stored")] * len(batch)

    async def look_up(self, delivery: Delivery) -> Observed | None:
        raise AssertionError("sending again is safe here")

    async def probe(self) -> Sequence[Finding]:
        return []


def outage(count: int, seed: int = 1) -> dict[str, Any]:
    """Play it. Returns the figures; ``broken`` lists the promises that were not kept."""
    folder = Path(tempfile.mkdtemp(prefix="relais-outage-", dir=memory()))
    shutil.copy(template(), folder / "relais.db")
    only = replace(pack(), targets={"dhis2": pack().targets["dhis2"]}, sources={})
    clock = Clock()
    try:
        with mock.patch.object(bootstrap, "load", lambda _: (only, [])):
            house = bootstrap.build(
                settings().model_copy(update={"home": folder}), clock=clock, rng=random.Random(seed)
            )
        shelf = Shelf(clock, START + timedelta(days=DAYS))
        engine = house.engine
        engine.targets = {"dhis2": shelf}
        _want(engine, count)
        asyncio.run(_days(engine, clock, shelf, count))
        figures = _figures(engine, shelf, count)
        house.close()
        return figures
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _want(engine: Any, count: int) -> None:
    """Deliveries of a hundred subjects, in order."""
    for start in range(0, count, 1000):

        def work(unit: Any, start: int = start) -> None:
            now = engine.now()
            unit.want(
                [
                    {
                        "target": "dhis2", "key": f"k/{n:07d}", "kind": "answer", "subject": f"s/{n % 100}",
                        "digest": str(n),
                        "payload_enc": unit.seal("delivery", {"subject": f"s/{n % 100}", "number": n}),
                        "state": "pending", "due_at": now, "now": now,
                    }
                    for n in range(start, min(start + 1000, count))
                ]
            )  # fmt: skip

        engine.store.write(work)


async def _days(engine: Any, clock: Clock, shelf: Shelf, count: int) -> None:
    end = START + timedelta(days=DAYS + 1)
    while clock.at < end and sum(len(v) for v in shelf.held.values()) < count:
        await delivering.deliver(engine, "dhis2")
        due = engine.store.read(lambda unit: unit.row_of_target("dhis2")).get("due_at")
        # Asking every ten seconds whether something is due costs nothing but time here: go on to the tick after it.
        clock.at = max(clock.at + TICK, datetime.fromisoformat(due.replace("Z", "+00:00")) if due else clock.at)


def _figures(engine: Any, shelf: Shelf, count: int) -> dict[str, Any]:
    states = engine.store.read(lambda unit: unit.states("dhis2"))
    tries = engine.store.read(lambda unit: unit._rows("SELECT MAX(tries) AS n FROM delivery"))[0]["n"]
    gaps = [(b - a).total_seconds() for a, b in zip(shelf.probes[2:], shelf.probes[3:], strict=False)]
    broken = []
    if states != {"accepted": count}:
        broken.append(f"not settled: {states}")
    if tries:
        broken.append(f"an outage was counted as {tries} tries")
    if gaps and min(gaps) < 30:
        broken.append(f"two probes within {min(gaps):.0f} s")
    if shelf.sent > 1.1 * count + len(shelf.probes):
        broken.append(f"{shelf.sent} attempts for {count} deliveries and {len(shelf.probes)} probes")
    unordered = [subject for subject, numbers in shelf.held.items() if numbers != sorted(numbers)]
    if unordered:
        broken.append(f"out of order: {unordered[:3]}")
    return {
        "deliveries": count, "probes": len(shelf.probes), "attempts": shelf.sent,
        "shortest gap between probes": min(gaps, default=0), "broken": broken,
    }  # fmt: skip
