"""The later figures of care: refusal, sick children, referrals, mothers, newborns, prevention.

Rules: docs/indicator-definitions.md. Whoever is sought among the records is sought in all of them, one by one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connector.sandbox.oracle_count import Count, Patient, a3_of, danger, earlier, later, malaria, period_of, treatment
from connector.sandbox.oracle_forms import ANTIGENS
from connector.sandbox.oracle_records import Rec, Truth

MODERN = {
    "pills": "PILULE", "injectable": "INJECTABLE", "implant": "IMPLANT", "iud": "DIU", "condoms": "PRESERVATIF",
    "other_modern": "AUTRE",
}  # fmt: skip
#: What a health worker does at somebody's home about that person.
VISITS = ("sick_visit", "follow_up", "pregnancy_visit", "postnatal_visit")


def count_care(count: Count, truth: Truth) -> None:
    for rec in truth.records:
        patient = Patient(rec, truth.persons.get(rec.subject or ""))
        if rec.kind in ("sick_visit", "pregnancy_visit") and "care_refused" in rec.a:
            count.ratio_once(rec, rec.subject, "A10", rec.a["care_refused"], patient.a3(), patient.s())
        if rec.kind == "sick_visit":
            _sick(count, truth, rec, patient)
        elif rec.kind == "follow_up":
            _followed(count, rec)
        elif rec.kind == "pregnancy_visit":
            _pregnant(count, rec, patient)
        elif rec.kind == "delivery":
            _weighed(count, rec)
        elif rec.kind == "postnatal_mother_visit" and "method" in rec.a:
            count.ratio_once(rec, rec.subject, "D13", rec.a["method"] in MODERN, patient.a4())
        elif rec.kind == "death" and rec.a.get("death_type") != "other":
            kind = {"maternal": "MATERNAL", "neonatal": "NEONATAL", "child": "CHILD"}
            told = kind.get(rec.a.get("death_type", ""), "UNK")
            count.once(rec, rec.subject, "MH_D15", patient.a2(), f"DECES_{told}")
        elif rec.kind == "vaccination_check":
            _vaccination(count, rec, patient)
        elif rec.kind == "family_planning" and rec.a.get("user_type") == "new" and rec.a.get("method") in MODERN:
            count.add(rec, "MH_E10", patient.a4(), "METHODE_" + MODERN[rec.a["method"]])
        elif rec.kind == "household_survey":
            for age, slept in rec.a["sleepers"]:
                if slept is not None:
                    count.ratio(rec, "E12", slept, a3_of(age))
            if "care_delayed" in rec.a:
                count.ratio_once(rec, rec.subject, "F05", rec.a["care_delayed"])
        if rec.kind in ("sick_visit", "pregnancy_visit", "postnatal_visit") and rec.a.get("referred") is True:
            _referral(count, truth, rec)
    for births in _pregnancies(truth):
        _pregnancy_ended(count, truth, births)
    _newborns(count, truth)
    _users(count, truth)


# ---------------------------------------------------------------- sick children


def _sick(count: Count, truth: Truth, rec: Rec, p: Patient) -> None:
    if p.under(5):
        count.add(rec, "MH_A06_NUM")
    if p.under(10) and malaria(rec) is not None and danger(rec):
        both = rec.a.get("rectal_artesunate") is True and rec.a.get("referred") is True
        count.ratio(rec, "B06", both, p.a2())
    given = treatment(rec)
    if p.under(5) and given is not None:
        seen = False
        for other in truth.records:
            if other.kind == "follow_up" and other.subject is not None and other.subject == rec.subject:
                seen = seen or 1 <= (other.day - rec.day).days <= 3
        count.ratio(rec, "B12", seen, p.a1(), given)
    if p.months is not None and 6 <= p.months < 60 and "muac_mm" in rec.a:
        count.once(rec, rec.subject, "MH_E04_NUM", p.s())


def _followed(count: Count, rec: Rec) -> None:
    if "doses_taken" in rec.a and "doses_expected" in rec.a:
        kinds = {"act": "ACT", "amoxicillin": "AMOXICILLIN", "ors_zinc": "ORS_ZINC"}
        drug = kinds.get(rec.a.get("treatment", ""), "UNK")
        count.ratio(rec, "B14", rec.a["doses_taken"] >= rec.a["doses_expected"], f"TREATMENT_{drug}")


# ---------------------------------------------------------------- referrals


def _referral(count: Count, truth: Truth, rec: Rec) -> None:
    answer = truth.answers.get(rec.key)
    arrived = answer is not None and answer.status in ("arrived", "completed")
    urgency = {"urgent": "URGENCY_URGENT", "routine": "URGENCY_ROUTINE"}.get(rec.a.get("urgency", ""), "URGENCY_UNK")
    count.ratio(rec, "C02", arrived, urgency)
    if rec.a.get("urgency") == "urgent":
        count.ratio(rec, "C04", answer is not None and arrived and answer.day <= rec.day + timedelta(days=1))
    if answer is None or not arrived:
        return
    count.ratio(rec, "C03", answer.status == "completed")
    if answer.status == "completed":
        seen = False
        for other in truth.records:
            if other.kind in VISITS and other.subject is not None and other.subject == rec.subject:
                seen = seen or (other is not rec and 0 <= (other.day - answer.day).days <= 3)
        count.ratio(rec, "C05", seen)


# ---------------------------------------------------------------- mothers and newborns


def _pregnant(count: Count, rec: Rec, p: Patient) -> None:
    if rec.a.get("first_contact") is True:
        weeks = rec.a.get("first_contact_weeks")
        count.ratio_once(rec, rec.subject, "D01", weeks is not None and weeks <= 12, p.a4())
    count.ratio_once(rec, rec.subject, "D04", rec.a.get("counselled_danger_signs") is True, p.a4())


def _weighed(count: Count, rec: Rec) -> None:
    if rec.a.get("birth_outcome") == "live" and "birth_weight_g" in rec.a:
        baby = {"female": "SEX_F", "male": "SEX_M"}.get(rec.a.get("baby_sex", ""), "SEX_UNK")
        count.ratio(rec, "D12", rec.a["birth_weight_g"] < 2500, baby)


def _pregnancies(truth: Truth) -> list[list[Rec]]:
    """The deliveries that ended one pregnancy, the first of them first. Who has no name ends one each time."""
    found: list[list[Rec]] = []
    last: dict[str, list[Rec]] = {}
    for rec in sorted((r for r in truth.records if r.kind == "delivery"), key=lambda r: (r.day, r.key)):
        open_one = last.get(rec.subject) if rec.subject else None
        if open_one is not None and (rec.day - open_one[0].day).days <= 30:
            open_one.append(rec)
            continue
        found.append([rec])
        if rec.subject:
            last[rec.subject] = found[-1]
    return found


def _pregnancy_ended(count: Count, truth: Truth, births: list[Rec]) -> None:
    end = births[0]
    age = Patient(end, truth.persons.get(end.subject or "")).a4()
    members = list(births)
    if end.subject:
        for rec in truth.records:
            if rec.kind == "pregnancy_visit" and rec.subject == end.subject and 0 <= (end.day - rec.day).days <= 300:
                members.append(rec)
    contacts, doses, days = (_most(members, name) for name in ("anc_contacts", "iptp_doses", "iron_folate_days"))
    count.ratio(end, "D02", contacts is not None and contacts >= 4, age)
    count.ratio(end, "D03", contacts is not None and contacts >= 8, age)
    count.ratio(end, "D06", days is not None and days >= 90, age)
    if doses is None:
        count.add(end, "MH_D05", age, "TPI_UNK")
    else:
        count.add(end, "MH_D05", age, "TPI_D3P" if doses >= 3 else f"TPI_D{int(doses)}")
    visits = []
    for rec in truth.records:
        if rec.kind == "postnatal_mother_visit" and end.subject and rec.subject == end.subject:
            visits.append((rec.day - end.day).days)
    visits = [days for days in visits if 0 <= days <= 42]
    if visits:
        count.ratio(end, "D09", min(visits) <= 2, age)


def _most(members: list[Rec], name: str) -> Any:
    told = [rec.a[name] for rec in members if name in rec.a]
    return max(told) if told else None


def _newborns(count: Count, truth: Truth) -> None:
    seen: dict[str, list[Rec]] = {}
    for rec in truth.records:
        person = truth.persons.get(rec.subject or "")
        if rec.kind == "postnatal_visit" and person is not None and person.birth and len(person.birth) == 10:
            age = Patient(rec, person).days
            if age is not None and 0 <= age <= 42:
                seen.setdefault(person.key, []).append(rec)
    for key, visits in seen.items():
        one = min(visits, key=earlier)
        p = Patient(one, truth.persons[key])
        assert p.days is not None
        born = one.day - timedelta(days=p.days)
        count.ratio(one, "D10", p.days <= 2, p.s(), period=period_of(born, "Monthly"))


# ---------------------------------------------------------------- prevention


def _vaccination(count: Count, rec: Rec, p: Patient) -> None:
    if p.under(5) and "up_to_date" in rec.a:
        sent = rec.a["up_to_date"] is False and rec.a.get("vaccination_referred") is True
        count.ratio(rec, "E01", sent, p.a1(), p.s())
    if p.months is not None and 12 <= p.months < 24 and rec.a.get("card_seen") is True:
        everything = all(antigen in rec.a["antigens"] for antigen in ANTIGENS)
        count.ratio_once(rec, rec.subject, "E03", everything, p.s())
    if rec.a.get("vitamin_a_given") is True:
        count.add(rec, "MH_E08", "SUPPLEMENT_VITAMINE_A", p.s())
    if rec.a.get("deworming_given") is True:
        count.add(rec, "MH_E08", "SUPPLEMENT_DEPARASITAGE", p.s())


def _users(count: Count, truth: Truth) -> None:
    """Women on a modern method by the latest record of the year at the site."""
    latest: dict[tuple[str, str, str], Rec] = {}
    for rec in truth.records:
        unit = count.unit(rec.source, rec.place, "site")
        if rec.kind != "family_planning" or rec.subject is None or unit is None:
            continue
        who = (rec.subject, unit, period_of(rec.day, "Yearly"))
        if who not in latest or later(rec) > later(latest[who]):
            latest[who] = rec
    for rec in latest.values():
        if rec.a.get("user_type") in ("new", "continuing") and rec.a.get("method") in MODERN:
            age = Patient(rec, truth.persons.get(rec.subject or "")).a4()
            count.add(rec, "MH_E11", age, "METHODE_" + MODERN[rec.a["method"]])
