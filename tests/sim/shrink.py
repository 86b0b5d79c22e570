"""From a failing plan to a smaller one that still fails: fewer events, faults, crashes, actors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.sim.plan import TARGETS, Plan


def smaller(plan: Plan) -> Iterator[Plan]:
    """Plans with one thing less, the biggest cuts first."""
    for name in ("actors", "crashes", "jumps", "faults", "events"):
        held = getattr(plan, name)
        size = len(held)
        while size >= 1:
            for start in range(0, len(held), size):
                yield replace(plan, **{name: held[:start] + held[start + size :]})
            size //= 2
    if len(plan.targets) > 1:
        for left_out in TARGETS:
            if left_out in plan.targets and left_out != "dhis2":
                yield replace(plan, targets=tuple(t for t in plan.targets if t != left_out))


def whole(plan: Plan) -> bool:
    """The oracle looks up the person of every visit."""
    put = {e.id for e in plan.events if e.what == "put"}
    return all(e.doc.get("fields", {}).get("patient_id", "person-a") in put for e in plan.events)


def shrink(plan: Plan, fails: Callable[[Plan], bool], tries: int = 200) -> Plan:
    """The smallest plan found within ``tries`` worlds."""
    while tries > 0:
        for other in smaller(plan):
            if not whole(other):
                continue
            tries -= 1
            if fails(other):
                plan = other
                break
            if tries <= 0:
                return plan
        else:
            return plan
    return plan
