"""A process that claims and leases what is due until nothing is left; prints the ids it leased.

python -m tests.store.worker URL NAME
"""

from __future__ import annotations

import sys
import time
from typing import Any

from connector.store.database import SqlStore

NOW, LATER = "2026-10-06T08:00:00.000000Z", "2026-10-06T09:00:00.000000Z"


def claim(unit: Any, holder: str, limit: int) -> list[int]:
    """As the engine does it: look what is due, lease it, in one transaction."""
    found = [r["id"] for r in unit.claim("dhis2", NOW, limit)]
    unit.lease([{"id": id, "until": LATER, "by": holder, "now": NOW} for id in found])
    return found


def claim_all(store: SqlStore, holder: str, limit: int = 7) -> list[int]:
    mine: list[int] = []
    while found := store.write(lambda unit: claim(unit, holder, limit)):
        mine += found
        time.sleep(0.002)  # SQLite's waiting is not a queue: let others have a turn
    return mine


if __name__ == "__main__":
    store = SqlStore(sys.argv[1], busy_seconds=30)
    print("ready", flush=True)
    sys.stdin.readline()
    print(*claim_all(store, sys.argv[2]))
    store.close()
