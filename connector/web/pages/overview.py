"""``/``: is everything all right, and if not, who must do what?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter
from markupsafe import Markup
from starlette.responses import Response

from connector.web.reading import Row, cells, deliveries, records
from connector.web.render import View, page
from connector.web.requests import Missing, Posted, Refused, Signed
from connector.web.wording import parse_time

router = APIRouter()

#: The reason of a delivery that waits for match review.
MATCH = "openmrs.match_review"


@dataclass(frozen=True, slots=True)
class Todo:
    """One thing a person must do: what, why, who, where."""

    title: Markup
    href: str
    text: Markup
    who: str
    button: str


@dataclass(frozen=True, slots=True)
class Line:
    """One connection of the table."""

    name: str
    title: str
    about: str
    state: str
    remark: Markup
    last: Any
    last_record: Any
    next: Any
    every: str
    waiting: Sequence[tuple[Markup, str]]  #: (words, link or "")
    results: list[str]
    label: str


@router.get("/")
def overview(view: Signed) -> Response:
    status = view.context.status()
    month = _month(view)
    states = view.read(cells.month_states, month) if month else {}
    todos = _todos(view, status, states)
    rows = _rows(view, status)
    received = view.read(records.received)
    waiting = [r for r in rows if r.state in ("c.waiting", "c.silent")]
    total = sum(n for s, n in states.items() if s not in ("old", "shadow"))
    safe = bool(month) and bool(status.get("audit", {}).get("ok")) and view.read(cells.uncarried, month) == 0
    meaning = "act" if todos else "off" if not received else "wait" if waiting else "ok"
    return page(
        view,
        "apercu.html",
        {
            "meaning": meaning,
            "todos": todos,
            "watch": [_watch(view, r) for r in waiting],
            "received": received,
            "sources": [r for r in rows if r.name in view.context.pack.sources],
            "targets": [r for r in rows if r.name not in view.context.pack.sources],
            "month": month,
            "states": states,
            "total": total,
            "accepted": states.get("accepted", 0),
            "safe": safe,
            "completions": view.read(cells.completions, month) if month else {},
            "status": status,
            "paused": [r for r in rows if r.state == "c.paused"],
            "late": [r for r in rows if r.state in ("c.waiting", "c.action_needed") and r.next],
            "running": [r for r in rows if r.state != "c.paused"],
        },
    )


def _month(view: View) -> str | None:
    """The last month that is over and has values, else the newest there is."""
    months = view.read(cells.months)
    over = [m for m in months if m < f"{view.w.now:%Y%m}"]
    return next(iter(over or months), None)


def _matches(view: View) -> list[Todo]:
    """Who looks like a patient of the clinic, so that the clinic must say who it is."""
    n, w = view.context.matches.waiting(), view.w
    if not n:
        return []
    who = view.who(MATCH, "clinic")
    act = str(w("overview.decide"))
    return [Todo(w("matches.waiting", n=n), "/rapprochements", w("matches.waiting_text"), who, act)]


def _todos(view: View, status: Row, states: Mapping[str, int]) -> list[Todo]:
    w, names, todos = view.w, view.names, []
    groups = [g for g in view.read(deliveries.groups, 50) if g["parked"]]
    totals = view.read(deliveries.totals)
    parked_of = {r["target"]: r["n"] for r in totals if r["state"] == "parked"}
    for group in groups:
        if group["reason"] == MATCH:  # nothing was refused: a person has to say something, see _matches
            parked_of[group["target"]] -= group["n"]
    groups = [g for g in groups if g["reason"] != MATCH]
    for target, n in sorted(parked_of.items(), key=lambda item: -item[1]):
        of_target = [g for g in groups if g["target"] == target]
        if not n:
            continue
        lines = [Markup("{} ({}).").format(view.reason(g["reason"]), w.number(g["n"])) for g in of_target[:2]]
        since = min((g["since"] for g in of_target), default=None)
        text = Markup(" ").join([*lines, w("overview.since", when=w.when(since))] if since else lines)
        who = view.who(of_target[0]["reason"], of_target[0]["who"]) if of_target else view.who(None)
        todos.append(
            Todo(
                w("overview.refused", n=n, target=names.connection(target)),
                "/envois?" + urlencode({"state": "parked", "target": target}),
                text,
                who,
                str(w("overview.see_refused")),
            )
        )
    for one in status.get("connections", ()):
        if one.get("who") == "ministry" or one.get("reason") == MATCH:
            continue  # nothing has stopped: see _ministry and _matches
        if one.get("state") == "action_needed" and one.get("reason") and not parked_of.get(one["name"]):
            todos.append(
                Todo(
                    w("overview.stopped", name=names.connection(one["name"])),
                    f"#{one['name']}",
                    view.reason(one["reason"]),
                    view.who(one["reason"], one.get("who")),
                    str(w("overview.see_connection")),
                )
            )
    for one in status.get("expiring", ()):
        name, who = names.connection(one["name"]), view.who(None, one["who"])
        title = w("overview.expiring", name=name, n=one["days"])
        text = w("overview.expiring_text", day=one["ends"][:10])
        todos.append(Todo(title, f"#{one['name']}", text, who, str(w("overview.see_connection"))))
    todos += [*_matches(view), *_ministry(view, status)]
    if n := view.read(records.quarantine_count):
        kinds = view.read(records.quarantine_groups, 3)
        text = Markup(" ").join(Markup("{} ({}).").format(view.reason(g["code"]), w.number(g["n"])) for g in kinds)
        who = view.who(kinds[0]["code"], kinds[0]["who"])
        todos.append(Todo(w("overview.quarantined", n=n), "/quarantaine", text, who, str(w("overview.mend"))))
    if n := view.read(cells.state_counts).get("held", 0):
        todos.append(
            Todo(
                w("overview.held", n=n),
                "/valeur?view=held",
                w("overview.held_text"),
                view.who("dhis2.value_already_there", "ministry"),
                str(w("overview.decide")),
            )
        )
    if n := view.read(records.referral_counts, w.now.date())["late"]:
        todos.append(
            Todo(
                w("overview.late", n=n),
                "/references?view=late",
                w("overview.late_text", n=n),
                view.who(None, "clinic"),
                str(w("overview.open")),
            )
        )
    return todos


def _ministry(view: View, status: Row) -> list[Todo]:
    """Figures that wait for approval, and changes of a period that DHIS2 has closed."""
    w, todos = view.w, []
    if n := status.get("awaiting_release"):
        who = view.who("dhis2.awaiting_release", "ministry")
        text, button = w("overview.awaiting_text"), str(w("overview.awaiting_see"))
        todos.append(Todo(w("overview.awaiting", n=n), "/completude", text, who, button))
    if n := status.get("period_closed"):
        who = view.who("dhis2.period_closed", "ministry")
        text, button = view.reason("dhis2.period_closed"), str(w("overview.closed_see"))
        href = "/envois?state=deferred&err=dhis2.period_closed"
        todos.append(Todo(w("overview.closed", n=n), href, text, who, button))
    return todos


def _rows(view: View, status: Row) -> list[Line]:
    kept = view.read(records.connections)
    listed = list(status.get("connections", ()))
    beats = view.read(records.beats, [c["name"] for c in listed])
    return [_row(view, c, kept.get(c["name"], {}), beats[c["name"]]) for c in listed]


def _row(view: View, one: Row, kept: Row, results: list[str]) -> Line:
    w, name = view.w, one["name"]
    state = f"c.{one.get('state', 'never_run')}"
    config = view.context.pack.sources.get(name) or view.context.pack.targets.get(name)
    remark = Markup("")
    if state == "c.paused":
        remark = _pause_words(view, kept.get("paused"))
    elif state == "c.action_needed":
        remark = Markup("{}").format(view.who(one.get("reason"), one.get("who")))
    elif state == "c.silent":
        remark = w("overview.silent", when=w.when(one.get("last_record")))
    elif state == "c.waiting":
        remark = w("overview.heals", why=view.reason(one["reason"])) if one.get("reason") else w("overview.heals_alone")
    about = str(w(f"about.{config.kind}")) if config and w.has(f"about.{config.kind}") else name
    return Line(
        name,
        view.names.connection(name),
        about,
        state,
        remark,
        one.get("last_success"),
        one.get("last_record"),
        one.get("next_try") or one.get("next_run"),
        schedule_words(view, config.schedule if config else ""),
        _waiting(view, one),
        results,
        _beat_label(view, results),
    )


def _pause_words(view: View, text: str | None) -> Markup:
    try:
        paused = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        paused = {}
    until = paused.get("until")
    key = "overview.paused_until" if until else "overview.paused"
    return view.w(key, until=view.w.when(until), by=paused.get("by") or "–", reason=paused.get("reason") or "–")


def _waiting(view: View, one: Row) -> list[tuple[Markup, str]]:
    w, name = view.w, one["name"]
    if one.get("kind") == "source":
        behind = one.get("behind")
        if behind is None:
            return [(w("overview.unknown"), "")]
        return [(w("overview.behind", n=behind), "")] if behind else [(w("overview.none"), "")]
    found = []
    if n := one.get("waiting"):
        words = w("overview.waiting", n=n)
        if oldest := one.get("oldest_waiting_seconds"):
            words += Markup("<small>{}</small>").format(w("overview.oldest", span=w.span(oldest)))
        found.append((words, "/envois?" + urlencode({"state": "waiting", "target": name})))
    if n := one.get("parked"):
        found.append((w("overview.parked", n=n), "/envois?" + urlencode({"state": "parked", "target": name})))
    return found or [(w("overview.none"), "")]


def _beat_label(view: View, results: Sequence[str]) -> str:
    counted = [(r, results.count(r)) for r in ("ok", "deferred", "refused", "nothing")]
    words = ", ".join(str(view.w(f"beat.{r}", n=n)) for r, n in counted if n)
    return str(view.w("beat.label", n=len(results), words=words))


def _watch(view: View, row: Line) -> Markup:
    since = row.last_record if row.state == "c.silent" else row.last
    return view.w("overview.watch_" + row.state.removeprefix("c."), name=row.title, span=_since(view, since))


def _since(view: View, last: Any) -> str:
    at = parse_time(last)
    return view.w.span((view.w.now - at).total_seconds()) if at else str(view.w("overview.unknown"))


def schedule_words(view: View, schedule: str) -> str:
    """``every 15m`` in words; a cron line as it is written."""
    if schedule.startswith("every ") and schedule[6:-1].isdigit() and schedule[-1] in "mhd":
        return str(view.w(f"every.{schedule[-1]}", n=int(schedule[6:-1])))
    return schedule


# ---------------------------------------------------------------- pause, resume


@router.post("/connexions/{name}")
def steer(view: Signed, form: Posted, name: str) -> Response:
    """Pause or resume one source or target, or let it be tried without waiting."""
    if not view.may("act"):
        raise Refused("error.role")
    name = form.get("name") or name
    if name not in view.context.pack.sources and name not in view.context.pack.targets:
        raise Missing(name)
    if form.get("do") == "resume":
        view.context.actions.resume(name, view.by)
        return redirect(f"/?{view.notice_query('resumed')}")
    if form.get("do") == "try":
        view.context.actions.try_now(name, view.by)
        return redirect(f"/?{view.notice_query('tried')}")
    if form.get("do") != "pause":
        raise Refused("error.form")
    reason = form.get("reason")
    if not reason:
        raise Refused("error.reason")
    view.context.actions.pause(name, reason, _until(view, form.get("until")), view.by)
    return redirect(f"/?{view.notice_query('paused')}")


def _until(view: View, text: str) -> datetime | None:
    """The morning after the day given, in the pack's zone; None for no end. A pause ends with its day."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text) + timedelta(days=1)
    except ValueError:
        raise Refused("error.date") from None
    return datetime(day.year, day.month, day.day, tzinfo=view.w.zone).astimezone(UTC)


def redirect(to: str) -> Response:
    return Response(status_code=303, headers={"location": to})
