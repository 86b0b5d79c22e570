"""Plans that are kept: under a number, with every delivery they would send, its generation and a mark of its content.

``relais run --plan`` sends just those, and nothing when one of them is wanted otherwise by now: what a person looked at
is what leaves.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from connector.engine import audit
from connector.engine.engine import Engine
from connector.engine.keys import block_of
from connector.engine.plan import PAGE, Line, mark_of, plan
from connector.errors import PlanChanged, PlanUnknown
from connector.model import State

#: Plans that are kept; an older one is forgotten, the audit trail has its digest.
KEPT = 20
#: Differences told when a plan is refused.
TOLD = 3


def keep(
    engine: Engine, by: str, target: str | None = None, period: str | None = None, limit: int = 1000
) -> dict[str, Any]:
    """Make a plan and keep it. The same as the newest one is the same number; a number never goes back."""
    pack = engine.pack.version
    number = engine.store.write(
        lambda unit: unit.new_plan(now=engine.now(), by=by, target=target or "", period=period or "", pack=pack)
    )
    total = hashlib.sha256(orjson.dumps([pack, target, period]))
    lines: list[dict[str, Any]] = []

    def write() -> None:
        engine.store.write(lambda unit: unit.keep_plan_deliveries(lines))
        lines.clear()

    def each(name: str, line: Line) -> None:
        total.update(orjson.dumps([name, line.key, line.generation, line.mark]))
        lines.append(
            {"plan": number, "delivery": line.id, "key": line.key, "generation": line.generation, "mark": line.mark}
        )
        if len(lines) >= PAGE:
            write()

    document = plan(engine, target, period, limit, each)
    write()
    mark = total.hexdigest()
    counts = {key: document[key] for key in ("new", "changed", "removed", "same", "frozen")}
    summary = {**counts, "blocked": len(document["blocked"])}

    def name(unit: Any) -> int:
        newest = unit.newest_plan()
        same = newest is not None and newest["digest"] == mark
        if not same:
            unit.keep_plan(number, mark, orjson.dumps(summary).decode())
            detail = {"plan": number, "digest": mark, **summary}
            audit.record(unit, at=engine.now(), event="plan.made", who=by, subject=str(number), detail=detail)
        return int(newest["id"] if same else number)

    found = engine.store.write(name)
    _forget(engine)
    return {"id": found, "digest": mark, "pack": pack, **document}


def _forget(engine: Engine) -> None:
    """Plans beyond the newest ones, and those that were never finished."""
    for old in engine.store.read(lambda unit: unit.plans_to_forget(KEPT)):
        while engine.store.write(lambda unit, o=old: unit.forget_plan(o, PAGE)):
            pass


def ready(engine: Engine, number: int) -> dict[str, Any]:
    """The plan, when everything it would send is still wanted as it was. Raises PlanUnknown, PlanChanged."""
    found = engine.store.read(lambda unit: unit.plan(number))
    if found is None or not found["digest"]:
        raise PlanUnknown()
    if found["pack"] != engine.pack.version:
        raise PlanChanged.because(
            number,
            f"le paquet ({found['pack'][:8]}, maintenant {engine.pack.version[:8]})",
            f"the pack ({found['pack'][:8]}, now {engine.pack.version[:8]})",
        )
    changed: list[tuple[str, str]] = []
    after, count = 0, 0
    while rows := engine.store.read(lambda unit, a=after: unit.plan_page(number, a, PAGE)):
        after = rows[-1]["delivery"]
        for row in rows:
            why = engine.store.read(lambda unit, r=row: _differs(engine, unit, r))
            if why is not None:
                count += 1
                changed += [(f"{row['key']} : {why[0]}", f"{row['key']}: {why[1]}")][: TOLD - len(changed)]
    if count:
        more = count - len(changed)
        raise PlanChanged.because(
            number,
            "; ".join(french for french, _ in changed) + (f" ; et {more} de plus" if more else ""),
            "; ".join(english for _, english in changed) + (f"; and {more} more" if more else ""),
        )
    return dict(found)


OTHER = ("un autre état est voulu maintenant", "another state is wanted now")


def _differs(engine: Engine, unit: Any, row: dict[str, Any]) -> tuple[str, str] | None:
    """Why a planned delivery is not as planned (French, English); None when it is, or was sent as planned already."""
    if row["id"] is None:
        return "n'est plus voulu", "is not wanted any more"
    if row["generation"] != row["planned"]:
        return OTHER
    if row["state"] == State.ACCEPTED and row["accepted_generation"] == row["planned"]:
        return None
    if row["state"] in (State.PARKED, State.RESOLVED):
        return f"est dans l'état {row['state']}", f"is {row['state']}"
    if row["kind"] != "block":
        return None if row["digest"] == row["mark"] else OTHER
    _, org_unit, period = block_of(row["key"])
    if unit.touched_in(org_unit, period):
        return "des fiches arrivées depuis ne sont pas encore comptées", "records came in that are not counted yet"
    mark, values, _ = mark_of(engine, unit, row["key"])
    return None if mark == row["mark"] or not values else ("ses chiffres ont changé", "its figures are others now")


def finished(engine: Engine, number: int, by: str, counts: dict[str, Any]) -> None:
    """Write down that it was carried out."""

    def work(unit: Any) -> None:
        unit.plan_done(number, engine.now())
        audit.record(unit, at=engine.now(), event="plan.carried_out", who=by, subject=str(number), detail=counts)

    engine.store.write(work)
