"""The contract of the store, continued: plans, and what made a figure another one."""

from __future__ import annotations

from typing import Any

from connector.model import ADDRESS
from connector.store.database import SqlStore
from tests.store.test_queries import (
    CELL,
    LATER,
    NOW,
    ODD,
    activity,
    contribution,
    counted,
    delivery,
    head,
    wanted,
)


def planned(unit: Any, key: str, plan: int) -> dict[str, Any]:
    row = delivery(unit, key)
    return {"plan": plan, "delivery": row["id"], "key": key, "generation": row["generation"], "mark": "m"}


def new(unit: Any) -> int:
    number: int = unit.new_plan(now=NOW, by=ODD, target="dhis2", period="", pack="v")
    return number


def test_a_plan_claims_just_what_it_holds_and_is_wanted_still(store: SqlStore) -> None:
    def work(unit: Any) -> int:
        unit.want([wanted(key) for key in ("a", "b", "moved", "late", "not planned")])
        number = new(unit)
        unit.keep_plan_deliveries([planned(unit, key, number) for key in ("a", "b", "moved", "late")])
        unit.keep_plan_deliveries([{**planned(unit, "a", number), "mark": "again"}])
        unit.keep_plan(number, "d", "{}")
        unit.want([wanted("moved", "d2")])
        unit.wait_until([{"id": delivery(unit, "late")["id"], "due_at": LATER}])
        return number

    number = store.write(work)
    kept = store.read(lambda unit: unit.plan(number))
    assert (kept["by"], kept["done"], kept["digest"]) == (ODD, None, "d")
    assert store.read(lambda unit: unit.plan(number + 1)) is None
    store.write(new)  # begun, not kept
    assert store.read(lambda unit: unit.newest_plan())["id"] == number
    claimed = store.read(lambda unit: unit.claim_planned(number, "dhis2", NOW, 9))
    assert [row["key"] for row in claimed] == ["a", "b"]
    assert len(store.read(lambda unit: unit.claim_planned(number, "dhis2", NOW, 1))) == 1
    assert store.read(lambda unit: unit.claim_planned(number, "fhir", NOW, 9)) == []
    page = store.read(lambda unit: unit.plan_page(number, 0, 3))
    assert [(row["key"], row["mark"], row["generation"] - row["planned"]) for row in page] == [
        ("a", "m", 0), ("b", "m", 0), ("moved", "m", 1),
    ]  # fmt: skip
    assert store.read(lambda unit: unit.plan_targets(number)) == ["dhis2"]
    assert store.read(lambda unit: unit.plan_states(number)) == {"pending": 3, "gone": 1}
    store.write(lambda unit: unit.plan_done(number, LATER))
    assert store.read(lambda unit: unit.plan(number))["done"] == LATER


def test_old_plans_and_those_never_kept_are_forgotten_part_by_part(store: SqlStore) -> None:
    def work(unit: Any) -> list[int]:
        unit.want([wanted("a"), wanted("b")])
        numbers = [new(unit) for _ in range(4)]
        for number in numbers:
            unit.keep_plan_deliveries([planned(unit, "a", number), planned(unit, "b", number)])
        for number in numbers[:3]:
            unit.keep_plan(number, f"d{number}", "{}")
        return numbers

    first, second, third, begun = store.write(work)
    assert sorted(store.read(lambda unit: unit.plans_to_forget(2))) == [first, begun]
    assert [store.write(lambda unit: unit.forget_plan(first, 1)) for _ in range(3)] == [1, 1, 0]
    assert store.read(lambda unit: unit.plan(first)) is None
    assert len(store.read(lambda unit: unit.plan_page(second, 0, 9))) == 2
    assert store.read(lambda unit: unit.plan(third))["digest"] == f"d{third}"


def test_what_is_open_is_read_page_by_page_without_blocks(store: SqlStore) -> None:
    kinds = [
        ("a", "answer", "pending"),
        ("b", "block", "pending"),
        ("c", "answer", "accepted"),
        ("d", "answer", "parked"),
    ]
    store.write(lambda unit: unit.want([wanted(k, kind=kind, state=state) for k, kind, state in kinds]))
    first = store.read(lambda unit: unit.open_page("dhis2", 0, 1))
    assert [row["key"] for row in first] == ["a"]
    assert [row["key"] for row in store.read(lambda unit: unit.open_page("dhis2", first[0]["id"], 9))] == ["d"]
    assert store.read(lambda unit: unit.accepted_count("dhis2")) == 1


def test_what_is_not_counted_yet_is_told(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        unit.move_heads([head("a"), head("b", dirty=False)])
        unit.touch([CELL])
        unit.source_state("cht")

    store.write(work)
    assert store.read(lambda unit: unit.not_yet_counted()) == {"unmapped": 1, "uncounted": 1}
    assert store.read(lambda unit: unit.touched_in("ML-1", "202608")) == 1
    assert store.read(lambda unit: unit.touched_in("ML-1", "202607")) == 0
    assert store.read(lambda unit: unit.last_read()) is None
    moved = {"cursor": "", "instance": "", "behind": 0, "received": 1, "last_record": None, "now": NOW}
    store.write(lambda unit: unit.move_cursor(source="cht", **moved))
    assert store.read(lambda unit: unit.last_read()) == NOW


def test_records_that_came_and_left_since_are_named(store: SqlStore) -> None:
    def change(key: str, was: str, now: str) -> dict[str, Any]:
        return {**CELL, "record": f"cht/reports/{key}", "was": was, "is": now, "now": NOW}

    def work(unit: Any) -> int:
        unit.move_heads([head(key) for key in "abcd"])
        unit.move_heads([head("b", "2", now=LATER)])
        unit.replace_contributions([], [contribution("a"), contribution("b"), contribution("d")])
        unit.keep_cells([counted()])
        unit.cells_change([change("a", "", "1")])
        (cell,) = unit.cells_where("indicator='G05'")
        assert unit.records_come(cell, 5) == ([], 0), "nothing of it was ever sent"
        unit.cells_accepted([{"id": cell["id"], "value": "2", "now": NOW}])
        unit.cells_change([change("b", "", "1"), change("c", "1", ""), change("a", "1", "2"), change("d", "1", "")])
        unit.cells_change([change("a", "2", "1"), change("c", "", ""), change("d", "", "3")])
        return int(cell["id"])

    id = store.write(work)
    (cell,) = store.read(lambda unit: unit.cells_where("indicator='G05'"))
    came, total = store.read(lambda unit: unit.records_come(cell, 5))
    assert ([(row["record"], bool(row["edited"])) for row in came], total) == (
        [("cht/reports/b", True), ("cht/reports/d", False)], 2,
    )  # fmt: skip
    assert store.read(lambda unit: unit.records_come(cell, 1)) == (came[:1], 2)
    assert [row["record"] for row in store.read(lambda unit: unit.records_gone(cell, 5))] == ["cht/reports/c"]
    store.write(lambda unit: unit.cells_accepted([{"id": id, "value": "3", "now": LATER}]))
    assert store.read(lambda unit: unit.records_gone(cell, 5)) == []


def test_a_cell_is_out_from_its_first_sending_until_no_change_of_it_is_open(store: SqlStore) -> None:
    here, beside = counted(), counted(categories="", combo="x")
    asked = [tuple(one[name] for name in ADDRESS) for one in (here, beside, counted(period="202601"))]

    def out() -> list[bool]:
        found = store.read(lambda unit: unit.cells_out(asked))
        assert found <= set(asked)
        return [one in found for one in asked]

    store.write(lambda unit: unit.keep_cells([here, beside]))
    assert out() == [False, False, False], "nothing was ever sent, and of the last nothing was counted"
    ids = {c["categories"]: c["id"] for c in store.read(lambda unit: unit.cells_where("indicator='G05'"))}
    sent = {"cell": ids[""], "attempt": 1, "value": "2", "now": NOW}
    store.write(lambda unit: unit.values_leave([sent]))
    assert out() == [False, True, False], "it may be there"
    store.write(lambda unit: unit.cells_accepted([{"id": ids[here["categories"]], "value": "2", "now": NOW}]))
    assert out() == [True, True, False]
    row = {"record": "cht/reports/a", "was": "1", "is": "2", "now": NOW}
    store.write(lambda unit: unit.cells_change([{**dict(zip(ADDRESS, asked[1], strict=True)), **row}]))
    for gone in ("DELETE FROM value_sent", "UPDATE cell SET accepted_at=NULL"):
        store.write(lambda unit, gone=gone: unit.connection.exec_driver_sql(gone))
    assert out() == [False, True, False], "a change of it waits to be accepted"


def test_two_databases_are_compared_by_their_cells_and_the_states_of_their_records(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        unit.move_heads([head("a"), head("b", form=ODD), head("c", form=ODD, state="mapped")])
        unit.keep_cells([counted(), counted(period="202607"), counted(categories="", combo="x")])

    store.write(work)
    assert sorted(store.read(lambda unit: unit.cell_groups())) == [("G05", "202607"), ("G05", "202608")]
    assert {c["categories"] for c in store.read(lambda unit: unit.cells_of("G05", "202608"))} == {
        CELL["categories"],
        "",
    }
    assert store.read(lambda unit: unit.cells_of("G05", "202601")) == []
    assert store.read(lambda unit: unit.form_states()) == {
        ("cht", "visit"): {"received": 1}, ("cht", ODD): {"received": 1, "mapped": 1},
    }  # fmt: skip


def test_history_is_marked_page_by_page_and_its_cells_are_touched(store: SqlStore) -> None:
    def work(unit: Any) -> list[Any]:
        unit.move_heads([head(key, dirty=False) for key in "abcd"] + [head("gone", dirty=False, deleted=True)])
        unit.keep_activities([activity("a"), activity("b"), activity("c", kind=ODD), activity("d", date="2026-09-01")])
        unit.keep_activities([activity("gone")])
        unit.keep_cells([counted(), counted(period="202607")])
        both = ["visit", ODD]
        day = activity("a")["date"]
        first = unit.activities_of_day(both, day, "", 2)
        rest = unit.activities_of_day(both, day, first[-1], 2)
        unit.dirty_records([*first, *rest])
        unit.touch_cells("G05", ["202608", "202609"])
        return [first, rest, unit.activities_of_day(["visit"], day, first[-1], 2)]

    assert store.write(work) == [["cht/reports/a", "cht/reports/b"], ["cht/reports/c"], []]
    assert [row["key"] for row in store.read(lambda unit: unit.dirty_heads(0, 9))] == ["a", "b", "c"]
    assert store.read(lambda unit: unit.count_activities(["visit", ODD], "2026-08-01", "2026-08-31")) == 3
    assert store.read(lambda unit: unit.last_day_between("2026-08-01", "2026-08-31")) == activity("a")["date"]
    assert store.read(lambda unit: unit.last_day_between("2026-01-01", "2026-01-31")) is None
    assert store.read(lambda unit: unit.count_cells("G05", ["202607", "202608", "202609"])) == 2
    assert store.read(lambda unit: unit.touched_groups()) == [("G05", "202608")]
    assert [row["period"] for row in store.read(lambda unit: unit.recount(9))] == ["202608"]
    assert store.read(lambda unit: unit.recount(9, ["G05"], [("G05", "202608")])) == [], "it waits"
    assert len(store.read(lambda unit: unit.recount(9, ["G05"], [("G05", "202607"), ("X", "202608")]))) == 1


def test_what_counts_nowhere_for_an_indicator_is_found_by_kind_place_and_day(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        unit.keep_activities(
            [activity("in"), activity("out"), activity("also", org_unit=ODD), activity("kind", kind="x")]
        )
        unit.keep_activities([activity("day", date="2026-09-01"), activity("place", org_unit="ML-9")])
        unit.replace_contributions([], [contribution("in", categories=""), contribution("out", part="den")])

    store.write(work)
    days = ("2026-08-01", "2026-08-31")
    found = store.read(lambda unit: unit.left_out(CELL, ["visit", "y"], ["ML-1", ODD], days, 9))
    assert [row["record"] for row in found] == ["cht/reports/also", "cht/reports/out"]
    assert len(store.read(lambda unit: unit.left_out(CELL, ["visit"], ["ML-1", ODD], days, 1))) == 1


def test_the_quarantine_of_a_source_or_a_reason_is_chosen(store: SqlStore) -> None:
    one = {
        "source": "cht", "stream": "reports", "key": "a", "revision": "1", "form": "visit", "code": ODD, "path": "date",
        "file": "f", "line": 3, "detail": "", "who": "chw_data", "version": "v", "now": NOW,
    }  # fmt: skip
    store.write(lambda unit: unit.quarantine([one, {**one, "key": "b", "code": "x"}, {**one, "source": "odk"}]))
    for where, keys in (
        ({"code": ODD}, ["a", "a"]),
        ({"source": "cht"}, ["a", "b"]),
        ({"source": "odk", "code": "x"}, []),
    ):
        found = store.read(lambda unit, w=where: unit.quarantine_after(w, 0, 9))
        assert sorted(row["key"] for row in found) == keys
        assert store.read(lambda unit, w=where: unit.count_quarantine(w)) == len(keys)
        if found:
            rest = store.read(lambda unit, w=where, a=found[0]["id"]: unit.quarantine_after(w, a, 9))
            assert rest == found[1:]
