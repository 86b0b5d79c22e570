"""What operators do: retry, park, resolve, pause, resume, try now. What is frozen stays so; nothing is sent twice."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer

from connector import cli
from connector.cli import acting
from connector.engine import actions as acting_engine
from connector.engine import delivery as delivering
from connector.engine import runs, trying
from connector.engine import status as standing
from connector.engine.actions import Actions
from connector.engine.engine import Engine, moment, stamp
from connector.identity import digest
from connector.retry import TargetHealth
from tests.engine.bench_house import Shelf, engine
from tests.engine.house import Road

BY = "awa"


def rows(house: Engine, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.store.read(lambda unit: unit._rows(sql, **parameters))
    return found


def row(house: Engine, key: str) -> dict[str, Any]:
    found: dict[str, Any] | None = house.store.read(lambda unit: unit.delivery("shelf", key))
    assert found is not None
    return found


def want(house: Engine, key: str, payload: Any, subject: str | None = None) -> int:
    now = house.now()
    house.store.write(
        lambda unit: unit.want([{
            "target": "shelf", "key": key, "kind": "answer", "subject": subject, "digest": digest(payload),
            "payload_enc": unit.seal("delivery", payload), "state": "pending", "due_at": now, "now": now,
        }])
    )  # fmt: skip
    house.clock.at += timedelta(seconds=1)  # type: ignore[attr-defined]
    return int(row(house, key)["id"])


def shelf(house: Engine) -> Shelf:
    made: Any = house.targets["shelf"]
    return made  # type: ignore[no-any-return]


def deliver(house: Engine) -> None:
    asyncio.run(delivering.deliver(house, "shelf"))


def later(house: Engine, **span: float) -> None:
    house.clock.at += timedelta(**span)  # type: ignore[attr-defined]


@pytest.fixture
def house(tmp_path: Path) -> Engine:
    return engine(tmp_path)


def parked(house: Engine, *keys: str) -> list[int]:
    """Deliveries the shelf refused."""
    ids = [want(house, key, {"n": key}) for key in keys]
    shelf(house).faults = ["refuse"] * len(keys)
    deliver(house)
    assert {row(house, key)["state"] for key in keys} == {"parked"}
    return ids


# ---------------------------------------------------------------- retry


def test_a_choice_is_frozen_before_anything_is_done(house: Engine) -> None:
    parked(house, "a", "b")
    number = Actions(house).freeze([], {"state": "parked"}, BY)
    parked(house, "late")
    counts = Actions(house).retry_selection(number, BY)
    assert (counts["retried"], counts["left"]) == (2, 0)
    deliver(house)
    assert set(shelf(house).held) == {"a", "b"} and row(house, "late")["state"] == "parked"
    assert rows(house, "SELECT state FROM selection")[0]["state"] == "done"


def test_retried_ones_leave_in_the_order_they_were_wanted(house: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting_engine, "CHUNK", 2)
    ids = parked(house, "a", "b", "c", "d", "e")
    order: list[str] = []
    send = shelf(house).deliver

    async def watched(batch: Any, progress: Any) -> Any:
        order.extend(d.key for d in batch)
        return await send(batch, progress)

    shelf(house).deliver = watched  # type: ignore[method-assign]
    Actions(house).retry(list(reversed(ids)), BY)
    deliver(house)
    assert order == ["a", "b", "c", "d", "e"]


def test_what_the_target_holds_is_counted_and_not_sent_again(house: Engine) -> None:
    held, again = want(house, "held", {"n": 1}), want(house, "again", {"n": 1})
    deliver(house)
    (refused,) = parked(house, "refused")
    want(house, "again", {"n": 2})
    assert Actions(house).park([again], "wait", BY) == 1
    want(house, "again", {"n": 1})  # back to what the shelf holds
    assert Actions(house).park([again], "wait", BY) == 1
    requests = shelf(house).requests
    assert Actions(house).standing([held, again, refused]) == {"chosen": 3, "held": 1, "sending": 0, "uncertain": 0}
    counts = Actions(house).retry_selection(Actions(house).freeze([held, again, refused], None, BY), BY)
    assert (counts["held_already"], counts["retried"]) == (1, 2)
    deliver(house)
    assert shelf(house).requests == requests + 1, "only the refused one is a request"
    assert {row(house, key)["state"] for key in ("held", "again", "refused")} == {"accepted"}


def test_ctrl_c_leaves_the_rest_as_it_is_and_it_can_be_taken_up(house: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting_engine, "CHUNK", 1)
    parked(house, "a", "b", "c")
    actions = Actions(house)
    number = actions.freeze([], {"target": "shelf", "state": "parked"}, BY)
    seen: list[int] = []

    def progress(count: int) -> None:
        seen.append(count)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        actions.retry_selection(number, BY, progress)
    counts = actions.cancel_selection(number, BY)
    assert (counts["retried"], counts["left"]) == (2, 1)
    assert [row(house, key)["state"] for key in "abc"] == ["pending", "pending", "parked"]
    assert actions.retry_selection(number, BY)["retried"] == 3
    deliver(house)
    assert set(shelf(house).held) == {"a", "b", "c"}


@pytest.mark.parametrize("how", ["waiting", "parked by a person", "retried twice"])
def test_an_uncertain_one_keeps_its_quiet_time(house: Engine, how: str) -> None:
    one = want(house, "a", {"n": 1})
    shelf(house).faults = ["lost_after"]
    deliver(house)
    assert row(house, "a")["state"] == "unknown" and shelf(house).requests == 1
    answered = house.clock.now()
    if how == "parked by a person":
        assert Actions(house).park([one], "ask first", BY) == 1
    later(house, seconds=5)
    counts = Actions(house).retry_selection(Actions(house).freeze([one], None, BY), BY)
    assert (counts["quiet"], counts["retried"]) == (1, 0)
    if how == "retried twice":
        later(house, seconds=5)
        Actions(house).retry([one], BY)
    deliver(house)
    assert row(house, "a")["state"] == "unknown", "what was sent may still arrive"
    assert moment(row(house, "a")["due_at"]) == answered + shelf(house).capabilities.settles_within
    later(house, seconds=60)
    deliver(house)
    assert row(house, "a")["state"] == "accepted" and shelf(house).requests == 1, "looked up, not sent again"


def test_one_on_its_way_is_left_alone(house: Engine) -> None:
    one = want(house, "a", {"n": 1})
    house.store.write(lambda unit: delivering._claim(house, unit, "shelf", TargetHealth(breaker="half_open")))
    counts = Actions(house).retry_selection(Actions(house).freeze([one], None, BY), BY)
    assert counts["moved_on"] == 1 and row(house, "a")["state"] == "leased"


# ---------------------------------------------------------------- park, resolve


def test_who_parked_and_why_stay_with_the_delivery_and_the_words_not_in_the_audit(house: Engine) -> None:
    one = want(house, "a", {"n": 1})
    assert Actions(house).park([one], "ask Zorblatha first", BY) == 1
    found = row(house, "a")
    assert (found["state"], found["note"], found["note_by"]) == ("parked", "ask Zorblatha first", BY)
    assert (found["reason"], found["who"]) == ("delivery.parked_by_person", "sysadmin")
    assert Actions(house).resolve([one], "done by hand", BY) == 1
    assert (row(house, "a")["state"], row(house, "a")["note"]) == ("resolved", "done by hand")
    trail = str(rows(house, "SELECT * FROM audit"))
    assert "Zorblatha" not in trail and "by hand" not in trail and "person.park" in trail
    want(house, "a", {"n": 2})
    assert row(house, "a")["note"] is None, "a newer wanted state has nobody's note"


# ---------------------------------------------------------------- pause


def test_a_pause_that_is_over_ends_by_itself_and_that_is_written_down(house: Engine) -> None:
    want(house, "a", {"n": 1})
    until = house.clock.now() + timedelta(hours=2)
    Actions(house).pause("shelf", "works on the server", until, BY)
    deliver(house)
    (shown,) = [c for c in standing.status(house, "0")["connections"] if c["name"] == "shelf"]
    assert shown["state"] == "paused" and shelf(house).requests == 0
    assert shown["paused"] == {
        "reason": "works on the server", "by": BY, "until": stamp(until), "since": shown["paused"]["since"],
    }  # fmt: skip
    later(house, hours=2)
    assert standing.status(house, "0")["connections"][1]["state"] != "paused"
    deliver(house)
    assert set(shelf(house).held) == {"a"}
    events = [r["event"] for r in rows(house, "SELECT event FROM audit ORDER BY id")]
    assert events.count("person.pause") == 1 and events.count("pause.ended") == 1


def test_a_run_sleeps_through_a_pause_with_an_end_and_not_through_one_without(house: Engine) -> None:
    want(house, "a", {"n": 1})
    Actions(house).pause("shelf", "works", house.clock.now() + timedelta(minutes=30), BY)
    summary = asyncio.run(runs.once(house, wait=timedelta(hours=1), sources=[]))
    assert summary["outcome"] == "settled" and set(shelf(house).held) == {"a"}
    want(house, "b", {"n": 1})
    Actions(house).pause("shelf", "works", None, BY)
    house.run = "run-2"
    before = house.clock.now()
    summary = asyncio.run(runs.once(house, wait=timedelta(hours=1), sources=[]))
    assert (summary["outcome"], summary["next_due"]) == ("waiting", None)
    assert house.clock.now() - before < timedelta(minutes=1), "nobody is waited for"


def test_a_paused_clinic_is_not_asked_for_answers(road: Road) -> None:
    road.settle()
    road.actions.pause("openmrs", "works", None, BY)
    asked = len(road.wires["openmrs"].seen)
    road.later(hours=1)
    road.run()
    assert len(road.wires["openmrs"].seen) == asked


# ---------------------------------------------------------------- try now


def test_try_now_lets_one_probe_through_an_open_breaker(house: Engine) -> None:
    for key in "abcde":
        want(house, key, {"n": 1})
    shelf(house).faults = ["down"] * 1000
    for _ in range(4):
        deliver(house)
        later(house, hours=1)
    deliver(house)
    state = house.store.read(lambda unit: unit.row_of_target("shelf"))
    assert state["breaker"] == "open" and state["due_at"] > house.now()
    requests = shelf(house).requests
    asyncio.run(trying.now(house, "shelf", BY))
    assert shelf(house).requests == requests + 1, "one, and no more while it fails"
    state = house.store.read(lambda unit: unit.row_of_target("shelf"))
    assert state["breaker"] == "open" and state["due_at"] > house.now() and state["reason"] == "shelf.unreachable"
    shelf(house).faults = []
    assert asyncio.run(trying.now(house, "shelf", BY))["accepted"] == 5
    assert set(shelf(house).held) == set("abcde")
    assert [r["event"] for r in rows(house, "SELECT event FROM audit")].count("person.try_now") == 2


def test_a_source_may_be_tried_now(road: Road) -> None:
    road.cht.plane.arm({"down": True})
    assert road.run()["errors"].get("cht")
    road.cht.plane.arm([])
    assert road.one("SELECT due_at FROM source_state WHERE source='cht'")["due_at"] > road.engine.now()
    counts = road.go(lambda: trying.now(road.engine, "cht", BY))
    assert counts["new"] > 0 and road.one("SELECT reason FROM source_state WHERE source='cht'")["reason"] is None


# ---------------------------------------------------------------- commands


def relais(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["relais", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


def test_the_commands(road: Road, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    road.dhis2.refuse = [{"match": {"dataElement": "MH_B02_NUM"}, "code": "E7619"}]
    road.settle()
    many = len(road.rows("SELECT id FROM delivery WHERE state='parked'"))
    assert many
    one = road.one("SELECT MIN(id) AS id FROM delivery WHERE state='parked'")["id"]
    road.close()

    def json(*arguments: str, code: int = 0) -> Any:
        capfd.readouterr()
        assert relais(monkeypatch, *arguments, "--json") == code
        return orjson.loads(capfd.readouterr().out)

    dry = json("retry", "--where", "state=parked", "--dry-run")
    assert (dry["chosen"], dry["retried"], dry["selection"]) == (many, 0, None)
    assert json("resolve", str(one), "--note", "settled on the phone") == {"resolved": 1, "left": 0}
    done = json("retry", "--where", "state=parked")
    assert (done["chosen"], done["retried"], done["left"], done["cancelled"]) == (many - 1, many - 1, 0, False)
    assert json("retry", "--selection", str(done["selection"]))["retried"] == many - 1, "nothing is done twice"
    assert json("park", str(one), "--reason", "x") == {"parked": 0, "left": 1}, "what is settled stays so"
    shown = next(r for r in json("deliveries", "--where", "state=resolved") if r["id"] == one)
    assert shown["note"] == "settled on the phone" and shown["note_by"]

    assert json("pause", "dhis2", "--reason", "works", "--until", "2h")["reason"] == "works"
    found = {c["name"]: c for c in json("status", code=5)["connections"]}
    assert found["dhis2"]["state"] == "paused" and found["dhis2"]["paused"]["until"]
    capfd.readouterr()
    assert relais(monkeypatch, "deliveries") == 0 and "works" in capfd.readouterr().out
    assert relais(monkeypatch, "status") == 5 and "works" in capfd.readouterr().out
    assert json("resume", "dhis2")["state"] != "paused"
    for wrong in (["pause", "nowhere", "--reason", "x"], ["pause", "dhis2", "--reason", " "], ["retry"],
                  ["pause", "dhis2", "--reason", "x", "--until", "2001-01-01"], ["retry", "--selection", "99"],
                  ["resume", "nowhere"], ["try-now", "nowhere"]):  # fmt: skip
        assert relais(monkeypatch, *wrong) == 2, wrong
    road.open()


def test_ctrl_c_at_the_command_says_what_was_left(road: Road, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    road.dhis2.refuse = [{"match": {"dataElement": "MH_B02_NUM"}, "code": "E7619"}]
    road.settle()
    road.close()

    def interrupted(self: Any, number: int, by: str, progress: Any = None) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Actions, "retry_selection", interrupted)
        capfd.readouterr()
        assert relais(monkeypatch, "retry", "--where", "state=parked", "--json") == 130
    said = capfd.readouterr()
    document = orjson.loads(said.out)
    assert document["cancelled"] and document["left"] == document["chosen"] > 0
    assert f"--selection {document['selection']}" in said.err
    road.open()
    assert road.rows("SELECT id FROM delivery WHERE state='parked'"), "nothing was touched"


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("2h", "2026-11-22T08:00:00+00:00"),
        ("1.5d", "2026-11-23T18:00:00+00:00"),
        ("2026-11-30", "2026-11-30T20:59:59+00:00"),
        ("2026-11-30T18:00", "2026-11-30T15:00:00+00:00"),
        ("2026-11-30T18:00Z", "2026-11-30T18:00:00+00:00"),
    ],
)
def test_until_is_a_span_a_day_or_a_moment_of_the_packs_zone(text: str, until: str) -> None:
    now = datetime(2026, 11, 22, 6, tzinfo=UTC)
    assert acting.until_of(text, "Africa/Nairobi", now).isoformat() == until


@pytest.mark.parametrize("text", ["soon", "2026-11-22T05:00Z", "0h", "3x"])
def test_an_until_that_is_past_or_unreadable_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        acting.until_of(text, "Africa/Bamako", datetime(2026, 11, 22, 6, tzinfo=UTC))
