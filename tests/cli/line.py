"""Commands as a person gives them: arguments in, exit code and what was printed out."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from connector import cli
from tests.unit.pack_copy import ENVIRONMENT, SHIPPED

MASTER_KEY = "c" * 42 + "A"


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return orjson.loads(self.out)


Relais = Callable[..., Said]


@pytest.fixture
def relais(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Relais]:
    """``relais("preview", "assessment", stdin="{...}")``: with the shipped pack and a home of its own."""
    for name in [name for name in os.environ if name.startswith("RELAIS_")]:
        monkeypatch.delenv(name)
    variables: Mapping[str, str] = {
        **ENVIRONMENT, "RELAIS_PACK": str(SHIPPED), "RELAIS_HOME": str(tmp_path / "home"), "RELAIS_LANG": "en",
        "RELAIS_MASTER_KEY": MASTER_KEY, "COLUMNS": "200",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("connector.cli.output.FRENCH", False)

    def give(*arguments: object, stdin: str = "") -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["relais", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return Said(int(stop.value.code or 0), printed.out, printed.err)

    yield give
