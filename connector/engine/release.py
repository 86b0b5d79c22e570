"""Release: figures of a data set that says ``release: after_approval`` leave only once a person approved them.

What was approved is kept with who and when. A figure may differ from the approved one by the data set's margin; beyond
it the whole block waits again, so that the target never shows half of a report. The approved figure is the measure,
not the one sent last: small changes cannot add up to a big one unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson

from connector import periods
from connector.engine.engine import Engine, stamp
from connector.engine.keys import Block, block_key, block_of
from connector.model import State, Who

AWAITING = "dhis2.awaiting_release"
CLOSED = "dhis2.period_closed"

#: What waits is judged again so often: its period may be over, the pack may ask for no approval any more.
AGAIN = timedelta(days=1)


def approved_figures(row: Mapping[str, Any] | None) -> dict[str, str]:
    """Cell id -> the value approved."""
    return dict(orjson.loads(row["figures"])) if row else {}


def waits(
    engine: Engine, unit: Any, key: str, values: Sequence[Mapping[str, Any]], cells: Sequence[Mapping[str, Any]]
) -> bool:
    """Must these values of a block wait for approval? ``cells`` are those behind them, in the same order."""
    block = block_of(key)
    data_set = engine.pack.data_sets.get(block[0])
    if data_set is None or data_set.release is None or not cells:
        return False
    row = unit.approval_of(block)
    if row is None:
        return True
    approved = approved_figures(row)
    pairs = zip(cells, values, strict=True)
    return not all(data_set.release.covers(approved.get(str(c["id"])), v["value"]) for c, v in pairs)


def waiting_fields(engine: Engine, key: str) -> dict[str, Any]:
    """Columns of a delivery that waits for approval. While its period runs there is nothing to approve yet."""
    over = periods.is_over(block_of(key)[2], engine.today())
    who = Who.MINISTRY if over else Who.NOBODY
    return {"state": State.DEFERRED, "reason": AWAITING, "who": str(who), "due_at": stamp(engine.clock.now() + AGAIN)}


def why_block_waits(unit: Any, target: str, block: Block) -> str | None:
    """The reason a block waits for a person of the ministry (approval, or a closed period); None when it does not."""
    row = unit.delivery(target, block_key(block))
    return row["reason"] if row and row["state"] == State.DEFERRED and row["reason"] in (AWAITING, CLOSED) else None
