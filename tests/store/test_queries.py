"""The contract of the store: every named query gives the same on SQLite and PostgreSQL, inline and queued."""

from __future__ import annotations

import inspect
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from connector.store.choosing import ChoosingQueries
from connector.store.counting import CountingQueries
from connector.store.database import SqlStore
from connector.store.deriving import DerivingQueries
from connector.store.intake import CHUNK, IntakeQueries
from connector.store.keeping import KeepingQueries
from connector.store.ledger import LedgerQueries
from connector.store.persons import PersonQueries
from connector.store.planning import PlanQueries
from connector.store.tokens import TokenQueries
from connector.store.trail import TrailQueries
from tests.store.conftest import rows

NOW, LATER = "2026-10-06T08:00:00.000000Z", "2026-10-06T09:00:00.000000Z"
BEFORE, LONG_AGO = "2026-10-06T07:00:00.000000Z", "2026-01-01T00:00:00.000000Z"
#: What people and servers write: quotes, percent, colons, accents, an emoji, letters of other scripts.
ODD = 'l\'été 100% "a" :name %(x)s {y} \\ é 🙂 ߒߞߏ ; -- /*'

AREAS = (
    IntakeQueries, CountingQueries, DerivingQueries, LedgerQueries, TrailQueries, ChoosingQueries, KeepingQueries,
    TokenQueries, PlanQueries, PersonQueries,
)  # fmt: skip


def test_every_named_query_is_asked_here() -> None:
    asked = "".join(file.read_text(encoding="utf-8") for file in sorted(Path(__file__).parent.glob("test_*queries.py")))
    for area in AREAS:
        for name, _ in inspect.getmembers(area, inspect.isfunction):
            assert name.startswith("_") or re.search(rf"unit\.{name}\(", asked), f"{area.__name__}.{name}"


# ---------------------------------------------------------------- makers of rows


def body(key: str, revision: str = "1", **more: Any) -> dict[str, Any]:
    return {
        "source": "cht", "stream": "reports", "key": key, "revision": revision, "form": "visit", "deleted": False,
        "body_enc": b"\x00\xff sealed", "unreadable": None, "changed_at": BEFORE, "now": NOW, **more,
    }  # fmt: skip


def head(key: str, revision: str = "1", **more: Any) -> dict[str, Any]:
    return {
        "record": f"cht/reports/{key}", "source": "cht", "stream": "reports", "key": key, "revision": revision,
        "form": "visit", "deleted": False, "dirty": True, "state": "received", "now": NOW, **more,
    }  # fmt: skip


def activity(key: str, **more: Any) -> dict[str, Any]:
    return {
        "record": f"cht/reports/{key}", "revision": "1", "kind": "visit", "form": "visit", "mapping": "visit",
        "version": "v1", "date": "2026-08-10", "place": "site-1", "worker": "asc-001", "subject": "anna",
        "org_unit": "ML-1", "activity_enc": b"\x01", "now": NOW, **more,
    }  # fmt: skip


def contribution(key: str, amount: str = "1", **more: Any) -> dict[str, Any]:
    return {
        "record": f"cht/reports/{key}", **CELL, "amount": amount, "distinct_key": "", "date": "2026-08-10",
        "moment": "", "at_least": 1,
        "version": "v1", **more,
    }  # fmt: skip


CELL = {"indicator": "G05", "part": "num", "org_unit": "ML-1", "period": "202608", "categories": "age=m2_11;sex=f"}
BLOCK = ("mh_monthly", "ML-1", "202608")


def counted(value: str | None = "3", **more: Any) -> dict[str, Any]:
    return {
        **CELL, "data_set": BLOCK[0], "data_element": "MH_G05", "combo": "m2_11, f", "value": value, "records": 2,
        "state": "wanted", "now": NOW, **more,
    }  # fmt: skip


def wanted(key: str, digest: str = "d1", **more: Any) -> dict[str, Any]:
    return {
        "target": "dhis2", "key": key, "kind": "block", "digest": digest, "state": "pending", "due_at": NOW, "now": NOW,
        **more,
    }  # fmt: skip


def delivery(unit: Any, key: str, target: str = "dhis2") -> dict[str, Any]:
    found: dict[str, Any] | None = unit.delivery(target, key)
    assert found is not None, key
    return found


def leased(unit: Any, by: str = "we", until: str = LATER, target: str = "dhis2") -> list[dict[str, Any]]:
    """Claim and lease everything due."""
    found: list[dict[str, Any]] = unit.claim(target, NOW, 100)
    unit.lease([{"id": r["id"], "until": until, "by": by, "now": NOW} for r in found])
    return found


# ---------------------------------------------------------------- intake


def test_a_source_keeps_its_cursor_and_counts_what_came(store: SqlStore) -> None:
    fresh = store.write(lambda unit: unit.source_state("cht"))
    assert (fresh["cursor"], fresh["received"], fresh["failures"], fresh["behind"]) == ("", 0, 0, None)
    for last in ("r1", None):
        store.write(
            lambda unit, last=last: unit.move_cursor(
                source="cht", cursor=ODD, instance="i", behind=7, received=5, now=NOW, last_record=last
            )
        )
    kept = store.write(lambda unit: unit.source_state("cht"))
    assert (kept["cursor"], kept["received"], kept["behind"], kept["last_record"]) == (ODD, 10, 7, "r1")
    for _ in range(2):
        store.write(
            lambda unit: unit.source_failed(source="odk", reason="source.unavailable", who="nobody", due_at=NOW)
        )
    failed = store.read(lambda unit: unit.row_of_source("odk"))
    assert (failed["failures"], failed["reason"], failed["due_at"]) == (2, "source.unavailable", NOW)
    assert store.read(lambda unit: unit.row_of_source("nobody")) == {}


def test_a_body_is_kept_once_and_a_head_moves(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        unit.keep_bodies([body("a"), body("b", unreadable=ODD, body_enc=None)])
        unit.keep_bodies([body("a", form="another"), body("a", "2", deleted=True)])
        unit.move_heads([head("a"), head("b", form=None)])
        unit.move_heads([head("a", "2", form=None, deleted=True, now=LATER)])

    store.write(work)
    found = store.read(lambda unit: unit.heads(["cht/reports/a", "cht/reports/b", "cht/reports/c"]))
    assert {k: (v["revision"], bool(v["deleted"]), v["state"]) for k, v in found.items()} == {
        "cht/reports/a": ("2", True, "received"), "cht/reports/b": ("1", False, "received"),
    }  # fmt: skip
    for key, revision, known in (("a", "1", True), ("a", "2", True), ("b", "2", False), ("A", "1", False)):
        assert store.read(lambda unit, k=key, r=revision: unit.body_known("cht", "reports", k, r)) is known
    aged = store.read(lambda unit: unit.head_and_age("cht/reports/a"))
    assert aged is not None and (aged["revision"], bool(aged["deleted"]), aged["changed_at"]) == ("2", True, BEFORE)
    assert store.read(lambda unit: unit.head_and_age("cht/reports/c")) is None
    a = store.read(lambda unit: unit.head("cht/reports/a"))
    assert a is not None
    assert (a["moves"], a["form"], a["first_received"], a["received_at"]) == (2, "visit", NOW, LATER)
    assert store.read(lambda unit: unit.head("cht/reports/c")) is None
    revisions = store.read(lambda unit: unit.revisions("cht", "reports", "a"))
    assert sorted((r["revision"], bool(r["deleted"])) for r in revisions) == [("1", False), ("2", True)]
    assert store.read(lambda unit: unit.find_records("cht", "b")) == ["cht/reports/b"]
    assert rows(store, "SELECT form, body_enc FROM body WHERE key='a' AND revision='1'") == [
        {"form": "visit", "body_enc": b"\x00\xff sealed"}
    ]


def test_dirty_heads_come_in_order_a_page_at_a_time_and_by_form(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        unit.keep_bodies([body(f"k{n}") for n in range(5)])
        unit.move_heads([head(f"k{n}", form=ODD if n % 2 else "visit") for n in range(5)])
        unit.clean_heads([{"record": "cht/reports/k0", "revision": "1", "state": "mapped"},
                          {"record": "cht/reports/k1", "revision": "old", "state": "mapped"}])  # fmt: skip

    store.write(work)
    first = store.read(lambda unit: unit.dirty_heads(0, 2))
    assert [r["key"] for r in first] == ["k1", "k2"] and first[0]["body_enc"] == b"\x00\xff sealed"
    rest = store.read(lambda unit: unit.dirty_heads(first[-1]["id"], 10))
    assert [r["key"] for r in rest] == ["k3", "k4"]
    assert [r["key"] for r in store.read(lambda unit: unit.dirty_heads(0, 10, [ODD, "none"]))] == ["k1", "k3"]
    assert store.read(lambda unit: unit.dirty_heads(0, 10, [])) == []


def test_records_with_a_flag_are_counted_and_listed_newest_first(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        unit.move_heads([head(k) for k in "abc"] + [head("d", source="odk")])
        flags = {"a": '[["fact.failed","n"]]', "b": None, "c": '[["code.unknown","sex"]]'}
        unit.clean_heads(
            [{"record": f"cht/reports/{k}", "revision": "1", "state": "mapped", "flags": f} for k, f in flags.items()]
        )

    def keys(*asked: Any) -> list[str]:
        return [r["key"] for r in store.read(lambda unit: unit.list_flagged(*asked))]

    assert store.read(lambda unit: unit.flagged()) == 0
    store.write(work)
    assert store.read(lambda unit: unit.flagged()) == 2
    assert (keys({}, 10), keys({}, 1), keys({"source": "odk"}, 10)) == (["c", "a"], ["c"], [])
    assert (keys({}, 10, "code.unknown"), keys({}, 10, "sex")) == (["c"], [])


def test_records_are_marked_by_form_by_name_and_by_subject(store: SqlStore) -> None:
    def work(unit: Any) -> list[int]:
        unit.move_heads([head(k, dirty=False) for k in "abc"] + [head("d", dirty=False, deleted=True)])
        unit.keep_activities([activity("a"), activity("b", subject=ODD), activity("d", subject=ODD)])
        counts = [unit.dirty_by_subject([ODD, "nobody"]), unit.dirty_by_subject([])]
        counts.append(len(unit.dirty_heads(0, 10)))
        counts.append(unit.dirty_records(["cht/reports/c", "cht/reports/none"]))
        return [*counts, unit.dirty_forms([("cht", "visit"), ("odk", "visit")])]

    assert store.write(work) == [1, 0, 1, 1, 3]


def test_activities_and_entities_are_replaced_found_and_dropped(store: SqlStore) -> None:
    entity = {"source": "cht", "kind": "person", "key": ODD, "record": "cht/c/anna", "revision": "1",
              "entity_enc": b"\x00", "digest": "x", "now": NOW}  # fmt: skip

    def work(unit: Any) -> None:
        unit.keep_activities([activity("a"), activity("b")])
        unit.keep_activities([activity("a", worker=None, place=None, org_unit=None, subject=None, date="2026-09-01")])
        unit.drop_activities(["cht/reports/b"])
        unit.keep_entities([entity, {**entity, "key": "gone", "record": "cht/c/gone"}])
        unit.keep_entities([{**entity, "revision": "2", "digest": "y"}])
        unit.drop_entity("cht/c/gone")

    store.write(work)
    found = store.read(lambda unit: unit.activities(["cht/reports/a", "cht/reports/b"]))
    assert {k: (v["date"], v["worker"], v["activity_enc"]) for k, v in found.items()} == {
        "cht/reports/a": ("2026-09-01", None, b"\x01")
    }
    assert list(store.read(lambda unit: unit.entities("person", "cht", [ODD, "gone"]))) == [ODD]
    assert store.read(lambda unit: unit.entities("place", "cht", [ODD])) == {}
    (one,) = store.read(lambda unit: unit.entities_of_records(["cht/c/anna", "cht/c/gone"]))
    assert (one["key"], one["revision"], one["digest"]) == (ODD, "2", "y")
    assert store.read(lambda unit: unit.reported("worker", "asc-001", "2026-09-01", "2026-09-30")) is False
    store.write(lambda unit: unit.keep_activities([activity("w")]))
    assert store.read(lambda unit: unit.reported("worker", "asc-001", "2026-08-10", "2026-08-31")) is True
    assert store.read(lambda unit: unit.reported("place", "site-1", "2026-08-11", "2026-08-31")) is False


def test_quarantine_holds_the_last_reason_of_a_record(store: SqlStore) -> None:
    one = {"source": "cht", "stream": "reports", "key": "a", "revision": "1", "form": "visit", "code": "date.missing",
           "path": "fields.visit_date", "file": "visit.yaml", "line": 12, "detail": ODD, "who": "mapping",
           "version": "", "now": NOW}  # fmt: skip

    def work(unit: Any) -> None:
        unit.quarantine([one, {**one, "key": "b", "line": None}, {**one, "key": "c", "source": "odk"}])
        unit.quarantine([{**one, "revision": "2", "code": "place.unknown"}])
        unit.leave_quarantine([{"source": "cht", "stream": "reports", "key": "b"}])

    store.write(work)
    assert store.read(lambda unit: unit.quarantined()) == 2
    assert store.read(lambda unit: unit.quarantined_by_source()) == {"cht": 1, "odk": 1}
    assert store.read(lambda unit: unit.quarantined_by_code()) == {"place.unknown": 1, "date.missing": 1}
    held = store.read(lambda unit: unit.quarantine_of("cht", "reports", "a"))
    assert held is not None and (held["revision"], held["line"], held["detail"]) == ("2", 12, ODD)
    assert store.read(lambda unit: unit.quarantine_of("cht", "reports", "b")) is None
    listed = store.read(lambda unit: unit.list_quarantine({}, 10))
    assert [r["key"] for r in listed] == ["c", "a"]
    assert [
        r["key"] for r in store.read(lambda unit: unit.list_quarantine({"source": "cht"}, 10, listed[0]["id"]))
    ] == ["a"]
    assert store.read(lambda unit: unit.quarantine_records([held["id"]])) == ["cht/reports/a"]
    assert len(store.read(lambda unit: unit.quarantine_records(None))) == 2


# ---------------------------------------------------------------- lists as one parameter


@pytest.mark.parametrize("count", [0, 1, CHUNK, CHUNK + 1])
def test_a_list_of_any_length_is_one_parameter(store: SqlStore, count: int) -> None:
    store.write(lambda unit: unit.move_heads([head(f"{ODD}{n}") for n in range(count)]))
    found = store.read(lambda unit: unit.heads([*(f"cht/reports/{ODD}{n}" for n in range(count)), "not/there"]))
    assert len(found) == count
    store.write(lambda unit: unit.want([wanted(f"k{n}", record=ODD) for n in range(count)]))
    ids = [row["id"] for row in rows(store, "SELECT id FROM delivery WHERE target='dhis2'")]
    assert store.read(lambda unit: unit.generations([*ids, 10**12])).keys() == set(ids)


def test_a_list_is_taken_literally(store: SqlStore) -> None:
    keys = ["a", "A", "", " a", "a%", "_", "null", "1", "é", "é"]
    store.write(lambda unit: unit.move_heads([head(k) for k in keys]))
    for key in keys:
        assert list(store.read(lambda unit, key=key: unit.heads([f"cht/reports/{key}"]))) == [f"cht/reports/{key}"]


# ---------------------------------------------------------------- counting


def test_amounts_are_added_up_exactly(store: SqlStore) -> None:
    """0.1 + 0.2 is 0.30000000000000004 in binary floats, and 1000 times 0.1 is not 100."""
    amounts = {"0.1": 1001, "0.2": 1, "0.0001": 1, "99999999999.9999": 2, "-12.5": 1, "1E+3": 1}
    numbered = [(a, n) for a, times in amounts.items() for n in range(times)]

    def work(unit: Any) -> None:
        unit.keep_activities([activity("0.2/0")])
        unit.replace_contributions([], [contribution(f"{a}/{n}", a) for a, n in numbered])
        unit.touch([CELL])

    store.write(work)
    total = sum((Decimal(a) for a, _ in numbered), Decimal(0))
    assert total == Decimal("200000001087.7999")
    (found,) = store.write(lambda unit: unit.recount(10))
    assert (found["total"], found["records"]) == (total, len(numbered))
    led = store.read(lambda unit: unit.sums(CELL))
    assert {r["place"]: (r["records"], r["total"]) for r in led} == {
        "site-1": (1, Decimal("0.2")), None: (len(numbered) - 1, total - Decimal("0.2")),
    }  # fmt: skip
    shown = store.read(lambda unit: unit.contributors(CELL, "", 2000))
    assert sum(r["amount"] for r in shown) == total
    kept = store.read(lambda unit: unit.contributions([f"cht/reports/{a}/0" for a in amounts]))
    assert {r["amount"] for r in kept} == {Decimal(a) for a in amounts}


def test_more_digits_than_four_are_rounded_the_same_everywhere(store: SqlStore) -> None:
    amounts = {
        "0.00005": "0.0001",
        "0.00004999": "0",
        "-0.00005": "-0.0001",
        "2.00015": "2.0002",
        "1.23456789": "1.2346",
    }
    store.write(lambda unit: unit.replace_contributions([], [contribution(a, a) for a in amounts]))
    for given, kept in amounts.items():
        (found,) = store.read(lambda unit, given=given: unit.contributions([f"cht/reports/{given}"]))
        assert found["amount"] == Decimal(kept), given


def test_a_recount_counts_records_sums_and_who_is_counted_once(store: SqlStore) -> None:
    other = {**CELL, "period": "202607"}

    def work(unit: Any) -> None:
        unit.replace_contributions([], [
            contribution("a", distinct_key="anna"), contribution("b", "2.5", distinct_key="anna"),
            contribution("c", distinct_key="modibo"), contribution("d"), contribution("e", **{"period": "202609"}),
        ])  # fmt: skip
        unit.touch([CELL, other])
        unit.touch([CELL])

    store.write(work)
    counted_again = {r["period"]: r for r in store.write(lambda unit: unit.recount(10))}
    assert {p: (r["records"], r["total"], r["different"]) for p, r in counted_again.items()} == {
        "202608": (4, Decimal("5.5"), 2), "202607": (0, Decimal(0), 0),
    }  # fmt: skip
    assert [r["period"] for r in store.write(lambda unit: unit.recount(1))] == ["202607"]
    store.write(lambda unit: unit.untouch([other]))
    assert [r["period"] for r in store.write(lambda unit: unit.recount(10))] == ["202608"]
    store.write(lambda unit: unit.replace_contributions(["cht/reports/a", "cht/reports/b"], [contribution("a", "7")]))
    (again,) = store.write(lambda unit: unit.recount(10))
    assert (again["records"], again["total"], again["different"]) == (3, Decimal(9), 1)
    page = store.read(lambda unit: unit.contributors(CELL, "cht/reports/a", 1))
    assert [r["record"] for r in page] == ["cht/reports/c"]


def test_a_recount_of_keys_looks_at_all_categories_together(store: SqlStore) -> None:
    """Each key stands where its first record stands, if it has enough; the first or the latest record counts alone."""
    there, elsewhere = CELL["categories"], "A1=other"

    def told(key: str, moment: str, amount: str, categories: str, **more: Any) -> dict[str, Any]:
        row = contribution(f"{key}-{moment}", amount, distinct_key=key, moment=moment, **more)
        return {**row, "categories": categories}

    rows = [
        told("anna", "2", "5", there), told("anna", "1", "3", elsewhere), told("modibo", "1", "7", there),
        told("awa", "1", "1", there, at_least=2), told("awa", "3", "2", elsewhere, at_least=2),
        told("sira", "1", "4", there, at_least=2),
    ]  # fmt: skip
    store.write(lambda unit: unit.replace_contributions([], rows))
    store.write(lambda unit: unit.touch([CELL, {**CELL, "categories": elsewhere}]))
    found = {r["categories"]: r for r in store.write(lambda unit: unit.recount(10, [CELL["indicator"]]))}
    assert (found[there]["keys"], found[elsewhere]["keys"]) == (2, 1), "Modibo and Awa; Anna; Sira once only"
    assert (found[there]["first"], found[elsewhere]["first"]) == (Decimal(12), Decimal(3))
    assert (found[there]["latest"], found[elsewhere]["latest"]) == (Decimal(16), Decimal(2))
    plain = {r["categories"]: r for r in store.write(lambda unit: unit.recount(10))}
    assert plain[there]["keys"] == plain[there]["first"] == 0, "nobody asked"


def test_a_cell_goes_its_way(store: SqlStore) -> None:
    store.write(lambda unit: unit.keep_cells([counted(), counted("5", categories="", combo="default")]))
    store.write(lambda unit: unit.keep_cells([counted("4", records=9, now=LATER)]))
    first, second = store.read(lambda unit: unit.cells(BLOCK))
    assert (first["combo"], second["combo"]) == ("default", "m2_11, f")
    assert (second["value"], second["records"], second["updated"], second["accepted"]) == ("4", 9, LATER, None)
    id = second["id"]
    assert store.read(lambda unit: unit.cell_by_id(id)) == second
    assert store.read(lambda unit: unit.cell_by_id(10**12)) is None
    assert store.read(lambda unit: unit.cell_at("MH_G05", "ML-1", "202608", "m2_11, f")) == second
    assert store.read(lambda unit: unit.cell_at("MH_G05", "ML-1", "202608", "M2_11, F")) is None
    assert store.read(lambda unit: unit.cell_of(CELL)) == second
    assert store.read(lambda unit: unit.cell_of({**CELL, "part": "den"})) is None
    assert [c["id"] for c in store.read(lambda unit: unit.cells_where("data_set=:d AND value='4'", d=BLOCK[0]))] == [id]
    assert store.read(lambda unit: unit.cell_blocks(None)) == [BLOCK]
    assert store.read(lambda unit: unit.cell_blocks("202608")) == [BLOCK]
    assert store.read(lambda unit: unit.cell_blocks("202609")) == []

    refused = [{"id": id, "state": "rejected", "reason": "r", "there": None}]
    emptied = text("UPDATE cell SET value=:v WHERE id=:i")
    for value, block, wanted_state in (
        (None, (*BLOCK[:2], "202609"), "rejected"),
        (None, BLOCK, "wanted"),
        ("4", BLOCK, "rejected"),
    ):
        store.write(lambda unit, v=value: unit.connection.execute(emptied, {"v": v, "i": id}))
        store.write(lambda unit: unit.cells_state(refused))
        store.write(lambda unit, b=block: unit.cells_forgiven(b))
        one = store.read(lambda unit: unit.cell_by_id(id))
        assert one is not None and (one["state"], one["reason"] is None) == (wanted_state, wanted_state == "wanted")

    store.write(lambda unit: unit.cells_state([{"id": id, "state": "held", "reason": "r", "there": "8"}]))
    assert store.read(lambda unit: unit.held()) == 1
    store.write(lambda unit: unit.release_cell(id, "keep"))
    one = store.read(lambda unit: unit.cell_by_id(id))
    assert one is not None and (one["state"], one["released"], one["there"]) == ("kept", "keep", "8")
    store.write(lambda unit: unit.release_cell(id, "overwrite"))
    store.write(lambda unit: unit.cells_accepted([{"id": id, "value": "4", "now": NOW}]))
    one = store.read(lambda unit: unit.cell_by_id(id))
    assert one is not None
    assert [one[n] for n in ("accepted", "state", "reason", "there", "released")] == ["4", "accepted", None, None, None]
    store.write(lambda unit: unit.cell_forgotten(id))
    one = store.read(lambda unit: unit.cell_by_id(id))
    assert one is not None and (one["accepted"], one["state"], one["released"]) == (None, "wanted", "overwrite")


def test_every_value_sent_is_remembered_with_its_verdict(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        for attempt, value, verdict in (
            (1, "3", "rejected"),
            (2, "4", "accepted"),
            (3, None, None),
            (4, "4", "unknown"),
        ):
            unit.values_leave([{"cell": 7, "attempt": attempt, "value": value, "now": NOW}])
            if verdict:
                unit.values_judged([{"verdict": verdict, "reason": "r", "attempt": attempt, "cell": 7}])

    store.write(work)
    assert store.read(lambda unit: unit.values_once_sent([7, 8])) == {7: {"4", None}}
    assert store.read(lambda unit: unit.values_in_doubt([7, 8])) == {7}, "sent after the one accepted last"
    sends = store.read(lambda unit: unit.sends(7))
    assert [(s["attempt"], s["verdict"]) for s in sends] == [
        (4, "unknown"),
        (3, "open"),
        (2, "accepted"),
        (1, "rejected"),
    ]


# ---------------------------------------------------------------- the ledger


def test_what_is_wanted_again_is_a_newer_generation_only_when_it_differs(store: SqlStore) -> None:
    store.write(lambda unit: unit.want([wanted("k", payload_enc=b"\x00"), wanted("l", record=ODD, subject="s")]))
    store.write(lambda unit: unit.want([wanted("k", due_at=LATER)]))
    same = store.read(lambda unit: delivery(unit, "k"))
    assert (same["generation"], same["due_at"], bool(same["unsure"]), same["payload_enc"]) == (1, NOW, False, b"\x00")
    store.write(lambda unit: unit.want([wanted("k", "d2", due_at=LATER)]))
    store.write(lambda unit: unit.want([wanted("k", "d2", again=True)]))
    newer = store.read(lambda unit: delivery(unit, "k"))
    assert (newer["generation"], newer["digest"], newer["due_at"], newer["payload_enc"]) == (3, "d2", NOW, None)
    assert store.read(lambda unit: unit.delivery("dhis2", "K")) is None
    assert store.read(lambda unit: unit.digests("dhis2", ["k", "l", "m"])) == {"k": "d2", "l": "d1"}
    assert [d["key"] for d in store.read(lambda unit: unit.deliveries_of("dhis2", [ODD, "x"]))] == ["l"]
    assert [d["key"] for d in store.read(lambda unit: unit.deliveries_of_record(ODD))] == ["l"]
    store.write(lambda unit: unit.unwant([newer["id"]]))
    assert store.read(lambda unit: unit.delivery("dhis2", "k")) is None


def test_what_is_due_is_claimed_in_order_and_not_before(store: SqlStore) -> None:
    states = {"pending": BEFORE, "deferred": LONG_AGO, "unknown": NOW, "parked": NOW, "accepted": NOW, "resolved": NOW}
    store.write(lambda unit: unit.want([wanted(s, state=s, due_at=due) for s, due in states.items()]))
    store.write(lambda unit: unit.want([wanted("later", due_at=LATER), wanted("other", target="openmrs")]))
    assert [r["key"] for r in store.write(lambda unit: unit.claim("dhis2", NOW, 10))] == [
        "deferred",
        "pending",
        "unknown",
    ]
    assert [r["key"] for r in store.write(lambda unit: unit.claim("dhis2", NOW, 2))] == ["deferred", "pending"]
    store.write(leased)
    assert store.write(lambda unit: unit.claim("dhis2", NOW, 10)) == []
    over = store.write(lambda unit: unit.claim("dhis2", "2026-10-06T09:00:00.000001Z", 10))
    assert [r["key"] for r in over] == ["deferred", "pending", "unknown", "later"], "a lease that ran out is due again"
    row = store.read(lambda unit: delivery(unit, "pending"))
    assert (row["state"], row["lease_by"], row["lease_until"], bool(row["unsure"])) == ("leased", "we", LATER, False)
    store.write(lambda unit: unit.lease([{"id": row["id"], "until": LATER, "by": "they", "now": NOW}]))
    assert bool(store.read(lambda unit: delivery(unit, "pending"))["unsure"]) is True
    assert store.read(lambda unit: unit.next_due("dhis2")) == LATER
    assert store.read(lambda unit: unit.next_due("fhir")) is None
    assert store.read(lambda unit: unit.oldest_waiting("dhis2")) == NOW
    assert store.read(lambda unit: unit.oldest_waiting("fhir")) is None
    assert store.read(lambda unit: unit.states("dhis2")) == {
        "leased": 3, "parked": 1, "accepted": 1, "resolved": 1, "pending": 1,
    }  # fmt: skip


def settled(row: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "generation": row["generation"],
        "now": NOW,
        "by": "we",
        "remote": '{"id":1}',
        "step": "s",
        **more,
    }


def test_an_answer_settles_only_the_generation_that_was_sent(store: SqlStore) -> None:
    keys = ("good", "bad", "overtaken")
    store.write(lambda unit: unit.want([wanted(k) for k in keys]))
    by_key = {r["key"]: r for r in store.write(leased)}
    number = store.write(lambda unit: unit.begin_attempt("dhis2", NOW, list(by_key.values()), "run-1"))
    assert store.write(lambda unit: unit.begin_attempt("dhis2", NOW, [], "run-1")) > number
    store.write(lambda unit: unit.want([wanted("overtaken", "d2")]))
    still = store.read(lambda unit: delivery(unit, "overtaken"))
    assert (still["state"], still["generation"]) == ("leased", 2)

    def answers(unit: Any) -> None:
        unit.note(by_key["good"]["id"], "created", '{"id":2}')
        unit.settle_accepted([settled(by_key[k], digest="d1", no=False) for k in ("good", "overtaken")])
        unit.settle_other([
            settled(by_key[k], state="parked", tries=2, unsure=True, due_at=LATER, reason=ODD, who="mapping")
            for k in ("bad", "overtaken")
        ])  # fmt: skip
        unit.settle_overtaken([settled(by_key["overtaken"], digest="d1", unsure=False, due_at=NOW),
                               settled(by_key["good"], digest="x", unsure=True, due_at=NOW)])  # fmt: skip
        unit.attempt_judged([
            {"attempt": number, "delivery": by_key["bad"]["id"], "verdict": "rejected", "reason": ODD,
             "http_status": 409, "answer_enc": b"\x00"}
        ])  # fmt: skip
        unit.end_attempt(number, "rejected", LATER)

    store.write(answers)
    good, bad, over = (store.read(lambda unit, k=k: delivery(unit, k)) for k in keys)
    assert [good[n] for n in ("state", "accepted_digest", "accepted_at", "lease_by", "remote", "step")] == [
        "accepted", "d1", NOW, None, '{"id":1}', "",
    ]  # fmt: skip
    assert (bad["state"], bad["tries"], bool(bad["unsure"]), bad["reason"]) == ("parked", 2, True, ODD)
    assert [over[n] for n in ("state", "generation", "accepted_digest", "tries", "lease_by")] == [
        "pending",
        2,
        "d1",
        0,
        None,
    ]
    assert store.read(lambda unit: unit.generations([good["id"]]))[good["id"]]["step"] == ""
    (tried,) = store.read(lambda unit: unit.attempts(bad["id"]))
    (moments,) = store.read(lambda unit: unit.attempt_moments([tried["id"]]))
    assert (moments["id"], moments["started"], moments["ended"]) == (tried["id"], tried["started"], LATER)
    assert (tried["verdict"], tried["http_status"], tried["ended"], tried["reason"]) == ("rejected", 409, LATER, ODD)
    doubtful = [store.read(lambda unit, one=one: unit.digests_in_doubt(one["id"])) for one in (good, bad)]
    assert doubtful == [["d1"], []], "nobody judged the good one's sending; that of the bad one was refused for certain"

    marks = {"found": {"unsure": True}, "begun": {"step": "patient"}, "there": {"accepted_digest": "d1"}, "new": {}}
    store.write(lambda unit: unit.want([wanted(key) for key in marks]))
    for key, columns in marks.items():
        for column, value in columns.items():
            changed = text(f"UPDATE delivery SET {column}=:v WHERE key=:k")
            store.write(lambda unit, c=changed, k=key, v=value: unit.connection.execute(c, {"v": v, "k": k}))
    asked = [*keys, *marks, "unheard of"]
    assert store.read(lambda unit: unit.unsent("dhis2", asked)) == {"new"}, "overtaken was sent once, as it was before"
    assert store.read(lambda unit: unit.unsent("fhir", asked)) == set()
    gone = text("DELETE FROM delivery WHERE key IN ('found', 'begun', 'there', 'new')")
    store.write(lambda unit: unit.connection.execute(gone))

    assert store.read(lambda unit: unit.most_parked("dhis2")) == {"who": "mapping", "reason": ODD}
    assert store.read(lambda unit: unit.most_parked("fhir")) == {}
    assert store.read(lambda unit: unit.most_waiting("dhis2")) is None
    store.write(
        lambda unit: unit.connection.execute(
            text("UPDATE delivery SET reason='dhis2.period_not_open' WHERE key='overtaken'")
        )
    )
    assert store.read(lambda unit: unit.most_waiting("dhis2")) == "dhis2.period_not_open"
    assert store.read(lambda unit: unit.most_waiting("fhir")) is None
    assert [d["key"] for d in store.read(lambda unit: unit.accepted_deliveries("dhis2", 0, 10))] == ["good"]
    assert [d["key"] for d in store.read(lambda unit: unit.open_deliveries("dhis2", 10))] == ["bad", "overtaken"]
    for reason, who in (("fhir.changed_by_hand", "target_admin"), (None, None)):
        store.write(lambda unit, r=reason, w=who: unit.accepted_but(good["id"], r, w, LATER))
        kept = store.read(lambda unit: delivery(unit, "good"))
        assert (kept["state"], kept["reason"], kept["who"], kept["updated"]) == ("accepted", reason, who, LATER)
    store.write(lambda unit: unit.accepted_but(bad["id"], "x", "y", LATER))
    assert store.read(lambda unit: delivery(unit, "bad"))["reason"] != "x", "only what is accepted"
    store.write(lambda unit: unit.reopen(good["id"], NOW, gone=False))
    again = store.read(lambda unit: delivery(unit, "good"))
    assert (again["state"], again["generation"], again["accepted_digest"]) == ("pending", 2, None)


def test_what_is_held_back_is_counted_and_looked_at_again(store: SqlStore) -> None:
    why = {"a": "dhis2.org_unit_closed", "b": "dhis2.org_unit_closed", "c": "dhis2.not_shared", "d": "dhis2.locked"}
    store.write(lambda unit: unit.want([wanted(key) for key in why]))
    rows = store.write(leased)
    later = [
        settled(r, state="deferred", tries=0, unsure=False, due_at=LATER, reason=why[r["key"]], who="x") for r in rows
    ]
    store.write(lambda unit: unit.settle_other(later))
    held = ["dhis2.org_unit_closed", "dhis2.not_shared"]
    there = {"dhis2.org_unit_closed": 2, "dhis2.not_shared": 1}
    assert store.read(lambda unit: unit.held_back("dhis2", held)) == there
    assert (
        store.read(lambda unit: unit.held_back("fhir", held))
        == store.read(lambda unit: unit.held_back("dhis2", []))
        == {}
    )
    store.write(lambda unit: unit.look_again("fhir", held, NOW))
    store.write(lambda unit: unit.look_again("dhis2", held[:1], NOW))
    assert {key: store.read(lambda unit, k=key: delivery(unit, k))["due_at"] for key in why} == {
        "a": NOW, "b": NOW, "c": LATER, "d": LATER,
    }  # fmt: skip


def test_what_was_wanted_in_shadow_is_due_once_it_is_left(store: SqlStore) -> None:
    shadow = {"state": "resolved", "reason": "mode.shadow"}
    rows = [wanted("new", **shadow), wanted("gone", digest="", **shadow), wanted("other", state="resolved", reason="x")]
    store.write(lambda unit: unit.want([*rows, wanted("new", target="fhir", **shadow)]))
    store.write(lambda unit: unit.leave_shadow("dhis2", LATER))
    states = {key: store.read(lambda unit, k=key: delivery(unit, k))["state"] for key in ("new", "gone", "other")}
    assert states == {"new": "pending", "gone": "resolved", "other": "resolved"}
    assert store.read(lambda unit: unit.delivery("fhir", "new"))["state"] == "resolved"
    due = store.read(lambda unit: delivery(unit, "new"))
    assert (due["reason"], due["who"], due["due_at"]) == (None, None, LATER)


def test_after_a_restore_no_version_of_a_resource_is_known(store: SqlStore) -> None:
    store.write(lambda unit: unit.want([wanted("r", target="fhir", kind="resource"), wanted("b", target="fhir")]))
    for key, known in (("r", '{"id":"Patient/1/_history/3"}'), ("b", '{"id":7}')):
        there = store.read(lambda unit, k=key: unit.delivery("fhir", k))
        store.write(lambda unit, i=there["id"], r=known: unit.note(i, "", r))
    store.write(lambda unit: unit.forget_versions("dhis2"))
    assert store.read(lambda unit: unit.delivery("fhir", "r"))["remote"] != "{}"
    store.write(lambda unit: unit.forget_versions("fhir"))
    kept = [store.read(lambda unit, k=key: unit.delivery("fhir", k))["remote"] for key in ("r", "b")]
    assert kept == ["{}", '{"id":7}']


def test_what_a_killed_process_sent_is_uncertain_until_its_quiet_time_is_over(store: SqlStore) -> None:
    store.write(lambda unit: unit.want([wanted("a"), wanted("b")]))
    store.write(lambda unit: leased(unit, "killed"))
    store.write(lambda unit: unit.want([wanted("c")]))
    store.write(lambda unit: leased(unit, "we"))
    assert store.write(lambda unit: unit.take_over_leases("dhis2", "we", LATER, NOW)) == 2
    found = {k: store.read(lambda unit, k=k: delivery(unit, k)) for k in "abc"}
    assert [(r["state"], bool(r["unsure"]), r["due_at"]) for r in found.values()] == [
        ("unknown", True, LATER), ("unknown", True, LATER), ("leased", False, NOW),
    ]  # fmt: skip
    # wanted anew while unsure: it stays quiet
    store.write(lambda unit: unit.want([wanted("a", "d2")]))
    a = store.read(lambda unit: delivery(unit, "a"))
    assert (a["state"], a["due_at"], a["generation"]) == ("unknown", LATER, 2)


def test_what_a_person_does_to_deliveries(store: SqlStore) -> None:
    states = ("parked", "deferred", "unknown", "resolved", "accepted", "pending")
    store.write(lambda unit: unit.want([wanted(s, state=s, due_at=LATER) for s in states]))
    ids = {s: store.read(lambda unit, s=s: delivery(unit, s))["id"] for s in states}
    everything = [*ids.values(), 10**12]
    assert store.write(lambda unit: unit.set_delivery(everything, "resolved", NOW, note=ODD, by="me")) == 1
    assert store.write(lambda unit: unit.set_delivery(everything, "parked", NOW, note=ODD, by="me")) == 3
    assert store.read(lambda unit: delivery(unit, "pending"))["note"] == ODD
    again = [{"id": id, "due": NOW} for state, id in ids.items() if state != "accepted"]
    store.write(lambda unit: unit.retried(again, LATER))
    found = {s: store.read(lambda unit, s=s: delivery(unit, s)) for s in states}
    assert found.pop("accepted")["state"] == "accepted"
    assert {tuple(row[n] for n in ("state", "due_at", "note", "note_by", "updated")) for row in found.values()} == {
        ("pending", NOW, None, None, LATER)
    }
    listed = store.read(lambda unit: unit.list_deliveries({"kind": "block"}, 2))
    assert [d["key"] for d in listed] == ["pending", "accepted"]
    more = store.read(lambda unit: unit.list_deliveries({"state": "pending", "target": "dhis2"}, 9, listed[-1]["id"]))
    assert [d["key"] for d in more] == ["resolved", "unknown", "deferred", "parked"]


def test_blocks_of_a_data_set_are_found_by_its_very_name(store: SqlStore) -> None:
    names = ["a_b", "axb", "A_b", "a%b", "a_b/c"]
    store.write(lambda unit: unit.want([wanted(f"block/{n}/ML-1/202608") for n in names]))
    for name in names[:4]:
        found = store.read(lambda unit, name=name: unit.blocks("dhis2", name))
        assert found == sorted(f"block/{n}/ML-1/202608" for n in names if n.startswith(f"{name}/") or n == name)
    assert store.read(lambda unit: unit.delivery_first("dhis2", "202608")) is True
    row = store.read(lambda unit: delivery(unit, "block/a_b/ML-1/202608"))
    store.write(lambda unit: unit.settle_accepted([settled(row, digest="d1", no=False)]))
    assert store.read(lambda unit: unit.delivery_first("dhis2", "202608")) is False
    assert store.read(lambda unit: unit.delivery_first("dhis2", "202609")) is True


def test_a_target_keeps_its_health(store: SqlStore) -> None:
    fresh = store.write(lambda unit: unit.target_state("dhis2"))
    assert (fresh["breaker"], fresh["failures"], fresh["due_at"]) == ("closed", 0, None)
    state = {"target": "dhis2", "due_at": LATER, "breaker": "open", "failures": 3, "refusals": 1, "good": 7,
             "reason": "r", "who": "nobody", "now": NOW, "last_success": NOW}  # fmt: skip
    store.write(lambda unit: unit.keep_target(**state))
    store.write(lambda unit: unit.keep_target(**{**state, "last_success": None, "now": LATER}))
    kept = store.read(lambda unit: unit.row_of_target("dhis2"))
    assert (kept["failures"], kept["last_success"], kept["last_try"], kept["breaker"]) == (3, NOW, LATER, "open")
    assert kept["good"] == 7
    store.write(lambda unit: unit.pause("target_state", "dhis2", ODD))
    assert store.read(lambda unit: unit.row_of_target("dhis2"))["paused"] == ODD
    names = ("paused", "due_at", "refusals", "failures", "breaker", "reason", "who")
    store.write(lambda unit: unit.try_now("dhis2", forget=False))
    after = store.read(lambda unit: unit.row_of_target("dhis2"))
    assert [after[n] for n in names] == [ODD, None, 0, 3, "half_open", "r", "nobody"]
    store.write(lambda unit: unit.pause("target_state", "dhis2", None))
    store.write(lambda unit: unit.try_now("dhis2", forget=True))
    after = store.read(lambda unit: unit.row_of_target("dhis2"))
    assert [after[n] for n in names] == [None, None, 0, 3, "half_open", None, None]
    store.write(lambda unit: unit.target_state("fhir"))
    store.write(lambda unit: unit.try_now("fhir", forget=True))
    assert store.read(lambda unit: unit.row_of_target("fhir"))["breaker"] == "closed", "nothing stood in the way"
    store.write(lambda unit: unit.source_failed(source="cht", reason="r", who="nobody", due_at=LATER))
    for forget, reason in ((False, "r"), (True, None)):
        store.write(lambda unit, f=forget: unit.try_now("cht", forget=f))
        source = store.read(lambda unit: unit.row_of_source("cht"))
        assert (source["due_at"], source["reason"]) == (None, reason)
    store.write(lambda unit: unit.pause("source_state", "cht", ODD))
    assert store.read(lambda unit: unit.row_of_source("cht"))["paused"] == ODD
    assert store.read(lambda unit: unit.row_of_target("nobody")) == {}


def test_a_lane_has_one_holder_until_it_runs_out(store: SqlStore) -> None:
    def take(holder: str, now: str = NOW, until: str = LATER) -> bool:
        return store.write(lambda unit: unit.take_lane("run", holder, now, until))

    assert take("we") and not take("they") and take("we")
    assert store.read(lambda unit: unit.lane("run"))["fence"] == 2
    assert not take("they", LATER), "it ends after its last instant"
    assert take("they", "2026-10-06T09:00:00.000001Z", "2026-10-06T10:00:00.000000Z")
    store.write(lambda unit: unit.leave_lane("run", "we"))
    assert store.read(lambda unit: unit.lane("run"))["holder"] == "they"
    assert store.write(lambda unit: unit.take_lane("first/202608", "killed", NOW, LATER))
    store.write(lambda unit: unit.free_lanes("we", NOW))
    assert store.read(lambda unit: unit.lane("first/202608"))["until"] == NOW
    assert store.read(lambda unit: unit.lane("run"))["until"] == "2026-10-06T10:00:00.000000Z"
    store.write(lambda unit: unit.leave_lane("run", "they"))
    assert store.read(lambda unit: unit.lane("run")) == {}


def test_a_fire_is_claimed_once_and_a_hundred_are_kept(store: SqlStore) -> None:
    assert store.read(lambda unit: unit.last_fire("pull/cht")) is None
    assert store.write(lambda unit: unit.fire("pull/cht", NOW, NOW)) is True
    assert store.write(lambda unit: unit.fire("pull/cht", NOW, LATER)) is False
    for n in range(120):
        store.write(lambda unit, n=n: unit.fire("pull/cht", f"2026-11-01T00:{n:03}", NOW))
    store.write(lambda unit: unit.fired("pull/cht", "2026-11-01T00:119", LATER, ODD))
    assert store.read(lambda unit: unit.last_fire("pull/cht")) == "2026-11-01T00:119"
    kept = rows(store, "SELECT due, outcome FROM fire ORDER BY due")
    assert (len(kept), kept[0]["due"], kept[-1]["outcome"]) == (100, "2026-11-01T00:020", ODD)


def test_fires_of_a_clock_that_was_set_back_are_forgotten(store: SqlStore) -> None:
    for schedule in ("pull/cht", "verify"):
        for due in (BEFORE, NOW, LATER):
            store.write(lambda unit, s=schedule, d=due: unit.fire(s, d, NOW))
    store.write(lambda unit: unit.forget_fires("pull/cht", NOW))
    assert store.read(lambda unit: unit.last_fire("pull/cht")) == NOW
    assert store.read(lambda unit: unit.last_fire("verify")) == LATER


def test_what_may_still_arrive_waits_anew_when_the_clock_was_set(store: SqlStore) -> None:
    """(state, uncertain, due, lease, updated) -> (due, lease, updated) from NOW on, with LATER for all that waits."""
    far = "2099-01-01T00:00:00.000000+00:00"
    same: dict[str, Any] = {
        "deferred": ("deferred", False, BEFORE, None, BEFORE),
        "in the queue": ("pending", False, BEFORE, None, BEFORE),
        "parked long ago": ("parked", True, BEFORE, None, LONG_AGO),
        "refused": ("parked", False, BEFORE, None, NOW),
        "accepted": ("accepted", False, BEFORE, None, BEFORE),
    }
    cases: dict[str, Any] = {name: (case, case[2:]) for name, case in same.items()} | {
        "unknown": (("unknown", True, BEFORE, None, BEFORE), (LATER, None, NOW)),
        "waits for longer": (("unknown", True, far, None, BEFORE), (far, None, NOW)),
        "leased": (("leased", False, BEFORE, NOW, BEFORE), (LATER, LATER, NOW)),
        "leased for longer": (("leased", False, BEFORE, far, BEFORE), (LATER, far, NOW)),
        "deferred, uncertain": (("deferred", True, BEFORE, None, BEFORE), (LATER, None, NOW)),
        "quiet first": (("pending", True, BEFORE, None, BEFORE), (LATER, None, NOW)),
        "parked lately": (("parked", True, BEFORE, None, NOW), (LATER, None, NOW)),
        "resolved lately": (("resolved", True, BEFORE, None, NOW), (LATER, None, NOW)),
    }
    store.write(lambda unit: unit.want([wanted(key) for key in cases]))
    store.write(lambda unit: unit.want([wanted("elsewhere", target="fhir", due_at=BEFORE)]))
    sql = "UPDATE delivery SET state=:s, unsure=:u, due_at=:d, lease_until=:l, updated=:n WHERE key=:k"
    for key, (case, _) in {**cases, "elsewhere": (cases["unknown"][0], ())}.items():
        told = dict(zip("sudln", case, strict=True), k=key)
        store.write(lambda unit, told=told: unit.execute(text(sql), told))
    store.write(lambda unit: unit.quiet_again("dhis2", now=NOW, until=LATER, lease=LATER, recent=BEFORE))
    found = {r["key"]: (r["due_at"], r["lease_until"], r["updated"]) for r in rows(store, "SELECT * FROM delivery")}
    assert found == {key: after for key, (_, after) in cases.items()} | {"elsewhere": (BEFORE, None, BEFORE)}


def test_no_lane_ends_sooner_when_the_clock_was_set(store: SqlStore) -> None:
    for name, until in (("short", BEFORE), ("long", LATER)):
        store.write(lambda unit, n=name, u=until: unit.take_lane(n, "we", LONG_AGO, u))
    store.write(lambda unit: unit.lanes_again(NOW))
    assert [store.read(lambda unit, n=n: unit.lane(n))["until"] for n in ("short", "long")] == [NOW, LATER]


def test_referrals(store: SqlStore) -> None:
    one = {"record": "cht/reports/a", "subject": "s", "worker": "w", "to_place": "area-1", "date": "2026-08-10",
           "urgent": True, "reason": ODD, "state": "wanted", "now": NOW}  # fmt: skip
    store.write(lambda unit: unit.keep_referral(**one))
    store.write(lambda unit: unit.keep_referral(**{**one, "state": "sent", "urgent": False, "to_place": None}))
    kept = store.read(lambda unit: unit.referral("cht/reports/a"))
    assert kept is not None
    assert (kept["state"], bool(kept["urgent"]), kept["to_place"], kept["remote"]) == ("sent", False, None, "{}")
    store.write(lambda unit: unit.referral_state("cht/reports/a", "arrived", LATER, remote='{"id":1}', answered=LATER))
    store.write(lambda unit: unit.referral_state("cht/reports/a", "completed", LATER, answer_enc=b"\x00"))
    store.write(lambda unit: unit.keep_referral(**{**one, "state": "wanted"}))
    kept = store.read(lambda unit: unit.referral("cht/reports/a"))
    assert kept is not None
    assert [kept[n] for n in ("state", "remote", "answered_at", "answer_enc")] == [
        "completed",
        '{"id":1}',
        LATER,
        b"\x00",
    ]
    for n, state in enumerate(("sent", "old", "arrived", "waiting_person", "missed")):
        store.write(lambda unit, n=n, state=state: unit.keep_referral(**{**one, "record": f"r{n}", "state": state}))
    assert [r["record"] for r in store.read(lambda unit: unit.open_referrals("", 2))] == ["r0", "r2"]
    assert [r["record"] for r in store.read(lambda unit: unit.open_referrals("r2", 9))] == ["r4"]
    closed = store.read(lambda unit: unit.open_referrals("", 1, "0"))
    assert [r["record"] for r in closed] == ["cht/reports/a"], "completed lately: asked once more"
    standing = [
        store.read(lambda unit, d=d: unit.referrals_standing(d, "2026-08-01")) for d in ("2026-08-10", "2026-08-11")
    ]
    assert standing == [{"open": 3, "overdue": 0}, {"open": 3, "overdue": 2}], "who has arrived is not overdue"
    assert [r["state"] for r in store.read(lambda unit: unit.held_referrals())] == ["old", "waiting_person"]
    assert store.read(lambda unit: unit.known_referrals(["r1", "r9"])) == {"r1"}
    assert store.read(lambda unit: unit.referral("r9")) is None


def test_runs_beats_and_facts(store: SqlStore) -> None:
    store.write(lambda unit: unit.begin_run("run-1", "once", NOW))
    store.write(lambda unit: unit.end_run("run-1", "settled", ODD, LATER))
    assert rows(store, "SELECT ended, outcome, summary FROM run") == [
        {"ended": LATER, "outcome": "settled", "summary": ODD}
    ]
    for n in range(35):
        store.write(lambda unit, n=n: unit.beat("dhis2", str(n), NOW))
    store.write(lambda unit: unit.beat("cht", "ok", NOW))
    kept = [r["result"] for r in rows(store, "SELECT result FROM beat WHERE connection='dhis2' ORDER BY id")]
    assert kept == [str(n) for n in range(5, 35)]
    assert store.read(lambda unit: unit.fact("x")) is None
    store.write(lambda unit: unit.keep_fact("x", ODD))
    store.write(lambda unit: unit.keep_fact("x", ODD + ODD))
    assert store.read(lambda unit: unit.fact("x")) == ODD + ODD
    store.write(lambda unit: unit.move_heads([head("gone", state="vanished")]))
    assert store.read(lambda unit: unit.vanished()) == 1
    assert (store.read(lambda unit: unit.audit_count()), store.read(lambda unit: unit.last_head())) == (0, None)
    for n in (1, 2):
        store.write(lambda unit, n=n: unit.keep_user("mariam", f"hash {n}", "viewer" if n == 1 else "admin", NOW))
    assert rows(store, 'SELECT password, role, created FROM "user"') == [
        {"password": "hash 2", "role": "admin", "created": NOW}
    ]


def test_resources_are_paged(store: SqlStore) -> None:
    keys = {"Patient/a": "d", "Patient/b": "", "Patient/c": "d"}
    store.write(lambda unit: unit.want([wanted(k, d, kind="resource", target="fhir") for k, d in keys.items()]))
    first = store.read(lambda unit: unit.resource_rows("fhir", 0, 1))
    assert [r["key"] for r in first] == ["Patient/a"]
    assert [r["key"] for r in store.read(lambda unit: unit.resource_rows("fhir", first[0]["id"], 9))] == ["Patient/c"]


def test_tokens(store: SqlStore) -> None:
    one = {"name": "odk", "key": "k1", "digest": "d", "role": "submit", "source": None, "now": NOW, "expires": None}
    store.write(lambda unit: unit.keep_token(**one))
    store.write(lambda unit: unit.keep_token(**{**one, "name": ODD, "key": "k2", "source": "odk", "expires": LATER}))
    store.write(lambda unit: unit.token_used("odk", LATER))
    store.write(lambda unit: unit.revoke_token("odk", LATER))
    kept = store.read(lambda unit: unit.token_of_key("k1"))
    assert kept is not None and (kept["name"], kept["last_used"], kept["revoked"]) == ("odk", LATER, LATER)
    store.write(lambda unit: unit.keep_token(**{**one, "key": "k3"}))
    again = store.read(lambda unit: unit.token("odk"))
    assert again is not None and (again["key"], again["last_used"], again["revoked"]) == ("k3", None, None)
    assert store.read(lambda unit: unit.token_of_key("k1")) is None and store.read(lambda unit: unit.token("x")) is None
    assert sorted(r["name"] for r in store.read(lambda unit: unit.tokens())) == sorted([ODD, "odk"])


def test_a_pushed_record_shows_that_its_source_is_not_silent(store: SqlStore) -> None:
    store.write(lambda unit: unit.source_state("odk"))
    store.write(lambda unit: unit.pushed("odk", NOW))
    store.write(lambda unit: unit.pushed("odk", LATER))
    row = store.read(lambda unit: unit.row_of_source("odk"))
    assert (row["received"], row["last_record"]) == (2, LATER)


# ---------------------------------------------------------------- the helpers under them


def test_plain_statements_and_counts(store: SqlStore) -> None:
    def work(unit: Any) -> list[Any]:
        insert = text("INSERT INTO meta (key, value) VALUES (:k, :v)")
        done = [
            unit.execute(insert, {"k": "a", "v": ODD}),
            unit.execute(insert, [{"k": "b", "v": "1"}, {"k": "c", "v": "2"}]),
        ]
        done.append(unit.execute(text("UPDATE meta SET value='x' WHERE key IN ('b', 'c', 'z')")))
        done.append(unit.execute(insert, []))
        return done

    assert store.write(work) == [1, 2, 2, 0]
    like = text("SELECT value FROM meta WHERE value LIKE :p ESCAPE '!'")
    assert store.read(lambda unit: unit.rows(like, {"p": '%100!% "a"%'})) == [{"value": ODD}]
    assert store.read(lambda unit: unit.row(like, {"p": "%1001%"})) is None
    found = store.read(
        lambda unit: unit.select_in("SELECT key FROM meta WHERE key IN {in} AND value=:v", ["a", "b"], v="x")
    )
    assert found == [{"key": "b"}]


def test_sealed_values_open_again(store: SqlStore) -> None:
    blob = store.write(lambda unit: unit.seal("body", {"name": ODD, "n": 1}))
    assert isinstance(blob, bytes) and b"100%" not in blob
    store.write(lambda unit: unit.keep_bodies([body("a", body_enc=blob)]))
    (kept,) = rows(store, "SELECT body_enc FROM body")
    assert store.read(lambda unit: unit.open("body", kept["body_enc"])) == {"name": ODD, "n": 1}
    assert store.read(lambda unit: unit.open("body", None)) is None
    assert store.read(lambda unit: unit.keyed("anna")) == store.read(lambda unit: unit.keyed("anna"))


# ---------------------------------------------------------------- order, pace, doubt


def test_an_answer_settles_only_while_the_lease_is_ours(store: SqlStore) -> None:
    store.write(lambda unit: unit.want([wanted("a")]))
    (row,) = store.write(lambda unit: leased(unit, by="another"))
    for settle in ("settle_accepted", "settle_other"):
        more = {"digest": "d1", "no": False, "state": "parked", "tries": 1, "unsure": False, "due_at": NOW,
                "reason": "r", "who": "mapping"}  # fmt: skip
        store.write(lambda unit, settle=settle, more=more: getattr(unit, settle)([settled(row, **more)]))
    store.write(lambda unit: unit.want([wanted("a", "d2")]))
    store.write(lambda unit: unit.settle_overtaken([settled(row, digest="d1", unsure=False, due_at=NOW)]))
    assert store.read(lambda unit: delivery(unit, "a"))["lease_by"] == "another"


def test_fresh_ones_and_retries_can_be_claimed_apart(store: SqlStore) -> None:
    store.write(lambda unit: unit.want([wanted(k) for k in ("tried", "new")]))
    (row,) = store.write(lambda unit: [r for r in leased(unit) if r["key"] == "tried"])
    store.write(lambda unit: unit.settle_other([settled(row, state="deferred", tries=1, unsure=False, due_at=NOW,
                                                        reason="r", who="nobody")]))  # fmt: skip
    store.write(lambda unit: unit.execute(text("UPDATE delivery SET state='pending', lease_by=NULL WHERE key='new'")))

    def keys(only: str, limit: int = 10) -> list[str]:
        return [r["key"] for r in store.read(lambda unit: unit.claim("dhis2", NOW, limit, only=only))]

    assert (keys("fresh"), keys("retries"), sorted(keys(""))) == (["new"], ["tried"], ["new", "tried"])
    assert keys("", 0) == []


def test_what_is_open_of_a_subject_is_found_by_id(store: SqlStore) -> None:
    store.write(lambda unit: unit.want([{**wanted(k), "subject": s} for k, s in (("a", "x"), ("b", "x"), ("c", "y"))]))
    rows = {r["key"]: r for r in store.write(leased)}
    assert store.read(lambda unit: unit.still_open("dhis2", ["x", "y"])) == [], "under way"
    state = {"tries": 1, "unsure": False, "reason": "r", "who": "nobody"}
    store.write(lambda unit: unit.settle_other([
        settled(rows["b"], state="unknown", due_at=NOW, **state),
        settled(rows["a"], state="deferred", due_at=LATER, **state),
        settled(rows["c"], state="parked", due_at=NOW, **state),
    ]))  # fmt: skip
    found = store.read(lambda unit: unit.still_open("dhis2", ["x", "y"]))
    assert [(r["id"], r["subject"], r["due_at"]) for r in found] == [
        (rows["a"]["id"], "x", LATER), (rows["b"]["id"], "x", NOW),
    ]  # fmt: skip
    store.write(lambda unit: unit.wait_until([{"id": rows["b"]["id"], "due_at": LATER}]))
    assert {r["due_at"] for r in store.read(lambda unit: unit.still_open("dhis2", ["x"]))} == {LATER}


def test_a_value_accepted_after_all_the_others_leaves_no_doubt(store: SqlStore) -> None:
    for attempt, verdict in ((1, "unknown"), (2, "accepted"), (3, "rejected")):
        store.write(lambda unit, n=attempt: unit.values_leave([{"cell": 7, "attempt": n, "value": "4", "now": NOW}]))
        judged = {"verdict": verdict, "reason": "r", "attempt": attempt, "cell": 7}
        store.write(lambda unit, one=judged: unit.values_judged([one]))
    assert store.read(lambda unit: unit.values_in_doubt([7])) == set()


# ---------------------------------------------------------------- pushes and tokens


def test_what_was_pushed_is_found_with_its_age(store: SqlStore) -> None:
    store.write(lambda unit: unit.source_state("cht"))
    store.write(lambda unit: unit.pushed("cht", LATER))
    assert store.read(lambda unit: unit.row_of_source("cht"))["last_record"] == LATER
    assert store.read(lambda unit: unit.head_and_age("cht/reports/a")) is None
    store.write(lambda unit: unit.keep_bodies([body("a")]))
    store.write(lambda unit: unit.move_heads([head("a")]))
    found = store.read(lambda unit: unit.head_and_age("cht/reports/a"))
    assert (found["revision"], bool(found["deleted"]), found["changed_at"]) == ("1", False, BEFORE)
    known = [store.read(lambda unit, r=r: unit.body_known("cht", "reports", "a", r)) for r in ("1", "2")]
    assert known == [True, False]


def test_a_token_is_kept_found_used_and_revoked(store: SqlStore) -> None:
    made = {"name": "prom", "key": "k1", "digest": "d", "role": "observe", "source": None, "expires": LATER, "now": NOW}
    store.write(lambda unit: unit.keep_token(**made))
    store.write(lambda unit: unit.token_used("prom", LATER))
    store.write(lambda unit: unit.revoke_token("prom", LATER))
    one = store.read(lambda unit: unit.token("prom"))
    assert one == store.read(lambda unit: unit.token_of_key("k1"))
    assert [one[n] for n in ("role", "created", "expires", "revoked", "last_used")] == [
        "observe",
        NOW,
        LATER,
        LATER,
        LATER,
    ]
    store.write(lambda unit: unit.keep_token(**{**made, "key": "k2"}))
    (again,) = store.read(lambda unit: unit.tokens())
    assert (again["key"], again["revoked"], again["last_used"]) == ("k2", None, None)
    assert store.read(lambda unit: unit.token_of_key("k1")) is None
