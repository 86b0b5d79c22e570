"""``kill -9`` of the real process at every stage of its work: the figures are those of an undisturbed run.

Slow: ``make kill N=20 DATABASE=sqlite``. B = before the server has applied the request, A = after it has.
"""

from __future__ import annotations

import copy
import random
import subprocess
import time
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from connector.sandbox.district import District
from tests.road.road import Road, settled

pytestmark = pytest.mark.slow

#: A stage that writes to nobody: it is under way when this number has grown.
GROWS = {
    "intake": "SELECT COUNT(*) FROM audit WHERE event='page.received'",
    "mapping": "SELECT COUNT(*) FROM head WHERE NOT dirty",
    "counting": "SELECT COUNT(*) FROM audit WHERE event='cells.recounted'",
    "settling": "SELECT COUNT(*) FROM attempt WHERE ended IS NOT NULL",
}
#: A stage that writes to a server: the moment is the k-th request.
WRITES = [(server, after) for server in ("dhis2", "openmrs", "fhir", "cht") for after in (False, True)]
MOMENTS: list[Any] = [*GROWS, *WRITES]


class Killer:
    def __init__(self, road: Road, seed: int) -> None:
        self.road = road
        self.random = random.Random(seed)
        self.engine: Engine = create_engine(road.database)
        self.made = 0
        typed = _typed_by_hand(road.seed)
        models = [
            d for d in road.ask("cht", "state")["docs"] if _is_model(d) and d["contact"]["parent"]["_id"] not in typed
        ]
        self.referring = [d for d in models if d["fields"].get("referral", {}).get("is_referred") == "yes"]
        self.models = [d for d in models if d not in self.referring]

    def kill(self, moment: Any, k: int) -> bool:
        """Start a run and kill it at that moment; False when it ended without having come there."""
        before = self.count(GROWS[moment]) if isinstance(moment, str) else 0
        process = self.road.start("run", "--once", "--wait", "10m")
        try:
            if isinstance(moment, str):
                return self._when_it_grows(process, GROWS[moment], before + k)
            server, after = moment
            self.road.tell(server, "kill", {"pid": process.pid, "at": k, "after": after}, of="_watch")
            process.wait(600)
            self.road.tell(server, "kill", {}, of="_watch") if process.returncode >= 0 else None
            return process.returncode == -9
        finally:
            process.kill()
            process.wait()

    def _when_it_grows(self, process: subprocess.Popen[bytes], sql: str, to: int) -> bool:
        while process.poll() is None:
            if self.count(sql) >= to:
                time.sleep(self.random.uniform(0, 0.05))
                process.kill()
                return process.wait() == -9
            time.sleep(0.001)
        return False

    def count(self, sql: str) -> int:
        try:
            with self.engine.connect() as connection:
                return int(connection.execute(text(sql)).scalar() or 0)
        except DBAPIError:  # no tables yet
            return 0

    def more_work(self) -> None:
        """New visits, one of them with a referral, and an edit: something to do in every stage."""
        self.made += 1
        turn, which = divmod(self.made, len(self.referring))
        chosen = [self.referring[which], *self.random.sample(self.models, 5)]
        changes: list[dict[str, Any]] = []
        for n, model in enumerate(chosen):
            doc = copy.deepcopy(model)
            doc.pop("_rev", None)
            doc["_id"] = f"late-{self.made}-{n}"
            if n == 0:  # on a day of its own: one patient's two referrals of a day look like twins
                day = doc["fields"]["visit_date"]
                doc["fields"]["visit_date"] = f"{day[:8]}{(int(day[8:]) + turn) % 28 + 1:02}"
            changes.append({"op": "put", "doc": doc})
        result = self.random.choice(("negative", "positive"))
        edited = self.random.choice(self.models)["_id"]
        changes.append({"op": "edit", "id": edited, "merge": {"fields.group_fever.mrdt_result": result}})
        self.road.tell("cht", "records", changes)


def _typed_by_hand(seed: int) -> set[str]:
    """Sites with figures that somebody typed before us. Late work can make ours the same, and then it is ours from then
    on, or another one before we looked, and then it is held: what the end should be would hang on the moments of the
    runs, so nothing is added there."""
    district = District(seed)
    typed = {value["orgUnit"] for value in district.hand_typed}
    return {site.id for site in district.people.sites if site.code in typed}


def _is_model(doc: dict[str, Any]) -> bool:
    fields = doc.get("fields", {})
    fever = fields.get("group_fever", {})
    return (
        doc.get("form") == "assessment"
        and not doc.get("_deleted")
        and isinstance(fever, dict)
        and fever.get("mrdt_result") in ("positive", "negative")
        and str(fields.get("visit_date", "")).startswith(("2026-07", "2026-08"))
    )


def test_killed_at_every_stage(watched: Road, kills: int) -> None:
    killer = Killer(watched, 7)
    reached: Counter[str] = Counter()
    order = killer.random.sample(MOMENTS, len(MOMENTS))
    for number in range(kills):
        moment = order[number % len(order)]
        for k in (killer.random.randint(1, 12 if number < len(order) else 3), 2, 1, 1):
            if killer.kill(moment, k):
                name = moment if isinstance(moment, str) else f"{moment[0]} {'A' if moment[1] else 'B'}"
                reached[name] += 1
                print(f"kill {number + 1}: {name}, k={k}", flush=True)
                break
            killer.more_work()  # it had finished: there must be something to do
        else:
            print(f"kill {number + 1}: {moment} was not reached", flush=True)
    print(dict(reached))
    code, summary = watched.relais("run", "--once", "--wait", "10m")
    settled(watched, code, summary)
    _, verified = watched.relais("audit", "verify")
    assert verified["ok"], verified
    before = watched.logs()
    watched.relais("run", "--once", "--wait", "10m")
    assert watched.logs() == before, "a second run sends nothing"
    killer.engine.dispose()
    assert sum(reached.values()) >= kills * 0.8 and (kills < len(MOMENTS) or len(reached) >= len(MOMENTS) - 1), reached
