"""Completions of a simulated DHIS2, 2.42 and 2.43: almost nothing is checked."""

from __future__ import annotations

from collections.abc import Mapping

from connector.sandbox import dhis2_periods as periods
from connector.sandbox.dhis2_held import CompletionKey, Held, Summary, schemes, strategy_of
from connector.sandbox.dhis2_rules import Json


class Completions:
    def __init__(self, held: Held) -> None:
        self.held = held

    def take(self, body: Json, query: Mapping[str, str], user: Json) -> Summary:
        """Import posted completions. Not checked: authority, expiry, future, period type, assignment (235-241).

        Raises Failed.
        """
        scheme = schemes(query, body)
        strategy = strategy_of(query)
        summary = Summary()
        for row in body.get("completeDataSetRegistrations") or []:
            data_set = self.held.metadata.find("dataSets", scheme["dataSets"], row.get("dataSet"))
            unit = self.held.metadata.find("orgUnits", scheme["orgUnits"], row.get("organisationUnit"))
            period = self.period(row.get("period"))
            combo = row.get("attributeOptionCombo")
            aoc = self.held.metadata.find(
                "categoryOptionCombos",
                scheme["categoryOptionCombos"] if combo else "CODE",
                combo or "default",
            )
            fault = self._fault(row, data_set, unit, period, aoc, user, strategy)
            if fault:
                summary.ignored += 1
                summary.conflicts.append(fault)  # no code, no indexes (232)
                continue
            assert data_set and unit and period and aoc
            key = (data_set["code"], unit["code"], period.name, aoc["code"])
            there = key in self.held.completions
            if (strategy == "CREATE" and there) or (strategy in ("UPDATE", "DELETE") and not there):
                summary.ignored += 1  # 230; UPDATE and DELETE of a missing one: not recorded
                continue
            action = "deleted" if strategy == "DELETE" else "updated" if there else "imported"
            setattr(summary, action, getattr(summary, action) + 1)
            if query.get("dryRun") == "true":
                continue
            self.about_to_store(key)
            if action == "deleted":
                self.held.uncomplete(key, user)
            else:
                day, done = row.get("date") or self.held.today.isoformat(), row.get("completed", True)
                self.held.complete(key, day, done, user, row.get("storedBy"))
        return summary

    def period(self, text: object) -> periods.Period | None:
        return periods.parse(text)

    def about_to_store(self, key: CompletionKey) -> None:
        """Where 2.43 can fail."""

    def _fault(
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
        if not self.held.metadata.under(unit, user["orgUnits"]):  # 239
            return {
                "object": row["organisationUnit"],
                "value": f"Organisation unit is not in hierarchy of user: {user['username']}",
            }
        for element, combo in data_set.get("compulsory", ()):
            held = self.held.values.get((element, unit["code"], period.name, combo, aoc["code"]))
            if strategy != "DELETE" and (held is None or held["deleted"]):  # 242
                name = self.held.metadata.by_code("dataElements", element)["name"]
                return {
                    "object": "dataElementOperand",
                    "value": f"{name} needs to be filled. It is compulsory.",
                }
        return None
