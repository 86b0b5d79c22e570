"""``make pack-mutants``: which slips it makes, and that it tells a noticed one from one that nobody noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.mappings.config import load_pack
from scripts.pack_mutants import Slip, Slips, environment, plant

from .pack_copy import SHIPPED, PackCopy


@pytest.fixture
def copy(tmp_path: Path) -> PackCopy:
    return PackCopy(tmp_path)


def test_one_seed_makes_one_choice_of_every_kind() -> None:
    pack, _ = load_pack(SHIPPED, environment())
    first, again, other = (Slips(pack, seed).chosen(60, even=True) for seed in (7, 7, 8))
    assert first == again != other
    assert {one.kind for one in first} == {"key", "path", "condition", "code", "band", "date"}
    assert len(set(first)) == 60
    assert len(set(Slips(pack, 7).chosen(60))) == 60
    for one in first:
        text = (SHIPPED / one.file).read_text("utf-8")
        assert text.startswith(one.text, one.start) and one.slipped != one.text


def slip(copy: PackCopy, file: str, text: str, slipped: str) -> Slip:
    return Slip("path", file, (copy.folder / file).read_text("utf-8").index(text), text, slipped)


def test_what_nobody_notices_is_told_from_the_rest_and_the_pack_is_put_back(
    copy: PackCopy, capsys: pytest.CaptureFixture[str]
) -> None:
    file = "forms/cht/assessment.yaml"
    before = (copy.folder / file).read_bytes()
    seen = slip(copy, file, "patient_fever)", "patient_fevre)")  # a finding of check
    example = slip(copy, "indicators/sec-core.yaml", "fever_onset_hours <= 24", "fever_onset_hours <= 10")
    unseen = slip(copy, file, "# ", "#  ")
    assert plant([seen, example, unseen], copy.folder, environment()) == [unseen]
    assert f"unnoticed: path       {file}:" in capsys.readouterr().out
    assert (copy.folder / file).read_bytes() == before
