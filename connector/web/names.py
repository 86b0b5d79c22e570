"""What codes of the pack are called, in one language: places, data sets, indicators, categories, connections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.mappings.pack import Category, DataSet, Indicator, Pack
from connector.web.wording import Wording


class PackIndex:
    """Look-ups into a pack, made once."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.units = {row.org_unit: row for row in pack.org_units}
        self.places = {(row.source, row.place): row for row in pack.org_units}
        self.by_place = {row.place: row for row in pack.org_units}
        self.data_sets: dict[str, DataSet] = {}
        for one in pack.data_sets.values():
            self.data_sets |= {one.id: one, one.code: one}
        self.elements: dict[str, tuple[Indicator, str]] = {
            code: (indicator, part)
            for indicator in pack.indicators.values()
            for part, code in indicator.elements.items()
        }
        self.options: dict[str, tuple[Category, str]] = {
            code: (category, option)
            for category in pack.categories.values()
            for option, code in category.options.items()
        }

    def below(self, code: str) -> list[str]:
        """An org unit and all that lie under it."""
        found, todo = {code}, [code]
        while todo:
            above = todo.pop()
            more = [c for c, row in self.units.items() if row.parent == above and c not in found]
            found.update(more)
            todo += more
        return sorted(found)

    def find_units(self, text: str, limit: int = 50) -> list[str]:
        """Org unit codes whose code or name holds the text."""
        low = text.strip().casefold()
        if text in self.units:
            return [text]
        found = {c for c, r in self.units.items() if low in r.name.casefold() or low == c.casefold()}
        return sorted(found)[:limit]

    def find_elements(self, text: str) -> list[str]:
        """Data element codes whose code, indicator id or name holds the text."""
        low = text.strip().casefold()
        if text in self.elements:
            return [text]
        return sorted(
            code
            for code, (indicator, _) in self.elements.items()
            if low in (code.casefold(), indicator.id.casefold())
            or any(low in n.casefold() for n in indicator.name.values())
        )


class Names:
    def __init__(self, index: PackIndex, wording: Wording) -> None:
        self.index, self.w = index, wording

    def unit(self, code: str | None) -> str:
        row = self.index.units.get(code or "")
        return row.name if row else (code or "–")

    def above(self, code: str | None) -> str:
        """The name of the place above, empty at the top."""
        row = self.index.units.get(code or "")
        return self.unit(row.parent) if row and row.parent else ""

    def place(self, place: str | None, source: str = "") -> str:
        row = self.index.places.get((source, place or "")) or self.index.by_place.get(place or "")
        return row.name if row else (place or "–")

    def data_set(self, code: str | None) -> str:
        found = self.index.data_sets.get(code or "")
        return self.w.text(found.name) if found else (code or "–")

    def indicator(self, id: str, part: str = "count") -> str:
        found = self.index.pack.indicators.get(id)
        name = self.w.text(found.name) if found else id
        return f"{name} ({self.w('part.' + part)})" if part in ("num", "den") else name

    def option(self, category: str, option: str) -> str:
        found = self.index.pack.categories.get(category)
        if found is None:
            return option
        text = self.w.text(found.option_names.get(option)) or option
        if option == "unknown":  # which of the categories is unknown must be said
            return str(self.w("option.unknown", category=lower(self.w.text(found.name))))
        return lower(text)

    def categories(self, text: str | Mapping[str, str] | None) -> str:
        """``age=m2_11;sex=f`` in words: ``2–11 mois, fille``."""
        if not text:
            return ""
        pairs = text.items() if isinstance(text, Mapping) else (p.split("=", 1) for p in text.split(";") if "=" in p)
        return ", ".join(self.option(category, option) for category, option in pairs)

    def element(self, code: str) -> str:
        found = self.index.elements.get(code)
        return self.indicator(found[0].id, found[1]) if found else code

    def combo(self, code: str) -> str:
        """A category option combo code in words, empty for the default."""
        if not code or code == "default":
            return ""
        words = [self.option(*self._option(part)) for part in code.split("-")]
        return ", ".join(words)

    def _option(self, code: str) -> tuple[str, str]:
        found = self.index.options.get(code)
        return (found[0].id, found[1]) if found else ("", code)

    def value(self, cell: Mapping[str, Any]) -> str:
        """A cell's name with its categories."""
        categories = self.categories(cell.get("categories"))
        name = self.indicator(cell["indicator"], cell["part"])
        return f"{name}, {categories}" if categories else name

    def concept(self, id: str) -> str:
        """A fact's name: the concept's where there is one."""
        found = self.index.pack.concepts.get(id)
        return self.w.text(found.name) if found else id.replace("_", " ").capitalize()

    def answer(self, fact: str, value: str) -> str:
        """A coded fact's value: as the category that reads this fact calls it, else the concept, else as it came."""
        for category in self.index.pack.categories.values():
            if category.fact == fact and value in category.options:
                return self.w.text(category.option_names.get(value)) or value
        found = self.index.pack.concepts.get(value)
        return self.w.text(found.name) if found else value

    def kind(self, id: str) -> str:
        pack = self.index.pack
        found = pack.activities.get(id) or pack.episodes.get(id) or pack.registers.get(id)
        return self.w.text(found.name) if found else id

    def connection(self, name: str) -> str:
        """What people call a source or target: the system behind it, and its name where that says more."""
        config = self.index.pack.targets.get(name) or self.index.pack.sources.get(name)
        key = f"system.{config.kind if config else name}"
        if config and config.kind == "files":
            return str(self.w("system.files_named", name=name))
        return str(self.w(key)) if self.w.has(key) else name

    def person(self, data: Mapping[str, Any]) -> str:
        return str(data.get("name") or " ".join(x for x in (data.get("given"), data.get("family")) if x) or "–")


def lower(text: str) -> str:
    """A name within a sentence: ``Après l'accouchement`` becomes ``après…``, ``TDR`` and a single ``F`` stay."""
    return text[0].lower() + text[1:] if len(text) > 1 and text[1].islower() else text


def short(key: str) -> str:
    """The part of a long record key people can read aloud; the whole key stays in the link and the title."""
    tail = key.rsplit("/", 1)[-1]
    return tail if len(tail) <= 16 else f"{tail[:8]}…{tail[-4:]}"
