"""What must hold when the world has come to rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from connector.engine import audit, runs
from connector.sandbox import openmrs_metadata as clinic
from connector.sandbox.oracle_fhir import held_resources
from connector.sandbox.oracle_referrals import held_answers, held_referrals
from tests.sim import oracle, servers
from tests.sim.plan import CANARY, OF_TARGET, PARKING
from tests.sim.tracker import BY_HAND, ENROLLED_BY_HAND

if TYPE_CHECKING:
    from tests.sim.world import World


def everything(world: World) -> None:
    """Raises Broken with the first promise that was not kept."""
    from tests.sim.world import Broken

    for check in (rest, dhis2, tracker, fhir, openmrs, answers, tries, trail, secrets):
        found = check(world)
        if found:
            raise Broken(f"{check.__name__}: {found}")


def differences(held: dict[Any, Any], wanted: dict[Any, Any]) -> str:
    lost = {k: wanted[k] for k in sorted(wanted) if k not in held}
    extra = {k: held[k] for k in sorted(held) if k not in wanted}
    other = {k: (held[k], wanted[k]) for k in sorted(held) if k in wanted and held[k] != wanted[k]}
    parts = [f"{name} {one}" for name, one in (("lost", lost), ("too much", extra), ("(held, wanted)", other)) if one]
    return "; ".join(parts)


def rest(world: World) -> str:
    rows = world.rows("SELECT target, key, state, reason FROM delivery WHERE state NOT IN ('accepted', 'resolved')")
    if rows:
        return f"not at rest: {[tuple(r) for r in rows[:5]]}"
    if dirty := world.rows("SELECT record FROM head WHERE dirty"):
        return f"not mapped: {[r['record'] for r in dirty]}"
    quarantined = world.rows("SELECT key, code FROM quarantine")
    return f"quarantined: {[tuple(r) for r in quarantined]}" if quarantined else ""


def dhis2(world: World) -> str:
    living = oracle.documents(world.log)
    state = world.dhis2.state()
    held = {
        (v["dataElement"], v["orgUnit"], v["period"], v["categoryOptionCombo"]): int(v["value"])
        for v in state["values"]
        if int(v["value"])
    }
    wrong = differences(held, oracle.cells(living))
    if wrong:
        return wrong
    completed = {(c["orgUnit"], c["period"]): True for c in state["completions"] if c["completed"]}
    return differences(completed, dict.fromkeys(oracle.completions(living), True))


def tracker(world: World) -> str:
    """Every visit is one event of its person, who is there once and enrolled once. Nobody is ever removed: she whose
    visits went stays."""
    if "tracker" not in world.plan.targets:
        return ""
    sim, state = world.dhis2.tracker, world.dhis2.state()["tracker"]
    units = {unit["id"]: unit["code"] for unit in world.dhis2.metadata.lists["orgUnits"]}
    wanted = oracle.tracked(oracle.documents(world.log))
    ever = oracle.days(world.log)
    held: dict[str, Any] = {}
    for one in state["trackedEntities"]:
        person = {sim.attributes[uid]["code"]: value for uid, value in one["attributes"].items()}
        key = person["TR_ID"]
        if key in held or key not in ever:
            return f"{key} is there twice, or was never seen"
        mine = [row for row in state["enrollments"] if row["trackedEntity"] == one["trackedEntity"]]
        events = sorted(
            (row["occurredAt"], units[row["orgUnit"]],
             tuple(sorted((sim.elements[uid]["code"], value) for uid, value in row["dataValues"].items())))
            for row in state["events"] if row["enrollment"] in {one["enrollment"] for one in mine}
        )  # fmt: skip
        held[key] = {"person": person, "events": events}
        if key not in wanted and not events:
            held[key] = wanted[key] = {}  # what she was called at last was sent to nobody
        else:
            if key in world.program.by_hand and key in wanted:
                wanted[key]["person"]["TR_NAME"] = BY_HAND
            if len(mine) != 1 or mine[0]["status"] != "ACTIVE":
                return f"enrolments of {key}: {mine}"
            begun = mine[0]["enrolledAt"]
            if begun != ENROLLED_BY_HAND and (begun not in ever[key] or begun > min(events)[0]):
                return f"{key} is enrolled on {begun}: {events}"
    if len(state["events"]) != sum(len(one.get("events", ())) for one in held.values()):
        return "an event of nobody's enrolment"
    return differences(held, wanted)


def fhir(world: World) -> str:
    if "fhir" not in world.plan.targets:
        return ""
    held = held_resources(world.fhir.state())
    for key in [k for k in held if k[0] == "MeasureReport"]:
        held[key] = {"figures": {part: n for part, n in held[key]["figures"].items() if n}}
    return differences(held, oracle.resources(oracle.documents(world.log)))


def openmrs(world: World) -> str:
    if "openmrs" not in world.plan.targets:
        return ""
    state = world.openmrs.state()
    strangers = servers.strangers(world.openmrs)
    state["patients"] = [one for one in state["patients"] if one["uuid"] not in strangers]
    wanted = oracle.referrals(oracle.documents(world.log))
    held = {}
    for number, said in held_referrals(state, ZoneInfo("Africa/Bamako"), ()).items():
        held[number] = (
            {name: said[name] for name in ("patient", "day", "urgency")} if isinstance(said, dict) else "twice"
        )
    wrong = differences(held, wanted)
    if wrong:
        return wrong
    ours = [row for row in state["encounters"] if row["type"] == clinic.COMMUNITY_REFERRAL]
    for row in (*ours, *state["appointments"]):
        untouched = row.get("status", "Scheduled") == "Scheduled"  # an appointment the clinic has moved on is theirs
        if row["location"] is None and not row["voided"] and untouched:
            return f"without its place: {row}"
    booked: dict[str, int] = {}
    for row in state["appointments"]:
        if not row["voided"] and (row["status"] != "Cancelled"):
            booked[row["number"]] = booked.get(row["number"], 0) + 1
    wrong = differences(booked, dict.fromkeys(wanted, 1))
    if wrong:
        return f"appointments: {wrong}"
    ids = [value for p in state["patients"] for kind, value in p["identifiers"] if kind == "CHW Patient ID"]
    return f"a patient twice: {ids}" if len(ids) != len(set(ids)) else ""


def answers(world: World) -> str:
    if "cht_answers" not in world.plan.targets or "openmrs" not in world.plan.targets:
        return ""
    held = {}
    wanted = oracle.answers(oracle.documents(world.log), dict(world.plan.staff))
    for number, said in held_answers(d.whole() for d in world.cht._docs.values()).items():
        if number not in wanted and isinstance(said, dict) and said["status"] in ("overdue", "sent", "withdrawn"):
            continue  # what the connector says of itself while the clinic has said nothing
        held[number] = {k: said[k] for k in ("patient", "status")} if isinstance(said, dict) else "twice"
    return differences(held, wanted)


def tries(world: World) -> str:
    """What the target itself failed at counts against no delivery, and only a refusal parks one."""
    faults = set(world.plan.faults)
    if world.parked and not faults & PARKING and "operator" not in world.plan.actors:
        shown = [(r["target"], r["key"], r["tries"], r["reason"]) for r in world.parked]
        return f"parked without a refusal: {shown[:5]}"
    if faults and faults <= OF_TARGET and not world.plan.crashes:
        counted = world.rows(
            "SELECT d.key, a.reason FROM attempt_delivery a JOIN delivery d ON d.id=a.delivery "
            "WHERE a.verdict='rejected'"
        )
        if counted:
            return f"an outage was taken for a refusal: {[tuple(r) for r in counted[:5]]}"
    return ""


def trail(world: World) -> str:
    """The audit chain is whole, and every attempt has its entries."""
    from tests.sim.world import Process

    process = Process(world, "auditor", "here")
    try:
        runs.seal(process.engine)
        found = process.engine.store.read(lambda unit: audit.verify(unit, None, process.engine.public_key))
    finally:
        process.close()
    if not found["ok"]:
        return f"{found}"
    begun = world.rows("SELECT COUNT(*) AS n FROM audit WHERE event='attempt.begun'")[0]["n"]
    tried = world.rows("SELECT COUNT(*) AS n FROM attempt")[0]["n"]
    return f"{tried} attempts, {begun} in the trail" if begun != tried else ""


def secrets(world: World) -> str:
    """Names of people are in encrypted columns only."""
    for table in world.rows("SELECT name FROM sqlite_master WHERE type='table'"):
        for row in world.rows(f"SELECT * FROM {table['name']}"):
            for column in tuple(row.keys()):
                value = row[column]
                text = value if isinstance(value, bytes) else str(value).encode()
                if CANARY.encode() in text:
                    return f"a name in {table['name']}.{column}"
    return ""


__all__ = ["clinic", "everything"]
