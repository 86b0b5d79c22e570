"""The pages in Chromium: axe finds nothing serious, nothing scrolls sideways, nothing breaks the content policy."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tests.web.fixture import SITE, House, make_house

pytestmark = pytest.mark.browser

VALUE = f"/valeur?de=MH_B02_NUM&ou={SITE}&pe=202610&co=A1_M2_11"
PAGES = {
    "overview": "/",
    "deliveries": "/envois?state=all",
    "empty": "/envois?err=nothing",
    "delivery": "/envois/1",
    "uncertain": "/envois/3",
    "values": "/valeur",
    "value": VALUE,
    "held": f"/valeur?de=MH_E05&ou={SITE}&pe=202610&co=A1_M12_59-SEX_M",
    "record": "/fiches/cht/reports/3c91-7be0",
    "unmapped": "/fiches/cht/reports/3c91-7bea",
    "quarantine": "/quarantaine",
    "referrals": "/references",
    "matches": "/rapprochements",
    "match": "/rapprochements/1",
    "words": "/aide",
    "missing": "/nope",
    "sign-in": "/connexion",
}


#: Controls a finger cannot hit: under 24 px in one direction (WCAG 2.2, 2.5.8).
SMALL = """
[...document.querySelectorAll('button, .btn, .chip, .nav a, input:not([type=hidden]), select')]
  .filter(e => { const r = e.getBoundingClientRect(); return r.width && Math.min(r.width, r.height) < 24 })
  .map(e => e.outerHTML.slice(0, 90))
"""


def chromium() -> str:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("no Chromium on this machine: the pages are not looked at (install chromium, or set CHROMIUM)")
    return found


def axe() -> str:
    tried = [os.environ.get("AXE_JS"), "node_modules/axe-core/axe.min.js"]
    for one in tried:
        if one and Path(one).is_file():
            return Path(one).read_text(encoding="utf-8")
    pytest.skip("no axe-core: npm install axe-core, or set AXE_JS to its axe.min.js")


class Site:
    """One app on a free port of loopback."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.server = uvicorn.Server(
            uvicorn.Config(house.app, host="127.0.0.1", port=0, log_config=None, log_level="error", lifespan="off")
        )
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        for _ in range(200):
            if self.server.started:
                break
            time.sleep(0.05)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.house.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the pages are not looked at")
    with sync.sync_playwright() as play:
        made = play.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        yield made
        made.close()


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    made = {env: Site(make_house(tmp_path_factory.mktemp(env), env=env)) for env in ("demo", "production")}
    yield made
    for site in made.values():
        site.close()


def address(sites: dict[str, Site], name: str, language: str) -> str:
    path = PAGES[name]
    base = sites["production" if name == "sign-in" else "demo"].base
    return f"{base}{path}{'&' if '?' in path else '?'}lang={language}"


def opened(browser: Any, url: str, width: int, **options: Any) -> tuple[Any, list[str]]:
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    page = context.new_page()
    said: list[str] = []
    page.on(
        "console", lambda m: said.append(m.text) if m.type in ("error", "warning") and "404" not in m.text else None
    )
    page.on("pageerror", lambda e: said.append(str(e)))
    page.on(
        "request",
        lambda r: said.append(f"third party: {r.url}") if not r.url.startswith(url.split("/", 3)[0]) else None,
    )
    page.goto(url)
    return page, said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(browser: Any, sites: dict[str, Site], name: str, language: str, scheme: str) -> None:
    rules = axe()
    page, said = opened(browser, address(sites, name, language), 1280, color_scheme=scheme, bypass_csp=True)
    page.add_script_tag(content=rules)
    found = page.evaluate("axe.run({resultTypes: ['violations']}).then(r => r.violations)")
    page.context.close()
    serious = [f"{v['id']}: {v['nodes'][0]['html'][:150]}" for v in found if v["impact"] in ("serious", "critical")]
    assert not serious and not said


@pytest.mark.parametrize("width", [320, 360, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_scrolls_sideways_or_breaks_the_policy(
    browser: Any, sites: dict[str, Site], name: str, width: int
) -> None:
    for language in ("fr", "en"):
        page, said = opened(browser, address(sites, name, language), width)
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        small = page.evaluate(SMALL)
        page.context.close()
        assert over <= 0, f"{name} {language}: {over} px too wide"
        assert not small, "a target under 24 px"
        assert not said


def test_the_pages_work_without_javascript(browser: Any, sites: dict[str, Site]) -> None:
    site = sites["demo"]
    site.house.actions.calls.clear()
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    page = context.new_page()
    page.goto(f"{site.base}/envois?err=dhis2.E8020")
    page.click("text=Retry the 2")
    assert "2 deliveries taken up again" in page.inner_text("main")
    page.goto(f"{site.base}/envois/1")
    page.check("input[value=resolve]")
    page.fill("textarea", "agreed")
    page.click("text=Confirm")
    assert "1 delivery resolved" in page.inner_text("main")
    page.click("text=Français")
    assert page.get_attribute("html", "lang") == "fr"
    page.goto(f"{site.base}/envois")
    assert page.get_attribute("html", "lang") == "fr", "the language is kept"
    context.close()
    assert site.house.actions.calls == [("retry", [1, 8], "demo"), ("resolve", [1], "agreed", "demo")]


def test_sign_in_by_keyboard(browser: Any, sites: dict[str, Site]) -> None:
    context = browser.new_context(locale="fr-FR")
    page = context.new_page()
    page.goto(f"{sites['production'].base}/quarantaine")
    page.fill("#u", "operator")
    page.press("#u", "Tab")
    page.keyboard.type("le chat dort")
    page.keyboard.press("Enter")
    page.wait_for_url("**/quarantaine")
    assert "4 fiches attendent" in page.inner_text("main").replace("\u00a0", " ")
    page.click("text=Se déconnecter")
    page.wait_for_url("**/connexion")
    context.close()


def test_the_page_of_a_value_prints_on_paper(browser: Any, sites: dict[str, Site], tmp_path: Path) -> None:
    page, _ = opened(browser, sites["demo"].base + VALUE, 1280)
    page.emulate_media(media="print")
    hidden = page.evaluate(
        "['.nav', '.noprint', '.toc'].every(s => getComputedStyle(document.querySelector(s)).display === 'none')"
    )
    assert hidden
    page.pdf(path=tmp_path / "value.pdf", format="A4")
    assert (tmp_path / "value.pdf").stat().st_size > 10_000
    page.context.close()
