"""Completion: "this data set is complete for this unit and period", wanted at DHIS2 once its gate is passed.

The gate: the period is over, every reporter expected has reported, and the block is accepted whole. A data set that
says ``gaps_after: N`` is completed N days after the period although reporters are missing, and the audit trail says how
many; without it never. The server checks next to nothing here (235-241), so all of it is checked here.

A data set that says ``on_change: mark_incomplete`` is not complete while its figures change: the completion is taken
back before a changed value leaves (``comes_first``), and wanted again once the block is accepted, by the gate above.
Only completions of ours are; what people completed or approved is never touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from connector import periods
from connector.engine import audit
from connector.engine.engine import Engine, stamp
from connector.engine.keys import Block, block_key, block_of, completion_key
from connector.engine.reporters import Reporters
from connector.identity import digest
from connector.mappings.pack import DataSet, TargetConfig
from connector.model import State, Who

#: Why a block waits for its completion to be taken back. It is woken by that, and looks again by itself after so long.
FIRST = "dhis2.completion_first"
LOOKS_AGAIN = timedelta(minutes=10)

#: Completions wanted in one transaction.
CHUNK = 100

Change = tuple[str, bool, int]  #: org unit, complete, reporters missing


def completion_payload(data_set: DataSet, org_unit: str, period: str, complete: bool) -> dict[str, Any]:
    return {
        "dataSet": data_set.code,
        "orgUnit": org_unit,
        "period": period,
        "attributeOptionCombo": "default",
        "date": (periods.bounds(period)[1] + timedelta(days=1)).isoformat(),
        "completed": complete,
    }


def completions(engine: Engine) -> int:
    """Want the completion of every block whose gate passes, and take back those whose gate does not pass any more.
    Returns how many changed. One period of one data set at a time is in memory."""
    config = engine.target_of("dhis2")
    if config is None or config.mode == "shadow":
        return 0
    today = engine.today()
    reporters = Reporters(engine.pack)
    count = 0
    for data_set, period in _over(engine, config, today):
        changes = engine.store.read(
            lambda unit, ds=data_set, pe=period: _changes(unit, reporters, config.name, ds, pe, today)
        )
        for start in range(0, len(changes), CHUNK):
            part = changes[start : start + CHUNK]
            count += engine.store.write(
                lambda unit, part=part, ds=data_set, pe=period: _want(engine, unit, config.name, ds, pe, part)
            )
    return count


def ahead(engine: Engine) -> Iterator[Block]:
    """Blocks that will be completed once they are accepted whole, and are not yet."""
    config = engine.target_of("dhis2")
    if config is None or config.mode == "shadow":
        return
    today = engine.today()
    reporters = Reporters(engine.pack)
    for data_set, period in _over(engine, config, today):
        changes = engine.store.read(
            lambda unit, ds=data_set, pe=period: _changes(unit, reporters, config.name, ds, pe, today, ahead=True)
        )
        yield from ((data_set.id, org_unit, period) for org_unit, complete, _ in changes if complete)


def _over(engine: Engine, config: TargetConfig, today: date) -> Iterator[tuple[DataSet, str]]:
    """Periods that may be completed, of every data set that asks for it."""
    for data_set in engine.pack.data_sets.values():
        if data_set.complete is None:
            continue
        known = engine.store.read(lambda unit, ds=data_set.id: unit.periods_of(ds))
        for period in sorted(known, key=periods.sort_key):
            if periods.is_over(period, today) and periods.not_before(period, config.live_from):
                yield data_set, period


def _changes(
    unit: Any,
    reporters: Reporters,
    target: str,
    data_set: DataSet,
    period: str,
    today: date,
    *,
    ahead: bool = False,
) -> list[Change]:
    """Completions that are not wanted as they should be. A block on its way is judged once it is settled, or
    ``ahead`` as if it were."""
    units = unit.units_of(data_set.id, period)
    blocks = unit.standing_deliveries(target, [block_key((data_set.id, u, period)) for u in units])
    wanted = unit.standing_deliveries(target, [completion_key((data_set.id, u, period)) for u in units])
    troubled = unit.troubled_units(data_set.id, period)
    missing = reporters.missing(unit, data_set, period)
    from_day = reporters.gaps_from(data_set, period)
    with_gaps = from_day is not None and today >= from_day
    changes = []
    for one in units:
        block = blocks.get(block_key((data_set.id, one, period)))
        if block is None or not (ahead or block["state"] == "accepted"):
            continue
        complete = one not in troubled and (with_gaps or one not in missing)
        known = wanted.get(completion_key((data_set.id, one, period)))
        if known is None and not complete:
            continue
        if known is None or known["digest"] != digest(completion_payload(data_set, one, period, complete)):
            changes.append((one, complete, len(missing.get(one, ()))))
    return changes


def comes_first(engine: Engine, unit: Any, key: str) -> bool:
    """Must the completion of this block be taken back before its values leave? Then that is wanted from here on. What
    was never completed by us, or is certainly taken back, stands in nobody's way."""
    config, block = engine.target_of("dhis2"), block_of(key)
    data_set = engine.pack.data_sets.get(block[0])
    if config is None or data_set is None or data_set.on_change != "mark_incomplete":
        return False
    known = unit.delivery(config.name, completion_key(block))
    if known is None:
        return False
    payload = completion_payload(data_set, block[1], block[2], False)
    back = digest(payload)
    if known["state"] == State.ACCEPTED and known["accepted_digest"] == back:
        return False
    if known["digest"] != back:
        unit.want([_row(engine, unit, config.name, block, payload)])
    return True


def waiting_fields(engine: Engine) -> dict[str, Any]:
    """Columns of a block that waits for that."""
    due = stamp(engine.clock.now() + LOOKS_AGAIN)
    return {"state": State.DEFERRED, "reason": FIRST, "who": str(Who.NOBODY), "due_at": due}


def settled(engine: Engine, unit: Any, target: str, key: str) -> None:
    """A completion was accepted: the block that waits for it is due."""
    block = unit.delivery(target, block_key(block_of(key)))
    if block is not None and block["state"] == State.DEFERRED and block["reason"] == FIRST:
        unit.wait_until([{"id": block["id"], "due_at": engine.now()}])


def _row(engine: Engine, unit: Any, target: str, block: Block, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "target": target,
        "key": completion_key(block),
        "kind": "completion",
        "subject": "/".join(block[1:]),
        "digest": digest(payload),
        "payload_enc": unit.seal("delivery", payload),
        "state": "pending",
        "due_at": engine.now(),
        "now": engine.now(),
    }


def _want(engine: Engine, unit: Any, target: str, data_set: DataSet, period: str, changes: list[Change]) -> int:
    rows = []
    for org_unit, complete, missing in changes:
        key = completion_key((data_set.id, org_unit, period))
        block = unit.delivery(target, block_key((data_set.id, org_unit, period)))
        if block is None or block["state"] != "accepted":
            continue  # a person moved it meanwhile
        payload = completion_payload(data_set, org_unit, period, complete)
        rows.append(_row(engine, unit, target, (data_set.id, org_unit, period), payload))
        if complete and missing:
            detail = {"missing": missing, "gaps_after": data_set.gaps_after}
            audit.record(unit, at=engine.now(), event="completion.with_gaps", subject=key, detail=detail)
    unit.want(rows)
    return len(rows)
