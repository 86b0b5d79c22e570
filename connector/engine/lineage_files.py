"""A value's lineage as files: every record it counts as CSV, and the form fields it is made of as OpenLineage.

Both hold no fact of a person: addresses, dates, codes and keys of records, as ``explain`` shows them. Both work after
bodies were purged.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from connector.engine.engine import Engine
from connector.engine.lineage import number, wanted
from connector.mappings.columns import columns
from connector.mappings.pack import FormMapping, Indicator

#: Records read at once.
PAGE = 500

COLUMNS = (
    "data_element", "combo", "org_unit", "period", "indicator", "part", "value", "accepted", "record", "date", "place",
    "worker", "form", "mapping", "amount", "version",
)  # fmt: skip

_SPEC = "https://openlineage.io/spec"
_PRODUCER = "urn:relais"


def records(engine: Engine, cell: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every record that counts in a cell, by key."""
    after = ""
    while rows := engine.store.read(lambda unit, a=after: unit.contributors(cell, a, PAGE)):
        yield from rows
        after = rows[-1]["record"]


def cell_at(engine: Engine, element: str, org_unit: str, period: str, combo: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = engine.store.read(lambda unit: unit.cell_at(element, org_unit, period, combo))
    return found


def as_csv(engine: Engine, cell: dict[str, Any]) -> Iterator[str]:
    """Lines with semicolons, the header first; one for each record. A cell without records has one
    line, with the value that is wanted at the target."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, delimiter=";", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    nothing = True
    for row in records(engine, cell):
        nothing = False
        writer.writerow({**row, **_address(cell), "amount": number(row["amount"]), "date": row["date"]})
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    if nothing:
        value = engine.store.read(lambda unit: wanted(engine, unit, cell))
        writer.writerow({**_address(cell), "value": value})
        yield out.getvalue()


def _address(cell: dict[str, Any]) -> dict[str, Any]:
    return {key: cell[key] for key in COLUMNS if key in cell and key != "version"}


def open_lineage(engine: Engine, cell: dict[str, Any]) -> dict[str, Any]:
    """A RunEvent of OpenLineage 2-0-2: the forms whose records count in the cell, and of which of their fields."""
    pack = engine.pack
    indicator = pack.indicators.get(cell["indicator"])
    forms = sorted(
        {(str(row["record"]).partition("/")[0], str(row["form"])) for row in records(engine, cell) if row["form"]}
    )
    address = "/".join((cell["data_element"], cell["combo"], cell["org_unit"], cell["period"]))
    inputs, fields = [], []
    for source, name in forms:
        dataset = {"namespace": f"relais:{pack.id}:{source}", "name": name}
        inputs.append(dataset)
        form = pack.forms.get((source, name))
        if indicator is not None and form is not None:
            fields += [{**dataset, **one} for one in _fields(engine, indicator, cell["part"], form)]
    lineage = {"fields": {cell["data_element"]: {"inputFields": fields}}}
    output: dict[str, Any] = {"namespace": f"relais:{pack.id}:dhis2", "name": cell["data_set"]}
    output["facets"] = {"columnLineage": _facet("ColumnLineageDatasetFacet", "1-2-0", lineage)} if fields else {}
    return {
        "eventType": "COMPLETE",
        "eventTime": cell["updated"],
        "producer": _PRODUCER,
        "schemaURL": f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": engine.names.uuid("openlineage", address, str(cell["updated"]))},
        "job": {"namespace": f"relais:{pack.id}", "name": address, "facets": _job(indicator)},
        "inputs": inputs,
        "outputs": [output],
    }


def _fields(engine: Engine, indicator: Indicator, part: str, form: FormMapping) -> Iterator[dict[str, Any]]:
    uses: dict[str, list[dict[str, Any]]] = {}
    for one in columns(engine.pack, indicator, part, form):
        kind, subtype = one.kind
        how = {"type": kind, "subtype": subtype, "description": f"{one.fact}: {one.expression}", "masking": False}
        uses.setdefault(one.field, []).append(how)
    for field, transformations in uses.items():
        yield {"field": field, "transformations": transformations}


def _job(indicator: Indicator | None) -> dict[str, Any]:
    """The rule in words, where the pack has them."""
    words = next((text for text in (indicator.definition.values() if indicator else ()) if text), "")
    if not words:
        return {}
    return {"documentation": _facet("DocumentationJobFacet", "1-0-1", {"description": words})}


def _facet(name: str, version: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"_producer": _PRODUCER, "_schemaURL": f"{_SPEC}/facets/{version}/{name}.json#/$defs/{name}", **content}
