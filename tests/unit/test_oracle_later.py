"""The oracle's later rules, each on a few hand-made records whose figures a person can count."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connector.sandbox import openmrs_metadata as clinic_terms
from connector.sandbox import oracle
from connector.sandbox.district import District
from connector.sandbox.oracle_count import first_day, next_period, period_of
from connector.sandbox.oracle_records import Answer

TODAY = date(2026, 10, 20)
ZONE = ZoneInfo("Africa/Bamako")
S1 = "ML-KKO-D1-A1-S1"
A1 = "ML-KKO-D1-A1"
Doc = dict[str, Any]


@cache
def district() -> District:
    return District(7, indicators="all")


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp() * 1000)


def report(form: str, key: str, day: str, *, at: str | None = None, worker: str = "asc-001", **fields: Any) -> Doc:
    """A CHT report of this day at site 1; ``at``: when it was sent, else the day at ten."""
    place = {"_id": "site-1", "parent": {"_id": "area-1", "parent": {"_id": "district-1"}}}
    return {
        "_id": key, "type": "data_record", "form": form, "reported_date": ms(at or f"{day}T10:00:00"),
        "contact": {"_id": worker, "parent": place}, "fields": {"visit_date": day, **fields},
    }  # fmt: skip


def person(
    key: str, born: str | None = None, sex: str | None = None, home: str = "h1", since: str = "2026-01-05"
) -> Doc:
    parent = {"_id": home, "parent": {"_id": "site-1", "parent": {"_id": "area-1"}}}
    told = {name: said for name, said in (("sex", sex), ("date_of_birth", born)) if said}
    return {**contact(key, "person", parent, since), "name": "Awa Diarra", **told}


def contact(key: str, kind: str, parent: Doc | None, since: str = "2026-01-05", **more: Any) -> Doc:
    doc = {"_id": key, "type": "contact", "contact_type": kind, "name": key, "reported_date": ms(f"{since}T09:00:00")}
    return {**doc, **({"parent": parent} if parent else {}), **more}


def house(key: str, since: str = "2026-01-05", kind: str | None = None) -> Doc:
    more = {"household_type": kind} if kind else {}
    return contact(key, "household", {"_id": "site-1", "parent": {"_id": "area-1"}}, since, **more)


def figures(
    *ids: str, docs: Sequence[Doc] = (), files: Mapping[str, str] | None = None,
    answers: Mapping[str, tuple[str, str]] | None = None, unit: str | None = None,
) -> dict[str, int]:  # fmt: skip
    """Figures of these indicators from these records alone: "element without MH_, period, combo" -> number."""
    truth = oracle.truth_of(docs, files or {}, district(), TODAY)
    truth.answers = {n: Answer(status, date.fromisoformat(day)) for n, (status, day) in (answers or {}).items()}
    found = {}
    for (element, where, period, combo), n in oracle.all_figures(truth, district()).items():
        name = element.removeprefix("MH_")
        if name[:3] in ids and where == (unit or where):
            found[f"{name} {period} {combo}".removesuffix(" default")] = n
    return found


def odk(form: str, *rows: Doc) -> dict[str, str]:
    return {f"odk/{form}-01.ndjson": "".join(json.dumps(row) + "\n" for row in rows)}


def kobo(form: str, *rows: Doc) -> dict[str, str]:
    named = [{"_xform_id_string": form, "meta/rootUuid": f"{form}-{n}", **row} for n, row in enumerate(rows)]
    return {f"kobo/{form}-01.json": json.dumps({"results": named})}


def meeting(key: str, day: str, group: str = "GE-A1-01", kind: str = "normal", **more: Any) -> Doc:
    presence = {"membres_inscrits": more.pop("enrolled", 18), "presentes": 15, **more.pop("presence", {})}
    return {
        "__id": key, "__system": {"deletedAt": None}, "groupe": {"code": group, "type": kind, "date_reunion": day},
        "presence": presence, "epargne": {"montant_xof": 1000, **more.pop("epargne", {})}, **more,
    }  # fmt: skip


# ---------------------------------------------------------------- periods


@pytest.mark.parametrize(
    ("kind", "period", "first", "after"),
    [
        ("Monthly", "202612", "2026-12-01", "2027-01-01"),
        ("Quarterly", "2026Q4", "2026-10-01", "2027-01-01"),
        ("SixMonthly", "2026S2", "2026-07-01", "2027-01-01"),
        ("Yearly", "2026", "2026-01-01", "2027-01-01"),
    ],
)
def test_periods_of_every_length(kind: str, period: str, first: str, after: str) -> None:
    assert period_of(date(2026, 12, 31), kind) == period
    assert (first_day(period).isoformat(), next_period(period).isoformat()) == (first, after)
    assert period_of(next_period(period), kind) != period


def test_a_year_that_began_before_the_start_is_live_and_a_half_year_before_it_is_not() -> None:
    planned = [report("family_planning", "a", "2026-02-10", patient_id="w", user_type="new", method="iud")]
    cards = kobo("aBulletin", card("2026-06-30"), card("2026-07-01"))
    truth = oracle.truth_of([person("w", "1999-01-01"), *planned], cards, district(), TODAY)
    live = {(element, period) for element, _, period, _ in oracle.counted_values(truth, district())}
    assert ("MH_E11", "2026") in live and ("MH_I08_DEN", "2026S2") in live
    assert not any(period in ("202602", "2026S1", "2026Q1", "2026Q2") for _, period in live)


# ---------------------------------------------------------------- registers: A01 A02 A05-A09 E04 I04


def test_households_registered_and_visited() -> None:
    docs = [
        house("h1", kind="village"), house("h2", kind="nomade"), house("h3", since="2026-08-31"),
        house("h4", since="2026-09-01", kind="hameau"), person("p1", home="h2"),
        report("home_visit", "a", "2026-07-02", household_id="h1", purpose="other"),
        report("assessment_follow_up", "b", "2026-07-31", patient_id="p1"),
        report("postnatal_visit", "c", "2026-07-30", patient_id="p1"),
        report("assessment", "d", "2026-08-03", patient_id="p1"),  # a sick visit is not a home visit
        report("home_visit", "e", "2026-08-03", household_id="nowhere"),
        report("home_visit", "f", "2026-08-04", household_id="h3"),
    ]  # fmt: skip
    assert figures("A01", "A02", docs=docs, unit=S1) == {
        "A01_NUM 202607 MENAGE_VILLAGE": 1, "A01_NUM 202607 MENAGE_NOMADE": 1, "A01_NUM 202608 MENAGE_UNK": 1,
        "A01_DEN 202607 MENAGE_VILLAGE": 1, "A01_DEN 202607 MENAGE_NOMADE": 1, "A01_DEN 202608 MENAGE_VILLAGE": 1,
        "A01_DEN 202608 MENAGE_NOMADE": 1, "A01_DEN 202608 MENAGE_UNK": 1,
        "A02_NUM 202607": 1, "A02_DEN 202607": 2, "A02_DEN 202608": 3,
    }  # fmt: skip
    gone = [*docs[1:], {**house("h1"), "_deleted": True}]
    assert figures("A02", docs=gone, unit=S1)["A02_DEN 202607"] == 1


def test_a_site_that_reported_nothing_still_has_its_workers() -> None:
    there = contact("asc-001", "chw", {"_id": "site-1"}, sex="male")
    docs = [there, report("home_visit", "a", "2026-07-02", household_id="h1")]
    found = figures("A05", "A06", "A08", docs=docs)
    assert {key: found[key] for key in found if "NUM" in key} == {"A05_NUM 202607 SEX_M": 1}
    elsewhere = figures("A05", "A06", "A08", docs=docs, unit="ML-KKO-D1-A1-S2")
    assert elsewhere == {"A05_DEN 202607 SEX_UNK": 2, "A08_DEN 202607 RAPPORT_MENSUEL": 2,
                         "A08_DEN 202607 RAPPORT_STOCK": 2}  # fmt: skip
    assert figures("A05", "A06", docs=docs, unit=S1) == {
        "A05_DEN 202607 SEX_M": 1, "A05_DEN 202607 SEX_UNK": 1, "A05_NUM 202607 SEX_M": 1, "A06_DEN 202607": 1,
    }  # fmt: skip


def test_a_worker_who_moves_is_expected_where_the_deployments_say() -> None:
    mover = district().mover
    docs = [report("home_visit", "a", day, worker=mover) for day in ("2026-07-02", "2026-08-02")]
    docs[1]["_id"] = "b"
    sites = {row["org_unit"]: row["valid_from"] for row in district().deployment_rows() if row["reporter"] == mover}
    old, new = sorted(sites, key=lambda unit: sites[unit])
    assert "A05_NUM 202607 SEX_UNK" in figures("A05", docs=docs, unit=old)
    assert "A05_NUM 202608 SEX_UNK" not in figures("A05", docs=docs, unit=old)
    assert "A05_NUM 202608 SEX_UNK" in figures("A05", docs=docs, unit=new)


def test_caseload_is_sick_children_per_active_worker() -> None:
    docs = [person("p1", "2024-01-01"), person("p2", "2001-01-01")]
    docs += [report("assessment", f"a{n}", "2026-07-02", patient_id=who) for n, who in enumerate(("p1", "p1", "p2"))]
    assert figures("A06", docs=docs, unit=S1) == {"A06_NUM 202607": 2, "A06_DEN 202607": 1}


def test_supervised_workers_are_those_the_supervisor_names() -> None:
    visit = report("supervision", "a", "2026-07-09", worker="sup-001", supervised_chw="asc-013")
    visit["contact"]["parent"] = {"_id": "area-1"}
    docs = [contact("asc-013", "chw", {"_id": "site-1"}, sex="female"), visit, {**visit, "_id": "b"}]
    assert figures("A07", docs=docs, unit=S1) == {
        "A07_DEN 202607 SEX_F": 1, "A07_DEN 202607 SEX_UNK": 1, "A07_NUM 202607 SEX_F": 1,
    }  # fmt: skip


def test_reports_are_received_and_in_time_until_the_fifth() -> None:
    docs = [
        report("monthly_report", "a", "2026-07-31", at="2026-08-05T23:59:00", period_end="2026-07-31"),
        report(
            "monthly_report", "b", "2026-07-31", at="2026-08-06T00:00:00", worker="asc-013", period_end="2026-07-31"
        ),
        report("stock_count", "c", "2026-07-30", at="2026-08-09T10:00:00", tdr={"on_hand": 1}),
        report("stock_count", "d", "2026-07-29", at="2026-08-04T10:00:00", tdr={"on_hand": 1}),
    ]  # fmt: skip
    assert figures("A08", "A09", docs=docs, unit=S1) == {
        "A08_DEN 202607 RAPPORT_MENSUEL": 2, "A08_NUM 202607 RAPPORT_MENSUEL": 2,
        "A09_DEN 202607 RAPPORT_MENSUEL": 2, "A09_NUM 202607 RAPPORT_MENSUEL": 1,
        "A08_DEN 202607 RAPPORT_STOCK": 2, "A08_NUM 202607 RAPPORT_STOCK": 1,
        "A09_DEN 202607 RAPPORT_STOCK": 2, "A09_NUM 202607 RAPPORT_STOCK": 1,
    }  # fmt: skip


def test_children_screened_among_those_registered() -> None:
    docs = [
        person("p1", "2026-01-31", "female"),  # six months on the last day of July
        person("p2", "2021-07-31", "male"),  # five years on that day
        person("p3", "2021-08-01", "male"), person("p4", None, "male"), person("p5", "2024-01-01", since="2026-08-02"),
        report("assessment", "a", "2026-07-31", patient_id="p1", group_nutrition={"muac_score": "130"}),
        report("assessment", "b", "2026-07-31", patient_id="p1", group_nutrition={"muac_score": "131"}),
        report("assessment", "c", "2026-07-30", patient_id="p2", group_nutrition={"muac_score": 140}),
        report("assessment", "d", "2026-07-30", patient_id="p3", group_nutrition={"has_oedema": "no"}),
        report("assessment", "e", "2026-07-30", patient_id="p4", group_nutrition={"muac_score": 140}),
    ]  # fmt: skip
    assert figures("E04", docs=docs, unit=S1) == {
        "E04_NUM 202607 SEX_F": 1, "E04_NUM 202607 SEX_M": 1, "E04_DEN 202607 SEX_F": 1, "E04_DEN 202607 SEX_M": 1,
    }  # fmt: skip


def test_general_assemblies_of_the_year_per_asaco() -> None:
    areas = [contact(f"area-{n}", "area", {"_id": "district-1"}) for n in (1, 2)]
    held = [
        {"asaco/code": "area-1", "reunion/type": "assemblee_generale", "reunion/date": day}
        for day in ("2026-02-03", "2026-09-04")
    ] + [{"asaco/code": "area-2", "reunion/type": "conseil_gestion", "reunion/date": "2026-07-04"}]  # fmt: skip
    files = kobo("aGovASACO", *held)
    assert figures("I04", docs=areas, files=files, unit=A1) == {"I04_NUM 2026": 1, "I04_DEN 2026": 1}
    assert figures("I04", docs=areas, files=files, unit="ML-KKO-D1-A2") == {"I04_DEN 2026": 1}


# ---------------------------------------------------------------- care


def test_who_refuses_care_is_one_person_in_the_band_of_the_first_record() -> None:
    docs = [
        person("p1", "2021-07-15", "male"),  # five years old on the 15th
        report("assessment", "a", "2026-07-14", patient_id="p1", care_refused="no"),
        report("assessment", "b", "2026-07-16", patient_id="p1", care_refused="yes"),
        report("pregnancy_home_visit", "c", "2026-07-16", patient_id="p1", care_refused="yes"),
        report("assessment", "d", "2026-07-16", patient_id="p1"),
    ]
    assert figures("A10", docs=docs) == {"A10_DEN 202607 A3_Y0_4-SEX_M": 1, "A10_NUM 202607 A3_Y5_9-SEX_M": 1}


def test_rectal_artesunate_and_referral() -> None:
    def severe(key: str, artesunate: str, referred: str, **fever: str) -> Doc:
        return report(
            "assessment", key, "2026-07-02", patient_id="p1", group_danger_signs={"danger_signs": "convulsions"},
            group_fever={"patient_fever": "yes", "rectal_artesunate": artesunate, **fever},
            referral={"is_referred": referred},
        )  # fmt: skip

    docs = [
        person("p1", "2025-01-01"), severe("a", "yes", "yes", mrdt_result="positive"),
        severe("b", "yes", "no", malaria_treatment_given="yes"), severe("c", "yes", "yes", mrdt_result="negative"),
        severe("d", "no", "yes", mrdt_result="positive"), severe("e", "yes", "yes"),
    ]  # fmt: skip
    assert figures("B06", docs=docs) == {"B06_DEN 202607 A2_Y1_4": 3, "B06_NUM 202607 A2_Y1_4": 1}


@pytest.mark.parametrize(
    ("visits", "seen"),
    [([], 0), (["2026-07-31"], 0), (["2026-08-01"], 1), (["2026-08-03", "2026-08-02"], 1), (["2026-08-04"], 0)],
)
def test_followed_up_within_three_days_whatever_the_month(visits: list[str], seen: int) -> None:
    treated = {"group_fever": {"malaria_treatment_given": "yes", "malaria_treatment": "act"}}
    docs = [
        person("p1", "2026-01-01"), person("p2", "2026-01-01"),
        report("assessment", "a", "2026-07-31", patient_id="p1", **treated),
        report("assessment", "b", "2026-07-31", patient_id="p2"),
        *(report("assessment_follow_up", f"f{n}", day, patient_id="p1") for n, day in enumerate(visits)),
        report("assessment_follow_up", "g", "2026-08-01", patient_id="p2"),
    ]  # fmt: skip
    wanted = {"B12_DEN 202607 A1_M2_11-TREATMENT_ACT": 1}
    assert figures("B12", docs=docs) == {**wanted, **({"B12_NUM 202607 A1_M2_11-TREATMENT_ACT": 1} if seen else {})}


def test_all_doses_taken() -> None:
    docs = [
        report("assessment_follow_up", "a", "2026-07-02", doses_taken="6", doses_expected=6, treatment="act"),
        report("assessment_follow_up", "b", "2026-07-02", doses_taken=4, doses_expected=5, treatment="act"),
        report("assessment_follow_up", "c", "2026-07-02", doses_taken=5, doses_expected=5),
        report("assessment_follow_up", "d", "2026-07-02", doses_expected=5, treatment="ors_zinc"),
    ]
    assert figures("B14", docs=docs) == {
        "B14_DEN 202607 TREATMENT_ACT": 2, "B14_NUM 202607 TREATMENT_ACT": 1, "B14_DEN 202607 TREATMENT_UNK": 1,
        "B14_NUM 202607 TREATMENT_UNK": 1,
    }  # fmt: skip


def referred(key: str, day: str, who: str, **more: Any) -> Doc:
    return report("assessment", key, day, patient_id=who, referral={"is_referred": "yes", **more})


def test_referrals_and_their_answers_stand_in_the_month_of_the_referral() -> None:
    docs = [
        referred("a", "2026-07-31", "p1", urgency="urgent"), referred("b", "2026-07-10", "p2", urgency="urgent"),
        referred("c", "2026-07-10", "p3", urgency="routine"), referred("d", "2026-07-11", "p4"),
        referred("e", "2026-07-12", "p5", urgency="urgent"),
        report("assessment_follow_up", "v1", "2026-08-04", patient_id="p1"),  # three days after the answer
        report("assessment_follow_up", "v2", "2026-07-16", patient_id="p2"),  # four days after it
        report("assessment_follow_up", "v3", "2026-07-11", patient_id="p3"),  # there is no advice to follow
        report("assessment", "v4", "2026-07-11", patient_id="p4"),
    ]  # fmt: skip
    answers = {
        "a": ("completed", "2026-08-01"), "b": ("completed", "2026-07-12"), "c": ("arrived", "2026-07-11"),
        "d": ("completed", "2026-07-11"), "e": ("missed", "2026-07-13"),
    }  # fmt: skip
    assert figures("C02", "C03", "C04", "C05", docs=docs, answers=answers) == {
        "C02_DEN 202607 URGENCY_URGENT": 3, "C02_NUM 202607 URGENCY_URGENT": 2, "C02_DEN 202607 URGENCY_ROUTINE": 1,
        "C02_NUM 202607 URGENCY_ROUTINE": 1, "C02_DEN 202607 URGENCY_UNK": 1, "C02_NUM 202607 URGENCY_UNK": 1,
        "C03_DEN 202607": 4, "C03_NUM 202607": 3, "C04_DEN 202607": 3, "C04_NUM 202607": 1,
        "C05_DEN 202607": 3, "C05_NUM 202607": 2,
    }  # fmt: skip


def test_a_referral_tells_what_was_given_before_it() -> None:
    given = {
        "group_fever": {"malaria_treatment_given": "yes", "malaria_treatment": "act", "rectal_artesunate": "yes"},
        "group_breathing": {"pneumonia_treatment_given": "yes", "pneumonia_treatment": "other"},
        "group_diarrhea": {"ors_given": "yes", "zinc_given": "no"},
    }
    docs = [person("p1"), referred("a", "2026-07-10", "p1", referred_to="area-1")]
    docs[1]["fields"] |= given
    truth = oracle.truth_of(docs, {}, district(), TODAY)
    assert oracle.expected_referrals(truth, district())["a"]["treatments"] == [
        "act_given", "ors_given", "rectal_artesunate",
    ]  # fmt: skip


def test_the_referring_visit_is_not_the_visit_after_it() -> None:
    docs = [referred("a", "2026-07-10", "p1", urgency="urgent")]
    answers = {"a": ("completed", "2026-07-10")}
    assert figures("C05", docs=docs, answers=answers) == {"C05_DEN 202607": 1}
    docs.append(report("postnatal_visit", "b", "2026-07-10", patient_id="p1"))
    assert figures("C05", docs=docs, answers=answers) == {"C05_DEN 202607": 1, "C05_NUM 202607": 1}


def test_the_clinics_rows_outrank_the_staffs_decision() -> None:
    docs = [person("p1"), referred("n1", "2026-07-10", "p1", referred_to="area-1", urgency="urgent", reason="other")]
    number = {"concept": clinic_terms.REFERRAL_NUMBER, "value": "n1"}
    booked = {"number": "n1", "start": "2026-07-11T08:00:00Z", "voided": False}
    seen = {"type": clinic_terms.CONSULTATION, "voided": False, "datetime": "2026-07-12T23:30:00Z", "obs": [number]}

    def answer(status: str, *encounters: Doc) -> Answer:
        state = {"appointments": [{**booked, "status": status}], "encounters": list(encounters)}
        return oracle.truth_of(docs, {}, district(), TODAY, state).answers["n1"]

    assert answer("CheckedIn") == Answer("arrived", date(2026, 7, 11))
    assert answer("Completed", seen) == Answer("completed", date(2026, 7, 12))
    assert answer("Completed", {**seen, "voided": True}) == Answer("completed", date(2026, 7, 11))
    assert answer("Missed").status == "missed"


# ---------------------------------------------------------------- mothers and newborns


def expecting(
    key: str, day: str, who: str = "w", past: Doc | None = None, practices: Doc | None = None, **more: Any
) -> Doc:
    return report(
        "pregnancy_home_visit", key, day, patient_id=who, anc_visits_hf={"anc_visits_hf_past": past or {}},
        safe_pregnancy_practices=practices or {}, **more,
    )  # fmt: skip


def birth(key: str, day: str, who: str = "w", **more: Any) -> Doc:
    return report("delivery", key, day, patient_id=who, delivery_date=day, **more)


def test_first_contact_and_counselling_count_women() -> None:
    first = {"first_contact": "yes", "first_contact_weeks": "12"}
    docs = [
        person("w", "2008-01-01", "female"), expecting("a", "2026-07-01", past=first, counselled_danger_signs="no"),
        expecting("b", "2026-07-20", past=first, counselled_danger_signs="yes"),
        expecting("c", "2026-07-20", "x", past={"first_contact": "yes", "first_contact_weeks": 13}),
        expecting("d", "2026-07-20", "y", past={"first_contact": "no", "first_contact_weeks": 9}),
    ]  # fmt: skip
    assert figures("D01", "D04", docs=docs) == {
        "D01_DEN 202607 A4_Y15_19": 1, "D01_NUM 202607 A4_Y15_19": 1, "D01_DEN 202607 A4_UNK": 1,
        "D04_DEN 202607 A4_Y15_19": 1, "D04_NUM 202607 A4_Y15_19": 1, "D04_DEN 202607 A4_UNK": 2,
    }  # fmt: skip


def test_a_pregnancy_that_ended_knows_the_most_that_was_told() -> None:
    doses = {"malaria": {"iptp_doses": "3"}, "iron_folate": {"days_received": 89}}
    docs = [
        person("w", "2000-01-01", "female"),
        expecting("a", "2025-10-04", past={"visited_hf_count": "8"}),  # 301 days before
        expecting("b", "2025-10-05", past={"visited_hf_count": "4"}, practices=doses),  # 300 days before
        expecting("c", "2026-07-20", past={"visited_hf_count": 2}),
        expecting("d", "2026-08-02", past={"visited_hf_count": 9}),  # after the birth
        birth("e", "2026-08-01", iron_folate_days="90"),
    ]
    found = figures("D02", "D03", "D05", "D06", docs=docs)
    assert found == {
        "D02_DEN 202608 A4_Y20P": 1, "D02_NUM 202608 A4_Y20P": 1, "D03_DEN 202608 A4_Y20P": 1,
        "D05 202608 A4_Y20P-TPI_D3P": 1, "D06_DEN 202608 A4_Y20P": 1, "D06_NUM 202608 A4_Y20P": 1,
    }  # fmt: skip
    with_eight = figures("D03", docs=[*docs, expecting("f", "2026-08-01", past={"visited_hf_count": 8})])
    assert with_eight["D03_NUM 202608 A4_Y20P"] == 1


def test_twins_end_one_pregnancy_and_nothing_told_is_unknown() -> None:
    docs = [birth("a", "2026-07-31"), birth("b", "2026-08-30", iptp_doses=0), birth("c", "2026-08-31", iptp_doses=2)]
    assert figures("D05", docs=docs) == {"D05 202607 A4_UNK-TPI_D0": 1, "D05 202608 A4_UNK-TPI_D2": 1}
    assert figures("D02", docs=docs) == {"D02_DEN 202607 A4_UNK": 1, "D02_DEN 202608 A4_UNK": 1}
    strangers = [birth("a", "2026-07-31", ""), birth("b", "2026-07-31", "")]
    assert figures("D05", docs=strangers) == {"D05 202607 A4_UNK-TPI_UNK": 2}


@pytest.mark.parametrize(
    ("days", "cared", "in_time"),
    [([], 0, 0), (["2026-08-02"], 1, 1), (["2026-08-03"], 1, 0), (["2026-09-11"], 1, 0), (["2026-09-12"], 0, 0),
     (["2026-07-30"], 0, 0), (["2026-08-20", "2026-07-31"], 1, 1)],
)  # fmt: skip
def test_care_of_the_mother_counts_in_the_month_of_the_birth(days: list[str], cared: int, in_time: int) -> None:
    visits = [report("postnatal_mother_visit", f"v{n}", day, patient_id="w") for n, day in enumerate(days)]
    found = figures("D09", docs=[birth("a", "2026-07-31"), *visits])
    assert found == {
        **({"D09_DEN 202607 A4_UNK": 1} if cared else {}), **({"D09_NUM 202607 A4_UNK": 1} if in_time else {}),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("born", "days", "figure"),
    [("2026-07-31", ["2026-08-02", "2026-08-09"], "1/1"), ("2026-07-31", ["2026-08-09", "2026-08-03"], "0/1"),
     ("2026-07-31", ["2026-09-12"], "0/0"), ("2026-07", ["2026-07-02"], "0/0"), (None, ["2026-07-02"], "0/0")],
)  # fmt: skip
def test_care_of_the_newborn_counts_in_the_month_of_birth(born: str | None, days: list[str], figure: str) -> None:
    visits = [report("postnatal_visit", f"v{n}", day, patient_id="p1") for n, day in enumerate(days)]
    found = figures("D10", docs=[person("p1", born, "male"), *visits])
    num, den = (found.get(f"D10_{part} 202607 SEX_M", 0) for part in ("NUM", "DEN"))
    assert f"{num}/{den}" == figure and len(found) == num + den


def test_low_weight_at_birth() -> None:
    def weighed(key: str, grams: Any, **more: str) -> Doc:
        return birth(
            key, "2026-07-02", **{"birth_outcome": "live", "birth_weight_g": grams, "baby_sex": "male", **more}
        )

    docs = [
        weighed("a", "2499"),
        weighed("b", 2500),
        weighed("c", 2000, birth_outcome="still"),
        birth("d", "2026-07-02"),
    ]
    assert figures("D12", docs=docs) == {"D12_DEN 202607 SEX_M": 2, "D12_NUM 202607 SEX_M": 1}


def test_family_planning_after_birth_counts_women() -> None:
    docs = [
        report("postnatal_mother_visit", f"v{n}", "2026-07-09", patient_id=who, **({"fp_method": said} if said else {}))
        for n, (who, said) in enumerate((("w", "none"), ("w", "iud"), ("x", "traditional"), ("y", None)))
    ]
    assert figures("D13", docs=docs) == {"D13_DEN 202607 A4_UNK": 2, "D13_NUM 202607 A4_UNK": 1}


def test_a_death_told_twice_is_one() -> None:
    def death(key: str, who: str, day: str, kind: str | None) -> Doc:
        told = {"death_type": kind} if kind else {}
        return report("death_report", key, "2026-08-05", patient_id=who, death_date=day, **told)

    docs = [
        person("p1", "2026-07-20"), person("p2", "2024-07-20"), person("w", "1990-01-01"),
        death("a", "p1", "2026-07-30", "neonatal"), death("b", "p1", "2026-07-30", "neonatal"),
        death("c", "p2", "2026-07-31", "child"), death("d", "w", "2026-08-01", "maternal"),
        death("e", "x", "2026-08-01", "other"), death("f", "y", "2026-08-01", None),
    ]  # fmt: skip
    assert figures("D15", docs=docs) == {
        "D15 202607 A2_D0_27-DECES_NEONATAL": 1, "D15 202607 A2_Y1_4-DECES_CHILD": 1,
        "D15 202608 A2_UNK-DECES_MATERNAL": 1, "D15 202608 A2_UNK-DECES_UNK": 1,
    }  # fmt: skip


# ---------------------------------------------------------------- prevention, cost


def test_vaccination_of_children() -> None:
    every = "bcg polio3 penta3 pcv3 rota3 measles1 yellow_fever"

    def check(key: str, day: str = "2026-07-15", who: str = "p1", **fields: Any) -> Doc:
        return report("vaccination_check", key, day, patient_id=who, **fields)

    docs = [
        person("p1", "2025-07-15", "female"), person("p2", "2024-07-15", "male"), person("p3", "2020-01-01"),
        check("a", up_to_date="no", referred_vaccination="yes", card_seen="yes", antigens="bcg polio3"),
        check("b", "2026-09-15", up_to_date="yes", referred_vaccination="yes", card_seen="yes", antigens=every.split()),
        check("c", who="p2", card_seen="yes", antigens=every, up_to_date="no"),  # two years old on the day
        check("d", who="p2", day="2026-07-14", card_seen="no", antigens=every, vitamin_a_given="yes"),
        check("e", who="p3", up_to_date="no", referred_vaccination="yes", deworming_given="yes", vitamin_a_given="no"),
    ]  # fmt: skip
    assert figures("E01", "E03", "E08", docs=docs) == {
        "E01_DEN 202607 A1_M12_59-SEX_F": 1, "E01_NUM 202607 A1_M12_59-SEX_F": 1, "E01_DEN 202609 A1_M12_59-SEX_F": 1,
        "E01_DEN 202607 A1_M12_59-SEX_M": 1, "E03_DEN 2026Q3 SEX_F": 1, "E03_NUM 2026Q3 SEX_F": 1,
        "E08 202607 SUPPLEMENT_VITAMINE_A-SEX_M": 1, "E08 202607 SUPPLEMENT_DEPARASITAGE-SEX_UNK": 1,
    }  # fmt: skip
    assert "E03_NUM 2026Q3 SEX_F" not in figures("E03", docs=[*docs[:4], check("b", antigens=every.split()[:6])])


def test_users_of_family_planning_new_and_at_the_end_of_the_year() -> None:
    def planned(key: str, day: str, who: str, kind: str, method: str | None = None, at: str | None = None) -> Doc:
        told = {"method": method} if method else {}
        return report("family_planning", key, day, at=at, patient_id=who, user_type=kind, **told)

    docs = [
        person("w", "2010-01-01", "female"), planned("a", "2026-07-01", "w", "new", "pills"),
        planned("b", "2026-09-01", "w", "continuing", "injectable"), planned("c", "2026-07-01", "x", "new", "implant"),
        planned("d", "2026-07-01", "x", "stopped", "none", "2026-07-01T11:00:00"),  # later on the same day
        planned("e", "2026-07-01", "y", "new", "traditional"), planned("f", "2026-07-01", "z", "new"),
    ]  # fmt: skip
    assert figures("E10", "E11", docs=docs) == {
        "E10 202607 A4_Y15_19-METHODE_PILULE": 1, "E10 202607 A4_UNK-METHODE_IMPLANT": 1,
        "E11 2026 A4_Y15_19-METHODE_INJECTABLE": 1,
    }  # fmt: skip


def test_nets_and_delayed_care_by_the_survey() -> None:
    def asked(key: str, day: str, home: str, delayed: str | None, *members: Doc) -> Doc:
        told = {"care_delayed_for_cost": delayed} if delayed else {}
        return report("household_survey", key, day, household_id=home, members=list(members), **told)

    docs = [
        asked("a", "2026-07-02", "h1", "no", {"age_years": "4", "slept_under_net": "yes"}, {"slept_under_net": "no"}),
        asked("b", "2026-09-30", "h1", "yes", {"age_years": 20, "slept_under_net": "yes"}, {"age_years": 20}),
        asked("c", "2026-08-02", "h2", "no"),
        asked("d", "2026-08-02", "h3", None),
    ]
    assert figures("E12", "F05", docs=docs) == {
        "E12_DEN 2026Q3 A3_Y0_4": 1, "E12_NUM 2026Q3 A3_Y0_4": 1, "E12_DEN 2026Q3 A3_UNK": 1,
        "E12_DEN 2026Q3 A3_Y20P": 1, "E12_NUM 2026Q3 A3_Y20P": 1, "F05_DEN 2026Q3": 2, "F05_NUM 2026Q3": 1,
    }  # fmt: skip


def test_stock_outs_of_the_cscom_are_those_last_told_in_the_month() -> None:
    def told(day: str, **days: str) -> Doc:
        said = {f"rupture/jours_{product}": n for product, n in days.items()}
        return {"asaco/code": "area-1", "reunion/type": "conseil_gestion", "reunion/date": day, **said}

    files = kobo("aGovASACO", told("2026-07-20", cta="4", tdr="0"), told("2026-07-07", cta="3", zinc="2"),
                 told("2026-07-28"), told("2026-08-07", zinc="5"))  # fmt: skip
    assert figures("F03", files=files) == {"F03 202607 PRODUCT_CTA": 4, "F03 202608 PRODUCT_ZINC": 5}


def test_patients_who_paid() -> None:
    def asked(**told: str) -> Doc:
        said = {f"enquete/{name}": value for name, value in told.items()}
        return {"enquete/structure": "area-1", "enquete/date": "2026-07-07", **said}

    files = kobo("aEnqueteUsagers", asked(service="consultation", age_mois="14", a_paye="oui"),
                 asked(service="consultation", age_mois="59", a_paye="non"), asked(age_mois="60", a_paye="non"),
                 asked(service="vaccination", age_mois="1"))  # fmt: skip
    assert figures("F04", files=files) == {
        "F04_DEN 202607 SERVICE_CONSULTATION-A1_M12_59": 2, "F04_NUM 202607 SERVICE_CONSULTATION-A1_M12_59": 1,
        "F04_DEN 202607 SERVICE_UNK-A1_UNK": 1,
    }  # fmt: skip


# ---------------------------------------------------------------- savings groups


def test_groups_that_met_and_who_is_enrolled() -> None:
    women = {"femmes_adultes": 10, "femmes_jeunes": "4", "hommes_adultes": 1, "hommes_jeunes": 0}
    later = {"femmes_adultes": 12, "femmes_jeunes": 3}
    files = odk(
        "reunion_groupe_epargne",
        meeting("a", "2026-07-02", membres=women, presence={"femmes_presentes": "9", "hommes_presents": 1}),
        meeting("b", "2026-08-02", membres=later, presence={"femmes_presentes": 11, "hommes_presents": 1}),
        meeting("c", "2026-09-02"),
        meeting("d", "2026-09-02", "GE-A1-02", "SHARE"),
    )
    assert figures("G01", "G02", "G04", files=files) == {
        "G01 2026Q3 GROUPE_NORMAL": 1, "G01 2026Q3 GROUPE_SHARE": 1, "G02 2026Q3 SEX_F-PUBLIC_ADULTE": 12,
        "G02 2026Q3 SEX_F-PUBLIC_JEUNE": 3, "G04_NUM 202607 SEX_F": 9, "G04_DEN 202607 SEX_F": 14,
        "G04_NUM 202607 SEX_M": 1, "G04_DEN 202607 SEX_M": 1, "G04_NUM 202608 SEX_F": 11, "G04_DEN 202608 SEX_F": 15,
    }  # fmt: skip


def group_plan(key: str, day: str, period: str, n: int, group: str = "GE-A1-01") -> Doc:
    plan = {"date": day, "periode": period, "reunions_prevues": str(n)}
    return {"__id": key, "__system": {"deletedAt": None}, "groupe": {"code": group, "type": "normal"}, "plan": plan}


def test_the_latest_plan_of_a_month_holds_in_the_month_it_names() -> None:
    plans = odk(
        "plan_reunions", group_plan("p1", "2026-07-28", "202608", 4), group_plan("p2", "2026-08-01", "202608", 2),
        group_plan("p3", "2026-07-28", "202608", 5, "GE-A1-02"), group_plan("p4", "2041-01-01", "202608", 9),
    )  # fmt: skip
    held = odk("reunion_groupe_epargne", meeting("a", "2026-08-02"), meeting("b", "2026-08-20"))
    assert figures("G03", files={**plans, **held}) == {
        "G03_DEN 202608 GROUPE_NORMAL": 7, "G03_NUM 202608 GROUPE_NORMAL": 2,
    }  # fmt: skip


def test_savings_loans_and_members_of_the_quarter() -> None:
    files = odk(
        "reunion_groupe_epargne",
        meeting("a", "2026-07-02", enrolled=20, epargne={"cumul_xof": 5000}, membres={"departs": "2"},
                encours={"emprunteurs": 3, "montant_xof": 9000, "perte_xof": "500"},
                prets=[{"objet": "sante", "montant_xof": "4000"}, {"objet": "revenu", "montant_xof": 6000}]),
        meeting("b", "2026-09-02", enrolled=18, epargne={"cumul_xof": "8000"}, membres={"departs": 1},
                encours={"emprunteurs": 5, "montant_xof": 7000, "perte_xof": 250}, prets=[{"objet": "sante"}]),
        meeting("c", "2026-09-20", enrolled=17),
        meeting("d", "2026-08-20", "GE-A1-02", enrolled=10, epargne={"cumul_xof": 1000}),
    )  # fmt: skip
    assert figures("G06", "G08", "G09", "G10", "G12", files=files) == {
        "G06_NUM 2026Q3": 9000, "G06_DEN 2026Q3": 28, "G08_NUM 2026Q3": 4000, "G08_DEN 2026Q3": 10000,
        "G09_NUM 2026Q3": 5, "G09_DEN 2026Q3": 18, "G10_NUM 2026Q3": 750, "G10_DEN 2026Q3": 10000,
        "G10_XOF 2026Q3": 7000, "G12_NUM 2026Q3": 3, "G12_DEN 2026Q3": 30,
    }  # fmt: skip


def test_births_among_members_of_share_groups() -> None:
    births = [{"age_ans": "19", "cpn": "4", "lieu": "structure"}, {"age_ans": 20, "cpn": 5, "lieu": "domicile"},
              {"cpn": 3, "lieu": "structure"}]  # fmt: skip
    files = odk("reunion_groupe_epargne", meeting("a", "2026-07-02", kind="SHARE", accouchements=births),
                meeting("b", "2026-07-02", "GE-A1-02", accouchements=births))  # fmt: skip
    assert figures("G13", files=files) == {
        "G13_DEN 2026Q3 A4_Y15_19": 1, "G13_NUM 2026Q3 A4_Y15_19": 1, "G13_DEN 2026Q3 A4_Y20P": 1,
        "G13_DEN 2026Q3 A4_UNK": 1,
    }  # fmt: skip


# ---------------------------------------------------------------- promotion and governance


def area_plan(day: str, period: str, *rows: tuple[str, str | None, int]) -> Doc:
    told = [
        {"activites/type": what, "activites/prevues": str(n), **({"activites/detail": detail} if detail else {})}
        for what, detail, n in rows
    ]
    return {"plan/structure": "area-1", "plan/date": day, "plan/periode": period, "activites": told}


def test_sessions_held_and_planned() -> None:
    head = "record_id;action;date_seance;aire;theme;canal;duree_h;femmes_adultes;femmes_jeunes;hommes_adultes;"
    head += "hommes_jeunes;orientes_f;orientes_m;motif_orientation\r\n"
    held = {"outreach/a.csv": head + "1;upsert;02/07/2026;area-1;cpn;radio;1;5;3;;;;;\r\n"
            "2;upsert;03/07/2026;area-1;cpn;causerie;1;;;2;;;;\r\n"}  # fmt: skip
    plans = kobo("plan_activites", area_plan("2026-06-28", "202607", ("causeries", "cpn", 4), ("causeries", "pf", 9)),
                 area_plan("2026-07-01", "202607", ("causeries", "cpn", 3)))  # fmt: skip
    assert figures("H03", "H04", files={**held, **plans}) == {
        "H03_NUM 202607 THEME_CPN": 2, "H03_DEN 202607 THEME_CPN": 3, "H04_NUM 202607": 10, "H04_DEN 202607": 2,
    }  # fmt: skip


def test_quality_actions_stand_in_the_quarter_they_were_due() -> None:
    def action(due: str | None, done: str | None) -> Doc:
        row = {"action/structure": "area-1", "action/domaine": "soins", "_submission_time": "2026-07-02T10:00:00"}
        told = {"action/date_prevue": due, "action/date_realisee": done}
        return {**row, **{name: day for name, day in told.items() if day}}

    files = kobo("aActionQualite", action("2026-09-30", "2026-09-30"), action("2026-09-30", "2026-10-01"),
                 action("2026-09-29", None), action("2026-06-30", "2026-07-01"),
                 action(None, "2026-07-01"))  # fmt: skip
    assert figures("I01", files=files) == {
        "I01_DEN 2026Q3 DOMAINE_SOINS": 3, "I01_NUM 2026Q3 DOMAINE_SOINS": 1, "I01_DEN 2026Q2 DOMAINE_SOINS": 1,
    }  # fmt: skip


def test_meetings_held_and_planned() -> None:
    quality = [{"reunion/structure": "area-1", "reunion/date": day, "reunion/femmes": "4", "reunion/hommes": 2}
               for day in ("2026-07-02", "2026-07-20")]  # fmt: skip
    asaco = [
        {"asaco/code": "area-1", "reunion/date": "2026-07-05", "reunion/type": kind, "reunion/pv": minutes}
        for kind, minutes in (("conseil_gestion", "oui"), ("conseil_gestion", "non"), ("comite_surveillance", "oui"))
    ]
    plans = [
        area_plan("2026-06-28", "202607", ("reunion_equipe_qualite", None, 3)),
        area_plan("2026-06-28", "2026Q3", ("reunion_asaco", "conseil_gestion", 2)),
        area_plan("2026-06-28", "2026", ("bulletin", None, 2)),
    ]
    files = {
        **kobo("aReunionQualite", *quality), **kobo("aGovASACO", *asaco), **kobo("plan_activites", *plans),
        **kobo("aBulletin", card("2026-09-05")),
    }  # fmt: skip
    assert figures("I02", "I03", "I07", files=files) == {
        "I02_NUM 202607": 2, "I02_DEN 202607": 3, "I02_PART 202607 SEX_F": 8, "I02_PART 202607 SEX_M": 4,
        "I03_NUM 2026Q3 ORGANE_CONSEIL_GESTION": 1, "I03_NUM 2026Q3 ORGANE_COMITE_SURVEILLANCE": 1,
        "I03_DEN 2026Q3 ORGANE_CONSEIL_GESTION": 2, "I07_NUM 2026": 1, "I07_DEN 2026": 2,
    }  # fmt: skip


def card(day: str, **more: Any) -> Doc:
    scores = [("usagers", "accueil", "60"), ("usagers", "accueil", 45), ("prestataires", "cout", "80")]
    rows = [{"criteres/cote": c, "criteres/critere": k, "criteres/score": s} for c, k, s in scores]
    rows.append({"criteres/cote": "usagers", "criteres/critere": "attente"})
    return {"bulletin/structure": "area-1", "bulletin/date": day, "criteres": rows, **more}


def test_scorecards() -> None:
    agreed = {"bulletin/actions_convenues": "5", "bulletin/actions_realisees": "3"}
    files = kobo("aBulletin", card("2026-07-05", **agreed), card("2026-12-05"))  # the second is dated after today
    assert figures("I07", "I08", "I09", files=files) == {
        "I07_NUM 2026": 1, "I08_NUM 2026S2 COTE_USAGERS-CRITERE_ACCUEIL": 105,
        "I08_DEN 2026S2 COTE_USAGERS-CRITERE_ACCUEIL": 2, "I08_NUM 2026S2 COTE_PRESTATAIRES-CRITERE_COUT": 80,
        "I08_DEN 2026S2 COTE_PRESTATAIRES-CRITERE_COUT": 1, "I09_NUM 2026Q3": 3, "I09_DEN 2026Q3": 5,
    }  # fmt: skip


def test_attendance_and_cost_recovery_of_the_cscom() -> None:
    def told(day: str, new: str, costs: str | None) -> Doc:
        row = {"consultations/age_min": "15", "consultations/sexe": "f", "consultations/nouvelles": new,
               "consultations/population": "600"}  # fmt: skip
        money = {"finances/recettes_propres_xof": "700", "finances/depenses_fonctionnement_xof": costs}
        said = {name: value for name, value in money.items() if value}
        return {"rapport/structure": "area-1", "rapport/date": day, "consultations": [row], **said}

    files = kobo("aRapportCSCom", told("2026-07-30", "7", None), told("2026-07-31", "8", "1000"),
                 told("2026-08-31", "9", "900"))  # fmt: skip
    assert figures("I12", "I13", files=files) == {
        "I12_NUM 202607 A3_Y15_19-SEX_F": 96, "I12_DEN 202607 A3_Y15_19-SEX_F": 600,
        "I12_NUM 202608 A3_Y15_19-SEX_F": 108, "I12_DEN 202608 A3_Y15_19-SEX_F": 600,
        "I13_NUM 2026Q3": 1400, "I13_DEN 2026Q3": 1900,
    }  # fmt: skip


# ---------------------------------------------------------------- what is not usable


def test_later_forms_are_unknown_where_only_the_first_indicators_are_covered() -> None:
    first = District(7, indicators="first")
    docs = [report("family_planning", "a", "2026-07-01", patient_id="w", user_type="new", method="pills")]
    files = {
        **odk("plan_reunions", group_plan("p", "2026-07-01", "202607", 2)),
        **kobo("aBulletin", card("2026-07-02")),
    }
    truth = oracle.truth_of(docs, files, first, TODAY)
    assert [reason for reason, _ in truth.quarantined] == ["form.unknown"] * 3
    assert oracle.all_figures(truth, first) == {}


def test_a_report_without_its_day_is_refused() -> None:
    undated = report("monthly_report", "a", "2026-07-31")
    death = report("death_report", "b", "2026-07-31", patient_id="p1")
    truth = oracle.truth_of([undated, death], {}, district(), TODAY)
    assert [reason for reason, _ in truth.quarantined] == ["date.missing", "date.missing"]
