"""The rules of DHIS2 2.42.5 for one posted value: which fault is found first, in the server's own words.

The order is that of the codes, as one row shows only its first fault. Numbers in comments are files of
recordings/dhis2-2.42; what was not recorded says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from connector.sandbox import dhis2_periods as periods

if TYPE_CHECKING:
    from connector.sandbox.dhis2_held import Held

Json = dict[str, Any]
Key = tuple[str, str, str, str, str]  #: element, org unit, period, category option combo, attribute option combo

STRICT = (
    "strictPeriods",
    "strictDataElements",
    "strictCategoryOptionCombos",
    "strictAttributeOptionCombos",
    "strictOrganisationUnits",
)
NUMERIC = {"NUMBER", "PERCENTAGE", "INTEGER", "INTEGER_POSITIVE", "INTEGER_ZERO_OR_POSITIVE", "INTEGER_NEGATIVE"}
_INTEGER = re.compile(r"0|-?[1-9]\d*")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")

#: code -> (property or None, the server's words)
_WORDS: dict[str, tuple[str | None, str]] = {
    "E7600": ("dataSet", "Data set not found or not accessible: `{0}`"),
    "E7601": ("dataSet", "User does not have write access for DataSet: `{0}`"),
    "E7603": ("orgUnit", "Org unit not found or not accessible: `{0}`"),
    "E7604": ("attributeOptionCombo", "Attribute option combo not found or not accessible: `{0}`"),  # not recorded
    "E7610": ("dataElement", "Data element not found or not accessible: `{0}`"),
    "E7611": ("period", "Period not valid: `{0}`"),
    "E7612": ("orgUnit", "Organisation unit not found or not accessible: `{0}`"),
    "E7613": ("categoryOptionCombo", "Category option combo not found or not accessible for writing data: `{0}`"),
    "E7615": ("attributeOptionCombo", "Attribute option combo not found or not accessible for writing data: `{0}`"),
    "E7617": ("orgUnit", "Organisation unit: `{0}` not in hierarchy of current user: `{1}`"),
    "E7618": ("value", "Data value or comment not specified for data element: `{0}`"),
    "E7619": ("value", "Value must match value type of data element `{0}`: `{1}`"),
    "E7621": ("value", "Data value is not a valid option of the data element option set: `{0}`"),
    "E7632": (None, "Period type of period: `{0}` not valid for data element: `{1}`"),
    "E7633": ("dataElement", "Data element: `{0}` is not part of dataset(s): `{1}`"),
    "E7634": (
        "categoryOptionCombo",
        "Category option combo: `{0}` must be part of category combo of data element: `{1}`",
    ),
    "E7635": (
        "attributeOptionCombo",
        "Attribute option combo: `{0}` must be part of category combo of data sets of data element: `{1}`",
    ),
    "E7636": ("orgUnit", "Data element: `{1}` must be assigned through data sets to organisation unit: `{0}`"),
    "E7640": ("period", "Current date is past expiry days for period: `{0}`  and data set: `{1}`"),
    "E7641": (
        "period",
        "Period: `{0}` is after latest open future period: `{3}` for data element: `{1}` and data set: `{2}`",
    ),
    "E7642": (
        None,
        "Data already approved for data set: `{3}` period: `{1}` org unit: `{0}` attribute option combo: `{2}`",
    ),
    "E7643": ("period", "Period: `{0}` is not open for this data set at this time: `{1}`"),
}


class Failed(Exception):
    """The import broke inside the server: 409 ERROR with "The import process failed: ..." and nothing stored."""


class Fault(Exception):
    """One conflict. ``object`` is the first of ``objects``; an id that is missing is in neither (075)."""

    def __init__(self, code: str, objects: Mapping[str, Any], *more: str) -> None:
        super().__init__(code)
        prop, words = _WORDS.get(code, (None, "Refused by the sandbox"))
        shown = {name: value for name, value in objects.items() if value is not None}
        self.conflict: Json = {"object": next(iter(shown.values()))} if shown else {}
        text = words.format(*("null" if value is None else value for value in objects.values()), *more)
        self.conflict |= {"objects": shown, "value": text, "errorCode": code}
        if prop:
            self.conflict["property"] = prop


class Aborted(Fault):
    """The header of the request was refused: nothing stored, one conflict without indexes."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the rows of one request have in common. ``force`` is already off for those who may not."""

    body: Json
    scheme: Mapping[str, str]
    strict: set[str]
    force: bool
    user: Json
    data_set: Json | None
    org_unit: Json | None


@dataclass(frozen=True, slots=True)
class Row:
    """A row resolved: the ids as sent, and the objects they name."""

    de: str
    pe: str
    ou: str
    coc: str | None
    aoc: str | None
    element: Json
    period: periods.Period
    unit: Json
    combo: Json
    attribute: Json

    @property
    def key(self) -> Key:
        return self.element["code"], self.unit["code"], self.period.name, self.combo["code"], self.attribute["code"]


def superuser(user: Json) -> bool:
    return "ALL" in user["authorities"]


def may_write(data_set: Json, user: Json) -> bool:
    """By its public sharing (``write``), that with single users (``writers``), or as a superuser."""
    return bool(data_set.get("write", True)) or user.get("id") in data_set.get("writers", ()) or superuser(user)


class Rules:
    def __init__(self, held: Held) -> None:
        self.held, self.metadata, self.lock_exceptions = held, held.metadata, held.lock_exceptions

    def header(self, body: Json, scheme: Mapping[str, str], user: Json) -> tuple[Json | None, Json | None]:
        """The data set and the org unit the header names. Raises Aborted."""
        find, named = self.metadata.find, body.get("dataSet")
        data_set = find("dataSets", scheme["dataSets"], named)
        if named and data_set is None:  # 072, 205
            raise Aborted("E7600", {"dataSet": named})
        if data_set and not may_write(data_set, user):  # 154
            raise Aborted("E7601", {"dataSet": named})
        unit = find("orgUnits", scheme["orgUnits"], body.get("orgUnit"))
        if body.get("orgUnit") and unit is None:  # 073
            raise Aborted("E7603", {"organisationUnit": body["orgUnit"], "dataSet": named})
        aoc = body.get("attributeOptionCombo")
        if aoc and find("categoryOptionCombos", scheme["categoryOptionCombos"], aoc) is None:
            raise Aborted("E7604", {"categoryOptionCombo": aoc, "dataSet": named})
        return data_set, unit

    def check(self, raw: Json, request: Request) -> tuple[Key, str | None]:
        """The key (in codes) and the value to store. Raises Fault with the first fault, or Failed."""
        row = self._resolved(raw, request)
        if not self.metadata.under(row.unit, request.user["orgUnits"]):  # superusers too (142)
            raise Fault("E7617", {"organisationUnit": row.ou, "user": request.user["id"]})
        value = _value(raw, row)
        self._strictly(row, request)
        if not request.force:  # 128, 265
            for data_set in [request.data_set] if request.data_set else self.metadata.sets_of(row.element["code"]):
                self._timely(row, data_set, request.user)  # 127: no dataSet, every set of the element
        return row.key, value

    def _resolved(self, raw: Json, request: Request) -> Row:
        find, scheme, body = self.metadata.find, request.scheme, request.body
        # What the header says wins over the row (169, 170).
        pe, ou, aoc = (body.get(name) or raw.get(name) for name in ("period", "orgUnit", "attributeOptionCombo"))
        de, coc = raw.get("dataElement"), raw.get("categoryOptionCombo")
        element = find("dataElements", scheme["dataElements"], de)
        if element is None:
            raise Fault("E7610", {"dataElement": de})
        period = periods.parse(pe)
        if period is None:
            raise Fault("E7611", {"period": pe})
        unit = find("orgUnits", scheme["orgUnits"], ou)
        if unit is None:
            raise Fault("E7612", {"organisationUnit": ou})
        combo, attribute = self._combo(coc, scheme), self._combo(aoc, scheme)
        if combo is None:
            raise Fault("E7613", {"categoryOptionCombo": coc})
        if attribute is None:
            raise Fault("E7615", {"categoryOptionCombo": aoc})
        return Row(str(de), str(pe), str(ou), coc, aoc, element, period, unit, combo, attribute)

    def _combo(self, given: Any, scheme: Mapping[str, str]) -> Json | None:
        """Left out or empty: the default combo, on a disaggregated element too (078, 079, 080)."""
        if not given:
            return self.metadata.by_code("categoryOptionCombos", "default")
        return self.metadata.find("categoryOptionCombos", scheme["categoryOptionCombos"], given)

    def _strictly(self, row: Row, request: Request) -> None:
        strict, element, sets = request.strict, row.element, self.metadata.sets_of(row.element["code"])
        if "strictPeriods" in strict and row.period.type not in {s["periodType"] for s in sets}:  # 115
            raise Fault("E7632", {"period": row.pe, "dataElement": row.de})
        held = request.data_set
        if "strictDataElements" in strict and held and element["code"] not in held["_elements"]:  # 149
            raise Fault("E7633", {"dataElement": row.de, "dataSet": request.body["dataSet"]})
        if "strictCategoryOptionCombos" in strict and row.combo["categoryCombo"] != element["categoryCombo"]:  # 082
            raise Fault("E7634", {"categoryOptionCombo": row.coc, "dataElement": row.de})
        attributes = {s.get("categoryCombo", "default") for s in sets}
        if "strictAttributeOptionCombos" in strict and row.attribute["categoryCombo"] not in attributes:  # 084
            raise Fault("E7635", {"categoryOptionCombo": row.aoc, "dataElement": row.de})
        assigned = any(row.unit["code"] in s["_units"] for s in sets)
        if "strictOrganisationUnits" in strict and not assigned:  # 140, 141
            raise Fault("E7636", {"organisationUnit": row.ou, "dataElement": row.de})

    def _timely(self, row: Row, data_set: Json, user: Json) -> None:
        """Expiry, future, approval, input periods. Closed org units are not looked at (144, 146)."""
        period, pe, unit, uid = row.period, row.period.name, row.unit["code"], data_set["id"]
        days = timedelta(days=int(data_set.get("expiryDays", 0)))
        free = superuser(user) or "F_EDIT_EXPIRED" in user["authorities"]
        free = free or (data_set["code"], pe, unit) in self.lock_exceptions
        today = self.held.today
        if days and today > period.end + days and not free:  # 125, 126, 131
            raise Fault("E7640", {"period": pe, "dataSet": uid})
        last = periods.around(data_set["periodType"], today, int(data_set.get("openFuturePeriods", 0)) - 1)
        if period.end > last.end:  # superusers too (121-124)
            raise Fault("E7641", {"period": pe, "dataElement": row.de, "dataSet": uid}, last.name)
        if any([unit, pe] == list(pair) for pair in data_set.get("approved", ())):  # unchanged values too (264)
            combo = row.aoc or row.attribute["id"]
            raise Fault(
                "E7642", {"organisationUnit": row.ou, "period": pe, "categoryOptionCombo": combo, "dataSet": uid}
            )
        windows, day = data_set.get("inputPeriods"), today.isoformat()
        if windows and not any(w["period"] == pe and w["opening"] <= day <= w["closing"] for w in windows):
            raise Fault("E7643", {"period": pe, "dataSet": uid})  # 133-137, superusers too


def _value(raw: Json, row: Row) -> str | None:
    given, gone, element = raw.get("value"), bool(raw.get("deleted")), row.element
    if given is None or given == "":
        if gone and element.get("options"):  # 053, 055
            raise Failed("null")
        if not gone and not raw.get("comment"):  # 056, 057; a comment alone is stored (058)
            raise Fault("E7618", {"dataElement": row.de})
        return None
    value = str(given).lower() if isinstance(given, bool) else str(given)  # 106, 107, 108
    if "\0" in value:  # 112
        raise Failed("Failed to update object")
    if wrong := wrong_type(element["valueType"], value):
        fault = Fault("E7619", {"dataElement": row.de}, wrong[1])
        fault.conflict["objects"]["value"] = wrong[0]
        raise fault
    if element.get("options") and value not in element["options"]:  # 105
        raise Fault("E7621", {"dataElement": row.de})
    if element["valueType"] in ("BOOLEAN", "TRUE_ONLY"):  # stored as true / false (099, 101, 113)
        return {"1": "true", "0": "false"}.get(value, value.lower())
    return value


def vanishing_zero(element: Json, value: str | None) -> bool:
    """Nought on an element for which nought does not count: never stored (040, 041)."""
    if element["zeroIsSignificant"] or element["valueType"] not in NUMERIC or value is None:
        return False
    return float(value) == 0 and not str(element.get("aggregationType", "SUM")).startswith("AVERAGE")


def wrong_type(kind: str, value: str) -> tuple[str, str] | None:
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
