"""What goes wrong outside: each fault has a clear sentence, loses nothing and stops nothing else."""

from __future__ import annotations

import hashlib
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from connector.engine import runs
from connector.engine.lineage import trace
from connector.engine.status import status
from connector.errors import StoreBusy, StoreFull, WrongKey
from connector.mappings.pack import Pack
from connector.sandbox import openmrs_metadata
from connector.sandbox.plane import START_PAGE
from tests.engine.house import (
    ANNA,
    MASTER_KEY,
    MODIBO,
    SITE,
    UNIT,
    Doc,
    Make,
    Road,
    a_few,
    meeting,
    on_sqlite,
    person,
    report,
    said,
    visit,
)  # fmt: skip
from tests.unit.pack_copy import PackCopy

ANNAS = ("MH_A04", "A2_Y1_4-SEX_F")  #: Anna's visit of each month


def good_ones_arrived(road: Road, extra: int = 0) -> None:
    """The documents of ``a_few`` are counted at DHIS2 as they should be; ``extra`` more visits of Anna in August."""
    held = [road.value(*ANNAS, period) for period in ("202607", "202608", "202609")]
    assert held == ["1", str(1 + extra), "1"]


def kept(road: Road, key: str) -> Any:
    """The body of a record as it lies in the store."""
    row = road.one("SELECT body_enc FROM body WHERE key=:k ORDER BY received_at DESC LIMIT 1", k=key)
    return road.engine.store.read(lambda unit: unit.open("body", row["body_enc"]))


def quarantined_alone(road: Road, bad: Doc, code: str, who: str) -> None:
    """``bad`` waits with this reason, its body is kept, everything else arrived."""
    road.cht.put(bad)
    summary = road.settle()
    assert road.quarantined() == {bad["_id"]: code}
    assert road.one("SELECT who FROM quarantine")["who"] == who == str(said(road, code).who)
    assert (summary["outcome"], summary["attention"]["quarantined"], runs.exit_code(summary)) == ("settled", 1, 3)
    assert kept(road, bad["_id"])["fields"] == bad["fields"]
    good_ones_arrived(road)


# ---------------------------------------------------------------- records


def test_an_unknown_form(road: Road) -> None:
    quarantined_alone(road, report("odd", "census_2026", "2026-08-10", {"n": 1}), "form.unknown", "mapping")


def test_a_record_without_any_date(road: Road) -> None:
    bad = visit("odd")
    del bad["fields"]["visit_date"], bad["reported_date"]
    quarantined_alone(road, bad, "date.missing", "chw_data")
    road.cht.put({**bad, "fields": {**bad["fields"], "visit_date": "2026-08-20"}})
    road.settle()
    assert road.quarantined() == {}, "mended in the app, it flows by itself"
    good_ones_arrived(road, extra=1)


def test_a_record_without_a_place(road: Road) -> None:
    bad = visit("odd")
    del bad["contact"]
    quarantined_alone(road, bad, "place.missing", "chw_data")


def test_a_missing_answer_is_not_asked_and_never_no(road: Road) -> None:
    bad = visit("odd", "2026-08-20")
    del bad["fields"]["group_fever"]
    road.cht.put(bad)
    road.settle()
    good_ones_arrived(road, extra=1)
    assert road.quarantined() == {}
    assert road.value("MH_B01_DEN", "A3_Y0_4-SEX_F") == "1", "fever was not asked: not in the denominator"


def test_a_wrong_type_leaves_that_fact_out_and_the_record_in(road: Road) -> None:
    bad = visit("odd", "2026-08-20", group_nutrition={"muac_score": "one hundred"}, hours_since_onset={"a": [1]})
    bad["fields"]["group_fever"]["patient_fever"] = {"answer": "yes"}
    road.cht.put(bad)
    summary = road.settle()
    assert (summary["outcome"], summary["attention"]["quarantined"]) == ("settled", 0)
    good_ones_arrived(road, extra=1)
    assert road.value("MH_B01_DEN", "A3_Y0_4-SEX_F") == "1"
    activity = road.engine.store.read(lambda unit: unit.activities(["cht/reports/odd"]))["cht/reports/odd"]
    flagged = road.engine.store.read(lambda unit: unit.open("activity", activity["activity_enc"]))
    assert "muac_mm" in str(flagged) and "one hundred" not in str(flagged)


def test_an_answer_that_could_not_be_used_is_in_sight_until_it_is_corrected(road: Road) -> None:
    def listed() -> list[tuple[str, str]]:
        rows = road.engine.store.read(lambda unit: unit.list_flagged({}, 10))
        return [(row["key"], row["flags"]) for row in rows]

    assert road.settle()["flagged"] == status(road.engine, "0")["flagged"] == 0 and listed() == []
    odd = visit("odd", "2026-08-20", group_nutrition={"muac_score": "one hundred"})
    road.cht.put(odd)
    summary = road.settle()
    assert (summary["flagged"], status(road.engine, "0")["flagged"], runs.exit_code(summary)) == (1, 1, 0)
    assert listed() == [("odd", '[["fact.failed","muac_mm"]]')]
    assert road.engine.store.read(lambda unit: unit.list_flagged({"source": "odk"}, 10)) == []
    assert len(road.engine.store.read(lambda unit: unit.list_flagged({}, 10, "fact.failed"))) == 1
    assert road.engine.store.read(lambda unit: unit.list_flagged({}, 10, "code.unknown")) == []
    road.cht.put(visit("odd", "2026-08-20", group_nutrition={"muac_score": "114"}))
    assert road.settle()["flagged"] == 0 and listed() == []
    road.cht.put(odd)
    assert road.settle()["flagged"] == 1
    road.cht.put({**visit("odd"), "fields": None, "reported_date": "soon"})
    assert (road.settle()["flagged"], list(road.quarantined())) == (0, ["odd"]), "it counts no more, flag or not"


def test_a_person_whose_birth_date_is_none_is_flagged(road: Road) -> None:
    road.cht.put(person(ANNA, born="in spring"))
    assert road.settle()["flagged"] == 1
    found = trace(road.engine, f"cht/{_stream(road, ANNA)}/{ANNA}")
    assert found is not None and [f["fact"] for f in found["flags"]] == ["birth_date"]


def _stream(road: Road, key: str) -> str:
    return str(road.one("SELECT stream FROM head WHERE key=:k", k=key)["stream"])


@pytest.mark.parametrize("fields", ["a text", ["a", "list"], 7, None])
def test_a_record_whose_fields_are_no_fields(road: Road, fields: Any) -> None:
    road.cht.put({**visit("odd"), "fields": fields, "reported_date": "soon"})
    road.settle()
    assert road.quarantined()["odd"] in ("date.missing", "date.invalid")
    good_ones_arrived(road)


def test_a_date_that_is_none(road: Road) -> None:
    quarantined_alone(road, visit("odd", "the 10th of August"), "date.invalid", "chw_data")


def test_a_date_in_the_future(road: Road) -> None:
    quarantined_alone(road, visit("odd", "2026-10-07"), "date.future", "chw_data")
    road.later(days=2)
    road.actions.remap(None, "operator")
    road.run()  # October is not open at DHIS2 yet: its values wait
    assert road.quarantined() == {}
    assert road.cell(*ANNAS, "202610")["value"] == "1"


def test_a_place_without_an_org_unit(road: Road) -> None:
    quarantined_alone(road, visit("odd", site="site-99"), "place.no_org_unit", "mapping")
    assert road.one("SELECT detail FROM quarantine")["detail"] == "site-99", "the place that org_units.csv lacks"


def test_an_org_unit_closed_at_the_date(make_road: Make) -> None:
    def closed(pack: Pack) -> Pack:
        rows = tuple(
            replace(r, valid_to=date(2026, 8, 15)) if (r.source, r.place) == ("cht", SITE) else r
            for r in pack.org_units
        )
        return replace(pack, org_units=rows)

    road = make_road(a_few()[:-2], closed)  # what is left is from before that day
    road.cht.put(visit("late", "2026-08-16"))
    road.settle()
    assert road.quarantined() == {"late": "place.closed_at_date"}
    assert str(said(road, "place.closed_at_date").who) == "mapping"
    assert (road.value(*ANNAS, "202607"), road.value(*ANNAS, "202608")) == ("1", "1")


def test_an_org_unit_closed_at_dhis2_alone(road: Road) -> None:
    road.dhis2.metadata.by_code("orgUnits", UNIT)["closed"] = "2026-08-31"
    summary = road.run()
    row = road.delivery(f"block/MH_SEC/{UNIT}/202609")
    assert (row["state"], row["reason"], summary["attention"]["parked"]) == ("deferred", "dhis2.org_unit_closed", 0)
    assert row["who"] == str(said(road, row["reason"]).who)
    assert [road.value(*ANNAS, p) for p in ("202607", "202608", "202609")] == ["1", "1", None]
    road.dhis2.metadata.by_code("orgUnits", UNIT)["closed"] = None
    road.again()
    road.run()  # at once: a run looks again at what is held back
    good_ones_arrived(road)


def test_an_org_unit_opened_again_is_seen_by_the_running_process(road: Road) -> None:
    road.dhis2.metadata.by_code("orgUnits", UNIT)["closed"] = "2026-08-31"
    road.run()
    road.dhis2.metadata.by_code("orgUnits", UNIT)["closed"] = None
    road.settle(hours=2)  # by itself
    good_ones_arrived(road)


def test_a_person_without_a_birth_date_counts_as_of_unknown_age(road: Road) -> None:
    road.cht.put(person("person-x", born=None))
    road.cht.put(visit("odd", "2026-08-20", subject="person-x"))
    summary = road.settle()
    assert (summary["outcome"], summary["attention"]["quarantined"]) == ("settled", 0)
    good_ones_arrived(road)
    assert road.value("MH_A04", "A2_UNK-SEX_F") == "1"
    road.cht.edit("person-x", {"date_of_birth": "2024-01-01"})
    road.settle()
    good_ones_arrived(road, extra=1)
    assert road.value("MH_A04", "A2_UNK-SEX_F") in (None, "0"), "what was sent is kept true"


# ---------------------------------------------------------------- the CHT server


def counted_once(road: Road) -> None:
    assert len(road.rows("SELECT DISTINCT record, indicator, part, categories FROM contribution")) == len(
        road.rows("SELECT record FROM contribution")
    )
    good_ones_arrived(road)


@pytest.mark.parametrize("lost", ["cursor", "database"])
def test_a_cursor_the_server_no_longer_knows(road: Road, lost: str) -> None:
    road.settle()
    before, writes = road.values(), road.writes()
    if lost == "cursor":
        sql = "UPDATE source_state SET cursor='12-of another server' WHERE source='cht'"
        road.engine.store.write(lambda unit: unit.connection.exec_driver_sql(sql))
    else:
        road.cht.recreate()
    summary = road.settle()
    assert summary["outcome"] == "settled" and summary["sources"]["cht"]["received"] >= 10, "read from the start again"
    assert (road.values(), road.writes()) == (before, writes), "nothing is counted or sent twice"
    counted_once(road)
    said(road, "source.cursor_lost")
    pages = [orjson.loads(r["detail"]) for r in road.rows("SELECT detail FROM audit WHERE event='page.received'")]
    assert any(page["replay"] for page in pages)


def _json(status: int, document: Any, **headers: str) -> httpx.Response:
    return httpx.Response(
        status, content=orjson.dumps(document), headers={"content-type": "application/json", **headers}
    )


CHT_FAULTS: dict[str, tuple[Callable[[], httpx.Response], str, int]] = {
    "401": (lambda: _json(401, {"code": 401, "error": "unauthorized"}), "source.credentials", 4),
    "429": (lambda: _json(429, {"code": 429}, **{"retry-after": "30"}), "source.waiting", 5),
    "502": (lambda: httpx.Response(502, text="Bad Gateway"), "source.unavailable", 5),
    "its start-up page": (
        lambda: httpx.Response(200, content=START_PAGE, headers={"content-type": "text/html"}),
        "source.page_unreadable", 5,
    ),
    "a cut page": (
        lambda: httpx.Response(200, content=b'{"results":[{"id":"a"', headers={"content-type": "application/json"}),
        "source.page_unreadable", 5,
    ),
    "garbage": (
        lambda: httpx.Response(200, content=b"\x00\xff{]", headers={"content-type": "application/json"}),
        "source.page_unreadable", 5,
    ),
    "another shape": (lambda: _json(200, {"rows": []}), "source.page_unreadable", 5),
}  # fmt: skip


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(one, marks=[pytest.mark.slow] if one in ("429", "a cut page", "garbage") else [])
        for one in CHT_FAULTS
    ],
)
def test_cht_answers_something_else(road: Road, fault: str) -> None:
    answer, code, exit_code = CHT_FAULTS[fault]
    road.settle()
    cursor = road.one("SELECT cursor FROM source_state WHERE source='cht'")["cursor"]
    road.cht.put(visit("late", "2026-08-25"))
    road.write_meetings("01", [meeting(1)])
    wire = road.wires["cht"]
    wire.instead = lambda request: answer() if "_changes" in str(request.url) else None
    summary = road.run()
    assert summary["errors"] == {"cht": code} and runs.exit_code(summary) == exit_code
    assert road.one("SELECT cursor, reason FROM source_state WHERE source='cht'") == {"cursor": cursor, "reason": code}
    said(road, code)
    assert road.value("MH_G05", "default", unit="ML-KKO-D1-A1") == "2500", "the other sources flow on"
    good_ones_arrived(road)
    wire.instead = lambda request: None
    road.actions.resume("cht", "operator")
    assert road.settle()["errors"] == {}
    good_ones_arrived(road, extra=1)


def test_cht_that_waits_is_asked_again_by_itself(road: Road) -> None:
    asked: list[str] = []

    def twice(request: httpx.Request) -> httpx.Response | None:
        if "_changes" not in str(request.url):
            return None
        asked.append(str(request.url))
        return _json(429, {}, **{"retry-after": "30"}) if len(asked) <= 2 else None

    road.wires["cht"].instead = twice
    summary = road.settle()
    assert (summary["outcome"], summary["errors"]) == ("settled", {})
    assert len(asked) >= 3
    good_ones_arrived(road)


def test_refused_credentials_are_not_tried_on_and_on(road: Road) -> None:
    """Ten failed logins lock everybody out of CHT (findings-cht 26), so a person resumes it (DECISIONS 6)."""
    road.wires["cht"].instead = lambda request: _json(401, {"code": 401, "error": "unauthorized"})
    road.settle(hours=48)
    assert len(road.wires["cht"].seen) == 1


def _paged(**settings: Any) -> Callable[[Pack], Pack]:
    def change(pack: Pack) -> Pack:
        cht = replace(pack.sources["cht"], settings={**pack.sources["cht"].settings, **settings})
        return replace(pack, sources={**pack.sources, "cht": cht})

    return change


def test_a_page_that_is_too_big_is_asked_for_in_smaller_ones(make_road: Make) -> None:
    road = make_road(None, _paged(max_bytes=4000, max_document_bytes=6000))
    road.cht.put(visit("huge", note="x" * 9000))
    road.cht.put(visit("big", "2026-08-20", note="x" * 4500))
    summary = road.settle()
    assert (summary["outcome"], summary["errors"]) == ("settled", {})
    assert road.quarantined() == {"huge": "record.unreadable"}
    assert "document.too_big" in str(road.rows("SELECT detail FROM quarantine"))
    said(road, "record.unreadable")
    good_ones_arrived(road, extra=1)
    limits = {url.partition("&limit=")[2].partition("&")[0] for _, url in road.wires["cht"].seen if "_changes" in url}
    assert len(limits) > 3


class Endless(httpx.AsyncByteStream):
    """A page of 100 MB that counts how much of it was read."""

    read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(1600):
            Endless.read += 65536
            yield b" " * 65536


def _too_long(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, stream=Endless(), headers={"content-type": "application/json"})


def read_no_further_than(road: Road, bound: int) -> bool:
    return 0 < Endless.read <= sum("_changes" in url for _, url in road.wires["cht"].seen) * (bound + 65536)


def test_a_hundred_megabytes_are_never_read_to_the_end(make_road: Make) -> None:
    road = make_road(None, _paged(max_bytes=1_000_000))
    Endless.read = 0
    road.wires["cht"].instead = lambda request: (
        _too_long(request) if int(request.url.params.get("limit", "1")) > 1 else None
    )  # fmt: skip
    summary = road.settle()
    assert (summary["outcome"], summary["errors"]) == ("settled", {})
    assert read_no_further_than(road, 1_000_000)
    good_ones_arrived(road)


def test_a_server_that_only_sends_a_hundred_megabytes_is_one_source_that_waits(make_road: Make) -> None:
    road = make_road(None, _paged(max_bytes=1_000_000))
    Endless.read = 0
    road.write_meetings("01", [meeting(1)])
    road.wires["cht"].instead = lambda request: _too_long(request) if "_changes" in str(request.url) else None
    summary = road.run()
    assert summary["errors"] == {"cht": "source.page_unreadable"}
    assert read_no_further_than(road, 1_000_000)
    assert road.value("MH_G05", "default", unit="ML-KKO-D1-A1") == "2500"


# ---------------------------------------------------------------- DHIS2

AUGUST = f"block/MH_SEC/{UNIT}/202608"


def others_arrived(road: Road) -> None:
    assert [road.value(*ANNAS, p) for p in ("202607", "202609")] == ["1", "1"]
    states = {
        r["target"] for r in road.rows("SELECT target FROM delivery WHERE state<>'accepted' AND kind<>'completion'")
    }
    assert states <= {"dhis2"}, "OpenMRS, FHIR and the answers are not held up"


def parked_in_august(road: Road, reason: str) -> dict[str, Any]:
    row = road.delivery(AUGUST)
    assert (row["state"], row["reason"]) == ("parked", reason)
    assert row["who"] == str(said(road, reason).who) != "nobody"
    completions = {(c["period"], c["completed"]) for c in road.dhis2.state()["completions"]}
    assert completions == {("202607", True), ("202609", True)}, "a month with a refused value is not complete"
    return row


def mended(road: Road, row: dict[str, Any]) -> None:
    road.dhis2.refuse = []
    road.actions.retry([row["id"]], "operator")
    assert road.settle()["outcome"] == "settled"
    good_ones_arrived(road)
    assert road.rows("SELECT id FROM cell WHERE accepted IS NULL OR accepted <> value") == []
    assert len(road.dhis2.state()["completions"]) == 3


def test_dhis2_refuses_some_values(road: Road) -> None:
    road.dhis2.refuse = [{"match": {"dataElement": "MH_B01_NUM", "period": "202608"}, "code": "E7619"}]
    summary = road.settle()
    assert (summary["outcome"], runs.exit_code(summary)) == ("needs_a_person", 3)
    row = parked_in_august(road, "dhis2.E7619")
    assert road.value(*ANNAS) == "1", "the good values of the block are in"
    states = {r["data_element"]: r["state"] for r in road.rows("SELECT * FROM cell WHERE period='202608'")}
    assert {e for e, state in states.items() if state == "rejected"} == {"MH_B01_NUM"}
    assert {r["reason"] for r in road.rows("SELECT reason FROM cell WHERE state='rejected'")} == {"dhis2.E7619"}
    others_arrived(road)
    mended(road, row)


def test_dhis2_refuses_all_values(road: Road) -> None:
    road.dhis2.refuse = [{"match": {"period": "202608", "orgUnit": UNIT}, "code": "E7613"}]
    road.settle()
    row = parked_in_august(road, "dhis2.E7613")
    assert not [key for key in road.values() if key[1:3] == (UNIT, "202608")]
    others_arrived(road)
    mended(road, row)


@pytest.mark.parametrize("how", ["not shared", "unknown", "not assigned"])
def test_dhis2_refuses_the_data_set(make_road: Make, how: str) -> None:
    def misspelt(pack: Pack) -> Pack:
        wrong = replace(pack.data_sets["MH_SEC"], code="MH_SECC")
        return replace(pack, data_sets={**pack.data_sets, "MH_SEC": wrong}) if how == "unknown" else pack

    road = make_road(None, misspelt)
    road.write_meetings("01", [meeting(1)])
    there = road.dhis2.metadata.by_code("dataSets", "MH_SEC")
    if how == "not shared":
        there["write"] = False
    elif how == "not assigned":
        there["orgUnits"].remove(UNIT)
    summary = road.run()
    reason = {
        "not shared": "dhis2.not_shared", "unknown": "dhis2.data_set_missing",
        "not assigned": "dhis2.org_unit_not_assigned",
    }[how]  # fmt: skip
    row = road.delivery(AUGUST)
    assert (row["state"], row["reason"], row["who"]) == ("deferred", reason, str(said(road, reason).who))
    # At each of the twelve sites ASC are deployed, and counted, in each of the three months.
    held = 3 if how == "not assigned" else 36
    waiting = road.rows("SELECT id FROM delivery WHERE state='deferred' AND reason=:r", r=reason)
    assert (summary["outcome"], summary["attention"]["parked"], len(waiting)) == ("waiting", 0, held)
    assert road.value("MH_G05", "default", unit="ML-KKO-D1-A1") == "2500", "another data set flows"
    assert road.rows("SELECT id FROM delivery WHERE target<>'dhis2' AND state<>'accepted'") == []
    if how == "not shared":
        there["write"] = True
    elif how == "not assigned":
        there["orgUnits"].append(UNIT)
    road.again(lambda pack: pack)
    assert road.settle()["outcome"] == "settled"
    good_ones_arrived(road)


def test_dhis2_refuses_the_user(road: Road) -> None:
    road.dhis2.refuse = [{"status": 401, "message": "Bad credentials"}]
    road.dhis2.users[0]["token"] = "d2p_AnotherToken000000000000000000000000001"
    road.dhis2.doors.reset()
    wire = road.wires["dhis2"]
    wire.instead = lambda request: _json(401, {"httpStatusCode": 401, "status": "ERROR", "message": "Bad credentials"})
    summary = road.run()
    assert summary["errors"] == {"dhis2": "dhis2.credentials"} and runs.exit_code(summary) == 4
    assert len(wire.seen) == 1, "the target stops at once"
    assert {r["tries"] for r in road.rows("SELECT tries FROM delivery WHERE target='dhis2'")} == {0}
    said(road, "dhis2.credentials")
    others = road.rows("SELECT id FROM delivery WHERE target<>'dhis2' AND state<>'accepted'")
    assert others == [], "the clinics and the FHIR server are served"
    for _ in range(3):  # asked again after 10, 30, 60 minutes: DHIS2 says 401 when its database is down, too
        road.later(minutes=61)
        road.run()
    assert road.one("SELECT who FROM target_state WHERE target='dhis2'")["who"] == "credentials"
    assert road.rows("SELECT id FROM delivery WHERE state='parked'") == []
    road.dhis2.refuse = []
    wire.instead = lambda request: None
    road.dhis2.users[0]["token"] = road.engine.pack.targets["dhis2"].settings["token"]
    road.dhis2.doors.reset()
    road.actions.resume("dhis2", "operator")
    assert road.settle()["outcome"] == "settled"
    good_ones_arrived(road)


@pytest.mark.parametrize("code", ["E7640", "E7642", "E7643"])
def test_a_change_in_a_closed_period_waits_in_sight_and_is_never_forced(road: Road, code: str) -> None:
    """DHIS2 takes no more for the month: expired, approved, outside its window."""
    road.dhis2.refuse = [{"match": {"period": "202608"}, "code": code}]
    summary = road.run()
    row = road.delivery(AUGUST)
    assert (row["state"], row["reason"], row["who"]) == ("deferred", "dhis2.period_closed", "ministry")
    assert (summary["outcome"], summary["attention"]["parked"], runs.exit_code(summary)) == ("waiting", 0, 5)
    told = {r["reason"] for r in road.rows("SELECT reason FROM value_sent WHERE verdict='deferred'")}
    assert told == {f"dhis2.{code}"}, "each value says which of the closings it was"
    (dhis2,) = [c for c in status(road.engine, "")["connections"] if c["name"] == "dhis2"]
    assert (dhis2["state"], dhis2["who"], dhis2["reason"]) == ("action_needed", "ministry", "dhis2.period_closed")
    said(road, "dhis2.period_closed")
    others_arrived(road)
    assert not any("force" in url for _, url in road.wires["dhis2"].seen)
    seen = len(posted(road))
    road.later(hours=20)
    road.run()
    assert len(posted(road)) == seen, "asked again once a day, not more"
    for _ in range(3):
        road.later(days=15)
        road.run()
    assert road.delivery(AUGUST)["state"] == "deferred", "it is not parked for its age either"
    road.dhis2.refuse = []  # reopened
    road.later(days=1)
    assert road.settle()["outcome"] == "settled"
    good_ones_arrived(road)


def posted(road: Road) -> list[tuple[str, str]]:
    return [one for one in road.wires["dhis2"].seen if one[0] == "POST" and "dataValueSets" in one[1]]


def test_dhis2_has_not_opened_the_period_yet(road: Road) -> None:
    road.dhis2.refuse = [{"match": {"period": "202608"}, "code": "E7641"}]
    summary = road.run()
    row = road.delivery(AUGUST)
    assert (row["state"], row["reason"], row["who"]) == ("deferred", "dhis2.E7641", "nobody")
    assert (summary["outcome"], summary["attention"]["parked"], runs.exit_code(summary)) == ("waiting", 0, 5)
    others_arrived(road)
    road.dhis2.refuse = []
    assert road.settle()["outcome"] == "settled", "it goes by itself once the period is open"
    good_ones_arrived(road)


def test_a_period_that_stays_closed_for_a_week_parks_nothing(road: Road) -> None:
    """Values of a month not yet open at DHIS2 wait, unparked (DECISIONS 5)."""
    road.dhis2.refuse = [{"match": {"period": "202608"}, "code": "E7641"}]
    for _ in range(14):
        road.run()
        road.later(hours=12)
    assert road.delivery(AUGUST)["state"] == "deferred"


def test_dhis2_counts_short(road: Road) -> None:
    road.dhis2.refuse = [{"match": {"dataElement": "MH_A04", "period": "202608"}, "short": True, "times": 1}]
    summary = road.run()
    row = road.delivery(AUGUST)
    assert (row["state"], row["reason"]) == ("deferred", "dhis2.counted_short") and summary["outcome"] == "waiting"
    said(road, "dhis2.counted_short")
    assert road.value(*ANNAS) is None
    others_arrived(road)
    assert road.settle()["outcome"] == "settled"
    good_ones_arrived(road)


def test_a_block_too_big_for_dhis2_of_which_a_part_went_is_not_whole(road: Road) -> None:
    """In requests of four values at most, and once the server failed at the last of them."""
    road.dhis2.refuse = [
        {"status": 413, "more_than": 4},
        {"status": 500, "match": {"dataElement": "MH_B01_NUM", "period": "202608"}, "times": 1},
    ]
    road.run()
    row = road.delivery(AUGUST)
    assert (row["state"], row["reason"]) == ("unknown", "dhis2.server_error")
    there = {key: value for key, value in road.values().items() if key[1:3] == (UNIT, "202608")}
    cells = road.rows("SELECT * FROM cell WHERE period='202608' AND org_unit=:unit AND data_set='MH_SEC'", unit=UNIT)
    accepted = {(c["data_element"], UNIT, "202608", c["combo"]): c["accepted"] for c in cells if c["accepted"]}
    assert there and accepted == {key: there[key] for key in accepted}, "only what is there counts as accepted"
    assert len(accepted) < len(cells)
    assert road.settle()["outcome"] == "settled"
    good_ones_arrived(road)
    assert len(road.dhis2.state()["completions"]) == 3


# ---------------------------------------------------------------- OpenMRS


def test_openmrs_refuses_an_identifier(make_road: Make) -> None:
    """A case variant of a unique identifier: another one to us, the same to OpenMRS (recordings/openmrs-2.8/086)."""
    theirs = {
        "uuid": "theirs", "given": "K", "family": "T", "gender": "F", "birthdate": None,
        "identifiers": [{
            "type": "CHW Patient ID", "value": ANNA.upper(), "location": openmrs_metadata.location_uuid("area-1"),
        }],
    }  # fmt: skip
    road = make_road(patients=[theirs])
    road.cht.put(visit("second", "2026-08-20", subject=MODIBO, refer=True))
    summary = road.settle()
    row = road.delivery("cht/reports/visit-08-1", "openmrs")
    assert (row["state"], row["reason"], summary["outcome"]) == (
        "parked",
        "openmrs.identifier_in_use",
        "needs_a_person",
    )
    assert row["who"] == str(said(road, row["reason"]).who) != "nobody"
    state = road.openmrs.state()
    assert [a["number"] for a in state["appointments"]] == ["second"], "the other referral is at the clinic"
    good_ones_arrived(road)
    for patient in road.openmrs.rows.patients.values():
        for identifier in patient["identifiers"]:
            if identifier["identifier"] == ANNA.upper():
                identifier["identifier"] = "somebody-else"
    road.actions.retry([row["id"]], "clinic")
    assert road.settle()["outcome"] == "settled"
    assert sorted(a["number"] for a in road.openmrs.state()["appointments"]) == ["second", "visit-08-1"]


# ---------------------------------------------------------------- the store


@on_sqlite
def test_a_full_disk_takes_in_nothing_and_goes_on_when_there_is_room(road: Road) -> None:
    road.settle()
    before = {t: road.rows(f'SELECT COUNT(*) AS n FROM "{t}"') for t in ("body", "head", "activity", "contribution")}
    cursor = road.one("SELECT cursor FROM source_state WHERE source='cht'")
    for n in range(40):
        road.cht.put(visit(f"more-{n}", "2026-08-20", note="y" * 9000))
    with road.engine.store._writer.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreFull) as full:
        road.run()
    assert "disk is full" in str(full.value) and "sysadmin" in str(full.value)
    after = {t: road.rows(f'SELECT COUNT(*) AS n FROM "{t}"') for t in before}
    assert (after, road.one("SELECT cursor FROM source_state WHERE source='cht'")) == (before, cursor)
    with road.engine.store._writer.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1073741823")
    assert road.settle()["outcome"] == "settled"
    good_ones_arrived(road, extra=40)


@on_sqlite
def test_a_locked_database_writes_nothing_and_goes_on_afterwards(road: Road, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "relais" / "relais.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy) as busy:
        road.run()
    assert "locked by another program" in str(busy.value) and busy.value.exit_code == 5
    assert road.rows("SELECT id FROM run") == [] and not any(sim.plane.log for sim in road.sims.values())
    other.execute("ROLLBACK")
    other.close()
    assert road.settle()["outcome"] == "settled"
    good_ones_arrived(road)


# ---------------------------------------------------------------- starting wrongly


def relais(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The command line in this process; returns the exit code."""
    from connector import cli

    monkeypatch.setattr(sys, "argv", ["relais", *arguments])
    monkeypatch.setattr("connector.cli.output.FRENCH", False)
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


@on_sqlite
def test_a_wrong_master_key_writes_nothing(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    road.settle()
    road.close()
    file = tmp_path / "relais" / "relais.db"

    def digest() -> tuple[str, int]:
        wal = Path(f"{file}-wal")  # opening makes an empty one
        return hashlib.sha256(file.read_bytes()).hexdigest(), wal.stat().st_size if wal.exists() else 0

    before = digest()
    monkeypatch.setenv("RELAIS_MASTER_KEY", "d" + MASTER_KEY[1:])
    assert relais(monkeypatch, "run", "--once") == 2
    words = " ".join(capfd.readouterr().err.split())
    assert "key.wrong" in words and "Nothing was written" in words and "relais key new" in words
    assert digest() == before
    with pytest.raises(WrongKey):
        road.open()
    monkeypatch.setenv("RELAIS_MASTER_KEY", MASTER_KEY)
    road.open()
    assert road.settle()["outcome"] == "settled"
    good_ones_arrived(road)


SEC, ASSESSMENT = "indicators/sec-core.yaml", "forms/cht/assessment.yaml"
#: File, what is right, what is wrong, what was meant.
TYPOS = {
    "a fact in a condition": (SEC, "caregiver_understood = true", "caregiver_understod = true", "caregiver_understood"),
    "a key of a form": (ASSESSMENT, "worker: contact._id", "wroker: contact._id", "worker"),
    "an activity": (ASSESSMENT, "activity: sick_visit", "activity: sik_visit", "sick_visit"),
}


@on_sqlite
@pytest.mark.parametrize("typo", TYPOS)
def test_a_pack_with_a_typo(
    make_road: Make, tmp_path: Path, typo: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file, right, wrong, meant = TYPOS[typo]
    copy = PackCopy(tmp_path)
    line = copy.change(file, right, wrong)
    monkeypatch.setenv("RELAIS_PACK", str(copy.folder))
    make_road([]).close()  # sets the environment and leaves an empty database
    before = hashlib.sha256((tmp_path / "relais" / "relais.db").read_bytes()).hexdigest()
    assert relais(monkeypatch, "run", "--once", "--json") == 2
    told = orjson.loads(capfd.readouterr().out.splitlines()[-1])
    assert told["error"] == "config.pack_broken"
    places = [part for part in told["message"].splitlines() if f"{file}:" in part and meant in part]
    assert places, "file, line and what was probably meant"
    named = int(places[0].partition(f"{file}:")[2].partition(":")[0])
    assert line - 5 <= named <= line, "the entry it is in, at least"
    assert hashlib.sha256((tmp_path / "relais" / "relais.db").read_bytes()).hexdigest() == before
    assert relais(monkeypatch, "check", "--json") == 3
    findings = orjson.loads(capfd.readouterr().out.splitlines()[-1])["findings"]
    assert any(f["line"] == named and f["file"].endswith(file) and meant in f["message"] + f["fix"] for f in findings)


def test_a_typo_is_named_by_its_own_line(tmp_path: Path) -> None:
    file, right, wrong, _ = TYPOS["a fact in a condition"]
    copy = PackCopy(tmp_path)
    line = copy.change(file, right, wrong)
    assert [f.line for f in copy.findings() if f.code == "fact.unknown"] == [line]


@pytest.mark.parametrize("levels", [240, 300, 800])
def test_a_record_nested_too_deep_holds_nobody_up(make_road: Make, levels: int) -> None:
    """JSON may be nested deeper than we can write it again."""
    road = make_road()
    road.write_meetings("01", [meeting(1, saved=2500), meeting(2, saved=500), meeting(3, saved=100)])
    path = road.files / "odk" / "reunion_groupe_epargne-01.ndjson"
    deep = b'{"a":' * levels + b"1" + b"}" * levels
    path.write_bytes(path.read_bytes().replace(b'"montant_xof":500', b'"montant_xof":' + deep))
    assert road.settle()["sources"]["odk"]["received"] == 3
    assert road.value("MH_G05", "default", unit="ML-KKO-D1-A1") == "2600", "the others are counted"
    assert road.quarantined() == ({"uuid:meeting-2": "record.unreadable"} if levels > 250 else {})
