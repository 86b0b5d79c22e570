"""Names that nothing else in the pack repeats, so that a slip in one is a name like any other: they are held against
the names beside them, the file they stand in, and what they name elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher

from connector.findings import nearest
from connector.mappings.lint_samples import samples_of
from connector.mappings.linting import Checking, at
from connector.mappings.pack import Place
from connector.mappings.yaml_nodes import Map, Scalar

#: So alike are a name and the same name with a slip in it (``difflib``).
_A_SLIP = 0.8
#: So many names written alike are a rule, when one is nearly like them, and when one is the only exception.
_A_RULE, _ALL_BUT_ONE = 5, 8
_DIGITS, _DIGIT, _PADDED = re.compile(r"\d+"), re.compile(r"\d"), re.compile(r"(?<!\d)0\d")
_CIEL = "CIEL:"


def check(one: Checking) -> None:
    _files(one)
    _columns(one)
    _targets(one)
    _written_alike(one)
    _chis(one)
    _clinics(one)


def is_slip(name: str, meant: str) -> bool:
    return name != meant and SequenceMatcher(None, name, meant).ratio() >= _A_SLIP


# ---------------------------------------------------------------- forms, sources, targets


def _files(one: Checking) -> None:
    """A mapping lies in the folder of its source; its file is called as its form, or otherwise altogether."""
    files = {form.file.removesuffix(".yaml").rpartition("/")[2] for form in one.forms()}
    for form in one.forms():
        _, folder, name = form.file.removesuffix(".yaml").split("/")
        if form.source != folder and {form.source, folder} <= {*one.pack.sources, *one.pack.targets}:
            place = one.where.value(form.file, "form", "source")
            one.add("form.folder", place, source=form.source, folder=folder)
        said = one.where.node(form.file, "form", "name")
        if isinstance(said, Scalar) and (is_slip(said.text, name) or said.text in files - {name}):
            one.add("form.slip", said.at, name=said.text, file=name)


def _columns(one: Checking) -> None:
    """Columns that a source of tables names are in its sample records."""
    for source in one.pack.sources.values():
        if source.settings.get("format") != "csv":
            continue
        forms = [form for form in one.forms() if form.source == source.name]
        heads = {head for form in forms for sample in samples_of(one, form) for head in sample.record}
        for key in ("key", "action", "revision"):
            named = source.settings.get(key) or ()
            for column in [named] if isinstance(named, str) else named:
                if heads and column not in heads:
                    place = one.where.value("connector.yaml", "sources", source.name, key)
                    near = nearest(column, sorted(heads))
                    one.add("column.unseen", place, source=source.name, column=column, nearest=near)


def _targets(one: Checking) -> None:
    """Identifiers and what was sent hang on the name of a target, which nothing else in the pack repeats."""
    for name, target in one.pack.targets.items():
        if target.kind not in name and is_slip(name, target.kind):
            place = one.where.key("connector.yaml", "targets", name)
            one.add("target.slip", place, name=name, kind=target.kind)


# ---------------------------------------------------------------- tables


def _written_alike(one: Checking) -> None:
    """Names of reporters within their group, and of places within their level, that are written like no other."""
    columns: dict[tuple[str, str], list[tuple[str, Place]]] = {}
    for row in one.pack.deployments:
        columns.setdefault(("reporter", row.group), []).append((row.reporter, at(row.at)))
    for unit in one.pack.org_units:
        columns.setdefault(("place", unit.level), []).append((unit.place, at(unit.at)))
    for (column, _), cells in columns.items():
        odd = unlike([name for name, _ in cells if name])
        for name, place in cells:
            if name in odd:
                one.add("id.slip", one.where.cell(place, column), name=name, other=odd[name])


def unlike(names: Sequence[str]) -> Mapping[str, str]:
    """Names written like no other, with one that shows how the others are. Names that differ in their figures only
    are alike; where figures begin with 0, also in how many there are, but a number may outgrow its zeros."""
    found = _alone(names, lambda name: _DIGITS.sub("#", name))
    left = [name for name in names if name not in found]
    if any(map(_PADDED.search, left)):
        longer = _alone(left, lambda name: _DIGIT.sub("9", name))
        found.update({name: other for name, other in longer.items() if len(name) < len(other) or _PADDED.search(name)})
    return found


def _alone(names: Sequence[str], how: Callable[[str], str]) -> dict[str, str]:
    written = {name: how(name) for name in names}
    many = Counter(written[name] for name in names)
    found = {}
    for name, own in written.items():
        for rule, count in many.items() if many[own] == 1 else ():
            if (count >= _A_RULE and is_slip(own, rule)) or count == len(names) - 1 >= _ALL_BUT_ONE:
                found[name] = next(other for other in names if written[other] == rule)
    return found


# ---------------------------------------------------------------- codes


def _chis(one: Checking) -> None:
    """A code of the community health information package is that of one indicator."""
    first: dict[str, str] = {}
    for indicator in one.pack.indicators.values():
        if indicator.chis is None:
            continue
        other = first.setdefault(indicator.chis, indicator.id)
        if other != indicator.id:
            file, *steps = one.where.indicator(indicator.id)
            place = one.where.value(file, *steps, "chis")
            one.add("chis.twice", place, name=indicator.id, code=indicator.chis, other=other)


def _clinics(one: Checking) -> None:
    """What ``openmrs.yaml`` gives as ``CIEL:n`` is what ``concepts.yaml`` says it is at CIEL."""
    concepts = one.pack.concepts
    treatments = one.where.node("openmrs.yaml", "answers", "treatment")
    if isinstance(treatments, Map):
        _same_code(one, treatments.entries)
    observations = one.where.node("openmrs.yaml", "observations")
    for name, node in observations.entries.items() if isinstance(observations, Map) else ():
        concept = concepts.get(name)
        if concept is None or not isinstance(node, Map):
            continue
        said = {concept.id: node.entries.get("value") or node.entries.get("concept")}
        if "value" in node.entries:  # one of the answers to a question
            asked = next((other.id for other in concepts.values() if name in other.answers.values()), "")
            said[asked] = node.entries.get("concept")
        answers = node.entries.get("answers")
        if isinstance(answers, Map):
            said.update({concept.answers.get(answer, ""): given for answer, given in answers.entries.items()})
        _same_code(one, said)


def _same_code(one: Checking, said: Mapping[str, object]) -> None:
    for meant, given in said.items():
        known = one.pack.concepts.get(meant)
        code = known.codings.get("ciel") if known is not None else None
        if code is None or not isinstance(given, Scalar) or not given.text.startswith(_CIEL):
            continue
        if given.text != _CIEL + code:
            one.add("coding.differs", given.at, concept=meant, code=given.text, other=_CIEL + code)
