"""Fixtures of the engine tests."""

from tests.engine.house import make_road, road

__all__ = ["make_road", "road"]
