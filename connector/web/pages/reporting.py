"""``/completude``: who has reported, who is missing, what waits for approval. ``/bordereau``: the monthly slip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from connector import periods
from connector.web.pages.overview import redirect
from connector.web.reading import Row, records
from connector.web.render import View, page
from connector.web.requests import Missing, Posted, Refused, Signed

router = APIRouter()

#: Rows of the lists of reporters and of units; a place further down shows the rest.
SHOWN = 60
#: Share in percent from which a cell of the heat map has this class.
HEAT = ((95, "q5"), (90, "q4"), (80, "q3"), (50, "q2"), (0, "q1"))


def address(**parts: str | None) -> str:
    return "/completude?" + urlencode({k: v for k, v in parts.items() if v})


def slip_address(period: str, org_unit: str | None = None, path: str = "/bordereau") -> str:
    return f"{path}?" + urlencode({"pe": period} | ({"ou": org_unit} if org_unit else {}))


def _asked(view: View) -> tuple[str | None, str | None, str | None]:
    """(data set, period, org unit) of the address. Raises Missing for what is none."""
    query = view.request.query_params
    data_set, period, unit = (query.get(k, "").strip()[:80] or None for k in ("ds", "pe", "ou"))
    if data_set is not None and data_set not in view.context.pack.data_sets:
        raise Missing(data_set)
    if unit is not None and unit not in view.index.units:
        raise Missing(unit)
    if period is not None:
        period = period.replace("-", "")
        try:
            periods.period_type(period)
        except ValueError:
            raise Missing(period) from None
    return data_set, period, unit


@router.get("/completude")
def completeness(view: Signed) -> Response:
    data_set, period, unit = _asked(view)
    sets = [one for one in view.context.pack.data_sets.values() if one.complete]
    if data_set is None:
        kind = periods.period_type(period) if period else None
        data_set = next((d.id for d in sets if kind in (None, d.period_type)), None)
    found = list(view.context.reporting.completeness(period, data_set, unit)["data_sets"]) if data_set else []
    if not found:
        return page(view, "completude.html", {"doc": None, "sets": sets, "address": address, "unit": unit})
    doc = found[0]
    pe = doc["period"]
    shares = view.context.reporting.shares(doc["data_set"], unit)
    waiting = view.context.reporting.waiting(pe, unit, doc["data_set"]) if doc["release"] else None
    missing = [m | {"org_unit": u["org_unit"]} for u in doc["units"] for m in u["missing"]]
    late = [m | {"org_unit": u["org_unit"]} for u in doc["units"] for m in u["late_reporters"]]
    return page(
        view,
        "completude.html",
        {
            "doc": doc,
            "sets": sets,
            "unit": unit,
            "trail": _trail(view, unit),
            "heat": _heat(shares, pe),
            "columns": shares["periods"],
            "meaning": "wait" if doc["missing"] or not doc["over"] else "ok",
            "missing": _people(view, missing[:SHOWN]),
            "late": _people(view, late[:SHOWN]),
            "more": (max(0, len(missing) - SHOWN), max(0, len(late) - SHOWN)),
            "units": doc["units"] if len(doc["units"]) <= SHOWN else [],
            "too_many": len(doc["units"]) > SHOWN,
            "closed": [u["org_unit"] for u in doc["units"] if u["figures"] == "period_closed"],
            "held_back": waiting,
            "approved": [u for u in doc["units"] if u["approval"]][:SHOWN],
            "can": view.may("act"),
            "address": address,
            "slip": slip_address(pe, unit if unit in view.context.reporting.slip_units() else None),
            "json": "/api/v1/completeness?"
            + urlencode({"pe": pe, "ds": doc["data_set"]} | ({"ou": unit} if unit else {})),
        },
    )


def _trail(view: View, unit: str | None) -> list[str]:
    """The org units above, from the top."""
    found: list[str] = []
    while unit and unit in view.index.units and unit not in found:
        found.insert(0, unit)
        unit = view.index.units[unit].parent
    return found


def _heat(shares: Mapping[str, Any], period: str) -> dict[str, Any]:
    """Rows of (org unit, most expected, cells), and the sum; a cell is (period, class, percent or None)."""
    rows = [(unit, max((n for n, _ in cells), default=0), _cells(shares, cells)) for unit, cells in shares["rows"]]
    sums = [(sum(c[i][0] for _, c in shares["rows"]), sum(c[i][1] for _, c in shares["rows"]))
            for i in range(len(shares["periods"]))]  # fmt: skip
    return {"rows": rows, "sum": _cells(shares, sums), "most": max((n for n, _ in sums), default=0), "period": period}


def _cells(shares: Mapping[str, Any], cells: Sequence[tuple[int, int]]) -> list[tuple[str, str, int | None]]:
    found: list[tuple[str, str, int | None]] = []
    for period, (expected, reported) in zip(shares["periods"], cells, strict=True):
        share = 100 * reported // expected if expected else None
        found.append((period, "q0" if share is None else next(c for least, c in HEAT if share >= least), share))
    return found


def _people(view: View, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Reporters by name for roles that need them; a group or a facility is no person and keeps its name."""
    workers = [r["reporter"] for r in rows if r["kind"] == "worker"]
    blobs = view.read(records.entities, "worker", workers) if workers and view.may("worker_names") else {}
    shown = []
    for number, row in enumerate(rows, 1):
        if row["kind"] == "place":
            name = view.names.place(row["reporter"])
            if name == view.names.unit(row["org_unit"]):  # a group is known to the table by the unit it belongs to
                name = row["reporter"]
        elif view.may("worker_names"):
            data = view.entity(blobs.get(row["reporter"]))
            name = view.names.person(data) if data else row["reporter"]
        else:
            name = str(view.w("worker.masked", n=number))
        shown.append({**row, "name": name})
    return shown


@router.post("/completude")
def approve(view: Signed, form: Posted) -> Response:
    """Let the figures leave that the page showed; others have to be looked at first."""
    if not view.may("act"):
        raise Refused("error.role")
    period, unit, data_set = form.get("pe"), form.get("ou"), form.get("ds")
    known = data_set in view.context.pack.data_sets and (not unit or unit in view.index.units)
    if not known or not form.get("seen"):
        raise Refused("error.form")
    back = address(ds=data_set, pe=period, ou=unit)
    try:
        counts = view.context.actions.approve(period, unit, data_set, form.get("seen"), view.by)
    except ValueError:  # it still runs, or is no period
        raise Refused("error.form") from None
    if counts["blocks"]:
        return redirect(f"{back}&{view.notice_query('approved', counts['values'])}")
    return redirect(f"{back}&{view.notice_query('not_approved' if counts['changed'] else 'nothing')}")


# ---------------------------------------------------------------- the slip


@router.get("/bordereau")
def slip(view: Signed) -> Response:
    _, period, unit = _asked(view)
    period = period or _last_month(view)
    if unit is None:
        units = view.context.reporting.slip_units()
        values = {"period": period, "units": units[: SHOWN * 5], "more": max(0, len(units) - SHOWN * 5)}
        return page(view, "bordereaux.html", values | {"slip_address": slip_address, "address": address})
    document = view.context.reporting.slip(period, unit)
    sets = [
        {
            **one,
            "missing": _people(view, one["missing"]),
            "figures": [{**f, "remarks": sorted({_short(view, r) for r in f["reasons"]})} for f in one["figures"]],
        }
        for one in document["data_sets"]
    ]
    return page(
        view,
        "bordereau.html",
        {
            "period": period,
            "unit": unit,
            "sets": sets,
            "now": document.get("now"),
            "csv": slip_address(period, unit, "/bordereau.csv"),
            "all": slip_address(period),
            "address": address,
            "indicators": view.context.pack.indicators,
        },
    )


def _short(view: View, code: str) -> str:
    """A reason in two words, where a line of the slip has no room for its sentence."""
    known = {"dhis2.awaiting_release": "v.awaiting", "dhis2.period_closed": "v.closed"}
    if code.startswith("dhis2.value_"):
        return str(view.w("state.v.held"))
    return str(view.w("state." + known[code])) if code in known else str(view.heading(code))


def _last_month(view: View) -> str:
    return periods.previous(periods.period_of(view.w.now.date(), "Monthly"))


@router.get("/bordereau.csv")
def slip_csv(view: Signed) -> Response:
    _, period, unit = _asked(view)
    period = period or _last_month(view)
    name = f"bordereau-{period}{'-' + unit if unit else ''}.csv"
    return StreamingResponse(
        view.context.reporting.slip_csv(period, unit, view.w.language),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )
