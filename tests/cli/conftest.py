"""Fixtures of the command line."""

from tests.cli.line import relais

__all__ = ["relais"]
