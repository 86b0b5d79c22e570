"""DHIS2 period types: which period a day belongs to, where a period begins and ends.

Codes as DHIS2 writes them: ``20260731`` (Daily), ``2026W5`` (Weekly, ISO 8601, week not padded), ``2026WedW5``
(WeeklyWednesday, and Thu, Sat, Sun), ``202607`` (Monthly), ``202604B`` (BiMonthly: the fourth two months, July and
August), ``2026Q3`` (Quarterly), ``2026S2`` (SixMonthly), ``2026`` (Yearly), ``2026April`` (FinancialApril: April 2026
to March 2027, and July, Oct, Nov). Source: DHIS2 developer guide, "Date and period format". A week belongs to the year
that holds four of its days or more, whatever day it starts on (as Java's ``WeekFields(start, 4)``, which DHIS2 uses).
A day is a date of service in the pack's time zone; time zones are settled before.
"""

from __future__ import annotations

import re
from datetime import MAXYEAR, date, timedelta
from functools import lru_cache

#: Types of seven days -> (weekday it starts on as in ``date.weekday``, what stands before the number).
_WEEKS = {
    "Weekly": (0, "W"),
    "WeeklyWednesday": (2, "WedW"),
    "WeeklyThursday": (3, "ThuW"),
    "WeeklySaturday": (5, "SatW"),
    "WeeklySunday": (6, "SunW"),
}
#: Types of a year that begins in another month -> (that month, its name in the code).
_FINANCIAL = {
    "FinancialApril": (4, "April"),
    "FinancialJuly": (7, "July"),
    "FinancialOct": (10, "Oct"),
    "FinancialNov": (11, "Nov"),
}
_MONTHS_IN = {"Monthly": 1, "BiMonthly": 2, "Quarterly": 3, "SixMonthly": 6, "Yearly": 12}

#: DHIS2's names of the period types known here.
PERIOD_TYPES = ("Daily", *_WEEKS, *_MONTHS_IN, *_FINANCIAL)

_SHAPES = (
    ("Daily", re.compile(r"(\d{4})(\d{2})(\d{2})")),
    *((name, re.compile(rf"(\d{{4}}){mark}(\d{{1,2}})")) for name, (_, mark) in _WEEKS.items()),
    ("Monthly", re.compile(r"(\d{4})(\d{2})")),
    ("BiMonthly", re.compile(r"(\d{4})(0[1-6])B")),
    ("Quarterly", re.compile(r"(\d{4})Q([1-4])")),
    ("SixMonthly", re.compile(r"(\d{4})S([12])")),
    ("Yearly", re.compile(r"(\d{4})")),
    *((name, re.compile(rf"(\d{{4}}){mark}")) for name, (_, mark) in _FINANCIAL.items()),
)


def period_of(day: date, period_type: str) -> str:
    """The period of ``period_type`` that holds ``day``. ValueError for an unknown type."""
    if period_type in _WEEKS:
        start, mark = _WEEKS[period_type]
        fourth = day.toordinal() - (day.weekday() - start) % 7 + 3
        year, nth = _year_and_day(fourth)
        return f"{year:04}{mark}{nth // 7 + 1}"
    if period_type in _FINANCIAL:
        month, mark = _FINANCIAL[period_type]
        return f"{day.year - (day.month < month):04}{mark}"
    match period_type:
        case "Daily":
            return f"{day.year:04}{day.month:02}{day.day:02}"
        case "Monthly":
            return f"{day.year:04}{day.month:02}"
        case "BiMonthly":
            return f"{day.year:04}{(day.month + 1) // 2:02}B"
        case "Quarterly":
            return f"{day.year:04}Q{(day.month + 2) // 3}"
        case "SixMonthly":
            return f"{day.year:04}S{1 if day.month <= 6 else 2}"
        case "Yearly":
            return f"{day.year:04}"
    raise ValueError(f"unknown period type {period_type!r}; known: {', '.join(PERIOD_TYPES)}")


def _year_and_day(ordinal: int) -> tuple[int, int]:
    """Year and day of the year from 0; the first days of year 10000 too, which ``date`` does not know."""
    last = date.max.toordinal()
    if ordinal > last:
        return MAXYEAR + 1, ordinal - last - 1
    day = date.fromordinal(max(ordinal, 1))
    return day.year, ordinal - date(day.year, 1, 1).toordinal()


@lru_cache(maxsize=1024)
def _parse(period: str) -> tuple[str, date, date]:
    """(type, first day, last day). ValueError when it is no period: ``202613``, ``2026W54``, ``2026W05``."""
    for name, shape in _SHAPES:
        found = shape.fullmatch(period)
        if not found or not period.isascii():
            continue
        year, *rest = (int(part) for part in found.groups())
        try:
            if name == "Daily":
                day = date(year, *rest)
                return name, day, day
            if name in _WEEKS:
                first = _week(year, rest[0], _WEEKS[name][0])
                if period_of(first, name) != period:
                    break  # DHIS2 writes weeks unpadded; one period must have one name
                return name, first, first + timedelta(days=6)
            if name in _FINANCIAL:
                first = date(year, _FINANCIAL[name][0], 1)
                return name, first, _before(first, 12)
            length = _MONTHS_IN[name]
            first = date(year, (rest[0] - 1) * length + 1 if rest else 1, 1)
            return name, first, _before(first, length)
        except (ValueError, OverflowError):
            break
    raise ValueError(f"{period!r} is not a DHIS2 period such as 202607, 2026Q3 or 2026W5")


def _week(year: int, number: int, start: int) -> date:
    """The first day of the ``number``-th week of a year; week 1 is that of 4 January."""
    fourth = date(year, 1, 4)
    return fourth - timedelta(days=(fourth.weekday() - start) % 7) + timedelta(weeks=number - 1)


def _before(first: date, months: int) -> date:
    """The last day of ``months`` months from ``first``."""
    years, month = divmod(first.month - 1 + months, 12)
    if first.year + years > MAXYEAR:
        return date.max
    return date(first.year + years, month + 1, 1) - timedelta(days=1)


def bounds(period: str) -> tuple[date, date]:
    """First and last day, both inside. ValueError when it is no period."""
    _, first, last = _parse(period)
    return first, last


def previous(period: str) -> str:
    """The period of the same type before this one. Raises ValueError for a period that is none."""
    return period_of(bounds(period)[0] - timedelta(days=1), period_type(period))


def period_type(period: str) -> str:
    """One of ``PERIOD_TYPES``. ValueError when it is no period."""
    return _parse(period)[0]


def is_over(period: str, today: date) -> bool:
    """True from the day after the last day."""
    return bounds(period)[1] < today


def not_before(period: str, live_from: str) -> bool:
    """May ``period`` be sent to a target that is live from the period ``live_from``?

    It may when its last day is not before the first day of ``live_from``, so periods of different types compare: with
    202607, 2026Q3 and the year 2026 are sent, 202606 and 2026Q2 are not.
    """
    return bounds(period)[1] >= bounds(live_from)[0]


def sort_key(period: str) -> tuple[date, date]:
    """Chronological order for periods of any types: by first day, then the shorter one."""
    return bounds(period)


def between(first: str, last: str) -> list[str]:
    """The periods from ``first`` to ``last``, both inside, of one type (``--periods A..B``).

    ValueError when the types differ or the order is wrong.
    """
    kind = period_type(first)
    if period_type(last) != kind:
        raise ValueError(f"{first} is {kind}, {last} is {period_type(last)}: give two periods of one type")
    if bounds(first) > bounds(last):
        raise ValueError(f"{first} comes after {last}")
    found = [first]
    while found[-1] != last:
        found.append(period_of(bounds(found[-1])[1] + timedelta(days=1), kind))
    return found
