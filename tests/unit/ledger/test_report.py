"""Sums become buckets."""

from typing import Any

import pytest

from antiphon.core.errors import ApiError
from antiphon.ledger.report import WIDTHS, Span, Width, buckets, page_token, span_of
from antiphon.ledger.results import Actor, cents, code_record, cost_results, usage_results
from antiphon.store.tables import COUNTS

DAY, HOUR, MINUTE = WIDTHS["1d"], WIDTHS["1h"], WIDTHS["1m"]
MIDNIGHT = 1_799_971_200  # 2027-01-15T00:00:00Z
TODAY = MIDNIGHT // 86_400
NOW = MIDNIGHT + 43_200.5


def span(starting_at: float, ending_at: float | None = None, width: Width = DAY, **fields: Any) -> Span:
    return span_of(width, starting_at, ending_at, fields.get("limit"), fields.get("page"), NOW)


def sum_of(bucket: int, **fields: Any) -> dict[str, Any]:
    return {"bucket": bucket, "num_requests": 1} | dict.fromkeys(COUNTS, 0) | fields


@pytest.mark.parametrize(
    ("starting_at", "ending_at", "first", "last"),
    [
        (MIDNIGHT, None, TODAY, TODAY + 1),  # the day that is not over is there
        (MIDNIGHT + 5, None, TODAY, TODAY + 1),  # snapped to its day
        (MIDNIGHT - 86_400, MIDNIGHT, TODAY - 1, TODAY),
        (MIDNIGHT - 86_400, MIDNIGHT + 5, TODAY - 1, TODAY),  # today does not end before it
        (MIDNIGHT + 86_400, None, TODAY + 1, TODAY + 1),  # nothing lies in the future
        (MIDNIGHT, MIDNIGHT + 86_400 * 9, TODAY, TODAY + 1),
        (MIDNIGHT - 86_400 * 100, None, TODAY - 100, TODAY - 93),  # seven without a limit
        (-62_135_596_800.0, None, -719_162, -719_155),
    ],
)
def test_which_buckets_there_are(starting_at: float, ending_at: float | None, first: int, last: int):
    found = span(starting_at, ending_at)
    assert (found.first, found.last) == (first, last)


@pytest.mark.parametrize(("width", "default", "most"), [(MINUTE, 60, 1440), (HOUR, 24, 168), (DAY, 7, 31)])
def test_the_limits_of_each_width(width: Width, default: int, most: int):
    found = span(0, width=width)
    assert found.last - found.first == default
    assert span(0, width=width, limit=most).last == most
    with pytest.raises(ApiError, match=f"limit: Input should be less than or equal to {most}"):
        span(0, width=width, limit=most + 1)


def test_pages_follow_each_other_to_the_end():
    first, seen, page = MIDNIGHT - 86_400 * 9, [], None
    while True:
        found = span(first, limit=4, page=page)
        seen += range(found.first, found.last)
        page = found.next_page
        if not page:
            break
    assert seen == list(range(TODAY - 9, TODAY + 1))


def test_a_cursor_is_the_time_at_which_the_next_page_begins():
    assert span(MIDNIGHT - 86_400 * 9).next_page == page_token("2027-01-13T00:00:00Z")


@pytest.mark.parametrize("page", ["x", "page_", "page_%%%", "page_AAAA", page_token("yesterday"), page_token("9" * 9)])
def test_a_cursor_that_is_none_is_told(page: str):
    with pytest.raises(ApiError, match="page: Input should be the next_page of an earlier reply"):
        span(MIDNIGHT, page=page)


def test_an_end_before_the_start_is_told():
    with pytest.raises(ApiError, match="ending_at: Input should be after starting_at"):
        span(MIDNIGHT, MIDNIGHT)


def test_empty_buckets_are_there():
    report = buckets([sum_of(3), sum_of(5), sum_of(5)], Span(3_600, 3, 6, True), lambda sums: [{"n": len(sums)}])
    assert report == {
        "data": [
            {"starting_at": "1970-01-01T03:00:00Z", "ending_at": "1970-01-01T04:00:00Z", "results": [{"n": 1}]},
            {"starting_at": "1970-01-01T04:00:00Z", "ending_at": "1970-01-01T05:00:00Z", "results": [{"n": 0}]},
            {"starting_at": "1970-01-01T05:00:00Z", "ending_at": "1970-01-01T06:00:00Z", "results": [{"n": 2}]},
        ],
        "has_more": True,
        "next_page": page_token("1970-01-01T06:00:00Z"),
    }


def test_what_a_report_is_not_grouped_by_is_null():
    counts = {"input_tokens": 1, "cache_read_tokens": 2, "cache_write_5m_tokens": 3, "cache_write_1h_tokens": 4}
    found = sum_of(0, model="echo", user_id="", **counts, output_tokens=5, web_searches=6)
    assert usage_results([found], ["model", "inference_geo", "account_id"]) == [
        {
            "uncached_input_tokens": 1,
            "cache_read_input_tokens": 2,
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
            "output_tokens": 5,
            "server_tool_use": {"web_search_requests": 6},
            "api_key_id": None,
            "workspace_id": None,
            "model": "echo",
            "service_tier": None,
            "context_window": None,
            "inference_geo": "not_available",
            "speed": None,
            "account_id": None,
            "service_account_id": None,
        }
    ]


def test_costs_are_one_result_or_one_for_each_kind_of_token():
    tokens = {"input_tokens": 10, "output_tokens": 3, "input_cost": 25_000_000, "output_cost": 1}
    found = sum_of(0, model="echo", service_tier="batch", context_window="0-200k", **tokens)
    (total,) = cost_results([found], [])
    assert (total["amount"], total["currency"], total["description"]) == ("2.5000001", "USD", None)
    read, written = cost_results([found], ["description"])
    assert (read["amount"], read["token_type"], read["cost_type"]) == ("2.50", "uncached_input_tokens", "tokens")
    assert (written["amount"], written["token_type"]) == ("0.0000001", "output_tokens")
    assert (written["model"], written["service_tier"], written["context_window"]) == ("echo", "batch", "0-200k")
    assert written["description"] == "echo Usage - Output Tokens (batch)"
    assert cost_results([], ["description"]) == []


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(0, "0.00"), (10**7, "1.00"), (1, "0.0000001"), (12_345_000_000, "1234.50"), (10**30, "1" + "0" * 23 + ".00")],
)
def test_cents_are_exact(nanos: int, text: str):
    assert cents(nanos) == text


@pytest.mark.parametrize(("nanos", "whole_cents"), [(5_000_000, 0), (15_000_000, 2), (24_999_999, 2)])
def test_a_record_of_claude_code(nanos: int, whole_cents: int):
    used = sum_of(0, model="echo", input_tokens=1, cache_write_5m_tokens=2, cache_write_1h_tokens=3, output_cost=nanos)
    record = code_record(Actor("apikey_1", None, "Laptop"), [used], "org_1", "2027-01-15T00:00:00Z")
    assert record["actor"] == {"type": "api_actor", "api_key_name": "Laptop"}
    assert record["model_breakdown"] == [
        {
            "model": "echo",
            "tokens": {"input": 1, "output": 0, "cache_read": 0, "cache_creation": 5},
            "estimated_cost": {"amount": whole_cents, "currency": "USD"},
        }
    ]
    assert record["core_metrics"]["num_sessions"] == 0
