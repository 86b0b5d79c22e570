"""What a sysadmin asks first: is all well, and if not, who must do what."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connector.engine import backfilling, completeness, expiring, match_review, pauses, referral_answers, release
from connector.engine.engine import Engine, moment

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "s": "seconds"}


def span(text: str) -> timedelta:
    """A span such as ``15m``, ``12h``, ``3d``. Raises ValueError."""
    unit = _UNITS.get(text[-1:])
    if unit is None:
        raise ValueError(f"{text!r} is not a span such as 15m")
    return timedelta(**{unit: float(text[:-1])})


def status(engine: Engine, version: str) -> dict[str, Any]:
    """The status document: no personal data."""
    document: dict[str, Any] = engine.store.read(lambda unit: _status(engine, unit, version))
    return document


def _status(engine: Engine, unit: Any, version: str) -> dict[str, Any]:
    running = bool(unit.lane("run")) and unit.lane("run")["until"] > engine.now()
    connections = [_source(engine, unit, name, running) for name in engine.sources]
    connections += [_target(engine, unit, name, running) for name in engine.targets]
    states = [c["state"] for c in connections]
    parked = sum(c.get("parked", 0) for c in connections)
    quarantined = unit.quarantined()
    config = engine.target_of("dhis2")
    ministry = unit.waiting_for_ministry(config.name) if config else {}
    matches = unit.matches_waiting()
    if "action_needed" in states or parked or quarantined or unit.held() or matches:
        overall = "action_needed"
    elif "waiting" in states or "silent" in states:
        overall = "waiting"
    elif all(s == "never_run" for s in states):
        overall = "never_run"
    else:
        overall = "ok"
    return {
        "state": overall,
        "version": version,
        "now": engine.now(),
        "connections": connections,
        "quarantined": quarantined,
        "parked": parked,
        "flagged": unit.flagged(),
        "held_values": unit.held(),
        "matches": matches,
        "referrals": unit.referrals_standing(*referral_answers.overdue_before(engine.today())),
        "awaiting_release": ministry.get(release.AWAITING, 0),
        "period_closed": ministry.get(release.CLOSED, 0),
        "completeness": completeness.noted(unit),
        "history": backfilling.standing(unit),
        "expiring": expiring.noted(engine, unit),
        "audit": {
            "ok": unit.fact("audit_verified") == "ok",
            "entries": unit.audit_count(),
            "last_head": unit.last_head(),
        },
    }


def _source(engine: Engine, unit: Any, name: str, running: bool) -> dict[str, Any]:
    row = unit.row_of_source(name)
    config = engine.pack.sources.get(name)
    base = {
        "name": name,
        "kind": "source",
        "last_success": row.get("last_success"),
        "last_record": row.get("last_record"),
        "next_run": row.get("due_at"),
        "behind": row.get("behind") or 0,
        "who": row.get("who") or "nobody",
        "reason": row.get("reason"),
    }
    if paused := pauses.of(engine, row):
        return {**base, "state": "paused", "paused": paused}
    if not row or (row.get("last_success") is None and not row.get("reason")):
        return {**base, "state": "never_run"}
    if row.get("reason"):
        return {**base, "state": "waiting" if (row.get("who") or "nobody") == "nobody" else "action_needed"}
    if (
        config
        and row.get("last_record")
        and engine.clock.now() - moment(row["last_record"]) > span(config.silent_after)
    ):
        return {**base, "state": "silent", "who": "chw_data", "silent_after": config.silent_after}
    return {**base, "state": "running" if running else "ok"}


def _target(engine: Engine, unit: Any, name: str, running: bool) -> dict[str, Any]:
    row = unit.row_of_target(name)
    states = unit.states(name)
    waiting = sum(states.get(s, 0) for s in ("pending", "leased", "deferred", "unknown"))
    oldest = unit.oldest_waiting(name)
    age = int((engine.clock.now() - moment(oldest)).total_seconds()) if oldest else 0
    config = engine.pack.targets[name]
    matches = unit.parked_for_match(name)  # referrals; told as what they are, not as parked
    base = {
        "name": name,
        "kind": "target",
        "who": row.get("who") or "nobody",
        "reason": row.get("reason"),
        "last_success": row.get("last_success"),
        "waiting": waiting,
        "oldest_waiting_seconds": age,
        "parked": states.get("parked", 0) - matches,
        "matches": matches,
        "held_back": sum(unit.held_back(name, engine.held_reasons).values()),
        "breaker": row.get("breaker") or "closed",
        "next_try": row.get("due_at") or unit.next_due(name),
        "mode": config.mode,
    }
    if paused := pauses.of(engine, row):
        return {**base, "state": "paused", "paused": paused}
    if row.get("reason"):
        return {**base, "state": "waiting" if base["who"] == "nobody" else "action_needed"}
    if base["parked"]:
        parked = unit.most_parked(name)
        return {
            **base,
            "state": "action_needed",
            "who": parked.get("who") or "sysadmin",
            "parked_reason": parked.get("reason"),
        }
    if matches:
        return {**base, "state": "action_needed", "who": "clinic", "reason": match_review.REASON}
    if held := unit.held_back(name, engine.held_reasons):
        most = max(held, key=lambda reason: held[reason])
        return {**base, "state": "action_needed", "who": engine.who(most), "reason": most}
    if ministry := unit.waiting_for_ministry(name):
        return {**base, "state": "action_needed", "who": "ministry", "reason": max(ministry, key=lambda r: ministry[r])}
    if waiting:
        return {**base, "state": "running" if running else "waiting", "waiting_reason": unit.most_waiting(name)}
    if not row or row.get("last_try") is None:
        return {**base, "state": "never_run"}
    return {**base, "state": "ok"}


def exit_code(document: dict[str, Any]) -> int:
    """4 for refused credentials, then 3 for action needed, then 5 for waiting, else 0."""
    if any(c["state"] == "action_needed" and c.get("who") == "credentials" for c in document["connections"]):
        return 4
    return {"action_needed": 3, "waiting": 5}.get(document["state"], 0)
