"""A child that meets answers too big, over real sockets, and prints what it cost: one JSON line per answer.

Called as ``python -m tests.fuzz.heavy``. The server is in the child too; it keeps nothing but one piece that it sends
again and again.
"""

from __future__ import annotations

import asyncio
import json
import resource
import time
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from connector import http
from connector.adapters.cht import ChtSource
from connector.adapters.cht_answers import ChtAnswersTarget
from connector.adapters.dhis2 import Dhis2Target
from connector.adapters.fhir_server import FhirServerTarget
from connector.adapters.openmrs import OpenmrsTarget
from connector.errors import SourceError
from connector.model import Verdict
from tests.contract import test_cht_answers as of_cht
from tests.contract import test_dhis2_target as of_dhis2
from tests.contract import test_fhir_target as of_fhir
from tests.contract import test_openmrs_target as of_openmrs

MIB = 1024 * 1024


def bomb_part() -> tuple[bytes, bytes]:
    """The head of a gzip body, and a piece that unpacks to one MiB of spaces and may be sent again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff", piece


class Server:
    """Answers everything with one kind of body. ``sent``: bytes that went out."""

    def __init__(self) -> None:
        self.kind = ""
        self.sent = 0
        self.head, self.piece = bomb_part()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await self.answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        packed = b"Content-Encoding: gzip\r\n" if self.kind in ("bomb", "noise") else b""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n" + packed + b"\r\n")
        match self.kind:
            case "flood":
                await self.again(writer, b" " * MIB, 1024)
            case "bomb":  # 1 GiB
                writer.write(self.head)
                await self.again(writer, self.piece, 1024)
            case "noise":  # a gzip body that ends, and goes on with noise
                writer.write(zlib.compressobj(9, zlib.DEFLATED, 31).flush())
                await self.again(writer, b"\xff" * MIB, 1024)
            case "big":  # valid, and as costly as JSON gets: 12 MiB of empty lists
                writer.write(b"[")
                await self.again(writer, b"[]," * (MIB // 3), 12)
                writer.write(b"[]]")
                await writer.drain()
            case "deep":
                await self.again(writer, b"[" * MIB, 12)
            case "drip":
                while True:
                    await self.again(writer, b" ", 1)
                    await asyncio.sleep(0.05)

    async def again(self, writer: asyncio.StreamWriter, part: bytes, times: int) -> None:
        for _ in range(times):
            writer.write(part)
            await writer.drain()
            self.sent += len(part)


async def by(client: httpx.AsyncClient, name: str) -> str:
    """What the adapter says to it."""
    if name == "cht":
        try:
            async for page in ChtSource(client, "cht", {}).pages(None):
                return f"a page of {len(page.records)}"
        except SourceError as error:
            return error.code
    target: Any
    if name == "dhis2":
        target = Dhis2Target(client, name="dhis2", settings={})
        # As after a good start: the codes are known and only the values go out.
        target._data_sets["MH_SEC"] = DATA_SET
        delivery = of_dhis2.block(of_dhis2.value(), onExisting="overwrite")
    elif name == "fhir":
        target, delivery = FhirServerTarget(client, "fhir", {}), of_fhir.deliveries(of_fhir.patient("p-1"))[0]
    elif name == "cht_answers":
        target, delivery = ChtAnswersTarget(client, "cht_answers", {}), of_cht.delivery(of_cht.answer())
    else:
        world = of_openmrs.World()
        target = OpenmrsTarget(
            client, name="openmrs", settings={}, openmrs=of_openmrs.OPENMRS, names=of_openmrs.NAMES, zone="UTC"
        )
        delivery = world.delivery(of_openmrs.payload())
    (outcome,) = await target.deliver([delivery], of_openmrs.Ledger())
    assert outcome.verdict in (Verdict.UNKNOWN, Verdict.DEFERRED), outcome
    return f"{outcome.verdict} {outcome.reason}"


DATA_SET: Any = None


async def known() -> Any:
    """The data set as a good server tells it."""
    house = of_dhis2.House()
    async with http.make_client(
        "http://127.0.0.1:1", user="relais", password="relais", transport=httpx.ASGITransport(app=house.sim.app)
    ) as client:
        return await Dhis2Target(client, name="dhis2", settings={})._find_data_set("MH_SEC")


async def main() -> None:
    global DATA_SET
    DATA_SET = await known()
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    defaults: Any = http.request.__kwdefaults__
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    async def measured(kind: str, name: str, work: Callable[[httpx.AsyncClient], Awaitable[str]]) -> None:
        server.kind, server.sent = kind, 0
        defaults["deadline"] = 0.5 if kind == "drip" else 60.0
        begun = time.monotonic()
        async with http.make_client(address, user="u", password="p") as client:
            said = await work(client)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        line = {"kind": kind, "by": name, "said": said, "mib": most - before, "sent_mib": server.sent // MIB}
        print(json.dumps({**line, "seconds": round(time.monotonic() - begun, 2)}), flush=True)

    for kind in ("drip", "bomb", "noise", "flood", "deep", "big"):
        for name in ("dhis2", "fhir", "cht_answers", "openmrs", "cht"):
            await measured(kind, name, lambda client, name=name: by(client, name))  # type: ignore[misc]
    listening.close()


if __name__ == "__main__":
    asyncio.run(main())
