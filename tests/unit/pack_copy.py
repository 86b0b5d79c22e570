"""The shipped pack copied into a folder of the test, with some of its lines changed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from connector.mappings.config import load_pack
from connector.mappings.lint import lint
from connector.mappings.pack import Pack
from connector.model import Finding

SHIPPED = Path(__file__).parents[2] / "config" / "mali-health"
ENVIRONMENT = {
    "RELAIS_CHT_URL": "http://127.0.0.1:9101",
    "RELAIS_CHT_USER": "relais",
    "RELAIS_CHT_PASSWORD": "canary-password",
    "RELAIS_DHIS2_URL": "http://127.0.0.1:9102",
    "RELAIS_DHIS2_TOKEN": "canary-token",
    "RELAIS_OPENMRS_URL": "http://127.0.0.1:9103",
    "RELAIS_OPENMRS_USER": "relais",
    "RELAIS_OPENMRS_PASSWORD": "canary-password",
    "RELAIS_FHIR_URL": "http://127.0.0.1:9104",
    "RELAIS_FOLDER": "/srv/relais",
}


class PackCopy:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pack"
        shutil.copytree(SHIPPED, self.folder)

    def change(self, name: str, old: str, new: str) -> int:
        """Replace ``old`` (it must be there) once; returns the line of the change."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return text[: text.index(old)].count("\n") + 1

    def append(self, name: str, text: str) -> int:
        path = self.folder / name
        before = path.read_text(encoding="utf-8")
        path.write_text(before + text, encoding="utf-8")
        return before.count("\n") + 1

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def load(self, env: Mapping[str, str] = ENVIRONMENT, *, strict: bool = True) -> tuple[Pack, list[Finding]]:
        """The pack and everything found, by reading and by lint."""
        pack, findings = load_pack(self.folder, env, strict=strict)
        return pack, findings + lint(pack)

    def findings(self, env: Mapping[str, str] = ENVIRONMENT) -> list[Finding]:
        return self.load(env)[1]

    def codes(self) -> list[str]:
        return [finding.code for finding in self.findings()]
