"""What indicators say of activities, facts, categories and data sets, and what they are called in DHIS2."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations, product

from connector.findings import Pair, nearest
from connector.mappings.linting import PERSON_FACTS, Checking, names_read, predicates
from connector.mappings.pack import Indicator, Place
from connector.mappings.shapes import Expression
from connector.mappings.where import Step
from connector.mappings.yaml_nodes import Scalar

#: Longest code DHIS2 keeps of an object (the ``code`` property of its metadata).
LONGEST_CODE = 50
_NUMBERS = ("integer", "decimal")


def check(one: Checking) -> None:
    written = _written(one)
    for indicator in one.pack.indicators.values():
        _indicator(one, indicator, written.get(indicator.id, []))
    _derived(one)
    _elements(one)
    _combos(one)


def _indicator(one: Checking, indicator: Indicator, written: Sequence[Scalar]) -> None:
    pack, where = one.pack, one.where
    file, *steps = where.indicator(indicator.id)
    data_set = pack.data_sets.get(indicator.data_set)
    if data_set is None:
        place = where.value(file, *steps, "data_set")
        if where.node(file, *steps, "data_set") is None and where.node(file, "data_set") is not None:
            place = where.value(file, "data_set")
        near = nearest(indicator.data_set, pack.data_sets)
        one.add("data_set.unknown", place, indicator=indicator.id, name=indicator.data_set, nearest=near)
    elif indicator.periodicity is not None and indicator.periodicity != data_set.period_type:
        one.add(
            "period.differs", where.value(file, *steps, "periodicity"), name=indicator.id, period=indicator.periodicity,
            data_set=data_set.id, there=data_set.period_type,
        )  # fmt: skip
    facts: set[str] = set()
    for kind in indicator.counts:
        place = where.value(file, *steps, "counts", kind)
        if kind not in pack.activities:
            near = nearest(kind, pack.activities)
            one.add("activity.unknown", place, what=f"{indicator.id}: ", name=kind, nearest=near)
        elif kind not in one.produced:
            one.add("activity.never_produced", place, name=indicator.id, activity=kind)
        facts |= one.produced.get(kind, frozenset())
    if indicator.each is not None and indicator.each not in facts:
        place = where.value(file, *steps, "each")
        _never(one, place, indicator.id, indicator.each, facts)
    _facts(one, indicator, written, one.where.value(file, *steps, "id"), facts)
    _by(one, indicator, file, tuple(steps), facts)
    _amounts(one, indicator, file, tuple(steps))


def _facts(one: Checking, indicator: Indicator, written: Sequence[Scalar], at: Place, facts: set[str]) -> None:
    told: set[str] = set()
    for predicate in predicates(indicator):
        for name in sorted(names_read(predicate.evaluate, predicate.source) - told):
            told.add(name)
            place = next((found for node in written if (found := name_at(node, name)) is not None), at)
            _known_fact(one, indicator, name, facts, place)


def _written(one: Checking) -> dict[str, list[Scalar]]:
    """The expressions of each indicator, as they stand in its file."""
    found: dict[str, list[Scalar]] = {}
    for file in one.where.files("indicators"):
        for steps, node, shape in one.where.scalars(file):
            if isinstance(shape, Expression):
                name = one.where.node(file, *steps[:2], "id")
                if isinstance(name, Scalar):
                    found.setdefault(name.text, []).append(node)
    return found


def name_at(node: Scalar, name: str) -> Place | None:
    """Where a name stands in an expression."""
    found = re.search(rf"(?<![\w.$'\"`])`?{re.escape(name)}`?(?![\w(])", node.text)
    return node.inside(found.start()) if found else None


def _known_fact(
    one: Checking, indicator: Indicator, name: str, facts: set[str], place: Place, where: Pair = ("", "")
) -> None:
    pack = one.pack
    if name in pack.derived:
        return
    if name not in pack.concepts and name not in PERSON_FACTS:
        near = nearest(name, [*pack.concepts, *pack.derived, *PERSON_FACTS])
        one.add("fact.unknown", place, what=f"{indicator.id}: ", name=name, where=where, nearest=near)
    elif name not in facts:
        _never(one, place, indicator.id, name, facts, where)


def _never(one: Checking, place: Place, indicator: str, fact: str, facts: set[str], where: Pair = ("", "")) -> None:
    near: Pair = nearest(fact, sorted(facts))
    if not near[1].startswith("Did"):
        near = ("Donnez-le dans un formulaire, ou comptez autre chose.", "Give it in a form, or count something else.")
    one.add("fact.never_produced", place, name=indicator, fact=fact, where=where, nearest=near)


def _by(one: Checking, indicator: Indicator, file: str, steps: tuple[Step, ...], facts: set[str]) -> None:
    pack = one.pack
    for name in indicator.by:
        place = one.where.value(file, *steps, "by", name)
        category = pack.categories.get(name)
        if category is None:
            near = nearest(name, pack.categories)
            one.add("category.unknown", place, what=f"{indicator.id}: ", name=name, nearest=near)
            continue
        why: Pair = (f" (catégorie {name})", f" (category {name})")
        for fact in dict.fromkeys((category.fact, *category.band_facts.values())):
            _known_fact(one, indicator, fact, facts, place, why)
    chosen = [pack.categories[name] for name in indicator.by if name in pack.categories]
    for first, second in combinations(chosen, 2):
        if first.code == second.code:
            place = one.where.value(file, *steps, "by")
            one.add("combo.category_twice", place, name=indicator.id, one=first.id, other=second.id, code=first.code)
    options = [category.options.values() for category in chosen]
    longest = "-".join(max(codes, key=len) for codes in options if codes)
    if len(longest) > LONGEST_CODE:
        place = one.where.value(file, *steps, "by")
        one.add("combo.too_long", place, name=indicator.id, code=longest, length=len(longest))


def _combos(one: Checking) -> None:
    """A code of a category option combination stands for one combination of the whole server."""
    owner: dict[str, tuple[tuple[str, ...], str]] = {}
    for indicator in one.pack.indicators.values():
        chosen = [one.pack.categories[name] for name in indicator.by if name in one.pack.categories]
        categories = tuple(category.code for category in chosen)
        for options in product(*(category.options.values() for category in chosen)) if chosen else ():
            code = "-".join(options)
            there, other = owner.setdefault(code, (categories, indicator.id))
            if there != categories:
                file, *steps = one.where.indicator(indicator.id)
                place = one.where.value(file, *steps, "by")
                one.add(
                    "combo.twice", place, name=indicator.id, code=code, other=other, categories=", ".join(there)
                )  # fmt: skip
                break


def _amounts(one: Checking, indicator: Indicator, file: str, steps: tuple[Step, ...]) -> None:
    """A sum of what is no number."""
    for key in (("amount",), ("amount", "numerator"), ("amount", "denominator")):
        node = one.where.node(file, *steps, *key)
        if isinstance(node, Scalar):
            concept = one.pack.concepts.get(node.text)
            if concept is not None and concept.kind not in _NUMBERS:
                one.add("amount.not_number", node.at, name=indicator.id, fact=concept.id, kind=concept.kind)


def _derived(one: Checking) -> None:
    """A derived fact may look at facts, ages and the derived facts above it."""
    pack, file = one.pack, "activities.yaml"
    known = {*pack.concepts, *PERSON_FACTS}
    read: set[str] = set()
    for name, predicate in pack.derived.items():
        node = one.where.node(file, "derived", name)
        names = names_read(predicate.evaluate, predicate.source)
        read |= names
        for unknown in sorted(names - known):
            place = name_at(node, unknown) if isinstance(node, Scalar) else None
            place = place or one.where.value(file, "derived", name)
            near = nearest(unknown, known)
            one.add("fact.unknown", place, what=f"{name}: ", name=unknown, where=("", ""), nearest=near)
        if name in pack.concepts:
            first = one.where.value("concepts.yaml", "concepts", name)
            one.add("id.twice", one.where.key(file, "derived", name), name=name, first=first.file, line=first.line)
        known.add(name)
    for indicator in pack.indicators.values():
        for predicate in predicates(indicator):
            read |= names_read(predicate.evaluate, predicate.source)
    for category in pack.categories.values():
        read.add(category.fact)
    for name in pack.derived:
        if name not in read:
            one.add("unused.derived", one.where.key(file, "derived", name), name=name)


def _elements(one: Checking) -> None:
    owner: dict[str, str] = {}
    for indicator in one.pack.indicators.values():
        file, *steps = one.where.indicator(indicator.id)
        for code in indicator.elements.values():
            place = _named_at(one, code) or one.where.value(file, *steps, "id")
            if code in owner:
                one.add("element.twice", place, name=indicator.id, element=code, other=owner[code])
            elif len(code) > LONGEST_CODE:
                one.add("element.too_long", place, name=indicator.id, code=code, length=len(code))
            owner[code] = indicator.id
    exceptions = one.where.node("dhis2.yaml", "data_elements", "exceptions")
    names = _names(one)
    for name in getattr(exceptions, "entries", {}):
        if name not in names:
            place = one.where.key("dhis2.yaml", "data_elements", "exceptions", name)
            one.add("element.exception", place, name=name, nearest=nearest(name, names))


def _named_at(one: Checking, code: str) -> Place | None:
    """The exception that gives this code."""
    exceptions = one.where.node("dhis2.yaml", "data_elements", "exceptions")
    entries: Mapping[str, Scalar] = getattr(exceptions, "entries", {})
    return next((node.at for node in entries.values() if isinstance(node, Scalar) and node.text == code), None)


def _names(one: Checking) -> list[str]:
    """What data elements are called before prefix and exceptions: B01_NUM."""
    head = one.where.node("dhis2.yaml", "data_elements")
    entries: Mapping[str, Scalar] = getattr(head, "entries", {})

    def suffix(key: str, default: str) -> str:
        node = entries.get(key)
        return node.text if isinstance(node, Scalar) else default

    ends = {"num": suffix("numerator", "_NUM"), "den": suffix("denominator", "_DEN")}
    return [indicator.id + ends.get(part, "") for indicator, part in _parts(one.pack.indicators)]


def _parts(indicators: Mapping[str, Indicator]) -> list[tuple[Indicator, str]]:
    return [pair for indicator in indicators.values() for pair in product([indicator], indicator.parts)]
