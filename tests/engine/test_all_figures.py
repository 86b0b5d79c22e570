"""Every figure of the pack, counted by the engine from the synthetic district, and by the sandbox's own slow code."""

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
    district = District(seed=seed)

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
    truth.answers.clear()  # nobody asks the clinic here
    wanted = {key: str(n) for key, n in oracle.all_figures(truth, district).items()}
    assert len(wanted) > 7_000
    assert ours(road) == wanted
