"""Metadata of a DHIS2: what the pack needs and the server lacks, and making it. ``ports.Setup``.

One import of all new objects (``POST /api/metadata``, all or nothing: 005, 012), then what is added to data sets that
are there (``PATCH``: 007, 010). Whatever the answers say, what was made is read back. All but the question who we are
is asked with the account that may change metadata (``admin``), which sees what is not shared with ours; figures are
later sent with the pack's own, to which new data sets are shared. Numbers: recordings of a running 2.42.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from connector import http
from connector.adapters import dhis2_answers as answers
from connector.adapters.dhis2 import HEADERS
from connector.adapters.dhis2_package import Found, Json, Plan, Row, option_combos, plan
from connector.errors import TargetRefused, TargetUnreadable
from connector.identity import Names
from connector.mappings.needs import Dhis2Needs
from connector.mappings.org_unit_tree import FIELDS
from connector.model import Finding, Severity, Survey, Who

#: All new objects are made or none is (012). The package holds none that is there.
IMPORT = {"importStrategy": "CREATE_AND_UPDATE", "atomicMode": "ALL"}
_COLLECTIONS = ("categoryOptions", "categories", "categoryCombos", "dataElements", "dataSets")
_DETAILS = {
    "categories": "id,code,categoryOptions[id,code]",
    "categoryCombos": "id,code,categories[id,code],categoryOptionCombos[id,code,name,categoryOptions[id,code]]",
    "categoryOptionCombos": "id,code",
    "dataElements": "id,code,categoryCombo[id,code]",
    "dataSets": "id,code,periodType,organisationUnits[id],dataSetElements[dataElement[id],categoryCombo[id]]",
    "organisationUnits": "id,code",
}
#: Objects of a page, and codes in one question (an address has room for some thousands of letters).
_PAGE = 500
_CODES = 50
#: More pages than any national server has.
_MOST_PAGES = 400
_SHOWN = 20  #: errors of an import report that are passed on


class Dhis2Setup:
    """See the module's own words. ``client``: the pack's account; ``admin``: the one that writes, if another."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        name: str,
        needs: Dhis2Needs,
        names: Names,
        admin: httpx.AsyncClient | None = None,
    ) -> None:
        self.client, self.admin = client, admin or client
        self.name, self.needs, self.names = name, needs, names
        self._plan: Plan | None = None

    # ------------------------------------------------------------ the port

    async def survey(self) -> Survey:
        """What is missing. The package holds whole data sets where one that is there grows, so that it can be imported
        by hand."""
        self._plan = plan(self.needs, await self._found(), self.names)
        package: dict[str, Any] = {key: list(rows) for key, rows in self._plan.new.items()}
        for address, changes in self._plan.patches.items():
            collection = address.split("/")[2]
            package.setdefault(collection, []).append(await self._grown(address, changes))
        return Survey(self._plan.lacks, package)

    async def make(self, survey: Survey) -> Sequence[Finding]:
        planned = self._plan
        if planned is None:
            raise ValueError("survey first")
        findings: list[Finding] = []
        if planned.new:
            findings += await self._write("POST", "/api/metadata", planned.new, params=IMPORT)
        if not findings:
            for address, changes in planned.patches.items():
                findings += await self._write("PATCH", address, changes)
        return findings

    async def org_units(self) -> list[Row]:
        """The org units our account sees, as ``org_unit_tree.units_of`` takes them. Raises TargetUnreadable,
        TargetRefused."""
        return [row async for row in self._all("organisationUnits", FIELDS)]

    # ------------------------------------------------------------ reading

    async def _found(self) -> Found:
        me = await self._get("/api/me", {"fields": "id,username"}, self.client)
        names = {one: [row async for row in self._all(one)] for one in _COLLECTIONS}
        needs = self.needs
        combos = [code for code in needs.combos if not _holds(names["categoryCombos"], code)]
        codes = ["-".join(chosen) for code in combos for chosen in option_combos(needs, code)]
        units = sorted({unit for one in needs.data_sets.values() for unit in one.org_units})
        return Found(
            names=names,
            categories=await self._by_code("categories", list(needs.categories)),
            combos=await self._by_code("categoryCombos", list(needs.combos)),
            option_combos=await self._by_code("categoryOptionCombos", codes),
            elements=await self._by_code("dataElements", list(needs.elements)),
            data_sets=await self._by_code("dataSets", list(needs.data_sets)),
            units={k: str(v["id"]) for k, v in (await self._by_code("organisationUnits", units)).items()},
            user=str(me.get("id") or ""),
        )

    async def _all(self, collection: str, fields: str = "id,code,name,shortName") -> Any:
        """Every object of a collection, page by page."""
        for page in range(1, _MOST_PAGES + 1):
            query = {"fields": fields, "pageSize": str(_PAGE), "page": str(page), "order": "id:asc"}
            body = await self._get(f"/api/{collection}", query)
            rows = _rows(body, collection)
            for row in rows:
                yield row
            pager = body.get("pager")
            if not isinstance(pager, Mapping) or not isinstance(pager.get("pageCount"), int):
                raise self._unreadable("dhis2.unavailable")
            if page >= pager["pageCount"]:
                return
        raise TargetUnreadable(
            f"DHIS2 lists more than {_MOST_PAGES * _PAGE} {collection}; Relais reads no further.",
            french=f"DHIS2 liste plus de {_MOST_PAGES * _PAGE} {collection} ; Relais ne lit pas plus loin.",
        )

    async def _by_code(self, collection: str, codes: Sequence[str]) -> dict[str, Row]:
        """code -> object, for those of the codes that are there."""
        found: dict[str, Row] = {}
        for part in _parts(list(dict.fromkeys(codes)), _CODES):
            query = {"filter": f"code:in:[{','.join(part)}]", "fields": _DETAILS[collection], "paging": "false"}
            rows = _rows(await self._get(f"/api/{collection}", query), collection)
            if any(row.get("code") not in part for row in rows):
                raise self._unreadable("dhis2.unavailable")  # the answer to another question
            found |= {str(row["code"]): row for row in rows}
        return found

    async def _grown(self, address: str, changes: Sequence[Json]) -> Json:
        """The object as it is owned there, with what is added: what an import by hand takes."""
        body = dict(await self._get(address, {"fields": ":owner"}))
        return body | {str(change["path"]).removeprefix("/"): change["value"] for change in changes}

    async def _get(
        self, path: str, query: Mapping[str, str], client: httpx.AsyncClient | None = None
    ) -> Mapping[str, Any]:
        try:
            answer = await http.read_with_retries(client or self.admin, path, params=query, headers=HEADERS)
            body = answer.json() if answer.body else None
        except http.HttpTrouble as trouble:
            raise self._unreadable("dhis2.unreachable") from trouble
        self._check(answer, body, wrote=False)
        if not answer.ok or not isinstance(body, Mapping):
            raise self._unreadable("dhis2.read_refused")
        return body

    # ------------------------------------------------------------ writing

    async def _write(
        self, method: str, path: str, body: Any, params: Mapping[str, str] | None = None
    ) -> Sequence[Finding]:
        """One write; what the server refused. A lost answer is no finding: the next survey says what was made."""
        kind = {"Content-Type": "application/json-patch+json"} if method == "PATCH" else {}
        try:
            answer = await http.request(self.admin, method, path, params=params, json=body, headers={**HEADERS, **kind})
            said = answer.json() if answer.body else None
        except http.NotSent as trouble:
            raise self._unreadable("dhis2.unreachable") from trouble
        except http.Lost:
            return ()
        self._check(answer, said, wrote=True)
        refused = list(_refused(said)) if isinstance(said, Mapping) else []
        if answer.ok or refused:
            return [_finding(text) for text in refused[:_SHOWN]]
        return [_finding(f"{answer.status} {answer.text(300)}")]

    def _check(self, answer: http.Answer, body: Any, *, wrote: bool) -> None:
        """Raises for what is the matter with the account or the server, whatever was asked."""
        fault = answers.fault_of(answer.status, answer.headers.get("location", ""), body, wrote=wrote)
        if fault is None or (fault.code == "dhis2.unreadable_answer" and answer.ok):
            return
        if answer.status == 403:  # form of 153
            said = str(body.get("message", "")) if isinstance(body, Mapping) else ""
            raise TargetRefused.after(
                f"{self.name} : ce compte n'a pas le droit de faire cela. DHIS2 dit : {said[:200]}",
                f"{self.name}: this account may not do that. DHIS2 says: {said[:200]}",
            )
        why = answers.reason(fault.code)
        if why.who is Who.CREDENTIALS:
            raise TargetRefused.after(f"{self.name} : {why.fr}", f"{self.name}: {why.en}")
        if fault.of_target or not wrote:
            raise self._unreadable(fault.code)

    def _unreadable(self, code: str) -> TargetUnreadable:
        return TargetUnreadable.because(code, answers.reason(code), self.name)


def _finding(text: str) -> Finding:
    return Finding(
        "dhis2.metadata_refused",
        Severity.ERROR,
        f"DHIS2 refused: {text}",
        who=Who.TARGET_ADMIN,
        french=(f"DHIS2 a refusé : {text}", "", ""),
    )


def _refused(body: Mapping[str, Any]) -> Iterator[str]:
    """The sentences of an import report (012), or of the report on one object (010)."""
    response = body.get("response")
    reports = response.get("typeReports", [response]) if isinstance(response, Mapping) else []
    for report in reports if isinstance(reports, list) else []:
        objects = report.get("objectReports", [report]) if isinstance(report, Mapping) else []
        for one in objects if isinstance(objects, list) else []:
            errors = one.get("errorReports", []) if isinstance(one, Mapping) else []
            for error in errors if isinstance(errors, list) else []:
                if isinstance(error, Mapping):
                    yield f"{error.get('errorCode', '')} {error.get('message', '')}".strip()


def _holds(rows: Sequence[Row], code: str) -> bool:
    return any(row.get("code") == code for row in rows)


def _rows(body: Mapping[str, Any], name: str) -> list[Row]:
    """The list of objects with an id under a name. Raises TargetUnreadable."""
    rows = body.get(name)
    if not isinstance(rows, list) or not all(
        isinstance(row, Mapping) and isinstance(row.get("id"), str) for row in rows
    ):
        raise TargetUnreadable.because("dhis2.unavailable", answers.reason("dhis2.unavailable"), "dhis2")
    return rows


def _parts(codes: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(codes), size):
        yield codes[start : start + size]
