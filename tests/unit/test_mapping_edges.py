"""The edges of reading a pack and of mapping: the first and the last value of each range, the empty and the odd one."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connector.findings import nearest
from connector.mappings import codec, concepts, people
from connector.mappings.config import load_pack
from connector.mappings.config_dictionary import read_categories, read_concepts
from connector.mappings.config_reading import Reading
from connector.mappings.expected import expected_metadata
from connector.mappings.expressions import compile_expression, engine_only
from connector.mappings.fact_functions import chosen, day_and_instant, day_of, instant, num, options, yes
from connector.mappings.jsonata_values import MISSING, same, truth, walk
from connector.mappings.pack import Concept, Place
from connector.mappings.schedules import schedule_problem
from connector.mappings.sections import read_section
from connector.mappings.shapes import FLAG, TEXT, Field, Group, Texts, Words
from connector.mappings.yaml_nodes import Findings, Scalar, plain
from connector.model import Activity, Entity, Flag, Referral, Severity

from .pack_copy import ENVIRONMENT, PackCopy

BAMAKO, NAIROBI, HONOLULU = ZoneInfo("Africa/Bamako"), ZoneInfo("Africa/Nairobi"), ZoneInfo("Pacific/Honolulu")


@pytest.fixture
def copy(tmp_path: Path) -> PackCopy:
    return PackCopy(tmp_path)


# ---------------------------------------------------------------- the words of a pack


def test_what_a_target_must_have_for_a_data_set(copy: PackCopy) -> None:
    """Each element with the codes of its combos in the order in which the indicator splits, or with the default one."""
    pack, _ = copy.load()
    wanted = expected_metadata(pack)
    stock, month = wanted["MH_STOCK"], wanted["MH_SEC"]
    assert (stock["period_type"], stock["org_units"]) == ("Monthly", ["ML-KKO-D1-A1", "ML-KKO-D1-A2", "ML-KKO-D1-A3"])
    assert stock["elements"]["MH_F02_NUM"] == stock["elements"]["MH_F02_DEN"] == ["default"]
    assert month["elements"]["MH_A01_DEN"] == ["MENAGE_VILLAGE", "MENAGE_HAMEAU", "MENAGE_NOMADE", "MENAGE_UNK"]
    ages = ("A2_D0_27", "A2_D28_M11", "A2_Y1_4", "A2_Y5_9", "A2_UNK")
    assert month["elements"]["MH_A04"] == [f"{age}-{sex}" for age in ages for sex in ("SEX_F", "SEX_M", "SEX_UNK")]


def test_a_concept_keeps_its_codes_and_not_where_they_were_read(copy: PackCopy) -> None:
    pack, _ = copy.load()
    assert pack.concepts["fever"].codings == {"ciel": "140238", "snomed": "386661006", "icd11": "MG26"}
    assert pack.concepts["fever_onset_hours"].unit == "h"
    assert pack.concepts["malaria_rdt"].answers == {
        "positive": "answer_positive", "negative": "answer_negative",
    }  # fmt: skip
    assert pack.concepts["malaria_rdt"].fhir["condition"] == "malaria"


def read(tmp_path: Path, name: str, text: str) -> Reading:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return Reading(tmp_path, "Africa/Bamako", Findings())


def test_answers_may_be_words_alone_and_stand_for_themselves(tmp_path: Path) -> None:
    reading = read(
        tmp_path, "concepts.yaml", "concepts:\n- {id: sex, kind: coded, name: {fr: Sexe}, answers: [female, male]}\n"
    )
    found = read_concepts(reading)
    assert found["sex"].answers == {"female": "female", "male": "male"}
    assert (found["sex"].codings, found["sex"].unit, found["sex"].fhir) == ({}, None, {})
    assert reading.findings.items == []


def test_the_second_of_two_with_one_id_is_left_out_and_names_the_first(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        "concepts.yaml",
        "concepts:\n- {id: a, kind: text, name: Un}\n- {id: b, kind: text, name: B}\n"
        "- {id: a, kind: date, name: Deux}\n",
    )
    assert {key: one.kind for key, one in read_concepts(reading).items()} == {"a": "text", "b": "text"}
    (found,) = reading.findings.items
    assert (found.code, found.line, found.fix) == (
        "id.twice", 4, "Give it another name. The first is at concepts.yaml, line 2."
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["concepts.yaml", "activities.yaml", "categories.yaml", "dhis2.yaml", "indicators/promotion.yaml"]
)
def test_what_an_empty_file_lacks_is_said_at_its_first_line(copy: PackCopy, name: str) -> None:
    copy.write(name, "")
    found = [one for one in load_pack(copy.folder, ENVIRONMENT)[1] if one.file == name]
    assert found and {(one.code, one.line) for one in found} == {("key.missing", 1)}


@pytest.mark.parametrize("name", ["concepts.yaml", "activities.yaml", "categories.yaml", "dhis2.yaml"])
def test_a_missing_file_is_said_once_at_its_first_line(copy: PackCopy, name: str) -> None:
    (copy.folder / name).unlink()
    found = [one for one in load_pack(copy.folder, ENVIRONMENT)[1] if one.file == name]
    assert [(one.code, one.line) for one in found] == [("file.missing", 1)]


BANDS = """categories:
- id: age
  prefix: A1
  fact: age_months
  name: {fr: Age}
  options:
  - {id: young, name: Jeune, below: 2, measured_in: age_days}
  - {id: middle, name: Moyen, from: 2, below: 12}
  - {id: old, name: Vieux, from: 12}
  - {id: other, name: Autre, code: SPECIAL}
"""


def test_the_bands_of_a_category(tmp_path: Path) -> None:
    reading = read(tmp_path, "categories.yaml", BANDS)
    found = read_categories(reading)["age"]
    assert reading.findings.items == []
    assert found.options == {
        "young": "A1_YOUNG", "middle": "A1_MIDDLE", "old": "A1_OLD", "other": "SPECIAL", "unknown": "A1_UNK",
    }  # fmt: skip
    assert found.bands == {"young": (0, 2), "middle": (2, 12), "old": (12, 1_000_000)}
    assert found.band_facts == {"young": "age_days"}
    assert found.option_names["unknown"] == {"fr": "Inconnu", "en": "Unknown"}
    assert found.code == "age"


def test_a_category_without_bands_has_none_and_a_band_is_whole(tmp_path: Path) -> None:
    text = "categories:\n- id: c\n  fact: f\n  name: C\n  options:\n  - {id: a, name: A}\n"
    assert read_categories(read(tmp_path, "categories.yaml", text))["c"].bands is None
    reading = read(tmp_path, "categories.yaml", text.replace("name: A}", "name: A, from: two}"))
    assert read_categories(reading)["c"].bands == {"a": (0, 1_000_000)}
    assert [(one.code, one.line) for one in reading.findings.items] == [("value.format", 6)]


# ---------------------------------------------------------------- connections


def test_live_from_is_a_period_for_dhis2_and_a_day_for_the_others(copy: PackCopy) -> None:
    copy.change("connector.yaml", "live_from: 2026-07-06", "live_from: 20260706")
    copy.change("connector.yaml", "live_from: 202607 ", "live_from: 2026-07-06 ")
    found = {one.message.split(":")[1].strip(): one for one in copy.findings() if one.code == "live_from.invalid"}
    assert set(found) == {"dhis2", "openmrs"}
    assert found["dhis2"].fix == "Write a DHIS2 period: live_from: 202607"
    assert found["openmrs"].fix == "Write a day: live_from: 2026-07-06"
    pack, _ = copy.load()
    assert pack.targets["dhis2"].live_from == pack.targets["openmrs"].live_from == ""


def test_a_missing_live_from_says_what_to_write_for_that_kind(copy: PackCopy) -> None:
    line = copy.change("connector.yaml", "live_from: 2000-01-01", "live_from:")
    (found,) = [one for one in copy.findings() if one.code == "live_from.missing"]
    assert "fhir" in found.message and found.fix.endswith("live_from: 2026-07-06")
    assert found.line == line


@pytest.mark.parametrize(("reference", "said"), [("${NOT_SET}", "variable NOT_SET"), ("${file:none}", "file none")])
def test_a_missing_secret_says_what_kind_it_is(copy: PackCopy, tmp_path: Path, reference: str, said: str) -> None:
    copy.change("connector.yaml", "${RELAIS_DHIS2_TOKEN}", reference)
    (found,) = [one for one in load_pack(copy.folder, ENVIRONMENT, tmp_path)[1] if one.code == "secret.missing"]
    assert said in found.message and said in found.fix and found.severity is Severity.ERROR


@pytest.mark.parametrize(("size", "taken"), [(65_536, True), (65_537, False)])
def test_the_file_of_a_secret_has_a_largest_size(copy: PackCopy, tmp_path: Path, size: int, taken: bool) -> None:
    (tmp_path / "key").write_text("k" * size)
    copy.change("connector.yaml", "${RELAIS_DHIS2_TOKEN}", "${file:key}")
    pack, _ = load_pack(copy.folder, ENVIRONMENT, tmp_path)
    assert bool(pack.targets["dhis2"].settings.get("token")) is taken


@pytest.mark.again
@pytest.mark.parametrize(("value", "hidden"), [("sixsix", True), ("fives", False)])
def test_short_values_are_no_secrets(copy: PackCopy, value: str, hidden: bool) -> None:
    """Hiding a value of a letter or two would spoil every word with it."""
    copy.change("connector.yaml", "schedule: every 30m", "schedule: ${RELAIS_DHIS2_TOKEN}")
    (found,) = [
        one for one in copy.findings({**ENVIRONMENT, "RELAIS_DHIS2_TOKEN": value}) if one.code == "schedule.invalid"
    ]
    assert (value not in found.message) is hidden
    assert ("${RELAIS_DHIS2_TOKEN}" in found.message) is hidden


def test_a_secret_that_is_part_of_another_is_hidden_with_it(copy: PackCopy) -> None:
    """The longest first, or the rest of the longer one would stay."""
    copy.change("connector.yaml", "schedule: every 30m", "schedule: ${RELAIS_DHIS2_TOKEN}")
    env = {**ENVIRONMENT, "RELAIS_CHT_PASSWORD": "secret-1", "RELAIS_DHIS2_TOKEN": "secret-1-and-more"}
    (found,) = [one for one in copy.findings(env) if one.code == "schedule.invalid"]
    assert "and-more" not in found.message


@pytest.mark.again
def test_a_default_stands_in_and_an_empty_variable_is_not_set(copy: PackCopy) -> None:
    copy.change("connector.yaml", 'zone: "${RELAIS_ZONE:-Africa/Bamako}"', "zone: ${RELAIS_ZONE:-Africa/Dakar}")
    assert copy.load()[0].zone == "Africa/Dakar"
    assert copy.load({**ENVIRONMENT, "RELAIS_ZONE": ""})[0].zone == "Africa/Dakar"


@pytest.mark.parametrize("job", ["reconcile", "seal", "purge"])
def test_a_pack_schedules_its_own_jobs(copy: PackCopy, job: str) -> None:
    text = (copy.folder / "connector.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.split("\nschedules:")[0].splitlines()] if "\nschedules:" in text else [text]
    copy.write("connector.yaml", "\n".join(lines) + f"\nschedules:\n  {job}: 30 2 * * *\n")
    pack, findings = load_pack(copy.folder, ENVIRONMENT)
    assert (pack.schedules, findings) == ({job: "30 2 * * *"}, [])


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("every 99999s", True), ("every 0m", False), ("every 100000s", False), ("every 5w", False),
        ("0 0 1 1 *", True), ("59 23 31 12 sun", True), ("60 0 * * *", False), ("0 24 * * *", False),
        ("0 0 0 1 *", False), ("0 0 32 1 *", False), ("0 0 1 0 *", False), ("0 0 1 13 *", False),
        ("*/15 * * * *", True), ("*/0 * * * *", False), ("0 6-18 * * mon-fri", True), ("0 0 1,15 jan *", True),
        ("0 0 * * 1", False), ("0 0 * *", False), ("jan 0 * * *", False), ("0 0 * * mon,wed", True),
    ],
)  # fmt: skip
def test_the_ends_of_a_schedule(text: str, fine: bool) -> None:
    assert (schedule_problem(text) is None) is fine


# ---------------------------------------------------------------- yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("false", False), ("True", "True"), ("no", "no"), ("0", 0), ("-7", -7), ("010", "010"),
        ("1.5", "1.5"), ("~", None), ("null", None), ("", None),
    ],
)  # fmt: skip
def test_plain_values(text: str, value: Any) -> None:
    assert plain(Scalar(text, False, Place("x", 1))) == value
    assert plain(Scalar(text, True, Place("x", 1))) == text  # quoted: text as written


def test_a_name_nobody_knows_gets_the_nearest_or_all_that_are() -> None:
    assert nearest("shedule", ["kind", "schedule"]) == ("Vouliez-vous dire schedule ?", "Did you mean schedule?")
    known = ["schedule", "kind", "schedule"]
    assert nearest("xyzzy", known) == ("Connus : kind, schedule.", "Known: kind, schedule.")
    assert nearest("xyzzy", [])[1] == "Nothing of that kind is declared."
    assert nearest("xyzzy", map(str, range(30)))[1].endswith("25, 26, …")


GROUP = Group(
    {
        "one": Field(TEXT), "many": Field(Words()), "yes": Field(FLAG, default="false"), "names": Field(Texts()),
        "alone": Field(Texts()), "empty": Field(TEXT, default="default"),
        "group": Field(Group({"x": Field(TEXT)})), "absent": Field(FLAG, default="true"), "a": Field(TEXT),
    }
)  # fmt: skip


def test_a_section_reads_what_it_is_asked_for_and_the_rest_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "one: text\nmany: [a, b]\nyes: true\nnames: {fr: Un, en: One}\nalone: Un\nempty:\ngroup: {x: 1}\nextra: 2\n"
    )
    findings = Findings()
    section = read_section(tmp_path, "a.yaml", findings, GROUP)
    assert (section.text("one"), section.names("many")) == ("text", ["a", "b"])
    assert (section.flag("yes"), section.flag("absent")) == (True, True)
    assert (section.texts("names"), section.texts("alone")) == ({"fr": "Un", "en": "One"}, {"fr": "Un"})
    assert (section.text("empty"), section.maybe("a"), section.names("many")) == ("default", None, ["a", "b"])
    assert section.section("group").text("x") == "1"
    assert [(one.code, one.line, one.column) for one in findings.items] == [("key.unknown", 8, 1)]
    with pytest.raises(KeyError, match="not declared"):
        section.node("other")


@pytest.mark.parametrize("text", ["a: [b: {c: 1}]", "a: {b: 1}"])
def test_one_value_is_not_a_group(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(f"# a comment\n{text}\n")
    findings = Findings()
    section = read_section(tmp_path, "a.yaml", findings, GROUP)
    assert section.text("a") == ""
    assert [(one.code, one.line, one.column) for one in findings.items] == [("value.type", 2, 4)]


# ---------------------------------------------------------------- the functions of a mapping


@pytest.mark.parametrize("value", [[1], ["x", None], {"x": "y"}, 5, True])
def test_what_is_no_list_of_words_cannot_be_read(value: Any) -> None:
    for function in (lambda: options(value), lambda: chosen(value, "x")):
        with pytest.raises(ValueError, match=r"^not a list of options$"):
            function()


def test_options_are_told_apart_by_any_space_and_kept_in_order() -> None:
    assert options(" b\ta  b ") == ["b", "a"]
    assert options([" b", "", "a ", "b"]) == ["b", "a"]
    assert chosen("b a", "a") is True and chosen(["b", ""], "") is False


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("123456789012345", 123456789012345), ("+5", 5), ("-0,5", -0.5), ("12.0", 12), ("١٢", 12), (2.5, 2.5),
        ("\u00a0 ", None), (None, None), (7, 7),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(value: Any, wanted: Any) -> None:
    assert num(value) == wanted and type(num(value)) is type(wanted)


@pytest.mark.parametrize("value", ["1234567890123456", "1,5,5", ",5", "1,", "²", False, {"n": 1}])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^not a number$"):
        num(value)


@pytest.mark.parametrize("value", [0.5, -1, "oui/non", ["no"]])
def test_what_is_neither_yes_nor_no_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^neither yes nor no$"):
        yes(value)


@pytest.mark.parametrize(("value", "wanted"), [(1.0, True), (0.0, False), ("  ", None), (" VRAI", True), ("0", False)])
def test_yes_and_no_as_apps_write_them(value: Any, wanted: bool | None) -> None:
    assert yes(value) is wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1500, datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)),
        ("10000000000", datetime(1970, 4, 26, 17, 46, 40, tzinfo=UTC)),  # eleven digits: milliseconds as text
        ("9999999999", None),  # ten are something else
        ("2026-07-31T10:00:00", datetime(2026, 7, 31, 7, 0, tzinfo=UTC)),  # without an offset: the zone's
        ("2026-07-31 10:00:00", datetime(2026, 7, 31, 7, 0, tzinfo=UTC)),
        ("2026-07-31T10:00:00+00:00", datetime(2026, 7, 31, 10, 0, tzinfo=UTC)),
        ("2026-07-31", None),
        ("2026-07-31x10:00", None),
        (True, None),
        (None, None),
    ],
)
def test_the_instant_a_value_names(value: Any, wanted: datetime | None) -> None:
    assert instant(value, NAIROBI) == wanted


@pytest.mark.parametrize("value", [10**20, -(10**20), 1e300])
def test_an_instant_out_of_the_calendar_is_no_date(value: Any) -> None:
    for read in (lambda: instant(value, BAMAKO), lambda: day_of(value, BAMAKO)):
        with pytest.raises(ValueError, match=r"^not a date$"):
            read()


@pytest.mark.parametrize(
    ("value", "zone", "day", "at"),
    [
        ("2026-07-31", NAIROBI, date(2026, 7, 31), None),
        (" 31/7/2026 ", HONOLULU, date(2026, 7, 31), None),
        ("2026-08-01T00:30:00Z", HONOLULU, date(2026, 7, 31), datetime(2026, 8, 1, 0, 30, tzinfo=UTC)),
        ("2026-07-31T23:30:00Z", NAIROBI, date(2026, 8, 1), datetime(2026, 7, 31, 23, 30, tzinfo=UTC)),
        ("1900-01-01", BAMAKO, date(1900, 1, 1), None),
        ("2199-12-31", BAMAKO, date(2199, 12, 31), None),
        ("", BAMAKO, None, None),
        (None, BAMAKO, None, None),
    ],
)
def test_the_day_and_the_instant(value: Any, zone: ZoneInfo, day: date | None, at: datetime | None) -> None:
    assert day_and_instant(value, zone) == (day, at)
    assert day_of(value, zone) == day


@pytest.mark.parametrize("value", ["1899-12-31", "2200-01-01", "31/12/1899", "9999-12-31T23:59:59-12:00"])
def test_days_nobody_served_on(value: str) -> None:
    with pytest.raises(ValueError, match=r"^not a likely date$"):
        day_of(value, BAMAKO)


# ---------------------------------------------------------------- expressions


@pytest.mark.parametrize(
    "text",
    [
        "a in []", "a in ['x'][0]", "a in ['x', b]", "a in [['x']]", "(a).b", "(a)[0]", "$exists(a).b",
        "$count(a)[0]", "$exists(a, b)", "$count()", "$yes()", "$chosen(a, 'x', 'y')", "a.and", "a.null", "a.b(c)",
        "$nothing(a)", "'a\\n'", "1 .a", "a ?: b",
    ],
)  # fmt: skip
def test_the_rim_of_the_everyday_part(text: str) -> None:
    """These are one step beside what a shortcut covers: they must go to the engine, or be refused by it."""
    try:
        compiled = compile_expression(text)
    except ValueError:
        return
    assert compiled.shortcut is None, text


@pytest.mark.parametrize(
    ("text", "plain_names", "boolean", "reads"),
    [
        ("a", ("a",), False, {"a"}),
        ("a.b.c", ("a", "b", "c"), False, {"a"}),
        ("$yes(a.b)", ("a", "b"), False, {"a"}),
        ("$chosen(a, 'x')", ("a",), False, {"a"}),
        ("$unknown(a)", None, True, {"a"}),
        ("$yes($num(a))", None, False, {"a"}),
        ("$chosen(a, b)", None, False, {"a", "b"}),
        ("a = 1 and b", None, True, {"a", "b"}),
        ("a ? true : false", None, True, {"a"}),
        ("a ? true : b", None, False, {"a", "b"}),
        ("a ? true", None, False, {"a"}),
        ("a < 1", None, False, {"a"}),
        ("a in ['x']", None, True, {"a"}),
        ("$exists(a)", None, True, {"a"}),
        ("$not(a = 1)", None, True, {"a"}),
        ("true", None, True, set()),
        ("'x'", None, False, set()),
    ],
)
def test_what_a_shortcut_says_of_itself(
    text: str, plain_names: tuple[str, ...] | None, boolean: bool, reads: set[str]
) -> None:
    found = compile_expression(text).shortcut
    assert found is not None
    assert (found.plain.names if found.plain else None) == plain_names
    assert (found.boolean, found.reads) == (boolean, frozenset(reads))


DEEP = [
    {"a": {"b": {"c": 1}}}, {"a": [{"b": {"c": 1}}, {"b": {"c": 2}}]}, {"a": {"b": [{"c": 1}]}}, {"a": {"b": [[1]]}},
    {"a": {"b": {"c": [1]}}}, {"a": {"b": {"c": None}}}, {"a": {"b": 1}}, {"a": None}, {}, {"a": [[{"b": 1}], 2]},
    {"a": {"b": {"c": {"d": 3}}}}, {"a": {"b": [{"c": {"d": [4, 5]}}, {"c": {"d": 6}}]}},
]  # fmt: skip


@pytest.mark.parametrize("text", ["a", "a.b", "a.b.c", "a.b.c.d", "$count(a.b)", "$exists(a.b.c)", "a.b = a.b"])
@pytest.mark.parametrize("document", DEEP)
def test_paths_mean_what_the_engine_means(text: str, document: dict[str, Any]) -> None:
    compiled = compile_expression(text)
    assert compiled.shortcut is not None
    assert compiled.evaluate(document) == engine_only(text)(document)


def test_values_of_json_are_told_apart() -> None:
    assert same(1, 1.0) and not same(True, 1) and not same(0, False) and not same("1", 1)
    assert same([1, {"a": "x"}], [1.0, {"a": "x"}]) and not same([1], [1, 2]) and not same({"a": 1}, {"b": 1})
    assert same(None, None) and not same(None, MISSING) and same(False, False)
    assert [truth(one) for one in (MISSING, None, "", 0, [], {}, [0], [[1]], [0, 1], "x", 2, {"a": 0})] == [
        False, False, False, False, False, False, False, True, True, True, True, True,
    ]  # fmt: skip
    assert walk({"a": []}, ("a",)) == [] and walk({"a": [{"b": 1}, {"c": 1}]}, ("a", "b")) == 1
    assert walk(["x"], ("a",)) is MISSING


# ---------------------------------------------------------------- the dictionary at work


def concept(kind: str, **more: Any) -> Concept:
    return Concept(
        id="c", kind=kind, name={"fr": "C"}, **{"codings": {}, "unit": None, "answers": {}, "fhir": {}, **more}
    )


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("boolean", True, True), ("integer", 3.0, 3), ("integer", -1, -1), ("decimal", 0.1, Decimal("0.1")),
        ("decimal", 5, Decimal(5)), ("text", 12, "12"), ("text", "x" * 10_000, "x" * 10_000),
        ("date", "2026-07-31", "2026-07-31"), ("coded", ["x", 1], ["x", "1"]),
    ],
)  # fmt: skip
def test_values_that_fit_their_concept(kind: str, value: Any, wanted: Any) -> None:
    found = concepts.typed(value, concept(kind), "Africa/Bamako")
    assert found == wanted and type(found) is type(wanted)


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("boolean", 1, "fact.type"), ("boolean", "yes", "fact.type"), ("integer", 2.5, "fact.type"),
        ("integer", True, "fact.type"), ("integer", "3", "fact.type"), ("decimal", True, "fact.type"),
        ("decimal", "1", "fact.type"), ("text", True, "fact.type"), ("text", 1.5, "fact.type"),
        ("text", "x" * 10_001, "fact.too_long"), ("date", "", "fact.type"), ("date", "2026-13-01", "fact.type"),
        ("coded", {"x": 1}, "fact.type"), ("coded", ["x", None], "fact.type"),
    ],
)  # fmt: skip
def test_values_that_do_not(kind: str, value: Any, code: str) -> None:
    with pytest.raises(concepts.WrongValue) as raised:
        concepts.typed(value, concept(kind), "Africa/Bamako")
    assert raised.value.code == code
    with pytest.raises(concepts.WrongValue) as raised:
        concepts.typed("z", concept("coded", answers={"x": "x"}), "UTC")
    assert raised.value.code == "fact.answer"


@pytest.mark.parametrize("text", ["1900", "2199", "2024-02", "2024-02-29", " 2024 "])
def test_birth_dates_as_known(text: str) -> None:
    assert concepts.partial_date(text) == text.strip()


@pytest.mark.parametrize("text", ["1899", "2200", "2023-02-29", "2024-13", "24", "2024-3", "2024-2-29x", "", "n/a "])
def test_birth_dates_that_are_none(text: str) -> None:
    with pytest.raises(concepts.WrongValue):
        concepts.partial_date(text)


@pytest.mark.parametrize(
    ("day", "born", "wanted"),
    [
        (date(2026, 7, 11), "2024-03-11", (852, 28, 2)),
        (date(2026, 7, 10), "2024-03-11", (851, 27, 2)),
        (date(2026, 3, 11), "2024-03-11", (730, 24, 2)),
        (date(2026, 3, 10), "2024-03-11", (729, 23, 1)),
        (date(2026, 3, 10), "2026-03-10", (0, 0, 0)),
        (date(2026, 3, 10), "2026-03-11", None),
        (date(2026, 3, 10), "2026-03", (9, 0, 0)),
        (date(2026, 3, 10), "2026", (68, 2, 0)),
        (date(2026, 3, 10), "2026-02-30", None),
        (date(2026, 3, 10), "hier", None),
        (date(2026, 3, 10), 2020, None),
    ],
)
def test_completed_months_and_years(day: date, born: Any, wanted: tuple[int, int, int] | None) -> None:
    assert people.ages_at(day, born) == wanted


@pytest.mark.parametrize(
    ("months", "wanted"),
    [(0, (0, 0, 0)), (1, (30, 1, 0)), (11, (334, 11, 0)), (12, (365, 12, 1)), (59, (1795, 59, 4)),
     (-1, None), (True, None), (1.5, None), ("12", None), (None, None)],
)  # fmt: skip
def test_an_age_given_in_months(months: Any, wanted: tuple[int, int, int] | None) -> None:
    assert people.ages_from_months(months) == wanted


# ---------------------------------------------------------------- tables of places


def test_how_long_a_place_is_valid(copy: PackCopy) -> None:
    head = "source,place,org_unit,level,parent,name,valid_from,valid_to"
    copy.write(
        "org_units.csv",
        f"{head}\ncht,p-1,U1,site,,Un,,\n\ncht,p-2,U2,site,,Deux,2026-07-01,2026-07-01\n"
        "cht,p-3,U3,site,,Trois,2026-07-02,2026-07-01\n,,,,,,,\ncht,p-4,U4,site,,Quatre,2026-07-32,\n",
    )
    pack, findings = load_pack(copy.folder, ENVIRONMENT)
    assert [(row.place, row.valid_from, row.valid_to) for row in pack.org_units] == [
        ("p-1", date(1900, 1, 1), None), ("p-2", date(2026, 7, 1), date(2026, 7, 1)),
    ]  # fmt: skip
    assert [(one.code, one.line) for one in findings if one.file == "org_units.csv"] == [
        ("csv.date", 5), ("csv.date", 7),
    ]  # fmt: skip


def test_a_table_may_be_separated_by_semicolons(copy: PackCopy) -> None:
    text = (copy.folder / "deployments.csv").read_text(encoding="utf-8")
    before = load_pack(copy.folder, ENVIRONMENT)[0].deployments
    copy.write("deployments.csv", text.replace(",", ";"))
    assert load_pack(copy.folder, ENVIRONMENT)[0].deployments == before != ()


# ---------------------------------------------------------------- as JSON and back


def activity(**changes: Any) -> Activity:
    values: dict[str, Any] = {
        "source": "cht", "stream": "reports", "key": "k", "revision": "1-a", "kind": "sick_visit", "form": "assessment",
        "mapping": "forms/cht/assessment.yaml", "version": "v", "date": date(2026, 7, 31),
        "at": datetime(2026, 7, 31, 10, 0, tzinfo=UTC), "place": "site-1", "worker": "asc-1", "subject": "p",
        "facts": {}, "referral": None, "flags": (),
    }  # fmt: skip
    return Activity(**{**values, **changes})


@pytest.mark.parametrize(
    "one",
    [
        activity(),
        activity(at=None, place=None, worker=None, subject=None),
        activity(facts={"amount": Decimal("12.50"), "loans": [{"amount": Decimal("0.1"), "motif": "x"}], "ok": True}),
        activity(facts={"odd": {"$d": "12", "more": 1}, "empty": {}, "none": None}),
        activity(referral=Referral("area-1", True, "danger_sign", ("sign_convulsions",), "note")),
        activity(referral=Referral(None, False, None), flags=(Flag("fact.failed", "muac", "not a number"),)),
    ],
)
def test_an_activity_survives_the_column_it_is_kept_in(one: Activity) -> None:
    assert codec.activity_from(json.loads(json.dumps(codec.activity_to(one)))) == one


def test_an_entity_survives_with_its_decimals() -> None:
    one = Entity("cht", "person", "p", "1-a", {"weight": Decimal("3.20"), "parents": [["h"]]}, "forms/x.yaml", "v")
    assert codec.entity_from(codec.entity_to(one)) == one
    assert str(codec.entity_from(codec.entity_to(one)).data["weight"]) == "3.20"
