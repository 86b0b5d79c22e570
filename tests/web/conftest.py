"""One seeded house for the tests that only look, a fresh one for those that change something."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from connector.web import auth
from tests.engine.house import make_road, road
from tests.web.fixture import House, make_house

#: The real road, for what is pushed.
__all__ = ["make_road", "road"]


@pytest.fixture(scope="session", autouse=True)
def cheap_argon2() -> Iterator[None]:
    """The tests sign in a hundred times; argon2's own cost is not what they look at."""
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "_hasher", cheap)
        patch.setattr(auth, "_nobody", cheap.hash("nobody"))
        yield


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = make_house(tmp_path_factory.mktemp("house"))
    yield made
    made.close()


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Make a house of one's own: ``build(env="production")``."""
    made: list[House] = []

    def make(**options: Any) -> House:
        made.append(make_house(tmp_path / f"house{len(made)}", **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
