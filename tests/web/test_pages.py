"""Every page in both languages: well made, light, and every link on it leads somewhere."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urldefrag, urljoin

import pytest

from connector.web.render import STATIC
from tests.web.fixture import SITE, House, visible

VALUE = f"/valeur?de=MH_B02_NUM&ou={SITE}&pe=202610&co=A1_M2_11"
HELD = f"/valeur?de=MH_E05&ou={SITE}&pe=202610&co=A1_M12_59-SEX_M"
PAGES = [
    "/",
    "/envois",
    "/envois?state=all",
    "/envois?state=accepted&target=fhir",
    "/envois?err=nothing&period=202610",
    "/envois/1",
    "/envois/2",
    "/envois/3",
    "/envois/4",
    "/envois/6",
    "/envois/8",
    "/envois/9",
    "/envois/10",
    "/envois/11",
    "/valeur",
    "/valeur?view=accepted",
    "/valeur?view=rejected&pe=202610",
    VALUE,
    HELD,
    "/fiches/cht/reports/3c91-7be0",
    "/fiches/cht/reports/3c91-7bea",
    "/fiches/cht/reports/3c91-7bed",
    "/quarantaine",
    "/quarantaine?code=date.future",
    "/references",
    "/references?view=done",
    "/rapprochements",
    "/rapprochements/1",
    "/essai",
    "/aide",
]
NOT_THERE = ["/rapprochements/2", "/rapprochements/x"]
NOT_THERE += ["/nope", "/envois/9999", "/envois/abc", "/fiches/cht/reports/none", "/valeur?de=MH_X&ou=x&pe=202610"]


class Reader(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag == "script"

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    def ids(self) -> list[str]:
        return [str(attrs["id"]) for _, attrs in self.tags if attrs.get("id")]


def get(house: House, path: str, **headers: str) -> tuple[int, str]:
    async def ask() -> tuple[int, str]:
        async with house.client(headers=headers) as client:
            answer = await client.get(path)
            return answer.status_code, answer.text

    return asyncio.run(ask())


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("path", PAGES + NOT_THERE)
def test_a_page_is_well_made(house: House, path: str, language: str) -> None:
    status, text = get(house, path, **{"accept-language": language})
    assert status == (404 if path in NOT_THERE else 200)
    page = Reader(text)
    assert page.all("html")[0]["lang"] == language
    assert len(page.all("h1")) == 1
    assert not [a for _, a in page.tags if "style" in a], "no style attribute: the content security policy forbids it"
    assert not page.all("style") and not page.inline, "no inline style or script"
    assert not [k for _, a in page.tags for k in a if k.startswith("on")], "no event handler attribute"
    assert all(str(a.get("src", "")).startswith("/static/") for a in page.all("script"))
    assert all(th.get("scope") for th in page.all("th"))
    ids = page.ids()
    assert len(ids) == len(set(ids)), "an id twice"
    used = {str(a["href"]) for a in page.all("use")}
    assert used <= {f"#{i}" for i in ids}, "an icon without its symbol"
    labels = {a["for"] for a in page.all("label") if a.get("for")}
    shown = [
        a for t in ("input", "select", "textarea") for a in page.all(t) if a.get("type") not in ("hidden", "radio")
    ]
    assert all(a.get("id") in labels or a.get("aria-label") for a in shown), "a field without a label"
    assert all(a.get("method") != "post" or 'name="csrf"' in text for a in page.all("form"))
    assert len(gzip.compress(text.encode(), 9)) <= 14_000, "page over its limit"


def test_stylesheet_and_script_within_their_limits() -> None:
    for name, limit in (("relais.css", 6 * 1024), ("relais.js", 1536)):
        assert len(gzip.compress((STATIC / name).read_bytes(), 9)) <= limit, name


@pytest.mark.parametrize("language", ["fr", pytest.param("en", marks=pytest.mark.slow)])
def test_every_link_of_every_page_leads_somewhere(house: House, language: str) -> None:
    """Followed from the overview until nothing new turns up; an anchor must exist on its page."""

    async def crawl() -> set[str]:
        seen: dict[str, list[str]] = {}
        todo, anchors = ["/"], set()
        async with house.client(headers={"accept-language": language}) as client:
            while todo and len(seen) < 250:
                path = todo.pop()
                if path in seen:
                    continue
                answer = await client.get(path)
                assert answer.status_code == 200, path
                page = Reader(answer.text) if "html" in answer.headers["content-type"] else None
                seen[path] = page.ids() if page else []
                for link in page.all("a") if page else []:
                    to, mark = urldefrag(urljoin(path, str(link["href"])))
                    if "lang=" in to or re.match(r"/envois/1[0-9][1-9]", to):  # one FHIR delivery is like the other
                        continue
                    if mark:
                        anchors.add((to, mark))
                    todo.append(to)
        for to, mark in anchors:
            assert to not in seen or mark in seen[to], f"{to}#{mark}"
        return set(seen)

    seen = asyncio.run(crawl())
    assert {"/", "/envois", "/valeur", "/references", "/quarantaine", "/aide"} <= seen
    assert any(p.startswith("/fiches/") for p in seen) and any(p.startswith("/valeur?de=") for p in seen)


def test_counts_of_the_overview_equal_their_lists(house: House) -> None:
    _, text = get(house, "/", **{"accept-language": "en"})
    for n, words, href in (
        (2, "2 deliveries refused or parked", "/envois?state=parked&target=dhis2"),
        (4, "4 records in quarantine", "/quarantaine"),
        (1, "1 value to decide", "/valeur?view=held"),
        (1, "1 referral late", "/references?view=late"),
        (1, "1 person waits for your answer", "/rapprochements"),
    ):
        assert words in visible(text)
        assert href.replace("&", "&amp;") in text
        _, listed = get(house, href, **{"accept-language": "en"})
        body = listed.split("<tbody", 1)[1]
        rows = len(re.findall(r'<tr><t[hd] (?:class="pick"|scope="row")', body))
        assert rows == n, href
    for state, n in (("accepted", 2), ("held", 1), ("rejected", 1), ("wanted", 1)):
        assert f"/valeur?view={state}&amp;pe=202610" in text
        _, listed = get(house, f"/valeur?view={state}&pe=202610", **{"accept-language": "en"})
        assert f"{n} of {n}" in visible(listed)


@pytest.mark.parametrize(
    ("language", "words"), [("fr", "un jeton expire dans 9 jours"), ("en", "a token expires in 9 days")]
)
def test_the_overview_says_that_a_token_ends(build: Callable[..., House], language: str, words: str) -> None:
    one = {"name": "dhis2", "ends": "2026-12-14T08:00:00.000000Z", "days": 9, "who": "credentials"}
    told = build(empty=True, status={"connections": [], "audit": {}, "expiring": [one]})
    status, page = get(told, "/", **{"accept-language": language})
    text = visible(page).replace("\u202f", " ").replace("\xa0", " ")
    assert status == 200 and words in text and "2026-12-14" in text and "connector.yaml" in text
    assert (
        words
        not in get(build(empty=True, status={"connections": [], "audit": {}}), "/", **{"accept-language": language})[1]
    )


def test_overview_opens_with_the_sentence_that_answers(house: House, build: Callable[..., House]) -> None:
    assert "Cinq choses attendent une personne" in visible(get(house, "/?lang=fr")[1])
    empty = build(empty=True, status={"connections": [], "audit": {"ok": True, "entries": 0}})
    _, text = get(empty, "/?lang=fr")
    assert "Relais est prêt. Pas encore de fiche." in visible(text)
    assert "Rien à traiter" in visible(text) and "Rien n’est perdu" not in visible(text)


@pytest.mark.parametrize("path", ["/", "/envois", "/valeur", "/references", "/quarantaine"])
@pytest.mark.parametrize("language", ["fr", "en"])
def test_pages_of_an_empty_house(build: Callable[..., House], path: str, language: str) -> None:
    empty = build(empty=True, status={"connections": [], "audit": {}})
    status, text = get(empty, path, **{"accept-language": language})
    assert status == 200 and len(Reader(text).all("h1")) == 1
    if path != "/valeur":
        assert "<table" not in text or path == "/"


def test_nothing_is_lost_is_said_only_when_the_ledger_proves_it(build: Callable[..., House]) -> None:
    from sqlalchemy import update

    from connector.store.tables import delivery

    house = build()
    assert "Rien n’est perdu" in visible(get(house, "/?lang=fr")[1])
    # the block that carries the refused value is settled, the value is not: nobody carries it any more
    house.store.write(
        lambda u: u.connection.execute(update(delivery).where(delivery.c.id == 1).values(state="accepted"))
    )
    assert "Rien n’est perdu" not in visible(get(house, "/?lang=fr")[1])


def test_the_lines_of_the_count_add_up(house: House) -> None:
    _, text = get(house, VALUE + "&lang=en")
    table = text.split('id="compte"')[1].split("</table>")[0]
    numbers = [int(n.replace("− ", "-").replace("= ", "")) for n in re.findall(r'<td class="num">([^<]+)</td>', table)]
    assert numbers == [10, -3, 7]
    assert "do not add up" not in text
    # the seeded cell of this one says 1 where no record contributes: the page must say so
    assert "do not add up" in get(house, HELD + "&lang=en")[1]


def test_a_value_is_called_identical_only_after_it_was_read_back(house: House) -> None:
    unread = get(house, VALUE + "&lang=en")[1]
    assert "not read back since" in unread and "Equal" not in visible(unread)
    read = get(house, f"/valeur?de=MH_B02_NUM&ou={SITE}&pe=202610&co=A1_M12_59&lang=en")[1]
    assert "Equal" in visible(read)
    changed = get(house, f"/valeur?de=MH_E05&ou={SITE}&pe=202609&lang=en")[1]
    assert "Different" in visible(changed) and "it shows 4" in visible(changed)


def test_a_value_opens_by_names_as_people_write_them(house: House) -> None:
    status, text = get(house, "/valeur?de=Cas de MAS&ou=Kalabancoro Koulouba&pe=2026-10&lang=fr")
    assert status == 200 and "Cas de MAS" in text


def test_an_unknown_reason_is_shown_as_it_came(house: House) -> None:
    text = visible(get(house, "/quarantaine?lang=fr")[1])
    assert "form.strange" in text and "(pas encore expliquée)" in text


def test_quarantine_shows_the_line_of_the_pack(house: House) -> None:
    text = get(house, "/quarantaine?lang=en")[1]
    assert '<mark class="bad"><span class="ln">  3 </span>cht,site-2,S2</mark>' in text


def test_a_delivery_says_partly_accepted_from_its_values(house: House) -> None:
    text = visible(get(house, "/envois/1?lang=en")[1])
    assert "Of 2 values, DHIS2 took 1 and refused 1" in text
    assert "Target administrator" in text and "dhis2.E8020" in text
    assert "A person parked this delivery" in visible(get(house, "/envois/8?lang=en")[1])


def test_an_answer_that_may_name_a_patient_is_not_shown(house: House) -> None:
    text = get(house, "/envois/6?lang=en")[1]
    assert "encrypted and not shown" in visible(text) and "<pre" not in text


def test_dhis2_is_asked_only_when_a_person_asks(build: Callable[..., House]) -> None:
    asked: list[str] = []

    def ask(cell: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.append(cell["data_element"])
        words = {"fr": "La cible n'a pas répondu à temps.", "en": "The target did not answer in time."}
        return {"state": "unreadable", "value": None, "at": cell["updated"], "reason": "asked.too_slow", "words": words}

    house = build(ask=ask)
    before = get(house, VALUE + "&lang=en")[1]
    assert asked == [] and "&amp;now=1" in before and "did not answer in time" not in before
    after = get(house, VALUE + "&now=1&lang=en")[1]
    assert asked == ["MH_B02_NUM"] and "did not answer in time" in after and 'class="note wait"' in after
    assert "pas répondu à temps" in get(house, VALUE + "&now=1&lang=fr")[1]


def test_the_page_of_a_value_has_its_proof_its_rule_and_why_others_do_not_count(house: House) -> None:
    text = get(house, VALUE + "&lang=en")[1]
    proof = visible(text.split('id="preuve"')[1].split("</aside>")[0])
    assert "no. 48,211" in proof and "sealed under head no. 48,300" in proof and "7f3a" * 16 in proof
    assert "Does not agree: entry.changed" in proof and "attempt 3" in proof and "no longer what was written" in proof
    assert "relais audit verify" in text
    rule = visible(text.split('id="regle"')[1].split("</section>")[0])
    assert (
        "Positive RDTs among those read." in rule
        and "in force here since" in rule
        and "counted by version aa01" in rule
    )
    assert "RDT not done" not in text and "&amp;why=1" in text
    assert "RDT not done" in get(house, VALUE + "&why=1&lang=en")[1]
