"""The tracker of the simulated DHIS2: people, enrolments and events, as ``POST /api/tracker`` with ``async=false``
takes them. Both profiles have the same importer but for the scope of a superuser (327).

Numbers are files of recordings/dhis2-2.42; ``source`` marks a rule that was read in ``ValidationCode``, not recorded.
What is not simulated: asynchronous imports (501), relationships, program rules, ownership.

Metadata, under ``tracker`` of what ``DHIS2Sim`` is given:

``attributes``  [{code, id, name, valueType, unique?: false}]
``elements``    [{code, id, name, valueType}]
``programs``    [{code, id, name, entityType: UID | None, orgUnits: [code], attributes: [{code, mandatory?}],
                stages: [{id, code?, name, repeatable, elements: [{code, compulsory?}]}], onlyEnrollOnce?, write?}]

``refuse`` maps an identifier to a code that it is refused with. ``raced``: identifiers whose next creation loses
against another of the same at that moment (525); nothing of its request is stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

from connector.sandbox.dhis2_metadata import Metadata, select
from connector.sandbox.dhis2_wire import Answer, Request, parsed, said

Json = dict[str, Any]
_UID = re.compile(r"[a-zA-Z][a-zA-Z0-9]{10}")
_STRATEGIES = ("CREATE", "UPDATE", "CREATE_AND_UPDATE", "DELETE")
#: Type, list in the body, key of the identifier, codes: deleted, exists on CREATE, missing on UPDATE and DELETE.
_KINDS = (
    ("TRACKED_ENTITY", "trackedEntities", "trackedEntity", "E1114", "E1002", "E1063"),
    ("ENROLLMENT", "enrollments", "enrollment", "E1113", "E1080", "E1081"),
    ("EVENT", "events", "event", "E1082", "E1030", "E1032"),
)
_DATES = ("enrolledAt", "occurredAt")


class Tracker:
    """``held``: type -> UID -> object, the deleted ones with ``deleted``."""

    def __init__(
        self, metadata: Metadata, applied: Callable[[Json], Any], today: Callable[[], date], *, scoped_superuser: bool
    ) -> None:
        self.metadata = metadata
        self.applied = applied
        self.today = today
        self.scoped_superuser = scoped_superuser
        given = metadata.given.get("tracker") or {}
        self.programs: list[Json] = [dict(one) for one in given.get("programs", ())]
        self.attributes = {one["id"]: one for one in given.get("attributes", ())}
        self.elements = {one["id"]: one for one in given.get("elements", ())}
        self.held: dict[str, dict[str, Json]] = {}
        self.refuse: dict[str, str] = {}
        self.raced: set[str] = set()
        self.reset()

    def reset(self) -> None:
        self.held = {kind: {} for kind, *_ in _KINDS}
        self.refuse = {}
        self.raced = set()

    def state(self) -> Json:
        """What is there, by type, sorted, without the deleted."""
        return {
            name: [
                {key: value for key, value in one.items() if key != "deleted"}
                for _, one in sorted(self.held[kind].items())
                if not one["deleted"]
            ]
            for kind, name, *_ in _KINDS
        }

    # ------------------------------------------------------------ the wire

    def route(self, rest: list[str], request: Request, user: Json) -> None:
        query = request.one()
        match rest:
            case [] if request.method == "POST":
                self._post(request, query, user)
            case ["trackedEntities"]:
                raise Answer(200, self._search(query))
            case ["trackedEntities", uid]:
                raise Answer(200, select(self._shown(self._one("TRACKED_ENTITY", uid), query), _wanted(query)))
            case ["events", uid]:
                raise Answer(200, select(self._event(self._one("EVENT", uid)), _wanted(query)))

    def search_programs(self, query: Mapping[str, str], filters: list[str]) -> Json:
        """``GET /api/programs?filter=code:eq:X``."""
        wanted = {text.removeprefix("code:eq:") for text in filters if text.startswith("code:eq:")}
        found = [one for one in self.programs if not wanted or one["code"] in wanted]
        return {"programs": [select(self._program_wire(one), query.get("fields", "id,displayName")) for one in found]}

    def _program_wire(self, one: Json) -> Json:
        attributes = {a["code"]: a for a in self.attributes.values()}
        elements = {e["code"]: e for e in self.elements.values()}
        units = [self.metadata.by_code("orgUnits", code) for code in one["orgUnits"]]
        return {
            "id": one["id"],
            "code": one["code"],
            "name": one["name"],
            "programType": "WITH_REGISTRATION" if one["entityType"] else "WITHOUT_REGISTRATION",
            "access": {"data": {"read": True, "write": one.get("write", True)}},
            **({"trackedEntityType": {"id": one["entityType"]}} if one["entityType"] else {}),
            "organisationUnits": [self.metadata.wire("orgUnits", unit, None) for unit in units],
            "programTrackedEntityAttributes": [
                {
                    "mandatory": bool(a.get("mandatory")),
                    "trackedEntityAttribute": {"unique": False} | attributes[a["code"]],
                }
                for a in one["attributes"]
            ],
            "programStages": [
                {
                    **{key: stage[key] for key in ("id", "code", "name", "repeatable") if key in stage},
                    "programStageDataElements": [
                        {"compulsory": bool(e.get("compulsory")), "dataElement": elements[e["code"]]}
                        for e in stage["elements"]
                    ],
                }
                for stage in one["stages"]
            ],
        }  # fmt: skip

    def _one(self, kind: str, uid: str) -> Json:
        found = self.held[kind].get(uid)
        if found is None or found["deleted"]:  # 347, 352
            name = {"TRACKED_ENTITY": "TrackedEntity", "EVENT": "Event"}[kind]
            raise said(404, f"{name} with id {uid} could not be found.", "E1005")
        return found

    def _shown(self, person: Json, query: Mapping[str, str]) -> Json:
        """A person with her enrolments and their events (296)."""
        enrollments = []
        for one in self.held["ENROLLMENT"].values():
            if one["trackedEntity"] == person["trackedEntity"] and not one["deleted"]:
                events = [e for e in self.held["EVENT"].values() if e["enrollment"] == one["enrollment"]]
                enrollments.append({**_dated(one), "events": [self._event(e) for e in events if not e["deleted"]]})
        attributes = [{"attribute": uid, "value": value} for uid, value in person["attributes"].items()]
        return {**person, "attributes": attributes, "enrollments": enrollments}

    def _event(self, event: Json) -> Json:
        values = [{"dataElement": uid, "value": value} for uid, value in event["dataValues"].items()]
        person = self.held["ENROLLMENT"][event["enrollment"]]["trackedEntity"]
        return {**_dated(event), "trackedEntity": person, "dataValues": values}

    def _search(self, query: Mapping[str, str]) -> Json:
        """People with a value of an attribute, of a program (345, 346) or a type."""
        uid, operator, value = query.get("filter", "::").split(":", 2)
        if operator != "EQ":
            raise said(400, "The sandbox knows EQ only")
        value = re.sub("/([/:,])", r"\1", value)
        program = query.get("program")
        found = []
        for person in self.held["TRACKED_ENTITY"].values():
            enrolled = {
                one["program"]
                for one in self.held["ENROLLMENT"].values()
                if one["trackedEntity"] == person["trackedEntity"] and not one["deleted"]
            }
            if (
                not person["deleted"]
                and person["attributes"].get(uid) == value
                and (not program or program in enrolled)
            ):
                found.append(select(self._shown(person, query), _wanted(query)))
        return {"pager": {"page": 1, "pageSize": 50}, "trackedEntities": found}

    # ------------------------------------------------------------ an import

    def _post(self, request: Request, query: Mapping[str, str], user: Json) -> None:
        if query.get("async", "true") != "false":
            raise said(501, "The sandbox imports synchronously only")
        strategy = query.get("importStrategy", "CREATE_AND_UPDATE")  # 300
        if strategy not in _STRATEGIES:  # 336
            valid = ", ".join(_STRATEGIES)
            raise said(
                400, f"Value '{strategy}' is not valid for parameter importStrategy. Valid values are: [{valid}]"
            )
        body = parsed(request.body)
        if not isinstance(body, dict):  # 342
            raise said(400, "JSON parse error: Unexpected end-of-input")
        flat = _flat(body)
        objects = [(kind, one) for kind, name, *_ in _KINDS for one in flat[name]]
        self._readable(objects)
        self._lose_race([one.get("trackedEntity", "") for kind, one in objects if kind == "TRACKED_ENTITY"])
        held = {kind: {uid: _copied(one) for uid, one in rows.items()} for kind, rows in self.held.items()}
        errors: list[Json] = []
        stored: list[tuple[str, str, str]] = []
        bad: set[str] = set()
        for kind, one in objects:
            uid = one[_key(kind)]
            refused = [self.refuse[uid]] if uid in self.refuse else list(self._faults(kind, one, strategy, user, bad))
            if refused:
                bad.add(uid)
                errors += [_error(kind, uid, code) for code in refused]
            else:
                stored.append((kind, uid, self._apply(kind, one, strategy)))
        whole = query.get("atomicMode", "ALL") == "ALL"
        if errors and whole:  # 330: nothing is stored, and there is no bundle report
            self.held = held
            raise Answer(409, _report(errors, {}, ignored=len(objects), status="ERROR"))
        for kind, uid, action in stored:
            self.applied({"kind": kind.lower(), "action": action, "uid": uid, "user": user["username"]})
        raise Answer(200, _report(errors, _bundle(objects, stored), ignored=len(objects) - len(stored)))  # 331, 343

    def _lose_race(self, people: list[str]) -> None:
        """2.42 says that she clashes with herself, 2.43 passes on what its database said (525)."""
        lost = self.raced & set(people)
        self.raced -= lost
        for uid in sorted(lost):
            if not self.scoped_superuser:
                raise said(
                    500,
                    'ERROR: duplicate key value violates unique constraint "uk_rbr4kyuk4s0kb4jo1r77cuaq9"\n'
                    f"  Detail: Key (uid)=({uid}) already exists.",
                )
            raise Answer(
                409, _report([_error("TRACKED_ENTITY", uid, "E1064")], {}, ignored=len(people), status="ERROR")
            )

    def _readable(self, objects: list[tuple[str, Json]]) -> None:
        """One identifier or date that is none refuses the whole request (314, 315, 318)."""
        for kind, one in objects:
            uid = one.get(_key(kind))
            if not isinstance(uid, str) or not _UID.fullmatch(uid):
                raise said(
                    400,
                    "JSON parse error: Cannot construct instance of `org.hisp.dhis.common.UID`, problem: UID must be "
                    f"an alphanumeric string of 11 characters starting with a letter, but was: {uid}",
                )
            for name in _DATES:
                try:
                    date.fromisoformat(one[name]) if one.get(name) else None
                except ValueError:
                    raise said(
                        400,
                        f"JSON parse error: Invalid date format '{one[name]}', only 'yyyy-MM-dd'T'HH:mm:ss.SSS' "
                        "format end epoch milliseconds are supported.",
                    ) from None

    def _faults(self, kind: str, one: Json, strategy: str, user: Json, bad: set[str]) -> Iterator[str]:
        """Codes an object is refused for. ``bad``: identifiers refused before it in the same request."""
        _, _, key, deleted, exists, missing = next(row for row in _KINDS if row[0] == kind)
        there = self.held[kind].get(one[key])
        if there is not None and there["deleted"]:  # 349, 351, 354, 356
            yield deleted
        elif there is None and strategy in ("UPDATE", "DELETE"):  # 299, 350
            yield missing
        elif there is not None and strategy == "CREATE":  # 298
            yield exists
        elif strategy != "DELETE":
            check = {"TRACKED_ENTITY": self._person, "ENROLLMENT": self._enrollment, "EVENT": self._visit}[kind]
            yield from check(one, there, user, bad)

    def _person(self, one: Json, there: Json | None, user: Json, bad: set[str]) -> Iterator[str]:
        unit = self.metadata.find("orgUnits", "UID", one.get("orgUnit"))
        if unit is None:  # source
            yield "E1049"
            return
        if not self._may(user, unit):  # 326, 327
            yield "E1000"
        if one.get("trackedEntityType") not in {program["entityType"] for program in self.programs}:  # source
            yield "E1005"
        for row in one.get("attributes", ()):
            attribute, value = self.attributes.get(row["attribute"]), row.get("value")
            if attribute is None:
                yield "E1006"  # 302
            elif value is not None and not _fits(attribute["valueType"], value):
                yield "E1007"  # 303
            elif value is not None and attribute.get("unique") and self._taken(one, attribute["id"], value):
                yield "E1064"  # 301; the value of a deleted person is free again: 357

    def _taken(self, one: Json, attribute: str, value: str) -> bool:
        return any(
            other["attributes"].get(attribute) == value and uid != one["trackedEntity"] and not other["deleted"]
            for uid, other in self.held["TRACKED_ENTITY"].items()
        )

    def _enrollment(self, one: Json, there: Json | None, user: Json, bad: set[str]) -> Iterator[str]:
        program = self._program(one.get("program"))
        unit = self.metadata.find("orgUnits", "UID", one.get("orgUnit"))
        person = self.held["TRACKED_ENTITY"].get(one.get("trackedEntity", ""))
        if program is None or unit is None:  # 306; source
            yield "E1069" if program is None else "E1070"
            return
        if person is None or person["deleted"]:
            if one.get("trackedEntity") in bad:  # 331: its own fault, not E5000, when it lacks what the person lacked
                needed = any(a.get("mandatory") for a in program["attributes"])
                yield "E1018" if needed else "E5000"
            else:
                yield "E1068"  # 319
            return
        if there is not None and (there["trackedEntity"], there["program"]) != (one["trackedEntity"], one["program"]):
            yield "E1127"  # source
        if unit["code"] not in program["orgUnits"]:
            yield "E1041"  # 325
        if not one.get("enrolledAt"):
            yield "E1025"  # source
        elif date.fromisoformat(one["enrolledAt"]) > self.today():
            yield "E1020"  # source
        others = [
            other
            for uid, other in self.held["ENROLLMENT"].items()
            if uid != one["enrollment"]
            and not other["deleted"]
            and (other["trackedEntity"], other["program"]) == (one["trackedEntity"], one["program"])
        ]
        if any(other["status"] == "ACTIVE" for other in others) and one.get("status", "ACTIVE") == "ACTIVE":
            yield "E1015"  # 321
        if others and program.get("onlyEnrollOnce"):
            yield "E1016"  # source
        ids = {a["code"]: a["id"] for a in self.attributes.values()}
        for attribute in program["attributes"]:
            if attribute.get("mandatory") and not person["attributes"].get(ids[attribute["code"]]):
                yield "E1018"  # 304

    def _visit(self, one: Json, there: Json | None, user: Json, bad: set[str]) -> Iterator[str]:
        program = self._program(one.get("program"))
        if program is None:  # source
            yield "E1010"
            return
        stage = next((s for s in program["stages"] if s["id"] == one.get("programStage")), None)
        unit = self.metadata.find("orgUnits", "UID", one.get("orgUnit"))
        if stage is None or unit is None:  # 307, 305
            yield "E1013" if stage is None else "E1011"
            return
        if not self._may(user, unit):  # source
            yield "E1000"
        if unit["code"] not in program["orgUnits"]:  # source
            yield "E1029"
        enrollment = self.held["ENROLLMENT"].get(one.get("enrollment", ""))
        if enrollment is None or enrollment["deleted"]:  # 320
            yield from ("E1313", "E1079")
            return
        if there is not None and there["enrollment"] != one["enrollment"]:
            yield "E1128"  # 324
        if not one.get("occurredAt"):
            yield "E1031"  # 317
        others = [
            uid
            for uid, other in self.held["EVENT"].items()
            if uid != one["event"]
            and not other["deleted"]
            and (other["enrollment"], other["programStage"]) == (one["enrollment"], stage["id"])
        ]
        if others and not stage["repeatable"]:
            yield "E1039"  # 323
        by_code = {e["code"]: e for e in self.elements.values()}
        inside = {by_code[e["code"]]["id"]: e for e in stage["elements"]}
        for row in one.get("dataValues", ()):
            uid, value = row["dataElement"], row.get("value")
            if uid not in inside:
                yield "E1305"  # 309
                if uid not in self.elements:
                    yield "E1304"  # 308
            elif value is not None and not _fits(self.elements[uid]["valueType"], value):
                yield "E1302"  # 310, 311, 313
        given = {row["dataElement"] for row in one.get("dataValues", ()) if row.get("value") is not None}
        if one.get("status") == "COMPLETED" and any(
            e.get("compulsory") and uid not in given for uid, e in inside.items()
        ):
            yield "E1303"  # 312

    def _program(self, uid: object) -> Json | None:
        return next((one for one in self.programs if one["id"] == uid), None)

    def _may(self, user: Json, unit: Json) -> bool:
        if "ALL" in user["authorities"] and not self.scoped_superuser:  # 2.43: 327
            return True
        return self.metadata.under(unit, user["orgUnits"])

    def _apply(self, kind: str, one: Json, strategy: str) -> str:
        """Store it; what is left out stays, null deletes (292, 294). Returns created, updated or deleted."""
        uid, rows = one[_key(kind)], self.held[kind]
        if strategy == "DELETE":
            self._delete(kind, uid)
            return "deleted"
        there = rows.get(uid)
        inner, id = {"TRACKED_ENTITY": ("attributes", "attribute"), "EVENT": ("dataValues", "dataElement")}.get(
            kind, ("", "")
        )
        kept = dict(there[inner]) if there is not None and inner else {}
        for row in one.get(inner, ()) if inner else ():
            kept.pop(row[id], None)
            if row.get("value") is not None:
                kept[row[id]] = str(row["value"])
        defaults = {} if kind == "TRACKED_ENTITY" else {"status": "ACTIVE"}
        rows[uid] = {**defaults, **one, **({inner: kept} if inner else {}), "deleted": False}
        return "created" if there is None else "updated"

    def _delete(self, kind: str, uid: str) -> None:
        """With what hangs on it (353, 355)."""
        self.held[kind][uid]["deleted"] = True
        below = {"TRACKED_ENTITY": "ENROLLMENT", "ENROLLMENT": "EVENT"}.get(kind)
        for other, one in self.held[below].items() if below else ():
            if one[_key(kind)] == uid and not one["deleted"]:
                self._delete(str(below), other)


def _flat(body: Json) -> dict[str, list[Json]]:
    """Enrolments inside people and events inside enrolments are as good as beside them (297)."""
    found: dict[str, list[Json]] = {name: list(body.get(name) or ()) for _, name, *_ in _KINDS}
    for outer, inner in (("trackedEntities", "enrollments"), ("enrollments", "events")):
        for place, one in enumerate(found[outer]):
            found[inner] += one.get(inner) or ()
            found[outer][place] = {key: value for key, value in one.items() if key != inner}
    return found


def _key(kind: str) -> str:
    return next(row[2] for row in _KINDS if row[0] == kind)


def _wanted(query: Mapping[str, str]) -> str:
    return query.get("fields", "*")


def _dated(one: Json) -> Json:
    """Days are shown as instants (293)."""
    return {**one, **{name: f"{one[name]}T00:00:00.000" for name in _DATES if one.get(name)}}


def _copied(one: Json) -> Json:
    return {key: dict(value) if isinstance(value, dict) else value for key, value in one.items()}


def _fits(kind: str, value: Any) -> bool:
    text = str(value)
    match kind:
        case "INTEGER":
            return re.fullmatch(r"0|-?[1-9]\d*", text) is not None
        case "INTEGER_POSITIVE":
            return re.fullmatch(r"[1-9]\d*", text) is not None
        case "INTEGER_ZERO_OR_POSITIVE":
            return re.fullmatch(r"0|[1-9]\d*", text) is not None
        case "NUMBER" | "PERCENTAGE":
            return re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text) is not None
        case "BOOLEAN":
            return text in ("true", "false")
        case "TRUE_ONLY":
            return text == "true"
        case "DATE":
            try:
                return bool(date.fromisoformat(text))
            except ValueError:
                return False
    return True


def _error(kind: str, uid: str, code: str) -> Json:
    return {"message": f"Refused: {code}.", "errorCode": code, "trackerType": kind, "uid": uid, "args": []}


def _stats(rows: list[str], total: int) -> Json:
    counts = {name: rows.count(name) for name in ("created", "updated", "deleted")}
    return {**counts, "ignored": total - len(rows), "total": total}


def _bundle(objects: list[tuple[str, Json]], stored: list[tuple[str, str, str]]) -> Json:
    """Only what was stored has an object report (331)."""
    found: Json = {}
    for kind in (*(row[0] for row in _KINDS), "RELATIONSHIP"):
        done = [(uid, action) for of, uid, action in stored if of == kind]
        found[kind] = {
            "trackerType": kind,
            "stats": _stats([action for _, action in done], sum(of == kind for of, _ in objects)),
            "objectReports": [{"trackerType": kind, "uid": uid, "errorReports": []} for uid, _ in done],
        }
    return found


def _report(errors: list[Json], bundle: Json, *, ignored: int, status: str = "OK") -> Json:
    stats = {"created": 0, "updated": 0, "deleted": 0}
    for one in bundle.values():
        for name in stats:
            stats[name] += one["stats"][name]
    total = sum(stats.values()) + ignored
    return {
        "status": status,
        "validationReport": {"errorReports": errors, "warningReports": []},
        "stats": {**stats, "ignored": ignored, "total": total},
        **({"bundleReport": {"typeReportMap": bundle}} if bundle else {}),
    }
