"""Intake: pages of a source into bodies and heads, with the cursor in the same transaction; and pushed documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from connector.engine import audit, pauses
from connector.engine.engine import Engine, moment, stamp
from connector.errors import SourceError
from connector.identity import digest, nameable
from connector.model import Cursor, Page, Record
from connector.ports import Pushable
from connector.retry import NEVER


def _body_row(unit: Any, record: Record, now: str) -> dict[str, Any]:
    body, unreadable = None, record.unreadable
    if record.body:
        try:
            body = unit.seal("body", dict(record.body))
        except TypeError:  # nested deeper than can be written: it waits in quarantine and holds nobody up
            unreadable = unreadable or "document.too_deep"
    return {
        "source": record.source,
        "stream": record.stream,
        "key": record.key,
        "revision": record.revision,
        "form": record.form,
        "deleted": record.deleted,
        "body_enc": body,
        "unreadable": unreadable,
        "changed_at": stamp(record.changed_at) if record.changed_at else None,
        "now": now,
    }


def _named(record: Record) -> Record:
    """The record under a name that can be kept: an impossible one is replaced by its digest, and the record goes to
    quarantine instead of stopping its source."""
    if nameable(record.key) and nameable(record.revision) and nameable(record.form or ""):
        return record
    key, revision, form = (
        text if text is None or nameable(text) else f"unusable-{digest(text.encode('utf-8', 'surrogatepass'))[:32]}"
        for text in (record.key, record.revision, record.form)
    )
    assert key is not None and revision is not None
    return replace(record, key=key, revision=revision, form=form, unreadable=record.unreadable or "key.unusable")


def take(engine: Engine, unit: Any, records: Sequence[Record], source: str) -> dict[str, int]:
    """Keep what is new of these records and move their heads. Returns counts: received, new, repeated, ignored.

    An exact repeat is a record equal to the head; A -> B -> A moves the head back to A. Pure but for ``unit``.
    """
    now = engine.now()
    records = [_named(record) for record in records]
    ignored = set(engine.pack.ignore.get(source, ()))
    wanted = [r for r in records if r.deleted or r.unreadable or (r.form is not None and r.form not in ignored)]
    known = unit.heads({r.id for r in wanted})
    bodies: list[dict[str, Any]] = []
    heads: dict[str, dict[str, Any]] = {}
    repeated = 0
    skipped = 0
    for record in wanted:
        head = heads.get(record.id) or known.get(record.id)
        if head is not None and head.get("state") == "erased":
            skipped += 1  # the person asked to be forgotten: nothing of this record comes in again
            continue
        if head is None and record.deleted:
            skipped += 1  # a tombstone of something never received changes nothing
            continue
        if head is not None and head["revision"] == record.revision and bool(head["deleted"]) == record.deleted:
            repeated += 1
            continue
        bodies.append(_body_row(unit, record, now))
        heads[record.id] = {
            "record": record.id,
            "source": record.source,
            "stream": record.stream,
            "key": record.key,
            "revision": record.revision,
            "form": record.form,
            "deleted": record.deleted,
            "dirty": True,
            "state": "received",
            "now": now,
        }
    unit.keep_bodies(bodies)
    unit.move_heads(list(heads.values()))
    return {
        "received": len(records),
        "new": len(bodies),
        "repeated": repeated,
        "ignored": len(records) - len(wanted) + skipped,
    }


def take_page(engine: Engine, source: str, page: Page) -> dict[str, int]:
    """One page in one transaction: bodies, heads, cursor and one audit entry."""

    def work(unit: Any) -> dict[str, int]:
        unit.source_state(source)
        counts = take(engine, unit, page.records, source)
        newest = max((r.changed_at for r in page.records if r.changed_at), default=None)
        unit.move_cursor(
            source=source,
            cursor=page.cursor.value,
            instance=page.cursor.instance,
            behind=page.behind,
            received=counts["received"],
            now=engine.now(),
            last_record=(stamp(newest) if newest else engine.now()) if counts["new"] else None,
        )
        if page.records or page.replay:
            audit.record(
                unit,
                at=engine.now(),
                event="page.received",
                subject=source,
                detail={**counts, "keys": digest([r.id for r in page.records]), "replay": page.replay},
            )
        return counts

    result: dict[str, int] = engine.store.write(work)
    return result


def take_pushed(engine: Engine, source: str, data: bytes, form: str | None, by: str) -> dict[str, Any] | None:
    """Keep one pushed document in one transaction with its audit entry; durable when this returns.

    Returns the receipt, None when there is no such source to push to. ``by`` names the sender. ``state``:

    - ``received``: it is the head now, and the next run maps and counts it.
    - ``kept``: its body is kept, but the head stays, as it is not certainly newer (``SourceConfig.order``). What is
      pulled always moves the head, so a sender's late repeat cannot bring back what was corrected since.
    - ``repeated``: it is the head, or was it before. Nothing is written.
    - ``ignored``: nothing to map, or the pack ignores it. Nothing is written.
    - ``paused``: the source is paused. Nothing is written; the sender should come again.

    Raises PushUnreadable, StoreBusy, StoreFull, StoreError.
    """
    adapter = engine.sources.get(source)
    if adapter is None or not hasattr(adapter, "pushed"):
        return None
    pushable = cast(Pushable, adapter)
    record = _named(pushable.pushed(data, form))
    order = engine.pack.sources[source].order
    receipt = engine.names.uuid("receipt", record.id, record.revision)

    def judged(unit: Any) -> str:
        if unit.source_state(source).get("paused"):
            return "paused"
        head = unit.head_and_age(record.id)
        if head is None or order == "none":
            counts = take(engine, unit, [record], source)
            return "received" if counts["new"] else "repeated" if counts["repeated"] else "ignored"
        if unit.body_known(record.source, record.stream, record.key, record.revision):
            return "repeated"
        if record.form is None or record.form in engine.pack.ignore.get(source, ()):
            return "ignored"
        changed_at = moment(head["changed_at"]) if head["changed_at"] else None
        if order == "comparable" and pushable.newer(record, head["revision"], changed_at):
            take(engine, unit, [record], source)
            return "received"
        unit.keep_bodies([_body_row(unit, record, engine.now())])
        return "kept"

    def work(unit: Any) -> str:
        state = judged(unit)
        if state in ("received", "kept"):
            unit.pushed(source, engine.now())
            audit.record(
                unit,
                at=engine.now(),
                event="push.received",
                who=by,
                subject=record.id,
                detail={"receipt": receipt, "state": state},
            )
        return state

    state: str = engine.store.write(work)
    return {"receipt": receipt, "source": source, "key": record.key, "revision": record.revision, "state": state}


async def pull(engine: Engine, source: str) -> dict[str, Any]:
    """Read a source to its end. Returns the counts and ``error`` (a reason code) when it failed on the way.

    A source that fails is noted with its reason and due time; what came before stays.
    """
    totals: dict[str, Any] = {"received": 0, "new": 0, "repeated": 0, "ignored": 0, "behind": 0, "error": None}
    state = engine.store.write(lambda unit: unit.source_state(source))
    if pauses.holds(engine, "source_state", source, state):
        return totals
    if state.get("due_at") and moment(state["due_at"]) > engine.clock.now():
        totals["error"] = state["reason"]
        return totals
    since = Cursor(state["cursor"], state["instance"]) if state.get("cursor") else None
    try:
        async for page in engine.sources[source].pages(since):
            counts = take_page(engine, source, page)
            for name, count in counts.items():
                totals[name] += count
            totals["behind"] = page.behind or 0
            engine.progress("pull", counts["received"])
        engine.store.write(lambda unit: unit.beat(source, "ok" if totals["new"] else "nothing", engine.now()))
    except SourceError as error:
        wait = error.retry_after or min(3600.0, 60.0 * 2 ** min(6, int(state.get("failures") or 0)))
        code, who = error.code, error.who
        # Refused credentials are never asked again by themselves: ten wrong logins block the whole address at CHT.
        due = stamp(
            NEVER if who == "credentials" else engine.clock.now() + timedelta(seconds=wait * engine.retry_scale)
        )

        def failed(unit: Any) -> None:
            unit.source_failed(source=source, reason=code, who=who, due_at=due)
            unit.beat(source, "refused" if who == "credentials" else "deferred", engine.now())
            audit.record(unit, at=engine.now(), event="source.failed", subject=source, detail={"reason": code})

        engine.store.write(failed)
        totals["error"] = code
    return totals
