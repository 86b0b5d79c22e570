"""How fast records are mapped and counted, at the size of a country's month. Part of ``make bench``.

    .venv/bin/python scripts/bench_counting.py
    BENCH_MONTH=10000 BENCH_CONTRIBUTIONS=20000 BENCH_MAPPED=1000 .venv/bin/python scripts/bench_counting.py     (small)
    BENCH_PROFILE_COUNTING=month.out ...     (cProfile of the month's mapping and counting; the figures are then slower)

The shipped pack with all its indicators, the shipped mapping job and recount, a database file with
``synchronous=FULL``. The month is that of many districts: 24 workers at 12 sites make 2,400 visits in each. All of it
is streamed in, a district at a time. DHIS2 is the one target: what FHIR resources cost is in the other table.

Beside each figure stands a bare loop over the same bytes, measured in the same run: JSON parsed and written for
mapping, and for counting the JSON of the records and one ``GROUP BY`` over all contributions, whose figures must be
those of the cells.
"""

from __future__ import annotations

import base64
import cProfile
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import orjson
from sqlalchemy import text

from connector import bootstrap
from connector.engine import intake, lineage, tally
from connector.engine.engine import Engine
from connector.engine.mapping import Mapping
from connector.engine.places import OrgUnits
from connector.identity import Names
from connector.mappings import config, people, r4
from connector.mappings.fhir import FhirBuilder
from connector.mappings.forms import Mapper
from connector.mappings.indicators import Counter
from connector.mappings.pack import DeploymentRow, OrgUnitRow, Pack
from connector.model import Cursor, Page, Record
from connector.sandbox.district import bench_docs
from connector.store import parquet
from tests.engine.bench_house import engine

ROOT = Path(__file__).resolve().parent.parent
PACK = ROOT / "config/mali-health"
#: Visits mapped for the figure on one core.
MAPPED = int(os.environ.get("BENCH_MAPPED") or 5_000)
#: Visits of the month counted from scratch.
MONTH = int(os.environ.get("BENCH_MONTH") or 240_000)
#: Contributions at least, when one record is edited and a figure explained: earlier months are added to the month.
CONTRIBUTIONS = int(os.environ.get("BENCH_CONTRIBUTIONS") or 1_000_000)
#: Visits of one district in its month.
DISTRICT = 2_400
#: Records edited, one after the other.
EDITS = 15
START, PERIOD = "2026-07", "202607"
#: What the connections of the pack ask for; nothing here connects.
ENVIRONMENT = {
    **{f"RELAIS_{name}_URL": "http://127.0.0.1:9" for name in ("CHT", "DHIS2", "OPENMRS", "FHIR")},
    **{f"RELAIS_{name}_USER": "bench" for name in ("CHT", "OPENMRS")},
    **{f"RELAIS_{name}_PASSWORD": "bench" for name in ("CHT", "OPENMRS")},
    "RELAIS_DHIS2_TOKEN": "bench", "RELAIS_FOLDER": "/nowhere",
}  # fmt: skip


@dataclass
class Spent:
    """Seconds on the clock, and of the processor: those hardly depend on what else the machine does."""

    seconds: float = 0.0
    cpu: float = 0.0

    def __enter__(self) -> Spent:
        self._started, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started
        self.cpu += time.process_time() - self._cpu


@dataclass(frozen=True)
class Line:
    what: str
    count: float
    unit: str
    spent: Spent
    bare: Spent | None = None
    aim: str = ""


# ---------------------------------------------------------------- the load


def shipped() -> Pack:
    pack, _ = config.load_pack(PACK, ENVIRONMENT)
    return pack


def record_of(doc: dict[str, Any]) -> Record:
    """A document as CHT's feed gives it."""
    if doc["type"] == "data_record":
        return Record("cht", "reports", doc["_id"], "1", doc["form"], doc)
    return Record("cht", "contacts", doc["_id"], "1", doc["contact_type"], doc)


def with_households(docs: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The documents, and before its first person the household she lives in."""
    last = ""
    for doc in docs:
        home = doc["parent"] if doc.get("contact_type") == "person" else None
        if home is not None and home["_id"] != last:
            last = home["_id"]
            yield {
                "_id": last, "type": "contact", "contact_type": "household", "name": "Famille Diarra",
                "reported_date": doc["reported_date"], "parent": home["parent"],
            }  # fmt: skip
        yield doc


_PLACED = re.compile(rb'"(site|area|asc|sup)-')
_UNIT = re.compile(r"^ML-KKO-D1\b")


def district(number: int, visits: int) -> Iterator[Record]:
    """One district's month, at sites and by workers of its own."""
    for doc in with_households(bench_docs(visits, 1_000 + number, START, months=1)):
        yield record_of(orjson.loads(_PLACED.sub(rb'"d%d-\1-' % number, orjson.dumps(doc))))


def country(visits: int) -> Iterator[Record]:
    """The month of as many districts as that takes."""
    for number, first in enumerate(range(0, visits, DISTRICT)):
        yield from district(number, min(DISTRICT, visits - first))


def of_country(pack: Pack, visits: int) -> Pack:
    """The pack with the districts of ``country`` in the place of its own, and DHIS2 alone as its target."""
    sites = [row for row in pack.org_units if row.source == "cht" and row.level in ("cscom", "site")]
    above = [row for row in pack.org_units if row.level not in ("cscom", "site")]
    units: list[OrgUnitRow] = list(above)
    deployed: list[DeploymentRow] = []
    for number in range(-(-visits // DISTRICT)):
        code = partial(_UNIT.sub, f"ML-KKO-D1{number:04}")
        units += [
            replace(row, place=f"d{number}-{row.place}", org_unit=code(row.org_unit), parent=code(row.parent))
            for row in sites
        ]
        deployed += [
            replace(row, reporter=f"d{number}-{row.reporter}", org_unit=code(row.org_unit))
            for row in pack.deployments
            if row.kind == "worker"
        ]
    only = {"dhis2": pack.targets["dhis2"]}
    return replace(pack, org_units=tuple(units), deployments=tuple(deployed), targets=only)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---------------------------------------------------------------- mapping, pure


def mapped(pack: Pack) -> list[Line]:
    """Form to activity, facts of the registry, all indicators, FHIR resources and the strict check of each, on one
    core and in memory. Slices of it take turns with the bare loop, so that both meet the same machine."""
    mapper, counter, builder = Mapper(pack), Counter(pack), FhirBuilder(pack, Names(pack.id))
    org_units = OrgUnits(pack)
    records = [record_of(doc) for doc in bench_docs(MAPPED)]
    visits = [one for one in records if one.stream == "reports"]
    persons = {one.key: mapper.apply(one).entity for one in records if one.form == "person"}
    contributions = 0

    def one(record: Record) -> list[Any]:
        nonlocal contributions
        activity = mapper.apply(record).activity
        assert activity is not None and activity.place is not None
        facts = people.complete(activity, persons[activity.subject or ""])
        row = org_units.row(activity.source, activity.place, activity.date, lambda place: None)
        at = partial(org_units.at_level, row, day=activity.date)
        contributions += len(counter.contributions(activity, facts, at))
        made = builder.activity_resources(activity, facts, person_known=True)
        assert all([r4.is_valid(built) for built in made]), "a resource is not valid R4"
        return made

    for record in visits[:200]:
        one(record)
    contributions = resources = 0
    ours, bare = Spent(), Spent()
    for first in range(0, len(visits), 250):
        some = visits[first : first + 250]
        with ours:
            made = [one(record) for record in some]
        bodies = [orjson.dumps(record.body) for record in some]
        with bare:
            for body in bodies:
                orjson.loads(body)
            for several in made:
                for built in several:
                    orjson.dumps(built)
        resources += sum(map(len, made))
    each = f"{contributions / len(visits):.1f} contributions, {resources / len(visits):.1f} valid resources each"
    return [Line(f"mapping, one core ({each})", len(visits), "visits", ours, bare, "6,000/s")]


# ---------------------------------------------------------------- the month


def received(house: Engine, visits: int) -> int:
    """The month into the inbox, page by page, and the registry mapped, as it is long before most visits."""
    stream, count = country(visits), 0
    while page := list(islice(stream, 2_000)):
        intake.take_page(house, "cht", Page(tuple(page), Cursor(str(count))))
        count += len(page)
    job = Mapping(house)
    after = 0
    while True:
        counts, after = job.chunk(job.registering, after)
        if counts is None:
            return count


def month(house: Engine) -> list[Line]:
    """Every visit of the month mapped and counted, and every cell worked out."""
    mapping, cells, bare = Spent(), Spent(), Spent()
    profile = cProfile.Profile(time.process_time)
    file = os.environ.get("BENCH_PROFILE_COUNTING")
    early = 0.0
    done = 0
    if file:
        profile.enable()
    with mapping:
        for counts in Mapping(house).chunks():
            done += counts["mapped"]
            assert not counts["quarantined"], "a visit of the bench was not understood"
            if not early and done * 10 >= MONTH:
                early = peak_mb()
    with cells:
        recounted = tally.tally(house)["recounted"]
    if file:
        profile.disable()
        profile.dump_stats(file)
    late = peak_mb()
    whole = Spent(mapping.seconds + cells.seconds, mapping.cpu + cells.cpu)
    house.store.read(lambda unit: bare_month(unit, bare))
    contributions = count_of(house, "contribution")
    title = f"the month from scratch ({len(house.pack.indicators)} indicators, {contributions:,} contributions)"
    return [
        Line(title, MONTH, "records", whole, bare, "40 s for 240,000"),
        Line("  of it mapped and kept", done, "records", mapping),
        Line("  of it cells worked out", recounted, "cells", cells),
        Line(f"  peak memory: {early:,.0f} MB after a tenth, {late:,.0f} MB at the end", late / early, "times", Spent(),
             aim="flat"),
    ]  # fmt: skip


_ALL = text(
    "SELECT indicator, part, org_unit, period, categories, COUNT(*) AS records, SUM(amount) AS total FROM contribution "
    "WHERE categories <> '=' GROUP BY indicator, part, org_unit, period, categories"
)


def bare_month(unit: Any, bare: Spent) -> None:
    """The records parsed from their JSON, and all cells by one statement; they must have as many records as ours."""
    bodies = unit.connection.exec_driver_sql("SELECT body_enc FROM body WHERE stream='reports'")
    while some := bodies.fetchmany(2_000):
        opened = [unit.cipher.decrypt("body", bytes(row[0])) for row in some]
        with bare:
            for one in opened:
                orjson.loads(one)
    with bare:
        found = {tuple(row[:5]): row[5] for row in unit.connection.execute(_ALL)}
    kept = unit.connection.exec_driver_sql("SELECT indicator, part, org_unit, period, categories, records FROM cell")
    cells = {tuple(row[:5]): row[5] for row in kept if row[5]}
    assert found == cells, "the cells are not what one statement over all contributions counts"


def count_of(house: Engine, table: str) -> int:
    return int(house.store.read(lambda unit: unit.connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table}").scalar()))


# ---------------------------------------------------------------- one record, one figure


_EARLIER = text(
    "INSERT INTO contribution (record, indicator, part, org_unit, period, categories, amount, distinct_key, date, "
    "version, moment, at_least) SELECT record || :mark, indicator, part, org_unit, :period, categories, amount, "
    "distinct_key, date, version, moment, at_least FROM contribution WHERE rowid <= :last LIMIT :limit"
)


def with_history(house: Engine) -> int:
    """Contributions of earlier months, until there are as many as asked for; returns how many there are."""
    count = last = count_of(house, "contribution")
    for n in range(1, 600):
        if count >= CONTRIBUTIONS:
            return count
        period = f"{2025 - n // 12}{n % 12 + 1:02}"
        row = {"mark": f"~{n}", "period": period, "last": last, "limit": CONTRIBUTIONS - count}
        count += house.store.write(lambda unit, row=row: unit.connection.execute(_EARLIER, row).rowcount)
    return count


def edited(house: Engine) -> list[Line]:
    """One visit is corrected by its worker: until its cells are counted again and wanted at DHIS2."""
    ours, cells, bare = [], [], []
    visits = [one for one in district(0, DISTRICT if MONTH >= DISTRICT else MONTH) if one.stream == "reports"]
    for visit in visits[:: max(1, len(visits) // EDITS)][:EDITS]:
        fields = {k: v for k, v in visit.body["fields"].items() if k == "patient_id"}
        fields["group_fever"] = {"patient_fever": "yes", "mrdt_result": "positive", "malaria_treatment_given": "no"}
        body = {**visit.body, "fields": fields}
        intake.take_page(house, "cht", Page((replace(visit, revision="2", body=body),), Cursor(visit.key)))
        before = house.store.read(lambda unit, id=visit.id: unit.contributions([id]))
        one, counted = Spent(), Spent()
        with one:
            Mapping(house).run()
            with counted:
                tally.tally(house)
        after = house.store.read(lambda unit, id=visit.id: unit.contributions([id]))
        assert before != after, "the correction changed nothing"
        plain = Spent()
        house.store.read(lambda unit, plain=plain, rows=[*before, *after]: bare_cells(unit, plain, rows))
        ours.append(one)
        cells.append(counted)
        bare.append(plain)
    return [
        Line("one record edited, mapped and counted again", 1, "record", middle(ours), middle(bare), "50 ms"),
        Line("  of it cells worked out", 1, "record", middle(cells), middle(bare)),
    ]


_CELL = text(
    "SELECT COUNT(*), SUM(amount) FROM contribution WHERE indicator=:indicator AND part=:part AND org_unit=:org_unit "
    "AND period=:period AND categories=:categories"
)


def bare_cells(unit: Any, bare: Spent, rows: list[dict[str, Any]]) -> None:
    """Just the figures of the cells the record stood in and stands in."""
    names = ("indicator", "part", "org_unit", "period", "categories")
    cells = {tuple(row[name] for name in names) for row in rows}
    with bare:
        for cell in cells:
            unit.connection.execute(_CELL, dict(zip(names, cell, strict=True))).one()


def middle(several: list[Spent]) -> Spent:
    return Spent(statistics.median(s.seconds for s in several), statistics.median(s.cpu for s in several))


def explained(house: Engine, folder: Path) -> list[Line]:
    """The figure with the most records: the document, and the whole command from its start."""
    sql = (
        "SELECT data_element, org_unit, period, combo, records FROM cell "
        f"WHERE period='{PERIOD}' ORDER BY records DESC LIMIT 1"
    )
    *cell, records = house.store.read(lambda unit: tuple(unit.connection.exec_driver_sql(sql).one()))
    documents, bare, commands = [], [], []
    for _ in range(9):
        document, plain = Spent(), Spent()
        with document:
            found = lineage.explain(house, *cell)
        assert found is not None and found["records"]
        with plain:
            orjson.loads(orjson.dumps(found))
        documents.append(document)
        bare.append(plain)
    key = base64.urlsafe_b64encode(b"k" * 32).decode()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RELAIS_")}, **ENVIRONMENT,
        "RELAIS_HOME": str(folder), "RELAIS_PACK": str(PACK), "RELAIS_MASTER_KEY": key, "RELAIS_ENV": "demo",
        "PYTHONPYCACHEPREFIX": str(folder / "compiled"), "PYTHONDONTWRITEBYTECODE": "",
    }  # fmt: skip
    command = [sys.executable, "-c", "import sys; from connector.cli import main; sys.exit(main())"]
    for _ in range(3):  # the first one compiles what is imported, as an installation does
        one = Spent()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with one:
            subprocess.run([*command, "explain", "dhis2", *cell, "--json"], env=environment, cwd=ROOT, check=True,
                           stdout=subprocess.DEVNULL)  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        one.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        commands.append(one)
    return [
        Line(f"a figure of {records:,} records explained", 1, "figure", middle(documents), middle(bare), "300 ms"),
        Line("  `relais explain` from start to end", 1, "command", middle(commands[1:])),
    ]


def over_parquet(house: Engine, folder: Path) -> list[Line]:
    """Every cell of every month counted over Parquet files with Polars, beside one statement of the database that only
    counts and adds up. Nothing where the extra is not installed."""
    if find_spec("polars") is None:
        print("  Polars is not installed (relais[analytics]): no recount over Parquet.", file=sys.stderr)
        return []
    out, recount, bare = Spent(), Spent(), Spent()
    with out:
        count = house.store.read(lambda unit: parquet.export(unit, folder / "parquet"))
    with recount:
        cells = sum(1 for _ in parquet.recount(folder / "parquet", tally.keyed(house.pack)))

    def plain(unit: Any) -> int:
        with bare:
            return len(unit.connection.execute(_ALL).all())

    assert house.store.read(plain) == cells, "not all cells were counted"
    return [
        Line("all cells of all months counted over Parquet, two cores", cells, "cells", recount, bare),
        Line("  the export before it", count, "contributions", out),
    ]


# ---------------------------------------------------------------- the table


def measure() -> list[Line]:
    pack = shipped()
    bootstrap.settle_in()
    lines = mapped(pack)
    with tempfile.TemporaryDirectory(prefix="relais-bench-") as made:
        folder = Path(made)
        house = engine(folder, of_country(pack, MONTH), watch=False)
        print(f"a month of {MONTH:,} records is kept ...", file=sys.stderr, flush=True)
        received(house, MONTH)
        print("  mapped and counted ...", file=sys.stderr, flush=True)
        lines += month(house)
        contributions = with_history(house)
        print(f"  {contributions:,} contributions; edited and explained ...", file=sys.stderr, flush=True)
        lines += edited(house)
        lines += explained(house, folder)
        lines += over_parquet(house, folder)
        house.store.close()
    return lines


def show(lines: list[Line]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Mapping and counting by themselves, {CONTRIBUTIONS:,} contributions and more")
    table.add_column("what")
    for name in ("count", "of", "seconds", "per second", "own CPU s", "bare loop s", "times bare", "aim"):
        table.add_column(name, justify="left" if name == "of" else "right")
    for line in lines:
        took, count = line.spent.seconds, f"{line.count:,.2f}" if line.unit == "times" else f"{line.count:,.0f}"
        shown = [f"{took:.3f}", f"{line.count / took:,.0f}", f"{line.spent.cpu:.3f}"] if took else ["", "", ""]
        against = [f"{line.bare.seconds:.3f}", f"{line.spent.cpu / line.bare.cpu:.1f}"] if line.bare else ["", ""]
        table.add_row(line.what, count, line.unit, *shown, *against, line.aim)
    console = Console(width=150)
    console.print(table)
    console.print("“times bare” compares processor time; one edited record and one figure are the median of several.")


if __name__ == "__main__":
    show(measure())
