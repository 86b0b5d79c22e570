"""One way to speak HTTP, so that every adapter is equally careful.

    HttpTrouble
    ├── NotSent          nothing left this machine: safe to try again at any time
    └── Lost             it may have been applied: look before sending again
        ├── TooBig       the answer is bigger than asked for; not read to the end
        └── NotJson      the answer is not what was asked for (a start-up page, a login page, half a body)

Use ``request`` for one exchange, ``read_with_retries`` for a GET. Both read at most ``max_bytes``, unpacked, and give
an exchange up after ``DEADLINE``, however slowly it still moves.
"""

from __future__ import annotations

import asyncio
import http.cookiejar
import json
import os
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import httpx
import orjson
import tenacity

from connector.errors import ConfigError

#: Bytes of an answer that are read unless the caller says otherwise.
MAX_BYTES = 32 * 1024 * 1024
#: Seconds before a read that got nothing usable is made again, doubled each time.
PAUSE = 0.1

#: Seconds for a whole exchange. The client's own limit is for one read; an answer that drips would pass it for ever.
DEADLINE = 180.0

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_NOT_SENT = (
    httpx.ConnectError,  # DNS, refused, TLS
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,  # an id of theirs in the path, with a line end in it
)
_TRY_AGAIN = {502, 503, 504}


class HttpTrouble(Exception):
    """There is no answer to trust. ``status`` is set if at least a status line came. ``french``: the message in
    French, where it has words."""

    def __init__(self, message: str, *, french: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.french = french or message
        self.status = status


class NotSent(HttpTrouble):
    """Nothing was sent: name, connection or TLS failed. Safe to send again."""


class Lost(HttpTrouble):
    """Sent, but no answer to trust. It may or may not have been applied."""


class TooBig(Lost):
    """The answer is bigger than the bound and was not read to the end."""


class NotJson(Lost):
    """The answer is not JSON: a web page, half a body, garbage."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer read whole. ``body`` is never shown in ``repr``: it may hold personal data."""

    status: int
    headers: httpx.Headers
    body: bytes

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.body)} bytes)"

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def retry_after(self) -> timedelta | None:
        return retry_after(self.headers)

    def text(self, limit: int = 2000) -> str:
        """The beginning of the body as text."""
        return self.body[:limit].decode("utf-8", "replace")

    def json(self, *, exact: bool = False) -> Any:
        """The parsed body. ``exact``: see ``exact_json``. Raises NotJson."""
        check_content_type(self.headers, self.status)
        try:
            return exact_json(self.body) if exact else orjson.loads(self.body)
        except ValueError as error:
            raise NotJson(
                f"the answer is not JSON ({len(self.body)} bytes)",
                french=f"la réponse n'est pas du JSON ({len(self.body)} octets)",
                status=self.status,
            ) from error


def make_client(
    base_url: str,
    *,
    user: str | None = None,
    password: str | None = None,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    transport: httpx.AsyncBaseTransport | None = None,
    insecure: bool = False,
) -> httpx.AsyncClient:
    """A client for one server: no redirects, no cookies kept, JSON asked for, at most 8 connections.

    ``timeout``: seconds to wait for a read; connecting has 10. ``token``: a whole ``Authorization`` value
    (``ApiToken d2pat_...``) or a bare token, sent as ``Bearer``; with it user and password are not used. Raises
    ConfigError for ``http://`` to another machine unless ``insecure``.
    """
    url = httpx.URL(base_url)
    loopback = url.host in _LOOPBACK
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(
            f"not an http(s) address: {url.copy_with(username=None, password=None)}",
            french=f"ce n'est pas une adresse http(s) : {url.copy_with(username=None, password=None)}",
        )
    if url.userinfo:
        raise ConfigError(
            f"the address of {url.host} holds a password; give user and password apart from it",
            french=f"l'adresse de {url.host} contient un mot de passe ; donnez utilisateur et mot de passe à part",
        )
    if url.scheme == "http" and not (loopback or insecure):
        raise ConfigError(
            f"http:// to {url.host} is refused: passwords would travel in clear; use https://",
            french=f"http:// vers {url.host} est refusé : les mots de passe passeraient en clair ; utilisez https://",
        )
    sent = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "Relais", **(headers or {})}
    if token:
        sent["Authorization"] = token if " " in token else f"Bearer {token}"
    return httpx.AsyncClient(
        base_url=url,
        auth=httpx.BasicAuth(user, password or "") if user and not token else None,  # it would replace the header
        headers=sent,
        timeout=httpx.Timeout(timeout, connect=10.0, pool=timeout),
        limits=httpx.Limits(max_connections=8, max_keepalive_connections=8, keepalive_expiry=5.0),
        # A session would outlive the credentials it was made with, and OpenMRS would count it as a login.
        cookies=http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[])),
        transport=transport,
        follow_redirects=False,
        verify=_authorities(not loopback, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")),
        trust_env=not loopback,
    )


@cache
def _authorities(trust_env: bool, file: str | None, folder: str | None) -> ssl.SSLContext:
    """Whose certificates are believed, read once for all servers: it takes 30 ms, and every command makes a client for
    each of them. ``file`` and ``folder``: what httpx reads of the environment."""
    return httpx.create_ssl_context(trust_env=trust_env)


async def request(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    max_bytes: int = MAX_BYTES,
    deadline: float = DEADLINE,
    **kwargs: Any,
) -> Answer:
    """One exchange, whatever the status. ``kwargs`` are those of ``httpx.AsyncClient.build_request``.

    Raises NotSent, Lost or TooBig.
    """
    status = None
    try:
        async with asyncio.timeout(deadline):
            response = await client.send(client.build_request(method, url, **kwargs), stream=True)
            status = response.status_code
            try:
                body = await _read(response, max_bytes)
            finally:
                await response.aclose()
    except TimeoutError as error:
        raise Lost(
            f"not answered to the end within {deadline:.0f} s",
            french=f"pas de réponse entière en {deadline:.0f} s",
            status=status,
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _trouble(error) from error
    return Answer(response.status_code, response.headers, body)


async def read_with_retries(
    client: httpx.AsyncClient,
    url: str,
    *,
    max_bytes: int = MAX_BYTES,
    tries: int = 3,
    within: float = 10.0,
    **kwargs: Any,
) -> Answer:
    """GET, asked again (``tries``, not begun later than ``within`` seconds) when nothing usable came or the server
    said 502, 503 or 504 without ``Retry-After``. Never for a write; never after 401 or 429. Raises as ``request``.
    """
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(tries) | tenacity.stop_after_delay(within),
        wait=tenacity.wait_exponential(multiplier=PAUSE, max=2.0) + tenacity.wait_random(0, PAUSE),
        retry=tenacity.retry_if_exception(lambda e: isinstance(e, HttpTrouble) and not isinstance(e, TooBig))
        | tenacity.retry_if_result(_worth_asking_again),
        retry_error_callback=_last,
    )
    answer: Answer = await retrying(request, client, "GET", url, max_bytes=max_bytes, **kwargs)
    return answer


async def read_json(response: httpx.Response, max_bytes: int = MAX_BYTES, *, exact: bool = False) -> Any:
    """The parsed body of a response, streamed or already read, whatever its status. Raises Lost, TooBig, NotJson."""
    body = await _read(response, max_bytes)
    return Answer(response.status_code, response.headers, body).json(exact=exact)


def exact_json(data: bytes | str) -> Any:
    """Parse JSON so that no number changes: integers of up to 18 digits stay ``int``; every other number becomes the
    text that was written (``"39.10"``), which ``$num`` reads. Raises ValueError, also for what cannot be written again
    (NaN, lone surrogates, nesting deeper than 1,024).
    """
    orjson.loads(data)  # stricter than the standard library: no NaN, no lone surrogates, bounded depth
    try:
        return json.loads(data, parse_float=str, parse_int=lambda digits: int(digits) if len(digits) <= 18 else digits)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def check_content_type(headers: Mapping[str, str], status: int | None = None) -> None:
    """Raise NotJson for a web page: CHT answers 200 text/html while it starts (findings-cht 23), proxies and
    login pages do the same."""
    content_type = headers.get("content-type", "").lower()
    if "html" in content_type or "xml" in content_type:
        got = content_type.split(";")[0]
        raise NotJson(f"asked for JSON, got {got}", french=f"JSON demandé, {got} reçu", status=status)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """``Retry-After`` in seconds or as a date, between 0 and one day. None if absent or unreadable, or a date without
    the server's own."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        # By the server's own clock: without it the date says nothing, for ours may be wrong.
        said = headers.get("date", "")
        seconds = float(value) if value.isdigit() else (_instant(value) - _instant(said)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return timedelta(seconds=min(max(seconds, 0.0), 86400.0))


def _instant(text: str) -> datetime:
    found = parsedate_to_datetime(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)  # "-0000": UTC of a place not told


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    if response.is_stream_consumed or response.is_closed:
        body = response.content
        if len(body) > max_bytes:
            raise _too_big(max_bytes, response)
        return body
    unpack = _unpacker(response)
    parts, size, begun = [], 0, False
    try:
        async for part in response.aiter_raw():
            begun = begun or bool(part)
            if unpack is not None:
                if unpack.eof:
                    raise Lost(
                        "the answer goes on after its end",
                        french="la réponse continue après sa fin",
                        status=response.status_code,
                    )
                # The bound is on what unpacks, so that a small body cannot fill the memory: no more is unpacked.
                part = unpack.decompress(part, max_bytes - size + 1)
            size += len(part)
            if size > max_bytes:
                raise _too_big(max_bytes, response)
            parts.append(part)
    except (httpx.HTTPError, zlib.error) as error:
        kind = type(error).__name__
        raise Lost(
            f"the answer broke off: {kind}",
            french=f"la réponse s'est interrompue : {kind}",
            status=response.status_code,
        ) from error
    if unpack is not None and begun and (unpack.unused_data or not unpack.eof):
        raise Lost(
            "the answer does not end where its packing ends",
            french="la réponse ne finit pas là où finit sa compression",
            status=response.status_code,
        )
    return b"".join(parts)


def _too_big(max_bytes: int, response: httpx.Response) -> TooBig:
    return TooBig(
        f"the answer has more than {max_bytes} bytes",
        french=f"la réponse dépasse {max_bytes} octets",
        status=response.status_code,
    )


def _unpacker(response: httpx.Response) -> Any:
    """None for a plain body. Raises Lost for a packing that was not asked for, such as one inside another."""
    coding = response.headers.get("content-encoding", "").strip().lower()
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip"):
        return zlib.decompressobj(31)
    raise Lost(
        "the answer is packed in a way that was not asked for",
        french="la réponse est compressée d'une façon qui n'a pas été demandée",
        status=response.status_code,
    )


def _trouble(error: httpx.HTTPError | httpx.InvalidURL) -> HttpTrouble:
    """The class says all that matters; httpx's words may hold an address with its query, so they are not repeated."""
    kind = NotSent if isinstance(error, _NOT_SENT) else Lost
    return kind(type(error).__name__)


def _worth_asking_again(answer: Answer) -> bool:
    return answer.status in _TRY_AGAIN and "retry-after" not in answer.headers


def _last(state: tenacity.RetryCallState) -> Any:
    assert state.outcome is not None
    return state.outcome.result()
