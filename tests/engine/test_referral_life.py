"""The life of a referral, end to end, with a clinic that has appointments (``o3``) and one that has none: what is at
the clinic, and what the health worker reads in the app."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from connector.engine import status as standing
from connector.mappings.pack import Pack
from connector.sandbox import openmrs_metadata as meta
from tests.engine.house import ANNA, Change, Doc, Make, Road, person, said, shipped, target, visit

NAME, BORN = "Fatoumata Traoré", "2024-03-11"
WINNER, THEIRS = "11111111-0000-5000-8000-000000000001", "11111111-0000-5000-8000-000000000002"
FACILITY = "CSCom de Banakoro"


@dataclass
class Life:
    """One referral (``r``) of one girl."""

    road: Road
    profile: str

    # ---- what people do

    def settle(self, **later: float) -> dict[str, Any]:
        self.road.later(**{"minutes": 5, **later})
        return self.road.settle(hours=0.5)

    def edit(self, **changes: Any) -> None:
        self.road.cht.edit("r", changes)

    def staff(self, act: str, **more: Any) -> None:
        self.road.openmrs.people({"act": act, "number": "r", **more})

    # ---- what is there

    def encounters(self, *, voided: bool = False) -> list[Doc]:
        found = [e for e in self.road.openmrs.state()["encounters"] if e["type"] == meta.COMMUNITY_REFERRAL]
        return [e for e in found if e["voided"] is voided]

    def holds(self) -> set[str]:
        """The values of the one living encounter."""
        (one,) = self.encounters()
        return {o["value"] for o in one["obs"]}

    def booked(self) -> list[tuple[str, str, str]]:
        """(patient, status, comments) of every appointment."""
        rows = self.road.openmrs.state()["appointments"]
        return sorted((a["patient"], a["status"], a["comments"]) for a in rows)

    def patients(self) -> list[str]:
        return [p["uuid"] for p in self.road.openmrs.state()["patients"] if not p["voided"]]

    def told(self) -> tuple[str, str] | None:
        """(status, message) of the one document the health worker has about this referral."""
        docs = [d for d in self.road.cht.state()["docs"] if d.get("form") == "referral_answer"]
        assert len(docs) <= 1, "one document a referral"
        for doc in docs:
            assert (doc["fields"]["referral_id"], doc["fields"]["patient_id"]) == ("r", ANNA)
            assert NAME not in str(doc)
        return (docs[0]["fields"]["status"], docs[0]["fields"]["message"]) if docs else None

    def state(self) -> str:
        return str(self.road.one("SELECT state FROM referral WHERE record='cht/reports/r'")["state"])


def profile_of(profile: str) -> Change:
    """The pack with this clinic, and nothing that has no part in a referral."""
    settings = {**shipped()[0].targets["openmrs"].settings, "profile": profile}

    def change(pack: Pack) -> Pack:
        pack = target("openmrs", settings=settings)(pack)
        targets = {name: pack.targets[name] for name in ("openmrs", "cht_answers")}
        return replace(pack, sources={"cht": pack.sources["cht"]}, targets=targets)

    return change


def begun(make_road: Make, profile: str, patients: list[Doc] | None = None, day: str = "2026-10-05",
          **fields: Any) -> Life:  # fmt: skip
    """The referral is at the clinic, and nobody there has done anything."""
    docs = [person(ANNA, NAME, BORN), visit("r", day, refer=True)]
    docs[1]["fields"]["referral"] |= {"urgency": "routine", "note": "Convulsions", **fields}
    road = make_road(docs, profile_of(profile), patients, clinic=profile)
    life = Life(road, profile)
    life.settle()
    assert len(life.encounters()) == 1 and life.told() is None and life.state() == "sent"
    assert [status for _, status, _ in life.booked()] == (["Scheduled"] if profile == "o3" else [])
    return life


@pytest.fixture(params=["o3", "platform2"])
def profile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def known(uuid: str, value: str = "10007JJ", kind: str = "OpenMRS ID") -> Doc:
    identifiers = [{"type": kind, "value": value, "location": meta.location_uuid("area-1")}]
    return {"uuid": uuid, "given": "Kadia", "family": "Sidibe", "gender": "F", "identifiers": identifiers}


# ---------------------------------------------------------------- corrected


def test_a_correction_reaches_the_clinic_and_the_history_stays(make_road: Make, profile: str) -> None:
    life = begun(make_road, profile)
    before = life.holds()
    assert {meta.URGENCIES["routine"], meta.REASONS["danger_sign"], "Convulsions"} <= before
    life.edit(**{
        "fields.referral.urgency": "urgent", "fields.referral.reason": "malnutrition", "fields.referral.note": "PB 104",
        "fields.group_danger_signs": {"danger_signs": "lethargic"},
    })  # fmt: skip
    life.settle()
    after = life.holds()
    assert {meta.URGENCIES["urgent"], meta.REASONS["malnutrition"], "PB 104"} <= after
    assert meta.ciel_uuid(meta.SIGNS["sign_lethargic"]) in after and "Convulsions" not in after
    (old,) = life.encounters(voided=True)
    assert {o["value"] for o in old["obs"]} == before, "what was said before can still be read"
    (patient,) = life.patients()
    if profile == "o3":  # the day's list says what is true now
        assert life.booked() == [
            (patient, "Cancelled", "CHW REFERRAL (routine) · Convulsions"),
            (patient, "Scheduled", "CHW REFERRAL (urgent) · PB 104"),
        ]
    assert life.told() is None
    life.staff("complete", advice="Revoir dans 3 jours")
    life.settle(hours=1)
    status, message = life.told() or ("", "")
    assert (status, message.endswith("Conseil du centre : Revoir dans 3 jours.")) == ("completed", True)


def test_what_was_given_before_the_referral_is_at_the_clinic_and_is_corrected(make_road: Make, profile: str) -> None:
    given = meta.TREATMENTS
    life = begun(make_road, profile)
    assert not life.holds() & set(given.values())
    treated = {"ors_given": "yes", "zinc_given": "yes"}
    life.edit(**{"fields.group_diarrhea": {"patient_diarrhea": "yes", **treated}})
    life.settle()
    assert life.holds() & set(given.values()) == {given["ors_given"], given["zinc_given"]}
    life.edit(**{"fields.group_diarrhea": {"patient_diarrhea": "yes", "ors_given": "yes", "zinc_given": "no"}})
    life.settle(minutes=10)
    assert life.holds() & set(given.values()) == {given["ors_given"]}
    assert len(life.encounters(voided=True)) == 2, "what was said before can still be read"


def test_a_correction_leaves_an_appointment_that_somebody_has_begun_with(make_road: Make) -> None:
    life = begun(make_road, "o3")
    life.staff("check_in")
    life.edit(**{"fields.referral.urgency": "urgent"})
    life.settle(hours=1)
    assert meta.URGENCIES["urgent"] in life.holds()
    assert [(status, said_) for _, status, said_ in life.booked()] == [
        ("CheckedIn", "CHW REFERRAL (routine) · Convulsions")
    ]
    assert life.told() == ("arrived", f"La personne que vous avez référée est arrivée à {FACILITY}.")


# ---------------------------------------------------------------- taken back


@pytest.mark.parametrize(("profile", "how"), [("o3", "deleted"), ("platform2", "says no")])
def test_taken_back_by_the_health_worker(make_road: Make, profile: str, how: str) -> None:
    life = begun(make_road, profile)
    if how == "deleted":
        life.road.cht.delete("r")
    else:
        life.edit(**{"fields.referral.is_referred": "no"})
    life.settle()
    assert life.encounters() == [] and len(life.encounters(voided=True)) == 1
    assert [status for _, status, _ in life.booked()] == (["Cancelled"] if profile == "o3" else [])
    assert (life.state(), life.told()) == ("withdrawn", None), "who was told nothing hears nothing"
    writes = life.road.writes("openmrs")
    life.settle(days=5)
    assert (life.road.writes("openmrs"), life.told()) == (writes, None)


@pytest.mark.parametrize("how", ["deleted", "says no"])
def test_taken_back_after_a_reminder_the_reminder_no_longer_stands(make_road: Make, how: str) -> None:
    life = begun(make_road, "o3")
    life.settle(days=4)
    assert (life.told() or ("",))[0] == "overdue"
    body = dict(life.road.cht._docs["r"].whole())
    if how == "deleted":
        life.road.cht.delete("r")
    else:
        life.edit(**{"fields.referral.is_referred": "no"})
    life.settle()
    assert life.told() == ("withdrawn", f"Vous avez annulé cette référence ; Relais la retire à {FACILITY}.")
    life.road.cht.put(body)
    life.settle()
    assert life.state() == "sent" and [s for _, s, _ in life.booked()] == ["Cancelled", "Scheduled"]
    assert (life.told() or ("",))[0] == "sent"
    life.settle(days=4)
    assert (life.told() or ("",))[0] == "overdue", "and she is awaited again"


def test_the_clinics_answer_stays_when_the_referral_is_taken_back(make_road: Make) -> None:
    life = begun(make_road, "platform2")
    life.staff("complete", advice="Continuer le SRO")
    life.settle(hours=1)
    answer = life.told()
    life.road.cht.delete("r")
    life.settle()
    assert life.told() == answer and "Continuer le SRO" in str(answer)
    assert life.encounters() == []


# ---------------------------------------------------------------- merged


@pytest.mark.parametrize(("profile", "appointments"), [("o3", "move"), ("o3", "stay"), ("platform2", "move")])
def test_the_winner_of_a_merge_is_followed_and_written_down(make_road: Make, profile: str, appointments: str) -> None:
    life = begun(make_road, profile, [known(WINNER)])
    (loser,) = set(life.patients()) - {WINNER}
    life.road.openmrs.people({"act": "merge", "patient": loser, "into": WINNER, "appointments": appointments})
    life.edit(**{"fields.referral.note": "Convulsions deux fois"})
    life.settle(hours=1)
    (encounter,) = life.encounters()
    assert (encounter["patient"], life.patients()) == (WINNER, [WINNER])
    assert "Convulsions deux fois" in life.holds()
    if profile == "o3":
        seen = [row for row in life.booked() if row[0] == WINNER and row[1] == "Scheduled"]
        assert len(seen) == 1, "in the list of the one who is left"
    assert life.road.delivery("cht/reports/r", "openmrs")["remote"].count(loser) == 1
    entry = life.road.one("SELECT detail FROM audit WHERE event='referral.patient_followed'")
    assert loser in entry["detail"] and WINNER in entry["detail"]
    assert life.told() is None
    life.staff("complete", diagnosis="CIEL:116128")
    life.settle(hours=1)
    assert life.told() == (
        "completed", f"La personne que vous avez référée a été vue à {FACILITY} le 06/10/2026. Diagnostic : Malaria.",
    )  # fmt: skip


# ---------------------------------------------------------------- voided at the clinic

VOIDED = (
    f"{FACILITY} a effacé cette référence de ses dossiers. Si la personne a encore besoin de soins, appelez le centre "
    "et faites une nouvelle référence."
)


@pytest.mark.parametrize(("profile", "polled"), [("o3", True), ("o3", False), ("platform2", False)])
def test_a_voided_encounter_is_told_and_no_correction_brings_it_back(
    make_road: Make, profile: str, polled: bool
) -> None:
    life = begun(make_road, profile)
    life.staff("void")
    if polled:
        life.settle(hours=1)
        assert (life.told(), life.state()) == (("voided", VOIDED), "voided")
    life.edit(**{"fields.referral.note": "Autre chose", "fields.referral.urgency": "urgent"})
    life.settle(hours=1)
    assert life.encounters() == [] and len(life.encounters(voided=True)) == 1
    assert [status for _, status, _ in life.booked()] == (["Cancelled"] if profile == "o3" else [])
    assert (life.told(), life.state()) == (("voided", VOIDED), "voided")
    writes = life.road.writes("openmrs")
    life.road.reconcile("openmrs")
    life.settle(days=5)
    assert life.road.writes("openmrs") == writes


@pytest.mark.parametrize(("profile", "whose"), [("platform2", "made by us"), ("o3", "the clinic's own")])
def test_a_voided_patient_is_told_and_nobody_is_made_in_her_place(make_road: Make, profile: str, whose: str) -> None:
    hers = known(THEIRS, ANNA, "CHW Patient ID") | {"given": "Fatoumata", "family": "Traore", "birthdate": BORN}
    life = begun(make_road, profile, [] if whose == "made by us" else [hers])
    (patient,) = life.patients()
    assert (patient == THEIRS) == (whose != "made by us")
    life.road.openmrs.people({"act": "void", "patient": patient})
    life.settle(hours=1)
    assert (life.told(), life.state()) == (("voided", VOIDED), "voided")
    life.edit(**{"fields.referral.note": "Autre chose"})
    life.settle(hours=1)
    parked = life.road.delivery("cht/reports/r", "openmrs")
    assert (parked["state"], parked["reason"], parked["who"]) == ("parked", "openmrs.patient_voided", "clinic")
    assert said(life.road, "openmrs.patient_voided")
    assert (life.patients(), life.encounters()) == ([], [])


# ---------------------------------------------------------------- the clinic's answers

ANSWERS = {
    "check_in": ("arrived", f"La personne que vous avez référée est arrivée à {FACILITY}."),
    "miss": (
        "missed",
        "La personne que vous avez référée n'est pas venue à son rendez-vous du 06/10/2026 à "
        f"{FACILITY}. Allez la voir.",
    ),
    "cancel": (
        "cancelled",
        f"{FACILITY} a annulé le rendez-vous de la personne que vous avez référée. Appelez le centre avant de la "
        "renvoyer.",
    ),
}


@pytest.mark.parametrize("act", ANSWERS)
def test_the_state_of_the_appointment_is_told(make_road: Make, act: str) -> None:
    life = begun(make_road, "o3")
    life.staff(act)
    life.settle(hours=1)
    assert (life.told(), life.state()) == (ANSWERS[act], ANSWERS[act][0])
    assert len(life.encounters()) == 1


def test_a_visit_is_told_with_what_the_clinic_wrote(make_road: Make, profile: str) -> None:
    life = begun(make_road, profile)
    life.staff("complete", at="2026-10-05T15:00:00+00:00", diagnosis="CIEL:116128", advice="Revoir dans 3 jours.")
    life.settle(hours=1)
    assert life.told() == (
        "completed",
        f"La personne que vous avez référée a été vue à {FACILITY} le 05/10/2026. Diagnostic : Malaria. Conseil du "
        "centre : Revoir dans 3 jours.",
    )
    assert life.state() == "completed"


def test_what_the_clinic_adds_after_the_visit_is_told(make_road: Make) -> None:
    """Nothing at the server says that an encounter has changed when something is added to it (621-625)."""
    life = begun(make_road, "o3")
    life.staff("complete")
    life.settle(hours=1)
    assert "Conseil" not in str(life.told())
    rows = life.road.openmrs.rows
    seen = next(e for e in rows.encounters.values() if e["encounterType"]["uuid"] == meta.CONSULTATION)
    note = rows.concepts[meta.COUNTER_REFERRAL_NOTE]
    seen["obs"].append(rows.new_obs(note, "Peser chaque semaine", seen["at"], seen["patient"], encounter=seen))
    life.settle(days=1)
    assert (life.told() or ("", ""))[1].endswith("Conseil du centre : Peser chaque semaine.")
    asked = [url for _, url in life.road.wires["openmrs"].seen if "fhir2" in url]
    assert all("Condition?patient=" in url for url in asked), "no feed is trusted: of her alone is asked"
    life.staff("diagnose", diagnosis="CIEL:114100", at="2026-10-06T12:00:00+00:00")
    life.settle(hours=1)
    status, message = life.told() or ("", "")
    assert status == "completed" and "Diagnostic : Pneumonia. Conseil du centre" in message


def test_an_appointment_cancelled_by_mistake_and_booked_again_is_told(make_road: Make) -> None:
    life = begun(make_road, "o3")
    life.staff("cancel")
    life.settle(hours=1)
    assert (life.told() or ("",))[0] == "cancelled"
    (row,) = life.road.openmrs.rows.appointments.values()
    row["status"] = "CheckedIn"
    life.settle(hours=1)
    assert life.told() == ANSWERS["check_in"]


def test_our_own_message_comes_back_in_the_feed_and_is_nobodys_record(make_road: Make) -> None:
    life = begun(make_road, "o3")
    life.staff("complete")
    life.settle(hours=1)
    revision = next(d["_rev"] for d in life.road.cht.state()["docs"] if d.get("form") == "referral_answer")
    for _ in range(2):
        life.settle(hours=1)
    assert next(d["_rev"] for d in life.road.cht.state()["docs"] if d.get("form") == "referral_answer") == revision
    assert not life.road.rows("SELECT 1 FROM head WHERE form='referral_answer' AND state<>'ignored'")
    assert life.road.quarantined() == {}


# ---------------------------------------------------------------- overdue

OVERDUE = (
    "La personne que vous avez référée le 05/10/2026 n'est pas encore notée comme arrivée à "
    f"{FACILITY}. Allez la voir ; si elle y est déjà allée, prévenez le centre."
)


def overdue(life: Life) -> dict[str, int]:
    found: dict[str, int] = standing.status(life.road.engine, "0")["referrals"]
    return found


@pytest.mark.parametrize(("profile", "urgency", "days"), [("o3", "urgent", 1), ("platform2", "routine", 3)])
def test_an_overdue_referral_is_counted_and_the_health_worker_told(
    make_road: Make, profile: str, urgency: str, days: int
) -> None:
    life = begun(make_road, profile, urgency=urgency)  # of the 5th; now it is the 6th, 8 o'clock
    life.settle(days=days - 1)
    assert (overdue(life), life.told()) == ({"open": 1, "overdue": 0}, None), "the last day is hers"
    life.settle(days=1)
    assert (overdue(life), life.told()) == ({"open": 1, "overdue": 1}, ("overdue", OVERDUE))
    assert life.state() == "sent" and len(life.encounters()) == 1, "at the clinic nothing changes"
    writes = life.road.writes("cht")
    life.settle(days=2)
    assert life.road.writes("cht") == writes, "told once"
    life.staff("complete")
    life.settle(hours=1)
    assert (life.told() or ("",))[0] == "completed", "and the reminder is gone"
    assert overdue(life) == {"open": 0, "overdue": 0}


def test_what_reached_the_clinic_late_is_not_held_against_her(make_road: Make) -> None:
    life = begun(make_road, "platform2", day="2026-09-20", urgency="urgent")
    assert (overdue(life)["overdue"], life.told()) == (1, None), "late, but the clinic has only just heard of her"
    life.settle(days=1, hours=1)
    assert (life.told() or ("",))[0] == "overdue"


def test_nobody_is_reminded_when_the_clinic_cannot_be_read(make_road: Make) -> None:
    life = begun(make_road, "o3", urgency="urgent")
    life.staff("complete")
    life.road.openmrs.plane.arm({"down": True})
    life.road.later(days=3)
    life.road.run()
    assert life.told() is None
    life.road.openmrs.plane.arm({})
    life.settle(hours=2)
    assert (life.told() or ("",))[0] == "completed"


def test_a_change_of_the_pack_opens_no_referral_that_was_answered_long_ago(make_road: Make) -> None:
    life = begun(make_road, "o3")
    life.staff("complete")
    life.settle(hours=1)
    life.settle(days=10)
    before = life.road.change

    def change(pack: Pack) -> Pack:
        pack = before(pack) if before else pack
        forms = {key: replace(form, version=form.version + "x") for key, form in pack.forms.items()}
        return replace(pack, version=pack.version + "x", forms=forms)

    life.road.again(change)
    life.road.run()
    seen = len(life.road.wires["openmrs"].seen)
    life.settle(hours=1)
    assert life.state() == "completed" and life.road.wires["openmrs"].seen[seen:] == []


def test_a_diagnosis_that_was_told_stays_while_the_fhir_module_is_away(make_road: Make) -> None:
    life = begun(make_road, "o3")
    life.staff("complete")
    life.settle(hours=1)
    life.staff("diagnose", diagnosis="CIEL:114100", at="2026-10-06T12:00:00+00:00")
    life.settle(hours=1)
    assert "Pneumonia" in str(life.told())
    life.road.wires["openmrs"].instead = lambda request: (
        httpx.Response(502, html="<html>Bad Gateway</html>") if "fhir2" in str(request.url) else None
    )
    life.road.later(hours=1)
    life.road.run()
    assert "Pneumonia" in str(life.told())
