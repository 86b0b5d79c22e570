"""The metadata of the simulated DHIS2: what belongs to what, and the look-ups by code with filters, fields and pages.

Shape of the data it is made from: docstring of ``dhis2.py``. Answers: recordings/dhis2-2.42/363..375.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]
DEFAULT_COMBO = {"code": "default", "id": "bjDvmb4bfuf", "name": "default"}
DEFAULT_OPTION_COMBO = {"code": "default", "id": "HllvX50cXC0", "name": "default", "categoryCombo": "default"}
_COLLECTIONS = {
    "organisationUnits": "orgUnits",
    "categoryOptions": "categoryOptions",
    "categories": "categories",
    "dataElements": "dataElements",
    "dataSets": "dataSets",
    "categoryCombos": "categoryCombos",
    "categoryOptionCombos": "categoryOptionCombos",
}


class Refused(Exception):
    """The look-up is answered with this status and message."""

    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class Metadata:
    """Indexed, read-only but for ``become``. ``find(kind, scheme, id)`` gives an object by UID, CODE or NAME."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.become(data)

    def become(self, data: Mapping[str, Any]) -> None:
        """Hold this instead. Raises ValueError when it is not whole."""
        self.given = data
        self.lists: dict[str, list[Json]] = {
            kind: [dict(o) for o in data.get(kind, ())] for kind in _COLLECTIONS.values()
        }
        for kind, objects in categories_of(data).items():
            self.lists[kind] = self.lists[kind] or objects
        for kind, default in (
            ("categoryCombos", DEFAULT_COMBO),
            ("categoryOptionCombos", DEFAULT_OPTION_COMBO),
        ):
            if not any(o["code"] == "default" for o in self.lists[kind]):
                self.lists[kind].append(dict(default))
        self._by: dict[tuple[str, str], dict[str, Json]] = {}
        for kind, objects in self.lists.items():
            for scheme, key in (("UID", "id"), ("CODE", "code"), ("NAME", "name")):
                self._by[kind, scheme] = {o[key]: o for o in objects if o.get(key)}
            if len(self._by[kind, "CODE"]) != len(objects) or len(self._by[kind, "UID"]) != len(objects):
                raise ValueError(f"{kind}: codes and ids must be there and unique")
        for unit in self.lists["orgUnits"]:
            unit["path"] = self._path(unit)
        self._combos: dict[str, list[Json]] = {}
        for combo in self.lists["categoryOptionCombos"]:
            self._combos.setdefault(combo["categoryCombo"], []).append(combo)
        self._sets: dict[str, list[Json]] = {}
        for data_set in self.lists["dataSets"]:
            data_set["_units"], data_set["_elements"] = set(data_set["orgUnits"]), set(data_set["elements"])
            for element in data_set["elements"]:
                self.by_code("dataElements", element)
                self._sets.setdefault(element, []).append(data_set)

    def _path(self, unit: Json) -> str:
        parent = unit.get("parent")
        return (self._path(self.by_code("orgUnits", parent)) if parent else "") + "/" + unit["id"]

    def by_code(self, kind: str, code: str) -> Json:
        """Raises ValueError: the data handed to the simulator is not whole."""
        try:
            return self._by[kind, "CODE"][code]
        except KeyError:
            raise ValueError(f"{kind}: no code {code}") from None

    def find(self, kind: str, scheme: str, value: object) -> Json | None:
        return self._by[kind, scheme].get(value) if isinstance(value, str) else None

    def sets_of(self, element: str) -> list[Json]:
        """The data sets that hold this element code."""
        return self._sets.get(element, [])

    def option_combos(self, combo: str) -> list[Json]:
        return self._combos.get(combo, [])

    def under(self, unit: Json, roots: Iterable[str]) -> bool:
        """Is the org unit one of ``roots`` (codes) or below one?"""
        ids = set(unit["path"].split("/"))
        return any(self.by_code("orgUnits", root)["id"] in ids for root in roots)

    # ------------------------------------------------------------ wire shape

    def wire(self, kind: str, o: Json, writes: Any) -> Json:
        """One object as the API knows it. ``writes(data set)``: may this user write its data?"""
        named = {"id": o["id"], "code": o["code"], "name": o["name"], "displayName": o["name"]}
        if o.get("uncoded"):  # as the server makes option combinations by itself
            del named["code"]
        named |= {key: o[key] for key in ("shortName", "translations") if key in o}
        match kind:
            case "categoryOptions":
                return named
            case "categories":
                return {**named, "categoryOptions": [self._named("categoryOptions", code) for code in o["options"]]}
            case "orgUnits":
                closed = {"closedDate": f"{o['closed']}T00:00:00.000"} if o.get("closed") else {}
                parent = {"parent": {"id": o["path"].split("/")[-2]}} if o.get("parent") else {}
                level = o["path"].count("/")
                return {
                    **named,
                    "path": o["path"],
                    "level": level,
                    "openingDate": f"{o['opening']}T00:00:00.000",
                    **closed,
                    **parent,
                }
            case "dataElements":
                options = (
                    {"optionSet": {"options": [{"code": code} for code in o["options"]]}} if o.get("options") else {}
                )
                return {
                    **named,
                    "valueType": o["valueType"],
                    "domainType": "AGGREGATE",
                    "aggregationType": o.get("aggregationType", "SUM"),
                    "zeroIsSignificant": bool(o["zeroIsSignificant"]),
                    "categoryCombo": self._combo(o["categoryCombo"]),
                    **options,
                }
            case "dataSets":
                units = [self.by_code("orgUnits", code) for code in o["orgUnits"]]
                elements = [self.by_code("dataElements", code) for code in o["elements"]]
                return {
                    **named,
                    "periodType": o["periodType"],
                    "openFuturePeriods": int(o.get("openFuturePeriods", 0)),
                    "expiryDays": float(o.get("expiryDays", 0)),
                    "dataInputPeriods": [
                        {
                            "period": {"id": p["period"]},
                            "openingDate": f"{p['opening']}T00:00:00.000",
                            "closingDate": f"{p['closing']}T00:00:00.000",
                        }
                        for p in o.get("inputPeriods", ())
                    ],
                    **({"workflow": {"id": o["workflow"]}} if o.get("workflow") else {}),
                    "categoryCombo": self._combo(o.get("categoryCombo", "default")),
                    "access": {"data": {"read": True, "write": writes(o)}},
                    "organisationUnits": [self.wire("orgUnits", unit, writes) for unit in units],
                    "dataSetElements": [{"dataElement": self.wire("dataElements", e, writes)} for e in elements],
                }
            case "categoryOptionCombos":
                return {
                    **named,
                    "categoryCombo": {"id": self.by_code("categoryCombos", o["categoryCombo"])["id"]},
                }
            case _:
                return self._combo(o["code"])

    def _combo(self, code: str) -> Json:
        combo = self.by_code("categoryCombos", code)
        members = [
            {
                **self.wire("categoryOptionCombos", c, None),
                "categoryOptions": [self._named("categoryOptions", one) for one in c.get("options", ())],
            }
            for c in self.option_combos(code)
        ]
        categories = [self._named("categories", one) for one in combo.get("categories", ())]
        return {
            "id": combo["id"], "code": code, "name": combo["name"], "categories": categories,
            "categoryOptionCombos": members,
        }  # fmt: skip

    def _named(self, kind: str, code: str) -> Json:
        o = self.by_code(kind, code)
        return {"id": o["id"], "code": o["code"], "name": o["name"]}

    # ------------------------------------------------------------ look-ups

    def one(self, collection: str, uid: str, query: Mapping[str, str], writes: Any) -> Json:
        kind = _COLLECTIONS[collection]
        found = self.find(kind, "UID", uid)
        if found is None:  # 371-md-dataset-404
            name = collection[0].upper() + collection[1:-1]
            raise Refused(404, f"{name} with id {uid} could not be found.", "E1005")
        return select(self.wire(kind, found, writes), query.get("fields", "*"))

    def search(self, collection: str, query: Mapping[str, str], filters: Iterable[str], writes: Any) -> Json:
        """A page of a collection, ordered by name (364). ``filters``: ``property:eq:value``, ``property:in:[a,b]``."""
        kind = _COLLECTIONS[collection]
        tests = [_filter(text) for text in filters]
        found = [o for o in sorted(self.lists[kind], key=lambda o: o["name"].lower()) if all(t(o) for t in tests)]
        fields = query.get("fields", "id,displayName")
        pager: Json = {}
        if query.get("paging") != "false":
            size, page = int(query.get("pageSize", 50)), int(query.get("page", 1))
            total, pages = len(found), max(1, -(-len(found) // size))
            pager = {"pager": {"page": min(page, pages), "total": total, "pageSize": size, "pageCount": pages}}
            found = found[(page - 1) * size : page * size]  # beyond the end: an empty page (365)
        return {**pager, collection: [select(self.wire(kind, o, writes), fields) for o in found]}


def _filter(text: str) -> Any:
    name, operator, value = ([*text.split(":", 2), "", ""])[:3]
    if name not in ("id", "code", "name"):  # 372-md-bad-filter
        raise Refused(400, f"Unknown path property: {name}", "E1003")
    if operator == "eq":
        return lambda o: o[name] == value
    if operator == "in":
        wanted = set(value.strip("[]").split(","))
        return lambda o: o[name] in wanted
    raise Refused(400, f"`{operator}` is not a valid operator.", "E1003")  # 373-md-bad-filter-op


def categories_of(data: Mapping[str, Any]) -> dict[str, list[Json]]:
    """Categories and options of combinations that name them (``categories``, and ``options`` with one list for each),
    for data that does not list them. Identifiers are made from the codes."""
    categories: dict[str, list[str]] = {}
    for combo in data.get("categoryCombos", ()):
        for code, options in zip(combo.get("categories", ()), combo.get("options", ()), strict=False):
            known = categories.setdefault(code, [])
            known += [one for one in options if one not in known]
    options = dict.fromkeys(one for known in categories.values() for one in known)
    return {
        "categories": [
            {"code": code, "id": _uid("category", code), "name": code, "options": known}
            for code, known in categories.items()
        ],
        "categoryOptions": [{"code": code, "id": _uid("option", code), "name": code} for code in options],
    }


def _uid(*parts: str) -> str:
    return "C" + hashlib.sha256("/".join(parts).encode()).hexdigest()[:10]


_TOKEN = re.compile(r"[^,\[\]]+|[,\[\]]")


def select(value: Any, fields: str) -> Any:
    """The ``fields`` of an object, DHIS2's way: ``id,categoryCombo[id,name]``; an object named without brackets shows
    its id alone."""
    tree: Json = {}
    stack, last = [tree], ""
    for token in _TOKEN.findall(fields):
        if token == "[":
            stack.append(stack[-1][last])
        elif token == "]":
            stack.pop()
        elif token != ",":
            last = token
            stack[-1][last] = {}
    return _pick(value, tree, top=True)


def _pick(value: Any, tree: Json, *, top: bool = False) -> Any:
    if isinstance(value, list):
        return [_pick(item, tree) for item in value]
    if not isinstance(value, dict):
        return value
    if {"*", ":all", ":owner"} & set(tree):
        return {key: _pick(inner, {}) for key, inner in value.items()}
    if not tree:
        return {"id": value["id"]} if "id" in value else {key: _pick(inner, {}) for key, inner in value.items()}
    return {key: _pick(value[key], inner) for key, inner in tree.items() if key in value}
