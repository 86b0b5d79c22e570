"""The appointments module and the clinic's staff of the sandbox's OpenMRS.

Rules cite recordings/openmrs-2.8 by number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from connector.sandbox import openmrs_metadata as meta
from connector.sandbox.openmrs_encounters import search_encounters
from connector.sandbox.openmrs_rows import Rows
from connector.sandbox.openmrs_shapes import Json, Refused, epoch_ms, error

STATUSES = ("Requested", "WaitList", "Scheduled", "Arrived", "CheckedIn", "Completed", "Cancelled", "Missed")
_FINAL = ("Completed", "Cancelled", "Missed")
#: Forms of a date Jackson reads (658, 659).
_ISO = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?)?")


def _refused(message: str, code: str = "org.openmrs.module.appointments.helper.AppointmentServiceHelper:96") -> Refused:
    return Refused(400, error(f"{message} [{message}]", code, raw=message))


def _when(value: Any, zone: timezone) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _ISO.fullmatch(value):
        raise Refused(
            400,
            error(
                f'[JSON parse error: Cannot deserialize value of type `java.util.Date` from String "{value}"]',
                "AbstractJackson2HttpMessageConverter:391",
            ),
        )
    moment = datetime.fromisoformat(re.sub(r"\.(\d{1,6})\d*", lambda m: "." + m[1].ljust(6, "0"), value))
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def appointment_body(row: Json) -> Json:
    """The appointments module's own shape; dates are epoch ms (638)."""
    patient, service = row["patient"], row["service"]
    identifiers = {i["identifierType"]["name"].replace(" ", ""): i["identifier"] for i in patient["identifiers"]}
    first = next((i["identifier"] for i in patient["identifiers"] if i["preferred"]), None)
    day = patient["person"]["day"]
    return {
        "uuid": row["uuid"],
        "appointmentNumber": row["number"],
        "dateCreated": epoch_ms(row["created"]),
        "dateAppointmentScheduled": epoch_ms(row["scheduled"]),
        "patient": {
            **identifiers,
            "identifier": first,
            "gender": patient["person"]["gender"],
            "name": patient["person"]["display"],
            "uuid": patient["uuid"],
            "birthDate": epoch_ms(datetime.fromisoformat(day).replace(tzinfo=row["zone"])) if day else None,
            "age": patient["person"]["age"],
            "customAttributes": {},
        },
        "service": service_body(service),
        "serviceType": None,
        "provider": None,
        "location": {"name": row["location"]["name"], "uuid": row["location"]["uuid"]} if row["location"] else None,
        "startDateTime": epoch_ms(row["start"]),
        "endDateTime": epoch_ms(row["end"]),
        "appointmentKind": row["kind"],
        "status": row["status"],
        "comments": row["comments"],
        "additionalInfo": None,
        "teleconsultation": None,
        "providers": [],
        "voided": row["voided"],
        "extensions": {"patientEmailDefined": False},
        "teleconsultationLink": None,
        "priority": None,
        "reasons": [],
        "recurring": False,
    }


def service_body(service: Mapping[str, Any]) -> Json:
    return {
        "appointmentServiceId": 1,
        "name": service["name"],
        "description": service.get("description"),
        "speciality": {},
        "startTime": "",
        "endTime": "",
        "maxAppointmentsLimit": None,
        "durationMins": 15,
        "location": {"uuid": service["location"], "name": service.get("place", service["name"])},
        "uuid": service["uuid"],
        "color": None,
        "initialAppointmentStatus": None,
        "creatorName": None,
        "attributes": None,
    }


class Clinic:
    """Appointments and what the staff does with them. ``decide(number)`` is asked once per new referral."""

    def __init__(self, rows: Rows, decide: Any = None) -> None:
        self.rows = rows
        self.decide = decide

    # ------------------------------------------------------------ appointments by REST

    def create(self, body: Mapping[str, Any]) -> Json:
        """A uuid of the client is ignored (640, 641); the same number again makes another one (639)."""
        rows = self.rows
        start, end = _when(body.get("startDateTime"), rows.zone), _when(body.get("endDateTime"), rows.zone)
        scheduled = _when(body.get("dateAppointmentScheduled"), rows.zone)
        patient = rows.patients.get(body.get("patientUuid") or "")
        if patient is None:
            raise _refused("Appointment cannot be created without Patient")  # 651
        service = rows.services.get(body.get("serviceUuid") or "")
        if service is None:
            raise _refused("Appointment cannot be created without Service")  # 652, 653
        for name, kinds in (("appointmentKind", ("Scheduled", "WalkIn", "Virtual")), ("status", STATUSES)):
            if body.get(name, "Scheduled") not in kinds:
                kind = "AppointmentKind" if name == "appointmentKind" else "AppointmentStatus"
                raise _refused(
                    f"No enum constant org.openmrs.module.appointments.model.{kind}.{body[name]}"
                )  # 660, 661
        for column, value, length in (
            ("comments", body.get("comments"), 255),
            ("appointment_number", body.get("appointmentNumber"), 50),
        ):
            if value and len(value) > length:
                text = "could not execute statement"
                raise Refused(
                    400,
                    error(
                        f"{text} [{text} => Data truncation: Data too long for column '{column}' at row 1]",
                        "org.hibernate.exception.internal.SQLExceptionTypeDelegate:52",
                        raw=text,
                    ),
                )  # 663, 664
        if any(one.get("uuid") not in rows.providers for one in body.get("providers") or []):
            raise _refused("Bad Request. No such provider.")  # 665
        row: Json = {
            "uuid": rows.new_uuid(),
            "number": body.get("appointmentNumber") or "0000",
            "patient": patient,
            "service": service,
            "location": rows.locations.get(body.get("locationUuid") or ""),  # 654: dropped without a word
            "start": start,
            "end": end,
            "scheduled": scheduled,
            "created": rows.now(),
            "kind": body.get("appointmentKind", "Scheduled"),
            "status": body.get("status", "Scheduled"),
            "comments": body.get("comments"),
            "voided": False,
            "zone": rows.zone,
        }
        rows.appointments[row["uuid"]] = row
        if patient["voided"]:
            # 666: refused, yet saved.
            raise _refused(
                'Cannot invoke "org.openmrs.PatientIdentifier.getIdentifier()" because the return value of '
                '"org.openmrs.Patient.getPatientIdentifier()" is null'
            )
        answer = appointment_body(row)
        self.staff_decides(row["number"], row["patient"])
        return answer

    def update(self, body: Mapping[str, Any]) -> Json:
        """``/appointment`` with a uuid: the status goes back to the one in the body (678)."""
        row = self.rows.appointments.get(body["uuid"])
        if row is None:
            raise _refused(
                'Cannot invoke "org.openmrs.module.appointments.model.Appointment.setStatus'
                '(org.openmrs.module.appointments.model.AppointmentStatus)" because '
                '"appointment" is null'
            )  # 642
        row["status"] = body.get("status", row["status"])
        row["comments"] = body.get("comments", row["comments"])
        if "startDateTime" in body:
            row["start"] = _when(body["startDateTime"], self.rows.zone)
        return appointment_body(row)

    def search(self, body: Mapping[str, Any]) -> list[Json]:
        """By exact number (646, 863) within a window of start times, the earliest first; appointments of voided
        patients are left out (867). As the module's source has it, not recorded: ``limit``, and 50 where there is
        neither that nor an end."""
        start = _when(body.get("startDate"), self.rows.zone)
        if start is None:
            raise Refused(
                500,
                error(
                    "[StartDate is not provided]",
                    "org.openmrs.module.appointments.web.controller.AppointmentsController:88",
                ),
            )
        end = _when(body.get("endDate"), self.rows.zone)
        found = [
            a
            for a in self.rows.appointments.values()
            if not a["voided"]
            and not a["patient"]["voided"]
            and a["start"] is not None
            and a["start"] >= start
            and (end is None or a["start"] <= end)
            and body.get("appointmentNumber") in (None, a["number"])
            and body.get("patientUuid") in (None, a["patient"]["uuid"])
            and body.get("status") in (None, a["status"])
        ]
        limit = body.get("limit") or (50 if end is None else None)
        return [appointment_body(a) for a in sorted(found, key=lambda a: a["start"])[:limit]]

    def change_status(self, uuid: str, body: Mapping[str, Any]) -> Json:
        """Forward only, or back to Scheduled; a refusal is 500 (668-677)."""

        def no(message: str, line: int) -> Refused:
            return Refused(
                500, error(f"[{message}]", f"org.openmrs.module.appointments.helper.AppointmentServiceHelper:{line}")
            )

        row = self.rows.appointments.get(uuid)
        if row is None:
            raise no("Appointment does not exist", 104)
        to = body.get("toStatus")
        if to not in STATUSES:
            raise no(f"No enum constant org.openmrs.module.appointments.model.AppointmentStatus.{to}", 273)
        if to != "Scheduled" and (STATUSES.index(to) <= STATUSES.index(row["status"]) or row["status"] in _FINAL):
            raise no(f"Appointment status can not be changed from {row['status']} to {to}", 107)
        row["status"] = to
        return appointment_body(row)

    # ------------------------------------------------------------ staff

    def staff_decides(self, number: str, patient: Json) -> None:
        """Ask the sandbox what the staff does with this referral and do it at once."""
        decision = self.decide(number) if self.decide else None
        if decision:
            self.act({**decision, "number": number}, patient)

    def act(self, order: Mapping[str, Any], patient: Json | None = None) -> Json:
        """``{"act": check_in|arrived|complete|completed|cancel|cancelled|miss|missed|void|voided|merge|diagnose,
        "number" or "patient", "at"?, "diagnosis"?, "advice"?, "into"?, "appointments"?}``.

        ``diagnose``: a condition of the problem list, ``diagnosis`` as ``CIEL:...`` or in words, recorded ``at``.

        ``void`` with a number: someone at the clinic deletes the referral's encounter and cancels its appointment;
        with a patient: the patient is voided. ``merge``: ``patient`` is merged ``into`` another; with
        ``"appointments": "stay"`` those stay with the loser. Raises KeyError, ValueError.
        """
        act = order["act"]
        if act == "merge":
            return self._merge(order["patient"], order["into"], order.get("appointments") != "stay")
        if act == "diagnose":
            return self._diagnose(order)
        if act in ("void", "voided") and "number" not in order:
            self.rows.void(self.rows.patients[order["patient"]], "entered in error")
            return {"voided": order["patient"]}
        number = order["number"]
        appointments = [a for a in self.rows.appointments.values() if a["number"] == number and not a["voided"]]
        appointments = [a for a in appointments if a["status"] != "Cancelled"] or appointments
        appointments = [a for a in appointments if not a["patient"]["voided"]] or appointments
        patient = patient or next((a["patient"] for a in appointments), None) or self._of_encounter(number)["patient"]
        status = {
            "check_in": "CheckedIn", "arrived": "CheckedIn", "complete": "Completed", "completed": "Completed",
            "cancel": "Cancelled", "cancelled": "Cancelled", "miss": "Missed", "missed": "Missed",
            "void": "Cancelled", "voided": "Cancelled",
        }.get(act)  # fmt: skip
        if status is None:
            raise ValueError(f"nobody at the clinic can {act}")
        for row in appointments:
            row["status"] = status
        if status == "Completed":
            self._consult(number, patient, order)
        if act in ("void", "voided"):
            self.rows.void(self._of_encounter(number), "withdrawn at the clinic")
        return {"number": number, "status": status}

    def _diagnose(self, order: Mapping[str, Any]) -> Json:
        rows = self.rows
        patient = (
            rows.patients[order["patient"]] if "patient" in order else self._of_encounter(order["number"])["patient"]
        )
        said = order["diagnosis"]
        made = rows.new_condition(patient, rows.concept(said) or said, created=_when(order.get("at"), rows.zone))
        return {"condition": made["uuid"]}

    def _of_encounter(self, number: str) -> Json:
        """The referral's encounter: the one with an obs that holds the number."""
        found = [
            row
            for row in self.rows.encounters.values()
            if row["encounterType"]["uuid"] == meta.COMMUNITY_REFERRAL
            and any(o["concept"]["uuid"] == meta.REFERRAL_NUMBER and o["value"] == number for o in row["obs"])
        ]
        if not found:
            raise KeyError(f"no referral {number}")
        return next((row for row in found if not row["voided"]), found[0])  # after a correction there are several

    def _consult(self, number: str, patient: Json, order: Mapping[str, Any]) -> None:
        """A Consultation as the clinic's form writes it: the referral's number, a diagnosis, advice."""
        rows = self.rows
        try:
            referral = self._of_encounter(number)
            location, earliest = referral["location"], referral["at"]
        except KeyError:
            location, earliest = None, rows.now()
        at = _when(order.get("at"), rows.zone) or earliest + timedelta(days=1)
        visit = rows.new_encounter(None, patient, rows.encounter_types[meta.CONSULTATION], at, location, [])
        written: list[tuple[str, Any]] = [(meta.REFERRAL_NUMBER, number)]
        if order.get("diagnosis"):
            written.append((meta.VISIT_DIAGNOSIS, rows.concept(order["diagnosis"])))
        if order.get("advice"):
            written.append((meta.COUNTER_REFERRAL_NOTE, order["advice"]))
        for concept, value in written:
            if value is None:
                raise ValueError(f"no concept {order['diagnosis']}")
            visit["obs"].append(
                rows.new_obs(rows.concepts[concept], value, at, patient, location=location, encounter=visit)
            )

    def _merge(self, loser: str, winner: str, with_appointments: bool) -> Json:
        """Encounters and identifiers move; the loser is voided (openmrs-core, ``PatientServiceImpl.mergePatients``,
        which knows nothing of appointments: no source says whether the module moves them, so both are played)."""
        rows = self.rows
        old, new = rows.patients[loser], rows.patients[winner]
        for encounter in search_encounters(rows, {"patient": loser, "includeAll": "true"}):
            rows.encounters[encounter["uuid"]]["patient"] = new
        for appointment in rows.appointments.values():
            if with_appointments and appointment["patient"] is old:
                appointment["patient"] = new
        held = {(i["identifierType"]["uuid"], i["identifier"]) for i in new["identifiers"]}
        for i in old["identifiers"]:
            if not i["voided"] and (i["identifierType"]["uuid"], i["identifier"]) not in held:
                new["identifiers"].append(
                    rows.new_identifier(i["identifier"], i["identifierType"], i["location"], False, None)
                )
        rows.void(old, f"Merged with {winner}")
        return {"merged": loser, "into": winner}
