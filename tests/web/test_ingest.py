"""Pushed records on the real road: what was asked for is in the database and at the targets, and nothing else is."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import structlog

from connector import logs
from connector.cli.wiring import web_app
from connector.engine import tokens
from connector.errors import ConfigError, StoreFull
from connector.mappings.pack import Pack
from connector.store.database import QueuedStore, SqlStore
from tests.engine.house import (
    ANNA,
    SITE,
    Change,
    Doc,
    Make,
    Road,
    a_few,
    environment,
    meeting,
    visit,
)  # fmt: skip

CANARY = "Zorblatha"
TOKEN = f"relais_0123456789ab_{CANARY}{'x' * 34}"


def let_in(road: Road, token: str = TOKEN, **how: Any) -> None:
    asked = {"name": "cht-outbound", "role": "submit", "by": "sysadmin", **how}
    tokens.make(road.engine, token, **asked)


def call(road: Road, method: str, path: str, *, token: str | None = TOKEN, **more: Any) -> httpx.Response:
    """One request from another machine."""
    assert road.house is not None
    app = web_app(road.house)
    headers = {**({"authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}

    async def inside() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 5000))
        async with httpx.AsyncClient(transport=transport, base_url="https://relais.example") as client:
            return await client.request(method, path, headers=headers, **more)

    return asyncio.run(inside())


def push(road: Road, document: Any, source: str = "cht", *, form: str = "", **more: Any) -> httpx.Response:
    content = document if isinstance(document, bytes) else orjson.dumps(document)
    headers = {"content-type": "application/json"}
    path = f"/api/v1/ingest/{source}" + (f"?form={form}" if form else "")
    return call(road, "POST", path, content=content, headers=headers, **more)


def whole(road: Road, id: str) -> Doc:
    """A document as the CHT holds it now, with its revision."""
    return next(dict(doc) for doc in road.cht.state()["docs"] if doc["_id"] == id)


def filled_in(doc: Doc) -> Doc:
    """As CHT pushes it: whole contacts in the place of ids."""
    place = {"name": "Famille Fictive", "contact": {"phone": "+223"}}

    def above(one: Any) -> Any:
        return {**place, **one, **({"parent": above(one["parent"])} if "parent" in one else {})}

    found = dict(doc)
    for name in ("contact", "parent"):
        if name in doc:
            found[name] = above(doc[name])
    if doc["type"] == "data_record":
        found |= {"patient": {"_id": ANNA, "name": "Personne Fictive"}, "place": above({"_id": SITE})}
    return found


def kept(road: Road) -> dict[str, list[dict[str, Any]]]:
    """Everything that a record leaves behind, but for the log of requests."""
    tables = ("head", "body", "activity", "contribution", "cell", "delivery", "quarantine", "audit", "attempt")
    return {table: road.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4") for table in tables}


def head(road: Road, record: str) -> dict[str, Any]:
    return road.one("SELECT * FROM head WHERE record=:r", r=record)


def bodies(road: Road, key: str) -> dict[str, Any]:
    """Revision -> the body as decrypted."""
    rows = road.rows("SELECT revision, body_enc FROM body WHERE key=:k", k=key)
    return {r["revision"]: road.engine.store.read(lambda unit, r=r: unit.open("body", r["body_enc"])) for r in rows}


def entries(road: Road, event: str = "push.received") -> list[dict[str, Any]]:
    return [
        orjson.loads(r["detail"]) for r in road.rows("SELECT detail FROM audit WHERE event=:e ORDER BY id", e=event)
    ]


def ordered(source: str, order: str) -> Change:
    def change(pack: Pack) -> Pack:
        return replace(pack, sources={**pack.sources, source: replace(pack.sources[source], order=order)})

    return change


# ---------------------------------------------------------------- pushed is pulled


def test_pushed_records_count_as_if_they_had_been_pulled(
    make_road: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled = make_road()
    pulled.settle()
    for name, value in environment(tmp_path / "pushed").items():
        monkeypatch.setenv(name, value)
    pushed = Road(tmp_path / "pushed", a_few(), lambda pack: pack, [])
    try:
        let_in(pushed)
        documents = [whole(pushed, doc["_id"]) for doc in a_few()]
        for doc in documents:
            answer = push(pushed, {"doc": filled_in(doc)})
            assert answer.status_code == 202, answer.text
            assert answer.json() == {
                "receipt": answer.json()["receipt"], "source": "cht", "key": doc["_id"], "revision": doc["_rev"],
                "state": "received",
            }  # fmt: skip
            assert bodies(pushed, doc["_id"]) == {doc["_rev"]: doc}, "as the feed brings it, nobody's name filled in"
        assert [e["state"] for e in entries(pushed)] == ["received"] * len(documents)

        for _ in range(2):
            pushed.run(sources=["odk"], wait=timedelta(hours=12))
        assert pushed.values() == pulled.values() and len(pulled.values()) > 20
        assert pushed.value("MH_B01_DEN", "A3_Y0_4-SEX_F") == "1"
        assert pushed.fhir.state() == pulled.fhir.state()
        assert len(pushed.openmrs.state()["encounters"]) == len(pulled.openmrs.state()["encounters"]) > 0

        before, writes = kept(pushed), pushed.writes()
        summary = pushed.run(sources=["cht"], targets=["dhis2", "fhir"])
        assert summary["sources"]["cht"]["new"] == 0 and summary["sources"]["cht"]["repeated"] == len(documents)
        after = kept(pushed)
        assert {t: rows for t, rows in after.items() if t != "audit"} == {
            t: rows for t, rows in before.items() if t != "audit"
        }
        assert pushed.writes() == writes and pushed.values() == pulled.values()
    finally:
        pushed.close()


def test_an_exact_repeat_writes_nothing(road: Road) -> None:
    let_in(road)
    doc = whole(road, "visit-08-1")
    first = push(road, doc)
    before = kept(road)
    again = push(road, filled_in(doc))
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == {**first.json(), "state": "repeated"}
    assert kept(road) == before
    road.settle()
    before = kept(road)
    assert push(road, doc).status_code == 200
    assert kept(road) == before, "also when it came by the feed"


def test_what_the_pack_ignores_is_answered_and_not_kept(road: Road) -> None:
    let_in(road)
    before = kept(road)
    answers = [
        {**visit("answer-1"), "_rev": "1-a", "form": "referral_answer"},
        {"_id": "form:assessment", "_rev": "1-a", "type": "form"},
        {"_id": "task~1", "_rev": "1-a", "type": "task"},
        {"_id": "sms", "_rev": "1-a", "type": "data_record", "fields": {}, "reported_date": 1},
    ]
    for doc in answers:
        answer = push(road, doc)
        assert (answer.status_code, answer.json()["state"]) == (200, "ignored"), doc
    assert kept(road) == before


# ---------------------------------------------------------------- older and newer


def edited(road: Road, id: str = "visit-08-1") -> tuple[Doc, Doc]:
    """A visit as it was, and as it is after the test turned out negative."""
    old = whole(road, id)
    road.cht.edit(id, {"fields": {**old["fields"], "group_fever": {"patient_fever": "yes", "mrdt_result": "negative"}}})
    return old, whole(road, id)


@pytest.mark.parametrize("order", ["feed", "comparable"])
def test_a_push_older_than_the_head_is_kept_and_never_current(make_road: Make, order: str) -> None:
    road = make_road(change=ordered("cht", order))
    let_in(road)
    old, new = edited(road)
    road.settle()
    values, at = road.values(), head(road, "cht/reports/visit-08-1")
    late = push(road, old)
    assert (late.status_code, late.json()["state"]) == (202, "kept")
    assert head(road, "cht/reports/visit-08-1") == at and at["revision"] == new["_rev"]
    assert set(bodies(road, "visit-08-1")) == {old["_rev"], new["_rev"]}, "kept all the same"
    assert [e["state"] for e in entries(road)] == ["kept"]
    assert push(road, old).status_code == 200, "the second time it is known"
    road.settle()
    assert road.values() == values


def test_by_feed_a_pushed_correction_waits_for_the_feed(road: Road) -> None:
    let_in(road)
    road.settle()
    old, new = edited(road)
    assert push(road, new).json()["state"] == "kept"
    assert head(road, "cht/reports/visit-08-1")["revision"] == old["_rev"]
    before = road.values()
    road.settle()
    assert head(road, "cht/reports/visit-08-1")["revision"] == new["_rev"], "pulled, it is current"
    assert road.values() != before


def test_by_comparison_a_pushed_correction_counts_at_once(make_road: Make) -> None:
    road = make_road(change=ordered("cht", "comparable"))
    let_in(road)
    road.settle()
    before = road.values()
    old, new = edited(road)
    assert push(road, new).json()["state"] == "received"
    assert head(road, "cht/reports/visit-08-1")["revision"] == new["_rev"]
    road.run(sources=["odk"], wait=timedelta(hours=12))
    assert road.values() != before
    conflict = {**old, "_rev": new["_rev"].partition("-")[0] + "-ffff"}
    assert push(road, conflict).json()["state"] == "kept", "only the feed knows who wins a conflict"


def test_without_an_order_the_last_one_received_is_current(make_road: Make) -> None:
    road = make_road(change=ordered("cht", "none"))
    let_in(road)
    old, new = edited(road)
    assert [push(road, doc).status_code for doc in (old, new, old)] == [202, 202, 202]
    assert head(road, "cht/reports/visit-08-1")["revision"] == old["_rev"]
    assert push(road, old).status_code == 200


# ---------------------------------------------------------------- files


def test_a_pushed_submission_is_the_line_of_the_file(road: Road) -> None:
    let_in(road)
    one = meeting(1)
    answer = push(road, one, "odk", form="reunion_groupe_epargne")
    assert (answer.status_code, answer.json()["key"]) == (202, "uuid:meeting-1")
    road.run(sources=["kobo"], wait=timedelta(hours=12))
    assert road.quarantined() == {}
    before = kept(road)
    road.write_meetings("01", [one])
    summary = road.run(sources=["odk"])
    assert (summary["sources"]["odk"]["new"], summary["sources"]["odk"]["repeated"]) == (0, 1)
    assert {k: v for k, v in kept(road).items() if k != "audit"} == {k: v for k, v in before.items() if k != "audit"}


def test_an_older_submission_is_not_current(road: Road) -> None:
    """The pack says that times of submissions can be compared."""
    let_in(road)
    newer, older = meeting(1, "2026-08-05"), meeting(1, "2026-08-04")
    states = [
        push(road, one, "odk", form="reunion_groupe_epargne").json()["state"]
        for one in (older, newer, meeting(1, "2026-08-03"), meeting(1, "2026-08-05", saved=1))
    ]
    assert states == ["received", "received", "kept", "kept"], "a tie is not certainly newer"
    found = head(road, "odk/reunion_groupe_epargne/uuid:meeting-1")
    assert "2026-08-05" in found["revision"] and len(bodies(road, "uuid:meeting-1")) == 4


def test_a_pushed_row_and_a_pushed_item(road: Road) -> None:
    let_in(road)
    row = push(road, {"record_id": 7, "action": "upsert", "aire": " area-1 ", "note": "", "n": None}, "outreach")
    assert row.status_code == 202 and row.json()["key"] == "7"
    assert list(bodies(road, "7").values()) == [{"record_id": "7", "action": "upsert", "aire": "area-1"}]
    assert push(road, {"record_id": "7", "action": "delete"}, "outreach").json()["state"] == "kept", "rows have no time"
    item = push(
        road,
        {"_id": 5, "_xform_id_string": "aGovASACO", "_uuid": "u", "_submission_time": "2026-08-01T10:00:00"},
        "kobo",
    )
    assert item.status_code == 202 and head(road, "kobo/aGovASACO/5")["form"] == "aGovASACO"


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("source", "body", "missing"),
    [
        ("cht", b"", []),
        ("cht", b"{", []),
        ("cht", b"[]", []),
        ("cht", b'{"n": NaN}', []),
        ("cht", b"\xff\xfe", []),
        ("cht", b"[" * 5000 + b"]" * 5000, []),
        ("cht", b'{"doc": "x"}', []),
        ("cht", b"{}", ["_id", "_rev", "type"]),
        ("cht", b'{"_id": 5, "_rev": "1-a", "type": "contact"}', ["_id"]),
        ("cht", b'{"_id": "a\\u0000b", "_rev": "1-a", "type": "contact"}', ["_id"]),
        (
            "cht",
            b'{"_id": "a", "_rev": "1-a", "type": "data_record", "form": "assessment"}',
            ["fields", "reported_date"],
        ),
        ("odk", b'{"__id": "a"}', ["form"]),
        ("kobo", b'{"_xform_id_string": "f"}', ["meta/rootUuid"]),
        ("outreach", b'{"note": "x"}', ["record_id"]),
        ("outreach", b'{"record_id": {"a": 1}}', []),
    ],
)
def test_what_cannot_be_read_is_told_and_not_kept(road: Road, source: str, body: bytes, missing: list[str]) -> None:
    let_in(road)
    before = kept(road)
    answer = push(road, body, source)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"] == "ingest.unreadable" and answer.json()["missing"] == missing
    assert kept(road) == before


def test_who_may_not_push_leaves_nothing(road: Road) -> None:
    let_in(road, source="kobo")
    let_in(road, TOKEN.replace("0123", "4567"), name="prometheus", role="observe")
    before = kept(road)
    doc = whole(road, "visit-08-1")
    assert push(road, doc, token=None).status_code == 401
    assert push(road, doc, token=TOKEN + "x").status_code == 401
    assert push(road, doc).status_code == 403, "the token is for another source"
    assert push(road, doc, token=TOKEN.replace("0123", "4567")).status_code == 403
    assert push(road, doc, "nowhere", token=TOKEN.replace("0123", "4567")).status_code == 403
    assert kept(road) == before


def test_an_unknown_or_paused_source(road: Road) -> None:
    let_in(road)
    assert push(road, {}, "nowhere").status_code == 404
    assert push(road, {}, "dhis2").status_code == 404, "a target is no source"
    road.actions.pause("cht", "upgrade", None, "sysadmin")
    before = kept(road)
    paused = push(road, whole(road, "visit-08-1"))
    assert paused.status_code == 503 and int(paused.headers["retry-after"]) > 0
    assert kept(road) == before
    road.actions.resume("cht", "sysadmin")
    assert push(road, whole(road, "visit-08-1")).status_code == 202


def test_a_limit_is_a_setting(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAIS_INGEST_LIMIT", "1000")
    road.again()
    let_in(road)
    before = kept(road)
    assert push(road, b" " * 1001).status_code == 413
    assert push(road, whole(road, "visit-08-1")).status_code == 202
    assert len(kept(road)["body"]) == len(before["body"]) + 1


def test_a_pack_with_a_broken_webhook_secret_does_not_serve(make_road: Make) -> None:
    def signed(secret: Any) -> Change:
        def change(pack: Pack) -> Pack:
            cht = pack.sources["cht"]
            told = replace(cht, settings={**cht.settings, "webhook_secret": secret})
            return replace(pack, sources={**pack.sources, "cht": told})

        return change

    road = make_road(change=signed(["whsec_" + "A" * 44, "s3cret-canary"]))
    assert road.house is not None
    with pytest.raises(ConfigError) as refused:
        web_app(road.house)
    assert "cht" in str(refused.value) and "canary" not in str(refused.value)
    road.again(signed("whsec_" + "A" * 44))
    let_in(road)
    assert push(road, whole(road, "visit-08-1")).status_code == 401
    assert kept(road)["body"] == []


# ---------------------------------------------------------------- durable or not at all


def test_the_receipt_comes_after_the_commit(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the writer of ``serve``: nothing is answered while the COMMIT is outstanding, and pages go on."""
    let_in(road)
    assert road.house is not None
    store = QueuedStore(road.house.settings.database, road.house.cipher)
    held: list[tuple[Callable[[Any], Any], Future[Any]]] = []

    def submit(fn: Callable[[Any], Any]) -> Future[Any]:
        held.append((fn, Future()))
        return held[-1][1]

    monkeypatch.setattr(road.engine, "store", store)
    monkeypatch.setattr(road.house, "store", store)
    tokens.bearer(road.engine, TOKEN)  # noted as used: what is held next is the push
    app = web_app(road.house)
    doc = whole(road, "visit-08-1")

    async def inside() -> None:
        transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 5000))
        async with httpx.AsyncClient(transport=transport, base_url="https://relais.example") as client:
            with monkeypatch.context() as patch:
                patch.setattr(store, "submit", submit)
                asked = asyncio.create_task(
                    client.post("/api/v1/ingest/cht", json=doc, headers={"authorization": f"Bearer {TOKEN}"})
                )
                while not held:
                    await asyncio.sleep(0.01)
                assert (await client.get("/livez")).status_code == 200
                await asyncio.sleep(0.05)
                assert not asked.done() and store.read(lambda unit: unit._rows("SELECT * FROM body")) == []
            (work, future) = held[0]
            future.set_result(store.write(work))
            assert (await asked).status_code == 202
            assert len(store.read(lambda unit: unit._rows("SELECT * FROM body"))) == 1

    try:
        asyncio.run(inside())
    finally:
        store.close()


@pytest.mark.parametrize("trouble", ["busy", "full"])
def test_a_store_in_trouble_keeps_nothing_and_says_when_to_come_again(
    road: Road, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    let_in(road)
    tokens.bearer(road.engine, TOKEN)
    before = kept(road)
    doc = whole(road, "visit-08-1")
    if trouble == "busy":
        assert road.house is not None
        other = SqlStore(road.house.settings.database)
        with other._writer.begin():  # another program holds the database
            answer = push(road, doc)
        other.close()
    else:

        def full(unit: Any, rows: Any) -> None:
            raise StoreFull("no space")

        with monkeypatch.context() as patch:
            patch.setattr("connector.store.unit.Unit.move_heads", full)  # after the body was written
            answer = push(road, doc)
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 30
    assert answer.json()["error"] == f"store.{trouble}"
    assert kept(road) == before, "nothing half-written"
    assert push(road, doc).status_code == 202


def test_pushes_at_the_same_time_are_one_record(road: Road) -> None:
    let_in(road)
    assert road.house is not None
    app = web_app(road.house)
    doc = whole(road, "visit-08-1")

    async def inside() -> list[int]:
        transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 5000))
        async with httpx.AsyncClient(transport=transport, base_url="https://relais.example") as client:
            headers = {"authorization": f"Bearer {TOKEN}"}
            asked = [client.post("/api/v1/ingest/cht", json=doc, headers=headers) for _ in range(8)]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    found = asyncio.run(inside())
    assert sorted(code for code in found if code != 503) == [200] * (len(found) - found.count(503) - 1) + [202]
    assert len(bodies(road, "visit-08-1")) == len(entries(road)) == 1
    assert head(road, "cht/reports/visit-08-1")["moves"] == 1


# ---------------------------------------------------------------- what is seen of it


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger().level
    logs.configure("debug", stream)
    yield stream
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = before[0]
    logging.getLogger().setLevel(before[1])


def test_a_token_is_kept_and_said_nowhere(road: Road, tmp_path: Path, log: io.StringIO) -> None:
    let_in(road)
    let_in(road, TOKEN.replace("0123", "4567"), name="reader", role="viewer")
    said = [push(road, whole(road, "visit-08-1")), push(road, b"{"), push(road, {}, "nowhere")]
    for path in ("/metrics", "/status.json", "/api/v1/deliveries", "/api/v1/quarantine"):
        for token in (TOKEN, TOKEN.replace("0123", "4567"), TOKEN + "y"):
            said.append(call(road, "GET", path, token=token))
    assert {a.status_code for a in said} == {200, 202, 401, 403, 404, 422}
    for answer in said:
        assert CANARY not in answer.text + str(answer.headers), answer.request.url
        assert CANARY not in str(answer.request.url)
    tables = [t["name"] for t in road.rows("SELECT name FROM sqlite_master WHERE type='table'")]
    assert "token" in tables
    for table in tables:
        assert CANARY not in str(road.rows(f'SELECT * FROM "{table}"')), table
    for file in sorted((tmp_path / "relais").iterdir()):
        assert CANARY.encode() not in file.read_bytes(), file
    assert CANARY not in log.getvalue() + str(tokens.listed(road.engine))


def test_the_audit_trail_says_who_pushed_and_the_status_that_the_source_speaks(road: Road) -> None:
    let_in(road)
    road.settle()
    road.later(days=5)
    answer = push(road, {**visit("visit-new", "2026-08-20"), "_rev": "1-a"})
    row = road.one("SELECT * FROM audit WHERE event='push.received'")
    keyed = road.engine.store.read(lambda unit: (unit.keyed("token/cht-outbound"), unit.keyed("cht/reports/visit-new")))
    assert (row["who"], row["subject"]) == keyed
    assert orjson.loads(row["detail"]) == {"receipt": answer.json()["receipt"], "state": "received"}
    state = road.one("SELECT * FROM source_state WHERE source='cht'")
    assert state["last_record"] == road.engine.now() and state["cursor"], "the cursor stays where it was"
    let_in(road, TOKEN.replace("0123", "4567"), name="p", role="observe")
    status = call(road, "GET", "/status.json", token=TOKEN.replace("0123", "4567")).json()
    assert [c["state"] for c in status["connections"] if c["name"] == "cht"] == ["ok"]
