"""The true figures of the district, counted slowly and plainly from the records themselves.

One paragraph of if-statements per indicator, written from the indicators' definitions and from nothing of the
connector. Figures are ``{(data element, org unit, period, option combo): whole number}`` in DHIS2 codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from connector.sandbox import metadata, oracle_bodies, oracle_care, oracle_registers
from connector.sandbox.oracle_count import (
    Count,
    Key,
    Patient,
    danger,
    first_day,
    malaria,
    next_period,
    sex_code,
    treatment,
)
from connector.sandbox.oracle_records import PRODUCTS, Rec, Truth, read
from connector.sandbox.oracle_referrals import clinic_answers

if TYPE_CHECKING:
    from connector.sandbox.district import District


def truth_of(
    docs: Iterable[Mapping[str, Any]], files: Mapping[str, str], district: District, today: date | None = None,
    clinic: Mapping[str, Any] | None = None,
) -> Truth:  # fmt: skip
    """The records as the sources hold them now. ``today`` defaults to the machine's date in the district's zone;
    ``clinic``: the state of ``OpenMRSSim``, else the staff's decisions by seed stand for the clinic's answers."""
    if today is None:
        today = datetime.now(UTC).astimezone(district.calendar.zone).date()
    truth = read(docs, files, district.zone, district.org_unit_rows(), today, district.covered)
    if district.covered == "all":
        truth.answers = clinic_answers(truth, district, clinic)
    return truth


def records_of_district(district: District, today: date | None = None) -> Truth:
    """The records as the generator left them."""
    after = district.calendar.last(district.calendar.months - 1) + timedelta(days=5)
    return truth_of(district.current_docs(), district.files, district, today or after)


def all_figures(truth: Truth, district: District) -> dict[Key, int]:
    """Every non-zero figure, of every period there are records of. Counted once per ``truth``."""
    if truth.counted is not None:
        return truth.counted
    count = Count(district)
    for rec in truth.records:
        patient = Patient(rec, truth.persons.get(rec.subject or ""))
        if rec.kind == "sick_visit":
            _fever(count, rec, patient)
            _sick_child(count, rec, patient)
            _nutrition(count, rec, patient)
        elif rec.kind == "pregnancy_visit":
            count.add(rec, "MH_A03", "PURPOSE_PREGNANCY")
            if rec.a.get("new_pregnancy") is True:
                count.add(rec, "MH_D07", patient.a4(), _trimester(rec.a.get("gestation_weeks")))
        elif rec.kind == "postnatal_visit":
            count.add(rec, "MH_A03", "PURPOSE_POSTNATAL")
        elif rec.kind == "follow_up":
            count.add(rec, "MH_A03", "PURPOSE_FOLLOW_UP")
        elif rec.kind == "household_visit":
            count.add(rec, "MH_A03", "PURPOSE_" + (rec.a.get("purpose") or "unk").upper())
        elif rec.kind == "delivery":
            _delivery(count, rec, patient)
        elif rec.kind == "stock_report":
            _stock(count, rec)
        elif rec.kind == "savings_meeting":
            _savings(count, rec)
        elif rec.kind == "outreach_session":
            _outreach(count, rec)
        elif rec.kind == "governance_meeting":
            _governance(count, rec)
        if rec.kind in ("sick_visit", "pregnancy_visit", "postnatal_visit") and rec.a.get("referred") is True:
            reason = (rec.referral or {}).get("reason") or "unk"
            count.add(rec, "MH_C01", "REASON_" + reason.upper(), patient.s())
        young = patient.months is not None and patient.months < 6
        if rec.kind in ("sick_visit", "postnatal_visit") and young and "exclusive_breastfeeding" in rec.a:
            count.ratio(rec, "E09", rec.a["exclusive_breastfeeding"], patient.s())
    if district.covered == "all":
        oracle_care.count_care(count, truth)
        oracle_bodies.count_bodies(count, truth)
        oracle_registers.count_registers(count, truth, district)
    truth.counted = count.figures()
    return truth.counted


def _fever(count: Count, rec: Rec, p: Patient) -> None:
    fever, rdt = rec.a.get("fever") is True, rec.a.get("malaria_rdt")
    act = rec.a.get("act_given") is True
    if fever:
        count.ratio(rec, "B01", rdt is not None, p.a3(), p.s())
    if rdt is not None:
        count.ratio(rec, "B02", rdt == "positive", p.a3())
    known = malaria(rec)
    if known is not None:
        count.ratio(rec, "B03", act, p.a3(), f"CONFIRMATION_{known}")
    if p.under(5) and act:
        hours = rec.a.get("fever_onset_hours")
        count.ratio(rec, "B04", hours is not None and hours <= 24, p.a1())
    if p.under(10) and rdt == "positive" and danger(rec):
        count.ratio(rec, "B05", rec.a.get("referred") is True, p.a2())


def _sick_child(count: Count, rec: Rec, p: Patient) -> None:
    a = rec.a
    ors_zinc = a.get("ors_given") is True and a.get("zinc_given") is True
    if p.under(5):
        count.add(rec, "MH_A04", p.a2(), p.s())
        if a.get("fast_breathing") is True:
            count.ratio(rec, "B07", a.get("amoxicillin_given") is True, p.a1(), p.s())
        if a.get("diarrhoea") is True:
            count.ratio(rec, "B08", ors_zinc, p.a1(), p.s())
        if "hours_since_onset" in a:
            count.ratio(rec, "B11", a["hours_since_onset"] <= 72, p.a1())
        if a.get("never_vaccinated") is True:
            count.add(rec, "MH_E02", p.a1(), p.s())
    if p.under(10):
        count.ratio(rec, "B09", danger(rec), p.a2(), p.s())
        if danger(rec):
            count.ratio(rec, "B10", a.get("referred") is True, p.a2(), p.s())
    given = treatment(rec)
    if given is not None and "caregiver_understood" in a:
        count.ratio(rec, "B13", a["caregiver_understood"], given)


def _nutrition(count: Count, rec: Rec, p: Patient) -> None:
    if p.months is not None and not 6 <= p.months < 60:
        return
    muac, oedema = rec.a.get("muac_mm"), rec.a.get("oedema") is True
    if oedema or (muac is not None and muac < 115):
        count.add(rec, "MH_E05", p.an(), p.s())
        helped = rec.a.get("referred") is True or rec.a.get("sam_treatment_given") is True
        count.ratio(rec, "E07", helped, p.an())
    elif muac is not None and 115 <= muac < 125:
        count.add(rec, "MH_E06", p.an(), p.s())


def _trimester(weeks: float | None) -> str:
    if weeks is None:
        return "TRIMESTER_UNK"
    if weeks <= 13:
        return "TRIMESTER_T1"
    return "TRIMESTER_T2" if weeks <= 27 else "TRIMESTER_T3"


def _delivery(count: Count, rec: Rec, mother: Patient) -> None:
    a = rec.a
    count.ratio(rec, "D08", a.get("delivery_place") == "facility", mother.a4())
    if a.get("birth_outcome") == "live":
        baby = sex_code(a.get("baby_sex"))
        if "breastfed_first_hour" in a:
            count.ratio(rec, "D11", a["breastfed_first_hour"], baby)
        if a.get("delivery_place") == "home":
            count.add(rec, "MH_D14", baby)


def _stock(count: Count, rec: Rec) -> None:
    worker = rec.worker or ""
    for item in rec.a["stock"]:
        product = "PRODUCT_" + item["product"].upper()
        count.see(rec, worker, "MH_F01_DEN", product)
        if item["stockout_days"] is not None and item["stockout_days"] >= 1:
            count.see(rec, worker, "MH_F01_NUM", product)
    count.see(rec, worker, "MH_F02_DEN")
    held = [item["product"] for item in rec.a["stock"] if item["on_hand"] is not None and item["on_hand"] >= 1]
    if sorted(held) == sorted(PRODUCTS):
        count.see(rec, worker, "MH_F02_NUM")


def _savings(count: Count, rec: Rec) -> None:
    if "saved_xof" in rec.a:
        count.add(rec, "MH_G05", n=rec.a["saved_xof"])
    for loan in rec.a["loans"]:
        if loan["objet"] == "sante":
            motif = "MOTIF_" + (loan["motif"] or "unk").upper()
            count.add(rec, "MH_G07", motif)
            count.add(rec, "MH_G07_XOF", motif, n=loan["amount"] or 0)
    for payout in rec.a["solidarity"]:
        motif = "SOLIDARITE_" + (payout["motif"] or "unk").upper()
        count.add(rec, "MH_G11", motif)
        count.add(rec, "MH_G11_XOF", motif, n=payout["amount"] or 0)


def _outreach(count: Count, rec: Rec) -> None:
    count.add(rec, "MH_H01", "THEME_" + rec.a["theme"].upper(), "CANAL_" + rec.a["canal"].upper())
    for sex, public, n in rec.a["participants"]:
        if n:
            count.add(rec, "MH_H02", sex_code(sex), "PUBLIC_" + public.upper(), n=n)
    for reason, sex, n in rec.a["oriented"]:
        if n:
            count.add(rec, "MH_H05", "ORIENTATION_" + (reason or "unk").upper(), sex_code(sex), n=n)


def _governance(count: Count, rec: Rec) -> None:
    if "present" in rec.a:
        count.add(rec, "MH_I05_DEN", n=rec.a["present"])
        count.add(rec, "MH_I05_NUM", n=rec.a.get("women", 0))
    for item, shown in rec.a["items"].items():
        if shown is not None:
            count.see(rec, rec.place, "MH_I06_DEN", "ITEM_" + item.upper())
            if shown:
                count.see(rec, rec.place, "MH_I06_NUM", "ITEM_" + item.upper())
    for domain, met, assessed in rec.a["standards"]:
        count.add(rec, "MH_I10_NUM", "DOMAINE_" + domain.upper(), n=met or 0)
        count.add(rec, "MH_I10_DEN", "DOMAINE_" + domain.upper(), n=assessed or 0)
    for kind, sex, days in rec.a["feedback"]:
        done = days is not None and days <= 30
        count.ratio(rec, "I11", done, "AVIS_" + (kind or "unk").upper(), sex_code(sex))


# ---------------------------------------------------------------- what each target should hold


def counted_values(truth: Truth, district: District) -> dict[Key, int]:
    """The figures of the periods the connection is live for: those that do not end before it went live."""
    live = first_day(district.dhis2_live_from)
    return {key: n for key, n in all_figures(truth, district).items() if next_period(key[2]) > live}


def expected_values(truth: Truth, district: District) -> dict[Key, str]:
    """What DHIS2 should hold: our figures; where people typed another one before us, theirs; and what is not ours."""
    found = {key: str(n) for key, n in counted_values(truth, district).items()}
    for typed in district.dhis2_values():
        key = (typed["dataElement"], typed["orgUnit"], typed["period"], typed["categoryOptionCombo"])
        if key in district.kept_by_hand:
            found[key] = typed["value"]
    return found


def expected_completions(truth: Truth, district: District, today: date) -> set[tuple[str, str, str]]:
    """(data set, org unit, period) that should be marked complete: over, everybody reported, nothing held back."""
    found = set()
    held = {(metadata.ELEMENTS[k[0]][1], k[1], k[2]) for k in district.kept_by_hand if k[0] in metadata.ELEMENTS}
    blocks = {(metadata.ELEMENTS[k[0]][1], k[1], k[2]) for k in counted_values(truth, district)}
    for block in blocks:
        data_set, unit, period = block
        group = metadata.DATA_SETS[data_set][2]
        start, end = first_day(period), next_period(period)
        if group is None or block in held or today < end:
            continue
        missing = False
        for row in district.deployment_rows():
            if row["group"] != group or row["org_unit"] != unit:
                continue
            left = row["valid_to"] and date.fromisoformat(row["valid_to"]) < start
            if left or date.fromisoformat(row["valid_from"]) >= end:
                continue
            if not any(
                start <= rec.day < end and (rec.worker if row["kind"] == "worker" else rec.place) == row["reporter"]
                for rec in truth.records
            ):
                missing = True
        if not missing:
            found.add(block)
    return found


def expected_attention(truth: Truth, district: District) -> dict[str, Any]:
    """What a person should be asked to look at, and nothing else."""
    reasons: dict[str, int] = {}
    for reason, _ in truth.quarantined:
        reasons[reason] = reasons.get(reason, 0) + 1
    counted = counted_values(truth, district)
    held = 0
    for typed in district.dhis2_values():
        key = (typed["dataElement"], typed["orgUnit"], typed["period"], typed["categoryOptionCombo"])
        if key in counted and str(counted[key]) != typed["value"] and key in district.kept_by_hand:
            held += 1
    return {
        "quarantined": dict(sorted(reasons.items())), "held_values": held, "parked": 0, "vanished": 0, "matches": 0,
    }  # fmt: skip
