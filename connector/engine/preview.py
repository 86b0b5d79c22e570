"""One record through the mapping without keeping anything: facts, flags, resources, cells, and why not counted.

Needs no database. With one (the page), the person and the parents of the place are looked up in the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any

from connector.engine import resources
from connector.engine.engine import Engine
from connector.engine.lineage import PERSONAL
from connector.engine.mapping import WHO, parents_of
from connector.engine.places import OrgUnits
from connector.errors import MappingError
from connector.findings import nearest
from connector.identity import Names
from connector.mappings import fhir_sharing, people, r4, second_opinion
from connector.mappings.codec import entity_from
from connector.mappings.concepts import IMPLAUSIBLE
from connector.mappings.explaining import NotCounted, not_counted
from connector.mappings.fhir import FhirBuilder
from connector.mappings.forms import Mapper
from connector.mappings.indicators import Counter, element_and_combo
from connector.mappings.pack import FormMapping, Pack
from connector.model import SEEN, Activity, Contribution, Entity, Mapped, Record, Who

#: Where a record says what it is called, by app.
KEYS = ("_id", "__id", "_uuid", "uuid", "id")
#: Stands for the org unit of a place the pack does not know, so that the rest can be seen all the same.
NOWHERE = "?"


class FormUnknown(ValueError):
    """No form of this name. Says which it may be; ``french``: in French."""

    def __init__(self, french: str, english: str) -> None:
        super().__init__(english)
        self.french = french


@dataclass(frozen=True, slots=True)
class Bench:
    """What a record is tried on: the pack with its compiled parts, and the registry where there is one."""

    pack: Pack
    mapper: Mapper
    counter: Counter
    builder: FhirBuilder
    person_of: Callable[[str, str], Entity | None] = lambda source, key: None
    parent_of: Callable[[str, str], str | None] = lambda source, place: None


def bench(pack: Pack) -> Bench:
    """Without a registry."""
    return Bench(pack, Mapper(pack), Counter(pack), FhirBuilder(pack, Names(pack.id)))


def find_form(pack: Pack, name: str) -> FormMapping:
    """The mapping of ``form`` or ``source/form``. Raises FormUnknown."""
    found = [form for (source, form_name), form in pack.forms.items() if name in (form_name, f"{source}/{form_name}")]
    if len(found) == 1:
        return found[0]
    known = [f"{source}/{form_name}" for source, form_name in pack.forms]
    if found:
        several = ", ".join(f"{form.source}/{form.name}" for form in found)
        raise FormUnknown(f"{name} : {several}", f"{name}: {several}")
    french, english = nearest(name, [*(n.partition("/")[2] for n in known), *known])
    raise FormUnknown(f"{name}. {french}", f"{name}. {english}")


def as_person(tried: Bench, source: str, body: Mapping[str, Any]) -> Entity | None:
    """The person a registry record says, by the first form of the source that registers one."""
    for form in tried.pack.forms.values():
        if form.source == source and form.registers == "person":
            try:
                mapped = tried.mapper.apply(Record(source, form.name, key_of(body), "1", form.name, body))
            except MappingError:
                continue
            if mapped.entity is not None:
                return mapped.entity
    return None


def key_of(body: Mapping[str, Any]) -> str:
    return next((str(body[name]) for name in KEYS if body.get(name)), "preview")


def preview(
    tried: Bench,
    form: FormMapping,
    body: Mapping[str, Any],
    today: date,
    *,
    person: Entity | None = None,
    record: Record | None = None,
    unmask: bool = True,
) -> dict[str, Any]:
    """What would become of this record. ``unmask``: show who it is about."""
    record = record or Record(form.source, form.name, key_of(body), "1", form.name, body)
    result: dict[str, Any] = {
        "form": {"source": form.source, "name": form.name, "file": form.file, "version": form.version},
        "pack": tried.pack.version,
        "record": record.id,
        "activity": None,
        "entity": None,
        "person": None,
        "error": None,
        "facts": [],
        "flags": [],
        "referral": None,
        "resources": [],
        "cells": [],
        "not_counted": [],
    }
    try:
        mapped = tried.mapper.apply(record)
        if mapped.activity is not None and mapped.activity.date > today:
            raise MappingError("date.future", path="date", file=mapped.activity.mapping)
    except MappingError as error:
        result["error"] = _error(error)
        return result
    _mapped(tried, mapped, person, result, unmask)
    return result


def _error(error: MappingError) -> dict[str, Any]:
    return {
        "code": error.code,
        "path": error.path,
        "file": error.file,
        "line": error.line,
        "detail": error.detail,
        "who": str(WHO.get(error.code, Who.MAPPING)),
    }


def _mapped(tried: Bench, mapped: Mapped, person: Entity | None, result: dict[str, Any], unmask: bool) -> None:
    result["flags"] = [{"code": f.code, "fact": f.fact, "detail": f.detail} for f in mapped.flags]
    built: list[dict[str, Any]] = []
    if mapped.entity is not None:
        entity = mapped.entity
        result["entity"] = {"kind": entity.kind, "key": entity.key}
        result["facts"] = _facts(entity.data, unmask, masked=set(entity.data) if not unmask else set())
        built += tried.builder.entity_resources(entity)
    activity = mapped.activity
    if activity is not None:
        person = person or (tried.person_of(activity.source, activity.subject) if activity.subject else None)
        home = people.household_of(activity, person)
        complete = people.complete(activity, person, tried.person_of(activity.source, home) if home else None)
        result["person"] = {"known": person is not None, "needed": activity.subject is not None}
        scope = tried.counter.facts(complete)
        behind = {name: value for name, value in scope.items() if name not in activity.facts}
        result["facts"] = [
            *_facts(activity.facts, unmask),
            *_facts(activity.facts.get(IMPLAUSIBLE, {}), unmask, implausible=True),
            *_facts(behind, unmask, derived=True),
        ]
        result["referral"] = _referral(activity, unmask)
        _counted(tried, activity, complete, result, unmask)
        built += tried.builder.activity_resources(activity, complete, person_known=person is not None)
        shared = tried.builder.group_of(activity, complete)
        built += [shared] if shared is not None else []
    server = next((one for one in tried.pack.targets.values() if one.kind == "fhir_server"), None)
    shared_there = fhir_sharing.shared(server.settings if server is not None else {}, built)
    result["resources"] = [_resource(one, unmask) for one in shared_there]


def _facts(
    facts: Mapping[str, Any],
    unmask: bool,
    *,
    derived: bool = False,
    implausible: bool = False,
    masked: set[str] | None = None,
) -> list[dict[str, Any]]:
    hidden = PERSONAL | (masked or set())
    return [
        {
            "name": name,
            "value": value if unmask or name not in hidden else None,
            "masked": not unmask and name in hidden,
            "derived": derived,
            "implausible": implausible,
        }
        for name, value in sorted(facts.items())
        if name != IMPLAUSIBLE
    ]


def _referral(activity: Activity, unmask: bool) -> dict[str, Any] | None:
    one = activity.referral
    if one is None:
        return None
    found = {"to": one.to, "urgent": one.urgent, "reason": one.reason, "reasons": list(one.reasons)}
    return {**found, "note": one.note if unmask else None}


def _resource(resource: dict[str, Any], unmask: bool) -> dict[str, Any]:
    return {
        "key": resources.key_of(resource),
        "problems": [f"{p.path}: {p.message}" for p in r4.problems(resource)],
        "second_opinion": [f"{p.path}: {p.message}" for p in second_opinion.problems(resource)],
        "resource": resource if unmask else None,
    }


def _counted(tried: Bench, activity: Activity, facts: Mapping[str, Any], result: dict[str, Any], unmask: bool) -> None:
    units = OrgUnits(tried.pack)
    row = None
    try:
        if activity.place is not None:
            row = units.row(activity.source, activity.place, activity.date, tried.parent_of)
    except MappingError as error:
        result["error"] = _error(error)
    at_level = partial(units.at_level, row, day=activity.date) if row is not None else lambda level: NOWHERE
    found: Sequence[Contribution] = (
        tried.counter.contributions(activity, facts, at_level) if activity.place is not None else []
    )
    found = [one for one in found if one.categories != SEEN]  # what stands in no cell adds nothing
    result["activity"] = {
        "kind": activity.kind,
        "date": activity.date.isoformat(),
        "at": activity.at.isoformat() if activity.at else None,
        "place": activity.place,
        "worker": activity.worker,
        "subject": activity.subject,
        "org_unit": row.org_unit if row else None,
    }
    result["cells"] = [_cell(tried.pack, one) for one in found]
    hide = frozenset() if unmask else frozenset(PERSONAL)
    result["not_counted"] = [
        told(tried.pack, one)
        for one in not_counted(
            tried.counter, activity, facts, {(c.indicator, c.part) for c in found}, hide=hide, placed=row is not None
        )
    ]


def _cell(pack: Pack, one: Contribution) -> dict[str, Any]:
    element, combo = element_and_combo(pack, one.indicator, one.part, one.categories)
    return {
        "indicator": one.indicator,
        "part": one.part,
        "name": dict(pack.indicators[one.indicator].name),
        "data_element": element,
        "combo": combo,
        "org_unit": one.org_unit,
        "period": one.period,
        "categories": dict(one.categories),
        "amount": f"{one.amount.normalize():f}",
    }


def told(pack: Pack, one: NotCounted) -> dict[str, Any]:
    """As the documents of ``preview`` and ``explain`` show it."""
    return {
        "indicator": one.indicator,
        "name": dict(pack.indicators[one.indicator].name),
        "part": one.part,
        "item": one.item,
        "reason": one.reason,
        "condition": one.condition,
        "file": one.at.file if one.at else None,
        "line": one.at.line if one.at else None,
        "comparisons": [
            {"text": c.text, "result": c.result, "values": c.values, "depth": c.depth} for c in one.comparisons
        ],
    }


# ---------------------------------------------------------------- with a database


def on_registry(engine: Engine, unit: Any) -> Bench:
    """The same with the people and places as the registry knows them now."""

    def person_of(source: str, key: str) -> Entity | None:
        for kind in ("person", "place"):
            row = unit.entities(kind, source, [key]).get(key)
            if row:
                return entity_from(unit.open("entity", row["entity_enc"]))
        return None

    return Bench(engine.pack, engine.mapper, engine.counter, engine.builder, person_of, parents_of(unit))


def on_engine(engine: Engine, name: str, body: Mapping[str, Any], unmask: bool) -> dict[str, Any]:
    """A record pasted into the page; ``name``: ``source/form``. Raises FormUnknown."""
    form = find_form(engine.pack, name)
    today = engine.today()

    def work(unit: Any) -> dict[str, Any]:
        tried = on_registry(engine, unit)
        if not unmask:  # who may not see whom it is about learns nothing of her from the registry either
            tried = replace(tried, person_of=lambda source, key: None)
        return preview(tried, form, body, today, unmask=unmask)

    found: dict[str, Any] = engine.store.read(work)
    return found
