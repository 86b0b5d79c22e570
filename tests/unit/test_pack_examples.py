"""``relais test``: the examples of the shipped pack pass, leave nothing untried, and fail when the pack is wrong."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector.mappings import accepting, examples
from connector.mappings.examples import Correction, Results, records_of, run_examples
from connector.mappings.yaml_nodes import Findings, plain, read_yaml

from .pack_copy import PackCopy


@pytest.fixture
def copy(tmp_path: Path) -> PackCopy:
    return PackCopy(tmp_path)


#: An example of the assessment, up to what it expects.
VISIT = "  - {name: x, record: {fields: {visit_date: 2026-07-01}, contact: {parent: {_id: s}}}, expect: "


def run(copy: PackCopy) -> Results:
    return run_examples(copy.load()[0])


def test_the_examples_of_the_shipped_pack_pass_and_leave_nothing_untried(copy: PackCopy) -> None:
    results = run(copy)
    assert [str(one) for one in results.failures] == []
    assert results.failed == 0
    assert results.passed > 150
    assert results.unexercised == []
    assert results.document() == {
        "passed": results.passed,
        "failed": 0,
        "unexercised": [],
        "failures": [],
        "differences": [],
    }


def test_the_records_of_a_form_are_those_of_its_examples(copy: PackCopy) -> None:
    """Of a file of several forms, each has the records that name it."""
    pack = copy.load()[0]
    found = {name: records_of(pack, form) for (_, name), form in pack.forms.items()}
    assert [len(found[name]) for name in ("site", "household", "area")] == [1, 2, 0]
    written = (copy.folder / "forms/cht/assessment.test.yaml").read_text("utf-8")
    assert [name for name, _ in found["assessment"]] == re.findall("- name: (.*)", written)
    assert all("contact" in body or "reported_date" in body for _, body in found["assessment"])


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("forms/cht/assessment.yaml", "fields.group_fever.patient_fever", "fields.group_fever.patientfever", "fever"),
        (
            "forms/cht/assessment.yaml",
            "first: [fields.visit_date, reported_date]",
            "first: [reported_date]",
            "2026-07-31",
        ),
        ("forms/cht/assessment.yaml", "urgency = 'urgent'", "urgency = 'now'", "referral"),
        ("forms/cht/person.yaml", "date_of_birth", "birth_date", "birth_date"),
        ("tables/danger_signs.csv", "convulsions,sign_convulsions", "convulsions,sign_lethargic", "danger_signs"),
        ("forms/odk/reunion_groupe_epargne.yaml", "key: __id", "key: id", "key.missing"),
        ("indicators/sec-core.yaml", "fever_onset_hours <= 24", "fever_onset_hours < 24", "B04"),
        ("indicators/sec-core.yaml", "muac_mm < 125", "muac_mm <= 125", "E06"),
        ("indicators/gouvernance.yaml", "days <= 30", "days < 30", "I11"),
        ("indicators/sec-core.yaml", "by: [A3, CONFIRMATION]", "by: [CONFIRMATION, A3]", "B03"),
        ("activities.yaml", "age_years < 10", "age_years <= 10", "B09"),
        ("activities.yaml", "gestation_weeks < 28", "gestation_weeks <= 28", "D07"),
        ("categories.yaml", "below: 28, measured_in: age_days", "below: 27, measured_in: age_days", "A2"),
        ("categories.yaml", "from: 15, below: 20", "from: 15, below: 21", "A3"),
    ],
)
def test_a_wrong_pack_fails_an_example(copy: PackCopy, name: str, old: str, new: str, words: str) -> None:
    copy.change(name, old, new)
    results = run(copy)
    assert results.failed >= 1
    assert words in " ".join(str(one) for one in results.failures)
    assert all(one.file.endswith(".test.yaml") and one.line > 0 for one in results.failures)


def test_what_leaves_for_the_servers_is_expected_too(copy: PackCopy) -> None:
    """FHIR resources and DHIS2 figures: a wrong code, category, subject, shape, prefix, level or data set."""
    therapy = 'ciel: "71561", from: OS CI}\n    fhir: {resource: Observation, category: '
    wrong = [
        (
            "concepts.yaml",
            'codings: {ciel: "140238"',
            'codings: {ciel: "142038"',
            "found Observation exam fever ciel:142038",
        ),
        ("concepts.yaml", 'ciel: "703"', 'ciel: "730"', "= answer_positive ciel:730"),
        ("concepts.yaml", f"{therapy}therapy", f"{therapy}exam", "found Observation exam rectal_artesunate"),
        (
            "activities.yaml",
            "delivery, subject: person",
            "delivery, subject: none",
            "expected Encounter HH delivery Patient",
        ),
        ("activities.yaml", "questionnaire_response, subject: group", "none, subject: group", "found nothing"),
        ("dhis2.yaml", "prefix: MH_", "prefix: MHH_", "MHH_A04"),
        ("dhis2.yaml", "denominator: _DEN", "denominator: _DN", "MHH_F01_DN"),
        ("dhis2.yaml", "level: site", "level: cscom", "found MH_SEC 202607 cscom MHH_A04 A2_Y1_4-SEX_F 1"),
        (
            "indicators/epargne.yaml",
            "data_set: MH_EPARGNE\n",
            "data_set: MH_PROMO\n",
            "found MH_PROMO 202608 cscom MHH_G03",
        ),
    ]
    for name, old, new, _ in wrong:
        copy.change(name, old, new)
    found = " ".join(str(one) for one in run(copy).failures)
    assert [words for *_, words in wrong if words not in found] == []


def test_what_no_example_reaches_is_named(copy: PackCopy) -> None:
    copy.write("forms/cht/supervision.test.yaml", "examples: []\n")
    copy.write("indicators/gouvernance.test.yaml", "examples: []\n")
    copy.write("forms/kobo/aGovASACO.test.yaml", "examples: []\n")
    left = run(copy).unexercised
    assert "forms/cht/supervision.yaml" in left
    assert "forms/cht/supervision.yaml: score" in left
    assert "forms/kobo/aGovASACO.yaml: feedback.days" in left
    assert "indicator I11 num" in left


def test_a_row_of_a_table_and_a_part_of_a_referral_that_no_example_reads_are_named(copy: PackCopy) -> None:
    copy.change("forms/cht/delivery.yaml", "other: other}", "other: other, on_the_way: other}")
    copy.change(
        "tables/danger_signs.csv", "convulsions,sign_convulsions", "convulsions,sign_convulsions\nfits,sign_convulsions"
    )
    copy.change("forms/cht/postnatal_visit.test.yaml", "urgency: urgent", "urgency: routine")
    copy.change("forms/cht/postnatal_visit.test.yaml", "urgent: true", "urgent: false")
    assert run(copy).unexercised == [
        "forms/cht/assessment.yaml: danger_signs = fits",
        "forms/cht/delivery.yaml: delivery_place = on_the_way",
        "forms/cht/postnatal_visit.yaml: referral.urgent",
        "forms/cht/postnatal_visit.yaml: urgency = urgent",
    ]


# ---------------------------------------------------------------- accepting what came out


CHANGES = [
    ("indicators/sec-core.yaml", "muac_mm < 125", "muac_mm <= 125"),
    ("forms/cht/assessment.yaml", "first: [fields.visit_date, reported_date]", "first: [reported_date]"),
    ("forms/cht/assessment.yaml", "urgency = 'urgent'", "urgency = 'now'"),
    ("forms/cht/assessment.yaml", "fields.group_fever.patient_fever", "fields.group_fever.patientfever"),
    ("forms/cht/person.yaml", "date_of_birth", "birth_date"),
    ("forms/odk/reunion_groupe_epargne.yaml", "key: __id", "key: id"),
    ("tables/danger_signs.csv", "convulsions,sign_convulsions", "convulsions,sign_lethargic"),
    ("categories.yaml", "below: 28, measured_in: age_days", "below: 27, measured_in: age_days"),
    ("concepts.yaml", 'codings: {ciel: "140238"', 'codings: {ciel: "142038"'),
    ("dhis2.yaml", "prefix: MH_", "prefix: MHH_"),
    ("activities.yaml", "questionnaire_response, subject: group", "none, subject: group"),
]


def beside(text: str) -> list[str]:
    """The lines of a file of examples without what they expect."""
    return [
        line
        for line in text.splitlines()
        if line.lstrip().startswith(("- name", "record", "person", "#", "facts: {age"))
    ]


def test_what_came_out_is_accepted_and_nothing_else_is_touched(copy: PackCopy) -> None:
    for name, old, new in CHANGES:
        copy.change(name, old, new)
    files = {path: path.read_text(encoding="utf-8") for path in copy.folder.rglob("*.test.yaml")}
    results = run(copy)
    assert results.failed >= 8 and len(results.corrections) == results.failed
    changed = accepting.accept(copy.folder, results.corrections)
    again = run(copy)
    assert [str(one) for one in again.failures] == [] and again.passed == results.passed + results.failed
    for path, before in files.items():
        now = path.read_text(encoding="utf-8")
        assert beside(now) == beside(before)
        assert (now != before) == (path.relative_to(copy.folder).as_posix() in changed)
    assert accepting.accept(copy.folder, again.corrections) == []


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words.filter(bool), inner, max_size=3),
    max_leaves=8,
)
FILE = """# a comment
examples:
  - name: first
    expect: {a: 1}
  # another
  - name: second   # beside
    expect:
      a: [1,
          2]
      b: {c: d}

  - {name: third, expect: {x: y}}
"""
#: Longer than a line has room for.
LONG = {f"a_name_of_some_length_{n}": "a value of some length" for n in range(8)}


@settings(max_examples=80, deadline=None)
@example(value=LONG, which=3)
@example(value=LONG, which=6)
@example(value={"facts": LONG}, which=12)
@given(value=st.dictionaries(words.filter(bool), values, min_size=1, max_size=4), which=st.sampled_from([3, 6, 12]))
def test_whatever_is_accepted_is_read_back_as_it_was(value: dict[str, Any], which: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.test.yaml"
        file.write_text(FILE, encoding="utf-8")
        accepting.accept(Path(folder), [Correction("a.test.yaml", which, "", "expect", value)])
        findings = Findings()
        read = plain(read_yaml(file, "a.test.yaml", findings))
        assert findings.items == []
        kept = {3: {"a": 1}, 6: {"a": [1, 2], "b": {"c": "d"}}, 12: {"x": "y"}} | {which: value}
        assert [one["expect"] for one in read["examples"]] == list(kept.values())
        assert [one["name"] for one in read["examples"]] == ["first", "second", "third"]
        assert "# a comment" in file.read_text(encoding="utf-8") and "# another" in file.read_text(encoding="utf-8")


WRONG_THEMSELVES = [
    (
        "  - {name: x, record: {}, expect: {error: date.invalid}}\n",
        "error: expected 'date.invalid', found 'date.missing'",
    ),
    (
        VISIT + "{error: a}}\n",
        "and it was mapped",
    ),
    ("  - {name: x, recrod: {}, expect: {}}\n", "recrod is not known here"),
    (
        VISIT + "{colour: a}}\n",
        "colour is not known",
    ),
    (
        VISIT + "{counts: {Z1: []}}}\n",
        "there is no indicator Z1",
    ),
    (
        VISIT.replace("-07-01", "-07-01, caregiver_explained_back: 'no'") + "{absent: [caregiver_understood]}}\n",
        "should be absent",
    ),
    (VISIT + "{resources: [Observation exam fever = true]}}\n", "found Encounter HH sick-visit"),
    (
        VISIT + "{cells: [MH_SEC 202607 site MH_A04 A2_UNK-SEX_UNK 2]}}\n",
        "found MH_SEC 202607 site MH_A04 A2_UNK-SEX_UNK 1",
    ),
    ("  - {name: x, record: [1], expect: {}}\n", "cannot be run"),
    ("  - {name: x, form: other, record: {}, expect: {}}\n", "no form mapping of this name"),
]


def test_an_example_that_is_wrong_itself_says_so(copy: PackCopy) -> None:
    lines = [copy.append("forms/cht/assessment.test.yaml", example) for example, _ in WRONG_THEMSELVES]
    results = run(copy)
    assert results.failed == len(WRONG_THEMSELVES)
    assert {(one.file, one.line) for one in results.failures} == {("forms/cht/assessment.test.yaml", n) for n in lines}
    for line, (_, words) in zip(lines, WRONG_THEMSELVES, strict=True):
        assert words in " ".join(str(one) for one in results.failures if one.line == line)


def test_engines_that_disagree_fail_an_example(copy: PackCopy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second engine that takes the topic for something else must be noticed."""
    real = examples.second_engine

    def other(text: str, **options: Any) -> Callable[[Mapping[str, Any]], Any]:
        return (lambda document: "?") if text == "fields.topic" else real(text, **options)

    monkeypatch.setattr(examples, "second_engine", other)
    failures = [str(one) for one in run(copy).failures]
    written = (copy.folder / "forms/cht/home_visit.test.yaml").read_text("utf-8")
    assert len(failures) == written.count("- name: ") > 1, "every example of the form"
    assert all("the engines disagree on fields.topic" in one for one in failures)


@pytest.mark.parametrize(
    ("found", "wanted", "same"),
    [
        (Decimal("1.5"), 1.5, True), (Decimal("1.50"), "1.5", True), (Decimal("1.5"), 2.5, False),
        (Decimal("1.5"), "one and a half", False), (True, True, True), (True, 1, False), (1, True, False),
        (("a", Decimal(2)), ["a", 2], True), (("a", "b"), ["a"], False), (("a", "b"), ["b", "a"], False),
        ({"a": Decimal(1)}, {"a": 1}, True), ({"a": 1, "b": 2}, {"a": 1}, False), ({"a": 1}, {"a": 2}, False),
        ("x", "x", True), ("x", "y", False), (None, None, True), (None, "", False),
    ],
)  # fmt: skip
def test_what_an_example_expects_is_what_was_found_or_not(found: Any, wanted: Any, same: bool) -> None:
    assert examples._equal(found, wanted) is same
