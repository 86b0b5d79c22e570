"""Activities and entities as plain JSON and back, for the encrypted columns. Decimals and dates survive as text."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from connector.model import Activity, Entity, Flag, Referral


def _out(value: Any) -> Any:
    if isinstance(value, Decimal):
        return {"$d": str(value)}
    if isinstance(value, list | tuple):
        return [_out(v) for v in value]
    if isinstance(value, dict):
        return {k: _out(v) for k, v in value.items()}
    return value


def _back(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$d"}:
            return Decimal(value["$d"])
        return {k: _back(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_back(v) for v in value]
    return value


def activity_to(activity: Activity) -> dict[str, Any]:
    """The activity as JSON; ``activity_from`` gives it back equal."""
    referral = activity.referral
    return {
        "source": activity.source,
        "stream": activity.stream,
        "key": activity.key,
        "revision": activity.revision,
        "kind": activity.kind,
        "form": activity.form,
        "mapping": activity.mapping,
        "version": activity.version,
        "date": activity.date.isoformat(),
        "at": activity.at.isoformat() if activity.at else None,
        "place": activity.place,
        "worker": activity.worker,
        "subject": activity.subject,
        "facts": _out(dict(activity.facts)),
        "referral": None
        if referral is None
        else {
            "to": referral.to,
            "urgent": referral.urgent,
            "reason": referral.reason,
            "reasons": list(referral.reasons),
            "note": referral.note,
        },
        "flags": [[f.code, f.fact, f.detail] for f in activity.flags],
    }


def activity_from(data: dict[str, Any]) -> Activity:
    referral = data["referral"]
    return Activity(
        **{
            k: data[k]
            for k in (
                "source",
                "stream",
                "key",
                "revision",
                "kind",
                "form",
                "mapping",
                "version",
                "place",
                "worker",
                "subject",
            )
        },
        date=date.fromisoformat(data["date"]),
        at=datetime.fromisoformat(data["at"]) if data["at"] else None,
        facts=_back(data["facts"]),
        referral=None
        if referral is None
        else Referral(
            to=referral["to"],
            urgent=referral["urgent"],
            reason=referral["reason"],
            reasons=tuple(referral["reasons"]),
            note=referral["note"],
        ),
        flags=tuple(Flag(*f) for f in data["flags"]),
    )


def entity_to(entity: Entity) -> dict[str, Any]:
    return {
        "source": entity.source,
        "kind": entity.kind,
        "key": entity.key,
        "revision": entity.revision,
        "data": _out(dict(entity.data)),
        "mapping": entity.mapping,
        "version": entity.version,
    }


def entity_from(data: dict[str, Any]) -> Entity:
    return Entity(**{**data, "data": _back(data["data"])})
