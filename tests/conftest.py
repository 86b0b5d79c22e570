"""For all tests: how long hypothesis takes to draw says something of the machine, nothing of the code; and the tables
of an empty SQLite database are copied from one that was migrated, which is what every other test does not test.

Coverage is measured where mappings and engine are tested piece by piece. What goes through the whole house again and
again would take twice as long to show the same lines, and "covered" would mean less."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from connector.store.database import SqlStore

settings.register_profile("relais", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("relais")

#: Folders whose tests say what is covered, and files in them that do not.
COVERING = {"engine", "unit"}
WHOLE_HOUSE = {
    "test_all_figures", "test_audit_events", "test_audit_fuzz", "test_audit_road", "test_bad_input", "test_canary",
    "test_district", "test_live", "test_oracle", "test_oracle_later", "test_pack_mutants", "test_restore",
    "test_starter",
}  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] not in COVERING or item.path.stem in WHOLE_HOUSE:
            item.add_marker(pytest.mark.no_cover)


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
