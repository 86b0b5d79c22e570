"""Requests and answers as DHIS2 shapes them, whatever they are about."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import orjson

from connector.sandbox.dhis2_held import STRATEGIES, Summary, strategy_of
from connector.sandbox.dhis2_rules import Json

_JSON = "application/json;charset=UTF-8"
STATUS = {
    200: "OK",
    201: "Created",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
    501: "Not Implemented",
    504: "Gateway Timeout",
}
_MESSAGE = {
    "SUCCESS": ("OK", 200, "Import was successful."),
    "WARNING": ("WARNING", 409, "One more conflicts encountered, please check import summary."),
    "WARNED": ("WARNING", 200, "Import completed with warnings, please check import summary."),  # 2.43: 161
    "ERROR": ("ERROR", 409, "An error occurred, please check import summary."),
}
HTML_404 = (
    '<!doctype html><html lang="en"><head><title>HTTP Status 404 – Not Found</title></head>'
    "<body><h1>HTTP Status 404 – Not Found</h1></body></html>"
)


_SCHEMES = re.compile(r"UID|CODE|NAME")


class Answer(Exception):
    """The answer to the request being worked on."""

    def __init__(self, status: int, body: Any = None, *, content_type: str | None = _JSON, location: str = "") -> None:
        super().__init__(status)
        self.status, self.content_type, self.location = status, content_type, location
        self.body = b"" if body is None else body.encode() if isinstance(body, str) else orjson.dumps(body)


def said(status: int, message: str, code: str = "") -> Answer:
    """The short form of a DHIS2 answer: a status and a message."""
    kind = "OK" if status < 300 else "ERROR"
    body = {"httpStatus": STATUS[status], "httpStatusCode": status, "status": kind, "message": message}
    return Answer(status, {**body, "errorCode": code} if code else body)


class Request:
    def __init__(self, scope: Mapping[str, Any], body: bytes) -> None:
        self.method: str = scope["method"]
        self.path: str = re.sub(r"^/api/\d+/", "/api/", scope["path"])  # 030, 031, 192: any version prefix
        self.headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.query = parse_qs(scope.get("query_string", b"").decode(), keep_blank_values=True)
        self.body = body

    def one(self) -> dict[str, str]:
        return {name: values[-1] for name, values in self.query.items()}

    def many(self, name: str) -> list[str]:
        return self.query.get(name, [])


def unpacked(raw: bytes) -> bytes:
    """The body as it was before it was compressed, whatever the header says (188, 189). Raises ValueError."""
    try:
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError) as error:
        raise ValueError(str(error)) from error


def parsed(raw: bytes) -> Any:
    """The posted JSON; None for what is none. A byte order mark is taken (179)."""
    try:
        return orjson.loads(unpacked(raw).removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        return None


def check_options(given: Mapping[str, Any]) -> None:
    """Import options of the query or of a body. Raises Answer."""
    for name, value in given.items():
        if name.lower().endswith("idscheme") and not _SCHEMES.fullmatch(str(value).upper()):  # 210
            raise said(400, f"Value '{value}' is not valid for parameter {name}. Validation failed")
    strategy = given.get("importStrategy")
    if strategy is not None and str(strategy).upper() not in STRATEGIES:  # 064
        raise said(
            400,
            f"Value '{strategy}' is not valid for parameter importStrategy. Valid values are: "
            "[CREATE, UPDATE, CREATE_AND_UPDATE, DELETE, SYNC, NEW_AND_UPDATES, NEW, UPDATES, DELETES]",
        )


def echoed(query: Mapping[str, str]) -> Json:
    """The import options, as every summary repeats them (shortened)."""
    return {
        **{name: query.get(name) == "true" for name in ("dryRun", "force")},
        "async": False,
        "importStrategy": strategy_of(query),
        "idSchemes": {},
        **{name: query.get(name) == "true" for name in query if name.startswith("strict")},
    }


def imported(summary: Summary, status: str, options: Json, *, description: str = "", complete: bool = True) -> Answer:
    """An import summary in its envelope. ``status``: SUCCESS, ERROR, WARNING (409, 2.42) or WARNED (200, 2.43)."""
    outer, code, message = _MESSAGE[status]
    response = {
        "responseType": "ImportSummary",
        "status": outer if outer == "WARNING" else status,
        "importOptions": options,
        **({"description": description} if description else {}),
        "importCount": summary.counts,
        "conflicts": summary.conflicts,
        "rejectedIndexes": summary.rejected,
    }
    if complete:
        response["dataSetComplete"] = summary.complete
    return Answer(
        code,
        {
            "httpStatus": STATUS[code],
            "httpStatusCode": code,
            "status": outer,
            "message": message,
            "response": response,
        },
    )
