"""``make demo ONCE=1`` with each importer of DHIS2 and each OpenMRS, as a newcomer runs it. Slow: ``make road``."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("dhis2", "openmrs"), [("legacy", "o3"), ("v43", "o3"), ("v43", "platform2")])
def test_the_demo_settles_equal_to_what_is_expected(dhis2: str, openmrs: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "--silent", "demo", "ONCE=1", f"DHIS2={dhis2}", f"OPENMRS={openmrs}"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["outcome"] == "settled"
