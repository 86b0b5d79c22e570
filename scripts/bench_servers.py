"""The simulators for the bench, in a process of their own; what is asked of them is written to a file as it arrives.

    python scripts/bench_servers.py VISITS ENV_FILE REQUESTS_FILE

CHT holds ``bench_docs``, DHIS2 the demo district's metadata and no values, OpenMRS no patients, the watched folder no
files. The FHIR server validates what it is given when BENCH_VALIDATE=1; HAPI FHIR does not unless told to, so the
default is not to. The requests file lets a bare loop send the very same bytes again: one JSON line per request, the
body after it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from connector.sandbox import serve
from connector.sandbox.cht import CHTSim
from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.district import District, bench_docs
from connector.sandbox.fhir import FHIRSim
from connector.sandbox.openmrs import OpenMRSSim
from connector.sandbox.plane import Plane

SEED = 7
KEPT = (b"content-type", b"accept", b"authorization", b"x-requested-with", b"content-encoding")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
App = Callable[[Any, Receive, Any], Awaitable[None]]


def recorded(app: App, name: str, out: BinaryIO) -> App:
    """The same app; its requests, those of the control plane aside, go to ``out``."""

    async def answer(scope: Any, receive: Receive, send: Any) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_sandbox"):
            await app(scope, receive, send)
            return
        parts: list[bytes] = []

        async def heard() -> Message:
            message = await receive()
            parts.append(message.get("body", b""))
            return message

        await app(scope, heard, send)
        body = b"".join(parts)
        query = scope["query_string"].decode()
        head = {
            "to": name, "method": scope["method"], "path": scope["raw_path"].decode() + (f"?{query}" if query else ""),
            "headers": {k.decode(): v.decode() for k, v in scope["headers"] if k in KEPT}, "size": len(body),
        }  # fmt: skip
        out.write(orjson.dumps(head) + b"\n" + body + b"\n")
        out.flush()

    return answer


def main(visits: int, env_file: Path, requests_file: Path) -> None:
    sites, workers = int(os.environ.get("BENCH_SITES") or 12), int(os.environ.get("BENCH_CHWS") or 24)
    district = District(SEED, sites=sites, chws=workers, leave_out=("hand_typed",))
    sims = {
        "cht": CHTSim(Plane(SEED), bench_docs(visits, SEED), user=serve.CHT_USER, password=serve.CHT_PASSWORD),
        "dhis2": DHIS2Sim(district.dhis2_metadata, [], Plane(SEED), profile="legacy"),
        "openmrs": OpenMRSSim(district.openmrs_metadata(), [], Plane(SEED), profile="o3", staff=lambda number: None),
        "fhir": FHIRSim(Plane(SEED), validating=os.environ.get("BENCH_VALIDATE") == "1"),
    }
    with tempfile.TemporaryDirectory(prefix="relais-bench-") as made, requests_file.open("wb") as out:
        for folder in ("odk", "kobo", "outreach"):
            (Path(made) / folder).mkdir()
        apps = {name: recorded(sims[name].app, name, out) for name in serve.NAMES}
        asyncio.run(serve._serve(district, apps, 0, Path(made), env_file))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
