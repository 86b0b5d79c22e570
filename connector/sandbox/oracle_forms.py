"""The oracle's reading of the forms and answers that the later indicators need: again plain if-statements per form.

``Rec.a`` gets an answer only when it was given. Shapes of the lists in it: ``members_by`` [(sex, public, n)],
``attendance`` [(sex, present, enrolled)], ``births`` [(age, contacts, place)], ``ruptures`` [(product, days)],
``sleepers`` [(age, slept)], ``criteria`` [(side, criterion, points)], ``consultations`` [(age, sex, new, population)],
``planned`` [(type, detail, n)].
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from connector.sandbox.oracle_answers import number, put, yes

Doc = Mapping[str, Any]
PRODUCTS = ("tdr", "cta", "sro", "zinc", "amoxicilline")
ANTIGENS = ("bcg", "polio3", "penta3", "pcv3", "rota3", "measles1", "yellow_fever")
SEXES = {"f": "female", "m": "male"}
CHT_FORMS = {
    "monthly_report": "monthly_report", "vaccination_check": "vaccination_check", "family_planning": "family_planning",
    "postnatal_mother_visit": "postnatal_mother_visit", "death_report": "death", "household_survey": "household_survey",
}  # fmt: skip
KOBO_FORMS = ("plan_activites", "aReunionQualite", "aBulletin", "aEnqueteUsagers", "aRapportCSCom")
#: Fields that say the day of service themselves.
DAYS = {"delivery": "delivery_date", "monthly_report": "period_end", "death": "death_date"}


def inside(f: Doc, *path: str) -> Any:
    """The answer at the end of nested groups; None when any of them is not there."""
    value: Any = f
    for step in path:
        value = (value or {}).get(step)
    return value


def chosen(value: Any) -> list[str]:
    """The answers of a multi-select, text or array."""
    if value is None:
        return []
    return value.split() if isinstance(value, str) else list(value)


# ---------------------------------------------------------------- CHT


def more_answers(kind: str, a: dict[str, Any], f: Doc) -> None:
    """Answers that the first forms have been asked since."""
    if kind in ("sick_visit", "pregnancy_visit"):
        put(a, "care_refused", yes(f.get("care_refused")))
    if kind in ("sick_visit", "pregnancy_visit", "postnatal_visit"):
        put(a, "urgency", inside(f, "referral", "urgency"))
    if kind == "follow_up":
        put(a, "treatment", f.get("treatment"))
    if kind == "pregnancy_visit":
        past = inside(f, "anc_visits_hf", "anc_visits_hf_past") or {}
        put(a, "anc_contacts", number(past.get("visited_hf_count")))
        put(a, "first_contact", yes(past.get("first_contact")))
        put(a, "first_contact_weeks", number(past.get("first_contact_weeks")))
        put(a, "iptp_doses", number(inside(f, "safe_pregnancy_practices", "malaria", "iptp_doses")))
        put(a, "iron_folate_days", number(inside(f, "safe_pregnancy_practices", "iron_folate", "days_received")))
        put(a, "counselled_danger_signs", yes(f.get("counselled_danger_signs")))
    if kind == "delivery":
        for name in ("birth_weight_g", "anc_contacts", "iptp_doses", "iron_folate_days"):
            put(a, name, number(f.get(name)))


def later_report(kind: str, a: dict[str, Any], f: Doc) -> None:
    if kind == "monthly_report":
        put(a, "days_worked", number(f.get("days_worked")))
    elif kind == "vaccination_check":
        put(a, "card_seen", yes(f.get("card_seen")))
        a["antigens"] = chosen(f.get("antigens"))
        put(a, "up_to_date", yes(f.get("up_to_date")))
        put(a, "vaccination_referred", yes(f.get("referred_vaccination")))
        put(a, "vitamin_a_given", yes(f.get("vitamin_a_given")))
        put(a, "deworming_given", yes(f.get("deworming_given")))
    elif kind == "family_planning":
        put(a, "user_type", f.get("user_type"))
        put(a, "method", f.get("method"))
    elif kind == "postnatal_mother_visit":
        put(a, "danger_signs_present", yes(f.get("danger_signs_present")))
        put(a, "method", f.get("fp_method"))
    elif kind == "death":
        put(a, "death_type", f.get("death_type"))
    elif kind == "household_survey":
        a["sleepers"] = [
            (number(one.get("age_years")), yes(one.get("slept_under_net"))) for one in f.get("members") or []
        ]
        put(a, "care_delayed", yes(f.get("care_delayed_for_cost")))


# ---------------------------------------------------------------- ODK


def more_of_meeting(a: dict[str, Any], row: Doc) -> None:
    members, presence, owed = row.get("membres") or {}, row.get("presence") or {}, row.get("encours") or {}
    put(a, "group_type", row["groupe"].get("type"))
    put(a, "members", number(presence.get("membres_inscrits")))
    counts = {name: number(members.get(name)) for name in (
        "femmes_adultes", "femmes_jeunes", "hommes_adultes", "hommes_jeunes",
    )}  # fmt: skip
    a["members_by"] = [
        ("female", "ADULTE", counts["femmes_adultes"]), ("female", "JEUNE", counts["femmes_jeunes"]),
        ("male", "ADULTE", counts["hommes_adultes"]), ("male", "JEUNE", counts["hommes_jeunes"]),
    ]  # fmt: skip
    a["attendance"] = []
    for sex, present, old, young in (
        ("female", "femmes_presentes", "femmes_adultes", "femmes_jeunes"),
        ("male", "hommes_presents", "hommes_adultes", "hommes_jeunes"),
    ):
        there, grown, small = number(presence.get(present)), counts[old], counts[young]
        if there is not None and grown is not None and small is not None:
            a["attendance"].append((sex, there, grown + small))
    put(a, "left", number(members.get("departs")))
    put(a, "cumulative_xof", number(row["epargne"].get("cumul_xof")))
    put(a, "borrowers", number(owed.get("emprunteurs")))
    put(a, "outstanding_xof", number(owed.get("montant_xof")))
    put(a, "written_off_xof", number(owed.get("perte_xof")))
    a["births"] = [
        (number(one.get("age_ans")), number(one.get("cpn")), one.get("lieu")) for one in row.get("accouchements") or []
    ]


def plan_of_group(row: Doc) -> tuple[date, dict[str, Any]]:
    """The day it was written, and what it says."""
    a: dict[str, Any] = {"period": row["plan"]["periode"], "group_type": row["groupe"].get("type")}
    put(a, "meetings", number(row["plan"].get("reunions_prevues")))
    return date.fromisoformat(row["plan"]["date"]), a


# ---------------------------------------------------------------- Kobo


def more_of_governance(a: dict[str, Any], row: Doc) -> None:
    put(a, "meeting_type", row.get("reunion/type"))
    put(a, "minutes", yes(row.get("reunion/pv")))
    days = [(product, number(row.get(f"rupture/jours_{product}"))) for product in PRODUCTS]
    a["ruptures"] = [(product, n) for product, n in days if n is not None]


def kobo(form: str, row: Doc) -> tuple[str, date, str, dict[str, Any]]:
    """(kind, day, place, answers) of one of ``KOBO_FORMS``."""
    a: dict[str, Any] = {}
    if form == "plan_activites":
        a["period"] = row["plan/periode"]
        a["planned"] = [
            (one.get("activites/type"), one.get("activites/detail"), number(one.get("activites/prevues")))
            for one in row.get("activites") or []
        ]
        return "plan", date.fromisoformat(row["plan/date"]), row["plan/structure"], a
    if form == "aReunionQualite":
        put(a, "women", number(row.get("reunion/femmes")))
        put(a, "men", number(row.get("reunion/hommes")))
        return "qi_meeting", date.fromisoformat(row["reunion/date"]), row["reunion/structure"], a
    if form == "aBulletin":
        put(a, "agreed", number(row.get("bulletin/actions_convenues")))
        put(a, "achieved", number(row.get("bulletin/actions_realisees")))
        a["criteria"] = [
            (one.get("criteres/cote"), one.get("criteres/critere"), number(one.get("criteres/score")))
            for one in row.get("criteres") or []
        ]
        return "scorecard", date.fromisoformat(row["bulletin/date"]), row["bulletin/structure"], a
    if form == "aEnqueteUsagers":
        put(a, "service", row.get("enquete/service"))
        put(a, "age_told_months", number(row.get("enquete/age_mois")))
        put(a, "paid", yes(row.get("enquete/a_paye")))
        return "user_survey", date.fromisoformat(row["enquete/date"]), row["enquete/structure"], a
    put(a, "income_xof", number(row.get("finances/recettes_propres_xof")))
    put(a, "costs_xof", number(row.get("finances/depenses_fonctionnement_xof")))
    a["consultations"] = [
        (
            number(one.get("consultations/age_min")), SEXES.get(one.get("consultations/sexe", "")),
            number(one.get("consultations/nouvelles")), number(one.get("consultations/population")),
        )
        for one in row.get("consultations") or []
    ]  # fmt: skip
    return "facility_report", date.fromisoformat(row["rapport/date"]), row["rapport/structure"], a
