"""A name, a phone number and passwords planted everywhere appear nowhere but encrypted and on their way."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import httpx
import orjson
import pytest
import structlog
import uvicorn

from connector import cli, logs
from connector.cli.wiring import web_app
from connector.mappings.pack import Pack
from tests.engine.house import (
    ANNA,
    BEHIND,
    SITE,
    Doc,
    Make,
    Road,
    a_few,
    meeting,
    on_sqlite,
    person,
    place,
    report,
    visit,
)  # fmt: skip

NAME, PHONE, PASSWORD = "Zorblatha", "70990177", "canary-Pw-5512"
CANARIES = (NAME, PHONE, PASSWORD)
CALLED = f"{NAME} Quixomel"
TOKEN = "d2p_canary-Pw-5512Only00000000000000000001"  # as long as DHIS2's are


def planted() -> list[Doc]:
    """Good and bad records with the canaries in names, phones, notes, dates, places of nonsense."""
    told = f"call {CALLED} on +223 {PHONE}"
    docs = [d for d in a_few() if d["_id"] != ANNA]
    docs.append({**person(ANNA, CALLED), "phone": f"+223{PHONE}"})
    docs.append(
        {
            "_id": "asc-001",
            "type": "contact",
            "contact_type": "chw",
            "name": CALLED,
            "phone": PHONE,
            "parent": {"_id": SITE},
        }
    )
    docs.append({**place("home-1", "household", SITE), "name": f"Famille {CALLED}"})
    referred = visit("referred", "2026-08-22", refer=True)
    referred["fields"]["referral"]["note"] = told
    docs += [
        referred,
        report("unknown-form", "census", "2026-08-10", {"name": CALLED, "phone": PHONE}),
        visit("bad-date", f"on the day {told}"),
        visit("bad-types", "2026-08-12", group_nutrition={"muac_score": told}, hours_since_onset={NAME: PHONE}),
        {**visit("bad-fields"), "fields": told, "reported_date": told},
        visit("future", "2027-01-01", note=told),
        visit("no-place", site="site-99", note=told),
        report("home", "home_visit", "2026-08-11", {"household_id": "home-1", "purpose": "other", "topic": told}),
    ]
    return docs


def plant_files(road: Road) -> None:
    road.write_meetings("01", [meeting(1), meeting(2, saved=CALLED), meeting(3, treasurer=CALLED, phone=PHONE)])
    (road.files / "odk" / "reunion_groupe_epargne-02.ndjson").write_text(f'{{"__id": "{CALLED} {PHONE}\n')
    (road.files / "outreach" / "causeries.csv").write_text(
        f"record_id;action;date_seance;aire;note\n1;upsert;{CALLED};area-1;{PHONE}\n2;upsert;too;{NAME};many;{PHONE};cells\n"
    )
    (road.files / "kobo" / "aGovASACO-1.json").write_text(f'{{"results": [{CALLED} {PHONE}')


def trusting(road: Road) -> None:
    """The servers know the canary passwords; the clinic answers at once, in words."""
    advice = f"phone {CALLED} {PHONE}"
    road.openmrs.staff = lambda number: {"act": "completed", "diagnosis": "CIEL:116128", "advice": advice}
    road.cht.password = PASSWORD
    road.openmrs.metadata["users"][0]["password"] = PASSWORD
    road.openmrs.reset()
    road.dhis2.users[0]["token"] = TOKEN
    road.dhis2.doors.reset()


def secretive(pack: Pack) -> Pack:
    """The pack as it is read when the environment holds the canary passwords."""

    def told(settings: Any) -> dict[str, Any]:
        return {k: PASSWORD if k == "password" else TOKEN if k == "token" else v for k, v in settings.items()}

    return replace(
        pack, sources={n: replace(s, settings=told(s.settings)) for n, s in pack.sources.items()},
        targets={n: replace(t, settings=told(t.settings)) for n, t in pack.targets.items()},
    )  # fmt: skip


@pytest.fixture
def road(make_road: Make) -> Road:
    made = make_road(planted(), secretive)
    trusting(made)
    plant_files(made)
    return made


def clean(text: str | bytes, where: str) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    for canary in CANARIES:
        at = data.find(canary.encode())
        assert at < 0, f"{canary} in {where}: {data[max(0, at - 80) : at + 80]!r}"


def through_trouble(road: Road, *, short: bool = False) -> None:
    """A life with refusals, broken answers and servers that are down, so that every error path speaks. ``short``: what
    stays refused and broken is enough."""
    road.dhis2.refuse = [{"match": {"dataElement": "MH_B02_NUM"}, "code": "E7619"}]
    for name in ("dhis2", "openmrs", "fhir"):
        road.sims[name].plane.arm([{"every": 5, "status": 503}, {"lose_response_every": 7}, {"html_every": 11}])
    road.settle()
    for name in ("dhis2", "openmrs", "fhir"):
        road.sims[name].plane.arm([])
    told = orjson.dumps({"message": f"{CALLED} {PHONE} {PASSWORD}"})
    for wire in road.wires.values():
        wire.instead = lambda request: httpx.Response(400, content=told, headers={"content-type": "application/json"})
    road.cht.edit(ANNA, {"phone": f"00223{PHONE}", "name": f"{CALLED} II"})
    road.run()
    if short:
        return
    for wire in road.wires.values():
        wire.instead = lambda request: None
    for name in ("cht", "dhis2", "openmrs", "fhir", "cht_answers"):
        road.actions.resume(name, "operator")
    road.settle()
    road.reconcile("dhis2")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What would go to stderr, at its most talkative."""
    stream = io.StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger().level
    logs.configure("debug", stream)
    yield stream
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = before[0]
    logging.getLogger().setLevel(before[1])


@on_sqlite
def test_no_canary_leaves_the_house_but_in_a_body(road: Road, tmp_path: Path, log: io.StringIO) -> None:
    through_trouble(road)
    logs.get().warning("delivery.parked", note=NAME, reason="dhis2.E7619")
    assert any(PHONE in str(doc) for doc in road.cht.state()["docs"] if doc.get("form") == "referral_answer")
    assert any(NAME in str(p["name"]) for p in road.openmrs.state()["patients"]), "the canary went all the way"
    assert NAME in str(road.fhir.state()) and road.quarantined()

    for name, wire in road.wires.items():
        assert bool(wire.seen) == (name in road.engine.pack.sources or name in road.engine.pack.targets), name
        for _, url in wire.seen:
            clean(unquote_plus(url), f"a URL of {name}")
    for name in set(BEHIND.values()):
        for _, path in road.sims[name].plane.recent:
            clean(unquote_plus(path), f"a request line of {name}")

    tables = road.rows("SELECT name FROM sqlite_master WHERE type='table'")
    seen = 0
    for table in (t["name"] for t in tables):
        for row in road.rows(f'SELECT * FROM "{table}"'):
            for column, value in row.items():
                seen += 1
                clean(value if isinstance(value, bytes) else str(value), f"{table}.{column}")
    assert seen > 2000 and len(road.rows("SELECT id FROM audit")) > 20
    for file in sorted((tmp_path / "relais").iterdir()):
        clean(file.read_bytes(), file.name)
    assert (tmp_path / "relais" / "relais.db-wal").stat().st_size > 0, "the log of the database was looked at, too"

    assert "delivery.parked" in log.getvalue()
    clean(log.getvalue(), "the log")


def test_metrics_status_and_errors_on_screen_hold_no_canary(
    road: Road, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RELAIS_ENV", "demo")
    through_trouble(road, short=True)
    assert road.house is not None
    house = replace(road.house, settings=road.house.settings.model_copy(update={"env": "demo"}))
    app = web_app(house)

    async def get(path: str) -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1:8000"
        ) as client:
            return await client.get(path)

    for path in ("/metrics", "/status.json", "/livez", "/readyz"):
        answer = asyncio.run(get(path))
        assert answer.status_code == 200, (path, answer.text)
        clean(answer.content, path)
        clean(str(answer.headers), path)
    road.close()
    capfd.readouterr()
    monkeypatch.setenv("RELAIS_CHT_PASSWORD", PASSWORD)
    monkeypatch.setenv("RELAIS_CHT_URL", f"http://{NAME}:{PASSWORD}@127.0.0.1:1")
    monkeypatch.setattr(sys, "argv", ["relais", "run", "--once"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2, "an address that holds a password is refused"
    said = capfd.readouterr()
    clean(said.out + said.err, "the message")


@contextlib.contextmanager
def serving(road: Road) -> Iterator[dict[str, str]]:
    """The simulators on real ports, in a thread."""
    servers = {}
    for name, sim in road.sims.items():
        config = uvicorn.Config(sim.app, host="127.0.0.1", port=0, log_config=None, lifespan="off", access_log=False)
        servers[name] = uvicorn.Server(config)
    threads = [threading.Thread(target=server.run) for server in servers.values()]
    for thread in threads:
        thread.start()
    try:
        while not all(server.started for server in servers.values()):
            threading.Event().wait(0.02)
        yield {n: f"http://127.0.0.1:{s.servers[0].sockets[0].getsockname()[1]}" for n, s in servers.items()}
    finally:
        for server in servers.values():
            server.should_exit = True
        for thread in threads:
            thread.join(timeout=20)


def test_a_run_of_the_command_says_no_canary(road: Road, tmp_path: Path) -> None:
    road.close()
    road.dhis2.refuse = [{"match": {"dataElement": "MH_B02_NUM"}, "code": "E7619"}]
    road.openmrs.plane.arm([{"every": 5, "status": 503}])
    with serving(road) as urls:
        env = {
            **os.environ,
            "RELAIS_CHT_URL": urls["cht"],
            "RELAIS_CHT_PASSWORD": PASSWORD,
            "RELAIS_DHIS2_URL": urls["dhis2"],
            "RELAIS_DHIS2_TOKEN": TOKEN,
            "RELAIS_OPENMRS_URL": f"{urls['openmrs']}/openmrs",
            "RELAIS_OPENMRS_PASSWORD": PASSWORD,
            "RELAIS_FHIR_URL": f"{urls['fhir']}/fhir",
            "RELAIS_LOG_LEVEL": "debug",
            "RELAIS_HOME": str(tmp_path / "fresh"),
        }
        done = subprocess.run(
            [sys.executable, "-m", "connector", "run", "--once", "--wait", "20s"],
            env=env,
            capture_output=True,
            timeout=120,
            check=False,
        )
    assert done.returncode in (3, 5), done.stderr
    assert NAME in str(road.fhir.state()), "the canary was on its way"
    clean(done.stdout, "stdout")
    clean(done.stderr, "stderr")
    database = sqlite3.connect(tmp_path / "fresh" / "relais.db")
    dump = "\n".join(database.iterdump())
    database.close()
    clean(dump, "the dump of the database")
