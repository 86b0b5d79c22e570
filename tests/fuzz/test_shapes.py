"""Wrong answers by name, at every request: nothing is accepted that is not held or confirmed, nothing breaks, and
over a good line everything ends as wanted, once."""

from __future__ import annotations

import itertools

import pytest
import tenacity

from connector.http import DEADLINE
from tests.fuzz.playing import Stage
from tests.fuzz.shapes import HARMLESS, SHAPES


def test_a_wrong_answer_is_never_taken_as_success(stage: Stage, cases: int | None) -> None:
    """In ``make test`` each shape meets one request; with ``--cases`` every one, carried out or not."""
    places = list(itertools.product(range(1, stage.speaker.requests + 1), (True, False)))
    stage.shaped(lambda given: given, 1, arrives=True)
    found = []
    for number, (name, shape) in enumerate(SHAPES.items()):
        for at, arrives in places if cases else [places[number % len(places)]]:
            problems = stage.shaped(shape, at, arrives=arrives or name in HARMLESS)
            found += [f"{name} at request {at}, {'' if arrives else 'not '}carried out: {p}" for p in problems]
    assert not found, "\n".join(found)


def test_a_good_line_and_harmless_changes_are_believed(stage: Stage) -> None:
    """The test above would be silent, too, if nothing were ever accepted."""
    speaker = stage.speaker
    for name in ["", *HARMLESS]:
        for at in range(1, speaker.requests + 1):
            assert stage.shaped(SHAPES[name] if name else lambda given: given, at, arrives=True) == [], (name, at)
            asked = speaker.attempted
            assert asked <= speaker.requests, f"{name} at {at}: {asked} requests"


def test_an_answer_that_drips_ends_at_the_deadline(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenacity, "time", stage.loop)  # it asks for the time at ``time.monotonic``
    monkeypatch.setattr(stage.loop, "monotonic", stage.loop.time, raising=False)
    for at in range(1, stage.speaker.requests + 1):
        begun = stage.loop.time()
        assert stage.shaped(SHAPES["a drip"], at, arrives=True) == []
        assert stage.loop.time() - begun < DEADLINE + 20, f"request {at}"
