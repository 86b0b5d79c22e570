"""Changing the metadata of the simulated DHIS2: ``POST /api/metadata`` and ``PATCH`` of one object.

Rules from recordings/dhis2-2.42: dry run 003; org units 004; everything with ids chosen by the sender, option
combinations with their codes 005; an object that is there is updated 011; a code that another object has, and
properties that are missing, refuse the whole import 012; what an object's JSON patch adds 007, 010. From the developer
guide and not recorded: who may import (the answer has the form of 153), a reference to nothing (E5002), names that are
taken (E5003 as for codes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from connector.sandbox.dhis2_metadata import DEFAULT_COMBO, Metadata
from connector.sandbox.dhis2_wire import Answer, Request, parsed, said

Json = dict[str, Any]

#: collection -> (list of ``Metadata``, class in reports, properties that must be there)
_TYPES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "organisationUnits": (
        "orgUnits", "org.hisp.dhis.organisationunit.OrganisationUnit", ("name", "shortName", "openingDate"),
    ),
    "categoryOptions": ("categoryOptions", "org.hisp.dhis.category.CategoryOption", ("name", "shortName")),
    "categories": ("categories", "org.hisp.dhis.category.Category", ("name", "shortName", "dataDimensionType")),
    "categoryCombos": ("categoryCombos", "org.hisp.dhis.category.CategoryCombo", ("name", "dataDimensionType")),
    "categoryOptionCombos": ("categoryOptionCombos", "org.hisp.dhis.category.CategoryOptionCombo", ("categoryCombo",)),
    "dataElements": (
        "dataElements", "org.hisp.dhis.dataelement.DataElement",
        ("aggregationType", "domainType", "valueType", "name", "shortName"),
    ),
    "dataSets": ("dataSets", "org.hisp.dhis.dataset.DataSet", ("name", "periodType")),
}  # fmt: skip
#: property -> the list its references are to
_REFERENCES = {
    "categoryOptions": "categoryOptions", "categories": "categories", "categoryCombo": "categoryCombos",
    "categoryOptionCombos": "categoryOptionCombos", "organisationUnits": "orgUnits", "parent": "orgUnits",
}  # fmt: skip
#: list -> what an object has that does not say otherwise
_DEFAULTS: dict[str, Json] = {
    "dataSets": {"elements": [], "orgUnits": []},
    "dataElements": {"zeroIsSignificant": False, "categoryCombo": DEFAULT_COMBO["code"]},
}
#: Kinds whose names must be unique, beside their codes.
_NAMED = ("categoryOptions", "categories", "categoryCombos", "dataElements", "dataSets")
AUTHORITY = "F_METADATA_IMPORT"
READ = tuple(_TYPES)
PATCHED = ("dataSets", "categoryOptionCombos")


class MetadataImport:
    """Imports into ``metadata`` in place; ``reset`` gives back what it was made with."""

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata
        self._first = metadata.given

    def reset(self) -> None:
        self.metadata.become(self._first)

    def answer_post(self, request: Request, applied: Callable[[Json], Any], used: Callable[[str, str], bool]) -> None:
        """``POST /api/metadata``. ``used(list, code)``: does a value, deleted or not, refer to it? Raises Answer."""
        body = parsed(request.body)
        if not isinstance(body, dict):
            raise said(400, "The metadata cannot be read")  # not recorded
        if request.one().get("importStrategy") == "DELETE":
            self._answer_delete(body, used, applied)
        validate = request.one().get("importMode") == "VALIDATE"
        done, report = self.post(body, validate=validate)
        if done and not validate:
            applied({"what": "metadata", **report["stats"]})
        outer = {"httpStatus": "OK", "httpStatusCode": 200, "status": "OK"}
        if not done:  # 012
            text = "One or more errors occurred, please see full details in import report."
            outer = {"httpStatus": "Conflict", "httpStatusCode": 409, "status": "WARNING", "message": text}
        raise Answer(200 if done else 409, {**outer, "response": report})

    def answer_patch(self, collection: str, uid: str, request: Request, applied: Callable[[Json], Any]) -> None:
        """``PATCH /api/<collection>/<uid>``. Raises Answer."""
        changes = parsed(request.body)
        if request.headers.get("content-type", "").partition(";")[0] != "application/json-patch+json":
            raise said(415, "Content-Type is not supported")  # not recorded
        report = self.patch(collection, uid, changes) if isinstance(changes, list) else None
        if report is None:
            raise said(404, f"Object with id {uid} could not be found.", "E1005")
        if report["errorReports"]:  # not recorded for PATCH; the words of 012
            raise Answer(409, {"httpStatus": "Conflict", "httpStatusCode": 409, "status": "ERROR", "response": report})
        applied({"what": "metadata patched", "collection": collection, "uid": uid})
        raise Answer(200, {"httpStatus": "OK", "httpStatusCode": 200, "status": "OK", "response": report})

    def post(self, body: Mapping[str, Any], *, validate: bool) -> tuple[bool, Json]:
        """(was it imported, the import report). All or nothing."""
        reports: list[tuple[str, int, int, list[Json]]] = []
        failed = False
        coming = {row["id"] for rows in body.values() if isinstance(rows, list) for row in rows if "id" in row}
        for collection, rows in body.items():
            if collection not in _TYPES or not isinstance(rows, list):
                continue
            kind, klass, _ = _TYPES[collection]
            there = {o["id"] for o in self.metadata.lists[kind]}
            objects: list[Json] = []
            for index, row in enumerate(rows):
                errors = list(self._errors(collection, row, coming))
                if errors:
                    objects.append({"klass": klass, "index": index, "uid": row.get("id"), "errorReports": errors})
            failed = failed or bool(objects)
            made = sum(row.get("id") not in there for row in rows)
            reports.append((klass, made, len(rows) - made, objects))
        total = {"created": 0, "updated": 0, "deleted": 0, "ignored": 0, "total": 0}
        shown = []
        for klass, made, again, objects in reports:
            count = made + again
            stats = {"created": made, "updated": again, "deleted": 0, "ignored": 0, "total": count}
            if failed:  # 012: with atomicMode=ALL nothing is stored, and everything counts as ignored
                stats |= {"created": 0, "updated": 0, "ignored": count}
            total = {key: total[key] + stats[key] for key in total}
            shown.append({"klass": klass, "stats": stats, "objectReports": objects})
        if not failed and not validate:
            self._store(body)
        status = "ERROR" if failed else "OK"
        return not failed, {"status": status, "stats": total, "typeReports": shown, "responseType": "ImportReport"}

    def _answer_delete(self, body: Json, used: Callable[[str, str], bool], applied: Callable[[Json], Any]) -> None:
        """``importStrategy=DELETE``: what no value and no other object refers to is removed. From the developer guide,
        not recorded. Raises Answer."""
        lists = {kind: [_plain(o) for o in rows] for kind, rows in self.metadata.lists.items()}
        deleted = ignored = 0
        for collection, rows in body.items():
            if collection not in _TYPES or not isinstance(rows, list):
                continue
            kind = _TYPES[collection][0]
            for row in rows:
                found = next((o for o in lists[kind] if o["id"] == row.get("id")), None)
                if found is None or used(kind, found["code"]) or _in_use(lists, kind, found["code"]):
                    ignored += 1
                    continue
                lists[kind].remove(found)
                deleted += 1
        self.metadata.become({**self.metadata.given, **lists})
        applied({"what": "metadata deleted", "deleted": deleted, "ignored": ignored})
        stats = {"created": 0, "updated": 0, "deleted": deleted, "ignored": ignored, "total": deleted + ignored}
        report = {"status": "ERROR" if ignored else "OK", "stats": stats, "responseType": "ImportReport"}
        status = 409 if ignored else 200
        outer = {"httpStatus": "Conflict" if ignored else "OK", "httpStatusCode": status, "status": report["status"]}
        raise Answer(status, {**outer, "response": report})

    def patch(self, collection: str, uid: str, changes: list[Json]) -> Json | None:
        """The object report (010), None for an object that is not there."""
        kind, klass, _ = _TYPES[collection]
        if not any(o["id"] == uid for o in self.metadata.lists[kind]):
            return None
        errors: list[Json] = []
        change = {str(one["path"]).removeprefix("/"): one["value"] for one in changes if one.get("op") == "add"}
        row = {"id": uid, **change}
        if "code" in change:
            errors += self._taken(kind, klass, row, "code")
        errors += self._dangling(row, set(), klass)
        if not errors:
            self._store({collection: [row]}, partly=True)
        return {"uid": uid, "klass": klass, "errorReports": errors, "responseType": "ObjectReport"}

    # ------------------------------------------------------------ what is refused

    def _errors(self, collection: str, row: Json, coming: set[str]) -> Iterator[Json]:
        kind, klass, needed = _TYPES[collection]
        if not isinstance(row.get("id"), str):
            row["id"] = ""
        yield from self._taken(kind, klass, row, "code")
        if kind in _NAMED:
            yield from self._taken(kind, klass, row, "name")
        for name in needed:
            if row.get(name) in (None, ""):
                yield _report("E4000", f"Missing required property `{name}`", klass, name)
        yield from self._dangling(row, coming, klass)

    def _taken(self, kind: str, klass: str, row: Json, name: str) -> Iterator[Json]:
        value = row.get(name)
        short = klass.rsplit(".", 1)[1]
        for other in self.metadata.lists[kind]:
            if value and other.get(name) == value and other["id"] != row["id"]:
                text = f"Property `{name}` with value `{value}` on object {row.get('name')} [{row['id']}] ({short})"
                yield _report("E5003", f"{text} already exists on object {other['id']}", klass, name)

    def _dangling(self, row: Json, coming: set[str], klass: str) -> Iterator[Json]:
        references = [
            (name, kind, one)
            for name, kind in _REFERENCES.items()
            for one in (row[name] if isinstance(row.get(name), list) else [row[name]] if row.get(name) else [])
        ]
        references += [("dataElement", "dataElements", one["dataElement"]) for one in row.get("dataSetElements", ())]
        for name, kind, one in references:
            if one["id"] not in coming and not any(o["id"] == one["id"] for o in self.metadata.lists[kind]):
                text = f"Invalid reference [{one['id']}] ({kind}) on object {row.get('name')} [{row['id']}]"
                yield _report("E5002", f"{text} for association `{name}`", klass, name)

    # ------------------------------------------------------------ what is kept

    def _store(self, body: Mapping[str, Any], *, partly: bool = False) -> None:
        lists = {kind: {o["id"]: _plain(o) for o in rows} for kind, rows in self.metadata.lists.items()}
        codes: dict[str, str] = {o["id"]: o["code"] for rows in lists.values() for o in rows.values()}
        for collection, rows in body.items():
            if collection in _TYPES:
                codes |= {row["id"]: row.get("code") or row["id"] for row in rows if not partly or "code" in row}
        for collection, rows in body.items():
            if collection not in _TYPES:
                continue
            kind = _TYPES[collection][0]
            for row in rows:
                old, default = lists[kind].get(row["id"], {}), _DEFAULTS.get(kind, {})
                before = default | old if partly else old | default  # a patch leaves alone what it does not name (010)
                lists[kind][row["id"]] = before | _ours(kind, row, codes)
        data = {kind: list(rows.values()) for kind, rows in lists.items()}
        self.metadata.become({**self.metadata.given, **data})


def _in_use(lists: Mapping[str, list[Json]], kind: str, code: str) -> bool:
    """Does a data set name it, or an org unit lie below it?"""
    if kind == "orgUnits" and any(unit.get("parent") == code for unit in lists["orgUnits"]):
        return True
    named = {"orgUnits": "orgUnits", "dataElements": "elements"}.get(kind)
    return named is not None and any(code in data_set[named] for data_set in lists["dataSets"])


def _plain(o: Json) -> Json:
    return {key: value for key, value in o.items() if not key.startswith("_") and key != "path"}


def _ours(kind: str, row: Json, codes: Mapping[str, str]) -> Json:
    """An imported object in the shape of ``Metadata`` (docstring of ``dhis2.py``); only what the import names."""
    found: Json = {"id": row["id"], "code": codes[row["id"]]}
    if kind == "categoryOptionCombos":
        found |= (
            {"uncoded": "code" not in row, "name": row.get("name", row["id"])}
            if "categoryCombo" in row
            else {"uncoded": False}
        )
    for theirs, ours in (
        ("name", "name"), ("shortName", "shortName"), ("openingDate", "opening"), ("closedDate", "closed"),
        ("valueType", "valueType"), ("aggregationType", "aggregationType"), ("zeroIsSignificant", "zeroIsSignificant"),
        ("periodType", "periodType"), ("openFuturePeriods", "openFuturePeriods"), ("expiryDays", "expiryDays"),
        ("translations", "translations"), ("description", "description"),
    ):  # fmt: skip
        if theirs in row:
            found[ours] = row[theirs]
    for name in ("parent", "categoryCombo"):
        if name in row:
            found[name] = codes.get(row[name]["id"], DEFAULT_COMBO["code"]) if row[name] else None
    if "dataSetElements" in row:
        found["elements"] = [codes[one["dataElement"]["id"]] for one in row["dataSetElements"]]
    if "organisationUnits" in row:
        found["orgUnits"] = [codes[one["id"]] for one in row["organisationUnits"]]
    if "dataInputPeriods" in row:
        found["inputPeriods"] = [
            {"period": one["period"]["id"], "opening": one["openingDate"][:10], "closing": one["closingDate"][:10]}
            for one in row["dataInputPeriods"]
        ]
    if kind == "categories" and "categoryOptions" in row:
        found["options"] = [codes[one["id"]] for one in row["categoryOptions"]]
    if kind == "categoryCombos" and "categories" in row:
        found["categories"] = [codes[one["id"]] for one in row["categories"]]
    if kind == "categoryOptionCombos" and "categoryOptions" in row:
        found["options"] = [codes[one["id"]] for one in row["categoryOptions"]]
    if kind == "dataSets" and "sharing" in row:  # 153..156, 370: letters 3 and 4 are for the data
        sharing = row["sharing"]
        found["write"] = sharing.get("public", "")[3:4] == "w"
        users = sharing.get("users", {}).items()
        found["writers"] = [uid for uid, one in users if one.get("access", "")[3:4] == "w"]
    return found


def _report(code: str, message: str, klass: str, name: str) -> Json:
    return {"message": message, "mainKlass": klass, "errorCode": code, "errorProperty": name}
