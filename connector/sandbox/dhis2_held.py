"""What a simulated DHIS2 holds, and what its two importers have in common: counters, strategies, id schemes.

``Legacy`` (``dhis2_import``) is the importer of 2.38 to 2.42, ``Entry`` (``dhis2_v43``) that of 2.43. Numbers in
comments are files of recordings/dhis2-2.42, here and in every module that does not say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from connector.sandbox.dhis2_metadata import Metadata
from connector.sandbox.dhis2_rules import Json, Key

CompletionKey = tuple[str, str, str, str]  #: data set, org unit, period, attribute option combo

STRATEGIES = {
    "CREATE": "CREATE",
    "UPDATE": "UPDATE",
    "CREATE_AND_UPDATE": "CREATE_AND_UPDATE",
    "DELETE": "DELETE",
    "NEW": "CREATE",
    "UPDATES": "UPDATE",
    "NEW_AND_UPDATES": "CREATE_AND_UPDATE",  # 426-x-old-strategy-name
    "DELETES": "DELETE",
}
_SCHEME_KEYS = {
    "dataElements": "dataElementIdScheme",
    "orgUnits": "orgUnitIdScheme",
    "dataSets": "dataSetIdScheme",
    "categoryOptionCombos": "categoryOptionComboIdScheme",
}


@dataclass(slots=True)
class Held:
    """Shared with the simulator and changed in place. ``applied`` is told every write."""

    metadata: Metadata
    today: date
    values: dict[Key, Json]
    completions: dict[Any, Json]
    applied: Callable[[Json], None]
    lock_exceptions: set[tuple[str, str, str]] = field(default_factory=set)  #: (data set, period, org unit) codes

    def store(self, key: Key, value: Json, action: str, user: Json) -> None:
        self.values[key] = value
        self.applied({"kind": "value", "action": action, **named(key), **value, "user": user["username"]})

    def complete(self, key: CompletionKey, day: str, completed: bool, user: Json, stored_by: str | None = None) -> None:
        entry = {"date": day, "completed": completed, "storedBy": stored_by or user["username"]}
        self.completions[key] = entry
        told = {"kind": "completion", "action": "stored", **completion_named(key), **entry}
        self.applied({**told, "user": user["username"]})

    def uncomplete(self, key: CompletionKey, user: Json) -> None:
        if self.completions.pop(key, None) is not None:
            self.applied({"kind": "completion", "action": "deleted", **completion_named(key), "user": user["username"]})


class Hooks(Protocol):
    """Where a test makes the server say no (``refuse`` of the simulator)."""

    def request(self, body: Json, user: Json, query: Mapping[str, str]) -> bool:
        """Does this request lose the race for a new period? Raises Answer, Failed, Aborted."""

    def row(self, coded: Mapping[str, str]) -> str | None:
        """A code, "vanish" or None for a row in codes."""


@dataclass(slots=True)
class Summary:
    imported: int = 0
    updated: int = 0
    ignored: int = 0
    deleted: int = 0
    conflicts: list[Json] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    complete: str = "false"

    @property
    def counts(self) -> Json:
        return {
            "imported": self.imported,
            "updated": self.updated,
            "ignored": self.ignored,
            "deleted": self.deleted,
        }


def schemes(query: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, str]:
    """Id scheme by kind; keys of the body win (202-code-in-body). Attribute option combos follow the combos' (207)."""
    general = str(body.get("idScheme") or query.get("idScheme") or "UID").upper()
    return {kind: str(body.get(key) or query.get(key) or general).upper() for kind, key in _SCHEME_KEYS.items()}


def strategy_of(query: Mapping[str, str]) -> str:
    return STRATEGIES[query.get("importStrategy", "CREATE_AND_UPDATE").upper()]


def named(key: Key) -> dict[str, str]:
    names = ("dataElement", "orgUnit", "period", "categoryOptionCombo", "attributeOptionCombo")
    return dict(zip(names, key, strict=True))


def completion_named(key: CompletionKey) -> dict[str, str]:
    return dict(zip(("dataSet", "orgUnit", "period", "attributeOptionCombo"), key, strict=True))
