"""The audit trail's word for a figure: which entries, under which signed head, and that an altered one shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import insert, text

from connector.cli import explaining
from connector.engine import lineage
from connector.store.tables import metadata
from tests.engine.house import MODIBO, UNIT, WORKERS, Make, Road, a_few, visit

WHERE = ("MH_B02_NUM", UNIT, "202608", "A3_Y5_9")


def explained(road: Road) -> dict[str, Any]:
    found = lineage.explain(road.engine, *WHERE)
    assert found is not None
    return found


def proof(road: Road) -> dict[str, Any]:
    found: dict[str, Any] = explained(road)["proof"]
    return found


def positive(key: str) -> dict[str, Any]:
    return visit(key, "2026-08-15", subject=MODIBO, rdt="positive")


@pytest.fixture
def sent_twice(make_road: Make) -> Road:
    """A figure that left as 2 and, an hour later, as 3."""
    road = make_road([*a_few(), positive("one"), positive("two")])
    road.settle()
    road.later(hours=1)
    road.cht.put(positive("three"))
    road.settle()
    return road


def test_a_figure_is_proved_and_told_with_its_rule_and_its_workers(
    sent_twice: Road, capfd: pytest.CaptureFixture[str]
) -> None:
    road = sent_twice
    sends = road.rows("SELECT s.* FROM value_sent s JOIN cell c ON c.id=s.cell WHERE c.data_element='MH_B02_NUM' "
                      "AND c.combo='A3_Y5_9' AND c.period='202608' ORDER BY s.id")  # fmt: skip
    assert [one["value"] for one in sends] == ["2", "3"]
    found = proof(road)
    assert found["ok"] is True and found["missing"] == [] and found["verify"] == "relais audit verify"
    told = [(one["event"], one["attempt"]) for one in found["entries"]]
    assert told == [(event, one["attempt"]) for one in sends for event in ("attempt.begun", "attempt.ended")]
    heads = {row["sequence"]: row for row in road.rows("SELECT * FROM audit_head")}
    for one in found["entries"]:
        row = road.one("SELECT * FROM audit WHERE sequence=:s", s=one["entry"])
        # the chain's formula, written out here
        told_by = [row["id"], row["at"], row["event"], row["who"], row["subject"], row["detail"]]
        own = hashlib.sha256(json.dumps(told_by, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()
        assert (one["digest"], one["hash"], one["ok"], one["reason"]) == (own, row["hash"], True, "")
        assert one["head"]["entry"] == min(s for s in heads if s >= one["entry"])
        assert one["head"]["hash"] == heads[one["head"]["entry"]]["hash"]
    assert [one["value"] for one in found["entries"] if one["event"] == "attempt.begun"] == [True, True]
    assert {one["verdict"] for one in found["entries"] if one["event"] == "attempt.ended"} == {"accepted"}

    # the rule in words with its date, and who counted how much; all of it also after the purge
    found = explained(sent_twice)
    rule, opened = found["rule"], sent_twice.one("SELECT MIN(at) AS at FROM audit WHERE event='pack.loaded'")["at"]
    assert rule["words"]["fr"] and rule["words"]["en"] and rule["words"]["fr"] != rule["words"]["en"]
    assert rule["since"] == opened and rule["counted_by"] == rule["version"]
    assert found["workers"] == [{"worker": WORKERS[0], "records": 3, "amount": "3", "last": "2026-08-15"}]
    assert [(one["value"], one["http_status"], bool(one["answered_at"])) for one in found["sends"]] == [
        ("3", 200, True), ("2", 200, True),
    ]  # fmt: skip
    # as relais explain says it
    now = {"words": {"fr": "La cible a 3.", "en": "The target holds 3."}}
    explaining._show_value({**found, "now": now}, road.engine.reasons, why_not=False)
    said = capfd.readouterr().out
    assert (
        "audit verify" in said
        and found["proof"]["entries"][0]["digest"][:16] in said
        and found["rule"]["version"][:12] in said
    )
    assert ("La cible a 3." in said or "The target holds 3." in said) and WORKERS[0] in said

    # what is wanted at another target, down to its record
    row = road.rows("SELECT * FROM delivery WHERE target='openmrs' AND kind='referral'")[0]
    told_of = lineage.explain_delivery(road.engine, "openmrs", row["key"])
    assert told_of is not None and told_of["delivery"]["state"] == "accepted" and told_of["proof"]["ok"] is True
    assert told_of["record"]["record"]["id"] == row["record"] and told_of["record"]["mapping"]["version"]
    assert told_of["attempts"][0]["verdict"] == "accepted"
    assert lineage.explain_delivery(road.engine, "openmrs", "nobody") is None

    with sent_twice.engine.store._writer.begin() as connection:  # as the purge leaves it
        connection.execute(text("UPDATE activity SET activity_enc=x''"))
        connection.execute(text("DELETE FROM body"))
    assert explained(sent_twice) == found


@contextmanager
def altered(road: Road, *changes: str, **parameters: Any) -> Iterator[None]:
    """These changes of the database, undone at the end."""
    kept = {name: road.rows(f"SELECT * FROM {name}") for name in ("audit", "audit_head", "value_sent")}
    with road.engine.store._writer.begin() as connection:
        for sql in changes:
            named = {name: value for name, value in parameters.items() if f":{name}" in sql}
            assert connection.execute(text(sql), named).rowcount >= 1, sql
    yield
    with road.engine.store._writer.begin() as connection:
        for name, rows in kept.items():
            connection.execute(text(f"DELETE FROM {name}"))
            connection.execute(insert(metadata.tables[name]), rows)


def test_what_was_altered_shows(sent_twice: Road) -> None:
    road = sent_twice
    intact = proof(road)
    begun = intact["entries"][-2]
    for sql, reason in {
        "UPDATE audit SET detail=replace(detail, 'size', 'sise') WHERE sequence=:entry": "entry.changed",
        "UPDATE audit SET hash='00' WHERE sequence=:entry": "chain.link",
        "UPDATE audit_head SET signature='00' WHERE sequence=:head": "head.signature",
        "UPDATE audit_head SET hash='00' WHERE sequence=:head": "head.differs",
        "DELETE FROM audit WHERE sequence=:entry + 1": "entry.missing",
        "DELETE FROM audit_head WHERE sequence >= :entry": "head.missing",
        "UPDATE value_sent SET value='9' WHERE attempt=:attempt AND value='3'": "value.differs",
    }.items():
        with altered(road, sql, entry=begun["entry"], head=begun["head"]["entry"], attempt=begun["attempt"]):
            found = proof(road)
        told = {one["entry"]: (one["ok"], one["reason"]) for one in found["entries"]}
        assert found["ok"] is False and told[begun["entry"]] == (False, reason), sql
        assert told[intact["entries"][0]["entry"]] == (True, ""), "an earlier head vouches for what came before"
    assert proof(road) == intact

    # what is gone is named, and what is not sealed yet is not judged
    attempt = intact["entries"][-1]["attempt"]
    open_again = "UPDATE audit SET sequence=NULL, previous=NULL, hash=NULL WHERE sequence > 3"
    with altered(road, open_again, "DELETE FROM audit_head WHERE sequence > 3"):
        found = proof(road)
        assert {(one["entry"], one["ok"], one["head"]) for one in found["entries"]} == {(None, None, None)}
        assert found["ok"] is None
    with altered(road, "DELETE FROM audit WHERE detail LIKE :a", a=f'{{"attempt":{attempt},%'):
        found = proof(road)
        assert found["missing"] == [attempt] and found["ok"] is False
