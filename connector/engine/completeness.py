"""Who has reported, who was late, who is missing, and where that leaves the completion. Missing is not zero.

The document of ``relais completeness`` and of the page. Reporters stand in it by their id at the source; names are the
page's to add, for roles that may see them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import orjson

from connector import periods
from connector.engine import release
from connector.engine.completion import completion_payload
from connector.engine.engine import Engine
from connector.engine.keys import block_key, block_of, completion_key
from connector.engine.reporters import Reporters, by_kind
from connector.identity import digest
from connector.mappings.pack import DataSet, DeploymentRow

#: Periods side by side on the page.
COLUMNS = 12


def last_over(period_type: str, today: date) -> str:
    """The newest period of a type that is over."""
    return periods.previous(periods.period_of(today, period_type))


def default_period(engine: Engine, data_set: DataSet) -> str:
    """The last period that is over, or the one that runs where Relais went live in it."""
    config, today = engine.target_of("dhis2"), engine.today()
    over = last_over(data_set.period_type, today)
    if config is not None and not periods.not_before(over, config.live_from):
        return periods.period_of(today, data_set.period_type)
    return over


def chosen(engine: Engine, period: str | None, data_set: str | None) -> list[tuple[DataSet, str]]:
    """Data sets whose reporters are declared, each with the period asked for (or its last one). A period of another
    type leaves a data set out."""
    found = []
    for one in engine.pack.data_sets.values():
        if one.complete is None or data_set not in (None, one.id):
            continue
        if period is None:
            found.append((one, default_period(engine, one)))
        elif periods.period_type(period) == one.period_type:
            found.append((one, period))
    return found


def completeness(
    engine: Engine, period: str | None = None, data_set: str | None = None, org_unit: str | None = None
) -> dict[str, Any]:
    """``{"now", "data_sets": [...]}``; of each data set the counts, and per org unit who is missing or late, where its
    figures are and where the completion is. ``org_unit``: only what lies at or below it. Raises ValueError for a
    period that is none."""
    reporters = Reporters(engine.pack)
    within = reporters.places.below(org_unit) if org_unit else None
    return {
        "now": engine.now(),
        "data_sets": [
            engine.store.read(lambda unit, ds=ds, pe=pe: _data_set(engine, unit, reporters, ds, pe, within))
            for ds, pe in chosen(engine, period, data_set)
        ],
    }


def _data_set(
    engine: Engine, unit: Any, reporters: Reporters, data_set: DataSet, period: str, within: set[str] | None
) -> dict[str, Any]:
    expected = {u: rows for u, rows in reporters.expected(data_set, period).items() if within is None or u in within}
    everybody = [row for rows in expected.values() for row in rows]
    reported = reporters.who_reported(unit, everybody, period)
    on_time = reporters.who_was_on_time(unit, data_set, everybody, period)
    late = [r for r in everybody if data_set.deadline is not None and (r.kind, r.reporter) in reported - on_time]
    gone = [r for r in everybody if (r.kind, r.reporter) not in reported]
    when, last = _moments(unit, late, period), _last_days(unit, gone)
    units = sorted({*expected, *(u for u in unit.units_of(data_set.id, period) if within is None or u in within)})
    standing = _Standing(engine, unit, data_set, period, units)
    items = []
    for one in units:
        rows = expected.get(one, ())
        missing = [r for r in rows if (r.kind, r.reporter) not in reported]
        behind = [r for r in rows if r in late]
        items.append(
            {
                "org_unit": one,
                "expected": len(rows),
                "reported": len(rows) - len(missing),
                "late": len(behind),
                "figures": standing.figures(one),
                "completion": standing.completion(one, bool(missing)),
                "missing": [
                    {"reporter": r.reporter, "kind": r.kind, "last": last.get((r.kind, r.reporter))} for r in missing
                ],
                "late_reporters": [
                    {"reporter": r.reporter, "kind": r.kind, "received": when.get((r.kind, r.reporter))} for r in behind
                ],
                "approval": standing.approvals.get(one),
            }
        )
    deadline, gaps = reporters.deadline(data_set, period), reporters.gaps_from(data_set, period)
    total = sum(i["expected"] for i in items)
    here = sum(i["reported"] for i in items)
    return {
        "data_set": data_set.id,
        "name": dict(data_set.name),
        "period": period,
        "over": standing.over,
        "group": data_set.complete,
        "kind": next((row.kind for row in everybody), "worker"),
        "deadline": deadline.isoformat() if deadline else None,
        "gaps_from": gaps.isoformat() if gaps else None,
        "release": data_set.release is not None,
        "expected": total,
        "reported": here,
        "on_time": None if deadline is None else here - len(late),
        "late": None if deadline is None else len(late),
        "missing": total - here,
        "completion": dict(sorted(Counter(i["completion"] for i in items).items())),
        "figures": dict(sorted(Counter(i["figures"] for i in items).items())),
        "units": items,
    }


def _by_kind(rows: Sequence[DeploymentRow], ask: Any) -> dict[tuple[str, str], str]:
    return {(kind, name): value for kind, names in by_kind(rows) for name, value in ask(kind, names).items()}


def _moments(unit: Any, rows: Sequence[DeploymentRow], period: str) -> dict[tuple[str, str], str]:
    first, last = periods.bounds(period)
    return _by_kind(rows, lambda kind, names: unit.first_received(kind, names, first.isoformat(), last.isoformat()))


def _last_days(unit: Any, rows: Sequence[DeploymentRow]) -> dict[tuple[str, str], str]:
    return _by_kind(rows, lambda kind, names: unit.last_day(kind, names))


class _Standing:
    """Where the figures and the completion of each unit stand at DHIS2."""

    def __init__(self, engine: Engine, unit: Any, data_set: DataSet, period: str, units: Sequence[str]) -> None:
        config = engine.target_of("dhis2")
        target = config.name if config else ""
        self.data_set, self.period = data_set, period
        self.over = periods.is_over(period, engine.today())
        blocks = unit.standing_deliveries(target, [block_key((data_set.id, u, period)) for u in units])
        wanted = unit.standing_deliveries(target, [completion_key((data_set.id, u, period)) for u in units])
        self._blocks = {block_of(key)[1]: row for key, row in blocks.items()}
        self._wanted = {block_of(key)[1]: row for key, row in wanted.items()}
        self._troubled = unit.troubled_units(data_set.id, period)
        self.approvals = {
            r["org_unit"]: {"by": r["by"], "at": r["at"], "figures": r["digest"]}
            for r in unit.approvals(period)
            if r["data_set"] == data_set.id
        }

    def figures(self, org_unit: str) -> str:
        """none | awaiting_release | period_closed | parked | waiting | held (or refused) | accepted"""
        row = self._blocks.get(org_unit)
        if row is None:
            return "none"
        if row["state"] == "accepted":
            return "held" if org_unit in self._troubled else "accepted"
        if row["state"] in ("parked", "resolved"):
            return "parked"
        return {release.AWAITING: "awaiting_release", release.CLOSED: "period_closed"}.get(row["reason"], "waiting")

    def completion(self, org_unit: str, missing: bool) -> str:
        """complete | gaps (complete although reporters are missing) | running (not over) | sending | refused |
        missing (reporters) | figures (nobody is missing; they are not all at DHIS2)"""
        row = self._wanted.get(org_unit)
        done = digest(completion_payload(self.data_set, org_unit, self.period, True))
        if row is not None and row["digest"] == done:
            if row["state"] == "accepted":
                return "gaps" if missing else "complete"
            return "refused" if row["state"] in ("parked", "resolved") else "sending"
        if not self.over:
            return "running"
        return "missing" if missing else "figures"


# ---------------------------------------------------------------- many periods side by side


def shares(engine: Engine, data_set: str, above: str | None = None) -> dict[str, Any]:
    """Expected and reported of the last ``COLUMNS`` periods, by the org units directly below ``above`` (None: below the
    lowest one that holds everybody). ``rows``: (org unit, [(expected, reported) per period]).

    Two look-ups in an index for each reporter and period: a nation of 16,000 takes some seconds.
    """
    one = engine.pack.data_sets[data_set]
    config, today = engine.target_of("dhis2"), engine.today()
    columns = [periods.period_of(today, one.period_type)]
    while len(columns) < COLUMNS:
        before = periods.previous(columns[0])
        if config is None or not periods.not_before(before, config.live_from):
            break
        columns.insert(0, before)
    reporters = Reporters(engine.pack)
    counted: dict[str, dict[str, list[int]]] = {}
    chains: dict[str, list[str]] = {}
    for period in columns:
        expected = reporters.expected(one, period)
        everybody = [row for rows in expected.values() for row in rows]
        reported = engine.store.read(lambda unit, e=everybody, p=period: reporters.who_reported(unit, e, p))
        for org_unit, rows in expected.items():
            chains.setdefault(org_unit, reporters.places.chain(org_unit, periods.bounds(period)[1]))
            here = sum((r.kind, r.reporter) in reported for r in rows)
            counted.setdefault(org_unit, {})[period] = [len(rows), here]
    inside = {u: c for u, c in chains.items() if above is None or above in c}
    depth = _depth(list(inside.values()), above)
    sums: dict[str, dict[str, list[int]]] = {}
    for org_unit, chain in inside.items():
        row = sums.setdefault(chain[min(depth, len(chain) - 1)], {})
        for period, (n, here) in counted[org_unit].items():
            total = row.setdefault(period, [0, 0])
            total[0] += n
            total[1] += here
    return {
        "data_set": data_set,
        "periods": columns,
        "rows": [(u, [tuple(per.get(p, (0, 0))) for p in columns]) for u, per in sorted(sums.items())],
    }


def _depth(chains: Sequence[Sequence[str]], above: str | None) -> int:
    """Where in the chains the rows stand: below ``above``, or where the chains part."""
    if not chains:
        return 0
    if above is not None:
        return max(c.index(above) for c in chains) + 1
    depth = 0
    while len({c[depth] if depth < len(c) else c[-1] for c in chains}) == 1 and depth < max(map(len, chains)) - 1:
        depth += 1
    return depth


# ---------------------------------------------------------------- for status


def note(engine: Engine) -> None:
    """Keep the counts of each data set's last period for ``relais status``, which must not take long."""
    reporters = Reporters(engine.pack)
    kept = []
    for data_set, period in chosen(engine, None, None):
        expected = reporters.expected(data_set, period)
        everybody = [row for rows in expected.values() for row in rows]
        gone = engine.store.read(lambda unit, ds=data_set, pe=period: reporters.missing(unit, ds, pe))
        missing = sum(map(len, gone.values()))
        kept.append(
            {
                "data_set": data_set.id,
                "period": period,
                "expected": len(everybody),
                "reported": len(everybody) - missing,
                "missing": missing,
            }
        )
    text = orjson.dumps(kept).decode()
    if engine.store.read(lambda unit: unit.fact("completeness")) != text:
        engine.store.write(lambda unit: unit.keep_fact("completeness", text))


def noted(unit: Any) -> list[Mapping[str, Any]]:
    found = unit.fact("completeness")
    return list(orjson.loads(found)) if found else []
