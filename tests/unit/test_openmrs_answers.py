"""The classification of OpenMRS answers: pure, one row per recorded shape."""

from __future__ import annotations

from typing import Any

import pytest

from connector.adapters.openmrs_answers import OF_TARGET, REASONS, classify, short
from connector.model import Verdict, Who


def message(text: str) -> dict[str, Any]:
    return {"error": {"message": text, "code": "x:1", "detail": "java stack SECRET", "rawMessage": text}}


def fields(*names: str, **codes: str) -> dict[str, Any]:
    found = {name: [{"code": codes.get(name, "error"), "message": "m"}] for name in names}
    return {"error": {"message": "Invalid Submission", "globalErrors": [], "fieldErrors": found}}


def general(text: str) -> dict[str, Any]:
    return {"error": {"message": "Invalid Submission", "globalErrors": [{"code": text, "message": text}]}}


# status, body, code; the number is that of recordings/openmrs-2.8
ROWS = [
    ("079", 201, {"uuid": "x"}, None),
    ("184", 204, None, None),
    ("638", 200, {"uuid": "x"}, None),
    ("000", 302, None, "openmrs.not_installed"),
    ("041", 401, message("User is not logged in [Privileges required: Get Locations]"), "openmrs.credentials"),
    ("388", 401, None, "openmrs.credentials"),
    ("059", 403, message("User is logged in but doesn't have the relevant privilege"), "openmrs.privilege"),
    ("704", 403, None, "openmrs.address_refused"),
    ("681", 400, message("Privileges required: Manage Appointments [...]"), "openmrs.privilege"),
    ("062", 500, message("Privileges required: Get Patients"), "openmrs.privilege"),
    ("086", 400, general("Identifier 100000Y already in use by another patient"), "openmrs.identifier_in_use"),
    ("088", 400, general("Invalid check digit for identifier: 100001X"), "openmrs.identifier_invalid"),
    ("109", 400, general("Identifier Location cannot be null for x"), "openmrs.identifier_invalid"),
    ("090", 500, message("[Patient is missing the following required identifier(s): OpenMRS ID]"),
     "openmrs.identifier_required"),
    ("093", 400, fields("gender"), "openmrs.patient_data"),
    ("095", 400, message("[names on class org.openmrs.Patient]"), "openmrs.patient_data"),
    ("102", 400, message("[birthdate on class org.openmrs.Person => Error converting date]"), "openmrs.patient_data"),
    ("110", 400, message("[identifiers on class org.openmrs.Patient => location on class org.openmrs.PatientIdentifier"
                         ' => Cannot invoke "org.openmrs.Location.getUuid()" because "location" is null]'),
     "openmrs.metadata_missing"),
    ("075", 500, message('[Cannot invoke "org.openmrs.module.idgen.IdentifierSource.getId()" because it is null]'),
     "openmrs.metadata_missing"),
    ("278", 400, fields("encounterType"), "openmrs.metadata_missing"),
    ("284", 500, message("[could not execute statement => Column 'provider_id' cannot be null]"),
     "openmrs.metadata_missing"),
    ("652", 400, message("Appointment cannot be created without Service [...]"), "openmrs.metadata_missing"),
    ("288", 400, fields("encounterDatetime"), "openmrs.in_future"),
    ("243", 400, fields("valueNumeric"), "openmrs.obs_refused"),
    ("293", 400, message("[obs on class org.openmrs.Encounter => value on class org.openmrs.Obs => ...]"),
     "openmrs.obs_refused"),
    ("125", 500, message("[could not execute statement => Incorrect string value: '...']"), "openmrs.text_refused"),
    ("261", 400, message("[... => Illegal mix of collations]"), "openmrs.text_refused"),
    ("663", 400, message("could not execute statement [... Data too long for column 'comments' at row 1]"),
     "openmrs.text_refused"),
    ("182", 200, {"cause": None, "stackTrace": [], "message": "Request method 'PUT' not supported"},
     "openmrs.wrong_method"),
    ("222", 500, message("[could not execute statement => Duplicate entry 'x' for key 'uuid']"),
     "openmrs.server_error"),
    ("081", 500, message("[A different object with the same identifier value was already associated]"),
     "openmrs.server_error"),
    ("393", 400, message("[JSON parse error: Unexpected end-of-input]"), "openmrs.wrong_method"),
    ("645", 404, None, "openmrs.refused"),
    ("proxy", 502, None, "openmrs.server_error"),
    ("proxy", 503, None, "openmrs.busy"),
    ("proxy", 429, None, "openmrs.busy"),
    ("start-up page", 200, None, "openmrs.not_json"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "status", "body", "code"), ROWS, ids=[f"{r[0]}-{r[1]}" for r in ROWS])
def test_an_answer_means(where: str, status: int, body: Any, code: str | None) -> None:
    assert classify(status, body, html=body is None and status != 204) == code
    assert code is None or code in REASONS


def test_the_stack_trace_is_not_kept() -> None:
    # 081, 687
    assert short(message("No")) == "No"
    assert "SECRET" not in short(message("No"))
    assert short({"error": {"message": "x" * 5000}}) == "x" * 1000
    assert short([1]) == short(None) == ""


def test_every_reason_speaks_both_languages_and_names_somebody() -> None:
    for code, reason in REASONS.items():
        assert reason.fr and reason.en and reason.fr != reason.en, code
        assert code.startswith("openmrs.") or code == "lane.busy"
        if reason.verdict is Verdict.REJECTED:
            assert reason.who is not Who.NOBODY, code


def test_what_stops_the_target_is_never_a_refusal_of_the_referral() -> None:
    assert {REASONS[code].verdict for code in OF_TARGET} == {Verdict.DEFERRED}
