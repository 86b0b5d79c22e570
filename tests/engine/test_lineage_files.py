"""A value's records as CSV and its form fields as OpenLineage; what is expected is read off the pack by hand."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from connector.engine import left_out, lineage, lineage_files
from connector.engine.asking import Asker
from connector.mappings.columns import paths_read
from connector.mappings.explaining import Comparison, NotCounted
from tests.engine.house import MODIBO, SITE, UNIT, WORKERS, Make, Road, a_few, visit

FIELD = "fields.group_fever.mrdt_result"


def cell_of(road: Road, element: str = "MH_B02_NUM", combo: str = "A3_Y5_9") -> dict[str, Any]:
    cell = lineage_files.cell_at(road.engine, element, UNIT, "202608", combo)
    assert cell is not None
    return cell


def used(event: dict[str, Any], element: str) -> dict[str, set[tuple[str, str]]]:
    """Field -> kinds of use."""
    (output,) = event["outputs"]
    fields = output["facets"]["columnLineage"]["fields"][element]["inputFields"]
    return {one["field"]: {(how["type"], how["subtype"]) for how in one["transformations"]} for one in fields}


def test_a_value_as_csv_and_as_open_lineage_also_after_bodies_were_purged(
    make_road: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage_files, "PAGE", 5)
    more = [visit(f"more-{n:02d}", "2026-08-15", subject=MODIBO, rdt="positive") for n in range(12)]
    road = make_road([*a_few(), *more])
    road.run(targets=[])
    cell = cell_of(road)
    told = "".join(lineage_files.as_csv(road.engine, cell))
    rows = list(csv.DictReader(told.splitlines(), delimiter=";"))
    assert [one["record"] for one in rows] == [f"cht/reports/more-{n:02d}" for n in range(12)], "all, not a page"
    assert {(one["data_element"], one["combo"], one["org_unit"], one["period"], one["value"]) for one in rows} == {
        ("MH_B02_NUM", "A3_Y5_9", UNIT, "202608", "12")
    }
    assert {(one["date"], one["place"], one["worker"], one["form"], one["amount"]) for one in rows} == {
        ("2026-08-15", SITE, WORKERS[0], "assessment", "1")
    }
    event = lineage_files.open_lineage(road.engine, cell)
    assert event["inputs"] == [{"namespace": "relais:mali-health:cht", "name": "assessment"}]
    assert event["eventTime"] == cell["updated"] and event["job"]["name"] == f"MH_B02_NUM/A3_Y5_9/{UNIT}/202608"
    found = used(event, "MH_B02_NUM")
    assert found[FIELD] == {("INDIRECT", "FILTER")}
    assert found["fields.visit_date"] == {("INDIRECT", "GROUP_BY")} == found["contact.parent._id"]
    assert "fields.group_cough.patient_coughs" not in found

    with road.engine.store._writer.begin() as connection:  # as the purge leaves it
        connection.execute(text("UPDATE activity SET activity_enc=x''"))
        connection.execute(text("DELETE FROM body"))
    assert "".join(lineage_files.as_csv(road.engine, cell)) == told
    assert lineage_files.open_lineage(road.engine, cell) == event


def test_a_cell_that_lost_its_records_has_one_line(make_road: Make) -> None:
    road = make_road(a_few())
    road.run(targets=[])
    road.cht.delete("visit-08-1")
    road.run(targets=[])
    cell = cell_of(road, "MH_A04", "A2_Y1_4-SEX_F")
    rows = list(csv.DictReader("".join(lineage_files.as_csv(road.engine, cell)).splitlines(), delimiter=";"))
    assert [(one["data_element"], one["value"], one["record"]) for one in rows] == [("MH_A04", "", "")]
    assert lineage_files.open_lineage(road.engine, cell)["inputs"] == []


def test_a_sent_cell_that_lost_its_records_wants_nought_and_names_who_left(make_road: Make) -> None:
    road = make_road(a_few())
    road.settle()
    road.cht.delete("visit-08-1")
    road.run(targets=[])
    cell = cell_of(road, "MH_A04", "A2_Y1_4-SEX_F")
    (row,) = csv.DictReader("".join(lineage_files.as_csv(road.engine, cell)).splitlines(), delimiter=";")
    assert (row["value"], row["accepted"]) == ("0", "1")
    found = lineage.explain(road.engine, "MH_A04", UNIT, "202608", "A2_Y1_4-SEX_F")
    assert found is not None and found["left"] == [{"record": "cht/reports/visit-08-1", "state": "deleted"}]
    assert (found["value"]["current"], found["value"]["wanted"]) == (None, "0")
    road.settle()
    asked = Asker(road.engine, road.house.another).value(cell_of(road, "MH_A04", "A2_Y1_4-SEX_F"))  # type: ignore[union-attr]
    assert asked["state"] == "equal", "nothing counts, nought is there"


def test_the_paths_of_an_expression() -> None:
    assert paths_read("$yes(a.b) and `x y`.c in ['d.e', \"f\"] or not_a_word = 1.5") == ["a.b", "x y.c", "not_a_word"]
    assert paths_read("$num(a.b) + $count(c[d > 2]) and true") == ["a.b", "c", "d"]


def test_why_other_records_of_the_place_and_month_do_not_count(make_road: Make) -> None:
    """Of six visits of three months: one a month is positive and counts, one is negative; one was not tested."""
    road = make_road([*a_few(), visit("untested", "2026-08-20", subject=MODIBO, rdt="not_done")])
    road.run(targets=[])
    ask = partial(lineage.explain, road.engine, "MH_B02_NUM", UNIT, "202608", "A3_Y0_4")
    found = ask(why_not=True)
    assert found is not None and [one["record"] for one in found["records"]] == ["cht/reports/visit-08-1"]
    told = {
        record: (one["code"], one["condition"], one["n"]) for one in found["not_counted"] for record in one["records"]
    }
    assert set(told) == {"cht/reports/visit-08-2", "cht/reports/untested"}
    assert told["cht/reports/visit-08-2"] == ("condition", "malaria_rdt = 'positive'", 1)
    assert (
        told["cht/reports/untested"][0] == "condition"
        and told["cht/reports/untested"] != told["cht/reports/visit-08-2"]
    )
    assert all(one["reason"]["fr"] and one["reason"]["en"] for one in found["not_counted"])
    without = ask()
    assert without is not None and without["not_counted"] == []
    with road.engine.store._writer.begin() as connection:
        connection.execute(text("UPDATE activity SET activity_enc=x''"))
    purged = ask(why_not=True)
    assert purged is not None and [(one["code"], one["n"]) for one in purged["not_counted"]] == [("purged", 2)]


def test_why_nothing_was_ever_counted_there(make_road: Make) -> None:
    """No visit of September is positive in the youngest group; what the address says wrong is told apart."""
    road = make_road([*a_few(), visit("untested", "2026-09-20", subject=MODIBO, rdt="not_done")])
    road.run(targets=[])
    where = ("MH_B02_NUM", UNIT, "202609", "A3_Y10_14")
    assert lineage.explain(road.engine, *where) is None
    found = lineage.uncounted(road.engine, *where)
    assert found["unknown"] is None
    told = {record: one["condition"] for one in found["not_counted"] for record in one["records"]}
    assert "malaria_rdt" in told["cht/reports/untested"]
    wrong = [("MH_X", *where[1:]), (where[0], "ML-X9", *where[2:]), (*where[:2], "209", where[3]), (*where[:3], "A3")]
    for one, what in zip(wrong, ("data_element", "org_unit", "period", "combo"), strict=True):
        assert lineage.uncounted(road.engine, *one) == {"value": None, "unknown": what, "not_counted": []}
    hint = {"value": None, "unknown": None, "not_counted": []}
    assert lineage.uncounted(road.engine, *where, why_not=False) == {**hint, "more": True}
    assert lineage.uncounted(road.engine, *where[:2], "202511", where[3], why_not=False) == {**hint, "more": False}


@pytest.mark.again
def test_a_record_tells_its_revisions_derived_facts_and_the_sendings_it_counts_in(make_road: Make) -> None:
    road = make_road(a_few())
    road.settle()
    road.later(hours=1)
    road.cht.put(visit("visit-08-1", note="another word"))
    road.settle()
    found = lineage.trace(road.engine, "cht/reports/visit-08-1")
    assert found is not None and len(found["revisions"]) == 2
    derived = {one["name"]: one["value"] for one in found["derived"]}
    assert set(road.engine.pack.derived) & set(derived) and not {one["name"] for one in found["facts"]} & set(derived)
    (cell,) = [one for one in found["cells"] if one["data_element"] == "MH_A04"]
    assert [(one["value"], one["verdict"]) for one in cell["sends"]] == [("1", "accepted")]


def test_why_goes_down_to_the_facts_behind_a_fact() -> None:
    behind = [
        Comparison("severe", "absent"), Comparison("muac_mm < 115", "false", "131 < 115", 1),
        Comparison("age > 5", "true", "8 > 5", 1), Comparison("fever", "true", "yes"),
    ]  # fmt: skip
    one = NotCounted("NUT", "count", "condition", "severe and fever", tuple(behind))
    assert left_out._why([one]) == ("condition", "severe (muac_mm < 115)", "131 < 115")
    mild = (Comparison("$not(mild)", "false"), Comparison("muac_mm < 125", "true", "9 < 125", 1))
    other = replace(one, comparisons=mild)
    assert left_out._why([other]) == ("condition", "$not(mild) (muac_mm < 125)", "9 < 125")
