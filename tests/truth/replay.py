"""Send recorded requests to a simulator, in their order and in process, and say where its answers differ."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from connector.sandbox.plane import App
from tests.truth.recorded import Exchange


class Speaker(Protocol):
    """The simulator of one server, and what its recordings leave unsaid."""

    #: Names of fields that are of the moment (times, echoes, ids made at run time): left out wherever they are.
    left_out: frozenset[str]
    #: Words of the moment inside of texts (how long it took, the server's own address), cut out.
    moment: re.Pattern[str]
    #: Fields with an id that the server makes; see ``Ids``.
    made: frozenset[str]
    #: Path -> the only fields of its answer that matter.
    parts: Mapping[str, tuple[str, ...]]
    base_url: str

    def before(self, exchange: Exchange) -> None:
        """Bring about what else had happened on the recorded server by then."""

    def app(self) -> App:
        """The simulator to ask; another one when a scene begins from nothing."""

    def headers(self, exchange: Exchange) -> dict[str, str]:
        """The credentials of ``exchange.user``, which are in no recording."""

    def body(self, exchange: Exchange) -> Any:
        """The body to send: the recorded one, or one that was too long to be kept, made again."""

    def query(self, exchange: Exchange) -> dict[str, Any] | None:
        """The query to send: the recorded one, or one with what only the simulator's own answers name."""

    def kept(self, exchange: Exchange, answer: Any) -> Any:
        """What matters of this one answer."""

    def loose(self, exchange: Exchange) -> Mapping[str, str]:
        """Fields of this one answer that are not compared, with why."""


@dataclass(frozen=True, slots=True)
class Difference:
    recording: str
    where: str  #: a path into the answer, ``body``, or ``HTTP status``, ``type``, ``cookie``, ``location``
    ours: str
    theirs: str


class Ids:
    """Ids that a server makes are other ones each time. Where a recorded answer first shows one, the simulator's at the
    same place is taken for it; from then on it has to be that one, in whatever is asked and answered. An id that a
    client sent is never such a one: the answer has to keep it."""

    def __init__(self, fields: frozenset[str]) -> None:
        self.fields = fields
        self._fixed: set[str] = set()
        self._ours: dict[str, str] = {}
        self._taken: set[str] = set()

    def sent(self, exchange: Exchange) -> None:
        told = json.dumps([exchange.path, exchange.query, exchange.body])
        self._fixed.update(one for one in _ID.findall(told) if one not in self._ours)

    def meet(self, theirs: Any, ours: Any) -> None:
        if self.fields:
            self._fixed |= {*_ID.findall(json.dumps(theirs))} & {*_ID.findall(json.dumps(ours))} - self._taken
            self._meet(theirs, ours)

    def _meet(self, theirs: Any, ours: Any) -> None:
        if isinstance(theirs, dict) and isinstance(ours, dict):
            for name, value in theirs.items():
                other = ours.get(name)
                if name in self.fields and isinstance(value, str) and isinstance(other, str):
                    self._bind(value, other)
                else:
                    self._meet(value, other)
        elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
            for value, other in zip(sorted(theirs, key=_rest), sorted(ours, key=_rest), strict=True):
                self._meet(value, other)

    def _bind(self, theirs: str, ours: str) -> None:
        new = ours not in self._taken or bool(_PLACE.match(ours))
        free = new and theirs not in self._ours and not {theirs, ours} & self._fixed
        if free and _ID.fullmatch(theirs) and _ID.fullmatch(ours):
            self._ours[theirs] = ours
            self._taken.add(ours)

    def translated(self, value: Any) -> Any:
        """A recorded value with our ids."""
        if isinstance(value, str):
            return _ID.sub(lambda found: self._ours.get(found[0], found[0]), value) if self._ours else value
        if isinstance(value, list):
            return [self.translated(one) for one in value]
        if isinstance(value, dict):
            return {name: self.translated(inner) for name, inner in value.items()}
        return value


#: A uuid, a revision of CouchDB, or a place in its feed.
_ID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b\d+-[0-9a-f]{32}\b|\b\d+-g1AAAA[\w-]+"
)
#: One place in the feed has many names: several recorded ones may be one of ours.
_PLACE = re.compile(r"\d+-g1")


def _rest(value: Any) -> str:
    """Everything but ids: rows that are alike in it keep their order."""
    return _ID.sub("", json.dumps(value, sort_keys=True))


def replay(speaker: Speaker, exchanges: list[Exchange]) -> list[Difference]:
    """All differences, in the order of the exchanges."""
    return asyncio.run(_replay(speaker, exchanges))


async def _replay(speaker: Speaker, exchanges: list[Exchange]) -> list[Difference]:
    found: list[Difference] = []
    ids = Ids(speaker.made)
    for exchange in exchanges:
        speaker.before(exchange)
        ids.sent(exchange)
        answer = await _ask(speaker, ids, exchange)
        for where, ours, theirs in compared(exchange, answer, speaker, ids):
            found.append(Difference(exchange.recording, where, _short(ours), _short(theirs)))
    return found


async def _ask(speaker: Speaker, ids: Ids, exchange: Exchange) -> httpx.Response:
    """One request over a transport of its own: no cookie stays."""
    body = ids.translated(speaker.body(exchange))
    if not isinstance(body, bytes):
        body_text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
    content = body if isinstance(body, bytes) else body_text.encode()
    headers = {"accept": "application/json", **speaker.headers(exchange)}
    if body is not None:
        headers["content-type"] = "application/json"
    headers = {name: value for name, value in (headers | (exchange.headers or {})).items() if value}
    request = httpx.Request(
        exchange.method,
        speaker.base_url + ids.translated(exchange.path),
        params=ids.translated(speaker.query(exchange)),
        headers=headers,
        content=content,
    )
    answer = await httpx.ASGITransport(app=speaker.app()).handle_async_request(request)
    await answer.aread()
    return answer


def compared(exchange: Exchange, answer: httpx.Response, speaker: Speaker, ids: Ids) -> Iterator[tuple[str, Any, Any]]:
    """(where, ours, theirs) for everything that differs and matters."""
    theirs = exchange.answer
    ours = _read(answer)
    ids.meet(theirs, ours)
    if answer.status_code != exchange.status:
        yield "HTTP status", answer.status_code, exchange.status
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if exchange.type is not None and answer.content and kind != exchange.type:
        yield "HTTP type", kind, exchange.type
    if exchange.cookie is not None and ("set-cookie" in answer.headers) != exchange.cookie:
        yield "HTTP cookie", "set-cookie" in answer.headers, exchange.cookie
    if exchange.location is not None and _path(answer.headers.get("location", "")) != ids.translated(exchange.location):
        yield "HTTP location", answer.headers.get("location", ""), exchange.location
    if isinstance(theirs, str) or theirs is None:  # a page, or nothing: was there something?
        if bool(answer.content) != bool(theirs):
            yield "body", answer.text, theirs
        return
    if ours is None and answer.content:
        yield "body", answer.text, theirs
        return
    keep = _without(speaker.left_out | set(speaker.loose(exchange)), speaker.moment)
    ours, theirs = speaker.kept(exchange, ours), speaker.kept(exchange, ids.translated(theirs))
    yield from _differing("", keep(ours), keep(theirs), part=exchange.part)


def _read(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _path(location: str) -> str:
    return urlsplit(location).path


def _without(left_out: set[str] | frozenset[str], moment: re.Pattern[str]) -> Callable[[Any], Any]:
    """What matters of a value: lists in one order, as the server's own order is that of its tables."""

    def keep(value: Any) -> Any:
        if isinstance(value, list):
            return sorted((keep(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
        if isinstance(value, dict):
            return {name: keep(inner) for name, inner in value.items() if name not in left_out}
        return moment.sub("", value) if isinstance(value, str) else value

    return keep


def _differing(where: str, ours: Any, theirs: Any, *, part: bool) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in theirs if part else dict.fromkeys([*theirs, *ours]):
            yield from _differing(f"{where}.{name}", ours.get(name, _NONE), theirs.get(name, _NONE), part=part)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differing(f"{where}[{index}]", one, other, part=part)
    elif ours != theirs or (ours is _NONE) != (theirs is _NONE):
        yield where.removeprefix("."), ours, theirs


class _Nothing:
    def __repr__(self) -> str:
        return "(nothing)"


_NONE = _Nothing()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."
