"""``relais setup``: what a target lacks of its metadata, and having it made, which is written to the audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connector.engine import audit
from connector.engine.engine import Engine
from connector.identity import digest
from connector.model import Finding, Lack, Survey
from connector.ports import Setup


@dataclass(frozen=True, slots=True)
class SetUp:
    """``survey``: how the target stands now. ``created``: what was missing before and is there now."""

    survey: Survey
    created: Sequence[Lack] = ()
    refused: Sequence[Finding] = ()

    def document(self, target: str) -> dict[str, Any]:
        """As ``relais setup --json`` prints it."""
        return {
            "target": target,
            "missing": len(self.survey.lacks),
            "items": [_item(one) for one in self.survey.lacks],
            "created": [{"kind": one.kind, "code": one.code} for one in self.created],
            "refused": [one.message for one in self.refused],
        }


def _item(lack: Lack) -> dict[str, Any]:
    why = {"why": {"fr": lack.french, "en": lack.why}} if lack.why else {}
    return {"kind": lack.kind, "code": lack.code, "name": lack.name, "makeable": lack.makeable, **why}


async def look(setup: Setup) -> SetUp:
    """What is missing; changes nothing. Raises TargetUnreadable, TargetRefused."""
    return SetUp(await setup.survey())


async def apply(engine: Engine, setup: Setup, who: str) -> SetUp:
    """Make what can be made, look again and write down what came of it; nothing missing, nothing sent.

    The intention is written before the first request, so that what was sent without an answer is on record too. Raises
    TargetUnreadable, TargetRefused.
    """
    before = await setup.survey()
    wanted = [one for one in before.lacks if one.makeable]
    if not wanted:
        return SetUp(before)
    _record(engine, setup, who, "setup.begun", {"objects": len(wanted), "package": digest(dict(before.package))})
    refused = await setup.make(before)
    after = await setup.survey()
    left = {(one.kind, one.code) for one in after.lacks}
    created = [one for one in wanted if (one.kind, one.code) not in left]
    counts = {"created": len(created), "missing": len(after.lacks), "refused": len(refused)}
    _record(engine, setup, who, "setup.applied", counts)
    return SetUp(after, created, refused)


def _record(engine: Engine, setup: Setup, who: str, event: str, detail: dict[str, Any]) -> None:
    engine.store.write(
        lambda unit: audit.record(unit, at=engine.now(), event=event, who=who, subject=setup.name, detail=detail)
    )
