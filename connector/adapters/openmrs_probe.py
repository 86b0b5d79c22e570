"""Is this OpenMRS ready for referrals: account, modules, every uuid of ``openmrs.yaml``, the clock.

The server drops an unknown location without a word and answers 500 to an unknown provider (findings, point 7), so this
check is part of the safety, not a convenience. ``about`` of a finding: ``openmrs`` and the keys of ``openmrs.yaml``
that lead to what it speaks of, or nothing for the whole connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from connector.adapters.openmrs_answers import REASONS
from connector.adapters.openmrs_rest import Rest, Stop, listed
from connector.adapters.openmrs_rows import CHARACTERS, LUHN_MOD_30
from connector.findings import Code, Pair, found
from connector.model import Finding, Severity, Who

#: The server refuses an encounter that lies 90 seconds ahead of its clock (recordings/openmrs-2.8/289).
_SKEW_SECONDS = 60
#: The role that may do everything, and shows no privileges of its own (036).
_SUPERUSER = "System Developer"
#: Without one of each no referral goes; the first is what we ask for, the server takes any (059, 073, 753).
NEEDED: tuple[tuple[str, ...], ...] = (
    ("Get Patients",),
    ("Add Patients",),
    ("Edit Patient Identifiers",),
    ("Get Encounters",),
    ("Add Encounters", "Edit Encounters"),
    ("Get Concepts",),
    ("Get Locations",),
)
#: With appointments (635, 636, 679, 681).
APPOINTMENTS: tuple[tuple[str, ...], ...] = (
    ("View Appointments",),
    ("Manage Appointments", "Manage Own Appointments"),
    ("View Appointment Services", "Manage Appointment Services"),
)
#: What else the account has that carried the whole flow (findings-openmrs 7.11; 725-731): corrections, withdrawals, the
#: clinic's answers and this check. Not stopped for: a server may ask for less. The last two are for conditions: the
#: server refused for the first (741), and its FHIR module's source names the second.
ADVISED = (
    "Edit Encounters",
    "Get Observations",
    "Add Observations",
    "Get Visits",
    "Get Providers",
    "Get Encounter Types",
    "Get Encounter Roles",
    "Get Identifier Types",
    "Get Patient Identifiers",
    "Add Patient Identifiers",
    "Get People",
    "Get Diagnoses",
    "Get Conditions",
)
#: What is asked of a row; "": the resource knows no custom view (069).
_VIEWS = {"idgen/identifiersource": "", "patientidentifiertype": "custom:(uuid,display,retired,format,validator)"}
#: A number longer than an identifier may be (patient_identifier.identifier) is not looked at further.
_LONGEST = 50
#: What the numbers of people in the app are like: the ids of CHT.
_SAMPLE = "3f2b1c9e-8a4d-4c6f-9b1e-5d7a2c0e4f68"
_REFUSED = ("OpenMRS refuserait chaque référence.", "OpenMRS would refuse every referral.")

FINDINGS: Mapping[str, Code] = {
    "openmrs.module_missing": Code(
        ("le module {name} ne tourne pas dans OpenMRS", "the module {name} is not running in OpenMRS"),
        _REFUSED,
        (
            "Installez et démarrez-le ; sans le module appointments : profile: platform2.",
            "Install and start it; without the module appointments: profile: platform2.",
        ),
        who=Who.TARGET_ADMIN,
    ),
    "openmrs.may_not_write": Code(
        ("notre compte n'a pas le droit {name}", "our account lacks the privilege {name}"),
        _REFUSED,
        (
            "Administration → rôles → le rôle de notre compte : cochez-le (relu après une heure au plus).",
            "Administration → Roles → the role of our account: tick it (read again after an hour at most).",
        ),
        who=Who.TARGET_ADMIN,
    ),
    "openmrs.privilege_advised": Code(
        ("notre compte n'a pas le droit {name}", "our account lacks the privilege {name}"),
        (
            "Corrections, retraits, réponses de la clinique ou ce contrôle peuvent échouer.",
            "Corrections, withdrawals, the clinic's answers or this check may fail.",
        ),
        (
            "Administration → rôles → le rôle de notre compte : cochez-le (relu après une heure au plus).",
            "Administration → Roles → the role of our account: tick it (read again after an hour at most).",
        ),
        Severity.WARNING,
        Who.TARGET_ADMIN,
    ),
    "openmrs.metadata_missing": Code(
        ("{place} : OpenMRS n'a pas de {kind} {uuid}", "{place}: OpenMRS has no {kind} {uuid}"),
        (
            "OpenMRS laisse tomber un lieu inconnu sans un mot, et refuse le reste.",
            "OpenMRS drops an unknown location without a word, and refuses the rest.",
        ),
        (
            "Créez-le dans l'administration d'OpenMRS ou par relais setup openmrs ; ou corrigez openmrs.yaml.",
            "Create it in the administration of OpenMRS or with relais setup openmrs; or correct openmrs.yaml.",
        ),
        who=Who.TARGET_ADMIN,
    ),
    "openmrs.metadata_retired": Code(
        ("{place} : {kind} {uuid} est retiré dans OpenMRS", "{place}: {kind} {uuid} is retired in OpenMRS"),
        (
            "Ce qui est retiré n'est plus montré au centre, et pourra être refusé.",
            "What is retired is no longer shown at the clinic, and may be refused.",
        ),
        ("Choisissez-en un vivant.", "Choose a living one."),
        who=Who.TARGET_ADMIN,
    ),
    "openmrs.datatype": Code(
        (
            "{place} : le concept {uuid} est {there} dans OpenMRS, il faut {wanted}",
            "{place}: concept {uuid} is {there} in OpenMRS, {wanted} is needed",
        ),
        (
            "OpenMRS refuse une valeur d'une autre sorte, et avec elle toute la référence.",
            "OpenMRS refuses a value of another kind, and the whole referral with it.",
        ),
        (
            "Dictionnaire → concept → type de données ; ou choisissez dans openmrs.yaml un concept de cette sorte, ou "
            "changez value, answers ou factor.",
            "Dictionary → concept → Datatype; or choose a concept of that kind in openmrs.yaml, or change value, "
            "answers or factor.",
        ),
    ),
    "openmrs.identifier_format": Code(
        (
            "{place} : le type d'identifiant {uuid} demande {asked}",
            "{place}: identifier type {uuid} asks for {asked}",
        ),
        (
            "Les numéros de l'application ne sont pas de cette forme : OpenMRS refuserait chaque nouveau dossier.",
            "The numbers of the app are not of that form: OpenMRS would refuse every new patient.",
        ),
        (
            "Administration → types d'identifiants → ce type : videz le format et le validateur ; ou choisissez-en un "
            "autre dans openmrs.yaml.",
            "Administration → Patient identifier types → this type: empty Format and Validator; or choose another in "
            "openmrs.yaml.",
        ),
        who=Who.TARGET_ADMIN,
    ),
    "openmrs.identifier_source": Code(
        (
            "{place} : la source {uuid} ne convient pas au type d'identifiant openmrs_id ({why})",
            "{place}: source {uuid} does not suit identifier type openmrs_id ({why})",
        ),
        (
            "Un numéro dont le chiffre de contrôle est faux n'est pas envoyé, et la personne n'a pas de dossier.",
            "A number whose check digit is wrong is not sent, and the person gets no file.",
        ),
        (
            "Administration → sources d'identifiants : un générateur séquentiel pour ce type, avec les caractères "
            "0123456789ACDEFGHJKLMNPRTUVWXY ; relais setup openmrs en crée un, dont l'uuid va dans openmrs.yaml.",
            "Administration → Manage identifier sources: a sequential generator for this type, with the characters "
            "0123456789ACDEFGHJKLMNPRTUVWXY; relais setup openmrs makes one, whose uuid goes into openmrs.yaml.",
        ),
        Severity.WARNING,
        Who.TARGET_ADMIN,
    ),
    "openmrs.clock": Code(
        (
            "l'horloge d'OpenMRS a {seconds} s de {way}",
            "the clock of OpenMRS is {seconds} s {way} ours",
        ),
        (
            "OpenMRS refuse les visites dans son avenir.",
            "OpenMRS refuses visits in its future.",
        ),
        ("Réglez les deux machines par NTP.", "Set both machines by NTP."),
        who=Who.SYSADMIN,
    ),
}


@dataclass(frozen=True, slots=True)
class Lacks:
    """What of ``openmrs.yaml`` this server does not have, as far as a referral sends it.

    ``stop``: the reason why nothing can be sent at all. ``missing``: references. ``datatype``: concepts that take
    another kind of value. ``formats``: identifier type -> what its numbers must be like, None: like nothing of ours.
    ``check_digit``: whether the server asks for one in the numbers of its own generator.
    """

    stop: str | None = None
    missing: frozenset[str] = frozenset()
    datatype: frozenset[str] = frozenset()
    formats: Mapping[str, re.Pattern[str] | None] = field(default_factory=dict)
    check_digit: bool = False

    def holds_back(self, *bodies: Mapping[str, Any]) -> str | None:
        """The reason code for not sending these bodies; None: nothing is in their way."""
        for body in bodies:
            if not self.missing.isdisjoint(_texts(body)):
                return "openmrs.metadata_awaited"
            if any(obs["concept"] in self.datatype for obs in body.get("obs", ())):
                return "openmrs.datatype_awaited"
            for one in body.get("identifiers", ()):
                kind = one["identifierType"]
                asked = self.formats.get(kind)
                if kind in self.formats and not (asked and asked.fullmatch(one["identifier"][:_LONGEST])):
                    return "openmrs.identifier_format"
        return None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


async def look(rest: Rest, openmrs: Mapping[str, Any], profile: str) -> tuple[list[Finding], Lacks]:
    """What is not as it should be, for people and for deliveries. Raises Stop."""
    session = await rest.get("session") or {}
    if session.get("authenticated") is False:  # 036-038: never 401
        raise Stop("openmrs.credentials")
    if session.get("authenticated") is not True:  # said by something else than OpenMRS: nobody refused the account
        raise Stop("openmrs.not_json", status=200)
    modules = await rest.get("module", v="custom:(moduleId,started)", limit="100")
    without, denied = list(_modules(modules or {}, profile)), list(_privileges(session, profile))
    findings = [*without, *denied]
    denies = any(one.severity is Severity.ERROR for one in denied)
    stop = "openmrs.module_missing" if without else "openmrs.privilege" if denies else None
    missing: set[str] = set()
    formats: dict[str, re.Pattern[str] | None] = {}
    check_digit = False
    try:
        for path, reference, place in _references(openmrs, profile):
            row, found = await _check(rest, path, reference, place)
            findings += found
            if row is None:
                missing.add(reference)
            elif place == "identifier_types.chw":
                findings += _format(row, reference, place, formats)
            elif place == "identifier_types.openmrs_id":
                check_digit = row.get("validator") == LUHN_MOD_30
            elif place == "idgen_source":
                findings += _source(row, reference, str(openmrs["identifier_types"]["openmrs_id"]))
        lost, datatype, found = await _concepts(rest, openmrs)
        findings += found
        if profile == "o3" and not without:
            unknown = await _services(rest, openmrs)
            missing |= unknown.keys()
            findings += unknown.values()
    except Stop as trouble:
        if trouble.code not in ("openmrs.privilege", "openmrs.module_missing"):
            raise
        # The rest cannot be read; that is no reason not to send, only one that nobody was told.
        lost, datatype = set(), set()
        findings = findings or [_stopped(trouble.code)]
    return findings, Lacks(stop, frozenset(missing | lost), frozenset(datatype), formats, check_digit)


async def probe(
    rest: Rest, openmrs: Mapping[str, Any], profile: str, now: Callable[[], datetime] | None
) -> list[Finding]:
    """Findings for what is not as it should be; an empty list when all is well."""
    try:
        findings, _ = await look(rest, openmrs, profile)
        if now is not None:
            findings += await _clock(rest, now)
        return findings
    except Stop as stop:
        return [_stopped(stop.code)]


def _stopped(code: str) -> Finding:
    reason = REASONS[code]
    return Finding(code, Severity.ERROR, reason.en, who=reason.who, french=(reason.fr, "", ""))


def _found(code: str, place: str = "", severity: Severity | None = None, /, **words: str | int | Pair) -> Finding:
    about = ("openmrs", *place.split(".")) if place else ()
    return found(FINDINGS, code, {"place": place, **words}, severity=severity, about=about)


def _modules(answer: Mapping[str, Any], profile: str) -> Iterator[Finding]:
    started = {str(m.get("moduleId")) for m in listed(answer.get("results") or []) if m.get("started")}
    wanted = ["webservices.rest", "idgen", *(["appointments"] if profile == "o3" else [])]
    for module in wanted:
        if module not in started:
            yield _found("openmrs.module_missing", name=module)


def groups(profile: str) -> tuple[tuple[str, ...], ...]:
    """Without one of each no referral goes with this profile."""
    return (*NEEDED, *(APPOINTMENTS if profile == "o3" else ()))


def superuser(user: Mapping[str, Any]) -> bool:
    """Whether the user of a session may do everything: it shows that role, and no privileges (036)."""
    return any(role.get("display") == _SUPERUSER for role in listed(user.get("roles") or []))


def held(user: Mapping[str, Any]) -> set[str]:
    """The privileges of the user of a session (058)."""
    return {str(one.get("display")) for one in listed(user.get("privileges") or [])}


def _privileges(session: Mapping[str, Any], profile: str) -> Iterator[Finding]:
    """What our account lacks."""
    user = session.get("user")
    if not isinstance(user, Mapping) or superuser(user):
        return
    has = held(user)
    for names in groups(profile):
        if has.isdisjoint(names):
            yield _found("openmrs.may_not_write", name=names[0])
    for name in ADVISED:
        if name not in has:
            yield _found("openmrs.privilege_advised", name=name)


def _references(openmrs: Mapping[str, Any], profile: str) -> Iterator[tuple[str, str, str]]:
    """Every (resource, uuid, place in openmrs.yaml) but concepts."""
    for name, uuid in (openmrs.get("identifier_types") or {}).items():
        yield "patientidentifiertype", uuid, f"identifier_types.{name}"
    yield "idgen/identifiersource", openmrs["idgen_source"], "idgen_source"
    yield "encountertype", openmrs["encounter_type"], "encounter_type"
    for uuid in openmrs.get("clinical_encounter_types") or ():
        yield "encountertype", uuid, "clinical_encounter_types"
    for name, path in (("provider", "provider"), ("encounter_role", "encounterrole")):
        if openmrs.get(name):
            yield path, openmrs[name], name
    for area, place in (openmrs.get("places") or {}).items():
        yield "location", place["location"], f"places.{area}.location"


#: What is written to each concept of a referral. "": only what stands as an answer, of any datatype.
_WRITTEN = {
    "number": "Text", "reason": "Coded", "urgency": "Coded", "note": "Text", "treatment": "Coded",
    "counter_referral_note": "Text",
}  # fmt: skip


def _asked(openmrs: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every (place in openmrs.yaml, concept, datatypes it may have)."""
    for name, uuid in (openmrs.get("concepts") or {}).items():
        yield f"concepts.{name}", uuid, _WRITTEN.get(name, "")
    for question, answers in (openmrs.get("answers") or {}).items():
        for name, uuid in answers.items():
            yield f"answers.{question}.{name}", uuid, ""
    for name, rule in (openmrs.get("observations") or {}).items():
        coded = "value" in rule or "answers" in rule
        wanted = "Coded" if coded else "Numeric" if "factor" in rule else "Numeric, Text"
        yield f"observations.{name}.concept", rule["concept"], wanted
        if "value" in rule:
            yield f"observations.{name}.value", rule["value"], ""
        for option, uuid in (rule.get("answers") or {}).items():
            yield f"observations.{name}.answers.{option}", uuid, ""


async def _concepts(rest: Rest, openmrs: Mapping[str, Any]) -> tuple[set[str], set[str], list[Finding]]:
    """Each concept is there, living, and of a datatype that takes what is written to it; asked for once each.
    Returns those that are not there, those of another datatype, and the findings."""
    findings: list[Finding] = []
    other: set[str] = set()
    rows: dict[str, Mapping[str, Any] | None] = {}
    for place, reference, wanted in _asked(openmrs):
        if reference not in rows:
            rows[reference] = await rest.get(
                f"concept/{reference}", v="custom:(uuid,display,retired,datatype:(display))"
            )
            findings += _state(rows[reference], "concept", reference, place)
        row = rows[reference]
        kind = (row or {}).get("datatype")
        there = str(kind.get("display", "")) if isinstance(kind, Mapping) else ""
        if wanted and there and there not in wanted.split(", "):
            other.add(reference)
            findings.append(_found("openmrs.datatype", place, uuid=reference, there=there, wanted=wanted))
    return {reference for reference, row in rows.items() if row is None}, other, findings


async def _check(rest: Rest, path: str, reference: str, place: str) -> tuple[Mapping[str, Any] | None, list[Finding]]:
    view = _VIEWS.get(path, "custom:(uuid,display,retired)")
    row = await rest.get(f"{path}/{reference}", **({"v": view} if view else {}))
    return row, list(_state(row, path, reference, place))


def _format(
    row: Mapping[str, Any], uuid: str, place: str, formats: dict[str, re.Pattern[str] | None]
) -> Iterator[Finding]:
    """The numbers of the app are taken as they are: no check digit (088, 089), and the form they have (111)."""
    validator, asked = row.get("validator"), row.get("format")
    if validator:
        formats[uuid] = None
        name = str(validator).rpartition(".")[2]
        yield _found("openmrs.identifier_format", place, uuid=uuid, asked=name)
    elif isinstance(asked, str) and asked and len(asked) <= _LONGEST * 4:
        try:
            formats[uuid] = re.compile(asked)
        except re.error:  # a pattern of Java that is none here: the server decides
            return
        if not formats[uuid].fullmatch(_SAMPLE):  # type: ignore[union-attr]
            yield _found("openmrs.identifier_format", place, uuid=uuid, asked=asked)


def _source(row: Mapping[str, Any], uuid: str, kind: str) -> Iterator[Finding]:
    """A generator appends the check digit that the validator of its own type asks for (006, 070); what was put into a
    pool, or comes from another server, was made elsewhere."""
    of = row.get("identifierType")
    of = of if isinstance(of, Mapping) else {}
    made, validator = str(row.get("type") or ""), of.get("validator")
    characters = "".join(str(row.get(key) or "") for key in ("baseCharacterSet", "prefix", "suffix"))
    other = "".join(sorted(set(characters.upper()) - set(CHARACTERS)))
    why: Pair | None = None
    if of.get("uuid") not in (None, kind):
        why = ("elle est d'un autre type", "it is of another type")
    elif validator and made and made != "sequentialidentifiergenerator":
        why = (f"{made} : ses numéros viennent d'ailleurs", f"{made}: its numbers come from elsewhere")
    elif validator == LUHN_MOD_30 and other:
        why = (f"le contrôle ne connaît pas {other}", f"the check does not know {other}")
    if why:
        yield _found("openmrs.identifier_source", "idgen_source", uuid=uuid, why=why)


def _state(row: Mapping[str, Any] | None, path: str, reference: str, place: str) -> Iterator[Finding]:
    if row is None:
        yield _found("openmrs.metadata_missing", place, kind=path, uuid=reference)
    elif row.get("retired"):
        yield _found("openmrs.metadata_retired", place, kind=path, uuid=reference)


async def _services(rest: Rest, openmrs: Mapping[str, Any]) -> dict[str, Finding]:
    """Services of places that the server does not have."""
    services = {str(s.get("uuid")) for s in await rest.list("appointmentService/all/default")}
    return {
        str(uuid): _found(
            "openmrs.metadata_missing", f"places.{area}.service", kind="appointmentService", uuid=str(uuid)
        )
        for area, place in (openmrs.get("places") or {}).items()
        if (uuid := place.get("service")) not in services
    }


async def _clock(rest: Rest, now: Callable[[], datetime]) -> list[Finding]:
    """Compare the ``Date`` of an answer with our clock."""
    try:
        response = await rest.client.get("/ws/rest/v1/session")
        there = parsedate_to_datetime(response.headers["date"])
    except (httpx.HTTPError, KeyError, ValueError, TypeError, OverflowError):
        return []
    behind = (now() - (there if there.tzinfo else there.replace(tzinfo=UTC))).total_seconds()
    if abs(behind) <= _SKEW_SECONDS:
        return []
    way: Pair = ("retard", "behind") if behind > 0 else ("avance", "ahead of")
    severity = Severity.ERROR if behind > 0 else Severity.WARNING
    return [_found("openmrs.clock", "", severity, seconds=round(abs(behind)), way=way)]
