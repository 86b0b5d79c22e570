"""DHIS2's tracker as a target: people with their enrolment, and events, under identifiers of ours. For 2.38 to 2.43.

A batch is a request of people, one of events and one of removals, ``async=false`` and ``atomicMode=OBJECT``, one batch
at a time: two creations of one person race (525, 2.43: a 500). Each object is judged by the report alone. Identifiers
are made from our keys, so that the same thing sent twice is one thing; what is there under another is looked up and its
identifier kept in the row before the next request:

    E1064               another person has the unique attribute: she is ours from then on
    E1015, E1016        she is enrolled already: that enrolment is taken
    E1114, E1113, E1082 deleted there, and the identifier stays taken for ever: the next one in a row

What is there under another identifier was written by somebody else. So an enrolment that was taken is never written,
and of a person who was taken no attribute that she had (unless the pack says ``on_existing: overwrite``).

Bodies are not packed: no recording shows that this importer unpacks them.
Numbers in comments are of recordings/dhis2-2.42. Settings: ``batch`` (100), ``token``, ``settles_within`` (180 s),
``max_answer_bytes``, ``org_units`` (codes the pack writes to: ``probe`` looks for them).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import httpx
import orjson

from connector import http
from connector.adapters import dhis2_looking as looking
from connector.adapters import dhis2_tracker_answers as answers
from connector.adapters.dhis2 import HEADERS, send_token
from connector.adapters.dhis2_answers import fault_of
from connector.adapters.dhis2_looking import Stop as _Stop
from connector.adapters.dhis2_looking import unavailable as _unavailable
from connector.adapters.dhis2_metadata import UID
from connector.adapters.dhis2_probe import Asked, unreachable
from connector.adapters.dhis2_tracker_metadata import FIELDS, Field, Program, Stage, program_of
from connector.adapters.dhis2_tracker_probe import examine
from connector.errors import TargetUnreadable
from connector.identity import Names, canonical, digest
from connector.mappings.pack import Tracker
from connector.model import Capabilities, Delivery, Finding, Observed, Outcome, Verdict
from connector.ports import Progress

Json = dict[str, Any]
#: Requests for one object at most; each after something was looked up or another identifier chosen.
_ROUNDS = 4
#: A body that every proxy takes; bigger ones are cut.
_MAX_BODY = 1024 * 1024
_MAX_ANSWER = 8 * 1024 * 1024
#: Refusals after which the remembered metadata may be out of date.
_STALE = {
    f"dhis2.E{number}"
    for number in (1005, 1006, 1010, 1011, 1013, 1019, 1029, 1041, 1049, 1069, 1070, 1089, 1304, 1305)
}
_PERSON, _ENROLLMENT, _EVENT = "TRACKED_ENTITY", "ENROLLMENT", "EVENT"


@dataclass(slots=True)
class _Item:
    """A delivery on its way, with the row's ``remote`` as it is by now: of a person ``trackedEntity`` and
    ``enrollment`` (taken over, not ours), ``theirs`` (attributes not to write), ``unit`` (of her, not ours),
    ``entity_n``, ``enrollment_n`` (how often an identifier was found deleted), ``enrolled`` (digest of the enrolment
    that is there); of an event ``n``."""

    delivery: Delivery
    remote: Json = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.remote = dict(self.delivery.remote)

    @property
    def payload(self) -> Mapping[str, Any]:
        return self.delivery.payload

    def note(self, progress: Progress, **changes: Any) -> None:
        """Keep it in the row before the next request leaves; None removes."""
        self.remote = {key: value for key, value in {**self.remote, **changes}.items() if value is not None}
        progress.note(self.delivery, step=self.delivery.step, remote=self.remote)


class Dhis2TrackerTarget:
    """``ports.Target`` for the kinds ``tracked_entity`` and ``event``; payloads are those of ``engine.tracker``."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        name: str,
        settings: Mapping[str, Any],
        names: Names,
        tracker: Tracker | None = None,
        overwrite: bool = False,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """``now`` is asked only to compare clocks and for the life of our tokens."""
        self._now = now
        self._date = ""  #: ``Date`` of the last answer
        self.settings = settings
        self.client = client
        self.name = name
        settles = timedelta(seconds=float(settings.get("settles_within", 180)))
        size = int(settings.get("batch", 100))
        self.capabilities = Capabilities(max_batch=size, settles_within=settles, ordered=False)
        self._names = names
        self._tracker = tracker
        self._overwrite = overwrite
        self._max_bytes = int(settings.get("max_answer_bytes", http.MAX_BYTES))
        self._programs: dict[str, Program] = {}
        self._asked: set[str] = set()  #: programs asked for in this batch: once is enough for all that lack a code
        send_token(client, settings)

    # ------------------------------------------------------------ the port

    async def deliver(self, batch: Sequence[Delivery], progress: Progress) -> Sequence[Outcome]:
        """People, then events, then removals; an event of a person who was refused waits for her. A failure of the
        target ends the batch. Raises LaneBusy before anything is sent."""
        async with progress.lane(f"dhis2_tracker:{self.name}"):
            self._asked.clear()
            items = [_Item(one) for one in batch]
            people = [one for one in items if one.delivery.kind == "tracked_entity"]
            gone = [one for one in items if one.payload.get("deleted")]
            events = [one for one in items if one.delivery.kind == "event" and not one.payload.get("deleted")]
            done: dict[int, Outcome] = {}
            await self._still_enrolled(people, done, progress)
            ready_people = [one for one in people if id(one) not in done]
            await self._all(ready_people, done, self._person, self._resolve_person, progress)
            sent = {one.delivery.key: one for one in people}
            ready = []
            for one in events:
                person = sent.get(one.payload["person"])
                stored = person is not None and done[id(person)].verdict is Verdict.ACCEPTED
                there = person.remote if stored and person is not None else one.payload.get("entity")
                if there is None:
                    waits = Outcome(Verdict.DEFERRED, "dhis2.person_first", patient=True)
                    done[id(one)] = _down(done) or waits
                else:
                    ready.append((one, there))
            entities = {id(one): there for one, there in ready}

            def event(program: Program, one: _Item) -> Json:
                return self._event(program, one, entities[id(one)])

            await self._all([one for one, _ in ready], done, event, self._resolve_event, progress)
            await self._remove(gone, done)
        self._forget_if_stale(done.values())
        return [done[id(one)] for one in items]

    async def look_up(self, delivery: Delivery) -> Observed | None:
        """What is there under the identifiers of the row, field by field. Raises TargetUnreadable."""
        one = _Item(delivery)
        try:
            if delivery.kind == "event":
                return await self._look_up_event(one)
            return await self._look_up_person(one)
        except _Stop as stop:
            code = stop.outcome.reason
            raise TargetUnreadable.because(code, answers.reason(code), self.name) from stop

    async def probe(self) -> Sequence[Finding]:
        """Version, account and every code of ``tracker.yaml``. Forgets the remembered metadata first."""
        self._programs.clear()
        assert self._tracker is not None
        units = self.settings.get("org_units") or ()
        try:
            info = await self._get("/api/system/info", {"fields": looking.INFO})
            said_at = self._date
            me = await self._get("/api/me", {"fields": looking.ME})
            program = await self._find(self._tracker.program)
            lacking = [code for code in units if program is not None and code not in program.units]
            elsewhere = await looking.there(self._get, "organisationUnits", lacking)
        except _Stop as stop:
            return [unreachable(stop.outcome.reason, answers.reason(stop.outcome.reason))]
        found = examine(self.name, Asked(info, me), self._tracker, program, units, elsewhere)
        return [*found, *await looking.in_time(self._get, self.settings, self.name, said_at, self._now)]

    async def token_ends(self) -> datetime | None:
        try:
            return await looking.token_end(self._get, self.settings, self._now)
        except _Stop as stop:
            code = stop.outcome.reason
            raise TargetUnreadable.because(code, answers.reason(code), self.name) from stop

    # ------------------------------------------------------------ people

    def _entity_uid(self, uid: str, remote: Mapping[str, Any]) -> str:
        """Of a person by the UID made from her key and the row's ``remote``."""
        return str(remote.get("trackedEntity") or self._nth(uid, remote.get("entity_n", 0)))

    def _enrollment_uid(self, uid: str, remote: Mapping[str, Any], program: Program) -> str:
        """An enrolment never changes its person or program (E1127), so they are part of its name."""
        if taken := remote.get("enrollment"):
            return str(taken)
        own = self._names.dhis2_uid("enrollment", program.id, self._entity_uid(uid, remote))
        return self._nth(own, remote.get("enrollment_n", 0))

    def _uid(self, one: _Item) -> str:
        """Under which identifier the person or event of a delivery is there, or will be."""
        if one.delivery.kind == "event":
            return self._nth(one.payload["uid"], one.remote.get("n", 0))
        return self._entity_uid(one.payload["uid"], one.remote)

    def _nth(self, uid: str, n: int) -> str:
        return self._names.dhis2_uid(uid, str(n)) if n else uid

    def _person(self, program: Program, one: _Item) -> Json:
        """What is sent of a person. Raises _Stop. Her enrolment is sent only when it changed: sent again it would be
        opened again after a nurse closed it."""
        payload, uid = one.payload, self._uid(one)
        unit = _unit(program, payload["orgUnit"])
        theirs = set(one.remote.get("theirs", ()))
        attributes = [
            row
            for row in _fields("attribute", payload["attributes"], program.attributes, one, "dhis2.attribute_missing")
            if row["attribute"] not in theirs
        ]
        person = {
            "trackedEntity": uid,
            "trackedEntityType": program.entity_type,
            "orgUnit": one.remote.get("unit") or unit,
            "attributes": attributes,
        }
        made: Json = {"trackedEntities": [person]}
        enrollment = self._enrollment(program, one, unit)
        unsent = payload.get("fresh") or one.remote.get("enrolled") != digest(enrollment)
        if unsent and "enrollment" not in one.remote:
            made["enrollments"] = [enrollment]
        return made

    def _enrollment(self, program: Program, one: _Item, unit: str) -> Json:
        day = one.payload["enrolled"]
        return {
            "enrollment": self._enrollment_uid(one.payload["uid"], one.remote, program),
            "trackedEntity": self._uid(one),
            "program": program.id,
            "orgUnit": unit,
            "status": "ACTIVE",
            "enrolledAt": day,
            "occurredAt": day,
        }

    async def _still_enrolled(self, people: Sequence[_Item], done: dict[int, Outcome], progress: Progress) -> None:
        """Of people who are sent again, as after reading back: an enrolment that was taken is never written, so no
        refusal says that somebody removed it (353). Then another of hers is taken, or ours is made."""
        for one in people:
            taken = one.remote.get("enrollment")
            if not one.payload.get("fresh") or taken is None or _down(done) is not None:
                continue
            try:
                program = await self._program(one.payload)
                found = await self._read_person(program, self._uid(one))
            except _Stop as stop:
                done[id(one)] = stop.outcome
                continue
            if found is not None and all(row.get("enrollment") != taken for row in _enrollments(found)):
                one.note(progress, enrollment=_best_enrollment(found, program), enrolled=None)

    async def _resolve_person(
        self, program: Program, one: _Item, codes: Sequence[str], progress: Progress
    ) -> Outcome | None:
        """What to do about a refusal: another request (None) or this outcome. Raises _Stop."""
        if "E1114" in codes:  # 356
            one.note(
                progress,
                trackedEntity=None, theirs=None, unit=None, enrollment=None, enrolled=None,
                entity_n=one.remote.get("entity_n", 0) + 1,
            )  # fmt: skip
            return None
        if "E1113" in codes:  # 354
            one.note(progress, enrollment=None, enrolled=None, enrollment_n=one.remote.get("enrollment_n", 0) + 1)
            return None
        if "E1064" in codes:  # 301
            return await self._take_person(program, one, progress)
        if "E1015" in codes or "E1016" in codes:  # 321
            found = await self._read_person(program, self._uid(one))
            enrollment = _best_enrollment(found, program)
            if enrollment is not None:
                one.note(progress, enrollment=enrollment)
                return None
        if "E1049" in codes and one.remote.get("unit") is not None:  # hers is gone: units are merged, and people moved
            found = await self._read_person(program, self._uid(one))
            unit = found.get("orgUnit") if found is not None else None
            if isinstance(unit, str) and unit != one.remote["unit"]:
                one.note(progress, unit=unit)
                return None
        return self._refused(codes)

    async def _take_person(self, program: Program, one: _Item, progress: Progress) -> Outcome | None:
        """She who has one of the unique attributes is the person. Our own twin is one too (525)."""
        found: dict[str, Mapping[str, Any]] = {}
        for code, value in one.payload["attributes"].items():
            attribute = program.attributes[code]
            if value is None or not attribute.unique:
                continue
            for person in await self._search(program, attribute, value):
                found[str(person["trackedEntity"])] = person
        if len(found) != 1:
            code = "dhis2.duplicate_several" if found else "dhis2.duplicate_unseen"
            return Outcome(answers.reason(code).verdict, code)
        ((uid, person),) = found.items()
        if uid == self._uid(one):
            return None
        held = await self._read_person(program, uid) or person
        theirs = sorted(_attributes(held)) if not self._overwrite else None
        one.note(
            progress,
            trackedEntity=uid,
            theirs=theirs,
            unit=held.get("orgUnit") if isinstance(held.get("orgUnit"), str) else None,
            enrollment=_best_enrollment(held, program),
            enrolled=None,
        )
        return None

    async def _search(self, program: Program, attribute: Field, value: str) -> list[Mapping[str, Any]]:
        """People with exactly this value: those of the program (345), else of the type. Raises _Stop."""
        escaped = "".join(f"/{letter}" if letter in "/:," else letter for letter in value)
        shared = {
            "filter": f"{attribute.id}:EQ:{escaped}",
            "orgUnitMode": "ACCESSIBLE",
            "fields": "trackedEntity,orgUnit,attributes[attribute,value]",
        }
        for where in ({"program": program.id}, {"trackedEntityType": program.entity_type}):
            body = await self._get("/api/tracker/trackedEntities", {**shared, **where})
            rows = body.get("trackedEntities", body.get("instances"))  # "instances" up to 2.40
            if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
                raise _unavailable("dhis2.unavailable")
            same = [row for row in rows if _attributes(row).get(attribute.id) == value and row.get("trackedEntity")]
            if not all(_is_uid(row["trackedEntity"]) for row in same):
                raise _unavailable("dhis2.unavailable")
            if same:
                return same
        return []

    async def _read_person(self, program: Program, uid: str) -> Mapping[str, Any] | None:
        """With her attributes in the program and her enrolments; None when she is not there. Raises _Stop."""
        fields = (
            "trackedEntity,orgUnit,attributes[attribute,value],"
            "enrollments[enrollment,program,status,orgUnit,enrolledAt,deleted]"
        )
        return await self._read(f"/api/tracker/trackedEntities/{uid}", {"fields": fields, "program": program.id})

    async def _look_up_person(self, one: _Item) -> Observed | None:
        program = await self._program(one.payload)
        found = await self._read_person(program, self._uid(one))
        if found is None:
            return None
        if found.get("trackedEntity") != self._uid(one):
            raise _unavailable("dhis2.unavailable")  # the answer to another question
        made = self._person(program, one)
        wanted = {row["attribute"]: row["value"] for row in made["trackedEntities"][0]["attributes"]}
        held = _attributes(found)
        same = all(_same(held.get(uid), value) for uid, value in wanted.items())
        enrollment = self._enrollment(program, one, _unit(program, one.payload["orgUnit"]))
        rows = [row for row in _enrollments(found) if row.get("enrollment") == enrollment["enrollment"]]
        if not rows:
            return None
        if "enrollment" not in one.remote:
            same = same and rows[0].get("orgUnit") == enrollment["orgUnit"]
            same = same and str(rows[0].get("enrolledAt", ""))[:10] == enrollment["enrolledAt"]
        return Observed(same, {"enrolled": digest(enrollment)} if same else {})

    # ------------------------------------------------------------ events

    def _event(self, program: Program, one: _Item, person: Mapping[str, Any]) -> Json:
        """What is sent of an event. Raises _Stop."""
        payload = one.payload
        stage = _stage(program, payload["stage"])
        event = {
            "event": self._uid(one),
            "enrollment": self._enrollment_uid(payload["person"].partition("/")[2], person, program),
            "program": program.id,
            "programStage": stage.id,
            "orgUnit": _unit(program, payload["orgUnit"]),
            "occurredAt": payload["date"],
            "status": "COMPLETED",
            "dataValues": _fields("dataElement", payload["values"], stage.elements, one, "dhis2.stage_element_missing"),
        }
        return {"events": [event]}

    async def _resolve_event(
        self, program: Program, one: _Item, codes: Sequence[str], progress: Progress
    ) -> Outcome | None:
        if "E1082" in codes:  # 351
            one.note(progress, n=one.remote.get("n", 0) + 1)
            return None
        if {"E1313", "E1081", "E1033"} & set(codes):  # 320
            return Outcome(Verdict.DEFERRED, "dhis2.enrollment_missing", patient=True, http_status=200)
        return self._refused(codes)

    async def _look_up_event(self, one: _Item) -> Observed | None:
        fields = "event,enrollment,programStage,orgUnit,occurredAt,status,deleted,dataValues[dataElement,value]"
        found = await self._read(f"/api/tracker/events/{self._uid(one)}", {"fields": fields})
        gone = found is None or found.get("deleted") is True
        if one.payload.get("deleted"):
            return Observed(gone)
        if found is None or gone:
            return None
        if found.get("event") != self._uid(one):
            raise _unavailable("dhis2.unavailable")  # the answer to another question
        program = await self._program(one.payload)
        if one.payload.get("entity") is None:
            return Observed(False)
        (wanted,) = self._event(program, one, one.payload["entity"])["events"]
        told = found.get("dataValues")
        rows = [row for row in told if isinstance(row, Mapping)] if isinstance(told, list) else []
        held = {str(row.get("dataElement")): str(row.get("value")) for row in rows}
        same = all(_same(held.get(row["dataElement"]), row["value"]) for row in wanted["dataValues"])
        keys = ("enrollment", "programStage", "orgUnit")
        same = same and all(found.get(key) == wanted[key] for key in keys)
        return Observed(same and str(found.get("occurredAt", ""))[:10] == wanted["occurredAt"])

    async def _remove(self, gone: Sequence[_Item], done: dict[int, Outcome]) -> None:
        """What is not there, or deleted already, is removed (349, 350)."""
        if (down := _down(done)) is not None:
            done.update({id(one): down for one in gone})
            return
        for part in _parts([(one, {"events": [{"event": self._uid(one)}]}) for one in gone]):
            for one, outcome in zip([one for one, _ in part], await self._post(part, "DELETE"), strict=True):
                if isinstance(outcome, Outcome):
                    done[id(one)] = outcome
                elif not outcome or {"E1082", "E1032"} & set(outcome):
                    done[id(one)] = Outcome(Verdict.ACCEPTED, "dhis2.tracker_deleted", remote_id=self._uid(one))
                else:
                    done[id(one)] = self._refused(outcome)

    # ------------------------------------------------------------ requests

    async def _all(
        self,
        items: Sequence[_Item],
        done: dict[int, Outcome],
        make: Callable[[Program, _Item], Json],
        resolve: Callable[[Program, _Item, Sequence[str], Progress], Any],
        progress: Progress,
    ) -> None:
        """Send them until each has an outcome: refused ones are resolved and sent again, ``_ROUNDS`` times at most."""
        waiting = list(items)
        for _ in range(_ROUNDS):
            ready: list[tuple[_Item, Json]] = []
            programs: dict[int, Program] = {}
            for one in waiting:
                if (down := _down(done)) is not None:
                    done[id(one)] = down
                    continue
                try:
                    program = programs[id(one)] = await self._program(one.payload)
                    ready.append((one, make(program, one)))
                except _Stop as stop:
                    done[id(one)] = stop.outcome
            again: list[_Item] = []
            for part in _parts(ready):
                said: Sequence[Outcome | Sequence[str]]
                down = _down(done)
                said = [down] * len(part) if down is not None else await self._post(part, "CREATE_AND_UPDATE")
                for (one, made), told in zip(part, said, strict=True):
                    if isinstance(told, Outcome):
                        done[id(one)] = told
                    elif not told:
                        done[id(one)] = self._stored(one, programs[id(one)], made, progress)
                    else:
                        try:
                            outcome = await resolve(programs[id(one)], one, told, progress)
                        except _Stop as stop:
                            outcome = stop.outcome
                        done[id(one)] = outcome or self._refused(told)
                        if outcome is None:
                            again.append(one)
            waiting = again

    def _stored(self, one: _Item, program: Program, made: Json, progress: Progress) -> Outcome:
        for enrollment in made.get("enrollments", ()):
            one.note(progress, enrolled=digest(enrollment))
        return Outcome(Verdict.ACCEPTED, "dhis2.tracker_stored", remote_id=self._uid(one), http_status=200)

    def _refused(self, codes: Sequence[str]) -> Outcome:
        code = answers.refusal(codes)
        verdict = answers.reason(code).verdict
        said = " ".join(code for code in codes if len(code) < 10)
        return Outcome(verdict, code, http_status=200, answer=said, patient=verdict is Verdict.DEFERRED)

    async def _post(self, part: Sequence[tuple[_Item, Json]], strategy: str) -> list[Outcome | Sequence[str]]:
        """One request: for each either what it is called off with, or the codes it was refused for (none: stored).

        A request that is refused whole is cut in halves, so that one bad object never holds back the others (314)."""
        query = {"async": "false", "importStrategy": strategy, "atomicMode": "OBJECT", "reportMode": "FULL"}
        try:
            answer, body = await self._send("POST", "/api/tracker", params=query, content=_body(part), wrote=True)
        except _Stop as stop:
            whole = stop.outcome.reason in ("dhis2.bad_request", "dhis2.too_big")
            if not whole or len(part) == 1:
                return [stop.outcome] * len(part)
            half = len(part) // 2
            first = await self._post(part[:half], strategy)
            return first + await self._post(part[half:], strategy)
        report = answers.read_report(body)
        if report is None:
            lost = Outcome(Verdict.UNKNOWN, "dhis2.unreadable_answer", http_status=answer.status, answer=answer.text())
            return [lost] * len(part)
        return [_judge(report, made, answer) for _, made in part]

    async def _read(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any] | None:
        """An object; None when it is not there (347) or the account may not see it: sending it says which."""
        answer, body = await self._send("GET", path, params=query, wrote=False)
        if answer.status in (403, 404):
            return None
        if not answer.ok or not isinstance(body, Mapping):
            raise _unavailable("dhis2.unavailable", answer.status)
        return body

    async def _get(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        answer, body = await self._send("GET", path, params=query, wrote=False)
        if not isinstance(body, Mapping) or not answer.ok:
            raise _unavailable("dhis2.unavailable", answer.status)
        return body

    async def _send(self, method: str, path: str, *, wrote: bool, **kwargs: Any) -> tuple[http.Answer, Any]:
        """One exchange. Raises _Stop for everything but an answer that has to be read further."""
        headers = {**HEADERS, **({"Content-Type": "application/json"} if wrote else {})}
        most = min(self._max_bytes, _MAX_ANSWER) if wrote else self._max_bytes
        try:
            if wrote:
                answer = await http.request(self.client, method, path, max_bytes=most, headers=headers, **kwargs)
            else:
                answer = await http.read_with_retries(self.client, path, max_bytes=most, headers=headers, **kwargs)
        except http.NotSent as trouble:
            raise _unavailable("dhis2.unreachable") from trouble
        except http.Lost as lost:
            if wrote:
                raise _Stop(Outcome(Verdict.UNKNOWN, "dhis2.answer_lost", http_status=lost.status)) from lost
            raise _unavailable("dhis2.unreachable", lost.status) from lost
        self._date = answer.headers.get("date", "")
        try:
            body = answer.json() if answer.body else None
        except http.NotJson:
            body = None
        if answer.status in (403, 404) and isinstance(body, Mapping) and not wrote:
            return answer, body
        fault = fault_of(answer.status, answer.headers.get("location", ""), body, wrote=wrote)
        if fault is not None:
            raise _Stop(
                Outcome(
                    fault.verdict,
                    fault.code,
                    retry_after=answer.retry_after,
                    of_target=fault.of_target,
                    http_status=answer.status,
                    answer=answer.text(4000),
                )
            )
        return answer, body

    # ------------------------------------------------------------ metadata

    async def _program(self, payload: Mapping[str, Any]) -> Program:
        """The program of a payload; asked for again once when a code of the payload is not in it. Raises _Stop."""
        code = payload["program"]
        remembered = self._programs.get(code)
        usable = remembered is not None and remembered.entity_type and remembered.writable
        if remembered is not None and usable and (code in self._asked or _knows(remembered, payload)):
            return remembered
        found = await self._find(code)
        self._asked.add(code)
        if found is None:
            raise _unavailable("dhis2.program_missing")
        if not found.entity_type:
            raise _unavailable("dhis2.program_no_person")
        if not found.writable:
            raise _unavailable("dhis2.program_no_write")
        return found

    async def _find(self, code: str) -> Program | None:
        query = {"filter": f"code:eq:{code}", "fields": FIELDS, "paging": "false"}
        body = await self._get("/api/programs", query)
        try:
            found = [program_of(wire) for wire in body["programs"] if wire.get("code") == code]
        except (KeyError, TypeError, AttributeError) as error:
            raise _unavailable("dhis2.unavailable") from error
        self._programs.pop(code, None)
        if found:
            self._programs[code] = found[0]
        return found[0] if found else None

    def _forget_if_stale(self, outcomes: Any) -> None:
        if any(one.reason in _STALE for one in outcomes):
            self._programs.clear()


# ---------------------------------------------------------------- pure parts


def _down(done: Mapping[int, Outcome]) -> Outcome | None:
    """The target's own failure, if there was one: nothing more is sent."""
    return next((one for one in done.values() if one.of_target), None)


def _unit(program: Program, code: str) -> str:
    if code not in program.units:
        raise _Stop(Outcome(Verdict.REJECTED, "dhis2.program_no_unit"))
    return program.units[code].id


def _stage(program: Program, code: str) -> Stage:
    if code not in program.stages:
        raise _Stop(Outcome(Verdict.REJECTED, "dhis2.stage_missing"))
    return program.stages[code]


def _knows(program: Program, payload: Mapping[str, Any]) -> bool:
    """Is every code of the payload in what is remembered?"""
    stage = program.stages.get(payload["stage"]) if "stage" in payload else None
    if payload["orgUnit"] not in program.units or ("stage" in payload and stage is None):
        return False
    known = stage.elements if stage is not None else program.attributes
    return set(payload.get("values", payload.get("attributes", ()))) <= set(known)


def _fields(
    key: str, values: Mapping[str, str | None], known: Mapping[str, Field], one: _Item, missing: str
) -> list[Json]:
    """Attributes or data values. What is left out stays as it is there, and null deletes it (292, 294): so what is not
    known any more is sent as null, unless nothing was ever sent."""
    rows = []
    for code, value in values.items():
        found = known.get(code)
        if found is None:
            raise _Stop(Outcome(Verdict.REJECTED, missing))
        if found.value_type == "TRUE_ONLY" and value == "false":
            value = None
        if value is not None or one.payload.get("known"):
            rows.append({key: found.id, "value": value})
    return rows


def _parts(items: Sequence[tuple[_Item, Json]]) -> list[list[tuple[_Item, Json]]]:
    """Cut so that no body is bigger than ``_MAX_BODY``, but for a single object that is."""
    parts: list[list[tuple[_Item, Json]]] = []
    size = 0
    for one in items:
        length = len(orjson.dumps(one[1]))
        if not parts or size + length > _MAX_BODY:
            parts.append([])
            size = 0
        parts[-1].append(one)
        size += length
    return parts


def _body(part: Sequence[tuple[_Item, Json]]) -> bytes:
    body: dict[str, list[Any]] = {}
    for _, made in part:
        for kind, rows in made.items():
            body.setdefault(kind, []).extend(rows)
    return canonical(body)


def _judge(report: answers.Report, made: Json, answer: http.Answer) -> Outcome | Sequence[str]:
    """What the report says of one delivery's objects: a person who is refused takes her enrolment with her, whatever is
    said of that (331)."""
    objects = [
        (kind, row[key])
        for kind, rows, key in (
            (_PERSON, "trackedEntities", "trackedEntity"),
            (_ENROLLMENT, "enrollments", "enrollment"),
            (_EVENT, "events", "event"),
        )
        for row in made.get(rows, ())
    ]
    for one in objects:
        if codes := report.refused.get(one):
            return codes
    if all(one in report.stored for one in objects):
        return ()
    return Outcome(Verdict.UNKNOWN, "dhis2.not_in_report", http_status=answer.status, answer=answer.text(4000))


def _attributes(person: Mapping[str, Any]) -> dict[str, str]:
    told = person.get("attributes")
    rows = [row for row in told if isinstance(row, Mapping)] if isinstance(told, list) else []
    return {str(row.get("attribute")): str(row["value"]) for row in rows if row.get("value") not in (None, "")}


def _enrollments(person: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    told = person.get("enrollments")
    rows = [row for row in told if isinstance(row, Mapping)] if isinstance(told, list) else []
    return [row for row in rows if row.get("deleted") is not True]


def _is_uid(value: Any) -> bool:
    return isinstance(value, str) and UID.fullmatch(value) is not None


def _best_enrollment(person: Mapping[str, Any] | None, program: Program) -> str | None:
    """Her active enrolment in the program, else her latest."""
    if person is None:
        return None
    rows = [row for row in _enrollments(person) if row.get("program") == program.id and _is_uid(row.get("enrollment"))]
    rows.sort(key=lambda row: (row.get("status") == "ACTIVE", str(row.get("enrolledAt", ""))))
    return str(rows[-1]["enrollment"]) if rows else None


def _same(there: str | None, wanted: str | None) -> bool:
    """Equal as text or as figures; what is wanted empty is not there."""
    if there is None or wanted is None:
        return there is wanted
    try:
        return there == wanted or Decimal(there) == Decimal(wanted)
    except InvalidOperation:
        return False
