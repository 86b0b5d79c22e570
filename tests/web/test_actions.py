"""What a person may do: only from our own page, only with the role, only on what was chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import insert, select

from connector.store.tables import delivery
from tests.web.fixture import SITE, House, csrf_of, frozen_of, sign_in, visible

POSTS = [
    ("/envois", {"do": "retry", "id": "1"}),
    ("/envois/1", {"do": "retry"}),
    ("/connexions/cht", {"do": "pause", "reason": "r"}),
    ("/valeur", {"cell": "5", "decision": "keep"}),
    ("/quarantaine", {"do": "ticked", "id": "1"}),
    ("/fiches/cht/reports/3c91-7be0", {"reason": "care"}),
]


def run(house: House, steps: Callable[[httpx.AsyncClient], object]) -> None:
    async def inside() -> None:
        async with house.client(headers={"accept-language": "en"}) as client:
            await steps(client)  # type: ignore[misc]

    asyncio.run(inside())


@pytest.mark.parametrize(("path", "data"), POSTS)
def test_nothing_happens_without_our_own_token(build: Callable[..., House], path: str, data: dict[str, str]) -> None:
    house = build()

    async def steps(client: httpx.AsyncClient) -> None:
        token = csrf_of((await client.get("/envois")).text)
        other = build()
        async with other.client() as stranger:
            foreign = csrf_of((await stranger.get("/envois")).text)
        altered = token[:10] + ("B" if token[10] == "A" else "A") + token[11:]  # bits at the end may not count
        for tried in (None, "", "x", foreign, altered):
            answer = await client.post(path, data=data if tried is None else {**data, "csrf": tried})
            assert answer.status_code == 403
        for headers in (
            {"origin": "https://evil.example"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": "null"},
        ):
            assert (await client.post(path, data={**data, "csrf": token}, headers=headers)).status_code == 403

    run(house, steps)
    assert not house.actions.acts


@pytest.mark.parametrize(("path", "data"), POSTS)
def test_a_viewer_may_not(build: Callable[..., House], path: str, data: dict[str, str]) -> None:
    house = build(env="production")

    async def steps(client: httpx.AsyncClient) -> None:
        await sign_in(client, "viewer")
        page = (await client.get("/envois")).text
        answer = await client.post(path, data={**data, "csrf": csrf_of(page)})
        assert answer.status_code == 403 and "For another role" in visible(answer.text)

    run(house, steps)
    assert not house.actions.acts


@pytest.mark.parametrize(("path", "data"), POSTS)
def test_nobody_signed_in_is_sent_to_sign_in(build: Callable[..., House], path: str, data: dict[str, str]) -> None:
    house = build(env="production")

    async def steps(client: httpx.AsyncClient) -> None:
        token = csrf_of((await client.get("/connexion")).text)
        answer = await client.post(path, data={**data, "csrf": token})
        assert answer.status_code == 303 and answer.headers["location"] == "/connexion"

    run(house, steps)
    assert not house.actions.acts


def test_retry_park_resolve_one(build: Callable[..., House]) -> None:
    house = build()

    async def steps(client: httpx.AsyncClient) -> None:
        token = csrf_of((await client.get("/envois/1")).text)
        answer = await client.post("/envois/1", data={"csrf": token, "do": "retry"})
        assert answer.status_code == 303
        assert "1 delivery taken up again" in visible((await client.get(answer.headers["location"])).text)
        answer = await client.post("/envois/1", data={"csrf": token, "do": "resolve"})
        assert answer.status_code == 422 and "The reason is missing" in visible(answer.text)
        await client.post("/envois/1", data={"csrf": token, "do": "resolve", "note": "agreed"})
        await client.post("/envois/4", data={"csrf": token, "do": "park", "note": "later"})
        assert (await client.post("/envois/1", data={"csrf": token, "do": "delete"})).status_code == 422

    run(house, steps)
    assert house.actions.acts == [
        ("retry", [1], "demo"),
        ("resolve", [1], "agreed", "demo"),
        ("park", [4], "later", "demo"),
    ]


@pytest.mark.parametrize("id", [3, 9, 2, 11])
def test_an_uncertain_running_or_settled_delivery_cannot_be_picked(build: Callable[..., House], id: int) -> None:
    house = build()

    async def steps(client: httpx.AsyncClient) -> None:
        page = (await client.get("/envois?state=all&before=50")).text
        assert f'value="{id}" aria-label="Pick delivery d-{id}" disabled' in page
        for path, data in ((f"/envois/{id}", {"do": "retry"}), ("/envois", {"do": "retry", "id": str(id)})):
            answer = await client.post(path, data={**data, "csrf": csrf_of(page)})
            assert answer.status_code == 303 and "done=" in answer.headers["location"]

    run(house, steps)
    assert [c for c in house.actions.acts if c[1]] == []


def test_ticked_ones_only(build: Callable[..., House]) -> None:
    house = build()

    async def steps(client: httpx.AsyncClient) -> None:
        page = (await client.get("/envois")).text
        body = {"csrf": csrf_of(page), "frozen": frozen_of(page), "do": "retry", "id": ["8", "1", "1", "x", "-4"]}
        await client.post("/envois", data=body)
        await client.post("/envois", data={**body, "do": "park", "note": "why"})

    run(house, steps)
    assert house.actions.acts == [("retry", [1, 8], "demo"), ("park", [1, 8], "why", "demo")]


def test_all_means_the_set_that_was_shown(build: Callable[..., House]) -> None:
    """A delivery that came after the page was drawn is not acted on, nor one that was settled meanwhile."""
    house = build()

    async def steps(client: httpx.AsyncClient) -> None:
        page = (await client.get("/envois?err=dhis2.E8020")).text
        assert "Choice frozen at 16:40: 2 deliveries." in visible(page)

        def change(unit: object) -> None:
            connection = unit.connection  # type: ignore[attr-defined]
            row = dict(connection.execute(select(delivery).where(delivery.c.id == 1)).mappings().one())
            connection.execute(insert(delivery), [row | {"id": 999, "key": "block/MH_SEC/late/202610"}])
            connection.execute(delivery.update().where(delivery.c.id == 8).values(state="accepted"))

        house.store.write(change)
        data = {"csrf": csrf_of(page), "frozen": frozen_of(page), "do": "retry-all", "err": "dhis2.E8020"}
        answer = await client.post("/envois?err=dhis2.E8020", data=data)
        assert answer.headers["location"].startswith("/envois?err=dhis2.E8020&done=")
        assert (await client.post("/envois", data={**data, "frozen": frozen_of(page)[:-3] + "abc"})).status_code == 422
        assert (await client.post("/envois", data={**data, "frozen": ""})).status_code == 422

    run(house, steps)
    assert house.actions.acts == [("retry", [1], "demo")]


def test_a_page_cannot_be_made_to_claim_that_something_was_done(build: Callable[..., House]) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        for done in ("retried.5", "cmV0cmllZC41", ""):
            assert 'role="status"' not in (await client.get("/envois", params={"done": done})).text

    run(build(), steps)


def test_a_held_value_is_kept_or_overwritten(build: Callable[..., House]) -> None:
    house = build()
    path = f"/valeur?de=MH_E05&ou={SITE}&pe=202610&co=A1_M12_59-SEX_M"

    async def steps(client: httpx.AsyncClient) -> None:
        page = (await client.get(path)).text
        assert "Keep 5" in visible(page) and "Send 1" in visible(page)
        for decision in ("keep", "overwrite"):
            answer = await client.post("/valeur", data={"csrf": csrf_of(page), "cell": "5", "decision": decision})
            assert answer.status_code == 303
        assert (
            await client.post("/valeur", data={"csrf": csrf_of(page), "cell": "5", "decision": "delete"})
        ).status_code == 422
        assert (
            await client.post("/valeur", data={"csrf": csrf_of(page), "cell": "77", "decision": "keep"})
        ).status_code == 404
        await client.post("/valeur", data={"csrf": csrf_of(page), "cell": "1", "decision": "overwrite"})

    run(house, steps)
    assert house.actions.acts == [("release", 5, "keep", "demo"), ("release", 5, "overwrite", "demo")], (
        "only a held value can be settled"
    )


def test_pause_and_resume(build: Callable[..., House]) -> None:
    house = build()

    async def steps(client: httpx.AsyncClient) -> None:
        token = csrf_of((await client.get("/")).text)
        data = {"csrf": token, "do": "pause", "name": "dhis2", "reason": "maintenance", "until": "2026-12-01"}
        assert (await client.post("/connexions/-", data=data)).status_code == 303
        assert (await client.post("/connexions/kobo", data={"csrf": token, "do": "resume"})).status_code == 303
        assert (await client.post("/connexions/dhis2", data={"csrf": token, "do": "try"})).status_code == 303
        assert (await client.post("/connexions/-", data={**data, "reason": ""})).status_code == 422
        assert (await client.post("/connexions/-", data={**data, "until": "soon"})).status_code == 422
        assert (await client.post("/connexions/-", data={**data, "name": "nowhere"})).status_code == 404
        assert (await client.post("/connexions/-", data={**data, "do": "stop"})).status_code == 422

    run(house, steps)
    assert house.actions.acts == [
        ("pause", "dhis2", "maintenance", datetime(2026, 12, 2, tzinfo=UTC), "demo"),
        ("resume", "kobo", "demo"),
        ("try_now", "dhis2", "demo"),
    ], "a pause ends with its last day, in the pack's zone"


def test_remap_a_group_and_ticked_ones(build: Callable[..., House]) -> None:
    house = build()

    async def steps(client: httpx.AsyncClient) -> None:
        page = (await client.get("/quarantaine")).text
        await client.post("/quarantaine", data={"csrf": csrf_of(page), "frozen": frozen_of(page), "do": "group"})
        await client.post("/quarantaine", data={"csrf": csrf_of(page), "do": "ticked", "id": ["3", "444"]})
        assert (
            await client.post("/quarantaine", data={"csrf": csrf_of(page), "do": "group", "frozen": "x"})
        ).status_code == 422

    run(house, steps)
    assert house.actions.acts == [("remap", [1, 2], "demo"), ("remap", [3], "demo")]


def test_a_form_too_large_is_refused(build: Callable[..., House]) -> None:
    house = build()

    async def steps(client: httpx.AsyncClient) -> None:
        token = csrf_of((await client.get("/envois")).text)
        assert (
            await client.post("/envois", data={"csrf": token, "do": "retry", "note": "x" * 300_000})
        ).status_code == 413

    run(house, steps)
    assert not house.actions.acts
