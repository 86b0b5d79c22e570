"""``/fiches/{source}/{stream}/{key}``: what became of this one record?"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from markupsafe import Markup
from starlette.responses import Response

from connector.web.names import short
from connector.web.pages.describe import describe, record_url, value_url
from connector.web.reading import Row, cells, deliveries, records
from connector.web.render import View, page
from connector.web.requests import Missing, Posted, Refused, Signed

router = APIRouter()

#: Why a name may be shown. Coded, so that no personal data gets into the audit trail.
UNMASK = ("care", "mend", "supervise", "support")
#: The way of a referral, step by step; the last is the answer on the CHW's phone.
STAGES = ("sent", "there", "seen", "back")


@router.get("/fiches/{source}/{stream}/{key:path}")
def record(view: Signed, source: str, stream: str, key: str) -> Response:
    return _record(view, source, stream, key, unmask=False)


@router.post("/fiches/{source}/{stream}/{key:path}")
def unmask(view: Signed, form: Posted, source: str, stream: str, key: str) -> Response:
    """Show names once, after a reason; it is written down before anything is shown."""
    if not view.may("unmask"):
        raise Refused("error.role")
    reason = form.get("reason")
    if reason not in UNMASK:
        raise Refused("error.reason")
    id = f"{source}/{stream}/{key}"
    if view.read(records.record_head, source, stream, key) is None:
        raise Missing(short(key))
    view.context.actions.read_audit(f"record.unmasked.{reason}", id, view.by)
    return _record(view, source, stream, key, unmask=True)


def _record(view: View, source: str, stream: str, key: str, *, unmask: bool) -> Response:
    id = f"{source}/{stream}/{key}"
    head = view.read(records.record_head, source, stream, key)
    if head is None:
        raise Missing(short(key))
    if not unmask:  # what happened to somebody is personal, too, where no name is shown
        view.context.actions.read_audit("record.read", id, view.by)
    document = view.context.trace(id, unmask) or {}
    activity = view.read(records.record_activity, id)
    referral = view.read(records.referral_one, id)
    found = document.get("deliveries", ())
    sent = [d for d in (view.read(deliveries.one, d["id"]) for d in list(found)[:25]) if d is not None]
    counts = view.read(deliveries.value_counts, sent)
    touched = _cells(view, document)
    return page(
        view,
        "fiche.html",
        {
            "id": id,
            "head": head,
            "doc": document,
            "activity": activity,
            "short": short(key),
            "source": view.names.connection(source),
            "what": view.names.kind(activity["kind"]) if activity else head["form"] or str(view.w("record.no_form")),
            "revisions": list(document.get("revisions", ()))[:20],
            "facts": [_fact(view, f) for f in document.get("facts", ())],
            "flags": document.get("flags", ()),
            "cells": touched,
            "taken": sum(1 for c in touched if c["pill"] in ("v.accepted", "v.equal")),
            "resources": document.get("resources", ()),
            "sent": [describe(view, d, counts) for d in sent],
            "quarantine": document.get("quarantine"),
            "referral": _stages(view, referral, sent),
            "patient": _patient(view, activity, unmask),
            "worker": _worker(view, activity),
            "unmasked": unmask,
            "can_unmask": view.may("unmask"),
            "reasons": UNMASK,
            "path": record_url(id),
            "short_revision": lambda r: r if len(r) <= 14 else f"{r[:10]}…",
        },
    )


def _cells(view: View, document: Row) -> list[dict[str, Any]]:
    found = list(document.get("cells", ()))[:100]
    keys = [(c.get("data_element") or "", c.get("combo") or "default", c["org_unit"], c["period"]) for c in found]
    rows = view.read(cells.totals_of, keys)
    shown = []
    for one, key in zip(found, keys, strict=True):
        row = rows.get(key)
        shown.append(
            {
                "name": view.names.value(one | {"categories": one.get("categories")}),
                "amount": one.get("amount", 1),
                "month": view.w.period(one["period"], short=True),
                "place": view.names.unit(one["org_unit"]),
                "total": row["value"] if row else None,
                "pill": f"v.{row['state']}" if row else "v.none",
                "href": value_url(key[0], key[2], key[3], key[1]),
            }
        )
    return shown


def _fact(view: View, fact: Row) -> dict[str, Any]:
    return {
        "name": view.names.concept(fact["name"]),
        "id": fact["name"],
        "masked": bool(fact.get("masked")) and fact.get("value") is None,
        "implausible": bool(fact.get("implausible")),
        "value": _plain(view, fact.get("value"), fact["name"]),
    }


def _plain(view: View, value: Any, fact: str = "") -> str:
    """A fact's value as a reader would say it."""
    w = view.w
    if value is None:
        return str(w("fact.absent"))
    if isinstance(value, bool):
        return str(w("fact.yes" if value else "fact.no"))
    if isinstance(value, list):
        return "; ".join(_plain(view, v, fact) for v in value) or str(w("fact.none"))
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(view, v, k)}" for k, v in value.items() if v is not None)
    if isinstance(value, int | float):
        return w.number(value)
    return view.names.answer(fact, str(value))


def _patient(view: View, activity: Row | None, unmask: bool) -> dict[str, Any] | None:
    """Sex and birth year for everybody who may open a record; the name only unmasked."""
    if activity is None or not activity["subject"]:
        return None
    blob = view.read(records.entities, "person", [activity["subject"]]).get(activity["subject"])
    data = view.entity(blob)
    if data is None:
        return {"known": False, "name": "", "sex": "", "tail": activity["subject"][-4:]}
    sex = data.get("sex") if data.get("sex") in ("female", "male") else "unknown"
    return {
        "known": True,
        "name": view.names.person(data) if unmask else "",
        "sex": str(view.w(f"sex.{sex}")),
        "born": str(data.get("birth_date") or "")[: None if unmask else 4],
        "phone": data.get("phone") if unmask else "",
        "tail": activity["subject"][-4:],
    }


def _worker(view: View, activity: Row | None) -> str:
    if activity is None or not activity["worker"]:
        return ""
    if not view.may("worker_names"):
        return str(view.w("worker.hidden"))
    data = view.entity(view.read(records.entities, "worker", [activity["worker"]]).get(activity["worker"]))
    return view.names.person(data) if data else str(activity["worker"])


def _stages(view: View, referral: Row | None, sent: list[Row]) -> dict[str, Any] | None:
    """Which of the four steps of a referral are behind us."""
    if referral is None:
        return None
    state = referral["state"]
    done = {
        "sent": state not in ("waiting_person", "old", "withdrawn"),
        "there": state in ("sent", "arrived", "completed", "missed", "cancelled", "voided"),
        "seen": state in ("arrived", "completed"),
        "back": any(d["kind"] == "answer" and d["state"] == "accepted" for d in sent),
    }
    return {
        "row": referral,
        "state": state,
        "to": view.names.place(referral["to_place"]),
        "steps": [(name, done[name]) for name in STAGES],
        "urgent": referral["urgent"],
        "open": state in records.OPEN,
        "reason": view.names.answer("referral_reason", referral["reason"]) if referral["reason"] else "",
        "word": view.w("referral.state." + state)
        if view.w.has("referral.state." + state)
        else Markup("{}").format(state),
    }
