"""The everyday part of JSONata as plain Python closures: paths, constants, comparisons, ``and``/``or``/``in``,
``a ? b : c`` and the functions of ours. What is outside it returns no shortcut and runs in the engine.

A shortcut is an optimisation and must mean exactly what the engine means; ``tests/unit/test_expressions.py``
compares the two on generated expressions and documents. Rules are those of jsonata.org 2.x (``jsonata.js``:
evaluatePath, lookup, evaluateEqualityExpression, evaluateComparisonExpression, boolean).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connector.mappings.jsonata_values import MISSING, Mistyped, kind_of, same, truth, walk

Evaluate = Callable[[Any], Any]


class NoShortcut(Exception):
    """This expression is for the engine."""


@dataclass(frozen=True, slots=True)
class Plain:
    """``function(path, *more)`` or ``path``; ``more`` are constants. Absent gives absent."""

    names: tuple[str, ...]
    function: Callable[..., Any] | None = None
    more: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Shortcut:
    """``boolean``: the result is always true or false, never missing. ``holds``: the result as a condition.
    ``reads``: first names of the paths read.

    ``plain`` is set for a path alone or in one function of ours: the most common facts, which can be read in groups.
    """

    evaluate: Evaluate
    boolean: bool
    holds: Callable[[Any], bool]
    reads: frozenset[str]
    plain: Plain | None = None


_TOKEN = re.compile(
    r"\s+|(?P<number>\d+(?:\.\d+)?(?![\w.]))|(?P<string>'[^'\\]*'|\"[^\"\\]*\")|(?P<tick>`[^`]+`)"
    r"|(?P<function>\$[A-Za-z]+)(?=\()|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<op>!=|<=|>=|[=<>.,?:()\[\]])"
)
_COMPARE = {"=", "!=", "<", "<=", ">", ">=", "in"}
_MAX_DEPTH = 40


def shortcut(text: str, functions: Mapping[str, Callable[..., Any]]) -> Shortcut:
    """Compile ``text``. Raises NoShortcut when it uses anything outside the everyday part."""
    parser = _Parser(_tokens(text), functions)
    node = parser.ternary(0)
    parser.end()
    return Shortcut(node.run, node.boolean, node.holds(), frozenset(parser.reads), node.plain)


@dataclass(frozen=True, slots=True)
class _Node:
    run: Evaluate
    boolean: bool = False
    constant: Any = MISSING
    plain: Plain | None = None

    @property
    def name(self) -> str:
        """The name, for a path of one name."""
        plain = self.plain
        return plain.names[0] if plain and plain.function is None and len(plain.names) == 1 else ""

    def holds(self) -> Callable[[Any], bool]:
        """The node as a condition: what is always true or false needs no further look."""
        run = self.run
        return run if self.boolean else lambda document: truth(run(document))


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise NoShortcut
        at = match.end()
        if match.lastgroup:
            found.append((match.lastgroup, match.group(match.lastgroup)))
    return found


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], functions: Mapping[str, Callable[..., Any]]) -> None:
        self.tokens = tokens
        self.at = 0
        self.functions = functions
        self.reads: set[str] = set()

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def take(self, kind: str, text: str | None = None) -> str | None:
        found = self.peek()
        if found[0] == kind and (text is None or found[1] == text):
            self.at += 1
            return found[1]
        return None

    def expect(self, text: str) -> None:
        if self.take("op", text) is None:
            raise NoShortcut

    def end(self) -> None:
        if self.at != len(self.tokens):
            raise NoShortcut

    def ternary(self, depth: int) -> _Node:
        if depth > _MAX_DEPTH:
            raise NoShortcut
        condition = self.either(depth)
        if self.take("op", "?") is None:
            return condition
        then = self.ternary(depth + 1)
        other = self.ternary(depth + 1) if self.take("op", ":") else _Node(_missing)
        return _Node(_choice(condition.holds(), then.run, other.run), then.boolean and other.boolean)

    def either(self, depth: int) -> _Node:
        node = self.both(depth)
        while self.take("name", "or"):
            node = _Node(_or(node.holds(), self.both(depth).holds()), True)
        return node

    def both(self, depth: int) -> _Node:
        node = self.comparison(depth)
        while self.take("name", "and"):
            node = _Node(_and(node.holds(), self.comparison(depth).holds()), True)
        return node

    def comparison(self, depth: int) -> _Node:
        node = self.primary(depth)
        while True:
            kind, text = self.peek()
            if text not in _COMPARE or kind not in ("op", "name"):
                return node
            self.at += 1
            node = _compare(text, node, self.primary(depth))

    def primary(self, depth: int) -> _Node:
        kind, text = self.peek()
        if depth > _MAX_DEPTH or kind == "end":
            raise NoShortcut
        if kind in ("name", "tick"):
            return self.path()
        self.at += 1
        if kind == "number":
            return _constant(float(text) if "." in text else int(text))
        if kind == "string":
            return _constant(text[1:-1])
        if kind == "function":
            return self.call(text[1:], depth)
        if text == "(":
            node = self.ternary(depth + 1)
            self.expect(")")
            if self.peek() == ("op", ".") or self.peek() == ("op", "["):
                raise NoShortcut
            return node
        if text == "[":
            return self.array()
        raise NoShortcut

    def array(self) -> _Node:
        """A list of constants, as used after ``in``."""
        values: list[Any] = []
        while self.take("op", "]") is None:
            if values:
                self.expect(",")
            kind, _ = self.peek()
            if kind not in ("number", "string"):
                raise NoShortcut
            values.append(self.primary(0).constant)
        if not values or self.peek() in (("op", "."), ("op", "[")):
            raise NoShortcut
        return _constant(values)

    def path(self) -> _Node:
        kind, text = self.peek()
        if kind == "name" and text in ("true", "false", "null"):
            self.at += 1
            return _constant({"true": True, "false": False, "null": None}[text])
        names = [self.name()]
        while self.take("op", ".") is not None:
            names.append(self.name())
        if self.peek() in (("op", "["), ("op", "(")):
            raise NoShortcut
        self.reads.add(names[0])
        return _Node(_path(tuple(names)), plain=Plain(tuple(names)))

    def name(self) -> str:
        name = self.take("name")
        if name is not None:
            if name in ("and", "or", "in", "true", "false", "null", "function"):
                raise NoShortcut
            return name
        ticked = self.take("tick")
        if ticked is None:
            raise NoShortcut
        return ticked[1:-1]

    def call(self, name: str, depth: int) -> _Node:
        self.expect("(")
        arguments: list[_Node] = []
        while self.take("op", ")") is None:
            if arguments:
                self.expect(",")
            arguments.append(self.ternary(depth + 1))
        if self.peek() in (("op", "."), ("op", "[")):
            raise NoShortcut
        if name == "exists" and len(arguments) == 1:
            return _Node(_exists(arguments[0].run), True)
        if name == "count" and len(arguments) == 1:
            return _Node(_count(arguments[0].run))
        if name == "not" and len(arguments) == 1 and arguments[0].boolean:
            return _Node(_not(arguments[0].run), True)
        function = self.functions.get(name)
        if function is None or not 1 <= len(arguments) <= 2:
            raise NoShortcut
        run = _call(function, [argument.run for argument in arguments])
        return _Node(run, name == "unknown", plain=_plain_call(name, function, arguments))


def _plain_call(name: str, function: Callable[..., Any], arguments: list[_Node]) -> Plain | None:
    """The call as Plain: only of a path, and not for ``$unknown``, where absent gives true."""
    first, *more = arguments
    if name == "unknown" or first.plain is None or first.plain.function is not None:
        return None
    if any(one.constant is MISSING for one in more):
        return None
    return Plain(first.plain.names, function, tuple(one.constant for one in more))


# ---------------------------------------------------------------- closures


def _missing(_document: Any) -> Any:
    return MISSING


def _constant(value: Any) -> _Node:
    return _Node(lambda _document: value, isinstance(value, bool), value)


def _path(names: tuple[str, ...]) -> Evaluate:
    """The value at a path. Where every step but the last is a group, it is simply there; lists take ``walk``."""
    if len(names) == 1:
        (first,) = names

        def one(document: Any) -> Any:
            return document.get(first, MISSING) if type(document) is dict else walk(document, names)

        return one
    if len(names) == 3:
        first, second, third = names

        def three(document: Any) -> Any:
            if type(document) is dict:
                value = document.get(first, MISSING)
                if type(value) is dict:
                    value = value.get(second, MISSING)
                    if type(value) is dict:
                        return value.get(third, MISSING)
                if type(value) is not list:
                    return MISSING
            return walk(document, names)

        return three
    head, last = names[:-1], names[-1]

    def many(document: Any) -> Any:
        value = document
        for name in head:
            if type(value) is not dict:
                return walk(document, names) if type(value) is list else MISSING
            value = value.get(name, MISSING)
        if type(value) is dict:
            return value.get(last, MISSING)
        return walk(document, names) if type(value) is list else MISSING

    return many


def _choice(condition: Evaluate, then: Evaluate, other: Evaluate) -> Evaluate:
    return lambda document: then(document) if condition(document) else other(document)


def _or(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda document: left(document) or right(document)


def _and(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda document: left(document) and right(document)


def _exists(inner: Evaluate) -> Evaluate:
    return lambda document: inner(document) is not MISSING


def _not(inner: Evaluate) -> Evaluate:
    return lambda document: not inner(document)


def _count(inner: Evaluate) -> Evaluate:
    def count(document: Any) -> Any:
        value = inner(document)
        if isinstance(value, list):
            return len(value)
        return 0 if value is MISSING else 1

    return count


def _call(function: Callable[..., Any], arguments: list[Evaluate]) -> Evaluate:
    """A function of ours: missing and null both reach it as None, and None comes back as missing."""
    if len(arguments) == 1:
        only = arguments[0]

        def one(document: Any) -> Any:
            value = only(document)
            result = function(None if value is MISSING else value)
            return MISSING if result is None else result

        return one

    def many(document: Any) -> Any:
        values = [argument(document) for argument in arguments]
        result = function(*(None if value is MISSING else value for value in values))
        return MISSING if result is None else result

    return many


def _compare(operator: str, left: _Node, right: _Node) -> _Node:
    get, other = left.run, right.run
    if operator == "=" or operator == "!=":
        wanted = operator == "="
        constant = right.constant
        if wanted and left.name and (isinstance(constant, (bool, str))):
            return _Node(_fact_is(left.name, constant, get), True)
        if constant is True or constant is False:
            return _Node(lambda d: (value := get(d)) is not MISSING and (value is constant) is wanted, True)
        if isinstance(constant, str):
            return _Node(lambda d: (value := get(d)) is not MISSING and (value == constant) is wanted, True)

        def equal(document: Any) -> bool:
            a, b = get(document), other(document)
            return a is not MISSING and b is not MISSING and same(a, b) is wanted

        return _Node(equal, True)
    if operator == "in":
        return _Node(_membership(get, other), True)
    return _Node(_order(operator, get, other))


def _fact_is(name: str, constant: bool | str, get: Evaluate) -> Evaluate:
    """``name = 'text'`` and ``name = true``: most conditions of indicators."""
    if isinstance(constant, bool):
        return lambda d: (d.get(name) if type(d) is dict else get(d)) is constant
    return lambda d: (d.get(name) if type(d) is dict else get(d)) == constant


def _membership(get: Evaluate, other: Evaluate) -> Evaluate:
    def member(document: Any) -> bool:
        value, among = get(document), other(document)
        if value is MISSING or among is MISSING:
            return False
        if not isinstance(among, list):
            return same(value, among)
        return any(same(value, item) for item in among)

    return member


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _order(operator: str, get: Evaluate, other: Evaluate) -> Evaluate:
    compare = _ORDER[operator]

    def order(document: Any) -> Any:
        a, b = get(document), other(document)
        kind = type(a)
        if kind is type(b) and (kind is int or kind is str):
            return compare(a, b)
        kind_a, kind_b = kind_of(a), kind_of(b)
        if not kind_a or not kind_b:
            return MISSING
        if kind_a != kind_b:
            raise Mistyped("T2009: a text and a number cannot be compared")
        return compare(a, b)

    return order
