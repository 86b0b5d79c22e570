"""What the later indicators of groups, promotion and governance need in the files: more answers, plans, new Kobo forms.

``meeting`` and ``governance`` add answers to the submissions of the first forms as they are made; ``files`` gives the
submissions of the later forms. Every option of every indicator is there by construction.
"""

from __future__ import annotations

from datetime import date, timedelta

from connector.sandbox.district_people import Calendar, Doc, People, dice, uid

THEMES = ("paludisme", "cpn", "nutrition", "pf", "hygiene")
PRODUCTS = ("tdr", "cta", "sro", "zinc", "amoxicilline")
SERVICES = ("consultation", "medicaments", "vaccination", "accouchement")
SIDES = ("usagers", "prestataires")
CRITERIA = ("accueil", "hygiene", "medicaments", "attente", "cout")
AGES = (0, 5, 10, 15, 20)


class Bodies:
    def __init__(self, people: People, groups: list[tuple[str, str, str]]) -> None:
        """``groups``: (code, area, type)."""
        self.people, self.calendar, self.seed, self.groups = people, people.calendar, people.seed, groups
        self._saved: dict[str, int] = {}

    # ------------------------------------------------------------ answers of the first forms

    def meeting(self, doc: Doc, n: int) -> None:
        """More of a savings group's meeting: who is enrolled and there, what is owed, who gave birth."""
        rng = dice(self.seed, "more of a meeting", n)
        presence, savings = doc["presence"], doc["epargne"]
        men = rng.randrange(0, 4)
        women = presence["membres_inscrits"] - men
        young = rng.randrange(2, 7)
        members: Doc = {"femmes_adultes": women - young, "femmes_jeunes": young, "hommes_adultes": men}
        members["hommes_jeunes"] = rng.randrange(0, 2)
        if rng.random() < 0.5:
            members["departs"] = str(rng.randrange(0, 3))
        if n % 11 == 4:
            members = {name: members[name] for name in members if name == "departs"}  # the list was not at hand
        doc["membres"] = members
        there = min(presence["presentes"], women)
        presence["femmes_presentes"] = there
        if n % 7 != 3:
            presence["hommes_presents"] = str(min(men, rng.randrange(0, 4)))
        code = doc["groupe"]["code"]
        self._saved[code] = self._saved.get(code, 60_000) + savings["montant_xof"]
        savings["cumul_xof"] = self._saved[code]
        doc["encours"] = {"emprunteurs": rng.randrange(1, 9), "montant_xof": rng.randrange(10, 90) * 1000}
        if rng.random() < 0.3:
            doc["encours"]["perte_xof"] = str(rng.randrange(1, 8) * 500)
        if doc["groupe"]["type"] == "SHARE" or n % 5 == 0:
            ages = (14, 17, 26, 31, None)
            births: list[Doc] = []
            for i in range(2):
                age = ages[(n + 2 * i) % 5]
                birth: Doc = {"__id": f"{n}-a{i}", "cpn": rng.choice((2, 3, 4, "4", 5, 6))}
                birth["lieu"] = "structure" if rng.random() < 0.7 else "domicile"
                births.append({**birth, **({"age_ans": age} if age is not None else {})})
            doc["accouchements"] = births

    def governance(self, rows: list[Doc], month: int) -> list[Doc]:
        """Minutes and stock-outs of the CSCom; and one more meeting, of the supervising committee."""
        more = []
        for a, row in enumerate(rows):
            rng = dice(self.seed, "more of governance", month, a)
            row["reunion/pv"] = "oui" if rng.random() < 0.8 or month == 0 else "non"
            for i, product in enumerate(PRODUCTS):
                turn = (i + a + 2 * month) % 5
                if turn != 4:  # else not asked, which is not "never out of stock"
                    row[f"rupture/jours_{product}"] = str(rng.randrange(1, 12) if turn in (0, 3) else 0)
            day = self.calendar.first(month) + timedelta(days=16 + a)
            extra = self.kobo("aGovASACO", 100 + 3 * month + a, day)
            extra["asaco/code"], extra["asaco/nom"] = row["asaco/code"], row["asaco/nom"]
            extra["reunion/type"], extra["reunion/date"] = "comite_surveillance", day.isoformat()
            extra["reunion/membres_presents"], extra["reunion/femmes_presentes"] = "5", str(rng.randrange(0, 4))
            extra["reunion/pv"] = "oui" if month % 2 == 0 else "non"
            if a == month % 3:  # told again later in the month: the later count holds
                extra["rupture/jours_tdr"] = str(rng.randrange(2, 15))
            more.append(extra)
        return more

    # ------------------------------------------------------------ files of the later forms

    def files(self) -> dict[str, list[Doc]]:
        """Path -> submissions, ODK ones by ``.ndjson``."""
        found = {
            "odk/plan_reunions-01.ndjson": self._group_plans(),
            "kobo/plan_activites-01.json": self._plans(),
            "kobo/aReunionQualite-01.json": self._quality_meetings(),
            "kobo/aBulletin-01.json": self._scorecards(),
        }
        for month in range(self.calendar.months):
            found[f"kobo/aEnqueteUsagers-{month + 1:02d}.json"] = self._user_survey(month)
            found[f"kobo/aRapportCSCom-{month + 1:02d}.json"] = self._facility_reports(month)
        return found

    def kobo(self, form: str, n: int, day: date) -> Doc:
        return submission(self.seed, form, n, day)

    def _group_plans(self) -> list[Doc]:
        plans = []
        for g, (code, area, kind) in enumerate(self.groups):
            for month in range(self.calendar.months):
                n = g * self.calendar.months + month
                day = self.calendar.first(month) - timedelta(days=4)
                plans.append(self._group_plan(n, code, area, kind, day, month, 2))
                if n % 10 == 7:  # planned anew when the month had begun: the later plan holds
                    later = self.calendar.first(month) + timedelta(days=2)
                    plans.append(self._group_plan(1000 + n, code, area, kind, later, month, 3))
        return plans

    def _group_plan(self, n: int, code: str, area: str, kind: str, day: date, month: int, meetings: int) -> Doc:
        id = f"uuid:{uid(self.seed, 'plan', n)}"
        return {
            "__id": id,
            "__system": {
                "submissionDate": f"{day.isoformat()}T17:20:00.000Z", "updatedAt": None, "deletedAt": None,
                "reviewState": "approved", "edits": 0, "formVersion": "2026060101",
            },
            "groupe": {"code": code, "type": kind},
            "plan": {
                "date": day.isoformat(), "periode": self.calendar.period(month), "reunions_prevues": str(meetings),
            },
            "animatrice": f"anim-{area[-1]}",
            "meta": {"instanceID": id},
        }  # fmt: skip

    def _plans(self) -> list[Doc]:
        """Of each area: the months, the quarters, the year."""
        plans: list[Doc] = []

        def plan(area: str, day: date, period: str, rows: list[tuple[str, str | None, int]]) -> None:
            row = self.kobo("plan_activites", len(plans), day)
            row["plan/structure"], row["plan/date"], row["plan/periode"] = area, day.isoformat(), period
            row["activites"] = [
                {
                    "activites/type": what,
                    **({"activites/detail": detail} if detail else {}),
                    "activites/prevues": str(n),
                }
                for what, detail, n in rows
            ]
            plans.append(row)

        for a, (area, _, _) in enumerate(self.people.areas):
            for month in range(self.calendar.months):
                day = self.calendar.first(month) - timedelta(days=3)
                talks: list[tuple[str, str | None, int]] = [
                    ("causeries", theme, 1 + (i + a + month) % 3) for i, theme in enumerate(THEMES)
                ]
                plan(area, day, self.calendar.period(month), [*talks, ("reunion_equipe_qualite", None, 2)])
                if (month, a) == (0, 1):  # corrected in a second plan, which replaces the first as a whole
                    later = self.calendar.first(month) + timedelta(days=1)
                    plan(area, later, self.calendar.period(month), [*talks[:3], ("reunion_equipe_qualite", None, 3)])
            for quarter in quarters(self.calendar):
                bodies = [("reunion_asaco", "conseil_gestion", 2), ("reunion_asaco", "comite_surveillance", 3)]
                plan(
                    area, self.calendar.start - timedelta(days=2), quarter,
                    [*bodies, ("reunion_asaco", "assemblee_generale", 1)],
                )  # fmt: skip
            plan(area, self.calendar.start - timedelta(days=2), str(self.calendar.start.year), [("bulletin", None, 2)])
        return plans

    def _quality_meetings(self) -> list[Doc]:
        rows = []
        for a, (area, _, _) in enumerate(self.people.areas):
            for month in range(self.calendar.months):
                for half in range(2 if (a + month) % 4 else 1):
                    n = len(rows)
                    rng = dice(self.seed, "quality meeting", n)
                    day = self.calendar.first(month) + timedelta(days=5 + a + 13 * half)
                    row = self.kobo("aReunionQualite", n, day)
                    row["reunion/structure"], row["reunion/date"] = area, day.isoformat()
                    row["reunion/femmes"], row["reunion/hommes"] = str(rng.randrange(2, 7)), str(rng.randrange(1, 6))
                    rows.append(row)
        return rows

    def _scorecards(self) -> list[Doc]:
        rows = []
        for a, (area, _, _) in enumerate(self.people.areas):
            rng = dice(self.seed, "scorecard", a)
            day = self.calendar.first(a % self.calendar.months) + timedelta(days=18)
            row = self.kobo("aBulletin", a, day)
            row["bulletin/structure"], row["bulletin/date"] = area, day.isoformat()
            agreed = rng.randrange(4, 9)
            row["bulletin/actions_convenues"] = str(agreed)
            row["bulletin/actions_realisees"] = str(rng.randrange(1, agreed))
            row["criteres"] = [
                {"criteres/cote": side, "criteres/critere": criterion, "criteres/score": str(rng.randrange(30, 96))}
                for side in SIDES for criterion in CRITERIA
            ]  # fmt: skip
            if a == 1:
                del row["criteres"][3]["criteres/score"]  # the providers' view of one criterion was not taken
            rows.append(row)
        return rows

    def _user_survey(self, month: int) -> list[Doc]:
        rows = []
        ages = (1, 7, 30, None, 400)
        for a, (area, _, _) in enumerate(self.people.areas):
            for i in range(20):
                rng = dice(self.seed, "user", month, a, i)
                day = self.calendar.first(month) + timedelta(days=3 + i)
                row = self.kobo("aEnqueteUsagers", (month * 3 + a) * 20 + i, day)
                row["enquete/structure"], row["enquete/date"] = area, day.isoformat()
                if i != 15:
                    row["enquete/service"] = SERVICES[i % 4]
                if ages[i // 4] is not None:
                    row["enquete/age_mois"] = str(ages[i // 4])
                if i % 9 != 8:
                    row["enquete/a_paye"] = "oui" if rng.random() < 0.35 else "non"
                rows.append(row)
        return rows

    def _facility_reports(self, month: int) -> list[Doc]:
        rows = []
        for a, (area, _, _) in enumerate(self.people.areas):
            rng = dice(self.seed, "facility", month, a)
            row = self.kobo("aRapportCSCom", month * 3 + a, self.calendar.last(month) + timedelta(days=3))
            row["rapport/structure"], row["rapport/date"] = area, self.calendar.last(month).isoformat()
            if (a, month) != (2, 1):
                row["finances/depenses_fonctionnement_xof"] = str(rng.randrange(600, 1400) * 1000)
            row["finances/recettes_propres_xof"] = str(rng.randrange(300, 1100) * 1000)
            row["consultations"] = []
            for i, age in enumerate(AGES):
                for sex in ("f", "m"):
                    people = (820, 760, 640, 590, 2400)[i] + 13 * a
                    new = str(rng.randrange(8, 70))
                    one = {"age_min": str(age), "sexe": sex, "nouvelles": new, "population": str(people)}
                    row["consultations"].append({f"consultations/{name}": said for name, said in one.items()})
            rows.append(row)
        return rows


def quarters(calendar: Calendar) -> list[str]:
    found = []
    for month in range(calendar.months):
        day = calendar.first(month)
        name = f"{day.year}Q{(day.month + 2) // 3}"
        if name not in found:
            found.append(name)
    return found


def submission(seed: int, form: str, n: int, day: date) -> Doc:
    """The frame of a Kobo submission."""
    id = uid(seed, form, n)
    return {
        "_id": 48211000 + n, "_uuid": id, "meta/instanceID": f"uuid:{id}", "meta/rootUuid": f"uuid:{id}",
        "_xform_id_string": form, "_submission_time": f"{day.isoformat()}T16:33:05",
        "_submitted_by": "superviseur_c1", "_status": "submitted_via_web", "_attachments": [],
        "_validation_status": {"uid": "validation_status_approved"},
    }  # fmt: skip
