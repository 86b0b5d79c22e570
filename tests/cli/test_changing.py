"""``relais map diff``, ``backfill`` and ``remap``: what they print and how they end while nothing is stored yet."""

from __future__ import annotations

from pathlib import Path

from tests.cli.line import Relais
from tests.unit.pack_copy import PackCopy


def test_with_nothing_stored_nothing_changes_and_what_is_unknown_is_refused(relais: Relais, tmp_path: Path) -> None:
    copy = PackCopy(tmp_path)
    copy.change("indicators/sec-core.yaml", "muac_mm < 125", "muac_mm <= 125")
    assert relais("map", "diff", copy.folder).code == 2, "no database yet"
    asked = relais("backfill", "E06", "--periods", "202607..202608", "--json").document
    assert asked == {"records": 0, "cells": 0, "job": 1}
    assert [one["what"] for one in relais("status", "--json").document["history"]] == ["backfill"]
    said = relais("map", "diff", copy.folder, "--json")
    assert (said.code, said.document["items"], said.document["new"]) == (0, [], 0)
    assert relais("remap", "--source", "cht", "--json").document == {"remapped": 0, "job": 2}
    seen = relais("remap", "--dry-run", "--json").document["seen"]
    assert relais("remap", "--seen", "another").code == 3
    assert relais("remap", "--seen", seen, "--json").document == {"remapped": 0, "job": 3}
    said = relais("backfill", "E99", "--periods", "202607")
    assert said.code == 2 and "E99" in said.err
    assert relais("backfill", "E06", "--periods", "202608..202607").code == 2
