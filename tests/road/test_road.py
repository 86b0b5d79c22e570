"""The acceptance of the whole road, with real processes on real ports. Slow: ``make road``."""

from __future__ import annotations

import copy
import time
from collections import Counter
from typing import Any

import pytest

from connector.mappings import r4, second_opinion
from connector.sandbox import oracle
from tests.road.road import Road, settled

pytestmark = pytest.mark.slow

FAULTS = [{"every": 7, "status": 503}, {"lose_response_every": 5}, {"late_seconds": 2, "every": 9}, {"html_every": 13}]


def test_a_run_settles_and_a_second_run_sends_nothing(road: Road) -> None:
    code, summary = road.relais("run", "--once", "--wait", "10m")
    settled(road, code, summary)
    before = road.logs()
    code, summary = road.relais("run", "--once", "--wait", "10m")
    assert summary["outcome"] == "settled"
    assert road.logs() == before
    _, plan = road.relais("plan")
    held = [b for b in plan["blocked"] if b["state"] == "held"]
    assert len(held) == 10 and all(h["there"] != h["value"] for h in held)
    assert (plan["new"], plan["changed"], plan["removed"]) == (0, 0, 0)
    _, verified = road.relais("audit", "verify")
    assert verified["ok"]
    code, agreement = road.relais("reconcile", "dhis2")
    assert (agreement["different"], agreement["missing"]) == (0, 0) and agreement["equal"] >= 1500


def test_two_readers_accept_every_resource_that_arrived(road: Road) -> None:
    """The strict schema, and ``fhir.resources`` in its R4B part, which shares nothing with it."""
    settled(road, *road.relais("run", "--once", "--wait", "10m"))
    held = road.ask("fhir", "state")["resources"]
    refused = [
        (key, problem)
        for key, resource in held.items()
        for problem in (*r4.problems(resource), *second_opinion.problems(resource))
    ]
    assert refused[:5] == []
    kinds = Counter(key.partition("/")[0] for key in held)
    print(f"{len(held)} resources accepted by both: {dict(kinds.most_common())}")
    assert {"Patient", "Encounter", "Observation", "Condition", "ServiceRequest", "Task", "Group"} <= {*kinds}


def positive_visit(road: Road) -> dict[str, Any]:
    """A sick visit of a child with a positive test in a month that is sent."""
    for doc in road.ask("cht", "state")["docs"]:
        fields = doc.get("fields", {})
        gone = doc.get("_deleted") or doc.get("deleted")
        positive = fields.get("group_fever", {}).get("mrdt_result") == "positive"
        if doc.get("form") == "assessment" and not gone and positive and "2026-08" in str(fields.get("visit_date", "")):
            return dict(doc)
    raise AssertionError("no positive test in August")


def test_corrections_reach_dhis2_and_are_explained(road: Road) -> None:
    road.relais("run", "--once", "--wait", "10m")
    edited = positive_visit(road)
    _, trace = road.relais("trace", "cht", edited["_id"])
    cells = [c for c in trace["cells"] if c["data_element"] == "MH_B02_NUM"]
    assert cells and cells[0]["state"] in ("accepted", "held")
    cell = cells[0]
    late = copy.deepcopy(edited)
    late.update({"_id": "late-record-0001"})
    late.pop("_rev", None)
    docs = road.ask("cht", "state")["docs"]
    gone = next(d["_id"] for d in docs if d.get("form") == "home_visit" and not d.get("_deleted"))
    road.tell("cht", "records", [
        {"op": "edit", "id": edited["_id"], "merge": {"fields.group_fever.mrdt_result": "negative"}},
        {"op": "delete", "id": gone},
        {"op": "put", "doc": late},
    ])  # fmt: skip
    _, summary = road.relais("run", "--once", "--wait", "10m")
    found = road.compare(summary["attention"])
    assert oracle.same(found), found["differences"]
    _, after = road.relais("trace", "cht", edited["_id"])
    assert not [c for c in after["cells"] if c["data_element"] == "MH_B02_NUM"]
    assert len(after["revisions"]) >= 2
    _, why = road.relais(
        "explain", "dhis2", "--data-element", cell["data_element"], "--org-unit", cell["org_unit"],
        "--period", cell["period"], "--combo", cell["combo"],
    )  # fmt: skip
    assert edited["_id"] not in str(why["records"])
    assert sum(float(line["n"]) for line in why["led"]) == float(why["value"]["current"] or 0)
    assert len(why["sends"]) >= 1
    _, way = road.relais("trace", "cht", "late-record-0001")
    assert way["cells"] and way["resources"]


def test_one_value_altered_at_the_target_is_noticed(road: Road) -> None:
    _, summary = road.relais("run", "--once", "--wait", "10m")
    assert oracle.same(road.compare(summary["attention"]))
    values = road.ask("dhis2", "state")["values"]
    value = next(v for v in values if v["dataElement"] == "MH_A03" and v["storedBy"] != "saisie")
    road.tell("dhis2", "values", [{**value, "value": str(int(value["value"]) + 1)}])
    found = road.compare(summary["attention"])
    assert not oracle.same(found) and found["dhis2"]["different"] == 1
    code, agreement = road.relais("reconcile", "dhis2")
    assert code == 3 and agreement["different"] == 1


def test_faults_on_every_target(road: Road) -> None:
    seed = 7
    print(f"faults with seed {seed}: {FAULTS}")
    road.arm([{**fault, "seed": seed} for fault in FAULTS])
    started = time.monotonic()
    code, summary = road.relais("run", "--once", "--wait", "10m")
    print(f"settled in {time.monotonic() - started:.0f} s")
    road.arm([])
    settled(road, code, summary)
