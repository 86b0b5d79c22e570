"""``relais init``: a new pack, by asking or by options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connector.cli.app import Json, app
from connector.cli.new import new


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the new pack; it must not be there, or be empty.")],
    starter: Annotated[bool, typer.Option("--starter", help="Copy the starter pack as it is; ask nothing.")] = False,
    pack_id: Annotated[str | None, typer.Option("--id", help="Id of the pack: small letters, digits, hyphens.")] = None,
    source: Annotated[str | None, typer.Option(help="odk | kobo | csv | cht")] = None,
    form: Annotated[str | None, typer.Option(help="Name of the form, as the source calls it.")] = None,
    sample: Annotated[
        Path | None,
        typer.Option(help="A record of it (JSON), an export (CSV), or the survey sheet of its XLSForm as CSV."),
    ] = None,
    choices: Annotated[
        Path | None, typer.Option(help="The choices sheet of that XLSForm as CSV: its options become code tables.")
    ] = None,
    target: Annotated[list[str] | None, typer.Option(help="dhis2 | fhir_server; may be given several times.")] = None,
    like: Annotated[
        Path | None, typer.Option(help="A pack whose dictionary is proposed from; else the starter pack.")
    ] = None,
    elements: Annotated[
        Path | None,
        typer.Option(
            help="Data elements of your DHIS2 to propose from: CSV code,name or the JSON of /api/dataElements."
        ),
    ] = None,
    date: Annotated[str | None, typer.Option(help="Field that holds the day of service.")] = None,
    place: Annotated[str | None, typer.Option(help="Field that holds the place.")] = None,
    worker: Annotated[str | None, typer.Option(help="Field that says who recorded it; empty: none.")] = None,
    accept: Annotated[list[str] | None, typer.Option(help="FIELD=CONCEPT: take this concept for this field.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; no proposal is accepted by itself.")] = False,
    json: Json = False,
) -> None:
    """Un nouveau paquet : demander source, cible, formulaire ; proposer des faits. / A new pack, by asking.

    For each field of the form the three nearest names of the dictionary and of DHIS2 are shown with how alike they are
    (0 to 1). None is taken unless a person does.
    """
    new(
        folder, starter=starter, pack_id=pack_id, source=source, form=form, sample=sample, choices=choices, target=target,
        like=like, elements=elements, date=date, place=place, worker=worker, accept=accept, yes=yes, json=json,
    )  # fmt: skip
