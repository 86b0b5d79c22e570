"""The oracle: hand-made records with figures a person can check, and a comparison that misses nothing."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Any

import pytest

from connector.sandbox import metadata, openmrs_metadata, oracle
from connector.sandbox.district import District
from connector.sandbox.oracle_figures import Patient
from connector.sandbox.oracle_records import Person, Rec

TODAY = date(2026, 10, 20)
Doc = dict[str, Any]


@cache
def district() -> District:
    return District(7, indicators="first")


def report(
    form: str, fields: Mapping[str, Any], key: str = "r1", day: str = "2026-07-15", worker: str = "asc-001"
) -> Doc:
    place = {"_id": "site-1", "parent": {"_id": "area-1", "parent": {"_id": "district-1"}}}
    return {
        "_id": key, "type": "data_record", "form": form, "reported_date": 1784106000000,
        "contact": {"_id": worker, "parent": place}, "fields": {"visit_date": day, **fields},
    }  # fmt: skip


def child(born: str | None = "2024-07-10", sex: str | None = "female", key: str = "p1") -> Doc:
    doc = {"_id": key, "type": "contact", "contact_type": "person", "name": "Awa Diarra", "parent": {"_id": "h1"}}
    return {**doc, **({"sex": sex} if sex else {}), **({"date_of_birth": born} if born else {})}


def figures(*docs: Doc, files: Mapping[str, str] | None = None) -> dict[str, int]:
    """Figures of these records alone: "element org unit period combo" -> number, the common parts left away."""
    truth = oracle.truth_of(docs, files or {}, district(), TODAY)
    return {
        f"{e.removeprefix('MH_')} {c}": n
        for (e, _, _, c), n in oracle.all_figures(truth, district()).items()
    }  # fmt: skip


def about(found: Mapping[str, int], *ids: str) -> dict[str, int]:
    return {key: n for key, n in found.items() if key.split()[0].split("_")[0] in ids}


# ---------------------------------------------------------------- reading records


def test_not_asked_is_not_no() -> None:
    asked = report("assessment", {"patient_id": "p1", "group_diarrhea": {"patient_diarrhea": "no"}})
    silent = report("assessment", {"patient_id": "p1", "group_diarrhea": {}})
    records = oracle.truth_of([asked], {}, district(), TODAY).records
    assert records[0].a == {"diarrhoea": False}
    assert oracle.truth_of([silent], {}, district(), TODAY).records[0].a == {}


@pytest.mark.parametrize("written", ["vomits_everything lethargic", ["vomits_everything", "lethargic"]])
def test_a_multi_select_is_text_or_an_array(written: Any) -> None:
    doc = report("assessment", {"patient_id": "p1", "group_danger_signs": {"danger_signs": written}})
    answers = oracle.truth_of([doc], {}, district(), TODAY).records[0].a
    assert [name for name in answers if answers[name]] == ["sign_vomits_everything", "sign_lethargic"]
    assert len(answers) == 5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"form": "vaccination_bilan"}, "form.unknown"),
        ({"fields": {"visit_date": "2041-03-14"}}, "date.future"),
        ({"reported_date": None, "fields": {}}, "date.missing"),
        ({"contact": {"_id": "asc-001", "parent": {"_id": "site-90"}}}, "place.no_org_unit"),
    ],
)
def test_what_cannot_be_used_is_listed_with_its_reason(change: Doc, reason: str) -> None:
    truth = oracle.truth_of([{**report("assessment", {}), **change}], {}, district(), TODAY)
    assert (truth.quarantined, truth.records) == ([(reason, "cht/r1")], [])


def test_an_answer_of_the_clinic_and_a_deleted_report_are_no_records() -> None:
    docs = [report("referral_answer", {}), {**report("assessment", {}), "_deleted": True}, {"_id": "t", "type": "task"}]
    truth = oracle.truth_of(docs, {}, district(), TODAY)
    assert (truth.records, truth.quarantined) == ([], [])


def test_a_later_file_replaces_by_key() -> None:
    head = "record_id;action;date_seance;aire;theme;canal;duree_h;femmes_adultes;femmes_jeunes;hommes_adultes;"
    head += "hommes_jeunes;orientes_f;orientes_m;motif_orientation\r\n"
    files = {
        "outreach/a.csv": "\ufeff" + head + "1;upsert;02/07/2026;area-1;cpn;radio;1,5;12,0;3;;;;;\r\n"
        "2;upsert;03/07/2026;area-1;pf;causerie;1;5;;;;;;\r\n",
        "outreach/b.csv": head + "1;upsert;02/07/2026;area-1;cpn;radio;1,5;20;3;;;2;0;cpn\r\n"
        "2;delete;03/07/2026;area-1;pf;causerie;1;5;;;;;;\r\n",
    }
    assert figures(files={"outreach/a.csv": files["outreach/a.csv"]})["H02 SEX_F-PUBLIC_ADULTE"] == 17
    assert figures(files=files) == {
        "H01 THEME_CPN-CANAL_RADIO": 1, "H02 SEX_F-PUBLIC_ADULTE": 20, "H02 SEX_F-PUBLIC_JEUNE": 3,
        "H05 ORIENTATION_CPN-SEX_F": 2,
    }  # fmt: skip


# ---------------------------------------------------------------- ages


@pytest.mark.parametrize(
    ("born", "day", "days", "months", "years"),
    [
        ("2026-07-01", "2026-07-28", 27, 0, 0),
        ("2026-06-30", "2026-07-28", 28, 0, 0),
        ("2026-05-16", "2026-07-15", 60, 1, 0),
        ("2026-05-15", "2026-07-15", 61, 2, 0),
        ("2021-07-16", "2026-07-15", 1825, 59, 4),
        ("2021-07-15", "2026-07-15", 1826, 60, 5),
        ("2025-07", "2026-07-01", 365, 12, 1),
        ("2024", "2026-07-01", 912, 30, 2),
    ],
)
def test_ages_are_completed_ones(born: str, day: str, days: int, months: int, years: int) -> None:
    rec = Rec("cht", "r", "sick_visit", date.fromisoformat(day), None, "site-1", None, "p", {})
    patient = Patient(rec, Person("p", "", None, born, None))
    assert (patient.days, patient.months, patient.years) == (days, months, years)


def test_the_age_told_at_the_visit_serves_where_no_birth_date_is_known() -> None:
    rec = Rec("cht", "r", "sick_visit", date(2026, 7, 15), None, "site-1", None, "p", {"age_told_months": 14})
    told = Patient(rec, Person("p", "", None, None, None))
    assert (told.days, told.months, told.years) == (426, 14, 1)
    registered = Patient(rec, Person("p", "", None, "2026-07-01", None))
    assert registered.days == 14


# ---------------------------------------------------------------- counting


def test_a_confirmed_malaria_with_a_danger_sign() -> None:
    fields = {
        "patient_id": "p1",
        "group_fever": {
            "patient_fever": "yes", "fever_onset_hours": "24", "mrdt_result": "positive",
            "malaria_treatment_given": "yes", "malaria_treatment": "act",
        },
        "group_danger_signs": {"danger_signs": "convulsions"},
        "caregiver_explained_back": "no",
        "referral": {"is_referred": "yes", "referred_to": "area-1", "urgency": "urgent", "reason": "danger_sign"},
    }  # fmt: skip
    assert figures(child(), report("assessment", fields)) == {
        "A04 A2_Y1_4-SEX_F": 1, "B01_DEN A3_Y0_4-SEX_F": 1, "B01_NUM A3_Y0_4-SEX_F": 1, "B02_DEN A3_Y0_4": 1,
        "B02_NUM A3_Y0_4": 1, "B03_DEN A3_Y0_4-CONFIRMATION_CONFIRMED": 1,
        "B03_NUM A3_Y0_4-CONFIRMATION_CONFIRMED": 1, "B04_DEN A1_M12_59": 1, "B04_NUM A1_M12_59": 1,
        "B05_DEN A2_Y1_4": 1, "B05_NUM A2_Y1_4": 1, "B09_DEN A2_Y1_4-SEX_F": 1, "B09_NUM A2_Y1_4-SEX_F": 1,
        "B10_DEN A2_Y1_4-SEX_F": 1, "B10_NUM A2_Y1_4-SEX_F": 1, "B13_DEN TREATMENT_ACT": 1,
        "C01 REASON_DANGER_SIGN-SEX_F": 1,
    }  # fmt: skip


def test_presumed_malaria_needs_fever_and_no_test() -> None:
    treated = {"malaria_treatment_given": "yes", "malaria_treatment": "other"}
    presumed = report("assessment", {"patient_id": "p1", "group_fever": {"patient_fever": "yes", **treated}})
    assert about(figures(child(), presumed), "B03") == {"B03_DEN A3_Y0_4-CONFIRMATION_PRESUMED": 1}
    tested = {"patient_fever": "yes", "mrdt_result": "negative", **treated}
    assert about(figures(child(), report("assessment", {"patient_id": "p1", "group_fever": tested})), "B03") == {}


@pytest.mark.parametrize(
    ("nutrition", "found"),
    [
        ({"muac_score": "114"}, {"E05 AN_M12_59-SEX_F": 1, "E07_DEN AN_M12_59": 1}),
        ({"muac_score": 115}, {"E06 AN_M12_59-SEX_F": 1}),
        ({"muac_score": 124, "has_oedema": "no"}, {"E06 AN_M12_59-SEX_F": 1}),
        ({"muac_score": 125}, {}),
        ({"muac_score": 120, "has_oedema": "yes"}, {"E05 AN_M12_59-SEX_F": 1, "E07_DEN AN_M12_59": 1}),
        ({"has_oedema": "yes", "sam_treatment_given": "yes"},
         {"E05 AN_M12_59-SEX_F": 1, "E07_DEN AN_M12_59": 1, "E07_NUM AN_M12_59": 1}),
    ],
)  # fmt: skip
def test_malnutrition_limits(nutrition: Doc, found: dict[str, int]) -> None:
    doc = report("assessment", {"patient_id": "p1", "group_nutrition": nutrition})
    assert about(figures(child(), doc), "E05", "E06", "E07") == found
    assert about(figures(child("2026-03-01"), doc), "E05", "E06", "E07") == {}  # under six months


def test_a_stranger_counts_with_unknown_age_and_sex() -> None:
    assert figures(report("assessment", {"patient_id": "nobody"})) == {
        "A04 A2_UNK-SEX_UNK": 1, "B09_DEN A2_UNK-SEX_UNK": 1,
    }  # fmt: skip
    assert figures(child("2010-01-01"), report("assessment", {"patient_id": "p1"})) == {}


def test_a_worker_who_counts_stock_twice_is_one_worker() -> None:
    full = {p: {"on_hand": "5", "stockout_days": 0} for p in ("tdr", "cta", "sro", "zinc", "amoxicilline")}
    short = {**full, "zinc": {"on_hand": 0, "stockout_days": "2"}}
    one, two = report("stock_count", full, "a"), report("stock_count", short, "b")
    found = figures(one, two)
    assert (found["F02_DEN default"], found["F02_NUM default"]) == (1, 1)
    assert about(found, "F01")["F01_NUM PRODUCT_ZINC"] == 1
    assert found["F01_DEN PRODUCT_TDR"] == 1
    assert figures(one, report("stock_count", short, "b", worker="asc-013"))["F02_DEN default"] == 2
    missing = {p: full[p] for p in ("tdr", "cta", "sro", "zinc")}
    assert "F02_NUM default" not in figures(report("stock_count", missing))


def test_deliveries() -> None:
    mother = child("2008-01-01", "female", "m")
    home = {"patient_id": "m", "delivery_date": "2026-07-03", "delivery_place": "home", "birth_outcome": "live"}
    doc = report("delivery", {**home, "baby_sex": "male", "breastfed_first_hour": "yes"}, day="2026-08-09")
    truth = oracle.truth_of([mother, doc], {}, district(), TODAY)
    found = oracle.all_figures(truth, district())
    assert {key[2] for key in found} == {"202607"}  # the day of the birth, not of the report
    assert figures(mother, doc) == {
        "D08_DEN A4_Y15_19": 1, "D11_DEN SEX_M": 1, "D11_NUM SEX_M": 1, "D14 SEX_M": 1,
    }  # fmt: skip
    still = report("delivery", {**home, "birth_outcome": "still"})
    assert figures(mother, still) == {"D08_DEN A4_Y15_19": 1}


def test_periods_and_levels() -> None:
    values = oracle.counted_values(oracle.records_of_district(district()), district())
    for element, unit, period, _ in values:
        kind, level, _ = metadata.DATA_SETS[metadata.ELEMENTS[element][1]]
        assert unit.count("-") == {"site": 4, "cscom": 3}[level]
        assert ("Q" in period) is (kind == "Quarterly")
        assert period >= "2026"
        assert period not in ("202606", "2026Q2")


# ---------------------------------------------------------------- completions


def test_a_month_is_complete_when_everybody_reported_and_nothing_is_held() -> None:
    truth = oracle.records_of_district(district())
    done = oracle.expected_completions(truth, district(), TODAY)
    silent = next(w for w in district().people.workers if w.id == "asc-018").site.code
    assert ("MH_SEC", silent, "202609") not in done and ("MH_SEC", silent, "202608") in done
    held = {(v["orgUnit"], v["period"]) for v in district().hand_typed if v["differs"]}
    assert len(held) == 2 and all(("MH_SEC", *block) not in done for block in held)
    assert ("MH_EPARGNE", "ML-KKO-D1-A2", "202608") not in done  # one of its groups did not meet
    assert ("MH_EPARGNE", "ML-KKO-D1-A1", "202608") in done
    assert {block[0] for block in done} == {"MH_SEC", "MH_EPARGNE"}
    assert not any(block[2] == "202609" for block in oracle.expected_completions(truth, district(), date(2026, 9, 30)))


# ---------------------------------------------------------------- comparison


def held_by_targets() -> dict[str, Any]:
    """States of targets that hold exactly what they should, made from the expectation itself."""
    d = district()
    docs = d.current_docs()
    should = oracle.expected_from(docs, d.files, d, TODAY)
    dhis2 = {
        "values": [
            {"dataElement": e, "orgUnit": u, "period": p, "categoryOptionCombo": c, "attributeOptionCombo": "default",
             "value": value, "storedBy": "relais"}
            for (e, u, p, c), value in should["values"].items()
        ],
        "completions": [
            {"dataSet": s, "orgUnit": u, "period": p, "completed": True} for s, u, p in should["completions"]
        ],
    }  # fmt: skip
    return {"cht": {"docs": docs + answers(should)}, "dhis2": dhis2, "openmrs": clinic(should), "fhir": server(should)}


def answers(should: Mapping[str, Any]) -> list[Doc]:
    return [
        {"_id": f"answer-{number}", "type": "data_record", "form": "referral_answer",
         "fields": {"referral_id": number, "patient_id": a["patient"], "status": a["status"], "advice": a["advice"]}}
        for number, a in should["answers"].items()
    ]  # fmt: skip


def clinic(should: Mapping[str, Any]) -> dict[str, Any]:
    meta = openmrs_metadata
    status = {"completed": "Completed", "arrived": "CheckedIn", "missed": "Missed", "cancelled": "Cancelled"}
    state: dict[str, Any] = {"patients": [], "encounters": [], "appointments": []}
    for number, r in should["referrals"].items():
        answer = should["answers"].get(number, {"status": None, "advice": ""})
        if not any(p["uuid"] == f"uuid-{r['patient']}" for p in state["patients"]):
            person = {"uuid": f"uuid-{r['patient']}", "identifiers": [["CHW Patient ID", r["patient"]]]}
            state["patients"].append({**person, "voided": False})
        obs = [
            {"concept": meta.REFERRAL_NUMBER, "value": number},
            {"concept": meta.REFERRAL_URGENCY, "value": meta.URGENCIES[r["urgency"]]},
            {"concept": meta.REFERRAL_REASON, "value": meta.REASONS[r["reason"]]},
            {"concept": meta.REFERRAL_NOTE, "value": r["note"]},
            *({"concept": meta.DANGER_SIGN, "value": meta.ciel_uuid(meta.SIGNS[sign])} for sign in r["signs"]),
            *({"concept": meta.TREATMENT_GIVEN, "value": meta.TREATMENTS[name]} for name in r["treatments"]),
        ]
        state["encounters"].append(
            {"uuid": f"e-{number}", "patient": f"uuid-{r['patient']}", "type": meta.COMMUNITY_REFERRAL,
             "location": r["location"], "datetime": f"{r['day']}T10:00:00Z", "voided": answer["status"] == "voided",
             "obs": obs}
        )  # fmt: skip
        if answer["status"] == "completed":
            said = [{"concept": meta.REFERRAL_NUMBER, "value": number}]
            said += [{"concept": meta.COUNTER_REFERRAL_NOTE, "value": answer["advice"]}] if answer["advice"] else []
            state["encounters"].append(
                {"uuid": f"c-{number}", "patient": f"uuid-{r['patient']}", "type": meta.CONSULTATION, "location": None,
                 "datetime": f"{r['day']}T12:00:00Z", "voided": False, "obs": said}
            )  # fmt: skip
        state["appointments"].append(
            {"number": number, "start": r["appointments"][0].replace(" ", "T") + ":00Z", "voided": False,
             "status": status.get(answer["status"], "Cancelled" if answer["status"] == "voided" else "Scheduled")}
        )  # fmt: skip
    return state


def server(should: Mapping[str, Any]) -> dict[str, Any]:
    """Resources made to say what is expected; only what the comparison reads."""
    found = {}
    for n, ((kind, key), says) in enumerate(should["resources"].items()):
        r: Doc = {"resourceType": kind, "identifier": [{"value": key}]}
        day = says.get("day")
        if kind == "Patient":
            r.update(gender=says["gender"], name=[{"text": says["name"]}])
            r.update({"birthDate": says["birthDate"]} if says["birthDate"] else {})
        elif kind == "Group":
            r.update(says)
        elif kind == "Encounter":
            r.update({"period": {"start": f"{day}T08:00:00+00:00"}, "class": {"code": "HH"}})
        elif kind == "Observation":
            r["effectiveDateTime"] = day
            written = says["value"]
            name = "valueBoolean" if isinstance(written, bool) else "valueInteger"
            r[name if isinstance(written, int) else "valueString"] = written
        elif kind == "QuestionnaireResponse":
            items = [{"linkId": k, "answer": [{"valueDecimal": v}]} for k, v in says["numbers"].items()]
            r.update(identifier={"value": key}, authored=day, item=items)
        elif kind == "MeasureReport":
            r["group"] = [measured(part, n) for part, n in says["figures"].items()]
        elif kind == "Task" and "status" in says:
            r.update(authoredOn=day, status=says["status"])
        else:
            r.update(authoredOn=day, recordedDate=day, priority=says.get("priority"))
            r.update({"focus": {}} if kind == "Task" else {})
        found[f"{kind}/{n}"] = r
    return {"resources": found}


def measured(part: str, n: int) -> Doc:
    id, _, name = part.partition(".")
    group: Doc = {"code": {"coding": [{"code": id}]}}
    if name == "count":
        return {**group, "measureScore": {"value": n}}
    code = {"num": "numerator", "den": "denominator"}[name]
    return {**group, "population": [{"code": {"coding": [{"code": code}]}, "count": n}]}


ATTENTION = {"quarantined": 6, "held_values": 10, "parked": 0, "vanished": 0, "matches": 0}
CODES = {"date.future": 2, "date.missing": 1, "form.unknown": 2, "place.no_org_unit": 1}


@cache
def _right() -> dict[str, Any]:
    return held_by_targets()


def right() -> dict[str, Any]:
    """The clinic and the values are copies; CHT documents and FHIR resources are shared, their collections are not."""
    states = _right()
    return {
        "cht": {"docs": [d if d.get("form") != "referral_answer" else copy.deepcopy(d) for d in states["cht"]["docs"]]},
        "dhis2": {**states["dhis2"], "values": [dict(value) for value in states["dhis2"]["values"]]},
        "openmrs": copy.deepcopy(states["openmrs"]),
        "fhir": {"resources": dict(states["fhir"]["resources"])},
    }


def compared(states: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    more = {"attention": ATTENTION, "quarantine_codes": CODES, **more}
    found: dict[str, Any] = oracle.compare(district(), **states, today=TODAY, **more)
    return found


def test_targets_that_hold_what_they_should_are_equal() -> None:
    block = compared(right())
    assert block["differences"] == []
    assert oracle.same(block)
    counts = block["dhis2"]
    assert counts["values"] == counts["equal"] >= 1500
    assert (counts["missing"], counts["different"], counts["extra"]) == (0, 0, 0)
    assert block["fhir"]["resources"] == block["fhir"]["equal"] >= 5000
    assert block["openmrs"]["referrals"] == block["openmrs"]["equal"] >= 40
    assert block["answers"]["due"] == block["answers"]["equal"] >= 25


def test_one_value_altered_lost_or_added_is_seen() -> None:
    states = right()
    values = states["dhis2"]["values"]
    values[5]["value"] = str(int(values[5]["value"]) + 1)
    del values[9]
    values.append({**values[0], "period": "202605", "value": "4"})
    values.append({**values[0], "period": "202604", "value": "0"})  # a zero where nothing is counted is true
    values.append({**values[0], "attributeOptionCombo": "other"})
    block = compared(states)
    counts = block["dhis2"]
    assert (counts["different"], counts["missing"], counts["extra"]) == (1, 1, 2)
    assert not oracle.same(block)
    assert len(block["differences"]) == 4
    assert all({"where", "key", "expected", "there"} == set(one) for one in block["differences"])


def test_a_value_typed_by_hand_must_stay_as_typed() -> None:
    states = right()
    typed = next(v for v in district().hand_typed if v["differs"])
    address = {k: typed[k] for k in ("dataElement", "orgUnit", "period", "categoryOptionCombo")}
    row = next(v for v in states["dhis2"]["values"] if address.items() <= v.items())
    assert row["value"] == typed["value"]
    counted = oracle.counted_values(oracle.records_of_district(district()), district())
    row["value"] = str(counted[tuple(address.values())])  # type: ignore[index]
    assert compared(states)["dhis2"]["different"] == 1


def test_a_record_changed_at_the_source_changes_what_is_expected() -> None:
    """Acceptance: edit, delete and add through the control plane; the figures are counted anew."""
    states = right()
    docs = states["cht"]["docs"]
    positive = next(
        d for d in docs
        if d.get("form") == "assessment" and d["fields"].get("group_fever", {}).get("mrdt_result") == "positive"
        and d["contact"]["parent"]["_id"] == "site-1" and d["reported_date"] > 1784106000000
    )  # fmt: skip
    negative = copy.deepcopy(positive)
    negative["fields"]["group_fever"]["mrdt_result"] = "negative"
    docs.remove(positive)
    for changed in ([negative], [], [positive, {**positive, "_id": "one-more"}]):
        after = compared({**states, "cht": {"docs": docs + changed}})["dhis2"]
        assert after["different"] + after["missing"] + after["extra"] >= 1
    assert oracle.same(compared({**states, "cht": {"docs": [*docs, positive]}}))


def test_referrals_are_compared_one_by_one() -> None:
    def broken(change: Any) -> dict[str, Any]:
        states = right()
        change(states["openmrs"])
        block = compared(states)
        assert not oracle.same(block)
        return block["openmrs"]

    total = compared(right())["openmrs"]["referrals"]

    def encounters(state: Doc) -> list[Doc]:
        found = [e for e in state["encounters"] if e["type"] == openmrs_metadata.COMMUNITY_REFERRAL and not e["voided"]]
        assert found
        return found

    assert broken(lambda s: s["encounters"].remove(encounters(s)[0])) == {"referrals": total, "equal": total - 1}
    assert broken(lambda s: s["encounters"].append({**encounters(s)[0], "uuid": "again"}))["equal"] == total - 1
    assert broken(lambda s: encounters(s)[0].update(location=None))["equal"] == total - 1
    assert broken(lambda s: encounters(s)[0].update(datetime="2026-01-01T00:00:00Z"))["equal"] == total - 1
    assert broken(lambda s: s["appointments"].append(dict(s["appointments"][0])))["equal"] == total - 1
    treated = {"concept": openmrs_metadata.TREATMENT_GIVEN, "value": openmrs_metadata.TREATMENTS["ors_given"]}
    assert broken(lambda s: encounters(s)[0]["obs"].extend([treated, treated]))["equal"] == total - 1
    untreated = lambda s: [  # noqa: E731
        e["obs"].remove(o) for e in encounters(s) for o in list(e["obs"]) if o["concept"] == treated["concept"]
    ]
    assert broken(untreated)["equal"] < total, "somebody of the district was treated before she was referred"
    twin = lambda s: s["patients"].append({**s["patients"][0], "uuid": "twin"})  # noqa: E731
    assert broken(twin)["equal"] < total
    old = {"concept": openmrs_metadata.REFERRAL_NUMBER, "value": "an-old-referral"}
    assert broken(lambda s: s["encounters"].append({**encounters(s)[0], "obs": [old]}))["referrals"] == total + 1


def test_a_referral_that_disappeared_counts_only_when_the_clinic_did_it() -> None:
    states = right()
    number = next(n for n in expected()["referrals"] if district().staff(n) is None)
    encounter = next(e for e in states["openmrs"]["encounters"] if e["uuid"] == f"e-{number}")
    encounter["voided"] = True
    fields = {"referral_id": number, "patient_id": expected()["referrals"][number]["patient"], "status": "voided"}
    answer = {"_id": "x", "type": "data_record", "form": "referral_answer", "fields": fields}
    states["cht"]["docs"].append(answer)
    assert compared(states)["openmrs"]["equal"] == compared(states)["openmrs"]["referrals"] - 1
    assert oracle.same(compared(states, openmrs_log=[{"what": "people", "act": "void", "number": number}]))


@cache
def expected() -> dict[str, Any]:
    return oracle.expected_from(district().current_docs(), district().files, district(), TODAY)


def test_answers_missing_wrong_or_twice_are_seen() -> None:
    for change in ("missing", "wrong", "twice", "nobody's"):
        states = right()
        docs = states["cht"]["docs"]
        answer = next(d for d in docs if d.get("form") == "referral_answer")
        if change == "missing":
            docs.remove(answer)
        elif change == "wrong":
            answer["fields"]["status"] = "arrived" if answer["fields"]["status"] != "arrived" else "missed"
        elif change == "twice":
            docs.append({**answer, "_id": "again"})
        else:
            docs.append({**answer, "_id": "again", "fields": {**answer["fields"], "referral_id": "no such report"}})
        block = compared(states)
        assert block["answers"]["equal"] == block["answers"]["due"] - 1, change


def test_resources_missing_different_or_too_many_are_seen() -> None:
    states = right()
    resources = states["fhir"]["resources"]
    observation = next(k for k, r in resources.items() if r.get("valueBoolean") is True)
    resources[observation] = {**resources[observation], "valueBoolean": False}
    report_key = next(k for k in resources if k.startswith("MeasureReport"))
    resources[report_key] = {**resources[report_key], "group": []}
    del resources[next(k for k in resources if k.startswith("Condition"))]
    resources["Patient/extra"] = {"resourceType": "Patient", "identifier": [{"value": "nobody"}]}
    twin = next(r for k, r in resources.items() if k.startswith("Encounter"))
    resources["Encounter/again"] = twin
    block = compared(states)["fhir"]
    assert block["resources"] - block["equal"] == 5


def test_attention_is_what_was_planted_and_nothing_else() -> None:
    assert compared(right())["attention"] == {"equal": True}
    assert compared(right(), attention={**ATTENTION, "held_values": 9})["attention"] == {"equal": False}
    assert compared(right(), attention={**ATTENTION, "parked": 1})["attention"] == {"equal": False}
    assert compared(right(), quarantine_codes={**CODES, "date.future": 3})["attention"] == {"equal": False}
    assert not oracle.same(compared(right(), attention={**ATTENTION, "quarantined": 5}))
