"""Is this DHIS2 fit for the pack? Pure: from what was read to findings with a fix each.

``expected``: {data set code: {"period_type": "Monthly", "elements": {element code: [combo code, ...]},
"org_units": [code, ...]}}, every key optional. An empty result means all is well. ``about`` of a finding names what of
the pack it speaks of: ``data_set``, ``element`` or ``org_unit`` with its code, or nothing for the whole connection.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from connector import periods
from connector.adapters.dhis2_metadata import DataSet, Unit
from connector.adapters.reasons import Reason
from connector.findings import Code, Pair, found, listed
from connector.model import Finding, Severity, Who

_REFUSED = ("DHIS2 refuserait chacune de ces valeurs.", "DHIS2 would refuse every one of these values.")
_SETUP = ("Corrigez le code, ou lancez relais setup dhis2.", "Mend the code, or run relais setup dhis2.")
#: A token expires, and a day begins, to the minute.
_SKEW_SECONDS = 60
#: So long before its end a token is a finding: a DHIS2 token lives 30 days unless more was asked for.
_SOON = timedelta(days=14)
#: A period that lasts longer is worth seeing before it is over.
_QUARTER = timedelta(days=93)
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
    "dhis2.version_from_source": Code(
        (
            "{name} est DHIS2 {version} : Relais connaît cette version par son code source seulement",
            "{name} is DHIS2 {version}: Relais knows this version from its source code only",
        ),
        (
            "Relais a été comparé à des serveurs 2.42 et 2.43 en marche, pas à celui-ci : une réponse peut différer.",
            "Relais was compared with running servers of 2.42 and 2.43, not with this one: an answer may differ.",
        ),
        (
            "Avant d'envoyer pour de bon, lancez make truth DHIS2_URL=… sur une copie, ou un mois en mode shadow ; ou "
            "passez à DHIS2 2.42 ou plus.",
            "Before sending in earnest run make truth DHIS2_URL=… against a copy, or a month in shadow mode; or update "
            "DHIS2 to 2.42 or later.",
        ),
        Severity.WARNING,
        Who.SYSADMIN,
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
    "dhis2.period_opens_late": Code(
        (
            "{name} ne prend les chiffres de {period} qu'après le {day}",
            "{name} takes the figures of {period} only after {day}",
        ),
        (
            "Jusque-là ils attendent ici, et DHIS2 ne montre rien de la période en cours.",
            "Until then they wait here, and DHIS2 shows nothing of the current period.",
        ),
        (
            "Si on doit les voir avant : Maintenance → Ensembles de données → périodes futures ouvertes à la saisie : "
            "1.",
            "If they are to be seen before: Maintenance → Data sets → Open future periods for data entry: 1.",
        ),
        Severity.WARNING,
        Who.MINISTRY,
    ),
    "dhis2.input_window_closed": Code(
        (
            "{name} : aucune fenêtre de saisie n'est ouverte pour {period}",
            "{name}: no data input period is open for {period}",
        ),
        (
            "DHIS2 refuse ces chiffres ; ils attendent ici qu'on ouvre la fenêtre.",
            "DHIS2 refuses these figures; they wait here until the window is opened.",
        ),
        (
            "Maintenance → Ensembles de données → périodes de saisie des données : {period}, avec des dates "
            "d'ouverture et de clôture qui comprennent aujourd'hui.",
            "Maintenance → Data sets → Data input periods: {period}, with opening and closing dates that include "
            "today.",
        ),
        Severity.WARNING,
        Who.MINISTRY,
    ),
    "dhis2.input_window_inverted": Code(
        (
            "{name} : DHIS2 {version} lit les fenêtres de saisie à l'envers et refuse {period} (E8030)",
            "{name}: DHIS2 {version} reads data input periods the wrong way round and refuses {period} (E8030)",
        ),
        (
            "2.43.0 et 2.43.1 refusent ce qui est dans une fenêtre ouverte : en ouvrir une, ou la prolonger, garde la "
            "période close.",
            "2.43.0 and 2.43.1 refuse what is inside an open window: to open one, or to make it longer, keeps the "
            "period shut.",
        ),
        (
            "Passez à une version après 2.43.1 ; ou, jusque-là, Maintenance → Ensembles de données → périodes de "
            "saisie des données : retirez-les toutes de ce jeu.",
            "Update to a version after 2.43.1; or, until then, Maintenance → Data sets → Data input periods: remove "
            "them all from this set.",
        ),
        Severity.WARNING,
        Who.TARGET_ADMIN,
    ),
    "dhis2.period_approved": Code(
        (
            "{name} : {period} est déjà approuvé pour {unit}",
            "{name}: {period} is approved already for {unit}",
        ),
        (
            "DHIS2 n'y change plus rien. Relais ne touche pas à l'approbation : ce qui n'est pas encore envoyé, ou "
            "change encore, attend.",
            "DHIS2 changes nothing there any more. Relais does not touch approvals: what is not sent yet, or still "
            "changes, waits.",
        ),
        (
            "Approbation des données → cet ensemble, cette période, cette unité : retirez l'approbation.",
            "Data approval → this set, this period, this unit: unapprove.",
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
    "dhis2.org_unit_not_open": Code(
        (
            "l'unité {name} n'ouvre que le {day} dans DHIS2, après {period}",
            "org unit {name} opens only on {day} in DHIS2, after {period}",
        ),
        (
            "Les chiffres d'avant cette date attendent ici ; 2.43 les refuserait (E8031).",
            "Figures of before that day wait here; 2.43 would refuse them (E8031).",
        ),
        (
            "Maintenance → Unités d'organisation → date d'ouverture : le premier jour où elle a travaillé ; ou "
            "commencez sa ligne ce jour-là dans org_units.csv (valid_from).",
            "Maintenance → Organisation units → Opening date: the first day it worked; or begin its line on that day "
            "in org_units.csv (valid_from).",
        ),
        Severity.WARNING,
        Who.TARGET_ADMIN,
    ),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the server said beside its metadata. ``info``: ``/api/system/info``; ``me``: ``/api/me``; ``live_from``: of
    the target; ``approved``: data set code -> code of an org unit whose period to be sent is approved."""

    info: Mapping[str, Any]
    me: Mapping[str, Any]
    live_from: str = ""
    approved: Mapping[str, str] = field(default_factory=dict)

    def may(self, *authorities: str) -> bool:
        return bool({"ALL", *authorities} & set(map(str, _listed(self.me, "authorities"))))


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
    asked: Asked,
    expected: Mapping[str, Any],
    sets: Mapping[str, DataSet | None],
    elsewhere: Collection[str] = (),
) -> list[Finding]:
    """Findings for the server's version, our user and each expected data set. ``elsewhere``: codes of data elements and
    org units that are in DHIS2, though not in their data set."""
    account = account_of(asked.info, asked.me)
    findings = list(server(name, asked.info))
    if not account.may_enter:
        findings.append(_found("dhis2.credentials_no_authority", name=name))
    findings += no_units(account)
    for code, wanted in expected.items():
        data_set = sets.get(code)
        if data_set is None:
            findings.append(_found("dhis2.data_set_missing", ("data_set", code), name=code))
            continue
        period = to_send(asked.info, data_set.period_type, asked.live_from)
        findings += _data_set(code, wanted, data_set)
        findings += _shut(code, data_set, period, asked)
        findings += _elements(code, wanted.get("elements", {}), data_set, elsewhere)
        for unit in wanted.get("org_units", ()):
            if unit in data_set.units or unit not in elsewhere:
                findings += in_reach(unit, data_set.units.get(unit), account, period)
            else:
                about = ("org_unit", unit)
                findings.append(_found("dhis2.org_unit_not_assigned", about, name=unit, data_set=code))
    return list(dict.fromkeys(findings))  # an org unit of two data sets is missing once


def _found(code: str, about: tuple[str, ...] = (), **words: str | int | Pair) -> Finding:
    return found(FINDINGS, code, words, about=about)


def server(name: str, info: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings for its version and calendar (``GET /api/system/info``)."""
    version = str(info.get("version", ""))
    if not 38 <= _minor(info) <= 43:
        yield _found("dhis2.version", name=name, version=version or ("de version inconnue", "of unknown version"))
    elif _minor(info) < 42:
        yield _found("dhis2.version_from_source", name=name, version=version)
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


def _windows_inverted(info: Mapping[str, Any]) -> bool:
    """2.43.0 and 2.43.1 take what is outside its input window and refuse what is inside (recordings 133-138)."""
    return re.match(r"2\.43(\.[01])?(?![.\d]*\d)", str(info.get("version", ""))) is not None


def to_send(info: Mapping[str, Any], period_type: str, live_from: str) -> str | None:
    """The period that ended last by the server's date; None when it is older than ``live_from`` or not known."""
    try:
        today = date.fromisoformat(str(info.get("serverDate"))[:10])
        last = periods.previous(periods.period_of(today, period_type))
        return last if not live_from or periods.not_before(last, live_from) else None
    except ValueError:
        return None


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


def no_units(account: Account) -> Iterator[Finding]:
    if account.roots is not None and not account.roots:
        yield _found("dhis2.E7617", name=("toute unité", "every org unit"))


def _data_set(code: str, wanted: Mapping[str, Any], data_set: DataSet) -> Iterator[Finding]:
    about = ("data_set", code)
    if not data_set.writable:
        yield _found("dhis2.E7601", about, name=code)
    kind = wanted.get("period_type", data_set.period_type)
    if kind != data_set.period_type:
        yield _found("dhis2.period_type", about, name=code, there=data_set.period_type, here=str(kind))


def _shut(code: str, data_set: DataSet, period: str | None, asked: Asked) -> Iterator[Finding]:
    """What keeps the period that is sent next from being taken, or the current one for longer than a quarter."""
    if period is None:
        return
    about = ("data_set", code)
    today = str(asked.info.get("serverDate"))[:10]
    closes = periods.bounds(period)[1] + timedelta(days=data_set.expiry_days + 1)
    if data_set.expiry_days and today >= closes.isoformat() and not asked.may("F_EDIT_EXPIRED"):  # 125, 126
        yield _found("dhis2.period_expired", about, name=code, period=period, day=closes.isoformat())
    current = periods.period_of(date.fromisoformat(today), data_set.period_type)
    begins, ends = periods.bounds(current)
    passes = _minor(asked.info) >= 43 and asked.may("F_EDIT_EXPIRED")  # 121-124
    if data_set.future == 0 and ends - begins > _QUARTER and not passes:
        yield _found("dhis2.period_opens_late", about, name=code, period=current, day=ends.isoformat())
    inverted = _windows_inverted(asked.info)
    takes = any(one.period == period and one.holds(today) is not inverted for one in data_set.windows)
    if data_set.windows and not takes:
        version = str(asked.info.get("version"))
        what = "dhis2.input_window_inverted" if inverted else "dhis2.input_window_closed"
        yield _found(what, about, name=code, period=period, **({"version": version} if inverted else {}))
    if unit := asked.approved.get(code):
        yield _found("dhis2.period_approved", about, name=code, period=period, unit=unit)


def timely(name: str, said: str, tokens: Mapping[str, Any], now: datetime) -> list[Finding]:
    """The server's clock, and the life of our tokens. ``said``: the ``Date`` of an answer; ``now``: ours."""
    return [*clock(name, said, now), *ending(name, tokens, now)]


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
    """A token of our account that ends soon. ``tokens``: as ``first_end`` reads them."""
    end = first_end(tokens, now)
    if end is None or end - now > _SOON:
        return []
    return [_found("dhis2.token_expires", name=name, day=end.date().isoformat())]


def first_end(tokens: Mapping[str, Any], now: datetime) -> datetime | None:
    """``tokens``: those of our account (389: ``expire`` in milliseconds; which is ours is not told). The end that comes
    first; those that have ended already are not the one we use."""
    ends = [one["expire"] / 1000 for one in _listed(tokens, "apiToken") if _milliseconds(one)]
    later = [end for end in ends if end > now.timestamp()]
    return datetime.fromtimestamp(min(later), UTC) if later else None


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


def in_reach(name: str, unit: Unit | None, account: Account, period: str | None) -> Iterator[Finding]:
    """Is an org unit there, ours to write to, and open? ``period``: the one that is sent next."""
    about = ("org_unit", name)
    if unit is None:
        yield _found("dhis2.org_unit_missing", about, name=name)
    elif account.roots and not account.covers(unit.path):
        yield _found("dhis2.E7617", about, name=name)
    elif unit.closed:
        yield _found("dhis2.org_unit_closed", about, name=name, day=unit.closed)
    elif period is not None and unit.opening > periods.bounds(period)[1].isoformat():
        yield _found("dhis2.org_unit_not_open", about, name=name, day=unit.opening, period=period)
