"""Write the pages of ``docs/`` that are read off the code, so that they cannot grow old.

    python scripts/make_reference.py            write them
    python scripts/make_reference.py --check    exit 1 when one of them is not what the code says

Pages: reasons.md (reason codes and errors), commands.md, settings.md, lint.md and one of lint/ for each code,
metrics.md, and indicators.md, which is read off the pack. ``tests/docs`` compares.
"""

from __future__ import annotations

import argparse
import ast
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT))

import typer  # noqa: E402

from connector import errors  # noqa: E402
from connector.adapters import dhis2_probe, dhis2_tracker_probe, openmrs_probe  # noqa: E402
from connector.bootstrap import REASONS  # noqa: E402
from connector.cli.app import with_commands  # noqa: E402
from connector.findings import Code  # noqa: E402
from connector.mappings import lint_codes as lint  # noqa: E402
from connector.mappings.connection_shapes import EVERY, SETTINGS_OF, SOURCES, TARGETS  # noqa: E402
from connector.settings import Settings  # noqa: E402
from scripts import indicators_page  # noqa: E402
from tests.contract.live_plants import LIVE, TRACKER  # noqa: E402
from tests.unit.lint_plants import MARK, PLANTS  # noqa: E402

MADE = "<!-- Made by scripts/make_reference.py. Do not edit: change the code and run it again. -->\n"
REASON_CODE = re.compile(r"(dhis2|openmrs|fhir|cht|source)\.[A-Za-z0-9_]+")
#: Looks like a code and is none: a file of the pack, events of the audit trail.
NO_CODE = {"dhis2.yaml", "openmrs.yaml", "source.failed"}


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|").replace("<", "&lt;")


def code(text: str) -> str:
    return f"`{text}`" if text else ""


# ---------------------------------------------------------------- reasons and errors

GROUPS = {
    "dhis2": "DHIS2",
    "openmrs": "OpenMRS",
    "fhir": "FHIR server",
    "cht": "Answers to CHT",
    "source": "Sources",
    "": "Records and deliveries",
}
WHO = {
    "mapping": ("traduction", "the person who keeps the configuration pack"),
    "credentials": ("identifiants", "whoever holds the user and password of that connection"),
    "target_admin": ("administration de la cible", "the administrator of DHIS2, OpenMRS or the FHIR server"),
    "chw_data": ("données des ASC", "the supervisor of the CHW who recorded it"),
    "clinic": ("centre de santé", "the reception of the clinic"),
    "ministry": ("ministère", "the person at the ministry who answers for the figures"),
    "sysadmin": ("administration de Relais", "the person who runs this server"),
    "nobody": ("personne", "it heals by itself, or all is well"),
}
VERDICTS = {
    "accepted": "the target holds it",
    "rejected": "the target refuses it and would again: the delivery is parked, the record is in quarantine",
    "deferred": "later; Relais comes back by itself unless somebody is named",
    "unknown": "no trusted answer: quiet time, then Relais looks before it sends again",
}


def reasons_page() -> str:
    out = [MADE, "# Reason codes\n"]
    out.append(
        "Why something is where it is. A code is the same on the web page, in `relais status`, `relais deliveries`, "
        "`relais quarantine` and in the JSON; it never carries a value of a record. The sentences below are those "
        "people see, in French and in English.\n"
    )
    out.append("## Who must act\n")
    out.append(table(["`who`", "French page says", "means"], [(code(w), fr, en) for w, (fr, en) in WHO.items()]))
    out.append("## What a verdict means\n")
    out.append(table(["verdict", "means"], [(code(v), text) for v, text in VERDICTS.items()]))
    for group, title in GROUPS.items():
        chosen = {k: r for k, r in REASONS.items() if _group(k) == group}
        out.append(f"## {title}\n")
        rows = [(code(k), r.verdict.value, r.who.value, r.fr, r.en) for k, r in sorted(chosen.items())]
        out.append(table(["code", "verdict", "who", "fr", "en"], rows))
    out.append("## Of a whole connection\n")
    out.append("Seen by `relais doctor` and `relais check --live`; they speak of a server, not of a delivery.\n")
    rows = [(code(k), says) for k, says in sorted(of_connections().items())]
    out.append(table(["code", "what it says"], rows))
    out.append("## Remarks on a record that was mapped all the same\n")
    out.append("The record counts; the fact named is left out, if not said otherwise. `relais trace` shows them.\n")
    out.append(table(["code", "means"], [(code(k), text) for k, text in FLAGS.items()]))
    out.append("## Errors that stop a step\n")
    out.append("Each says what happened, what Relais does now and what a person should do. `exit` is the exit code.\n")
    rows = [(code(e.code), str(e.exit_code), e.french, " ".join((e.__doc__ or "").split())) for e in error_classes()]
    out.append(table(["code", "exit", "fr", "en"], rows))
    return "\n".join(out)


FLAGS = {
    "fact.failed": "the expression failed on this record",
    "fact.type": "the value is not of the concept's kind",
    "fact.answer": "the value is not one of the concept's answers",
    "fact.too_long": "a text or a list is longer than allowed",
    "fact.implausible": "the number is not `plausible` by its concept: kept and shown, neither counted nor sent",
    "fact.implausible_counted": "the same, where the concept says that it counts all the same (`counts: true`)",
    "code.unknown": "the answer is not in the table of the mapping",
}


def _group(name: str) -> str:
    first = name.partition(".")[0]
    return first if first in GROUPS and "." in name else ""


def error_classes() -> list[type[errors.RelaisError]]:
    """Every error of ours, in the order of the file."""
    found = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.RelaisError)]
    return sorted(found, key=lambda c: inspect.getsourcelines(c)[1])


def of_connections() -> dict[str, str]:
    """Codes in the adapters that are in no table of reasons, with the message beside them."""
    found: dict[str, str] = {}
    told = {e.code for e in error_classes()}
    for path in sorted((ROOT / "connector/adapters").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            texts = _call_texts(node)
            sentences = [t for t in texts if " " in t]
            for one in texts:
                if sentences and REASON_CODE.fullmatch(one) and one not in {*REASONS, *NO_CODE, *told}:
                    found[one] = sentences[0]
    return found


def _call_texts(node: ast.AST) -> list[str]:
    if not isinstance(node, ast.Call):
        return []
    values = [*node.args, *(k.value for k in node.keywords)]
    return [t for value in values if (t := _template(value)) is not None]


def _template(node: ast.AST) -> str | None:
    """A string as written, with ``…`` where a value goes; None for what is no string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.IfExp):
        return _template(node.body)
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "nearest":
        return "Did you mean …?"
    return None


# ---------------------------------------------------------------- commands

#: What options mean that say nothing themselves, by name.
MEANING = {
    "pack": "Folder of the pack; else `RELAIS_PACK`.",
    "strict": "Also fail when something has no example.",
    "target": "Name of a target in `connector.yaml`.",
    "source": "Name of a source in `connector.yaml`.",
    "name": "Name of a source or target; for `user add` the name to sign in with.",
    "period": "A DHIS2 period: `202607`, `2026Q3`.",
    "org_unit": "Code of a DHIS2 org unit.",
    "data_element": "Code of a DHIS2 data element.",
    "combo": "Code of a category option combination; `default` without categories.",
    "cell": "Number of one value, as `relais plan --json` shows it.",
    "code": "A reason code, such as `form.unknown`.",
    "ids": "Numbers of deliveries.",
    "limit": "At most so many rows.",
    "after": "Go on after this number.",
    "dry_run": "Say what would happen, do nothing.",
    "reason": "Why, for whoever looks next. It is kept.",
    "note": "What was done about it. It is kept.",
    "heads": "Signed heads kept elsewhere.",
    "file": "The copy.",
    "form": "Name of a form of the pack, or `source/form`.",
    "password": "Asked for when not given; better not given.",
    "key": "Key of the record at its source.",
    "seed": "The same seed gives the same district, byte for byte.",
    "start": "First month.",
    "months": "How many months.",
    "sites": "How many CHW sites.",
    "chws": "How many CHWs.",
    "zone": "Time zone of the district.",
    "dhis2": "How the simulated DHIS2 answers.",
    "openmrs": "How the simulated OpenMRS answers.",
    "ports_from": "The simulators take the four ports after this one.",
    "env_file": "Also write the variables the pack needs into this file.",
}
EXITS = (
    ("0", "fine"),
    ("1", "error"),
    ("2", "wrong use or configuration: a broken pack, a wrong key"),
    ("3", "findings of severity error, differences, failed examples, or something that needs a person"),
    ("4", "a connection is refused its credentials"),
    ("5", "work waits: a target or source out of reach, or not due yet"),
    ("130", "interrupted"),
)


def commands() -> Iterator[tuple[str, Any]]:
    """``relais ...`` and its command object, by name: the order in which modules register them hangs on who asks."""
    yield from sorted(_walk(typer.main.get_command(with_commands()), "relais"), key=lambda one: one[0])


def _walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
    else:
        for name, one in below.items():
            yield from _walk(one, f"{path} {name}")


def is_option(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "option")


def english(text: str) -> tuple[str, str]:
    """(English, French) of a help text ``French / English``."""
    french, slash, other = text.strip().partition(" / ")
    return (other, french) if slash else (french, "")


def commands_page() -> str:
    out = [MADE, "# Commands\n"]
    out.append(
        "After `make demo` or `make test` the command is `.venv/bin/relais`; in a container and under systemd it is "
        "`relais`. Data goes to stdout, progress and prose to stderr. Words and layout are for people and may change; "
        "**JSON keys and exit codes are the contract** and change only with a line in the "
        "[changelog](../CHANGELOG.md).\n\n"
        "Messages are French unless `RELAIS_LANG`, or else `LANG`, names another language; then they are English. "
        "`C`, `C.UTF-8` and `POSIX` name none. "
        "`NO_COLOR` is respected.\n\n"
        "Every option can also be given as the environment variable beside it.\n"
    )
    out.append("## Exit codes\n")
    out.append(table(["code", "means"], EXITS))
    out.append(
        "The same with and without `--json`. `relais run`: 4 when credentials are refused, else 5 when anything "
        "waits, else 3 when something needs a person, else 0.\n"
    )
    for path, command in commands():
        words, french = english(command.help or "")
        arguments = [p for p in command.params if not is_option(p)]
        out.append(f"## {path}\n")
        out.append(f"{words}" + (f" *({french})*" if french else "") + "\n")
        usage = [path, *map(_argument, arguments)]
        if len(arguments) < len(command.params):
            usage.append("[options]")
        out.append(f"```\n{' '.join(usage)}\n```\n")
        if command.params:
            rows = [_parameter(path, p) for p in command.params]
            out.append(table(["", "environment", "default", "means"], rows))
    return "\n".join(out)


def _argument(parameter: Any) -> str:
    name = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _parameter(path: str, parameter: Any) -> tuple[str, str, str, str]:
    words = (getattr(parameter, "help", None) or "").strip() or MEANING.get(parameter.name, "")
    if not words:
        raise SystemExit(f"{path}: {parameter.name} has no help: say it in the command, or in MEANING of this script")
    if not is_option(parameter):
        default = "" if parameter.default is None else code(str(parameter.default))
        return f"`{parameter.name.upper()}`", "", default, words
    name = path.partition(" ")[2].replace(" ", "_").replace("-", "_")
    variable = f"RELAIS_{name}_{parameter.name}".upper()
    default = "required" if parameter.required else _default(parameter.default)
    return ", ".join(map(code, parameter.opts)), code(variable), default, words


def _default(value: Any) -> str:
    if value in (None, False, ""):
        return ""
    return "on" if value is True else code(str(value))


# ---------------------------------------------------------------- settings

#: What people may set that is read before the settings are.
BESIDE = (
    (
        "RELAIS_LANG",
        "Language of messages: French for `fr`, `fr_ML.UTF-8` ..., and for `C`, `C.UTF-8` and `POSIX`, which name no "
        "language; English for any other. Empty or not set: `LANG`, by the same rule; without it French.",
        "",
    ),
    ("RELAIS_DEMO_PORTS", "The demo's simulators take the four ports after this one.", "`9100`"),
)


def setting_comments() -> dict[str, str]:
    """Field -> the ``#:`` lines above it in ``Settings``; a field without takes those of the field before."""
    found: dict[str, str] = {}
    comment: list[str] = []
    last = ""
    for line in inspect.getsource(Settings).splitlines():
        text = line.strip()
        if text.startswith("#:"):
            comment.append(text[2:].strip())
        elif (match := re.match(r"([a-z_]+): ", text)) and match[1] in Settings.model_fields:
            last = " ".join(comment) or last
            found[match[1]] = last
            comment = []
        elif not text:
            comment = []
    return found


SAID = {
    "host": "Address the web page listens on.",
    "port": "Port of the web page.",
    "env": "`demo` on loopback needs no sign-in and makes its own key; `production` needs both.",
    "log_level": "`debug`, `info`, `warning` or `error`.",
}


def settings_page() -> str:
    comments = setting_comments()
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else code(str(field.default))
        rows.append((code(f"RELAIS_{name.upper()}"), SAID.get(name) or comments[name], default))
    rows += [(code(name), text, default) for name, text, default in BESIDE]
    out = [MADE, "# Settings\n"]
    out.append("Settings of Relais itself are environment variables. An empty one counts as not set.\n")
    out.append(table(["variable", "means", "default"], rows))
    out.append("## Secrets and addresses\n")
    out.append(
        "A pack names them and never holds them: `${NAME}` is read from the environment, `${NAME:-default}` likewise "
        "with a default, `${file:NAME}` is the content of a file in `RELAIS_SECRETS_DIR`. What is missing is a finding "
        "of `relais check` with file and line (`secret.missing`).\n"
    )
    out.append("The pack `config/mali-health` names these:\n")
    out.append(table(["variable", "where"], [(code(n), ", ".join(places)) for n, places in pack_variables().items()]))
    out.append("## Settings of a connection\n")
    out.append("In `connector.yaml`, under a source or a target. Every kind may also have `timeout` and `insecure`.\n")
    said = {key: one.doc[1] for fields in (*SETTINGS_OF.values(), EVERY) for key, one in fields.items()}
    rows = [
        (code(key), words, ", ".join(k for k, fields in SETTINGS_OF.items() if key in fields) or "all")
        for key, words in said.items()
    ]
    out.append(table(["key", "means", "kinds"], rows))
    out.append("Whatever the kind:\n")
    shared = [
        (code(key), one.doc[1], what, code(one.default) if one.default else "")
        for what, group in (("sources", SOURCES), ("targets", TARGETS))
        for key, one in group.fields.items()
        if key not in said
    ]
    out.append(table(["key", "means", "of", "default"], shared))
    return "\n".join(out)


def pack_variables() -> dict[str, list[str]]:
    """Variable -> the connections of the Mali pack that name it."""
    found: dict[str, list[str]] = {}
    section, name = "", ""
    for line in (ROOT / "config/mali-health/connector.yaml").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([a-z]+):", line):
            section, name = match[1], ""
        elif match := re.match(r"  ([a-z0-9_]+):", line):
            name = match[1]
        if not line.lstrip().startswith("#"):
            for variable in re.findall(r"\$\{([A-Z][A-Z0-9_]+)", line):
                place = f"{section} {name}".strip()
                if place not in found.setdefault(variable, []):
                    found[variable].append(place)
    return dict(sorted(found.items()))


# ---------------------------------------------------------------- lint


def lint_codes() -> dict[str, Code]:
    """Code -> its words, for everything that ``relais check`` can find, with ``--live`` at the end."""
    return {**dict(sorted(lint.CODES.items())), **live_codes()}


def live_codes() -> dict[str, Code]:
    return {**dhis2_probe.FINDINGS, **dhis2_tracker_probe.FINDINGS, **openmrs_probe.FINDINGS}


_NEAREST = ("Vouliez-vous dire … ?", "Did you mean …?")


def _filled(text: str, language: int = 1) -> str:
    """A text of a code with ``…`` where something of the pack goes."""
    text = text.replace("{nearest}", _NEAREST[language])
    return re.sub(r"(\{\w+(![a-z])?\})+", "…", text).replace("{{", "{").replace("}}", "}").strip()


def lint_page() -> str:
    out = [MADE, "# What `relais check` can find\n"]
    out.append(
        "Ce que `relais check` peut trouver. Chaque code a sa page : ce qu'il dit, pourquoi c'est important, un "
        "exemple faux et un juste, comment faire. Une erreur empêche Relais de démarrer ; un avertissement non "
        "(`--strict` : si).\n\n"
        "Each code has its page: what it says, why it matters, a wrong and a right example, how to mend it. Errors "
        "stop Relais from starting, warnings do not (but fail with `--strict`). `…` stands for a name from your pack. "
        "The JSON has `code`, `severity`, `file`, `line`, `column`, `message`, `why`, `fix`.\n"
    )
    for title, codes in (
        ("In the pack / Dans le paquet", lint.CODES),
        ("At the servers, with `--live` / Chez les serveurs", live_codes()),
    ):
        out.append(f"## {title}\n")
        rows = [
            (f"[`{name}`](lint/{name}.md)", str(one.severity), _filled(one.what[0]), _filled(one.what[1]))
            for name, one in sorted(codes.items())
        ]
        out.append(table(["code", "", "fr", "en"], rows))
    out.append(
        "What a whole connection may say besides (unreachable, wrong password ...) is among the "
        "[reason codes](reasons.md).\n"
    )
    return "\n".join(out)


SEVERITIES = {"error": "erreur / error", "warning": "avertissement / warning"}


def lint_code_page(name: str) -> str:
    one = lint_codes()[name]
    out = [MADE, f"# `{name}`\n", f"{SEVERITIES[str(one.severity)]} · [tous les codes / all codes](../lint.md)\n"]
    for index, (why, mend) in enumerate((("Pourquoi ", "Comment faire "), ("Why", "How to mend it"))):
        out.append(
            f"**{_filled(one.what[index])}**\n\n{why}: {_filled(one.why[index])}\n\n"
            f"{mend}: {_filled(one.fix[index], index)}\n"
        )
    file, wrong, right = _examples_of(name)
    fence = "yaml" if file.endswith(".yaml") else "text"
    for words, text in (("Faux / wrong", wrong), ("Juste / right", right)):
        where = f", {file}" if file else ""
        shown = text or ("# (rien / nothing)" if fence == "yaml" else "(rien / nothing)")
        out.append(f"{words}{where}:\n\n```{fence}\n{shown}\n```\n")
    return "\n".join(out)


def _examples_of(name: str) -> tuple[str, str, str]:
    """File, wrong and right of a code: what the tests plant, so that no example is invented."""
    for live in (*LIVE, *TRACKER):
        if live.code == name:
            return "", live.wrong, live.right
    plant = next(one for one in PLANTS if one.code == name)
    if plant.page is not None:
        wrong, right = plant.page
        return "" if plant.do is not None else plant.file, wrong, right
    text = (ROOT / "config/mali-health" / plant.file).read_text("utf-8")
    at = text.index(plant.right)
    start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at + len(plant.right.rstrip("\n")))
    before, after = text[start:at], text[at + len(plant.right) : max(end, at + len(plant.right))]
    wrong = before + plant.wrong.replace(MARK, "") + after
    return plant.file, _dedented(wrong), _dedented(text[start:end])


def _dedented(text: str) -> str:
    return textwrap.dedent(text.rstrip("\n").split("#")[0].rstrip() if "\n" not in text else text.rstrip("\n"))


# ---------------------------------------------------------------- metrics


def metrics() -> list[tuple[str, str, str, str]]:
    """(name as scraped, kind, labels, help) of everything ``/metrics`` shows."""
    found = []
    for node in ast.walk(ast.parse((ROOT / "connector/web/metrics.py").read_text(encoding="utf-8"))):
        called = getattr(getattr(node, "func", None), "id", "")
        if called not in ("GaugeMetricFamily", "CounterMetricFamily") or not isinstance(node, ast.Call):
            continue
        texts = _call_texts(node)
        if len(texts) < 2:
            continue  # one whose name comes from elsewhere
        labels = next((ast.literal_eval(k.value) for k in node.keywords if k.arg == "labels"), [])
        suffix, kind = ("_total", "counter") if called.startswith("Counter") else ("", "gauge")
        found.append((texts[0] + suffix, kind, ", ".join(labels), texts[1]))
    return sorted(found)


def metrics_page() -> str:
    out = [MADE, "# Metrics\n"]
    out.append(
        "`GET /metrics` in the Prometheus format. From this machine it is open; from elsewhere it takes a "
        "[token](sysadmin.md#tokens-for-machines) with the role `observe`, or a person who is signed in. "
        "Nothing in it names a person. Labels hold the names of connections and states only.\n"
    )
    rows = [(code(name), kind, labels, text) for name, kind, labels, text in metrics()]
    out.append(table(["metric", "kind", "labels", "means"], rows))
    out.append(
        'Worth an alarm: `relais_connection_state{state="action_needed"} == 1`, '
        "`relais_connection_oldest_waiting_seconds` over a day, `time() - relais_connection_last_success_seconds` over "
        "a day.\n"
    )
    return "\n".join(out)


def indicators_page_() -> str:
    return MADE + "\n" + indicators_page.page(indicators_page.load(), _cell)


PAGES: Mapping[str, Callable[[], str]] = {
    "reasons.md": reasons_page,
    "commands.md": commands_page,
    "settings.md": settings_page,
    "lint.md": lint_page,
    "metrics.md": metrics_page,
    **{f"lint/{name}.md": functools.partial(lint_code_page, name) for name in lint_codes()},
    "indicators.md": indicators_page_,
}


def without_code() -> list[str]:
    """Pages of codes that there are no more."""
    return [name for path in sorted((DOCS / "lint").glob("*")) if (name := f"lint/{path.name}") not in PAGES]


def stale() -> list[str]:
    """Pages that are not what the code says now."""
    there = {name: (DOCS / name).read_text("utf-8") if (DOCS / name).is_file() else "" for name in PAGES}
    return [name for name, make in PAGES.items() if there[name] != make()] + without_code()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        old = stale()
        for name in old:
            print(f"docs/{name} is out of date: run python scripts/make_reference.py", file=sys.stderr)
        return 1 if old else 0
    (DOCS / "lint").mkdir(exist_ok=True)
    for name in without_code():
        (DOCS / name).unlink()
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), "utf-8")
    print(f"{len(PAGES)} pages in docs/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
