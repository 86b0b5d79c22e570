"""What a command prints: data to stdout, progress and prose to stderr; ``--json`` and people see the same facts."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from connector.errors import RelaisError
from connector.web.locale import en, fr

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def in_french(environment: Mapping[str, str]) -> bool:
    """Is French the language of the terminal? ``C`` and ``POSIX`` name no language, as does a variable that is empty."""
    name = environment.get("RELAIS_LANG") or environment.get("LANG") or "fr"
    return re.split(r"[_.@-]", name.lower())[0] in ("fr", "c", "posix")


FRENCH = in_french(os.environ)

#: state -> (style, French, English)
STATES = {
    "ok": ("green", "À jour", "Up to date"),
    "running": ("cyan", "En cours", "Running"),
    "waiting": ("yellow", "En attente", "Waiting"),
    "action_needed": ("bold red", "À traiter", "Action needed"),
    "silent": ("yellow", "Silencieux", "Silent"),
    "paused": ("dim", "En pause", "Paused"),
    "never_run": ("dim", "Jamais lancé", "Never run"),
    "pending": ("yellow", "En file", "Queued"),
    "leased": ("cyan", "Envoi en cours", "Sending"),
    "accepted": ("green", "Accepté", "Accepted"),
    "rejected": ("bold red", "Refusé", "Rejected"),
    "deferred": ("yellow", "Reporté", "Deferred"),
    "unknown": ("yellow", "Incertain", "Uncertain"),
    "parked": ("bold red", "Mis de côté", "Parked"),
    "resolved": ("dim", "Classé", "Resolved"),
    "settled": ("green", "Tout est livré", "All delivered"),
    "needs_a_person": ("bold red", "Une personne doit agir", "A person is needed"),
    "held": ("yellow", "Retenu", "Held"),
    "mapped": ("green", "Traduite", "Mapped"),
    "quarantined": ("bold red", "En quarantaine", "In quarantine"),
    "deleted": ("dim", "Supprimée", "Deleted"),
    "wanted": ("yellow", "Voulu", "Wanted"),
    "old": ("dim", "Avant live_from", "Before live_from"),
    "shadow": ("dim", "Calculé seulement", "Computed only"),
}


def say(french: str, english: str) -> str:
    return french if FRENCH else english


def sentence(error: RelaisError) -> str:
    return say(error.french, str(error))


def state(name: str) -> str:
    style, french, english = STATES.get(name, ("", name, name))
    return f"[{style}]{say(french, english)}[/]" if style else say(french, english)


def who(name: str | None) -> str:
    """Who must act, in the words of the page."""
    return str((fr if FRENCH else en).WORDS.get(f"who.{name}", name or ""))


def plain(value: Any) -> str:
    """A fact's value on one line."""
    if isinstance(value, bool):
        return say("oui", "yes") if value else say("non", "no")
    if isinstance(value, list | dict):
        return escape(orjson.dumps(value, default=str).decode())
    return escape(str(value))


def json_out(document: Any) -> None:
    sys.stdout.write(orjson.dumps(document, default=str).decode() + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
    made = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        made.add_column(column, overflow="fold", justify="left" if index == 0 else "default")
    for row in rows:
        made.add_row(*("" if v is None else str(v) for v in row))
    out.print(made)


class Watching:
    """Progress on long work, when stderr is a terminal; silence otherwise."""

    def __init__(self) -> None:
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TextColumn("{task.completed}"),
            TimeElapsedColumn(),
            console=err,
            transient=True,
        )
        self.tasks: dict[str, Any] = {}

    def __enter__(self) -> Callable[[str, int], None]:
        if not err.is_terminal:
            return lambda stage, count: None
        self.progress.start()
        return self.step

    def step(self, stage: str, count: int) -> None:
        if stage not in self.tasks:
            self.tasks[stage] = self.progress.add_task(stage, total=None)
        self.progress.advance(self.tasks[stage], count)

    def __exit__(self, *_: object) -> None:
        self.progress.stop()
