"""An OpenMRS (platform 2.8 with webservices.rest, idgen, appointments, fhir2) for tests and the demo.

``OpenMRSSim(metadata, patients, plane, profile="o3", staff=None)``; ``.app`` is the ASGI app under ``/openmrs``,
``.state()`` what it holds, ``.reset()`` the beginning again. It behaves as a running server did: rules cite
recordings/openmrs-2.8 by number.

*metadata*: plain data, see ``openmrs_metadata.default_metadata(clinics)``. Further optional keys: ``"now"`` (ISO
instant: the server's clock stands there; default the machine's clock), ``"charset": "utf8mb3"`` (refuses emoji).

*patients* the clinic already knows::

    {"uuid", "given", "family", "gender": "F"|"M"|"U", "birthdate": "YYYY-MM-DD"|None, "estimated"?: true,
     "identifiers": [{"type": <identifier type name or uuid>, "value", "location": <uuid>|None}]}

An "OpenMRS ID" is made when none is among the identifiers. ``voided: true`` makes a voided row.

*profile* ``platform2``: no appointments module; ``/appointments`` answers 404.

*staff(number)* is asked when an appointment is created (``platform2``: when a Community Referral encounter is) and
returns None or ``{"act": "completed|arrived|missed|cancelled|voided", "at": iso, "diagnosis": "CIEL:...",
"advice": "..."}``, which is done at once: completed -> status Completed and a Consultation encounter (obs: the
referral number, the diagnosis, the counter-referral note) · arrived -> CheckedIn · missed, cancelled -> that status ·
voided -> the referral's encounter is voided and its appointment Cancelled (REST has no way to void an appointment).

``state()``: ``{"patients": [{uuid, identifiers: [[type name, value]], name, gender, birthdate, voided}],
"encounters": [{uuid, patient, type, location, datetime (UTC, Z), voided, obs: [{concept, value}]}],
"appointments": [{uuid, number, patient, service, location, start (UTC, Z), status, comments, voided}]}``, sorted.
Values of obs are text; coded ones are the answer's uuid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector.sandbox import openmrs_encounters as encounters
from connector.sandbox import openmrs_fhir
from connector.sandbox import openmrs_metadata as meta
from connector.sandbox import openmrs_patients as patients
from connector.sandbox import openmrs_setup as setup
from connector.sandbox.openmrs_clinic import Clinic, appointment_body, service_body
from connector.sandbox.openmrs_login import Accounts, may, require, session_body
from connector.sandbox.openmrs_rows import Rows, find
from connector.sandbox.openmrs_shapes import (
    Json,
    Refused,
    error,
    invalid,
    listed,
    not_found,
    page,
    represent,
    view_of,
    write_date,
    wrong_method,
)
from connector.sandbox.plane import App, Plane

#: With their versions (067).
_MODULES = {
    "webservices.rest": "3.4.1.local", "fhir2": "4.2.0", "idgen": "5.0.4", "appointments": "2.1.0", "queue": "3.0.0",
    "teleconsultation": "2.0.0",
}  # fmt: skip
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_REST = "/openmrs/ws/rest/v1"
_FHIR = "/openmrs/ws/fhir2/R4"
_FHIR_JSON = "application/fhir+json;charset=UTF-8"

_PLURAL = {"encounter": "Encounters", "obs": "Observations"}
Staff = Callable[[str], Mapping[str, Any] | None]


class OpenMRSSim:
    """One server; see the module's own words for the shapes."""

    def __init__(
        self,
        metadata: Mapping[str, Any],
        patients: list[dict[str, Any]],
        plane: Plane,
        profile: str = "o3",
        staff: Staff | None = None,
    ) -> None:
        if profile not in ("o3", "platform2"):
            raise ValueError(f"unknown profile {profile}")
        self.metadata, self.known, self.plane, self.profile, self.staff = metadata, patients, plane, profile, staff
        self.modules = [
            m for m in _MODULES if profile == "o3" or m not in ("appointments", "queue", "teleconsultation")
        ]
        self.reset()
        inner = Starlette(routes=[Route("/{path:path}", self._serve, methods=_METHODS)])
        self.app: App = plane.wrap(
            inner,
            state=self.state,
            reset=self.reset,
            extra_routes={"people": self.people},
        )

    def reset(self) -> None:
        self.rows = Rows(self.metadata, self._now)
        self.clinic = Clinic(self.rows, self.staff)
        self.accounts = Accounts(self.metadata["users"], self.plane.clock)
        for patient in self.known:
            self._known_patient(patient)

    def state(self) -> Json:
        return {"profile": self.profile, **self.rows.state()}

    def people(self, order: Mapping[str, Any]) -> Json:
        """``POST /_sandbox/people``: what the clinic's people do, see ``Clinic.act``; ``{"act": "restart"}`` makes
        every session stale."""
        if order["act"] == "restart":
            self.expire_sessions()
            return {"sessions": 0}
        done = self.clinic.act(order)
        self.plane.applied({"what": "people", **{k: order[k] for k in ("act", "number", "patient") if k in order}})
        return done

    def expire_sessions(self) -> None:
        self.accounts.sessions.clear()

    def _now(self) -> datetime:
        fixed = self.metadata.get("now")
        return datetime.fromisoformat(fixed).astimezone(UTC) if fixed else datetime.now(UTC)

    def _known_patient(self, patient: Mapping[str, Any]) -> None:
        rows = self.rows
        identifiers: list[Json] = []
        for item in patient.get("identifiers") or []:
            kind = rows.by_uuid_or_name(rows.identifier_types, item["type"])
            if kind is None:
                raise ValueError(f"unknown identifier type {item['type']}")
            location = rows.locations.get(item.get("location") or "")
            identifiers.append(rows.new_identifier(item["value"], kind, location, not identifiers, None))
        openmrs_id = rows.identifier_types[meta.OPENMRS_ID]
        if all(i["identifierType"] is not openmrs_id for i in identifiers):
            value = rows.next_identifier(next(iter(rows.idgen)))
            identifiers.append(rows.new_identifier(value, openmrs_id, None, not identifiers, None))
        born = patient.get("birthdate")
        person = {
            "names": [{"givenName": patient.get("given"), "familyName": patient.get("family"), "preferred": True}],
            "gender": patient.get("gender", "U"),
            "birthdate": born and datetime.fromisoformat(born).replace(tzinfo=rows.zone),
            "birthdateEstimated": bool(patient.get("estimated")),
        }
        row = rows.new_patient(patient.get("uuid"), person, identifiers)
        if patient.get("voided"):
            rows.void(row, "entered in error")

    # ------------------------------------------------------------ one request

    async def _serve(self, request: Request) -> Response:
        path = request.url.path
        headers: dict[str, str] = {}
        try:
            if path.startswith(_FHIR):
                return self._fhir(request, path, headers)
            if not path.startswith(_REST):
                return _web(404, page(404, "Not Found", path))
            stale = self.accounts.stale(request)
            user = None
            try:
                user = self.accounts.login(request)
            finally:  # 047: also with credentials that cannot be read
                if cookie := self.accounts.session(request, user):
                    headers["set-cookie"] = cookie
            try:
                answer = await self._rest(request, user, [p for p in path[len(_REST) :].split("/") if p])
            except Refused:
                if stale:
                    raise Refused(401, page(401, "Unauthorized", "Session timed out")) from None
                raise
            if stale:
                # 388, 389: the filter says 401 and lets the request through all the same.
                raise Refused(401, page(401, "Unauthorized", "Session timed out"))
            return _json(*answer, headers)
        except Refused as refused:
            if isinstance(refused.body, str) and refused.body.startswith("<"):
                return _web(refused.status, refused.body, {**headers, **refused.headers})
            return _json(refused.status, refused.body, {**headers, **refused.headers})

    async def _rest(self, request: Request, user: Json | None, path: list[str]) -> tuple[int, Any]:
        method = "GET" if request.method == "HEAD" else request.method
        query = dict(request.query_params)
        if method in ("PUT", "PATCH"):
            return 200, wrong_method(method)  # 182, 183, 414
        body = await _body(request) if method == "POST" else {}
        base = f"{request.url.scheme}://{request.url.netloc}{_REST}"
        match method, path:
            case "GET", ["session"]:
                return 200, session_body(user)  # 036-038: never 401
            case "GET", ["patient", *rest_of]:
                require(user, "Get Patients")
                return 200, self._patient_view(rest_of, query, base)
            case "POST", ["patient"]:
                patients.check_patient_body(body)  # 043: before the login
                require(user, "Add Patients,Edit Patients")  # 060
                row = await patients.create_patient(self.rows, body)
                self.plane.applied({"what": "patient", "uuid": row["uuid"]})
                answer = represent(row, "default", base)  # 079: 201 without Location
                if born := row["person"].get("born"):  # 104, 106: here with its time, midnight in every later read
                    answer["person"]["birthdate"] = write_date(born, self.rows.zone)
                return 201, answer
            case "POST", ["patient", uuid, "identifier"]:
                require(user, "Add Patient Identifiers")
                row = await patients.add_identifier(self.rows, patients.patient(self.rows, uuid), body)
                self.plane.applied({"what": "identifier", "patient": uuid})
                return 201, represent(row, "default", base)
            case "POST", ["patient", uuid]:
                require(user, "Edit Patients")
                row = patients.patient(self.rows, uuid)
                patients.check_patient_names(body)
                if row["voided"]:
                    name = (
                        "Person.shouldHaveAtleastOneNonVoidedName",
                        "Person must have at least one non-deleted name",
                    )
                    raise invalid(general=["Select a preferred identifier"], names=name)  # 194: no way back
                return 200, represent(row, "default", base)
            case "POST", ["idgen", "identifiersource", source, "identifier"]:
                require(user, "Edit Patient Identifiers")  # 073
                if source not in self.rows.idgen:
                    why = 'Cannot invoke "org.openmrs.module.idgen.IdentifierSource.getId()" because "source" is null'
                    raise Refused(500, error(f"[{why}]", "BaseIdentifierSourceService:167"))  # 075
                return 201, {"identifier": self.rows.next_identifier(source)}  # 070
            case "POST", ["encounter"]:
                encounters.check_encounter_body(body)
                require(user, "Edit Encounters,Add Encounters")  # 753
                row = encounters.create_encounter(self.rows, body)
                self.plane.applied({"what": "encounter", "uuid": row["uuid"]})
                answer = represent(row, "default", base)
                self._referred(row)
                return 201, answer
            case "POST", ["encounter", uuid]:
                require(user, "Edit Encounters")
                encounters.encounter(self.rows, uuid, 115)
                row = encounters.update_encounter(self.rows, find(self.rows.encounters, uuid) or {}, body)
                self.plane.applied({"what": "encounter edited", "uuid": uuid})
                return 200, represent(row, "default", base)
            case "GET", ["encounter"]:
                require(user, "Get Encounters")
                return 200, listed(encounters.search_encounters(self.rows, query), query, base)
            case "GET", ["encounter", uuid]:
                require(user, "Get Encounters")
                return 200, represent(encounters.encounter(self.rows, uuid), view_of(query), base)
            case "POST", ["obs"]:
                require(user, "Add Observations")
                row = encounters.create_obs(self.rows, body)
                self.plane.applied({"what": "obs", "uuid": row["uuid"]})
                return 201, represent(row, "default", base)
            case "GET", ["obs"]:
                require(user, "Get Observations")
                return 200, listed(encounters.search_obs(self.rows, query), query, base)
            case "GET", ["obs", uuid]:
                require(user, "Get Observations")
                if uuid not in self.rows.obs:
                    raise not_found()
                return 200, represent(self.rows.obs[uuid], view_of(query), base)
            case "DELETE", [("patient" | "encounter" | "obs") as kind, uuid]:
                # 731, 732: to void an encounter is to edit it, a patient is deleted.
                require(user, "Delete Patients" if kind == "patient" else f"Edit {_PLURAL[kind]}")
                return self._void(kind, uuid, query)
            case "GET", ["module"]:
                rows = [
                    {"moduleId": m, "version": _MODULES[m], "started": True, "resourceVersion": "1.8"}
                    for m in self.modules
                ]
                return 200, {"results": rows}
            case "POST", [kind] if kind in setup.KINDS:
                require(user, setup.KINDS[kind])
                row = setup.make(self.rows, kind, body)
                self.plane.applied({"what": kind, "uuid": row["uuid"]})
                if kind == "appointmentService":
                    return 200, {**service_body(row), "weeklyAvailability": [], "serviceTypes": []}  # 633
                shown = represent(row, "default", base)
                return 201, {**shown, "tags": None, "childLocations": None} if kind == "location" else shown  # 001
            case "GET", ["person", uuid] if uuid in self.rows.people:
                require(user, "Get People")
                return 200, represent(self.rows.people[uuid], view_of(query), base)
            case _, [("appointment" | "appointments" | "appointmentService") as kind, *rest_of]:
                if self.profile == "o3":
                    return self._appointments(user, method, kind, rest_of, query if method == "DELETE" else body)
            case "DELETE", [kind, uuid] if uuid in (retired := self._tables().get(kind, {})) and "purge" not in query:
                require(user, setup.KINDS.get(kind, "Manage Concepts"))
                retired[uuid]["retired"] = True  # 218
                self.plane.applied({"what": f"{kind} retired", "uuid": uuid})
                return 204, None
            case "GET", ["idgen", "identifiersource"]:  # 068
                require(user, "Edit Patient Identifiers")
                sources = [setup.source_row(self.rows, one) for one in self.rows.idgen.values()]
                return 200, {"results": [represent(one, "default", base) for one in sources]}
            case "GET", ["idgen", "identifiersource", source]:
                require(user, "Edit Patient Identifiers")
                if source not in self.rows.idgen:
                    raise not_found()
                return 200, represent(setup.source_row(self.rows, self.rows.idgen[source]), "default", base)
            case "POST", ["idgen", "identifiersource"]:
                require(user, "Manage Identifier Sources")
                made = setup.make_source(self.rows, body)
                self.plane.applied({"what": "identifiersource", "uuid": made["uuid"]})
                return 201, represent(setup.source_row(self.rows, made), "default", base)  # 006
            case "POST", ["role", uuid] if uuid in self.rows.user_roles:
                require(user, "Manage Roles")
                row = setup.change_role(self.rows, self.rows.user_roles[uuid], body)
                self.plane.applied({"what": "role changed", "uuid": uuid})
                return 200, represent(row, "default", base)  # 842
            case "POST", ["user", uuid]:
                require(user, "Edit Users")
                roles = [self.rows.user_roles[one] for one in body.get("roles") or [] if one in self.rows.user_roles]
                given = self.accounts.give(uuid, roles)
                if given is None:
                    raise not_found()
                self.plane.applied({"what": "roles of a user", "uuid": uuid})
                return 200, {**session_body(given)["user"], "retired": False}  # 840
            case "POST", ["concept", uuid, "mapping"] if uuid in self.rows.concepts:
                require(user, "Manage Concepts")
                row = setup.map_concept(self.rows, self.rows.concepts[uuid], body)
                self.plane.applied({"what": "mapping", "concept": uuid})
                return 201, {k: row[k] for k in ("uuid", "display")}
            case "GET", ["conceptreferenceterm"] if "codeOrName" in query:
                require(user, setup.READING["conceptreferenceterm"])
                found = [
                    one
                    for one in self.rows.concept_terms.values()
                    if query["codeOrName"] in (one["code"], one["name"])
                    and query.get("source") in (one["conceptSource"]["uuid"], one["conceptSource"]["name"])
                ]
                return 200, listed(found, query, base)
            case "GET", [kind, *rest_of] if (table := self._tables().get(kind)) is not None:
                if kind != "location" or user is None:  # 061: locations are for all who are logged in
                    require(user, setup.READING[kind])
                return 200, self._metadata_view(kind, table, rest_of, query, base)
        known = f"v1/{'/'.join(path)}"
        text = (
            f"Resource does not exist. Please check documentation for implemented resources [Unknown resource: {known}]"
        )
        raise Refused(404, error(text, "RestServiceImpl:427", raw=f"Unknown resource: {known}"))  # 410

    # ------------------------------------------------------------ parts of it

    def _patient_view(self, path: list[str], query: Mapping[str, str], base: str) -> Any:
        if not path:
            return listed(patients.search_patients(self.rows, query), query, base)
        row = patients.patient(self.rows, path[0])
        shown = {**row, "identifiers": [i for i in row["identifiers"] if not i["voided"]]}
        if path[1:] == ["identifier"]:
            return {"results": represent(shown["identifiers"], view_of(query), base)}
        return represent(shown, view_of(query), base)

    def _void(self, kind: str, uuid: str, query: Mapping[str, str]) -> tuple[int, Any]:
        table = {"patient": self.rows.patients, "encounter": self.rows.encounters, "obs": self.rows.obs}[kind]
        if uuid not in table:
            raise not_found(line=80)
        if "purge" in query:
            raise Refused(
                500,
                error(
                    "[could not execute statement => Cannot delete or update a parent row: a foreign "
                    "key constraint fails]",
                    "SQLExceptionTypeDelegate:59",
                ),
            )  # 198, 331
        row = table[uuid]
        if kind == "obs":
            row["voided"] = True
        else:
            self.rows.void(row, query.get("reason", ""))
        self.plane.applied({"what": f"{kind} voided", "uuid": uuid})
        return 204, None  # 184, 186, 321, 323: again and again

    def _appointments(self, user: Json | None, method: str, kind: str, path: list[str], body: Json) -> tuple[int, Any]:
        # 679, 681, 682: writing without login or privilege is 400, not 401 or 403.
        if kind == "appointmentService":
            require(user, "View Appointment Services,Manage Appointment Services")
            if method == "DELETE" and not path:  # as the module's source has it, not recorded
                if self.rows.services.pop(body.get("uuid", ""), None) is None:
                    raise not_found()
                self.plane.applied({"what": "appointment service removed", "uuid": body["uuid"]})
                return 200, None
            if path != ["all", "default"]:
                raise not_found()
            return 200, [service_body(service) for service in self.rows.services.values()]
        match method, path:
            case "POST", ["search"]:
                require(user, "View Appointments")
                return 200, self.clinic.search(body)
            case "POST", [uuid, "status-change"]:
                require(user, "Manage Appointments", as_400=True)
                answer = self.clinic.change_status(uuid, body)
                self.plane.applied({"what": "appointment status", "uuid": uuid, "status": answer["status"]})
                return 200, answer
            case "POST", []:
                require(user, "Manage Own Appointments,Manage Appointments", as_400=True)
                require(user, "View Appointment Services,Manage Appointment Services", as_400=True)
                if kind == "appointment" and body.get("uuid"):
                    return 200, self.clinic.update(body)
                answer = self.clinic.create(body)
                self.plane.applied(
                    {"what": "appointment", "uuid": answer["uuid"], "number": answer["appointmentNumber"]}
                )
                return 200, answer  # 638: 200, not 201
            case "GET", [uuid]:
                require(user, "View Appointments")
                row = self.rows.appointments.get(uuid)
                if row is None:
                    raise Refused(404, None)  # 645: an empty body
                return 200, appointment_body(row)
        raise Refused(404, None)

    def _referred(self, encounter: Json) -> None:
        """On a server without appointments the staff sees the encounter."""
        if self.profile == "o3" or encounter["encounterType"]["uuid"] != meta.COMMUNITY_REFERRAL:
            return
        for obs in encounter["obs"]:
            if obs["concept"]["uuid"] == meta.REFERRAL_NUMBER:
                self.clinic.staff_decides(obs["value"], encounter["patient"])

    def _tables(self) -> dict[str, Mapping[str, Json]]:
        rows = self.rows
        return {
            "location": rows.locations, "encountertype": rows.encounter_types, "encounterrole": rows.roles,
            "patientidentifiertype": rows.identifier_types, "provider": rows.providers, "concept": rows.concepts,
            "conceptsource": rows.concept_sources, "conceptreferenceterm": rows.concept_terms,
            "conceptmaptype": rows.map_types, "role": rows.user_roles, "privilege": rows.privileges,
        }  # fmt: skip

    def _metadata_view(
        self, kind: str, table: Mapping[str, Json], path: list[str], query: Mapping[str, str], base: str
    ) -> Any:
        if not path:
            found = [row for row in table.values() if not row["retired"]]  # 415
            if kind == "concept" and "code" in query:
                one = self.rows.concept(f"{query.get('source', '')}:{query['code']}")
                found = [one] if one else []  # 207, 211, 212
            elif kind == "concept" and "references" in query:
                found = [c for ref in query["references"].split(",") if (c := self.rows.concept(ref))]  # 208
            elif "q" in query:
                found = [
                    r
                    for r in found
                    if any(str(r.get(at) or "").lower().startswith(query["q"].lower()) for at in ("name", "identifier"))
                ]  # 204, 205
            return listed(found, query, base)
        row = self.rows.concept(path[0]) if kind == "concept" else self.rows.by_uuid_or_name(table, path[0])
        if row is None:
            raise not_found()
        return represent(row, view_of(query), base)

    def _fhir(self, request: Request, path: str, headers: dict[str, str]) -> Response:
        parts = [p for p in path[len(_FHIR) :].split("/") if p]
        base = f"{request.url.scheme}://{request.url.netloc}{_FHIR}"
        if parts != ["metadata"]:
            user = self.accounts.login(request)  # 390: a stale cookie does not matter here
            if cookie := self.accounts.session(request, user):
                headers["set-cookie"] = cookie  # 591
            if user is None:
                raise Refused(401, page(401, "Unauthorized", "Not authenticated"))  # 044
            for privilege in openmrs_fhir.ASKED.get(parts[0] if parts else "", ("Get Patients",)):
                if not may(user, privilege):
                    refused = openmrs_fhir.denied(privilege)
                    return _json(refused.status, refused.body, headers, _FHIR_JSON)
        document = openmrs_fhir.answer(self.rows, request.method, parts, dict(request.query_params), base)
        return _json(200, document, headers, _FHIR_JSON)


async def _body(request: Request) -> Any:
    """Wrong content types are 500 or 415 with a page (398-401, 417); bad JSON is 400 (393)."""
    raw = await request.body()
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/xml" or request.headers.get("content-encoding") == "gzip":
        raise Refused(415, page(415, "Unsupported Media Type", f"Content-Type {kind} not supported"))
    if kind != "application/json":
        told = f"{kind};charset=UTF-8" if kind else "application/octet-stream"  # 398-400
        raise Refused(
            500, error(f"[Content type '{told}' not supported]", "AbstractMessageConverterMethodArgumentResolver:211")
        )
    if not raw:
        raise Refused(400, error("[Required request body is missing]", "RequestResponseBodyMethodProcessor:163"))  # 074
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Refused(
            400, error("[JSON parse error: Unexpected end-of-input]", "AbstractJackson2HttpMessageConverter:391")
        ) from None
    if not isinstance(body, dict):
        raise Refused(
            400,
            error(
                "[JSON parse error: Cannot deserialize value of type SimpleObject]",
                "AbstractJackson2HttpMessageConverter:391",
            ),
        )  # 395
    return body


def _json(status: int, body: Any, headers: Mapping[str, str], kind: str = "application/json;charset=UTF-8") -> Response:
    if body is None:
        return Response(b"", status, dict(headers))
    return Response(orjson.dumps(body), status, dict(headers), media_type=kind)


def _web(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(text, status, dict(headers or {}), media_type="text/html;charset=utf-8")
