"""Forgetting a person who asks for it.

Gone: the text of every record that registers her or is about her (under every id that was declared to be hers), what
these records said, her registry entries, the notes about her ids, the requests and answers about her. Wanted gone: her
resources at the FHIR server, which are our copy. Stays: the figures (contributions carry ids and keyed hashes, no
name), digests and the audit; and the clinic's own record, which is the clinic's.

Limits: backups made before hold her still, until they expire; a record of hers that nobody could map is found only when
her id stands in it; what the source sends under *new* records comes in, so she is forgotten at the source first.
"""

from __future__ import annotations

from typing import Any

from connector.engine import audit
from connector.engine.actions import _mark
from connector.engine.engine import Engine
from connector.identity import digest

#: Unmapped bodies looked into at once.
PAGE = 200


def find(engine: Engine, source: str, key: str) -> list[str]:
    """The records that register her or are about her, under every id of hers."""
    found: set[str] = set()
    for one in engine.store.read(lambda unit: _ids(unit, source, key)):
        found |= _under(engine, *one)
    return sorted(found)


def _ids(unit: Any, source: str, key: str) -> list[tuple[str, str]]:
    """All ids that were declared to be hers."""
    top = next(
        ((r["kept_source"], r["kept_key"]) for r in unit.same_persons([key]) if r["source"] == source), (source, key)
    )
    others = [(r["source"], r["key"]) for r in unit.same_as([top[1]]) if r["kept_source"] == top[0]]
    return [top, *others]


def _under(engine: Engine, source: str, key: str) -> set[str]:
    found: set[str] = set(engine.store.read(lambda unit: unit.records_of_person(source, key)))
    after, needle = 0, f'"{key}"'
    while rows := engine.store.read(lambda unit, a=after: _unmapped(unit, source, a, needle)):
        after = rows[-1][0]
        found |= {record for _, record, hit in rows if hit}
    return found


def _unmapped(unit: Any, source: str, after: int, needle: str) -> list[tuple[int, str, bool]]:
    rows = unit.unmapped_bodies(source, after, PAGE)
    return [(r["id"], r["record"], needle.encode() in unit.cipher.decrypt("body", bytes(r["body_enc"]))) for r in rows]


def erase(engine: Engine, source: str, key: str, reason: str, by: str) -> dict[str, int]:
    """Forget her, record by record. Returns counts. Interrupted, it may be given again."""
    totals = {"records": 0, "bodies": 0, "activities": 0, "entities": 0, "answers": 0, "requests": 0, "resources": 0}
    for record in find(engine, source, key):
        counts = engine.store.write(lambda unit, r=record: _one(engine, unit, r))
        totals["records"] += 1
        for name, count in counts.items():
            totals[name] += count
    engine.built.clear()

    def told(unit: Any) -> None:
        detail = {**totals, "patient": unit.keyed(f"{source}/{key}"), "reason": _mark(unit, reason)}
        audit.record(unit, at=engine.now(), event="person.erased", who=by, subject=f"{source}/{key}", detail=detail)

    engine.store.write(told)
    return totals


def _one(engine: Engine, unit: Any, record: str) -> dict[str, int]:
    unit.overwrite_deleted()
    now = engine.now()
    config = engine.target_of("fhir_server")
    gone: list[dict[str, Any]] = []
    if config is not None:
        gone = [
            {
                "target": config.name,
                "key": row["key"],
                "kind": "resource",
                "record": record,
                "subject": None,
                "digest": "",
                "state": "pending",
                "due_at": now,
                "now": now,
            }
            for row in unit.resources_of(record)
        ]
        unit.want(gone)
    counts: dict[str, int] = unit.erase_record(record, now)
    audit.record(unit, at=now, event="record.erased", subject=record, detail={"key": digest(record), **counts})
    return {**counts, "resources": len(gone)}
