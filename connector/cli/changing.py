"""Commands about a change of the pack: what it would do to stored records, counting history again, mapping again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from connector import bootstrap
from connector.cli.app import Json, app, house, leave, me
from connector.cli.output import Watching, json_out, out, say, state, table
from connector.engine import backfilling, rehearsing
from connector.engine.actions import Actions
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


@app.command()
def backfill(
    indicators: Annotated[list[str], typer.Argument(help="Ids of indicators.")],
    periods: Annotated[str, typer.Option("--periods", help="A..B: the first and the last period, or one.")],
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Recompter l'histoire d'indicateurs. / Count the history of indicators again.

    Their records of these periods are mapped and counted again by the next run; who asked for it stands in the audit
    trail. What was sent is corrected as any change is. Purged records keep the figures they had.
    """
    if dry_run:
        with bootstrap.rehearsal(Settings.load()) as (before, made):
            _scope(made, indicators, periods)
            backfilling.mark(made.engine, indicators, *_ends(periods), me())
            _tell(_rehearsed(before, made), json)
    with house() as made:
        _scope(made, indicators, periods)
        count = backfilling.mark(made.engine, indicators, *_ends(periods), me())
    if json:
        json_out({"records": count})
    else:
        out.print(
            say(
                f"{count} fiches seront recomptées au prochain passage : relais run",
                f"{count} records will be counted again by the next run: relais run",
            )
        )


@app.command()
def remap(
    source: Annotated[str | None, typer.Option(help="Only records of this source.")] = None,
    code: Annotated[str | None, typer.Option(help="Only those quarantined for this reason.")] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Traduire à nouveau ce qui est en quarantaine. / Map the quarantined records again."""
    where = {name: value for name, value in (("source", source), ("code", code)) if value}
    if dry_run:
        with bootstrap.rehearsal(Settings.load()) as (before, made):
            Actions(made.engine).remap_where(where, me())
            _tell(_rehearsed(before, made), json)
    with house() as made:
        count = Actions(made.engine).remap_where(where, me())
    json_out({"remapped": count}) if json else out.print(str(count))


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
    leave(3 if differs else 0)
