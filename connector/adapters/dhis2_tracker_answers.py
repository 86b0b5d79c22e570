"""What DHIS2's tracker means by an answer: pure functions over a report, and the reasons beside those of ``dhis2``.

Success is an identifier in the report, never a status: with ``atomicMode=OBJECT`` the answer is 200 OK also when every
object was refused (recordings/dhis2-2.42: 331, 343; numbers in comments are from there).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.adapters.dhis2_answers import REASONS as SHARED
from connector.adapters.dhis2_answers import reason as shared_reason
from connector.adapters.dhis2_codes import CODES
from connector.adapters.reasons import Reason
from connector.model import Verdict, Who

_CODE = re.compile(r"E\d{4}")
_A, _R, _D, _U = Verdict.ACCEPTED, Verdict.REJECTED, Verdict.DEFERRED, Verdict.UNKNOWN

REASONS: dict[str, Reason] = {
    "dhis2.tracker_stored": Reason(_A, Who.NOBODY, "DHIS2 l'a enregistré.", "DHIS2 stored it."),
    "dhis2.tracker_deleted": Reason(
        _A, Who.NOBODY, "L'événement n'est plus dans DHIS2.", "The event is no longer in DHIS2."
    ),
    "dhis2.person_first": Reason(
        _D,
        Who.NOBODY,
        "La personne n'est pas encore dans DHIS2. Relais envoie l'événement après elle ; voyez l'envoi de la personne.",
        "The person is not in DHIS2 yet. Relais sends the event after her; see the delivery of the person.",
    ),
    "dhis2.enrollment_missing": Reason(
        _D,
        Who.NOBODY,
        "L'inscription de la personne n'est plus dans DHIS2. Relais la remet à la prochaine relecture, puis envoie "
        "l'événement ; relais reconcile le fait tout de suite.",
        "The person's enrolment is no longer in DHIS2. Relais puts it back at the next reading back, then sends the "
        "event; relais reconcile does it at once.",
    ),
    "dhis2.code_unknown": Reason(
        _U,
        Who.TARGET_ADMIN,
        "DHIS2 refuse avec un code que Relais ne connaît pas. Relais relit et renvoie ; si cela dure, lisez la réponse "
        "et signalez le code.",
        "DHIS2 refuses with a code that Relais does not know. Relais reads back and sends again; if it stays, read the "
        "answer and report the code.",
    ),
    "dhis2.not_in_report": Reason(
        _U,
        Who.NOBODY,
        "La réponse de DHIS2 ne parle pas de cet objet. Relais relit avant de renvoyer.",
        "The answer of DHIS2 does not speak of this object. Relais reads back before sending again.",
    ),
    "dhis2.duplicate_unseen": Reason(
        _R,
        Who.TARGET_ADMIN,
        "Une personne a déjà cette valeur unique dans DHIS2, mais le compte de Relais ne la voit pas. Donnez-lui ses "
        "unités de recherche, puis relancez.",
        "A person in DHIS2 has this unique value already, but the account of Relais does not see her. Give it her "
        "search org units, then retry.",
    ),
    "dhis2.duplicate_several": Reason(
        _R,
        Who.TARGET_ADMIN,
        "Les valeurs uniques de cette personne sont celles de plusieurs personnes dans DHIS2. Relais n'en choisit "
        "aucune : corrigez-les, puis relancez.",
        "The unique values of this person belong to several people in DHIS2. Relais chooses none of them: mend them, "
        "then retry.",
    ),
    "dhis2.program_missing": Reason(
        _D,
        Who.MAPPING,
        "Ce programme n'est pas dans DHIS2, ou le compte de Relais ne le voit pas. Rien n'est envoyé : corrigez le "
        "code de tracker.yaml, ou partagez le programme.",
        "This program is not in DHIS2, or the account of Relais does not see it. Nothing is sent: mend the code in "
        "tracker.yaml, or share the program.",
    ),
    "dhis2.program_no_person": Reason(
        _D,
        Who.MAPPING,
        "Ce programme n'inscrit personne. Rien n'est envoyé : nommez un programme avec inscription.",
        "This program registers nobody. Nothing is sent: name a program with registration.",
    ),
    "dhis2.program_no_write": Reason(
        _D,
        Who.TARGET_ADMIN,
        "Le compte de Relais ne peut pas écrire les données de ce programme. Rien n'est envoyé : partagez-le.",
        "The account of Relais may not write data of this program. Nothing is sent: share it.",
    ),
    "dhis2.stage_missing": Reason(
        _R,
        Who.MAPPING,
        "Cette étape n'est pas dans le programme. Corrigez le code de tracker.yaml, puis relancez.",
        "This stage is not in the program. Mend the code in tracker.yaml, then retry.",
    ),
    "dhis2.attribute_missing": Reason(
        _R,
        Who.MAPPING,
        "Un attribut nommé dans tracker.yaml n'est pas dans le programme. Corrigez le code ou ajoutez-le.",
        "An attribute named in tracker.yaml is not in the program. Mend the code or add it.",
    ),
    "dhis2.stage_element_missing": Reason(
        _R,
        Who.MAPPING,
        "Un élément de données nommé dans tracker.yaml n'est pas dans l'étape. Corrigez le code ou ajoutez-le.",
        "A data element named in tracker.yaml is not in the stage. Mend the code or add it.",
    ),
    "dhis2.program_no_unit": Reason(
        _R,
        Who.TARGET_ADMIN,
        "Cette unité n'est pas affectée au programme dans DHIS2. Affectez-la, puis relancez.",
        "This org unit is not assigned to the program in DHIS2. Assign it, then retry.",
    ),
    "dhis2.tracker_no_unit": Reason(
        _R,
        Who.MAPPING,
        "Le lieu de la fiche n'a pas d'unité au niveau que tracker.yaml nomme. Corrigez level ou org_units.csv.",
        "The place of the record has no org unit at the level that tracker.yaml names. Mend level or org_units.csv.",
    ),
}


def reason(code: str) -> Reason:
    return REASONS.get(code) or shared_reason(code)


@dataclass(frozen=True, slots=True)
class Report:
    """What was said of each object, by (type, UID): ``stored``, or the codes it was ``refused`` for."""

    stored: frozenset[tuple[str, str]] = frozenset()
    refused: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)


def read_report(body: Any) -> Report | None:
    """The bare ``ImportReport`` of ``async=false``; None for anything else, also one whose import blew up (a
    ``message`` and no report)."""
    if not isinstance(body, Mapping) or body.get("status") not in ("OK", "WARNING", "ERROR"):
        return None
    validation = body.get("validationReport")
    errors = validation.get("errorReports") if isinstance(validation, Mapping) else None
    if not isinstance(errors, list):
        return None
    refused: dict[tuple[str, str], list[str]] = {}
    for one in errors:
        if not isinstance(one, Mapping):
            return None
        refused.setdefault((str(one.get("trackerType")), str(one.get("uid"))), []).append(str(one.get("errorCode")))
    stored = set()
    bundle = body.get("bundleReport")
    kinds = bundle.get("typeReportMap") if isinstance(bundle, Mapping) else None
    for kind, told in kinds.items() if isinstance(kinds, Mapping) else ():
        objects = told.get("objectReports") if isinstance(told, Mapping) else None
        for one in objects if isinstance(objects, list) else ():
            if isinstance(one, Mapping) and not one.get("errorReports"):
                stored.add((str(kind), str(one.get("uid"))))
    return Report(frozenset(stored - set(refused)), refused)


def refusal(codes: Sequence[str]) -> str:
    """One reason for an object refused for these: the first that is final, else the first. What has no row in the table
    of codes is never guessed (``dhis2.code_unknown``)."""
    unknown = [code for code in codes if code not in CODES or not _CODE.fullmatch(code)]
    if unknown:
        return "dhis2.code_unknown"
    named = [f"dhis2.{code}" for code in codes if CODES[code][0] is not Verdict.ACCEPTED]
    final = [code for code in named if SHARED[code].verdict is Verdict.REJECTED]
    return (final or named or ["dhis2.code_unknown"])[0]
