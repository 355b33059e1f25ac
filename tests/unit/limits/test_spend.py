"""What may be spent in a month: whose limit it was, how much, and when it begins anew."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from antiphon.core.clock import ManualClock
from antiphon.core.errors import ApiError, Kind
from antiphon.limits.policy import Party
from antiphon.limits.spend import NANOS, Spending, _month, dollars, month_of

DAY_S = 86_400.0
LIMIT = 25 * NANOS
CALLER = (
    Party("organization", "o1", spend_limit=100 * NANOS),
    Party("workspace", "w1", spend_limit=LIMIT),
    Party("key", "k1"),
)
IDS = [party.id for party in CALLER]


def at(*date: int) -> float:
    return datetime(*date, tzinfo=UTC).timestamp()


def refusal(spending: Spending, parties=CALLER) -> ApiError:
    with pytest.raises(ApiError) as caught:
        spending.check(parties)
    return caught.value


@pytest.mark.parametrize(
    ("now_s", "month"),
    [
        (at(2026, 11, 22), "2026-11"),
        (at(2026, 12, 1) - 0.001, "2026-11"),
        (at(2026, 12, 1), "2026-12"),
        (at(2027, 1, 1) - 0.001, "2026-12"),
        (at(2028, 2, 29, 23, 59, 59), "2028-02"),
        (0.0, "1970-01"),
    ],
)
def test_a_month_begins_and_ends_in_utc(now_s: float, month: str):
    assert month_of(now_s) == month


@pytest.fixture(params=["Pacific/Kiritimati", "Etc/GMT+12"])
def far_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The machine stands in a time zone far from UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        _month.cache_clear()
        yield request.param
    time.tzset()


def test_the_machines_time_zone_plays_no_part(far_zone: str):
    assert [month_of(at(2026, 12, 1) + seconds) for seconds in (-1, 0)] == ["2026-11", "2026-12"]


def test_a_limit_that_is_reached_refuses_and_names_no_time_to_retry():
    spending = Spending(ManualClock(at(2026, 11, 22)))
    spending.add(IDS, LIMIT - 1)
    spending.check(CALLER)
    spending.add(IDS, 1)
    error = refusal(spending)
    assert error.kind is Kind.RATE_LIMIT
    assert error.details == {"error_code": "enforced_spend_limit_reached"}
    assert error.headers == {}
    assert error.message == (
        "You have reached your workspace's monthly spend limit of $25.00. "
        "You will regain access on 2026-12-01 at 00:00 UTC."
    )


@pytest.mark.parametrize(
    ("kind", "whose"),
    [("organization", "your organization's"), ("workspace", "your workspace's"), ("key", "this API key's")],
)
def test_the_first_party_at_its_limit_is_named(kind, whose: str):
    spending = Spending(ManualClock())
    spending.add(["x", "other"], 5 * NANOS)
    parties = (Party(kind, "x", spend_limit=NANOS), Party("key", "other", spend_limit=NANOS))
    assert f"You have reached {whose} monthly" in refusal(spending, parties).message


def test_a_limit_of_zero_refuses_the_first_call():
    assert "$0.00" in refusal(Spending(ManualClock()), (Party("key", "k1", spend_limit=0),)).message


def test_without_a_limit_anything_may_be_spent():
    spending = Spending(ManualClock())
    spending.add(IDS, 10**18)
    spending.check((Party("key", "k1"),))


def test_a_new_month_begins_with_nothing_spent():
    clock = ManualClock(at(2026, 12, 31, 23, 59, 59))
    spending = Spending(clock)
    spending.add(IDS, LIMIT)
    assert "2027-01-01" in refusal(spending).message
    clock.advance(1)
    spending.check(CALLER)
    assert spending.spent("w1") == 0
    spending.add(IDS, LIMIT)
    assert "2027-02-01" in refusal(spending).message


def test_a_clock_that_was_wrong_for_a_while_loses_nothing():
    clock = ManualClock(at(2026, 11, 22))
    spending = Spending(clock)
    spending.add(IDS, LIMIT)
    clock.advance(400 * DAY_S)
    spending.add(IDS, 1)
    clock.advance(-400 * DAY_S)
    refusal(spending)


def test_months_long_past_are_forgotten():
    clock = ManualClock(at(2026, 1, 1))
    spending = Spending(clock)
    for _ in range(24):
        spending.add(IDS, 1)
        clock.advance(31 * DAY_S)
    assert len(spending._pages) == 2


def test_what_the_ledger_knows_is_taken_on():
    clock = ManualClock(at(2026, 11, 22))
    spending = Spending(clock)
    spending.load("2026-10", {"w1": LIMIT})
    spending.check(CALLER)
    spending.load("2026-11", {"w1": LIMIT - 1, "o1": 3})
    spending.add(IDS, 1)
    assert (spending.spent("o1"), spending.spent("w1"), spending.spent("k1")) == (4, LIMIT, 1)
    refusal(spending)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "$0.00"),
        (25 * NANOS, "$25.00"),
        (1_234_567 * NANOS + NANOS // 2, "$1,234,567.50"),
        (5_000_000, "$0.005"),
        (1, "$0.000000001"),
    ],
)
def test_money_is_written_in_dollars(nanos: int, text: str):
    assert dollars(nanos) == text
