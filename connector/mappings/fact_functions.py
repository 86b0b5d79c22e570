"""The functions a mapping may use beyond JSONata's own: pure, and the same in every expression engine.

They exist because apps write the same thing in many ways (``"yes"``, ``"oui"``, ``true``; ``"1,5"``; a multi-select
as one string or as an array) and because *not asked* must stay *absent*, never become "no".
Each takes JSON values, with ``None`` for absent, and returns one; a value it cannot read raises ``ValueError``
without naming the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

_YES = frozenset({"yes", "oui", "true", "vrai", "y", "o", "1"})
_NO = frozenset({"no", "non", "false", "faux", "n", "0"})
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:[.,]\d{1,9})?")
_SPACES = str.maketrans("", "", " \u00a0\u202f")
_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_FRENCH_DAY = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Years outside are typing errors, not dates of service or birth.
FIRST_YEAR, LAST_YEAR = 1900, 2199


def yes(value: Any = None) -> bool | None:
    """``$yes(x)``: true, false, or absent when nothing was answered."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        if value == "yes":
            return True
        if value == "no":
            return False
        word = value.strip().casefold()
        if word in _YES:
            return True
        if word in _NO:
            return False
        if not word:
            return None
    elif isinstance(value, (int, float)) and value in (0, 1):
        return value == 1
    raise ValueError("neither yes nor no")


def num(value: Any = None) -> int | float | None:
    """``$num(x)``: a number, also when written as text, with a decimal comma or spaced thousands."""
    if value is None or type(value) is int:
        return value
    if isinstance(value, str):
        if value.isdigit() and value.isascii() and len(value) < 16:
            return int(value)
        text = value.translate(_SPACES)
        if not text:
            return None
        if not _NUMBER.fullmatch(text):
            raise ValueError("not a number")
        number = float(text.replace(",", "."))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = value
    else:
        raise ValueError("not a number")
    return int(number) if isinstance(number, float) and number.is_integer() else number


@lru_cache(maxsize=4096)
def _split(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.split()))


def _chosen(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return _split(value)
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return tuple(dict.fromkeys(stripped for part in value if (stripped := part.strip())))
    raise ValueError("not a list of options")


def options(value: Any = None) -> list[str] | None:
    """``$options(x)``: the chosen options of a multi-select, from one spaced string or an array.

    An empty string is "answered: none of them", an empty list; absent stays absent.
    """
    return None if value is None else list(_chosen(value))


def chosen(value: Any = None, option: Any = None) -> bool | None:
    """``$chosen(x, 'option')``: was this option of a multi-select chosen? Absent when the question was not asked."""
    return None if value is None else option in _chosen(value)


def unknown(value: Any = None) -> bool:
    """``$unknown(x)``: true when nothing is known of x."""
    return value is None


@lru_cache(maxsize=64)
def zone_of(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def instant(value: Any, zone: ZoneInfo) -> datetime | None:
    """The instant a value names, or None when it names a day only. ``int``: milliseconds since 1970 (CHT)."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str) and value.isdigit() and len(value) >= 11:
        value = int(value)
    if isinstance(value, (int, float)):
        try:
            return _EPOCH + timedelta(milliseconds=value)
        except OverflowError:
            raise ValueError("not a date") from None
    if isinstance(value, str) and len(value) > 10 and value[10] in "T ":
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return None


def day_of(value: Any, zone: ZoneInfo) -> date | None:
    """The calendar day of a value in a zone.

    Takes ``2026-07-31``, ``31/07/2026`` (day first), an ISO instant, milliseconds since 1970.
    Raises ValueError for what is none of them, and for years outside 1900-2199.
    """
    return day_and_instant(value, zone)[0]


def day_and_instant(value: Any, zone: ZoneInfo) -> tuple[date | None, datetime | None]:
    """As ``day_of``, with the instant (UTC) where the value names one."""
    if isinstance(value, str):
        value = value.strip()
        if _ISO_DAY.fullmatch(value):
            return _in_range(date.fromisoformat(value)), None
        french = _FRENCH_DAY.fullmatch(value)
        if french:
            return _in_range(date(int(french[3]), int(french[2]), int(french[1]))), None
    if value is None or value == "":
        return None, None
    moment = instant(value, zone)
    if moment is None:
        raise ValueError("not a date")
    try:
        return _in_range(moment.astimezone(zone).date()), moment.astimezone(UTC)
    except OverflowError:  # at the very ends of the calendar
        raise ValueError("not a likely date") from None


def _in_range(day: date) -> date:
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError("not a likely date")
    return day


def functions(zone: str) -> dict[str, Callable[..., Any]]:
    """All functions by the name they have in an expression, for a pack in this time zone."""
    here = zone_of(zone)

    def day(value: Any = None, other_zone: Any = None) -> str | None:
        found = day_of(value, here if other_zone is None else zone_of(other_zone))
        return found.isoformat() if found else None

    return {"yes": yes, "num": num, "options": options, "chosen": chosen, "unknown": unknown, "day": day}
