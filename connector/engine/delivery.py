"""Delivery: lease, attempt written before the request leaves, request, verdict, settled behind the generation fence.

    pending ──claim──> leased ──accepted──> accepted
       ^                 │ ├──rejected──> parked ──(a person retries)──> pending
       │                 │ ├──deferred──> deferred ──due──> leased
       └─newer wanted────┘ └──unknown──> unknown ──quiet time──> leased, looks up before it sends

"Unknown" is never guessed: after the quiet time the key is looked up at the target, then it is decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import orjson

from connector import retry
from connector.engine import (
    audit,
    completion,
    match_review,
    pauses,
    proof,
    referrals,
    release,
    resources,
    tally,
    timekeeping,
    tracker,
)
from connector.engine.engine import Engine, moment, stamp
from connector.engine.keys import block_of
from connector.errors import LaneBusy, RunLocked, TargetUnreadable
from connector.identity import digest
from connector.model import Delivery, Outcome, State, Verdict, Who

#: A lease outlives the longest request; after it another worker takes over and looks up first.
LEASE = timedelta(minutes=10)
LANE = timedelta(minutes=5)

#: Of so many versions of a resource it is known that we sent them, by the first letters of their digest.
SENT, MARK = 8, 16

#: Kinds of target that say 401 also while their database is down.
DOWN_IS_401 = ("dhis2", tracker.KIND)

#: Reason codes that mean the account is refused.
LOCKED = ("locked", "disabled")


@dataclass(slots=True)
class Item:
    """A claimed delivery and what its payload was made from (cells of a block)."""

    row: dict[str, Any]
    delivery: Delivery
    cells: list[dict[str, Any]]
    values: list[dict[str, Any]]


class Progress:
    """``ports.Progress`` over the store."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def note(self, delivery: Delivery, *, step: str, remote: Mapping[str, Any]) -> None:
        text = orjson.dumps(dict(remote)).decode()

        def work(unit: Any) -> None:
            if remote.get("followed"):  # a patient who was merged or voided at the clinic
                before = orjson.loads(unit.generations([delivery.id])[delivery.id]["remote"]).get("followed") or []
                for gone in remote["followed"]:
                    if gone not in before:
                        detail = {"from": unit.keyed(gone), "to": unit.keyed(str(remote.get("patient")))}
                        audit.record(
                            unit, at=self.engine.now(), event="patient.followed", subject=delivery.key, detail=detail
                        )
            unit.note(delivery.id, step, text)

        self.engine.store.write(work)

    @asynccontextmanager
    async def lane(self, name: str) -> AsyncIterator[None]:
        """The lane in the database keeps other processes out, the lock the other tasks of this one."""
        async with self.engine.turns.setdefault(name, asyncio.Lock()), self._lane(name):
            yield

    @asynccontextmanager
    async def _lane(self, name: str) -> AsyncIterator[None]:
        engine = self.engine
        until = stamp(engine.clock.now() + LANE)
        if not engine.store.write(lambda unit: unit.take_lane(name, engine.holder, engine.now(), until)):
            raise LaneBusy()
        try:
            yield
        finally:
            engine.store.write(lambda unit: unit.leave_lane(name, engine.holder))


def health_of(state: Mapping[str, Any]) -> retry.TargetHealth:
    due = state.get("due_at")
    return retry.TargetHealth(
        breaker=state["breaker"],
        failures=int(state["failures"]),
        refusals=int(state["refusals"]),
        due_at=moment(due) if due else None,
        good=state["good"],
    )


def held_already(row: Mapping[str, Any]) -> bool:
    """The target holds what is wanted, so that nothing need be sent.

    Never of a block, which is judged by its cells: a released or forgotten value leaves its wanted state as it was. Nor
    in the middle of steps towards another state: the target no longer holds all of what it accepted.
    """
    if row["unsure"] or row["step"] or row["kind"] == "block":
        return False
    return bool(row["digest"] == row["accepted_digest"])


@dataclass(slots=True)
class Flight:
    """A batch on its way. ``health``: of the target when it left."""

    items: list[Item]
    attempt: int
    health: retry.TargetHealth


async def deliver(engine: Engine, target: str, plan: int | None = None) -> dict[str, int]:
    """Deliver everything due for one target, or what of a ``plan`` is. Returns counts of verdicts and ``values``
    accepted.

    Several batches are on their way together where the target takes that (``Capabilities.at_once``) and is well, and
    none of them has to do with another (``_apart``).
    """
    totals = {"accepted": 0, "rejected": 0, "deferred": 0, "unknown": 0, "values": 0, "batches": 0}
    at_once = engine.targets[target].capabilities.at_once
    flights: dict[asyncio.Task[list[Outcome]], Flight] = {}
    go_on = True
    try:
        while True:
            while go_on and len(flights) < at_once:
                flight = _leave(engine, target, plan, list(flights.values()))
                if flight is None:
                    break
                if flight.items:
                    flights[asyncio.create_task(_attempt(engine, target, flight.items))] = flight
                    await asyncio.sleep(0)  # it is sent while the next one is made ready
                else:
                    totals["batches"] += 1
            if not flights:
                return totals
            landed, _ = await asyncio.wait(flights, return_when=asyncio.FIRST_COMPLETED)
            for task in [one for one in flights if one in landed]:
                counts, healthy = _land(engine, target, flights.pop(task), task.result())
                for name, count in counts.items():
                    totals[name] += count
                totals["batches"] += 1
                engine.progress(
                    f"deliver {target}", sum(counts[n] for n in ("accepted", "rejected", "deferred", "unknown"))
                )
                go_on = go_on and healthy
    finally:  # stopped, or one of them failed: what is still on its way stays leased, and is looked at again
        for task in flights:
            task.cancel()
        await asyncio.gather(*flights, return_exceptions=True)


def _leave(engine: Engine, target: str, plan: int | None, beside: Sequence[Flight]) -> Flight | None:
    """The next batch that may leave beside these; None when there is none now. Without items nothing need be sent of
    what was due."""
    state = engine.store.write(lambda unit: unit.target_state(target))
    health = health_of(state)
    if pauses.holds(engine, "target_state", target, state) or not health.may_try(engine.clock.now()):
        return None
    flying = [item for flight in beside for item in flight.items]
    # A target that failed lately is asked by one batch at a time; and what is removed may be named by what is put.
    if flying and (health != retry.TargetHealth() or any(item.delivery.payload.get("deleted") for item in flying)):
        return None
    items, attempt = engine.store.write(lambda unit: _claim(engine, unit, target, health, plan, flying))
    return None if attempt is None else Flight(items, attempt, health)


def _land(engine: Engine, target: str, flight: Flight, outcomes: Sequence[Outcome]) -> tuple[dict[str, int], bool]:
    """One transaction: a target must not stay "out of reach" because the process died after its last answer."""

    def settle(unit: Any) -> tuple[dict[str, int], bool]:
        timekeeping.check(engine, unit)  # set back during the request, and forward again before the next
        counts = _settle(engine, unit, target, flight.attempt, flight.items, outcomes)
        return counts, _judge_target(engine, unit, target, flight.health, outcomes)

    found: tuple[dict[str, int], bool] = engine.store.write(settle)
    return found


# ---------------------------------------------------------------- claim


def _due(
    engine: Engine, unit: Any, target: str, health: retry.TargetHealth, now: str, plan: int | None
) -> list[dict[str, Any]] | None:
    """What may leave now, None when nothing is due: all that is due, or while the target has failed lately a batch
    with few retries in it. What only waits for a retry of its subject is no company for retries."""
    full = engine.targets[target].capabilities.max_batch
    limit = health.limit(full)
    if plan is not None:
        due = unit.claim_planned(plan, target, now, limit)
        return _in_order(engine, unit, target, due) if due else None
    if health.good is None:
        due = unit.claim(target, now, limit)
        return _in_order(engine, unit, target, due) if due else None
    due = unit.claim(target, now, limit, only="fresh")
    fresh = _in_order(engine, unit, target, due)
    retries = unit.claim(target, now, min(limit, health.retries(full, len(fresh))), only="retries")
    if not due and not retries:
        return None
    return _in_order(engine, unit, target, [*retries, *fresh[: limit - len(retries)]])


def _in_order(engine: Engine, unit: Any, target: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What of it may leave now (``Capabilities.ordered``)."""
    may = engine.targets[target].capabilities
    if not may.ordered:
        return rows
    claimed = {row["id"] for row in rows}
    earlier = unit.still_open(target, {row["subject"] for row in rows if row["subject"]})
    first: dict[str, dict[str, Any]] = {}
    for one in earlier:  # by id
        if one["id"] not in claimed and one["reason"] not in may.needs_others:
            first.setdefault(one["subject"], one)
    behind = {row["id"]: first[row["subject"]] for row in rows if row["subject"] in first}
    behind = {id: one for id, one in behind.items() if one["id"] < id}
    soon = stamp(engine.clock.now() + timedelta(seconds=1))
    unit.wait_until([{"id": id, "due_at": max(one["due_at"], soon)} for id, one in behind.items()])
    return [row for row in rows if row["id"] not in behind]


def _apart(engine: Engine, items: Sequence[Item], flying: Sequence[Item]) -> list[Item]:
    """Those of ``items`` that have nothing to do with what is on its way, so that it does not matter which of them
    arrives first: not the same resource or subject, and no resource that refers to another that is not there yet or
    is held back here. What is removed waits until nothing is on its way."""
    names = {item.row["key"] for item in flying}
    subjects = {item.row["subject"] for item in flying} - {None}
    left = [(item, resources.refers_to(item.delivery.payload)) for item in items]
    while True:
        stay = [
            (item, named)
            for item, named in left
            if item.row["key"] not in names
            and item.row["subject"] not in subjects
            and not item.delivery.payload.get("deleted")
            and names.isdisjoint(named)
        ]
        if len(stay) == len(left):
            break
        kept = {item.row["id"] for item, _ in stay}
        held = [item for item, _ in left if item.row["id"] not in kept]
        names |= {item.row["key"] for item in held}
        subjects |= {item.row["subject"] for item in held} - {None}
        for item in held:
            resources.built_again(engine, item.row, item.delivery.payload)
        left = stay
    return [item for item, _ in left]


def _claim(
    engine: Engine,
    unit: Any,
    target: str,
    health: retry.TargetHealth,
    plan: int | None = None,
    flying: Sequence[Item] = (),
) -> tuple[list[Item], int | None]:
    """Lease what is due and write the attempt, before anything leaves: (items, attempt; None = nothing due, or nothing
    that may leave beside what is ``flying``).

    What the target already holds (back to the accepted state) is settled at once, without a request. Writers take
    turns on both databases (``store/database.py``), so nobody else sees the same rows due. Raises RunLocked.
    """
    timekeeping.check(engine, unit)
    now = engine.now()
    lock = unit.lane("run")
    if lock and lock["holder"] != engine.holder:  # we were frozen so long that another took over
        raise RunLocked()
    rows = _due(engine, unit, target, health, now, plan)
    if rows is None:
        return [], None
    items: list[Item] = []
    nothing: list[dict[str, Any]] = []
    made = resources.rebuild(engine, unit, [r for r in rows if r["kind"] == "resource"])
    gone: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    completed: list[dict[str, Any]] = []
    for row in rows:
        unsure = bool(row["unsure"]) or row["state"] == State.LEASED
        if not unsure and held_already(row):
            nothing.append(row)
            continue
        cells: list[dict[str, Any]] = []
        if row["kind"] == "block":
            payload, cells = tally.block_payload(engine, unit, row["key"])
            if not cells:
                unit.cells_forgiven(block_of(row["key"]))
                nothing.append(row)
                continue
            if release.waits(engine, unit, row["key"], payload["values"], cells):
                waiting.append(row)
                continue
            if row["reason"] == release.AWAITING:  # the pack asks no more, or the figures are the approved ones again
                tally.want_report(engine, unit, block_of(row["key"]))
            if completion.comes_first(engine, unit, row["key"]):  # gives the row another reason
                completed.append(row)
                continue
        elif row["kind"] == "resource":
            found = made.get(row["key"])
            if found is None:
                gone.append(row)
                continue
            payload = found
        elif row["kind"] in (tracker.PERSON, tracker.EVENT):
            told = tracker.payload_of(unit, row)
            if told is None:
                gone.append(row)
                continue
            payload = told
        else:
            payload = unit.open("delivery", row["payload_enc"])
        delivery = _delivery(row, payload, unsure)
        if unsure and row["kind"] == "resource":
            delivery = replace(delivery, remote=_all_sent(engine, unit, row))
        items.append(Item(row, delivery, cells, payload.get("values", []) if cells else []))
    unit.settle_accepted([_accepted(r, now, engine.holder) for r in nothing])
    unit.settle_other([_put_back(engine, r, **release.waiting_fields(engine, r["key"])) for r in waiting])
    unit.settle_other([_put_back(engine, r, **completion.waiting_fields(engine)) for r in completed])
    lost = {"state": State.PARKED, "reason": "resource.not_rebuilt", "who": str(Who.SYSADMIN)}
    unit.settle_other([{**_put_back(engine, r, **lost), "unsure": False} for r in gone])
    if flying:
        ready, items = items, _apart(engine, items, flying)
        if not items and len(ready) == len(rows):
            return [], None
    if not items:
        return [], 0
    until = stamp(engine.clock.now() + LEASE)
    unit.lease([{"id": i.row["id"], "until": until, "by": engine.holder, "now": now} for i in items])
    attempt = unit.begin_attempt(target, now, [i.row for i in items], engine.run)
    unit.values_leave(
        [
            {"cell": c["id"], "attempt": attempt, "value": v["value"], "now": now}
            for i in items
            for c, v in zip(i.cells, i.values, strict=True)
        ]
    )
    audit.record(
        unit,
        at=now,
        event="attempt.begun",
        subject=target,
        detail={
            "attempt": attempt,
            "size": len(items),
            "deliveries": [[i.row["id"], i.row["generation"]] for i in items][:50],
            **proof.values_entry(items),
        },
    )
    return items, attempt


def _all_sent(engine: Engine, unit: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """``remote`` of a resource with the versions of which no answer was ever settled among those sent: one of them may
    be what is there."""
    remote: dict[str, Any] = orjson.loads(row["remote"])
    if "sent" not in remote:
        return remote
    doubtful = [mark or digest(resources.removal(engine, row["key"])) for mark in unit.digests_in_doubt(row["id"])]
    return {**remote, "sent": [*remote["sent"], *(mark[:MARK] for mark in doubtful)]}


def _put_back(engine: Engine, row: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A claimed delivery that does not leave: nothing was sent, no try is counted."""
    return {
        "id": row["id"],
        "by": engine.holder,
        "generation": row["generation"],
        "tries": row["tries"],
        "unsure": bool(row["unsure"]) or row["state"] == State.LEASED,
        "due_at": row["due_at"],
        "remote": row["remote"],
        "step": row["step"],
        "now": engine.now(),
        **fields,
    }


def _accepted(row: Mapping[str, Any], now: str, by: str, remote: str | None = None) -> dict[str, Any]:
    return {
        "id": row["id"],
        "by": by,
        "generation": row["generation"],
        "digest": row["digest"],
        "no": False,
        "now": now,
        "remote": remote if remote is not None else row["remote"],
    }


def _delivery(row: Mapping[str, Any], payload: Mapping[str, Any], unsure: bool) -> Delivery:
    return Delivery(
        id=row["id"],
        target=row["target"],
        key=row["key"],
        kind=row["kind"],
        generation=row["generation"],
        digest=row["digest"],
        payload=payload,
        step=row["step"],
        remote=orjson.loads(row["remote"]),
        tries=row["tries"],
        unsure=unsure,
    )


# ---------------------------------------------------------------- attempt


async def _attempt(engine: Engine, target: str, items: Sequence[Item]) -> list[Outcome]:
    """One outcome per item, in order. What is unsure is looked up first; only what is not there is sent (again)."""
    adapter = engine.targets[target]
    outcomes: dict[int, Outcome] = {}
    to_send: list[Item] = []
    for item in items:
        if not item.delivery.unsure or adapter.capabilities.resend_is_safe:
            to_send.append(item)
            continue
        try:
            observed = await adapter.look_up(item.delivery)
        except TargetUnreadable as error:
            said = error.reason or str(error)
            outcomes[item.row["id"]] = Outcome(Verdict.UNKNOWN, "target.unreadable", of_target=True, answer=said)
            continue
        if observed is not None and observed.matches:
            if observed.remote:
                Progress(engine).note(
                    item.delivery, step=item.delivery.step, remote={**item.delivery.remote, **observed.remote}
                )
            outcomes[item.row["id"]] = Outcome(Verdict.ACCEPTED, "looked_up.holds")
        else:
            to_send.append(item)
    if to_send:
        try:
            answered = await adapter.deliver([i.delivery for i in to_send], Progress(engine))
        except LaneBusy:
            answered = [
                Outcome(Verdict.DEFERRED, "lane.busy", retry_after=timedelta(seconds=1), of_target=False)
            ] * len(to_send)
        for item, outcome in zip(to_send, answered, strict=True):
            outcomes[item.row["id"]] = outcome
    return [outcomes[i.row["id"]] for i in items]


# ---------------------------------------------------------------- settle


def _settle(
    engine: Engine, unit: Any, target: str, attempt: int, items: Sequence[Item], outcomes: Sequence[Outcome]
) -> dict[str, int]:
    now = engine.now()
    counts = {"accepted": 0, "rejected": 0, "deferred": 0, "unknown": 0, "values": 0}
    accepted, other, overtaken, judged = [], [], [], []
    current = unit.generations([i.row["id"] for i in items])
    for item, outcome in zip(items, outcomes, strict=True):
        row = item.row
        live = current[row["id"]]
        remote = live["remote"]
        if outcome.remote_id or row["kind"] == "resource":
            remote = _told(remote, item, outcome)
        counts[str(outcome.verdict)] += 1
        judged.append(
            {
                "attempt": attempt,
                "delivery": row["id"],
                "verdict": str(outcome.verdict),
                "reason": outcome.reason,
                "http_status": outcome.http_status,
                "answer_enc": unit.seal("attempt", outcome.answer) if outcome.answer else None,
            }
        )
        counts["values"] += _settle_values(unit, item, attempt, outcome, now)
        if live["generation"] != row["generation"]:
            overtaken.append(_overtaken(engine, item, outcome, live, remote, now))
        elif outcome.verdict is Verdict.ACCEPTED:
            accepted.append(_accepted(row, now, engine.holder, remote))
            if row["kind"] == "completion":
                completion.settled(engine, unit, row["target"], row["key"])
        else:
            if outcome.candidates:
                match_review.ask(engine, unit, row, outcome.candidates)
            other.append(_other(engine, item, outcome, live, remote, now))
        if (
            outcome.verdict is Verdict.ACCEPTED
            and row["kind"] == "referral"
            and not item.delivery.payload.get("deleted")
        ):
            referrals.settled(engine, unit, row, orjson.loads(remote))
    unit.attempt_judged(judged)
    unit.settle_accepted(accepted)
    unit.settle_other(other)
    unit.settle_overtaken(overtaken)
    worst = next((v for v in ("unknown", "rejected", "deferred") if counts[v]), "accepted")
    unit.end_attempt(attempt, worst, now)
    reasons = sorted({o.reason for o in outcomes if o.verdict is not Verdict.ACCEPTED})
    audit.record(
        unit,
        at=now,
        event="attempt.ended",
        subject=target,
        detail={"attempt": attempt, "verdict": worst, "counts": counts, "reasons": reasons[:10]},
    )
    return counts


def _settle_values(unit: Any, item: Item, attempt: int, outcome: Outcome, now: str) -> int:
    """Per-value outcomes of a block onto its cells. Returns how many values the target holds from us now."""
    if not item.cells:
        return 0
    told = {(v.data_element, v.category_option_combo): v for v in outcome.per_value}
    good, states, judged = [], [], []
    for cell, value in zip(item.cells, item.values, strict=True):
        one = told.get((cell["data_element"], cell["combo"]))
        verdict = one.verdict if one is not None else outcome.verdict
        reason = one.reason if one is not None else outcome.reason
        if one is not None and one.held:
            kept = reason == "dhis2.value_kept"
            states.append({"id": cell["id"], "state": "kept" if kept else "held", "reason": reason, "there": one.there})
            judged.append({"attempt": attempt, "cell": cell["id"], "verdict": "held", "reason": reason})
            continue
        judged.append({"attempt": attempt, "cell": cell["id"], "verdict": str(verdict), "reason": reason})
        if verdict is Verdict.ACCEPTED:
            good.append({"id": cell["id"], "value": value["value"] or "", "now": now})
        elif verdict is Verdict.REJECTED:
            states.append({"id": cell["id"], "state": "rejected", "reason": reason, "there": None})
    unit.cells_accepted(good)
    unit.cells_state(states)
    unit.values_judged(judged)
    if outcome.verdict is Verdict.ACCEPTED:
        unit.cells_forgiven(block_of(item.row["key"]))
    return len(good)


def _told(remote: str, item: Item, outcome: Outcome) -> str:
    """``remote`` with the id the target told, and of a resource what was sent lately, so that what a person wrote is
    told from what is ours."""
    known = orjson.loads(remote)
    if outcome.remote_id:
        known["id"] = outcome.remote_id
    if item.row["kind"] == "resource":
        mark = (item.row["digest"] or digest(item.delivery.payload))[:MARK]
        known["sent"] = [*(one for one in known.get("sent", ()) if one != mark), mark][-SENT:]
    return orjson.dumps(known).decode()


def written_by_us(remote: str, digest: str) -> bool:
    """Whether what a target holds under a key (as a digest) was sent by us; also when nobody noted what was."""
    sent = orjson.loads(remote).get("sent")
    return sent is None or digest[:MARK] in sent


def _quiet(engine: Engine, target: str) -> timedelta:
    return engine.targets[target].capabilities.settles_within * engine.quiet_scale


def _overtaken(
    engine: Engine, item: Item, outcome: Outcome, live: Mapping[str, Any], remote: str, now: str
) -> dict[str, Any]:
    """A newer state is wanted: this answer settles nothing, but an unknown one keeps the key quiet first."""
    unknown = outcome.verdict is Verdict.UNKNOWN
    unsure = unknown or (item.delivery.unsure and outcome.verdict is not Verdict.ACCEPTED)  # of what left before
    due = stamp(engine.clock.now() + _quiet(engine, item.row["target"])) if unknown else now
    return {
        "id": item.row["id"],
        "by": engine.holder,
        "generation": item.row["generation"],
        "unsure": unsure,
        "due_at": due,
        "remote": remote,
        "digest": item.row["digest"] if outcome.verdict is Verdict.ACCEPTED else None,
        "step": live["step"],
        "now": now,
    }


def _other(
    engine: Engine, item: Item, outcome: Outcome, live: Mapping[str, Any], remote: str, now: str
) -> dict[str, Any]:
    row = item.row
    base = {
        "id": row["id"],
        "by": engine.holder,
        "generation": row["generation"],
        "reason": outcome.reason,
        "who": engine.who(outcome.reason),
        "remote": remote,
        "step": live["step"],
        "now": now,
        "unsure": False,
        "tries": row["tries"],
        "due_at": now,
    }
    if outcome.verdict is Verdict.REJECTED:
        return {**base, "state": State.PARKED, "tries": row["tries"] + 1, "unsure": item.delivery.unsure}
    unknown = outcome.verdict is Verdict.UNKNOWN
    state = State.UNKNOWN if unknown else State.DEFERRED
    counted = not (outcome.of_target or outcome.unanswered or outcome.reason == "lane.busy")
    tries = row["tries"] + counted
    wait = timedelta(0)
    if not outcome.of_target:
        found = retry.due_after(
            min(max(tries, 1), len(retry.TRIES)) if outcome.patient else max(tries, 1),
            random=engine.random,
            scale=engine.retry_scale,
            retry_after=outcome.retry_after,
        )
        if found is None:
            return {**base, **_doubt(engine, item, outcome), "state": State.PARKED, "tries": tries}
        wait = found
    if unknown:
        wait = max(wait, _quiet(engine, row["target"]))
    now_moment = engine.clock.now()
    if not outcome.endless and now_moment - moment(row["wanted_at"]) > engine.park_after:
        parked = {**base, **_doubt(engine, item, outcome), "state": State.PARKED, "tries": tries}
        return {**parked, "reason": "delivery.too_old"}
    return {
        **base,
        "state": state,
        "tries": tries,
        "unsure": unknown or item.delivery.unsure,
        # What only the target stands in the way of keeps its place, so that nothing of the same subject overtakes it.
        "due_at": stamp(now_moment + wait) if wait else row["due_at"],
    }


def _doubt(engine: Engine, item: Item, outcome: Outcome) -> dict[str, Any]:
    """What a parked delivery remembers: that its last request may still arrive, and until when."""
    if outcome.verdict is not Verdict.UNKNOWN:
        return {"unsure": item.delivery.unsure}
    return {"unsure": True, "due_at": stamp(engine.clock.now() + _quiet(engine, item.row["target"]))}


def _judge_target(
    engine: Engine, unit: Any, target: str, health: retry.TargetHealth, outcomes: Sequence[Outcome]
) -> bool:
    """Move the target's own due time when the failure is the target's. Returns whether to go on now."""
    own = next((o for o in outcomes if o.of_target), None)
    if own is None and all(o.unanswered for o in outcomes):
        own = outcomes[0]  # silence for a whole batch is the target's own trouble
    now = engine.clock.now()
    full = engine.targets[target].capabilities.max_batch
    current = health_of(unit.target_state(target))
    #: What another batch met that was on its way beside this one.
    met = current if current.failures + current.refusals > health.failures + health.refusals else None
    if own is None:
        after = retry.after_success(health, len(outcomes), full)
    elif "credentials" in own.reason or any(word in own.reason for word in LOCKED):
        probes = engine.pack.targets[target].kind in DOWN_IS_401
        locked = any(word in own.reason for word in LOCKED)
        after = retry.after_refusal(health, now, probes=probes, locked=locked, scale=engine.retry_scale)
    else:
        after = retry.after_failure(
            health, now, random=engine.random, scale=engine.retry_scale, retry_after=own.retry_after, full=full
        )
    good = own is None
    who = Who.NOBODY if good else retry.who_acts(after, probes=engine.pack.targets[target].kind in DOWN_IS_401)
    if met is not None:  # one failure, met by several: it counts once, and the longest wait holds
        after = replace(after, due_at=max((one.due_at for one in (after, met) if one.due_at), default=None))
    if met is None or not (good or met.refusals):
        unit.keep_target(
            target=target,
            due_at=stamp(after.due_at) if after.due_at else None,
            breaker=after.breaker,
            failures=after.failures,
            refusals=after.refusals,
            good=after.good,
            reason=own.reason if own else None,
            who=str(who),
            now=stamp(now),
            last_success=stamp(now) if good else None,
        )
    unit.beat(
        target,
        "ok"
        if good and all(o.verdict is Verdict.ACCEPTED for o in outcomes)
        else "refused"
        if any(o.verdict is Verdict.REJECTED for o in outcomes)
        else "deferred",
        stamp(now),
    )

    return good
