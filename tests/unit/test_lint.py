"""Every code of ``relais check``: its mistake planted in a copy of the pack is found at its line and column, with words
in both languages. The shipped pack itself is clean (test_config)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from connector.mappings.comparisons import comparisons
from connector.mappings.lint_codes import CODES
from connector.mappings.lint_forms import check_digit
from connector.mappings.lint_slips import unlike
from connector.model import Finding, Severity

from .lint_plants import MARK, PLANTS, Plant
from .lint_plants import with_tracker as planted_tracker
from .pack_copy import ENVIRONMENT, SHIPPED, PackCopy


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> PackCopy:
    return PackCopy(tmp_path_factory.mktemp("pack"))


@pytest.fixture
def copy(shared: PackCopy) -> Iterator[PackCopy]:
    """One copy for all tests of this module; what a test changed is put back."""
    yield shared
    there = {path.relative_to(shared.folder) for path in shared.folder.rglob("*") if path.is_file()}
    for name in there | {path.relative_to(SHIPPED) for path in SHIPPED.rglob("*") if path.is_file()}:
        if not (SHIPPED / name).is_file():
            (shared.folder / name).unlink()
        elif name not in there or (SHIPPED / name).stat().st_mtime_ns != (shared.folder / name).stat().st_mtime_ns:
            shutil.copy2(SHIPPED / name, shared.folder / name)


def planted(copy: PackCopy, plant: Plant) -> tuple[str, int, int]:
    """Plant it; the file, line and column where it must be found."""
    if plant.do is not None:
        plant.do(copy.folder)
    else:
        copy.change(plant.file, plant.right, plant.wrong.replace(MARK, ""))
    for name, old, new in plant.more:
        copy.change(name, old, new)
    file, marked = plant.seen or (plant.file, plant.wrong)
    if MARK not in marked:
        return file, 1, 1
    before, _, after = marked.partition(MARK)
    text = (copy.folder / file).read_text(encoding="utf-8")
    assert before + after in text, f"{file} does not hold {before + after!r}"
    at = text.index(before + after) + len(before)
    return file, text[:at].count("\n") + 1, at - text.rfind("\n", 0, at)


def test_there_is_a_plant_for_every_code_and_no_other() -> None:
    assert {plant.code for plant in PLANTS} == set(CODES)
    assert len(CODES) >= 40


T = TypeVar("T")


def batches(many: Iterable[T], needs: Callable[[T], set[str]]) -> list[list[T]]:
    """What can be planted in one pack: no two of a batch need the same. A pack is read in a tenth of a second, and
    nobody mends one mistake to be told of the next."""
    made: list[tuple[set[str], list[T]]] = []
    for one in many:
        wanted = needs(one)
        used, batch = next((other for other in made if not other[0] & wanted), (set(), []))
        if not batch:
            made.append((used, batch))
        used |= wanted
        batch.append(one)
    return [batch for _, batch in made]


def touched(plant: Plant) -> set[str]:
    """Its files. What changes the folder or its variables is planted alone."""
    if plant.do is not None or plant.without:
        return {"*", *(other.file for other in PLANTS)}
    return {plant.file, *(name for name, _, _ in plant.more), *(plant.seen or ())[:1]}


@pytest.mark.parametrize("batch", batches(PLANTS, touched), ids=lambda batch: batch[0].code)
def test_planted_mistakes_are_found_where_they_stand(copy: PackCopy, batch: list[Plant]) -> None:
    places = {plant.code: planted(copy, plant) for plant in batch}
    env = {name: value for name, value in ENVIRONMENT.items() if name not in {plant.without for plant in batch}}
    findings = copy.findings(env)
    for code, place in places.items():
        found = [one for one in findings if one.code == code]
        assert found, (code, codes(findings))
        assert place in [(one.file, one.line, one.column) for one in found], found
        for one in found:
            assert one.severity is CODES[code].severity
            for words in (one.message, one.why, one.fix, *one.french):
                assert words and not words.isspace() and "{" + "name" not in words, one
            assert one.message != one.french[0]


def test_the_shipped_pack_has_no_finding(copy: PackCopy) -> None:
    assert copy.findings() == []


def codes(found: list[Finding]) -> list[str]:
    return [one.code for one in found]


OTHER_PLACES = (
        # names that are not there, in the other places where they may stand
    ("forms/cht/stock_count.yaml", "        on_hand:", "        onhand:", "concept.unknown", "onhand"),
    ("tables/danger_signs.csv", "unconscious,sign_unconscious", "unconscious,sign_coma", "concept.unknown",
         "sign_coma"),
    ("tables/danger_signs.csv", "unconscious,sign_unconscious", "unconscious,sign_coma", "code.no_answer",
         "sign_coma"),
    ("concepts.yaml", "positive: answer_positive", "positive: answer_plus", "concept.unknown", "answer_plus"),
    ("concepts.yaml", "condition: pneumonia", "condition: pneumo", "concept.unknown", "pneumo"),
    ("concepts.yaml", "when: positive", "when: positif", "code.no_answer", "positif"),
    ("indicators/sec-core.yaml", "counts: sick_visit", "counts: sick_visits", "activity.unknown", "sick_visits"),
    ("activities.yaml", "oedema = true", "edema = true", "fact.unknown", "edema"),
    ("episodes.yaml", "opens: delivery", "opens: delivry", "activity.unknown", "delivry"),
    ("episodes.yaml", "{kind: follow_up, from: 1", "{kind: folow_up, from: 1", "activity.unknown", "folow_up"),
    ("episodes.yaml", "day: born", "day: birn", "fact.unknown", "birn"),
    ("episodes.yaml", "  - id: treated_child", "  - id: sick_visit", "id.twice", "sick_visit"),
    ("episodes.yaml", "when: under5 and", "when: undr5 and", "fact.unknown", "undr5"),
    ("registers.yaml", "{monthly_report: worker,", "{monthly_reprot: worker,", "activity.unknown", "reprot"),
    ("registers.yaml", "group: asc", "group: acs", "group.unknown", "acs"),
    ("registers.yaml", "active: records > 0", "active: recrods > 0", "fact.unknown", "recrods"),
    ("episodes.test.yaml", "    episode: pregnancy", "    episode: pregnacy", "activity.unknown", "pregnacy"),
    ("episodes.yaml", "$max(members.iptp_doses)", "$max(members.iptp_dosses)", "fact.unknown", "iptp_dosses"),
    ("episodes.test.yaml", "activity: delivery, date: 2026-07-30, id: b",
         "activity: delvery, date: 2026-07-30, id: b", "activity.unknown", "delvery"),
    ("registers.test.yaml", "expect: {A01: [den MENAGE_HAMEAU]", "expect: {A00: [den MENAGE_HAMEAU]",
         "indicator.unknown", "A00"),
    ("openmrs.yaml", "  muac_mm: {concept", "  muac: {concept", "concept.unknown", "muac"),
    ("openmrs.yaml", "answers: {positive: CIEL:703", "answers: {positif: CIEL:703", "code.no_answer", "positif"),
    ("openmrs.yaml", "    newborn: 65a569dd", "    nouveau_ne: 65a569dd", "code.no_answer", "nouveau_ne"),
    ("forms/cht/assessment.test.yaml", "absent: [reported_age_months]", "absent: [reported_age]",
         "fact.unknown", ""),
    ("forms/cht/assessment.test.yaml", "        fever_onset_hours: 20", "        fever_hours: 20",
         "fact.unknown", ""),
    ("indicators/sec-core.test.yaml", "activity: stock_report", "activity: stock", "activity.unknown", "stock"),
    ("indicators/epargne.test.yaml", "saved_xof: 2500", "saved: 2500", "fact.unknown", "saved"),
    ("categories.test.yaml", "category: A1", "category: A0", "category.unknown", "A0"),
    ("categories.test.yaml", "option: lt2m", "option: lt2", "code.no_answer", "lt2"),
        # facts nobody gives
    ("indicators/sec-core.yaml", "where: referred = true\n", "where: referred = true and visit_topic = 'x'\n",
         "fact.never_produced", "visit_topic"),
    ("forms/outreach/causeries.yaml", "  canal: canal\n", "", "fact.never_produced", "(category CANAL)"),
    ("indicators/epargne.yaml", "each: solidarity", "each: stock", "fact.never_produced", "stock"),
    ("forms/cht/stock_count.yaml", "constant: tdr", "constant: test", "code.no_answer", "test"),
    ("activities.yaml", "under5: $unknown(age_years) or", "under5: $not(age_years) or", "expression.raw_not", ""),
        # what does nothing where it stands
    ("indicators/sec-core.yaml", "    numerator: rdt_done\n", "    numerator: rdt_done\n    where: fever = true\n",
         "key.unknown", "where"),
    ("forms/cht/pregnancy_home_visit.yaml", "{constant: pregnancy}", "{constant: pregnancy, codes: {a: b}}",
         "key.unknown", "codes"),
    ("forms/odk/reunion_groupe_epargne.yaml", "    each: prets\n    items:", "    each: prets\n    item:",
         "key.unknown", "item"),
        # secrets in other places
    ("connector.yaml", "password: ${RELAIS_CHT_PASSWORD}", "password: ${RELAIS_CHT_PASSWORD:-letmein}",
         "secret.written", "password"),
    ("connector.yaml", "url: ${RELAIS_CHT_URL}", "url: https://relais:letmein@cht.example.org",
         "secret.written", "url"),
        # conditions that never hold
    ("indicators/sec-core.yaml", "numerator: fever_onset_hours <= 24", "numerator: fever_onset_hours <= '24'",
         "condition.type", "fever_onset_hours"),
    ("indicators/sec-core.yaml", "['confirmed', 'presumed']", "['confirmed', 'presume']", "condition.code",
         "presume"),
    ("activities.yaml", "malaria_rdt in ['positive', 'negative']", "malaria_rdt in ['positive', 'neg']",
         "condition.code", "neg"),
        # bands in days, months and years together
    ("categories.yaml", "from: 1, below: 5, measured_in: age_years", "from: 2, below: 5, measured_in: age_years",
         "band.gap", "A2"),
    ("categories.yaml", "from: 5, below: 10, measured_in: age_years", "from: 6, below: 10, measured_in: age_years",
         "band.gap", "y5_9"),
    ("deployments.csv", ",groupes,", ",groups,", "unused.group", "groups"),
)  # fmt: skip


@pytest.mark.again
@pytest.mark.parametrize("batch", batches(OTHER_PLACES, lambda case: {case[0], case[3]}), ids=lambda batch: batch[0][3])
def test_other_places_of_the_same_mistakes(copy: PackCopy, batch: list[tuple[str, str, str, str, str]]) -> None:
    for name, old, new, _, _ in batch:
        copy.change(name, old, new)
    findings = copy.findings()
    for _, _, _, code, words in batch:
        found = [one for one in findings if one.code == code]
        assert found, (code, codes(findings))
        assert words in " ".join(one.message for one in found)


def test_a_fact_of_an_activity_that_has_no_shape_goes_nowhere(copy: PackCopy) -> None:
    copy.change("forms/cht/death_report.yaml", "facts:\n", "facts:\n  visit_topic: fields.topic\n")
    assert "fact.uncounted" in codes(copy.findings()), "its place in FHIR is no place for this activity"


@pytest.mark.again
def test_a_fact_called_referred_is_one_as_any_other_where_the_form_refers_nobody(copy: PackCopy) -> None:
    rules = "facts:\n  referred: $yes(fields.referred)\n  visit_topic: fields.topic\n"
    copy.change("forms/cht/death_report.yaml", "facts:\n", rules)
    found = [one.message for one in copy.findings() if one.code == "fact.uncounted"]
    assert found == ["nobody counts or sends visit_topic"], "indicators of this pack read referred"
    for name in (
        "activities.yaml",
        "episodes.yaml",
        *(f"indicators/{one.name}" for one in copy.folder.glob("indicators/*")),
    ):
        path = copy.folder / name
        path.write_text(re.sub(r"\breferred\b", "fever", path.read_text("utf-8")), "utf-8")
    found = [
        one.message
        for one in copy.findings()
        if (one.code, one.file) == ("fact.uncounted", "forms/cht/death_report.yaml")
    ]
    assert sorted(found) == ["nobody counts or sends referred", "nobody counts or sends visit_topic"]


def test_what_lies_in_the_folder_of_a_source_is_data_and_no_file_of_the_pack(copy: PackCopy) -> None:
    for place in ("records/odk", "records/other"):
        (copy.folder / place).mkdir(parents=True)
        (copy.folder / place / "export.csv").write_text("a,b\n", "utf-8")
    copy.change("connector.yaml", '"${RELAIS_FOLDER}/odk"', f'"{copy.folder}/records/odk"')
    (unknown,) = (one for one in copy.findings() if one.code == "file.unknown")
    assert unknown.file == "records/other/export.csv"
    assert unknown.fix.startswith("Known: ") and unknown.fix.endswith(". Else remove it.")


def test_a_fact_is_kept_on_purpose(copy: PackCopy) -> None:
    copy.change("forms/cht/death_report.yaml", "facts:\n", "facts:\n  visit_topic: fields.topic\n")
    copy.change("concepts.yaml", "  - id: visit_topic\n", "  - id: visit_topic\n    kept: true\n")
    assert "fact.uncounted" not in codes(copy.findings())


def test_what_is_wrong_with_an_indicator_is_said_where_it_stands_and_not_in_its_examples(copy: PackCopy) -> None:
    copy.change("indicators/sec-core.yaml", "numerator: fever_onset_hours <= 24", "numerator: fever_onset_hours <=")
    found = copy.findings()
    assert "expression.syntax" in codes(found) and "indicator.unknown" not in codes(found)


def test_no_hint_names_another_slip(copy: PackCopy) -> None:
    copy.change("forms/cht/assessment.yaml", "  muac_mm: $num(", "  muac_nm: $num(")
    found = [one for one in copy.findings() if one.code in ("fact.unknown", "fact.never_produced")]
    assert found and not any("muac_nm" in one.fix for one in found)


def test_a_path_of_a_list_is_looked_for_in_its_items(copy: PackCopy) -> None:
    line = copy.change("forms/odk/reunion_groupe_epargne.yaml", "amount: $num(montant_xof)", "amount: $num(montantxof)")
    (found,) = (one for one in copy.findings() if one.code == "path.unseen")
    assert (found.line, found.fix) == (line, "Did you mean montant_xof? If it is right, put it into an example.")


def test_an_answer_an_example_means_to_be_in_no_table_is_no_finding(copy: PackCopy) -> None:
    """The flag the example expects says so; without it the answer is reported."""
    copy.change("forms/cht/assessment.test.yaml", ", code.unknown malaria_rdt", "")
    (found,) = (one for one in copy.findings() if one.code == "option.unmapped")
    assert "'invalid'" in found.message and "forms/cht/assessment.test.yaml" in found.file + found.fix


def test_a_place_is_looked_for_on_the_day_of_the_record(copy: PackCopy) -> None:
    copy.change("org_units.csv", "Site Banakoro-Sud,2015-01-01,", "Site Banakoro-Sud,2015-01-01,2026-07-22")
    found = [one for one in copy.findings() if one.code == "place.unmapped"]
    assert found and all("site-1" in one.message and "2026-07-" in one.message for one in found)


@pytest.mark.again
@pytest.mark.parametrize(
    "expression",
    ["$not($exists(fever))", "$not(fever = true)", "$not(fever in ['x'])", "$not($unknown(fever))", "cough = '$not('"],
)
def test_not_over_what_is_always_yes_or_no_is_fine(copy: PackCopy, expression: str) -> None:
    copy.change("activities.yaml", "rdt_done: malaria_rdt in ['positive', 'negative']", f'rdt_done: "{expression}"')
    assert [code for code in codes(copy.findings()) if code.startswith("expression")] == []


def test_a_missing_id_is_an_error(copy: PackCopy) -> None:
    copy.change("connector.yaml", "  id: mali-health ", "  #")
    assert codes(copy.findings()) == ["key.missing"]


def test_a_warning_does_not_stop_the_pack(copy: PackCopy) -> None:
    copy.change("activities.yaml", "derived:\n", "derived:\n  lonely: fever = true\n")
    assert [(one.code, one.severity) for one in copy.findings()] == [("unused.derived", Severity.WARNING)]


# ---------------------------------------------------------------- what the checks rest on


@pytest.mark.parametrize(
    ("system", "code", "fine"),
    [
        # the examples of the LOINC Users' Guide and of SNOMED's own documents
        ("loinc", "12345-5", True), ("loinc", "12345-4", False), ("loinc", "8665-2", True), ("loinc", "8656-2", False),
        ("snomed", "386661006", True), ("snomed", "386661060", False), ("snomed", "22298006", True),
        ("snomed", "22298007", False), ("ciel", "1", True), ("who", "ANC.B6", True),
    ],
)  # fmt: skip
def test_check_digits(system: str, code: str, fine: bool) -> None:
    assert check_digit(system, code) is fine


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("fever = true", [("fever", "=", "true")]),
        ("a = 'x' and b != \"y\"", [("a", "=", "'x'"), ("b", "!=", '"y"')]),
        ("30 >= days", [("days", ">=", "30")]),
        ("x in ['a', 'b']", [("x", "in", "'a'"), ("x", "in", "'b'")]),
        ("'a' in x", [("x", "in", "'a'")]),
        ("$num(x) = 3 or $count(y) > 0", []),
        ("a.b = 'x'", []),
        ("a = b", []),
        ("`a b` = 'x'", [("a b", "=", "'x'")]),
        ("x = 'a = true'", [("x", "=", "'a = true'")]),
        ("true = x", [("x", "=", "true")]),
    ],
)
def test_comparisons_are_read_off_the_text(text: str, wanted: list[tuple[str, str, str]]) -> None:
    found = comparisons(text)
    assert [(one.name, one.order, one.constant) for one in found] == wanted
    assert all(text[one.at :].startswith(one.constant) for one in found)


@pytest.mark.parametrize(
    ("names", "odd"),
    [
        ([*(f"asc-{n:03}" for n in range(1, 8)), "asc-08"], {"asc-08"}),
        ([*(f"asc-{n:03}" for n in range(1, 8)), "asc-0088"], {"asc-0088"}),
        ([*(f"asc-{n:03}" for n in range(1, 8)), "acs-008"], {"acs-008"}),
        ([*(f"asc-{n:03}" for n in range(993, 1000)), "asc-001", "asc-1000"], set()),  # one more than the zeros allow
        ([*(f"site-{n}" for n in range(1, 12))], set()),  # figures without zeros
        ([*(f"site-{n}" for n in range(1, 10)), "GE-A2-02"], {"GE-A2-02"}),  # the only one that is no site
        ([*(f"site-{n}" for n in range(1, 5)), "sitte-5"], set()),  # too few to be a rule
        ([*(f"site-{n}" for n in range(1, 10)), "GE-1", "GE-2"], set()),
        (["3f9a", "b07c", "a1d2", "09fe", "77aa", "c3e1", "0b0b", "d4d4", "e5f6", "f00d"], set()),  # nothing in common
        (["awa", "moussa", "fanta", "oumar", "kadi", "issa", "binta", "adama", "sira"], set()),
        ([], set()),
    ],
)
def test_names_that_are_written_like_no_other(names: list[str], odd: set[str]) -> None:
    assert set(unlike(names)) == odd


@pytest.mark.again
def test_a_slip_in_a_name_that_nothing_repeats(copy: PackCopy) -> None:
    slips = [
        ("forms/kobo/aActionQualite.yaml", "name: aActionQualite", "name: plan_reunions", "form.slip"),  # another file
        ("connector.yaml", "    action: action  ", "    action: actoin  ", "column.unseen"),
        ("connector.yaml", "  cht_answers:", "  cht_ansewrs:", "target.slip"),
        ("openmrs.yaml", "CIEL:159860, value: CIEL:122983", "CIEL:519860, value: CIEL:122983", "coding.differs"),
        ("openmrs.yaml", "positive: CIEL:703", "positive: CIEL:730", "coding.differs"),
        ("openmrs.yaml", "ors_given: 3e1625ed-c85a-50fc-a1c7-21a14d7af7c1", "ors_given: CIEL:315", "coding.differs"),
        ("openmrs.yaml", "breath_count: {concept: CIEL:5242", "breath_count: {concept: CIEL:5422", "coding.differs"),
        ("org_units.csv", "outreach,area-2,", "outreach,arrea-2,", "id.slip"),
        (
            "concepts.yaml",
            'kind: boolean\n    name: {fr: "Domicile"',
            'kind: text\n    name: {fr: "Domicile"',
            "kind.unused",
        ),
    ]
    lines = {(file, copy.change(file, right, wrong), code) for file, right, wrong, code in slips}
    assert lines <= {(one.file, one.line, one.code) for one in copy.findings()}


def test_a_name_of_another_sort_is_no_slip(copy: PackCopy) -> None:
    """Called otherwise on purpose; a place that reports for the org unit above its own."""
    copy.change("forms/cht/person.yaml", "name: person}", "name: beneficiaire}")
    copy.change("connector.yaml", "  fhir:   ", "  dossier:   ")
    copy.change("connector.yaml", "  dhis2:   ", "  dhis2-national:   ")
    copy.change("deployments.csv", "GE-A1-01,place,groupes,ML-KKO-D1-A1,", "GE-A1-01,place,groupes,ML-KKO-D1,")
    assert not {"form.slip", "target.slip", "deployment.elsewhere"} & set(copy.codes())


def test_every_plant_begins_as_the_pack_is() -> None:
    """``right`` stands in the shipped file, so that a page never shows what nobody writes."""
    for plant in PLANTS:
        if plant.do is None:
            assert plant.right in (SHIPPED / plant.file).read_text(encoding="utf-8"), plant.code


def test_copies_are_put_back(copy: PackCopy) -> None:
    assert {path.relative_to(copy.folder) for path in copy.folder.rglob("*.yaml")} == {
        path.relative_to(SHIPPED) for path in SHIPPED.rglob("*.yaml")
    }
    assert Path(copy.folder, "concepts.yaml").read_bytes() == (SHIPPED / "concepts.yaml").read_bytes()


@pytest.mark.parametrize(("right", "wrong", "code", "at"), [
    ("activity: sick_visit", "activity: sick_visti", "activity.unknown", 12),
    ("TR_FIEVRE: fever", "TR_FIEVRE: feber", "fact.unknown", 14),
    ("codes: {positive: POS", "codes: {positif: POS", "code.no_answer", 15),
    ("level: site", "level: stie", "level.unknown", 2),
    ("      TR_PB: muac_mm\n",
     "      TR_PB: muac_mm\n  - {id: TR_VISITE, activity: sick_visit, data_elements: {TR_PB: muac_mm}}\n",
     "id.twice", 17),
    ("program: TR_ENFANTS", "programme: TR_ENFANTS", "key.unknown", 1),
])  # fmt: skip
def test_mistakes_in_a_tracker_are_found(copy: PackCopy, right: str, wrong: str, code: str, at: int) -> None:
    planted_tracker(right, wrong)(copy.folder)
    found = [one for one in copy.findings() if one.code == code]
    assert [(one.file, one.line) for one in found] == [("tracker.yaml", at)], codes(copy.findings())


def test_a_tracker_without_a_mistake_has_no_finding_and_one_without_its_file_has(copy: PackCopy) -> None:
    planted_tracker("", "")(copy.folder)
    assert copy.findings() == []
    (copy.folder / "tracker.yaml").unlink()
    assert {(one.file, one.code) for one in copy.findings()} == {("tracker.yaml", "file.missing")}
