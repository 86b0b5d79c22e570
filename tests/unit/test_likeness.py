"""How much two people look alike, and that among a thousand people the right one is seen and nobody is taken for
another. Who is who comes from the sandbox, which knows nothing of points."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import pytest

from connector.adapters.openmrs_matching import KEPT, VIEW, Candidate, questions, read, worth_asking
from connector.mappings.likeness import Agreement, Likeness, Person, likeness, plain_name, ranked
from connector.sandbox import openmrs_lookalikes, openmrs_metadata
from connector.sandbox.openmrs_patients import search_patients
from connector.sandbox.openmrs_rows import Rows
from connector.sandbox.openmrs_shapes import represent, view_of

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


# ---------------------------------------------------------------- a thousand people

SEED = 7
#: As ``openmrs.yaml`` names them.
TYPES = {"openmrs_id": openmrs_metadata.OPENMRS_ID, "chw": openmrs_metadata.CHW_PATIENT_ID}


@lru_cache(maxsize=1)
def thousand() -> list[tuple[openmrs_lookalikes.Case, list[Candidate]]]:
    """Every case with whom the clinic is asked about."""
    found = []
    for clinic in openmrs_lookalikes.cases(SEED, 1000):
        rows = Rows(openmrs_metadata.default_metadata(()), lambda: datetime(2026, 8, 10, tzinfo=UTC))
        known = {row["uuid"]: as_candidate(rows, row) for row in clinic.patients()}
        for case in clinic.cases:
            p = case.person
            person = Person(p.given, p.family, p.sex, p.born)
            there = {
                row["uuid"]: known[row["uuid"]]
                for question in questions(person) for row in search_patients(rows, {"q": question})
            }  # fmt: skip
            found.append((case, worth_asking(person, there, ON)))
    return found


def as_candidate(rows: Rows, row: dict[str, Any]) -> Candidate:
    born = row["birthdate"]
    person = {
        "names": [{"givenName": row["given"], "familyName": row["family"], "preferred": True}], "gender": row["gender"],
        "birthdate": born and datetime.fromisoformat(born).replace(tzinfo=rows.zone),
        "birthdateEstimated": row["estimated"],
    }  # fmt: skip
    made = represent(rows.new_patient(row["uuid"], person, []), view_of({"v": VIEW}), "")
    return read(made, {"identifier_types": TYPES})


@pytest.mark.again
def test_of_a_thousand_people_the_right_one_is_among_the_first_three() -> None:
    known = [(case, asked) for case, asked in thousand() if case.truth]
    seen = Counter(case.kind for case, asked in known if case.truth & {one.id for one in asked[:3]})
    there = Counter(case.kind for case, _ in known)
    assert sum(there.values()) > 800
    assert sum(seen.values()) >= 0.95 * sum(there.values()), {k: (seen[k], n) for k, n in there.items() if seen[k] < n}
    assert all(seen[kind] >= 0.8 * n for kind, n in there.items()), {k: (seen[k], n) for k, n in there.items()}


def test_namesakes_and_people_of_another_sex_or_date_are_asked_about_and_most_strangers_are_not() -> None:
    """Who may be another person is never left out by being put lower: it is a person who decides."""
    kinds = openmrs_lookalikes.KINDS
    asked = {kind: [bool(found) for case, found in thousand() if case.kind == kind] for kind in kinds}
    assert all(asked["same"]) and all(asked["other_sex"])
    assert sum(asked["namesake"]) > 0.5 * len(asked["namesake"])
    assert sum(asked["unknown"]) < 0.2 * len(asked["unknown"])
    assert all(len(found) <= KEPT for _, found in thousand())
