"""``relais doctor``: what support would ask first, each with its remedy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.markup import escape

from connector import __version__, bootstrap
from connector.cli.app import Json, app, house, leave, run_async
from connector.cli.output import json_out, out, say, table
from connector.engine import expiring, tokens, trying
from connector.errors import RelaisError
from connector.findings import Pair
from connector.mappings.lint_live import placed
from connector.model import Finding, Severity
from connector.settings import Settings

#: Less room than this, in bytes, is not enough.
ROOM = 500_000_000

#: Checks by their name in the JSON, which is English. A connection goes by the name the pack gives it.
NAMES = {
    "version": "version",
    "pack": "paquet",
    "database": "base de données",
    "disk": "disque",
    "audit heads": "têtes signées",
    "tokens": "jetons",
    "start": "démarrage",
}
_REACH = (
    "Si cela dure, vérifiez l'adresse dans le paquet, et que ce serveur est joignable d'ici.",
    "If it stays, check the address in the pack, and that the server can be reached from here.",
)
_NONE = ("", "")
_SIGNS = {"info": "[green]✓[/]", "warning": "[yellow]![/]", "error": "[red]✗[/]"}


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's. ``message`` and ``remedy``: French, English."""

    name: str
    severity: Severity
    message: Pair
    remedy: Pair = _NONE

    @property
    def document(self) -> dict[str, Any]:
        ok = self.severity is Severity.INFO
        (message_fr, message), (remedy_fr, remedy) = self.message, _NONE if ok else self.remedy
        return {
            "name": self.name,
            "ok": ok,
            "severity": str(self.severity),
            "message": message,
            "remedy": remedy,
            "message_fr": message_fr,
            "remedy_fr": remedy_fr,
        }


def _check(name: str, ok: bool, message: Pair, remedy: Pair = _NONE, otherwise: Severity = Severity.ERROR) -> Check:
    return Check(name, Severity.INFO if ok else otherwise, message, remedy)


@app.command()
def doctor(json: Json = False) -> None:
    """Tout ce que l'assistance demanderait, avec les remèdes. / Everything support would ask, with remedies."""
    checks = [_check("version", True, (__version__, __version__))]
    try:
        settings = Settings.load()
        with house(strict=False) as made:
            checks += _here(made, settings)
            checks += run_async(made, lambda: _connections(made))
    except RelaisError as error:
        remedy = ("Faites ce que dit le constat.", "See the message.")
        checks.append(_check("start", False, (error.french, str(error)), remedy))
    if json:
        json_out({"checks": [one.document for one in checks]})
    else:
        _show(checks)
    leave(3 if any(one.severity is Severity.ERROR for one in checks) else 0)


def _here(made: bootstrap.House, settings: Settings) -> Iterator[Check]:
    """What this machine can say by itself."""
    pack = made.pack.id
    errors = sum(one.severity is Severity.ERROR for one in made.findings)
    found = (f"{pack} : {errors} erreur(s)" if errors else f"{pack} : aucune erreur", f"{pack}: {errors} error(s)")
    yield _check("pack", not errors, found, ("relais check", "relais check"))
    store = f"{'SQLite' if made.store.sqlite else 'PostgreSQL'}, "
    schema = made.store.schema()
    yield _check("database", True, (f"{store}schéma {schema}", f"{store}schema {schema}"))
    free = shutil.disk_usage(settings.home).free
    yield _check(
        "disk",
        free > ROOM,
        (f"{free // 1_000_000} Mo libres dans {settings.home}", f"{free // 1_000_000} MB free in {settings.home}"),
        (
            "Libérez au moins 500 Mo ; sur un disque plein, Relais ne reçoit plus rien.",
            "Free at least 500 MB; intake stops on a full disk.",
        ),
    )
    yield _check(
        "audit heads",
        settings.heads_elsewhere or settings.env == "demo",
        (f"les têtes signées du journal d'audit vont dans {settings.heads}", f"signed heads go to {settings.heads}"),
        (
            "Mettez dans RELAIS_AUDIT_HEADS un fichier sur un autre disque ou une autre machine, ou syslog:.",
            "Set RELAIS_AUDIT_HEADS to a file on another disk or machine, or syslog:.",
        ),
        Severity.WARNING,
    )
    for one in tokens.ending(made.engine):
        name, until = one["name"], one["expires"]
        yield _check(
            "tokens",
            False,
            (f"{name} : valable jusqu'au {until}", f"{name}: valid until {until}"),
            (
                "relais token new, puis relais token revoke pour celui-ci",
                "relais token new, then relais token revoke for this one",
            ),
            Severity.WARNING,
        )


async def _connections(made: bootstrap.House) -> list[Check]:
    """What every source and target says of itself."""
    checks: list[Check] = []
    for name, adapter in {**made.engine.sources, **made.engine.targets}.items():
        found = placed(made.pack, name, await adapter.probe(), bootstrap.REASONS)
        well = ("joignable, accès accepté, métadonnées en place", "reachable, authorised, metadata in place")
        checks += [_said(name, one) for one in found] or [_check(name, True, well)]
        whole = any(one.severity is Severity.ERROR and not one.about for one in found)
        if name in made.engine.targets and not whole:  # what was held back until it is mended goes with the next run
            trying.look_again(made.engine, name, answers=True)
            await expiring.look(made.engine, [name], anew=True)  # a token that was renewed: relais status knows at once
    return checks


def _said(name: str, one: Finding) -> Check:
    message, _, remedy = one.french
    fixes = [remedy or one.fix, one.fix]
    if one.code.endswith(".unreachable"):  # a delivery's reason says that it is tried again; here a person asks
        fixes = [f"{fix} {reach}".strip() for fix, reach in zip(fixes, _REACH, strict=True)]
    return Check(name, one.severity, (message or one.message, one.message), (fixes[0], fixes[1]))


def _show(checks: list[Check]) -> None:
    rows = []
    for one in checks:
        name = say(NAMES.get(one.name, one.name), one.name)
        # The name stands in the column before; messages of probes begin with it.
        message = say(*one.message).removeprefix(f"{one.name}: ").removeprefix(f"{one.name} : ")
        remedy = "" if one.severity is Severity.INFO else say(*one.remedy)
        rows.append([_SIGNS[str(one.severity)], *map(escape, (name, message, remedy))])
    table(["", say("contrôle", "check"), say("constat", "finding"), say("remède", "remedy")], rows)
    errors = sum(one.severity is Severity.ERROR for one in checks)
    warnings = sum(one.severity is Severity.WARNING for one in checks)
    if errors or warnings:
        out.print(say(f"{errors} à corriger, {warnings} à surveiller", f"{errors} to mend, {warnings} to watch"))
    else:
        out.print(say("Tout va bien.", "All is well."))
