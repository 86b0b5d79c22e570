"""Whatever a record looks like: it is mapped, or refused with a MappingError; what was mapped is counted, kept and
made into resources. No other exception, in bounded time and memory."""

from __future__ import annotations

import re
import time
import tracemalloc
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

import orjson
import pytest
from hypothesis import event, given, target
from hypothesis import strategies as st

from connector.errors import MappingError
from connector.identity import Names
from connector.mappings import people, r4
from connector.mappings.codec import activity_from, activity_to, entity_from, entity_to
from connector.mappings.fhir import FhirBuilder
from connector.mappings.forms import Mapper
from connector.mappings.indicators import Counter
from connector.mappings.pack import FactRule, FormMapping, Pack
from connector.model import Entity, Record
from tests.properties.scale import FULL, scale
from tests.properties.world import shipped_anywhere

#: Seconds of processor time one record may take, and bytes for each megabyte in it; intake lets through no more than
#: one.
SECONDS, BYTES = 2.0, 16 * 1024 * 1024


@lru_cache(maxsize=1)
def house() -> tuple[Pack, Mapper, Counter, FhirBuilder]:
    pack = shipped_anywhere()
    return pack, Mapper(pack), Counter(pack), FhirBuilder(pack, Names(pack.id))


def rules(form: FormMapping) -> Iterator[FactRule]:
    heads = (form.date, form.time, form.place, form.worker, form.subject, form.key)
    for rule in [one for one in heads if one] + [*form.facts] + [*(form.referral or {}).values()]:
        yield rule
        yield from (rule.items or {}).values()
        for row in rule.rows or ():
            yield from row.values()


@cache
def places(key: tuple[str, str]) -> tuple[str, ...]:
    """Where a form is read: dotted names in its expressions."""
    form = house()[0].forms[key]
    text = " ".join(rule.source for rule in rules(form))
    text = re.sub(r"'[^']*'|\$\w+", " ", text)
    return tuple(sorted(set(re.findall(r"[A-Za-z_]\w*(?:\.\w+)*", text)))) or ("fields",)


ODD = (
    "", " ", "0", "-1", "1,5", "1 250", "1e999", "NaN", "Infinity", "yes", "no", "true", "oui", "positive", "site-1",
    "2026-08-10", "2026-02-30", "2026-08-10T25:00:00Z", "2026-08-10T10:00:00+99:00", "0001-01-01", "9999-12-31",
    "10/08/2026", "2026-W33", "\uff12\uff10\uff12\uff16-08-10", "\u0000", "\ue000", "\u202eabc", "\U0001f600" * 50,
    "a" * 100_000, "9" * 400, "[]", "{}", "null",
)  # fmt: skip
NUMBERS = (0, 1, -1, 10**15, 1_786_500_000_000, 253_402_300_800_000)
SCALARS = (
    st.none() | st.booleans() | st.sampled_from(ODD) | st.text(max_size=20) | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(NUMBERS)
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=12,
)


def deep(levels: int, kind: str) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = [value] if kind == "list" else {"a": value}
    return value


VALUES = ANYTHING | st.builds(deep, st.integers(1, 240), st.sampled_from(("list", "dict")))


def put(document: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        inside = document.get(parent)
        if not isinstance(inside, dict):
            inside = document[parent] = {}
        document = inside
    document[last] = value


@st.composite
def records(draw: Any) -> Record:
    source, form = draw(st.sampled_from(sorted(house()[0].forms)))
    body: dict[str, Any] = draw(st.dictionaries(st.text(max_size=8), VALUES, max_size=3))
    names = places((source, form))
    if draw(st.integers(0, 3)):  # mostly something that can be placed, so that the facts are reached
        mapping = house()[0].forms[source, form]
        for rule, value in ((mapping.date, "2026-08-10"), (mapping.place, "site-1"), (mapping.key, "key")):
            if rule is not None and rule.source in names:
                put(body, rule.source, value)
        if mapping.date is not None and "visit_date" in mapping.date.source:
            put(body, "fields.visit_date", "2026-08-10")
    for path in draw(st.lists(st.sampled_from(names), max_size=12)):
        put(body, path, draw(VALUES))
    key = draw(st.sampled_from(("key", "", "uuid:1", "a/b", "é" * 300)))
    return Record(source, "stream", key, "1", form, body)


def through(record: Record) -> str:
    """Everything that is done with a record by itself. Raises nothing but MappingError."""
    _, mapper, counter, builder = house()
    try:
        mapped = mapper.apply(record)
    except MappingError as error:
        assert error.code and (error.path is not None), "a refusal says why and where"
        return error.code
    if mapped.entity is not None:
        kept = entity_from(orjson.loads(orjson.dumps(entity_to(mapped.entity), default=str)))
        assert kept.key == mapped.entity.key
        for resource in builder.entity_resources(kept):
            r4.is_valid(resource)
        return "entity"
    if mapped.activity is None:
        return "nothing"
    activity = activity_from(orjson.loads(orjson.dumps(activity_to(mapped.activity), default=str)))
    for person in (None, Entity("cht", "person", "p", "1", {"birth_date": "2024-03", "sex": "female"}, "", "")):
        facts = people.complete(activity, person)
        counted = counter.contributions(activity, facts, lambda level: f"unit-{level}")
        assert counted == counter.contributions(
            mapped.activity, people.complete(mapped.activity, person), lambda level: f"unit-{level}"
        )
        for resource in builder.activity_resources(activity, facts, person_known=person is not None):
            r4.is_valid(resource)
        builder.group_of(activity, facts)
        if activity.referral is not None and person is not None:
            builder.referral_payload(activity, facts, person)
    return "flagged" if mapped.flags else "mapped"


@scale(200, 5000)
@given(records())
def test_any_record_is_mapped_or_refused(record: Record) -> None:
    began = time.process_time()
    event(through(record))
    took = time.process_time() - began
    target(took)
    assert took < SECONDS


def monsters() -> Mapping[str, Any]:
    return {
        "a megabyte of text": "a" * 1_000_000,
        "a megabyte of blanks and an end": " " * 1_000_000 + "x",
        "a number of a hundred thousand digits": "9" * 100_000,
        "twenty thousand items": ["yes"] * 20_000,
        "items with everything": [{"objet": "sante", "motif": "x" * 100, "montant_xof": "1"}] * 2_000,
        "three thousand names": {f"n{n}": n for n in range(3_000)},
        "nested lists": deep(240, "list"),
        "nested names": deep(240, "dict"),
    }


@pytest.mark.skipif(not FULL, reason="make properties")
@pytest.mark.parametrize("name", monsters())
def test_no_record_takes_much_time_or_memory(name: str) -> None:
    monster = monsters()[name]
    for source, form in sorted(house()[0].forms):
        body: dict[str, Any] = {}
        for path in places((source, form)):
            put(body, path, monster)
        for whole in (body, {**body, "fields": {**body.get("fields", {}), "visit_date": "2026-08-10"}}):
            record = Record(source, "stream", "key", "1", form, whole)
            tracemalloc.start()
            began = time.process_time()
            through(record)
            took, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < BYTES * len(places((source, form))), (source, form, peak)  # a monster in each place
            assert took < SECONDS * 5, (source, form, took)  # tracing is slow
