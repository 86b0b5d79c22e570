"""Wrong answers by name. A shape takes the genuine answer and gives what comes over the line instead."""

from __future__ import annotations

import copy
import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import httpx
import orjson

from tests.fuzz.line import JSON, Given

Shape = Callable[[Given], Given]
GZIP = (b"content-encoding", b"gzip")
HTML = ((b"content-type", b"text/html; charset=utf-8"),)
LOGIN = b"<!DOCTYPE html><html><body><form action='/login' method='post'><input name='j_username'></form></body></html>"


@lru_cache(maxsize=4)
def bomb(times: int = 1, layers: int = 1, bits: int = 31) -> bytes:
    """``times`` MiB of noughts, packed ``layers`` times. ``bits``: 31 for gzip, 15 for deflate."""
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    packed = b"".join([*(packer.compress(bytes(1024 * 1024)) for _ in range(times)), packer.flush()])
    for _ in range(layers - 1):
        packed = gzip.compress(packed)
    return packed


def drip() -> Iterator[tuple[float, bytes]]:
    """A space every twenty seconds, for ever: each read is quick enough, the whole never ends."""
    while True:
        yield 20.0, b" "


def flood() -> Iterator[tuple[float, bytes]]:
    while True:
        yield 0.0, b" " * (4 * 1024 * 1024)


def parsed(given: Given) -> Any:
    try:
        return orjson.loads(given.body)
    except ValueError:
        return None


def _walk(node: Any, visit: Callable[[Any], Any]) -> Any:
    """The document with every leaf replaced by what ``visit`` makes of it."""
    if isinstance(node, dict):
        return {key: _walk(value, visit) for key, value in node.items()}
    if isinstance(node, list):
        return [_walk(value, visit) for value in node]
    return visit(node)


def _leaves(change: Callable[[Any], Any]) -> Shape:
    return lambda given: given.saying(orjson.dumps(_walk(parsed(given), change)))


def _lists(change: Callable[[list[Any]], list[Any]]) -> Shape:
    """Every list in the document changed."""

    def deep(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: deep(value) for key, value in node.items()}
        if isinstance(node, list):
            return change([deep(value) for value in node])
        return node

    return lambda given: given.saying(orjson.dumps(deep(parsed(given))))


def _other_ids(value: Any) -> Any:
    """Whatever looks like an id or a name, of somebody else."""
    if not isinstance(value, str) or not value:
        return value
    rng = random.Random(value)
    return "".join(rng.choice("0123456789abcdef") if c.isalnum() else c for c in value)


def _count(change: int) -> Callable[[Any], Any]:
    return lambda value: value + change if isinstance(value, int) and not isinstance(value, bool) else value


def says(body: bytes, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = JSON, **more: Any) -> Shape:
    return lambda given: Given(status, headers, body, **more)


def with_header(name: bytes, value: bytes) -> Shape:
    return lambda given: given.named(name, value)


def _fails(error: Exception) -> Shape:
    return lambda given: Given(error=error)


SHAPES: dict[str, Shape] = {
    # ---- half an answer, none, or another thing
    "truncated": lambda given: given.saying(given.body[: len(given.body) // 2]),
    "cut in the middle": lambda given: given.saying(given.body[: len(given.body) // 2], broken=httpx.ReadError("cut")),
    "cut at the end": lambda given: given.saying(given.body, broken=httpx.RemoteProtocolError("cut")),
    "silence": _fails(httpx.ReadTimeout("silence")),
    "empty": says(b""),
    "no content": says(b"", 204, ()),
    "reset content": says(b"", 205, ()),
    "start-up page": says(b"<html><title>Starting</title></html>", 200, HTML),
    "login page": says(LOGIN, 200, HTML),
    "login page that says it is JSON": says(LOGIN),
    "sent to the login page": says(b"", 302, ((b"location", b"/dhis-web-login/"),)),
    "sent to another server": says(b"", 307, ((b"location", b"https://elsewhere.example/"),)),
    "permanently moved": lambda given: Given(308, ((*given.headers, (b"location", b"/x"))), given.body),
    "not modified": lambda given: Given(304, (), b""),
    "a web page's content type": with_header(b"content-type", b"text/html"),
    "an XML content type": with_header(b"content-type", b"application/xml"),
    "XML": says(b'<?xml version="1.0"?><importSummary status="SUCCESS"/>', 200, ((b"content-type", b"text/xml"),)),
    "no content type": lambda given: given.named(b"content-type", None),
    # ---- JSON of another kind
    "a list": says(b"[]"),
    "a list of nothing": says(b"[null]"),
    "a list of lists": says(b"[[],[]]"),
    "an object": says(b"{}"),
    "a text": says(b'"x"'),
    "a number": says(b"1"),
    "null": says(b"null"),
    "true": says(b"true"),
    "only a word of success": says(b'{"status":"SUCCESS","ok":true,"httpStatus":"OK","httpStatusCode":200}'),
    "success without counts": says(b'{"status":"OK","response":{"status":"SUCCESS","importCount":{}}}'),
    "an empty bundle": says(b'{"resourceType":"Bundle","type":"transaction-response"}'),
    "success of an error": says(b'{"error":{"message":"no"},"status":"ERROR","message":"no","ok":false}'),
    "everything null": _leaves(lambda value: None),
    "everything text": _leaves(str),
    "everything a list": _leaves(lambda value: [value]),
    "everything an object": _leaves(lambda value: {"value": value}),
    "everything a number": _leaves(lambda value: 7),
    "everything true": _leaves(lambda value: True),
    "lists are objects": lambda given: given.saying(given.body.replace(b"[", b'{"0":[').replace(b"]", b"]}")),
    # ---- the right form with the wrong content
    "ids of another": _leaves(_other_ids),
    "counts short": _leaves(_count(-1)),
    "counts long": _leaves(_count(1)),
    "counts without end": _leaves(lambda v: 10**18 if isinstance(v, int) and not isinstance(v, bool) else v),
    "counts as truth": _leaves(lambda v: bool(v) if isinstance(v, int) else v),
    "counts as text": _leaves(lambda v: str(v) if isinstance(v, int) and not isinstance(v, bool) else v),
    "entries twice": _lists(lambda found: found + copy.deepcopy(found)),
    "first entry missing": _lists(lambda found: found[1:]),
    "last entry missing": _lists(lambda found: found[:-1]),
    "entries turned round": _lists(lambda found: found[::-1]),
    "no entries": _lists(lambda found: []),
    "entries null": _lists(lambda found: [None] * len(found)),
    # ---- the status says another thing than the body
    "500 with the genuine body": lambda given: Given(500, given.headers, given.body),
    "503 with the genuine body": lambda given: Given(503, given.headers, given.body),
    "409 with the genuine body": lambda given: Given(409, given.headers, given.body),
    "404 with the genuine body": lambda given: Given(404, given.headers, given.body),
    "202 with the genuine body": lambda given: Given(202, given.headers, given.body),
    "206 with half the body": lambda given: Given(206, given.headers, given.body[: len(given.body) // 2]),
    "a status that does not exist": lambda given: Given(799, given.headers, given.body),
    "401 with the genuine body": lambda given: Given(401, given.headers, given.body),
    # ---- too much
    "a flood": lambda given: Given(200, JSON, parts=flood),
    "a drip": lambda given: Given(200, JSON, parts=drip),
    "a flood of an error": lambda given: Given(500, JSON, parts=flood),
    "a gzip bomb": lambda given: Given(200, (*JSON, (b"content-encoding", b"gzip")), bomb(96)),
    "a bomb in a bomb": lambda given: Given(200, (*JSON, (b"content-encoding", b"gzip, gzip")), bomb(96, 2)),
    "a bomb that says deflate": lambda given: Given(200, (*JSON, (b"content-encoding", b"deflate")), bomb(96, 1, 15)),
    "nested 10,000 deep": says(b"[" * 10_000 + b"]" * 10_000),
    "objects nested 10,000 deep": says(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    "a number of 5,000 digits": lambda given: given.saying(given.body.replace(b"1", b"9" * 5000)),
    "numbers beyond a double": lambda given: given.saying(b'{"a":1e999}'),
    "not a number": lambda given: given.saying(given.body.replace(b"1", b"NaN")),
    # ---- letters
    "garbage": says(bytes(range(256)) * 8),
    "garbage inside a text": lambda given: given.saying(given.body.replace(b'"', b'"\xff\xfe', 3)),
    "half a surrogate": lambda given: given.saying(given.body.replace(b'"', b'"\\ud800', 3)),
    "UTF-16": lambda given: given.saying(given.body.decode("utf-8", "replace").encode("utf-16")),
    "a byte order mark": lambda given: given.saying(b"\xef\xbb\xbf" + given.body),
    "two documents": lambda given: given.saying(given.body + given.body),
    "noughts and line ends in texts": _leaves(lambda v: f"{v}\0\r\nX: 1" if isinstance(v, str) else v),
    # ---- packed in another way than said
    "gzip that is none": with_header(b"content-encoding", b"gzip"),
    "gzip not said": lambda given: given.saying(gzip.compress(given.body)),
    "gzip without its end": lambda given: given.saying(gzip.compress(given.body)[:-12]).named(*GZIP),
    "gzip that goes on": lambda given: given.saying(gzip.compress(given.body) + b"x" * 1000).named(*GZIP),
    "gzip": lambda given: given.saying(gzip.compress(given.body)).named(*GZIP),
    "an unknown packing": with_header(b"content-encoding", b"secret"),
    "zstandard": with_header(b"content-encoding", b"zstd"),
    # ---- headers
    "a header in a header": with_header(b"retry-after", b"1\r\nX-Injected: yes"),
    "a place that is none": lambda given: Given(301, ((b"location", b"http://[::1\r\nx:y"),), b""),
    "a wait without end": lambda given: Given(503, (*JSON, (b"retry-after", b"9" * 400)), b"{}"),
    "a wait until no day": lambda given: Given(
        429, (*JSON, (b"retry-after", b"Sun, 99 Nov 99999999999 16:00:00 GMT"), (b"date", b"\xff")), b"{}"
    ),
    "cookies": lambda given: Given(
        given.status, (*given.headers, (b"set-cookie", b"JSESSIONID=1; Max-Age=" + b"9" * 30 + b'; ="\xff')), given.body
    ),
}

#: After these the answer says what it said before: it may be believed.
HARMLESS = {"no content type", "a header in a header", "cookies", "gzip"}


# ---------------------------------------------------------------- by chance

_JUNK: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 7, 10**18, 2**63, 1.5, "", "x", "0", "1", "SUCCESS", "OK", "ERROR", "true", "\0",
    "../../x?y#z", "a b\r\n", "2026-13-45T99:99:99", "9" * 300, "é" * 40, [], {}, [[]], [None], [1], ["x"], {"a": 1},
    {"uuid": "x"}, [{}],
)  # fmt: skip
_STATUSES = (
    200, 200, 201, 202, 203, 204, 205, 206, 207, 226, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405,
    406, 408, 409, 410, 411, 412, 413, 414, 415, 418, 422, 423, 424, 425, 426, 428, 429, 431, 444, 451, 499, 500, 501,
    502, 503, 504, 505, 507, 508, 511, 520, 524, 599, 799, 999,
)  # fmt: skip
_TYPES = (b"text/html", b"text/plain", b"application/xml", b"application/json; charset=latin-1", b"", b"\xff", b"json")
_WORDS = (
    "status", "response", "importCount", "imported", "updated", "ignored", "deleted", "conflicts", "errorCode",
    "rejectedIndexes", "indexes", "dataValues", "dataSets", "value", "uuid", "results", "error", "message", "entry",
    "resourceType", "type", "outcome", "location", "id", "ok", "rev", "_id", "_rev", "doc", "changes", "pending",
    "last_seq", "voided", "appointmentNumber", "identifier", "obs", "globalErrors", "fieldErrors", "issue", "reason",
)  # fmt: skip


def _paths(node: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in the document but the document itself, at most a few hundred."""
    items: Any = ()
    if isinstance(node, dict):
        items = list(node.items())
    elif isinstance(node, list):
        items = list(enumerate(node[:20]))
    for key, value in items:
        yield (*here, key)
        if len(here) < 12:
            yield from _paths(value, (*here, key))


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def junk(rng: random.Random, depth: int = 0) -> Any:
    """Any JSON, in the words the targets use."""
    kind = rng.random()
    if depth > 3 or kind < 0.45:
        return copy.deepcopy(rng.choice(_JUNK))
    if kind < 0.65:
        return [junk(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(_WORDS): junk(rng, depth + 1) for _ in range(rng.randrange(5))}


def _change(rng: random.Random, document: Any) -> Any:
    """One place of the document changed."""
    places = list(_paths(document))
    if not places:
        return junk(rng)
    path = rng.choice(places)
    holder, key = _at(document, path[:-1]), path[-1]
    value = holder[key]
    match rng.randrange(10):
        case 0:
            del holder[key]
        case 1 | 2:
            holder[key] = copy.deepcopy(rng.choice(_JUNK))
        case 3:
            holder[key] = junk(rng)
        case 4 if isinstance(value, int):
            holder[key] = value + rng.choice((-1, 1, 10))
        case 5 if isinstance(value, list) and value:
            value.insert(rng.randrange(len(value) + 1), copy.deepcopy(rng.choice(value)))
        case 6 if isinstance(value, list) and value:
            value.pop(rng.randrange(len(value)))
        case 7 if isinstance(value, list):
            rng.shuffle(value)
        case 8:  # what stands at another place
            holder[key] = copy.deepcopy(_at(document, rng.choice(places)))
        case 9 if isinstance(value, str):
            holder[key] = _other_ids(value)
        case _:
            holder[key] = [value]
    return document


def mutated(rng: random.Random, given: Given) -> Given:
    """The genuine answer, changed by chance: in its content, its bytes, its status or its headers."""
    kind = rng.random()
    document = parsed(given)
    if kind < 0.55 and document is not None:
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            document = _change(rng, document)
        try:
            given = given.saying(json.dumps(document).encode())
        except (ValueError, RecursionError):
            given = given.saying(b"[]")
    elif kind < 0.65:
        given = given.saying(json.dumps(junk(rng)).encode())
    elif kind < 0.72:
        given = given.saying(rng.randbytes(rng.randrange(200)))
    elif kind < 0.80 and given.body:
        body = bytearray(given.body)
        for _ in range(rng.randrange(1, 5)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        given = given.saying(bytes(body))
    elif kind < 0.86:
        given = given.saying(given.body[: rng.randrange(len(given.body) + 1)])
    elif kind < 0.97:
        name = rng.choice([n for n in SHAPES if "bomb" not in n and "flood" not in n])
        given = SHAPES[name](given)
    if rng.random() < 0.25:
        given = Given(rng.choice(_STATUSES), given.headers, given.body, given.parts, given.broken, given.error)
    if rng.random() < 0.05:
        given = given.named(b"content-type", rng.choice(_TYPES))
    if rng.random() < 0.05:
        given = given.named(b"retry-after", rng.choice((b"0", b"-5", b"1e9", b"soon", b"\xb2", b"99999999999999")))
    return given
