"""``relais check --live``: every trouble at the servers is found, in both languages, at its place in the pack."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from connector.adapters import dhis2_probe, openmrs_probe
from connector.adapters.dhis2 import Dhis2Target
from connector.adapters.openmrs import OpenmrsTarget
from connector.bootstrap import REASONS
from connector.http import make_client
from connector.identity import Names
from connector.mappings.config import load_pack
from connector.mappings.expected import expected_metadata
from connector.mappings.lint_live import placed
from connector.mappings.pack import Pack
from connector.model import Finding
from connector.sandbox import metadata, openmrs_metadata
from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.district_people import Calendar, People
from connector.sandbox.openmrs import OpenMRSSim
from connector.sandbox.plane import Plane

from .live_plants import LIVE, Live

SHIPPED = Path(__file__).parents[2] / "config/mali-health"
NOW = datetime(2026, 10, 6, 8, tzinfo=UTC)
INFO = {"version": "2.42.1", "calendar": "iso8601", "serverDate": "2026-10-06T08:00:00.000"}
ENVIRONMENT = {f"RELAIS_{name}_URL": "http://127.0.0.1:9101" for name in ("CHT", "DHIS2", "OPENMRS", "FHIR")}


@lru_cache(maxsize=1)
def pack() -> Pack:
    return load_pack(SHIPPED, ENVIRONMENT, strict=False)[0]


@lru_cache(maxsize=1)
def dhis2_data() -> dict[str, Any]:
    people = People(7, Calendar.of("2026-07", 3, "Africa/Bamako"), 12, 24)
    data = metadata.dhis2_metadata(people, date(2026, 10, 6))
    for element in data["dataElements"]:
        element["zeroIsSignificant"] = True
    return data


def dhis2_findings(live: Live | None) -> Sequence[Finding]:
    data = copy.deepcopy(dhis2_data())
    if live:
        live.spoil(data, {})
    info = {key: data.pop(key) for key in ("version", "calendar") if key in data}
    slow = data.pop("slow", False)
    app = httpx.ASGITransport(app=DHIS2Sim(data, [], Plane()).app)

    class Wire(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if info and request.url.path == "/api/system/info":
                return httpx.Response(200, json=INFO | info)
            answer = await app.handle_async_request(request)
            there = NOW - timedelta(minutes=2 if slow else 0)
            answer.headers["date"] = there.strftime("%a, %d %b %Y %H:%M:%S GMT")
            return answer

    async def probe() -> Sequence[Finding]:
        client = make_client("http://127.0.0.1:9102", transport=Wire())
        try:
            settings = {"token": metadata.TOKEN, "expected": expected_metadata(pack())}
            return await Dhis2Target(client, name="dhis2", settings=settings, now=lambda: NOW).probe()
        finally:
            await client.aclose()

    return asyncio.run(probe())


def openmrs_findings(live: Live | None) -> Sequence[Finding]:
    clinics = [{"code": f"area-{n}", "name": f"CSCom {n}"} for n in (1, 2, 3)]
    data = openmrs_metadata.default_metadata(clinics)
    openmrs = copy.deepcopy(dict(pack().openmrs))
    if live:
        live.spoil(data, openmrs)
    slow, profile = data.pop("slow", False), data.pop("profile", "o3")
    app = httpx.ASGITransport(app=OpenMRSSim(data, [], Plane(), profile=profile).app)

    class Wire(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await app.handle_async_request(request)
            there = NOW - timedelta(minutes=2 if slow else 0)
            answer.headers["date"] = there.strftime("%a, %d %b %Y %H:%M:%S GMT")
            return answer

    async def probe() -> Sequence[Finding]:
        client = make_client(
            "http://127.0.0.1/openmrs", user="relais", password="Relais-sandbox-1", transport=Wire()
        )  # fmt: skip
        try:
            return await OpenmrsTarget(
                client, name="openmrs", settings={"profile": "o3"}, openmrs=openmrs, names=Names("x"),
                zone="Africa/Bamako", now=lambda: NOW,
            ).probe()  # fmt: skip
        finally:
            await client.aclose()

    return asyncio.run(probe())


def test_the_servers_of_the_sandbox_suit_the_pack() -> None:
    assert [one for one in dhis2_findings(None)] == []
    assert [one for one in openmrs_findings(None)] == []


def test_there_is_a_trouble_for_every_code_and_no_other() -> None:
    assert {one.code for one in LIVE} == {*dhis2_probe.FINDINGS, *openmrs_probe.FINDINGS}


@pytest.mark.parametrize("live", LIVE, ids=lambda live: live.code)
def test_a_trouble_at_a_server_is_found_at_its_place_in_the_pack(live: Live) -> None:
    raw = dhis2_findings(live) if live.server == "dhis2" else openmrs_findings(live)
    findings = placed(pack(), live.server, raw, REASONS)
    found = [one for one in findings if one.code == live.code]
    assert found, findings
    file, marked = live.stands
    before, _, after = marked.partition("«")
    text = (SHIPPED / file).read_text(encoding="utf-8")
    at = text.index(before + after) + len(before)
    place = (file, text[:at].count("\n") + 1, at - text.rfind("\n", 0, at))
    assert place in [(one.file, one.line, one.column) for one in found], found
    for one in found:
        assert all((one.message, one.why, one.fix, *one.french)), one
        assert one.message != one.french[0]


def test_a_server_out_of_reach_is_said_in_both_languages_at_its_connection() -> None:
    trouble = Finding("dhis2.unreachable", next(iter(dhis2_findings(LIVE[0]))).severity, "no connection")
    (one,) = placed(pack(), "dhis2", [trouble], REASONS)
    assert one.file == "connector.yaml" and one.line > 1 and REASONS["dhis2.unreachable"].fr in one.french[0]


def test_the_pack_read_as_yaml_and_by_us_says_the_same_of_the_clinics() -> None:
    """Places are looked for by the keys of the file."""
    raw = YAML(typ="safe").load(SHIPPED / "openmrs.yaml")
    assert set(raw) == set(pack().openmrs)
