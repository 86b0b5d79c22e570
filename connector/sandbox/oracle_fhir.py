"""Which FHIR resources there should be, and what each should say of the facts.

A resource is known by its type and the value of its first identifier. Only what can be told from the record without
knowing the connector's vocabulary is compared: days, values, names, priorities, totals; never ids or codings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from connector.sandbox import metadata
from connector.sandbox.oracle_figures import all_figures
from connector.sandbox.oracle_records import Rec, Truth

if TYPE_CHECKING:
    from connector.sandbox.district import District

Json = dict[str, Any]
ResourceKey = tuple[str, str]
VISITS = (
    "sick_visit", "follow_up", "pregnancy_visit", "delivery", "postnatal_visit", "household_visit",
    "vaccination_check", "family_planning", "postnatal_mother_visit",
)  # fmt: skip
MEETINGS = (
    "savings_meeting", "outreach_session", "governance_meeting", "stock_report", "supervision", "monthly_report",
    "household_survey", "qi_meeting", "scorecard", "user_survey", "facility_report",
)  # fmt: skip
#: Answers that are an Observation of their own, for every kind of visit.
OBSERVED = (
    "fever", "fever_onset_hours", "malaria_rdt", "cough", "chest_indrawing", "breath_count", "fast_breathing",
    "diarrhoea", "muac_mm", "oedema", "act_given", "amoxicillin_given", "ors_given", "zinc_given", "rectal_artesunate",
    "never_vaccinated", "exclusive_breastfeeding", "hours_since_onset", "caregiver_understood",
    "sign_unable_to_drink", "sign_vomits_everything", "sign_convulsions", "sign_lethargic", "sign_unconscious",
    "follow_up_outcome", "doses_taken", "doses_expected", "new_pregnancy", "gestation_weeks", "lmp_date",
    "danger_signs_present", "llin_use", "iron_folate", "delivery_place", "birth_outcome", "breastfed_first_hour",
    "visit_topic", "care_refused", "anc_contacts", "first_contact_weeks", "iptp_doses", "iron_folate_days",
    "counselled_danger_signs", "birth_weight_g", "card_seen", "up_to_date", "vaccination_referred", "vitamin_a_given",
    "deworming_given",
)  # fmt: skip
#: Numbers of a questionnaire response that are compared, by link id; several answers are added up.
COMPARED = ("saved_xof", "amount", "duration_hours", "n", "on_hand", "score", "women_present", "met")


def expected_resources(truth: Truth, district: District) -> dict[ResourceKey, Json]:
    """(type, identifier) -> what it says."""
    found: dict[ResourceKey, Json] = {}
    for person in truth.persons.values():
        found["Patient", person.key] = {
            "gender": person.sex or "unknown", "birthDate": person.birth, "name": person.name,
        }  # fmt: skip
    for household in truth.households:
        found["Group", household] = {"type": "person", "actual": True}
    for rec in truth.records:
        day = rec.day.isoformat()
        if rec.kind in VISITS:
            found["Encounter", rec.key] = {"day": day, "class": "HH"}
            for name in OBSERVED:
                if name in rec.a:
                    found["Observation", f"{rec.key}#{name}"] = {"day": day, "value": rec.a[name]}
            for name in conditions(rec):
                found["Condition", f"{rec.key}#{name}"] = {"day": day}
            if rec.referral is not None:
                priority = "urgent" if rec.referral["urgent"] else "routine"
                found["ServiceRequest", f"{rec.key}#referral"] = {"day": day, "priority": priority}
                found["Task", f"{rec.key}#referral-task"] = {"day": day, "priority": priority}
        elif rec.kind in MEETINGS:
            found["QuestionnaireResponse", rec.key] = {"day": day, "numbers": numbers(rec)}
        elif rec.kind == "qi_action":
            status = "completed" if "done" in rec.a else "requested"
            found["Task", rec.key] = {"day": day, "status": status}
        if rec.kind == "savings_meeting":
            found["Group", rec.place] = {"type": "person", "actual": True}
    found.update(reports(truth, district))
    return found


def conditions(rec: Rec) -> list[str]:
    found = []
    if rec.a.get("malaria_rdt") == "positive":
        found.append("malaria")
    if rec.a.get("fast_breathing") is True:
        found.append("pneumonia")
    if rec.a.get("diarrhoea") is True:
        found.append("diarrhoea")
    if rec.a.get("oedema") is True or rec.a.get("muac_mm", 999) < 115:
        found.append("sam")
    return found


def numbers(rec: Rec) -> Json:
    """The compared numbers of a meeting, a session, a count; zero and absent are the same here."""
    found: dict[str, float] = {}
    if rec.kind == "savings_meeting":
        found["saved_xof"] = rec.a.get("saved_xof", 0)
        found["amount"] = sum(one["amount"] or 0 for one in [*rec.a["loans"], *rec.a["solidarity"]])
    elif rec.kind == "outreach_session":
        found["duration_hours"] = rec.a.get("duration", 0)
        found["n"] = sum(n or 0 for _, _, n in [*rec.a["participants"], *rec.a["oriented"]])
    elif rec.kind == "governance_meeting":
        found["women_present"] = rec.a.get("women", 0)
        found["met"] = sum(met or 0 for _, met, _ in rec.a["standards"])
    elif rec.kind == "stock_report":
        found["on_hand"] = sum(item["on_hand"] or 0 for item in rec.a["stock"])
    elif rec.kind == "supervision":
        found["score"] = rec.a.get("score", 0)
    return {name: n for name, n in found.items() if n}


def reports(truth: Truth, district: District) -> dict[ResourceKey, Json]:
    """One MeasureReport per data set, org unit and period: totals per indicator and part."""
    found: dict[ResourceKey, Json] = {}
    for (element, unit, period, _), n in all_figures(truth, district).items():
        key = ("MeasureReport", f"{metadata.ELEMENTS[element][1]}/{unit}/{period}")
        name, part = element.removeprefix("MH_"), "count"
        if name.endswith(("_NUM", "_DEN")):
            name, part = name[:-4], name[-3:].lower()
        figures = found.setdefault(key, {"figures": {}})["figures"]
        figures[f"{name}.{part}"] = figures.get(f"{name}.{part}", 0) + n
    return found


# ---------------------------------------------------------------- the same, read from the server's resources


def held_resources(state: Mapping[str, Any]) -> dict[ResourceKey, Json]:
    """(type, identifier) -> what the resource says; from the state of ``FHIRSim``. Two with one identifier: a list."""
    found: dict[ResourceKey, Any] = {}
    for resource in state["resources"].values():
        identifier = resource.get("identifier") or [{}]
        first = identifier[0] if isinstance(identifier, list) else identifier
        key = (resource["resourceType"], first.get("value", ""))
        found[key] = says(resource) if key not in found else {"twice": True}
    return found


def says(r: Mapping[str, Any]) -> Json:
    kind = r["resourceType"]
    if kind == "Patient":
        name = (r.get("name") or [{}])[0]
        text = name.get("text") or " ".join([*name.get("given", []), name.get("family", "")])
        return {"gender": r.get("gender"), "birthDate": r.get("birthDate"), "name": text}
    if kind == "Group":
        return {"type": r.get("type"), "actual": r.get("actual")}
    if kind == "Encounter":
        return {"day": day(r["period"]["start"]), "class": r["class"]["code"]}
    if kind == "Observation":
        return {"day": day(r["effectiveDateTime"]), "value": value(r)}
    if kind == "Condition":
        return {"day": day(r.get("recordedDate") or r.get("onsetDateTime") or "")}
    if kind == "ServiceRequest":
        return {"day": day(r["authoredOn"]), "priority": r.get("priority")}
    if kind == "Task" and "focus" in r:
        return {"day": day(r["authoredOn"]), "priority": r.get("priority")}
    if kind == "Task":
        return {"day": day(r["authoredOn"]), "status": r["status"]}
    if kind == "QuestionnaireResponse":
        found: dict[str, float] = {}
        add_up(r.get("item") or [], found)
        return {"day": day(r["authored"]), "numbers": {name: n for name, n in found.items() if n}}
    if kind == "MeasureReport":
        return {"figures": totals(r)}
    return {}


def day(stamp: str) -> str:
    """Resources carry local times, so the day is what is written."""
    return stamp[:10]


def value(r: Mapping[str, Any]) -> Any:
    if "valueQuantity" in r:
        return r["valueQuantity"]["value"]
    if "valueCodeableConcept" in r:
        return r["valueCodeableConcept"]["coding"][-1]["code"]
    for name in ("valueBoolean", "valueInteger", "valueDateTime", "valueString"):
        if name in r:
            return r[name]
    return None


def add_up(items: Any, found: dict[str, float]) -> None:
    for item in items:
        for answer in item.get("answer") or []:
            for name in ("valueInteger", "valueDecimal"):
                if name in answer and item["linkId"] in COMPARED:
                    found[item["linkId"]] = found.get(item["linkId"], 0) + answer[name]
            if "valueQuantity" in answer and item["linkId"] in COMPARED:
                found[item["linkId"]] = found.get(item["linkId"], 0) + answer["valueQuantity"]["value"]
        add_up(item.get("item") or [], found)


def totals(r: Mapping[str, Any]) -> dict[str, float]:
    """Of each indicator's parts: over the strata where there are any, else of the whole group."""
    found: dict[str, float] = {}
    names = {"numerator": "num", "denominator": "den", "measure-population": "count"}
    for group in r.get("group") or []:
        id = group["code"]["coding"][0]["code"]
        strata = [s for stratifier in group.get("stratifier") or [] for s in stratifier["stratum"]] or [group]
        for one in strata:
            for population in one.get("population") or []:
                part = f"{id}.{names[population['code']['coding'][0]['code']]}"
                found[part] = found.get(part, 0) + population["count"]
            if "measureScore" in one:
                found[f"{id}.count"] = found.get(f"{id}.count", 0) + one["measureScore"]["value"]
    return {part: n for part, n in found.items() if n}
