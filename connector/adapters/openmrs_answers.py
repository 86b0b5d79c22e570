"""What an OpenMRS answer means: one table of reasons and one classification, both pure.

OpenMRS says the same thing in many ways and different things in one: a 500 is mostly permanent, a 400 may be a matter
of login, a 200 may hold an exception. So the body decides, and ``detail`` (a stack trace with values, on a stock
server) is never looked at. Source: recordings/openmrs-2.8 and findings, table "Status to class".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connector.adapters.reasons import Reason
from connector.model import Verdict, Who

_A, _R, _D, _U = Verdict.ACCEPTED, Verdict.REJECTED, Verdict.DEFERRED, Verdict.UNKNOWN

#: Code -> what it means, who acts, and the sentence for that person.
REASONS: dict[str, Reason] = {
    # ---- it is there
    "openmrs.accepted": Reason(
        _A,
        Who.NOBODY,
        "La référence est à la clinique.",
        "The referral is at the clinic.",
    ),
    "openmrs.unchanged": Reason(
        _A,
        Who.NOBODY,
        "La clinique a déjà cette référence ; rien n'a été envoyé.",
        "The clinic has this referral already; nothing was sent.",
    ),
    "openmrs.withdrawn": Reason(
        _A,
        Who.NOBODY,
        "La référence a été retirée à la clinique.",
        "The referral was taken back at the clinic.",
    ),
    "openmrs.voided_by_clinic": Reason(
        _A,
        Who.NOBODY,
        "La clinique a annulé cette consultation de référence ; Relais ne la recrée pas.",
        "The clinic voided this referral's encounter; Relais does not create it again.",
    ),
    # ---- the server is not there to answer
    "openmrs.unreachable": Reason(
        _D,
        Who.SYSADMIN,
        "OpenMRS ne répond pas. Relais réessaie de lui-même ; si cela dure, voir le serveur et le réseau.",
        "OpenMRS is out of reach. Relais tries again by itself; if it stays, look at the server and the network.",
    ),
    "openmrs.busy": Reason(
        _D,
        Who.NOBODY,
        "OpenMRS demande d'attendre ; Relais attend.",
        "OpenMRS asks to wait; Relais waits.",
    ),
    "openmrs.not_json": Reason(
        _D,
        Who.SYSADMIN,
        "Une page web est venue au lieu d'OpenMRS (démarrage, proxy). Relais réessaie ; vérifier l'adresse.",
        "A web page came instead of OpenMRS (start-up, proxy). Relais tries again; check the address if it stays.",
    ),
    "openmrs.server_error": Reason(
        _D,
        Who.TARGET_ADMIN,
        "OpenMRS a échoué sans dire pourquoi. Relais réessaie ; l'administrateur d'OpenMRS devrait lire son journal.",
        "OpenMRS failed without saying why. Relais tries again; the OpenMRS administrator should read its log.",
    ),
    "openmrs.not_installed": Reason(
        _D,
        Who.TARGET_ADMIN,
        "OpenMRS n'est pas installé à cette adresse : terminer son installation.",
        "OpenMRS is not installed at this address: finish its installation.",
    ),
    "openmrs.lost": Reason(
        _U,
        Who.NOBODY,
        "La réponse d'OpenMRS s'est perdue. Relais attend, regarde ce qui est là, puis décide.",
        "The answer of OpenMRS was lost. Relais waits, looks what is there, then decides.",
    ),
    # ---- the account
    "openmrs.credentials": Reason(
        _D,
        Who.CREDENTIALS,
        "OpenMRS refuse l'identifiant ou le mot de passe (ou le compte est bloqué). Relais s'arrête pour ne pas le "
        "bloquer : vérifier le compte, puis relancer.",
        "OpenMRS refuses the user or password (or the account is locked). Relais stopped so as not to lock it: check "
        "the account, then run again.",
    ),
    "openmrs.locked": Reason(
        _D,
        Who.CREDENTIALS,
        "Le compte OpenMRS est bloqué. Relais s'arrête ; débloquer le compte, puis relancer.",
        "The OpenMRS account is locked. Relais stopped; unlock the account, then run again.",
    ),
    "openmrs.privilege": Reason(
        _D,
        Who.TARGET_ADMIN,
        "Un privilège manque au compte de Relais dans OpenMRS. L'administrateur doit l'ajouter au rôle "
        "(les rôles sont relus après une heure).",
        "The Relais account lacks a privilege in OpenMRS. The administrator should add it to the role "
        "(roles are read again after an hour).",
    ),
    "openmrs.address_refused": Reason(
        _D,
        Who.TARGET_ADMIN,
        "OpenMRS refuse les requêtes de cette machine. Relais s'arrête pour ce serveur et réessaie ; ajoutez son "
        "adresse à webservices.rest.allowedips.",
        "OpenMRS refuses requests from this machine. Relais stopped for this server and tries again; add its address "
        "to webservices.rest.allowedips.",
    ),
    "openmrs.module_missing": Reason(
        _D,
        Who.TARGET_ADMIN,
        "Le module des rendez-vous manque dans OpenMRS. L'installer, ou choisir le profil platform2.",
        "OpenMRS has no appointments module. Install it, or choose the profile platform2.",
    ),
    # ---- held back before anything is sent
    "openmrs.metadata_awaited": Reason(
        _D,
        Who.TARGET_ADMIN,
        "OpenMRS n'a pas une chose que cette référence demande (type de consultation, lieu, service, concept…). Relais "
        "n'envoie rien et regarde à chaque passage : relais doctor la nomme ; à créer dans l'administration d'OpenMRS "
        "ou par relais setup openmrs.",
        "OpenMRS lacks something this referral needs (encounter type, location, service, concept…). Relais sends "
        "nothing and looks again in each run: relais doctor names it; make it in the administration of OpenMRS or with "
        "relais setup openmrs.",
        held=True,
    ),
    "openmrs.datatype_awaited": Reason(
        _D,
        Who.TARGET_ADMIN,
        "Un concept est d'un autre type dans OpenMRS que ce que cette référence y écrirait. Relais n'envoie rien et "
        "regarde à chaque passage : relais doctor le nomme ; Dictionnaire → concept → type de données, ou "
        "openmrs.yaml.",
        "A concept is of another datatype in OpenMRS than what this referral would write. Relais sends nothing and "
        "looks again in each run: relais doctor names it; Dictionary → concept → Datatype, or openmrs.yaml.",
        held=True,
    ),
    "openmrs.identifier_format": Reason(
        _D,
        Who.TARGET_ADMIN,
        "Le numéro de cette personne dans l'application n'a pas la forme que demande son type d'identifiant dans "
        "OpenMRS. Relais n'envoie rien et regarde à chaque passage : Administration → types d'identifiants → format et "
        "validateur.",
        "The number of this person in the app is not of the form its identifier type asks for in OpenMRS. Relais sends "
        "nothing and looks again in each run: Administration → Patient identifier types → Format and Validator.",
        held=True,
    ),
    "openmrs.identifier_check": Reason(
        _D,
        Who.TARGET_ADMIN,
        "La source idgen a donné un numéro dont le chiffre de contrôle (Luhn mod 30) est faux : OpenMRS le refuserait. "
        "Relais n'envoie pas cette personne et prend un autre numéro au passage suivant : Administration → sources "
        "d'identifiants, ou idgen_source dans openmrs.yaml ; relais doctor en dit la cause.",
        "The idgen source gave a number whose check digit (Luhn mod 30) is wrong: OpenMRS would refuse it. Relais does "
        "not send this person and takes another number in the next run: Administration → Manage identifier sources, or "
        "idgen_source in openmrs.yaml; relais doctor tells the cause.",
        held=True,
    ),
    # ---- waiting its turn
    "lane.busy": Reason(
        _D,
        Who.NOBODY,
        "Une autre création est en cours ; Relais attend son tour.",
        "Another creation is under way; Relais waits its turn.",
    ),
    # ---- the patient
    "openmrs.identifier_in_use": Reason(
        _R,
        Who.CLINIC,
        "Cet identifiant appartient déjà à un autre dossier de la clinique. Comparer les deux dossiers, puis relancer.",
        "This identifier already belongs to another patient at the clinic. Compare the two, then retry.",
    ),
    "openmrs.match_review": Reason(
        _R,
        Who.CLINIC,
        "Un dossier de la clinique ressemble à la personne référée. Relais attend et n'a rien écrit à la clinique : "
        "dire si c'est elle (page Rapprochements, ou relais matches).",
        "A patient of the clinic is like the referred person. Relais waits and wrote nothing at the clinic: say "
        "whether it is she (page Matches, or relais matches).",
    ),
    "openmrs.patient_gone": Reason(
        _R,
        Who.CLINIC,
        "Le dossier que la clinique a désigné pour cette personne n'existe plus, et aucun autre ne porte ses numéros. "
        "Reprendre la réponse (relais matches decide --undo) : Relais cherche de nouveau.",
        "The patient the clinic named for this person is no longer there, and no other carries her numbers. Take the "
        "answer back (relais matches decide --undo): Relais searches again.",
    ),
    "openmrs.patient_ambiguous": Reason(
        _R,
        Who.CLINIC,
        "Plusieurs dossiers de la clinique portent cet identifiant. Les fusionner, puis relancer.",
        "Several patients at the clinic carry this identifier. Merge them, then retry.",
    ),
    "openmrs.patient_voided": Reason(
        _R,
        Who.CLINIC,
        "La clinique a annulé le dossier de cette personne. Rétablir le dossier ou l'identifiant, puis relancer.",
        "The clinic voided this person's record. Restore the record or the identifier, then retry.",
    ),
    "openmrs.patient_data": Reason(
        _R,
        Who.CHW_DATA,
        "OpenMRS refuse le nom, le sexe ou la date de naissance de la personne. Corriger dans l'application.",
        "OpenMRS refuses the person's name, sex or birth date. Correct it in the app.",
    ),
    "openmrs.no_person": Reason(
        _R,
        Who.CHW_DATA,
        "La personne référée n'est pas connue. Elle doit arriver de l'application.",
        "The referred person is not known. The person has to arrive from the app.",
    ),
    "openmrs.identifier_invalid": Reason(
        _R,
        Who.TARGET_ADMIN,
        "OpenMRS juge un identifiant invalide : vérifier le type d'identifiant et la source idgen.",
        "OpenMRS finds an identifier invalid: check the identifier type and the idgen source.",
    ),
    "openmrs.identifier_required": Reason(
        _R,
        Who.TARGET_ADMIN,
        "OpenMRS exige un identifiant que Relais ne donne pas : l'ajouter à openmrs.yaml ou le rendre facultatif.",
        "OpenMRS requires an identifier type Relais does not give: add it to openmrs.yaml or make it optional.",
    ),
    # ---- the referral
    "openmrs.place_unmapped": Reason(
        _R,
        Who.MAPPING,
        "Ce lieu n'a pas de clinique dans openmrs.yaml (places). L'ajouter, puis relancer.",
        "This place has no clinic in openmrs.yaml (places). Add it, then retry.",
    ),
    "openmrs.location_dropped": Reason(
        _R,
        Who.TARGET_ADMIN,
        "OpenMRS ne connaît pas le lieu de la clinique et l'a laissé de côté sans le dire. Créer le lieu ou corriger "
        "openmrs.yaml, puis relancer : Relais remplace la consultation et le rendez-vous.",
        "OpenMRS does not know the clinic's location and dropped it without a word. Create the location or correct "
        "openmrs.yaml, then retry: Relais replaces the encounter and the appointment.",
    ),
    "openmrs.metadata_missing": Reason(
        _R,
        Who.TARGET_ADMIN,
        "Un élément de configuration (type, prestataire, concept, service) manque dans OpenMRS. Lancer relais doctor.",
        "A piece of metadata (type, provider, concept, service) is missing in OpenMRS. Run relais doctor.",
    ),
    "openmrs.in_future": Reason(
        _R,
        Who.SYSADMIN,
        "Pour OpenMRS la visite est dans l'avenir : les horloges ne s'accordent pas, ou la date est fausse.",
        "To OpenMRS the visit is in the future: the clocks disagree, or the date is wrong.",
    ),
    "openmrs.obs_refused": Reason(
        _R,
        Who.MAPPING,
        "OpenMRS refuse une observation de la référence : revoir les concepts de openmrs.yaml.",
        "OpenMRS refuses an observation of the referral: look at the concepts in openmrs.yaml.",
    ),
    "openmrs.text_refused": Reason(
        _R,
        Who.TARGET_ADMIN,
        "La base d'OpenMRS refuse un caractère ou une longueur de texte. Voir l'administrateur.",
        "The OpenMRS database refuses a character or a length of text. See the administrator.",
    ),
    "openmrs.wrong_method": Reason(
        _R,
        Who.SYSADMIN,
        "OpenMRS ne connaît pas cette requête ; c'est une erreur de Relais. La signaler.",
        "OpenMRS does not know this request; the mistake is in Relais. Report it.",
    ),
    "openmrs.refused": Reason(
        _R,
        Who.TARGET_ADMIN,
        "OpenMRS refuse la référence. L'administrateur devrait lire la réponse gardée avec l'envoi.",
        "OpenMRS refuses the referral. The administrator should read the answer kept with the delivery.",
    ),
}

#: These stop the target: nothing about the referral itself failed, so no try is counted.
OF_TARGET = frozenset({
    "openmrs.unreachable", "openmrs.busy", "openmrs.not_json", "openmrs.not_installed", "openmrs.credentials",
    "openmrs.locked", "openmrs.privilege", "openmrs.address_refused", "openmrs.module_missing",
})  # fmt: skip

#: Words of a refusal -> code, in this order. Words of OpenMRS itself are translated by language packs, those of Java
#: and MySQL are not; codes of properties (``fieldErrors`` keys) come first, see ``classify``.
_WORDS = tuple(
    (re.compile(pattern, re.IGNORECASE), code)
    for pattern, code in (
        (r"account.{0,20}locked|locked out", "openmrs.locked"),
        (r"Privileges? required|relevant privilege", "openmrs.privilege"),
        (r"already in use by another patient", "openmrs.identifier_in_use"),
        (
            r"check digit|not appropriate for validation|Identifier .* does not match|Identifier Location cannot be",
            "openmrs.identifier_invalid",
        ),
        (r"missing the following required identifier", "openmrs.identifier_required"),
        (
            r"(names|gender|birthdate)\b.* on class org\.openmrs\.(Person|Patient)|preferredIdentifier",
            "openmrs.patient_data",
        ),
        (r"without Service|without Patient|IdentifierSource|Column '\w+' cannot be null", "openmrs.metadata_missing"),
        (r"(location|identifierType|attributeType)\b.*\bis null", "openmrs.metadata_missing"),
        (r"Incorrect string value|Illegal mix of collations|Data too long|too long for column", "openmrs.text_refused"),
        (r"(obs|value|concept) on class org\.openmrs\.(Encounter|Obs)", "openmrs.obs_refused"),
        (r"datetimeShouldBeBeforeCurrent", "openmrs.in_future"),
        # 500s that no waiting mends (findings, "Status to class"), and what only a request of ours can be guilty of.
        (
            r"Editing the fields|StartDate is not provided|absolute limit|number of results to return"
            r"|Content type .* not supported|query must not be null|not allowed to be set|JSON parse error",
            "openmrs.wrong_method",
        ),
        (r"status can not be changed|Appointment does not exist|TransientObjectException", "openmrs.refused"),
    )
)
#: Characters of a refusal that are read: its words are searched with patterns, and millions of them would take hours.
_READ = 2000
_FIELDS = {
    "gender": "openmrs.patient_data",
    "birthdate": "openmrs.patient_data",
    "names": "openmrs.patient_data",
    "encounterType": "openmrs.metadata_missing",
    "patient": "openmrs.metadata_missing",
    "encounterDatetime": "openmrs.in_future",
}


def classify(status: int, body: Any, *, html: bool = False) -> str | None:
    """The reason code of an answer, or None when the wished thing was done.

    ``body``: parsed JSON, None when empty or unreadable; ``html``: a web page came. "It is already there" is not
    decided here: only a look-up by our id can tell (five shapes of the same fact, findings point 1).
    """
    if 300 <= status < 400:
        return "openmrs.not_installed"  # 302 to the set-up page: recordings/openmrs-2.8/000
    if status in (429, 503):
        return "openmrs.busy"
    if status == 401:
        return "openmrs.locked" if "locked" in _text(body).lower() else "openmrs.credentials"
    if status == 403:
        # The list of addresses is kept by a filter before OpenMRS itself, which answers with a page (704).
        return "openmrs.address_refused" if html else "openmrs.privilege"
    if html or (body is None and status != 204):
        return "openmrs.server_error" if status >= 500 else "openmrs.not_json" if status < 400 else "openmrs.refused"
    if status < 300:
        if isinstance(body, Mapping) and "stackTrace" in body:
            return "openmrs.wrong_method"  # 182, 183, 414
        if isinstance(body, Mapping) and "error" in body:
            return "openmrs.refused"
        return None
    fields = _error(body).get("fieldErrors")
    if isinstance(fields, Mapping):
        for name in fields:
            code = _FIELDS.get(str(name).split("[")[0].split(".")[0])
            if code:
                return code
            if str(name).startswith("value"):
                return "openmrs.obs_refused"
    text = _text(body)
    for pattern, code in _WORDS:
        if pattern.search(text):
            return code
    return "openmrs.server_error" if status >= 500 else "openmrs.refused"


def short(body: Any) -> str:
    """The answer as it may be kept (encrypted) with the attempt: message and codes, never the stack trace."""
    return _text(body)[:1000]


def _error(body: Any) -> Mapping[str, Any]:
    error = body.get("error") if isinstance(body, Mapping) else None
    return error if isinstance(error, Mapping) else {}


def _text(body: Any) -> str:
    """Message, global errors and codes of field errors on one line; of the FHIR module what each issue says (741)."""
    error = _error(body)
    parts = [str(error.get("message") or "")]
    issues = body.get("issue") if isinstance(body, Mapping) else None
    parts += [str(issue.get("diagnostics")) for issue in _objects(issues)]
    parts += [f"{item.get('code')} {item.get('message')}" for item in _objects(error.get("globalErrors"))]
    fields = error.get("fieldErrors")
    for name, items in fields.items() if isinstance(fields, Mapping) else ():
        parts += [f"{name}: {item.get('code')}" for item in _objects(items)]
    return " · ".join(part[:_READ] for part in parts if part)[:_READ]


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value[:50] if isinstance(item, Mapping)] if isinstance(value, list) else []
