"""A configuration pack as typed, frozen data. ``config.py`` reads YAML into these; nobody else parses YAML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

Text = Mapping[str, str]  #: {"fr": ..., "en": ...}
#: The option every category has, last, for what is not known.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Place:
    """Position of a node in a file, for findings: line and column begin at 1."""

    file: str
    line: int
    column: int = 1


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """``kind``: cht | files | openmrs. ``settings``: addresses and credentials, already resolved from ``${...}``."""

    name: str
    kind: str
    settings: Mapping[str, Any]
    schedule: str  #: "every 15m" or a five-field cron with weekday names
    silent_after: str = "3d"
    #: Who says what is current when a record is pushed that is known already: feed (only what is pulled) |
    #: comparable (the revision that is certainly newer) | none (the last one received).
    order: str = "feed"


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """``kind``: dhis2 | dhis2_tracker | openmrs | fhir_server | cht_answers."""

    name: str
    kind: str
    settings: Mapping[str, Any]
    schedule: str
    live_from: str  #: DHIS2 period for dhis2, ISO date for the others
    mode: str = "live"  #: live | shadow
    on_existing: str = "ask"  #: ask | keep | overwrite
    vanished: str = "zero"  #: zero | delete


@dataclass(frozen=True, slots=True)
class Plausible:
    """The numbers a fact may likely be, both ends included; None: no end. ``counts``: what lies outside counts all the
    same."""

    low: Decimal | None
    high: Decimal | None
    counts: bool = False

    def holds(self, value: int | Decimal) -> bool:
        return (self.low is None or self.low <= value) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class Concept:
    """One entry of the dictionary. ``kind``: boolean | integer | decimal | coded | text | date.

    ``codings``: system -> code with system in ciel, loinc, snomed, icd11, who. ``answers``: option -> concept id for
    coded concepts. ``unit``: UCUM code stored inside; ``fhir``: {resource, category, ...}, where it goes.
    ``kept``: wanted although nothing counts or sends it yet, so that ``relais check`` is silent about it.
    ``plausible``: of numbers; what lies outside is kept, flagged and shown, and neither counted nor sent.
    ``versions``: system -> version of it the codes were checked against, where the pack says one.
    """

    id: str
    kind: str
    name: Text
    codings: Mapping[str, str]
    unit: str | None = None
    answers: Mapping[str, str] = field(default_factory=dict)
    fhir: Mapping[str, Any] = field(default_factory=dict)
    at: Place | None = None
    kept: bool = False
    plausible: Plausible | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ActivityKind:
    """A kind of activity and its FHIR shape. ``fhir``: {shape: encounter | questionnaire_response | task | none,
    class: HH | FLD | AMB, type: code, subject: person | group | none}."""

    id: str
    name: Text
    fhir: Mapping[str, Any]
    facts: Sequence[str] = ()
    at: Place | None = None


@dataclass(frozen=True, slots=True)
class FactRule:
    name: str
    expression: Callable[[Mapping[str, Any]], Any] | None  #: compiled; None for a constant
    constant: Any = None
    codes: Mapping[str, str | None] | None = None
    items: Mapping[str, FactRule] | None = None  #: for list facts: one flat dict per item
    source: str = ""  #: the expression as written
    at: Place | None = None
    #: for list facts whose items lie apart in the form: one set of rules per item, read from the whole record; an
    #: item with nothing but constants is left out
    rows: Sequence[Mapping[str, FactRule]] | None = None


@dataclass(frozen=True, slots=True)
class FormMapping:
    """How one form (source, name) becomes an activity or registers an entity."""

    source: str
    name: str
    activity: str | None
    registers: str | None  #: person | place | worker
    date: FactRule | None
    place: FactRule | None
    worker: FactRule | None
    subject: FactRule | None
    key: FactRule | None
    facts: Sequence[FactRule]
    referral: Mapping[str, FactRule] | None
    file: str
    version: str  #: sha256 of the file, its tables, the concepts it uses and the zone, first 16 hex digits
    at: Place | None = None
    #: an instant on the day of service, for what needs the hour; ignored when it falls on another day
    time: FactRule | None = None


@dataclass(frozen=True, slots=True)
class Category:
    """A dimension. ``options``: option id -> DHIS2 category option code, in order, ``unknown`` last.

    ``fact``: the fact (or item fact) it reads. ``bands``: option -> (lower inclusive, upper exclusive) in the unit of
    the fact (age_days, age_months, age_years), or None for coded facts.
    """

    id: str
    name: Text
    fact: str
    options: Mapping[str, str]
    option_names: Mapping[str, Text]
    bands: Mapping[str, tuple[int, int]] | None = None
    #: DHIS2 category code; two categories of the pack may be one there (sex of the patient, sex of the baby)
    code: str = ""
    #: the fact a band is measured by, where it is not ``fact`` (first days, then months, then years)
    band_facts: Mapping[str, str] = field(default_factory=dict)
    at: Place | None = None


@dataclass(frozen=True, slots=True)
class Indicator:
    """What is counted. ``parts`` holds one condition per part: {"count": f} or {"num": f, "den": f}; ``rules`` says the
    rest of each part, which may count other kinds of activity than the other part, in another way. ``counts``: all
    kinds it looks at.
    """

    id: str
    name: Text
    counts: Sequence[str]  #: activity kinds, episodes and registers
    parts: Mapping[str, Predicate]
    rules: Mapping[str, PartRule]
    data_set: str
    elements: Mapping[str, str]  #: part -> DHIS2 data element code
    chis: str | None
    area: str  #: of health; a name of the pack's own, which pages list the indicator under; no figure depends on it
    at: Place | None = None
    version: str = ""
    definition: Text = field(default_factory=dict)  #: what is counted, in words, for people
    small: int | None = None  #: as of its data set, unless it says otherwise
    periodicity: str | None = None  #: the period type it is defined for, compared with that of its data set
    #: the numerator's condition is looked at only where the denominator's holds, on the same record
    nested: bool = False


@dataclass(frozen=True, slots=True)
class PartRule:
    """How one part of an indicator is counted.

    ``aggregate``: count | sum | distinct | first | latest. ``distinct``: whom or what is counted once, or of whom the
    first or latest record counts. ``at_least``: so many records of her in the period, or she is not counted. ``each``:
    name of a list fact; each item is evaluated with the item's facts laid over the activity's. ``among``: for first and
    latest, the records one is chosen from; the one chosen then counts if the part's condition holds. ``period``: a fact
    that names the period, or a day in it, instead of the day of service.
    """

    counts: Sequence[str]
    aggregate: str
    distinct: str | None = None
    at_least: int = 1
    each: str | None = None
    by: Sequence[str] = ()
    among: Predicate | None = None
    period: str | None = None
    amount: Predicate | None = None

    @property
    def keyed(self) -> bool:
        """A record of this part may or may not count by what else there is of the same person in the period, so all
        categories are counted together."""
        return self.aggregate in ("first", "latest") or (self.aggregate == "distinct" and self.each is None)


@dataclass(frozen=True, slots=True)
class Predicate:
    source: str
    evaluate: Callable[[Mapping[str, Any]], Any]
    #: of a numerator: its own condition, for where the denominator's is known to hold
    alone: Callable[[Mapping[str, Any]], Any] | None = None
    at: Place | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Figures leave only once a person approved them. ``margin``: by how much a figure may differ from the approved
    one before it must be approved again (None: not at all); in percent of it, or as a count."""

    margin: Decimal | None = None
    percent: bool = False

    def covers(self, approved: str | None, wanted: str | None) -> bool:
        """May ``wanted`` leave when ``approved`` was approved? Nothing and deleted are nought."""
        before, now = Decimal(approved or 0), Decimal(wanted or 0)
        if before == now:
            return True
        if self.margin is None:
            return False
        return abs(now - before) <= (abs(before) * self.margin / 100 if self.percent else self.margin)


@dataclass(frozen=True, slots=True)
class EpisodeMember:
    """Records of this kind belong to an episode when ``key`` gives of them what ``matches`` gives of its opening, and
    they are dated ``first`` to ``last`` days after it (before it, when negative)."""

    kind: str
    key: Predicate
    matches: Predicate
    first: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class EpisodeKind:
    """Records that belong together and are counted as one: a pregnancy and its visits, a referral and its answer.

    Every record of a kind in ``opens`` for which ``when`` holds opens an episode, unless an earlier one of the same
    ``key`` was opened no more than ``merges`` days before: then it belongs to that. The episode is counted like an
    activity of kind ``id`` with the place, worker, person and facts of its opening and the ``facts`` worked out from
    ``members`` (in time order, the opening among them); ``day`` is a fact that says its day, else that of its opening.
    """

    id: str
    name: Text
    opens: Sequence[str]
    key: Predicate
    when: Predicate | None
    merges: int | None
    members: Sequence[EpisodeMember]
    facts: Mapping[str, Predicate]
    day: str | None
    version: str
    at: Place | None = None


@dataclass(frozen=True, slots=True)
class Register:
    """Who or what there is at the end of a period, whether or not anybody reported: counted by ``close(period)`` like
    activities of kind ``id`` dated the last day.

    ``of``: person | place | worker (entities of the registry) or deployments. ``role``: which places; ``group``: which
    deployments. ``members``: kind of activity -> expression that names the worker it is about, for what her records of
    the period say (deployments only). ``facts``: worked out for each, in order; ``when``: who counts at all.
    """

    id: str
    name: Text
    of: str
    when: Predicate | None
    facts: Mapping[str, Predicate]
    version: str
    role: str | None = None
    group: str | None = None
    deadline: int = 0  #: days after the period's end; its day is ``deadline`` in the expressions
    members: Mapping[str, Predicate] = field(default_factory=dict)
    at: Place | None = None


@dataclass(frozen=True, slots=True)
class DataSet:
    """``level``: the org-unit level values are sent at. ``complete``: None = never completed by us, else the reporter
    group of ``deployments.csv`` that must have reported.

    ``deadline``: the day after the period by which reports are on time. ``gaps_after``: after so many days it is
    completed although reporters are missing (None: never). ``on_change``: ``keep``, or ``mark_incomplete``: before a
    changed figure leaves, a completion of ours is taken back, and made again behind its acceptance. ``small``:
    figures above nought and below this are flagged, never hidden.
    """

    id: str
    code: str
    name: Text
    period_type: str  #: one of periods.PERIOD_TYPES
    level: str
    complete: str | None
    send_zero: bool = False
    at: Place | None = None
    deadline: int | None = None
    gaps_after: int | None = None
    on_change: str = "keep"
    release: Release | None = None
    small: int | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A fact that goes into a field of a tracker. ``codes``: option -> its code in DHIS2, where they differ."""

    fact: str
    codes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrackerStage:
    """Every record of a kind of activity is one event of the stage. ``data_elements``: DHIS2 code -> fact."""

    stage: str  #: code or UID in DHIS2
    activity: str
    data_elements: Mapping[str, Sent]


@dataclass(frozen=True, slots=True)
class Tracker:
    """``tracker.yaml``: which activities become events of one DHIS2 program. ``program``: its code; ``level``: where
    events are written; ``attributes``: DHIS2 code -> what is known of the person (``id``, or a fact of the form that
    registers her)."""

    program: str
    level: str
    attributes: Mapping[str, Sent]
    stages: Sequence[TrackerStage]
    version: str

    def stages_of(self, activity: str) -> list[TrackerStage]:
        return [one for one in self.stages if one.activity == activity]


@dataclass(frozen=True, slots=True)
class OrgUnitRow:
    """One line of ``org_units.csv``: a source's place is this DHIS2 org unit between two dates."""

    source: str
    place: str
    org_unit: str  #: DHIS2 code
    level: str
    parent: str  #: org unit code of the parent, "" at the top
    name: str
    valid_from: date
    valid_to: date | None
    at: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    """One line of ``deployments.csv``: a reporter expected at an org unit between two dates."""

    reporter: str  #: id of the worker, group or place at the source
    kind: str  #: worker | place
    group: str  #: the reporter group a data set names in ``complete``
    org_unit: str
    valid_from: date
    valid_to: date | None
    at: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Pack:
    id: str
    version: str  #: digest over all files
    folder: Path
    name: Text
    zone: str
    languages: Sequence[str]
    sources: Mapping[str, SourceConfig]
    targets: Mapping[str, TargetConfig]
    concepts: Mapping[str, Concept]
    activities: Mapping[str, ActivityKind]
    forms: Mapping[tuple[str, str], FormMapping]  #: (source, form name)
    ignore: Mapping[str, Sequence[str]]  #: source -> forms that are known and not mapped
    categories: Mapping[str, Category]
    indicators: Mapping[str, Indicator]
    data_sets: Mapping[str, DataSet]
    openmrs: Mapping[str, Any]  #: openmrs.yaml as plain data
    retention: Mapping[str, Any]
    org_units: Sequence[OrgUnitRow]
    deployments: Sequence[DeploymentRow]
    #: facts computed from facts and age, the same for every app: name -> expression
    derived: Mapping[str, Predicate] = field(default_factory=dict)
    #: schedules of Relais's own jobs (reconcile, seal, purge): job -> schedule
    schedules: Mapping[str, str] = field(default_factory=dict)
    episodes: Mapping[str, EpisodeKind] = field(default_factory=dict)
    registers: Mapping[str, Register] = field(default_factory=dict)
    tracker: Tracker | None = None

    def is_small(self, indicator: str, value: str | None) -> bool:
        """So few that the figure may point at a person? It is flagged, never hidden from official reporting."""
        found = self.indicators.get(indicator)
        if found is None or not value:
            return False
        data_set = self.data_sets.get(found.data_set)
        limit = found.small if found.small is not None else data_set.small if data_set else None
        return limit is not None and 0 < Decimal(value) < limit
