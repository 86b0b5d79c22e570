"""What form mappings and the dictionary say of each other."""

from __future__ import annotations

from collections.abc import Mapping

from connector.findings import nearest, of
from connector.mappings.linting import (
    PERSON_FACTS,
    REFERRAL_FACTS,
    Checking,
    at,
    every_rule,
    names_read,
    placed_rules,
    predicates,
    together,
)
from connector.mappings.pack import Concept, FactRule, FormMapping, Place
from connector.mappings.people import REPORTED_AGE
from connector.mappings.where import Step
from connector.mappings.yaml_nodes import Map, Scalar

#: Systems in which one code is one thing. A WHO code may name a heading, an ICD-11 code a group of illnesses.
_ONE_EACH = ("ciel", "loinc", "snomed")


def check(one: Checking) -> None:
    pack = one.pack
    for source, names in pack.ignore.items():
        for name in names:
            if (source, name) in pack.forms:
                place = one.where.value("connector.yaml", "sources", source, "ignore", name)
                one.add("form.ignored", place, name=name, source=source)
    for form in one.forms():
        _form(one, form)
    _concepts(one)
    _kinds(one)
    _unused(one)


# ---------------------------------------------------------------- forms


def _form(one: Checking, form: FormMapping) -> None:
    pack, where = one.pack, one.where
    sources = {*pack.sources, *(name for name, target in pack.targets.items() if target.kind == "openmrs")}
    if form.source not in sources:
        place = where.value(form.file, "form", "source")
        one.add("source.unknown", place, name=form.source, nearest=nearest(form.source, sources))
    if form.activity is None:
        return
    kind = pack.activities.get(form.activity)
    said = where.value(form.file, "activity")
    if kind is None:
        near = nearest(form.activity, pack.activities)
        one.add("activity.unknown", said, what="", name=form.activity, nearest=near)
    elif kind.fhir.get("subject") == "person" and form.subject is None and form.source in pack.sources:
        one.add("form.no_subject", said, activity=form.activity)
    counted = {name for indicator in pack.indicators.values() for name in indicator.counts}
    counted.update(kind for episode in pack.episodes.values() if episode.id in counted for kind in episode.opens)
    if form.place is None and form.activity in counted and form.source in pack.sources:
        one.add("form.no_place", said, activity=form.activity)
    for steps, rule in placed_rules(form):
        if steps[0] == "facts":
            _fact(one, form, steps, rule)
        elif rule.name == "reasons":
            for answer, code in (rule.codes or {}).items():
                if code and code not in pack.concepts:
                    place = meaning_at(one, form.file, steps, answer)
                    one.add("concept.unknown", place, what="", name=code, nearest=nearest(code, pack.concepts))
    _uncounted(one, form)


def _fact(one: Checking, form: FormMapping, steps: tuple[Step, ...], rule: FactRule) -> None:
    concept = one.pack.concepts.get(rule.name)
    if concept is None:
        near = nearest(rule.name, one.pack.concepts)
        one.add("concept.unknown", at(rule.at), what="", name=rule.name, nearest=near)
    elif concept.kind == "coded" and concept.answers:
        meanings = {meaning: answer for answer, meaning in reversed(list((rule.codes or {}).items())) if meaning}
        for meaning, answer in meanings.items():
            if meaning not in concept.answers:
                _no_answer(one, meaning_at(one, form.file, steps, answer), rule.name, meaning, concept)
        if rule.expression is None and rule.constant is not None and str(rule.constant) not in concept.answers:
            place = one.where.value(form.file, *steps, "constant")
            _no_answer(one, place, rule.name, str(rule.constant), concept)
    elif rule.codes and concept.kind not in ("coded", "text"):
        place = one.where.key(form.file, *steps, "codes")
        one.add("code.not_coded", place, name=rule.name, kind=concept.kind)


def _no_answer(one: Checking, place: Place, what: str, code: str, concept: Concept) -> None:
    one.add(
        "code.no_answer", place, what=what, code=code, concept=concept.id, nearest=nearest(code, concept.answers)
    )  # fmt: skip


def meaning_at(one: Checking, file: str, steps: tuple[Step, ...], answer: str) -> Place:
    """Where the meaning of an answer stands: in the form, or in the table it names."""
    codes = one.where.node(file, *steps, "codes")
    if isinstance(codes, Map):
        return one.where.value(file, *steps, "codes", answer)
    if isinstance(codes, Scalar):
        return one.where.row(codes.text, answer)
    return one.where.key(file, *steps)


def _uncounted(one: Checking, form: FormMapping) -> None:
    """Facts that no indicator reads and that go nowhere else. Of a visit, those with a place in FHIR go there; answers
    of other shapes (stock, meetings) go there whole; of an activity without a shape nothing does. What comes from no
    source is a clinic's answer and goes to the CHW. What a form's ``referral`` says is no rule of its facts; a fact
    that is merely called ``referred`` is one as any other."""
    kind = one.pack.activities.get(form.activity or "")
    shape = kind.fhir.get("shape") if kind is not None else None
    if shape not in ("encounter", "none") or form.source not in one.pack.sources:
        return
    used = _used(one)
    for rule in form.facts:
        concept = one.pack.concepts.get(rule.name)
        if concept is None or concept.kept or rule.name in used or rule.items or rule.rows:
            continue
        if shape == "none" or not concept.fhir:
            inside = set(concept.answers.values()) & {known.id for known in one.pack.concepts.values() if known.fhir}
            if not inside:
                one.add("fact.uncounted", at(rule.at), name=rule.name)


def _used(one: Checking) -> set[str]:
    pack = one.pack
    used = {*PERSON_FACTS, REPORTED_AGE, "group_type", *(pack.openmrs.get("observations") or {})}
    for stage in pack.tracker.stages if pack.tracker is not None else ():
        used |= {one.fact for one in stage.data_elements.values()}
    for indicator in pack.indicators.values():
        for predicate in predicates(indicator):
            used |= names_read(predicate.evaluate, predicate.source)
        for rule in indicator.rules.values():
            used |= {rule.each or "", rule.distinct or "", rule.period or ""}
            for name in rule.by:
                if category := pack.categories.get(name):
                    used |= {category.fact, *category.band_facts.values()}
    for predicate in together(pack):
        used |= names_read(predicate.evaluate, predicate.source)
    for predicate in pack.derived.values():
        used |= names_read(predicate.evaluate, predicate.source)
    return used


# ---------------------------------------------------------------- the dictionary


def _concepts(one: Checking) -> None:
    pack, where, file = one.pack, one.where, "concepts.yaml"
    owner: dict[tuple[str, str], str] = {}
    for concept in pack.concepts.values():
        steps = ("concepts", concept.id)
        if concept.kind == "coded" and not concept.answers:
            one.add("concept.no_answers", where.value(file, *steps, "kind"), name=concept.id)
        if concept.kind == "coded" and concept.fhir.get("resource") == "Observation":
            for option, answer in concept.answers.items():
                if answer not in pack.concepts:
                    place = where.value(file, *steps, "answers", option)
                    near = nearest(answer, pack.concepts)
                    one.add("concept.unknown", place, what=of(concept.id), name=answer, nearest=near)
        condition = concept.fhir.get("condition")
        if condition and condition not in pack.concepts:
            place = where.value(file, *steps, "fhir", "condition")
            near = nearest(str(condition), pack.concepts)
            one.add("concept.unknown", place, what=of(concept.id), name=str(condition), nearest=near)
        _when(one, concept)
        _plausible(one, concept)
        for system, code in concept.codings.items():
            place = where.value(file, *steps, "codings", system)
            if not check_digit(system, code):
                one.add("coding.check_digit", place, system=system.upper(), code=code)
            if system in _ONE_EACH:
                first = owner.setdefault((system, code), concept.id)
                if first != concept.id:
                    one.add("coding.twice", place, system=system.upper(), code=code, other=first)


def _plausible(one: Checking, concept: Concept) -> None:
    """A range is of numbers, and some number lies in it."""
    found = concept.plausible
    if found is None:
        return
    place = one.where.value("concepts.yaml", "concepts", concept.id, "plausible")
    if concept.kind not in ("integer", "decimal"):
        one.add("plausible.not_number", place, name=concept.id, kind=concept.kind)
    elif found.low is None and found.high is None:
        one.add("plausible.empty", place, name=concept.id, low="–", high="–")
    elif found.low is not None and found.high is not None and found.high < found.low:
        place = one.where.value("concepts.yaml", "concepts", concept.id, "plausible", "to")
        one.add("plausible.empty", place, name=concept.id, low=str(found.low), high=str(found.high))


def _kinds(one: Checking) -> None:
    """The kind of a fact that is a list, and of what is only an answer or a conclusion, is never looked at. Another
    than the usual one says that something else is meant."""
    pack = one.pack
    rules = [rule for form in pack.forms.values() for rule in every_rule(form.facts)]
    lists = {rule.name for rule in rules if rule.items or rule.rows}
    facts = set().union(*one.produced.values(), (rule.name for rule in rules))
    answers = {answer for concept in pack.concepts.values() for answer in concept.answers.values()}
    concluded = {concept.fhir.get("condition") for concept in pack.concepts.values()}
    for name, concept in pack.concepts.items():
        if name in lists:
            usual, what = "text", ("une liste", "a list")
        elif name not in facts and name in answers | concluded:
            usual, what = "boolean", ("une réponse ou une conclusion", "an answer or a conclusion")
        else:
            continue
        if concept.kind != usual:
            place = one.where.value("concepts.yaml", "concepts", name, "kind")
            one.add("kind.unused", place, name=name, what=what, kind=concept.kind, usual=usual)


def _when(one: Checking, concept: Concept) -> None:
    """The answers for which a fact makes a diagnosis."""
    when = concept.fhir.get("when")
    for answer in when if isinstance(when, list) else [when] if when is not None else []:
        if concept.kind == "coded" and str(answer) not in concept.answers:
            place = one.where.value("concepts.yaml", "concepts", concept.id, "fhir", "when")
            _no_answer(one, place, f"{concept.id}: when", str(answer), concept)


def check_digit(system: str, code: str) -> bool:
    """LOINC ends in a modulus 10 check digit (LOINC Users' Guide, appendix C), SNOMED CT in a Verhoeff digit (SNOMED CT
    Editorial Guide, SCTID). Other systems have none."""
    if system == "loinc":
        number, _, digit = code.rpartition("-")
        return number.isdigit() and digit == str(_modulus_10(number))
    return system != "snomed" or not code.isdigit() or _verhoeff(code)


def _modulus_10(number: str) -> int:
    doubled = str(int(number[::-1][0::2]) * 2)
    total = sum(map(int, doubled)) + sum(map(int, number[::-1][1::2]))
    return -total % 10


def _verhoeff(code: str) -> bool:
    check = 0
    for index, digit in enumerate(reversed(code)):
        check = _MULTIPLY[check][_PERMUTE[index % 8][int(digit)]]
    return check == 0


def _dihedral() -> tuple[tuple[int, ...], ...]:
    """The multiplication table of the dihedral group D5."""
    rows = []
    for a in range(10):
        row = []
        for b in range(10):
            if a < 5:
                row.append((a + b) % 5 if b < 5 else (a + b - 5) % 5 + 5)
            else:
                row.append((a - 5 - b) % 5 + 5 if b < 5 else (a - b) % 5)
        rows.append(tuple(row))
    return tuple(rows)


_MULTIPLY = _dihedral()
_FIRST = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _permutations() -> tuple[tuple[int, ...], ...]:
    rows = [tuple(range(10))]
    for _ in range(7):
        rows.append(tuple(_FIRST[digit] for digit in rows[-1]))
    return tuple(rows)


_PERMUTE = _permutations()


# ---------------------------------------------------------------- what nobody uses


def _unused(one: Checking) -> None:
    pack, where = one.pack, one.where
    facts: set[str] = set().union(*one.produced.values())
    answers = {answer for concept in pack.concepts.values() for answer in concept.answers.values()}
    conditions = {concept.fhir.get("condition") for concept in pack.concepts.values()}
    for name in pack.concepts:
        if name not in facts | answers | conditions and name not in REFERRAL_FACTS:
            one.add("unused.concept", where.value("concepts.yaml", "concepts", name), name=name)
    given: Mapping[str | None, str] = {form.activity: form.file for form in pack.forms.values()}
    for name in pack.activities:
        if name not in given:
            one.add("unused.activity", where.value("activities.yaml", "activities", name), name=name)
    sources = {form.source for form in pack.forms.values()}
    for name in pack.sources:
        if name not in sources:
            one.add("unused.source", where.key("connector.yaml", "sources", name), name=name)
