"""Contributions kept: what a record, an episode or a line of a register adds replaces what it added before, and the old
and the new cells are touched together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from operator import itemgetter
from typing import Any

from connector.model import ADDRESS, SEEN, Contribution

_cell = itemgetter(*ADDRESS)


def categories_text(categories: Iterable[tuple[str, str]]) -> str:
    return ";".join(f"{name}={option}" for name, option in categories)


#: ``categories`` of a contribution that stands in no cell.
SEEN_TEXT = categories_text(SEEN)


def replace(unit: Any, new: Mapping[str, Sequence[Contribution]], known: Iterable[str], now: str) -> int:
    """Keep what each record of ``new`` adds now. ``known``: those that may have added something before. What adds the
    same as before touches nothing. Returns how many changed."""
    old: dict[str, list[dict[str, Any]]] = {}
    for row in unit.contributions(known):
        old.setdefault(row["record"], []).append(row)
    drop: list[str] = []
    add: list[dict[str, Any]] = []
    added: dict[str, list[dict[str, Any]]] = {}
    touched: dict[tuple[str, ...], None] = {}
    alike: dict[tuple[str, str, str, str], None] = {}
    for record, contributions in new.items():
        rows = [_row(unit, one) for one in contributions]
        before = old.get(record, [])
        if not (before or rows) or (before and sorted(map(_same, before)) == sorted(map(_same, rows))):
            continue
        if before:
            drop.append(record)
        add += rows
        added[record] = rows
        for row in (*before, *rows):
            if row["categories"] != SEEN_TEXT:
                touched[_cell(row)] = None
            if row["distinct_key"]:
                alike[row["indicator"], row["part"], row["org_unit"], row["period"]] = None
    unit.replace_contributions(drop, add)
    out = unit.cells_out(touched)
    unit.cells_change(
        [
            {"record": record, **dict(zip(ADDRESS, cell, strict=True)), "was": was, "is": then, "now": now}
            for record in (added if out else ())
            for cell, was, then in _changes(old.get(record, ()), added[record], out)
        ]
    )
    unit.touch([dict(zip(ADDRESS, cell, strict=True)) for cell in touched])
    unit.touch_alike(alike)
    return len(drop) + len({row["record"] for row in add} - set(drop))


def _row(unit: Any, one: Contribution) -> dict[str, Any]:
    return {
        "record": one.record,
        "indicator": one.indicator,
        "part": one.part,
        "org_unit": one.org_unit,
        "period": one.period,
        "categories": categories_text(one.categories),
        "amount": str(one.amount),
        "distinct_key": unit.keyed(one.distinct) if one.distinct else "",
        "date": one.date.isoformat(),
        "version": one.version,
        "moment": one.moment,
        "at_least": one.at_least,
    }


def _changes(
    before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]], among: Set[tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """The cells of ``among`` to which a record adds something else than before, with what it added and adds. Another
    version of the mapping that adds the same changes no figure."""
    was, then = _by_cell(before), _by_cell(after)
    for cell in sorted({*was, *then} & among):
        if was.get(cell) != then.get(cell):
            yield cell, was.get(cell, ""), then.get(cell, "")


def _by_cell(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        said = (_amount(row), row["distinct_key"], row["moment"] or "", str(row["at_least"]))
        found.setdefault(_cell(row), []).append(" ".join(said))
    return {cell: "\n".join(sorted(lines)) for cell, lines in found.items()}


def _amount(row: Mapping[str, Any]) -> str:
    return format(float(row["amount"]), ".4f")


def _same(row: Mapping[str, Any]) -> tuple[str, ...]:
    """All that a contribution says, to compare what is kept with what is to be."""
    return (*_cell(row), _amount(row), row["distinct_key"], row["date"], row["version"],
            row["moment"] or "", str(row["at_least"]))  # fmt: skip
