"""Names for new objects in DHIS2, which wants names and short names to be unique among objects of a kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Text = Mapping[str, str]

#: Longest code and short name, and longest name, that DHIS2 keeps (columns of its tables).
LONGEST = 50
_LONGEST_NAME = 230


class Naming:
    """Names for the objects ``wanted`` (by code) of one collection, French with the other languages as translations.

    ``there``: every object of the collection at the server. A name that is used twice is told apart by ``hint`` (the
    name of the category of an option), else by its code.
    """

    def __init__(
        self,
        wanted: Mapping[str, Text],
        there: Sequence[Mapping[str, Any]],
        hint: Callable[[str], Text] = lambda code: {},
    ) -> None:
        self.wanted, self.hint = wanted, hint
        others = [row for row in there if row.get("code") not in wanted]
        taken, taken_short = ({str(row.get(key)) for row in others} for key in ("name", "shortName"))
        plain = {code: french(name)[:_LONGEST_NAME] for code, name in wanted.items()}
        often = Counter(plain.values())
        hinted = {
            code: f"{text} ({french(hint(code))})" if hint(code) and (often[text] > 1 or text in taken) else text
            for code, text in plain.items()
        }
        often = Counter(hinted.values())
        self.name = {
            code: f"{text} [{code}]" if often[text] > 1 or text in taken else text for code, text in hinted.items()
        }
        cut = {code: text[:LONGEST] for code, text in self.name.items()}
        often = Counter(cut.values())
        self.short = {
            code: f"{text[: LONGEST - len(code) - 3]} [{code}]" if often[text] > 1 or text in taken_short else text
            for code, text in cut.items()
        }

    def translations(self, code: str, *, short: bool) -> list[dict[str, str]]:
        """The other languages. A name that was told apart in French is so in these."""
        found = []
        apart = self.name[code] != french(self.wanted[code])
        for language, text in self.wanted[code].items():
            if language == "fr" or "fr" not in self.wanted[code]:
                continue
            hint = self.hint(code).get(language)
            text = f"{text} ({hint})" if apart and hint else text
            found.append(translation("NAME", language, text))
            if short:
                found.append(translation("SHORT_NAME", language, text[:LONGEST]))
        return found


def translation(what: str, language: str, text: str) -> dict[str, str]:
    return {"property": what, "locale": language, "value": text}


def french(name: Text) -> str:
    """The French name, or the first there is."""
    return name.get("fr") or next(iter(name.values()), "")
