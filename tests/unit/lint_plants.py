"""One mistake for every code of ``relais check``: what is right in the shipped pack, what is wrong, and where the finding
must stand. The tests plant each in a copy of the pack, and the pages of ``docs/lint/`` show it, so that no example there
is invented.

``«`` stands before the letter that the finding points at; it is no part of the text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.tracker_pack import TARGET_YAML, TRACKER_YAML

MARK = "«"


@dataclass(frozen=True)
class Plant:
    """``right`` in ``file`` becomes ``wrong``. ``seen``: another file and its text where the finding stands. ``more``:
    other replacements the mistake needs."""

    code: str
    file: str
    right: str
    wrong: str
    seen: tuple[str, str] | None = None
    more: tuple[tuple[str, str, str], ...] = ()
    without: str = ""  #: a variable that is not set
    do: Callable[[Path], None] | None = None  #: instead of a replacement, done to the folder of the pack
    page: tuple[str, str] | None = None  #: wrong and right as the page shows them, where they differ


def _delete(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _write(name: str, text: str | bytes) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    return do


def with_tracker(right: str, wrong: str) -> Callable[[Path], None]:
    """A pack with a tracker and this in it."""
    assert right in TRACKER_YAML

    def do(folder: Path) -> None:
        main = folder / "connector.yaml"
        main.write_text(main.read_text("utf-8").replace("targets:\n", "targets:\n" + TARGET_YAML, 1), "utf-8")
        (folder / "tracker.yaml").write_text(TRACKER_YAML.replace(right, wrong, 1), "utf-8")

    return do


def _two_trackers(folder: Path) -> None:
    with_tracker("", "")(folder)
    main = folder / "connector.yaml"
    second = TARGET_YAML.replace("suivi:", "encore:")
    main.write_text(main.read_text("utf-8").replace(TARGET_YAML, TARGET_YAML + second, 1), "utf-8")


def _tracked(code: str, right: str, wrong: str) -> Plant:
    return Plant(code, "tracker.yaml", "", "", do=with_tracker(right, wrong.replace(MARK, "")), seen=("tracker.yaml", wrong),
                 page=(wrong.replace(MARK, "").strip(), right.strip()))  # fmt: skip


FORM, SEC, GOUV = "forms/cht/assessment.yaml", "indicators/sec-core.yaml", "indicators/gouvernance.yaml"
_UNITS = "ML-KKO-D1-A1-S1,site,ML-KKO-D1-A1,Site Banakoro-Sud,2015-01-01,"

PLANTS: tuple[Plant, ...] = (
    # ---------------------------------------------------------------- files
    Plant("file.missing", "categories.yaml", "", "", do=_delete("categories.yaml"), seen=("categories.yaml", ""),
          page=("(categories.yaml was removed or has another name)", "categories.yaml")),
    Plant("file.encoding", "tables", "", "", do=_write("forms/cht/chw.yaml", "# é\n".encode("latin-1")),
          seen=("forms/cht/chw.yaml", ""), page=("(the file is saved as Windows-1252)", "(the file is saved as UTF-8)")),
    Plant("file.too_big", "concepts.yaml", "", "", do=_write("forms/cht/chw.yaml", "#" + "x" * 2_000_001),
          seen=("forms/cht/chw.yaml", ""), page=("(an export of 3 MB lies in forms/cht/)", "(only mappings lie there)")),
    Plant("file.unknown", "concept.yaml", "", "", do=_write("concept.yaml", "concepts: []\n"),
          seen=("concept.yaml", ""), page=("concept.yaml", "concepts.yaml")),
    Plant("yaml.syntax", "activities.yaml", "{shape: none, subject: person}", "{shape: none, subject: person]",
          seen=("activities.yaml", "{shape: none, subject: person«]")),
    Plant("yaml.key", "dhis2.yaml", "  prefix: MH_", "  «[prefix]: MH_"),
    Plant("yaml.too_big", "x", "", "", do=_write("forms/cht/chw.yaml", "a: " + "[" * 40 + "]" * 40),
          seen=("forms/cht/chw.yaml", ""), page=("a: [[[[[[ ... ]]]]]]", "a: [[1, 2]]")),
    Plant("key.twice", FORM, "worker: contact._id", "worker: contact._id\n«worker: contact._id"),
    Plant("key.unknown", FORM, "worker: contact._id", "«werker: contact._id"),
    Plant("key.missing", "concepts.yaml", "  - id: fever\n    kind: boolean", "  - «id: fever"),
    Plant("value.type", "categories.yaml", "    options:\n      - {id: adulte", "    options:\n      «{id: adulte",
          do=None, more=(("categories.yaml", "      - {id: jeune, name: {fr: \"Jeunes\", en: \"Young people\"}}\n", ""),)),
    Plant("value.choice", "connector.yaml", "on_existing: ask", "on_existing: «aks"),
    Plant("value.format", "openmrs.yaml", "idgen_source: f04c899a-def5", "idgen_source: «f04c899-def5"),
    Plant("id.twice", SEC, "  - id: A04\n    name: {fr: \"Cons", "  - id: «A03\n    name: {fr: \"Cons",
          page=("- id: A03        # a second time", "- id: A04")),
    Plant("csv.columns", "org_units.csv", "source,place,org_unit,level", "source,place,orgunit,level",
          seen=("org_units.csv", "«source,place,orgunit")),
    Plant("csv.row", "org_units.csv", "cht,site-2,ML-KKO-D1-A1-S2,site", "«cht,site-2,ML-KKO-D1-A1-S2;site"),
    Plant("csv.date", "org_units.csv", "cht,site-1," + _UNITS, "cht,site-1," + _UNITS.replace("2015-01-01", "«2015-02-30")),
    Plant("table.missing", FORM, "codes: tables/danger_signs.csv", "codes: «tables/danger_sign.csv"),
    Plant("table.twice", "tables/sex.csv", "f,female", "f,female\n«f,male"),
    # ---------------------------------------------------------------- connector.yaml
    Plant("pack.id", "connector.yaml", "  id: mali-health", "  id: «Mali Health"),
    Plant("zone.unknown", "connector.yaml", 'zone: "${RELAIS_ZONE:-Africa/Bamako}"', "zone: «Afrique/Bamako"),
    Plant("live_from.missing", "connector.yaml", "    live_from: 202607  ", "    #live_from: 202607  ",
          seen=("connector.yaml", "    «kind: dhis2\n")),
    Plant("live_from.invalid", "connector.yaml", "live_from: 202607", "live_from: «202613"),
    Plant("span.invalid", "connector.yaml", "silent_after: 3d", "silent_after: «3 days"),
    Plant("schedule.invalid", "connector.yaml", "schedule: every 10m", "schedule: «every ten minutes"),
    Plant("schedule.weekday_number", "connector.yaml", '"30 2 * * *"', '«"30 2 * * 0"'),
    Plant("schedule.never", "connector.yaml", '"30 2 * * *"', '«"30 2 31 2,4,6 *"'),
    Plant("schedule.too_often", "connector.yaml", "schedule: every 10m", "schedule: «every 10s"),
    Plant("secret.missing", "connector.yaml", "    token: ${RELAIS_DHIS2_TOKEN}", "    token: «${RELAIS_DHIS2_TOKEN}",
          without="RELAIS_DHIS2_TOKEN",
          page=("token: ${RELAIS_DHIS2_TOKEN}        (and nobody set it)", "RELAIS_DHIS2_TOKEN=...  in the environment")),
    Plant("secret.name", "connector.yaml", "${RELAIS_DHIS2_TOKEN}", '«"${RELAIS DHIS2 TOKEN}"'),
    Plant("secret.written", "connector.yaml", "    token: ${RELAIS_DHIS2_TOKEN}", "    token: «d2pat_0123456789abcdef"),
    Plant("login.twice", "connector.yaml", "    token: ${RELAIS_DHIS2_TOKEN}",
          "    token: ${RELAIS_DHIS2_TOKEN}\n    user: «relais"),
    Plant("url.invalid", "connector.yaml", "    url: ${RELAIS_DHIS2_URL}", "    url: «dhis2.example.org"),
    Plant("url.insecure", "connector.yaml", "    url: ${RELAIS_DHIS2_URL}", "    url: «http://dhis2.example.org"),
    Plant("column.unseen", "connector.yaml", "    key: record_id", "    key: «record_d"),
    Plant("fhir.type_needed", "connector.yaml", "    live_from: 2000-01-01    # everything",
          "    live_from: 2000-01-01\n    «types: [Patient, Group, Encounter, ServiceRequest, Task]"),
    Plant("target.slip", "connector.yaml", "  dhis2:   ", "  «dhiss2:   "),
    # ---------------------------------------------------------------- names
    Plant("source.unknown", FORM, "form: {source: cht,", "form: {source: «chtt,"),
    Plant("activity.unknown", FORM, "activity: sick_visit", "activity: «sik_visit"),
    Plant("concept.unknown", FORM, "  muac_mm:", "  «muac:"),
    Plant("fact.unknown", SEC, "denominator: fever = true", "denominator: «fevre = true"),
    Plant("form.unknown", "forms/cht/places.test.yaml", "    form: household", "    form: «houshold"),
    Plant("code.no_answer", FORM, "{positive: positive, negative", "{positive: «plus, negative"),
    Plant("code.not_coded", "concepts.yaml", "  - id: delivery_place\n    kind: coded", "  - id: delivery_place\n    kind: integer",
          seen=("forms/cht/delivery.yaml", "value: fields.delivery_place\n    «codes:")),
    Plant("concept.no_answers", "concepts.yaml", "    answers: {live: answer_live, still: answer_still}\n", "",
          seen=("concepts.yaml", "- id: birth_outcome\n    kind: «coded")),
    Plant("coding.check_digit", "concepts.yaml", "loinc: 56072-2", "loinc: «56072-3"),
    Plant("coding.twice", "concepts.yaml", '{ciel: "143264", snomed: "4', '{ciel: «"140238", snomed: "4'),
    Plant("kind.unused", "concepts.yaml", "  - id: stock\n    kind: text", "  - id: stock\n    kind: «integer"),
    Plant("coding.differs", "openmrs.yaml", "value: CIEL:159861", "value: «CIEL:15861"),
    Plant("name.language", "concepts.yaml", 'name: {fr: "Toux", en: "Cough"}', '«name: {fr: "Toux"}'),
    # ---------------------------------------------------------------- forms
    Plant("form.purpose", FORM, "activity: sick_visit", "activity: sick_visit\n«registers: person"),
    Plant("form.twice", "forms/cht/home_visit.yaml", "form: {source: cht, name: home_visit}",
          "form: {source: cht, name: delivery}", seen=("forms/cht/home_visit.yaml", "form: {source: cht, name: «delivery}")),
    Plant("form.folder", "forms/cht/person.yaml", "form: {source: cht,", "form: {source: «odk,"),
    Plant("form.slip", "forms/cht/person.yaml", "name: person}", "name: «persson}"),
    Plant("form.ignored", "connector.yaml", "ignore: [referral_answer]", "ignore: [«delivery]"),
    Plant("form.no_subject", FORM, "subject: fields.patient_id", "#subject: fields.patient_id",
          seen=(FORM, "activity: «sick_visit")),
    Plant("form.no_place", FORM, "place: contact.parent._id", "#place: contact.parent._id",
          seen=(FORM, "activity: «sick_visit")),
    Plant("fact.way", FORM, "    value: fields.group_fever.mrdt_result",
          "    value: fields.group_fever.mrdt_result\n    «constant: positive"),
    Plant("fact.uncounted", SEC, "numerator: referred = true or sam_treatment_given = true", "numerator: referred = true",
          seen=(FORM, "  «sam_treatment_given:")),
    # ---------------------------------------------------------------- expressions
    Plant("expression.syntax", FORM, "oedema: $yes(fields.group_nutrition.has_oedema)",
          "oedema: $yes(fields.group_nutrition.has_oedema«"),
    Plant("expression.function", FORM, "muac_mm: $num(", "muac_mm: «$nmu("),
    Plant("expression.raw_number", FORM, "muac_mm: $num(", "muac_mm: «$number("),
    Plant("expression.raw_split", FORM, "  danger_signs:\n    value: $options(fields.group_danger_signs.danger_signs)",
          "  danger_signs:\n    value: «$split(fields.group_danger_signs.danger_signs, ' ')"),
    Plant("expression.raw_not", FORM, "oedema: $yes(", "oedema: «$not("),
    Plant("path.unseen", FORM, "fields.group_fever.patient_fever", "fields.group_fever.«patientfever"),
    Plant("option.unmapped", "forms/cht/delivery.yaml", "codes: {facility: facility, home: home, other: other}",
          "codes: «{facility: facility, other: other}"),
    Plant("answer.unseen", FORM, "urgency = 'urgent'", "urgency = '«urgnet'"),
    Plant("condition.code", SEC, "numerator: malaria_rdt = 'positive'", "numerator: malaria_rdt = '«positif'"),
    Plant("condition.type", SEC, "denominator: fever = true", "denominator: fever = «'yes'"),
    # ---------------------------------------------------------------- examples
    Plant("example.missing", "forms/cht/chw.test.yaml", "", "", do=_delete("forms/cht/chw.test.yaml"),
          seen=("forms/cht/chw.yaml", "name: «chw"),
          page=("forms/cht/chw.yaml", "forms/cht/chw.yaml\nforms/cht/chw.test.yaml")),
    Plant("example.orphan", "forms/cht/chew.test.yaml", "", "", do=_write("forms/cht/chew.test.yaml", "examples: []\n"),
          seen=("forms/cht/chew.test.yaml", ""), page=("forms/cht/chew.test.yaml", "forms/cht/chw.test.yaml")),
    # ---------------------------------------------------------------- what nobody uses
    Plant("unused.concept", "concepts.yaml", "concepts:\n",
          "concepts:\n  - «{id: lonely, kind: text, name: {fr: x, en: x}}\n", page=("- {id: lonely, kind: text, ...}", "")),
    Plant("unused.activity", "activities.yaml", "activities:\n", "activities:\n  - «{id: lonely, name: {fr: x, en: x}}\n",
          page=("- {id: lonely, ...}", "")),
    Plant("unused.derived", "activities.yaml", "derived:\n", "derived:\n  «lonely: fever = true\n",
          page=("lonely: fever = true", "")),
    Plant("unused.source", "connector.yaml", "  odk:                       #", "  «odk2:                       #"),
    # ---------------------------------------------------------------- indicators
    Plant("indicator.unknown", "indicators/sec-core.test.yaml", "      A04: [count A2_Y1_4-SEX_M]",
          "      «A40: [count A2_Y1_4-SEX_M]"),
    Plant("example.part", "indicators/sec-core.test.yaml", "      A04: [count A2_Y1_4-SEX_M]",
          "      A04: [«A2_Y1_4-SEX_M]"),
    Plant("data_set.unknown", SEC, "data_set: MH_STOCK", "data_set: «MH_STOK"),
    Plant("category.unknown", SEC, "by: [PURPOSE]", "by: [«PURPOSES]"),
    Plant("indicator.distinct", GOUV, "\n    aggregate: distinct\n", "\n    aggregate: count\n",
          seen=(GOUV, "\n    aggregate: count\n    «distinct: place")),
    Plant("indicator.at_least", SEC, "      distinct: household\n      distinct_at_least: 2\n",
          "      distinct: household\n      each: reports_expected\n      «distinct_at_least: 2\n",
          page=("aggregate: count\ndistinct_at_least: 2", "aggregate: distinct\ndistinct: household\ndistinct_at_least: 2")),
    Plant("indicator.among", SEC, "      distinct: household\n      distinct_at_least: 2\n",
          "      distinct: household\n      «among: household_registered = true\n",
          page=("aggregate: distinct\namong: household_registered = true", "aggregate: latest\namong: household_registered = true")),
    Plant("episode.window", "episodes.yaml", "{kind: pregnancy_visit, from: -300, to: 0}", "{kind: pregnancy_visit, from: 0, to: «-300}"),
    Plant("indicator.amount", "indicators/epargne.yaml", "    aggregate: sum\n    amount: saved_xof", "    «amount: saved_xof"),
    Plant("amount.not_number", "indicators/epargne.yaml", "amount: saved_xof", "amount: «group_type"),
    Plant("fact.never_produced", FORM, "  hours_since_onset: $num(fields.hours_since_onset)\n", "",
          seen=(SEC, "under5 and $exists(«hours_since_onset)"), page=(f"# {FORM} no longer gives it", "hours_since_onset: $num(fields.hours_since_onset)")),
    Plant("activity.never_produced", "forms/cht/stock_count.yaml", "", "", do=_delete("forms/cht/stock_count.yaml"),
          seen=(SEC, "counts: «stock_report"), page=("(no form gives stock_report)", "activity: stock_report")),
    Plant("period.differs", GOUV, "  - id: I05\n", "  - id: I05\n    periodicity: «Monthly\n",
          page=("periodicity: Monthly        # and its data set is Quarterly", "periodicity: Quarterly")),
    Plant("data_set.reporters", "dhis2.yaml", "    complete: asc\n", "    «deadline: 5\n",
          page=("deadline: 5                # and no complete", "complete: asc\ndeadline: 5")),
    Plant("element.twice", "dhis2.yaml", "  # exceptions: {B01_NUM: AUTRE_CODE}", "  exceptions: {B01_NUM: «MH_A03}  #"),
    Plant("element.exception", "dhis2.yaml", "  # exceptions: {B01_NUM: AUTRE_CODE}",
          "  exceptions: {«B99_NUM: AUTRE_CODE}  #"),
    Plant("element.too_long", "dhis2.yaml", "  prefix: MH_", f"  prefix: MH_{'LONG_' * 9}", seen=(SEC, "  - id: «B01\n"),
          page=(f"prefix: MH_{'LONG_' * 9}", "prefix: MH_")),
    Plant("combo.category_twice", SEC, "    denominator: under5 and fast_breathing = true\n    numerator: amoxicillin_given = true\n    by: [A1, S]",
          "    denominator: under5 and fast_breathing = true\n    numerator: amoxicillin_given = true\n    by: «[A1, A1]",
          page=("by: [A1, A1]", "by: [A1, S]")),
    Plant("combo.too_long", "categories.yaml", "      - {id: y10_14, name", f"      - {{id: y10_14, code: A3_{'LONG_' * 9}, name",
          seen=(SEC, "denominator: fever = true\n    numerator: rdt_done\n    by: «[A3, S]"),
          page=(f"{{id: y10_14, code: A3_{'LONG_' * 9}, name: ...}}", "{id: y10_14, name: ...}")),
    Plant("combo.twice", "categories.yaml", "  - id: A3\n", "  - id: A3\n    prefix: A4\n",
          seen=(SEC, "by: «[A3]"),
          page=("- id: A3\n  prefix: A4         # its options are called like those of A4", "- id: A3")),
    # ---------------------------------------------------------------- categories
    Plant("option.twice", "categories.yaml", "id: y5_9, name", "id: y5_9, code: «A2_Y1_4, name"),
    Plant("option.never", "categories.yaml", "{id: follow_up, name", "{id: «folow_up, name"),
    Plant("category.differs", "categories.yaml", "    fact: baby_sex\n    options:\n      - {id: female, code: SEX_F",
          "    fact: baby_sex\n    options:\n      - {id: female, code: SEX_W", seen=("categories.yaml", "code: «S         ")),
    Plant("band.missing", "categories.yaml", 'en: "2 to 11 months"}, from: 2, below: 12}\n      - {id: m12_59, name: {fr: "12 à 59 mois", en: "12 to 59 months"}, from: 12, below: 60}\n  - id: A2',
          'en: "2 to 11 months"}}\n      - {id: m12_59, name: {fr: "12 à 59 mois", en: "12 to 59 months"}, from: 12, below: 60}\n  - id: A2',
          seen=("categories.yaml", "- «{id: m2_11"), page=("{id: m2_11, name: ...}", "{id: m2_11, name: ..., from: 2, below: 12}")),
    Plant("plausible.not_number", "concepts.yaml", "  - id: act_given\n    kind: boolean\n",
          "  - id: act_given\n    kind: boolean\n    plausible: «{from: 0, to: 1}\n",
          page=("kind: boolean, plausible: {from: 0, to: 1}", "kind: integer, plausible: {from: 0, to: 1}")),
    Plant("plausible.empty", "concepts.yaml", "{from: 300, to: 7000}", "{from: 300, to: «70}"),
    Plant("band.empty", "categories.yaml", "from: 2, below: 12", "from: 2, below: «2"),
    Plant("band.overlap", "categories.yaml", "from: 2, below: 12", "from: «1, below: 12"),
    Plant("band.gap", "categories.yaml", "from: 12, below: 60", "from: «13, below: 60"),
    Plant("band.unreachable", "categories.yaml", "from: 1, below: 5, measured_in: age_years",
          "from: 0, below: 1, measured_in: age_years", seen=("categories.yaml", "- «{id: y1_4")),
    Plant("chis.twice", SEC, "chis: CH172\n\n  - id: B01", "chis: «CH052c\n\n  - id: B01",
          page=("chis: CH052c        # that of A04", "chis: CH172")),
    Plant("unused.category", SEC, "by: [PURPOSE]", "by: []", seen=("categories.yaml", "- «id: PURPOSE")),
    Plant("unused.data_set", "dhis2.yaml", "data_sets:\n",
          "data_sets:\n  - «{id: LONELY, name: {fr: x, en: x}, period: Monthly, level: site}\n",
          page=("- {id: LONELY, period: Monthly, level: site}", "")),
    # ---------------------------------------------------------------- places
    Plant("org_unit.overlap", "org_units.csv", "cht,site-1," + _UNITS,
          "cht,site-1," + _UNITS + "2026-06-30\ncht,site-1,ML-KKO-D1-A1-S2,site,ML-KKO-D1-A1,Site Tiékoro,«2026-06-30,"),
    Plant("org_unit.gap", "org_units.csv", "cht,site-1," + _UNITS,
          "cht,site-1," + _UNITS + "2026-06-30\ncht,site-1,ML-KKO-D1-A1-S2,site,ML-KKO-D1-A1,Site Tiékoro,«2026-07-02,"),
    Plant("org_unit.parent", "org_units.csv", "cht,site-2,ML-KKO-D1-A1-S2,site,ML-KKO-D1-A1,",
          "cht,site-2,ML-KKO-D1-A1-S2,site,«ML-KKO-D1-A9,"),
    Plant("org_unit.cycle", "org_units.csv", "cht,country,ML,country,,Mali", "cht,country,ML,country,«ML-KKO,Mali"),
    Plant("org_unit.differs", "org_units.csv", "kobo,area-1,ML-KKO-D1-A1,cscom,", "kobo,area-1,ML-KKO-D1-A1,«site,"),
    Plant("date.far", "deployments.csv", "ML-KKO-D1-A3-S4,2025-01-01,2026-07-31",
          "ML-KKO-D1-A3-S4,2025-01-01,«2062-07-31"),
    Plant("org_unit.outside", "org_units.csv", "cht,site-1," + _UNITS, "cht,site-1," + _UNITS.replace("2015-", "«2014-")),
    Plant("deployment.outside", "deployments.csv", "asc-001,worker,asc,ML-KKO-D1-A1-S1,2025-01-01,",
          "asc-001,worker,asc,ML-KKO-D1-A1-S1,«2014-01-01,"),
    Plant("org_unit.unknown", "deployments.csv", "asc-001,worker,asc,ML-KKO-D1-A1-S1,",
          "asc-001,worker,asc,«ML-KKO-D1-A1-S9,"),
    Plant("org_unit.source", "org_units.csv", "cht,site-2,", "«chtt,site-2,"),
    Plant("deployment.overlap", "deployments.csv", "asc-001,worker,asc,ML-KKO-D1-A1-S1,2025-01-01,",
          "asc-001,worker,asc,ML-KKO-D1-A1-S1,2025-01-01,\nasc-001,worker,asc,ML-KKO-D1-A1-S2,«2026-01-01,"),
    Plant("deployment.kind", "deployments.csv", "asc-001,worker,asc,ML", "asc-001,worker,«groupes,ML"),
    Plant("deployment.level", "deployments.csv", "asc-001,worker,asc,ML-KKO-D1-A1-S1,", "asc-001,worker,asc,«ML-KKO-D1-A1,"),
    Plant("deployment.gap", "deployments.csv", "ML-KKO-D1-A2-S2,2026-08-01,", "ML-KKO-D1-A2-S2,«2026-08-10,"),
    Plant("deployment.no_place", "deployments.csv", "GE-A1-01,place,", "«GE-A1-O1,place,"),
    Plant("deployment.elsewhere", "deployments.csv", "GE-A1-01,place,groupes,ML-KKO-D1-A1,",
          "GE-A1-01,place,groupes,«ML-KKO-D1-A2,"),
    Plant("id.slip", "deployments.csv", "asc-001,worker", "«asc-01,worker"),
    Plant("org_unit.twice", "org_units.csv", "kobo,area-1,ML-KKO-D1-A1,cscom,", "kobo,area-1,«ML-KKO-D1-1,cscom,"),
    Plant("unused.org_unit", "org_units.csv", "cht,district-1,ML-KKO-D1,district,ML-KKO,",
          "cht,district-1,ML-KKO-D1,district,ML,", seen=("org_units.csv", "cht,region-1,«ML-KKO,region")),
    Plant("level.slip", "org_units.csv", "ML-KKO-D1-A1-S2,site,", "ML-KKO-D1-A1-S2,«sitte,"),
    Plant("level.unknown", "dhis2.yaml", "level: site", "level: «village"),
    Plant("group.unknown", "dhis2.yaml", "complete: groupes", "complete: «groups"),
    Plant("unused.group", "deployments.csv", "asc-001,worker,asc,ML", "asc-001,worker,«acs,ML"),
    Plant("place.unmapped", "openmrs.yaml", "  area-1: {location", "  «aera-1: {location"),
    Plant("profile.differs", "openmrs.yaml", "identifier_types:", "profile: platform2\n\nidentifier_types:",
          seen=("connector.yaml", "    profile: «\"${RELAIS_OPENMRS_PROFILE:-o3}\""),
          page=("profile: platform2   # and o3 in connector.yaml", "profile: o3")),
    Plant("treatment.not_sent", "openmrs.yaml", "    zinc_given: aa48f710", "    «malaria_treated: aa48f710"),
    # ---------------------------------------------------------------- tracker
    Plant("tracker.no_target", "tracker.yaml", "", "", do=_write("tracker.yaml", TRACKER_YAML), seen=("tracker.yaml", ""),
          page=("(tracker.yaml, and no target of kind dhis2_tracker)", "kind: dhis2_tracker   # in connector.yaml")),
    Plant("tracker.second_target", "connector.yaml", "", "", do=_two_trackers, seen=("connector.yaml", "  «encore:"),
          page=("two targets of kind dhis2_tracker", "one target of kind dhis2_tracker")),
    _tracked("tracker.nobody", "activity: sick_visit ", "activity: «stock_report "),
    _tracked("tracker.person_fact", "  TR_NOM: name\n", "  TR_NOM: «nmae\n"),
    _tracked("tracker.several", "      TR_PB: muac_mm\n", "      TR_PB: «danger_signs\n"),
)  # fmt: skip
