"""The entries of the audit trail that concern one figure, and whether they are what was written and signed then.

An entry is followed up the chain to the next signed head: its digest is computed anew over every column, each link
after it too, and the head's signature is checked. What was sent is compared with the digest that the entry holds of it.
Known limit: that nothing was cut off beyond the last head here, only ``relais audit verify`` can say, against the heads
kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from connector.engine import audit
from connector.engine.engine import Engine
from connector.engine.heads import Head
from connector.identity import digest

#: Attempts looked at, the newest first.
ATTEMPTS = 10

#: Entries between one and the head that vouches for it; ``audit.seal`` never leaves more.
SPAN = 1000

#: What a person types to check the whole trail.
COMMAND = "relais audit verify"


def values_entry(items: Iterable[Any]) -> dict[str, Any]:
    """What the entry of an attempt says of the figures in it: per org unit and period a digest of cells and values."""
    leaving: dict[str, list[tuple[int, str | None]]] = {}
    for item in items:
        for cell, value in zip(item.cells, item.values, strict=True):
            leaving.setdefault(_place(cell), []).append((cell["id"], value["value"]))
    return {"values": {place: figures_digest(rows) for place, rows in leaving.items()}} if leaving else {}


def figures_digest(rows: Iterable[tuple[int, str | None]]) -> str:
    """Over (cell, value) in the order of the cells; a value that was deleted is None."""
    return digest([[cell, value] for cell, value in sorted(rows, key=lambda row: row[0])])


def _place(cell: Mapping[str, Any]) -> str:
    return f"{cell['org_unit']}/{cell['period']}"


def of_cell(engine: Engine, unit: Any, cell: Mapping[str, Any], sends: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The proof of a DHIS2 value (see ``_proof``); its entries also say whether the value that left is the one that the
    trail holds a digest of (``value``: true, false, or None where an older entry holds none)."""
    attempts = _newest(send["attempt"] for send in sends)
    found = _proof(engine, unit, attempts, unit.approval_of((cell["data_set"], cell["org_unit"], cell["period"])))
    for entry in found["entries"]:
        if entry["event"] == "attempt.begun":
            told = (entry.pop("values") or {}).get(_place(cell))
            rows = unit.values_of_attempt(
                entry["attempt"], list(engine.pack.data_sets), cell["org_unit"], cell["period"]
            )
            entry["value"] = told == figures_digest((r["cell"], r["value"]) for r in rows) if told else None
            if entry["value"] is False:
                entry.update(ok=False, reason="value.differs")
    return _judged(found)


def of_delivery(engine: Engine, unit: Any, attempts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The proof of any delivery, from its attempts."""
    found = _proof(engine, unit, _newest(one["id"] for one in attempts), None)
    for entry in found["entries"]:
        entry.pop("values", None)
    return _judged(found)


def _newest(attempts: Iterable[int]) -> list[int]:
    return sorted({one for one in attempts if one}, reverse=True)[:ATTEMPTS]


def _judged(found: dict[str, Any]) -> dict[str, Any]:
    said = [entry["ok"] for entry in found["entries"]] + [False for _ in found["missing"]]
    found["ok"] = None if not said else False if False in said else None if None in said else True
    return found


def _proof(engine: Engine, unit: Any, attempts: Sequence[int], approval: Mapping[str, Any] | None) -> dict[str, Any]:
    """``entries``, oldest first: ``entry`` (its number in the chain, None while it is not sealed), ``at``, ``event``,
    ``attempt``, ``verdict``, ``digest``, ``hash``, ``head`` (``entry``, ``at``, ``hash``: the first signed head that
    vouches for it), ``ok`` (None: not sealed yet) and ``reason`` as of ``audit.verify``. ``missing``: attempts of which
    the trail knows nothing. ``verify``: the command that checks the whole trail."""
    moments = {moment for row in unit.attempt_moments(attempts) for moment in (row["started"], row["ended"]) if moment}
    moments.update([approval["at"]] if approval else [])
    rows, begun = [], set()
    for row in unit.audit_at(sorted(moments)):
        detail = _detail(row)
        if row["event"] in ("attempt.begun", "attempt.ended") and detail.get("attempt") in attempts:
            rows.append((row, detail))
            begun.add(detail["attempt"])
        elif row["event"] == "person.approve" and approval and row["at"] == approval["at"]:
            rows.append((row, detail))
    heads = _heads(unit, [row["sequence"] for row, _ in rows if row["sequence"]])
    walked = {head.sequence: _walk(engine, unit, head, first) for head, first in heads.values()}
    entries = []
    for row, detail in rows:
        head = heads.get(row["sequence"], (None, 0))[0]
        ok, reason = (None, "") if not row["sequence"] else walked[head.sequence] if head else (False, "head.missing")
        if row["digest"] != audit.entry_digest(row):
            ok, reason = False, "entry.changed"
        entries.append(
            {
                "entry": row["sequence"],
                "at": row["at"],
                "event": row["event"],
                "attempt": detail.get("attempt"),
                "verdict": detail.get("verdict"),
                "digest": row["digest"],
                "hash": row["hash"],
                "head": {"entry": head.sequence, "at": head.at, "hash": head.hash} if head else None,
                "ok": ok,
                "reason": reason,
                **({"values": detail.get("values")} if row["event"] == "attempt.begun" else {}),
            }
        )
    return {"entries": entries, "missing": sorted(set(attempts) - begun), "verify": COMMAND}


def _detail(row: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found = orjson.loads(row["detail"])
    except (ValueError, TypeError):  # altered: its digest says so
        return {}
    return found if isinstance(found, dict) else {}


def _heads(unit: Any, sequences: Iterable[int]) -> dict[int, tuple[Head, int]]:
    """Entry -> the first head at or after it, and the first of all entries that hang on that head."""
    found: dict[int, tuple[Head, int]] = {}
    head, first = None, 0
    for sequence in sorted(sequences):
        if head is None or head.sequence < sequence:
            row = unit.head_from(sequence)
            head, first = (Head(**row), sequence) if row else (None, 0)
        if head is not None:
            found[sequence] = (head, first)
    return found


def _walk(engine: Engine, unit: Any, head: Head, first: int) -> tuple[bool | None, str]:
    """Is the chain whole from entry ``first`` to the head, and is the head signed by us?"""
    if head.sequence - first > SPAN:
        return None, "head.far"
    previous = None
    for place, row in enumerate(unit.audit_chain(first, head.sequence), first):
        if row["sequence"] != place:
            return False, "entry.missing"
        if row["digest"] != audit.entry_digest(row):
            return False, "entry.changed"
        if previous not in (None, row["previous"]) or row["hash"] != audit.link(place, row["previous"], row["digest"]):
            return False, "chain.link"
        previous = row["hash"]
    if previous != head.hash:
        return False, "head.differs"
    if engine.public_key is not None and not head.is_signed_by(engine.public_key):
        return False, "head.signature"
    return True, ""
