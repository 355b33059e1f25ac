"""A bucket refills evenly, may be overdrawn, and is never fuller than full."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.limits.bucket import REFILL_S, Bucket


@pytest.mark.parametrize(
    ("taken", "after_s", "level"),
    [(0, 0, 60), (10, 0, 50), (10, 5, 55), (10, 10, 60), (10, 999, 60), (60, 0.5, 0.5), (90, 0, -30), (90, 30, 0)],
)
def test_a_level_is_what_was_left_and_what_came_since(taken: int, after_s: float, level: float):
    bucket = Bucket(60, 100.0)
    bucket.take(taken, 100.0)
    assert bucket.level(100.0 + after_s) == pytest.approx(level)


def test_what_is_put_back_is_there_again_as_far_as_it_fits():
    bucket = Bucket(60, 0.0)
    bucket.take(40, 0.0)
    bucket.take(-30, 0.0)
    assert bucket.level(0.0) == 50
    bucket.take(-30, 0.0)
    assert bucket.level(0.0) == 60


@pytest.mark.parametrize(
    ("taken", "num", "wait_s"),
    [
        (0, 60, 0),
        (60, 0, 0),
        (60, 1, 1),
        (60, 60, 60),
        (30, 30, 0),
        (30, 31, 1),
        (90, 0, 30),
        (90, 1, 31),
        (0, 500, 0),
        (1, 500, 1),
        (90, 500, 90),
    ],
)
def test_the_wait_for_some_is_the_time_of_what_is_missing(taken: int, num: int, wait_s: float):
    bucket = Bucket(60, 0.0)
    bucket.take(taken, 0.0)
    assert bucket.seconds_until(num, 0.0) == pytest.approx(wait_s)
    assert bucket.seconds_until(num, wait_s) == 0


def test_the_wait_until_full_is_the_time_of_all_that_is_missing():
    bucket = Bucket(120, 0.0)
    assert bucket.gauge(0.0).full_in_s == 0
    bucket.take(130, 0.0)
    assert bucket.gauge(0.0).full_in_s == 65
    assert bucket.gauge(60.0).full_in_s == 5


def test_nothing_can_be_taken_from_a_limit_of_zero():
    bucket = Bucket(0, 0.0)
    assert bucket.seconds_until(0, 0.0) == 0
    assert bucket.seconds_until(1, 0.0) == math.inf
    assert bucket.seconds_until(500, 999.0) == math.inf
    assert bucket.gauge(0.0).full_in_s == 0


@pytest.mark.parametrize(
    ("taken", "capacity", "level"), [(0, 10, 10), (0, 100, 60), (55, 10, 5), (90, 10, -30), (60, 100, 0), (90, 0, -30)]
)
def test_another_limit_keeps_what_is_left_as_far_as_it_fits(taken: int, capacity: int, level: float):
    bucket = Bucket(60, 0.0)
    bucket.take(taken, 0.0)
    bucket.resize(capacity, 0.0)
    assert (bucket.capacity, bucket.level(0.0)) == (capacity, level)
    assert bucket.gauge(0.0).full_in_s < math.inf


def test_what_came_before_another_limit_came_at_the_old_rate():
    bucket = Bucket(60, 0.0)
    bucket.take(60, 0.0)
    bucket.resize(600, 10.0)
    assert bucket.level(10.0) == 10
    assert bucket.level(11.0) == 20


def test_after_a_step_back_time_counts_again_only_where_it_is_new():
    bucket = Bucket(60, 100.0)
    bucket.take(60, 100.0)
    assert bucket.level(70.0) == 0
    assert bucket.seconds_until(1, 70.0) == 31
    assert bucket.level(100.0) == 0
    assert bucket.level(101.0) == 1


def test_a_clock_that_starts_anew_stops_a_bucket_for_no_time():
    bucket = Bucket(60, 1e6)
    bucket.take(60, 1e6)
    assert bucket.level(5.0) == 0
    assert bucket.seconds_until(1, 5.0) == 1
    assert bucket.level(6.0) == 1


capacities = st.integers(1, 10**9)
amounts = st.integers(0, 10**9)
steps = st.lists(st.tuples(st.integers(-(10**9), 10**9), st.floats(-REFILL_S, 300)), max_size=30)


@given(capacities, steps)
def test_no_bucket_is_fuller_than_full_or_gets_more_than_time_brings(capacity: int, steps: list):
    bucket, now_s, latest_s = Bucket(capacity, 1000.0), 1000.0, 1000.0
    for num, ahead_s in steps:
        level = bucket.level(now_s)
        now_s = max(latest_s - REFILL_S, now_s + ahead_s)
        came = bucket.level(now_s) - level
        assert -1e-3 <= came <= max(0.0, now_s - latest_s) * capacity / REFILL_S + 1e-3
        latest_s = max(latest_s, now_s)
        bucket.take(num, now_s)
        assert bucket.level(now_s) <= capacity


def test_a_wait_is_over_in_time_however_often_the_level_is_asked():
    for capacity in range(1, 400):
        bucket = Bucket(capacity, 0.0)
        bucket.take(capacity, 0.0)
        wait_s = bucket.seconds_until(1, 0.0)
        for part in range(7):
            bucket.level(wait_s * part / 7)
        assert bucket.seconds_until(1, wait_s) == 0


@given(capacities, amounts, amounts, st.floats(0, 1e6))
def test_a_wait_that_is_over_is_over_and_no_shorter_one_is(capacity: int, taken: int, num: int, now_s: float):
    bucket = Bucket(capacity, now_s)
    bucket.take(taken, now_s)
    wait_s = bucket.seconds_until(num, now_s)
    if wait_s > 0.01:
        assert bucket.seconds_until(num, now_s + wait_s * 0.99) > 0
    assert bucket.seconds_until(num, now_s + wait_s) <= 1e-4
