"""The clinic's answers back to the CHT: one document per answer, put under an id of ours.

Putting is safe to repeat: a second time is 409, and then the document there is compared (findings-cht 29,
recordings/cht-5.2/267, 268).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from connector.adapters.reasons import Reason
from connector.errors import TargetUnreadable
from connector.http import Answer, HttpTrouble, Lost, NotJson, NotSent, read_with_retries, request
from connector.identity import canonical
from connector.model import Capabilities, Delivery, Finding, Observed, Outcome, Severity, Verdict, Who
from connector.ports import Progress

_MAX_BYTES = 4 * 1024 * 1024

REASONS: dict[str, Reason] = {
    "cht.created": Reason(Verdict.ACCEPTED, Who.NOBODY, "La réponse est dans CHT.", "The answer is in CHT."),
    "cht.updated": Reason(
        Verdict.ACCEPTED, Who.NOBODY, "La réponse a été mise à jour dans CHT.", "The answer was updated in CHT."
    ),
    "cht.already_there": Reason(
        Verdict.ACCEPTED,
        Who.NOBODY,
        "La même réponse était déjà dans CHT ; rien n'a été changé.",
        "The same answer was already in CHT; nothing was changed.",
    ),
    "cht.invalid_document": Reason(
        Verdict.REJECTED,
        Who.MAPPING,
        "CHT refuse le document. Il n'est pas renvoyé. Corriger la règle qui fait la réponse.",
        "CHT refuses the document. It is not sent again. Mend the rule that makes the answer.",
    ),
    "cht.conflict": Reason(
        Verdict.DEFERRED,
        Who.NOBODY,
        "Le document a changé dans CHT au même moment. Relais relit et réessaie.",
        "The document changed in CHT at the same moment. Relais reads it again and tries again.",
    ),
    "cht.credentials": Reason(
        Verdict.DEFERRED,
        Who.CREDENTIALS,
        "CHT refuse le nom d'utilisateur ou le mot de passe. Relais n'insiste pas, pour ne pas bloquer le compte.",
        "CHT refuses the user or password. Relais stopped asking, so that the account is not locked.",
    ),
    "cht.forbidden": Reason(
        Verdict.DEFERRED,
        Who.CREDENTIALS,
        "Cet utilisateur de CHT ne peut pas écrire. Lui donner la permission can_edit.",
        "This CHT user may not write. Give it the permission can_edit.",
    ),
    "cht.locked": Reason(
        Verdict.DEFERRED,
        Who.NOBODY,
        "CHT a bloqué le compte pour un moment après des échecs de connexion. Relais attend.",
        "CHT locked the account for a while after failed logins. Relais waits.",
    ),
    "cht.busy": Reason(Verdict.DEFERRED, Who.NOBODY, "CHT demande d'attendre.", "CHT asks to wait."),
    "cht.unreachable": Reason(
        Verdict.DEFERRED,
        Who.NOBODY,
        "CHT est injoignable. Rien n'a été envoyé ; Relais réessaie.",
        "CHT is out of reach. Nothing was sent; Relais tries again.",
    ),
    "cht.wrong_address": Reason(
        Verdict.DEFERRED,
        Who.SYSADMIN,
        "L'adresse ne répond pas comme CHT. Vérifier l'adresse et le nom de la base.",
        "The address does not answer like CHT. Check the address and the name of the database.",
    ),
    "cht.no_answer": Reason(
        Verdict.UNKNOWN,
        Who.NOBODY,
        "Envoyé, mais sans réponse sûre. Relais regarde d'abord si le document est là.",
        "Sent, but without an answer to trust. Relais looks first whether the document is there.",
    ),
}


class ChtAnswersTarget:
    """``ports.Target`` for kind ``answer``: the payload is the document, its ``_id`` is ours.

    ``settings``: ``database`` (medic), ``settles_within`` seconds (60; the api gives up long before).
    """

    def __init__(self, client: httpx.AsyncClient, name: str, settings: Mapping[str, Any] | None = None) -> None:
        settings = settings or {}
        self.name = name
        self._client = client
        self._database = f"/{settings.get('database', 'medic')}"
        settles = timedelta(seconds=float(settings.get("settles_within", 60)))
        self.capabilities = Capabilities(max_batch=50, settles_within=settles, can_delete=False, resend_is_safe=True)

    async def deliver(self, batch: Sequence[Delivery], progress: Progress) -> Sequence[Outcome]:
        """One by one. When the target itself fails, the rest of the batch shares that outcome unsent: ten refused
        logins would lock out everybody (findings-cht 26)."""
        outcomes: list[Outcome] = []
        for delivery in batch:
            last = outcomes[-1] if outcomes else None
            outcomes.append(replace(last, answer="") if last and last.of_target else await self._put(delivery.payload))
        return outcomes

    async def look_up(self, delivery: Delivery) -> Observed | None:
        """The document under this id; ``matches`` if it says the same as ours. Raises TargetUnreadable."""
        try:
            there = await self._there(delivery.payload["_id"])
        except HttpTrouble as error:
            raise TargetUnreadable(f"{self.name}: {error}", french=f"{self.name} : {error.french}") from error
        if isinstance(there, Outcome):
            raise TargetUnreadable.because(there.reason, REASONS[there.reason], self.name)
        if there is None:
            return None
        return Observed(_same(there, delivery.payload), remote={"rev": there.get("_rev")})

    async def probe(self) -> Sequence[Finding]:
        """Reachable and authorised. Whether the user may write shows only when something is written."""
        try:
            answer = await read_with_retries(self._client, f"{self._database}/")
            found = answer.ok and isinstance(said := answer.json(), dict) and "instance_start_time" in said
        except NotSent as error:
            return [self._finding("cht.unreachable", f"pas de connexion ({error.french})", f"no connection ({error})")]
        except HttpTrouble as error:
            return [self._finding("cht.wrong_address", error.french, str(error))]
        if found:
            return []
        outcome = _refusal(answer) if not answer.ok else Outcome(Verdict.DEFERRED, "cht.wrong_address")
        return [self._finding(outcome.reason, f"répond {answer.status}", f"answers {answer.status}")]

    def _finding(self, code: str, french: str, english: str) -> Finding:
        why = REASONS[code]
        said = (f"{self.name} : {french}", "", why.fr)
        return Finding(code, Severity.ERROR, f"{self.name}: {english}", why.en, who=why.who, french=said)

    # ------------------------------------------------------------ one document

    async def _put(self, document: Mapping[str, Any]) -> Outcome:
        try:
            answer = await self._send(document)
            if answer.status != 409:
                return _outcome(answer, document, "cht.created")
            there = await self._there(document["_id"])
            if isinstance(there, Outcome):
                return there
            if there is None:  # deleted between the two requests
                return _from(answer, Verdict.DEFERRED, "cht.conflict")
            if _same(there, document):
                return Outcome(Verdict.ACCEPTED, "cht.already_there", remote_id=document["_id"], http_status=200)
            return _outcome(await self._send({**document, "_rev": there["_rev"]}), document, "cht.updated")
        except NotSent:
            return Outcome(Verdict.DEFERRED, "cht.unreachable", of_target=True)
        except Lost as error:
            return Outcome(Verdict.UNKNOWN, "cht.no_answer", http_status=error.status)

    async def _send(self, document: Mapping[str, Any]) -> Answer:
        answer = await request(
            self._client,
            "PUT",
            self._path(document["_id"]),
            content=orjson.dumps(dict(document), default=str),
            headers={"Content-Type": "application/json"},
            max_bytes=_MAX_BYTES,
        )
        if answer.ok:
            said = answer.json()
            if not isinstance(said, dict) or said.get("ok") is not True or said.get("id") != document["_id"]:
                raise NotJson("not the answer to this document", status=answer.status)
        return answer

    async def _there(self, id: str) -> Mapping[str, Any] | Outcome | None:
        """The document under this id, None if there is none (or it is deleted), or why it cannot be read."""
        answer = await read_with_retries(self._client, self._path(id), max_bytes=_MAX_BYTES)
        said = answer.json() if answer.ok or answer.status == 404 else None
        if answer.status == 404:
            if isinstance(said, dict) and said.get("reason") in ("missing", "deleted"):  # 29, 30
                return None  # anything else is a wrong database
            return _from(answer, Verdict.DEFERRED, "cht.wrong_address", of_target=True)
        if not answer.ok:
            return _refusal(answer)
        if not isinstance(said, dict) or said.get("_id") != id or not isinstance(said.get("_rev"), str):
            raise NotJson("not the document asked for", status=answer.status)
        return said

    def _path(self, id: str) -> str:
        return f"{self._database}/{quote(id, safe='')}"


def _same(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return canonical({k: v for k, v in there.items() if k != "_rev"}) == canonical(wanted)


def _outcome(answer: Answer, document: Mapping[str, Any], reason: str) -> Outcome:
    if answer.ok:
        return replace(_from(answer, Verdict.ACCEPTED, reason), remote_id=document["_id"])
    if answer.status == 409:
        return _from(answer, Verdict.DEFERRED, "cht.conflict")
    return _refusal(answer)


def _refusal(answer: Answer) -> Outcome:
    status = answer.status
    if status == 401:
        return _from(answer, Verdict.DEFERRED, "cht.credentials", of_target=True)
    if status == 403:
        reason = "cht.locked" if "temporarily locked" in answer.text() else "cht.forbidden"  # 263, 246
        return _from(answer, Verdict.DEFERRED, reason, of_target=True)
    if status in (429, 503):
        return _from(answer, Verdict.DEFERRED, "cht.busy", of_target=True)
    if status in (400, 413, 415):
        return _from(answer, Verdict.REJECTED, "cht.invalid_document")
    if status >= 500:  # a proxy may have given up on a write that went through
        return _from(answer, Verdict.UNKNOWN, "cht.no_answer")
    return _from(answer, Verdict.DEFERRED, "cht.wrong_address", of_target=True)


def _from(answer: Answer, verdict: Verdict, reason: str, *, of_target: bool = False) -> Outcome:
    return Outcome(
        verdict,
        reason,
        retry_after=answer.retry_after,
        of_target=of_target,
        http_status=answer.status,
        answer=answer.text(),
    )
