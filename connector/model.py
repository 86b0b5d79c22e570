"""The nouns of Relais as frozen dataclasses: no I/O, no clock, no randomness.

Words are those of ``docs/glossary.md``. Times are timezone-aware ``datetime`` in UTC unless a field says
otherwise; a *date of service* is a plain ``date`` in the pack's time zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

Json = Mapping[str, Any]


class Verdict(StrEnum):
    """What a target's answer means. ``OPEN`` is an attempt whose answer has not been read (yet, or ever)."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    LEASED = "leased"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    PARKED = "parked"
    RESOLVED = "resolved"


#: What may follow what, and why. Every change of a delivery's state is one of these (the engine's tests run with a
#: trigger that says no to any other); docs/delivery.md draws them.
TRANSITIONS: Mapping[State, Mapping[State, str]] = {
    State.PENDING: {
        State.DEFERRED: "its figures wait for approval: nothing is sent",
        State.LEASED: "claimed: lease and attempt are written, then the request leaves",
        State.ACCEPTED: "the target holds this state already: nothing is sent",
        State.PARKED: "a person parks it, or what it is made from is gone or not valid",
        State.UNKNOWN: "after a restore: something is there under this key, looked at before anything is sent",
        State.RESOLVED: "the person it is about was erased",
    },
    State.LEASED: {
        State.ACCEPTED: "the target holds it, confirmed",
        State.DEFERRED: "not now: its own wait, or the target's",
        State.UNKNOWN: "no answer to be trusted, or the process that sent it is gone",
        State.PARKED: "refused, out of tries, or waiting for more than the pack's limit",
        State.PENDING: "a newer state was wanted meanwhile: this answer settles nothing",
        State.RESOLVED: "the person it is about was erased",
    },
    State.DEFERRED: {
        State.LEASED: "due",
        State.ACCEPTED: "the target holds this state already: nothing is sent",
        State.PENDING: "a newer state is wanted, or a person retries",
        State.PARKED: "a person parks it, or what it is made from is gone or not valid",
        State.RESOLVED: "the person it is about was erased",
    },
    State.UNKNOWN: {
        State.DEFERRED: "its figures wait for approval: nothing is sent",
        State.LEASED: "the quiet time is over: looked up, or sent again where the same state twice is one",
        State.ACCEPTED: "the answer came after all",
        State.PARKED: "a person parks it, or what it is made from is gone or not valid",
        State.RESOLVED: "the person it is about was erased",
    },
    State.ACCEPTED: {
        State.DEFERRED: "its figures wait for approval: nothing is sent",
        State.PENDING: "a newer state is wanted, or the target no longer holds it",
        State.PARKED: "a newer state is wanted that is not valid",
    },
    State.PARKED: {
        State.DEFERRED: "its figures wait for approval: nothing is sent",
        State.PENDING: "a person retries, or a newer state is wanted",
        State.UNKNOWN: "a person retries what is still uncertain: its quiet time first",
        State.RESOLVED: "a person settles it with a note",
    },
    State.RESOLVED: {
        State.DEFERRED: "its figures wait for approval: nothing is sent",
        State.PENDING: "a person retries, or a newer state is wanted",
        State.UNKNOWN: "a person retries what is still uncertain: its quiet time first",
    },
}


class Who(StrEnum):
    """Who must act, as the pages and ``relais status`` say it."""

    MAPPING = "mapping"
    CREDENTIALS = "credentials"
    TARGET_ADMIN = "target_admin"
    CHW_DATA = "chw_data"
    CLINIC = "clinic"
    MINISTRY = "ministry"
    SYSADMIN = "sysadmin"
    NOBODY = "nobody"


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


# ---------------------------------------------------------------- intake


@dataclass(frozen=True, slots=True)
class Record:
    """One document of a source at one revision, exactly as received.

    ``form`` names the form (or contact type) the mapping is chosen by; ``None`` = nothing to map (ignored).
    ``body`` is the parsed document; for a deletion it may be empty or whole (CHT keeps the body in the tombstone).
    ``unreadable`` is set when the source could not parse it: the record goes to quarantine with that reason.
    """

    source: str
    stream: str
    key: str
    revision: str
    form: str | None
    body: Json
    deleted: bool = False
    changed_at: datetime | None = None
    unreadable: str | None = None

    @property
    def id(self) -> str:
        return f"{self.source}/{self.stream}/{self.key}"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a source was read up to. ``value`` is opaque; ``instance`` names the database it belongs to."""

    value: str
    instance: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Records in change order with the cursor that follows them. ``behind``: records still to come, if known."""

    records: Sequence[Record]
    cursor: Cursor
    behind: int | None = None
    replay: bool = False  #: True when the source's database was re-created and is read from the start again


# ---------------------------------------------------------------- mapping


@dataclass(frozen=True, slots=True)
class Flag:
    """A remark on a mapped record: a fact that failed or something a person may want to know."""

    code: str
    fact: str = ""
    detail: str = ""  #: never a value of the record


@dataclass(frozen=True, slots=True)
class Referral:
    """A patient sent to a clinic. ``reasons`` are concept ids; ``to`` is the source's place id of the clinic."""

    to: str | None
    urgent: bool
    reason: str | None
    reasons: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Activity:
    """What one record says happened, free of the app's form. ``facts`` hold typed values (bool, int, Decimal, str,
    ISO dates as str, or lists of flat dicts for ``each``)."""

    source: str
    stream: str
    key: str
    revision: str
    kind: str
    form: str
    mapping: str  #: file of the form mapping, relative to the pack
    version: str  #: digest of that file
    date: date
    at: datetime | None
    place: str | None
    worker: str | None
    subject: str | None
    facts: Json
    referral: Referral | None = None
    flags: Sequence[Flag] = ()

    @property
    def id(self) -> str:
        return f"{self.source}/{self.stream}/{self.key}"


@dataclass(frozen=True, slots=True)
class Entity:
    """A person, place or worker as the registry knows it. ``data``: name, family, given, sex (female|male|unknown),
    birth_date (ISO, may be partial ``2024`` or ``2024-03``), phone, parent (place id), role ..."""

    source: str
    kind: str  #: person | place | worker
    key: str
    revision: str
    data: Json
    mapping: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Mapped:
    """The result of mapping one record: an activity, or an entity, or both (a contact that is also counted)."""

    activity: Activity | None = None
    entity: Entity | None = None
    flags: Sequence[Flag] = ()


#: What names a cell, and the cell a contribution stands in.
ADDRESS = ("indicator", "part", "org_unit", "period", "categories")


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one record adds to one cell. ``amount`` is 1 for counts; ``distinct`` is the (plain) key counted once,
    hashed by the store before it is kept. ``categories``: category id -> option id, in the indicator's order, or
    ``SEEN``. ``moment``: sorts the records of one key in time, as text; ``at_least``: so many of them, or none."""

    record: str
    indicator: str
    part: str  #: count | num | den
    org_unit: str  #: DHIS2 org unit code
    period: str  #: DHIS2 period
    categories: tuple[tuple[str, str], ...]
    amount: Decimal
    distinct: str | None
    date: date
    version: str
    moment: str = ""
    at_least: int = 1


#: Categories of a contribution that stands in no cell: the first or latest record was looked for among records of which
#: this is one, and it has nothing to count.
SEEN = (("", ""),)


@dataclass(frozen=True, slots=True)
class Cell:
    """The address of a number: what is recounted together."""

    indicator: str
    part: str
    org_unit: str
    period: str
    categories: tuple[tuple[str, str], ...]


# ---------------------------------------------------------------- delivery


@dataclass(frozen=True, slots=True)
class Delivery:
    """A wanted state on its way to a target. ``payload`` is the target's own shape (see the adapters);
    ``remote`` holds every identifier obtained or chosen so far, ``step`` where a multi-step delivery stands.
    ``unsure``: an earlier attempt has no trusted answer, so look before creating."""

    id: int
    target: str
    key: str
    kind: str
    generation: int
    digest: str
    payload: Json
    step: str = ""
    remote: Json = field(default_factory=dict)
    tries: int = 0
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class ValueOutcome:
    """The fate of one DHIS2 data value within a block. ``there``: the value found at the target, when read."""

    data_element: str  #: code
    category_option_combo: str  #: code
    verdict: Verdict
    reason: str = ""
    held: bool = False  #: not sent: a person's value is there (``dhis2.value_already_there``)
    there: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A target's answer to one delivery. ``of_target``: the failure is the target's (down, credentials, 429, 503):
    no try is counted and the target's due time moves. ``answer``: what was answered, for the attempt row
    (encrypted at rest, never logged)."""

    verdict: Verdict
    reason: str
    remote_id: str | None = None
    retry_after: timedelta | None = None
    per_value: Sequence[ValueOutcome] = ()
    of_target: bool = False
    http_status: int | None = None
    answer: str = ""
    patient: bool = False  #: waits for a state to change (parent missing, period not open): parked by age only
    endless: bool = False  #: waits for the calendar or for a ministry's decision: not parked by age either
    candidates: Sequence[Json] = ()  #: whom a person must look at first (``engine.match_review``), the likest first

    @property
    def unanswered(self) -> bool:
        """Nothing was heard: no answer about the delivery, so no try is counted."""
        return self.verdict is Verdict.UNKNOWN and self.http_status is None


@dataclass(frozen=True, slots=True)
class Observed:
    """What a target holds under a key. ``matches``: it equals the wanted state of the delivery looked up."""

    matches: bool
    remote: Json = field(default_factory=dict)
    detail: Json = field(default_factory=dict)
    digest: str | None = None  #: of what is there, as ``Delivery.digest``; None when the two cannot be compared


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem (or a passed check) with its place and its fix. Shared by lint, probes and doctor.

    ``message``, ``why`` and ``fix`` are English; ``french`` holds the same three, empty where nobody wrote them.
    ``line`` and ``column`` begin at 1; 0: no place. ``about`` names what a probe speaks of (``element``, its code),
    so that the place in the pack can be found by who knows the pack.
    """

    code: str
    severity: Severity
    message: str
    fix: str = ""
    file: str = ""
    line: int = 0
    who: Who = Who.MAPPING
    column: int = 0
    why: str = ""
    french: tuple[str, str, str] = ("", "", "")
    about: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """``settles_within``: quiet time after UNKNOWN; must exceed the server's own request limit.

    ``resend_is_safe``: the same state sent twice is one state (DHIS2 upsert, PUT under our id) and the answer says what
    is held, so after the quiet time an unsure delivery is sent again instead of looked up one by one. Never where a
    request creates something (OpenMRS).

    ``ordered``: a delivery waits for an earlier one of its subject that is still open, but not for one that was put off
    for a reason in ``needs_others``: that one may wait for the later one itself (a resource cannot be removed before
    those that refer to it).

    ``at_once``: batches on their way together, of what has nothing to do with each other, while the target is well.
    """

    max_batch: int
    settles_within: timedelta
    can_delete: bool = True
    resend_is_safe: bool = False
    ordered: bool = True
    needs_others: frozenset[str] = frozenset()
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class OpenReferral:
    """A referral whose answer is awaited. ``remote``: patient, encounter, appointment uuids at the clinic."""

    id: str  #: record id of the activity
    number: str  #: the referral number written at the clinic (the record's key)
    date: date
    remote: Json


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that a target lacks and the pack needs. ``kind``: ``data_element``, ``encounter_type`` ...; ``code``:
    how the pack calls it.

    ``why`` is empty when Relais can make it there; else it says, in English and in French, why a person must.
    """

    kind: str
    code: str
    name: str = ""
    why: str = ""
    french: str = ""

    @property
    def makeable(self) -> bool:
        return not self.why


@dataclass(frozen=True, slots=True)
class Survey:
    """What a target lacks, and ``package``: what would be sent to make it, as the target takes it."""

    lacks: Sequence[Lack]
    package: Mapping[str, Any] = field(default_factory=dict)
