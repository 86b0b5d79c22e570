"""The simulation in small: fifty worlds, the same seed twice, a few planted bugs, a short outage.

It runs in processes of its own, as ``make sim`` does: hash seeds differ between them, so that a trace that depends on
one shows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim import teeth

ROOT = Path(__file__).resolve().parents[2]
#: Found within the first seeds, each by another check.
QUICK = ("settle before send", "a name in the trail")


def sim(*arguments: str, hash_seed: str = "0") -> str:
    done = subprocess.run(
        [sys.executable, "scripts/sim.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_fifty_worlds_lose_nothing() -> None:
    assert "50 seeds, 0 failures" in sim("--seeds", "50")


def test_the_same_seed_gives_the_same_trace() -> None:
    traces = [sim("--seed", "4", "--trace", hash_seed=number) for number in ("1", "2")]
    assert traces[0] == traces[1] and len(traces[0].splitlines()) > 50


def test_planted_bugs_are_found() -> None:
    assert f"{len(QUICK)} found" in sim("--teeth", *QUICK)


@pytest.mark.parametrize("name", teeth.BUGS)
def test_every_planted_bug_still_fits_the_code(name: str) -> None:
    """What it is put in the place of is there; whether it is found, ``make sim-teeth`` says."""
    with teeth.planted(name):
        pass


def test_ten_days_without_the_target_park_nothing() -> None:
    assert "broken: []" in sim("--outage", "1000")
