"""What a change would do to stored records and figures: it is done on a copy, and the two are compared.

The copy is mapped and counted by the very code that would do it for good, so the differences are exact, whatever an
indicator counts. Nothing is sent, and the database itself is only read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connector.engine import tally
from connector.engine.engine import Engine
from connector.engine.mapping import Mapping
from connector.model import ADDRESS
from connector.ports import Store


def run(engine: Engine) -> dict[str, int]:
    """Map and count everything that waits for it, on the copy. Returns the counts of the mapping."""
    counts = Mapping(engine).run()
    tally.tally(engine)
    return counts


def compare(before: Store, after: Store, counts: dict[str, int], limit: int = 1000) -> dict[str, Any]:
    """``new``, ``changed``, ``removed`` and ``same`` figures, the first ``limit`` of those that differ as ``items``;
    what becomes of records by form (``forms``: those whose states differ) and reason of quarantine."""
    result: dict[str, Any] = {"mapped": counts["mapped"], "new": 0, "changed": 0, "removed": 0, "same": 0, "items": []}
    for item in _cells(before, after):
        what = item["what"]
        result[what] += 1
        if what != "same" and len(result["items"]) < limit:
            result["items"].append(item)
    was, now = (store.read(lambda unit: unit.form_states()) for store in (before, after))
    result["forms"] = [
        {"source": source, "form": form, "before": was.get((source, form), {}), "after": now.get((source, form), {})}
        for source, form in sorted({*was, *now}, key=str)
        if was.get((source, form)) != now.get((source, form))
    ]
    was, now = (store.read(lambda unit: unit.quarantined_by_code()) for store in (before, after))
    result["quarantine"] = {
        code: {"before": was.get(code, 0), "after": now.get(code, 0)}
        for code in sorted({*was, *now})
        if was.get(code) != now.get(code)
    }
    return result


def _cells(before: Store, after: Store) -> Iterator[dict[str, Any]]:
    """Every cell of either, one indicator and period at a time."""
    groups: set[tuple[str, str]] = set()
    for store in (before, after):
        groups.update(store.read(lambda unit: unit.cell_groups()))
    for indicator, period in sorted(groups):

        def cells(unit: Any, i: str = indicator, p: str = period) -> dict[tuple[str, ...], dict[str, Any]]:
            return {tuple(cell[name] for name in ADDRESS): cell for cell in unit.cells_of(i, p)}

        was, now = before.read(cells), after.read(cells)
        for address in sorted({*was, *now}):
            old, new = was.get(address, {}).get("value"), now.get(address, {}).get("value")
            if old is None and new is None:
                continue
            what = "same" if old == new else "new" if old is None else "removed" if new is None else "changed"
            cell = now.get(address) or was[address]
            yield {
                "what": what, **{name: cell[name] for name in (*ADDRESS, "data_element", "combo")}, "before": old,
                "after": new, "accepted": was.get(address, {}).get("accepted"),
            }  # fmt: skip
