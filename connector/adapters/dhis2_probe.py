"""Is this DHIS2 fit for the pack? Pure: from what was read to findings with a fix each.

``expected``: {data set code: {"period_type": "Monthly", "elements": {element code: [combo code, ...]},
"org_units": [code, ...]}}, every key optional. An empty result means all is well. ``about`` of a finding names what of
the pack it speaks of: ``data_set``, ``element`` or ``org_unit`` with its code, or nothing for the whole connection.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from connector.adapters.dhis2_metadata import DataSet
from connector.adapters.reasons import Reason
from connector.findings import Code, Pair, found, listed
from connector.model import Finding, Severity, Who

_REFUSED = ("DHIS2 refuserait chacune de ces valeurs.", "DHIS2 would refuse every one of these values.")
_SETUP = ("Corrigez le code, ou lancez relais setup dhis2.", "Mend the code, or run relais setup dhis2.")
#: Types of data element that take the figures of an indicator (DHIS2 developer guide, "Value types").
_NUMBERS = ("NUMBER", "INTEGER", "INTEGER_ZERO_OR_POSITIVE", "PERCENTAGE", "UNIT_INTERVAL")

FINDINGS: Mapping[str, Code] = {
    "dhis2.version": Code(
        (
            "{name} est DHIS2 {version} ; Relais connaît 2.38 à 2.43",
            "{name} is DHIS2 {version}; Relais knows 2.38 to 2.43",
        ),
        (
            "Un autre importeur répond autrement : un refus pourrait passer pour un succès.",
            "Another importer answers otherwise: a refusal could pass for success.",
        ),
        (
            "Laissez cette cible en mode shadow jusqu'à une version de Relais qui la connaît.",
            "Keep this target in shadow mode until a version of Relais supports it.",
        ),
        who=Who.SYSADMIN,
    ),
    "dhis2.calendar": Code(
        ("{name} compte dans le calendrier {calendar}", "{name} counts in the {calendar} calendar"),
        (
            "Relais envoie des périodes ISO : les chiffres iraient dans un autre mois.",
            "Relais sends ISO periods: figures would go to another month.",
        ),
        ("N'envoyez pas à ce serveur.", "Do not send to this server."),
        who=Who.SYSADMIN,
    ),
    "dhis2.credentials_no_authority": Code(
        ("{name} : notre utilisateur ne peut pas saisir de données", "{name}: our user may not enter data"),
        _REFUSED,
        ("Donnez-lui un rôle avec F_DATAVALUE_ADD.", "Give it a role with F_DATAVALUE_ADD."),
        who=Who.TARGET_ADMIN,
    ),
    "dhis2.E7617": Code(
        (
            "{name} est hors des unités de saisie de notre utilisateur",
            "{name} is outside the org units our user may enter data for",
        ),
        _REFUSED,
        (
            "Donnez à notre utilisateur une unité au-dessus d'elle.",
            "Give our user an org unit above it.",
        ),
        who=Who.TARGET_ADMIN,
    ),
    "dhis2.data_set_missing": Code(
        ("le jeu de données {name} n'est pas dans DHIS2", "data set {name} is not in DHIS2"),
        _REFUSED,
        _SETUP,
    ),
    "dhis2.E7601": Code(
        ("notre utilisateur ne peut pas écrire les données de {name}", "our user may not write data of {name}"),
        _REFUSED,
        (
            "Partagez le jeu de données avec le droit d'écrire ses données.",
            "Share the data set with data write access.",
        ),
        who=Who.TARGET_ADMIN,
    ),
    "dhis2.period_type": Code(
        ("{name} est {there} dans DHIS2 et {here} dans le paquet", "{name} is {there} in DHIS2 and {here} in the pack"),
        _REFUSED,
        ("Corrigez period dans dhis2.yaml.", "Mend period in dhis2.yaml."),
    ),
    "dhis2.element_missing": Code(
        ("il n'y a pas d'élément de données {name} dans DHIS2", "there is no data element {name} in DHIS2"),
        _REFUSED,
        _SETUP,
    ),
    "dhis2.element_not_in_set": Code(
        ("l'élément de données {name} n'est pas dans {data_set}", "data element {name} is not in {data_set}"),
        _REFUSED,
        (
            "Ajoutez-le au jeu de données dans DHIS2, ou corrigez data_set de l'indicateur.",
            "Add it to the data set in DHIS2, or mend data_set of the indicator.",
        ),
        who=Who.TARGET_ADMIN,
    ),
    "dhis2.combo_missing": Code(
        (
            "l'élément de données {name} n'a pas de combinaison {combos}",
            "data element {name} has no option combination {combos}",
        ),
        _REFUSED,
        (
            "Corrigez les codes des options ou l'ordre de by, ou la combinaison de catégories dans DHIS2.",
            "Mend the option codes or the order of by, or the element's category combination in DHIS2.",
        ),
    ),
    "dhis2.value_type": Code(
        ("l'élément de données {name} prend {kind}, pas un nombre", "data element {name} takes {kind}, not a number"),
        _REFUSED,
        (
            "Donnez-lui un type numérique, par exemple INTEGER_ZERO_OR_POSITIVE.",
            "Give it a type of number, such as INTEGER_ZERO_OR_POSITIVE.",
        ),
        who=Who.TARGET_ADMIN,
    ),
    "dhis2.zero_not_significant": Code(
        ("l'élément de données {name} ne garde pas les zéros", "data element {name} does not store noughts"),
        (
            "Un chiffre qui retombe à 0 disparaît au lieu de devenir 0.",
            "A figure that falls to 0 disappears instead of becoming 0.",
        ),
        ("Cochez zeroIsSignificant sur l'élément.", "Set zeroIsSignificant on the data element."),
        Severity.WARNING,
        Who.TARGET_ADMIN,
    ),
    "dhis2.org_unit_missing": Code(
        ("il n'y a pas d'unité {name} dans DHIS2", "there is no org unit {name} in DHIS2"),
        _REFUSED,
        ("Corrigez le code dans org_units.csv.", "Mend the code in org_units.csv."),
    ),
    "dhis2.org_unit_not_assigned": Code(
        ("l'unité {name} n'est pas affectée à {data_set}", "org unit {name} is not assigned to {data_set}"),
        _REFUSED,
        ("Affectez-la dans DHIS2, ou corrigez org_units.csv.", "Assign it in DHIS2, or mend org_units.csv."),
        who=Who.TARGET_ADMIN,
    ),
    "dhis2.org_unit_closed": Code(
        ("l'unité {name} a fermé le {day} dans DHIS2", "org unit {name} closed on {day} in DHIS2"),
        (
            "Les chiffres d'après cette date n'y sont pas attendus.",
            "Figures of after that day are not expected there.",
        ),
        ("Terminez sa ligne dans org_units.csv (valid_to).", "End its line in org_units.csv (valid_to)."),
        Severity.WARNING,
        Who.TARGET_ADMIN,
    ),
}


def unreachable(code: str, why: Reason) -> Finding:
    return Finding(code, Severity.ERROR, why.en, who=why.who, french=(why.fr, "", ""))


def lacking(expected: Mapping[str, Any], sets: Mapping[str, DataSet | None]) -> tuple[list[str], list[str]]:
    """Codes of data elements and org units that their data sets do not have: are they in DHIS2 at all?"""
    elements, units = set(), set()
    for code, wanted in expected.items():
        data_set = sets.get(code)
        if data_set is not None:
            elements |= set(wanted.get("elements", ())) - set(data_set.elements)
            units |= set(wanted.get("org_units", ())) - set(data_set.units)
    return sorted(elements), sorted(units)


def examine(
    name: str,
    info: Mapping[str, Any],
    me: Mapping[str, Any],
    expected: Mapping[str, Any],
    sets: Mapping[str, DataSet | None],
    elsewhere: Collection[str] = (),
) -> list[Finding]:
    """Findings for the server's version, our user and each expected data set. ``elsewhere``: codes of data elements and
    org units that are in DHIS2, though not in their data set."""
    roots = {str(unit["id"]) for unit in _listed(me, "organisationUnits") if isinstance(unit, Mapping) and "id" in unit}
    findings = [*server(name, info), *_user(name, me, roots)]
    for code, wanted in expected.items():
        data_set = sets.get(code)
        if data_set is None:
            findings.append(_found("dhis2.data_set_missing", ("data_set", code), name=code))
            continue
        findings += _data_set(code, wanted, data_set)
        findings += _elements(code, wanted.get("elements", {}), data_set, elsewhere)
        findings += _units(code, wanted.get("org_units", ()), data_set, roots, elsewhere)
    return list(dict.fromkeys(findings))  # an org unit of two data sets is missing once


def _found(code: str, about: tuple[str, ...] = (), **words: str | int | Pair) -> Finding:
    return found(FINDINGS, code, words, about=about)


def server(name: str, info: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings for its version and calendar (``GET /api/system/info``)."""
    version = str(info.get("version", ""))
    if not 38 <= _minor(info) <= 43:
        yield _found("dhis2.version", name=name, version=version or ("de version inconnue", "of unknown version"))
    calendar = info.get("calendar", "iso8601")
    if calendar not in ("iso8601", "gregorian"):
        yield _found("dhis2.calendar", name=name, calendar=str(calendar))


def keeps_noughts(info: Mapping[str, Any]) -> bool:
    """From 2.43 on a nought is stored, also where it does not count (recordings/dhis2-2.43/040, 041). Of a version that
    is none of ours too: then nothing that is not there is taken for stored."""
    return not 0 < _minor(info) < 43


def _minor(info: Mapping[str, Any]) -> int:
    """43 of "2.43.1"; 0 of what is no version."""
    match = re.match(r"2\.(\d+)", str(info.get("version", "")))
    return int(match[1]) if match else 0


def _listed(body: Mapping[str, Any], name: str) -> list[Any]:
    value = body.get(name)
    return value if isinstance(value, list) else []


def _user(name: str, me: Mapping[str, Any], roots: set[str]) -> Iterator[Finding]:
    if not {"ALL", "F_DATAVALUE_ADD"} & set(map(str, _listed(me, "authorities"))):
        yield _found("dhis2.credentials_no_authority", name=name)
    if not roots:
        yield _found("dhis2.E7617", name=("toute unité", "every org unit"))


def _data_set(code: str, wanted: Mapping[str, Any], data_set: DataSet) -> Iterator[Finding]:
    about = ("data_set", code)
    if not data_set.writable:
        yield _found("dhis2.E7601", about, name=code)
    kind = wanted.get("period_type", data_set.period_type)
    if kind != data_set.period_type:
        yield _found("dhis2.period_type", about, name=code, there=data_set.period_type, here=str(kind))


def _elements(code: str, wanted: Mapping[str, Any], data_set: DataSet, elsewhere: Collection[str]) -> Iterator[Finding]:
    for name, combos in wanted.items():
        about = ("element", name)
        element = data_set.elements.get(name)
        if element is None:
            if name in elsewhere:
                yield _found("dhis2.element_not_in_set", about, name=name, data_set=code)
            else:
                yield _found("dhis2.element_missing", about, name=name)
            continue
        missing = [combo for combo in combos if combo not in element.combos]
        if missing:
            yield _found("dhis2.combo_missing", ("combo", name), name=name, combos=listed(missing))
        if element.value_type and element.value_type not in _NUMBERS:
            yield _found("dhis2.value_type", about, name=name, kind=element.value_type)
        if not element.zero_counts:
            yield _found("dhis2.zero_not_significant", about, name=name)


def _units(code: str, wanted: Any, data_set: DataSet, roots: set[str], elsewhere: Collection[str]) -> Iterator[Finding]:
    for name in wanted:
        about = ("org_unit", name)
        unit = data_set.units.get(name)
        if unit is None:
            if name in elsewhere:
                yield _found("dhis2.org_unit_not_assigned", about, name=name, data_set=code)
            else:
                yield _found("dhis2.org_unit_missing", about, name=name)
        elif roots and not roots & set(unit.path.split("/")):
            yield _found("dhis2.E7617", about, name=name)
        elif unit.closed:
            yield _found("dhis2.org_unit_closed", about, name=name, day=unit.closed)
