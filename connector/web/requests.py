"""What every handler starts from: the view of this request, the sign-in rule, and forms with their CSRF token."""

from __future__ import annotations

import secrets
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, Request

from connector.engine.tokens import Bearer
from connector.web.auth import MAY, VISIT, Gate, is_loopback
from connector.web.context import WebContext
from connector.web.names import PackIndex
from connector.web.render import View
from connector.web.security import same_origin
from connector.web.signing import Signer, csrf_valid
from connector.web.wording import Wording, choose_language

LANGUAGE = "relais_lang"
#: Largest form, bytes: a frozen selection of 2,000 ids and its page of ticks fit well inside.
FORM_LIMIT = 200_000


class SignInNeeded(Exception):
    """Nobody is signed in; the page of sign-in opens and comes back."""


class Refused(Exception):
    """The role may not, or the form did not come from our page. ``key`` names the sentence of the catalogue."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Denied(Exception):
    """A machine may not call this: 401 without a valid token, 403 where its role does not fit."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Missing(Exception):
    """There is no such thing. ``what`` is shown."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class TooLarge(Exception):
    """The body is over the limit; nothing of it was kept."""


def make_view(request: Request, *, with_user: bool = True) -> View:
    context: WebContext = request.app.state.context
    gate: Gate = request.app.state.gate
    index: PackIndex = request.app.state.index
    language = choose_language(
        request.query_params.get("lang"), request.cookies.get(LANGUAGE), request.headers.get("accept-language")
    )
    visit = request.cookies.get(VISIT, "")
    request.state.new_visit = not 16 <= len(visit) <= 64
    if request.state.new_visit:
        visit = secrets.token_urlsafe(18)
    return View(
        request=request,
        context=context,
        index=index,
        user=gate.user_of(request) if with_user else None,
        w=Wording(language, context.pack.zone, context.clock.now()),
        notices=Signer(context.secret, "notice"),
        csrf=Signer(context.secret, "csrf"),
        visit=visit,
    )


def anyone(request: Request) -> View:
    view = make_view(request)
    request.state.view = view
    return view


def signed_in(view: Annotated[View, Depends(anyone)]) -> View:
    if view.user is None:
        raise SignInNeeded
    return view


async def read_body(request: Request, limit: int) -> bytes:
    """The body, never more than ``limit`` bytes of it in memory. Raises ``TooLarge``, at once when it is announced."""
    parts, size = [], 0
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and (len(declared) > 18 or int(declared) > limit):
        raise TooLarge
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLarge
        parts.append(part)
    return b"".join(parts)


class Form:
    def __init__(self, values: dict[str, list[str]]) -> None:
        self.values = values

    def get(self, name: str, limit: int = 300) -> str:
        return self.values.get(name, [""])[0].strip()[:limit]

    def whole(self, name: str) -> str:
        return self.values.get(name, [""])[0]

    def ids(self, name: str = "id") -> list[int]:
        return sorted({int(v) for v in self.values.get(name, []) if v.isdigit() and len(v) < 19})


async def read_form(request: Request) -> Form:
    body = await read_body(request, FORM_LIMIT)
    try:
        return Form(parse_qs(body.decode(), keep_blank_values=True, max_num_fields=3000))
    except ValueError:
        raise Refused("error.form") from None


def checked_form(
    request: Request, view: Annotated[View, Depends(anyone)], form: Annotated[Form, Depends(read_form)]
) -> Form:
    """The form of our own page: same origin and a valid token."""
    if not same_origin(request) or not csrf_valid(view.csrf, view.visit, form.get("csrf", 64)):
        raise Refused("error.csrf")
    return form


def shown(request: Request) -> Bearer | None:
    """Who shows a valid token. Only the header counts: an address is written into logs on its way."""
    context: WebContext = request.app.state.context
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return context.bearer(token.strip()[:200]) if scheme.lower() == "bearer" else None


def check_call(request: Request, what: str, *, loopback: bool = False) -> None:
    """May this caller ``what`` (``auth.MAY``): by a token, signed in, or from this machine where said? Else Denied."""
    if loopback and is_loopback(request):
        return
    gate: Gate = request.app.state.gate
    who = shown(request) or gate.user_of(request)
    if who is None:
        raise Denied(401)
    if who.role not in MAY[what]:
        raise Denied(403)


def check_push(request: Request, source: str) -> str:
    """The name of the token that may push to this source; a cookie does not count. Else Denied."""
    bearer = shown(request)
    if bearer is None:
        raise Denied(401)
    if bearer.role not in MAY["submit"] or bearer.source not in (None, source):
        raise Denied(403)
    return bearer.name


Signed = Annotated[View, Depends(signed_in)]
Anyone = Annotated[View, Depends(anyone)]
Posted = Annotated[Form, Depends(checked_form)]
