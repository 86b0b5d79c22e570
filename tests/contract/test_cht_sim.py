"""The simulated CHT against the recordings of a running api 5.2.0 over CouchDB 3.5.0.

``cht_couchdb.ndjson`` holds recorded exchanges in the order in which they ran against one database, named by the file
of ``recordings/cht-5.2`` they come from. Cursors and revisions are opaque, so a value ``@14-changes-page1`` stands for
what that exchange answered. The sequence is sent to one simulator; each exchange is then one test. What the api adds
in front of CouchDB is below it.
"""

from __future__ import annotations

import asyncio
import json
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from connector.sandbox.cht import CHTSim
from connector.sandbox.plane import Plane

RECORDED = [json.loads(line) for line in (Path(__file__).parent / "cht_couchdb.ndjson").read_text("utf-8").splitlines()]
LOGIN = ("relais", "relais-sandbox")


def client(sim: CHTSim, auth: tuple[str, str] | None = LOGIN, accept: str = "application/json") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=sim.app)
    return httpx.AsyncClient(base_url="http://cht", transport=transport, auth=auth, headers={"accept": accept})


def ask(
    sim: CHTSim, method: str, path: str, *, auth: Any = LOGIN, accept: str = "application/json", **kwargs: Any
) -> Any:
    async def go() -> httpx.Response:
        async with client(sim, auth, accept) as http:
            return await http.request(method, path, **kwargs)

    return asyncio.run(go())


def report(id: str, **fields: Any) -> dict[str, Any]:
    contact = {"_id": "asc-001", "parent": {"_id": "site-1"}}
    return {"_id": id, "type": "data_record", "form": "assessment", "contact": contact, "fields": fields}


def filled(n: int, **settings: Any) -> CHTSim:
    return CHTSim(Plane(5), [report(f"r-{i}", n=i) for i in range(n)], **settings)


@cache
def replayed() -> dict[str, tuple[int, Any]]:
    """Every recorded request sent to one simulator, in order: file -> status and body."""
    sim = CHTSim(Plane(1))
    answers: dict[str, tuple[int, Any]] = {}

    def meant(value: Any) -> Any:
        if not isinstance(value, str) or not value.startswith("@"):
            return value
        file, _, id = value[1:].partition(" ")
        body = answers[file][1]
        if id:
            return next(row["rev"] for row in body if row["id"] == id)
        return body["rev"] if "rev" in body else body["last_seq"]

    async def go() -> None:
        async with client(sim) as http:
            for exchange in RECORDED:
                body = exchange["body"]
                if isinstance(body, dict) and "_rev" in body:
                    body = {**body, "_rev": meant(body["_rev"])}
                content = None if body is None else body if isinstance(body, str) else json.dumps(body)
                query = {name: meant(value) for name, value in exchange["query"].items()}
                answer = await http.request(exchange["method"], exchange["path"], params=query, content=content)
                answers[exchange["file"]] = (answer.status_code, answer.json())

    asyncio.run(go())
    return answers


def seen(status: int, body: Any, query: dict[str, str]) -> dict[str, Any]:
    """An answer cut down to what the recordings keep of it."""
    out: dict[str, Any] = {"status": status}
    if isinstance(body, list):
        return {**out, "list": [[row.get("id"), row.get("ok"), row.get("error")] for row in body]}
    if status == 500:
        return out
    out |= {name: body[name] for name in ("error", "reason", "pending", "total_rows") if name in body}
    if "rev" in body:
        out["rev"] = body["rev"].split("-")[0]
    if "rows" in body:
        out["keys"] = [
            [r.get("id"), r.get("error"), sorted(r["value"]) if "value" in r else None, "doc" in r and r["doc"] is None]
            for r in body["rows"]
        ]
    if "results" in body:
        rows = body["results"]
        out["count"], out["null_seqs"] = len(rows), [row["seq"] is None for row in rows]
        if "limit" not in query:
            out["rows"] = sorted(
                [
                    row["id"],
                    row["changes"][0]["rev"].split("-")[0],
                    row.get("deleted", False),
                    sorted(row["doc"]) if row.get("doc") else None,
                ]
                for row in rows
            )
    return out


@pytest.mark.parametrize("exchange", RECORDED, ids=lambda exchange: exchange["file"])
def test_answers_as_recorded(exchange: dict[str, Any]) -> None:
    got = seen(*replayed()[exchange["file"]], exchange["query"])
    wanted = exchange["expected"]
    assert {name: got.get(name) for name in wanted} == wanted


def test_cursor_is_opaque_long_and_checked() -> None:
    sim = filled(5)
    last = ask(sim, "GET", "/medic/_changes").json()["last_seq"]
    number, _, opaque = last.partition("-")
    assert number == "5" and opaque.startswith("g1AAAA") and 250 <= len(last) <= 415  # findings-cht 1

    def status(since: str) -> tuple[int, int]:
        answer = ask(sim, "GET", "/medic/_changes", params={"since": since, "limit": "0"})
        return answer.status_code, answer.json().get("pending", -1)

    assert status(f"99999-{opaque}") == (200, 0)  # 70-since-prefix-changed
    assert status(f"0-{opaque}") == (200, 0)  # 71-since-prefix-zero
    assert status(f'"{last}"') == (200, 0)  # 74-since-quoted
    assert status(last[:-8])[0] == 400  # 69-since-truncated
    assert status(last[:40] + ("B" if last[40] != "B" else "C") + last[41:])[0] == 400  # 78: damaged on the way


def test_order_differs_between_requests_but_every_document_comes() -> None:
    """findings-cht 2: 30 equal requests gave 18 orders and different sets of ids on the first page."""
    sim = filled(60)
    pages = [ask(sim, "GET", "/medic/_changes", params={"limit": "20"}).json() for _ in range(6)]
    assert len({tuple(row["id"] for row in page["results"]) for page in pages}) > 1
    for page in pages:
        params = {"since": page["last_seq"]}
        rest = ask(sim, "GET", "/medic/_changes", params=params).json()
        ids = [row["id"] for row in [*page["results"], *rest["results"]]]
        assert sorted(ids) == sorted(f"r-{i}" for i in range(60))


def test_a_document_edited_while_paging_comes_twice_and_none_is_missed() -> None:
    sim = filled(40)  # 119-edit-while-paging
    first = ask(sim, "GET", "/medic/_changes", params={"limit": "10"}).json()
    edited = first["results"][0]["id"]
    sim.edit(edited, {"fields.n": -1})
    rest = ask(sim, "GET", "/medic/_changes", params={"since": first["last_seq"], "include_docs": "true"}).json()
    assert {row["id"] for row in rest["results"]} >= {edited}
    assert len(first["results"]) + len(rest["results"]) == 41
    assert next(row for row in rest["results"] if row["id"] == edited)["doc"]["fields"] == {"n": -1}


def test_a_database_made_again_replays_without_a_word() -> None:
    """findings-cht 8; 126-recreated-db-old-seq, 127-recreated-db-info."""
    sim = filled(7)
    before = ask(sim, "GET", "/medic/").json()["instance_start_time"]
    last = ask(sim, "GET", "/medic/_changes").json()["last_seq"]
    sim.recreate()
    again = ask(sim, "GET", "/medic/_changes", params={"since": last})
    assert again.status_code == 200 and len(again.json()["results"]) == 7
    assert ask(sim, "GET", "/medic/").json()["instance_start_time"] != before


def test_a_purged_document_leaves_no_trace() -> None:
    sim = filled(3)  # 37-purge, 38-changes-after-purge, 40-get-purged
    last = ask(sim, "GET", "/medic/_changes").json()["last_seq"]
    sim.purge("r-1")
    assert ask(sim, "GET", "/medic/_changes", params={"since": last}).json()["results"] == []
    assert ask(sim, "GET", "/medic/r-1").json() == {"error": "not_found", "reason": "missing"}


def test_deletes_with_and_without_the_body() -> None:
    sim = filled(2)
    sim.delete("r-0")
    sim.delete("r-1", keep_body=False)
    rows = ask(sim, "GET", "/medic/_changes", params={"include_docs": "true"}).json()["results"]
    docs = {row["id"]: row["doc"] for row in rows}
    assert docs["r-0"]["form"] == "assessment" and docs["r-0"]["_deleted"] is True  # 28, 283
    assert sorted(docs["r-1"]) == ["_deleted", "_id", "_rev"]


def test_equal_bodies_have_equal_revisions() -> None:
    """findings-cht 15: the revision is a hash of the content, not of the id."""
    sim = CHTSim(Plane())
    assert sim.put({"_id": "a", "type": "x"}) == sim.put({"_id": "b", "type": "x"})
    assert sim.put({"_id": "a", "type": "y"}).startswith("2-")


def test_login() -> None:
    sim = filled(1)
    path = "/medic/_changes"
    assert ask(sim, "GET", path, auth=None).json() == {"code": 401, "error": "unauthorized"}  # 214
    assert ask(sim, "GET", path, auth=None, accept="*/*").text == "not logged in"  # 215
    assert ask(sim, "GET", path, auth=("relais", "wrong")).status_code == 401  # 216
    assert ask(sim, "GET", "/api/v2/monitoring", auth=None).json()["version"]["app"] == "5.2.0"  # 260
    assert ask(sim, "GET", "/nothing/here").json()["reason"] == "Database does not exist."  # 261
    sim.member = False
    assert ask(sim, "GET", path).json()["reason"] == "You are not allowed to access this db."  # 98


@pytest.mark.parametrize(
    ("lockout", "status", "words"), [("cht", 429, "Too Many Requests"), ("couchdb", 403, "locked")]
)
def test_ten_failed_logins_shut_everybody_out_for_ten_seconds(lockout: str, status: int, words: str) -> None:
    """findings-cht 26; 278-api-lockout-warn, 263-api-rate-limit, 264-api-rate-limit-good."""
    now = [0.0]
    sim = CHTSim(Plane(clock=lambda: now[0]), lockout=lockout)
    for _ in range(10):
        assert ask(sim, "GET", "/medic/_changes", auth=("relais", "wrong")).status_code == 401
    answer = ask(sim, "GET", "/medic/_changes")
    assert answer.status_code == status and words in answer.text and "retry-after" not in answer.headers
    now[0] = 11.0
    assert ask(sim, "GET", "/medic/_changes").status_code == 200


def test_while_it_starts_the_answer_depends_on_accept() -> None:
    """findings-cht 23."""
    sim = filled(1)
    sim.starting = True
    assert ask(sim, "GET", "/medic/_changes").status_code == 503
    page = ask(sim, "GET", "/medic/_changes", accept="*/*")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")


def test_a_health_workers_login_sees_its_own_and_ignores_limit() -> None:
    sim = filled(4)  # 219-api-changes-offline, 266-api-changes-offline-shape
    sim.put({**report("other"), "contact": {"_id": "asc-002"}})
    page = ask(
        sim, "GET", "/medic/_changes", auth=("asc-001", LOGIN[1]), params={"limit": "2", "include_docs": "true"}
    ).json()
    assert sorted(row["id"] for row in page["results"]) == ["r-0", "r-1", "r-2", "r-3"]
    assert "pending" not in page and "doc" not in page["results"][0]


def test_writing_needs_can_edit() -> None:
    sim = filled(0, can_edit=False)
    wanted = {"code": 403, "error": "Insufficient privileges"}
    assert ask(sim, "PUT", "/medic/w", json={}).json() == wanted  # 246
    assert ask(sim, "POST", "/medic/_bulk_docs", json={"docs": []}).json() == wanted  # 248
    assert sim.state() == {"docs": []}


def test_bulk_docs_must_be_a_list() -> None:
    answer = ask(filled(0), "POST", "/medic/_bulk_docs", json={"docs": "x"})  # 270
    assert answer.status_code == 400 and answer.json()["reason"] == "`docs` parameter must be an array."


def test_the_address_of_the_database_needs_its_slash() -> None:
    sim = filled(1)
    assert ask(sim, "GET", "/medic").headers["location"] == "/medic/"  # 286
    assert ask(sim, "GET", "/medic/").json()["doc_count"] == 1  # 287
    assert len(ask(sim, "GET", "/dbinfo").json()["uuid"]) == 32  # 288


def test_control_route_puts_edits_deletes_and_makes_again() -> None:
    sim = filled(2)
    operations = [
        {"op": "put", "doc": report("new")},
        {"op": "edit", "id": "new", "merge": {"fields.patient.sex": "female", "form": "delivery"}},
        {"op": "delete", "id": "r-0"},
        {"op": "delete_stub", "id": "r-1"},
    ]
    assert ask(sim, "POST", "/_sandbox/records", json=operations).json()["revisions"][1].startswith("2-")
    docs = {doc["_id"]: doc for doc in ask(sim, "GET", "/_sandbox/state").json()["docs"]}
    assert docs["new"]["fields"] == {"patient": {"sex": "female"}} and docs["new"]["form"] == "delivery"
    assert docs["r-0"]["_deleted"] and "fields" in docs["r-0"] and "fields" not in docs["r-1"]
    assert ask(sim, "POST", "/_sandbox/records", json={"op": "eat", "id": "x"}).status_code == 400
    ask(sim, "POST", "/_sandbox/records", json={"op": "recreate"})
    assert [doc["_id"] for doc in sim.state()["docs"]] == ["new"]
    ask(sim, "POST", "/_sandbox/reset", json={})
    assert sim.state() == filled(2).state()


def test_what_is_not_simulated_says_so() -> None:
    assert ask(filled(1), "GET", "/medic/_changes", params={"filter": "_view"}).status_code == 501
    assert ask(filled(1), "GET", "/medic/_design/app/_view/x").status_code == 501
