"""The privileges Relais asks for at OpenMRS, against what a running server answered to accounts that lack them."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from connector.adapters.openmrs_answers import classify
from connector.adapters.openmrs_probe import ADVISED, APPOINTMENTS, NEEDED
from connector.model import Severity

from .live_plants import Live
from .test_check_live import openmrs_findings

HERE = Path(__file__).parents[1]
#: What the account of the recordings did with its privileges: each step was carried out.
CARRIED = (
    "726-lp-patient-create", "728-lp-encounter-create", "731-lp-encounter-void", "680-appt-integration-user-search",
)  # fmt: skip
#: What an account without the privilege was answered.
DENIED = {
    "059-nopriv-get-patient": 403, "073-idgen-next-nopriv": 403, "753-reader-rest-encounter-create": 403,
    "741-lp-fhir-condition-search": 500,
    "636-appt-services-list-nopriv": 403, "679-appt-integration-user-create": 400, "681-appt-nopriv-create": 400,
}  # fmt: skip


@lru_cache(maxsize=1)
def recorded() -> dict[str, dict[str, Any]]:
    lines = (HERE / "recordings/openmrs-2.8.ndjson").read_bytes().splitlines()
    return {row["recording"]: row for row in map(orjson.loads, lines)}


def least() -> set[str]:
    """The privileges of the account that carried the whole flow by REST, as its session told them."""
    user = recorded()["058-session-integration-user"]["answer"]["user"]
    return {one["display"] for one in user["privileges"]}


def asked(answer: Any) -> set[str]:
    """``Privileges required: A,B``: the server takes any of these."""
    said = answer["error"]["message"] if "error" in answer else answer["issue"][0]["diagnostics"]
    found = re.search(r"Privileges required: ([\w ,]+)", said)
    assert found
    return {name.strip() for name in found[1].split(",")}


def missing(held: Collection[str]) -> dict[str, Severity]:
    """What the doctor says an account lacks, whose sessions show these privileges."""
    live = Live("", "openmrs", "", "", ("", ""), lambda data, _: data["users"][0].update(privileges=list(held)))
    codes = ("openmrs.may_not_write", "openmrs.privilege_advised")
    found = [one for one in openmrs_findings(live) if one.code in codes]
    return {one.message.rpartition(" privilege ")[2]: one.severity for one in found}


def test_the_account_that_carried_the_flow_lacks_only_what_it_was_refused() -> None:
    for name in CARRIED:
        assert recorded()[name]["status"] in (200, 201, 204), name
    found = missing(least())
    # 635, 679: it could make no appointment; 741: of FHIR it was refused the conditions, before it got to the second
    warned = {"Get Diagnoses": Severity.WARNING, "Get Conditions": Severity.WARNING}
    assert found == {"View Appointment Services": Severity.ERROR, **warned}
    assert "Delete Encounters" not in least(), "a void was carried out without it (731): it is not asked for"
    assert not [names for names in (*NEEDED, *APPOINTMENTS) if "Delete Encounters" in names]


@pytest.mark.parametrize("name", DENIED)
def test_the_doctor_names_what_the_server_refused_for(name: str) -> None:
    row = recorded()[name]
    assert row["status"] == DENIED[name] and classify(row["status"], row["answer"]) == "openmrs.privilege"
    refused_for = asked(row["answer"])
    everything = {*(one for names in (*NEEDED, *APPOINTMENTS) for one in names), *ADVISED}
    found = missing(everything - refused_for)
    errors = {name for name, severity in found.items() if severity is Severity.ERROR}
    if row["status"] == 500:  # 741: without what was recorded of her a referral goes all the same
        assert not errors and found.keys() == refused_for
        return
    assert len(errors & refused_for) == 1, "one by one, and one is enough for the server"
    assert errors <= refused_for
    for one in refused_for & everything:  # with any of them the server takes it, so nothing stops
        assert Severity.ERROR not in missing((everything - refused_for) | {one}).values(), one


def test_all_that_is_asked_for_is_documented_and_enough() -> None:
    wanted = [names[0] for names in (*NEEDED, *APPOINTMENTS)]
    assert missing([*wanted, *ADVISED]) == {}
    page = (HERE.parent / "docs/sysadmin.md").read_text(encoding="utf-8")
    table = page[page.index("## The account at OpenMRS") :].split("\n## ")[0]
    listed = re.findall(r"`([A-Z][\w ]+)`", table)
    assert sorted(set(listed)) == sorted({*wanted, *ADVISED})
