"""Several writers on one database: of those who want the same thing exactly one gets it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connector.engine import audit
from connector.errors import StoreError
from connector.store.database import SqlStore
from tests.store.conftest import KINDS, Open, rows
from tests.store.databases import ROOT
from tests.store.test_queries import wanted
from tests.store.worker import LATER, NOW, claim_all

PATIENT = 30.0  #: seconds a writer waits for another: here everybody gets a turn


@pytest.fixture(params=list(KINDS))
def stores(request: pytest.FixtureRequest, opened: Open) -> list[SqlStore]:
    """Two stores as two processes would have them."""
    return [opened(request.param, busy_seconds=PATIENT) for _ in range(2)]


def at_once(stores: Sequence[SqlStore], work: Callable[[SqlStore, int], Any], count: int = 4) -> list[Any]:
    """``work`` in several threads of each store, all let go at the same instant."""
    gate = threading.Barrier(count * len(stores))

    def one(number: int) -> Any:
        gate.wait()
        return work(stores[number % len(stores)], number)

    with ThreadPoolExecutor(gate.parties) as pool:
        return list(pool.map(one, range(gate.parties)))


def test_a_lane_is_given_to_one(stores: list[SqlStore]) -> None:
    for n in range(5):
        won = at_once(stores, lambda s, i, n=n: s.write(lambda u: u.take_lane(f"l{n}", f"h{i}", NOW, LATER)))
        (held,) = rows(stores[0], "SELECT holder, fence FROM lane WHERE name=:n", n=f"l{n}")
        assert [i for i, yes in enumerate(won) if yes] == [int(held["holder"][1:])] and held["fence"] == 1


def test_a_lane_that_ran_out_is_given_to_one(stores: list[SqlStore]) -> None:
    late = "2026-10-06T09:00:00.000001Z"
    for n in range(5):
        stores[0].write(lambda u, n=n: u.take_lane(f"l{n}", "killed", NOW, LATER))
        won = at_once(stores, lambda s, i, n=n: s.write(lambda u: u.take_lane(f"l{n}", f"h{i}", late, f"{late}Z")))
        assert won.count(True) == 1


def test_a_fire_is_given_to_one(stores: list[SqlStore]) -> None:
    for n in range(5):
        won = at_once(stores, lambda s, i, n=n: s.write(lambda u: u.fire("pull/cht", f"due {n}", NOW)))
        assert won.count(True) == 1


def test_a_delivery_is_leased_by_one(stores: list[SqlStore]) -> None:
    stores[0].write(lambda u: u.want([wanted(f"k{n}") for n in range(300)]))
    mine = at_once(stores, lambda s, i: claim_all(s, f"h{i}"))
    leased = Counter(id for ids in mine for id in ids)
    assert len(leased) == 300 and set(leased.values()) == {1}
    held = rows(stores[0], "SELECT id, lease_by, unsure FROM delivery")
    assert {r["id"]: r["lease_by"] for r in held} == {id: f"h{i}" for i, ids in enumerate(mine) for id in ids}
    assert not any(r["unsure"] for r in held)


def test_a_delivery_is_leased_by_one_process(url: str, opened: Open) -> None:
    store = opened()
    store.write(lambda u: u.want([wanted(f"k{n}") for n in range(600)]))
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.store.worker", url, f"h{n}"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for n in range(3)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    mine = [worker.communicate(timeout=120)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    leased = Counter(id for ids in mine for id in ids)
    assert len(leased) == 600 and set(leased.values()) == {1}
    assert sum(1 for ids in mine if ids) > 1, "one process had it all to itself: nothing was tried"


def test_what_one_wants_while_another_settles_is_not_lost(stores: list[SqlStore]) -> None:
    """Read the generation, then settle by it: nobody may want something newer in between."""
    stores[0].write(lambda u: u.want([wanted("k")]))
    (row,) = stores[0].write(lambda u: u.claim("dhis2", NOW, 1))

    def work(store: SqlStore, number: int) -> None:
        for n in range(15):
            if number % 2:
                store.write(lambda u, n=n: u.want([wanted("k", f"d{number}.{n}")]))
            else:
                store.write(settle)

    def settle(unit: Any) -> None:
        live = unit.generations([row["id"]])[row["id"]]["generation"]
        unit.settle_accepted([{"id": row["id"], "generation": live, "digest": str(live), "no": False, "now": NOW,
                               "remote": "{}", "by": "we"}])  # fmt: skip
        now = unit.delivery("dhis2", "k")
        assert now["accepted_generation"] == now["generation"] == live, "an answer that settled nothing"

    at_once(stores, work, count=2)


def test_a_data_key_is_made_once(opened: Open) -> None:
    stores = [opened(kind, PATIENT) for kind in KINDS]
    blobs = at_once(stores, lambda s, i: s.write(lambda u: u.seal("body", i)))
    assert [stores[n % 2].read(lambda u, b=b: u.open("body", b)) for n, b in enumerate(blobs, 1)] == list(range(8))
    assert len(rows(stores[0], "SELECT id FROM data_key WHERE id LIKE 'body/%'")) == 1


def test_the_audit_is_sealed_by_several_and_stays_one_chain(stores: list[SqlStore]) -> None:
    """And whoever reads it meanwhile sees one moment of it: no false alarm."""
    key = Ed25519PrivateKey.generate()

    def work(store: SqlStore, number: int) -> list[str]:
        found = []
        for _ in range(8):
            store.write(lambda u: audit.record(u, at=NOW, event="e", subject=str(number)))
            store.write(lambda u: audit.seal(u, NOW, key.sign, limit=3))
            found.append(store.read(lambda u: audit.verify(u, None, key.public_key()))["reason"])
        return found

    assert {reason for found in at_once(stores, work, count=2) for reason in found} == {""}
    found = stores[0].read(lambda u: audit.verify(u, None, key.public_key()))
    assert (found["ok"], found["entries"]) == (True, 32)
    sealed = rows(stores[0], "SELECT sequence FROM audit WHERE sequence IS NOT NULL ORDER BY sequence")
    assert [r["sequence"] for r in sealed] == list(range(1, len(sealed) + 1))


def test_a_reader_sees_one_moment_and_writes_nothing(opened: Open) -> None:
    store, other = opened(), opened()
    store.write(lambda u: u.keep_fact("x", "1"))

    def look(unit: Any) -> tuple[Any, Any]:
        before = unit.fact("x")
        other.write(lambda u: u.keep_fact("x", "2"))
        return before, unit.fact("x")

    assert store.read(look) == ("1", "1")
    assert store.read(lambda u: u.fact("x")) == "2"
    with pytest.raises(StoreError):
        store.read(lambda u: u.keep_fact("x", "3"))
    assert store.read(lambda u: u.fact("x")) == "2"
