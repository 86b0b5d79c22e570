"""What ``relais explain`` says in French of a figure that lost its records, and of what never counted."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from connector.cli import explaining


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    console = Console(file=written, width=200)
    monkeypatch.setattr("connector.cli.output.FRENCH", True)
    for module in ("connector.cli.output.out", "connector.cli.explaining.out"):
        monkeypatch.setattr(module, console)
    return written


def document(**more: Any) -> dict[str, Any]:
    value = {
        "name": {}, "data_element": "NUT2", "org_unit": "ML-X1", "period": "202610", "combo": "default", "there": None,
        "small": False, "state": "accepted", "records": 0, "current": None, "wanted": "0", "accepted": "0",
    }  # fmt: skip
    rule = {"indicator": "NUT2", "part": "count", "where": "severe"}
    proof = {"entries": [], "missing": [], "verify": "relais audit verify"}
    left = [{"record": "odk/form/a", "state": "deleted"}]
    return {
        "value": value, "rule": rule, "led": [], "workers": [], "records": [], "left": left, "next": None, "sends": [],
        "proof": proof, "not_counted": [], **more,
    }  # fmt: skip


def test_a_figure_that_lost_its_records(said: io.StringIO) -> None:
    explaining._show_value(document(), {}, False)
    told = said.getvalue()
    assert "Relais ne compte plus rien et veut 0 là-bas, DHIS2 a accepté 0" in told
    assert "Aucune fiche ne compte ici." in told and "--why-not" in told
    assert "Ne compte plus ici depuis la valeur acceptée : odk/form/a (supprimée)" in told
    assert "agent" not in told and "envoyé le" not in told, "no table that shows its head alone"


def test_nothing_left_out_is_a_sentence_and_a_reason_names_the_values_of_a_record(said: io.StringIO) -> None:
    explaining._show_value(document(), {}, True)
    assert "Aucune fiche de ce lieu et de cette période n'est laissée de côté" in said.getvalue()
    reason = {"fr": "non rempli : severe (muac_mm < 115)", "en": ""}
    explaining._show_not_counted([{"n": 1, "reason": reason, "records": ["odk/form/b"], "values": "131 < 115"}])
    assert "non rempli : severe (muac_mm < 115)" in said.getvalue() and "odk/form/b (131 < 115)" in said.getvalue()
