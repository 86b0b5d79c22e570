"""A CHT that answers like api 5.2.0 over CouchDB 3.5.0 for the paths Relais uses; anything else is 501.

Rules come from findings-cht (numbers in comments) and the recordings of ``cht-5.2``. The feed is built of shards as
CouchDB's is: every request merges them in another order, ``last_seq`` is a vector of shard positions, and only the
order of revisions within one document holds.
"""

from __future__ import annotations

import base64
import hashlib
import random
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector.sandbox.plane import App, Plane

_SHARDS = 12  # CHT's q (finding 2)
_FILLER = 130  # makes a cursor as long as the recorded ones
_DB = "/medic"
_MALFORMED = {"error": "bad_request", "reason": "Malformed sequence supplied in 'since' parameter."}
_CONFLICT = {"error": "conflict", "reason": "Document update conflict."}
_NO_DB = {"error": "not_found", "reason": "Database does not exist."}


@dataclass(slots=True)
class _Doc:
    id: str
    number: int
    rev: str
    body: dict[str, Any]  #: without _id, _rev, _deleted
    deleted: bool
    shard: int
    place: int  #: index in its shard's list of changes

    def whole(self) -> dict[str, Any]:
        document = {"_id": self.id, "_rev": self.rev, **self.body}
        if self.deleted:
            document["_deleted"] = True
        return document


class CHTSim:
    """``docs`` are put in the given order at the start. The one online user may read and write unless ``can_edit`` is
    False; ``offline_user`` (same password) is a health worker's login that sees a filtered feed (finding 25).

    ``lockout``: ``cht`` answers 429 to everybody for 10 seconds after 10 failed logins (finding 26), ``couchdb`` locks
    the account with 403.
    """

    def __init__(
        self,
        plane: Plane,
        docs: Iterable[Mapping[str, Any]] = (),
        *,
        user: str = "relais",
        password: str = "relais-sandbox",
        offline_user: str = "asc-001",
        can_edit: bool = True,
        lockout: str = "cht",
    ) -> None:
        self.plane = plane
        self.user, self.password, self.offline_user = user, password, offline_user
        self.can_edit = can_edit
        self.member = True  #: False: the role is not in the database's _security (98)
        self.absent = False  #: True: there is no database (04)
        self.lockout = lockout
        self.starting = False  #: True: the api answers as while it starts or upgrades (finding 23)
        self._initial = [orjson.loads(orjson.dumps(dict(doc))) for doc in docs]
        self._generation = 0
        self.reset()
        self.app: App = plane.wrap(
            Starlette(routes=self._routes()),
            state=self.state,
            reset=self.reset,
            extra_routes={"records": self.records},
        )

    # ------------------------------------------------------------ what tests and the district use

    def put(self, doc: Mapping[str, Any]) -> str:
        """Save a document as its next revision, whatever its ``_rev``; returns the new one."""
        body = {key: value for key, value in doc.items() if key not in ("_id", "_rev", "_deleted")}
        return self._save(str(doc["_id"]), body, deleted=bool(doc.get("_deleted"))).rev

    def edit(self, id: str, merge: Mapping[str, Any]) -> str:
        """Save the document with these dotted paths changed (``None`` removes one)."""
        document = orjson.loads(orjson.dumps(self._docs[id].whole()))
        for path, value in merge.items():
            *parents, last = path.split(".")
            place = document
            for parent in parents:
                place = place.setdefault(parent, {})
            if value is None:
                place.pop(last, None)
            else:
                place[last] = value
        return self.put(document)

    def delete(self, id: str, keep_body: bool = True) -> str:
        """Delete as a CHT phone does (the body stays in the tombstone) or as HTTP DELETE does (finding 18)."""
        return self._save(id, self._docs[id].body if keep_body else {}, deleted=True).rev

    def flip(self, id: str, loser: Mapping[str, Any]) -> str:
        """Two replicas wrote a document, and now the other revision wins, because somebody deleted the winner or for
        no reason of a user (finding 21): the row is no deletion, the document is as the former loser said, under a
        revision with a number that is not higher (47)."""
        old = self._docs[id]
        body = {key: value for key, value in loser.items() if key not in ("_id", "_rev", "_deleted")}
        self._feed[old.shard][old.place] = None
        digest = hashlib.md5(orjson.dumps([old.number, body]), usedforsecurity=False).hexdigest()
        self._place(_Doc(id, old.number, f"{old.number}-{digest}", body, False, old.shard, 0))
        return self._docs[id].rev

    def purge(self, id: str) -> None:
        """Remove without a trace, as archiving does (findings 20)."""
        doc = self._docs.pop(id)
        self._feed[doc.shard][doc.place] = None

    def recreate(self) -> None:
        """Delete the database and load the living documents again: old cursors replay everything (finding 8)."""
        living = [doc for doc in self._docs.values() if not doc.deleted]
        self._new_database()
        for doc in living:
            self._place(doc)

    def locked(self, failures: int) -> None:
        """As after so many wrong passwords just now."""
        self._failures = [self.plane.clock()] * failures

    def records(self, operations: Any) -> dict[str, Any]:
        """Control route: a list of ``{"op": "put|edit|delete|delete_stub|purge|recreate", "doc", "id", "merge"}``."""
        done = []
        for operation in [operations] if isinstance(operations, Mapping) else operations:
            match operation["op"]:
                case "put":
                    done.append(self.put(operation["doc"]))
                case "edit":
                    done.append(self.edit(operation["id"], operation["merge"]))
                case "delete":
                    done.append(self.delete(operation["id"]))
                case "delete_stub":
                    done.append(self.delete(operation["id"], keep_body=False))
                case "purge":
                    self.purge(operation["id"])
                    done.append("")
                case "recreate":
                    self.recreate()
                    done.append("")
                case other:
                    raise ValueError(f"no operation {other!r}")
            self.plane.applied({"via": "control", "op": operation["op"], "id": _id_of(operation)})
        return {"revisions": done}

    def state(self) -> dict[str, Any]:
        return {"docs": [self._docs[id].whole() for id in sorted(self._docs)]}

    def reset(self) -> None:
        self._generation = 0
        self._failures: list[float] = []
        self._new_database()
        for doc in self._initial:
            self.put(doc)

    # ------------------------------------------------------------ the database

    def _new_database(self) -> None:
        self._generation += 1
        self._docs: dict[str, _Doc] = {}
        self._feed: list[list[str | None]] = [[] for _ in range(_SHARDS)]
        self._tag = hashlib.sha256(f"{self.plane.seed}/{self._generation}".encode()).digest()[:8]

    def _save(self, id: str, body: dict[str, Any], *, deleted: bool) -> _Doc:
        old = self._docs.get(id)
        number = old.number + 1 if old else 1
        # The revision is a hash of the content and the parent revision, not of the id (finding 15).
        content = orjson.dumps([deleted, old.rev if old else None, body], option=orjson.OPT_SORT_KEYS)
        doc = _Doc(id, number, f"{number}-{hashlib.md5(content).hexdigest()}", body, deleted, 0, 0)
        if old:
            self._feed[old.shard][old.place] = None
        self._place(doc)
        return doc

    def _place(self, doc: _Doc) -> None:
        doc.shard = zlib.crc32(doc.id.encode()) % _SHARDS
        doc.place = len(self._feed[doc.shard])
        self._feed[doc.shard].append(doc.id)
        self._docs[doc.id] = doc

    def _write(self, id: str, document: dict[str, Any], rev: str | None) -> tuple[int, dict[str, Any]]:
        """One document as CouchDB takes it: conflict unless the current revision is named (08, 09, 36)."""
        if bad := next((key for key in document if key.startswith("_") and key not in _SPECIAL), None):
            return 400, {"error": "doc_validation", "reason": f"Bad special document member: {bad}"}  # 105
        old = self._docs.get(id)
        named = document.get("_rev") or rev
        expected: set[str | None] = {old.rev} if old else {None}
        if old is None or old.deleted:
            expected.add(None)
        if named not in expected:
            return 409, _CONFLICT
        body = {key: value for key, value in document.items() if key not in ("_id", "_rev", "_deleted")}
        doc = self._save(id, body, deleted=bool(document.get("_deleted")))
        self.plane.applied({"op": "delete" if doc.deleted else "put", "id": id, "rev": doc.rev})
        return 200 if doc.deleted else 201, {"ok": True, "id": id, "rev": doc.rev}

    # ------------------------------------------------------------ the feed

    def _seq(self, vector: list[int]) -> str:
        """Opaque, a few hundred characters, different strings for one place in the feed (findings 1, 2)."""
        packed = self._tag + b"".join(place.to_bytes(4, "big") for place in vector)
        packed += zlib.crc32(packed).to_bytes(4, "big")
        filler = hashlib.shake_128(packed).digest(_FILLER)
        return f"{sum(vector)}-g1AAAA{base64.urlsafe_b64encode(packed + filler).decode().rstrip('=')}"

    def place(self) -> str:
        """The cursor of what comes next."""
        return self._seq([len(shard) for shard in self._feed])

    def _vector(self, since: str) -> list[int]:
        """The shard positions of a cursor; another database's cursor means the beginning. Raises ValueError."""
        if since == "0":
            return [0] * _SHARDS
        if since == "now":
            return [len(shard) for shard in self._feed]
        since = since.strip('"')  # 74
        number, _, opaque = since.partition("-")
        if not number.isdigit() or not opaque.startswith("g1AAAA"):
            raise ValueError(since)
        text = opaque.removeprefix("g1AAAA")
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        body, check = packed[: 8 + 4 * _SHARDS], packed[8 + 4 * _SHARDS : 12 + 4 * _SHARDS]
        if len(packed) != 12 + 4 * _SHARDS + _FILLER or zlib.crc32(body).to_bytes(4, "big") != check:
            raise ValueError(since)
        if body[:8] != self._tag:
            return [0] * _SHARDS  # findings 8: accepted in silence, everything comes again
        return [int.from_bytes(body[8 + 4 * n : 12 + 4 * n], "big") for n in range(_SHARDS)]

    def _changes(self, request: Request) -> Response:
        query = request.query_params
        if (feed := query.get("feed", "normal")) not in ("normal", "longpoll", "continuous", "live", "eventsource"):
            kinds = "normal, continuous, live, longpoll, eventsource"
            return _json(400, {"error": "bad_request", "reason": f"Supported `feed` types: {kinds}"})  # 82
        if feed != "normal" or "filter" in query or "descending" in query:
            return _json(501, {"error": "not_simulated", "reason": "only the normal feed is simulated"})
        try:
            vector = self._vector(query.get("since", "0"))
        except ValueError:
            return _json(400, _MALFORMED)  # 64-69, 72, 73, 75-78
        if query.get("style", "main_only") not in ("main_only", "all_docs"):
            return _json(500, {"error": "error", "reason": "{function_clause,nil,...}"})  # 83
        try:
            limit = int(query.get("limit", "-1"))
            interval = int(query.get("seq_interval", "1"))
        except ValueError:
            return _json(500, {"error": "unknown_error", "reason": "badarg", "ref": 4160630019})  # 80
        offline = _user(request) == self.offline_user
        if offline:
            limit = -1  # 219, 266: limit and include_docs are ignored, only own documents are listed
        include_docs = query.get("include_docs") == "true" and not offline

        chooser = random.Random(f"{self.plane.seed}/{self.plane.requests}")
        places = list(vector)
        rows: list[dict[str, Any]] = []
        open_shards = [n for n in range(_SHARDS) if places[n] < len(self._feed[n])]
        while open_shards and (limit < 0 or len(rows) < limit):
            n = chooser.choice(open_shards)
            id = self._feed[n][places[n]]
            places[n] += 1
            if places[n] >= len(self._feed[n]):
                open_shards.remove(n)
            if id is None or (offline and not self._own(self._docs[id])):
                continue
            doc = self._docs[id]
            # seq_interval: every n-th row, counted from the first, has a seq; longer than the page: none (20, 21).
            shown = interval < 2 or (len(rows) % interval == 0 and (limit < 0 or interval <= limit))
            row: dict[str, Any] = {
                "seq": self._seq(places) if shown else None,
                "id": id,
                "changes": [{"rev": doc.rev}],
            }
            if doc.deleted:
                row["deleted"] = True
            if include_docs:
                row["doc"] = doc.whole()
            rows.append(row)
        answer: dict[str, Any] = {"results": rows, "last_seq": self._seq(places)}
        if not offline:
            answer["pending"] = sum(id is not None for n in range(_SHARDS) for id in self._feed[n][places[n] :])
        return _json(200, answer)

    def _own(self, doc: _Doc) -> bool:
        contact = doc.body.get("contact")
        return doc.id == self.offline_user or (isinstance(contact, Mapping) and contact.get("_id") == self.offline_user)

    # ------------------------------------------------------------ routes

    def _routes(self) -> list[Route]:
        async def guarded(request: Request) -> Response:
            return self._guard(request) or await self._answer(request)

        everything = ["GET", "HEAD", "PUT", "POST", "DELETE"]
        return [Route("/{path:path}", guarded, methods=everything)]

    def _guard(self, request: Request) -> Response | None:
        """What the api says before it looks at the request: starting, locked out, not logged in."""
        wants_json = "application/json" in request.headers.get("accept", "")
        if self.starting:
            if wants_json:
                return _json(503, {"code": 503, "error": "CHT is starting"})
            return Response("<html><title>CHT is starting</title></html>", media_type="text/html")
        if request.scope["path"] in ("/api/info", "/api/v2/monitoring"):
            return None
        now = self.plane.clock()
        self._failures = [at for at in self._failures if now - at < 10]
        if len(self._failures) >= 10:
            if self.lockout == "cht":
                return _json(429, {"code": 429, "error": "Too Many Requests"})  # 278
            reason = "Account is temporarily locked due to multiple authentication failures"
            inner = orjson.dumps({"error": "forbidden", "reason": reason}).decode()
            return _json(403, {"code": 403, "error": f"403 - {inner}"})  # 263, 264
        header = request.headers.get("authorization", "")
        if header not in (_basic(self.user, self.password), _basic(self.offline_user, self.password)):
            if header:
                self._failures.append(now)
            if wants_json:
                return _json(401, {"code": 401, "error": "unauthorized"})  # 214
            login = {"www-authenticate": 'Basic realm="Medic Web Services"'}
            return Response("not logged in", 401, login, media_type="text/plain")  # 215
        if request.scope["path"].startswith(_DB) and not self.member:
            return _json(403, {"error": "forbidden", "reason": "You are not allowed to access this db."})  # 98
        writes = request.method in ("PUT", "DELETE") or request.scope["path"].endswith("/_bulk_docs")
        if writes and not self.can_edit:
            return _json(403, {"code": 403, "error": "Insufficient privileges"})  # 246, 248
        return None

    async def _answer(self, request: Request) -> Response:
        path, method = request.scope["path"], request.method
        read = method in ("GET", "HEAD")
        if path == "/api/v2/monitoring" and read:  # 260
            version = {"app": "5.2.0", "node": "v22.23.3", "couchdb": "3.5.0-dirty"}
            return _json(200, {"version": version, "outbound_push": {"backlog": 0}, "conflict": {"count": 0}})
        if path == "/dbinfo" and read:  # 288
            uuid = hashlib.md5(f"couchdb/{self.plane.seed}".encode()).hexdigest()
            return _json(200, {"couchdb": "Welcome", "version": "3.5.0-dirty", "uuid": uuid})
        if path == _DB and read:
            return Response(status_code=302, headers={"location": f"{_DB}/"})  # 286
        if path == f"{_DB}/" and read:  # 287
            deleted = sum(doc.deleted for doc in self._docs.values())
            started = str(1782864000 + self._generation)
            update_seq = self.place()
            return _json(
                200,
                {
                    "instance_start_time": started,
                    "db_name": "medic",
                    "update_seq": update_seq,
                    "doc_count": len(self._docs) - deleted,
                    "doc_del_count": deleted,
                    "cluster": {"q": _SHARDS, "n": 1, "w": 1, "r": 1},
                },
            )
        if self.absent or not path.startswith(f"{_DB}/"):
            return _json(404, _NO_DB)  # 04, 261
        name = path.removeprefix(f"{_DB}/")
        if name == "_changes":
            if method == "HEAD":
                return _json(501, {"error": "not_simulated"})
            return self._changes(request)
        if name == "_all_docs" and method in ("GET", "POST"):
            return await self._all_docs(request)
        if name == "_bulk_docs" and method == "POST":
            return await self._bulk_docs(request)
        if name.startswith("_"):
            return _json(501, {"error": "not_simulated", "reason": name})
        return await self._document(request, name)

    async def _document(self, request: Request, id: str) -> Response:
        doc = self._docs.get(id)
        if request.method in ("GET", "HEAD"):
            asked = request.query_params.get("rev")
            if doc is None or (asked and asked != doc.rev) or (doc.deleted and not asked):
                reason = "deleted" if doc and doc.deleted and not asked else "missing"
                return _json(404, {"error": "not_found", "reason": reason})  # 29-31
            return _json(200, doc.whole(), etag=doc.rev)
        if request.method == "DELETE":
            rev = request.query_params.get("rev")
            if doc is None or doc.deleted:
                return _json(404, {"error": "not_found", "reason": "deleted" if doc else "missing"})
            status, answer = self._write(id, {"_deleted": True}, rev)  # 26
            return _json(status, answer)
        if request.method != "PUT":
            return _json(501, {"error": "not_simulated", "reason": request.method})
        document = _parsed(await request.body())
        if not isinstance(document, dict):
            return _json(400, {"error": "bad_request", "reason": "invalid UTF-8 JSON"})  # 104
        status, answer = self._write(id, document, request.query_params.get("rev"))
        written = _json(status, answer, etag=answer.get("rev"))
        if status < 300:
            written.headers["location"] = str(request.url.replace(query=""))  # 08, 22, 27
        return written

    async def _bulk_docs(self, request: Request) -> Response:
        body = _parsed(await request.body())
        docs = body.get("docs") if isinstance(body, dict) else None
        if not isinstance(docs, list):
            return _json(400, {"error": "bad_request", "reason": "`docs` parameter must be an array."})  # 270
        rows = []
        for document in docs:
            id = document.get("_id")
            if not isinstance(id, str):
                return _json(501, {"error": "not_simulated", "reason": "documents need an _id here"})
            status, answer = self._write(id, document, None)
            rows.append(answer if status < 300 else {"id": id, **answer})  # 10, 269
        return _json(201, rows)

    async def _all_docs(self, request: Request) -> Response:
        keys: list[str] | None = None
        if request.method == "POST":
            body = _parsed(await request.body())
            keys = body.get("keys") if isinstance(body, dict) else None
        elif "keys" in request.query_params:
            keys = orjson.loads(request.query_params["keys"])
        include_docs = request.query_params.get("include_docs") == "true"
        living = [id for id in sorted(self._docs) if not self._docs[id].deleted]
        rows: list[dict[str, Any]] = []
        for key in living if keys is None else keys:
            doc = self._docs.get(key)
            if doc is None:
                rows.append({"key": key, "error": "not_found"})  # 33
                continue
            value: dict[str, Any] = {"rev": doc.rev}
            if doc.deleted:
                value["deleted"] = True
            row: dict[str, Any] = {"id": key, "key": key, "value": value}
            if include_docs:
                row["doc"] = None if doc.deleted else doc.whole()
            rows.append(row)
        if keys is None and "limit" in request.query_params:
            rows = rows[: int(request.query_params["limit"])]
        return _json(200, {"total_rows": len(living), "offset": 0 if keys is None else None, "rows": rows})


_SPECIAL = {"_id", "_rev", "_deleted", "_attachments", "_revisions"}


def _id_of(operation: Mapping[str, Any]) -> str | None:
    return operation.get("id") or (operation.get("doc") or {}).get("_id")


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _user(request: Request) -> str:
    try:
        return base64.b64decode(request.headers["authorization"].split()[1]).decode().partition(":")[0]
    except (KeyError, IndexError, ValueError):
        return ""


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _json(status: int, document: Any, *, etag: str | None = None) -> Response:
    headers = {"cache-control": "must-revalidate"}
    if etag:
        headers["etag"] = f'"{etag}"'
    return Response(orjson.dumps(document), status, headers, media_type="application/json")
