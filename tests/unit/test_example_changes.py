"""What a correction or a deletion does to figures: each change that is expected is made, by just as much."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from connector.cli.new import STARTER
from connector.mappings.config import load_pack
from connector.mappings.examples import run_examples

#: The steps of a visit of an infant with fever on 10 July.
HEAD = """examples:
  - name: x
    record: {__id: a, date_visite: "2026-07-10", site: site-1, enfant: {age_mois: 3, fievre: oui}}
    then:
"""
FEVER = "ST_VISITES 202607 site ST_V02_DEN AGE_M0_11"
VISIT = "ST_VISITES 202607 site ST_V01 AGE_M0_11"


def failures(folder: Path, steps: str) -> list[str]:
    pack = folder / "pack"
    shutil.copytree(STARTER, pack)
    (pack / "forms/odk/visite.test.yaml").write_text(HEAD + steps, "utf-8")
    return [str(one) for one in run_examples(load_pack(pack, {}, strict=False)[0]).failures]


@pytest.mark.parametrize(
    "steps",
    [
        f"      - {{deleted: true, expect: {{changes: [{VISIT} -1, {FEVER} -1]}}}}\n",
        f"      - {{deleted: true, expect: {{changes: [{FEVER} -1]}}}}\n",
        '      - {record: {__id: a, date_visite: "2026-07-10", site: site-1, enfant: {age_mois: 4, fievre: oui}}, '
        "expect: {changes: []}}\n",
        '      - {record: {__id: a, date_visite: "2026-07-10", site: site-1, enfant: {age_mois: 3, fievre: non}}, '
        f"expect: {{changes: [{FEVER} -1]}}}}\n      - {{deleted: true, expect: {{changes: [{VISIT} -1]}}}}\n",
        "      - {record: {__id: a, site: site-1, enfant: {age_mois: 3}}, "
        f"expect: {{error: date.missing, changes: [{FEVER} -1, {VISIT} -1]}}}}\n",
    ],
)
def test_what_happens_next_is_as_expected(tmp_path: Path, steps: str) -> None:
    assert failures(tmp_path, steps) == []


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (f"      - {{deleted: true, expect: {{changes: [{VISIT} -2]}}}}\n", f"'{FEVER} -1'"),
        ("      - {deleted: true, expect: {changes: []}}\n", f"'{VISIT} -1'"),
        ('      - {record: {__id: a, date_visite: "2026-08-10", site: site-1, enfant: {age_mois: 3}}, '
         "expect: {changes: []}}\n", "'ST_VISITES 202608 site ST_V01 AGE_M0_11 +1'"),
        (f"      - {{record: {{__id: a, site: s}}, expect: {{changes: [{FEVER} -1, {VISIT} -1]}}}}\n", "date.missing"),
        ("      - {expect: {changes: []}}\n", "give the corrected record"),
        ("      - {deleted: true, record: {a: 1}, expect: {changes: []}}\n", "give the corrected record"),
    ],
)  # fmt: skip
def test_what_happens_otherwise_fails_and_is_shown(tmp_path: Path, steps: str, words: str) -> None:
    (found,) = failures(tmp_path, steps)
    assert words in found and "forms/odk/visite.test.yaml" in found
