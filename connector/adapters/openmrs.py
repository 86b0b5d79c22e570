"""Referrals to an OpenMRS, and the clinic's answers back.

A referral becomes a patient (found, or created), an encounter with obs and, with profile ``o3``, an appointment: three
requests that can each be lost. Every id is chosen or obtained, and kept, before the request that uses it leaves;
after every create that was not a plain success the row is looked for by that id.

    patient      who a person said it is; else searched by the CHW identifier, then by the national one, compared by
                 value and type (and, where the clinic typed it, by name and birth date); else, when somebody there
                 looks like her, a person decides (match review) and nothing is written; else created, alone in its
                 lane, under the id of our FHIR Patient
    encounter    under the id of our FHIR Encounter, saved whole or not at all
    appointment  the server chooses its id, so it is searched by the referral number before every create

**A corrected referral.** What an encounter says has a digest. When it changes, a new encounter is made whose id is
derived from our key, the digest and the id of the one it replaces, and then the old one is voided; in this order
nothing is lost if the second half never happens. Changes of the patient's name or birth date touch nothing: the clinic
keeps its own register. An appointment is never updated (an update resets the status a nurse has set: 678); when the
clinic itself changes, an untouched one is cancelled and another made.

**A person registered twice.** Her referrals go to the patient of the id that is kept, if the clinic has one, else to
the one it has under another id of hers; only when it has none is one made. What was sent before is moved as a
correction is, unless somebody at the clinic has begun with it. No patient is ever merged, changed or voided by us.

**Nobody is taken for another by likeness.** ``openmrs_matching`` finds who may be meant; a person of the clinic says
who it is, once (``payload["match"]``: ``patient`` and her ``numbers``, or ``new``). The patient chosen is left as she
is: the answer is kept by us. A patient who was merged or voided is followed by her identifiers, and ``remote`` says
from where (``followed``).

**Known limit.** The server drops our appointment ids, so if a lost create is carried out later than
``settles_within``, a second appointment with the same number appears; ``reconcile`` shows it.

Source of the rules: recordings/openmrs-2.8 (numbers in the comments) and its findings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from connector.adapters import openmrs_matching, openmrs_probe
from connector.adapters.openmrs_answers import OF_TARGET, REASONS
from connector.adapters.openmrs_feed import OpenmrsAnswers
from connector.adapters.openmrs_rest import Json, Noted, Rest, Stop, accepted, listed, ref, uuid_of
from connector.adapters.openmrs_rows import (
    appointment_body,
    encounter_body,
    passes_luhn_mod_30,
    patient_body,
    person_key,
    said,
    same_findings,
    stamp,
)
from connector.errors import LaneBusy, TargetUnreadable
from connector.identity import Names
from connector.model import Capabilities, Delivery, Finding, Observed, Outcome, Verdict
from connector.ports import Progress

__all__ = ["REASONS", "OpenmrsAnswers", "OpenmrsTarget"]

_PATIENT = "custom:(uuid,voided,identifiers:(identifier,identifierType:(uuid),voided))"
_ENCOUNTER = "custom:(uuid,voided,patient:(uuid),location:(uuid),obs:(concept:(uuid),value,voided))"
#: An appointment may have been moved to an earlier day by the clinic; the number is exact, so a wide window is cheap.
_WINDOW = timedelta(days=7)


#: Patients carried at the same time; creations still go one by one (lane).
_AT_ONCE = 3


class _Attempt:
    """One delivery under way, and what is known of it."""

    def __init__(self, delivery: Delivery, progress: Progress) -> None:
        self.delivery = delivery
        self.payload = delivery.payload
        self.progress = progress
        self.remote: Json = dict(delivery.remote)
        self.step = delivery.step
        #: The encounter was made by this attempt, under its first id: no appointment can be there yet.
        self.fresh = False

    def note(self, step: str, **known: Any) -> None:
        """Durable before the next request leaves. A None takes a key away."""
        self.remote.update(known)
        self.remote = {key: value for key, value in self.remote.items() if value is not None}
        self.step = step
        self.progress.note(self.delivery, step=step, remote=self.remote)


class OpenmrsTarget:
    """``ports.Target`` for deliveries of kind ``referral``.

    ``openmrs``: ``openmrs.yaml`` of the pack as plain data. ``settings``: ``profile`` (instead of the one there) and
    ``settles_within`` seconds (120). ``now`` is asked only by the probe, to compare clocks.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        name: str,
        settings: Mapping[str, Any],
        openmrs: Mapping[str, Any],
        names: Names,
        zone: str | ZoneInfo,
        now: Any = None,
        look_first: bool = False,
    ) -> None:
        """``look_first``: see what the server lacks before the first send, and hold back what needs it."""
        self.name = name
        self.openmrs = openmrs
        self.names = names
        self.zone = zone if isinstance(zone, ZoneInfo) else ZoneInfo(zone)
        self.profile = str(settings.get("profile") or openmrs.get("profile") or "o3")
        # Tomcat and MySQL give up after at most a minute; what is not there after two will not come.
        settles = timedelta(seconds=float(settings.get("settles_within", 120)))
        self.capabilities = Capabilities(max_batch=20, settles_within=settles)
        self.rest = Rest(client)
        self._now = now
        self._look_first = look_first
        self._lacks: openmrs_probe.Lacks | None = None
        self._looked = False  #: in this batch
        self._doubted = False  #: what the server lacks is to be looked at again
        self._looking = asyncio.Lock()
        self._noted: Noted | None = None  #: of a look that broke off
        self._concepts: dict[str, str] = {}

    # ------------------------------------------------------------ ports.Target

    async def deliver(self, batch: Sequence[Delivery], progress: Progress) -> Sequence[Outcome]:
        """A few patients at a time, the referrals of one patient in order; when the server itself is in trouble the
        rest of the batch is not tried."""
        self._looked = False
        outcomes: dict[int, Outcome] = {}
        stopped: list[Outcome] = []
        people: dict[str, list[int]] = {}
        for n, delivery in enumerate(batch):
            identifiers = (delivery.payload.get("patient") or {}).get("identifier") or [{}]
            people.setdefault(str(identifiers[0].get("value") or n), []).append(n)
        turn = asyncio.Semaphore(_AT_ONCE)

        async def carry(numbers: list[int]) -> None:
            async with turn:
                for n in numbers:
                    outcomes[n] = outcome = stopped[0] if stopped else await self._one(_Attempt(batch[n], progress))
                    if outcome.of_target and not stopped:
                        stopped.append(
                            Outcome(Verdict.DEFERRED, outcome.reason, of_target=True, retry_after=outcome.retry_after)
                        )

        await asyncio.gather(*(carry(numbers) for numbers in people.values()))
        return [outcomes[n] for n in range(len(batch))]

    async def look_up(self, delivery: Delivery) -> Observed | None:
        try:
            return await self._look_up(delivery)
        except Stop as stop:
            raise TargetUnreadable.because(stop.code, REASONS[stop.code], self.name) from None

    async def probe(self) -> Sequence[Finding]:
        return await openmrs_probe.probe(self.rest, self.openmrs, self.profile, self._now)

    # ------------------------------------------------------------ one referral

    async def _one(self, a: _Attempt) -> Outcome:
        try:
            if a.payload.get("deleted"):
                return await self._withdraw(a)
            return await self._carry(a)
        except Stop as stop:
            return stop.outcome()
        except LaneBusy:
            return Outcome(Verdict.DEFERRED, "lane.busy", retry_after=timedelta(seconds=1))

    async def _carry(self, a: _Attempt) -> Outcome:
        place = (self.openmrs.get("places") or {}).get(a.payload.get("to") or "")
        if place is None:
            raise Stop("openmrs.place_unmapped")
        if not a.payload.get("patient") or not a.payload.get("encounter"):
            raise Stop("openmrs.no_person")
        before = dict(a.remote)
        bodies = [encounter_body(a.payload, self.openmrs, place["location"], self.zone)]
        if self.profile == "o3":
            bodies.append(appointment_body(a.payload, self.openmrs, place, "", self.zone))
        await self._must_have(*bodies)
        patient = await self._patient(a, place)
        living = await self._encounter(a, place, patient)
        if living and self.profile == "o3":
            await self._appointment(a, place, patient)
        if a.remote != before or a.step != "done":
            a.note("done")
            code = "openmrs.accepted"
        else:
            code = "openmrs.unchanged"
        return accepted(code if living else "openmrs.voided_by_clinic", a.remote["encounter"])

    async def _must_have(self, *bodies: Json) -> None:
        """Nothing of these is sent unless the server has what they name. Raises Stop. What it lacked is asked about
        again, once in a batch: somebody may have mended it."""
        if not self._look_first:
            return
        if self._lacks is None or self._doubted or self._lacks.stop or self._lacks.holds_back(*bodies):
            async with self._looking:
                if not self._looked:
                    self._noted = self._noted or Noted(self.rest.client)
                    _, self._lacks = await openmrs_probe.look(self._noted, self.openmrs, self.profile)
                    self._noted, self._looked, self._doubted = None, True, False
        code = self._lacks.stop or self._lacks.holds_back(*bodies) if self._lacks else None
        if code:
            raise Stop(code)

    # ------------------------------------------------------------ patient

    async def _patient(self, a: _Attempt, place: Mapping[str, Any]) -> str:
        """The uuid of the patient at the clinic; found, or created."""
        ours = str(a.payload["patient"]["id"])
        known = a.remote.get("patient")
        if known and await self._elsewhere(a):
            return await self._move(a, place, str(known), ours)
        row = await self._read_patient(known) if known else None
        if row is not None and row.get("voided") is not True:
            return str(known)  # 192: an encounter for a voided patient would be accepted without a word
        found = await self._find_or_create(a, place, ours, again=bool(known), voided=row is not None)
        if known and found != known:
            self._follows(a, str(known))
            # Whether a merge moves appointments is not known; those of a voided patient are in no list (867).
            a.note("patient.there", patient=found, openmrs_id=None, appointment=None, service=None)
        else:
            a.note("patient.there", patient=found, openmrs_id=None)
        return found

    async def _find_or_create(
        self, a: _Attempt, place: Mapping[str, Any], ours: str, *, again: bool, voided: bool = False
    ) -> str:
        """``voided``: the patient it was under is, so somebody else may carry her identifiers (a merge moves them),
        but none is made in her place. Raises Stop."""
        found = await self._chosen(a)
        found = found or await self._search_patient(a, ours, merged=voided) or await self._by_national(a)
        if found is None and voided:
            raise Stop("openmrs.patient_voided")
        if found is None and (again or a.step == "patient" or a.delivery.unsure):
            found = self._living(await self._read_patient(ours))
        if found is None:
            found = await self._is_there(a, ours)
        if found is None:
            async with a.progress.lane(f"openmrs:{self.name}:create"):
                # Alone from here on: the server does not keep identifiers unique by itself (363-369).
                found = await self._search_patient(a, ours) or await self._create_patient(a, place, ours)
        return found

    # ------------------------------------------------------------ who a person said it is

    async def _chosen(self, a: _Attempt) -> str | None:
        """The patient a person said she is, followed to where it was merged. Raises Stop when she is nowhere."""
        match = a.payload.get("match") or {}
        chosen = match.get("patient")
        if not chosen:
            a.remote.pop("chosen", None)
            return None
        found, row = str(chosen), await self._read_patient(str(chosen))
        if row is None or row.get("voided") is True:  # a voided one has no identifiers any more (185)
            found = await self._carrier(match.get("numbers") or ())
            self._follows(a, str(chosen))
        a.remote["chosen"] = str(chosen)
        return found

    @staticmethod
    def _follows(a: _Attempt, gone: str) -> None:
        """Write down, with the patient, whom she was followed from."""
        past = a.remote.get("followed") or []
        if gone not in past:
            a.remote["followed"] = [*past, gone]

    async def _carrier(self, numbers: Sequence[Sequence[str]]) -> str:
        """The one living patient who carries a number of one who is gone: a merge moves them. The clinic's own number
        first: another may be shared. Raises Stop."""
        own, several = str(self.openmrs["identifier_types"]["openmrs_id"]), False
        for kind, value in sorted(numbers, key=lambda one: one[0] != own):
            found = await self._carriers(str(kind), str(value))
            if len(found) == 1:
                return found[0].id
            several = several or bool(found)
        raise Stop("openmrs.patient_ambiguous" if several else "openmrs.patient_gone")

    async def _by_national(self, a: _Attempt) -> str | None:
        """The one living patient with her national identifier, if she is certain: a child may have been given her
        mother's, twins one between them. Raises Stop when a person must say who it is."""
        kind, value = self.openmrs["identifier_types"].get("national"), a.payload.get("national_id")
        if not kind or not value or (a.payload.get("match") or {}).get("new"):
            return None
        found = await self._carriers(str(kind), str(value))
        if not found:
            return None
        one = found[0]
        if len(found) == 1 and not one.ours and openmrs_matching.certain(a.payload, one):
            return one.id
        # Not certain, several with one card, or another person of the app.
        raise Stop("openmrs.match_review", candidates=await self._to_ask_about(a, found))

    async def _to_ask_about(self, a: _Attempt, carriers: Sequence[openmrs_matching.Candidate]) -> list[Json]:
        """Who carries an identifier of hers, and who else looks like her: the number may stand in the wrong file."""
        person = openmrs_matching.wanted(a.payload)
        found = await openmrs_matching.search(self.rest, person, self.openmrs)
        return openmrs_matching.kept(
            openmrs_matching.with_carriers(person, found, carriers, openmrs_matching.on_day(a.payload), self._ask_from)
        )

    @property
    def _ask_from(self) -> int:
        return int((self.openmrs.get("match") or {}).get("ask_from", openmrs_matching.ASK_FROM))

    async def _is_there(self, a: _Attempt, ours: str) -> str | None:
        """Somebody at the clinic looks like her: nothing is made before a person has said who it is. Raises Stop;
        returns our own patient, whom a lost create made meanwhile."""
        if (a.payload.get("match") or {}).get("new"):
            return None
        person = openmrs_matching.wanted(a.payload)
        found = await openmrs_matching.search(self.rest, person, self.openmrs)
        if ours in found:
            return ours
        asked = openmrs_matching.worth_asking(person, found, openmrs_matching.on_day(a.payload), self._ask_from)
        if asked:
            raise Stop("openmrs.match_review", candidates=openmrs_matching.kept(asked))
        return None

    def _otherwise(self, a: _Attempt) -> bool:
        """A person has said since that she is another patient than the one the referral is under, or took back what
        had been said."""
        said_, known = (a.payload.get("match") or {}).get("patient"), a.remote.get("patient")
        if not said_:
            return bool(a.remote.get("chosen"))
        return said_ != known and said_ not in (a.remote.get("chosen"), *(a.remote.get("followed") or ()))

    async def _elsewhere(self, a: _Attempt) -> bool:
        """It was sent for another registration of the person than the one kept now, or to another patient than the one
        she is said to be, and nobody at the clinic has begun with it: who has begun keeps it under the patient it is
        under."""
        if self._known_by(a) == person_key(a.payload) and not self._otherwise(a):
            return False
        if self.profile != "o3":
            return True
        return all(row.get("status") in ("Scheduled", "Cancelled") for row in await self._search_appointments(a))

    @staticmethod
    def _known_by(a: _Attempt) -> str:
        """The identifier of the patient the referral is under."""
        same = a.payload.get("same_person") or {}
        return str(a.remote.get("by") or same.get("own") or person_key(a.payload))

    async def _move(self, a: _Attempt, place: Mapping[str, Any], known: str, ours: str) -> str:
        """To the patient of the id that is kept. Where the clinic has none, the one under another id of hers goes on;
        but one who is somebody else after all (the declaration was taken back) does not."""
        by = self._known_by(a)
        found = await self._chosen(a) or await self._carries(a, person_key(a.payload), ours)
        if found is None and by in _other_ids(a.payload):
            found = self._living(await self._read_patient(known))
        if found is None:
            found = await self._find_or_create(a, place, ours, again=True)
        if found == known:  # under whatever id of hers
            return found
        a.note(
            "patient.there", patient=found, by=person_key(a.payload), moved=found, appointment=None, service=None,
            openmrs_id=None,
        )  # fmt: skip
        return found

    async def _create_patient(self, a: _Attempt, place: Mapping[str, Any], ours: str) -> str:
        body = patient_body(a.payload, self.openmrs, place["location"], "")
        ours_only = {**body, "identifiers": body["identifiers"][1:]}  # the other number is the server's own
        await self._must_have(ours_only, {"types": [self.openmrs["idgen_source"], *_types(body)]})
        for last in (False, True):
            number = str(a.remote.get("openmrs_id") or await self._next_identifier())
            if self._lacks is not None and self._lacks.check_digit and not passes_luhn_mod_30(number):
                a.note(a.step, openmrs_id=None)
                self._doubted = True  # the administrator may mend the type as well as the source
                raise Stop("openmrs.identifier_check", answer=number)
            a.note("patient", openmrs_id=number)
            body = patient_body(a.payload, self.openmrs, place["location"], number)
            try:
                row = await self.rest.create(
                    "patient", body, lambda: self._read_patient(ours), lambda row: row.get("uuid") == ours
                )
            except Stop as stop:
                if REASONS[stop.code].verdict is Verdict.REJECTED:
                    a.note("patient", openmrs_id=None)  # nobody has this number from us: the next try takes the next
                if last or stop.code != "openmrs.identifier_in_use" or number not in stop.answer:
                    raise
                continue  # somebody typed this number by hand
            return self._living(row) or ours
        raise AssertionError("unreachable")

    async def _next_identifier(self) -> str:
        source = self.openmrs["idgen_source"]
        said_ = await self.rest.read("POST", f"idgen/identifiersource/{source}/identifier", json={})
        if said_.code is not None:
            raise said_.stop()
        number = said_.body.get("identifier") if isinstance(said_.body, dict) else None
        if not isinstance(number, str) or not number.strip():
            raise Stop("openmrs.not_json", status=said_.status)
        return number

    async def _read_patient(self, uuid: str) -> Json | None:
        return await self.rest.row("patient", uuid, v=_PATIENT)

    @staticmethod
    def _living(row: Mapping[str, Any] | None) -> str | None:
        if row is None:
            return None
        if row.get("voided") is True:
            raise Stop("openmrs.patient_voided")
        return uuid_of(row)

    async def _search_patient(self, a: _Attempt, ours: str, *, merged: bool = False) -> str | None:
        """The one living patient who carries exactly this identifier of exactly our type.

        The search itself finds the value inside other values and whatever the case (135, 168, 898-916). Nobody there:
        one who carries another id that was declared to be of the same person. ``merged``: whoever carries it is she.
        """
        for value in (person_key(a.payload), *_other_ids(a.payload)):
            found = await self._carries(a, value, ours, merged=merged or value != person_key(a.payload))
            if found is not None:
                if a.payload.get("same_person"):
                    a.remote["by"] = value  # written down with the patient
                return found
        return None

    async def _carries(self, a: _Attempt, value: str, ours: str, *, merged: bool = False) -> str | None:
        """Our own patient, or another whom the clinic gave the identifier: by a merge, or by hand, and then it may
        stand in the file of her child or her twin. Raises Stop when a person must say."""
        found = await self._carriers(self.openmrs["identifier_types"]["chw"], value)
        if any(one.id == ours for one in found):
            return ours
        if len(found) > 1:
            raise Stop("openmrs.patient_ambiguous")
        if not found or merged or openmrs_matching.certain(a.payload, found[0]):
            return found[0].id if found else None
        row = await self._read_patient(ours)
        if row is not None and row.get("voided") is True:  # merged: her identifiers moved
            return found[0].id
        if (a.payload.get("match") or {}).get("new"):
            return None  # somebody said it is none of these: the identifier is the clinic's to take away
        raise Stop("openmrs.match_review", candidates=await self._to_ask_about(a, found))

    async def _carriers(self, kind: str, value: str) -> list[openmrs_matching.Candidate]:
        """Living patients with exactly this identifier of exactly this type."""
        found: list[openmrs_matching.Candidate] = []
        start = 0
        while True:
            page = await self.rest.get(
                "patient", identifier=value, v=openmrs_matching.VIEW, limit="50", startIndex=str(start)
            )
            if page is None:
                raise Stop("openmrs.not_json", status=404)  # a search is never "not found"
            rows = listed(page.get("results"))
            living = [openmrs_matching.read(row, self.openmrs) for row in rows if not row.get("voided")]
            found += [one for one in living if (kind, value) in one.numbers]
            start += len(rows)
            if len(rows) < 50 or start >= 1000:
                return found

    # ------------------------------------------------------------ encounter

    async def _encounter(self, a: _Attempt, place: Mapping[str, Any], patient: str) -> bool:
        """Make the clinic hold what the referral says; False when somebody there has voided it."""
        body = encounter_body(a.payload, self.openmrs, place["location"], self.zone)
        digest = _said(a, body)
        if await self._voided_there(a, digest):
            return False
        noted = a.remote.get("encounter")
        uuid, replaces, started = self._encounter_id(a, digest)
        if noted == uuid and a.step in ("encounter.there", "appointment", "done") and not replaces:
            return True
        row = None
        if started or a.delivery.unsure:
            row = await self._read_encounter(uuid)
        if row is None:
            a.note("encounter", encounter=uuid, said=digest, replaces=replaces or None, withdrawn=None, gone=None)
            posted = {**body, "uuid": uuid, "patient": patient}
            row, looked = await self._create_encounter(posted)
            a.fresh = not (noted or looked)
            if not started and "voided" in row and not row["voided"] and not await self._holds(row, body):
                # It was there before our first attempt (an earlier life of this database) and says something else.
                replaces = [*replaces, uuid]
                uuid = self.names.uuid("Encounter", a.delivery.key, digest, uuid)
                a.note("encounter", encounter=uuid, said=digest, replaces=replaces)
                row, _ = await self._create_encounter({**posted, "uuid": uuid})
        voided = row.get("voided") is True
        if row.get("location") is None and not voided:
            a.note("encounter.dropped", encounter=uuid, said=digest)
            raise Stop("openmrs.location_dropped")  # 281: 201, location null
        await self._void_replaced(replaces)
        a.note("encounter.there", encounter=uuid, said=digest, replaces=None, gone=uuid if voided else None)
        return not voided

    async def _void_replaced(self, replaces: Sequence[str]) -> None:
        for old in replaces:
            await self._void_encounter(old, "corrected by the community health worker")

    async def _voided_there(self, a: _Attempt, digest: str) -> bool:
        """Somebody at the clinic voided what is there of this referral: a correction does not bring it back. What we
        voided ourselves is another matter (``withdrawn``, ``replaces``)."""
        noted = a.remote.get("encounter")
        if not noted or a.remote.get("withdrawn"):
            return False
        if a.remote.get("gone") == noted:
            return True
        if a.remote.get("said") == digest or a.step == "encounter.dropped":
            return False  # nothing is to be replaced, or nobody has seen it
        row = await self._read_encounter(str(noted))
        if row is None or row.get("voided") is not True:
            return False
        await self._void_replaced(a.remote.get("replaces") or [])  # a correction that was broken off
        a.note("encounter.there", gone=noted, replaces=None)
        return True

    def _encounter_id(self, a: _Attempt, digest: str) -> tuple[str, list[str], bool]:
        """The id for what is wanted now, the ids it replaces, and whether a create may have been sent under it."""
        noted = a.remote.get("encounter")
        replaces = list(a.remote.get("replaces") or [])
        if not noted:
            return str(a.payload["encounter"]["id"]), replaces, False
        if a.remote.get("gone") == noted and not a.remote.get("withdrawn"):
            return str(noted), replaces, True
        if a.remote.get("said") == digest and a.step != "encounter.dropped" and not a.remote.get("withdrawn"):
            return str(noted), replaces, True
        return self.names.uuid("Encounter", a.delivery.key, digest, noted), [*replaces, str(noted)], False

    async def _create_encounter(self, body: Json) -> tuple[Json, bool]:
        """The row, and whether it had to be looked for: then it may be older than this attempt."""
        uuid, looked = str(body["uuid"]), False

        async def look() -> Json | None:
            nonlocal looked
            looked = True
            return await self._read_encounter(uuid)

        row = await self.rest.create("encounter", body, look, lambda row: row.get("uuid") == uuid)
        return row, looked

    async def _read_encounter(self, uuid: str) -> Json | None:
        return await self.rest.row("encounter", uuid, v=_ENCOUNTER)

    async def _holds(self, row: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
        """Whether an encounter holds the wanted obs. A row as the create answered it is ours by definition."""
        obs = listed(row.get("obs") or [])
        if obs and "concept" not in obs[0]:
            return True
        references = {ref for item in body["obs"] for ref in (item["concept"], item["value"]) if _mapped(ref)}
        for reference in sorted(references - set(self._concepts)):
            concept = await self.rest.get(f"concept/{reference}", v="custom:(uuid)")
            if concept is None:
                return True  # cannot be compared; what is there stays
            self._concepts[reference] = uuid_of(concept)
        return same_findings(obs, body["obs"], self._concepts)

    async def _void_encounter(self, uuid: str, reason: str) -> None:
        said_ = await self.rest.write("DELETE", f"encounter/{uuid}", params={"reason": reason})
        if said_ is None:
            raise Stop("openmrs.lost")
        if said_.code is not None and said_.status != 404:
            raise said_.stop()
        if said_.status != 204:  # 184, 321: a void says nothing; what says something is not relied on
            row = await self._read_encounter(uuid)
            if row is not None and row.get("voided") is not True:
                raise Stop("openmrs.lost", status=said_.status)

    # ------------------------------------------------------------ appointment

    async def _appointment(self, a: _Attempt, place: Mapping[str, Any], patient: str) -> None:
        service = place["service"]
        body = appointment_body(a.payload, self.openmrs, place, patient, self.zone)
        stands = a.remote.get("appointment") and a.remote.get("service") == service
        if not stands and not await self._find_appointment(a, service, patient):
            await self._book(a, body, service)
        elif a.remote.get("told") not in (None, _told(body)):
            if await self._take_back(a):
                await self._book(a, body, service)
            else:
                a.remote["told"] = _told(body)  # not asked again

    async def _find_appointment(self, a: _Attempt, service: str, patient: str) -> bool:
        """Whether an appointment stands that is to stay; what is to be cancelled is."""
        rows = [] if a.fresh else await self._search_appointments(a)
        asked, moved = a.remote.get("cancelled") or [], a.remote.get("moved")
        # What was to be cancelled and is not yet, and what nobody has touched of the patient it was under before, or
        # that has no place (654).
        left = [
            row
            for row in rows
            if row.get("status") == "Scheduled"
            and (uuid_of(row) in asked or _placeless(row) or (moved and ref(row, "patient") != patient))
        ]
        for row in left:
            await self._cancel(a, row)
        if left:
            rows = await self._search_appointments(a)
        same = [row for row in rows if ref(row, "service") == service]
        if rows and (same or a.remote.get("service") in (None, service)):
            best = sorted(same or rows, key=lambda row: row.get("status") == "Cancelled")[0]
            told = a.remote.get("told") or _told(best)
            a.note("appointment.there", appointment=uuid_of(best), service=service, told=told)
            return True
        touched = [row for row in rows if row.get("status") not in ("Scheduled", "Cancelled")]
        if touched:  # the patient is already there: whatever changed on our side, leave it
            a.note("appointment.there", appointment=uuid_of(touched[0]), service=service, told=None)
            return True
        for row in rows:
            await self._cancel(a, row)
        return False

    async def _book(self, a: _Attempt, body: Json, service: str) -> None:
        a.note("appointment", service=service, appointment=None, earliest=self._earliest(a), told=_told(body))
        number = body["appointmentNumber"]
        row = await self.rest.create(
            "appointments",
            body,
            lambda: self._first_appointment(a),
            lambda row: row.get("appointmentNumber") == number and bool(row.get("uuid")),
        )
        if row.get("location") is None:
            a.note("appointment.dropped", service=service)  # it is looked for, cancelled and made again
            raise Stop("openmrs.location_dropped")  # 654
        a.note("appointment.there", appointment=uuid_of(row), service=service)

    async def _take_back(self, a: _Attempt) -> bool:
        """What the day's list says of the referral (urgency, note) is no longer true: the appointment is cancelled, to
        be made again, unless somebody has begun with it or has written there."""
        ours = str(a.remote["appointment"])
        for row in await self._search_appointments(a):
            if uuid_of(row) == ours and row.get("status") == "Scheduled" and _told(row) == a.remote["told"]:
                a.note(a.step, appointment=None)
                await self._cancel(a, row)
                if ours in (a.remote.get("cancelled") or ()):
                    return True
                a.note(a.step, appointment=ours)
        return False

    async def _search_appointments(self, a: _Attempt) -> list[Json]:
        """Every appointment with our number but those we have cancelled ourselves."""
        day = date.fromisoformat(self._earliest(a)) - _WINDOW
        window = {
            "startDate": stamp(datetime(day.year, day.month, day.day, tzinfo=self.zone)),
            "appointmentNumber": str(a.payload["number"])[:50],
        }
        said_ = await self.rest.read("POST", "appointments/search", json=window)
        if said_.status == 404:
            raise Stop("openmrs.module_missing", status=404)
        if said_.code is not None:
            raise said_.stop()
        found = listed(said_.body)
        ours = [row for row in found if row.get("appointmentNumber") == window["appointmentNumber"]]
        if found and not ours:  # the server compares the whole number: this answers another question
            raise Stop("openmrs.not_json", status=said_.status)
        cancelled = set(a.remote.get("cancelled") or [])
        return [
            row
            for row in ours
            if not row.get("voided")
            and (uuid_of(row) not in cancelled or row.get("status") == "Scheduled")  # else asked, not yet done
        ]

    @staticmethod
    def _earliest(a: _Attempt) -> str:
        """The first day an appointment was asked for: a corrected date does not move the appointment."""
        return min(str(a.payload["date"]), str(a.remote.get("earliest") or a.payload["date"]))

    async def _first_appointment(self, a: _Attempt) -> Json | None:
        rows = await self._search_appointments(a)
        return rows[0] if rows else None

    async def _cancel(self, a: _Attempt, row: Mapping[str, Any]) -> None:
        """Cancel an appointment nobody has touched; a refusal means somebody just has, and it stays theirs."""
        uuid = uuid_of(row)
        others = [one for one in a.remote.get("cancelled") or [] if one != uuid]
        a.note(a.step, cancelled=[*others, uuid])
        if row.get("status") != "Scheduled":
            return
        said_ = await self.rest.write("POST", f"appointments/{uuid}/status-change", json={"toStatus": "Cancelled"})
        if said_ is None:
            raise Stop("openmrs.lost")
        if said_.code in OF_TARGET:
            raise said_.stop()
        done = said_.body if isinstance(said_.body, dict) else {}
        if said_.code is None and (done.get("uuid"), done.get("status")) == (uuid, "Cancelled"):
            return
        now = await self.rest.row("appointments", uuid)
        if now is not None and now.get("status") == "Scheduled":  # refused, and nobody has touched it
            unsure = said_.code in (None, "openmrs.server_error")
            raise Stop("openmrs.lost", status=said_.status) if unsure else said_.stop()
        if now is not None and now.get("status") != "Cancelled":
            a.note(a.step, cancelled=others or None)

    # ------------------------------------------------------------ taken back

    async def _withdraw(self, a: _Attempt) -> Outcome:
        # Before anything is taken away: should the same referral be wanted again, half of it may be gone by then.
        a.note("withdraw", withdrawn=True, appointment=None, service=None)
        noted = a.remote.get("encounter") or (a.payload.get("encounter") or {}).get("id")
        for uuid in dict.fromkeys(filter(None, [*(a.remote.get("replaces") or []), noted])):
            row = await self._read_encounter(str(uuid))
            if row is not None and row.get("voided") is not True:
                await self._void_encounter(str(uuid), "withdrawn by the community health worker")
        if self.profile == "o3":
            for row in await self._search_appointments(a):
                if row.get("status") == "Scheduled":
                    await self._cancel(a, row)
        a.note("withdrawn", replaces=None)
        return accepted("openmrs.withdrawn", a.remote.get("encounter"))

    # ------------------------------------------------------------ reading back

    async def find_again(self, delivery: Delivery) -> Json | None:
        """What the clinic holds of this referral, whatever our database remembers: the ids to go on with, None when
        nothing living is there. For after a restore: a correction that was forgotten has an id made from an encounter
        that was forgotten, too. Raises TargetUnreadable."""
        a = _Attempt(delivery, _Silent())
        place = (self.openmrs.get("places") or {}).get(a.payload.get("to") or "")
        if not a.payload.get("encounter") or not a.payload.get("patient") or place is None:
            return None
        try:
            patient = await self._chosen(a)
            patient = patient or await self._search_patient(a, str(a.payload["patient"]["id"]), merged=True)
            rows = await self._our_encounters(patient, str(a.payload["number"])) if patient else []
            if not rows:
                return None
            body = encounter_body(a.payload, self.openmrs, place["location"], self.zone)
            newest = rows[-1]
            mark = _said(a, body) if await self._holds(newest, body) else str(a.remote.get("said") or "")
        except Stop as stop:
            raise TargetUnreadable.because(stop.code, REASONS[stop.code], self.name) from None
        return {**a.remote, "patient": patient, "encounter": str(newest["uuid"]), "said": mark}

    async def _our_encounters(self, patient: str, number: str) -> list[Json]:
        """The living referral encounters of a patient that carry this number."""
        concept, found, start = self.openmrs["concepts"]["number"], [], 0
        while True:
            page = await self.rest.get(
                "encounter", patient=patient, encounterType=self.openmrs["encounter_type"], v=_ENCOUNTER,
                limit="50", startIndex=str(start),
            )  # fmt: skip
            rows = (page or {}).get("results") or []
            found += [
                row
                for row in rows
                if not row.get("voided")
                and any(
                    (obs.get("concept") or {}).get("uuid") == concept and obs.get("value") == number
                    for obs in row.get("obs") or []
                    if not obs.get("voided")
                )
            ]
            start += len(rows)
            if len(rows) < 50 or start >= 1000:
                return found

    async def _look_up(self, delivery: Delivery) -> Observed | None:
        a = _Attempt(delivery, _Silent())
        place = (self.openmrs.get("places") or {}).get(a.payload.get("to") or "")
        if not a.payload.get("encounter") or place is None:
            return None
        body = encounter_body(a.payload, self.openmrs, place["location"], self.zone)
        uuid, replaces, _ = self._encounter_id(a, _said(a, body))
        if a.payload.get("deleted"):
            uuid, replaces = str(a.remote.get("encounter") or a.payload["encounter"]["id"]), []
        row = await self._read_encounter(uuid)
        appointments = await self._search_appointments(a) if self.profile == "o3" else []
        if a.payload.get("deleted"):
            gone = row is None or row.get("voided") is True
            return Observed(gone and all(r.get("status") != "Scheduled" for r in appointments))
        if row is None and not appointments:
            return None
        remote: Json = {}
        matches = False
        if row is not None:
            remote = {"patient": ref(row, "patient"), "encounter": uuid, "said": _said(a, body)}
            holds = row.get("location") is not None and await self._holds(row, body)
            matches = row.get("voided") is True or (holds and not replaces)
        if any(r.get("status") == "Scheduled" and _placeless(r) for r in appointments):
            matches = False  # to be cancelled and made again (654)
        elif appointments:
            remote |= {"appointment": uuid_of(appointments[0]), "service": ref(appointments[0], "service")}
        elif self.profile == "o3" and (row or {}).get("voided") is not True:
            matches = False
        detail = {
            "encounter": {"there": row is not None, "voided": (row or {}).get("voided") is True},
            "appointments": [{"uuid": uuid_of(r), "status": str(r.get("status"))} for r in appointments],
        }
        return Observed(matches, remote, detail)


def _other_ids(payload: Mapping[str, Any]) -> Sequence[str]:
    """Identifiers of the same person that are not the one that is kept."""
    return tuple((payload.get("same_person") or {}).get("ids") or ())


def _said(a: _Attempt, body: Json) -> str:
    """The digest of what the encounter says; for a patient it was moved to it is another encounter."""
    moved = a.remote.get("moved")
    return said({**body, "patient": moved} if moved else body)


def _told(appointment: Mapping[str, Any]) -> str:
    """The digest of what an appointment says of the referral in the day's list."""
    return said({"comments": str(appointment.get("comments") or "")})


def _placeless(appointment: Mapping[str, Any]) -> bool:
    return "location" in appointment and appointment["location"] is None


def _types(body: Json) -> list[str]:
    return [one["identifierType"] for one in body["identifiers"]]


def _mapped(reference: Any) -> bool:
    return isinstance(reference, str) and reference.startswith("CIEL:")


class _Silent:
    """A ``Progress`` for looking only."""

    def note(self, delivery: Delivery, *, step: str, remote: Mapping[str, Any]) -> None:
        raise AssertionError("looking writes nothing")

    def lane(self, name: str) -> Any:
        raise AssertionError("looking takes no lane")
