"""Keys of what is delivered to DHIS2: a block of figures, and the completion of the same data set, unit and period."""

from __future__ import annotations

Block = tuple[str, str, str]  #: data set, org unit, period


def block_key(block: Block) -> str:
    return "block/" + "/".join(block)


def completion_key(block: Block) -> str:
    return "complete/" + "/".join(block)


def block_of(key: str) -> Block:
    """What ``block_key`` and ``completion_key`` were made of."""
    _, data_set, org_unit, period = key.split("/")
    return data_set, org_unit, period
