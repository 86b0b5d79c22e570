"""Which language the terminal speaks, and what the sandbox says to type in another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.cli.output import in_french
from connector.cli.sandbox import _load


@pytest.mark.parametrize(
    ("environment", "french"),
    [({}, True), ({"LANG": "C.UTF-8"}, True), ({"LANG": "C"}, True), ({"LANG": "POSIX"}, True), ({"LANG": ""}, True),
     ({"LANG": "fr_ML.UTF-8"}, True), ({"LANG": "en_GB.UTF-8"}, False), ({"LANG": "cs_CZ.UTF-8"}, False),
     ({"RELAIS_LANG": "en", "LANG": "fr_FR"}, False), ({"RELAIS_LANG": "", "LANG": "en"}, False)],
)  # fmt: skip
def test_french_unless_another_language_is_named(environment: dict[str, str], french: bool) -> None:
    assert in_french(environment) is french


def test_the_variables_of_a_pack_are_loaded_after_those_of_the_sandbox() -> None:
    command, _ = _load(Path("var/sandbox.env"))
    assert command.endswith("set -a; . var/sandbox.env; . ./relais.env; set +a")
