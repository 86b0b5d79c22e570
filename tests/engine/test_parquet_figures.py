"""The recount over Parquet files is equal to the cells, whatever rule an indicator counts by."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.engine import tally
from connector.store import parquet
from tests.engine.house import Road, meeting
from tests.store.test_parquet import WITHOUT


def test_the_recount_over_parquet_is_the_cell(road: Road, tmp_path: Path) -> None:
    pytest.importorskip("polars", reason=WITHOUT)
    road.write_meetings("01", [meeting(1, saved=2500), meeting(2, saved=1250), meeting(3, group="GE-A1-02", saved=0)])
    road.run(targets=[])
    store, keyed = road.engine.store, tally.keyed(road.engine.pack)
    store.read(lambda unit: parquet.export(unit, tmp_path / "out"))
    rows = list(parquet.recount(tmp_path / "out", keyed))
    cells = road.rows("SELECT indicator FROM cell WHERE value IS NOT NULL")
    assert len(rows) == len(cells) > 20 and {row["indicator"] for row in rows} & set(keyed)
    assert store.read(lambda unit: tally.differing(road.engine, unit, rows)) == []
    store.write(
        lambda unit: unit.connection.exec_driver_sql("UPDATE cell SET value='7' WHERE data_element='MH_B02_NUM'")
    )
    wrong = store.read(lambda unit: tally.differing(road.engine, unit, rows))
    assert {(one["indicator"], one["part"], one["value"], one["recounted"]) for one in wrong} == {
        ("B02", "num", "7", "1")
    }
