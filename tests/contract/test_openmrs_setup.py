"""``relais setup openmrs`` against the simulated server, and that server's set-up by REST against recordings.

``openmrs_setup.ndjson``: recorded requests, and of their answers what does not depend on the server.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from connector.adapters.openmrs import OpenmrsTarget
from connector.adapters.openmrs_rest import Rest
from connector.adapters.openmrs_setup import OpenmrsSetup
from connector.errors import TargetRefused, TargetUnreadable
from connector.http import make_client
from connector.identity import Names
from connector.mappings.config import load_pack
from connector.mappings.pack import Pack
from connector.model import Finding, Survey
from connector.sandbox.openmrs import OpenMRSSim
from connector.sandbox.openmrs_metadata import default_metadata
from connector.sandbox.plane import Plane
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


@pytest.mark.parametrize("recorded", RECORDED, ids=[one["file"] for one in RECORDED])
def test_the_server_makes_metadata_as_recorded(recorded: dict[str, Any]) -> None:
    data = {**bare(), "identifier_types": []}
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
            return await client.post(recorded["path"], json=recorded["body"])

    answer = asyncio.run(run())
    assert answer.status_code == recorded["status"]
    own = {"uuid", "description"} if "uuid" not in recorded["body"] else set()  # chosen by the server
    assert {k: answer.json().get(k) for k in recorded["answer"] if k not in own} == {
        k: v for k, v in recorded["answer"].items() if k not in own
    }


class House:
    def __init__(
        self, change: Callable[[dict[str, Any]], Any] | None = None, profile: str = "o3", losing: bool = False
    ) -> None:
        data = bare()
        if change:
            change(data)
        self.sim = OpenMRSSim(data, [], Plane(), profile=profile)
        self.profile, self.losing = profile, losing

    def client(self, password: str = "Relais-sandbox-1") -> httpx.AsyncClient:
        transport: Any = Losing(self.sim) if self.losing else httpx.ASGITransport(app=self.sim.app)
        return make_client("http://127.0.0.1/openmrs", user="relais", password=password, transport=transport)

    def run(self, *, make: bool = False, password: str = "Relais-sandbox-1") -> tuple[Survey, list[Finding]]:
        async def work() -> tuple[Survey, list[Finding]]:
            titles = {row.place: row.name for row in pack().org_units}
            setup = OpenmrsSetup(
                Rest(self.client(password)), name="openmrs", openmrs=pack().openmrs, profile=self.profile,
                titles=titles, names=Names("mali-health"),
            )  # fmt: skip
            survey = await setup.survey()
            if not make:
                return survey, []
            refused = list(await setup.make(survey))
            return await setup.survey(), refused

        return asyncio.run(work())

    def probe(self) -> list[str]:
        target = OpenmrsTarget(
            self.client(), name="openmrs", settings={"profile": self.profile}, openmrs=pack().openmrs,
            names=Names("mali-health"), zone="Africa/Bamako",
        )  # fmt: skip
        return [one.message for one in asyncio.run(target.probe())]


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
        data["concepts"] = [one for one in data["concepts"] if one["ciel"] != "1343"]
        data["idgen"] = []
        data["encounter_roles"] = []

    house = House(less)
    after, _ = house.run(make=True)
    told = {one.code: one for one in after.lacks if one.kind != "appointment_service_uuid"}
    assert set(told) == {"observations.muac_mm.concept", "idgen_source", "encounter_role"}
    assert "CIEL" in told["observations.muac_mm.concept"].why and "uuid of its own" in told["idgen_source"].why


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
        setup = OpenmrsSetup(
            Rest(house.client()), name="openmrs", openmrs=pack().openmrs, profile="platform2", titles={"area-1": ""},
            names=Names("mali-health"),
        )  # fmt: skip
        return list(await setup.make(await setup.survey()))

    findings = asyncio.run(work())
    assert len(findings) == 1 and "places.area-1.location" in findings[0].message and "Name" in findings[0].message
    assert len(house.sim.rows.locations) == 2
