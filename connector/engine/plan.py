"""What would be sent, against what was accepted last; what is held back, and why. A kept plan can be carried out.

A kept plan holds every delivery it would send with its generation and a mark of its content, and a digest over all of
them and the pack's version. ``relais run --plan`` sends just those, and nothing when one of them is wanted otherwise
by now: what a person looked at is what leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from connector import periods
from connector.engine import audit, pauses
from connector.engine.engine import Engine
from connector.engine.tally import block_key, block_payload, missing_reporters, wanted_value
from connector.errors import PlanChanged, PlanUnknown
from connector.identity import digest
from connector.mappings.pack import TargetConfig

#: Deliveries read at once.
PAGE = 500
#: Records named with a change.
BECAUSE = 5
#: Differences told when a plan is refused.
TOLD = 3

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


def plan(engine: Engine, target: str | None = None, period: str | None = None, limit: int = 1000) -> dict[str, Any]:
    """Counts new, changed, removed, same; ``blocked`` (held, refused, too old, waiting for a person), ``items``, and
    ``completions`` that follow when every figure of their block is accepted. Writes nothing."""
    document, _ = _made(engine, target, period, limit, None)
    return document


def _made(
    engine: Engine, target: str | None, period: str | None, limit: int, keep: str | None
) -> tuple[dict[str, Any], str]:
    """The document and the digest of everything it would send. ``keep``: also write the lines down under this id."""
    result: dict[str, Any] = {"new": 0, "changed": 0, "removed": 0, "same": 0, "blocked": [], "items": []}
    result["completions"] = []
    result["frozen"] = engine.store.read(lambda unit: _frozen(engine, unit))
    result |= engine.store.read(lambda unit: unit.not_yet_counted())
    total = hashlib.sha256(engine.pack.version.encode())
    for name, config in engine.pack.targets.items():
        if target not in (None, name):
            continue
        state = engine.store.read(lambda unit, n=name: unit.row_of_target(n))
        paused = pauses.of(engine, state)
        if paused:
            result["blocked"].append(
                {
                    "target": name,
                    "kind": "target",
                    "state": "paused",
                    "reason": paused["reason"],
                    "until": paused["until"],
                }
            )
            continue
        kept: list[Line] = []
        for line in _lines(engine, config, period, result, limit):
            _add(result, line, limit)
            if line.id is None:
                continue
            total.update(orjson.dumps([name, line.key, line.generation, line.mark]))
            if keep is not None:
                kept.append(line)
                if len(kept) >= PAGE:
                    _keep_lines(engine, keep, kept)
        if keep is not None:
            _keep_lines(engine, keep, kept)
    return result, total.hexdigest()


def _keep_lines(engine: Engine, plan_id: str, lines: list[Line]) -> None:
    rows = [
        {"plan": plan_id, "delivery": one.id, "key": one.key, "generation": one.generation, "mark": one.mark}
        for one in lines
    ]
    engine.store.write(lambda unit: unit.keep_plan_deliveries(rows))
    lines.clear()


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
            ahead = engine.store.read(lambda unit, b=block: _completion_ahead(engine, unit, config, b))
            if ahead is not None and len(result["completions"]) < limit:
                result["completions"].append(ahead)
    else:
        yield Line(same=engine.store.read(lambda unit: unit.accepted_count(config.name)))
    after = 0
    while rows := engine.store.read(lambda unit, a=after: unit.open_page(config.name, a, PAGE)):
        after = rows[-1]["id"]
        for row in rows:
            if config.kind == "dhis2" and period is not None and not str(row["key"]).endswith("/" + period):
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


def _block(engine: Engine, unit: Any, config: TargetConfig, block: tuple[str, str, str], room: int) -> Line:
    """A block value by value. What its delivery sends is an item, whatever else differs from what was accepted is
    held back with the reason."""
    key = block_key(block)
    row = unit.delivery(config.name, key)
    line = Line()
    sending: dict[int, dict[str, Any]] = {}
    if row is not None and _leaves(engine, row):
        line.mark, values, behind = mark_of(engine, unit, key)
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
            line.blocked.append(item | _why_held(cell, row))
        else:
            line.same += wanted is not None
    return line


def _value(target: str, cell: dict[str, Any]) -> dict[str, Any]:
    names = ("data_element", "combo", "org_unit", "period", "value", "accepted")
    return {"target": target, **{name: cell[name] for name in names}}


def _because(unit: Any, cell: dict[str, Any]) -> dict[str, Any]:
    """The records that made the figure another one since it was accepted."""
    came, total = unit.records_since(cell, cell["accepted_at"] or "", BECAUSE)
    left = unit.departed_from(cell, BECAUSE)
    return {
        "came": [{"record": r["record"], "received": r["received_at"], "edited": bool(r["edited"])} for r in came],
        "came_total": total,
        "left": [{"record": r["record"], "state": r["state"] or "gone"} for r in left],
    }


def _why_held(cell: dict[str, Any], row: dict[str, Any] | None) -> dict[str, Any]:
    known = {"old": "before_live_from", "shadow": "mode.shadow"}
    if cell["state"] in (*HELD, "rejected"):
        reason = cell["reason"] or known.get(cell["state"])
        return {"cell": cell["id"], "state": cell["state"], "there": cell["there"], "reason": reason}
    state = row["state"] if row is not None else "wanted"
    due = {"due": row["due_at"]} if row is not None and state == "deferred" else {}
    reason = row["reason"] if row is not None else "plan.not_wanted_yet"
    return {"cell": cell["id"], "state": state, "there": cell["there"], "reason": reason, **due}


def _leaves(engine: Engine, row: dict[str, Any]) -> bool:
    """A run would send this delivery now."""
    if row["state"] == "leased":
        return bool(row["lease_until"] and row["lease_until"] < engine.now())
    return row["state"] in ("pending", "deferred", "unknown") and row["due_at"] <= engine.now()


def _completion_ahead(
    engine: Engine, unit: Any, config: TargetConfig, block: tuple[str, str, str]
) -> dict[str, Any] | None:
    """The completion that a run wants once the block is accepted whole; None where there is none, or it is there."""
    data_set = engine.pack.data_sets.get(block[0])
    if data_set is None or data_set.complete is None or not periods.not_before(block[2], config.live_from):
        return None
    today = engine.clock.now().astimezone(ZoneInfo(engine.pack.zone)).date()
    known = unit.delivery(config.name, "complete/" + "/".join(block))
    if known is not None or not periods.is_over(block[2], today) or config.mode == "shadow":
        return None
    if any(c["state"] in ("held", "rejected") for c in unit.cells(block)):
        return None
    if unit.delivery(config.name, block_key(block)) is None:
        return None
    if missing_reporters(engine, unit, data_set.complete, block[1], block[2]):
        return None
    return {"target": config.name, "data_set": block[0], "org_unit": block[1], "period": block[2]}


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


# ---------------------------------------------------------------- kept


def keep(
    engine: Engine, by: str, target: str | None = None, period: str | None = None, limit: int = 1000
) -> dict[str, Any]:
    """Make a plan and write it down. The same plan of the same state has the same id."""
    making = f"making/{engine.holder}"
    engine.store.write(lambda unit: unit.forget_plan(making))
    document, mark = _made(engine, target, period, limit, making)
    name = "p-" + digest([mark, target, period])[:10]
    counts = {key: document[key] for key in ("new", "changed", "removed", "same", "frozen")}
    summary = {**counts, "blocked": len(document["blocked"])}

    def work(unit: Any) -> None:
        if unit.plan(name) is not None:
            unit.forget_plan(making)
        else:
            unit.name_plan(making, name)
            unit.keep_plan(
                id=name, now=engine.now(), by=by, target=target or "", period=period or "", pack=engine.pack.version,
                digest=mark, summary=orjson.dumps(summary).decode(),
            )  # fmt: skip
            detail = {"plan": name, "digest": mark, **summary}
            audit.record(unit, at=engine.now(), event="plan.made", who=by, subject=name, detail=detail)

    engine.store.write(work)
    return {"id": name, "digest": mark, "pack": engine.pack.version, **document}


def ready(engine: Engine, name: str) -> dict[str, Any]:
    """The plan, when everything it would send is still wanted as it was. Raises PlanUnknown, PlanChanged."""
    found = engine.store.read(lambda unit: unit.plan(name))
    if found is None:
        raise PlanUnknown(PlanUnknown.__doc__)
    if found["pack"] != engine.pack.version:
        raise PlanChanged(
            f"The pack has changed since plan {name} was made ({found['pack'][:8]}, now {engine.pack.version[:8]}). "
            "Nothing was sent. Look at a new one: relais plan."
        )
    changed: list[str] = []
    after, count = 0, 0
    while rows := engine.store.read(lambda unit, a=after: unit.plan_page(name, a, PAGE)):
        after = rows[-1]["delivery"]
        fresh = engine.store.read(lambda unit, r=rows: [_still(engine, unit, one) for one in r])
        changed += [f"{row['key']}: {why}" for row, why in zip(rows, fresh, strict=True) if why]
        count += sum(1 for why in fresh if why)
    if count:
        more = f" and {count - TOLD} more" if count > TOLD else ""
        raise PlanChanged(
            f"What plan {name} was made from has changed since: {'; '.join(changed[:TOLD])}{more}. Nothing was sent. "
            "Look at a new one: relais plan."
        )
    return dict(found)


def _still(engine: Engine, unit: Any, row: dict[str, Any]) -> str:
    """Why a planned delivery is not as planned; empty when it is, or when it was sent as planned already."""
    if row["id"] is None:
        return "is not wanted any more"
    if row["generation"] != row["planned"]:
        return "another state is wanted now"
    if row["state"] == "accepted" and row["accepted_generation"] == row["planned"]:
        return ""
    if row["state"] in ("parked", "resolved"):
        return f"is {row['state']}"
    if row["kind"] != "block":
        return "" if row["digest"] == row["mark"] else "another state is wanted now"
    _, _, org_unit, period = str(row["key"]).split("/")
    if unit.touched_in(org_unit, period):
        return "records came in that are not counted yet"
    mark, values, _ = mark_of(engine, unit, row["key"])
    return "" if mark == row["mark"] or not values else "its figures are others now"


def finished(engine: Engine, name: str, by: str, counts: dict[str, Any]) -> None:
    """Write down that it was carried out."""

    def work(unit: Any) -> None:
        unit.plan_done(name, engine.now())
        audit.record(unit, at=engine.now(), event="plan.carried_out", who=by, subject=name, detail=counts)

    engine.store.write(work)
