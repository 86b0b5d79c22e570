"""Settings come from the environment; a bad one is named, never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from connector.errors import ConfigError, SecretMissing
from connector.settings import Settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RELAIS_"):
            monkeypatch.delenv(name)


def test_the_defaults_are_those_of_the_reference() -> None:
    settings = Settings.load()
    assert (settings.pack, settings.home) == (Path("config/mali-health"), Path("var"))
    assert (settings.host, settings.port, settings.env) == ("127.0.0.1", 8000, "production")
    assert settings.database == f"sqlite:///{Path('var/relais.db').absolute()}"
    assert settings.heads == "var/heads"
    assert (settings.quiet_scale, settings.retry_scale, settings.log_level) == (1, 1, "info")
    assert settings.master_key is None


def test_every_setting_has_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {
        "PACK": str(tmp_path), "HOME": str(tmp_path / "home"), "DATABASE_URL": "postgresql+psycopg://u:p@db/relais",
        "MASTER_KEY": "k", "MASTER_KEY_FILE": str(tmp_path / "k"), "SECRETS_DIR": str(tmp_path),
        "AUDIT_HEADS": "syslog:", "HOST": "0.0.0.0", "PORT": "9000", "ENV": "demo", "QUIET_SCALE": "0.01",
        "RETRY_SCALE": "0.02", "LOG_LEVEL": "debug", "INGEST_LIMIT": "2000",
    }  # fmt: skip
    assert {name.lower() for name in values} == set(Settings.model_fields), "a new setting belongs here"
    for name, value in values.items():
        monkeypatch.setenv(f"RELAIS_{name}", value)
    settings = Settings.load()
    assert settings.database == "postgresql+psycopg://u:p@db/relais"
    assert settings.heads == "syslog:" and settings.port == 9000 and settings.env == "demo"
    assert (settings.quiet_scale, settings.retry_scale) == (0.01, 0.02)
    assert settings.ingest_limit == 2000


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAIS_MASTER_KEY_FILE", "")
    monkeypatch.setenv("RELAIS_PORT", "")
    assert Settings.load().master_key_file is None and Settings.load().port == 8000


@pytest.mark.parametrize(
    ("name", "value"),
    [("RELAIS_PORT", "eighty-Fanta"), ("RELAIS_PORT", "70000"), ("RELAIS_ENV", "Fanta"), ("RELAIS_QUIET_SCALE", "0"),
     ("RELAIS_RETRY_SCALE", "inf"), ("RELAIS_LOG_LEVEL", "Fanta")],
)  # fmt: skip
def test_a_bad_value_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name) as caught:
        Settings.load()
    assert caught.value.exit_code == 2
    assert "Fanta" not in str(caught.value)


def test_secrets_do_not_show_in_a_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAIS_MASTER_KEY", "Fanta")
    monkeypatch.setenv("RELAIS_DATABASE_URL", "postgresql+psycopg://u:Fanta@db/relais")
    assert "Fanta" not in repr(Settings.load())


@pytest.mark.parametrize(
    ("heads", "elsewhere"), [(None, False), ("var/kept", False), ("/mnt/heads", True), ("syslog:", True)]
)
def test_heads_beside_the_database_are_not_elsewhere(
    monkeypatch: pytest.MonkeyPatch, heads: str | None, elsewhere: bool
) -> None:
    if heads:
        monkeypatch.setenv("RELAIS_AUDIT_HEADS", heads)
    assert Settings.load().heads_elsewhere is elsewhere


def test_a_secret_file_is_read_from_its_folder_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SecretMissing, match="RELAIS_SECRETS_DIR"):
        Settings.load().secret_file("dhis2")
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "dhis2").write_text("token \n")
    (tmp_path / "outside").write_text("no")
    monkeypatch.setenv("RELAIS_SECRETS_DIR", str(folder))
    settings = Settings.load()
    assert settings.secret_file("dhis2") == "token "
    for name in ("absent", "../outside", str(tmp_path / "outside"), "."):
        with pytest.raises(SecretMissing):
            settings.secret_file(name)
