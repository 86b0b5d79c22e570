"""Reading values back, as DHIS2 2.42 does. Each function ends by raising the Answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from connector.sandbox import dhis2_periods as periods
from connector.sandbox.dhis2_import import schemes
from connector.sandbox.dhis2_metadata import DEFAULT_OPTION_COMBO, Metadata
from connector.sandbox.dhis2_rules import Json, Key
from connector.sandbox.dhis2_wire import Answer, Request, said


def block(
    metadata: Metadata,
    values: Mapping[Key, Json],
    completions: Mapping[Any, Json],
    today: date,
    request: Request,
    user: Json,
) -> None:
    query = request.one()
    general_in = query.get("inputIdScheme", "UID").upper()
    units = [u for v in request.many("orgUnit") if (u := metadata.find("orgUnits", general_in, v))]
    sets = [s for v in request.many("dataSet") if (s := metadata.find("dataSets", general_in, v))]
    elements = {e["code"] for v in request.many("dataElement") if (e := metadata.find("dataElements", general_in, v))}
    wanted = [p for v in request.many("period") if (p := periods.parse(v))]
    span = (query.get("startDate"), query.get("endDate"))
    if not units:  # 269, 271, 273
        raise said(409, "At least one organisation unit or organisation unit group must be specified", "E2006")
    if not sets and not elements:  # 272
        raise said(409, "At least one data element, data set or data element group must be specified", "E2001")
    if not wanted and not all(span):  # 270; lastUpdated is not simulated
        raise said(
            409,
            "At least one period, start/end dates, last updated or last updated duration must be specified",
            "E2002",
        )
    if not all(metadata.under(unit, user["orgUnits"]) for unit in units):  # 274: 200 and nothing at all
        raise Answer(200)
    elements |= {code for s in sets for code in s["elements"]}
    roots, children = {u["code"] for u in units}, query.get("children") == "true"

    def asked(key: Key) -> bool:
        period = periods.parse(key[2])
        inside = key[1] in roots or (children and metadata.under(metadata.by_code("orgUnits", key[1]), roots))
        timely = (
            key[2] in {p.name for p in wanted}
            if wanted
            else (
                period is not None
                and str(span[0]) <= period.start.isoformat()
                and period.end.isoformat() <= str(span[1])
            )
        )
        return key[0] in elements and inside and timely

    rows = []
    for key, held in values.items():
        if asked(key) and (not held["deleted"] or query.get("includeDeleted") == "true"):
            rows.append(
                {
                    **_out(metadata, key, query),
                    "value": held["value"],
                    "storedBy": held["storedBy"],
                    "created": f"{today}T00:00:00.000+0000",
                    "lastUpdated": f"{today}T00:00:00.000+0000",
                    "comment": held["comment"],
                    "followup": held.get("followup", False),
                    **({"deleted": True} if held["deleted"] else {}),
                }
            )
    head: Json = {}
    if len(sets) == 1 and len(wanted) == 1 and len(units) == 1:  # 048; two periods: no header (042)
        completion = completions.get((sets[0]["code"], units[0]["code"], wanted[0].name, "default"))
        head = {
            "dataSet": shown(metadata, "dataSets", sets[0]["code"], query),
            "completeDate": completion["date"] if completion else None,
            "period": wanted[0].name,
            "orgUnit": shown(metadata, "orgUnits", units[0]["code"], query),
        }
    raise Answer(200, {**head, "dataValues": rows})


def _out(metadata: Metadata, key: Key, query: Mapping[str, str]) -> Json:
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


def single(metadata: Metadata, values: Mapping[Key, Json], query: Mapping[str, str]) -> None:
    """``GET /api/dataValues?de=&pe=&ou=&co=`` (284, 285)."""
    default = DEFAULT_OPTION_COMBO["id"]
    asked = (
        ("dataElements", query.get("de")),
        ("orgUnits", query.get("ou")),
        ("categoryOptionCombos", query.get("co", default)),
    )
    found = [metadata.find(kind, "UID", value) for kind, value in asked]
    held = None
    if all(found):
        element, unit, combo = (o["code"] for o in found if o)
        held = values.get((element, unit, query.get("pe", ""), combo, "default"))
    if held is None or held["deleted"]:
        raise said(409, "Data value does not exist")
    raise Answer(200, [held["value"]])
