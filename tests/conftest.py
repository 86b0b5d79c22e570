"""For all tests: how long hypothesis takes to draw says something of the machine, nothing of the code; and the tables
of an empty SQLite database are copied from one that was migrated, which is what every other test does not test.

Coverage is measured where mappings and engine are tested piece by piece, in a run of its own over the files that show
most of their lines in the least time (``--part covering``). What goes through the whole house again and again would
take three times as long to show the same lines, and "covered" would mean less. Within those files a test marked
``again`` goes with the rest: it takes long, and through lines that its neighbours show (``--cov-context=test`` and
``--durations=0`` tell which those are)."""

from __future__ import annotations

import re
import sqlite3
import sys
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import typer.main
from hypothesis import HealthCheck, settings

from connector.store.database import SqlStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connector.mappings.pack import Pack
    from connector.model import Finding

settings.register_profile("relais", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("relais")

#: The files whose tests say what is covered.
COVERING = {
    "cli": {"examples", "preview"},
    "engine": {
        "asking", "audit_events", "clock", "delivery", "engine_edges", "intake", "lineage_files", "match_review",
        "plan", "proof", "rehearsal", "release", "same_person", "starter", "together", "tracker",
    },
    "unit": {
        "audit", "concepts", "example_changes", "fhir", "fhir_sharing", "forms", "indicators", "likeness", "lint",
        "mapping_edges", "new_pack", "org_unit_tree", "r4", "schema", "similar",
    },
}  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part", choices=("covering", "rest"), help="only the files that say what is covered, or the others"
    )


@pytest.fixture(scope="session", autouse=True)
def _at_once() -> Iterator[None]:
    """Reads are made again without a pause: it is the only true waiting there is in most tests. Simulated worlds have
    clocks of their own, and the pause as it is (tests/sim)."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("connector.http.PAUSE", 0.001)
        yield


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    part, name = config.getoption("--part"), collection_path.stem
    if part is None or not name.startswith("test_"):
        return None
    if not _covers(collection_path):
        return part == "covering" or None
    return (part == "rest" and "mark.again" not in collection_path.read_text(encoding="utf-8")) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    part = config.getoption("--part")
    if part is None:
        return
    kept, left_out = [], []
    for item in items:
        once = _covers(item.path) and item.get_closest_marker("again") is None
        (kept if once == (part == "covering") else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def pytest_collection() -> None:
    """Commands in a test's own process read the shipped pack and lint it again and again: once for every set of values
    of its variables. Not at the top of this file: what is imported there is not seen by coverage."""
    from connector import loading

    read, lint = loading.config.load_pack, loading.lint.lint
    shipped = Path(__file__).parent.parent / "config" / "mali-health"
    variables = re.findall(r"\$\{(\w+)", (shipped / "connector.yaml").read_text(encoding="utf-8"))
    kept: dict[tuple[str | bool | None, ...], tuple[Pack, list[Finding]]] = {}
    linted: dict[int, list[Finding]] = {}

    def read_once(
        folder: Path, env: Mapping[str, str], secrets_dir: Path | None = None, *, strict: bool = True
    ) -> tuple[Pack, list[Finding]]:
        if secrets_dir is not None or folder.resolve() != shipped:
            return read(folder, env, secrets_dir, strict=strict)
        key = (strict, *map(env.get, variables))
        if key not in kept:
            kept[key] = read(folder, env, strict=strict)
            linted[id(kept[key][0])] = lint(kept[key][0])
        pack, findings = kept[key]
        return pack, list(findings)

    def lint_once(pack: Pack) -> list[Finding]:
        return list(linted[id(pack)]) if id(pack) in linted else lint(pack)

    loading.config = SimpleNamespace(load_pack=read_once)  # type: ignore[assignment]
    loading.lint = SimpleNamespace(lint=lint_once)  # type: ignore[assignment]


def _covers(file: Path) -> bool:
    return file.stem.removeprefix("test_") in COVERING.get(file.parent.name, ())


#: A command line is put together once, not at each command.
typer.main.get_command = cache(typer.main.get_command)

#: httpx asks for it at every exchange with a simulator. That it is not installed need not be found out each time.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]

migrated = SqlStore.create  #: what ships; tests/store/test_migrations.py puts it back


@cache
def template() -> str:
    place = Path(tempfile.mkdtemp(prefix="relais-tables-")) / "relais.db"
    store = SqlStore(f"sqlite:///{place}")
    migrated(store)
    store.close()
    return str(place)


def copied(self: SqlStore) -> None:
    if not self.sqlite or self.schema() is not None:
        return migrated(self)
    with closing(sqlite3.connect(template())) as source, closing(self._writer.raw_connection()) as target:
        source.backup(target.driver_connection)  # type: ignore[arg-type]
    return None


SqlStore.create = copied  # type: ignore[method-assign]
