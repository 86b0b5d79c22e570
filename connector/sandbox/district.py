"""The synthetic district: everything the sandbox's simulators start with, the same bytes for the same seed.

``District(seed, ...)`` holds ``operations`` (what happened at the CHT server, in order), ``files`` (what lies in the
watched folder), what DHIS2 and OpenMRS hold before the start, the staff's decisions, and ``planted``: every
awkwardness by kind, key and reason. ``bench_docs`` streams visits without holding them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

from connector.sandbox import metadata, openmrs_metadata
from connector.sandbox.district_awkward import KINDS, Awkward, Operation
from connector.sandbox.district_care import Care
from connector.sandbox.district_clinic import decide, seen_at
from connector.sandbox.district_groups import Groups
from connector.sandbox.district_people import Calendar, Doc, Household, People, Site, dice, uid
from connector.sandbox.district_visits import Visits

__all__ = ["KINDS", "District", "bench_docs", "current"]


#: What a district can be made of: smallest and largest number of months, sites and workers.
SIZES = {"months": (1, 6), "sites": (3, 48), "chws": (6, 96)}


class District:
    """One district in one quarter. ``start``: first month, ``YYYY-MM``; ``leave_out``: kinds of awkwardness (``KINDS``)
    the district is made without, see ``district_awkward``; ``indicators``: ``first`` (the thirty-five that single
    records give) or ``all`` ninety-two, for which more is asked, registered and planned.

    Raises ValueError for a size out of ``SIZES``, and for what is unknown.
    """

    def __init__(
        self, seed: int = 7, start: str = "2026-07", months: int = 3, sites: int = 12, chws: int = 24,
        zone: str = "Africa/Bamako", leave_out: Iterable[str] = (), indicators: str = "all",
    ) -> None:  # fmt: skip
        self.seed, self.zone, self.covered = seed, zone, indicators
        if indicators not in metadata.COVERED:
            raise ValueError(f"indicators: {' or '.join(metadata.COVERED)}, not {indicators}")
        for name, number in (("months", months), ("sites", sites), ("chws", chws)):
            least, most = SIZES[name]
            if not least <= number <= most:
                raise ValueError(f"{name} {number}: the district can be made of {least} to {most}")
        if chws < sites:
            raise ValueError(f"chws {chws}: fewer than the {sites} sites, and each has one or more")
        self.leave_out = frozenset(leave_out)
        if unknown := self.leave_out - set(KINDS):
            raise ValueError(f"no such awkwardness: {', '.join(sorted(unknown))}")
        self.calendar = Calendar.of(start, months, zone)
        self.people = People(seed, self.calendar, sites, chws, indicators)
        self.planted: list[dict[str, str]] = []
        self.mover = self.people.workers[-1].id
        self.moves_to = self._moves_to()
        visits = Visits(self.people, self.mover, self.moves_to, self._silent())
        visits.before()
        visits.needed_cases()
        visits.everyday()
        if indicators == "all":
            Care(visits)
        self._groups = Groups(self.people, self.leave_out, self.planted)
        self.files: dict[str, str] = self._groups.files
        awkward = Awkward(visits, self.leave_out, self.planted)
        self.operations: list[Operation] = awkward.operations
        self._say_hand_typed()

    def _say_hand_typed(self) -> None:
        if "hand_typed" in self.leave_out:
            return
        for value in self.hand_typed:
            key = f"{value['dataElement']}/{value['orgUnit']}/{value['period']}/{value['categoryOptionCombo']}"
            reason = f"typed by hand before the start, {'another' if value['differs'] else 'the same'} figure"
            self.planted.append({"kind": "hand_typed", "key": key, "reason": reason})

    def _moves_to(self) -> Site | None:
        """The last worker moves to the sixth site when the second month begins."""
        if len(self.people.sites) < 6 or self.calendar.months < 2 or "worker_moves" in self.leave_out:
            return None
        self._plant("worker_moves", self.mover, "the worker changes site at the start of the second month")
        return self.people.sites[5]

    def _silent(self) -> tuple[str, int] | None:
        if len(self.people.workers) < 18 or "no_report" in self.leave_out:
            return None
        worker = self.people.workers[17].id
        self._plant("no_report", worker, "on leave in the last month: the site's month is not complete")
        return worker, self.calendar.months - 1

    def _plant(self, kind: str, key: str, reason: str) -> None:
        self.planted.append({"kind": kind, "key": key, "reason": reason})

    # ------------------------------------------------------------ live from when

    @property
    def dhis2_live_from(self) -> str:
        """The first DHIS2 period that is sent."""
        return self.calendar.period(0)

    @property
    def referrals_live_from(self) -> str:
        """The first day whose referrals reach the clinic."""
        return (self.calendar.start + timedelta(days=5)).isoformat()

    # ------------------------------------------------------------ CHT

    def cht_docs(self) -> list[Doc]:
        """The operations as documents to save one after the other; a deletion is a document with ``_deleted``."""
        docs: list[Doc] = []
        last: dict[str, Doc] = {}
        for op in self.operations:
            if op["op"] == "put":
                docs.append(op["doc"])
                last[op["doc"]["_id"]] = op["doc"]
            else:
                body = last[op["id"]] if op["body"] else {"_id": op["id"]}
                docs.append({**body, "_deleted": True})
        return docs

    def current_docs(self) -> list[Doc]:
        """The documents as they are after all operations, without the deleted ones."""
        return current(self.cht_docs())

    # ------------------------------------------------------------ tables and targets

    def org_unit_rows(self) -> list[dict[str, Any]]:
        return metadata.org_unit_rows(self.people)

    def deployment_rows(self) -> list[dict[str, Any]]:
        return metadata.deployment_rows(self.people, self.mover, self.moves_to)

    @cached_property
    def dhis2_metadata(self) -> dict[str, Any]:
        """The server's date is the fifth day after the quarter."""
        today = self.calendar.last(self.calendar.months - 1) + timedelta(days=5)
        return metadata.dhis2_metadata(self.people, today, self.covered)

    @cached_property
    def hand_typed(self) -> list[dict[str, Any]]:
        """Twenty values people typed before the start: ten as they will be counted, ten other ones (``differs``).

        The different ones lie in two blocks, so that most blocks can be completed.
        """
        from connector.sandbox import oracle  # the oracle reads districts; here the district asks it for its figures

        counted = oracle.counted_values(oracle.records_of_district(self), self)
        rng = dice(self.seed, "typed")
        sites, areas = [one.code for one in self.people.sites], [code for _, code, _ in self.people.areas]
        wanted = [
            (data_set, self.calendar.period(month), units[n], count, differs)
            for data_set, month, units, n, count, differs in (
                ("MH_SEC", 0, sites, 1, 6, True), ("MH_SEC", 1, sites, 6, 4, True), ("MH_SEC", 0, sites, 3, 6, False),
                ("MH_EPARGNE", 1, areas, 2, 4, False),
            )
            if month < self.calendar.months and n < len(units)  # a small district has fewer of them
        ]  # fmt: skip
        typed = []
        for data_set, period, unit, n, differs in wanted:
            keys = sorted(
                key for key in counted
                if metadata.ELEMENTS[key[0]][1] == data_set and key[1] == unit and key[2] == period
            )  # fmt: skip
            for key in sorted(rng.sample(keys, min(n, len(keys)))):
                value = counted[key] + rng.randrange(1, 9) if differs else counted[key]
                typed.append(self._typed(*key, str(value), differs))
        return typed

    def _typed(self, element: str, unit: str, period: str, combo: str, value: str, differs: bool) -> dict[str, Any]:
        return {
            "dataElement": element, "orgUnit": unit, "period": period, "categoryOptionCombo": combo,
            "attributeOptionCombo": "default", "value": value, "storedBy": "admin", "differs": differs,
        }  # fmt: skip

    @cached_property
    def foreign_values(self) -> list[dict[str, Any]]:
        """Values that are none of the connector's business: another data set, and a month before it went live."""
        before = self.calendar.period(-1)
        found = [
            self._typed("SNIS_CONSULT", code, self.calendar.period(0), "default", str(210 + 17 * n), False)
            for n, (_, code, _) in enumerate(self.people.areas)
        ]
        site = self.people.sites[0].code
        found.append(self._typed("MH_A04", site, before, "A2_Y1_4-SEX_F", "14", False))
        return found

    def dhis2_values(self) -> list[dict[str, Any]]:
        """What DHIS2 holds before the start, in the shape ``DHIS2Sim`` takes."""
        typed = [] if "hand_typed" in self.leave_out else self.hand_typed
        return [{k: v for k, v in value.items() if k != "differs"} for value in [*typed, *self.foreign_values]]

    @cached_property
    def kept_by_hand(self) -> frozenset[tuple[str, str, str, str]]:
        """Addresses (element, org unit, period, combo) of figures that stay as people typed them."""
        typed = [] if "hand_typed" in self.leave_out else [v for v in self.hand_typed if v["differs"]]
        kept = [*typed, *self.foreign_values]
        return frozenset((v["dataElement"], v["orgUnit"], v["period"], v["categoryOptionCombo"]) for v in kept)

    def openmrs_metadata(self) -> dict[str, Any]:
        return openmrs_metadata.default_metadata(
            {"code": area, "name": f"CSCom de {name}"} for area, _, name in self.people.areas
        )

    def openmrs_patients(self) -> list[dict[str, Any]]:
        """Patients the clinics knew before: others than the district's, one with a look-alike identifier."""
        person = self.people.persons[0].id
        look_alike = {"type": "CHW Patient ID", "value": f"{person}-2", "location": None}
        look_alike["location"] = openmrs_metadata.location_uuid(self.people.areas[0][0])
        rng = dice(self.seed, "clinic")
        patients = []
        for n in range(5):
            given, family = self.people.name(rng, "female").split(" ", 1)
            patients.append(
                {
                    "uuid": uid(self.seed, "patient", n),
                    "given": given,
                    "family": family,
                    "gender": "F",
                    "birthdate": f"19{70 + n}-03-1{n}",
                    "identifiers": [look_alike] if n == 0 else [],
                }
            )
        return patients

    def staff(self, number: str) -> Mapping[str, Any] | None:
        """What the clinic's staff does with the referral of this number, by seed: what ``OpenMRSSim`` asks."""
        decision = decide(self.seed, number)
        if decision is not None and self.covered == "all" and number in self._referred:
            seen = seen_at(self.seed, self.calendar, number, self._referred[number])
            decision["at"] = seen.isoformat(timespec="seconds")
        return decision

    @cached_property
    def _referred(self) -> dict[str, date]:
        """Number of each referral and its day: that of service, else that of the report."""
        found = {}
        for doc in self.current_docs():
            if ((doc.get("fields") or {}).get("referral") or {}).get("is_referred") == "yes":
                told = doc["fields"].get("visit_date")
                at = datetime.fromtimestamp(doc["reported_date"] / 1000, self.calendar.zone)
                found[doc["_id"]] = date.fromisoformat(told) if told else at.date()
        return found


def current(docs: Iterable[Mapping[str, Any]]) -> list[Doc]:
    """The last version of each document, deleted ones left out."""
    last: dict[str, Doc] = {}
    for doc in docs:
        last[doc["_id"]] = dict(doc)
    return [doc for doc in last.values() if not doc.get("_deleted")]


def bench_docs(
    visits: int, seed: int = 7, start: str = "2026-07", zone: str = "Africa/Bamako", *, months: int = 3
) -> Iterator[Doc]:
    """Documents of a large district for measuring: places, one person per five visits, then light sick visits.

    Streamed: nothing is held but the places and one person at a time. A visit is one encounter with two to four
    findings: four resources and more on average. Nobody is referred.
    """
    people = People(seed, Calendar.of(start, months, zone), 12, 24)
    yield from (doc for doc in people.place_docs() if doc["contact_type"] != "household")
    people.households.clear()
    book = Visits(people, "", None, None)
    rng = dice(seed, "bench")
    done = 0
    while done < visits:
        worker = people.workers[done // 5 % len(people.workers)]
        house = Household(uid(seed, "bench", "household", done // 20), worker.site, "Famille Diarra")
        people.persons.clear()
        born = people.calendar.start - timedelta(days=rng.randrange(60, 2500))
        person = people.add("bench person", done, house, rng.choice(("female", "male")), born)
        yield people.person_doc(person)
        for _ in range(min(5, visits - done)):
            day = people.calendar.first(rng.randrange(months)) + timedelta(days=rng.randrange(28))
            doc = book.dated(rng, "assessment", worker, worker.site, day, _light(rng, person.id))
            doc["_id"] = uid(seed, "bench", "report", done)
            book.reports.clear()
            done += 1
            yield doc


def _light(rng: random.Random, patient: str) -> Doc:
    """The answers of a short visit: one complaint, what was found, what was given."""
    complaint = rng.random()
    if complaint < 0.55:
        positive = rng.random() < 0.5
        fever: Doc = {"patient_fever": "yes", "mrdt_result": "positive" if positive else "negative"}
        if positive:
            fever |= {"malaria_treatment_given": "yes", "malaria_treatment": "act" if rng.random() < 0.9 else "other"}
        return {"patient_id": patient, "group_fever": fever}
    if complaint < 0.8:
        given = {drug: "yes" if rng.random() < 0.85 else "no" for drug in ("ors_given", "zinc_given")}
        return {"patient_id": patient, "group_diarrhea": {"patient_diarrhea": "yes", **given}}
    breathing = {"breath_count": str(rng.randrange(22, 40)), "fast_breathing": "no"}
    return {"patient_id": patient, "group_cough": {"patient_coughs": "yes"}, "group_breathing": breathing}
