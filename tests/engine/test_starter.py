"""The starter pack from end to end: an empty DHIS2 is set up from it, records arrive, figures are there."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from connector import bootstrap
from connector.cli.new import STARTER
from connector.engine import runs, setting_up
from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.plane import Plane
from connector.settings import Settings
from tests.engine.house import MASTER_KEY, Clock, QuickStore

USER = {"username": "relais", "token": "d2p_starter", "id": "UsrRelais01", "orgUnits": ["ML-D1"]}


def bare() -> DHIS2Sim:
    units = [("ML-D1", None), ("ML-D1-S1", "ML-D1"), ("ML-D1-S2", "ML-D1")]
    admin = {"username": "admin", "password": "a", "id": "UsrAdmin001", "orgUnits": [], "authorities": ["ALL"]}
    return DHIS2Sim(
        {
            "today": "2026-10-06",
            "users": [{**USER, "authorities": ["F_DATAVALUE_ADD"]}, admin],
            "orgUnits": [
                {"code": code, "id": f"OrgUnit{n:04d}", "name": code, "parent": parent, "opening": "2015-01-01"}
                for n, (code, parent) in enumerate(units)
            ],
        },
        [],
        Plane(),
    )


def visit(n: int, site: str, worker: str, **child: Any) -> str:
    record = {"__id": f"uuid:{n}", "date_visite": f"2026-07-{n:02d}", "site": site, "asc": worker, "enfant": child}
    return json.dumps(record)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    sim = bare()
    for name, value in {
        "PACK": str(STARTER), "HOME": str(tmp_path / "home"), "FOLDER": str(tmp_path), "MASTER_KEY": MASTER_KEY,
        "DHIS2_URL": "http://127.0.0.1", "DHIS2_TOKEN": USER["token"], "ENV": "production",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"RELAIS_{name}", str(value))
    monkeypatch.setattr(bootstrap, "SqlStore", QuickStore)
    (tmp_path / "odk").mkdir()
    made = bootstrap.build(
        Settings.load(), transport=lambda name: httpx.ASGITransport(app=sim.app), clock=Clock(), rng=random.Random(1)
    )
    yield made, sim, tmp_path
    made.close()


def test_from_an_empty_dhis2_to_figures_that_are_complete(house: Any) -> None:
    made, sim, folder = house
    lines = [
        visit(1, "site-1", "asc-1", age_mois=8, fievre="oui", tdr="positif", refere="oui"),
        visit(2, "site-1", "asc-1", age_mois="20", fievre="oui"),
        visit(3, "site-1", "asc-1", fievre="non", refere="non"),
        visit(4, "site-2", "asc-2", age_mois=30),
    ]
    (folder / "odk/visite-1.ndjson").write_text("\n".join(lines) + "\n", "utf-8")

    async def work() -> Any:
        setup = bootstrap.setup_of(made, made.pack.targets["dhis2"], "admin", "a")
        before = await setting_up.look(setup)
        first = await setting_up.apply(made.engine, setup, "tester")
        second = await setting_up.apply(made.engine, setup, "tester")
        summary = await runs.once(made.engine)
        await made.close_clients()
        return before, first, second, summary

    before, first, second, summary = asyncio.run(work())
    assert before.document("dhis2")["created"] == []
    assert {one.code for one in before.survey.lacks} == {one.code for one in first.created}
    assert first.document("dhis2")["missing"] == 0 and len(first.created) == 10
    assert second.document("dhis2") == {"target": "dhis2", "missing": 0, "items": [], "created": [], "refused": []}
    assert summary["outcome"] == "settled" and not any(summary["attention"].values())
    figures = {(v["dataElement"], v["orgUnit"], v["categoryOptionCombo"]): v["value"] for v in sim.state()["values"]}
    one, two = "ML-D1-S1", "ML-D1-S2"
    assert figures == {
        ("ST_V01", one, "AGE_M0_11"): "1", ("ST_V01", one, "AGE_M12_59"): "1", ("ST_V01", one, "AGE_UNK"): "1",
        ("ST_V01", two, "AGE_M12_59"): "1",
        ("ST_V02_DEN", one, "AGE_M0_11"): "1", ("ST_V02_NUM", one, "AGE_M0_11"): "1",
        ("ST_V02_DEN", one, "AGE_M12_59"): "1", ("ST_V03", one, "default"): "1",
    }  # fmt: skip
    assert {c["orgUnit"] for c in sim.state()["completions"] if c["completed"]} == {one, two}
    events = made.store.read(
        lambda unit: [row[0] for row in unit.connection.execute(text("SELECT event FROM audit ORDER BY id"))]
    )
    assert [one for one in events if one.startswith("setup.")] == ["setup.begun", "setup.applied"]
