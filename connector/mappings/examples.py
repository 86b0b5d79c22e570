"""The examples that stand beside the mappings (``*.test.yaml``): run, compared, and what they leave untried.

Every expression an example touches is evaluated by both expression engines, which must agree.

Three kinds of file, all a list under ``examples``:

- beside a form: ``record`` (the document), optionally ``person``, and ``expect``: activity, date, place, worker,
  subject, facts, absent, flags, referral, entity, error, counts, and of what leaves for the servers ``resources`` and
  ``cells``: lines that must be among those of ``example_lines`` (a line may be left out, none may be wrong). Then
  ``then``, a list of what happens next to the same record: ``record`` as corrected, or ``deleted: true``, and in its
  ``expect`` ``changes``, figures with their difference (lines may be left out; the empty list: none), and ``error``;
- beside indicators: ``activity`` and ``facts`` (with ``age_months`` or a ``person``), and ``expect``: indicator ->
  list of ``part combo [amount]``, the empty list for "does not count";
- ``categories.test.yaml``: ``category``, ``facts``, ``option``;
- ``episodes.test.yaml``: ``episode``, ``records`` (activity, date, facts, and id, subject where they matter) and
  ``expect``, a list of episodes in the order of their day: date, facts, absent, counts;
- ``registers.test.yaml``: ``register``, ``period``, ``data`` (what the registry says), ``records`` (how many) and
  ``members``, and ``expect`` as beside indicators.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from connector.errors import MappingError
from connector.identity import Names
from connector.mappings import people
from connector.mappings.episodes import Episode, Episodes, Member
from connector.mappings.example_changes import adds, changes
from connector.mappings.example_lines import cell_lines, resource_lines
from connector.mappings.expressions import Compiled, ExpressionError, compile_expression, engine_only, second_engine
from connector.mappings.fhir import FhirBuilder
from connector.mappings.forms import Mapper
from connector.mappings.indicators import Counter, element_and_combo
from connector.mappings.pack import UNKNOWN, FactRule, FormMapping, Pack, Place
from connector.mappings.pack_shapes import CATEGORY_TEST, FORM_TEST, kind_of
from connector.mappings.registers import Line, Registers
from connector.mappings.sections import Section, read_section
from connector.mappings.yaml_nodes import Findings, plain
from connector.model import SEEN, Activity, Contribution, Entity, Mapped, Record, Referral

_DAY = date(2026, 7, 15)


@dataclass(frozen=True, slots=True)
class Failure:
    """One example that did not come out as it says."""

    file: str
    line: int
    example: str
    difference: str
    what: str = ""  #: the fact, indicator or key that differs; empty where it is no comparison
    wanted: Any = None
    found: Any = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.example}: {self.difference}"


@dataclass(frozen=True, slots=True)
class Correction:
    """What an example should expect for it to pass: ``value`` in the place of its ``key`` (expect or option)."""

    file: str
    line: int
    example: str
    key: str
    value: Any


@dataclass(slots=True)
class Results:
    """What the examples said. ``unexercised``: facts, indicator parts and options that no example reaches."""

    passed: int = 0
    failures: list[Failure] = field(default_factory=list)
    failed_examples: set[tuple[str, int]] = field(default_factory=set)
    unexercised: list[str] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return len(self.failed_examples)

    def fail(
        self, at: Place, example: str, difference: str, what: str = "", wanted: Any = None, found: Any = None
    ) -> None:
        self.failed_examples.add((at.file, at.line))
        self.failures.append(Failure(at.file, at.line, example, difference, what, wanted, found))

    def document(self) -> dict[str, Any]:
        """As ``relais test --json`` prints it."""
        return {
            "passed": self.passed,
            "failed": self.failed,
            "unexercised": self.unexercised,
            "failures": [str(one) for one in self.failures],
            "differences": [
                {
                    "file": one.file,
                    "line": one.line,
                    "example": one.example,
                    "what": one.what,
                    "wanted": one.wanted,
                    "found": one.found,
                }
                for one in self.failures
                if one.what
            ],
        }


def run_examples(pack: Pack, *, first: bool = False) -> Results:
    """Run every ``*.test.yaml`` of the pack; ``first``: only up to the first file with a failure."""
    return _Runner(pack).run(first)


def records_of(pack: Pack, form: FormMapping) -> list[tuple[str, dict[str, Any]]]:
    """The records of the examples beside a form, by name."""
    name = form.file.replace(".yaml", ".test.yaml")
    top = read_section(pack.folder, name, Findings(), FORM_TEST)
    forms = [one for one in pack.forms.values() if one.file == form.file]
    found = []
    for entry in top.sections("examples"):
        chosen = _named(forms, entry.text("form"))
        node = entry.node("record")
        body = plain(node) if node is not None else None
        if chosen is not None and chosen.name == form.name and isinstance(body, dict):
            found.append((entry.text("name") or entry.what, body))
    return found


class _Runner:
    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.mapper = Mapper(pack)
        self.counter = Counter(pack)
        self.builder = FhirBuilder(pack, Names(pack.id))
        self.episodes, self.registers = Episodes(pack, self.counter), Registers(pack, self.counter)
        self.results = Results()
        self.seen: set[str] = set()
        self.seen_codes: set[tuple[int, str]] = set()  #: table and row
        self.corrected: Any = None  #: what the example at hand should expect; None: that cannot be said
        self._seconds: dict[str, tuple[Compiled, Callable[[Mapping[str, Any]], Any]]] = {}

    def run(self, first: bool = False) -> Results:
        for path in sorted(self.pack.folder.rglob("*.test.yaml")):
            if not (first and self.results.failures):
                self._file(path)
        self.results.unexercised = sorted({*self._everything()} - self.seen | {*self._untried_codes()})
        return self.results

    def _file(self, path: Path) -> None:
        name = path.relative_to(self.pack.folder).as_posix()
        findings = Findings()
        kind = kind_of(name)
        top = read_section(self.pack.folder, name, findings, kind.shape if kind else CATEGORY_TEST)
        target = name.replace(".test.yaml", ".yaml")
        forms = [form for form in self.pack.forms.values() if form.file == target]
        for entry in top.sections("examples"):
            label = entry.text("name") or entry.what
            before = len(self.results.failures)
            self.corrected = None
            try:
                if name.startswith("forms/"):
                    self._form_example(entry, label, forms)
                    self._then(entry, label, forms)
                elif "episode" in entry:
                    self._episode_example(entry, label)
                elif "register" in entry:
                    self._register_example(entry, label)
                elif "category" in entry:
                    self._category_example(entry, label)
                else:
                    self._indicator_example(entry, label)
            except (KeyError, ValueError, TypeError) as error:
                self.results.fail(entry.at, label, f"the example cannot be run: {error}")
            if len(self.results.failures) == before:
                self.results.passed += 1
            elif self.corrected is not None:
                key = "option" if "category" in entry else "expect"
                self.results.corrections.append(Correction(name, entry.at.line, label, key, self.corrected))
        for finding in findings.items:
            self.results.fail(Place(finding.file, finding.line), "file", finding.message)

    # ------------------------------------------------------------ forms

    def _form_example(self, entry: Section, label: str, forms: Sequence[FormMapping]) -> None:
        body = _data(entry, "record")
        form = _named(forms, entry.text("form"))
        person = _data(entry, "person")
        expect = _data(entry, "expect")
        at = entry.at
        if form is None:
            self.results.fail(at, label, "there is no form mapping of this name beside it")
            return
        record = Record(form.source, form.name, entry.text("key") or "example", "1", form.name, body)
        try:
            mapped = self.mapper.apply(record)
        except MappingError as error:
            self._same(at, label, "error", error.code, expect.get("error"))
            self.corrected = {"error": error.code}
            return
        if "error" in expect:
            self.results.fail(at, label, f"expected the error {expect['error']}, and it was mapped", "error",
                              expect["error"], "it was mapped")  # fmt: skip
            self.corrected = {key: value for key, value in _document(mapped).items() if value not in (None, [])}
            return
        self.corrected = copy.deepcopy(expect)
        self._engines_agree(at, label, form, body)
        self._mapped(at, label, form, mapped, expect)
        if mapped.activity is not None:
            entity = Entity(form.source, "person", "example", "1", person) if person else None
            complete = people.complete(mapped.activity, entity)
            self._counts(
                at, label, mapped.activity, complete, expect.get("counts", {}), self.corrected.get("counts", {})
            )
            self._leaves(at, label, mapped.activity, complete, expect)

    def _then(self, entry: Section, label: str, forms: Sequence[FormMapping]) -> None:
        """What happens next to the same record: corrected, or deleted. Each change that is expected is made, none when
        none is expected."""
        form = _named(forms, entry.text("form"))
        steps = entry.sections("then")
        if form is None or not steps:
            return
        key, person = entry.text("key") or "example", _data(entry, "person")
        parts = (self.pack, self.mapper, self.counter, form, key)
        before, _ = adds(*parts, _data(entry, "record"), person)
        for number, step in enumerate(steps, 1):
            body = _data(step, "record")
            if step.flag("deleted") == bool(body):
                raise ValueError(f"then, step {number}: give the corrected record, or  deleted: true")
            after, error = adds(*parts, body, person) if body else ({}, "")
            if body:
                self._engines_agree(step.at, label, form, body)
            expect, found = _data(step, "expect"), changes(before, after)
            lines = expect.get("changes")
            wanted = sorted(" ".join(str(line).split()) for line in lines or [])
            if not set(wanted) <= set(found) or (lines == [] and found):
                self.results.fail(step.at, label, f"then {number}: expected {wanted}, found {found}", f"then {number}",
                                  wanted, found)  # fmt: skip
            if error != (expect.get("error") or ""):
                self._same(step.at, label, "error", error or None, expect.get("error"))
            before = after

    def _leaves(
        self, at: Place, label: str, activity: Activity, facts: Mapping[str, Any], expect: Mapping[str, Any]
    ) -> None:
        """What the servers are sent: each line that is expected is made."""
        if wanted := expect.get("resources"):
            made = self.builder.activity_resources(activity, facts, person_known=False)
            self._among(at, label, "resources", wanted, resource_lines(made))
        if wanted := expect.get("cells"):
            counted = self.counter.contributions(activity, facts, lambda level: level)
            self._among(at, label, "cells", wanted, cell_lines(self.pack, counted))

    def _among(self, at: Place, label: str, key: str, wanted: Sequence[Any], made: Sequence[str]) -> None:
        """Where a line is not made, the nearest that is stands for it."""
        lines = [" ".join(str(line).split()) for line in wanted]
        left = [line for line in made if line not in lines]
        for index, line in enumerate(lines):
            if line not in made:
                found = next(iter(difflib.get_close_matches(line, left, 1, 0.0)), "")
                left = [other for other in left if other != found]
                self.results.fail(at, label, f"{key}: expected {line}, found {found or 'nothing'}", key, line, found)
                self.corrected[key][index] = found
        if key in self.corrected:
            self.corrected[key] = [line for line in self.corrected[key] if line]

    def _mapped(self, at: Place, label: str, form: FormMapping, mapped: Mapped, expect: dict[str, Any]) -> None:
        found = _document(mapped)
        facts = found.pop("facts")
        self._mark(form, facts, mapped)
        for name, value in (expect.get("facts") or {}).items():
            if not self._same(at, label, name, facts.get(name), value):
                if name in facts:
                    self.corrected["facts"][name] = facts[name]
                else:
                    del self.corrected["facts"][name]
                    self.corrected.setdefault("absent", []).append(name)
        for name in expect.get("absent") or []:
            if name in facts:
                self.results.fail(
                    at, label, f"{name} should be absent and is {facts[name]!r}", name, "absent", facts[name]
                )
                self.corrected["absent"].remove(name)
                self.corrected.setdefault("facts", {})[name] = facts[name]
        for key, value in expect.items():
            if key in ("facts", "absent", "counts", "resources", "cells"):
                continue
            if key not in found:
                self.results.fail(
                    at,
                    label,
                    f"expect: {key} is not known; known: {', '.join(found)}, facts, absent, counts, resources, cells",
                )
            elif not self._same(at, label, key, found[key], value):
                self.corrected[key] = found[key]

    def _mark(self, form: FormMapping, facts: Mapping[str, Any], mapped: Mapped) -> None:
        self.seen.add(form.file)
        for name, value in facts.items():
            self.seen.add(f"{form.file}: {name}")
            for item in value if isinstance(value, list) else ():
                if isinstance(item, dict):
                    self.seen.update(f"{form.file}: {name}.{inner}" for inner in item)
        if mapped.activity is not None and mapped.activity.referral is not None:
            self.seen.add(f"{form.file}: referral")
            said = _referral(mapped.activity.referral) or {}
            self.seen.update(f"{form.file}: referral.{part}" for part, value in said.items() if value)

    def _engines_agree(self, at: Place, label: str, form: FormMapping, body: Mapping[str, Any]) -> None:
        heads = [one for one in (form.date, form.time, form.place, form.worker, form.subject, form.key) if one]
        for rule in [*heads, *form.facts, *(form.referral or {}).values()]:
            self._rule_agrees(at, label, rule, body)

    def _rule_agrees(self, at: Place, label: str, rule: FactRule, document: Mapping[str, Any]) -> None:
        self._mark_codes(rule, document)
        for row in rule.rows or ():
            for inner in row.values():
                self._rule_agrees(at, label, inner, document)
        if rule.expression is None:
            return
        for text in rule.source.split(" | "):
            self._agree(at, label, rule.name, text, document)
        if rule.items:
            items = rule.expression(document)
            for item in items if isinstance(items, list) else [items]:
                for inner in rule.items.values():
                    if isinstance(item, dict):
                        self._rule_agrees(at, label, inner, item)

    def _mark_codes(self, rule: FactRule, document: Mapping[str, Any]) -> None:
        """The rows of its table that the rule reads for this document."""
        if rule.codes is None or rule.expression is None:
            return
        try:
            value = rule.expression(document)
        except ExpressionError:
            return
        for one in value if isinstance(value, list) else [value]:
            key = ("true" if one else "false") if isinstance(one, bool) else str(one)
            self.seen_codes.add((id(rule.codes), key))

    def _agree(self, at: Place, label: str, name: str, text: str, document: Mapping[str, Any]) -> None:
        """The engine in use, the same without shortcuts, and the second engine give one answer."""
        if text not in self._seconds:
            zone = self.pack.zone
            self._seconds[text] = (engine_only(text, zone=zone), second_engine(text, zone=zone))
        first = compile_expression(text, zone=self.pack.zone)
        answers = [_answer(one, document) for one in (first, *self._seconds[text])]
        if any(answer != answers[0] for answer in answers):
            self.results.fail(at, label, f"{name}: the engines disagree on {text}")

    # ------------------------------------------------------------ indicators

    def _indicator_example(self, entry: Section, label: str) -> None:
        facts = _data(entry, "facts")
        person = _data(entry, "person")
        expect = _data(entry, "expect")
        activity = Activity(
            source="example", stream="example", key="example", revision="1", kind=entry.text("activity"),
            form="", mapping="", version="", date=date.fromisoformat(entry.text("date") or _DAY.isoformat()), at=None,
            place="example-place", worker="example-worker", subject="example-subject", facts=facts,
        )  # fmt: skip
        entity = Entity("example", "person", "example", "1", person) if person else None
        complete = people.complete(activity, entity)
        for name in ("age_days", "age_months", "age_years", "sex"):
            if name in facts:
                complete[name] = facts[name]
        self._scopes_agree(entry.at, label, complete)
        self.corrected = copy.deepcopy(expect)
        self._counts(entry.at, label, activity, complete, expect, self.corrected)

    def _scopes_agree(self, at: Place, label: str, facts: Mapping[str, Any]) -> None:
        scope = self.counter.facts(facts)
        for name, predicate in self.pack.derived.items():
            self._agree(at, label, name, predicate.source, scope)
        for indicator in self.pack.indicators.values():
            for part, predicate in indicator.parts.items():
                rule = indicator.rules[part]
                if rule.each is None:
                    for one in (predicate, rule.among, rule.amount):
                        if one is not None:
                            self._agree(at, label, indicator.id, one.source, scope)

    def _counts(
        self,
        at: Place,
        label: str,
        activity: Activity,
        facts: Mapping[str, Any],
        expect: Mapping[str, Any],
        corrected: dict[str, Any],
    ) -> None:
        contributions = self.counter.contributions(activity, facts, lambda level: "EXAMPLE")
        self._expected(at, label, contributions, expect, corrected)

    def _expected(
        self,
        at: Place,
        label: str,
        contributions: Sequence[Contribution],
        expect: Mapping[str, Any],
        corrected: dict[str, Any],
    ) -> None:
        found: dict[str, list[str]] = {}
        for one in contributions:
            if one.categories == SEEN:
                continue
            found.setdefault(one.indicator, []).append(self._line(one))
            self.seen.add(f"indicator {one.indicator} {one.part}")
            self.seen.update(f"category {category} {option}" for category, option in one.categories)
        for indicator, lines in expect.items():
            if indicator not in self.pack.indicators:
                self.results.fail(at, label, f"there is no indicator {indicator}")
                continue
            wanted = sorted(" ".join(str(line).split()) for line in (lines if isinstance(lines, list) else [lines]))
            if sorted(found.get(indicator, [])) != wanted:
                corrected[indicator] = sorted(found.get(indicator, []))
                counted = ", ".join(corrected[indicator]) or "nothing"
                self.results.fail(
                    at,
                    label,
                    f"{indicator}: expected {', '.join(wanted) or 'nothing'}, counted {counted}",
                    indicator,
                    wanted,
                    corrected[indicator],
                )

    def _line(self, one: Contribution) -> str:
        _, combo = element_and_combo(self.pack, one.indicator, one.part, one.categories)
        amount = "" if one.amount == 1 else f" {one.amount.normalize():f}"
        return f"{one.part} {combo}{amount}"

    def _category_example(self, entry: Section, label: str) -> None:
        category = entry.text("category")
        facts = _data(entry, "facts")
        wanted = entry.text("option")
        found = self.counter.option(category, self.counter.facts(facts))
        self.seen.add(f"category {category} {found}")
        self.corrected = found
        self._same(entry.at, label if label != entry.what else f"{category} {wanted}", category, found, wanted)

    # ------------------------------------------------------------ episodes and registers

    def _episode_example(self, entry: Section, label: str) -> None:
        kind = entry.text("episode")
        person = _data(entry, "person")
        entity = Entity("example", "person", "example-subject", "1", person) if person else None
        members = [_member(one, entity) for one in entry.sections("records")]
        wanted = entry.node("expect")
        expect = plain(wanted) if wanted is not None else []
        links = {one.activity.id: self.episodes.links(one.activity, one.facts) for one in members}
        groups: dict[str, list[Member]] = {}
        for one in members:
            for link in links[one.activity.id]:
                if link.kind == kind and link.own:
                    groups.setdefault(link.key, []).append(one)
        found = [e for group in groups.values() for e in self.episodes.work_out(kind, group, members)]
        found.sort(key=lambda e: (e.day, e.opening.id))
        self._same(entry.at, label, "number of episodes", len(found), len(expect))
        for episode, told in zip(found, expect, strict=False):
            self._episode(entry.at, label, episode, told, entity)

    def _episode(self, at: Place, label: str, episode: Episode, told: dict[str, Any], person: Entity | None) -> None:
        self.seen.add(f"episode {episode.kind.id}")
        for name, predicate in episode.kind.facts.items():
            self._agree(at, label, name, predicate.source, episode.scope)
            if name in episode.scope:
                self.seen.add(f"episode {episode.kind.id}: {name}")
        self._same(at, label, "date", episode.day.isoformat(), told.get("date", episode.day.isoformat()))
        for name, value in (told.get("facts") or {}).items():
            self._same(at, label, name, episode.facts.get(name), value)
        for name in told.get("absent") or []:
            if name in episode.facts:
                self.results.fail(at, label, f"{name} should be absent and is {episode.facts[name]!r}")
        activity = replace(episode.opening, kind=episode.kind.id, date=episode.day, facts=dict(episode.facts))
        self._counts(at, label, activity, people.complete(activity, person), told.get("counts") or {}, {})

    def _register_example(self, entry: Section, label: str) -> None:
        register = self.pack.registers[entry.text("register")]
        members = [_member(one, None) for one in entry.sections("members")]
        period = entry.text("period") or "202607"
        records = entry.count("records") or 0
        line = Line("register/example", "example-key", "example-place", _data(entry, "data"), members, records)
        expect = _data(entry, "expect")
        scope = self.registers.scope(register, line, period)
        if scope is not None:
            self.seen.add(f"register {register.id}")
            for name, predicate in register.facts.items():
                self._agree(entry.at, label, name, predicate.source, scope)
        counted = self.registers.count(register, line, period, lambda level: "EXAMPLE")
        self._expected(entry.at, label, counted, expect, {})

    # ------------------------------------------------------------ comparing

    def _same(self, at: Place, label: str, name: str, found: Any, wanted: Any) -> bool:
        same = _equal(found, wanted)
        if not same:
            self.results.fail(at, label, f"{name}: expected {wanted!r}, found {found!r}", name, wanted, found)
        return same

    def _everything(self) -> Iterator[str]:
        """All that an example could reach."""
        for form in self.pack.forms.values():
            yield form.file
            for rule in form.facts:
                yield f"{form.file}: {rule.name}"
                for inner in {**(rule.items or {}), **{k: v for row in rule.rows or () for k, v in row.items()}}:
                    yield f"{form.file}: {rule.name}.{inner}"
            if form.referral:
                yield f"{form.file}: referral"
                yield from (f"{form.file}: referral.{part}" for part in form.referral if part != "when")
        for episode in self.pack.episodes.values():
            yield f"episode {episode.id}"
            yield from (f"episode {episode.id}: {name}" for name in episode.facts)
        yield from (f"register {register}" for register in self.pack.registers)
        for indicator in self.pack.indicators.values():
            yield from (f"indicator {indicator.id} {part}" for part in indicator.parts)
        for category in self.pack.categories.values():
            yield from (f"category {category.id} {option}" for option in category.options if option != UNKNOWN)

    def _untried_codes(self) -> Iterator[str]:
        """Rows of tables that no example reads; a table that several facts share is named by the first."""
        told: set[tuple[int, str]] = set()
        for form in self.pack.forms.values():
            for name, rule in _rules(form):
                for key in rule.codes or {}:
                    row = (id(rule.codes), key)
                    if row not in self.seen_codes and row not in told:
                        told.add(row)
                        yield f"{form.file}: {name} = {key}"


def _rules(form: FormMapping) -> Iterator[tuple[str, FactRule]]:
    """Every rule of a form with the name people know it by."""
    for rule in form.facts:
        yield rule.name, rule
        for inner in {**(rule.items or {}), **{k: v for row in rule.rows or () for k, v in row.items()}}.values():
            yield f"{rule.name}.{inner.name}", inner
    yield from ((f"referral.{name}", rule) for name, rule in (form.referral or {}).items())


def _named(forms: Sequence[FormMapping], name: str) -> FormMapping | None:
    """The form of this name, or the only one (a file may map several forms)."""
    return next((form for form in forms if not name or form.name == name), None)


def _member(entry: Section, person: Entity | None) -> Member:
    """A record of an example: ``activity``, ``date``, ``facts``; ``id``, ``subject``, ``worker`` where they matter."""
    activity = Activity(
        source="example", stream="example", key=entry.text("id") or f"line-{entry.at.line}", revision="1",
        kind=entry.text("activity"), form="", mapping="", version="",
        date=date.fromisoformat(entry.text("date")), at=None, place="example-place",
        worker=entry.text("worker") or "example-worker", subject=entry.text("subject") or "example-subject",
        facts=_data(entry, "facts"),
    )  # fmt: skip
    return Member(activity, people.complete(activity, person))


def _data(entry: Section, key: str) -> dict[str, Any]:
    node = entry.node(key)
    value = plain(node) if node is not None else {}
    if not isinstance(value, dict):
        raise ValueError(f"{key} must be a list of  name: value")
    return value


def _document(mapped: Mapped) -> dict[str, Any]:
    """What was mapped, in the words of ``expect``."""
    flags = [f"{flag.code} {flag.fact}".strip() for flag in mapped.flags]
    if mapped.entity is not None:
        return {"entity": mapped.entity.kind, "facts": dict(mapped.entity.data), "flags": flags}
    activity = mapped.activity
    if activity is None:
        return {"facts": {}, "flags": flags}
    return {
        "activity": activity.kind,
        "date": activity.date.isoformat(),
        "at": activity.at.isoformat() if activity.at else None,
        "place": activity.place,
        "worker": activity.worker,
        "subject": activity.subject,
        "facts": dict(activity.facts),
        "flags": flags,
        "referral": _referral(activity.referral),
    }


def _referral(referral: Referral | None) -> dict[str, Any] | None:
    if referral is None:
        return None
    plain_one = replace(referral, reasons=list(referral.reasons))
    return {name: getattr(plain_one, name) for name in ("to", "urgent", "reason", "reasons", "note")}


def _answer(evaluate: Callable[[Mapping[str, Any]], Any], document: Mapping[str, Any]) -> tuple[str, Any]:
    """The result as a comparable value; every failure is the same answer."""
    try:
        return "value", _normal(evaluate(document))
    except ExpressionError:
        return "failed", None


def _normal(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, list):
        return [_normal(one) for one in value]
    if isinstance(value, dict):
        return {key: _normal(one) for key, one in value.items()}
    return value


_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def _equal(found: Any, wanted: Any) -> bool:
    """Equal as a person writes it: 1.5 in the example is the decimal 1.5."""
    if isinstance(found, Decimal):
        return bool(_NUMBER.fullmatch(str(wanted))) and found == Decimal(str(wanted))
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, (list, tuple)) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(_equal(a, b) for a, b in zip(found, wanted, strict=True))
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_equal(found[key], wanted[key]) for key in wanted)
    return bool(found == wanted)


__all__ = ["Correction", "Failure", "Results", "records_of", "run_examples"]
