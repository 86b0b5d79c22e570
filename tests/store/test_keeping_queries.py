"""The contract of the store, continued: what people choose, what is kept and for how long, and who is forgotten."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text

from connector.store.database import SqlStore
from connector.store.keeping import ENCRYPTED
from tests.store.conftest import rows
from tests.store.test_person_queries import same
from tests.store.test_queries import (
    BLOCK,
    CELL,
    LATER,
    LONG_AGO,
    NOW,
    ODD,
    activity,
    body,
    contribution,
    counted,
    delivery,
    head,
    leased,
    settled,
    wanted,
)

AFTER = "2026-10-06T10:00:00.000000Z"


# ---------------------------------------------------------------- makers of rows


def record(key: str) -> str:
    return f"cht/reports/{key}"


def mapped(unit: Any, *keys: str, **more: Any) -> None:
    """Records that came, were mapped and wait for nothing."""
    unit.keep_bodies([body(k) for k in keys])
    unit.move_heads([head(k, **{"dirty": False, "state": "mapped", **more}) for k in keys])
    unit.keep_activities([activity(k) for k in keys])


def held_for(key: str, code: str = "place.unknown", **more: Any) -> dict[str, Any]:
    return {
        "source": "cht", "stream": "reports", "key": key, "revision": "1", "form": "visit", "code": code, "path": None,
        "file": None, "line": None, "detail": ODD, "who": "mapping", "version": "", "now": NOW, **more,
    }  # fmt: skip


def referred(key: str, **more: Any) -> dict[str, Any]:
    return {
        "record": record(key), "subject": "anna", "worker": "w", "to_place": "area-1", "date": "2026-08-10",
        "urgent": True, "reason": ODD, "state": "wanted", "now": NOW, **more,
    }  # fmt: skip


def registered(key: str, **more: Any) -> dict[str, Any]:
    return {
        "source": "cht", "kind": "person", "key": key, "record": record(f"reg-{key}"), "revision": "1",
        "entity_enc": b"\x00 entity", "digest": "x", "now": NOW, **more,
    }  # fmt: skip


def answered(unit: Any, *keys: str, answer: bytes = b"\x00 answer") -> None:
    """One attempt at the deliveries of these keys, each with an answer."""
    found = [delivery(unit, k) for k in keys]
    number = unit.begin_attempt("dhis2", NOW, found, "run-1")
    unit.attempt_judged([
        {"attempt": number, "delivery": row["id"], "verdict": "accepted", "reason": None, "http_status": 200,
         "answer_enc": answer} for row in found
    ])  # fmt: skip


def answers(store: SqlStore) -> dict[str, bytes | None]:
    sql = "SELECT d.key, a.answer_enc FROM attempt_delivery a JOIN delivery d ON d.id=a.delivery"
    return {row["key"]: row["answer_enc"] for row in rows(store, sql)}


def ids(store: SqlStore) -> dict[str, int]:
    return {row["key"]: row["id"] for row in rows(store, "SELECT id, key FROM delivery")}


# ---------------------------------------------------------------- what people choose


def test_a_choice_tells_how_its_deliveries_stand(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        unit.want([wanted("sending")])
        leased(unit)
        unit.want([wanted("held", state="accepted"), wanted("doubtful"), wanted("parked", state="parked", reason=ODD)])
        unit.are_unsure([delivery(unit, "doubtful")["id"]], NOW)

    store.write(work)
    known = ids(store)

    def standing(chosen: list[int], where: dict[str, Any]) -> tuple[int, ...]:
        found = store.read(lambda unit: unit.standing_of(chosen, where))
        return tuple(found[n] for n in ("chosen", "held", "sending", "uncertain"))

    assert standing([], {"target": "dhis2", "kind": "block"}) == (4, 1, 1, 1)
    assert standing([known["held"], known["sending"], 10**12], {}) == (2, 1, 1, 0)
    assert standing([known["doubtful"]], {"reason": ODD, "state": "parked"}) == (2, 0, 0, 1), "these, or what fits"
    assert standing([], {"reason": "another"}) == standing([], {}) == (0, 0, 0, 0)


def test_what_was_chosen_stays_chosen_and_the_oldest_comes_first(store: SqlStore) -> None:
    store.write(lambda unit: unit.want([wanted("young", record=ODD, now=LATER), wanted("old", record=ODD)]))
    store.write(lambda unit: unit.want([wanted("other", record="another")]))
    number = store.write(lambda unit: unit.freeze("retry", [], {"target": "dhis2", "record": ODD}, ODD, NOW))
    store.write(lambda unit: unit.want([wanted("too late", record=ODD)]))
    known = ids(store)
    chosen = store.read(lambda unit: unit.not_yet(number, 10))
    assert [(row["position"], row["id"]) for row in chosen] == [(1, known["old"]), (2, known["young"])]
    assert [row["position"] for row in store.read(lambda unit: unit.not_yet(number, 1))] == [1]
    kept = store.read(lambda unit: unit.selection(number))
    assert kept is not None
    assert [kept[n] for n in ("what", "by", "at", "state", "ended")] == ["retry", ODD, NOW, "open", None]
    assert json.loads(kept["filter"]) == {"target": "dhis2", "record": ODD}
    assert store.read(lambda unit: unit.selection(10**12)) is None


def test_deliveries_are_chosen_one_by_one_and_nothing_is_not_everything(store: SqlStore) -> None:
    store.write(lambda unit: unit.want([wanted(k) for k in "abc"]))
    known = ids(store)
    number = store.write(lambda unit: unit.freeze("retry", [known["c"], known["a"]], {}, "me", NOW))
    assert [row["id"] for row in store.read(lambda unit: unit.not_yet(number, 9))] == [known["a"], known["c"]]
    nothing = store.write(lambda unit: unit.freeze("retry", [], {}, "me", NOW))
    assert nothing != number
    assert store.read(lambda unit: unit.selection_counts(nothing)) == {}


def test_a_selection_is_worked_off_and_ends(store: SqlStore) -> None:
    store.write(lambda unit: unit.want([wanted(k) for k in "abc"]))
    number, other = (store.write(lambda unit: unit.freeze("retry", [], {"kind": "block"}, "me", NOW)) for _ in "12")
    done = [{"position": 1, "outcome": "retried"}, {"position": 3, "outcome": ODD}]
    store.write(lambda unit: unit.chosen_done(number, done))
    store.write(lambda unit: unit.selection_ends(number, "cancelled", LATER))
    assert [row["position"] for row in store.read(lambda unit: unit.not_yet(number, 9))] == [2]
    assert store.read(lambda unit: unit.selection_counts(number)) == {"retried": 1, ODD: 1, "left": 1}
    assert store.read(lambda unit: unit.selection_counts(other)) == {"left": 3}
    ended = [store.read(lambda unit, n=n: unit.selection(n)) for n in (number, other)]
    assert [(row["state"], row["ended"]) for row in ended if row] == [("cancelled", LATER), ("open", None)]


def test_what_is_retried_is_due_again_and_an_uncertain_one_stays_uncertain(store: SqlStore) -> None:
    store.write(lambda unit: unit.want([wanted("sure"), wanted("unsure")]))
    state = {"state": "parked", "tries": 9, "due_at": NOW, "reason": "r", "who": "nobody"}
    store.write(
        lambda unit: unit.settle_other([settled(r, unsure=r["key"] == "unsure", **state) for r in leased(unit)])
    )
    known = ids(store)
    store.write(
        lambda unit: unit.retried([{"id": known["sure"], "due": NOW}, {"id": known["unsure"], "due": LATER}], NOW)
    )
    found = [store.read(lambda unit, k=k: delivery(unit, k)) for k in ("sure", "unsure")]
    assert [(row["state"], bool(row["unsure"]), row["tries"], row["due_at"]) for row in found] == [
        ("pending", False, 0, NOW), ("unknown", True, 0, LATER),
    ]  # fmt: skip


# ---------------------------------------------------------------- after a restore


def test_what_waits_is_found_page_by_page(store: SqlStore) -> None:
    states = ("pending", "deferred", "accepted", "unknown", "parked", "resolved", "leased")
    store.write(lambda unit: unit.want([wanted(s, state=s) for s in states] + [wanted("other", target="fhir")]))
    first = store.read(lambda unit: unit.waiting_deliveries("dhis2", 0, 2))
    assert [row["key"] for row in first] == ["pending", "deferred"]
    rest = store.read(lambda unit: unit.waiting_deliveries("dhis2", first[-1]["id"], 9))
    assert [row["key"] for row in rest] == ["unknown", "leased"]


def test_what_may_be_there_is_looked_up_before_it_is_sent(store: SqlStore) -> None:
    store.write(lambda unit: unit.want([wanted("a", due_at=LATER), wanted("b", due_at=LATER)]))
    store.write(lambda unit: unit.are_unsure([delivery(unit, "a")["id"]], NOW))
    found = [store.read(lambda unit, k=k: delivery(unit, k)) for k in "ab"]
    assert [(row["state"], bool(row["unsure"]), row["due_at"]) for row in found] == [
        ("unknown", True, NOW), ("pending", False, LATER),
    ]  # fmt: skip


def test_a_value_found_at_the_target_is_taken_as_accepted(store: SqlStore) -> None:
    cells = [
        counted(ODD, period="202606"),
        counted("4", period="202607"),
        counted("4", period="202608", state="shadow"),
    ]
    store.write(lambda unit: unit.keep_cells(cells))
    for cell in store.read(lambda unit: unit.cells_where("data_set=:d", d=BLOCK[0])):
        found_there = {"id": cell["id"], "state": cell["state"], "reason": "r", "there": "9"}
        store.write(lambda unit, one=found_there: unit.cells_state([one]))
        store.write(lambda unit, id=cell["id"]: unit.cell_was_accepted(id, ODD, LATER))
    found = store.read(lambda unit: unit.cells_where("data_set=:d", d=BLOCK[0]))
    assert [cell["state"] for cell in found] == ["accepted", "wanted", "shadow"]
    assert {tuple(cell[n] for n in ("accepted", "accepted_at", "there", "reason")) for cell in found} == {
        (ODD, LATER, None, None)
    }
    (sent,) = store.read(lambda unit: unit.sends(found[0]["id"]))
    assert [sent[n] for n in ("attempt", "value", "verdict", "reason", "at")] == [
        0, ODD, "accepted", "restored.found", LATER,
    ]  # fmt: skip


def test_audit_entries_come_in_the_order_written(store: SqlStore) -> None:
    insert = text(
        "INSERT INTO audit (at, event, who, subject, detail, digest) VALUES (:at, 'e', 'system', '', :detail, 'd')"
    )
    written = [{"at": at, "detail": ODD} for at in (LATER, NOW, LONG_AGO)]
    store.write(lambda unit: unit.execute(insert, written))
    first = store.read(lambda unit: unit.audit_entries(0, 2))
    assert [(row["at"], row["detail"], row["sequence"]) for row in first] == [(LATER, ODD, None), (NOW, ODD, None)]
    assert [row["at"] for row in store.read(lambda unit: unit.audit_entries(first[-1]["id"], 9))] == [LONG_AGO]


# ---------------------------------------------------------------- mapped and counted again


def test_records_of_a_place_are_marked(store: SqlStore) -> None:
    def work(unit: Any) -> list[int]:
        mapped(unit, "here", "there")
        mapped(unit, "gone", deleted=True)
        mapped(unit, "purged")
        unit.purge_bodies([{**head("purged")}], NOW)
        unit.keep_activities([activity(k, place=ODD) for k in ("here", "gone", "purged")])
        return [unit.dirty_by_place("odk", [ODD]), unit.dirty_by_place("cht", []),
                unit.dirty_by_place("cht", [ODD, "nowhere"])]  # fmt: skip

    assert store.write(work) == [0, 0, 1]
    assert [row["key"] for row in store.read(lambda unit: unit.dirty_heads(0, 9))] == ["here"]


def test_every_place_of_an_activity_is_named_once(store: SqlStore) -> None:
    places = {"a": ODD, "b": ODD, "c": "site-1", "d": None}
    store.write(lambda unit: unit.keep_activities([activity(k, place=p) for k, p in places.items()]))
    assert sorted(store.read(lambda unit: unit.places_of_activities())) == sorted([ODD, "site-1"])


def test_records_in_quarantine_are_found_by_reason(store: SqlStore) -> None:
    held = [held_for(ODD), held_for("b", "date.missing"), held_for("c", "other"), held_for("d", source="odk")]
    store.write(lambda unit: unit.quarantine(held))
    found = store.read(lambda unit: unit.quarantined_for("cht", ["place.unknown", "date.missing"]))
    assert sorted(found) == sorted([record(ODD), record("b")])
    assert store.read(lambda unit: unit.quarantined_for("cht", [])) == []


def test_every_cell_can_be_counted_again(store: SqlStore) -> None:
    touched_already = {**CELL, "categories": ODD}
    cells = [counted(), counted(categories=ODD), counted(period="202607")]
    store.write(lambda unit: unit.keep_cells(cells))
    store.write(lambda unit: unit.touch([touched_already]))
    store.write(lambda unit: unit.touch_all())
    again = store.write(lambda unit: unit.recount(10))
    assert {(row["period"], row["categories"]) for row in again} == {(c["period"], c["categories"]) for c in cells}
    assert len(again) == 3


# ---------------------------------------------------------------- retention


def test_a_body_may_go_only_when_nothing_of_its_record_waits(store: SqlStore) -> None:
    waiting = ("dirty", "received", "held", "pending", "parked", "referred", "touched", "figure")

    def work(unit: Any) -> None:
        mapped(unit, "free", "settled", *waiting)
        unit.move_heads([head("dirty", state="mapped"), head("received", dirty=False)])
        unit.quarantine([held_for("held")])
        unit.want([wanted(k, record=record(k), state=k) for k in ("pending", "parked")])
        unit.want([wanted("settled", record=record("settled"), state="resolved")])
        unit.keep_referral(**referred("referred"))
        unit.keep_referral(**referred("settled", state="completed"))
        periods = {"touched": "202606", "figure": "202607", "settled": "202608"}
        unit.replace_contributions([], [contribution(k, period=p) for k, p in periods.items()])
        unit.touch([{**CELL, "period": "202606"}])
        unit.keep_cells([counted(period="202607"), counted(period="202608", state="accepted")])

    store.write(work)
    found = store.read(lambda unit: unit.bodies_to_purge(LATER, 0, 100))
    assert [row["record"] for row in found] == [record("free"), record("settled")]
    assert store.read(lambda unit: unit.old_and_waiting(LATER)) == len(waiting)


def test_the_time_of_a_body_runs_from_the_last_acceptance(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        mapped(unit, "a", "b", "delivered", "counted")
        mapped(unit, "came", now=LATER)
        unit.want([wanted("delivered", record=record("delivered"))])
        unit.settle_accepted([settled(row, digest="d1", no=False, now=LATER) for row in leased(unit)])
        unit.replace_contributions([], [contribution("counted")])
        unit.keep_cells([counted()])
        (cell,) = unit.cells(BLOCK)
        unit.cells_accepted([{"id": cell["id"], "value": "3", "now": LATER}])

    store.write(work)
    first = store.read(lambda unit: unit.bodies_to_purge(LATER, 0, 1))
    assert [row["key"] for row in first] == ["a"]
    assert [r["key"] for r in store.read(lambda unit: unit.bodies_to_purge(LATER, first[-1]["id"], 9))] == ["b"]
    assert store.read(lambda unit: unit.bodies_to_purge(NOW, 0, 9)) == []
    assert store.read(lambda unit: unit.old_and_waiting(LATER)) == 0
    assert len(store.read(lambda unit: unit.bodies_to_purge(AFTER, 0, 9))) == 5


def test_a_purged_record_has_no_body_of_any_revision_and_no_answer(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        mapped(unit, ODD, "other")
        unit.keep_bodies([body(ODD, "2"), body(ODD, "3", body_enc=None)])
        unit.want([wanted("a", record=record(ODD)), wanted("b", record=record("other"))])
        answered(unit, "a", "b")

    store.write(work)
    assert store.write(lambda unit: unit.purge_bodies([head(ODD)], LATER)) == {"bodies": 2, "answers": 1}
    kept = rows(store, "SELECT key, body_enc FROM body WHERE body_enc IS NOT NULL")
    assert kept == [{"key": "other", "body_enc": b"\x00\xff sealed"}]
    assert answers(store) == {"a": None, "b": b"\x00 answer"}
    purged = {k: store.read(lambda unit, k=k: unit.head(record(k))) for k in (ODD, "other")}
    assert {k: row["purged"] for k, row in purged.items() if row} == {ODD: LATER, "other": None}
    assert store.write(lambda unit: unit.purge_bodies([head(ODD)], LATER)) == {"bodies": 0, "answers": 0}


def test_answers_about_a_record_are_forgotten(store: SqlStore) -> None:
    store.write(lambda unit: unit.want([wanted("a", record=ODD), wanted("b", record="another"), wanted("c")]))
    store.write(lambda unit: answered(unit, "a", "b", "c"))
    store.write(lambda unit: answered(unit, "a"))
    assert [store.write(lambda unit: unit.purge_answers(ODD)) for _ in "12"] == [2, 0]
    assert [key for key, answer in sorted(answers(store).items()) if answer] == ["b", "c"]


def test_what_an_activity_said_goes_and_what_explains_a_figure_stays(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        mapped(unit, "a", "b", "young", "unpurged", "held")
        unit.keep_activities([activity("young", date="2026-09-01")])
        unit.purge_bodies([head(k) for k in ("a", "b", "young", "held")], NOW)
        unit.quarantine([held_for("held")])

    store.write(work)
    first = store.read(lambda unit: unit.activities_to_purge("2026-09-01", 0, 1))
    assert [row["key"] for row in first] == ["a"]
    rest = store.read(lambda unit: unit.activities_to_purge("2026-09-01", first[-1]["id"], 9))
    assert [row["key"] for row in rest] == ["b"]
    assert store.write(lambda unit: unit.purge_activities([*first, {"record": "not/there"}])) == 1
    assert [r["key"] for r in store.read(lambda unit: unit.activities_to_purge("2026-09-01", 0, 9))] == ["b"]
    assert list(store.read(lambda unit: unit.activities([record("a"), record("b")]))) == [record("b")]
    kept = store.read(lambda unit: unit.activity_row(record("a")))
    assert kept is not None
    assert [kept[n] for n in ("place", "worker", "date", "version", "subject", "activity_enc")] == [
        "site-1", "asc-001", "2026-08-10", "v1", None, b"",
    ]  # fmt: skip
    assert store.read(lambda unit: unit.activity_row("not/there")) is None


def test_purged_records_are_counted_by_the_version_they_were_mapped_with(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        mapped(unit, *"abcd")
        mapped(unit, "ignored", state="ignored")
        unit.keep_activities([activity(k, form=ODD, version="v2") for k in "bc"])
        unit.purge_bodies([head(k) for k in ("a", "b", "c", "ignored")], NOW)

    store.write(work)
    found = store.read(lambda unit: unit.purged_versions())
    assert {(row["source"], row["form"], row["version"]): int(row["n"]) for row in found} == {
        ("cht", "visit", "v1"): 1, ("cht", ODD, "v2"): 2,
    }  # fmt: skip


def test_a_request_can_be_shortened(store: SqlStore) -> None:
    kinds = {"a": "referral", "b": "answer", "c": "resource"}
    full = [wanted(k, kind=kind, record=ODD, payload_enc=b"\x00 full") for k, kind in kinds.items()]
    store.write(lambda unit: unit.want([*full, wanted("d", kind="referral", record=ODD)]))
    store.write(lambda unit: unit.want([wanted("e", kind="referral", record="another", payload_enc=b"\x00 full")]))
    found = store.read(lambda unit: unit.payloads(ODD, ("referral", "answer")))
    assert sorted((row["key"], row["payload_enc"]) for row in found) == [("a", b"\x00 full"), ("b", b"\x00 full")]
    known = ids(store)
    store.write(lambda unit: unit.replace_payload(known["a"], b"\x00"))
    store.write(lambda unit: unit.replace_payload(known["b"], None))
    left = store.read(lambda unit: unit.payloads(ODD, ("referral", "answer", "resource")))
    assert sorted((row["key"], row["payload_enc"]) for row in left) == [("a", b"\x00"), ("c", b"\x00 full")]


def test_what_a_clinic_answered_is_forgotten_and_whom_it_is_about(store: SqlStore) -> None:
    for key in (ODD, "other"):
        store.write(lambda unit, k=key: unit.keep_referral(**referred(k)))
        store.write(lambda unit, k=key: unit.referral_state(record(k), "completed", LATER, answer_enc=b"\x00"))
    assert [store.write(lambda unit: unit.forget_answer(record(ODD))) for _ in "12"] == [1, 0]
    found = [store.read(lambda unit, k=k: unit.referral(record(k))) for k in (ODD, "other")]
    assert [(row["subject"], row["answer_enc"], row["state"]) for row in found if row] == [
        (None, None, "completed"), ("anna", b"\x00", "completed"),
    ]  # fmt: skip


# ---------------------------------------------------------------- data keys


def sealed_with(key: str) -> bytes:
    return bytes((1, len(key))) + key.encode() + b"\x00\xff nonce and text"


def test_a_data_key_is_idle_when_no_value_needs_it_any_more(store: SqlStore) -> None:
    names = ("body/2026-07", "body/2026-07.2", "body/2026-08", "body/2026-09", "activity/2026-07")
    insert = text("INSERT INTO data_key (id, wrapped, created) VALUES (:id, :wrapped, :now)")
    store.write(lambda unit: unit.execute(insert, [{"id": n, "wrapped": b"\x00", "now": NOW} for n in names]))
    in_use = {"a": "body/2026-07.2", "b": "body/2026-08"}
    store.write(lambda unit: unit.keep_bodies([body(k, body_enc=sealed_with(n)) for k, n in in_use.items()]))
    store.write(lambda unit: mapped(unit, "c"))
    assert store.read(lambda unit: unit.idle_keys("body", "2026-09")) == ["body/2026-07"]
    store.write(lambda unit: unit.purge_bodies([head("b")], NOW))
    assert sorted(store.read(lambda unit: unit.idle_keys("body", "2026-09"))) == ["body/2026-07", "body/2026-08"]
    assert store.read(lambda unit: unit.idle_keys("body", "2026-07")) == []


def test_what_was_sealed_with_a_destroyed_key_is_noise(store: SqlStore) -> None:
    store.write(lambda unit: unit.seal("body", ODD))
    store.write(lambda unit: unit.seal("activity", ODD))
    before = {row["id"] for row in rows(store, "SELECT id FROM data_key")}
    store.write(lambda unit: unit.destroy_key("body/2026-10"))
    left = {row["id"] for row in rows(store, "SELECT id FROM data_key")}
    assert before - left == {"body/2026-10"} and "activity/2026-10" in left


def asked(key: str, **more: Any) -> dict[str, Any]:
    return {"target": "openmrs", "source": "cht", "key": key, "now": NOW, "match_enc": b"m", **more}


def sealed_everywhere(unit: Any) -> None:
    """Three values in every encrypted column, one of them under an odd key; and one that is purged."""
    keys = ("A", "a", ODD)
    unit.keep_bodies([*(body(k, body_enc=k.encode()) for k in keys), body("purged", body_enc=None)])
    unit.keep_activities([activity(k, activity_enc=k.encode()) for k in keys] + [activity("purged", activity_enc=b"")])
    unit.keep_entities([registered(k, entity_enc=k.encode()) for k in keys])
    unit.want([*(wanted(k, payload_enc=k.encode()) for k in keys), wanted("purged")])
    for key in keys:
        answered(unit, key, answer=key.encode())
        unit.keep_referral(**referred(key))
        unit.referral_state(record(key), "completed", NOW, answer_enc=key.encode())
    unit.keep_referral(**referred("purged"))
    for key, note in (*((k, k.encode()) for k in keys), ("purged", None)):
        unit.keep_same(same(key, "into", "into", note_enc=note))
    for key in keys:
        unit.ask_match(asked(key, match_enc=key.encode()))


@pytest.mark.parametrize("table", ENCRYPTED)
def test_every_sealed_value_is_read_once_page_by_page(store: SqlStore, table: str) -> None:
    store.write(sealed_everywhere)
    keys = ENCRYPTED[table][1]
    found: list[bytes] = []
    after: list[Any] | None = None
    while page := store.read(lambda unit, a=after: unit.encrypted_page(table, a, 2)):
        assert all(set(row) == {*keys, "blob"} for row in page)
        found += [row["blob"] for row in page]
        after = [page[-1][key] for key in keys]
    assert sorted(found) == sorted([b"A", b"a", ODD.encode()])


@pytest.mark.parametrize("table", ENCRYPTED)
def test_a_sealed_value_is_replaced_unless_it_changed_meanwhile(store: SqlStore, table: str) -> None:
    store.write(sealed_everywhere)
    page = store.read(lambda unit: unit.encrypted_page(table, None, 9))
    (row,) = [row for row in page if row["blob"] == ODD.encode()]
    assert store.write(lambda unit: unit.keep_encrypted(table, row, ODD.encode(), b"\x00\xff new")) == 1
    assert store.write(lambda unit: unit.keep_encrypted(table, row, ODD.encode(), b"too late")) == 0
    after = store.read(lambda unit: unit.encrypted_page(table, None, 9))
    assert sorted(row["blob"] for row in after) == sorted([b"A", b"a", b"\x00\xff new"])


# ---------------------------------------------------------------- forgetting a person


def test_all_records_of_a_person_are_found_and_no_others(store: SqlStore) -> None:
    elsewhere = {"source": "odk", "record": "odk/reports/x"}

    def work(unit: Any) -> None:
        unit.keep_entities([registered(ODD), registered("modibo"), registered(ODD, **elsewhere)])
        mapped(unit, "about", "another", "referral", "modibo's")
        unit.keep_activities([activity("about", subject=ODD), activity("another", subject="modibo")])
        unit.keep_referral(**referred("referral", subject=ODD))
        unit.keep_referral(**referred("modibo's", subject="modibo"))
        unit.move_heads([head(record(k), source="clinic", record=f"clinic/{k}") for k in ("referral", "modibo's")])
        unit.move_heads([head(ODD), head(ODD, **elsewhere)])
        unit.keep_activities([activity("x", subject=ODD, record="odk/reports/x")])

    store.write(work)
    assert store.read(lambda unit: unit.records_of_person("cht", ODD)) == sorted(
        [record(f"reg-{ODD}"), record("about"), record("referral"), "clinic/referral", record(ODD)]
    )
    assert store.read(lambda unit: unit.records_of_person("cht", "nobody")) == []


def test_a_place_of_that_name_is_no_person(store: SqlStore) -> None:
    store.write(lambda unit: unit.move_heads([head("site-1")]))
    assert store.read(lambda unit: unit.records_of_person("cht", "site-1")) == [record("site-1")], "nobody knows her"
    store.write(lambda unit: unit.keep_entities([registered("site-1", kind="place")]))
    assert store.read(lambda unit: unit.records_of_person("cht", "site-1")) == []


def test_bodies_nobody_could_map_are_read_page_by_page(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        mapped(unit, "new", state="received")
        unit.keep_bodies([body("new", "2")])  # every revision may name her
        mapped(unit, "mapped")
        mapped(unit, ODD, state="quarantined")
        unit.keep_bodies([body("gone", body_enc=None), body("x", source="odk")])
        unit.move_heads([head("gone"), head("x", source="odk", record="odk/reports/x")])

    store.write(work)
    first = store.read(lambda unit: unit.unmapped_bodies("cht", 0, 1))
    assert [(row["record"], row["body_enc"]) for row in first] == [(record("new"), b"\x00\xff sealed")] * 2
    rest = store.read(lambda unit: unit.unmapped_bodies("cht", first[-1]["id"], 9))
    assert [row["record"] for row in rest] == [record(ODD)]


def her_records(unit: Any) -> None:
    for key in (ODD, "other"):
        mapped(unit, key)
        unit.keep_bodies([body(key, "2")])
        unit.keep_entities([registered(key, record=record(key))])
        unit.keep_same(same(key, "into", "into"))
        unit.ask_match(asked(key))
        unit.quarantine([held_for(key)])
        unit.keep_referral(**referred(key))
        unit.referral_state(record(key), "sent", NOW, answer_enc=b"\x00")
        unit.replace_contributions([], [contribution(key)])
        more = {"record": record(key), "subject": "anna", "payload_enc": b"\x00"}
        unit.want([wanted(f"{key}/{kind}", kind=kind, **more) for kind in ("referral", "resource")])
        unit.want([wanted(f"{key}/done", kind="answer", state="accepted", **more)])
        answered(unit, f"{key}/done")


def test_of_an_erased_record_nothing_is_left_but_the_figures(store: SqlStore) -> None:
    store.write(her_records)
    counts = store.write(lambda unit: unit.erase_record(record(ODD), LATER))
    assert counts == {"bodies": 2, "activities": 1, "entities": 1, "answers": 2, "requests": 3}
    (gone,) = rows(store, "SELECT state, purged, dirty FROM head WHERE record=:r", r=record(ODD))
    assert (gone["state"], gone["purged"], bool(gone["dirty"])) == ("erased", LATER, False)
    for table, column in ENCRYPTED.items():
        held = store.read(lambda unit, t=table: unit.encrypted_page(t, None, 99))
        left = {"body": 2, "delivery": 3}.get(table, 1)
        assert len(held) == left, f"{table}.{column[2]}: only the other's"
    row = store.read(lambda unit: unit.activity_row(record(ODD)))
    assert row is not None and (row["subject"], row["place"]) == (None, "site-1")
    assert [q["key"] for q in store.read(lambda unit: unit.list_quarantine({}, 9))] == ["other"]
    referral = store.read(lambda unit: unit.referral(record(ODD)))
    assert referral is not None and (referral["state"], referral["subject"]) == ("withdrawn", None)
    assert len(store.read(lambda unit: unit.contributions([record(ODD)]))) == 1
    again = store.write(lambda unit: unit.erase_record(record(ODD), LATER))
    assert set(again.values()) == {0}, "given again it changes nothing"


def test_of_an_erased_record_only_the_resources_are_still_delivered(store: SqlStore) -> None:
    store.write(her_records)
    store.write(lambda unit: unit.erase_record(record(ODD), LATER))
    found = {k: store.read(lambda unit, k=k: delivery(unit, f"{ODD}/{k}")) for k in ("referral", "resource", "done")}
    assert {k: (row["state"], row["reason"], row["subject"]) for k, row in found.items()} == {
        "referral": ("resolved", "person.erased", None), "resource": ("pending", None, "anna"),
        "done": ("accepted", None, None),
    }  # fmt: skip
    assert store.read(lambda unit: delivery(unit, "other/referral"))["state"] == "pending"


def test_resources_of_a_record_are_those_that_are_not_wanted_gone(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        unit.want(
            [wanted("Patient/a", kind="resource", record=ODD), wanted("Patient/b", "", kind="resource", record=ODD)]
        )
        unit.want([wanted("block", record=ODD), wanted("Patient/c", kind="resource", record="another")])

    store.write(work)
    assert [row["key"] for row in store.read(lambda unit: unit.resources_of(ODD))] == ["Patient/a"]


def test_what_is_removed_is_overwritten_in_the_file(store: SqlStore) -> None:
    def work(unit: Any) -> int:
        if not store.sqlite:
            unit.overwrite_deleted()
            return 1
        unit.connection.exec_driver_sql("PRAGMA secure_delete=OFF")
        unit.overwrite_deleted()
        return int(unit.connection.exec_driver_sql("PRAGMA secure_delete").scalar() or 0)

    assert store.write(work) == 1
