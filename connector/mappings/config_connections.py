"""Reading the sources and targets of ``connector.yaml``, with the secrets and addresses they name.

A secret is named as ``${NAME}`` (environment), ``${NAME:-default}`` or ``${file:NAME}`` (a file of the folder of
secrets). Nothing here touches the network.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from connector import periods
from connector.findings import Pair
from connector.mappings.connection_shapes import EVERY, SETTINGS_OF, SOURCE_KINDS, TARGET_KINDS
from connector.mappings.pack import Place, SourceConfig, TargetConfig
from connector.mappings.pack_shapes import JOBS
from connector.mappings.schedules import schedule_problem
from connector.mappings.sections import Section
from connector.mappings.yaml_nodes import Findings, Map, Scalar, Seq, plain
from connector.model import Severity

#: What a connection of each kind may be told, beside what every one may.
SETTINGS = {kind: tuple(fields) for kind, fields in SETTINGS_OF.items()}
REFERENCE = re.compile(r"\$\{(?:(file):)?([A-Za-z_][A-Za-z0-9_.-]*)(?::-([^}]*))?\}")
#: Shorter values are no secrets, and hiding them would spoil the words they occur in.
_SHORTEST_SECRET = 6
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class Secrets:
    """Resolves references in scalars; a missing one is a finding and becomes empty."""

    def __init__(self, env: Mapping[str, str], folder: Path | None, findings: Findings, strict: bool) -> None:
        self.env = env
        self.folder = folder
        self.findings = findings
        self.strict = strict
        self.values: dict[str, str] = {}  #: what was read -> how the pack names it

    def hide(self, text: str) -> str:
        """``text`` with every value that was read replaced by its name: findings are shown and logged."""
        for value in sorted(self.values, key=len, reverse=True):
            text = text.replace(value, self.values[value])
        return text

    def resolve(self, node: Scalar) -> str:
        text = REFERENCE.sub(lambda match: self._value(match, node.inside(match.start())), node.text)
        if "${" in REFERENCE.sub("", node.text):
            self.findings.add("secret.name", node.at)
        return text

    def _value(self, match: re.Match[str], at: Place) -> str:
        kind, name, default = match.groups()
        value = self._file(name) if kind else self.env.get(name) or None
        if value is not None:
            if len(value) >= _SHORTEST_SECRET:
                self.values[value] = match.group(0)
            return value
        if default is not None:
            return default
        where: Pair = (f"la variable {name}", f"the variable {name}")
        if kind:
            where = f"le fichier {name} de RELAIS_SECRETS_DIR", f"the file {name} in RELAIS_SECRETS_DIR"
        severity = Severity.ERROR if self.strict else Severity.WARNING
        self.findings.add("secret.missing", at, severity=severity, name=where)
        return ""

    def _file(self, name: str) -> str | None:
        if self.folder is None:  # a name has no slash, so it stays in the folder
            return None
        path = self.folder / name
        if not path.is_file() or path.stat().st_size > 65_536:
            return None
        return path.read_text(encoding="utf-8").strip()

    def tree(self, node: Any) -> Any:
        """The node with every scalar resolved."""
        if isinstance(node, Map):
            return Map({key: self.tree(value) for key, value in node.entries.items()}, node.keys_at, node.at)
        if isinstance(node, Seq):
            return Seq(tuple(self.tree(item) for item in node.items), node.at)
        if isinstance(node, Scalar) and "${" in node.text:
            return Scalar(self.resolve(node), True, node.at)
        return node


def read_sources(top: Section) -> tuple[dict[str, SourceConfig], dict[str, tuple[str, ...]]]:
    found: dict[str, SourceConfig] = {}
    ignore: dict[str, tuple[str, ...]] = {}
    for name, section in top.named("sources"):
        kind = section.text("kind")
        ignore[name] = tuple(section.names("ignore"))
        settings = _settings(section, kind)
        schedule = _schedule(section, "every 15m")
        if kind:
            found[name] = SourceConfig(
                name=name,
                kind=kind,
                schedule=schedule,
                silent_after=section.text("silent_after"),
                order=section.text("order"),
                settings={**settings, "ignore": ignore[name]} if ignore[name] else settings,
            )
    return found, ignore


def read_targets(top: Section) -> Iterator[TargetConfig]:
    for name, section in top.named("targets"):
        kind = section.text("kind")
        live_from = _live_from(section, kind)
        schedule, settings = _schedule(section, "every 30m"), _settings(section, kind)
        if kind:
            yield TargetConfig(
                name=name,
                kind=kind,
                schedule=schedule,
                live_from=live_from,
                mode=section.text("mode"),
                on_existing=section.text("on_existing"),
                vanished=section.text("vanished"),
                settings=settings,
            )


def _live_from(section: Section, kind: str) -> str:
    """From when on a target is sent to: a DHIS2 period, or a date. Nothing is sent without it (what people typed
    by hand before must not be overwritten)."""
    text = section.text("live_from")
    example: Pair = ("un jour : live_from: 2026-07-06", "a day: live_from: 2026-07-06")
    if kind == "dhis2":
        example = ("une période DHIS2 : live_from: 202607", "a DHIS2 period: live_from: 202607")
    if not text:
        section.findings.add("live_from.missing", section.place("live_from"), what=section.what, example=example)
        return ""
    try:
        if kind == "dhis2":
            periods.bounds(text)
        else:
            date.fromisoformat(text)
            if not _DATE.fullmatch(text):
                raise ValueError
    except ValueError:
        at = section.value_at("live_from")
        section.findings.add("live_from.invalid", at, what=section.what, value=text, example=example)
        return ""
    return text


def _schedule(section: Section, default: str) -> str:
    text = section.text("schedule")
    if text:
        _check_schedule(section, "schedule", text)
    return text or default


def read_schedules(top: Section) -> dict[str, str]:
    section = top.section("schedules")
    found = {job: text for job in JOBS if (text := section.text(job))}
    for job, text in found.items():
        _check_schedule(section, job, text)
    return found


def _check_schedule(section: Section, key: str, text: str) -> None:
    problem = schedule_problem(text)
    if problem is not None:
        at = section.value_at(key)
        words: dict[str, str | int | Pair] = {"what": f"{section.what}: {key}", "value": text, **problem.words}
        section.findings.add(problem.code, at, severity=None, **words)


def _settings(section: Section, kind: str) -> dict[str, Any]:
    insecure = section.flag("insecure")
    found: dict[str, Any] = {}
    for key in (*SETTINGS.get(kind, ()), "timeout"):
        node = section.node(key)
        if node is not None:
            found[key] = plain(node)
    if found.get("url"):  # else missing, which is found already
        _check_url(section, str(found["url"]), insecure)
    if found.get("token") and found.get("user"):
        section.findings.add("login.twice", section.value_at("user"), what=section.what)
    if insecure:
        found["insecure"] = True
    return found


def _check_url(section: Section, url: str, insecure: bool) -> None:
    at, what = section.value_at("url"), f"{section.what}: url"
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        section.findings.add("url.invalid", at, what=what)
    elif parts.scheme == "http" and not _loopback(host) and not insecure:
        section.findings.add("url.insecure", at, what=what)


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


__all__ = [
    "EVERY",
    "SETTINGS",
    "SOURCE_KINDS",
    "TARGET_KINDS",
    "Secrets",
    "read_schedules",
    "read_sources",
    "read_targets",
]
