"""Requests and answers as DHIS2 2.42 shapes them, whatever they are about."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import orjson

from connector.sandbox.dhis2_import import Summary
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
    415: "Unsupported Media Type",
    500: "Internal Server Error",
    501: "Not Implemented",
}
_MESSAGE = {
    "SUCCESS": ("OK", 200, "Import was successful."),
    "WARNING": ("WARNING", 409, "One more conflicts encountered, please check import summary."),
    "ERROR": ("ERROR", 409, "An error occurred, please check import summary."),
}
HTML_404 = (
    '<!doctype html><html lang="en"><head><title>HTTP Status 404 – Not Found</title></head>'
    "<body><h1>HTTP Status 404 – Not Found</h1></body></html>"
)


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


def parsed(raw: bytes) -> Any:
    """The posted JSON; None for what is none. Compressed bodies and a byte order mark are taken (179, 188, 189)."""
    try:
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        return orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, OSError):
        return None


def imported(summary: Summary, status: str, description: str, options: Json, *, complete: bool) -> Answer:
    outer, code, message = _MESSAGE[status]
    response = {
        "responseType": "ImportSummary",
        "status": status,
        "importOptions": options,
        "description": description,
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
