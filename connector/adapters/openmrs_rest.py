"""Asking an OpenMRS over REST, and its FHIR module for conditions: one exchange at a time, read with the table of
``openmrs_answers``.

The address of the client ends with the server's context path (``https://clinic.example/openmrs``).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx

from connector import http
from connector.adapters.openmrs_answers import OF_TARGET, REASONS, classify, short
from connector.model import Outcome, Verdict

Json = dict[str, Any]

_ROOT, _FHIR = "/ws/rest/v1/", "/ws/fhir2/R4/"
_MAX_BYTES = 4 * 1024 * 1024
#: A read that got nothing usable is asked again at once: it changes nothing at the server.
_READS = 3
_WITHIN = 10.0  #: seconds after which it is not asked again
_FRESH = 600.0  #: seconds for which a row that was read counts as read
#: Reasons of a look-up that speak for the create as well: nothing was made.
_SURE = frozenset(
    {
        "openmrs.address_refused", "openmrs.credentials", "openmrs.locked", "openmrs.module_missing",
        "openmrs.privilege",
    }
)  # fmt: skip
#: What is held back is looked at again after so long by itself, and at once by a run.
_MENDED = timedelta(hours=1)
_AGAIN = frozenset({"openmrs.not_json", "openmrs.busy"})


class Stop(Exception):
    """This delivery ends here, for this reason."""

    def __init__(
        self,
        code: str,
        *,
        status: int | None = None,
        answer: str = "",
        retry_after: timedelta | None = None,
        candidates: Sequence[Json] = (),
    ) -> None:
        super().__init__(code)
        self.code, self.status, self.answer, self.retry_after = code, status, answer, retry_after
        self.candidates = candidates

    def outcome(self) -> Outcome:
        held = REASONS[self.code].held
        return Outcome(
            REASONS[self.code].verdict,
            self.code,
            patient=held,
            endless=held,
            of_target=self.code in OF_TARGET,
            http_status=self.status,
            answer=self.answer,
            retry_after=self.retry_after or (_MENDED if held else None),
            candidates=self.candidates,
        )


@dataclass(frozen=True, slots=True)
class Said:
    """An answer as far as it matters: ``code`` is None when the wished thing was done."""

    status: int
    body: Any
    code: str | None
    html: bool
    retry_after: timedelta | None

    def stop(self) -> Stop:
        return Stop(
            self.code or "openmrs.refused", status=self.status, answer=short(self.body), retry_after=self.retry_after
        )


#: A uuid of OpenMRS (char(38)); a concept of CIEL has one of digits and As.
_UUID = re.compile(r"[0-9A-Za-z-]{1,38}")


def listed(value: Any) -> list[Json]:
    """A list of objects. Raises Stop for anything else: an answer of another form is not "none"."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise Stop("openmrs.not_json", status=200)
    return value


def uuid_of(row: Any) -> str:
    """The uuid of an object; it will stand in addresses. Raises Stop."""
    uuid = row.get("uuid") if isinstance(row, dict) else None
    if not isinstance(uuid, str) or not _UUID.fullmatch(uuid):
        raise Stop("openmrs.not_json", status=200)
    return uuid


def ref(row: Mapping[str, Any], name: str) -> str | None:
    """The uuid of what a row refers to, None if to nothing."""
    return None if row.get(name) is None else uuid_of(row[name])


class Rest:
    """``GET``, ``POST`` and ``DELETE`` of one server. Keeps no cookie: a stale session answers 401 and carries the
    request out all the same (recordings/openmrs-2.8/388, 389)."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **params: str) -> Json | None:
        """The object, or None for 404. Raises Stop."""
        body = await self._get(path, params)
        if body is not None and not isinstance(body, dict):
            raise Stop("openmrs.not_json", status=200)
        return body

    async def row(self, path: str, uuid: str, **params: str) -> Json | None:
        """The object of this uuid, or None for 404. Raises Stop, also when another one was answered."""
        found = await self.get(f"{path}/{uuid}", **params)
        if found is not None and uuid_of(found) != uuid:
            raise Stop("openmrs.not_json", status=200)
        return found

    async def list(self, path: str, **params: str) -> list[Json]:
        """Objects in a list; none for 404. Raises Stop."""
        body = await self._get(path, params)
        return [] if body is None else listed(body)

    async def _get(self, path: str, params: Mapping[str, str]) -> Any:
        said = await self.read("GET", path, params=params)
        if said.status == 404:
            # The container's own page, or a proxy's word: OpenMRS itself is not there, or the address is wrong.
            if said.html or not (said.body is None or (isinstance(said.body, dict) and "error" in said.body)):
                raise Stop("openmrs.not_json", status=404)
            return None
        if said.code is not None:
            raise said.stop()
        return said.body

    async def search(self, kind: str, **params: str) -> Said:
        """A search of the FHIR module, whatever it answered. Raises Stop when nothing usable came."""
        return await self.read("GET", kind, params=params, root=_FHIR)

    async def read(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, json: Any = None, root: str = _ROOT
    ) -> Said:
        """A request that changes nothing that matters (searches by POST too). Raises Stop when nothing usable came."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        for turn in range(_READS):
            try:
                said = await self._exchange(method, path, params=params, json=json, root=root)
            except http.NotSent:
                raise Stop("openmrs.unreachable") from None
            except http.Lost as lost:
                if turn + 1 == _READS or clock() - begun > _WITHIN:
                    raise Stop("openmrs.unreachable", status=lost.status) from None
            else:
                if said.code not in _AGAIN or said.status == 429 or said.retry_after or turn + 1 == _READS:
                    return said
            await asyncio.sleep(http.PAUSE * 2**turn)
        raise AssertionError("unreachable")

    async def write(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, json: Any = None
    ) -> Said | None:
        """A request that changes something, sent once. None when its answer was lost. Raises Stop when nothing left
        this machine."""
        try:
            return await self._exchange(method, path, params=params, json=json)
        except http.NotSent:
            raise Stop("openmrs.unreachable") from None
        except http.Lost:
            return None

    async def create(
        self, path: str, body: Json, look: Callable[[], Awaitable[Json | None]], mine: Callable[[Json], bool]
    ) -> Json:
        """POST, and believe nothing but what is there afterwards. ``mine``: is the row answered the one posted?

        The answer to a repeat comes in five shapes, an answer may be lost, 401 may have created the row, and 200 may
        hold an exception; so after anything but a plain success the row is looked for by our own id (findings,
        points 1, 2, 3, 6). Raises Stop: ``openmrs.lost`` when it may still appear.
        """
        said = await self.write("POST", path, json=body)
        if said is not None and said.code is None and isinstance(said.body, dict) and mine(said.body):
            uuid_of(said.body)
            return said.body
        try:
            found = await look()
        except Stop as stop:
            if said is None or stop.code not in _SURE:
                raise Stop("openmrs.lost") from None
            raise
        if found is not None:
            return found
        if (
            said is None
            or said.code in (None, "openmrs.not_json")
            or said.status == 401  # reading with the same account works, so the account is not the matter
            or (said.code == "openmrs.server_error" and (said.html or "Duplicate entry" in short(said.body)))
        ):
            raise Stop("openmrs.lost", status=said.status if said else None)
        raise said.stop()

    async def _exchange(
        self, method: str, path: str, *, params: Mapping[str, str] | None, json: Any, root: str = _ROOT
    ) -> Said:
        answer = await http.request(
            self.client,
            method,
            root + path,
            max_bytes=_MAX_BYTES,
            params=params,
            **({} if json is None else {"json": json}),
        )
        html = False
        body: Any = None
        if answer.body:
            try:
                body = answer.json()
            except http.NotJson:
                html = True
        if not answer.body and answer.status < 300 and answer.status != 204:
            html = True  # nothing where a document was due
        code = classify(answer.status, body, html=html)
        return Said(answer.status, body, code, html, answer.retry_after)


class Noted(Rest):
    """For one look at a server over a line that breaks off in the middle of it: what was there is not read again for
    ``_FRESH`` seconds, so that forty requests come to their end. Who we are is always asked."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        super().__init__(client)
        self._read: dict[tuple[Any, ...], tuple[float, Any]] = {}

    async def _get(self, path: str, params: Mapping[str, str]) -> Any:
        now = asyncio.get_running_loop().time()
        key = (path, *sorted(params.items()))
        at, body = self._read.get(key, (now, None))
        if body is None or now - at >= _FRESH or path == "session":
            body = await super()._get(path, params)
            self._read[key] = (now, body)
        return body


def accepted(code: str, remote_id: str | None) -> Outcome:
    return Outcome(Verdict.ACCEPTED, code, remote_id=remote_id)
