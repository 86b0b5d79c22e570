"""Approval of figures before they leave: what waits for it, and what a person's word makes of that.

Not to be confused with a *held* value (``Actions.release``), where somebody typed another value at the target and a
person chooses between the two. Approving says "our figures of this period and place are right"; a value typed there is
still found, and held, when they leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector import periods
from connector.engine import audit, release, tally
from connector.engine.engine import Engine
from connector.engine.keys import Block, block_of
from connector.engine.places import OrgUnits
from connector.identity import canonical, digest

#: Blocks approved in one transaction.
CHUNK = 50


@dataclass(frozen=True, slots=True)
class Waiting:
    """A block that waits for approval. ``figures``: cell id -> what would be approved; ``leaving``: values that would
    leave then; ``before``: the approval there was, which they differ from by more than the margin."""

    delivery: int
    block: Block
    figures: dict[str, str] = field(repr=False)
    leaving: int
    since: str
    before: dict[str, Any] | None

    @property
    def digest(self) -> str:
        return digest(self.figures)


class NotOver(ValueError):
    """A period that still runs is not approved: its figures change every day."""


def waiting(engine: Engine, period: str, org_unit: str | None = None, data_set: str | None = None) -> list[Waiting]:
    """Blocks of a period, at an org unit and below it, that wait for approval."""
    config = engine.target_of("dhis2")
    if config is None:
        return []
    within = OrgUnits(engine.pack).below(org_unit) if org_unit else None
    rows = engine.store.read(lambda unit: unit.open_blocks(config.name))
    found = []
    for row in rows:
        block = block_of(row["key"])
        if block[2] == period and (within is None or block[1] in within) and data_set in (None, block[0]):
            one = engine.store.read(lambda unit, r=row, b=block: _waiting(engine, unit, r, b))
            if one is not None:
                found.append(one)
    return found


def _waiting(engine: Engine, unit: Any, row: dict[str, Any], block: Block) -> Waiting | None:
    payload, behind = tally.block_payload(engine, unit, row["key"])
    if not release.waits(engine, unit, row["key"], payload["values"], behind):
        return None
    return Waiting(
        row["id"], block, figures(engine, unit, block), len(behind), row["wanted_at"], unit.approval_of(block)
    )


def figures(engine: Engine, unit: Any, block: Block) -> dict[str, str]:
    """Cell id -> what the target should hold, of every cell of a block that is ours."""
    config = engine.target_of("dhis2")
    assert config is not None
    cells = unit.cells(block)
    sent = unit.values_once_sent([c["id"] for c in cells])
    wanted = {str(c["id"]): tally.wanted_value(engine.pack, c, config.vanished, c["id"] in sent) for c in cells}
    return {cell: value for cell, value in wanted.items() if value is not None}


def seen(found: Iterable[Waiting]) -> str:
    """A mark of exactly these blocks with these figures: what a person looked at before approving."""
    return digest(sorted(["/".join(one.block), one.digest] for one in found))


def approve(engine: Engine, found: Sequence[Waiting], by: str) -> dict[str, int]:
    """Approve these blocks with the figures they had when they were listed: counts ``blocks``, ``values`` (that leave
    now) and ``changed`` (blocks whose figures have changed since; they still wait). Raises NotOver."""
    today = engine.today()
    if any(not periods.is_over(one.block[2], today) for one in found):
        raise NotOver(NotOver.__doc__)
    counts = {"blocks": 0, "values": 0, "changed": 0}
    for start in range(0, len(found), CHUNK):
        part = found[start : start + CHUNK]
        done = engine.store.write(lambda unit, part=part: _approve(engine, unit, part, by))
        for name in counts:
            counts[name] += done[name]
    return counts


def _approve(engine: Engine, unit: Any, part: Sequence[Waiting], by: str) -> dict[str, int]:
    now = engine.now()
    counts = {"blocks": 0, "values": 0, "changed": 0}
    marks = []
    for one in part:
        present = figures(engine, unit, one.block)
        if digest(present) != one.digest:
            counts["changed"] += 1
            continue
        unit.approve_block(one.block, canonical(present).decode(), one.digest, by, now)
        tally.want_block(engine, unit, one.block, again=True)
        tally.want_report(engine, unit, one.block)
        counts["blocks"] += 1
        counts["values"] += one.leaving
        marks.append(["/".join(one.block), one.digest])
    detail = {**counts, "periods": sorted({one.block[2] for one in part}), "figures": digest(marks)}
    audit.record(unit, at=now, event="person.approve", who=by, subject="dhis2", detail=detail)
    return counts
