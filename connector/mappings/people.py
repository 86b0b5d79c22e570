"""Completing an activity with what the registry knows of its person: age at the date of service, sex. Pure.

Identity (sex, birth date) is the latest known and holds for all activities of the person.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from connector.model import Activity, Entity

#: Mean length of a month in days, to place an age given in months among bands of days.
DAYS_PER_MONTH = 30.4375
SEXES = ("female", "male")
#: The fact an app may give when no birth date is known.
REPORTED_AGE = "reported_age_months"
#: What a registration may say instead of a birth date: completed months, and the day they were guessed on.
ESTIMATED_AGE, ESTIMATED_ON = "estimated_age_months", "estimated_on"
#: The role of a place that is a household, and what the registry says of its kind.
HOUSEHOLD, HOUSEHOLD_TYPE = "household", "household_type"


def household_of(activity: Activity, person: Entity | None) -> str | None:
    """The household a record is about: the one it names, else the one its person belongs to."""
    named = activity.facts.get("household") or (person.data.get("parent") if person is not None else None)
    return str(named) if named else None


def complete(activity: Activity, person: Entity | None, household: Entity | None = None) -> dict[str, Any]:
    """The facts to count by: those of the activity, with ``age_days``, ``age_months``, ``age_years`` (completed, at
    the date of service; by the birth date, else the age guessed at the registration, else the age the record
    tells), ``age_known``, ``sex``, ``born`` (a birth date known to the day, not after it), ``household``
    (its id), and of a household that is registered ``household_registered`` and ``household_type``. What is not known
    is absent.
    """
    facts = dict(activity.facts)
    data = person.data if person is not None else {}
    birth = data.get("birth_date")
    ages = ages_of(data, activity.date)
    if isinstance(birth, str) and len(birth) == 10 and ages_at(activity.date, birth) is not None:
        facts["born"] = birth
    home = household_of(activity, person)
    if home is not None:
        facts["household"] = home
    if household is not None and household.data.get("role") == HOUSEHOLD:
        facts["household_registered"] = True
        if household.data.get(HOUSEHOLD_TYPE):
            facts["household_type"] = household.data[HOUSEHOLD_TYPE]
    if data.get("sex") in SEXES:
        facts["sex"] = data["sex"]
    ages = ages or ages_from_months(facts.get(REPORTED_AGE))
    facts["age_known"] = ages is not None
    if ages is not None:
        facts["age_days"], facts["age_months"], facts["age_years"] = ages
    return facts


def birth_day(text: Any) -> date | None:
    """The day a birth date stands for: ``2024-03`` is its first day, ``2024`` the first of January."""
    if not isinstance(text, str):
        return None
    parts = text.split("-")
    try:
        year, month, day = (int(part) for part in (*parts, "1", "1")[:3])
        return date(year, month, day)
    except ValueError:
        return None


def ages_at(day: date, birth_date: Any) -> tuple[int, int, int] | None:
    """(days, completed months, completed years) on ``day``. None when unknown, or born later."""
    born = birth_day(birth_date)
    if born is None or born > day:
        return None
    months = (day.year - born.year) * 12 + day.month - born.month - (1 if day.day < born.day else 0)
    return (day - born).days, months, months // 12


def ages_of(data: Mapping[str, Any], day: date) -> tuple[int, int, int] | None:
    """The same of a person of the registry: by the birth date, else by the age that was guessed at the registration,
    as much older as has passed since. None when neither is known."""
    known = ages_at(day, data.get("birth_date"))
    guessed = ages_from_months(data.get(ESTIMATED_AGE))
    since = ages_at(day, data.get(ESTIMATED_ON))
    if known is not None or guessed is None or since is None:
        return known
    months = guessed[1] + since[1]
    return guessed[0] + since[0], months, months // 12


def ages_from_months(months: Any) -> tuple[int, int, int] | None:
    """The same from an age in completed months as the worker wrote it."""
    if isinstance(months, bool) or not isinstance(months, int) or months < 0:
        return None
    return math.floor(months * DAYS_PER_MONTH), months, months // 12
