"""Whatever happens, in whatever order: what is wanted equals a recount from nothing, and DHIS2 comes to hold it.

Documents are added, edited (back to what they were too), deleted with and without their body, moved to another place
or month; persons and places are registered late, corrected, deleted; the table of org units and the indicators change.
After every count the figures are compared with a slow count of the documents as they are; at the end all that follows
from them with a second, empty database that was given only the documents as they are, and the state of DHIS2 with both.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.engine.house import Doc, meeting, person, place, report
from tests.properties.scale import scale
from tests.properties.slow_count import ELEMENTS, Cell, slow_count
from tests.properties.world import SENDABLE, VARIANTS, Rows, World, changed, differences, variant

A1, A2 = "ML-KKO-D1-A1", "ML-KKO-D1-A2"
PEOPLE = ("person-1", "person-2", "person-3")
WORKERS = ("asc-001", "asc-002", "asc-013")
SITES = ("site-1", "site-2", "site-90")  #: the last one is in no table: it is where the registry says
DAYS = (
    "2026-07-05", "2026-07-31", "2026-08-01", "2026-08-10", "2026-08-11", "2026-08-29", "2026-09-15", "2026-09-30",
    None, "2027-02-01", "un jour",
)  # fmt: skip
REPORTED = 1_790_676_000_000  #: 29 September 2026: the day of a visit that does not say
REGISTERED = 1_780_300_000_000  #: 1 June 2026
BORN = ("2024-03-11", "2026-07-20", "2021-08-11", "2016-08-10", "2023-08", "2025", "1999-12-31", "11/03/2024", None)

#: What may become of a place in the table of org units.
TABLE: dict[tuple[str, str], tuple[Any, ...]] = {
    ("cht", "site-1"): (
        None,
        ((f"{A1}-S1", "site", A1, "2015-01-01", "2026-08-10"),),
        ((f"{A1}-S1", "site", A1, "2015-01-01", "2026-08-10"), (f"{A2}-S1", "site", A2, "2026-08-11", "")),
        ((f"{A1}-S4", "site", A1, "2015-01-01", ""),),
    ),
    ("cht", "site-2"): (None, ((f"{A1}-S2", "site", A1, "2026-08-05", ""),), "no row"),
    ("cht", "site-90"): (None, ((f"{A1}-S3", "site", A1, "2015-01-01", ""),)),
    ("odk", "GE-A1-01"): (
        None,
        ((A1, "cscom", "ML-KKO-D1", "2015-01-01", "2026-08-10"), (A2, "cscom", "ML-KKO-D1", "2026-08-11", "")),
    ),
}
SHIPPED_ROWS = {
    ("cht", "site-1"): ((f"{A1}-S1", "site", A1, "2015-01-01", ""),),
    ("cht", "site-2"): ((f"{A1}-S2", "site", A1, "2015-01-01", ""),),
    ("cht", "area-1"): ((A1, "cscom", "ML-KKO-D1", "2015-01-01", ""),),
    ("cht", "area-2"): ((A2, "cscom", "ML-KKO-D1", "2015-01-01", ""),),
    ("odk", "GE-A1-01"): ((A1, "cscom", "ML-KKO-D1", "2015-01-01", ""),),
    ("odk", "GE-A1-02"): ((A1, "cscom", "ML-KKO-D1", "2015-01-01", ""),),
}


def _maybe(draw: Any, values: tuple[Any, ...]) -> Any:
    return draw(st.sampled_from(values))


@st.composite
def reports(draw: Any, key: str) -> Doc:
    worker, site, day = _maybe(draw, WORKERS), _maybe(draw, SITES), _maybe(draw, DAYS)
    form = {"v": "assessment", "s": "stock_count", "f": "assessment_follow_up", "h": "home_visit"}[key[0]]
    fields: Doc = {}
    if form == "assessment":
        fields["patient_id"] = _maybe(draw, PEOPLE)
        fever = {
            "patient_fever": _maybe(draw, ("yes", "no", None)),
            "mrdt_result": _maybe(draw, ("positive", "negative", "not_done", None)),
        }
        if draw(st.booleans()):
            fever.update(malaria_treatment_given="yes", malaria_treatment="act")
        fields["care_refused"] = _maybe(draw, ("yes", "no", ""))
        fields["group_fever"] = {name: value for name, value in fever.items() if value}
        if draw(st.booleans()):
            fields["patient_age_in_months"] = _maybe(draw, (0, 11, 30, 70, 250))
        if draw(st.booleans()):
            fields["referral"] = {"is_referred": "yes", "referred_to": "area-1", "urgency": "urgent", "reason": "other"}
    elif form == "stock_count":
        for product in ("tdr", "cta"):
            if draw(st.booleans()):
                fields[product] = {"on_hand": 5, "stockout_days": _maybe(draw, (0, 1, 3))}
    elif form == "assessment_follow_up":
        fields = {"patient_id": _maybe(draw, PEOPLE), "outcome": "improved"}
    else:
        fields = {"household_id": "home-1", "purpose": _maybe(draw, ("education", "other", ""))}
    doc = report(key, form, str(day), fields, worker=worker, site="site-1")
    doc["reported_date"] = REPORTED
    if day is None:
        del doc["fields"]["visit_date"]
    doc["contact"]["parent"]["_id"] = site
    return doc


KEYS = ("v1", "v2", "v3", "v4", "v5", "s1", "s2", "s3", "f1", "h1")
ANY_REPORT = st.sampled_from(KEYS).flatmap(reports)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_a_pack_without_errors(name: str) -> None:
    assert (variant(name) == variant("shipped")) == (not VARIANTS[name])


class Recount(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.people: dict[str, Doc] = {}
        self.places: dict[str, Doc] = {}
        self.reports: dict[str, Doc] = {}
        self.meetings: dict[str, Doc] = {}
        self.before: dict[str, list[Doc]] = {}  #: what a report was before
        self.files = 0
        self.variant = "shipped"
        self.renamed = False
        self.rows: dict[tuple[str, str], Any] = {}
        self.world: World | None = None
        self.agreed = False  #: compared since the last change

    @initialize(vanished=st.sampled_from(("zero", "delete")), some=st.lists(ANY_REPORT, max_size=6))
    def begin(self, vanished: str, some: list[Doc]) -> None:
        self.vanished = vanished
        self.world = World([], self.change())
        for key in PEOPLE[:2]:
            self.register(key, "2024-03-11", "female")
        for doc in some:
            self.save(doc)

    def change(self) -> Any:
        return changed(self.variant, self._table(), self.vanished)

    def _table(self) -> Rows:
        return {key: () if value == "no row" else value for key, value in self.rows.items()}

    @property
    def road(self) -> World:
        assert self.world is not None
        return self.world

    # ------------------------------------------------------------ the world changes

    @rule(doc=ANY_REPORT)
    def save(self, doc: Doc) -> None:
        """Add a report, or replace one by anything else: another person, place, month, answer."""
        if doc["_id"] in self.reports:
            self.before.setdefault(doc["_id"], []).append(self.reports[doc["_id"]])
        self._put(self.reports, doc)

    @precondition(lambda self: self.before)
    @rule(data=st.data())
    def back_to_what_it_was(self, data: Any) -> None:
        key = data.draw(st.sampled_from(sorted(self.before)))
        self._put(self.reports, self.before[key][-1])

    @precondition(lambda self: self.reports)
    @rule(data=st.data(), stub=st.booleans())
    def delete(self, data: Any, stub: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.reports)))
        self.before.setdefault(key, []).append(self.reports[key])
        self._remove(self.reports, key, stub)

    @rule(key=st.sampled_from(PEOPLE), born=st.sampled_from(BORN), sex=st.sampled_from(("female", "male", "?", None)))
    def register(self, key: str, born: str | None, sex: str | None) -> None:
        """A person is registered (perhaps after her visits), or her birth date or sex is corrected."""
        self._put(self.people, {**person(key, born=born, sex=sex), "reported_date": REGISTERED})

    @precondition(lambda self: self.people)
    @rule(data=st.data(), stub=st.booleans())
    def delete_a_person(self, data: Any, stub: bool) -> None:
        self._remove(self.people, data.draw(st.sampled_from(sorted(self.people))), stub)

    @rule(key=st.sampled_from(SITES[1:]), area=st.sampled_from(("area-1", "area-2", "area-77")))
    def register_a_place(self, key: str, area: str) -> None:
        """A place is registered, or moved under another one."""
        self._put(self.places, place(key, "site", area))

    @rule(key=st.sampled_from(PEOPLE), site=st.sampled_from(SITES))
    def register_a_home(self, key: str, site: str) -> None:
        """The household of a person is registered, or moves."""
        self._put(self.places, {**place(f"home-{key}", "household", site), "reported_date": REGISTERED})

    @precondition(lambda self: self.places)
    @rule(data=st.data(), stub=st.booleans())
    def delete_a_place(self, data: Any, stub: bool) -> None:
        self._remove(self.places, data.draw(st.sampled_from(sorted(self.places))), stub)

    @rule(
        n=st.integers(1, 3),
        group=st.sampled_from(("GE-A1-01", "GE-A1-02", "GE-X")),
        day=st.sampled_from(("2026-08-05", "2026-08-11", "2026-09-01")),
        saved=st.sampled_from((0, 1, 2500, "1250", "12,0", None)),
        members=st.sampled_from((0, 18, 24, None)),
        lent=st.sampled_from((0, 5000, 7500, None)),
    )
    def meet(self, n: int, group: str, day: str, saved: Any, members: int | None, lent: int | None) -> None:
        more = {"presence": {"membres_inscrits": members}, "encours": {"montant_xof": lent}}
        doc = meeting(n, day, group=group, saved=saved, **more)
        self.meetings[doc["__id"]] = doc
        self.files += 1
        self.road.write_meetings(f"{self.files:04}", [doc])
        self.agreed = False

    @rule(key=st.sampled_from(sorted(TABLE)), data=st.data())
    def change_the_table(self, key: tuple[str, str], data: Any) -> None:
        """A place closes, opens, moves, gets a row or loses it."""
        chosen = data.draw(st.sampled_from(TABLE[key]))
        self.rows.pop(key, None)
        if chosen is not None:
            self.rows[key] = chosen
        self._again()

    @rule(name=st.sampled_from(sorted(VARIANTS)))
    def change_an_indicator(self, name: str) -> None:
        self.variant = name
        self.renamed |= name == "renumbered"
        self._again()

    def _put(self, kind: dict[str, Doc], doc: Doc) -> None:
        kind[doc["_id"]] = doc
        self.road.cht.put(doc)
        self.agreed = False

    def _remove(self, kind: dict[str, Doc], key: str, stub: bool) -> None:
        del kind[key]
        self.road.cht.delete(key, keep_body=not stub)
        self.agreed = False

    def _again(self) -> None:
        self.road.again(self.change())
        self.agreed = False

    # ------------------------------------------------------------ the connector works

    @rule()
    def count(self) -> None:
        self.road.run(targets=[])
        self.compare()

    @precondition(lambda self: self.variant in SENDABLE)
    @rule()
    def count_and_send(self) -> None:
        self.road.run(targets=["dhis2"])
        self.compare()

    def expected(self) -> dict[Cell, str]:
        rows = {**SHIPPED_ROWS, **self.rows}
        return slow_count(
            people=self.people,
            places=self.places,
            reports=self.reports,
            meetings=self.meetings,
            rows={key: value for key, value in rows.items() if value != "no row"},
            today=self.road.clock.now().date(),
            variant=self.variant,
        )

    def compare(self) -> None:
        ours = {
            f"{element} {unit} {period} {combo}": value
            for (_, element, unit, period, combo), (value, _) in self.road.cells().items()
            if element in ELEMENTS
        }
        theirs = {" ".join(cell): value for cell, value in self.expected().items()}
        assert not differences(ours, theirs)
        self.agreed = True

    # ------------------------------------------------------------ the end

    def teardown(self) -> None:
        if self.world is None:
            return
        try:
            if self.variant not in SENDABLE:
                self.variant = "shipped"
                self._again()
            self.road.settle_dhis2()
            self.compare()
            self.from_nothing()
            self.at_dhis2()
        finally:
            self.world.gone()

    def from_nothing(self) -> None:
        fresh = World([*self.people.values(), *self.places.values(), *self.reports.values()], self.change())
        try:
            fresh.write_meetings("all", list(self.meetings.values()))
            fresh.run(targets=[])
            assert not differences(self.road.wanted(), fresh.wanted())
        finally:
            fresh.gone()

    def at_dhis2(self) -> None:
        """What an element held under a name it has no more, or for an indicator that left the pack, is left there."""
        cells = self.road.cells()
        left = () if "B02" in self.road.engine.pack.indicators else ("MH_B02_NUM", "MH_B02_DEN")
        held = {" ".join(k): v for k, v in self.road.values().items() if v != "0" and k[0] not in left}
        wanted = {" ".join(key[1:]): value for key, (value, _) in cells.items() if value != "0"}
        if self.renamed:
            held = {
                key: value
                for key, value in held.items()
                if key in wanted or not key.startswith(("MH_A04", "MH_B10_DEN"))
            }
        assert not differences(held, wanted)


Recount.TestCase.settings = scale(6, 500, stateful_step_count=50)
TestRecount = pytest.mark.slow(Recount.TestCase)  # under the tracing of coverage: minutes
