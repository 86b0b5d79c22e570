"""The trail as AuditEvents: every entry of a whole road is valid R4, says who did what, and names nobody."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from connector import cli
from connector.engine import audit_events
from connector.mappings import r4
from tests.engine.house import ANNA, Doc, Make, Road, a_few, person

NAME = "Zorblatha"


def told(road: Road, after: int = 0) -> list[Doc]:
    return [event for _, event in audit_events.events(road.engine, after)]


def codes(event: Doc) -> list[str]:
    return [one["code"] for one in event["subtype"]]


def of(events: list[Doc], code: str) -> Doc:
    return next(event for event in events if code in codes(event))


@pytest.fixture
def road(make_road: Make) -> Road:
    """A life with a refusal, an outage, a person who acts and one who reads."""
    docs = [d for d in a_few() if d["_id"] != ANNA] + [person(ANNA, NAME)]
    made = make_road(docs)
    made.dhis2.refuse = [{"match": {"dataElement": "MH_B02_NUM"}, "code": "E7619"}]
    made.openmrs.plane.arm([{"every": 2, "status": 503}])
    made.run()
    made.openmrs.plane.arm([])
    made.settle()
    made.reconcile("dhis2")
    parked = made.rows("SELECT id FROM delivery WHERE state='parked'")
    made.actions.retry([row["id"] for row in parked], "awa")
    made.actions.pause("openmrs", "works", None, "awa")
    made.actions.read_audit("record.unmasked.care", "cht/reports/visit-08-1", "awa")
    return made


@pytest.mark.again
def test_every_entry_is_a_valid_audit_event_and_names_nobody(road: Road) -> None:
    events = told(road)
    entries = road.rows("SELECT * FROM audit ORDER BY id")
    assert len(events) == len(entries) > 20
    assert len({event["id"] for event in events}) == len(events)
    for event, entry in zip(events, entries, strict=True):
        assert r4.problems(event) == [], (entry["event"], r4.problems(event))
        assert event["recorded"] == entry["at"] and entry["event"] in codes(event)
    text = orjson.dumps(events).decode()
    for secret in (NAME, ANNA, "awa", "visit-08-1", "asc-001"):
        assert f'"{secret}"' not in text and f"/{secret}" not in text, secret
    assert told(road) == events, "the same entry is always the same event"


@pytest.mark.again
def test_an_event_says_who_did_what_to_what(road: Road) -> None:
    events = told(road)
    keyed: Callable[[str], str] = lambda text: road.engine.store.read(lambda unit: unit.keyed(text))  # noqa: E731
    sent = of([e for e in events if e.get("outcome") == "0"], "attempt.ended")
    assert sent["action"] == "U" and sent["meta"]["profile"] == [audit_events.PROFILE + "Update"]
    ours, server = sent["agent"]
    assert ours["requestor"] and ours["type"]["coding"][0]["code"] == "110153"
    assert server["who"]["identifier"]["value"] in ("dhis2", "openmrs", "fhir") and server["network"]["address"]
    refused = of([e for e in events if e.get("outcome") == "4"], "attempt.ended")
    assert "meta" not in refused, "BALP's patterns are of success"

    read = of(events, "record.unmasked.care")
    assert read["action"] == "R" and read["meta"]["profile"] == [audit_events.PROFILE + "PatientRead"]
    person = next(a for a in read["agent"] if a["type"]["coding"][0]["code"] == "IRCP")
    assert person["requestor"] and person["who"]["identifier"]["value"] == keyed("awa")
    patient = next(e for e in read["entity"] if e["type"]["code"] == "1")
    assert patient["what"]["identifier"]["value"] == keyed(f"cht/{ANNA}")
    assert sum(a["requestor"] for a in read["agent"]) == 1

    act = of(events, "person.pause")
    assert [a["who"]["identifier"]["value"] for a in act["agent"] if a["requestor"]] == [keyed("awa")]
    came = of(events, "page.received")
    assert came["type"]["code"] == "110107" and came["action"] == "C"


def relais(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["relais", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


def test_the_command_writes_pages_and_goes_on_where_it_stopped(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(audit_events, "PAGE", 7)
    many = len(road.rows("SELECT id FROM audit"))
    road.close()
    file = tmp_path / "trail.ndjson"
    assert relais(monkeypatch, "audit", "export", str(file), "--json") == 0
    done = orjson.loads(capfd.readouterr().out)
    events = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert done["exported"] == len(events) == many + 1, "the reading of the trail is the last thing in it"
    assert "export.audit" in codes(events[-1]) and events[-1]["type"]["code"] == "110106"
    assert all(r4.is_valid(event) for event in events)

    assert relais(monkeypatch, "audit", "export", "--after", str(done["last"])) == 0
    (later,) = capfd.readouterr().out.splitlines()
    assert "export.audit" in codes(orjson.loads(later)), "only what is new: this very export"


@pytest.mark.again
def test_whoever_reads_about_a_person_is_written_down(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = road.one("SELECT MAX(id) AS n FROM audit")["n"]
    cell = road.rows("SELECT * FROM cell WHERE records > 0")[0]
    road.close()
    assert relais(monkeypatch, "trace", "cht", "visit-08-1", "--json") == 0
    element, combo = cell["data_element"], cell["combo"]
    assert relais(monkeypatch, "explain", "dhis2", element, cell["org_unit"], cell["period"], combo, "--json") == 0
    assert relais(monkeypatch, "export", "fhir", str(tmp_path / "out")) == 0
    road.open()
    found = {code for event in told(road, last) for code in codes(event)}
    assert {"record.traced", "value.explained", "export.fhir", "export.fhir.done"} <= found
    read = of(told(road, last), "record.traced")
    assert any(e["type"]["code"] == "1" for e in read["entity"]), "and who it was about, as a keyed hash"


def test_why_nothing_was_counted_shows_records_and_is_written_down(
    road: Road, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (there,) = road.rows("SELECT DISTINCT org_unit FROM cell WHERE data_element='MH_B02_NUM' AND period='202608'")
    read = "SELECT id FROM audit WHERE event='value.explained'"
    road.close()
    empty = ("explain", "dhis2", "MH_B02_NUM", there["org_unit"], "202608", "A3_Y10_14")
    assert relais(monkeypatch, *empty) == 1
    road.open()
    assert road.rows(read) == [], "no record was shown"
    road.close()
    capfd.readouterr()
    assert relais(monkeypatch, *empty, "--why-not", "--json") == 0
    assert any(one["records"] for one in orjson.loads(capfd.readouterr().out)["not_counted"])
    road.open()
    assert len(road.rows(read)) == 1
