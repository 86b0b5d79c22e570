"""Names and numbers of patients stay hidden unless the role needs them, and each look is written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.web.fixture import FOUND, NAME, PHONE, SITE, House, csrf_of, sign_in, visible
from tests.web.test_pages import PAGES

RECORD = "/fiches/cht/reports/3c91-7be0"


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_no_page_names_a_patient(build: Callable[..., House], role: str) -> None:
    house = build(env="production")

    async def look() -> None:
        async with house.client() as client:
            assert (await sign_in(client, role)).status_code == 303
            for path in [
                *PAGES,
                "/api/v1/deliveries",
                "/api/v1/quarantine",
                "/api/v1/trace/cht/reports/3c91-7be0",
                "/metrics",
                "/status.json",
            ]:
                text = (await client.get(path)).text
                assert NAME not in text and PHONE not in text, path
                assert FOUND.split()[0] not in text, path

    asyncio.run(look())
    written = {
        (event, subject) for what, event, subject, by in house.actions.calls if what == "read_audit" and by == role
    }
    assert {event for event, _ in written} == {"record.read", "record.traced", "value.explained"}
    assert ("record.read", "cht/reports/3c91-7be0") in written, "what happened to her is personal, too"


def test_the_clinic_sees_the_names_of_the_referred_and_it_is_written_down(build: Callable[..., House]) -> None:
    house = build(env="production")

    async def look() -> None:
        async with house.client() as client:
            await sign_in(client, "clinic")
            text = visible((await client.get("/references")).text)
            assert NAME in text and PHONE not in text
            assert f"Diagnostic\N{NO-BREAK SPACE}: {FOUND}" in text, (
                "what the clinic found, for those who see whom it is about"
            )
            assert NAME not in (await client.get(RECORD)).text

    asyncio.run(look())
    assert house.actions.calls == [
        ("read_audit", "referrals.read", "references:open", "clinic"),
        ("read_audit", "record.read", "cht/reports/3c91-7be0", "clinic"),
    ]


def test_workers_are_numbers_to_a_viewer(build: Callable[..., House]) -> None:
    house = build(env="production")
    path = f"/valeur?de=MH_B02_NUM&ou={SITE}&pe=202610&co=A1_M2_11"

    async def look(role: str) -> str:
        async with house.client() as client:
            await sign_in(client, role)
            return visible((await client.get(path)).text)

    assert "Awa Diarra" in asyncio.run(look("operator"))
    hidden = asyncio.run(look("viewer"))
    assert "Awa Diarra" not in hidden and "asc-001" not in hidden and "ASC 1" in hidden


def test_unmasking_needs_a_reason_and_is_audited_first(build: Callable[..., House]) -> None:
    house = build()
    shown_before_audit: list[bool] = []
    trace = house.context.trace

    def watched(record: str, unmask: bool = False) -> object:
        if unmask:
            shown_before_audit.append(not any("unmasked" in call[1] for call in house.actions.calls))
        return trace(record, unmask)

    object.__setattr__(house.context, "trace", watched)

    async def act() -> None:
        async with house.client() as client:
            page = (await client.get(RECORD)).text
            assert NAME not in page
            answer = await client.post(RECORD, data={"csrf": csrf_of(page), "reason": ""})
            assert answer.status_code == 422 and NAME not in answer.text
            answer = await client.post(RECORD, data={"csrf": csrf_of(page), "reason": "care"})
            assert answer.status_code == 200 and NAME in answer.text and PHONE in answer.text
            assert answer.headers["cache-control"] == "no-store"
            assert NAME not in (await client.get(RECORD)).text, "shown once, not for ever"

    asyncio.run(act())
    unmasked = [call for call in house.actions.calls if call[1] != "record.read"]
    assert unmasked == [("read_audit", "record.unmasked.care", "cht/reports/3c91-7be0", "demo")]
    assert shown_before_audit == [False]


def test_a_viewer_cannot_unmask(build: Callable[..., House]) -> None:
    house = build(env="production")

    async def act() -> None:
        async with house.client() as client:
            await sign_in(client, "viewer")
            page = (await client.get(RECORD)).text
            answer = await client.post(RECORD, data={"csrf": csrf_of(page), "reason": "care"})
            assert answer.status_code == 403 and NAME not in answer.text

    asyncio.run(act())
    assert [call[1] for call in house.actions.calls] == ["record.read"]
