"""``/essai`` on the real road: a pasted record, masked by role, and nothing of it is kept."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from connector.cli.wiring import web_app
from tests.engine.house import ANNA, Make, Road, place, visit
from tests.web.fixture import csrf_of, visible
from tests.web.test_pages import Reader

NAME = "Zeinabou Canari"


@pytest.fixture
def small(make_road: Make) -> Road:
    docs = [place("area-1", "area", "district-1"), place("site-1", "site", "area-1")]
    docs.append({"_id": ANNA, "type": "contact", "contact_type": "person", "name": NAME, "sex": "female"})
    docs[-1]["date_of_birth"] = "2024-03-11"
    made = make_road(docs)
    made.run(targets=[])
    return made


def look(road: Road, record: Any = None, *, form: str = "cht/assessment", role: str = "admin", query: str = "") -> Any:
    """The page, and when a record is given what it answers to it."""
    import httpx

    from connector.web import auth

    assert road.house is not None
    app = web_app(road.house)
    app.state.gate.user_of = lambda request: auth.User("awa", role, signed_in=False)

    async def ask() -> Any:
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 5000))
        headers = {"accept-language": "en", "origin": "http://127.0.0.1"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
            page = await client.get(f"/essai?form={form}{query}")
            if record is None:
                return page
            if "csrf" not in page.text:
                page = await client.get("/essai?form=cht/assessment")
            text = record if isinstance(record, str) else orjson.dumps(record).decode()
            return await client.post("/essai", data={"csrf": csrf_of(page.text), "form": form, "record": text})

    return asyncio.run(ask())


def test_a_pasted_record_is_mapped_and_nothing_is_kept(small: Road) -> None:
    before = small.rows("SELECT COUNT(*) AS n FROM head")
    answer = look(small, visit("pasted", rdt="negative"))
    assert answer.status_code == 200
    text = " ".join(visible(answer.text).split())
    assert "The record is mapped and counts in 6 figures." in text
    assert 'malaria_rdt = \'positive\' "negative" = "positive"' in text
    assert "valid, checked twice" in text and "5 years" not in text
    assert small.rows("SELECT COUNT(*) AS n FROM head") == before
    page = Reader(answer.text)
    assert len(page.all("h1")) == 1 and not page.inline
    assert small.rows("SELECT who FROM audit WHERE event='preview.shown'")


def test_who_may_not_see_her_learns_nothing_of_her_from_the_registry(small: Road) -> None:
    doc = visit("pasted")
    for role, known in (("viewer", False), ("operator", False), ("clinic", True), ("admin", True)):
        text = visible(look(small, doc, role=role).text)
        assert ("The person is not known here" in text) is not known, role
        assert ("sex unknown" in text.lower() or "sex: unknown" in text.lower()) is not known, role


def test_a_registry_record_is_masked_by_role(small: Road) -> None:
    doc = {"_id": "p-9", "contact_type": "person", "name": "Awa Cachée", "date_of_birth": "2024-03-11"}
    shown = look(small, doc, form="cht/person", role="admin").text
    hidden = look(small, doc, form="cht/person", role="viewer").text
    assert "The record registers a person" in visible(hidden)
    assert shown.count("Cachée") > hidden.count("Cachée") == 1, "only what the reader pasted is still in the field"


def test_examples_of_the_pack_fill_the_field(small: Road) -> None:
    text = look(small, query="&example=0").text
    assert "&#34;patient_id&#34;: &#34;p-1&#34;" in text and "fever with a positive test" in text


@pytest.mark.parametrize(("record", "words"), [("{", "no record in JSON"), ("x" * 100_001, "too long")])
def test_what_is_no_record_says_so(small: Road, record: str, words: str) -> None:
    answer = look(small, record)
    assert answer.status_code == 422 and words in visible(answer.text)


def test_a_form_that_is_not_in_the_pack_is_refused(small: Road) -> None:
    answer = look(small, {"_id": "x"}, form="cht/nothing")
    assert answer.status_code == 422
