"""What the clinic found, from the conditions it recorded of a patient: pure functions over the FHIR module's answer.

A diagnosis that is written in an encounter and an entry of the problem list are both a FHIR Condition there (591, 853).
A change of an entry makes another one, so what is over (``inactive``, ``resolved``) is no diagnosis of this visit.
Numbers: recordings/openmrs-2.8.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

#: Of one visit so many are told; a name longer than the column there (condition_non_coded, 255) is cut.
_TOLD, _NAME = 3, 255
_OVER = frozenset({"inactive", "remission", "resolved"})
_WRONG = frozenset({"refuted", "entered-in-error"})
_RANK = "/diagnosis-rank"  #: 853
_NON_CODED = "/non-coded-condition"  #: as the module's source has it, not recorded


@dataclass(frozen=True, slots=True)
class Condition:
    """``encounter``: uuid of the one it was written in. ``rank``: 1 is the first; 9 where it has none."""

    id: str
    name: str
    recorded: datetime
    encounter: str | None
    rank: int


@dataclass(frozen=True, slots=True)
class Span:
    """The time in which a condition is about one referral: from its day on, as long as a visit answers it, and before
    the next referral of the same person. ``visit``: the encounter that answers it; ``elsewhere``: encounters that are
    ours, or about another referral."""

    first: date
    last: date
    before: datetime | None
    visit: str | None
    elsewhere: Collection[str]
    zone: ZoneInfo

    def holds(self, one: Condition) -> bool:
        if one.encounter is not None and one.encounter == self.visit:
            return True
        if one.encounter in self.elsewhere or (self.before is not None and one.recorded >= self.before):
            return False
        return self.first <= one.recorded.astimezone(self.zone).date() <= self.last


def read(bundle: Any, patient: str) -> list[Condition] | None:
    """The living conditions of this patient; None when that is no list of conditions.

    Another patient's is passed over, whatever was asked for: nobody hears of somebody else.
    """
    if not isinstance(bundle, Mapping) or bundle.get("resourceType") != "Bundle":
        return None
    entries = bundle.get("entry") or []
    if not isinstance(entries, list):
        return None
    resources = [entry.get("resource") for entry in entries if isinstance(entry, Mapping)]
    return [one for resource in resources if isinstance(resource, Mapping) for one in _condition(resource, patient)]


def told(conditions: Collection[Condition], span: Span) -> str | None:
    """The names of what was found, those written in the visit first, by rank, then by time."""
    about = sorted(
        (one for one in conditions if span.holds(one)),
        key=lambda one: (one.encounter != span.visit or span.visit is None, one.rank, one.recorded, one.id),
    )
    return ", ".join([*dict.fromkeys(one.name for one in about)][:_TOLD]) or None


def _condition(resource: Mapping[str, Any], patient: str) -> Iterator[Condition]:
    if resource.get("resourceType") != "Condition" or _refers(resource.get("subject")) != patient:
        return
    if not _OVER.isdisjoint(_codes(resource.get("clinicalStatus"))):
        return
    if not _WRONG.isdisjoint(_codes(resource.get("verificationStatus"))):
        return
    name, recorded = _name(resource), moment(resource.get("recordedDate"))
    if not name or recorded is None:  # 590: one without a code is taken, too
        return
    rank = _extension(resource, _RANK, "valueInteger")
    yield Condition(
        id=str(resource.get("id")),
        name=name[:_NAME],
        recorded=recorded,
        encounter=_refers(resource.get("encounter")),
        rank=rank if isinstance(rank, int) else 9,
    )


def _name(resource: Mapping[str, Any]) -> str:
    code = resource.get("code")
    code = code if isinstance(code, Mapping) else {}
    shown = [c.get("display") for c in _objects(code.get("coding"))]
    written = [code.get("text"), *shown, _extension(resource, _NON_CODED, "valueString")]
    return next((" ".join(one.split()) for one in written if isinstance(one, str) and one.strip()), "")


def _extension(resource: Mapping[str, Any], ends: str, name: str) -> Any:
    return next((e.get(name) for e in _objects(resource.get("extension")) if str(e.get("url")).endswith(ends)), None)


def _codes(value: Any) -> set[str]:
    return {str(c.get("code")) for c in _objects(value.get("coding"))} if isinstance(value, Mapping) else set()


def _refers(value: Any) -> str | None:
    """``{"reference": "Encounter/<uuid>"}``"""
    text = value.get("reference") if isinstance(value, Mapping) else None
    return text.rpartition("/")[2] if isinstance(text, str) else None


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def moment(text: Any) -> datetime | None:
    """``2026-11-22T19:48:01+03:00``, or as REST writes it (``.000+0300``), as an instant; None for what is none, has no
    offset or no year like ours."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo and 1900 <= found.year < 9000 else None
