"""``/valeur``: where does this DHIS2 number come from, and is it the same everywhere? Without an address: the list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from markupsafe import Markup
from starlette.responses import Response

from connector import periods
from connector.engine.tally import rule_of
from connector.mappings.pack import Indicator
from connector.web.names import short
from connector.web.pages.describe import record_url, value_url
from connector.web.pages.overview import redirect
from connector.web.reading import PAGE, Row, cells, deliveries, records
from connector.web.render import View, page
from connector.web.requests import Missing, Posted, Refused, Signed

router = APIRouter()


@router.get("/valeur")
def value(view: Signed) -> Response:
    query = view.request.query_params
    element = query.get("de", "").strip()
    if not element:
        return _listing(view)
    return _one(view, element, query.get("ou", "").strip(), query.get("pe", "").strip(), query.get("co", "").strip())


def _listing(view: View) -> Response:
    query = view.request.query_params
    counts = view.read(cells.state_counts)
    view_name = query.get("view", "")
    if view_name not in cells.VIEWS:
        view_name = next((v for v in ("held", "rejected", "wanted") if counts.get(v)), "accepted")
    period, after = query.get("pe", ""), query.get("after", "")
    found = view.read(cells.listing, view_name, period, int(after) if after.isdigit() else 0)
    more, found = len(found) > PAGE, found[:PAGE]
    rows = [
        {
            "cell": c,
            "name": view.names.value(c),
            "href": value_url(c["data_element"], c["org_unit"], c["period"], c["combo"]),
        }
        for c in found
    ]
    base = {"view": view_name} | ({"pe": period} if period else {})
    return page(
        view,
        "valeurs.html",
        {
            "view_name": view_name,
            "views": [(v, counts.get(v, 0)) for v in cells.VIEWS if counts.get(v) or v == view_name],
            "rows": rows,
            "period": period,
            "total": view.read(cells.listing_count, view_name, period),
            "after": after,
            "next": "?" + urlencode(base | {"after": found[-1]["id"]}) if more else None,
            "can": view.may("act"),
            "pages": PAGE,
            "first": "?" + urlencode(base),
        },
    )


def _one(view: View, element: str, org_unit: str, period: str, combo: str) -> Response:
    org_unit = next(iter(view.index.find_units(org_unit)), org_unit) if org_unit else ""
    element = next(iter(view.index.find_elements(element)), element)
    period = period.replace("-", "")
    cell = view.read(cells.at, element, org_unit, period, combo)
    if cell is None:
        return page(
            view,
            "valeur_absente.html",
            {
                "element": element,
                "org_unit": org_unit,
                "period": period,
                "combo": combo,
            },
            status=404,
        )
    asked = view.request.query_params
    after, why_not = asked.get("after") or None, asked.get("why") == "1"
    document = view.context.explain(element, org_unit, period, cell["combo"], after, why_not=why_not) or {}
    if document.get("records") or document.get("not_counted"):
        view.context.actions.read_audit("value.explained", f"{element}/{org_unit}/{period}", view.by)
    indicator = view.context.pack.indicators.get(cell["indicator"])
    led = _led(view, cell, indicator)
    counted = sum(n for _, n, _ in led)
    workers = view.read(cells.by_worker, cell)
    return page(
        view,
        "valeur.html",
        {
            "cell": cell,
            "doc": document,
            "indicator": indicator,
            "name": view.names.indicator(cell["indicator"], cell["part"]),
            "categories": view.names.categories(cell["categories"]),
            "hero": _hero(view, cell, document),
            "led": led,
            "counted": counted,
            "led_adds": _adds(view, cell, indicator, counted),
            "result": _result(view, cell, indicator, counted),
            "now": _now(view, cell) if asked.get("now") == "1" else {},
            "proof": document.get("proof") or {},
            "why_not": why_not,
            "not_counted": [
                (_words(view, r.get("reason")), r["n"]) for r in document.get("not_counted", ()) if r.get("n")
            ],
            "rule": _rule(view, cell, indicator),
            "workers": _workers(view, workers),
            "records": _records(view, document, cell),
            "next": document.get("next"),
            "after": after,
            "sends": _sends(view, document, cell),
            "siblings": view.read(cells.siblings, cell),
            "completion": view.read(cells.completion, cell),
            "block": view.read(deliveries.by_key_of_block, cell),
            "url": value_url(element, org_unit, period, cell["combo"]),
            "json": "/api/v1/explain?" + urlencode({"de": element, "ou": org_unit, "pe": period, "co": cell["combo"]}),
            "status": view.context.status(),
            "value_url": value_url,
            "record_url": record_url,
            "can": view.may("act"),
        },
    )


def _now(view: View, cell: Row) -> dict[str, Any]:
    """What DHIS2 answered to the question what it holds now: the sentence, the value, the meaning of its colour."""
    found = view.context.ask(cell)
    if not found:
        return {}
    meaning = {"equal": "ok", "different": "act", "nothing": "act", "unreadable": "wait"}.get(found["state"], "off")
    return {**found, "text": view.w.text(found["words"]), "meaning": meaning}


def _whole(value: Any) -> Decimal:
    try:
        return Decimal(value or 0)
    except ArithmeticError:
        return Decimal(0)


#: Why a block waits for the ministry -> the word for its values.
WAITS = {"dhis2.awaiting_release": "v.awaiting", "dhis2.period_closed": "v.closed"}


def _hero(view: View, cell: Row, document: Row) -> dict[str, Any]:
    """The same number in three places, and the sentence under it. Never "identical" without having looked."""
    w, ours, accepted, there = view.w, cell["value"], cell["accepted"], cell["there"]
    state = cell["state"]
    values = {"ours": w.number(ours or "0"), "there": w.number(there), "accepted": w.number(accepted)}
    if state == "accepted":
        key = "v.accepted" if there is None else "v.equal" if there == ours else "v.different"
    else:
        key = f"v.{state}"
    if state == "wanted" and (ours or "") != (accepted or ""):
        key = WAITS.get((document.get("delivery") or {}).get("reason") or "", key)
    meaning = {
        "v.accepted": "ok",
        "v.equal": "ok",
        "v.kept": "off",
        "v.old": "off",
        "v.shadow": "off",
        "v.wanted": "wait",
    }.get(key, "act")
    return {
        "pill": key,
        "meaning": meaning,
        "text": w("hero." + key, **values),
        "reason": (cell["reason"] or "") if state == "rejected" else "",
        "accepted_differs": (accepted or "") != (ours or ""),
        "there_differs": there is not None and there != (ours or ""),
    }


def _led(view: View, cell: Row, indicator: Indicator | None) -> list[tuple[Markup, int, int]]:
    """(words, signed count, where its bar begins) from all records of the place and period down to those counted here.

    Counted from the ledger itself, so the lines add up to the records of the cell or the page says that they do not.
    """
    if indicator is None:
        return []
    try:
        first, last = periods.bounds(cell["period"])
    except ValueError:
        return []
    units = view.index.below(cell["org_unit"])
    kinds = list(rule_of(indicator, cell["part"]).counts)
    n = view.read(cells.funnel, cell, kinds, units, first.isoformat(), last.isoformat())
    whole = max(n["activities"], n["indicator"])
    steps = [("received", whole), ("not_met", n["indicator"] - whole), ("other_category", n["cell"] - n["indicator"])]
    led, left = [], 0
    for key, count in steps:
        left += count
        if count or key == "received":
            led.append((view.w("led." + key), count, left if count < 0 else 0))
    return led


def _registers(view: View) -> set[str]:
    return set(view.index.pack.registers)


def _adds(view: View, cell: Row, indicator: Indicator | None, counted: int) -> bool:
    """Only a plain count of records must equal the value; sums and distinct counts are made of the same records."""
    if indicator is None:
        return True
    rule = rule_of(indicator, cell["part"])
    plain = rule.aggregate == "count" and not rule.each and not set(rule.counts) & _registers(view)
    return not plain or Decimal(counted) == _whole(cell["value"])


def _result(view: View, cell: Row, indicator: Indicator | None, counted: int) -> Markup:
    """How the records counted make the value, where that is not one for one."""
    if indicator is None or Decimal(counted) == _whole(cell["value"]):
        return Markup("")
    rule = rule_of(indicator, cell["part"])
    if not rule.each and rule.aggregate == "count":
        return Markup("")
    key = rule.aggregate if rule.aggregate != "count" else "each"
    return view.w("led.makes_" + key, n=counted, value=view.w.number(cell["value"] or "0"))


def _words(view: View, label: Any) -> Markup:
    """A label of a lineage document: {fr, en}, a catalogue word, or a reason code."""
    if isinstance(label, Mapping):
        return Markup("{}").format(view.w.text(label))
    text = str(label or "")
    if view.w.has(f"led.{text}"):
        return view.w(f"led.{text}")
    if text in view.context.reasons:
        return view.reason(text)
    if text in view.index.by_place:
        return Markup("{}").format(view.names.place(text))
    return Markup("{}").format(text)


def _rule(view: View, cell: Row, indicator: Indicator | None) -> Markup:
    """What the number means in one sentence, from the pack."""
    w, names = view.w, view.names
    rule = rule_of(indicator, cell["part"]) if indicator else None
    values = {
        "what": Markup(" " + str(w("rule.or")) + " ").join(
            Markup("<b>{}</b>").format(names.kind(k).lower()) for k in rule.counts
        )
        if rule
        else cell["indicator"],
        "period": w.period(cell["period"]),
        "place": names.unit(cell["org_unit"]),
    }
    aggregate = rule.aggregate if rule else "count"
    if rule and rule.distinct:
        values["once"] = w(f"rule.once.{rule.distinct}") if w.has(f"rule.once.{rule.distinct}") else rule.distinct
        if rule.at_least > 1:
            return w("rule.at_least", least=rule.at_least, **values)
        return w(f"rule.{aggregate}", **values)
    if rule and rule.each:
        values["each"] = names.concept(rule.each).lower()
        return w("rule.sum_each" if aggregate == "sum" else "rule.each", **values)
    return w("rule.sum" if aggregate == "sum" else "rule.count", **values)


def _workers(view: View, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Who contributed. Names for roles that need them; others see numbers in the order of the list."""
    named = view.may("worker_names")
    blobs = view.read(records.entities, "worker", [r["worker"] for r in rows]) if named else {}
    shown = []
    for place, row in enumerate(rows, 1):
        data = view.entity(blobs.get(row["worker"] or ""))
        name = (
            view.names.person(data)
            if data
            else row["worker"]
            if named and row["worker"]
            else str(view.w("worker.masked", n=place))
        )
        shown.append(
            {
                "name": name,
                "place": view.names.place(row["place"]),
                "n": _whole(row["amount"]).normalize(),
                "records": row["records"],
                "last": view.w.day(row["last"]),
            }
        )
    return shown


def _records(view: View, document: Row, cell: Row) -> list[dict[str, Any]]:
    found = list(document.get("records", ()))[:10]
    received = view.read(records.received_at, [r["record"] for r in found])
    blobs = view.read(records.entities, "worker", [r.get("worker") for r in found]) if view.may("worker_names") else {}
    shown = []
    for row in found:
        data = view.entity(blobs.get(row.get("worker") or ""))
        worker = view.names.person(data) if data else str(view.w("worker.hidden"))
        first, last = received.get(row["record"], (None, None))
        shown.append(
            {
                "record": row["record"],
                "short": short(row["record"]),
                "date": view.w.day(row.get("date")),
                "place": view.names.place(row.get("place")),
                "worker": worker,
                "amount": row.get("amount"),
                "categories": view.names.categories(row.get("categories")),
                "received": last,
                "edited": bool(first and first != last),
            }
        )
    return shown


def _sends(view: View, document: Row, cell: Row) -> list[dict[str, Any]]:
    """Every value ever sent, the newest first, with the value before it."""
    sends = sorted(document.get("sends", ()), key=lambda s: str(s.get("at") or ""))
    shown, before = [], None
    for send in sends:
        now = view.w.number(send["value"]) if send.get("value") is not None else str(view.w("send.deleted"))
        verdict = send.get("verdict") or "open"
        shown.append(
            {
                "at": send.get("at"),
                "value": f"{before} → {now}" if before is not None and before != now else now,
                "pill": f"d.{verdict}",
                "reason": view.reason(send.get("reason"))
                if send.get("reason") and verdict != "accepted"
                else view.w("send.first" if before is None else "send.same" if before == now else "send.changed"),
            }
        )
        if verdict == "accepted" or before is None:
            before = now
    return shown[::-1][:30]


@router.post("/valeur")
def settle(view: Signed, form: Posted) -> Response:
    """A value that was at DHIS2 before us: write ours over it, or keep theirs."""
    if not view.may("act"):
        raise Refused("error.role")
    decision, number = form.get("decision"), form.get("cell")
    if decision not in ("overwrite", "keep") or not number.isdigit():
        raise Refused("error.form")
    cell = view.read(cells.by_id, int(number))
    if cell is None:
        raise Missing(number)
    url = value_url(cell["data_element"], cell["org_unit"], cell["period"], cell["combo"])
    if cell["state"] != "held":
        return redirect(f"{url}&{view.notice_query('nothing')}")
    view.context.actions.release(cell["id"], decision, view.by)
    return redirect(f"{url}&{view.notice_query('released_' + decision)}")
