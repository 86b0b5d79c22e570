"""Who is asking: Basic, ApiToken or the session cookie, and how DHIS2 2.42 turns people away."""

from __future__ import annotations

import base64
import re

from connector.sandbox.dhis2_rules import Json
from connector.sandbox.dhis2_wire import Answer, Request, said


class Doors:
    """``login_page``: where those are sent who show no account. ``database_down``: every log-in fails as with a wrong
    password. ``lock_after_failures``: 5 with keyLockMultipleFailedLogins on (530-538); off by default."""

    def __init__(self, users: list[Json], login_page: str) -> None:
        self.users, self.login_page = users, login_page
        self.database_down = False
        self.lock_after_failures: int | None = None
        self.reset()

    def reset(self) -> None:
        self.database_down = False
        self._failures: dict[str, int] = {}
        self._sessions: dict[str, str] = {}
        self._logins = 0

    def enter(self, request: Request) -> tuple[Json, str]:
        """The user and the session cookie to set. The cookie alone is a full login (findings 3)."""
        if self.database_down:
            raise said(401, "Unauthorized")  # 453, 454: as if the password were wrong
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        session = re.search(r"JSESSIONID=(\w+)", request.headers.get("cookie", ""))
        if scheme == "Basic":
            user = self._by_password(secret)
        elif scheme == "ApiToken":
            user = self._by_token(secret)
        elif session and session[1] in self._sessions:
            return next(u for u in self.users if u["username"] == self._sessions[session[1]]), ""
        elif request.headers.get("x-requested-with") == "XMLHttpRequest":  # 024
            raise said(401, "Unauthorized")
        else:  # none or an unknown scheme (021-028, 392)
            raise Answer(302, location=f"http://{request.headers.get('host', '')}{self.login_page}")
        self._logins += 1
        cookie = f"{self._logins:032X}"
        self._sessions[cookie] = user["username"]
        if len(self._sessions) > 1000:
            del self._sessions[next(iter(self._sessions))]
        return user, cookie

    def _by_password(self, secret: str) -> Json:
        try:
            name, _, password = base64.b64decode(secret).decode().partition(":")
        except ValueError:
            raise said(401, "Unauthorized") from None
        user = next((u for u in self.users if u["username"] == name), None)
        locked = self.lock_after_failures is not None and self._failures.get(name, 0) >= self.lock_after_failures
        if user is not None and user.get("password") == password and not locked:
            if user.get("disabled"):
                raise said(401, "Account locked")  # 541: disabled says locked
            return user
        self._failures[name] = self._failures.get(name, 0) + 1
        locked = self.lock_after_failures is not None and self._failures[name] >= self.lock_after_failures
        raise said(401, "Account locked" if locked else "Unauthorized")  # 531-538, 019, 020

    def _by_token(self, token: str) -> Json:
        if any(token in u.get("tokensDeleted", ()) for u in self.users):
            raise said(401, "The API token does not exists")  # 394
        if any(token in u.get("tokensExpired", ()) for u in self.users):
            raise said(401, "Failed to authenticate API token, token has expired.")  # 398
        user = next((u for u in self.users if u.get("token") == token), None)
        if user is None:  # a mistyped token fails its checksum (390, 391)
            raise said(400, "Checksum validation failed")
        return user
