"""What a command prints: data to stdout, progress and prose to stderr; ``--json`` and people see the same facts."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

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


def local(moment: str | None, zone: str) -> str:
    """A moment of the documents as a person of the place reads it, to the minute."""
    return f"{datetime.fromisoformat(moment).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}" if moment else ""


def who(name: str | None) -> str:
    """Who must act, in the words of the page."""
    return str((fr if FRENCH else en).WORDS.get(f"who.{name}", name or ""))


def flag_words(flag: Mapping[str, Any]) -> str:
    """An answer that could not be used, in the words of the page, with its fact and its code."""
    catalogue = (fr if FRENCH else en).WORDS
    words = catalogue.get(f"flag.{flag['code']}", "")
    detail = catalogue.get(f"flag.detail.{flag.get('detail', '')}", "")  # an engine's own words are in --json alone
    shown = f"{words} [bold]{escape(flag['fact'])}[/]" + (f", {detail}" if detail else "")
    return f"{shown} [dim]({flag['code']})[/]".strip()


def flagged_words(n: int) -> str:
    """How many records count without an answer of theirs, and where they are listed."""
    if n == 1:
        return say(
            "[yellow]1 fiche[/] a une réponse à revoir : relais quarantine --flagged",
            "[yellow]1 record[/] has an answer to look at: relais quarantine --flagged",
        )
    return say(
        f"[yellow]{n} fiches[/] ont une réponse à revoir : relais quarantine --flagged",
        f"[yellow]{n} records[/] have an answer to look at: relais quarantine --flagged",
    )


def show_flags(flags: Sequence[Mapping[str, Any]]) -> None:
    used = [one for one in flags if one["code"] == "fact.implausible_counted"]
    unused = [one for one in flags if one not in used]
    if unused:
        out.print(
            say(
                "[yellow]Réponses qui n'ont pas pu être utilisées[/] (la fiche compte sans ces faits) :",
                "[yellow]Answers that could not be used[/] (the record counts without these facts):",
            )
        )
    for flag in (*unused, *used):
        out.print("  " + flag_words(flag))


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


def entries(columns: Sequence[str], rows: Sequence[tuple[Sequence[Any], Sequence[str]]]) -> None:
    """A table whose words stand under each row: (cells, words). Cells are never cut, however narrow the terminal, so
    that a key can be read and copied; words are wrapped."""
    heads = [[f"[bold]{column}[/]" for column in columns]] if rows else []
    cells = [["" if cell is None else str(cell) for cell in row] for row, _ in rows]
    lines = [[Text.from_markup(cell) for cell in row] for row in heads + cells]
    widths = [max(text.cell_len for text in column) for column in zip(*lines, strict=True)]
    below: list[Sequence[str]] = [(), *(words for _, words in rows)]
    for line, words in zip(lines, below, strict=False):
        for text, width in zip(line, widths, strict=True):
            text.pad_right(width - text.cell_len)
        whole = Text("  ").join(line)
        whole.rstrip()
        out.print(whole, soft_wrap=True)
        for said in words:
            if said:
                out.print(Padding(Text.from_markup(said), (0, 0, 0, 4), expand=False))


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
