"""What happens in one world, all of it decided by the seed before anything runs: the documents and their changes, the
armed faults and how often they fire, the crash points, the other actors. A plan is plain data, so that it can be cut
smaller (``shrink``) and printed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from tests.sim import servers

Doc = dict[str, Any]

#: Names carry a word that must never be seen outside the encrypted columns.
CANARY = "Zanzibouk"
PERSONS = ("person-a", "person-b", "person-c")
#: Worker -> the site where she is deployed (config/mali-health/deployments.csv).
WORKERS = {"asc-001": "site-1", "asc-013": "site-1", "asc-002": "site-2"}
TARGETS = ("dhis2", "fhir", "openmrs", "cht_answers")

#: Before the server: nothing was applied, and the answer (or its absence) says so or not.
BEFORE = (
    "refused", "dns", "tls", "lost_request", "401", "403", "413", "429", "429_seconds", "429_date", "503",
    "503_seconds", "portal", "login",
)  # fmt: skip
#: After the server: applied, and the client does not learn it.
AFTER = ("lost_answer", "500", "502", "504", "truncated", "garbage", "wrong_content", "empty")
#: The client has given up; the request is applied later, but within ``settles_within``.
LATE = ("late",)
#: What real servers do to some rows, or to the whole of a request they understood.
DOMAIN = (
    "dhis2_refused_value", "dhis2_locked", "dhis2_approved", "dhis2_not_open", "dhis2_silent_loss", "dhis2_failed",
    "dhis2_half", "dhis2_bad_period", "fhir_conflict",
)  # fmt: skip
#: What happens at a DHIS2 program: somebody registered her by hand (E1064), somebody removed what is named there (its
#: identifier stays taken), another creation of the same wins, an object is refused.
TRACKER = ("tracker_known", "tracker_removed", "tracker_raced", "tracker_refused")
#: Worlds that have a tracker beside the figures.
TRACKED = 0.2
#: Faults of the target itself: whatever they do, no delivery's try may be counted.
OF_TARGET = frozenset({"refused", "dns", "tls", "401", "403", "429", "429_seconds", "429_date", "503", "503_seconds"})
#: Faults after which a delivery may rightly be parked.
PARKING = servers.PARKING | {
    "413", "dhis2_refused_value", "dhis2_locked", "dhis2_approved", "dhis2_failed", "tracker_refused",
}  # fmt: skip


@dataclass(frozen=True)
class Event:
    """``put`` (id, document), ``delete`` (id, keep body?), ``purge``, ``flip`` (back to an earlier revision)."""

    at: float  #: seconds from the start
    what: str
    id: str
    doc: Doc = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    seed: int
    targets: tuple[str, ...]
    events: tuple[Event, ...] = ()
    faults: tuple[str, ...] = ()
    rate: float = 0.0
    until: float = 3600.0  #: seconds from the start: then the faults stop
    crashes: tuple[int, ...] = ()  #: numbers of the boundaries at which the process dies
    actors: tuple[str, ...] = ()
    jumps: tuple[tuple[float, float], ...] = ()  #: (when, by how many seconds the wall clock jumps)
    staff: tuple[tuple[str, str], ...] = ()  #: referral -> what the clinic does with it
    dhis2: str = "legacy"  #: which importer the DHIS2 has

    def shown(self) -> list[str]:
        lines = [
            f"DHIS2 {self.dhis2}; targets {', '.join(self.targets)}; faults {', '.join(self.faults) or 'none'} "
            f"at {self.rate:.0%} for {self.until:.0f} s; crashes at {list(self.crashes)}; "
            f"actors {', '.join(self.actors) or 'none'}; clock {list(self.jumps)}; clinic {list(self.staff)}"
        ]
        for event in self.events:
            about = event.doc.get("fields") or {k: v for k, v in event.doc.items() if k not in ("_id", "parent")}
            worker = (event.doc.get("contact") or {}).get("_id", "")
            lines.append(f"  {event.at:7.1f} {event.what} {event.id} {worker} {about or ''}".rstrip())
        return lines


def at_site(site: str) -> Doc:
    return {"_id": site, "parent": {"_id": "area-1", "parent": {"_id": "district-1"}}}


def person(rng: random.Random, key: str) -> Doc:
    return {
        "_id": key, "type": "contact", "contact_type": "person", "name": f"{CANARY} {key}",
        "date_of_birth": rng.choice(["2024-03-11", "2021-02-01", "2019-05-20", "2023-06-30"]),
        "sex": rng.choice(["female", "male"]), "parent": {"_id": f"home-{key}"},
    }  # fmt: skip


def visit(rng: random.Random, key: str) -> Doc:
    worker = rng.choice(list(WORKERS))
    fields: Doc = {
        "visit_date": f"2026-{rng.choice(['07', '08', '09'])}-{rng.randrange(8, 28):02d}",
        "patient_id": rng.choice(PERSONS[:2]),
        "group_fever": {"patient_fever": "yes", "mrdt_result": rng.choice(["positive", "negative", "not_done"])},
    }
    if rng.random() < 0.5:
        fields["referral"] = referral(rng)
    return {
        "_id": key, "type": "data_record", "form": "assessment", "content_type": "xml",
        "reported_date": 1_790_000_000_000, "contact": {"_id": worker, "parent": at_site(WORKERS[worker])},
        "fields": fields,
    }  # fmt: skip


def referral(rng: random.Random) -> Doc:
    return {
        "is_referred": "yes", "referred_to": "area-1", "urgency": rng.choice(["urgent", "routine"]),
        "reason": "danger_sign", "note": f"{CANARY} note",
    }  # fmt: skip


def changed(rng: random.Random, doc: Doc, *, steady: bool) -> Doc:
    """The same visit, corrected: another result, day, month, worker and place, referral or person."""
    fields = {**doc["fields"], "group_fever": dict(doc["fields"]["group_fever"])}
    contact = doc["contact"]
    what = rng.choice(["result", "result", "day", "worker", "referral", "urgency", "person"])
    if what == "result" or steady:
        others = [r for r in ("positive", "negative", "not_done") if r != fields["group_fever"]["mrdt_result"]]
        fields["group_fever"]["mrdt_result"] = rng.choice(others)
    elif what == "day":
        fields["visit_date"] = f"2026-{rng.choice(['07', '08', '09'])}-{rng.randrange(8, 28):02d}"
    elif what == "worker":
        worker = rng.choice(list(WORKERS))
        contact = {"_id": worker, "parent": at_site(WORKERS[worker])}
    elif what == "person" and "referral" not in fields:
        fields["patient_id"] = rng.choice(PERSONS[:2])
    elif "referral" in fields and what == "referral":
        del fields["referral"]
    else:
        fields["referral"] = referral(rng)
    return {**doc, "fields": fields, "contact": contact}


def events_of(rng: random.Random, span: float, staff: dict[str, str]) -> list[Event]:
    events = [Event(0.0, "put", key, person(rng, key)) for key in PERSONS[:1]]
    # The second person may arrive after what was seen of her.
    events.append(Event(rng.choice([0.0, rng.uniform(0, span)]), "put", PERSONS[1], person(rng, PERSONS[1])))
    for n in range(rng.randrange(2, 5)):
        key = f"visit-{n}"
        doc = visit(rng, key)
        at = rng.choice([0.0, 0.0, rng.uniform(0, span * 0.7)])
        events.append(Event(at, "put", key, doc))
        steady = "referral" in doc["fields"] and rng.random() < 0.4
        if steady:
            staff[key] = rng.choice(["arrived", "completed", "missed"])
        events += later(rng, key, doc, at, span, steady)
    if rng.random() < 0.3:
        events.append(Event(rng.uniform(0, span), "put", PERSONS[0], person(rng, PERSONS[0])))
    return sorted(events, key=lambda e: e.at)


def later(rng: random.Random, key: str, doc: Doc, at: float, span: float, steady: bool) -> list[Event]:
    """What becomes of a visit: corrections, there and back again, deletion, undeletion, archiving."""
    events: list[Event] = []
    versions = [doc]
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        at += rng.choice([rng.uniform(1, 30), rng.uniform(1, 400), rng.uniform(1, span)])
        what = rng.random()
        if what < 0.55 or steady:
            doc = changed(rng, doc, steady=steady)
            events.append(Event(at, "put", key, doc))
        elif what < 0.70 and len(versions) > 1:  # A -> B -> A
            doc = versions[-2]
            events.append(Event(at, "put", key, doc))
        elif what < 0.80 and len(versions) > 1:  # the winner of a conflict flips back to what was there before
            doc = versions[-2]
            events.append(Event(at, "flip", key, doc))
        elif what < 0.95:
            events.append(Event(at, "delete", key, {"keep": rng.random() < 0.5}))
            if rng.random() < 0.6:
                break
            at += rng.uniform(1, span / 2)
            events.append(Event(at, "put", key, doc))
        else:
            events.append(Event(at, "purge", key))
            break
        versions.append(doc)
    return events


def plan(seed: int) -> Plan:
    rng = random.Random(f"plan {seed}")
    span = rng.choice([400.0, 900.0, 2400.0])
    targets = ("dhis2", *rng.choice([("fhir",), ("openmrs",), ("openmrs", "cht_answers"), ("fhir", "openmrs")]))
    if rng.random() < 0.1:
        targets = TARGETS
    staff: dict[str, str] = {}
    events = events_of(rng, span, staff)
    # Two dice: which faults are armed at all, then how often they fire, so that rare ones meet.
    faults = tuple(f for f in (*BEFORE, *AFTER, *LATE, *DOMAIN) if rng.random() < 0.2)
    mood = rng.random()
    if mood < 0.08:
        faults = ()
    elif mood < 0.2:  # only the target's own trouble: nothing may count as a try
        faults = tuple(f for f in OF_TARGET_ORDER if rng.random() < 0.5)
    elif mood < 0.4:
        faults = tuple(f for f in (*AFTER, *LATE, "lost_request") if rng.random() < 0.4)
    actors = tuple(a for a in ("second", "operator", "reconcile", "push") if rng.random() < 0.4)
    crashes = tuple(sorted(rng.randrange(5, 300) for _ in range(rng.choice([0, 0, 1, 2, 3, 12]))))
    jumps: tuple[tuple[float, float], ...] = ()
    if rng.random() < 0.15:
        faults = tuple(dict.fromkeys((*faults, "late")))  # what was lost may arrive after the jump
        jumps = ((rng.uniform(0, span), rng.choice([3600.0, -3600.0, 86400.0, -86400.0])),)
    rate = rng.choice([0.1, 0.3, 0.6])
    # Drawn apart, so that a seed means the same world on either importer.
    dhis2 = random.Random(f"importer {seed}").choice(["legacy", "v43"])
    apart = random.Random(f"tracker {seed}")
    if apart.random() < TRACKED:
        targets = (*targets, "tracker")
        if not set(faults) <= OF_TARGET:
            faults = (*faults, *(f for f in TRACKER if apart.random() < 0.5))
    if not set(faults) <= OF_TARGET:
        apart = random.Random(f"servers {seed}")
        there = [fault for name in ("cht", *targets) for fault in servers.FAULTS.get(name, ())]
        faults = (*faults, *(fault for fault in there if apart.random() < 0.2))
    return Plan(
        seed, targets, tuple(events), faults, rate, span * 1.2, crashes, actors, jumps, tuple(staff.items()), dhis2
    )


OF_TARGET_ORDER = tuple(f for f in BEFORE if f in OF_TARGET)
