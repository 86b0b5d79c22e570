"""``/connexion`` and ``/deconnexion``."""

from __future__ import annotations

import secrets

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from connector.web.auth import LASTS, SESSION, TRIES, VISIT, Gate
from connector.web.render import View, page
from connector.web.requests import Anyone, Posted

router = APIRouter()


def _inside(to: str) -> str:
    """Only an address of this site: one slash first, and nothing a browser would drop or turn into a second one."""
    plain = to.isprintable() and "\\" not in to
    return to if plain and to.startswith("/") and not to.startswith("//") else "/"


def _sign_in_page(view: View, *, name: str = "", left: int | None = None, to: str = "/", status: int = 200) -> Response:
    last = [c.get("last_success") for c in view.context.status().get("connections", ()) if c.get("kind") == "target"]
    return page(
        view,
        "connexion.html",
        {
            "name": name,
            "left": left,
            "to": to,
            "last": max((x for x in last if x), default=None),
            "tries": TRIES,
        },
        status=status,
    )


@router.get("/connexion")
def form(view: Anyone) -> Response:
    to = _inside(view.request.query_params.get("to", "/"))
    if view.user is not None:
        return RedirectResponse(to, 303)
    return _sign_in_page(view, to=to)


@router.post("/connexion")
def sign_in(view: Anyone, form: Posted) -> Response:
    gate: Gate = view.request.app.state.gate
    address = view.request.client.host if view.request.client else ""
    outcome = gate.sign_in(form.get("username", 100), form.whole("password"), address)
    to = _inside(form.get("to"))
    if outcome.user is None:
        return _sign_in_page(
            view, name=form.get("username", 100), left=outcome.left, to=to, status=401 if outcome.left else 429
        )
    response = RedirectResponse(to, 303)
    secure = view.request.url.scheme == "https"
    response.set_cookie(
        SESSION, outcome.cookie, max_age=int(LASTS.total_seconds()), httponly=True, samesite="strict", secure=secure
    )
    # a new visit, so that a token from before the sign-in is worth nothing after it
    response.set_cookie(VISIT, secrets.token_urlsafe(18), httponly=True, samesite="strict", secure=secure)
    return response


@router.post("/deconnexion")
def sign_out(view: Anyone, form: Posted) -> Response:
    response = RedirectResponse("/connexion", 303)
    response.delete_cookie(SESSION)
    response.delete_cookie(VISIT)
    return response
