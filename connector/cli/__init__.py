"""The command line. ``main`` is the entry point of the package."""

from connector.cli.app import main

__all__ = ["main"]
