"""What the community health workers report: the everyday, and the cases every indicator needs.

``everyday`` draws reports at random; ``needed_cases`` adds by construction at least one report for every option of
every indicator, spread over sites and months, so that no seed can miss one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from connector.sandbox.district_people import Doc, Household, People, Person, Site, Worker, dice, months_before, uid

SIGNS = ("unable_to_drink", "vomits_everything", "convulsions", "lethargic", "unconscious")
PRODUCTS = ("tdr", "cta", "sro", "zinc", "amoxicilline")
NOTES = (
    "Enfant très faible depuis hier", "La famille accompagne", "Pas de moyen de transport", "Déjà vu la semaine passée",
    "Refuse de téter", "Mère informée", "",
)  # fmt: skip


@dataclass
class Visits:
    people: People
    mover: str  #: this worker changes site at the start of the second month
    moves_to: Site | None
    silent: tuple[str, int] | None  #: (worker, month) without any report
    reports: list[Doc] = field(default_factory=list)
    births: list[tuple[Person, int]] = field(default_factory=list)  #: infants and the month they were born in

    # ------------------------------------------------------------ frame

    def site_of(self, worker: Worker, month: int) -> Site:
        if worker.id == self.mover and self.moves_to is not None and month >= 1:
            return self.moves_to
        return worker.site

    def report(
        self, form: str, worker: Worker, site: Site, moment: datetime, fields: Doc, visit_date: date | None = None
    ) -> Doc:
        """One CHT report, appended and returned. Shape: recordings/cht-5.2 (data_record of an XML form)."""
        id = uid(self.people.seed, "report", len(self.reports))
        if visit_date is not None:
            fields = {"visit_date": visit_date.isoformat(), **fields}
        doc: Doc = {
            "_id": id,
            "type": "data_record",
            "form": form,
            "content_type": "xml",
            "reported_date": self.people.calendar.ms(moment),
            "from": worker.phone,
            "contact": {"_id": worker.id, "parent": self.people.place_of(site)},
            "fields": fields,
        }
        self.reports.append(doc)
        return doc

    def moment(self, rng: random.Random, day: date) -> datetime:
        """Work is done between seven in the morning and seven in the evening, local time."""
        return self.people.calendar.moment(day, rng.randrange(7, 19), rng.randrange(60))

    def day(self, rng: random.Random, month: int) -> date:
        first = self.people.calendar.first(month)
        return first + timedelta(days=rng.randrange((self.people.calendar.last(month) - first).days + 1))

    def dated(self, rng: random.Random, form: str, worker: Worker, site: Site, day: date, fields: Doc) -> Doc:
        """A report of this day; three in ten also say so in a field."""
        said = day if rng.random() < 0.3 else None
        return self.report(form, worker, site, self.moment(rng, day), fields, said)

    # ------------------------------------------------------------ everyday

    def everyday(self) -> None:
        for month in range(self.people.calendar.months):
            for worker in self.people.workers:
                if self.silent == (worker.id, month):
                    continue
                self._month(worker, self.site_of(worker, month), month, 15)
        self._postnatal()

    def before(self) -> None:
        """The month before the start: older than any ``live_from``."""
        rng = dice(self.people.seed, "before")
        for worker in self.people.workers:
            people = self.people.members(worker.site)
            for _ in range(2):
                day = self.people.calendar.first(-1) + timedelta(days=rng.randrange(4, 26))
                self._sick(rng, worker, worker.site, day, self._patient(rng, people, day), refer=False)

    def _month(self, worker: Worker, site: Site, month: int, sick: int) -> None:
        rng = dice(self.people.seed, "month", worker.id, month)
        people = self.people.members(site)
        homes = self.people.homes(site)
        for _ in range(sick + rng.randrange(-2, 3)):
            day = self.day(rng, month)
            visit = self._sick(rng, worker, site, day, self._patient(rng, people, day))
            if rng.random() < 0.2:
                later = day + timedelta(days=rng.randrange(1, 4))
                if later <= self.people.calendar.last(month):
                    self._follow_up(rng, worker, site, later, visit["fields"]["patient_id"])
        for n in range(3):
            self._home_visit(rng, worker, site, self.day(rng, month), homes, n)
        women = [p for p in people if p.sex == "female" and 15 <= (p.age(self.people.calendar.start) or 0) <= 42]
        for _ in range(3):
            self._pregnancy(rng, worker, site, self.day(rng, month), rng.choice(women))
        if rng.random() < 0.9:
            self._delivery(rng, worker, site, month, rng.choice(women))
        self._stock(rng, worker, site, month)
        if month == (int(worker.id[4:]) % self.people.calendar.months):
            self._supervision(rng, worker, site, self.day(rng, month))

    def _patient(self, rng: random.Random, people: list[Person], day: date) -> Person:
        """Mostly a child under five, as the workers' register has them."""
        born = [p for p in people if p.born is None or p.born <= day]
        small = [p for p in born if (p.age(day) or 0) < 5]
        return rng.choice(small if small and rng.random() < 0.75 else born)

    def _sick(
        self, rng: random.Random, worker: Worker, site: Site, day: date, patient: Person, refer: bool = True
    ) -> Doc:
        f: Doc = {"patient_id": patient.id}
        if patient.born is None and rng.random() < 0.5:
            f["patient_age_in_months"] = rng.choice((3, 9, 20, 40, "54", 100, "180", 300))
        f["group_fever"] = self._fever(rng)
        f["group_cough"] = self._cough(rng)
        f["group_breathing"] = self._breathing(rng)
        f["group_diarrhea"] = self._diarrhea(rng)
        signs = [s for s in SIGNS if rng.random() < 0.5] or [SIGNS[0]]
        severe = refer and rng.random() < 0.025
        if severe or rng.random() < 0.92:
            f["group_danger_signs"] = {"danger_signs": self._multi(rng, signs if severe else [])}
        if rng.random() < 0.7:
            f["group_nutrition"] = self._nutrition(rng)
        if rng.random() < 0.5:
            f["group_prevention"] = {"never_vaccinated": "yes" if rng.random() < 0.08 else "no"}
            if rng.random() < 0.4:
                f["group_prevention"]["exclusive_breastfeeding"] = rng.choice(("yes", "no"))
        if rng.random() < 0.8:
            f["hours_since_onset"] = self._number(rng, rng.choice((6, 12, 24, 36, 48, 72, 73, 96, 120)))
        if rng.random() < 0.6:
            f["caregiver_explained_back"] = "yes" if rng.random() < 0.8 else "no"
        if severe and rng.random() < 0.85:
            f["referral"] = self._referral(rng, site, "danger_sign", urgent=True)
        elif refer and rng.random() < 0.008:
            f["referral"] = self._referral(rng, site, rng.choice(("malnutrition", "other")), urgent=False)
        elif rng.random() < 0.5:
            f["referral"] = {"is_referred": "no"}
        return self.dated(rng, "assessment", worker, site, day, f)

    def _fever(self, rng: random.Random) -> Doc:
        luck = rng.random()
        if luck < 0.04:
            return {}
        if luck < 0.36:
            return {"patient_fever": "no"}
        g: Doc = {"patient_fever": "yes"}
        if rng.random() < 0.85:
            g["fever_onset_hours"] = self._number(rng, rng.choice((4, 8, 12, 20, 24, 25, 36, 48, 72)))
        result = rng.choices(("positive", "negative", "not_done", None), (46, 34, 9, 11))[0]
        if result:
            g["mrdt_result"] = result
        treated = {"positive": 0.93, "negative": 0.05}.get(result or "", 0.5)
        g["malaria_treatment_given"] = "yes" if rng.random() < treated else "no"
        if g["malaria_treatment_given"] == "yes":
            g["malaria_treatment"] = "act" if rng.random() < 0.93 else "other"
        if rng.random() < 0.2:
            g["rectal_artesunate"] = "yes" if rng.random() < 0.15 else "no"
        return g

    def _cough(self, rng: random.Random) -> Doc:
        if rng.random() < 0.6:
            return {"patient_coughs": "no"}
        g: Doc = {"patient_coughs": "yes", "coughing_duration": self._number(rng, rng.randrange(1, 9))}
        if rng.random() < 0.7:
            g["chest_indrawing"] = "yes" if rng.random() < 0.06 else "no"
        return g

    def _breathing(self, rng: random.Random) -> Doc:
        if rng.random() < 0.55:
            return {}
        fast = rng.random() < 0.35
        count = rng.randrange(50, 66) if fast else rng.randrange(22, 40)
        g: Doc = {"breath_count": self._number(rng, count), "fast_breathing": "yes" if fast else "no"}
        if fast:
            g["pneumonia_treatment_given"] = "yes" if rng.random() < 0.88 else "no"
            if g["pneumonia_treatment_given"] == "yes":
                g["pneumonia_treatment"] = "amoxicillin" if rng.random() < 0.93 else "other"
        return g

    def _diarrhea(self, rng: random.Random) -> Doc:
        luck = rng.random()
        if luck < 0.05:
            return {}
        if luck < 0.70:
            return {"patient_diarrhea": "no"}
        g: Doc = {"patient_diarrhea": "yes", "diarrhea_duration": rng.randrange(1, 8)}
        for drug in ("ors_given", "zinc_given"):
            if rng.random() < 0.95:
                g[drug] = "yes" if rng.random() < 0.88 else "no"
        return g

    def _nutrition(self, rng: random.Random) -> Doc:
        muac = rng.choices((rng.randrange(95, 115), rng.randrange(115, 125), rng.randrange(125, 165)), (4, 10, 86))[0]
        g: Doc = {"muac_score": self._number(rng, muac)}
        if rng.random() < 0.8:
            g["has_oedema"] = "yes" if rng.random() < 0.015 else "no"
        if muac < 115:
            g["sam_treatment_given"] = rng.choice(("yes", "no"))
        return g

    def _referral(self, rng: random.Random, site: Site, reason: str, *, urgent: bool) -> Doc:
        g: Doc = {"is_referred": "yes", "referred_to": site.area, "urgency": "urgent" if urgent else "routine"}
        g["reason"] = reason
        note = rng.choice(NOTES)
        return {**g, "note": note} if note else g

    def _multi(self, rng: random.Random, chosen: list[str]) -> str | list[str]:
        """A multi-select: an XForm writes it as text with spaces, other app versions as an array."""
        return list(chosen) if rng.random() < 0.25 else " ".join(chosen)

    def _number(self, rng: random.Random, n: int) -> int | str:
        """XForms write numbers as text; only some of them are turned into numbers on the way."""
        return str(n) if rng.random() < 0.5 else n

    def _follow_up(self, rng: random.Random, worker: Worker, site: Site, day: date, patient: str) -> Doc:
        doses = rng.choice((3, 5, 6))
        fields: Doc = {"patient_id": patient, "outcome": rng.choices(("improved", "same", "worse"), (84, 12, 4))[0]}
        if rng.random() < 0.8:
            fields["doses_expected"] = doses
            fields["doses_taken"] = self._number(rng, doses - (rng.random() < 0.2))
        return self.dated(rng, "assessment_follow_up", worker, site, day, fields)

    def _home_visit(
        self, rng: random.Random, worker: Worker, site: Site, day: date, homes: list[Household], n: int
    ) -> Doc:
        fields: Doc = {"household_id": rng.choice(homes).id}
        fields["purpose"] = ("education", "prevention", "other")[n]
        if rng.random() < 0.8:
            fields["topic"] = rng.choice(("moustiquaires", "lavage des mains", "allaitement", "vaccination"))
        return self.dated(rng, "home_visit", worker, site, day, fields)

    def _pregnancy(
        self, rng: random.Random, worker: Worker, site: Site, day: date, woman: Person, **forced: object
    ) -> Doc:
        weeks = rng.choices((rng.randrange(6, 14), rng.randrange(14, 28), rng.randrange(28, 40)), (35, 40, 25))[0]
        fields: Doc = {"patient_id": woman.id, "is_new_pregnancy": "yes" if rng.random() < 0.55 else "no"}
        if rng.random() < 0.92:
            fields["weeks_since_lmp_rounded"] = self._number(rng, weeks)
            fields["lmp_date_8601"] = (day - timedelta(days=weeks * 7 + 2)).isoformat()
        danger = rng.random() < 0.05
        if rng.random() < 0.9 or danger:
            fields["danger_signs_present"] = "yes" if danger else "no"
        fields["llin_use"] = "yes" if rng.random() < 0.8 else "no"
        if rng.random() < 0.9:
            fields["iron_folate_daily"] = "yes" if rng.random() < 0.7 else "no"
        if danger and rng.random() < 0.7:
            fields["referral"] = self._referral(rng, site, "pregnancy", urgent=rng.random() < 0.5)
        for key, value in forced.items():
            if value is None:
                fields.pop(key, None)
            else:
                fields[key] = value
        return self.dated(rng, "pregnancy_home_visit", worker, site, day, fields)

    def _delivery(
        self, rng: random.Random, worker: Worker, site: Site, month: int, mother: Person, **forced: object
    ) -> Doc:
        """A birth; a live one brings a newborn into the register. Reported up to four days later, same month or not."""
        day = self.day(rng, month)
        sex = rng.choice(("female", "male"))
        live = rng.random() < 0.97 or bool(forced)
        fields: Doc = {"patient_id": mother.id, "delivery_date": day.isoformat()}
        fields["delivery_place"] = rng.choices(("facility", "home", "other"), (70, 26, 4))[0]
        fields["birth_outcome"] = "live" if live else "still"
        fields["baby_sex"] = sex
        if live and rng.random() < 0.9:
            fields["breastfed_first_hour"] = "yes" if rng.random() < 0.7 else "no"
        for key, value in forced.items():
            if value is None:
                fields.pop(key, None)
            else:
                fields[key] = value
        if live:
            infant = self.people.add("newborn", len(self.reports), mother.household, fields.get("baby_sex"), day)
            self.births.append((infant, month))
        reported = self.moment(rng, day + timedelta(days=rng.randrange(0, 5)))
        return self.report("delivery", worker, site, reported, fields)

    def _postnatal(self) -> None:
        rng = dice(self.people.seed, "postnatal")
        last = self.people.calendar.last(self.people.calendar.months - 1)
        for infant, _ in list(self.births):
            assert infant.born is not None
            for age in (rng.randrange(1, 4), rng.randrange(7, 28)):
                day = infant.born + timedelta(days=age)
                month = (day.year - self.people.calendar.start.year) * 12 + day.month - self.people.calendar.start.month
                site = infant.household.site
                there = [w for w in self.people.workers if self.site_of(w, month).id == site.id]
                worker = there[rng.randrange(len(there))] if there else None
                if day > last or worker is None or self.silent == (worker.id, month):
                    continue
                fields: Doc = {"patient_id": infant.id}
                if rng.random() < 0.9:
                    fields["exclusive_breastfeeding"] = "yes" if rng.random() < 0.8 else "no"
                danger = rng.random() < 0.05
                fields["danger_signs_present"] = "yes" if danger else "no"
                if danger:
                    fields["referral"] = self._referral(rng, site, "newborn", urgent=True)
                self.dated(rng, "postnatal_visit", worker, site, day, fields)

    def _stock(self, rng: random.Random, worker: Worker, site: Site, month: int) -> None:
        """A count at the end of the month. Every third worker lacks one product, a different one each month."""
        n = int(worker.id[4:]) + month
        items: Doc = {}
        for i, product in enumerate(PRODUCTS):
            out = n % 3 == 0 and (n // 3) % len(PRODUCTS) == i
            if product == "amoxicilline" and n % 11 == 5:
                continue  # never supplied here: not asked, which is not "none left"
            on_hand = 0 if out else rng.randrange(3, 60)
            days = rng.randrange(1, 12) if out else 0
            items[product] = {"on_hand": self._number(rng, on_hand), "stockout_days": self._number(rng, days)}
        day = self.people.calendar.last(month) - timedelta(days=rng.randrange(0, 4))
        self.dated(rng, "stock_count", worker, site, day, items)

    def _supervision(self, rng: random.Random, worker: Worker, site: Site, day: date) -> None:
        id, area, _ = next(s for s in self.people.supervisors if s[1] == site.area)
        doc = self.dated(
            rng, "supervision", worker, site, day,
            {"supervised_chw": worker.id, "supervisor": id, "score": self._number(rng, rng.randrange(55, 101))},
        )  # fmt: skip
        doc["contact"] = {"_id": id, "parent": {"_id": area, "parent": {"_id": "district-1"}}}

    # ------------------------------------------------------------ the cases every indicator needs

    def needed_cases(self) -> None:
        rng = dice(self.people.seed, "needed")
        ages = {"d5": 0, "m1": 1, "m8": 8, "y3": 38, "y7": 90, "y12": 150, "y17": 208, "y30": 366, "unknown": None}
        n = 0
        for age in ages:
            for sex in ("female", "male", None):
                self._full_case(rng, n, age, ages[age], sex)
                n += 1
        for n, (months, sex) in enumerate((m, s) for m in (8, 38, None) for s in ("female", "male", None)):
            self._moderate_case(rng, n, months, sex)
        for n, treatment in enumerate(("amoxicillin", "ors_zinc") * 4):
            self._treatment_case(rng, n, treatment)
        for n, months in enumerate((38, 90, 150, 208, 366, None)):
            self._presumed_case(rng, n, months)
        self._women(rng)

    def _turn(self, n: int) -> tuple[Worker, Site, date]:
        """Sites and months in turn, never the silent worker, never before referrals go live."""
        month = n % self.people.calendar.months
        workers = self.people.workers
        worker = workers[(n * 5) % len(workers)]
        if self.silent is not None and worker.id == self.silent[0]:
            worker = workers[(n * 5 + 1) % len(workers)]
        return worker, self.site_of(worker, month), self.people.calendar.first(month) + timedelta(days=9 + n % 15)

    def _case(self, kind: str, n: object, site: Site, day: date, months: int | None, sex: str | None) -> Person:
        born = None if months is None else months_before(day, months)
        return self.people.add(kind, n, self.people.homes(site)[0], sex, born)

    def _full_case(self, rng: random.Random, n: int, age: str, months: int | None, sex: str | None) -> None:
        """Everything at once: severe malaria, fast breathing, diarrhoea, severe malnutrition, referred."""
        worker, site, day = self._turn(n)
        patient = self._case("full", n, site, day, months, sex)
        if age == "d5":
            patient.born = day - timedelta(days=5)
            patient.born_text = patient.born.isoformat()
        under10 = months is None or months < 120
        fields: Doc = {"patient_id": patient.id}
        fields["group_fever"] = {
            "patient_fever": "yes", "fever_onset_hours": 12, "mrdt_result": "positive",
            "malaria_treatment_given": "yes", "malaria_treatment": "act", "rectal_artesunate": "no",
        }  # fmt: skip
        fields["group_breathing"] = {
            "breath_count": 61, "fast_breathing": "yes",
            "pneumonia_treatment_given": "yes", "pneumonia_treatment": "amoxicillin",
        }  # fmt: skip
        fields["group_diarrhea"] = {
            "patient_diarrhea": "yes", "diarrhea_duration": 2, "ors_given": "yes", "zinc_given": "yes",
        }  # fmt: skip
        fields["group_nutrition"] = {"muac_score": 108, "has_oedema": "no", "sam_treatment_given": "no"}
        fields["group_danger_signs"] = {"danger_signs": SIGNS[n % 5] if under10 else ""}
        fields["group_prevention"] = {"never_vaccinated": "yes", "exclusive_breastfeeding": "yes"}
        fields["hours_since_onset"] = 20
        fields["caregiver_explained_back"] = "yes"
        reason = ("danger_sign", "malnutrition", "newborn", "other")[0 if under10 and n % 3 else n % 4]
        fields["referral"] = self._referral(rng, site, reason, urgent=under10)
        self.dated(rng, "assessment", worker, site, day, fields)

    def _moderate_case(self, rng: random.Random, n: int, months: int | None, sex: str | None) -> None:
        worker, site, day = self._turn(n + 2)
        patient = self._case("moderate", n, site, day, months, sex)
        fields: Doc = {"patient_id": patient.id, "group_nutrition": {"muac_score": str(116 + n % 8)}}
        if n % 2:
            fields["group_nutrition"]["has_oedema"] = "no"  # else not asked, which is not "yes" either
        self.dated(rng, "assessment", worker, site, day, fields)

    def _treatment_case(self, rng: random.Random, n: int, treatment: str) -> None:
        worker, site, day = self._turn(n + 4)
        patient = self._case("treatment", n, site, day, 30, "female")
        fields: Doc = {"patient_id": patient.id, "caregiver_explained_back": "yes"}
        if treatment == "amoxicillin":
            fields["group_breathing"] = {
                "breath_count": "55", "fast_breathing": "yes",
                "pneumonia_treatment_given": "yes", "pneumonia_treatment": "amoxicillin",
            }  # fmt: skip
        else:
            fields["group_diarrhea"] = {"patient_diarrhea": "yes", "ors_given": "yes", "zinc_given": "yes"}
        self.dated(rng, "assessment", worker, site, day, fields)

    def _presumed_case(self, rng: random.Random, n: int, months: int | None) -> None:
        worker, site, day = self._turn(n + 6)
        patient = self._case("presumed", n, site, day, months, "male")
        fever: Doc = {"patient_fever": "yes", "malaria_treatment_given": "yes", "malaria_treatment": "act"}
        if n % 2:
            fever["mrdt_result"] = "not_done"
        self.dated(rng, "assessment", worker, site, day, {"patient_id": patient.id, "group_fever": fever})

    def _women(self, rng: random.Random) -> None:
        """Mothers of every age band: each trimester, facility and home births, each sex of the baby, one referral."""
        for n in range(8):
            worker, site, day = self._turn(n + 1)
            woman = self._case("woman", n, site, day, (172, 208, 312, None)[n % 4], "female")
            weeks = (9, "20", 33, None)[n // 2]
            more: Doc = {"referral": self._referral(rng, site, "pregnancy", urgent=False)} if n % 2 else {}
            self._pregnancy(
                rng, worker, site, day, woman, is_new_pregnancy="yes", weeks_since_lmp_rounded=weeks, **more
            )
        month_last = self.people.calendar.months
        for n in range(12):
            worker, site, day = self._turn(n + 3)
            mother = self._case("mother", n, site, day, (173, 209, 330, None)[n % 4], "female")
            self._delivery(
                rng, worker, site, (n + 3) % month_last, mother,
                delivery_place="facility" if n < 4 else "home", birth_outcome="live",
                breastfed_first_hour="yes", baby_sex=("female", "male", None)[n % 3],
            )  # fmt: skip
            infant, _ = self.births[-1]
            if infant.born is not None:
                visit = infant.born + timedelta(days=2)
                month = (n + 3) % month_last
                if visit <= self.people.calendar.last(month):
                    fields: Doc = {"patient_id": infant.id, "exclusive_breastfeeding": "yes"}
                    fields["danger_signs_present"] = "yes"
                    if n % 3 == 0:
                        fields["referral"] = self._referral(rng, site, "newborn", urgent=True)
                    self.dated(rng, "postnatal_visit", worker, site, visit, fields)
