"""DHIS2 as a target: aggregate values block by block, and completions. For servers from 2.38 to 2.43.

One block (data set, org unit, period) is one request; several when the server takes no request of that size
(``dhis2_request_size``); another one when 2.43 refused all of it because of some rows, without those. Codes become UIDs
once and are remembered until the server refuses one. Every row is accounted for: by the server's counters, or by
reading it back. Nothing else is retried here.
Settings: ``token`` (a bare one is sent as ``ApiToken``), ``gzip`` (``false``: what is sent is not compressed),
``settles_within`` (seconds), ``max_answer_bytes``, ``expected`` and ``live_from`` (what ``probe`` compares the
server with, see ``dhis2_probe``).
"""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from types import NoneType
from typing import Any

import httpx
import orjson

from connector import http, periods
from connector.adapters import dhis2_answers as answers
from connector.adapters import dhis2_looking as looking
from connector.adapters.dhis2_looking import Stop as _Stop
from connector.adapters.dhis2_looking import rows as _rows
from connector.adapters.dhis2_looking import unavailable as _unavailable
from connector.adapters.dhis2_metadata import FIELDS, DataSet, Element, Unit, data_set_of
from connector.adapters.dhis2_probe import (
    Account,
    Asked,
    account_of,
    examine,
    keeps_noughts,
    lacking,
    server,
    to_send,
    unreachable,
)
from connector.adapters.dhis2_request_size import RequestSize
from connector.errors import LaneBusy, TargetUnreadable
from connector.model import Capabilities, Delivery, Finding, Observed, Outcome, Severity, ValueOutcome, Verdict
from connector.ports import Progress

#: A server up to 2.42 stores values for units and combos outside the data set unless asked not to (139, 081).
STRICT = {
    "strictPeriods": "true",
    "strictDataElements": "true",
    "strictCategoryOptionCombos": "true",
    "strictAttributeOptionCombos": "true",
    "strictOrganisationUnits": "true",
    "async": "false",
}
#: Turns the redirect to the login page into an honest 401 (024).
HEADERS = {"X-Requested-With": "XMLHttpRequest"}
#: Blocks under way at once. The server imports each in a transaction of its own.
_SIDE_BY_SIDE = 4
#: Failures in a row after which it may be another server: what it is is asked again.
_AWAY = 3
#: Refusals after which the remembered metadata may be out of date.
_STALE = {
    "dhis2.E7600",
    "dhis2.E7604",
    "dhis2.E7610",
    "dhis2.E7612",
    "dhis2.E7613",
    "dhis2.E7615",
    "dhis2.E7633",
    "dhis2.E7634",
    "dhis2.E7636",
    *(f"dhis2.E{number}" for number in (8004, 8005, 8020, 8022, 8023, 8024, *range(8103, 8112), 8126, 8127)),
    "dhis2.read_refused",
    "dhis2.unverified",
    "dhis2.completion_refused",
}
#: Refusals after which what our user may do is asked again.
_OF_ACCOUNT = {"dhis2.E7617", "dhis2.E8011", "dhis2.E7601", "dhis2.E8010", "dhis2.E1000"}

#: Requests for the same values at most, each without the rows that the answer before blamed.
_PUSHES = 3
#: A closed period is asked about once a day: somebody may have opened it again.
_REOPENED = timedelta(days=1)
#: What is held back is looked at again after so long by itself, and at once by a run.
_MENDED = timedelta(hours=1)

#: An import summary has a few hundred bytes and as many for each refused row; read as objects it takes 20 times that.
_WRITE_BYTES = 8 * 1024 * 1024

#: Bytes from which a body is compressed: a shorter one is one packet anyhow.
_WORTH_PACKING = 1000

Cell = tuple[str, str]  #: data element code, category option combo code
Rows = dict[Cell, str]


@dataclass(frozen=True, slots=True)
class _Where:
    """The block a payload is about, resolved."""

    data_set: DataSet
    unit: Unit
    period: str
    attribute: str  #: UID of the attribute option combo


def send_token(client: httpx.AsyncClient, settings: Mapping[str, Any]) -> None:
    """A bare ``token`` is sent as DHIS2 wants it."""
    token = str(settings.get("token") or "")
    if token and " " not in token:
        client.headers["Authorization"] = f"ApiToken {token}"


class Dhis2Target:
    """``ports.Target`` for the kinds ``block`` and ``completion``."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        name: str,
        settings: Mapping[str, Any],
        look_first: bool = False,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """``look_first``: ask what our user may do before the first send, and hold back what it may not. ``now`` is
        asked only to compare clocks and for the life of our tokens."""
        self._now = now
        self._date = ""  #: ``Date`` of the last answer
        self.client = client
        self.name = name
        self.settings = settings
        settles = timedelta(seconds=float(settings.get("settles_within", 180)))
        self.capabilities = Capabilities(max_batch=20, settles_within=settles, resend_is_safe=True, ordered=False)
        self._max_bytes = int(settings.get("max_answer_bytes", http.MAX_BYTES))
        self._look_first = look_first
        self._account: Account | None = None
        self._data_sets: dict[str, DataSet] = {}
        self._fresh: set[str] = set()  #: codes of data sets asked for in this batch: not again for each delivery
        self._size = RequestSize()
        self._gzip = str(settings.get("gzip", "true")).lower() == "true"
        #: Seconds after which an answer is slow: half of what is waited for one.
        self._slow = (client.timeout.read or http.DEADLINE) / 2
        self._keeps_noughts: bool | None = None  #: does its importer store every nought? None: not asked yet
        self._away = 0  #: failures of the server itself in a row
        send_token(client, settings)

    # ------------------------------------------------------------ the port

    async def deliver(self, batch: Sequence[Delivery], progress: Progress) -> Sequence[Outcome]:
        """One request per delivery; those of one data set and period one after the other, some of these groups side by
        side, because on a long line the waiting costs more than the work. A failure of the target ends the batch: what
        was not sent has the same outcome."""
        self._fresh.clear()
        groups: dict[tuple[str, str], list[int]] = {}
        for number, delivery in enumerate(batch):
            groups.setdefault((delivery.payload["dataSet"], delivery.payload["period"]), []).append(number)
        outcomes: dict[int, Outcome] = {}
        failed: list[Outcome] = []
        free = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def send(group: Sequence[int]) -> None:
            for number in group:
                async with free:
                    if failed:
                        last = failed[0]
                        outcome = replace(last, per_value=(), http_status=None, answer="")
                    else:
                        outcome = await self._outcome(batch[number], progress)
                        if outcome.of_target:
                            failed.append(outcome)
                outcomes[number] = outcome

        sending = [asyncio.ensure_future(send(group)) for group in groups.values()]
        try:
            await asyncio.gather(*sending)
        finally:
            for one in sending:  # after an error of ours nothing more may leave
                one.cancel()
        return [outcomes[number] for number in range(len(batch))]

    async def _outcome(self, delivery: Delivery, progress: Progress) -> Outcome:
        try:
            outcome = await self._one(delivery, progress)
        except _Stop as stop:
            outcome = stop.outcome
        except LaneBusy:
            return Outcome(Verdict.DEFERRED, LaneBusy.code, retry_after=timedelta(seconds=1))
        self._away = self._away + 1 if outcome.of_target or outcome.unanswered else 0
        if self._away == _AWAY or outcome.reason.startswith("dhis2.credentials"):
            self._away = 0
            self._keeps_noughts = self._account = None  # it may come back as another version, and we as another account
        self._forget_if_stale(delivery.payload["dataSet"], [outcome.reason, *(one.reason for one in outcome.per_value)])
        return outcome

    async def _one(self, delivery: Delivery, progress: Progress) -> Outcome:
        if delivery.kind == "completion":
            return await self._complete(delivery)
        where = await self._where(delivery.payload)
        if not delivery.payload.get("first"):
            return await self._block(delivery, where)
        # Two first pushes into a period that is new to the server lose rows or are refused (findings-dhis2 0.1, 0.2).
        async with progress.lane(f"dhis2:{self.name}:period:{where.period}"):
            return await self._block(delivery, where)

    async def look_up(self, delivery: Delivery) -> Observed | None:
        """What the server holds for each value of the payload, or the completion."""
        payload = delivery.payload
        try:
            if delivery.kind == "completion":
                return await self._look_up_completion(payload)
            where = await self._where(payload)
            held = await self._read(where)
            noughts = await self._every_nought()
        except _Stop as stop:
            raise self._unreadable(payload["dataSet"], stop) from stop

        def holds(cell: Cell) -> bool:
            return _holds(where.data_set, cell, wanted[cell], there[cell], every_nought=noughts)

        wanted = {_cell(value): value["value"] for value in payload["values"]}
        there = {cell: held.get(cell) for cell in wanted}
        if not any(value is not None for value in there.values()) and any(v is not None for v in wanted.values()):
            return Observed(matches=True) if all(map(holds, wanted)) else None  # noughts that are stored as nothing
        detail = {"values": [{"dataElement": e, "categoryOptionCombo": c, "there": v} for (e, c), v in there.items()]}
        return Observed(all(map(holds, wanted)), detail=detail)

    async def probe(self) -> Sequence[Finding]:
        """Version, authority, org units and every code of ``expected``. Forgets the remembered metadata first."""
        self._data_sets.clear()
        self._account = None
        try:
            info = await self._get("/api/system/info", {"fields": looking.INFO})
            said_at = self._date
            self._keeps_noughts = keeps_noughts(info)
            me = await self._get("/api/me", {"fields": looking.ME})
            wanted = self.settings.get("expected") or {}
            found = {code: await self._find_data_set(code) for code in wanted}
            elements, units = lacking(wanted, found)
            elsewhere = await looking.there(self._get, "dataElements", elements)
            elsewhere |= await looking.there(self._get, "organisationUnits", units)
        except _Stop as stop:
            return [unreachable(stop.outcome.reason, answers.reason(stop.outcome.reason))]
        live_from = str(self.settings.get("live_from") or "")
        approved = {
            code: await self._approved(one, wanted[code], info, live_from) for code, one in found.items() if one
        }
        asked = Asked(info, me, live_from, {code: unit for code, unit in approved.items() if unit})
        findings = examine(self.name, asked, wanted, found, elsewhere)
        return [*findings, *await looking.in_time(self._get, self.settings, self.name, said_at, self._now)]

    async def token_ends(self) -> datetime | None:
        try:
            return await looking.token_end(self._get, self.settings, self._now)
        except _Stop as stop:
            raise self._unreadable("", stop) from stop

    async def _approved(
        self, data_set: DataSet, wanted: Mapping[str, Any], info: Mapping[str, Any], live_from: str
    ) -> str | None:
        """Code of an org unit whose figures of the period to be sent are approved."""
        period = to_send(info, data_set.period_type, live_from)
        if not data_set.workflow or period is None:
            return None
        of_ours = {one.id: code for code, one in data_set.units.items() if code in set(wanted.get("org_units", ()))}
        places = [(one.id, one.path) for one in data_set.units.values() if one.id in of_ours]
        uid = await looking.first_approved(self._get, data_set.workflow, period, places)
        return of_ours[uid] if uid else None

    async def read_block(self, data_set: str, org_unit: str, period: str) -> dict[Cell, str]:
        """Values the server holds: (element code, combo code) -> value, default attribute combo only. Elements that
        are not in the data set are left out. Raises TargetUnreadable."""
        try:
            where = await self._where({"dataSet": data_set, "orgUnit": org_unit, "period": period}, reading=True)
            return await self._read(where)
        except _Stop as stop:
            raise self._unreadable(data_set, stop) from stop

    async def read_stored_by_us(self, data_set: str, org_unit: str, period: str) -> dict[Cell, tuple[str, bool]]:
        """As ``read_block``, with whether our own user stored the value. Raises TargetUnreadable."""
        try:
            where = await self._where({"dataSet": data_set, "orgUnit": org_unit, "period": period}, reading=True)
            me = await self._get("/api/me", {"fields": "username"})
            rows = await self._read_rows(where)
        except _Stop as stop:
            raise self._unreadable(data_set, stop) from stop
        return {cell: (str(row["value"]), row.get("storedBy") == me.get("username")) for cell, row in rows.items()}

    # ------------------------------------------------------------ a block

    async def _block(self, delivery: Delivery, where: _Where) -> Outcome:
        payload = delivery.payload
        fates: dict[Cell, ValueOutcome] = {}
        to_send: list[Mapping[str, Any]] = []
        there = await self._read(where) if _asks(payload) else None
        twice = {cell for cell, count in Counter(map(_cell, payload["values"])).items() if count > 1}
        for value in payload["values"]:
            cell = _cell(value)
            fate = _own_check(where.data_set, cell)
            if cell in twice:  # of equal rows the server keeps the first or the last (501, 503)
                fate = ValueOutcome(*cell, Verdict.REJECTED, "dhis2.duplicate_row")
            elif fate is None and there is not None:
                fate = _before_sending(payload, value, there)
            if fate is None:
                to_send.append(value)
            else:
                fates[cell] = fate
        if not to_send:
            return _settled(payload, fates, Outcome(Verdict.ACCEPTED, "dhis2.already_there"))
        try:
            outcome = await self._push(where, to_send, delivery.tries, fates)
        except _Stop as stop:  # what was settled by then stays settled
            raise _Stop(replace(stop.outcome, per_value=_in_order(payload, fates))) from stop
        return _settled(payload, fates, outcome)

    async def _push(
        self, where: _Where, values: Sequence[Mapping[str, Any]], tries: int, fates: dict[Cell, ValueOutcome]
    ) -> Outcome:
        """Send the values in as many requests as it takes, one after the other, and write the fate of each into
        ``fates``. The outcome has the answer of the first request that did not go well, else of the last.

        A request that is refused stored nothing of its own, and the others go on. Raises _Stop where no more may be
        sent before somebody looked: then values without a fate were not sent, or may be stored.
        """
        left = deque([(list(values), _PUSHES)])
        said, well = Outcome(Verdict.ACCEPTED, "dhis2.stored"), True
        while left:
            unsent, pushes = left.popleft()
            most = self._size.most
            part, rest = unsent[:most], unsent[most:]
            try:
                outcome, told, spared = await self._request(where, part, tries)
            except _Stop as stop:
                outcome, spared = stop.outcome, []
                if outcome.reason == "dhis2.too_big" and len(part) > 1:  # it was not read, so nothing is stored
                    left.appendleft((unsent, pushes))
                    continue
                if outcome.verdict is not Verdict.REJECTED:
                    raise
                told = _alike(part, outcome)
            fates |= told
            if rest:
                left.appendleft((rest, pushes))
            if well:
                said = replace(said, http_status=outcome.http_status, answer=outcome.answer)
            well = well and all(fate.verdict is Verdict.ACCEPTED for fate in told.values())
            if spared and pushes > 1:
                for value in spared:
                    del fates[_cell(value)]
                left.appendleft((spared, pushes - 1))
        return said

    async def _request(
        self, where: _Where, values: Sequence[Mapping[str, Any]], tries: int
    ) -> tuple[Outcome, dict[Cell, ValueOutcome], list[Mapping[str, Any]]]:
        """One request: its outcome, the fate of each value, and the values refused because of others. Raises _Stop."""
        wire = _wire(where, values)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            answer, body = await self._send(
                "POST", "/api/dataValueSets", params=STRICT, wrote=True, **_packed(wire, self._gzip)
            )
        except _Stop as stop:
            if stop.outcome.reason == "dhis2.too_big":
                self._size.too_big(len(values))
            elif stop.outcome.reason == "dhis2.answer_lost" or stop.outcome.http_status in (502, 504):
                self._size.slow(len(values))
            raise
        if loop.time() - began > self._slow:
            self._size.slow(len(values))
        else:
            self._size.went_well(len(values))
        read = answers.read_import(body, len(values), tries, wire["dataValues"])
        said = answer.text(4000)
        if read.fault is not None:
            fault = Outcome(read.fault.verdict, read.fault.code, http_status=answer.status, answer=said)
            if read.fault.verdict is Verdict.UNKNOWN:
                raise _Stop(fault)
            return fault, _alike(values, fault), []
        refused = await self._timed(where, read.refused)
        fates = {}
        for index, value in enumerate(values):
            code = refused.get(index)
            verdict = answers.reason(code).verdict if code else Verdict.ACCEPTED
            fates[_cell(value)] = ValueOutcome(*_cell(value), verdict, code or "dhis2.stored")
        if not read.settled:
            # Unchanged rows are "ignored", insignificant noughts and lost rows are in no counter: only a look tells
            # them apart (036, 040, findings-dhis2 0.1).
            fates |= await self._verify(where, values, read)
        outcome = Outcome(Verdict.ACCEPTED, "dhis2.stored", http_status=answer.status, answer=said)
        return outcome, fates, [values[row] for row in sorted(read.spared)]

    async def _timed(self, where: _Where, refused: Mapping[int, str]) -> Mapping[int, str]:
        """2.43 has one code for a period that is closed and for one that is not open yet (122, 125 there). By the
        server's own date it is one or the other."""
        if "dhis2.E8030" not in refused.values():
            return refused
        try:
            info = await self._get("/api/system/info", {"fields": "serverDate"})
            over = periods.is_over(where.period, date.fromisoformat(str(info.get("serverDate"))[:10]))
        except (_Stop, ValueError):
            return refused
        waits = {"dhis2.E8030": "dhis2.E8030" if over else "dhis2.period_not_open"}
        return {row: waits.get(code, code) for row, code in refused.items()}

    async def _verify(
        self, where: _Where, sent: Sequence[Mapping[str, Any]], read: answers.Import
    ) -> dict[Cell, ValueOutcome]:
        """Read back the rows that were not refused; those that are not there were counted short."""
        try:
            held = await self._read(where)
            noughts = await self._every_nought()
        except _Stop as stop:
            raise _Stop(Outcome(Verdict.UNKNOWN, "dhis2.unverified", answer=stop.outcome.reason)) from stop
        fates = {}
        for index, value in enumerate(sent):
            cell, there = _cell(value), held.get(_cell(value))
            if index in read.refused:
                continue
            if not _holds(where.data_set, cell, value["value"], there, every_nought=noughts):
                code = read.loose or "dhis2.counted_short"
                fates[cell] = ValueOutcome(*cell, answers.reason(code).verdict, code, there=there)
        return fates

    async def _every_nought(self) -> bool:
        """Does this server's importer store every nought? Asked once. Raises _Stop."""
        if self._keeps_noughts is None:
            info = await self._get("/api/system/info", {"fields": "version"})
            if not isinstance(info.get("version"), str):
                raise _unavailable("dhis2.unavailable")
            self._keeps_noughts = keeps_noughts(info)
        return self._keeps_noughts

    def _forget_if_stale(self, data_set: str, codes: Sequence[str]) -> None:
        if _STALE & set(codes):
            self._data_sets.pop(data_set, None)
            self._fresh.discard(data_set)
        if _OF_ACCOUNT & set(codes):
            self._account = None

    def _unreadable(self, data_set: str, stop: _Stop) -> TargetUnreadable:
        self._forget_if_stale(data_set, [stop.outcome.reason])
        code = stop.outcome.reason
        return TargetUnreadable.because(code, answers.reason(code), self.name)

    # ------------------------------------------------------------ a completion

    async def _complete(self, delivery: Delivery) -> Outcome:
        """The server checks almost nothing (235-241), so the period and the unit are checked here."""
        payload = delivery.payload
        where = await self._where(payload)
        if not payload["completed"]:
            query = {"ds": where.data_set.id, "pe": where.period, "ou": where.unit.id}
            answer, _ = await self._send("DELETE", "/api/completeDataSetRegistrations", params=query, wrote=True)
            if answer.status == 204:  # 252, and again 204: 253
                return Outcome(Verdict.ACCEPTED, "dhis2.completed", http_status=204)
            code = "dhis2.unreadable_answer" if answer.ok else "dhis2.completion_refused"
            return Outcome(answers.reason(code).verdict, code, http_status=answer.status, answer=answer.text(4000))
        if not periods.is_over(where.period, date.fromisoformat(payload["date"])):
            raise _refused("dhis2.period_not_over")
        row = {
            "dataSet": where.data_set.id,
            "period": where.period,
            "organisationUnit": where.unit.id,
            "attributeOptionCombo": where.attribute,
            "date": payload["date"],
            "completed": True,
        }
        answer, body = await self._send(
            "POST", "/api/completeDataSetRegistrations", json={"completeDataSetRegistrations": [row]}, wrote=True
        )
        read = answers.read_import(body, 1, delivery.tries)
        said = answer.text(4000)
        if read.settled:
            return Outcome(Verdict.ACCEPTED, "dhis2.completed", http_status=answer.status, answer=said)
        code = answers.completion_fault(body)
        if read.fault is not None and not read.loose:
            return Outcome(read.fault.verdict, read.fault.code, http_status=answer.status, answer=said)
        return Outcome(answers.reason(code).verdict, code, http_status=answer.status, answer=said)

    async def _look_up_completion(self, payload: Mapping[str, Any]) -> Observed | None:
        where = await self._where(payload)
        query = {"dataSet": where.data_set.id, "period": where.period, "orgUnit": where.unit.id}
        body = await self._get("/api/completeDataSetRegistrations", query)
        for row in _rows(body, "completeDataSetRegistrations", needed=False):  # 227: {} when there is none
            place = (row.get("dataSet", where.data_set.id), row.get("period"), row.get("organisationUnit"))
            if place != tuple(query.values()):
                raise _unavailable("dhis2.unavailable")  # the answer to another question
            if row.get("attributeOptionCombo", where.attribute) == where.attribute:
                done = bool(row.get("completed", True))
                return Observed(done == payload["completed"], detail={"completed": done, "date": row.get("date")})
        return None if payload["completed"] else Observed(matches=True)

    # ------------------------------------------------------------ codes to UIDs

    async def _where(self, payload: Mapping[str, Any], *, reading: bool = False) -> _Where:
        """Resolve the codes; asks the server again once before it says that one is missing. Raises _Stop."""
        code = payload["dataSet"]
        remembered = self._data_sets.get(code)
        looks = self._look_first and not reading
        if remembered is not None and looks and self._account is None and _knows(remembered, payload):
            await self._ask_account()  # it was away: it may be another version now; its codes cost 60 kB to ask again
        # An account that was refused is asked about again; and what only reads goes on for days without a delivery.
        asked = code in self._fresh and not reading and not (looks and self._account is None)
        if remembered is not None and (not looks or self._account) and (asked or _knows(remembered, payload)):
            try:
                return _resolved(remembered, payload, self._account if looks else None, reading=reading)
            except _Stop:  # it may have been mended since
                if asked:
                    raise
        found = None
        if not asked:
            found = await self._find_data_set(code)
            if looks:
                await self._ask_account()
            self._fresh.add(code)
        if found is None:
            raise _held("dhis2.data_set_missing")
        return _resolved(found, payload, self._account if looks else None, reading=reading)

    async def _ask_account(self) -> None:
        """What our user may do. Raises _Stop when it may enter no data at all: every request would be a 403; and for
        a server that answers in a way of its own, or would take our figures for those of another month."""
        info = await self._get("/api/system/info", {"fields": "version,calendar"})
        if not isinstance(info.get("version"), str):
            raise _unavailable("dhis2.unavailable")
        if wrong := [finding for finding in server(self.name, info) if finding.severity is Severity.ERROR]:
            # for a person to mend; what waits is not parked for its age either
            raise _Stop(Outcome(Verdict.DEFERRED, wrong[0].code, of_target=True, endless=True))
        self._keeps_noughts = keeps_noughts(info)
        me = await self._get("/api/me", {"fields": looking.ME})
        self._account = account_of(info, me)
        if not self._account.may_enter:
            self._account = None
            raise _unavailable("dhis2.credentials_no_authority")

    async def _find_data_set(self, code: str) -> DataSet | None:
        query = {"filter": f"code:eq:{code}", "fields": FIELDS, "paging": "false"}
        body = await self._get("/api/dataSets", query)
        try:
            found = [data_set_of(wire) for wire in _rows(body, "dataSets") if wire["code"] == code]
        except (KeyError, TypeError, AttributeError) as error:
            raise _unavailable("dhis2.unavailable") from error
        if not found and body["dataSets"]:
            raise _unavailable("dhis2.unavailable")  # the answer to another question
        self._data_sets.pop(code, None)
        if found:
            self._data_sets[code] = found[0]
        return found[0] if found else None

    # ------------------------------------------------------------ requests

    async def _read(self, where: _Where) -> Rows:
        """The block as the server holds it. Raises _Stop."""
        return {cell: str(row["value"]) for cell, row in (await self._read_rows(where)).items()}

    async def _read_rows(self, where: _Where) -> dict[Cell, Mapping[str, Any]]:
        query = {"dataSet": where.data_set.id, "period": where.period, "orgUnit": where.unit.id}
        body = await self._get("/api/dataValueSets", query)
        codes = where.data_set.codes()
        rows: dict[Cell, Mapping[str, Any]] = {}
        for row in _rows(body, "dataValues"):
            if not _whole(row):
                raise _unavailable("dhis2.unavailable")  # passed over it would look as if the value were not there
            # Keys that are the same in all rows may be in the header only (2.43), then it is the block asked for.
            if row.get("period", where.period) != where.period or row.get("orgUnit", where.unit.id) != where.unit.id:
                raise _unavailable("dhis2.unavailable")  # the answer to another question
            cell = codes.get((str(row.get("dataElement")), str(row.get("categoryOptionCombo"))))
            if (
                cell
                and row.get("attributeOptionCombo", where.attribute) == where.attribute
                and row.get("value") is not None
            ):
                rows[cell] = row
        return rows

    async def _get(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        answer, body = await self._send("GET", path, params=query, wrote=False)
        if not isinstance(body, Mapping):
            # Nothing at all with 200: the unit is outside the hierarchy of our user (274).
            if answer.status == 200 and not answer.body and path == "/api/dataValueSets":
                raise _Stop(Outcome(Verdict.DEFERRED, "dhis2.read_refused", http_status=200))
            raise _unavailable("dhis2.unavailable", answer.status)
        if not answer.ok:
            raise _Stop(
                Outcome(Verdict.DEFERRED, "dhis2.read_refused", http_status=answer.status, answer=answer.text(4000))
            )
        return body

    async def _send(self, method: str, path: str, *, wrote: bool, **kwargs: Any) -> tuple[http.Answer, Any]:
        """One exchange. Raises _Stop for everything but an answer that has to be read further."""
        try:
            most = min(self._max_bytes, _WRITE_BYTES) if wrote else self._max_bytes
            given = {"max_bytes": most, **kwargs, "headers": {**HEADERS, **kwargs.get("headers", {})}}
            if method == "GET":  # a read changes nothing, so it is asked again within the attempt
                answer = await http.read_with_retries(self.client, path, **given)
            else:
                answer = await http.request(self.client, method, path, **given)
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
        emptied = method == "DELETE" and answer.status == 204
        fault = (
            None if emptied else answers.fault_of(answer.status, answer.headers.get("location", ""), body, wrote=wrote)
        )
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


# ---------------------------------------------------------------- pure parts


def _resolved(data_set: DataSet, payload: Mapping[str, Any], account: Account | None, *, reading: bool) -> _Where:
    """Raises _Stop for what the server would take without a word (144, 146, 235-237) or refuse. ``account`` None: what
    our user may do is not looked at."""
    period = payload["period"]
    unit = data_set.units.get(payload["orgUnit"])
    attribute = data_set.attribute_combos.get(payload.get("attributeOptionCombo", "default"))
    if attribute is None:
        raise _held("dhis2.attribute_combo")
    if unit is None:
        raise _held("dhis2.org_unit_not_assigned")
    if periods.period_type(period) != data_set.period_type:
        raise _held("dhis2.period_type")
    if not reading and not unit.open_in(period):
        raise _held("dhis2.org_unit_closed")
    if account is not None and not data_set.writable:
        raise _held("dhis2.not_shared")
    if account is not None and not account.covers(unit.path):
        raise _held("dhis2.outside_scope")
    return _Where(data_set, unit, period, attribute)


def _whole(row: Mapping[str, Any]) -> bool:
    """Whether a data value as it is read can be one: what says which it is are texts, and it has a figure or none."""
    says = ("dataElement", "categoryOptionCombo", "attributeOptionCombo", "period", "orgUnit")
    return all(isinstance(row.get(key, ""), str) for key in says) and isinstance(
        row.get("value"), (str, int, float, NoneType)
    )


def _cell(value: Mapping[str, Any]) -> Cell:
    return value["dataElement"], value["categoryOptionCombo"]


def _asks(payload: Mapping[str, Any]) -> bool:
    """Must the block be read before it is sent?"""
    return payload.get("onExisting") != "overwrite" and any(v.get("released") != "overwrite" for v in payload["values"])


def _own_check(data_set: DataSet, cell: Cell) -> ValueOutcome | None:
    element = data_set.elements.get(cell[0])
    if element is None:
        return ValueOutcome(*cell, Verdict.DEFERRED, "dhis2.element_missing")
    if cell[1] not in element.combos:
        return ValueOutcome(*cell, Verdict.DEFERRED, "dhis2.combo_missing")
    return None


def _before_sending(payload: Mapping[str, Any], value: Mapping[str, Any], there: Rows) -> ValueOutcome | None:
    """The fate of a value that need not, or must not, be sent; None: send it.

    What is there is ours if we may have put it there: the value accepted last (``old``) or one that once left
    without a trusted answer (``sentBefore``).
    """
    cell = _cell(value)
    found = there.get(cell)
    if _same(found, value["value"]):
        return ValueOutcome(*cell, Verdict.ACCEPTED, "dhis2.already_there", there=found)
    if found is None or value.get("released") == "overwrite":
        return None
    if any(_same(found, ours) for ours in (value.get("old"), *value.get("sentBefore", ()))):
        return None
    if payload.get("onExisting") == "keep":
        code = "dhis2.value_kept"
    else:
        code = "dhis2.value_already_there" if value.get("neverSent") else "dhis2.value_changed_there"
    return ValueOutcome(*cell, Verdict.DEFERRED, code, held=True, there=found)


def _same(there: str | None, wanted: str | None) -> bool:
    """Equal as figures: "12.0" is "12"."""
    if there is None or wanted is None:
        return there is wanted
    try:
        return there == wanted or Decimal(there) == Decimal(wanted)
    except InvalidOperation:
        return False


def _holds(data_set: DataSet, cell: Cell, wanted: str | None, there: str | None, *, every_nought: bool) -> bool:
    """Is the wanted value there? Up to 2.42 a nought that does not count is stored as nothing."""
    if _same(there, wanted):
        return True
    if every_nought:
        return False
    element = data_set.elements.get(cell[0])
    return there is None and _same(wanted, "0") and element is not None and not element.zero_counts


def _knows(data_set: DataSet, payload: Mapping[str, Any]) -> bool:
    return payload["orgUnit"] in data_set.units and all(
        _own_check(data_set, _cell(value)) is None for value in payload.get("values", ())
    )


def _wire(where: _Where, values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The request body. Up to 2.42 the header wins over the row, from 2.43 the row: so both say the same (169)."""
    header = {"period": where.period, "orgUnit": where.unit.id, "attributeOptionCombo": where.attribute}
    rows: list[dict[str, Any]] = []
    for value in values:
        element: Element = where.data_set.elements[value["dataElement"]]
        ids: dict[str, Any] = {
            "dataElement": element.id,
            "categoryOptionCombo": element.combos[value["categoryOptionCombo"]],
        }
        if value["value"] is not None:
            rows.append({**ids, **header, "value": str(value["value"])})  # a string: 2.43 fails on a number
        else:
            # Without a value a missing key is ignored; with one it would leave a deleted row behind (046, 047).
            old = {"value": value["old"]} if element.has_options and value.get("old") else {}
            rows.append({**ids, **header, **old, "deleted": True})
    return {"dataSet": where.data_set.id, **header, "dataValues": rows}


def _packed(wire: Mapping[str, Any], gzipped: bool) -> dict[str, Any]:
    """The body and its headers, for httpx. DHIS2 unpacks it, said or not (188, 189, both importers)."""
    body, headers = orjson.dumps(wire), {"Content-Type": "application/json"}
    if gzipped and len(body) > _WORTH_PACKING:
        body, headers["Content-Encoding"] = gzip.compress(body, 6, mtime=0), "gzip"
    return {"content": body, "headers": headers}


def _alike(values: Sequence[Mapping[str, Any]], outcome: Outcome) -> dict[Cell, ValueOutcome]:
    """The fate of values whose request was refused as a whole."""
    return {_cell(value): ValueOutcome(*_cell(value), outcome.verdict, outcome.reason) for value in values}


def _in_order(payload: Mapping[str, Any], fates: Mapping[Cell, ValueOutcome]) -> tuple[ValueOutcome, ...]:
    return tuple(fates[cell] for cell in dict.fromkeys(_cell(v) for v in payload["values"]) if cell in fates)


def _settled(payload: Mapping[str, Any], fates: Mapping[Cell, ValueOutcome], outcome: Outcome) -> Outcome:
    """The outcome of the block from the fates of its values: a refused row refuses the block, a row to be sent again
    defers it, held rows do neither."""
    per_value = _in_order(payload, fates)
    verdict, reason = outcome.verdict, outcome.reason
    bad: list[str] = []
    if verdict is Verdict.ACCEPTED:
        bad = [fate.reason for fate in per_value if not fate.held and fate.verdict is not Verdict.ACCEPTED]
        if bad:
            rejected = any(fate.verdict is Verdict.REJECTED for fate in per_value)
            verdict, reason = (Verdict.REJECTED if rejected else Verdict.DEFERRED), answers.block_reason(bad)
        elif per_value and all(fate.held for fate in per_value):
            reason = per_value[0].reason
    waits = bad and all(answers.reason(code).held for code in bad)
    return Outcome(
        verdict,
        reason,
        retry_after=_REOPENED if reason == "dhis2.period_closed" else _MENDED if waits else None,
        per_value=per_value,
        http_status=outcome.http_status,
        answer=outcome.answer,
        patient=verdict is Verdict.DEFERRED,  # a period not open yet opens by itself
        endless=reason in answers.ENDLESS or answers.reason(reason).held,
    )


def _held(code: str) -> _Stop:
    """Nothing is sent until it is mended."""
    return _Stop(Outcome(Verdict.DEFERRED, code, retry_after=_MENDED, patient=True, endless=True))


def _refused(code: str) -> _Stop:
    return _Stop(Outcome(Verdict.REJECTED, code))
