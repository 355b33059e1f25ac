"""The official SDK (2.x: bearer, 2026-10-21) against the scripted models."""

from typing import Any

import anthropic
import pytest

from antiphon.core.errors import ApiError, Kind
from antiphon.turn.chat import Chat
from antiphon.turn.pieces import Prompt
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.world import World, ask, text_of


async def test_create_answers_with_the_last_user_text():
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(**ask("hello there"))
    assert text_of(message) == "hello there"
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.model == "echo"
    assert message.id.startswith("msg_")
    assert message._request_id.startswith("req_")


async def test_stream_accumulates_to_the_same_message():
    async with World() as world, world.sdk() as client:
        async with client.messages.stream(**ask("one two three four")) as stream:
            text = "".join([part async for part in stream.text_stream])
            message = await stream.get_final_message()
    assert text == text_of(message) == "one two three four"
    assert message.usage.output_tokens == 4


async def test_count_tokens_equals_the_usage():
    async with World() as world, world.sdk() as client:
        body = ask("one two three", system="be brief")
        counted = await client.messages.count_tokens(model="echo", messages=body["messages"], system="be brief")
        message = await client.messages.create(**body)
    assert counted.input_tokens == message.usage.input_tokens == 8


async def test_models_list_and_retrieve():
    async with World() as world, world.sdk() as client:
        models = [model async for model in client.models.list(limit=2)]
        echo = await client.models.retrieve("claude-sonnet-5")
    names = ["echo", "lorem", "slow", "fail-N", "down", "tool-caller", "thinker", "adaptive", "json", "citer"]
    assert [model.id for model in models] == names
    assert (echo.id, echo.max_input_tokens, echo.line, echo.lifecycle) == ("echo", 200_000, None, "active")
    assert [model.id for model in models if model.capabilities and model.capabilities.image_input.supported] == ["echo"]
    capabilities: Any = echo.capabilities
    assert capabilities.structured_outputs.supported
    edits = capabilities.context_management
    assert (edits.clear_tool_uses_20250919.supported, edits.compact_20260112.supported) == (True, False)


@pytest.mark.parametrize(
    "name",
    [
        "claude-opus-5",
        "claude-sonnet-4-5@20250929",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ],
)
async def test_claude_names_mean_the_default_model(name: str):
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(**ask(model=name))
    assert message.model == "echo"


async def test_an_alias_means_the_model_that_it_names():
    async with World(aliases={"claude-haiku-4-5": "lorem", "mine": "lorem"}) as world, world.sdk() as client:
        named = [await client.messages.create(**ask(model=name)) for name in ("claude-haiku-4-5", "mine")]
    assert [message.model for message in named] == ["lorem", "lorem"]


async def test_max_tokens_zero_answers_nothing():
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(**ask(max_tokens=0))
    assert (message.content, message.stop_reason, message.usage.output_tokens) == ([], "max_tokens", 0)


async def test_lorem_makes_exactly_max_tokens_words():
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(**ask(model="lorem", max_tokens=17))
    assert len(text_of(message).split()) == message.usage.output_tokens == 17
    assert message.stop_reason == "max_tokens"


async def test_words_after_a_stop_sequence_are_not_counted():
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(**ask(model="lorem", stop_sequences=["dolor"]))
    assert text_of(message) == "lorem ipsum "
    assert message.usage.output_tokens == 3


async def test_a_stop_sequence_ends_the_reply_and_is_not_in_it():
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(**ask("one two three four", stop_sequences=["wo thr"]))
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "wo thr")
    assert text_of(message) == "one t"


SDK_ERRORS = [
    (400, anthropic.BadRequestError, ask(max_tokens=-1), {}),
    (401, anthropic.AuthenticationError, ask(), {"api_key": "sk-ant-phon1-wrong"}),
    (404, anthropic.NotFoundError, ask(model="nobody"), {}),
    (500, anthropic.InternalServerError, ask(model="fail-3"), {}),
    (529, anthropic.OverloadedError, ask(model="down"), {}),
]


@pytest.mark.parametrize(("status", "kind", "body", "options"), SDK_ERRORS, ids=[str(row[0]) for row in SDK_ERRORS])
async def test_each_status_is_the_sdks_own_exception(status, kind, body, options):
    async with World() as world, world.sdk(**options) as client:
        with pytest.raises(kind) as caught:
            await client.messages.create(**body)
    assert caught.value.status_code == status
    assert caught.value.request_id.startswith("req_")
    assert caught.value.body["request_id"] == caught.value.request_id


class HungEngine(ScriptedEngine):
    async def prepare(self, model: str, chat: Chat) -> Prompt:
        raise ApiError(Kind.TIMEOUT, "Request timed out")


async def test_an_engine_that_hangs_is_the_sdks_504():
    async with World(HungEngine()) as world, world.sdk() as client:
        with pytest.raises(anthropic.GatewayTimeoutError):
            await client.messages.create(**ask(model="scripted"))


async def test_a_wrong_method_is_the_sdks_405():
    async with World() as world, world.sdk() as client:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await client.delete("/v1/messages", cast_to=object)
    assert caught.value.status_code == 405


async def test_a_body_over_32_mb_is_the_sdks_413():
    async with World() as world, world.sdk() as client:
        with pytest.raises(anthropic.ContentTooLargeError):
            await client.messages.create(**ask("x" * (32 * 1024 * 1024)))


async def test_an_engine_that_fails_in_mid_stream_is_one_error_event():
    async with World() as world:
        events = await world.stream(ask(model="fail-3"))
    assert [event["type"] for event in events][-1] == "error"
    assert events[-1]["error"] == {"type": "api_error", "message": "Internal server error"}
