"""Two ``relais run`` and an operator on one database, and servers that take their time: nothing is on its way twice.

Slow: ``make overlap SECONDS=60 DATABASE=sqlite``.
"""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest

from tests.road.road import PYTHON, TARGETS, Road, settled
from tests.road.test_kill import Killer

pytestmark = pytest.mark.slow

#: What an operator types, and what may come of it: done (0, 3), the database was busy (5).
OPERATOR = [
    ["pause", "fhir", "--reason", "work on the server"], ["resume", "fhir"],
    ["retry", "--where", "state=deferred"], ["retry", "--where", "target=dhis2"],
    ["pause", "dhis2", "--reason", "work on the server"], ["resume", "dhis2"],
    ["retry", "--where", "target=openmrs"], ["plan"], ["status"],
]  # fmt: skip


class Worker(threading.Thread):
    """Starts one command after the other until told to stop; keeps each exit code and the last words of a failure."""

    def __init__(self, road: Road, commands: list[list[str]], stop: threading.Event) -> None:
        super().__init__()
        self.road, self.commands, self.stop = road, commands, stop
        self.codes: Counter[tuple[str, int, str]] = Counter()
        self.bad: list[str] = []

    def run(self) -> None:
        turn = 0
        while not self.stop.is_set():
            command = self.commands[turn % len(self.commands)]
            turn += 1
            done = subprocess.run(
                [PYTHON, "-m", "connector", *command, "--json"],
                env=self.road.env, capture_output=True, timeout=600, check=False,
            )  # fmt: skip
            said = json.loads((done.stdout.strip().splitlines() or [b"{}"])[-1])
            self.codes[command[0], done.returncode, str(said.get("error", ""))] += 1
            if done.returncode not in (0, 3, 4, 5):
                self.bad.append(f"{command}: {done.returncode} {done.stderr.decode()[-2000:]}")

    def has_worked(self) -> bool:
        """Some command of its own came to its end, not only ones that met the other's lock."""
        return any(error != "run.locked" for _, _, error in self.codes.copy())


def twice(flights: list[list[Any]]) -> list[str]:
    """Keys that arrived while they were still on their way."""
    by_key: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for key, arrived, answered in flights:
        by_key[key].append((arrived, answered or float("inf")))
    found = []
    for key, spans in by_key.items():
        spans.sort()
        found += [key for (_, end), (start, _) in pairwise(spans) if start < end]
    return found


def test_a_key_that_is_on_its_way_twice_is_seen() -> None:
    assert twice([["a", 1, 2], ["b", 1.5, 3], ["a", 2, 3], ["b", 3.5, 4]]) == []
    assert twice([["a", 1, 2], ["b", 1, 3], ["a", 1.9, 3]]) == ["a"]
    assert twice([["a", 1, None], ["a", 5, 6]]) == ["a"]


def test_two_runs_and_an_operator(watched: Road, seconds: int) -> None:
    killer = Killer(watched, 11)
    for server in TARGETS:
        watched.tell(server, "faults", {"delay_ms": 150, "only": "writes"})
    run, stop = ["run", "--once", "--wait", "5s"], threading.Event()
    workers = [Worker(watched, [run], stop), Worker(watched, [run], stop), Worker(watched, OPERATOR, stop)]
    for worker in workers:
        worker.start()
    started = time.monotonic()
    chance = random.Random(11)
    # On a slow machine the first run alone takes longer: then until each has had its turn, ten times as long at most.
    while (spent := time.monotonic() - started) < seconds or (
        spent < 10 * seconds and not all(worker.has_worked() for worker in workers)
    ):
        time.sleep(chance.uniform(0.5, 2))
        if spent < seconds:  # a run goes on as long as there is more to do
            killer.more_work()
    stop.set()
    for worker in workers:
        worker.join(700)
        assert not worker.is_alive() and worker.bad == []
    for server in TARGETS:
        watched.tell(server, "faults", {})
    for name in ("fhir", "dhis2"):
        watched.relais("resume", name)
    code, summary = watched.relais("run", "--once", "--wait", "10m")
    flights = [
        f for s in ("dhis2", "openmrs", "fhir", "cht") for f in watched.ask(s, "flights", of="_watch")["flights"]
    ]
    print([dict(w.codes) for w in workers], f"{len(flights)} keys sent")
    assert twice(flights) == []
    settled(watched, code, summary)
    _, verified = watched.relais("audit", "verify")
    assert verified["ok"], verified
    codes = sum((w.codes for w in workers[:2]), Counter())
    assert codes["run", 5, "run.locked"] > 0, "the two never met"
    assert all(worker.has_worked() for worker in workers), "one never worked"
    killer.engine.dispose()
