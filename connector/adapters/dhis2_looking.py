"""What both DHIS2 adapters ask of a server before anything is sent: which codes it has, how long our tokens live,
whether a period is approved. ``Get`` is a read of the adapter's own; it raises Stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from connector.adapters.dhis2_probe import first_end, timely
from connector.model import Finding, Outcome, Verdict

Get = Callable[[str, Mapping[str, str]], Awaitable[Mapping[str, Any]]]
#: Our clock, where there is one.
Now = Callable[[], datetime] | None

#: Fields of ``/api/system/info`` and ``/api/me`` that a probe reads.
INFO, ME = "version,calendar,serverDate", "username,authorities,organisationUnits[id,path]"
#: Codes asked for in one request.
_CODES_AT_ONCE = 100
#: Org units of one data set that are asked whether they are approved: each is a request (259: 0.25 s).
_APPROVALS = 30


class Stop(Exception):
    """It ends here with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


def unavailable(code: str, status: int | None = None) -> Stop:
    """The target itself is at fault, nothing that is sent to it."""
    return Stop(Outcome(Verdict.DEFERRED, code, of_target=True, http_status=status))


def rows(body: Mapping[str, Any], name: str, *, needed: bool = True) -> list[Mapping[str, Any]]:
    """The list of objects under a name. Raises Stop when it is not there or another thing is."""
    found = body.get(name) if needed else body.get(name, [])
    if not isinstance(found, list) or not all(isinstance(row, Mapping) for row in found):
        raise unavailable("dhis2.unavailable")
    return found


async def there(get: Get, collection: str, codes: Sequence[str]) -> set[str]:
    """Which of these codes DHIS2 has, whatever they belong to. Raises Stop."""
    found: set[str] = set()
    plain = [code for code in codes if not set(code) & set(",:[]")]
    for start in range(0, len(plain), _CODES_AT_ONCE):
        named = ",".join(plain[start : start + _CODES_AT_ONCE])
        query = {"filter": f"code:in:[{named}]", "fields": "id,code", "paging": "false"}
        found |= {str(row.get("code")) for row in rows(await get(f"/api/{collection}", query), collection)}
    return found


async def _tokens(get: Get) -> Mapping[str, Any]:
    """The tokens of our account. Raises Stop, also where they are switched off."""
    return await get("/api/apiToken", {"fields": "id,expire"})


async def token_end(get: Get, settings: Mapping[str, Any], now: Now) -> datetime | None:
    """When the first of our tokens ends; None where we use none, or have no clock. Raises Stop."""
    if now is None or not settings.get("token"):
        return None
    return first_end(await _tokens(get), now())


async def in_time(get: Get, settings: Mapping[str, Any], name: str, said: str, now: Now) -> list[Finding]:
    """Findings of the server's clock and of the life of our tokens, of which nothing where it does not tell. ``said``:
    the ``Date`` of an answer."""
    if now is None:
        return []
    tokens: Mapping[str, Any] = {}
    if settings.get("token"):
        with suppress(Stop):
            tokens = await _tokens(get)
    return timely(name, said, tokens, now())


async def first_approved(get: Get, workflow: str, period: str, units: Iterable[tuple[str, str]]) -> str | None:
    """UID of an org unit whose data of the period are approved, there or above; None when none of those asked is, or
    the server does not tell. ``units``: (UID, path). One below each parent comes first, as what is approved above is
    approved for all below it; at most ``_APPROVALS`` are asked."""
    seen: set[str] = set()
    first, rest = [], []
    for uid, path in sorted(units):
        parent = path.rpartition("/")[0]
        (rest if parent in seen else first).append(uid)
        seen.add(parent)
    for uid in [*first, *rest][:_APPROVALS]:
        try:
            told = await get("/api/dataApprovals", {"wf": workflow, "pe": period, "ou": uid})
        except Stop:
            return None
        if str(told.get("state", "")).startswith(("APPROVED", "ACCEPTED")):
            return uid
    return None
