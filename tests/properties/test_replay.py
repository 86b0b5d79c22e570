"""A change of the mappings is deliberate: whatever it does to a thousand recorded records is read and approved."""

from __future__ import annotations

import orjson

from tests.properties.replay import APPROVED, RECORDS, changes, recorded, replayed

HOW = (
    "\n\nIs this what you wanted? Then approve it and commit the file: python -m tests.properties.replay --approve\n"
    "(a fact: how many records have it, and a digest of its values; a figure: its total over all org units)"
)


def test_what_the_pack_makes_of_recorded_records_is_what_was_approved() -> None:
    assert sum(doc["type"] == "data_record" for doc in recorded()[0]) == RECORDS
    found = changes(orjson.loads(APPROVED.read_bytes()), replayed())
    assert not found, "\n" + "\n".join(found) + HOW


def test_a_change_reads_well() -> None:
    before = {"facts": {"cht assessment": {"fever": "2 aaa"}}, "figures": {"MH_A04 202608 A2_UNK-SEX_F": 3.0}}
    after = {"facts": {"cht assessment": {"fever": "2 bbb", "cough": "1 ccc"}}, "figures": {}}
    assert changes(before, after) == [
        "facts: cht assessment: cough  was not there, is 1 ccc",
        "facts: cht assessment: fever  was 2 aaa, is 2 bbb",
        "figures: MH_A04 202608 A2_UNK-SEX_F  was 3.0, is not there",
    ]
    assert changes(before, before) == []
