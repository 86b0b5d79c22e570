"""The fault simulation: ``scripts/sim.py --seeds 2000``, ``--seed 4711 [--trace]``, ``--teeth``, ``--outage 100000``.

Exit code 1 when a promise was not kept; the last line repeats the failure.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import logging
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

#: Most worlds given to one planted bug.
PATIENCE = 500


def one(seed: int) -> tuple[int, str | None]:
    from tests.sim import plan, world

    return seed, attempt(lambda: world.play(plan.plan(seed))[0])


def attempt(play: Any) -> str | None:
    """What broke; an exception of the connector is a failure like any other."""
    try:
        found: str | None = play()
        return found
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def tooth(name: str) -> tuple[str, int | None, str]:
    """The first seed that finds the bug, and what it said. A plant that no longer fits the code it is put into is
    no bug that was found."""
    from tests.sim import plan, teeth, world

    with teeth.planted(name):
        for seed in range(PATIENCE):
            broken = attempt(lambda seed=seed: world.play(plan.plan(seed))[0])
            if broken and broken.startswith(("TypeError", "AttributeError", "NameError")):
                return name, None, f"NOT FOUND: the plant itself broke, {broken}"
            if broken:
                return name, seed, broken
    return name, None, "NOT FOUND"


def pool(workers: int) -> Any:
    from tests.sim import world

    world.prepare()
    return multiprocessing.get_context("fork").Pool(workers, initializer=quiet)


def quiet() -> None:
    gc.set_threshold(50_000, 50, 50)  # many short-lived objects, little memory
    logging.disable(logging.CRITICAL)


def seeds(count: int, first: int, workers: int) -> int:
    from tests.sim import plan

    plans = [plan.plan(seed) for seed in range(first, first + count)]
    others = [set(one.actors) for one in plans]
    tracked = sum("tracker" in one.targets for one in plans)
    overlaps = sum("second" in actors or "operator" in actors for actors in others)
    started = time.monotonic()
    failures: list[tuple[int, str]] = []
    with pool(workers) as made:
        for done, (seed, broken) in enumerate(made.imap(one, range(first, first + count)), 1):
            if broken:
                failures.append((seed, broken))
                print(f"seed {seed}: {broken}\n  repeat: make sim SEED={seed}", flush=True)
            if done % 200 == 0:
                print(f"  {done} seeds, {done / (time.monotonic() - started):.1f} seeds/s", flush=True)
    spent = time.monotonic() - started
    print(f"{count} seeds, {len(failures)} failures, {spent:.0f} s, {count / spent:.1f} seeds/s")
    pushes = sum("push" in actors for actors in others)
    print(f"{overlaps} of them with a second runner or an operator, {pushes} with pushes, {tracked} with a tracker")
    if failures:
        report(failures[0][0])
    return 1 if failures else 0


def report(seed: int) -> None:
    """Shrink the failure and show what is left of it."""
    from tests.sim import plan, world
    from tests.sim.shrink import shrink

    found = shrink(plan.plan(seed), lambda p: attempt(lambda: world.play(p)[0]) is not None)
    print(f"the smallest world found that still fails: {attempt(lambda: world.play(found)[0])}")
    print("\n".join(found.shown()))
    print(f"make sim SEED={seed}")


def single(seed: int, trace: bool) -> int:
    from tests.sim import plan, world

    made = plan.plan(seed)
    broken, ended = world.play(made, keep_trace=True)
    lines = ended.lines or []
    if trace:
        print("\n".join(lines))
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    print(f"seed {seed}: {broken or 'settled, nothing lost, nothing twice'}; trace {len(lines)} lines {digest[:32]}")
    if broken:
        print("\n".join(made.shown()))
        if not trace:
            report(seed)
    return 1 if broken else 0


def all_teeth(workers: int, only: list[str]) -> int:
    from tests.sim import teeth

    names = only or list(teeth.BUGS)
    missed = []
    print(f"{'planted bug':44} {'seed':>5}  found by")
    with pool(workers) as made:
        for name, seed, words in made.imap_unordered(tooth, names):
            print(f"{name:44} {'-' if seed is None else seed:>5}  {words[:110]}", flush=True)
            missed += [name] if seed is None else []
    print(f"{len(names)} planted bugs, {len(names) - len(missed)} found")
    return 1 if missed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--teeth", nargs="*", metavar="NAME")
    parser.add_argument("--outage", type=int, metavar="DELIVERIES")
    parser.add_argument("--workers", type=int, default=int(os.environ.get("WORKERS") or 2))
    given = parser.parse_args()
    quiet()
    if given.outage is not None:
        from tests.sim.outage import outage

        figures = outage(given.outage)
        print("\n".join(f"{name}: {value}" for name, value in figures.items()))
        return 1 if figures["broken"] else 0
    if given.teeth is not None:
        return all_teeth(given.workers, given.teeth)
    if given.seed is not None:
        return single(given.seed, given.trace)
    return seeds(given.seeds, given.first, given.workers)


if __name__ == "__main__":
    sys.exit(main())
