"""The examples themselves: what they name must exist, and every mapping has one."""

from __future__ import annotations

from collections.abc import Iterator

from connector.findings import nearest
from connector.mappings.linting import HOUSEHOLD_FACTS, PERSON_FACTS, REFERRAL_FACTS, Checking, every_rule
from connector.mappings.pack import Place
from connector.mappings.pack_shapes import kind_of
from connector.mappings.where import Step
from connector.mappings.yaml_nodes import Map, Scalar, Seq, read_yaml

TEST = ".test.yaml"


def check(one: Checking) -> None:
    for file in one.where.files("form_test", "indicator_test", "category_test", "episode_test", "register_test"):
        kind = kind_of(file)
        node = read_yaml(one.where.folder / file, file, one.findings)
        if node is not None and kind is not None:
            kind.shape.conform(node, one.findings, "")
    _forms(one)
    _indicators(one)
    _together(one)
    _categories(one)


def beside(file: str) -> str:
    """The file of examples beside a mapping."""
    return file.removesuffix(".yaml") + TEST


def _examples(one: Checking, file: str) -> list[tuple[tuple[Step, ...], Map]]:
    listed = one.where.node(file, "examples")
    items = listed.items if isinstance(listed, Seq) else ()
    return [(("examples", number), item) for number, item in enumerate(items) if isinstance(item, Map)]


def _mapped(one: Checking, file: str) -> bool:
    """Is there a mapping beside these examples? If not, say so."""
    target = file.removesuffix(TEST) + ".yaml"
    if (one.where.folder / target).is_file():
        return True
    names = [path.name for path in sorted((one.where.folder / file).parent.glob("*.yaml")) if TEST not in path.name]
    name = target.rpartition("/")[2]
    one.add("example.orphan", Place(file, 1), file=name, nearest=nearest(name, names))
    return False


def _forms(one: Checking) -> None:
    for file in one.where.files("form_test"):
        target = file.removesuffix(TEST) + ".yaml"
        forms = [form for form in one.pack.forms.values() if form.file == target]
        if not _mapped(one, file) or not forms:
            continue
        facts = {rule.name for form in forms for rule in form.facts}
        if any(form.referral for form in forms):
            facts.update(REFERRAL_FACTS)
        for steps, example in _examples(one, file):
            named = example.entries.get("form")
            if isinstance(named, Scalar) and named.text not in [form.name for form in forms]:
                near = nearest(named.text, [form.name for form in forms])
                one.add("form.unknown", named.at, name=named.text, nearest=near)
            expect = (*steps, "expect")
            _names(one, file, (*expect, "facts"), facts)
            _words(one, file, (*expect, "absent"), facts)
            _counted(one, file, (*expect, "counts"))
    for form in one.forms():
        if not _examples(one, beside(form.file)):
            place = one.where.value(form.file, "form", "name")
            one.add("example.missing", place, what=form.name, file=beside(form.file))


def _indicators(one: Checking) -> None:
    tried: set[str] = set()
    for file in one.where.files("form_test", "indicator_test"):
        for steps, example in _examples(one, file):
            way: tuple[Step, ...] = ("expect", "counts") if file.startswith("forms/") else ("expect",)
            node = one.where.node(file, *steps, *way)
            tried.update(node.entries if isinstance(node, Map) else ())
            if file.startswith("forms/"):
                continue
            activity = example.entries.get("activity")
            if isinstance(activity, Scalar) and activity.text not in one.pack.activities:
                near = nearest(activity.text, one.pack.activities)
                one.add("activity.unknown", activity.at, what="", name=activity.text, nearest=near)
            _names(one, file, (*steps, "facts"), {*one.pack.concepts, *PERSON_FACTS, *HOUSEHOLD_FACTS, *REFERRAL_FACTS})
            _counted(one, file, (*steps, "expect"))
    for file in one.where.files("indicator_test"):
        _mapped(one, file)
    tried |= _counted_together(one)
    for name in one.pack.indicators:
        if name not in tried:
            path, *below = one.where.indicator(name)
            one.add("example.missing", one.where.value(path, *below, "id"), what=name, file=beside(path))


def _lines(one: Checking) -> Iterator[tuple[str, tuple[Step, ...], Map]]:
    """Whatever in the examples of episodes and registers says what is counted: file, steps, lines."""
    for file in one.where.files("episode_test", "register_test"):
        for steps, example in _examples(one, file):
            expect = example.entries.get("expect")
            if isinstance(expect, Map):
                yield file, (*steps, "expect"), expect
            for number, item in enumerate(expect.items if isinstance(expect, Seq) else ()):
                counts = item.entries.get("counts") if isinstance(item, Map) else None
                if isinstance(counts, Map):
                    yield file, (*steps, "expect", number, "counts"), counts


def _counted_together(one: Checking) -> set[str]:
    return {name for _, _, lines in _lines(one) for name in lines.entries}


def _together(one: Checking) -> None:
    """Examples of episodes and registers name what there is, and there is one for each."""
    for file, steps, _ in _lines(one):
        _counted(one, file, steps)
    for kind, key, known in (
        ("episode_test", "episode", dict(one.pack.episodes)), ("register_test", "register", dict(one.pack.registers))
    ):  # fmt: skip
        tried: set[str] = set()
        for file in one.where.files(kind):
            for steps, example in _examples(one, file):
                named = example.entries.get(key)
                if isinstance(named, Scalar):
                    tried.add(named.text)
                    if named.text not in known:
                        one.add(
                            "activity.unknown", named.at, what="", name=named.text, nearest=nearest(named.text, known)
                        )
                for part in ("records", "members"):
                    _activities(one, file, (*steps, part))
        for name in known:
            if name not in tried:
                place = one.where.value(f"{key}s.yaml", f"{key}s", name, "id")
                one.add("example.missing", place, what=name, file=f"{key}s{TEST}")


def _activities(one: Checking, file: str, steps: tuple[Step, ...]) -> None:
    listed = one.where.node(file, *steps)
    for item in listed.items if isinstance(listed, Seq) else ():
        kind = item.entries.get("activity") if isinstance(item, Map) else None
        if isinstance(kind, Scalar) and kind.text not in one.pack.activities:
            near = nearest(kind.text, one.pack.activities)
            one.add("activity.unknown", kind.at, what="", name=kind.text, nearest=near)


def _categories(one: Checking) -> None:
    tried: set[str] = set()
    known = {*one.pack.concepts, *PERSON_FACTS, *one.pack.derived}
    for file in one.where.files("category_test"):
        for steps, example in _examples(one, file):
            named = example.entries.get("category")
            if not isinstance(named, Scalar):
                continue
            tried.add(named.text)
            category = one.pack.categories.get(named.text)
            if category is None:
                near = nearest(named.text, one.pack.categories)
                one.add("category.unknown", named.at, what="", name=named.text, nearest=near)
                continue
            _names(one, file, (*steps, "facts"), known)
            option = example.entries.get("option")
            if isinstance(option, Scalar) and option.text not in category.options:
                near = nearest(option.text, category.options)
                one.add(
                    "code.no_answer", option.at, what="option", code=option.text, concept=category.id, nearest=near
                )  # fmt: skip
    for name, category in one.pack.categories.items():
        if category.bands and name not in tried:
            place = one.where.value("categories.yaml", "categories", name, "id")
            one.add("example.missing", place, what=name, file="categories" + TEST)


def _names(one: Checking, file: str, steps: tuple[Step, ...], known: set[str]) -> None:
    node = one.where.node(file, *steps)
    for name in node.entries if isinstance(node, Map) else ():
        if name not in known:
            _no_fact(one, node.keys_at[name], name, known)  # type: ignore[union-attr]


def _words(one: Checking, file: str, steps: tuple[Step, ...], known: set[str]) -> None:
    node = one.where.node(file, *steps)
    nodes = node.items if isinstance(node, Seq) else [node]
    for word in nodes:
        if isinstance(word, Scalar) and word.text not in known:
            _no_fact(one, word.at, word.text, known)


def _no_fact(one: Checking, place: Place, name: str, known: set[str]) -> None:
    # A name that is no concept's is a slip itself, and no hint.
    possible = sorted(known & {*one.pack.concepts, *PERSON_FACTS, *one.pack.derived})
    one.add("fact.unknown", place, what="", name=name, where=("", ""), nearest=nearest(name, possible))


def _counted(one: Checking, file: str, steps: tuple[Step, ...]) -> None:
    node = one.where.node(file, *steps)
    for name, lines in node.entries.items() if isinstance(node, Map) else ():
        indicator = one.pack.indicators.get(name)
        if indicator is None:
            if not one.where.indicator(name)[0]:  # else it is written, and what is wrong with it is said there
                near = nearest(name, one.pack.indicators)
                one.add("indicator.unknown", one.where.key(file, *steps, name), name=name, nearest=near)
            continue
        for line in lines.items if isinstance(lines, Seq) else ():
            if isinstance(line, Scalar) and line.text.partition(" ")[0] not in indicator.rules:
                parts = list(indicator.rules)
                one.add("example.part", line.at, text=line.text, name=name, parts=", ".join(parts), first=parts[0])


__all__ = ["beside", "check", "every_rule"]
