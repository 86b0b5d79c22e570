"""``close(period)``: what registers add to the cells of every open period.

A period is open from the first record with a day of service in it. What a line adds is kept under a record of its own
(``register/...``) and worked out again when the registry, the deployments, the org units, the pack or the open periods
change. The whole registry is gone through only for the last three, page by page,
and the place it stopped at is kept: killed in the middle, it goes on there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any

import orjson

from connector import periods
from connector.engine import contributing, resources
from connector.engine.deriving import DEPLOYMENT, ENTITY, Derived
from connector.engine.engine import Engine
from connector.engine.mapping import parents_of
from connector.errors import MappingError
from connector.identity import digest
from connector.mappings import registers
from connector.mappings.codec import entity_from
from connector.mappings.pack import Register
from connector.model import Contribution

#: Lines per transaction: of entities, of workers (each with the records of her months), and of those looked at to go.
CHUNK = 200
WORKERS = 5
SWEPT = 500
#: Where the pass over the registry stands, in ``meta``.
STANDING = "registers"


def close(engine: Engine, derived: Derived) -> int:
    """Bring the register cells up to date; returns how many lines were looked at."""
    opened = engine.store.read(lambda unit: open_periods(derived, unit))
    engine.store.write(lambda unit: _begin(engine, derived, unit, opened))
    total = 0
    for step in (_sweep, _pass, _entities, _deployments):
        while True:
            done = engine.store.write(lambda unit, step=step: step(engine, derived, unit, opened))
            if done is None:
                break
            total += done
            engine.progress("registers", done)
    return total


def open_periods(derived: Derived, unit: Any) -> dict[str, list[str]]:
    """Period type -> its open periods."""
    found: dict[str, list[str]] = {}
    for kind in derived.registers.period_types():
        found[kind] = []
        day = unit.next_day("")
        while day is not None:
            period = periods.period_of(date.fromisoformat(day), kind)
            found[kind].append(period)
            day = unit.next_day((periods.bounds(period)[1] + timedelta(days=1)).isoformat())
    return found


def _begin(engine: Engine, derived: Derived, unit: Any, opened: dict[str, list[str]]) -> None:
    """Start the pass over everything when what all lines depend on is another than it was."""
    mark = digest([engine.pack.version, opened])
    before = orjson.loads(unit.fact(STANDING) or "{}")
    if before.get("mark") == mark:
        return
    unit.mark_stale((DEPLOYMENT, name, "") for name in sorted(derived.deployed))
    kinds = sorted(derived.registers.of_entities)
    standing = {"mark": mark, "sweep": "", "kinds": kinds, "after": ["", ""]}
    unit.keep_fact(STANDING, orjson.dumps(standing).decode())


def _sweep(engine: Engine, derived: Derived, unit: Any, opened: dict[str, list[str]]) -> int | None:
    """The next page of what was kept before: what the pack, the deployments or the periods have no place for goes."""
    standing = orjson.loads(unit.fact(STANDING) or "{}")
    if "sweep" not in standing:
        return None
    forgotten = _forget_episodes(engine, derived, unit)
    if forgotten:
        return forgotten
    page = unit.register_records(standing["sweep"], SWEPT)
    deployed = {register.id for register in derived.registers.of_deployments}
    every = {period for several in opened.values() for period in several}
    left = []
    for record in page:
        _, kind, rest = record.split("/", 2)
        due = kind in derived.registers.of_entities
        if kind == "deployment":
            register, _, line = rest.partition("/")
            reporter, _, period = line.rpartition("/")
            due = register in deployed and reporter in derived.deployed and period in every
        if not due:
            left.append(record)
    contributing.replace(unit, {record: [] for record in left}, left, engine.now())
    if page:
        standing["sweep"] = page[-1]
    else:
        del standing["sweep"]
    unit.keep_fact(STANDING, orjson.dumps(standing).decode())
    return len(page)


def _forget_episodes(engine: Engine, derived: Derived, unit: Any) -> int:
    """Some of a kind that the pack has no more, or that nothing counts any more; how many there were."""
    for kind in unit.episode_kinds():
        if not derived.episodes.known(kind):
            gone: list[str] = unit.episodes_of_kind(kind, SWEPT)
            contributing.replace(unit, {record: [] for record in gone}, gone, engine.now())
            unit.drop_activities(gone)
            unit.drop_episodes(gone)
            return len(gone)
    return 0


def _pass(engine: Engine, derived: Derived, unit: Any, opened: dict[str, list[str]]) -> int | None:
    """The next page of the registry."""
    standing = orjson.loads(unit.fact(STANDING) or "{}")
    kinds = standing.get("kinds") or []
    if not kinds:
        return None
    rows = unit.entity_page(kinds[0], tuple(standing["after"]), CHUNK)
    if rows:
        _lines(engine, derived, unit, kinds[0], rows, opened)
        unit.unstale(ENTITY, [(kinds[0], f"{row['source']}/{row['key']}") for row in rows])
        standing["after"] = [rows[-1]["source"], rows[-1]["key"]]
    else:
        standing.update(kinds=kinds[1:], after=["", ""])
    unit.keep_fact(STANDING, orjson.dumps(standing).decode())
    return len(rows)


def _entities(engine: Engine, derived: Derived, unit: Any, opened: dict[str, list[str]]) -> int | None:
    """The next entities that changed or lie elsewhere."""
    taken = unit.take_stale(ENTITY, CHUNK)
    if not taken:
        return None
    wanted: dict[tuple[str, str], list[str]] = {}
    for kind, key in taken:
        source, _, name = key.partition("/")
        wanted.setdefault((kind, source), []).append(name)
    for (kind, source), names in wanted.items():
        rows = unit.entities(kind, source, names)
        _lines(engine, derived, unit, kind, list(rows.values()), opened)
        gone = [f"register/{kind}/{source}/{name}" for name in names if name not in rows]
        contributing.replace(unit, {record: [] for record in gone}, gone, engine.now())
    unit.unstale(ENTITY, taken)
    return len(taken)


def _lines(
    engine: Engine, derived: Derived, unit: Any, kind: str, rows: Sequence[dict[str, Any]], opened: dict[str, list[str]]
) -> None:
    entities = [entity_from(unit.open("entity", row["entity_enc"])) for row in rows]
    lines = [registers.of_entity(entity) for entity in entities]
    parents = parents_of(unit, {(entity.source, line.place) for entity, line in zip(entities, lines, strict=True)})
    added: dict[str, list[Contribution]] = {}
    belongs: list[dict[str, Any]] = []
    # Registered twice, she stands there once: under the id that is kept.
    twice = resources.kept_persons(unit, [(r["source"], r["key"]) for r in rows]) if kind == "person" else {}
    for row, entity, line in zip(rows, entities, lines, strict=True):
        parent = entity.data.get("parent")
        if parent and row["parent"] != parent:
            belongs.append({"source": row["source"], "kind": kind, "key": row["key"], "parent": str(parent)})
        added[line.record] = []
        if f"{entity.source}/{entity.key}" in twice:
            continue
        for register in derived.registers.of_entities.get(kind, ()):
            if register.role is not None and entity.data.get("role") != register.role:
                continue
            for period, last in _periods(engine, register, opened):
                try:
                    where = derived.org_units.row(entity.source, line.place, last, parents)
                except MappingError:  # it lies in no org unit on that day
                    continue
                units = partial(derived.org_units.at_level, where, day=last)
                added[line.record] += derived.registers.count(register, line, period, units)
    unit.entity_belongs(belongs)
    contributing.replace(unit, added, list(added), engine.now())


def _periods(engine: Engine, register: Register, opened: dict[str, list[str]]) -> Iterator[tuple[str, date]]:
    for kind in engine.counter.period_types(register.id):
        for period in opened.get(kind, ()):
            yield period, periods.bounds(period)[1]


def _deployments(engine: Engine, derived: Derived, unit: Any, opened: dict[str, list[str]]) -> int | None:
    """The next workers whose records, entity or deployment changed: (worker, month), or all months."""
    taken = unit.take_stale(DEPLOYMENT, WORKERS)
    if not taken:
        return None
    data = _worker_data(engine, unit, {worker for worker, _ in taken})
    added: dict[str, list[Contribution]] = {}
    for worker, month in taken:
        for register in derived.registers.of_deployments:
            for period, _ in _periods(engine, register, opened):
                first, last = periods.bounds(period)
                if month and not first.isoformat()[:7] <= month <= last.isoformat()[:7]:
                    continue
                record = f"register/deployment/{register.id}/{worker}/{period}"
                if record not in added:
                    added[record] = _deployed(engine, derived, unit, register, record, worker, period, data)
    contributing.replace(unit, added, list(added), engine.now())
    unit.unstale(DEPLOYMENT, taken)
    return len(taken)


def _worker_data(engine: Engine, unit: Any, workers: set[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for source in engine.pack.sources:
        for key, row in unit.entities("worker", source, sorted(workers)).items():
            found[key] = dict(entity_from(unit.open("entity", row["entity_enc"])).data)
    return found


def _deployed(
    engine: Engine, derived: Derived, unit: Any, register: Register, record: str, worker: str, period: str,
    data: dict[str, dict[str, Any]],
) -> list[Contribution]:  # fmt: skip
    """What a worker's deployments in the period add: once at each unit she was deployed at."""
    first, last = periods.bounds(period)
    units = {
        row.org_unit: row
        for row in derived.deployed.get(worker, ())
        if (register.group is None or row.group == register.group)
        and row.valid_from <= last
        and (row.valid_to is None or row.valid_to >= first)
    }
    if not units:
        return []
    between = (first.isoformat(), last.isoformat())
    records = unit.members_between(register.id, unit.keyed(worker), *between)
    members = derived.members(unit, records)
    line = registers.Line(
        record,
        worker,
        "",
        {**data.get(worker, {}), "reporter": worker},
        [members[one] for one in sorted(members)],
        unit.records_of_worker(worker, *between),
    )
    found: list[Contribution] = []
    for code in sorted(units):
        where = derived.org_units.of_code(code, last)
        if where is not None:
            at = partial(derived.org_units.at_level, where, day=last)
            found += derived.registers.count(register, line, period, at)
    return found
