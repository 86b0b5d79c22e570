"""How fast, and in how much memory: the real connector against the simulators, as one table.

    scripts/bench.sh [--visits 10000 50000]

For each size the simulators run in a process of their own and the connector in another, so that the memory shown is
the connector's alone; the database is a file with ``synchronous=FULL``. The district is the demo's, its home visits
repeated under new keys and days until there are so many (without their referrals, so that the load is what a busy
district's is: many visits, few referrals). A bare loop then reads the same pages and sends the same resources in
bundles of the same size, with nothing in between: what any program would need for the same bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

#: Records mapped for the figure on one core.
SAMPLE = 5000

#: The forms that are a home visit.
VISITS = {"assessment", "assessment_follow_up", "pregnancy_home_visit", "postnatal_visit", "home_visit"}

#: What is referred to goes first, as the server demands.
ORDER = {name: number for number, name in enumerate(("Patient", "Group", "Encounter", "Observation", "ServiceRequest"))}


# ---------------------------------------------------------------- the simulators


def simulators(visits: int, env_file: Path) -> None:
    """Serve the demo's district, grown to so many home visits."""
    from connector.sandbox import district, serve

    class Busy(district.District):
        def cht_docs(self) -> list[dict[str, Any]]:
            docs = super().cht_docs()
            models = list({d["_id"]: d for d in docs if d.get("form") in VISITS and not d.get("_deleted")}.values())
            missing = islice(cycle(models), max(0, visits - len(models)))
            return docs + [again(model, number) for number, model in enumerate(missing)]

    def again(doc: Mapping[str, Any], number: int) -> dict[str, Any]:
        fields = {name: value for name, value in doc.get("fields", {}).items() if name != "referral"}
        key = str(uuid.uuid5(uuid.NAMESPACE_URL, f"visit/{number}"))
        return {**doc, "_id": key, "fields": fields}

    serve.District = Busy  # type: ignore[misc]
    serve.serve(seed=7, ports_from=0, env_file=env_file)


@contextmanager
def served(visits: int, folder: Path) -> Iterator[dict[str, str]]:
    """The variables that a connector to these simulators needs."""
    env_file = folder / "sandbox.env"
    process = subprocess.Popen(
        [sys.executable, __file__, "--simulators", str(visits), "--env-file", str(env_file)], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline().strip():
            raise SystemExit("The simulators did not start.")
        lines = env_file.read_text(encoding="utf-8").splitlines()
        yield dict(line.split("=", 1) for line in lines if "=" in line)
    finally:
        process.terminate()
        process.wait(timeout=30)


# ---------------------------------------------------------------- the connector


def measure() -> dict[str, Any]:
    """One run to the end, stage by stage. Runs in a process of its own."""
    from connector import bootstrap
    from connector.engine import runs, tally
    from connector.settings import Settings

    house = bootstrap.build(Settings.load())
    engine = house.engine
    spent = dict.fromkeys(("intake", "mapping", "counting", "delivery", "answers"), 0.0)

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        spent[stage] += time.perf_counter() - started

    async def play() -> dict[str, Any]:
        run = runs.Run(engine, list(engine.sources), list(engine.targets))
        for _ in range(runs.ROUNDS):
            with timed("intake"):
                moved = await run.pull()
            with timed("mapping"):
                moved += run.map()
            with timed("counting"):
                moved += run.tally()
            with timed("delivery"):
                moved += await run.deliver()
            with timed("counting"):
                moved += tally.completions(engine)
            with timed("answers"):
                moved += await run.poll()
            if not moved:
                break
        with timed("delivery"):
            runs.seal(engine)
        await house.close_clients()
        summary: dict[str, Any] = run.summary()
        return summary

    started = time.perf_counter()
    summary = asyncio.run(play())
    whole = time.perf_counter() - started
    house.close()
    return {"summary": summary, "spent": spent, "whole": whole, "peak_mb": _peak()}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def map_only() -> dict[str, Any]:
    """Records from the simulator through mapping, counting and the strict schema, in memory, on one core."""
    from connector import bootstrap
    from connector.errors import MappingError
    from connector.mappings import people, r4
    from connector.settings import Settings

    house = bootstrap.build(Settings.load())
    engine = house.engine

    async def read() -> list[Any]:
        found: list[Any] = []
        async for page in engine.sources["cht"].pages(None):
            found += [r for r in page.records if r.form in VISITS and not r.deleted]
            if len(found) >= SAMPLE:
                break
        await house.close_clients()
        return found[:SAMPLE]

    records = asyncio.run(read())
    made = 0
    for warm in (True, False):
        started = time.perf_counter()
        made = 0
        for record in records[: 200 if warm else None]:
            try:
                activity = engine.mapper.apply(record).activity
            except MappingError:
                continue
            assert activity is not None
            facts = people.complete(activity, None)
            engine.counter.contributions(activity, facts, lambda level: "ML-KKO-D1-A1")
            for built in engine.builder.activity_resources(activity, facts, person_known=True):
                made += r4.is_valid(built)
    seconds = time.perf_counter() - started
    house.close()
    return {"records": len(records), "resources": made, "seconds": seconds}


# ---------------------------------------------------------------- the bare loop


def bare() -> dict[str, Any]:
    """Read the same pages, parse them, and send the resources the server now holds once more. No store, no checks."""
    import httpx
    import orjson

    environment = os.environ
    login = (environment["RELAIS_CHT_USER"], environment["RELAIS_CHT_PASSWORD"])
    fhir = environment["RELAIS_FHIR_URL"]
    root = "/".join(fhir.split("/")[:3])
    state = httpx.get(f"{root}/_sandbox/state", timeout=120).json()
    resources = sorted(state["resources"].values(), key=lambda r: ORDER.get(r["resourceType"], len(ORDER)))
    for sent in resources:
        sent.pop("meta", None)
    httpx.post(f"{root}/_sandbox/reset", timeout=120)
    docs = size = 0
    started = time.perf_counter()
    with httpx.Client(timeout=120, auth=login) as client:
        since = "0"
        while True:
            answer = client.get(
                f"{environment['RELAIS_CHT_URL']}/medic/_changes",
                params={"since": since, "include_docs": "true", "limit": "1000"},
            )
            page = orjson.loads(answer.content)
            size += len(answer.content)
            if not page["results"]:
                break
            docs += len(page["results"])
            since = page["last_seq"]
        for first in range(0, len(resources), 200):
            entries = [
                {"fullUrl": f"{fhir}/{r['resourceType']}/{r['id']}", "resource": r,
                 "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
                for r in resources[first : first + 200]
            ]  # fmt: skip
            body = orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})
            size += len(body)
            client.post(fhir, content=body, headers={"Content-Type": "application/fhir+json"}).raise_for_status()
    return {"docs": docs, "resources": len(resources), "mb": size / 1e6, "seconds": time.perf_counter() - started}


# ---------------------------------------------------------------- the table


def child(what: str, environment: Mapping[str, str], home: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, f"--{what}"], stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, **environment, "RELAIS_HOME": str(home), "RELAIS_ENV": "demo",
             "RELAIS_PACK": str(ROOT / "config/mali-health")},
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def row(name: str, count: float, seconds: float, unit: str, note: str = "") -> str:
    rate = f"{count / seconds:,.0f}" if seconds else "-"
    return f"{name:<34}{count:>10,.0f}  {unit:<11}{seconds:>8.2f} s {rate:>10}/s  {note}".rstrip()


def table(visits: int, folder: Path) -> tuple[list[str], float]:
    """The rows for one size, and the connector's peak memory in MB."""
    with served(visits, folder) as environment:
        found = child("measure", environment, folder / "home")
        mapped = child("map-only", environment, folder / "map")
        loop = child("bare", environment, folder / "bare")
    summary, spent = found["summary"], found["spent"]
    received = sum(source["received"] for source in summary["sources"].values())
    accepted = sum(target["accepted"] for target in summary["targets"].values())
    fhir = max(target["accepted"] for target in summary["targets"].values())
    ratio = found["whole"] / loop["seconds"]
    lines = [
        f"{visits:,} visits: outcome {summary['outcome']}, {fhir:,} FHIR resources accepted, "
        f"{summary['cells']['recounted']:,} cells, {summary['targets']['dhis2']['values']:,} DHIS2 values",
        row("intake (read, keep, audit)", received, spent["intake"], "records"),
        row("mapping with storing", summary["activities"], spent["mapping"], "activities"),
        row("mapping alone, one core, checked", mapped["records"], mapped["seconds"], "visits",
            f"{mapped['resources']:,} valid resources"),
        row("counting", summary["cells"]["recounted"], spent["counting"], "cells"),
        row("delivery (all targets)", accepted, spent["delivery"], "deliveries"),
        row("clinic's answers", summary["targets"]["cht_answers"]["accepted"], spent["answers"], "answers"),
        row("whole, durable and audited", visits, found["whole"], "visits", f"{ratio:.1f} times the bare loop"),
        row("bare loop (parse, send)", loop["resources"], loop["seconds"], "resources", f"{loop['mb']:.0f} MB"),
        f"{'peak memory of the connector':<34}{found['peak_mb']:>10,.0f}  MB",
    ]  # fmt: skip
    return lines, found["peak_mb"]


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--visits", type=int, nargs="+", default=[10_000, 50_000])
    for inner in ("--measure", "--map-only", "--bare"):
        options.add_argument(inner, action="store_true", help=argparse.SUPPRESS)
    options.add_argument("--simulators", type=int, help=argparse.SUPPRESS)
    options.add_argument("--env-file", type=Path, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.simulators is not None:
        simulators(asked.simulators, asked.env_file)
        return 0
    for name, work in (("measure", measure), ("map_only", map_only), ("bare", bare)):
        if getattr(asked, name):
            print(json.dumps(work()))
            return 0
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    print(f"{machine}, SQLite file, synchronous=FULL")
    peaks = {}
    for visits in asked.visits:
        print(f"{visits:,} visits ...", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="relais-bench-") as folder:
            lines, peaks[visits] = table(visits, Path(folder))
        print("\n" + "\n".join(lines), flush=True)
    if len(peaks) > 1:
        least, most = min(peaks), max(peaks)
        print(f"\nmemory at {most:,} visits is {peaks[most] / peaks[least]:.2f} times that at {least:,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
