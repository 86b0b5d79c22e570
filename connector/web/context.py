"""What the web layer is given: the seams it reads and acts through. ``bootstrap`` wires it, tests fake it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from connector.engine.tokens import Bearer
from connector.errors import MatchUnknown
from connector.mappings.pack import Pack
from connector.ports import Clock, Store

Document = Mapping[str, Any]


class Cipher(Protocol):
    def decrypt(self, table: str, blob: bytes | None) -> bytes | None:
        """The plaintext JSON of an encrypted column; None for NULL. Raises when the data key is gone."""
        ...


class Actions(Protocol):
    """What a person may do. Each call is one transaction with its audit entry; ``by`` is the user's name.

    ``retry``, ``park``, ``resolve`` take delivery ids and ``remap`` quarantine ids; each answers how many rows it
    really changed, as a row may have moved on since it was chosen.
    """

    def retry(self, ids: Sequence[int], by: str) -> int: ...

    def park(self, ids: Sequence[int], reason: str, by: str) -> int: ...

    def resolve(self, ids: Sequence[int], note: str, by: str) -> int: ...

    def pause(self, name: str, reason: str, until: datetime | None, by: str) -> None: ...

    def resume(self, name: str, by: str) -> None: ...

    def try_now(self, name: str, by: str) -> None:
        """Do not wait for the due time: one try (one delivery as a probe) at the next pass."""
        ...

    def release(self, cell_id: int, decision: str, by: str) -> None:
        """Settle a held value: ``overwrite`` sends ours, ``keep`` leaves the value found at the target."""
        ...

    def approve(self, period: str, org_unit: str, data_set: str | None, seen: str, by: str) -> dict[str, int]:
        """Let figures leave that wait for it, those that were ``seen``: counts ``blocks``, ``values``, ``changed``.
        Raises ValueError while the period runs."""
        ...

    def remap(self, ids: Sequence[int], by: str) -> int: ...

    def read_audit(self, event: str, subject: str, by: str) -> None:
        """Write down that ``by`` was shown personal data about ``subject`` (a record id or a page name)."""
        ...


class Reporting(Protocol):
    """Monthly reporting: the documents of ``engine.completeness``, ``engine.approving`` and ``engine.slip``."""

    def completeness(
        self, period: str | None = None, data_set: str | None = None, org_unit: str | None = None
    ) -> Document:
        """Raises ValueError for a period that is none."""
        ...

    def shares(self, data_set: str, above: str | None = None) -> Document: ...

    def waiting(self, period: str, org_unit: str | None, data_set: str | None) -> Document:
        """``{"seen", "values", "over", "units": [{"org_unit", "data_set", "values", "before"}]}``."""
        ...

    def slip_units(self) -> Sequence[str]: ...

    def slip(self, period: str, org_unit: str) -> Document:
        """Raises ValueError for a period that is none."""
        ...

    def slip_csv(self, period: str, org_unit: str | None, language: str) -> Iterator[str]: ...


class NoReporting:
    """For a web layer without an engine: nobody is expected."""

    def completeness(
        self, period: str | None = None, data_set: str | None = None, org_unit: str | None = None
    ) -> Document:
        return {"data_sets": []}

    def shares(self, data_set: str, above: str | None = None) -> Document:
        return {"periods": [], "rows": []}

    def waiting(self, period: str, org_unit: str | None, data_set: str | None) -> Document:
        return {"seen": "", "values": 0, "over": True, "units": []}

    def slip_units(self) -> Sequence[str]:
        return ()

    def slip(self, period: str, org_unit: str) -> Document:
        return {"period": period, "org_unit": org_unit, "data_sets": []}

    def slip_csv(self, period: str, org_unit: str | None, language: str) -> Iterator[str]:
        return iter(())


class Matches(Protocol):
    """Match review: the documents of ``engine.match_review``."""

    def waiting(self) -> int: ...

    def listed(self, limit: int) -> Sequence[Document]:
        """Open reviews, oldest first, without names."""
        ...

    def one(self, id: int) -> Document | None:
        """One of them, without names."""
        ...

    def shown(self, id: int, by: str, reason: str) -> Document:
        """Both sides; that ``by`` reads them, and the reason given, is written down first. Raises MatchUnknown."""
        ...

    def decide(self, id: int, patient: str | None, note: str, by: str) -> Document:
        """Raises MatchUnknown."""
        ...


class NoMatches:
    """For a web layer without an engine: nobody waits."""

    def waiting(self) -> int:
        return 0

    def listed(self, limit: int) -> Sequence[Document]:
        return ()

    def one(self, id: int) -> Document | None:
        return None

    def shown(self, id: int, by: str, reason: str) -> Document:
        raise MatchUnknown

    def decide(self, id: int, patient: str | None, note: str, by: str) -> Document:
        raise MatchUnknown


class Explain(Protocol):
    def __call__(
        self,
        data_element: str,
        org_unit: str,
        period: str,
        combo: str,
        after: str | None = None,
        *,
        why_not: bool = False,
    ) -> Document | None:
        """The lineage of one DHIS2 value, its records ten at a time from ``after``; None: nothing counted there.
        ``why_not``: also why other records do not count (``not_counted``), which takes a look at each.

        ``led`` holds signed steps that add up to the current value; the result is not one of them.
        """
        ...


def _not_asked(cell: Document) -> Document:
    return {}


class Trace(Protocol):
    def __call__(self, record: str, unmask: bool = False) -> Document | None:
        """The way of one record (``source/stream/key``); None when unknown. Masked facts carry no value unless
        ``unmask``."""
        ...


@dataclass(frozen=True, slots=True)
class Ingested:
    """The answer to a pushed document: 202 durable and new, 200 nothing new, 404 no such source, 422, 503."""

    status: int
    receipt: Mapping[str, Any] = field(default_factory=dict)
    retry_after: float | None = None


class Ingest(Protocol):
    def __call__(self, source: str, body: bytes, form: str | None, by: str) -> Ingested:
        """Take a pushed document in. Answers 202 only after the COMMIT that holds the record. ``form``: what the
        sender says it is; ``by``: who sends it."""
        ...


def _no_ingest(source: str, body: bytes, form: str | None, by: str) -> Ingested:
    return Ingested(404, {"error": "ingest.unknown_source"})


class Preview(Protocol):
    def __call__(self, form: str, body: Mapping[str, Any], unmask: bool) -> Document:
        """What the mapping ``source/form`` makes of a record. ``unmask``: show, and look up, whom it is about."""
        ...


def _no_preview(form: str, body: Mapping[str, Any], unmask: bool) -> Document:
    raise NotImplementedError


@dataclass(frozen=True)
class WebContext:
    store: Store
    pack: Pack
    clock: Clock
    env: Literal["demo", "production"]
    cipher: Cipher
    status: Callable[[], Document]  #: the document of ``relais status --json``
    explain: Explain
    trace: Trace
    actions: Actions
    reasons: Mapping[str, tuple[str, str, str]]  #: code -> (who, French sentence, English sentence)
    ingest: Ingest = _no_ingest
    reporting: Reporting = field(default_factory=NoReporting)
    matches: Matches = field(default_factory=NoMatches)
    preview: Preview = _no_preview
    #: What DHIS2 holds now of a row of ``cell``, within a time limit (``engine.asking``).
    ask: Callable[[Document], Document] = _not_asked
    #: Who shows this token; None: nobody who may come in.
    bearer: Callable[[str], Bearer | None] = lambda token: None
    #: Source -> keys its pushes are signed with (two while one is replaced). A source without: no signature asked for.
    webhook_keys: Mapping[str, Sequence[bytes]] = field(default_factory=dict, repr=False)
    #: Signs cookies, CSRF tokens and frozen selections. Derived from the master key so that a restart signs
    #: nobody out; random where there is none.
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    version: str = "0"
    #: Extra metrics: called per scrape, name -> (help, [(labels, value)]).
    gauges: Callable[[], Mapping[str, tuple[str, Sequence[tuple[Mapping[str, str], float]]]]] = dict
    #: Largest body taken from a webhook, bytes.
    ingest_limit: int = 5_000_000
    #: Is the work of this process being done (scheduler alive)? For /readyz.
    ready: Callable[[], bool] = lambda: True
