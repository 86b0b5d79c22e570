"""Is this DHIS2 fit for the pack? Pure: from what was read to findings with a fix each.

``expected``: {data set code: {"period_type": "Monthly", "elements": {element code: [combo code, ...]},
"org_units": [code, ...]}}, every key optional. An empty result means all is well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from connector.adapters.dhis2_metadata import DataSet
from connector.adapters.reasons import Reason
from connector.model import Finding, Severity, Who


def unreachable(code: str, why: Reason) -> Finding:
    return Finding(code, Severity.ERROR, why.en, who=why.who)


def examine(
    name: str,
    info: Mapping[str, Any],
    me: Mapping[str, Any],
    expected: Mapping[str, Any],
    found: Mapping[str, DataSet | None],
) -> list[Finding]:
    """Findings for the server's version, our user and each expected data set."""
    roots = {str(unit["id"]) for unit in _listed(me, "organisationUnits") if isinstance(unit, Mapping) and "id" in unit}
    findings = [*_server(name, info), *_user(me, roots)]
    for code, wanted in expected.items():
        data_set = found.get(code)
        if data_set is None:
            findings.append(
                _bad(
                    "dhis2.data_set_missing",
                    f"data set {code} is not in DHIS2",
                    "mend the code, or run `relais setup dhis2`",
                )
            )
            continue
        findings += _data_set(code, wanted, data_set)
        findings += _elements(code, wanted.get("elements", {}), data_set)
        findings += _units(code, wanted.get("org_units", ()), data_set, roots)
    return findings


def _server(name: str, info: Mapping[str, Any]) -> Iterator[Finding]:
    version = str(info.get("version", ""))
    match = re.match(r"2\.(\d+)", version)
    if match is None or not 38 <= int(match[1]) <= 42:
        yield _bad(
            "dhis2.version",
            f"{name} is DHIS2 {version or 'of unknown version'}; its importer is not supported (2.38 to 2.42 are)",
            "keep this target in shadow mode until a version of Relais supports it",
            Who.SYSADMIN,
        )
    calendar = info.get("calendar", "iso8601")
    if calendar not in ("iso8601", "gregorian"):
        yield _bad(
            "dhis2.calendar",
            f"{name} counts in the {calendar} calendar; Relais sends ISO periods",
            "do not send to this server",
            Who.SYSADMIN,
        )


def _listed(body: Mapping[str, Any], name: str) -> list[Any]:
    value = body.get(name)
    return value if isinstance(value, list) else []


def _user(me: Mapping[str, Any], roots: set[str]) -> Iterator[Finding]:
    who = Who.TARGET_ADMIN
    if not {"ALL", "F_DATAVALUE_ADD"} & set(map(str, _listed(me, "authorities"))):
        yield _bad(
            "dhis2.credentials_no_authority", "our user may not enter data", "give it a role with F_DATAVALUE_ADD", who
        )
    if not roots:
        yield _bad(
            "dhis2.E7617",
            "our user has no org unit for data entry",
            "give it the top of the hierarchy Relais reports for",
            who,
        )


def _data_set(code: str, wanted: Mapping[str, Any], data_set: DataSet) -> Iterator[Finding]:
    if not data_set.writable:
        yield _bad(
            "dhis2.E7601",
            f"our user may not write data of {code}",
            "share the data set with data write access",
            Who.TARGET_ADMIN,
        )
    kind = wanted.get("period_type", data_set.period_type)
    if kind != data_set.period_type:
        yield _bad(
            "dhis2.period_type",
            f"{code} is {data_set.period_type} in DHIS2 and {kind} in the pack",
            "mend the period type",
        )


def _elements(code: str, wanted: Mapping[str, Any], data_set: DataSet) -> Iterator[Finding]:
    for element_code, combos in wanted.items():
        element = data_set.elements.get(element_code)
        if element is None:
            yield _bad(
                "dhis2.element_missing",
                f"data element {element_code} is not in {code}",
                "mend the code, or add it to the data set",
            )
            continue
        missing = [combo for combo in combos if combo not in element.combos]
        if missing:
            shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            yield _bad(
                "dhis2.combo_missing",
                f"data element {element_code} has no option combo {shown}",
                "mend the category codes, or the data element's category combo",
            )
        if not element.zero_counts:
            yield Finding(
                "dhis2.zero_not_significant",
                Severity.WARNING,
                f"data element {element_code} does not store noughts: a figure that falls to 0 disappears",
                "set zeroIsSignificant on the data element",
                who=Who.TARGET_ADMIN,
            )


def _units(code: str, wanted: Any, data_set: DataSet, roots: set[str]) -> Iterator[Finding]:
    who = Who.TARGET_ADMIN
    for unit_code in wanted:
        unit = data_set.units.get(unit_code)
        if unit is None:
            yield _bad(
                "dhis2.org_unit_not_assigned",
                f"org unit {unit_code} is not assigned to {code}",
                "assign it, or mend org_units.csv",
                who,
            )
        elif roots and not roots & set(unit.path.split("/")):
            yield _bad(
                "dhis2.E7617",
                f"org unit {unit_code} is outside the hierarchy of our user",
                "give our user a unit above it",
                who,
            )
        elif unit.closed:
            yield Finding(
                "dhis2.org_unit_closed",
                Severity.WARNING,
                f"org unit {unit_code} closed on {unit.closed}",
                "end its line in org_units.csv",
                who=who,
            )


def _bad(code: str, message: str, fix: str, who: Who = Who.MAPPING) -> Finding:
    return Finding(code, Severity.ERROR, message, fix, who=who)
