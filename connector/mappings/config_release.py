"""Reading what a data set says about who reports by when, and about approval before its figures leave."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from connector.mappings.pack import Release
from connector.mappings.yaml_nodes import Scalar, Section

_MARGIN = re.compile(r"(\d{1,6}(?:\.\d{1,2})?) ?(%?)")


def read_reporting(entry: Section) -> dict[str, Any]:
    """``complete``, ``deadline``, ``gaps_after``, ``release``, ``small`` of one data set, as fields of ``DataSet``."""
    found = {
        "complete": entry.maybe("complete"),
        "deadline": entry.count("deadline"),
        "gaps_after": entry.count("gaps_after"),
        "release": read_release(entry),
        "small": entry.count("small"),
    }
    for key in ("deadline", "gaps_after"):
        if found[key] is not None and found["complete"] is None:
            entry.findings.add(
                "key.missing",
                entry.place(key),
                f"{entry.what}: {key} is about reporters, and complete does not name them",
                "Add  complete: GROUP  (a group of deployments.csv)",
            )
    return found


def read_release(entry: Section) -> Release | None:
    """``release: none | after_approval``, or ``{after: approval, margin: 5%}``; a margin without % is a count."""
    node = entry.node("release")
    if node is None:
        return None
    if isinstance(node, Scalar):
        text = entry.text("release", among=("none", "after_approval"))
        return Release() if text == "after_approval" else None
    section = entry.section("release")
    section.text("after", required=True, among=("approval",))
    margin = section.text("margin")
    section.done()
    parts = _MARGIN.fullmatch(margin)
    if margin and parts is None:
        section.findings.add(
            "value.type",
            section.place("margin"),
            f"{section.what}: margin must be a share or a count",
            "Write  5%  or  3",
        )
    return Release(Decimal(parts[1]), parts[2] == "%") if parts else Release()
