"""A small house for engine tests: a real SQLite store, a clock by hand, and a target that is a shelf in memory."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from connector.crypto import Cipher
from connector.engine.engine import Engine
from connector.identity import Names
from connector.mappings.fhir import FhirBuilder
from connector.mappings.forms import Mapper
from connector.mappings.indicators import Counter
from connector.mappings.pack import OrgUnitRow, Pack, SourceConfig, TargetConfig
from connector.model import (
    TRANSITIONS,
    Capabilities,
    Cursor,
    Delivery,
    Finding,
    Observed,
    Outcome,
    Page,
    Record,
    Verdict,
)
from connector.store.database import SqlStore


class HandClock:
    """Time moves only when told, or when somebody sleeps. ``at`` set forward is time that passes; ``jump`` sets the
    clock, and no time passes."""

    def __init__(self, at: datetime = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)) -> None:
        self.at = at
        self.wrong = timedelta(0)  #: how far the clock was set, all in all
        self.machine = "machine"

    def now(self) -> datetime:
        return self.at

    def steady(self) -> tuple[str, float]:
        return self.machine, (self.at - self.wrong).timestamp()

    def jump(self, **span: float) -> None:
        self.at += timedelta(**span)
        self.wrong += timedelta(**span)

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Shelf:
    """A target that holds what it accepted, and can be told to fail in each way once or for ever."""

    name = "shelf"
    capabilities = Capabilities(max_batch=10, settles_within=timedelta(seconds=60))

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}
        self.faults: list[str] = []
        self.requests = 0

    async def deliver(self, batch: Sequence[Delivery], progress: Any) -> Sequence[Outcome]:
        outcomes = []
        for delivery in batch:
            self.requests += 1
            fault = self.faults.pop(0) if self.faults else ""
            if fault == "down":
                outcomes.append(Outcome(Verdict.DEFERRED, "shelf.unreachable", of_target=True))
            elif fault == "refuse":
                outcomes.append(Outcome(Verdict.REJECTED, "shelf.refused"))
            elif fault == "defer":
                outcomes.append(Outcome(Verdict.DEFERRED, "shelf.later"))
            elif fault == "credentials":
                outcomes.append(Outcome(Verdict.DEFERRED, "shelf.credentials", of_target=True))
            elif fault == "lost":
                outcomes.append(Outcome(Verdict.UNKNOWN, "shelf.lost"))
            else:
                self.held[delivery.key] = dict(delivery.payload)
                if fault == "lost_after":
                    outcomes.append(Outcome(Verdict.UNKNOWN, "shelf.lost"))
                else:
                    outcomes.append(Outcome(Verdict.ACCEPTED, "ok"))
        return outcomes

    async def look_up(self, delivery: Delivery) -> Observed | None:
        if delivery.key not in self.held:
            return None
        return Observed(self.held[delivery.key] == dict(delivery.payload))

    async def probe(self) -> Sequence[Finding]:
        return []


class Feed:
    """A source that gives the pages it was given."""

    name = "app"

    def __init__(self) -> None:
        self.queue: list[Page] = []

    async def pages(self, since: Cursor | None) -> AsyncIterator[Page]:
        while self.queue:
            yield self.queue.pop(0)

    async def probe(self) -> Sequence[Finding]:
        return []


def empty_pack(**changes: Any) -> Pack:
    values: dict[str, Any] = {
        "id": "test",
        "version": "v1",
        "folder": Path("."),
        "name": {},
        "zone": "Africa/Bamako",
        "languages": ("fr",),
        "sources": {"app": SourceConfig("app", "cht", {}, "every 15m")},
        "targets": {"shelf": TargetConfig("shelf", "shelf", {}, "every 15m", "2026-01-01")},
        "concepts": {},
        "activities": {},
        "forms": {},
        "ignore": {"app": ("skipped",)},
        "categories": {},
        "indicators": {},
        "data_sets": {},
        "openmrs": {},
        "retention": {},
        "org_units": (OrgUnitRow("app", "site-1", "ML-1", "site", "", "Site 1", date(2020, 1, 1), None),),
        "deployments": (),
    }
    return Pack(**{**values, **changes})


def watch_states(store: SqlStore) -> None:
    """From now on the database refuses a change of a delivery's state that the table of transitions does not have."""
    if not store.sqlite:
        return
    allowed = ", ".join(f"'{old}>{new}'" for old, news in TRANSITIONS.items() for new in news)
    store.write(
        lambda unit: unit.connection.exec_driver_sql(
            "CREATE TRIGGER IF NOT EXISTS transitions BEFORE UPDATE OF state ON delivery WHEN old.state <> new.state "
            f"AND old.state || '>' || new.state NOT IN ({allowed}) "
            "BEGIN SELECT RAISE(ABORT, 'no such transition'); END"
        )
    )


def engine(
    tmp: Path, pack: Pack | None = None, *, url: str | None = None, shelf: Shelf | None = None, watch: bool = True
) -> Engine:
    pack = pack or empty_pack()
    store = SqlStore(url or f"sqlite:///{tmp}/relais.db")
    store.create()
    key = b"k" * 32
    cipher = store.write(lambda unit: Cipher.open(unit.connection, key))
    store.cipher = cipher
    if watch:
        watch_states(store)
    names = Names(pack.id)
    rng = random.Random(7)
    return Engine(
        pack=pack,
        store=store,
        clock=HandClock(),
        random=rng.random,
        names=names,
        mapper=Mapper(pack),
        counter=Counter(pack),
        builder=FhirBuilder(pack, names),
        sources={"app": Feed()},
        targets={"shelf": shelf or Shelf()},
        feeds={},
        holder=f"test/{os.getpid()}",
        run="run-test",
        sign=cipher.sign,
    )


def record(
    key: str, revision: str = "1", *, deleted: bool = False, form: str | None = "visit", body: Any = None
) -> Record:
    return Record(
        "app", "reports", key, revision, form, body if body is not None else {"_id": key, "n": revision}, deleted
    )
