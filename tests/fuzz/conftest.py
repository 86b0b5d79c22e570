from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.playing import Stage
from tests.fuzz.speakers import SPEAKERS

#: Cases by chance in ``make test``, over all speakers.
FEW = 350


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", type=int, help="cases by chance, over all speakers")
    parser.addoption("--seed", type=int, default=7, help="the same seed, the same cases")


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> int | None:
    """How many cases were asked for; None in ``make test``."""
    count: int | None = request.config.getoption("--cases", None)
    return count


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    given: int = request.config.getoption("--seed", 7)
    return given


@pytest.fixture(params=[kind.name for kind in SPEAKERS])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    made = Stage(request.param)
    yield made
    made.close()
