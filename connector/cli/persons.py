"""Commands for people registered twice: person same, person list."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.cli.app import Json, app, house, me
from connector.cli.output import json_out, out, say, table
from connector.engine import same_person

person_app = typer.Typer(
    help="Dire qu'une personne fut inscrite deux fois. / Say that a person was registered twice.", no_args_is_help=True
)
app.add_typer(person_app, name="person")


@person_app.command("same")
def person_same(
    kept: Annotated[str, typer.Argument(help="SOURCE/ID that is kept.")],
    other: Annotated[str, typer.Argument(help="SOURCE/ID of her other registration.")],
    note: Annotated[str, typer.Option(help="How you know; kept encrypted, a keyed hash of it in the audit.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take it back: they are two people.")] = False,
    json: Json = False,
) -> None:
    """Deux inscriptions sont la même personne. / Two registrations are the same person.

    Figures, episodes, FHIR and open referrals follow with the next run, and go back with --undo.
    """
    ids = same_person.named(kept), same_person.named(other)
    with house() as made:
        act = same_person.undo if undo else same_person.declare
        found = act(made.engine, *ids, note.strip(), me())
    if json:
        json_out(found)
        return
    ids_of = ", ".join(found["ids"]) or say("aucun autre", "no other")
    out.print(
        say(
            f"{found['kept']} : comptée sous cet identifiant, avec {ids_of}. Les chiffres suivent au prochain passage.",
            f"{found['kept']}: counted under this id, together with {ids_of}. Figures follow with the next run.",
        )
    )


@person_app.command("list")
def person_list(json: Json = False) -> None:
    """Les personnes inscrites deux fois. / The people registered twice."""
    with house(strict=False) as made:
        found = list(same_person.listed(made.engine))
    if json:
        json_out({"persons": found})
        return
    table(
        [say("identifiant", "id"), say("même que", "same as"), say("compté sous", "counted under"), say("par", "by"),
         say("quand", "when"), say("note", "note")],
        [[one["id"], one["same_as"], one["kept"], one["by"], one["at"][:16], one["note"]] for one in found],
    )  # fmt: skip
