"""Every code the servers are known to answer with: its verdict, who must act, and a sentence in both languages.

The tables are those of the notes on the servers, not of the adapters: a code the adapters do not know fails here.
Where a running server was seen to mean another thing, the line says which observation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from connector.adapters import dhis2_answers as dhis2
from connector.adapters import openmrs_answers as openmrs
from connector.adapters.reasons import Reason
from connector.model import Verdict, Who

ADMIN, MAPPING, SYSADMIN, MINISTRY, NOBODY = Who.TARGET_ADMIN, Who.MAPPING, Who.SYSADMIN, Who.MINISTRY, Who.NOBODY
CREDENTIALS, CLINIC, CHW = Who.CREDENTIALS, Who.CLINIC, Who.CHW_DATA
A, R, D, U = Verdict.ACCEPTED, Verdict.REJECTED, Verdict.DEFERRED, Verdict.UNKNOWN

# ---------------------------------------------------------------- DHIS2

#: Aggregate values: (up to 2.42, since 2.43, verdict, who). A refusal that only a change of data, mapping, metadata or
#: access ends is parked; what depends on time or state waits; what only a wrong request brings is ours.
AGGREGATE = (
    ("E7600", "E8005 E8004", R, MAPPING),  # data set not found
    ("E7601", "E8010", R, ADMIN),  # no data write sharing
    ("E7603 E7612", "E8107 E8106 E8105", R, MAPPING),  # org unit not found, bad or missing
    ("E7636", "E8022", R, ADMIN),  # org unit not assigned: that is done in DHIS2
    ("E7604 E7613 E7615", "E8108 E8109 E8110 E8111 E8126 E8127", R, MAPPING),  # option combos not found
    ("E7610", "E8102 E8103 E8104 E8020", R, MAPPING),  # data element not found, or not in the data set
    ("E7611", "", D, NOBODY),  # a good period was refused by a race and after a restart: findings 0.2
    ("", "E8100", R, SYSADMIN),  # period missing
    ("E7614 E7616", "E8012", R, ADMIN),  # no write access to a category option
    ("E7617", "E8011", R, ADMIN),  # outside the capture hierarchy
    ("E7618", "E8120 E8121", R, SYSADMIN),  # value missing
    ("E7619 E7621 E7620", "E8122 E8123 E8124", R, MAPPING),  # type, option, comment
    ("E7637", "E8125", R, SYSADMIN),  # storedBy: ours
    ("E7630 E7631", "", R, MAPPING),  # option combo required by a setting
    ("E7632", "E8021", R, MAPPING),  # period type
    ("E7633 E7634 E7635", "E8024 E8023", R, MAPPING),  # strict checks
    ("E7638 E7639", "E8032 E8025", R, ADMIN),  # period or org unit not valid for the attribute option combo
    ("E7640", "E8030", D, MINISTRY),  # past its expiry
    ("", "E8031", D, ADMIN),  # org unit closed, or not open yet: its dates
    ("E7641", "", D, NOBODY),  # opens by itself; since 2.43 E8030 before the period is over, see below
    ("E7642", "E8033", D, MINISTRY),  # approved
    ("E7643 E7644", "", D, MINISTRY),  # input period not open
    ("E7645", "", R, MAPPING),  # file resource
    ("", "E8000 E8002 E8003 E8007 E8008 E8009 E8128", R, SYSADMIN),  # ours
)
#: POST /api/tracker: (codes, verdict, who).
TRACKER = (
    ("E1000 E1001 E1003 E1091 E1095 E1096 E1099 E1102 E1104 E1083", R, ADMIN),
    ("E1005 E1006 E1010 E1011 E1013 E1049 E1068 E1069 E1070 E1115 E1116 E1117", R, MAPPING),
    ("E1002 E1030 E1080 E1063 E1032 E1081 E1048", R, SYSADMIN),
    ("E1007 E1302 E1125 E1077 E1012 E1084 E1085", R, MAPPING),
    ("E1018 E1090 E1303 E1121 E1122 E1123 E1124 E1025 E1031", R, MAPPING),
    ("E1019 E1304 E1305 E1022 E1029 E1041 E1079 E1089", R, MAPPING),
    ("E1020 E1021", D, NOBODY),
    ("E1043 E1047 E1326", D, MINISTRY),
    ("E1056 E1057 E1126 E1127 E1128", R, ADMIN),
    ("E1064 E1015 E1016 E1039 E4018", R, ADMIN),
    ("E1300 E1301 E1306 E1307 E1309 E1314 E1317", R, MAPPING),
    ("E1308 E1310", A, NOBODY),
    ("E1082 E1113 E1114 E4017", R, ADMIN),
    ("E5000 E9999", D, NOBODY),
    # Not in the notes: the other codes of dhis2-core's ValidationCode, 2.42.5 and 2.43.1.
    ("E1100 E1103 E1112 E4020 E1051 E1052 E1315 E1316", R, ADMIN),
    ("E1008 E1009 E1014 E1023 E1033 E1046 E1050 E1054 E1055 E1074 E1075 E1076 E1118 E1120 E1313", R, MAPPING),
    ("E4000 E4001 E4006 E4010 E4012 E4014", R, MAPPING),
    ("E1119 E4015 E4016", R, SYSADMIN),
)


def codes_of_dhis2() -> Iterator[tuple[str, Verdict, Who]]:
    for legacy, v43, verdict, who in AGGREGATE:
        yield from ((code, verdict, who) for code in f"{legacy} {v43}".split())
    for codes, verdict, who in TRACKER:
        yield from ((code, verdict, who) for code in codes.split())


def speaks(reason: Reason) -> None:
    """Two languages, and more than a name."""
    for words in (reason.fr, reason.en):
        assert len(words) > 25 and words.endswith("."), words
    assert reason.fr != reason.en


@pytest.mark.parametrize(("code", "verdict", "who"), list(codes_of_dhis2()), ids=lambda one: str(one))
def test_a_code_of_dhis2(code: str, verdict: Verdict, who: Who) -> None:
    reason = dhis2.REASONS[f"dhis2.{code}"]
    assert (reason.verdict, reason.who) == (verdict, who)
    assert code in reason.fr and code in reason.en
    assert verdict is A or ("Relais" in reason.fr and "Relais" in reason.en), "what Relais does now"
    speaks(reason)


def test_no_code_is_twice_in_the_notes_and_none_is_made_up_by_us() -> None:
    listed = [code for code, _, _ in codes_of_dhis2()]
    assert len(listed) == len(set(listed)) > 130
    assert {one.removeprefix("dhis2.") for one in dhis2.REASONS if dhis2._CODE.fullmatch(one[6:])} == set(listed)


def legacy_answer(code: str, *, row: int | None = 0, stored: int = 0) -> dict[str, Any]:
    conflict = {"value": "words", "errorCode": code, **({} if row is None else {"indexes": [row]})}
    return {
        "status": "WARNING",
        "response": {
            "status": "WARNING" if row is not None else "ERROR",
            "importCount": {"imported": stored, "updated": 0, "ignored": 1, "deleted": 0},
            "conflicts": [conflict],
            "rejectedIndexes": [] if row is None else [row],
        },
    }


@pytest.mark.parametrize("code", ["E7999", "E8999", "E1999", "E0000", "", "no code", None, 8020])
def test_an_unknown_code_of_dhis2_is_never_success(code: Any) -> None:
    """Not of a row, nor of the whole request, not even beside counters that say everything is stored."""
    for stored in (0, 1, 2):
        of_row = dhis2.read_import(legacy_answer(code, stored=stored), 2, 0)
        assert dhis2.reason(of_row.refused[0]).verdict is Verdict.REJECTED
        whole = dhis2.read_import(legacy_answer(code, row=None, stored=stored), 2, 0)
        assert not whole.settled
        assert dhis2.reason(whole.loose).verdict is Verdict.REJECTED
    reason = dhis2.reason("dhis2.E8999")
    assert "E8999" in reason.fr and "E8999" in reason.en
    speaks(reason)


#: A status with its body: (status, location, body, code, verdict, is the whole target at fault).
BY_HTTP = (
    (400, "", {"message": "Invalid value for parameter"}, "dhis2.bad_request", R, False),
    (400, "", {"message": "Checksum validation failed"}, "dhis2.credentials_token", D, True),  # findings 3: mistyped
    (401, "", {"message": "Unauthorized"}, "dhis2.credentials", D, True),
    (401, "", {"message": "Account locked"}, "dhis2.credentials_locked", D, True),
    (401, "", {"message": "Account disabled"}, "dhis2.credentials_locked", D, True),
    (401, "", {"message": "The API token does not exist"}, "dhis2.credentials_token", D, True),
    (403, "", {"message": "Access is denied"}, "dhis2.credentials_no_authority", D, True),
    (404, "", None, "dhis2.wrong_address", D, True),
    (405, "", {"message": "Method not allowed"}, "dhis2.bad_request", R, False),
    (415, "", {"message": "Unsupported media type"}, "dhis2.bad_request", R, False),
    (413, "", None, "dhis2.too_big", R, False),
    (429, "", None, "dhis2.busy", D, True),
    (500, "", {"message": "x"}, "dhis2.server_error", U, False),
    (502, "", None, "dhis2.server_error", U, False),
    (503, "", None, "dhis2.unavailable", D, True),
    (504, "", None, "dhis2.server_error", U, False),
    (302, "http://x/dhis-web-login/", None, "dhis2.credentials_login_page", D, True),
    (301, "http://x/dhis/", None, "dhis2.wrong_address", D, True),
    (200, "", None, "dhis2.unreadable_answer", U, False),
)


@pytest.mark.parametrize("row", BY_HTTP, ids=lambda row: f"{row[0]}-{row[3]}")
def test_a_status_of_dhis2(row: tuple[int, str, Any, str, Verdict, bool]) -> None:
    status, location, body, code, verdict, of_target = row
    fault = dhis2.fault_of(status, location, body, wrote=True)
    assert fault is not None
    assert (fault.code, fault.verdict, fault.of_target) == (code, verdict, of_target)
    speaks(dhis2.REASONS[code])


def test_an_import_that_breaks_inside_dhis2_is_tried_three_times() -> None:
    """The same words stand for passing and for lasting faults: findings 0.7."""
    count = dict.fromkeys(("imported", "updated", "ignored", "deleted"), 0)
    said = {"status": "ERROR", "response": {
        "status": "ERROR", "importCount": count, "conflicts": [], "description": "The import process failed: null",
    }}  # fmt: skip
    verdicts = [fault.verdict for tries in range(3) if (fault := dhis2.read_import(said, 1, tries).fault)]
    assert verdicts == [Verdict.UNKNOWN, Verdict.UNKNOWN, Verdict.REJECTED]


# ---------------------------------------------------------------- OpenMRS


def message(text: str) -> Any:
    return {"error": {"message": text, "code": "org.openmrs.X:1", "detail": "", "rawMessage": text}}


def everywhere(text: str) -> Any:
    errors = [{"code": text, "message": text}]
    return {"error": {"message": "Invalid Submission", "code": "x", "globalErrors": errors, "fieldErrors": {}}}


def field(name: str) -> Any:
    errors = {name: [{"code": "error.null", "message": "Cannot be empty or null"}]}
    return {"error": {"message": "Invalid Submission", "code": "x", "globalErrors": [], "fieldErrors": errors}}


PAGE = "page"  #: a web page instead of JSON
#: (status, body, verdict, who): what REST answers, by the notes' section on errors and what the running server did.
ANSWERS: tuple[tuple[int, Any, Verdict, Who], ...] = (
    # ours exists, or may: never success by itself, never final either; the row is looked for by our own id
    (500, message("[could not execute statement => Duplicate entry 'x' for key 'uuid']"), D, ADMIN),
    (500, message("[A different object with the same identifier value was already associated]"), D, ADMIN),
    # permanent, whatever the status
    (500, message("[org.hibernate.TransientObjectException: object references an unsaved instance]"), R, ADMIN),
    (400, everywhere("Identifier 10000X already in use by another patient"), R, CLINIC),
    (400, everywhere("Invalid check digit for identifier: 10000X"), R, ADMIN),
    (400, everywhere('Identifier "x" does not match : "[0-9]+"'), R, ADMIN),
    (400, everywhere("Identifier Location cannot be null for 10000X"), R, ADMIN),
    (400, everywhere("words no table knows"), R, ADMIN),
    (400, message("[Some properties are not allowed to be set: foo]"), R, SYSADMIN),
    (400, message("[JSON parse error: Unexpected end-of-input]"), R, SYSADMIN),
    (404, message("Object with given uuid doesn't exist [null]"), R, ADMIN),
    (500, message("[Patient is missing the following required identifier(s): OpenMRS ID]"), R, ADMIN),
    (500, message("[could not execute statement => Column 'provider_id' cannot be null]"), R, ADMIN),
    (500, message("[could not execute statement => Incorrect string value: '...']"), R, ADMIN),
    (500, message("[Editing the fields [location] on Obs is not allowed]"), R, SYSADMIN),
    (500, message("[StartDate is not provided]"), R, SYSADMIN),
    (500, message("[Appointment status can not be changed from Scheduled to Requested]"), R, ADMIN),
    (500, message("[Appointment does not exist]"), R, ADMIN),
    (500, message("[Administrator has set absolute limit at 100]"), R, SYSADMIN),
    (500, message("[If you specify a number of results to return, it must be >0 and not null]"), R, SYSADMIN),
    (500, message("[query must not be null]"), R, SYSADMIN),
    (500, message("[Content type 'text/plain;charset=UTF-8' not supported]"), R, SYSADMIN),
    (415, PAGE, R, ADMIN),
    (400, field("gender"), R, CHW),
    (400, field("encounterType"), R, ADMIN),
    (400, field("encounterDatetime"), R, SYSADMIN),
    (400, field("valueNumeric"), R, MAPPING),
    (200, {"cause": None, "stackTrace": [], "message": "Request method 'PUT' not supported"}, R, SYSADMIN),  # for 405
    (200, message("words"), R, ADMIN),
    # the account; a 400 of the appointments and a 500 may be a matter of login too
    (401, message("User is not logged in [Privileges required: Get Patients]"), D, CREDENTIALS),
    (401, PAGE, D, CREDENTIALS),  # "Session timed out": the request may have been carried out
    (403, message("User is logged in but doesn't have the privilege [Privileges required: Add Patients]"), D, ADMIN),
    (403, PAGE, D, ADMIN),  # not of a privilege: the machine's address
    (400, message("Privileges required: Manage Appointments [Privileges required: Manage Appointments]"), D, ADMIN),
    (500, message("Privileges required: Get Patients"), D, ADMIN),
    # passing
    (500, message("[words no table knows]"), D, ADMIN),
    (502, PAGE, D, ADMIN),
    (503, PAGE, D, NOBODY),
    (429, None, D, NOBODY),
    (200, PAGE, D, SYSADMIN),  # the page shown while it starts
    (302, None, D, ADMIN),  # not installed
)  # fmt: skip


def in_short(row: tuple[int, Any, Verdict, Who]) -> str:
    return f"{row[0]}-{row[1] if isinstance(row[1], str) else openmrs.short(row[1])[:60]}"


@pytest.mark.parametrize("row", ANSWERS, ids=in_short)
def test_an_answer_of_openmrs(row: tuple[int, Any, Verdict, Who]) -> None:
    status, body, verdict, who = row
    page = body == PAGE
    code = openmrs.classify(status, None if page else body, html=page)
    assert code is not None, "not success"
    reason = openmrs.REASONS[code]
    assert (reason.verdict, reason.who) == (verdict, who), code
    speaks(reason)


def test_a_refusal_by_address_is_told_apart_from_one_for_a_privilege() -> None:
    assert openmrs.classify(403, None, html=True) == "openmrs.address_refused" in openmrs.OF_TARGET
    assert "allowedips" in openmrs.REASONS["openmrs.address_refused"].en


@pytest.mark.parametrize("body", [None, {}, message("words"), {"error": "msg"}, {"stackTrace": []}, [], PAGE], ids=str)
def test_nothing_of_openmrs_but_a_2xx_without_an_error_is_success(body: Any) -> None:
    for status in (*range(200, 204), *range(205, 600)):
        page = body == PAGE or (body is None and status < 300)
        code = openmrs.classify(status, None if page else body, html=page)
        told = isinstance(body, Mapping) and bool(body)
        assert (code is None) == (status < 300 and not page and not told), status
        assert code is None or code in openmrs.REASONS
