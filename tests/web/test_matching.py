"""Is it the same person? The clinic sees both sides and answers; who may not read names says why, or is shown none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.web.fixture import NAME, House, csrf_of, sign_in, visible
from tests.web.test_pages import Reader

ONE = "/rapprochements/1"


def words(text: str) -> str:
    """What is read, with plain blanks and apostrophes."""
    return " ".join(visible(text).replace("\xa0", " ").replace("\u202f", " ").replace("’", "'").split())


def as_role(house: House, role: str, steps: Callable[[httpx.AsyncClient], Any]) -> Any:
    async def inside() -> Any:
        async with house.client() as client:
            await sign_in(client, role)
            return await steps(client)

    return asyncio.run(inside())


def test_the_clinic_sees_both_sides_and_its_answer_is_kept_once(build: Callable[..., House]) -> None:
    house = build(env="production")

    async def steps(client: httpx.AsyncClient) -> None:
        page = await client.get(ONE)
        text = words(page.text)
        for word in (
            *NAME.split(),
            "10007JJ",
            "1000H7Y",
            "Pareil",
            "Proche",
            "14 mars 2000",
            "non renseigné",
            "Absent",
        ):
            assert word in text, word
        assert "4 champs s'accordent, 0 est proche, 0 s'oppose." in text
        reader = Reader(page.text)
        radios = [a["value"] for a in reader.all("input") if a.get("type") == "radio"]
        assert radios == ["8a1c", "8a1d", "new"]
        assert not reader.inline and not any("style" in attrs for _, attrs in reader.tags)
        data = {"csrf": csrf_of(page.text), "answer": "8a1c", "note": "confirmé par téléphone"}
        assert (await client.post(ONE, data={**data, "answer": ""})).status_code == 422
        assert (await client.post(ONE, data={**data, "answer": "nobody"})).status_code == 303
        answer = await client.post(ONE, data=data)
        assert answer.status_code == 303 and answer.headers["location"].startswith("/rapprochements?done=")
        after = words((await client.get(answer.headers["location"])).text)
        assert "au prochain passage" in after and "Personne n'attend" in after
        again = await client.post(ONE, data={**data, "answer": "new"})
        assert "Rien n'a changé" in words((await client.get(again.headers["location"])).text)

    as_role(house, "clinic", steps)
    assert house.context.matches.calls == [  # type: ignore[attr-defined]
        ("shown", 1, "clinic", ""), ("decide", 1, "8a1c", "confirmé par téléphone", "clinic"),
    ]  # fmt: skip


def test_none_of_them_is_an_answer_too(build: Callable[..., House]) -> None:
    house = build(env="production")

    async def steps(client: httpx.AsyncClient) -> None:
        page = await client.get(ONE)
        await client.post(ONE, data={"csrf": csrf_of(page.text), "answer": "new"})

    as_role(house, "clinic", steps)
    assert house.context.matches.calls[-1] == ("decide", 1, None, "", "clinic")  # type: ignore[attr-defined]


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_others_see_that_somebody_waits_and_no_name(build: Callable[..., House], role: str) -> None:
    house = build(env="production")

    async def steps(client: httpx.AsyncClient) -> None:
        listed = await client.get("/rapprochements")
        assert "1 personne attend" in words(listed.text)
        assert "waiting" not in listed.text and ONE in listed.text
        assert "/rapprochements" in (await client.get("/references")).text
        page = await client.get(ONE)
        assert page.status_code == 200 and NAME.split()[0] not in page.text
        token = csrf_of((await client.get("/references?lang=fr")).text)
        for path, data in ((ONE, {"answer": "new"}), (f"{ONE}/voir", {"reason": "care"})):
            assert (await client.post(path, data={"csrf": token, **data})).status_code == 403

    as_role(house, role, steps)
    assert house.context.matches.calls == []  # type: ignore[attr-defined]


def test_who_keeps_the_server_gives_a_reason_which_is_written_down(build: Callable[..., House]) -> None:
    house = build(env="production")

    async def steps(client: httpx.AsyncClient) -> None:
        page = await client.get(ONE)
        assert NAME.split()[0] not in page.text
        token = csrf_of(page.text)
        assert (await client.post(f"{ONE}/voir", data={"csrf": token, "reason": "curious"})).status_code == 422
        shown = await client.post(f"{ONE}/voir", data={"csrf": token, "reason": "support"})
        assert NAME.split()[0] in shown.text and 'value="new"' in shown.text

    as_role(house, "admin", steps)
    assert house.context.matches.calls == [("shown", 1, "admin", "support")]  # type: ignore[attr-defined]
