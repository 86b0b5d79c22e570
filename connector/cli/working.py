"""Commands that do the work: run, serve, demo, reconcile."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Any

import typer

from connector import __version__, bootstrap
from connector.cli.app import Json, app, house, leave, me, run_async
from connector.cli.output import Watching, err, flagged_words, json_out, local, out, say, state, table
from connector.engine import reconcile as reconciling
from connector.engine import runs
from connector.engine.status import span


def _headline(summary: dict[str, Any], dry_run: bool) -> str:
    """``outcome`` speaks of deliveries alone; who reads one line only must not take it for more."""
    if dry_run:
        return say(
            "[yellow]À blanc : rien n'a été envoyé[/] (relais plan montre ce qui partirait)",
            "[yellow]Dry run: nothing was sent[/] (relais plan shows what would be)",
        )
    if summary["outcome"] == "settled" and set(summary.get("errors", {})) & set(summary["sources"]):
        return say(
            "[yellow]Livré, mais une source n'a pas été lue[/]", "[yellow]Delivered, but a source was not read[/]"
        )
    if summary["outcome"] == "settled" and any(summary["attention"].values()):
        return say("[yellow]Livré, sauf ce qui est à regarder[/]", "[yellow]Delivered, but for what is to look at[/]")
    return state(summary["outcome"])


def show_run(summary: dict[str, Any], *, zone: str, dry_run: bool = False) -> None:
    """The summary of a run for a person, with the times of ``zone``."""
    out.print(f"{_headline(summary, dry_run)}  ·  {summary['seconds']} s")
    if summary["sources"]:
        table(
            [
                say("Source", "Source"),
                say("reçues", "received"),
                say("nouvelles", "new"),
                say("répétées", "repeated"),
                say("en quarantaine", "quarantined"),
            ],
            [[n, s["received"], s["new"], s["repeated"], s["quarantined"]] for n, s in summary["sources"].items()],
        )
    if summary["targets"]:
        table(
            [
                say("Cible", "Target"),
                say("acceptés maintenant", "accepted now"),
                say("refusés maintenant", "rejected now"),
                say("acceptés en tout", "accepted in all"),
                say("reportés", "deferred"),
                say("incertains", "uncertain"),
                say("en file", "waiting"),
            ],
            [
                [n, t["sent"], t["rejected"], t["accepted"], t["deferred"], t["unknown"], t["waiting"]]
                for n, t in summary["targets"].items()
            ],
        )
    attention = {k: v for k, v in summary["attention"].items() if v}
    if attention:
        words = {
            "quarantined": (
                say("fiche en quarantaine", "record in quarantine"),
                say("fiches en quarantaine", "records in quarantine"),
            ),
            "parked": (say("envoi mis de côté", "delivery parked"), say("envois mis de côté", "deliveries parked")),
            "held_values": (
                say("valeur retenue (relais plan)", "value held (relais plan)"),
                say("valeurs retenues (relais plan)", "values held (relais plan)"),
            ),
            "matches": (
                say("rapprochement à décider", "match to decide"),
                say("rapprochements à décider", "matches to decide"),
            ),
            "vanished": (say("fiche disparue", "record vanished"), say("fiches disparues", "records vanished")),
        }
        out.print(
            say("[yellow]À regarder[/] : ", "[yellow]To look at[/]: ")
            + ", ".join(f"{v} {words[k][v != 1]}" for k, v in attention.items())
        )
    if n := summary.get("flagged", 0):
        out.print(flagged_words(n))
    for name, reason in summary.get("errors", {}).items():
        out.print(f"[yellow]{name}[/]: {reason}")
    if summary["next_due"]:
        out.print(say("Prochain essai : ", "Next try: ") + local(summary["next_due"], zone))


@app.command()
def run(
    once: Annotated[
        bool, typer.Option("--once", help="Do everything that can be done now, whatever the schedule says.")
    ] = True,
    wait: Annotated[str | None, typer.Option(help="Sleep on to each due time, at most so long: 20m.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Only these sources.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="Only these targets.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Pull, map and count; send nothing.")] = False,
    plan: Annotated[
        int | None, typer.Option(help="Send just what this plan says, and nothing if it has changed since.")
    ] = None,
    after_restore: Annotated[
        bool, typer.Option("--after-restore", help="The database came from a backup: read the targets back first.")
    ] = False,
    json: Json = False,
) -> None:
    """Aller chercher, traduire, compter, envoyer, relever les réponses. / Pull, map, tally, deliver, poll."""
    with house() as made, Watching() as step:
        bootstrap.settle_in()
        made.engine.progress = step
        limit = span(wait) if wait else None
        targets = [] if dry_run else target
        if after_restore and (dry_run or source or target):
            raise typer.BadParameter(say("--after-restore vaut pour tout", "--after-restore is for everything"))
        if plan is not None:
            if after_restore or dry_run or source or target:
                raise typer.BadParameter(say("--plan dit déjà tout", "--plan says it all already"))
            summary = run_async(made, lambda: runs.carry_out(made.engine, plan, me(), wait=limit))
            _tell_plan(summary)
            json_out(summary) if json else show_run(summary, zone=made.pack.zone)
            leave(runs.exit_code(summary))
        summary = run_async(
            made,
            lambda: runs.once(made.engine, wait=limit, sources=source, targets=targets, after_restore=after_restore),
        )
    if json:
        json_out(summary)
    else:
        show_run(summary, zone=made.pack.zone, dry_run=dry_run)
    leave(runs.exit_code(summary))


def _tell_plan(summary: dict[str, Any]) -> None:
    told = summary["plan"]
    err.print(
        say(
            f"Plan {told['id']} : {told['sent']} envois acceptés, {told['left']} restent.",
            f"Plan {told['id']}: {told['sent']} deliveries accepted, {told['left']} left.",
        )
    )


@app.command()
def serve() -> None:
    """Page web, API et horaire en un seul processus. / Web page, API and schedule in one process."""
    import uvicorn

    from connector.cli.wiring import SERVER, web_app
    from connector.engine.schedule import Schedule

    with house(queued=True) as made:
        bootstrap.settle_in()
        stopping = threading.Event()

        def work() -> None:
            async def inside() -> None:
                schedule = Schedule(made.engine)
                schedule.start()
                while not stopping.is_set():
                    await asyncio.sleep(0.2)
                schedule.stop()
                await made.close_clients()

            asyncio.run(inside())

        thread = threading.Thread(target=work, name="relais-engine")
        thread.start()
        settings = made.settings
        err.print(f"Relais {__version__}: http://{settings.host}:{settings.port}")
        try:
            uvicorn.run(web_app(made, alive=thread.is_alive), host=settings.host, port=settings.port, **SERVER)
        finally:
            stopping.set()
            thread.join(timeout=60)


@app.command()
def reconcile(
    target: Annotated[str, typer.Argument(help="Name of the target.")],
    period: Annotated[str | None, typer.Option(help="Only this period (DHIS2).")] = None,
    json: Json = False,
) -> None:
    """Relire la cible, comparer, rouvrir ce qui a dérivé. / Read back, compare, reopen."""
    with house() as made:
        if target not in made.engine.targets:
            raise typer.BadParameter(f"{target}: {', '.join(made.engine.targets)}")
        result = run_async(made, lambda: reconciling.reconcile(made.engine, target, period))
    if json:
        json_out(result)
    else:
        out.print(
            say(
                f"{result['equal']} identiques, {result['different']} différentes, {result['missing']} absentes, "
                f"{result['unknown_there']} inconnues de Relais",
                f"{result['equal']} equal, {result['different']} different, {result['missing']} missing, "
                f"{result['unknown_there']} unknown to Relais",
            )
        )
        table(
            [say("quoi", "what"), say("où", "where"), say("chez nous", "ours"), say("là-bas", "there")],
            [
                [
                    i["what"],
                    i.get("key") or f"{i['org_unit']} {i['period']} {i['data_element']} {i['combo']}",
                    i.get("ours"),
                    i.get("there"),
                ]
                for i in result["items"][:50]
            ],
        )
    leave(3 if result["different"] or result["missing"] else 0)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Print the summary and stop.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic district.")] = 7,
    zone: Annotated[str, typer.Option(help="Time zone of the pack and of the district.")] = "Africa/Bamako",
    dhis2: Annotated[str, typer.Option(help="legacy | v43")] = "legacy",
    openmrs: Annotated[str, typer.Option(help="o3 | platform2")] = "o3",
    port: Annotated[int, typer.Option(help="Port of the web page.")] = 8000,
    json: Json = False,
) -> None:
    """Un district fictif, tout le chemin, une page web. / A synthetic district, the whole road, a web page."""
    from connector.cli.demo import demo as play

    leave(play(once=once, seed=seed, zone=zone, dhis2=dhis2, openmrs=openmrs, port=port, json=json or once))


__all__ = ["demo", "reconcile", "run", "serve"]
