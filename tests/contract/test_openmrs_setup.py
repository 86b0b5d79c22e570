"""``relais setup openmrs`` against the simulated server, and that server's set-up by REST against recordings.

``openmrs_setup.ndjson``: recorded requests, and of their answers what does not depend on the server.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from connector.adapters.openmrs import OpenmrsTarget
from connector.adapters.openmrs_rest import Rest
from connector.adapters.openmrs_setup import OpenmrsSetup
from connector.bootstrap import ciel_of
from connector.errors import TargetRefused, TargetUnreadable
from connector.http import make_client
from connector.identity import Names
from connector.mappings.config import load_pack
from connector.mappings.pack import Pack
from connector.model import Delivery, Finding, Survey, Verdict
from connector.sandbox.openmrs import OpenMRSSim
from connector.sandbox.openmrs_login import user_uuid
from connector.sandbox.openmrs_metadata import PRIVILEGES, default_metadata
from connector.sandbox.openmrs_setup import make as made_at
from connector.sandbox.plane import Plane
from tests.contract.test_openmrs_target import Ledger, payload
from tests.unit.pack_copy import ENVIRONMENT, SHIPPED

RECORDED = [json.loads(one) for one in (Path(__file__).parent / "openmrs_setup.ndjson").read_text("utf-8").splitlines()]
CLINICS = [{"code": f"area-{n}", "name": f"CSCom {n}"} for n in (1, 2, 3)]


@cache
def pack() -> Pack:
    return load_pack(SHIPPED, ENVIRONMENT)[0]


def bare() -> dict[str, Any]:
    """An OpenMRS as installed: the CIEL dictionary, the identifier source, a role; nothing of referrals."""
    data = default_metadata(CLINICS)
    ciel = [one for one in data["concepts"] if one["ciel"]]
    empty = ("locations", "services", "encounter_types", "providers")
    return {**data, **{key: [] for key in empty}, "concepts": ciel, "identifier_types": data["identifier_types"][:1]}


def platform() -> dict[str, Any]:
    """The same before anybody did anything to it: no dictionary, no source; and our account may do nothing."""
    nothing = {key: [] for key in ("concepts", "identifier_types", "idgen")}
    us = {"username": "relais", "password": "Relais-sandbox-1", "privileges": []}
    admin = {"username": "admin", "password": "Relais-sandbox-1", "privileges": "all"}
    return {**bare(), **nothing, "users": [us, admin]}


@pytest.mark.parametrize("recorded", RECORDED, ids=[one["file"] for one in RECORDED])
def test_the_server_makes_metadata_as_recorded(recorded: dict[str, Any]) -> None:
    data = {**bare(), "identifier_types": [], "concepts": [], "idgen": []}
    if "privileges" in recorded:
        data["privileges"] = recorded["privileges"]
    if recorded["file"].startswith("633"):
        data["locations"] = [{"uuid": recorded["body"]["locationUuid"], "code": "1", "name": "Outpatient Clinic"}]
    sim = OpenMRSSim(data, [], Plane())
    login = {"authorization": "Basic " + base64.b64encode(b"relais:Relais-sandbox-1").decode()}

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app=sim.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=login) as client:
            if recorded["file"].startswith("012"):  # its person: 011
                person = next(one for one in RECORDED if one["file"].startswith("011"))
                await client.post(person["path"], json=person["body"])
            for one in recorded.get("before", ()):
                assert (await client.post(one["path"], json=one["body"])).status_code == 201
            return await client.post(recorded["path"], json=recorded["body"])

    answer = asyncio.run(run())
    assert answer.status_code == recorded["status"]
    own = {"uuid", "description"} if "appointmentService" in recorded["path"] else set()  # chosen by the server
    assert holds(answer.json(), {k: v for k, v in recorded["answer"].items() if k not in own})


def holds(ours: Any, recorded: Any) -> bool:
    """Whether all that was recorded is in an answer; the order of a list says nothing."""
    if isinstance(recorded, dict):
        return isinstance(ours, dict) and all(k in ours and holds(ours[k], v) for k, v in recorded.items())
    if isinstance(recorded, list):
        return len(ours) == len(recorded) and all(any(holds(one, v) for one in ours) for v in recorded)
    return bool(ours == recorded)


class House:
    """A pack and a server. ``openmrs``: openmrs.yaml, where a person writes what ``setup`` shows her."""

    def __init__(
        self,
        change: Callable[[dict[str, Any]], Any] | None = None,
        profile: str = "o3",
        losing: bool = False,
        data: dict[str, Any] | None = None,
    ) -> None:
        data = data or bare()
        self.openmrs = copy.deepcopy(pack().openmrs)
        if change:
            change(data)
        self.sim = OpenMRSSim(data, [], Plane(), profile=profile)
        self.profile, self.losing = profile, losing

    def client(self, user: str = "relais", password: str = "Relais-sandbox-1") -> httpx.AsyncClient:
        transport: Any = Losing(self.sim) if self.losing else httpx.ASGITransport(app=self.sim.app)
        return make_client("http://127.0.0.1/openmrs", user=user, password=password, transport=transport)

    def setup(self, user: str = "relais", titles: dict[str, str] | None = None) -> OpenmrsSetup:
        if titles is None:
            titles = {row.place: row.name for row in pack().org_units}
        return OpenmrsSetup(
            Rest(self.client(user)), own=Rest(self.client()), name="openmrs", openmrs=self.openmrs,
            profile=self.profile, titles=titles, names=Names("mali-health"), ciel=ciel_of(pack()),
        )  # fmt: skip

    def run(self, *, make: bool = False, user: str = "relais") -> tuple[Survey, list[Finding]]:
        async def work() -> tuple[Survey, list[Finding]]:
            setup = self.setup(user)
            survey = await setup.survey()
            if not make:
                return survey, []
            refused = list(await setup.make(survey))
            return await setup.survey(), refused

        return asyncio.run(work())

    def target(self) -> OpenmrsTarget:
        return OpenmrsTarget(
            self.client(), name="openmrs", settings={"profile": self.profile}, openmrs=self.openmrs,
            names=Names("mali-health"), zone="Africa/Bamako", look_first=True,
        )  # fmt: skip

    def probe(self) -> list[str]:
        return [one.message for one in asyncio.run(self.target().probe())]

    def write_down(self, survey: Survey) -> None:
        """What a person does with the uuids she is shown."""
        for one in survey.lacks:
            *steps, last = one.code.split(".")
            at = self.openmrs
            for step in steps:
                at = at[step]
            at[last] = one.why.removeprefix("it is there as ").partition(":")[0]


class Losing(httpx.AsyncBaseTransport):
    """Carries every write out and loses its answer."""

    def __init__(self, sim: OpenMRSSim) -> None:
        self.app = httpx.ASGITransport(app=sim.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self.app.handle_async_request(request)
        if request.method == "POST":
            raise httpx.ReadError("lost", request=request)
        return answer


@pytest.mark.parametrize("losing", [False, True])
def test_what_rest_can_make_is_made_and_found_by_its_uuid(losing: bool) -> None:
    house = House(losing=losing)
    before, _ = house.run()
    assert all(one.makeable for one in before.lacks), before.lacks
    after, refused = house.run(make=True)
    assert refused == []
    assert {one.kind for one in after.lacks} == {"appointment_service_uuid"}
    assert {row["name"] for row in house.sim.rows.locations.values()} == {
        row.name for row in pack().org_units if row.place in pack().openmrs["places"]
    }
    for question in ("reason", "treatment"):
        concept = house.sim.rows.concepts[pack().openmrs["concepts"][question]]
        answers = {one["uuid"] for one in concept["answers"]}
        assert concept["datatype"]["name"] == "Coded"
        assert answers == set(pack().openmrs["answers"][question].values())
    said = house.probe()
    assert len(said) == len(CLINICS) and all("no appointmentService" in one for one in said), "a person puts its uuid"


def test_a_service_is_made_once_and_its_uuid_is_for_a_person_to_write_down() -> None:
    house = House()
    house.run(make=True)
    services = dict(house.sim.rows.services)
    after, _ = house.run(make=True)
    assert house.sim.rows.services == services and len(services) == 3
    assert {one.why.partition(":")[0].removeprefix("it is there as ") for one in after.lacks} == set(services)
    assert all(one.french and not one.makeable for one in after.lacks)


def test_a_second_time_makes_nothing() -> None:
    house = House(profile="platform2")
    assert list(house.run(make=True)[0].lacks) == []
    log = len(house.sim.plane.log)
    assert dict(house.run(make=True)[0].package) == {}
    assert len(house.sim.plane.log) == log
    assert house.probe() == []


def test_what_is_not_ours_to_make_is_said() -> None:
    def less(data: dict[str, Any]) -> None:
        data["identifier_types"][0]["check_digit"] = "org.openmrs.module.other.Verhoeff"
        data["idgen"] = []
        data["encounter_roles"] = []
        data["privileges"] = {"p-1": "Get Patients"}

    house = House(less)
    house.openmrs["observations"]["fever"] = {"concept": "CIEL:99"}
    after, _ = house.run(make=True)
    told = {one.code: one for one in after.lacks if one.kind not in ("appointment_service_uuid", "privilege")}
    assert set(told) == {"observations.fever.concept", "idgen_source", "encounter_role"}
    assert "CIEL" in told["observations.fever.concept"].why and "Verhoeff" in told["idgen_source"].why
    missing = {one.code: one.french for one in after.lacks if one.kind == "privilege"}
    assert missing.keys() == asked_for() - {"Get Patients"} and all("administrateur" in one for one in missing.values())
    assert not house.sim.rows.idgen


def test_a_refused_account_and_a_server_that_is_not_there() -> None:
    with pytest.raises(TargetRefused, match="--user"):
        House(lambda data: data["users"][0].update(privileges=["Get Locations"])).run(make=True)
    house = House()

    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": [(b"retry-after", b"9")]})
        await send({"type": "http.response.body", "body": b""})

    house.sim.app = nothing
    with pytest.raises(TargetUnreadable):
        house.run()


def test_what_openmrs_refuses_is_told_in_its_words_and_the_rest_is_made() -> None:
    house = House(profile="platform2")

    async def work() -> list[Finding]:
        setup = house.setup(titles={"area-1": ""})
        return list(await setup.make(await setup.survey()))

    findings = asyncio.run(work())
    assert len(findings) == 1 and "places.area-1.location" in findings[0].message and "Name" in findings[0].message
    assert len(house.sim.rows.locations) == 2


# ---------------------------------------------------------------- from nothing to a referral


def made(sim: OpenMRSSim, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """By somebody at the clinic."""
    return made_at(sim.rows, kind, body)


def asked_for(profile: str = "o3") -> set[str]:
    """The privileges that the sysadmin's page lists."""
    page = (Path(__file__).parents[2] / "docs/sysadmin.md").read_text(encoding="utf-8")
    table = page[page.index("## The account at OpenMRS") :].split("\n## ")[0].splitlines()
    rows = [row for row in table if row.startswith("|") and (profile == "o3" or "(profile o3)" not in row)]
    return set(re.findall(r"`([A-Z][\w ]+)`", "\n".join(rows)))


def ours(house: House) -> dict[str, Any]:
    (role,) = house.sim.rows.user_roles.values()
    return {"name": role["name"], "privileges": {one["name"] for one in role["privileges"]}}


@pytest.mark.parametrize("profile", ["o3", "platform2"])
def test_a_bare_server_is_made_ready_and_a_referral_arrives(profile: str) -> None:
    house = House(profile=profile, data=platform())
    shown, _ = house.run(user="admin")
    assert house.sim.plane.log == [] and all(one.makeable for one in shown.lacks)
    kinds = {one.kind for one in shown.lacks}
    assert {"identifier_source", "concept_source", "concept", "role", "account_role", "encounter_type"} <= kinds
    after, refused = house.run(make=True, user="admin")
    assert refused == []
    uuids = {"identifier_source_uuid", *(["appointment_service_uuid"] if profile == "o3" else [])}
    assert {one.kind for one in after.lacks} == uuids
    assert ours(house) == {"name": "Relais", "privileges": asked_for(profile)}
    made = len(house.sim.plane.log)
    assert dict(house.run(make=True, user="admin")[0].package) == {} and len(house.sim.plane.log) == made
    house.write_down(after)
    assert list(house.run(make=True, user="admin")[0].lacks) == [] and len(house.sim.plane.log) == made
    assert house.probe() == []
    ledger = Ledger()
    delivery = Delivery(1, "openmrs", "cht/reports/r-1", "referral", 1, "d-1", payload())
    (outcome,) = asyncio.run(house.target().deliver([delivery], ledger))
    assert outcome.verdict is Verdict.ACCEPTED
    (encounter,) = house.sim.state()["encounters"]
    values = {(one["concept"], one["value"]) for one in encounter["obs"]}
    assert ("159860AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "113054AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA") in values
    assert ("1343AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "11.2") in values, "the clinic's unit has a fraction"
    assert len(house.sim.state()["appointments"]) == (profile == "o3")


def test_concepts_of_ciel_are_made_with_their_terms_and_found_by_their_numbers() -> None:
    house = House(data=platform())
    house.run(make=True, user="admin")
    rows = house.sim.rows
    numbers = {one.removeprefix("CIEL:") for one in re.findall(r"CIEL:\d+", str(pack().openmrs))}
    assert set(rows.ciel) == numbers == {term["code"] for term in rows.concept_terms.values()}
    for number, uuid in rows.ciel.items():
        assert uuid == number.ljust(36, "A") and len(rows.concepts[uuid]["mappings"]) == 1
    kinds = {number: rows.concepts[rows.ciel[number]]["datatype"]["name"] for number in numbers}
    assert kinds["1643"] == kinds["159860"] == "Coded" and kinds["1343"] == kinds["5242"] == "Numeric"
    answers = {one["uuid"] for one in rows.concepts[rows.ciel["159860"]]["answers"]}
    assert answers == {rows.ciel[one] for one in ("159861", "122983", "113054", "117417", "123818")}


def test_a_concept_that_lacks_only_its_mapping_gets_that_and_a_term_is_made_once() -> None:
    data = bare()
    house = House(data=data)
    rows = house.sim.rows
    rows.concepts[rows.ciel.pop("1343")]["mappings"].clear()
    terms = len(rows.concept_terms)
    house.run(make=True)
    assert rows.ciel["1343"] in rows.concepts and len(rows.concepts[rows.ciel["1343"]]["mappings"]) == 1
    assert len(rows.concept_terms) == terms


def test_a_role_of_ours_is_added_to_and_nothing_is_taken_from_it() -> None:
    house = House(profile="platform2", data=platform())
    sim = house.sim
    one, other = (
        next(k for k, p in sim.rows.privileges.items() if p["name"] == n) for n in ("Get Users", "Get People")
    )
    body = {"name": "relais", "privileges": [one, other]}
    made(sim, "role", body)
    after, refused = house.run(make=True, user="admin")
    assert refused == [] and {lack.kind for lack in after.lacks} == {"identifier_source_uuid"}
    assert ours(house) == {"name": "relais", "privileges": {"Get Users", *asked_for("platform2")}}


def test_an_account_keeps_its_roles_and_one_that_may_all_it_needs_is_left_alone() -> None:
    house = House(profile="platform2", data=platform())
    before = made(house.sim, "role", {"name": "Reader", "privileges": list(house.sim.rows.privileges)[:1]})
    house.sim.accounts.give(user_uuid({"username": "relais"}), [before])
    house.run(make=True, user="admin")
    session = asyncio.run(house.client().get("/ws/rest/v1/session")).json()
    assert {one["display"] for one in session["user"]["roles"]} == {"Reader", "Relais"}
    able = House(profile="platform2", data=platform())
    able.sim.metadata["users"][0]["privileges"] = sorted(asked_for("platform2"))
    able.run(make=True, user="admin")
    assert not able.sim.rows.user_roles


def test_an_account_that_is_not_there_is_for_the_administrator() -> None:
    data = platform()
    data["users"] = data["users"][1:]
    after, refused = House(data=data).run(make=True, user="admin")
    (lack,) = [one for one in after.lacks if one.kind == "account"]
    assert refused == [] and "administrator" in lack.why and "administrateur" in lack.french


def test_who_may_not_make_roles_makes_the_rest_and_it_says_who_does() -> None:
    data = platform()
    may = {name for name in PRIVILEGES if name not in ("Manage Roles", "Edit Users")}
    data["users"][1]["privileges"] = sorted(may)
    house = House(data=data)
    after, refused = house.run(make=True, user="admin")
    assert {one.kind for one in after.lacks if one.makeable} == {"role", "account_role"}
    assert len(refused) == 2 and all("Privileges required" in one.message for one in refused)
    assert all("administrator" in one.fix and "administrateur" in one.french[2] for one in refused)
    data = platform()
    data["users"][1]["privileges"] = sorted(may - {"Get Roles"})
    after, _ = House(data=data).run(make=True, user="admin")
    (lack,) = [one for one in after.lacks if one.kind == "role"]
    assert not lack.makeable and "--user" in lack.why and "--user" in lack.french
