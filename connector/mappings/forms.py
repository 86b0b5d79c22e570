"""Record -> activity or entity, by the form mappings of the pack. Pure.

What cannot be placed in time or space fails as a whole (quarantine); a single fact that fails is left out and
flagged. Flags and errors name the fact and the place in the pack, never a value of the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from connector.errors import MappingError
from connector.identity import nameable
from connector.mappings import concepts
from connector.mappings.expressions import Compiled, ExpressionError, Together
from connector.mappings.fact_functions import day_and_instant, zone_of
from connector.mappings.pack import Concept, FactRule, FormMapping, Pack
from connector.model import Activity, Entity, Flag, Mapped, Record, Referral

#: Most items kept of one list in a record.
MAX_ITEMS = 1_000


class Mapper:
    """Maps records by one pack. Compiled once; safe to use for any number of records."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self._forms = {key: _Form(form, pack) for key, form in pack.forms.items()}

    def apply(self, record: Record) -> Mapped:
        """The activity or entity of a record that is not deleted. A form the pack ignores gives an empty Mapped.

        Raises MappingError: form.unknown, key.missing, date.missing, date.invalid, place.missing.
        """
        if record.form is None or record.form in self.pack.ignore.get(record.source, ()):
            return Mapped()
        form = self._forms.get((record.source, record.form))
        if form is None:
            raise MappingError("form.unknown", path=record.form)
        if not record.key:
            raise MappingError("key.missing", file=form.mapping.file, line=1)
        return form.apply(record)


class _Form:
    def __init__(self, mapping: FormMapping, pack: Pack) -> None:
        self.mapping = mapping
        self.zone = zone_of(pack.zone)
        heads = [mapping.date, mapping.time, mapping.place, mapping.worker, mapping.subject, mapping.key]
        self.heads = _Rules([rule for rule in heads if rule is not None], {}, pack.zone)
        # A person's or place's data is free text with its own checks; only facts follow the dictionary.
        dictionary = pack.concepts if mapping.activity else {}
        self.facts = _Rules(mapping.facts, dictionary, pack.zone)
        referral = dict(mapping.referral or {})
        self.when = _Rules([referral.pop("when")] if "when" in referral else [], {}, pack.zone)
        self.referral = _Rules(list(referral.values()), {}, pack.zone)

    def apply(self, record: Record) -> Mapped:
        flags: list[Flag] = []
        head = self.heads.values(record.body, flags)
        if self.mapping.key is not None and head.get("key") is None:
            raise self._error("key.missing", self.mapping.key)
        if self.mapping.registers:
            return self._entity(record, flags)
        return self._activity(record, head, flags)

    def _error(self, code: str, rule: FactRule | None) -> MappingError:
        place = rule.at if rule else None
        return MappingError(
            code, path=rule.source if rule else "", file=self.mapping.file, line=place.line if place else 1
        )

    def _activity(self, record: Record, head: Mapping[str, Any], flags: list[Flag]) -> Mapped:
        mapping = self.mapping
        failed = {flag.fact for flag in flags}
        day, at = self._when(head, failed)
        place = _identifier(head.get("place"))
        if mapping.place is not None and place is None:
            raise self._error("place.missing", mapping.place)
        facts = self.facts.values(record.body, flags)
        referral = self._referral(record, facts, flags)
        assert mapping.activity is not None
        return Mapped(
            activity=Activity(
                source=record.source,
                stream=record.stream,
                key=record.key,
                revision=record.revision,
                kind=mapping.activity,
                form=mapping.name,
                mapping=mapping.file,
                version=mapping.version,
                date=day,
                at=at,
                place=place,
                worker=_identifier(head.get("worker")),
                subject=_identifier(head.get("subject")),
                facts=facts,
                referral=referral,
                flags=tuple(flags),
            ),
            flags=tuple(flags),
        )

    def _when(self, head: Mapping[str, Any], failed: set[str]) -> tuple[date, datetime | None]:
        """The day of service in the pack's zone, and the instant if one is known on that day."""
        rule = self.mapping.date
        value = head.get("date")
        if value is None:
            raise self._error("date.invalid" if "date" in failed else "date.missing", rule)
        try:
            day, at = day_and_instant(value, self.zone)
        except ValueError:
            raise self._error("date.invalid", rule) from None
        if day is None:
            raise self._error("date.missing", rule)
        return day, at or self._time(head.get("time"), day)

    def _time(self, value: Any, day: date) -> datetime | None:
        """The instant another answer gives, if it falls on the day of service."""
        try:
            when, at = day_and_instant(value, self.zone)
        except ValueError:
            return None
        return at if when == day else None

    def _referral(self, record: Record, facts: dict[str, Any], flags: list[Flag]) -> Referral | None:
        """The referral, and the facts ``referred`` (yes, no or not asked) and ``referral_reason`` that go with it."""
        if self.mapping.referral is None:
            return None
        when = self.when.values(record.body, flags, "referral.").get("when")
        if when is True or when is False:
            facts["referred"] = when
        if when is not True:
            return None
        values = self.referral.values(record.body, flags, "referral.")
        reason = values.get("reason")
        if isinstance(reason, str):
            facts["referral_reason"] = reason
        reasons = values.get("reasons") or []
        return Referral(
            to=_identifier(values.get("to")),
            urgent=values.get("urgent") is True,
            reason=reason if isinstance(reason, str) else None,
            reasons=tuple(str(one) for one in (reasons if isinstance(reasons, list) else [reasons])),
            note=str(values.get("note") or "")[: concepts.MAX_TEXT],
        )

    def _entity(self, record: Record, flags: list[Flag]) -> Mapped:
        mapping = self.mapping
        data = self.facts.values(record.body, flags)
        if "birth_date" in data:
            try:
                data["birth_date"] = concepts.partial_date(data["birth_date"])
            except concepts.WrongValue as error:
                del data["birth_date"]
                flags.append(Flag(error.code, "birth_date", str(error)))
        assert mapping.registers is not None
        entity = Entity(
            source=record.source,
            kind=mapping.registers,
            key=record.key,
            revision=record.revision,
            data=data,
            mapping=mapping.file,
            version=mapping.version,
        )
        return Mapped(entity=entity, flags=tuple(flags))


class _Rules:
    """A set of fact rules evaluated together over one document."""

    def __init__(self, rules: Sequence[FactRule], dictionary: Mapping[str, Concept], zone: str) -> None:
        self.rules = rules
        self.zone = zone
        compiled = {rule.name: rule.expression for rule in rules if isinstance(rule.expression, Compiled)}
        self.together = Together(compiled, zone=zone)
        self.alone = [rule for rule in rules if rule.name not in compiled and rule.expression is not None]
        self.constants = [
            (rule, dictionary.get(rule.name)) for rule in rules if rule.expression is None and rule.rows is None
        ]
        self.scalars = {
            rule.name: (rule, dictionary.get(rule.name), _kept_as_is(rule, dictionary.get(rule.name)))
            for rule in rules
            if rule.items is None and rule.rows is None and rule.expression is not None
        }
        self.inner = {rule.name: _Rules(list(rule.items.values()), dictionary, zone) for rule in rules if rule.items}
        self.rows = {
            rule.name: [_Rules(list(row.values()), dictionary, zone) for row in rule.rows]
            for rule in rules
            if rule.rows
        }

    def values(self, document: Mapping[str, Any], flags: list[Flag], under: str = "") -> dict[str, Any]:
        """The facts present, typed; failures are added to ``flags``."""
        found, failed = self.together.evaluate(document)
        for rule in self.alone:
            try:
                assert rule.expression is not None
                value = rule.expression(document)
            except ExpressionError as error:
                failed[rule.name] = str(error)
                continue
            if value is not None:
                found[rule.name] = value
        for name, detail in failed.items():
            flags.append(Flag("fact.failed", under + name, detail))
        facts: dict[str, Any] = {}
        for rule, concept in self.constants:
            self._scalar(facts, rule, concept, rule.constant, flags, under)
        scalars = self.scalars
        for name, value in found.items():
            if name not in scalars:
                facts[name] = self._items(name, value, flags, under)
                continue
            if value == "":
                continue
            rule, concept, as_is = scalars[name]
            if type(value) is as_is and (as_is is not int or concepts.exact(value)):
                facts[name] = value
            else:
                self._scalar(facts, rule, concept, value, flags, under)
        for name in self.rows:
            facts[name] = self._rows(name, document, flags, under)
        return facts

    def _scalar(
        self, facts: dict[str, Any], rule: FactRule, concept: Concept | None, value: Any, flags: list[Flag], under: str
    ) -> None:
        try:
            if rule.codes is not None:
                coded = _several if isinstance(value, list) else _coded
                value, known = coded(value, rule.codes)
                if not known:
                    flags.append(Flag("code.unknown", under + rule.name, "an answer that the table does not have"))
                if value is None:
                    return
            elif concept is None:
                _plain(value)
            if concept is not None:
                value = concepts.typed(_constant(value, rule, concept), concept, self.zone)
        except concepts.WrongValue as error:
            flags.append(Flag(error.code, under + rule.name, str(error)))
            return
        if concept is not None and concept.plausible is not None and not concept.plausible.holds(value):
            counts = concept.plausible.counts
            flags.append(Flag("fact.implausible_counted" if counts else "fact.implausible", under + rule.name))
            if not counts:
                facts.setdefault(concepts.IMPLAUSIBLE, {})[rule.name] = value
                return
        facts[rule.name] = value

    def _items(self, name: str, value: Any, flags: list[Flag], under: str) -> list[dict[str, Any]]:
        items = value if isinstance(value, list) else [value]
        if len(items) > MAX_ITEMS:
            flags.append(Flag("fact.too_long", under + name, f"more than {MAX_ITEMS} items"))
            items = items[:MAX_ITEMS]
        rules = self.inner[name]
        found = []
        for item in items:
            if isinstance(item, dict):
                found.append(rules.values(item, flags, f"{under}{name}."))
            else:
                flags.append(Flag("fact.type", under + name, "expected a list of groups"))
        return [item for item in found if item]

    def _rows(self, name: str, document: Mapping[str, Any], flags: list[Flag], under: str) -> list[dict[str, Any]]:
        found = []
        for rules in self.rows[name]:
            item = rules.values(document, flags, f"{under}{name}.")
            said = item.keys() | item.get(concepts.IMPLAUSIBLE, {}).keys()
            if any(rule.expression is not None and rule.name in said for rule in rules.rules):
                found.append(item)
        return found


def _plain(value: Any) -> None:
    """One answer, or a list of them. Raises WrongValue."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict | list):
            raise concepts.WrongValue("fact.type", "a group of answers where one answer was expected")
        if isinstance(one, int):
            concepts.checked_exact(one)


def _coded(value: Any, codes: Mapping[str, str | None]) -> tuple[str | None, bool]:
    """The meaning of an answer by a table (None: the table says *not asked*), and whether the table has it."""
    key = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return codes.get(key), key in codes


def _several(values: list[Any], codes: Mapping[str, str | None]) -> tuple[list[str] | None, bool]:
    """The meanings of several answers. Those the table lacks are left out; when nothing else is left, the fact is
    absent, for an empty list would say "none of them"."""
    coded = [_coded(value, codes) for value in values]
    meanings = [meaning for meaning, _ in coded if meaning is not None]
    known = all(found for _, found in coded)
    return (meanings if meanings or known else None), known


def _kept_as_is(rule: FactRule, concept: Concept | None) -> type | None:
    """The Python type that is right for this fact as it comes, so that most values need no further look."""
    if rule.codes is not None or (concept is not None and concept.plausible is not None):
        return None
    return str if concept is None else {"boolean": bool, "integer": int}.get(concept.kind)


def _constant(value: Any, rule: FactRule, concept: Concept) -> Any:
    """A constant is written as text; its concept says what it is."""
    if rule.expression is not None or not isinstance(value, str):
        return value
    if concept.kind == "boolean" and value in ("true", "false"):
        return value == "true"
    if concept.kind in ("integer", "decimal") and value.isdigit():
        return int(value)
    return value


def _identifier(value: Any) -> str | None:
    """A stable key as text, or None; what no database can keep as a name is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    text = str(value).strip()
    return text if text and nameable(text) else None
