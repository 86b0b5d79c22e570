"""``relais sandbox``: the simulators and the true figures. The sandbox shares no code with Relais."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfoNotFoundError

import typer

from connector.cli.app import app, leave
from connector.cli.output import json_out
from connector.errors import RelaisError

sandbox_app = typer.Typer(
    help="Serveurs simulés et chiffres vrais / simulated servers and true figures", no_args_is_help=True
)
app.add_typer(sandbox_app, name="sandbox")

Seed = Annotated[int, typer.Option()]
Indicators = Annotated[
    Literal["first", "all"],
    typer.Option(help="les 35 indicateurs des fiches seules, ou les 92 / the 35 that single records give, or all 92"),
]


@contextmanager
def _asked_for() -> Iterator[None]:
    """The sandbox knows no errors of ours: what it raises over its options or the ports is said as one."""
    try:
        yield
    except (OSError, ValueError, ZoneInfoNotFoundError) as error:
        raise RelaisError(
            f"The sandbox did not start: {error}. Nothing was done. Look at the options, and whether the ports are free.",
            french=f"Le bac à sable n'a pas démarré : {error}. Rien n'a été fait. Regardez les options, et si les ports "
            "sont libres.",
        ) from None


@sandbox_app.command("serve")
def serve(
    seed: Seed = 7,
    start: Annotated[str, typer.Option()] = "2026-07",
    months: Annotated[int, typer.Option()] = 3,
    sites: Annotated[int, typer.Option()] = 12,
    chws: Annotated[int, typer.Option()] = 24,
    zone: Annotated[str, typer.Option()] = "Africa/Bamako",
    dhis2: Annotated[str, typer.Option()] = "legacy",
    openmrs: Annotated[str, typer.Option()] = "o3",
    ports_from: Annotated[int, typer.Option()] = 9100,
    env_file: Annotated[Path | None, typer.Option()] = None,
    indicators: Indicators = "all",
) -> None:
    """Serveurs simulés sur cette machine. / Simulators on loopback."""
    from connector.sandbox import serve as sandbox

    with _asked_for():
        sandbox.serve(
            seed=seed,
            start=start,
            months=months,
            sites=sites,
            chws=chws,
            zone=zone,
            dhis2=dhis2,
            openmrs=openmrs,
            ports_from=ports_from,
            env_file=env_file,
            indicators=indicators,
        )


@sandbox_app.command("expected")
def expected(
    seed: Seed = 7,
    start: Annotated[str, typer.Option()] = "2026-07",
    months: Annotated[int, typer.Option()] = 3,
    sites: Annotated[int, typer.Option()] = 12,
    chws: Annotated[int, typer.Option()] = 24,
    zone: Annotated[str, typer.Option()] = "Africa/Bamako",
    indicators: Indicators = "all",
) -> None:
    """Les chiffres vrais, comptés à part. / The true figures, counted apart."""
    from connector.sandbox import serve as sandbox

    with _asked_for():
        result: Any = sandbox.expected(
            seed=seed, start=start, months=months, sites=sites, chws=chws, zone=zone, indicators=indicators
        )
    json_out(result)
    leave(0)
