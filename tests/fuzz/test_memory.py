"""Answers too big for the machine, over real sockets, in a process of their own: what is read stays small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

#: MiB above the start. The biggest page of a source may have 32 MiB and is held twice while it is put together. What
#: is valid and made to be costly (12 MiB of empty lists) is read, within the bound on its bytes, and takes 20 times as
#: much as objects.
MOST, MOST_OF_OBJECTS = 120, 500
DEADLINE = 0.5


@pytest.mark.slow
def test_bombs_floods_and_drips_cost_little() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.heavy"], cwd=root, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["kind"] for line in lines} == {"drip", "bomb", "noise", "flood", "deep", "big"} and len(lines) == 30
    for line in lines:
        print(line)
        assert line["mib"] < (MOST_OF_OBJECTS if line["kind"] == "big" else MOST), line
        assert line["sent_mib"] < 120, line  # three times the biggest page, of the 1,024 that were to be had
        if line["kind"] == "drip":
            assert line["seconds"] < 3 * DEADLINE + 5, line
