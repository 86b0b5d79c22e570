"""Commands of an operator: retry, park, resolve; pause, resume, try now. Nothing is ever deleted by one of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from connector import bootstrap
from connector.cli.app import Json, app, house, leave, me, run_async
from connector.cli.looking import Where, chosen, pause_words
from connector.cli.output import Watching, err, json_out, out, say, state
from connector.engine import status as standing
from connector.engine import trying
from connector.engine.actions import Actions
from connector.engine.status import span

Name = Annotated[str, typer.Argument(help="Name of a source or a target.")]


@app.command()
def retry(
    ids: Annotated[list[int] | None, typer.Argument(help="Numbers of deliveries.")] = None,
    where: Where = None,
    selection: Annotated[int | None, typer.Option(help="Go on with a selection that was interrupted.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many; write nothing.")] = False,
    json: Json = False,
) -> None:
    """Réessayer des envois. / Retry deliveries.

    Which ones is written down first; they become due in the order received. Ctrl-C leaves the rest as it is.
    """
    filters = chosen(where)
    if not (ids or filters or selection):
        raise typer.BadParameter(say("donner des numéros ou --where", "give ids or --where"))
    with house() as made:
        actions = Actions(made.engine)
        if dry_run:
            found = {"selection": None, **actions.standing(ids or [], filters), "retried": 0}
            json_out(found) if json else _tell(found)
            return
        if selection is None:
            found = actions.standing(ids or [], filters)
            number = actions.freeze(ids or [], filters, me())
            _tell({"selection": number, **found})
        elif made.store.read(lambda unit: unit.selection(selection)) is None:
            raise typer.BadParameter(say(f"pas de sélection {selection}", f"no selection {selection}"))
        else:
            number = selection
        interrupted = False
        try:
            with Watching() as step:
                counts = actions.retry_selection(number, me(), lambda count: step("retry", count))
        except KeyboardInterrupt:
            interrupted = True
            counts = actions.cancel_selection(number, me())
    total = sum(counts.values())
    document = {
        "selection": number,
        "chosen": total,
        "retried": counts["retried"] + counts["quiet"],
        "held": counts["held_already"],
        **{name: counts[name] for name in ("quiet", "moved_on", "left")},
        "cancelled": interrupted,
    }
    if json:
        json_out(document)
    else:
        out.print(
            say(
                f"{document['retried']} sur {total} remis en file, {counts['held_already']} déjà à la cible, "
                f"{counts['quiet']} après leur temps de silence",
                f"{document['retried']} of {total} queued again, {counts['held_already']} held by the target already, "
                f"{counts['quiet']} after their quiet time",
            )
        )
    if interrupted:
        err.print(
            say(
                f"Interrompu : {counts['left']} n'ont pas été touchés. Reprendre : relais retry --selection {number}",
                f"Interrupted: {counts['left']} were not touched. To go on: relais retry --selection {number}",
            )
        )
        leave(130)


def _tell(found: dict[str, Any]) -> None:
    number = f" {found['selection']}" if found.get("selection") else ""
    err.print(
        say(
            f"Sélection{number} : {found['chosen']} envois, dont {found['held']} déjà à la cible, "
            f"{found['sending']} en cours d'envoi, {found['uncertain']} incertains",
            f"Selection{number}: {found['chosen']} deliveries, of which {found['held']} held by the target already, "
            f"{found['sending']} on their way, {found['uncertain']} uncertain",
        )
    )


@app.command()
def park(
    ids: Annotated[list[int], typer.Argument(help="Numbers of deliveries.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the delivery.")],
    json: Json = False,
) -> None:
    """Mettre des envois de côté. / Park deliveries."""
    _written(reason, "--reason")
    with house() as made:
        count = Actions(made.engine).park(ids, reason, me())
    _done(json, {"parked": count, "left": len(ids) - count}, ids, count)


@app.command()
def resolve(
    ids: Annotated[list[int], typer.Argument(help="Numbers of parked deliveries.")],
    note: Annotated[str, typer.Option(help="What was settled, and how; kept with the delivery.")],
    json: Json = False,
) -> None:
    """Classer avec une note. / Resolve with a note."""
    _written(note, "--note")
    with house() as made:
        count = Actions(made.engine).resolve(ids, note, me())
    _done(json, {"resolved": count, "left": len(ids) - count}, ids, count)


def _written(text: str, option: str) -> None:
    if not text.strip():
        raise typer.BadParameter(say(f"{option} ne peut être vide", f"{option} must not be empty"))


def _done(json: bool, document: dict[str, Any], ids: list[int], count: int) -> None:
    if json:
        json_out(document)
        return
    out.print(say(f"{count} sur {len(ids)}", f"{count} of {len(ids)}"))
    if count < len(ids):
        err.print(
            say(
                "Les autres ont changé d'état ou n'existent pas ; rien n'y a été touché. Voir : relais deliveries",
                "The others have moved on or do not exist; they were not touched. See: relais deliveries",
            )
        )


def _known(made: bootstrap.House, name: str) -> None:
    names = [*made.engine.pack.sources, *made.engine.pack.targets]
    if name not in names:
        raise typer.BadParameter(f"{name}: {', '.join(names)}")


def until_of(text: str, zone: str, now: datetime) -> datetime:
    """A span from now (``2h``), a day (its end, in the pack's zone) or a moment. Raises BadParameter for another text,
    or for what is past."""
    try:
        if text[-1:] in "smhd" and text[:-1].replace(".", "").isdigit():
            until = now + span(text)
        else:
            until = datetime.fromisoformat(text.replace("Z", "+00:00"))
            if len(text) == 10:
                until = until.replace(hour=23, minute=59, second=59)
            until = until if until.tzinfo else until.replace(tzinfo=ZoneInfo(zone))
    except ValueError:
        raise typer.BadParameter(f"--until {text}: 2h, 3d, 2026-11-30, 2026-11-30T18:00") from None
    if until <= now:
        raise typer.BadParameter(say(f"--until {text} est passé", f"--until {text} is in the past"))
    return until.astimezone(UTC)


@app.command()
def pause(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why; shown by status.")],
    until: Annotated[
        str | None, typer.Option(help="2h, 3d, a day or a moment; then it goes on by itself. Without: until resumed.")
    ] = None,
    json: Json = False,
) -> None:
    """Mettre une connexion en pause. / Pause a connection."""
    _written(reason, "--reason")
    with house(strict=False) as made:
        _known(made, name)
        ends = until_of(until, made.pack.zone, made.engine.clock.now()) if until else None
        Actions(made.engine).pause(name, reason, ends, me())
        one = _connection(made, name)
    json_out({"paused": name, **one["paused"]}) if json else out.print(f"{name}: {pause_words(one['paused'])}")


def _connection(made: bootstrap.House, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in standing.status(made.engine, "")["connections"] if c["name"] == name)
    return found


@app.command()
def resume(name: Name, json: Json = False) -> None:
    """Reprendre une connexion. / Resume a connection."""
    with house(strict=False) as made:
        _known(made, name)
        Actions(made.engine).resume(name, me())
        one = _connection(made, name)
    json_out({"resumed": name, "state": one["state"]}) if json else out.print(f"{name}: {state(one['state'])}")


@app.command("try-now")
def try_now(name: Name, json: Json = False) -> None:
    """Ne plus attendre : un essai tout de suite. / Do not wait any longer: one try at once."""
    with house() as made:
        _known(made, name)
        counts = run_async(made, lambda: trying.now(made.engine, name, me()))
        one = _connection(made, name)
    if json:
        json_out({"name": name, "state": one["state"], "reason": one["reason"], **counts})
    else:
        out.print(f"{name}: {state(one['state'])} {one['reason'] or ''}")
    leave(
        0
        if one["state"] in ("ok", "running", "never_run")
        else standing.exit_code({"state": one["state"], "connections": [one]})
    )
