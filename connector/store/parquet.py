"""All contributions as Parquet files, and the recount of every cell over them with Polars.

For a history of many years that is to be counted as a whole, beside the database and not in it. The figures are those
of ``RECOUNT`` and ``RECOUNT_KEYS`` (counting.py). Needs the extra ``analytics`` (docs/adr/0019-analytics.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from connector.errors import ConfigError
from connector.model import ADDRESS
from connector.store.counting import WHO
from connector.store.intake import in_list, statement
from connector.store.tables import amount
from connector.store.unit import Unit

#: Contributions of one file.
CHUNK = 100_000
_ADDRESS = list(ADDRESS)
_KEY = [*_ADDRESS[:4], "distinct_key"]
#: ``moment`` ends with the id of its record: keep the files as you keep the database.
_COLUMNS = [*_ADDRESS, "amount", "distinct_key", "moment", "at_least"]
#: ``categories`` of a contribution that stands in no cell (``model.SEEN``).
_SEEN = "="


def _polars() -> Any:
    try:
        import polars
    except ModuleNotFoundError:
        raise ConfigError(
            "Polars is not installed, so nothing was written and nothing counted. Install the extra: "
            "pip install 'relais[analytics]'.",
            french="Polars n'est pas installé : rien n'a été écrit ni compté. Installez le complément : "
            "pip install 'relais[analytics]'.",
        ) from None
    return polars


def export(unit: Unit, folder: Path, persons: Sequence[str] = ()) -> int:
    """Write every contribution into ``folder``, which must be new or empty. Returns how many there were. ``persons``:
    the parts (``indicator/part``) whose keys are persons; an id that is another's stands under the one that is kept.

    Holds one file's worth of them at a time. Raises ConfigError without Polars or when there are files already.
    """
    pl = _polars()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConfigError(
            f"{folder} is not empty. Nothing was written. Name a new folder.",
            french=f"{folder} n'est pas vide. Rien n'a été écrit. Nommez un nouveau dossier.",
        )
    columns = ", ".join(
        "COALESCE(s.kept, c.distinct_key)" if name == "distinct_key" else f"c.{name}" for name in _COLUMNS
    )
    among = in_list(unit.connection.dialect.name, list(persons)).replace(":list", ":persons")
    rows = unit.connection.execute(
        statement(f"SELECT {columns} FROM contribution c {WHO.replace('{persons}', among)}"),
        {"persons": orjson.dumps(list(persons)).decode()},
        execution_options={"stream_results": True},
    )
    types = {name: pl.Int64 if name in ("amount", "at_least") else pl.String for name in _COLUMNS}
    count = 0
    while some := rows.fetchmany(CHUNK):
        frame = pl.DataFrame([tuple(row) for row in some], schema=types, orient="row")
        frame.write_parquet(folder / f"contribution-{count:012}.parquet")
        count += len(some)
    return count


def recount(folder: Path, keyed: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Every cell that has a contribution, as ``CountingQueries.recount`` gives it. ``keyed``: as there."""
    pl = _polars()
    everything = pl.scan_parquet(folder / "*.parquet")
    key = pl.col("distinct_key")
    figures = (
        everything.filter(pl.col("categories") != _SEEN)
        .group_by(_ADDRESS)
        .agg(records=pl.len(), total=pl.col("amount").sum(), different=key.filter(key != "").n_unique())
    )
    moment = pl.col("moment").fill_null("")
    nth, oldest = moment.rank("ordinal").over(_KEY), moment.rank("min").over(_KEY)
    newest = moment.rank("min", descending=True).over(_KEY)
    of_keys = (
        everything.filter((key != "") & pl.col("indicator").is_in(list(keyed)))
        .with_columns(nth=nth, times=pl.len().over(_KEY), oldest=oldest, newest=newest)
        .group_by(_ADDRESS)
        .agg(
            keys=((pl.col("nth") == 1) & (pl.col("times") >= pl.col("at_least"))).sum(),
            first=pl.col("amount").filter(pl.col("oldest") == 1).sum(),
            latest=pl.col("amount").filter(pl.col("newest") == 1).sum(),
        )
    )
    found = figures.join(of_keys, on=_ADDRESS, how="left").sort(_ADDRESS).collect(engine="streaming")
    for row in found.iter_rows(named=True):
        for name in ("total", "first", "latest"):
            row[name] = amount(row[name])
        yield {**row, "keys": row["keys"] or 0}
