"""The CHT as a source: the feed of changes of its database, read page by page.

Everything here rests on findings-cht (numbers in brackets): only ``last_seq`` is a cursor (3), order between
documents means nothing (2), a tombstone is tested before the type (18), a re-created database is noticed by its start
time, as no error tells (8).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from connector.errors import (
    CursorLost,
    PageUnreadable,
    PushUnreadable,
    SourceError,
    SourceRefused,
    SourceUnavailable,
    SourceWaiting,
)
from connector.http import Answer, HttpTrouble, NotJson, TooBig, exact_json, read_with_retries
from connector.model import Cursor, Finding, Page, Record, Severity, Who

#: Ids of the app's own documents (the last pattern: 22).
_NOT_RECORDS = re.compile(
    r"_design/.*|form:.*|user.*|org\.couchdb\.user:.*|.*-info|task~.*|target~.*|(.*)____(.*)____tombstone", re.DOTALL
)
_CONTACTS = {"contact", "person", "clinic", "health_center", "district_hospital"}
_NAMES = ("reports", "contacts")
_OF_A_ROW = ("id", "changes", "deleted", "doc")  #: the rest of a row is ours to write
#: Who can mend a source that cannot be read -> what to do, in French and in English.
_FIXES = {
    Who.CREDENTIALS: (
        "Vérifiez l'utilisateur et le mot de passe ; l'utilisateur doit être un compte en ligne (online user) de CHT.",
        "Check the user and password; the user must be an online user of CHT.",
    ),
    Who.SYSADMIN: (
        "Vérifiez l'adresse et le nom de la base.",
        "Check the address and the name of the database.",
    ),
    Who.NOBODY: (
        "Vérifiez que CHT tourne et qu'il est joignable d'ici.",
        "Check that CHT runs and can be reached from here.",
    ),
}


class ChtSource:
    """``settings``: ``database`` (medic), ``page_size`` (1000), ``ignore`` (forms never taken in, such as our own
    answers coming back, 30), ``max_bytes`` of a page, ``max_document_bytes``.

    A page that is too big is asked for again with half the limit. At a limit of one the row is read without its
    document and the document by itself; one that is too big even so becomes a record that cannot be read
    (``document.too_big``): it waits in quarantine and holds nobody up.

    The app's own documents have no form and no body. A tombstone without a body does not say what it was: it is
    yielded for both streams, without a form.
    """

    def __init__(self, client: httpx.AsyncClient, name: str, settings: Mapping[str, Any] | None = None) -> None:
        settings = settings or {}
        self.name = name
        self._client = client
        self._database = f"/{settings.get('database', 'medic')}"
        self._page_size = int(settings.get("page_size", 1000))
        self._max_bytes = int(settings.get("max_bytes", 32 * 1024 * 1024))
        self._max_document = int(settings.get("max_document_bytes", 4 * 1024 * 1024))
        self._max_pages = int(settings.get("max_pages", 10_000))
        self._ignore = frozenset(settings.get("ignore", ()))

    async def pages(self, since: Cursor | None) -> AsyncIterator[Page]:
        """Pages until the feed is at its end; always at least one, so that ``behind`` is known.

        ``replay`` marks the first page when the feed is read from its start again: the database was made again, or the
        server does not know the cursor (7). Raises SourceError subclasses.
        """
        instance = await self._instance()
        replay = since is not None and since.instance != "" and since.instance != instance
        seq = "0" if since is None or replay else since.value
        limit = self._page_size
        for _ in range(self._max_pages):
            try:
                results, last, pending = await self._changes(seq, limit)
            except CursorLost:
                if seq == "0":
                    raise
                seq, replay = "0", True
                continue
            except TooBig:
                if limit > 1:
                    limit //= 2
                    continue
                try:
                    results, last, pending = await self._changes(seq, 1, documents=False)
                except TooBig as error:  # a single row without its document: this is no feed
                    raise PageUnreadable("the feed never ends", french="le flux ne finit jamais") from error
                results = [await self._with_document(row) for row in results]
            records = [record for row in results for record in self._records(row)]
            yield Page(records, Cursor(last, instance), behind=pending, replay=replay)
            if not results or not pending:
                return
            replay, seq, limit = False, last, min(limit * 2, self._page_size)

    async def probe(self) -> Sequence[Finding]:
        """Reachable, authorised, and not a health worker's login, which would see only its own records (25)."""
        try:
            await self._instance()
            await self._changes("0", 2)
        except SourceError as error:
            who = Who(error.who)
            french, fix = _FIXES.get(who, _FIXES[Who.NOBODY])
            said = (f"{self.name} : {error.french}", "", french)
            return [Finding(error.code, Severity.ERROR, f"{self.name}: {error}", fix, who=who, french=said)]
        except TooBig:
            pass  # two documents bigger than a page: reading copes
        return []

    # ------------------------------------------------------------ pushes

    def pushed(self, data: bytes, form: str | None) -> Record:
        """The record in a document as CHT's outbound push sends it: by itself, or as ``{"doc": ...}``.

        What the push has filled in is taken out again (``_stripped``), so that the record is the one the feed brings.
        ``form`` is not needed: a document says it. Raises PushUnreadable.
        """
        try:
            document = exact_json(data)
        except ValueError:
            raise PushUnreadable from None
        if isinstance(document, dict) and set(document) == {"doc"}:
            document = document["doc"]
        if not isinstance(document, dict):
            raise PushUnreadable
        missing = [name for name in ("_id", "_rev", "type") if not _named(document.get(name))]
        if document.get("type") == "data_record":
            missing += [name for name in ("fields", "reported_date") if name not in document]
        if missing:  # a part of a document, kept under its revision, would stand in the way of the whole one
            raise PushUnreadable(missing)
        document = _stripped(document)
        row = {"id": document["_id"], "changes": [{"rev": document["_rev"]}], "doc": document}
        return self._records(row)[0]

    def newer(self, record: Record, revision: str, changed_at: datetime | None) -> bool:
        """By the number a revision begins with: it grows with each edit of a document. With equal numbers there is a
        conflict, and only the feed says who won (21)."""
        return _generation(record.revision) > _generation(revision)

    # ------------------------------------------------------------ requests

    async def _instance(self) -> str:
        """Names the database and its server: it changes when the database is made again (8). 127, 287, 288."""
        database = await self._object(f"{self._database}/")
        server = await self._object("/dbinfo")
        if "instance_start_time" not in database:
            raise PageUnreadable(
                "the address does not answer like a CHT database",
                french="cette adresse ne répond pas comme une base de CHT",
            )
        named = f"{server.get('uuid', '')}:{database['instance_start_time']}"
        if len(named) > 200 or not named.isprintable():
            raise PageUnreadable(
                "the address does not answer like a CHT database",
                french="cette adresse ne répond pas comme une base de CHT",
            )
        return named

    async def _object(self, path: str) -> Mapping[str, Any]:
        answer = await self._get(path)
        document = _parsed(answer)
        if not isinstance(document, dict):
            raise PageUnreadable(
                "the address does not answer like a CHT", french="cette adresse ne répond pas comme un CHT"
            )
        return document

    async def _changes(
        self, seq: str, limit: int, *, documents: bool = True
    ) -> tuple[list[Mapping[str, Any]], str, int]:
        """Rows, ``last_seq`` and how many are still to come. Raises SourceError, TooBig."""
        query = {"since": seq, "limit": str(limit), "seq_interval": str(limit)}
        if documents:
            query["include_docs"] = "true"
        page = _parsed(await self._get(f"{self._database}/_changes", params=query, too_big=True))
        if not isinstance(page, dict) or not isinstance(page.get("results"), list):
            raise PageUnreadable(
                "the feed is not a list of changes", french="le flux n'est pas une liste de changements"
            )
        rows, last = page["results"], page.get("last_seq")
        if not _is_text(last) or "\0" in last or not all(_is_row(row) for row in rows):
            raise PageUnreadable(
                "a row or the cursor of the feed is not as CouchDB writes it",
                french="une ligne ou le curseur du flux n'est pas comme CouchDB l'écrit",
            )
        rows = [{name: row[name] for name in _OF_A_ROW if name in row} for row in rows]
        if "pending" not in page or (documents and rows and not any("doc" in row for row in rows)):
            # 219, 266: limit and include_docs are ignored and only the health worker's own documents are listed.
            raise SourceRefused(
                "this login is a health worker's: CHT shows it only its own records. Use an online user.",
                french="ce compte est celui d'un ASC : CHT ne lui montre que ses propres fiches. Prenez un "
                "compte en ligne (online user).",
                code="source.offline_user",
            )
        pending = page["pending"]
        if not isinstance(pending, int) or isinstance(pending, bool) or pending < 0:
            raise PageUnreadable(
                "the feed does not count what is to come", french="le flux ne compte pas ce qui reste à venir"
            )
        if rows and pending and last == seq:
            raise PageUnreadable(
                "the feed does not move on", french="le flux n'avance pas"
            )  # an old page out of a cache, for ever
        return rows, last, pending

    async def _with_document(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row with its document read by itself, which may be newer by now: then it comes again in the feed."""
        if row.get("deleted"):
            return {**row, "doc": {"_id": row["id"], "_rev": row["changes"][0]["rev"], "_deleted": True}}
        try:
            path = f"{self._database}/{quote(row['id'], safe='')}"
            answer = await self._get(path, max_bytes=self._max_document, too_big=True, missing=True)
        except TooBig:
            return {**row, "unreadable": "document.too_big"}
        if answer.status == 404:  # deleted or purged since: a later row says which
            return {**row, "gone": True}
        return {**row, "doc": _parsed(answer)}

    async def _get(
        self, path: str, *, max_bytes: int = 0, too_big: bool = False, missing: bool = False, **kwargs: Any
    ) -> Answer:
        """A 200 (or, ``missing``, a 404). Everything else is a SourceError that says who must act."""
        try:
            answer = await read_with_retries(self._client, path, max_bytes=max_bytes or self._max_bytes, **kwargs)
        except TooBig as error:
            if too_big:
                raise
            raise PageUnreadable("the answer is too big", french="la réponse est trop grande") from error
        except HttpTrouble as error:
            raise SourceUnavailable(f"no answer: {error}", french=f"pas de réponse : {error.french}") from error
        if answer.status == 200 or (missing and answer.status == 404):
            return answer
        raise _refusal(answer)

    # ------------------------------------------------------------ rows

    def _records(self, row: Mapping[str, Any]) -> list[Record]:
        id, revision = row["id"], row["changes"][0]["rev"]
        if row.get("gone"):
            return []
        document = row.get("doc")
        if "unreadable" in row or not isinstance(document, dict):
            # null: the document went away while the page was made, or one node of the cluster could not read it.
            reason = row.get("unreadable", "document.missing")
            return [Record(self.name, "reports", id, revision, None, {}, unreadable=reason)]
        if document.get("_id", id) != id:
            raise PageUnreadable(
                "a row of the feed holds the document of another",
                french="une ligne du flux contient le document d'une autre",
            )
        if not _is_text(document.get("_rev", revision)):
            return [Record(self.name, "reports", id, revision, None, {}, unreadable="document.missing")]
        revision = document.get("_rev", revision)
        deleted = bool(row.get("deleted") or document.get("_deleted"))
        if _NOT_RECORDS.fullmatch(id):
            return [Record(self.name, "app", id, revision, None, {}, deleted=deleted)]
        stream, form = _kind(document)
        if deleted and stream is None:
            return [Record(self.name, name, id, revision, None, {}, deleted=True) for name in _NAMES]
        if stream is None or form in self._ignore:
            return [Record(self.name, stream or "app", id, revision, None, {}, deleted=deleted)]
        return [Record(self.name, stream, id, revision, form, document, deleted=deleted)]


def _kind(document: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Stream and form of a document; a stream without a form is a message, no stream is none of ours."""
    kind = document.get("type")
    if kind == "data_record":
        form = document.get("form")
        return "reports", form if isinstance(form, str) and form else None
    if isinstance(kind, str) and kind in _CONTACTS:
        contact_type = document.get("contact_type")
        return "contacts", contact_type if isinstance(contact_type, str) and contact_type else str(kind)
    return None, None


def _is_text(value: Any) -> bool:
    """A name; one that no database can keep is the intake's to see to."""
    return isinstance(value, str) and value != ""


def _named(value: Any) -> bool:
    return isinstance(value, str) and value != "" and value.isprintable()


def _generation(revision: str) -> int:
    number = revision.partition("-")[0]
    return int(number) if number.isdigit() and len(number) < 10 else 0


def _stripped(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as the database holds it: before a push CHT puts whole contacts, with names and telephones, where
    the database has ids (``minify`` of cht-core ``shared-libs/lineage``)."""
    found = dict(document)
    if found.get("parent"):
        found["parent"] = _ids(found["parent"])
    contact = found.get("contact")
    if isinstance(contact, dict) and contact.get("_id"):
        parent = {"parent": _ids(contact["parent"])} if contact.get("parent") else {}
        found["contact"] = {"_id": contact["_id"], **parent}
    if found.get("type") == "data_record":
        found.pop("patient", None)
        found.pop("place", None)
    linked = found.get("linked_docs")
    if isinstance(linked, dict):
        found["linked_docs"] = {k: v["_id"] if isinstance(v, dict) and "_id" in v else v for k, v in linked.items()}
    return found


def _ids(place: Any) -> Any:
    """A place and those above it, ids only."""
    if not isinstance(place, dict) or not place.get("_id"):
        return place
    chain = [place["_id"]]
    while isinstance(place := place.get("parent"), dict) and place.get("_id"):
        chain.append(place["_id"])
    found: dict[str, Any] = {}
    for id in reversed(chain):
        found = {"_id": id, **({"parent": found} if found else {})}
    return found


def _is_row(row: Any) -> bool:
    try:
        return _is_text(row["id"]) and _is_text(row["changes"][0]["rev"])
    except (TypeError, KeyError, IndexError):
        return False


def _parsed(answer: Answer) -> Any:
    try:
        return answer.json(exact=True)
    except NotJson as error:
        raise PageUnreadable(str(error), french=error.french) from error


def _refusal(answer: Answer) -> SourceError:
    """What an answer that is not a page means (10, 23, 26). 401 is never asked again: ten of them lock all out."""
    wait = answer.retry_after.total_seconds() if answer.retry_after else None
    text = answer.text()
    if answer.status == 401:
        return SourceRefused()
    if answer.status == 403 and "temporarily locked" in text:
        return SourceWaiting(
            "the account is locked for a while after failed logins",
            french="le compte est bloqué pour un moment après des connexions manquées",
            retry_after=wait,
        )
    if answer.status == 403:
        return SourceRefused(
            "this user may not read the database", french="cet utilisateur n'a pas le droit de lire la base"
        )
    if answer.status == 429:
        return SourceWaiting("too many requests", french="trop de demandes", retry_after=wait)
    if answer.status == 400 and "Malformed sequence" in text:
        return CursorLost()
    if answer.status >= 500:
        return SourceUnavailable(
            f"the server answers {answer.status}", french=f"le serveur répond {answer.status}", retry_after=wait
        )
    return PageUnreadable(f"the address answers {answer.status}", french=f"cette adresse répond {answer.status}")
