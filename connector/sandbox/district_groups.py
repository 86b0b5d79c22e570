"""Savings groups (ODK), ASACO meetings and quality actions (Kobo), outreach sessions (CSV): what arrives in files.

Shapes: ODK Central's OData submissions as one JSON per line, KoboToolbox's ``results`` pages with flat keys, and a
spreadsheet's CSV with semicolons, French dates and decimal commas. A later file supersedes an earlier one by key.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from connector.sandbox.district_bodies import Bodies, submission
from connector.sandbox.district_people import Doc, People, dice, uid

LOAN_REASONS = ("accouchement", "consultation", "medicaments", "hospitalisation")
PAYOUT_REASONS = ("maladie", "deces", "accouchement")
THEMES = ("paludisme", "cpn", "nutrition", "pf", "hygiene")
CHANNELS = ("causerie", "visite_groupe", "radio")
ORIENTATIONS = ("cpn", "pf", "malnutrition", "vaccination")
AREAS_OF_QUALITY = ("hygiene", "accueil", "gestion", "soins")
COLUMNS = (
    "record_id", "action", "date_seance", "aire", "theme", "canal", "duree_h", "femmes_adultes", "femmes_jeunes",
    "hommes_adultes", "hommes_jeunes", "orientes_f", "orientes_m", "motif_orientation",
)  # fmt: skip


@dataclass
class Groups:
    people: People
    leave_out: frozenset[str]
    planted: list[dict[str, str]]
    files: dict[str, str] = field(default_factory=dict)
    groups: list[tuple[str, str, str]] = field(default_factory=list)  #: (code, area id, type)

    def __post_init__(self) -> None:
        for area, code, _ in self.people.areas:
            for n in range(3):
                kind = "SHARE" if n == 2 else "normal"
                self.groups.append((f"GE-{code.rsplit('-', 1)[1]}-{n + 1:02d}", area, kind))
        self._more = Bodies(self.people, self.groups) if self.people.covered == "all" else None
        self._savings()
        self._governance()
        self._quality()
        self._outreach()
        if self._more is not None:
            for path, rows in self._more.files().items():
                self.files[path] = _ndjson(rows) if path.startswith("odk/") else _kobo_page(rows)

    def _planted(self, kind: str, key: str, reason: str) -> bool:
        """Say that this awkwardness is there, unless it is left out."""
        if kind in self.leave_out:
            return False
        self.planted.append({"kind": kind, "key": key, "reason": reason})
        return True

    def _stamp(self, day: date, hour: int = 18) -> str:
        return f"{day.isoformat()}T{hour:02d}:11:02.118Z"

    # ------------------------------------------------------------ savings groups, ODK

    def _savings(self) -> None:
        seed, calendar = self.people.seed, self.people.calendar
        meetings: list[tuple[int, Doc]] = []
        for g, (code, area, kind) in enumerate(self.groups):
            rng = dice(seed, "savings", code)
            for month in range(calendar.months):
                for half in range(2):
                    day = calendar.first(month) + timedelta(days=3 + g + 14 * half)
                    n = g * 6 + month * 2 + half
                    if (code, month) == (self.groups[4][0], 1):
                        if half == 0:
                            self._planted("no_report", code, "the group did not meet in the second month")
                        if "no_report" not in self.leave_out:
                            continue
                    meeting = self._meeting(rng, code, area, kind, day, n)
                    if self._more is not None:
                        self._more.meeting(meeting, n)
                    meetings.append((month, meeting))
        self._write_odk(meetings)

    def _meeting(self, rng: Any, code: str, area: str, kind: str, day: date, n: int) -> Doc:
        id = f"uuid:{uid(self.people.seed, 'meeting', n)}"
        members = rng.randrange(15, 21)
        loans = [{"objet": "revenu", "montant_xof": rng.randrange(4, 40) * 1000, "taux_pct": 5}]
        if n % 2 == 0:
            motif = LOAN_REASONS[(n // 2) % len(LOAN_REASONS)]
            loans.append({"objet": "sante", "motif": motif, "montant_xof": rng.randrange(2, 30) * 500, "taux_pct": 0})
        if rng.random() < 0.2:
            motif = rng.choice(LOAN_REASONS)
            loans.append({"objet": "sante", "motif": motif, "montant_xof": str(rng.randrange(2, 30) * 500)})
        payouts = []
        if n % 3 == 0:
            motif = PAYOUT_REASONS[(n // 3) % len(PAYOUT_REASONS)]
            payouts.append({"motif": motif, "montant_xof": rng.randrange(4, 21) * 500})
        return {
            "__id": id,
            "__system": {
                "submissionDate": self._stamp(day), "updatedAt": None, "deletedAt": None, "submitterId": "12",
                "submitterName": "Animatrice", "attachmentsPresent": 0, "attachmentsExpected": 0, "status": None,
                "reviewState": "approved", "deviceId": "collect:Xy12", "edits": 0, "formVersion": "2026010101",
            },
            "groupe": {"code": code, "type": kind, "date_reunion": day.isoformat()},
            "presence": {"membres_inscrits": members, "presentes": members - rng.randrange(0, 6)},
            "epargne": {
                "montant_xof": rng.randrange(12, 60) * 250, "fonds_sante_solde_xof": rng.randrange(20, 90) * 500,
            },
            "prets": [{"__id": f"{n}-p{i}", **loan} for i, loan in enumerate(loans)],
            "solidarite": [{"__id": f"{n}-s{i}", **payout} for i, payout in enumerate(payouts)],
            "animatrice": f"anim-{area[-1]}",
            "meta": {"instanceID": id},
        }  # fmt: skip

    def _write_odk(self, meetings: list[tuple[int, Doc]]) -> None:
        form = "reunion_groupe_epargne"
        for month in range(self.people.calendar.months):
            lines = [doc for m, doc in meetings if m == month]
            if month == 0 and self._planted("duplicate_file", lines[1]["__id"], "the same line twice in one file"):
                lines.insert(5, lines[1])
            elif month == 0:
                del lines[1]
            self.files[f"odk/{form}-{month + 1:02d}.ndjson"] = _ndjson(lines)
        later = self.people.calendar.last(self.people.calendar.months - 1)
        changes = []
        first = [doc for m, doc in meetings if m == 0]
        edited = json.loads(json.dumps(first[2]))
        if self._planted("edit_file", edited["__id"], "the amount saved was corrected in ODK"):
            edited["epargne"]["montant_xof"] += 1750
            edited["__system"].update(updatedAt=self._stamp(later), edits=1, reviewState="edited")
            edited["meta"] = {"instanceID": f"{edited['__id']}-2", "deprecatedID": edited["__id"]}
            changes.append(edited)
        gone = json.loads(json.dumps(next(d for d in first if d["solidarite"])))
        if self._planted("delete_file", gone["__id"], "the submission was deleted in ODK"):
            gone["__system"]["deletedAt"] = self._stamp(later)
            changes.append(gone)
        self.files[f"odk/{form}-{self.people.calendar.months + 1:02d}-corrections.ndjson"] = _ndjson(changes)

    # ------------------------------------------------------------ ASACO and quality, Kobo

    def _governance(self) -> None:
        calendar = self.people.calendar
        number = 0
        for month in range(calendar.months):
            rows = []
            for a, (area, _, name) in enumerate(self.people.areas):
                rng = dice(self.people.seed, "governance", area, month)
                day = calendar.first(month) + timedelta(days=6 + a)
                row = self._kobo("aGovASACO", number, day)
                row["asaco/code"] = area
                row["asaco/nom"] = f"ASACO {name}"
                row["reunion/type"] = "conseil_gestion" if (month + a) % 3 else "assemblee_generale"
                row["reunion/date"] = day.isoformat()
                present = rng.randrange(7, 14)
                row["reunion/membres_presents"] = str(present)
                row["reunion/femmes_presentes"] = str(rng.randrange(2, present - 2))
                for i, item in enumerate(("recettes", "depenses", "tarifs")):
                    shown = ("oui", "non", None)[(month + a + i) % 3] if month else ("oui" if i != a else "non")
                    if shown is not None:
                        row[f"transparence/{item}_{'affiches' if item == 'tarifs' else 'affichees'}"] = shown
                row["normes"] = [
                    {"normes/domaine": d, "normes/evaluees": str(rng.randrange(8, 13)),
                     "normes/atteintes": str(rng.randrange(3, 9))}
                    for d in AREAS_OF_QUALITY
                ]  # fmt: skip
                row["avis"] = [self._feedback(rng, number * 4 + i) for i in range(4)]
                rows.append(row)
                number += 1
            if self._more is not None:
                rows += self._more.governance(rows, month)
            self.files[f"kobo/aGovASACO-{month + 1:02d}.json"] = _kobo_page(rows)
            if month == 0:
                first = rows
        again = []
        if self._planted("duplicate_file", first[0]["meta/rootUuid"], "the same submission in two exports"):
            again.append(first[0])
        edited = json.loads(json.dumps(first[1]))
        if self._planted("edit_file", edited["meta/rootUuid"], "edited in Kobo: new _uuid, same root"):
            edited["_uuid"] = uid(self.people.seed, "kobo", "edited")
            edited["meta/instanceID"] = f"uuid:{edited['_uuid']}"
            edited["normes"][0]["normes/atteintes"] = "1"
            edited["avis"] = edited["avis"][:3]
            again.append(edited)
        self.files[f"kobo/aGovASACO-{calendar.months + 1:02d}-corrections.json"] = _kobo_page(again)

    def _feedback(self, rng: Any, n: int) -> Doc:
        row: Doc = {"avis/type": ("plainte", "suggestion")[n % 2]}
        sex = ("f", "m", None)[n % 3]
        if sex:
            row["avis/sexe"] = sex
        if n % 5:
            row["avis/delai_jours"] = str(rng.choice((3, 12, 25, 30, 31, 45)) if n % 4 else 10)
        return row

    def _quality(self) -> None:
        calendar = self.people.calendar
        rows = []
        for n in range(12):
            area = self.people.areas[n % 3][0]
            planned = calendar.first(n % calendar.months) + timedelta(days=12 + n)
            row = self._kobo("aActionQualite", n, planned - timedelta(days=10))
            row["action/code"] = f"AQ-{area[-1]}-{n + 1:02d}"
            row["action/domaine"] = AREAS_OF_QUALITY[n % 4]
            row["action/structure"] = area
            row["action/date_prevue"] = planned.isoformat()
            if n % 3:
                row["action/date_realisee"] = (planned + timedelta(days=n % 7 - 3)).isoformat()
            rows.append(row)
        self.files["kobo/aActionQualite-01.json"] = _kobo_page(rows)

    def _kobo(self, form: str, n: int, day: date) -> Doc:
        return submission(self.people.seed, form, n, day)

    # ------------------------------------------------------------ outreach, CSV

    def _outreach(self) -> None:
        calendar = self.people.calendar
        rows: dict[int, list[Doc]] = {m: [] for m in range(calendar.months)}
        n = 0
        for month in range(calendar.months):
            for area, _, _ in self.people.areas:
                rng = dice(self.people.seed, "outreach", area, month)
                for _ in range(6):
                    rows[month].append(self._session(rng, n, area, calendar.first(month) + timedelta(days=2 + n % 25)))
                    n += 1
        for row in rows[0][::4]:
            if self._planted("decimal_comma", row["record_id"], "twelve written as 12,0 by a spreadsheet"):
                row["femmes_adultes"] = f"{row['femmes_adultes']},0"
            else:
                row["femmes_adultes"] = ""
        for month in range(calendar.months):
            # A spreadsheet on Windows puts a byte order mark at the front: one of the files has it.
            self.files[f"outreach/causeries-{month + 1:02d}.csv"] = _csv(rows[month], mark=month == 1)
        changes = []
        wrong, twice, gone = rows[0][1], rows[0][2], rows[min(1, calendar.months - 1)][3]
        if self._planted("edit_file", wrong["record_id"], "the number of women was corrected"):
            changes.append({**wrong, "femmes_jeunes": str(int(wrong["femmes_jeunes"]) + 4)})
        if self._planted("duplicate_file", twice["record_id"], "the same row in two files"):
            changes.append(twice)
        if self._planted("delete_file", gone["record_id"], "the row was withdrawn with action delete"):
            changes.append({**gone, "action": "delete"})
        self.files[f"outreach/causeries-{calendar.months + 1:02d}-corrections.csv"] = _csv(changes, mark=False)

    def _session(self, rng: Any, n: int, area: str, day: date) -> Doc:
        row: Doc = {"record_id": f"CE-{n + 1:04d}", "action": "upsert", "date_seance": day.strftime("%d/%m/%Y")}
        row.update(aire=area, theme=THEMES[n % 5], canal=CHANNELS[(n // 5) % 3])
        row["duree_h"] = ("1", "1,5", "2", "0,5")[n % 4]
        row["femmes_adultes"] = str(rng.randrange(5, 30))
        row["femmes_jeunes"] = str(rng.randrange(0, 15))
        row["hommes_adultes"] = str(rng.randrange(1, 20))
        row["hommes_jeunes"] = str(rng.randrange(1, 12)) if n % 6 else ""
        if n % 2 == 0:
            row["orientes_f"] = str(rng.randrange(1, 6))
            row["orientes_m"] = str(rng.randrange(0, 3))
            row["motif_orientation"] = ORIENTATIONS[(n // 2) % 4]
        return row


def _ndjson(docs: Sequence[Doc]) -> str:
    return "".join(json.dumps(doc, ensure_ascii=False, separators=(",", ":")) + "\n" for doc in docs)


def _kobo_page(rows: Sequence[Doc]) -> str:
    page = {"count": len(rows), "next": None, "previous": None, "results": list(rows)}
    return json.dumps(page, ensure_ascii=False, indent=1) + "\n"


def _csv(rows: Sequence[Doc], mark: bool) -> str:
    lines = [";".join(COLUMNS)] + [";".join(row.get(c, "") for c in COLUMNS) for row in rows]
    return ("\ufeff" if mark else "") + "\r\n".join(lines) + "\r\n"
