"""A FHIR R4 server that answers like HAPI FHIR JPA 8.8.0 for what Relais does with it; anything else is 501.

Rules come from findings-fhir-server (numbers in comments) and the recordings of ``hapi-fhir-8.8``. Not simulated:
conditional create and update, patch, history, ``$validate``, POST in a bundle.
"""

from __future__ import annotations

import gzip
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector.sandbox.fhir_rules import (
    ID,
    TARGETS,
    TYPES,
    UNPARSED,
    Refused,
    check_parses,
    invalid,
    invalid_bundle,
    references,
    stored,
)
from connector.sandbox.plane import App, Plane

_BASE = "/fhir"
_SEARCH = ("identifier", "_id", "_count", "_summary", "_elements")
_STORAGE_CODES = "https://hapifhir.io/fhir/CodeSystem/hapi-fhir-storage-response-code"


@dataclass(slots=True)
class _Resource:
    version: int
    content: dict[str, Any]  #: without meta
    canonical: bytes
    labels: dict[str, list[Any]]  #: meta.tag, meta.security, meta.profile: they accumulate (finding 2)
    refers: frozenset[str]
    source: str | None
    deleted: bool = False

    def whole(self) -> dict[str, Any]:
        meta = {"versionId": str(self.version), "lastUpdated": _when(self.version), **self.labels}
        if self.source:
            meta["source"] = self.source
        return {
            "resourceType": self.content["resourceType"],
            "id": self.content["id"],
            "meta": meta,
            **self.content,
        }


@dataclass(slots=True)
class _Change:
    """What a transaction will do, before it is certain that all of it can be done."""

    resources: dict[str, _Resource] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)


#: A decimal with zeros at its end: ``39.10`` is another content than ``39.1`` (13).
_PADDED = re.compile(rb"\d\.\d*0[\s,}\]]")
_PLACEHOLDER = "http://hapifhir.io/fhir/StructureDefinition/resource-placeholder"
_IF_MATCH = re.compile(r'(W/)?"?(\d+)"?')


class _Written(float):
    """A decimal that remembers how it was written."""

    text: str

    def __new__(cls, text: str) -> _Written:
        number = super().__new__(cls, text)
        number.text = text
        return number


def _as_written(value: Any) -> Any:
    if isinstance(value, _Written):
        return orjson.Fragment(value.text.encode())
    raise TypeError(type(value).__name__)


class FHIRSim:
    """``validating``: ``hapi.fhir.validation.requests_enabled`` (findings 12, 21). ``authorization``: the header value
    demanded, if any. ``lenient``: ids of figures alone, references to other servers and to resources that are not there
    are taken, and of these an empty one is made (``auto_create_placeholder_reference_targets``: 162-165).

    Servers other than HAPI: ``stale`` is the status for an ``If-Match`` that no longer holds (409 at HAPI, 69; 412 by
    R4, http.html#concurrency); ``bundles`` the kinds taken (R4, http.html#transaction: a server may take one, both or
    none, and its CapabilityStatement says so); ``resource`` goes into what that says of each type (R4,
    CapabilityStatement.rest.resource: ``versioning``, ``updateCreate``)."""

    def __init__(
        self, plane: Plane, *, validating: bool = True, authorization: str | None = None, stale: int = 409,
        bundles: Sequence[str] = ("transaction", "batch"), resource: Mapping[str, Any] | None = None,
        lenient: bool = False,
    ) -> None:  # fmt: skip
        self.plane = plane
        self.stale, self.bundles, self.resource = stale, bundles, dict(resource or {})
        self.validating = validating
        self.lenient = lenient
        self.authorization = authorization
        self.reset()
        methods = ["GET", "HEAD", "PUT", "POST", "DELETE"]
        routes = [Route("/{path:path}", self._answer, methods=methods)]
        self.app: App = plane.wrap(Starlette(routes=routes), state=self.state, reset=self.reset)

    def state(self) -> dict[str, Any]:
        living = {key: self._held[key] for key in sorted(self._held) if not self._held[key].deleted}
        return {
            "resources": {key: resource.content for key, resource in living.items()},
            "versions": {key: resource.version for key, resource in living.items()},
            "deleted": sorted(key for key, resource in self._held.items() if resource.deleted),
        }

    def reset(self) -> None:
        self._held: dict[str, _Resource] = {}
        self._referrers: dict[str, dict[str, None]] = {}  #: of each target, the first to refer to it first (40)
        self._searches: dict[str, tuple[float, bytes]] = {}
        self._next_id = 1000
        self._answers = 0

    # ------------------------------------------------------------ routes

    async def _answer(self, request: Request) -> Response:
        if self.authorization and request.headers.get("authorization") != self.authorization:
            return _outcome(401, "HAPI-0333: Authentication required")
        base = f"{request.url.scheme}://{request.url.netloc}{_BASE}"
        path = request.scope["path"].removeprefix(_BASE).strip("/")
        method = request.method
        try:
            if not request.scope["path"].startswith(_BASE):
                raise Refused(404, "HAPI-0000: no such path")
            if path == "metadata":
                return _json(200, _capabilities(self.bundles, self.resource))
            if path == "" and method == "POST":
                return self._bundle(self._parsed(request, await request.body()), base)
            kind, _, id = path.partition("/")
            if kind not in TYPES:
                known = f"Server knows how to handle: [{', '.join(sorted(TYPES))}]"
                raise Refused(404, f"HAPI-0302: Unknown resource type '{kind}' - {known}")  # 88
            if "/" in id or id.startswith("$") or id.startswith("_"):
                return _outcome(501, f"not simulated: {path}")
            if method in ("GET", "HEAD"):
                return self._read(request, kind, id) if id else self._search(request, kind, base)
            if "if-none-exist" in request.headers or (not id and request.query_params):
                return _outcome(501, "not simulated: conditional create and update")
            if method == "DELETE":
                return self._delete(kind, id)
            resource = self._parsed(request, await request.body())
            if method == "POST" and not id:
                self._next_id += 1
                id = str(self._next_id)
                resource = {**resource, "id": id}
                return self._put(kind, id, resource, None, assigned=True)
            return self._put(kind, id, resource, request.headers.get("if-match"))
        except Refused as refused:
            return _json(refused.status, {"resourceType": "OperationOutcome", "issue": refused.issues})

    def _parsed(self, request: Request, body: bytes) -> dict[str, Any]:
        kind = request.headers.get("content-type", "").split(";")[0]
        if kind not in ("application/fhir+json", "application/json"):
            base = request.scope["path"].strip("/") == _BASE.strip("/")
            operation = "TRANSACTION" if base else {"PUT": "UPDATE", "POST": "CREATE"}.get(request.method, "")
            text = f'Incorrect Content-Type header value of "{kind}" was provided in the request.'
            raise Refused(400, f'HAPI-0449: {text} A FHIR Content-Type is required for "{operation}" operation')  # 90
        if request.headers.get("content-encoding") == "gzip":  # 100
            body = gzip.decompress(body)
        try:
            document = orjson.loads(body)
            if _PADDED.search(body):
                document = json.loads(body, parse_float=_Written)
        except orjson.JSONDecodeError as error:
            empty = "" if body else " HAPI-1857: Did not find any content to parse"
            text = f"{UNPARSED} HAPI-1861: Failed to parse JSON encoded FHIR content:{empty}"  # 76, 77
            raise Refused(400, text) from error
        if not isinstance(document, dict) or "resourceType" not in document:
            missing = "HAPI-1838: Invalid JSON content detected, missing required element: 'resourceType'"
            raise Refused(400, f"{UNPARSED} {missing}")  # 89
        return document

    def _read(self, request: Request, kind: str, id: str) -> Response:
        held = self._held.get(f"{kind}/{id}")
        if held is None:
            raise Refused(404, f"HAPI-2001: Resource {kind}/{id} is not known")  # 43
        if held.deleted:
            gone = _outcome(410, f"Resource was deleted at {_when(held.version)}")  # 42
            gone.headers["location"] = f"{request.url}/_history/{held.version}"
            return gone
        if request.headers.get("if-none-match") == f'W/"{held.version}"':
            return Response(b"", 304)  # 74
        return _json(200, held.whole(), etag=held.version)

    def _put(
        self, kind: str, id: str, resource: dict[str, Any], if_match: str | None, *, assigned: bool = False
    ) -> Response:
        check_parses(resource)
        if self.validating and (issues := list(invalid(resource, resource.get("resourceType", "")))):
            raise Refused(422, "", issues)  # 148-151, 153
        change = _Change()
        status, _ = self._stage_put(change, kind, id, resource, if_match, assigned=assigned)
        self._check_references(change, alone=True)
        self._commit(change)
        held = self._held[f"{kind}/{id}"]
        return _json(status, held.whole(), etag=held.version)

    def _delete(self, kind: str, id: str) -> Response:
        change = _Change()
        _, outcome = self._stage_delete(change, kind, id)
        self._check_references(change, alone=True)
        self._commit(change)
        return _json(200, outcome)  # 44, 45

    def _search(self, request: Request, kind: str, base: str) -> Response:
        query = request.query_params
        if unknown := next((name for name in query if name not in _SEARCH), None):
            known = "Valid search parameters for this search are: [_id, _lastUpdated, identifier]"
            raise Refused(
                400, f'HAPI-0524: Unknown search parameter "{unknown}" for resource type "{kind}". {known}'
            )  # 108
        url, now = str(request.url), self.plane.clock()
        cached = self._searches.get(url)
        if cached and now - cached[0] < 60 and "no-cache" not in request.headers.get("cache-control", ""):
            return Response(cached[1], media_type="application/fhir+json")  # findings 8: a stale answer for 60 s
        ids = query["_id"].split(",") if "_id" in query else None
        system, bar, value = query.get("identifier", "").rpartition("|")
        found = []
        for key, held in self._held.items():
            if held.deleted or held.content["resourceType"] != kind:
                continue
            if ids is not None and held.content["id"] not in ids:
                continue
            if "identifier" in query and not _identified(held.content, system if bar else None, value):
                continue
            found.append((key, held))
        self._answers += 1
        bundle: dict[str, Any] = {
            "resourceType": "Bundle", "id": str(uuid.UUID(int=self._answers)), "meta": {"lastUpdated": _when(0)},
            "type": "searchset", "total": len(found),
        }  # fmt: skip
        shown = found[: int(query.get("_count", "20"))]
        if query.get("_summary") != "count" and shown:  # 131: no entry at all where nothing was found
            bundle["entry"] = [
                {"fullUrl": f"{base}/{key}", "resource": held.whole(), "search": {"mode": "match"}}  # 134
                for key, held in shown
            ]
        body = orjson.dumps(bundle)
        self._searches[url] = (now, body)
        return Response(body, media_type="application/fhir+json")

    # ------------------------------------------------------------ bundles

    def _bundle(self, bundle: dict[str, Any], base: str) -> Response:
        if bundle["resourceType"] != "Bundle":
            raise Refused(400, f'{UNPARSED} HAPI-1814: Incorrect resource type found, expected "Bundle"')
        kind = bundle.get("type")
        if kind not in ("transaction", "batch"):
            raise Refused(400, f"HAPI-0527: Unable to process transaction where incoming Bundle.type = {kind}")  # 97
        if kind not in self.bundles:
            issue = {"severity": "error", "code": "not-supported", "diagnostics": f"{kind} is not supported"}
            raise Refused(400, "", [issue])
        entries = bundle.get("entry") or []
        for entry in entries:
            if "resource" in entry:
                check_parses(entry["resource"])  # 92, 93: the whole bundle, whatever its type
        if self.validating and (issues := list(invalid_bundle(entries))):
            raise Refused(422, "", issues)  # 156-158, 161, 167
        answers = self._transaction(entries) if kind == "transaction" else [self._batched(e) for e in entries]
        self._answers += 1
        id = str(uuid.UUID(int=self._answers))
        answer = {"resourceType": "Bundle", "id": id, "type": f"{kind}-response"}
        done = _json(200, {**answer, "entry": answers} if answers else answer)  # 95
        done.headers["location"] = f"{base}/Bundle/{id}"  # 02, 30
        return done

    def _transaction(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All or nothing; children may come before parents (02)."""
        requests = [_request(index, entry) for index, entry in enumerate(entries)]
        seen: set[str] = set()
        for method, key in requests:
            if method == "PUT" and key in seen:
                raise Refused(400, f"HAPI-0535: Transaction bundle contains multiple resources with ID: {key}")  # 63
            if method == "PUT":
                seen.add(key)
        paired = zip(entries, requests, strict=True)
        names = {entry["fullUrl"]: key for entry, (_, key) in paired if "fullUrl" in entry}
        change = _Change()
        answers: list[dict[str, Any]] = [{} for _ in entries]
        # Order of processing: DELETE, POST, PUT, GET (126).
        for wanted in ("DELETE", "PUT", "GET"):
            for index, (method, key) in enumerate(requests):
                if method == wanted:
                    answers[index] = self._entry(change, method, key, entries[index], names)
        self._check_references(change)
        self._commit(change)
        return answers

    def _batched(self, entry: dict[str, Any]) -> dict[str, Any]:
        change = _Change()
        try:
            method, key = _request(0, entry)
            answer = self._entry(change, method, key, entry, {})
            self._check_references(change)
        except Refused as refused:
            issues = [{**issue, "code": "exception"} for issue in refused.issues]
            outcome = {"resourceType": "OperationOutcome", "issue": issues}
            return {"response": {"status": _STATUS[refused.status], "outcome": outcome}}  # 30, 94
        self._commit(change)
        return answer

    def _entry(
        self, change: _Change, method: str, key: str, entry: dict[str, Any], names: Mapping[str, str]
    ) -> dict[str, Any]:
        kind, _, id = key.partition("/")
        if method == "GET":
            held = change.resources.get(key) or self._held.get(key)
            if held is None or held.deleted:
                status = 410 if held else 404
                text = f"Resource was deleted at {_when(0)}" if held else f"HAPI-2001: Resource {key} is not known"
                issue = {"severity": "error", "code": "exception", "diagnostics": text}
                outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
                return {"response": {"status": _STATUS[status], "outcome": outcome}}  # 127, 128
            return {"resource": held.whole(), "response": {"status": "200 OK"}}
        if method == "DELETE":
            status, outcome = self._stage_delete(change, kind, id)
            status = 204
        else:
            if_match = entry["request"].get("ifMatch")
            status, outcome = self._stage_put(change, kind, id, entry["resource"], if_match, names=names)
        response: dict[str, Any] = {"status": _STATUS[status], "outcome": outcome}
        if key in change.resources or key in self._held:
            version = (change.resources.get(key) or self._held[key]).version
            response |= {"location": f"{key}/_history/{version}", "etag": str(version)}
            if any(row["id"] == key for row in change.log[-1:]):
                response["lastModified"] = _when(version)
        return {"response": response}

    # ------------------------------------------------------------ staging and commit

    def _stage_put(
        self,
        change: _Change,
        kind: str,
        id: str,
        resource: dict[str, Any],
        if_match: str | None,
        *,
        names: Mapping[str, str] | None = None,
        assigned: bool = False,
    ) -> tuple[int, dict[str, Any]]:
        key = f"{kind}/{id}"
        if resource["resourceType"] != kind:
            found = f'expected "{kind}" but found "{resource["resourceType"]}"'
            raise Refused(400, f"{UNPARSED} HAPI-1814: Incorrect resource type found, {found}")  # 25
        if "id" not in resource:
            text = "Can not update resource, resource body must contain an ID element for update (PUT) operation"
            raise Refused(400, f"HAPI-0419: {text}")  # 24
        if resource["id"] != id:
            text = (
                "Can not update resource, resource body must contain an ID element which matches the request URL for "
                f'update (PUT) operation - Resource body ID of "{resource["id"]}" does not match URL ID of "{id}"'
            )
            raise Refused(400, f"HAPI-0420: {text}")  # 23
        if not ID.fullmatch(id):
            # 20-22
            raise Refused(400, f"HAPI-0521: Can not process entity with ID[{id}], this is not a valid FHIR ID")
        held = change.resources.get(key) or self._held.get(key)
        if id.isdigit() and held is None and not assigned and not self.lenient:
            text = (
                "no resource with this ID exists and clients may only assign IDs which contain at least one "
                "non-numeric character"
            )
            raise Refused(400, f"HAPI-0960: Can not create resource with ID[{id}], {text}")  # 19
        if if_match and held:
            named = _IF_MATCH.fullmatch(if_match)
            if named is None:
                raise Refused(500, f'HAPI-2223: For input string: "{if_match}"')  # 72
            if named[2] != str(held.version):
                text = f"Trying to update {key}/_history/{named[2]} but this is not the current version"
                raise Refused(self.stale, f"HAPI-0550: HAPI-0989: {text}")  # 69, 73
        content = stored({name: value for name, value in resource.items() if name != "meta"})
        refers = frozenset(references(content))
        if names and not refers.isdisjoint(names):
            content = _renamed(content, names)
            refers = frozenset(references(content))
        canonical = orjson.dumps(content, _as_written, orjson.OPT_SORT_KEYS)
        if _PADDED.search(canonical):
            content = orjson.loads(canonical)
        labels = _merged(held.labels if held else {}, resource.get("meta") or {})
        # 143: kept when it is created; 06-08: later ones are ignored.
        source = held.source if held else (resource.get("meta") or {}).get("source")
        if held and not held.deleted and held.canonical == canonical and held.labels == labels:
            text = f'Successfully updated resource "{key}/_history/{held.version}" with no changes detected.'
            return 200, _storage("SUCCESSFUL_UPDATE_NO_CHANGE", text)  # 03, 05, 12
        version = held.version + 1 if held else 1
        if held and held.deleted and names is None:
            version += 1  # 48: revived by a request of its own there is a gap; by a transaction (50) there is none
        change.resources[key] = _Resource(version, content, canonical, labels, refers, source)
        created = held is None or held.deleted
        change.log.append({"op": "create" if created else "update", "id": key, "version": version})
        if created:
            how = "using update as create (ie. create with client assigned ID)."
            text = f'Successfully created resource "{key}/_history/{version}" {how}'
            return 201, _storage("SUCCESSFUL_UPDATE_AS_CREATE", text)  # 02, 48
        return 200, _storage("SUCCESSFUL_UPDATE", f'Successfully updated resource "{key}/_history/{version}".')  # 04

    def _stage_delete(self, change: _Change, kind: str, id: str) -> tuple[int, dict[str, Any]]:
        key = f"{kind}/{id}"
        held = change.resources.get(key) or self._held.get(key)
        if held is None:
            return 200, _storage("SUCCESSFUL_DELETE_NOT_FOUND", f"Not deleted, resource {key} does not exist.")  # 45
        if held.deleted:
            text = f"Not deleted, resource {key}/_history/{held.version} was already deleted."
            return 200, _storage("SUCCESSFUL_DELETE_ALREADY_DELETED", text)  # 44
        change.resources[key] = _Resource(
            held.version + 1, held.content, b"", {}, frozenset(), held.source, deleted=True
        )
        change.log.append({"op": "delete", "id": key, "version": held.version + 1})
        return 200, _storage("SUCCESSFUL_DELETE", "Successfully deleted 1 resource(s).")

    def _check_references(self, change: _Change, *, alone: bool = False) -> None:
        """``alone``: of a single request; the path is then told as that of a search parameter (27 against 28)."""
        for key, resource in list(change.resources.items()):
            for target in resource.refers:
                kind, name = key.partition("/")[0], _path_to(resource.content, target)
                path = f"{kind}.{name}"
                told = _search_path(path, target) if alone else path
                if target.startswith("urn:"):
                    where = f"found in element named '{name}' within resource of type: {kind}"
                    raise Refused(400, f"HAPI-0541: Unable to satisfy placeholder ID {target} {where}")  # 36
                if "?" in target:
                    raise Refused(501, "not simulated: conditional references")
                if "://" in target and self.lenient:
                    continue  # 164
                if "://" in target:
                    text = f'Resource contains external reference to URL "{target}" but this server is not configured'
                    raise Refused(400, f"HAPI-0507: {text} to allow external references")  # 31
                there = change.resources.get(target) or self._held.get(target)
                if there is None and self.lenient:
                    self._make_up(change, target)
                elif there is None:
                    raise Refused(400, f"HAPI-1094: Resource {target} not found, specified in path: {told}")  # 27, 28
                elif there.deleted:
                    raise Refused(400, f"HAPI-1096: Resource {target} is deleted, specified in path: {told}")  # 47
                if target.partition("/")[0] not in TARGETS.get(path, TYPES):
                    wrong = target.partition("/")[0]
                    text = (
                        f"Invalid reference found at path '{path}'. Resource type '{wrong}' is not valid for this path"
                    )
                    raise Refused(422, f"HAPI-0931: {text}")  # 37
            if resource.deleted:
                for source in self._referrers.get(key, ()):
                    now = change.resources.get(source)
                    if now is None or key in now.refers:
                        text = f"Unable to delete {key} because at least one resource has a reference to this resource."
                        path = f"{source.partition('/')[0]}.{_path_to(self._held[source].content, key)}"
                        first = f"First reference found was resource {source} in path {_search_path(path, key)}"
                        raise Refused(409, f"{text} {first}")  # 40

    def _make_up(self, change: _Change, key: str) -> None:
        """An empty resource where a reference leads to none (163)."""
        kind, _, id = key.partition("/")
        content = {"resourceType": kind, "id": id, "extension": [{"url": _PLACEHOLDER, "valueBoolean": True}]}
        change.resources[key] = _Resource(1, content, b"", {}, frozenset(), None)
        change.log.append({"op": "create", "id": key, "version": 1})

    def _commit(self, change: _Change) -> None:
        for key, resource in change.resources.items():
            before = self._held.get(key)
            for target in before.refers - resource.refers if before else ():
                self._referrers[target].pop(key)
            for target in resource.refers:
                self._referrers.setdefault(target, {}).setdefault(key)
            self._held[key] = resource
        for row in change.log:
            self.plane.applied(row)


_STATUS = {
    200: "200 OK",
    201: "201 Created",
    204: "204 No Content",
    400: "400 Bad Request",
    404: "404 Not Found",
    409: "409 Conflict",
    410: "410 Gone",
    412: "412 Precondition Failed",
    422: "422 Unprocessable Entity",
    501: "501 Not Implemented",
}


def _capabilities(bundles: Sequence[str], resource: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "kind": "instance",
        "software": {"name": "HAPI FHIR Server", "version": "8.8.0"},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "interaction": [{"code": kind} for kind in (*bundles, "search-system")],
                "resource": [{"type": kind, "updateCreate": True, **resource} for kind in sorted(TYPES)],
            }
        ],
    }


def _request(index: int, entry: dict[str, Any]) -> tuple[str, str]:
    """Method and ``Type/id`` of a bundle entry. Raises Refused as HAPI does."""
    request = entry.get("request") or {}
    method, url = request.get("method"), request.get("url", "")
    if method not in ("GET", "PUT", "POST", "DELETE"):
        where = f"Bundle.entry({index}).request.method"
        text = f'Transaction bundle entry has missing or invalid HTTP Verb specified in {where}. Found value: "null"'
        raise Refused(400, f"HAPI-0529: {text}")  # 96
    if "://" in url:
        raise Refused(400, f"HAPI-2006: Unable to perform {method}, URL provided is invalid: {url}")  # 99
    url = url.removesuffix("?_elements=id")  # 128
    if method == "POST" or "?" in url:
        raise Refused(501, "not simulated: POST and conditional requests in a bundle")
    kind, _, id = url.partition("/")
    if not id:
        raise Refused(400, f"HAPI-0518: Invalid match URL[{kind}?{kind}] - URL has no search parameters")  # 98
    if kind not in TYPES:
        raise Refused(400, f"HAPI-0302: Unknown resource type '{kind}'")
    return method, url


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The content with references to a fullUrl of the bundle made relative (34, 35)."""
    if isinstance(value, dict):
        return {
            name: names.get(inner, inner)
            if name == "reference" and isinstance(inner, str)
            else _renamed(inner, names)
            if isinstance(inner, dict | list)
            else inner
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    return value


def _search_path(path: str, target: str) -> str:
    """As the search parameter ``patient`` of that type says it (27, 40)."""
    patient = target.startswith("Patient/") and path.endswith(".subject")
    return f"{path}.where(resolve() is Patient)" if patient else path


def _path_to(content: dict[str, Any], target: str) -> str:
    return next((name for name, value in content.items() if target in references({name: value})), "?")


def _merged(held: dict[str, list[Any]], meta: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Labels accumulate; a PUT without one does not remove it (09-11)."""
    labels = dict(held)
    for name in ("tag", "security", "profile"):
        for label in meta.get(name) or ():
            if label not in labels.get(name, []):
                labels[name] = [*labels.get(name, []), label]
    return labels


def _identified(content: dict[str, Any], system: str | None, value: str) -> bool:
    identifiers = content.get("identifier") or []
    if isinstance(identifiers, dict):
        identifiers = [identifiers]
    return any(i.get("value") == value and (system is None or i.get("system") == system) for i in identifiers)


#: The words with each storage code (02-04, 41, 44, 45).
_DISPLAYS = {
    "SUCCESSFUL_UPDATE": "Update succeeded.",
    "SUCCESSFUL_UPDATE_AS_CREATE": "Update as create succeeded.",
    "SUCCESSFUL_UPDATE_NO_CHANGE": "Update succeeded: No changes were detected so no action was taken.",
    "SUCCESSFUL_DELETE": "Delete succeeded.",
    "SUCCESSFUL_DELETE_ALREADY_DELETED": "Delete succeeded: Resource was already deleted so no action was taken.",
    "SUCCESSFUL_DELETE_NOT_FOUND": "Delete succeeded: No existing resource was found so no action was taken.",
}


def _storage(code: str, text: str) -> dict[str, Any]:
    details = {"coding": [{"system": _STORAGE_CODES, "code": code, "display": _DISPLAYS[code]}]}
    issue = {"severity": "information", "code": "informational", "details": details, "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def _when(version: int) -> str:
    return f"2026-10-01T00:{version // 60 % 60:02}:{version % 60:02}.000+00:00"


def _outcome(status: int, text: str) -> Response:
    issue = {"severity": "error", "code": "processing", "diagnostics": text}
    return _json(status, {"resourceType": "OperationOutcome", "issue": [issue]})


def _json(status: int, document: Any, *, etag: int | None = None) -> Response:
    headers = {"etag": f'W/"{etag}"'} if etag else None
    return Response(orjson.dumps(document), status, headers, media_type="application/fhir+json;charset=UTF-8")
