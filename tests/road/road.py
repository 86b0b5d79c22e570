"""The road as a stranger would drive it: the simulators in one process, ``relais`` in another, by environment only."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from connector.sandbox import oracle

PYTHON = sys.executable
TARGETS = ("cht", "dhis2", "openmrs", "fhir")


class Road:
    def __init__(
        self, home: Path, seed: int = 7, zone: str = "Africa/Bamako", *, database: str | None = None,
        sandbox: str = "connector.sandbox",
    ) -> None:  # fmt: skip
        self.home = home
        self.seed = seed
        self.env_file = home / "sandbox.env"
        self.errors = (home / "sandbox.err").open("wb")
        self.process = subprocess.Popen(
            [PYTHON, "-m", sandbox, "serve", "--seed", str(seed), "--zone", zone, "--ports-from", "0",
             "--env-file", str(self.env_file)],
            stdout=subprocess.PIPE, stderr=self.errors,
        )  # fmt: skip
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 120)
        assert ready, "the simulators did not start"
        self.urls: dict[str, str] = json.loads(self.process.stdout.readline())
        self.database = database or f"sqlite:///{home}/relais/relais.db"
        self.env = {
            **os.environ, **self._variables(), "RELAIS_HOME": str(home / "relais"), "NO_COLOR": "1",
            "RELAIS_DATABASE_URL": self.database,
        }  # fmt: skip

    def _variables(self) -> dict[str, str]:
        pairs = (line.partition("=") for line in self.env_file.read_text().splitlines() if "=" in line)
        return {name: value for name, _, value in pairs}

    def relais(self, *arguments: str, timeout: float = 700) -> tuple[int, Any]:
        done = subprocess.run(
            [PYTHON, "-m", "connector", *arguments, "--json"],
            env=self.env,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        line = done.stdout.strip().splitlines()
        assert line, done.stderr.decode()[-3000:]
        return done.returncode, json.loads(line[-1])

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A run that will be killed: nobody reads what it says."""
        silent = subprocess.DEVNULL
        return subprocess.Popen([PYTHON, "-m", "connector", *arguments], env=self.env, stdout=silent, stderr=silent)

    def ask(self, server: str, what: str, of: str = "_sandbox") -> Any:
        with urllib.request.urlopen(f"{self.urls[server]}/{of}/{what}", timeout=120) as answer:
            return json.load(answer)

    def tell(self, server: str, what: str, body: Any, of: str = "_sandbox") -> Any:
        request = urllib.request.Request(
            f"{self.urls[server]}/{of}/{what}", data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"}, method="POST",
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read() or b"null")

    def arm(self, faults: Any) -> None:
        for server in TARGETS:
            self.tell(server, "faults", faults)

    def logs(self) -> dict[str, int]:
        return {server: len(self.ask(server, "log")["log"]) for server in TARGETS}

    def compare(self, attention: dict[str, int] | None = None) -> dict[str, Any]:
        """The sandbox's own count against what its servers hold now."""
        from connector.sandbox import serve

        found: dict[str, Any] = serve.compare(self.env_file, seed=self.seed, attention=attention)
        return found

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.errors.close()


def no_twins(state: dict[str, Any]) -> None:
    """No second patient, encounter or appointment for the same person or referral, voided ones aside."""
    people = [
        value
        for p in state["patients"] if not p["voided"]
        for kind, value in p["identifiers"] if kind.startswith("CHW")
    ]  # fmt: skip
    assert len(people) == len(set(people)) > 0
    numbers = [a["number"] for a in state["appointments"]]
    assert len(numbers) == len(set(numbers)) > 0
    referred = [
        (o["concept"], o["value"])
        for e in state["encounters"]
        if not e["voided"]
        for o in e["obs"]
        if o["value"] in set(numbers)
    ]
    consultations = 2  # the clinic's consultation quotes the number once too
    assert all(referred.count(one) <= consultations for one in set(referred))
    visits = [(e["patient"], e["type"], e["datetime"]) for e in state["encounters"] if not e["voided"]]
    assert len(visits) == len(set(visits)) > 0


def settled(road: Road, code: int, summary: dict[str, Any]) -> None:
    assert summary["outcome"] == "settled", summary
    assert code == 3, "ten held values and six records in quarantine need a person"
    found = road.compare(summary["attention"])
    assert oracle.same(found), found["differences"]
    no_twins(road.ask("openmrs", "state"))
