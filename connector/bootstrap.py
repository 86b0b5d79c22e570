"""The one place where everything is wired: settings and pack in, a ready ``Engine`` out. Tests call it with fakes."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from connector import crypto
from connector.adapters.cht import ChtSource
from connector.adapters.cht_answers import REASONS as ANSWER_REASONS
from connector.adapters.cht_answers import ChtAnswersTarget
from connector.adapters.dhis2 import Dhis2Target, send_token
from connector.adapters.dhis2_answers import REASONS as DHIS2_REASONS
from connector.adapters.dhis2_setup import Dhis2Setup
from connector.adapters.dhis2_tracker import Dhis2TrackerTarget
from connector.adapters.dhis2_tracker_answers import REASONS as TRACKER_REASONS
from connector.adapters.fhir_server import REASONS as FHIR_REASONS
from connector.adapters.fhir_server import FhirServerTarget
from connector.adapters.files import FilesSource
from connector.adapters.openmrs import OpenmrsAnswers, OpenmrsTarget
from connector.adapters.openmrs_answers import REASONS as OPENMRS_REASONS
from connector.adapters.openmrs_needed import Meant
from connector.adapters.openmrs_rest import Rest
from connector.adapters.openmrs_setup import OpenmrsSetup
from connector.adapters.reasons import Reason
from connector.engine import audit, rules, runs, same_person, tracker
from connector.engine.engine import Engine, stamp
from connector.engine.reasons import OWN_REASONS
from connector.errors import ConfigError, PackBroken
from connector.http import make_client
from connector.identity import Names
from connector.loading import load
from connector.mappings import fhir_sharing
from connector.mappings.expected import expected_metadata
from connector.mappings.fhir import FhirBuilder
from connector.mappings.forms import Mapper
from connector.mappings.indicators import Counter
from connector.mappings.needs import dhis2_needs
from connector.mappings.pack import Pack, TargetConfig
from connector.model import Finding, Severity
from connector.ports import Setup, Target
from connector.settings import Settings
from connector.store import rehearsal as rehearsal_of
from connector.store.database import QueuedStore, SqlStore, require_current

#: Folders of copies, and after how many seconds one that nobody deleted is.
_REHEARSAL, _STALE = "rehearsal-", 86_400.0

REASONS: Mapping[str, Reason] = {
    **OWN_REASONS,
    **DHIS2_REASONS,
    **TRACKER_REASONS,
    **OPENMRS_REASONS,
    **FHIR_REASONS,
    **ANSWER_REASONS,
}


class WallClock:
    """The machine's clock."""

    def __init__(self) -> None:
        self.machine = _boot()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def steady(self) -> tuple[str, float]:
        count = getattr(time, "CLOCK_BOOTTIME", None)  # Linux: goes on while the machine sleeps
        return self.machine, time.monotonic() if count is None else time.clock_gettime(count)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass
class House:
    """A wired Relais. ``close`` leaves nothing open."""

    settings: Settings
    pack: Pack
    findings: list[Finding]
    store: SqlStore
    cipher: crypto.Cipher
    engine: Engine
    clients: list[Any]
    #: (name, settings of a connection) -> its HTTP client, closed with the others
    connect: Callable[[str, Mapping[str, Any]], Any]
    #: name of a target -> an adapter with a client of its own, for a question asked from another event loop
    another: Callable[[str], AbstractAsyncContextManager[Target]]

    async def close_clients(self) -> None:
        for client in self.clients:
            await client.aclose()

    def close(self) -> None:
        self.store.close()


def settle_in() -> None:
    """After start-up of a command that works long: what lives as long as the process (pack, schemas, compiled
    expressions) is taken out of the garbage collector's sight, and it looks less often. It found nothing there, at a
    quarter of a run's processor time (docs/performance.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 20)


def master_key(settings: Settings) -> bytes:
    """The master key; only the demo makes its own. Raises ConfigError, KeyReadable."""
    value = settings.master_key.get_secret_value() if settings.master_key else None
    if value is None and settings.master_key_file is None and settings.env == "demo":
        return crypto.demo_master_key(settings.home / "demo.key")
    return crypto.read_master_key(value, settings.master_key_file)


def new_master_key(settings: Settings) -> bytes | None:
    """The master key that is to take the other's place, where one is set."""
    value = settings.new_master_key.get_secret_value() if settings.new_master_key else None
    if value is None and settings.new_master_key_file is None:
        return None
    return crypto.read_master_key(value, settings.new_master_key_file)


def open_store(
    settings: Settings, *, queued: bool = False, create: bool = True, upgrade: bool = False
) -> tuple[SqlStore, crypto.Cipher]:
    """The database with its cipher. A new one is given its tables (``create``), an older one only on demand
    (``upgrade``). Raises WrongKey and SchemaDiffers before anything is written, ConfigError without a key."""
    key, new = master_key(settings), new_master_key(settings)
    settings.home.mkdir(parents=True, exist_ok=True)
    store = (QueuedStore if queued else SqlStore)(settings.database)
    try:
        found = store.schema()
        if found is not None:
            store.read(lambda unit: crypto.check_key(unit.connection, key, *([new] if new else [])))
        if upgrade or (create and found is None):
            store.create()
        else:
            require_current(found)
        cipher: crypto.Cipher = store.write(lambda unit: crypto.Cipher.open(unit.connection, key, new=new))
    except BaseException:
        store.close()
        raise
    cipher.read = lambda fn: store.read(lambda unit: fn(unit.connection))
    store.cipher = cipher
    return store, cipher


def build(
    settings: Settings,
    *,
    queued: bool = False,
    transport: Callable[[str], Any] | None = None,
    clock: Any = None,
    rng: random.Random | None = None,
    strict: bool = True,
) -> House:
    """Wire everything. ``transport(name)`` gives the HTTP transport of a connection (tests, simulation).

    Raises PackBroken when the pack has errors (``strict``), ConfigError, WrongKey.
    """
    pack, findings = load(settings)
    errors = [f for f in findings if f.severity is Severity.ERROR]
    if errors and strict:
        raise _broken(errors[:10])
    store, cipher = open_store(settings, queued=queued)
    held = store.read(lambda unit: unit.fact("pack_id"))
    if held is not None and held != pack.id:
        raise ConfigError(
            f"This database belongs to the pack {held!r}, not to {pack.id!r}. Nothing was written. "
            "pack.id never changes: use another database for another pack.",
            french=f"Cette base de données est celle du paquet « {held} », pas de « {pack.id} ». Rien n'a été écrit. "
            "pack.id ne change jamais : donnez à un autre paquet une autre base.",
        )
    if held is None:
        store.write(lambda unit: unit.keep_fact("pack_id", pack.id))
    clock = clock or WallClock()
    clients: list[Any] = []

    def new_client(name: str, values: Mapping[str, Any]) -> Any:
        return make_client(
            str(values["url"]),
            user=values.get("user"),
            password=values.get("password"),
            token=values.get("token"),
            timeout=float(values.get("timeout", 60)),
            transport=transport(name) if transport else None,
            insecure=str(values.get("insecure", "false")).lower() == "true",
        )

    def client(name: str, values: Mapping[str, Any]) -> Any:
        clients.append(new_client(name, values))
        return clients[-1]

    @asynccontextmanager
    async def another(name: str) -> AsyncIterator[Target]:
        async with new_client(name, pack.targets[name].settings) as own:
            yield adapter_of(pack, names, clock, pack.targets[name], own)

    names = Names(pack.id)
    sources: dict[str, Any] = {}
    feeds: dict[str, Any] = {}
    targets: dict[str, Any] = {}
    for source in pack.sources.values():
        if source.kind == "cht":
            sources[source.name] = ChtSource(client(source.name, source.settings), source.name, source.settings)
        elif source.kind == "files":
            sources[source.name] = FilesSource(Path(str(source.settings["folder"])), source.name, source.settings)
    for target in pack.targets.values():
        made = client(target.name, target.settings)
        targets[target.name] = adapter_of(pack, names, clock, target, made)
        if target.kind == "openmrs":
            feeds["openmrs"] = OpenmrsAnswers(
                made, name="openmrs", openmrs=pack.openmrs, settings=target.settings, zone=pack.zone
            )
    rng = rng or random.SystemRandom()  # type: ignore[assignment]
    engine = Engine(
        pack=pack,
        store=store,
        clock=clock,
        random=rng.random,
        names=names,
        mapper=Mapper(pack),
        counter=Counter(pack),  # type: ignore[union-attr]
        builder=FhirBuilder(pack, names),
        sources=sources,
        targets=targets,
        feeds=feeds,
        holder=_holder(),
        heartbeat=clock.__class__ is WallClock,
        reasons=REASONS,
        quiet_scale=settings.quiet_scale,
        retry_scale=settings.retry_scale,
        run=f"run-{stamp(clock.now())}",
        sign=cipher.sign,
        public_key=cipher.public_key,
        heads=settings.heads,
    )
    new_pack(engine)
    return House(settings, pack, findings, store, cipher, engine, clients, client, another)


def adapter_of(pack: Pack, names: Names, clock: Any, target: TargetConfig, client: Any) -> Target:
    """The adapter of a target over an HTTP client. Raises ConfigError."""
    values = target.settings
    if target.kind == "dhis2":
        wanted = {**values, "expected": expected_metadata(pack), "live_from": target.live_from}
        return Dhis2Target(client, name=target.name, settings=wanted, look_first=True, now=clock.now)
    if target.kind == "dhis2_tracker":
        overwrite = target.on_existing == "overwrite"
        level = pack.tracker.level if pack.tracker else ""
        units = sorted({row.org_unit for row in pack.org_units if row.level == level})
        return Dhis2TrackerTarget(
            client,
            name=target.name,
            settings={**values, "org_units": units},
            names=names,
            tracker=pack.tracker,
            overwrite=overwrite,
            now=clock.now,
        )
    if target.kind == "openmrs":
        return OpenmrsTarget(
            client,
            name=target.name,
            settings=values,
            openmrs=pack.openmrs,
            names=names,
            zone=pack.zone,
            now=clock.now,
            look_first=True,
        )
    if target.kind == "fhir_server":
        types = fhir_sharing.types_made(pack) & fhir_sharing.types_of(values)
        settings = {**values, "on_existing": target.on_existing, "expected_types": types}
        return FhirServerTarget(client, target.name, settings, look_first=True)
    return ChtAnswersTarget(client, target.name, values)


@contextmanager
def rehearsal(settings: Settings, pack: Path | None = None) -> Iterator[tuple[SqlStore, House]]:
    """The database as it is, and everything wired with ``pack`` over a copy of it, which is deleted at the end.
    Building marks what that pack would map again. The copy lies in ``home``, encrypted as the database is.

    Raises PackBroken, ConfigError, WrongKey, StoreError.
    """
    store, _ = open_store(settings, create=False)
    stale = time.time() - _STALE
    for left in settings.home.glob(f"{_REHEARSAL}*"):  # of one that was killed
        if left.stat().st_mtime < stale:
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_REHEARSAL, dir=settings.home))
    url = f"sqlite:///{(folder / 'relais.db').absolute()}"
    try:
        into = SqlStore(url)
        try:
            rehearsal_of.copy(store, into)
        finally:
            into.close()
        made = build(settings.model_copy(update={"pack": pack or settings.pack, "database_url": SecretStr(url)}))
        try:
            yield store, made
        finally:
            made.close()
    finally:
        store.close()
        shutil.rmtree(folder, ignore_errors=True)


def setup_of(made: House, target: TargetConfig, user: str | None = None, password: str | None = None) -> Setup:
    """The metadata of a target. ``user``: an account that may change it, used for nothing else. Raises ConfigError."""
    own = made.connect(target.name, target.settings)
    given = {key: value for key, value in target.settings.items() if key not in ("user", "password", "token")}
    admin = made.connect(target.name, {**given, "user": user, "password": password}) if user else None
    names = made.engine.names
    if target.kind == "dhis2":
        send_token(own, target.settings)
        return Dhis2Setup(own, name=target.name, needs=dhis2_needs(made.pack), names=names, admin=admin)
    if target.kind == "openmrs":
        titles = {row.place: row.name for row in made.pack.org_units}
        return OpenmrsSetup(
            Rest(admin or own), name=target.name, openmrs=made.pack.openmrs, titles=titles, names=names,
            ciel=ciel_of(made.pack),
            own=Rest(own), profile=str(target.settings.get("profile") or made.pack.openmrs.get("profile") or "o3"),
        )  # fmt: skip
    raise ConfigError(
        f"There is nothing to set up at a target of kind {target.kind}. Relais did nothing. Name one of DHIS2 "
        "or OpenMRS.",
        french=f"Il n'y a rien à préparer dans une cible de type {target.kind}. Relais n'a rien fait. Nommez une cible "
        "DHIS2 ou OpenMRS.",
    )


def ciel_of(pack: Pack) -> Mapping[str, Meant]:
    """Number of CIEL -> what the pack says it means."""
    coded = [one for one in pack.concepts.values() if "ciel" in one.codings]
    return {one.codings["ciel"]: Meant(str(one.name.get("en") or one.id), one.kind) for one in coded}


async def org_units_of(made: House, target: TargetConfig) -> Sequence[Mapping[str, Any]]:
    """The org units of a DHIS2, as ``org_unit_tree.units_of`` takes them. Raises TargetUnreadable, TargetRefused."""
    own = made.connect(target.name, target.settings)
    send_token(own, target.settings)
    return await Dhis2Setup(own, name=target.name, needs=dhis2_needs(made.pack), names=made.engine.names).org_units()


def _broken(errors: Sequence[Finding]) -> PackBroken:
    english = "\n".join(f"  {f.file}:{f.line}: {f.message} {f.fix}".rstrip() for f in errors)
    french = "\n".join(
        f"  {f.file}:{f.line} : {f.french[0] or f.message} {f.french[2] or f.fix}".rstrip() for f in errors
    )
    return PackBroken(f"{PackBroken.english()}\n{english}", french=f"{PackBroken.french}\n{french}")


def _boot() -> str:
    """This start of the machine, the same in all its containers; empty elsewhere than on Linux."""
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else ""


def _holder() -> str:
    """Names this process: machine, boot, process id and the tick it began at, so that a killed one is told from a
    living one that got its number, as the first process of a restarted container does."""
    return f"{socket.gethostname()}/{_boot()[:8]}/{os.getpid()}-{runs.began(os.getpid()) or ''}"


def new_pack(engine: Engine) -> int:
    """When the pack changed since the last start, records of changed, new or dropped forms are mapped again."""

    def work(unit: Any) -> int:
        config = engine.target_of(tracker.KIND)
        if config is not None and config.mode != "shadow":  # its events need their person, whenever she was wanted
            unit.leave_shadow(config.name, engine.now())
        if unit.fact("pack_version") == engine.pack.version:
            return 0
        known = {k: v for k, v in (p.split("=") for p in (unit.fact("form_versions") or "").split(";") if p)}
        counting = engine.counter.version if hasattr(engine.counter, "version") else engine.pack.version
        everything = unit.fact("counting_version") not in (None, counting)
        changed = [
            (source, name)
            for (source, name), form in engine.pack.forms.items()
            if everything or known.get(f"{source}/{name}") not in (None, form.version)
        ]
        gone = [(s, n) for s, _, n in (one.partition("/") for one in known) if (s, n) not in engine.pack.forms]
        before = unit.fact("tracker") or ""
        if before != tracker.sends(engine):
            goes = tracker.kinds_of(before) | tracker.kinds_of(tracker.sends(engine))
            changed += [key for key, form in engine.pack.forms.items() if form.activity in goes and key not in changed]
        count: int = unit.dirty_forms(changed + gone) if unit.fact("pack_version") else 0
        if everything:
            unit.touch_all()  # also what lost its last record while its indicator was not in the pack
        same_person.renew(engine, unit)
        quarantined = unit.dirty_records(unit.quarantine_records(None))
        rules.note(engine, unit)
        unit.keep_fact("pack_version", engine.pack.version)
        unit.keep_fact("counting_version", counting)
        unit.keep_fact("tracker", tracker.sends(engine))
        unit.keep_fact("form_versions", ";".join(f"{s}/{n}={f.version}" for (s, n), f in engine.pack.forms.items()))
        audit.record(
            unit,
            at=engine.now(),
            event="pack.loaded",
            subject=engine.pack.id,
            detail={"version": engine.pack.version, "remapped": count + quarantined},
        )
        return count + quarantined

    return int(engine.store.write(work))
