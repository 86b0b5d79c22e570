"""Age on the day of the visit, and sex, from the registry; and what is left when it knows nothing."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.mappings import people
from connector.model import Activity, Entity


def visit(day: str, **facts: Any) -> Activity:
    return Activity(
        source="cht",
        stream="reports",
        key="r1",
        revision="1",
        kind="sick_visit",
        form="assessment",
        mapping="",
        version="",
        date=date.fromisoformat(day),
        at=None,
        place="site-1",
        worker="asc-1",
        subject="p-1",
        facts=facts,
    )


def person(**data: Any) -> Entity:
    return Entity("cht", "person", "p-1", "1", data)


@pytest.mark.parametrize(
    ("birth", "day", "ages"),
    [
        ("2026-07-15", "2026-07-15", (0, 0, 0)),
        ("2026-06-17", "2026-07-15", (28, 0, 0)),
        ("2026-06-15", "2026-07-15", (30, 1, 0)),
        ("2026-06-16", "2026-07-15", (29, 0, 0)),
        ("2025-07-16", "2026-07-15", (364, 11, 0)),
        ("2021-07-16", "2026-07-15", (1825, 59, 4)),
        ("2021-07-15", "2026-07-15", (1826, 60, 5)),
        ("2024-02-29", "2025-02-28", (365, 11, 0)),  # the month is complete on 1 March
        ("2024-02-29", "2025-03-01", (366, 12, 1)),
        ("2026-01-31", "2026-02-28", (28, 0, 0)),
        ("2024-03", "2026-03-01", (730, 24, 2)),  # known by month: its first day
        ("2024", "2026-01-01", (731, 24, 2)),  # known by year: the first of January
    ],
)
def test_ages_are_completed_ones(birth: str, day: str, ages: tuple[int, int, int]) -> None:
    facts = people.complete(visit(day), person(birth_date=birth))
    assert (facts["age_days"], facts["age_months"], facts["age_years"]) == ages
    assert facts["age_known"] is True


@pytest.mark.parametrize("birth", [None, "", "hier", "2024-13", "2024-02-30", "2026-07-16", 2024])
def test_a_birth_date_that_says_nothing_gives_no_age(birth: Any) -> None:
    """Among them a birth after the visit: somebody mistyped, and no age is better than a wrong one."""
    facts = people.complete(visit("2026-07-15"), person(birth_date=birth))
    assert facts == {"age_known": False}


@pytest.mark.parametrize(
    ("months", "ages"), [(0, (0, 0, 0)), (1, (30, 1, 0)), (7, (213, 7, 0)), (59, (1795, 59, 4)), (60, (1826, 60, 5))]
)
def test_the_age_told_at_the_visit_stands_in(months: int, ages: tuple[int, int, int]) -> None:
    facts = people.complete(visit("2026-07-15", reported_age_months=months), None)
    assert (facts["age_days"], facts["age_months"], facts["age_years"]) == ages


def test_the_registry_is_believed_before_the_age_told() -> None:
    facts = people.complete(visit("2026-07-15", reported_age_months=50), person(birth_date="2026-05-15"))
    assert facts["age_months"] == 2


@pytest.mark.parametrize(
    ("day", "ages"),
    [
        ("2026-01-10", (547, 18, 1)),
        ("2026-02-09", (577, 18, 1)),
        ("2026-02-10", (578, 19, 1)),
        ("2026-07-10", (728, 24, 2)),
    ],
)
def test_an_age_guessed_at_the_registration_grows(day: str, ages: tuple[int, int, int]) -> None:
    """18 months on 10 January 2026; believed before the age told at the visit."""
    guessed = person(estimated_age_months=18, estimated_on="2026-01-10")
    facts = people.complete(visit(day, reported_age_months=50), guessed)
    assert (facts["age_days"], facts["age_months"], facts["age_years"]) == ages and "born" not in facts


def test_a_birth_date_is_believed_before_a_guess_and_a_guess_of_later_says_nothing() -> None:
    known = person(birth_date="2026-05-15", estimated_age_months=18, estimated_on="2026-01-10")
    assert people.complete(visit("2026-07-15"), known)["age_months"] == 2
    for data in ({"estimated_on": "2026-08-01"}, {"estimated_on": None}, {"estimated_age_months": "18"}):
        guess = person(**{"estimated_age_months": 18, "estimated_on": "2026-01-10", **data})
        assert people.complete(visit("2026-07-15"), guess) == {"age_known": False}


@pytest.mark.parametrize("months", [-1, True, "7", 7.5])
def test_an_age_told_that_is_none_is_not_believed(months: Any) -> None:
    assert people.complete(visit("2026-07-15", reported_age_months=months), None)["age_known"] is False


@pytest.mark.parametrize(("sex", "wanted"), [("female", "female"), ("male", "male"), ("unknown", None), (None, None)])
def test_sex_is_known_or_absent(sex: Any, wanted: str | None) -> None:
    assert people.complete(visit("2026-07-15"), person(sex=sex)).get("sex") == wanted


def test_the_facts_of_the_activity_stay() -> None:
    activity = visit("2026-07-15", fever=True)
    assert people.complete(activity, person(sex="male"))["fever"] is True
    assert activity.facts == {"fever": True}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.dates(date(1930, 1, 1), date(2026, 7, 15)), st.integers(0, 40_000))
def test_ages_agree_with_each_other_and_never_go_back(born: date, later: int) -> None:
    day = min(born + timedelta(days=later), date(2090, 1, 1))
    ages = people.ages_at(day, born.isoformat())
    assert ages is not None
    days, months, years = ages
    assert born + timedelta(days=days) == day
    assert years == months // 12
    assert abs(days - months * people.DAYS_PER_MONTH) < 33
    next_day = people.ages_at(day + timedelta(days=1), born.isoformat())
    assert next_day is not None and months <= next_day[1] <= months + 1
