"""How fast the delivery core, intake and audit are by themselves: the real engine and store, a target in memory.

    .venv/bin/python scripts/bench_core.py            (part of `make bench`)
    BENCH_POSTGRES=postgresql+psycopg://... also measures PostgreSQL

Every figure is of the shipped code on a database file with ``synchronous=FULL``.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sqlalchemy import text

from connector import bootstrap
from connector.engine import audit, delivery, intake, runs
from connector.engine.engine import Engine
from connector.model import Capabilities, Cursor, Page
from connector.store.database import QueuedStore
from tests.engine.bench_house import Shelf, engine, record

COUNT = int(os.environ.get("BENCH_DELIVERIES") or 20_000)
OUTAGE = int(os.environ.get("BENCH_OUTAGE") or 100_000)
SETTLED = int(os.environ.get("BENCH_SETTLED") or 100_000)
ENTRIES = int(os.environ.get("BENCH_ENTRIES") or 1_000_000)
PUSHES = int(os.environ.get("BENCH_PUSHES") or 4_000)

#: Rows wanted in one transaction.
CHUNK = 2_000


_SETTLE = text(
    "UPDATE delivery SET state='accepted', accepted_digest=digest, accepted_generation=generation WHERE state='pending'"
)


class Quick(Shelf):
    capabilities = Capabilities(max_batch=200, settles_within=timedelta(seconds=60))


def house(folder: Path, url: str | None = None) -> Engine:
    return engine(folder, url=url, shelf=Quick(), watch=False)


def want(house: Engine, first: int, count: int) -> None:
    """``count`` deliveries to the shelf, from number ``first`` on."""
    now = house.now()

    def rows(numbers: Iterable[int], unit: Any) -> list[dict[str, Any]]:
        return [
            {
                "target": "shelf", "key": f"thing/{n}", "kind": "thing", "record": f"app/reports/{n}",
                "subject": f"app/reports/{n}", "digest": f"{n:064x}", "state": "pending", "due_at": now, "now": now,
                "payload_enc": unit.seal("delivery", {"n": n, "text": "x" * 200}),
            }
            for n in numbers
        ]  # fmt: skip

    for start in range(first, first + count, CHUNK):
        numbers = range(start, min(start + CHUNK, first + count))
        house.store.write(lambda unit, numbers=numbers: unit.want(rows(numbers, unit)))


def drained(house: Engine) -> float:
    """Seconds until nothing waits at the shelf; the clock jumps over every wait."""
    started = time.perf_counter()

    async def all_of_it() -> None:
        while True:
            await delivery.deliver(house, "shelf")
            due = house.store.read(lambda unit: runs._due(house, unit, "shelf"))
            if due is None:
                return
            house.clock.at = max(house.clock.at, due)  # type: ignore[attr-defined]

    asyncio.run(all_of_it())
    return time.perf_counter() - started


def deliveries(url: str | None) -> dict[str, Any]:
    """Claimed, sent to the shelf, settled."""
    with tempfile.TemporaryDirectory(prefix="relais-bench-") as folder:
        made = house(Path(folder), url)
        want(made, 0, COUNT)
        seconds = drained(made)
        made.store.close()
    return {"count": COUNT, "seconds": seconds}


def extra_rows() -> dict[str, Any]:
    """What a thousand deliveries cost beside none, one and two times SETTLED rows that are settled."""
    costs = []
    with tempfile.TemporaryDirectory(prefix="relais-bench-") as folder:
        made = house(Path(folder))
        first = 0
        for _ in range(3):
            best = float("inf")
            for _ in range(3):
                want(made, first, 2_000)
                first += 2_000
                best = min(best, drained(made))
            costs.append(best)
            want(made, first, SETTLED)
            first += SETTLED
            made.store.write(lambda unit: unit.execute(_SETTLE, {}))
        made.store.close()
    return {"count": 2_000, "settled": SETTLED, "seconds": costs}


def outage() -> dict[str, Any]:
    """OUTAGE deliveries wait while the target is down; then it lives again."""
    with tempfile.TemporaryDirectory(prefix="relais-bench-") as folder:
        made = house(Path(folder))
        shelf: Any = made.targets["shelf"]
        want(made, 0, OUTAGE)
        shelf.faults = ["down"] * 400
        seconds = drained(made)
        requests = shelf.requests
        made.store.close()
    return {"count": OUTAGE, "seconds": seconds, "requests": requests}


def pushes() -> dict[str, Any]:
    """Records that come one by one, as a webhook brings them: eight at a time, each answered after its COMMIT."""
    with tempfile.TemporaryDirectory(prefix="relais-bench-") as folder:
        made = house(Path(folder))
        made.store.close()
        made.store = QueuedStore(f"sqlite:///{folder}/relais.db", made.store.cipher)
        numbers = iter(range(PUSHES))
        lock = threading.Lock()

        def push() -> None:
            while True:
                with lock:
                    n = next(numbers, None)
                if n is None:
                    return
                one = record(f"r-{n}", body={"_id": f"r-{n}", "text": "x" * 1_500})
                intake.take_page(made, "app", Page((one,), Cursor(str(n), "db-1")))

        started = time.perf_counter()
        threads = [threading.Thread(target=push) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - started
        made.store.close()
    return {"count": PUSHES, "seconds": seconds}


def verified() -> dict[str, Any]:
    """Reading a trail of ENTRIES entries from its first to its last."""
    with tempfile.TemporaryDirectory(prefix="relais-bench-") as folder:
        made = house(Path(folder))
        public = made.store.cipher.public_key

        def entries(numbers: range, unit: Any) -> None:
            for n in numbers:
                audit.record(unit, at=made.now(), event="attempt.ended", subject="shelf", detail={"attempt": n})

        for start in range(0, ENTRIES, CHUNK):
            numbers = range(start, min(start + CHUNK, ENTRIES))
            made.store.write(lambda unit, numbers=numbers: entries(numbers, unit))
        runs.seal(made)
        started = time.perf_counter()
        found = made.store.read(lambda unit: audit.verify(unit, None, public))
        seconds = time.perf_counter() - started
        made.store.close()
    assert found["ok"], found
    return {"count": ENTRIES, "seconds": seconds}


def measure() -> dict[str, Any]:
    bootstrap.settle_in()
    found = {"deliveries": deliveries(None), "pushes": pushes(), "extra_rows": extra_rows(), "outage": outage()}
    found["peak_mb"] = {"seconds": 0, "count": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    found["verified"] = verified()
    if url := os.environ.get("BENCH_POSTGRES"):
        found["postgres"] = deliveries(url)
    return found


def show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Delivery core, intake and audit by themselves")
    table.add_column("what")
    for name in ("count", "seconds", "per second"):
        table.add_column(name, justify="right")

    def row(name: str, one: dict[str, Any] | None) -> None:
        if one is None:
            table.add_row(name, "-", "-", "no PostgreSQL given")
            return
        table.add_row(name, f"{one['count']:,}", f"{one['seconds']:.2f}", f"{one['count'] / one['seconds']:,.0f}")

    row("deliveries claimed and settled, SQLite", found["deliveries"])
    row("deliveries claimed and settled, PostgreSQL", found.get("postgres"))
    row("records pushed one by one, each in a COMMIT", found["pushes"])
    row("drained after an outage", found["outage"])
    row("audit entries verified", found["verified"])
    extra = found["extra_rows"]
    for n, seconds in enumerate(extra["seconds"]):
        row(f"deliveries beside {n * extra['settled']:,} settled ones", {"count": extra["count"], "seconds": seconds})
    Console(width=110).print(table)


if __name__ == "__main__":
    if "--json" in sys.argv:
        print(json.dumps(measure()))
    else:
        show(measure())
