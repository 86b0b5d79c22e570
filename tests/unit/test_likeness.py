"""How much two people look alike, field by field. Whom the clinic then gets: ``contract/test_whose_file.py``."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from connector.adapters.openmrs_matching import questions
from connector.mappings.likeness import Agreement, Likeness, Person, likeness, plain_name, ranked

ON = date(2026, 8, 10)
HER = Person("Fatoumata", "Traoré", "female", "1994-03-12")
SAME, CLOSE, COMPATIBLE, DIFFERENT, MISSING = Agreement


def field(found: Likeness, name: str) -> Agreement:
    (one,) = [f.agreement for f in found.fields if f.name == name]
    return one


def against(**other: Any) -> Likeness:
    return likeness(HER, Person(**{"given": HER.given, "family": HER.family, "sex": HER.sex, **other}), ON)


@pytest.mark.parametrize(
    ("ours", "theirs", "agreement"),
    [
        ("Traoré", "TRAORE", SAME), ("N'Diaye", "Ndiaye", SAME), ("Ouattara", "Wattara", CLOSE),
        ("Coulibaly", "Koulibali", CLOSE), ("Cissé", "Sissé", CLOSE), ("Diakité", "Jakité", CLOSE),
        ("Coulibaly", "Coulibay", CLOSE), ("Koné", "Konaté", DIFFERENT), ("Diarra", "Diallo", DIFFERENT),
        ("Touré", "Traoré", DIFFERENT), ("", "Traoré", MISSING), ("Sy", "Sissoko", DIFFERENT),
        ("Ba", "Ballo", DIFFERENT),
    ],
)  # fmt: skip
def test_family_names_are_compared_as_they_sound(ours: str, theirs: str, agreement: Agreement) -> None:
    found = likeness(Person(family=ours), Person(family=theirs), ON)
    assert field(found, "family") is agreement
    assert field(likeness(Person(family=theirs), Person(family=ours), ON), "family") is agreement


def test_one_of_two_given_names_is_close_and_names_in_each_other_s_place_are_too() -> None:
    assert field(against(given="Fatoumata Binta"), "given") is CLOSE
    assert field(against(given="Aminata"), "given") is DIFFERENT
    crossed = against(given="Traore", family="Fatoumata")
    assert (field(crossed, "given"), field(crossed, "family")) == (CLOSE, CLOSE)


@pytest.mark.parametrize(
    ("ours", "theirs", "estimated", "agreement", "points"),
    [
        ("1994-03-12", "1994-03-12", False, SAME, 7), ("1994-01-01", "1994-01-01", False, COMPATIBLE, 3),
        ("1994-03-12", "1994-12-03", False, CLOSE, 4), ("1994-03-12", "1994-03-17", False, CLOSE, 4),
        ("1994-03-12", "1984-03-12", False, CLOSE, 4), ("1994-03-12", "1995-01-30", False, CLOSE, 2),
        ("1994-03-12", "1997-01-30", False, DIFFERENT, -1), ("1994-03-12", "1979-07-30", False, DIFFERENT, -7),
        ("1994", "1994-03-12", False, COMPATIBLE, 2), ("1994-03", "1994-03-12", False, COMPATIBLE, 4),
        ("1994-03-12", "1994-01-01", True, COMPATIBLE, 2), ("1994-03-12", "1992-01-01", True, COMPATIBLE, 2),
        ("1994-03-12", "1990-05-01", True, DIFFERENT, -1), ("2024-09-12", "2024-05-01", True, COMPATIBLE, 2),
        ("2024-03-12", "2024-04-09", False, CLOSE, 2), ("2024-03-12", "2025-04-09", False, DIFFERENT, -7),
        ("1994-03-12", "", False, MISSING, 0), ("not a date", "1994-03-12", False, MISSING, 0),
        ("0000-99-99", "1994-03-12", False, MISSING, 0),
    ],
)  # fmt: skip
def test_birth_dates_agree_as_far_as_they_are_known(
    ours: str, theirs: str, estimated: bool, agreement: Agreement, points: int
) -> None:
    one, other = Person(birth_date=ours), Person(birth_date=theirs, estimated=estimated)
    found = likeness(one, other, ON)
    assert (field(found, "birth_date"), found.points) == (agreement, points)
    assert likeness(other, one, ON).points == points


def test_what_is_missing_says_nothing_and_the_likest_comes_first() -> None:
    assert likeness(HER, Person(), ON).points == 0
    others = {"b": HER, "a": HER, "c": Person("Awa", "Traoré", "female", "1994-03-12"), "d": Person("Awa", "Diarra")}
    assert [id for id, _ in ranked(HER, others, ON)] == ["a", "b", "c", "d"]
    assert against(birth_date="1994-03-12").contradicts is False and against(sex="male").contradicts is True


def test_the_national_identifier_is_compared_without_blanks() -> None:
    ours, theirs = Person(national="ml-19 94"), Person(national="ML1994")
    assert field(likeness(ours, theirs, ON), "national") is SAME
    assert likeness(ours, Person(national="ML1995"), ON).points < 0


@pytest.mark.parametrize("text", ["N'Diaye Aïssata", "  ", "'", "Mary-Jane", "\u0130", "\N{GRINNING FACE}"])
def test_any_name_can_be_compared(text: str) -> None:
    assert isinstance(likeness(Person(given=text), Person(given=text), ON), Likeness)
    assert all(len(one) >= 2 for one in questions(Person(given=text)))
    assert plain_name(plain_name(text)) == plain_name(text)
