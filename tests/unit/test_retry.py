"""When to try again: the table, its jitter, the target's health."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.model import Who
from connector.retry import (
    BUDGET,
    FAILURES,
    LONGEST,
    NEVER,
    OPENS_AT,
    REFUSALS,
    TRIES,
    TargetHealth,
    after_failure,
    after_refusal,
    after_success,
    before_try,
    due_after,
    who_acts,
)

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
chances = st.floats(0, 1, exclude_max=True)


def test_the_table_is_the_one_promised() -> None:
    minutes = [wait.total_seconds() / 60 for wait in TRIES]
    assert minutes == [0.5, 2, 10, 30, 120, 360, 720, 1440, 1440]


@given(st.integers(1, 9), chances, st.sampled_from([1.0, 0.01]))
def test_full_jitter_stays_between_nothing_and_the_limit(tries: int, chance: float, scale: float) -> None:
    wait = due_after(tries, random=lambda: chance, scale=scale)
    assert wait is not None
    assert timedelta(0) <= wait <= TRIES[tries - 1] * scale
    assert wait == TRIES[tries - 1] * (scale * chance)


def test_after_the_last_try_it_is_parked() -> None:
    assert due_after(9, random=lambda: 0.5) is not None
    assert due_after(10, random=lambda: 0.5) is None
    assert due_after(10, random=lambda: 0.5, retry_after=timedelta(seconds=5)) is None


@given(st.integers(0, 9), chances, st.integers(1, 10**7))
def test_the_servers_word_is_never_undercut_and_never_endless(tries: int, chance: float, seconds: int) -> None:
    asked = timedelta(seconds=seconds)
    wait = due_after(tries, random=lambda: chance, scale=0.001, retry_after=asked)
    assert wait is not None
    assert min(asked, LONGEST) <= wait <= max(LONGEST, TRIES[-1])


def _failed(times: int, chance: float = 0.0, full: int = 1) -> TargetHealth:
    health = TargetHealth()
    for _ in range(times):
        health = after_failure(before_try(health), NOW, random=lambda: chance, full=full)
    return health


@pytest.mark.parametrize("failures", range(1, 12))
def test_a_failing_target_is_asked_more_and_more_seldom(failures: int) -> None:
    health = _failed(failures)
    limit = FAILURES[min(failures, len(FAILURES)) - 1]
    assert health.failures == failures
    assert health.due_at == NOW + limit
    assert _failed(failures, 0.999).due_at <= NOW + limit * 1.5
    assert health.breaker == ("open" if failures >= OPENS_AT else "closed")
    assert who_acts(health) is Who.NOBODY, "an outage heals by itself"


def test_an_open_breaker_is_probed_at_most_every_thirty_seconds() -> None:
    assert min(FAILURES) >= timedelta(seconds=30)


def test_a_target_in_its_wait_is_left_alone() -> None:
    health = _failed(1)
    assert not health.may_try(NOW + timedelta(seconds=29))
    assert health.may_try(NOW + timedelta(seconds=30))
    assert TargetHealth().may_try(NOW)


def test_one_probe_decides_whether_the_breaker_closes() -> None:
    probe = before_try(_failed(OPENS_AT))
    assert probe.breaker == "half_open" and probe.probing
    assert after_failure(probe, NOW, random=lambda: 0.0).breaker == "open"
    closed = after_success(probe)
    assert (closed.breaker, closed.failures, closed.due_at) == ("closed", 0, None)
    assert before_try(TargetHealth()) == TargetHealth() and not TargetHealth().probing


def test_the_servers_wish_to_wait_moves_the_target() -> None:
    asked = timedelta(minutes=7)
    assert after_failure(TargetHealth(), NOW, random=lambda: 0.0, retry_after=asked).due_at == NOW + asked


def test_refused_credentials_are_probed_after_10_30_and_60_minutes() -> None:
    health, waits, who = TargetHealth(), [], []
    for _ in range(5):
        health = after_refusal(before_try(health), NOW, probes=True)
        assert health.due_at is not None
        waits.append(health.due_at - NOW)
        who.append(who_acts(health))
    assert waits == [*REFUSALS, REFUSALS[-1], REFUSALS[-1]]
    assert [w.total_seconds() / 60 for w in REFUSALS] == [10, 30, 60]
    assert who == [Who.NOBODY, Who.NOBODY, Who.CREDENTIALS, Who.CREDENTIALS, Who.CREDENTIALS]


@pytest.mark.parametrize(("probes", "locked"), [(False, False), (True, True), (False, True)])
def test_where_a_wrong_try_can_lock_the_account_nobody_tries_by_himself(probes: bool, locked: bool) -> None:
    health = after_refusal(TargetHealth(), NOW, probes=probes, locked=locked)
    assert health.due_at == NEVER and not health.may_try(NOW + timedelta(days=3650))
    assert who_acts(health, probes=probes) is Who.CREDENTIALS


def test_a_success_after_refusals_clears_them() -> None:
    after = after_success(after_refusal(TargetHealth(), NOW, probes=True))
    assert (after.refusals, after.breaker, after.due_at) == (0, "closed", None)


def test_after_an_outage_it_begins_with_one_and_doubles() -> None:
    health, sizes = _failed(12, full=200), []
    while health.good is not None:
        sizes.append(health.limit(200))
        health = after_success(before_try(health), sizes[-1], 200)
    assert sizes[:9] == [1, 1, 2, 4, 8, 16, 32, 64, 128]
    assert set(sizes[9:]) == {200} and sum(sizes) >= BUDGET * 200, "then the failure is forgotten"


def test_three_failures_in_a_row_are_no_long_outage() -> None:
    health, sizes = _failed(OPENS_AT, full=200), []
    assert health.limit(200) == 1, "the probe"
    for _ in range(4):
        health = after_success(before_try(health), health.limit(200), 200)
        sizes.append(health.limit(200))
    assert sizes == [76, 152, 200, 200]


@pytest.mark.parametrize("lost", [0.2, 0.4, 0.45])
def test_a_line_that_loses_two_of_five_requests_is_not_served_one_by_one(lost: float) -> None:
    rng, health, sent = Random(7), TargetHealth(), 0
    for _ in range(1000):
        size = health.limit(200)
        if rng.random() < lost:
            health = after_failure(before_try(health), NOW, random=rng.random, full=200)
        else:
            sent, health = sent + size, after_success(before_try(health), size, 200)
    assert sent > 20_000


def test_a_server_that_fails_on_what_is_too_big_gets_what_it_can_take() -> None:
    health, sent = TargetHealth(), 0
    for _ in range(100):
        size = health.limit(200)
        if size > 20:
            health = after_failure(before_try(health), NOW, random=lambda: 0.0, full=200)
        else:
            sent, health = sent + size, after_success(before_try(health), size, 200)
    assert sent > 250, "one by one it would be 50"


def test_one_failure_alone_does_not_make_it_slow_but_its_retries_are_few() -> None:
    assert _failed(1).limit(200) == 1, "one, to see"
    health = after_success(_failed(1), 200, 200)
    assert health.limit(200) == 200
    assert health.retries(200, fresh=200) == 20 and health.retries(200, fresh=0) == 200
    assert _failed(1).retries(200, fresh=0) == 1
    assert TargetHealth().retries(200, fresh=200) == 200


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 300), st.integers(0, 300)), min_size=1, max_size=80))
def test_retries_are_at_most_a_tenth_while_a_target_fails(batches: list[tuple[bool, int, int]]) -> None:
    """Whatever waits: a tenth of what is sent, but for the one that goes with fewer than ten others."""
    full = 50
    health = _failed(1)
    retried = sent = alone = 0
    for fails, fresh_waiting, retries_waiting in batches:
        if health.good is None:
            break
        fresh = min(fresh_waiting, health.limit(full))
        retries = min(retries_waiting, health.retries(full, fresh))
        fresh = min(fresh, health.limit(full) - retries)
        retried, sent, alone = retried + retries, sent + retries + fresh, alone + (fresh < BUDGET)
        assert retried <= sent / BUDGET + alone
        if fails:
            health = after_failure(health, NOW, random=lambda: 0.0)
        else:
            health = after_success(before_try(health), retries + fresh, full)


def test_an_outage_between_refusals_does_not_clear_them() -> None:
    health = after_refusal(after_refusal(TargetHealth(), NOW, probes=True), NOW, probes=True)
    health = after_failure(health, NOW, random=lambda: 0.0)
    assert health.breaker == "open" and health.refusals == 2
    assert who_acts(after_refusal(health, NOW, probes=True)) is Who.CREDENTIALS


def test_scale_shortens_every_wait_of_ours() -> None:
    assert after_failure(TargetHealth(), NOW, random=lambda: 0.0, scale=0.1).due_at == NOW + timedelta(seconds=3)
    assert after_refusal(TargetHealth(), NOW, probes=True, scale=0.1).due_at == NOW + timedelta(minutes=1)
