"""``relais test``: what a failing example expects and what it gave, what no example reaches, and accepting."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.line import Relais
from tests.unit.pack_copy import PackCopy


def test_a_failing_example_is_shown_line_against_line_and_accepted_on_demand(relais: Relais, tmp_path: Path) -> None:
    copy = PackCopy(tmp_path)
    copy.change("indicators/sec-core.yaml", "muac_mm < 125", "muac_mm <= 125")
    said = relais("test", copy.folder)
    assert said.code == 3
    assert "- E06: []" in said.out and '+ E06: ["count AN_M12_59-SEX_UNK"]' in said.out
    assert "125 mm is well  indicators/sec-core.test.yaml:" in said.out and "1 failed" in said.out
    for other in copy.folder.rglob("*.test.yaml"):  # once all of them, that is enough
        if other.name != "sec-core.test.yaml":
            other.unlink()
    said = relais("test", copy.folder, "--json")
    (one,) = said.document["differences"]
    assert (one["what"], one["wanted"], one["found"]) == ("E06", [], ["count AN_M12_59-SEX_UNK"])
    assert said.document["accepted"] == [] and said.code == 3
    said = relais("test", copy.folder, "--accept")
    assert said.code == 0 and "- E06: []" in said.out, "shown before it is written"
    assert "Written: indicators/sec-core.test.yaml" in said.err
    assert relais("test", copy.folder).code == 0


@pytest.mark.again
def test_what_no_example_reaches_fails_only_when_asked(relais: Relais, tmp_path: Path) -> None:
    copy = PackCopy(tmp_path)
    copy.change("forms/cht/delivery.yaml", "other: other}", "other: other, on_the_way: other}")
    said = relais("test", copy.folder)
    assert said.code == 0 and "forms/cht/delivery.yaml: delivery_place = on_the_way" in said.out
    assert relais("test", copy.folder, "--strict").code == 3
