"""The whole engine on both databases: the same records make the same figures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from connector.engine.engine import stamp
from connector.errors import RunLocked
from tests.engine.house import MODIBO, Doc, Make, Road, a_few, make_road, meeting, visit
from tests.store.databases import DATABASES

__all__ = ["make_road"]  # the fixture


@pytest.fixture(params=DATABASES)
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def figures(road: Road) -> dict[str, Any]:
    return {"values": road.values(), "cells": road.rows(
        "SELECT indicator, part, org_unit, period, categories, value, records, accepted, state FROM cell "
        "ORDER BY indicator, part, period, categories"
    )}  # fmt: skip


def test_a_run_settles_a_second_one_sends_nothing_and_an_edit_arrives(make_road: Make) -> None:
    road = make_road()
    road.write_meetings("a", [meeting(n, saved=0.1) for n in range(10)])
    summary = road.settle()
    assert summary["outcome"] == "settled", (summary, road.rows("SELECT * FROM delivery WHERE state<>'accepted'"))
    sent = {name: road.writes(name) for name in road.sims}
    assert all(sent[name] for name in ("dhis2", "openmrs", "fhir"))
    kept = figures(road)
    saved = [c["value"] for c in kept["cells"] if c["indicator"] == "G05"]
    assert saved == ["1"], "ten times 0.1 is 0.9999999999999999 in binary floats"

    assert road.settle()["outcome"] == "settled"
    road.again()
    assert road.settle()["outcome"] == "settled"
    assert {name: road.writes(name) for name in road.sims} == sent and figures(road) == kept

    before = road.values()
    road.cht.put(visit("visit-08-2", "2026-08-12", subject=MODIBO, rdt="positive"))
    assert road.settle()["outcome"] == "settled"
    changed = {k[0]: (before.get(k), v) for k, v in road.values().items() if before.get(k) != v}
    assert changed["MH_B02_NUM"] == (None, "1"), changed
    assert road.reconcile()["different"] == 0


def test_who_slept_through_his_lock_sends_nothing_more(make_road: Make) -> None:
    """A machine that was suspended wakes up in the middle of a request, after another took over the run."""
    road = make_road()
    road.run(targets=[])  # received, mapped, counted
    begun: list[int] = []

    def attempts() -> int:
        return int(road.one("SELECT COUNT(*) AS n FROM attempt")["n"])

    def suspended(request: httpx.Request) -> httpx.Response | None:
        if request.method in ("POST", "PUT") and not begun:
            road.later(minutes=2)
            until = stamp(road.clock.now() + timedelta(seconds=90))
            assert road.engine.store.write(lambda u: u.take_lane("run", "another", road.engine.now(), until))
            begun.append(attempts())
        return None

    road.wires["dhis2"].instead = suspended
    with pytest.raises(RunLocked):
        road.settle()
    assert begun == [attempts()]
    assert road.one("SELECT holder FROM lane WHERE name='run'")["holder"] == "another"
    road.later(minutes=2)  # the other is gone
    assert road.settle()["outcome"] == "settled"


#: Legal in JSON, and more than a column or an index of PostgreSQL takes.
IMPOSSIBLE = ("a\x00b", "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(4000)))


def poison(bad: str) -> list[Doc]:
    """Records with an impossible name in each place where a name goes."""
    docs = {where: visit(f"poison-{where}", "2026-08-20") for where in ("form", "worker", "subject", "place", "text")}
    docs["form"]["form"] = bad
    docs["worker"]["contact"]["_id"] = bad
    docs["subject"]["fields"]["patient_id"] = bad
    docs["place"]["contact"]["parent"]["_id"] = bad
    docs["text"]["fields"]["note"] = bad
    somebody = {"_id": f"{bad}-2", "type": "contact", "contact_type": "person", "name": bad, "parent": {"_id": bad}}
    return [*docs.values(), visit(bad, "2026-08-20"), somebody]


@pytest.mark.parametrize("bad", IMPOSSIBLE, ids=["a zero byte", "very long"])
def test_a_record_no_database_can_hold_blocks_nobody(make_road: Make, bad: str) -> None:
    road = make_road([*poison(bad), *a_few()])
    assert road.settle()["outcome"] == "settled"
    mapped = {r["key"] for r in road.rows("SELECT key FROM head WHERE state='mapped'")}
    assert mapped >= {d["_id"] for d in a_few()} | {"poison-worker", "poison-subject", "poison-text"}
    held = road.quarantined()
    assert held["poison-place"] == "place.missing"
    named = sorted(code for key, code in held.items() if key.startswith("unusable-"))
    assert named == ["record.unreadable"] * 2, "the record and the person of impossible names"
    assert len(held) == 4, held
    road.cht.put(visit("later", "2026-08-21"))
    assert road.settle()["outcome"] == "settled"
    assert "later" in {r["key"] for r in road.rows("SELECT key FROM head WHERE state='mapped'")}
