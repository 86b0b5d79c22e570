"""``relais setup dhis2`` and ``relais setup openmrs``: the metadata the pack needs at a target, shown or made."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.markup import escape
from rich.text import Text

from connector import bootstrap
from connector.cli.app import Json, app, house, leave, me, run_async
from connector.cli.checking import in_words
from connector.cli.output import entries, err, json_out, out, say
from connector.engine import setting_up
from connector.engine.setting_up import SetUp

setup_app = typer.Typer(
    help="Ce que le paquet demande aux cibles / what the pack needs at its targets", no_args_is_help=True
)
app.add_typer(setup_app, name="setup")

Apply = Annotated[bool, typer.Option("--apply", help="Make there what is missing and can be made.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Write what is missing to this file, for an administrator to import.")
]
Target = Annotated[str | None, typer.Option(help="Name of the target, where the pack has several of the kind.")]
User = Annotated[
    str | None, typer.Option(help="An account that may change metadata; used for this alone and not kept.")
]
Password = Annotated[str | None, typer.Option(help="Asked for when not given; better not given.")]

#: kind of a lack -> French, English, both plural: what they are, not how many
_KINDS = {
    "category_option": ("options de catégorie", "category options"),
    "category": ("catégories", "categories"),
    "category_combo": ("combinaisons de catégories", "category combinations"),
    "option_combo_code": ("codes de combinaisons d'options", "codes of option combinations"),
    "data_element": ("éléments de données", "data elements"),
    "data_set": ("ensembles de données", "data sets"),
    "data_set_element": ("éléments à mettre dans un ensemble", "elements to add to a data set"),
    "data_set_org_unit": ("unités à affecter à un ensemble", "org units to assign to a data set"),
    "org_unit": ("unités d'organisation", "org units"),
    "module": ("modules", "modules"),
    "identifier_type": ("types d'identifiant", "identifier types"),
    "identifier_source": ("sources d'identifiants", "identifier sources"),
    "encounter_type": ("types de rencontre", "encounter types"),
    "encounter_role": ("rôles de soignants", "roles of providers"),
    "provider": ("soignants", "providers"),
    "location": ("lieux", "locations"),
    "concept": ("concepts", "concepts"),
    "appointment_service": ("services de rendez-vous", "appointment services"),
    "appointment_service_uuid": ("uuid de services à écrire", "uuids of services to write down"),
    "identifier_source_uuid": ("uuid de sources à écrire", "uuids of sources to write down"),
    "concept_source": ("dictionnaires de codes", "sources of codes"),
    "privilege": ("privilèges", "privileges"),
    "role": ("rôles de comptes", "roles of accounts"),
    "role_privileges": ("rôles à compléter", "roles to add privileges to"),
    "account": ("comptes", "accounts"),
    "account_role": ("comptes à qui donner un rôle", "accounts to give a role"),
}


@setup_app.command("dhis2")
def setup_dhis2(
    apply: Apply = False,
    out_file: Out = None,
    user: User = None,
    password: Password = None,
    target: Target = None,
    json: Json = False,
) -> None:
    """Montrer ou créer les métadonnées du paquet dans DHIS2. / Show or make the pack's metadata in DHIS2.

    Categories, options, combinations, data elements and data sets with their org units are known by code; what is there
    is never changed, only added to. A second --apply makes nothing.
    """
    _set_up("dhis2", apply, out_file, user, password, target, json)


@setup_app.command("openmrs")
def setup_openmrs(
    apply: Apply = False,
    out_file: Out = None,
    user: User = None,
    password: Password = None,
    target: Target = None,
    json: Json = False,
) -> None:
    """Montrer ou créer ce que openmrs.yaml nomme dans OpenMRS. / Show or make what openmrs.yaml names in OpenMRS.

    Encounter types, identifier types and their source of numbers, locations, the provider, concepts with their CIEL
    mappings, appointment services, and a role for Relais's account. A uuid that OpenMRS chooses itself is shown, to be
    written into openmrs.yaml. What is there is only added to; a second --apply makes nothing.
    """
    _set_up("openmrs", apply, out_file, user, password, target, json)


def _set_up(
    kind: str,
    apply: bool,
    out_file: Path | None,
    user: str | None,
    password: str | None,
    target: str | None,
    json: bool,
) -> None:
    if user and password is None:
        password = typer.prompt(say("Mot de passe", "Password"), hide_input=True, err=True)
    with house() as made:
        targets = [t for t in made.pack.targets.values() if t.kind == kind and target in (None, t.name)]
        if not targets:
            known = ", ".join(t.name for t in made.pack.targets.values() if t.kind == kind)
            raise typer.BadParameter(
                say(f"le paquet n'a pas de cible {target or kind}", f"the pack has no target {target or kind}")
                + (f": {known}" if known else "")
            )
        setup = bootstrap.setup_of(made, targets[0], user, password)

        async def work() -> SetUp:
            return await (setting_up.apply(made.engine, setup, me()) if apply else setting_up.look(setup))

        result = run_async(made, work)
    if out_file is not None:
        out_file.write_bytes(orjson.dumps(dict(result.survey.package), option=orjson.OPT_INDENT_2) + b"\n")
    if json:
        json_out(result.document(targets[0].name))
    else:
        _show(result, out_file)
    leave(3 if result.survey.lacks or result.refused else 0)


def _show(result: SetUp, out_file: Path | None) -> None:
    for kind, count in Counter(one.kind for one in result.created).items():
        out.print(f"[green]+[/] {say(*_KINDS.get(kind, (kind, kind)))}{say(' :', ':')} {count}")
    for finding in result.refused:
        said, _, remedy = in_words(finding)
        out.print(Text(said, "bold red"))
        if remedy:
            out.print(Text(remedy))
    lacks = result.survey.lacks
    if not lacks:
        out.print(say("[green]Rien ne manque.[/]", "[green]Nothing is missing.[/]"))
        return
    makeable = [one for one in lacks if one.makeable]
    entries(
        [say("manque", "missing"), "code", say("nom", "name")],
        [
            (
                [say(*_KINDS.get(one.kind, (one.kind, one.kind))), escape(one.code), escape(one.name)],
                [escape(say(one.french, one.why))],
            )
            for one in sorted(lacks, key=lambda one: one.makeable)[:200]
        ],
    )
    if len(lacks) > 200:
        out.print(say(f"… et {len(lacks) - 200} autres (--json)", f"… and {len(lacks) - 200} more (--json)"))
    err.print(_missing(len(lacks), len(makeable)))
    if out_file is not None:
        err.print(say(f"Écrit : {out_file}", f"Written: {out_file}"))


def _missing(lacks: int, makeable: int) -> str:
    """How much is missing, how much of it Relais can make, and how."""
    counted = say(f"Objets qui manquent : {lacks}", f"Objects missing: {lacks}")
    if not makeable:
        return counted + say(". Relais n'en peut créer aucun.", ". Relais can make none of them.")
    if makeable < lacks:
        counted += say(f", dont Relais peut créer {makeable}", f", of which Relais can make {makeable}")
    else:
        counted += say(". Relais peut tout créer", ". Relais can make everything")
    return counted + say(
        " : --apply (avec --user d'un administrateur si le compte du paquet n'en a pas le droit), ou --out FICHIER pour "
        "un import à la main.",
        ": --apply (with --user of an administrator where the pack's account may not), or --out FILE for an import by "
        "hand.",
    )
