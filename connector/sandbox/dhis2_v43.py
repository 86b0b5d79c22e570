"""What DHIS2 2.43.1 does with posted values: decode everything, check the group, check the values, write the rest.

One bad id refuses the whole group and leaves every counter at nought; only faults of a value refuse a single row; what
is stored counts as ``updated``, new or not. Numbers in comments are files of recordings/dhis2-2.43; what was not
recorded says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from connector.sandbox import dhis2_periods as periods
from connector.sandbox import dhis2_read, dhis2_v43_read
from connector.sandbox.dhis2_completions import Completions
from connector.sandbox.dhis2_held import CompletionKey, Held, Hooks, Summary, named, strategy_of
from connector.sandbox.dhis2_rules import Aborted, Failed, Json
from connector.sandbox.dhis2_v43_rules import Broken, Group, Refused, Rules, Undecodable, fault_of, stored_form
from connector.sandbox.dhis2_wire import Request, check_options, echoed, imported, said, unpacked


class Entry:
    """The importer of 2.43, and how it is read back."""

    version, revision, login_page = "2.43.1", "9cbfbf3", "/login/"

    def __init__(self, held: Held) -> None:
        self.held = held
        self.rules = Rules(held)
        self.completions = FlushedCompletions(held)

    def reset(self) -> None:
        """Forget what is not in ``held``."""
        self.completions.periods.clear()

    def post(self, raw: bytes, query: Mapping[str, str], user: Json, hooks: Hooks) -> None:
        """``POST /api/dataValueSets``. Raises Answer."""
        body, options = _read(raw), echoed(query)
        check_options(body)
        try:
            raced = hooks.request(body, user, query)
            group = self.rules.decoded(body, query)
        except (Broken, Failed) as broken:
            raise said(500, str(broken)) from None
        except Undecodable as fault:  # the whole request: 071, 075-077, 203-205
            raise _whole(fault.conflict, options) from None
        except Aborted as aborted:  # the test hook
            conflict = {"objects": {"args": ""}, "value": str(aborted), "errorCode": str(aborted)}
            raise _whole(conflict, options) from None
        summary = Summary()
        if group.rows:
            try:
                self.rules.check(group, user, free=query.get("force") == "true")
                self._write(group, body, query, user, hooks, summary, raced=raced)
            except Refused as refused:  # the group: every row is to blame, none is counted
                every = [row.index for row in group.rows]
                summary = Summary(conflicts=[{**refused.conflict, "indexes": every}], rejected=every)
                atomic = refused.conflict["errorCode"] == "E8000"  # 162: without the word on completion
                raise imported(summary, "ERROR", options, complete=not atomic) from None
        stored = summary.updated + summary.deleted
        status = "SUCCESS" if not summary.conflicts else "WARNED" if stored else "ERROR"
        raise imported(summary, status, options)

    def read(self, request: Request, user: Json) -> None:
        """``GET /api/dataValueSets``. Raises Answer."""
        dhis2_v43_read.block(self.held, request, user)

    def single(self, query: Mapping[str, str]) -> None:
        """``GET /api/dataValues``. Raises Answer."""
        dhis2_read.single(self.held, query, missing=(404, "E1005"))  # 285

    def _write(
        self,
        group: Group,
        body: Json,
        query: Mapping[str, str],
        user: Json,
        hooks: Hooks,
        summary: Summary,
        *,
        raced: bool,
    ) -> None:
        """Store what is good and count. Raises Refused."""
        gone = strategy_of(query) == "DELETE"  # any other strategy is an upsert (060-063)
        data_set = group.data_set
        assert data_set is not None
        good = []
        lost = raced
        for row in group.rows:
            coded = {"dataSet": data_set["code"], **named(row.key), "user": user["username"]}
            conflict, hook = fault_of(row, gone=gone), hooks.row(coded)
            if hook and hook != "vanish":
                conflict = {"objects": {"args": str(row.index)}, "value": "Refused by the sandbox", "errorCode": hook}
            if conflict is not None:
                if not conflict["errorCode"].startswith("E812"):
                    raise Refused(conflict)
                summary.conflicts.append({**conflict, "indexes": [row.index]})  # one each, never merged (413)
                summary.rejected.append(row.index)
            elif not hook:
                good.append(row)
                lost = lost or "\0" in (row.value or "")  # 112: as after a lost race, without a word
        if query.get("atomic") == "true" and summary.conflicts:  # 162, 610
            first, valid = summary.conflicts[0]["value"], len(group.rows) - len(summary.rejected)
            raise Refused(
                {
                    "objects": {"args": f"{valid}-{len(group.rows)}-{first}"},
                    "value": f"Atomic mode requires all values to be valid but only {valid}/{len(group.rows)} were. "
                    f"First issue: {first}",
                    "errorCode": "E8000",
                }
            )
        if lost:  # 520, 588: nothing is stored, 200, and no conflict says so
            good = []
        if gone:
            summary.deleted = len(good)  # of keys that never were, too (052)
        else:
            summary.updated = len(good)
        summary.ignored = len(group.rows) - len(good)
        dry = query.get("dryRun") == "true"
        if not dry:
            for row in good:
                deleted = gone or row.deleted
                value = {
                    "value": stored_form(row.element, row.value),
                    "storedBy": user["username"],  # not the payload's (190, 191)
                    "comment": row.comment,
                    "followup": row.follow_up,
                    "deleted": deleted,
                }
                self.held.store(row.key, value, "deleted" if deleted else "updated", user)
        if body.get("completeDate") and not summary.ignored:  # 195-199: not when a row was refused
            summary.complete = str(body["completeDate"])
            period, unit = periods.parse(body.get("period")), good[0].unit
            if period and not dry:
                done = (data_set["code"], unit["code"], period.name, "default")
                self.held.complete(done, summary.complete, True, user)


class FlushedCompletions(Completions):
    """A period that the server has no row for yet breaks the import, and has one afterwards (249-251)."""

    def __init__(self, held: Held) -> None:
        super().__init__(held)
        self.periods: set[str] = set()

    def period(self, text: object) -> periods.Period | None:
        found = super().period(text)
        if found is None:  # 234
            raise Failed(f"java.lang.IllegalArgumentException: Invalid Period `{text}`")
        return found

    def about_to_store(self, key: CompletionKey) -> None:
        if key[2] not in self.periods and not any(held[2] == key[2] for held in self.held.values):
            self.periods.add(key[2])
            raise Failed("Failed to flush BatchHandler")


def _whole(conflict: Json, options: Json) -> Exception:
    summary = Summary(conflicts=[{**conflict, "indexes": [-1]}])
    return imported(summary, "ERROR", options, complete=False)


def _read(raw: bytes) -> Json:
    """The posted object; what is another kind of JSON counts as an empty one (177). Raises Answer."""
    try:
        body: Any = json.loads(unpacked(raw).decode())  # a byte order mark is refused (179)
    except ValueError as error:  # 173-175
        raise said(400, f"Unexpected character: {error}") from None
    return body if isinstance(body, dict) else {}
