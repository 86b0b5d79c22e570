"""People of the app and who at the clinic looks like them: namesakes, twins, people registered twice, dates that were
changed. By seed; who is who is known here and nowhere else.

``cases(seed, n)`` gives clinics of fifty cases each. A case is one person as the app knows her, what kind of
look-alike she has, and the uuids of the clinic's patients that are truly she (``truth``, empty: she is not there).
Every clinic also holds strangers, and as names are few in Mali, many of them share hers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from connector.sandbox.district_people import FAMILIES, GIVEN_F, GIVEN_M, dice, uid

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

    def patient(self, uuid: str) -> dict[str, Any]:
        """As ``OpenMRSSim`` takes the patients a clinic knows. OpenMRS keeps a whole day: of a year its first."""
        born = f"{self.born}-01-01"[:10] if len(self.born) == 4 else f"{self.born}-01"[:10] if self.born else None
        gender = {"female": "F", "male": "M"}.get(self.sex, "U")
        return {
            "uuid": uuid, "given": self.given, "family": self.family, "gender": gender, "birthdate": born,
            "estimated": 0 < len(self.born) < 10, "identifiers": [],
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
    kinds = list(KINDS)
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
    made = KINDS[kind](rng, person)
    ours = made.get("app", person)
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
