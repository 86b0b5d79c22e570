"""``relais org-units``: the tree of org units of DHIS2 beside the pack's ``org_units.csv``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape

from connector import bootstrap
from connector.cli.app import Json, app, house, leave, run_async
from connector.cli.output import entries, err, json_out, out, say
from connector.errors import ConfigError
from connector.mappings import org_unit_tree
from connector.mappings.org_unit_tree import Compared, Unit
from connector.mappings.pack_shapes import ID

TABLE = "org_units.csv"
#: A saved tree of a country with some 100,000 units.
MAX_BYTES = 64_000_000
#: Differences shown; all are in --json.
SHOWN = 50
_WHAT = {
    "closed": ("fermée là-bas le {there}", "closed there on {there}"),
    "moved": ("sous {there} là-bas, sous {here} ici", "below {there} there, below {here} here"),
    "renamed": ("s'appelle « {there} » là-bas, « {here} » ici", 'is called "{there}" there, "{here}" here'),
    "absent": ("n'est pas dans DHIS2", "is not in DHIS2"),
}


@app.command("org-units")
def org_units(
    file: Annotated[
        Path | None, typer.Argument(help="The JSON of /api/organisationUnits, saved; without it DHIS2 is asked.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Name of the target, where the pack has several of the kind.")
    ] = None,
    below: Annotated[str, typer.Option(help="Only lines for the unit of this code and what lies under it.")] = "",
    level: Annotated[
        list[str] | None,
        typer.Option(help="NUMBER=NAME: what the pack calls a level of DHIS2, such as 5=site; several times."),
    ] = None,
    source: Annotated[
        str, typer.Option(help="A source that calls places by the codes of DHIS2; else the place is left empty.")
    ] = "",
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Write the table with the new lines to this file.")
    ] = None,
    json: Json = False,
) -> None:
    """L'arbre des unités de DHIS2 comme org_units.csv. / The tree of org units of DHIS2 as org_units.csv.

    Says which units the table lacks, and where the two differ: closed, moved, renamed, not there. Lines that are there
    stay as they are. Exit code 3 when the two differ.
    """
    given = _levels(level or ())
    with house(strict=file is None) as made:
        if source and source not in made.pack.sources:
            raise typer.BadParameter(f"{source}: {', '.join(made.pack.sources)}")
        rows = _saved(file) if file else _asked(made, target)
        table = Path(made.pack.folder) / TABLE
        try:
            units, without = org_unit_tree.units_of(rows)
        except ValueError:
            raise _no_tree(str(file or target or "DHIS2")) from None
        if below and below not in {unit.code for unit in units}:
            raise typer.BadParameter(say(f"DHIS2 n'a pas d'unité {below}", f"DHIS2 has no unit {below}"))
        names = org_unit_tree.level_names(made.pack.org_units, units, given)
        found = org_unit_tree.compare(made.pack.org_units, units, names, source, below)
        text = table.read_text("utf-8-sig") if table.is_file() else ""
    if out_file is not None:
        out_file.write_text(org_unit_tree.with_lines(text or HEAD, found.lines), "utf-8")
    if json:
        json_out(_document(found, without, names))
    else:
        _show(found, units, without, names, out_file)
    leave(3 if found.lines or found.differences else 0)


HEAD = "source,place,org_unit,level,parent,name,valid_from,valid_to\n"


def _levels(pairs: Sequence[str]) -> dict[int, str]:
    found = {}
    for pair in pairs:
        number, _, name = pair.partition("=")
        if not number.isdigit() or not ID.fits(name):
            raise typer.BadParameter(f"--level {pair}: 5=site")
        found[int(number)] = name
    return found


def _saved(file: Path) -> Any:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ValueError
        body = orjson.loads(file.read_bytes())
    except (OSError, ValueError):
        raise _no_tree(str(file)) from None
    rows = body.get("organisationUnits") if isinstance(body, dict) else body
    if not isinstance(rows, list):
        raise _no_tree(str(file))
    return rows


def _no_tree(name: str) -> ConfigError:
    fields = org_unit_tree.FIELDS
    return ConfigError(
        f"{name} gives no list of org units. Nothing was written. Give the JSON of "
        f"/api/organisationUnits?paging=false&fields={fields}, up to {MAX_BYTES} bytes.",
        french=f"{name} ne donne pas de liste d'unités d'organisation. Rien n'a été écrit. Donnez le JSON de "
        f"/api/organisationUnits?paging=false&fields={fields}, {MAX_BYTES} octets au plus.",
    )


def _asked(made: bootstrap.House, target: str | None) -> Sequence[Mapping[str, Any]]:
    targets = [one for one in made.pack.targets.values() if one.kind == "dhis2" and target in (None, one.name)]
    if not targets:
        raise typer.BadParameter(say("le paquet n'a pas de cible DHIS2", "the pack has no target DHIS2"))
    return run_async(made, lambda: bootstrap.org_units_of(made, targets[0]))


def _document(found: Compared, without: Sequence[str], names: Mapping[int, str]) -> dict[str, Any]:
    columns = HEAD.strip().split(",")
    return {
        "missing": [dict(zip(columns, line, strict=True)) for line in found.lines],
        "differences": [asdict(one) for one in found.differences],
        "no_code": list(without),
        "levels": {str(number): name for number, name in sorted(names.items())},
    }


def _show(
    found: Compared, units: Sequence[Unit], without: Sequence[str], names: Mapping[int, str], out_file: Path | None
) -> None:
    counts = Counter(unit.level for unit in units)
    for number, count in sorted(counts.items()):
        out.print(f"{say('niveau', 'level')} {number} = {names[number]} · {count}")
    entries(
        [say("diffère", "differs")],
        [
            ([f"{one.code} · {TABLE}:{one.line}"],
             [escape(say(*_WHAT[one.what]).format(here=one.here, there=one.there))])
            for one in found.differences[:SHOWN]
        ],
    )  # fmt: skip
    if len(found.differences) > SHOWN:
        more = len(found.differences) - SHOWN
        out.print(say(f"… et {more} autres (--json)", f"… and {more} more (--json)"))
    if without:
        listed = escape(", ".join(without[:5]) + (" …" if len(without) > 5 else ""))
        out.print(
            say(f"{len(without)} unités sans code dans DHIS2, dont Relais ne peut pas parler : {listed}",
                f"{len(without)} units without a code in DHIS2, which Relais cannot speak of: {listed}")
        )  # fmt: skip
    n = len(found.lines)
    if not n and not found.differences:
        out.print(say("[green]La table et DHIS2 disent la même chose.[/]", "[green]The table and DHIS2 agree.[/]"))
    elif n:
        out.print(say(f"Unités de DHIS2 que {TABLE} n'a pas : {n}", f"Units of DHIS2 that {TABLE} lacks: {n}"))
    if out_file is not None:
        err.print(say(f"Écrit : {out_file}", f"Written: {out_file}"))
    elif n:
        err.print(
            say(f"Les ajouter : --out {TABLE} (les lignes qui y sont restent), --below CODE pour une partie.",
                f"To add them: --out {TABLE} (lines that are there stay), --below CODE for a part.")
        )  # fmt: skip
