"""Relais: what a CHW records once, carried to everybody who needs it."""

__version__ = "0.1.0"
