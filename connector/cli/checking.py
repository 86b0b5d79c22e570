"""Commands about the pack: check, schema."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from connector.cli.app import Json, app, leave, run_async
from connector.cli.output import json_out, out, say
from connector.loading import load
from connector.mappings import lint_codes
from connector.mappings.lint_live import placed
from connector.mappings.pack_shapes import KINDS_OF_FILE
from connector.mappings.schema import ENDING, editor_settings, json_schema
from connector.model import Finding, Severity
from connector.settings import Settings

_STYLES = {"error": "bold red", "warning": "yellow"}
_WORDS = {"error": ("erreur", "error"), "warning": ("avertissement", "warning"), "info": ("à savoir", "note")}
#: Codes whose line is not shown: it may hold what must not be seen.
_HIDDEN = ("secret.",)


def finding_document(one: Finding) -> dict[str, Any]:
    """A finding as ``relais check --json`` prints it; in English, as every JSON."""
    return {
        "code": one.code,
        "severity": str(one.severity),
        "file": one.file,
        "line": one.line,
        "column": one.column,
        "message": one.message,
        "why": one.why,
        "fix": one.fix,
    }


@app.command()
def check(
    pack: Annotated[Path | None, typer.Argument()] = None,
    live: Annotated[bool, typer.Option("--live", help="Also ask the targets.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    json: Json = False,
) -> None:
    """Vérifier le paquet de configuration. / Lint the configuration pack."""
    settings = Settings.load()
    settings = settings.model_copy(update={"pack": pack}) if pack else settings
    made, findings = load(settings)
    asked = live and not _errors(findings)
    if asked:
        findings = findings + _ask(settings)
    if json:
        json_out({"findings": [finding_document(one) for one in findings]})
    else:
        show(findings, Path(made.folder))
        if live and not asked:
            out.print(
                say(
                    "Les cibles ne sont interrogées que par un paquet sans erreur.",
                    "The targets are asked only for a pack without errors.",
                )
            )
    leave(3 if _errors(findings) or (strict and findings) else 0)


def _errors(findings: Sequence[Finding]) -> int:
    return sum(one.severity is Severity.ERROR for one in findings)


def _ask(settings: Settings) -> list[Finding]:
    """What sources and targets say of themselves, placed in the pack where they speak of it."""
    from connector import bootstrap  # only now: see app.READING

    made = bootstrap.build(settings)
    try:

        async def probe() -> list[Finding]:
            found: list[Finding] = []
            for name, adapter in (*made.engine.sources.items(), *made.engine.targets.items()):
                found += placed(made.pack, name, await adapter.probe(), bootstrap.REASONS)
            return found

        return run_async(made, probe)
    finally:
        made.close()


# ---------------------------------------------------------------- for people


def show(findings: Sequence[Finding], folder: Path) -> None:
    """Findings grouped by file, each with its line, why it matters and how to mend it."""
    for file, ones in groupby(sorted(findings, key=_order), key=lambda one: one.file):
        out.print(f"[bold underline]{escape(file or say('ailleurs', 'elsewhere'))}[/]")
        lines = _lines(folder / file) if file else []
        for one in ones:
            _show(one, lines)
        out.print()
    out.print(_summary(findings))


def _order(one: Finding) -> tuple[str, int, int, str]:
    return one.file, one.line, one.column, one.code


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _show(one: Finding, lines: Sequence[str]) -> None:
    message, why, fix = in_words(one)
    style = _STYLES.get(str(one.severity), "dim")
    place = f"{one.line}:{one.column}" if one.line else "–"
    word = say(*_WORDS[str(one.severity)])
    out.print(f"  {place:>7}  [{style}]{word}[/]  {escape(message)}  [dim]{one.code}[/]", soft_wrap=True)
    if 1 <= one.line <= len(lines) and not one.code.startswith(_HIDDEN):
        text = lines[one.line - 1]
        start = max(0, one.column - 60)
        shown = text[start : start + 100].replace("\t", " ")
        out.print(Padding(Text(shown, style="dim", no_wrap=True, overflow="crop"), (0, 0, 0, 11)), soft_wrap=True)
        out.print(Padding(Text(" " * (one.column - 1 - start) + "^", style=style, no_wrap=True), (0, 0, 0, 11)))
    for text in (why, f"→ {fix}" if fix else ""):
        if text:
            out.print(Padding(Text(text), (0, 0, 0, 11)))


def in_words(one: Finding) -> tuple[str, str, str]:
    """What, why and how to mend it, in the language of the terminal; English where there is no French."""
    english = (one.message, one.why, one.fix)
    what, why, fix = (say(fr or en, en) for fr, en in zip(one.french, english, strict=True))
    return what, why, fix


def _summary(findings: Sequence[Finding]) -> str:
    if not findings:
        return say("[green]Rien à redire.[/]", "[green]Nothing to report.[/]")
    errors = _errors(findings)
    others = len(findings) - errors
    return say(
        f"[bold]{errors} erreur(s), {others} avertissement(s)[/]  ·  chaque code : {_pages(findings)}",
        f"[bold]{errors} error(s), {others} warning(s)[/]  ·  each code: {_pages(findings)}",
    )


def _pages(findings: Sequence[Finding]) -> str:
    """The pages that list the codes shown: those of sources and targets are with the reasons of deliveries."""
    known = {one.code in lint_codes.CODES for one in findings}
    return ", ".join(page for page, has in (("docs/lint.md", True), ("docs/reasons.md", False)) if has in known)


# ---------------------------------------------------------------- schemas for editors


@app.command()
def schema(
    kind: Annotated[
        str | None, typer.Argument(metavar="[FILE KIND]", help="One kind of file; see them with none.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--out", help="Write one schema per kind into this folder.")] = None,
    json: Json = False,
) -> None:
    """Le schéma JSON des fichiers du paquet, pour les éditeurs. / The JSON Schema of the pack's files, for editors."""
    if kind is not None and kind not in KINDS_OF_FILE:
        raise typer.BadParameter(f"{kind}: {', '.join(KINDS_OF_FILE)}")
    chosen: Iterable[str] = [kind] if kind else KINDS_OF_FILE
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for one in chosen:
            (folder / f"{one}{ENDING}").write_bytes(_pretty(json_schema(one)))
        json_out({"written": [f"{one}{ENDING}" for one in chosen]}) if json else out.print(str(folder))
        return
    if kind is not None:
        out.file.write(_pretty(json_schema(kind)).decode())
        return
    if json:
        json_out({"kinds": {name: {"files": list(one.files)} for name, one in KINDS_OF_FILE.items()},
                  "yaml.schemas": editor_settings(".schema")})  # fmt: skip
        return
    for name, one in KINDS_OF_FILE.items():
        out.print(f"[bold]{name:<15}[/] {', '.join(one.files):<24} [dim]{say(*one.says)}[/]", soft_wrap=True)


def _pretty(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
