"""``relais org-units``: from a file that was saved of DHIS2."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from connector.cli.new import STARTER
from connector.mappings.config import load_pack
from tests.cli.line import Relais
from tests.unit.test_org_unit_tree import listed

TREE = [
    listed("ML-D1", 1, name="District"),
    listed("ML-D1-S1", 2, "ML-D1", name="Site 1"),
    listed("ML-D1-S3", 2, "ML-D1", name="Site 3"),
]


def test_the_table_grows_and_is_read(relais: Relais, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack, tree = tmp_path / "pack", tmp_path / "tree.json"
    shutil.copytree(STARTER, pack)
    monkeypatch.setenv("RELAIS_PACK", str(pack))
    tree.write_text(json.dumps({"organisationUnits": TREE}))
    table = pack / "org_units.csv"
    before = table.read_text("utf-8")
    said = relais("org-units", tree)
    assert said.code == 3 and "ML-D1-S2 · org_units.csv:4" in said.out and "is not in DHIS2" in said.out
    assert table.read_text("utf-8") == before
    document = relais("org-units", tree, "--out", table, "--source", "odk", "--json").document
    assert [one["org_unit"] for one in document["missing"]] == ["ML-D1-S3"]
    assert document["levels"] == {"1": "district", "2": "site"}
    assert table.read_text("utf-8") == before + "odk,ML-D1-S3,ML-D1-S3,site,ML-D1,Site 3,2015-01-01,\n"
    assert "ML-D1-S3" in {row.org_unit for row in load_pack(pack, {}, strict=False)[0].org_units}
    tree.write_text(json.dumps([*TREE, listed("ML-D1-S2", 2, "ML-D1", name="Site 2")]))
    said = relais("org-units", tree)
    assert (said.code, "The table and DHIS2 agree." in said.out) == (0, True)


@pytest.mark.parametrize("text", ["{", "{}", "[1]", "null"])
def test_a_file_that_is_no_tree_is_refused_in_words(relais: Relais, tmp_path: Path, text: str) -> None:
    tree = tmp_path / "tree.json"
    tree.write_text(text)
    said = relais("org-units", tree)
    assert said.code == 2 and "no list of org units" in " ".join(said.err.split())


@pytest.mark.parametrize("options", [("--level", "x"), ("--below", "ML-D9"), ("--source", "nobody")])
def test_what_there_is_not_is_refused(relais: Relais, tmp_path: Path, options: tuple[str, str]) -> None:
    tree = tmp_path / "tree.json"
    tree.write_text(json.dumps(TREE))
    assert relais("org-units", tree, *options).code == 2
