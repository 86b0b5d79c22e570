"""Commands of match review: matches list, matches show, matches decide."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from connector.cli.app import Json, app, house, me
from connector.cli.output import json_out, out, say, table
from connector.engine import match_review

matches_app = typer.Typer(help="Rapprochements / match review", no_args_is_help=True)
app.add_typer(matches_app, name="matches")

Id = Annotated[int, typer.Argument(help="Number of the match, as `relais matches list` gives it.")]

AGREEMENTS = {
    "same": ("pareil", "same"), "close": ("proche", "close"), "compatible": ("compatible", "compatible"),
    "different": ("différent", "different"), "missing": ("absent", "missing"),
}  # fmt: skip
FIELDS = {
    "family": ("nom", "family name"), "given": ("prénom", "given name"), "sex": ("sexe", "sex"),
    "birth_date": ("naissance", "birth date"), "national": ("n° d'identité", "national identifier"),
}  # fmt: skip


@matches_app.command("list")
def matches_list(
    all: Annotated[bool, typer.Option("--all", help="Also those that are decided.")] = False, json: Json = False
) -> None:
    """Qui attend une réponse de la clinique. / Who waits for the clinic's answer."""
    with house(strict=False) as made:
        found = list(match_review.listed(made.engine, all=all))
    if json:
        json_out({"matches": found})
        return
    table(
        [say("n°", "no."), say("personne", "person"), say("depuis", "since"), say("dossiers", "patients"),
         say("références", "referrals"), say("réponse", "answer"), say("par", "by")],
        [[one["id"], one["person"], one["asked"][:16], one["candidates"], len(one["waiting"]), _answer(one),
          one["by"] or ""] for one in found],
    )  # fmt: skip


def _answer(one: dict[str, Any]) -> str:
    if one["decision"] == "same":
        return say(f"c'est {one['patient']}", f"it is {one['patient']}")
    return say("aucun d'eux", "none of them") if one["decision"] == "new" else ""


@matches_app.command("show")
def matches_show(id: Id, json: Json = False) -> None:
    """Les deux côtés, champ par champ. / Both sides, field by field. Reading it is written down in the audit."""
    with house(strict=False) as made:
        found = match_review.shown(made.engine, id, me())
    if json:
        json_out(found)
        return
    referral = found["referral"]
    out.print(
        say(
            f"{found['person']}, référée le {referral.get('date', '–')} : {referral.get('reason') or '–'}",
            f"{found['person']}, referred on {referral.get('date', '–')}: {referral.get('reason') or '–'}",
        )
    )
    for one in found["candidates"]:
        table(
            [one["number"], say("application", "app"), say("clinique", "clinic"), ""],
            [
                [say(*FIELDS[f["name"]]), f["ours"], f["theirs"], say(*AGREEMENTS[f["agreement"]])]
                for f in one["fields"]
            ],
            title=one["id"],
        )
    if found["decision"]:
        out.print(_answer(found))


@matches_app.command("decide")
def matches_decide(
    id: Id,
    same: Annotated[str | None, typer.Option("--same", help="It is she: id of the patient, as show gives it.")] = None,
    new: Annotated[bool, typer.Option("--new", help="None of them: a new patient is made.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the answer back.")] = False,
    note: Annotated[str, typer.Option(help="How you know; kept encrypted, a keyed hash of it in the audit.")] = "",
    json: Json = False,
) -> None:
    """Dire qui c'est. / Say who it is. The referral leaves with the next run; nobody is asked twice."""
    if sum((same is not None, new, undo)) != 1:
        raise typer.BadParameter("--same ID, --new or --undo")
    with house(strict=False) as made:
        if undo:
            found = match_review.undo(made.engine, id, note.strip(), me())
        else:
            found = match_review.decide(made.engine, id, same, note.strip(), me())
    if json:
        json_out(found)
        return
    out.print(
        say(
            f"Rapprochement {id} : {_answer(found) or 'sans réponse'}. La référence suit au prochain passage.",
            f"Match {id}: {_answer(found) or 'no answer'}. The referral follows with the next run.",
        )
    )
