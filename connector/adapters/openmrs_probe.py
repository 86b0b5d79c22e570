"""Is this OpenMRS ready for referrals: account, modules, every uuid of ``openmrs.yaml``, the clock.

The server drops an unknown location without a word and answers 500 to an unknown provider (findings, point 7), so this
check is part of the safety, not a convenience.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from connector.adapters.openmrs_answers import REASONS
from connector.adapters.openmrs_rest import Rest, Stop, listed
from connector.model import Finding, Severity, Who

#: The server refuses an encounter that lies 90 seconds ahead of its clock (recordings/openmrs-2.8/289).
_SKEW_SECONDS = 60


async def probe(
    rest: Rest, openmrs: Mapping[str, Any], profile: str, now: Callable[[], datetime] | None
) -> list[Finding]:
    """Findings for what is not as it should be; an empty list when all is well."""
    try:
        session = await rest.get("session")
        if not (session or {}).get("authenticated"):
            return [_error("openmrs.credentials", REASONS["openmrs.credentials"].en, who=Who.CREDENTIALS)]
        modules = await rest.get("module", v="custom:(moduleId,started)", limit="100")
        findings = list(_modules(modules or {}, profile))
        if not findings:
            for path, reference, place in _references(openmrs, profile):
                findings += await _check(rest, path, reference, place)
            if profile == "o3":
                findings += await _services(rest, openmrs)
        if now is not None:
            findings += await _clock(rest, now)
        return findings
    except Stop as stop:
        reason = REASONS[stop.code]
        return [_error(stop.code, reason.en, who=reason.who)]


def _modules(answer: Mapping[str, Any], profile: str) -> Iterator[Finding]:
    started = {str(m.get("moduleId")) for m in listed(answer.get("results") or []) if m.get("started")}
    wanted = ["webservices.rest", "idgen", *(["appointments"] if profile == "o3" else [])]
    for module in wanted:
        if module not in started:
            fix = "Install and start it" + (", or choose the profile platform2." if module == "appointments" else ".")
            yield _error("openmrs.module_missing", f"The module {module} is not running.", fix)


def _references(openmrs: Mapping[str, Any], profile: str) -> Iterator[tuple[str, str, str]]:
    """Every (resource, uuid, place in openmrs.yaml)."""
    for name, uuid in (openmrs.get("identifier_types") or {}).items():
        yield "patientidentifiertype", uuid, f"identifier_types.{name}"
    yield "idgen/identifiersource", openmrs["idgen_source"], "idgen_source"
    yield "encountertype", openmrs["encounter_type"], "encounter_type"
    for uuid in openmrs.get("clinical_encounter_types") or ():
        yield "encountertype", uuid, "clinical_encounter_types"
    for name, path in (("provider", "provider"), ("encounter_role", "encounterrole")):
        if openmrs.get(name):
            yield path, openmrs[name], name
    for area, place in (openmrs.get("places") or {}).items():
        yield "location", place["location"], f"places.{area}.location"
    seen: set[str] = set()
    for place, reference in _concepts(openmrs):
        if reference not in seen:
            seen.add(reference)
            yield "concept", reference, place


def _concepts(openmrs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, uuid in (openmrs.get("concepts") or {}).items():
        yield f"concepts.{name}", uuid
    for question, answers in (openmrs.get("answers") or {}).items():
        for name, uuid in answers.items():
            yield f"answers.{question}.{name}", uuid
    for name, rule in (openmrs.get("observations") or {}).items():
        yield f"observations.{name}.concept", rule["concept"]
        if "value" in rule:
            yield f"observations.{name}.value", rule["value"]
        for option, uuid in (rule.get("answers") or {}).items():
            yield f"observations.{name}.answers.{option}", uuid


async def _check(rest: Rest, path: str, reference: str, place: str) -> list[Finding]:
    idgen = path.startswith("idgen")
    row = await rest.get(f"{path}/{reference}", **({} if idgen else {"v": "custom:(uuid,display,retired)"}))
    if row is None:
        text = f"{place}: OpenMRS has no {path} {reference}."
        return [_error("openmrs.metadata_missing", text, "Correct openmrs.yaml or create it: relais setup openmrs.")]
    if row.get("retired"):
        text = f"{place}: {path} {reference} is retired in OpenMRS."
        return [_error("openmrs.metadata_missing", text, "Choose a living one in openmrs.yaml.")]
    return []


async def _services(rest: Rest, openmrs: Mapping[str, Any]) -> list[Finding]:
    services = {str(s.get("uuid")) for s in await rest.list("appointmentService/all/default")}
    return [
        _error(
            "openmrs.metadata_missing",
            f"places.{area}.service: OpenMRS has no appointment service {uuid}.",
            "Create the service in OpenMRS or correct openmrs.yaml.",
        )
        for area, place in (openmrs.get("places") or {}).items()
        if (uuid := place.get("service")) not in services
    ]


async def _clock(rest: Rest, now: Callable[[], datetime]) -> list[Finding]:
    """Compare the ``Date`` of an answer with our clock."""
    try:
        response = await rest.client.get("/ws/rest/v1/session")
        there = parsedate_to_datetime(response.headers["date"])
    except (httpx.HTTPError, KeyError, ValueError, TypeError, OverflowError):
        return []
    behind = (now() - (there if there.tzinfo else there.replace(tzinfo=UTC))).total_seconds()
    if abs(behind) <= _SKEW_SECONDS:
        return []
    word = "behind" if behind > 0 else "ahead of"
    text = f"The clock of OpenMRS is {abs(behind):.0f} s {word} ours."
    return [
        _error(
            "openmrs.clock",
            text,
            "Set both machines by NTP: OpenMRS refuses visits in its future.",
            who=Who.SYSADMIN,
            severity=Severity.ERROR if behind > 0 else Severity.WARNING,
        )
    ]


def _error(
    code: str, message: str, fix: str = "", *, who: Who = Who.TARGET_ADMIN, severity: Severity = Severity.ERROR
) -> Finding:
    return Finding(code, severity, message, fix, file="openmrs.yaml", who=who)
