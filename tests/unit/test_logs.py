"""Nothing personal can get into a log line."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import structlog
import uvicorn

from connector import logs
from connector.cli.wiring import SERVER

CANARY = "Canary-Fanta +223 70 00 00 00"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    logs.configure("info", out)
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_its_name_level_time_and_listed_fields(stream: io.StringIO) -> None:
    logs.get(connection="dhis2").info("delivery.accepted", delivery=7, seconds=0.5, insecure=True, reason=None)
    (line,) = lines(stream)
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "delivery.accepted", "level": "info", "connection": "dhis2", "delivery": 7, "seconds": 0.5,
        "insecure": True, "reason": None,
    }  # fmt: skip


def test_what_is_not_on_the_list_is_dropped(stream: io.StringIO) -> None:
    logs.get(patient=CANARY).warning("record.mapped", name=CANARY, url=CANARY, records=3)
    assert CANARY not in stream.getvalue() and lines(stream)[0]["records"] == 3


def test_a_sentence_is_no_event(stream: io.StringIO) -> None:
    logs.get().info(f"could not send {CANARY}")
    assert lines(stream)[0]["event"] == "log.unnamed" and CANARY not in stream.getvalue()


def test_an_exception_is_named_by_its_class_and_place(stream: io.StringIO) -> None:
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        logs.get().error("job.failed", exc_info=True)
        logs.get().error("job.failed", exc_info=error)
    for line in lines(stream):
        assert line["exception"] == "ValueError" and line["where"].startswith("test_logs.py:")
    assert CANARY not in stream.getvalue()


def test_messages_of_libraries_are_reduced_to_their_place(stream: io.StringIO) -> None:
    logging.getLogger("httpx").info("GET https://example.org/%s", CANARY)
    logging.getLogger("sqlalchemy").warning("parameters: %s", CANARY)
    try:
        raise RuntimeError(CANARY)
    except RuntimeError:
        logging.getLogger("uvicorn").exception("failed %s", CANARY)
    found = lines(stream)
    assert [line["logger"] for line in found] == ["sqlalchemy", "uvicorn"]
    assert found[1]["exception"] == "RuntimeError"
    assert CANARY not in stream.getvalue()


def test_long_values_are_cut_and_line_ends_stay_inside_the_line(stream: io.StringIO) -> None:
    logs.get().info("page.received", reason="x\n" * 500)
    assert len(stream.getvalue().splitlines()) == 1 and len(lines(stream)[0]["reason"]) == 200


def test_the_level_is_kept(stream: io.StringIO) -> None:
    logs.get().debug("page.received")
    assert stream.getvalue() == ""


def test_an_error_in_a_page_is_told_by_its_place_alone(stream: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    """Served with the options of ``relais serve``: uvicorn would print the traceback and what stood in the request."""

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError(CANARY)

    server = uvicorn.Server(uvicorn.Config(broken, host="127.0.0.1", port=0, lifespan="off", **SERVER))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        assert httpx.get(f"http://127.0.0.1:{port}/{quote(CANARY)}").status_code == 500
    finally:
        server.should_exit = True
        thread.join()
    (line,) = lines(stream)
    assert (line["logger"], line["level"]) == ("uvicorn.error", "error") and "RuntimeError" in str(line)
    assert "Canary" not in stream.getvalue() + "".join(capfd.readouterr())
