"""Cross-checks of a pack that was read: what each part says of the others.

Every finding has a stable code, a place and a fix. ``docs/lint.md`` lists the codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from connector.mappings.expressions import Compiled
from connector.mappings.fact_functions import functions
from connector.mappings.pack import Concept, FactRule, FormMapping, Indicator, Pack, Place, Predicate
from connector.mappings.people import REPORTED_AGE
from connector.mappings.shortcuts import NoShortcut, shortcut
from connector.mappings.yaml_nodes import Findings, nearest
from connector.model import Finding

#: Facts that ``people.complete`` adds to activities about a person.
PERSON_FACTS = ("age_days", "age_months", "age_years", "age_known", "sex", "born")
#: Facts that ``people.complete`` adds from the household of the person, or the one a form names.
HOUSEHOLD_FACTS = ("household", "household_registered", "household_type")
#: What a record says of itself among the members of an episode, and what is known of a line of a register.
MEMBER_FACTS = ("members", "kind", "day", "opening", "record", "date", "place", "worker", "subject")
LINE_FACTS = (*MEMBER_FACTS, "records", "reporter", "first_day", "last_day", "deadline")
#: Facts that a form's ``referral`` part gives.
REFERRAL_FACTS = ("referred", "referral_reason")
_PACK_ID = re.compile(r"[a-z0-9][a-z0-9.-]{1,62}")
_RAW = re.compile(r"\$(number|split|not)\s*\(")
_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")
_NAME = re.compile(r"(?<![\w.$`])(?:`[^`]+`|[A-Za-z_]\w*)")
#: A fact of the members: ``members.x``, ``members[...].x``, ``members[...][-1].x``.
_OF_MEMBERS = re.compile(r"\bmembers(?:\[[^\]]*\])*\.(\w+)")
_KEY = re.compile(r"['\"]([A-Za-z_]\w*)['\"]\s*:")
_KEYWORDS = {"and", "or", "in", "true", "false", "null", "function"}
_INSTEAD = {
    "number": "$num(x), which keeps absent absent and reads a decimal comma",
    "split": "$options(x), which also reads a list",
    "not": "x = false, which is not met when x was not asked",
}


def lint(pack: Pack) -> list[Finding]:
    """Everything wrong or doubtful between the parts of the pack, in file order."""
    findings = Findings()
    produced = _produced(pack)
    _pack(pack, findings)
    for form in _distinct_forms(pack):
        _form(pack, form, findings)
    _expressions(pack, findings)
    _concepts(pack, findings)
    for indicator in pack.indicators.values():
        _indicator(pack, indicator, produced, findings)
    _together(pack, produced, findings)
    _derived(pack, findings)
    _elements(pack, findings)
    _categories(pack, findings)
    _unused(pack, produced, findings)
    _places(pack, findings)
    return sorted(findings.items, key=lambda one: (one.file, one.line, one.code))


def _at(place: Place | None) -> Place:
    return place or Place("", 0)


def _distinct_forms(pack: Pack) -> list[FormMapping]:
    """One mapping per file: a file may map several forms alike."""
    return list({form.file: form for form in pack.forms.values()}.values())


def _pack(pack: Pack, findings: Findings) -> None:
    if pack.id and not _PACK_ID.fullmatch(pack.id):
        findings.add(
            "pack.id",
            Place("connector.yaml", 1),
            f"pack id {pack.id!r} cannot be used",
            "Small letters, digits, dots and hyphens.",
        )
    for source, forms in pack.ignore.items():
        for form in forms:
            if (source, form) in pack.forms:
                findings.add(
                    "form.ignored",
                    Place(pack.forms[source, form].file, 1),
                    f"form {form} of {source} is mapped and ignored",
                    "Remove one of the two.",
                )


# ---------------------------------------------------------------- forms and facts


def _rules(rules: Iterable[FactRule]) -> Iterator[FactRule]:
    """The rules and those inside lists."""
    for rule in rules:
        yield rule
        yield from _rules((rule.items or {}).values())
        for row in rule.rows or ():
            yield from _rules(row.values())


def _produced(pack: Pack) -> dict[str, set[str]]:
    """Facts that some form gives, by kind of activity (facts of list items too)."""
    found: dict[str, set[str]] = {}
    for form in pack.forms.values():
        if form.activity is None:
            continue
        facts = found.setdefault(form.activity, set())
        facts.update(rule.name for rule in _rules(form.facts))
        if form.referral:
            facts.update(REFERRAL_FACTS)
    for kind, facts in found.items():
        activity = pack.activities.get(kind)
        if activity is not None and activity.fhir.get("subject") == "person":
            facts.update((*PERSON_FACTS, *HOUSEHOLD_FACTS))
        if "household" in facts:
            facts.update(HOUSEHOLD_FACTS)
        if REPORTED_AGE in facts:
            facts.update(("age_days", "age_months", "age_years", "age_known"))
    for episode in pack.episodes.values():
        opening = set().union(*(found.get(kind, set()) for kind in episode.opens))
        found[episode.id] = opening | _worked_out(episode.facts)
    for register in pack.registers.values():
        kind = "worker" if register.of == "deployments" else register.of
        of_forms = {rule.name for form in pack.forms.values() if form.registers == kind for rule in _rules(form.facts)}
        ages = set(PERSON_FACTS) if kind == "person" else set()
        found[register.id] = of_forms | ages | _worked_out(register.facts) | set(LINE_FACTS)
    return found


def _worked_out(facts: Mapping[str, Predicate]) -> set[str]:
    """Facts an episode or register gives, and those of the lines of its lists (``{'received': ...}``)."""
    return set(facts) | {key for one in facts.values() for key in _KEY.findall(one.source)}


def _together(pack: Pack, produced: Mapping[str, set[str]], findings: Findings) -> None:
    """Episodes and registers: the kinds and facts they look at."""
    for episode in pack.episodes.values():
        kinds = (*episode.opens, *(one.kind for one in episode.members))
        _kinds(pack, episode.id, kinds, _at(episode.at), findings)
        if episode.id in pack.activities or episode.id in pack.registers:
            findings.add("id.twice", _at(episode.at), f"{episode.id} is declared twice", "Give it another name.")
        expressions = [episode.key, episode.when, *episode.facts.values(), *(one.key for one in episode.members)]
        of_kinds = set().union(*(produced.get(kind, set()) for kind in kinds))
        known = {*of_kinds, *episode.facts, *MEMBER_FACTS, *pack.derived}
        _names(episode.id, [one for one in expressions if one is not None], known, findings)
        if episode.day is not None and episode.day not in known:
            findings.add("fact.unknown", _at(episode.at), f"{episode.id}: there is no fact {episode.day}",
                         nearest(episode.day, known))  # fmt: skip
    groups = {row.group for row in pack.deployments}
    for register in pack.registers.values():
        _kinds(pack, register.id, tuple(register.members), _at(register.at), findings)
        of_kinds = set().union(*(produced.get(kind, set()) for kind in register.members))
        known = {*produced[register.id], *of_kinds, *pack.derived}
        expressions = [register.when, *register.facts.values(), *register.members.values()]
        _names(register.id, [one for one in expressions if one is not None], known, findings)
        if register.group is not None and pack.deployments and register.group not in groups:
            findings.add(
                "group.unknown",
                _at(register.at),
                f"{register.id}: no reporter is in group {register.group}",
                nearest(register.group, groups),
            )


def _kinds(pack: Pack, owner: str, kinds: Iterable[str], at: Place, findings: Findings) -> None:
    for kind in kinds:
        if kind not in pack.activities:
            near = nearest(kind, pack.activities)
            findings.add("activity.unknown", at, f"{owner}: there is no activity {kind}", near)


def _names(owner: str, expressions: Iterable[Predicate], known: set[str], findings: Findings) -> None:
    for one in expressions:
        names = {*names_read(one.evaluate, one.source), *_OF_MEMBERS.findall(one.source)}
        for name in sorted(names - known):
            findings.add(
                "fact.unknown", _at(one.at), f"{owner}: there is no fact {name} here", nearest(name, sorted(known))
            )


def _form(pack: Pack, form: FormMapping, findings: Findings) -> None:
    sources = {*pack.sources, *(name for name, target in pack.targets.items() if target.kind == "openmrs")}
    if form.source not in sources:
        findings.add("source.unknown", _at(form.at), f"there is no source {form.source}", nearest(form.source, sources))
    if form.activity is None:
        return
    if form.activity not in pack.activities:
        findings.add(
            "activity.unknown",
            _at(form.at),
            f"there is no activity {form.activity}",
            nearest(form.activity, pack.activities),
        )
    for rule in _rules(form.facts):
        concept = pack.concepts.get(rule.name)
        if concept is None:
            findings.add(
                "fact.unknown", _at(rule.at), f"there is no concept {rule.name}", nearest(rule.name, pack.concepts)
            )
        else:
            _codes(rule, concept, findings)
    for rule in (form.referral or {}).values():
        if rule.name == "reasons" and rule.codes:
            for code in rule.codes.values():
                if code and code not in pack.concepts:
                    findings.add(
                        "concept.unknown", _at(rule.at), f"there is no concept {code}", nearest(code, pack.concepts)
                    )


def _codes(rule: FactRule, concept: Concept, findings: Findings) -> None:
    """Every meaning in a table must be an answer of the concept."""
    if concept.kind == "coded" and concept.answers:
        meanings = [one for one in (rule.codes or {}).values() if one]
        if rule.expression is None and rule.constant is not None:
            meanings.append(str(rule.constant))
        for meaning in dict.fromkeys(meanings):
            if meaning not in concept.answers:
                findings.add(
                    "code.no_answer",
                    _at(rule.at),
                    f"{rule.name}: {meaning} is not an answer of the concept",
                    nearest(meaning, concept.answers),
                )
    elif rule.codes and concept.kind not in ("coded", "text"):
        findings.add(
            "code.not_coded",
            _at(rule.at),
            f"{rule.name} has codes and is {concept.kind}",
            "Make the concept coded, or remove the codes.",
        )


def _concepts(pack: Pack, findings: Findings) -> None:
    for concept in pack.concepts.values():
        if concept.kind == "coded" and concept.fhir.get("resource") == "Observation":
            if not concept.answers:
                findings.add(
                    "concept.no_answers",
                    _at(concept.at),
                    f"{concept.id} is coded and has no answers",
                    "List its answers.",
                )
            for answer in concept.answers.values():
                if answer not in pack.concepts:
                    findings.add(
                        "concept.unknown",
                        _at(concept.at),
                        f"{concept.id}: there is no concept {answer}",
                        nearest(answer, pack.concepts),
                    )
        condition = concept.fhir.get("condition")
        if condition and condition not in pack.concepts:
            findings.add(
                "concept.unknown",
                _at(concept.at),
                f"{concept.id}: there is no concept {condition}",
                nearest(str(condition), pack.concepts),
            )


# ---------------------------------------------------------------- expressions


def _sources(pack: Pack) -> Iterator[tuple[str, Place]]:
    """Every expression of the pack as written, with its place."""
    for form in _distinct_forms(pack):
        heads = (form.date, form.time, form.place, form.worker, form.subject, form.key)
        rules = [*(one for one in heads if one), *form.facts, *(form.referral or {}).values()]
        for rule in _rules(rules):
            if rule.expression is not None:
                yield rule.source, _at(rule.at)
    for indicator in pack.indicators.values():
        for predicate in _looked_at(indicator):
            yield predicate.source, _at(predicate.at or indicator.at)
    for predicate in pack.derived.values():
        yield predicate.source, Place("activities.yaml", 1)
    for predicate in _derived_from_several(pack):
        yield predicate.source, _at(predicate.at)


def _looked_at(indicator: Indicator) -> Iterator[Predicate]:
    """The expressions of an indicator: its conditions, amounts, and what the first or latest is chosen among."""
    yield from indicator.parts.values()
    for rule in indicator.rules.values():
        yield from (one for one in (rule.amount, rule.among) if one is not None)


def _derived_from_several(pack: Pack) -> Iterator[Predicate]:
    """The expressions of episodes and registers."""
    for episode in pack.episodes.values():
        yield from (one for one in (episode.key, episode.when, *episode.facts.values()) if one is not None)
        for member in episode.members:
            yield from (member.key, member.matches)
    for register in pack.registers.values():
        yield from (one for one in (register.when, *register.facts.values(), *register.members.values()) if one)


def _expressions(pack: Pack, findings: Findings) -> None:
    """$number, $split and $not turn "not asked" into an error or into yes: they need a look."""
    known = functions(pack.zone)
    seen: set[tuple[str, Place, str]] = set()
    for source, at in _sources(pack):
        for match in _RAW.finditer(_STRING.sub(lambda m: " " * len(m.group()), source)):
            name = match.group(1)
            if name == "not" and _always_boolean(_argument(source, match.end()), known):
                continue
            if (name, at, source) not in seen:
                seen.add((name, at, source))
                findings.add(
                    f"expression.raw_{name}",
                    at,
                    f"${name} over what may be absent: {source[:60]}",
                    f"Use {_INSTEAD[name]}.",
                )


def _argument(source: str, start: int) -> str:
    depth = 1
    for index in range(start, len(source)):
        depth += {"(": 1, ")": -1}.get(source[index], 0)
        if depth == 0:
            return source[start:index]
    return source[start:]


def _always_boolean(text: str, known: Mapping[str, object]) -> bool:
    try:
        return shortcut(text, known).boolean  # type: ignore[arg-type]
    except NoShortcut:
        return False


def names_read(evaluate: object, source: str) -> set[str]:
    """The facts an expression looks at."""
    if isinstance(evaluate, Compiled) and evaluate.shortcut is not None:
        return set(evaluate.shortcut.reads)
    text = _STRING.sub(" ", source)
    return {name.strip("`") for name in _NAME.findall(text)} - _KEYWORDS


# ---------------------------------------------------------------- indicators


def _indicator(pack: Pack, indicator: Indicator, produced: Mapping[str, set[str]], findings: Findings) -> None:
    at = _at(indicator.at)
    if indicator.data_set not in pack.data_sets:
        findings.add(
            "data_set.unknown",
            at,
            f"{indicator.id}: there is no data set {indicator.data_set}",
            nearest(indicator.data_set, pack.data_sets),
        )
    known = {*pack.activities, *pack.episodes, *pack.registers}
    for kind in indicator.counts:
        if kind not in known:
            findings.add("activity.unknown", at, f"{indicator.id}: there is no activity {kind}", nearest(kind, known))
    told: set[tuple[str, tuple[str, ...]]] = set()
    for part in sorted(indicator.parts):  # the denominator first: a numerator repeats its names
        _part(pack, indicator, part, produced, told, findings)


def _part(
    pack: Pack, indicator: Indicator, part: str, produced: Mapping[str, set[str]],
    told: set[tuple[str, tuple[str, ...]]], findings: Findings,
) -> None:  # fmt: skip
    rule, at = indicator.rules[part], _at(indicator.at)
    kinds = tuple(rule.counts)
    facts = set().union(*(produced.get(kind, set()) for kind in kinds))
    if rule.each is not None and rule.each not in facts and ("each", kinds) not in told:
        told.add(("each", kinds))
        findings.add(
            "fact.never_produced",
            at,
            f"{indicator.id}: no form gives the list {rule.each}",
            nearest(rule.each, facts),
        )
    for predicate in (indicator.parts[part], rule.amount, rule.among):
        for name in sorted(names_read(predicate.evaluate, predicate.source)) if predicate is not None else ():
            if (name, kinds) not in told and predicate is not None:
                told.add((name, kinds))
                _known_fact(pack, indicator, name, facts, findings, at=predicate.at)
    if rule.period is not None:
        _known_fact(pack, indicator, rule.period, facts, findings)
    if rule.distinct == "household" and "household" not in facts:
        _known_fact(pack, indicator, "household", facts, findings)
    for category_id in rule.by:
        category = pack.categories.get(category_id)
        if (f"by {category_id}", kinds) in told:
            continue
        told.add((f"by {category_id}", kinds))
        if category is None:
            findings.add(
                "category.unknown",
                at,
                f"{indicator.id}: there is no category {category_id}",
                nearest(category_id, pack.categories),
            )
            continue
        for fact in dict.fromkeys((category.fact, *category.band_facts.values())):
            _known_fact(pack, indicator, fact, facts, findings, f" (category {category_id})")


def _known_fact(
    pack: Pack, indicator: Indicator, name: str, facts: set[str], findings: Findings, why: str = "",
    at: Place | None = None,
) -> None:  # fmt: skip
    if name in pack.derived:
        return
    at = _at(at or indicator.at)
    if name not in pack.concepts and name not in (*PERSON_FACTS, *HOUSEHOLD_FACTS) and name not in facts:
        findings.add(
            "fact.unknown",
            at,
            f"{indicator.id}: there is no fact {name}{why}",
            nearest(name, [*pack.concepts, *pack.derived, *PERSON_FACTS, *sorted(facts)]),
        )
    elif name not in facts:
        findings.add(
            "fact.never_produced",
            at,
            f"{indicator.id}: no form it counts gives {name}{why}",
            "Add it to a form mapping, or count something else.",
        )


def _derived(pack: Pack, findings: Findings) -> None:
    """A derived fact may look at facts, ages and the derived facts above it."""
    known = {*pack.concepts, *PERSON_FACTS, *HOUSEHOLD_FACTS}
    read: set[str] = set()
    for one in _derived_from_several(pack):
        read |= names_read(one.evaluate, one.source)
    for name, predicate in pack.derived.items():
        at = Place("activities.yaml", 1)
        names = names_read(predicate.evaluate, predicate.source)
        read |= names
        for missing in sorted(names - known):
            findings.add(
                "fact.unknown", at, f"derived {name}: there is no fact {missing} here", nearest(missing, known)
            )
        known.add(name)
    for indicator in pack.indicators.values():
        for predicate in _looked_at(indicator):
            read |= names_read(predicate.evaluate, predicate.source)
        for rule in indicator.rules.values():
            read.update(pack.categories[name].fact for name in rule.by if name in pack.categories)
    for name in pack.derived:
        if name not in read:
            findings.warn(
                "unused.derived", Place("activities.yaml", 1), f"nothing looks at the derived fact {name}", "Remove it."
            )


def _elements(pack: Pack, findings: Findings) -> None:
    owner: dict[str, str] = {}
    for indicator in pack.indicators.values():
        for code in indicator.elements.values():
            if code in owner:
                findings.add(
                    "element.twice",
                    _at(indicator.at),
                    f"{indicator.id}: data element {code} is already that of {owner[code]}",
                    "Give one of them another code in dhis2.yaml.",
                )
            owner[code] = indicator.id


def _categories(pack: Pack, findings: Findings) -> None:
    for category in pack.categories.values():
        codes = list(category.options.values())
        for code in {code for code in codes if codes.count(code) > 1}:
            findings.add(
                "option.twice",
                _at(category.at),
                f"category {category.id}: two options have the code {code}",
                "Each option needs its own code.",
            )
        bands = category.bands or {}
        if bands and len(bands) < len(category.options) - 1:
            findings.add(
                "band.missing",
                _at(category.at),
                f"category {category.id}: some options have no band",
                "Give every option from and below.",
            )
        for (one, first), (other, second) in combinations(bands.items(), 2):
            same_unit = category.band_facts.get(one) == category.band_facts.get(other)
            if first[0] >= first[1] or (same_unit and first[0] < second[1] and second[0] < first[1]):
                findings.add(
                    "band.overlap",
                    _at(category.at),
                    f"category {category.id}: {one} and {other} overlap",
                    "Each age belongs to one band.",
                )


def _unused(pack: Pack, produced: Mapping[str, set[str]], findings: Findings) -> None:
    facts = set().union(*produced.values()) if produced else set()
    answers = {answer for concept in pack.concepts.values() for answer in concept.answers.values()}
    conditions = {concept.fhir.get("condition") for concept in pack.concepts.values()}
    for name, concept in pack.concepts.items():
        if name not in facts and name not in answers and name not in conditions and name not in REFERRAL_FACTS:
            findings.warn(
                "unused.concept",
                _at(concept.at),
                f"nothing gives or names the concept {name}",
                "Remove it, or give it in a form.",
            )
    kinds = {form.activity for form in pack.forms.values()}
    for name, kind in pack.activities.items():
        if name not in kinds:
            findings.warn(
                "unused.activity", _at(kind.at), f"no form gives the activity {name}", "Remove it, or map a form."
            )
    by = {one for indicator in pack.indicators.values() for rule in indicator.rules.values() for one in rule.by}
    for name, category in pack.categories.items():
        if name not in by:
            findings.warn("unused.category", _at(category.at), f"no indicator is split by {name}", "Remove it.")
    sets = {indicator.data_set for indicator in pack.indicators.values()}
    for name, data_set in pack.data_sets.items():
        if name not in sets:
            findings.warn("unused.data_set", _at(data_set.at), f"no indicator goes to {name}", "Remove it.")


# ---------------------------------------------------------------- places


def _places(pack: Pack, findings: Findings) -> None:
    file = Place("org_units.csv", 1)
    codes = {row.org_unit for row in pack.org_units}
    levels = {row.level for row in pack.org_units}
    rows: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in pack.org_units:
        spans = rows.setdefault((row.source, row.place), [])
        last = row.valid_to.isoformat() if row.valid_to else "9999"
        if row.place and any(row.valid_from.isoformat() <= end and start <= last for start, end in spans):
            findings.add(
                "org_unit.overlap",
                file,
                f"{row.source} {row.place} is two org units at the same time",
                "End the first (valid_to) before the second begins.",
            )
        spans.append((row.valid_from.isoformat(), last))
        if row.parent and row.parent not in codes:
            findings.add(
                "org_unit.parent",
                file,
                f"{row.org_unit}: the parent {row.parent} has no line",
                nearest(row.parent, codes),
            )
    groups = {row.group for row in pack.deployments}
    for deployed in pack.deployments:
        if deployed.org_unit not in codes:
            findings.add(
                "org_unit.unknown",
                Place("deployments.csv", 1),
                f"{deployed.reporter}: there is no org unit {deployed.org_unit}",
                nearest(deployed.org_unit, codes),
            )
    for data_set in pack.data_sets.values():
        if pack.org_units and data_set.level not in levels:
            findings.add(
                "level.unknown",
                _at(data_set.at),
                f"{data_set.id}: no org unit has the level {data_set.level}",
                nearest(data_set.level, levels),
            )
        if data_set.complete and pack.deployments and data_set.complete not in groups:
            findings.add(
                "group.unknown",
                _at(data_set.at),
                f"{data_set.id}: no reporter is in group {data_set.complete}",
                nearest(data_set.complete, groups),
            )
