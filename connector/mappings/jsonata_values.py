"""JSONata's values and what it does with them: missing beside null, paths through lists, truth, equality, order.

Rules are those of jsonata.org 2.x (``jsonata.js``: evaluatePath, lookup, evaluateEqualityExpression,
evaluateComparisonExpression, boolean); ``tests/unit/test_expressions.py`` compares them with the engine.
"""

from __future__ import annotations

from typing import Any


class _Missing:
    """JSONata's *undefined*; JSON null is Python's None."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


class _Sequence(list[Any]):
    """JSONata's result sequence: empty means missing, one element means that element."""


class Mistyped(ValueError):
    """Operands that JSONata refuses to compare (T2009, T2010)."""


def walk(document: Any, names: tuple[str, ...]) -> Any:
    """A path over a document that holds lists, as jsonata.js evaluatePath does it."""
    inputs: list[Any] = document if isinstance(document, list) else [document]
    last = len(names) - 1
    for index, name in enumerate(names):
        results = [found for found in (_settle(_look_up(item, name)) for item in inputs) if found is not MISSING]
        if index == last and len(results) == 1 and isinstance(results[0], list):
            single = results[0]
            return single if not isinstance(single, _Sequence) else _settle(single)
        flat = _Sequence()
        for found in results:
            if isinstance(found, list):
                flat.extend(found)
            else:
                flat.append(found)
        inputs = flat
        if not flat:
            return MISSING
    return _settle(_Sequence(inputs))


def _look_up(item: Any, name: str) -> Any:
    if isinstance(item, list):
        found = _Sequence()
        for element in item:
            value = _look_up(element, name)
            if value is MISSING:
                continue
            if isinstance(value, list):
                found.extend(value)
            else:
                found.append(value)
        return found
    if isinstance(item, dict):
        return item.get(name, MISSING)
    return MISSING


def _settle(value: Any) -> Any:
    if isinstance(value, _Sequence):
        return MISSING if not value else value[0] if len(value) == 1 else value
    return value


def truth(value: Any) -> bool:
    """JSONata's ``$boolean``, with false for missing."""
    if value is True or value is False:
        return value
    if value is MISSING or value is None:
        return False
    if isinstance(value, list):
        return truth(value[0]) if len(value) == 1 else any(truth(item) for item in value)
    return bool(value)


def same(a: Any, b: Any) -> bool:
    """Deep equality with JSON's types: ``true`` is not 1, ``"1"`` is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and bool(a == b)


def kind_of(value: Any) -> str:
    kind = type(value)
    if kind is int or kind is float:
        return "number"
    if kind is str:
        return "text"
    if value is MISSING:
        return ""
    raise Mistyped("T2010: only texts and numbers can be compared")
