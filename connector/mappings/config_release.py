"""Reading what a data set says about who reports by when, and about approval before its figures leave."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from connector.mappings.pack import Release
from connector.mappings.sections import Section
from connector.mappings.shapes import prefix
from connector.mappings.yaml_nodes import Scalar


def read_reporting(entry: Section) -> dict[str, Any]:
    """``complete``, ``deadline``, ``gaps_after``, ``on_change``, ``release``, ``small`` of one data set, as fields of
    ``DataSet``."""
    found = {
        "complete": entry.maybe("complete"),
        "deadline": entry.count("deadline"),
        "gaps_after": entry.count("gaps_after"),
        "on_change": entry.maybe("on_change") or "keep",
        "release": read_release(entry),
        "small": entry.count("small"),
    }
    for key in ("deadline", "gaps_after", "on_change"):
        if entry.node(key) is not None and found["complete"] is None:
            entry.findings.add("data_set.reporters", entry.place(key), what=prefix(entry.what), key=key)
    return found


def read_release(entry: Section) -> Release | None:
    """``release: none | after_approval``, or ``{after: approval, margin: 5%}``; a margin without % is a count."""
    node = entry.node("release")
    if node is None or isinstance(node, Scalar):
        return Release() if node is not None and node.text == "after_approval" else None
    margin = entry.section("release").text("margin")
    return Release(Decimal(margin.rstrip("% ")), margin.endswith("%")) if margin else Release()
