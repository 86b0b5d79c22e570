"""The web application: ``make_app(context)`` wires routes, headers, error pages. It holds no state of its own but the
counters of sign-ins and pushes."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from connector.errors import StoreBusy, StoreFull
from connector.web import api
from connector.web.auth import Gate
from connector.web.context import WebContext
from connector.web.metrics import make_registry
from connector.web.names import PackIndex
from connector.web.pages import (
    deliveries,
    help,
    matching,
    overview,
    preview,
    quarantine,
    records,
    referrals,
    reporting,
    session,
    values,
)
from connector.web.render import STATIC, View, page
from connector.web.requests import Denied, Missing, Refused, SignInNeeded, TooLarge, make_view
from connector.web.security import HEADERS, SecurityHeaders

log = logging.getLogger(__name__)

_Handler = Callable[[Request, Exception], Awaitable[Response]]


class Static(StaticFiles):
    """Files named with their digest may be kept for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code == 200:
            known = b"v=" in scope.get("query_string", b"")
            response.headers["cache-control"] = (
                "public, max-age=31536000, immutable" if known else "public, max-age=300"
            )
        return response


def make_app(context: WebContext) -> FastAPI:
    """An ASGI app over what the context gives. Talks to nothing else."""
    app = FastAPI(title="Relais", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = context
    app.state.gate = Gate(context)
    app.state.index = PackIndex(context.pack)
    app.state.registry = make_registry(context)
    app.state.pushes = 0  #: being taken in now
    app.include_router(api.router)
    pages = (overview, deliveries, values, records, quarantine, referrals, matching, reporting, session, help, preview)
    for module in pages:
        app.include_router(module.router)
    app.mount("/static", Static(directory=STATIC))
    app.add_middleware(GZipMiddleware, minimum_size=800)
    app.add_middleware(SecurityHeaders)
    app.add_exception_handler(SignInNeeded, _to_sign_in)
    app.add_exception_handler(Denied, api.denied)
    app.add_exception_handler(Refused, _error_page)
    app.add_exception_handler(Missing, _error_page)
    app.add_exception_handler(TooLarge, _error_page)
    app.add_exception_handler(HTTPException, _error_page)
    app.add_exception_handler(RequestValidationError, _error_page)
    app.add_exception_handler(StoreBusy, _error_page)
    app.add_exception_handler(StoreFull, _error_page)
    app.add_exception_handler(Exception, _error_page)
    return app


async def _to_sign_in(request: Request, error: Exception) -> Response:
    if request.method != "GET":
        return RedirectResponse("/connexion", 303)
    to = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse("/connexion?" + urlencode({"to": to}), 303)


def _status(error: Exception) -> tuple[int, str, dict[str, str]]:
    """(HTTP status, key of the catalogue, values of its sentence)."""
    match error:
        case Refused():
            return 403 if error.key in ("error.role", "error.csrf") else 422, error.key, {}
        case Missing():
            return 404, "error.missing", {"what": error.what[:80]}
        case TooLarge():
            return 413, "error.large", {}
        case StoreBusy():
            return 503, "error.busy", {}
        case StoreFull():
            return 503, "error.full", {}
        case HTTPException(status_code=status):
            return (
                status,
                "error.missing" if status == 404 else "error.method" if status == 405 else "error.form",
                {"what": ""},
            )
        case RequestValidationError():
            return 422, "error.form", {}
    number = f"e-{secrets.token_hex(3)}"
    log.error("page failed: %s", number, exc_info=(type(error), error, error.__traceback__))
    return 500, "error.ours", {"number": number}


async def _error_page(request: Request, error: Exception) -> Response:
    status, key, values = _status(error)
    if request.url.path.startswith(("/api/", "/metrics", "/status.json", "/livez", "/readyz")):
        return api.document({"error": key, **values}, status)
    view = _view(request)
    headers = {"retry-after": "30"} if status == 503 else {}
    if status == 500:  # made outside of the middlewares
        headers = {name.decode(): value.decode() for name, value in HEADERS.items()} | {"cache-control": "no-store"}
    return page(view, "erreur.html", {"key": key, "values": values, "status": status}, status=status, headers=headers)


def _view(request: Request) -> View:
    """The view the handler had, else one without the user: the database may be what failed."""
    found = getattr(request.state, "view", None)
    return found if isinstance(found, View) else make_view(request, with_user=False)
