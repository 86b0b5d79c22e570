"""The pages of monthly reporting over the real road: who is missing, approval by button, the slip."""

from __future__ import annotations

import asyncio
import csv
import io
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest

from connector.cli.wiring import web_app
from connector.mappings.pack import Pack, Release
from tests.engine.house import UNIT, WORKERS, Make, Road, visit
from tests.web.fixture import csrf_of, visible

A04 = ("MH_A04", "A2_Y1_4-SEX_F")
AREA = "ML-KKO-D1-A1"
PAGE = f"/completude?ds=MH_SEC&pe=202608&ou={AREA}"


def asking(pack: Pack) -> Pack:
    changed = replace(pack.data_sets["MH_SEC"], release=Release(Decimal(1)), deadline=5, gaps_after=20, small=5)
    return replace(pack, data_sets={**pack.data_sets, "MH_SEC": changed})


@pytest.fixture
def open_road(make_road: Make) -> Road:
    made = make_road(change=asking)
    made.settle()
    return made


class Visitor:
    """One person at the pages, in the demo on loopback (operator) with a cookie jar of her own."""

    def __init__(self, road: Road) -> None:
        assert road.house is not None
        road.house.settings = road.house.settings.model_copy(update={"env": "demo"})
        self.app = web_app(road.house)
        self.cookies = httpx.Cookies()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def inside() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, client=("127.0.0.1", 5000))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1", cookies=self.cookies
            ) as client:
                answer = await client.request(method, path, **more)
                self.cookies = client.cookies
                return answer

        return asyncio.run(inside())

    def words(self, path: str) -> str:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text[:500]
        return " ".join(visible(answer.text).replace("\u00a0", " ").replace("\u202f", " ").split())


def field(text: str, name: str) -> str:
    return text.partition(f'name="{name}" value="')[2].partition('"')[0]


def test_who_is_missing_is_said_and_missing_is_not_zero(open_road: Road) -> None:
    visitor = Visitor(open_road)
    words = visitor.words(f"{PAGE}&lang=fr")
    assert "Août 2026 : 2 ASC sur 8 ont transmis (25 %). Il en manque 6." in words
    assert "manquant ne veut pas dire zéro" in words and "malgré les manques" in words
    assert "asc-002" in words, "the role may see who"
    assert "2 CHWs of 8" in visitor.words(f"{PAGE}&lang=en").replace("August 2026: ", "")
    every = visitor.words("/completude?ds=MH_SEC&pe=202608&lang=en")
    assert "2 CHWs of 24" in every
    assert "No reporter is expected here" in visitor.words("/completude?pe=2026Q3&lang=en")
    assert visitor.ask("GET", "/completude?ou=nowhere").status_code == 404


def test_the_button_lets_leave_what_was_seen_and_only_that(open_road: Road) -> None:
    visitor = Visitor(open_road)
    text = visitor.ask("GET", f"{PAGE}&lang=en").text
    form = {"csrf": csrf_of(text), "ds": "MH_SEC", "pe": "202608", "ou": AREA, "seen": field(text, "seen")}
    open_road.cht.put(visit("late", "2026-08-20"))
    open_road.settle()
    answer = visitor.ask("POST", "/completude", data=form)
    assert answer.status_code == 303
    assert "figures have changed meanwhile" in visitor.words(answer.headers["location"])
    open_road.settle()
    assert open_road.values() == {}

    text = visitor.ask("GET", f"{PAGE}&lang=en").text
    answer = visitor.ask("POST", "/completude", data={**form, "seen": field(text, "seen")})
    assert "approved. It is written in the log" in visitor.words(answer.headers["location"]).replace(" values", "")
    open_road.settle()
    assert open_road.value(*A04) == "2" and {k[2] for k in open_road.values()} == {"202608"}
    assert {row["by"] for row in open_road.rows("SELECT by FROM approval")} == {"demo"}


def test_a_waiting_value_and_its_delivery_say_so(open_road: Road) -> None:
    visitor = Visitor(open_road)
    value = f"/valeur?de={A04[0]}&ou={UNIT}&pe=202608&co={A04[1]}"
    words = visitor.words(f"{value}&lang=en")
    assert "To be approved" in words and "small figure" in words
    delivery = open_road.delivery(f"block/MH_SEC/{UNIT}/202608")["id"]
    assert "Waiting for approval" in visitor.words(f"/envois/{delivery}?lang=en")
    overview = visitor.words("/?lang=en")
    assert "36 deliveries wait for approval" in overview and "has stopped" not in overview


def test_the_slip_adds_up_and_the_csv_has_every_value(open_road: Road) -> None:
    visitor = Visitor(open_road)
    text = visitor.ask("GET", f"{PAGE}&lang=en").text
    visitor.ask("POST", "/completude", data={
        "csrf": csrf_of(text), "ds": "MH_SEC", "pe": "202608", "ou": AREA, "seen": field(text, "seen")
    })  # fmt: skip
    open_road.settle()
    words = visitor.words(f"/bordereau?pe=202608&ou={AREA}&lang=en")
    assert "2 of 8 have reported." in words and "Approved for" in words and "by demo" in words
    assert AREA in open_road.engine.pack.deployments[0].org_unit
    assert "CSCom de Banakoro" in visitor.words("/bordereau?pe=202608&lang=en")

    answer = visitor.ask("GET", f"/bordereau.csv?pe=202608&ou={AREA}")
    rows = list(csv.DictReader(io.StringIO(answer.text), delimiter=";"))
    held = {(r["data_element"], r["org_unit"], r["period"], r["combo"]): r["accepted"]
            for r in rows if r["row"] == "figure" and r["data_set"] == "MH_SEC"}  # fmt: skip
    assert held == open_road.values() and all(
        r["value"] == r["accepted"] for r in rows if r["data_set"] == "MH_SEC" and r["value"]
    )
    gone = {r["reporter"] for r in rows if r["row"] == "missing" and r["data_set"] == "MH_SEC"}
    assert len(gone) == 6 and not gone & set(WORKERS)


def test_a_viewer_sees_no_names_and_cannot_approve(open_road: Road) -> None:
    from connector.web.auth import User

    visitor = Visitor(open_road)
    visitor.app.state.gate.user_of = lambda request: User("somebody", "viewer")
    words = visitor.words(f"{PAGE}&lang=en")
    assert "asc-002" not in words and "CHW 1" in words and "Your role may look, not approve." in words
    text = visitor.ask("GET", "/aide?lang=en").text
    answer = visitor.ask("POST", "/completude", data={
        "csrf": csrf_of(text), "ds": "MH_SEC", "pe": "202608", "ou": "", "seen": "x"
    })  # fmt: skip
    assert answer.status_code == 403 and open_road.rows("SELECT id FROM approval") == []
