"""From YAML text to nodes that know their place, straight from the events of ruamel's parser.

ruamel's composer and resolver are left out: we type scalars ourselves, and a pack is read by every command. The same
parser with three short cuts below takes half the time (a pack of 5,000 lines: under a second).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import events, tokens
from ruamel.yaml.docinfo import DocInfo
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.parser import Parser
from ruamel.yaml.reader import Reader
from ruamel.yaml.scanner import Scanner, ScannerError


@dataclass(slots=True)
class Mark:
    """A place in the text; ``line`` and ``column`` begin at 0."""

    index: int
    line: int
    column: int


class _Reader(Reader):
    def forward(self, length: int = 1) -> None:
        end = self.pointer + length
        if end + 1 >= len(self.buffer):
            self.update(length + 1)
        passed = self.buffer[self.pointer : end]
        if "\n" in passed or "\r" in passed or "\ufeff" in passed:
            Reader.forward(self, length)
            return
        self.pointer = end
        self.index += length
        self.column += length

    def get_mark(self) -> Mark:
        return Mark(self.index, self.line, self.column)


#: One line of a plain scalar without its spaces, outside and inside brackets (Scanner.scan_plain, YAML 1.2).
_END = "\0 \t\r\n\x85\u2028\u2029"
_PLAIN = re.compile(rf"(?:[^{_END}:]|:(?![{_END}]))*")
_PLAIN_IN_FLOW = re.compile(rf"(?:[^{_END}:,\[\]{{}}]|:(?![{_END}]))*")


class _Scanner(Scanner):
    reader: Any = None
    scanner_processing_version = (1, 2)

    def __init__(self, reader: _Reader, loader: _Loader) -> None:
        self.reader = reader
        super().__init__(loader=loader)

    def need_more_tokens(self) -> bool:
        if self.done:
            return False
        if not self.tokens:
            return True
        if not self.possible_simple_keys:
            return False
        self.stale_possible_simple_keys()
        return bool(self.next_possible_simple_key() == self.tokens_taken)

    def check_token(self, *choices: Any) -> bool:
        while self.need_more_tokens():
            self.fetch_more_tokens()
        return bool(self.tokens) and (not choices or isinstance(self.tokens[0], choices))

    def stale_possible_simple_keys(self) -> None:
        if self.possible_simple_keys:
            super().stale_possible_simple_keys()

    def scan_plain(self) -> Any:
        """As in Scanner, a line at a time instead of a character at a time."""
        reader = self.reader
        chunks: list[str] = []
        spaces: list[str] = []
        start = end = reader.get_mark()
        indent = self.indent + 1
        pattern = _PLAIN_IN_FLOW if self.flow_context else _PLAIN
        while reader.peek() != "#":
            found = pattern.match(reader.buffer, reader.pointer)
            assert found is not None
            length = found.end() - found.start()
            if self.flow_context and reader.peek(length) == ":" and reader.peek(length + 1) not in _END + ",[]{}":
                reader.forward(length)
                raise ScannerError("while scanning a plain scalar", start, "found unexpected ':'", reader.get_mark())
            if length == 0:
                break
            self.allow_simple_key = False
            chunks.extend(spaces)
            chunks.append(found.group())
            reader.forward(length)
            end = reader.get_mark()
            spaces = self.scan_plain_spaces(indent, start)
            if not spaces or reader.peek() == "#" or (not self.flow_context and reader.column < indent):
                break
        return tokens.ScalarToken("".join(chunks), True, start, end)


class _Parser(Parser):
    scanner: Any = None
    resolver: Any = None

    def check_event(self, *choices: Any) -> bool:
        if self.current_event is None and self.state:
            self.current_event = self.state()
        return self.current_event is not None and (not choices or isinstance(self.current_event, choices))


class _Loader:
    """What the parts of ruamel look for in their common owner."""

    processing_version = (1, 2)
    comment_handling = None

    def __init__(self) -> None:
        self.doc_infos = [DocInfo()]  # of the document that is read


class TooMuch(Exception):
    """More nodes, or deeper, than a file of a pack has."""


class Composer:
    """Builds nodes from one document. ``make``: ``scalar``, ``sequence`` and ``mapping`` build them; so this module
    knows nothing of the nodes themselves."""

    def __init__(self, text: str, make: Any, most: int, deepest: int) -> None:
        loader = _Loader()
        reader = _Reader(None, loader=loader)
        reader.stream = text
        self.parser = _Parser(loader=loader)
        self.parser.scanner = _Scanner(reader, loader)
        self.parser.resolver = loader
        self.make, self.most, self.deepest = make, most, deepest
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.count = 0

    def document(self) -> Any:
        """The root node, or None for an empty text. Raises YAMLError, TooMuch."""
        parser = self.parser
        parser.get_event()  # stream start
        if parser.check_event(events.StreamEndEvent):
            return None
        parser.get_event()  # document start
        node = self.node(0)
        parser.get_event()  # document end
        if not parser.check_event(events.StreamEndEvent):
            raise MarkedYAMLError(problem="a second document begins here", problem_mark=parser.peek_event().start_mark)
        return node

    def node(self, depth: int) -> Any:
        event = self.parser.get_event()
        if isinstance(event, events.AliasEvent):
            if event.anchor not in self.anchors:
                raise MarkedYAMLError(problem=f"there is no &{event.anchor} above", problem_mark=event.start_mark)
            node, size = self.anchors[event.anchor]
            self._counted(size, depth)
            return node
        before = self.count
        self._counted(1, depth)
        if isinstance(event, events.ScalarEvent):
            node = self.make.scalar(str(event.value), event.style, event.start_mark, event.end_mark)
        elif isinstance(event, events.SequenceStartEvent):
            items = []
            while not self.parser.check_event(events.SequenceEndEvent):
                items.append(self.node(depth + 1))
            self.parser.get_event()
            node = self.make.sequence(items, event.start_mark)
        else:
            pairs = []
            while not self.parser.check_event(events.MappingEndEvent):
                at = self.parser.peek_event().start_mark
                pairs.append((self.node(depth + 1), at, self.node(depth + 1)))
            self.parser.get_event()
            node = self.make.mapping(pairs, event.start_mark)
        if event.anchor:
            self.anchors[event.anchor] = node, self.count - before
        return node

    def _counted(self, size: int, depth: int) -> None:
        self.count += size
        if depth > self.deepest or self.count > self.most:
            raise TooMuch
