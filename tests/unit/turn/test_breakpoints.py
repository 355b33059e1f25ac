"""Prefixes of blocks, their digests and breakpoints; how a prompt's tokens are told."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.turn.breakpoints import Mark, Prefixes, cut, has_breakpoints, prefixes_of
from antiphon.turn.reuse import Counts, Kept, num_common
from antiphon.turn.steady import steady
from antiphon.wire.parse import parse_message
from antiphon.wire.request import MessageRequest
from antiphon.wire.versions import Version

HERE = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
TOOL = {"name": "weather", "description": "Tells the weather.", "input_schema": {"type": "object"}}
LINE = "x-anthropic-billing-header: cc_version=2.1.197.a1; cc_entrypoint=cli; cch=12345;"


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": words} | fields


def request(**fields: Any) -> MessageRequest:
    body = {"model": "m", "max_tokens": 5, "tools": [TOOL], "system": [text("Be kind.")]}
    messages = [
        {"role": "user", "content": [text("one"), text("two")]},
        {"role": "assistant", "content": "three"},
        {"role": "user", "content": "four"},
    ]
    return parse_message(orjson.dumps(body | {"messages": messages} | fields), Version.V2023_06_01)


def prefixes(**fields: Any) -> Prefixes:
    return prefixes_of(request(**fields))


def num_same(one: Prefixes, other: Prefixes) -> int:
    return num_common(one.digests, other.digests)


def test_breakpoints_stand_behind_their_blocks_in_the_order_of_the_prompt():
    found = prefixes(
        tools=[TOOL | {"cache_control": HOUR}],
        messages=[{"role": "user", "content": [text("one", cache_control=HERE), text("two")]}],
    )
    assert found.marks == (Mark(0, "1h"), Mark(2, "5m"))


def test_the_automatic_breakpoint_is_behind_the_last_block():
    assert prefixes(cache_control=HERE).marks == (Mark(5, "5m"),)
    assert has_breakpoints(request(cache_control=HERE))
    assert not has_breakpoints(request())


def test_a_breakpoint_within_a_result_is_the_result_s():
    call = {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [text("sun", cache_control=HERE), text("rain")]}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    marked = prefixes(messages=messages)
    assert marked.marks == (Mark(4, "5m"),)
    assert has_breakpoints(request(messages=messages))
    del result["content"][0]["cache_control"]
    assert not has_breakpoints(request(messages=messages))
    assert prefixes(messages=messages).digests == marked.digests


def test_a_breakpoint_that_moves_on_changes_no_prefix():
    turn = {"role": "user", "content": [text("one", cache_control=HERE), text("two")]}
    longer = [turn, {"role": "assistant", "content": "three"}, {"role": "user", "content": "four"}]
    assert num_same(prefixes(messages=[turn]), prefixes(messages=longer)) == 4
    assert prefixes(messages=longer).digests == prefixes(cache_control=HERE).digests


@pytest.mark.parametrize(
    ("change", "num_left"),
    [
        ({"model": "other"}, 0),
        ({"tools": [TOOL | {"description": "Tells lies."}]}, 0),
        ({"system": [text("Be rude.")]}, 1),
        ({"tool_choice": {"type": "any"}}, 2),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}, 2),
        ({"temperature": 0.5}, 6),
        ({"max_tokens": 9}, 6),
        ({"system": "Be kind."}, 6),
    ],
)
def test_what_changes_invalidates_its_part_and_all_that_follows(change: dict[str, Any], num_left: int):
    assert num_same(prefixes(), prefixes(**change)) == num_left


def test_who_says_it_is_part_of_a_prefix():
    one = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    other = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert num_same(prefixes(messages=one), prefixes(messages=other)) == 3


def test_a_cut_request_ends_with_its_block():
    whole = request()
    assert [block.text for turn in cut(whole, 3).turns for block in turn.blocks] == ["one", "two"]  # type: ignore[union-attr]
    assert [block.text for turn in cut(whole, 2).turns for block in turn.blocks] == ["one"]  # type: ignore[union-attr]
    assert cut(whole, 1).system == whole.system
    assert cut(whole, 0).system is None
    assert prefixes_of(cut(whole, 4)).digests == prefixes_of(whole).digests[:5]


def test_an_attribution_line_alone_in_the_first_block_is_left_out():
    blocks = [text(LINE), text("You are kind.")]
    assert [block.text for block in steady(request(system=blocks)).system or ()] == ["You are kind."]  # type: ignore[union-attr]
    assert steady(request(system=[text(LINE)])).system is None


@pytest.mark.parametrize(
    "blocks",
    [
        [text(f"{LINE}\nYou are kind.")],
        [text("You are kind."), text(LINE)],
        [text(LINE, cache_control=HERE), text("You are kind.")],
        [text("About x-anthropic-billing-header: a header.")],
    ],
)
def test_any_other_text_is_the_model_s(blocks: list[dict[str, Any]]):
    asked = request(system=blocks)
    assert steady(asked) is asked


COUNT = st.integers(0, 50)


@given(COUNT, COUNT, COUNT, COUNT, COUNT, st.booleans())
def test_the_counts_always_add_up_and_nothing_is_read_that_was_computed(
    num_input: int, num_tokens: int, num_1h: int, num_expected: int, num_reused: int, tells_all: bool
):
    counts = Kept(num_tokens, num_1h, num_expected, tells_all).split(num_input, num_reused)
    assert sum(counts) == num_input
    assert min(counts) >= 0
    assert counts.read <= num_reused


def test_what_the_engine_lost_is_written_again():
    kept = Kept(num_tokens=10, num_1h=6, num_expected=8)
    assert kept.split(12, 9) == Counts(input=2, creation_5m=2, creation_1h=0, read=8)
    assert kept.split(12, 0) == Counts(input=2, creation_5m=4, creation_1h=6, read=0)


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)))
def test_the_common_items_are_counted_as_one_by_one(a: list[int], b: list[int]):
    num = num_common(a, b)
    assert a[:num] == b[:num]
    assert a[num : num + 1] != b[num : num + 1] or not a[num : num + 1]


def test_any_number_that_json_can_hold_has_a_digest():
    call = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"n": 10**30, "x": 0.5}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "sun"}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    body = {"model": "m", "max_tokens": 5, "tools": [TOOL], "messages": messages, "cache_control": HERE}
    found = prefixes_of(parse_message(json.dumps(body).encode(), Version.V2023_06_01))
    assert found.marks == (Mark(3, "5m"),)
