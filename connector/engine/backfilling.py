"""Counting the history of indicators again, because a person asked for it.

Records are only marked; the next run maps and counts them chunk by chunk, and goes on where it was when it is stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from connector import periods
from connector.engine import audit
from connector.engine.engine import Engine

#: Records marked in one transaction.
CHUNK = 500


def days(first: str, last: str) -> tuple[date, date]:
    """The first and the last day of a span of periods. Raises ValueError."""
    start, end = periods.bounds(first)[0], periods.bounds(last)[1]
    if end < start:
        raise ValueError(f"{last} is before {first}")
    return start, end


def mark(engine: Engine, indicators: Sequence[str], first: str, last: str, by: str) -> int:
    """Mark the records and cells of these indicators and periods to be counted again. Returns how many records.

    Raises ValueError for what is no period, KeyError for an indicator the pack has not.
    """
    start, end = days(first, last)
    chosen = [engine.pack.indicators[one] for one in indicators]
    kinds = sorted({kind for one in chosen for kind in one.counts})
    span = {"indicators": sorted(indicators), "periods": f"{first}..{last}"}
    engine.store.write(
        lambda unit: audit.record(
            unit, at=engine.now(), event="person.backfill", who=by, subject=engine.pack.id,
            detail={**span, "pack": engine.pack.version},
        )
    )  # fmt: skip
    count, after = 0, ""
    while True:
        marked, after = engine.store.write(
            lambda unit, a=after: unit.dirty_activities(kinds, start.isoformat(), end.isoformat(), a, CHUNK)
        )
        count += int(marked)
        if not marked:
            break
    for one in chosen:
        engine.store.write(lambda unit, i=one.id: unit.touch_cells(i, _within(unit.cell_groups(), i, start, end)))
    return count


def _within(groups: Sequence[tuple[str, str]], indicator: str, start: date, end: date) -> list[str]:
    """The periods of an indicator's cells that end within the span."""
    return [period for name, period in groups if name == indicator and start <= periods.bounds(period)[1] <= end]
