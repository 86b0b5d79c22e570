"""What the terminal says when something is wrong: French where it is set to French, English elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from connector.cli import doctor, output
from connector.model import Finding, Severity
from tests.cli.line import Relais

FRENCH = pytest.param(True, id="fr")
ENGLISH = pytest.param(False, id="en")


@pytest.mark.parametrize(
    ("french", "said"),
    [
        pytest.param(True, "config.secret_missing : Il n'y a pas de clé maîtresse. Créez-en une", id="fr"),
        pytest.param(False, "config.secret_missing: There is no master key. Make one", id="en"),
    ],
)
def test_an_error_is_said_in_the_language_of_the_terminal(
    relais: Relais, monkeypatch: pytest.MonkeyPatch, french: bool, said: str
) -> None:
    monkeypatch.delenv("RELAIS_MASTER_KEY")
    monkeypatch.setattr(output, "FRENCH", french)
    answer = relais("rekey")
    assert (answer.code, answer.out) == (2, "") and answer.err.startswith(said)
    assert ("There is no" in answer.err) is not french


def test_json_says_it_in_both_languages(relais: Relais, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RELAIS_MASTER_KEY")
    for french in (True, False):
        monkeypatch.setattr(output, "FRENCH", french)
        found = relais("rekey", "--json").document
        assert found["error"] == "config.secret_missing"
        assert found["message"].startswith("There is no master key.")
        assert found["message_fr"].startswith("Il n'y a pas de clé maîtresse.")


def test_square_brackets_are_shown_as_they_are(relais: Relais, tmp_path: Path) -> None:
    folder = tmp_path / "[red]pack"
    folder.mkdir()
    (folder / "there").touch()
    answer = relais("init", folder, "--starter")
    assert answer.code == 2 and str(folder) in answer.err.replace("\n", "")


@pytest.mark.parametrize("french", [FRENCH, ENGLISH])
def test_the_sandbox_says_what_is_wrong_with_its_options(
    relais: Relais, monkeypatch: pytest.MonkeyPatch, french: bool
) -> None:
    monkeypatch.setattr(output, "FRENCH", french)
    answer = relais("sandbox", "expected", "--zone", "Nowhere")
    assert answer.code == 1 and ("bac à sable" if french else "The sandbox did not start") in answer.err


# ---------------------------------------------------------------- doctor


@pytest.mark.parametrize(
    ("french", "said"),
    [
        pytest.param(True, ["démarrage", "Il n'y a pas de clé maîtresse.", "1 à corriger, 0 à surveiller"], id="fr"),
        pytest.param(False, ["start", "There is no master key.", "1 to mend, 0 to watch"], id="en"),
    ],
)
def test_the_doctor_says_why_relais_does_not_start(
    relais: Relais, monkeypatch: pytest.MonkeyPatch, french: bool, said: list[str]
) -> None:
    monkeypatch.delenv("RELAIS_MASTER_KEY")
    monkeypatch.setattr(output, "FRENCH", french)
    answer = relais("doctor")
    assert answer.code == 3 and all(one in answer.out for one in said)
    last = relais("doctor", "--json").document["checks"][-1]
    assert {key: last[key] for key in ("name", "ok", "severity", "remedy")} == {
        "name": "start", "ok": False, "severity": "error", "remedy": "See the message.",
    }  # fmt: skip
    assert last["message"].startswith("There is no master key.")
    assert last["message_fr"].startswith("Il n'y a pas de clé maîtresse.") and last["remedy_fr"]


def test_every_check_of_the_doctor_speaks_both_languages(
    monkeypatch: pytest.MonkeyPatch, relais: Relais, tmp_path: Path
) -> None:
    """Nobody answers, and no disk is big enough: each check of this machine, and each connection with a finding."""
    monkeypatch.setattr(doctor, "ROOM", 10**18)
    for name in ("CHT", "DHIS2", "OPENMRS", "FHIR"):
        monkeypatch.setenv(f"RELAIS_{name}_URL", "http://127.0.0.1:1")  # nothing listens there
    monkeypatch.setenv("RELAIS_FOLDER", str(tmp_path / "none"))
    checks = {one["name"]: one for one in relais("doctor", "--json").document["checks"]}
    connections = {"cht", "odk", "kobo", "outreach", "dhis2", "openmrs", "fhir", "cht_answers"}
    assert set(checks) == {"version", "pack", "database", "disk", "audit heads"} | connections
    assert connections.isdisjoint(doctor.NAMES) and set(checks) - connections <= set(doctor.NAMES)
    bad = {name for name, one in checks.items() if not one["ok"]}
    assert bad == {"disk", "audit heads"} | connections
    for name in bad:
        one = checks[name]
        assert one["remedy"] and one["remedy_fr"] and one["message"], name
        assert one["message_fr"] != one["message"] and one["remedy_fr"] != one["remedy"], name
    assert checks["disk"]["remedy_fr"].startswith("Libérez au moins 500 Mo")
    assert "joignable d'ici" in checks["dhis2"]["remedy_fr"]


def _made(*findings: Finding, pack: object = None) -> SimpleNamespace:
    async def probe() -> list[Finding]:
        return list(findings)

    one = SimpleNamespace(probe=probe)
    return SimpleNamespace(engine=SimpleNamespace(sources={"cht": one}, targets={}), pack=pack)


def test_a_finding_is_shown_in_both_languages_with_its_brackets_and_without_its_name_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "placed", lambda pack, name, found, reasons: list(found))
    told = Finding(
        "x",
        Severity.WARNING,
        "cht: only [bold]en[/bold]",
        "Mend [it].",
        french=("cht : mal [0]", "", "Corrigez [cela]."),
    )
    checks = asyncio.run(doctor._connections(_made(told)))  # type: ignore[arg-type]
    monkeypatch.setattr(output, "FRENCH", False)
    doctor._show(checks)
    english = capsys.readouterr().out
    assert "only [bold]en[/bold]" in english and "Mend [it]." in english and "cht:" not in english
    monkeypatch.setattr(output, "FRENCH", True)
    doctor._show(checks)
    french = capsys.readouterr().out
    assert "mal [0]" in french and "Corrigez [cela]." in french and "0 à corriger, 1 à surveiller" in french
    assert checks[0].document["message"] == "cht: only [bold]en[/bold]" and checks[0].document["ok"] is False
    well = asyncio.run(doctor._connections(_made()))  # type: ignore[arg-type]
    doctor._show(well)
    assert "joignable, accès accepté" in (good := capsys.readouterr().out) and "Tout va bien." in good
