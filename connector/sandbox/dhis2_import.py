"""What DHIS2 2.42.5 does with posted values and completions once the rules have spoken: store, count, sum up.

Numbers in comments are files of recordings/dhis2-2.42; what was not recorded says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from connector.sandbox import dhis2_periods as periods
from connector.sandbox.dhis2_metadata import Metadata
from connector.sandbox.dhis2_rules import STRICT, Fault, Json, Key, Request, Rules, superuser, vanishing_zero

CompletionKey = tuple[str, str, str, str]  #: data set, org unit, period, attribute option combo

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
_SCHEME_KEYS = {
    "dataElements": "dataElementIdScheme",
    "orgUnits": "orgUnitIdScheme",
    "dataSets": "dataSetIdScheme",
    "categoryOptionCombos": "categoryOptionComboIdScheme",
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
        self.rules = Rules(metadata, today)

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
        data_set, unit = self.rules.header(body, scheme, user)
        strict = {name for name in STRICT if query.get(name) == "true"}
        force = query.get("force") == "true" and superuser(user)  # 128: silently ignored for others; 265
        request = Request(body, scheme, strict, force, user, data_set, unit)
        strategy = STRATEGIES[query.get("importStrategy", "CREATE_AND_UPDATE").upper()]
        summary = Summary()
        if body.get("completeDate"):  # before the rows, whatever becomes of them, even in a dry run (195, 198)
            summary.complete = str(body["completeDate"])
            if data_set and unit and body.get("period"):
                self._complete(
                    (data_set["code"], unit["code"], body["period"], "default"), summary.complete, True, user
                )
        staged: dict[Key, Json] = {}
        written: list[tuple[Key, str]] = []
        created: set[Key] = set()
        for index, row in enumerate(body.get("dataValues") or []):
            try:
                key, value = self.rules.check(row, request)
                hook = refused({"dataSet": data_set["code"] if data_set else "", **named(key)})
                if hook == "E7611":  # of a good period: it lost a race (581), or the database was cut off (571)
                    raise Fault(hook, {"period": key[2]})
                if hook and hook != "vanish":
                    raise Fault(hook, {"dataElement": row.get("dataElement")}, "", "", "")
            except Fault as fault:
                summary.refuse(fault.conflict, index)
                continue
            if hook or key in created:
                continue  # 501-z-dup-new-three: of equal new keys the first is stored, the others are in no counter
            before = staged.get(key, self.values.get(key))
            action = self._decide(before, row, value, strategy, key)
            match action:
                case "imported" | "updated" | "deleted":
                    setattr(summary, action, getattr(summary, action) + 1)
                    staged[key] = {
                        "value": value,
                        "storedBy": row.get("storedBy") or user["username"],  # 190, 191
                        "comment": row.get("comment"),
                        "followup": row.get("followup") is True,  # followUp is the spelling of 2.43 (424, 425)
                        "deleted": action == "deleted" or bool(row.get("deleted")),
                    }
                    written.append((key, action))
                    if before is None:
                        created.add(key)
                case "unchanged":
                    summary.ignored += 1
                case "rejected":  # 061, 062, 052: ignored and in rejectedIndexes, without a conflict
                    summary.ignored += 1
                    summary.rejected.append(index)
        if query.get("dryRun") != "true":
            self.values.update(staged)
            for key, action in written:
                self.applied({"kind": "value", "action": action, **named(key), **staged[key], "user": user["username"]})
        return summary

    def _decide(self, before: Json | None, row: Json, value: str | None, strategy: str, key: Key) -> str:
        there = before is not None and not before["deleted"]
        if strategy == "DELETE":
            return "deleted" if there else "rejected"  # 051, 052
        if row.get("deleted"):
            # 044, 046: with a value a missing key counts as imported and leaves a deleted row; 047: without, ignored
            return "deleted" if there else "imported" if value is not None else "unchanged"
        if (strategy == "CREATE" and there) or (strategy == "UPDATE" and not there):
            return "rejected"
        if vanishing_zero(self.metadata.by_code("dataElements", key[0]), value):
            return "deleted" if there else "uncounted"  # 041, 040
        if not there:
            return "imported"  # 050: also what was deleted before
        assert before is not None
        same = before["value"] == value and before["comment"] == row.get("comment")  # 036, 038
        return "unchanged" if same else "updated"

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
                day, done = row.get("date") or self.today.isoformat(), row.get("completed", True)
                self._complete(key, day, done, user, row.get("storedBy"))
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
        self, key: CompletionKey, day: str, completed: bool, user: Json, stored_by: str | None = None
    ) -> None:
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

    def uncomplete(self, key: CompletionKey, user: Json) -> None:
        if self.completions.pop(key, None) is not None:
            self.applied({"kind": "completion", "action": "deleted", **completion_named(key), "user": user["username"]})


def named(key: Key) -> dict[str, str]:
    names = ("dataElement", "orgUnit", "period", "categoryOptionCombo", "attributeOptionCombo")
    return dict(zip(names, key, strict=True))


def completion_named(key: CompletionKey) -> dict[str, str]:
    return dict(zip(("dataSet", "orgUnit", "period", "attributeOptionCombo"), key, strict=True))
