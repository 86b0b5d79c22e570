"""``relais sandbox``: the simulators and the true figures. The sandbox shares no code with Relais."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfoNotFoundError

import typer

from connector.cli.app import app, leave
from connector.cli.output import err, json_out, say
from connector.errors import RelaisError

sandbox_app = typer.Typer(
    help="Serveurs simulés et chiffres vrais / simulated servers and true figures", no_args_is_help=True
)
app.add_typer(sandbox_app, name="sandbox")

Seed = Annotated[int, typer.Option(help="un autre nombre, un autre district / another number, another district")]
Start = Annotated[
    str,
    typer.Option(
        help="premier mois, AAAA-MM ; le DHIS2 simulé se croit au 5 du mois qui suit le dernier et refuse les mois "
        "pas encore finis / first month, YYYY-MM; the simulated DHIS2 takes today for the 5th after the last month and "
        "refuses months that are not over"
    ),
]
Months = Annotated[int, typer.Option(help="nombre de mois, 1 à 6 / number of months, 1 to 6")]
Sites = Annotated[
    int, typer.Option(help="sites du district, 3 à 48, dans 3 CSCom / sites of the district, 3 to 48, in 3 CSComs")
]
Chws = Annotated[int, typer.Option(help="ASC, 6 à 96, pas moins que de sites / CHWs, 6 to 96, no fewer than sites")]
Zone = Annotated[str, typer.Option(help="fuseau horaire / time zone")]
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
    start: Start = "2026-07",
    months: Months = 3,
    sites: Sites = 12,
    chws: Chws = 24,
    zone: Zone = "Africa/Bamako",
    dhis2: Annotated[
        Literal["legacy", "v43"],
        typer.Option(help="DHIS2 simulé : legacy (2.42) ou v43 (2.43) / DHIS2 simulated: legacy (2.42) or v43 (2.43)"),
    ] = "legacy",
    openmrs: Annotated[
        Literal["o3", "platform2"],
        typer.Option(
            help="OpenMRS simulé : o3, ou platform2 sans rendez-vous / OpenMRS simulated: o3, or platform2 without "
            "appointments"
        ),
    ] = "o3",
    ports_from: Annotated[
        int,
        typer.Option(
            help="les ports sont les 4 suivants (9101 à 9104) ; 0 : des ports libres / the ports are the 4 after it "
            "(9101 to 9104); 0: any free ones"
        ),
    ] = 9100,
    env_file: Annotated[
        Path | None,
        typer.Option(
            help="y écrire adresses, comptes et jetons, à charger par « set -a; . FICHIER; set +a » / write addresses, "
            "accounts and tokens there, to be loaded with 'set -a; . FILE; set +a'"
        ),
    ] = None,
    org_units: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="org_units.csv de votre paquet : DHIS2 a aussi ces unités, sous le district / your pack's "
            "org_units.csv: DHIS2 has these org units too, below the district",
        ),
    ] = None,
    indicators: Indicators = "all",
) -> None:
    """Serveurs simulés sur cette machine. / Simulators on loopback.

    Prints one JSON line with the addresses on stdout, the rest on stderr, and runs until Ctrl-C.
    """
    from connector.sandbox import serve as sandbox

    _fit(months, sites, chws)

    def ready(urls: Mapping[str, str], today: str) -> None:
        _ready(urls, today, env_file)

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
            org_units=org_units,
            ready=ready,
        )


def _ready(urls: Mapping[str, str], today: str, env_file: Path | None) -> None:
    from connector.sandbox import metadata

    admin, password = metadata.ADMIN, metadata.ADMIN_PASSWORD
    err.print(say("Prêt. Les serveurs simulés répondent :", "Ready. The simulated servers answer:"))
    for name, shown in (("cht", "CHT"), ("dhis2", "DHIS2"), ("openmrs", "OpenMRS"), ("fhir", "FHIR")):
        err.print(f"  {shown:8}{urls[name]}", soft_wrap=True)
    err.print(
        say(
            f"DHIS2 se croit au {today} : un mois qui n'est pas fini à cette date est refusé (--start en choisit d'autres).\n"
            f"Administrateur de DHIS2 (métadonnées) : {admin}, mot de passe {password}.\n"
            f"Dossier des fiches du district inventé : {urls['folder']}. Pour les vôtres, donner un autre RELAIS_FOLDER.",
            f"DHIS2 takes today for {today}: a month not over by then is refused (--start chooses others).\n"
            f"Administrator of DHIS2 (metadata): {admin}, password {password}.\n"
            f"Folder with the records of the invented district: {urls['folder']}. For your own, give another "
            "RELAIS_FOLDER.",
        ),
        soft_wrap=True,
    )
    if env_file is not None:
        for line in _load(env_file):
            err.print(line, soft_wrap=True)
    err.print(
        say(
            "Arrêter : Ctrl-C. Tout ce qui a été envoyé ici est alors perdu.",
            "Stop with Ctrl-C. What was sent here is lost then.",
        )
    )


def _load(env_file: Path) -> tuple[str, str]:
    """How another terminal takes the variables. Those of a pack come last, so that its own folder is read and not that
    of the invented district."""
    return (
        say(
            f"Variables : {env_file}. Dans un autre terminal, dossier de votre paquet : "
            f"set -a; . {env_file}; . ./relais.env; set +a",
            f"Variables: {env_file}. In another terminal, in the folder of your pack: "
            f"set -a; . {env_file}; . ./relais.env; set +a",
        ),
        say(
            "relais.env en dernier : c'est alors votre dossier qui est lu. Sans lui, celui du district inventé.",
            "relais.env last: then your own folder is read. Without it, that of the invented district.",
        ),
    )


def _fit(months: int, sites: int, chws: int) -> None:
    """Raises BadParameter for what no district can be made of."""
    from connector.sandbox.district import SIZES

    for name, number in (("months", months), ("sites", sites), ("chws", chws)):
        least, most = SIZES[name]
        least = max(least, sites) if name == "chws" else least  # each site has a worker
        if not least <= number <= most:
            raise typer.BadParameter(
                say(
                    f"--{name} {number} : ce district inventé se fait de {least} à {most}. Rien n'a démarré.",
                    f"--{name} {number}: this invented district can be made of {least} to {most}. Nothing was started.",
                )
            )


@sandbox_app.command("expected")
def expected(
    seed: Seed = 7,
    start: Start = "2026-07",
    months: Months = 3,
    sites: Sites = 12,
    chws: Chws = 24,
    zone: Zone = "Africa/Bamako",
    indicators: Indicators = "all",
) -> None:
    """Les chiffres vrais, comptés à part. / The true figures, counted apart."""
    from connector.sandbox import serve as sandbox

    _fit(months, sites, chws)
    with _asked_for():
        result: Any = sandbox.expected(
            seed=seed, start=start, months=months, sites=sites, chws=chws, zone=zone, indicators=indicators
        )
    json_out(result)
    leave(0)
