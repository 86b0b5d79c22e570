"""OpenMRS 2.8 with REST, idgen, appointments and FHIR2: what its recordings leave unsaid."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from connector.sandbox.openmrs import OpenMRSSim
from connector.sandbox.openmrs_metadata import own_uuid
from connector.sandbox.plane import App, Plane
from tests.truth.recorded import PLACE, Exchange

#: Part of a recording's name -> whose login it used; the others are the administrator's.
_USERS = {
    "nopriv": "nopriv",
    "integration": "chwsync",
    "lp-": "chwsync",
    "reader-": "chwreader",
    "lockout": "chwreader",
    "two-logins": "chwsync",
    "colon-password": "colonuser",
}

#: The server's clock, where an answer shows it.
_CLOCK = {"290": "2026-11-22T19:42:35+03:00", "821": "2026-11-22T19:58:10+03:00", "822": "2026-11-22T23:00:00+03:00"}
_AMINA = "d6385c4e-f872-5839-bc6f-72e87085a040"  # 079
_OTHER = "abbfa2b9-a68b-5ddb-b3cc-fcee492f68f2"
_SUPER_USER = own_uuid("user", "admin")  # 036, 587
_PROVIDER = "3343a9db-37af-5ed7-b073-6e5401b95464"
_ODD = {"047": "Basic not-base-64", "048": "Bearer nonsense"}


class OpenMrs:
    """What the server held at first is ``openmrs.json``: what core brings, the generator of OpenMRS IDs (006), the
    concepts (013-035) and the users (052-055)."""

    base_url = "http://127.0.0.1:8086"
    left_out = frozenset({
        "links",  # addresses of each object
        "detail",  # the stack trace of the server's own program
        "auditInfo",  # times, and who
        "userProperties",  # times of logins, and of failures
        "div",  # the same again, as a page
        "dateCreated",  # a time
    })  # fmt: skip
    moment = re.compile(
        r"\b(?:org|java)\.[\w.]+:\d+$"  # the class and line of the server's own program
        r"|(?<=Patient#)\d+"  # the row in its table
        r"|(?<=JSON parse error: )[\s\S]*"  # words of its JSON parser
        r"|(?<=request body is missing): (?:.*(?=\])|.*)"  # a method of it
        r"|(?<=for object: Encounter): \[.*\] of class: class org\.openmrs\.Encounter"  # rows of its tables
    )
    made = frozenset({"uuid"})
    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    _loose: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "265": {"display": "a date and time in words of the server's language"},
        "861": {"patient": "she was changed by exchanges that are not kept"},
        "317": {"obs": "which observations move with their encounter is not known"},
    }
    #: Lists of rows that exchanges made which are not kept: of these what a row looks like.
    _counted = frozenset({"891", "892"})

    def __init__(self) -> None:
        self.sim = OpenMRSSim(json.loads((PLACE / "openmrs.json").read_text("utf-8")), [], Plane())

    def app(self) -> App:
        return self.sim.app

    def before(self, exchange: Exchange) -> None:
        rows = self.sim.rows
        if exchange.number == "184":  # made without being recorded, as 191 has it
            self.sim._known_patient(
                {
                    "uuid": "92cad11a-5a7b-51f9-a7ae-bc4c78133b5b", "given": "Void", "family": "Me", "gender": "F",
                    "birthdate": "1994-03-02", "identifiers": [{"type": "OpenMRS ID", "value": "100016H"}],
                }
            )  # fmt: skip
            rows.patients["92cad11a-5a7b-51f9-a7ae-bc4c78133b5b"]["person"]["preferredAddress"] = dict(
                rows.patients[_AMINA]["person"]["preferredAddress"], uuid=rows.new_uuid(), voided=True
            )
            renamed = rows.patients[_OTHER]["person"]  # 181
            for one in (renamed, *renamed["names"]):
                one["display"] = "New Name"
            rows.refresh_display(rows.patients[_OTHER])
        if exchange.number == "199":
            rows.patients["92cad11a-5a7b-51f9-a7ae-bc4c78133b5b"]["person"]["gender"] = "M"  # 193
        if exchange.number == "220":
            rows.locations["b96ee74a-4214-5daf-ad26-efd8865f1e55"]["retired"] = True  # 218
        if exchange.number == "276":
            self._encounter("1dc70b3a-b1d3-5036-bc9d-9ec62e432bf3", _AMINA)  # 274
        if exchange.number == "320":  # 317
            moved = rows.encounters["86221f23-9504-5bbd-b32a-79321653f3ae"]
            moved["location"] = rows.by_uuid_or_name(rows.locations, "Outpatient Clinic")
        if exchange.number == "378":  # what the races left (351-359)
            self._encounter("fc39e34f-c2ac-50d7-827b-ac4fbbeae2bf", _OTHER)
            self._encounter("e83bd4de-a64f-53d0-949b-a2ea8d96ffec", _OTHER)
            self.sim._known_patient({"uuid": "f51a2233-b9a9-5f74-bbc3-0622c0f59b3f", "given": "A", "voided": True})
        if exchange.number == "832":
            self.sim._known_patient(
                {
                    "uuid": "9ab630ac-2662-5aad-839b-76be6c083465", "given": "Paging", "family": "Wanjiru",
                    "gender": "F", "birthdate": "1994-03-02",
                    "identifiers": [{"type": "OpenMRS ID", "value": "10003C4"}],
                }
            )  # fmt: skip
        if exchange.number == "858":  # what the clients that hung up had sent
            self._encounter("f9725b28-4e26-54d1-a310-5f8ab7dc2f19", _OTHER)
            self._encounter("fa6fddc0-42e8-5ca5-b98f-d19c28944a56", _OTHER)
        if exchange.number == "861":
            outpatient = rows.by_uuid_or_name(rows.locations, "Outpatient Clinic")
            medicine = rows.by_uuid_or_name(rows.services, "General Medicine")
            assert outpatient and medicine
            self.sim.clinic.create(
                {
                    "appointmentNumber": "R-hang", "patientUuid": _OTHER, "serviceUuid": medicine["uuid"],
                    "locationUuid": outpatient["uuid"], "comments": "x",
                    "startDateTime": "2026-11-25T08:00:00.000+0300",
                    "endDateTime": "2026-11-25T08:15:00.000+0300",
                    "dateAppointmentScheduled": "2026-11-22T20:02:51.000+0300",
                }
            )  # fmt: skip
        if exchange.number == "918":
            self.sim.accounts.unlock()  # ten minutes have passed
        if exchange.number == "591":  # 587, 588, 590
            for uuid in (
                "7a7a54e4-90e7-41da-af1e-a5af0e164813", "95f57b3e-d389-4ffa-aca4-4ff4f60a06be",
                "3896b3cc-bde6-49b7-8372-a3a067677bac",
            ):  # fmt: skip
                self._condition(uuid, "2026-11-22T19:48:01+03:00", onset="2026-11-20T00:00:00+03:00")
            rows.conditions["3896b3cc-bde6-49b7-8372-a3a067677bac"]["concept"] = None
        if exchange.number == "853":  # 851
            seen = "2c4a1f1d-697a-5777-8f67-9e46cf6ac5a4"
            self._encounter(seen, _OTHER)
            made = "2026-11-22T20:01:45+03:00"
            self._condition("d0852f10-cf7b-483d-b56b-69077d5f7ea1", made, encounter=rows.encounters[seen])
        if exchange.number == "725":
            self.sim.metadata["now"] = "2026-11-22T23:00:00+03:00"
        if exchange.number == "846":
            self.sim.metadata["charset"] = "utf8mb4"
        self.sim.metadata["now"] = _CLOCK.get(exchange.number, self.sim.metadata["now"])

    def _condition(self, uuid: str, made: str, **more: Any) -> None:
        """One that was made by an exchange that is not kept."""
        rows = self.sim.rows
        who = {"reference": f"Practitioner/{_SUPER_USER}", "type": "Practitioner", "display": "Super User"}
        at = datetime.fromisoformat(made)
        malaria = rows.concept("CIEL:116128")
        rows.new_condition(rows.patients[_OTHER], malaria, uuid=uuid, created=at, recorder=who, **more)

    def _encounter(self, uuid: str, patient: str) -> None:
        """One that was made by an exchange that is not kept."""
        rows = self.sim.rows
        kind = rows.by_uuid_or_name(rows.encounter_types, "Community Referral")
        place = rows.by_uuid_or_name(rows.locations, "Community Outreach")
        assert kind
        at = datetime.fromisoformat("2026-11-20T09:15:00+03:00")
        provider, role = rows.providers[_PROVIDER], next(iter(rows.roles.values()))
        by = {
            "_kind": "encounterProvider", "uuid": rows.new_uuid(), "display": "Jane Chw: Unknown",
            "provider": provider, "encounterRole": role, "voided": False,
        }  # fmt: skip
        rows.new_encounter(uuid, rows.patients[patient], kind, at, place, [by])

    def headers(self, exchange: Exchange) -> dict[str, str]:
        return self._cookie(exchange) | self._login(exchange)

    def _login(self, exchange: Exchange) -> dict[str, str]:
        if exchange.user == "none":
            return {}
        if exchange.number in _ODD:
            return {"authorization": _ODD[exchange.number]}
        user = next((user for part, user in _USERS.items() if part in exchange.recording), "admin")
        password = "pw:colonuser" if user == "colonuser" else "no" if "wrong" in exchange.recording else f"pw-{user}"
        return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}

    def _cookie(self, exchange: Exchange) -> dict[str, str]:
        """The last session of the administrator, or one that is gone: the cookies are in no recording."""
        if not any(part in exchange.recording for part in ("session-cookie-", "stale-cookie-")):
            return {}
        if "login" in exchange.recording or "was-it-created" in exchange.recording:
            return {}
        gone = "stale" in exchange.recording or "after-logout" in exchange.recording
        sessions = self.sim.accounts.sessions
        return {"cookie": f"JSESSIONID={'gone' if gone else [k for k in sessions if sessions[k] == 'admin'][-1]}"}

    def body(self, exchange: Exchange) -> Any:
        return exchange.body

    def query(self, exchange: Exchange) -> dict[str, Any] | None:
        return exchange.query

    def kept(self, exchange: Exchange, answer: Any) -> Any:
        """Of a page of FHIR not when and under which name it was made."""
        if isinstance(answer, dict) and answer.get("resourceType") == "Bundle":
            return {name: value for name, value in answer.items() if name not in ("id", "meta")}
        if exchange.number in self._counted:
            shapes = {json.dumps({**row, "uuid": ""}, sort_keys=True) for row in answer["results"]}
            return {**answer, "results": sorted(shapes)}
        return answer

    def loose(self, exchange: Exchange) -> Mapping[str, str]:
        return self._loose.get(exchange.number, {})
