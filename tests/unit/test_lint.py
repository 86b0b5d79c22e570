"""Each cross-check of the pack, by the mistake it is there for. The shipped pack itself is clean (test_config)."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.model import Severity

from .pack_copy import PackCopy


@pytest.fixture
def copy(tmp_path: Path) -> PackCopy:
    return PackCopy(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new", "code", "words"),
    [
        # names that are not there
        ("forms/cht/assessment.yaml", "activity: sick_visit", "activity: sik_visit", "activity.unknown", "sik_visit"),
        ("forms/cht/assessment.yaml", "  muac_mm:", "  muac:", "fact.unknown", "there is no concept muac"),
        ("forms/cht/stock_count.yaml", "        on_hand:", "        onhand:", "fact.unknown", "onhand"),
        ("forms/cht/assessment.yaml", "source: cht", "source: chtt", "source.unknown", "chtt"),
        (
            "tables/danger_signs.csv",
            "unconscious,sign_unconscious",
            "unconscious,sign_coma",
            "concept.unknown",
            "sign_coma",
        ),
        ("concepts.yaml", "positive: answer_positive", "positive: answer_plus", "concept.unknown", "answer_plus"),
        ("concepts.yaml", "condition: pneumonia", "condition: pneumo", "concept.unknown", "pneumo"),
        ("indicators/sec-core.yaml", "counts: sick_visit", "counts: sick_visits", "activity.unknown", "sick_visits"),
        ("indicators/sec-core.yaml", "by: [PURPOSE]", "by: [PURPOSES]", "category.unknown", "PURPOSES"),
        ("indicators/sec-core.yaml", "data_set: MH_STOCK", "data_set: MH_STOK", "data_set.unknown", "MH_STOK"),
        ("indicators/sec-core.yaml", "denominator: fever = true", "denominator: fevre = true", "fact.unknown", "fevre"),
        ("activities.yaml", "oedema = true", "edema = true", "fact.unknown", "edema"),
        # facts nobody gives
        (
            "forms/cht/assessment.yaml",
            "  hours_since_onset: $num(fields.hours_since_onset)\n",
            "",
            "fact.never_produced",
            "hours_since_onset",
        ),
        (
            "indicators/sec-core.yaml",
            "where: referred = true\n",
            "where: referred = true and visit_topic = 'x'\n",
            "fact.never_produced",
            "visit_topic",
        ),
        ("forms/outreach/causeries.yaml", "  canal: canal\n", "", "fact.never_produced", "(category CANAL)"),
        ("indicators/epargne.yaml", "each: solidarity", "each: stock", "fact.never_produced", "the list stock"),
        # codes without an answer
        ("forms/cht/assessment.yaml", "positive: positive", "positive: plus", "code.no_answer", "plus"),
        ("forms/cht/stock_count.yaml", "constant: tdr", "constant: test", "code.no_answer", "test"),
        (
            "concepts.yaml",
            "  - id: purpose\n    kind: coded",
            "  - id: purpose\n    kind: integer",
            "code.not_coded",
            "",
        ),
        # expressions that turn "not asked" into something else
        ("forms/cht/assessment.yaml", "muac_mm: $num(", "muac_mm: $number(", "expression.raw_number", "$number"),
        ("forms/cht/assessment.yaml", "oedema: $yes(", "oedema: $not(", "expression.raw_not", "$not"),
        (
            "forms/cht/assessment.yaml",
            "danger_signs:\n    value: $options(fields.group_danger_signs.danger_signs)",
            "danger_signs:\n    value: $split(fields.group_danger_signs.danger_signs, ' ')",
            "expression.raw_split",
            "",
        ),
        ("activities.yaml", "under5: $unknown(age_years) or", "under5: $not(age_years) or", "expression.raw_not", ""),
        # one thing twice
        (
            "dhis2.yaml",
            "  # exceptions: {B01_NUM: AUTRE_CODE}",
            "  exceptions: {B01_NUM: MH_A03}  #",
            "element.twice",
            "A03",
        ),
        ("categories.yaml", "id: y5_9, name", "id: y5_9, code: A2_Y1_4, name", "option.twice", "A2"),
        ("categories.yaml", "from: 2, below: 12", "from: 1, below: 12", "band.overlap", "A1"),
        ("connector.yaml", "ignore: [referral_answer]", "ignore: [delivery]", "form.ignored", "delivery"),
        # levels and groups
        ("dhis2.yaml", "level: site", "level: village", "level.unknown", "village"),
        ("dhis2.yaml", "complete: groupes", "complete: groups", "group.unknown", "groups"),
        ("connector.yaml", "id: mali-health", "id: Mali Health", "pack.id", "Mali Health"),
        (
            "categories.yaml",
            '{id: m2_11, name: {fr: "2 à 11 mois", en: "2 to 11 months"}, from: 2, below: 12}',
            "{id: m2_11, name: {fr: x}}",
            "band.missing",
            "A1",
        ),
        ("concepts.yaml", "    answers: {live: answer_live, still: answer_still}\n", "", "concept.no_answers", ""),
    ],
)
def test_a_mistake_is_found(copy: PackCopy, name: str, old: str, new: str, code: str, words: str) -> None:
    copy.change(name, old, new)
    found = [one for one in copy.findings() if one.code == code]
    assert found, copy.findings()
    assert words in " ".join(one.message for one in found)
    assert all(one.severity is Severity.ERROR and one.fix and one.file for one in found)


@pytest.mark.parametrize(
    ("name", "old", "new", "code"),
    [
        ("concepts.yaml", "concepts:\n", "concepts:\n  - {id: lonely, kind: text, name: {fr: x}}\n", "unused.concept"),
        ("activities.yaml", "activities:\n", "activities:\n  - {id: lonely, name: {fr: x}}\n", "unused.activity"),
        ("activities.yaml", "derived:\n", "derived:\n  lonely: fever = true\n", "unused.derived"),
        ("indicators/sec-core.yaml", "by: [PURPOSE]", "by: []", "unused.category"),
        (
            "dhis2.yaml",
            "data_sets:\n",
            "data_sets:\n  - {id: LONELY, name: {fr: x}, period: Monthly, level: site}\n",
            "unused.data_set",
        ),
    ],
)
def test_what_nobody_uses_is_a_warning(copy: PackCopy, name: str, old: str, new: str, code: str) -> None:
    copy.change(name, old, new)
    assert [(one.code, one.severity) for one in copy.findings()] == [(code, Severity.WARNING)]


@pytest.mark.parametrize(
    "expression",
    ["$not($exists(fever))", "$not(fever = true)", "$not(fever in ['x'])", "$not($unknown(fever))", "fever = '$not('"],
)
def test_not_over_what_is_always_yes_or_no_is_fine(copy: PackCopy, expression: str) -> None:
    copy.change("activities.yaml", "rdt_done: malaria_rdt in ['positive', 'negative']", f'rdt_done: "{expression}"')
    assert copy.codes() == []


def test_a_missing_id_is_an_error(copy: PackCopy) -> None:
    copy.change("connector.yaml", "  id: mali-health ", "  #")
    assert copy.codes() == ["key.missing"]
