"""What is asked of a running OpenMRS: a patient with checked identifiers, an encounter with an observation, an
appointment, and taking all of it back.

OpenMRS lets nothing be deleted that something refers to (198, 331), and an appointment cannot be voided by REST. What
was made is therefore voided, cancelled or retired: it is gone for the clinic's staff and stays in its tables.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from connector.sandbox.openmrs import OpenMRSSim
from connector.sandbox.openmrs_rows import DATATYPES
from connector.sandbox.plane import Plane
from tests.truth.live import Simulated, Talk, Trouble, part, rows

_REST, _FHIR = "/ws/rest/v1", "/ws/fhir2/R4"
_ROLE = "a0b03050-c99b-11e0-9572-0800200c9a66"  # "Unknown", which every server has
_MISC = "8d492774-c2cc-11de-8d13-0010c6dffd0f"  # the concept class of core
_WHY = {"reason": "made for a test"}
_ERROR = part("error")


def script(talk: Talk) -> tuple[Simulated, list[str]]:
    session = _session(talk)
    required = _required(talk)
    appointments = talk.send("GET", f"{_REST}/appointmentService/all/default").status_code != 404
    notes = [] if appointments else ["appointments: the server has no appointments module"]
    kinds = _metadata(talk)
    identifiers = [_identifier(kind["uuid"], _next(talk, kind["source"])) for kind in required]
    _patient(talk, identifiers, required)
    _encounter(talk)
    if talk.send("GET", f"{_FHIR}/metadata").status_code == 200:
        view = {"patient": talk.uuid("patient"), "_lastUpdated": "ge2026-01-19", "_count": "100"}
        talk.ask(
            "conditions-of-the-patient", "GET", f"{_FHIR}/Condition", query=view, keep=part("resourceType", "total")
        )
    else:
        notes.append("conditions: the server has no FHIR module; an answer names the diagnosis of the visit alone")
    if appointments:
        _appointment(talk)
    _taken_back(talk)
    profile = "o3" if appointments else "platform2"
    return _simulator(session, required, kinds, profile), notes


def _session(talk: Talk) -> Any:
    answer = talk.send("GET", f"{_REST}/session")
    try:
        found = answer.json()
    except ValueError:
        found = None
    if answer.status_code != 200 or not isinstance(found, dict) or "authenticated" not in found:
        raise Trouble(f"/ws/rest/v1/session does not answer like an OpenMRS ({answer.status_code})")
    if not found["authenticated"]:
        raise Trouble("the account is refused")
    return found


def _required(talk: Talk) -> list[dict[str, str]]:
    """The identifier types that every patient must have, each with the source that makes the next one."""
    view = "custom:(uuid,name,required,validator,locationBehavior)"
    types = rows(_read(talk, "patientidentifiertype", v=view), "results")
    sources = rows(_read(talk, "idgen/identifiersource", v="default"), "results")
    by_type = {(one.get("identifierType") or {}).get("uuid"): one["uuid"] for one in sources}
    found = []
    for one in types:
        if not one.get("required"):
            continue
        if one["uuid"] not in by_type:
            raise Trouble(f"no identifier source makes {one.get('name')}, which every patient must have")
        found.append({"uuid": one["uuid"], "name": str(one.get("name")), "source": by_type[one["uuid"]]})
    return found


def _read(talk: Talk, path: str, **query: str) -> Any:
    answer = talk.send("GET", f"{_REST}/{path}", query=query)
    if answer.status_code in (401, 403):
        raise Trouble(f"the account may not read {path} ({answer.status_code}); an administrator's is needed")
    try:
        return answer.json()
    except ValueError:
        return None


def _next(talk: Talk, source: str) -> str:
    keep = part("nothing")  # the next one is another each time
    found = talk.ask("next-identifier", "POST", f"{_REST}/idgen/identifiersource/{source}/identifier", {}, keep=keep)
    if not isinstance(found, dict) or not found.get("identifier"):
        raise Trouble("the identifier source makes no identifier")
    return str(found["identifier"])


# ---------------------------------------------------------------- what is asked


def _metadata(talk: Talk) -> dict[str, str]:
    """Our own location, identifier type, encounter type, provider and concept: name -> uuid."""
    one = {what: talk.uuid(what) for what in ("location", "type", "visit", "person", "provider", "note")}
    shown = part("uuid", "name", "retired")

    def make(what: str, kind: str, body: dict[str, Any]) -> None:
        if kind != "person":
            talk.undo.append(lambda: _retired(talk, kind, one[what]))
        talk.ask(f"make-{what}", "POST", f"{_REST}/{kind}", {"uuid": one[what], **body}, keep=shown)

    make("location", "location", {"name": talk.name("location"), "description": "made for a test"})
    own = {"name": talk.name("id"), "description": "made for a test", "required": False}
    make("type", "patientidentifiertype", {**own, "uniquenessBehavior": "UNIQUE", "locationBehavior": "NOT_USED"})
    make("visit", "encountertype", {"name": talk.name("visit"), "description": "made for a test"})
    make("person", "person", {"names": [{"givenName": "Relais", "familyName": "Truth"}], "gender": "U"})
    make("provider", "provider", {"person": one["person"], "identifier": talk.name("provider")})
    note = {
        "names": [
            {
                "name": talk.name("note"), "locale": "en", "localePreferred": True,
                "conceptNameType": "FULLY_SPECIFIED",
            }
        ],
        "datatype": DATATYPES["Text"], "conceptClass": _MISC,
        "descriptions": [{"description": "made for a test", "locale": "en"}],
    }  # fmt: skip
    make("note", "concept", note)
    return one


def _identifier(kind: str, value: str, *, preferred: bool = True) -> dict[str, Any]:
    return {"identifier": value, "identifierType": kind, "preferred": preferred}


def _patient(talk: Talk, identifiers: list[dict[str, Any]], required: list[dict[str, str]]) -> None:
    patient, own = talk.uuid("patient"), _identifier(talk.uuid("type"), talk.name("p"), preferred=not identifiers)
    located = [{**one, "location": talk.uuid("location")} for one in identifiers]

    def body(uuid: str, *numbers: dict[str, Any]) -> dict[str, Any]:
        names = [{"givenName": "Relais", "familyName": f"Truth{talk.stamp}", "preferred": True}]
        person = {"uuid": uuid, "names": names, "gender": "F", "birthdate": "1994-03-02", "birthdateEstimated": False}
        return {"person": person, "identifiers": list(numbers)}

    view = {"v": "custom:(uuid,voided,identifiers:(identifier,identifierType:(uuid),voided))"}
    shown = part("uuid", "gender", "voided")
    for uuid in (patient, talk.uuid("another")):
        talk.undo.append(lambda uuid=uuid: _voided(talk, "patient", uuid))  # type: ignore[misc]
    talk.ask("patient", "POST", f"{_REST}/patient", body(patient, *located, own), keep=shown)
    talk.ask("patient-again", "POST", f"{_REST}/patient", body(patient, *located, own), keep=_nothing)
    same = body(talk.uuid("another"), *located, own)
    talk.ask("another-with-the-same-numbers", "POST", f"{_REST}/patient", same, keep=_nothing)
    if required:
        wrong = [{**one, "identifier": _spoiled(one["identifier"])} for one in located]
        spoiled = body(talk.uuid("another"), *wrong)
        talk.ask("wrong-check-digit", "POST", f"{_REST}/patient", spoiled, keep=_nothing)
    talk.ask("no-number", "POST", f"{_REST}/patient", body(talk.uuid("another")), keep=_nothing)
    query = {"identifier": talk.name("p"), **view}
    talk.ask("patient-by-identifier", "GET", f"{_REST}/patient", query=query, keep=_with_number(talk.name("p")))
    talk.ask("patient-read", "GET", f"{_REST}/patient/{patient}", query=view, keep=part("uuid", "voided"))
    talk.ask("nobody", "GET", f"{_REST}/patient/{talk.uuid('nobody')}", keep=_nothing)


def _spoiled(number: str) -> str:
    """The same number with another check digit."""
    return number[:-1] + ("0" if number[-1] != "0" else "1")


def _encounter(talk: Talk) -> None:
    uuid, patient, note = talk.uuid("encounter"), talk.uuid("patient"), talk.uuid("note")
    by = [{"provider": talk.uuid("provider"), "encounterRole": _ROLE}]
    body = {
        "uuid": uuid, "patient": patient, "encounterType": talk.uuid("visit"), "location": talk.uuid("location"),
        "encounterDatetime": "2026-01-20T09:15:00.000+0000", "encounterProviders": by,
        "obs": [{"concept": note, "value": "Relais truth"}],
    }  # fmt: skip
    view = {"v": "custom:(uuid,voided,location:(uuid),obs:(concept:(uuid),value,voided))"}
    shown = part("uuid", "voided", "location", "obs", "concept", "value")
    listed = {"patient": patient, "encounterType": talk.uuid("visit"), "v": "custom:(uuid,voided)"}
    talk.undo.append(lambda: _voided(talk, "encounter", uuid))
    talk.ask("encounter", "POST", f"{_REST}/encounter", body, keep=part("uuid", "voided"))
    talk.ask("encounter-again", "POST", f"{_REST}/encounter", body, keep=_nothing)
    talk.ask("encounter-read", "GET", f"{_REST}/encounter/{uuid}", query=view, keep=shown)
    other = {**body, "uuid": talk.uuid("lost"), "obs": [{"concept": talk.uuid("nowhere"), "value": "x"}]}
    talk.ask("encounter-with-an-unknown-concept", "POST", f"{_REST}/encounter", other, keep=_nothing)
    nobody = {**body, "uuid": talk.uuid("lost"), "patient": talk.uuid("nobody")}
    talk.ask("encounter-of-nobody", "POST", f"{_REST}/encounter", nobody, keep=_nothing)
    talk.undo.append(lambda: _voided(talk, "encounter", talk.uuid("lost")))
    talk.ask("encounters-of-the-patient", "GET", f"{_REST}/encounter", query=listed, keep=part("results", "uuid"))


def _appointment(talk: Talk) -> None:
    talk.undo.append(lambda: _service_gone(talk))
    service = talk.ask(
        "make-service", "POST", f"{_REST}/appointmentService",
        {"name": talk.name("service"), "durationMins": 15, "locationUuid": talk.uuid("location")},
        keep=part("uuid", "name"),
    )  # fmt: skip
    number, day = talk.name("n")[:50], datetime.now().astimezone().replace(hour=8, minute=0, second=0, microsecond=0)
    start = day + timedelta(days=1)
    window = {"startDate": _when(day - timedelta(days=1)), "appointmentNumber": number}
    body = {
        "appointmentNumber": number, "patientUuid": talk.uuid("patient"), "serviceUuid": service["uuid"],
        "startDateTime": _when(start), "endDateTime": _when(start + timedelta(minutes=15)),
        "appointmentKind": "Scheduled", "status": "Scheduled", "locationUuid": talk.uuid("location"),
        "comments": "made for a test", "providers": [],
    }  # fmt: skip
    shown = part("uuid", "appointmentNumber", "status", "voided")
    search = f"{_REST}/appointments/search"
    talk.ask("no-appointment-yet", "POST", search, window, keep=shown)
    made = talk.ask("appointment", "POST", f"{_REST}/appointments", body, keep=shown)
    at = f"{_REST}/appointments/{made['uuid']}"
    talk.undo.append(lambda: _cancelled(talk, at))
    talk.ask("appointment-by-number", "POST", search, window, keep=shown)
    talk.ask("appointment-read", "GET", at, keep=shown)
    talk.ask("appointment-cancelled", "POST", f"{at}/status-change", {"toStatus": "Cancelled"}, keep=shown)
    talk.ask("appointment-cancelled-again", "POST", f"{at}/status-change", {"toStatus": "Cancelled"}, keep=_nothing)


def _taken_back(talk: Talk) -> None:
    encounter, patient = talk.uuid("encounter"), talk.uuid("patient")
    listed = {"patient": patient, "encounterType": talk.uuid("visit"), "v": "custom:(uuid,voided)"}
    view = {"v": "custom:(uuid,voided)"}
    for name in ("encounter-voided", "encounter-voided-again"):
        talk.ask(name, "DELETE", f"{_REST}/encounter/{encounter}", query=_WHY)
    talk.ask("voided-encounter-read", "GET", f"{_REST}/encounter/{encounter}", query=view, keep=part("uuid", "voided"))
    talk.ask("voided-encounters-listed", "GET", f"{_REST}/encounter", query=listed, keep=part("results", "uuid"))
    for name in ("patient-voided", "patient-voided-again"):
        talk.ask(name, "DELETE", f"{_REST}/patient/{patient}", query=_WHY)
    talk.ask("voided-patient-read", "GET", f"{_REST}/patient/{patient}", query=view, keep=part("uuid", "voided"))


def _when(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000%z")


def _nothing(answer: Any) -> Any:
    """Only the status of the answer matters: the words are the server's own."""
    return {}


def _with_number(number: str) -> Any:
    """Of a search the patients who carry exactly this number: a server may find what only begins with it."""

    def keep(answer: Any) -> Any:
        found = [
            {"uuid": row.get("uuid"), "voided": row.get("voided")}
            for row in rows(answer, "results")
            if any(one.get("identifier") == number for one in rows(row, "identifiers"))
        ]
        return {"results": found}

    return keep


# ---------------------------------------------------------------- cleared away


def _voided(talk: Talk, kind: str, uuid: str) -> str | None:
    talk.send("DELETE", f"{_REST}/{kind}/{uuid}", query=_WHY)
    return _still(talk, f"{kind}/{uuid}", "voided")


def _retired(talk: Talk, kind: str, uuid: str) -> str | None:
    talk.send("DELETE", f"{_REST}/{kind}/{uuid}", query=_WHY)
    return _still(talk, f"{kind}/{uuid}", "retired")


def _still(talk: Talk, path: str, gone: str) -> str | None:
    answer = talk.send("GET", f"{_REST}/{path}", query={"v": f"custom:(uuid,{gone})"})
    if answer.status_code == 404:
        return None
    read = rows({"one": [answer.json()]}, "one")[0] if answer.status_code == 200 else {}
    return None if read.get(gone) is True else f"{path} is not {gone} at the OpenMRS ({answer.status_code})"


def _cancelled(talk: Talk, at: str) -> str | None:
    talk.send("POST", f"{at}/status-change", {"toStatus": "Cancelled"})
    answer = talk.send("GET", at)
    status = answer.json().get("status") if answer.status_code == 200 else answer.status_code
    return None if status in ("Cancelled", 404) else f"the appointment {at} is not cancelled ({status})"


def _service_gone(talk: Talk) -> str | None:
    """By its name: the server chooses its uuid."""
    path, name = f"{_REST}/appointmentService", talk.name("service")

    def offered() -> list[str]:
        answer = talk.send("GET", f"{path}/all/default")
        return [one["uuid"] for one in answer.json() if one["name"] == name]

    for uuid in offered():
        talk.send("DELETE", path, query={"uuid": uuid, "void_reason": _WHY["reason"]})
    return f"the appointment service {name} is still offered" if offered() else None


# ---------------------------------------------------------------- the simulator like it


def _simulator(session: Any, required: list[dict[str, str]], kinds: dict[str, str], profile: str) -> Simulated:
    types = [
        {
            "uuid": one["uuid"], "name": one["name"], "required": True, "unique": True, "needs_location": False,
            "check_digit": True,
        }
        for one in required
    ]  # fmt: skip
    data = {
        "users": [{"username": "truth", "password": "truth", "privileges": "all"}],
        "locations": [], "services": [], "encounter_types": [], "identifier_types": types,
        "idgen": [
            {"uuid": one["source"], "name": one["name"], "identifier_type": one["uuid"], "first": "100000"}
            for one in required
        ],
        "providers": [], "encounter_roles": [{"uuid": _ROLE, "name": "Unknown"}], "concepts": [],
    }  # fmt: skip
    sim = OpenMRSSim(data, [], Plane(), profile)
    login = {"authorization": "Basic dHJ1dGg6dHJ1dGg="}
    return Simulated(sim.app, "http://simulator/openmrs", login, made=frozenset({"uuid"}))
