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


def test_what_this_run_sent_is_told_apart_from_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.cli.output.FRENCH", False)
    tables: list[dict[str, Any]] = []
    monkeypatch.setattr(
        working, "table", lambda columns, rows: tables.extend(dict(zip(columns, r, strict=True)) for r in rows)
    )
    counts = {"accepted": 4, "sent": 2, "rejected": 1, "deferred": 0, "unknown": 0, "waiting": 0}
    summary = {"outcome": "settled", "seconds": 1, "sources": {}, "attention": {}, "next_due": None}
    working.show_run({**summary, "targets": {"dhis2": counts}}, zone="Africa/Bamako")
    (line,) = tables
    assert (line["accepted now"], line["rejected now"], line["accepted in all"]) == (2, 1, 4)


def test_one_is_not_many_and_times_are_local(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("connector.cli.output.FRENCH", True)
    summary = {
        "outcome": "waiting", "seconds": 1.0, "sources": {}, "targets": {}, "errors": {}, "flagged": 2,
        "attention": {"quarantined": 1, "parked": 2}, "next_due": "2026-11-30T12:12:14.739269Z",
    }  # fmt: skip
    working.show_run(summary, zone="Africa/Lagos")
    said = capsys.readouterr().out
    assert "1 fiche en quarantaine, 2 envois mis de côté" in said
    assert "2 fiches ont une réponse à revoir" in " ".join(said.split())
    assert said.rstrip().endswith("Prochain essai : 2026-11-30 13:12")
