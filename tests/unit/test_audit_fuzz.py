"""A thousand random alterations of the trail, each by somebody with the database in hand: all are found, and the first
bad entry is named. What is expected is worked out from the alteration alone."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.pool import StaticPool

from connector.engine import audit, heads
from connector.engine.heads import Head
from connector.identity import digest
from connector.store.tables import metadata

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
THIEF = Ed25519PrivateKey.from_private_bytes(b"t" * 32)
ENTRIES = 60
CASES = 1000
TOLD = ("id", "at", "event", "who", "subject", "detail")
CHAIN = ("digest", "sequence", "previous", "hash")


class Unit:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def keyed(self, text: str) -> str:
        return digest(text.encode())[:32]


class Trail:
    """Sixty sealed entries in memory, their heads elsewhere; ``case`` undoes whatever was done."""

    def __init__(self, folder: Path) -> None:
        self.heads = folder / "heads"
        self.engine = create_engine("sqlite://", poolclass=StaticPool)

        @event.listens_for(self.engine, "connect")
        def _connect(dbapi: sqlite3.Connection, _: Any) -> None:
            dbapi.isolation_level = None

        @event.listens_for(self.engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN")

        dice = random.Random(7)
        with self.engine.begin() as connection:
            metadata.create_all(connection)
            for number in range(ENTRIES):
                audit.record(
                    Unit(connection), at=f"2026-11-22T06:00:{number:02}.000000Z",
                    event=dice.choice(["attempt.begun", "attempt.ended", "page.received", "person.retry"]),
                    who=dice.choice(["system", "awa"]), subject=dice.choice(["", "dhis2", "fiche-7"]),
                    detail={"n": number, "codes": ["é", "ok"][: number % 3]},
                )  # fmt: skip
            at = "2026-11-22T06:01:00.000000Z"
            while audit.seal(Unit(connection), at, KEY.sign, limit=dice.randint(1, 9)):
                pass
            audit.export(Unit(connection), str(self.heads))
        self.kept = [head.sequence for head in heads.read(self.heads)]

    def case(self) -> Iterator[Case]:
        connection = self.engine.connect()
        transaction = connection.begin()
        try:
            yield Case(connection, self)
        finally:
            transaction.rollback()
            connection.close()

    def vouched_before(self, entry: int) -> int:
        return max((s for s in self.kept if s < entry), default=0)


class Case:
    def __init__(self, connection: Connection, trail: Trail) -> None:
        self.connection = connection
        self.trail = trail

    def sql(self, statement: str, *values: Any) -> None:
        self.connection.exec_driver_sql(statement, values)

    def row(self, entry: int) -> dict[str, Any]:
        found = self.connection.exec_driver_sql("SELECT * FROM audit WHERE sequence=?", (entry,)).mappings().one()
        return dict(found)

    def raw(self, entry: int, column: str) -> tuple[Any, ...]:
        """Type and bytes as they are stored."""
        found = self.connection.exec_driver_sql(
            f"SELECT typeof({column}), CAST({column} AS BLOB) FROM audit WHERE id=?", (entry,)
        ).one()
        return tuple(found)

    def many_of_one_place(self) -> None:
        """Whoever has the file is not held back by its index."""
        self.sql("DROP INDEX ix_audit_sequence")

    def verify(self, elsewhere: bool) -> dict[str, Any]:
        return audit.verify(Unit(self.connection), self.trail.heads if elsewhere else None, KEY.public_key())

    def link(self, first: int, sign: Callable[[bytes], bytes] | None, *, last: int = ENTRIES) -> None:
        """Compute digests and hashes of these entries anew, and (with ``sign``) the heads among them."""
        previous = self.row(first - 1)["hash"] if first > 1 else audit.GENESIS
        for entry in range(first, last + 1):
            row = self.row(entry)
            own = audit.entry_digest(row)
            link = audit.link(entry, previous, own)
            self.sql("UPDATE audit SET digest=?, previous=?, hash=? WHERE id=?", own, previous, link, row["id"])
            at = self.connection.exec_driver_sql("SELECT at FROM audit_head WHERE sequence=?", (entry,)).scalar()
            if at and sign:
                signature = sign(Head(entry, link, at).statement()).hex()
                self.sql("UPDATE audit_head SET hash=?, signature=? WHERE sequence=?", link, signature, entry)
            previous = link


#: The first bad entry as heads elsewhere show it, and without them (WHOLE: cannot be seen; None: not said which). Where
#: only a head disagrees it is the first entry that no good head vouches for.
Found = tuple[int | None, int | None]
WHOLE = 0


def alike(entry: int | None) -> Found:
    return entry, entry


def altered(dice: random.Random, value: Any) -> tuple[str, Any]:
    """SQL expression and parameter of a value that differs: one byte, a byte more or less, another type."""
    if value is None:
        return "?", dice.choice(["x", 7, b"\x00", ""])
    if isinstance(value, int):
        return "?", dice.choice([value ^ (1 << dice.randrange(20)), -value, f"{value}x", b"A", value + 0.5])
    raw = bytearray(value.encode())
    how = dice.randrange(5)
    if how == 0 and raw:
        raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
    elif how == 1:
        raw.insert(dice.randint(0, len(raw)), dice.randrange(256))
    elif how == 2 and raw:
        del raw[dice.randrange(len(raw))]
    elif how == 3:
        return "?", bytes(raw)  # the same bytes, but no text any more
    else:
        return "?", dice.choice(["", "x", 7, 7.5])
    return "CAST(? AS TEXT)", bytes(raw)


def edit(case: Case, dice: random.Random) -> Found:
    while True:
        entry, column = dice.randint(1, ENTRIES), dice.choice(TOLD + CHAIN)
        if column == "id":  # a number and nothing else; any free one
            case.sql("UPDATE audit SET id=? WHERE sequence=?", dice.choice([-entry, 0, entry + 1000]), entry)
            return alike(entry)
        if column == "sequence":
            return renumbered(case, dice, entry)
        before = case.raw(entry, column)
        expression, value = altered(dice, case.row(entry)[column])
        case.sql(f"UPDATE audit SET {column}={expression} WHERE id=?", value, entry)
        if case.raw(entry, column) != before:
            return alike(entry)


def renumbered(case: Case, dice: random.Random, entry: int) -> Found:
    value = dice.choice([None, 0, -entry, ENTRIES + 5, entry + 0.5, "x", b"x", dice.randint(1, ENTRIES)])
    if isinstance(value, int) and 0 < value <= ENTRIES:
        if value == entry:
            value = None
        else:
            case.many_of_one_place()
    case.sql("UPDATE audit SET sequence=? WHERE id=?", value, entry)
    if isinstance(value, int) and 0 < value < entry:
        return alike(value + 1)  # two of one number: the second is one too many
    return alike(entry)


def remove(case: Case, dice: random.Random) -> Found:
    gone = dice.sample(range(1, ENTRIES + 1), dice.randint(1, 4))
    for entry in gone:
        case.sql("DELETE FROM audit WHERE id=?", entry)
    if dice.random() < 0.4 and max(gone) < ENTRIES:  # and the numbers moved up
        case.many_of_one_place()
        for entry in sorted(gone, reverse=True):
            case.sql("UPDATE audit SET sequence=sequence-1 WHERE sequence>?", entry)
    return alike(min(gone))


def put_in(case: Case, dice: random.Random) -> Found:
    """A copy, or an entry of one's own with a digest that fits: at the end, in the middle, or twice in one place."""
    row = case.row(dice.randint(1, ENTRIES))
    row["id"] = ENTRIES + 1
    if dice.random() < 0.7:
        row["detail"] = '{"forged":true}'
        row["digest"] = audit.entry_digest(row)
    case.many_of_one_place()
    where = dice.choice(["end", "middle", "twice", "outside"])
    place = ENTRIES + 1 if where == "end" else dice.randint(1, ENTRIES)
    if where == "middle":
        case.sql("UPDATE audit SET sequence=sequence+1 WHERE sequence>=?", place)
    named = {"twice": place + 1, "outside": ENTRIES + 1}.get(where, place)
    row["sequence"] = {"twice": place, "outside": -place}.get(where, place)
    if dice.random() < 0.5 and where in ("end", "middle"):  # with the right link, too
        row["digest"] = audit.entry_digest(row)
        row["previous"] = case.row(place - 1)["hash"] if place > 1 else audit.GENESIS
        row["hash"] = audit.link(place, row["previous"], row["digest"])
        if where == "middle" and place in case.trail.kept:
            named = case.trail.vouched_before(place) + 1
    case.sql(f"INSERT INTO audit ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", *row.values())
    return alike(named)


def swap(case: Case, dice: random.Random) -> Found:
    one, two = dice.sample(range(1, ENTRIES + 1), 2)
    a, b = case.row(one), case.row(two)
    columns = dice.choice([TOLD[1:], (*TOLD[1:], "digest"), ("sequence",), ("sequence", "previous", "hash"), CHAIN])
    case.many_of_one_place()
    for column in columns:
        case.sql(f"UPDATE audit SET {column}=? WHERE id=?", b[column], a["id"])
        case.sql(f"UPDATE audit SET {column}=? WHERE id=?", a[column], b["id"])
    if all(a[column] == b[column] for column in columns):
        return swap(case, dice)
    return alike(min(one, two))


def cut(case: Case, dice: random.Random) -> Found:
    left = dice.randint(0, ENTRIES - 1)
    with_heads = dice.random() < 0.7
    case.sql("DELETE FROM audit WHERE sequence>?", left)
    if with_heads:
        case.sql("DELETE FROM audit_head WHERE sequence>?", left)
    if not with_heads:
        return alike(left + 1)
    if left in (0, *case.trail.kept):
        return left + 1, WHOLE  # a shorter chain, whole by itself
    return left + 1, case.trail.vouched_before(left + 1) + 1


def compute_anew(case: Case, dice: random.Random) -> Found:
    """An entry altered and everything after it made to fit, with the heads left, gone, signed by another or by us."""
    first = dice.randint(1, ENTRIES)
    case.sql("UPDATE audit SET detail='{\"n\":-1}' WHERE sequence=?", first)
    what = dice.choice(["left", "gone", "thief", "ours"])
    case.link(first, {"thief": THIEF.sign, "ours": KEY.sign}.get(what))
    if what == "gone":
        case.sql("DELETE FROM audit_head WHERE sequence>=?", first)
    shows = case.trail.vouched_before(first) + 1
    return shows, WHOLE if what == "ours" else shows


def forge_one(case: Case, dice: random.Random) -> Found:
    """An entry altered with its own digest and hash, nothing else."""
    candidates = [e for e in range(1, ENTRIES) if e not in case.trail.kept]
    entry = dice.choice(candidates)
    case.sql("UPDATE audit SET detail='{\"n\":-1}' WHERE sequence=?", entry)
    case.link(entry, None, last=entry)
    return alike(entry)


def alter_head(case: Case, dice: random.Random) -> Found:
    head, column = dice.choice(case.trail.kept), dice.choice(["hash", "at", "signature", "sequence"])
    value: Any = {"sequence": head + 1000}.get(column)
    if value is None:
        found = case.connection.exec_driver_sql(f"SELECT {column} FROM audit_head WHERE sequence=?", (head,))
        text = str(found.scalar_one())
        place = dice.randrange(len(text))
        value = text[:place] + ("1" if text[place] != "1" else "2") + text[place + 1 :]
    case.sql(f"UPDATE audit_head SET {column}=? WHERE sequence=?", value, head)
    return alike(None)


KINDS = [edit, edit, edit, remove, put_in, swap, cut, compute_anew, forge_one, alter_head]


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Trail:
    return Trail(tmp_path_factory.mktemp("trail"))


def test_a_thousand_alterations_are_found_of_a_thousand_and_the_first_bad_entry_is_right(trail: Trail) -> None:
    missed: list[Any] = []
    found_of: dict[str, int] = {}
    for seed in range(CASES):
        dice = random.Random(seed)
        kind = KINDS[seed % len(KINDS)]
        for case in trail.case():
            by_heads, by_itself = kind(case, dice)
            elsewhere = by_itself == WHOLE or dice.random() < 0.5
            found = case.verify(elsewhere)
            if by_itself == WHOLE:
                assert case.verify(False)["ok"], (seed, "which is why heads go elsewhere")
            expected = by_heads if elsewhere else by_itself
            if found["ok"] or expected not in (None, found["first_bad"]):
                missed.append((seed, kind.__name__, expected, elsewhere, found))
            found_of[kind.__name__] = found_of.get(kind.__name__, 0) + (not found["ok"])
    assert not missed, f"{len(missed)} of {CASES}: {missed[:5]}"
    assert sum(found_of.values()) == CASES and len(found_of) == len(set(KINDS))


def test_the_untouched_trail_is_whole(trail: Trail) -> None:
    for case in trail.case():
        assert case.verify(True)["ok"] and case.verify(False)["ok"]
        assert case.verify(True)["vouched"] == ENTRIES
