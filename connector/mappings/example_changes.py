"""What a correction or a deletion of a record does to figures, as lines that an example can expect."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from connector.errors import MappingError
from connector.mappings import people
from connector.mappings.example_lines import cell_lines
from connector.mappings.forms import Mapper
from connector.mappings.indicators import Counter
from connector.mappings.pack import FormMapping, Pack
from connector.model import Entity, Record

#: Figure (data set, period, level, data element, combination) -> what the record adds to it.
Adds = Mapping[str, Decimal]


def adds(
    pack: Pack, mapper: Mapper, counter: Counter, form: FormMapping, key: str, body: Mapping[str, Any], person: Any
) -> tuple[Adds, str]:
    """What one version of a record adds, and the reason code where it goes to quarantine and adds nothing."""
    try:
        activity = mapper.apply(Record(form.source, form.name, key, "1", form.name, body)).activity
    except MappingError as error:
        return {}, error.code
    if activity is None:
        return {}, ""
    entity = Entity(form.source, "person", "example", "1", person) if person else None
    counted = counter.contributions(activity, people.complete(activity, entity), lambda level: level)
    found: dict[str, Decimal] = {}
    for line in cell_lines(pack, counted):
        address, _, amount = line.rpartition(" ")
        found[address] = found.get(address, Decimal(0)) + Decimal(amount)
    return found, ""


def changes(before: Adds, after: Adds) -> list[str]:
    """The figures that the step changes, each with its difference: ``MH_SEC 202607 site MH_A04 A2_Y1_4-SEX_F -1``."""
    nothing = Decimal(0)
    differences = {one: after.get(one, nothing) - before.get(one, nothing) for one in (*before, *after)}
    return [f"{address} {difference:+f}" for address, difference in sorted(differences.items()) if difference]
