"""Prompt caching as the official SDK sees it."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic import BadRequestError
from anthropic.types import Usage

from tests.fixtures.world import World

WORDS = "word " * 600
HERE: Any = {"type": "ephemeral"}
HOUR: Any = {"type": "ephemeral", "ttl": "1h"}
TOOL: Any = {"name": "weather", "input_schema": {"type": "object"}}
CALL: Any = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}


def text(words: str = WORDS, **fields: Any) -> Any:
    return {"type": "text", "text": words} | fields


async def usage_of(world: World, **fields: Any) -> Usage:
    body: dict[str, Any] = {"model": "echo", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
    async with world.sdk() as client:
        return (await client.messages.create(**body | fields)).usage


async def wrong(world: World, **fields: Any) -> str:
    with pytest.raises(BadRequestError) as caught:
        await usage_of(world, **fields)
    return caught.value.body["error"]["message"]  # type: ignore[index,call-overload]


async def test_usage_has_all_its_parts_and_they_add_up():
    async with World() as world:
        written, read = [await usage_of(world, system=[text(cache_control=HOUR)]) for _ in range(2)]
    assert written.cache_creation
    assert written.cache_creation.ephemeral_1h_input_tokens == written.cache_creation_input_tokens == 602
    assert written.cache_creation.ephemeral_5m_input_tokens == written.cache_read_input_tokens == 0
    assert (read.cache_read_input_tokens, read.cache_creation_input_tokens) == (602, 0)
    assert written.input_tokens == read.input_tokens == 2


@pytest.mark.parametrize(
    "block",
    [
        text(),
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": WORDS}},
        {"type": "search_result", "source": "s", "title": "t", "content": [text()]},
    ],
    ids=lambda block: block["type"],
)
async def test_every_block_of_a_user_may_carry_a_breakpoint(block: Any):
    messages: Any = [{"role": "user", "content": [block | {"cache_control": HERE}, text("And now?")]}]
    async with World() as world:
        usages = [await usage_of(world, messages=messages) for _ in range(2)]
    assert usages[0].cache_creation_input_tokens == usages[1].cache_read_input_tokens != 0


async def test_tools_calls_and_results_may_carry_one():
    result: Any = {"type": "tool_result", "tool_use_id": "toolu_1", "content": WORDS, "cache_control": HERE}
    messages: Any = [
        {"role": "user", "content": WORDS},
        {"role": "assistant", "content": [CALL | {"cache_control": HERE}]},
        {"role": "user", "content": [result]},
    ]
    tools = [TOOL | {"description": WORDS, "cache_control": HERE}]
    async with World() as world:
        usages = [await usage_of(world, model="tool-caller", tools=tools, messages=messages) for _ in range(2)]
        shorter = await usage_of(world, model="tool-caller", tools=tools)
    assert usages[0].cache_creation_input_tokens == usages[1].cache_read_input_tokens
    assert 600 < (shorter.cache_read_input_tokens or 0) < (usages[1].cache_read_input_tokens or 0)


async def test_the_automatic_breakpoint_counts_as_one_of_four():
    async with World() as world:
        blocks = [text(cache_control=HERE) for _ in range(4)]
        await usage_of(world, system=blocks)
        assert await wrong(world, system=blocks, cache_control=HERE) == (
            "A maximum of 4 blocks with cache_control may be provided. Found 5."
        )


async def test_what_is_wrong_is_told_in_the_api_s_words():
    first = [{"role": "user", "content": [text(cache_control=HOUR)]}]
    empty = [{"role": "user", "content": [text("Hi"), text("", cache_control=HERE)]}]
    async with World() as world:
        order = await wrong(world, system=[text(cache_control=HERE)], messages=first)
        assert order.startswith(
            "messages.0.content.0.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
            "cache_control block."
        )
        assert await wrong(world, messages=empty) == (
            "messages.0.content.1.text: cache_control cannot be set for empty text blocks"
        )
        assert await wrong(world, cache_control={"type": "ephemeral", "ttl": "2h"}) == (
            "cache_control.ephemeral.ttl: Input should be '5m' or '1h'"
        )


@pytest.mark.parametrize(
    "fields",
    [
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"tools": [TOOL], "tool_choice": {"type": "any"}},
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
    ],
    ids=["thinking", "tool_choice", "format"],
)
async def test_a_warm_up_asks_for_nothing_that_would_have_to_be_written(fields: Any):
    async with World() as world:
        assert (await wrong(world, max_tokens=0, **fields)).startswith("max_tokens")


async def test_a_warm_up_writes_the_cache_and_nothing_else():
    async with World() as world, world.sdk() as client:
        system: Any = [text(cache_control=HERE)]
        messages: Any = [{"role": "user", "content": "warm"}]
        message = await client.messages.create(model="echo", max_tokens=0, system=system, messages=messages)
        later = await usage_of(world, system=system)
    assert (message.content, message.stop_reason, message.usage.output_tokens) == ([], "max_tokens", 0)
    assert message.usage.cache_creation_input_tokens == later.cache_read_input_tokens != 0


async def test_diagnostics_tell_the_sdk_why_a_prefix_was_missed():
    async with World() as world, world.sdk() as client:
        messages: Any = [{"role": "user", "content": "Hi"}]
        asked: dict[str, Any] = {"model": "echo", "max_tokens": 9, "messages": messages}
        first = await client.messages.create(**asked, diagnostics={"previous_message_id": None})
        second = await client.messages.create(**asked, system="Be rude.", diagnostics={"previous_message_id": first.id})
    assert first.diagnostics
    assert first.diagnostics.cache_miss_reason is None
    assert second.diagnostics
    assert second.diagnostics.cache_miss_reason
    assert second.diagnostics.cache_miss_reason.type == "system_changed"
