"""The people and places of the synthetic district: areas, sites, workers, households, persons.

Names are those that are common in Mali, put together at random; nobody here exists. Places are invented too.
Shapes are those of a CHT server (``contact`` documents with minified parents).
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Doc = dict[str, Any]

GIVEN_F = (
    "Aminata", "Fatoumata", "Mariam", "Oumou", "Kadiatou", "Assétou", "Djénéba", "Rokia", "Salimata", "Hawa",
    "Nana", "Bintou", "Sira", "Awa", "Ténin", "Korotoumou", "Maïmouna", "Ramata", "Safiatou", "Coumba",
)  # fmt: skip
GIVEN_M = (
    "Moussa", "Ibrahim", "Amadou", "Seydou", "Bakary", "Modibo", "Souleymane", "Adama", "Drissa", "Mamadou",
    "Oumar", "Lassina", "Boubacar", "Yacouba", "Abdoulaye", "Sékou", "Issa", "Daouda", "Karim", "Siaka",
)  # fmt: skip
FAMILIES = (
    "Traoré", "Coulibaly", "Diarra", "Keïta", "Konaté", "Sidibé", "Sangaré", "Dembélé", "Diallo", "Touré",
    "Cissé", "Koné", "Sissoko", "Camara", "Doumbia", "Fofana", "Kanté", "Maïga", "Ballo", "Bagayoko",
)  # fmt: skip
AREA_NAMES = ("Banakoro", "Sirakélé", "Dougouba", "Farabougou", "Kolondala", "Nérékoro")
SITE_NAMES = (
    "Banakoro-Sud", "Tiékoro", "Massala", "Dialabougou", "Sirakélé-Nord", "Kéréba", "Zanféré", "Wolonina",
    "Dougouba-Est", "Fani", "Sinzara", "Mogola", "Toubani", "Kafara", "Niamina-Ba", "Sorokoba",
)  # fmt: skip


def uid(*parts: object) -> str:
    """A uuid-shaped id that depends on its parts alone."""
    h = hashlib.sha256("/".join(str(p) for p in parts).encode()).hexdigest()
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:32]}"


def dice(*parts: object) -> random.Random:
    """Randomness of its own for each part of the district, so that one part does not move another."""
    return random.Random("/".join(str(p) for p in parts))


@dataclass(frozen=True, slots=True)
class Calendar:
    """The quarter and the zone. Months are (year, month); times of day are local."""

    start: date
    months: int
    zone: ZoneInfo

    @classmethod
    def of(cls, start: str, months: int, zone: str) -> Calendar:
        year, month = (int(part) for part in start.split("-"))
        return cls(date(year, month, 1), months, ZoneInfo(zone))

    def first(self, month: int) -> date:
        """The first day of the month at this offset from the start (-1 is the month before)."""
        n = self.start.year * 12 + self.start.month - 1 + month
        return date(n // 12, n % 12 + 1, 1)

    def last(self, month: int) -> date:
        return self.first(month + 1) - timedelta(days=1)

    def moment(self, day: date, hour: int, minute: int = 0) -> datetime:
        return datetime.combine(day, time(hour, minute), self.zone)

    def ms(self, moment: datetime) -> int:
        """Milliseconds since the epoch, as CHT keeps ``reported_date``."""
        return round(moment.timestamp() * 1000)

    def period(self, month: int) -> str:
        return self.first(month).strftime("%Y%m")


@dataclass(frozen=True, slots=True)
class Site:
    n: int
    id: str
    area: str
    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Worker:
    id: str
    site: Site
    name: str
    phone: str
    sex: str


@dataclass(frozen=True, slots=True)
class Household:
    id: str
    site: Site
    name: str
    days_before: int = 300  #: registered so many days before the start; negative: after it


@dataclass(slots=True)
class Person:
    id: str
    household: Household
    name: str
    sex: str | None
    born: date | None
    born_text: str | None
    phone: str | None = None
    days_before: int = 200  #: registered so many days before the start; negative: after it

    def age(self, day: date) -> int | None:
        """Completed years on this day."""
        if self.born is None:
            return None
        return day.year - self.born.year - ((day.month, day.day) < (self.born.month, self.born.day))


def months_before(day: date, months: int) -> date:
    """A birth date that makes a child complete exactly this many months some days before ``day``."""
    n = day.year * 12 + day.month - 1 - months
    return date(n // 12, n % 12 + 1, min(day.day, 28)) - timedelta(days=3)


@dataclass
class People:
    seed: int
    calendar: Calendar
    n_sites: int
    n_workers: int
    covered: str = "all"  #: what later indicators alone need is in the registers when ``all`` are covered
    areas: list[tuple[str, str, str]] = field(default_factory=list)  #: (id, org unit code, name)
    sites: list[Site] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    supervisors: list[tuple[str, str, str]] = field(default_factory=list)  #: (id, area, name)
    households: list[Household] = field(default_factory=list)
    persons: list[Person] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._places()
        self._workers()
        self._households()

    # ------------------------------------------------------------ making

    def name(self, rng: random.Random, sex: str | None) -> str:
        given = rng.choice(GIVEN_M if sex == "male" else GIVEN_F)
        return f"{given} {rng.choice(FAMILIES)}"

    def phone(self, rng: random.Random) -> str:
        return f"+223{rng.choice('67')}{rng.randrange(10**7):07d}"

    def _places(self) -> None:
        for a in range(3):
            self.areas.append((f"area-{a + 1}", f"ML-KKO-D1-A{a + 1}", AREA_NAMES[a]))
        per_area = -(-self.n_sites // 3)
        for n in range(self.n_sites):
            area, code, _ = self.areas[n // per_area]
            name = SITE_NAMES[n] if n < len(SITE_NAMES) else f"{SITE_NAMES[n % len(SITE_NAMES)]} {n}"
            self.sites.append(Site(n + 1, f"site-{n + 1}", area, f"{code}-S{n % per_area + 1}", name))

    def _workers(self) -> None:
        rng = dice(self.seed, "workers")
        for n in range(self.n_workers):
            sex = rng.choice(("female", "male"))
            self.workers.append(
                Worker(f"asc-{n + 1:03d}", self.sites[n % len(self.sites)], self.name(rng, sex), self.phone(rng), sex)
            )
        for n, (area, _, _) in enumerate(self.areas):
            self.supervisors.append((f"sup-{n + 1:03d}", area, self.name(rng, "male")))

    def _households(self) -> None:
        rng = dice(self.seed, "households")
        per_site = 21
        for site in self.sites:
            for h in range(per_site):
                family = rng.choice(FAMILIES)
                house = Household(uid(self.seed, "household", site.n, h), site, f"Famille {family}")
                self.households.append(house)
                self._family(rng, house, family)

    def _family(self, rng: random.Random, house: Household, family: str) -> None:
        start = self.calendar.start
        mother = self._member(rng, house, family, "female", start - timedelta(days=rng.randrange(16, 42) * 365 + 90))
        mother.phone = self.phone(rng) if rng.random() < 0.6 else None
        if rng.random() < 0.7:
            self._member(rng, house, family, "male", start - timedelta(days=rng.randrange(22, 60) * 365 + 50))
        for _ in range(rng.choice((1, 2, 2, 3))):
            sex = rng.choice(("female", "male"))
            old = rng.random()
            days = rng.randrange(60, 1800) if old < 0.72 else rng.randrange(1900, 6900)
            self._member(rng, house, family, sex, start - timedelta(days=days))

    def _member(self, rng: random.Random, house: Household, family: str, sex: str, born: date) -> Person:
        given = rng.choice(GIVEN_M if sex == "male" else GIVEN_F)
        luck = rng.random()
        text: str | None = born.isoformat()
        known: date | None = born
        if luck < 0.04:
            text, known = None, None
        elif luck < 0.10:
            text, known = born.strftime("%Y-%m"), born.replace(day=1)
        stated: str | None = None if rng.random() < 0.02 else sex
        n = len(self.persons)
        person = Person(uid(self.seed, "person", n), house, f"{given} {family}", stated, known, text)
        self.persons.append(person)
        return person

    def add(self, kind: str, n: object, house: Household, sex: str | None, born: date | None) -> Person:
        """A person made for a purpose (a newborn, a case the indicators need)."""
        rng = dice(self.seed, kind, n)
        text = born.isoformat() if born else None
        person = Person(uid(self.seed, kind, n), house, self.name(rng, sex), sex, born, text)
        self.persons.append(person)
        return person

    # ------------------------------------------------------------ reading

    def members(self, site: Site) -> list[Person]:
        return [p for p in self.persons if p.household.site.id == site.id]

    def homes(self, site: Site) -> list[Household]:
        return [h for h in self.households if h.site.id == site.id]

    # ------------------------------------------------------------ documents

    def contact(self, kind: str, id: str, name: str, parent: Doc | None, days_before: int, **more: Any) -> Doc:
        made = self.calendar.moment(self.calendar.start - timedelta(days=days_before), 9)
        doc: Doc = {"_id": id, "type": "contact", "contact_type": kind, "name": name}
        doc["reported_date"] = self.calendar.ms(made)
        if parent:
            doc["parent"] = parent
        doc.update({key: value for key, value in more.items() if value is not None})
        return doc

    def place_of(self, site: Site) -> Doc:
        return {"_id": site.id, "parent": {"_id": site.area, "parent": {"_id": "district-1"}}}

    def worker_doc(self, worker: Worker, site: Site | None = None) -> Doc:
        place = self.place_of(site or worker.site)
        more: Doc = {}
        if self.covered == "all" and worker.id != "asc-007":  # of one the sex was never noted
            more["sex"] = worker.sex
        return self.contact("chw", worker.id, worker.name, place, 400, phone=worker.phone, **more)

    def person_doc(self, person: Person) -> Doc:
        home = {"_id": person.household.id, "parent": self.place_of(person.household.site)}
        return self.contact(
            "person", person.id, person.name, home, person.days_before,
            sex=person.sex, date_of_birth=person.born_text, phone=person.phone,
        )  # fmt: skip

    def place_docs(self) -> list[Doc]:
        docs = [self.contact("district", "district-1", "District de Koulébala", None, 900)]
        top: Doc = {"_id": "district-1"}
        docs += [self.contact("area", a, f"Aire de santé de {name}", top, 900) for a, _, name in self.areas]
        for site in self.sites:
            parent = {"_id": site.area, "parent": top}
            docs.append(self.contact("site", site.id, f"Site {site.name}", parent, 800))
        for id, area, name in self.supervisors:
            docs.append(self.contact("chw", id, name, {"_id": area, "parent": top}, 500, role="supervisor"))
        docs += [self.worker_doc(w) for w in self.workers]
        docs += [self.household_doc(house) for house in self.households]
        return docs

    def household_doc(self, house: Household) -> Doc:
        more: Doc = {}
        if self.covered == "all":
            luck = dice(self.seed, "kind of household", house.id).random()
            more["household_type"] = "village" if luck < 0.6 else "hameau" if luck < 0.82 else "nomade"
            if luck >= 0.95:
                del more["household_type"]  # not asked
        return self.contact("household", house.id, house.name, self.place_of(house.site), house.days_before, **more)
