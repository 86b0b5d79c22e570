"""The Typer application and the way every command ends: an exit code and one sentence for a failure."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import orjson
import typer
from rich.text import Text

from connector.cli.output import err, json_out, say, sentence
from connector.errors import RelaisError
from connector.settings import Settings

if TYPE_CHECKING:
    from connector import bootstrap

T = TypeVar("T")

app = typer.Typer(
    name="relais",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "RELAIS", "help_option_names": ["-h", "--help"]},
    help="Relais porte ce que l'ASC saisit une fois vers DHIS2, OpenMRS et FHIR.\n\n"
    "Relais carries what a CHW records once to DHIS2, OpenMRS and FHIR.",
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@contextmanager
def house(*, queued: bool = False, strict: bool = True) -> Iterator[bootstrap.House]:
    """A wired Relais for the time of a command."""
    from connector import bootstrap

    made = bootstrap.build(Settings.load(), queued=queued, strict=strict)
    try:
        yield made
    finally:
        made.close()


def run_async(made: bootstrap.House, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    async def inside() -> T:
        try:
            return await work()
        finally:
            await made.close_clients()

    return asyncio.run(inside())


def me() -> str:
    """Who gives the command, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"


def leave(code: int) -> None:
    raise typer.Exit(code)


#: Commands of ``checking``, which only read a pack. To import what the others need (database, HTTP, cryptography) takes
#: longer than to check a whole pack, so they are not imported for these.
READING = ("check", "schema")


def with_commands(command: str = "") -> typer.Typer:
    """The program with all its commands, or with those beside the one that is given."""
    if command in READING:
        from connector.cli import checking  # registers the commands

        return app
    from connector.cli import (  # noqa: F401  registers the commands
        acting,
        beginning,
        changing,
        checking,
        doctor,
        explaining,
        exporting,
        keeping,
        looking,
        mapping,
        matches,
        org_units,
        persons,
        reporting,
        retention,
        sandbox,
        setting_up,
        tokens,
        working,
    )

    return app


def main() -> None:
    """Entry point: every error of ours becomes its sentence and its exit code."""
    with_commands(*sys.argv[1:2])
    try:
        code = app(standalone_mode=False)  # the code of typer.Exit comes back as the value
        sys.exit(code if isinstance(code, int) else 0)
    except RelaisError as error:
        if "--json" in sys.argv:
            json_out({"error": error.code, "message": str(error), "message_fr": error.french})
        err.print(Text.assemble((error.code, "bold red"), say(" : ", ": "), sentence(error)))
        sys.exit(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:
        # Typer carries its own copy of click, so its usage errors are known by their shape.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            sys.exit(2)
        raise


def compact(document: Any) -> str:
    return orjson.dumps(document, default=str).decode()
