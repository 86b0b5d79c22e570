"""One case by its number: who speaks, which requests go bad, and how. The same seed and number, the same case."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any

import httpx

from tests.fuzz.line import Genuine, Given, QuickLoop, Spoil
from tests.fuzz.shapes import mutated
from tests.fuzz.speakers import SPEAKERS, Speaker


class Stage:
    """The speakers on a loop of their own. Ends with ``close``."""

    def __init__(self, only: Iterable[str] = ()) -> None:
        self.loop = QuickLoop()
        wanted = set(only) or {kind.name for kind in SPEAKERS}
        self.speakers = [kind() for kind in SPEAKERS if kind.name in wanted]

    def case(self, seed: int, number: int) -> list[str]:
        """Problems of the case; its speaker's others' answers are those of the cases before it."""
        speaker = self.speakers[number % len(self.speakers)]
        rng = random.Random(f"{seed}/{number}")
        return [f"{speaker.name}: {p}" for p in self.play(speaker, rng, by_chance(speaker, rng))]

    def play(self, speaker: Speaker, rng: random.Random, spoil: Spoil) -> list[str]:
        return self.loop.run_until_complete(speaker.play(rng, spoil))

    def close(self) -> None:
        for speaker in self.speakers:
            self.loop.run_until_complete(speaker.client.aclose())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        asyncio.set_event_loop(None)


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
