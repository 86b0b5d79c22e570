"""What indicators say of activities, facts, categories and data sets, and what they are called in DHIS2."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations, product

from connector.findings import Pair, nearest, of
from connector.mappings.linting import (
    HOUSEHOLD_FACTS,
    PERSON_FACTS,
    Checking,
    names_read,
    predicates,
    predicates_of,
    together,
)
from connector.mappings.pack import Indicator, Place
from connector.mappings.shapes import Expression
from connector.mappings.where import Step
from connector.mappings.yaml_nodes import Scalar

#: Longest code DHIS2 keeps of an object (the ``code`` property of its metadata).
LONGEST_CODE = 50
_NUMBERS = ("integer", "decimal")
#: part -> the key it is written under
_KEYS = {"num": "numerator", "den": "denominator"}


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
    told: set[tuple[str, tuple[str, ...]]] = set()
    for part in sorted(indicator.parts):  # the denominator first: a numerator repeats its names
        _Part(one, indicator, part, told).check(written)


class _Part:
    """One part of an indicator being checked. ``told``: names already looked at, with the kinds they were looked for
    in."""

    def __init__(self, one: Checking, indicator: Indicator, part: str, told: set[tuple[str, tuple[str, ...]]]) -> None:
        self.one, self.indicator, self.part, self.told = one, indicator, part, told
        self.rule = indicator.rules[part]
        self.kinds = tuple(self.rule.counts)
        self.facts: set[str] = set().union(*(one.produced.get(kind, frozenset()) for kind in self.kinds))

    def place(self, key: str, *more: Step) -> Place:
        """Where a key of the part stands: with the part when it is written out, else with the indicator."""
        file, *steps = self.one.where.indicator(self.indicator.id)
        own = (*steps, _KEYS.get(self.part, ""))
        above = own if self.one.where.node(file, *own, key) is not None else tuple(steps)
        return self.one.where.value(file, *above, key, *more)

    def first_time(self, name: str) -> bool:
        new = (name, self.kinds) not in self.told
        self.told.add((name, self.kinds))
        return new

    def check(self, written: Sequence[Scalar]) -> None:
        one, pack, name = self.one, self.one.pack, self.indicator.id
        known = {*pack.activities, *pack.episodes, *pack.registers}
        for kind in self.kinds if self.first_time("counts") else ():
            if kind not in known:
                near = nearest(kind, known)
                one.add("activity.unknown", self.place("counts", kind), what=of(name), name=kind, nearest=near)
            elif kind not in one.produced:
                one.add("activity.never_produced", self.place("counts", kind), name=name, activity=kind)
        each = self.rule.each
        if each is not None and each not in self.facts and self.first_time(f"each {each}"):
            _never(one, self.place("each"), name, each, self.facts)
        for predicate in predicates_of(self.indicator, self.part):
            for fact in sorted(names_read(predicate.evaluate, predicate.source)):
                if self.first_time(fact):
                    at = next((found for node in written if (found := name_at(node, fact)) is not None), None)
                    _known_fact(one, self.indicator, fact, self.facts, at or self.place("id"))
        if self.rule.period is not None and self.first_time(self.rule.period):
            _known_fact(one, self.indicator, self.rule.period, self.facts, self.place("period"))
        if self.rule.distinct == "household" and self.first_time("household"):
            _known_fact(one, self.indicator, "household", self.facts, self.place("distinct"))
        if self.first_time(f"by {self.rule.by}"):
            self.by()

    def by(self) -> None:
        one, pack, name = self.one, self.one.pack, self.indicator.id
        for by in self.rule.by:
            category = pack.categories.get(by)
            if category is None:
                near = nearest(by, pack.categories)
                one.add("category.unknown", self.place("by", by), what=of(name), name=by, nearest=near)
                continue
            why: Pair = (f" (catégorie {by})", f" (category {by})")
            for fact in dict.fromkeys((category.fact, *category.band_facts.values())):
                _known_fact(one, self.indicator, fact, self.facts, self.place("by", by), why)
        chosen = [pack.categories[by] for by in self.rule.by if by in pack.categories]
        for first, second in combinations(chosen, 2):
            if first.code == second.code:
                one.add(
                    "combo.category_twice", self.place("by"), name=name, one=first.id, other=second.id, code=first.code
                )  # fmt: skip
        options = [category.options.values() for category in chosen]
        longest = "-".join(max(codes, key=len) for codes in options if codes)
        if len(longest) > LONGEST_CODE:
            one.add("combo.too_long", self.place("by"), name=name, code=longest, length=len(longest))


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
    if name not in pack.concepts and name not in (*PERSON_FACTS, *HOUSEHOLD_FACTS) and name not in facts:
        near = nearest(name, [*pack.concepts, *pack.derived, *PERSON_FACTS])
        one.add("fact.unknown", place, what=of(indicator.id), name=name, where=where, nearest=near)
    elif name not in facts:
        _never(one, place, indicator.id, name, facts, where)


def _never(one: Checking, place: Place, indicator: str, fact: str, facts: set[str], where: Pair = ("", "")) -> None:
    near: Pair = nearest(fact, sorted(facts & {*one.pack.concepts, *one.pack.derived}))  # no slip of another place
    if not near[1].startswith("Did"):
        near = ("Donnez-le dans un formulaire, ou comptez autre chose.", "Give it in a form, or count something else.")
    one.add("fact.never_produced", place, name=indicator, fact=fact, where=where, nearest=near)


def _combos(one: Checking) -> None:
    """A code of a category option combination stands for one combination of the whole server."""
    owner: dict[str, tuple[tuple[str, ...], str]] = {}
    for indicator in one.pack.indicators.values():
        for by in dict.fromkeys(tuple(rule.by) for rule in indicator.rules.values()):
            _combos_of(one, indicator, by, owner)
        _amounts(one, indicator)


def _combos_of(
    one: Checking, indicator: Indicator, by: tuple[str, ...], owner: dict[str, tuple[tuple[str, ...], str]]
) -> None:
    chosen = [one.pack.categories[name] for name in by if name in one.pack.categories]
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


def _amounts(one: Checking, indicator: Indicator) -> None:
    """A sum of what is no number."""
    file, *steps = one.where.indicator(indicator.id)
    ways = [("amount",), *(way for key in _KEYS.values() for way in (("amount", key), (key, "amount")))]
    for key in ways:
        node = one.where.node(file, *steps, *key)
        if isinstance(node, Scalar):
            concept = one.pack.concepts.get(node.text)
            if concept is not None and concept.kind not in _NUMBERS:
                one.add("amount.not_number", node.at, name=indicator.id, fact=concept.id, kind=concept.kind)


def _derived(one: Checking) -> None:
    """A derived fact may look at facts, ages and the derived facts above it."""
    pack, file = one.pack, "activities.yaml"
    known = {*pack.concepts, *PERSON_FACTS, *HOUSEHOLD_FACTS}
    read: set[str] = set().union(*(names_read(each.evaluate, each.source) for each in together(pack)))
    for name, predicate in pack.derived.items():
        node = one.where.node(file, "derived", name)
        names = names_read(predicate.evaluate, predicate.source)
        read |= names
        for unknown in sorted(names - known):
            place = name_at(node, unknown) if isinstance(node, Scalar) else None
            place = place or one.where.value(file, "derived", name)
            near = nearest(unknown, known)
            one.add("fact.unknown", place, what=of(name), name=unknown, where=("", ""), nearest=near)
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
