"""What findings say, in two languages: one entry per code, with places for names; a finding is an entry filled in.

Tables of entries stand beside what finds: ``mappings/lint_codes.py`` for the pack, ``adapters/*_probe.py`` for the
servers. ``relais check``, its JSON and the pages of ``docs/lint/`` are made from them, so no text is written twice.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from connector.model import Finding, Severity, Who

#: A text in French and in English.
Pair = tuple[str, str]
#: Most names shown of those that are known.
_SHOWN = 20


def of(name: str) -> Pair:
    """The beginning of a sentence about something: French sets a space before the colon."""
    return f"{name} : ", f"{name}: "


@dataclass(frozen=True, slots=True)
class Code:
    """What a finding of one code says: what is wrong, why it matters, how to mend it. ``{name}`` is filled in."""

    what: Pair
    why: Pair
    fix: Pair
    severity: Severity = Severity.ERROR
    who: Who = Who.MAPPING


def found(
    codes: Mapping[str, Code],
    code: str,
    words: Mapping[str, str | int | Pair],
    *,
    file: str = "",
    line: int = 0,
    column: int = 0,
    severity: Severity | None = None,
    about: tuple[str, ...] = (),
) -> Finding:
    """The finding of one code, its words filled in. KeyError: a code or a word that nobody declared."""
    entry = codes[code]
    (what_fr, why_fr, fix_fr), (what, why, fix) = (
        tuple(text[language].format_map(_in(words, language)).strip() for text in (entry.what, entry.why, entry.fix))
        for language in (0, 1)
    )
    return Finding(
        code,
        severity or entry.severity,
        what,
        fix,
        file,
        line,
        entry.who,
        column,
        why,
        (what_fr, why_fr, fix_fr),
        about,
    )


def _in(words: Mapping[str, str | int | Pair], language: int) -> dict[str, str | int]:
    return {name: word[language] if isinstance(word, tuple) else word for name, word in words.items()}


def nearest(name: str, known: Iterable[str]) -> Pair:
    """``Did you mean ...?`` for a name that is not known, or the names that are."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, 1, 0.6)
    if close:
        return f"Vouliez-vous dire {close[0]} ?", f"Did you mean {close[0]}?"
    if not names:
        return "Rien de ce genre n'est déclaré.", "Nothing of that kind is declared."
    more = ", …" if len(names) > _SHOWN else "."
    return f"Connus : {', '.join(names[:_SHOWN])}{more}", f"Known: {', '.join(names[:_SHOWN])}{more}"


def listed(names: Iterable[str], most: int = 5) -> str:
    """``a, b, c``; of a long list the first few."""
    every = list(names)
    return ", ".join(every[:most]) + (", …" if len(every) > most else "")
