"""Which names are alike: character 3- and 4-grams of names and labels, weighed by how rare they are (TF-IDF, cosine).

For proposals to a person, never for a decision. Names that differ in a word that turns the meaning (sex, severe or
moderate, referred or treated) are not proposed for each other, however alike they are. Words of the field that are
written short (``palu``, ``cpn``) are read as their long form beside the short one.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Words that exclude each other, as word beginnings: a text with one of a row is never like a text with another.
_OPPOSITES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        ("femme", "femin", "fille", "female", "girl", "woman", "women"),
        ("homme", "mascul", "garcon", "male", "boy", "man"),
    ),
    (("mas", "sever", "grave"), ("mam", "moder")),
    (("refer", "orient"), ("traite", "treat", "guer", "cured")),
    (("posit",), ("negat",)),
    (("present",), ("absent",)),
)
#: Short forms of community health -> what they stand for.
_LONG = {
    "palu": "paludisme malaria",
    "tdr": "test rapide paludisme malaria rapid test",
    "rdt": "test rapide paludisme malaria",
    "pb": "perimetre brachial muac",
    "muac": "perimetre brachial",
    "cpn": "consultation prenatale antenatal",
    "anc": "antenatal consultation prenatale",
    "vad": "visite domicile home visit",
    "ref": "refere referred",
    "sro": "rehydratation orale ors",
    "ors": "rehydratation sro",
    "cta": "traitement act",
    "pf": "planification familiale",
    "nne": "nouveau ne newborn",
    "fe": "femme enceinte pregnant",
    "mas": "malnutrition aigue severe",
    "mam": "malnutrition aigue moderee",
    "milda": "moustiquaire net",
    "ddn": "date naissance birth",
    "oedemes": "oedeme oedema",
}
_WORD = re.compile(r"[a-z]+|\d+")
_EMPTY = frozenset(
    ("de", "du", "des", "la", "le", "les", "l", "d", "et", "un", "une", "the", "of", "a", "an", "and", "in")
)


@dataclass(frozen=True, slots=True)
class Likeness:
    """``score``: 0 nothing in common, 1 the same. ``words``: those that both have."""

    name: str
    score: float
    words: tuple[str, ...]


def words_of(text: str) -> tuple[str, ...]:
    """Small letters without accents; ``camelCase``, ``snake_case`` and paths come apart."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower().replace("œ", "oe")
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return tuple(word for word in _WORD.findall(plain) if word not in _EMPTY)


class Similar:
    """Finds among ``known`` (name -> text: the name again, its labels) those that are most like a text."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._words = {name: words_of(text) for name, text in known.items()}
        grams = {name: _grams(words) for name, words in self._words.items()}
        found = Counter(gram for one in grams.values() for gram in one)
        total = len(grams)
        self._rarity = {gram: math.log((1 + total) / (1 + count)) + 1 for gram, count in found.items()}
        self._unknown = math.log(1 + total) + 1
        self._vectors = {name: self._weighed(one) for name, one in grams.items()}

    def _weighed(self, grams: Mapping[str, int]) -> dict[str, float]:
        weighed = {gram: count * self._rarity.get(gram, self._unknown) for gram, count in grams.items()}
        length = math.sqrt(sum(value * value for value in weighed.values())) or 1.0
        return {gram: value / length for gram, value in weighed.items()}

    def top(self, text: str, count: int = 3) -> Sequence[Likeness]:
        """The ``count`` most alike, best first; equal ones by name; fewer when there are not so many with anything in
        common."""
        words = words_of(text)
        vector = self._weighed(_grams(words))
        found = []
        for name, other in self._vectors.items():
            score = sum(value * other.get(gram, 0.0) for gram, value in vector.items())
            if score > 0 and not _opposed(words, self._words[name]):
                shared = tuple(dict.fromkeys(word for word in words if word in self._words[name]))
                found.append(Likeness(name, round(min(score, 1.0), 2), shared))
        return sorted(found, key=lambda one: (-one.score, one.name))[:count]


def _grams(words: Sequence[str]) -> Counter[str]:
    expanded = [*words, *(more for word in words for more in _LONG.get(word, "").split())]
    found: Counter[str] = Counter()
    for word in expanded:
        padded = f" {word} "
        for size in (3, 4):
            found.update(padded[start : start + size] for start in range(len(padded) - size + 1))
    return found


def _opposed(one: Sequence[str], other: Sequence[str]) -> bool:
    for sides in _OPPOSITES:
        ours, theirs = (
            {n for n, stems in enumerate(sides) for w in words for s in stems if _begins(w, s)}
            for words in (one, other)
        )
        if ours and theirs and not ours & theirs:
            return True
    return False


def _begins(word: str, stem: str) -> bool:
    """Short stems are whole words: ``mas`` is not ``masculin``."""
    return word == stem or (len(stem) > 3 and word.startswith(stem))
