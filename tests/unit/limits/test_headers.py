"""The rate limit headers: which party, which numbers, which time."""

import pytest

from antiphon.limits.bucket import Gauge
from antiphon.limits.headers import rate_headers, whole_seconds

NOW_S = 1_800_000_000.0


def told(requests=None, inputs=None, outputs=None, now_s=NOW_S) -> dict[str, str]:
    headers = rate_headers(requests, inputs, outputs, now_s)
    return {name.decode().removeprefix("anthropic-ratelimit-"): value.decode() for name, value in headers}


def test_only_what_is_limited_has_headers():
    gauge = Gauge(5.0, 10, 30.0)
    assert told() == {}
    assert [name.rpartition("-")[0] for name in told(requests=gauge)] == ["requests"] * 3
    assert {name.rpartition("-")[0] for name in told(inputs=gauge)} == {"tokens", "input-tokens"}
    assert {name.rpartition("-")[0] for name in told(outputs=gauge)} == {"tokens", "output-tokens"}
    assert len(told(gauge, gauge, gauge)) == 12


def test_names_and_values_are_as_an_asgi_server_takes_them():
    assert list(rate_headers(Gauge(5.0, 10, 30.0), None, None, NOW_S)) == [
        (b"anthropic-ratelimit-requests-limit", b"10"),
        (b"anthropic-ratelimit-requests-remaining", b"5"),
        (b"anthropic-ratelimit-requests-reset", b"2027-01-15T08:00:30Z"),
    ]


@pytest.mark.parametrize(("level", "remaining"), [(10.0, "10"), (9.99, "9"), (0.5, "0"), (-0.5, "0"), (-7.0, "0")])
def test_requests_are_told_exactly(level: float, remaining: str):
    assert told(requests=Gauge(level, 10, 0.0))["requests-remaining"] == remaining


@pytest.mark.parametrize(
    ("level", "limit", "remaining"),
    [
        (30_000.0, 30_000, "30000"),
        (29_500.0, 30_000, "30000"),
        (29_499.9, 30_000, "29000"),
        (500.0, 30_000, "1000"),
        (499.0, 30_000, "0"),
        (-499.0, 30_000, "0"),
        (-70_000.0, 30_000, "0"),
        (1_600.0, 1_600, "1600"),
    ],
)
def test_tokens_are_told_to_the_nearest_thousand_and_no_more_than_the_limit(level: float, limit: int, remaining: str):
    gauge = Gauge(level, limit, 0.0)
    headers = told(inputs=gauge, outputs=gauge)
    assert {headers[f"{kind}-remaining"] for kind in ("tokens", "input-tokens", "output-tokens")} == {remaining}


@pytest.mark.parametrize(("inputs", "outputs", "limit"), [(5000.0, 4000.0, "9000"), (3000.0, 4000.0, "50000")])
def test_tokens_are_those_that_are_scarcer(inputs: float, outputs: float, limit: str):
    assert told(inputs=Gauge(inputs, 50_000, 1.0), outputs=Gauge(outputs, 9_000, 2.0))["tokens-limit"] == limit


@pytest.mark.parametrize(
    ("now_s", "full_in_s", "reset"),
    [
        (NOW_S, 0.0, "08:00:00Z"),
        (NOW_S, 0.1, "08:00:01Z"),
        (NOW_S, 60.0, "08:01:00Z"),
        (NOW_S + 0.75, 0.25, "08:00:01Z"),
        (NOW_S + 0.75, 0.5, "08:00:02Z"),
    ],
)
def test_the_reset_is_rounded_up_to_a_whole_second(now_s: float, full_in_s: float, reset: str):
    assert told(requests=Gauge(1.0, 10, full_in_s), now_s=now_s)["requests-reset"] == f"2027-01-15T{reset}"


@pytest.mark.parametrize(
    ("seconds", "whole"), [(0.0, 0), (0.01, 1), (20.0, 20), (20.000000000000004, 20), (20.001, 21)]
)
def test_a_fraction_of_rounding_is_no_second(seconds: float, whole: int):
    assert whole_seconds(seconds) == whole
