"""Reading a configuration pack: a folder of YAML and CSV into one frozen :class:`Pack`, with findings.

Secrets and addresses are named as ``${NAME}`` (environment), ``${NAME:-default}`` or ``${file:NAME}`` (a file of
the secrets folder), in ``connector.yaml`` only. Nothing here touches the network.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from connector.errors import PackBroken
from connector.findings import nearest
from connector.mappings import pack_shapes as shapes
from connector.mappings.config_connections import SETTINGS, Secrets, read_schedules, read_sources, read_targets
from connector.mappings.config_dictionary import keep, read_activities, read_categories, read_concepts
from connector.mappings.config_episodes import read_episodes, read_registers
from connector.mappings.config_forms import read_form
from connector.mappings.config_indicators import ElementCodes, read_indicators
from connector.mappings.config_places import read_deployments, read_org_units
from connector.mappings.config_reading import Reading, files
from connector.mappings.config_release import read_reporting
from connector.mappings.config_tracker import read_tracker
from connector.mappings.pack import (
    Category,
    DataSet,
    FormMapping,
    Indicator,
    Pack,
    Place,
)
from connector.mappings.sections import Section, mapping
from connector.mappings.yaml_nodes import Findings, Map, plain, read_yaml
from connector.model import Finding

#: The file every pack begins with.
MAIN = "connector.yaml"


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
        raise PackBroken(
            f"There is no {MAIN} in {folder}. Nothing was done. Name the folder of a pack (RELAIS_PACK).",
            french=f"Il n'y a pas de {MAIN} dans {folder}. Rien n'a été fait. Donnez le dossier d'un paquet "
            "(RELAIS_PACK).",
        )
    findings = Findings()
    node = read_yaml(main, MAIN, findings)
    if node is None:
        first = findings.items[0]
        raise PackBroken(
            f"{MAIN}:{first.line}:{first.column}: {first.message}",
            french=f"{MAIN}:{first.line}:{first.column} : {first.french[0] or first.message}",
        )
    secrets = Secrets(env, secrets_dir, findings, strict)
    resolved = secrets.tree(node)
    shapes.CONNECTOR.conform(resolved, findings, "")
    top = Section(resolved, Place(MAIN, 1), findings, "", shapes.CONNECTOR)

    head = top.section("pack")
    pack_id, name = head.text("id"), head.texts("name")
    zone = _zone(top)
    sources, ignore = read_sources(top)
    targets = {target.name: target for target in read_targets(top)}
    languages = tuple(top.names("languages")) or ("fr", "en")
    retention = _plain(top, "retention")
    schedules = read_schedules(top)

    reading = Reading(folder, zone, findings)
    concepts = read_concepts(reading)
    activities, derived = read_activities(reading)
    categories = read_categories(reading)
    forms = _forms(reading)
    data_sets, codes = _dhis2(reading)
    episodes, registers = read_episodes(reading), read_registers(reading)
    meaning = {key: one.source for key, one in derived.items()}
    versions = {key: one.version for key, one in episodes.items()}
    versions.update({key: one.version for key, one in registers.items()})
    indicators = _indicators(reading, codes, categories, meaning, versions)
    openmrs = None
    kinds = {*(one.kind for one in sources.values()), *(one.kind for one in targets.values())}
    if "openmrs" in kinds or (folder / "openmrs.yaml").is_file():
        openmrs = reading.file("openmrs.yaml", shapes.OPENMRS).map
    tracker = None
    if "dhis2_tracker" in kinds or (folder / "tracker.yaml").is_file():
        tracker = read_tracker(reading)
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
        openmrs=plain(openmrs) if openmrs is not None else {},
        retention=retention,
        org_units=tuple(read_org_units(folder, findings)),
        deployments=tuple(read_deployments(folder, findings)),
        derived=derived,
        schedules=schedules,
        episodes=episodes,
        registers=registers,
        tracker=tracker,
    )
    return pack, sorted((_hidden(one, secrets) for one in findings.items), key=lambda one: (one.file, one.line))


def _hidden(one: Finding, secrets: Secrets) -> Finding:
    """Findings are shown and logged: no value of a secret stays in one."""
    what, why, fix = one.french
    return replace(
        one,
        message=secrets.hide(one.message),
        fix=secrets.hide(one.fix),
        french=(secrets.hide(what), why, secrets.hide(fix)),
    )


def _version(folder: Path) -> str:
    """Digest over every file of the pack, by name and content. ``var`` is no part of it: records and the database of
    who tries his pack in its own folder lie there."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in (".yaml", ".csv")):
        if path.relative_to(folder).parts[0] == "var":
            continue
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _plain(top: Section, key: str) -> dict[str, Any]:
    node = top.node(key)
    return plain(node) if isinstance(node, Map) else {}


def _zone(top: Section) -> str:
    name = top.text("zone") or "UTC"
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        near = nearest(name, difflib.get_close_matches(name, sorted(available_timezones()), 1, 0.6))
        top.findings.add("zone.unknown", top.value_at("zone"), name=name, nearest=near)
        return "UTC"
    return name


# ---------------------------------------------------------------- forms, indicators, DHIS2


def _forms(reading: Reading) -> dict[tuple[str, str], FormMapping]:
    found: dict[tuple[str, str], FormMapping] = {}
    for name in files(reading.folder, "forms/*/*.yaml"):
        for form in read_form(reading, name):
            key = (form.source, form.name)
            if key in found:
                at, first = form.at or Place(name, 1), found[key].file
                reading.findings.add("form.twice", at, name=form.name, source=form.source, first=first)
                continue
            found[key] = form
    return found


def _dhis2(reading: Reading, name: str = "dhis2.yaml") -> tuple[dict[str, DataSet], ElementCodes]:
    top = reading.file(name, shapes.DHIS2)
    elements = top.section("data_elements")
    exceptions = mapping(elements.node("exceptions"))
    codes = ElementCodes(elements.text("prefix"), elements.text("numerator"), elements.text("denominator"), exceptions)
    found: dict[str, DataSet] = {}
    for entry in top.sections("data_sets"):
        identifier = entry.text("id")
        data_set = DataSet(
            id=identifier,
            code=entry.text("code") or identifier,
            name=entry.texts("name"),
            period_type=entry.text("period"),
            level=entry.text("level"),
            send_zero=entry.flag("send_zero"),
            at=entry.at,
            **read_reporting(entry),
        )
        keep(found, identifier, data_set, entry)
    return found, codes


def _indicators(
    reading: Reading,
    codes: ElementCodes,
    categories: Mapping[str, Category],
    derived: Mapping[str, str],
    versions: Mapping[str, str],
) -> dict[str, Indicator]:
    found: dict[str, Indicator] = {}
    meaning: dict[str, Any] = {
        key: [one.fact, list(one.options), one.bands, one.band_facts] for key, one in categories.items()
    }
    meaning.update(versions)
    meaning[""] = derived
    for name in files(reading.folder, "indicators/*.yaml"):
        read_indicators(reading, name, codes, found, meaning)
    return found


__all__ = ["MAIN", "SETTINGS", "load_pack"]
