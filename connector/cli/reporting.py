"""Commands of monthly reporting: who has reported, the slip of a CSCom, approving figures before they leave, and settling
values that somebody typed at the target."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from connector import periods
from connector.cli.app import Json, app, house, me
from connector.cli.output import FRENCH, err, json_out, out, say, table
from connector.engine import approving
from connector.engine import completeness as reporting
from connector.engine import slip as slips
from connector.engine.actions import Actions
from connector.engine.engine import Engine
from connector.engine.reporting import Reporting

Period = Annotated[str | None, typer.Option(help="202609, 2026Q3 ...")]
OrgUnit = Annotated[str | None, typer.Option(help="Code of an org unit; what lies below it is meant too.")]


@contextmanager
def period_given(text: str | None) -> Iterator[None]:
    try:
        if text is not None:
            periods.period_type(text)
    except ValueError as error:
        raise typer.BadParameter(f"--period: {error}") from None
    yield


def known(engine: Engine, data_set: str | None, org_unit: str | None) -> None:
    if data_set is not None and data_set not in engine.pack.data_sets:
        raise typer.BadParameter(f"--data-set: {', '.join(engine.pack.data_sets)}")
    if org_unit is not None and not any(row.org_unit == org_unit for row in engine.pack.org_units):
        raise typer.BadParameter(
            say(
                f"--org-unit : pas d'unité {org_unit} dans org_units.csv", f"--org-unit: no {org_unit} in org_units.csv"
            )
        )


@app.command()
def completeness(
    period: Period = None,
    data_set: Annotated[str | None, typer.Option(help="Id of a data set.")] = None,
    org_unit: OrgUnit = None,
    json: Json = False,
) -> None:
    """Qui a transmis, qui est en retard, qui manque. / Who has reported, who is late, who is missing.

    Missing is not zero: a unit with somebody missing is not declared complete. Without --period: the last one over.
    """
    with period_given(period), house() as made:
        known(made.engine, data_set, org_unit)
        document = reporting.completeness(made.engine, period, data_set, org_unit)
        names = {row.org_unit: row.name for row in made.pack.org_units}
    if json:
        json_out(document)
        return
    for one in document["data_sets"]:
        late = "" if one["late"] is None else say(f", {one['late']} en retard", f", {one['late']} late")
        name = say(one["name"].get("fr", one["data_set"]), one["name"].get("en", one["data_set"]))
        out.print(
            f"[bold]{name}[/] {one['period']}: "
            + say(
                f"{one['reported']} sur {one['expected']} ont transmis{late}, {one['missing']} manquent",
                f"{one['reported']} of {one['expected']} have reported{late}, {one['missing']} missing",
            )
        )
        rows = [
            [names.get(u["org_unit"], u["org_unit"]), m["reporter"], m["last"] or say("jamais", "never")]
            for u in one["units"]
            for m in u["missing"]
        ]
        if rows:
            table([say("unité", "org unit"), say("manque", "missing"), say("dernière fiche", "last record")], rows)
    if not document["data_sets"]:
        out.print(
            say(
                "Aucun ensemble de données de ce type de période ne dit qui doit transmettre (complete, dhis2.yaml).",
                "No data set of this type of period says who must report (complete, dhis2.yaml).",
            )
        )


@app.command()
def slip(
    period: Annotated[str, typer.Option(help="202609, 2026Q3 ...")],
    org_unit: OrgUnit = None,
    csv_: Annotated[
        bool, typer.Option("--csv", help="Every figure and who is missing, as CSV with semicolons.")
    ] = False,
    json: Json = False,
) -> None:
    """Le bordereau mensuel d'un CSCom. / The monthly slip of a CSCom: figures, sent, accepted, missing, approved by.

    Without --org-unit: one after the other of every CSCom.
    """
    with period_given(period), house() as made:
        known(made.engine, None, org_unit)
        found = slips.slips(made.engine, period, org_unit)
        if json:
            json_out([{**one, "data_sets": [_plain(d) for d in one["data_sets"]]} for one in found])
            return
        if csv_:
            for text in Reporting(made.engine).slip_csv(period, org_unit, "fr" if FRENCH else "en"):
                sys.stdout.write(text)
            return
        names = {row.org_unit: row.name for row in made.pack.org_units}
        for one in found:
            _print_slip(made.engine, one, names)


def _plain(data_set: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data_set.items() if key != "cells"}


def _print_slip(engine: Engine, one: dict[str, Any], names: dict[str, str]) -> None:
    out.print(f"[bold]{names.get(one['org_unit'], one['org_unit'])}[/] ({one['org_unit']}), {one['period']}")
    for data_set in one["data_sets"]:
        out.print(say(data_set["name"].get("fr", ""), data_set["name"].get("en", "")))
        table(
            [
                say("indicateur", "indicator"),
                say("chiffre", "figure"),
                say("envoyé", "sent"),
                say("accepté", "accepted"),
                say("remarque", "remark"),
            ],
            [[_indicator(engine, f), f["value"], f["sent"], f["accepted"], _remark(f)] for f in data_set["figures"]],
        )
        told = data_set["reporters"]
        if told:
            gone = ", ".join(
                f"{m['reporter']} ({names.get(m['org_unit'], m['org_unit'])})" for m in data_set["missing"]
            )
            out.print(
                say(
                    f"{told['reported']} sur {told['expected']} ont transmis. Manquent : {gone or 'aucun'}",
                    f"{told['reported']} of {told['expected']} have reported. Missing: {gone or 'none'}",
                )
            )
        for mark in data_set["approvals"]:
            where = names.get(mark["org_unit"], mark["org_unit"])
            out.print(say("approuvé par", "approved by") + f" {mark['by']}, {mark['at'][:16]} ({where})")
    out.print("")


def _indicator(engine: Engine, figure: dict[str, Any]) -> str:
    found = engine.pack.indicators.get(figure["indicator"])
    part = {"num": " (num)", "den": " (den)"}.get(figure["part"], "")
    name = say(found.name.get("fr", ""), found.name.get("en", "")) if found else ""
    return f"{figure['indicator'].partition('_')[0]}{part} {name}".strip()


def _remark(figure: dict[str, Any]) -> str:
    words = []
    if figure["small"]:
        words.append(say(f"{figure['small']} petit(s) effectif(s)", f"{figure['small']} small figure(s)"))
    return ", ".join(words + figure["reasons"])


# ---------------------------------------------------------------- approving, and values typed at the target


def _held(unit: Any, asked: set[str], period: str | None, org_unit: str | None, cells: list[int] | None) -> list[Any]:
    """Held values of a choice. Where figures are approved first (``asked``), only one by one or by ``--held``."""
    return [
        row
        for row in unit.cells_where("state IN ('held','kept')")
        if (not cells or row["id"] in cells)
        and period in (None, row["period"])
        and org_unit in (None, row["org_unit"])
        and row["data_set"] not in asked
    ]


def _settle(made: Any, decision: str, rows: list[Any]) -> int:
    for row in rows:
        Actions(made.engine).release(row["id"], decision, me())
    return len(rows)


@app.command()
def approve(
    target: Annotated[str, typer.Argument()] = "dhis2",
    period: Annotated[str | None, typer.Option(help="Figures of this period that wait for approval leave.")] = None,
    org_unit: Annotated[
        str | None, typer.Option(help="Figures: of this org unit and what lies below. Held values: of this one.")
    ] = None,
    cell: Annotated[list[int] | None, typer.Option(help="Number of a held value: send ours over it.")] = None,
    held: Annotated[bool, typer.Option("--held", help="Also send ours over values typed at the target.")] = False,
    json: Json = False,
) -> None:
    """Approuver des chiffres avant leur départ, ou trancher une valeur tapée. / Approve figures before they leave, or
    settle a typed value.

    Two things wait for a person. Figures of a data set with `release: after_approval` wait before they leave: --period
    lets them go, at --org-unit and below it. A *held* value left and met another one that somebody typed: --cell (or
    --held for all of the choice) sends ours over it, `relais keep` leaves theirs. In data sets without release, --period
    settles held values, as --org-unit alone does; where figures are approved first, it never writes over a typed one.
    """
    with period_given(period), house() as made:
        known(made.engine, None, org_unit if period else None)
        engine = made.engine
        found = [] if cell or period is None else approving.waiting(engine, period, org_unit)
        try:
            counts = approving.approve(engine, found, me())
        except approving.NotOver:
            raise typer.BadParameter(
                say(f"--period {period} court encore : ses chiffres changent chaque jour",
                    f"--period {period} still runs: its figures change every day")
            ) from None  # fmt: skip
        asked = set() if held or cell else {d.id for d in engine.pack.data_sets.values() if d.release}
        rows = made.store.read(lambda unit: _held(unit, asked, period, org_unit, cell))
        left = made.store.read(lambda unit: _held(unit, set(), period, org_unit, cell))
        count = _settle(made, "overwrite", rows)
        left = [row for row in left if row["state"] == "held" and row not in rows]
    document = {"approved": count, **counts, "held": len(left)}
    if json:
        json_out(document)
        return
    if counts["blocks"] or not count:
        out.print(
            say(
                f"{counts['values']} chiffres approuvés ({counts['blocks']} unités) ; ils partent au prochain envoi",
                f"{counts['values']} figures approved ({counts['blocks']} units); they leave with the next delivery",
            )
        )
    if count:
        out.print(say(f"{count} valeurs tapées remplacées par les nôtres", f"{count} typed values replaced by ours"))
    if counts["changed"]:
        err.print(
            say(f"{counts['changed']} unités ont changé entre-temps et attendent encore",
                f"{counts['changed']} units have changed meanwhile and still wait")
        )  # fmt: skip
    if left:
        err.print(
            say(
                f"{len(left)} valeurs tapées à la cible restent retenues : relais approve --cell N, ou relais keep --cell N "
                "(numéros : relais plan --json)",
                f"{len(left)} values typed at the target stay held: relais approve --cell N, or relais keep --cell N "
                "(numbers: relais plan --json)",
            )
        )


@app.command()
def keep(
    target: Annotated[str, typer.Argument()] = "dhis2",
    period: Annotated[str | None, typer.Option()] = None,
    org_unit: Annotated[str | None, typer.Option()] = None,
    cell: Annotated[list[int] | None, typer.Option()] = None,
    json: Json = False,
) -> None:
    """Garder la valeur tapée à la main. / Keep the value typed by hand."""
    with house() as made:
        rows = made.store.read(lambda unit: _held(unit, set(), period, org_unit, cell))
        count = _settle(made, "keep", rows)
    json_out({"kept": count}) if json else out.print(str(count))
