"""A road whose pack may change under it, and what is compared of two of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from connector.mappings.pack import OrgUnitRow, Pack
from tests.engine.house import Doc, Road, environment, shipped
from tests.unit.pack_copy import SHIPPED, PackCopy

#: (source, place) -> rows (org unit, level, parent, first day, last day); in place of those shipped.
Rows = Mapping[tuple[str, str], tuple[tuple[str, str, str, str, str], ...]]

_A03 = '{id: y0_4, name: {fr: "0 à 4 ans", en: "0 to 4 years"}, below: 5}'
_B03 = '{id: y5_9, name: {fr: "5 à 9 ans", en: "5 to 9 years"}, from: 5, below: 10}'
_F01 = '    denominator: "true"\n    numerator: stockout_days >= 1\n    by: [PRODUCT]'
_SEC = "indicators/sec-core.yaml"
_B02 = "  - id: B02\n" + (SHIPPED / _SEC).read_text("utf-8").partition("  - id: B02\n")[2].partition("  - id: ")[0]
#: Changes of the indicators: (file, old text, new text).
VARIANTS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "shipped": (),
    "bands": (
        ("categories.yaml", _A03, _A03.replace("below: 5", "below: 3")),
        ("categories.yaml", _B03, _B03.replace("from: 5", "from: 3")),
        (_SEC, "where: under5\n    by: [A2, S]", "where: under10\n    by: [A2, S]"),
    ),
    "split": ((_SEC, "numerator: rdt_done\n    by: [A3, S]", "numerator: rdt_done\n    by: [S]"),),
    "option": (("categories.yaml", "{id: y0_4, name", "{id: y0_4, code: A3_JEUNE, name"),),
    "renamed": (("categories.yaml", "{id: y0_4, name", "{id: petits, name"),),
    "part": ((_SEC, _F01, "    where: stockout_days >= 1\n    by: [PRODUCT]"),),
    "gone": ((_SEC, _B02, ""),),
    "renumbered": (
        ("dhis2.yaml", "  # exceptions: {B01_NUM: AUTRE_CODE}", "  exceptions: {A04: MH_B10_DEN, B10_DEN: MH_A04}"),
    ),
    "no_form": (),
}  # fmt: skip
#: Those whose figures the DHIS2 of the sandbox has a place for.
SENDABLE = ("shipped", "bands", "gone", "renumbered", "no_form")


def shipped_anywhere() -> Pack:
    """The shipped pack, read once, whatever the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(Path("/srv")).items():
            patch.setenv(name, value)
        return shipped()[0]


@cache
def variant(name: str) -> Pack:
    """The shipped pack with one of the changes."""
    if not VARIANTS[name]:
        return shipped_anywhere()
    with tempfile.TemporaryDirectory() as folder:
        copy = PackCopy(Path(folder))
        for examples in copy.folder.rglob("*.test.yaml"):
            examples.unlink()  # they say what the shipped pack gives
        for file, old, new in VARIANTS[name]:
            copy.change(file, old, new)
        pack, findings = copy.load()
    assert not [one for one in findings if str(one.severity) == "error"], findings
    return pack


def changed(name: str, rows: Rows, vanished: str = "zero") -> Any:
    """A change of the pack as ``Road`` takes it."""

    def change(pack: Pack) -> Pack:
        other = variant(name)
        kept = [row for row in pack.org_units if (row.source, row.place) not in rows]
        made = [
            OrgUnitRow(
                source, place, unit, level, parent, place, date.fromisoformat(first),
                date.fromisoformat(last) if last else None,
            )
            for (source, place), several in rows.items()
            for unit, level, parent, first, last in several
        ]  # fmt: skip
        version = sha256(repr((name, sorted(rows.items()), vanished)).encode()).hexdigest()
        return replace(
            pack,
            version=version,
            forms={key: form for key, form in pack.forms.items() if name != "no_form" or key[1] != "home_visit"},
            indicators=other.indicators,
            categories=other.categories,
            derived=other.derived,
            data_sets=other.data_sets,
            org_units=(*kept, *made),
            targets={**pack.targets, "dhis2": replace(pack.targets["dhis2"], vanished=vanished)},
        )

    return change


class World(Road):
    """A road in a folder of its own, which goes with it."""

    def __init__(self, docs: list[Doc], change: Any) -> None:
        self.own = Path(tempfile.mkdtemp(prefix="relais-properties-"))
        super().__init__(self.own, docs, change, [])

    def open(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("RELAIS_")]:
                patch.delenv(name)
            for name, value in environment(self.own).items():
                patch.setenv(name, value)
            super().open()

    def gone(self) -> None:
        self.close()
        shutil.rmtree(self.own, ignore_errors=True)

    def settle_dhis2(self) -> None:
        """Send to DHIS2 until nothing waits."""
        summary = self.run(wait=timedelta(hours=12), targets=["dhis2"])
        assert summary["outcome"] == "settled", self.rows(
            "SELECT key, state, reason, due_at FROM delivery WHERE target='dhis2' AND state <> 'accepted'"
        )

    # ------------------------------------------------------------ what is wanted, without how it came to be

    def cells(self) -> dict[tuple[str, ...], tuple[str, int]]:
        """Every figure of an indicator the pack has."""
        return {
            (r["data_set"], r["data_element"], r["org_unit"], r["period"], r["combo"]): (r["value"], r["records"])
            for r in self.rows("SELECT * FROM cell WHERE value IS NOT NULL")
            if r["indicator"] in self.engine.pack.indicators
        }

    def wanted(self) -> dict[str, Any]:
        """All that follows from the documents: two roads with the same documents and pack agree in every line."""
        found: dict[str, Any] = {f"cell {key}": value for key, value in self.cells().items()}
        for r in self.rows("SELECT record, kind, date, place, worker, subject, org_unit FROM activity"):
            found[f"activity {r.pop('record')}"] = r
        for r in self.rows("SELECT source, kind, key, digest FROM entity"):
            found[f"entity {r['source']} {r['kind']} {r['key']}"] = r["digest"]
        for r in self.rows("SELECT source, stream, key, code FROM quarantine"):
            found[f"quarantine {r['source']} {r['stream']} {r['key']}"] = r["code"]
        for r in self.rows(
            "SELECT record, indicator, part, org_unit, period, categories, COUNT(*) AS n, SUM(amount) AS amount "
            "FROM contribution GROUP BY 1, 2, 3, 4, 5, 6"
        ):
            n, amount = r.pop("n"), r.pop("amount")
            found[f"contribution {tuple(r.values())}"] = (n, float(amount))
        for r in self.rows("SELECT key, digest FROM delivery WHERE target='fhir' AND digest <> ''"):
            # A report of figures is judged by its cells; a group of people stays when nobody met any more.
            if r["key"].partition("/")[0] not in ("MeasureReport", "Group"):
                found[f"resource {r['key']}"] = r["digest"]
        for r in self.rows("SELECT record, state, date, to_place FROM referral WHERE state <> 'withdrawn'"):
            found[f"referral {r.pop('record')}"] = r
        return found


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Line by line, for people."""
    return [
        f"{key}: {ours.get(key, 'nothing')}, but {theirs.get(key, 'nothing')}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]
