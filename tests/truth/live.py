"""Does a running server answer as our simulator does? ``make truth DHIS2_URL=… OPENMRS_URL=… FHIR_URL=…``

What is asked of the server (``live_dhis2``, ``live_openmrs``, ``live_fhir``) is kept as exchanges and then sent to the
simulator of that server, as recordings are: ``replay`` compares status and the fields that matter. Everything that is
made carries a prefix and is removed again, also after a failure; what could not be removed is named.

Credentials are read from the environment alone: a command line is seen by every user of the machine.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, ClassVar

import httpx

from connector.sandbox.plane import App
from tests.truth.recorded import Exchange
from tests.truth.replay import Difference, replay

#: Every name, code and identifier that is made begins with it.
PREFIX = "RELAIS_TRUTH"
_SPACE = uuid.UUID("6f1d3c52-9f0e-5c8e-9a4b-0f5a3f7d2c11")

Keep = Callable[[Any], Any]


#: What reading an answer of another shape than asked for raises.
_SHAPE = (KeyError, IndexError, TypeError, AttributeError, ValueError)


class Trouble(Exception):
    """The server cannot be asked any further; the sentence says why."""


@dataclass
class Talk:
    """What is asked of a running server, and what it answered.

    ``stamp`` tells the objects of one run from those of another: OpenMRS keeps what it retires, with its name.
    """

    client: httpx.Client
    stamp: str
    exchanges: list[Exchange] = field(default_factory=list)
    #: By exchange: what of its answer matters.
    keeps: dict[str, Keep] = field(default_factory=dict)
    #: What to do at the end, last first: each returns a sentence when something stays behind.
    undo: list[Callable[[], str | None]] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        return f"{PREFIX}_{self.stamp}"

    def name(self, what: str) -> str:
        return f"{self.prefix}_{what}".upper()

    def uuid(self, what: str) -> str:
        return str(uuid.uuid5(_SPACE, self.name(what)))

    def uid(self, what: str) -> str:
        """An id as DHIS2 wants it: eleven letters and digits, a letter first."""
        return "R" + self.uuid(what).replace("-", "")[:10]

    def ask(
        self,
        name: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        keep: Keep = lambda answer: answer,
        user: str = "",
    ) -> Any:
        """The answer, kept to be compared. ``keep``: the part of it that matters. ``user`` ``none``: no credentials.
        Raises Trouble."""
        answer = self.send(method, path, body, query=query, headers=headers, user=user)
        read = _json(answer)
        recording = f"{len(self.exchanges) + 1:03d}-{name}"
        self.keeps[recording] = keep
        self.exchanges.append(
            Exchange(
                recording, method, path, answer.status_code,
                query=dict(query) if query else None, user=user, headers=dict(headers) if headers else None, body=body,
                answer=read,
            )
        )  # fmt: skip
        return read

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        user: str = "",
    ) -> httpx.Response:
        """An answer that is used and not compared. Raises Trouble."""
        try:
            request = self.client.build_request(method, self._url(path), params=query, headers=headers, json=body)
            if user == "none":
                request.headers.pop("authorization", None)
            return self.client.send(request, auth=None if user == "none" else httpx.USE_CLIENT_DEFAULT)
        except httpx.HTTPError as error:
            raise Trouble(f"{method} {path} was not answered ({type(error).__name__})") from None

    def _url(self, path: str) -> str:
        return str(self.client.base_url).rstrip("/") + path

    def clear(self) -> list[str]:
        """Undo everything, last first, whatever fails. Returns what stays behind."""
        left = []
        while self.undo:
            try:
                said = self.undo.pop()()
            except (Trouble, *_SHAPE) as trouble:
                said = f"not known, as the answer cannot be read ({trouble})"
            if said:
                left.append(said)
        return left


class Simulated:
    """``replay.Speaker`` for a simulator that was made like the server."""

    left_out = frozenset({"lastUpdated", "created", "links"})
    moment = re.compile(r"(?!)")
    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(
        self, app: App, base_url: str, headers: Mapping[str, str], made: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self.base_url, self.made = base_url, made
        self._app, self._headers = app, dict(headers)
        self.keeps: Mapping[str, Keep] = {}

    def app(self) -> App:
        return self._app

    def before(self, exchange: Exchange) -> None: ...

    def headers(self, exchange: Exchange) -> dict[str, str]:
        return {} if exchange.user == "none" else self._headers

    def body(self, exchange: Exchange) -> Any:
        return exchange.body

    def query(self, exchange: Exchange) -> dict[str, Any] | None:
        return exchange.query

    def kept(self, exchange: Exchange, answer: Any) -> Any:
        return self.keeps[exchange.recording](answer)

    def loose(self, exchange: Exchange) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True)
class Verdict:
    """What came of one server."""

    server: str
    exchanges: int
    differences: list[Difference]
    left: list[str]
    trouble: str = ""
    notes: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        return not (self.differences or self.left or self.trouble)


#: Asks one server everything; gives the simulator to compare with, and notes on what was not asked.
Script = Callable[[Talk], tuple[Simulated, list[str]]]


def examine(server: str, talk: Talk, script: Script) -> Verdict:
    """Ask, clear away, compare."""
    trouble, notes, simulated = "", list[str](), None
    try:
        simulated, notes = script(talk)
    except Trouble as said:
        trouble = str(said)
    except _SHAPE as error:
        trouble = f"an answer is not of the shape that was asked for ({type(error).__name__}: {error})"
    finally:
        left = talk.clear()
    found: list[Difference] = []
    if simulated is not None:
        simulated.keeps = talk.keeps
        found = replay(simulated, talk.exchanges)
    return Verdict(server, len(talk.exchanges), found, left, trouble, tuple(notes))


def rows(answer: Any, name: str) -> list[Any]:
    """The list under a name of an answer; none when there is none."""
    found = answer.get(name) if isinstance(answer, dict) else None
    return found if isinstance(found, list) else []


def part(*names: str) -> Keep:
    """Keep only these fields, however deep they lie; of what lies in a field that is kept, again only these."""

    def keep(answer: Any) -> Any:
        if isinstance(answer, list):
            return [keep(one) for one in answer]
        if not isinstance(answer, dict):
            return answer
        kept = {}
        for name, value in answer.items():
            inner = keep(value) if isinstance(value, (dict, list)) else None
            if name in names:
                kept[name] = inner if isinstance(value, (dict, list)) else value
            elif isinstance(value, dict) and inner:
                kept[name] = inner
        return kept

    return keep


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json() if answer.content else None
    except ValueError:
        return None


# ---------------------------------------------------------------- the command


def client_for(server: str, url: str, environment: Mapping[str, str]) -> httpx.Client:
    """With the credentials of ``RELAIS_<SERVER>_TOKEN`` or ``_USER`` and ``_PASSWORD``. Raises Trouble."""
    name = f"RELAIS_{server.upper()}"
    token, user = environment.get(f"{name}_TOKEN"), environment.get(f"{name}_USER")
    headers = {"accept": "application/fhir+json" if server == "fhir" else "application/json"}
    address = httpx.URL(url)
    if address.userinfo:
        raise Trouble(f"the address holds a password; give it as {name}_USER and {name}_PASSWORD")
    if address.scheme == "http" and address.host not in ("localhost", "127.0.0.1", "::1"):
        raise Trouble("http:// to another machine: the password would travel in clear; use https://")
    if user:
        auth = httpx.BasicAuth(user, environment.get(f"{name}_PASSWORD", ""))
        return httpx.Client(base_url=url, auth=auth, headers=headers, timeout=60, cookies=_no_cookies())
    if token:
        kind = "ApiToken" if server == "dhis2" else "Bearer"
        headers["authorization"] = token if " " in token else f"{kind} {token}"
    elif server != "fhir":
        raise Trouble(f"no account: set {name}_USER and {name}_PASSWORD" + (f", or {name}_TOKEN" * (server == "dhis2")))
    return httpx.Client(base_url=url, headers=headers, timeout=60, cookies=_no_cookies())


def _no_cookies() -> CookieJar:
    """A session would outlive the credentials it was made with."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def scripts() -> Mapping[str, Script]:
    from tests.truth import live_dhis2, live_fhir, live_openmrs

    return {"dhis2": live_dhis2.script, "openmrs": live_openmrs.script, "fhir": live_fhir.script}


def run(urls: Mapping[str, str | None], environment: Mapping[str, str], stamp: str) -> Iterator[Verdict]:
    """One verdict per server that has an address."""
    for server, script in scripts().items():
        url = urls.get(server)
        if not url:
            continue
        try:
            client = client_for(server, url, environment)
        except Trouble as trouble:
            yield Verdict(server, 0, [], [], str(trouble))
            continue
        with client:
            yield examine(server, Talk(client, stamp), script)


def told(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """The lines for people."""
    for one in verdicts:
        different = len({found.recording for found in one.differences})
        equal = one.exchanges - different
        yield f"{one.server}: {one.exchanges} exchanges, {equal} as the simulator answers, {different} otherwise"
        for found in one.differences:
            yield f"  {found.recording} {found.where}: the server {found.theirs}, the simulator {found.ours}"
        if one.trouble:
            yield f"  stopped: {one.trouble}"
        yield from (f"  not asked: {note}" for note in one.notes)
        if one.left:
            yield f"  stayed behind: {len(one.left)}"
            yield from (f"    {said}" for said in one.left)
        else:
            yield "  everything that was made is removed again"


def main(urls: Mapping[str, str | None]) -> int:
    """One server after the other, with what came of it on stdout; 0 when nothing differs and nothing stayed behind."""
    stamp = datetime.now(UTC).strftime("%m%d%H%M%S")
    good = True
    for verdict in run(urls, os.environ, stamp):
        good = good and verdict.good
        print("\n".join(told([verdict])), flush=True)
    return 0 if good else 1
