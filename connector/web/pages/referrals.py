"""``/references``: which referred patients wait for us?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from markupsafe import Markup
from starlette.responses import Response

from connector.web.names import short
from connector.web.pages.describe import record_url
from connector.web.reading import PAGE, Row, records
from connector.web.render import View, page
from connector.web.requests import Signed

router = APIRouter()

#: Longest text of the clinic in one cell; the record's own page has it whole.
_LONGEST = 200
#: How many of the four steps are behind a referral in each state.
STEPS = {
    "waiting_person": 1,
    "wanted": 1,
    "sent": 2,
    "arrived": 3,
    "completed": 3,
    "missed": 2,
    "cancelled": 2,
    "voided": 2,
}


@router.get("/references")
def referrals(view: Signed) -> Response:
    query, today = view.request.query_params, view.w.now.date()
    name = query.get("view", "open")
    if name not in records.VIEWS:
        name = "open"
    counts = view.read(records.referral_counts, today)
    after = query.get("after", "")[:300]
    found = view.read(records.referral_page, name, today, after)
    more, found = len(found) > PAGE, found[:PAGE]
    flow = view.read(records.referral_flow)
    last = found[-1] if found else None
    mark = f"{last['late']}|{last['date']}|{last['record']}" if last else ""
    named = view.may("patient_names")
    if named and found:
        view.context.actions.read_audit("referrals.read", f"references:{name}", view.by)
    return page(
        view,
        "references.html",
        {
            "name": name,
            "counts": counts,
            "flow": flow,
            "rows": _rows(view, found, named, today),
            "named": named,
            "matches": view.context.matches.waiting(),
            "next": "/references?" + urlencode({"view": name, "after": mark}) if more else None,
            "after": after,
            "views": [v for v in records.VIEWS if counts[v] or v == name],
        },
    )


def _rows(view: View, found: Any, named: bool, today: date) -> list[dict[str, Any]]:
    people = view.read(records.entities, "person", [r["subject"] for r in found])
    workers = view.read(records.entities, "worker", [r["worker"] for r in found]) if view.may("worker_names") else {}
    return [_row(view, r, people, workers, named, today) for r in found]


def _row(
    view: View,
    row: Row,
    people: Mapping[str, bytes],
    workers: Mapping[str, bytes],
    named: bool,
    today: date,
) -> dict[str, Any]:
    w = view.w
    person = view.entity(people.get(row["subject"] or ""))
    worker = view.entity(workers.get(row["worker"] or ""))
    state, day = row["state"], date.fromisoformat(row["date"][:10])
    return {
        "row": row,
        "href": record_url(row["record"]),
        "short": short(row["record"]),
        "name": view.names.person(person) if named and person else str(w("referral.masked")),
        "about": _about(view, person, day),
        "reason": view.names.answer("referral_reason", row["reason"])
        if row["reason"]
        else str(w("referral.no_reason")),
        "urgent": row["urgent"],
        "worker": view.names.person(worker) if worker else str(w("worker.hidden")),
        "to": view.names.place(row["to_place"]),
        "date": w.day(day),
        "days": (today - day).days,
        "late": row["late"] == 0,
        "diagnosis": _diagnosis(view, row) if named else "",
        "state": w("referral.state." + state) if w.has("referral.state." + state) else Markup("{}").format(state),
        "steps": 4 if state == "completed" and row["answered_at"] else STEPS.get(state, 0),
        "todo": w("referral.todo.late")
        if row["late"] == 0
        else w("referral.todo." + state)
        if w.has("referral.todo." + state)
        else w("referral.todo.none"),
    }


def _diagnosis(view: View, row: Row) -> str:
    """What the clinic found, in its words; nothing where it has not said."""
    answer = view.opened("referral", row["answer_enc"])
    return str(answer.get("diagnosis") or "")[:_LONGEST] if isinstance(answer, dict) else ""


def _about(view: View, person: Row | None, day: date) -> str:
    """Sex and age on the day, in short: ``F, 14 mois``. The age of a partial birth date counts from its first day."""
    if person is None:
        return str(view.w("referral.person_unknown"))
    sex = person.get("sex") if person.get("sex") in ("female", "male") else "unknown"
    parts = [str(view.w(f"sex.short.{sex}"))]
    text = str(person.get("birth_date") or "")
    try:
        born = date.fromisoformat((text + "-01-01")[:10])
    except ValueError:
        return parts[0]
    months = (day.year - born.year) * 12 + day.month - born.month - (day.day < born.day)
    if months < 0:
        return parts[0]
    parts.append(str(view.w("age.months", n=months) if months < 24 else view.w("age.years", n=months // 12)))
    return ", ".join(parts)
