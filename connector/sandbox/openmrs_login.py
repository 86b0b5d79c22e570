"""Who asks the sandbox's OpenMRS: Basic logins, sessions, lockout and privileges.

Rules cite recordings/openmrs-2.8 by number.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request

from connector.sandbox import openmrs_metadata as meta
from connector.sandbox.openmrs_shapes import Json, Refused, error, page

#: Wrong passwords after which the right one is refused too, and for how long (774-784; core's defaults).
_ATTEMPTS, _LOCKED_SECONDS = 7, 300
#: The role that may do everything.
SUPERUSER = "System Developer"


class Accounts:
    """``users``: ``{"username", "password", "privileges": "all" | [str]}``; ``clock`` gives seconds."""

    def __init__(self, users: Sequence[Json], clock: Callable[[], float]) -> None:
        self.users = users
        self.clock = clock
        self.sessions: dict[str, str] = {}
        self._session_count = 0
        self._failures: dict[str, tuple[int, float]] = {}
        self._given: dict[str, list[Json]] = {}  #: username -> roles given since

    def give(self, uuid: str, roles: list[Json]) -> Json | None:
        """These are the user's roles from now on (840); None: there is no such user."""
        found = next((u for u in self.users if user_uuid(u) == uuid), None)
        if found is not None:
            self._given[found["username"]] = roles
        return found and self._now(found)

    def _now(self, user: Json) -> Json:
        """With what the roles bring that were given since."""
        given = self._given.get(user["username"])
        if given is None or user.get("privileges", "all") == "all":
            return user
        names = [one["name"] for role in given for one in role["privileges"]]
        return {**user, "privileges": list(dict.fromkeys([*user["privileges"], *names])), "held": given}

    def stale(self, request: Request) -> bool:
        cookie = request.cookies.get("JSESSIONID")
        return cookie is not None and cookie not in self.sessions

    def login(self, request: Request) -> Json | None:
        """The user, or None. A living session wins over the Basic header, right or wrong (379, 382)."""
        name = self.sessions.get(request.cookies.get("JSESSIONID", ""))
        users: dict[str, Json] = {u["username"]: u for u in self.users}
        if name:
            return self._now(users[name]) if name in users else None
        header = request.headers.get("authorization", "")
        if not header.startswith("Basic "):
            return None  # 042, 048
        try:
            decoded = base64.b64decode(header[6:], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Refused(400, page(400, "Bad Request", "Invalid credentials provided")) from None  # 047
        parts = decoded.split(":")
        if len(parts) < 2:
            raise Refused(400, page(400, "Bad Request", "Invalid credentials provided"))
        name, password = parts[0], parts[1]  # 056: a password with a colon is cut
        user = users.get(name)
        failures, since = self._failures.get(name, (0, 0.0))
        now = self.clock()
        if failures > _ATTEMPTS and now - since >= _LOCKED_SECONDS:
            failures = 0
        if failures > _ATTEMPTS:
            return None  # 782: the right password too
        if user is None or user["password"] != password:
            self._failures[name] = (failures + 1, now)
            return None
        self._failures.pop(name, None)
        return self._now(user)

    def unlock(self) -> None:
        """Wrong passwords are forgotten, as after some minutes (918)."""
        self._failures.clear()

    def session(self, request: Request, user: Json | None) -> str | None:
        """The cookie to set: also for somebody who is not logged in (037-046), not for a session that lives (379)."""
        current = request.cookies.get("JSESSIONID")
        if current in self.sessions:
            return None
        self._session_count += 1
        key = f"S{self._session_count:08d}"
        self.sessions[key] = user["username"] if user else ""
        while len(self.sessions) > 1000:
            self.sessions.pop(next(iter(self.sessions)))
        return f"JSESSIONID={key}; Path=/openmrs; HttpOnly"


def require(user: Json | None, privilege: str, *, as_400: bool = False) -> None:
    if user is not None and may(user, privilege):
        return
    required = f"Privileges required: {privilege}"
    code = "org.openmrs.aop.AuthorizationAdvice:120"
    if as_400:
        raise Refused(400, error(f"{required} [{required}]", code, raw=required))
    if user is None:
        text, status = f"User is not logged in [{required}]", 401  # 039, 041
        headers = {"www-authenticate": 'Basic realm="OpenMRS at /openmrs/ws/rest/"'}
        raise Refused(status, error(text, code, raw=required), headers)
    text = f"User is logged in but doesn't have the relevant privilege [{required}]"
    raise Refused(403, error(text, code, raw=required))  # 059, 073


def may(user: Mapping[str, Any], privilege: str) -> bool:
    granted = user.get("privileges", "all")
    return granted == "all" or any(p in granted for p in privilege.split(","))


#: 036-038.
_LOCALES = ["en", "en-GB", "es", "fr", "it", "pt"]


def _named(kind: str, names: Sequence[str]) -> list[Json]:
    return [
        {"uuid": meta.own_uuid(kind, name), "display": name, "name": name, "resourceVersion": "1.8"} for name in names
    ]


def user_uuid(user: Mapping[str, Any]) -> str:
    return meta.own_uuid("user", user["username"])


def session_body(user: Json | None) -> Json:
    if user is None:
        return {"authenticated": False, "locale": "en", "allowedLocales": _LOCALES}
    granted = user.get("privileges", "all")
    return {
        "authenticated": True,
        "locale": "en",
        "allowedLocales": _LOCALES,
        "user": {
            "uuid": user_uuid(user),
            "display": user["username"],
            "username": user["username"] if granted != "all" else "",  # 036
            "systemId": user.get("systemId", user["username"]),
            **({"person": user["person"]} if "person" in user else {}),  # 057 has none
            # 036: a superuser shows its role and no privileges; 058: any other shows those it has
            "privileges": [] if granted == "all" else _named("privilege", granted),
            "roles": [
                *_named("role", user.get("roles", [SUPERUSER] if granted == "all" else [])),
                *({k: one[k] for k in ("uuid", "display", "name")} for one in user.get("held", [])),
            ],
            "resourceVersion": "1.8",
        },
        "sessionLocation": None,
        "currentProvider": user.get("provider"),
    }
