"""``/essai``: one record through its mapping, before anything is kept or sent. Nothing that is pasted is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import APIRouter
from markupsafe import Markup
from starlette.responses import Response

from connector.mappings.examples import records_of
from connector.mappings.pack import Pack
from connector.web.pages.records import _plain
from connector.web.render import View, page
from connector.web.requests import Posted, Refused, Signed

router = APIRouter()

#: Longest record taken from the page, in characters.
LONGEST = 100_000


@router.get("/essai")
def empty(view: Signed) -> Response:
    """Without a record, or with one of the examples of the pack in its place."""
    query = view.request.query_params
    chosen, number = query.get("form", ""), query.get("example", "")
    text = ""
    if chosen in _forms(view.context.pack):
        found = _examples(view, chosen)
        if number.isdigit() and int(number) < len(found):
            text = orjson.dumps(found[int(number)][1], option=orjson.OPT_INDENT_2).decode()
    return _page(view, chosen, text, None, "")


@router.post("/essai")
def tried(view: Signed, form: Posted) -> Response:
    chosen, text = form.get("form"), form.whole("record").strip()
    if chosen not in _forms(view.context.pack):
        raise Refused("error.form")
    problem, body = "", None
    if len(text) > LONGEST:
        problem = "preview.too_long"
    else:
        try:
            body = orjson.loads(text)
        except orjson.JSONDecodeError:
            problem = "preview.not_json"
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not problem and not isinstance(body, dict):
        problem = "preview.not_json"
    if problem:
        return _page(view, chosen, text[:LONGEST], None, problem, status=422)
    unmask = view.may("unmask")
    if unmask:  # the registry is asked about a person
        view.context.actions.read_audit("preview.shown", chosen, view.by)
    return _page(view, chosen, text, view.context.preview(chosen, body, unmask), "")


def _forms(pack: Pack) -> dict[str, str]:
    """``source/form`` -> file."""
    return {f"{source}/{name}": form.file for (source, name), form in sorted(pack.forms.items())}


def _examples(view: View, chosen: str) -> list[tuple[str, dict[str, Any]]]:
    source, _, name = chosen.partition("/")
    return records_of(view.context.pack, view.context.pack.forms[source, name])[:12]


def _page(view: View, chosen: str, text: str, found: Mapping[str, Any] | None, problem: str, status: int = 200) -> Any:
    forms = _forms(view.context.pack)
    return page(
        view,
        "essai.html",
        {
            "forms": list(forms),
            "chosen": chosen,
            "examples": [name for name, _ in _examples(view, chosen)] if chosen in forms else [],
            "record": text,
            "problem": problem,
            "doc": found,
            "facts": [_fact(view, f) for f in (found or {}).get("facts", ())],
            "cells": [_cell(view, c) for c in (found or {}).get("cells", ())],
            "not_counted": [why_not(view, one) for one in (found or {}).get("not_counted", ())],
            "resources": (found or {}).get("resources", ()),
        },
        status=status,
    )


def _fact(view: View, fact: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": view.names.concept(fact["name"]),
        "id": fact["name"],
        "masked": fact["masked"],
        "derived": fact["derived"],
        "implausible": fact["implausible"],
        "value": _plain(view, fact["value"], fact["name"]),
    }


def _cell(view: View, cell: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": view.names.value(cell),
        "place": view.names.unit(cell["org_unit"]) if cell["org_unit"] != "?" else str(view.w("preview.nowhere")),
        "month": view.w.period(cell["period"], short=True),
        "amount": cell["amount"],
    }


def why_not(view: View, one: Mapping[str, Any]) -> dict[str, Any]:
    """A row of ``not_counted``: the indicator and the comparisons that failed, in words where it is no comparison."""
    reason = one["reason"]
    return {
        "name": view.names.indicator(one["indicator"], one["part"]),
        "id": one["indicator"],
        "item": one.get("item"),
        "where": f"{one['file']}, {view.w('value.line', line=str(one['line']))}" if one.get("file") else "",
        "words": view.w(f"not_counted.{reason}") if reason != "condition" else Markup(""),
        "condition": one["condition"],
        "comparisons": [
            {**c, "values": str(c["values"]).replace("absent", str(view.w("fact.absent")))} for c in one["comparisons"]
        ],
    }
