"""How much two people look alike, field by field. Pure; it proposes and never decides.

Points are added up over the fields like the logarithms of Fellegi and Sunter (A theory for record linkage, JASA 1969):
an agreement that is rare among strangers adds much, a contradiction that is rare in one person takes much away, and
what is missing on either side says nothing. They are whole numbers chosen by hand and tried on synthetic registers
(``tests/contract/test_whose_file.py``), not estimated from a clinic's data.

Names are compared without case and accents, word by word, given against given and family against family, or crosswise
where the two were written in each other's place. A spelling of the same sounds (Ouattara, Wattara) is *close*.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from rapidfuzz.distance import OSA, JaroWinkler


class Agreement(StrEnum):
    SAME = "same"
    CLOSE = "close"  #: a spelling, a slip, a little apart
    COMPATIBLE = "compatible"  #: one side is less exact, and they do not contradict each other
    DIFFERENT = "different"
    MISSING = "missing"  #: on either side


#: From so many points on a person is asked. A twin of the same sex has 7, a namesake of about the same age 9 to 10, the
#: same person written the same way twice 15.
ASK_FROM = 7

#: Two words are taken for spellings of one name when they share so much by both measures (0 to 1): the first forgives
#: what stands at the end (Koné and Konaté are two families), the second counts every letter.
_A_SPELLING = (0.87, 0.75)
_NAME = {"given": {Agreement.SAME: 4, Agreement.CLOSE: 2, Agreement.DIFFERENT: -4, Agreement.MISSING: 0},
         "family": {Agreement.SAME: 3, Agreement.CLOSE: 2, Agreement.DIFFERENT: -4, Agreement.MISSING: 0}}  # fmt: skip
_SEX = {Agreement.SAME: 1, Agreement.DIFFERENT: -5, Agreement.MISSING: 0}
_NATIONAL = {Agreement.SAME: 10, Agreement.DIFFERENT: -4, Agreement.MISSING: 0}

#: How far apart two birth dates of one person may be: a share of the age, as ages of grown people are told in round
#: numbers, and at least so many days.
_NEAR, _FAR = (31, 0.05), (183, 0.12)


@dataclass(frozen=True, slots=True)
class Person:
    """``birth_date``: ISO, may be ``2000`` or ``2000-03``; ``estimated``: it was guessed. ``national``: the national
    identifier. Empty: not known. ``sex``: female | male | empty."""

    given: str = ""
    family: str = ""
    sex: str = ""
    birth_date: str = ""
    estimated: bool = False
    national: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    name: str  #: family | given | sex | birth_date | national
    ours: str
    theirs: str
    agreement: Agreement
    points: int


@dataclass(frozen=True, slots=True)
class Likeness:
    points: int
    fields: tuple[Field, ...]

    @property
    def contradicts(self) -> bool:
        """Something in one speaks against the other."""
        return any(one.agreement is Agreement.DIFFERENT for one in self.fields)


def likeness(ours: Person, theirs: Person, on: date) -> Likeness:
    """``on``: the day their ages are compared on."""
    given, family = _names(ours, theirs)
    sex = _plain(ours.sex, theirs.sex)
    national = _plain(_squeezed(ours.national), _squeezed(theirs.national))
    born, points = _born(ours, theirs, on)
    fields = (
        Field("family", ours.family, theirs.family, family, _NAME["family"][family]),
        Field("given", ours.given, theirs.given, given, _NAME["given"][given]),
        Field("sex", ours.sex, theirs.sex, sex, _SEX[sex]),
        Field("birth_date", ours.birth_date, theirs.birth_date, born, points),
        Field("national", ours.national, theirs.national, national, _NATIONAL[national]),
    )
    return Likeness(sum(one.points for one in fields), fields)


def ranked(ours: Person, others: Mapping[str, Person], on: date) -> list[tuple[str, Likeness]]:
    """Ids of the others with how much each is like ours; the likest first, equal ones by id."""
    found = [(id, likeness(ours, other, on)) for id, other in others.items()]
    return sorted(found, key=lambda one: (-one[1].points, one[0]))


def person_of(data: Mapping[str, Any]) -> Person:
    """A person as kept in JSON (``dataclasses.asdict``)."""
    names = Person.__dataclass_fields__
    return Person(**{key: value for key, value in data.items() if key in names})


# ---------------------------------------------------------------- names


def plain_name(text: str) -> str:
    """Lower case without accents and marks: ``Aïssata N'Diaye`` -> ``aissata ndiaye``."""
    letters = unicodedata.normalize("NFKD", text.lower().replace("'", "").replace("’", ""))
    kept = (c if c.isalpha() else " " for c in letters if not unicodedata.combining(c))
    return " ".join("".join(kept).split())


#: Spellings of the same sounds in French and in the languages of Mali, in this order.
_SOUNDS = (
    ("ph", "f"), ("gn", "n"), ("ou", "u"), ("w", "u"), ("dj", "j"), ("dia", "ja"), ("die", "je"), ("dio", "jo"),
    ("tch", "ch"), ("ch", "s"), ("ce", "se"), ("ci", "si"), ("cy", "si"), ("ck", "k"), ("c", "k"), ("qu", "k"),
    ("q", "k"), ("y", "i"), ("z", "s"), ("h", ""),
)  # fmt: skip


@lru_cache(maxsize=4096)
def sounds(name: str) -> str:
    """A plain name as it is spoken, nearly: ``wattara`` and ``ouattara`` are one."""
    for written, spoken in _SOUNDS:
        name = name.replace(written, spoken)
    return "".join(c for n, c in enumerate(name) if n == 0 or c != name[n - 1])


def _names(ours: Person, theirs: Person) -> tuple[Agreement, Agreement]:
    """(given, family); crosswise where that agrees better, and then never more than close."""
    straight = _part(ours.given, theirs.given), _part(ours.family, theirs.family)
    crossed = _part(ours.given, theirs.family), _part(ours.family, theirs.given)
    if Agreement.DIFFERENT in straight and all(one in (Agreement.SAME, Agreement.CLOSE) for one in crossed):
        return Agreement.CLOSE, Agreement.CLOSE
    return straight


def _part(ours: str, theirs: str) -> Agreement:
    one, other = plain_name(ours), plain_name(theirs)
    if not one or not other:
        return Agreement.MISSING
    if one == other:
        return Agreement.SAME
    return Agreement.CLOSE if _close(one.split(), other.split()) else Agreement.DIFFERENT


def _close(one: Sequence[str], other: Sequence[str]) -> bool:
    """Every word of the shorter is a spelling of a word of the longer."""
    fewer, more = sorted((one, other), key=len)
    if _alike("".join(one), "".join(other)):
        return True
    return all(any(_alike(word, against) for against in more) for word in fewer)


def _alike(one: str, other: str) -> bool:
    first, second = sounds(one), sounds(other)
    short, long = sorted((first, second), key=len)
    if len(short) >= 4 and long.startswith(short):  # Abdou, Abdoulaye
        return True
    beginning, whole = _A_SPELLING
    return first == second or (
        JaroWinkler.similarity(first, second) >= beginning and OSA.normalized_similarity(first, second) >= whole
    )


def _plain(ours: str, theirs: str) -> Agreement:
    if not ours or not theirs:
        return Agreement.MISSING
    return Agreement.SAME if ours == theirs else Agreement.DIFFERENT


def _squeezed(text: str) -> str:
    return "".join(c for c in text.upper() if c.isalnum())


# ---------------------------------------------------------------- birth dates


def _born(ours: Person, theirs: Person, on: date) -> tuple[Agreement, int]:
    first, second = _stands_for(ours), _stands_for(theirs)
    if first is None or second is None:
        return Agreement.MISSING, 0
    exact = len(ours.birth_date) == len(theirs.birth_date) == 10 and not (ours.estimated or theirs.estimated)
    if exact and first == second:
        # The first of January is what is typed where only the year is known.
        return (Agreement.COMPATIBLE, 3) if first[0].month == first[0].day == 1 else (Agreement.SAME, 7)
    if exact and _slip(first[0], second[0]):
        return Agreement.CLOSE, 4
    near, far = (_tolerance(first[0], second[0], on, *rule) for rule in (_NEAR, _FAR))
    apart = max((second[0] - first[1]).days, (first[0] - second[1]).days, 0)
    if apart == 0 and not exact:
        precise = min(len(ours.birth_date), len(theirs.birth_date)) >= 7 and not (ours.estimated or theirs.estimated)
        return Agreement.COMPATIBLE, 4 if precise else 2
    if apart <= near:
        return (Agreement.CLOSE if exact else Agreement.COMPATIBLE), 2
    return (Agreement.DIFFERENT, -1) if apart <= far else (Agreement.DIFFERENT, -7)


def _stands_for(person: Person) -> tuple[date, date] | None:
    """First and last day a birth date may stand for. What was guessed as the first of January is a year; else what was
    guessed may be half a year off."""
    span = _span(person.birth_date)
    if span is None or not person.estimated:
        return span
    if span[0].month == span[0].day == 1:
        return _span(f"{span[0].year:04}")
    some = timedelta(days=_FAR[0])
    return span[0] - min(some, span[0] - date.min), span[1] + min(some, date.max - span[1])


def _span(text: str) -> tuple[date, date] | None:
    try:
        parts = [int(part) for part in text.split("-")]
        match parts:
            case [year]:
                return date(year, 1, 1), date(year, 12, 31)
            case [year, month]:
                return date(year, month, 1), date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
            case [year, month, day]:
                return date(year, month, day), date(year, month, day)
    except (ValueError, OverflowError):
        pass
    return None


def _slip(one: date, other: date) -> bool:
    """Day and month in each other's place, or one of day, month and the year's last two digits mistyped."""
    if (one.year, one.month, one.day) == (other.year, other.day, other.month):
        return True
    if (one.month, one.day) == (other.month, other.day):
        return abs(one.year - other.year) in (1, 10)
    return one.year == other.year and (one.month == other.month or one.day == other.day)


def _tolerance(one: date, other: date, on: date, days: int, share: float) -> float:
    """Days that two dates of one person may lie apart, by her age on the day."""
    return max(days, share * max((on - min(one, other)).days, 0))
