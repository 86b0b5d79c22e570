"""What the sandbox's OpenMRS says: dates, representations and error bodies.

Rules cite recordings/openmrs-2.8 by number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

Json = dict[str, Any]

_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,3}))?(Z|[+-]\d\d:?\d\d)?)?")

#: Properties of each kind in the default and full representations (079, 080, 220, 221, 250, 002, 012).
SHAPES: dict[str, tuple[str, str]] = {
    "patient": (
        "uuid,display,identifiers:ref,person:default,voided",
        "uuid,display,identifiers:default,person:full,voided,auditInfo",
    ),
    "person": (
        "uuid,display,gender,age,birthdate,birthdateEstimated,dead,deathDate,causeOfDeath,preferredName:ref,"
        "preferredAddress:ref,attributes:ref,voided,birthtime,deathdateEstimated",
        "uuid,display,gender,age,birthdate,birthdateEstimated,dead,deathDate,causeOfDeath,preferredName:default,"
        "preferredAddress:default,names:default,addresses:default,attributes:default,voided,birthtime,deathdateEstimated,"
        "causeOfDeathNonCoded",
    ),
    "identifier": (
        "display,uuid,identifier,identifierType:ref,location:ref,preferred,voided",
        "display,uuid,identifier,identifierType:ref,location:ref,preferred,voided,auditInfo",
    ),
    "name": ("display,uuid,givenName,middleName,familyName,familyName2,voided",) * 2,
    "address": (
        "display,uuid,preferred,cityVillage,stateProvince,country,postalCode,countyDistrict,startDate,endDate,latitude,"
        "longitude,voided," + ",".join(f"address{n}" for n in range(1, 16)),
    )
    * 2,
    "attribute": ("display,uuid,value,attributeType:ref,voided",) * 2,
    "encounter": (
        "uuid,display,encounterDatetime,patient:ref,location:ref,form,encounterType:ref,obs:ref,orders,voided,visit,"
        "encounterProviders:ref,diagnoses:ref",
        "uuid,display,encounterDatetime,patient:ref,location:default,form,encounterType:default,obs:default,orders,"
        "voided,auditInfo,visit,encounterProviders:default,diagnoses:ref",
    ),
    "obs": (
        "uuid,display,concept:ref,person:ref,obsDatetime,accessionNumber,obsGroup,valueCodedName,groupMembers,comment,"
        "location:ref,order,encounter:ref,voided,value:default,valueModifier,formFieldPath,formFieldNamespace,status,"
        "interpretation,referenceRange:default",
    )
    * 2,
    "provider": ("uuid,display,person:ref,identifier,attributes,retired,providerRole",) * 2,
    "encounterProvider": ("uuid,provider:ref,encounterRole:ref,voided",) * 2,
    "location": (
        "uuid,display,name,description,latitude,longitude,cityVillage,stateProvince,country,postalCode,countyDistrict,"
        "tags,parentLocation,childLocations,retired,attributes," + ",".join(f"address{n}" for n in range(1, 16)),
    )
    * 2,
    "encountertype": ("uuid,display,name,description,retired",) * 2,
    "encounterrole": ("uuid,display,name,description,retired",) * 2,
    "patientidentifiertype": (
        "uuid,display,name,description,format,formatDescription,required,validator,locationBehavior,"
        "uniquenessBehavior,retired",
    )
    * 2,
    "concept": (
        "uuid,display,name:default,datatype:ref,conceptClass:ref,set,version,retired,names:ref,descriptions:ref,"
        "mappings:ref,answers:ref,setMembers:ref,attributes",
    )
    * 2,
    "conceptsource": ("uuid,display,name,description,hl7Code,retired,uniqueId",) * 2,
    "conceptreferenceterm": ("uuid,display,name,conceptSource:ref,description,code,version,retired",) * 2,
    "conceptmaptype": ("uuid,display,name,description,retired",) * 2,
    "role": ("uuid,display,name,description,retired,privileges:ref,inheritedRoles:ref",) * 2,
    "privilege": ("uuid,display,name,description,retired",) * 2,
    "identifiersource": (
        "uuid,name,description,baseCharacterSet,prefix,suffix,firstIdentifierBase,minLength,maxLength,"
        "identifierType:default,type",
    )
    * 2,
    "conceptName": ("display,uuid,name,locale,localePreferred,conceptNameType",) * 2,
    "referencerange": ("display,uuid,hiNormal,hiAbsolute,hiCritical,lowNormal,lowAbsolute,lowCritical",) * 2,
    "datatype": ("uuid,display,name",) * 2,
}
#: Of each object, in whatever representation (001-030, 079, 220, 250).
_VERSIONS = {
    "patientidentifiertype": "2.0", "person": "1.11", "encounter": "2.2", "obs": "2.7", "concept": "2.0",
    "location": "2.0", "address": "2.0", "provider": "2.8", "encounterProvider": "1.9",
    "conceptName": "1.9", "referencerange": "2.7",
}  # fmt: skip
_LINKED = {"identifier": "patient/identifier", "datatype": "conceptdatatype"}


class Refused(Exception):
    """An answer that is not the wished one: status and body."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


# ---------------------------------------------------------------- dates


def zone_of(offset: str) -> timezone:
    """``+0300`` or ``+03:00`` or ``Z`` as a time zone."""
    if offset == "Z":
        return timezone(timedelta(0))
    sign = -1 if offset[0] == "-" else 1
    digits = offset[1:].replace(":", "")
    return timezone(sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:])))


def read_date(value: Any, zone: timezone, where: str) -> datetime:
    """A date as the server reads it. 295-309: one to three fraction digits, any usual offset, none = server zone;
    microseconds, epoch numbers and minutes only are refused."""
    if not isinstance(value, str):
        raise Refused(
            400,
            error(
                f"[{where} => Don't know how to convert from class java.lang.Long to class java.util.Date]",
                "BaseDelegatingResource:751",
            ),
        )
    found = _DATE.fullmatch(value)
    if not found:
        raise Refused(
            400,
            error(
                f"[{where} => Error converting date - correct format (ISO8601 Long): yyyy-MM-dd'T'HH:mm:ss.SSSZ => "
                f'Invalid format: "{value}" {_trouble(value)}]',
                "BaseDelegatingResource:751",
            ),
        )
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    try:
        return datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "0").ljust(3, "0")) * 1000,
            tzinfo=zone_of(offset) if offset else zone,
        )
    except ValueError:
        raise Refused(400, error(f"[{where} => Error converting date]", "BaseDelegatingResource:751")) from None


def _trouble(value: str) -> str:
    """What its parser says: the rest after the year, or after the day (102, 103, 301)."""
    if len(value) <= 4:
        return "is too short"
    good = re.match(r"\d{4}-\d\d-\d\d|\d\d(?=/)|", value)
    return f'is malformed at "{value[good.end() if good else 0 :]}"'


def write_date(moment: datetime, zone: timezone) -> str:
    """Always in the server's zone, milliseconds, offset without colon (221)."""
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond // 1000:03d}{local:%z}"


def epoch_ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


# ---------------------------------------------------------------- errors


def error(message: str, code: str, *, raw: str | None = "", leak: str = "") -> Json:
    """The error body of REST. A stock server fills ``detail`` with a stack trace of class names and pieces of SQL with
    values (081, 687): ``leak`` is such a value."""
    text = message.removeprefix("[").removesuffix("]").split(" => ")[0] if raw == "" else raw
    frames = "".join(f"\n\tat org.openmrs.sandbox.Frame{n}.invoke(Frame{n}.java:{n * 7})" for n in range(40))
    return {
        "error": {
            "message": message,
            "code": f"org.openmrs.module.webservices.rest.web.resource.impl.{code}" if "." not in code else code,
            "detail": f"java.lang.RuntimeException: {message} {leak}{frames}",
            "rawMessage": text,
            "translatedMessage": text or "",
        }
    }


#: Fields of a person are validated with the person and again with the patient (100, 101, 124, 127; not 093, 122).
_TWICE = ("birthdate", "names", "causeOfDeath", "comment", "valueText")
#: Words that have a code of their own (091).
_GLOBAL = {"Select a preferred identifier": "error.preferredIdentifier"}
#: 122-124.
TOO_LONG = "This value exceeds the maximum length of {} permitted for this field."


def invalid(*, general: list[str] = [], **fields: tuple[str, str]) -> Refused:  # noqa: B006
    """400 with globalErrors and fieldErrors; no ``detail`` here (086, 276)."""
    return Refused(
        400,
        {
            "error": {
                "message": "Invalid Submission",
                "code": "webservices.rest.error.invalid.submission",
                "globalErrors": [{"code": _GLOBAL.get(text, text), "message": text} for text in general],
                "fieldErrors": {
                    name: [{"code": code, "message": text}] * (2 if name.startswith(_TWICE) else 1)
                    for name, (code, text) in fields.items()
                },
            }
        },
    )


def bad_property(name: str, cls: str, why: str) -> Refused:
    return Refused(400, error(f"[{name} on class org.openmrs.{cls} => {why}]", "BaseDelegatingResource:751"))


def unknown_property(name: str, cls: str) -> Refused:
    """114, 820."""
    return bad_property(name, cls, f"Unknown property '{name}' on class 'class org.openmrs.{cls}'")


def missing(names: list[str]) -> Refused:
    """092, 277, 397."""
    return Refused(
        400, error(f"[Some required properties are missing: {', '.join(names)}]", "BaseDelegatingResource:643")
    )


def need(body: Mapping[str, Any], *names: str) -> None:
    lacking = [name for name in names if body.get(name) is None]
    if lacking:
        raise missing(lacking)


def known(body: Mapping[str, Any], names: set[str], cls: str) -> None:
    for name in body:
        if name not in names:
            raise unknown_property(name, cls)


def not_found(line: int = 53) -> Refused:
    """130, 335."""
    return Refused(
        404, error("Object with given uuid doesn't exist [null]", f"DelegatingCrudResource:{line}", raw=None)
    )


def duplicate_row(uuid: str, leak: str = "") -> Refused:
    """222, 170, 326: the same for a voided row."""
    return Refused(
        500,
        error(
            f"[could not execute statement => Duplicate entry '{uuid}' for key 'uuid']",
            "org.hibernate.exception.internal.SQLExceptionTypeDelegate:59",
            leak=leak,
        ),
    )


def not_null(column: str) -> Refused:
    """284."""
    return Refused(
        500,
        error(
            f"[could not execute statement => Column '{column}' cannot be null]",
            "org.hibernate.exception.internal.SQLExceptionTypeDelegate:59",
        ),
    )


def page(status: int, title: str, message: str) -> str:
    """The container's own page (041, 044, 388)."""
    return (
        f'<!doctype html><html lang="en"><head><title>HTTP Status {status} – {title}</title></head><body>'
        f"<h1>HTTP Status {status} – {title}</h1><p><b>Message</b> {message}</p></body></html>"
    )


def wrong_method(method: str) -> Json:
    """200 with a serialised exception (182, 183, 414)."""
    frame = {"classLoaderName": None, "moduleName": None, "methodName": "handleNoMatch", "lineNumber": 260}
    text = f"Request method '{method}' not supported"
    return {
        "cause": None,
        "stackTrace": [{**frame, "lineNumber": 260 + n} for n in range(60)],
        "method": method,
        "supportedMethods": ["POST", "GET", "DELETE"],
        "supportedHttpMethods": ["POST", "GET", "DELETE"],
        "rootCause": None,
        "message": text,
        "suppressed": [],
        "localizedMessage": text,
    }


# ---------------------------------------------------------------- representations


def parse_custom(text: str) -> dict[str, Any]:
    """``uuid,person:(uuid,names:ref)`` as {property: None | "ref" | {...}}. Raises Refused 400 (157)."""
    tree, rest = _tree(text)
    if rest:
        raise Refused(400, error("[Invalid custom representation]", "CustomRepresentation:40"))
    return tree


def _tree(text: str) -> tuple[dict[str, Any], str]:
    tree: dict[str, Any] = {}
    while text:
        found = re.match(r"\s*(\w+)", text)
        if not found:
            raise Refused(400, error("[Invalid custom representation]", "CustomRepresentation:40"))
        name, text = found.group(1), text[found.end() :]
        value: Any = None
        if text.startswith(":("):
            value, text = _tree(text[2:])
            if not text.startswith(")"):
                raise Refused(400, error("[Invalid custom representation]", "CustomRepresentation:40"))
            text = text[1:]
        elif text.startswith(":"):
            found = re.match(r":(\w+)", text)
            if not found:
                raise Refused(400, error("[Invalid custom representation]", "CustomRepresentation:40"))
            value, text = found.group(1), text[found.end() :]
        tree[name] = value
        if not text.startswith(","):
            break
        text = text[1:]
    return tree, text


_PARSED = {kind: tuple(parse_custom(shape) for shape in shapes) for kind, shapes in SHAPES.items()}


def represent(row: Any, view: Any, base: str) -> Any:
    """A row (a dict with ``_kind``) in a representation: "ref", "default", "full" or a parsed custom tree.

    Custom ones carry no links (085); each object carries ``resourceVersion``.
    """
    if isinstance(row, list):
        return [represent(item, view, base) for item in row]
    if not isinstance(row, dict):
        return row
    if "_kind" not in row:  # plain structures such as auditInfo
        return {key: represent(value, "ref", base) for key, value in row.items()}
    kind = row["_kind"]
    if view is None:
        view = "default"
    if view == "ref":
        out = {"uuid": row["uuid"], "display": row["display"]}
        for mark in ("voided", "retired"):  # 192, 283
            if row.get(mark):
                out[mark] = True
        out["links"] = _links(kind, row, base, full=False)
        return out
    linked = view in ("default", "full")
    if linked:
        view = _PARSED[kind][view == "full"]
    elif isinstance(view, str):
        raise Refused(400, error(f"[unknown representation {view}]", "ConversionUtil:428"))
    out = {}
    for name, inner in view.items():
        if name not in row:
            raise Refused(
                400,
                error(
                    f"[converting class org.openmrs.{kind.capitalize()} to CustomRepresentation => {name} on class "
                    f"org.openmrs.{kind.capitalize()} => Unknown property '{name}']",
                    "org.openmrs.module.webservices.rest.web.ConversionUtil:428",
                ),
            )
        value = row["names"][0] if kind == "concept" and name == "name" else row[name]
        # In the stock shapes an object without a word of its own is shown short.
        out[name] = represent(value, inner if inner is not None else ("default" if not linked else "ref"), base)
    if linked:
        out["links"] = _links(kind, row, base, full=True)
    out["resourceVersion"] = _VERSIONS.get(kind, "1.8")
    return out


def _links(kind: str, row: Mapping[str, Any], base: str, *, full: bool) -> list[Json]:
    uri = f"{base}/{_LINKED.get(kind, kind.lower())}/{row['uuid']}"
    links = [{"rel": "self", "uri": uri, "resourceAlias": kind}]
    return [*links, {"rel": "full", "uri": f"{uri}?v=full", "resourceAlias": kind}] if full else links


def view_of(query: Mapping[str, str]) -> Any:
    text = query.get("v", "default")
    return parse_custom(text[8:-1]) if text.startswith("custom:(") and text.endswith(")") else text


def listed(rows: list[Json], query: Mapping[str, str], base: str) -> Json:
    """A page of rows: at most 50 unless ``limit`` says so, 100 at the very most (152-155)."""
    limit = int(query.get("limit", 50))
    if limit > 100 or limit < 1:
        text = (
            "Administrator has set absolute limit at 100"
            if limit > 100
            else "If you specify a number of results to return, it must be >0 and not null"
        )
        raise Refused(500, error(f"[{text}]", "RestUtil:1"))
    start = int(query.get("startIndex", 0))
    view = view_of({"v": "ref", **query})
    out: Json = {"results": represent(rows[start : start + limit], view, base)}
    if start + limit < len(rows):
        out["links"] = [{"rel": "next", "uri": f"{base}?startIndex={start + limit}"}]
    if query.get("totalCount") == "true":
        out["totalCount"] = len(rows)
    return out
