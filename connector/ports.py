"""The seams: what the engine needs from the outside, as Protocols and nothing else.

A source is one method, a target is three. The engine owns retries, leases and due times; an adapter makes one
attempt and says honestly what the answer means.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol, TypeVar, runtime_checkable

from connector.model import (
    Capabilities,
    Cursor,
    Delivery,
    Finding,
    Observed,
    OpenReferral,
    Outcome,
    Page,
    Record,
    Survey,
)

T = TypeVar("T")


class Clock(Protocol):
    def now(self) -> datetime:
        """The present instant, timezone-aware, UTC. The machine's clock may be set at any time, either way."""
        ...

    def steady(self) -> tuple[str, float]:
        """A machine and seconds that nobody can set: they say how much time passed between two readings of the same
        name, in whatever process of that machine. A machine that starts again has another name, or counts from
        nearly nothing."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class Source(Protocol):
    name: str

    def pages(self, since: Cursor | None) -> AsyncIterator[Page]:
        """Yield pages in change order. A page may repeat records already seen; it may never skip one.

        Raises ``SourceError`` subclasses (``errors.py``); a page that was not read whole is never yielded.
        """
        ...

    async def probe(self) -> Sequence[Finding]: ...


class Pushable(Protocol):
    """A source that can also be pushed to: the same document makes the same record, pulled or pushed."""

    def pushed(self, data: bytes, form: str | None) -> Record:
        """The record in a pushed document (JSON). ``form`` is what the sender says where the document does not.

        Raises ``PushUnreadable``.
        """
        ...

    def newer(self, record: Record, revision: str, changed_at: datetime | None) -> bool:
        """Is the record certainly newer than the revision of the same key given? False when it cannot be told."""
        ...


class Progress(Protocol):
    """What an adapter may tell the engine in the middle of an attempt; durable when the call returns."""

    def note(self, delivery: Delivery, *, step: str, remote: Mapping[str, Any]) -> None:
        """Keep the step cursor and every remote id *before* the next request leaves."""
        ...

    def lane(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold a serial lane (one creation per OpenMRS, one first push per DHIS2 period). Raises ``LaneBusy``."""
        ...


class Target(Protocol):
    name: str
    capabilities: Capabilities

    async def deliver(self, batch: Sequence[Delivery], progress: Progress) -> Sequence[Outcome]:
        """One outcome per delivery, in order. Remote trouble is an outcome, never an exception."""
        ...

    async def look_up(self, delivery: Delivery) -> Observed | None:
        """What the target holds under this key now. None: certainly not there. Raises ``TargetUnreadable``
        when it could not be read."""
        ...

    async def probe(self) -> Sequence[Finding]:
        """Reachable, authorised, metadata in place. An empty list means all is well."""
        ...


@runtime_checkable
class Expiring(Protocol):
    """A target that can tell how long our access to it lasts."""

    async def token_ends(self) -> datetime | None:
        """When the first of our tokens there ends; None when there is none, or none that ends. One read. Raises
        ``TargetUnreadable``."""
        ...


class Setup(Protocol):
    """The metadata of a target: what must be there before anything can be sent."""

    name: str

    async def survey(self) -> Survey:
        """What is missing now. Raises ``TargetUnreadable``, ``TargetRefused``."""
        ...

    async def make(self, survey: Survey) -> Sequence[Finding]:
        """Make what the survey found missing and can be made; nothing that is there is changed beyond what was missing
        in it. Returns what the target refused. What was made is for the next survey to say, never for an answer.
        Raises ``TargetUnreadable``, ``TargetRefused``."""
        ...


class OutcomeFeed(Protocol):
    """The clinic's answers, read by id for the open referrals (feeds are hints)."""

    name: str

    @property
    def unread(self) -> Sequence[str]:
        """Ids of referrals of which the last ``answers`` could learn nothing."""
        ...

    async def answers(self, referrals: Sequence[OpenReferral]) -> Sequence[Record]:
        """One record (source = name, stream = ``outcomes``, key = referral id) per referral with news."""
        ...


class Store(Protocol):
    def write(self, fn: Callable[[Any], T]) -> T:
        """Run ``fn(connection)`` in one short transaction; commit, or roll back and raise."""
        ...

    def read(self, fn: Callable[[Any], T]) -> T: ...


class Runner(Protocol):
    """Runs the coarse idempotent jobs."""

    async def submit(self, job: str, key: str) -> None: ...
