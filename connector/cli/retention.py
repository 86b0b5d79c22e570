"""Commands of retention and keys: purge, erase, rekey."""

from __future__ import annotations

from typing import Annotated

import typer

from connector import bootstrap, crypto
from connector.cli.app import Json, app, house, me
from connector.cli.output import Watching, err, json_out, out, say, table
from connector.engine import audit, erasing, rekeying, retention
from connector.engine.engine import stamp
from connector.errors import ConfigError
from connector.settings import Settings
from connector.store.keeping import ENCRYPTED


@app.command()
def purge(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how much; write nothing.")] = False,
    json: Json = False,
) -> None:
    """Oublier ce qui est assez ancien ; les chiffres restent. / Forget what is old enough; the figures stay."""
    with house() as made, Watching() as step:
        made.engine.progress = step
        found = retention.purge(made.engine, dry_run=dry_run)
    if json:
        json_out(found)
        return
    words = {
        "records": say("fiches", "records"),
        "bodies": say("contenus", "bodies"),
        "answers": say("réponses", "answers"),
        "activities": say("activités", "activities"),
        "requests": say("demandes abrégées", "requests shortened"),
        "keys": say("clés détruites", "keys destroyed"),
        "waiting": say("assez anciennes, mais quelque chose les attend", "old enough, but something waits for them"),
    }
    table([say("quoi", "what"), "n"], [[word, found[name]] for name, word in words.items()])
    if dry_run:
        out.print(say("Essai : rien n'a été écrit.", "Dry run: nothing was written."))


@app.command()
def erase(
    source: Annotated[str, typer.Argument(help="The source that knows the person.")],
    key: Annotated[str, typer.Argument(help="The person's id there.")],
    reason: Annotated[str, typer.Option(help="Why; the audit keeps a keyed hash of it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Oublier une personne qui le demande. / Forget a person who asks for it.

    Irrevocable. Figures stay; the clinic's own record is the clinic's. Forget her at the source first.
    """
    if not reason.strip():
        raise typer.BadParameter(say("--reason ne peut être vide", "--reason must not be empty"))
    with house() as made:
        if source not in made.engine.pack.sources:
            raise typer.BadParameter(f"{source}: {', '.join(made.engine.pack.sources)}")
        records = erasing.find(made.engine, source, key)
        if not records:
            raise typer.BadParameter(say("Personne de ce numéro ici.", "Nobody of that id here."))
        if not yes:
            question = say(
                f"{len(records)} fiches seront oubliées. Continuer ?", f"{len(records)} records are forgotten. Go on?"
            )
            typer.confirm(question, abort=True, err=True)
        found = erasing.erase(made.engine, source, key, reason, me())
    json_out(found) if json else out.print(
        say(
            f"{found['records']} fiches oubliées ; {found['resources']} ressources FHIR à retirer au prochain envoi. Les chiffres restent.",
            f"{found['records']} records forgotten; {found['resources']} FHIR resources to be removed with the next delivery. Figures stay.",
        )
    )


@app.command()
def rekey(
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Also encrypt everything with fresh data keys (long; can be interrupted).")
    ] = False,
    json: Json = False,
) -> None:
    """Changer la clé maîtresse (RELAIS_NEW_MASTER_KEY). / Change the master key (RELAIS_NEW_MASTER_KEY)."""
    settings = Settings.load()
    old, new = bootstrap.master_key(settings), bootstrap.new_master_key(settings)
    if new is None and not fresh:
        raise ConfigError(
            'RELAIS_NEW_MASTER_KEY (or _FILE) is not set. Nothing was changed. Make a key with "relais key new", set '
            "it beside the present one everywhere Relais runs, restart, then give this command again.",
            french="RELAIS_NEW_MASTER_KEY (ou _FILE) n'est pas défini. Rien n'a été modifié. Créez une clé avec « relais "
            "key new », définissez-la à côté de l'actuelle partout où Relais tourne, redémarrez, puis relancez cette "
            "commande.",
        )
    if new == old:
        raise ConfigError(
            'The new master key is the present one. Nothing was changed. Make one with "relais key new".',
            french="La nouvelle clé maîtresse est l'actuelle. Rien n'a été modifié. Créez-en une avec « relais key new ».",
        )
    count, values = 0, {}
    with house(strict=False) as made, Watching() as step:
        made.engine.progress = step
        if new is not None:

            def work(unit: object) -> int:
                wrapped = crypto.rekey(unit.connection, old, new)
                if wrapped:
                    audit.record(
                        unit, at=stamp(made.engine.clock.now()), event="key.changed", who=me(), subject=made.pack.id,
                        detail={"keys": wrapped},
                    )  # fmt: skip
                return wrapped

            count = made.store.write(work)
        if fresh:
            values = rekeying.again(
                made.engine, ENCRYPTED, crypto.fresh_keys, lambda blob: crypto.generation_of(crypto.key_of(blob))
            )
    if json:
        json_out({"keys": count, "already": new is not None and not count, "values": values})
        return
    out.print(say(f"{count} clés de données sous la nouvelle clé", f"{count} data keys under the new key"))
    if values:
        table([say("table", "table"), "n"], list(values.items()))
    if new is not None:
        err.print(
            say(
                "Donnez maintenant la nouvelle clé comme RELAIS_MASTER_KEY et retirez RELAIS_NEW_MASTER_KEY, à votre heure. "
                "Gardez l'ancienne aussi longtemps que les sauvegardes faites avec elle.",
                "Now give the new key as RELAIS_MASTER_KEY and take RELAIS_NEW_MASTER_KEY away, at your own time. "
                "Keep the old one as long as the backups made with it.",
            )
        )
