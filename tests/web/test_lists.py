"""Filters live in the address, pages go by key: nothing twice, nothing skipped, in either direction."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import httpx
from sqlalchemy import insert

from connector.store.tables import quarantine
from tests.web.fixture import House, stamp, visible


def ids_of(text: str) -> list[int]:
    return [int(i) for i in re.findall(r'<th scope="row"><a href="/envois/(\d+)', text)]


def link(text: str, words: str) -> str | None:
    found = re.search(rf'<a class="btn" href="([^"]+)">{words}</a>', text)
    return found[1].replace("&amp;", "&") if found else None


def run(house: House, steps: Callable[[httpx.AsyncClient], object]) -> object:
    async def inside() -> object:
        async with house.client(headers={"accept-language": "en"}) as client:
            return await steps(client)  # type: ignore[misc]

    return asyncio.run(inside())


def test_keyset_pages_there_and_back(house: House) -> None:
    async def walk(client: httpx.AsyncClient) -> None:
        forwards: list[list[int]] = []
        path: str | None = "/envois?state=all"
        while path:
            text = (await client.get(path)).text
            forwards.append(ids_of(text))
            last, path = path, link(text, "Older")
        assert [len(p) for p in forwards] == [25, 25, 21]
        flat = [i for p in forwards for i in p]
        assert flat == sorted(set(flat), reverse=True) and len(flat) == 71
        back: list[list[int]] = [forwards[-1]]
        path = link((await client.get(last)).text, "Newer")
        while path:
            text = (await client.get(path)).text
            back.append(ids_of(text))
            path = link(text, "Newer")
        assert back[::-1] == forwards

    run(house, walk)


def test_filters_narrow_the_list(house: House) -> None:
    async def look(client: httpx.AsyncClient) -> None:
        for query, expected in (
            ("", [10, 9, 8, 4, 3, 1]),
            ("?state=parked", [8, 1]),
            ("?state=unknown", [3]),
            ("?target=openmrs", [9]),
            ("?period=202609", [4]),
            ("?state=all&kind=completion", [5]),
            ("?err=dhis2.E8020", [8, 1]),
            ("?ou=ML-KKO-D1-A2", [8]),
            ("?state=all&src=cht/reports/3c91-7be1", [9]),
            ("?state=all&de=MH_B02_NUM", [1]),
            ("?state=nonsense", [10, 9, 8, 4, 3, 1]),
        ):
            assert ids_of((await client.get("/envois" + query)).text) == expected, query

    run(house, look)


def test_a_filter_takes_wildcards_as_they_are(house: House) -> None:
    async def look(client: httpx.AsyncClient) -> None:
        assert ids_of((await client.get("/envois?period=%25")).text) == []
        assert ids_of((await client.get("/envois?src=cht/reports/3c91_")).text) == []

    run(house, look)


def test_search_words_become_filters(house: House) -> None:
    async def look(client: httpx.AsyncClient) -> None:
        for words, expected in (
            ("ou:Tiébani", "/envois?state=all&ou=ML-KKO-D1-A2"),
            ("period:2026-10 err:dhis2.E8020", "/envois?state=all&period=202610&err=dhis2.E8020"),
            ("de:TDR", "/envois?state=all&de=MH_B02_DEN"),
            ("Tiébani", "/envois?state=all&ou=ML-KKO-D1-A2"),
        ):
            answer = await client.get("/envois", params={"q": words})
            assert answer.status_code == 303 and answer.headers["location"] == expected

    run(house, look)


def test_an_empty_list_offers_the_filter_to_remove(house: House) -> None:
    async def look(client: httpx.AsyncClient) -> None:
        text = (await client.get("/envois?period=202610&err=nothing")).text
        assert "Without “Reason" in visible(text) or 'Without "Reason: nothing" there would be 4' in visible(text)

    run(house, look)


def test_neighbours_stay_within_the_filter(house: House) -> None:
    async def look(client: httpx.AsyncClient) -> None:
        text = (await client.get("/envois/8?state=parked")).text
        assert "1 of 2" in visible(text)
        assert '<a class="btn" href="/envois/1?state=parked">Next</a>' in text

    run(house, look)


def test_quarantine_and_values_page_by_key(build: Callable[..., House]) -> None:
    house = build()
    rows = [
        {
            "source": "cht",
            "stream": "reports",
            "key": f"q-{i:03}",
            "revision": "1",
            "form": "f",
            "code": "date.future",
            "path": "",
            "file": "",
            "line": None,
            "detail": "",
            "who": "chw_data",
            "version": "v",
            "at": stamp(1),
        }
        for i in range(40)
    ]
    house.store.write(lambda u: u.connection.execute(insert(quarantine), rows))

    async def walk(client: httpx.AsyncClient) -> None:
        seen: list[str] = []
        path: str | None = "/quarantaine?code=date.future"
        while path:
            text = (await client.get(path)).text
            seen += re.findall(r'<th scope="row"><a (?:class="nw" )?href="/fiches/cht/reports/([^"]+)"', text)
            path = link(text, "The next ones")
        assert len(seen) == len(set(seen)) == 41

    run(house, walk)


def test_referrals_come_late_first_and_page_by_key(build: Callable[..., House]) -> None:
    from connector.store.tables import referral

    house = build()
    rows = [
        {
            "record": f"cht/reports/r-{i:03}",
            "subject": "person-4417",
            "worker": "asc-001",
            "to_place": "area-1",
            "date": f"2026-11-{1 + i % 20:02}",
            "urgent": i % 3 == 0,
            "reason": None,
            "state": "arrived" if i % 3 else "sent",  # who has arrived is not late
            "remote": "{}",
            "answered_at": None,
            "answer_enc": None,
            "updated": stamp(1),
        }
        for i in range(60)
    ]
    house.store.write(lambda u: u.connection.execute(insert(referral), rows))

    async def walk(client: httpx.AsyncClient) -> None:
        seen: list[str] = []
        path: str | None = "/references"
        while path:
            text = (await client.get(path)).text
            seen += re.findall(r'<th scope="row"><a (?:class="nw" )?href="/fiches/cht/reports/([^"]+)"', text)
            path = link(text, "The next ones")
        assert len(seen) == len(set(seen)) == 64
        late = [i for i, key in enumerate(seen) if key.startswith("r-") and int(key[2:]) % 3 == 0]
        assert max(late) == 20, "20 late ones and the seeded one come first"

    run(house, walk)
