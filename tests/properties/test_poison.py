"""One record in a hundred is unmappable or refused: it is set aside once, with a reason and who must act, and nobody
else waits for it. The same records go through a world without poison and one with it, and are compared one by one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any

import httpx
import orjson
import pytest

from connector import bootstrap
from connector.engine.engine import moment
from connector.mappings import r4
from connector.sandbox import openmrs_metadata
from tests.engine.house import WORKERS, Doc, _as_shipped, person, visit
from tests.properties.scale import FULL
from tests.properties.world import World

#: Two poisoned records among two hundred, in every pair of neighbours; all kinds at once among six hundred.
KINDS = ("date", "place", "form", "value", "identifier", "resource", "invalid")
PAIRS = [(kind, KINDS[(n + 1) % len(KINDS)]) for n, kind in enumerate(KINDS)]
CASES = [*PAIRS, KINDS] if FULL else [PAIRS[5]]
#: Reasons by which each is known.
REASONS = {
    "date": "date.invalid", "place": "place.no_org_unit", "form": "form.unknown", "value": "dhis2.refused",
    "identifier": "openmrs.identifier_in_use", "resource": "fhir.refused", "invalid": "fhir.invalid",
}  # fmt: skip
#: Far longer than all that is not poisoned needs. What refers to a refused resource waits on for weeks.
WAIT = timedelta(minutes=5)
HARMLESS = ("value", "identifier", "resource", "invalid")  #: good records, which a target refuses


def records(count: int) -> list[Doc]:
    rng = random.Random(count)
    docs = [person(f"child-{n}", born=f"202{rng.randrange(6)}-0{1 + n % 9}-11") for n in range(count // 10)]
    for n in range(count):
        day = f"2026-0{rng.randrange(7, 10)}-{rng.randrange(7, 28):02}"
        docs.append(
            visit(
                f"visit-{n:03}", day, subject=f"child-{n % (count // 10)}", worker=rng.choice(WORKERS),
                site=f"site-{rng.randrange(1, 9)}", rdt=rng.choice(("positive", "negative")), refer=n % 12 == 0,
            )
        )  # fmt: skip
    return docs


def poison(kind: str) -> list[Doc]:
    doc = visit(f"poison-{kind}", "2026-08-10", subject=f"victim-{kind}", refer=kind == "identifier")
    match kind:
        case "date":
            doc["fields"]["visit_date"] = "hier"
        case "place":
            doc["contact"]["parent"]["_id"] = "site-404"
        case "form":
            doc["form"] = "brouillon"
        case "value":
            return [doc]  # nobody knows this person: a cell of its own, see ``arm``
    return [person(f"victim-{kind}"), doc]


def arm(world: World, kinds: tuple[str, ...]) -> None:
    if "value" in kinds:
        world.dhis2.refuse = [
            {"match": {"dataElement": "MH_A04", "categoryOptionCombo": "A2_UNK-SEX_UNK"}, "code": "E7619"}
        ]
    if "identifier" in kinds:
        world.openmrs._known_patient(
            {
                "uuid": "theirs", "given": "K", "family": "T", "gender": "F", "birthdate": None,
                "identifiers": [{
                    "type": "CHW Patient ID", "value": "VICTIM-IDENTIFIER",
                    "location": openmrs_metadata.location_uuid("area-1"),
                }],
            }
        )  # fmt: skip
    if "resource" in kinds:

        def refuse(request: httpx.Request) -> httpx.Response | None:
            if request.method == "GET" or not is_poison(request.content):
                return None
            outcome = {
                "resourceType": "OperationOutcome",
                "issue": [{"severity": "error", "code": "invalid", "diagnostics": "Encounter: no"}],
            }
            return httpx.Response(422, json=outcome, headers={"content-type": "application/fhir+json"})

        def is_poison(content: bytes) -> bool:
            found = orjson.loads(content)
            entries = [e.get("resource") or {} for e in found.get("entry") or []] or [found]
            return any(e.get("resourceType") == "Encounter" and "poison-resource" in str(e) for e in entries)

        world.wires["fhir"].instead = refuse


class Run:
    """What became of every record of one world."""

    def __init__(self, count: int, kinds: tuple[str, ...], *, armed: bool) -> None:
        docs = records(count)
        for kind in kinds:
            if armed or kind in HARMLESS:
                docs += poison(kind)
        random.Random(1).shuffle(docs)
        world = World(docs, _as_shipped)
        self.rounds = 0

        @contextmanager
        def stage(name: str) -> Iterator[None]:
            self.rounds += name == "tally"
            yield

        valid = r4.is_valid
        try:
            if armed:
                arm(world, kinds)
            world.engine.stage = stage
            with pytest.MonkeyPatch.context() as patch:
                if armed and "invalid" in kinds:
                    patch.setattr(r4, "is_valid", lambda one: valid(one) and not is_invalid(one))
                self.summary = world.run(wait=WAIT)
            self.deliveries = {
                (r["target"], r["key"]): r
                for r in world.rows("SELECT * FROM delivery")
                if r["kind"] not in ("completion",) and "MeasureReport" not in r["key"]
            }
            self.values = world.values()
            self.quarantine = world.rows("SELECT key, code, who FROM quarantine")
            self.attempts = Counter(r["delivery"] for r in world.rows("SELECT delivery FROM attempt_delivery"))
            self.refusals = Counter(
                r["delivery"] for r in world.rows("SELECT delivery FROM attempt_delivery WHERE verdict='rejected'")
            )
        finally:
            world.gone()


def is_invalid(resource: Any) -> bool:
    return resource.get("resourceType") == "Encounter" and "poison-invalid" in str(resource)


@cache
def without(count: int, kinds: tuple[str, ...]) -> Run:
    return Run(count, tuple(kind for kind in kinds if kind in HARMLESS), armed=False)


@pytest.mark.parametrize("kinds", CASES, ids="+".join)
def test_poison_is_set_aside_once_and_nobody_waits_for_it(kinds: tuple[str, ...]) -> None:
    count = 100 * len(kinds)
    good, bad = without(count, kinds), Run(count, kinds, armed=True)

    # Each poison once, with a reason that has words and somebody who must act. What of the same record refers to a
    # refused resource waits for it; nothing of any other record does.
    parked = [r for r in bad.deliveries.values() if r["state"] == "parked"]
    waiting = [r for r in bad.deliveries.values() if r["state"] not in ("parked", "accepted")]
    set_aside = [(r["key"], r["code"], r["who"]) for r in bad.quarantine]
    set_aside += [(r["record"] or r["key"], r["reason"], r["who"]) for r in parked]
    assert len(set_aside) == len(kinds), set_aside
    assert Counter(code for _, code, _ in set_aside) == Counter(told(kind, set_aside) for kind in kinds)
    for key, code, who in set_aside:
        assert code in bootstrap.REASONS, (key, code)
        assert (who or str(bootstrap.REASONS[code].who)) not in ("", "nobody"), (key, code, who)
    assert all("poison-" in r["record"] for r in parked if r["record"])
    refused = {r["record"] for r in parked if r["target"] == "fhir"}
    assert {(r["state"], r["reason"], r["record"] in refused) for r in waiting} <= {
        ("deferred", "fhir.reference_missing", True)
    }
    for row in parked:
        assert bad.refusals[row["id"]] == (0 if row["reason"] == "fhir.invalid" else 1), "asked once, not again"

    # All others: as without it, at the same time, with the same tries.
    assert good.summary["outcome"] == "settled"
    aside = {(r["target"], r["key"]) for r in (*parked, *waiting)}
    # With a refused resource the run goes on waiting for what refers to it, on the one clock that all targets share
    # here, while others are still being sent: then tries tell, not seconds.
    waits = bool(waiting)
    for address, row in good.deliveries.items():
        if address in aside:
            continue
        other = bad.deliveries[address]
        assert other["state"] == row["state"] == "accepted", address
        assert bad.attempts[other["id"]] == good.attempts[row["id"]] == 1, address
        assert waits or seconds(other) <= seconds(row) * 1.05, address
    missing = {key: value for key, value in good.values.items() if bad.values.get(key) != value}
    assert len(missing) == ("value" in kinds), missing
    assert waits or bad.rounds == good.rounds
    assert waits or bad.summary["seconds"] <= good.summary["seconds"] * 1.05


def told(kind: str, set_aside: list[tuple[str, str, str]]) -> str:
    """The reason of this kind; of a refused value the target's own word for it."""
    if kind in ("value", "resource"):
        prefix = REASONS[kind].partition(".")[0] + "."
        return next((code for _, code, _ in set_aside if code.startswith(prefix) and code != "fhir.invalid"), prefix)
    return REASONS[kind]


def seconds(row: dict[str, Any]) -> float:
    """From wanted to accepted, by the simulated clock."""
    return (moment(row["accepted_at"]) - moment(row["wanted_at"])).total_seconds()
