"""A person registered twice and declared the same: figures, registers, episodes, FHIR and referrals follow, and go back."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from connector.engine import erasing, retention, same_person
from connector.errors import NotSame
from tests.engine.house import ANNA, MODIBO, UNIT, Doc, Make, Road, a_few, person, report, visit
from tests.properties.slow_count import ELEMENTS, slow_count

#: Anna's second registration, another birth date and sex on it, and a third one.
AGAIN, THIRD = "person-anna-2", "person-anna-3"
REGISTERED = 1_780_300_000_000  #: 1 June 2026
ROWS = {("cht", "site-1"): ((UNIT, "site", "ML-KKO-D1-A1", "2015-01-01", ""),)}


def seen(key: str, day: str, subject: str, **more: Any) -> Doc:
    """A visit that counts persons (A10), records, and a treated child (B12)."""
    doc = visit(key, day, subject=subject, care_refused="yes", **more)
    doc["fields"]["group_fever"].update(malaria_treatment_given="yes", malaria_treatment="act")
    return doc


def follow_up(key: str, day: str, subject: str) -> Doc:
    return report(key, "assessment_follow_up", day, {"patient_id": subject, "outcome": "improved"})


def twice() -> list[Doc]:
    docs = [*a_few(), person(AGAIN, born="2014-03-11", sex="male"), person(THIRD, born=None, sex=None)]
    docs += [seen("one", "2026-08-03", AGAIN), seen("two", "2026-08-20", ANNA), seen("three", "2026-09-04", THIRD)]
    docs += [follow_up("after", "2026-08-22", AGAIN), seen("else", "2026-08-05", MODIBO)]
    at_home = {"parent": {"_id": "site-1"}, "reported_date": REGISTERED}
    return [{**doc, **at_home} if doc.get("contact_type") == "person" else doc for doc in docs]


def expected(docs: list[Doc], same: dict[str, str]) -> dict[str, str]:
    last = {doc["_id"]: doc for doc in docs}
    found = slow_count(
        people={key: doc for key, doc in last.items() if doc.get("contact_type") == "person"}, places={},
        reports={key: doc for key, doc in last.items() if doc["type"] == "data_record"}, meetings={}, rows=ROWS,
        today=date(2026, 10, 6), variant="shipped", same=same,
    )  # fmt: skip
    return {" ".join(cell): value for cell, value in found.items()}


def figures(road: Road) -> dict[str, str]:
    """What DHIS2 holds of the elements the slow count knows."""
    held = {" ".join(key): value for key, value in road.values().items() if key[0] in ELEMENTS}
    return {key: value for key, value in held.items() if value != "0"}


def declare(road: Road, kept: str, other: str) -> dict[str, Any]:
    return same_person.declare(road.engine, ("cht", kept), ("cht", other), "vue deux fois", "awa")


def undo(road: Road, kept: str, other: str) -> dict[str, Any]:
    return same_person.undo(road.engine, ("cht", kept), ("cht", other), "deux soeurs", "awa")


@pytest.fixture
def road(make_road: Make) -> Road:
    made = make_road(twice())
    made.settle()
    return made


def test_figures_at_dhis2_follow_a_declaration_and_its_undoing(road: Road) -> None:
    docs, apart = twice(), expected(twice(), {})
    assert figures(road) == apart
    assert declare(road, ANNA, AGAIN) == {"kept": f"cht/{ANNA}", "ids": [f"cht/{AGAIN}"]}
    road.settle()
    together = expected(docs, {AGAIN: ANNA})
    assert figures(road) == together and together != apart
    assert declare(road, AGAIN, THIRD) == {"kept": f"cht/{ANNA}", "ids": [f"cht/{AGAIN}", f"cht/{THIRD}"]}
    road.settle()
    assert figures(road) == expected(docs, {AGAIN: ANNA, THIRD: ANNA})
    assert undo(road, ANNA, AGAIN) == {"kept": f"cht/{AGAIN}", "ids": [f"cht/{THIRD}"]}
    road.settle()
    assert figures(road) == expected(docs, {THIRD: AGAIN})
    undo(road, AGAIN, THIRD)
    road.settle()
    assert figures(road) == apart
    assert not road.rows("SELECT 1 FROM same_person") and not road.rows("SELECT 1 FROM same_key")
