"""A crash at every boundary of every scenario: ``scripts/crashes.py [--every N] [--scenario NAME ... [--point K]]``.

Exit code 1 when something did not end as it does without the crash; each such line is followed by the one that
repeats it. ``--planted BUG`` puts one of the planted bugs of the simulation in and stops where it is seen.
"""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def one(what: tuple[str, int]) -> tuple[str, int, str | None]:
    from tests.sim import crashes

    name, point = what
    return name, point, crashes.crash(name, point)[0]


def points(names: list[str], every: int) -> list[tuple[str, int]]:
    """Every N-th boundary of each scenario, beginning at another one in each. The dry runs are made here."""
    from tests.sim import crashes

    found = []
    for number, name in enumerate(names):
        count, _ = crashes.dry(name)
        if every == 1:
            print(f"  {name}: {count} points")
        found += [(name, point) for point in range(1 + number * every // len(names), count + 1, every)]
    return found


def single(name: str, point: int) -> int:
    from tests.sim import crashes

    broken, stage = crashes.crash(name, point, keep_trace=True)
    print("\n".join(stage.lines or []))
    print(f"{name}, point {point} of {crashes.dry(name)[0]}: {broken or 'as without the crash'}")
    return 1 if broken else 0


def main() -> int:
    from tests.sim import crashes, scenes, teeth  # noqa: F401 (the scenes enter themselves)

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--scenario", nargs="+", choices=list(crashes.SCENARIOS), default=list(crashes.SCENARIOS))
    parser.add_argument("--point", type=int)
    parser.add_argument("--planted", choices=list(teeth.BUGS), metavar="BUG")
    parser.add_argument("--workers", type=int, default=int(os.environ.get("WORKERS") or 2))
    given = parser.parse_args()
    quiet()
    names: list[str] = given.scenario
    if given.point is not None:
        return single(names[0], given.point) if len(names) == 1 else parser.error("--point needs one --scenario")
    started = time.monotonic()
    todo = points(names, given.every)
    done = failures = 0
    with (
        teeth.planted(given.planted) if given.planted else nullcontext(),
        # The workers are forked after the dry runs: those are made once, and what they read is shared.
        multiprocessing.get_context("fork").Pool(given.workers, initializer=quiet) as pool,
    ):
        for name, point, broken in pool.imap(one, todo):
            done += 1
            if broken:
                failures += 1
                print(f"{name}, point {point}: {broken}", flush=True)
                print(f"  repeat: make crashes SCENARIO={name} POINT={point}", flush=True)
                if given.planted:
                    break
    spent = time.monotonic() - started
    print(f"{len(names)} scenarios, {done} points, {failures} failures, {spent:.0f} s, {done / spent:.1f} points/s")
    return 1 if failures else 0


def quiet() -> None:
    gc.set_threshold(50_000, 50, 50)  # many short-lived objects, little memory
    logging.disable(logging.CRITICAL)


if __name__ == "__main__":
    sys.exit(main())
