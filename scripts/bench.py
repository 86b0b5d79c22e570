"""How fast, and in how much memory: the real connector against the simulators, as one table from one run.

    make bench
    BENCH_VISITS=1000 BENCH_BIG=3000 make bench     (quick; BENCH_BIG=0: without the second size)
    BENCH_PROFILE=profile.out make bench            (cProfile of the connector at BENCH_VISITS; slower)
    BENCH_VALIDATE=1 make bench                     (the FHIR simulator validates, which costs its own time)
    BENCH_COUNTING=0 BENCH_CORE=0 make bench        (without the tables of counting and of the core by themselves)
    BENCH_TARGETS=0 make bench                      (without the table of each target by itself)

The simulators run in a process of their own and the connector in another, with its database in a file and
``synchronous=FULL``. A bare loop then sends the very requests that the connector sent, byte for byte, to the same
simulators (emptied again), and parses the answers: no store, no checks, nothing worked out. Every stage is shown
beside what the bare loop needs for its bytes.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

VISITS = int(os.environ.get("BENCH_VISITS") or 10_000)
BIG = int(os.environ.get("BENCH_BIG") or 50_000)

#: Visits carried over a line of so many milliseconds, all targets side by side.
FAR = int(os.environ.get("BENCH_FAR") or 1_000)
LATENCY = 20


# ---------------------------------------------------------------- the connector


def measure() -> dict[str, Any]:
    """One run to the end, stage by stage. Runs in a process of its own.

    The targets are served one after the other, so that each has its own figure; ``relais run`` serves them side by
    side.
    """
    started = time.perf_counter()
    from connector import bootstrap
    from connector.engine import runs
    from connector.settings import Settings

    spent: dict[str, float] = {}
    worked: dict[str, float] = {}  #: of it on the processor, whatever else the machine does

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        before, worked_before = time.perf_counter(), time.process_time()
        yield
        spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - before
        worked[stage] = worked.get(stage, 0.0) + time.process_time() - worked_before

    class OneByOne(runs.Run):
        async def deliver(self, until: datetime | None) -> int:
            return sum([await self._deliver(name, until) for name in self.targets])

    if not os.environ.get("BENCH_SIDE_BY_SIDE"):
        runs.Run = OneByOne  # type: ignore[misc]
    house = bootstrap.build(Settings.load())
    house.engine.stage = timed
    bootstrap.settle_in()

    async def play() -> dict[str, Any]:
        try:
            return await runs.once(house.engine)
        finally:
            await house.close_clients()

    ready = time.perf_counter()
    cpu = time.process_time()
    summary = asyncio.run(_profiled(play()))
    whole, cpu = time.perf_counter() - ready, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {
        "summary": summary, "spent": spent, "worked": worked, "whole": whole, "cpu": cpu,
        "start": ready - started, "peak_mb": peak, "counting_bare": house.store.read(_counting_bare),
    }  # fmt: skip
    house.close()
    return found


async def _profiled(work: Any) -> Any:
    file = os.environ.get("BENCH_PROFILE_CHILD")
    if not file:
        return await work
    import cProfile

    profile = cProfile.Profile(time.process_time)
    profile.enable()
    try:
        return await work
    finally:
        profile.disable()
        profile.dump_stats(file)


def _counting_bare(unit: Any) -> float:
    """Seconds to parse all contributions from JSON and write all cells as JSON: the bytes that counting is about."""
    import orjson

    def rows(table: str) -> list[dict[str, Any]]:
        return [dict(r) for r in unit.connection.exec_driver_sql(f"SELECT * FROM {table}").mappings()]

    lines, cells = [orjson.dumps(row, default=str) for row in rows("contribution")], rows("cell")
    started = time.perf_counter()
    for line in lines:
        orjson.loads(line)
    for cell in cells:
        orjson.dumps(cell, default=str)
    return time.perf_counter() - started


# ---------------------------------------------------------------- the bare loop


def bare() -> dict[str, Any]:
    """The recorded requests once more, in their order, on one connection per server: seconds and bytes per server."""
    import httpx
    import orjson

    environment = os.environ
    names = ("cht", "dhis2", "openmrs", "fhir")
    roots = {name: "/".join(environment[f"RELAIS_{name.upper()}_URL"].split("/")[:3]) for name in names}
    for name in ("dhis2", "fhir", "openmrs") if not environment.get("BENCH_NO_RESET") else ():
        httpx.post(f"{roots[name]}/_sandbox/reset", timeout=120).raise_for_status()
    slowed(environment, int(environment.get("BENCH_LATENCY") or 0))  # an emptied simulator has no faults any more
    seconds, size, count = dict.fromkeys(roots, 0.0), dict.fromkeys(roots, 0), dict.fromkeys(roots, 0)
    with open(environment["BENCH_REQUESTS"], "rb") as file, httpx.Client(timeout=120) as client:
        while line := file.readline():
            head = orjson.loads(line)
            body = file.read(head["size"])
            file.read(1)
            name = head["to"]
            started = time.perf_counter()
            answer = client.request(head["method"], roots[name] + head["path"], content=body, headers=head["headers"])
            if answer.content[:1] in (b"{", b"["):
                orjson.loads(answer.content)
            seconds[name] += time.perf_counter() - started
            size[name] += len(body) + len(answer.content)
            count[name] += 1
    return {"seconds": seconds, "bytes": size, "requests": count, "whole": sum(seconds.values())}


# ---------------------------------------------------------------- one size


@contextmanager
def served(
    visits: int, folder: Path, requests: Path, more: Mapping[str, str] | None = None
) -> Iterator[dict[str, str]]:
    """The variables that a connector to these simulators needs. ``more``: variables for the simulators."""
    env_file = folder / "sandbox.env"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts/bench_servers.py"), str(visits), str(env_file), str(requests)],
        stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, **(more or {})},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        if not process.stdout.readline().strip():
            raise SystemExit("The simulators did not start.")
        lines = env_file.read_text(encoding="utf-8").splitlines()
        yield dict(line.split("=", 1) for line in lines if "=" in line)
    finally:
        process.terminate()
        process.wait(timeout=60)
        if process.stdout is not None:
            process.stdout.close()


def child(what: str, environment: Mapping[str, str], home: Path, script: str = "scripts/bench.py") -> Any:
    """One of a script's functions in a process of its own, with a clean environment of Relais; its JSON line."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RELAIS_")}
    ours = {"RELAIS_HOME": str(home), "RELAIS_ENV": "demo", "RELAIS_PACK": str(ROOT / "config/mali-health")}
    done = subprocess.run(
        [sys.executable, str(ROOT / script), what], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
        env={**clean, **environment, **ours},
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def slowed(environment: Mapping[str, str], latency: int) -> None:
    """Every simulator waits so many milliseconds before it answers."""
    import httpx

    for name in ("CHT", "DHIS2", "OPENMRS", "FHIR"):
        root = "/".join(environment[f"RELAIS_{name}_URL"].split("/")[:3])
        faults: dict[str, int] = {"delay_ms": latency, "every": 1} if latency else {}
        httpx.post(f"{root}/_sandbox/faults", json=faults).raise_for_status()


def one_size(visits: int, *, more: bool, latency: int = 0) -> dict[str, Any]:
    """The connector's run at this size; with ``more`` also the bare loop. ``latency``: ms that
    every simulator waits before it answers."""
    print(f"{visits:,} visits{f', {latency} ms away' if latency else ''} ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="relais-bench-") as made:
        folder = Path(made)
        # A copy: what is asked after the run goes on being recorded, and must not be replayed.
        requests, replayed = folder / "requests", folder / "replayed"
        with served(visits, folder, requests) as environment:
            slowed(environment, latency)
            more_environment = {"BENCH_PROFILE_CHILD": os.environ.get("BENCH_PROFILE", "")} if more else {}
            if latency:
                more_environment = {"BENCH_SIDE_BY_SIDE": "1"}
            found: dict[str, Any] = child("measure", {**environment, **more_environment}, folder / "home")
            found["database_mb"] = (folder / "home" / "relais.db").stat().st_size / 1e6
            if more:
                shutil.copyfile(requests, replayed)
                bare_environment = {"BENCH_REQUESTS": str(replayed), "BENCH_LATENCY": str(latency)}
                found["bare"] = child("bare", {**environment, **bare_environment}, folder / "bare")
    return found


# ---------------------------------------------------------------- the table


def show(visits: int, found: dict[str, Any], big: dict[str, Any] | None) -> None:
    from rich.console import Console
    from rich.table import Table

    summary, spent, loop = found["summary"], found["spent"], found["bare"]
    targets = summary["targets"]
    resources, values = targets["fhir"]["accepted"], targets["dhis2"]["values"]
    received = summary["sources"]["cht"]["received"]
    worked = found["worked"]
    done = f"{summary['outcome']}, {resources:,} FHIR resources and {values:,} DHIS2 values accepted"
    table = Table(title=f"Relais, {visits:,} visits: {done}")
    table.add_column("stage")
    for name in ("count", "of", "seconds", "per second", "own CPU s", "bare loop s", "times bare"):
        table.add_column(name, justify="left" if name == "of" else "right")

    def row(name: str, count: float, unit: str, seconds: float, cpu: float, bare: float | None) -> None:
        table.add_row(
            name, f"{count:,.0f}", unit, f"{seconds:.2f}", f"{count / seconds:,.0f}" if seconds else "-",
            f"{cpu:.2f}", "-" if bare is None else f"{bare:.2f}", "-" if not bare else f"{seconds / bare:.1f}",
        )  # fmt: skip

    row("intake: fetch, encrypt, keep", received, "records", spent["pull"], worked["pull"], loop["seconds"]["cht"])
    row("mapping, kept and wanted", summary["activities"], "records", spent["map"], worked["map"], None)
    cells = summary["cells"]["recounted"]
    row("counting", cells, "cells", spent["tally"], worked["tally"], found["counting_bare"])
    row("delivery to FHIR", resources, "resources", spent["fhir"], worked["fhir"], loop["seconds"]["fhir"])
    row("delivery to DHIS2", values, "values", spent["dhis2"], worked["dhis2"], loop["seconds"]["dhis2"])
    shown = ("pull", "map", "tally", "fhir", "dhis2")
    others = found["whole"] - sum(spent[name] for name in shown)
    others_cpu = found["cpu"] - sum(worked[name] for name in shown)
    table.add_row("other targets, sealing, the rest", "", "", f"{others:.2f}", "", f"{others_cpu:.2f}", "", "")
    table.add_section()
    row("the whole", visits, "visits", found["whole"], found["cpu"], loop["whole"])
    table.add_section()

    def fact(name: str, value: str, unit: str, seconds: str = "", cpu: str = "") -> None:
        table.add_row(name, value, unit, seconds, "", cpu, "", "")

    fact(f"peak memory at {visits:,} visits", f"{found['peak_mb']:,.0f}", "MB")
    if big is not None:
        took = [f"{big[name]:.2f}" for name in ("whole", "cpu")]
        fact(f"peak memory at {BIG:,} visits", f"{big['peak_mb']:,.0f}", "MB", *took)
        ratios = [f"{big[name] / found[name]:.2f}" for name in ("peak_mb", "whole", "cpu")]
        fact(f"  {BIG / visits:g} times the visits", ratios[0], "times", *ratios[1:])
    fact(f"database at {visits:,} visits", f"{found['database_mb']:,.0f}", "MB")
    fact("bytes sent and received", f"{sum(loop['bytes'].values()) / 1e6:,.0f}", "MB")
    console = Console(width=120)
    console.print(table)
    validation = "on" if os.environ.get("BENCH_VALIDATE") == "1" else "off"
    lines = (
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}; load of the last minute "
        f"{os.getloadavg()[0]:.1f} (2 would be this bench alone).",
        f"SQLite file, synchronous=FULL; simulators in their own process, FHIR validation there {validation}.",
    )
    console.print("\n".join(lines), highlight=False)


def show_far(found: dict[str, Any]) -> None:
    """What distance costs: targets side by side as in ``relais run``, each beside a loop that only sends its bytes."""
    from rich.console import Console
    from rich.table import Table

    loop, spent = found["bare"], found["spent"]
    table = Table(title=f"{FAR:,} visits over a line of {LATENCY} ms")
    for name in ("", "requests", "seconds", "bare loop s", "times bare"):
        table.add_column(name, justify="right" if name else "left")
    for name, label in (("fhir", "delivery to FHIR"), ("dhis2", "delivery to DHIS2")):
        bare = loop["seconds"][name]
        table.add_row(
            label, f"{loop['requests'][name]:,}", f"{spent[name]:.2f}", f"{bare:.2f}", f"{spent[name] / bare:.2f}"
        )  # fmt: skip
    whole = found["whole"]
    table.add_row(
        "the whole, end to end", f"{sum(loop['requests'].values()):,}", f"{whole:.2f}", f"{loop['whole']:.2f}",
        f"{whole / loop['whole']:.2f}",
    )  # fmt: skip
    Console(width=110).print(table)


def main() -> int:
    if len(sys.argv) > 1:
        work = {"measure": measure, "bare": bare}[sys.argv[1]]
        print(json.dumps(work()))
        return 0
    found = one_size(VISITS, more=True)
    big = one_size(BIG, more=False) if BIG > 0 else None
    show(VISITS, found, big)
    far = one_size(FAR, more=True, latency=LATENCY) if FAR > 0 else None
    if far is not None:
        show_far(far)
    if os.environ.get("BENCH_COUNTING") != "0":
        subprocess.run([sys.executable, str(ROOT / "scripts/bench_counting.py")], check=True, cwd=ROOT)
    if os.environ.get("BENCH_CORE") != "0":
        from scripts import bench_core

        print("the core by itself ...", file=sys.stderr, flush=True)
        command = [sys.executable, str(ROOT / "scripts/bench_core.py"), "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
        bench_core.show(json.loads(done.stdout.splitlines()[-1]))
    settled = all(one["summary"]["outcome"] == "settled" for one in (found, big, far) if one is not None)
    if os.environ.get("BENCH_TARGETS") != "0":
        by_target = subprocess.run([sys.executable, str(ROOT / "scripts/bench_targets.py")], cwd=ROOT)
        settled = settled and by_target.returncode == 0
    return 0 if settled else 3


if __name__ == "__main__":
    sys.exit(main())
