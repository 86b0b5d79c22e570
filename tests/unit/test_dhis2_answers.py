"""The table of reasons and the reading of answers, one recorded shape at a time."""

from __future__ import annotations

from typing import Any

import pytest

from connector.adapters.dhis2_answers import (
    REASONS,
    block_reason,
    completion_fault,
    fault_of,
    read_import,
    reason,
)
from connector.adapters.dhis2_metadata import DataSet, data_set_of
from connector.adapters.dhis2_probe import Asked, examine
from connector.model import Verdict, Who


def summary(status: str = "SUCCESS", counts: tuple[int, int, int, int] = (0, 0, 0, 0), **more: Any) -> dict[str, Any]:
    imported, updated, ignored, deleted = counts
    response = {
        "responseType": "ImportSummary",
        "status": status,
        "description": "Import process completed successfully",
        "importCount": {"imported": imported, "updated": updated, "ignored": ignored, "deleted": deleted},
        "conflicts": [],
        "rejectedIndexes": [],
    }
    return {"httpStatus": "OK", "status": "OK", "response": {**response, **more}}


def conflict(code: str, *rows: int) -> dict[str, Any]:
    return {"objects": {}, "value": "…", "errorCode": code, "indexes": list(rows)}


# ---------------------------------------------------------------- the table


def test_every_reason_is_whole() -> None:
    for code, row in REASONS.items():
        assert code.startswith(("dhis2.", "lane.")), code
        assert row.fr.endswith(".") and row.en.endswith("."), code
        assert row.fr != row.en, code
        if row.verdict is Verdict.REJECTED:
            assert row.who is not Who.NOBODY, f"{code}: a refusal needs a person"


@pytest.mark.parametrize(
    ("code", "verdict", "who"),
    [
        ("dhis2.E7611", Verdict.DEFERRED, Who.NOBODY),  # findings-dhis2 0.2
        ("dhis2.E7641", Verdict.DEFERRED, Who.NOBODY),  # opens by itself
        ("dhis2.E7640", Verdict.DEFERRED, Who.MINISTRY),
        ("dhis2.E7642", Verdict.DEFERRED, Who.MINISTRY),
        ("dhis2.E7612", Verdict.REJECTED, Who.MAPPING),
        ("dhis2.E7617", Verdict.REJECTED, Who.TARGET_ADMIN),
        ("dhis2.E7999", Verdict.REJECTED, Who.TARGET_ADMIN),  # a code of a later release
    ],
)
def test_codes_say_what_to_do(code: str, verdict: Verdict, who: Who) -> None:
    assert (reason(code).verdict, reason(code).who) == (verdict, who)


def test_a_block_has_one_reason() -> None:
    assert block_reason(["dhis2.E7619", "dhis2.E7619"]) == "dhis2.E7619"
    assert block_reason(["dhis2.E7619", "dhis2.E7612"]) == "dhis2.rows_refused"
    assert block_reason(["dhis2.E7619", "dhis2.E7611"]) == "dhis2.E7619", "the lasting fault is the one to mend"


# ---------------------------------------------------------------- statuses


@pytest.mark.parametrize(
    ("status", "location", "body", "code", "of_target"),
    [
        (401, "", {"message": "Unauthorized"}, "dhis2.credentials", True),  # 019
        (401, "", {"message": "Account locked"}, "dhis2.credentials_locked", True),  # 535
        (401, "", {"message": "Account disabled"}, "dhis2.credentials_locked", True),
        (401, "", {"message": "The API token does not exists"}, "dhis2.credentials_token", True),  # 394
        (400, "", {"message": "Checksum validation failed"}, "dhis2.credentials_token", True),  # 390
        (302, "http://h/dhis-web-login/", None, "dhis2.credentials_login_page", True),  # 021
        (301, "/dhis/api/me/", None, "dhis2.wrong_address", True),  # 033
        (403, "", {"message": "Access is denied"}, "dhis2.credentials_no_authority", True),  # 153
        (404, "", None, "dhis2.wrong_address", True),  # 032
        (429, "", None, "dhis2.busy", True),
        (503, "", None, "dhis2.unavailable", True),
        (405, "", {"message": "…"}, "dhis2.bad_request", False),  # 034
        (415, "", {"message": "…"}, "dhis2.bad_request", False),  # 180
        (400, "", {"message": "…"}, "dhis2.bad_request", False),  # 064
        (413, "", None, "dhis2.too_big", False),
    ],
)
@pytest.mark.parametrize("wrote", [True, False])
def test_statuses(status: int, location: str, body: Any, code: str, of_target: bool, wrote: bool) -> None:
    fault = fault_of(status, location, body, wrote=wrote)
    assert fault is not None
    assert (fault.code, fault.of_target) == (code, of_target)
    assert fault.verdict is reason(code).verdict


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_broken_write_is_unknown_and_a_broken_read_only_waits(status: int) -> None:
    wrote = fault_of(status, "", None, wrote=True)  # 450: part of the rows may be stored
    assert wrote is not None and (wrote.verdict, wrote.of_target) == (Verdict.UNKNOWN, False)
    read = fault_of(status, "", None, wrote=False)
    assert read is not None and (read.verdict, read.of_target) == (Verdict.DEFERRED, True)


def test_an_unreadable_yes_is_no_yes() -> None:
    fault = fault_of(200, "", None, wrote=True)
    assert fault is not None and fault.verdict is Verdict.UNKNOWN
    assert fault_of(200, "", summary(), wrote=True) is None
    assert fault_of(409, "", summary(), wrote=True) is None, "409 is read: most rows may be stored"


# ---------------------------------------------------------------- import summaries


def test_settled_only_when_every_row_is_counted() -> None:
    assert read_import(summary(counts=(4, 0, 0, 0)), 4, 0).settled  # 035
    assert read_import(summary(counts=(1, 2, 0, 1)), 4, 0).settled
    assert not read_import(summary(counts=(0, 1, 1, 0)), 2, 0).settled  # 037: ignored = unchanged, perhaps
    assert not read_import(summary(counts=(0, 0, 0, 0)), 1, 0).settled  # 040: a nought in no counter
    assert not read_import(summary(counts=(5, 0, 0, 0)), 4, 0).settled, "more than was sent is no account either"


def test_refused_rows_keep_their_codes_and_the_rest_is_settled() -> None:
    conflicts = [conflict("E7619", 1), conflict("E7610", 2, 4)]
    read = read_import(summary("WARNING", (2, 0, 3, 0), conflicts=conflicts, rejectedIndexes=[1, 2, 4]), 5, 0)  # 160
    assert read.refused == {1: "dhis2.E7619", 2: "dhis2.E7610", 4: "dhis2.E7610"}
    assert read.settled and read.fault is None


def test_a_rejected_row_without_a_conflict_is_refused_too() -> None:
    read = read_import(summary(counts=(0, 0, 1, 0), rejectedIndexes=[0]), 1, 0)  # 061
    assert read.refused == {0: "dhis2.row_refused"}


def test_a_header_conflict_refuses_the_request() -> None:
    conflicts = [{"object": "x", "value": "Data set not found", "errorCode": "E7600", "property": "dataSet"}]
    read = read_import(summary("ERROR", conflicts=conflicts, description="Import process was aborted"), 3, 0)  # 072
    assert read.fault is not None and (read.fault.code, read.fault.verdict) == ("dhis2.E7600", Verdict.REJECTED)


def test_an_import_that_failed_inside_is_tried_three_times() -> None:
    body = summary("ERROR", description="The import process failed: Failed to flush BatchHandler")  # 436
    verdicts = [read_import(body, 3, tries).fault for tries in (0, 1, 2)]
    assert [fault.verdict for fault in verdicts if fault] == [Verdict.UNKNOWN, Verdict.UNKNOWN, Verdict.REJECTED]


@pytest.mark.parametrize(
    "body", [None, [], "x", {}, {"response": None}, {"response": {"importCount": 3}}, {"status": "OK"}]
)
def test_what_is_no_summary_is_unknown(body: Any) -> None:
    fault = read_import(body, 1, 0).fault
    assert fault is not None and fault.verdict is Verdict.UNKNOWN


def test_odd_summaries_do_not_break_the_reader() -> None:
    odd = summary(counts=(1, 0, 0, 0), conflicts=[None, "x", {"indexes": ["a", -1, 99]}], rejectedIndexes=["x", 77])
    read = read_import(odd, 1, 0)
    assert read.refused == {} and not read.settled


def test_the_short_error_names_its_code() -> None:
    fault = read_import({"status": "ERROR", "message": "…", "errorCode": "E2006"}, 1, 0).fault
    assert fault is not None and (fault.code, fault.verdict) == ("dhis2.E2006", Verdict.REJECTED)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (
            {"object": "dataElementOperand", "value": "X needs to be filled. It is compulsory."},
            "dhis2.compulsory_missing",
        ),
        ({"object": "Ou1", "value": "Organisation unit is not in hierarchy of user: x"}, "dhis2.E7617"),
        ({"object": "Ds1", "value": "Data set not found or not accessible"}, "dhis2.completion_refused"),
    ],
)
def test_completions_are_refused_in_words(said: dict[str, Any], code: str) -> None:
    assert completion_fault(summary("ERROR", (0, 0, 1, 0), conflicts=[said])) == code  # 242, 239, 232


# ---------------------------------------------------------------- metadata and probe


def test_the_default_combo_is_found_by_its_name_where_it_has_no_code() -> None:
    combo = {"categoryOptionCombos": [{"id": "Coc12345678", "name": "default"}]}
    wire = {"id": "Ds123456789", "periodType": "Monthly", "categoryCombo": combo}
    assert data_set_of(wire).attribute_combos == {"default": "Coc12345678"}


def test_the_data_sets_own_combo_comes_before_the_elements() -> None:
    own, other = (
        {"categoryOptionCombos": [{"id": uid, "code": code, "name": code}]}
        for uid, code in (("A2345678901", "a"), ("B2345678901", "b"))
    )
    entry = {"categoryCombo": own, "dataElement": {"id": "De123456789", "code": "DE", "categoryCombo": other}}
    wire = {"id": "Ds123456789", "periodType": "Monthly", "categoryCombo": own, "dataSetElements": [entry]}
    assert data_set_of(wire).elements["DE"].combos == {"a": "A2345678901"}


@pytest.mark.parametrize("garbled", ["true", "2", "", "1234567890a", "Ds123456789x", None])
def test_what_is_no_uid_is_not_believed(garbled: Any) -> None:
    combo = {"categoryOptionCombos": [{"id": garbled, "code": "a", "name": "default"}]}
    good = {"categoryOptionCombos": [{"id": "Coc12345678", "code": "a", "name": "default"}]}
    for wire in (
        {"id": garbled, "periodType": "Monthly", "categoryCombo": good},
        {"id": "Ds123456789", "periodType": "Monthly", "categoryCombo": combo},
        {"id": "Ds123456789", "periodType": "Monthly", "categoryCombo": good,
         "organisationUnits": [{"id": garbled, "code": "ML-S1"}]},
    ):  # fmt: skip
        with pytest.raises(TypeError):
            data_set_of(wire)


@pytest.mark.parametrize(
    ("version", "code"),
    [
        ("2.42.5", ""),
        ("2.43.1", ""),
        ("2.38.0", "dhis2.version_from_source"),
        ("2.41.9", "dhis2.version_from_source"),
        ("2.44.0", "dhis2.version"),
        ("2.37.9", "dhis2.version"),
        ("", "dhis2.version"),
    ],
)
def test_versions(version: str, code: str) -> None:
    me = {"authorities": ["ALL"], "organisationUnits": [{"id": "x"}]}
    codes = [f.code for f in examine("dhis2", Asked({"version": version, "calendar": "iso8601"}, me), {}, {})]
    assert codes == ([code] if code else [])


def test_another_calendar_is_a_finding() -> None:
    me = {"authorities": ["ALL"], "organisationUnits": [{"id": "x"}]}
    assert [f.code for f in examine("d", Asked({"version": "2.42.5", "calendar": "ethiopian"}, me), {}, {})] == [
        "dhis2.calendar"
    ]


def test_an_org_unit_that_two_data_sets_expect_is_missing_once() -> None:
    me = {"authorities": ["ALL"], "organisationUnits": [{"id": "x"}]}
    info = {"version": "2.42.5", "calendar": "iso8601"}
    expected = {code: {"org_units": ["ML-X9"]} for code in ("A", "B")}
    sets = {code: DataSet(code, "Monthly", True, {}, {}, {}) for code in expected}
    found = examine("d", Asked(info, me), expected, sets)
    assert [(f.code, f.about) for f in found] == [("dhis2.org_unit_missing", ("org_unit", "ML-X9"))]


def test_a_unit_that_may_not_be_there_is_not_only_to_be_assigned() -> None:
    """``check --live`` alone asks whether it exists; the reason points there."""
    reason = REASONS["dhis2.org_unit_not_assigned"]
    assert all("relais check --live" in words and "org_units.csv" in words for words in (reason.fr, reason.en))
