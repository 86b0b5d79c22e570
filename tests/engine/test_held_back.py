"""Ten mistakes at the servers at once: the doctor names each, nothing leaves that would be refused, the rest arrives,
and what was held back goes by itself once its mistake is mended."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import orjson
import pytest

from connector import bootstrap, cli
from connector.cli import doctor, output
from connector.engine import status
from connector.sandbox import openmrs_metadata as clinic
from connector.sandbox.openmrs_rows import DATATYPES

from .house import ANNA, UNIT, WORKERS, Doc, Make, Road, Wire, a_few, meeting, person, place, said, visit

MUAC = clinic.ciel_uuid("1343")
NOT_ASSIGNED, CLOSED, OUTSIDE = "ML-KKO-D1-A1-S2", "ML-KKO-D1-A1-S3", "ML-KKO-D1-A2-S1"
#: What is planted -> finding of the doctor, what its message names, and the remedy's place in the server's own app.
TEN: Mapping[str, tuple[str, str, str, str]] = {
    "element not in the set": ("dhis2", "MH_A04", "Maintenance → Data sets → Data elements", "éléments de données"),
    "org unit not assigned": ("dhis2", NOT_ASSIGNED, "Data sets → Organisation units", "unités d'organisation"),
    "org unit closed": ("dhis2", CLOSED, "Organisation units → Closed date", "date de fermeture"),
    "org unit outside scope": ("dhis2", OUTSIDE, "Data capture organisation units", "unités de saisie"),
    "no authority": ("dhis2", "MH_EPARGNE", "Data sets → Sharing settings", "Partage"),
    "token expired": ("fhir", "answers 401", "a new token", "un nouveau jeton"),
    "concept of the wrong type": ("openmrs", "observations.muac_mm.concept", "Dictionary → concept", "Dictionnaire"),
    "identifier format": ("openmrs", "MR-[0-9]{6}", "Patient identifier types", "types d'identifiants"),
    "encounter type missing": ("openmrs", "encounter_type", "relais setup openmrs", "relais setup openmrs"),
    "service missing": ("openmrs", "places.area-2.service", "relais setup openmrs", "relais setup openmrs"),
}


def referred(key: str, subject: str, to: str = "area-1", **fields: Any) -> Doc:
    doc = visit(key, "2026-08-11", subject=subject, **fields)
    doc["fields"]["referral"] = {
        "is_referred": "yes", "referred_to": to, "urgency": "urgent", "reason": "danger_sign", "note": "",
    }  # fmt: skip
    return doc


def documents() -> list[Doc]:
    """The same visit at four sites, one of them (site-1) without any mistake, and four referrals."""
    docs = [*a_few(), *(place(f"site-{n}", "site", "area-1") for n in (2, 3))]
    docs += [place("area-2", "area", "district-1"), place("site-5", "site", "area-2")]
    docs += [visit(f"same-{n}", "2026-07-20", worker=WORKERS[0], site=f"site-{n}") for n in (2, 3, 5)]
    for key in ("thin", "far", "new"):
        docs.append(person(f"person-{key}", f"Enfant {key.title()}"))
    docs.append(referred("thin", "person-thin", group_nutrition={"muac_score": "114"}))
    docs.append(referred("far", "person-far", to="area-2"))
    docs.append(referred("new", "person-new"))
    return docs


class Planted:
    """A road, what each server answered, and the ten mistakes, each to be mended by its name."""

    def __init__(self, road: Road, answered: list[tuple[str, str, str, int]]) -> None:
        self.road, self.answered = road, answered
        self.right = copy.deepcopy(dict(road.dhis2.metadata.given))
        self.units = list(road.dhis2.users[0]["orgUnits"])
        self.encounter_type = road.openmrs.rows.encounter_types[clinic.COMMUNITY_REFERRAL]
        self.service = road.openmrs.rows.services[clinic.service_uuid("area-2")]
        self.plant(*TEN)

    def plant(self, *wrong: str) -> None:
        """These and no others."""
        data = copy.deepcopy(self.right)
        sets = {one["code"]: one for one in data["dataSets"]}
        units = {one["code"]: one for one in data["orgUnits"]}
        if "element not in the set" in wrong:
            sets["MH_SEC"]["elements"].remove("MH_A04")
        if "org unit not assigned" in wrong:
            sets["MH_SEC"]["orgUnits"].remove(NOT_ASSIGNED)
        if "org unit closed" in wrong:
            units[CLOSED]["closed"] = "2026-06-30"
        if "no authority" in wrong:
            sets["MH_EPARGNE"]["write"] = False
        self.road.dhis2.metadata.become(data)
        outside = "org unit outside scope" in wrong
        self.road.dhis2.users[0]["orgUnits"] = ["ML-KKO-D1-A1", "ML-KKO-D1-A3"] if outside else self.units
        self.road.fhir.authorization = "Bearer the new one" if "token expired" in wrong else None
        rows = self.road.openmrs.rows
        kind = "Text" if "concept of the wrong type" in wrong else "Numeric"
        rows.concepts[MUAC]["datatype"] = {**rows.concepts[MUAC]["datatype"], "display": kind, "uuid": DATATYPES[kind]}
        form = "MR-[0-9]{6}" if "identifier format" in wrong else None
        rows.identifier_types[clinic.CHW_PATIENT_ID]["format"] = form
        for name, table, row in (
            ("encounter type missing", rows.encounter_types, self.encounter_type),
            ("service missing", rows.services, self.service),
        ):
            table.pop(row["uuid"], None) if name in wrong else table.update({row["uuid"]: row})

    def refused(self) -> list[tuple[str, str, str, int]]:
        """Requests that a server did not take, but for a look with a refused token."""
        bad = [one for one in self.answered if one[3] >= 400 and one[3] != 404]
        return [one for one in bad if one[:2] != ("fhir", "GET")]

    def written(self, name: str) -> int:
        return len(self.road.sims[name].plane.log)

    def waiting(self, target: str) -> dict[str, tuple[str, str]]:
        sql = "SELECT key, state, reason, who FROM delivery WHERE target=:t AND state<>'accepted'"
        rows = self.road.rows(sql, t=target)
        assert {row["state"] for row in rows} <= {"deferred", "pending"}, rows
        return {row["key"]: (row["reason"], row["who"]) for row in rows}

    def referral(self, key: str) -> dict[str, Any]:
        sql = "SELECT state, reason, who FROM delivery WHERE target='openmrs' AND key LIKE :k"
        return self.road.one(sql, k=f"%{key}%")

    def states_at(self, unit: str) -> dict[str, str]:
        return {element + combo: value for (element, at, _, combo), value in self.road.values().items() if at == unit}


@pytest.fixture
def planted(make_road: Make, monkeypatch: pytest.MonkeyPatch) -> Planted:
    answered: list[tuple[str, str, str, int]] = []
    simply = Wire.handle_async_request

    async def noted(self: Wire, request: httpx.Request) -> httpx.Response:
        answer = await simply(self, request)
        name = next(name for name, wire in road.wires.items() if wire is self)
        answered.append((name, request.method, request.url.path, answer.status_code))
        return answer

    monkeypatch.setattr(Wire, "handle_async_request", noted)
    road = make_road(documents())
    road.write_meetings("one", [meeting(1)])
    return Planted(road, answered)


@pytest.fixture
def ask_doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """``relais doctor`` as it is typed, on the road's database and servers."""

    def ask(road: Road, *arguments: str, french: bool = False) -> tuple[int, str]:
        @contextmanager
        def house(**_: Any) -> Iterator[bootstrap.House]:
            road.open()
            assert road.house is not None
            try:
                yield road.house
            finally:
                road.house.close()
                road.house = None

        road.close()
        capsys.readouterr()
        monkeypatch.setattr(doctor, "house", house)
        monkeypatch.setattr(output, "FRENCH", french)
        monkeypatch.setattr(output.out, "_width", 400)
        monkeypatch.setattr(sys, "argv", ["relais", "doctor", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        road.open()
        return int(stop.value.code or 0), capsys.readouterr().out

    return ask


def test_ten_mistakes_are_named_held_back_and_gone_once_mended(planted: Planted, ask_doctor: Any) -> None:
    road = planted.road
    code, text = ask_doctor(road, "--json")
    checks = orjson.loads(text)["checks"]
    assert code == 3
    for wrong, (server, names, remedy, remede) in TEN.items():
        named = [one for one in checks if one["name"] == server and names in one["message"] and not one["ok"]]
        (one, *_) = [one for one in named if remedy in one["remedy"]]
        assert remede in one["remedy_fr"], wrong
        assert names.partition(" ")[0] in one["message_fr"] or server == "fhir", wrong
        assert one["message"] != one["message_fr"] and one["remedy"] != one["remedy_fr"], wrong

    summary = road.run()
    assert planted.refused() == [], "nothing left that would be refused"
    assert summary["outcome"] == "waiting"
    # DHIS2: what has no mistake is there, of the block with one mistake all but that element
    here = planted.states_at(UNIT)
    assert here and not any(cell.startswith("MH_A04") for cell in here)
    assert not any(planted.states_at(unit) for unit in (NOT_ASSIGNED, CLOSED, OUTSIDE))
    assert not {"MH_G05", "MH_G07"} & {element for element, *_ in road.values()}
    reasons = planted.waiting("dhis2")
    by_unit = {unit: {reason for key, reason in reasons.items() if unit in key and "MH_SEC" in key}
               for unit in (UNIT, NOT_ASSIGNED, CLOSED, OUTSIDE)}  # fmt: skip
    assert by_unit == {
        UNIT: {("dhis2.element_missing", "mapping")},
        NOT_ASSIGNED: {("dhis2.org_unit_not_assigned", "target_admin")},
        CLOSED: {("dhis2.org_unit_closed", "target_admin")},
        OUTSIDE: {("dhis2.outside_scope", "target_admin")},
    }
    assert {reason for key, reason in reasons.items() if "MH_EPARGNE" in key} == {("dhis2.not_shared", "target_admin")}
    # OpenMRS: no referral goes without its encounter type; FHIR: no resource goes with an expired token
    assert planted.written("openmrs") == planted.written("fhir") == 0
    assert set(planted.waiting("openmrs").values()) == {("openmrs.metadata_awaited", "target_admin")}
    assert len(planted.waiting("openmrs")) == 4
    assert road.one("SELECT reason, who FROM target_state WHERE target='fhir'") == {
        "reason": "fhir.credentials", "who": "credentials",
    }  # fmt: skip
    # who must act is seen at once, and nothing is parked
    shown = {one["name"]: one for one in status.status(road.engine, "x")["connections"]}
    assert {name: shown[name]["state"] for name in ("dhis2", "openmrs", "fhir")} == dict.fromkeys(
        ("dhis2", "openmrs", "fhir"), "action_needed"
    )
    assert shown["dhis2"]["held_back"] == len(reasons) and shown["openmrs"]["held_back"] == 4
    for reason, _ in (*reasons.values(), ("openmrs.metadata_awaited", "")):
        assert said(road, reason).held

    # All but two are mended: what waits for neither of these goes.
    planted.plant("concept of the wrong type", "service missing")
    ask_doctor(road, "--json")
    road.run()
    assert planted.refused() == []
    assert {key: planted.referral(key)["reason"] for key in ("thin", "far")} == {
        "thin": "openmrs.datatype_awaited", "far": "openmrs.metadata_awaited",
    }  # fmt: skip
    assert planted.referral("new")["state"] == "accepted" and planted.referral("visit-08-1")["state"] == "accepted"
    assert planted.waiting("fhir") == {} and planted.waiting("dhis2") == {}
    for unit in (NOT_ASSIGNED, CLOSED, OUTSIDE):
        assert planted.states_at(unit).items() <= planted.states_at(NOT_ASSIGNED).items() != set()
    assert any(cell.startswith("MH_A04") for cell in planted.states_at(UNIT))

    planted.plant()
    ask_doctor(road, "--json")
    assert road.run()["outcome"] == "settled"
    assert planted.waiting("openmrs") == {} and planted.refused() == []
    numbers = [row["number"] for row in road.openmrs.state()["appointments"]]
    assert len(numbers) == len(set(numbers)) == 4


@pytest.mark.parametrize("french", [False, True], ids=["en", "fr"])
def test_the_doctor_says_the_ten_in_the_language_of_the_terminal(
    planted: Planted, ask_doctor: Any, french: bool
) -> None:
    code, text = ask_doctor(planted.road, french=french)
    assert code == 3
    flat = " ".join(text.split())
    for wrong, (_, names, remedy, remede) in TEN.items():
        assert (remede if french else remedy) in flat, wrong
        assert names in flat or (french and "répond 401" in flat), wrong


def test_a_server_that_counts_otherwise_gets_nothing_until_it_is_mended(make_road: Make) -> None:
    """So it is with a version that is not known: both stop the target before anything else is asked."""
    reason = "dhis2.calendar"
    road = make_road(a_few())
    road.dhis2.calendar = "ethiopian"
    road.run()
    road.later(days=32)  # longer than anything else waits before it is parked
    road.run(targets=["dhis2"])
    assert road.writes("dhis2") == 0 and road.writes("fhir") > 0
    assert not [one for one in road.wires["dhis2"].seen if one[0] == "POST"]
    waiting = road.rows("SELECT * FROM delivery WHERE target='dhis2' AND state<>'accepted'")
    assert waiting and {(row["state"], row["tries"]) for row in waiting} <= {("deferred", 0), ("pending", 0)}
    assert ("deferred", reason, "sysadmin") in {(row["state"], row["reason"], row["who"]) for row in waiting}
    assert said(road, reason).who == "sysadmin"
    road.dhis2.calendar = "iso8601"
    assert road.settle()["outcome"] == "settled", "by itself"
    assert road.values()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda road: road.dhis2.users[0].update(authorities=[]), "dhis2.credentials_no_authority"),
        (lambda road: road.dhis2.users[0].update(token="another"), "dhis2.credentials_token"),
        (lambda road: road.openmrs.metadata["users"][0].update(privileges=["Get Patients"]), "openmrs.privilege"),
    ],
    ids=["no-authority", "token-expired", "no-privilege"],
)
def test_an_account_that_may_nothing_stops_its_server_alone(
    make_road: Make, ask_doctor: Any, spoil: Any, reason: str
) -> None:
    road = make_road([*a_few(), referred("one", ANNA)])
    server = reason.partition(".")[0]
    before = copy.deepcopy(road.dhis2.users[0]), copy.deepcopy(road.openmrs.metadata["users"][0])
    spoil(road)
    road.run()
    assert road.writes(server) == 0
    assert not [url for method, url in road.wires[server].seen if method == "POST" and "search" not in url]
    assert road.one("SELECT reason FROM target_state WHERE target=:t", t=server)["reason"] == reason
    assert road.rows("SELECT 1 FROM delivery WHERE target=:t AND tries>0", t=server) == []
    assert road.writes("fhir") > 0
    for users, was in zip((road.dhis2.users, road.openmrs.metadata["users"]), before, strict=True):
        users[0].clear()
        users[0].update(was)
    ask_doctor(road, "--json")
    road.run()
    assert road.writes(server) > 0
    assert road.rows("SELECT 1 FROM delivery WHERE target=:t AND state<>'accepted'", t=server) == []
