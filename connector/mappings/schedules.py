"""What a schedule may look like: ``every 15m`` or five cron fields with weekdays by name.

Cron implementations number weekdays differently (0 is Sunday in crontab(5), Monday in APScheduler), so a number
there is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from connector.findings import Pair

_SPAN = re.compile(r"[1-9]\d{0,4}[smhd]")
_DAYS = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
_MONTHS = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
#: Lowest and highest number of minute, hour, day of month, month.
_RANGES = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12))

_CRON: Pair = ('Par exemple  every 15m  ou  "30 2 * * *"', 'For example  every 15m  or  "30 2 * * *"')
_WEEKDAYS: Pair = ("Écrivez mon, tue, wed, thu, fri, sat ou sun.", "Write mon, tue, wed, thu, fri, sat or sun.")
_FIELDS: dict[str, str] = {"minute": "une minute", "hour": "une heure", "day": "un jour du mois", "month": "un mois"}
#: Most days of each month, February as in a leap year.
_DAYS_OF = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, slots=True)
class Problem:
    """A code of ``lint_codes`` and the words its text wants."""

    code: str
    words: Mapping[str, Pair] = field(default_factory=dict)


def span_problem(text: str) -> bool:
    """True when ``text`` is not a span such as ``15m``, ``12h``, ``3d``."""
    return not _SPAN.fullmatch(text)


def schedule_problem(text: str) -> Problem | None:
    """What is wrong with a schedule, or None."""
    if text.startswith("every "):
        span = text[6:].strip()
        if span_problem(span):
            return _invalid((f"{text!r} n'est pas un intervalle", f"{text!r} is not an interval"),
                            ("Par exemple  every 15m", "For example  every 15m"))  # fmt: skip
        return Problem("schedule.too_often") if span.endswith("s") and int(span[:-1]) < 60 else None
    fields = text.split()
    if len(fields) != 5:
        return _invalid((f"{text!r} n'est pas un horaire", f"{text!r} is not a schedule"), _CRON)
    for (name, low, high), one in zip(_RANGES, fields, strict=False):
        if not _field(one, low, high, _MONTHS if name == "month" else set()):
            return _invalid(
                (f"{one!r} n'est pas {_FIELDS[name]}", f"{one!r} is not a {name}"),
                (f"Un nombre de {low} à {high}, ou *", f"A number from {low} to {high}, or *"),
            )
    weekday = fields[4].lower()
    if re.search(r"\d", weekday.partition("/")[0]):
        return Problem("schedule.weekday_number")
    if not _field(weekday, 0, 6, _DAYS):
        return _invalid((f"{fields[4]!r} n'est pas un jour", f"{fields[4]!r} is not a weekday"), _WEEKDAYS)
    return Problem("schedule.never") if weekday == "*" and _never(fields[2], fields[3].lower()) else None


def _invalid(problem: Pair, how: Pair) -> Problem:
    return Problem("schedule.invalid", {"problem": problem, "how": how})


def _never(days: str, months: str) -> bool:
    """No month of these has one of these days: 31 February, 31 of April and June."""
    first = min((_ends(part, 1, 31, {})[0] for part in days.split(",")), default=1)
    names = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
    longest = 0
    for part in months.split(","):
        low, high = _ends(part, 1, 12, names)
        step = int(part.partition("/")[2] or 1)
        among = range(low, high + 1, step) if low <= high else [*range(low, 13), *range(1, high + 1)]
        longest = max([longest, *(_DAYS_OF[month - 1] for month in among)])
    return first > longest


def _ends(part: str, low: int, high: int, names: Mapping[str, int]) -> tuple[int, int]:
    values = part.partition("/")[0]
    if values == "*":
        return low, high
    first, _, last = values.partition("-")
    begin, end = (names.get(one) or int(one) for one in (first, last or first))
    return begin, end


def _field(field: str, low: int, high: int, names: set[str]) -> bool:
    for part in field.lower().split(","):
        values, _, step = part.partition("/")
        if step and not (step.isdigit() and int(step) > 0):
            return False
        if values == "*":
            continue
        for end in values.split("-", 1):
            if end not in names and not (end.isdigit() and low <= int(end) <= high):
                return False
    return True
