"""``relais setup dhis2`` against the simulated server, and that server's metadata import against recordings.

``dhis2_setup.ndjson``: recorded exchanges of a running 2.42.5, without the kinds of object that are not simulated. What
is asserted of the adapter is what the server holds afterwards and what a second look says.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from connector.adapters.dhis2 import Dhis2Target
from connector.adapters.dhis2_setup import Dhis2Setup
from connector.errors import TargetRefused, TargetUnreadable
from connector.http import make_client
from connector.identity import Names
from connector.mappings.config import load_pack
from connector.mappings.expected import expected_metadata
from connector.mappings.needs import dhis2_needs
from connector.mappings.org_unit_tree import units_of
from connector.mappings.pack import Pack
from connector.model import Delivery, Finding, Lack, Severity, Survey, Verdict
from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.plane import Plane
from tests.contract.test_dhis2_target import Lanes
from tests.unit.pack_copy import ENVIRONMENT, SHIPPED

HERE = Path(__file__).parent
RECORDED = [json.loads(line) for line in (HERE / "dhis2_setup.ndjson").read_text("utf-8").splitlines()]
Change = Callable[[dict[str, Any]], Any]


@cache
def pack() -> Pack:
    return load_pack(SHIPPED, ENVIRONMENT)[0]


# ---------------------------------------------------------------- the server, as recorded


@cache
def replayed() -> list[httpx.Response]:
    admin = {"username": "admin", "password": "pw", "id": "M5zQapPyTZI", "orgUnits": [], "authorities": ["ALL"]}
    sim = DHIS2Sim({"today": "2026-11-22", "users": [admin]}, [], Plane())
    headers = {"authorization": "Basic " + base64.b64encode(b"admin:pw").decode()}

    async def run() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=sim.app), base_url="http://127.0.0.1:8085", headers=headers
        ) as client:
            return [
                await client.request(one["method"], one["path"], params=one["query"], json=one["body"])
                for one in RECORDED
            ]

    return asyncio.run(run())


def comparable(answer: Any) -> Any:
    """Reports in the server's own order; errors by code and property, as the words hold Java classes."""
    if isinstance(answer, list):
        return sorted((comparable(one) for one in answer), key=lambda one: json.dumps(one, sort_keys=True))
    if isinstance(answer, dict):
        kept = ("args", "errorProperties", "errorKlass", "mainId")
        return {key: comparable(value) for key, value in answer.items() if key not in kept}
    return answer


@pytest.mark.parametrize("index", range(len(RECORDED)), ids=[one["file"] for one in RECORDED])
def test_the_server_answers_an_import_as_recorded(index: int) -> None:
    recorded, answer = RECORDED[index], replayed()[index]
    assert answer.status_code == recorded["status"]
    body = answer.json()
    if "stats" not in recorded["answer"]["response"]:
        del body["response"]["stats"]
    assert comparable(body) == comparable(recorded["answer"])


# ---------------------------------------------------------------- setting up


def bare() -> dict[str, Any]:
    """A server with the ministry's org units and nothing else."""
    units: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(pack().org_units):
        units.setdefault(
            row.org_unit,
            {"code": row.org_unit, "id": f"Ou{number:09d}", "name": row.org_unit, "parent": row.parent or None,
             "opening": "2015-01-01"},
        )  # fmt: skip
    return {
        "today": "2026-10-05",
        "users": [
            {"username": "relais", "password": "r", "id": "UsrRelais01", "orgUnits": ["ML"],
             "authorities": ["F_DATAVALUE_ADD"]},
            {"username": "other", "password": "o", "id": "UsrOther001", "orgUnits": ["ML"],
             "authorities": ["F_DATAVALUE_ADD"]},
            {"username": "admin", "password": "a", "id": "UsrAdmin001", "orgUnits": ["ML"], "authorities": ["ALL"]},
        ],
        "orgUnits": list(units.values()),
    }  # fmt: skip


class House:
    def __init__(
        self, change: Change | None = None, wire: Any = None, metadata: Any = None, profile: str = "legacy"
    ) -> None:
        data = metadata or bare()
        if change:
            change(data)
        self.sim = DHIS2Sim(data, [], Plane(), profile)
        self.wire = wire

    def client(self, user: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.sim.app)
        return make_client("http://127.0.0.1", user=user, password=user[0], transport=self.wire or transport)

    def run(self, *, make: bool = False, admin: str | None = "admin") -> tuple[Survey, list[Finding]]:
        """Look; with ``make``: make, and look again."""

        async def work() -> tuple[Survey, list[Finding]]:
            setup = Dhis2Setup(
                self.client("relais"), name="dhis2", needs=dhis2_needs(pack()), names=Names("mali-health"),
                admin=self.client(admin) if admin else None,
            )  # fmt: skip
            survey = await setup.survey()
            if not make:
                return survey, []
            refused = list(await setup.make(survey))
            return await setup.survey(), refused

        return asyncio.run(work())

    def one(self, kind: str, code: str) -> dict[str, Any]:
        return self.sim.metadata.by_code(kind, code)

    def probe(self) -> list[Finding]:
        target = Dhis2Target(self.client("relais"), name="dhis2", settings={"expected": expected_metadata(pack())})
        return list(asyncio.run(target.probe()))

    def send(self, user: str) -> Verdict:
        """One figure of a disaggregated element, through the adapter."""
        values = [{"dataElement": "MH_A04", "categoryOptionCombo": "A2_Y1_4-SEX_F", "value": "3", "neverSent": True}]
        payload = {"dataSet": "MH_SEC", "orgUnit": "ML-KKO-D1-A1-S1", "period": "202607", "values": values}
        target = Dhis2Target(self.client(user), name="dhis2", settings={})
        delivery = Delivery(1, "dhis2", "k", "block", 1, "d", payload)
        return asyncio.run(target.deliver([delivery], Lanes()))[0].verdict


@cache
def made() -> House:
    """A bare server after one ``--apply``; not to be changed."""
    house = House()
    survey, refused = house.run(make=True)
    assert (list(survey.lacks), refused) == ([], [])
    return house


def copy_of_made() -> dict[str, Any]:
    data = made().sim.metadata
    return json.loads(json.dumps({**data.given, **{k: v for k, v in data.given.items()}}))  # type: ignore[no-any-return]


def test_a_bare_server_gets_everything_the_pack_sends() -> None:
    assert [f for f in made().probe() if f.severity is not Severity.INFO] == []
    assert made().one("dataElements", "MH_B01_NUM")["name"] == "Fièvres testées par TDR (numérateur)"
    assert {
        "property": "NAME", "locale": "en", "value": "Fever cases tested by RDT (numerator)",
    } in made().one("dataElements", "MH_B01_NUM")["translations"]  # fmt: skip
    codes = {c["code"] for c in made().sim.metadata.option_combos("A2-S")}
    assert codes == {f"A2_{a}-SEX_{s}" for a in ("D0_27", "D28_M11", "Y1_4", "Y5_9", "UNK") for s in ("F", "M", "UNK")}
    assert set(made().one("dataSets", "MH_SEC")["orgUnits"]) == {
        row.org_unit for row in pack().org_units if row.level == "site"
    }
    assert all(len(o["shortName"]) <= 50 for o in made().sim.metadata.lists["dataElements"])


def test_only_the_account_of_relais_may_write_figures_into_what_was_made() -> None:
    house = House(metadata=copy_of_made())
    assert house.send("other") is not Verdict.ACCEPTED
    assert house.send("relais") is Verdict.ACCEPTED
    assert [(v["dataElement"], v["value"], v["storedBy"]) for v in house.sim.state()["values"]] == [
        ("MH_A04", "3", "relais")
    ]


def test_looking_changes_nothing_and_applying_again_neither() -> None:
    house = House()
    survey, _ = house.run()
    assert {one.kind for one in survey.lacks} == {
        "category_option", "category", "category_combo", "data_element", "data_set"
    }  # fmt: skip
    assert all(one.makeable for one in survey.lacks)
    assert house.sim.metadata.lists["dataElements"] == []
    house.run(make=True)
    first = json.dumps(house.sim.metadata.given, sort_keys=True, default=list)
    log = len(house.sim.plane.log)
    again, refused = house.run(make=True)
    assert (list(again.lacks), dict(again.package), refused) == ([], {}, [])
    assert json.dumps(house.sim.metadata.given, sort_keys=True, default=list) == first
    assert len(house.sim.plane.log) == log


def test_on_2_43_the_same_is_made_and_its_importer_takes_figures_into_it() -> None:
    """The metadata API is one in both; what differs is asked of the other importer, which is strict about each link."""
    house = House(profile="v43")
    house.wire = Losing(house)
    survey, refused = house.run(make=True)
    house.wire = None
    assert (list(survey.lacks), dict(survey.package), refused) == ([], {}, [])
    assert house.sim.importer.version.startswith("2.43")
    assert house.sim.metadata.given["dataSets"] == made().sim.metadata.given["dataSets"]
    assert [f for f in house.probe() if f.severity is not Severity.INFO] == []
    assert house.send("other") is not Verdict.ACCEPTED
    assert house.send("relais") is Verdict.ACCEPTED
    assert [(v["dataElement"], v["categoryOptionCombo"], v["value"]) for v in house.sim.state()["values"]] == [
        ("MH_A04", "A2_Y1_4-SEX_F", "3")
    ]
    log = len(house.sim.plane.log)
    again, refused = house.run(make=True)
    assert (list(again.lacks), dict(again.package), refused) == ([], {}, [])
    assert len(house.sim.plane.log) == log


def test_the_same_pack_makes_the_same_identifiers_on_every_server() -> None:
    ids = [{o["code"]: o["id"] for o in h.sim.metadata.lists["dataElements"]} for h in (made(), House())]
    other = House()
    other.run(make=True)
    ids[1] = {o["code"]: o["id"] for o in other.sim.metadata.lists["dataElements"]}
    assert ids[0] == ids[1] and len(set(ids[0].values())) == len(ids[0])


def test_an_account_without_the_authority_is_told_so_and_nothing_is_made() -> None:
    house = House()
    with pytest.raises(TargetRefused, match=r"F_METADATA_IMPORT.*\n.*--user"):
        house.run(make=True, admin=None)
    assert house.sim.metadata.lists["dataSets"] == []
    with pytest.raises(TargetRefused):
        House(lambda data: data["users"][2].update(password="changed")).run(make=True)


def test_a_data_set_that_is_there_grows_and_keeps_what_it_has() -> None:
    def less(data: dict[str, Any]) -> None:
        one = next(s for s in data["dataSets"] if s["code"] == "MH_SEC")
        one["elements"] = [e for e in one["elements"] if e != "MH_A03"]
        one["orgUnits"] = one["orgUnits"][1:]
        one["name"] = "Named by the ministry"
        data["dataElements"] = [e for e in data["dataElements"] if e["code"] != "MH_A04"]
        one["elements"] = [e for e in one["elements"] if e != "MH_A04"]

    before = made().one("dataSets", "MH_SEC")
    house = House(less, metadata=copy_of_made())
    survey, _ = house.run()
    assert {(one.kind, one.code) for one in survey.lacks} == {
        ("data_element", "MH_A04"),
        ("data_set_element", "MH_SEC/MH_A03"),
        ("data_set_element", "MH_SEC/MH_A04"),
        ("data_set_org_unit", f"MH_SEC/{before['orgUnits'][0]}"),
    }
    by_hand = next(one for one in survey.package["dataSets"] if one["code"] == "MH_SEC")
    assert by_hand["name"] == "Named by the ministry" and len(by_hand["dataSetElements"]) == len(before["elements"])
    after, refused = house.run(make=True)
    assert (list(after.lacks), refused) == ([], [])
    grown = house.one("dataSets", "MH_SEC")
    assert set(grown["elements"]) == set(before["elements"]) and set(grown["orgUnits"]) == set(before["orgUnits"])
    assert grown["name"] == "Named by the ministry"


def lack(survey: Survey, code: str) -> Lack:
    return next(one for one in survey.lacks if one.code == code)


def spoil_option(data: dict[str, Any]) -> None:
    category = next(c for c in data["categories"] if c["code"] == "A1")
    category["options"] = category["options"][:-1]


def spoil_combo(data: dict[str, Any]) -> None:
    next(e for e in data["dataElements"] if e["code"] == "MH_A04")["categoryCombo"] = "default"


def spoil_period(data: dict[str, Any]) -> None:
    next(s for s in data["dataSets"] if s["code"] == "MH_GOUV")["periodType"] = "Monthly"


def spoil_code(data: dict[str, Any]) -> None:
    combo = next(c for c in data["categoryOptionCombos"] if c["code"] == "A2_Y1_4-SEX_F")
    combo["code"] = "OTHER"


def spoil_renamed(data: dict[str, Any]) -> None:
    next(e for e in data["dataElements"] if e["code"] == "MH_A03")["code"] = "SNIS_A03"
    for one in data["dataSets"]:
        one["elements"] = ["SNIS_A03" if e == "MH_A03" else e for e in one["elements"]]


def spoil_unit(data: dict[str, Any]) -> None:
    data["orgUnits"] = [u for u in data["orgUnits"] if u["code"] != "ML-KKO-D1-A1-S1"]
    for one in data["dataSets"]:
        one["orgUnits"] = [u for u in one["orgUnits"] if u != "ML-KKO-D1-A1-S1"]


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (spoil_option, "A1", "A1_UNK"),
        (spoil_combo, "MH_A04", "split by default"),
        (spoil_period, "MH_GOUV", "Monthly"),
        (spoil_code, "A2_Y1_4-SEX_F", "OTHER"),
        (spoil_renamed, "MH_A03", "SNIS_A03"),
        (spoil_unit, "ML-KKO-D1-A1-S1", "org_units.csv"),
    ],
)
def test_what_would_change_the_meaning_of_figures_is_left_to_a_person(spoil: Change, code: str, words: str) -> None:
    house = House(spoil, metadata=copy_of_made())
    before = json.dumps(house.sim.metadata.given, sort_keys=True, default=list)
    survey, refused = house.run(make=True)
    found = lack(survey, code)
    assert not found.makeable and words in found.why and found.french
    assert refused == []
    assert json.dumps(house.sim.metadata.given, sort_keys=True, default=list) == before


def test_option_combinations_that_dhis2_made_itself_get_their_codes() -> None:
    def uncoded(data: dict[str, Any]) -> None:
        for combo in data["categoryOptionCombos"]:
            if combo["categoryCombo"] == "AN":
                combo |= {"code": combo["id"], "uncoded": True}

    house = House(uncoded, metadata=copy_of_made())
    assert {one.code for one in house.run()[0].lacks} == {"AN_M6_11", "AN_M12_59", "AN_UNK"}
    assert list(house.run(make=True)[0].lacks) == []
    assert {c["code"] for c in house.sim.metadata.option_combos("AN")} == {"AN_M6_11", "AN_M12_59", "AN_UNK"}


def test_names_that_are_taken_are_told_apart() -> None:
    taken = {"code": "X", "id": "DeTaken0001", "name": "Visites à domicile", "shortName": "Visites à domicile",
             "valueType": "INTEGER", "zeroIsSignificant": True, "categoryCombo": "default"}  # fmt: skip
    house = House(lambda data: data.update(dataElements=[taken]))
    survey, refused = house.run(make=True)
    assert (list(survey.lacks), refused) == ([], [])
    assert house.one("dataElements", "MH_A03")["name"] == "Visites à domicile [MH_A03]"
    names = [o["name"] for o in house.sim.metadata.lists["categoryOptions"]]
    assert len(names) == len(set(names)) and "Inconnu (Sexe)" in names


def test_a_refused_import_is_told_in_the_words_of_the_server() -> None:
    """Somebody takes a name between the look and the making."""
    house = House()

    async def work() -> list[Finding]:
        setup = Dhis2Setup(house.client("admin"), name="dhis2", needs=dhis2_needs(pack()), names=Names("mali-health"))
        survey = await setup.survey()
        row = {"code": "X", "id": "DsTaken0001", "name": "Stocks des ASC", "periodType": "Monthly", "elements": [],
               "orgUnits": []}  # fmt: skip
        house.sim.metadata.become({**house.sim.metadata.given, "dataSets": [row]})
        return list(await setup.make(survey))

    findings = asyncio.run(work())
    assert len(findings) == 1 and "E5003" in findings[0].message and "Stocks des ASC" in findings[0].message
    assert house.sim.metadata.lists["dataElements"] == []


class Losing(httpx.AsyncBaseTransport):
    """Loses the answer to every write, after it was carried out, or says 503 to everything."""

    def __init__(self, house: House, *, down: bool = False) -> None:
        self.app, self.down = httpx.ASGITransport(app=house.sim.app), down

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            return httpx.Response(503, json={"message": "starting"}, request=request, headers={"retry-after": "9"})
        answer = await self.app.handle_async_request(request)
        if request.method != "GET":
            raise httpx.ReadError("lost", request=request)
        return answer


def test_a_lost_answer_is_settled_by_looking() -> None:
    house = House()
    house.wire = Losing(house)
    survey, refused = house.run(make=True)
    assert (list(survey.lacks), refused) == ([], [])


def test_a_server_that_is_down_is_waited_for() -> None:
    house = House()
    house.wire = Losing(house, down=True)
    with pytest.raises(TargetUnreadable):
        house.run()


def test_the_package_refers_only_to_what_is_there_or_in_it() -> None:
    package: Mapping[str, Any] = House().run()[0].package
    ids = {row["id"] for rows in package.values() for row in rows} | {"bjDvmb4bfuf"}
    ids |= {unit["id"] for unit in bare()["orgUnits"]}
    links = json.dumps({k: [{x: y for x, y in r.items() if x not in ("id", "sharing")} for r in v]
                        for k, v in package.items()})  # fmt: skip
    named = {part.split('"')[0] for part in links.split('"id": "')[1:]}
    assert named and named <= ids


def test_the_tree_of_org_units_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    monkeypatch.setattr("connector.adapters.dhis2_setup._PAGE", 2)

    async def work() -> Any:
        return await Dhis2Setup(
            house.client("relais"), name="dhis2", needs=dhis2_needs(pack()), names=Names("mali-health")
        ).org_units()

    units, without = units_of(asyncio.run(work()))
    there = house.sim.metadata.lists["orgUnits"]
    assert len(there) > 4 and without == []
    assert {(u.code, u.name, u.parent, u.level, u.opened) for u in units} == {
        (o["code"], o["name"], o.get("parent") or "", o["path"].count("/"), o["opening"]) for o in there
    }
