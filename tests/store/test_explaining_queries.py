"""The named queries behind the explanation of a figure and behind history in steps, on both databases."""

from __future__ import annotations

from typing import Any

from connector.engine import audit
from connector.store.database import SqlStore
from tests.store.test_queries import BEFORE, BLOCK, CELL, LATER, NOW, activity, contribution, counted


def test_entries_of_a_moment_and_stretches_of_the_chain_are_found(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        for at, event in (
            (BEFORE, "attempt.begun"),
            (NOW, "attempt.begun"),
            (NOW, "page.received"),
            (NOW, "attempt.ended"),
        ):
            audit.record(unit, at=at, event=event, subject="dhis2", detail={})

    store.write(work)
    found = store.read(lambda unit: unit.audit_at([NOW, LATER]))
    assert [row["event"] for row in found] == ["attempt.begun", "attempt.ended"], "of attempts and approvals alone"
    assert store.read(lambda unit: unit.audit_chain(1, 9)) == [], "nothing is sealed yet"
    assert store.read(lambda unit: unit.head_from(1)) is None
    store.write(lambda unit: audit.seal(unit, LATER, lambda head: b"signed"))
    chain = store.read(lambda unit: unit.audit_chain(2, 3))
    assert [(row["sequence"], row["event"]) for row in chain] == [(2, "attempt.begun"), (3, "page.received")]
    head = store.read(lambda unit: unit.head_from(2))
    assert (head["sequence"], store.read(lambda unit: unit.head_from(5))) == (4, None), (
        "the head speaks of all before it"
    )


def test_what_left_in_an_attempt_is_known_by_block(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        unit.keep_cells([counted(), counted("5", categories="age=m12_59;sex=f", combo="other")])
        ids = sorted(cell["id"] for cell in unit.cells(BLOCK))
        unit.values_leave([{"cell": ids[0], "attempt": 3, "value": "3", "now": NOW}])
        unit.values_leave([{"cell": ids[1], "attempt": 4, "value": "5", "now": NOW}])

    store.write(work)
    first = min(cell["id"] for cell in store.read(lambda unit: unit.cells(BLOCK)))
    left = store.read(lambda unit: unit.values_of_attempt(3, [BLOCK[0], "another"], BLOCK[1], BLOCK[2]))
    assert [(row["cell"], row["value"]) for row in left] == [(first, "3")]
    assert store.read(lambda unit: unit.values_of_attempt(3, [BLOCK[0]], "ML-2", BLOCK[2])) == []


def test_workers_of_a_cell_stand_by_what_their_records_add(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        unit.keep_activities([activity("1"), activity("2"), activity("3", worker="asc-002")])
        unit.replace_contributions(
            [], [contribution("1"), contribution("2", date="2026-08-12"), contribution("3", amount="7")]
        )

    store.write(work)
    found = store.read(lambda unit: unit.workers_of_cell(CELL, 10))
    assert [(r["worker"], r["records"], int(r["amount"]), r["last"]) for r in found] == [
        ("asc-002", 1, 7, "2026-08-10"), ("asc-001", 2, 2, "2026-08-12"),
    ]  # fmt: skip
    assert len(store.read(lambda unit: unit.workers_of_cell(CELL, 1))) == 1


def test_facts_are_found_by_how_they_begin_and_forgotten(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        for key, value in (("history/1", "a"), ("history/2", "b"), ("other", "c")):
            unit.keep_fact(key, value)

    store.write(work)
    assert store.read(lambda unit: unit.facts_like("history/")) == {"history/1": "a", "history/2": "b"}
    store.write(lambda unit: unit.drop_fact("history/1"))
    assert store.read(lambda unit: unit.facts_like("history/")) == {"history/2": "b"}
