"""What DHIS2 means by an answer: pure functions over status, headers and body, and one table of reasons.

Two importers answer: that of 2.38 to 2.42 (codes E76xx, a refusal is of one row) and that of 2.43 (codes E8xxx, most
refusals are of the whole block). Success is counted, never read off the status: 409 may have stored most rows, and 200
may have stored none. Codes and their classes: DHIS2 ``ErrorCode`` of 2.42.5 and 2.43.1; behaviour: findings-dhis2.md
and recordings/dhis2-2.42, from where numbers in comments are unless they say 2.43.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.adapters.dhis2_codes import CODES, NOW, Row
from connector.adapters.reasons import Reason
from connector.model import Verdict, Who

_CODE = re.compile(r"E\d{4}")
_LISTED = re.compile(r"`\[([^\]`]*)\]`")
_A, _R, _D, _U = Verdict.ACCEPTED, Verdict.REJECTED, Verdict.DEFERRED, Verdict.UNKNOWN

#: Code -> verdict, who must act, and the sentence for that person.
REASONS: dict[str, Reason] = {
    # ---- it went well
    "dhis2.stored": Reason(_A, Who.NOBODY, "DHIS2 a tout enregistré.", "DHIS2 stored everything."),
    "dhis2.already_there": Reason(
        _A,
        Who.NOBODY,
        "DHIS2 contenait déjà ces valeurs ; rien n'a été envoyé.",
        "DHIS2 held these values already; nothing was sent.",
    ),
    "dhis2.completed": Reason(_A, Who.NOBODY, "DHIS2 a enregistré la complétude.", "DHIS2 stored the completion."),
    # ---- held back for a person
    "dhis2.awaiting_release": Reason(
        _D,
        Who.MINISTRY,
        "Ces chiffres ne partent qu'une fois approuvés, comme la configuration le demande. Relais les garde prêts : "
        "approuvez-les à la page Complétude ou par relais approve dhis2 --period.",
        "These figures leave only once approved, as the configuration asks. Relais keeps them ready: approve them on "
        "the page Completeness or with relais approve dhis2 --period.",
    ),
    "dhis2.completion_first": Reason(
        _D,
        Who.NOBODY,
        "Des chiffres d'un mois déclaré complet changent, et le paquet demande (on_change: mark_incomplete) que Relais "
        "retire d'abord sa déclaration. Ils partent juste après, puis le mois est déclaré complet de nouveau.",
        "Figures of a month reported complete change, and the pack asks (on_change: mark_incomplete) that Relais takes "
        "its completion back first. They leave right after, then the month is reported complete again.",
    ),
    "dhis2.period_closed": Reason(
        _D,
        Who.MINISTRY,
        "Cette période est close ou déjà approuvée dans DHIS2. Relais ne force rien : le changement attend, et Relais "
        "redemande chaque jour. Rouvrez la période (exception de verrouillage, retrait de l'approbation, fenêtre de "
        "saisie), ou mettez l'envoi de côté avec une note. 2.43.0 et 2.43.1 refusent ce qui est dans une fenêtre de "
        "saisie ouverte : là, n'en ouvrez pas, retirez-les toutes du jeu, ou mettez DHIS2 à jour.",
        "This period is closed or already approved in DHIS2. Relais forces nothing: the change waits, and Relais asks "
        "again each day. Reopen the period (lock exception, taking back the approval, input window), or park the "
        "delivery with a note. 2.43.0 and 2.43.1 refuse what is inside an open input window: there open none, remove "
        "them all from the data set, or update DHIS2.",
    ),
    "dhis2.value_already_there": Reason(
        _D,
        Who.MINISTRY,
        "Une autre valeur, que Relais n'a jamais envoyée, est déjà dans DHIS2. Relais ne l'écrase pas : à vous de "
        "choisir, approuver ou garder.",
        "DHIS2 already holds another value that Relais never sent. Relais does not overwrite it: approve ours or "
        "keep theirs.",
    ),
    "dhis2.value_changed_there": Reason(
        _D,
        Who.MINISTRY,
        "La valeur envoyée a été changée à la main dans DHIS2. Relais ne l'écrase pas : à vous de choisir, approuver "
        "ou garder.",
        "The value we sent was changed by hand in DHIS2. Relais does not overwrite it: approve ours or keep theirs.",
    ),
    "dhis2.value_kept": Reason(
        _D,
        Who.NOBODY,
        "La valeur de DHIS2 est gardée, comme la configuration le demande.",
        "The value in DHIS2 is kept, as the configuration asks.",
    ),
    # ---- the target itself: nothing was stored, no try is counted
    "dhis2.unreachable": Reason(
        _D,
        Who.NOBODY,
        "DHIS2 ne répond pas. Relais réessaie de lui-même.",
        "DHIS2 is out of reach. Relais tries again by itself.",
    ),
    "dhis2.busy": Reason(
        _D,
        Who.NOBODY,
        "DHIS2 demande d'attendre. Relais attend puis réessaie.",
        "DHIS2 asks to wait. Relais waits and tries again.",
    ),
    "dhis2.unavailable": Reason(
        _D,
        Who.NOBODY,
        "DHIS2 est arrêté ou démarre. Relais réessaie de lui-même.",
        "DHIS2 is down or starting. Relais tries again by itself.",
    ),
    "dhis2.credentials": Reason(
        _D,
        Who.CREDENTIALS,
        "DHIS2 refuse le compte de Relais ; sa base de données peut aussi être arrêtée. Relais redemande dans 10, 30 "
        "et 60 minutes ; si cela dure, vérifiez l'identifiant et le mot de passe.",
        "DHIS2 refuses the account of Relais; its database may also be down. Relais asks again after 10, 30 and 60 "
        "minutes; if it stays, check user and password.",
    ),
    "dhis2.credentials_locked": Reason(
        _D,
        Who.CREDENTIALS,
        "Le compte de Relais est bloqué ou désactivé dans DHIS2. Relais n'essaie plus : débloquez le compte.",
        "The account of Relais is locked or disabled in DHIS2. Relais stopped asking: unlock the account.",
    ),
    "dhis2.credentials_token": Reason(
        _D,
        Who.CREDENTIALS,
        "DHIS2 refuse le jeton d'accès (inconnu, mal copié ou expiré). Créez un nouveau jeton.",
        "DHIS2 refuses the access token (unknown, mistyped or expired). Make a new token.",
    ),
    "dhis2.credentials_login_page": Reason(
        _D,
        Who.CREDENTIALS,
        "DHIS2 renvoie à la page de connexion : aucun compte valable n'a été présenté. Vérifiez les accès configurés.",
        "DHIS2 sends us to its login page: no usable account was given. Check the configured credentials.",
    ),
    "dhis2.credentials_no_authority": Reason(
        _D,
        Who.TARGET_ADMIN,
        "Le compte de Relais n'a pas le droit de saisir des données (F_DATAVALUE_ADD). Donnez-le-lui.",
        "The account of Relais may not enter data (F_DATAVALUE_ADD). Give it that authority.",
    ),
    "dhis2.wrong_address": Reason(
        _D,
        Who.SYSADMIN,
        "L'adresse configurée n'est pas celle d'un DHIS2. Corrigez l'adresse.",
        "The configured address is not that of a DHIS2. Mend the address.",
    ),
    "dhis2.calendar": Reason(
        _D,
        Who.SYSADMIN,
        "Ce DHIS2 compte dans un autre calendrier que le grégorien : les chiffres iraient dans un autre mois. Relais "
        "n'envoie rien, garde tout et redemande de lui-même. Corrigez l'adresse, ou le calendrier dans Paramètres "
        "système → Calendrier (iso8601).",
        "This DHIS2 counts in another calendar than the Gregorian: figures would go to another month. Relais sends "
        "nothing, keeps everything and asks again by itself. Mend the address, or the calendar in System Settings → "
        "Calendar (iso8601).",
    ),
    "dhis2.version": Reason(
        _D,
        Who.SYSADMIN,
        "Relais connaît DHIS2 2.38 à 2.43, pas cette version : un refus pourrait passer pour un succès. Relais "
        "n'envoie rien, garde tout et redemande de lui-même. Installez une version de Relais qui la connaît, ou une "
        "version de DHIS2 connue.",
        "Relais knows DHIS2 2.38 to 2.43, not this version: a refusal could pass for success. Relais sends nothing, "
        "keeps everything and asks again by itself. Install a version of Relais that knows it, or a known version of "
        "DHIS2.",
    ),
    # ---- no answer to trust
    "dhis2.answer_lost": Reason(
        _U,
        Who.NOBODY,
        "La réponse de DHIS2 s'est perdue. Relais relit avant de renvoyer.",
        "The answer of DHIS2 was lost. Relais reads back before sending again.",
    ),
    "dhis2.unreadable_answer": Reason(
        _U,
        Who.NOBODY,
        "La réponse de DHIS2 est illisible. Relais relit avant de renvoyer.",
        "The answer of DHIS2 cannot be read. Relais reads back before sending again.",
    ),
    "dhis2.server_error": Reason(
        _U,
        Who.NOBODY,
        "DHIS2 a échoué en cours de route. Relais relit puis renvoie ; si cela dure, voyez les journaux de DHIS2.",
        "DHIS2 failed on the way. Relais reads back and sends again; if it stays, see the logs of DHIS2.",
    ),
    "dhis2.import_failed": Reason(
        _U,
        Who.NOBODY,
        "L'import a échoué dans DHIS2. Relais relit puis renvoie.",
        "The import failed inside DHIS2. Relais reads back and sends again.",
    ),
    "dhis2.unverified": Reason(
        _U,
        Who.NOBODY,
        "DHIS2 n'a pas compté toutes les valeurs et n'a pas pu être relu. Relais relit plus tard.",
        "DHIS2 did not count every value and could not be read back. Relais reads back later.",
    ),
    # ---- about this delivery, tried again
    "dhis2.counted_short": Reason(
        _D,
        Who.NOBODY,
        "DHIS2 dit oui mais n'a pas enregistré cette valeur. Relais la renvoie.",
        "DHIS2 says yes but did not store this value. Relais sends it again.",
    ),
    "dhis2.group_refused": Reason(
        _D,
        Who.NOBODY,
        "DHIS2 a refusé cette valeur avec tout le bloc, à cause d'une autre. Relais la renvoie sans celle-là.",
        "DHIS2 refused this value with its whole block, because of another. Relais sends it again without that one.",
    ),
    "dhis2.period_not_open": Reason(
        _D,
        Who.NOBODY,
        "Cette période court encore et n'est pas ouverte à la saisie dans DHIS2. Relais redemande de lui-même.",
        "This period is still running and not open for data entry in DHIS2. Relais asks again by itself.",
    ),
    "dhis2.read_refused": Reason(
        _D,
        Who.TARGET_ADMIN,
        "DHIS2 ne laisse pas relire ces valeurs. Vérifiez que l'unité est dans la hiérarchie du compte de Relais.",
        "DHIS2 does not let us read these values. Check that the unit is in the hierarchy of the account of Relais.",
    ),
    "lane.busy": Reason(
        _D,
        Who.NOBODY,
        "Un autre envoi doit passer seul d'abord. Celui-ci attend son tour.",
        "Another push must go alone first. This one waits its turn.",
    ),
    # ---- held back before anything is sent: it would be refused, or stored where it does not belong
    "dhis2.data_set_missing": Reason(
        _D,
        Who.MAPPING,
        "Cet ensemble de données n'existe pas dans DHIS2. Relais garde ses chiffres et regarde à chaque passage : "
        "corrigez le code, ou créez l'ensemble (relais setup dhis2).",
        "This data set is not in DHIS2. Relais keeps its figures and looks again in each run: mend the code, or make "
        "the data set (relais setup dhis2).",
        held=True,
    ),
    "dhis2.not_shared": Reason(
        _D,
        Who.TARGET_ADMIN,
        "Le compte de Relais ne peut pas écrire les données de cet ensemble. Relais garde ses chiffres et regarde à "
        "chaque passage : Maintenance → Ensembles de données → Partage, données « Peut saisir et voir ».",
        "The account of Relais may not write data of this data set. Relais keeps its figures and looks again in each "
        'run: Maintenance → Data sets → Sharing settings, data "Can capture and view".',
        held=True,
    ),
    "dhis2.outside_scope": Reason(
        _D,
        Who.TARGET_ADMIN,
        "Cette unité est hors des unités de saisie du compte de Relais. Relais garde ses chiffres et regarde à chaque "
        "passage : Utilisateurs → compte de Relais → unités de saisie, une unité au-dessus d'elle.",
        "This org unit is outside the capture org units of the account of Relais. Relais keeps its figures and looks "
        "again in each run: Users → the account of Relais → Data capture organisation units, one above it.",
        held=True,
    ),
    "dhis2.org_unit_not_assigned": Reason(
        _D,
        Who.TARGET_ADMIN,
        "Cette unité n'est pas affectée à l'ensemble de données dans DHIS2, ou n'y existe pas : relais check --live "
        "dit lequel des deux. Relais garde ses chiffres et regarde à chaque passage : Maintenance → Ensembles de "
        "données → unités d'organisation, ou org_units.csv.",
        "This org unit is not assigned to the data set in DHIS2, or is not there at all: relais check --live says "
        "which. Relais keeps its figures and looks again in each run: Maintenance → Data sets → Organisation units, "
        "or org_units.csv.",
        held=True,
    ),
    "dhis2.org_unit_closed": Reason(
        _D,
        Who.TARGET_ADMIN,
        "Cette unité est fermée (ou pas encore ouverte) pour cette période dans DHIS2. Relais garde ses chiffres et "
        "regarde à chaque passage : Maintenance → Unités d'organisation → dates, ou org_units.csv.",
        "This org unit is closed (or not open yet) for this period in DHIS2. Relais keeps its figures and looks again "
        "in each run: Maintenance → Organisation units → dates, or org_units.csv.",
        held=True,
    ),
    "dhis2.element_missing": Reason(
        _D,
        Who.MAPPING,
        "Cet élément de données n'est pas dans l'ensemble. Relais garde sa valeur et regarde à chaque passage : "
        "corrigez le code, ou Maintenance → Ensembles de données → éléments de données.",
        "This data element is not in the data set. Relais keeps its value and looks again in each run: mend the code, "
        "or Maintenance → Data sets → Data elements.",
        held=True,
    ),
    "dhis2.combo_missing": Reason(
        _D,
        Who.MAPPING,
        "Cette combinaison d'options n'appartient pas à l'élément. Relais garde sa valeur et regarde à chaque "
        "passage : corrigez les codes des options, ou Maintenance → Éléments de données → combinaison de catégories.",
        "This option combo does not belong to the data element. Relais keeps its value and looks again in each run: "
        "mend the option codes, or Maintenance → Data elements → Category combination.",
        held=True,
    ),
    "dhis2.attribute_combo": Reason(
        _D,
        Who.TARGET_ADMIN,
        "Cet ensemble de données distingue ses chiffres par une combinaison de catégories à lui (par exemple un projet "
        "ou un bailleur), et Relais ne sait pas laquelle est la sienne. Il garde ses chiffres et regarde à chaque "
        "passage : Maintenance → Ensembles de données → combinaison de catégories « Aucune », ou nommez dans "
        "dhis2.yaml un ensemble qui n'en a pas.",
        "This data set tells its figures apart by a category combination of its own (such as a project or a donor), "
        "and Relais does not know which is its own. It keeps its figures and looks again in each run: Maintenance → "
        'Data sets → Category combination "None", or name a data set in dhis2.yaml that has none.',
        held=True,
    ),
    "dhis2.period_type": Reason(
        _D,
        Who.MAPPING,
        "La période n'est pas du type de l'ensemble de données. Relais garde ses chiffres et regarde à chaque "
        "passage : corrigez period dans dhis2.yaml, ou le type de période de l'ensemble.",
        "The period is not of the data set's type. Relais keeps its figures and looks again in each run: mend period "
        "in dhis2.yaml, or the period type of the data set.",
        held=True,
    ),
    # ---- our own checks, where the server has none
    "dhis2.period_not_over": Reason(
        _R,
        Who.MAPPING,
        "Une période qui court encore ne se déclare pas complète.",
        "A period that is still running cannot be completed.",
    ),
    "dhis2.duplicate_row": Reason(
        _R,
        Who.MAPPING,
        "La même case est donnée deux fois ; aucune n'est envoyée. Corrigez la configuration.",
        "The same cell is given twice; neither is sent. Mend the configuration.",
    ),
    # ---- refused by the server
    "dhis2.rows_refused": Reason(
        _R,
        Who.MAPPING,
        "DHIS2 refuse des valeurs pour plusieurs raisons ; voyez chaque valeur.",
        "DHIS2 refuses values for several reasons; see each value.",
    ),
    "dhis2.row_refused": Reason(
        _R,
        Who.TARGET_ADMIN,
        "DHIS2 refuse cette valeur sans dire pourquoi. Voyez ses journaux.",
        "DHIS2 refuses this value and does not say why. See its logs.",
    ),
    "dhis2.import_failed_again": Reason(
        _R,
        Who.TARGET_ADMIN,
        "L'import échoue dans DHIS2 à chaque essai. Voyez ses journaux, puis relancez.",
        "The import fails inside DHIS2 each time. See its logs, then retry.",
    ),
    "dhis2.bad_request": Reason(
        _R,
        Who.SYSADMIN,
        "DHIS2 ne comprend pas la requête. Vérifiez sa version, puis signalez-le.",
        "DHIS2 does not understand the request. Check its version, then report it.",
    ),
    "dhis2.too_big": Reason(
        _R,
        Who.SYSADMIN,
        "Le serveur, ou un mandataire devant lui, trouve trop grande même la plus petite requête. Relais ne la renvoie "
        "pas : relevez cette limite, puis relancez.",
        "The server, or a proxy before it, finds even the smallest request too big. Relais does not send it again: "
        "raise that limit, then retry.",
    ),
    "dhis2.conflict": Reason(
        _R, Who.TARGET_ADMIN, "DHIS2 refuse la requête. Voyez sa réponse.", "DHIS2 refuses the request. See its answer."
    ),
    "dhis2.completion_refused": Reason(
        _R,
        Who.TARGET_ADMIN,
        "DHIS2 refuse la complétude. Voyez sa réponse.",
        "DHIS2 refuses the completion. See its answer.",
    ),
    "dhis2.compulsory_missing": Reason(
        _R,
        Who.MINISTRY,
        "Une valeur obligatoire manque : DHIS2 refuse la complétude. Remplissez-la ou levez l'obligation.",
        "A compulsory value is missing, so DHIS2 refuses the completion. Fill it or lift the rule.",
    ),
}


def _with_words(code: str, row: Row) -> Reason:
    verdict, who, fr, en = row
    now_fr, now_en = NOW.get((verdict, who), ("", ""))
    return Reason(verdict, who, f"DHIS2 ({code}) : {fr}. {now_fr}".strip(), f"DHIS2 ({code}): {en}. {now_en}".strip())


REASONS |= {f"dhis2.{code}": _with_words(code, row) for code, row in CODES.items()}


#: Codes that say: DHIS2 takes no more for this period (expired, approved, outside its input window).
CLOSED = frozenset({"dhis2.E7640", "dhis2.E7642", "dhis2.E7643", "dhis2.E7644", "dhis2.E8030", "dhis2.E8033"})
#: What waits for the calendar or for the ministry, however long.
ENDLESS = frozenset({"dhis2.period_closed", "dhis2.period_not_open", "dhis2.E7641"})


def reason(code: str) -> Reason:
    """The row for a code; one that DHIS2 made up later is a refusal for its administrator."""
    known = REASONS.get(code)
    return known or _with_words(
        code.removeprefix("dhis2."),
        (
            _R,
            Who.TARGET_ADMIN,
            "refusé pour une raison que Relais ne connaît pas",
            "refused for a reason new to Relais",
        ),
    )


def server_code(code: object, otherwise: str = "dhis2.row_refused") -> str:
    """``E7612`` -> ``dhis2.E7612``; none, or what is no code (a reason is shown in clear) -> ``otherwise``."""
    return f"dhis2.{code}" if isinstance(code, str) and _CODE.fullmatch(code) else otherwise


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer that is not about the rows. ``of_target``: no try is counted, the whole target waits."""

    code: str
    verdict: Verdict
    of_target: bool = False


def fault_of(status: int, location: str, body: Any, *, wrote: bool) -> Fault | None:
    """What a status (and the short body beside it) says; None when the body must be read further (200..299, 409).

    ``body``: the parsed JSON, None if it was none. ``wrote``: the request may have changed something.
    """
    message = str(body.get("message", "")) if isinstance(body, Mapping) else ""
    match status:
        case 401:  # 019, 535, 541; the database being down says the same (453)
            locked = any(word in message for word in ("locked", "disabled"))
            token = "token" in message.lower()  # 394, 398
            return _target(
                "dhis2.credentials_locked" if locked else "dhis2.credentials_token" if token else "dhis2.credentials"
            )
        case 400 if "Checksum" in message:  # 390: a mistyped token
            return _target("dhis2.credentials_token")
        case 403:  # 153
            return _target("dhis2.credentials_no_authority")
        case 429:
            return _target("dhis2.busy")
        case 503:
            return _target("dhis2.unavailable")
        case 404 if body is None:  # 032
            return _target("dhis2.wrong_address")
        case 413:
            return Fault("dhis2.too_big", Verdict.REJECTED)
        case _ if 300 <= status < 400:  # 021, 033
            return _target("dhis2.credentials_login_page" if "login" in location else "dhis2.wrong_address")
        case _ if status >= 500:  # 450: part of the rows may be stored
            return Fault("dhis2.server_error", Verdict.UNKNOWN) if wrote else _target("dhis2.unavailable")
        case _ if 400 <= status < 500 and status != 409:
            return Fault("dhis2.bad_request", Verdict.REJECTED)
    if body is None:  # a start-up page, half a body, an empty 200 (274)
        return Fault("dhis2.unreadable_answer", Verdict.UNKNOWN) if wrote else None
    return None


def _target(code: str) -> Fault:
    return Fault(code, Verdict.DEFERRED, of_target=True)


@dataclass(frozen=True, slots=True)
class Import:
    """An import summary, counted. ``refused``: row -> code. ``fault``: the request as a whole. ``settled``: every row
    that was not refused is in imported, updated or deleted, so that nothing need be read back; counters that are no
    counts, or a word of failure beside them, settle nothing."""

    refused: Mapping[int, str] = field(default_factory=dict)
    loose: str = ""  #: code of a conflict that names no row
    settled: bool = False
    fault: Fault | None = None
    spared: frozenset[int] = frozenset()  #: rows refused because of others in the same block: sent again without those


def read_import(body: Any, sent: int, tries: int, rows_sent: Sequence[Mapping[str, Any]] = ()) -> Import:
    """Read the answer of ``POST /api/dataValueSets`` (or of completions) for ``sent`` rows, whichever importer gave it.

    ``rows_sent``: those rows, to tell who is to blame for the refusal of a whole block (2.43: 066-070). ``tries``:
    counted tries before this one; an import that breaks inside the server is tried three times, because the same words
    stand for passing and for lasting faults (findings-dhis2 0.7).
    """
    summary = body.get("response") if isinstance(body, Mapping) else None
    counts = summary.get("importCount") if isinstance(summary, Mapping) else None
    if not isinstance(summary, Mapping) or not isinstance(counts, Mapping):
        if isinstance(body, Mapping) and body.get("status") == "ERROR":  # the short form with a code: 269
            return Import(fault=Fault(server_code(body.get("errorCode"), "dhis2.conflict"), Verdict.REJECTED))
        return Import(fault=Fault("dhis2.unreadable_answer", Verdict.UNKNOWN))
    conflicts = _conflicts(summary)
    if str(summary.get("description", "")).startswith("The import process failed"):
        again = tries >= 2
        code = "dhis2.import_failed_again" if again else "dhis2.import_failed"
        return Import(fault=Fault(code, Verdict.REJECTED if again else Verdict.UNKNOWN))
    refused: dict[int, str] = {}
    loose = ""
    spared: set[int] = set()
    for conflict in conflicts:
        code = server_code(conflict.get("errorCode"))
        rows = [i for i in _rows(conflict.get("indexes")) if i < sent]  # 2.43 says -1 of a whole request (071, 203)
        refused.update(dict.fromkeys(rows, code))
        spared |= set(rows) - _to_blame(code, str(conflict.get("value", "")), rows, rows_sent)
        loose = loose or ("" if rows else code)
    for row in _rows(summary.get("rejectedIndexes")):
        if row < sent:
            refused.setdefault(row, "dhis2.row_refused")  # 061: refused without a conflict
    refused.update(dict.fromkeys(spared, "dhis2.group_refused"))
    told = [_count(counts, name) for name in ("imported", "updated", "deleted")]
    stored = sum(told) if all(count >= 0 for count in told) else -1
    if summary.get("status") == "ERROR" and loose and not refused and stored == 0:  # 072, 154: the whole request
        return Import(fault=Fault(loose, reason(loose).verdict), loose=loose)
    nobody = len(refused) == sent  # 2.43: 057, 066: ERROR, and each row knows why
    whole = summary.get("status") in ("SUCCESS", "WARNING", *(("ERROR",) if nobody else ()))
    settled = whole and stored == sent - len(refused) and not loose
    return Import(refused, loose, settled, spared=frozenset(spared))


def _to_blame(code: str, words: str, rows: Sequence[int], sent: Sequence[Mapping[str, Any]]) -> set[int]:
    """Which of the refused rows the words name; all of them when they name none, or what all have in common.

    2.43 refuses a block for an element or option combo that does not belong, and names it: ``... not usable with data
    element(s): `[DeUnknown01]``` (066), ``... + data element DeInteger01 not usable with category option combo(s):
    `[CocU5F00001]``` (081).
    """
    listed = _LISTED.findall(words)
    ids = set(listed[-1].split(", ")) if listed else set()
    if code == "dhis2.E8020":
        named = {row for row in rows if row < len(sent) and sent[row].get("dataElement") in ids}
    elif code == "dhis2.E8024":
        named = {
            row
            for row in rows
            if row < len(sent)
            and sent[row].get("categoryOptionCombo") in ids
            and f"data element {sent[row].get('dataElement')} " in words
        }
    else:
        named = set()
    return named or set(rows)


def completion_fault(body: Any) -> str:
    """The code for a refused completion: its conflicts have words only (232-242). Neither stored nor refused is no
    answer to rely on."""
    summary = body.get("response") if isinstance(body, Mapping) else None
    conflicts = _conflicts(summary) if isinstance(summary, Mapping) else []
    for conflict in conflicts:
        if conflict.get("object") == "dataElementOperand":
            return "dhis2.compulsory_missing"
        if "hierarchy" in str(conflict.get("value", "")):
            return "dhis2.E7617"
    return "dhis2.completion_refused" if conflicts else "dhis2.unreadable_answer"


def block_reason(codes: Sequence[str]) -> str:
    """One reason for a block whose rows were refused for these."""
    rejected = {code for code in codes if reason(code).verdict is Verdict.REJECTED}
    named = rejected or {code for code in codes if reason(code).held} or set(codes)
    if named <= CLOSED:
        return "dhis2.period_closed"
    if not rejected and len(named) > 1 and all(reason(code).held for code in named):
        return min(named)  # each value says its own
    return named.pop() if len(named) == 1 else "dhis2.rows_refused"


def _conflicts(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = summary.get("conflicts")
    return [c for c in listed if isinstance(c, Mapping)] if isinstance(listed, list) else []


def _rows(value: Any) -> list[int]:
    return [i for i in value if _is_count(i)] if isinstance(value, list) else []


def _count(counts: Mapping[str, Any], name: str) -> int:
    """A counter; -1 for what is none, so that the rows are read back."""
    value = counts.get(name, 0)
    return value if _is_count(value) else -1


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
