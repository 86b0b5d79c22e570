"""The type a concept gives a value, and what does not fit it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connector.mappings.concepts import MAX_TEXT, WrongValue, partial_date, typed
from connector.mappings.pack import Concept


def concept(kind: str, *answers: str) -> Concept:
    return Concept("c", kind, {"fr": "c"}, {}, answers={answer: answer for answer in answers})


@pytest.mark.parametrize(
    ("of", "value", "fact"),
    [
        (concept("boolean"), True, True),
        (concept("boolean"), False, False),
        (concept("integer"), 12, 12),
        (concept("integer"), 12.0, 12),
        (concept("integer"), 1 - 2**53, 1 - 2**53),
        (concept("decimal"), 12, Decimal("12")),
        (concept("decimal"), 0.1, Decimal("0.1")),
        (concept("decimal"), 3750.25, Decimal("3750.25")),
        (concept("coded", "a", "b"), "a", "a"),
        (concept("coded", "a", "b"), ["b", "a"], ["b", "a"]),
        (concept("coded"), "anything", "anything"),
        (concept("coded", "1"), 1, "1"),
        (concept("text"), "x", "x"),
        (concept("text"), 12, "12"),
        (concept("date"), "2026-07-31", "2026-07-31"),
        (concept("date"), "31/07/2026", "2026-07-31"),
        (concept("date"), 1785540600000, "2026-07-31"),
    ],
)
def test_typed(of: Concept, value: Any, fact: Any) -> None:
    found = typed(value, of, "Africa/Bamako")
    assert found == fact
    assert type(found) is type(fact)


@pytest.mark.parametrize(
    ("of", "value", "code"),
    [
        (concept("boolean"), "yes", "fact.type"),
        (concept("boolean"), 1, "fact.type"),
        (concept("integer"), 12.5, "fact.type"),
        (concept("integer"), "12", "fact.type"),
        (concept("integer"), True, "fact.type"),
        (concept("integer"), 2**53, "fact.type"),
        (concept("integer"), -1e29, "fact.type"),
        (concept("integer"), float("inf"), "fact.type"),
        (concept("decimal"), "1,5", "fact.type"),
        (concept("decimal"), False, "fact.type"),
        (concept("coded", "a"), "b", "fact.answer"),
        (concept("coded", "a"), ["a", "b"], "fact.answer"),
        (concept("coded", "a"), {"a": 1}, "fact.type"),
        (concept("text"), True, "fact.type"),
        (concept("text"), 1.5, "fact.type"),
        (concept("text"), "x" * (MAX_TEXT + 1), "fact.too_long"),
        (concept("date"), "hier", "fact.type"),
        (concept("date"), "", "fact.type"),
        (concept("date"), True, "fact.type"),
    ],
)
def test_what_does_not_fit(of: Concept, value: Any, code: str) -> None:
    with pytest.raises(WrongValue) as wrong:
        typed(value, of, "Africa/Bamako")
    assert wrong.value.code == code


@pytest.mark.parametrize("text", ["2024", "2024-03", "2024-03-11", "1931-12-31"])
def test_a_birth_date_may_be_partial(text: str) -> None:
    assert partial_date(text) == text


@pytest.mark.parametrize(
    "text", ["24", "2024-3", "2024-13", "2024-02-30", "11/03/2024", "0024", "3024", "", "2024-03-11T"]
)
def test_what_is_no_birth_date(text: str) -> None:
    with pytest.raises(WrongValue):
        partial_date(text)
