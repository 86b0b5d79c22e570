"""The true figures of the district, counted slowly and plainly from the records themselves.

One paragraph of if-statements per indicator, written from the indicators' definitions and from nothing of the
connector. Figures are ``{(data element, org unit, period, option combo): whole number}`` in DHIS2 codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from connector.sandbox import metadata
from connector.sandbox.oracle_records import PRODUCTS, SIGNS, Person, Rec, Truth, read

if TYPE_CHECKING:
    from connector.sandbox.district import District

Key = tuple[str, str, str, str]


def truth_of(
    docs: Iterable[Mapping[str, Any]], files: Mapping[str, str], district: District, today: date | None = None
) -> Truth:
    """The records as the sources hold them now. ``today`` defaults to the machine's date in the district's zone."""
    if today is None:
        today = datetime.now(UTC).astimezone(district.calendar.zone).date()
    return read(docs, files, district.zone, district.org_unit_rows(), today)


def records_of_district(district: District, today: date | None = None) -> Truth:
    """The records as the generator left them."""
    after = district.calendar.last(district.calendar.months - 1) + timedelta(days=5)
    return truth_of(district.current_docs(), district.files, district, today or after)


# ---------------------------------------------------------------- a person on a day


class Patient:
    """Age and sex of whom a record is about, on the day of the record. Months and years are completed ones."""

    def __init__(self, rec: Rec, person: Person | None) -> None:
        self.sex = person.sex if person is not None else None
        self.days: int | None = None
        self.months: int | None = None
        self.years: int | None = None
        told = rec.a.get("age_told_months")
        if person is not None and person.birth:
            self._from_birth(person.birth, rec.day)
        elif told is not None:
            self.days, self.months, self.years = int(told * 30.4375), int(told), int(told) // 12

    def _from_birth(self, text: str, day: date) -> None:
        if len(text) == 4:
            text += "-01-01"
        if len(text) == 7:
            text += "-01"
        born = date.fromisoformat(text)
        self.days = (day - born).days
        self.months = (day.year - born.year) * 12 + day.month - born.month
        if day.day < born.day:
            self.months -= 1
        self.years = day.year - born.year
        if (day.month, day.day) < (born.month, born.day):
            self.years -= 1

    def under(self, years: int) -> bool:
        return self.years is None or self.years < years

    def s(self) -> str:
        return sex_code(self.sex)

    def a1(self) -> str:
        if self.months is None or self.months >= 60:
            return "A1_UNK"
        if self.months < 2:
            return "A1_LT2M"
        return "A1_M2_11" if self.months < 12 else "A1_M12_59"

    def a2(self) -> str:
        if self.days is None or self.months is None or self.years is None:
            return "A2_UNK"
        if self.days < 28:
            return "A2_D0_27"
        if self.months < 12:
            return "A2_D28_M11"
        if self.years < 5:
            return "A2_Y1_4"
        return "A2_Y5_9" if self.years < 10 else "A2_UNK"

    def a3(self) -> str:
        if self.years is None:
            return "A3_UNK"
        if self.years < 5:
            return "A3_Y0_4"
        if self.years < 10:
            return "A3_Y5_9"
        if self.years < 15:
            return "A3_Y10_14"
        return "A3_Y15_19" if self.years < 20 else "A3_Y20P"

    def a4(self) -> str:
        if self.years is None or self.years < 10:
            return "A4_UNK"
        if self.years < 15:
            return "A4_Y10_14"
        return "A4_Y15_19" if self.years < 20 else "A4_Y20P"

    def an(self) -> str:
        if self.months is None:
            return "AN_UNK"
        if 6 <= self.months < 12:
            return "AN_M6_11"
        return "AN_M12_59" if 12 <= self.months < 60 else "AN_UNK"


def sex_code(sex: str | None) -> str:
    return {"female": "SEX_F", "male": "SEX_M"}.get(sex or "", "SEX_UNK")


# ---------------------------------------------------------------- counting


class Count:
    """Cells being filled: sums and counts add up, distinct ones collect who was seen."""

    def __init__(self, district: District) -> None:
        self.sums: dict[Key, float] = {}
        self.seen: dict[Key, set[str]] = {}
        self.units: dict[tuple[str, str], dict[str, str]] = {}
        for row in district.org_unit_rows():
            unit = {"code": row["org_unit"], "level": row["level"], "up": row["parent"]}
            self.units[row["source"], row["place"]] = unit

    def key(self, rec: Rec, element: str, options: tuple[str, ...]) -> Key | None:
        """None when the record's place lies above the level of the data set."""
        period_type, level, _ = metadata.DATA_SETS[metadata.ELEMENTS[element][1]]
        unit = self.units[rec.source, rec.place]
        if level == "site":
            if unit["level"] != "site":
                return None
            code = unit["code"]
        elif unit["level"] == "site":
            code = unit["up"]
        elif unit["level"] == "cscom":
            code = unit["code"]
        else:
            return None
        if period_type == "Quarterly":
            period = f"{rec.day.year}Q{(rec.day.month + 2) // 3}"
        else:
            period = f"{rec.day.year}{rec.day.month:02d}"
        return (element, code, period, "-".join(options) or "default")

    def add(self, rec: Rec, element: str, *options: str, n: float = 1) -> None:
        key = self.key(rec, element, options)
        if key is not None:
            self.sums[key] = self.sums.get(key, 0) + n

    def see(self, rec: Rec, who: str, element: str, *options: str) -> None:
        key = self.key(rec, element, options)
        if key is not None:
            self.seen.setdefault(key, set()).add(who)

    def ratio(self, rec: Rec, id: str, fulfilled: bool, *options: str) -> None:
        """One more in the denominator, and in the numerator when fulfilled."""
        self.add(rec, f"MH_{id}_DEN", *options)
        if fulfilled:
            self.add(rec, f"MH_{id}_NUM", *options)

    def figures(self) -> dict[Key, int]:
        found = {key: round(total) for key, total in self.sums.items()}
        found.update({key: len(who) for key, who in self.seen.items()})
        return {key: n for key, n in found.items() if n}


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
    truth.counted = count.figures()
    return truth.counted


def _danger(rec: Rec) -> bool:
    return any(rec.a.get(f"sign_{sign}") for sign in SIGNS)


def _fever(count: Count, rec: Rec, p: Patient) -> None:
    fever, rdt = rec.a.get("fever") is True, rec.a.get("malaria_rdt")
    act = rec.a.get("act_given") is True
    if fever:
        count.ratio(rec, "B01", rdt is not None, p.a3(), p.s())
    if rdt is not None:
        count.ratio(rec, "B02", rdt == "positive", p.a3())
    if rdt == "positive":
        count.ratio(rec, "B03", act, p.a3(), "CONFIRMATION_CONFIRMED")
    elif fever and rdt is None and rec.a.get("malaria_treated") is True:
        count.ratio(rec, "B03", act, p.a3(), "CONFIRMATION_PRESUMED")
    if p.under(5) and act:
        hours = rec.a.get("fever_onset_hours")
        count.ratio(rec, "B04", hours is not None and hours <= 24, p.a1())
    if p.under(10) and rdt == "positive" and _danger(rec):
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
        count.ratio(rec, "B09", _danger(rec), p.a2(), p.s())
        if _danger(rec):
            count.ratio(rec, "B10", a.get("referred") is True, p.a2(), p.s())
    treatment = None
    if a.get("act_given") is True:
        treatment = "TREATMENT_ACT"
    elif a.get("amoxicillin_given") is True:
        treatment = "TREATMENT_AMOXICILLIN"
    elif ors_zinc:
        treatment = "TREATMENT_ORS_ZINC"
    if treatment is not None and "caregiver_understood" in a:
        count.ratio(rec, "B13", a["caregiver_understood"], treatment)


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


def first_day(period: str) -> date:
    """Of a month ``202607`` or a quarter ``2026Q3``."""
    if "Q" in period:
        return date(int(period[:4]), int(period[5]) * 3 - 2, 1)
    return date(int(period[:4]), int(period[4:]), 1)


def next_period(period: str) -> date:
    """The first day after the period."""
    first = first_day(period)
    n = first.year * 12 + first.month - 1 + (3 if "Q" in period else 1)
    return date(n // 12, n % 12 + 1, 1)


def counted_values(truth: Truth, district: District) -> dict[Key, int]:
    """The figures of the periods the connection is live for."""
    live = first_day(district.dhis2_live_from)
    return {key: n for key, n in all_figures(truth, district).items() if first_day(key[2]) >= live}


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
