"""Answers changed by chance, from a seed: contents, bytes, status, headers, and answers given to others."""

from __future__ import annotations

from tests.fuzz.conftest import FEW
from tests.fuzz.playing import Stage
from tests.fuzz.speakers import SPEAKERS


def test_answers_gone_bad_by_chance(stage: Stage, cases: int | None, seed: int) -> None:
    name = stage.speaker.name
    count = (cases or FEW) // len(SPEAKERS)
    for number in range(count):
        problems = stage.case(seed, number)
        again = f"make fuzz SEED={seed} N={(number + 1) * len(SPEAKERS)} ONLY={name}"
        assert not problems, "\n".join([f"case {number}; again: {again}", *problems])
    print(f"{name}: {count} cases, nothing believed that was not so")
