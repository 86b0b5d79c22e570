"""A new pack from a few answers: names of files and their texts. Pure; ``relais init`` asks and writes.

What it makes is whole: ``relais check`` finds no error in it and its example passes. It counts one thing, the records.
For each field of the form the nearest names are written beside it as comments: a person takes one by removing a ``#``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from connector.mappings.pack import Concept
from connector.mappings.samples import SEXES, Field
from connector.mappings.similar import Likeness, Similar

SOURCES = ("odk", "kobo", "csv", "cht")
TARGETS = ("dhis2", "fhir_server")
#: What names a record in each kind of source.
KEYS = {"odk": "__id", "kobo": "`meta/rootUuid`", "csv": "record_id", "cht": "_id"}


#: Names less alike than this (0 to 1) are not proposed: they share a syllable, not a meaning.
LEAST = 0.3
#: Token of the sandbox's DHIS2; an address of one's own takes a token of one's own.
SANDBOX_TOKEN = "d2p_RelaisSandboxOnly0000000000000000000001"


@dataclass(frozen=True, slots=True)
class Proposal:
    """``concepts``, ``elements``: the nearest of the dictionary and of DHIS2, best first, at most three, none that is
    less alike than ``LEAST``."""

    field: Field
    concepts: Sequence[Likeness]
    elements: Sequence[Likeness]


@dataclass(frozen=True, slots=True)
class Answers:
    pack_id: str
    source: str
    form: str
    targets: Sequence[str] = ("dhis2",)
    name: str = ""
    zone: str = "Africa/Bamako"
    date: str = ""  #: path of the day of service; found among the fields when empty
    place: str = ""
    worker: str | None = None  #: empty: the form does not say who
    key: str = ""
    accepted: Mapping[str, str] = field(default_factory=dict)  #: path of a field -> concept
    #: path of an accepted field -> answer of the form -> answer of the concept, which is then coded
    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def propose(fields: Sequence[Field], concepts: Mapping[str, Concept], elements: Mapping[str, str]) -> list[Proposal]:
    """For each field the concepts of a dictionary and the data elements (code -> name) whose names are most like it."""
    known = Similar({one.id: " ".join((one.id, *one.name.values())) for one in concepts.values()})
    there = Similar({code: f"{code} {name}" for code, name in elements.items()})
    found = []
    for one in fields:
        text = f"{one.name} {one.label}"
        near = [[like for like in names.top(text) if like.score >= LEAST] for names in (known, there)]
        found.append(Proposal(one, *near))
    return found


def head_of(answers: Answers, fields: Sequence[Field]) -> dict[str, str]:
    """date, place, worker and key: as answered, else the field that looks like it."""
    guesses = {
        "date": _first(fields, ("date",), lambda f: not re.search(r"naiss|birth|ddn", f.path), kinds=("date", "text")),
        "place": _first(fields, ("site", "lieu", "village", "place", "structure", "aire", "unit")),
    }
    place = answers.place or guesses["place"]
    guesses["worker"] = _first(fields, ("asc", "agent", "worker", "chw", "relais"), lambda f: f.path != place)
    if answers.source == "cht":
        guesses |= {"date": guesses["date"] or "reported_date", "place": "contact.parent._id", "worker": "contact._id"}
    return {
        "key": answers.key or KEYS[answers.source],
        "date": answers.date or guesses["date"] or "date",
        "place": answers.place or guesses["place"] or "site",
        "worker": guesses["worker"] if answers.worker is None else answers.worker,
    }


def codes_of(one: Field, concept: Concept | None, dictionary: Mapping[str, Concept]) -> dict[str, str]:
    """A code table proposed for a question whose options are known: option -> answer of the concept (``None``: a new
    concept, whose answers are called as the options are). Options that are like no answer are left out."""
    if concept is None:
        sexes = next((pair for pair in SEXES if {option.lower() for option in one.options} == set(pair)), ())
        known = dict(zip(sexes, ("female", "male"), strict=True)) if sexes else {}
        return {option: known.get(option.lower()) or _slug(option) for option in one.options}
    answers = {
        answer: " ".join((answer, *(dictionary[id].name.values() if id in dictionary else ())))
        for answer, id in concept.answers.items()
    }
    like = Similar(answers)
    found = {}
    for option, label in zip(one.options, one.labels or [""] * len(one.options), strict=True):
        letter = [answer for answer in answers if answer.startswith(option.lower())]
        near = [one for one in like.top(f"{option} {label}", 1) if one.score >= LEAST]
        if option in answers:
            found[option] = option
        elif len(letter) == 1:
            found[option] = letter[0]
        elif near:
            found[option] = near[0].name
    return found


def _first(
    fields: Sequence[Field],
    words: Sequence[str],
    fit: Any = lambda f: True,
    kinds: Sequence[str] = ("text", "number", "choices", "choice", "zero_one"),
) -> str:
    for word in words:
        for one in fields:
            if one.kind in kinds and fit(one) and re.search(rf"(^|[^a-z]){word}", one.name.lower()):
                return one.path
    return ""


def files_of(answers: Answers, proposals: Sequence[Proposal], dictionary: Mapping[str, Concept]) -> dict[str, str]:
    """Path in the pack -> text."""
    slug = _slug(answers.form)
    head = head_of(answers, [one.field for one in proposals])
    code = _slug(answers.pack_id).upper()[:12]
    return {
        "connector.yaml": _connector(answers),
        "concepts.yaml": _concepts(answers, proposals, dictionary),
        "activities.yaml": _ACTIVITIES.format(slug=slug, name=_names(answers.form, answers.form)),
        "categories.yaml": _CATEGORIES,
        f"forms/{answers.source}/{slug}.yaml": _form(answers, proposals, head, slug, dictionary),
        f"forms/{answers.source}/{slug}.test.yaml": _example(head, slug, _with_known_answers(answers, proposals)),
        "indicators/indicators.yaml": _INDICATORS.format(
            slug=slug, code=code, name=_names(f"Fiches {answers.form}", f"Records {answers.form}")
        ),
        "dhis2.yaml": _DHIS2.format(code=code, name=_names(f"{answers.form}, chaque mois", f"{answers.form}, monthly")),
        "org_units.csv": "source,place,org_unit,level,parent,name,valid_from,valid_to\n",
        "deployments.csv": "reporter,kind,group,org_unit,valid_from,valid_to\n",
        "relais.env": _env(answers),
    }


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower().replace("œ", "oe")).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_") or "form"


def _connector(answers: Answers) -> str:
    source = (
        _CHT
        if answers.source == "cht"
        else _FILES.format(
            kind=answers.source, form=answers.form, files=_NAMES[answers.source].format(form=answers.form)
        )
    )
    if answers.source == "csv":
        source = source.replace("    schedule:", f"    form: {_text(answers.form)}\n    schedule:")
    targets = "".join(_TARGETS[one] for one in answers.targets) or "  {}\n"
    return _CONNECTOR.format(
        id=answers.pack_id, name=_text(answers.name or answers.pack_id), zone=answers.zone, source=source,
        targets=targets,
    )  # fmt: skip


def _text(value: str) -> str:
    """A scalar of YAML that reads as this text."""
    return orjson.dumps(value).decode()


def _names(french: str, english: str) -> str:
    return f"{{fr: {_text(french)}, en: {_text(english)}}}"


def _concepts(answers: Answers, proposals: Sequence[Proposal], dictionary: Mapping[str, Concept]) -> str:
    lines = [_CONCEPTS]
    for path, name in answers.accepted.items():
        known = dictionary.get(name)
        asked = next((one.field for one in proposals if one.field.path == path), None)
        kind, label = (asked.kind, asked.label or name) if asked else ("text", name)
        lines.append(f"  - id: {name}\n")
        meanings = list(dict.fromkeys(answers.codes.get(path, {}).values()))
        made = "coded" if meanings else _FACT_KINDS.get(kind, kind)
        lines.append(f"    kind: {known.kind if known else made}\n")
        if known and known.unit:
            lines.append(f"    unit: {_text(known.unit)}\n")
        names = known.name if known else {"fr": label, "en": label}
        lines.append(f"    name: {{{', '.join(f'{k}: {_text(v)}' for k, v in names.items())}}}\n")
        if known and known.answers:
            lines.append(f"    answers: [{', '.join(known.answers)}]\n")
        elif not known and meanings:
            lines.append(f"    answers: [{', '.join(map(_text, meanings))}]\n")
    if not answers.accepted:
        lines.append("  []\n")
    return "".join(lines)


def _form(
    answers: Answers,
    proposals: Sequence[Proposal],
    head: Mapping[str, str],
    slug: str,
    dictionary: Mapping[str, Concept],
) -> str:
    lines = [_FORM.format(source=answers.source, form=_text(answers.form), slug=slug)]
    lines += [f"{key}: {_quoted(value)}\n" for key, value in head.items() if value]
    lines.append(_FACTS)
    taken = set(head.values())
    facts = [one for one in proposals if one.field.path not in taken and not one.field.technical]
    lines.append("facts:\n" if answers.accepted else "#facts:\n")
    for one in facts:
        label = f"  « {one.field.label} »" if one.field.label else ""
        lines.append(f"  # {one.field.path}{label}  ({_SHOWN.get(one.field.kind, one.field.kind)})\n")
        near = [(likes, title) for likes, title in ((one.concepts, "concepts.yaml"), (one.elements, "DHIS2")) if likes]
        for likes, title in near:
            lines.append(f"  #   {title}: {' · '.join(f'{like.name} {like.score:.2f}' for like in likes)}\n")
        if not near:
            lines.append("  #   pas de nom proche / no name near\n")
        if one.field.options:
            lines.append(f"  #   réponses / answers: {_listed(one.field)}\n")
        lines += [f"  #   {note}\n" for note in _NOTES.get(one.field.kind, ())]
        name = answers.accepted.get(one.field.path)
        codes = answers.codes.get(one.field.path)
        if name and codes:
            pairs = ", ".join(f"{_text(answer)}: {_text(meaning)}" for answer, meaning in codes.items())
            lines.append(f"  {name}:\n    value: {_quoted(one.field.expression)}\n    codes: {{{pairs}}}\n")
            if left := [option for option in one.field.options if option not in codes]:
                lines.append(_LEFT.format(left=", ".join(left), first=left[0]))
        elif name:
            lines.append(f"  {name}: {_quoted(one.field.expression)}\n")
        else:
            lines += [f"  #{fact}: {expression}\n" for fact, expression in _open(one, dictionary)]
    return "".join(lines)


def _listed(one: Field) -> str:
    labels = one.labels or ("",) * len(one.options)
    pairs = zip(one.options, labels, strict=True)
    return " · ".join(f"{option} « {label} »" if label else option for option, label in pairs)


def _open(one: Proposal, dictionary: Mapping[str, Concept]) -> list[tuple[str, str]]:
    """Fact and expression, as YAML, of the lines that a person may take for a field."""
    fact = one.concepts[0].name if one.concepts else _slug(one.field.name)
    if one.field.kind == "choices" and one.field.options:
        return [
            (f"{_slug(one.field.name)}_{_slug(option)}", _quoted(one.field.chosen(option)))
            for option in one.field.options
        ]
    if one.field.kind == "zero_one":
        return [(fact, _quoted(one.field.expression)), (fact, _quoted(f"$num({one.field.path})"))]
    if one.field.kind == "choice" and one.field.options:
        concept = dictionary.get(fact)
        codes = codes_of(one.field, concept if concept and concept.answers else None, dictionary)
        pairs = ", ".join(f"{_text(option)}: {_text(meaning)}" for option, meaning in codes.items())
        return [(fact, f"{{value: {_text(one.field.expression)}, codes: {{{pairs}}}}}")]
    return [(fact, _quoted(one.field.expression))]


def _quoted(expression: str) -> str:
    """An expression as a YAML scalar: quoted when it begins with what YAML reads otherwise."""
    return _text(expression) if re.search(r"^[`@&*!|>%{}\[\],#?-]|: | #", expression) else expression


def _with_known_answers(answers: Answers, proposals: Sequence[Proposal]) -> list[Field]:
    """The fields; where answers are known, with one of them as the value that is made up."""
    fields = [one.field for one in proposals]
    return [replace(one, made=next(iter(codes))) if (codes := answers.codes.get(one.path)) else one for one in fields]


def _example(head: Mapping[str, str], slug: str, fields: Sequence[Field]) -> str:
    """A record of the sample's shape, with values that are made up."""
    values = {"key": "exemple-1", "date": "2026-07-09", "place": "site-1", "worker": "asc-1"}
    record: dict[str, Any] = {}
    made = [(one.path, one.made) for one in fields]
    for path, value in (*made, *((path, values[key]) for key, path in head.items() if path)):
        *above, last = (part.strip("`") for part in re.findall(r"`[^`]+`|[^.]+", path))
        inner = record
        for part in above:
            inner = inner.setdefault(part, {})
        inner[last] = value
    text = orjson.dumps(record, option=orjson.OPT_INDENT_2).decode().replace("\n", "\n      ")
    return _EXAMPLE.format(record=text, slug=slug)


def _env(answers: Answers) -> str:
    lines = [_ENV, f"RELAIS_ZONE={answers.zone}"]
    if answers.source == "cht":
        lines += [
            "RELAIS_CHT_URL=http://127.0.0.1:9101",
            "RELAIS_CHT_USER=relais",
            "RELAIS_CHT_PASSWORD=relais-sandbox",
        ]
    else:
        lines.append("RELAIS_FOLDER=var/folder")
    if "dhis2" in answers.targets:
        lines += ["RELAIS_DHIS2_URL=http://127.0.0.1:9102", f"RELAIS_DHIS2_TOKEN={SANDBOX_TOKEN}"]
    if "fhir_server" in answers.targets:
        lines.append("RELAIS_FHIR_URL=http://127.0.0.1:9104/fhir")
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- texts

_CONNECTOR = """# Qui Relais écoute, à qui il envoie. / Whom Relais listens to and whom it tells.
# Après chaque changement / after each change:  relais check .   puis / then  relais test .

pack:
  id: {id}    # ne plus le changer après le premier envoi / never change it after the first sending
  name: {name}

zone: "${{RELAIS_ZONE:-{zone}}}"
languages: [fr, en]

sources:
{source}
targets:
{targets}"""
#: Names of the files of a source, as its format reads them (``connector.adapters.files``).
_NAMES = {
    "odk": "{form}-….ndjson (une fiche JSON par ligne / one JSON record a line), {form}-….json (OData)",
    "kobo": "{form}-….json (export JSON)",
    "csv": "….csv",
}
#: kind of a field -> kind of the concept it fills
_FACT_KINDS = {"number": "decimal", "zero_one": "boolean", "choices": "boolean", "choice": "text", "list": "text"}
#: kind of a field -> how the form's file calls it, where not by its own name
_SHOWN = {"zero_one": "0/1", "choices": "choix multiple / several answers", "choice": "une réponse / one answer"}
#: kind of a field -> what a person must know to decide
_NOTES = {
    "choices": (
        "plusieurs réponses possibles : un fait par option, oui ou non",
        "several answers may be chosen: one fact for each option, yes or no",
    ),
    "choice": (
        "une réponse d'une liste : kind: coded, answers: [sens] (concepts.yaml) ; ici value:, codes: {réponse: sens}",
        "one answer of a list: kind: coded, answers: [meaning] (concepts.yaml); here value:, codes: {answer: meaning}",
    ),
    "zero_one": (
        "0 ou 1 : oui/non ($yes), ou un nombre ($num) ; garder une des deux lignes",
        "0 or 1: yes/no ($yes), or a number ($num); keep one of the two lines",
    ),
}
_FILES = """  {kind}:
    kind: files
    format: {kind}
    folder: "${{RELAIS_FOLDER}}/{kind}"
    # Fichiers / files: {files}
    # Jusqu'au premier tiret, le nom du fichier est celui du formulaire (ou écrire / or write  form: ).
    # Up to its first hyphen the file name is that of the form. Other names are not read.
    schedule: every 1h
    silent_after: 35d
    order: comparable
"""
_CHT = """  cht:
    kind: cht
    url: ${RELAIS_CHT_URL}
    user: ${RELAIS_CHT_USER}
    password: ${RELAIS_CHT_PASSWORD}
    database: medic
    schedule: every 15m
    silent_after: 3d
    order: feed
"""
_TARGETS = {
    "dhis2": """  dhis2:
    kind: dhis2
    url: ${RELAIS_DHIS2_URL}
    token: ${RELAIS_DHIS2_TOKEN}
    schedule: every 30m
    live_from: 202607        # les mois d'avant ne sont jamais envoyés / older months are never sent
    mode: shadow             # calculer et comparer seulement ; puis live / compute and compare only; then live
    on_existing: ask         # un chiffre tapé à la main attend une décision / a figure typed by hand waits
""",
    "fhir_server": """  fhir:
    kind: fhir_server
    url: ${RELAIS_FHIR_URL}
    schedule: every 30m
    live_from: 2026-07-01
    mode: shadow
""",
}
_CONCEPTS = """# Le dictionnaire : les faits que les formulaires donnent. / The dictionary: the facts that forms give.
# kind: boolean (oui/non, yes/no), integer, decimal, coded (answers: [...]), text, date
# - id: fever
#   kind: boolean
#   name: {fr: "Fièvre", en: "Fever"}

concepts:
"""
_ACTIVITIES = """# Ce qui peut arriver, quelle que soit l'application. / What can happen, whatever the app.

activities:
  - id: {slug}
    name: {name}
    fhir: {{shape: none, subject: none}}
"""
_CATEGORIES = """# Comment les chiffres sont ventilés ; « inconnu » s'ajoute toujours.
# How figures are split; "unknown" is always added.
# - id: SEXE
#   name: {fr: "Sexe", en: "Sex"}
#   fact: sex
#   options:
#     - {id: female, name: {fr: "Féminin", en: "Female"}}
#     - {id: male, name: {fr: "Masculin", en: "Male"}}

categories: []
"""
_FORM = """# Quelle réponse du formulaire est quel fait. / Which answer of the form is which fact.
form: {{source: {source}, name: {form}}}
activity: {slug}

# Vérifier ces lignes : la date décide du mois, le lieu de l'unité (org_units.csv).
# Check these lines: the date decides the month, the place the org unit (org_units.csv).
"""
_LEFT = """    # pas dans la table / not in the table: {left}   (« {first}: ~ » = non demandé / not asked)
"""
_FACTS = """
# Rien n'est décidé : pour chaque champ, les noms les plus proches et leur ressemblance (0 à 1). Garder la ligne qui
# convient en ôtant son # (et celui de « facts: »), et mettre le fait dans concepts.yaml.
# Nothing is decided: for each field the nearest names and how alike they are (0 to 1). Keep a line that is right by
# removing its # (and that of "facts:"), and put the fact into concepts.yaml.
"""
_EXAMPLE = """# Une fiche inventée, et ce qu'elle doit donner. Jamais une vraie personne.
# A record that is made up, and what it must give. Never a real person.
examples:
  - name: une fiche compte une fois / a record counts once
    record: {record}
    expect:
      activity: {slug}
      date: 2026-07-09
      place: site-1
      counts: {{N01: [count default]}}
"""
_INDICATORS = """# Ce qui est compté. Pour en ajouter / what is counted; to add: docs/add-an-indicator.md
# area : domaine de santé, un nom à vous (nutrition, vaccination) ; aucun chiffre n'en dépend.
# area: area of health, a name of your own (nutrition, immunization); no figure depends on it.
area: sec
data_set: {code}_M

indicators:
  - id: N01
    name: {name}
    definition: {{fr: "Nombre de fiches reçues de ce formulaire.", en: "Number of records received of this form."}}
    counts: {slug}
"""
_DHIS2 = """# Comment les chiffres s'appellent dans DHIS2. / What figures are called in DHIS2.
# Ce qui manque là-bas / what is missing there:  relais setup dhis2

# prefix vient devant chaque code d'indicateur : N01 devient {code}_N01. Pour des codes sans préfixe, écrire  prefix: ""
# prefix stands before the code of each indicator: N01 becomes {code}_N01. For bare codes write  prefix: ""
# id d'un data set est son code dans DHIS2. / The id of a data set is its code in DHIS2.
data_elements:
  prefix: {code}_

data_sets:
  - id: {code}_M
    name: {name}
    period: Monthly
    level: site
"""
_ENV = """# Les variables que connector.yaml nomme, pour essayer. / The variables connector.yaml names, to try the pack.
#   set -a; . ./relais.env; set +a
# Adresses et jeton sont ceux de « relais sandbox serve ». / Addresses and token are those of "relais sandbox serve".
RELAIS_PACK=.
# demo : Relais fait lui-même sa clé (var/demo.key). Jamais pour de vraies fiches : là, « relais key new » donne une clé
# pour RELAIS_MASTER_KEY, et cette ligne s'en va.
# demo: Relais makes its own key (var/demo.key). Never for real records: there "relais key new" prints a key for
# RELAIS_MASTER_KEY, and this line goes.
RELAIS_ENV=demo
# Base de données et clé / database and key
RELAIS_HOME=var"""
