"""``/rapprochements``: is this patient of the clinic the person who was referred? Somebody at the clinic says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from connector.errors import MatchUnknown
from connector.web.names import short
from connector.web.pages.overview import redirect
from connector.web.pages.records import UNMASK
from connector.web.reading import PAGE
from connector.web.render import View, page
from connector.web.requests import Missing, Posted, Refused, Signed

router = APIRouter()


@router.get("/rapprochements")
def matches(view: Signed) -> Response:
    found = view.context.matches.listed(PAGE + 1)
    return page(
        view,
        "rapprochements.html",
        {
            "rows": [_row(view, one) for one in found[:PAGE]],
            "more": len(found) > PAGE,
            "total": view.context.matches.waiting(),
        },
    )


def _row(view: View, one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": one["id"],
        "short": short(one["waiting"][-1]) if one["waiting"] else f"{one['id']}",
        "since": view.w.when(one["asked"]),
        "referrals": len(one["waiting"]),
        "candidates": one["candidates"],
    }


@router.get("/rapprochements/{id}")
def match(view: Signed, id: str) -> Response:
    if not view.may("patient_names"):
        return _masked(view, _number(id))
    return _shown(view, _number(id), "")


@router.post("/rapprochements/{id}/voir")
def unmask(view: Signed, form: Posted, id: str) -> Response:
    """Show both sides once, after a reason; it is written down before anything is shown."""
    if not view.may("unmask"):
        raise Refused("error.role")
    reason = form.get("reason")
    if reason not in UNMASK:
        raise Refused("error.reason")
    return _shown(view, _number(id), reason)


@router.post("/rapprochements/{id}")
def decide(view: Signed, form: Posted, id: str) -> Response:
    if not (view.may("patient_names") or view.may("unmask")):
        raise Refused("error.role")
    answer = form.get("answer")
    if not answer:
        raise Refused("error.form")
    try:
        view.context.matches.decide(_number(id), None if answer == "new" else answer, form.get("note"), view.by)
    except MatchUnknown:  # somebody else was quicker, or it is none of the patients that were shown
        return redirect(f"/rapprochements?{view.notice_query('nothing')}")
    return redirect(f"/rapprochements?{view.notice_query('match_new' if answer == 'new' else 'match_same')}")


def _number(id: str) -> int:
    if not id.isdigit() or len(id) > 18:
        raise Missing(id)
    return int(id)


def _masked(view: View, id: int) -> Response:
    """For who may not read names: that there is something to decide, and who can."""
    one = view.context.matches.one(id)
    if one is None:
        raise Missing(str(id))
    values = {"id": id, "can": view.may("unmask"), "reasons": UNMASK, "doc": None, "row": _row(view, one), "files": []}
    return page(view, "rapprochement.html", values)


def _shown(view: View, id: int, reason: str) -> Response:
    try:
        doc = view.context.matches.shown(id, view.by, reason)
    except MatchUnknown:
        raise Missing(str(id)) from None
    referral, w = doc["referral"], view.w
    day = referral.get("date")
    return page(
        view,
        "rapprochement.html",
        {
            "id": id,
            "doc": doc,
            "row": {**_row(view, doc), "candidates": len(doc["candidates"])},
            "can": True,
            "reasons": UNMASK,
            "day": w.day(date.fromisoformat(str(day)[:10])) if day else "",
            "reason": view.names.answer("referral_reason", referral["reason"]) if referral.get("reason") else "",
            "to": view.names.place(referral.get("to")) if referral.get("to") else "",
            "files": [_file(view, one) for one in doc["candidates"]],
        },
    )


def _file(view: View, one: Mapping[str, Any]) -> dict[str, Any]:
    fields = [
        {
            "name": view.w(f"match.field.{field['name']}"),
            "ours": _value(view, field["name"], field["ours"]),
            "theirs": _value(view, field["name"], field["theirs"]),
            "pill": f"m.{field['agreement']}",
        }
        for field in one["fields"]
    ]
    count = [field["agreement"] for field in one["fields"]]
    return {
        "id": one["id"],
        "number": one["number"] or one["id"][:8],
        "fields": fields,
        "agree": count.count("same") + count.count("compatible"),
        "close": count.count("close"),
        "against": count.count("different"),
    }


def _value(view: View, name: str, value: str) -> str:
    if not value:
        return str(view.w("match.absent"))
    if name == "sex":
        return str(view.w(f"sex.{value}" if value in ("female", "male") else "sex.unknown"))
    if name == "birth_date" and len(value) == 10:
        try:
            return str(view.w.day(date.fromisoformat(value), year=True))
        except ValueError:
            return value
    return value
