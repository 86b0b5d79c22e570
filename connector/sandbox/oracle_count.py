"""What the oracle counts with: a person's age and sex on a day, periods, and cells being filled. Slow and plain."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from connector.sandbox import metadata
from connector.sandbox.oracle_records import SIGNS, Person, Rec

if TYPE_CHECKING:
    from connector.sandbox.district import District

Key = tuple[str, str, str, str]


# ---------------------------------------------------------------- a person on a day


class Patient:
    """Age and sex of whom a record is about, on the day of the record. Months and years are completed ones."""

    def __init__(self, rec: Rec, person: Person | None, day: date | None = None) -> None:
        """``day``: another day than the record's, for what is counted on that day."""
        self.sex = person.sex if person is not None else None
        self.days: int | None = None
        self.months: int | None = None
        self.years: int | None = None
        told = rec.a.get("age_told_months")
        if person is not None and person.birth:
            self._from_birth(person.birth, day or rec.day)
        if self.days is None and told is not None:
            self.days, self.months, self.years = int(told * 30.4375), int(told), int(told) // 12

    def _from_birth(self, text: str, day: date) -> None:
        if len(text) == 4:
            text += "-01-01"
        if len(text) == 7:
            text += "-01"
        born = date.fromisoformat(text)
        if born > day:
            return  # somebody mistyped: no age is better than a wrong one
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
        return a3_of(self.years)

    def a4(self) -> str:
        return a4_of(self.years)

    def an(self) -> str:
        if self.months is None:
            return "AN_UNK"
        if 6 <= self.months < 12:
            return "AN_M6_11"
        return "AN_M12_59" if 12 <= self.months < 60 else "AN_UNK"


def sex_code(sex: str | None) -> str:
    return {"female": "SEX_F", "male": "SEX_M"}.get(sex or "", "SEX_UNK")


def a3_of(years: float | None) -> str:
    if years is None:
        return "A3_UNK"
    if years < 5:
        return "A3_Y0_4"
    if years < 10:
        return "A3_Y5_9"
    if years < 15:
        return "A3_Y10_14"
    return "A3_Y15_19" if years < 20 else "A3_Y20P"


def a4_of(years: float | None) -> str:
    if years is None or years < 10:
        return "A4_UNK"
    if years < 15:
        return "A4_Y10_14"
    return "A4_Y15_19" if years < 20 else "A4_Y20P"


# ---------------------------------------------------------------- what a sick visit amounts to


def danger(rec: Rec) -> bool:
    return any(rec.a.get(f"sign_{sign}") for sign in SIGNS)


def malaria(rec: Rec) -> str | None:
    """Confirmed by a positive test, or a fever treated as malaria without a test."""
    if rec.a.get("malaria_rdt") == "positive":
        return "CONFIRMED"
    if rec.a.get("fever") is True and "malaria_rdt" not in rec.a and rec.a.get("malaria_treated") is True:
        return "PRESUMED"
    return None


def treatment(rec: Rec) -> str | None:
    """The first that was given, in this order."""
    if rec.a.get("act_given") is True:
        return "TREATMENT_ACT"
    if rec.a.get("amoxicillin_given") is True:
        return "TREATMENT_AMOXICILLIN"
    if rec.a.get("ors_given") is True and rec.a.get("zinc_given") is True:
        return "TREATMENT_ORS_ZINC"
    return None


# ---------------------------------------------------------------- periods


def period_of(day: date, period_type: str) -> str:
    if period_type == "Yearly":
        return str(day.year)
    if period_type == "SixMonthly":
        return f"{day.year}S{1 if day.month <= 6 else 2}"
    if period_type == "Quarterly":
        return f"{day.year}Q{(day.month + 2) // 3}"
    return f"{day.year}{day.month:02d}"


def first_day(period: str) -> date:
    """Of a month ``202607``, a quarter ``2026Q3``, half a year ``2026S2`` or a year ``2026``."""
    year = int(period[:4])
    if len(period) == 4:
        return date(year, 1, 1)
    if "Q" in period:
        return date(year, int(period[5]) * 3 - 2, 1)
    if "S" in period:
        return date(year, int(period[5]) * 6 - 5, 1)
    return date(year, int(period[4:]), 1)


def next_period(period: str) -> date:
    """The first day after the period."""
    first = first_day(period)
    months = 12 if len(period) == 4 else {"Q": 3, "S": 6}.get(period[4], 1)
    n = first.year * 12 + first.month - 1 + months
    return date(n // 12, n % 12 + 1, 1)


# ---------------------------------------------------------------- which record of several


def earlier(rec: Rec) -> tuple[Any, ...]:
    """Sorts records as "the first one" means it: by day, then instant, one without an instant after those with one."""
    return (rec.day, rec.at is None, rec.at.timestamp() if rec.at else 0.0, rec.key)


def later(rec: Rec) -> tuple[Any, ...]:
    """Sorts records as "the latest one" means it: one without an instant before those with one."""
    return (rec.day, rec.at is not None, rec.at.timestamp() if rec.at else 0.0, rec.key)


# ---------------------------------------------------------------- counting


class Count:
    """Cells being filled: sums and counts add up, distinct ones collect who was seen."""

    def __init__(self, district: District) -> None:
        self.sums: dict[Key, float] = {}
        self.seen: dict[Key, set[str]] = {}
        self.first: dict[tuple[str, str, str], dict[str, tuple[Any, Key]]] = {}
        self.units: dict[tuple[str, str], dict[str, str]] = {}
        for row in district.org_unit_rows():
            unit = {"code": row["org_unit"], "level": row["level"], "up": row["parent"]}
            self.units[row["source"], row["place"]] = unit

    def unit(self, source: str, place: str, level: str) -> str | None:
        """The org unit of a place at this level; None when the place lies above it, or is unknown."""
        unit = self.units.get((source, place))
        if unit is None:
            return None
        if level == "site":
            return unit["code"] if unit["level"] == "site" else None
        if unit["level"] == "site":
            return unit["up"]
        return unit["code"] if unit["level"] == "cscom" else None

    def key(self, rec: Rec, element: str, options: tuple[str, ...], period: str | None = None) -> Key | None:
        """None when the record's place lies above the level of the data set. ``period``: another than that of the
        record's day."""
        period_type, level, _ = metadata.DATA_SETS[metadata.ELEMENTS[element][1]]
        code = self.unit(rec.source, rec.place, level)
        if code is None:
            return None
        return (element, code, period or period_of(rec.day, period_type), "-".join(options) or "default")

    def add(self, rec: Rec, element: str, *options: str, n: float = 1, period: str | None = None) -> None:
        key = self.key(rec, element, options, period)
        if key is not None:
            self.put(*key, n=n)

    def put(self, element: str, unit: str, period: str, combo: str, n: float = 1) -> None:
        key = (element, unit, period, combo)
        self.sums[key] = self.sums.get(key, 0) + n

    def see(self, rec: Rec, who: str, element: str, *options: str) -> None:
        """Distinct in each combination of options."""
        key = self.key(rec, element, options)
        if key is not None:
            self.seen.setdefault(key, set()).add(who)

    def once(self, rec: Rec, who: str | None, element: str, *options: str) -> None:
        """Distinct over all options: counted in those of the first record. Nobody is not counted."""
        key = self.key(rec, element, options)
        if key is None or who is None:
            return
        found = self.first.setdefault(key[:3], {})
        if who not in found or earlier(rec) < found[who][0]:
            found[who] = (earlier(rec), key)

    def ratio(self, rec: Rec, id: str, fulfilled: bool, *options: str, period: str | None = None) -> None:
        """One more in the denominator, and in the numerator when fulfilled."""
        self.add(rec, f"MH_{id}_DEN", *options, period=period)
        if fulfilled:
            self.add(rec, f"MH_{id}_NUM", *options, period=period)

    def ratio_once(self, rec: Rec, who: str | None, id: str, fulfilled: bool, *options: str) -> None:
        self.once(rec, who, f"MH_{id}_DEN", *options)
        if fulfilled:
            self.once(rec, who, f"MH_{id}_NUM", *options)

    def figures(self) -> dict[Key, int]:
        found = {key: round(total) for key, total in self.sums.items()}
        found.update({key: len(who) for key, who in self.seen.items()})
        for people in self.first.values():
            for _, key in people.values():
                found[key] = found.get(key, 0) + 1
        return {key: n for key, n in found.items() if n}
