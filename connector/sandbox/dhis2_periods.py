"""DHIS2 periods as the server reads them (ISO calendar): enough for the rules on future and expired periods.

Accepted forms: ``20260131``, ``2026W5`` (``2026W05`` comes back as ``2026W5``: recordings/dhis2-2.42/118, 119),
``202601`` (``2026-01`` too: 117), ``2026Q1``, ``2026S1``, ``2026``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

_FORMS = (
    ("Daily", re.compile(r"(\d{4})(\d{2})(\d{2})")),
    ("Weekly", re.compile(r"(\d{4})W(\d{1,2})")),
    ("Monthly", re.compile(r"(\d{4})-?(\d{2})")),
    ("Quarterly", re.compile(r"(\d{4})Q([1-4])")),
    ("SixMonthly", re.compile(r"(\d{4})S([12])")),
    ("Yearly", re.compile(r"(\d{4})()")),
)
_MONTHS = {"Monthly": 1, "Quarterly": 3, "SixMonthly": 6, "Yearly": 12}


@dataclass(frozen=True, slots=True)
class Period:
    type: str
    start: date
    end: date
    name: str


def _months(type_: str, index: int) -> Period:
    """The ``index``-th period of a type made of whole months, counted from year 0."""
    span = _MONTHS[type_]
    first = index * span
    start = date(first // 12, first % 12 + 1, 1)
    after = first + span
    end = date(after // 12, after % 12 + 1, 1) - timedelta(days=1)
    number = first % 12 // span + 1
    name = {
        "Monthly": f"{start:%Y%m}",
        "Quarterly": f"{start.year}Q{number}",
        "SixMonthly": f"{start.year}S{number}",
        "Yearly": f"{start.year}",
    }[type_]
    return Period(type_, start, end, name)


def _week(monday: date) -> Period:
    year, week, _ = monday.isocalendar()
    return Period("Weekly", monday, monday + timedelta(days=6), f"{year}W{week}")


def parse(text: object) -> Period | None:
    """The period of this text; None if it is none."""
    if not isinstance(text, str):
        return None
    for type_, form in _FORMS:
        if match := form.fullmatch(text):
            year, part = int(match[1]), match[2]
            try:
                if type_ == "Daily":
                    day = date(year, int(part), int(match[3]))
                    return Period(type_, day, day, text)
                if type_ == "Weekly":
                    return _week(date.fromisocalendar(year, int(part), 1))
                if type_ == "Monthly" and not 1 <= int(part) <= 12:
                    return None
                return _months(type_, year * (12 // _MONTHS[type_]) + (int(part) - 1 if part else 0))
            except ValueError:
                return None
    return None


def around(type_: str, day: date, ahead: int) -> Period:
    """The period of this type that holds ``day``, moved by ``ahead`` periods."""
    if type_ == "Daily":
        moved = day + timedelta(days=ahead)
        return Period(type_, moved, moved, f"{moved:%Y%m%d}")
    if type_ == "Weekly":
        return _week(day - timedelta(days=day.weekday()) + timedelta(weeks=ahead))
    return _months(type_, (day.year * 12 + day.month - 1) // _MONTHS[type_] + ahead)
