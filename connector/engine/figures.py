"""The figures as they leave for DHIS2, block by block, for exports that a person carries elsewhere.

The same rules hold as for sending: nothing of before ``live_from``, nothing in shadow mode, nothing that waits for
approval, no value that is held or kept because somebody typed another one at DHIS2. What stays behind is counted, so
that an export never passes for more than it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from connector import periods
from connector.engine import release, tally
from connector.engine.engine import Engine
from connector.engine.keys import Block, block_key
from connector.engine.places import OrgUnits
from connector.mappings.fhir_measure import Categories
from connector.mappings.pack import DataSet, TargetConfig


@dataclass(frozen=True, slots=True)
class Figure:
    """``element``: DHIS2 data element code; ``value``: a number as DHIS2 text."""

    indicator: str
    part: str
    element: str
    categories: Categories
    value: str


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one block that leave, in the order of indicator, part and categories. ``behind``: how many stay,
    by why: old | shadow | not_released | held | kept | deleted. ``partial``: indicators of which a figure is held or
    kept, so that the others add up to less than Relais counted."""

    data_set: DataSet
    org_unit: str
    period: str
    leaving: tuple[Figure, ...]
    behind: Counter[str]
    partial: frozenset[str]


def blocks(
    engine: Engine, data_set: str | None = None, period: str | None = None, org_unit: str | None = None
) -> Iterator[Figures]:
    """One block at a time: data sets in the order of the pack, periods in time, org units by code.

    ``org_unit``: with all that lies below it. Each block is read in a transaction of its own.
    """
    within = OrgUnits(engine.pack).below(org_unit) if org_unit else None
    for one in engine.pack.data_sets.values():
        if data_set not in (None, one.id):
            continue
        for when in [period] if period else _periods(engine, one):
            for place in engine.store.read(lambda unit, d=one.id, p=when: unit.units_of(d, p)):
                if within is None or place in within:
                    yield engine.store.read(lambda unit, d=one, u=place, p=when: _block(engine, unit, d, u, p))


def _periods(engine: Engine, data_set: DataSet) -> list[str]:
    found: list[str] = engine.store.read(lambda unit: unit.periods_of(data_set.id))
    return sorted(found, key=periods.sort_key)


def _block(engine: Engine, unit: Any, data_set: DataSet, org_unit: str, period: str) -> Figures:
    config = engine.target_of("dhis2")
    block = (data_set.id, org_unit, period)
    cells = unit.cells(block)
    sent = unit.values_once_sent([cell["id"] for cell in cells])
    vanished = config.vanished if config else "zero"
    values = [(cell, tally.wanted_value(engine.pack, cell, vanished, cell["id"] in sent)) for cell in cells]
    wanted = [(cell, value) for cell, value in values if value is not None]
    whole = _stays_whole(engine, unit, config, block, wanted)
    leaving, behind, partial = [], Counter[str](), set[str]()
    for cell, value in wanted:
        typed = cell["state"] in ("held", "kept")
        why = whole or (cell["state"] if typed else None if value else "deleted")
        if why:
            behind[why] += 1
            partial.update([cell["indicator"]] if typed else ())
        else:
            categories = tally.parse_categories(cell["categories"])
            leaving.append(Figure(cell["indicator"], cell["part"], cell["data_element"], categories, value))
    leaving.sort(key=lambda one: (one.indicator, one.part, one.categories))
    return Figures(data_set, org_unit, period, tuple(leaving), behind, frozenset(partial))


def _stays_whole(
    engine: Engine, unit: Any, config: TargetConfig | None, block: Block, wanted: list[tuple[dict[str, Any], str]]
) -> str | None:
    """Why nothing of a block leaves; None when it may. DHIS2 never shows half of a report, neither does a file."""
    if config is not None and not periods.not_before(block[2], config.live_from):
        return "old"
    if config is not None and config.mode == "shadow":
        return "shadow"
    new = [(cell, value) for cell, value in wanted if value != cell["accepted"] and cell["state"] != "kept"]
    values = [{"value": value or None} for _, value in new]
    return "not_released" if release.waits(engine, unit, block_key(block), values, [cell for cell, _ in new]) else None
