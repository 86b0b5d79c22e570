"""``relais check`` and ``relais schema``: what they print, for people and for programs, and how they end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from connector.cli.app import READING
from connector.cli.checking import show
from connector.mappings.pack_shapes import KINDS_OF_FILE
from connector.model import Finding, Severity
from tests.cli.line import Relais
from tests.unit.pack_copy import PackCopy

RAW = "fever: $yes(fields.group_fever.patient_fever)"
TYPO = "fever: $yes(fields.group_fever.patient_fevre)"


@pytest.fixture
def copy(tmp_path: Path) -> PackCopy:
    return PackCopy(tmp_path)


def test_a_clean_pack_has_no_finding(relais: Relais) -> None:
    said = relais("check", "--json")
    assert (said.code, said.document) == (0, {"findings": []})


def test_a_finding_says_where_what_why_and_how(relais: Relais, copy: PackCopy) -> None:
    line = copy.change("indicators/sec-core.yaml", "counts: sick_visit\n", "cuonts: sick_visit\n")
    said = relais("check", copy.folder, "--json")
    assert said.code == 3
    first = next(one for one in said.document["findings"] if one["code"] == "key.unknown")
    assert list(first) == ["code", "severity", "file", "line", "column", "message", "why", "fix"]
    assert (first["severity"], first["file"], first["line"]) == ("error", "indicators/sec-core.yaml", line)
    assert first["column"] == 5 and "cuonts" in first["message"] and first["fix"] == "Did you mean counts?"
    assert first["why"]


def test_the_page_named_at_the_end_is_the_one_that_has_the_codes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    of_the_pack = Finding("file.unknown", Severity.WARNING, "nobody reads x", "")
    of_a_source = Finding("source.file_ignored", Severity.WARNING, "never read", "")
    ends = {("docs/lint.md",): [of_the_pack], ("docs/reasons.md",): [of_a_source],
            ("docs/lint.md", "docs/reasons.md"): [of_the_pack, of_a_source]}  # fmt: skip
    for pages, found in ends.items():
        show(found, tmp_path)
        assert capsys.readouterr().out.rstrip().endswith(": " + ", ".join(pages)), found


def test_warnings_fail_only_when_asked(relais: Relais, copy: PackCopy) -> None:
    copy.change("forms/cht/assessment.yaml", RAW, TYPO)
    found = relais("check", copy.folder, "--json").document["findings"]
    assert {(one["code"], one["severity"]) for one in found} == {("path.unseen", "warning")}
    assert relais("check", copy.folder).code == 0
    assert relais("check", copy.folder, "--strict").code == 3


@pytest.mark.parametrize(
    ("french", "words"),
    [(False, ("warning", "is in none", "→ Did you mean patient_fever?", "0 error(s)")),
     (True, ("avertissement", "n'est dans aucune", "→ Vouliez-vous dire patient_fever ?", "0 erreur(s)"))],
)  # fmt: skip
def test_for_people_the_line_is_shown_with_the_place_in_it(
    relais: Relais, copy: PackCopy, monkeypatch: pytest.MonkeyPatch, french: bool, words: tuple[str, ...]
) -> None:
    line = copy.change("forms/cht/assessment.yaml", RAW, TYPO)
    monkeypatch.setattr("connector.cli.output.FRENCH", french)
    text = relais("check", copy.folder).out
    for word in ("forms/cht/assessment.yaml", f"{line}:", "path.unseen", *words):
        assert word in text
    shown = text.splitlines()
    (at,) = (number for number, one in enumerate(shown) if one.strip() == TYPO)
    assert shown[at + 1].index("^") == shown[at].index("patient_fevre")


def test_the_line_of_a_secret_is_not_shown(relais: Relais, copy: PackCopy) -> None:
    copy.change("connector.yaml", "token: ${RELAIS_DHIS2_TOKEN}", "token: d2pat_0123456789abcdef")
    said = relais("check", copy.folder)
    assert said.code == 3 and "secret.written" in said.out and "d2pat_0123456789abcdef" not in said.out + said.err


def test_a_folder_that_is_no_pack_is_a_mistake_of_configuration(relais: Relais, tmp_path: Path) -> None:
    assert relais("check", tmp_path).code == 2


# ---------------------------------------------------------------- schema


def test_the_schema_of_a_kind_of_file(relais: Relais) -> None:
    said = relais("schema", "indicators")
    assert said.code == 0
    assert said.document["properties"]["indicators"]["items"]["properties"]["by"]


def test_the_kinds_and_what_an_editor_is_told(relais: Relais) -> None:
    found = relais("schema", "--json").document
    assert set(found["kinds"]) == set(KINDS_OF_FILE)
    assert found["yaml.schemas"][".schema/form.schema.json"] == ["forms/*/*.yaml", "!forms/*/*.test.yaml"]
    listed = relais("schema").out
    assert all(kind in listed for kind in KINDS_OF_FILE)


def test_one_schema_per_kind_in_a_folder(relais: Relais, tmp_path: Path) -> None:
    assert relais("schema", "--out", tmp_path / "schemas").code == 0
    assert {path.name for path in (tmp_path / "schemas").iterdir()} == {f"{kind}.schema.json" for kind in KINDS_OF_FILE}


def test_a_kind_there_is_not(relais: Relais) -> None:
    said = relais("schema", "indicator")
    assert said.code == 2 and "indicators" in said.err


def test_a_command_that_only_reads_a_pack_imports_nothing_else() -> None:
    """What the other commands need takes longer to import than a whole pack to check."""
    program = (
        "import sys; from connector.cli.app import READING, with_commands; app = with_commands(sys.argv[1])\n"
        "print({one.name or one.callback.__name__ for one in app.registered_commands} == {*READING})\n"
        "print({'sqlalchemy', 'httpx', 'cryptography', 'connector.bootstrap'} & {*sys.modules})"
    )
    said = subprocess.run([sys.executable, "-c", program, READING[0]], capture_output=True, text=True, check=True)
    assert said.stdout.split("\n")[:2] == ["True", "set()"]
