"""Signed heads of the audit trail and the place elsewhere where they are kept.

A head says "so many entries, the last one has this hash", signed. Kept out of reach of whoever can alter the
database, it shows a cut tail and a chain computed anew, which no chain can show by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from connector.errors import ConfigError
from connector.identity import canonical

#: No line of a heads file is longer; what is, is not ours.
_LONGEST_LINE = 1000


@dataclass(frozen=True, slots=True)
class Head:
    sequence: int  #: number of entries up to here
    hash: str  #: of the last of them
    at: str
    signature: str = ""  #: Ed25519 over ``statement``, hex
    #: The database was put back to this head from a backup: heads beyond it that were written before do not count.
    restored: bool = False

    def statement(self) -> bytes:
        """What is signed."""
        what = "audit-restored" if self.restored else "audit-head"
        return canonical({"relais": what, "sequence": self.sequence, "hash": self.hash, "at": self.at})

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        try:
            key.verify(bytes.fromhex(self.signature), self.statement())
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True

    def line(self) -> bytes:
        told = asdict(self)
        if not self.restored:
            del told["restored"]
        return canonical(told) + b"\n"


def _parse(line: bytes) -> Head | None:
    """None for a line that a crash cut short: the head it held is written again by the next export."""
    try:
        found: Any = orjson.loads(line)
        if not isinstance(found, dict) or not isinstance(found["sequence"], int):
            return None
        hashed, at, signature = (str(found[name]) for name in ("hash", "at", "signature"))
        return Head(found["sequence"], hashed, at, signature, found.get("restored") is True)
    except (ValueError, KeyError):
        return None


def read(file: Path) -> Iterator[Head]:
    """The heads of a file in the order written, one at a time."""
    with file.open("rb") as lines:
        while line := lines.readline(_LONGEST_LINE):
            head = _parse(line)
            if head is not None:
                yield head


def kept(file: Path, key: Ed25519PublicKey) -> tuple[Iterator[Head], list[Head]]:
    """The heads that count, in order, and the restarts among them: after a restore from a backup the chain goes on from
    an earlier head, and the head that says so is signed like any other."""
    restarts = [(place, head) for place, head in enumerate(read(file)) if head.restored and head.is_signed_by(key)]

    def counting() -> Iterator[Head]:
        for place, head in enumerate(read(file)):
            if head.sequence and not any(
                place < later and head.sequence > restart.sequence for later, restart in restarts
            ):
                yield head

    return counting(), [head for _, head in restarts]


def last_in(file: Path) -> int:
    """Sequence of the last whole head in the file, 0 when there is none. Reads only the end of it."""
    try:
        with file.open("rb") as lines:
            lines.seek(max(0, file.stat().st_size - 4 * _LONGEST_LINE))
            heads = [head for line in lines.read().splitlines() if (head := _parse(line))]
    except FileNotFoundError:
        return 0
    return heads[-1].sequence if heads else 0


def is_file(destination: str) -> bool:
    """False for syslog. ConfigError for what cannot be used."""
    if destination == "syslog:":
        return False
    if "://" in destination or destination.startswith("syslog:"):
        raise ConfigError(
            f"RELAIS_AUDIT_HEADS={destination!r} cannot be used. Nothing was done. Give a file on another disk or "
            "machine, or syslog:.",
            french=f"RELAIS_AUDIT_HEADS={destination!r} ne peut pas servir. Rien n'a été fait. Donnez un "
            "fichier sur un autre disque ou une autre machine, ou syslog:.",
        )
    return True


def append(file: Path, heads: Iterable[Head]) -> int:
    """Add heads at the end of the file, durable when it returns. Works on an append-only file."""
    count = 0
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab+") as out:
        if out.tell():
            out.seek(-1, os.SEEK_END)
            if out.read(1) != b"\n":  # a crash cut the last line short
                out.write(b"\n")
        for head in heads:
            out.write(head.line())
            count += 1
        out.flush()
        os.fsync(out.fileno())
    return count


def to_syslog(head: Head) -> None:
    import syslog  # not on every system

    syslog.openlog("relais", facility=syslog.LOG_AUTH)
    syslog.syslog(syslog.LOG_NOTICE, "audit head " + head.line().decode().strip())
