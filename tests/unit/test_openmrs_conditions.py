"""What is told of the conditions that a clinic recorded. The answer of a running server: recordings/openmrs-2.8/853."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connector.adapters.openmrs_answers import classify
from connector.adapters.openmrs_conditions import Condition, Span, read, told

RECORDINGS = Path(__file__).parents[1] / "recordings/openmrs-2.8.ndjson"
PATIENT, VISIT = "abbfa2b9-a68b-5ddb-b3cc-fcee492f68f2", "2c4a1f1d-697a-5777-8f67-9e46cf6ac5a4"
NOVEMBER = Span(date(2026, 11, 20), date(2026, 12, 20), None, None, (), ZoneInfo("Africa/Bamako"))


def recorded(number: str) -> dict[str, Any]:
    rows = (json.loads(line) for line in RECORDINGS.read_text("utf-8").splitlines())
    return next(row for row in rows if row["recording"].startswith(number))


def page(**changes: Any) -> dict[str, Any]:
    """The recorded page with one condition left on it, of 22 November, changed."""
    answer = copy.deepcopy(recorded("591")["answer"])
    answer["entry"] = answer["entry"][:1]
    answer["entry"][0]["resource"] |= changes
    return answer


def coded(code: str) -> dict[str, Any]:
    return {"coding": [{"code": code}]}


def test_what_a_running_server_answers_is_read() -> None:
    found = read(recorded("853")["answer"], PATIENT)
    assert found is not None
    assert [(one.name, one.encounter, one.rank) for one in found] == [
        ("Malaria", VISIT, 1), ("Malaria", None, 9), ("Malaria", None, 9),
    ], "and one without a code, which names nothing"  # fmt: skip
    assert found[0].recorded == datetime(2026, 11, 20, 6, 15, tzinfo=UTC)
    assert told(found, NOVEMBER) == "Malaria"


def test_an_account_without_the_privilege_is_known_by_the_words_of_the_answer() -> None:
    for number in ("741", "751"):
        assert classify(500, recorded(number)["answer"]) == "openmrs.privilege"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "Malaria"),
        ({"clinicalStatus": coded("unknown")}, "Malaria"),
        ({"clinicalStatus": coded("resolved")}, None),
        ({"clinicalStatus": coded("inactive")}, None),
        ({"verificationStatus": coded("provisional")}, "Malaria"),
        ({"verificationStatus": coded("refuted")}, None),
        ({"verificationStatus": coded("entered-in-error")}, None),
        ({"subject": {"reference": "Patient/somebody-else"}}, None),
        ({"recordedDate": "2026-11-19T23:59:00+00:00"}, None),  # she had it before
        ({"recordedDate": "2026-11-20T00:30:00+03:00"}, None),  # the day before, where she lives
        ({"recordedDate": "2026-12-21T00:30:00+00:00"}, None),  # too late to be the answer
        ({"recordedDate": None}, None),
        ({"recordedDate": "2026-11-22"}, None),
        ({"code": {"coding": [{"code": "x", "display": " Severe \n anemia "}]}}, "Severe anemia"),
        ({"code": None}, None),
        (
            {
                "code": None,
                "extension": [
                    {"url": "http://fhir.openmrs.org/ext/non-coded-condition", "valueString": "Morsure de serpent"}
                ],
            },
            "Morsure de serpent",
        ),
        ({"code": {"text": "x" * 5000}}, "x" * 255),
        ({"code": {"text": 7, "coding": "no list"}, "extension": {}}, None),
    ],
)
def test_which_conditions_are_told(changes: dict[str, Any], name: str | None) -> None:
    found = read(page(**changes), PATIENT)
    assert found is not None and told(found, NOVEMBER) == name


@pytest.mark.parametrize("answer", [None, [], {}, {"resourceType": "OperationOutcome"}, page() | {"entry": "none"}])
def test_what_is_no_page_of_conditions_is_no_news(answer: Any) -> None:
    assert read(answer, PATIENT) is None
    assert read({"resourceType": "Bundle", "entry": [None, {}, {"resource": []}]}, PATIENT) == []


def one(name: str, day: int, encounter: str | None = None, rank: int = 9) -> Condition:
    return Condition(name, name, datetime(2026, 11, day, 10, tzinfo=UTC), encounter, rank)


def test_the_visit_speaks_first_and_three_are_enough() -> None:
    all_ = [one("D", 21), one("C", 23, VISIT, 2), one("B", 23, VISIT, 1), one("A", 22), one("B", 22)]
    assert told(all_, replace(NOVEMBER, visit=VISIT)) == "B, C, D"


def test_what_is_about_another_referral_is_not_told() -> None:
    span = replace(NOVEMBER, before=datetime(2026, 11, 25, 9, tzinfo=UTC), elsewhere={"ours", "hers"}, visit=VISIT)
    assert told([one("A", 25), one("B", 22, "ours"), one("C", 22, "hers")], span) is None
    assert told([one("A", 24)], span) == "A"
    assert told([one("A", 27, VISIT)], span) == "A", "whenever it was written there"
