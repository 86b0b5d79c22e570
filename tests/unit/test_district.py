"""The synthetic district: the same bytes for the same seed, nothing left to luck, every awkwardness felt."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime
from functools import cache
from itertools import islice
from pathlib import Path
from types import GeneratorType
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connector.sandbox import metadata, oracle
from connector.sandbox.cht import CHTSim
from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.district import KINDS, District, bench_docs, current
from connector.sandbox.plane import Plane

TODAY = date(2026, 10, 20)
#: Seeds and zones the figures must hold for.
PLACES = [(7, "Africa/Bamako"), (11, "Africa/Bamako"), (7, "Africa/Nairobi"), (11, "Europe/Paris")]


@cache
def made(seed: int = 7, zone: str = "Africa/Bamako", leave_out: str = "", indicators: str = "first") -> District:
    return District(seed, zone=zone, leave_out=[leave_out] if leave_out else [], indicators=indicators)


def everything(district: District) -> str:
    """All a district consists of, as one text."""
    return json.dumps(
        [
            district.operations, district.files, district.planted, district.dhis2_metadata, district.dhis2_values(),
            district.openmrs_metadata(), district.openmrs_patients(), district.org_unit_rows(),
            district.deployment_rows(), [district.staff(str(n)) for n in range(50)],
        ],
        ensure_ascii=False,
    )  # fmt: skip


def should_be(district: District) -> dict[str, Any]:
    found = oracle.expected_from(district.current_docs(), district.files, district, TODAY)
    del found["truth"]
    return found


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert everything(District(7, indicators="first")) == everything(made(7))
    assert everything(District(8, indicators="first")) != everything(made(7))
    assert everything(District(7, indicators="all")) == everything(made(7, indicators="all"))


#: Indicators by area as the reference lists them: 92.
NINETY_TWO = {
    f"{area}{n:02d}"
    for area, last in zip("ABCDEFGHI", (10, 14, 5, 15, 12, 5, 13, 5, 13), strict=True) for n in range(1, last + 1)
}  # fmt: skip


def indicator(element: str) -> str:
    return element.removeprefix("MH_")[:3]


@pytest.mark.parametrize(
    ("seed", "zone", "covered"),
    [(7, "Africa/Bamako", "first"), (11, "Africa/Nairobi", "all")]
    + [pytest.param(*place, "first", marks=pytest.mark.slow) for place in PLACES[1:]]
    + [pytest.param(7, "Africa/Bamako", "all", marks=pytest.mark.slow)],
)
def test_there_is_enough_of_everything(seed: int, zone: str, covered: str) -> None:
    district = made(seed, zone, "", covered)
    truth = oracle.records_of_district(district)
    values = oracle.counted_values(truth, district)
    elements = metadata.elements(covered)
    assert len(values) >= (1500 if covered == "first" else 5000)
    assert {element for element, _, _, _ in values} == set(elements)
    indicators: Counter[str] = Counter()
    options: set[tuple[str, str]] = set()
    for element, _, _, combo in values:
        id = indicator(element)
        indicators[id] += 1
        if combo != "default":
            options.update((id, option) for option in combo.split("-"))
    ids = {indicator(element) for element in elements}
    assert len(ids) == 35 if covered == "first" else ids == NINETY_TWO
    assert {id for id in ids if indicators[id] < 5} == set()
    for element, (categories, _) in elements.items():
        id = indicator(element)
        for category in categories:
            named = [option for option in metadata.CATEGORIES[category] if not option.endswith("_UNK")]
            if id == "A04":  # children under five share the combination of those under ten
                named.remove("A2_Y5_9") if category == "A2" else None
            assert [option for option in named if (id, option) not in options] == []
    used = {option for _, option in options}
    for unknown in ("A1_UNK", "A2_UNK", "A3_UNK", "A4_UNK", "AN_UNK", "SEX_UNK", "TRIMESTER_UNK"):
        assert unknown in used
    referrals = oracle.expected_referrals(truth, district)
    assert 40 <= len(referrals) <= 120
    assert len(oracle.expected_answers(referrals, district)) >= 25
    assert {a["status"] for a in oracle.expected_answers(referrals, district).values()} == {
        "completed", "arrived", "missed", "cancelled", "voided",
    }  # fmt: skip
    assert len(oracle.expected_resources(truth, district)) >= 5000
    if covered == "all":
        assert {"MENAGE_UNK", "URGENCY_UNK", "TPI_UNK", "DECES_UNK", "SERVICE_UNK", "TREATMENT_UNK"} < used
        assert {len(period) for _, _, period, _ in values} == {4, 6}  # 2026 and 2026S2 are live, 2026Q2 is not
        assert {period for _, _, period, _ in values} == {"202607", "202608", "202609", "2026Q3", "2026S2", "2026"}
    assert oracle.expected_attention(truth, district) == {
        "quarantined": {"date.future": 2, "date.missing": 1, "form.unknown": 2, "place.no_org_unit": 1},
        "held_values": 10, "parked": 0, "vanished": 0, "matches": 0,
    }  # fmt: skip


def test_size_is_that_of_a_small_district() -> None:
    docs = made().current_docs()
    kinds = Counter(doc.get("contact_type") or doc["type"] for doc in docs)
    assert 1800 <= kinds["data_record"] <= 2400
    assert 900 <= kinds["person"] <= 1150
    assert kinds["household"] == 252 and kinds["site"] == 12 and kinds["area"] == 3
    assert kinds["chw"] == 24 + 3  # three of them supervise


SHARE = KINDS[::8]  #: of the awkward kinds; the others take a minute (scripts/test.sh --slow)


@pytest.mark.parametrize("kind", [k if k in SHARE else pytest.param(k, marks=pytest.mark.slow) for k in KINDS])
def test_without_an_awkwardness_other_figures_are_expected(kind: str) -> None:
    """Each kind is planted, says its key and reason, and what should be changes when it is left out."""
    told = [one for one in made().planted if one["kind"] == kind]
    assert told and all(one["key"] and one["reason"] for one in told)
    without = made(leave_out=kind)
    assert [one for one in without.planted if one["kind"] == kind] == []
    assert should_be(without) != should_be_usual()


@cache
def should_be_usual() -> dict[str, Any]:
    return should_be(made())


def test_the_first_indicators_know_nothing_of_the_later_ones() -> None:
    """A pack that maps the first forms only meets no other, and a DHIS2 without the later elements."""
    district = made()
    forms = {doc["form"] for doc in district.current_docs() if doc["type"] == "data_record"}
    assert "family_planning" not in forms and not any("plan" in path for path in district.files)
    assert {e["code"] for e in district.dhis2_metadata["dataElements"]} == {*metadata.elements("first"), "SNIS_CONSULT"}
    wide = made(indicators="all")
    assert {e["code"] for e in wide.dhis2_metadata["dataElements"]} == {*metadata.ELEMENTS, "SNIS_CONSULT"}
    types = {one["code"]: (one["periodType"], one["openFuturePeriods"]) for one in wide.dhis2_metadata["dataSets"]}
    assert types["MH_SEC_Y"] == ("Yearly", 1) and types["MH_GOUV_S"] == ("SixMonthly", 1)
    assert types["MH_SEC"] == ("Monthly", 0)
    with pytest.raises(ValueError, match="first or all"):
        District(indicators="some")


def test_every_awkwardness_is_planted_with_all_indicators_too() -> None:
    assert {one["kind"] for one in made(indicators="all").planted} == set(KINDS)


def test_a_patient_is_seen_on_the_day_the_district_says() -> None:
    """The clinic's rows and the decisions by seed give the oracle the same days."""
    district = made(indicators="all")
    truth = oracle.records_of_district(district)
    days = [(truth.answers[rec.key].day - rec.day).days for rec in truth.records if rec.key in truth.answers]
    assert set(days) == {0, 1, 2, 4}
    number = next(n for n, answer in truth.answers.items() if answer.status == "completed")
    decision = district.staff(number)
    assert decision is not None
    assert datetime.fromisoformat(decision["at"]).date() == truth.answers[number].day
    assert "at" not in (made().staff(number) or {})


def test_an_unknown_awkwardness_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="no such awkwardness"):
        District(leave_out=["eddit"])


@pytest.mark.parametrize("zone", ["Africa/Nairobi", "Europe/Paris"])
def test_a_wrong_zone_miscounts(zone: str) -> None:
    """Reports at the turn of a month stand in another month for whoever counts in UTC."""
    district = made(7, zone)
    right = oracle.counted_values(oracle.truth_of(district.current_docs(), district.files, district, TODAY), district)
    wrong = oracle.read(district.current_docs(), district.files, "UTC", district.org_unit_rows(), TODAY)
    assert oracle.counted_values(wrong, district) != right


def test_service_happens_by_day_but_for_the_planted_midnights() -> None:
    district = made(7, "Africa/Nairobi")
    zone = ZoneInfo(district.zone)
    planted = {one["key"] for one in district.planted if one["kind"] == "midnight"}
    assert planted
    for doc in district.current_docs():
        if doc["type"] != "data_record":
            continue
        at = datetime.fromtimestamp(doc["reported_date"] / 1000, zone)
        assert (doc["_id"] in planted) == (at.hour in (23, 0)), doc["_id"]
        if doc["_id"] in planted:
            assert "visit_date" not in doc["fields"]


def test_the_feed_ends_where_the_district_says() -> None:
    """A CHT that saved the operations one after the other holds the current documents, and tombstones of both kinds."""
    district = made()
    sim = CHTSim(Plane(7), district.cht_docs())
    held = {doc["_id"]: doc for doc in sim.state()["docs"]}
    gone = [doc for doc in held.values() if doc.get("_deleted")]
    assert sorted("fields" in doc for doc in gone) == [False] * 3 + [True] * 3
    alive = [{k: v for k, v in doc.items() if k != "_rev"} for doc in held.values() if not doc.get("_deleted")]
    assert sorted(alive, key=lambda d: d["_id"]) == sorted(district.current_docs(), key=lambda d: d["_id"])
    back = next(one["key"] for one in district.planted if one["kind"] == "edit_back")
    versions = [op["doc"] for op in district.operations if op["op"] == "put" and op["doc"]["_id"] == back]
    assert len(versions) == 3 and versions[0] == versions[2] != versions[1]


def test_twenty_values_are_typed_by_hand() -> None:
    district = made()
    counted = oracle.counted_values(oracle.records_of_district(district), district)
    same = 0
    for typed in district.hand_typed:
        key = (typed["dataElement"], typed["orgUnit"], typed["period"], typed["categoryOptionCombo"])
        assert (str(counted[key]) != typed["value"]) is typed["differs"]
        same += not typed["differs"]
    assert (len(district.hand_typed), same) == (20, 10)
    state = DHIS2Sim(district.dhis2_metadata, district.dhis2_values(), Plane(7)).state()
    assert len(state["values"]) == 20 + len(district.foreign_values)


def test_staff_decides_by_seed_in_the_stated_shares() -> None:
    acts = Counter((made().staff(f"number-{n}") or {}).get("act") for n in range(4000))
    shares = {"completed": 45, "arrived": 15, "missed": 12, "cancelled": 8, "voided": 5, None: 15}
    assert set(acts) == set(shares)
    for act, share in shares.items():
        assert abs(acts[act] / 40 - share) < 3
    assert made().staff("number-1") == District(7, indicators="first").staff("number-1")


def test_the_packs_tables_are_the_districts() -> None:
    """``scripts/make_district_tables.py`` writes them; places do not depend on the seed."""
    import csv

    folder = Path(__file__).parents[2] / "config" / "mali-health"
    for name, rows in (("org_units", made(11).org_unit_rows()), ("deployments", made(11).deployment_rows())):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            assert list(csv.DictReader(file)) == rows


def test_bench_documents_are_streamed_and_repeatable() -> None:
    assert isinstance(bench_docs(10), GeneratorType)
    first = list(bench_docs(500, 3))
    assert first == list(bench_docs(500, 3))
    assert sum(doc["type"] == "data_record" for doc in first) == 500
    assert len({doc["_id"] for doc in first}) == len(first)
    # A million visits cost nothing until they are asked for.
    assert len(list(islice(bench_docs(1_000_000), 100))) == 100
    persons = {doc["_id"] for doc in first if doc.get("contact_type") == "person"}
    assert {doc["fields"]["patient_id"] for doc in first if doc["type"] == "data_record"} <= persons


def test_current_keeps_the_last_version_and_drops_the_deleted() -> None:
    docs = [{"_id": "a", "n": 1}, {"_id": "b"}, {"_id": "a", "n": 2}, {"_id": "b", "_deleted": True}]
    assert current(docs) == [{"_id": "a", "n": 2}]


@pytest.mark.parametrize(
    "size", [{"months": 1}, {"months": 2, "sites": 6, "chws": 6}, {"months": 6, "sites": 3, "chws": 6}]
)
def test_small_and_long_districts_can_be_made(size: dict[str, int]) -> None:
    district = District(7, indicators="first", **size)
    assert {site.code for site in district.people.sites} <= {one["code"] for one in district.dhis2_metadata["orgUnits"]}
    assert district.hand_typed and len(district.people.sites) == size.get("sites", 12)


@pytest.mark.parametrize("size", [{"months": 0}, {"months": 7}, {"sites": 2}, {"chws": 5}, {"sites": 12, "chws": 11}])
def test_a_size_that_no_district_has_is_refused(size: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(reversed(size))):
        District(7, **size)


def test_own_org_units_lie_where_their_file_says_or_below_the_district() -> None:
    text = (
        "\ufeffsource,place,org_unit,level,parent,name\nodk,s1,ML-X1,site,ML-X,Site 1\nodk,s1b,ML-X1,site,ML-X,again\n"
        "odk,x,ML-X,cscom,,CSCom X\nodk,s2,ML-X2,site,NOWHERE,\nodk,d,ML-KKO-D1,district,ML,there already\n"
    )
    there = made().dhis2_metadata["orgUnits"]
    found = {one["code"]: (one["parent"], one["name"]) for one in metadata.own_org_units(text, there)}
    assert found == {
        "ML-X1": ("ML-X", "Site 1"), "ML-X": ("ML-KKO-D1", "CSCom X"), "ML-X2": ("ML-KKO-D1", "ML-X2"),
    }  # fmt: skip
    with pytest.raises(ValueError, match="org_unit"):
        metadata.own_org_units("place\nx\n", there)
