"""What the present pack makes of a thousand recorded records, short enough to be committed and read.

``python -m tests.properties.replay`` shows what is different from ``approved.json``; with ``--approve`` it becomes the
approved one. The records are those of the sandbox's district: synthetic, the same for ever.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import orjson

from connector.engine.mapping import stored_activity
from connector.identity import digest
from connector.mappings.codec import activity_to
from connector.sandbox.district import District
from tests.engine.house import _as_shipped
from tests.properties.world import World

APPROVED = Path(__file__).with_name("approved.json")
#: As many of the records as are replayed, forms in turn.
RECORDS = 1_000


def recorded() -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The registry and the reports of the app, and the files of the other sources."""
    district = District(7, sites=12, chws=24)
    docs = district.current_docs()
    by_form: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for doc in sorted((doc for doc in docs if doc["type"] == "data_record"), key=lambda doc: str(doc["_id"])):
        by_form[str(doc.get("form"))].append(doc)
    reports: list[dict[str, Any]] = []
    while len(reports) < RECORDS and any(by_form.values()):
        reports += [left.pop() for _, left in sorted(by_form.items()) if left]
    return [doc for doc in docs if doc["type"] != "data_record"] + reports[:RECORDS], district.files


def replayed() -> dict[str, Any]:
    """By form and fact: how many records have it, and a digest of all its values; by figure its total over all org
    units, and by data element a digest of where; what was refused, and why."""
    docs, files = recorded()
    road = World(docs, _as_shipped)
    try:
        for name, text in files.items():
            (road.files / name).write_bytes(text.encode())
        road.run(targets=[])
        facts: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for row in road.rows("SELECT * FROM activity WHERE LENGTH(activity_enc) > 0 ORDER BY record"):
            activity = road.engine.store.read(lambda unit, row=row: stored_activity(unit, row))
            whole = activity_to(activity)
            heads = {name: whole[name] for name in ("date", "at", "place", "worker", "subject", "referral", "flags")}
            for name, value in {**whole["facts"], **{f"({name})": value for name, value in heads.items()}}.items():
                if value not in (None, []):
                    facts[f"{activity.source} {activity.form}"][name].append([row["record"], value])
        figures: Counter[str] = Counter()
        where: dict[str, list[Any]] = defaultdict(list)
        for (_, element, unit, period, combo), (value, _) in sorted(road.cells().items()):
            figures[f"{element} {period} {combo}"] += round(float(value) * 100)
            where[element].append([unit, period, combo, value])
        refused = Counter(f"{r['form']} {r['code']}" for r in road.rows("SELECT form, code FROM quarantine"))
        return {
            "facts": {
                form: {name: f"{len(found)} {digest(found)[:12]}" for name, found in sorted(names.items())}
                for form, names in sorted(facts.items())
            },
            "figures": {name: total / 100 for name, total in sorted(figures.items())},
            "where": {element: f"{len(cells)} {digest(cells)[:12]}" for element, cells in sorted(where.items())},
            "refused": dict(sorted(refused.items())),
        }
    finally:
        road.gone()


def flat(found: dict[str, Any], above: str = "") -> dict[str, Any]:
    lines: dict[str, Any] = {}
    for name, value in found.items():
        lines.update(flat(value, f"{above}{name}: ") if isinstance(value, dict) else {f"{above}{name}": value})
    return lines


def changes(approved: dict[str, Any], now: dict[str, Any]) -> list[str]:
    before, after = flat(approved), flat(now)
    return [
        f"{name}  was {before.get(name, 'not there')}, is {after.get(name, 'not there')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--approve", action="store_true")
    approve = arguments.parse_args().approve
    now = replayed()
    approved = orjson.loads(APPROVED.read_bytes()) if APPROVED.exists() else {}
    found = changes(approved, now)
    print("\n".join(found) or "Nothing changed.")
    if approve:
        APPROVED.write_bytes(orjson.dumps(now, option=orjson.OPT_INDENT_2) + b"\n")
        print(f"Approved: {len(found)} changes.")
    return 1 if found and not approve else 0


if __name__ == "__main__":
    raise SystemExit(main())
