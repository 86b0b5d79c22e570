"""Since when each rule of the pack is as it is here: the date that stands beside a version."""

from __future__ import annotations

from typing import Any

from connector.engine.engine import Engine
from connector.mappings.pack import Indicator

_KEY = "rule/"


def since(unit: Any, indicator: Indicator) -> str | None:
    """When this version of the rule was first loaded here; None when it was before Relais wrote that down."""
    version, _, at = (unit.fact(_KEY + indicator.id) or "").partition(" ")
    return at or None if version == indicator.version else None


def note(engine: Engine, unit: Any) -> None:
    """Write down the date of each rule that is new or changed with the pack that is loaded now."""
    known = unit.facts_like(_KEY)
    for indicator in engine.pack.indicators.values():
        if known.get(_KEY + indicator.id, "").partition(" ")[0] != indicator.version:
            unit.keep_fact(_KEY + indicator.id, f"{indicator.version} {engine.now()}")
