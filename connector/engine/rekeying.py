"""Everything encrypted is encrypted again with data keys that nobody has seen, chunk by chunk, while Relais works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from connector.engine import audit
from connector.engine.engine import Engine

#: Values in one transaction.
CHUNK = 200

_WHERE = "re_encrypting"


def again(
    engine: Engine,
    tables: Mapping[str, tuple[str, tuple[str, ...], str]],
    fresh: Callable[[Any], int],
    generation_of: Callable[[bytes], int],
) -> dict[str, int]:
    """Encrypt every value of ``tables`` (store/keeping.py) anew. ``fresh`` begins a generation of data keys, asked only
    when no earlier pass was interrupted; ``generation_of`` tells that of a value. Returns values per table."""

    def begin(unit: Any) -> dict[str, Any]:
        known = unit.fact(_WHERE)
        if known:
            found: dict[str, Any] = orjson.loads(known)
            return found
        state = {"generation": fresh(unit.connection), "table": "", "after": None}
        unit.keep_fact(_WHERE, orjson.dumps(state).decode())
        audit.record(
            unit, at=engine.now(), event="key.fresh", subject=engine.pack.id, detail={"generation": state["generation"]}
        )
        return state

    state = engine.store.write(begin)
    engine.store.write(lambda unit: unit.cipher.use_generation(state["generation"]))
    counts = dict.fromkeys(tables, 0)
    names = list(tables)
    for table in names[names.index(state["table"]) if state["table"] in names else 0 :]:
        after = state["after"] if table == state["table"] else None
        while True:
            done = engine.store.write(lambda unit, t=table, a=after: _chunk(unit, tables, t, a, state, generation_of))
            if done is None:
                break
            after, count = done
            counts[table] += count
            engine.progress(table, count)

    def end(unit: Any) -> None:
        unit.keep_fact(_WHERE, "")
        detail = {"generation": state["generation"], **counts}
        audit.record(unit, at=engine.now(), event="key.fresh.done", subject=engine.pack.id, detail=detail)

    engine.store.write(end)
    return counts


def _chunk(
    unit: Any,
    tables: Mapping[str, tuple[str, tuple[str, ...], str]],
    table: str,
    after: list[Any] | None,
    state: Mapping[str, Any],
    generation_of: Callable[[bytes], int],
) -> tuple[list[Any], int] | None:
    rows = unit.encrypted_page(table, after, CHUNK)
    if not rows:
        return None
    sealed, keys, _ = tables[table]
    count = 0
    for row in rows:
        old = bytes(row["blob"])
        if generation_of(old) >= state["generation"]:
            continue
        new = unit.cipher.encrypt(unit.connection, sealed, unit.cipher.decrypt(sealed, old, unit.connection))
        count += unit.keep_encrypted(table, row, old, new)
    last = [rows[-1][key] for key in keys]
    unit.keep_fact(_WHERE, orjson.dumps({**state, "table": table, "after": last}).decode())
    return last, count
