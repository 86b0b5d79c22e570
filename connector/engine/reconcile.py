"""Read back what a target holds and compare it with what it accepted from us; reopen what drifted.

A value or a resource a person changed there is shown and kept, unless the pack says ``overwrite``. In shadow mode the
comparison is with what would be sent: the agreement table.
"""

from __future__ import annotations

from typing import Any

from connector.engine import audit, tally
from connector.engine.delivery import written_by_us
from connector.engine.engine import Engine
from connector.model import Delivery

#: Requests a second at most: reading back is never urgent, and the server has other users.
PER_SECOND = 50

#: Rows shown in ``items``; the counts cover everything.
ITEMS = 500

#: Why a resource differs from ours and stays.
CHANGED = "fhir.changed_by_hand"

#: States of a referral that the clinic has not closed.
OPEN = ("wanted", "sent", "arrived", "missed")


async def reconcile(
    engine: Engine, target: str, period: str | None = None, *, reopen: bool = True, restored: bool = False
) -> dict[str, Any]:
    """Compare and reopen. Returns equal, missing, different, unknown_there, items. Raises TargetUnreadable.

    ``restored``: our own database was put back, so that a resource we do not know of there may be ours.
    """
    result: dict[str, Any] = {"equal": 0, "missing": 0, "different": 0, "unknown_there": 0, "items": []}
    if engine.pack.targets[target].kind == "dhis2":
        await _dhis2(engine, target, period, result, reopen)
    else:
        await _by_key(engine, target, result, reopen, restored)
    engine.store.write(
        lambda unit: audit.record(
            unit,
            at=engine.now(),
            event="target.reconciled",
            subject=target,
            detail={k: v for k, v in result.items() if k != "items"},
        )
    )
    return result


class Pace:
    """Slows a row of requests down to ``PER_SECOND``."""

    def __init__(self, engine: Engine) -> None:
        self.clock = engine.clock
        self.since = engine.clock.steady()[1]
        self.count = 0

    async def step(self) -> None:
        self.count += 1
        ahead = self.count / PER_SECOND - (self.clock.steady()[1] - self.since)
        if ahead > 0.1:
            await self.clock.sleep(ahead)


def _item(result: dict[str, Any], kind: str, **fields: Any) -> None:
    result[kind] += 1
    if len(result["items"]) < ITEMS:
        result["items"].append({"what": kind, **fields})


async def _dhis2(engine: Engine, target: str, period: str | None, result: dict[str, Any], reopen: bool) -> None:
    config = engine.pack.targets[target]
    shadow = config.mode == "shadow"
    adapter: Any = engine.targets[target]
    blocks = engine.store.read(lambda unit: unit.cell_blocks(period))
    pace = Pace(engine)
    for data_set, org_unit, pe in blocks:
        cells = engine.store.read(lambda unit, b=(data_set, org_unit, pe): unit.cells(b))
        ours = [c for c in cells if (c["value"] if shadow else c["accepted"]) is not None and c["state"] != "old"]
        if not ours and not shadow:
            continue
        await pace.step()
        there = dict(await adapter.read_block(engine.pack.data_sets[data_set].code, org_unit, pe))
        drifted = []
        for cell in ours:
            want = cell["value"] if shadow else cell["accepted"]
            found = there.pop((cell["data_element"], cell["combo"]), None)
            where = {"data_element": cell["data_element"], "combo": cell["combo"], "org_unit": org_unit, "period": pe}
            if found == want:
                result["equal"] += 1
            elif found is None and want in ("0", ""):
                result["equal"] += 1  # DHIS2 drops insignificant zeros: nothing there is nought, or deleted by us
            elif found is None:
                _item(result, "missing", **where, ours=want, there=None)
                drifted.append((cell, None))
            else:
                _item(result, "different", **where, ours=want, there=found)
                drifted.append((cell, found))
        for (element, combo), found in there.items():
            if not any(c["data_element"] == element and c["combo"] == combo for c in cells):
                _item(
                    result,
                    "unknown_there",
                    data_element=element,
                    combo=combo,
                    org_unit=org_unit,
                    period=pe,
                    ours=None,
                    there=found,
                )
        if drifted and reopen and not shadow:
            engine.store.write(
                lambda unit, d=drifted, b=(data_set, org_unit, pe): _reopen(engine, unit, b, d, config.on_existing)
            )


def _reopen(
    engine: Engine, unit: Any, block: tuple[str, str, str], drifted: list[tuple[Any, str | None]], on_existing: str
) -> None:
    again = False
    for cell, found in drifted:
        if found is None or on_existing == "overwrite":
            unit.cell_forgotten(cell["id"])
            again = True
        else:
            unit.cells_state(
                [{"id": cell["id"], "state": "accepted", "reason": "dhis2.changed_by_hand", "there": found}]
            )
    if again:
        tally.want_block(engine, unit, block, again=True)


async def _by_key(engine: Engine, target: str, result: dict[str, Any], reopen: bool, restored: bool) -> None:
    after = 0
    adapter = engine.targets[target]
    ours_win = restored or engine.pack.targets[target].on_existing == "overwrite"
    pace = Pace(engine)
    while True:
        rows = engine.store.read(lambda unit, after=after: unit.accepted_deliveries(target, after, 200))
        if not rows:
            return
        after = rows[-1]["id"]
        for row in rows:
            delivery = engine.store.read(lambda unit, r=row: payload_of(engine, unit, r))
            if delivery is None:
                continue
            await pace.step()
            observed = await adapter.look_up(delivery)
            gone = observed is None
            deleted = bool(delivery.payload.get("deleted"))
            if observed.matches if observed is not None else deleted:
                result["equal"] += 1
                if row["reason"] == CHANGED:
                    engine.store.write(lambda unit, r=row: unit.accepted_but(r["id"], None, None, engine.now()))
                continue
            _item(result, "missing" if gone else "different", key=row["key"])
            if not reopen:
                continue
            foreign = observed is not None and observed.digest and not written_by_us(row["remote"], observed.digest)
            if foreign and not (deleted or ours_win):
                who = engine.who(CHANGED)
                engine.store.write(lambda unit, r=row, w=who: unit.accepted_but(r["id"], CHANGED, w, engine.now()))
            elif gone or row["kind"] == "resource":
                engine.store.write(lambda unit, r=row, g=gone: _again(engine, unit, r, g))


def _again(engine: Engine, unit: Any, row: dict[str, Any], gone: bool) -> None:
    """Want it again. A referral the clinic has answered is not made a second time: the patient has been there."""
    if row["kind"] == "referral":
        known = unit.referral(row["key"])
        if known is None or known["state"] not in OPEN:
            return
        unit.referral_state(row["key"], "wanted", engine.now())
    unit.reopen(row["id"], engine.now(), gone=gone)


def payload_of(engine: Engine, unit: Any, row: dict[str, Any]) -> Delivery | None:
    """The delivery of a row with its payload rebuilt; None when it cannot be."""
    from connector.engine import delivery, resources, tracker

    if row["kind"] == "block":
        payload: Any = tally.block_payload(engine, unit, row["key"])[0]
    elif row["kind"] == "resource":
        payload = resources.rebuild(engine, unit, [row]).get(row["key"])
    elif row["kind"] in (tracker.PERSON, tracker.EVENT):
        payload = tracker.payload_of(unit, row)
    else:
        payload = unit.open("delivery", row["payload_enc"])
    if payload is None:
        return None
    return delivery._delivery(row, payload, False)
