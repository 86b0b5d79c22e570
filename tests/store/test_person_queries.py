"""The named queries of people registered twice, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from connector.errors import StoreError
from connector.store.database import SqlStore
from tests.store.conftest import rows
from tests.store.test_deriving_queries import entity
from tests.store.test_queries import CELL, NOW, ODD, activity, contribution, counted, head


def same(key: str, into: str, kept: str, **more: Any) -> dict[str, Any]:
    return {
        "source": "cht", "key": key, "into_source": "cht", "into_key": into, "kept_source": "cht", "kept_key": kept,
        "by": ODD, "at": NOW, "note_enc": b"\x01", **more,
    }  # fmt: skip


def keys(found: list[dict[str, Any]]) -> list[str]:
    return [str(row["key"]) for row in found]


def test_an_id_is_declared_once_and_all_ids_of_a_person_are_found(store: SqlStore) -> None:
    store.write(
        lambda unit: [unit.keep_same(same(*one)) for one in (("b", "a", "a"), ("c", "b", "a"), ("x", "y", "y"))]
    )
    with pytest.raises((StoreError, IntegrityError)):
        store.write(lambda unit: unit.keep_same(same("b", "y", "y")))
    (row,) = store.read(lambda unit: unit.same_persons(["a", "b", ODD]))
    assert row == same("b", "a", "a")
    assert keys(store.read(lambda unit: unit.same_as(["a", "b"]))) == ["b", "c"]
    assert keys(store.read(lambda unit: unit.same_page("", 2))) == ["b", "c"]
    assert keys(store.read(lambda unit: unit.same_page("c", 2))) == ["x"]
    store.write(lambda unit: unit.keep_under([{"key": "c", "kept_source": "cht", "kept_key": "b"}]))
    store.write(lambda unit: unit.drop_same("b"))
    assert store.read(lambda unit: unit.same_persons("abc")) == [same("c", "b", "b")]


def test_a_hash_is_read_as_another(store: SqlStore) -> None:
    store.write(lambda unit: unit.keep_aliases({"b": "a", "c": "a"}))
    store.write(lambda unit: unit.keep_aliases({"c": "d"}))
    assert store.read(lambda unit: unit.read_as(["a", "b", "c"])) == {"b": "a", "c": "d"}
    assert store.read(lambda unit: unit.all_read_as(["a", "x"])) == {"a", "b", "x"}
    store.write(lambda unit: unit.drop_aliases(["b", "x"]))
    assert store.read(lambda unit: unit.read_as(["b", "c"])) == {"c": "d"}


def of(key: str, who: str, moment: str, **more: Any) -> dict[str, Any]:
    return contribution(key, distinct_key=who, moment=moment, **more)


def test_two_ids_of_a_person_are_one_where_persons_are_counted(store: SqlStore) -> None:
    other = {"categories": "age=m12_59;sex=f"}
    lines = [of("1", "a", "2", amount="5"), of("2", "b", "1", amount="7", **other), of("3", "c", "3")]
    store.write(lambda unit: unit.replace_contributions([], lines))
    store.write(lambda unit: unit.keep_cells([counted(), counted(**other, combo="other")]))
    store.write(lambda unit: unit.keep_aliases({"b": "a"}))
    store.write(lambda unit: unit.touch_keys(["b", "nobody"]))
    part = f"{CELL['indicator']}/{CELL['part']}"

    def recount(persons: list[str]) -> dict[str, tuple[Any, ...]]:
        found = store.read(lambda unit: unit.recount(9, [CELL["indicator"]], persons=persons))
        return {r["categories"]: (r["different"], r["keys"], int(r["first"]), int(r["latest"])) for r in found}

    # a and b stand where the first of their records stands, and only their first and latest record counts.
    assert recount([part]) == {CELL["categories"]: (2, 1, 1, 6), other["categories"]: (1, 1, 7, 0)}
    assert recount([]) == {CELL["categories"]: (2, 2, 6, 6), other["categories"]: (1, 1, 7, 7)}, "these are no persons"
    store.write(lambda unit: unit.untouch(unit.recount(9)))
    store.write(lambda unit: unit.touch_keys(["nobody"]))
    assert recount([part]) == {}
    at_least = [{**line, "record": f"{line['record']}-2", "at_least": 2, "org_unit": "ML-2"} for line in lines]
    cell = {key: at_least[0][key] for key in ("indicator", "part", "org_unit", "period", "categories")}
    store.write(lambda unit: unit.replace_contributions([], at_least))
    store.write(lambda unit: unit.touch([cell, {**cell, **other}]))
    assert {k: v[1] for k, v in recount([part]).items()} == {CELL["categories"]: 0, other["categories"]: 1}


def test_all_that_is_about_a_person_is_marked_also_where_the_text_is_purged(store: SqlStore) -> None:
    def work(unit: Any) -> None:
        unit.move_heads([head(key, dirty=False) for key in ("of-her", "purged", "emptied", "erased", "of-another")])
        unit.move_heads([head("anna", dirty=False, record="cht/contacts/anna", stream="contacts")])
        unit.keep_activities([activity(key) for key in ("of-her", "purged", "erased")])
        unit.keep_activities([activity("emptied", activity_enc=b""), activity("of-another", subject="modibo")])
        unit.keep_entities([entity("person", "anna", None), entity("place", "modibo", None)])
        unit._done("UPDATE head SET purged=:now WHERE key IN ('purged', 'emptied', 'erased')", now=NOW)
        unit._done("UPDATE head SET state='erased' WHERE key='erased'")
        unit.dirty_persons(["anna"])
        unit.dirty_persons([])

    store.write(work)
    assert [r["key"] for r in rows(store, "SELECT key FROM head WHERE dirty ORDER BY key")] == [
        "anna",
        "of-her",
        "purged",
    ]
