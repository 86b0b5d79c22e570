"""Match review: a referral whose person looks like a patient of the clinic waits until somebody there says who it is.

Asserted is what the clinic holds; who is truly who is written here by hand.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from connector.engine import erasing, match_review
from connector.engine import status as standing
from connector.errors import MatchUnknown
from connector.mappings.pack import Pack
from connector.sandbox import openmrs_metadata as meta
from connector.sandbox.openmrs_rows import valid_openmrs_id
from tests.engine.house import ANNA, Doc, Make, Road, person, said, visit
from tests.engine.test_retention import relais

HERS, OTHER = "11111111-0000-5000-8000-000000000001", "11111111-0000-5000-8000-000000000002"
NAME, BORN = "Fatoumata Traoré", "2024-03-11"


def patient(uuid: str = HERS, given: str = "Fatoumata", born: str = BORN, **more: Any) -> Doc:
    identifiers = [{"type": "OpenMRS ID", "value": "10007JJ" if uuid == HERS else "1000H7Y"}]
    return {"uuid": uuid, "given": given, "family": "Traore", "gender": "F", "birthdate": born,
            "identifiers": identifiers, **more}  # fmt: skip


def asked(make_road: Make, *patients: Doc, docs: list[Doc] | None = None, **more: Any) -> Road:
    """One referral of a girl, and what the clinic knows; run until nothing more can be done."""
    known = [person(ANNA, NAME, BORN), visit("first", "2026-09-28", refer=True)] if docs is None else docs
    road = make_road(known, patients=list(patients) or [patient()], **more)
    road.summary = road.settle()  # type: ignore[attr-defined]
    return road


def referrals(road: Road) -> dict[str, tuple[str, str]]:
    """Number -> (patient, state of the appointment) of every living referral encounter."""
    state = road.openmrs.state()
    booked = {(a["number"], a["patient"]): a["status"] for a in state["appointments"] if a["status"] != "Cancelled"}
    found = {}
    for one in state["encounters"]:
        number = next((o["value"] for o in one["obs"] if o["concept"] == meta.REFERRAL_NUMBER), None)
        if number and not one["voided"]:
            assert number not in found, "twice at the clinic"
            found[number] = one["patient"], booked.get((number, one["patient"]), "")
    return found


def the_one(road: Road) -> dict[str, Any]:
    (found,) = match_review.listed(road.engine)
    return found


def decide(road: Road, patient: str | None) -> None:
    match_review.decide(road.engine, the_one(road)["id"], patient, "vue par Awa Traoré", "sanogo")


def nothing_more_is_sent(road: Road) -> None:
    writes = road.writes("openmrs")
    road.settle()
    road.reconcile("openmrs")
    assert road.writes("openmrs") == writes


def test_nothing_is_written_at_the_clinic_before_a_person_has_said_who_it_is(make_road: Make) -> None:
    road = asked(make_road)
    assert road.writes("openmrs") == 0 and referrals(road) == {}
    summary = road.summary  # type: ignore[attr-defined]
    assert (summary["attention"]["matches"], summary["attention"]["parked"]) == (1, 0)
    assert summary["outcome"] == "settled"
    document = standing.status(road.engine, "0")
    (clinic,) = [c for c in document["connections"] if c["name"] == "openmrs"]
    assert (clinic["state"], clinic["who"], clinic["matches"], clinic["parked"]) == ("action_needed", "clinic", 1, 0)
    assert (document["matches"], standing.exit_code(document)) == (1, 3)
    waiting = the_one(road)
    assert (waiting["person"], waiting["waiting"], waiting["candidates"]) == (f"cht/{ANNA}", ["cht/reports/first"], 1)
    assert said(road, match_review.REASON).who == "clinic"
    road.settle()
    assert road.writes("openmrs") == 0, "nor later"


def test_she_goes_to_the_patient_a_person_chose_and_nobody_is_asked_again(make_road: Make) -> None:
    road = asked(make_road)
    there = road.openmrs.state()["patients"]
    decide(road, HERS)
    assert road.settle()["attention"]["matches"] == 0
    assert referrals(road) == {"first": (HERS, "Scheduled")}
    road.cht.put(visit("second", "2026-09-30", refer=True))
    assert road.settle()["attention"]["matches"] == 0
    assert referrals(road)["second"] == (HERS, "Scheduled")
    assert road.openmrs.state()["patients"] == there, "nobody was made or changed"
    nothing_more_is_sent(road)


def test_none_of_them_makes_a_patient_with_a_number_the_clinic_gave(make_road: Make) -> None:
    road = asked(make_road)
    decide(road, None)
    road.settle()
    (made,) = [p for p in road.openmrs.state()["patients"] if p["uuid"] != HERS]
    numbers = dict(made["identifiers"])
    assert numbers["CHW Patient ID"] == ANNA and valid_openmrs_id(numbers["OpenMRS ID"])
    assert referrals(road) == {"first": (made["uuid"], "Scheduled")}
    road.cht.put(visit("second", "2026-09-30", refer=True))
    assert road.settle()["attention"]["matches"] == 0
    assert referrals(road)["second"] == (made["uuid"], "Scheduled")


@pytest.mark.again
@pytest.mark.parametrize(
    "stranger", [{"given": "Aminata"}, {"born": "2019-04-12"}, {"gender": "M", "born": "2023-01-05"}]
)
def test_who_does_not_look_like_her_is_in_nobody_s_way(make_road: Make, stranger: Doc) -> None:
    road = asked(make_road, patient(**stranger))
    assert road.summary["attention"]["matches"] == 0  # type: ignore[attr-defined]
    ((whose, _),) = referrals(road).values()
    assert whose != HERS


def test_who_carries_the_id_of_another_person_of_the_app_is_another_person(make_road: Make) -> None:
    chw = {"type": "CHW Patient ID", "value": "person-somebody", "location": meta.location_uuid("area-1")}
    road = asked(make_road, patient(identifiers=[chw]))
    ((whose, _),) = referrals(road).values()
    assert whose != HERS and not list(match_review.listed(road.engine, all=True))


def test_the_identifier_decides_whoever_else_looks_like_her(make_road: Make) -> None:
    chw = {"type": "CHW Patient ID", "value": ANNA, "location": meta.location_uuid("area-1")}
    road = asked(make_road, patient(identifiers=[chw]), patient(OTHER))
    assert referrals(road) == {"first": (HERS, "Scheduled")}


def test_an_identifier_that_stands_in_the_file_of_somebody_else_is_asked_about(make_road: Make) -> None:
    chw = {"type": "CHW Patient ID", "value": ANNA, "location": meta.location_uuid("area-1")}
    road = asked(make_road, patient(given="Aminata", born="1999-01-05", identifiers=[chw]), patient(OTHER))
    assert referrals(road) == {}
    found = match_review.shown(road.engine, the_one(road)["id"], "sanogo")
    assert {one["id"] for one in found["candidates"]} == {HERS, OTHER}


def test_both_sides_are_shown_field_by_field_and_reading_is_written_down_first(make_road: Make) -> None:
    road = asked(make_road, patient(), patient(OTHER, "Fatoumata Binta", "2021-07-25"))
    found = match_review.shown(road.engine, the_one(road)["id"], "sanogo")
    assert [one["id"] for one in found["candidates"]] == [HERS]
    assert found["candidates"][0]["number"] == "10007JJ"
    fields = {f["name"]: (f["ours"], f["theirs"], f["agreement"]) for f in found["candidates"][0]["fields"]}
    assert fields["family"] == ("Traoré", "Traore", "same")
    assert fields["birth_date"] == (BORN, BORN, "same") and fields["national"] == ("", "", "missing")
    assert found["referral"]["number"] == "first" and found["referral"]["urgent"] is True
    (entry,) = road.rows("SELECT * FROM audit WHERE event='match.read'")
    assert entry["who"] != "system" and "patient" in orjson.loads(entry["detail"])


def test_the_audit_tells_of_it_without_a_name_and_what_the_clinic_s_patients_are_called_is_forgotten(
    make_road: Make,
) -> None:
    road = asked(make_road, patient(), patient(OTHER))
    decide(road, HERS)
    road.settle()
    told = road.rows("SELECT * FROM audit WHERE event LIKE 'match.%' OR event LIKE 'patient.%' ORDER BY id")
    assert {row["event"] for row in told} == {"match.asked", "match.decided"}
    for secret in ("Fatoumata", "Traor", "Awa", "sanogo", HERS, ANNA, "10007JJ"):
        assert secret not in str(told), secret
    (row,) = road.rows("SELECT match_enc FROM match_review")
    held = road.engine.store.read(lambda unit: unit.open("match_review", row["match_enc"]))
    assert held == {"note": "vue par Awa Traoré", "numbers": [[meta.OPENMRS_ID, "10007JJ"]]}


@pytest.mark.parametrize("begun", [False, True])
def test_an_answer_taken_back_asks_again_and_moves_what_nobody_has_begun_with(make_road: Make, begun: bool) -> None:
    road = asked(make_road)
    decide(road, HERS)
    road.settle()
    if begun:
        road.openmrs.people({"act": "check_in", "number": "first"})
    (row,) = match_review.listed(road.engine, all=True)
    match_review.undo(road.engine, row["id"], "deux soeurs", "sanogo")
    summary = road.settle()
    if begun:
        assert summary["attention"]["matches"] == 0 and referrals(road) == {"first": (HERS, "CheckedIn")}
        return
    assert summary["attention"]["matches"] == 1 and referrals(road) == {"first": (HERS, "Scheduled")}
    decide(road, None)
    road.settle()
    ((whose, status),) = referrals(road).values()
    assert whose != HERS and status == "Scheduled"
    nothing_more_is_sent(road)


def test_a_referral_taken_back_closes_its_review(make_road: Make) -> None:
    road = asked(make_road)
    road.cht.delete("first")
    assert road.settle()["attention"]["matches"] == 0
    assert road.writes("openmrs") == 0 and not list(match_review.listed(road.engine))


def test_a_chosen_patient_who_is_merged_is_followed_and_it_is_written_down(make_road: Make) -> None:
    road = asked(make_road, patient(), patient(OTHER, "Aminata", "1990-01-05"))
    decide(road, HERS)
    road.settle()
    road.openmrs.people({"act": "merge", "patient": HERS, "into": OTHER})
    road.cht.put(visit("second", "2026-09-30", refer=True))
    road.settle()
    assert referrals(road)["second"] == (OTHER, "Scheduled")
    keyed = road.engine.store.read(lambda unit: (unit.keyed(HERS), unit.keyed(OTHER)))
    (entry,) = road.rows("SELECT detail FROM audit WHERE event='patient.followed'")
    assert orjson.loads(entry["detail"]) == {"from": keyed[0], "to": keyed[1]}
    road.cht.put({**visit("second", "2026-09-30", refer=True, rdt="negative")})
    road.settle()
    assert len(road.rows("SELECT 1 FROM audit WHERE event='patient.followed'")) == 1, "once"


def test_a_chosen_patient_whom_the_clinic_voided_is_not_replaced_by_a_guess(make_road: Make) -> None:
    road = asked(make_road)
    decide(road, HERS)
    road.settle()
    road.openmrs.people({"act": "void", "patient": HERS})
    road.cht.put(visit("second", "2026-09-30", refer=True))
    road.settle()
    waits = road.delivery("cht/reports/second", "openmrs")
    assert (waits["state"], waits["reason"], waits["who"]) == ("parked", "openmrs.patient_gone", "clinic")
    (row,) = match_review.listed(road.engine, all=True)
    match_review.undo(road.engine, row["id"], "", "sanogo")
    road.settle()
    ((whose, _),) = [v for k, v in referrals(road).items() if k == "second"]
    assert whose not in (HERS, OTHER), "nobody there looks like her any more"


def test_a_patient_of_ours_who_was_merged_is_followed_by_her_identifier(make_road: Make) -> None:
    road = asked(make_road, patient(given="Aminata", born="1990-01-05"))
    ((ours, _),) = referrals(road).values()
    road.openmrs.people({"act": "merge", "patient": ours, "into": HERS})
    road.cht.put(visit("first", "2026-09-28", refer=True, rdt="negative"))
    road.settle()
    assert {whose for whose, _ in referrals(road).values()} == {HERS}
    assert len(road.rows("SELECT 1 FROM audit WHERE event='patient.followed'")) == 1


# ---------------------------------------------------------------- the national identifier

NATIONAL = "77777777-0000-5000-8000-000000000007"


def national(pack: Pack) -> Pack:
    types = {**pack.openmrs["identifier_types"], "national": NATIONAL}
    return replace(pack, openmrs={**pack.openmrs, "identifier_types": types}, version=f"{pack.version}+national")


def with_number(road: Road, number: str = "NINA-1994") -> None:
    """The clinic knows the type, and our register her number, which the shipped form does not ask."""
    kind = {"uuid": NATIONAL, "name": "NINA", "required": False, "unique": False, "needs_location": False}
    types = road.openmrs.rows.identifier_types
    types[NATIONAL] = {**next(iter(types.values())), **kind, "validator": None, "uniquenessBehavior": None}
    row = road.openmrs.rows.patients[HERS]
    kept = road.openmrs.rows.identifier_types[NATIONAL]
    row["identifiers"].append(road.openmrs.rows.new_identifier(number, kept, None, False, None))
    builder = road.engine.builder
    made = builder.referral_payload
    road.engine.builder = _Numbered(builder, lambda *a: {**made(*a), "national_id": "NINA-1994"})  # type: ignore[assignment]


class _Numbered:
    def __init__(self, builder: Any, payload: Any) -> None:
        self._builder, self.referral_payload = builder, payload

    def __getattr__(self, name: str) -> Any:
        return getattr(self._builder, name)


@pytest.mark.again
@pytest.mark.parametrize(
    ("there", "waits"),
    [({}, False), ({"born": "2021-07-25"}, True), ({"gender": "M"}, True), ({"given": "Kadiatou"}, True)],
)
def test_the_national_identifier_decides_unless_something_contradicts_it(
    make_road: Make, there: Doc, waits: bool
) -> None:
    docs = [person(ANNA, NAME, BORN), visit("first", "2026-09-28", refer=True)]
    road = make_road(docs, patients=[patient(**there)], change=national)
    with_number(road)
    summary = road.settle()
    assert summary["attention"]["matches"] == int(waits)
    assert referrals(road) == ({} if waits else {"first": (HERS, "Scheduled")})
    assert len(road.openmrs.state()["patients"]) == 1


# ---------------------------------------------------------------- the commands, and what is refused


def test_nonsense_is_refused_and_changes_nothing(make_road: Make) -> None:
    road = asked(make_road)
    id = the_one(road)["id"]
    for number, chosen in ((id, OTHER), (999, HERS)):
        with pytest.raises(MatchUnknown):
            match_review.decide(road.engine, number, chosen, "", "sanogo")
    with pytest.raises(MatchUnknown, match="not decided"):
        match_review.undo(road.engine, id, "", "sanogo")
    decide(road, HERS)
    with pytest.raises(MatchUnknown, match="decided already"):
        match_review.decide(road.engine, id, None, "", "sanogo")
    with pytest.raises(MatchUnknown, match="no match 999"):
        match_review.shown(road.engine, 999, "sanogo")
    (row,) = match_review.listed(road.engine, all=True)
    assert (row["decision"], row["patient"]) == ("same", HERS)


def test_who_asks_to_be_forgotten_is_forgotten_in_her_review_too(make_road: Make) -> None:
    road = asked(make_road)
    erasing.erase(road.engine, "cht", ANNA, "asked", "awa")
    assert not road.rows("SELECT 1 FROM match_review")


@pytest.mark.again
def test_the_commands_list_show_and_decide(make_road: Make, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    road = asked(make_road)
    road.close()

    def told(*arguments: str) -> tuple[int, Any]:
        capfd.readouterr()
        code = relais(monkeypatch, "matches", *arguments, "--json")
        return code, orjson.loads(capfd.readouterr().out)

    code, found = told("list")
    assert code == 0, found
    (row,) = found["matches"]
    id = str(row["id"])
    code, found = told("show", id)
    assert code == 0 and found["candidates"][0]["id"] == HERS
    assert told("decide", id, "--same", OTHER)[0] == 2
    assert relais(monkeypatch, "matches", "decide", id) == 2, "what is it?"
    code, found = told("decide", id, "--same", HERS, "--note", "vue")
    assert (code, found["decision"], found["patient"]) == (0, "same", HERS)
    assert told("list")[1] == {"matches": []}
    capfd.readouterr()
    for words in (("list", "--all"), ("show", id)):
        assert relais(monkeypatch, "matches", *words) == 0
    assert HERS in capfd.readouterr().out
    road.open()
    road.settle()
    assert referrals(road) == {"first": (HERS, "Scheduled")}
