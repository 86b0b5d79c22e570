"""What is asked of a running DHIS2: metadata of our own, values in every fate that needs no earlier state, completion.

The account has to be a superuser's (authority ALL): values that were deleted stay in the tables and keep the element
and org unit from being removed, until they are pruned, which DHIS2 allows nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from connector.adapters.dhis2 import STRICT
from connector.adapters.dhis2_metadata import FIELDS
from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.plane import Plane
from tests.truth.live import Simulated, Talk, Trouble, part, rows

_DEFAULT = "default"
_IMPORT = {"importStrategy": "CREATE_AND_UPDATE", "atomicMode": "ALL"}
_COUNTS = part(
    "status", "importCount", "imported", "updated", "ignored", "deleted", "rejectedIndexes", "conflicts", "errorCode"
)
#: Removed in this order: what refers to something before it.
_KINDS = ("dataSets", "dataElements", "categoryCombos", "categories", "categoryOptions", "organisationUnits")
_XHR = {"x-requested-with": "XMLHttpRequest"}


def script(talk: Talk) -> tuple[Simulated, list[str]]:
    info = _needed(talk, "/api/system/info", "version")
    me = _needed(talk, "/api/me", "username", fields="id,username,authorities,organisationUnits[id,path]")
    if not me["organisationUnits"]:
        raise Trouble("the account has no org unit; give it one under which test org units may be made")
    if "ALL" not in me["authorities"]:
        raise Trouble("the account is no superuser (authority ALL): what is made could not be removed again")
    root = me["organisationUnits"][0]
    default = _default_combo(talk)
    today = date.fromisoformat(str(info["serverDate"])[:10])
    body = _metadata(talk, root["id"], today)
    talk.undo.append(lambda: _left(talk, body))
    talk.undo.append(lambda: _remove(talk, body))
    talk.ask("metadata", "POST", "/api/metadata", body, query=_IMPORT, keep=part("status", "created", "ignored"))
    _values(talk, default, today)
    _completion(talk, default, today)
    talk.ask("no-credentials", "GET", "/api/me", headers=_XHR, user="none", keep=part("httpStatusCode", "status"))
    return _simulator(info, me, root, default, today), []


def _needed(talk: Talk, path: str, must: str, **query: str) -> Any:
    answer = talk.send("GET", path, query=query, headers=_XHR)
    if answer.status_code in (401, 403) or 300 <= answer.status_code < 400:
        raise Trouble(f"the account is refused ({answer.status_code})")
    try:
        found = answer.json()
    except ValueError:
        found = None
    if answer.status_code != 200 or not isinstance(found, dict) or must not in found:
        raise Trouble(f"{path} does not answer like a DHIS2 ({answer.status_code}); is the address right?")
    return found


def _default_combo(talk: Talk) -> str:
    found = _needed(
        talk, "/api/categoryOptionCombos", "categoryOptionCombos", filter="code:eq:default", fields="id,code"
    )
    named = rows(found, "categoryOptionCombos")
    if len(named) != 1:
        raise Trouble(f"{len(named)} category option combos have the code default; one is needed")
    return str(named[0]["id"])


# ---------------------------------------------------------------- what is asked


def _metadata(talk: Talk, root: str, today: date) -> dict[str, Any]:
    def named(what: str) -> dict[str, Any]:
        name = talk.name(what)
        return {"id": talk.uid(what), "code": name, "name": name, "shortName": name}

    def element(what: str, *, zero: bool) -> dict[str, Any]:
        return {
            **named(what), "valueType": "INTEGER_ZERO_OR_POSITIVE", "domainType": "AGGREGATE",
            "aggregationType": "SUM", "zeroIsSignificant": zero,
        }  # fmt: skip

    def unit(what: str, **more: Any) -> dict[str, Any]:
        return {**named(what), "openingDate": "2015-01-01", "parent": {"id": root}, **more}

    dimension = {"dataDimensionType": "DISAGGREGATION"}
    return {
        "categoryOptions": [named("option")],
        "categories": [{**named("category"), **dimension, "categoryOptions": [{"id": talk.uid("option")}]}],
        "categoryCombos": [{**named("combo"), **dimension, "categories": [{"id": talk.uid("category")}]}],
        "organisationUnits": [
            unit("site"), unit("closed", closedDate="2020-12-31"), unit("elsewhere"),
        ],
        "dataElements": [
            *(element(what, zero=what != "nought") for what in ("zero", "nought", "other", "timed")),
            {**element("parted", zero=True), "categoryCombo": {"id": talk.uid("combo")}},
        ],
        "dataSets": [
            {
                **named("monthly"), "periodType": "Monthly", "openFuturePeriods": 0,
                "dataSetElements": [{"dataElement": {"id": talk.uid(what)}} for what in ("zero", "nought", "parted")],
                "organisationUnits": [{"id": talk.uid(what)} for what in ("site", "closed")],
                "sharing": {"public": "rwrw----", "users": {}, "userGroups": {}},
            },
            {
                **named("window"), "periodType": "Monthly", "openFuturePeriods": 0,
                "dataSetElements": [{"dataElement": {"id": talk.uid("timed")}}],
                "organisationUnits": [{"id": talk.uid("site")}],
                "dataInputPeriods": [_window(_month(today, 1), today, 10), _window(_month(today, 2), today, -10)],
                "sharing": {"public": "rwrw----", "users": {}, "userGroups": {}},
            },
        ],
    }  # fmt: skip


def _window(period: str, today: date, days: int) -> dict[str, Any]:
    """An input period that was opened two months ago, and is closed so many days from now; below nought: before."""
    opened, closed = today - timedelta(days=60), today + timedelta(days=days)
    return {
        "period": {"id": period}, "openingDate": f"{opened}T00:00:00.000", "closingDate": f"{closed}T00:00:00.000",
    }  # fmt: skip


def _values(talk: Talk, default: str, today: date) -> None:
    month, before = _month(today, 1), _month(today, 2)
    data_set = talk.uid("monthly")

    def post(name: str, *values: dict[str, Any], unit: str = "site", period: str = month, of: str = data_set) -> None:
        header = {"period": period, "orgUnit": _id(talk, unit), "attributeOptionCombo": default}
        body = {"dataSet": of, **header, "dataValues": [{**one, **header} for one in values]}
        talk.ask(name, "POST", "/api/dataValueSets", body, query=STRICT, headers=_XHR, keep=_COUNTS)

    def value(what: str, figure: str | None, **more: Any) -> dict[str, Any]:
        given = {} if figure is None else {"value": figure}
        return {"dataElement": _id(talk, what), "categoryOptionCombo": default, **given, **more}

    def read(name: str) -> None:
        query = {"dataSet": data_set, "period": month, "orgUnit": talk.uid("site")}
        keep = part("dataValues", "dataElement", "value")
        talk.ask(name, "GET", "/api/dataValueSets", query=query, headers=_XHR, keep=keep)

    code = {"filter": f"code:eq:{talk.name('monthly')}", "fields": FIELDS, "paging": "false"}
    elements = part("dataSets", "id", "periodType", "dataSetElements", "organisationUnits", "dataElement", "closedDate")
    talk.ask("data-set-by-code", "GET", "/api/dataSets", query=code, headers=_XHR, keep=elements)
    post("create", value("zero", "12"), value("nought", "3"))
    post("the-same-again", value("zero", "12"), value("nought", "3"))
    post("update", value("zero", "13"))
    read("read-after-update")
    post("significant-zero", value("zero", "0"))
    post("insignificant-zero-new", value("nought", "0"), period=before)
    post("insignificant-zero-over-a-value", value("nought", "0"))
    read("read-after-zeros")
    post("not-a-number", value("zero", "twelve"))
    post("negative", value("zero", "-1"))
    post("some-bad", value("zero", "7"), value("nought", "x"))
    read("read-after-some-bad")
    post("unknown-element", value("nowhere", "1"))
    post("element-not-in-the-data-set", value("other", "1"))
    post("combo-of-another-element", value("parted", "1"))
    post("unknown-org-unit", value("zero", "1"), unit="nowhere")
    post("org-unit-not-assigned", value("zero", "1"), unit="elsewhere")
    post("org-unit-closed", value("zero", "1"), unit="closed")
    post("unknown-period", value("zero", "1"), period="2026XX")
    post("period-of-another-type", value("zero", "1"), period=month[:4])
    post("period-not-open", value("zero", "1"), period=_month(today, -3))
    # Superusers too are bound by input periods; in which way, the versions differ (133-138).
    post("input-period-open", value("timed", "1"), of=talk.uid("window"))
    post("input-period-closed", value("timed", "1"), period=before, of=talk.uid("window"))
    post("input-period-none", value("timed", "1"), period=_month(today, 3), of=talk.uid("window"))
    post("delete", value("zero", "7", deleted=True))
    post("delete-again", value("zero", "7", deleted=True))
    post("delete-what-never-was", value("zero", None, deleted=True), period=before)
    read("read-after-delete")
    post("again-after-delete", value("zero", "5"))
    read("read-at-last")


def _completion(talk: Talk, default: str, today: date) -> None:
    path, month = "/api/completeDataSetRegistrations", _month(today, 1)
    row = {
        "dataSet": talk.uid("monthly"), "period": month, "organisationUnit": talk.uid("site"),
        "attributeOptionCombo": default, "date": today.isoformat(), "completed": True,
    }  # fmt: skip
    read = {"dataSet": talk.uid("monthly"), "period": month, "orgUnit": talk.uid("site")}
    shown = part("completeDataSetRegistrations", "period", "organisationUnit", "completed")
    talk.ask("not-completed-yet", "GET", path, query=read, headers=_XHR, keep=shown)
    body = {"completeDataSetRegistrations": [row]}
    talk.ask("complete", "POST", path, body, headers=_XHR, keep=_COUNTS)
    talk.ask("complete-again", "POST", path, body, headers=_XHR, keep=_COUNTS)
    talk.ask("completed", "GET", path, query=read, headers=_XHR, keep=shown)
    gone = {"ds": talk.uid("monthly"), "pe": month, "ou": talk.uid("site")}
    talk.ask("complete-no-more", "DELETE", path, query=gone, headers=_XHR)
    talk.ask("complete-no-more-again", "DELETE", path, query=gone, headers=_XHR)
    talk.ask("not-completed-any-more", "GET", path, query=read, headers=_XHR, keep=shown)


def _id(talk: Talk, what: str) -> str:
    return "RnoSuchId01" if what == "nowhere" else talk.uid(what)


def _month(today: date, ago: int) -> str:
    """So many months ago as a DHIS2 period; below nought: months to come."""
    day = today.replace(day=1)
    for _ in range(abs(ago)):
        day = (day - timedelta(days=1)).replace(day=1) if ago > 0 else (day + timedelta(days=32)).replace(day=1)
    return f"{day:%Y%m}"


# ---------------------------------------------------------------- cleared away


def _remove(talk: Talk, body: dict[str, Any]) -> str | None:
    """Prune the data of our org units, then delete what was made in one import."""
    for kind in ("organisationUnits", "dataElements"):  # of what else there is, no value was ever stored
        for row in body[kind]:
            talk.send("POST", f"/api/maintenance/dataPruning/{kind}/{row['id']}", headers=_XHR)
    for kind in _KINDS:
        query = {"importStrategy": "DELETE", "atomicMode": "NONE"}
        talk.send("POST", "/api/metadata", {kind: body[kind]}, query=query, headers=_XHR)
    return None


def _left(talk: Talk, body: dict[str, Any]) -> str | None:
    """What is still there under the prefix, by the server's own word."""
    found = list(_still(talk, body))
    return f"still at the DHIS2, to be removed in its Maintenance app: {', '.join(found)}" if found else None


def _still(talk: Talk, body: dict[str, Any]) -> Iterator[str]:
    for kind in _KINDS:
        codes = ",".join(row["code"] for row in body[kind])
        query = {"filter": f"code:in:[{codes}]", "fields": "id,code", "paging": "false"}
        answer = talk.send("GET", f"/api/{kind}", query=query, headers=_XHR)
        if answer.status_code != 200:
            yield f"{kind} (answers {answer.status_code})"
            continue
        yield from (f"{kind} {row['code']}" for row in rows(answer.json(), kind))


# ---------------------------------------------------------------- the simulator like it


def _simulator(info: Any, me: Any, root: Any, default: str, today: date) -> Simulated:
    version = str(info["version"])
    found = [int(one) for one in version.split("-")[0].split(".")[:2]]
    profile = "v43" if found >= [2, 43] else "legacy"
    user = {
        "username": "truth", "password": "truth", "id": me["id"], "orgUnits": ["ROOT"], "authorities": ["ALL"],
    }  # fmt: skip
    data = {
        "today": today.isoformat(), "users": [user],
        "orgUnits": [{"code": "ROOT", "id": root["id"], "name": "Root", "parent": None, "opening": "1990-01-01"}],
        "categoryOptionCombos": [{"code": _DEFAULT, "id": default, "name": _DEFAULT, "categoryCombo": _DEFAULT}],
    }  # fmt: skip
    sim = DHIS2Sim(data, [], Plane(), profile)
    return Simulated(sim.app, "http://simulator", {"authorization": "Basic dHJ1dGg6dHJ1dGg="})
