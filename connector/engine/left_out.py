"""Records of a value's place and period that do not count for its indicator, and which comparison failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from connector import periods
from connector.engine import resources
from connector.engine.engine import Engine
from connector.engine.places import OrgUnits
from connector.mappings import people
from connector.mappings.codec import activity_from
from connector.mappings.explaining import Comparison, NotCounted, not_counted
from connector.mappings.pack import Indicator

#: Records looked at; the counts are of these.
SEEN = 500
#: Records named with a reason.
NAMED = 3


def reasons(
    engine: Engine, unit: Any, cell: dict[str, Any], indicator: Indicator, hide: Iterable[str]
) -> list[dict[str, Any]]:
    """Reason by reason how many records, the most frequent first: ``reason`` (words), ``code``, ``condition``,
    ``values`` (what was compared in the first of ``records``), ``n``, ``records`` (some of them). Of ``cell``
    only its indicator, part, org unit and period are looked at. Facts whose activity is purged give no reason any more:
    ``purged``."""
    first, last = periods.bounds(cell["period"])
    org_units = OrgUnits(engine.pack)
    level = engine.pack.data_sets[indicator.data_set].level
    days = (first.isoformat(), last.isoformat())
    rows = unit.left_out(cell, indicator.counts, sorted(org_units.below(cell["org_unit"])), days, SEEN)
    opened = [(r, activity_from(unit.open("activity", r["activity_enc"])) if r["activity_enc"] else None) for r in rows]
    known = resources.people_of(unit, [activity for _, activity in opened if activity])
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row, activity in opened:
        if activity is None:
            code, text, values = "purged", "", ""
        elif org_units.entered_at(row["org_unit"], level, activity.date) != cell["org_unit"]:
            continue  # it lay under this unit at another time
        else:
            facts = people.complete(activity, known.get(f"{activity.source}/{activity.subject}"))
            others = [(indicator.id, part) for part in indicator.parts if part != cell["part"]]
            code, text, values = _why(
                not_counted(engine.counter, activity, facts, others, hide=frozenset(hide), only=indicator.id)
            )
        one = found.setdefault(
            (code, text),
            {"reason": _words(code, text), "code": code, "condition": text, "values": values, "n": 0, "records": []},
        )
        one["n"] += 1
        one["records"] += [row["record"]] if len(one["records"]) < NAMED else []
    return sorted(found.values(), key=lambda one: (-one["n"], one["condition"]))


def some(engine: Engine, unit: Any, cell: dict[str, Any], indicator: Indicator) -> bool:
    """Some record of the place and period may give a reason; which one, nobody worked out."""
    first, last = periods.bounds(cell["period"])
    below = sorted(OrgUnits(engine.pack).below(cell["org_unit"]))
    return bool(unit.left_out(cell, indicator.counts, below, (first.isoformat(), last.isoformat()), 1))


def _why(said: list[NotCounted]) -> tuple[str, str, str]:
    """Code, the comparisons that failed as the pack writes them, and the values of this record in them. The values
    stand apart, so that records that fail alike are counted together."""
    one = said[0]  # the part at hand, or an item of it: it was asked about alone
    failed: dict[str, None] = {}
    values: dict[str, None] = {}
    for top, behind in _grouped(one.comparisons):
        if top.result == "true":
            continue
        deepest = [c for c in behind if c.result != "true"] or behind
        inside = ", ".join(dict.fromkeys(c.text for c in deepest))
        failed[f"{top.text} ({inside})" if inside else top.text] = None
        values |= dict.fromkeys(c.values for c in (top, *deepest) if c.values)
    return one.reason, ", ".join(failed) or one.condition, ", ".join(values)


def _grouped(comparisons: Iterable[Comparison]) -> list[tuple[Comparison, list[Comparison]]]:
    """Each comparison of the condition with those behind the facts it speaks of."""
    found: list[tuple[Comparison, list[Comparison]]] = []
    for one in comparisons:
        if one.depth and found:
            found[-1][1].append(one)
        else:
            found.append((one, []))
    return found


#: code -> French, English
WORDS = {
    "condition": ("non rempli : {0}", "not met: {0}"),
    "failed": ("ne peut pas être évalué : {0}", "cannot be evaluated: {0}"),
    "no_amount": ("rien à ajouter : {0}", "nothing to add: {0}"),
    "no_items": ("la liste {0} est vide ou absente", "the list {0} is empty or absent"),
    "no_org_unit": ("pas d'unité d'organisation à ce niveau", "no org unit at this level"),
    "purged": (
        "la fiche est effacée, la raison n'est plus connue",
        "the record is purged, the reason is not known any more",
    ),
}


def _words(code: str, text: str) -> dict[str, str]:
    french, english = WORDS[code]
    return {"fr": french.format(text), "en": english.format(text)}
