"""Reading values back: what is asked for, and how DHIS2 2.42 shows it. Each ``block`` ends by raising the Answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from connector.sandbox import dhis2_periods as periods
from connector.sandbox.dhis2_held import Held, schemes
from connector.sandbox.dhis2_metadata import DEFAULT_OPTION_COMBO, Metadata
from connector.sandbox.dhis2_periods import Period
from connector.sandbox.dhis2_rules import Json, Key
from connector.sandbox.dhis2_wire import Answer, Request, said

#: code -> message, of a question that lacks something (269-273)
_LACKS = {
    "E2001": "At least one data element, data set or data element group must be specified",
    "E2002": "At least one period, start/end dates, last updated or last updated duration must be specified",
    "E2006": "At least one organisation unit or organisation unit group must be specified",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, resolved as far as what it names is there."""

    units: list[Json]
    sets: list[Json]
    elements: set[str]
    periods: list[Period]
    span: tuple[str | None, str | None]
    below: bool  #: ``children``

    @classmethod
    def of(cls, request: Request, metadata: Metadata) -> Asked:
        query = request.one()
        scheme = query.get("inputIdScheme", "UID").upper()

        def found(kind: str, name: str) -> list[Json]:
            return [one for value in request.many(name) if (one := metadata.find(kind, scheme, value))]

        return cls(
            units=found("orgUnits", "orgUnit"),
            sets=found("dataSets", "dataSet"),
            elements={one["code"] for one in found("dataElements", "dataElement")},
            periods=[p for v in request.many("period") if (p := periods.parse(v))],
            span=(query.get("startDate"), query.get("endDate")),
            below=query.get("children") == "true",
        )

    @property
    def timed(self) -> bool:
        """lastUpdated is not simulated."""
        return bool(self.periods) or all(self.span)

    def rows(self, held: Held, *, deleted: bool) -> Iterator[tuple[Key, Json]]:
        elements = self.elements | {code for one in self.sets for code in one["elements"]}
        roots, names = {one["code"] for one in self.units}, {one.name for one in self.periods}
        metadata = held.metadata
        for key, value in held.values.items():
            inside = key[1] in roots or (self.below and metadata.under(metadata.by_code("orgUnits", key[1]), roots))
            if key[0] in elements and inside and self._timely(key[2], names) and (deleted or not value["deleted"]):
                yield key, value

    def _timely(self, name: str, names: set[str]) -> bool:
        if names:
            return name in names
        period = periods.parse(name)
        first, last = str(self.span[0]), str(self.span[1])
        return period is not None and first <= period.start.isoformat() and period.end.isoformat() <= last


def lacks(code: str) -> Answer:
    return said(409, _LACKS[code], code)


def block(held: Held, request: Request, user: Json) -> None:
    metadata, query = held.metadata, request.one()
    asked = Asked.of(request, metadata)
    if not asked.units:  # 269, 271, 273
        raise lacks("E2006")
    if not asked.sets and not asked.elements:  # 272
        raise lacks("E2001")
    if not asked.timed:  # 270
        raise lacks("E2002")
    if not all(metadata.under(unit, user["orgUnits"]) for unit in asked.units):  # 274: 200 and nothing at all
        raise Answer(200)
    day = f"{held.today}T00:00:00.000+0000"
    rows = [
        {
            **shown_key(metadata, key, query),
            "value": value["value"],
            "storedBy": value["storedBy"],
            "created": day,
            "lastUpdated": day,
            "comment": value["comment"],
            "followup": value.get("followup", False),
            **({"deleted": True} if value["deleted"] else {}),
        }
        for key, value in asked.rows(held, deleted=query.get("includeDeleted") == "true")
    ]
    head: Json = {}
    if len(asked.sets) == 1 and len(asked.periods) == 1 and len(asked.units) == 1:  # 048; two periods: no header (042)
        data_set, period, unit = asked.sets[0]["code"], asked.periods[0].name, asked.units[0]["code"]
        completion = held.completions.get((data_set, unit, period, "default"))
        head = {
            "dataSet": shown(metadata, "dataSets", data_set, query),
            "completeDate": completion["date"] if completion else None,
            "period": period,
            "orgUnit": shown(metadata, "orgUnits", unit, query),
        }
    raise Answer(200, {**head, "dataValues": rows})


def shown_key(metadata: Metadata, key: Key, query: Mapping[str, str]) -> Json:
    return {
        "dataElement": shown(metadata, "dataElements", key[0], query),
        "period": key[2],
        "orgUnit": shown(metadata, "orgUnits", key[1], query),
        "categoryOptionCombo": shown(metadata, "categoryOptionCombos", key[3], query),
        "attributeOptionCombo": shown(metadata, "categoryOptionCombos", key[4], query),
    }


def shown(metadata: Metadata, kind: str, code: str, query: Mapping[str, str]) -> str:
    scheme = schemes(query, {})[kind]
    return str(metadata.by_code(kind, code)[{"UID": "id", "CODE": "code", "NAME": "name"}[scheme]])


def single(held: Held, query: Mapping[str, str], *, missing: tuple[int, str]) -> None:
    """``GET /api/dataValues?de=&pe=&ou=&co=`` (284). ``missing``: status and code when it is not there."""
    default = DEFAULT_OPTION_COMBO["id"]
    asked = (
        ("dataElements", query.get("de")),
        ("orgUnits", query.get("ou")),
        ("categoryOptionCombos", query.get("co", default)),
    )
    found = [held.metadata.find(kind, "UID", value) for kind, value in asked]
    value = None
    if all(found):
        element, unit, combo = (o["code"] for o in found if o)
        value = held.values.get((element, unit, query.get("pe", ""), combo, "default"))
    if value is None or value["deleted"]:
        raise said(missing[0], "Data value does not exist", missing[1])
    raise Answer(200, [value["value"]])
