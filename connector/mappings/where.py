"""Where things stand in the files of a pack: places for findings about what was read, by name instead of by line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from connector.mappings.config_places import cell_at
from connector.mappings.pack import Pack, Place
from connector.mappings.pack_shapes import KINDS_OF_FILE, kind_of
from connector.mappings.shapes import Word, scalars
from connector.mappings.yaml_nodes import Any_, Findings, Map, Scalar, Seq, read_yaml

#: A step into a file: a key of a mapping, or in a list the id or the index of an item.
Step = str | int


class Where:
    """The files of one pack as nodes. Reading them again costs little: ``read_yaml`` keeps what it read."""

    def __init__(self, pack: Pack) -> None:
        self.folder = Path(pack.folder)
        self._trees: dict[str, Any_ | None] = {}
        self._named: dict[int, dict[str, Any_]] = {}
        self._lines: dict[str, list[str]] = {}
        self._scalars: dict[str, list[tuple[tuple[Step, ...], Scalar, Word]]] = {}
        self._files: dict[tuple[str, ...], list[str]] = {}
        self._indicators: dict[str, str] | None = None

    def tree(self, file: str) -> Any_ | None:
        if file not in self._trees:
            self._trees[file] = read_yaml(self.folder / file, file, Findings())
        return self._trees[file]

    def node(self, file: str, *steps: Step) -> Any_ | None:
        node = self.tree(file)
        for step in steps:
            node = self._inside(node, step)
        return node

    def _inside(self, node: Any_ | None, step: Step) -> Any_ | None:
        if isinstance(node, Map):
            found: Any_ | None = node.entries.get(str(step))
            return found
        if not isinstance(node, Seq):
            return None
        if isinstance(step, int):
            return node.items[step] if step < len(node.items) else None
        if id(node) not in self._named:  # its tree is kept, so that no other node gets this id
            self._named[id(node)] = _named(node)
        return self._named[id(node)].get(step)

    def value(self, file: str, *steps: Step) -> Place:
        """Where the value stands that the steps lead to, or the last one there is on the way."""
        node, at = self.tree(file), Place(file, 1)
        if node is not None:
            at = node.at
        for step in steps:
            node = self._inside(node, step)
            if node is None:
                return at
            at = node.at
        return at

    def key(self, file: str, *steps: Step) -> Place:
        """As ``value``, the place of the last key."""
        above = self.node(file, *steps[:-1])
        if isinstance(above, Map) and str(steps[-1]) in above.keys_at:
            return above.keys_at[str(steps[-1])]
        return self.value(file, *steps)

    def scalars(self, file: str) -> Sequence[tuple[tuple[Step, ...], Scalar, Word]]:
        """Every declared scalar of a file, with its steps and its shape."""
        if file not in self._scalars:
            kind, node = kind_of(file), self.tree(file)
            self._scalars[file] = list(scalars(node, kind.shape)) if kind is not None and node is not None else []
        return self._scalars[file]

    def files(self, *kinds: str) -> list[str]:
        """The files of these kinds (``KINDS_OF_FILE``), by path."""
        if kinds not in self._files:
            chosen = [KINDS_OF_FILE[name] for name in kinds]
            there: set[str] = set()
            for pattern in (pattern for kind in chosen for pattern in kind.files):
                there.update(one.relative_to(self.folder).as_posix() for one in self.folder.glob(pattern))
            self._files[kinds] = sorted(one for one in there if any(kind_of(one) is kind for kind in chosen))
        return self._files[kinds]

    def indicator(self, identifier: str) -> tuple[str, ...]:
        """The steps to an indicator: its file, then ``indicators`` and its id."""
        if self._indicators is None:
            self._indicators = {}
            for file in self.files("indicators"):
                listed = self.node(file, "indicators")
                for item in listed.items if isinstance(listed, Seq) else ():
                    name = item.entries.get("id") if isinstance(item, Map) else None
                    if isinstance(name, Scalar):
                        self._indicators.setdefault(name.text, file)
        return self._indicators.get(identifier, ""), "indicators", identifier

    def row(self, table: str, first: str) -> Place:
        """The second cell of the row of a two-column table that begins with ``first``."""
        for number, line in enumerate(self._text(table), 1):
            head, comma, _ = line.partition(",")
            if number > 1 and comma and head.strip() == first:
                return Place(table, number, len(head) + 2)
        return Place(table, 1)

    def _text(self, file: str) -> list[str]:
        if file not in self._lines:
            try:
                self._lines[file] = (self.folder / file).read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError):
                self._lines[file] = []
        return self._lines[file]

    def cell(self, at: Place, column: str) -> Place:
        """The place of a column's cell in the row of a table that stands at ``at``."""
        lines = self._text(at.file)
        if not 1 <= at.line <= len(lines):
            return at
        delimiter = ";" if ";" in lines[0] else ","
        heads = [head.strip().strip('"') for head in lines[0].split(delimiter)]
        return cell_at(at, lines[at.line - 1], heads, delimiter, column)


def _named(node: Seq) -> dict[str, Any_]:
    """The items of a list by their ids, or by what they say; the first of a name counts."""
    found: dict[str, Any_] = {}
    for item in node.items:
        name = item.entries.get("id") if isinstance(item, Map) else item
        if isinstance(name, Scalar):
            found.setdefault(name.text, item)
    return found
