"""Lines of the journal, written and read."""

from decimal import Decimal
from typing import Any

import pytest

from antiphon.ledger.price import Prices
from antiphon.ledger.record import (
    COLUMNS,
    Counts,
    Entry,
    OpenCall,
    client_of,
    end_line,
    note_line,
    read_lines,
    start_line,
)
from antiphon.settings import Price
from antiphon.store import tables
from antiphon.wire.events import Usage
from tests.unit.ledger.entries import NOON, entry, start


def test_what_is_written_is_what_is_read():
    call = entry("msg_1", Usage(1, 2, 3, 4, 5, 1), Prices({"*": Price(input=Decimal(3), output=Decimal(15))}))
    pages = read_lines(start_line(call.start) + end_line("msg_1", call.end))
    assert pages == ([call], [], 0)


def test_a_call_without_an_end_is_open_as_far_as_it_was_noted():
    lines = start_line(start("msg_1")) + start_line(start("msg_2"))
    lines += note_line("msg_1", 256, NOON + 3) + note_line("msg_1", 512, NOON + 6)
    pages = read_lines(lines)
    assert pages.open == [OpenCall(start("msg_1"), 512, NOON + 6), OpenCall(start("msg_2"), 0, NOON)]


def test_a_cut_call_is_charged_its_estimate_and_what_was_noted():
    prices = Prices({"*": Price(input=Decimal(1), output=Decimal(2))})
    end = OpenCall(start(num_input=100), 512, NOON + 6).cut(prices).end
    assert (end.ending, end.ended_at, end.latency_ms, end.first_token_ms) == ("cut", NOON + 6, 6_000, None)
    assert (end.counts.input_tokens, end.counts.output_tokens) == (100, 512)
    assert end.cost == 100 * 1_000 + 512 * 2_000


@pytest.mark.parametrize("cut_at", range(1, 60))
def test_a_torn_last_line_is_no_line(cut_at: int):
    whole = start_line(start("msg_1"))
    torn = end_line("msg_1", entry().end)[:cut_at]
    assert read_lines(whole + torn).open == [OpenCall(start("msg_1"), 0, NOON)]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\x00\x00\x00",
        b"{}",
        b"5",
        b"[]",
        b'["start",1]',
        b'["end","msg_0",1,1,null,"done"]',
        b'["note","msg_0",1,1]',
        b'["note"]',
    ],
)
def test_a_broken_line_costs_no_other(line: bytes):
    call = entry()
    pages = read_lines(start_line(call.start) + line + b"\n" + end_line("msg_1", call.end))
    assert pages.ended == [call]
    assert pages.num_broken == 1


def row_of(call: Entry) -> dict[str, Any]:
    return dict(zip(COLUMNS, call.as_row(), strict=True))


def test_a_row_has_the_columns_of_the_table():
    assert set(row_of(entry())) == {column.name for column in tables.usage.c}
    assert Counts._fields == tables.COUNTS


def test_a_call_counts_into_the_minute_in_which_it_ends():
    assert entry(started_at=NOON - 3600, ended_at=NOON + 59.9).minute == NOON // 60
    assert entry(ended_at=NOON + 60).minute == NOON // 60 + 1


def test_a_long_prompt_is_one_with_what_the_cache_had():
    assert row_of(entry(usage=Usage(200_000, 1)))["context_window"] == "0-200k"
    assert row_of(entry(usage=Usage(1, 1, cache_read=200_000)))["context_window"] == "200k-1M"


def test_wild_counts_fit_into_the_tables():
    row = row_of(entry(usage=Usage(10**30, -5)))
    assert (row["input_tokens"], row["output_tokens"]) == (10**15, 0)


@pytest.mark.parametrize(
    ("user_agent", "client"),
    [("claude-cli/2.1.0 (external, cli)", "claude_code"), ("Anthropic/Python 2.12", ""), ("", ""), (None, "")],
)
def test_claude_code_is_known_by_its_user_agent(user_agent: str | None, client: str):
    assert client_of(user_agent) == client
