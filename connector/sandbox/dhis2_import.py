"""What DHIS2 2.42.5 does with posted values and completions: the rules, one after the other, and the summary.

The order of the checks is that of their codes, as one row shows only its first fault. Numbers in comments are files
of recordings/dhis2-2.42; what was not recorded says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from connector.sandbox import dhis2_periods as periods
from connector.sandbox.dhis2_metadata import Metadata

Json = dict[str, Any]
Key = tuple[str, str, str, str, str]  #: element, org unit, period, category option combo, attribute option combo

STRATEGIES = {
    "CREATE": "CREATE",
    "UPDATE": "UPDATE",
    "CREATE_AND_UPDATE": "CREATE_AND_UPDATE",
    "DELETE": "DELETE",
    "NEW": "CREATE",
    "UPDATES": "UPDATE",
    "NEW_AND_UPDATES": "CREATE_AND_UPDATE",  # 426-x-old-strategy-name
    "DELETES": "DELETE",
}
STRICT = (
    "strictPeriods",
    "strictDataElements",
    "strictCategoryOptionCombos",
    "strictAttributeOptionCombos",
    "strictOrganisationUnits",
)
_SCHEME_KEYS = {
    "dataElements": "dataElementIdScheme",
    "orgUnits": "orgUnitIdScheme",
    "dataSets": "dataSetIdScheme",
    "categoryOptionCombos": "categoryOptionComboIdScheme",
}
_NUMERIC = {
    "NUMBER",
    "PERCENTAGE",
    "INTEGER",
    "INTEGER_POSITIVE",
    "INTEGER_ZERO_OR_POSITIVE",
    "INTEGER_NEGATIVE",
}
_INTEGER = re.compile(r"0|-?[1-9]\d*")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")


class Failed(Exception):
    """The import broke inside the server: 409 ERROR with "The import process failed: ..." and nothing stored."""


class Aborted(Exception):
    """The header of the request was refused: nothing stored, one conflict without indexes."""

    def __init__(self, conflict: Json) -> None:
        super().__init__(conflict["errorCode"])
        self.conflict = conflict


class _Row(Exception):
    def __init__(self, code: str, prop: str | None, message: str, objects: Mapping[str, Any]) -> None:
        super().__init__(code)
        self.conflict = _conflict(code, prop, message, objects)


def _conflict(code: str, prop: str | None, message: str, objects: Mapping[str, Any]) -> Json:
    """``object`` is the first of ``objects``; an id that is missing is in neither (075-dv-missing-period)."""
    shown = {name: value for name, value in objects.items() if value is not None}
    first = {"object": next(iter(shown.values()))} if shown else {}
    return {
        **first,
        "objects": shown,
        "value": message,
        "errorCode": code,
        **({"property": prop} if prop else {}),
    }


@dataclass(slots=True)
class Summary:
    imported: int = 0
    updated: int = 0
    ignored: int = 0
    deleted: int = 0
    conflicts: list[Json] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    complete: str = "false"

    def refuse(self, conflict: Json, index: int) -> None:
        """Equal faults are one conflict with many indexes (411-big-2000-half-bad)."""
        self.ignored += 1
        self.rejected.append(index)
        for known in self.conflicts:
            if known["errorCode"] == conflict["errorCode"] and known["value"] == conflict["value"]:
                known["indexes"].append(index)
                return
        self.conflicts.append({**conflict, "indexes": [index]})

    @property
    def counts(self) -> Json:
        return {
            "imported": self.imported,
            "updated": self.updated,
            "ignored": self.ignored,
            "deleted": self.deleted,
        }


def schemes(query: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, str]:
    """Id scheme by kind; keys of the body win (202-code-in-body). Attribute option combos follow the combos' (207)."""
    general = str(body.get("idScheme") or query.get("idScheme") or "UID").upper()
    return {kind: str(body.get(key) or query.get(key) or general).upper() for kind, key in _SCHEME_KEYS.items()}


class Importer:
    """Checks and stores. ``values`` and ``completions`` belong to the simulator and are changed in place."""

    def __init__(
        self,
        metadata: Metadata,
        today: date,
        values: dict[Key, Json],
        completions: dict[Any, Json],
        applied: Callable[[Json], None],
    ) -> None:
        self.metadata, self.today = metadata, today
        self.values, self.completions, self.applied = values, completions, applied
        self.lock_exceptions: set[tuple[str, str, str]] = set()  #: (data set, period, org unit) codes

    # ------------------------------------------------------------ values

    def values_in(
        self,
        body: Json,
        query: Mapping[str, str],
        user: Json,
        refused: Callable[[Mapping[str, str]], str | None],
    ) -> Summary:
        """Import a posted data value set. ``refused(row in codes)`` is the test hook: a code, "vanish" or None.

        Raises Aborted and Failed.
        """
        scheme = schemes(query, body)
        strict = {name for name in STRICT if query.get(name) == "true"}
        strategy = STRATEGIES[query.get("importStrategy", "CREATE_AND_UPDATE").upper()]
        dry = query.get("dryRun") == "true"
        force = query.get("force") == "true" and _super(user)  # 128: silently ignored for others; 265
        header = self._header(body, scheme, user)
        summary = Summary()
        if body.get("completeDate"):  # before the rows, whatever becomes of them, even in a dry run (195, 198)
            summary.complete = str(body["completeDate"])
            if header["orgUnit"] and body.get("period"):
                self._complete(
                    header["dataSet"],
                    header["orgUnit"],
                    body["period"],
                    "default",
                    summary.complete,
                    True,
                    user,
                )
        staged: list[tuple[Key, Json, str]] = []
        view: dict[Key, Json] = {}
        created: set[Key] = set()
        for index, row in enumerate(body.get("dataValues") or []):
            try:
                key, value = self._checked(row, body, header, scheme, strict, force, user)
                match refused({"dataSet": header["dataSet"]["code"] if header["dataSet"] else "", **_named(key)}):
                    case "vanish":
                        continue
                    case str(code):
                        raise _Row(
                            code,
                            None,
                            f"Refused by the sandbox: `{code}`",
                            {"dataElement": row.get("dataElement")},
                        )
            except _Row as fault:
                summary.refuse(fault.conflict, index)
                continue
            if key in created:
                continue  # 501-z-dup-new-three: of equal new keys the first is stored, the others are in no counter
            before = view.get(key, self.values.get(key))
            action = self._decide(before, row, value, strategy, key)
            match action:
                case "imported" | "updated" | "deleted":
                    setattr(summary, action, getattr(summary, action) + 1)
                    gone = action == "deleted" or bool(row.get("deleted"))
                    stored = {
                        "value": value,
                        "storedBy": row.get("storedBy") or user["username"],  # 190, 191
                        "comment": row.get("comment"),
                        "deleted": gone,
                    }
                    view[key] = stored
                    staged.append((key, stored, action))
                    if before is None:
                        created.add(key)
                case "unchanged":
                    summary.ignored += 1
                case "rejected":  # 061, 062, 052: ignored and in rejectedIndexes, without a conflict
                    summary.ignored += 1
                    summary.rejected.append(index)
        if not dry:
            for key, stored, action in staged:
                self.values[key] = stored
                self.applied({"kind": "value", "action": action, **_named(key), **stored, "user": user["username"]})
        return summary

    def _header(self, body: Json, scheme: Mapping[str, str], user: Json) -> Json:
        found: Json = {"dataSet": None, "orgUnit": None, "aoc": None}
        named = body.get("dataSet")
        if named:
            data_set = found["dataSet"] = self.metadata.find("dataSets", scheme["dataSets"], named)
            if data_set is None:  # 072, 205
                raise Aborted(
                    _conflict(
                        "E7600",
                        "dataSet",
                        f"Data set not found or not accessible: `{named}`",
                        {"dataSet": named},
                    )
                )
            if not may_write(data_set, user):  # 154
                raise Aborted(
                    _conflict(
                        "E7601",
                        "dataSet",
                        f"User does not have write access for DataSet: `{named}`",
                        {"dataSet": named},
                    )
                )
        if unit := body.get("orgUnit"):
            found["orgUnit"] = self.metadata.find("orgUnits", scheme["orgUnits"], unit)
            if found["orgUnit"] is None:  # 073
                raise Aborted(
                    _conflict(
                        "E7603",
                        "orgUnit",
                        f"Org unit not found or not accessible: `{unit}`",
                        {"organisationUnit": unit, "dataSet": named},
                    )
                )
        if aoc := body.get("attributeOptionCombo"):
            found["aoc"] = self.metadata.find("categoryOptionCombos", scheme["categoryOptionCombos"], aoc)
            if found["aoc"] is None:  # not recorded; shaped like E7603
                raise Aborted(
                    _conflict(
                        "E7604",
                        "attributeOptionCombo",
                        f"Attribute option combo not found or not accessible: `{aoc}`",
                        {"categoryOptionCombo": aoc, "dataSet": named},
                    )
                )
        return found

    def _checked(
        self,
        row: Json,
        body: Json,
        header: Json,
        scheme: Mapping[str, str],
        strict: set[str],
        force: bool,
        user: Json,
    ) -> tuple[Key, str | None]:
        """The key (in codes) and the value to store, or _Row with the first fault."""
        find = self.metadata.find
        ids = {name: body.get(name) or row.get(name) for name in ("period", "orgUnit", "attributeOptionCombo")}  # 169
        de, pe, ou, aoc = row.get("dataElement"), ids["period"], ids["orgUnit"], ids["attributeOptionCombo"]
        coc = row.get("categoryOptionCombo")
        element = find("dataElements", scheme["dataElements"], de)
        if element is None:
            raise _Row(
                "E7610",
                "dataElement",
                f"Data element not found or not accessible: `{_shown(de)}`",
                {"dataElement": de},
            )
        period = periods.parse(pe)
        if period is None:
            raise _Row("E7611", "period", f"Period not valid: `{_shown(pe)}`", {"period": pe})
        unit = find("orgUnits", scheme["orgUnits"], ou)
        if unit is None:
            raise _Row(
                "E7612",
                "orgUnit",
                f"Organisation unit not found or not accessible: `{_shown(ou)}`",
                {"organisationUnit": ou},
            )
        combos = {}
        for name, uid, code, word in (
            ("categoryOptionCombo", coc, "E7613", "Category"),
            ("attributeOptionCombo", aoc, "E7615", "Attribute"),
        ):
            # left out or empty: the default combo, on a disaggregated element too (078, 079, 080)
            combos[name] = find(
                "categoryOptionCombos", scheme["categoryOptionCombos"] if uid else "CODE", uid or "default"
            )
            if combos[name] is None:
                raise _Row(
                    code,
                    name,
                    f"{word} option combo not found or not accessible for writing data: `{uid}`",
                    {"categoryOptionCombo": uid},
                )
        if not self.metadata.under(unit, user["orgUnits"]):  # superusers too (142)
            raise _Row(
                "E7617",
                "orgUnit",
                f"Organisation unit: `{ou}` not in hierarchy of current user: `{user['id']}`",
                {"organisationUnit": ou, "user": user["id"]},
            )
        value = self._value(row, element, str(de))
        self._strict(
            strict,
            element,
            str(de),
            period,
            str(pe),
            unit,
            str(ou),
            combos,
            coc,
            aoc,
            header["dataSet"],
            body,
        )
        if not force:
            self._timely(element, str(de), period, unit, str(ou), combos, aoc, header["dataSet"], user)
        key = (
            element["code"],
            unit["code"],
            period.name,
            combos["categoryOptionCombo"]["code"],
            combos["attributeOptionCombo"]["code"],
        )
        return key, value

    def _value(self, row: Json, element: Json, de: str) -> str | None:
        raw, gone = row.get("value"), bool(row.get("deleted"))
        value = None if raw is None or raw == "" else str(raw).lower() if isinstance(raw, bool) else str(raw)  # 106-108
        if value is None:
            if gone and element.get("options"):  # 053, 055
                raise Failed("null")
            if not gone and not row.get("comment"):  # 056, 057; a comment alone is stored (058)
                raise _Row(
                    "E7618",
                    "value",
                    f"Data value or comment not specified for data element: `{de}`",
                    {"dataElement": de},
                )
            return None
        if "\0" in value:  # 112
            raise Failed("Failed to update object")
        if fault := _wrong_type(element["valueType"], value):
            key, text = fault
            raise _Row(
                "E7619",
                "value",
                f"Value must match value type of data element `{de}`: `{text}`",
                {"dataElement": de, "value": key},
            )
        if element.get("options") and value not in element["options"]:  # 105
            raise _Row(
                "E7621",
                "value",
                f"Data value is not a valid option of the data element option set: `{de}`",
                {"dataElement": de},
            )
        if element["valueType"] in ("BOOLEAN", "TRUE_ONLY"):  # stored as true / false (099, 101, 113)
            return {"1": "true", "0": "false"}.get(value, value.lower())
        return value

    def _strict(
        self,
        strict: set[str],
        element: Json,
        de: str,
        period: periods.Period,
        pe: str,
        unit: Json,
        ou: str,
        combos: Json,
        coc: Any,
        aoc: Any,
        data_set: Json | None,
        body: Json,
    ) -> None:
        sets = self.metadata.sets_of(element["code"])
        if "strictPeriods" in strict and period.type not in {s["periodType"] for s in sets}:  # 115
            raise _Row(
                "E7632",
                None,
                f"Period type of period: `{pe}` not valid for data element: `{de}`",
                {"period": pe, "dataElement": de},
            )
        if "strictDataElements" in strict and data_set and element["code"] not in data_set["_elements"]:  # 149
            raise _Row(
                "E7633",
                "dataElement",
                f"Data element: `{de}` is not part of dataset(s): `{body['dataSet']}`",
                {"dataElement": de, "dataSet": body["dataSet"]},
            )
        if (
            "strictCategoryOptionCombos" in strict
            and combos["categoryOptionCombo"]["categoryCombo"] != element["categoryCombo"]
        ):  # 082
            raise _Row(
                "E7634",
                "categoryOptionCombo",
                f"Category option combo: `{coc}` must be part of category combo of data element: `{de}`",
                {"categoryOptionCombo": coc, "dataElement": de},
            )
        if "strictAttributeOptionCombos" in strict and combos["attributeOptionCombo"]["categoryCombo"] not in {
            s.get("categoryCombo", "default") for s in sets
        }:  # 084
            raise _Row(
                "E7635",
                "attributeOptionCombo",
                f"Attribute option combo: `{aoc}` must be part of category combo of data sets of data element: `{de}`",
                {"categoryOptionCombo": aoc, "dataElement": de},
            )
        if "strictOrganisationUnits" in strict and not any(unit["code"] in s["_units"] for s in sets):  # 140, 141
            raise _Row(
                "E7636",
                "orgUnit",
                f"Data element: `{de}` must be assigned through data sets to organisation unit: `{ou}`",
                {"organisationUnit": ou, "dataElement": de},
            )

    def _timely(
        self,
        element: Json,
        de: str,
        period: periods.Period,
        unit: Json,
        ou: str,
        combos: Json,
        aoc: Any,
        data_set: Json | None,
        user: Json,
    ) -> None:
        """Expiry, future, approval, input periods. Closed org units are not looked at (144, 146)."""
        pe = period.name
        for held in [data_set] if data_set else self.metadata.sets_of(element["code"]):  # 127: no dataSet, every set
            named = {"period": pe, "dataSet": held["id"]}
            days = int(held.get("expiryDays", 0))
            free = (
                _super(user)
                or "F_EDIT_EXPIRED" in user["authorities"]
                or (held["code"], pe, unit["code"]) in self.lock_exceptions
            )
            if days and self.today > period.end + timedelta(days=days) and not free:  # 125, 126, 131
                raise _Row(
                    "E7640",
                    "period",
                    f"Current date is past expiry days for period: `{pe}`  and data set: `{held['id']}`",
                    named,
                )
            last = periods.around(held["periodType"], self.today, int(held.get("openFuturePeriods", 0)) - 1)
            if period.end > last.end:  # superusers too (121-124)
                raise _Row(
                    "E7641",
                    "period",
                    f"Period: `{pe}` is after latest open future period: `{last.name}` for data element: `{de}` and data set: `{held['id']}`",
                    {"period": pe, "dataElement": de, "dataSet": held["id"]},
                )
            if [unit["code"], pe] in [list(pair) for pair in held.get("approved", ())]:  # unchanged values too (264)
                shown = aoc or combos["attributeOptionCombo"]["id"]
                raise _Row(
                    "E7642",
                    None,
                    f"Data already approved for data set: `{held['id']}` period: `{pe}` org unit: `{ou}` attribute option combo: `{shown}`",
                    {
                        "organisationUnit": ou,
                        "period": pe,
                        "categoryOptionCombo": shown,
                        "dataSet": held["id"],
                    },
                )
            windows = held.get("inputPeriods")
            if windows and not any(
                w["period"] == pe and w["opening"] <= self.today.isoformat() <= w["closing"] for w in windows
            ):
                raise _Row(
                    "E7643",
                    "period",
                    f"Period: `{pe}` is not open for this data set at this time: `{held['id']}`",
                    named,
                )  # 133-137

    def _decide(self, before: Json | None, row: Json, value: str | None, strategy: str, key: Key) -> str:
        there = before is not None and not before["deleted"]
        if strategy == "DELETE":
            return "deleted" if there else "rejected"  # 051, 052
        if row.get("deleted"):
            # 044, 046: with a value a missing key counts as imported and leaves a deleted row; 047: without, ignored
            return "deleted" if there else "imported" if value is not None else "unchanged"
        if (strategy == "CREATE" and there) or (strategy == "UPDATE" and not there):
            return "rejected"
        if self._vanishing_zero(key[0], value):
            return "deleted" if there else "uncounted"  # 041, 040
        if not there:
            return "imported"  # 050: also what was deleted before
        assert before is not None
        same = before["value"] == value and before["comment"] == row.get("comment")  # 036, 038
        return "unchanged" if same else "updated"

    def _vanishing_zero(self, element_code: str, value: str | None) -> bool:
        element = self.metadata.by_code("dataElements", element_code)
        if element["zeroIsSignificant"] or element["valueType"] not in _NUMERIC or value is None:
            return False
        return float(value) == 0 and not str(element.get("aggregationType", "SUM")).startswith("AVERAGE")

    # ------------------------------------------------------------ completions

    def completions_in(self, body: Json, query: Mapping[str, str], user: Json) -> Summary:
        """Almost nothing is checked: not the authority, expiry, future, period type or assignment (235-241)."""
        scheme = schemes(query, body)
        strategy = STRATEGIES[query.get("importStrategy", "CREATE_AND_UPDATE").upper()]
        summary = Summary()
        for row in body.get("completeDataSetRegistrations") or []:
            data_set = self.metadata.find("dataSets", scheme["dataSets"], row.get("dataSet"))
            unit = self.metadata.find("orgUnits", scheme["orgUnits"], row.get("organisationUnit"))
            period = periods.parse(row.get("period"))
            combo = row.get("attributeOptionCombo")
            aoc = self.metadata.find(
                "categoryOptionCombos",
                scheme["categoryOptionCombos"] if combo else "CODE",
                combo or "default",
            )
            fault = self._completion_fault(row, data_set, unit, period, aoc, user, strategy)
            if fault:
                summary.ignored += 1
                summary.conflicts.append(fault)  # no code, no indexes (232)
                continue
            assert data_set and unit and period and aoc
            key = (data_set["code"], unit["code"], period.name, aoc["code"])
            there = key in self.completions
            if (strategy == "CREATE" and there) or (strategy in ("UPDATE", "DELETE") and not there):
                summary.ignored += 1  # 230; UPDATE and DELETE of a missing one: not recorded
                continue
            action = "deleted" if strategy == "DELETE" else "updated" if there else "imported"
            setattr(summary, action, getattr(summary, action) + 1)
            if query.get("dryRun") == "true":
                continue
            if action == "deleted":
                self.uncomplete(key, user)
            else:
                self._complete(
                    data_set,
                    unit,
                    period.name,
                    aoc["code"],
                    row.get("date") or self.today.isoformat(),
                    row.get("completed", True),
                    user,
                    row.get("storedBy"),
                )
        return summary

    def _completion_fault(
        self,
        row: Json,
        data_set: Json | None,
        unit: Json | None,
        period: periods.Period | None,
        aoc: Json | None,
        user: Json,
        strategy: str,
    ) -> Json | None:
        if data_set is None:
            return {"object": row.get("dataSet"), "value": "Data set not found or not accessible"}
        if period is None:
            return {"object": row.get("period"), "value": "Period not valid"}  # 234
        if unit is None:
            return {
                "object": row.get("organisationUnit"),
                "value": "Organisation unit not found or not accessible",
            }  # 233
        if aoc is None:  # not recorded
            return {
                "object": row.get("attributeOptionCombo"),
                "value": "Attribute option combo not found or not accessible",
            }
        if not self.metadata.under(unit, user["orgUnits"]):  # 239
            return {
                "object": row["organisationUnit"],
                "value": f"Organisation unit is not in hierarchy of user: {user['username']}",
            }
        for element, combo in data_set.get("compulsory", ()):
            held = self.values.get((element, unit["code"], period.name, combo, aoc["code"]))
            if strategy != "DELETE" and (held is None or held["deleted"]):  # 242
                name = self.metadata.by_code("dataElements", element)["name"]
                return {
                    "object": "dataElementOperand",
                    "value": f"{name} needs to be filled. It is compulsory.",
                }
        return None

    def _complete(
        self,
        data_set: Json,
        unit: Json,
        period: str,
        aoc: str,
        day: str,
        completed: bool,
        user: Json,
        stored_by: str | None = None,
    ) -> None:
        key = (data_set["code"], unit["code"], period, aoc)
        entry = {"date": day, "completed": completed, "storedBy": stored_by or user["username"]}
        self.completions[key] = entry
        self.applied(
            {
                "kind": "completion",
                "action": "stored",
                **completion_named(key),
                **entry,
                "user": user["username"],
            }
        )

    def uncomplete(self, key: tuple[str, str, str, str], user: Json) -> None:
        if self.completions.pop(key, None) is not None:
            self.applied({"kind": "completion", "action": "deleted", **completion_named(key), "user": user["username"]})


def _named(key: Key) -> dict[str, str]:
    names = ("dataElement", "orgUnit", "period", "categoryOptionCombo", "attributeOptionCombo")
    return dict(zip(names, key, strict=True))


def completion_named(key: tuple[str, str, str, str]) -> dict[str, str]:
    return dict(zip(("dataSet", "orgUnit", "period", "attributeOptionCombo"), key, strict=True))


def _super(user: Json) -> bool:
    return "ALL" in user["authorities"]


def may_write(data_set: Json, user: Json) -> bool:
    return bool(data_set.get("write", True)) or _super(user)


def _shown(value: object) -> object:
    return "null" if value is None else value


def _wrong_type(kind: str, value: str) -> tuple[str, str] | None:
    """The server's key for the fault and the words it shows (088-110, 513-517)."""
    match kind:
        case "NUMBER" | "PERCENTAGE":
            if not _NUMBER.fullmatch(value):
                return "value_not_numeric", "Data value is not numeric"
            if kind == "PERCENTAGE" and not 0 <= float(value) <= 100:
                return "value_not_percentage", "Data value is not a percentage"
        case "INTEGER" | "INTEGER_POSITIVE" | "INTEGER_ZERO_OR_POSITIVE" | "INTEGER_NEGATIVE":
            number = int(value) if _INTEGER.fullmatch(value) else None
            good = number is not None and abs(number) < 2**31  # 109
            if kind == "INTEGER_POSITIVE" and not (good and number > 0):  # type: ignore[operator]
                return "value_not_positive_integer", "Data value is not a positive integer"
            if kind == "INTEGER_ZERO_OR_POSITIVE" and not (good and number >= 0):  # type: ignore[operator]
                return (
                    "value_not_zero_or_positive_integer",
                    "value_not_zero_or_positive_integer",
                )  # 411: shows its key
            if kind == "INTEGER_NEGATIVE" and not (good and number < 0):  # type: ignore[operator]
                return "value_not_negative_integer", "Data value is not a negative integer"
            if not good:
                return "value_not_integer", "Data value is not an integer"
        case "BOOLEAN" if value.lower() not in ("true", "false", "1", "0"):
            return "value_not_bool", "Data value is not a boolean"
        case "TRUE_ONLY" if value.lower() not in ("true", "1"):
            return "value_not_true_only", "Data value is not true"
        case "DATE":
            try:
                date.fromisoformat(value)
            except ValueError:
                return "value_not_valid_date", "Data value is not a valid date"
        case _ if len(value) > 50_000:  # 110
            return "value_length_greater_than_max_length", "Data value is greater than max length"
    return None
