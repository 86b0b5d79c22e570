"""The engine's own reason codes in words: who must act, and a sentence in both languages."""

from __future__ import annotations

from dataclasses import dataclass

from connector.model import Verdict, Who


@dataclass(frozen=True, slots=True)
class OwnReason:
    verdict: Verdict
    who: Who
    fr: str
    en: str


OWN_REASONS = {
    "lane.busy": OwnReason(
        Verdict.DEFERRED,
        Who.NOBODY,
        "Une autre tâche occupe cette étape ; Relais attend son tour.",
        "Another task holds this step; Relais waits its turn.",
    ),
    "looked_up.holds": OwnReason(
        Verdict.ACCEPTED,
        Who.NOBODY,
        "Relais a relu : la cible contient déjà ce qu'il faut.",
        "Relais read back: the target holds what is wanted.",
    ),
    "target.unreadable": OwnReason(
        Verdict.UNKNOWN,
        Who.NOBODY,
        "La cible ne se laisse pas relire ; Relais relira plus tard.",
        "The target cannot be read back; Relais looks again later.",
    ),
    "delivery.too_old": OwnReason(
        Verdict.DEFERRED,
        Who.SYSADMIN,
        "En attente depuis plus de 30 jours ; mis de côté.",
        "Waiting for more than 30 days; parked.",
    ),
    "delivery.parked_by_person": OwnReason(
        Verdict.REJECTED,
        Who.SYSADMIN,
        "Une personne l'a mis de côté ; il attend qu'une personne le réessaie ou le classe.",
        "A person parked it; it waits until a person retries or resolves it.",
    ),
    "person.erased": OwnReason(
        Verdict.REJECTED,
        Who.NOBODY,
        "La personne a demandé l'oubli ; ce qui devait encore partir sur elle ne part plus.",
        "The person asked to be forgotten; what was still to be sent about her is not sent.",
    ),
    "restored.not_compared": OwnReason(
        Verdict.DEFERRED,
        Who.SYSADMIN,
        "La base vient d'une sauvegarde et cette cible n'a pas encore été relue ; rien n'y part. Lancer : relais run "
        "--after-restore.",
        "The database came from a backup and this target was not read back yet; nothing is sent there. Run: relais run "
        "--after-restore.",
    ),
    "restored.found": OwnReason(
        Verdict.ACCEPTED,
        Who.NOBODY,
        "Relue à la cible après une restauration : elle la tient de nous.",
        "Read back from the target after a restore: it has it from us.",
    ),
    "plan.not_wanted_yet": OwnReason(
        Verdict.DEFERRED,
        Who.NOBODY,
        "Cette valeur n'est pas encore en file ; elle le sera au prochain comptage.",
        "This value is not queued yet; it will be with the next count.",
    ),
    "fhir.invalid": OwnReason(
        Verdict.REJECTED,
        Who.MAPPING,
        "La ressource FHIR n'est pas valide ; elle n'est pas envoyée, la fiche compte quand même.",
        "The FHIR resource is not valid; it is not sent, the record still counts.",
    ),
    "resource.not_rebuilt": OwnReason(
        Verdict.REJECTED,
        Who.SYSADMIN,
        "La ressource ne peut plus être reconstruite : traduire à nouveau la fiche.",
        "The resource cannot be rebuilt: map the record again.",
    ),
    "mode.shadow": OwnReason(
        Verdict.DEFERRED,
        Who.NOBODY,
        "Mode à blanc : calculé et comparé, jamais envoyé.",
        "Shadow mode: computed and compared, never sent.",
    ),
    "before_live_from": OwnReason(
        Verdict.DEFERRED,
        Who.NOBODY,
        "Avant la date de mise en service : calculé, jamais envoyé.",
        "Before the live date: computed, never sent.",
    ),
    "referral.waiting_person": OwnReason(
        Verdict.DEFERRED,
        Who.CHW_DATA,
        "La personne n'est pas encore arrivée de l'application.",
        "The person has not arrived from the app yet.",
    ),
    "dhis2.changed_by_hand": OwnReason(
        Verdict.ACCEPTED,
        Who.MINISTRY,
        "La valeur a été changée à la main dans DHIS2 ; elle reste.",
        "The value was changed by hand in DHIS2; it is kept.",
    ),
    "fhir.changed_by_hand": OwnReason(
        Verdict.ACCEPTED,
        Who.TARGET_ADMIN,
        "Quelqu'un a changé la ressource sur le serveur FHIR ; elle reste ainsi. Quand sa fiche changera, une personne "
        "choisira. Pour remettre celle de Relais : on_existing: overwrite dans connector.yaml, puis relais reconcile.",
        "Somebody changed the resource on the FHIR server; it stays so. When its record changes a person chooses. To "
        "put ours back: on_existing: overwrite in connector.yaml, then relais reconcile.",
    ),
    "asked.too_slow": OwnReason(
        Verdict.UNKNOWN,
        Who.NOBODY,
        "La cible n'a pas répondu à temps. Relais n'attend pas plus longtemps et n'a rien changé ; demander à nouveau "
        "plus tard.",
        "The target did not answer in time. Relais waits no longer and changed nothing; ask again later.",
    ),
    "asked.busy": OwnReason(
        Verdict.UNKNOWN,
        Who.NOBODY,
        "D'autres questions à la cible attendent encore leur réponse. Relais n'a rien demandé de plus ; demander à "
        "nouveau dans un instant.",
        "Other questions to the target still wait for their answer. Relais asked nothing more; ask again in a moment.",
    ),
    "asked.paused": OwnReason(
        Verdict.UNKNOWN,
        Who.SYSADMIN,
        "Une personne a mis cette cible en pause : Relais ne lui demande rien. La reprendre : relais resume.",
        "A person paused this target: Relais asks it nothing. To go on: relais resume.",
    ),
    "asked.credentials": OwnReason(
        Verdict.UNKNOWN,
        Who.CREDENTIALS,
        "La cible a refusé le compte de Relais : rien ne lui est demandé, pour ne pas le faire bloquer. Corriger le "
        "compte, puis relais try-now.",
        "The target refused Relais's account: nothing is asked, so that it is not locked. Mend the account, then "
        "relais try-now.",
    ),
    "source.unavailable": OwnReason(
        Verdict.DEFERRED,
        Who.NOBODY,
        "La source ne répond pas ; Relais essaiera encore.",
        "The source is out of reach; Relais tries again.",
    ),
    "source.waiting": OwnReason(
        Verdict.DEFERRED, Who.NOBODY, "La source demande d'attendre.", "The source asks to wait."
    ),
    "source.credentials": OwnReason(
        Verdict.DEFERRED,
        Who.CREDENTIALS,
        "La source refuse l'identifiant ou le mot de passe.",
        "The source refuses the user or password.",
    ),
    "source.page_unreadable": OwnReason(
        Verdict.DEFERRED,
        Who.SYSADMIN,
        "La source a envoyé une page illisible ; rien n'en a été gardé.",
        "The source sent an unreadable page; nothing of it was kept.",
    ),
    "source.offline_user": OwnReason(
        Verdict.DEFERRED,
        Who.CREDENTIALS,
        "Le compte est celui d'un ASC : il ne voit que ses propres fiches. Il faut un compte en ligne.",
        "The account is a CHW's: it sees only its own records. An online account is needed.",
    ),
    "source.cursor_lost": OwnReason(
        Verdict.DEFERRED,
        Who.NOBODY,
        "La source ne connaît plus le repère ; Relais relit depuis le début, rien n'est compté deux fois.",
        "The source does not know the cursor any more; Relais reads from the start, nothing is counted twice.",
    ),
    "source.no_files": OwnReason(
        Verdict.DEFERRED,
        Who.SYSADMIN,
        "Le dossier surveillé ne contient aucun fichier que la source lit.",
        "The watched folder holds no file that the source reads.",
    ),
    "source.file_ignored": OwnReason(
        Verdict.DEFERRED,
        Who.SYSADMIN,
        "Un fichier du dossier surveillé n'est jamais lu : son nom n'est pas de ceux que la source lit.",
        "A file in the watched folder is never read: its name is not one that the source reads.",
    ),
    "form.unknown": OwnReason(
        Verdict.REJECTED, Who.MAPPING, "Aucune correspondance pour ce formulaire.", "No mapping for this form."
    ),
    "date.missing": OwnReason(
        Verdict.REJECTED, Who.CHW_DATA, "La date du service manque.", "The date of service is missing."
    ),
    "date.invalid": OwnReason(
        Verdict.REJECTED, Who.CHW_DATA, "La date du service n'est pas une date.", "The date of service is not a date."
    ),
    "date.future": OwnReason(
        Verdict.REJECTED, Who.CHW_DATA, "La date du service est dans l'avenir.", "The date of service is in the future."
    ),
    "key.missing": OwnReason(Verdict.REJECTED, Who.CHW_DATA, "La fiche n'a pas de clé.", "The record has no key."),
    "place.missing": OwnReason(
        Verdict.REJECTED, Who.CHW_DATA, "La fiche ne dit pas où.", "The record does not say where."
    ),
    "place.no_org_unit": OwnReason(
        Verdict.REJECTED,
        Who.MAPPING,
        "Ce lieu n'a pas d'unité d'organisation : ajouter une ligne à org_units.csv.",
        "This place has no org unit: add a line to org_units.csv.",
    ),
    "place.closed_at_date": OwnReason(
        Verdict.REJECTED,
        Who.MAPPING,
        "L'unité d'organisation était fermée à cette date.",
        "The org unit was closed on that date.",
    ),
    "record.unreadable": OwnReason(
        Verdict.REJECTED, Who.SYSADMIN, "La fiche est illisible.", "The record is unreadable."
    ),
}
