"""How much is tried: a small, always equal share in ``make test``, the whole by ``make properties``."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings

FULL = os.environ.get("PROPERTIES") == "full"
#: ``EXAMPLES=n`` of ``make properties`` replaces the number of examples of every test.
EXAMPLES = os.environ.get("EXAMPLES", "")
#: ``SHRINK=1``: make what fails small before it is shown, which takes minutes.
SHRINK = os.environ.get("SHRINK", "") not in ("", "0")


def examples(small: int, full: int) -> int:
    return (int(EXAMPLES) if EXAMPLES else full) if FULL else small


def scale(small: int, full: int, **more: Any) -> settings:
    """Chance only where there is time for it: a run of ``make test`` never differs from the one before."""
    return settings(
        max_examples=examples(small, full),
        derandomize=not FULL,
        deadline=None,
        database=None,
        print_blob=True,
        phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if SHRINK else [])],
        report_multiple_bugs=False,
        suppress_health_check=[*HealthCheck],
        **more,
    )
