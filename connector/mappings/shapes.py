"""What a YAML file of a pack may look like, as declarations: the readers, ``relais check`` and the JSON Schema for
editors all come from them, so none can say something else than the others.

A shape checks a node (``conform``) and says itself as JSON Schema (``schema``). Scalars are text in our files and typed
values in an editor's eyes, so each scalar shape says which types an editor may see. What cannot be said as a shape
(names that must exist elsewhere, time zones, cron) is checked by the readers and by lint.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.findings import Pair, nearest
from connector.mappings.pack import Place
from connector.mappings.yaml_nodes import Any_, Findings, Map, Scalar, Seq

Json = dict[str, Any]
NO_DOC: Pair = ("", "")
#: ``${NAME}``, which the reader of ``connector.yaml`` puts a value for.
_REFERENCE = r".*\$\{.+\}.*"


@dataclass(slots=True)
class Making:
    """A schema being made. ``defined``: the shapes with a name; ``references``: ``${NAME}`` may stand for a value."""

    references: bool = False
    defined: Json = field(default_factory=dict)


def join(what: str, key: str) -> str:
    """The words for a key below others: ``sources: cht: url``."""
    return f"{what}: {key}" if what else key


def prefix(what: str) -> str:
    return f"{what}: " if what else ""


class Shape:
    """One kind of value. ``expected``: what it is in words, for a finding."""

    expected: Pair = NO_DOC

    def conform(self, node: Any_, findings: Findings, what: str) -> None:
        """Add a finding for whatever in ``node`` is not of this shape."""
        raise NotImplementedError

    def schema(self, made: Making, *, empty: bool) -> Json:
        """As JSON Schema (draft 07). ``empty``: nothing may stand here too."""
        raise NotImplementedError

    def _is(self, kind: type, node: Any_, findings: Findings, what: str) -> bool:
        if isinstance(node, kind):
            return True
        findings.add("value.type", node.at, what=what, expected=self.expected)
        return False


@dataclass(frozen=True, slots=True)
class Field:
    """A key of a group. ``default``: what holds when it is not given."""

    shape: Shape
    doc: Pair = NO_DOC
    required: bool = False
    default: str = ""


@dataclass(frozen=True, slots=True)
class Word(Shape):
    """One value as text: any, one of ``among``, or what ``pattern`` matches whole. ``code``: the finding when it does
    not, with ``expected`` saying what would. ``whole``: least and greatest when an editor sees a number."""

    among: tuple[str, ...] = ()
    pattern: str = ""
    code: str = "value.format"
    expected: Pair = ("une seule valeur", "one value")
    example: str = ""
    whole: tuple[int, int] | None = None

    def fits(self, text: str) -> bool:
        if self.among:
            return text in self.among
        return not self.pattern or re.fullmatch(self.pattern, text) is not None

    def conform(self, node: Any_, findings: Findings, what: str) -> None:
        if not isinstance(node, Scalar) or node.empty:
            findings.add("value.type", node.at, what=what, expected=self.expected)
            return
        text = node.text
        if self.fits(text):
            return
        if self.among:
            findings.add("value.choice", node.at, what=what, value=text, nearest=nearest(text, self.among))
        else:
            findings.add(self.code, node.at, what=what, value=text, expected=self.expected, example=self.example)

    def schema(self, made: Making, *, empty: bool) -> Json:
        if not self.among and not self.pattern:
            return {"type": ["string", "number", "boolean", *(["null"] if empty else [])]}
        ways: list[Json]
        if self.among:
            known: list[Any] = [*self.among, *(one == "true" for one in self.among if one in ("true", "false"))]
            ways = [{"enum": [*known, *([None] if empty else [])]}]
        else:
            ways = [{"type": ["string", "null"] if empty else "string", "pattern": f"^(?:{self.pattern})$"}]
            if self.example:
                ways[0]["examples"] = [self.example]
        if self.whole is not None:
            ways.append({"type": "integer", "minimum": self.whole[0], "maximum": self.whole[1]})
        if made.references:
            ways.append({"type": "string", "pattern": f"^(?:{_REFERENCE})$"})
        return ways[0] if len(ways) == 1 else {"anyOf": ways}


#: One value, whatever it is.
TEXT = Word()
FLAG = Word(among=("true", "false"))


@dataclass(frozen=True, slots=True)
class Expression(Word):
    """A path or condition in JSONata; whether it can be read is the compiler's to say."""


@dataclass(frozen=True, slots=True)
class Whole(Word):
    """A whole number from 0."""

    pattern: str = r"\d{1,9}"
    code: str = "value.format"
    expected: Pair = ("un nombre entier", "a whole number")
    example: str = "12"
    whole: tuple[int, int] | None = (0, 999_999_999)


@dataclass(frozen=True, slots=True)
class Number(Word):
    """A number, whole or with decimals."""

    pattern: str = r"-?\d{1,9}(\.\d{1,9})?"
    expected: Pair = ("un nombre", "a number")
    example: str = "0.1"

    def schema(self, made: Making, *, empty: bool) -> Json:
        bound = {"type": "number", "exclusiveMinimum": -1_000_000_000, "exclusiveMaximum": 1_000_000_000}
        return {"anyOf": [Word.schema(self, made, empty=empty), bound]}


@dataclass(frozen=True, slots=True)
class Texts(Shape):
    """A name: one word for all languages, or one per language."""

    expected: Pair = ("un nom, ou {fr: ..., en: ...}", "a name, or {fr: ..., en: ...}")

    def conform(self, node: Any_, findings: Findings, what: str) -> None:
        if isinstance(node, Scalar):
            return
        if self._is(Map, node, findings, what):
            for language, value in node.entries.items():  # type: ignore[union-attr]
                TEXT.conform(value, findings, join(what, language))

    def schema(self, made: Making, *, empty: bool) -> Json:
        return {
            "anyOf": [
                TEXT.schema(made, empty=empty),
                {
                    "type": "object",
                    "properties": {"fr": TEXT.schema(made, empty=False), "en": TEXT.schema(made, empty=False)},
                    "additionalProperties": TEXT.schema(made, empty=False),
                },
            ]
        }


@dataclass(frozen=True, slots=True)
class Words(Shape):
    """One word or a list of words."""

    item: Word = TEXT
    expected: Pair = ("un mot, ou une liste [un, deux]", "a word, or a list [one, two]")

    def conform(self, node: Any_, findings: Findings, what: str) -> None:
        if isinstance(node, Scalar):
            self.item.conform(node, findings, what)
        elif self._is(Seq, node, findings, what):
            for one in node.items:  # type: ignore[union-attr]
                self.item.conform(one, findings, what)

    def schema(self, made: Making, *, empty: bool) -> Json:
        items = self.item.schema(made, empty=False)
        return {"anyOf": [self.item.schema(made, empty=empty), {"type": "array", "items": items}]}


@dataclass(frozen=True, slots=True)
class ListOf(Shape):
    item: Shape
    expected: Pair = ("une liste, chaque élément après un -", "a list, each item after a -")

    def conform(self, node: Any_, findings: Findings, what: str) -> None:
        if self._is(Seq, node, findings, what):
            for number, item in enumerate(node.items, 1):  # type: ignore[union-attr]
                self.item.conform(item, findings, f"{what} {label(item, number)}")

    def schema(self, made: Making, *, empty: bool) -> Json:
        kind = ["array", "null"] if empty else "array"
        return {"type": kind, "items": self.item.schema(made, empty=False)}


def label(item: Any_, number: int) -> str:
    """How an item of a list is called: by its id, else by its number."""
    name = item.entries.get("id") if isinstance(item, Map) else None
    return name.text if isinstance(name, Scalar) else f"{number}"


@dataclass(frozen=True, slots=True)
class MapOf(Shape):
    """Any names, each with a value of one shape. ``holes``: a name without a value is meant so."""

    value: Shape
    doc: Pair = NO_DOC
    holes: bool = False
    expected: Pair = ("des lignes  nom: valeur", "lines of  name: value")

    def conform(self, node: Any_, findings: Findings, what: str) -> None:
        if self._is(Map, node, findings, what):
            for name, value in node.entries.items():  # type: ignore[union-attr]
                if not (isinstance(value, Scalar) and value.empty and self.holes):
                    self.value.conform(value, findings, join(what, name))

    def schema(self, made: Making, *, empty: bool) -> Json:
        kind = ["object", "null"] if empty else "object"
        value = self.value.schema(made, empty=self.holes)
        return {"type": kind, "additionalProperties": value}


@dataclass(frozen=True, slots=True)
class Group(Shape):
    """Known keys. ``by``: a key whose value decides which further keys there are (``cases``)."""

    fields: Mapping[str, Field]
    by: str = ""
    cases: Mapping[str, Mapping[str, Field]] = field(default_factory=dict)
    expected: Pair = ("des lignes  nom: valeur", "lines of  name: value")

    def fields_of(self, node: Any_ | None) -> Mapping[str, Field]:
        """The keys that this node may have."""
        chosen = node.entries.get(self.by) if self.by and isinstance(node, Map) else None
        name = chosen.text if isinstance(chosen, Scalar) else ""
        if self.by and name not in self.cases:  # which is a finding of its own
            return {**self.fields, **{key: one for case in self.cases.values() for key, one in case.items()}}
        return {**self.fields, **self.cases.get(name, {})}

    def conform(self, node: Any_, findings: Findings, what: str) -> None:
        if not isinstance(node, Map):
            self._is(Map, node, findings, what)
            return
        fields = self.fields_of(node)
        decided = not self.by or (isinstance(said := node.entries.get(self.by), Scalar) and said.text in self.cases)
        for key, at in node.keys_at.items():
            if key not in fields:
                findings.add("key.unknown", at, what=prefix(what), key=key, nearest=nearest(key, fields))
        for key, one in fields.items():
            value = node.entries.get(key)
            if value is None or (isinstance(value, Scalar) and value.empty):
                if one.required and (decided or key in self.fields):
                    findings.add("key.missing", node.at, what=prefix(what), key=key)
            else:
                one.shape.conform(value, findings, join(what, key))

    def schema(self, made: Making, *, empty: bool) -> Json:
        kind = ["object", "null"] if empty else "object"
        if not self.by:
            return {"type": kind, **_keys(self.fields, made), "additionalProperties": False}
        chosen = {self.by: {"enum": list(self.cases)}}
        return {
            "type": kind,
            **({"required": [self.by]} if not empty else {}),
            "properties": chosen,
            "allOf": [
                {
                    "if": {"properties": {self.by: {"const": name}}, "required": [self.by]},
                    "then": {**_keys({**self.fields, **more}, made), "additionalProperties": False},
                }
                for name, more in self.cases.items()
            ],
        }


def _keys(fields: Mapping[str, Field], made: Making) -> Json:
    properties = {}
    for key, one in fields.items():
        properties[key] = one.shape.schema(made, empty=not one.required)
        if any(one.doc):
            properties[key] = {**properties[key], "description": " / ".join(filter(None, one.doc))}
        if one.default:
            properties[key] = {**properties[key], "default": one.default}
    required = [key for key, one in fields.items() if one.required]
    return {"properties": properties, **({"required": required} if required else {})}


@dataclass(frozen=True, slots=True)
class Either(Shape):
    """One shape for a scalar, another for a group, another for a list; None where that cannot be."""

    scalar: Shape | None = None
    group: Shape | None = None
    list: Shape | None = None
    expected: Pair = NO_DOC

    def of(self, node: Any_) -> Shape | None:
        if isinstance(node, Scalar):
            return self.scalar
        return self.group if isinstance(node, Map) else self.list

    def conform(self, node: Any_, findings: Findings, what: str) -> None:
        shape = self.of(node)
        if shape is None:
            findings.add("value.type", node.at, what=what, expected=self.expected)
        else:
            shape.conform(node, findings, what)

    def schema(self, made: Making, *, empty: bool) -> Json:
        shapes = [one for one in (self.scalar, self.group, self.list) if one is not None]
        ways = [one.schema(made, empty=False) for one in shapes]
        return {"anyOf": [*ways, {"type": "null"}] if empty else ways}


@dataclass(frozen=True, slots=True)
class Named(Shape):
    """A shape with a name, for shapes that hold themselves."""

    name: str
    shape: Callable[[], Shape]

    def conform(self, node: Any_, findings: Findings, what: str) -> None:
        self.shape().conform(node, findings, what)

    def schema(self, made: Making, *, empty: bool) -> Json:
        if self.name not in made.defined:
            made.defined[self.name] = {}  # being made: a shape inside may name it
            made.defined[self.name] = self.shape().schema(made, empty=False)
        said = {"$ref": f"#/definitions/{self.name}"}
        return {"anyOf": [said, {"type": "null"}]} if empty else {"allOf": [said]}


@dataclass(frozen=True, slots=True)
class Anything(Shape):
    """A document of another system: whatever it holds."""

    def conform(self, node: Any_, findings: Findings, what: str) -> None:
        return None

    def schema(self, made: Making, *, empty: bool) -> Json:
        return {}


def plain_shape(shape: Shape) -> Shape:
    """The shape behind a name."""
    while isinstance(shape, Named):
        shape = shape.shape()
    return shape


#: A key of a mapping, or the index of an item.
Path = tuple[str | int, ...]


def scalars(node: Any_, shape: Shape, path: Path = ()) -> Iterator[tuple[Path, Scalar, Word]]:
    """Every scalar of a node that has a declared shape, with its path and shape."""
    shape = plain_shape(shape)
    if isinstance(shape, Either):
        inner = shape.of(node)
        if inner is not None:
            yield from scalars(node, inner, path)
    elif isinstance(node, Scalar):
        if isinstance(shape, Words):
            yield path, node, shape.item
        elif isinstance(shape, Word):
            yield path, node, shape
        elif isinstance(shape, Texts):
            yield path, node, TEXT
    elif isinstance(node, Seq):
        if isinstance(shape, ListOf | Words):
            for index, item in enumerate(node.items):
                yield from scalars(item, shape.item, (*path, index))
    elif isinstance(shape, Texts):
        for key, value in node.entries.items():
            yield from scalars(value, TEXT, (*path, key))
    elif isinstance(shape, MapOf):
        for key, value in node.entries.items():
            yield from scalars(value, shape.value, (*path, key))
    elif isinstance(shape, Group):
        for key, one in shape.fields_of(node).items():
            if key in node.entries:
                yield from scalars(node.entries[key], one.shape, (*path, key))


def at_key(node: Any_, key: str) -> Place:
    """The place of a key of a mapping."""
    return node.keys_at.get(key, node.at) if isinstance(node, Map) else node.at
