"""One page from a template: words, names, marks, notice and CSRF token of this request; nothing inline."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from connector.web import icons
from connector.web.auth import User
from connector.web.context import WebContext
from connector.web.names import Names, PackIndex, short
from connector.web.reading import on, records
from connector.web.signing import Signer, csrf_token
from connector.web.wording import Wording

HERE = Path(__file__).parent
STATIC = HERE / "static"

environment = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
environment.globals |= {"short": short, "quote": lambda text: quote(str(text), safe="")}


def asset(name: str) -> str:
    """The address of a static file with its digest, so that it may be cached for ever."""
    return f"/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


_ASSETS = {name: asset(name) for name in ("relais.css", "relais.js", "icon.svg")}


@dataclass
class View:
    """What a page handler works with."""

    request: Request
    context: WebContext
    index: PackIndex
    user: User | None
    w: Wording
    notices: Signer
    csrf: Signer
    visit: str

    @cached_property
    def names(self) -> Names:
        return Names(self.index, self.w)

    def read(self, fn: Any, *arguments: Any, **named: Any) -> Any:
        """Run a query of ``reading`` with a connection in front."""
        return on(self.context, lambda connection: fn(connection, *arguments, **named))

    @property
    def by(self) -> str:
        return self.user.name if self.user else "-"

    def may(self, what: str) -> bool:
        return self.user is not None and self.user.may(what)

    # -- encrypted columns

    def opened(self, table: str, blob: bytes | None) -> Any:
        """The JSON of an encrypted column; None where there is none or its key was purged with the month."""
        if blob is None:
            return None
        try:
            data = self.context.cipher.decrypt(table, bytes(blob))
            return orjson.loads(data) if data else None
        except Exception:  # a page about a purged record still opens; what cannot be read is shown as absent
            return None

    def entity(self, blob: bytes | None) -> dict[str, Any] | None:
        """The facts of a person, place or worker, whether stored bare or within the whole entity."""
        found = self.opened("entity", blob)
        if not isinstance(found, dict):
            return None
        inner = found.get("data")
        return inner if isinstance(inner, dict) else found

    # -- reasons

    def reason(self, code: str | None) -> Markup:
        """The sentence of a reason code; an unknown one is shown as it came."""
        if not code:
            return Markup("")
        found = self.context.reasons.get(code)
        if found is None:
            return Markup("<code>{}</code> {}").format(code, self.w("reason.unknown"))
        return Markup("{}").format(self.w.text({"fr": found[1], "en": found[2]}))

    def heading(self, code: str | None) -> Markup:
        """A reason's sentence as part of a heading: without the full stop."""
        return Markup(str(self.reason(code)).removesuffix("."))

    def who(self, code: str | None, who: str | None = None) -> str:
        """Who must act: of the reason when it is known, else as kept with the row."""
        found = self.context.reasons.get(code or "")
        name = (who or (found[0] if found else "")) or "sysadmin"
        key = f"who.{name}"
        return str(self.w(key)) if self.w.has(key) else name

    # -- marks

    def notice_query(self, word: str, n: int = 0) -> str:
        """``done=...`` for a redirect: only we can make a page say that something was done."""
        return urlencode({"done": self.notices.sign(f"{word}.{n}".encode())})

    def notice(self) -> tuple[str, int] | None:
        data = self.notices.open(self.request.query_params.get("done"))
        if data is None:
            return None
        word, _, n = data.decode().partition(".")
        return word, int(n)


def pill(view: View, draw: icons.Icons, key: str) -> Markup:
    meaning, icon = icons.PILLS.get(key, ("off", "unk"))  # a state that is newer than this page is shown as it came
    return Markup('<span class="pill {}">{}{}</span>').format(meaning, draw(icon), view.w("state." + key))


def page(
    view: View, template: str, values: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    draw = icons.Icons()
    other = "en" if view.w.language == "fr" else "fr"
    query = [(k, v) for k, v in view.request.query_params.multi_items() if k not in ("lang", "done")]
    counts = {"late": 0, "person": 0, "quarantine": 0}
    if view.user is not None and template != "erreur.html":
        counts = view.read(_counts, view.w.now.date())
    shown = {
        "v": view,
        "w": view.w,
        "names": view.names,
        "user": view.user,
        "icon": draw,
        "beat": icons.beat,
        "pill": lambda key: pill(view, draw, key),
        "assets": _ASSETS,
        "nav": counts,
        "path": view.request.url.path,
        "other_language": "?" + urlencode([*query, ("lang", other)]),
        "csrf": csrf_token(view.csrf, view.visit),
        "notice": view.notice(),
        "place": view.w.text(view.context.pack.name),
        "app_version": view.context.version,
        "demo": view.context.env == "demo",
    }
    html = environment.get_template(template).render(shown | dict(values))
    response = HTMLResponse(html, status, headers)
    keep_cookies(view, response)
    return response


def keep_cookies(view: View, response: Response) -> None:
    """The visit the CSRF token belongs to, and the language when it was asked for."""
    secure = view.request.url.scheme == "https"
    if getattr(view.request.state, "new_visit", False):
        response.set_cookie("relais_visit", view.visit, httponly=True, samesite="strict", secure=secure)
    if view.request.query_params.get("lang") == view.w.language:
        response.set_cookie(
            "relais_lang", view.w.language, max_age=31_536_000, httponly=True, samesite="strict", secure=secure
        )


def _counts(connection: Any, today: Any) -> dict[str, int]:
    referrals = records.referral_counts(connection, today)
    return {
        "late": referrals["late"],
        "person": referrals["person"],
        "quarantine": records.quarantine_count(connection),
    }
