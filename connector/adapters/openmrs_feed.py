"""What the clinic did with our referrals, read by id.

No change feed is trusted: ``_lastUpdated`` misses added obs and voided rows (findings, point 9) and pages lose rows
while data changes (point 8). So each open referral is asked about: its appointment, and the encounters of its patient.
Appointments that were booked for one time are asked for together; one that is not found there is asked for by its id.

Status of a referral, the first that holds:

- ``voided``: somebody at the clinic voided our encounter or its patient (or, where it can be, the appointment).
- ``completed``: the appointment is Completed, or the clinic wrote an encounter for this referral.
- ``arrived``: CheckedIn or Arrived · ``missed`` · ``cancelled`` (and not booked again under the same number).

An encounter of the clinic is for the referral whose number it quotes; without a number, for the latest referral
encounter of the patient before it, within ``answer_days``.

The diagnosis is what that encounter says; where it says none, the conditions the clinic recorded of the patient since
(``openmrs_conditions``), asked for once somebody at the clinic has begun. A server or an account that does not give
them (741) costs the diagnosis and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from connector.adapters import openmrs_conditions
from connector.adapters.openmrs_answers import REASONS
from connector.adapters.openmrs_conditions import moment
from connector.adapters.openmrs_rest import Json, Rest, Stop, listed, ref, uuid_of
from connector.adapters.openmrs_rows import appointment_start, stamp
from connector.errors import SourceRefused, SourceUnavailable
from connector.identity import digest
from connector.model import OpenReferral, Record

_ENCOUNTERS = "custom:(uuid,encounterDatetime,encounterType:(uuid),voided,obs:(concept:(uuid),value,voided){diagnoses})"
_DIAGNOSES = ",diagnoses:(diagnosis,rank,voided)"
_OURS = "custom:(uuid,voided,patient:(uuid,voided),encounterDatetime,auditInfo)"
_STATUS = {
    "Completed": "completed",
    "CheckedIn": "arrived",
    "Arrived": "arrived",
    "Missed": "missed",
    "Cancelled": "cancelled",
}
#: States in which somebody at the clinic has seen her: there may be a diagnosis.
_BEGUN = ("arrived", "completed")
#: Referrals read at the same time, and how often a read that broke off is tried.
_AT_ONCE, _TRIES = 4, 3
#: Appointments at one time, of all services of the server, that one search reads.
_ROWS = 200
_PASSING = ("openmrs.unreachable", "openmrs.not_json", "openmrs.busy", "openmrs.server_error")


class OpenmrsAnswers:
    """``ports.OutcomeFeed``. ``unread``: ids of the referrals that could not be read by the last call."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        name: str = "openmrs",
        openmrs: Mapping[str, Any] | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        zone: str | ZoneInfo = "UTC",
    ) -> None:
        self.name = name
        self.openmrs = openmrs or {}
        self.zone = zone if isinstance(zone, ZoneInfo) else ZoneInfo(zone)
        self.profile = str((settings or {}).get("profile") or self.openmrs.get("profile") or "o3")
        self.rest = Rest(client)
        self.unread: list[str] = []
        self._blind = False  #: conditions were refused in this call: not asked for again
        self._booked: dict[str, Json] = {}  #: appointments by uuid, as they stood when this call began
        self._told: dict[str, str] = {}

    async def answers(self, referrals: Sequence[OpenReferral]) -> Sequence[Record]:
        """One record per referral with news. Raises SourceRefused when the account is refused, SourceUnavailable
        when some could not be read and the others say nothing new."""
        gate = asyncio.Semaphore(_AT_ONCE)
        self.unread, self._blind = [], False
        troubles: list[Stop] = []
        self._booked = await self._booked_together(referrals)

        async def one(referral: OpenReferral) -> Record | None:
            async with gate:
                for turn in range(_TRIES):
                    try:
                        return await self._answer(referral)
                    except Stop as stop:
                        if turn + 1 == _TRIES or stop.code not in _PASSING:
                            self.unread.append(referral.id)
                            troubles.append(stop)
                            return None
            raise AssertionError("unreachable")

        found = await asyncio.gather(*(one(r) for r in referrals if r.remote.get("patient")))
        if any(t.code in ("openmrs.credentials", "openmrs.locked") for t in troubles):
            raise SourceRefused()
        records = [record for record in found if record is not None]
        told = [record for record in records if self._told.get(record.key) == record.revision]
        if any(t.code in _PASSING for t in troubles) and len(told) == len(records):
            raise SourceUnavailable(
                troubles[0].code, french=REASONS[troubles[0].code].fr
            )  # else the news that did arrive goes first
        if len(self._told) > 20_000:
            self._told.clear()
        self._told.update((record.key, record.revision) for record in records)
        return records

    # ------------------------------------------------------------ one referral

    async def _answer(self, referral: OpenReferral) -> Record | None:
        ours = referral.remote.get("encounter")
        patient = str(referral.remote["patient"])
        rows = await self._encounters(patient, referral.date)
        if ours and all(uuid_of(row) != ours for row in rows):
            # Lists leave voided rows out (324), and a merge moves them to another patient.
            mine = await self.rest.row("encounter", str(ours), v=_OURS) or {}
            if mine.get("voided") is True:
                history = mine.get("auditInfo")
                when = moment(history.get("dateVoided")) if isinstance(history, dict) else None
                return self._record(referral, "voided", when, {})
            owner = mine.get("patient")
            if isinstance(owner, Mapping) and owner.get("voided") is True:  # nobody there sees it any more
                return self._record(referral, "voided", None, {})
            moved = ref(mine, "patient")
            if moved and moved != patient:
                patient = str(moved)
                rows = await self._encounters(patient, referral.date)
        status, when = await self._appointment(referral) if self.profile == "o3" else (None, None)
        if status == "voided":
            return self._record(referral, status, when, {})
        visit, written = self._visit_for(referral, rows), {}
        if visit is not None:
            status, when, written = "completed", moment(visit.get("encounterDatetime")), self._written(visit)
        if status in _BEGUN and "diagnosis" not in written:
            found = await self._conditions(patient, referral.date)
            diagnosis = openmrs_conditions.told(found, self._span(referral, rows, visit))
            written |= {"diagnosis": diagnosis} if diagnosis else {}
        return self._record(referral, status, when, written) if status else None

    async def _encounters(self, patient: str, since: date) -> list[Json]:
        """Living encounters of a patient from the day of the referral on, oldest first."""
        view = _ENCOUNTERS.format(diagnoses=_DIAGNOSES if self.profile == "o3" else "")
        rows: list[Json] = []
        start = 0
        while True:
            page = await self.rest.get(
                "encounter", patient=patient, fromdate=since.isoformat(), v=view, limit="100", startIndex=str(start)
            )
            more = [] if page is None else listed(page.get("results"))
            rows += [row for row in more if not row.get("voided")]
            start += len(more)
            if len(more) < 100 or start >= 1000:
                return sorted(rows, key=lambda row: (moment(row.get("encounterDatetime")) or _LONG_AGO, uuid_of(row)))

    async def _conditions(self, patient: str, since: date) -> list[openmrs_conditions.Condition]:
        """One page of what was recorded of a patient from the referral on; none where they cannot be read.

        Raises Stop while the server is not there to answer: a diagnosis told before must not vanish for that.
        """
        if self._blind:
            return []
        since -= timedelta(days=1)  # the server's zone may be another
        said = await self.rest.search("Condition", patient=patient, _lastUpdated=f"ge{since}", _count="100")
        if said.code == "openmrs.busy" or said.status in (502, 504):
            raise said.stop()
        found = openmrs_conditions.read(said.body, patient) if said.code is None else None
        self._blind = found is None and said.code != "openmrs.server_error"  # 500 may be about this patient alone
        return found or []

    def _span(self, referral: OpenReferral, rows: Sequence[Json], visit: Json | None) -> openmrs_conditions.Span:
        ours = {str(referral.remote.get("encounter")), *(referral.remote.get("replaces") or ())}
        begun = datetime(referral.date.year, referral.date.month, referral.date.day, tzinfo=self.zone)
        later, elsewhere = [], set(ours)
        for row in rows:
            uuid, at = uuid_of(row), moment(row.get("encounterDatetime"))
            if ref(row, "encounterType") == self.openmrs.get("encounter_type"):
                elsewhere.add(uuid)
                if uuid not in ours and at is not None:
                    later.append(at)
                elif at is not None:
                    begun = max(begun, at)
            elif self._obs(row, "number") not in (None, referral.number):
                elsewhere.add(uuid)
        return openmrs_conditions.Span(
            first=referral.date,
            last=referral.date + timedelta(days=int(self.openmrs.get("answer_days", 60))),
            before=min((at for at in later if at > begun), default=None),
            visit=uuid_of(visit) if visit is not None else None,
            elsewhere=elsewhere,
            zone=self.zone,
        )

    async def _appointment(self, referral: OpenReferral) -> tuple[str | None, datetime | None]:
        uuid = referral.remote.get("appointment")
        if not uuid:
            return None, None
        row = self._booked.get(str(uuid)) or await self.rest.row("appointments", str(uuid))
        if row is not None and row.get("status") == "Cancelled":
            row = await self._booked_again(referral) or row
        if row is None:
            return None, None
        if row.get("voided"):
            return "voided", _epoch(row.get("startDateTime"))
        return _STATUS.get(str(row.get("status"))), _epoch(row.get("startDateTime"))

    async def _booked_together(self, referrals: Sequence[OpenReferral]) -> dict[str, Json]:
        """Appointments of several referrals that still stand at the time they were booked for.

        A search leaves out what was moved or voided and what is of a voided patient (867), and the server ends it where
        it is told to: none of that is an answer, and neither is a search that fails.
        """
        times: dict[str, set[str]] = {}
        for one in referrals if self.profile == "o3" else ():
            if one.remote.get("appointment") and one.remote.get("patient"):
                start = stamp(appointment_start({"date": one.date.isoformat()}, self.openmrs, self.zone))
                times.setdefault(start, set()).add(str(one.remote["appointment"]))
        found: dict[str, Json] = {}
        for start, uuids in times.items():
            if len(uuids) == 1:
                continue
            try:
                window = {"startDate": start, "endDate": start, "limit": _ROWS}
                said = await self.rest.read("POST", "appointments/search", json=window)
                rows = listed(said.body) if said.code is None else None
            except Stop:
                rows = None
            if rows is None:
                break  # what follows is asked for one by one, and says what the matter is
            found.update(
                (uuid, row) for row in rows if (uuid := str(row.get("uuid"))) in uuids and not row.get("voided")
            )
        return found

    async def _booked_again(self, referral: OpenReferral) -> Json | None:
        """Another appointment under our number that is not cancelled: the clinic moved it by making a new one."""
        day = datetime(referral.date.year, referral.date.month, referral.date.day, tzinfo=self.zone) - timedelta(days=7)
        number = referral.number[:50]
        said = await self.rest.read(
            "POST", "appointments/search", json={"startDate": stamp(day), "appointmentNumber": number}
        )
        if said.code is not None:
            raise said.stop()
        others = [
            row
            for row in listed(said.body)
            if row.get("appointmentNumber") == number and row.get("status") != "Cancelled" and not row.get("voided")
        ]
        return others[0] if others else None

    # ------------------------------------------------------------ the clinic's encounter

    def _visit_for(self, referral: OpenReferral, rows: Sequence[Json]) -> Json | None:
        """The clinic's encounter that answers this referral: the one that quotes it, else the first that may."""
        ours = referral.remote.get("encounter")
        kinds = self.openmrs.get("clinical_encounter_types")
        until = referral.date + timedelta(days=int(self.openmrs.get("answer_days", 60)))
        latest: Any = None  # the referral encounter last seen while going forward in time
        first: Json | None = None
        for row in rows:
            kind = ref(row, "encounterType")
            if kind == self.openmrs.get("encounter_type"):
                latest = row["uuid"]
                continue
            if kinds and kind not in kinds:
                continue
            quoted = self._obs(row, "number")
            if quoted == referral.number:
                return row
            at = moment(row.get("encounterDatetime"))
            if quoted is None and first is None and latest == ours and at and at.astimezone(self.zone).date() <= until:
                first = row
        return first

    def _written(self, visit: Mapping[str, Any]) -> Json:
        """Diagnosis and advice, as text, where the clinic wrote them."""
        diagnosis = self._obs(visit, "diagnosis") or _diagnosis(visit)
        advice = self._obs(visit, "counter_referral_note")
        return {k: v for k, v in (("diagnosis", diagnosis), ("advice", advice)) if v}

    def _obs(self, row: Mapping[str, Any], name: str) -> str | None:
        concept = (self.openmrs.get("concepts") or {}).get(name)
        for obs in listed(row.get("obs") or []):
            if concept and ref(obs, "concept") == concept and not obs.get("voided"):
                value = obs.get("value")
                return str(value.get("display") or value.get("uuid")) if isinstance(value, Mapping) else str(value)
        return None

    def _record(self, referral: OpenReferral, status: str, when: datetime | None, written: Json) -> Record:
        body: Json = {"referral": referral.id, "number": referral.number, "status": status, **written}
        local = when.astimezone(self.zone) if when else None
        body["at"] = when.astimezone(UTC).isoformat(timespec="seconds") if when else referral.date.isoformat()
        body["date"] = (local.date() if local else referral.date).isoformat()
        return Record(
            source=self.name,
            stream="outcomes",
            key=referral.id,
            revision=digest(body)[:32],
            form="referral_outcome",
            body=body,
            changed_at=when.astimezone(UTC) if when else None,
        )


_LONG_AGO = datetime(1900, 1, 1, tzinfo=UTC)


def _diagnosis(visit: Mapping[str, Any]) -> str | None:
    """The first diagnosis of the visit note, coded or written (851)."""
    rows = [d for d in listed(visit.get("diagnoses") or []) if not d.get("voided")]
    for row in sorted(rows, key=lambda d: d["rank"] if isinstance(d.get("rank"), int) else 9):
        diagnosis = row.get("diagnosis")
        if not isinstance(diagnosis, Mapping):
            continue
        coded = diagnosis.get("coded")
        text = coded.get("display") if isinstance(coded, Mapping) else diagnosis.get("nonCoded")
        if text:
            return str(text)
    return None


def _epoch(ms: Any) -> datetime | None:
    if not isinstance(ms, int | float) or not abs(ms) < 2e14:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC)
