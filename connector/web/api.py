"""What machines read: health, metrics, status, the documents of the commands, and the webhook intake."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from connector.errors import StoreBusy, StoreFull
from connector.web.context import Ingested, WebContext
from connector.web.metrics import exposition
from connector.web.reading import PAGE, cells, deliveries, on, records
from connector.web.requests import Denied, TooLarge, caller, check_call, check_push, read_body
from connector.web.signing import webhook_valid
from connector.web.wording import CATALOGUES, choose_language

router = APIRouter()

#: Pushes taken at the same time: each holds a thread (there are 40, the pages need some) and a body in memory.
PUSHES = 20
#: A body must be here within so many seconds.
READ_SECONDS = 30

QUARANTINED = (
    "id",
    "source",
    "stream",
    "key",
    "revision",
    "form",
    "code",
    "path",
    "file",
    "line",
    "detail",
    "who",
    "version",
    "at",
)


def document(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body, default=str), status, headers, media_type="application/json")


def problem(
    request: Request, code: str, status: int, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """An error as a document: its code, and a sentence in the caller's language. Never a value of a record."""
    sentence = str(CATALOGUES[choose_language(None, None, request.headers.get("accept-language"))][f"api.{code}"])
    return document({"error": code, "message": sentence, **more}, status, headers)


async def denied(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, Denied) else 401
    if status == 401:
        return problem(request, "token.needed", 401, {"www-authenticate": 'Bearer realm="relais"'})
    return problem(request, "token.role", 403)


def _context(request: Request) -> WebContext:
    context: WebContext = request.app.state.context
    return context


@router.get("/livez")
def alive() -> Response:
    return Response("ok\n", media_type="text/plain")


@router.get("/readyz")
def ready(request: Request) -> Response:
    """200 when the database answers and the work of this process goes on."""
    context = _context(request)
    try:
        on(context, records.ping)
    except Exception:
        return Response("database\n", 503, media_type="text/plain")
    return (
        Response("ok\n", media_type="text/plain")
        if context.ready()
        else Response("schedule\n", 503, media_type="text/plain")
    )


@router.get("/metrics")
def metrics(request: Request) -> Response:
    check_call(request, "observe", loopback=True)
    return Response(exposition(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/status.json")
def status(request: Request) -> Response:
    check_call(request, "observe", loopback=True)
    return document(_context(request).status())


@router.get("/api/v1/status")
def api_status(request: Request) -> Response:
    check_call(request, "observe", loopback=True)
    return document(_context(request).status())


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and len(text) < 19 else None


@router.get("/api/v1/deliveries")
def api_deliveries(request: Request) -> Response:
    """One keyset page; ``next`` is the address of the page after it. The filters are those of ``/envois``."""
    check_call(request, "read")
    filters = deliveries.Filters.of(request.query_params)
    found = on(_context(request), lambda c: deliveries.page(c, filters, _number(request.query_params.get("before"))))
    fields = (
        "id",
        "target",
        "key",
        "kind",
        "record",
        "state",
        "step",
        "tries",
        "generation",
        "reason",
        "who",
        "note",
        "wanted_at",
        "due_at",
        "accepted_at",
        "updated",
    )
    following = "/api/v1/deliveries" + filters.query(before=found.older) if found.older else None
    return document({"items": [{k: r[k] for k in fields} for r in found.rows], "next": following})


@router.get("/api/v1/quarantine")
def api_quarantine(request: Request) -> Response:
    check_call(request, "read")
    filters, after = records.quarantine_filter(request.query_params), _number(request.query_params.get("after")) or 0
    found = on(_context(request), lambda c: records.quarantine_page(c, filters, after))
    following = None
    if len(found) > PAGE:
        following = "/api/v1/quarantine?" + urlencode({**filters, "after": found[PAGE - 1]["id"]})
    total = on(_context(request), lambda c: records.quarantine_count(c, filters))
    return document(
        {"total": total, "items": [{k: r[k] for k in QUARANTINED} for r in found[:PAGE]], "next": following}
    )


@router.get("/api/v1/explain")
def api_explain(request: Request) -> Response:
    """The lineage of ``de``, ``ou``, ``pe``, ``co`` (codes), its records from ``after``. With ``why_not=1`` also why
    other records do not count, with ``live=1`` what DHIS2 holds now (a few seconds at most)."""
    check_call(request, "read")
    q = request.query_params
    if not all(q.get(k) for k in ("de", "ou", "pe")):
        return document({"error": "explain.address", "needs": ["de", "ou", "pe"]}, 422)
    context, combo = _context(request), q.get("co") or "default"
    found = context.explain(q["de"], q["ou"], q["pe"], combo, q.get("after"), why_not=q.get("why_not") == "1")
    if found is None:
        return document({"error": "explain.nothing_there"}, 404)
    context.actions.read_audit("value.explained", f"{q['de']}/{q['ou']}/{q['pe']}", caller(request))
    if q.get("live") == "1":
        cell = on(context, lambda c: cells.at(c, q["de"], q["ou"], q["pe"], combo))
        found = {**found, "now": context.ask(cell) if cell else None}
    return document(found)


@router.get("/api/v1/completeness")
def api_completeness(request: Request) -> Response:
    """Who has reported: ``pe``, ``ds``, ``ou``, each optional."""
    check_call(request, "read")
    q = request.query_params
    try:
        found = _context(request).reporting.completeness(q.get("pe") or None, q.get("ds") or None, q.get("ou") or None)
    except ValueError:
        return document({"error": "period.none"}, 422)
    return document(found)


@router.get("/api/v1/trace/{source}/{stream}/{key:path}")
def api_trace(request: Request, source: str, stream: str, key: str) -> Response:
    """The way of one record, personal data masked."""
    check_call(request, "read")
    found = _context(request).trace(f"{source}/{stream}/{key}", False)
    if found is None:
        return document({"error": "trace.unknown_record"}, 404)
    _context(request).actions.read_audit("record.traced", f"{source}/{stream}/{key}", caller(request))
    return document(found)


@router.post("/api/v1/ingest/{source}")
async def ingest(request: Request, source: str) -> Response:
    """A pushed document. 202 only after it is durable; the receipt says so."""
    by = await run_in_threadpool(check_push, request, source)
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    packed = request.headers.get("content-encoding", "identity").lower()
    if packed != "identity" or not (kind == "application/json" or kind.endswith("+json")):
        return problem(request, "ingest.not_json", 415)
    state = request.app.state
    if state.pushes >= PUSHES:
        return problem(request, "ingest.too_many", 429, {"retry-after": "5"})
    state.pushes += 1
    try:
        return await _taken(request, source, by)
    finally:
        state.pushes -= 1


async def _taken(request: Request, source: str, by: str) -> Response:
    context = _context(request)
    try:
        async with asyncio.timeout(READ_SECONDS):
            body = await read_body(request, context.ingest_limit)
    except TooLarge:
        return problem(request, "ingest.too_large", 413, limit=context.ingest_limit)
    except (TimeoutError, ClientDisconnect):
        return problem(request, "ingest.cut", 408)
    keys = context.webhook_keys.get(source)
    if keys and not webhook_valid(keys, request.headers, body, context.clock.now()):
        return problem(request, "ingest.signature", 401)
    try:
        form = request.query_params.get("form")
        answer = await run_in_threadpool(context.ingest, source, body, form, by)
    except (StoreBusy, StoreFull) as error:
        wait = 30 if isinstance(error, StoreBusy) else 300
        answer = Ingested(503, {"error": error.code}, retry_after=wait)
    headers = {"retry-after": str(math.ceil(answer.retry_after))} if answer.retry_after is not None else {}
    found = dict(answer.receipt)
    if "error" in found:
        return problem(request, found.pop("error"), answer.status, headers, **found)
    return document(found, answer.status, headers)
