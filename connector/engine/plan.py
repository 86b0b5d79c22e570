"""What would be sent, against what was accepted last; what is held back, and why. ``kept_plans`` keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from connector.engine import completion, pauses, release
from connector.engine.engine import Engine
from connector.engine.keys import Block, block_key, block_of
from connector.engine.tally import block_payload, wanted_value
from connector.identity import digest
from connector.mappings.pack import TargetConfig
from connector.model import State

#: Deliveries read at once.
PAGE = 500
#: Records named with a change.
BECAUSE = 5

HELD = ("held", "kept", "old", "shadow")


@dataclass(slots=True)
class Line:
    """One delivery of a plan: what it sends, and what of it is held back. ``id`` None: nothing of it is sent."""

    id: int | None = None
    key: str = ""
    generation: int = 0
    mark: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    blocked: list[dict[str, Any]] = field(default_factory=list)
    same: int = 0


def plan(
    engine: Engine,
    target: str | None = None,
    period: str | None = None,
    limit: int = 1000,
    each: Callable[[str, Line], None] = lambda target, line: None,
) -> dict[str, Any]:
    """Counts new, changed, removed, same; ``blocked`` (held, refused, too old, waiting for a person), ``items``, and
    ``completions`` that follow when every figure of their block is accepted. Writes nothing. ``each`` is told every
    delivery that would leave, also those beyond ``limit``."""
    result: dict[str, Any] = {"new": 0, "changed": 0, "removed": 0, "same": 0, "blocked": [], "items": []}
    result["completions"] = []
    result["frozen"] = engine.store.read(lambda unit: _frozen(engine, unit))
    result |= engine.store.read(lambda unit: unit.not_yet_counted())
    for name, config in engine.pack.targets.items():
        if target not in (None, name):
            continue
        paused = pauses.of(engine, engine.store.read(lambda unit, n=name: unit.row_of_target(n)))
        if paused:
            result["blocked"].append({"target": name, "kind": "target", "state": "paused", **paused})
            continue
        for line in _lines(engine, config, period, result, limit):
            _add(result, line, limit)
            if line.id is not None:
                each(name, line)
        if config.kind == "dhis2":
            ahead = [{"target": name, "data_set": b[0], "org_unit": b[1], "period": b[2]}
                     for b in completion.ahead(engine) if period in (None, b[2])]  # fmt: skip
            result["completions"] += ahead[:limit]
    return result


def _add(result: dict[str, Any], line: Line, limit: int) -> None:
    result["same"] += line.same
    for item in line.items:
        result[item["what"]] += 1
        if len(result["items"]) < limit:
            result["items"].append(item)
    room = limit - len(result["blocked"])
    result["blocked"] += line.blocked[: max(0, room)]


def _lines(
    engine: Engine, config: TargetConfig, period: str | None, result: dict[str, Any], limit: int
) -> Iterator[Line]:
    if config.kind == "dhis2":
        for block in engine.store.read(lambda unit: unit.cell_blocks(period)):
            room = limit - len(result["items"])
            yield engine.store.read(lambda unit, b=block, r=room: _block(engine, unit, config, b, r))
    else:
        yield Line(same=engine.store.read(lambda unit: unit.accepted_count(config.name)))
    after = 0
    while rows := engine.store.read(lambda unit, a=after: unit.open_page(config.name, a, PAGE)):
        after = rows[-1]["id"]
        for row in rows:
            if config.kind == "dhis2" and period not in (None, block_of(row["key"])[2]):
                continue
            yield _delivery(engine, row)
    if config.kind == "openmrs":
        yield Line(blocked=engine.store.read(lambda unit: _held_referrals(unit, config.name)))


def _frozen(engine: Engine, unit: Any) -> int:
    """Records whose text is purged, counted by a mapping that is not the present one: they stay as they are."""
    present = {(source, form.name): form.version for (source, _), form in engine.pack.forms.items()}
    rows = unit.purged_versions()
    return sum(r["n"] for r in rows if present.get((r["source"], r["form"])) not in (None, r["version"]))


# ---------------------------------------------------------------- DHIS2


def mark_of(engine: Engine, unit: Any, key: str) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    """The mark of what a block would send now, its values and the cells behind them."""
    payload, cells = block_payload(engine, unit, key)
    told = [
        [v["dataElement"], v["categoryOptionCombo"], v["value"], v["old"], v["released"]] for v in payload["values"]
    ]
    return digest(sorted(told, key=str)), payload["values"], cells


def _block(engine: Engine, unit: Any, config: TargetConfig, block: Block, room: int) -> Line:
    """A block value by value. What its delivery sends is an item, whatever else differs from what was accepted is
    held back with the reason."""
    key = block_key(block)
    row = unit.delivery(config.name, key)
    line = Line()
    sending: dict[int, dict[str, Any]] = {}
    if row is not None and _leaves(engine, row):
        line.mark, values, behind = mark_of(engine, unit, key)
        if not release.waits(engine, unit, key, values, behind):
            sending = {c["id"]: v for c, v in zip(behind, values, strict=True) if c["state"] != "held" or c["released"]}
        if sending:
            line.id, line.key, line.generation = row["id"], key, row["generation"]
    cells = unit.cells(block)
    sent = unit.values_once_sent([c["id"] for c in cells])
    for cell in cells:
        wanted = wanted_value(engine.pack, cell, config.vanished, cell["id"] in sent)
        item = _value(config.name, cell)
        if cell["id"] in sending:
            kind = "removed" if cell["value"] is None else "new" if cell["accepted"] is None else "changed"
            item |= {"what": kind, "sends": sending[cell["id"]]["value"] or ""}
            if kind != "new" and len(line.items) < room:
                item["because"] = _because(unit, cell)
            line.items.append(item)
        elif cell["state"] in HELD or (wanted is not None and wanted != cell["accepted"]):
            line.blocked.append(item | _why_held(engine, cell, row))
        else:
            line.same += wanted is not None
    return line


def _value(target: str, cell: dict[str, Any]) -> dict[str, Any]:
    names = ("data_element", "combo", "org_unit", "period", "value", "accepted")
    return {"target": target, **{name: cell[name] for name in names}}


def _because(unit: Any, cell: dict[str, Any]) -> dict[str, Any]:
    """The records that add something else to the figure than when it was accepted."""
    came, total = unit.records_come(cell, BECAUSE)
    left = unit.records_gone(cell, BECAUSE)
    return {
        "came": [{"record": r["record"], "received": r["received_at"], "edited": bool(r["edited"])} for r in came],
        "came_total": total,
        "left": [{"record": r["record"], "state": r["state"] or "gone"} for r in left],
    }


def _why_held(engine: Engine, cell: dict[str, Any], row: dict[str, Any] | None) -> dict[str, Any]:
    known = {"old": "before_live_from", "shadow": "mode.shadow"}
    if cell["state"] in (*HELD, "rejected"):
        reason = cell["reason"] or known.get(cell["state"])
        return {"cell": cell["id"], "state": cell["state"], "there": cell["there"], "reason": reason}
    if row is None:
        return {"cell": cell["id"], "state": "wanted", "there": cell["there"], "reason": "plan.not_wanted_yet"}
    if _leaves(engine, row):  # due, and it would not leave: approval is asked for first
        return {"cell": cell["id"], "state": str(State.DEFERRED), "there": cell["there"], "reason": release.AWAITING}
    due = {"due": row["due_at"]} if row["state"] == State.DEFERRED else {}
    return {"cell": cell["id"], "state": row["state"], "there": cell["there"], "reason": row["reason"], **due}


def _leaves(engine: Engine, row: dict[str, Any]) -> bool:
    """A run would send this delivery now."""
    if row["state"] == "leased":
        return bool(row["lease_until"] and row["lease_until"] < engine.now())
    return row["state"] in ("pending", "deferred", "unknown") and row["due_at"] <= engine.now()


# ---------------------------------------------------------------- deliveries


def _delivery(engine: Engine, row: dict[str, Any]) -> Line:
    item = {
        "target": row["target"],
        "key": row["key"],
        "kind": row["kind"],
        "state": row["state"],
        "reason": row["reason"],
    }
    if not _leaves(engine, row):
        due = {"due": row["due_at"]} if row["state"] not in ("parked", "resolved") else {}
        return Line(blocked=[item | due])
    kind = "removed" if row["digest"] == "" else "new" if row["accepted_digest"] is None else "changed"
    because = {"because": {"record": row["record"]}} if row["record"] else {}
    return Line(row["id"], row["key"], row["generation"], row["digest"], items=[{**item, "what": kind, **because}])


def _held_referrals(unit: Any, target: str) -> list[dict[str, Any]]:
    reasons = {"old": "before_live_from", "waiting_person": "referral.waiting_person"}
    return [
        {
            "target": target,
            "key": one["record"],
            "kind": "referral",
            "state": one["state"],
            "reason": reasons[one["state"]],
        }
        for one in unit.held_referrals()
    ]
