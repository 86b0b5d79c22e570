"""Is this DHIS2 fit for the pack? Pure: from what was read to findings with a fix each.

``expected``: {data set code: {"period_type": "Monthly", "elements": {element code: [combo code, ...]},
"org_units": [code, ...]}}, every key optional. An empty result means all is well. ``about`` of a finding names what of
the pack it speaks of: ``data_set``, ``element`` or ``org_unit`` with its code, or nothing for the whole connection.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from connector import periods
from connector.adapters.dhis2_metadata import DataSet
from connector.adapters.reasons import Reason
from connector.findings import Code, Pair, found, listed
from connector.model import Finding, Severity, Who

_REFUSED = ("DHIS2 refuserait chacune de ces valeurs.", "DHIS2 would refuse every one of these values.")
_SETUP = ("Corrigez le code, ou lancez relais setup dhis2.", "Mend the code, or run relais setup dhis2.")
#: A token expires, and a day begins, to the minute.
_SKEW_SECONDS = 60
#: So long before its end a token is a finding: a DHIS2 token lives 30 days unless more was asked for.
_SOON = timedelta(days=14)
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
        (
            "Utilisateurs → rôle de notre compte → autorités : « Ajouter/Modifier des valeurs » (F_DATAVALUE_ADD).",
            'Users → role of our account → authorities: "Add/Update Data Value" (F_DATAVALUE_ADD).',
        ),
        who=Who.TARGET_ADMIN,
    ),
    "dhis2.E7617": Code(
        (
            "{name} est hors des unités de saisie de notre utilisateur",
            "{name} is outside the org units our user may enter data for",
        ),
        _REFUSED,
        (
            "Utilisateurs → notre compte → unités de saisie : ajoutez une unité au-dessus d'elle.",
            "Users → our account → Data capture organisation units: add one above it.",
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
            "Maintenance → Ensembles de données → Partage : données « Peut saisir et voir » pour notre compte.",
            'Maintenance → Data sets → Sharing settings: data "Can capture and view" for our account.',
        ),
        who=Who.TARGET_ADMIN,
    ),
    "dhis2.period_expired": Code(
        (
            "{name} ne prend plus les chiffres de {period} : saisie close depuis le {day}",
            "{name} takes no more figures of {period}: closed for data entry since {day}",
        ),
        (
            "Ce qui n'est pas encore envoyé, ou change encore, attend qu'on la rouvre.",
            "What is not sent yet, or still changes, waits until it is reopened.",
        ),
        (
            "Administration des données → exceptions de verrouillage, ou Maintenance → Ensembles de données → jours "
            "d'expiration.",
            "Data administration → Lock exceptions, or Maintenance → Data sets → Expiry days.",
        ),
        Severity.WARNING,
        Who.MINISTRY,
    ),
    "dhis2.clock": Code(
        ("l'horloge de {name} a {seconds} s de {way}", "the clock of {name} is {seconds} s {way} ours"),
        (
            "DHIS2 ouvre et ferme les périodes, et fait expirer les jetons, à son heure.",
            "DHIS2 opens and closes periods, and lets tokens expire, by its own time.",
        ),
        ("Réglez les deux machines par NTP.", "Set both machines by NTP."),
        Severity.WARNING,
        Who.SYSADMIN,
    ),
    "dhis2.token_expires": Code(
        ("{name} : un jeton de notre compte expire le {day}", "{name}: a token of our account expires on {day}"),
        (
            "Après ce jour DHIS2 refuse tout, et Relais n'envoie plus rien.",
            "After that day DHIS2 refuses everything, and Relais sends nothing more.",
        ),
        (
            "Profil → Jetons d'accès personnels : créez-en un avec notre compte, et donnez-le à Relais (token dans "
            "connector.yaml).",
            "Profile → Personal access tokens: make one with our account, and give it to Relais (token in "
            "connector.yaml).",
        ),
        Severity.WARNING,
        Who.CREDENTIALS,
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
            "Maintenance → Ensembles de données → éléments de données : ajoutez-le ; ou corrigez data_set de "
            "l'indicateur.",
            "Maintenance → Data sets → Data elements: add it; or mend data_set of the indicator.",
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
            "Corrigez les codes des options ou l'ordre de by ; ou Maintenance → Éléments de données → combinaison de "
            "catégories.",
            "Mend the option codes or the order of by; or Maintenance → Data elements → Category combination.",
        ),
    ),
    "dhis2.value_type": Code(
        ("l'élément de données {name} prend {kind}, pas un nombre", "data element {name} takes {kind}, not a number"),
        _REFUSED,
        (
            "Maintenance → Éléments de données → type de valeur : un nombre, par exemple INTEGER_ZERO_OR_POSITIVE.",
            "Maintenance → Data elements → Value type: a number, such as INTEGER_ZERO_OR_POSITIVE.",
        ),
        who=Who.TARGET_ADMIN,
    ),
    "dhis2.zero_not_significant": Code(
        ("l'élément de données {name} ne garde pas les zéros", "data element {name} does not store noughts"),
        (
            "Un chiffre qui retombe à 0 disparaît au lieu de devenir 0.",
            "A figure that falls to 0 disappears instead of becoming 0.",
        ),
        (
            "Maintenance → Éléments de données → « Stocker les zéros » (zeroIsSignificant) : cochez.",
            'Maintenance → Data elements → "Store zero data values" (zeroIsSignificant): tick it.',
        ),
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
        (
            "Maintenance → Ensembles de données → unités d'organisation : affectez-la ; ou corrigez org_units.csv.",
            "Maintenance → Data sets → Organisation units: assign it; or mend org_units.csv.",
        ),
        who=Who.TARGET_ADMIN,
    ),
    "dhis2.org_unit_closed": Code(
        ("l'unité {name} a fermé le {day} dans DHIS2", "org unit {name} closed on {day} in DHIS2"),
        (
            "Les chiffres d'après cette date n'y sont pas attendus.",
            "Figures of after that day are not expected there.",
        ),
        (
            "Terminez sa ligne dans org_units.csv (valid_to) ; ou Maintenance → Unités d'organisation → date de "
            "fermeture.",
            "End its line in org_units.csv (valid_to); or Maintenance → Organisation units → Closed date.",
        ),
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
    roots = roots if not _writes_anywhere(info, me) else set()
    findings = [*server(name, info), *_user(name, info, me, roots)]
    for code, wanted in expected.items():
        data_set = sets.get(code)
        if data_set is None:
            findings.append(_found("dhis2.data_set_missing", ("data_set", code), name=code))
            continue
        findings += _data_set(code, wanted, data_set)
        findings += _expired(code, data_set, info, me)
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


@dataclass(frozen=True, slots=True)
class Account:
    """What our user may do. ``roots``: UIDs of the org units it enters data for, with all below; None: everywhere."""

    may_enter: bool
    roots: frozenset[str] | None

    def covers(self, path: str) -> bool:
        return self.roots is None or not self.roots.isdisjoint(path.split("/"))


def account_of(info: Mapping[str, Any], me: Mapping[str, Any]) -> Account:
    """From ``/api/system/info`` and ``/api/me``."""
    roots = {str(unit["id"]) for unit in _listed(me, "organisationUnits") if isinstance(unit, Mapping) and "id" in unit}
    return Account(_may_enter(me), None if _writes_anywhere(info, me) else frozenset(roots))


def _may_enter(me: Mapping[str, Any]) -> bool:
    return bool({"ALL", "F_DATAVALUE_ADD"} & set(map(str, _listed(me, "authorities"))))


def _writes_anywhere(info: Mapping[str, Any], me: Mapping[str, Any]) -> bool:
    """From 2.43 on a superuser is not asked for its org units; before, it is (findings-dhis2 1, E7617)."""
    return _minor(info) >= 43 and "ALL" in _listed(me, "authorities")


def _user(name: str, info: Mapping[str, Any], me: Mapping[str, Any], roots: set[str]) -> Iterator[Finding]:
    if not _may_enter(me):
        yield _found("dhis2.credentials_no_authority", name=name)
    if not roots and not _writes_anywhere(info, me):
        yield _found("dhis2.E7617", name=("toute unité", "every org unit"))


def _data_set(code: str, wanted: Mapping[str, Any], data_set: DataSet) -> Iterator[Finding]:
    about = ("data_set", code)
    if not data_set.writable:
        yield _found("dhis2.E7601", about, name=code)
    kind = wanted.get("period_type", data_set.period_type)
    if kind != data_set.period_type:
        yield _found("dhis2.period_type", about, name=code, there=data_set.period_type, here=str(kind))


def _expired(code: str, data_set: DataSet, info: Mapping[str, Any], me: Mapping[str, Any]) -> Iterator[Finding]:
    """Is the period that ended last closed already? Sources: 125, 126; who may edit what has expired is not stopped."""
    if not data_set.expiry_days or {"ALL", "F_EDIT_EXPIRED"} & set(map(str, _listed(me, "authorities"))):
        return
    try:
        today = date.fromisoformat(str(info.get("serverDate"))[:10])
        last = periods.previous(periods.period_of(today, data_set.period_type))
    except ValueError:
        return
    closes = periods.bounds(last)[1] + timedelta(days=data_set.expiry_days + 1)
    if today >= closes:
        yield _found("dhis2.period_expired", ("data_set", code), name=code, period=last, day=closes.isoformat())


def clock(name: str, said: str, now: datetime) -> list[Finding]:
    """``said``: the ``Date`` of an answer. Nothing when there is none."""
    try:
        there = parsedate_to_datetime(said)
    except (ValueError, TypeError, OverflowError):
        return []
    behind = round((now - (there if there.tzinfo else there.replace(tzinfo=UTC))).total_seconds())
    if abs(behind) <= _SKEW_SECONDS:
        return []
    way: Pair = ("retard", "behind") if behind > 0 else ("avance", "ahead of")
    return [_found("dhis2.clock", name=name, seconds=abs(behind), way=way)]


def ending(name: str, tokens: Mapping[str, Any], now: datetime) -> list[Finding]:
    """``tokens``: those of our account (389: ``expire`` in milliseconds; which is ours is not told). The first that
    ends soon; those that have ended already are not the one we use."""
    ends = [one["expire"] / 1000 for one in _listed(tokens, "apiToken") if _milliseconds(one)]
    soon = [end for end in sorted(ends) if 0 < end - now.timestamp() <= _SOON.total_seconds()]
    days = [datetime.fromtimestamp(end, UTC).date().isoformat() for end in soon[:1]]
    return [_found("dhis2.token_expires", name=name, day=day) for day in days]


def _milliseconds(token: Any) -> bool:
    end = token.get("expire") if isinstance(token, Mapping) else None
    return isinstance(end, (int, float)) and not isinstance(end, bool) and 0 < end < 1e14


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
