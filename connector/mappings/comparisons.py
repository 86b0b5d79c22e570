"""The comparisons of a name with a constant that stand in an expression: what a condition asks of a fact.

Read off the text, not off a parse: a comparison that is written otherwise is not seen, one that is seen is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_NAME = r"(?<![\w.$`'\"])(?P<name{n}>`[^`]+`|[A-Za-z_]\w*)(?![\w(`])(?!\s*[.(\[])"
_CONSTANT = r"(?P<constant{n}>'[^'\\]*'|\"[^\"\\]*\"|-?\d+(?:\.\d+)?(?![\w.])|true\b|false\b)"
_ORDER = r"(?P<order{n}>!=|<=|>=|=|<|>)"
_BEFORE = re.compile(f"{_NAME.format(n=1)}\\s*{_ORDER.format(n=1)}\\s*{_CONSTANT.format(n=1)}")
_BEHIND = re.compile(f"{_CONSTANT.format(n=2)}\\s*{_ORDER.format(n=2)}\\s*{_NAME.format(n=2)}")
_AMONG = re.compile(f"{_NAME.format(n=3)}\\s+in\\s+\\[(?P<list>[^\\[\\]]*)\\]")
_INSIDE = re.compile(f"{_CONSTANT.format(n=4)}\\s+in\\s+{_NAME.format(n=4)}")
_ONE = re.compile(_CONSTANT.format(n=""))
_WORDS = {"and", "or", "in", "true", "false", "null", "function"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """``name`` is compared with ``constant`` (as written, quotes included) by ``order``: an operator or ``in``.
    ``at`` and ``name_at``: where they stand in the text."""

    name: str
    order: str
    constant: str
    at: int
    name_at: int

    @property
    def text(self) -> str | None:
        """The constant without its quotes, when it is a text."""
        return self.constant[1:-1] if self.constant[0] in "'\"" else None

    @property
    def kind(self) -> str:
        """text, number or boolean."""
        if self.text is not None:
            return "text"
        return "boolean" if self.constant in ("true", "false") else "number"


@lru_cache(maxsize=4096)
def comparisons(source: str) -> tuple[Comparison, ...]:
    """All that are found, in order."""
    return tuple(sorted((one for one in _all(source) if one.name not in _WORDS), key=lambda one: one.at))


def _all(source: str) -> Iterator[Comparison]:
    for pattern, n in ((_BEFORE, 1), (_BEHIND, 2)):
        for match in pattern.finditer(source):
            yield Comparison(
                match[f"name{n}"].strip("`"), match[f"order{n}"], match[f"constant{n}"],
                match.start(f"constant{n}"), match.start(f"name{n}"),
            )  # fmt: skip
    for match in _AMONG.finditer(source):
        for one in _ONE.finditer(match["list"]):
            at = match.start("list") + one.start()
            yield Comparison(match["name3"].strip("`"), "in", one["constant"], at, match.start("name3"))
    for match in _INSIDE.finditer(source):
        yield Comparison(
            match["name4"].strip("`"), "in", match["constant4"], match.start("constant4"), match.start("name4")
        )


_TEXT = re.compile(r"'([^'\\]*)'|\"([^\"\\]*)\"")


def texts(source: str) -> set[str]:
    """Every text constant in an expression: all that it can give, when it gives constants."""
    return {one[1] if one[1] is not None else one[2] for one in _TEXT.finditer(source)}
