"""A person registered twice: figures, registers, episodes, FHIR and referrals follow what is declared, and back."""

from __future__ import annotations

from datetime import date
from typing import Any

import orjson
import pytest

from connector.engine import erasing, retention, same_person
from connector.errors import NotSame
from tests.engine.house import ANNA, MODIBO, UNIT, Doc, Make, Road, a_few, person, report, visit
from tests.engine.test_retention import relais
from tests.properties.slow_count import ELEMENTS, slow_count

#: Anna's second registration, another birth date and sex on it, and a third one.
AGAIN, THIRD = "person-anna-2", "person-anna-3"
REGISTERED = 1_780_300_000_000  #: 1 June 2026
ROWS = {("cht", "site-1"): ((UNIT, "site", "ML-KKO-D1-A1", "2015-01-01", ""),)}


def seen(key: str, day: str, subject: str, **more: Any) -> Doc:
    """A visit that counts persons (A10), records, and a treated child (B12)."""
    doc = visit(key, day, subject=subject, care_refused="yes", **more)
    doc["fields"]["group_fever"].update(malaria_treatment_given="yes", malaria_treatment="act")
    return doc


def follow_up(key: str, day: str, subject: str) -> Doc:
    return report(key, "assessment_follow_up", day, {"patient_id": subject, "outcome": "improved"})


def twice() -> list[Doc]:
    docs = [*a_few(), person(AGAIN, born="2022-03-11", sex="male"), person(THIRD, born=None, sex=None)]
    docs += [seen("one", "2026-08-03", AGAIN), seen("two", "2026-08-20", ANNA), seen("three", "2026-09-04", THIRD)]
    docs += [follow_up("after", "2026-08-22", AGAIN), seen("else", "2026-08-05", MODIBO)]
    at_home = {"parent": {"_id": "site-1"}, "reported_date": REGISTERED}
    return [{**doc, **at_home} if doc.get("contact_type") == "person" else doc for doc in docs]


def expected(docs: list[Doc], same: dict[str, str]) -> dict[str, str]:
    last = {doc["_id"]: doc for doc in docs}
    found = slow_count(
        people={key: doc for key, doc in last.items() if doc.get("contact_type") == "person"}, places={},
        reports={key: doc for key, doc in last.items() if doc["type"] == "data_record"}, meetings={}, rows=ROWS,
        today=date(2026, 10, 6), variant="shipped", same=same,
    )  # fmt: skip
    return {" ".join(cell): value for cell, value in found.items()}


def figures(road: Road) -> dict[str, str]:
    """What DHIS2 holds of the elements the slow count knows."""
    held = {" ".join(key): value for key, value in road.values().items() if key[0] in ELEMENTS}
    return {key: value for key, value in held.items() if value != "0"}


def declare(road: Road, kept: str, other: str) -> dict[str, Any]:
    return same_person.declare(road.engine, ("cht", kept), ("cht", other), "vue deux fois", "awa")


def undo(road: Road, kept: str, other: str) -> dict[str, Any]:
    return same_person.undo(road.engine, ("cht", kept), ("cht", other), "deux soeurs", "awa")


@pytest.fixture
def road(make_road: Make) -> Road:
    made = make_road(twice())
    made.settle()
    return made


@pytest.fixture
def mapped(make_road: Make) -> Road:
    """Counted, and nothing sent."""
    made = make_road(twice())
    made.run(targets=[])
    return made


@pytest.mark.again
def test_figures_at_dhis2_follow_a_declaration_and_its_undoing(road: Road) -> None:
    docs, apart = twice(), expected(twice(), {})
    assert figures(road) == apart
    assert declare(road, ANNA, AGAIN) == {"kept": f"cht/{ANNA}", "ids": [f"cht/{AGAIN}"]}
    road.settle()
    together = expected(docs, {AGAIN: ANNA})
    assert figures(road) == together
    changed = {key.split()[0] for key in together.keys() | apart.keys() if together.get(key) != apart.get(key)}
    assert {"MH_A04", "MH_A10_DEN", "MH_B12_NUM", "MH_E04_DEN"} <= changed
    assert declare(road, AGAIN, THIRD) == {"kept": f"cht/{ANNA}", "ids": [f"cht/{AGAIN}", f"cht/{THIRD}"]}
    road.settle()
    assert figures(road) == expected(docs, {AGAIN: ANNA, THIRD: ANNA})
    assert undo(road, ANNA, AGAIN) == {"kept": f"cht/{AGAIN}", "ids": [f"cht/{THIRD}"]}
    road.settle()
    assert figures(road) == expected(docs, {THIRD: AGAIN})
    undo(road, AGAIN, THIRD)
    road.settle()
    assert figures(road) == apart
    assert not road.rows("SELECT 1 FROM same_person") and not road.rows("SELECT 1 FROM same_key")


# ---------------------------------------------------------------- FHIR


def patients(road: Road) -> dict[str, Doc]:
    """The server's Patients by the app's id."""
    found = [r for r in road.fhir.state()["resources"].values() if r["resourceType"] == "Patient"]
    return {one["identifier"][0]["value"]: one for one in found}


def encounter(road: Road, key: str) -> Doc:
    found = [r for r in road.fhir.state()["resources"].values() if r["resourceType"] == "Encounter"]
    (one,) = [r for r in found if r["identifier"][0]["value"] == key]
    return one


@pytest.mark.again
def test_resources_are_about_the_patient_that_is_kept_and_the_other_says_so(road: Road) -> None:
    before = patients(road)
    kept, other = (f"Patient/{before[key]['id']}" for key in (ANNA, AGAIN))
    assert encounter(road, "one")["subject"]["reference"] == other
    declare(road, ANNA, AGAIN)
    road.settle()
    replaced = patients(road)[AGAIN]
    assert replaced["active"] is False
    assert replaced["link"] == [{"other": {"reference": kept}, "type": "replaced-by"}]
    assert patients(road)[ANNA] == before[ANNA]
    about = {
        r[name]["reference"]
        for r in road.fhir.state()["resources"].values() for name in ("subject", "for")
        if r["resourceType"] != "Group" and "reference" in r.get(name, {})
    }  # fmt: skip
    assert kept in about and other not in about
    undo(road, ANNA, AGAIN)
    road.settle()
    assert patients(road) == before and encounter(road, "one")["subject"]["reference"] == other


# ---------------------------------------------------------------- referrals


def clinic(road: Road) -> dict[str, list[tuple[str, str]]]:
    """Number of a referral -> what lives of it at the clinic: (kind, the app's id of its patient)."""
    state = road.openmrs.state()
    whose = {p["uuid"]: next(v for k, v in p["identifiers"] if v.startswith("person-")) for p in state["patients"]}
    found: dict[str, list[tuple[str, str]]] = {}
    for one in state["appointments"]:
        if one["status"] != "Cancelled":
            found.setdefault(one["number"], []).append((one["status"], whose[one["patient"]]))
    for one in state["encounters"]:
        number = next((o["value"] for o in one["obs"] if o["value"] in NUMBERS), None)
        if number and not one["voided"]:
            found.setdefault(number, []).append(("encounter", whose[one["patient"]]))
    return {number: sorted(several) for number, several in found.items()}


NUMBERS = ("of-her", "of-the-other", "later")


def under(who: str) -> list[tuple[str, str]]:
    return [("Scheduled", who), ("encounter", who)]


def referred(make_road: Make, *docs: Doc) -> Road:
    made = make_road([person(ANNA), person(AGAIN), *docs])
    made.settle()
    return made


@pytest.mark.again
def test_an_open_referral_goes_to_the_patient_of_the_id_that_is_kept(make_road: Make) -> None:
    of_her = visit("of-her", "2026-09-28", refer=True)
    road = referred(make_road, of_her, visit("of-the-other", "2026-09-29", subject=AGAIN, refer=True))
    assert clinic(road) == {"of-her": under(ANNA), "of-the-other": under(AGAIN)}
    there = road.openmrs.state()["patients"]
    declare(road, ANNA, AGAIN)
    road.settle()
    assert clinic(road) == {"of-her": under(ANNA), "of-the-other": under(ANNA)}
    assert road.openmrs.state()["patients"] == there, "nobody was made, changed or voided"
    writes = road.writes("openmrs")
    road.settle()
    road.reconcile("openmrs")
    assert road.writes("openmrs") == writes
    undo(road, ANNA, AGAIN)
    road.settle()
    assert clinic(road) == {"of-her": under(ANNA), "of-the-other": under(AGAIN)}
    assert road.openmrs.state()["patients"] == there


@pytest.mark.again
def test_no_second_patient_is_made_where_the_clinic_has_one_under_another_id(make_road: Make) -> None:
    road = referred(make_road, visit("of-the-other", "2026-09-28", subject=AGAIN, refer=True))
    (there,) = road.openmrs.state()["patients"]
    declare(road, ANNA, AGAIN)
    road.cht.put(visit("later", "2026-09-29", refer=True))
    road.settle()
    assert road.openmrs.state()["patients"] == [there]
    assert clinic(road) == {"of-the-other": under(AGAIN), "later": under(AGAIN)}
    undo(road, ANNA, AGAIN)
    road.settle()
    assert clinic(road) == {"of-the-other": under(AGAIN), "later": under(ANNA)}, "they are two people after all"
    assert len(road.openmrs.state()["patients"]) == 2


@pytest.mark.again
@pytest.mark.parametrize("polled", [True, False])
def test_a_referral_the_clinic_has_begun_with_stays_where_it_is(make_road: Make, polled: bool) -> None:
    docs = [visit("of-her", "2026-09-28", refer=True), visit("of-the-other", "2026-09-29", subject=AGAIN, refer=True)]
    road = referred(make_road, *docs)
    road.openmrs.people({"act": "check_in", "number": "of-the-other"})
    if polled:
        road.later(hours=1)
        road.settle()
        assert road.one("SELECT state FROM referral WHERE record LIKE '%/of-the-other'")["state"] == "arrived"
    before = clinic(road)
    declare(road, ANNA, AGAIN)
    road.settle()
    assert clinic(road) == before and before["of-the-other"] == [("CheckedIn", AGAIN), ("encounter", AGAIN)]


# ---------------------------------------------------------------- what is purged, erased, much


@pytest.mark.parametrize("days", [pytest.param(100, marks=pytest.mark.again), 800])
def test_purged_records_follow(road: Road, days: int) -> None:
    """After 90 days the text is gone; after two years what it said, too: then only who it was about still counts."""
    apart = figures(road)
    road.later(hours=1)
    road.settle()
    road.later(days=days)
    assert retention.purge(road.engine)["waiting"] == 0
    assert not road.rows("SELECT 1 FROM body WHERE body_enc IS NOT NULL")
    assert bool(road.rows("SELECT 1 FROM activity WHERE LENGTH(activity_enc) > 0")) == (days == 100)
    declare(road, ANNA, AGAIN)
    road.settle()
    together = expected(twice(), {AGAIN: ANNA})
    if days == 100:
        assert figures(road) == together
        younger = [{**doc, "date_of_birth": "2026-05-05"} if doc["_id"] == ANNA else doc for doc in twice()]
        road.cht.put(next(doc for doc in younger if doc["_id"] == ANNA))
        road.settle()
        assert figures(road) == expected(younger, {AGAIN: ANNA}), "who she is holds for what is kept of her visits"
        road.cht.put(next(doc for doc in twice() if doc["_id"] == ANNA))
    else:
        persons = ("MH_A10_NUM", "MH_A10_DEN", "MH_E04_DEN")
        same = {key: value for key, value in figures(road).items() if key.startswith(persons)}
        assert sum(int(v) for v in same.values()) == sum(int(v) for k, v in together.items() if k.startswith(persons))
        assert {k: v for k, v in figures(road).items() if not k.startswith(persons)} == {
            k: v for k, v in apart.items() if not k.startswith(persons)
        }, "records and episodes stay as they were counted"
    undo(road, ANNA, AGAIN)
    road.settle()
    assert figures(road) == apart
    assert road.quarantined() == {}


@pytest.mark.again
def test_who_asks_to_be_forgotten_is_forgotten_under_every_id_of_hers(road: Road) -> None:
    declare(road, ANNA, AGAIN)
    road.settle()
    held = figures(road)
    both = {f"cht/contacts/{ANNA}", f"cht/contacts/{AGAIN}", "cht/reports/one", "cht/reports/two"}
    assert both <= set(erasing.find(road.engine, "cht", AGAIN)) == set(erasing.find(road.engine, "cht", ANNA))
    erasing.erase(road.engine, "cht", AGAIN, "asked", "awa")
    assert [row["note"] for row in same_person.listed(road.engine)] == [""]
    road.settle()
    persons = ("MH_A10_NUM", "MH_A10_DEN")
    assert {k: v for k, v in figures(road).items() if k.startswith(persons)} == {
        k: v for k, v in held.items() if k.startswith(persons)
    }
    assert not {ANNA, AGAIN} & set(patients(road))


@pytest.mark.again
def test_the_registration_that_is_kept_says_who_she_is_as_long_as_there_is_one(road: Road) -> None:
    docs = twice()
    declare(road, ANNA, AGAIN)
    road.settle()
    road.cht.put({**next(d for d in docs if d["_id"] == ANNA), "date_of_birth": "2020-01-01"})
    road.settle()
    docs = [{**d, "date_of_birth": "2020-01-01"} if d["_id"] == ANNA else d for d in docs]
    assert figures(road) == expected(docs, {AGAIN: ANNA})
    road.cht.delete(ANNA)
    road.settle()
    docs = [d for d in docs if d["_id"] != ANNA]
    assert figures(road) == expected(docs, {AGAIN: ANNA})
    assert "link" not in patients(road)[AGAIN], "the patient she was replaced by is no more"


# ---------------------------------------------------------------- the declaration


def test_nonsense_is_refused_and_changes_nothing(mapped: Road) -> None:
    road = mapped
    declare(road, ANNA, AGAIN)

    def refused(kept: str, other: str) -> str:
        with pytest.raises(NotSame) as found:
            declare(road, kept, other)
        assert "Rien n'a été modifié." in found.value.french and "Rien" not in str(found.value)
        return str(found.value)

    assert "is no registered person" in refused(ANNA, "person-nobody")
    assert "is no registered person" in refused("site-1", AGAIN)
    assert "one id" in refused(ANNA, ANNA)
    assert "already" in refused(ANNA, AGAIN) and "already" in refused(MODIBO, AGAIN)
    assert "they are the same" in refused(AGAIN, ANNA), "a circle"
    declare(road, AGAIN, THIRD)
    assert "they are the same" in refused(THIRD, ANNA), "a longer one"
    for kept, other in ((AGAIN, ANNA), (ANNA, THIRD), (MODIBO, ANNA)):
        with pytest.raises(NotSame, match="was not declared the same"):
            undo(road, kept, other)
    for text in ("person-anna", "cht/", "/x"):
        with pytest.raises(NotSame, match="SOURCE/ID"):
            same_person.named(text)
    same_person.MOST, most = 3, same_person.MOST
    try:
        assert "more than 3 ids" in refused(ANNA, MODIBO)
    finally:
        same_person.MOST = most
    told = [(row["id"], row["same_as"], row["kept"]) for row in same_person.listed(road.engine)]
    assert told == [
        (f"cht/{AGAIN}", f"cht/{ANNA}", f"cht/{ANNA}"), (f"cht/{THIRD}", f"cht/{AGAIN}", f"cht/{ANNA}"),
    ]  # fmt: skip


@pytest.mark.again
def test_the_audit_tells_of_it_without_a_name_or_an_id(mapped: Road) -> None:
    declare(mapped, ANNA, AGAIN)
    undo(mapped, ANNA, AGAIN)
    told = mapped.rows("SELECT * FROM audit WHERE event IN ('person.same', 'person.apart') ORDER BY id")
    assert [row["event"] for row in told] == ["person.same", "person.apart"]
    assert "anna" not in str(told) and "awa" not in str(told) and "vue" not in str(told)
    assert told[0]["who"] == told[1]["who"] != "system"


@pytest.mark.again
def test_a_person_with_many_records_is_worked_out_again_in_chunks_that_can_be_interrupted(
    mapped: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    from connector.engine import mapping

    road = mapped
    declare(road, ANNA, AGAIN)
    monkeypatch.setattr(mapping, "CHUNK", 2)
    chunks = mapping.Mapping(road.engine).chunks()
    assert next(chunks)["mapped"] <= 2
    chunks.close()  # killed here
    assert road.rows("SELECT 1 FROM head WHERE dirty")
    road.again()
    road.settle()
    assert figures(road) == expected(twice(), {AGAIN: ANNA})


@pytest.mark.again
def test_the_commands(mapped: Road, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    road, kept, other = mapped, f"cht/{ANNA}", f"cht/{AGAIN}"
    road.close()
    said = ("person", "same", kept, other, "--note", "same card")
    assert relais(monkeypatch, *said, "--json") == 0
    assert orjson.loads(capfd.readouterr().out) == {"kept": kept, "ids": [other]}
    assert relais(monkeypatch, *said, "--json") == 2
    assert orjson.loads(capfd.readouterr().out)["error"] == "person.not_same"
    assert relais(monkeypatch, "person", "list", "--json") == 0
    (one,) = orjson.loads(capfd.readouterr().out)["persons"]
    assert (one["id"], one["same_as"], one["kept"], one["note"]) == (other, kept, kept, "same card")
    assert relais(monkeypatch, "person", "list") == 0
    assert relais(monkeypatch, *said, "--undo") == 0 and other in capfd.readouterr().out
    road.open()
    road.settle()
    assert figures(road) == expected(twice(), {})
