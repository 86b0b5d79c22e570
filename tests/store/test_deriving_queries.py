"""The named queries of episodes and registers, on both databases."""

from __future__ import annotations

from typing import Any

from connector.store.database import SqlStore
from connector.store.deriving import ENTITY_PAGE
from tests.store.test_queries import CELL, NOW, activity, contribution, counted


def entity(kind: str, key: str, parent: str | None) -> dict[str, Any]:
    return {
        "source": "cht", "kind": kind, "key": key, "record": f"cht/contacts/{key}", "revision": "1",
        "entity_enc": b"\x01", "digest": "d", "now": NOW, "parent": parent,
    }  # fmt: skip


def test_what_is_stale_is_taken_until_it_is_done(store: SqlStore) -> None:
    store.write(lambda unit: unit.mark_stale([("episode", "k", "2"), ("episode", "k", "1"), ("episode", "k", "1")]))
    assert store.read(lambda unit: unit.take_stale("episode", 1)) == [("k", "1")]
    store.write(lambda unit: unit.unstale("episode", [("k", "1")]))
    assert store.read(lambda unit: unit.take_stale("episode", 9)) == [("k", "2")]
    assert store.read(lambda unit: unit.take_stale("entity", 9)) == []


def test_all_that_lies_below_a_place_is_stale(store: SqlStore) -> None:
    rows = [entity("place", "site", "area"), entity("place", "home", "site"), entity("person", "anna", "home"),
            entity("person", "else", "other")]  # fmt: skip
    store.write(lambda unit: unit.keep_entities(rows))
    store.write(lambda unit: unit.stale_below("cht", ["site"]))
    found = store.read(lambda unit: unit.take_stale("entity", 9))
    assert found == [("person", "cht/anna"), ("place", "cht/home"), ("place", "cht/site")]
    store.write(lambda unit: unit.unstale("entity", found))
    store.write(lambda unit: unit.drop_entity("cht/contacts/home"))
    store.write(lambda unit: unit.stale_below("cht", ["home", "nowhere"]))
    found = store.read(lambda unit: unit.take_stale("entity", 9))
    assert found == [("person", "cht/anna"), ("place", "cht/home"), ("place", "cht/nowhere")], (
        "also of one that is gone"
    )
    store.write(lambda unit: unit.dirty_by_household("cht", ["home"]))
    assert [r["key"] for r in store.read(lambda unit: unit.entity_page("person", ("", ""), 1))] == ["anna"]
    assert [r["key"] for r in store.read(lambda unit: unit.entity_page("person", ("cht", "anna"), 9))] == ["else"]
    store.write(
        lambda unit: unit.entity_belongs([{"source": "cht", "kind": "person", "key": "else", "parent": "home"}])
    )
    assert store.read(lambda unit: unit.entity_page("person", ("cht", "anna"), 9))[0]["parent"] == "home"


def test_the_registry_is_read_page_by_page_over_all_its_sources(store: SqlStore) -> None:
    people = [("cht", "anna"), ("cht", "else"), ("odk", "anna"), ("odk", "zita"), ("paper", "bea")]
    rows = [{**entity("person", key, "home"), "source": source} for source, key in people]
    rows += [{**entity("place", key, None), "source": source} for source, key in (("cht", "home"), ("kobo", "home"))]
    store.write(lambda unit: unit.keep_entities(rows))
    for limit in (1, 2, 3, 9):
        after, found = ("", ""), []
        while page := store.read(lambda unit, after=after, limit=limit: unit.entity_page("person", after, limit)):
            assert len(page) <= limit
            found += [(row["source"], row["key"]) for row in page]
            after = found[-1]
        assert found == people


def test_a_page_of_the_registry_looks_at_the_entities_of_the_page_alone(store: SqlStore) -> None:
    if not store.sqlite:
        return  # its plan depends on what it knows of the tables
    asked = {"source": "cht", "kind": "person", "key": "a", "limit": 9}
    plan = store.read(lambda unit: unit._rows("EXPLAIN QUERY PLAN " + ENTITY_PAGE.text, **asked))
    (step,) = [row["detail"] for row in plan]
    assert step.startswith("SEARCH entity USING INDEX") and step.endswith("(source=? AND kind=? AND key>?)")


def test_members_and_the_episodes_made_of_them(store: SqlStore) -> None:
    one = {"record": "cht/reports/a", "kind": "k", "key": "h", "opens": True, "own": True}
    store.write(lambda unit: unit.keep_activities([activity("a")]))
    beside = {**one, "record": "cht/reports/b", "opens": False, "own": False}
    store.write(lambda unit: unit.replace_members([], [one, beside]))
    opening = store.read(lambda unit: unit.members_by_key("k", ["h", "x"], openings=True))
    assert [row["record"] for row in opening] == ["cht/reports/a"]
    every = store.read(lambda unit: unit.members_by_key("k", ["h"]))
    assert sorted(row["record"] for row in every) == ["cht/reports/a", "cht/reports/b"]
    store.write(lambda unit: unit.replace_members(["cht/reports/b"], []))
    assert [r["key"] for r in store.read(lambda unit: unit.members_of(["cht/reports/a"]))] == ["h"]
    assert [r["record"] for r in store.read(lambda unit: unit.members_by_key("k", ["h", "x"]))] == ["cht/reports/a"]
    between = store.read(lambda unit: unit.members_between("k", "h", "2026-08-10", "2026-08-10"))
    assert between == ["cht/reports/a"]
    assert store.read(lambda unit: unit.members_between("k", "h", "2026-08-11", "2026-08-12")) == []
    assert store.read(lambda unit: unit.worker_days(["cht/reports/a"])) == [("asc-001", "2026-08-10")]
    assert store.read(lambda unit: unit.records_of_worker("asc-001", "2026-08-01", "2026-08-31")) == 1
    assert store.read(lambda unit: unit.next_day("2026-08-10")) == "2026-08-10"
    assert store.read(lambda unit: unit.next_day("2026-08-11")) is None
    store.write(
        lambda unit: unit.keep_episodes(
            [{"record": "episode/k/1", "kind": "k", "key": "h"}],
            [{"episode": "episode/k/1", "record": "cht/reports/a"}],
        )
    )
    assert [r["record"] for r in store.read(lambda unit: unit.episodes_by_key("k", ["h"]))] == ["episode/k/1"]
    assert store.read(lambda unit: unit.episode_kinds()) == ["k"]
    assert store.read(lambda unit: unit.episodes_of_kind("k", 5)) == ["episode/k/1"]
    assert store.read(lambda unit: unit.records_of_episodes(["episode/k/1"])) == {"episode/k/1": ["cht/reports/a"]}
    assert store.read(lambda unit: unit.episodes_of_record("cht/reports/a")) == ["episode/k/1"]
    store.write(lambda unit: unit.drop_episodes(["episode/k/1"]))
    assert store.read(lambda unit: unit.episodes_of_record("cht/reports/a")) == []
    store.write(lambda unit: unit.replace_members(["cht/reports/a"], []))
    assert store.read(lambda unit: unit.members_of(["cht/reports/a"])) == []


def test_register_lines_page_by_page_and_all_categories_of_a_part(store: SqlStore) -> None:
    lines = [{**contribution("x"), "record": f"register/person/cht/{n}"} for n in "ab"]
    store.write(lambda unit: unit.replace_contributions([], [*lines, contribution("y")]))
    assert store.read(lambda unit: unit.register_records("", 1)) == ["register/person/cht/a"]
    assert store.read(lambda unit: unit.register_records("register/person/cht/a", 9)) == ["register/person/cht/b"]
    store.write(lambda unit: unit.keep_cells([counted(), counted("5", categories="", combo="default")]))
    part = (CELL["indicator"], CELL["part"], CELL["org_unit"], CELL["period"])
    store.write(lambda unit: unit.touch_alike([part]))
    assert {r["categories"] for r in store.read(lambda unit: unit.recount(9))} == {"", CELL["categories"]}
