"""A crash at a share of the boundaries; ``make crashes`` takes every one. In a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARE = (
    "first-page", "deletion", "answer", "refused-value", "lost-answer", "restore", "tracker",
)  # fmt: skip


def crashes(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/crashes.py", "--workers", "1", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_crash_at_a_share_of_the_boundaries_changes_no_ending() -> None:
    done = crashes("--every", "300", "--scenario", *SHARE)
    assert done.returncode == 0 and f"{len(SHARE)} scenarios, " in done.stdout, done.stdout + done.stderr
    assert " 0 failures" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "planted", "words"),
    [
        ("first-page", "cursor saved before records", "the cursor is ahead of"),
        ("referral", "lease never expires", "a run ended waiting"),
        ("referral", "step cursor lost", ""),
        ("completion", "audit outside the transaction", "attempts"),
    ],
)
def test_a_planted_bug_is_seen(scenario: str, planted: str, words: str) -> None:
    done = crashes("--scenario", scenario, "--every", "3", "--planted", planted)
    assert done.returncode == 1 and words in done.stdout, done.stdout + done.stderr
    assert f"repeat: make crashes SCENARIO={scenario} POINT=" in done.stdout
