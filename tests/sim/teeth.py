"""Planted bugs: does the simulation see them? Each is a patch of behaviour, made here and nowhere in the product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest import mock
from weakref import WeakKeyDictionary

from sqlalchemy import text

from connector import retry
from connector.adapters import (
    cht,
    dhis2,
    dhis2_answers,
    dhis2_tracker,
    fhir_server,
    openmrs,
    openmrs_rest,
)
from connector.engine import audit, delivery, intake, mapping, reporters, runs, tally, tracker
from connector.model import Outcome, ValueOutcome, Verdict
from connector.store import ledger
from connector.store.counting import CountingQueries
from connector.store.intake import IntakeQueries
from connector.store.ledger import LedgerQueries

Patch = Callable[[ExitStack], None]
BUGS: dict[str, Patch] = {}


def bug(name: str) -> Callable[[Patch], Patch]:
    def keep(patch: Patch) -> Patch:
        BUGS[name] = patch
        return patch

    return keep


@contextmanager
def planted(name: str) -> Iterator[None]:
    with ExitStack() as stack:
        BUGS[name](stack)
        yield


def put(stack: ExitStack, where: Any, name: str, value: Any) -> Any:
    """Replace an attribute for as long as the bug is planted; returns what was there."""
    before = getattr(where, name)
    stack.enter_context(mock.patch.object(where, name, value))
    return before


def sql(stack: ExitStack, where: Any, name: str, old: str, new: str) -> None:
    before = getattr(where, name).text
    assert old in before, f"{name} does not say {old!r} any more"
    put(stack, where, name, text(before.replace(old, new)))


# ---------------------------------------------------------------- identity, verdicts


@bug("server-made ids")
def _ids(stack: ExitStack) -> None:
    """The encounter is created without our uuid, so that a repeat makes another one."""

    async def create(self: Any, path: str, body: Any, look: Any, mine: Any) -> Any:
        if path != "encounter":
            return await before(self, path, body, look, mine)
        anonymous = {k: v for k, v in body.items() if k != "uuid"}
        return await before(self, path, anonymous, look, lambda answered: True)

    before = put(stack, openmrs_rest.Rest, "create", create)


@bug("settle before send")
def _early(stack: ExitStack) -> None:
    def claim(engine: Any, unit: Any, *more: Any) -> Any:
        items, attempt = before(engine, unit, *more)
        unit.settle_accepted([delivery._accepted(i.row, engine.now(), engine.holder) for i in items])
        return items, attempt

    before = put(stack, delivery, "_claim", claim)

    def other(self: Any, rows: Any) -> None:
        put_back = [r for r in rows if r["state"] != "unknown"]
        if put_back:
            before_other(self, put_back)

    before_other = put(stack, LedgerQueries, "settle_other", other)


@bug("unknown taken as success")
def _unknown(stack: ExitStack) -> None:
    async def attempt(engine: Any, target: str, items: Any) -> Any:
        found = await before(engine, target, items)
        return [replace(o, verdict=Verdict.ACCEPTED) if o.verdict is Verdict.UNKNOWN else o for o in found]

    before = put(stack, delivery, "_attempt", attempt)


@bug("HTTP status believed")
def _status(stack: ExitStack) -> None:
    put(stack, dhis2_answers, "read_import", lambda *asked: dhis2_answers.Import(settled=True))

    def fault_of(status: int, location: str, body: Any, *, wrote: bool) -> Any:
        return None if 200 <= status < 300 else before(status, location, body, wrote=wrote)

    before = put(stack, dhis2_answers, "fault_of", fault_of)


@bug("per-value refusal read as success")
def _values(stack: ExitStack) -> None:
    def read_import(*asked: Any) -> Any:
        found = before(*asked)
        return replace(found, refused={}, loose="", settled=True, spared=frozenset()) if found.fault is None else found

    before = put(stack, dhis2_answers, "read_import", read_import)


@bug("silent loss believed")
def _short(stack: ExitStack) -> None:
    async def verify(self: Any, where: Any, sent: Any, read: Any) -> dict[Any, ValueOutcome]:
        return {}

    put(stack, dhis2.Dhis2Target, "_verify", verify)


@bug("report of the tracker not read")
def _report(stack: ExitStack) -> None:
    """200 is 200, also when every object was refused."""
    put(stack, dhis2_tracker, "_judge", lambda report, made, answer: ())


@bug("removed identifier taken for stored")
def _removed(stack: ExitStack) -> None:
    def judge(report: Any, made: Any, answer: Any) -> Any:
        found = before(report, made, answer)
        return () if not isinstance(found, Outcome) and {"E1082", "E1113", "E1114"} & set(found) else found

    before = put(stack, dhis2_tracker, "_judge", judge)


@bug("event made anew by each correction")
def _anew(stack: ExitStack) -> None:
    def uid(self: Any, one: Any) -> str:
        found = str(before(self, one))
        return self._nth(found, one.delivery.generation - 1) if one.delivery.kind == "event" else found

    before = put(stack, dhis2_tracker.Dhis2TrackerTarget, "_uid", uid)


@bug("event of a visit that went kept")
def _kept(stack: ExitStack) -> None:
    put(stack, tracker, "_vanished", lambda *_: [])


@bug("place that was dropped not missed")
def _place(stack: ExitStack) -> None:
    async def create(self: Any, *asked: Any) -> Any:
        row = await before(self, *asked)
        return {**row, "location": row.get("location") or {"uuid": "somewhere"}}

    before = put(stack, openmrs_rest.Rest, "create", create)


@bug("refused entry of a bundle taken for stored")
def _entry(stack: ExitStack) -> None:
    def outcome(row: Any, payload: Any) -> Any:
        found = before(row, payload)
        return replace(found, verdict=Verdict.ACCEPTED, reason="fhir.updated", patient=False)

    before = put(stack, fhir_server, "_entry_outcome", outcome)
    put(stack, fhir_server, "_is_place_of", lambda *_: True)


@bug("own version taken for somebody else's")
def _own_version(stack: ExitStack) -> None:
    async def decide(self: Any, delivery: Any, put: Any, progress: Any) -> Any:
        return Outcome(Verdict.REJECTED, "fhir.changed_there")

    put(stack, fhir_server.FhirServerTarget, "_decide", decide)


@bug("locked account taken for a wrong password")
def _locked(stack: ExitStack) -> None:
    before = put(stack, cht, "_refusal", lambda answer: cht.SourceRefused() if answer.status == 403 else before(answer))


# ---------------------------------------------------------------- intake and counting


@bug("cursor saved before records")
def _cursor(stack: ExitStack) -> None:
    def take_page(engine: Any, source: str, page: Any) -> Any:
        engine.store.write(lambda unit: _move(unit, engine, source, page))
        return before(engine, source, page)

    def _move(unit: Any, engine: Any, source: str, page: Any) -> None:
        unit.source_state(source)
        unit.move_cursor(source=source, cursor=page.cursor.value, instance=page.cursor.instance, behind=page.behind,
                         received=0, now=engine.now(), last_record=None)  # fmt: skip

    before = put(stack, intake, "take_page", take_page)


@bug("deletions ignored")
def _deletions(stack: ExitStack) -> None:
    def take(engine: Any, unit: Any, records: Any, source: str) -> Any:
        return before(engine, unit, [r for r in records if not r.deleted], source)

    before = put(stack, intake, "take", take)


@bug("head pointer not moved on a known body")
def _head(stack: ExitStack) -> None:
    def move_heads(self: Any, rows: Any) -> None:
        older = text("SELECT key, revision FROM body WHERE received_at < :now")
        known = {(r["key"], r["revision"]) for r in self.rows(older, {"now": rows[0]["now"] if rows else ""})}
        before(self, [r for r in rows if (r["key"], r["revision"]) not in known])

    before = put(stack, IntakeQueries, "move_heads", move_heads)


@bug("zero not sent")
def _zero(stack: ExitStack) -> None:
    def wanted_value(pack: Any, cell: Any, vanished: str, sent: bool) -> Any:
        return None if cell["value"] is None else str(cell["value"])

    put(stack, tally, "wanted_value", wanted_value)


@bug("old cell not counted again after a move")
def _moved(stack: ExitStack) -> None:
    def touch(self: Any, cells: Any) -> None:
        there = {(r["indicator"], r["part"], r["org_unit"], r["period"], r["categories"])
                 for r in self.rows(text("SELECT * FROM contribution"))}  # fmt: skip
        before(self, [c for c in cells if tuple(c.values()) in there])

    before = put(stack, CountingQueries, "touch", touch)


@bug("purge of an undelivered body")
def _purge(stack: ExitStack) -> None:
    """Retention that looks at the age of a body and not at its deliveries."""

    def keep(self: Any, unit: Any, works: Any) -> Any:
        found = before(self, unit, works)
        due = unit.rows(text("SELECT record FROM head WHERE state='mapped' AND moves > 1 ORDER BY record LIMIT 1"))
        for row in due:
            unit.replace_contributions([row["record"]], [])
        return found

    before = put(stack, mapping.Mapping, "_keep", keep)


# ---------------------------------------------------------------- the fence, leases, quiet times


@bug("no generation check")
def _generation(stack: ExitStack) -> None:
    sql(stack, ledger, "SETTLE_ACCEPTED", " AND generation=:generation", "")

    def generations(self: Any, ids: Any) -> Any:
        found = before(self, ids)
        last = {r["delivery"]: r["generation"] for r in self.rows(
            text("SELECT delivery, generation FROM attempt_delivery ORDER BY attempt"))}  # fmt: skip
        return {id: {**row, "generation": last.get(id, row["generation"])} for id, row in found.items()}

    before = put(stack, LedgerQueries, "generations", generations)


@bug("lease never expires")
def _lease(stack: ExitStack) -> None:
    put(stack, delivery, "LEASE", timedelta(days=3650))
    put(stack, LedgerQueries, "take_over_leases", lambda self, *_: 0)


@bug("second runner ignored")
def _second(stack: ExitStack) -> None:
    """A runner that takes itself for the only one: neither the lock nor a lease holds it (either of them would)."""
    put(stack, runs, "_renew", lambda engine: True)
    put(stack, LedgerQueries, "take_over_leases", lambda self, *_: 0)
    for name in ("CLAIM", "CLAIM_RETRIES"):
        sql(stack, ledger, name, " AND lease_until < :now", "")


@bug("a killed runner's requests forgotten")
def _killed(stack: ExitStack) -> None:
    def take_over(self: Any, target: str, holder: str, due: str, now: str) -> int:
        pending = (
            "UPDATE delivery SET state='pending', due_at=:now WHERE target=:t AND state='leased' AND lease_by <> :h"
        )
        return int(self.execute(text(pending), {"t": target, "h": holder, "now": now}))

    put(stack, LedgerQueries, "take_over_leases", take_over)


@bug("no quiet time")
def _quiet(stack: ExitStack) -> None:
    put(stack, delivery, "_quiet", lambda engine, target: timedelta(0))


@bug("no look-up before create")
def _look(stack: ExitStack) -> None:
    """OpenMRS appointments have no id of ours: they must be looked for by their number."""

    async def search(self: Any, a: Any) -> list[Any]:
        return []

    put(stack, openmrs.OpenmrsTarget, "_search_appointments", search)


@bug("step cursor lost")
def _step(stack: ExitStack) -> None:
    put(stack, LedgerQueries, "note", lambda self, *_: None)


@bug("no revision check")
def _revision(stack: ExitStack) -> None:
    """Whatever is known already is taken for a repeat, so that an edit is never seen."""

    def take(engine: Any, unit: Any, records: Any, source: str) -> Any:
        known = unit.heads({r.id for r in records})
        return before(engine, unit, [r for r in records if r.deleted or r.id not in known], source)

    before = put(stack, intake, "take", take)


# ---------------------------------------------------------------- order


@bug("completion sent before values")
def _complete(stack: ExitStack) -> None:
    """The gate looks at who has reported and not at whether the values are there."""
    put(stack, reporters.Reporters, "missing", lambda *_: {})


@bug("retry out of order")
def _order(stack: ExitStack) -> None:
    """What waits is retried with the payload it had at first: an older state lands in the place of a newer one."""
    first: WeakKeyDictionary[Any, dict[int, Any]] = WeakKeyDictionary()  # of each process, until it is accepted

    def claim(engine: Any, unit: Any, *more: Any) -> Any:
        items, attempt = before(engine, unit, *more)
        kept = first.setdefault(engine.store, {})
        for item in items:
            if item.row["kind"] in ("resource", "referral"):
                payload = kept.setdefault(item.row["id"], item.delivery.payload)
                item.delivery = replace(item.delivery, payload=payload)
        return items, attempt

    before = put(stack, delivery, "_claim", claim)

    def accepted(self: Any, rows: Any) -> None:
        for kept in first.values():
            for row in rows:
                kept.pop(row["id"], None)
        before_accepted(self, rows)

    before_accepted = put(stack, LedgerQueries, "settle_accepted", accepted)


@bug("first push into a new period in parallel")
def _parallel(stack: ExitStack) -> None:
    """No lane for the first push: the far side sees two at once and loses one."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def lane(self: Any, name: str) -> Any:
        yield

    put(stack, delivery.Progress, "lane", lane)

    async def deliver(self: Any, batch: Any, progress: Any) -> Any:
        import asyncio

        found = await asyncio.gather(*(before(self, [one], progress) for one in batch))
        return [outcome for outcomes in found for outcome in outcomes]

    before = put(stack, dhis2.Dhis2Target, "deliver", deliver)


# ---------------------------------------------------------------- health


@bug("breaker that never half-opens")
def _breaker(stack: ExitStack) -> None:
    def may_try(self: Any, now: Any) -> bool:
        return self.breaker == "closed" and (self.due_at is None or self.due_at <= now)

    put(stack, retry.TargetHealth, "may_try", may_try)


@bug("an outage counted as tries")
def _outage(stack: ExitStack) -> None:
    def other(engine: Any, item: Any, outcome: Any, live: Any, remote: str, now: str) -> Any:
        return {**before(engine, item, outcome, live, remote, now), "tries": item.row["tries"] + 1}

    before = put(stack, delivery, "_other", other)


@bug("audit outside the transaction")
def _audit(stack: ExitStack) -> None:
    """The entry of an attempt is written in a transaction of its own, after the one it speaks of."""
    waiting: list[dict[str, Any]] = []

    def record(unit: Any, **entry: Any) -> int:
        if entry["event"] != "attempt.begun":
            return int(before(unit, **entry))
        waiting.append(entry)
        return 0

    before = put(stack, audit, "record", record)

    async def attempt(engine: Any, target: str, items: Any) -> Any:
        entries = waiting[:]
        waiting.clear()
        engine.store.write(lambda unit: [before(unit, **e) for e in entries])
        return await tried(engine, target, items)

    tried = put(stack, delivery, "_attempt", attempt)


@bug("chain sealed without its last entry")
def _chain(stack: ExitStack) -> None:
    def link(sequence: int, previous: str, digest: str) -> str:
        return str(before(sequence, previous if sequence % 7 else audit.GENESIS, digest))

    before = put(stack, audit, "link", link)
    real = audit.verify

    def verify(*a: Any, **k: Any) -> Any:
        with mock.patch.object(audit, "link", before):
            return real(*a, **k)

    put(stack, audit, "verify", verify)


@bug("a name in the trail")
def _name(stack: ExitStack) -> None:
    def record(unit: Any, **entry: Any) -> int:
        if entry["event"] == "records.mapped":
            rows = unit.rows(text("SELECT entity_enc FROM entity LIMIT 1"))
            names = [str(unit.open("entity", r["entity_enc"])) for r in rows]
            entry["detail"] = {**entry["detail"], "names": names}
        return int(before(unit, **entry))

    before = put(stack, audit, "record", record)


@bug("a value in doubt taken as the accepted one")
def _doubt(stack: ExitStack) -> None:
    put(stack, CountingQueries, "values_in_doubt", lambda self, cells: set())
