"""What would be sent, against what was accepted last; what is held back, and why."""

from __future__ import annotations

from typing import Any

from connector.engine import release
from connector.engine.engine import Engine
from connector.engine.tally import wanted_value


def plan(engine: Engine, target: str | None = None, period: str | None = None, limit: int = 1000) -> dict[str, Any]:
    """Counts new, changed, removed, same; ``blocked`` (held, refused, too old, waiting for a person) and ``items``."""
    result: dict[str, Any] = {"new": 0, "changed": 0, "removed": 0, "same": 0, "blocked": [], "items": []}
    result["frozen"] = engine.store.read(lambda unit: _frozen(engine, unit))
    for name, config in engine.pack.targets.items():
        if target not in (None, name):
            continue
        if config.kind == "dhis2":
            engine.store.read(lambda unit, c=config: _cells(engine, unit, c, period, result, limit))
        else:
            engine.store.read(lambda unit, n=name: _deliveries(unit, n, result, limit))
    return result


def _frozen(engine: Engine, unit: Any) -> int:
    """Records whose text is purged, counted by a mapping that is not the present one: they stay as they are."""
    present = {(source, form.name): form.version for (source, _), form in engine.pack.forms.items()}
    rows = unit.purged_versions()
    return sum(r["n"] for r in rows if present.get((r["source"], r["form"])) not in (None, r["version"]))


def _cells(engine: Engine, unit: Any, config: Any, period: str | None, result: dict[str, Any], limit: int) -> None:
    for block in unit.cell_blocks(period):
        cells = unit.cells(block)
        sent = unit.values_once_sent([c["id"] for c in cells])
        waits = release.why_block_waits(unit, config.name, block)
        for cell in cells:
            item = {
                "target": config.name,
                "data_element": cell["data_element"],
                "combo": cell["combo"],
                "org_unit": cell["org_unit"],
                "period": cell["period"],
                "value": cell["value"],
                "accepted": cell["accepted"],
            }
            if cell["state"] in ("held", "kept", "rejected", "old", "shadow"):
                if len(result["blocked"]) < limit:
                    result["blocked"].append(
                        {
                            **item,
                            "cell": cell["id"],
                            "state": cell["state"],
                            "there": cell["there"],
                            "reason": cell["reason"]
                            or {"old": "before_live_from", "shadow": "mode.shadow"}.get(cell["state"]),
                        }
                    )
                continue
            wanted = wanted_value(engine.pack, cell, config.vanished, cell["id"] in sent)
            if wanted is None or wanted == cell["accepted"]:
                result["same"] += wanted is not None
                continue
            if waits:
                if len(result["blocked"]) < limit:
                    result["blocked"].append(
                        {**item, "cell": cell["id"], "state": "deferred", "there": cell["there"], "reason": waits}
                    )
                continue
            kind = "removed" if cell["value"] is None else "new" if cell["accepted"] is None else "changed"
            result[kind] += 1
            if len(result["items"]) < limit:
                result["items"].append({**item, "what": kind})


def _deliveries(unit: Any, target: str, result: dict[str, Any], limit: int) -> None:
    states = unit.states(target)
    result["same"] += states.get("accepted", 0)
    for row in unit.open_deliveries(target, limit):
        item = {
            "target": target,
            "key": row["key"],
            "kind": row["kind"],
            "state": row["state"],
            "reason": row["reason"],
        }
        if row["state"] in ("parked", "resolved"):
            result["blocked"].append(item)
            continue
        kind = "removed" if row["digest"] == "" else "new" if row["accepted_digest"] is None else "changed"
        result[kind] += 1
        result["items"].append({**item, "what": kind})
    if target == "openmrs":
        for referral in unit.held_referrals():
            result["blocked"].append(
                {
                    "target": target,
                    "key": referral["record"],
                    "kind": "referral",
                    "state": referral["state"],
                    "reason": {"old": "before_live_from", "waiting_person": "referral.waiting_person"}[
                        referral["state"]
                    ],
                }
            )
