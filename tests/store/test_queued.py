"""The queued store: many pieces of work in one COMMIT, each of which fails alone, and a writer that outlives all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text

from connector.errors import StoreBusy, StoreError
from connector.store.database import QueuedStore, SqlStore
from tests.store.conftest import Open, rows
from tests.store.test_queries import head, wanted


@pytest.fixture
def queued(opened: Open) -> QueuedStore:
    made = opened("queued")
    assert isinstance(made, QueuedStore)
    return made


@contextmanager
def one_group(store: QueuedStore) -> Iterator[None]:
    """What is submitted inside shares a COMMIT: the writer is held at a piece of work until then."""
    held, go = threading.Event(), threading.Event()

    def wait(unit: Any) -> None:
        held.set()
        assert go.wait(20)

    first = store.submit(wait)
    assert held.wait(20)
    try:
        yield
    finally:
        go.set()
    first.result(20)


def commits(store: SqlStore) -> list[int]:
    """Counts the commits of the writer from now on."""
    count = [0]
    event.listen(store._writer, "commit", lambda connection: count.__setitem__(0, count[0] + 1))
    return count


def fact(store: SqlStore, key: str) -> str | None:
    return store.read(lambda unit: unit.fact(key))


def keep(key: str, value: str = "1") -> Any:
    return lambda unit: unit.keep_fact(key, value)


def test_what_queued_up_shares_a_commit_and_keeps_its_order(queued: QueuedStore) -> None:
    count = commits(queued)
    with one_group(queued):
        futures = [queued.submit(keep("last", str(n))) for n in range(50)]
        assert fact(queued, "last") is None and not any(f.done() for f in futures), "answered before it is durable"
    for future in futures:
        future.result(20)
    assert fact(queued, "last") == "49" and count == [2]


class Mine(Exception):
    pass


def fails(unit: Any) -> None:
    unit.keep_fact("half", "1")
    raise Mine("my own trouble")


def violates(unit: Any) -> None:
    unit.keep_fact("half", "1")
    unit.begin_run("run-1", "once", "now")
    unit.begin_run("run-1", "once", "now")


def misspelt(unit: Any) -> None:
    unit.keep_fact("half", "1")
    unit.connection.execute(text("SELECT nothing FROM nowhere"))


def null(unit: Any) -> None:
    unit.keep_fact("half", "1")
    unit.move_heads([head("a", revision=None)])


BAD = {"an error of ours": (fails, Mine), "a broken rule": (violates, StoreError), "a null": (null, StoreError)}


@pytest.mark.parametrize("kind", BAD)
def test_a_piece_of_work_that_fails_is_rolled_back_alone(queued: QueuedStore, kind: str) -> None:
    bad, error = BAD[kind]
    count = commits(queued)
    with one_group(queued):
        before, broken, after = queued.submit(keep("a")), queued.submit(bad), queued.submit(keep("b"))
    before.result(20), after.result(20)
    with pytest.raises(error) as raised:
        broken.result(20)
    assert type(raised.value) is error
    assert [fact(queued, k) for k in ("a", "half", "b")] == ["1", None, "1"] and count == [2]
    assert rows(queued, "SELECT id FROM run") == []


def test_a_statement_that_is_wrong_leaves_the_writer_alive(queued: QueuedStore) -> None:
    with one_group(queued):
        broken = queued.submit(misspelt)
    with pytest.raises(StoreError):
        broken.result(20)
    queued.write(keep("b"))
    assert [fact(queued, k) for k in ("half", "b")] == [None, "1"]


def test_inline_work_that_fails_leaves_nothing(store: SqlStore) -> None:
    for bad, error in BAD.values():
        with pytest.raises(error):
            store.write(bad)
    assert fact(store, "half") is None and rows(store, "SELECT id FROM run") == []


def test_a_caller_who_does_not_wait_any_more_changes_nothing_for_the_others(queued: QueuedStore) -> None:
    with one_group(queued):
        called_off, other = queued.submit(keep("a")), queued.submit(keep("b"))
        assert called_off.cancel()
    other.result(20)
    with pytest.raises(CancelledError):
        called_off.result(20)
    assert [fact(queued, k) for k in ("a", "b")] == [None, "1"]

    def late(unit: Any) -> None:
        assert not running[0].cancel(), "it is too late to call it off"
        unit.keep_fact("c", "1")

    running: list[Future[None]] = []
    with one_group(queued):
        running.append(queued.submit(late))
    running[0].result(20)
    assert fact(queued, "c") == "1"


class Crash(BaseException):
    pass


def test_the_writer_outlives_whatever_is_raised_in_it(queued: QueuedStore) -> None:
    def crash(unit: Any) -> None:
        unit.keep_fact("half", "1")
        raise Crash

    with one_group(queued):
        futures = [queued.submit(keep("a")), queued.submit(crash)]
    for future in futures:
        with pytest.raises(Crash):
            future.result(20)
    queued.write(keep("b"))
    assert [fact(queued, k) for k in ("a", "half", "b")] == [None, None, "1"]


def test_a_queue_that_is_full_says_so(url: str) -> None:
    small = QueuedStore(url, bound=1)
    small._queue.put = lambda item, timeout=None: type(small._queue).put(small._queue, item, timeout=0.01)  # type: ignore[method-assign]
    with one_group(small):
        last = small.submit(keep("a"))
        with pytest.raises(StoreBusy):
            small.submit(keep("b"))
    last.result(20)
    del small._queue.put
    small.close()


def test_closing_ends_what_was_begun_and_takes_nothing_more(url: str, opened: Open) -> None:
    store = opened("queued")
    assert isinstance(store, QueuedStore)
    with one_group(store):
        last = store.submit(keep("a"))
        closing = threading.Thread(target=store.close)
        closing.start()
    closing.join(20)
    last.result(20)
    for late in (store.submit, store.write):
        with pytest.raises(StoreError):
            late(keep("b"))
    again = opened()
    assert [fact(again, k) for k in ("a", "b")] == ["1", None]


def test_work_inside_work_of_the_writer_reads(queued: QueuedStore) -> None:
    queued.write(keep("a"))
    assert queued.write(lambda unit: queued.read(lambda other: other.fact("a"))) == "1"
    assert queued.write(lambda unit: unit.want([wanted("k")])) is None
