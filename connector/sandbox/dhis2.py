"""A DHIS2 that answers as a running one did: values, completions, metadata look-ups, log-in.

Profile ``legacy`` is 2.42.5, profile ``v43`` is 2.43.1, whose importer is another program: ``dhis2_import`` and
``dhis2_v43`` are what differs, everything else is the same in both. Every rule cites the recording it was taken from
(``recordings/dhis2-2.42/NNN-name.json``) or a row of ``findings-dhis2.md``; ``make truth`` compares.

``DHIS2Sim(metadata, values, plane)`` takes plain data only. **metadata** is one dict; all lists may be empty, codes
are unique within their list, ids are DHIS2 UIDs (11 characters), references between lists are CODES:

``today``                 "2026-10-05": the server's date; decides future (E7641) and expired (E7640) periods. Required.
``users``                 [{username, password?, token? ("d2p_…"), expires?, id, orgUnits: [code], disabled?: false,
                          tokensExpired?, tokensDeleted?: ["d2p_…"], authorities: ["F_DATAVALUE_ADD"]}];
                          orgUnits = capture hierarchy (the unit and everything under it);
                          authorities may hold ALL (superuser), F_EDIT_EXPIRED.
``orgUnits``              [{code, id, name, parent: code | None, opening: "2015-01-01", closed: None | "2025-06-30"}];
                          path and level are made from ``parent``.
``categoryOptions``, ``categories``  [{code, id, name}], with ``options: [code]`` for a category; without them they are
                          read off the combinations.
``categoryCombos``        [{code, id, name, categories?: [code], options?: [[option code, ...], ...]}]; one list of
                          options per category. ``default`` (bjDvmb4bfuf) is added when missing.
``categoryOptionCombos``  [{code, id, name, categoryCombo: code, options?: [code]}]; ``default`` (HllvX50cXC0) is added
                          when missing.
``dataElements``          [{code, id, name, valueType, zeroIsSignificant: bool, categoryCombo: code,
                          aggregationType?: "SUM", options?: [code]}]; valueType: INTEGER, INTEGER_POSITIVE,
                          INTEGER_ZERO_OR_POSITIVE, INTEGER_NEGATIVE, NUMBER, PERCENTAGE, BOOLEAN, TRUE_ONLY,
                          DATE, TEXT.
``dataSets``              [{code, id, name, periodType, elements: [code], orgUnits: [code], openFuturePeriods: 0,
                          expiryDays: 0, categoryCombo?: "default", write?: true (data-write sharing),
                          compulsory?: [[element, combo]], inputPeriods?: [{period, opening, closing}],
                          workflow?: id, approved?: [[org unit, period]]}]; periodType: Daily, Weekly, Monthly,
                          Quarterly, SixMonthly, Yearly.
                          openFuturePeriods 0 = the current period is closed still (E7641).
``tracker``               programs and what belongs to them: docstring of ``dhis2_tracker.py``. May be left out.

**values** are what is typed in already: [{dataSet?, dataElement, orgUnit, period, categoryOptionCombo?: "default",
attributeOptionCombo?: "default", value: "12", storedBy?: "admin", deleted?: false}], all in codes.

``refuse`` (attribute, and ``POST /_sandbox/refuse`` with a list) makes the server say no where the test wants it; each
rule is {match: {dataSet?, dataElement?, orgUnit?, period?, categoryOptionCombo?, user?} in codes, times?: n,
more_than?: n (a request of more rows only, as for a proxy's limit)} and one of: ``code`` "E7619" (the row is refused),
``short: true`` (the row vanishes and is in no counter), ``failed`` "text" (409 "The import process failed: text"),
``request`` "E7600" (the whole request is aborted), ``status`` 401 with ``message``, ``race: true`` (the request loses
the race for a period that is new to the server: nothing is stored).
``doors.database_down = True`` answers as a DHIS2 without its database does (453-455).

``state()`` gives {"values": [the same shape, sorted, without deleted ones], "completions": [{dataSet, orgUnit, period,
attributeOptionCombo, date, completed, storedBy}]} in codes, and ``tracker`` where there are programs. ``reset()``
restores what the constructor was given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from connector.sandbox import dhis2_periods as periods
from connector.sandbox import dhis2_read as read
from connector.sandbox.dhis2_held import Held, Summary, completion_named, schemes
from connector.sandbox.dhis2_import import Legacy
from connector.sandbox.dhis2_login import Doors
from connector.sandbox.dhis2_metadata import Metadata, Refused, select
from connector.sandbox.dhis2_rules import Aborted, Failed, Json, Key, may_write
from connector.sandbox.dhis2_setup import AUTHORITY, PATCHED, READ, MetadataImport
from connector.sandbox.dhis2_tracker import Tracker
from connector.sandbox.dhis2_v43 import Entry
from connector.sandbox.dhis2_wire import HTML_404, STATUS, Answer, Request, check_options, imported, parsed, said
from connector.sandbox.plane import Plane

_ANY_METHOD = {
    "metadata": ("POST",),
    **dict.fromkeys(PATCHED, ("GET", "PATCH")),
    "dataValueSets": ("GET", "POST"),
    "completeDataSetRegistrations": ("GET", "POST", "DELETE"),
    "lockExceptions": ("POST", "DELETE"),
    "tracker": ("GET", "POST"),
    "maintenance": ("POST",),
}
PROFILES: dict[str, type[Legacy] | type[Entry]] = {"legacy": Legacy, "v43": Entry}


class DHIS2Sim:
    """``app`` is the ASGI application with faults and control routes around it."""

    def __init__(self, metadata: Mapping[str, Any], values: list[Json], plane: Plane, profile: str = "legacy") -> None:
        """Raises ValueError for a profile that is not simulated and for metadata that is not whole."""
        if profile not in PROFILES:
            raise ValueError(f"DHIS2 profile {profile!r} is not simulated; these are: {', '.join(PROFILES)}")
        self.plane = plane
        self.metadata = Metadata(metadata)
        self.users: list[Json] = [dict(user) for user in metadata["users"]]
        self._initial = [dict(value) for value in values]
        self.refuse: list[Json] = []
        self.calendar = "iso8601"  #: of its system settings; a test may change it
        self.values: dict[Key, Json] = {}
        self.completions: dict[Any, Json] = {}
        self.setup = MetadataImport(self.metadata)
        today = date.fromisoformat(metadata["today"])
        self.held = Held(self.metadata, today, self.values, self.completions, plane.applied)
        self.importer = PROFILES[profile](self.held)
        self.tracker = Tracker(
            self.metadata, plane.applied, lambda: self.held.today, scoped_superuser=profile == "legacy"
        )
        self.doors = Doors(self.users, self.importer.login_page)
        self.reset()
        control = {"refuse": self._set_refuse, "values": self._type_in}
        self.app = plane.wrap(self._app, state=self.state, reset=self.reset, extra_routes=control)

    # ------------------------------------------------------------ what tests and the demo see

    @property
    def today(self) -> date:
        """The server's date; a test may move it."""
        return self.held.today

    @today.setter
    def today(self, day: date) -> None:
        self.held.today = day

    def reset(self) -> None:
        self.setup.reset()
        self.values.clear()
        self.completions.clear()
        self.held.lock_exceptions.clear()
        self.importer.reset()
        self.tracker.reset()
        self.refuse = []
        self.doors.reset()
        self._type_in(self._initial)

    def _type_in(self, values: list[Json]) -> Json:
        """``POST /_sandbox/values``: values that people type into the data entry app, in codes."""
        for value in values:
            key: Key = (
                value["dataElement"],
                value["orgUnit"],
                value["period"],
                value.get("categoryOptionCombo", "default"),
                value.get("attributeOptionCombo", "default"),
            )
            for kind, code in zip(
                ("dataElements", "orgUnits", "", "categoryOptionCombos", "categoryOptionCombos"),
                key,
                strict=True,
            ):
                if kind:
                    self.metadata.by_code(kind, code)
            self.values[key] = {
                "value": value["value"],
                "storedBy": value.get("storedBy", "admin"),
                "comment": value.get("comment"),
                "deleted": bool(value.get("deleted")),
            }
        return {"values": len(values)}

    def state(self) -> Json:
        """Values and completions in codes, sorted. ``dataSet`` is there when the element is in exactly one."""
        values = []
        for key, held in sorted(self.values.items()):
            if held["deleted"]:
                continue
            sets = self.metadata.sets_of(key[0])
            named = {"dataSet": sets[0]["code"]} if len(sets) == 1 else {}
            values.append(
                {
                    **named,
                    "dataElement": key[0],
                    "orgUnit": key[1],
                    "period": key[2],
                    "categoryOptionCombo": key[3],
                    "attributeOptionCombo": key[4],
                    "value": held["value"],
                    "storedBy": held["storedBy"],
                }
            )
        completions = [{**completion_named(key), **held} for key, held in sorted(self.completions.items())]
        people = {"tracker": self.tracker.state()} if self.tracker.programs else {}
        return {"values": values, "completions": completions, **people}

    def _set_refuse(self, rules: list[Json]) -> Json:
        self.refuse = [dict(rule) for rule in rules]
        return {"refuse": len(self.refuse)}

    # ------------------------------------------------------------ the wire

    async def _app(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        parts = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                break
        request = Request(scope, b"".join(parts))
        cookie = ""
        try:
            if request.path == "/api/ping":  # open, and empty even while the database is down (002, 455)
                raise Answer(200, content_type=None)
            user, cookie = self.doors.enter(request)
            self._route(request, user)
            raise Answer(404, HTML_404, content_type="text/html;charset=utf-8")  # 032
        except Answer as given:
            answer = given
        except Refused as refused:
            answer = said(refused.status, str(refused), refused.code)
        headers = [(b"content-length", str(len(answer.body)).encode())]
        if answer.content_type and answer.body:
            headers.append((b"content-type", answer.content_type.encode()))
        if answer.location:
            headers.append((b"location", answer.location.encode()))
        if cookie:
            headers.append((b"set-cookie", f"JSESSIONID={cookie}; Path=/; HttpOnly; SameSite=Lax".encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _route(self, request: Request, user: Json) -> None:
        query = request.one()
        head, *rest = request.path.removeprefix("/api/").split("/")
        if not request.path.startswith("/api/"):
            if "/api/" in request.path:  # 033: another context path
                raise Answer(301, location=request.path.rstrip("/") + "/")
            return
        if request.method not in _ANY_METHOD.get(head, ("GET",)):
            raise said(405, f"Request method '{request.method}' is not supported")  # 034

        def writes(data_set: Json) -> bool:
            return may_write(data_set, user)

        match head, *rest:
            case ["system", "info"]:
                raise Answer(200, select(self._info(request), query.get("fields", "*")))
            case ["me"]:
                raise Answer(200, select(self._me(user), query.get("fields", "*")))
            case ["apiToken"]:  # 389
                ends = [{"id": "FW5dJEggioo", "expire": user["expires"]}] if "expires" in user else []
                pager = {"page": 1, "total": len(ends), "pageSize": 50, "pageCount": 1}
                raise Answer(200, {"pager": pager, "apiToken": ends})
            case ["me", "authorization", authority]:  # 016, 017
                raise Answer(200, authority in user["authorities"] or "ALL" in user["authorities"])
            case ["metadata"]:
                self._authority(user, AUTHORITY)
                self.setup.answer_post(request, self.plane.applied, self._has_values)
            case ["maintenance", "dataPruning", collection, uid]:
                self._authority(user, "ALL")
                self._prune(collection, uid)
            case [collection, uid] if request.method == "PATCH":
                self._authority(user, AUTHORITY)
                self.setup.answer_patch(collection, uid, request, self.plane.applied)
            case [collection] if collection in READ:
                raise Answer(200, self.metadata.search(head, query, request.many("filter"), writes))
            case [collection, uid] if collection in READ:
                raise Answer(200, self.metadata.one(head, uid, query, writes))
            case ["dataValueSets"] if request.method == "POST":
                self._post_values(request, user)
            case ["dataValueSets"]:
                self.importer.read(request, user)
            case ["dataValues"]:
                self.importer.single(query)
            case ["completeDataSetRegistrations"]:
                self._completions(request, user)
            case ["tracker", *rest]:
                self.tracker.route(rest, request, user)
            case ["programs"]:
                raise Answer(200, self.tracker.search_programs(query, request.many("filter")))
            case ["dataApprovals"]:
                raise Answer(200, self._approval(query))
            case ["lockExceptions"]:
                self._lock_exception(request.method, query)

    def _authority(self, user: Json, name: str) -> None:
        if not {name, "ALL"} & set(user["authorities"]):  # 153
            raise said(403, f"Access is denied, requires one Authority from [{name}]")

    def _info(self, request: Request) -> Json:
        host = f"http://{request.headers.get('host', '')}"
        return {
            "contextPath": host,
            "calendar": self.calendar,
            "dateFormat": "yyyy-mm-dd",
            "serverDate": f"{self.today}T12:00:00.000",
            "serverTimeZoneId": "UTC",
            "lastAnalyticsTableSuccess": "1970-01-01T00:00:00.000",
            "version": self.importer.version,
            "revision": self.importer.revision,
            "systemName": "DHIS 2",
            "instanceBaseUrl": host,
        }

    def _me(self, user: Json) -> Json:
        units = [self.metadata.by_code("orgUnits", code) for code in user["orgUnits"]]
        return {
            "id": user["id"],
            "username": user["username"],
            "programs": [],
            "authorities": list(user["authorities"]),
            "organisationUnits": [{"id": unit["id"], "path": unit["path"]} for unit in units],
            "dataSets": [data_set["id"] for data_set in self.metadata.lists["dataSets"]],
        }

    # ------------------------------------------------------------ values

    def _post_values(self, request: Request, user: Json) -> None:
        self._authority(user, "F_DATAVALUE_ADD")
        query = request.one()
        kind = request.headers.get("content-type", "")
        if not kind.startswith("application/json"):  # 180-182; CSV, XML and ADX are not simulated
            shown = f"Content-Type '{kind}' is not supported" if kind else "Content-Type is not supported"
            raise said(415, shown)
        if query.get("async") == "true":
            raise said(501, "The sandbox imports synchronously only")
        check_options(query)
        self.importer.post(request.body, query, user, self)

    # ------------------------------------------------------------ removed for good

    def _has_values(self, kind: str, code: str) -> bool:
        """Deleted values count too: they stay in the tables until they are pruned (developer guide, not recorded)."""
        place = {"dataElements": 0, "orgUnits": 1}.get(kind)
        completed = kind == "orgUnits" and any(key[1] == code for key in self.completions)
        return completed or (place is not None and any(key[place] == code for key in self.values))

    def _prune(self, collection: str, uid: str) -> None:
        """``POST /api/maintenance/dataPruning/...``, of one org unit or element. Raises Answer."""
        kind = {"dataElements": "dataElements", "organisationUnits": "orgUnits"}.get(collection)
        found = self.metadata.find(kind, "UID", uid) if kind else None
        if found is None:
            raise said(409, f"{collection} does not exist: {uid}")
        place = 0 if kind == "dataElements" else 1
        for key in [key for key in self.values if key[place] == found["code"]]:
            del self.values[key]
        if kind == "orgUnits":
            for completed in [one for one in self.completions if one[1] == found["code"]]:
                del self.completions[completed]
        self.plane.applied({"what": "data pruned", "collection": collection, "uid": uid})
        raise said(200, "Data was pruned successfully")

    # ------------------------------------------------------------ the test hook

    def _take(self, kinds: set[str], seen: list[Mapping[str, str]]) -> Json | None:
        for rule in self.refuse:
            if rule.get("times", 1) > 0 and kinds & set(rule) and len(seen) > rule.get("more_than", 0):
                match = rule.get("match", {})
                if any(all(row.get(name) == value for name, value in match.items()) for row in seen):
                    if "times" in rule:
                        rule["times"] -= 1
                    return rule
        return None

    def row(self, coded: Mapping[str, str]) -> str | None:
        """``Hooks``"""
        rule = self._take({"code", "short"}, [coded])
        return None if rule is None else str(rule.get("code") or "vanish")

    def request(self, body: Json, user: Json, query: Mapping[str, str]) -> bool:
        """``Hooks``: rules on whole requests; the rows are matched in codes. Raises Answer, Failed, Aborted."""
        if not self.refuse:
            return False
        scheme = schemes(query, body)
        kinds = {
            "dataSet": "dataSets",
            "orgUnit": "orgUnits",
            "organisationUnit": "orgUnits",
            "dataElement": "dataElements",
            "categoryOptionCombo": "categoryOptionCombos",
        }
        seen: list[Mapping[str, str]] = []
        for row in body.get("dataValues") or body.get("completeDataSetRegistrations") or [{}]:
            named = {
                **row,
                **{name: body[name] for name in ("dataSet", "orgUnit", "period") if body.get(name)},
            }
            coded = {"user": user["username"]}
            for name, value in named.items():
                found = self.metadata.find(kinds[name], scheme[kinds[name]], value) if name in kinds else None
                coded["orgUnit" if name == "organisationUnit" else name] = found["code"] if found else value
            seen.append(coded)
        if rule := self._take({"failed", "request", "status", "race"}, seen):
            if "race" in rule:
                return True
            if "status" in rule:
                raise said(rule["status"], rule.get("message", STATUS[rule["status"]]))
            if "failed" in rule:
                raise Failed(rule["failed"])
            raise Aborted(rule["request"], {"dataSet": body.get("dataSet")})
        return False

    # ------------------------------------------------------------ completions and lock exceptions

    def _completions(self, request: Request, user: Json) -> None:
        query = request.one()
        if request.method == "POST":
            body = parsed(request.body)
            check_options(query)
            try:
                if not isinstance(body, dict):
                    raise Failed("Post-condition was null")  # not recorded for completions
                self.request(body, user, query)
                summary = self.importer.completions.take(body, query, user)
            except (Failed, Aborted) as failed:
                text = f"The import process failed: {failed}"
                raise imported(Summary(), "ERROR", {}, description=text, complete=False) from None
            stored = summary.imported + summary.updated + summary.deleted
            status = "SUCCESS" if stored else "ERROR"  # 238, 248
            raise imported(summary, status, {}, description="Import process complete.", complete=False)
        if request.method == "DELETE":
            data_set = self.metadata.find("dataSets", "UID", query.get("ds"))
            unit = self.metadata.find("orgUnits", "UID", query.get("ou"))
            period = periods.parse(query.get("pe"))
            if data_set is None:  # 254
                raise said(409, f"Illegal data set identifier in this list: [{query.get('ds')}]")
            if unit is None or period is None:  # not recorded
                raise said(409, f"Illegal identifier: [{query.get('ou')}] [{query.get('pe')}]")
            self.held.uncomplete((data_set["code"], unit["code"], period.name, "default"), user)
            raise Answer(204)  # 252, and again 204: 253
        found = []
        for key, held in self.completions.items():
            named = (
                read.shown(self.metadata, "dataSets", key[0], {}),
                read.shown(self.metadata, "orgUnits", key[1], {}),
                key[2],
            )
            if all(
                value in request.many(name) for name, value in zip(("dataSet", "orgUnit", "period"), named, strict=True)
            ):
                found.append(
                    {
                        "period": key[2],
                        "dataSet": named[0],
                        "organisationUnit": named[1],
                        "attributeOptionCombo": read.shown(self.metadata, "categoryOptionCombos", key[3], {}),
                        **held,
                    }
                )
        raise Answer(200, {"completeDataSetRegistrations": found} if found else {})  # 227, 231

    def _approval(self, query: Mapping[str, str]) -> Json:
        """259. The states of what is approved are not recorded: their names are DHIS2's (``DataApprovalState``)."""
        unit = self.metadata.find("orgUnits", "UID", query.get("ou"))
        sets = [one for one in self.metadata.lists["dataSets"] if one.get("workflow") == query.get("wf")]
        if unit is None or not sets:
            raise said(409, "Illegal identifier")
        approved = any([unit["code"], query.get("pe")] in map(list, one.get("approved", ())) for one in sets)
        may = {"mayApprove": not approved, "mayUnapprove": approved, "mayAccept": False, "mayUnaccept": False}
        return {**may, "mayReadData": True, "state": "APPROVED_HERE" if approved else "UNAPPROVED_READY"}

    def _lock_exception(self, method: str, query: Mapping[str, str]) -> None:
        data_set = self.metadata.find("dataSets", "UID", query.get("ds"))
        unit = self.metadata.find("orgUnits", "UID", query.get("ou"))
        if data_set is None or unit is None:
            raise said(409, "Illegal identifier")
        entry = (data_set["code"], query.get("pe", ""), unit["code"])
        if method == "DELETE":
            self.held.lock_exceptions.discard(entry)
            raise Answer(204)
        self.held.lock_exceptions.add(entry)
        raise said(201, "LockException created successfully.")
