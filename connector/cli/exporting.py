"""Commands that write figures into files for other systems: export adx, export mreport."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import orjson
import typer

from connector.cli.app import Json, house, leave, me
from connector.cli.keeping import export_app
from connector.cli.output import err, json_out, say, table
from connector.cli.reporting import OrgUnit, Period, known, period_given
from connector.engine import figures
from connector.engine.actions import Actions
from connector.engine.engine import Engine
from connector.engine.figures import Figure, Figures
from connector.errors import ConfigError
from connector.mappings import adx, r4
from connector.mappings.pack import Pack

DataSetId = Annotated[str | None, typer.Option(help="Id of a data set; without it: all.")]

#: Why a figure is not in the files: French, English.
BEHIND = {
    "old": ("d'avant live_from", "from before live_from"),
    "shadow": ("la cible DHIS2 est en mode shadow : rien n'en part", "the target DHIS2 is in shadow mode: nothing leaves"),
    "not_released": (
        "attendent une approbation (relais approve dhis2)", "wait for approval (relais approve dhis2)"
    ),
    "held": (
        "une autre valeur est saisie dans DHIS2 (relais plan)", "another value was typed in DHIS2 (relais plan)"
    ),
    "kept": ("la valeur saisie dans DHIS2 a été gardée", "the value typed in DHIS2 was kept"),
    "deleted": ("à effacer dans DHIS2, ce qu'un fichier ne sait pas dire", "to be deleted, which a file cannot say"),
    "unnamed": (
        "leur catégorie n'est plus dans categories.yaml", "their category is no longer in categories.yaml"
    ),
    "partial": (
        "un autre chiffre du même indicateur est retenu", "another figure of the same indicator is held back"
    ),
    "invalid": ("le rapport n'est pas du FHIR R4 valide", "the report is no valid FHIR R4"),
}  # fmt: skip


@export_app.command("adx")
def export_adx(
    folder: Annotated[Path, typer.Argument(help="Folder for the files, one per data set and period.")] = Path(
        "export-adx"
    ),
    data_set: DataSetId = None,
    period: Period = None,
    org_unit: OrgUnit = None,
    json: Json = False,
) -> None:
    """Les chiffres en ADX, que DHIS2 importe. / The figures as ADX, which DHIS2 imports.

    The figures that Relais sends to DHIS2, and no others: what waits for approval, or is held back, is not in the files.
    """
    with period_given(period), house() as made:
        engine = made.engine
        known(engine, data_set, org_unit)
        _may_be_said(engine.pack, data_set)
        folder.mkdir(parents=True, exist_ok=True)
        Actions(engine).read_audit("export.adx", engine.pack.id, me())
        files: dict[str, int] = {}
        behind: Counter[str] = Counter()
        blocks = _leaving(engine.pack, figures.blocks(engine, data_set, period, org_unit), behind)
        for (id, when), of_file in groupby(blocks, key=lambda one: (one.data_set.id, one.period)):
            name = f"{id}-{when}.adx.xml"
            with _whole(folder / name) as file:
                file.write(adx.opening(engine.now()).encode())
                for one in of_file:
                    code = one.data_set.code
                    values = [(figure.element, figure.categories, figure.value) for figure in one.leaving]
                    file.write(adx.group(engine.pack, code, one.org_unit, when, values).encode())
                    files[name] = files.get(name, 0) + len(values)
                file.write(adx.CLOSING.encode())
        document = _document(folder, files, behind)
        Actions(engine).read_audit("export.adx.done", engine.pack.id, me(), files=len(files), values=document["values"])
    _show(document, json, say("chiffres", "figures"))


@export_app.command("mreport")
def export_mreport(
    folder: Annotated[Path, typer.Argument(help="Folder for MeasureReport.ndjson.")] = Path("export-mreport"),
    data_set: DataSetId = None,
    period: Period = None,
    org_unit: OrgUnit = None,
    json: Json = False,
) -> None:
    """Les chiffres en MeasureReport FHIR, en NDJSON. / The figures as FHIR MeasureReports, as NDJSON.

    The figures that Relais sends to DHIS2, and no others; one resource per data set, org unit and period, under the id
    it also has at a FHIR server of the pack.
    """
    with period_given(period), house() as made:
        engine = made.engine
        known(engine, data_set, org_unit)
        folder.mkdir(parents=True, exist_ok=True)
        Actions(engine).read_audit("export.mreport", engine.pack.id, me())
        reports = values = 0
        behind: Counter[str] = Counter()
        with _whole(folder / "MeasureReport.ndjson") as file:
            for one in figures.blocks(engine, data_set, period, org_unit):
                behind.update(one.behind)
                whole = [figure for figure in one.leaving if figure.indicator not in one.partial]
                behind["partial"] += len(one.leaving) - len(whole)
                if not whole:
                    continue
                resource = _report(engine, one, whole)
                if not r4.is_valid(resource):
                    behind["invalid"] += len(whole)
                    continue
                file.write(orjson.dumps(resource, option=orjson.OPT_APPEND_NEWLINE))
                reports, values = reports + 1, values + len(whole)
        document = _document(folder, {"MeasureReport.ndjson": reports}, behind) | {"values": values}
        Actions(engine).read_audit("export.mreport.done", engine.pack.id, me(), reports=reports, values=values)
    _show(document, json, say("rapports", "reports"))
    leave(3 if behind["invalid"] else 0)


def _report(engine: Engine, one: Figures, whole: Iterable[Figure]) -> dict[str, Any]:
    """``whole``: of indicators of which every figure leaves, as a report also has their totals."""
    cells = [(figure.indicator, figure.part, figure.categories, figure.value) for figure in whole]
    return engine.builder.measure_report(one.data_set, one.org_unit, one.period, cells)


def _leaving(pack: Pack, blocks: Iterable[Figures], behind: Counter[str]) -> Iterator[Figures]:
    """The blocks with something to say, without what ADX has no name for. Counts into ``behind`` what stays."""
    for one in blocks:
        behind.update(one.behind)
        named = tuple(figure for figure in one.leaving if _is_named(pack, figure))
        behind["unnamed"] += len(one.leaving) - len(named)
        if named:
            yield replace(one, leaving=named)


def _is_named(pack: Pack, figure: Figure) -> bool:
    try:
        for one in figure.categories:
            adx.code_of(pack, *one)
    except KeyError:
        return False
    return True


def _may_be_said(pack: Pack, data_set: str | None) -> None:
    if wrong := adx.unsayable(pack, [data_set] if data_set else pack.data_sets):
        codes = ", ".join(f"{one.id} ({one.code})" for one in wrong)
        raise ConfigError(
            f"ADX has categories as XML attributes, and these codes can be none: {codes}. Nothing was written. Give them "
            "a code of letters, digits, _ . - that begins with a letter, in categories.yaml and in DHIS2.",
            french=f"ADX met les catégories en attributs XML, et ces codes ne peuvent pas en être : {codes}. Rien n'a été "
            "écrit. Donnez-leur un code en lettres, chiffres, _ . - qui commence par une lettre, dans categories.yaml et "
            "dans DHIS2.",
        )


@contextmanager
def _whole(file: Path) -> Iterator[BinaryIO]:
    """A file that is there when all of it is: an import must not take half a month for a month."""
    part = file.with_name(file.name + ".part")
    try:
        with part.open("wb") as written:
            yield written
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _document(folder: Path, files: Mapping[str, int], behind: Counter[str]) -> dict[str, Any]:
    left = {why: count for why, count in sorted(behind.items()) if count}
    return {"folder": str(folder), "files": dict(files), "values": sum(files.values()), "left_out": left}


def _show(document: dict[str, Any], json: bool, counted: str) -> None:
    if json:
        json_out(document)
        return
    table([say("fichier", "file"), counted], sorted(document["files"].items()))
    for why, count in document["left_out"].items():
        words = say(*BEHIND[why])
        err.print(say(f"Chiffres laissés de côté : {count}, {words}.", f"Figures left out: {count}, {words}."))
