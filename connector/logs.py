"""JSON logs on stderr in which only listed fields can appear.

A log line is a *name* of what happened (``delivery.parked``) and fields that can hold no personal data. What is not
on the list is dropped, not masked: a new field has to be put on the list by somebody who thought about it. Messages
of libraries (URLs, SQL parameters, exception texts) are dropped too; their place in the code is kept.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

#: Ids of ours, codes, counts and times. No ids of people, no names, no URLs, no texts of answers.
ALLOWED = frozenset(
    {
        "event", "level", "at", "logger", "where", "exception",
        "run", "job", "schedule", "connection", "source", "target", "stream", "form", "indicator", "data_set",
        "org_unit", "period", "delivery", "attempt", "generation", "kind", "state", "verdict", "reason", "code",
        "who", "breaker", "http_status", "due_at", "tries", "seconds", "records", "received", "new", "repeated",
        "quarantined", "accepted", "rejected", "deferred", "unknown", "waiting", "cells", "changed", "entries",
        "bytes", "behind", "host", "port", "version", "env", "method", "route", "status", "outcome", "count",
        "insecure",
    }
)  # fmt: skip
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
_LONGEST = 200


def _place(error: BaseException) -> str:
    """``module.py:line`` of the innermost frame."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""


def _error_of(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1] if exc_info else None


def only_allowed(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """structlog processor: keeps the listed fields with plain values, the class and place of an exception."""
    error = _error_of(fields.pop("exc_info", None))
    kept: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in ALLOWED:
            continue
        if value is None or isinstance(value, bool | int | float):
            kept[name] = value
        else:
            kept[name] = str(value)[:_LONGEST]
    if not _NAME.fullmatch(str(kept.get("event", ""))):
        kept["event"] = "log.unnamed"  # a sentence may hold anything
    if error is not None:
        kept["exception"] = type(error).__name__
        kept.setdefault("where", _place(error))
    return kept


class _Libraries(logging.Handler):
    """Warnings of libraries, by their place only."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno,
            "library.message",
            logger=record.name,
            where=f"{record.filename}:{record.lineno}",
            exc_info=record.exc_info,
        )


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Once, at the start of a command. ``level``: debug, info, warning, error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            only_allowed,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Libraries()]
    root.setLevel(logging.WARNING)


def get(**fields: Any) -> Any:
    """A logger; ``log = logs.get(connection="dhis2"); log.info("delivery.accepted", delivery=7)``."""
    return structlog.get_logger(**fields)
