"""``relais preview``: what a mapping makes of one record, and why the rest of the indicators did not count it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cli.line import Relais

VISIT: dict[str, Any] = {
    "_id": "v1", "reported_date": 1784800000000, "contact": {"_id": "asc-001", "parent": {"_id": "site-1"}},
    "fields": {
        "patient_id": "p-1", "visit_date": "2026-07-23", "patient_age_in_months": "30",
        "group_fever": {"patient_fever": "yes", "mrdt_result": "negative"},
    },
}  # fmt: skip
CHILD = {"_id": "p-1", "contact_type": "person", "name": "Fictive", "date_of_birth": "2025-03-11", "sex": "female"}


def text(document: Any) -> str:
    return orjson.dumps(document).decode()


def test_what_counts_and_which_comparison_kept_the_rest_out(relais: Relais) -> None:
    said = relais("preview", "assessment", "--json", stdin=text(VISIT))
    assert said.code == 0
    found = said.document
    assert {(c["indicator"], c["part"]) for c in found["cells"]} == {
        ("A04", "count"), ("A06", "num"), ("B01", "den"), ("B01", "num"), ("B02", "den"), ("B09", "den"),
    }  # fmt: skip
    assert {c["org_unit"] for c in found["cells"]} == {"ML-KKO-D1-A1-S1"} and found["error"] is None
    why = {one["indicator"]: one for one in found["not_counted"]}
    assert [(c["text"], c["values"]) for c in why["B02"]["comparisons"]] == [
        ("malaria_rdt = 'positive'", '"negative" = "positive"')
    ]
    assert (why["B02"]["part"], why["B02"]["file"]) == ("num", "indicators/sec-core.yaml")
    # a fact worked out from others is taken down to them
    assert [(c["depth"], c["text"]) for c in why["E05"]["comparisons"]] == [
        (0, "severe_malnutrition"), (1, "muac_mm < 115"), (1, "oedema = true"),
    ]  # fmt: skip
    assert "absent < 115" in why["E05"]["comparisons"][1]["values"]
    assert all(not r["problems"] and not r["second_opinion"] for r in found["resources"]) and found["resources"]


def test_a_number_that_cannot_be_is_shown_and_counts_nowhere(relais: Relais) -> None:
    """An arm circumference in centimetres makes no severe malnutrition, neither at DHIS2 nor in a resource."""
    record = {**VISIT, "fields": {**VISIT["fields"], "group_nutrition": {"muac_score": "11"}}}
    found = relais("preview", "assessment", "--json", stdin=text(record)).document
    assert [(f["name"], f["value"]) for f in found["facts"] if f["implausible"]] == [("muac_mm", 11)]
    assert [(f["code"], f["fact"]) for f in found["flags"]] == [("fact.implausible", "muac_mm")]
    assert not {"E04", "E05", "E06"} & {c["indicator"] for c in found["cells"]}
    why = {one["indicator"]: one for one in found["not_counted"]}
    assert why["E05"]["comparisons"][1]["values"] == "muac_mm = 11 ∉ plausible"
    assert {r["key"].partition("/")[0] for r in found["resources"]} == {"Encounter", "Observation"}, "no diagnosis"
    said = " ".join(relais("preview", "assessment", stdin=text(record)).out.split())
    assert "muac_mm 11 implausible" in said and "neither counted nor sent: muac_mm" in said


def test_with_the_person_the_bands_are_hers(relais: Relais, tmp_path: Path) -> None:
    file = tmp_path / "person.json"
    file.write_text(text(CHILD), "utf-8")
    alone = relais("preview", "cht/assessment", "--json", stdin=text(VISIT)).document
    known = relais("preview", "cht/assessment", "--json", "--person", file, stdin=text(VISIT)).document
    combo = {n: next(c["combo"] for c in d["cells"] if c["indicator"] == "A04") for n, d in enumerate((alone, known))}
    assert combo == {0: "A2_Y1_4-SEX_UNK", 1: "A2_Y1_4-SEX_F"}
    assert (alone["person"]["known"], known["person"]["known"]) == (False, True)


def test_a_record_that_would_go_to_quarantine_says_which_and_where(relais: Relais) -> None:
    elsewhere = {**VISIT, "contact": {"_id": "asc-001", "parent": {"_id": "nowhere"}}}
    said = relais("preview", "assessment", "--json", stdin=text(elsewhere))
    assert (said.code, said.document["error"]["code"]) == (3, "place.no_org_unit")
    assert {c["org_unit"] for c in said.document["cells"]} == {"?"}, "the rest can be seen all the same"
    said = relais("preview", "assessment", stdin=text({"_id": "x", "fields": {"visit_date": "2026-13-45"}}))
    assert said.code == 3 and "date.invalid" in said.out and "forms/cht/assessment.yaml" in said.out
    said = relais("preview", "assessment", stdin=text({**VISIT, "fields": {"visit_date": "2090-01-01"}}))
    assert said.code == 3 and "date.future" in said.out


def test_for_a_person_it_says_the_same(relais: Relais) -> None:
    said = relais("preview", "assessment", stdin=text([VISIT]))
    assert said.code == 0
    for words in ("MH_A04 A2_Y1_4-SEX_UNK", "Does not count in:", "malaria_rdt = 'positive'", "not known here"):
        assert words in said.out, words


@pytest.mark.parametrize(
    ("form", "stdin", "words"),
    [
        ("assesment", "{}", "Did you mean assessment?"),
        ("assessment", "{", "is not JSON (line 1"),
        ("assessment", "3", "a record is a JSON object"),
        ("assessment", "[]", "a record is a JSON object"),
    ],
)
def test_wrong_use_says_what_to_give(relais: Relais, form: str, stdin: str, words: str) -> None:
    said = relais("preview", form, stdin=stdin)
    assert said.code == 2 and words in said.err


def test_nothing_is_made_and_no_secret_is_needed(
    relais: Relais, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RELAIS_MASTER_KEY", "RELAIS_DHIS2_TOKEN"):
        monkeypatch.delenv(name)
    assert relais("preview", "assessment", stdin=text(VISIT)).code == 0
    assert not (tmp_path / "home").exists()
