"""Commands about a change of the pack: what it would do to stored records, counting history again, mapping again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from connector import bootstrap
from connector.cli.app import Json, app, house, leave, me
from connector.cli.output import Watching, err, json_out, out, say, state, table
from connector.engine import backfilling, rehearsing
from connector.settings import Settings

map_app = typer.Typer(
    no_args_is_help=True, help="Changements de correspondances. / Changes of mappings.",
)  # fmt: skip
app.add_typer(map_app, name="map")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, figure by figure; change nothing.")]


@map_app.command("diff")
def map_diff(
    pack: Annotated[Path | None, typer.Argument(help="The changed pack; else the one in use.")] = None,
    json: Json = False,
) -> None:
    """Ce qu'un paquet changé ferait aux fiches et aux chiffres gardés. / What a changed pack does to what is stored.

    Tried on a copy that is deleted at the end; the database is only read. Exit code 3 when a figure would be another one
    or a record would go to quarantine.
    """
    settings = Settings.load()
    with bootstrap.rehearsal(settings, pack) as (before, made):
        _tell(_rehearsed(before, made), json)


Seen = Annotated[
    str | None, typer.Option("--seen", help="What --dry-run showed (its seen): do it only if that is still so.")
]


@app.command()
def backfill(
    indicators: Annotated[list[str], typer.Argument(help="Ids of indicators.")],
    periods: Annotated[str, typer.Option("--periods", help="A..B: the first and the last period, or one.")],
    dry_run: DryRun = False,
    seen: Seen = None,
    json: Json = False,
) -> None:
    """Recompter l'histoire d'indicateurs. / Count the history of indicators again.

    Their records of these periods are mapped and counted again by the next runs, step by step beside what is current; how
    far that is, relais status says. Who asked, for how many records and cells, stands in the audit trail, with --seen also
    what a dry run showed before. What was sent is corrected as any change is. Purged records keep the figures they had.
    """
    settings, approved = Settings.load(), None
    if dry_run or seen:
        with bootstrap.rehearsal(settings) as (before, made):
            _scope(made, indicators, periods)
            backfilling.ask(made.engine, indicators, *_ends(periods), me())
            approved = _approved(_rehearsed(before, made), dry_run, seen, json)
    with house() as made:
        _scope(made, indicators, periods)
        job = backfilling.ask(made.engine, indicators, *_ends(periods), me(), approved)
    _asked(job, {"records": job["records"], "cells": job["cells"], "job": job["id"]}, json)


@app.command()
def remap(
    source: Annotated[str | None, typer.Option(help="Only records of this source.")] = None,
    code: Annotated[str | None, typer.Option(help="Only those quarantined for this reason.")] = None,
    dry_run: DryRun = False,
    seen: Seen = None,
    json: Json = False,
) -> None:
    """Traduire à nouveau ce qui est en quarantaine. / Map the quarantined records again.

    The next runs do it step by step beside what is current; who asked stands in the audit trail.
    """
    where = {name: value for name, value in (("source", source), ("code", code)) if value}
    approved = None
    if dry_run or seen:
        with bootstrap.rehearsal(Settings.load()) as (before, made):
            backfilling.ask_remap(made.engine, where, me())
            approved = _approved(_rehearsed(before, made), dry_run, seen, json)
    with house() as made:
        job = backfilling.ask_remap(made.engine, where, me(), approved)
    _asked(job, {"remapped": job["records"], "job": job["id"]}, json)


def _approved(document: dict[str, Any], dry_run: bool, seen: str | None, json: bool) -> dict[str, Any]:
    """What was seen, to be kept with the approval. Leaves after a dry run, and when it is not what was seen."""
    if dry_run:
        _tell(document, json)
    if document["seen"] != seen:
        err.print(
            say(
                "Les chiffres qui changeraient ne sont plus ceux qui ont été montrés. Rien n'a été changé. Regarder à "
                "nouveau : --dry-run",
                "The figures that would change are not those that were shown. Nothing was changed. Look again: --dry-run",
            )
        )
        if json:
            json_out(document)
        leave(3)
    return rehearsing.counts_of(document)


def _asked(job: dict[str, Any], document: dict[str, Any], json: bool) -> None:
    if json:
        json_out(document)
        return
    out.print(
        say(
            f"{job['records']} fiches seront reprises par étapes, à partir du prochain passage : relais run ; où cela en "
            "est : relais status",
            f"{job['records']} records will be taken up step by step from the next run on: relais run; how far it is: "
            "relais status",
        )
    )


def _ends(periods: str) -> tuple[str, str]:
    first, _, last = periods.partition("..")
    return first, last or first


def _scope(made: bootstrap.House, indicators: list[str], periods: str) -> None:
    unknown = [one for one in indicators if one not in made.pack.indicators]
    if unknown:
        raise typer.BadParameter(
            say(
                f"Pas d'indicateur {', '.join(unknown)} dans le paquet. Rien n'a été changé. Les voir : relais check, "
                "docs/indicators.md",
                f"There is no indicator {', '.join(unknown)} in the pack. Nothing was changed. See docs/indicators.md",
            )
        )
    try:
        backfilling.days(*_ends(periods))
    except ValueError as error:
        raise typer.BadParameter(f"--periods {periods}: 202601..202606") from error


def _rehearsed(before: Any, made: bootstrap.House) -> dict[str, Any]:
    with Watching() as step:
        made.engine.progress = step
        counts = rehearsing.run(made.engine)
    return rehearsing.compare(before, made.store, counts)


def _tell(document: dict[str, Any], json: bool) -> None:
    """Print it and leave."""
    differs = any(document[what] for what in ("new", "changed", "removed")) or any(
        one["after"] > one["before"] for one in document["quarantine"].values()
    )
    if json:
        json_out(document)
        leave(3 if differs else 0)
    out.print(
        say(
            f"{document['mapped']} fiches traduites à nouveau ; + {document['new']} chiffres nouveaux  "
            f"~ {document['changed']} changés  − {document['removed']} retirés  = {document['same']} inchangés",
            f"{document['mapped']} records mapped again; + {document['new']} new figures  ~ {document['changed']} changed  "
            f"− {document['removed']} removed  = {document['same']} same",
        )
    )
    if document["items"]:
        table(
            ["", say("où", "where"), say("avant", "before"), say("après", "after"), say("accepté", "accepted")],
            [
                [
                    {"new": "+", "changed": "~", "removed": "−"}[one["what"]],
                    f"{one['data_element']} {one['combo']} {one['org_unit']} {one['period']}",
                    one["before"],
                    one["after"],
                    one["accepted"],
                ]
                for one in document["items"][:40]
            ],
        )
    for one in document["forms"]:
        was, now = (
            ", ".join(f"{count} {state(name)}" for name, count in sorted(one[when].items())) or "0"
            for when in ("before", "after")
        )
        out.print(f"{one['source']}/{one['form'] or '–'}: {was} → {now}")
    for code, counts in document["quarantine"].items():
        out.print(f"{code}: {counts['before']} → {counts['after']}")
    out.print(f"seen: {document['seen']}")
    leave(3 if differs else 0)
