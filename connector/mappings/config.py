"""Reading a configuration pack: a folder of YAML and CSV into one frozen :class:`Pack`, with findings.

Secrets and addresses are named as ``${NAME}`` (environment), ``${NAME:-default}`` or ``${file:NAME}`` (a file of
the secrets folder), in ``connector.yaml`` only. Nothing here touches the network.
"""

from __future__ import annotations

import csv
import hashlib
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from connector import periods
from connector.errors import PackBroken
from connector.mappings.config_rules import (
    ElementCodes,
    Reading,
    files,
    read_activities,
    read_categories,
    read_concepts,
    read_form,
    read_indicators,
)
from connector.mappings.pack import (
    Category,
    DataSet,
    DeploymentRow,
    FormMapping,
    Indicator,
    OrgUnitRow,
    Pack,
    Place,
    SourceConfig,
    TargetConfig,
)
from connector.mappings.schedules import schedule_problem, span_problem
from connector.mappings.yaml_nodes import MAX_BYTES, Findings, Map, Scalar, Section, Seq, plain, read_yaml
from connector.model import Finding, Severity, Who

MAIN = "connector.yaml"
SOURCE_KINDS = ("cht", "files", "openmrs")
TARGET_KINDS = ("dhis2", "openmrs", "fhir_server", "cht_answers")
#: What a connection of each kind may be told, beside what every one may.
SETTINGS = {
    "cht": ("url", "user", "password", "database", "page_size", "max_pages", "max_bytes", "max_document_bytes"),
    "files": ("folder", "format", "form", "key", "action", "delimiter", "encoding", "max_bytes"),
    "openmrs": ("url", "user", "password", "profile", "settles_within", "max_answer_bytes"),
    "dhis2": ("url", "user", "password", "token", "expected", "settles_within", "max_answer_bytes"),
    "fhir_server": ("url", "user", "password", "token", "batch", "settles_within", "max_answer_bytes"),
    "cht_answers": ("url", "user", "password", "database", "settles_within", "max_answer_bytes"),
}
#: Relais's own jobs that a pack may schedule.
JOBS = ("reconcile", "seal", "purge")
_REFERENCE = re.compile(r"\$\{(?:(file):)?([A-Za-z_][A-Za-z0-9_.-]*)(?::-([^}]*))?\}")
#: Shorter values are no secrets, and hiding them would spoil the words they occur in.
_SHORTEST_SECRET = 6
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class _Secrets:
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
        return _REFERENCE.sub(lambda match: self._value(match, node.at), node.text)

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
        if self.folder is None or ".." in name:
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


def load_pack(
    folder: Path, env: Mapping[str, str], secrets_dir: Path | None = None, *, strict: bool = True
) -> tuple[Pack, list[Finding]]:
    """Read the pack in ``folder``.

    Returns the pack with all that could be read, and what was found wrong. ``strict=False`` makes a missing secret
    a warning, for what needs no connection (examples, previews). Raises PackBroken only when there is no pack.
    """
    folder = Path(folder)
    main = folder / MAIN
    if not main.is_file():
        raise PackBroken(f"There is no {MAIN} in {folder}.")
    findings = Findings()
    node = read_yaml(main, MAIN, findings)
    if node is None:
        first = findings.items[0]
        raise PackBroken(f"{MAIN}:{first.line}: {first.message}")
    secrets = _Secrets(env, secrets_dir, findings, strict)
    top = Section(secrets.tree(node), Place(MAIN, 1), findings, MAIN)

    head = top.section("pack", required=True)
    pack_id = head.text("id", required=True)
    name = head.texts("name")
    head.done()
    zone = _zone(top)
    sources, ignore = _sources(top)
    targets = {target.name: target for target in _targets(top)}
    languages = tuple(top.names("languages")) or ("fr", "en")
    retention = _plain(top, "retention")
    schedules = _schedules(top)
    top.done()

    reading = Reading(folder, zone, findings)
    concepts = read_concepts(reading)
    activities, derived = read_activities(reading)
    categories = read_categories(reading)
    forms = _forms(reading)
    data_sets, codes = _dhis2(reading)
    indicators = _indicators(reading, codes, categories, {key: one.source for key, one in derived.items()})
    openmrs = read_yaml(folder / "openmrs.yaml", "openmrs.yaml", findings)
    pack = Pack(
        id=pack_id,
        version=_version(folder),
        folder=folder,
        name=name,
        zone=zone,
        languages=languages,
        sources=sources,
        targets=targets,
        concepts=concepts,
        activities=activities,
        forms=forms,
        ignore=ignore,
        categories=categories,
        indicators=indicators,
        data_sets=data_sets,
        openmrs=plain(openmrs) if isinstance(openmrs, Map) else {},
        retention=retention,
        org_units=tuple(_org_units(folder, findings)),
        deployments=tuple(_deployments(folder, findings)),
        derived=derived,
        schedules=schedules,
    )
    shown = [replace(one, message=secrets.hide(one.message), fix=secrets.hide(one.fix)) for one in findings.items]
    return pack, sorted(shown, key=lambda one: (one.file, one.line))


def _version(folder: Path) -> str:
    """Digest over every file of the pack, by name and content."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in (".yaml", ".csv")):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _plain(top: Section, key: str) -> dict[str, Any]:
    node = top.node(key)
    return plain(node) if isinstance(node, Map) else {}


def _zone(top: Section) -> str:
    name = top.text("zone", required=True) or "UTC"
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        top.findings.add("zone.unknown", top.place("zone"), f"{name} is not a time zone", "For example Africa/Bamako.")
        return "UTC"
    return name


# ---------------------------------------------------------------- connections


def _sources(top: Section) -> tuple[dict[str, SourceConfig], dict[str, tuple[str, ...]]]:
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


def _targets(top: Section) -> Iterator[TargetConfig]:
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


def _schedules(top: Section) -> dict[str, str]:
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


# ---------------------------------------------------------------- forms, indicators, DHIS2


def _forms(reading: Reading) -> dict[tuple[str, str], FormMapping]:
    found: dict[tuple[str, str], FormMapping] = {}
    for name in files(reading.folder, "forms/*/*.yaml"):
        for form in read_form(reading, name):
            key = (form.source, form.name)
            if key in found:
                reading.findings.add(
                    "form.twice",
                    Place(name, 1),
                    f"form {form.name} of {form.source} is mapped twice",
                    f"Also in {found[key].file}.",
                )
                continue
            found[key] = form
    return found


def _dhis2(reading: Reading, name: str = "dhis2.yaml") -> tuple[dict[str, DataSet], ElementCodes]:
    top = Section(read_yaml(reading.folder / name, name, reading.findings), Place(name, 1), reading.findings, name)
    elements = top.section("data_elements", required=True)
    exceptions = elements.texts("exceptions") if "exceptions" in elements else {}
    codes = ElementCodes(
        elements.text("prefix"), elements.text("numerator", "_NUM"), elements.text("denominator", "_DEN"), exceptions
    )
    elements.done()
    found: dict[str, DataSet] = {}
    for entry in top.sections("data_sets", required=True):
        identifier = entry.text("id", required=True)
        data_set = DataSet(
            id=identifier,
            code=entry.text("code", identifier),
            name=entry.texts("name", required=True),
            period_type=entry.text("period", "Monthly", required=True, among=periods.PERIOD_TYPES),
            level=entry.text("level", required=True),
            complete=entry.maybe("complete"),
            send_zero=entry.flag("send_zero"),
            at=entry.at,
        )
        entry.done()
        if identifier in found:
            reading.findings.add("id.twice", entry.at, f"{identifier} is declared twice", "")
        elif identifier:
            found[identifier] = data_set
    top.done()
    return found, codes


def _indicators(
    reading: Reading, codes: ElementCodes, categories: Mapping[str, Category], derived: Mapping[str, str]
) -> dict[str, Indicator]:
    found: dict[str, Indicator] = {}
    meaning: dict[str, Any] = {
        key: [one.fact, list(one.options), one.bands, one.band_facts] for key, one in categories.items()
    }
    meaning[""] = derived
    for name in files(reading.folder, "indicators/*.yaml"):
        read_indicators(reading, name, codes, found, meaning)
    return found


# ---------------------------------------------------------------- tables of places


def _csv(
    folder: Path, name: str, columns: tuple[str, ...], findings: Findings
) -> Iterator[tuple[dict[str, str], Place]]:
    path = folder / name
    if not path.is_file():
        findings.add("file.missing", Place(name, 1), f"{name} does not exist", "Create the file.")
        return
    if path.stat().st_size > MAX_BYTES * 10:
        findings.add("file.too_big", Place(name, 1), f"{name} is too large", "Split the pack.")
        return
    with path.open(encoding="utf-8-sig", newline="") as lines:
        text = lines.read()
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter)
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        findings.add(
            "csv.columns",
            Place(name, 1),
            f"{name}: column {', '.join(missing)} is missing",
            f"Columns: {', '.join(columns)}",
        )
        return
    for row in reader:
        if any((row.get(column) or "").strip() for column in columns):
            yield {column: (row.get(column) or "").strip() for column in columns}, Place(name, reader.line_num)


def _validity(row: dict[str, str], at: Place, findings: Findings) -> tuple[date, date | None] | None:
    try:
        first = date.fromisoformat(row["valid_from"]) if row["valid_from"] else date(1900, 1, 1)
        last = date.fromisoformat(row["valid_to"]) if row["valid_to"] else None
    except ValueError:
        findings.add("csv.date", at, "valid_from or valid_to is not a day", "Write 2026-07-31.")
        return None
    if last and last < first:
        findings.add("csv.date", at, "valid_to is before valid_from", "")
        return None
    return first, last


_ORG_UNIT_COLUMNS = ("source", "place", "org_unit", "level", "parent", "name", "valid_from", "valid_to")
_DEPLOYMENT_COLUMNS = ("reporter", "kind", "group", "org_unit", "valid_from", "valid_to")


def _org_units(folder: Path, findings: Findings) -> Iterator[OrgUnitRow]:
    for row, at in _csv(folder, "org_units.csv", _ORG_UNIT_COLUMNS, findings):
        validity = _validity(row, at, findings)
        if validity:
            yield OrgUnitRow(
                row["source"], row["place"], row["org_unit"], row["level"], row["parent"], row["name"], *validity
            )


def _deployments(folder: Path, findings: Findings) -> Iterator[DeploymentRow]:
    for row, at in _csv(folder, "deployments.csv", _DEPLOYMENT_COLUMNS, findings):
        validity = _validity(row, at, findings)
        if row["kind"] not in ("worker", "place"):
            findings.add("value.choice", at, f"kind cannot be {row['kind']!r}", "worker or place")
        elif validity:
            yield DeploymentRow(row["reporter"], row["kind"], row["group"], row["org_unit"], *validity)
