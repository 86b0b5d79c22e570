"""``relais init``: what it makes is whole, proposes and decides nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from hatchling.builders.wheel import WheelBuilder

from connector.cli.new import STARTER, new
from connector.errors import ConfigError
from connector.mappings.config import load_pack
from connector.mappings.examples import run_examples
from connector.mappings.lint import lint
from connector.mappings.new_pack import propose
from connector.mappings.pack import Pack
from connector.mappings.samples import Field, fields_of
from connector.model import Severity

ENVIRONMENT = {
    "RELAIS_FOLDER": "var", "RELAIS_DHIS2_URL": "http://127.0.0.1", "RELAIS_DHIS2_TOKEN": "token-of-a-test",
    "RELAIS_CHT_URL": "http://127.0.0.1", "RELAIS_CHT_USER": "relais", "RELAIS_CHT_PASSWORD": "password-of-a-test",
    "RELAIS_FHIR_URL": "http://127.0.0.1",
}  # fmt: skip
RECORDS = {
    "odk": {"__id": "uuid:1", "date_depistage": "2026-07-09", "site": "s", "enfant": {"pb_mm": 118, "oedemes": "non"}},
    "kobo": {"meta/rootUuid": "1", "reunion/date": "2026-07-09", "reunion/structure": "a", "reunion/femmes": "3"},
    "cht": {"_id": "1", "reported_date": 1, "fields": {"fever": "yes"}},
}
#: How the questions begin whose proposal is taken here.
HEADS = ("date:", "place:", "worker:", "Choices sheet", "Feuille choices")
CHOICES = """list name,name,label::fr,label::en
sexe,m,Masculin,Male
sexe,f,Féminin,Female
tdr,pos,Positif,Positive
tdr,neg,Négatif,Negative
tdr,nf,Non fait,Not done
conduite,conseil,Conseil,Advice
conduite,reference,Référence,Referral
on,oui,Oui,Yes
on,non,Non,No
"""
SURVEY = """type,name,label::fr
start,start,
date,date_depistage,Date du dépistage
text,site_asc,Site
begin_group,enfant,Enfant
integer,age_mois,Âge en mois
select_one oui_non,ref,Référé au centre
decimal,pb,Périmètre brachial
end_group,,
"""


def whole(folder: Path) -> Pack:
    """The pack; it has no error and its examples pass."""
    pack, findings = load_pack(folder, ENVIRONMENT)
    errors = [one for one in (*findings, *lint(pack)) if one.severity is Severity.ERROR]
    assert errors == []
    results = run_examples(pack)
    assert ([str(one) for one in results.failures], results.passed > 0) == ([], True)
    return pack


def init(folder: Path, **given: Any) -> None:
    new(folder, yes=True, **given)


@pytest.mark.parametrize("source", ["odk", "kobo", "csv", "cht"])
@pytest.mark.parametrize("with_sample", [True, False])
def test_what_is_made_is_whole(tmp_path: Path, source: str, with_sample: bool) -> None:
    sample = tmp_path / ("s.csv" if source == "csv" else "s.json")
    sample.write_text(
        "record_id;date;site;fièvre\n1;09/07/2026;s;oui\n" if source == "csv" else json.dumps(RECORDS[source])
    )
    target = ["dhis2", "fhir_server"] if with_sample else ["dhis2"]
    init(tmp_path / "pack", source=source, form='Dépistage "2"', sample=sample if with_sample else None, target=target)
    pack = whole(tmp_path / "pack")
    assert pack.forms[source, 'Dépistage "2"'].facts == ()
    assert [one.mode for one in pack.targets.values()] == ["shadow"] * len(target)


def test_proposals_are_shown_and_none_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = tmp_path / "survey.csv"
    sample.write_text(SURVEY, "utf-8")
    elements = tmp_path / "elements.csv"
    elements.write_text("code,name\nDE1,Enfants référés\nDE2,Périmètre brachial mesuré\n", "utf-8")
    new(tmp_path / "pack", form="depistage", sample=sample, elements=elements, json=True, like=STARTER)
    document = json.loads(capsys.readouterr().out)
    by_field = {one["field"]: one for one in document["fields"]}
    assert by_field["enfant.age_mois"]["concepts"][0]["name"] == "age_months"
    assert by_field["enfant.ref"]["elements"][0]["name"] == "DE1" and by_field["enfant.ref"]["kind"] == "boolean"
    assert by_field["enfant.pb"]["label"] == "Périmètre brachial"
    assert all(
        len(one["concepts"]) <= 3 and 0 < like["score"] <= 1 for one in by_field.values() for like in one["concepts"]
    )
    assert document["accepted"] == {}
    text = (tmp_path / "pack/forms/odk/depistage.yaml").read_text("utf-8")
    assert "age_months" in text and "DE1" in text
    assert whole(tmp_path / "pack").concepts == {}


def test_a_person_accepts_by_name(tmp_path: Path) -> None:
    sample = tmp_path / "survey.csv"
    sample.write_text(SURVEY, "utf-8")
    init(tmp_path / "pack", form="f", sample=sample, accept=["ref=referred", "enfant.pb=muac", "age_mois=age_months"])
    pack = whole(tmp_path / "pack")
    assert {rule.name: rule.source for rule in pack.forms["odk", "f"].facts} == {
        "age_months": "$num(enfant.age_mois)", "referred": "$yes(enfant.ref)", "muac": "$num(enfant.pb)",
    }  # fmt: skip
    assert (
        pack.concepts["referred"].name["fr"] == "Référé au centre de santé" and pack.concepts["muac"].kind == "decimal"
    )
    with pytest.raises(typer.BadParameter):
        init(tmp_path / "other", form="f", sample=sample, accept=["nothing=referred"])


def answering(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """A person who answers so, one question after the other; returns the questions as they are asked."""
    left, asked = iter(answers), list[str]()

    def prompt(text: str, default: str = "", **_: Any) -> str:
        if text.startswith(HEADS):
            return default
        asked.append(text)
        return next(left)

    monkeypatch.setattr(typer, "prompt", prompt)
    return asked


def test_a_person_is_asked_and_may_leave_a_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = tmp_path / "survey.csv"
    sample.write_text(SURVEY, "utf-8")
    asked = answering(monkeypatch, "1", "", "bras")
    new(tmp_path / "pack", pack_id="p1", source="odk", form="f", target=["dhis2"], sample=sample)
    assert len(asked) >= 3
    facts = {rule.name for rule in whole(tmp_path / "pack").forms["odk", "f"].facts}
    assert "age_months" in facts and "bras" in facts and len(facts) == 2


def test_who_is_asked_is_told_what_for_and_asked_again_what_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = tmp_path / "survey.csv"
    sample.write_text("type,name\ndate,date_v\ntext,site\nselect_one ouinon,zzz\n", "utf-8")
    asked = answering(monkeypatch, "1", "un fait", "zzz_said")
    monkeypatch.setattr("connector.cli.output.FRENCH", True)
    new(tmp_path / "pack", pack_id="p1", source="odk", form="f", target=["dhis2"], sample=sample)
    said = " ".join(capsys.readouterr().err.split())
    assert "1, 2, 3" not in asked[0] and len(asked) == 3, "1 is no answer where nothing is proposed"
    assert "1 : ni un des numéros" in said and "un fait : ni un des numéros" in said
    assert (
        "va écrire un paquet" in said
        and "date = date_v, lieu = site" in said
        and "Champs : date_v, site, zzz" in said
        and "(oui ou non)" in said
    )
    assert {rule.name for rule in whole(tmp_path / "pack").forms["odk", "f"].facts} == {"zzz_said"}
    assert '"zzz": "oui"' in (tmp_path / "pack/forms/odk/f.test.yaml").read_text("utf-8")


def test_one_answer_of_a_list_becomes_a_coded_fact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = tmp_path / "survey.csv"
    sample.write_text("type,name\ndate,date_v\nselect_one sites,site\nselect_one sexe,qqq\n", "utf-8")
    answers = iter(["gender", "m f", "m=male f=female"])
    monkeypatch.setattr(
        typer, "prompt", lambda text, default="", **_: default if text.startswith(HEADS) else next(answers)
    )
    new(tmp_path / "pack", pack_id="p1", source="odk", form="f", target=["dhis2"], sample=sample)
    pack = whole(tmp_path / "pack")
    assert (pack.concepts["gender"].kind, list(pack.concepts["gender"].answers)) == ("coded", ["male", "female"])
    (rule,) = pack.forms["odk", "f"].facts
    assert (rule.name, rule.codes) == ("gender", {"m": "male", "f": "female"})
    assert '"qqq": "m"' in (tmp_path / "pack/forms/odk/f.test.yaml").read_text("utf-8")


def with_choices(tmp_path: Path) -> tuple[Path, Path]:
    sample, choices = tmp_path / "survey.csv", tmp_path / "choices.csv"
    sample.write_text(
        "type,name,label\ndate,jour,Jour\nselect_one sites,site,Site\ntext,saisi_par,Qui\nselect_one sexe,genre,Sexe\n"
        "select_one tdr,tdr,TDR\nselect_one on,oedemes,Oedèmes\nselect_multiple conduite,conduite,Conduite\n",
        "utf-8",
    )
    choices.write_text(CHOICES, "utf-8")
    return sample, choices


def test_option_lists_become_code_tables_that_are_proposed(tmp_path: Path) -> None:
    sample, choices = with_choices(tmp_path)
    init(tmp_path / "open", form="f", sample=sample, choices=choices)
    text = (tmp_path / "open/forms/odk/f.yaml").read_text("utf-8")
    assert '#genre: {value: "genre", codes: {"m": "male", "f": "female"}}' in text and "m « Masculin Male »" in text
    assert '#malaria_rdt: {value: "tdr", codes: {"pos": "positive", "neg": "negative"}}' in text
    assert "#conduite_conseil: $chosen(conduite, 'conseil')" in text and ": $yes(oedemes)" in text
    assert whole(tmp_path / "open").forms["odk", "f"].facts == (), "none is taken by itself"
    accept = ["genre=sex", "tdr=malaria_rdt"]
    init(tmp_path / "taken", form="f", sample=sample, choices=choices, accept=accept)
    pack = whole(tmp_path / "taken")
    assert {rule.name: rule.codes for rule in pack.forms["odk", "f"].facts} == {
        "sex": {"m": "male", "f": "female"}, "malaria_rdt": {"pos": "positive", "neg": "negative"},
    }  # fmt: skip
    assert sorted(pack.concepts["sex"].answers) == ["female", "male"] and pack.concepts["sex"].name["fr"] == "Sexe"
    text = (tmp_path / "taken/forms/odk/f.yaml").read_text("utf-8")
    assert "# pas dans la table / not in the table: nf" in text


def test_which_field_is_the_day_the_place_and_the_worker_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample, choices = with_choices(tmp_path)
    proposed: dict[str, str] = {}
    said = {"date": ["jour"], "place": ["nowhere", "site"], "worker": ["saisi_par"], "genre": ["m=male f=female"]}

    def prompt(text: str, default: str = "", **_: Any) -> str:
        key = text.replace("\u00a0", " ").partition(":")[0].strip()
        proposed.setdefault(key, default)
        return said[key].pop(0) if said.get(key) else default

    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr("connector.cli.output.FRENCH", True)
    new(tmp_path / "pack", pack_id="p1", source="odk", form="f", target=["dhis2"], sample=sample)
    form = whole(tmp_path / "pack").forms["odk", "f"]
    assert form.date and form.place and form.worker
    assert [one.source for one in (form.date, form.place, form.worker)] == ["jour", "site", "saisi_par"]
    assert (proposed["place"], proposed["worker"]) == ("site", "-")
    assert str(choices) in proposed.values()
    assert "nowhere : aucun champ ne s'appelle ainsi" in " ".join(capsys.readouterr().err.split())


def test_a_form_that_does_not_say_who_recorded_it(tmp_path: Path) -> None:
    sample = tmp_path / "survey.csv"
    sample.write_text("type,name\ndate,jour\ntext,site\ntext,agent\n", "utf-8")
    init(tmp_path / "guessed", form="f", sample=sample)
    init(tmp_path / "none", form="f", sample=sample, worker="")
    workers = [whole(tmp_path / one).forms["odk", "f"].worker for one in ("guessed", "none")]
    assert workers[0] is not None and workers[0].source == "agent" and workers[1] is None


def test_a_sheet_without_lists_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="list_name"):
        fields_of(SURVEY.encode(), "s.csv", b"type,name\n")


def test_a_long_list_of_options_is_no_code_table() -> None:
    choices = "list_name,name\n" + "".join(f"sites,s{n}\n" for n in range(41))
    (one,) = fields_of(b"type,name\nselect_one sites,site\n", "s.csv", choices.encode())
    assert (one.kind, one.options, one.made) == ("text", (), "s0")


@pytest.mark.parametrize(
    ("value", "options"), [("m", ("f", "m")), ("Féminin", ("féminin", "masculin")), ("moussa", ())]
)
def test_a_sex_in_a_sample_is_a_coded_answer(value: str, options: tuple[str, ...]) -> None:
    (one,) = fields_of(json.dumps({"sexe": value}).encode(), "s.json")
    assert (one.kind, one.options) == ("choice" if options else "text", options)


def test_nothing_that_is_there_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError):
        init(tmp_path, starter=True)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_the_starter_pack_is_copied_whole(tmp_path: Path) -> None:
    init(tmp_path / "pack", starter=True)
    pack = whole(tmp_path / "pack")
    assert len(pack.indicators) == 3 and len(pack.forms) == 1
    assert run_examples(pack).unexercised == []


def test_the_starter_pack_comes_with_the_wheel() -> None:
    root = Path(__file__).parents[2]
    packed = {one.distribution_path for one in WheelBuilder(str(root)).recurse_included_files()}
    there = root / "config/starter"
    wanted = {f"connector/starter/{p.relative_to(there).as_posix()}" for p in there.rglob("*") if p.is_file()}
    assert wanted and {one for one in packed if one.startswith("connector/starter/")} == wanted


@pytest.mark.parametrize(
    ("name", "data"),
    [("s.json", b"{"), ("s.json", b"[]"), ("s.csv", b""), ("s.json", b"\xff"), ("s.json", b"x" * 1_000_001)],
)
def test_a_sample_that_cannot_be_read_is_refused_in_words(name: str, data: bytes) -> None:
    with pytest.raises(ConfigError, match="Nothing was written"):
        fields_of(data, name)


def test_fields_of_exports() -> None:
    odata = json.dumps({"value": [{"a": 1, "g": {"b": "oui", "rows": [{"x": 1}]}}]}).encode()
    assert [(f.path, f.kind) for f in fields_of(odata, "s.json")] == [
        ("a", "number"),
        ("g.b", "boolean"),
        ("g.rows", "list"),
    ]
    kobo = json.dumps({"results": [{"g/a b": "2026-07-01"}]}).encode()
    assert [(f.path, f.kind, f.name) for f in fields_of(kobo, "s.json")] == [("`g/a b`", "date", "a b")]
    lines = b'{"a": "x"}\n{"a": "y"}\n'
    assert [f.path for f in fields_of(lines, "s.ndjson")] == ["a"]
    assert [(f.path, f.kind) for f in fields_of("Âge;n°\n12,5;3\n".encode(), "s.csv")] == [
        ("`Âge`", "number"),
        ("`n°`", "number"),
    ]


def test_the_example_has_the_shape_of_the_sample_and_none_of_its_answers(tmp_path: Path) -> None:
    sample = tmp_path / "un.json"
    sample.write_text(json.dumps({
        "__id": "uuid:secret", "__system": {"submissionDate": "2026-10-05T09:12:44Z"}, "date_depistage": "2026-10-05",
        "code_site": "S1", "nom": "Secret", "age_mois": 14, "mesures": {"pb_mm": "113", "oedemes": "0"},
        "conduite": "conseil reference",
    }))  # fmt: skip
    init(tmp_path / "pack", form="depistage", sample=sample)
    whole(tmp_path / "pack")
    text = (tmp_path / "pack/forms/odk/depistage.test.yaml").read_text("utf-8")
    for answer in ("ecret", "113", "14", "S1"):
        assert answer not in text
    for field in ("mesures", "pb_mm", "oedemes", "conduite", "submissionDate", "nom"):
        assert f'"{field}"' in text
    form = (tmp_path / "pack/forms/odk/depistage.yaml").read_text("utf-8")
    assert "#conduite_reference: $chosen(conduite, 'reference')" in form
    assert "$yes(mesures.oedemes)" in form and "$num(mesures.oedemes)" in form
    assert "no name near" in form and "submissionDate" not in form


def test_names_that_share_a_syllable_are_not_proposed() -> None:
    concepts = load_pack(STARTER, {}, strict=False)[0].concepts
    fields = [
        Field("__system.submissionDate", "", "date"),
        Field("remarque", "", "text"),
        Field("age_mois", "", "number"),
    ]
    near = propose(fields, concepts, {})
    assert [[like.name for like in one.concepts] for one in near] == [[], [], ["age_months"]]


@pytest.mark.parametrize(
    ("kind", "options", "written"),
    [
        ("choices", ("conseil", "reference"), "$chosen(a.b, 'conseil')"), ("choices", (), "$chosen(a.b, 'option')"),
        ("boolean", (), "$yes(a.b)"), ("zero_one", (), "$yes(a.b)"), ("number", (), "$num(a.b)"), ("text", (), "a.b"),
    ],
)  # fmt: skip
def test_a_field_is_read_as_its_kind_asks(kind: str, options: tuple[str, ...], written: str) -> None:
    assert Field("a.b", "", kind, options=options).expression == written
