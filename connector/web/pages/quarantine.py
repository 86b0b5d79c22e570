"""``/quarantaine``: which records could not be mapped, at which line, what is the fix?"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import Response

from connector.web.names import short
from connector.web.pages.describe import record_url
from connector.web.pages.overview import redirect
from connector.web.reading import PAGE, Row, records
from connector.web.render import View, page
from connector.web.requests import Posted, Refused, Signed
from connector.web.signing import Signer, freeze, thaw

router = APIRouter()


def _frozen(view: View) -> Signer:
    return Signer(view.context.secret, "quarantine")


@router.get("/quarantaine")
def quarantine(view: Signed) -> Response:
    query = view.request.query_params
    filters = records.quarantine_filter(query)
    after = query.get("after", "")
    found = view.read(records.quarantine_page, filters, int(after) if after.isdigit() else 0)
    more, found = len(found) > PAGE, found[:PAGE]
    groups = [_group(view, g) for g in view.read(records.quarantine_groups)] if not filters and not after else []
    base = "/quarantaine?" + urlencode(filters)
    return page(
        view,
        "quarantaine.html",
        {
            "total": view.read(records.quarantine_count),
            "shown": view.read(records.quarantine_count, filters),
            "groups": groups,
            "filters": filters,
            "can": view.may("act"),
            "mapping": sum(g["n"] for g in groups if g["mapping"]),
            "chips": [
                (f"{k} : {v}", "/quarantaine?" + urlencode({a: b for a, b in filters.items() if a != k}))
                for k, v in filters.items()
            ],
            "rows": [
                {
                    "row": r,
                    "short": short(r["key"]),
                    "href": record_url(f"{r['source']}/{r['stream']}/{r['key']}"),
                    "source": view.names.connection(r["source"]),
                    "reason": view.reason(r["code"]),
                    "where": f"{Path(r['file']).name}:{r['line']}"
                    if r["file"] and r["line"]
                    else Path(r["file"]).name
                    if r["file"]
                    else "",
                }
                for r in found
            ],
            "next": f"{base}&after={found[-1]['id']}" if more else None,
            "after": after,
        },
    )


def _group(view: View, group: Row) -> dict[str, Any]:
    ids = view.read(records.quarantine_ids, group)
    filters = {k: group[k] for k in ("code", "source", "form", "file", "detail") if group[k]}
    known = view.context.reasons.get(group["code"])
    return {
        "n": group["n"],
        "code": group["code"],
        "heading": view.heading(group["code"]),
        "source": view.names.connection(group["source"]),
        "form": group["form"],
        "detail": group["detail"],
        "path": group["path"],
        "file": group["file"],
        "line": group["line"],
        "who": view.who(group["code"], group["who"]),
        "mapping": (group["who"] or (known[0] if known else "")) == "mapping",
        "since": group["since"],
        "last": group["last"],
        "lines": _lines(view.context.pack.folder, group["file"], group["line"]),
        "frozen": freeze(_frozen(view), ids),
        "href": "/quarantaine?" + urlencode(filters),
    }


def _lines(folder: Path, file: str | None, line: int | None) -> list[tuple[int, str]]:
    """Two lines before and after the line of the pack concerned. Only files of the pack, and only text."""
    if not file or not line:
        return []
    path = (folder / file).resolve()
    if not path.is_relative_to(folder.resolve()) or path.suffix not in (".yaml", ".yml", ".csv"):
        return []
    try:
        with path.open(encoding="utf-8") as lines:
            return [(i, text.rstrip("\n")[:160]) for i, text in enumerate(lines, 1) if line - 2 <= i <= line + 2]
    except (OSError, UnicodeDecodeError):
        return []


@router.post("/quarantaine")
def remap(view: Signed, form: Posted) -> Response:
    """Map the frozen group, or the ticked records, again."""
    if not view.may("act"):
        raise Refused("error.role")
    ids = thaw(_frozen(view), form.whole("frozen")) if form.get("do") == "group" else form.ids()
    if ids is None:
        raise Refused("error.frozen")
    ids = view.read(records.quarantine_still, ids)
    if not ids:
        return redirect(f"/quarantaine?{view.notice_query('nothing')}")
    return redirect(f"/quarantaine?{view.notice_query('remapped', view.context.actions.remap(ids, view.by))}")
