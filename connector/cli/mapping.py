"""Commands of whoever keeps the pack: what a mapping makes of a record, before anything is kept or sent."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import orjson
import typer
from rich.markup import escape

from connector import bootstrap
from connector.cli.app import Json, app, leave
from connector.cli.output import err, json_out, out, plain, say, show_flags, table
from connector.engine import preview as previewing
from connector.errors import ConfigError
from connector.loading import load
from connector.mappings.examples import Results
from connector.mappings.pack import Pack
from connector.model import Severity
from connector.settings import Settings

#: Largest record read from a file or stdin, in bytes.
LARGEST = 5_000_000

#: Why an indicator did not count a record, where it is not a condition.
REASONS = {
    "no_amount": ("rien à ajouter : le montant manque ou vaut 0", "nothing to add: the amount is absent or 0"),
    "no_items": ("la liste est vide ou absente", "the list is empty or absent"),
    "no_org_unit": ("pas d'unité d'organisation à ce niveau", "no org unit at this level"),
    "failed": ("la condition ne peut pas être évaluée", "the condition cannot be evaluated"),
    "condition": ("condition non remplie", "condition not met"),
    "elsewhere": ("compte ailleurs", "counts elsewhere"),
}


def sound_pack(folder: Path | None) -> Pack:
    """The pack without its secrets. Raises ConfigError when it has errors."""
    settings = Settings.load()
    settings = settings.model_copy(update={"pack": folder}) if folder else settings
    pack, findings = load(settings, strict=False)
    if any(f.severity is Severity.ERROR for f in findings):
        raise ConfigError("the pack has errors: relais check", french="le paquet a des erreurs : relais check")
    return pack


def read_record(file: Path | None) -> dict[str, Any]:
    """One JSON document of a file, or of stdin. Raises BadParameter for what is none."""
    name = "stdin" if file is None or str(file) == "-" else str(file)
    try:
        if file is None or str(file) == "-":
            text = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with file.open("rb") as lines:
                text = lines.read(LARGEST + 1)
    except OSError as error:
        raise typer.BadParameter(f"{name}: {error.strerror}") from None
    if len(text) > LARGEST:
        raise typer.BadParameter(say(f"{name} : plus de {LARGEST} octets", f"{name}: more than {LARGEST} bytes"))
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(
            say(
                f"{name} n'est pas du JSON (ligne {error.lineno}, colonne {error.colno})",
                f"{name} is not JSON (line {error.lineno}, column {error.colno})",
            )
        ) from None
    if isinstance(found, list) and found:
        if len(found) > 1:
            err.print(say(f"La première de {len(found)} fiches.", f"The first of {len(found)} records."))
        found = found[0]
    if not isinstance(found, dict):
        raise typer.BadParameter(say(f"{name} : une fiche est un objet JSON", f"{name}: a record is a JSON object"))
    return found


@app.command()
def preview(
    form: Annotated[str, typer.Argument(help="Name of a form, or source/form.")],
    file: Annotated[Path | None, typer.Argument(help="The record as JSON; without it, or -: stdin.")] = None,
    person: Annotated[
        Path | None, typer.Option(help="The person's record as JSON, for age and sex; else they are unknown.")
    ] = None,
    pack: Annotated[Path | None, typer.Option()] = None,
    json: Json = False,
) -> None:
    """Une fiche à travers sa correspondance, sans rien garder. / One record through its mapping; nothing is kept."""
    made = sound_pack(pack)
    tried = previewing.bench(made)
    try:
        mapping = previewing.find_form(made, form)
    except previewing.FormUnknown as error:
        raise typer.BadParameter(say(f"formulaire inconnu : {error.french}", f"form not known: {error}")) from None
    body = read_record(file)
    known = None
    if person is not None:
        known = previewing.as_person(tried, mapping.source, read_record(person))
        if known is None:
            raise typer.BadParameter(
                say(f"{person} : aucun formulaire n'y lit une personne", f"{person}: no form reads a person there")
            )
    today = datetime.now(ZoneInfo(made.zone)).date()
    document = previewing.preview(tried, mapping, body, today, person=known)
    json_out(document) if json else show_preview(document)
    wrong = any(r["problems"] or r["second_opinion"] for r in document["resources"])
    leave(3 if document["error"] or wrong else 0)


def show_preview(document: dict[str, Any]) -> None:
    """The document for a person: what became of it first, then why the rest did not count it."""
    form = document["form"]
    out.print(f"[bold]{form['source']}/{form['name']}[/]  [dim]{form['file']} {form['version']}[/]")
    if document["error"]:
        _show_error(document["error"])
    activity = document["activity"]
    if activity:
        place = activity["org_unit"] or "?"
        out.print(f"{activity['kind']} · {activity['date']} · {activity['place'] or '–'} → {place}")
        if document["person"] and document["person"]["needed"] and not document["person"]["known"]:
            out.print(
                "[yellow]"
                + say(
                    "La personne n'est pas connue ici : âge et sexe par la fiche seule (--person FICHIER).",
                    "The person is not known here: age and sex by the record alone (--person FILE).",
                )
                + "[/]"
            )
    if document["entity"]:
        out.print(f"{document['entity']['kind']} {document['entity']['key']}")
    if document["facts"]:
        table(
            [say("fait", "fact"), say("valeur", "value"), ""],
            [
                [
                    f["name"],
                    "•••" if f["masked"] else plain(f["value"]),
                    _derived(f),
                ]
                for f in document["facts"]
            ],
        )
    show_flags(document["flags"])
    if document["referral"]:
        one = document["referral"]
        out.print(f"{say('référence vers', 'referral to')} {one['to'] or '–'} ({one['reason'] or '–'})")
    if document["resources"]:
        table(
            [say("ressource FHIR", "FHIR resource"), say("contrôle strict", "strict check"), "fhir.resources"],
            [[r["key"], _verdict(r["problems"]), _verdict(r["second_opinion"])] for r in document["resources"]],
        )
    if document["cells"]:
        table(
            [say("compte dans", "counts in"), say("unité", "org unit"), say("période", "period"), "n"],
            [[f"{c['data_element']} {c['combo']}", c["org_unit"], c["period"], c["amount"]] for c in document["cells"]],
        )
    if activity:
        show_not_counted(document["not_counted"])


def _derived(fact: dict[str, Any]) -> str:
    """An age under a name of the form's own is no contradiction: indicators know only these two."""
    if fact["implausible"]:
        return say("invraisemblable", "implausible")
    if not fact["derived"]:
        return ""
    if fact["name"] == "age_known" and fact["value"] is False:
        return say(
            "déduit : ni date de naissance, ni reported_age_months", "derived: no birth date or reported_age_months"
        )
    return say("déduit", "derived")


def _show_error(error: dict[str, Any]) -> None:
    reason = bootstrap.REASONS.get(error["code"])
    where = f"{error['file'] or ''}{':' + str(error['line']) if error['line'] else ''} {error['path'] or ''}"
    out.print(f"[bold red]{error['code']}[/] {escape(where.strip())} {escape(error['detail'] or '')}")
    if reason:
        out.print(f"    {say(reason.fr, reason.en)}")


def _verdict(problems: list[str]) -> str:
    return "[green]ok[/]" if not problems else "[bold red]" + escape("; ".join(problems[:3])) + "[/]"


def show_not_counted(rows: list[dict[str, Any]]) -> None:
    """Indicator by indicator the comparison that failed, and the facts behind it."""
    if not rows:
        return
    out.print(say("Ne compte pas dans :", "Does not count in:"), style="bold")
    for row in rows:
        item = say(f", élément {row['item'] + 1}", f", item {row['item'] + 1}") if row["item"] is not None else ""
        name = row["name"].get(say("fr", "en"), "")
        out.print(f"  [bold]{row['indicator']}[/] {escape(name)}{item}  [dim]{row['file']}:{row['line']}[/]")
        if row["reason"] != "condition" or not row["comparisons"]:
            out.print(f"      {say(*REASONS[row['reason']])}: {escape(row['condition'])}")
        for one in row["comparisons"]:
            values = f"  [dim]({escape(one['values'])})[/]" if one["values"] else ""
            mark = "[red]✗[/]" if one["result"] != "true" else "[green]✓[/]"
            out.print(f"      {'  ' * one['depth']}{mark} {escape(one['text'])}{values}")


# ---------------------------------------------------------------- relais test


def show_failures(results: Results) -> None:
    """Example by example what it expects (−) and what it gave (+)."""
    shown: tuple[str, int] | None = None
    for one in results.failures:
        if (one.file, one.line) != shown:
            shown = (one.file, one.line)
            out.print(f"[bold]{escape(one.example)}[/]  [dim]{one.file}:{one.line}[/]")
        if not one.what:
            out.print(f"    [red]{escape(one.difference)}[/]")
            continue
        out.print(f"  [red]- {escape(one.what)}: {escape(_written(one.wanted))}[/]")
        out.print(f"  [green]+ {escape(one.what)}: {escape(_written(one.found))}[/]")


def _written(value: Any) -> str:
    """As an example says it."""
    if value is None:
        return say("(absent)", "(absent)")
    if isinstance(value, bool | list | dict):
        return orjson.dumps(value, default=str).decode()
    return str(value)


def show_results(results: Results) -> None:
    """How many passed, and what no example reaches, file by file."""
    out.print(
        say(f"{results.passed} réussis, {results.failed} en échec", f"{results.passed} passed, {results.failed} failed")
    )
    if not results.unexercised:
        return
    out.print("[yellow]" + say("Sans exemple :", "Without an example:") + "[/]")
    groups: dict[str, list[str]] = {}
    for one in results.unexercised:
        group, _, rest = one.partition(": ")
        groups.setdefault(group if rest else "", []).append(rest or one)
    for group, names in groups.items():
        out.print(f"  {escape(group)}{': ' if group else ''}{escape(', '.join(names))}")
