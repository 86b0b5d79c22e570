"""When to try again: pure functions over numbers, no clock and no waiting.

Two separate questions. *This delivery* failed by its own answer: ``due_after`` spaces its tries and in the end says
"park". *The target* failed (out of reach, 429, 503, credentials): ``TargetHealth`` moves the due time of the whole
target and no delivery's try count, so a target that is down for ten days parks nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from connector.model import Who

_S, _M, _H = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

#: Upper limit of the wait after the 1st, 2nd ... counted try of a delivery; after the last one it is parked.
TRIES = (30 * _S, 2 * _M, 10 * _M, 30 * _M, 2 * _H, 6 * _H, 12 * _H, 24 * _H, 24 * _H)

#: Wait after the 1st, 2nd ... failure of a target in a row; the last one repeats.
FAILURES = (30 * _S, 1 * _M, 2 * _M, 5 * _M, 10 * _M, 15 * _M)

#: Wait after the 1st, 2nd ... refusal of our credentials in a row; the last one repeats.
REFUSALS = (10 * _M, 30 * _M, 60 * _M)

#: From this many failures in a row the breaker is open and one delivery at a time goes as a probe.
OPENS_AT = 3

#: From this many refusals in a row it is not the server's database that is down: a person must look.
PERSON_AT = 3

#: No server keeps us away longer than this, whatever its Retry-After says.
LONGEST = 24 * _H

#: Of what is sent while a target has failed lately, at most one in so many is a retry (the rest is sent for the first
#: time). Source: "retry budget" of Finagle and gRPC; with retries alone waiting, they start slowly instead.
BUDGET = 10

#: Due time of a target that is not tried by itself any more; a person resumes it.
NEVER = datetime(9999, 12, 31, tzinfo=UTC)


def due_after(
    tries: int, *, random: Callable[[], float], scale: float = 1.0, retry_after: timedelta | None = None
) -> timedelta | None:
    """How long to wait after the ``tries``-th counted try (1 is the first); None: park it.

    Full jitter: anything between nothing and the limit, so that a thousand deliveries that failed together do not
    come back together (AWS Architecture Blog, "Exponential Backoff And Jitter"). ``random`` gives [0, 1).
    ``scale`` shortens the table for demos and tests. ``retry_after`` is the server's word: never sooner, unscaled.
    """
    if tries > len(TRIES):
        return None
    return _not_before(TRIES[max(tries, 1) - 1] * (scale * random()), retry_after)


def _not_before(wait: timedelta, retry_after: timedelta | None) -> timedelta:
    return max(wait, min(retry_after, LONGEST)) if retry_after else wait


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """How a target (or source) is doing. ``due_at`` None: may be tried now.

    ``breaker``: closed (healthy) · open (not tried until due) · half_open (one probe is out).
    """

    breaker: str = "closed"
    failures: int = 0  #: in a row, of the target itself
    refusals: int = 0  #: in a row, of our credentials
    due_at: datetime | None = None
    #: How many deliveries may leave together (at least one, at most a whole batch): less with each failure, more
    #: with what is answered. None: no failure that still counts.
    good: int | None = None

    def may_try(self, now: datetime) -> bool:
        return self.due_at is None or self.due_at <= now

    @property
    def probing(self) -> bool:
        """True when only one delivery may go, to see whether the target lives again."""
        return self.breaker != "closed"

    def limit(self, full: int) -> int:
        """How many deliveries may leave together, ``full`` when all is well: one after a failure, to see; then twice
        as many with every batch that is answered."""
        if self.probing or self.failures or self.refusals:
            return 1
        return full if self.good is None else max(1, min(full, self.good))

    def retries(self, full: int, fresh: int) -> int:
        """How many retries may leave beside ``fresh`` deliveries sent for the first time, of at most ``full``; alone
        they begin with one and double."""
        if self.good is None:
            return full
        return max(1, fresh // BUDGET if fresh else self.limit(full))


def before_try(health: TargetHealth) -> TargetHealth:
    """A try leaves: an open breaker becomes half open. Call only when ``may_try``."""
    return replace(health, breaker="half_open") if health.breaker == "open" else health


def after_success(health: TargetHealth, answered: int = 1, full: int = 1) -> TargetHealth:
    """The target answered ``answered`` deliveries sensibly (even if it refused them): failures back to nought. Once it
    has answered BUDGET full batches since the last failure, the failure is forgotten."""
    if health.good is None and not health.failures and not health.probing:
        return TargetHealth()
    good = (health.good or 0) + answered
    return TargetHealth() if good >= BUDGET * full else TargetHealth(good=good)


def after_failure(
    health: TargetHealth,
    now: datetime,
    *,
    random: Callable[[], float],
    scale: float = 1.0,
    retry_after: timedelta | None = None,
    full: int = 1,
) -> TargetHealth:
    """The target is out of reach or asks to wait. The wait is between once and one and a half times the table, so
    that an open breaker never sends a probe sooner than the table says.

    A batch that failed takes a quarter off what may leave together (of ``full``, a whole batch), and every failure of
    an open breaker halves it. The one that goes alone in between changes nothing: it fails because the line loses
    requests, not because the batch was too big. As an answered batch doubles it, a line that loses two of five
    requests is served in batches near the full one, and a server that fails on big ones gets what it can take.
    """
    failures = health.failures + 1
    wait = FAILURES[min(failures, len(FAILURES)) - 1] * (scale * (1 + random() / 2))
    opened = failures >= OPENS_AT or health.probing
    good = full if health.good is None else min(full, health.good)
    return TargetHealth(
        breaker="open" if opened else "closed",
        failures=failures,
        refusals=health.refusals,
        due_at=now + _not_before(wait, retry_after),
        good=good // 2 if opened else good * 3 // 4 if failures == 1 else good,
    )


def after_refusal(
    health: TargetHealth, now: datetime, *, probes: bool, locked: bool = False, scale: float = 1.0
) -> TargetHealth:
    """401, 403 or a login page: stop at once.

    ``probes``: this kind of server also answers so when its database is down (DHIS2), so it is asked again after
    10, 30 and then every 60 minutes. Others (OpenMRS, CHT) and ``locked`` accounts are never asked again by
    themselves, because each wrong try may lock the account or block the whole address.
    """
    refusals = health.refusals + 1
    wait = REFUSALS[min(refusals, len(REFUSALS)) - 1] * scale
    return TargetHealth(
        breaker="open",
        failures=health.failures,
        refusals=refusals,
        due_at=now + wait if probes and not locked else NEVER,
        good=0,
    )


def who_acts(health: TargetHealth, *, probes: bool = True) -> Who:
    """Nobody while it may heal by itself; ``credentials`` from the third refusal, or the first one that is not
    probed again."""
    if health.due_at == NEVER or (health.refusals and not probes) or health.refusals >= PERSON_AT:
        return Who.CREDENTIALS
    return Who.NOBODY
