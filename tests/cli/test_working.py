"""What ``relais run`` says first: nobody who reads that line alone takes it for more than it is."""

from __future__ import annotations

from typing import Any

import pytest

from connector.cli import working


@pytest.mark.parametrize(
    ("summary", "dry_run", "words"),
    [
        ({}, False, "All delivered"),
        ({}, True, "nothing was sent"),
        ({"errors": {"odk": "source.unavailable"}}, False, "a source was not read"),
        ({"errors": {"dhis2": "target.refused"}}, False, "All delivered"),
        ({"attention": {"quarantined": 2, "parked": 0}}, False, "but for what is to look at"),
        ({"outcome": "waiting", "attention": {"quarantined": 2}}, False, "Waiting"),
    ],
)
def test_the_headline(summary: dict[str, Any], dry_run: bool, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.cli.output.FRENCH", False)
    whole = {"outcome": "settled", "sources": {"odk": {}}, "attention": {"quarantined": 0}, "errors": {}, **summary}
    assert words in working._headline(whole, dry_run)
