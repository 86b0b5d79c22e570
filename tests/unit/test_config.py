"""Reading a pack: types, places, secrets, and a finding with file, line and fix for whatever is wrong."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from connector.errors import PackBroken
from connector.mappings.config import load_pack
from connector.mappings.config_places import cell_at
from connector.mappings.pack import Place
from connector.mappings.schedules import schedule_problem
from connector.mappings.yaml_nodes import Findings, Map, plain, read_yaml
from connector.model import Finding, Severity, Who

from .pack_copy import ENVIRONMENT, SHIPPED, PackCopy


@pytest.fixture
def copy(tmp_path: Path) -> PackCopy:
    return PackCopy(tmp_path)


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


# ---------------------------------------------------------------- the shipped pack


def test_the_shipped_pack_is_clean(copy: PackCopy) -> None:
    pack, findings = copy.load()
    assert findings == []
    assert pack.id == "mali-health"
    assert pack.zone == "Africa/Bamako"
    assert set(pack.sources) == {"cht", "odk", "kobo", "outreach"}
    assert {name: target.kind for name, target in pack.targets.items()} == {
        "dhis2": "dhis2",
        "openmrs": "openmrs",
        "fhir": "fhir_server",
        "cht_answers": "cht_answers",
    }
    assert {name: target.live_from for name, target in pack.targets.items()} == {
        "dhis2": "202607",
        "openmrs": "2026-07-06",
        "fhir": "2000-01-01",
        "cht_answers": "2026-07-06",
    }
    assert pack.sources["odk"].settings["folder"] == "/srv/relais/odk"
    assert pack.ignore["cht"] == ("referral_answer",)
    assert len(pack.forms) == 31
    areas = {indicator.area for indicator in pack.indicators.values()}
    assert areas == {"sec", "epargne", "promotion", "gouvernance"}


def test_a_pack_names_its_own_areas(copy: PackCopy) -> None:
    copy.change("indicators/promotion.yaml", "area: promotion", "area: nutrition-5")
    pack, findings = copy.load()
    assert "nutrition-5" in {one.area for one in pack.indicators.values()} and findings == []


def test_the_pack_has_its_92_indicators(copy: PackCopy) -> None:
    last = {"A": 10, "B": 14, "C": 5, "D": 15, "E": 12, "F": 5, "G": 13, "H": 5, "I": 13}
    wanted = {f"{chapter}{n:02}" for chapter, numbers in last.items() for n in range(1, numbers + 1)}
    pack, _ = copy.load()
    assert len(wanted) == 92
    beside = {"G07_XOF", "G10_XOF", "G11_XOF", "I02_PART"}  # amounts and people have an entry of their own
    assert set(pack.indicators) == wanted | beside
    assert all(set(one.name) == set(one.definition) == {"fr", "en"} for one in pack.indicators.values())


def test_a_pack_reads_the_same_twice() -> None:
    first, _ = load_pack(SHIPPED, ENVIRONMENT)
    second, _ = load_pack(SHIPPED, ENVIRONMENT)
    assert first.version == second.version
    assert {key: form.version for key, form in first.forms.items()} == {
        key: form.version for key, form in second.forms.items()
    }
    assert [one.version for one in first.indicators.values()] == [one.version for one in second.indicators.values()]


# ---------------------------------------------------------------- versions: what must be mapped or counted again


def test_a_change_in_one_form_is_a_change_of_that_form_alone(copy: PackCopy) -> None:
    before, _ = copy.load()
    copy.change("forms/cht/delivery.yaml", "# the mother", "# the mother of the child")
    after, _ = copy.load()
    assert before.version != after.version
    changed = {key for key in before.forms if before.forms[key].version != after.forms[key].version}
    assert changed == {("cht", "delivery")}


def test_a_table_belongs_to_the_forms_that_name_it(copy: PackCopy) -> None:
    before, _ = copy.load()
    copy.append("tables/danger_signs.csv", "coma,sign_unconscious\n")
    after, _ = copy.load()
    changed = {key for key in before.forms if before.forms[key].version != after.forms[key].version}
    assert changed == {("cht", "assessment")}


def test_an_indicator_changes_with_its_words_its_categories_and_the_derived_facts(copy: PackCopy) -> None:
    before, _ = copy.load()

    def changed() -> set[str]:
        after, _ = copy.load()
        return {key for key in before.indicators if before.indicators[key].version != after.indicators[key].version}

    copy.change("indicators/sec-core.yaml", "fever_onset_hours <= 24", "fever_onset_hours <= 48")
    assert changed() == {"B04"}
    copy.change("categories.yaml", "below: 12}\n      - {id: m12_59", "below: 11}\n      - {id: m12_59")
    assert changed() >= {"B04", "B07", "B08", "B11", "E02"} and "B02" not in changed()


# ---------------------------------------------------------------- scalars stay text until our schema types them


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("010", "010"),
        ("2026-07-06", "2026-07-06"),
        ("1e5", "1e5"),
        ("true", True),
        ('"true"', "true"),
        ("12", 12),
        ('"12"', "12"),
        ("~", None),
        ('"~"', "~"),
        ("0", 0),
        ("-3", -3),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("12:30:45", "12:30:45"),
        ("Yes", "Yes"),
        ("null", None),
        ("on", "on"),
    ],
)
def test_scalars_survive_as_written(tmp_path: Path, text: str, value: Any) -> None:
    (tmp_path / "x.yaml").write_text(f"a: {text}\n")
    node = read_yaml(tmp_path / "x.yaml", "x.yaml", Findings())
    assert isinstance(node, Map)
    assert plain(node) == {"a": value}


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a: [1, 2\nb: 3\n", "yaml.syntax", 2),
        ("a: 1\nb: 2\na: 3\n", "key.twice", 3),
        ("a: b: c\n", "yaml.syntax", 1),
        ("\ta: 1\n", "yaml.syntax", 1),
        ("[1]: 2\n", "yaml.key", 1),
        ("a: " + "[" * 40 + "]" * 40 + "\n", "yaml.too_big", 1),
    ],
)
def test_yaml_that_cannot_be_read_is_a_finding(tmp_path: Path, text: str, code: str, line: int) -> None:
    (tmp_path / "x.yaml").write_text(text)
    findings = Findings()
    read_yaml(tmp_path / "x.yaml", "x.yaml", findings)
    assert [(one.code, one.file, one.line) for one in findings.items] == [(code, "x.yaml", line)]


def test_files_of_other_encodings_and_sizes(tmp_path: Path) -> None:
    findings = Findings()
    (tmp_path / "x.yaml").write_bytes("é: 1".encode("latin-1"))
    read_yaml(tmp_path / "x.yaml", "x.yaml", findings)
    (tmp_path / "x.yaml").write_bytes(b"a: " + b"x" * 2_100_000)
    read_yaml(tmp_path / "x.yaml", "x.yaml", findings)
    read_yaml(tmp_path / "none.yaml", "none.yaml", findings)
    assert [one.code for one in findings.items] == ["file.encoding", "file.too_big", "file.missing"]


def test_aliases_cannot_multiply_without_end(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (tmp_path / "x.yaml").write_text("\n".join(lines))
    findings = Findings()
    assert read_yaml(tmp_path / "x.yaml", "x.yaml", findings) is None
    assert [one.code for one in findings.items] == ["yaml.too_big"]


# ---------------------------------------------------------------- no pack at all


def test_no_pack_is_the_only_thing_that_raises(tmp_path: Path, copy: PackCopy) -> None:
    with pytest.raises(PackBroken, match=r"connector\.yaml"):
        load_pack(tmp_path / "nowhere", {})
    copy.write("connector.yaml", "pack: [\n")
    with pytest.raises(PackBroken, match=r"connector\.yaml:2"):
        copy.load()


def test_one_broken_file_leaves_the_rest_readable(copy: PackCopy) -> None:
    copy.append("indicators/promotion.yaml", "   broken: [\n")
    pack, findings = copy.load()
    assert "A03" in pack.indicators and "H01" not in pack.indicators
    assert any(one.code == "yaml.syntax" and one.file == "indicators/promotion.yaml" for one in findings)


# ---------------------------------------------------------------- typos


@pytest.mark.parametrize(
    ("name", "old", "new", "code", "fix"),
    [
        ("connector.yaml", "silent_after: 3d", "silent_aftre: 3d", "key.unknown", "Did you mean silent_after?"),
        ("connector.yaml", "kind: dhis2", "kind: dhis", "value.choice", "Did you mean dhis2?"),
        ("connector.yaml", "on_existing: ask", "on_existing: maybe", "value.choice", "Known: ask, keep, overwrite"),
        ("connector.yaml", 'zone: "${RELAIS_ZONE:-Africa/Bamako}"', "zone: Afrique/Bamako", "zone.unknown", ""),
        ("connector.yaml", "live_from: 202607", "live_from: 202613", "live_from.invalid", ""),
        ("connector.yaml", "live_from: 2026-07-06", "live_from: 20260706", "live_from.invalid", ""),
        ("connector.yaml", "silent_after: 35d", "silent_after: always", "span.invalid", ""),
        ("connector.yaml", "schedule: every 10m", "schedule: every day", "schedule.invalid", ""),
        ("connector.yaml", "30 2 * * *", "30 2 * * 0", "schedule.weekday_number", "Write mon, tue, wed"),
        (
            "forms/cht/assessment.yaml",
            "worker: contact._id",
            "werker: contact._id",
            "key.unknown",
            "Did you mean worker?",
        ),
        (
            "forms/cht/assessment.yaml",
            "fever: $yes(fields.group_fever.patient_fever)",
            "fever: $yes(fields.",
            "expression.syntax",
            "",
        ),
        ("forms/cht/assessment.yaml", "codes: tables/danger_signs.csv", "codes: tables/signs.csv", "table.missing", ""),
        ("forms/cht/assessment.yaml", "codes: tables/danger_signs.csv", "codes: ../../secret.csv", "table.missing", ""),
        (
            "forms/cht/assessment.yaml",
            "activity: sick_visit",
            "activity: sick_visit\nregisters: person",
            "form.purpose",
            "",
        ),
        ("forms/cht/home_visit.yaml", "    codes:", "    constant: x\n    codes:", "fact.way", ""),
        ("forms/cht/home_visit.yaml", "name: home_visit", "name: delivery", "form.twice", ""),
        ("indicators/sec-core.yaml", "where: under5", "wehre: under5", "key.unknown", "Did you mean where?"),
        (
            "indicators/sec-core.yaml",
            "  - id: A04",
            "  - id: A03",
            "id.twice",
            "The first is at indicators/sec-core.yaml, line 34.",
        ),
        ("indicators/sec-core.yaml", "numerator: rdt_done", "numerator: rdt_done and", "expression.syntax", ""),
        ("indicators/sec-core.yaml", "distinct: worker ", "distinct: asc ", "value.choice", ""),
        ("indicators/epargne.yaml", "amount: saved_xof", "where: saved_xof > 0", "key.missing", ""),
        ("indicators/sec-core.yaml", "distinct_at_least: 2", "distinct_at_least: two", "value.format", ""),
        (
            "indicators/epargne.yaml",
            "    aggregate: distinct\n    distinct: place\n    by: [GROUPE]",
            "    distinct_at_least: 2\n    by: [GROUPE]",
            "indicator.at_least",
            "",
        ),
        (
            "indicators/epargne.yaml",
            "numerator: {aggregate: sum, amount: left}",
            "numerator: {among: left > 0, amount: left, aggregate: sum}",
            "indicator.among",
            "Use where.",
        ),
        ("episodes.yaml", "from: -300, to: 0", "from: 300, to: 0", "episode.window", "Swap from and to."),
        ("episodes.yaml", "opens: delivery", "opens: deliveri", "activity.unknown", "Did you mean delivery?"),
        ("episodes.yaml", "$max(members.iptp_doses)", "$max(members.iptp_dose)", "fact.unknown", "iptp_doses"),
        ("episodes.yaml", "'referral_outcome'][-1].status", "'referral_outcome'][-1].state", "fact.unknown", "status"),
        ("episodes.yaml", "when: under5 and", "when: under_5 and", "fact.unknown", "Did you mean under5?"),
        ("registers.yaml", "of: person\n", "of: persons\n", "value.choice", "Did you mean person?"),
        ("registers.yaml", "group: asc", "group: acs", "group.unknown", "Did you mean asc?"),
        ("dhis2.yaml", "period: Quarterly", "period: Quaterly", "value.choice", "Did you mean Quarterly?"),
        ("categories.yaml", "below: 2}", "below: deux}", "value.format", ""),
        ("concepts.yaml", "kind: boolean", "kind: yesno", "value.choice", ""),
        ("concepts.yaml", 'ciel: "140238"', 'ceil: "140238"', "key.unknown", ""),
    ],
)
def test_a_typo_is_found_at_its_line(copy: PackCopy, name: str, old: str, new: str, code: str, fix: str) -> None:
    line = copy.change(name, old, new)
    found = [one for one in copy.findings() if one.code == code]
    assert found, copy.findings()
    assert found[0].file == name
    assert abs(found[0].line - line) <= 6, "the line of the mistake, or of the entry it is in"
    assert fix in found[0].fix
    assert found[0].severity is Severity.ERROR
    assert found[0].message


def test_a_code_system_is_pinned_for_the_whole_dictionary(copy: PackCopy) -> None:
    copy.change("concepts.yaml", "\nconcepts:\n", '\nversions: {ciel: "2024-10-04"}\nconcepts:\n')
    pack, findings = copy.load()
    assert findings == [] and {tuple(one.versions.items()) for one in pack.concepts.values()} == {
        (("ciel", "2024-10-04"),)
    }


def test_nothing_is_sent_without_live_from(copy: PackCopy) -> None:
    """What was there before the start is not overwritten."""
    copy.change(
        "connector.yaml", "    live_from: 202607        # older months are computed and shown, never sent\n", ""
    )
    found = only(copy.findings())
    assert (found.code, found.severity) == ("live_from.missing", Severity.ERROR)
    assert "dhis2" in found.message and "202607" in found.fix


# ---------------------------------------------------------------- secrets and addresses


def test_a_missing_secret_is_a_finding_at_its_line(copy: PackCopy) -> None:
    env = {key: value for key, value in ENVIRONMENT.items() if key != "RELAIS_DHIS2_TOKEN"}
    found = only(copy.findings(env))
    line = (copy.folder / "connector.yaml").read_text().splitlines()[found.line - 1]
    assert (found.code, found.severity, found.who) == ("secret.missing", Severity.ERROR, Who.SYSADMIN)
    assert "RELAIS_DHIS2_TOKEN" in line and "RELAIS_DHIS2_TOKEN" in found.message


def test_examples_need_no_secrets(copy: PackCopy) -> None:
    _, findings = copy.load({}, strict=False)
    assert {(one.code, one.severity) for one in findings} == {("secret.missing", Severity.WARNING)}


def test_a_secret_may_lie_in_a_file(copy: PackCopy, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "dhis2").write_text("from-a-file\n")
    copy.change("connector.yaml", "${RELAIS_DHIS2_TOKEN}", "${file:dhis2}")
    pack, findings = load_pack(copy.folder, ENVIRONMENT, secrets)
    assert findings == []
    assert pack.targets["dhis2"].settings["token"] == "from-a-file"
    assert only(load_pack(copy.folder, ENVIRONMENT, None)[1]).code == "secret.missing"


@pytest.mark.parametrize("name", ["../connector.yaml", "..", "sub/../../x"])
def test_a_secret_file_lies_in_the_folder_of_secrets(copy: PackCopy, tmp_path: Path, name: str) -> None:
    (tmp_path / "connector.yaml").write_text("outside")
    (tmp_path / "secrets").mkdir()
    copy.change("connector.yaml", "${RELAIS_DHIS2_TOKEN}", "${file:" + name + "}")
    pack, _ = load_pack(copy.folder, ENVIRONMENT, tmp_path / "secrets")
    assert pack.targets["dhis2"].settings.get("token") != "outside"


@pytest.mark.parametrize(
    "reference", ["${file:../connector.yaml}", "${}", "${A B}", "${file:}", "${RELAIS_DHIS2_TOKEN"]
)
def test_a_reference_that_is_none_is_an_error_not_a_password(copy: PackCopy, reference: str) -> None:
    copy.change("connector.yaml", "token: ${RELAIS_DHIS2_TOKEN}", f'token: "{reference}"')
    assert only(copy.findings()).code == "secret.name"


def test_a_table_lies_in_the_pack(copy: PackCopy, tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text("answer,concept\nconvulsions,sign_convulsions\n")
    copy.change("forms/cht/assessment.yaml", "codes: tables/danger_signs.csv", "codes: ../outside.csv")
    assert "table.missing" in copy.codes()


def test_secrets_are_resolved_in_the_connector_file_only(copy: PackCopy) -> None:
    copy.change("concepts.yaml", 'en: "Fever"', 'en: "${RELAIS_DHIS2_TOKEN}"')
    pack, _ = copy.load()
    assert pack.concepts["fever"].name["en"] == "${RELAIS_DHIS2_TOKEN}"


def test_a_secret_shows_in_no_finding(copy: PackCopy) -> None:
    """Even where a secret stands in the place of something else."""
    copy.change("connector.yaml", "schedule: every 30m", "schedule: ${RELAIS_DHIS2_TOKEN}")
    copy.change("connector.yaml", "kind: cht\n", "kind: ${RELAIS_CHT_PASSWORD}\n")
    copy.change("connector.yaml", 'zone: "${RELAIS_ZONE:-Africa/Bamako}"', "zone: ${RELAIS_DHIS2_TOKEN}")
    findings = copy.findings()
    assert len(findings) >= 3
    assert all("canary" not in f"{one.message}{one.fix}" for one in findings)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://dhis2.example.org", None),
        ("http://127.0.0.1:8080", None),
        ("http://[::1]:8080", None),
        ("http://localhost", None),
        ("http://10.0.0.5", "url.insecure"),
        ("http://dhis2.example.org", "url.insecure"),
        ("http://localhost.example.org", "url.insecure"),
        ("ftp://dhis2.example.org", "url.invalid"),
        ("dhis2.example.org", "url.invalid"),
    ],
)
def test_addresses_off_the_machine_need_https(copy: PackCopy, url: str, code: str | None) -> None:
    findings = copy.findings({**ENVIRONMENT, "RELAIS_DHIS2_URL": url})
    assert [one.code for one in findings] == ([code] if code else [])


def test_insecure_is_said_aloud(copy: PackCopy) -> None:
    copy.change(
        "connector.yaml", "    token: ${RELAIS_DHIS2_TOKEN}", "    token: ${RELAIS_DHIS2_TOKEN}\n    insecure: true"
    )
    pack, findings = copy.load({**ENVIRONMENT, "RELAIS_DHIS2_URL": "http://10.0.0.5"})
    assert findings == []
    assert pack.targets["dhis2"].settings["insecure"] is True


def test_the_zone_may_come_from_the_environment(copy: PackCopy) -> None:
    pack, _ = copy.load({**ENVIRONMENT, "RELAIS_ZONE": "Africa/Nairobi"})
    assert pack.zone == "Africa/Nairobi"


# ---------------------------------------------------------------- schedules


@pytest.mark.parametrize(
    "text",
    ["every 15m", "every 1h", "30 2 * * *", "*/10 * * * *", "0 6 * * mon-fri", "0 6 1,15 * sat,sun", "0 6 * jan *"],
)
def test_schedules(text: str) -> None:
    assert schedule_problem(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "every",
        "every 0m",
        "every 15",
        "15m",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * * * 1",
        "* * * * mon-5",
        "* * * * montag",
        "*/0 * * * *",
        "a * * * *",
        "* * 0 * *",
        "@daily",
    ],
)
def test_what_is_no_schedule(text: str) -> None:
    assert schedule_problem(text) is not None


# ---------------------------------------------------------------- places


def test_places_and_deployments(copy: PackCopy) -> None:
    copy.write(
        "org_units.csv",
        "\ufeffsource;place;org_unit;level;parent;name;valid_from;valid_to\n"
        "cht;site-1;A1;site;;Site 1;2026-01-01;2026-06-30\n\n"
        "cht;site-1;A2;site;A1;Site 1;2026-07-01;\n",
    )
    pack, _ = copy.load()
    first, second = pack.org_units
    assert (first.org_unit, first.valid_from, first.valid_to) == ("A1", date(2026, 1, 1), date(2026, 6, 30))
    assert (second.org_unit, second.valid_to, second.parent) == ("A2", None, "A1")


@pytest.mark.parametrize(
    ("name", "row", "code"),
    [
        ("org_units.csv", "cht,site-99,ML-X,site,ML,X,2026-02-30,", "csv.date"),
        ("org_units.csv", "cht,site-99,ML-X,site,ML,X,2026-02-01,2026-01-01", "csv.date"),
        ("org_units.csv", "cht,area-1,ML-X,cscom,ML,X,2026-02-01,", "org_unit.overlap"),
        ("org_units.csv", "cht,site-99,ML-X,site,ML-NOWHERE,X,2026-02-01,", "org_unit.parent"),
        ("deployments.csv", "asc-99,person,asc,ML,2026-01-01,", "value.choice"),
        ("deployments.csv", "asc-099,worker,asc,ML-NOWHERE,2026-01-01,", "org_unit.unknown"),
    ],
)
def test_mistakes_in_the_tables(copy: PackCopy, name: str, row: str, code: str) -> None:
    copy.append(name, row + "\n")
    found = only(copy.findings())
    assert (found.code, found.file) == (code, name)


def test_a_table_without_its_columns(copy: PackCopy) -> None:
    copy.write("org_units.csv", "place,org_unit\nx,y\n")
    assert "csv.columns" in copy.codes()
    (copy.folder / "org_units.csv").unlink()
    assert "file.missing" in copy.codes()


@pytest.mark.parametrize(("column", "at"), [("a", 1), ("b", 3), ("c", 12), ("nowhere", 1)])
def test_a_cell_is_where_its_column_is(column: str, at: int) -> None:
    found = cell_at(Place("x.csv", 2), 'a,"b, too",c', ["a", "b", "c"], ",", column)
    assert found == Place("x.csv", 2, at)


def test_the_cell_of_a_row_that_is_too_short_is_its_row() -> None:
    assert cell_at(Place("x.csv", 2), "a", ["a", "b"], ",", "b") == Place("x.csv", 2)


def test_the_version_of_an_indicator_is_short_and_always_of_one_length(copy: PackCopy) -> None:
    pack, _ = copy.load()
    assert {len(one.version) for one in pack.indicators.values()} == {16}
