"""The sandbox as programs: all simulators in one process, the true figures, the comparison.

``serve`` prints one JSON line with the addresses when every port answers, and runs until it is stopped. With an env
file it also writes the variables the configuration pack needs. ``expected`` and ``compare`` return plain data.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import uvicorn

from connector.sandbox import metadata, openmrs_metadata, oracle
from connector.sandbox.cht import CHTSim
from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.district import District
from connector.sandbox.fhir import FHIRSim
from connector.sandbox.openmrs import OpenMRSSim
from connector.sandbox.plane import App, Plane

CHT_USER, CHT_PASSWORD = "relais", "relais-sandbox"
NAMES = ("cht", "dhis2", "openmrs", "fhir")


def simulators(district: District, *, dhis2: str = "legacy", openmrs: str = "o3") -> dict[str, Any]:
    """The four simulators of a district, by name. Raises ValueError for a profile that is not simulated."""
    return {
        "cht": CHTSim(Plane(district.seed), district.cht_docs(), user=CHT_USER, password=CHT_PASSWORD),
        "dhis2": DHIS2Sim(district.dhis2_metadata, district.dhis2_values(), Plane(district.seed), profile=dhis2),
        "openmrs": OpenMRSSim(
            district.openmrs_metadata(), district.openmrs_patients(), Plane(district.seed), profile=openmrs,
            staff=district.staff,
        ),
        "fhir": FHIRSim(Plane(district.seed)),
    }  # fmt: skip


def write_files(district: District, folder: Path) -> None:
    """Put the district's files where the connector watches."""
    for path, text in district.files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())


def read_files(folder: Path) -> dict[str, str]:
    """The files of the watched folder as they are now."""
    found = sorted(path for path in folder.glob("*/*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes().decode() for path in found}


#: In the env file when not all indicators are covered, so that figures and comparison cover the same.
COVERED = "RELAIS_SANDBOX_INDICATORS"


def environment(district: District, urls: Mapping[str, str], openmrs: str = "o3") -> dict[str, str]:
    """The variables the configuration pack needs. Waiting times are short: these servers are next door."""
    more = {} if district.covered == "all" else {COVERED: district.covered}
    user = openmrs_metadata.default_metadata(())["users"][0]
    return {
        "RELAIS_CHT_URL": urls["cht"],
        "RELAIS_CHT_USER": CHT_USER,
        "RELAIS_CHT_PASSWORD": CHT_PASSWORD,
        "RELAIS_DHIS2_URL": urls["dhis2"],
        "RELAIS_DHIS2_TOKEN": metadata.TOKEN,
        "RELAIS_OPENMRS_URL": f"{urls['openmrs']}/openmrs",
        "RELAIS_OPENMRS_USER": user["username"],
        "RELAIS_OPENMRS_PASSWORD": user["password"],
        "RELAIS_OPENMRS_PROFILE": openmrs,
        "RELAIS_FHIR_URL": f"{urls['fhir']}/fhir",
        "RELAIS_FOLDER": urls["folder"],
        "RELAIS_ENV": "demo",
        "RELAIS_QUIET_SCALE": "0.02",
        "RELAIS_RETRY_SCALE": "0.002",
        "RELAIS_ZONE": district.zone,
        **more,
    }


def serve(
    seed: int = 7, start: str = "2026-07", months: int = 3, sites: int = 12, chws: int = 24,
    zone: str = "Africa/Bamako", dhis2: str = "legacy", openmrs: str = "o3", ports_from: int = 9100,
    env_file: Path | None = None, folder: Path | None = None, indicators: str = "all",
) -> None:  # fmt: skip
    """Start everything on loopback and wait for SIGINT or SIGTERM. Ports: ``ports_from`` + 1 ... + 4 (0: any free).

    ``indicators``: see ``District``. Raises ValueError for a profile that is not simulated and for indicators that are
    neither ``first`` nor ``all``, OSError when a port is taken.
    """
    district = District(seed, start, months, sites, chws, zone, indicators=indicators)
    sims = simulators(district, dhis2=dhis2, openmrs=openmrs)
    with tempfile.TemporaryDirectory(prefix="relais-sandbox-") as made:
        place = folder or Path(made)
        write_files(district, place)
        apps: dict[str, App] = {name: sims[name].app for name in NAMES}
        asyncio.run(_serve(district, apps, ports_from, place.resolve(), env_file, openmrs))


class _Server(uvicorn.Server):
    """A server that leaves the signals to us: one handler stops all of them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    district: District,
    apps: Mapping[str, App],
    ports_from: int,
    folder: Path,
    env_file: Path | None,
    openmrs: str = "o3",
) -> None:
    servers: dict[str, uvicorn.Server] = {}
    sockets = {}
    for n, (name, app) in enumerate(apps.items(), 1):
        config = uvicorn.Config(
            app, host="127.0.0.1", port=ports_from + n if ports_from else 0, log_level="critical", lifespan="off",
            access_log=False, log_config=None, timeout_keep_alive=60,
        )  # fmt: skip
        config.load()
        sockets[name] = _bind(config)
        servers[name] = _Server(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, stop.set)
    running = [asyncio.create_task(servers[name].serve([sockets[name]])) for name in apps]
    while not all(server.started for server in servers.values()):
        await asyncio.sleep(0.01)
    urls = {name: f"http://127.0.0.1:{sockets[name].getsockname()[1]}" for name in apps}
    urls["folder"] = str(folder)
    if env_file is not None:
        lines = [f"{name}={text}" for name, text in environment(district, urls, openmrs).items()]
        _write_private(env_file, "\n".join(lines) + "\n")
    print(json.dumps(urls), flush=True)
    await stop.wait()
    for server in servers.values():
        server.should_exit = server.force_exit = True
    await asyncio.gather(*running)


def _bind(config: uvicorn.Config) -> socket.socket:
    """A bound socket; uvicorn's own ``bind_socket`` would end the process instead of saying what is wrong."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else every answer waits 40 ms for an acknowledgement
    sock.bind((config.host, config.port))
    return sock


def _write_private(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)


# ---------------------------------------------------------------- figures


def expected(
    seed: int = 7, start: str = "2026-07", months: int = 3, sites: int = 12, chws: int = 24,
    zone: str = "Africa/Bamako", env_file: Path | None = None, indicators: str = "all",
) -> dict[str, Any]:  # fmt: skip
    """The true figures of a district; with ``env_file`` of its records as the running simulators hold them now, of the
    indicators those were started for."""
    settings = read_env(env_file) if env_file is not None else {}
    district = District(seed, start, months, sites, chws, zone, indicators=settings.get(COVERED, indicators))
    docs, files, clinic = district.current_docs(), district.files, None
    if settings:
        docs = _ask(settings["RELAIS_CHT_URL"], "state")["docs"]
        files = read_files(Path(settings["RELAIS_FOLDER"]))
        clinic = _ask(settings["RELAIS_OPENMRS_URL"], "state")
    today = datetime.now(UTC).astimezone(district.calendar.zone).date()
    return oracle.figures(oracle.truth_of(docs, files, district, today, clinic), district, today)


def compare(
    env_file: Path, seed: int = 7, start: str = "2026-07", months: int = 3, sites: int = 12, chws: int = 24,
    attention: Mapping[str, Any] | None = None, quarantine_codes: Mapping[str, int] | None = None,
    today: date | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The block ``expected`` against running simulators: their addresses, folder and zone are in the env file."""
    settings = read_env(env_file)
    district = District(
        seed, start, months, sites, chws, settings.get("RELAIS_ZONE", "Africa/Bamako"),
        indicators=settings.get(COVERED, "all"),
    )  # fmt: skip
    roots = {name: settings[f"RELAIS_{name.upper()}_URL"] for name in NAMES}
    states = {name: _ask(url, "state") for name, url in roots.items()}
    return oracle.compare(
        district, **states, attention=attention, quarantine_codes=quarantine_codes, today=today,
        files=read_files(Path(settings["RELAIS_FOLDER"])), openmrs_log=_ask(roots["openmrs"], "log")["log"],
    )  # fmt: skip


def read_env(file: Path) -> dict[str, str]:
    """The variables of an env file as ``serve`` writes it."""
    pairs = (line.partition("=") for line in file.read_text(encoding="utf-8").splitlines() if "=" in line)
    return {name: value for name, _, value in pairs}


def _ask(url: str, what: str) -> Any:
    root = "/".join(url.split("/")[:3])
    with urllib.request.urlopen(f"{root}/_sandbox/{what}", timeout=120) as answer:
        return json.load(answer)
