"""The environment: every setting of Relais itself. What belongs to a country's set-up is in its pack instead."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from connector.errors import ConfigError, SecretMissing


class Settings(BaseSettings):
    """Read from ``RELAIS_*``. An empty variable counts as not set. Build it with ``load``."""

    model_config = SettingsConfigDict(env_prefix="RELAIS_", env_ignore_empty=True, extra="ignore", frozen=True)

    #: Folder of the configuration pack.
    pack: Path = Path("config/mali-health")
    #: Folder for the database, keys, exports.
    home: Path = Path("var")
    #: SQLAlchemy URL; SQLite or PostgreSQL. Not set: an SQLite file in ``home``.
    database_url: SecretStr | None = None
    #: Key for what is encrypted at rest, or the file that holds it. Give one of the two.
    master_key: SecretStr | None = None
    master_key_file: Path | None = None
    #: While the master key is being changed (``relais rekey``): the new one, accepted beside the old.
    new_master_key: SecretStr | None = None
    new_master_key_file: Path | None = None
    #: Folder of ``${file:NAME}`` secrets.
    secrets_dir: Path | None = None
    #: Where signed heads of the audit trail go: a file elsewhere, or ``syslog:``. Not set: ``home/heads``.
    audit_heads: str | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    env: Literal["demo", "production"] = "production"
    #: Factor on the quiet time after an unknown answer. Below 1 only against simulators.
    quiet_scale: float = Field(default=1.0, gt=0, le=100, allow_inf_nan=False)
    #: Factor on the waits between tries.
    retry_scale: float = Field(default=1.0, gt=0, le=100, allow_inf_nan=False)
    #: Largest body of a pushed document, bytes.
    ingest_limit: int = Field(default=5_000_000, ge=1_000, le=100_000_000)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def load(cls) -> Settings:
        """The settings of this process. ConfigError names each bad variable, never its value."""
        try:
            return cls()
        except ValidationError as error:
            raise _unusable(error.errors()) from None

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in use (it may hold a password: never log it)."""
        if self.database_url:
            return self.database_url.get_secret_value()
        return f"sqlite:///{(self.home / 'relais.db').absolute()}"

    @property
    def heads(self) -> str:
        return self.audit_heads or str(self.home / "heads")

    @property
    def heads_elsewhere(self) -> bool:
        """False when the signed heads lie beside the database, where whoever alters one can alter both."""
        home = self.home.absolute()
        return self.audit_heads is not None and not Path(self.audit_heads).absolute().is_relative_to(home)

    def secret_file(self, name: str) -> str:
        """The content of ``${file:NAME}``, without the line end. SecretMissing when there is none."""
        if self.secrets_dir is None:
            raise SecretMissing(
                f"${{file:{name}}} is named by the pack, but RELAIS_SECRETS_DIR is not set.",
                french=f"Le paquet nomme ${{file:{name}}}, mais RELAIS_SECRETS_DIR n'est pas défini.",
            )
        path = self.secrets_dir / name
        if path.resolve().parent != self.secrets_dir.resolve() or not path.is_file():
            raise SecretMissing(
                f"${{file:{name}}}: there is no file {name} in {self.secrets_dir}.",
                french=f"${{file:{name}}} : il n'y a pas de fichier {name} dans {self.secrets_dir}.",
            )
        return path.read_text(encoding="utf-8").rstrip("\r\n")


def _unusable(errors: Iterable[Any]) -> ConfigError:
    """Pydantic's own words, which are English, in both."""
    said = [("RELAIS_" + "_".join(str(part) for part in one["loc"]).upper(), one["msg"]) for one in errors]
    return ConfigError(
        "; ".join(f"{name} cannot be used: {why}" for name, why in said),
        french=f"{' ; '.join(f'{name} ne peut pas servir ({why})' for name, why in said)}. Relais n'a rien fait. "
        "Corrigez cette variable.",
    )
