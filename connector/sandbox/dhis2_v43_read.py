"""Reading values back, as DHIS2 2.43.1 shows them: what was asked for is in the header only, what is empty nowhere.

Numbers in comments are files of recordings/dhis2-2.43.
"""

from __future__ import annotations

from connector.sandbox.dhis2_held import Held
from connector.sandbox.dhis2_read import Asked, lacks, shown, shown_key
from connector.sandbox.dhis2_rules import Json, superuser
from connector.sandbox.dhis2_wire import Answer, Request, said

_SCHEMES = (
    "dataSetIdScheme", "dataElementIdScheme", "orgUnitIdScheme", "categoryOptionComboIdScheme",
    "attributeOptionComboIdScheme", "categoryIdScheme", "categoryOptionIdScheme",
)  # fmt: skip


def block(held: Held, request: Request, user: Json) -> None:
    """Raises Answer. A data set or org unit that is not there is no fault: there is nothing for it (272, 273)."""
    metadata, query = held.metadata, request.one()
    asked = Asked.of(request, metadata)
    sets, units, names = (request.many(name) for name in ("dataSet", "orgUnit", "period"))
    if not sets and not request.many("dataElement"):  # 269
        raise lacks("E2001")
    if not asked.timed:  # 270, 277, 278
        raise lacks("E2002")
    if not units:  # 271
        raise lacks("E2006")
    outside = [unit["id"] for unit in asked.units if not metadata.under(unit, user["orgUnits"])]
    if outside and not superuser(user):  # 274
        raise said(409, f"User is not allowed to view org unit(s): `[{', '.join(outside)}]`", "E2012")
    head: Json = {}
    if len(sets) == 1:
        head["dataSet"] = shown(metadata, "dataSets", asked.sets[0]["code"], query) if asked.sets else sets[0]
    if len(names) == 1:  # 042, 281: two periods, or a span, are in the rows
        head["period"] = asked.periods[0].name
    if len(units) == 1 and not asked.below:  # 152, 170
        head["orgUnit"] = shown(metadata, "orgUnits", asked.units[0]["code"], query) if asked.units else units[0]
    if scheme := query.get("idScheme"):  # 211, 212
        head |= dict.fromkeys(_SCHEMES, scheme.upper())
    moment = f"{held.today}T00:00:00.000+0000"
    rows = []
    for key, value in asked.rows(held, deleted=query.get("includeDeleted") == "true"):
        ids = {name: one for name, one in shown_key(metadata, key, query).items() if name not in head}
        row = {**ids, "value": value["value"], "storedBy": value["storedBy"], "created": moment, "lastUpdated": moment}
        row |= {"comment": value["comment"], "followup": value.get("followup"), "deleted": value["deleted"]}
        rows.append({name: one for name, one in row.items() if one is not None and one is not False})
    raise Answer(200, {**head, "dataValues": rows})
