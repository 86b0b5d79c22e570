"""The oracle's reading of the raw records: plain if-statements per form, slow and obvious.

It shares nothing with the connector: neither code nor tables. ``read(...)`` turns documents and files, as the sources
hold them now, into ``Rec`` rows and the reasons why some records cannot be used.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from connector.sandbox import oracle_forms as forms
from connector.sandbox.oracle_answers import number, put, yes

Doc = Mapping[str, Any]
SIGNS = ("unable_to_drink", "vomits_everything", "convulsions", "lethargic", "unconscious")
TREATMENTS = ("act_given", "amoxicillin_given", "ors_given", "rectal_artesunate", "zinc_given")
PRODUCTS = ("tdr", "cta", "sro", "zinc", "amoxicilline")
CHT_FORMS = {
    "assessment": "sick_visit", "assessment_follow_up": "follow_up", "pregnancy_home_visit": "pregnancy_visit",
    "delivery": "delivery", "postnatal_visit": "postnatal_visit", "home_visit": "household_visit",
    "stock_count": "stock_report", "supervision": "supervision",
}  # fmt: skip


@dataclass
class Rec:
    """One usable record. ``a``: its answers by the oracle's own names; what was not asked is not there."""

    source: str
    key: str
    kind: str
    day: date
    at: datetime | None
    place: str
    worker: str | None
    subject: str | None
    a: dict[str, Any]
    referral: dict[str, Any] | None = None
    sent: datetime | None = None  #: when the app says it was sent, local time, whatever day it is about


@dataclass
class Person:
    key: str
    name: str
    sex: str | None
    birth: str | None  #: as registered, may be a month only
    household: str | None
    since: date | None = None  #: registered on this day
    place: str | None = None  #: the nearest mapped place


@dataclass
class Home:
    """A registered household; ``place``: the nearest mapped place."""

    kind: str | None
    since: date | None
    place: str | None


@dataclass
class Answer:
    """What the clinic did with a referral, and the day it says."""

    status: str
    day: date


@dataclass
class Truth:
    """Everything true of a district at this moment."""

    records: list[Rec] = field(default_factory=list)
    persons: dict[str, Person] = field(default_factory=dict)
    households: list[str] = field(default_factory=list)
    homes: dict[str, Home] = field(default_factory=dict)
    areas: dict[str, date | None] = field(default_factory=dict)  #: with the day of their registration
    workers: dict[str, str | None] = field(default_factory=dict)  #: sex as registered
    answers: dict[str, Answer] = field(default_factory=dict)  #: by the number of the referral
    quarantined: list[tuple[str, str]] = field(default_factory=list)  #: (reason, source/key)
    counted: dict[tuple[str, str, str, str], int] | None = None  #: what ``all_figures`` found, kept for the next asker


def read(
    docs: Iterable[Doc], files: Mapping[str, str], zone: str, units: Iterable[Mapping[str, Any]], today: date,
    covered: str = "all",
) -> Truth:  # fmt: skip
    """``docs``: the CHT documents that are there now (deleted ones may be among them); ``files``: path in the folder ->
    text; ``units``: rows of the org unit table; ``today``: a later date of service is a mistake; ``covered``: forms
    that only the later indicators need are unknown unless ``all`` are covered."""
    truth = Truth()
    mapped = {(row["source"], row["place"]) for row in units}
    tz = ZoneInfo(zone)
    for doc in docs:
        if doc.get("_deleted") or doc.get("deleted"):
            continue
        if doc.get("type") == "contact":
            _contact(truth, doc, tz, mapped)
        elif doc.get("type") == "data_record" and doc.get("form") != "referral_answer":
            _report(truth, doc, tz, mapped, today, covered)
    _files(truth, files, mapped, today, covered)
    return truth


# ---------------------------------------------------------------- CHT


def _contact(truth: Truth, doc: Doc, tz: ZoneInfo, mapped: set[tuple[str, str]]) -> None:
    reported = doc.get("reported_date")
    since = datetime.fromtimestamp(int(reported) / 1000, tz).date() if reported else None
    sex = doc.get("sex") if doc.get("sex") in ("female", "male") else None
    if doc["contact_type"] == "person":
        home = (doc.get("parent") or {}).get("_id")
        truth.persons[doc["_id"]] = Person(
            doc["_id"], doc["name"], sex, doc.get("date_of_birth"), home, since, _place(doc, mapped)
        )
    elif doc["contact_type"] == "household":
        truth.households.append(doc["_id"])
        truth.homes[doc["_id"]] = Home(doc.get("household_type"), since, _place(doc, mapped))
    elif doc["contact_type"] == "area":
        truth.areas[doc["_id"]] = since
    elif doc["contact_type"] == "chw":
        truth.workers[doc["_id"]] = sex


def _report(truth: Truth, doc: Doc, tz: ZoneInfo, mapped: set[tuple[str, str]], today: date, covered: str) -> None:
    key = doc["_id"]

    def refuse(reason: str) -> None:
        truth.quarantined.append((reason, f"cht/{key}"))

    kind = CHT_FORMS.get(doc["form"])
    if kind is None and covered == "all":
        kind = forms.CHT_FORMS.get(doc["form"])
    if kind is None:
        return refuse("form.unknown")
    f = doc.get("fields") or {}
    reported = doc.get("reported_date")
    at = datetime.fromtimestamp(int(reported) / 1000, tz) if reported else None
    if kind in forms.DAYS:
        said = f.get(forms.DAYS[kind])
        day = date.fromisoformat(said) if said else None
    elif f.get("visit_date"):
        day = date.fromisoformat(f["visit_date"])
    else:
        day = at.date() if at else None
    if day is None:
        return refuse("date.missing")
    if day > today:
        return refuse("date.future")
    place = _place(doc.get("contact") or {}, mapped)
    if place is None:
        return refuse("place.no_org_unit")
    subject = f.get("household_id") if kind in ("household_visit", "household_survey") else f.get("patient_id")
    sent = at
    if at is not None and at.date() != day:
        at = None
    rec = Rec("cht", key, kind, day, at, place, doc["contact"]["_id"], subject, {}, sent=sent)
    if kind == "sick_visit":
        _sick_visit(rec, f)
    elif kind == "follow_up":
        put(rec.a, "follow_up_outcome", f.get("outcome"))
        put(rec.a, "doses_taken", number(f.get("doses_taken")))
        put(rec.a, "doses_expected", number(f.get("doses_expected")))
    elif kind == "pregnancy_visit":
        _pregnancy(rec, f)
    elif kind == "delivery":
        put(rec.a, "delivery_place", f.get("delivery_place"))
        put(rec.a, "birth_outcome", f.get("birth_outcome"))
        put(rec.a, "baby_sex", f.get("baby_sex"))
        put(rec.a, "breastfed_first_hour", yes(f.get("breastfed_first_hour")))
    elif kind == "postnatal_visit":
        put(rec.a, "exclusive_breastfeeding", yes(f.get("exclusive_breastfeeding")))
        put(rec.a, "danger_signs_present", yes(f.get("danger_signs_present")))
    elif kind == "household_visit":
        put(rec.a, "purpose", f.get("purpose"))
        put(rec.a, "visit_topic", f.get("topic"))
    elif kind == "stock_report":
        rec.a["stock"] = []
        for product in PRODUCTS:
            if f.get(product):
                on_hand, days = number(f[product].get("on_hand")), number(f[product].get("stockout_days"))
                rec.a["stock"].append({"product": product, "on_hand": on_hand, "stockout_days": days})
    elif kind == "supervision":
        put(rec.a, "score", number(f.get("score")))
        put(rec.a, "supervised", f.get("supervised_chw"))
    if covered == "all":
        forms.more_answers(kind, rec.a, f)
        forms.later_report(kind, rec.a, f)
    if kind in ("sick_visit", "pregnancy_visit", "postnatal_visit"):
        _referral(rec, f.get("referral") or {})
    truth.records.append(rec)


def _place(contact: Doc, mapped: set[tuple[str, str]]) -> str | None:
    """The nearest place stamped on the record that has an org unit."""
    place = contact.get("parent")
    while place:
        if ("cht", place["_id"]) in mapped:
            return str(place["_id"])
        place = place.get("parent")
    return None


def _sick_visit(rec: Rec, f: Doc) -> None:
    put(rec.a, "age_told_months", number(f.get("patient_age_in_months")))
    g = f.get("group_fever") or {}
    put(rec.a, "fever", yes(g.get("patient_fever")))
    put(rec.a, "fever_onset_hours", number(g.get("fever_onset_hours")))
    if g.get("mrdt_result") in ("positive", "negative"):
        rec.a["malaria_rdt"] = g["mrdt_result"]
    treated = yes(g.get("malaria_treatment_given"))
    put(rec.a, "malaria_treated", treated)
    if treated is not None:
        rec.a["act_given"] = treated and g.get("malaria_treatment") == "act"
    put(rec.a, "rectal_artesunate", yes(g.get("rectal_artesunate")))
    g = f.get("group_cough") or {}
    put(rec.a, "cough", yes(g.get("patient_coughs")))
    put(rec.a, "chest_indrawing", yes(g.get("chest_indrawing")))
    g = f.get("group_breathing") or {}
    put(rec.a, "breath_count", number(g.get("breath_count")))
    put(rec.a, "fast_breathing", yes(g.get("fast_breathing")))
    treated = yes(g.get("pneumonia_treatment_given"))
    if treated is not None:
        rec.a["amoxicillin_given"] = treated and g.get("pneumonia_treatment") == "amoxicillin"
    g = f.get("group_diarrhea") or {}
    put(rec.a, "diarrhoea", yes(g.get("patient_diarrhea")))
    put(rec.a, "ors_given", yes(g.get("ors_given")))
    put(rec.a, "zinc_given", yes(g.get("zinc_given")))
    g = f.get("group_nutrition") or {}
    put(rec.a, "muac_mm", number(g.get("muac_score")))
    put(rec.a, "oedema", yes(g.get("has_oedema")))
    put(rec.a, "sam_treatment_given", yes(g.get("sam_treatment_given")))
    g = f.get("group_prevention") or {}
    put(rec.a, "never_vaccinated", yes(g.get("never_vaccinated")))
    put(rec.a, "exclusive_breastfeeding", yes(g.get("exclusive_breastfeeding")))
    put(rec.a, "hours_since_onset", number(f.get("hours_since_onset")))
    put(rec.a, "caregiver_understood", yes(f.get("caregiver_explained_back")))
    signs = (f.get("group_danger_signs") or {}).get("danger_signs")
    if signs is not None:
        chosen = signs.split() if isinstance(signs, str) else list(signs)
        for sign in SIGNS:
            rec.a[f"sign_{sign}"] = sign in chosen


def _pregnancy(rec: Rec, f: Doc) -> None:
    put(rec.a, "new_pregnancy", yes(f.get("is_new_pregnancy")))
    put(rec.a, "gestation_weeks", number(f.get("weeks_since_lmp_rounded")))
    put(rec.a, "lmp_date", f.get("lmp_date_8601"))
    put(rec.a, "danger_signs_present", yes(f.get("danger_signs_present")))
    put(rec.a, "llin_use", yes(f.get("llin_use")))
    put(rec.a, "iron_folate", yes(f.get("iron_folate_daily")))


def _referral(rec: Rec, g: Doc) -> None:
    put(rec.a, "referred", yes(g.get("is_referred")))
    if rec.a.get("referred"):
        rec.referral = {
            "to": g.get("referred_to"), "urgent": g.get("urgency") == "urgent", "reason": g.get("reason"),
            "note": g.get("note", ""),
            "signs": sorted(name for name in rec.a if name.startswith("sign_") and rec.a[name]),
            "treatments": sorted(name for name in TREATMENTS if rec.a.get(name)),
        }  # fmt: skip


# ---------------------------------------------------------------- files


def _files(truth: Truth, files: Mapping[str, str], mapped: set[tuple[str, str]], today: date, covered: str) -> None:
    """Files in the order of their names; a later line replaces an earlier one with the same key."""
    odk: dict[tuple[str, str], Any] = {}
    kobo: dict[tuple[str, str], Any] = {}
    sessions: dict[str, Any] = {}
    for path in sorted(files):
        if path.startswith("odk/"):
            for line in files[path].splitlines():
                if line.strip():
                    row = json.loads(line)
                    odk[path.removeprefix("odk/").partition("-")[0], row["__id"]] = row
        elif path.startswith("kobo/"):
            for row in json.loads(files[path])["results"]:
                kobo[row["_xform_id_string"], row["meta/rootUuid"]] = row
        elif path.startswith("outreach/"):
            text = files[path].removeprefix("\ufeff")
            for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=";"):
                sessions[row["record_id"]] = row
    found: list[Rec] = []
    for (form, key), row in odk.items():
        if row["__system"].get("deletedAt"):
            continue
        if form == "plan_reunions" and covered == "all":
            day, a = forms.plan_of_group(row)
            found.append(Rec("odk", key, "plan", day, None, row["groupe"]["code"], row.get("animatrice"), None, a))
        elif form == "plan_reunions":
            truth.quarantined.append(("form.unknown", f"odk/{key}"))
        else:
            found.append(_meeting(key, row, covered))
    for (form, key), row in kobo.items():
        if form in forms.KOBO_FORMS and covered == "all":
            kind, day, place, a = forms.kobo(form, row)
            found.append(Rec("kobo", key, kind, day, None, place, row.get("_submitted_by"), None, a))
        elif form in forms.KOBO_FORMS:
            truth.quarantined.append(("form.unknown", f"kobo/{key}"))
        else:
            found.append(_governance(key, row, covered) if form == "aGovASACO" else _quality(key, row))
    for key, row in sessions.items():
        if row["action"] != "delete":
            found.append(_session(key, row))
    for rec in found:
        if rec.day > today:
            truth.quarantined.append(("date.future", f"{rec.source}/{rec.key}"))
        elif (rec.source, rec.place) not in mapped:
            truth.quarantined.append(("place.no_org_unit", f"{rec.source}/{rec.key}"))
        else:
            truth.records.append(rec)


def _meeting(key: str, row: Doc, covered: str) -> Rec:
    code = row["groupe"]["code"]
    day = date.fromisoformat(row["groupe"]["date_reunion"])
    rec = Rec("odk", key, "savings_meeting", day, None, code, row.get("animatrice"), code, {})
    put(rec.a, "saved_xof", number(row["epargne"].get("montant_xof")))
    rec.a["loans"] = [
        {"objet": loan.get("objet"), "motif": loan.get("motif"), "amount": number(loan.get("montant_xof"))}
        for loan in row.get("prets") or []
    ]
    rec.a["solidarity"] = [
        {"motif": payout.get("motif"), "amount": number(payout.get("montant_xof"))}
        for payout in row.get("solidarite") or []
    ]
    if covered == "all":
        forms.more_of_meeting(rec.a, row)
    return rec


def _governance(key: str, row: Doc, covered: str) -> Rec:
    day = date.fromisoformat(row["reunion/date"])
    rec = Rec("kobo", key, "governance_meeting", day, None, row["asaco/code"], row.get("_submitted_by"), None, {})
    put(rec.a, "present", number(row.get("reunion/membres_presents")))
    put(rec.a, "women", number(row.get("reunion/femmes_presentes")))
    rec.a["items"] = {
        "recettes": yes(row.get("transparence/recettes_affichees")),
        "depenses": yes(row.get("transparence/depenses_affichees")),
        "tarifs": yes(row.get("transparence/tarifs_affiches")),
    }
    rec.a["standards"] = [
        (one["normes/domaine"], number(one["normes/atteintes"]), number(one["normes/evaluees"]))
        for one in row.get("normes") or []
    ]
    sexes = {"f": "female", "m": "male"}
    rec.a["feedback"] = [
        (one.get("avis/type"), sexes.get(one.get("avis/sexe", "")), number(one.get("avis/delai_jours")))
        for one in row.get("avis") or []
    ]
    if covered == "all":
        forms.more_of_governance(rec.a, row)
    return rec


def _quality(key: str, row: Doc) -> Rec:
    done = row.get("action/date_realisee")
    day = date.fromisoformat(done or row["_submission_time"][:10])
    rec = Rec("kobo", key, "qi_action", day, None, row["action/structure"], row.get("_submitted_by"), None, {})
    put(rec.a, "planned", row.get("action/date_prevue"))
    put(rec.a, "done", done)
    put(rec.a, "domain", row.get("action/domaine"))
    return rec


def _session(key: str, row: Doc) -> Rec:
    day = datetime.strptime(row["date_seance"], "%d/%m/%Y").date()
    rec = Rec("outreach", key, "outreach_session", day, None, row["aire"], None, None, {})
    rec.a["theme"], rec.a["canal"] = row["theme"], row["canal"]
    put(rec.a, "duration", number(row["duree_h"]))
    rec.a["participants"] = [
        (sex, public, number(row[column]))
        for sex, public, column in (
            ("female", "adulte", "femmes_adultes"), ("female", "jeune", "femmes_jeunes"),
            ("male", "adulte", "hommes_adultes"), ("male", "jeune", "hommes_jeunes"),
        )
    ]  # fmt: skip
    rec.a["oriented"] = [
        (row["motif_orientation"], "female", number(row["orientes_f"])),
        (row["motif_orientation"], "male", number(row["orientes_m"])),
    ]
    return rec
