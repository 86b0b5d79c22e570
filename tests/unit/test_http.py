"""How an exchange can end, and that each end is told apart: sent or not decides whether it may be sent again."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import tracemalloc
import zlib
from datetime import timedelta
from typing import Any

import httpx
import pytest

from connector.errors import ConfigError
from connector.http import (
    Answer,
    Lost,
    NotJson,
    NotSent,
    TooBig,
    exact_json,
    make_client,
    read_json,
    read_with_retries,
    request,
    retry_after,
)


def answering(*answers: httpx.Response | Exception, seen: list[httpx.Request] | None = None) -> httpx.MockTransport:
    """A transport that gives these answers in turn, the last one for ever."""
    queue = list(answers)

    def handler(asked: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(asked)
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return httpx.MockTransport(handler)


def ask(transport: httpx.MockTransport, method: str = "GET", **kwargs: Any) -> Answer:
    async def go() -> Answer:
        async with make_client("http://127.0.0.1:1", transport=transport) as client:
            return await request(client, method, "/x", **kwargs)

    return asyncio.run(go())


def read(transport: httpx.MockTransport, **kwargs: Any) -> Answer:
    async def go() -> Answer:
        async with make_client("http://127.0.0.1:1", transport=transport) as client:
            return await read_with_retries(client, "/x", **kwargs)

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError, NotSent),
        (httpx.ConnectTimeout, NotSent),
        (httpx.PoolTimeout, NotSent),
        (httpx.ReadError, Lost),
        (httpx.ReadTimeout, Lost),
        (httpx.WriteError, Lost),
        (httpx.WriteTimeout, Lost),
        (httpx.CloseError, Lost),
        (httpx.RemoteProtocolError, Lost),
    ],
)
def test_transport_errors_say_whether_anything_was_sent(error: type[Exception], kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised:
        ask(answering(error("http://user:secret@h/?name=Awa")), "PUT")
    assert type(raised.value) is kind
    assert "secret" not in str(raised.value) and "Awa" not in str(raised.value)


def test_a_closed_port_and_an_unknown_name_are_not_sent() -> None:
    async def go(address: str) -> None:
        async with make_client(address) as client:
            await request(client, "POST", "/x", json={})

    for address in ("http://127.0.0.1:9", "https://relais.invalid"):
        with pytest.raises(NotSent):
            asyncio.run(go(address))


class Parts(httpx.AsyncByteStream):
    """A body that comes in parts, as over a network; it counts how many were taken."""

    def __init__(self, *parts: bytes) -> None:
        self.parts, self.taken = parts, 0

    async def __aiter__(self) -> Any:
        for part in self.parts:
            self.taken += 1
            yield part


class Broken(httpx.AsyncByteStream):
    async def __aiter__(self) -> Any:
        yield b'{"a":'
        raise httpx.ReadError("reset")


def test_an_answer_that_breaks_off_is_lost_with_its_status() -> None:
    with pytest.raises(Lost) as raised:
        ask(answering(httpx.Response(200, stream=Broken())))
    assert raised.value.status == 200


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_is_read_up_to_its_bound_counted_unpacked(packed: bool) -> None:
    body = json.dumps(["x" * 5000]).encode()
    headers = {"content-encoding": "gzip"} if packed else {}
    parts = Parts(*[gzip.compress(body, mtime=0)] if packed else [body[:3000], body[3000:4500], body[4500:]])
    with pytest.raises(TooBig):
        ask(answering(httpx.Response(200, stream=parts, headers=headers)), max_bytes=4000)
    assert parts.taken == (1 if packed else 2)  # nothing is read beyond the bound
    with pytest.raises(TooBig):
        ask(answering(httpx.Response(200, content=body)), max_bytes=4000)
    assert ask(answering(httpx.Response(200, content=body)), max_bytes=len(body)).json() == ["x" * 5000]


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip, gzip", gzip.compress(gzip.compress(b"[]", mtime=0), mtime=0)),
        ("deflate", zlib.compress(b"[]")),
        ("br", b"[]"),
        ("gzip", b"[]"),
        ("gzip", gzip.compress(b"[]", mtime=0)[:-4]),
        ("gzip", gzip.compress(b"[]", mtime=0) + b"[]"),
    ],
)
def test_a_packing_that_was_not_asked_for_or_is_not_whole_is_no_answer(coding: str, body: bytes) -> None:
    for parts in ([body], [body[:-1], body[-1:]]):
        with pytest.raises(Lost) as raised:
            ask(answering(httpx.Response(200, stream=Parts(*parts), headers={"content-encoding": coding})))
        assert raised.value.status == 200


def test_a_bomb_is_not_unpacked_beyond_the_bound() -> None:
    body = gzip.compress(bytes(200 * 1024 * 1024), 1, mtime=0)
    tracemalloc.start()
    try:
        with pytest.raises(TooBig):
            bomb = httpx.Response(200, stream=Parts(body), headers={"content-encoding": "gzip"})
            ask(answering(bomb), max_bytes=4000)
        assert tracemalloc.get_traced_memory()[1] < 2 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_an_exchange_ends_at_its_deadline_however_it_drips() -> None:
    class Drip(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            while True:
                yield b" "
                await asyncio.sleep(0.01)

    async def silent(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(10)
        raise AssertionError("never")

    with pytest.raises(Lost) as raised:
        ask(answering(httpx.Response(200, stream=Drip())), deadline=0.1)
    assert raised.value.status == 200
    with pytest.raises(Lost) as raised:
        ask(httpx.MockTransport(silent), "PUT", deadline=0.1)
    assert type(raised.value) is Lost and raised.value.status is None


def test_an_address_that_cannot_be_is_not_sent() -> None:
    seen: list[httpx.Request] = []

    async def go() -> None:
        async with make_client("http://127.0.0.1:1", transport=answering(httpx.Response(200), seen=seen)) as client:
            await request(client, "GET", "/patient/an id\r\nof theirs")

    with pytest.raises(NotSent):
        asyncio.run(go())
    assert not seen


def test_a_web_page_or_half_a_body_is_not_json() -> None:
    page = httpx.Response(200, html="<title>CHT is starting</title>")  # findings-cht 23
    for answer in (page, httpx.Response(200, content=b'{"a":[1,'), httpx.Response(200, content=b"")):
        with pytest.raises(NotJson) as raised:
            ask(answering(answer)).json()
        assert raised.value.status == 200


def test_read_json_takes_a_response_streamed_or_read() -> None:
    async def go(stream: bool) -> Any:
        transport = answering(httpx.Response(200, json={"a": 1}))
        async with make_client("http://localhost", transport=transport) as client:
            response = await client.send(client.build_request("GET", "/"), stream=stream)
            return await read_json(response)

    assert asyncio.run(go(True)) == asyncio.run(go(False)) == {"a": 1}


def test_reads_are_asked_again_writes_and_refusals_are_not() -> None:
    seen: list[httpx.Request] = []
    good = httpx.Response(200, json=1)
    assert read(answering(httpx.ReadError("x"), httpx.Response(502), good, seen=seen)).json() == 1
    assert len(seen) == 3
    for once in (
        httpx.Response(401),
        httpx.Response(403),
        httpx.Response(429),
        httpx.Response(500),
        httpx.Response(503, headers={"retry-after": "9"}),
    ):
        seen.clear()
        assert read(answering(once, seen=seen)).status == once.status_code
        assert len(seen) == 1
    seen.clear()
    with pytest.raises(Lost):
        ask(answering(httpx.ReadError("x"), seen=seen), "PUT")
    assert len(seen) == 1


def test_reads_give_up_after_three_tries_with_what_came_last() -> None:
    seen: list[httpx.Request] = []
    assert read(answering(httpx.Response(503), seen=seen)).status == 503
    assert len(seen) == 3
    seen.clear()
    with pytest.raises(NotSent):
        read(answering(httpx.ConnectError("x"), seen=seen))
    assert len(seen) == 3


def test_no_redirect_is_followed_and_no_cookie_kept() -> None:
    seen: list[httpx.Request] = []
    moved = httpx.Response(302, headers={"location": "http://elsewhere/", "set-cookie": "JSESSIONID=1"})

    async def go() -> list[int]:
        async with make_client("http://127.0.0.1", transport=answering(moved, seen=seen)) as client:
            return [(await request(client, "GET", "/x")).status for _ in range(2)]

    assert asyncio.run(go()) == [302, 302]
    assert all(r.url.host == "127.0.0.1" and "cookie" not in r.headers for r in seen)


def test_what_is_sent_with_every_request() -> None:
    seen: list[httpx.Request] = []

    async def go(**credentials: Any) -> httpx.Headers:
        ok = answering(httpx.Response(200), seen=seen)
        async with make_client("https://h.example/fhir", transport=ok, **credentials) as client:
            await request(client, "GET", "/Patient")
        return seen[-1].headers

    plain = asyncio.run(go())
    assert plain["accept"] == "application/json" and "authorization" not in plain
    assert str(seen[-1].url) == "https://h.example/fhir/Patient"
    assert asyncio.run(go(user="u", password="p"))["authorization"] == "Basic dTpw"
    both = asyncio.run(go(user="u", password="p", token="ApiToken d2p_1"))
    assert both.get_list("authorization") == ["ApiToken d2p_1"], "the token is preferred"
    assert asyncio.run(go(token="abc"))["authorization"] == "Bearer abc"
    assert asyncio.run(go(token="ApiToken d2pat_1"))["authorization"] == "ApiToken d2pat_1"


def test_clear_text_to_another_machine_needs_to_be_asked_for() -> None:
    for address in ("http://dhis2.example.org", "ftp://h", "no address", "https://user:secret@h.example"):
        with pytest.raises(ConfigError) as raised:
            make_client(address)
        assert "secret" not in str(raised.value)
    for address in ("http://127.0.0.1:8080", "http://localhost", "http://[::1]:1", "https://dhis2.example.org"):
        make_client(address)
    make_client("http://dhis2.example.org", insecure=True)


def test_passwords_are_in_no_repr_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    client = make_client("http://127.0.0.1", user="relais", password="tr0ubador", token="t0ken")
    assert "tr0ubador" not in repr(client) + repr(client.headers) + repr(vars(client))
    assert "t0ken" not in repr(client.headers)
    assert "Awa" not in repr(Answer(200, httpx.Headers(), b"Awa"))
    with caplog.at_level(logging.DEBUG):
        ask(answering(httpx.Response(200)))
    assert "tr0ubador" not in caplog.text


def test_retry_after_in_seconds_or_as_a_date() -> None:
    date = "Sun, 22 Nov 2026 16:00:00 GMT"
    later = "Sun, 22 Nov 2026 16:02:00 GMT"
    assert retry_after({"retry-after": "90"}) == timedelta(seconds=90)
    assert retry_after({"retry-after": later, "date": date}) == timedelta(seconds=120)
    assert retry_after({"retry-after": date, "date": later}) == timedelta(0)
    assert retry_after({"retry-after": "999999999"}) == timedelta(days=1)
    assert retry_after({"retry-after": "soon"}) is None and retry_after({}) is None
    assert retry_after({"retry-after": later.replace("GMT", "-0000"), "date": date}) == timedelta(seconds=120)
    for day in ("Sun, 99 Nov 99999999999 16:00:00 GMT", f"Sun, 22 Nov 2026 16:00:00 +{'9' * 30}", "\u00b2"):
        assert retry_after({"retry-after": day, "date": date}) is None
    # Without the server's own clock a date says nothing: ours may be a day off, either way.
    for own in ({}, {"date": "no day"}):
        assert retry_after({"retry-after": later, **own}) is None


def test_exact_json_changes_no_number() -> None:
    text = '{"a":39.10,"b":7,"c":12345678901234567890,"d":1e3,"e":-0.5,"f":true}'
    wanted = {"a": "39.10", "b": 7, "c": "12345678901234567890", "d": "1e3", "e": "-0.5", "f": True}
    assert exact_json(text) == wanted
    for refused in ("NaN", '"\\ud800"', "[" * 5000 + "]" * 5000, "{", ""):
        with pytest.raises(ValueError):
            exact_json(refused)
