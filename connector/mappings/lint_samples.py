"""The silent typo: paths, answers and places of a form held against its sample records, the examples beside it.

JSONata takes a path that leads nowhere for a question that was not asked, so a slip of the keyboard loses a fact of
every record without a word. What no sample record has is reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from connector.findings import Pair, nearest
from connector.mappings.expressions import Compiled, ExpressionError, compile_expression
from connector.mappings.fact_functions import day_of, zone_of
from connector.mappings.lint_examples import beside
from connector.mappings.linting import Checking, placed_rules
from connector.mappings.pack import FactRule, FormMapping, Place
from connector.mappings.shapes import Expression
from connector.mappings.where import Step
from connector.mappings.yaml_nodes import Map, Scalar, Seq, plain

#: A word that an answer is compared with: x = 'word', x in ['word'], $chosen(x, 'word').
_ASKED = re.compile(r"(?:=\s*|\[\s*|,\s*)['\"]([\w.-]+)['\"](?=\s*(?:$|[\])?,]|and\b|or\b))")
#: The flag an example expects where an answer is meant to be in no table.
_MEANT = "code.unknown"


@dataclass(frozen=True, slots=True)
class Sample:
    """One example record. ``meant``: facts whose answer the example expects in no table."""

    record: Mapping[str, Any]
    at: Place
    form: str
    meant: frozenset[str]


def check(one: Checking) -> None:
    for form in one.forms():
        samples = list(samples_of(one, form))
        if samples:
            _Form(one, form, samples).check()


def samples_of(one: Checking, form: FormMapping) -> Iterator[Sample]:
    """The records of the examples beside a form."""
    listed = one.where.node(beside(form.file), "examples")
    for item in listed.items if isinstance(listed, Seq) else ():
        record = item.entries.get("record") if isinstance(item, Map) else None
        if not isinstance(record, Map):
            continue
        named = item.entries.get("form")
        expect = item.entries.get("expect")
        flags = expect.entries.get("flags") if isinstance(expect, Map) else None
        words = [plain(word) for word in flags.items] if isinstance(flags, Seq) else []
        meant = frozenset(str(word).partition(" ")[2] for word in words if str(word).startswith(_MEANT))
        yield Sample(plain(record), record.at, named.text if isinstance(named, Scalar) else "", meant)


class _Form:
    def __init__(self, one: Checking, form: FormMapping, samples: list[Sample]) -> None:
        self.one, self.form, self.samples = one, form, samples
        self.answers: frozenset[str] | None = None
        self.documents: dict[tuple[Step, ...], list[Any]] = {(): [sample.record for sample in samples]}

    def check(self) -> None:
        for steps, node, shape in self.one.where.scalars(self.form.file):
            if isinstance(shape, Expression) and not node.empty:
                compiled = self._compiled(node.text)
                if compiled is not None:
                    for path in _leaves(compiled.reads()[0]):
                        self._path(steps, node, path)
                    self._constants(node)
        for steps, rule in placed_rules(self.form):
            self._options(steps, rule)
        self._places()

    def _compiled(self, text: str) -> Compiled | None:
        try:
            return compile_expression(text, zone=self.one.pack.zone)
        except ExpressionError:
            return None

    def _documents(self, steps: tuple[Step, ...]) -> list[Any]:
        """What the expressions below these steps look at: the records, or the items of the list they stand under."""
        if "items" not in steps:
            return self.documents[()]
        last = len(steps) - 1 - steps[::-1].index("items")
        above = steps[:last]
        if above not in self.documents:
            node = self.one.where.node(self.form.file, *above, "each")
            compiled = self._compiled(node.text) if isinstance(node, Scalar) else None
            self.documents[above] = [] if compiled is None else list(self._items(compiled, self._documents(above)))
        return self.documents[above]

    @staticmethod
    def _items(compiled: Compiled, documents: list[Any]) -> Iterator[Any]:
        for document in documents:
            if isinstance(document, Mapping):
                try:
                    value = compiled.evaluate(document)
                except ExpressionError:
                    continue
                yield from value if isinstance(value, list) else [value]

    def _path(self, steps: tuple[Step, ...], node: Scalar, path: tuple[str, ...]) -> None:
        documents = self._documents(steps)
        if any(_has(document, path) for document in documents):
            return
        reached = next(
            length
            for length in range(len(path) - 1, -1, -1)
            if any(_has(one, path[:length]) for one in [*documents, {}])
        )
        there = sorted({key for document in documents for key in _keys(document, path[:reached])})
        near: Pair = nearest(path[reached], there)
        if not near[1].startswith("Did"):
            near = ("", "")
        self.one.add("path.unseen", _name_at(node, path, reached), path=".".join(path), nearest=near)

    # ------------------------------------------------------------ answers

    def _constants(self, node: Scalar) -> None:
        """Answers an expression compares with that no sample record and no table of the form has."""
        for match in _ASKED.finditer(node.text):
            if match[1] not in self._answers():
                near: Pair = nearest(match[1], sorted(self._answers()))
                if not near[1].startswith("Did"):
                    near = ("", "")
                self.one.add("answer.unseen", node.inside(match.start(1)), value=match[1], nearest=near)

    def _answers(self) -> frozenset[str]:
        if self.answers is None:
            found = {word for sample in self.samples for word in _words(sample.record)}
            found.update(answer for _, rule in placed_rules(self.form) for answer in rule.codes or ())
            self.answers = frozenset(found)
        return self.answers

    def _options(self, steps: tuple[Step, ...], rule: FactRule) -> None:
        """Answers of the sample records that the fact's table does not have."""
        if rule.codes is None or rule.expression is None:
            return
        told: set[str] = set()
        owners = self.documents[()]
        documents = self._documents(steps)
        for index, document in enumerate(documents):
            sample = self.samples[index] if documents is owners else None
            meant = {name for one in ([sample] if sample else self.samples) for name in one.meant}
            if not isinstance(document, Mapping) or rule.name in {name.rpartition(".")[2] for name in meant}:
                continue
            try:
                value = rule.expression(document)
            except ExpressionError:
                continue
            for answer in value if isinstance(value, list) else [value]:
                text = ("true" if answer else "false") if isinstance(answer, bool) else str(answer)
                if answer is not None and answer != "" and text not in rule.codes and text not in told:
                    told.add(text)
                    at = sample.at if sample else self.samples[0].at
                    place = self.one.where.value(self.form.file, *steps, "codes")
                    self.one.add(
                        "option.unmapped", place, what=rule.name, value=text, file=at.file, line=at.line
                    )  # fmt: skip

    # ------------------------------------------------------------ places

    def _places(self) -> None:
        """Places of the sample records that are no org unit on their day. The app's own chain of parents may still
        lead to one, so the registry's forms are left alone."""
        pack, form = self.one.pack, self.form
        rows = [row for row in pack.org_units if row.source in (form.source, "*")]
        if form.activity is None or form.place is None or form.place.expression is None or not rows:
            return
        known = sorted({row.place for row in rows if row.place})
        told: set[str] = set()
        for sample in self.samples:
            place = _evaluated(form.place, sample.record)
            if not isinstance(place, str) or not place or place in told:
                continue
            day = self._day(sample)
            here = [row for row in rows if row.place == place]
            valid = [row for row in here if day is None or (row.valid_from <= day <= (row.valid_to or date.max))]
            if valid:
                continue
            told.add(place)
            when: Pair = (f" le {day}", f" on {day}") if here else ("", "")
            at = _value_at(self.one, beside(form.file), sample, place)
            self.one.add(
                "place.unmapped", at, source=form.source, place=place, when=when, nearest=nearest(place, known)
            )  # fmt: skip

    def _day(self, sample: Sample) -> date | None:
        try:
            return day_of(_evaluated(self.form.date, sample.record), zone_of(self.one.pack.zone))
        except ValueError:
            return None


def _evaluated(rule: FactRule | None, record: Mapping[str, Any]) -> Any:
    if rule is None or rule.expression is None:
        return None
    try:
        return rule.expression(record)
    except ExpressionError:
        return None


def _value_at(one: Checking, file: str, sample: Sample, text: str) -> Place:
    """Where a value stands in a sample record."""

    def walk(node: Any) -> Iterator[Place]:
        if isinstance(node, Scalar):
            if node.text == text:
                yield node.at
        elif isinstance(node, Map):
            for value in node.entries.values():
                yield from walk(value)
        elif isinstance(node, Seq):
            for value in node.items:
                yield from walk(value)

    listed = one.where.node(file, "examples")
    for item in listed.items if isinstance(listed, Seq) else ():
        record = item.entries.get("record") if isinstance(item, Map) else None
        if isinstance(record, Map) and record.at == sample.at:
            return next(walk(record), sample.at)
    return sample.at


def _words(document: Any) -> Iterator[str]:
    """Every answer of a record: a text, and each of its words, as several answers are written."""
    if isinstance(document, Mapping):
        for value in document.values():
            yield from _words(value)
    elif isinstance(document, list):
        for value in document:
            yield from _words(value)
    elif document is not None:
        text = ("true" if document else "false") if isinstance(document, bool) else str(document)
        yield from (text, *text.split())


# ---------------------------------------------------------------- paths


def _leaves(tree: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, below in tree.items():
        if isinstance(below, Mapping) and below:
            yield from _leaves(below, (*above, name))
        else:
            yield (*above, name)


def _has(document: Any, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    if isinstance(document, list):
        return any(_has(item, path) for item in document)
    return isinstance(document, Mapping) and path[0] in document and _has(document[path[0]], path[1:])


def _keys(document: Any, path: tuple[str, ...]) -> Iterator[str]:
    """The keys there are at the end of a path."""
    if isinstance(document, list):
        for item in document:
            yield from _keys(item, path)
    elif isinstance(document, Mapping):
        if not path:
            yield from document
        elif path[0] in document:
            yield from _keys(document[path[0]], path[1:])


def _name_at(node: Scalar, path: tuple[str, ...], index: int) -> Place:
    """Where the name of a path stands in the expression: after those before it, if they are written so."""
    name = re.escape(path[index])
    before = r"\s*\.\s*".join(f"`?{re.escape(one)}`?" for one in path[:index])
    for pattern in (rf"(?<![\w.$`]){before}\s*\.\s*`?({name})(?!\w)" if before else "", rf"(?<![\w$]){name}(?!\w)"):
        found = re.search(pattern, node.text) if pattern else None
        if found:
            return node.inside(found.start(1) if found.re.groups else found.start())
    return node.at
