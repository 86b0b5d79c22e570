"""A FHIR R4 server that answers like HAPI FHIR JPA 8.8.0 for what Relais does with it; anything else is 501.

Rules come from findings-fhir-server (numbers in comments) and the recordings of ``hapi-fhir-8.8``. Not simulated:
conditional create and update, patch, history, ``$validate``, the new version HAPI makes of ``39.10`` for ``39.1``.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector.sandbox.plane import App, Plane

_BASE = "/fhir"
_STORAGE_CODES = "https://hapifhir.io/fhir/CodeSystem/hapi-fhir-storage-response-code"
_ID = re.compile(r"[A-Za-z0-9.\-]{1,64}")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TYPES = _words(
    "AuditEvent Condition DiagnosticReport Encounter Group Immunization Location Measure MeasureReport Medication "
    "MedicationAdministration Observation Organization Patient Practitioner PractitionerRole Procedure Provenance "
    "Questionnaire QuestionnaireResponse RelatedPerson ServiceRequest Task"
)
#: Elements with minimum 1 (FHIR R4, StructureDefinition of each type).
_REQUIRED = {
    "Condition": ("subject",),
    "Encounter": ("status", "class"),
    "Group": ("type", "actual"),
    "MeasureReport": ("status", "type", "measure", "period"),
    "Observation": ("status", "code"),
    "Provenance": ("target", "recorded", "agent"),
    "QuestionnaireResponse": ("status",),
    "ServiceRequest": ("status", "intent", "subject"),
    "Task": ("status", "intent"),
}
#: Codes of required bindings (FHIR R4); a wrong one cannot even be parsed (79).
_ENUMS = {
    ("Patient", "gender"): {"male", "female", "other", "unknown"},
    ("Encounter", "status"): _words(
        "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown"
    ),
    ("Observation", "status"): _words(
        "registered preliminary final amended corrected cancelled entered-in-error unknown"
    ),
    ("ServiceRequest", "status"): _words("draft active on-hold revoked completed entered-in-error unknown"),
    ("ServiceRequest", "intent"): _words(
        "proposal plan directive order original-order reflex-order filler-order instance-order option"
    ),
    ("ServiceRequest", "priority"): {"routine", "urgent", "asap", "stat"},
    ("Task", "priority"): {"routine", "urgent", "asap", "stat"},
    ("Task", "status"): _words(
        "draft requested received accepted rejected ready cancelled in-progress on-hold failed completed "
        "entered-in-error"
    ),
    ("Task", "intent"): _words(
        "unknown proposal plan order original-order reflex-order filler-order instance-order option"
    ),
    ("Group", "type"): {"person", "animal", "practitioner", "device", "medication", "substance"},
    ("MeasureReport", "status"): {"complete", "pending", "error"},
    ("MeasureReport", "type"): {"individual", "subject-list", "summary", "data-collection"},
    ("QuestionnaireResponse", "status"): _words("in-progress completed amended entered-in-error stopped"),
}
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_DATE_TIME = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?)?)?")
_ZONELESS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")
_DATE_TIMES = {"effectiveDateTime", "authoredOn", "authored", "recordedDate", "onsetDateTime", "start", "end", "date"}
#: Class codes of v3-ActCode for encounters; ``outpatient`` is refused (153).
_CLASSES = {"AMB", "EMER", "FLD", "HH", "IMP", "ACUTE", "NONAC", "OBSENC", "PRENC", "SS", "VR"}


@dataclass(slots=True)
class _Resource:
    version: int
    content: dict[str, Any]  #: without meta
    canonical: bytes
    labels: dict[str, list[Any]]  #: meta.tag, meta.security, meta.profile: they accumulate (finding 2)
    refers: frozenset[str]
    deleted: bool = False

    def whole(self) -> dict[str, Any]:
        meta = {"versionId": str(self.version), "lastUpdated": _when(self.version), **self.labels}
        return {
            "resourceType": self.content["resourceType"],
            "id": self.content["id"],
            "meta": meta,
            **self.content,
        }


class _Refused(Exception):
    def __init__(self, status: int, diagnostics: str, issues: list[dict[str, Any]] | None = None) -> None:
        super().__init__(diagnostics)
        self.status = status
        self.issues = issues or [{"severity": "error", "code": "processing", "diagnostics": diagnostics}]


@dataclass(slots=True)
class _Change:
    """What a transaction will do, before it is certain that all of it can be done."""

    resources: dict[str, _Resource] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)


class FHIRSim:
    """``validating``: ``hapi.fhir.validation.requests_enabled`` (findings 12, 21). ``authorization``: the header value
    demanded, if any."""

    def __init__(self, plane: Plane, *, validating: bool = True, authorization: str | None = None) -> None:
        self.plane = plane
        self.validating = validating
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
        self._referrers: dict[str, set[str]] = {}
        self._searches: dict[str, tuple[float, bytes]] = {}
        self._next_id = 1000

    # ------------------------------------------------------------ routes

    async def _answer(self, request: Request) -> Response:
        if self.authorization and request.headers.get("authorization") != self.authorization:
            return _outcome(401, "HAPI-0333: Authentication required")
        path = request.url.path.removeprefix(_BASE).strip("/")
        method = request.method
        try:
            if not request.url.path.startswith(_BASE):
                raise _Refused(404, "HAPI-0000: no such path")
            if path == "metadata":
                return _json(200, _CAPABILITIES)
            if path == "" and method == "POST":
                return self._bundle(self._parsed(request, await request.body()))
            kind, _, id = path.partition("/")
            if kind not in _TYPES:
                raise _Refused(404, f"HAPI-0302: Unknown resource type '{kind}'")  # 88
            if "/" in id or id.startswith("$") or id.startswith("_"):
                return _outcome(501, f"not simulated: {path}")
            if method in ("GET", "HEAD"):
                return self._read(kind, id) if id else self._search(request, kind)
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
        except _Refused as refused:
            return _json(refused.status, {"resourceType": "OperationOutcome", "issue": refused.issues})

    def _parsed(self, request: Request, body: bytes) -> dict[str, Any]:
        kind = request.headers.get("content-type", "").split(";")[0]
        if kind not in ("application/fhir+json", "application/json"):
            raise _Refused(400, f'HAPI-0449: Incorrect Content-Type header value of "{kind}" was provided')  # 90
        if request.headers.get("content-encoding") == "gzip":  # 100
            body = gzip.decompress(body)
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise _Refused(400, f"{_UNPARSED} HAPI-1861: Failed to parse JSON encoded FHIR content") from error  # 76
        if not isinstance(document, dict) or "resourceType" not in document:
            missing = "HAPI-1838: Invalid JSON content detected, missing required element: 'resourceType'"
            raise _Refused(400, f"{_UNPARSED} {missing}")  # 89
        return document

    def _read(self, kind: str, id: str) -> Response:
        held = self._held.get(f"{kind}/{id}")
        if held is None:
            raise _Refused(404, f"HAPI-2001: Resource {kind}/{id} is not known")  # 43
        if held.deleted:
            return _outcome(410, f"Resource was deleted at {_when(held.version)}")  # 42
        return _json(200, held.whole(), etag=held.version)

    def _put(
        self, kind: str, id: str, resource: dict[str, Any], if_match: str | None, *, assigned: bool = False
    ) -> Response:
        _check_parses(resource)
        if self.validating and (issues := list(_invalid(resource, resource.get("resourceType", "")))):
            raise _Refused(422, "", issues)  # 148-151, 153
        change = _Change()
        status, _ = self._stage_put(change, kind, id, resource, if_match, assigned=assigned)
        self._check_references(change, suffix=True)
        self._commit(change)
        held = self._held[f"{kind}/{id}"]
        return _json(status, held.whole(), etag=held.version)

    def _delete(self, kind: str, id: str) -> Response:
        change = _Change()
        _, outcome = self._stage_delete(change, kind, id)
        self._check_references(change)
        self._commit(change)
        return _json(200, outcome)  # 44, 45

    def _search(self, request: Request, kind: str) -> Response:
        query = request.query_params
        if unknown := next((name for name in query if name not in ("identifier", "_id", "_count", "_summary")), None):
            known = "[_id, _lastUpdated, identifier]"
            raise _Refused(
                400, f'HAPI-0524: Unknown search parameter "{unknown}" for resource type "{kind}". Valid: {known}'
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
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
        if query.get("_summary") != "count":
            count = int(query.get("_count", "20"))
            shown = found[:count]
            bundle["entry"] = [{"fullUrl": f"{_BASE}/{key}", "resource": held.whole()} for key, held in shown]
        body = orjson.dumps(bundle)
        self._searches[url] = (now, body)
        return Response(body, media_type="application/fhir+json")

    # ------------------------------------------------------------ bundles

    def _bundle(self, bundle: dict[str, Any]) -> Response:
        if bundle["resourceType"] != "Bundle":
            raise _Refused(400, f'{_UNPARSED} HAPI-1814: Incorrect resource type found, expected "Bundle"')
        kind = bundle.get("type")
        if kind not in ("transaction", "batch"):
            raise _Refused(400, f"HAPI-0527: Unable to process transaction where incoming Bundle.type = {kind}")  # 97
        entries = bundle.get("entry") or []
        for entry in entries:
            if "resource" in entry:
                _check_parses(entry["resource"])  # 92, 93: the whole bundle, whatever its type
        if self.validating and (issues := list(_invalid_bundle(entries))):
            raise _Refused(422, "", issues)  # 156-158, 161, 167
        answers = self._transaction(entries) if kind == "transaction" else [self._batched(e) for e in entries]
        answer = {"resourceType": "Bundle", "id": "answer", "type": f"{kind}-response"}
        return _json(200, {**answer, "entry": answers} if answers else answer)  # 95

    def _transaction(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All or nothing; children may come before parents (02)."""
        requests = [_request(index, entry) for index, entry in enumerate(entries)]
        seen: set[str] = set()
        for method, key in requests:
            if method == "PUT" and key in seen:
                raise _Refused(400, f"HAPI-0535: Transaction bundle contains multiple resources with ID: {key}")  # 63
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
        except _Refused as refused:
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
            raise _Refused(400, f"{_UNPARSED} HAPI-1814: Incorrect resource type found, {found}")  # 25
        if "id" not in resource:
            text = "Can not update resource, resource body must contain an ID element for update (PUT) operation"
            raise _Refused(400, f"HAPI-0419: {text}")  # 24
        if resource["id"] != id:
            text = "Can not update resource, resource body must contain an ID element which matches the request URL"
            raise _Refused(400, f"HAPI-0420: {text}")  # 23
        if not _ID.fullmatch(id):
            # 20-22
            raise _Refused(400, f"HAPI-0521: Can not process entity with ID[{id}], this is not a valid FHIR ID")
        held = change.resources.get(key) or self._held.get(key)
        if id.isdigit() and held is None and not assigned:
            text = "clients may only assign IDs which contain at least one non-numeric character"
            raise _Refused(400, f"HAPI-0960: Can not create resource with ID[{id}], {text}")  # 19
        if if_match and held and if_match.strip('W/"') != str(held.version):
            text = f"Trying to update {key}/_history/{if_match.strip('W/')} but this is not the current version"
            raise _Refused(409, f"HAPI-0550: HAPI-0989: {text}")  # 69, 73
        content = {name: value for name, value in resource.items() if name != "meta"}
        refers = frozenset(_references(content))
        if names and not refers.isdisjoint(names):
            content = _renamed(content, names)
            refers = frozenset(_references(content))
        canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        labels = _merged(held.labels if held else {}, resource.get("meta") or {})
        if held and not held.deleted and held.canonical == canonical and held.labels == labels:
            text = f'Successfully updated resource "{key}/_history/{held.version}" with no changes detected.'
            return 200, _storage("SUCCESSFUL_UPDATE_NO_CHANGE", text)  # 03, 05, 12
        version = held.version + 1 if held else 1
        change.resources[key] = _Resource(version, content, canonical, labels, refers)
        created = held is None or held.deleted
        change.log.append({"op": "create" if created else "update", "id": key, "version": version})
        if created:
            text = f'Successfully created resource "{key}/_history/{version}" using update as create'
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
        change.resources[key] = _Resource(held.version + 1, held.content, b"", {}, frozenset(), deleted=True)
        change.log.append({"op": "delete", "id": key, "version": held.version + 1})
        return 200, _storage("SUCCESSFUL_DELETE", "Successfully deleted 1 resource(s).")

    def _check_references(self, change: _Change, *, suffix: bool = False) -> None:
        for key, resource in change.resources.items():
            for target in resource.refers:
                if "://" in target or target.startswith("urn:"):
                    text = f'Resource contains external reference to URL "{target}" but this server is not configured'
                    raise _Refused(400, f"HAPI-0507: {text} to allow external references")  # 31
                there = change.resources.get(target) or self._held.get(target)
                path = f"specified in path: {key.partition('/')[0]}.{_path_to(resource.content, target)}"
                if there is None:
                    raise _Refused(400, f"HAPI-1094: Resource {target} not found, {path}")  # 27, 28
                if there.deleted:
                    raise _Refused(400, f"HAPI-1096: Resource {target} is deleted, {path}")  # 47
            if resource.deleted:
                for source in self._referrers.get(key, ()):
                    now = change.resources.get(source)
                    if now is None or key in now.refers:
                        text = f"Unable to delete {key} because at least one resource has a reference to this resource."
                        raise _Refused(409, f"{text} First reference found was resource {source}")  # 40

    def _commit(self, change: _Change) -> None:
        for key, resource in change.resources.items():
            before = self._held.get(key)
            for target in before.refers if before else ():
                self._referrers[target].discard(key)
            for target in resource.refers:
                self._referrers.setdefault(target, set()).add(key)
            self._held[key] = resource
        for row in change.log:
            self.plane.applied(row)


_UNPARSED = "HAPI-0450: Failed to parse request body as JSON resource. Error was:"
_STATUS = {
    200: "200 OK",
    201: "201 Created",
    204: "204 No Content",
    400: "400 Bad Request",
    404: "404 Not Found",
    409: "409 Conflict",
    410: "410 Gone",
    422: "422 Unprocessable Entity",
    501: "501 Not Implemented",
}
_CAPABILITIES = {
    "resourceType": "CapabilityStatement",
    "status": "active",
    "kind": "instance",
    "software": {"name": "HAPI FHIR Server", "version": "8.8.0"},
    "fhirVersion": "4.0.1",
    "format": ["application/fhir+json", "json"],
    "rest": [
        {
            "mode": "server",
            "interaction": [{"code": "transaction"}, {"code": "batch"}],
            "resource": [{"type": kind, "updateCreate": True} for kind in sorted(_TYPES)],
        }
    ],
}


def _request(index: int, entry: dict[str, Any]) -> tuple[str, str]:
    """Method and ``Type/id`` of a bundle entry. Raises _Refused as HAPI does."""
    request = entry.get("request") or {}
    method, url = request.get("method"), request.get("url", "")
    if method not in ("GET", "PUT", "POST", "DELETE"):
        where = f"Bundle.entry({index}).request.method"
        text = f'Transaction bundle entry has missing or invalid HTTP Verb specified in {where}. Found value: "null"'
        raise _Refused(400, f"HAPI-0529: {text}")  # 96
    if "://" in url:
        raise _Refused(400, f"HAPI-2006: Unable to perform {method}, URL provided is invalid: {url}")  # 99
    if method == "POST" or "?" in url:
        raise _Refused(501, "not simulated: POST and conditional requests in a bundle")
    kind, _, id = url.partition("/")
    if not id:
        raise _Refused(400, f"HAPI-0518: Invalid match URL[{kind}?{kind}] - URL has no search parameters")  # 98
    if kind not in _TYPES:
        raise _Refused(400, f"HAPI-0302: Unknown resource type '{kind}'")
    return method, url


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "reference" and isinstance(inner, str):
                if not inner.startswith("#"):
                    yield inner
            elif isinstance(inner, dict | list):
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


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


def _path_to(content: dict[str, Any], target: str) -> str:
    return next((name for name, value in content.items() if target in _references({name: value})), "?")


def _merged(held: dict[str, list[Any]], meta: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Labels accumulate; a PUT without one does not remove it (09-11). meta.source is not kept (06-08)."""
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


def _check_parses(resource: Any) -> None:
    """What HAPI's parser refuses even without validation. Raises _Refused 400; never names the entry (92)."""
    if not isinstance(resource, dict) or "resourceType" not in resource:
        text = "HAPI-1838: Invalid JSON content detected, missing required element: 'resourceType'"
        raise _Refused(400, f"{_UNPARSED} {text}")
    kind = resource["resourceType"]
    for name, value in resource.items():
        codes = _ENUMS.get((kind, name))
        if codes is not None and value not in codes:
            text = f'[element="{name}"] Invalid attribute value "{value}": Unknown code \'{value}\''
            raise _Refused(400, f"{_UNPARSED} HAPI-1821: {text}")  # 79
        if name == "birthDate" and not (isinstance(value, str) and _DATE.fullmatch(value)):
            text = f'[element="birthDate"] Invalid attribute value "{value}": Invalid date/time format'
            raise _Refused(400, f"{_UNPARSED} HAPI-1821: {text}")  # 80
        readable = name not in _DATE_TIMES or not isinstance(value, str) or _DATE_TIME.fullmatch(value)
        if not readable and not _ZONELESS.fullmatch(value):
            text = f'[element="{name}"] Invalid attribute value "{value}": Invalid date/time format'
            raise _Refused(400, f"{_UNPARSED} HAPI-1821: {text}")


def _invalid(resource: dict[str, Any], place: str) -> Iterator[dict[str, Any]]:
    """Issues of severity error that a validating HAPI finds (148-153); an empty iterator is a valid resource."""
    kind = resource["resourceType"]
    for name in _REQUIRED.get(kind, ()):
        if name not in resource:
            yield _issue(f"{kind}.{name}: minimum required = 1, but only found 0", place)
    kind_of_visit = resource.get("class") if kind == "Encounter" else None
    if kind_of_visit and "v3-ActCode" in kind_of_visit.get("system", "") and kind_of_visit.get("code") not in _CLASSES:
        yield _issue(f"Unknown code '{kind_of_visit.get('code')}' in the CodeSystem v3-ActCode", f"{place}.class")  # 153
    yield from _invalid_values(resource, place)


def _invalid_values(value: Any, place: str) -> Iterator[dict[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in items:
        here = f"{place}[{name}]" if isinstance(name, int) else f"{place}.{name}"
        if inner is None or inner == "" or inner == {} or inner == []:
            yield _issue("Object must have some content", here)  # 86, 87 when validated
        elif isinstance(inner, dict | list):
            yield from _invalid_values(inner, here)
        elif name in _DATE_TIMES and isinstance(inner, str) and not _DATE_TIME.fullmatch(inner):
            yield _issue("if a date has a time, it must have a timezone", here)  # 150
        elif name == "valueInteger" and type(inner) is not int:
            yield _issue("Error parsing JSON: the primitive value must be a number", here)
        elif name == "value" and place.endswith("Quantity") and isinstance(inner, str):
            yield _issue("Error parsing JSON: the primitive value must be a number", here)  # 151
        elif name == "valueBoolean" and type(inner) is not bool:
            yield _issue("Error parsing JSON: the primitive value must be a boolean", here)


def _invalid_bundle(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    urls: set[str] = set()
    for index, entry in enumerate(entries):
        place = f"Bundle.entry[{index}]"
        url = entry.get("fullUrl")
        if url in urls:
            yield _issue("Constraint failed: bdl-7: 'FullUrl must be unique in a bundle'", "Bundle")  # 161
        if url:
            urls.add(url)
        resource = entry.get("resource")
        if resource is None:
            continue
        name = f"{resource['resourceType']}/{resource.get('id')}"
        if url and "://" in url and not url.endswith(f"/{name}"):
            text = f"The fullUrl '{url}' looks like a RESTful server URL, so it must end with the correct type and id"
            yield _issue(f"{text} (/{name})", place)  # 161
        inside = f"{place}.resource/*{name}*/"
        if not url and any("://" not in target for target in _references(resource)):
            yield _issue("Bundle entry missing fullUrl", place)  # 158
            yield _issue("Relative Reference appears inside Bundle whose entry is missing a fullUrl", inside)
        yield from _invalid(resource, inside)


def _issue(text: str, place: str) -> dict[str, Any]:
    return {
        "severity": "error",
        "code": "processing",
        "diagnostics": text,
        "location": [place],
        "expression": [place],
    }


def _storage(code: str, text: str) -> dict[str, Any]:
    details = {"coding": [{"system": _STORAGE_CODES, "code": code}]}
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
