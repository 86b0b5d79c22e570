"""Some figures counted in slow, obvious steps from the documents as they are now. Imports nothing of the product."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

Doc = dict[str, Any]
Cell = tuple[str, str, str, str]  #: data element, org unit, period, combo
PRODUCTS = ("tdr", "cta", "sro", "zinc", "amoxicilline")
ELEMENTS = ("MH_A03", "MH_A04", "MH_B10_DEN", "MH_B01_NUM", "MH_B01_DEN", "MH_B02_NUM", "MH_B02_DEN", "MH_F01",
            "MH_F01_NUM", "MH_F01_DEN", "MH_G05", "MH_A10_NUM", "MH_A10_DEN", "MH_B12_NUM", "MH_B12_DEN",
            "MH_E04_DEN", "MH_G12_DEN", "MH_G10_XOF")  # fmt: skip


def a_day(text: Any) -> date | None:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def age(person: Doc | None, day: date, told: Any) -> tuple[int, int, int] | None:
    """Days, completed months and completed years on that day; else as the worker wrote it; else None."""
    text = (person or {}).get("date_of_birth")
    if isinstance(text, str) and text.count("-") == 0 and len(text) == 4:
        text += "-01"
    if isinstance(text, str) and text.count("-") == 1:
        text += "-01"
    born = a_day(text)
    if born is not None and born <= day:
        months = 0
        while _after_months(born, months + 1) <= (day.year, day.month, day.day):
            months += 1
        return (day - born).days, months, months // 12
    if isinstance(told, int):
        return int(told * 30.4375), told, told // 12
    return None


def _after_months(born: date, months: int) -> tuple[int, int, int]:
    """The day of the n-th birthday in months, as (year, month, day); a 31st of a short month is its end."""
    number = born.year * 12 + born.month - 1 + months
    return number // 12, number % 12 + 1, born.day


def where(rows: dict[tuple[str, str], Any], places: dict[str, Doc], source: str, place: str, day: date) -> Any:
    """The row of a place on that day, or of the place above it in the registry; None when there is none."""
    for _ in range(5):
        several = rows.get((source, place))
        if several is not None:
            for row in several:
                if a_day(row[3]) <= day and (not row[4] or day <= a_day(row[4])):  # type: ignore[operator]
                    return row
            return None
        if place not in places:
            return None
        place = places[place]["parent"]["_id"]
    return None


def slow_count(
    *, people: dict[str, Doc], places: dict[str, Doc], reports: dict[str, Doc], meetings: dict[str, Doc],
    rows: dict[tuple[str, str], Any], today: date, variant: str, same: dict[str, str] | None = None,
) -> dict[Cell, str]:  # fmt: skip
    """``same``: other id of a person -> the id that is kept of hers."""
    same = same or {}

    def whom(id: str) -> str:
        return same.get(id, id)

    def registered(id: str) -> Doc | None:
        """Under the id that is kept; where that is not registered, under her own."""
        return people.get(whom(id)) or people.get(id)

    counts: dict[Cell, int] = defaultdict(int)
    workers: dict[Cell, set[str]] = defaultdict(set)
    sums: dict[Cell, Decimal] = defaultdict(Decimal)
    asked: dict[tuple[str, str, str], list[tuple[date, str, str, str]]] = defaultdict(list)
    treated: list[tuple[date, str, str, str]] = []
    followed: set[tuple[str, date]] = set()
    months: set[tuple[int, int]] = set()
    said: dict[tuple[str, str, str], list[tuple[date, str, dict[str, Any]]]] = defaultdict(list)

    for doc in reports.values():
        fields = doc["fields"]
        day = a_day(fields.get("visit_date", "2026-09-29"))
        if day is None or day > today:
            continue
        if variant == "no_form" and doc["form"] == "home_visit":
            continue
        row = where(rows, places, "cht", doc["contact"]["parent"]["_id"], day)
        if row is None:
            continue
        period = f"{day.year}{day.month:02}"
        months.add((day.year, day.month))
        if doc["form"] == "assessment_follow_up":
            followed.add((whom(fields["patient_id"]), day))
        site = row[0] if row[1] == "site" else None
        area = row[2] if row[1] == "site" else row[0]

        if doc["form"] in ("assessment_follow_up", "home_visit") and site:
            purpose = "FOLLOW_UP" if doc["form"] != "home_visit" else str(fields.get("purpose") or "UNK").upper()
            counts["MH_A03", site, period, f"PURPOSE_{purpose}"] += 1

        if doc["form"] == "stock_count":
            for product in PRODUCTS:
                line = fields.get(product)
                if not line:
                    continue
                combo = f"PRODUCT_{product.upper()}"
                out = line.get("stockout_days") is not None and line["stockout_days"] >= 1
                if variant == "part":
                    if out:
                        workers["MH_F01", area, period, combo].add(doc["contact"]["_id"])
                    continue
                workers["MH_F01_DEN", area, period, combo].add(doc["contact"]["_id"])
                if out:
                    workers["MH_F01_NUM", area, period, combo].add(doc["contact"]["_id"])

        if doc["form"] == "assessment" and site:
            person = registered(fields["patient_id"])
            years_old = age(person, day, fields.get("patient_age_in_months"))
            sex = {"female": "SEX_F", "male": "SEX_M"}.get((person or {}).get("sex", ""), "SEX_UNK")
            limit = 10 if variant == "bands" else 5
            if years_old is None or years_old[2] < limit:
                counts[
                    "MH_B10_DEN" if variant == "renumbered" else "MH_A04",
                    site,
                    period,
                    f"{_danger_band(years_old)}-{sex}",
                ] += 1
            fever = fields.get("group_fever", {})
            band = _malaria_band(years_old, variant)
            if fields.get("care_refused"):
                for part in ("DEN", "NUM") if fields["care_refused"] == "yes" else ("DEN",):
                    asked[f"MH_A10_{part}", site, period].append(
                        (day, doc["_id"], whom(fields["patient_id"]), f"{band}-{sex}")
                    )
            if fever.get("malaria_treatment") == "act" and (years_old is None or years_old[2] < 5):
                treated.append((day, whom(fields["patient_id"]), site, f"{_iccm_band(years_old)}-TREATMENT_ACT"))
            tested = fever.get("mrdt_result") in ("positive", "negative")
            if fever.get("patient_fever") == "yes":
                combo = sex if variant == "split" else f"{band}-{sex}"
                counts["MH_B01_DEN", site, period, combo] += 1
                if tested:
                    counts["MH_B01_NUM", site, period, combo] += 1
            if tested and variant != "gone":
                counts["MH_B02_DEN", site, period, band] += 1
                if fever["mrdt_result"] == "positive":
                    counts["MH_B02_NUM", site, period, band] += 1

    for doc in meetings.values():
        day = a_day(doc["groupe"]["date_reunion"])
        if day is None or day > today:
            continue
        row = where(rows, {}, "odk", doc["groupe"]["code"], day)
        saved = doc["epargne"]["montant_xof"]
        if row is None:
            continue
        months.add((day.year, day.month))
        said[doc["groupe"]["code"], row[0], f"{day.year}Q{(day.month + 2) // 3}"].append((day, doc["__id"], doc))
        if saved:
            sums["MH_G05", row[0], f"{day.year}{day.month:02}", "default"] += Decimal(str(saved).replace(",", "."))

    # Who is counted once stands where the first of her records stands.
    for (element, unit, period), records in asked.items():
        for who in {record[2] for record in records}:
            counts[element, unit, period, min(r for r in records if r[2] == who)[3]] += 1
    # A follow-up on the first, second or third day after, in whatever month.
    for day, who, unit, combo in treated:
        cell = (unit, f"{day.year}{day.month:02}", combo)
        counts["MH_B12_DEN", *cell] += 1
        if any((who, day + timedelta(days=n)) in followed for n in (1, 2, 3)):
            counts["MH_B12_NUM", *cell] += 1
    # Registered persons of 6 to 59 months, in each month with a record.
    for year, month in months:
        last = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
        for doc in people.values():
            if whom(doc["_id"]) != doc["_id"] and whom(doc["_id"]) in people:
                continue  # she stands there under the id that is kept
            row, old = where(rows, places, "cht", doc["parent"]["_id"], last), age(doc, last, None)
            if row is not None and row[1] == "site" and old is not None and 6 <= old[1] < 60:
                sex = {"female": "SEX_F", "male": "SEX_M"}.get(doc.get("sex", ""), "SEX_UNK")
                counts["MH_E04_DEN", row[0], f"{year}{month:02}", sex] += 1
    # Of each group the first meeting that tells its members, and the last that tells what is lent.
    for (_, unit, period), told in said.items():
        members = [m for m in told if m[2]["presence"]["membres_inscrits"] is not None]
        if members:
            first = min(members, key=lambda m: m[:2])[2]["presence"]["membres_inscrits"]
            sums["MH_G12_DEN", unit, period, "default"] += first
        lent = [m for m in told if m[2]["encours"]["montant_xof"] is not None]
        if lent:
            latest = max(lent, key=lambda m: m[:2])[2]["encours"]["montant_xof"]
            sums["MH_G10_XOF", unit, period, "default"] += latest

    found = {cell: str(n) for cell, n in counts.items()}
    found.update({cell: str(len(names)) for cell, names in workers.items()})
    found.update({cell: format(total.normalize(), "f") for cell, total in sums.items() if total})
    return found


def _danger_band(old: tuple[int, int, int] | None) -> str:
    if old is None or old[2] >= 10:
        return "A2_UNK"
    if old[0] < 28:
        return "A2_D0_27"
    if old[1] < 12:
        return "A2_D28_M11"
    return "A2_Y1_4" if old[2] < 5 else "A2_Y5_9"


def _iccm_band(old: tuple[int, int, int] | None) -> str:
    if old is None:
        return "A1_UNK"
    return "A1_LT2M" if old[1] < 2 else "A1_M2_11" if old[1] < 12 else "A1_M12_59"


def _malaria_band(old: tuple[int, int, int] | None, variant: str) -> str:
    if old is None:
        return "A3_UNK"
    small = {"option": "A3_JEUNE", "renamed": "A3_PETITS"}.get(variant, "A3_Y0_4")
    for name, below in ((small, 3 if variant == "bands" else 5), ("A3_Y5_9", 10), ("A3_Y10_14", 15), ("A3_Y15_19", 20)):
        if old[2] < below:
            return name
    return "A3_Y20P"
