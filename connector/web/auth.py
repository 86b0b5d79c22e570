"""Who is looking: sign-in by argon2id, a signed cookie, roles, and the pause after wrong passwords.

In the demo on loopback nobody signs in. Loopback means: the peer is loopback, the Host header names loopback and no
proxy header is there, so that neither a reverse proxy nor a rebound name gets in.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

import orjson
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from sqlalchemy import select, update
from sqlalchemy.engine import Connection
from starlette.requests import Request

from connector.store.tables import user as users
from connector.web.context import WebContext
from connector.web.reading import on
from connector.web.signing import Signer

ROLES = ("viewer", "operator", "clinic", "admin")
SESSION = "relais_session"
VISIT = "relais_visit"
LASTS = timedelta(hours=10)
TRIES = 5
PAUSE = timedelta(minutes=15)

#: permission -> roles. Patients' names are for the clinic; others give a reason, which is written down. ``observe``:
#: metrics and status; ``read``: the other documents of the API; ``submit``: pushing records, by a token only.
MAY: dict[str, frozenset[str]] = {
    "act": frozenset({"operator", "admin"}),
    "worker_names": frozenset({"operator", "clinic", "admin"}),
    "patient_names": frozenset({"clinic"}),
    "unmask": frozenset({"clinic", "admin"}),
    "observe": frozenset({"observe", *ROLES}),
    "read": frozenset(ROLES),
    "submit": frozenset({"submit"}),
}

_hasher = PasswordHasher()
#: A hash of nothing anybody knows: an unknown name takes as long as a known one.
_nobody = _hasher.hash(secrets.token_urlsafe(16))


@dataclass(frozen=True, slots=True)
class User:
    name: str
    role: str
    signed_in: bool = True  #: False in the demo, where there is no sign-out

    def may(self, what: str) -> bool:
        return self.role in MAY[what]


DEMO = User("demo", "admin", signed_in=False)


def hash_password(password: str) -> str:
    return _hasher.hash(password)


def is_loopback(request: Request) -> bool:
    if any(h in request.headers for h in ("forwarded", "x-forwarded-for", "x-real-ip")):
        return False
    host = request.headers.get("host", "").rsplit("@", 1)[-1]
    name = host[1:].split("]")[0] if host.startswith("[") else host.split(":")[0]
    return _loopback_name(name) and _loopback_name(request.client.host if request.client else "")


def _loopback_name(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


class Counter:
    """Failures per name or address within the pause, in memory and bounded."""

    def __init__(self, limit: int, size: int = 10_000) -> None:
        self.limit, self.size = limit, size
        self._seen: OrderedDict[str, tuple[int, datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def fail(self, key: str, now: datetime) -> int:
        with self._lock:
            count, since = self._seen.pop(key, (0, now))
            if now - since >= PAUSE:
                count, since = 0, now
            self._seen[key] = (count + 1, now)
            while len(self._seen) > self.size:
                self._seen.popitem(last=False)
            return count + 1

    def blocked(self, key: str, now: datetime) -> bool:
        with self._lock:
            count, since = self._seen.get(key, (0, now))
            return count >= self.limit and now - since < PAUSE

    def clear(self, key: str) -> None:
        with self._lock:
            self._seen.pop(key, None)


@dataclass(frozen=True, slots=True)
class SignIn:
    """The outcome of one try: a user, or how many tries are left (0: paused)."""

    user: User | None
    left: int = TRIES
    cookie: str = ""


class Gate:
    def __init__(self, context: WebContext) -> None:
        self.context = context
        self._sessions = Signer(context.secret, "session")
        self._by_address = Counter(limit=30)
        self._unknown = Counter(limit=TRIES)

    def user_of(self, request: Request) -> User | None:
        """The user of this request; None when nobody is signed in."""
        data = self._sessions.open(request.cookies.get(SESSION))
        if data is not None:
            found = self._session_user(orjson.loads(data))
            if found:
                return found
        return DEMO if self.context.env == "demo" and is_loopback(request) else None

    def _session_user(self, session: dict[str, Any]) -> User | None:
        if datetime.fromisoformat(session["until"]) < self.context.clock.now():
            return None
        row = on(self.context, lambda c: _row(c, session["name"]))
        if row is None or session["of"] != self._fingerprint(row["password"]) or row["role"] not in ROLES:
            return None
        return User(row["name"], row["role"])

    def _fingerprint(self, password_hash: str) -> str:
        """Ties a session to the password it was opened with: a changed password ends it."""
        return self._sessions.tag(password_hash.encode(), 8).hex()

    def sign_in(self, name: str, password: str, address: str) -> SignIn:
        now = self.context.clock.now()
        name, password = name.strip()[:100], password[:1000]
        if self._by_address.blocked(address, now):
            return SignIn(None, 0)
        row = on(self.context, lambda c: _row(c, name))
        if row is None:
            _matches(_nobody, password)
            self._by_address.fail(address, now)
            if self._unknown.blocked(name, now):
                return SignIn(None, 0)
            return SignIn(None, max(0, TRIES - self._unknown.fail(name, now)))
        locked = row["locked_until"]
        if locked and datetime.fromisoformat(locked) > now:
            _matches(_nobody, password)
            return SignIn(None, 0)
        failures = 0 if locked else row["failures"]
        if not _matches(row["password"], password):
            self._by_address.fail(address, now)
            failures += 1
            self._keep(name, failures, now + PAUSE if failures >= TRIES else None)
            return SignIn(None, max(0, TRIES - failures))
        if failures or locked:
            self._keep(name, 0, None)
        body = {"name": name, "until": (now + LASTS).isoformat(), "of": self._fingerprint(row["password"])}
        return SignIn(User(name, row["role"]), TRIES, self._sessions.sign(orjson.dumps(body)))

    def _keep(self, name: str, failures: int, until: datetime | None) -> None:
        text = until.isoformat(timespec="microseconds").replace("+00:00", "Z") if until else None
        statement = update(users).where(users.c.name == name).values(failures=failures, locked_until=text)
        on(self.context, lambda c: c.execute(statement), write=True)


def _row(connection: Connection, name: str) -> dict[str, Any] | None:
    found = connection.execute(select(users).where(users.c.name == name)).mappings().first()
    return dict(found) if found else None


def _matches(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False
