"""The catalogues are whole and alike, and numbers, days and periods read as people write them."""

from __future__ import annotations

import re
import string
from datetime import UTC, datetime

import pytest

from connector.web.icons import PILLS
from connector.web.pages import help
from connector.web.render import HERE
from connector.web.wording import CATALOGUES, FIXED, NARROW, Entry, Wording, choose_language

NOW = datetime(2026, 11, 22, 16, 40, tzinfo=UTC)
FR, EN = Wording("fr", "Africa/Bamako", NOW), Wording("en", "Africa/Bamako", NOW)


def placeholders(entry: Entry) -> set[str]:
    texts = [entry] if isinstance(entry, str) else entry
    return {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_catalogues_have_the_same_keys_and_the_same_gaps() -> None:
    fr, en = CATALOGUES["fr"], CATALOGUES["en"]
    assert fr.keys() == en.keys()
    for key in fr:
        assert placeholders(fr[key]) - {"n"} == placeholders(en[key]) - {"n"}, key


def test_every_word_a_page_asks_for_is_there() -> None:
    sources = [*HERE.glob("templates/*.html"), *HERE.glob("*.py"), *HERE.glob("pages/*.py")]
    used = {
        key
        for path in sources
        for key in re.findall(r"""\bw\(\s*['"]([a-z_.]+[a-z_])['"](?!\s*\+)""", path.read_text(encoding="utf-8"))
    }
    assert len(used) > 150
    assert not sorted(used - CATALOGUES["fr"].keys())


def test_every_state_has_a_word_and_a_mark() -> None:
    assert {f"state.{key}" for key in PILLS} <= CATALOGUES["fr"].keys()
    for prefix, states in (("c", help.CONNECTIONS), ("d", help.DELIVERIES), ("v", help.VALUES)):
        for state in states:
            assert f"means.{prefix}.{state}" in CATALOGUES["en"] and f"{prefix}.{state}" in PILLS


def test_a_state_newer_than_the_catalogue_is_shown_as_it_came() -> None:
    assert str(FR("state.d.melted")) == "melted"


def test_no_english_apostrophe_and_no_breaking_space_in_french() -> None:
    for key, entry in CATALOGUES["fr"].items():
        for text in [entry] if isinstance(entry, str) else entry:
            assert "'" not in text, key
            assert not re.search(r" [;!?:»]", text), key


def test_numbers() -> None:
    assert FR.number(1214) == f"1{NARROW}214" and EN.number(1214) == "1,214"
    assert FR.percent(927, 1000) == f"92,7{NARROW}%" and EN.percent(927, 1000) == "92.7%"
    assert FR.number("12.50") == "12,5" and EN.number(None) == "–" and FR.number(100) == "100"


@pytest.mark.parametrize(
    ("at", "fr", "en"),
    [
        ("2026-11-22T06:04:00.000000Z", "aujourd’hui 06:04", "today 06:04"),
        ("2026-11-21T09:40:00Z", "hier 09:40", "yesterday 09:40"),
        ("2026-11-23T06:00:00Z", "demain 06:00", "tomorrow 06:00"),
        ("2026-11-01T06:04:00Z", f"1er{FIXED}nov. 06:04", f"1{FIXED}Nov 06:04"),
        ("2025-02-09T06:04:00Z", f"9{FIXED}févr. 2025 06:04", f"9{FIXED}Feb 2025 06:04"),
    ],
)
def test_times(at: str, fr: str, en: str) -> None:
    assert FR.when(at) == fr and EN.when(at) == en


def test_times_are_those_of_the_pack_zone() -> None:
    nairobi = Wording("fr", "Africa/Nairobi", NOW)
    assert nairobi.when("2026-11-21T22:30:00Z") == "aujourd’hui 01:30" and nairobi.offset() == "UTC+3"


@pytest.mark.parametrize(
    ("code", "fr", "en"),
    [
        ("202610", f"octobre{FIXED}2026", f"October{FIXED}2026"),
        ("2026Q3", "3e trimestre 2026", "Q3 2026"),
        ("2026W5", "semaine 5, 2026", "week 5, 2026"),
        ("2026", "2026", "2026"),
        ("20261301", "20261301", "20261301"),
        ("x", "x", "x"),
    ],
)
def test_periods(code: str, fr: str, en: str) -> None:
    assert FR.period(code) == fr and EN.period(code) == en


def test_one_and_many() -> None:
    assert str(FR("overview.quarantined", n=0)) == f"0{FIXED}fiche en quarantaine"
    assert str(FR("overview.quarantined", n=2)) == f"2{FIXED}fiches en quarantaine"
    assert str(EN("overview.quarantined", n=0)) == "0 records in quarantine"
    assert str(EN("overview.quarantined", n=1)) == "1 record in quarantine"


def test_what_people_typed_is_escaped() -> None:
    assert "<script>" not in FR("diag.parked.what", note="<script>") and "&lt;script&gt;" in FR(
        "diag.parked.what", note="<script>"
    )


@pytest.mark.parametrize(
    ("asked", "kept", "header", "expected"),
    [
        ("en", "fr", "fr", "en"),
        (None, "en", "fr", "en"),
        ("xx", None, "en-GB,fr;q=0.5", "en"),
        (None, None, "de, en;q=0.4, fr;q=0.8", "fr"),
        (None, None, None, "fr"),
        (None, None, "en;q=x", "fr"),
    ],
)
def test_language(asked: str | None, kept: str | None, header: str | None, expected: str) -> None:
    assert choose_language(asked, kept, header) == expected
