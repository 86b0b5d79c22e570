"""The audit trail: what was decided and tried, so that any alteration shows.

Three steps (why they are apart: ``docs/adr``, sealing of the audit). ``record`` writes an entry with a digest over
all its columns in the transaction it speaks of. ``seal`` gives entries their place in a hash chain and signs the
chain's head. ``export`` carries heads elsewhere. ``verify`` reads everything again.

Entries hold codes, counts, digests and keyed hashes, never a name, an id of a person or a value of a record. Known
limit: entries newer than the last exported head can be cut off unseen; ``seal`` runs every second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text, bindparam, func, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from connector.engine import heads
from connector.engine.heads import Head
from connector.errors import ChainBroken
from connector.identity import canonical, digest

#: The hash before the first entry.
GENESIS = "0" * 64

#: Entries read at once when verifying.
_PAGE = 1000

# Names only, for building statements; the schema's home is store/tables.py, which the engine must not import.
_Id = BigInteger().with_variant(Integer, "sqlite")
_entry = Table(
    "audit",
    MetaData(),
    Column("id", _Id, primary_key=True),
    *(Column(name, Text) for name in ("at", "event", "who", "subject", "detail", "digest")),
    Column("sequence", _Id),
    *(Column(name, Text) for name in ("previous", "hash")),
)
_head = Table(
    "audit_head",
    MetaData(),
    Column("sequence", _Id, primary_key=True),
    *(Column(name, Text) for name in ("hash", "at", "signature")),
)


def _connection(unit: Any) -> Connection:
    """The connection of a unit of work (or itself)."""
    connection: Connection = getattr(unit, "connection", unit)
    return connection


def _stamp(at: datetime | str) -> str:
    return at if isinstance(at, str) else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def entry_digest(row: Mapping[str, Any]) -> str:
    """Over every column that says something."""
    return digest([row["id"], row["at"], row["event"], row["who"], row["subject"], row["detail"]])


def link(sequence: int, previous: str, own: str) -> str:
    """The hash of an entry in the chain; ``own``: its digest, ``previous``: the hash of the entry before."""
    return digest(["relais-audit", sequence, previous, own])


# ---------------------------------------------------------------- writing


def record(
    unit: Any,
    *,
    at: datetime | str,
    event: str,
    who: str = "system",
    subject: str = "",
    detail: Mapping[str, Any] | None = None,
) -> int:
    """Write an entry in the transaction of ``unit``; returns its id.

    ``event`` is a stable code (``page.received``). ``who`` is ``system`` or a user's name, ``subject`` the id of what
    it is about: both are kept as keyed hashes. ``detail``: codes, counts and digests, nothing personal.
    """
    connection = _connection(unit)
    row: dict[str, Any] = {
        "at": _stamp(at),
        "event": event,
        "who": who if who == "system" else unit.keyed(who),
        "subject": unit.keyed(subject) if subject else "",
        "detail": canonical(dict(detail or {})).decode(),
        "digest": "",
    }
    key = connection.execute(insert(_entry), row).inserted_primary_key
    assert key is not None
    row["id"] = int(key[0])
    connection.execute(update(_entry).where(_entry.c.id == row["id"]).values(digest=entry_digest(row)))
    return int(row["id"])


def seal(unit: Any, now: datetime | str, sign: Callable[[bytes], bytes], limit: int = 1000) -> Head | None:
    """Chain up to ``limit`` entries and sign the new head; None when there was nothing to seal.

    Only one may seal at a time (a lane). Raises ChainBroken when the chain does not end where the last head says:
    going on would hide that it was cut.
    """
    connection = _connection(unit)
    rows = connection.execute(
        select(_entry.c.id, _entry.c.digest).where(_entry.c.sequence.is_(None)).order_by(_entry.c.id).limit(limit)
    ).all()
    if not rows:
        return None
    last = connection.execute(
        select(_entry.c.sequence, _entry.c.hash)
        .where(_entry.c.sequence.is_not(None))
        .order_by(_entry.c.sequence.desc())
        .limit(1)
    ).first()
    newest = select(_head.c.sequence, _head.c.hash).order_by(_head.c.sequence.desc()).limit(1)
    vouched = connection.execute(newest).first()
    if (tuple(last) if last else None) != (tuple(vouched) if vouched else None):
        raise ChainBroken()
    sequence, previous = tuple(last) if last else (0, GENESIS)
    links: list[dict[str, Any]] = []
    for row in rows:
        sequence += 1
        hashed = link(sequence, previous, row.digest)
        links.append({"entry": row.id, "sequence": sequence, "previous": previous, "hash": hashed})
        previous = hashed
    connection.execute(update(_entry).where(_entry.c.id == bindparam("entry")), links)
    bare = Head(sequence, previous, _stamp(now))
    head = Head(sequence, previous, bare.at, sign(bare.statement()).hex())
    connection.execute(
        insert(_head), {"sequence": sequence, "hash": head.hash, "at": head.at, "signature": head.signature}
    )
    return head


def export(unit: Any, destination: str) -> int:
    """Carry heads that are not there yet to ``destination`` (a file, or ``syslog:``); returns how many.

    Call it after the commit of ``seal``: a head that went out before a rollback would accuse an honest database.
    A file is brought up to date, whatever was missed before; syslog gets the newest head.
    """
    connection = _connection(unit)
    if heads.is_file(destination):
        file = Path(destination)
        return heads.append(file, _heads_here(connection, heads.last_in(file)))
    newest = connection.execute(select(_head).order_by(_head.c.sequence.desc()).limit(1)).mappings().first()
    if newest is None:
        return 0
    heads.to_syslog(Head(**newest))
    return 1


def restart(unit: Any, destination: str, now: datetime | str, sign: Callable[[bytes], bytes]) -> int:
    """After a restore: say elsewhere, signed, that the chain goes on from the head it has here. Returns how many heads
    elsewhere were beyond it (what they vouched for is not in the backup); 0 writes nothing."""
    if not heads.is_file(destination) or not Path(destination).is_file():
        return 0
    newest = _connection(unit).execute(select(_head).order_by(_head.c.sequence.desc()).limit(1)).mappings().first()
    here = Head(**newest) if newest else Head(0, GENESIS, "")
    beyond = sum(1 for head in heads.read(Path(destination)) if head.sequence > here.sequence)
    if beyond:
        bare = Head(here.sequence, here.hash, _stamp(now), restored=True)
        heads.append(Path(destination), [replace(bare, signature=sign(bare.statement()).hex())])
    return beyond


# ---------------------------------------------------------------- checking


class _Bad(Exception):
    """First thing that is wrong: at which entry (1 is the first) and why."""

    def __init__(self, entry: int, reason: str) -> None:
        super().__init__(reason)
        self.entry = entry
        self.reason = reason


def verify(unit: Any, heads_file: Path | None, public_key: Ed25519PublicKey) -> dict[str, Any]:
    """Read the whole trail again, in bounded memory.

    ``heads_file``: the heads kept elsewhere; without it a chain that was cut or computed anew *together with* its
    signed heads cannot be told from a shorter one. Returns ``{"ok", "entries", "first_bad", "heads", "reason",
    "vouched", "restored"}``. ``first_bad``: place of the first bad entry in the chain (1 is the first; unsealed
    entries follow the sealed ones), for a head that does not agree the first entry that no good head vouches for.
    ``vouched``: a good head vouches for every entry up to here, so nothing before it was touched. ``restored``: when
    the database was put back from a backup, as signed heads elsewhere say. ``reason`` is one of
    entry.changed · entry.missing · entry.inserted · entry.unreadable · chain.link · chain.rewritten (this entry, and
    perhaps others between ``vouched`` and it, with their hashes computed anew) · tail.cut · head.signature ·
    head.differs · head.removed · head.missing · head.order · heads.none.
    """
    connection = _connection(unit)
    found: dict[str, Any] = {"ok": True, "first_bad": None, "reason": "", "vouched": 0, "restored": []}
    try:
        sealed = _verify_sealed(connection, heads_file, public_key, found)
        _verify_unsealed(connection, sealed)
    except _Bad as bad:
        found.update(ok=False, first_bad=bad.entry, reason=bad.reason)
    found["entries"] = connection.execute(select(func.count()).select_from(_entry)).scalar_one()
    found["heads"] = connection.execute(select(func.count()).select_from(_head)).scalar_one()
    return found


def _verify_sealed(
    connection: Connection, heads_file: Path | None, key: Ed25519PublicKey, found: dict[str, Any]
) -> int:
    """Walk the chain beside the heads here and elsewhere. Returns how many entries are sealed."""
    here = _Heads(_heads_here(connection), key)
    elsewhere: Iterator[Head] = iter(())
    if heads_file is not None and heads_file.is_file():
        elsewhere, restarts = heads.kept(heads_file, key)
        found["restored"] = [head.at for head in restarts]
    kept = _Heads(elsewhere, key)
    place, previous = 0, GENESIS
    for row in _rows(connection, _entry.c.sequence, _entry.c.sequence > 0):
        place += 1
        if row is None:
            raise _Bad(place, "entry.unreadable")
        *told, own, sequence, before, hashed = row
        if sequence != place:
            raise _Bad(place, "entry.missing" if not _is_number(sequence) or sequence > place else "entry.inserted")
        if own != digest(told):
            raise _Bad(place, "entry.changed")
        if before != previous or hashed != link(place, previous, own):
            raise _broken(place, before, own, hashed)
        previous = hashed
        if place >= kept.at or place >= here.at:
            was_kept = kept.agree(place, previous)
            if not here.agree(place, previous, kept.good) and was_kept:
                raise _Bad(place, "head.removed")
            found["vouched"] = max(here.good, kept.good)
    if here.waiting or kept.waiting:
        raise _Bad(place + 1, "tail.cut")
    if connection.execute(select(_entry.c.id).where(_entry.c.sequence <= 0).limit(1)).first():
        raise _Bad(place + 1, "entry.inserted")
    if place and here.good != place:
        raise _Bad(max(here.good, kept.good) + 1, "head.missing")
    if heads_file is not None and place and not kept.good:
        raise _Bad(1, "heads.none")
    return place


def _broken(place: int, before: Any, own: str, hashed: Any) -> _Bad:
    """Which entry a link that does not fit accuses. One that holds together by itself was not touched: what was put
    before it is false."""
    if hashed == link(place, before, own):
        return _Bad(max(1, place - 1), "chain.rewritten")
    if hashed == link(place - 1, before, own):
        return _Bad(max(1, place - 1), "entry.inserted")
    return _Bad(place, "chain.link")


def _is_number(value: Any) -> bool:
    return isinstance(value, int)


def _verify_unsealed(connection: Connection, place: int) -> None:
    for row in _rows(connection, _entry.c.id, _entry.c.sequence.is_(None)):
        place += 1
        if row is None:
            raise _Bad(place, "entry.unreadable")
        *told, own, _, before, hashed = row
        if own != digest(told) or before is not None or hashed is not None:
            raise _Bad(place, "entry.changed")


class _Heads:
    """A stream of heads in order, read beside the chain."""

    def __init__(self, stream: Iterator[Head], key: Ed25519PublicKey) -> None:
        self._stream = stream
        self._key = key
        self.good = 0  #: last place that a head vouched for
        self._take()

    def _take(self) -> None:
        self._next = next(self._stream, None)
        head = self._next
        #: the place the next head speaks of; 0 when that cannot be told, so that it is looked at now
        self.at: float = math.inf if head is None else head.sequence if _is_number(head.sequence) else 0

    @property
    def waiting(self) -> bool:
        """There are heads beyond the end of the chain."""
        return self._next is not None

    def agree(self, place: int, hashed: str, vouched: int = 0) -> bool:
        """True when a head vouches for this place, False when none speaks of it. Raises _Bad when one disagrees, with
        the first entry that neither these heads nor others (up to ``vouched``) vouch for."""
        spoke = False
        while self.at <= place and (head := self._next) is not None:
            first = place if vouched >= place else max(self.good, vouched) + 1
            if not head.is_signed_by(self._key):
                raise _Bad(first, "head.signature")
            if head.sequence < place:
                raise _Bad(first, "head.order")
            if head.hash != hashed:
                raise _Bad(first, "head.differs")
            spoke, self.good = True, place
            self._take()
        return spoke


def _heads_here(connection: Connection, after: int = 0) -> Iterator[Head]:
    for row in _rows(connection, _head.c.sequence, _head.c.sequence > after):
        yield Head(*row) if row is not None else Head(0, "", "", "")  # unreadable: no signature fits


def _rows(connection: Connection, order: Column[Any], where: Any) -> Iterator[Sequence[Any] | None]:
    """Rows by ``order``, streamed: never more than a page in memory. None in the place of one that cannot be read, and
    that is the last."""
    table = order.table
    ordered = select(table).where(where).order_by(order, *table.primary_key)
    seen = 0
    streaming = {"stream_results": True, "max_row_buffer": _PAGE}
    try:
        for page in connection.execute(ordered, execution_options=streaming).partitions(_PAGE):
            yield from page
            seen += len(page)
        return
    except (DBAPIError, UnicodeDecodeError):  # SQLite: a byte that is no UTF-8, somewhere in the page after ``seen``
        if connection.dialect.name != "sqlite":  # elsewhere it cannot be: the database itself is in trouble
            raise
    try:
        yield from connection.execute(ordered.offset(seen), execution_options={"yield_per": 1})
    except (DBAPIError, UnicodeDecodeError):
        yield None
