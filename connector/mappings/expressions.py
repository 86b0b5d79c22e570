"""JSONata expressions of a pack, compiled once and evaluated with limits that are always on.

The only module that knows the expression engines. ``jlens`` runs what :mod:`shortcuts` does not cover;
``jsonatapy`` is the second engine, for examples and tests only: both must agree, so that replacing one is a line.

An expression is pure: the clock, randomness and ``$eval`` are refused when it is compiled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jlens

from connector.mappings.fact_functions import functions as own_functions
from connector.mappings.jsonata_values import MISSING, truth
from connector.mappings.shortcuts import NoShortcut, Shortcut, shortcut

#: Longest expression text read, in characters.
MAX_LENGTH = 4_000
_IMPURE = re.compile(r"\$(now|millis|random|shuffle|eval)\b")


class ExpressionError(ValueError):
    """The expression cannot be compiled, or failed on a document. Carries the engine's words, never the document, and
    where in the expression it stopped, when that is known."""

    def __init__(self, words: str, position: int | None = None) -> None:
        super().__init__(words)
        self.position = position


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one evaluation: seconds, recursion depth, steps, bytes of a string, items of an array, bytes out."""

    seconds: float = 0.5
    depth: int = 100
    steps: int = 100_000
    string: int = 1_000_000
    array: int = 100_000
    result: int = 1_000_000

    def options(self) -> dict[str, Any]:
        return {
            "timeout": self.seconds,
            "max_depth": self.depth,
            "max_steps": self.steps,
            "max_string_length": self.string,
            "max_array_length": self.array,
            "max_result_size": self.result,
            "now": 0,
            "seed": 0,
        }


DEFAULT_LIMITS = Limits()


class Compiled:
    """One expression, ready. Calling it or ``evaluate`` returns a JSON value, or None when the result is absent.

    ``shortcut`` is set when the expression runs without the engine. Raises ExpressionError.
    """

    __slots__ = ("_engine", "_options", "shortcut", "source")

    def __init__(self, source: str, zone: str, limits: Limits, *, use_shortcut: bool = True) -> None:
        self.source = source
        check(source)
        functions = own_functions(zone)
        self._options = limits.options()
        self._engine = _expression(source, functions)  # always: a syntax error must show when compiled
        self.shortcut: Shortcut | None = None
        if use_shortcut:
            try:
                self.shortcut = shortcut(source, functions)
            except NoShortcut:
                self.shortcut = None

    def evaluate(self, document: Mapping[str, Any]) -> Any:
        if self.shortcut is not None:
            try:
                value = self.shortcut.evaluate(document)
            except ValueError as error:
                raise ExpressionError(str(error)) from None
            return None if value is MISSING else value
        return run(self._engine, document, self._options)

    __call__ = evaluate

    def truth(self, document: Mapping[str, Any]) -> bool:
        """The result as a condition: absent is false."""
        return truth(self.evaluate(document))

    def reads(self) -> tuple[dict[str, Any], frozenset[str]]:
        """What of a document it looks at, as a tree of names (True or empty: all of it, or whether it is there), and
        the functions and variables it names that the language does not have."""
        said: Any = self._engine.reads()
        tree = said.get("input")
        return tree if isinstance(tree, dict) else {}, frozenset(said.get("bindings") or ())

    def explain(self, document: Mapping[str, Any]) -> list[str]:
        """How the result came about, for people who may see it: for a condition that is met its comparisons, else those
        that failed, each as ``muac_mm < 115 → false (120 < 115)``, what was not recorded as ``absent``.
        """
        try:
            result = self._engine.evaluate_with_audit(dict(document), **self._options)
        except ValueError as error:
            return [str(error)]
        if result["error"] is not None:
            return [f"{result['error']['code']}: failed"]
        root = result["audit"]["root"]
        if root["outcome"] == "true":
            return [str(line["text"]) for line in result["explanation"].get("lines", [])]
        return list(_failing(root))


#: The names jlens gives to the kinds of node that stand for others.
_THROUGH = ("block", "condition")


def _failing(node: Mapping[str, Any]) -> Iterator[str]:
    """The comparisons, functions and bare facts below ``node`` that kept it from being true."""
    children = [one for one in node.get("children", ()) if one["kind"] != "name"]
    if node["kind"] in _THROUGH or (node["kind"] == "binary" and node.get("op") in ("and", "or")):
        for child in children:
            if child["outcome"] != "true":
                yield from _failing(child)
        return
    outcome = "absent" if node["outcome"] == "undefined" else node["outcome"]
    operands = node.get("operands")
    if operands is not None and len(operands) == 2:
        compared = f"{_shown(operands[0])} {node['op']} {_shown(operands[1])}"
        yield f"{node['source']} → {'false' if outcome == 'absent' else outcome} ({compared})"
        return
    yield f"{node['source']} → {outcome}"
    if node["kind"] == "function":  # $not(...): what is inside says why
        for child in children:
            if child.get("operands") is not None:
                left, right = child["operands"]
                yield f"{child['source']} → {child['outcome']} ({_shown(left)} {child['op']} {_shown(right)})"


def _shown(value: Any) -> str:
    return "absent" if value is None else json.dumps(value, ensure_ascii=False)


def check(source: str) -> None:
    """Refuse what is too long or not pure."""
    if len(source) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH} characters")
    impure = _IMPURE.search(source)
    if impure:
        raise ExpressionError(
            f"{impure.group(0)} is not allowed: the same record must always give the same facts", impure.start()
        )


def run(engine: jlens.Expression, document: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    try:
        return engine.evaluate(document, **options)
    except jlens.JlensError as error:
        raise ExpressionError(f"{error.code}: {_words(error)}") from None
    except ValueError as error:  # raised by a function of ours
        raise ExpressionError(str(error)) from None


def _words(error: jlens.JlensError) -> str:
    # The engine's message may quote the value it stumbled on; the code and the place are enough.
    return f"at character {error.position}" if error.position is not None else "failed"


def _expression(source: str, functions: Mapping[str, Callable[..., Any]]) -> jlens.Expression:
    try:
        engine = jlens.Expression(source)
    except jlens.JlensError as error:
        position = error.position if error.start is None else error.start
        raise ExpressionError(f"{error.code} at character {error.position}: {error}", position) from None
    for name, function in functions.items():
        engine.register_function(name, function)
    return engine


@lru_cache(maxsize=4096)
def compile_expression(text: str, *, zone: str = "UTC", limits: Limits = DEFAULT_LIMITS) -> Compiled:
    """Compile one expression. ``zone``: the zone ``$day`` counts days in. Raises ExpressionError."""
    return Compiled(text, zone, limits)


@lru_cache(maxsize=4096)
def engine_only(text: str, *, zone: str = "UTC", limits: Limits = DEFAULT_LIMITS) -> Compiled:
    """As :func:`compile_expression`, never taking a shortcut: what shortcuts are compared with."""
    return Compiled(text, zone, limits, use_shortcut=False)


class Together:
    """Several expressions over one document, in as few steps as their meaning allows.

    Plain paths are read group by group, other shortcuts one by one, and what needs the engine forms one JSONata
    object. When that object fails, each of its expressions is evaluated alone: one bad value costs one fact.
    """

    def __init__(
        self, expressions: Mapping[str, Compiled], *, zone: str = "UTC", limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._groups: dict[tuple[str, ...], list[_Member]] = {}
        self._direct: list[tuple[str, Callable[[Any], Any]]] = []
        self._slow = {name: one for name, one in expressions.items() if not one.shortcut}
        for name, one in expressions.items():
            if one.shortcut is None:
                continue
            plain = one.shortcut.plain
            if plain is None:
                self._direct.append((name, one.shortcut.evaluate))
            else:
                member = (name, plain.names[-1], plain.function, plain.more, one.shortcut.evaluate)
                self._groups.setdefault(plain.names[:-1], []).append(member)
        self._options = limits.options()
        self._combined: jlens.Expression | None = None
        if len(self._slow) > 1:
            body = ",".join(f'"{name}":({one.source})' for name, one in self._slow.items())
            self._combined = _expression("{" + body + "}", own_functions(zone))

    def evaluate(self, document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """The values present by name, and the reason by name of those that failed."""
        values: dict[str, Any] = {}
        failed: dict[str, str] = {}
        for prefix, members in self._groups.items():
            group: Any = document
            for step in prefix:
                if type(group) is not dict:
                    break
                group = group.get(step, MISSING)
            if type(group) is dict:
                for name, key, function, more, _ in members:
                    value = group.get(key)
                    if value is None:
                        continue
                    if function is not None:
                        try:
                            value = function(value, *more) if more else function(value)
                        except ValueError as error:
                            failed[name] = str(error)
                            continue
                        if value is None:
                            continue
                    values[name] = value
            elif type(group) is list:
                for name, _, _, _, evaluate in members:
                    _one(name, evaluate, document, values, failed)
        for name, evaluate in self._direct:
            _one(name, evaluate, document, values, failed)
        if self._slow:
            self._engine(document, values, failed)
        return values, failed

    def _engine(self, document: Mapping[str, Any], values: dict[str, Any], failed: dict[str, str]) -> None:
        if self._combined is not None:
            try:
                found = run(self._combined, document, self._options)
                values.update((name, value) for name, value in found.items() if value is not None)
                return
            except ExpressionError:
                pass
        for name, one in self._slow.items():
            _one(name, one.evaluate, document, values, failed)


#: name of the fact, last name of the path, function, its constants, the whole shortcut
_Member = tuple[str, str, Callable[..., Any] | None, tuple[Any, ...], Callable[[Any], Any]]


def _one(
    name: str, evaluate: Callable[[Any], Any], document: Any, values: dict[str, Any], failed: dict[str, str]
) -> None:
    try:
        value = evaluate(document)
    except ValueError as error:
        failed[name] = str(error)
        return
    if value is not MISSING and value is not None:
        values[name] = value


@lru_cache(maxsize=4096)
def second_engine(text: str, *, zone: str = "UTC") -> Callable[[Mapping[str, Any]], Any]:
    """The same expression in the other engine (slower to set up; used by examples and tests).

    jsonatapy hands null back where a function returns nothing, so each function is wrapped to give *missing*.
    """
    import jsonatapy

    check(text)
    prelude = "".join(
        f"${name}:=function($x,$y){{($r:=$own_{name}($x,$y);$r=null?$nothing:$r)}};" for name in own_functions(zone)
    )
    try:
        expression = jsonatapy.compile(f"({prelude}({text}))")
    except ValueError as error:
        raise ExpressionError(str(error)) from None
    for name, function in own_functions(zone).items():
        expression.register(f"own_{name}", _trimmed(function))

    def evaluate(document: Mapping[str, Any]) -> Any:
        try:
            return expression.evaluate(document, timeout=2_000, max_stack_depth=200, max_sequence_length=100_000)
        except ValueError as error:
            raise ExpressionError(str(error).split("\n")[0][:80]) from None

    return evaluate


def _trimmed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function without the absent second argument that the wrapper always passes."""
    return lambda first, second=None: function(first) if second is None else function(first, second)


def first_of(expressions: Sequence[Compiled]) -> Callable[[Mapping[str, Any]], Any]:
    """The first expression with an answer (an empty text is none)."""

    def evaluate(document: Mapping[str, Any]) -> Any:
        for expression in expressions:
            value = expression.evaluate(document)
            if value is not None and value != "":
                return value
        return None

    return evaluate
