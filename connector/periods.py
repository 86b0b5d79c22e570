"""DHIS2 period types: which period a day belongs to, where a period begins and ends.

Codes as DHIS2 writes them: ``20260731`` (Daily), ``2026W5`` (Weekly, ISO 8601, week not padded), ``202607``
(Monthly), ``2026Q3`` (Quarterly), ``2026S2`` (SixMonthly), ``2026`` (Yearly). Source: DHIS2 developer guide,
"Date and period format". A day is a date of service in the pack's time zone; time zones are settled before.
"""

from __future__ import annotations

import re
from datetime import MAXYEAR, date, timedelta
from functools import lru_cache

#: DHIS2's names of the period types known here.
PERIOD_TYPES = ("Daily", "Weekly", "Monthly", "Quarterly", "SixMonthly", "Yearly")

_SHAPES = (
    ("Daily", re.compile(r"(\d{4})(\d{2})(\d{2})")),
    ("Weekly", re.compile(r"(\d{4})W(\d{1,2})")),
    ("Monthly", re.compile(r"(\d{4})(\d{2})")),
    ("Quarterly", re.compile(r"(\d{4})Q([1-4])")),
    ("SixMonthly", re.compile(r"(\d{4})S([12])")),
    ("Yearly", re.compile(r"(\d{4})")),
)
_MONTHS_IN = {"Monthly": 1, "Quarterly": 3, "SixMonthly": 6, "Yearly": 12}


def period_of(day: date, period_type: str) -> str:
    """The period of ``period_type`` that holds ``day``. ValueError for an unknown type."""
    match period_type:
        case "Daily":
            return f"{day.year:04}{day.month:02}{day.day:02}"
        case "Weekly":
            year, week, _ = day.isocalendar()
            return f"{year:04}W{week}"
        case "Monthly":
            return f"{day.year:04}{day.month:02}"
        case "Quarterly":
            return f"{day.year:04}Q{(day.month + 2) // 3}"
        case "SixMonthly":
            return f"{day.year:04}S{1 if day.month <= 6 else 2}"
        case "Yearly":
            return f"{day.year:04}"
    raise ValueError(f"unknown period type {period_type!r}; known: {', '.join(PERIOD_TYPES)}")


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
            if name == "Weekly":
                first = date.fromisocalendar(year, rest[0], 1)
                if period != f"{year:04}W{rest[0]}":
                    break  # DHIS2 writes weeks unpadded; one period must have one name
                return name, first, first + timedelta(days=6)
            length = _MONTHS_IN[name]
            first = date(year, (rest[0] - 1) * length + 1 if rest else 1, 1)
            return name, first, _before(first, length)
        except (ValueError, OverflowError):
            break
    raise ValueError(f"{period!r} is not a DHIS2 period such as 202607, 2026Q3 or 2026W5")


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


def period_type(period: str) -> str:
    """One of ``PERIOD_TYPES``. ValueError when it is no period."""
    return _parse(period)[0]


def is_over(period: str, today: date) -> bool:
    """True from the day after the last day."""
    return bounds(period)[1] < today


def not_before(period: str, live_from: str) -> bool:
    """May ``period`` be sent to a target that is live from the period ``live_from``?

    Compared by first day, so periods of different types compare: 2026Q3 is not before 202607, 2026Q2 is.
    """
    return bounds(period)[0] >= bounds(live_from)[0]


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
