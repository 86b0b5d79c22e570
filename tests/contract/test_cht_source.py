"""The CHT as a source, against the simulated CHT and against answers no simulator gives."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from connector.adapters.cht import ChtSource
from connector.errors import PageUnreadable, SourceError, SourceRefused, SourceUnavailable, SourceWaiting
from connector.http import make_client
from connector.model import Cursor, Page, Record, Who
from connector.sandbox.cht import CHTSim
from connector.sandbox.plane import Plane

PASSWORD = "relais-sandbox"


def report(id: str, form: str = "assessment", **fields: Any) -> dict[str, Any]:
    return {"_id": id, "type": "data_record", "form": form, "contact": {"_id": "asc-001"}, "fields": fields}


def filled(n: int) -> CHTSim:
    return CHTSim(Plane(3), [report(f"r-{i:04}", n=i) for i in range(n)])


def pull(
    sim: CHTSim | httpx.AsyncBaseTransport,
    since: Cursor | None = None,
    *,
    user: str = "relais",
    password: str = PASSWORD,
    **settings: Any,
) -> list[Page]:
    transport = httpx.ASGITransport(app=sim.app) if isinstance(sim, CHTSim) else sim

    async def go() -> list[Page]:
        async with make_client("http://127.0.0.1", user=user, password=password, transport=transport) as client:
            return [page async for page in ChtSource(client, "cht", settings).pages(since)]

    return asyncio.run(go())


def records(pages: Sequence[Page]) -> list[Record]:
    return [record for page in pages for record in page.records]


def test_everything_comes_once_in_pages_with_a_cursor_and_what_is_still_to_come() -> None:
    pages = pull(filled(25), page_size=10)
    assert [len(page.records) for page in pages] == [10, 10, 5]
    assert [page.behind for page in pages] == [15, 5, 0]
    assert sorted(record.key for record in records(pages)) == [f"r-{i:04}" for i in range(25)]
    assert len({page.cursor.value for page in pages}) == 3 and len({page.cursor.instance for page in pages}) == 1
    first = records(pages)[0]
    assert (first.source, first.stream, first.form, first.deleted) == ("cht", "reports", "assessment", False)
    assert first.revision == first.body["_rev"] and first.body["fields"]["n"] == int(first.key[2:])


def test_a_later_pull_brings_only_what_changed_since() -> None:
    sim = filled(12)
    cursor = pull(sim)[-1].cursor
    again = pull(sim, cursor)
    assert records(again) == [] and again[-1].behind == 0 and not again[-1].replay
    sim.edit("r-0003", {"fields.n": 99})
    sim.put(report("new"))
    assert sorted((r.key, r.revision[0]) for r in records(pull(sim, again[-1].cursor))) == [
        ("new", "1"),
        ("r-0003", "2"),
    ]


def test_records_are_sorted_into_streams_and_the_apps_own_documents_have_no_form_and_no_body() -> None:
    docs = [
        {"_id": "p-1", "type": "contact", "contact_type": "person", "name": "x"},
        {"_id": "p-2", "type": "person", "name": "x"},
        {"_id": "m-1", "type": "data_record", "sms_message": {}},
        {"_id": "form:assessment", "type": "form"},
        {"_id": "_design/medic", "views": {}},
        {"_id": "org.couchdb.user:chw", "type": "user-settings", "phone": "+22370000001"},
        {"_id": "r-1-info", "type": "info"},
        {"_id": "task~org.couchdb.user:chw~x", "type": "task"},
        {"_id": "target~2026-07~asc-001~x", "type": "target"},
        {"_id": "r-9____3-ab____tombstone", "type": "tombstone"},
        {"_id": "r-9-info____3-ab____tombstone", "type": "data_record", "form": "assessment"},
        {"_id": "settings", "type": "x"},
        report("ours", form="referral_answer"),
    ]
    got = {
        r.key: (r.stream, r.form, bool(r.body))
        for r in records(pull(CHTSim(Plane(), docs), ignore=["referral_answer"]))
    }
    assert got.pop("p-1") == ("contacts", "person", True)
    assert got.pop("p-2") == ("contacts", "person", True)
    assert got.pop("m-1") == ("reports", None, True)
    assert len(got) == 10 and {form for _, form, _ in got.values()} == {None}
    assert not any(body for _, _, body in got.values())


def test_a_tombstone_is_a_deletion_whether_it_kept_its_body_or_not() -> None:
    """findings-cht 18: a tombstone with a body looks like a report in every other way."""
    sim = filled(2)
    sim.delete("r-0000")
    sim.delete("r-0001", keep_body=False)
    got = [(r.key, r.stream, r.form, r.deleted, bool(r.body)) for r in records(pull(sim))]
    assert ("r-0000", "reports", "assessment", True, True) in got
    assert sorted(row for row in got if row[0] == "r-0001") == [
        ("r-0001", "contacts", None, True, False),
        ("r-0001", "reports", None, True, False),
    ]


def test_what_comes_back_after_its_deletion_is_there_again() -> None:
    """findings-cht 19: the same id, the revision goes on (36)."""
    sim = filled(2)
    sim.delete("r-0000")
    cursor = pull(sim)[-1].cursor
    sim.put(report("r-0000", n=7))
    (record,) = records(pull(sim, cursor))
    assert (record.key, record.deleted, record.revision[:2], record.body["fields"]["n"]) == ("r-0000", False, "3-", 7)


def test_the_other_of_two_conflicting_revisions_may_win_later() -> None:
    """findings-cht 19 and 21: no deletion, another body, and a revision that is not higher."""
    sim = filled(2)
    sim.edit("r-0000", {"fields.n": 5})
    first = pull(sim)
    (before,) = [r for r in records(first) if r.key == "r-0000"]
    sim.flip("r-0000", report("r-0000", n=8))
    (record,) = records(pull(sim, first[-1].cursor))
    assert (record.key, record.deleted, record.body["fields"]["n"]) == ("r-0000", False, 8)
    assert record.revision != before.revision and record.revision[:2] == before.revision[:2] == "2-"


def test_a_database_made_again_is_read_from_the_start_and_said_to_be() -> None:
    sim = filled(6)
    cursor = pull(sim)[-1].cursor
    sim.recreate()
    pages = pull(sim, cursor, page_size=4)
    assert [page.replay for page in pages] == [True, False]
    assert len(records(pages)) == 6 and not any(record.deleted for record in records(pages))
    assert pages[-1].cursor.instance != cursor.instance
    assert records(pull(sim, pages[-1].cursor)) == []


def test_numbers_stay_as_written() -> None:
    sim = CHTSim(Plane(), [report("r", temperature=39.5, n=3)])
    assert records(pull(sim))[0].body["fields"] == {"temperature": "39.5", "n": 3}


def test_a_page_too_big_is_cut_smaller_until_it_fits() -> None:
    sim = CHTSim(Plane(1), [report(f"r-{i}", note="x" * 2000) for i in range(20)])
    pages = pull(sim, page_size=16, max_bytes=20_000)
    assert sorted(r.key for r in records(pages)) == sorted(f"r-{i}" for i in range(20))
    assert [len(page.records) for page in pages] == [8, 8, 4]  # 16 are too big, half of them fit


def test_one_huge_document_waits_in_quarantine_and_holds_nobody_up() -> None:
    docs = [report(f"r-{i}", note="x" * (90_000 if i == 4 else 100)) for i in range(9)]
    sim = CHTSim(Plane(1), docs)
    got = {r.key: r.unreadable for r in records(pull(sim, max_bytes=30_000, max_document_bytes=50_000))}
    assert got == {f"r-{i}": "document.too_big" if i == 4 else None for i in range(9)}
    roomy = {r.key: r.unreadable for r in records(pull(sim, max_bytes=30_000, max_document_bytes=200_000))}
    assert roomy == {f"r-{i}": None for i in range(9)}


def test_a_wrong_password_is_asked_once_only() -> None:
    sim = filled(1)
    with pytest.raises(SourceRefused):
        pull(sim, password="wrong")
    assert sim.plane.requests == 1


@pytest.mark.parametrize(("lockout", "code"), [("cht", "source.waiting"), ("couchdb", "source.waiting")])
def test_a_locked_account_waits(lockout: str, code: str) -> None:
    sim = CHTSim(Plane(clock=lambda: 0.0), lockout=lockout)
    for _ in range(10):
        with pytest.raises(SourceRefused):
            pull(sim, password="wrong")
    with pytest.raises(SourceWaiting) as raised:
        pull(sim)
    assert raised.value.code == code


def test_a_user_without_the_role_is_refused() -> None:
    sim = filled(1)
    sim.member = False
    with pytest.raises(SourceRefused):
        pull(sim)


def test_a_health_workers_login_is_noticed_and_nothing_is_kept() -> None:
    with pytest.raises(SourceRefused) as raised:
        pull(filled(3), user="asc-001")
    assert raised.value.code == "source.offline_user"


def test_a_cursor_the_server_does_not_know_is_read_again_from_the_start() -> None:
    sim = filled(3)
    instance = pull(sim)[-1].cursor.instance
    pages = pull(sim, Cursor("garbage", instance))  # 64-since-word: 400
    assert [page.replay for page in pages] == [True] and len(records(pages)) == 3


def test_while_cht_starts_it_is_unavailable() -> None:
    sim = filled(1)
    sim.starting = True
    with pytest.raises(SourceUnavailable):
        pull(sim)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"down": True}, SourceUnavailable),
        ({"lose_response_every": 1}, SourceUnavailable),
        ({"html_every": 1}, PageUnreadable),
        ({"truncate_every": 1}, PageUnreadable),
        ({"every": 1, "status": 500}, SourceUnavailable),
        ({"every": 1, "status": 429, "retry_after": 8}, SourceWaiting),
    ],
)
def test_a_page_not_read_whole_is_never_yielded(fault: dict[str, Any], kind: type[SourceError]) -> None:
    sim = filled(3)
    sim.plane.arm(fault)
    with pytest.raises(kind) as raised:
        pull(sim)
    assert raised.value.retry_after == (8 if "retry_after" in fault else None)


@pytest.mark.parametrize("fault", [{"lose_response_every": 3}, {"every": 4, "status": 503}, {"delay_ms": 1}])
def test_passing_trouble_is_read_through(fault: dict[str, Any]) -> None:
    sim = filled(30)
    sim.plane.arm(fault)
    assert len(records(pull(sim, page_size=10))) == 30
    assert sim.plane.hit


class Odd(httpx.AsyncBaseTransport):
    """A CHT that gives this as its feed."""

    def __init__(self, feed: Any) -> None:
        self.feed = feed

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/medic/_changes":
            return self.feed if isinstance(self.feed, httpx.Response) else httpx.Response(200, json=self.feed)
        return httpx.Response(200, json={"instance_start_time": "1", "uuid": "u"})


@pytest.mark.parametrize(
    "feed",
    [
        {},
        [],
        {"results": {}, "last_seq": "1-x", "pending": 0},
        {"results": [], "last_seq": 5, "pending": 0},
        {"results": [{"id": 1, "changes": [{"rev": "1-a"}]}], "last_seq": "1-x", "pending": 0},
        {"results": [{"id": "a", "changes": []}], "last_seq": "1-x", "pending": 0},
        {"results": ["a"], "last_seq": "1-x", "pending": 0},
        httpx.Response(200, content=b'{"results":[NaN],"last_seq":"1","pending":0}'),
        httpx.Response(302, headers={"location": "/medic/login"}),
        httpx.Response(404, json={"error": "not_found", "reason": "Database does not exist."}),
    ],
)
def test_garbage_is_no_page(feed: Any) -> None:
    with pytest.raises(PageUnreadable):
        pull(Odd(feed))


def test_a_row_without_its_document_is_one_unreadable_record_beside_the_good_ones() -> None:
    rows = [
        {"id": "a", "changes": [{"rev": "1-a"}], "doc": None},
        {
            "id": "b",
            "changes": [{"rev": "1-b"}],
            "doc": {"_id": "b", "_rev": "1-b", "type": "data_record", "form": "f"},
        },
    ]
    got = records(pull(Odd({"results": rows, "last_seq": "2-x", "pending": 0})))
    assert [(r.key, r.unreadable, r.form) for r in got] == [("a", "document.missing", None), ("b", None, "f")]


def test_probe_says_who_must_act() -> None:
    def probe(sim: CHTSim, user: str = "relais", password: str = PASSWORD) -> list[tuple[str, Who]]:
        async def go() -> list[tuple[str, Who]]:
            transport = httpx.ASGITransport(app=sim.app)
            async with make_client("http://127.0.0.1", user=user, password=password, transport=transport) as client:
                return [(finding.code, finding.who) for finding in await ChtSource(client, "cht").probe()]

        return asyncio.run(go())

    assert probe(filled(2)) == []
    assert probe(filled(2), password="no") == [("source.credentials", Who.CREDENTIALS)]
    assert probe(filled(2), user="asc-001") == [("source.offline_user", Who.CREDENTIALS)]
    down = filled(2)
    down.plane.arm({"down": True})
    assert probe(down) == [("source.unavailable", Who.NOBODY)]
