"""``relais demo``: a synthetic district in simulators, the real connector, and the comparison with the true figures."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson

from connector import bootstrap
from connector.cli.output import Watching, err, json_out, say
from connector.cli.working import show_run
from connector.engine import runs
from connector.errors import RelaisError
from connector.settings import Settings

#: Longest wait for the simulators to be up, and for a run to settle.
START_SECONDS = 90
SETTLE = timedelta(minutes=10)


class Sandbox:
    """The simulators in a process of their own."""

    def __init__(self, home: Path, *, seed: int, zone: str, dhis2: str, openmrs: str, ports_from: int) -> None:
        self.env_file = home / "sandbox.env"
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "connector.sandbox",
                "serve",
                "--seed",
                str(seed),
                "--zone",
                zone,
                "--dhis2",
                dhis2,
                "--openmrs",
                openmrs,
                "--ports-from",
                str(ports_from),
                "--env-file",
                str(self.env_file),
            ],
            stdout=subprocess.PIPE,
            cwd=Path.cwd(),
        )
        assert self.process.stdout is not None
        deadline = time.monotonic() + START_SECONDS
        while True:
            ready, _, _ = select.select([self.process.stdout], [], [], 0.2)
            if ready:
                break
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise _no_simulators()
        line = self.process.stdout.readline()
        if not line.strip():
            self.stop()
            raise _no_simulators()
        self.urls: dict[str, str] = orjson.loads(line)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def _no_simulators() -> RelaisError:
    return RelaisError(
        "The simulators did not start. Nothing was done. Are the ports free? Try another RELAIS_DEMO_PORTS.",
        french="Les simulateurs n'ont pas démarré. Rien n'a été fait. Les ports sont-ils libres ? Essayez un autre "
        "RELAIS_DEMO_PORTS.",
    )


def compare(env_file: Path, seed: int, attention: dict[str, int], codes: dict[str, int]) -> dict[str, Any]:
    """The sandbox's own count of its records against what the simulators hold now; it never asks our database."""
    from connector.sandbox import serve

    found: dict[str, Any] = serve.compare(env_file, seed=seed, attention=attention, quarantine_codes=codes)
    return found


def demo(*, once: bool, seed: int, zone: str, dhis2: str, openmrs: str, port: int, json: bool) -> int:
    """Play it. Returns the exit code: 0 only if everything settled and is exactly as expected."""
    from connector.sandbox import oracle
    from connector.sandbox.serve import read_env

    home = Path(os.environ.get("RELAIS_HOME", "var")) / "demo"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    err.print(say("Un district fictif se prépare…", "Preparing a synthetic district…"))
    sandbox = Sandbox(
        home,
        seed=seed,
        zone=zone,
        dhis2=dhis2,
        openmrs=openmrs,
        ports_from=int(os.environ.get("RELAIS_DEMO_PORTS", "9100")),
    )
    try:
        os.environ.update(read_env(sandbox.env_file))
        os.environ.update({"RELAIS_HOME": str(home), "RELAIS_ENV": "demo", "RELAIS_PORT": str(port)})
        for name in ("RELAIS_DATABASE_URL", "RELAIS_MASTER_KEY", "RELAIS_MASTER_KEY_FILE", "RELAIS_AUDIT_HEADS"):
            os.environ.pop(name, None)
        made = bootstrap.build(Settings.load())
        bootstrap.settle_in()
        codes: dict[str, int] = {}
        try:
            with Watching() as step:
                made.engine.progress = step

                async def play() -> dict[str, Any]:
                    try:
                        return await runs.once(made.engine, wait=SETTLE)
                    finally:
                        await made.close_clients()

                summary = asyncio.run(play())
            codes = made.store.read(lambda unit: unit.quarantined_by_code())
        finally:
            made.close()
        found = compare(sandbox.env_file, seed, summary["attention"], codes)
        differences = found.pop("differences", [])
        summary["expected"] = found
        good = summary["outcome"] == "settled" and oracle.same(found)
        for line in differences[:20]:
            err.print(str(line), markup=False)
        if not json:
            show_run(summary, zone=zone)
        if once:
            json_out(summary)
            return 0 if good else 3
        _serve(sandbox, port, good)
        return 0
    finally:
        sandbox.stop()


def _serve(sandbox: Sandbox, port: int, good: bool) -> None:
    from connector.cli.working import serve

    err.print(
        say(
            f"Les chiffres {'sont' if good else 'ne sont PAS'} ceux des fiches. Page web : http://127.0.0.1:{port} (Ctrl-C pour arrêter)",
            f"The figures {'are' if good else 'are NOT'} those of the records. Web page: http://127.0.0.1:{port} (Ctrl-C to stop)",
        )
    )
    err.print(
        say("Les serveurs simulés : ", "The simulated servers: ")
        + ", ".join(f"{k} {v}" for k, v in sandbox.urls.items())
    )
    serve()
