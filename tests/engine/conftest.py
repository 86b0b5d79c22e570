"""Fixtures of the engine tests."""

from tests.engine.house import database_kind, make_road, road

__all__ = ["database_kind", "make_road", "road"]
