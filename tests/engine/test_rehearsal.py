"""What a changed pack would do is told before it does it, exactly, and nothing of it happens; history counted again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from connector import bootstrap
from connector.engine import backfilling, rehearsing, runs
from connector.mappings.expressions import compile_expression
from connector.mappings.pack import Pack, Predicate
from connector.settings import Settings
from tests.engine.house import UNIT, Change, Make, QuickStore, Road, a_few, visit

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
    job = backfilling.ask(road.engine, ["A04"], "202607", "202608", "awa")
    assert job["records"] == 3, "one in July, two in August"
    road.run(targets=[])
    visits = {address[3]: value for address, value in figures(road).items() if address[0] == "MH_A04"}
    assert visits == {"202608": "1", "202609": "99"}, "July lost its only record; nobody asked for September"
    entry = road.one("SELECT who, detail FROM audit WHERE event='person.backfill'")
    told, cells = orjson.loads(entry["detail"]), road.rows("SELECT period FROM cell WHERE indicator='A04'")
    assert entry["who"] and (told["periods"], told["records"], told["seen"]) == ("202607..202608", 3, {})
    assert told["cells"] == sum(1 for cell in cells if cell["period"] != "202609") > 0
    with pytest.raises(ValueError, match="before"):
        backfilling.ask(road.engine, ["A04"], "202608", "202607", "awa")


class Killed(BaseException):
    """As ``kill -9``: nothing of ours catches it."""


def dies_at(road: Road, monkeypatch: pytest.MonkeyPatch, commits: int) -> None:
    """The process ends at this commit: what it would have written is not there."""
    left, write = [commits], road.engine.store.write

    def counted(fn: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return write(fn)

    monkeypatch.setattr(road.engine.store, "write", counted)


@pytest.mark.again
def test_history_goes_on_where_it_was_killed_and_sends_no_figure_half_counted(
    make_road: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed again and again, each time at a later commit, two records a step: each start goes on, and in the end all
    is as it should be."""
    monkeypatch.setattr(backfilling, "STEP", 2)
    more = [visit(f"more-{n}", f"2026-08-{10 + n}") for n in range(4)]
    road = make_road([*a_few(), *more])
    road.settle()
    wanted, query = (
        road.values(),
        "SELECT DISTINCT s.value FROM value_sent s JOIN cell c ON c.id=s.cell WHERE indicator='A04'",
    )
    sent = road.rows(query)
    with road.engine.store._writer.begin() as connection:  # what a faulty version of the rules left behind
        connection.execute(text("DELETE FROM contribution WHERE indicator='A04'"))
    job = backfilling.ask(road.engine, ["A04"], "202608", "202608", "awa")
    assert job["records"] == 6
    seen, commits = [], 9
    for _ in range(40):
        with pytest.MonkeyPatch.context() as patch:
            dies_at(road, patch, commits)
            with suppress(Killed):
                road.run(targets=["dhis2"])
        road.again()
        road.later(minutes=2)  # the lock of the one that was killed is over
        standing = road.engine.store.read(backfilling.standing)
        seen.append(standing[0]["done"] if standing else None)
        if not standing:
            break
        commits += 1
    assert seen[-1] is None and len(seen) > 3, seen
    places = [done for done in seen if done is not None]
    assert places == sorted(places) and len(set(places)) > 2, "it goes on, and never from the start"
    road.settle()
    assert road.values() == wanted
    assert road.rows(query) == sent, "nothing left half counted"
    (entry,) = road.rows("SELECT detail FROM audit WHERE event='history.done'")
    assert orjson.loads(entry["detail"]) == {"job": job["id"], "records": 6}


def test_what_is_current_does_not_wait_for_history(make_road: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that arrives while history is under way is at DHIS2 before that is done; the figures of the job wait."""
    monkeypatch.setattr(backfilling, "STEP", 1)
    road = make_road(a_few())
    road.settle()
    assert road.value("MH_B02_DEN", "A3_Y0_4") == "1"
    backfilling.ask(road.engine, ["A04"], "202608", "202608", "awa")
    road.cht.put(visit("late", "2026-08-20"))
    run = runs.Run(road.engine, list(road.engine.sources), ["dhis2"])
    with runs.locked(road.engine):
        road.go(run.round)
    (job,) = road.engine.store.read(backfilling.standing)
    assert (job["done"], job["records"]) == (1, 2)
    assert road.value("MH_B02_DEN", "A3_Y0_4") == "2", "what came in stands in DHIS2"
    waiting = road.engine.store.read(backfilling.waiting)
    assert waiting == [("A04", "202608")], "its own figures wait"
    road.settle()
    assert road.engine.store.read(backfilling.waiting) == [] and not road.engine.store.read(backfilling.standing)
    counted = [int(value) for address, value in road.values().items() if address[0] == "MH_A04" and "202608" in address]
    assert sum(counted) == 2, "one and the one that came"
