"""Period types as DHIS2 names them, among them the awkward ends of years."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector import periods

days = st.dates(min_value=date(1900, 1, 1), max_value=date(2199, 12, 31))
kinds = st.sampled_from(periods.PERIOD_TYPES)


@pytest.mark.parametrize(
    ("day", "kind", "period"),
    [
        (date(2026, 7, 31), "Daily", "20260731"),
        (date(2026, 1, 26), "Weekly", "2026W5"),
        (date(2026, 7, 31), "Monthly", "202607"),
        (date(2026, 7, 1), "Quarterly", "2026Q3"),
        (date(2026, 9, 30), "Quarterly", "2026Q3"),
        (date(2026, 10, 1), "Quarterly", "2026Q4"),
        (date(2026, 6, 30), "SixMonthly", "2026S1"),
        (date(2026, 7, 1), "SixMonthly", "2026S2"),
        (date(2026, 12, 31), "Yearly", "2026"),
        # ISO 8601: the week belongs to the year of its Thursday
        (date(2026, 12, 31), "Weekly", "2026W53"),
        (date(2027, 1, 3), "Weekly", "2026W53"),
        (date(2027, 1, 4), "Weekly", "2027W1"),
        (date(2025, 12, 29), "Weekly", "2026W1"),
        (date(2028, 2, 29), "Monthly", "202802"),
        # a week that starts on another day belongs to the year of its fourth day
        (date(2026, 1, 7), "WeeklyWednesday", "2026WedW2"),
        (date(2026, 1, 6), "WeeklyWednesday", "2026WedW1"),
        (date(2026, 1, 1), "WeeklyThursday", "2026ThuW1"),
        (date(2025, 12, 31), "WeeklyThursday", "2025ThuW52"),
        (date(2026, 1, 3), "WeeklySaturday", "2026SatW1"),
        (date(2026, 1, 2), "WeeklySaturday", "2025SatW52"),
        (date(2026, 1, 4), "WeeklySunday", "2026SunW1"),
        (date(2026, 1, 3), "WeeklySunday", "2025SunW53"),
        (date(2026, 2, 28), "BiMonthly", "202601B"),
        (date(2026, 7, 1), "BiMonthly", "202604B"),
        (date(2026, 12, 31), "BiMonthly", "202606B"),
        (date(2026, 3, 31), "FinancialApril", "2025April"),
        (date(2026, 4, 1), "FinancialApril", "2026April"),
        (date(2026, 6, 30), "FinancialJuly", "2025July"),
        (date(2026, 10, 1), "FinancialOct", "2026Oct"),
        (date(2026, 10, 31), "FinancialNov", "2025Nov"),
    ],
)
def test_the_period_of_a_day(day: date, kind: str, period: str) -> None:
    assert periods.period_of(day, kind) == period


@pytest.mark.parametrize(
    ("period", "kind", "first", "last"),
    [
        ("20280229", "Daily", date(2028, 2, 29), date(2028, 2, 29)),
        ("2026W5", "Weekly", date(2026, 1, 26), date(2026, 2, 1)),
        ("2026W53", "Weekly", date(2026, 12, 28), date(2027, 1, 3)),
        ("202802", "Monthly", date(2028, 2, 1), date(2028, 2, 29)),
        ("202612", "Monthly", date(2026, 12, 1), date(2026, 12, 31)),
        ("2026Q1", "Quarterly", date(2026, 1, 1), date(2026, 3, 31)),
        ("2026Q4", "Quarterly", date(2026, 10, 1), date(2026, 12, 31)),
        ("2026S2", "SixMonthly", date(2026, 7, 1), date(2026, 12, 31)),
        ("2026", "Yearly", date(2026, 1, 1), date(2026, 12, 31)),
        ("2026SunW1", "WeeklySunday", date(2026, 1, 4), date(2026, 1, 10)),
        ("2025SunW53", "WeeklySunday", date(2025, 12, 28), date(2026, 1, 3)),
        ("2026WedW1", "WeeklyWednesday", date(2025, 12, 31), date(2026, 1, 6)),
        ("202801B", "BiMonthly", date(2028, 1, 1), date(2028, 2, 29)),
        ("202606B", "BiMonthly", date(2026, 11, 1), date(2026, 12, 31)),
        ("2027April", "FinancialApril", date(2027, 4, 1), date(2028, 3, 31)),
        ("2026July", "FinancialJuly", date(2026, 7, 1), date(2027, 6, 30)),
        ("2026Oct", "FinancialOct", date(2026, 10, 1), date(2027, 9, 30)),
        ("2026Nov", "FinancialNov", date(2026, 11, 1), date(2027, 10, 31)),
        ("9999", "Yearly", date(9999, 1, 1), date(9999, 12, 31)),
    ],
)
def test_the_bounds_of_a_period(period: str, kind: str, first: date, last: date) -> None:
    assert periods.bounds(period) == (first, last)
    assert periods.period_type(period) == kind


@pytest.mark.parametrize(
    "text",
    ["", "26", "202613", "202600", "2026Q5", "2026Q0", "2026S3", "2026W0", "2026W54", "2025W53", "2026W05", "20260231",
     "2026-07", "2026q3", "0000",
     "202607B", "202600B", "2026B", "2026SunW0", "2026SunW53", "2026MonW1", "2026May", "2026april", "٢٠٢٦", "202607 "],
)  # fmt: skip
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a DHIS2 period"):
        periods.bounds(text)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="FinancialMars"):
        periods.period_of(date(2026, 7, 1), "FinancialMars")


@settings(deadline=None)
@given(days, kinds)
def test_a_day_lies_in_its_period_and_the_period_knows_its_type(day: date, kind: str) -> None:
    period = periods.period_of(day, kind)
    first, last = periods.bounds(period)
    assert first <= day <= last
    assert periods.period_type(period) == kind
    assert periods.period_of(first, kind) == periods.period_of(last, kind) == period


@settings(deadline=None)
@given(days, kinds)
def test_periods_of_a_type_follow_each_other_without_gap(day: date, kind: str) -> None:
    last = periods.bounds(periods.period_of(day, kind))[1]
    following = periods.period_of(last + timedelta(days=1), kind)
    assert periods.bounds(following)[0] == last + timedelta(days=1)


@settings(deadline=None)
@given(days, kinds)
def test_a_period_is_over_on_the_day_after_its_last(day: date, kind: str) -> None:
    period = periods.period_of(day, kind)
    last = periods.bounds(period)[1]
    assert not periods.is_over(period, day)
    assert not periods.is_over(period, last)
    assert periods.is_over(period, last + timedelta(days=1))


@pytest.mark.parametrize(
    ("period", "live_from", "sent"),
    [
        ("202607", "202607", True),
        ("202606", "202607", False),
        ("202608", "202607", True),
        ("2026Q3", "202607", True),
        ("2026Q2", "202607", False),
        ("2026Q3", "202608", True),  # it runs on: a quarter, a year would else not be sent for so long
        ("2026", "202608", True),
        ("2025", "202601", False),
        ("202607", "2026Q3", True),
        ("2026W26", "202607", False),
        ("2026W27", "202607", True),
        ("2026W28", "202607", True),
    ],
)
def test_live_from_compares_first_days(period: str, live_from: str, sent: bool) -> None:
    assert periods.not_before(period, live_from) is sent


def test_periods_of_all_types_sort_by_time() -> None:
    found = sorted(["2026Q3", "202608", "202607", "2026", "20260701", "2026Q2"], key=periods.sort_key)
    assert found == ["2026", "2026Q2", "20260701", "202607", "2026Q3", "202608"]


@given(day=st.dates(date(1990, 1, 1), date(2090, 1, 1)), kind=kinds)
def test_the_period_before_ends_the_day_before(day: date, kind: str) -> None:
    period = periods.period_of(day, kind)
    before = periods.previous(period)
    assert periods.period_type(before) == kind
    assert periods.bounds(before)[1] + timedelta(days=1) == periods.bounds(period)[0]


def test_the_periods_between_two() -> None:
    assert periods.between("202611", "202702") == ["202611", "202612", "202701", "202702"]
    assert periods.between("2026W52", "2027W1") == ["2026W52", "2026W53", "2027W1"]
    assert periods.between("2026Q3", "2026Q3") == ["2026Q3"]
    with pytest.raises(ValueError, match="one type"):
        periods.between("202607", "2026Q4")
    with pytest.raises(ValueError, match="comes after"):
        periods.between("202608", "202607")
