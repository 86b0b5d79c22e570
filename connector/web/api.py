"""What machines read: health, metrics, status, the documents of the commands, and the webhook intake."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from connector.errors import StoreBusy, StoreFull
from connector.web.context import Ingested, WebContext
from connector.web.metrics import exposition
from connector.web.reading import PAGE, deliveries, on, records
from connector.web.requests import TooLarge, caller, may_call, read_body

router = APIRouter()


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


def _refused() -> Response:
    return document({"error": "token.needed"}, 401, {"www-authenticate": 'Bearer realm="relais"'})


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
    if not may_call(request, loopback=True):
        return _refused()
    return Response(exposition(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/status.json")
def status(request: Request) -> Response:
    return document(_context(request).status()) if may_call(request, loopback=True) else _refused()


@router.get("/api/v1/status")
def api_status(request: Request) -> Response:
    return document(_context(request).status()) if may_call(request, loopback=True) else _refused()


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and len(text) < 19 else None


@router.get("/api/v1/deliveries")
def api_deliveries(request: Request) -> Response:
    """One keyset page; ``next`` is the address of the page after it. The filters are those of ``/envois``."""
    if not may_call(request, loopback=False):
        return _refused()
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
    if not may_call(request, loopback=False):
        return _refused()
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
    """The lineage of ``de``, ``ou``, ``pe``, ``co`` (codes)."""
    if not may_call(request, loopback=False):
        return _refused()
    q = request.query_params
    if not all(q.get(k) for k in ("de", "ou", "pe")):
        return document({"error": "explain.address", "needs": ["de", "ou", "pe"]}, 422)
    found = _context(request).explain(q["de"], q["ou"], q["pe"], q.get("co") or "default", q.get("after"))
    if found is None:
        return document({"error": "explain.nothing_there"}, 404)
    _context(request).actions.read_audit("value.explained", f"{q['de']}/{q['ou']}/{q['pe']}", caller(request))
    return document(found)


@router.get("/api/v1/trace/{source}/{stream}/{key:path}")
def api_trace(request: Request, source: str, stream: str, key: str) -> Response:
    """The way of one record, personal data masked."""
    if not may_call(request, loopback=False):
        return _refused()
    found = _context(request).trace(f"{source}/{stream}/{key}", False)
    if found is None:
        return document({"error": "trace.unknown_record"}, 404)
    _context(request).actions.read_audit("record.traced", f"{source}/{stream}/{key}", caller(request))
    return document(found)


@router.post("/api/v1/ingest/{source}")
async def ingest(request: Request, source: str) -> Response:
    """A pushed record. 202 only after it is durable; the receipt says so."""
    context = _context(request)
    try:
        body = await read_body(request, context.ingest_limit)
    except TooLarge:
        return document({"error": "ingest.too_large", "limit": context.ingest_limit}, 413)
    headers = {k.lower(): v for k, v in request.headers.items()}
    try:
        answer = await run_in_threadpool(context.ingest, source, body, headers)
    except (StoreBusy, StoreFull) as error:
        answer = Ingested(503, {"error": error.code}, retry_after=30 if isinstance(error, StoreBusy) else 300)
    wait = {"retry-after": str(math.ceil(answer.retry_after))} if answer.retry_after is not None else {}
    return document(dict(answer.receipt), answer.status, wait)
