"""What is counted from several records together: who is counted once, the latest report, episodes, registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from connector.engine import lineage
from connector.mappings.pack import DeploymentRow, Pack
from tests.engine.house import ANNA, MODIBO, UNIT, WORKERS, Doc, Make, Road, meeting, person, place, report, visit
from tests.unit.pack_copy import PackCopy

AREA = "ML-KKO-D1-A1"
INDICATORS = """
area: sec
data_set: MH_SEC
indicators:
  - id: X_SEEN
    name: Enfants vus
    counts: sick_visit
    aggregate: distinct
    distinct: subject
    by: [FEVER]
  - id: X_TWICE
    name: Enfants vus deux fois
    counts: sick_visit
    aggregate: distinct
    distinct: subject
    distinct_at_least: 2
    by: [FEVER]
  - id: X_MEMBERS
    name: Membres au dernier rapport
    counts: savings_meeting
    aggregate: latest
    distinct: place
    among: $exists(members)
    amount: members
    data_set: MH_EPARGNE
  - id: X_LEFT
    name: Épargne par membre du début
    numerator: {counts: savings_meeting, aggregate: sum, amount: saved_xof}
    denominator: {counts: savings_meeting, aggregate: first, distinct: place, among: $exists(members), amount: members}
    data_set: MH_EPARGNE
  - id: X_FOLLOWED
    name: Suivis dans les trois jours
    counts: treated
    denominator: "true"
    numerator: followed = true
    by: [S]
  - id: X_CHILDREN
    name: Enfants inscrits
    counts: child
    by: [S]
  - id: X_WORKERS
    name: ASC actifs
    counts: worker
    denominator: "true"
    numerator: active = true
"""
CATEGORY = """
  - id: FEVER
    name: Fièvre
    fact: fever_word
    options:
      - {id: fever, name: Fièvre}
      - {id: none, name: Sans}
"""
EPISODES = """
episodes:
  - id: treated
    name: Enfant traité
    opens: sick_visit
    when: malaria_treated = true
    key: subject
    members:
      - {kind: follow_up, from: 1, to: 3}
    facts:
      followed: $count(members[kind = 'follow_up']) > 0
"""
REGISTERS = """
registers:
  - id: child
    name: Enfants inscrits
    of: person
    when: age_months < 60
  - id: worker
    name: ASC
    of: deployments
    group: asc
    members: {supervision: supervised_chw}
    facts:
      active: records > 0
"""


@pytest.fixture(scope="module")
def with_more(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Pack], Pack]:
    """The shipped pack with the indicators above, and no more of its own."""
    copy = PackCopy(Path(tmp_path_factory.mktemp("pack")))
    for path in {*(copy.folder / "indicators").glob("*.yaml"), *copy.folder.rglob("*.test.yaml")}:
        path.unlink()  # the examples are of what is taken out
    copy.write("indicators/more.yaml", INDICATORS)
    copy.append("categories.yaml", CATEGORY)
    copy.append("activities.yaml", "  fever_word: \"fever = true ? 'fever' : fever = false ? 'none'\"\n")
    copy.write("episodes.yaml", EPISODES)
    copy.write("registers.yaml", REGISTERS)
    other, findings = copy.load()
    assert not [one for one in findings if str(one.severity) == "error"], findings
    names = ("indicators", "categories", "derived", "episodes", "registers")

    def change(pack: Pack) -> Pack:
        return replace(pack, version=other.version, **{name: getattr(other, name) for name in names})

    return change


@pytest.fixture
def start(make_road: Make, with_more: Callable[[Pack], Pack]) -> Callable[..., Road]:
    def start(docs: list[Doc], change: Callable[[Pack], Pack] = lambda pack: pack) -> Road:
        return make_road(docs, lambda pack: change(with_more(pack)))

    return start


def counted(road: Road, indicator: str) -> dict[tuple[str, ...], str]:
    """What is counted now: (part, org unit, period, categories) -> figure."""
    road.run(targets=[])
    rows = road.rows("SELECT * FROM cell WHERE indicator=:i AND value IS NOT NULL", i=indicator)
    return {(r["part"], r["org_unit"], r["period"], r["categories"]): r["value"] for r in rows}


def seen(key: str, day: str, fever: str | None = "yes", *, treated: str = "no", **more: Any) -> Doc:
    doc = visit(key, day, **more)
    doc["fields"]["group_fever"] = {
        **({"patient_fever": fever} if fever else {}),
        "malaria_treatment_given": treated,
    }
    return doc


def follow_up(key: str, day: str, subject: str = ANNA) -> Doc:
    return report(key, "assessment_follow_up", day, {"patient_id": subject, "outcome": "improved"})


# ---------------------------------------------------------------- counted once


def test_a_child_is_counted_where_her_first_visit_of_the_month_stands(start: Callable[..., Road]) -> None:
    fever, none, unknown = ((f"FEVER={o}") for o in ("fever", "none", "unknown"))
    road = start([person(ANNA), person(MODIBO), seen("b", "2026-08-12", "no"), seen("c", "2026-08-20")])
    cell = ("count", UNIT, "202608")
    assert counted(road, "X_SEEN") == {(*cell, none): "1"}
    road.cht.put(seen("a", "2026-08-11"))  # an earlier one comes late: she moves
    assert counted(road, "X_SEEN") == {(*cell, fever): "1"}
    road.cht.put(seen("d", "2026-08-01", None, subject=MODIBO))
    assert counted(road, "X_SEEN") == {(*cell, fever): "1", (*cell, unknown): "1"}
    road.cht.delete("a")
    assert counted(road, "X_SEEN") == {(*cell, none): "1", (*cell, unknown): "1"}
    assert counted(road, "X_TWICE") == {(*cell, none): "1"}, "Modibo was seen once"
    road.cht.delete("b")
    assert counted(road, "X_TWICE") == {}
    assert counted(road, "X_SEEN") == {(*cell, fever): "1", (*cell, unknown): "1"}
    road.cht.edit("c", {"contact.parent._id": "site-2"})
    assert counted(road, "X_SEEN") == {
        (*cell, unknown): "1", ("count", "ML-KKO-D1-A1-S2", "202608", fever): "1",
    }  # fmt: skip


def test_of_one_day_the_visit_that_says_the_hour_goes_first(start: Callable[..., Road]) -> None:
    early, late = seen("z", "2026-08-12"), seen("y", "2026-08-12", "no")
    early["reported_date"], late["reported_date"] = 1_786_521_600_000, 1_786_525_200_000  # 12 August, 8 and 9 o'clock
    road = start([person(ANNA), early, late, seen("a", "2026-08-12", None)])
    assert counted(road, "X_SEEN") == {("count", UNIT, "202608", "FEVER=fever"): "1"}


# ---------------------------------------------------------------- the first and the latest


def test_the_latest_report_of_each_group_counts_and_no_other(start: Callable[..., Road]) -> None:
    def told(n: int, day: str, members: Any, **more: Any) -> Doc:
        return meeting(n, day, presence={"membres_inscrits": members, "presentes": 1}, **more)

    road = start([])
    road.write_meetings(
        "1", [told(1, "2026-08-05", 20), told(2, "2026-08-19", 24), told(3, "2026-08-12", 30, group="GE-A1-02")]
    )
    cell = ("count", AREA, "202608", "")
    assert counted(road, "X_MEMBERS") == {cell: "54"}
    assert counted(road, "X_LEFT") == {("num", AREA, "202608", ""): "7500", ("den", AREA, "202608", ""): "50"}
    road.write_meetings(
        "2", [told(2, "2026-08-19", None)]
    )  # it does not say: the one before it is the latest that does
    assert counted(road, "X_MEMBERS") == {cell: "50"}
    road.write_meetings("3", [told(2, "2026-08-19", 0)])  # it says none
    assert counted(road, "X_MEMBERS") == {cell: "30"}
    road.write_meetings("4", [told(2, "2026-08-01", 7)])
    assert counted(road, "X_MEMBERS") == {cell: "50"}
    assert counted(road, "X_LEFT")["den", AREA, "202608", ""] == "37"


# ---------------------------------------------------------------- episodes


@pytest.mark.again
def test_a_follow_up_counts_with_the_visit_it_follows_whatever_comes_first(start: Callable[..., Road]) -> None:
    day = ("2026-07-31", "2026-08-02")
    road = start([person(ANNA), follow_up("f", day[1])])
    den, num = ((part, UNIT, "202607", "S=female") for part in ("den", "num"))
    assert counted(road, "X_FOLLOWED") == {}
    road.cht.put(seen("v", day[0], treated="yes"))
    assert counted(road, "X_FOLLOWED") == {den: "1", num: "1"}
    road.cht.put(follow_up("g", "2026-08-03"))
    road.cht.delete("f")
    assert counted(road, "X_FOLLOWED") == {den: "1", num: "1"}, "the other one is in time too"
    road.cht.put(follow_up("g", "2026-08-04"))
    assert counted(road, "X_FOLLOWED") == {den: "1"}, "too late"
    road.cht.put(follow_up("g", "2026-08-03", subject=MODIBO))
    assert counted(road, "X_FOLLOWED") == {den: "1"}, "somebody else"
    road.cht.put(follow_up("g", "2026-08-03"))
    road.cht.put(person(ANNA, sex="male"))
    assert counted(road, "X_FOLLOWED") == {
        ("den", UNIT, "202607", "S=male"): "1",
        ("num", UNIT, "202607", "S=male"): "1",
    }
    road.cht.put(seen("v", day[0], treated="no"))
    assert counted(road, "X_FOLLOWED") == {}
    assert road.rows("SELECT * FROM episode") == road.rows("SELECT * FROM episode_record") == []
    assert road.rows("SELECT record FROM activity WHERE record LIKE 'episode/%'") == []
    assert road.rows("SELECT * FROM stale") == []


def forget(road: Road, sql: str, **parameters: Any) -> None:
    road.engine.store.write(lambda unit: unit._done(sql, **parameters))


@pytest.mark.again
def test_an_episode_on_records_whose_bodies_are_purged(start: Callable[..., Road]) -> None:
    road = start([person(ANNA), seen("v", "2026-07-31", treated="yes")])
    den, num = ((part, UNIT, "202607", "S=female") for part in ("den", "num"))
    assert counted(road, "X_FOLLOWED") == {den: "1"}
    road.engine.store.write(
        lambda unit: unit._done("UPDATE head SET purged='2026-10-05T00:00:00.000000Z' WHERE record LIKE '%/v'")
    )
    road.cht.put(follow_up("f", "2026-08-01"))
    assert counted(road, "X_FOLLOWED") == {den: "1", num: "1"}
    # What the visit said is gone too: the episode stays as it was counted.
    road.engine.store.write(
        lambda unit: unit._done("UPDATE activity SET activity_enc=:e WHERE record LIKE '%/v'", e=b"")
    )
    road.cht.delete("f")
    assert counted(road, "X_FOLLOWED") == {den: "1", num: "1"}
    road.cht.delete("v")
    assert counted(road, "X_FOLLOWED") == {}


def test_a_figure_made_of_episodes_is_opened_down_to_their_records(start: Callable[..., Road]) -> None:
    road = start([person(ANNA), seen("v", "2026-07-31", treated="yes"), follow_up("f", "2026-08-01")])
    counted(road, "X_FOLLOWED")
    cell = road.one("SELECT * FROM cell WHERE indicator='X_FOLLOWED' AND part='num'")
    found = lineage.explain(road.engine, cell["data_element"], UNIT, "202607", cell["combo"])
    assert found is not None
    (record,) = found["records"]
    assert record["record"].startswith("episode/treated/") and record["place"] == "site-1"
    assert [one.rsplit("/", 1)[1] for one in record["made_of"]] == ["f", "v"]
    trace = lineage.trace(road.engine, record["made_of"][0])
    assert trace is not None and "X_FOLLOWED" in {one["indicator"] for one in trace["cells"]}


def test_an_episode_is_nobodys_report(start: Callable[..., Road]) -> None:
    road = start([person(ANNA), seen("v", "2026-07-31", treated="yes", worker=WORKERS[0])])
    counted(road, "X_FOLLOWED")
    road.cht.delete("v")
    road.run(targets=[])
    assert not road.engine.store.read(lambda unit: unit.reported("worker", WORKERS[0], "2026-07-01", "2026-07-31"))


# ---------------------------------------------------------------- registers


def test_registered_children_of_every_open_month(start: Callable[..., Road]) -> None:
    home = place(f"home-{ANNA}", "household", "site-1")
    docs = [place("site-1", "site", "area-1"), home, person(ANNA, born="2021-08-15"), seen("v", "2026-07-05")]
    road = start(docs)
    girls = ("count", UNIT, "202607", "S=female")
    assert counted(road, "X_CHILDREN") == {girls: "1"}
    road.cht.put(seen("w", "2026-08-05"))
    assert counted(road, "X_CHILDREN") == {girls: "1"}, "August is open, and she is five at its end"
    road.cht.put(person(ANNA, born="2023-08-15"))
    august = ("count", UNIT, "202608", "S=female")
    assert counted(road, "X_CHILDREN") == {girls: "1", august: "1"}
    road.cht.put(place(f"home-{ANNA}", "household", "site-2"))  # the household moves
    elsewhere = ("count", "ML-KKO-D1-A1-S2")
    assert counted(road, "X_CHILDREN") == {(*elsewhere, m, "S=female"): "1" for m in ("202607", "202608")}
    road.cht.delete("w")
    assert counted(road, "X_CHILDREN") == {(*elsewhere, "202607", "S=female"): "1"}, "nothing says August began"
    road.cht.delete(f"home-{ANNA}")
    assert counted(road, "X_CHILDREN") == {}, "she lives in no place that is registered"
    road.cht.put(home)
    assert counted(road, "X_CHILDREN") == {girls: "1"}
    road.cht.delete(ANNA)
    assert counted(road, "X_CHILDREN") == {}


def test_deployed_workers_and_those_who_did_something(
    start: Callable[..., Road], with_more: Callable[[Pack], Pack]
) -> None:
    row = DeploymentRow("asc-002", "worker", "asc", "ML-KKO-D1-A1-S2", *_from("2026-08-10"))

    def deployed(pack: Pack) -> Pack:
        first = DeploymentRow(WORKERS[0], "worker", "asc", UNIT, *_from("2026-01-01"))
        return replace(pack, deployments=(first, row))

    road = start([seen("v", "2026-07-05"), seen("w", "2026-08-05")], deployed)
    cells = {("den", UNIT, m, ""): "1" for m in ("202607", "202608")}
    cells |= {("num", UNIT, m, ""): "1" for m in ("202607", "202608")}
    second = ("den", "ML-KKO-D1-A1-S2", "202608", "")
    assert counted(road, "X_WORKERS") == {**cells, second: "1"}
    road.cht.edit("w", {"contact._id": "asc-002"})
    del cells["num", UNIT, "202608", ""]
    assert counted(road, "X_WORKERS") == {**cells, second: "1", ("num", *second[1:]): "1"}
    lines = road.rows("SELECT DISTINCT record FROM contribution WHERE record LIKE 'register/%' ORDER BY 1")
    assert [r["record"] for r in lines] == [
        f"register/deployment/worker/{WORKERS[0]}/202607", f"register/deployment/worker/{WORKERS[0]}/202608",
        "register/deployment/worker/asc-002/202608",
    ]  # fmt: skip
    road.again(lambda pack: replace(with_more(pack), deployments=(row,), version="other"))
    assert counted(road, "X_WORKERS") == {second: "1", ("num", *second[1:]): "1"}


def _from(day: str) -> tuple[date, None]:
    return date.fromisoformat(day), None
