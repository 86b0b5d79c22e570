"""What DHIS2 2.42.5 does with posted values once the rules have spoken: store, count, sum up.

Numbers in comments are files of recordings/dhis2-2.42; what was not recorded says so.
"""

from __future__ import annotations

from collections.abc import Mapping

from connector.sandbox import dhis2_read
from connector.sandbox.dhis2_completions import Completions
from connector.sandbox.dhis2_held import Held, Hooks, Summary, named, schemes, strategy_of
from connector.sandbox.dhis2_rules import (
    STRICT,
    Aborted,
    Failed,
    Fault,
    Json,
    Key,
    Request,
    Rules,
    superuser,
    vanishing_zero,
)  # fmt: skip
from connector.sandbox.dhis2_wire import Request as HttpRequest
from connector.sandbox.dhis2_wire import check_options, echoed, imported, parsed

_DONE = "Import process completed successfully"


class Legacy:
    """The importer of 2.42, and how it is read back."""

    version, revision, login_page = "2.42.5", "9fc9c1d", "/dhis-web-login/"

    def __init__(self, held: Held) -> None:
        self.held = held
        self.rules = Rules(held)
        self.completions = Completions(held)

    def reset(self) -> None:
        """Forget what is not in ``held``."""

    def post(self, raw: bytes, query: Mapping[str, str], user: Json, hooks: Hooks) -> None:
        """``POST /api/dataValueSets``. Raises Answer."""
        body, options = parsed(raw), echoed(query)
        try:
            if not isinstance(body, dict):  # 173, 174, 177
                raise Failed("Post-condition was null")
            check_options(body)
            summary = self._import(body, query, user, hooks)
        except Failed as failed:
            text = f"The import process failed: {failed}"
            raise imported(Summary(), "ERROR", options, description=text, complete=False) from None
        except Aborted as aborted:
            summary, text = Summary(conflicts=[aborted.conflict]), "Import process was aborted"
            raise imported(summary, "ERROR", options, description=text, complete=False) from None
        raise imported(summary, "WARNING" if summary.conflicts else "SUCCESS", options, description=_DONE)

    def read(self, request: HttpRequest, user: Json) -> None:
        """``GET /api/dataValueSets``. Raises Answer."""
        dhis2_read.block(self.held, request, user)

    def single(self, query: Mapping[str, str]) -> None:
        """``GET /api/dataValues``. Raises Answer."""
        dhis2_read.single(self.held, query, missing=(409, ""))  # 285

    def _import(self, body: Json, query: Mapping[str, str], user: Json, hooks: Hooks) -> Summary:
        """Raises Aborted and Failed."""
        raced = hooks.request(body, user, query)
        scheme = schemes(query, body)
        data_set, unit = self.rules.header(body, scheme, user)
        strict = {name for name in STRICT if query.get(name) == "true"}
        force = query.get("force") == "true" and superuser(user)  # 128: silently ignored for others; 265
        request = Request(body, scheme, strict, force, user, data_set, unit)
        strategy = strategy_of(query)
        summary = Summary()
        if body.get("completeDate"):  # before the rows, whatever becomes of them, even in a dry run (195, 198)
            summary.complete = str(body["completeDate"])
            if data_set and unit and body.get("period"):
                done = (data_set["code"], unit["code"], body["period"], "default")
                self.held.complete(done, summary.complete, True, user)
        staged: dict[Key, Json] = {}
        written: list[tuple[Key, str]] = []
        created: set[Key] = set()
        for index, row in enumerate(body.get("dataValues") or []):
            try:
                key, value = self.rules.check(row, request)
                coded = {"dataSet": data_set["code"] if data_set else "", **named(key), "user": user["username"]}
                hook = hooks.row(coded)
                if raced or hook == "E7611":  # of a good period (581), or the database was cut off (571)
                    raise Fault("E7611", {"period": key[2]})
                if hook and hook != "vanish":
                    raise Fault(hook, {"dataElement": row.get("dataElement")}, "", "", "")
            except Fault as fault:
                _refuse(summary, fault.conflict, index)
                continue
            if hook or key in created:
                continue  # 501-z-dup-new-three: of equal new keys the first is stored, the others are in no counter
            before = staged.get(key, self.held.values.get(key))
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
            for key, action in written:
                self.held.store(key, staged[key], action, user)
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
        if vanishing_zero(self.held.metadata.by_code("dataElements", key[0]), value):
            return "deleted" if there else "uncounted"  # 041, 040
        if not there:
            return "imported"  # 050: also what was deleted before
        assert before is not None
        same = before["value"] == value and before["comment"] == row.get("comment")  # 036, 038
        return "unchanged" if same else "updated"


def _refuse(summary: Summary, conflict: Json, index: int) -> None:
    """Equal faults are one conflict with many indexes (411-big-2000-half-bad)."""
    summary.ignored += 1
    summary.rejected.append(index)
    for known in summary.conflicts:
        if known["errorCode"] == conflict["errorCode"] and known["value"] == conflict["value"]:
            known["indexes"].append(index)
            return
    summary.conflicts.append({**conflict, "indexes": [index]})
