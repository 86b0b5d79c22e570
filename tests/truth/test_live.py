"""A running server asked over a socket: our own simulators stand for it, true ones and ones that answer otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from connector.sandbox import openmrs_metadata
from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.fhir import FHIRSim
from connector.sandbox.openmrs import OpenMRSSim
from connector.sandbox.plane import App, Plane
from tests.truth import live
from tests.truth.dhis2 import metadata

ACCOUNTS = {
    "RELAIS_DHIS2_USER": "admin", "RELAIS_DHIS2_PASSWORD": "pw-admin",
    "RELAIS_OPENMRS_USER": "relais", "RELAIS_OPENMRS_PASSWORD": "Relais-sandbox-1",
}  # fmt: skip
BASE = {"dhis2": "", "openmrs": "/openmrs", "fhir": "/fhir"}

Change = Callable[[str, str, int, Any], tuple[int, Any]]  #: method, path, status, JSON -> status, JSON


def simulator(server: str, profile: str = "") -> Any:
    if server == "dhis2":
        data = metadata()
        data["users"][0]["orgUnits"] = ["OU_LAND"]
        return DHIS2Sim(data, [], Plane(), profile or "legacy")
    if server == "openmrs":
        clinics = [{"code": "area-1", "name": "Koulébala"}]
        return OpenMRSSim(openmrs_metadata.default_metadata(clinics), [], Plane(), profile or "o3")
    return FHIRSim(Plane(), validating=False)


def altered(app: App, change: Change) -> App:
    """The same server, but for some of its answers."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        held: list[Any] = []

        async def hold(message: Any) -> None:
            held.append(message)

        await app(scope, receive, hold)
        body = b"".join(one.get("body", b"") for one in held)
        try:
            status, told = change(scope["method"], scope["path"], held[0]["status"], json.loads(body or b"null"))
            body = b"" if told is None else json.dumps(told).encode()
        except ValueError:
            status = held[0]["status"]
        headers = [(name, value) for name, value in held[0]["headers"] if name != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


@contextmanager
def served(app: App) -> Iterator[str]:
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=20)


def asked(server: str, sim: Any, change: Change | None = None, stamp: str = "T1") -> live.Verdict:
    with served(altered(sim.app, change) if change else sim.app) as url:
        (verdict,) = live.run({server: url + BASE[server]}, ACCOUNTS, stamp)
    return verdict


def holds(server: str, sim: Any) -> Any:
    """What of ours the server shows its users."""
    if server == "dhis2":
        lists = {kind: [o for o in rows if "RELAIS_TRUTH" in o["code"]] for kind, rows in sim.metadata.lists.items()}
        return [sim.values, sim.completions, [row for rows in lists.values() for row in rows]]
    if server == "fhir":
        return [sim.state()["resources"]]
    state = sim.state()
    tables = [rows for kind, rows in sim._tables().items() if kind != "encounterrole"]
    ours = [one for rows in tables for one in rows.values() if "RELAIS_TRUTH" in one["display"]]
    assert len(ours) == 5, "location, identifier type, encounter type, provider and concept were made"
    return [
        [one for one in state["patients"] + state["encounters"] if not one["voided"]],
        [one for one in state["appointments"] if one["status"] != "Cancelled"],
        [one for one in ours if not one["retired"]],
        [one for one in sim.rows.services.values() if "RELAIS_TRUTH" in one["name"]],
    ]


def test_dhis2_is_asked_about_input_periods_and_combinations() -> None:
    """2.42 refuses the closed one and the one it has no window for; 2.43.1 has it the wrong way round."""
    counts, codes = {}, {}
    for profile in ("legacy", "v43"):
        sim = simulator("dhis2", profile)
        with served(sim.app) as url:
            client = live.client_for("dhis2", url, ACCOUNTS)
            with client:
                talk = live.Talk(client, "T1")
                live.scripts()["dhis2"](talk)
                talk.clear()
        counts[profile] = [one.status for one in talk.exchanges if "input-period" in one.recording]
        (combo,) = (one for one in talk.exchanges if "combo-of-another" in one.recording)
        codes[profile] = {one["errorCode"] for one in combo.answer["response"]["conflicts"]}
    assert counts == {"legacy": [200, 409, 409], "v43": [409, 200, 409]}
    assert codes == {"legacy": {"E7634"}, "v43": {"E8024"}}


CASES = [("dhis2", "legacy"), ("dhis2", "v43"), ("openmrs", "o3"), ("openmrs", "platform2"), ("fhir", "")]


@pytest.mark.parametrize(("server", "profile"), CASES)
def test_a_server_like_the_simulator_differs_in_nothing_and_is_left_as_it_was(server: str, profile: str) -> None:
    sim = simulator(server, profile)
    verdict = asked(server, sim)
    assert (verdict.trouble, verdict.differences, verdict.left) == ("", [], [])
    assert verdict.exchanges == {"dhis2": 40, "openmrs": 36 if profile == "o3" else 29, "fhir": 14}[server]
    assert sim.plane.log, "something was written"
    assert not any(holds(server, sim))
    assert bool(verdict.notes) == (profile == "platform2")


def test_it_can_be_asked_again() -> None:
    """What OpenMRS keeps of the last time, retired and with its name, is in nobody's way."""
    sim = simulator("openmrs")
    assert asked("openmrs", sim, stamp="T1").good and asked("openmrs", sim, stamp="T2").good


def counts_nothing(method: str, path: str, status: int, told: Any) -> tuple[int, Any]:
    """A DHIS2 that says it imported nothing, though it did."""
    if path == "/api/dataValueSets" and method == "POST" and told["response"]["importCount"]["imported"] == 2:
        told["response"]["importCount"]["imported"] = 0
    return status, told


def forgets_voids(method: str, path: str, status: int, told: Any) -> tuple[int, Any]:
    """An OpenMRS that refuses to void an encounter again."""
    if method == "DELETE" and "/encounter/" in path:
        counts_voids.append(path)
        return (400 if len(counts_voids) == 2 else status), told
    return status, told


counts_voids: list[str] = []


def no_versions(method: str, path: str, status: int, told: Any) -> tuple[int, Any]:
    """A FHIR server that does not look at If-Match."""
    return (200 if status == 409 and method == "PUT" else status), told


@pytest.mark.parametrize(
    ("server", "change", "named"),
    [
        ("dhis2", counts_nothing, "003-create response.importCount.imported: the server 0, the simulator 2"),
        ("openmrs", forgets_voids, "encounter-voided-again HTTP status: the server 400, the simulator 204"),
        ("fhir", no_versions, "005-if-match-stale HTTP status: the server 200, the simulator 409"),
    ],
)
def test_a_server_that_answers_otherwise_is_told_of(server: str, change: Change, named: str) -> None:
    counts_voids.clear()
    sim = simulator(server)
    verdict = asked(server, sim, change)
    assert not verdict.good
    assert [line for line in live.told([verdict]) if named in line], list(live.told([verdict]))
    assert len({one.recording for one in verdict.differences}) == 1
    assert not any(holds(server, sim))


def breaks_off(method: str, path: str, status: int, told: Any) -> tuple[int, Any]:
    """An OpenMRS that makes an appointment and does not say which."""
    return status, {} if method == "POST" and path.endswith("/appointmentService") else told


def test_what_was_made_is_removed_after_a_failure_too() -> None:
    sim = simulator("openmrs")
    verdict = asked("openmrs", sim, breaks_off)
    assert "not of the shape" in verdict.trouble and not verdict.good
    assert not any(holds("openmrs", sim))


def test_what_stays_behind_is_named() -> None:
    """A DHIS2 that prunes nothing keeps the elements and org units that values were sent for."""
    sim = simulator("dhis2")
    sim._prune = lambda collection, uid: None
    verdict = asked("dhis2", sim)
    assert not verdict.good and verdict.differences == []
    assert "RELAIS_TRUTH_T1_SITE" in verdict.left[0] and "RELAIS_TRUTH_T1_ZERO" in verdict.left[0]
    assert "RELAIS_TRUTH_T1_OTHER" not in verdict.left[0]


@pytest.mark.parametrize(
    ("server", "environment", "said"),
    [
        ("dhis2", {}, "RELAIS_DHIS2_TOKEN"),
        ("openmrs", {}, "RELAIS_OPENMRS_PASSWORD"),
        ("dhis2", {**ACCOUNTS, "RELAIS_DHIS2_PASSWORD": "wrong"}, "refused"),
        ("openmrs", {**ACCOUNTS, "RELAIS_OPENMRS_PASSWORD": "wrong"}, "refused"),
        ("dhis2", {"RELAIS_DHIS2_USER": "clerk", "RELAIS_DHIS2_PASSWORD": "pw-clerk"}, "superuser"),
    ],
)
def test_without_the_right_account_nothing_is_made(server: str, environment: dict[str, str], said: str) -> None:
    sim = simulator(server)
    with served(sim.app) as url:
        (verdict,) = live.run({server: url + BASE[server]}, environment, "T1")
    assert said in verdict.trouble and not verdict.good
    assert sim.plane.log == []


@pytest.mark.parametrize(
    ("program", "lines", "said"),
    [
        ("mvn", "echo '[ERROR] Could not find artifact x:y:1'; exit 1", "could not be had from Maven Central"),
        ("javac", "exit 1", "could not be put together"),
        ("java", "echo 'Exception in thread main' >&2; exit 1", "did not start: Exception in thread main"),
    ],
)
def test_a_fhir_server_that_cannot_be_had_is_told_of_in_a_sentence(
    tmp_path: Path, program: str, lines: str, said: str
) -> None:
    fetched = f"echo /some.jar > {tmp_path}/classpath"
    for name, works in (("mvn", fetched), ("javac", "exit 0"), ("java", "exit 0")):
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\n{lines if name == program else works}\n", encoding="utf-8")
        file.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TRUTH_CACHE": str(tmp_path)}
    script = Path(__file__).parents[2] / "scripts/truth_fhir.sh"
    done = subprocess.run([script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and said in done.stderr


@pytest.mark.parametrize("url", ["http://dhis2.example.org", "https://admin:district@dhis2.example.org"])
def test_a_password_never_travels_in_clear_nor_stands_on_the_command_line(url: str) -> None:
    (verdict,) = live.run({"dhis2": url}, ACCOUNTS, "T1")
    assert verdict.trouble and verdict.exchanges == 0
