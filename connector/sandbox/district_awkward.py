"""What makes a district awkward: each plant takes reports of the everyday and makes them what the field makes them.

Every plant is listed by kind, key and reason. A kind that is left out (``leave_out``) is a district as it would be
without that awkwardness; where the awkwardness is only a way of writing (an array, a number as text, a duplicate),
the record is left without that answer, or out of the district. So leaving out any kind moves an expected figure.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from connector.sandbox.district_people import Doc, Person, dice, uid
from connector.sandbox.district_visits import Visits

Operation = dict[str, Any]

#: Every kind of awkwardness there is; tests leave out each in turn.
KINDS = (
    "edit", "edit_back", "delete_stub", "delete_body", "duplicate", "future", "late_person", "unknown_person",
    "unknown_form", "no_org_unit", "missing_date", "late_sync", "worker_moves", "twice_registered",
    "multi_select_array", "number_text", "not_asked", "midnight", "old_referral", "no_report", "hand_typed",
    "edit_file", "delete_file", "duplicate_file", "decimal_comma",
)  # fmt: skip


def put(doc: Doc) -> Operation:
    """The document is not copied: a pushed duplicate is the very same one."""
    return {"op": "put", "doc": doc}


@dataclass
class Awkward:
    visits: Visits
    leave_out: frozenset[str]
    planted: list[dict[str, str]]
    operations: list[Operation] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)  #: reports that already have an awkwardness of their own
    later_persons: list[Person] = field(default_factory=list)
    never: list[Person] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.people = self.visits.people
        self.calendar = self.people.calendar
        self.rng = dice(self.people.seed, "awkward")
        self.bounds = (
            self._ms(self.calendar.start + timedelta(days=6)), self._ms(self.calendar.last(self.calendar.months - 1)),
        )  # fmt: skip
        self.dropped: set[str] = set()
        self.last: list[Operation] = []
        self._prepare()
        self._sequence()

    def plant(self, kind: str, key: str, reason: str) -> bool:
        if kind in self.leave_out:
            return False
        self.planted.append({"kind": kind, "key": key, "reason": reason})
        return True

    def pick(self, n: int, wanted: Any) -> list[Doc]:
        """The first ``n`` free reports of the quarter that are as wanted, a few apart; none of the silent worker's."""
        silent = self.visits.silent[0] if self.visits.silent else None
        free = [
            doc for doc in self.visits.reports
            if doc["_id"] not in self.taken and self._live(doc) and doc["contact"]["_id"] != silent and wanted(doc)
        ]  # fmt: skip
        step = max(1, len(free) // n)
        chosen = free[: n * step : step][:n]
        self.taken.update(doc["_id"] for doc in chosen)
        return chosen

    def _live(self, doc: Doc) -> bool:
        """Reported in the quarter, after referrals went live and before its last day."""
        return self.bounds[0] <= doc["reported_date"] < self.bounds[1]

    # ------------------------------------------------------------ changes of single reports

    def _prepare(self) -> None:
        plain = self._plain
        self._not_asked()
        self._written_otherwise()
        self._old_referrals()
        self._midnight()
        self._late_syncs(plain)
        self._unmappable(plain)
        self._persons(plain)
        self._edits()
        self._deletes(plain)
        self._duplicates(plain)

    @staticmethod
    def _plain(doc: Doc) -> bool:
        """A sick visit of a small, known child without referral."""
        if doc["form"] != "assessment" or "patient_age_in_months" in doc["fields"]:
            return False
        return doc["fields"].get("referral", {}).get("is_referred") != "yes" and "group_fever" in doc["fields"]

    @staticmethod
    def _positive(doc: Doc) -> bool:
        return Awkward._plain(doc) and doc["fields"]["group_fever"].get("mrdt_result") == "positive"

    def _not_asked(self) -> None:
        """Answers that are absent stand beside "no"; without this the worker would have answered "no"."""
        for doc in self.pick(6, lambda d: self._plain(d) and d["fields"]["group_fever"].get("patient_fever") == "yes"):
            if self.plant("not_asked", doc["_id"], "diarrhoea was not asked, which is not 'no'"):
                doc["fields"]["group_diarrhea"] = {}
            else:
                doc["fields"]["group_diarrhea"] = {"patient_diarrhea": "no"}

    def _written_otherwise(self) -> None:
        for doc in self.pick(4, lambda d: "danger_sign" in str(d["fields"].get("referral"))):
            group = doc["fields"]["group_danger_signs"]
            said = group["danger_signs"]
            signs = said.split() if isinstance(said, str) else list(said)
            group["danger_signs"] = signs
            if not self.plant("multi_select_array", doc["_id"], "a multi-select as an array, elsewhere as text"):
                del group["danger_signs"]
        for doc in self.pick(4, lambda d: self._plain(d) and "muac_score" in d["fields"].get("group_nutrition", {})):
            if self.plant("number_text", doc["_id"], "a number written as text"):
                doc["fields"]["group_nutrition"]["muac_score"] = "118"
            else:
                del doc["fields"]["group_nutrition"]["muac_score"]

    def _old_referrals(self) -> None:
        """Referrals of the month before: the clinic must never hear of them."""
        first = self.calendar.ms(self.calendar.moment(self.calendar.start, 0))
        old = [d for d in self.visits.reports if d["reported_date"] < first and d["form"] == "assessment"]
        for doc in old[::7][:6]:
            self.taken.add(doc["_id"])
            if self.plant("old_referral", doc["_id"], "referred before the start of the connection"):
                area = doc["contact"]["parent"]["parent"]["_id"]
                doc["fields"]["referral"] = {
                    "is_referred": "yes", "referred_to": area, "urgency": "routine", "reason": "other",
                }  # fmt: skip

    def _midnight(self) -> None:
        """Reports within half an hour of the turn of a month: a wrong time zone counts them in the other one."""
        for month in range(self.calendar.months - 1):
            for n, doc in enumerate(self.pick(6, self._positive)):
                doc["fields"].pop("visit_date", None)
                if n % 2:
                    moment = self.calendar.moment(self.calendar.first(month + 1), 0, 10 + n)
                else:
                    moment = self.calendar.moment(self.calendar.last(month), 23, 30 + n)
                if self.plant("midnight", doc["_id"], "reported at the turn of the month, local time"):
                    doc["reported_date"] = self.calendar.ms(moment)

    def _late_syncs(self, plain: Any) -> None:
        for doc in self.pick(12, lambda d: plain(d) and d["reported_date"] < self._ms(self.calendar.first(1))):
            seen = self.calendar.moment(self.calendar.first(1) - timedelta(days=1), 12)
            day = min(seen.date(), self._day(doc))
            late = self.calendar.moment(self.calendar.last(self.calendar.months - 1) - timedelta(days=3), 16, 5)
            doc["reported_date"] = self.calendar.ms(late)
            if self.plant("late_sync", doc["_id"], "seen in the first month, reached the server in the last"):
                doc["fields"]["visit_date"] = day.isoformat()
            else:
                doc["fields"].pop("visit_date", None)

    def _ms(self, day: date) -> int:
        return self.calendar.ms(self.calendar.moment(day, 0))

    def _day(self, doc: Doc) -> date:
        return datetime.fromtimestamp(doc["reported_date"] / 1000, self.calendar.zone).date()

    def _unmappable(self, plain: Any) -> None:
        for doc in self.pick(2, plain):
            if self.plant("future", doc["_id"], "the phone's clock is years ahead"):
                doc["fields"]["visit_date"] = "2041-03-14"
        for doc in self.pick(2, plain):
            if self.plant("unknown_form", doc["_id"], "a form nobody has described"):
                doc["form"] = "vaccination_bilan"
        for doc in self.pick(1, plain):
            if self.plant("no_org_unit", doc["_id"], "a pilot site that is not in the list of org units"):
                doc["contact"]["parent"] = {"_id": "site-90", "parent": {"_id": "area-90"}}
        births = (d for d in self.visits.reports if d["form"] == "delivery" and d["_id"] not in self.taken)
        doc = next(births)
        self.taken.add(doc["_id"])
        if self.plant("missing_date", doc["_id"], "a delivery without its date"):
            del doc["fields"]["delivery_date"]

    def _persons(self, plain: Any) -> None:
        by_id = {p.id: p for p in self.people.persons}

        def known(d: Doc) -> bool:
            person = by_id[d["fields"]["patient_id"]] if plain(d) else None
            return person is not None and person.born is not None and person.sex is not None

        chosen: set[str] = set()
        for doc in self.pick(3, known):
            person = by_id[doc["fields"]["patient_id"]]
            if person.id in chosen:
                continue
            chosen.add(person.id)
            self.later_persons.append(person)
            if not self.plant("late_person", doc["_id"], "the person is registered after the visit"):
                self.never.append(person)
        doc = self.pick(1, known)[0]
        stranger = uid(self.people.seed, "stranger")
        doc["fields"].pop("referral", None)
        if self.plant("unknown_person", doc["_id"], "the person is never registered"):
            doc["fields"]["patient_id"] = stranger
        self._twice(by_id, known)

    def _twice(self, by_id: dict[str, Person], known: Any) -> None:
        doc = self.pick(1, known)[0]
        first = by_id[doc["fields"]["patient_id"]]
        again = Person(
            uid(self.people.seed, "again"), first.household, first.name, first.sex, first.born, first.born_text,
            first.phone,
        )  # fmt: skip
        if self.plant("twice_registered", again.id, "the same child registered a second time on another phone"):
            self.people.persons.append(again)
            doc["fields"]["patient_id"] = again.id

    def _edits(self) -> None:
        for doc in self.pick(5, self._positive):
            if self.plant("edit", doc["_id"], "a positive test was corrected to negative"):
                after = copy.deepcopy(doc)
                after["fields"]["group_fever"].update(mrdt_result="negative", malaria_treatment_given="no")
                after["fields"]["group_fever"].pop("malaria_treatment", None)
                self.last.append(put(after))
        for doc in self.pick(3, self._positive):
            wrong = copy.deepcopy(doc)
            wrong["fields"]["group_fever"]["mrdt_result"] = "negative"
            self.last.append(put(wrong))
            if self.plant("edit_back", doc["_id"], "corrected and set back: the last revision equals the first"):
                self.last.append(put(doc))

    def _deletes(self, plain: Any) -> None:
        for kind, body in (("delete_stub", False), ("delete_body", True)):
            for doc in self.pick(3, plain):
                reason = "the tombstone keeps the whole report" if body else "the tombstone is empty"
                if self.plant(kind, doc["_id"], reason):
                    self.last.append({"op": "delete", "id": doc["_id"], "body": body})

    def _duplicates(self, plain: Any) -> None:
        for doc in self.pick(4, plain):
            if self.plant("duplicate", doc["_id"], "the phone pushed the same report twice"):
                self.last.append(put(doc))
            else:
                self.dropped.add(doc["_id"])

    # ------------------------------------------------------------ order of arrival

    def _sequence(self) -> None:
        """Registers first, then reports as they were sent, then what happened to them; some persons come last."""
        held_back = {p.id for p in self.later_persons}
        missing = {p.id for p in self.never}
        ops = [put(doc) for doc in self.people.place_docs()]
        ops += [put(self.people.person_doc(p)) for p in self.people.persons if p.id not in held_back]
        ops += [put(doc) for doc in self._machinery()]
        reports = sorted(self.visits.reports, key=lambda d: (d["reported_date"], d["_id"]))
        ops += [put(doc) for doc in reports if doc["_id"] not in self.dropped]
        mover = next((w for w in self.people.workers if w.id == self.visits.mover), None)
        if mover is not None and self.visits.moves_to is not None:
            ops.append(put(self.people.worker_doc(mover, self.visits.moves_to)))
        ops += self.last
        ops += [put(self.people.person_doc(p)) for p in self.later_persons if p.id not in missing]
        self.operations = ops

    def _machinery(self) -> list[Doc]:
        """Documents every CHT database holds beside reports and contacts; nobody maps them."""
        docs: list[Doc] = [{"_id": "form:assessment", "type": "form", "title": "Évaluation", "context": {}}]
        for worker in self.people.workers[:3]:
            key = f"{self.calendar.start:%Y-%m}~{worker.id}~org.couchdb.user:{worker.id}"
            docs.append({"_id": f"target~{key}", "type": "target", "owner": worker.id, "targets": []})
            docs.append({"_id": f"task~{worker.id}", "type": "task", "owner": worker.id, "state": "Completed"})
        return docs
