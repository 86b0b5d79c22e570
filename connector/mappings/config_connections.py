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
from connector.mappings.pack import Place, SourceConfig, TargetConfig
from connector.mappings.schedules import schedule_problem, span_problem
from connector.mappings.yaml_nodes import Findings, Map, Scalar, Section, Seq, plain
from connector.model import Finding, Severity, Who

SOURCE_KINDS = ("cht", "files", "openmrs")
TARGET_KINDS = ("dhis2", "openmrs", "fhir_server", "cht_answers")
#: What a connection of each kind may be told, beside what every one may.
SETTINGS = {
    "cht": (
        "url",
        "user",
        "password",
        "database",
        "page_size",
        "max_pages",
        "max_bytes",
        "max_document_bytes",
        "webhook_secret",
    ),
    "files": (
        "folder",
        "format",
        "form",
        "key",
        "action",
        "delimiter",
        "pattern",
        "revision",
        "max_line_bytes",
        "max_file_bytes",
        "webhook_secret",
    ),
    "openmrs": ("url", "user", "password", "profile", "settles_within", "max_answer_bytes"),
    "dhis2": ("url", "user", "password", "token", "expected", "settles_within", "max_answer_bytes"),
    "fhir_server": ("url", "user", "password", "token", "bundle", "settles_within", "max_answer_bytes"),
    "cht_answers": ("url", "user", "password", "database", "settles_within", "max_answer_bytes"),
}
#: Relais's own jobs that a pack may schedule.
JOBS = ("reconcile", "seal", "purge")
_REFERENCE = re.compile(r"\$\{(?:(file):)?([A-Za-z_][A-Za-z0-9_.-]*)(?::-([^}]*))?\}")
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
        text = _REFERENCE.sub(lambda match: self._value(match, node.at), node.text)
        if "${" in _REFERENCE.sub("", node.text):
            self.findings.add(
                "secret.name",
                node.at,
                "this names no variable and no file",
                "Write ${NAME}, ${NAME:-default} or ${file:NAME}; a name has letters, digits, _ . and - only.",
            )
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
        where = f"file {name} in RELAIS_SECRETS_DIR" if kind else f"variable {name}"
        self.findings.items.append(
            Finding(
                "secret.missing",
                Severity.ERROR if self.strict else Severity.WARNING,
                f"the {where} is named here and not set",
                f"Set the {where}.",
                at.file,
                at.line,
                Who.SYSADMIN,
            )
        )
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
    for name, section in _named(top, "sources"):
        kind = section.text("kind", required=True, among=SOURCE_KINDS)
        ignore[name] = tuple(section.names("ignore"))
        settings = _settings(section, kind)
        source = SourceConfig(
            name=name,
            kind=kind,
            schedule=_schedule(section, "every 15m"),
            silent_after=_span(section, "silent_after", "3d"),
            order=section.text("order", "feed", among=("feed", "comparable", "none")),
            settings={**settings, "ignore": ignore[name]} if ignore[name] else settings,
        )
        section.done()
        if kind:
            found[name] = source
    return found, ignore


def read_targets(top: Section) -> Iterator[TargetConfig]:
    for name, section in _named(top, "targets"):
        kind = section.text("kind", required=True, among=TARGET_KINDS)
        target = TargetConfig(
            name=name,
            kind=kind,
            schedule=_schedule(section, "every 30m"),
            live_from=_live_from(section, kind),
            mode=section.text("mode", "live", among=("live", "shadow")),
            on_existing=section.text("on_existing", "ask", among=("ask", "keep", "overwrite")),
            vanished=section.text("vanished", "zero", among=("zero", "delete")),
            settings=_settings(section, kind),
        )
        section.done()
        if kind:
            yield target


def _named(top: Section, key: str) -> Iterator[tuple[str, Section]]:
    node = top.node(key, required=True)
    if isinstance(node, Map):
        for name, value in node.entries.items():
            yield name, Section(value, node.keys_at[name], top.findings, f"{key}: {name}")


def _live_from(section: Section, kind: str) -> str:
    """From when on a target is sent to: a DHIS2 period, or a date. Nothing is sent without it (what people typed
    by hand before must not be overwritten)."""
    text = section.text("live_from")
    at = section.place("live_from")
    if not text:
        section.findings.add(
            "live_from.missing",
            at,
            f"{section.what}: live_from is missing",
            "Add the first DHIS2 period to send, e.g. live_from: 202607"
            if kind == "dhis2"
            else "Add the first day to send, e.g. live_from: 2026-07-06",
        )
        return ""
    try:
        if kind == "dhis2":
            periods.bounds(text)
        else:
            date.fromisoformat(text)
            if not _DATE.fullmatch(text):
                raise ValueError
    except ValueError:
        section.findings.add(
            "live_from.invalid",
            at,
            f"{section.what}: live_from cannot be {text!r}",
            "A DHIS2 period such as 202607" if kind == "dhis2" else "A day such as 2026-07-06",
        )
        return ""
    return text


def _schedule(section: Section, default: str) -> str:
    text = section.text("schedule", default, required=True)
    _check_schedule(section.findings, section.place("schedule"), f"{section.what}: schedule", text)
    return text


def read_schedules(top: Section) -> dict[str, str]:
    section = top.section("schedules")
    found = {}
    for job in JOBS:
        if job in section:
            found[job] = section.text(job)
            _check_schedule(section.findings, section.place(job), f"schedules: {job}", found[job])
    section.taken.extend(JOBS)
    section.done()
    return found


def _span(section: Section, key: str, default: str) -> str:
    text = section.text(key, default)
    if span_problem(text):
        section.findings.add(
            "span.invalid",
            section.place(key),
            f"{section.what}: {key} cannot be {text!r}",
            "For example 15m, 12h or 3d.",
        )
        return default
    return text


def _check_schedule(findings: Findings, at: Place, what: str, text: str) -> None:
    problem = schedule_problem(text)
    if problem:
        findings.add(problem[0], at, f"{what}: {problem[1]}", problem[2])


def _settings(section: Section, kind: str) -> dict[str, Any]:
    insecure = section.flag("insecure") if "insecure" in section else False
    found: dict[str, Any] = {}
    for key in (*SETTINGS.get(kind, ()), "timeout"):
        node = section.node(key)
        if node is not None:
            found[key] = plain(node)
    if "url" in SETTINGS.get(kind, ()):
        _check_url(section, str(found.get("url") or ""), insecure)
    if insecure:
        found["insecure"] = True
    return found


def _check_url(section: Section, url: str, insecure: bool) -> None:
    at = section.place("url")
    if "url" not in section:
        section.findings.add("key.missing", at, f"{section.what}: url is missing", "Add  url: ...")
        return
    if not url:
        return  # a missing secret, already reported
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        section.findings.add("url.invalid", at, f"{section.what}: url is not an http address", "https://...")
    elif parts.scheme == "http" and not _loopback(parts.hostname) and not insecure:
        section.findings.add(
            "url.insecure",
            at,
            f"{section.what}: http:// would send patient data unprotected",
            "Use https://, or add  insecure: true  if the way is protected otherwise.",
        )


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
