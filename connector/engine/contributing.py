"""Contributions kept: what a record, an episode or a line of a register adds replaces what it added before, and the old
and the new cells are touched together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connector.model import ADDRESS, SEEN, Contribution


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
        for row in (*before, *rows):
            if row["categories"] != SEEN_TEXT:
                touched[tuple(row[name] for name in ADDRESS)] = None
            if row["distinct_key"]:
                alike[row["indicator"], row["part"], row["org_unit"], row["period"]] = None
    unit.replace_contributions(drop, add)
    stay = {(row["record"], *(row[name] for name in ADDRESS)) for row in add}
    left = {(row["record"], *(row[name] for name in ADDRESS)) for record in drop for row in old[record]} - stay
    unit.departed([dict(zip(("record", *ADDRESS), one, strict=True), now=now) for one in sorted(left)])
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


def _same(row: Mapping[str, Any]) -> tuple[str, ...]:
    """All that a contribution says, to compare what is kept with what is to be."""
    amount = format(float(row["amount"]), ".4f")
    return (*(str(row[name]) for name in ADDRESS), amount, row["distinct_key"], row["date"], row["version"],
            row["moment"] or "", str(row["at_least"]))  # fmt: skip
