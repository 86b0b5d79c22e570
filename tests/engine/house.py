"""A small road in one process: the shipped pack, a handful of hand-made documents, the four simulators over ASGI.

The clock jumps when somebody sleeps, so that waiting costs nothing; it starts after the quarter is over. Reading and
linting the pack takes a second, so every test shares one reading of it and changes a copy of the dataclasses.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import event

from connector import bootstrap
from connector.engine import delivery as delivering
from connector.engine import reconcile as reconciling
from connector.engine import runs
from connector.engine.actions import Actions
from connector.engine.engine import Engine
from connector.loading import load
from connector.mappings.fhir import FhirBuilder
from connector.mappings.forms import Mapper
from connector.mappings.indicators import Counter
from connector.mappings.pack import Pack, TargetConfig
from connector.model import Finding
from connector.sandbox import metadata, openmrs_metadata, serve
from connector.sandbox.cht import CHTSim
from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.district_people import Calendar, People
from connector.sandbox.fhir import FHIRSim
from connector.sandbox.openmrs import OpenMRSSim
from connector.sandbox.plane import Plane
from connector.settings import Settings
from connector.store.database import SqlStore
from tests.engine.bench_house import HandClock, watch_states
from tests.store.databases import database

Doc = dict[str, Any]
Change = Callable[[Pack], Pack]
MASTER_KEY = "c" * 42 + "A"
START = datetime(2026, 10, 6, 8, 0, tzinfo=UTC)
URLS = {name: f"http://127.0.0.1:{port}" for name, port in zip(serve.NAMES, range(9101, 9105), strict=True)}
#: Source or target of the pack -> the simulator behind it.
BEHIND = {
    "cht": "cht", "cht_answers": "cht", "dhis2": "dhis2", "openmrs": "openmrs", "fhir": "fhir", "tracker": "dhis2",
}  # fmt: skip

SITE, UNIT = "site-1", "ML-KKO-D1-A1-S1"
WORKERS = ("asc-001", "asc-013")  #: deployed at SITE
ANNA, MODIBO = "person-anna", "person-modibo"


class Clock(HandClock):
    """The connector's, wrong where it jumped; ``seconds`` is the time that really passes, for the simulators."""

    def __init__(self) -> None:
        super().__init__(START)

    def seconds(self) -> float:
        return self.steady()[1]


class QuickStore(SqlStore):
    """The real store, without waiting for the disk or long for a lock: no test here pulls the plug."""

    def __init__(self, url: str, cipher: Any = None) -> None:
        super().__init__(url, cipher, busy_seconds=0.1)
        for engine in (self._writer, self._reader) if self.sqlite else ():
            event.listen(engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA synchronous=OFF").close())


class Wire(httpx.AsyncBaseTransport):
    """Between the connector and one simulator. ``instead(request)`` may answer in its place, or give None."""

    def __init__(self, app: Any) -> None:
        self._app = httpx.ASGITransport(app=app)
        self.instead: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
        self.seen: list[tuple[str, str]] = []  #: method and whole URL of every request

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append((request.method, str(request.url)))
        return self.instead(request) or await self._app.handle_async_request(request)


# ---------------------------------------------------------------- documents


def at_site(site: str) -> Doc:
    area = f"area-{(int(site.removeprefix('site-')) - 1) // 4 + 1}"
    return {"_id": site, "parent": {"_id": area, "parent": {"_id": "district-1"}}}


def person(
    key: str, name: str = "Personne Fictive", born: str | None = "2024-03-11", sex: str | None = "female"
) -> Doc:
    doc: Doc = {"_id": key, "type": "contact", "contact_type": "person", "name": name, "parent": {"_id": f"home-{key}"}}
    return {**doc, **({"date_of_birth": born} if born else {}), **({"sex": sex} if sex else {})}


def place(key: str, kind: str, parent: str | None) -> Doc:
    doc: Doc = {"_id": key, "type": "contact", "contact_type": kind, "name": key}
    return {**doc, "parent": {"_id": parent}} if parent else doc


def report(
    key: str, form: str, day: str, fields: Mapping[str, Any], *, worker: str = WORKERS[0], site: str = SITE
) -> Doc:
    return {
        "_id": key, "type": "data_record", "form": form, "content_type": "xml",
        "reported_date": int(datetime.fromisoformat("2026-10-01T10:00:00+00:00").timestamp() * 1000),
        "contact": {"_id": worker, "parent": at_site(site)}, "fields": {"visit_date": day, **fields},
    }  # fmt: skip


def visit(key: str, day: str = "2026-08-10", *, subject: str = ANNA, worker: str = WORKERS[0], site: str = SITE,
          rdt: str = "positive", refer: bool = False, **fields: Any) -> Doc:  # fmt: skip
    """A sick child with fever: counts in A04, B01, B02 and, when the test is positive, B03."""
    body: Doc = {
        "patient_id": subject,
        "group_fever": {"patient_fever": "yes", "mrdt_result": rdt, "malaria_treatment_given": "no"},
        **fields,
    }
    if refer:
        body["referral"] = {
            "is_referred": "yes", "referred_to": "area-1", "urgency": "urgent", "reason": "danger_sign", "note": "",
        }  # fmt: skip
    return report(key, "assessment", day, body, worker=worker, site=site)


def a_few() -> list[Doc]:
    """Two children and what two workers of one site saw of them in July, August and September."""
    docs = [place("area-1", "area", "district-1"), place(SITE, "site", "area-1")]
    docs += [person(ANNA), person(MODIBO, born="2021-02-01", sex="male")]
    for n, month in enumerate(("07", "08", "09")):
        docs.append(visit(f"visit-{month}-1", f"2026-{month}-10", refer=n == 1))
        docs.append(visit(f"visit-{month}-2", f"2026-{month}-12", subject=MODIBO, worker=WORKERS[1], rdt="negative"))
    return docs


def meeting(n: int, day: str = "2026-08-05", *, group: str = "GE-A1-01", saved: Any = 2500, **more: Any) -> Doc:
    """A meeting of a savings group as ODK Central lists it: counts in G05."""
    return {
        "__id": f"uuid:meeting-{n}", "__system": {"submissionDate": f"{day}T12:00:00Z", "edits": 0},
        "groupe": {"code": group, "type": "normal", "date_reunion": day},
        "presence": {"membres_inscrits": 20, "presentes": 18},
        "epargne": {"montant_xof": saved, "fonds_sante_solde_xof": 1000}, "prets": [], "solidarite": [],
        "animatrice": "anim-1", **more,
    }  # fmt: skip


# ---------------------------------------------------------------- the road


def environment(folder: Path) -> dict[str, str]:
    """Everything the pack and Relais read from the environment."""
    found = serve.environment(_District(), {**URLS, "folder": str(folder / "files")})  # type: ignore[arg-type]
    return {**found, "RELAIS_HOME": str(folder / "relais"), "RELAIS_MASTER_KEY": MASTER_KEY, "RELAIS_ENV": "production"}


class _District:
    zone = "Africa/Bamako"
    covered = "all"


@lru_cache(maxsize=1)
def shipped() -> tuple[Pack, tuple[Finding, ...]]:
    pack, findings = load(Settings.load())
    return pack, tuple(findings)


@lru_cache(maxsize=1)
def people() -> People:
    return People(7, Calendar.of("2026-07", 3, "Africa/Bamako"), 12, 24)


class Road:
    """Simulators with the documents given and a connector wired to them; ``house`` is None after ``close``."""

    def __init__(self, folder: Path, docs: list[Doc], change: Change, patients: list[Doc], clinic: str = "o3") -> None:
        self.folder = folder
        self.files = folder / "files"
        self.clock = Clock()
        seconds = self.clock.seconds
        self.cht = CHTSim(Plane(7, clock=seconds), docs, user=serve.CHT_USER, password=serve.CHT_PASSWORD)
        self.dhis2 = DHIS2Sim(metadata.dhis2_metadata(people(), START.date()), [], Plane(7, clock=seconds))
        clinics = [{"code": area, "name": f"CSCom de {name}"} for area, _, name in people().areas]
        self.openmrs = OpenMRSSim(
            {**openmrs_metadata.default_metadata(clinics), "now": START.isoformat()}, patients, Plane(7, clock=seconds),
            profile=clinic,
        )  # fmt: skip
        self.fhir = FHIRSim(Plane(7, clock=seconds))
        self.sims: dict[str, Any] = {"cht": self.cht, "dhis2": self.dhis2, "openmrs": self.openmrs, "fhir": self.fhir}
        self.wires = {name: Wire(self.sims[sim].app) for name, sim in BEHIND.items()}
        for name in ("odk", "kobo", "outreach"):
            (self.files / name).mkdir(parents=True)
        self.change = change
        self.house: bootstrap.House | None = None
        self.open()

    # ------------------------------------------------------------ start and stop

    def open(self) -> None:
        """Wire the connector to the database there is, as a new process would."""
        pack, findings = shipped()
        sources = {
            name: replace(s, settings={**s.settings, "folder": str(self.files / name)}) if s.kind == "files" else s
            for name, s in pack.sources.items()
        }
        changed = self.change(replace(pack, sources=sources))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bootstrap, "load", lambda settings: (changed, list(findings)))
            patch.setattr(bootstrap, "SqlStore", QuickStore)
            if changed.forms is pack.forms and changed.indicators is pack.indicators:
                # Pure functions of the forms and indicators: made once for all tests.
                patch.setattr(bootstrap, "Mapper", lambda p: _mapper())
                patch.setattr(bootstrap, "Counter", lambda p: _counter())
                patch.setattr(bootstrap, "FhirBuilder", lambda p, names: _builder(names))
            self.house = bootstrap.build(
                Settings.load(), transport=lambda name: self.wires[name], clock=self.clock, rng=random.Random(7)
            )
        watch_states(self.house.store)

    def close(self) -> None:
        if self.house is not None:
            self.go(self.house.close_clients)
            self.house.close()
            self.house = None

    def again(self, change: Change | None = None) -> None:
        """A new process on the same database, perhaps with another pack."""
        self.close()
        self.change = change or self.change
        self.open()

    # ------------------------------------------------------------ what it does

    @property
    def engine(self) -> Engine:
        assert self.house is not None
        return self.house.engine

    @property
    def actions(self) -> Actions:
        return Actions(self.engine)

    def go(self, work: Callable[[], Awaitable[Any]]) -> Any:
        async def inside() -> Any:
            return await work()

        return asyncio.run(inside())

    def run(self, wait: timedelta | None = None, **only: Any) -> dict[str, Any]:
        """One run; a run of its own name, as each process has one."""
        self.engine.run = f"run-{len(self.rows('SELECT id FROM run'))}"
        summary: dict[str, Any] = self.go(lambda: runs.once(self.engine, wait=wait, **only))
        return summary

    def settle(self, hours: float = 12) -> dict[str, Any]:
        return self.run(wait=timedelta(hours=hours))

    def reconcile(self, target: str = "dhis2", **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.go(lambda: reconciling.reconcile(self.engine, target, **more))
        return found

    def deliver(self, target: str = "dhis2") -> dict[str, int]:
        counts: dict[str, int] = self.go(lambda: delivering.deliver(self.engine, target))
        return counts

    def later(self, **span: float) -> None:
        self.clock.at += timedelta(**span)

    def write_meetings(self, name: str, meetings: list[Doc]) -> None:
        text = b"".join(orjson.dumps(one) + b"\n" for one in meetings)
        (self.files / "odk" / f"reunion_groupe_epargne-{name}.ndjson").write_bytes(text)

    # ------------------------------------------------------------ what there is

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.engine.store.read(lambda unit: unit._rows(sql, **parameters))
        return found

    def one(self, sql: str, **parameters: Any) -> dict[str, Any]:
        (found,) = self.rows(sql, **parameters)
        return found

    def value(self, element: str, combo: str, period: str = "202608", unit: str = UNIT) -> str | None:
        """What DHIS2 holds."""
        held = self.dhis2.values.get((element, unit, period, combo, "default"))
        return None if held is None or held["deleted"] else str(held["value"])

    def values(self) -> dict[tuple[str, str, str, str], str]:
        return {
            (v["dataElement"], v["orgUnit"], v["period"], v["categoryOptionCombo"]): v["value"]
            for v in self.dhis2.state()["values"]
        }

    def type_in(self, element: str, combo: str, value: str, period: str = "202608", unit: str = UNIT) -> None:
        """Somebody types a value into DHIS2."""
        self.dhis2._type_in([{
            "dataElement": element, "orgUnit": unit, "period": period, "categoryOptionCombo": combo, "value": value,
        }])  # fmt: skip

    def cell(self, element: str, combo: str, period: str = "202608", unit: str = UNIT) -> dict[str, Any]:
        found: dict[str, Any] | None = self.engine.store.read(lambda u: u.cell_at(element, unit, period, combo))
        assert found is not None, (element, combo, period, unit)
        return found

    def delivery(self, key: str, target: str = "dhis2") -> dict[str, Any]:
        found: dict[str, Any] | None = self.engine.store.read(lambda unit: unit.delivery(target, key))
        assert found is not None, key
        return found

    def quarantined(self) -> dict[str, str]:
        """Key -> reason code."""
        return {r["key"]: r["code"] for r in self.rows("SELECT key, code FROM quarantine")}

    def writes(self, name: str = "dhis2") -> int:
        return len(self.sims[name].plane.log)


@lru_cache(maxsize=1)
def _mapper() -> Mapper:
    return Mapper(shipped()[0])


@lru_cache(maxsize=1)
def _counter() -> Counter:
    return Counter(shipped()[0])


@lru_cache(maxsize=1)
def _builder(names: Any) -> FhirBuilder:
    return FhirBuilder(shipped()[0], names)


def target(name: str, **changes: Any) -> Change:
    """A change of the pack: other values for a target."""

    def change(pack: Pack) -> Pack:
        changed: TargetConfig = replace(pack.targets[name], **changes)
        return replace(
            pack, version=f"{pack.version}+{sorted(changes.items())}", targets={**pack.targets, name: changed}
        )

    return change


def only_here(pack: Pack) -> Pack:
    """The pack without the ASC deployed at other sites than ``UNIT``: they are counted there, reports or not."""
    kept = tuple(row for row in pack.deployments if row.kind != "worker" or row.org_unit == UNIT)
    return replace(pack, deployments=kept)


def _as_shipped(pack: Pack) -> Pack:
    return pack


Make = Callable[..., Road]


#: ``RELAIS_TEST_DATABASE=postgres`` runs every test of the engine on PostgreSQL.
DATABASE = os.environ.get("RELAIS_TEST_DATABASE", "sqlite")
on_sqlite = pytest.mark.skipif(DATABASE != "sqlite", reason="looks into the SQLite file")


@pytest.fixture
def database_kind() -> str:
    return DATABASE


@pytest.fixture
def make_road(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_kind: str) -> Iterator[Make]:
    """``make_road(docs, change, patients, clinic)``: a road with these documents (``a_few`` unless given), a change of
    the pack, patients the clinic knows already, the profile of its OpenMRS."""
    for name in [name for name in os.environ if name.startswith("RELAIS_")]:
        monkeypatch.delenv(name)
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    made: list[Road] = []
    (tmp_path / "relais").mkdir()

    def make(
        docs: list[Doc] | None = None, change: Change = _as_shipped, patients: list[Doc] | None = None,
        clinic: str = "o3",
    ) -> Road:  # fmt: skip
        made.append(Road(tmp_path, a_few() if docs is None else docs, change, patients or [], clinic))
        return made[-1]

    with database(database_kind, tmp_path / "relais") as url:
        monkeypatch.setenv("RELAIS_DATABASE_URL", url)
        yield make
        for road in made:
            road.close()


@pytest.fixture
def road(make_road: Make) -> Road:
    return make_road()


def said(road: Road, code: str) -> Any:
    """The reason in words: it exists in both languages and says who must act."""
    reason = bootstrap.REASONS[code]
    assert len(reason.fr) > 10 and len(reason.en) > 10 and reason.fr != reason.en and str(reason.who), code
    return reason
