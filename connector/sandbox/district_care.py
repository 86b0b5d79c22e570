"""What the later indicators of care need beside the first forms: more answers, and visits that belong together.

Built after the everyday and before the awkward. Each report draws its answers from its own dice, so that one more
report moves no other. By construction every option of every indicator has at least one report, see ``_needed``.
"""

from __future__ import annotations

import copy
import random
from datetime import date, datetime, timedelta

from connector.sandbox.district_clinic import decide, seen_at
from connector.sandbox.district_people import Doc, Household, Person, Site, Worker, dice, months_before, uid
from connector.sandbox.district_visits import Visits

ANTIGENS = ("bcg", "polio3", "penta3", "pcv3", "rota3", "measles1", "yellow_fever")
METHODS = ("pills", "injectable", "implant", "iud", "condoms", "other_modern")
TREATMENTS = ("act", "amoxicillin", "ors_zinc")


class Care:
    def __init__(self, visits: Visits) -> None:
        self.visits, self.people, self.calendar = visits, visits.people, visits.people.calendar
        self.seed = self.people.seed
        self.workers = {w.id: w for w in self.people.workers}
        self.sites = {s.id: s for s in self.people.sites}
        self.women = {p.id: p for p in self.people.persons if p.sex == "female"}
        self.end = self.calendar.last(self.calendar.months - 1)
        self._answers()
        self._births()
        self._followed_up()
        self._after_the_clinic()
        self._rounds()
        self._needed()
        self._deaths()
        self._new_households()
        self._reports()

    # ------------------------------------------------------------ who and when

    def _who(self, doc: Doc) -> tuple[Worker, Site]:
        return self.workers[doc["contact"]["_id"]], self.sites[doc["contact"]["parent"]["_id"]]

    def _day(self, doc: Doc) -> date:
        """The day of service."""
        said = doc["fields"].get("delivery_date") or doc["fields"].get("visit_date")
        if said:
            return date.fromisoformat(said)
        return datetime.fromtimestamp(doc["reported_date"] / 1000, self.calendar.zone).date()

    def _month(self, day: date) -> int:
        return (day.year - self.calendar.start.year) * 12 + day.month - self.calendar.start.month

    def _works(self, worker: Worker, site: Site, day: date) -> bool:
        """Is this worker at this site and at work on this day of the quarter, or of the month before?"""
        month = self._month(day)
        if not -1 <= month < self.calendar.months or self.visits.silent == (worker.id, month):
            return False
        return self.visits.site_of(worker, month).id == site.id

    def _at_work(self) -> list[tuple[int, Worker, Site]]:
        return [
            (month, worker, self.visits.site_of(worker, month))
            for month in range(self.calendar.months) for worker in self.people.workers
            if self.visits.silent != (worker.id, month)
        ]  # fmt: skip

    def _of_kind(self, *forms: str) -> list[Doc]:
        return [doc for doc in self.visits.reports if doc["form"] in forms]

    # ------------------------------------------------------------ more answers in the first forms

    def _answers(self) -> None:
        full = {uid(self.seed, "full", n): n for n in range(27)}
        chosen = {uid(self.seed, "woman", n): n for n in range(8)}
        mothers = {uid(self.seed, "mother", n): n for n in range(12)}
        for doc in self.visits.reports:
            rng = dice(self.seed, "answers", doc["_id"])
            fields, patient = doc["fields"], doc["fields"].get("patient_id")
            if doc["form"] == "assessment":
                self._assessed(rng, fields, full.get(patient))
            elif doc["form"] == "assessment_follow_up":
                self._treated(rng, fields)
            elif doc["form"] == "pregnancy_home_visit":
                self._expecting(rng, fields, chosen.get(patient))
            elif doc["form"] == "delivery":
                self._delivered(rng, fields, mothers.get(patient))
            referral = fields.get("referral") or {}
            if referral.get("urgency") == "routine" and rng.random() < 0.15:
                del referral["urgency"]

    def _assessed(self, rng: random.Random, fields: Doc, case: int | None) -> None:
        if rng.random() < 0.35 or case is not None:
            fields["care_refused"] = "yes" if rng.random() < 0.08 else "no"
        if case is not None and case % 3 == 1:
            fields["group_fever"]["rectal_artesunate"] = "yes"

    def _treated(self, rng: random.Random, fields: Doc) -> None:
        if rng.random() < 0.9:
            fields["treatment"] = rng.choice(TREATMENTS)

    def _expecting(self, rng: random.Random, fields: Doc, case: int | None = None) -> None:
        number = self.visits._number
        past: Doc = {}
        if rng.random() < 0.85:
            past["visited_hf_count"] = number(rng, rng.choice((0, 1, 2, 3, 3, 4, 4, 5, 6, 8, 9)))
        if rng.random() < 0.3 or case is not None:
            past["first_contact"] = "yes"
            if rng.random() < 0.9:
                past["first_contact_weeks"] = number(rng, rng.choice((8, 10, 12, 12, 13, 18, 24)))
        elif rng.random() < 0.5:
            past["first_contact"] = "no"
        fields["anc_visits_hf"] = {"anc_visits_hf_past": past}
        practices: Doc = {}
        if rng.random() < 0.8:
            practices["malaria"] = {"iptp_doses": number(rng, rng.choice((0, 1, 1, 2, 2, 3, 4)))}
        if rng.random() < 0.8:
            practices["iron_folate"] = {"days_received": number(rng, rng.choice((0, 30, 60, 89, 90, 120, 180)))}
        fields["safe_pregnancy_practices"] = practices
        if rng.random() < 0.9:
            fields["counselled_danger_signs"] = "yes" if rng.random() < 0.75 else "no"
        if rng.random() < 0.3:
            fields["care_refused"] = "yes" if rng.random() < 0.08 else "no"

    def _delivered(self, rng: random.Random, fields: Doc, case: int | None = None) -> None:
        number = self.visits._number
        if fields["birth_outcome"] == "live" and (rng.random() < 0.85 or case is not None):
            fields["birth_weight_g"] = number(rng, rng.choice((2100, 2350, 2499, 2500, 2800, 3100, 3300, 3600)))
        if case is not None:
            fields.update(anc_contacts=(3, 4, 8)[case // 4], iptp_doses=(0, 1, 2, 3)[case // 3], iron_folate_days=90)
            return
        if rng.random() < 0.5:
            fields["anc_contacts"] = number(rng, rng.choice((0, 2, 3, 4, 4, 5, 8)))
        if rng.random() < 0.4:
            fields["iptp_doses"] = number(rng, rng.choice((1, 2, 3, 3)))
        if rng.random() < 0.4:
            fields["iron_folate_days"] = rng.choice((60, 90, 150))

    # ------------------------------------------------------------ pregnancies, mothers

    def _births(self) -> None:
        mothers = {uid(self.seed, "mother", n) for n in range(12)}
        for n, doc in enumerate(self._of_kind("delivery")):
            rng = dice(self.seed, "around a birth", doc["_id"])
            worker, site = self._who(doc)
            born, mother = self._day(doc), self.women.get(doc["fields"]["patient_id"])
            if mother is None:
                mother = next(p for p in self.people.persons if p.id == doc["fields"]["patient_id"])
            before = born - timedelta(days=rng.randrange(4, 60))
            if rng.random() < 0.7 and self._works(worker, site, before):
                weeks = 40 - (born - before).days // 7
                visit = self.visits._pregnancy(
                    rng, worker, site, before, mother, is_new_pregnancy="no", weeks_since_lmp_rounded=weeks,
                    lmp_date_8601=None, danger_signs_present="no", referral=None,
                )  # fmt: skip
                self._expecting(rng, visit["fields"])
            if n % 13 == 5:
                self._told_again(rng, doc)
            sure = mother.id in mothers
            after = born + timedelta(days=1 if sure else rng.choice((0, 1, 1, 2, 2, 3, 6, 9)))
            for day in (after, after + timedelta(days=rng.randrange(4, 20))):
                if day <= self.end and self._works(worker, site, day) and (sure or rng.random() < 0.6):
                    self._mother(rng, worker, site, day, mother, sure)

    def _told_again(self, rng: random.Random, doc: Doc) -> None:
        """The second twin, or the same birth told to another worker: one pregnancy ends once."""
        again = copy.deepcopy(doc)
        born = min(self._day(doc) + timedelta(days=rng.randrange(0, 2)), self.end)
        again["fields"].update(delivery_date=born.isoformat(), baby_sex=rng.choice(("female", "male")))
        worker, site = self._who(doc)
        moment = self.visits.moment(rng, born + timedelta(days=2))
        self.visits.report("delivery", worker, site, moment, again["fields"])

    def _mother(self, rng: random.Random, worker: Worker, site: Site, day: date, mother: Person, sure: bool) -> None:
        fields: Doc = {"patient_id": mother.id, "danger_signs_present": "yes" if rng.random() < 0.06 else "no"}
        if sure or rng.random() < 0.85:
            fields["fp_method"] = rng.choice((*METHODS, "traditional", "none", "none"))
        self.visits.dated(rng, "postnatal_mother_visit", worker, site, day, fields)

    # ------------------------------------------------------------ visits after a visit

    def _followed_up(self) -> None:
        sure = {uid(self.seed, "treatment", n) for n in range(8)}
        for doc in self._of_kind("assessment"):
            fields = doc["fields"]
            given = [
                (fields.get("group_fever") or {}).get("malaria_treatment") == "act",
                (fields.get("group_breathing") or {}).get("pneumonia_treatment") == "amoxicillin",
                (fields.get("group_diarrhea") or {}).get("zinc_given") == "yes",
            ]
            if not any(given):
                continue
            rng = dice(self.seed, "followed up", doc["_id"])
            worker, site = self._who(doc)
            seen = self._day(doc)
            # At the end of a month the visit often falls into the next one.
            ending = (seen + timedelta(days=2)).month != seen.month
            if rng.random() > 0.3 and not ending and fields["patient_id"] not in sure:
                continue
            day = seen + timedelta(days=2 if fields["patient_id"] in sure else rng.randrange(1, 6))
            if day <= self.end and self._works(worker, site, day):
                later = self.visits._follow_up(rng, worker, site, day, fields["patient_id"])
                later["fields"]["treatment"] = TREATMENTS[given.index(True)]

    def _after_the_clinic(self) -> None:
        """The worker goes and sees who came back from the clinic: in time, late, or not at all."""
        for doc in self._of_kind("assessment", "pregnancy_home_visit", "postnatal_visit"):
            if (doc["fields"].get("referral") or {}).get("is_referred") != "yes":
                continue
            decision = decide(self.seed, doc["_id"])
            if decision is None or decision["act"] != "completed":
                continue
            rng = dice(self.seed, "after the clinic", doc["_id"])
            worker, site = self._who(doc)
            seen = seen_at(self.seed, self.calendar, doc["_id"], self._day(doc)).date()
            luck = rng.random()
            day = seen + timedelta(days=rng.randrange(0, 4) if luck < 0.65 else 5)
            if luck < 0.85 and day <= self.end and self._works(worker, site, day):
                self._treated(
                    rng, self.visits._follow_up(rng, worker, site, day, doc["fields"]["patient_id"])["fields"]
                )

    # ------------------------------------------------------------ the monthly round of every worker

    def _rounds(self) -> None:
        for month, worker, site in self._at_work():
            rng = dice(self.seed, "round", worker.id, month)
            homes = self.people.homes(site)
            people = [p for p in self.people.members(site) if p.born is None or p.born <= self.calendar.first(month)]
            small = [p for p in people if (p.age(self.calendar.first(month)) or 0) < 5]
            women = [p for p in people if p.sex == "female" and 15 <= (p.age(self.calendar.start) or 0) <= 49]
            for home in rng.sample(homes, 2):
                for _ in range(2):
                    self.visits._home_visit(rng, worker, site, self.visits.day(rng, month), [home], rng.randrange(3))
            for child in rng.sample(small, min(4, len(small))):
                self._vaccination(rng, worker, site, self.visits.day(rng, month), child)
            for woman in rng.sample(women, min(3, len(women))):
                kind = rng.choice(("new", "continuing", "continuing", "stopped"))
                method = rng.choice((*METHODS, "traditional")) if kind != "stopped" else "none"
                self._planning(rng, worker, site, self.visits.day(rng, month), woman, kind, method)
            for home in rng.sample(homes, 2):
                self._survey(rng, worker, site, self.visits.day(rng, month), home)

    def _vaccination(
        self, rng: random.Random, worker: Worker, site: Site, day: date, child: Person, needed: bool = False
    ) -> None:
        fields: Doc = {"patient_id": child.id, "card_seen": "yes" if needed or rng.random() < 0.8 else "no"}
        whole = needed or rng.random() < 0.5
        had = list(ANTIGENS) if whole else [one for one in ANTIGENS if rng.random() < 0.6]
        if fields["card_seen"] == "yes":
            fields["antigens"] = self.visits._multi(rng, had)
        if needed or rng.random() < 0.9:
            fields["up_to_date"] = "no" if needed or not whole else "yes"
            if fields["up_to_date"] == "no" and (needed or rng.random() < 0.9):
                fields["referred_vaccination"] = "yes" if needed or rng.random() < 0.8 else "no"
        for what in ("vitamin_a_given", "deworming_given"):
            if needed or rng.random() < 0.7:
                fields[what] = "yes" if needed or rng.random() < 0.6 else "no"
        self.visits.dated(rng, "vaccination_check", worker, site, day, fields)

    def _planning(
        self, rng: random.Random, worker: Worker, site: Site, day: date, woman: Person, kind: str, method: str
    ) -> None:
        fields = {"patient_id": woman.id, "user_type": kind, "method": method}
        self.visits.dated(rng, "family_planning", worker, site, day, fields)

    def _survey(self, rng: random.Random, worker: Worker, site: Site, day: date, home: Household) -> None:
        fields: Doc = {"household_id": home.id, "members": []}
        for _ in range(rng.randrange(2, 6)):
            member: Doc = {}
            if rng.random() < 0.95:
                member["age_years"] = self.visits._number(rng, rng.choice((1, 3, 4, 6, 9, 11, 14, 15, 19, 25, 40, 62)))
            if rng.random() < 0.95:
                member["slept_under_net"] = "yes" if rng.random() < 0.7 else "no"
            fields["members"].append(member)
        if rng.random() < 0.9:
            fields["care_delayed_for_cost"] = "yes" if rng.random() < 0.2 else "no"
        self.visits.dated(rng, "household_survey", worker, site, day, fields)

    # ------------------------------------------------------------ the cases every indicator needs

    def _needed(self) -> None:
        rng = dice(self.seed, "needed, later")
        n = 0
        for months in (1, 8, 15, 30, None):
            for sex in ("female", "male", None):
                worker, site, day = self.visits._turn(n)
                child = self.visits._case("vaccination", n, site, day, months, sex)
                self._vaccination(rng, worker, site, day, child, needed=True)
                n += 1
        for months in (160, 210, 320, None):
            for method in METHODS:
                worker, site, day = self.visits._turn(n)
                woman = self.visits._case("planning", n, site, day, months, "female")
                self._planning(rng, worker, site, day, woman, "new", method)
                later = day + timedelta(days=2)
                if n % 5 == 0:
                    self._planning(rng, worker, site, later, woman, "stopped", "none")
                elif n % 5 == 1:
                    self._planning(rng, worker, site, later, woman, "continuing", "injectable")
                n += 1

    def _deaths(self) -> None:
        rng = dice(self.seed, "deaths")
        kinds: tuple[tuple[str | None, int | None], ...] = (
            ("neonatal", 0), ("child", 4), ("child", 30), ("child", 85), ("maternal", 300), ("maternal", 205),
            ("other", 500), (None, 20), ("child", None),
        )  # fmt: skip
        for n in range(2 * len(kinds)):
            kind, months = kinds[n % len(kinds)]
            worker, site, day = self.visits._turn(n + 5)
            sex = "female" if kind == "maternal" else ("male", "female")[n % 2]
            born = None if months is None else day - timedelta(days=6) if months == 0 else months_before(day, months)
            person = self.people.add("deceased", n, self.people.homes(site)[1], sex, born)
            fields: Doc = {"patient_id": person.id, "death_date": day.isoformat()}
            if kind is not None:
                fields["death_type"] = kind
            told = day + timedelta(days=rng.randrange(1, 4))
            self.visits.report("death_report", worker, site, self.visits.moment(rng, told), fields)
            if n % 6 == 1:  # told to another worker too
                self.visits.report("death_report", worker, site, self.visits.moment(rng, told), dict(fields))

    def _new_households(self) -> None:
        """A family that came to each site in the quarter: the registers grow from month to month."""
        for n, site in enumerate(self.people.sites):
            rng = dice(self.seed, "new household", site.n)
            came = -(n * 7 % 80) - 3
            house = Household(uid(self.seed, "household", site.n, "new"), site, "Famille Sanogo", came)
            self.people.households.append(house)
            for i, sex in enumerate(("female", "male")):
                born = self.calendar.start - timedelta(days=rng.randrange(300, 1200))
                self.people.add("newcomer", f"{site.n}/{i}", house, sex, born).days_before = came
            day = self.calendar.start + timedelta(days=-came)
            there = [w for w in self.people.workers if self._works(w, site, day)]
            if there:
                self.visits._home_visit(rng, there[0], site, day, [house], n % 3)

    # ------------------------------------------------------------ reports of the month, in time and late

    def _reports(self) -> None:
        for month, worker, site in self._at_work():
            rng = dice(self.seed, "monthly report", worker.id, month)
            due = self.calendar.first(month + 1)
            if rng.random() < 0.93:
                sent = due + timedelta(days=rng.randrange(0, 5) if rng.random() < 0.75 else rng.randrange(5, 12))
                fields = {"period_end": self.calendar.last(month).isoformat(), "days_worked": rng.randrange(15, 26)}
                self.visits.report("monthly_report", worker, site, self.visits.moment(rng, sent), fields)
        for doc in self._of_kind("stock_count"):
            rng = dice(self.seed, "late stock", doc["_id"])
            if rng.random() < 0.25:
                day = self._day(doc)
                due = self.calendar.first(self._month(day) + 1)
                sent = due + timedelta(days=rng.choice((0, 2, 4, 5, 8)))
                doc["fields"] = {"visit_date": day.isoformat(), **doc["fields"]}
                doc["reported_date"] = self.calendar.ms(self.visits.moment(rng, sent))
