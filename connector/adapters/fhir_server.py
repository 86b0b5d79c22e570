"""Any FHIR R4 server as a target: one transaction of PUTs (and DELETEs) per batch, under ids of ours.

What the server can do is read from its CapabilityStatement before the first bundle. A version that it told is sent
back as ``If-Match``, so that what somebody else changed there is seen before it is overwritten.

Everything here rests on findings-fhir-server (numbers in brackets): PUT with our own id may be repeated at will (1),
``fullUrl`` is always sent (12), a refused transaction stores nothing and often does not name the entry (9), 400 mixes
"the parent is not there yet" with "never" and only HAPI's code tells (15).
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import orjson

from connector.adapters.reasons import Reason
from connector.errors import TargetUnreadable
from connector.http import Answer, HttpTrouble, Lost, NotJson, NotSent, read_with_retries, request
from connector.identity import canonical, digest
from connector.model import Capabilities, Delivery, Finding, Observed, Outcome, Severity, Verdict, Who
from connector.ports import Progress

_FHIR = "application/fhir+json"
_MAX_BYTES = 16 * 1024 * 1024  # a response is bigger than its request (13); as objects it takes 20 times that
#: Parents before those that refer to them; types not listed come after.
_RANK = {
    kind: rank
    for rank, kind in enumerate(
        ("Organization", "Location", "Practitioner", "PractitionerRole", "Patient", "Group", "Encounter", "Condition")
    )
}
_HAPI = re.compile(r"HAPI-(\d{4})", re.ASCII)
_ENTRY = re.compile(r"Bundle\.entry\[(\d{1,6})\]", re.ASCII)
#: Bundles on their way together: one is answered while the next is made ready and the last is settled.
_AT_ONCE = 3
#: Answers about a reference: sent again once other resources are there, or gone.
_NEEDS_OTHERS = frozenset({"fhir.reference_missing", "fhir.still_referenced"})
#: What a server says of an ``If-Match`` that no longer holds: HAPI 409 (69), R4 412.
_OTHER_VERSION = frozenset({"fhir.conflict", "fhir.duplicates"})
_HISTORY = re.compile(r"/_history/([A-Za-z0-9.\-]{1,64})$", re.ASCII)
_MISSING = {"1094", "1096"}  # absent or deleted target of a reference (15)

REASONS: dict[str, Reason] = {
    "fhir.created": Reason(Verdict.ACCEPTED, Who.NOBODY, "Créée sur le serveur FHIR.", "Created on the FHIR server."),
    "fhir.updated": Reason(Verdict.ACCEPTED, Who.NOBODY, "Mise à jour sur le serveur FHIR.", "Updated on the server."),
    "fhir.unchanged": Reason(
        Verdict.ACCEPTED, Who.NOBODY, "Déjà identique sur le serveur FHIR.", "Already the same on the FHIR server."
    ),
    "fhir.deleted": Reason(Verdict.ACCEPTED, Who.NOBODY, "Retirée du serveur FHIR.", "Removed from the FHIR server."),
    "fhir.refused": Reason(
        Verdict.REJECTED,
        Who.MAPPING,
        "Le serveur FHIR refuse la ressource et la refusera toujours. Corriger la règle qui la fait.",
        "The FHIR server refuses the resource and always will. Mend the rule that makes it.",
    ),
    "fhir.too_big": Reason(
        Verdict.REJECTED,
        Who.TARGET_ADMIN,
        "Le serveur FHIR trouve la ressource trop grande. Relever sa limite.",
        "The FHIR server finds the resource too big. Raise its limit.",
    ),
    "fhir.duplicates": Reason(
        Verdict.REJECTED,
        Who.TARGET_ADMIN,
        "Le serveur FHIR a plusieurs ressources pour le même identifiant. Supprimer les doubles.",
        "The FHIR server has several resources for one identifier. Remove the duplicates.",
    ),
    "fhir.reference_missing": Reason(
        Verdict.DEFERRED,
        Who.MAPPING,
        "Une ressource citée n'est pas encore sur le serveur FHIR. Relais réessaie après elle.",
        "A resource referred to is not on the FHIR server yet. Relais tries again after it.",
    ),
    "fhir.changed_there": Reason(
        Verdict.REJECTED,
        Who.TARGET_ADMIN,
        "Quelqu'un a changé la ressource sur le serveur FHIR après Relais ; la sienne y reste et la nôtre n'est pas "
        "envoyée. Pour remettre celle de Relais : relais retry ; pour laisser l'autre : relais resolve.",
        "Somebody changed the resource on the FHIR server after Relais; theirs stays there and ours is not sent. To "
        "put ours back: relais retry; to leave theirs: relais resolve.",
    ),
    "fhir.kept": Reason(
        Verdict.ACCEPTED,
        Who.TARGET_ADMIN,
        "Quelqu'un a changé la ressource sur le serveur FHIR ; elle y reste ainsi, le paquet dit on_existing: keep.",
        "Somebody changed the resource on the FHIR server; it stays so, the pack says on_existing: keep.",
    ),
    "fhir.no_bundles": Reason(
        Verdict.REJECTED,
        Who.TARGET_ADMIN,
        "Le serveur FHIR ne prend ni transaction ni batch : Relais ne peut rien y envoyer. Les y permettre.",
        "The FHIR server takes neither transaction nor batch: Relais can send nothing there. Allow them.",
    ),
    "fhir.type_missing": Reason(
        Verdict.REJECTED,
        Who.TARGET_ADMIN,
        "Le serveur FHIR n'a pas ce type de ressource. L'y ajouter, ou le retirer de types dans connector.yaml.",
        "The FHIR server does not have this type of resource. Add it there, or leave it out of types in "
        "connector.yaml.",
    ),
    "fhir.no_client_ids": Reason(
        Verdict.REJECTED,
        Who.TARGET_ADMIN,
        "Le serveur FHIR choisit lui-même les identifiants (updateCreate est false) : Relais ne peut rien y créer. "
        "Permettre au client de les choisir.",
        "The FHIR server chooses ids itself (updateCreate is false): Relais can create nothing there. Allow clients to "
        "choose them.",
    ),
    "fhir.still_referenced": Reason(
        Verdict.DEFERRED,
        Who.TARGET_ADMIN,
        "D'autres ressources citent celle qui doit être retirée. Relais réessaie après elles.",
        "Other resources refer to the one to remove. Relais tries again after them.",
    ),
    "fhir.conflict": Reason(
        Verdict.DEFERRED,
        Who.NOBODY,
        "Quelqu'un écrivait la même ressource au même moment. Relais réessaie.",
        "Somebody wrote the same resource at the same moment. Relais tries again.",
    ),
    "fhir.server_error": Reason(
        Verdict.DEFERRED,
        Who.TARGET_ADMIN,
        "Le serveur FHIR a échoué. Relais réessaie ; si cela dure, regarder son journal.",
        "The FHIR server failed. Relais tries again; if it stays, look at its log.",
    ),
    "fhir.credentials": Reason(
        Verdict.DEFERRED,
        Who.CREDENTIALS,
        "Le serveur FHIR refuse l'accès : jeton expiré, ou compte inconnu. Relais n'envoie rien ; donnez-lui un "
        "nouveau jeton (token dans connector.yaml), puis relais doctor.",
        "The FHIR server refuses access: an expired token, or an unknown account. Relais sends nothing; give it a new "
        "token (token in connector.yaml), then relais doctor.",
    ),
    "fhir.busy": Reason(Verdict.DEFERRED, Who.NOBODY, "Le serveur FHIR fait attendre.", "The server asks to wait."),
    "fhir.unreachable": Reason(
        Verdict.DEFERRED,
        Who.NOBODY,
        "Le serveur FHIR est injoignable. Rien n'a été envoyé ; Relais réessaie.",
        "The FHIR server is out of reach. Nothing was sent; Relais tries again.",
    ),
    "fhir.wrong_address": Reason(
        Verdict.DEFERRED,
        Who.SYSADMIN,
        "L'adresse ne répond pas comme un serveur FHIR R4. Vérifier l'adresse.",
        "The address does not answer like a FHIR R4 server. Check the address.",
    ),
    "fhir.no_answer": Reason(
        Verdict.UNKNOWN,
        Who.NOBODY,
        "Envoyé, mais sans réponse sûre. Relais relit d'abord ce que le serveur contient.",
        "Sent, but without an answer to trust. Relais first reads what the server holds.",
    ),
}


@dataclass(frozen=True, slots=True)
class _Put:
    """``version``: the one there that this replaces; None: whichever is there."""

    payload: Mapping[str, Any]
    version: str | None = None


@dataclass(frozen=True, slots=True)
class _Able:
    """What a server says it can do (R4, CapabilityStatement.rest). What it does not say is taken to work: HAPI's
    statement names everything, others little."""

    transaction: bool = True
    batch: bool = True
    types: frozenset[str] | None = None  #: None: it does not say
    unversioned: frozenset[str] = frozenset()  #: types with ``versioning: no-version``
    own_ids: frozenset[str] = frozenset()  #: types with ``updateCreate: false``


class FhirServerTarget:
    """``ports.Target`` for kind ``resource``: the payload is the resource, or ``{"deleted": true, "resourceType",
    "id"}``.

    A refused bundle is sent again without the entries it names; if it names none, as a ``batch``, which says per entry
    what is wrong; if that is refused whole too, in halves. So one bad entry never holds back the others. What was
    done (created, updated, unchanged, deleted) is the outcome's reason, the version its ``remote_id``.

    A version told before goes along as ``If-Match`` (R4, http.html#concurrency). Where another one is there by now,
    it is looked at: what we sent ourselves is replaced; what somebody else wrote is kept and shown
    (``fhir.changed_there``) until a person sends ours again, which then replaces just the version she was shown.

    ``settings``: ``bundle`` entries at a time (200), ``settles_within`` seconds (120: twice the time-out advised),
    ``gzip`` (``true``: requests are compressed; R4 does not ask servers to take that, HAPI does: 100), ``on_existing``
    (ask | keep | overwrite), ``expected_types`` (what ``probe`` looks for).
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        name: str,
        settings: Mapping[str, Any] | None = None,
        *,
        look_first: bool = False,
    ) -> None:
        """``look_first``: read something before the first send, so that an expired token sends nothing."""
        settings = settings or {}
        self._look_first = look_first
        self.name = name
        self._client = client
        self._base = str(client.base_url).rstrip("/")
        self._gzip = str(settings.get("gzip", "false")).lower() == "true"
        self._on_existing = str(settings.get("on_existing", "ask"))
        self._expected = frozenset(settings.get("expected_types") or ())
        self._able: _Able | None = None  #: None: not read yet
        settles = timedelta(seconds=float(settings.get("settles_within", 120)))
        size = int(settings.get("bundle", 200))
        self.capabilities = Capabilities(
            max_batch=size, settles_within=settles, resend_is_safe=True, needs_others=_NEEDS_OTHERS, at_once=_AT_ONCE
        )

    async def deliver(self, batch: Sequence[Delivery], progress: Progress) -> Sequence[Outcome]:
        """One outcome per delivery, in order. A key that comes twice goes in two bundles, in order (10)."""
        if (trouble := await self._ask()) is not None:
            return [trouble] * len(batch)
        if self._look_first:
            refused = await self._refused()
            if refused is not None:
                return [refused] * len(batch)
            self._look_first = False
        outcomes: dict[int, Outcome] = {}
        waiting = list(range(len(batch)))
        while waiting:
            bundle: dict[str, int] = {}
            for n in waiting:
                bundle.setdefault(_name(batch[n].payload), n)
            order = sorted(bundle.values(), key=lambda n: _place(batch[n].payload))
            puts = [_Put(batch[n].payload, self._version(batch[n])) for n in order]
            for n, put, outcome in zip(order, puts, await self._send(puts), strict=True):
                if put.version is not None and outcome.reason in _OTHER_VERSION:
                    outcome = await self._decide(batch[n], put, progress)
                outcomes[n] = outcome
            waiting = [n for n in waiting if n not in outcomes]
        if any(outcome.of_target for outcome in outcomes.values()):
            self._able = None  # it was away: it may come back as another
        return [outcomes[n] for n in range(len(batch))]

    async def _ask(self) -> Outcome | None:
        """Read once what the server can do. The outcome when it refuses us or is away; any other trouble is left for
        the bundle itself to meet, as some gateways hide ``/metadata``."""
        if self._able is not None:
            return None
        try:
            answer = await request(
                self._client, "GET", f"{self._base}/metadata", headers={"Accept": _FHIR}, max_bytes=_MAX_BYTES
            )
            if not answer.ok:
                outcome = _whole(answer)
                # 403 may be for this page alone, as in ``_refused``
                return outcome if answer.status == 401 or outcome.reason == "fhir.busy" else None
            self._able = _able(answer.json())
        except NotSent:
            return Outcome(Verdict.DEFERRED, "fhir.unreachable", of_target=True)
        except HttpTrouble:
            pass
        return None

    def _version(self, delivery: Delivery) -> str | None:
        """The version there that this delivery may replace; None where any may be."""
        kind = delivery.payload["resourceType"]
        unversioned = self._able is not None and kind in self._able.unversioned
        if self._on_existing == "overwrite" or delivery.payload.get("deleted") or unversioned:
            return None
        shown = delivery.remote.get("shown") or {}
        if shown.get("generation") == delivery.generation:  # a person was shown it, and sends ours again
            return str(shown["version"])
        found = _HISTORY.search(str(delivery.remote.get("id", "")))
        return found[1] if found else None

    async def _decide(self, delivery: Delivery, put: _Put, progress: Progress) -> Outcome:
        """Another version is there than the one we replace (409 at HAPI, 69; 412 by R4)."""
        try:
            seen = await self._look_up(put.payload)
        except TargetUnreadable:
            return Outcome(Verdict.DEFERRED, "fhir.conflict")
        again = _Put(put.payload)  # somebody removed it
        if seen is not None:
            version = seen.remote.get("version")
            sent = delivery.remote.get("sent")
            if seen.matches:
                return Outcome(Verdict.ACCEPTED, "fhir.unchanged", remote_id=f"{_name(put.payload)}/_history/{version}")
            if version is None or version == put.version:  # a race of two writers (19): nobody changed anything yet
                return Outcome(Verdict.DEFERRED, "fhir.conflict")
            if sent is not None and not any(mark and str(seen.digest).startswith(mark) for mark in sent):
                if self._on_existing == "keep":
                    return Outcome(Verdict.ACCEPTED, "fhir.kept")
                shown = {"version": version, "generation": delivery.generation}
                progress.note(delivery, step=delivery.step, remote={**delivery.remote, "shown": shown})
                return Outcome(Verdict.REJECTED, "fhir.changed_there")
            again = _Put(put.payload, version)
        (outcome,) = await self._send([again])
        if outcome.reason in _OTHER_VERSION:
            return Outcome(Verdict.DEFERRED, "fhir.conflict", http_status=outcome.http_status, answer=outcome.answer)
        return outcome

    async def _refused(self) -> Outcome | None:
        """The outcome of a send that our credentials would not get through; None: they do, or it cannot be told. A
        server may show ``/metadata`` to everybody, and forbid a search to who may write: only 401 counts."""
        headers = {"Accept": _FHIR}
        try:
            answer = await read_with_retries(self._client, f"{self._base}/Patient?_summary=count", headers=headers)
        except HttpTrouble:
            return None
        return _whole(answer) if answer.status == 401 else None

    async def look_up(self, delivery: Delivery) -> Observed | None:
        """What is there under this id, compared without ``meta``. A wanted deletion matches when nothing is there.
        Raises TargetUnreadable."""
        return await self._look_up(delivery.payload)

    async def _look_up(self, wanted: Mapping[str, Any]) -> Observed | None:
        headers = {"Accept": _FHIR, "Cache-Control": "no-cache"}
        try:
            answer = await read_with_retries(self._client, f"{self._base}/{_name(wanted)}", headers=headers)
            if answer.status in (404, 410) and _is_outcome(answer.json()):  # 42, 43
                return Observed(True, detail={"deleted": True}) if wanted.get("deleted") else None
            if answer.status != 200:
                raise TargetUnreadable(
                    f"{self.name}: answers {answer.status}", french=f"{self.name} : répond {answer.status}"
                )
            there = answer.json()
        except HttpTrouble as error:
            raise TargetUnreadable(f"{self.name}: {error}", french=f"{self.name} : {error.french}") from error
        if not isinstance(there, dict) or f"{there.get('resourceType')}/{there.get('id')}" != _name(wanted):
            raise TargetUnreadable(
                f"{self.name}: not the resource asked for", french=f"{self.name} : pas la ressource demandée"
            )
        meta = there.get("meta")
        remote = {"version": meta.get("versionId") if isinstance(meta, dict) else None}
        content = _content(there)
        return Observed(not wanted.get("deleted") and content == _content(wanted), remote, digest=digest(content))

    async def probe(self) -> Sequence[Finding]:
        """Answers ``/metadata`` as FHIR 4.0 and takes our credentials."""
        try:
            answer = await read_with_retries(self._client, f"{self._base}/metadata", headers={"Accept": _FHIR})
            if not answer.ok:
                return [self._finding(_whole(answer).reason, f"répond {answer.status}", f"answers {answer.status}")]
            statement = answer.json()
            version = statement.get("fhirVersion", "") if isinstance(statement, dict) else ""
        except NotSent as error:
            return [self._finding("fhir.unreachable", f"pas de connexion ({error.french})", f"no connection ({error})")]
        except HttpTrouble as error:
            return [self._finding("fhir.wrong_address", error.french, str(error))]
        if not str(version).startswith("4.0"):
            spoken = version or "?"
            return [
                self._finding("fhir.wrong_address", f"parle FHIR {spoken}, pas 4.0", f"speaks FHIR {spoken}, not 4.0")
            ]
        self._able = able = _able(statement)
        found = []
        if await self._refused() is not None:
            found.append(self._finding("fhir.credentials", "répond 401", "answers 401"))
        if not able.transaction and not able.batch:
            found.append(self._finding("fhir.no_bundles", "ni transaction ni batch", "neither transaction nor batch"))
        absent = sorted(self._expected - able.types) if able.types is not None else []
        for code, kinds in (
            ("fhir.type_missing", absent),
            ("fhir.no_client_ids", sorted(self._expected & able.own_ids)),
        ):
            if kinds:
                found.append(self._finding(code, ", ".join(kinds), ", ".join(kinds)))
        return found

    def _finding(self, code: str, french: str, english: str) -> Finding:
        why = REASONS[code]
        said = (f"{self.name} : {french}", "", why.fr)
        return Finding(code, Severity.ERROR, f"{self.name}: {english}", why.en, who=why.who, french=said)

    # ------------------------------------------------------------ bundles

    async def _send(self, puts: Sequence[_Put], kind: str | None = None) -> list[Outcome]:
        """Outcomes of one bundle of unlike resources, cut smaller as long as that helps. ``kind``: a transaction,
        where the server takes them."""
        kind = kind or ("batch" if self._able is not None and not self._able.transaction else "transaction")
        try:
            answer = await self._post(puts, kind)
            if answer.ok:
                return await self._per_entry(answer, puts)
            outcome = _whole(answer)
        except NotSent:
            return [Outcome(Verdict.DEFERRED, "fhir.unreachable", of_target=True)] * len(puts)
        except Lost as error:
            return [Outcome(Verdict.UNKNOWN, "fhir.no_answer", http_status=error.status)] * len(puts)
        untold = kind == "transaction" and self._able is None  # it may take no transactions at all
        if (len(puts) == 1 and not untold) or outcome.of_target or outcome.verdict is Verdict.UNKNOWN:
            return [outcome] * len(puts)
        if kind == "transaction":
            if named := _named(answer, len(puts)):
                return await self._without(named, puts, outcome)
            if "0450" not in _codes(answer) and answer.status != 413:  # unparsable: a batch is refused whole too (93)
                return await self._send(puts, "batch")
        if len(puts) == 1 or answer.status in (409, 500):
            return [outcome] * len(puts)  # a batch names its entries; this is the server's own trouble
        half = len(puts) // 2
        first = await self._send(puts[:half])
        if first[0].of_target:
            return [first[0]] * len(puts)
        return first + await self._send(puts[half:])

    async def _without(self, named: Mapping[int, str], puts: Sequence[_Put], refusal: Outcome) -> list[Outcome]:
        """The entries the server named are refused, the others sent again."""
        others = [n for n in range(len(puts)) if n not in named]
        sent = await self._send([puts[n] for n in others]) if others else []
        outcomes = dict(zip(others, sent, strict=True))
        for n, text in named.items():
            outcomes[n] = Outcome(
                refusal.verdict, refusal.reason, http_status=refusal.http_status, answer=text or refusal.answer
            )
        return [outcomes[n] for n in range(len(puts))]

    async def _post(self, puts: Sequence[_Put], kind: str) -> Answer:
        entries = [self._entry(put) for put in puts]
        bundle = {"resourceType": "Bundle", "type": kind, "entry": entries}
        headers = {"Content-Type": _FHIR, "Accept": _FHIR}
        body = orjson.dumps(bundle, default=str)
        if self._gzip:  # 100: a twentieth of the bytes
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 6)
        answer = await request(self._client, "POST", self._base, content=body, headers=headers, max_bytes=_MAX_BYTES)
        if answer.ok:
            document = answer.json()
            rows = document.get("entry") if isinstance(document, dict) else None
            if not isinstance(rows, list) or document.get("type") != f"{kind}-response" or len(rows) != len(puts):
                raise NotJson("not the answer to this bundle", status=answer.status)
            if not all(isinstance(row, dict) and isinstance(row.get("response"), dict) for row in rows):
                raise NotJson("an entry without its answer", status=answer.status)
        return answer

    async def _per_entry(self, answer: Answer, puts: Sequence[_Put]) -> list[Outcome]:
        """The entries one by one. A resource whose place is not told (HAPI always tells it) is read before it is
        believed; one that is told to be another is not."""
        outcomes = []
        for entry, put in zip(answer.json()["entry"], puts, strict=True):
            row, payload = entry["response"], put.payload
            outcome = _entry_outcome(row, payload)
            if outcome.verdict is Verdict.ACCEPTED and not _is_place_of(row.get("location"), payload):
                told = row.get("location") is not None
                if told or not (payload.get("deleted") or await self._is_there(payload)):
                    outcome = Outcome(Verdict.UNKNOWN, "fhir.no_answer", http_status=answer.status)
            outcomes.append(outcome)
        return outcomes

    async def _is_there(self, payload: Mapping[str, Any]) -> bool:
        try:
            seen = await self._look_up(payload)
        except TargetUnreadable:
            return False
        return seen is not None and seen.matches

    def _entry(self, put: _Put) -> dict[str, Any]:
        payload, name = put.payload, _name(put.payload)
        entry: dict[str, Any] = {"fullUrl": f"{self._base}/{name}"}
        if payload.get("deleted"):
            return {**entry, "request": {"method": "DELETE", "url": name}}
        condition = {} if put.version is None else {"ifMatch": f'W/"{put.version}"'}
        return {**entry, "resource": payload, "request": {"method": "PUT", "url": name, **condition}}


def _able(statement: Any) -> _Able:
    """From a CapabilityStatement; whatever in it cannot be read says nothing."""
    listed = statement.get("rest") if isinstance(statement, dict) else None
    rest = next((one for one in _dicts(listed) if one.get("mode") == "server"), {})
    codes = {code for one in _dicts(rest.get("interaction")) if isinstance(code := one.get("code"), str)}
    resources = [one for one in _dicts(rest.get("resource")) if isinstance(one.get("type"), str)]
    return _Able(
        transaction=not codes or "transaction" in codes,
        batch=not codes or "batch" in codes,
        types=frozenset(one["type"] for one in resources) if resources else None,
        unversioned=frozenset(one["type"] for one in resources if one.get("versioning") == "no-version"),
        own_ids=frozenset(one["type"] for one in resources if one.get("updateCreate") is False),
    )


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _name(payload: Mapping[str, Any]) -> str:
    return f"{payload['resourceType']}/{payload['id']}"


def _is_place_of(location: Any, payload: Mapping[str, Any]) -> bool:
    """``Patient/p-1/_history/3``, with or without an address before it, is the place of Patient p-1."""
    if not isinstance(location, str):
        return False
    place = location.partition("/_history/")[0]
    return place == _name(payload) or place.endswith(f"/{_name(payload)}")


def _place(payload: Mapping[str, Any]) -> tuple[int, int]:
    """What is put comes before what is removed; parents are put first and removed last."""
    rank = _RANK.get(payload["resourceType"], len(_RANK))
    return (1, -rank) if payload.get("deleted") else (0, rank)


def _content(resource: Mapping[str, Any]) -> bytes:
    return canonical({name: value for name, value in resource.items() if name != "meta"})


def _is_outcome(document: Any) -> bool:
    return isinstance(document, dict) and document.get("resourceType") == "OperationOutcome"


def _errors(document: Any) -> Iterable[Mapping[str, Any]]:
    issues = document.get("issue") if _is_outcome(document) else None
    listed = [issue for issue in issues if isinstance(issue, dict)] if isinstance(issues, list) else []
    return [issue for issue in listed if issue.get("severity") in ("error", "fatal")]


def _codes(answer: Answer) -> list[str]:
    """HAPI's codes in an answer that refuses, outermost first."""
    return _HAPI.findall(answer.text(20_000))


def _named(answer: Answer, count: int) -> dict[int, str]:
    """Entries of the bundle that the errors name, with what is said of each; {} if an error names none (21, 28)."""
    try:
        errors = list(_errors(answer.json()))
    except NotJson:
        return {}
    named: dict[int, str] = {}
    for issue in errors:
        told = [issue.get(name) for name in ("expression", "location")]
        places = [str(place) for listed in told if isinstance(listed, list) for place in listed]
        found = next((int(m[1]) for place in places if (m := _ENTRY.match(place))), None)
        if found is None or found >= count:
            return {}
        named[found] = f"{named.get(found, '')}{issue.get('diagnostics', '')}\n"[:2000]
    return named


def _entry_outcome(row: Mapping[str, Any], payload: Mapping[str, Any]) -> Outcome:
    """One ``entry.response`` as an outcome (01-04, 30, 41, 46)."""
    digits = str(row.get("status", ""))[:3]
    status = int(digits) if digits.isascii() and digits.isdigit() else 0
    if not 200 <= status < 300:
        text = orjson.dumps(row.get("outcome") or {}).decode()
        verdict, reason = _meaning(status, text)
        patient = reason == "fhir.reference_missing"  # until the parent is there
        return Outcome(verdict, reason, http_status=status, answer=text[:2000], patient=patient)
    reason = "fhir.created" if status == 201 else "fhir.unchanged" if _unchanged(row) else "fhir.updated"
    if payload.get("deleted"):
        reason = "fhir.deleted"
    remote_id = str(row.get("location") or _name(payload))[:500]
    return Outcome(Verdict.ACCEPTED, reason, remote_id=remote_id, http_status=status)


def _unchanged(row: Mapping[str, Any]) -> bool:
    """HAPI's word for a PUT that made no new version (03)."""
    outcome = row.get("outcome")
    return bool(outcome) and b"NO_CHANGE" in orjson.dumps(outcome)


def _whole(answer: Answer) -> Outcome:
    """What an answer that refuses the whole request means."""
    text = answer.text(20_000)
    verdict, reason = _meaning(answer.status, text)
    if reason == "fhir.refused" and _is_cut(answer):  # why is in what did not arrive: it may be a reason that passes
        verdict, reason = Verdict.UNKNOWN, "fhir.no_answer"
    of_target = reason in ("fhir.credentials", "fhir.busy", "fhir.wrong_address")
    return Outcome(
        verdict,
        reason,
        retry_after=answer.retry_after,
        of_target=of_target,
        http_status=answer.status,
        answer=text[:2000],
        patient=reason == "fhir.reference_missing",  # until the parent is there
    )


def _is_cut(answer: Answer) -> bool:
    """Does it begin as JSON, and not end so?"""
    try:
        answer.json()
    except NotJson:
        return answer.text(20).lstrip().startswith("{")
    return False


def _meaning(status: int, text: str) -> tuple[Verdict, str]:
    codes = _HAPI.findall(text)
    if status in (401, 403):
        reason = "fhir.credentials"
    elif status in (429, 503):
        reason = "fhir.busy"
    elif status in (502, 504) or status < 200:  # a proxy may have given up on a bundle that went through
        reason = "fhir.no_answer"
    elif status >= 500:
        reason = "fhir.server_error"
    elif status == 409:
        reason = "fhir.still_referenced" if "Unable to delete" in text else "fhir.conflict"  # 40; 69, 116
    elif status == 412:
        reason = "fhir.duplicates"  # 57, 58
    elif status == 413:
        reason = "fhir.too_big"
    elif status in (400, 404, 422) and (codes or status == 422):
        reason = "fhir.reference_missing" if _MISSING.intersection(codes) else "fhir.refused"
    elif status == 400 and "OperationOutcome" in text:  # a server other than HAPI
        reason = "fhir.refused"
    else:
        reason = "fhir.wrong_address"
    return REASONS[reason].verdict, reason
