"""What a schedule may look like: ``every 15m`` or five cron fields with weekdays by name.

Cron implementations number weekdays differently (0 is Sunday in crontab(5), Monday in APScheduler), so a number
there is refused.
"""

from __future__ import annotations

import re

_SPAN = re.compile(r"[1-9]\d{0,4}[smhd]")
_DAYS = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
_MONTHS = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
#: Lowest and highest number of minute, hour, day of month, month.
_RANGES = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12))

Problem = tuple[str, str, str]  #: code, what is wrong, how to mend it


def span_problem(text: str) -> bool:
    """True when ``text`` is not a span such as ``15m``, ``12h``, ``3d``."""
    return not _SPAN.fullmatch(text)


def schedule_problem(text: str) -> Problem | None:
    """What is wrong with a schedule, or None."""
    if text.startswith("every "):
        if span_problem(text[6:].strip()):
            return "schedule.invalid", f"{text!r} is not an interval", "For example  every 15m"
        return None
    fields = text.split()
    if len(fields) != 5:
        return "schedule.invalid", f"{text!r} is not a schedule", 'For example  every 15m  or  "30 2 * * *"'
    for (name, low, high), field in zip(_RANGES, fields, strict=False):
        if not _field(field, low, high, _MONTHS if name == "month" else set()):
            return "schedule.invalid", f"{field!r} is not a {name}", f"A number from {low} to {high}, or *"
    weekday = fields[4].lower()
    if re.search(r"\d", weekday.partition("/")[0]):
        return (
            "schedule.weekday_number",
            f"the weekday {fields[4]!r} is a number, which programs read differently",
            "Write mon, tue, wed, thu, fri, sat or sun.",
        )
    if not _field(weekday, 0, 6, _DAYS):
        return "schedule.invalid", f"{fields[4]!r} is not a weekday", "Write mon, tue, wed, thu, fri, sat or sun."
    return None


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
