"""The rules of DHIS2 2.43.1 for posted values, in the order in which it looks, in its own words.

Numbers in comments are files of recordings/dhis2-2.43; what was not recorded says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from connector.sandbox import dhis2_periods as periods
from connector.sandbox.dhis2_held import Held, schemes
from connector.sandbox.dhis2_rules import Json, Key, may_write, superuser, wrong_type

_UID = re.compile(r"[A-Za-z][A-Za-z0-9]{10}")
#: kind of object -> (its name in messages, code of a missing id, of an unknown one, of one that is no UID)
_KINDS = {
    "dataElements": ("data element", "E8102", "E8103", "E8104"),
    "orgUnits": ("org unit", "E8105", "E8107", "E8106"),
    "categoryOptionCombos": ("category option combo", "", "E8108", "E8109"),  # not recorded
    "attribute": ("attribute option combo", "", "E8110", "E8111"),  # not recorded
}


class Broken(Exception):
    """The import broke inside the server: 500 for the whole request, with the words of its program."""


class _Fault(Exception):
    def __init__(self, conflict: Json) -> None:
        super().__init__(conflict["errorCode"])
        self.conflict = conflict


class Undecodable(_Fault):
    """An id that is none: the whole request is refused, and ``indexes`` is [-1]."""


class Refused(_Fault):
    """The group is refused, every row of it, and no counter counts it."""


def conflict(code: str, words: str, *args: object) -> Json:
    """``words`` with the arguments, which are all that ``objects`` has."""
    return {"objects": {"args": "-".join(map(str, args))}, "value": words.format(*args), "errorCode": code}


@dataclass(frozen=True, slots=True)
class Row:
    """A row decoded. Its ids are UIDs; what they name may not be there: that is for the group."""

    index: int
    de: str
    ou: str
    coc: str
    aoc: str
    period: periods.Period
    element: Json
    unit: Json
    combo: Json
    attribute: Json
    omitted: bool  #: no category option combo was sent
    value: str | None
    comment: str | None
    follow_up: bool
    deleted: bool

    @property
    def key(self) -> Key:
        """In codes; of a group that passed its checks."""
        return self.element["code"], self.unit["code"], self.period.name, self.combo["code"], self.attribute["code"]


@dataclass(slots=True)
class Group:
    """The rows of one request, for one data set: that of the header (``uid``), or the one that all elements are in."""

    uid: str
    data_set: Json | None
    rows: list[Row]


class Rules:
    def __init__(self, held: Held) -> None:
        self.held = held

    # ------------------------------------------------------------ ids

    def decoded(self, body: Json, query: Mapping[str, str]) -> Group:
        """Raises Undecodable and Broken, and Refused when no data set can be found."""
        scheme = schemes(query, body)
        # 207, 424: not the scheme of the category option combos, and only the body may say another
        general = str(body.get("idScheme") or query.get("idScheme") or "UID").upper()
        scheme["attribute"] = str(body.get("attributeOptionComboIdScheme") or general).upper()
        given = body.get("dataSet")
        uid, data_set = "", None
        if given:
            data_set = self.held.metadata.find("dataSets", scheme["dataSets"], given)
            if scheme["dataSets"] == "UID" and not _UID.fullmatch(str(given)):  # 205
                raise Undecodable(conflict("E8004", "Data set UID not valid: `{0}`", given))
            if scheme["dataSets"] != "UID" and data_set is None:  # not recorded
                raise Undecodable(conflict("E8005", "Data set not found: `{0}`", given))
            uid = data_set["id"] if data_set else str(given)
        rows = [self._row(index, raw, body, scheme) for index, raw in enumerate(body.get("dataValues") or [])]
        return Group(uid, data_set, rows)

    def _row(self, index: int, raw: Json, body: Json, scheme: Mapping[str, str]) -> Row:
        for name in ("value", "comment"):
            if (given := raw.get(name)) is not None and not isinstance(given, str):  # 106-108
                kind = "BOOLEAN" if isinstance(given, bool) else "NUMBER"
                shown = str(given).lower() if kind == "BOOLEAN" else given
                raise Broken(f"Path `$.{name}` does not contain an STRING but a(n) {kind}: {shown}")
        # The row wins over the header (073, 169).
        pe, ou, aoc = (raw.get(name) or body.get(name) for name in ("period", "orgUnit", "attributeOptionCombo"))
        de, coc = raw.get("dataElement"), raw.get("categoryOptionCombo")
        if pe is None:
            raise Undecodable(_missing(index, "period", "E8100", raw, pe, ou, aoc))  # 075
        for given, kind in ((de, "dataElements"), (ou, "orgUnits")):
            if given is None:  # 076, 077
                raise Undecodable(_missing(index, _KINDS[kind][0], _KINDS[kind][1], raw, pe, ou, aoc))
        element = self._found(index, "dataElements", scheme["dataElements"], de)
        unit = self._found(index, "orgUnits", scheme["orgUnits"], ou)
        combo = self._found(index, "categoryOptionCombos", scheme["categoryOptionCombos"], coc or None)
        attribute = self._found(index, "attribute", scheme["attribute"], aoc or None)
        period = periods.parse(pe)
        if period is None:  # 074
            raise Broken('Cannot invoke "org.hisp.dhis.datavalue.DataEntryGroup.deletion()" because "group" is null')
        return Row(
            index=index, de=element["id"], ou=unit["id"], coc=combo["id"], aoc=attribute["id"], period=period,
            element=element, unit=unit, combo=combo, attribute=attribute, omitted=not coc, value=raw.get("value"),
            comment=raw.get("comment"), follow_up=raw.get("followUp") is True, deleted=raw.get("deleted") is True,
        )  # fmt: skip

    def _found(self, index: int, kind: str, scheme: str, given: Any) -> Json:
        """The object, or only its id when a well-formed UID names nothing; the default combination for None (078)."""
        where = "categoryOptionCombos" if kind == "attribute" else kind
        if given is None:
            return self.held.metadata.by_code(where, "default")
        found = self.held.metadata.find(where, scheme, given)
        name, _, unknown, malformed = _KINDS[kind]
        if found is None and scheme != "UID":  # 203, 204
            raise Undecodable(conflict(unknown, "Value #{0} " + name + " not found: `{1}`", index, given))
        if found is None and not _UID.fullmatch(str(given)):  # 071
            raise Undecodable(conflict(malformed, "Value #{0} " + name + " UID not valid: `{1}`", index, given))
        return found or {"id": str(given)}

    # ------------------------------------------------------------ the group

    def check(self, group: Group, user: Json, *, free: bool) -> None:
        """Raises Refused with the first fault. ``free``: without the rules on time, for superusers only (128, 265)."""
        data_set = group.data_set
        if not group.uid:
            data_set = group.data_set = self._detected(group)
        uid = group.uid or str(data_set and data_set["id"])
        if data_set is not None and not may_write(data_set, user):  # 154, 155
            raise Refused(conflict("E8010", "Current user cannot enter data for data set: `{0}`", uid))
        if not superuser(user):  # 143; 142: not for superusers
            known = [row for row in group.rows if "path" in row.unit]
            outside = [row.ou for row in known if not self.held.metadata.under(row.unit, user["orgUnits"])]
            _none_of(outside, "E8011", "Current user cannot enter data for org unit(s): `{0}`")
        self._usable(group, data_set, uid)
        self._once(group)
        if not (free and superuser(user)):
            assert data_set is not None
            self._timely(group, data_set, user)

    def _detected(self, group: Group) -> Json:
        sets: dict[str, Json] = {}
        for row in group.rows:
            for one in self.held.metadata.sets_of(row.element.get("code", "")):
                sets[one["id"]] = one
        if not sets:  # 167
            text = "Data set detection failed, found no set for data element(s): `{0}`"
            raise Refused(conflict("E8003", text, _listed(row.de for row in group.rows)))
        if len(sets) > 1:  # 165, 166
            text = "Data set detection failed, found multiple sets: `{0}`"
            raise Refused(conflict("E8002", text, _listed(sorted(sets))))
        return next(iter(sets.values()))

    def _usable(self, group: Group, data_set: Json | None, uid: str) -> None:
        """A data set that is not there has nothing that could be used with it (072)."""
        rows, words = group.rows, "Data set {0} not usable with "

        def wrong(code: str, what: str, ids: Iterator[str]) -> None:
            _none_of(list(ids), code, words + what + ": `{1}`", uid)

        held: Json = data_set or {"_elements": (), "_units": (), "periodType": ""}
        wrong("E8020", "data element(s)", (r.de for r in rows if r.element.get("code") not in held["_elements"]))
        kind = held["periodType"]
        wrong("E8021", "period(s)", (r.period.name for r in rows if r.period.type != kind))  # 114-116
        wrong("E8022", "org unit(s)", (r.ou for r in rows if r.unit.get("code") not in held["_units"]))  # 068, 139
        combo = held.get("categoryCombo", "default")
        foreign = (r.aoc for r in rows if r.attribute.get("categoryCombo") != combo)  # 070, 083, 086
        wrong("E8023", "attribute option combo(s)", foreign)
        for element in dict.fromkeys(row.de for row in rows):
            # 080: left out is the default, for a disaggregated element too
            mine = [row for row in rows if row.de == element and not row.omitted]
            bad = [row.coc for row in mine if row.combo.get("categoryCombo") != row.element["categoryCombo"]]
            text = "Data set {0} + data element {1} not usable with category option combo(s): `{2}`"
            _none_of(bad, "E8024", text, uid, element)  # 069, 081

    def _once(self, group: Group) -> None:
        """157, 159, 501-505"""
        seen: dict[tuple[str, ...], list[int]] = {}
        for row in group.rows:
            seen.setdefault((row.de, row.ou, row.coc, row.aoc, row.period.name), []).append(row.index)
        for (de, ou, coc, aoc, pe), indexes in seen.items():
            if len(indexes) > 1:
                key = (
                    f"DataValueKey[dataElement={de}, orgUnit={ou}, categoryOptionCombo={coc}, "
                    f"attributeOptionCombo={aoc}, period={pe}]"
                )
                raise Refused(conflict("E8128", "Value #{0} all affect the same data value: `{1}`", indexes, key))

    def _timely(self, group: Group, data_set: Json, user: Json) -> None:
        uid = data_set["id"]
        late = [row.period.name for row in group.rows if not self._open(row, data_set, user)]
        _none_of(late, "E8030", "Untimely data entry for data set {0} and period(s): `{1}`", uid)
        for unit in dict.fromkeys(row.ou for row in group.rows):
            closed = [row.period.name for row in group.rows if row.ou == unit and not _open_then(row)]
            _none_of(closed, "E8031", "Untimely data entry for org unit {0} and period(s): `{1}`", unit)  # 144, 146
        for row in group.rows:
            if any([row.unit["code"], row.period.name] == list(pair) for pair in data_set.get("approved", ())):
                text = (  # 262-264: superusers too
                    "Untimely data entry (already approved) for attribute option combo {0}, org unit {1} and "
                    "periods: `{2}`"
                )
                _none_of([row.period.name], "E8033", text, row.aoc, row.ou)

    def _open(self, row: Row, data_set: Json, user: Json) -> bool:
        """Expiry and future, not for superusers (121-126); a lock exception (131); input periods, for all."""
        today, period = self.held.today, row.period
        if not (superuser(user) or "F_EDIT_EXPIRED" in user["authorities"]):
            days = timedelta(days=int(data_set.get("expiryDays", 0)))
            excepted = (data_set["code"], period.name, row.unit["code"]) in self.held.lock_exceptions
            if days and today > period.end + days and not excepted:
                return False
            ahead = int(data_set.get("openFuturePeriods", 0)) - 1
            if period.end > periods.around(data_set["periodType"], today, ahead).end:
                return False
        windows, day = data_set.get("inputPeriods"), today.isoformat()
        # 133-138: the wrong way round, an open window is refused and a closed one is not (mended after 2.43.1)
        closed = (w for w in windows or () if w["period"] == period.name and not w["opening"] <= day <= w["closing"])
        return not windows or any(True for _ in closed)


def _open_then(row: Row) -> bool:
    unit = row.unit
    begins, ends = str(unit["opening"]), str(unit.get("closed") or "9999")
    return begins <= row.period.end.isoformat() and ends >= row.period.start.isoformat()


def _none_of(ids: list[str], code: str, words: str, *first: object) -> None:
    if ids:
        raise Refused(conflict(code, words, *first, _listed(ids)))


def _listed(ids: Iterable[str]) -> str:
    return "[" + ", ".join(dict.fromkeys(ids)) + "]"


def _missing(index: int, what: str, code: str, raw: Json, pe: Any, ou: Any, aoc: Any) -> Json:
    def said(value: Any) -> str:
        return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    fields = {
        "dataElement": raw.get("dataElement"), "orgUnit": ou, "categoryOptionCombo": raw.get("categoryOptionCombo"),
        "categoryOptions": None, "attributeOptionCombo": aoc, "attributeCombo": None, "attributeOptions": None,
        "period": pe, "value": raw.get("value"), "comment": raw.get("comment"), "followUp": raw.get("followUp"),
        "deleted": raw.get("deleted"),
    }  # fmt: skip
    shown = "Input[" + ", ".join(f"{name}={said(value)}" for name, value in fields.items()) + "]"
    return conflict(code, "Value #{0} " + what + " not defined in group or value: `{1}`", index, shown)


# ---------------------------------------------------------------- single values


def fault_of(row: Row, *, gone: bool) -> Json | None:
    """The fault of a value; deleted ones are not looked at. ``gone``: the strategy is DELETE."""
    if row.deleted or gone:
        return None
    if row.value is None or row.value == "":  # 056, 057; with a comment too (058)
        return conflict("E8120", "Value #{0} value is required", row.index)
    kind, value = row.element["valueType"], str(stored_form(row.element, row.value))
    if wrong := wrong_type(kind, value):  # 088-104
        return conflict("E8122", "Value #{0} value `{1}` is no valid {2}: {3}", row.index, row.value, kind, wrong[0])
    if row.element.get("options") and value not in row.element["options"]:  # 105
        text = "Value #{0} value `{1}` is no valid option for data element `{2}`"
        return conflict("E8123", text, row.index, row.value, row.de)
    return None


_STORED: Mapping[str, Callable[[str], str]] = {
    "BOOLEAN": lambda text: {"1": "true", "0": "false", "yes": "true", "no": "false"}.get(text.lower(), text.lower()),
    "TRUE_ONLY": lambda text: {"1": "true"}.get(text.lower(), text.lower()),
}


def stored_form(element: Json, value: str | None) -> str | None:
    """12.0 in an integer is 12, 1 and yes are true (095, 099-101, 113); a NUMBER stays as it is (516, 518)."""
    kind = element["valueType"]
    if value is None:
        return None
    if kind.startswith("INTEGER"):
        return re.sub(r"(?<=\d)\.0+$", "", value)
    return _STORED[kind](value) if kind in _STORED else value
