"""``/envois``: what is not yet accepted, why, who can mend it; and one delivery with its attempts."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter
from markupsafe import Markup
from starlette.responses import Response

from connector.web.icons import PILLS
from connector.web.pages.describe import Described, describe, record_url, title, value_url
from connector.web.pages.overview import redirect
from connector.web.pages.values import WAITS
from connector.web.reading import Row, deliveries, records
from connector.web.reading.deliveries import PICKABLE, STATES, Filters
from connector.web.render import View, page
from connector.web.requests import Form, Missing, Posted, Refused, Signed
from connector.web.signing import Signer, freeze, thaw
from connector.web.wording import parse_time

router = APIRouter()

ROWS_SHOWN = 60
#: Kinds of delivery whose request and answer are totals, without personal data.
TOTALS = ("block", "completion")


def _frozen(view: View) -> Signer:
    return Signer(view.context.secret, "frozen")


def _id(text: str) -> int | None:
    text = text.removeprefix("d-")
    return int(text) if text.isdigit() and len(text) < 19 else None


@router.get("/envois")
def listing(view: Signed) -> Response:
    query = view.request.query_params
    if query.get("q"):
        return redirect("/envois" + _searched(view, query["q"]).query())
    filters = Filters.of(query)
    found = view.read(deliveries.page, filters, _id(query.get("before", "")), _id(query.get("after", "")))
    counts = view.read(deliveries.value_counts, found.rows)
    tries = view.read(deliveries.last_tries, [r["id"] for r in found.rows])
    ids = view.read(deliveries.frozen, filters) if filters.state not in ("accepted", "resolved") else []
    total = view.read(deliveries.count, filters)
    return page(
        view,
        "envois.html",
        {
            "filters": filters,
            "total": total,
            "ids": ids,
            "full": len(ids) >= deliveries.FROZEN,
            "frozen": freeze(_frozen(view), ids),
            "groups": [_group(view, g) for g in view.read(deliveries.groups)],
            "rows": [(describe(view, r, counts), r, tries.get(r["id"]), r["state"] in PICKABLE) for r in found.rows],
            "newer": found.newer,
            "older": found.older,
            "chips": _chips(view, filters),
            "choices": view.read(deliveries.filter_choices),
            "states": [s for s in STATES if s != "open"],
            "best": _best_without(view, filters) if not total else None,
            "record_url": record_url,
        },
    )


def _searched(view: View, text: str) -> Filters:
    """``ou:`` ``de:`` ``period:`` ``src:`` ``err:`` and a delivery's number or a free word (a place)."""
    found: dict[str, str] = {}
    for word in text[:300].split():
        name, _, value = word.partition(":")
        if not value:
            name, value = "ou", word
        match name:
            case "ou":
                found["ou"] = ",".join(view.index.find_units(value)) or value
            case "de":
                found["de"] = next(iter(view.index.find_elements(value)), value)
            case "period":
                found["period"] = value.replace("-", "")
            case "src" | "err":
                found[name] = value
    return Filters(state="all", **found)


def _chips(view: View, filters: Filters) -> list[tuple[str, str]]:
    """(words, address without this filter) of each active filter."""
    w, chips = view.w, []
    if filters.state != "all":
        chips.append((str(w("filter.state", what=w("filter.state." + filters.state))), "state"))
    if filters.target:
        chips.append((str(w("filter.target", what=view.names.connection(filters.target))), "target"))
    if filters.kind:
        key = "delivery.kinds." + filters.kind
        chips.append((str(w("filter.kind", what=w(key) if w.has(key) else filters.kind)), "kind"))
    if filters.period:
        chips.append((str(w("filter.period", what=w.period(filters.period))), "period"))
    if filters.ou:
        chips.append((str(w("filter.ou", what=", ".join(view.names.unit(c) for c in filters.ou.split(",")[:3]))), "ou"))
    if filters.de:
        chips.append((str(w("filter.de", what=view.names.element(filters.de))), "de"))
    if filters.err:
        chips.append((str(w("filter.err", what=filters.err)), "err"))
    if filters.src:
        chips.append((str(w("filter.src", what=filters.src)), "src"))
    return [(words, "/envois" + filters.without(name).query()) for words, name in chips]


def _best_without(view: View, filters: Filters) -> tuple[str, str, int] | None:
    """For an empty list: the filter whose removal shows the most, (its words, address, count)."""
    best = None
    for words, name in zip((c[0] for c in _chips(view, filters)), _active(filters), strict=True):
        n = view.read(deliveries.count, filters.without(name))
        if n and (best is None or n > best[2]):
            best = (words, "/envois" + filters.without(name).query(), n)
    return best


def _active(filters: Filters) -> list[str]:
    names = ["state"] if filters.state != "all" else []
    return names + [n for n in ("target", "kind", "period", "ou", "de", "err", "src") if getattr(filters, n)]


def _group(view: View, group: Row) -> dict[str, Any]:
    parked = bool(group["parked"])
    filters = Filters(state="parked" if parked else "waiting", target=group["target"], err=group["reason"])
    return {
        "n": group["n"],
        "heading": view.heading(group["reason"]),
        "code": group["reason"],
        "who": view.who(group["reason"], group["who"]),
        "pill": "c.action_needed" if parked else "c.waiting",
        "since": group["since"],
        "last": group["last"],
        "due": group["due_at"],
        "parked": parked,
        "href": "/envois" + filters.query(),
        "target": view.names.connection(group["target"]),
        "first": group["first"],
    }


# ---------------------------------------------------------------- actions on many


@router.post("/envois")
def act_on_many(view: Signed, form: Posted) -> Response:
    """Retry or park the ticked ones, or the frozen set the page showed."""
    if not view.may("act"):
        raise Refused("error.role")
    what, _, scope = form.get("do").partition("-")
    if scope == "all":
        ids = thaw(_frozen(view), form.whole("frozen"))
        if ids is None:
            raise Refused("error.frozen")
    else:
        ids = form.ids()
    filters = Filters.of({k: v[0] for k, v in form.values.items()})
    back = filters.query()
    if not ids:
        return redirect(f"/envois{back}{'&' if back else '?'}{view.notice_query('nothing')}")
    word, n = _act(view, what, view.read(deliveries.pickable, ids), form)
    return redirect(f"/envois{back}{'&' if back else '?'}{view.notice_query(word, n)}")


def _act(view: View, what: str, ids: list[int], form: Form) -> tuple[str, int]:
    actions, note = view.context.actions, form.get("note")
    if what == "retry":
        return "retried", actions.retry(ids, view.by)
    if what not in ("park", "resolve"):
        raise Refused("error.form")
    if not note:
        raise Refused("error.reason")
    if what == "park":
        return "parked", actions.park(ids, note, view.by)
    return "resolved", actions.resolve(ids, note, view.by)


# ---------------------------------------------------------------- one


@router.get("/envois/{id}")
def one(view: Signed, id: str) -> Response:
    number = _id(id)
    row = view.read(deliveries.one, number) if number is not None else None
    if row is None:
        raise Missing(id)
    counts = view.read(deliveries.value_counts, [row])
    described = describe(view, row, counts)
    tries = view.read(deliveries.attempts, row["id"])
    filters = Filters.of(view.request.query_params)
    newer, older, place, of = view.read(deliveries.neighbours, filters, row["id"])
    values, left = _values(view, row)
    return page(
        view,
        "envoi.html",
        {
            "one": described,
            "row": row,
            "title": title(view, described),
            "tries": tries,
            "filters": filters,
            "newer": newer,
            "older": older,
            "at": place,
            "of": of,
            "inside": _is_inside(filters, row),
            "values": values,
            "left": left,
            "diagnosis": _diagnosis(view, row, described),
            "steps": _steps(view, row, described, tries),
            "request": _request(view, row),
            "answer": _answer(view, row, tries),
            "totals": row["kind"] in TOTALS,
            "choices": _choices(row["state"]) if view.may("act") else (),
            "record_url": record_url,
            "duration": lambda t: (
                view.w("step.seconds", seconds=seconds_between(view, t["started"], t["ended"])) if t["ended"] else "–"
            ),
        },
    )


def _choices(state: str) -> tuple[str, ...]:
    """What a person may do in a state. An uncertain one is looked up first; nothing is ever deleted."""
    return {"parked": ("retry", "resolve"), "deferred": ("retry", "park"), "pending": ("park",)}.get(state, ())


def _is_inside(filters: Filters, row: Row) -> bool:
    states = STATES[filters.state]
    return (not states or row["state"] in states) and filters.target in ("", row["target"])


def _values(view: View, row: Row) -> tuple[list[dict[str, Any]], int]:
    """The values this block is about, sent in this generation or still to be sent; and how many are not shown."""
    block = deliveries.block_of(row["key"]) if row["kind"] == "block" else None
    if block is None:
        return [], 0
    sent = view.read(deliveries.values_sent, row)
    old = {
        (v.get("dataElement"), v.get("categoryOptionCombo")): v.get("old")
        for v in (_payload(view, row) or {}).get("values", ())
    }
    shown = []
    for cell in view.read(deliveries.block_cells, block):
        answer = sent.get(cell["id"])
        if answer is None and cell["state"] not in ("wanted", "rejected", "held"):
            continue
        verdict = answer["verdict"] if answer and cell["state"] != "held" else None
        shown.append(
            {
                "name": view.names.value(cell),
                "href": value_url(cell["data_element"], cell["org_unit"], cell["period"], cell["combo"]),
                "before": old.get((cell["data_element"], cell["combo"])),
                "wanted": answer["value"] if answer else cell["value"],
                "there": cell["there"] if cell["there"] is not None else cell["accepted"],
                "pill": f"d.{verdict}" if verdict else f"v.{cell['state']}",
                "reason": None if verdict == "accepted" else (answer and answer["reason"]) or cell["reason"],
            }
        )
    shown.sort(key=lambda v: v["pill"] == "d.accepted")
    return shown[:ROWS_SHOWN], max(0, len(shown) - ROWS_SHOWN)


def _payload(view: View, row: Row) -> Any:
    return view.opened("delivery", row["payload_enc"])


def _request(view: View, row: Row) -> str | None:
    payload = _payload(view, row) if row["kind"] in TOTALS else None
    return pretty(payload) if payload is not None else None


def _answer(view: View, row: Row, tries: list[Row]) -> str | None:
    """The last answer in full; only for totals, as a clinic's answer may hold personal data."""
    if row["kind"] not in TOTALS or not tries:
        return None
    found = view.opened("attempt", tries[0]["answer_enc"])
    if isinstance(found, str):
        try:
            found = orjson.loads(found)
        except orjson.JSONDecodeError:
            return str(found)[:3000]
    return pretty(found) if found else None


def pretty(value: Any, limit: int = 3000) -> str:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()
    return text if len(text) <= limit else text[:limit] + "\n…"


def _diagnosis(view: View, row: Row, one: Described) -> dict[str, Any]:
    """What happened, what Relais does now, who can mend it, what then."""
    w, key = view.w, one.state.removeprefix("d.")
    if key == "deferred":
        key = WAITS.get(row["reason"] or "", "v.deferred").removeprefix("v.")
    values = {
        "target": one.target,
        "n": one.refused or 0,
        "taken": one.accepted or 0,
        "all": (one.accepted or 0) + (one.refused or 0),
        "due": w.when(row["due_at"]),
        "note": row["note"] or "–",
    }
    told = bool(row["reason"]) and key not in ("parked", "resolved")  # there a person's own words say why
    what = view.reason(row["reason"]) if told else w(f"diag.{key}.what", **values)
    if told and row["state"] != "accepted":
        what = (
            Markup("{} <code>{}</code>").format(what, row["reason"]) if row["reason"] in view.context.reasons else what
        )
    return {
        "title": w(f"diag.{key}.title", **values),
        "what": what,
        "now": w(f"diag.{key}.now", **values),
        "who": view.who(row["reason"], row["who"])
        if key in ("rejected", "partly", "parked", "awaiting", "closed")
        else str(w("who.nobody")),
        "next": w(f"diag.{key}.next", **values),
        "trio": key not in ("accepted", "resolved"),
    }


def _steps(view: View, row: Row, one: Described, tries: list[Row]) -> list[tuple[str, str, Markup, Markup]]:
    """(meaning, icon, word, small print) of each step behind this delivery; nothing that is only hoped for."""
    w, steps = view.w, []
    if row["record"]:
        parts = row["record"].split("/", 2)
        head = view.read(records.record_head, *parts) if len(parts) == 3 else None
        activity = view.read(records.record_activity, row["record"])
        if head:
            steps.append(("ok", "ok", w("step.received"), w.stamp(head["received_at"])))
        if activity:
            text = Markup("{}<br>{}").format(w.stamp(activity["mapped_at"]), activity["mapping"].rsplit("/", 1)[-1])
            steps.append(("ok", "ok", w("step.mapped"), text))
    steps.append(("ok", "ok", w("step.queued"), w.stamp(row["wanted_at"])))
    if tries:
        last = tries[0]
        small = Markup("{}<br>{}").format(w.stamp(last["started"]), w("step.try", n=len(tries)))
        steps.append(("ok", "ok", w("step.sent"), small))
        if last["ended"] and last["verdict"] not in ("open", "unknown"):
            small = w("step.after", seconds=seconds_between(view, last["started"], last["ended"]))
            if last["http_status"]:
                small = Markup("{}<br>HTTP {}").format(small, str(last["http_status"]))
            steps.append(("ok", "ok", w("step.answered"), small))
    meaning, icon = PILLS[one.state]
    small = w.stamp(row["accepted_at"]) if row["state"] == "accepted" else Markup("")
    if row["kind"] == "block" and (one.accepted or one.refused):
        small = w("step.values", n=one.accepted or 0, n_refused=one.refused or 0)
    if not (row["state"] == "pending" and not tries):
        steps.append((meaning, icon, w("state." + one.state), small))
    return steps


def seconds_between(view: View, start: str, end: str) -> str:
    a, b = parse_time(start), parse_time(end)
    return view.w.number(round((b - a).total_seconds(), 1)) if a and b else "–"


@router.post("/envois/{id}")
def act_on_one(view: Signed, form: Posted, id: str) -> Response:
    if not view.may("act"):
        raise Refused("error.role")
    number = _id(id)
    if number is None or view.read(deliveries.one, number) is None:
        raise Missing(id)
    ids = view.read(deliveries.pickable, [number])
    if not ids:
        return redirect(f"/envois/{number}?{view.notice_query('nothing')}")
    word, n = _act(view, form.get("do"), ids, form)
    return redirect(f"/envois/{number}?{view.notice_query(word, n)}")
