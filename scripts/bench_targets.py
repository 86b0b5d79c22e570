"""How fast each target is served, beside a bare loop that sends the same requests. Part of ``make bench``.

    .venv/bin/python scripts/bench_targets.py
    BENCH_VALUES=2000 BENCH_REFERRALS=40 BENCH_RESOURCES=2000 .venv/bin/python scripts/bench_targets.py     (small)
    BENCH_ONLY=dhis2 ...                (dhis2, openmrs or fhir alone)
    BENCH_PROFILE_TARGETS=out ...       (cProfile of each delivery into out.dhis2-20 and so on; slower)

The shipped engine, store and adapters with a database file and ``synchronous=FULL``, the simulators in a process of
their own:

- DHIS2: figures of all the pack's elements at 48 sites, wanted at once, over a line of 20 ms and of 200 ms.
- OpenMRS: referrals over a line of 20 ms, first of people the clinic does not know, then of the same people again.
- FHIR: light visits, whose resources leave while they are mapped, as in ``relais run``.

The bare loop sends the recorded requests again, byte for byte, one after the other to the same simulator after it was
emptied, and parses the answers; of DHIS2 the blocks alone, without what is read before and after. Nothing here asserts
a time.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts import bench, bench_servers

VALUES = int(os.environ.get("BENCH_VALUES") or 60_000)
REFERRALS = int(os.environ.get("BENCH_REFERRALS") or 1_000)
RESOURCES = int(os.environ.get("BENCH_RESOURCES") or 40_000)
#: Milliseconds that a server waits before it answers.
NEAR, FAR = 20, 200
#: Resources that one light visit becomes, patients and the rest counted in.
_EACH = 4.4
#: The largest district there is: sites, and workers at them.
_SITES, _WORKERS = 48, 96
_BLOCKS_AT_ONCE = 20
_PERIODS = {"Monthly": ("202607", "202608", "202609"), "Quarterly": ("2026Q3",)}

Part = dict[str, Any]  #: what, count, seconds, cpu; the place of its requests in the file: begin, end


# ---------------------------------------------------------------- in a process of its own: the connector


class Parts:
    """What is measured of one target, with the place of its requests in the file of requests."""

    def __init__(self) -> None:
        self.found: list[Part] = []
        self._requests = Path(os.environ["BENCH_REQUESTS"])

    @contextmanager
    def part(self, what: str) -> Iterator[Part]:
        made: Part = {"what": what, "begin": self._requests.stat().st_size}
        profile = cProfile.Profile(time.process_time) if os.environ.get("BENCH_PROFILE_CHILD") else None
        started, worked = time.perf_counter(), time.process_time()
        if profile is not None:
            profile.enable()
        yield made
        if profile is not None:
            profile.disable()
            profile.dump_stats(f"{os.environ['BENCH_PROFILE_CHILD']}-{len(self.found)}")
        made |= {"seconds": time.perf_counter() - started, "cpu": time.process_time() - worked}
        made["end"] = self._requests.stat().st_size
        self.found.append(made)


@contextmanager
def _house() -> Iterator[Any]:
    from connector import bootstrap
    from connector.settings import Settings

    house = bootstrap.build(Settings.load())
    bootstrap.settle_in()
    yield house
    house.close()


def _in_loop(house: Any, work: Callable[[], Any]) -> Any:
    async def all_of_it() -> Any:
        try:
            return await work()
        finally:
            await house.close_clients()

    return asyncio.run(all_of_it())


def _blocks(pack: Any, sites: list[str]) -> Iterator[tuple[tuple[str, str, str], list[dict[str, Any]]]]:
    """(data set, org unit, period) and its cells: every element of a data set of sites in every combination."""
    from connector.mappings.indicators import element_and_combo

    for data_set in pack.data_sets.values():
        cells: dict[tuple[str, str], dict[str, Any]] = {}
        for indicator in (one for one in pack.indicators.values() if one.data_set == data_set.id):
            for part, rule in indicator.rules.items():
                for options in product(*(pack.categories[name].options for name in rule.by)):
                    named = tuple(zip(rule.by, options, strict=True))
                    element, combo = element_and_combo(pack, indicator.id, part, named)
                    cells[element, combo] = {
                        "indicator": indicator.id, "part": part, "categories": ";".join(map("=".join, named)),
                        "data_set": data_set.id, "data_element": element, "combo": combo, "version": indicator.version,
                        "value": str(1 + len(cells) % 90), "records": 1, "state": "wanted",
                    }  # fmt: skip
        for period in _PERIODS.get(data_set.period_type, ()) if data_set.level == "site" else ():
            for site in sites:
                where = {"org_unit": site, "period": period}
                yield (data_set.id, site, period), [{**one, **where} for one in cells.values()]


def dhis2() -> list[Part]:
    """VALUES figures, wanted as counting wants them, and delivered."""
    from connector.engine import delivery, tally
    from connector.sandbox.district_people import Calendar, People

    parts = Parts()
    with _house() as house:
        engine = house.engine
        people = People(bench_servers.SEED, Calendar.of("2026-07", 3, "Africa/Bamako"), _SITES, _WORKERS)
        left, now = VALUES, engine.now()
        chosen = []
        for block, cells in _blocks(engine.pack, [site.code for site in people.sites]):
            if left <= 0:
                break
            kept = cells[:left]
            left -= len(kept)
            chosen.append((block, [{**one, "now": now} for one in kept]))

        def want(unit: Any, some: list[Any]) -> None:
            for block, cells in some:
                unit.keep_cells(cells)
                tally.want_block(engine, unit, block)

        for start in range(0, len(chosen), _BLOCKS_AT_ONCE):
            some = chosen[start : start + _BLOCKS_AT_ONCE]
            engine.store.write(lambda unit, some=some: want(unit, some))
        with parts.part("values to DHIS2") as part:
            counts = _in_loop(house, lambda: delivery.deliver(engine, "dhis2"))
            part["count"] = counts["values"]
            part["all"] = counts["accepted"] == len(chosen)
    return parts.found


def openmrs() -> list[Part]:
    """REFERRALS people, each referred twice: the first makes the patient, the second finds her."""
    import httpx

    from connector.engine import delivery, referrals, runs
    from connector.sandbox.district import bench_docs

    parts = Parts()
    docs = list(bench_docs(5 * REFERRALS))
    people = [one for one in docs if one.get("contact_type") == "person"][:REFERRALS]
    for number, person in enumerate(people):  # nobody looks like another: a match review is another matter
        person["name"] = f"{_word(number)} {_word(number * 7919 + 13)}"
    visits = _first_visits(docs, people)
    root = "/".join(os.environ["RELAIS_CHT_URL"].split("/")[:3])

    def put(more: list[Any]) -> None:
        for start in range(0, len(more), 500):
            operations = [{"op": "put", "doc": one} for one in more[start : start + 500]]
            httpx.post(f"{root}/_sandbox/records", json=operations, timeout=120).raise_for_status()

    async def work(house: Any) -> None:
        engine = house.engine
        run = runs.Run(engine, ["cht"], [])
        places = [one for one in docs if one["type"] != "data_record" and one.get("contact_type") != "person"]
        put([*places, *people])
        for what, nth in (("referrals of people new to the clinic", 0), ("referrals of people known there", 1)):
            put([pair[nth] for pair in visits])
            while await run.pull() + await run.map():
                pass
            with parts.part(what) as part:
                counts = await delivery.deliver(engine, "openmrs")
                part["count"] = counts["accepted"]
                part["all"] = counts["accepted"] == len(visits)
        with parts.part("open referrals asked about") as part:
            part["count"] = (await referrals.poll(engine))["asked"]

    with _house() as house:
        _in_loop(house, lambda: work(house))
    return parts.found


def _word(number: int) -> str:
    """A name that no other number has, and that looks like no other."""
    syllables = ("ba", "de", "ki", "lo", "mu", "na", "fe", "si", "to", "wu", "ga", "re", "hi", "jo", "cu", "za")
    return "".join(syllables[number // 16**place % 16] for place in (3, 1, 2, 0)).capitalize()


def _first_visits(docs: list[Any], people: list[Any]) -> list[list[Any]]:
    """The first two visits of each person, referred to the health centre of the worker's area."""
    by_person: dict[str, list[Any]] = {one["_id"]: [] for one in people}
    for doc in docs:
        if doc.get("form") != "assessment":
            continue
        mine = by_person.get(doc["fields"]["patient_id"])
        if mine is None or len(mine) == 2 or not _after_start(doc):
            continue
        where = doc["contact"]["parent"]
        area = where["parent"]["_id"] if "parent" in where else where["_id"]
        doc["fields"]["referral"] = {
            "is_referred": "yes", "referred_to": area, "urgency": "routine", "reason": "other",
        }  # fmt: skip
        mine.append(doc)
    return [pair for pair in by_person.values() if len(pair) == 2]


def _after_start(doc: Mapping[str, Any]) -> bool:
    """Not before the referrals of the pack go live (``live_from``)."""
    from datetime import UTC, datetime

    live = datetime(2026, 7, 6, tzinfo=UTC) + timedelta(days=1)
    return bool(doc["reported_date"] > live.timestamp() * 1000)


def fhir() -> list[Part]:
    """RESOURCES resources, delivered while they are mapped; only the delivery is in the time."""
    from connector.engine import runs

    parts = Parts()
    spent = {"seconds": 0.0, "cpu": 0.0}

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        started, worked = time.perf_counter(), time.process_time()
        yield
        if stage == "fhir":
            spent["seconds"] += time.perf_counter() - started
            spent["cpu"] += time.process_time() - worked

    async def work(house: Any) -> None:
        run = runs.Run(house.engine, ["cht"], ["fhir"])
        house.engine.stage = timed
        await run.pull()
        with parts.part("resources to FHIR") as part:
            await run.map()
            await run.deliver(None)
            part["count"] = run.targets["fhir"]["accepted"]
            part["all"] = not run.targets["fhir"]["rejected"]

    with _house() as house:
        _in_loop(house, lambda: work(house))
    return [{**one, **spent} for one in parts.found]


# ---------------------------------------------------------------- the table


def _requests(kept: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Each recorded request: its head, and the whole of it as it was recorded."""
    at = 0
    while at < len(kept):
        line = kept.index(b"\n", at) + 1
        head = json.loads(kept[at:line])
        end = line + head["size"] + 1
        yield head, kept[at:end]
        at = end


def _bare(name: str, kept: bytes) -> bytes:
    """What a loop would send that knows nothing but the blocks."""
    if name != "dhis2":
        return kept
    return b"".join(
        whole for head, whole in _requests(kept)
        if head["to"] == name and head["method"] == "POST" and head["path"].startswith("/api/dataValueSets")
    )  # fmt: skip


def measured(name: str, *, latency: int, visits: int = 0, sites: int | None = None) -> list[Part]:
    """The parts of one target, each with ``requests`` and the seconds of the bare loop (``bare``)."""
    print(f"{name}{f', {latency} ms away' if latency else ''} ...", file=sys.stderr, flush=True)
    more = {"BENCH_SITES": str(sites), "BENCH_CHWS": str(_WORKERS)} if sites else {}
    with tempfile.TemporaryDirectory(prefix="relais-bench-") as made:
        folder = Path(made)
        requests = folder / "requests"
        with bench.served(visits, folder, requests, more) as environment:
            bench.slowed(environment, latency)
            profile = os.environ.get("BENCH_PROFILE_TARGETS", "")
            ours = {
                **environment, "BENCH_REQUESTS": str(requests), "BENCH_LATENCY": str(latency),
                "BENCH_PROFILE_CHILD": f"{profile}.{name}-{latency}" if profile else "",
            }  # fmt: skip
            parts: list[Part] = bench.child(name, ours, folder / "home", script="scripts/bench_targets.py")
            kept = requests.read_bytes()
            ends = [parts[0]["begin"], *(part["end"] for part in parts)]
            for number, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
                slice_of = folder / "replayed"
                slice_of.write_bytes(_bare(name, kept[begin:end]))
                again = {**ours, "BENCH_REQUESTS": str(slice_of), "BENCH_NO_RESET": "1" if number else ""}
                loop = bench.child("bare", again, folder / "bare")
                if number:
                    sent = sum(head["to"] == name for head, _ in _requests(kept[begin:end]))
                    parts[number - 1] |= {"requests": sent, "bare": loop["seconds"][name], "away": latency}
    return parts


def show(parts: list[Part]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Each target by itself")
    for name in (
        "what", "line, ms", "count", "seconds", "per second", "own CPU s", "requests", "requests each", "bare loop s",
        "times bare",
    ):  # fmt: skip
        table.add_column(name, justify="left" if name == "what" else "right")
    for one in parts:
        count, seconds, bare = one["count"], one["seconds"], one["bare"]
        table.add_row(
            one["what"] + ("" if one.get("all", True) else " (not all)"), str(one["away"]), f"{count:,}",
            f"{seconds:.2f}", f"{count / seconds:,.0f}" if seconds else "-", f"{one['cpu']:.2f}",
            f"{one['requests']:,}", f"{one['requests'] / count:.3g}" if count else "-", f"{bare:.2f}",
            f"{seconds / bare:.2f}" if bare else "-",
        )  # fmt: skip
    Console(width=150).print(table)


def main() -> int:
    if len(sys.argv) > 1:
        work: dict[str, Callable[[], list[Part]]] = {"dhis2": dhis2, "openmrs": openmrs, "fhir": fhir}
        print(json.dumps(work[sys.argv[1]]()))
        return 0
    only = os.environ.get("BENCH_ONLY")
    parts: list[Part] = []
    if only in (None, "", "dhis2"):
        parts += measured("dhis2", latency=NEAR, sites=_SITES)
        parts += measured("dhis2", latency=FAR, sites=_SITES)
    if only in (None, "", "openmrs"):
        parts += measured("openmrs", latency=NEAR)
    if only in (None, "", "fhir"):
        parts += measured("fhir", latency=0, visits=round(RESOURCES / _EACH))
    show(parts)
    return 0 if all(one.get("all", True) for one in parts) else 3


if __name__ == "__main__":
    sys.exit(main())
