"""One case by its number: who speaks, which requests go bad, and how. The same seed and number, the same case."""

from __future__ import annotations

import random
from typing import Any

import httpx

from tests.fuzz.line import Genuine, Given, QuickLoop, Spoil
from tests.fuzz.shapes import Shape, mutated
from tests.fuzz.speakers import SPEAKERS, Speaker


class Stage:
    """One speaker on a loop of its own. Ends with ``close``."""

    def __init__(self, name: str) -> None:
        self.loop = QuickLoop()
        (kind,) = [kind for kind in SPEAKERS if kind.name == name]
        self.speaker: Speaker = kind()

    def case(self, seed: int, number: int) -> list[str]:
        """Problems of a case by chance. Answers to others are those of the cases played before."""
        rng = random.Random(f"{seed}/{self.speaker.name}/{number}")
        self.speaker.calm = False
        return self.play(rng, by_chance(self.speaker, rng))

    def shaped(self, shape: Shape, at: int, *, arrives: bool) -> list[str]:
        """Problems when the answer to request ``at`` of a plain attempt has this shape. ``arrives``: the request is
        carried out; else the shape is put on an answer that another one got."""
        speaker = self.speaker
        speaker.calm = True

        async def spoil(number: int, request: httpx.Request, genuine: Genuine) -> Given:
            if number != at:
                return await genuine()
            others = speaker.others.get(speaker.kind_of(request))
            return shape(await genuine() if arrives or not others else others[-1])

        return self.play(random.Random(at), spoil)

    def play(self, rng: random.Random, spoil: Spoil) -> list[str]:
        return self.loop.run_until_complete(self.speaker.play(rng, spoil))

    def close(self) -> None:
        self.loop.run_until_complete(self.speaker.client.aclose())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


def by_chance(speaker: Speaker, rng: random.Random) -> Spoil:
    """Some requests get a wrong answer; of those some are never carried out, some get the answer to another."""
    all_from = rng.random() < 0.2
    at = rng.randrange(1, speaker.requests + 2)

    async def spoil(number: int, request: httpx.Request, genuine: Genuine) -> Given:
        if number < at or (number > at and not all_from):
            return await genuine()
        chance = rng.random()
        others: list[Any] = speaker.others.get(speaker.kind_of(request), [])
        if chance < 0.55 or not others:
            given = await genuine()
        else:
            given = rng.choice(others)
            if chance < 0.75:
                await genuine()  # carried out all the same
            if rng.random() < 0.5:
                return given
        return mutated(rng, given)

    return spoil
