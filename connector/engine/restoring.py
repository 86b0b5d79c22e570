"""After a restore from a backup: find out what the backup forgot before anything is sent.

The database is older than the targets. So every target is shut (paused by Relais itself), the sources are read on from
the old cursor and counted, and then each target is read back: what it holds of ours is taken as accepted, what a person
typed there stays theirs. A target that cannot be read stays shut; the next such run tries again.

Limit: a record that came *and* was deleted between the backup and the restore is not in any table. Its figures are
found in DHIS2 (stored by our own user) and put right; its resources and its referral stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import orjson

from connector.engine import audit, delivery, pauses, reconcile, referrals, tally
from connector.engine.contributing import categories_text
from connector.engine.engine import Engine
from connector.errors import TargetUnreadable
from connector.mappings import indicators
from connector.mappings.pack import UNKNOWN, Pack
from connector.model import ADDRESS

#: Why a target is shut, and who shut it.
REASON = "restored.not_compared"
BY = "relais"

#: Deliveries looked up before they are settled together.
PAGE = 50


def shut(engine: Engine) -> int:
    """Nothing leaves until it was compared; and the audit says that the chain was put back. Returns how many signed
    heads elsewhere are beyond the backup. What a person paused stays paused by that person."""

    def work(unit: Any) -> None:
        value = orjson.dumps({"reason": REASON, "by": BY, "until": None, "since": engine.now()}).decode()
        for name in engine.targets:
            if pauses.of(engine, unit.target_state(name)) is None:
                unit.pause("target_state", name, value)

    engine.store.write(work)
    beyond = 0
    if engine.heads:
        beyond = engine.store.read(lambda unit: audit.restart(unit, engine.heads, engine.now(), engine.sign))
    engine.store.write(
        lambda unit: audit.record(
            unit, at=engine.now(), event="database.restored", subject=engine.pack.id, detail={"heads_beyond": beyond}
        )
    )
    return int(beyond)


async def compare(engine: Engine) -> dict[str, str]:
    """Read every target back and open it. Returns target -> reason of those that could not be read."""
    unread: dict[str, str] = {}
    for name in engine.targets:
        try:
            if engine.pack.targets[name].kind == "dhis2":
                await _values(engine, name)
            else:
                engine.store.write(lambda unit, n=name: unit.forget_versions(n))
                await _keys(engine, name)
            await reconcile.reconcile(engine, name, restored=True)
        except TargetUnreadable as error:
            unread[name] = error.reason or str(error)
            continue
        engine.store.write(lambda unit, n=name: _open(engine, unit, n))
    return unread


def _open(engine: Engine, unit: Any, target: str) -> None:
    paused = pauses.of(engine, unit.target_state(target))
    if paused and paused["by"] == BY and paused["reason"] == REASON:
        unit.pause("target_state", target, None)
    audit.record(unit, at=engine.now(), event="target.compared", subject=target)


# ---------------------------------------------------------------- DHIS2


async def _values(engine: Engine, target: str) -> None:
    """Values that our own user stored are ours, whatever the backup knows of them."""
    adapter: Any = engine.targets[target]
    pace = reconcile.Pace(engine)
    for data_set, org_unit, period in engine.store.read(lambda unit: unit.cell_blocks(None)):
        block = (data_set, org_unit, period)
        code = engine.pack.data_sets[data_set].code
        await pace.step()
        there = await adapter.read_stored_by_us(code, org_unit, period)
        ours = {address: value for address, (value, is_ours) in there.items() if is_ours}
        if not ours:
            continue
        engine.store.write(lambda unit, b=block, o=ours: _forgotten_cells(engine, unit, b, o))
        tally.tally(engine)
        engine.store.write(lambda unit, b=block, o=ours: _adopt(engine, unit, b, o))


def _forgotten_cells(engine: Engine, unit: Any, block: tuple[str, str, str], ours: dict[tuple[str, str], str]) -> None:
    """Values of ours that no cell speaks of: their cells are counted again, and come out as nothing."""
    known = {(cell["data_element"], cell["combo"]) for cell in unit.cells(block)}
    if not set(ours) - known:
        return
    for indicator, part, categories, address in addresses(engine.pack, block[0]):
        if address in ours and address not in known:
            values = (indicator, part, block[1], block[2], categories)
            unit.touch([dict(zip(ADDRESS, values, strict=True))])


def addresses(pack: Pack, data_set: str) -> Iterator[tuple[str, str, str, tuple[str, str]]]:
    """(indicator, part, categories, (element, combo)) of every cell a data set can have."""
    for indicator in pack.indicators.values():
        if indicator.data_set != data_set:
            continue
        for part in indicator.elements:
            by = indicator.rules[part].by
            options = [[(c, option) for option in {**dict(pack.categories[c].options), UNKNOWN: ""}] for c in by]
            for categories in product(*options):
                try:
                    address = indicators.element_and_combo(pack, indicator.id, part, categories)
                except KeyError:
                    continue
                yield indicator.id, part, categories_text(categories), address


def _adopt(engine: Engine, unit: Any, block: tuple[str, str, str], ours: dict[tuple[str, str], str]) -> None:
    moved = False
    now = engine.now()
    for cell in unit.cells(block):
        found = ours.get((cell["data_element"], cell["combo"]))
        if found is None or found == cell["accepted"] or cell["state"] in ("old", "kept"):
            continue
        unit.cell_was_accepted(cell["id"], found, now)
        moved = True
    if moved:
        tally.want_block(engine, unit, block, again=True)


# ---------------------------------------------------------------- targets by key


async def _keys(engine: Engine, target: str) -> None:
    """What waits to be sent may be there already: look it up; what is not there as wanted is sent with a look first."""
    adapter: Any = engine.targets[target]
    if hasattr(adapter, "find_again"):
        await _superseded(engine, target, adapter)
    pace = reconcile.Pace(engine)
    after = 0
    while True:
        rows = engine.store.read(lambda unit, a=after: unit.waiting_deliveries(target, a, PAGE))
        if not rows:
            return
        after = rows[-1]["id"]
        holds, found, unsure = [], [], []
        for row in rows:
            wanted = engine.store.read(lambda unit, r=row: reconcile.payload_of(engine, unit, r))
            if wanted is None:
                continue
            await pace.step()
            if hasattr(adapter, "find_again") and (remote := await adapter.find_again(wanted)):
                row["remote"] = orjson.dumps(remote).decode()
                found.append(row)
                wanted = delivery._delivery(row, wanted.payload, True)
            observed = await adapter.look_up(wanted)
            if observed is not None and observed.matches:
                remote = {**orjson.loads(row["remote"]), **observed.remote}
                holds.append({**row, "remote": orjson.dumps(remote).decode()})
            elif observed is not None:
                unsure.append(row)
        engine.store.write(lambda unit, h=holds, f=found, u=unsure: _settle(engine, unit, h, f, u))


async def _superseded(engine: Engine, target: str, adapter: Any) -> None:
    """What was accepted once may have been corrected there since, and the correction forgotten."""
    pace = reconcile.Pace(engine)
    after = 0
    while True:
        rows = engine.store.read(lambda unit, a=after: unit.accepted_deliveries(target, a, PAGE))
        if not rows:
            return
        after = rows[-1]["id"]
        for row in rows:
            held = engine.store.read(lambda unit, r=row: reconcile.payload_of(engine, unit, r))
            await pace.step()
            remote = await adapter.find_again(held) if held is not None else None
            if remote and remote.get("encounter") != orjson.loads(row["remote"]).get("encounter"):
                row["remote"] = orjson.dumps(remote).decode()
                engine.store.write(lambda unit, r=row: _again(engine, unit, r))


def _again(engine: Engine, unit: Any, row: Any) -> None:
    unit.note(row["id"], "encounter.there", row["remote"])
    unit.reopen(row["id"], engine.now(), gone=False)


def _settle(engine: Engine, unit: Any, holds: list[Any], found: list[Any], unsure: list[Any]) -> None:
    now = engine.now()
    for row in found:
        unit.note(row["id"], "encounter.there", row["remote"])
    unit.settle_accepted([delivery._accepted(row, now, engine.holder) for row in holds])
    for row in holds:
        if row["kind"] == "referral":
            referrals.settled(engine, unit, row, orjson.loads(row["remote"]))
    unit.are_unsure([row["id"] for row in unsure], now)
