"""Reading a mapping by its declaration. What is of another shape was found already; here it counts as not given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from connector.mappings.pack import Place
from connector.mappings.shapes import Either, Group, ListOf, MapOf, Shape, Texts, Word, Words, join, label, plain_shape
from connector.mappings.yaml_nodes import Any_, Findings, Map, Scalar, Seq, read_yaml


class Section:
    """A mapping being read: one method per kind of value. KeyError: a key that is not declared."""

    def __init__(self, node: Any_ | None, at: Place, findings: Findings, what: str, shape: Shape) -> None:
        group = plain_shape(shape)
        if isinstance(group, Either) and group.group is not None:
            group = plain_shape(group.group)
        assert isinstance(group, Group), what
        self.findings = findings
        self.what = what
        self.at = node.at if node is not None else at
        self.map: Map = node if isinstance(node, Map) else Map({}, {}, self.at)
        self.fields = group.fields_of(self.map)

    def __contains__(self, key: str) -> bool:
        return key in self.map.entries

    def node(self, key: str) -> Any_ | None:
        if key not in self.fields:
            raise KeyError(f"{self.what}: {key} is read and not declared (pack_shapes.py)")
        found: Any_ | None = self.map.entries.get(key)
        return None if isinstance(found, Scalar) and found.empty else found

    def place(self, key: str) -> Place:
        """Where the key stands, or the mapping where it does not."""
        return self.map.keys_at.get(key, self.at)

    def value_at(self, key: str) -> Place:
        """Where the value stands."""
        found = self.map.entries.get(key)
        return found.at if found is not None else self.at

    def text(self, key: str) -> str:
        node, declared = self.node(key), self.fields[key]
        shape = plain_shape(declared.shape)
        assert isinstance(shape, Word), key
        return node.text if isinstance(node, Scalar) and shape.fits(node.text) else declared.default

    def maybe(self, key: str) -> str | None:
        return self.text(key) or None

    def flag(self, key: str) -> bool:
        return self.text(key) == "true"

    def whole(self, key: str) -> int:
        return int(self.text(key))

    def count(self, key: str) -> int | None:
        """A whole number, None where none is given."""
        text = self.text(key)
        return int(text) if text else None

    def names(self, key: str) -> list[str]:
        """One word or a list of words; those that do not fit are left out."""
        node, shape = self.node(key), plain_shape(self.fields[key].shape)
        assert isinstance(shape, Words), key
        nodes = node.items if isinstance(node, Seq) else [node]
        return [one.text for one in nodes if isinstance(one, Scalar) and not one.empty and shape.item.fits(one.text)]

    def texts(self, key: str) -> dict[str, str]:
        """A name in several languages, or one word for all of them."""
        node = self.node(key)
        assert isinstance(plain_shape(self.fields[key].shape), Texts), key
        if isinstance(node, Scalar):
            return {"fr": node.text}
        return mapping(node)

    def section(self, key: str) -> Section:
        return Section(self.node(key), self.place(key), self.findings, join(self.what, key), self.fields[key].shape)

    def sections(self, key: str) -> Iterator[Section]:
        """A list of mappings."""
        node, shape = self.node(key), plain_shape(self.fields[key].shape)
        assert isinstance(shape, ListOf), key
        for number, item in enumerate(node.items if isinstance(node, Seq) else (), 1):
            yield Section(item, item.at, self.findings, f"{join(self.what, key)} {label(item, number)}", shape.item)

    def named(self, key: str) -> Iterator[tuple[str, Section]]:
        """Mappings by name."""
        node, shape = self.node(key), plain_shape(self.fields[key].shape)
        assert isinstance(shape, MapOf), key
        for name, value in node.entries.items() if isinstance(node, Map) else ():
            yield name, Section(value, node.keys_at[name], self.findings, join(join(self.what, key), name), shape.value)  # type: ignore[union-attr]


def mapping(node: Any_ | None) -> dict[str, str]:
    """A mapping of text to text; what is none is left out."""
    if not isinstance(node, Map):
        return {}
    return {key: one.text for key, one in node.entries.items() if isinstance(one, Scalar) and not one.empty}


def read_section(folder: Path, name: str, findings: Findings, shape: Shape) -> Section:
    """A file as one section, with a finding for whatever in it is not of this shape."""
    node = read_yaml(folder / name, name, findings)
    if node is not None:
        shape.conform(node, findings, "")
    return Section(node, Place(name, 1), findings, "", shape)
