"""Limits in memory: nothing is created, nothing is lost, and the idle are forgotten."""

from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.core.clock import ManualClock
from antiphon.core.errors import ApiError
from antiphon.limits.memory import MemoryLimits, MemoryReservation
from antiphon.limits.policy import Party, Rates
from antiphon.limits.protocol import Used


def done(call: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    with pytest.raises(StopIteration) as stop:
        call.send(None)
    return stop.value.value


def keys(count: int) -> list[Party]:
    return [Party("key", f"k{number}", Rates(60, 60_000, 60_000, 8)) for number in range(count)]


def test_keys_that_are_seen_once_do_not_stay():
    clock = ManualClock()
    limits = MemoryLimits(clock)
    done(limits.reserve((Party("key", "for hours", Rates(60)),), "m", 1))
    most = 0
    for key in keys(20_000):
        done(done(limits.reserve((key,), "m", 100)).close(Used(100, 10)))
        done(limits.count((key,), "m"))
        clock.advance(0.01)
        most = max(most, limits.num_accounts)
    assert most < 1000


def test_a_flood_of_keys_is_forgotten_while_another_one_works():
    clock = ManualClock()
    limits = MemoryLimits(clock)
    for key in keys(4_000):
        done(done(limits.reserve((key,), "m", 60_000)).close(Used(60_000, 10)))
    assert limits.num_accounts == 4_000
    clock.advance(61)
    for _ in range(1_500):
        done(done(limits.reserve((Party("key", "other", Rates(10_000)),), "m", 1)).close(None))
    assert limits.num_accounts <= 1


def test_keys_that_are_refused_do_not_stay():
    clock = ManualClock()
    limits = MemoryLimits(clock)
    organization = Party("organization", "o1", Rates(0))
    for key in keys(1_000):
        with pytest.raises(ApiError):
            limits.reserve((organization, key), "m", 1).send(None)
    assert limits.num_accounts < 10


def test_who_is_still_running_or_in_debt_is_not_forgotten():
    clock = ManualClock()
    limits = MemoryLimits(clock)
    running, debtor = Party("key", "running", Rates(None, None, None, 1)), Party("key", "debtor", Rates(None, 60))
    done(limits.reserve((running,), "m", 1))
    done(limits.reserve((debtor,), "m", 6000))
    for key in keys(500):
        done(done(limits.reserve((key,), "m", 100)).close(None))
    clock.advance(600)
    for party in (running, debtor):
        with pytest.raises(ApiError):
            limits.reserve((party,), "m", 1).send(None)


rates = st.builds(
    Rates,
    st.none() | st.integers(1, 20),
    st.none() | st.integers(1, 20_000),
    st.none() | st.integers(1, 5_000),
    st.none() | st.integers(1, 8),
)
callers = st.tuples(rates, rates, rates).map(
    lambda three: tuple(
        Party(kind, kind[0], rates) for kind, rates in zip(("organization", "workspace", "key"), three, strict=True)
    )
)
used = st.none() | st.builds(Used, st.integers(0, 20_000), st.integers(0, 3_000))
calls = st.lists(st.tuples(st.integers(0, 15_000), st.integers(0, 500), used, st.booleans()), max_size=25)


def consumed(num_input: int, num_output: int, used: Used | None) -> tuple[int, int, int]:
    """What a call that is over costs: requests, input, output."""
    if used is None and not num_output:
        return 0, 0, 0
    used = used or Used(num_input, num_output)
    return 1, used.num_input, used.num_output


@given(callers, calls)
@settings(deadline=None)
def test_while_time_stands_still_a_level_is_the_limit_less_what_was_consumed(parties: tuple, calls: list):
    limits = MemoryLimits(ManualClock())
    total, last, opened = [0, 0, 0], None, []
    for num_input, num_output, used, is_left_open in calls:
        try:
            call = done_or_refused(limits, parties, num_input)
        except ApiError:
            continue
        last = call
        call.settle_output(num_output)
        if is_left_open:
            opened.append((call, num_input, num_output, used))
        else:
            close(call, num_input, num_output, used, total)
    for call, num_input, num_output, used in opened:
        close(call, num_input, num_output, used, total)
    if last and last._buckets:  # where none of the parties is limited there is nothing to look at
        for buckets, num in zip(zip(*last._buckets, strict=True), total, strict=True):
            assert all(bucket is None or bucket.level(0.0) == bucket.capacity - num for bucket in buckets)
        assert all(account.num_running == 0 for account in last._accounts)


def done_or_refused(limits: MemoryLimits, parties: tuple, num_input: int) -> MemoryReservation:
    try:
        limits.reserve(parties, "m", num_input).send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


def close(call: MemoryReservation, num_input: int, num_output: int, used: Used | None, total: list[int]) -> None:
    for _ in range(2):
        done(call.close(used))
    for index, num in enumerate(consumed(num_input, num_output, used)):
        total[index] += num


timed = st.lists(
    st.tuples(st.floats(0, 20), st.integers(1, 3_000), st.floats(0.5, 1.5), st.floats(0, 90)), min_size=1, max_size=40
)


@given(st.integers(1, 10), st.integers(100, 4_000), timed)
@settings(max_examples=200, deadline=None)
def test_in_no_minute_more_passes_than_a_burst_a_refill_and_the_overdraft(rpm: int, itpm: int, calls: list):
    clock = ManualClock()
    limits = MemoryLimits(clock)
    parties = (Party("organization", "o", Rates(rpm, itpm)),)
    passed: list[tuple[float, float, int, int]] = []
    for gap_s, num_input, factor, duration_s in calls:
        clock.advance(gap_s)
        try:
            call = done_or_refused(limits, parties, num_input)
        except ApiError:
            continue
        true = round(num_input * factor)
        clock.call_later(duration_s, lambda call=call, true=true: done(call.close(Used(true, 1))))
        passed.append((clock.monotonic(), clock.monotonic() + duration_s, num_input, true))
    for start_s, *_ in passed:
        minute = [(num, true) for begin_s, _, num, true in passed if start_s <= begin_s <= start_s + 60]
        is_open = [(num, true) for begin_s, end_s, num, true in passed if begin_s <= start_s + 60 and end_s >= start_s]
        overdraft = sum(abs(num - true) for num, true in is_open) + max(0, *(num - itpm for num, _ in minute), 0)
        assert len(minute) <= 2 * rpm
        assert sum(true for _, true in minute) <= 2 * itpm + overdraft + 1


@given(callers, st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 6_000), st.floats(0, 30)), max_size=15))
@settings(deadline=None)
def test_who_waits_as_told_passes_and_a_second_less_was_too_early(parties: tuple, calls: list):
    clock = ManualClock()
    limits = MemoryLimits(clock)
    for num_input, num_output, gap_s in calls:
        clock.advance(gap_s)
        try:
            call = done_or_refused(limits, parties, num_input)
        except ApiError as error:
            too_early_s = max(0, int(error.headers["retry-after"]) - 1.01)
            clock.advance(too_early_s)
            with pytest.raises(ApiError):
                done_or_refused(limits, parties, num_input)
            clock.advance(int(error.headers["retry-after"]) - too_early_s)
            call = done_or_refused(limits, parties, num_input)
        done(call.close(Used(num_input, num_output)))
