"""A road per test: simulators and connector of its own, on free ports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.road.road import Road
from tests.store.databases import DATABASES, database


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=20, help="how many times relais is killed")
    parser.addoption("--database", choices=DATABASES, default="sqlite", help="what relais keeps its records in")
    parser.addoption("--seconds", type=int, default=60, help="how long several processes work at once")


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--kills", 20))


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--seconds", 60))


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "relais").mkdir()
    with database(str(request.config.getoption("--database", "sqlite")), tmp_path / "relais") as url:
        yield url


@pytest.fixture
def road(tmp_path: Path, database_url: str) -> Iterator[Road]:
    made = Road(tmp_path, database=database_url)
    yield made
    made.stop()


@pytest.fixture
def watched(tmp_path: Path, database_url: str) -> Iterator[Road]:
    """A road whose simulators kill on demand and write down what is on its way (``watch.py``)."""
    made = Road(tmp_path, database=database_url, sandbox="tests.road.watch")
    yield made
    made.stop()
