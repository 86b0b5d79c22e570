"""Commands that keep house: check, test, export, audit, db, key, healthcheck, version."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import urllib.request
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from connector import __version__, bootstrap, crypto
from connector.cli.app import Json, app, house, leave, me
from connector.cli.checking import show
from connector.cli.mapping import show_failures, show_results
from connector.cli.output import err, json_out, out, say, sentence, table
from connector.engine import audit as trail
from connector.engine import audit_events, restoring, tally
from connector.engine.actions import Actions
from connector.engine.engine import stamp
from connector.errors import ConfigError, SchemaDiffers
from connector.loading import load
from connector.mappings import accepting, examples
from connector.model import Severity
from connector.settings import Settings
from connector.store.database import SqlStore, require_current

audit_app = typer.Typer(
    help="Qui a fait quoi, et que rien n'y fut changé. / Who did what, and that nothing of it was altered.",
    no_args_is_help=True,
)
db_app = typer.Typer(
    help="Tables de Relais : les créer, les sauver, les restaurer. / Relais's tables: make, back up, restore.",
    no_args_is_help=True,
)
key_app = typer.Typer(
    help="La clé qui chiffre les fiches gardées. / The key that encrypts the records kept.", no_args_is_help=True
)
export_app = typer.Typer(
    help="Écrire des données dans un dossier de fichiers. / Write data into a folder of files.", no_args_is_help=True
)
user_app = typer.Typer(help="Qui peut ouvrir la page web. / Who may open the web page.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")
app.add_typer(db_app, name="db")
app.add_typer(key_app, name="key")
app.add_typer(export_app, name="export")
app.add_typer(user_app, name="user")


def _settings(pack: Path | None) -> Settings:
    settings = Settings.load()
    return settings.model_copy(update={"pack": pack}) if pack else settings


@app.command()
def test(
    pack: Annotated[Path | None, typer.Argument()] = None,
    strict: Annotated[bool, typer.Option("--strict")] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Write what the failing examples gave in the place of what they expect.")
    ] = False,
    json: Json = False,
) -> None:
    """Essayer les exemples posés à côté des correspondances. / Run the examples beside the mappings."""
    made, findings = load(_settings(pack), strict=False)
    if wrong := [f for f in findings if f.severity is Severity.ERROR]:
        if not json:
            show(wrong, made.folder)
        raise ConfigError("the pack has errors: relais check", french="le paquet a des erreurs : relais check")
    results = examples.run_examples(made)
    if not json:
        show_failures(results)
    changed: list[str] = []
    shown = results.document()
    if accept and results.corrections:
        changed = accepting.accept(made.folder, results.corrections)
        results = examples.run_examples(made)
        err.print(say("Écrit : ", "Written: ") + ", ".join(changed))
    document = results.document()
    if json:
        json_out({**document, "differences": shown["differences"], "accepted": changed})
    else:
        show_results(results)
    leave(3 if document["failed"] or (strict and document["unexercised"]) else 0)


@export_app.command("fhir")
def export_fhir(
    folder: Annotated[Path, typer.Argument(help="Folder for NDJSON files, one per type.")] = Path("export-fhir"),
    json: Json = False,
) -> None:
    """Ressources FHIR en NDJSON, un fichier par type. / FHIR resources as NDJSON, one file per type."""
    from connector.engine import resources

    counts: dict[str, int] = {}
    with house() as made:
        config = made.engine.target_of("fhir_server")
        if config is None:
            raise ConfigError(
                "The pack has no FHIR target, so no resources are kept. Nothing was written. Add one to connector.yaml.",
                french="Le paquet n'a pas de cible FHIR, donc aucune ressource n'est gardée. Rien n'a été écrit. "
                "Ajoutez-en une dans connector.yaml.",
            )
        folder.mkdir(parents=True, exist_ok=True)
        Actions(made.engine).read_audit("export.fhir", config.name, me())
        files: dict[str, Any] = {}
        after = 0
        try:
            while True:

                def page(unit: Any, after: int = after) -> tuple[list[Any], int]:
                    rows = unit.resource_rows(config.name, after, 500)
                    return list(resources.rebuild(made.engine, unit, rows).values()), (
                        rows[-1]["id"] if rows else after
                    )

                made_here, last = made.store.read(page)
                if last == after:
                    break
                after = last
                for resource in made_here:
                    if resource.get("deleted") is True:
                        continue
                    kind = resource["resourceType"]
                    if kind not in files:
                        files[kind] = (folder / f"{kind}.ndjson").open("wb")
                    files[kind].write(orjson.dumps(resource, option=orjson.OPT_APPEND_NEWLINE))
                    counts[kind] = counts.get(kind, 0) + 1
        finally:
            for file in files.values():
                file.close()
        Actions(made.engine).read_audit("export.fhir.done", config.name, me(), **counts)
    document = {"folder": str(folder), "files": counts}
    json_out(document) if json else table([say("type", "type"), "n"], sorted(counts.items()))


@export_app.command("contributions")
def export_contributions(
    folder: Annotated[Path, typer.Argument(help="New folder for Parquet files.")] = Path("export-contributions"),
    recount: Annotated[bool, typer.Option("--recount", help="Count every cell over the files, compare.")] = False,
    json: Json = False,
) -> None:
    """Contributions en Parquet, pour une longue histoire. / Contributions as Parquet, for a long history.

    Needs Polars (`pip install 'relais[analytics]'`). The files name records: keep them as you keep the database.
    With `--recount` all cells are counted again over the files, beside the database; exit code 3 when one differs from
    what Relais holds.
    """
    from connector.store import parquet

    with house() as made:
        engine = made.engine
        Actions(engine).read_audit("export.contributions", engine.pack.id, me())
        count = made.store.read(lambda unit: parquet.export(unit, folder, tally.of_persons(engine.pack)))
        wrong: list[dict[str, Any]] = []
        if recount:
            rows = parquet.recount(folder, tally.keyed(engine.pack))
            wrong = made.store.read(lambda unit: tally.differing(engine, unit, rows))
        Actions(engine).read_audit("export.contributions.done", engine.pack.id, me(), contributions=count)
    document = {"folder": str(folder), "contributions": count, "differing": wrong if recount else None}
    if json:
        json_out(document)
    else:
        out.print(say(f"{count} contributions dans {folder}", f"{count} contributions in {folder}"))
        if wrong:
            table(list(wrong[0]), [tuple(str(value) for value in one.values()) for one in wrong])
            out.print(
                say(
                    f"{len(wrong)} valeurs diffèrent ; rien n'a été changé. Lancez relais run, puis recomptez ; sinon "
                    "relais backfill les recompte dans la base.",
                    f"{len(wrong)} values differ; nothing was changed. Give relais run, then count again; if they still "
                    "do, relais backfill counts them again in the database.",
                )
            )
    if wrong:
        leave(3)


@audit_app.command("export")
def audit_export(
    file: Annotated[Path | None, typer.Argument(help="NDJSON file to write; without it: stdout.")] = None,
    after: Annotated[int, typer.Option(help="Only entries after this one (`last` of the export before).")] = 0,
    json: Json = False,
) -> None:
    """Le journal en AuditEvent FHIR R4 (IHE BALP), NDJSON. / The trail as FHIR R4 AuditEvents (IHE BALP), NDJSON."""
    if json and file is None:
        raise typer.BadParameter(say("--json veut un fichier", "--json needs a file"))
    exported, last = 0, after
    with house(strict=False) as made:
        Actions(made.engine).read_audit("export.audit", "audit", me(), after=after)
        with file.open("wb") if file else nullcontext(sys.stdout.buffer) as lines:
            for entry, resource in audit_events.events(made.engine, after):
                lines.write(orjson.dumps(resource, option=orjson.OPT_APPEND_NEWLINE))
                exported, last = exported + 1, entry
            lines.flush()
    if json:
        json_out({"file": str(file), "exported": exported, "last": last})
    elif file:
        out.print(say(f"{exported} événements, dernier {last}", f"{exported} events, last {last}"))


@audit_app.command("verify")
def audit_verify(
    heads: Annotated[Path | None, typer.Option(help="Signed heads kept elsewhere.")] = None, json: Json = False
) -> None:
    """Relire toute la chaîne d'audit. / Read the whole audit chain again."""
    settings = Settings.load()
    store, cipher = bootstrap.open_store(settings, create=False)
    try:
        default = Path(settings.heads) if not settings.heads.startswith("syslog:") else None
        file = heads or (default if default and default.exists() else None)
        document = store.read(lambda unit: trail.verify(unit, file, cipher.public_key))
        store.write(lambda unit: unit.keep_fact("audit_verified", "ok" if document["ok"] else document["reason"]))
    finally:
        store.close()
    if json:
        json_out(document)
    elif document["ok"]:
        out.print(
            say(
                f"[green]intact[/] : {document['entries']} entrées, {document['heads']} têtes signées",
                f"[green]intact[/]: {document['entries']} entries, {document['heads']} signed heads",
            )
        )
    else:
        out.print(
            say(
                f"[bold red]altéré[/] à l'entrée {document['first_bad']} : {document['reason']}",
                f"[bold red]altered[/] at entry {document['first_bad']}: {document['reason']}",
            )
        )
    leave(0 if document["ok"] else 3)


@db_app.command("upgrade")
def db_upgrade(json: Json = False) -> None:
    """Créer ou mettre à jour les tables. / Create or upgrade the tables."""
    store, _ = bootstrap.open_store(Settings.load(), upgrade=True)
    schema = store.schema()
    store.close()
    json_out({"schema": schema}) if json else out.print(f"schema {schema}")


@db_app.command("check")
def db_check(json: Json = False) -> None:
    """Relire la base et dire si ses tables sont à jour. / Check the database, and that its tables are current."""
    store = SqlStore(Settings.load().database)
    try:
        schema = store.schema()
        problems = store.check() if schema is not None else []
        require_current(schema)
    except SchemaDiffers as error:
        problems.append(str(error) if json else sentence(error))
    finally:
        store.close()
    document = {"ok": not problems, "schema": schema, "problems": problems}
    json_out(document) if json else out.print("\n".join(problems) or "ok", markup=False)
    leave(3 if problems else 0)


@db_app.command("backup")
def db_backup(file: Path) -> None:
    """Copie cohérente de la base, sans la clé. / A consistent copy of the database; the key is not in it."""
    settings = Settings.load()
    if not settings.database.startswith("sqlite"):
        raise ConfigError(
            "PostgreSQL: use pg_dump; the master key is not in the database.",
            french="PostgreSQL : utilisez pg_dump ; la clé maîtresse n'est pas dans la base.",
        )
    source = sqlite3.connect(settings.database.removeprefix("sqlite:///"))
    target = sqlite3.connect(file)
    with target:
        source.backup(target)
    target.close()
    source.close()
    out.print(str(file))


@db_app.command("restore")
def db_restore(file: Path) -> None:
    """Remettre une copie à la place de la base (qui ne doit pas exister). / Put a copy in place."""
    settings = Settings.load()
    if not settings.database.startswith("sqlite"):
        raise ConfigError("PostgreSQL: use pg_restore.", french="PostgreSQL : utilisez pg_restore.")
    place = Path(settings.database.removeprefix("sqlite:///"))
    if place.exists():
        raise ConfigError(
            f"{place} exists. Nothing was changed. Move it away first.",
            french=f"{place} existe. Rien n'a été modifié. Déplacez-le d'abord.",
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(place.name + ".part")
    shutil.copyfile(file, part)
    _shut(part)  # should somebody forget --after-restore, nothing leaves
    part.rename(place)
    out.print(
        say("remis en place ; lancez : relais run --after-restore", "restored; now run: relais run --after-restore")
    )


def _shut(file: Path) -> None:
    """Nothing is sent to any target of this database before it was compared."""
    value = orjson.dumps(
        {"reason": restoring.REASON, "by": restoring.BY, "until": None, "since": stamp(datetime.now(UTC))}
    )
    database = sqlite3.connect(file)
    try:
        with database:
            database.execute("UPDATE target_state SET paused=? WHERE paused IS NULL", (value.decode(),))
    except sqlite3.DatabaseError:
        file.unlink()
        raise ConfigError(
            'The file is no database of Relais. Nothing was changed. Give one that "relais db backup" made.',
            french="Ce fichier n'est pas une base de Relais. Rien n'a été modifié. Donnez-en un que « relais db backup » a "
            "fait.",
        ) from None
    finally:
        database.close()


@key_app.command("new")
def key_new() -> None:
    """Une nouvelle clé maîtresse. / A new master key."""
    from connector.cli.output import err

    typer.echo(crypto.new_master_key())
    err.print(
        say(
            "Gardez cette clé hors du serveur et hors des sauvegardes (coffre, papier). Sans elle les données sont perdues. "
            "Donnez-la à Relais par RELAIS_MASTER_KEY_FILE (fichier lisible par son seul propriétaire).",
            "Keep this key away from the server and its backups (a safe, on paper). Without it the data are lost. "
            "Give it to Relais by RELAIS_MASTER_KEY_FILE (a file only its owner can read).",
        )
    )


@user_app.command("add")
def user_add(
    name: str,
    role: Annotated[str, typer.Option(help="viewer | operator | clinic | admin")] = "viewer",
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True)] = "",
) -> None:
    """Un compte pour la page web. / An account for the web page."""
    from argon2 import PasswordHasher

    if role not in ("viewer", "operator", "clinic", "admin"):
        raise typer.BadParameter("viewer | operator | clinic | admin")
    with house() as made:
        hashed = PasswordHasher().hash(password)
        made.store.write(lambda unit: unit.keep_user(name, hashed, role, made.engine.now()))
    out.print(f"{name}: {role}")


@app.command()
def healthcheck() -> None:
    """0 si le service répond. / 0 if the service answers."""
    settings = Settings.load()
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    try:
        with urllib.request.urlopen(f"http://{host}:{settings.port}/readyz", timeout=5) as answer:
            leave(0 if answer.status == 200 else 1)
    except OSError as error:
        typer.echo(say(f"le service ne répond pas : {error}", f"not healthy: {error}"), err=True)
        leave(1)


@app.command()
def version(json: Json = False) -> None:
    """La version. / The version."""
    json_out({"version": __version__}) if json else typer.echo(__version__)
