"""Making a new pack: the questions of ``relais init``, and writing the files."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import typer
from rich.markup import escape

import connector
from connector.cli.output import err, json_out, out, say
from connector.errors import ConfigError
from connector.mappings import new_pack
from connector.mappings.config import load_pack
from connector.mappings.new_pack import Answers, Proposal
from connector.mappings.pack import Concept
from connector.mappings.pack_shapes import FACT_NAME
from connector.mappings.samples import MAX_BYTES, Field, fields_of

#: kind of a field -> how a person calls it
_KINDS = {
    "boolean": ("oui ou non", "yes or no"),
    "zero_one": ("0 ou 1", "0 or 1"),
    "number": ("un nombre", "a number"),
    "date": ("une date", "a date"),
    "choices": ("plusieurs réponses d'une liste", "several answers of a list"),
    "choice": ("une réponse d'une liste", "one answer of a list"),
    "list": ("une liste de lignes", "a list of lines"),
    "text": ("un texte", "a text"),
}
_CODE = Path(connector.__file__).parent
_INSTALLED = _CODE / "starter"
#: In a wheel beside the code, in a checkout in ``config``.
STARTER = _INSTALLED if _INSTALLED.is_dir() else _CODE.parent / "config/starter"


def new(
    folder: Path,
    *,
    starter: bool = False,
    pack_id: str | None = None,
    source: str | None = None,
    form: str | None = None,
    sample: Path | None = None,
    choices: Path | None = None,
    target: list[str] | None = None,
    like: Path | None = None,
    elements: Path | None = None,
    date: str | None = None,
    place: str | None = None,
    worker: str | None = None,
    accept: list[str] | None = None,
    yes: bool = False,
    json: bool = False,
) -> None:
    """Ask what was not given (nothing with ``yes`` or ``json``), write the pack, say so. Raises ConfigError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"{folder} is there already. Nothing was written. Name a folder that is not there yet.",
            french=f"{folder} existe déjà. Rien n'a été écrit. Donnez un dossier qui n'existe pas encore.",
        )
    if starter:
        shutil.copytree(STARTER, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        _told(folder, sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()), [], {}, json)
        return
    if not (yes or json):
        err.print(
            say(
                "Relais va écrire un paquet : des fichiers qui disent d'où viennent les fiches, ce qu'elles disent et où vont "
                "les chiffres. Il pose quelques questions, puis demande quel fait donne chaque champ du fichier d'exemple. Entrée garde "
                "la réponse entre crochets. Tout se change ensuite dans les fichiers ; rien n'est envoyé.",
                "Relais will write a pack: files that say where records come from, what they say and where figures go. It "
                "asks a few questions, then which fact each field of the sample file gives. Enter keeps the answer in brackets. "
                "All can be changed in the files later; nothing is sent.",
            )
        )
    ask = _asker(yes or json)
    source = ask(source, "Source (odk, kobo, csv, cht)", "odk", new_pack.SOURCES)
    form = ask(
        form, say("Nom du formulaire", "Name of the form"), sample.stem.partition("-")[0] if sample else "visite"
    )
    targets = target or [
        ask(None, say("Cible (dhis2, fhir_server)", "Target (dhis2, fhir_server)"), "dhis2", new_pack.TARGETS)
    ]
    for one in targets:
        _among(one, new_pack.TARGETS)
    pack_id = ask(
        pack_id, say("Identifiant du paquet", "Id of the pack"), folder.resolve().name.lower().replace("_", "-")
    )
    if sample is None and not (yes or json):
        given = typer.prompt(
            say("Fichier d'exemple (vide : aucun)", "Sample file (empty: none)"), default="", show_default=False
        )
        sample = Path(given) if given.strip() else None
    if choices is None and sample is not None and not (yes or json):
        choices = _choices_beside(sample)
    fields = fields_of(_read(sample), sample.name, _read(choices) if choices else b"") if sample else []
    dictionary = load_pack(like or STARTER, {}, strict=False)[0].concepts
    proposals = new_pack.propose(fields, dictionary, _elements(elements) if elements else {})
    answers = Answers(
        pack_id, source, form, targets, date=_path(fields, date), place=_path(fields, place),
        worker=None if worker is None else _path(fields, worker),
    )  # fmt: skip
    if not (yes or json):
        given = {"date": date, "place": place, "worker": worker}
        answers = _heads(answers, fields, [key for key, said in given.items() if said is None])
    chosen = new_pack.head_of(answers, fields)
    head = set(chosen.values())
    accepted = _accepted(accept or (), fields)
    codes: dict[str, dict[str, str]] = {}
    if not (yes or json):
        _said(chosen, f"forms/{source}/")
        accepted |= _choose(
            [one for one in proposals if one.field.path not in {*head, *accepted} and not one.field.technical],
            dictionary,
        )
        coded = {path for path, name in accepted.items() if name not in dictionary or dictionary[name].kind == "coded"}
        codes = _meanings([one for one in fields if one.kind == "choice" and one.path in coded], accepted, dictionary)
    else:
        codes = _proposed(fields, accepted, dictionary)
    files = new_pack.files_of(replace(answers, accepted=accepted, codes=codes), proposals, dictionary)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    _told(folder, sorted(files), proposals, accepted, json)


def _asker(quiet: bool) -> Any:
    def ask(given: str | None, question: str, default: str, among: Iterable[str] = ()) -> str:
        answer = given or (default if quiet else typer.prompt(question, default=default, err=True))
        _among(answer, tuple(among))
        return str(answer).strip()

    return ask


def _among(value: str, known: Iterable[str]) -> None:
    names = list(known)
    if names and value not in names:
        raise typer.BadParameter(f"{value}: {', '.join(names)}")


def _read(path: Path) -> bytes:
    """The beginning of a file, up to what ``fields_of`` takes. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({type(error).__name__}). Nothing was written. Give a file that can.",
            french=f"{path} ne peut pas être lu ({type(error).__name__}). Rien n'a été écrit. Donnez un fichier lisible.",
        ) from None


def _elements(path: Path) -> dict[str, str]:
    """code -> name."""
    data = _read(path)
    try:
        if path.suffix == ".json":
            rows = orjson.loads(data)
            listed = rows.get("dataElements", []) if isinstance(rows, dict) else rows
            return {str(one["code"]): str(one["name"]) for one in listed if one.get("code") and one.get("name")}
        lines = csv.reader(data.decode("utf-8-sig").splitlines())
        return {row[0].strip(): row[1].strip() for row in lines if len(row) >= 2 and row[0].strip() != "code"}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(
            f"{path} has no data elements with code and name. Nothing was written. Give a CSV code,name or the JSON "
            "of /api/dataElements.",
            french=f"{path} n'a pas d'éléments de données avec code et nom. Rien n'a été écrit. Donnez un CSV code,name ou "
            "le JSON de /api/dataElements.",
        ) from None


def _path(fields: list[Field], name: str | None) -> str:
    """The path of a field that is named by its path or its last word; a path that no field has is taken as written."""
    if not name:
        return ""
    return next((one.path for one in fields if name in (one.path, one.name)), name)


def _accepted(pairs: Iterable[str], fields: list[Field]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, _, concept = pair.partition("=")
        path = _path(fields, name.strip())
        if not concept.strip().isidentifier() or path not in {one.path for one in fields}:
            raise typer.BadParameter(f"--accept {pair}: FIELD=CONCEPT")
        found[path] = concept.strip()
    return found


#: key of a form's file -> what it decides
_HEADS = {
    "date": ("le jour du service (il décide du mois)", "the day of service (it decides the month)"),
    "place": ("le lieu, comme dans org_units.csv (il décide de l'unité)",
              "the place, as in org_units.csv (it decides the org unit)"),
    "worker": ("qui a saisi (pour savoir qui a rapporté) ; - : personne",
               "who recorded it (to know who has reported); -: nobody"),
}  # fmt: skip


def _heads(answers: Answers, fields: list[Field], asked: Iterable[str]) -> Answers:
    """Ask which field is the day, the place and the worker; the one that looks like it is proposed. Without a sample
    there is nothing to choose from."""
    known = [one for one in fields if not one.technical]
    guesses = new_pack.head_of(answers, fields)
    if known and asked:
        err.print(say("Champs : ", "Fields: ") + escape(", ".join(one.path for one in known)))
    for key in asked if known else ():
        question = say(*_HEADS[key])
        while True:
            default = guesses[key] or "-"
            said = str(typer.prompt(f"{key}: {question}", default=default, err=True)).strip()
            path = "" if said == "-" else _path(fields, said)
            if said == default or path in {one.path for one in fields} or (key == "worker" and not path):
                break
            err.print(
                say(f"{escape(said)} : aucun champ ne s'appelle ainsi.", f"{escape(said)}: no field is called so.")
            )
        answers = replace(answers, **{key: path})
    return answers


def _choices_beside(sample: Path) -> Path | None:
    """The choices sheet of an XLSForm whose survey sheet is the sample."""
    if sample.suffix.lower() != ".csv" or b"select_" not in _read(sample):
        return None
    beside = sample.with_name("choices.csv")
    said = typer.prompt(
        say(
            "Feuille choices du même XLSForm, en CSV (- : aucune)",
            "Choices sheet of the same XLSForm, as CSV (-: none)",
        ),
        default=str(beside) if beside.is_file() else "-",
        err=True,
    ).strip()
    return None if said == "-" else Path(said)


def _said(head: Mapping[str, str], folder: str) -> None:
    """What the form's file says of the record itself, and where that is changed."""
    names = {"key": ("clé", "key"), "date": ("date", "date"), "place": ("lieu", "place"), "worker": ("agent", "worker")}
    taken = ", ".join(f"{say(*names[key])} = {path}" for key, path in head.items() if path)
    err.print(
        say(
            f"Écrit ainsi : {escape(taken)}. Se change dans {folder} ; --date, --place et --worker le disent d'avance.",
            f"Written so: {escape(taken)}. Changed in {folder}; --date, --place and --worker say it beforehand.",
        )
    )


def _choose(proposals: list[Proposal], dictionary: Mapping[str, Concept]) -> dict[str, str]:
    """Ask for each field until the answer is one of the numbers or a name; Enter leaves it."""
    found: dict[str, str] = {}
    for one in proposals:
        kind = say(*_KINDS.get(one.field.kind, (one.field.kind, one.field.kind)))
        err.print(f"[bold]{escape(one.field.path)}[/] {escape(one.field.label)} ({kind})")
        for number, like in enumerate(one.concepts, 1):
            words = f" [dim]({', '.join(like.words)})[/]" if like.words else ""
            err.print(
                f"  {number}. {like.name} · {dictionary[like.name].name.get(say('fr', 'en'), '')} {like.score:.2f}{words}"
            )
        name = _asked([like.name for like in one.concepts])
        if name:
            found[one.field.path] = name
    return found


def _proposed(
    fields: Iterable[Field], accepted: Mapping[str, str], dictionary: Mapping[str, Concept]
) -> dict[str, dict[str, str]]:
    """The code table of each accepted question whose options are known, where every option is like some answer."""
    found = {}
    for one in fields:
        if one.kind == "choice" and one.options and one.path in accepted:
            concept = dictionary.get(accepted[one.path])
            if concept is None or concept.kind == "coded":
                found[one.path] = new_pack.codes_of(one, concept, dictionary)
    return {path: codes for path, codes in found.items() if codes}


def _meanings(
    fields: Sequence[Field], accepted: Mapping[str, str], dictionary: Mapping[str, Concept]
) -> dict[str, dict[str, str]]:
    """What the answers of each field mean, as a person says it; of known options a table is proposed. Empty: they stay
    text."""
    found: dict[str, dict[str, str]] = {}
    proposed = _proposed(fields, accepted, dictionary)
    for one in fields:
        if one.labels:
            err.print(escape(", ".join(f"{a} « {b} »" for a, b in zip(one.options, one.labels, strict=True) if b)))
        question = say(
            f"{one.name} : réponses et sens (m=male f=female), - pour garder le texte",
            f"{one.name}: answers and meanings (m=male f=female), - to keep the text",
        )
        default = " ".join(f"{code}={meaning}" for code, meaning in proposed.get(one.path, {}).items()) or "-"
        while (answer := str(typer.prompt(question, default=default, err=True)).replace(",", " ").split()) != ["-"]:
            pairs = [pair.partition("=") for pair in answer]
            if all(code and FACT_NAME.fits(meaning) for code, _, meaning in pairs):
                found[one.path] = {code: meaning for code, _, meaning in pairs}
                break
            err.print(say("Écrivez réponse=sens, sans espace ni accent.", "Write answer=meaning, no spaces."))
    return found


def _asked(proposed: list[str]) -> str:
    """The name of the fact that a person gives a field; empty: none."""
    numbers = ", ".join(str(number) for number in range(1, len(proposed) + 1))
    question = (
        say(f"{numbers}, un nouveau nom, ou Entrée pour laisser", f"{numbers}, a new name, or Enter to leave it")
        if proposed
        else say("Rien de proche. Un nom de fait, ou Entrée pour laisser", "None near. A name, or Enter to leave it")
    )
    while answer := typer.prompt(question, default="", show_default=False, err=True).strip():
        if answer.isdigit() and 1 <= int(answer) <= len(proposed):
            return proposed[int(answer) - 1]
        if FACT_NAME.fits(answer):
            return str(answer)
        err.print(
            say(
                f"{escape(answer)} : ni un des numéros, ni un nom (lettres, chiffres et _, sans accent ni espace).",
                f"{escape(answer)}: neither one of the numbers nor a name (letters, digits and _, no spaces).",
            )
        )
    return ""


def _told(folder: Path, files: list[str], proposals: list[Proposal], accepted: Mapping[str, str], json: bool) -> None:
    if json:
        json_out(
            {"pack": str(folder), "files": files, "accepted": dict(accepted), "fields": list(map(_shown, proposals))}
        )
        return
    out.print(say(f"[green]{folder}[/] : {len(files)} fichiers", f"[green]{folder}[/]: {len(files)} files"))
    out.print(
        say("Ensuite : ", "Next: ")
        + f"cd {folder} && set -a && . ./relais.env && set +a && relais check . && relais test ."
    )
    out.print(
        say(
            "Puis : une ligne par site dans org_units.csv, vos indicateurs dans indicators/, et des fiches d'essai dans le "
            "dossier que connector.yaml nomme (folder).\n"
            "L'essayer jusqu'à DHIS2, sur cette machine : relais sandbox serve --org-units org_units.csv dans un second "
            "terminal ; ici relais setup dhis2 --apply, relais run --dry-run, relais plan. Pas à pas : "
            "docs/try-in-the-sandbox.md",
            "Then: a line for each site in org_units.csv, your indicators in indicators/, and records to try in the folder "
            "that connector.yaml names (folder).\n"
            "Try it as far as DHIS2, on this machine: relais sandbox serve --org-units org_units.csv in a second terminal; "
            "here relais setup dhis2 --apply, relais run --dry-run, relais plan. Step by step: docs/try-in-the-sandbox.md",
        )
    )


def _shown(one: Proposal) -> dict[str, Any]:
    def likes(found: Iterable[Any]) -> list[dict[str, Any]]:
        return [{"name": like.name, "score": like.score, "words": list(like.words)} for like in found]

    return {
        "field": one.field.path, "label": one.field.label, "kind": one.field.kind,
        "concepts": likes(one.concepts), "elements": likes(one.elements),
    }  # fmt: skip
