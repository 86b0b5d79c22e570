"""Counting on the road: every figure is the recount of what is known now, never a running sum."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from connector.engine import tally
from connector.engine.reporters import Reporters
from connector.mappings.pack import PartRule
from tests.engine.house import (
    ANNA,
    MODIBO,
    UNIT,
    WORKERS,
    Doc,
    Make,
    Road,
    a_few,
    meeting,
    person,
    place,
    report,
    target,
    visit,
)  # fmt: skip

A04 = ("MH_A04", "A2_Y1_4-SEX_F")
B02 = ("MH_B02_NUM", "A3_Y0_4")
Figures = dict[tuple[str, str, str, str], str | None]


def figures(road: Road) -> Figures:
    sql = "SELECT data_element, org_unit, period, combo, value FROM cell"
    return {(r["data_element"], r["org_unit"], r["period"], r["combo"]): r["value"] for r in road.rows(sql)}


def cells_of(road: Road, key: str, *, alone: bool = False) -> set[tuple[str, str, str, str]]:
    """Cells the record contributes to now, by itself or (not ``alone``) by way of an episode."""
    sql = (
        "SELECT cell.data_element, cell.org_unit, cell.period, cell.combo FROM contribution c JOIN cell ON "
        "cell.indicator=c.indicator AND cell.part=c.part AND cell.org_unit=c.org_unit AND cell.period=c.period "
        "AND cell.categories=c.categories WHERE c.record LIKE :r OR c.record IN (SELECT episode FROM episode_record "
        "WHERE record LIKE :r AND NOT :alone)"
    )
    return {tuple(row.values()) for row in road.rows(sql, r=f"%/{key}", alone=alone)}  # type: ignore[misc]


def counted_only(road: Road) -> None:
    """Pull, map and count; send nothing."""
    road.run(targets=[])


def slowly(docs: dict[str, Doc]) -> dict[tuple[str, str, str, str], str]:
    """The figures of A04, B01, B02 and B03 from the visits themselves, in obvious steps (ages: under five and five)."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for doc in docs.values():
        fields = doc["fields"]
        unit = f"ML-KKO-D1-A1-S{doc['contact']['parent']['_id'].removeprefix('site-')}"
        period = fields["visit_date"].replace("-", "")[:6]
        anna = fields["patient_id"] == ANNA
        years, sex = ("A3_Y0_4", "SEX_F") if anna else ("A3_Y5_9", "SEX_M")
        rdt = fields["group_fever"]["mrdt_result"]
        elements = [("MH_B01_DEN", f"{years}-{sex}")]
        if anna:
            elements.append(("MH_A04", "A2_Y1_4-SEX_F"))
        if rdt in ("positive", "negative"):
            elements += [("MH_B01_NUM", f"{years}-{sex}"), ("MH_B02_DEN", years)]
        if rdt == "positive":
            elements += [("MH_B02_NUM", years), ("MH_B03_DEN", f"{years}-CONFIRMATION_CONFIRMED")]
        for element, combo in elements:
            found[element, unit, period, combo] += 1
    return {cell: str(n) for cell, n in found.items()}


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_in_whatever_order_the_figures_are_the_recount(make_road: Make, seed: int) -> None:
    """Random saves, edits, deletions and undeletions; A to B and back to A too."""
    rng = random.Random(seed)
    road = make_road([person(ANNA), person(MODIBO, born="2021-02-01", sex="male")])
    living: dict[str, Doc] = {}
    for _ in range(4):
        for _ in range(rng.randrange(2, 9)):
            key = f"v{rng.randrange(6)}"
            if key in living and rng.random() < 0.35:
                road.cht.delete(key, keep_body=rng.random() < 0.5)
                del living[key]
                continue
            living[key] = visit(
                key, f"2026-0{rng.randrange(7, 10)}-1{rng.randrange(4)}", subject=rng.choice((ANNA, MODIBO)),
                rdt=rng.choice(("positive", "negative", "not_done")), site=rng.choice(("site-1", "site-2")),
            )  # fmt: skip
            road.cht.put(living[key])
        counted_only(road)
        ours = {
            cell: value for cell, value in figures(road).items()
            if value is not None and cell[0][3:6] in ("A04", "B01", "B02", "B03")
        }  # fmt: skip
        assert ours == slowly(living)


CHANGES: dict[str, dict[str, Any]] = {
    "the test": {"fields.group_fever.mrdt_result": "negative"},
    "the month": {"fields.visit_date": "2026-09-03"},
    "the child": {"fields.patient_id": MODIBO},
    "the site": {"contact.parent._id": "site-2"},
    "nothing that counts": {"fields.note": "seen again"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_edit_changes_exactly_the_cells_of_its_record(road: Road, change: str) -> None:
    road.settle()
    before, old = figures(road), cells_of(road, "visit-08-1")
    sent = road.values()
    road.cht.edit("visit-08-1", CHANGES[change])
    road.settle()
    after, new = figures(road), cells_of(road, "visit-08-1")
    changed = {cell for cell in before.keys() | after.keys() if before.get(cell) != after.get(cell)}
    active = {cell for cell in changed if cell[0] in ("MH_A05_NUM", "MH_A06_DEN")}
    assert {cell[2] for cell in active} == ({"202608"} if change == "the month" else set()), "she did nothing else then"
    assert changed - active == old ^ new, "one visit: a cell it stays in keeps its figure"
    assert (changed == set()) == (change == "nothing that counts")
    sent_now = road.values()
    assert {cell for cell in sent.keys() | sent_now.keys() if sent.get(cell) != sent_now.get(cell)} == changed
    for cell in old - new:
        assert sent_now.get(cell) in (None, "0")


@pytest.mark.parametrize("stub", [True, False])
def test_a_deletion_changes_exactly_the_cells_of_its_record(road: Road, stub: bool) -> None:
    road.cht.put(visit("twin", "2026-08-11"))
    road.settle()
    before, old = figures(road), cells_of(road, "twin", alone=True)
    road.cht.delete("twin", keep_body=not stub)
    road.settle()
    after = figures(road)
    assert {cell for cell in before if before[cell] != after[cell]} == old != set()
    assert cells_of(road, "twin") == set()
    assert (road.value(*A04), road.value(*B02)) == ("1", "1")


def test_back_to_what_was_sent_sends_nothing(road: Road) -> None:
    road.settle()
    writes = road.writes()
    road.cht.edit("visit-08-1", {"fields.group_fever.mrdt_result": "negative"})
    counted_only(road)
    assert road.cell(*B02)["value"] is None
    road.cht.edit("visit-08-1", {"fields.group_fever.mrdt_result": "positive"})
    road.settle()
    assert (road.cell(*B02)["value"], road.value(*B02), road.writes()) == ("1", "1", writes)


# ---------------------------------------------------------------- vanished


def test_a_vanished_cell_goes_to_zero(road: Road) -> None:
    road.settle()
    road.cht.delete("visit-08-1")
    assert road.settle()["outcome"] == "settled"
    cell = road.cell(*B02)
    assert (cell["value"], cell["accepted"], cell["records"]) == (None, "0", 0)
    assert road.value(*B02) in (None, "0"), "a nought that is not significant is kept as nothing or as 0"
    writes = road.writes()
    road.settle()
    assert road.writes() == writes, "and it stays so"
    road.cht.put(visit("again", "2026-08-15"))
    road.settle()
    assert road.value(*B02) == "1"


def test_a_vanished_cell_is_deleted_where_the_pack_says_so(make_road: Make) -> None:
    road = make_road(None, target("dhis2", vanished="delete"))
    road.settle()
    road.cht.delete("visit-08-1")
    assert road.settle()["outcome"] == "settled"
    assert (road.value(*B02), road.cell(*B02)["accepted"]) == (None, "")
    assert road.dhis2.values[B02[0], UNIT, "202608", B02[1], "default"]["deleted"] is True
    road.cht.put(visit("again", "2026-08-15"))
    road.settle()
    assert road.value(*B02) == "1"


def test_a_cell_that_vanishes_before_it_was_sent_is_never_sent(road: Road) -> None:
    counted_only(road)
    road.cht.delete("visit-08-1")
    assert road.settle()["outcome"] == "settled"
    assert (B02[0], UNIT, "202608", B02[1], "default") not in road.dhis2.values
    assert road.cell(*B02)["accepted"] is None


# ---------------------------------------------------------------- sums and distinct


def test_sums_and_distinct_counts(make_road: Make) -> None:
    def stock(key: str, worker: str, tdr: int) -> Doc:
        items = {name: {"on_hand": 5, "stockout_days": tdr if name == "tdr" else 0} for name in ("tdr", "cta")}
        return report(key, "stock_count", "2026-08-28", items, worker=worker)

    road = make_road([*a_few(), stock("s1", WORKERS[0], 3), stock("s2", WORKERS[0], 2), stock("s3", WORKERS[1], 0)])
    area = "ML-KKO-D1-A1"
    road.write_meetings(
        "01", [meeting(1, saved=2500), meeting(2, saved="1 250"), meeting(3, group="GE-A1-02", saved=0)]
    )
    assert road.settle()["outcome"] == "settled"
    assert road.value("MH_F01_NUM", "PRODUCT_TDR", unit=area) == "1", "one worker, whatever she reports how often"
    assert road.value("MH_F01_DEN", "PRODUCT_TDR", unit=area) == "2"
    assert road.value("MH_G05", "default", unit=area) == "3750"
    road.write_meetings("02", [meeting(1, saved=500)])  # a later file supersedes by key
    road.settle()
    assert road.value("MH_G05", "default", unit=area) == "1750"


@pytest.mark.parametrize(
    ("rule", "row", "text"),
    [
        ({"aggregate": "count"}, {"records": 0, "total": 0}, None),
        ({"aggregate": "count"}, {"records": 3, "different": 2, "total": 3}, "3"),
        ({"aggregate": "distinct", "each": "stock"}, {"records": 3, "different": 2, "total": 9, "keys": 1}, "2"),
        ({"aggregate": "distinct"}, {"records": 3, "different": 2, "total": 9, "keys": 1}, "1"),
        ({"aggregate": "distinct"}, {"records": 3, "different": 2, "total": 9, "keys": 0}, None),
        ({"aggregate": "sum"}, {"records": 3, "total": "1200.0000"}, "1200"),
        ({"aggregate": "sum"}, {"records": 3, "total": "0.5000"}, "0.5"),
        ({"aggregate": "sum"}, {"records": 1, "total": 0}, "0"),
        ({"aggregate": "sum"}, {"records": 1, "total": "10000000000"}, "10000000000"),
        ({"aggregate": "latest"}, {"records": 2, "total": 9, "latest": Decimal("4.0000"), "first": 5}, "4"),
        ({"aggregate": "first"}, {"records": 2, "total": 9, "latest": 4, "first": 0}, None),
    ],
)
def test_a_figure_is_written_as_dhis2_reads_it(rule: dict[str, Any], row: dict[str, Any], text: str | None) -> None:
    assert tally.figure(PartRule(("visit",), **rule), row) == text


@pytest.mark.parametrize(
    ("value", "accepted", "sent", "vanished", "wanted"),
    [
        ("3", None, False, "zero", "3"), ("3", "3", True, "zero", "3"), ("0", None, False, "zero", "0"),
        (None, None, False, "zero", None), (None, None, False, "delete", None),
        (None, None, True, "zero", "0"), (None, None, True, "delete", ""),
        (None, "3", True, "zero", "0"), (None, "3", True, "delete", ""), (None, "0", True, "zero", "0"),
        (None, "", True, "zero", ""), (None, "", True, "delete", ""),
    ],
)  # fmt: skip
def test_what_the_target_should_hold(
    value: str | None, accepted: str | None, sent: bool, vanished: str, wanted: str | None
) -> None:
    pack: Any = SimpleNamespace(indicators={"A04": None})
    cell = {"indicator": "A04", "value": value, "accepted": accepted}
    assert tally.wanted_value(pack, cell, vanished, sent) == wanted
    assert tally.wanted_value(pack, {**cell, "indicator": "Z99"}, vanished, sent) is None, "it left the pack"


# ---------------------------------------------------------------- completion


def completed(road: Road, data_set: str = "MH_SEC") -> dict[str, bool]:
    found = road.dhis2.state()["completions"]
    return {c["period"]: c["completed"] for c in found if c["dataSet"] == data_set}


def test_without_one_reporter_a_month_is_not_complete(road: Road) -> None:
    road.cht.delete("visit-08-2")
    road.settle()
    assert completed(road) == {"202607": True, "202609": True}
    pack = road.engine.pack
    missing = road.engine.store.read(lambda unit: Reporters(pack).missing(unit, pack.data_sets["MH_SEC"], "202608"))
    assert [row.reporter for row in missing[UNIT]] == [WORKERS[1]]
    road.cht.put(visit("late", "2026-08-31", subject=MODIBO, worker=WORKERS[1]))
    road.settle()
    assert completed(road) == {"202607": True, "202608": True, "202609": True}


def test_a_later_deletion_takes_the_completion_back(road: Road) -> None:
    road.settle()
    assert completed(road)["202608"] is True
    road.cht.delete("visit-08-2")
    road.settle()
    assert completed(road).get("202608", False) is False
    assert (completed(road)["202607"], completed(road)["202609"]) == (True, True)
    assert road.delivery(f"complete/MH_SEC/{UNIT}/202608")["state"] == "accepted"


def test_a_quarantined_report_is_no_report(road: Road) -> None:
    road.cht.edit("visit-08-2", {"contact.parent._id": "site-99"})
    road.settle()
    assert "202608" not in completed(road)


def test_a_running_month_is_not_complete(road: Road) -> None:
    for worker in WORKERS:
        road.cht.put(visit(f"october-{worker}", "2026-10-02", worker=worker))
    road.dhis2.today = road.dhis2.today.replace(month=11)
    road.settle()
    assert road.cell(*A04, "202610")["value"] == "2"
    assert "202610" not in completed(road)
    road.later(days=27)
    road.settle()
    assert completed(road)["202610"] is True


def test_groups_of_places_complete_their_own_data_set(make_road: Make) -> None:
    road = make_road([place("area-1", "area", "district-1")])
    road.write_meetings("01", [meeting(n, group=f"GE-A1-0{n}") for n in (1, 2)])
    road.settle()
    assert completed(road, "MH_EPARGNE") == {}
    road.write_meetings("02", [meeting(3, group="GE-A1-03")])
    road.settle()
    assert completed(road, "MH_EPARGNE") == {"202608": True}


def test_a_data_set_without_reporters_is_never_completed(make_road: Make) -> None:
    items = {"tdr": {"on_hand": 5, "stockout_days": 2}}
    road = make_road([*a_few(), report("s1", "stock_count", "2026-08-28", items)])
    road.settle()
    assert road.value("MH_F01_NUM", "PRODUCT_TDR", unit="ML-KKO-D1-A1") == "1"
    assert completed(road, "MH_STOCK") == {}
