"""What a person sees of records: what could not be used is said in words, and keys can be copied at 80 columns."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from connector.cli import looking, setting_up
from connector.engine.setting_up import SetUp
from connector.model import Lack, Survey
from tests.cli.line import Relais
from tests.engine.house import meeting

KEY = "uuid:8f2c4f0e-5d0b-4f9b-9a3e-0c1d2e3f4a5b"
RECORD = f"odk/reunion_groupe_epargne/{KEY}"


@pytest.fixture
def read(relais: Relais, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Relais:
    """Two meetings were read: one with a sum that is none, one of a group that no org unit has."""
    for name in ("odk", "kobo", "outreach"):
        (tmp_path / "files" / name).mkdir(parents=True)
    monkeypatch.setenv("RELAIS_FOLDER", str(tmp_path / "files"))
    monkeypatch.setenv("COLUMNS", "80")
    odd = {**meeting(1, saved="deux mille"), "__id": KEY}
    lost = {**meeting(2, group="GE-UNKNOWN"), "__id": KEY.replace("8f2c", "0000")}
    lines = b"".join(orjson.dumps(one) + b"\n" for one in (odd, lost))
    (tmp_path / "files" / "odk" / "reunion_groupe_epargne-1.ndjson").write_bytes(lines)
    relais.first = relais("run", "--dry-run", "--source", "odk")  # type: ignore[attr-defined]
    return relais


def test_what_could_not_be_used_is_said_everywhere(read: Relais, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "1 record has an answer to look at: relais quarantine --flagged"
    assert said in read.first.out and said in read("status").out  # type: ignore[attr-defined]
    assert "1 record in quarantine" in read.first.out  # type: ignore[attr-defined]
    assert read("status", "--json").document["flagged"] == 1
    (row,) = read("quarantine", "--flagged", "--json").document
    assert (row["key"], row["flags"]) == (KEY, [{"code": "fact.failed", "fact": "saved_xof"}])
    assert read("quarantine", "--flagged", "--source", "cht", "--json").document == []
    shown = read("quarantine", "--flagged").out
    assert RECORD in shown and "The expression failed on this record: saved_xof" in " ".join(shown.split())
    monkeypatch.setattr("connector.cli.output.FRENCH", False)
    assert "saved_xof, not a number" in " ".join(read("trace", "odk", KEY).out.split())
    monkeypatch.setattr("connector.cli.output.FRENCH", True)
    assert "saved_xof, pas un nombre" in " ".join(read("trace", "odk", KEY).out.split())


@pytest.mark.parametrize("columns", ["80", "120"])
def test_a_place_that_is_not_known_is_named_and_keys_stay_whole(
    read: Relais, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lost = RECORD.replace("8f2c", "0000")
    (row,) = read("quarantine", "--json").document
    assert (row["code"], row["detail"]) == ("place.no_org_unit", "GE-UNKNOWN")
    shown = read("quarantine").out
    assert lost in shown and "org_units.csv place GE-UNKNOWN" in shown
    assert max(map(len, shown.splitlines())) <= int(columns)
    counted = [" ".join(line.split()) for line in read("trace", RECORD).out.splitlines()]
    cells = read("trace", RECORD, "--json").document["cells"]
    assert cells and {f"{c['data_element']} {c['combo']} {c['org_unit']} {c['period']}" for c in cells} <= set(counted)
    traced = read("trace", lost).out
    assert "place GE-UNKNOWN" in traced and "fact" not in traced and "cell" not in traced


def test_a_source_that_is_silent_says_since_when_and_what_is_allowed(read: Relais) -> None:
    (odk,) = [c for c in read("status", "--json").document["connections"] if c["name"] == "odk"]
    assert (odk["state"], odk["silent_after"]) == ("silent", "35d")
    assert "silent_after allows 35d" in " ".join(read("status").out.split())


def test_a_form_that_nobody_mapped_is_named_once(read: Relais, tmp_path: Path) -> None:
    (tmp_path / "files" / "odk" / "inconnu-1.ndjson").write_bytes(orjson.dumps({"__id": "uuid:9"}) + b"\n")
    read("run", "--dry-run", "--source", "odk")
    (line,) = [one for one in read("quarantine", "--code", "form.unknown").out.splitlines() if "inconnu ·" in one]
    assert line.strip() == "inconnu · Mapping"


def test_why_a_target_needs_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.cli.output.FRENCH", False)
    parked = {"name": "dhis2", "state": "action_needed", "who": "target_admin", "reason": None}
    words = looking._why({**parked, "parked_reason": "dhis2.E7617"}, {}, "UTC")
    assert "dhis2.E7617" in words and "--where state=parked" in words and "Target administrator" in words
    assert looking._why({**parked, "state": "ok", "who": "nobody"}, {}, "UTC") == ""
    waits = {**parked, "state": "waiting", "who": "nobody", "next_try": "2026-11-30T06:00:00Z"}
    words = looking._why({**waits, "waiting_reason": "dhis2.period_not_open"}, {}, "Africa/Nairobi")
    assert words == "dhis2.period_not_open Next try: 2026-11-30 09:00"


def test_what_is_missing_at_a_target(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("connector.cli.output.FRENCH", True)
    lacks = [Lack("category", "SEXE", "Sexe"), Lack("data_element", "NUT1", "Dépistés")]
    setting_up._show(SetUp(Survey(lacks), created=[Lack("data_set", "NUT_M")]), None)
    said = capsys.readouterr()
    assert "+ ensembles de données : 1" in said.out and "pourquoi" not in said.out
    assert "Objets qui manquent : 2. Relais peut tout créer : --apply" in " ".join(said.err.split())
    setting_up._show(SetUp(Survey([*lacks, Lack("module", "ciel", why="by hand", french="à la main")])), None)
    said = capsys.readouterr()
    assert "à la main" in said.out and "3, dont Relais peut créer 2 :" in " ".join(said.err.split())
