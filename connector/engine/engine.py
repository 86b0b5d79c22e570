"""What every job is given: the pack, the store, the adapters and the three sources of surprise (clock, randomness,
transport), all of them arguments so that a simulation can drive the very code that ships."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connector.identity import Names
from connector.mappings.fhir import FhirBuilder
from connector.mappings.forms import Mapper
from connector.mappings.indicators import Counter
from connector.mappings.pack import Pack, TargetConfig
from connector.model import Who
from connector.ports import Clock, OutcomeFeed, Source, Target


def stamp(moment: datetime) -> str:
    """Text form of an instant; sorts as text: ``2026-11-22T06:00:00.000000Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


@dataclass(slots=True)
class Engine:
    pack: Pack
    store: Any  #: ports.Store over store.unit.Unit
    clock: Clock
    random: Callable[[], float]
    names: Names
    mapper: Mapper
    counter: Counter
    builder: FhirBuilder
    sources: Mapping[str, Source]
    targets: Mapping[str, Target]
    feeds: Mapping[str, OutcomeFeed]
    holder: str  #: names this process in leases and lanes
    reasons: Mapping[str, Any] = field(default_factory=dict)  #: code -> Reason (verdict, who, fr, en)
    quiet_scale: float = 1.0
    retry_scale: float = 1.0
    park_after: timedelta = timedelta(days=30)
    run: str = ""
    sign: Callable[[bytes], bytes] = lambda data: b""  #: signs the heads of the audit trail
    heartbeat: bool = False  #: renew the run lock from a thread of its own (not in a simulation)
    public_key: Any = None  #: verifies them
    heads: str = ""  #: where signed heads are kept
    progress: Callable[[str, int], None] = lambda _stage, _count: None
    #: Entered around each stage of a run (``pull``, ``map``, ``tally``, ``completions``, ``poll`` and each target's
    #: name), for whoever measures.
    stage: Callable[[str], AbstractContextManager[None]] = lambda _name: nullcontext()
    #: One lock per lane, for the tasks of this process.
    turns: dict[str, asyncio.Lock] = field(default_factory=dict)
    #: Resources built in this process and not yet delivered, by delivery key and digest; bounded by the writer.
    built: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)

    def now(self) -> str:
        return stamp(self.clock.now())

    def today(self) -> date:
        """The day in the pack's zone."""
        return self.clock.now().astimezone(ZoneInfo(self.pack.zone)).date()

    def target_of(self, kind: str) -> TargetConfig | None:
        """The pack's target of that kind, if it has one."""
        return next((t for t in self.pack.targets.values() if t.kind == kind), None)

    @property
    def held_reasons(self) -> list[str]:
        """Reason codes of deliveries that nothing is sent for until something is mended at the target."""
        return [code for code, reason in self.reasons.items() if getattr(reason, "held", False)]

    def who(self, code: str, default: Who = Who.SYSADMIN) -> str:
        """Who must act on a reason code; unknown codes go to the sysadmin."""
        reason = self.reasons.get(code)
        return str(reason.who if reason else default)
