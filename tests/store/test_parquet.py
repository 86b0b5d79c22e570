"""The recount over Parquet files gives what the database's own gives, and says what is missing where Polars is not."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from connector.errors import ConfigError
from connector.store import parquet
from connector.store.database import SqlStore

WITHOUT = "Polars is not installed: pip install 'relais[analytics]' lets the recount over Parquet files be tried."


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = SqlStore(f"sqlite:///{tmp_path / 'relais.db'}")
    made.create()
    yield made
    made.close()


def contribution(record: str, **more: Any) -> dict[str, Any]:
    return {
        "record": record, "indicator": "A", "part": "count", "org_unit": "U1", "period": "202607", "categories": "",
        "amount": "1", "distinct_key": "", "date": "2026-07-01", "version": "v", "moment": "", "at_least": 1, **more,
    }  # fmt: skip


def recounted(store: SqlStore, keyed: list[str]) -> list[dict[str, Any]]:
    """By the database, of every cell that has a contribution."""

    def work(unit: Any) -> list[dict[str, Any]]:
        unit.connection.exec_driver_sql(
            "INSERT INTO touched SELECT DISTINCT indicator, part, org_unit, period, categories FROM contribution "
            "WHERE categories <> '='"
        )
        return unit.recount(100_000, keyed)  # type: ignore[no-any-return]

    return sorted(store.write(work), key=lambda row: [row[name] for name in parquet._ADDRESS])


def kept(store: SqlStore, rows: list[dict[str, Any]], folder: Path) -> Path:
    store.write(lambda unit: unit.replace_contributions([], rows))
    assert store.read(lambda unit: parquet.export(unit, folder)) == len(rows)
    return folder


@pytest.mark.parametrize("seed", range(3))
def test_every_cell_is_that_of_the_database(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    pytest.importorskip("polars", reason=WITHOUT)
    monkeypatch.setattr(parquet, "CHUNK", 37)
    rng = random.Random(seed)
    rows = [
        contribution(
            f"app/reports/{n}", indicator=rng.choice("ABC"), org_unit=rng.choice(("U1", "U2")),
            period=rng.choice(("202607", "202608")), categories=rng.choice(("", "S=f", "S=m", "=")),
            amount=rng.choice(("1", "2.5", "-0.0001", "100000000000")), distinct_key=rng.choice(("", "k1", "k2", "k3")),
            moment=f"2026-07-{rng.randrange(1, 29):02}  app/reports/{n}", at_least=rng.choice((1, 2)),
        )
        for n in range(300)
    ]  # fmt: skip
    folder = kept(store, rows, tmp_path / "out")
    assert len(list(folder.iterdir())) == 9
    ours = list(parquet.recount(folder, ["A", "B"]))
    assert ours == recounted(store, ["A", "B"])
    assert any(row["keys"] for row in ours) and any(row["first"] != row["latest"] for row in ours)


def test_figures_worked_out_by_hand(store: SqlStore, tmp_path: Path) -> None:
    pytest.importorskip("polars", reason=WITHOUT)
    rows = [
        contribution("r1", categories="S=f", distinct_key="anna", moment="2026-07-01", amount="3"),
        contribution("r2", categories="S=m", distinct_key="anna", moment="2026-07-05", amount="5"),
        contribution("r3", categories="S=m", distinct_key="modibo", moment="2026-07-02", amount="7.5", at_least=2),
    ]
    first, second = parquet.recount(kept(store, rows, tmp_path / "out"), ["A"])
    names = ("categories", "records", "total", "different", "keys", "first", "latest")
    assert [str(first[name]) for name in names] == ["S=f", "1", "3.0000", "1", "1", "3.0000", "0.0000"]
    assert [str(second[name]) for name in names] == ["S=m", "2", "12.5000", "2", "0", "7.5000", "12.5000"]


def test_a_folder_that_holds_something_is_left_alone(store: SqlStore, tmp_path: Path) -> None:
    pytest.importorskip("polars", reason=WITHOUT)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        store.read(lambda unit: parquet.export(unit, tmp_path / "out"))
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_without_the_extra_a_sentence_says_so(store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ConfigError, match=r"relais\[analytics\]"):
        store.read(lambda unit: parquet.export(unit, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
