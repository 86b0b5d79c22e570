"""Which cells a record adds to. The examples of the pack say it case by case; here are the rules behind them, and the
whole synthetic district counted by the pack and by the sandbox's own slow code."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.errors import MappingError
from connector.mappings import people
from connector.mappings.config import load_pack
from connector.mappings.expressions import engine_only
from connector.mappings.forms import Mapper
from connector.mappings.indicators import Counter, element_and_combo
from connector.mappings.jsonata_values import truth
from connector.mappings.pack import Pack
from connector.model import SEEN, Activity, Contribution, Entity, Record
from connector.sandbox import metadata, oracle
from connector.sandbox.district import District

from .pack_copy import PackCopy

SHIPPED = Path(__file__).parents[2] / "config" / "mali-health"
PACK = load_pack(SHIPPED, {}, strict=False)[0]
COUNTER = Counter(PACK)


def activity(kind: str = "sick_visit", day: str = "2026-07-15", **facts: Any) -> Activity:
    return Activity(
        source="cht",
        stream="reports",
        key="r1",
        revision="1",
        kind=kind,
        form="f",
        mapping="m",
        version="v",
        date=date.fromisoformat(day),
        at=None,
        place="site-1",
        worker="asc-1",
        subject="p-1",
        facts=facts,
    )


def counted(one: Activity, counter: Counter = COUNTER, units: Any = None, **extra: Any) -> list[Contribution]:
    facts = {**people.complete(one, None), **extra}
    return counter.contributions(one, facts, units or (lambda level: f"OU-{level}"))


def of(indicator: str, found: list[Contribution]) -> list[Contribution]:
    return [one for one in found if one.indicator == indicator]


# ---------------------------------------------------------------- where and when


def test_a_contribution_has_its_whole_address() -> None:
    (one,) = of("A04", counted(activity(), age_days=400, age_months=13, age_years=1, sex="female"))
    assert one == Contribution(
        record="cht/reports/r1",
        indicator="A04",
        part="count",
        org_unit="OU-site",
        period="202607",
        categories=(("A2", "y1_4"), ("S", "female")),
        amount=Decimal(1),
        distinct=None,
        date=date(2026, 7, 15),
        version=PACK.indicators["A04"].version,
        moment="",
    )
    assert element_and_combo(PACK, "A04", "count", one.categories) == ("MH_A04", "A2_Y1_4-SEX_F")


def test_codes_without_categories_and_what_is_unknown() -> None:
    assert element_and_combo(PACK, "F02", "den", ()) == ("MH_F02_DEN", "default")
    assert element_and_combo(PACK, "H05", "count", (("ORIENTATION", "unknown"), ("S", "unknown"))) == (
        "MH_H05",
        "ORIENTATION_UNK-SEX_UNK",
    )
    with pytest.raises(KeyError):
        element_and_combo(PACK, "Z99", "count", ())


def test_each_data_set_has_its_level_and_its_period() -> None:
    found = counted(
        activity(
            "governance_meeting",
            transparency=[{"item": "tarifs", "displayed": True}],
            feedback=[{"type": "plainte", "days": 3}],
        )
    )
    assert {(one.indicator, one.org_unit, one.period) for one in found} == {
        ("I06", "OU-cscom", "2026Q3"),
        ("I11", "OU-cscom", "202607"),
    }


def test_a_place_without_an_org_unit_at_the_level_adds_nothing_there() -> None:
    asked: list[str] = []

    def units(level: str) -> str | None:
        asked.append(level)
        return None

    assert counted(activity(), units=units) == []
    assert asked == ["site"], "asked once, however many indicators"


def test_an_activity_that_no_indicator_counts_adds_nothing() -> None:
    assert counted(activity("supervision", score=Decimal("12.5"))) == []


# ---------------------------------------------------------------- ratios, sums, distinct


def test_a_numerator_is_part_of_its_denominator() -> None:
    """ACT given to a grown-up is in neither part of an indicator of children."""
    assert of("B04", counted(activity(act_given=True, fever_onset_hours=3), age_years=30, age_months=360)) == []


@pytest.mark.again
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "fever": st.booleans(),
            "malaria_rdt": st.sampled_from(["positive", "negative"]),
            "act_given": st.booleans(),
            "malaria_treated": st.booleans(),
            "fever_onset_hours": st.integers(0, 80),
            "fast_breathing": st.booleans(),
            "amoxicillin_given": st.booleans(),
            "diarrhoea": st.booleans(),
            "ors_given": st.booleans(),
            "zinc_given": st.booleans(),
            "danger_signs": st.lists(st.just("sign_convulsions"), max_size=1),
            "referred": st.booleans(),
            "muac_mm": st.integers(90, 140),
            "oedema": st.booleans(),
            "sam_treatment_given": st.booleans(),
            "hours_since_onset": st.integers(0, 100),
            "caregiver_understood": st.booleans(),
            "exclusive_breastfeeding": st.booleans(),
            "never_vaccinated": st.booleans(),
            "reported_age_months": st.integers(0, 300),
            "sex": st.sampled_from(["female", "male"]),
        },
    )
)
def test_numerators_never_exceed_denominators_and_the_engine_agrees(facts: dict[str, Any]) -> None:
    """Counting takes short ways; each condition evaluated whole by the engine gives the same cells."""
    visit = activity(**facts)
    complete = people.complete(visit, None)
    found = COUNTER.contributions(visit, complete, lambda level: "OU")
    parts = {(one.indicator, one.part, one.categories) for one in found}
    assert len(parts) == len(found)
    nested = [one for one in parts if one[1] == "num" and PACK.indicators[one[0]].nested]
    assert all((indicator, "den", by) in parts for indicator, _, by in nested)
    scope = COUNTER.facts(complete)
    for indicator in PACK.indicators.values():
        for part, predicate in indicator.parts.items():
            if "sick_visit" not in indicator.rules[part].counts:
                continue
            met = truth(engine_only(predicate.source)(scope))
            assert met == any(one.indicator == indicator.id and one.part == part for one in found), (indicator.id, part)


def test_sums_carry_decimals_and_leave_out_nothing() -> None:
    loans = [{"objet": "sante", "motif": "accouchement", "amount": Decimal("10000.5")}, {"objet": "sante"}]
    found = counted(activity("savings_meeting", saved_xof=Decimal("0"), loans=loans))
    assert [(one.amount, one.categories) for one in of("G07_XOF", found)] == [
        (Decimal("10000.5"), (("MOTIF", "accouchement"),))
    ]
    assert [one.categories[0][1] for one in of("G07", found)] == ["accouchement", "unknown"]
    assert of("G05", found) == [], "nothing saved is nothing to add"


def test_distinct_keys() -> None:
    found = counted(activity("stock_report", stock=[{"product": "tdr", "on_hand": 1}]))
    assert {one.distinct for one in found} == {"asc-1"}
    shown = [{"item": "tarifs", "displayed": True}]
    assert {one.distinct for one in counted(activity("governance_meeting", transparency=shown))} == {"site-1"}


def test_without_a_worker_nothing_can_be_counted_once() -> None:
    nobody = replace(activity("stock_report", stock=[{"product": "tdr", "stockout_days": 3}]), worker=None)
    assert COUNTER.contributions(nobody, nobody.facts, lambda level: "OU") == []
    steps = COUNTER.explain(nobody, nobody.facts, "F01")
    assert ("$exists(worker)", "false") in {(step.condition, step.result) for step in steps}


@pytest.mark.again
@pytest.mark.parametrize(("what", "key"), [("subject", "p-1"), ("household", "h-9"), ("group", "p-1")])
def test_distinct_by_subject_household_and_group(tmp_path: Path, what: str, key: str) -> None:
    copy = PackCopy(tmp_path)
    copy.change(
        "indicators/sec-core.yaml",
        '    aggregate: distinct\n    distinct: worker\n    denominator: "true"\n    numerator: $count',
        f'    aggregate: distinct\n    distinct: {what}\n    denominator: "true"\n    numerator: $count',
    )
    counter = Counter(copy.load()[0])
    found = of("F02", counted(activity("stock_report", household="h-9"), counter))
    assert {one.distinct for one in found} == {key}


# ---------------------------------------------------------------- categories


def test_a_fact_of_an_item_lies_over_that_of_the_activity() -> None:
    found = counted(
        activity("outreach_session", participants=[{"sex": "male", "public": "jeune", "n": 4}]), sex="female"
    )
    assert of("H02", found)[0].categories == (("S", "male"), ("PUBLIC", "jeune"))


def test_what_is_in_no_band_is_unknown() -> None:
    assert COUNTER.option("A3", {"age_years": 200}) == "y20p"
    assert COUNTER.option("A4", {"age_years": 9}) == "unknown"
    assert COUNTER.option("A1", {}) == "unknown"
    assert COUNTER.option("S", {"sex": "f"}) == "unknown"
    assert COUNTER.option("PURPOSE", {"purpose": 3}) == "unknown"


def test_every_category_ends_with_unknown() -> None:
    for category in PACK.categories.values():
        assert list(category.options)[-1] == "unknown"
        assert list(category.options.values())[-1].endswith("_UNK")


# ---------------------------------------------------------------- why, and what cannot be compared


def test_explain_says_which_condition_was_not_met() -> None:
    visit = activity(fever=True)
    steps = COUNTER.explain(visit, people.complete(visit, None), "B01")
    assert [(step.part, step.result) for step in steps] == [("num", "false"), ("den", "true")]
    assert any("fever = true" in line for line in steps[1].why)
    assert COUNTER.explain(visit, {}, "D08")[0].result == "false"


def test_explain_goes_through_the_items() -> None:
    meeting = activity("savings_meeting", loans=[{"objet": "revenu"}, {"objet": "sante"}])
    steps = COUNTER.explain(meeting, meeting.facts, "G07")
    assert [(step.item, step.result) for step in steps] == [(0, "false"), (1, "true")]


def test_a_condition_that_fails_is_not_met_and_explain_says_so() -> None:
    odd = activity(fever_onset_hours="soon", act_given=True)
    found = counted(odd)
    assert [one.part for one in of("B04", found)] == ["den"]
    assert "T2009" in COUNTER.explain(odd, people.complete(odd, None), "B04")[0].result


def test_a_derived_fact_that_cannot_be_worked_out_is_absent() -> None:
    assert "severe_malnutrition" not in COUNTER.facts({"muac_mm": "small"})
    assert COUNTER.facts({"muac_mm": 100})["severe_malnutrition"] is True


# ---------------------------------------------------------------- the district, by two independent counts


def _records(district: District) -> Iterator[Record]:
    for doc in district.current_docs():
        form = doc["form"] if doc.get("type") == "data_record" else doc.get("contact_type")
        yield Record("cht", "docs", doc["_id"], "1", form, doc, deleted=bool(doc.get("_deleted")))
    latest: dict[tuple[str, str], Record] = {}
    for path in sorted(district.files):
        for record in _of_file(path, district.files[path]):
            latest[record.source, record.key] = record
    yield from latest.values()


def _of_file(path: str, text: str) -> Iterator[Record]:
    if path.startswith("odk/"):
        for row in map(json.loads, text.splitlines()):
            gone = bool(row["__system"]["deletedAt"])
            yield Record("odk", "f", row["__id"], "1", "reunion_groupe_epargne", row, deleted=gone)
    elif path.startswith("kobo/"):
        for row in json.loads(text)["results"]:
            yield Record("kobo", "f", row["meta/rootUuid"], "1", row["_xform_id_string"], row)
    else:
        for row in csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), delimiter=";"):
            yield Record("outreach", "f", row["record_id"], "1", "causeries", row, deleted=row["action"] == "delete")


def _count(pack: Pack, district: District, today: date) -> dict[tuple[str, str, str, str], int]:
    mapper, counter = Mapper(pack), Counter(pack)
    rows = {(row["source"], row["place"]): row for row in district.org_unit_rows()}
    by_code = {row["org_unit"]: row for row in district.org_unit_rows()}
    registry: dict[str, Entity] = {}
    activities = []
    for record in _records(district):
        if record.deleted:
            continue
        try:
            mapped = mapper.apply(record)
        except MappingError:
            continue
        assert mapped.flags == (), "the district holds no answer that the pack cannot read"
        if mapped.entity is not None and mapped.entity.kind == "person":
            registry[mapped.entity.key] = mapped.entity
        if mapped.activity is not None and mapped.activity.date <= today:
            activities.append(mapped.activity)
    sums: dict[tuple[str, str, str, str], Decimal] = {}
    seen: dict[tuple[str, str, str, str], set[str | None]] = {}
    for one in activities:
        row = rows.get((one.source, one.place or ""))

        def unit(level: str, row: Any = row) -> str | None:
            while row is not None and row["level"] != level:
                row = by_code.get(row["parent"])
            return row["org_unit"] if row else None

        facts = people.complete(one, registry.get(one.subject or ""))
        for part in counter.contributions(one, facts, unit):
            if part.categories == SEEN:
                continue
            element, combo = element_and_combo(pack, part.indicator, part.part, part.categories)
            cell = (element, part.org_unit, part.period, combo)
            if pack.indicators[part.indicator].rules[part.part].aggregate == "distinct":
                seen.setdefault(cell, set()).add(part.distinct)
            else:
                sums[cell] = sums.get(cell, Decimal(0)) + part.amount
    return {**{cell: int(total) for cell, total in sums.items()}, **{cell: len(who) for cell, who in seen.items()}}


@pytest.mark.again
@pytest.mark.parametrize(("seed", "zone"), [(7, "Africa/Bamako"), (11, "Africa/Nairobi")])
def test_the_pack_counts_the_district_as_the_oracle_does(seed: int, zone: str) -> None:
    """Two counts written apart, from the same records, agree on every figure of every period."""
    district = District(seed=seed, zone=zone, indicators="first")
    today = date(2026, 11, 22)
    pack, _ = load_pack(SHIPPED, {"RELAIS_ZONE": zone}, strict=False)
    wanted = oracle.all_figures(oracle.records_of_district(district, today), district)
    single = metadata.elements("first")  # the others need what is known of several records
    found = {cell: n for cell, n in _count(pack, district, today).items() if cell[0] in single}
    assert len(wanted) > 1_500
    assert found == wanted
