"""People of the app and who at the clinic looks like them: namesakes, twins, people registered twice, dates that were
changed, and numbers that stand in the wrong file. By seed; who is who is known here and nowhere else.

``cases(seed, n)`` gives clinics of fifty cases each. A case is one person as the app knows her, what kind of
look-alike she has, and the uuids of the clinic's patients that are truly she (``truth``, empty: she is not there).
Every clinic also holds strangers, and as names are few in Mali, many of them share hers.

``KINDS`` are people without numbers, ``NUMBERED`` those of whom the clinic holds the number of the app or of a card: in
her own file, in that of her mother, her twin, a namesake (used again) or a stranger (mistyped).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from connector.sandbox.district_people import FAMILIES, GIVEN_F, GIVEN_M, dice, uid
from connector.sandbox.openmrs_patients import bare

#: Identifier types of the clinic, by name.
NUMBER, CARD = "CHW Patient ID", "National identifier"
#: Cases and strangers of one clinic.
A_CLINIC, STRANGERS = 50, 60

#: Ways to write a name of ours that people really use: accents left out, k for c, w for ou, y for i.
SPELLINGS = (
    ("é", "e"), ("ï", "i"), ("Cou", "Kou"), ("Ki", "Ky"), ("Cam", "Kam"), ("Ciss", "Siss"), ("Djé", "Djie"),
    ("ou", "u"), ("ss", "s"), ("ll", "l"), ("Dia", "Dja"), ("th", "t"), ("y", "i"), ("Hawa", "Awa"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    given: str
    family: str
    sex: str  #: female | male
    born: str  #: ISO, may be the year or the month alone; empty: not known
    number: str = ""  #: in the app; at the clinic, what stands in her file as such
    card: str = ""  #: national identifier

    def patient(self, uuid: str) -> dict[str, Any]:
        """As ``OpenMRSSim`` takes the patients a clinic knows. OpenMRS keeps a whole day: of a year its first."""
        born = f"{self.born}-01-01"[:10] if len(self.born) == 4 else f"{self.born}-01"[:10] if self.born else None
        gender = {"female": "F", "male": "M"}.get(self.sex, "U")
        numbers = ((NUMBER, self.number), (CARD, self.card))
        return {
            "uuid": uuid, "given": self.given, "family": self.family, "gender": gender, "birthdate": born,
            "estimated": 0 < len(self.born) < 10,
            "identifiers": [{"type": kind, "value": value} for kind, value in numbers if value],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    id: str
    kind: str
    person: Person
    patients: tuple[tuple[str, Person], ...]  #: uuid at the clinic, and what its register says
    truth: frozenset[str]


@dataclass(slots=True)
class ClinicCases:
    cases: list[Case] = field(default_factory=list)
    strangers: list[tuple[str, Person]] = field(default_factory=list)

    def patients(self) -> list[dict[str, Any]]:
        rows = [*self.strangers, *(one for case in self.cases for one in case.patients)]
        return [person.patient(uuid) for uuid, person in rows]


def cases(seed: int, n: int = 1000) -> Iterator[ClinicCases]:
    """``n`` cases, the kinds in turn."""
    kinds = [*KINDS, *NUMBERED]
    for start in range(0, n, A_CLINIC):
        clinic = ClinicCases()
        for k in range(start, min(start + A_CLINIC, n)):
            rng = dice(seed, "look-alike", k)
            clinic.cases.append(_case(rng, f"{seed}/{k}", kinds[k % len(kinds)]))
        for k in range(STRANGERS):
            rng = dice(seed, "stranger", start, k)
            clinic.strangers.append((uid(seed, "stranger", start, k), _somebody(rng)))
        yield clinic


def _somebody(rng: random.Random) -> Person:
    sex = rng.choice(("female", "female", "male"))
    days = rng.randrange(20, 1825) if rng.random() < 0.5 else rng.randrange(1825, 22000)
    born = date(2026, 7, 1) - timedelta(days=days)
    return Person(rng.choice(GIVEN_F if sex == "female" else GIVEN_M), rng.choice(FAMILIES), sex, born.isoformat())


def _case(rng: random.Random, id: str, kind: str) -> Case:
    person = _somebody(rng)
    number = uid(id, "app")
    if kind in NUMBERED:
        person = replace(person, number=number, card=f"ML{rng.randrange(10**9):09d}")
    made = (KINDS | NUMBERED)[kind](rng, person)
    ours = replace(made.get("app", person), number=number)
    patients = tuple((uid(id, name), one) for name, one in made.items() if name != "app")
    truth = frozenset(uid(id, name) for name in made if name.startswith("she"))
    return Case(id, kind, ours, patients, truth)


# ---------------------------------------------------------------- kinds: name of a row -> what it says


def _spelled(rng: random.Random, name: str) -> str:
    ways = [(old, new) for old, new in SPELLINGS if old in name]
    return name.replace(*rng.choice(ways)) if ways else name


def _same(rng: random.Random, p: Person) -> Mapping[str, Person]:
    return {"she": p}


def _spelling(rng: random.Random, p: Person) -> Mapping[str, Person]:
    return {"she": replace(p, given=_spelled(rng, p.given), family=_spelled(rng, p.family))}


def _slip(rng: random.Random, p: Person) -> Mapping[str, Person]:
    """Two letters of a name in each other's place, or one left out; not the first two."""
    name, at = p.given, rng.randrange(2, len(p.given) - 1) if len(p.given) > 3 else 2
    typed = name[:at] + name[at + 1 :] if rng.random() < 0.5 else name[:at] + name[at : at + 2][::-1] + name[at + 2 :]
    return {"she": replace(p, given=typed)}


def _swapped(rng: random.Random, p: Person) -> Mapping[str, Person]:
    return {"she": replace(p, given=p.family, family=p.given)}


def _year_only(rng: random.Random, p: Person) -> Mapping[str, Person]:
    year = replace(p, born=p.born[:4])
    return {"app": year, "she": p} if rng.random() < 0.5 else {"she": year}


def _changed_date(rng: random.Random, p: Person) -> Mapping[str, Person]:
    """Corrected at one place: the clinic holds what was first said, some months or, of grown people, years away."""
    born = date.fromisoformat(p.born)
    span = max(20, (date(2026, 7, 1) - born).days // 12)
    return {"she": replace(p, born=(born - timedelta(days=rng.randrange(1, span))).isoformat())}


def _day_and_month(rng: random.Random, p: Person) -> Mapping[str, Person]:
    year, month, day = p.born.split("-")
    return {"she": replace(p, born=f"{year}-{day}-{month}" if int(day) <= 12 else f"{year}-{month}-{int(day) - 9:02d}")}


def _no_date(rng: random.Random, p: Person) -> Mapping[str, Person]:
    return {"she": replace(p, born="")}


def _other_sex(rng: random.Random, p: Person) -> Mapping[str, Person]:
    return {"she": replace(p, sex="male" if p.sex == "female" else "female")}


def _second_name(rng: random.Random, p: Person) -> Mapping[str, Person]:
    return {"she": replace(p, given=f"{p.given} {rng.choice(GIVEN_F if p.sex == 'female' else GIVEN_M)}")}


def _twice(rng: random.Random, p: Person) -> Mapping[str, Person]:
    """She stands in the clinic's register twice; either is she."""
    return {"she": p, "she again": replace(p, born=p.born[:4], family=_spelled(rng, p.family))}


def _twin(rng: random.Random, p: Person) -> Mapping[str, Person]:
    """Only the twin has a file."""
    names = [n for n in (GIVEN_F if p.sex == "female" else GIVEN_M) if n != p.given]
    return {"twin": replace(p, given=rng.choice(names))}


def _both_twins(rng: random.Random, p: Person) -> Mapping[str, Person]:
    return {**_twin(rng, p), **_spelling(rng, p)}


def _namesake(rng: random.Random, p: Person) -> Mapping[str, Person]:
    """Another person of her name and about her age; she has no file."""
    born = date.fromisoformat(p.born) + timedelta(days=rng.choice((-1, 1)) * rng.randrange(25, 500))
    return {"namesake": replace(p, born=min(born, date(2026, 6, 30)).isoformat())}


def _and_namesake(rng: random.Random, p: Person) -> Mapping[str, Person]:
    return {**_namesake(rng, p), **_spelling(rng, p)}


def _unknown(rng: random.Random, p: Person) -> Mapping[str, Person]:
    """She was never at the clinic."""
    return {}


KINDS = {
    "same": _same, "spelling": _spelling, "slip": _slip, "swapped": _swapped, "year_only": _year_only,
    "changed_date": _changed_date, "day_and_month": _day_and_month, "no_date": _no_date, "other_sex": _other_sex,
    "second_name": _second_name, "twice": _twice, "twin": _twin, "both_twins": _both_twins, "namesake": _namesake,
    "and_namesake": _and_namesake, "unknown": _unknown,
}  # fmt: skip


def _bare(p: Person) -> Person:
    return replace(p, number="", card="")


def _perhaps(rng: random.Random, p: Person) -> dict[str, Person]:
    """She has a file of her own, or has none; without the number in it."""
    return {"she": replace(_bare(p), family=_spelled(rng, p.family))} if rng.random() < 0.5 else {}


def _mother(rng: random.Random, p: Person) -> Person:
    """Some are called as their daughter, who was named after them."""
    name = p.given if p.sex == "female" and rng.random() < 0.3 else rng.choice(GIVEN_F)
    born = date.fromisoformat(p.born) - timedelta(days=rng.randrange(16 * 365, 42 * 365))
    return replace(p, given=name, sex="female", born=born.isoformat() if rng.random() < 0.8 else "")


def _other_twin(rng: random.Random, p: Person) -> Person:
    """Twins' names often sound alike; they are never the same but for an accent."""
    alike = [n for n in (_spelled(rng, p.given), f"{p.given}ba", p.given[:-1]) if bare(n) != bare(p.given)]
    names = [n for n in (GIVEN_F if p.sex == "female" else GIVEN_M) if n != p.given]
    return replace(p, given=rng.choice(alike) if rng.random() < 0.5 else rng.choice(names))


def _namesake_later(rng: random.Random, p: Person) -> Person:
    """A grandparent whose name and card she has, or a cousin."""
    years = rng.randrange(3, 60)
    born = date.fromisoformat(p.born) - timedelta(days=years * 365 + rng.randrange(60, 300))
    return replace(p, born=born.isoformat() if rng.random() < 0.7 else "")


def _own(rng: random.Random, p: Person) -> Mapping[str, Person]:
    return {"she": p}


def _own_spelled(rng: random.Random, p: Person) -> Mapping[str, Person]:
    return {"she": replace(p, given=_spelled(rng, p.given), family=_spelled(rng, p.family))}


_IN_WHOSE = {"mother": _mother, "twin": _other_twin, "stranger": lambda rng, p: replace(p, **_who(rng)),
             "namesake": _namesake_later}  # fmt: skip


def _who(rng: random.Random) -> dict[str, str]:
    other = _somebody(rng)
    return {"given": other.given, "family": other.family, "sex": other.sex, "born": other.born}


def _kind(own: Any, keeps: str) -> Any:
    """``keeps``: which of the two numbers stands at the clinic."""
    other = "card" if keeps == "number" else "number"

    def made(rng: random.Random, p: Person) -> Mapping[str, Person]:
        rows = dict(own(rng, p)) if callable(own) else {own: _IN_WHOSE[own](rng, p), **_perhaps(rng, p)}
        return {name: replace(row, **{other: ""}) for name, row in rows.items()} | {"app": p}

    return made


def _one_card_for_two(rng: random.Random, p: Person) -> Mapping[str, Person]:
    """The family's one card stands in both files."""
    p = replace(p, number="")
    return {"she": p, "mother": _mother(rng, p)}


NUMBERED = {
    **{f"{keeps} of {own}": _kind(own, keeps) for keeps in ("number", "card") for own in _IN_WHOSE},
    **{f"own {keeps}": _kind(_own, keeps) for keeps in ("number", "card")},
    **{f"own {keeps}, spelled": _kind(_own_spelled, keeps) for keeps in ("number", "card")},
    "one card for two": _one_card_for_two,
}
