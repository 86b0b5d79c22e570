"""What a changed pack would do is told before it does it, exactly, and nothing of it happens; history counted again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from connector import bootstrap
from connector.engine import backfilling, rehearsing
from connector.mappings.expressions import compile_expression
from connector.mappings.pack import Pack, Predicate
from connector.settings import Settings
from tests.engine.house import UNIT, Change, Make, QuickStore, Road, a_few

MONTHS = ("202607", "202608", "202609")


def negative_counts(pack: Pack) -> Pack:
    """B02 counts negative tests in the place of positive ones."""
    b02 = pack.indicators["B02"]
    source = "malaria_rdt = 'negative'"
    other = replace(b02, parts={**b02.parts, "num": Predicate(source, compile_expression(source))}, version="other")
    return replace(pack, version="other", indicators={**pack.indicators, "B02": other})


def no_place(pack: Pack) -> Pack:
    return replace(pack, version="no place", org_units=())


@contextmanager
def rehearsed(road: Road, change: Change) -> Iterator[dict[str, Any]]:
    pack = change(road.engine.pack)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "load", lambda settings: (pack, []))
        patch.setattr(bootstrap, "SqlStore", QuickStore)
        with bootstrap.rehearsal(Settings.load()) as (before, made):
            counts = rehearsing.run(made.engine)
            yield rehearsing.compare(before, made.store, counts)
    assert not list(Settings.load().home.glob("rehearsal-*")), "the copy is gone"


def stored(road: Road) -> list[Any]:
    tables = ("head", "activity", "contribution", "cell", "touched", "delivery", "meta")
    return [road.rows(f"SELECT * FROM {one} ORDER BY 1, 2") for one in tables]


def figures(road: Road) -> dict[tuple[str, ...], str]:
    rows = road.rows("SELECT * FROM cell WHERE value IS NOT NULL")
    return {(r["data_element"], r["combo"], r["org_unit"], r["period"]): r["value"] for r in rows}


def test_a_changed_rule_is_told_figure_by_figure_and_is_what_happens_then(make_road: Make) -> None:
    road = make_road(a_few())
    road.run(targets=[])
    before, held = figures(road), stored(road)
    with rehearsed(road, negative_counts) as told:
        pass
    assert {(i["what"], i["combo"], i["period"], i["before"], i["after"]) for i in told["items"]} == {
        *(("removed", "A3_Y0_4", month, "1", None) for month in MONTHS),
        *(("new", "A3_Y5_9", month, None, "1") for month in MONTHS),
    }
    assert {(i["data_element"], i["org_unit"]) for i in told["items"]} == {("MH_B02_NUM", UNIT)}
    assert (told["new"], told["changed"], told["removed"], told["same"]) == (3, 0, 3, len(before) - 3)
    assert told["quarantine"] == {} and stored(road) == held, "nothing happened"
    road.again(negative_counts)
    road.run(targets=[])
    for one in told["items"]:
        address = (one["data_element"], one["combo"], one["org_unit"], one["period"])
        assert figures(road).get(address) == one["after"]
    assert len(figures(road)) == len(before)


def test_records_that_would_go_to_quarantine_are_told(make_road: Make) -> None:
    road = make_road(a_few())
    road.run(targets=[])
    with rehearsed(road, no_place) as told:
        pass
    assert told["quarantine"] == {"place.no_org_unit": {"before": 0, "after": 6}}
    (form,) = told["forms"]
    assert (form["source"], form["form"]) == ("cht", "assessment")
    assert (form["before"], form["after"]) == ({"mapped": 6}, {"quarantined": 6})
    assert told["new"] == told["changed"] == 0 and told["removed"] == len(figures(road))


def test_history_is_counted_again_where_it_was_asked_for(make_road: Make) -> None:
    road = make_road(a_few())
    road.run(targets=[])
    road.cht.delete("visit-07-1")
    road.run(targets=[])
    with road.engine.store._writer.begin() as connection:
        connection.execute(text("UPDATE cell SET value='99' WHERE indicator='A04'"))
        connection.execute(text("DELETE FROM contribution WHERE indicator='A04'"))
    assert backfilling.mark(road.engine, ["A04"], "202607", "202608", "awa") == 3, "one in July, two in August"
    road.run(targets=[])
    visits = {address[3]: value for address, value in figures(road).items() if address[0] == "MH_A04"}
    assert visits == {"202608": "1", "202609": "99"}, "July lost its only record; nobody asked for September"
    entry = road.one("SELECT who, detail FROM audit WHERE event='person.backfill'")
    assert entry["who"] and orjson.loads(entry["detail"])["periods"] == "202607..202608"
    with pytest.raises(ValueError, match="before"):
        backfilling.mark(road.engine, ["A04"], "202608", "202607", "awa")
