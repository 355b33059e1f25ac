"""The openai SDK, unchanged but for endpoint and key, against the scripted models."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from antiphon.core.clock import ManualClock
from antiphon.core.errors import ApiError, Kind
from antiphon.facades.openai.answers import ChatStream
from antiphon.facades.openai.errors import body_of
from antiphon.turn.pieces import Piece, Stop
from antiphon.wire.events import BlockStart, BlockStop, MessageStart, Usage
from scripts.check_docs import blocks
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.world import API_KEY, World, ask

BEARER = {"authorization": f"Bearer {API_KEY}"}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: dict[str, Any] = {"name": "weather", "description": "The weather.", "parameters": SCHEMA}
TOOL: dict[str, Any] = {"type": "function", "function": WEATHER}


def client_of(world: World, **options: Any) -> AsyncOpenAI:
    return AsyncOpenAI(**{"base_url": f"{world.url}/v1", "api_key": API_KEY, "max_retries": 0} | options)


def says(text: Any = "hello there", role: str = "user", **fields: Any) -> Any:
    return {"role": role, "content": text, **fields}


async def create(world: World, *messages: dict[str, Any], **fields: Any) -> Any:
    """A completion of `echo` unless `fields` names another model."""
    async with client_of(world) as client:
        given = {"model": "echo", "messages": messages or [says()]} | fields
        return await client.chat.completions.create(**given)


async def chunks(world: World, *messages: dict[str, Any], **fields: Any) -> list[Any]:
    async with client_of(world) as client:
        given = {"model": "echo", "messages": messages or [says()]} | fields
        return [chunk async for chunk in await client.chat.completions.create(stream=True, **given)]


async def post(world: World, **fields: Any) -> tuple[int, Any]:
    """(status, JSON) of a raw request: what an SDK would not send."""
    body = {"model": "echo", "messages": [says()]} | fields
    async with world.http.post("/v1/chat/completions", json=body, headers=BEARER) as reply:
        return reply.status, await reply.json()


async def test_a_completion_answers():
    async with World() as world, client_of(world) as client:
        raw = await client.chat.completions.with_raw_response.create(model="echo", messages=[says()])
        reply = raw.parse()
    (choice,) = reply.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "hello there", "stop")
    assert (choice.message.tool_calls, choice.logprobs, reply.system_fingerprint) == (None, None, None)
    assert (reply.object, reply.model, reply.id[:4]) == ("chat.completion", "echo", "msg_")
    assert reply.usage
    assert reply.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6,
    }  # fmt: skip
    assert raw.headers["openai-version"] == "2020-10-01"
    assert raw.headers["x-request-id"] == raw.headers["request-id"] == reply._request_id


async def test_the_sync_client_works_too():
    def talk(url: str) -> tuple[Any, list[Any]]:
        with OpenAI(base_url=f"{url}/v1", api_key=API_KEY) as client:
            whole = client.chat.completions.create(model="echo", messages=[says()])  # type: ignore[list-item]
            stream = client.chat.completions.create(model="echo", messages=[says()], stream=True)  # type: ignore[list-item]
            return whole, list(stream)

    async with World() as world:
        whole, streamed = await asyncio.to_thread(talk, world.url)
    assert whole.choices[0].message.content == "hello there"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "hello there"


async def test_a_stream_has_a_role_text_a_reason_and_usage():
    async with World() as world:
        found = await chunks(world, says("one two three"), stream_options={"include_usage": True})
    first, *texts, last, usage = found
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
    assert "".join(chunk.choices[0].delta.content for chunk in texts) == "one two three"
    assert (last.choices[0].finish_reason, last.choices[0].delta.content) == ("stop", None)
    assert [chunk.choices[0].finish_reason for chunk in found[:-2]] == [None] * (len(found) - 2)
    assert (usage.choices, usage.usage.total_tokens) == ([], usage.usage.prompt_tokens + 3)
    assert {(chunk.id, chunk.object, chunk.model) for chunk in found} == {(first.id, "chat.completion.chunk", "echo")}


async def test_a_stream_without_the_option_says_no_usage_and_ends_with_done():
    async with World() as world:
        body = {"model": "echo", "messages": [says()], "stream": True}
        async with world.http.post("/v1/chat/completions", json=body, headers=BEARER) as reply:
            raw = await reply.read()
            kind = reply.headers["content-type"]
    frames = raw.split(b"\n\n")
    assert kind == "text/event-stream; charset=utf-8"
    assert (frames[-2:], b"usage" in raw) == ([b"data: [DONE]", b""], False)


async def test_silence_in_a_stream_is_broken_by_a_comment():
    engine, clock = ScriptedEngine(), ManualClock()
    engine.feed([Piece("slow", 1)])
    async with World(engine, clock) as world:
        body = {"model": "scripted", "messages": [says()], "stream": True}
        async with world.http.post("/v1/chat/completions", json=body, headers=BEARER) as reply:
            await reply.content.readuntil(b'"slow"')
            clock.advance(11)
            await asyncio.wait_for(reply.content.readuntil(b": ping\n\n"), 5)
            engine.feed([Piece("", 1, stop=Stop("end"))])
            assert (await reply.read()).endswith(b"data: [DONE]\n\n")


async def test_system_and_developer_messages_become_one_system_prompt():
    async with World() as world:
        reply = await create(
            world, says("be brief", "system"), says("a b"), says([{"type": "text", "text": "or not"}], "developer")
        )
        _, native = await world.post("/v1/messages", ask("a b", system="be brief\nor not"))
    assert (reply.choices[0].message.content, reply.usage.prompt_tokens) == ("a b", native["usage"]["input_tokens"])


@pytest.mark.parametrize("stop", ["three", ["three", "nine"]], ids=["text", "list"])
async def test_a_stop_sequence_ends_the_reply(stop: Any):
    async with World() as world:
        reply = await create(world, says("one two three four"), stop=stop)
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == ("one two ", "stop")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_the_reply_ends_at_the_limit(name: str):
    async with World() as world:
        reply = await create(world, model="lorem", **{name: 3})
    assert (reply.usage.completion_tokens, reply.choices[0].finish_reason) == (3, "length")


async def test_without_a_limit_a_reply_is_bounded():
    async with World() as world:
        reply = await create(world, model="lorem")
    assert (reply.usage.completion_tokens, reply.choices[0].finish_reason) == (32_000, "length")


async def test_a_high_temperature_is_capped_and_other_fields_are_ignored():
    ignored = {
        "logprobs": True, "metadata": {"a": "b"}, "prediction": None, "presence_penalty": 1, "frequency_penalty": 1,
        "seed": 5, "service_tier": "auto", "logit_bias": {"5": 1}, "store": True, "user": "me", "modalities": ["text"],
        "top_logprobs": 3, "reasoning_effort": "high", "top_p": 0.9, "n": 1, "stop": None, "tools": None,
        "response_format": None, "max_tokens": None,
    }  # fmt: skip
    async with World(strict=True) as world:
        status, reply = await post(world, temperature=1.7, **ignored)
    assert (status, reply["choices"][0]["message"]["content"]) == (200, "hello there")


async def test_a_tool_is_called_and_takes_its_result():
    async with World() as world:
        first = await create(world, says("Rain?"), model="tool-caller", tools=[TOOL])
        asked = first.choices[0].message
        (call,) = asked.tool_calls
        result = says("it rains", "tool", tool_call_id=call.id)
        second = await create(
            world, says("Rain?"), asked.model_dump(exclude_none=True), result, model="tool-caller", tools=[TOOL]
        )
    assert (first.choices[0].finish_reason, call.type, call.function.name) == ("tool_calls", "function", "weather")
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    assert (second.choices[0].message.content, second.choices[0].finish_reason) == ("it rains", "stop")


async def test_a_streamed_call_comes_in_fragments():
    async with World() as world:
        found = await chunks(world, says("Rain?"), model="tool-caller", tools=[TOOL], tool_choice="required")
    parts = [call for chunk in found for call in chunk.choices[0].delta.tool_calls or ()]
    assert (parts[0].index, parts[0].type, parts[0].function.name) == (0, "function", "weather")
    assert parts[0].id
    assert [(part.index, part.id, part.function.name) for part in parts[1:]] == [(0, None, None)] * (len(parts) - 1)
    assert "city" in json.loads("".join(part.function.arguments for part in parts))
    assert found[-1].choices[0].finish_reason == "tool_calls"


async def test_a_call_without_arguments_can_be_parsed():
    tool = {"type": "function", "function": {"name": "now"}}
    async with World() as world:
        whole = await create(world, model="tool-caller", tools=[tool])
        found = await chunks(world, model="tool-caller", tools=[tool])
    assert json.loads(whole.choices[0].message.tool_calls[0].function.arguments) == {}
    parts = [call for chunk in found for call in chunk.choices[0].delta.tool_calls or ()]
    assert json.loads("".join(part.function.arguments for part in parts)) == {}


def test_a_call_that_ends_without_a_fragment_gets_one():
    stream = ChatStream(0, has_usage=False, is_legacy=False)
    call = {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}}
    raw = stream.frames([MessageStart("msg_1", "echo", Usage(1, 0)), BlockStart(1, call), BlockStop(1)])
    last = json.loads(raw.split(b"\n\n")[-2].removeprefix(b"data: "))
    assert last["choices"][0]["delta"] == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}


OTHER = {"type": "function", "function": WEATHER | {"name": "other"}}
CHOICES = [
    ("none", None),
    ("required", "weather"),
    ({"type": "function", "function": {"name": "other"}}, "other"),
]


@pytest.mark.parametrize(("choice", "called"), CHOICES, ids=["none", "required", "named"])
@pytest.mark.parametrize("parallel", [True, False], ids=["many", "one"])
async def test_a_choice_is_followed(choice: Any, called: str | None, parallel: bool):
    async with World() as world:
        reply = await create(world, tools=[TOOL, OTHER], tool_choice=choice, parallel_tool_calls=parallel)
    calls = reply.choices[0].message.tool_calls
    assert (calls[0].function.name if calls else None) == called


async def test_old_functions_are_called_by_their_old_name():
    async with World() as world:
        first = await create(world, says("Rain?"), model="tool-caller", functions=[WEATHER])
        asked = first.choices[0].message
        result = says("it rains", "function", name="weather")
        turns = [says("Rain?"), asked.model_dump(exclude_none=True), result]
        second = await create(world, *turns, model="tool-caller", functions=[WEATHER])
        forced = await create(world, functions=[WEATHER], function_call={"name": "weather"})
        none = await create(world, model="tool-caller", functions=[WEATHER], function_call="none")
        found = await chunks(world, says("Rain?"), model="tool-caller", functions=[WEATHER])
    assert (first.choices[0].finish_reason, asked.function_call.name) == ("function_call", "weather")
    assert (second.choices[0].message.content, asked.tool_calls) == ("it rains", None)
    assert forced.choices[0].message.function_call.name == "weather"
    assert none.choices[0].message.function_call is None
    parts = [part for chunk in found if (part := chunk.choices[0].delta.function_call)]
    assert (parts[0].name, "city" in json.loads("".join(part.arguments for part in parts))) == ("weather", True)


class Answer(BaseModel):
    city: str
    degrees: int


async def test_a_strict_format_is_parsed_by_the_sdk():
    async with World() as world, client_of(world) as client:
        reply = await client.chat.completions.parse(model="json", messages=[says()], response_format=Answer)
    assert isinstance(reply.choices[0].message.parsed, Answer)


@pytest.mark.parametrize("strict", [False, None])
async def test_a_format_that_is_not_strict_takes_any_schema(strict: bool | None):
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 5}}, "required": ["a"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": strict}}
    async with World() as world:
        reply = await create(world, model="json", response_format=form)
    assert json.loads(reply.choices[0].message.content)["a"] >= 5


async def test_json_mode_writes_an_object():
    async with World() as world:
        reply = await create(world, response_format={"type": "json_object"})
        text = await create(world, response_format={"type": "text"})
    assert isinstance(json.loads(reply.choices[0].message.content), dict)
    assert text.choices[0].message.content == "hello there"


async def test_thinking_is_not_told():
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    async with World() as world:
        reply = await create(world, says("Why?"), model="thinker", extra_body=thinking)
        found = await chunks(world, says("Why?"), model="thinker", extra_body=thinking)
    assert reply.choices[0].message.content == "Why?"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in found) == "Why?"


async def test_parts_of_other_kinds_are_left_out():
    parts = [{"type": "text", "text": "hello"}, {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]
    async with World() as world:
        reply = await create(world, says(parts))
    assert reply.choices[0].message.content == "hello"


REFUSED: list[tuple[dict[str, Any], str | None, str]] = [
    ({"n": 2}, "n", "only 1"),
    ({"messages": []}, "messages", "at least one message"),
    ({"messages": None}, "messages", "messages"),
    ({"messages": [says(role="nobody")]}, "messages", "messages.0.role"),
    ({"messages": [says(role="system"), says("")]}, "messages", "messages.1: user messages must have non-empty"),
    ({"messages": [says(role="tool")]}, "messages", "messages.0.tool_call_id"),
    ({"messages": [says(role="tool", tool_call_id="x")]}, "messages", "tool_use_id"),
    ({"stop": " "}, "stop", "stop: each stop sequence"),
    ({"tool_choice": "required"}, "tool_choice", "while providing tools"),
    ({"temperature": -1}, "temperature", "temperature"),
    ({"max_tokens": 10**9}, "max_tokens", "maximum allowed number of output tokens"),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools", "tools.0.type"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}}, None, "'x' not found"),
    (
        {"tools": [{"type": "function", "function": {"name": "x", "parameters": {"type": "array"}}}]},
        "tools",
        "tools.0.function.parameters.type",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"strict": True, "schema": {"type": "object"}}}},
        "response_format",
        "response_format.json_schema.schema",
    ),
    ({"response_format": {"type": "json_schema", "json_schema": {"strict": True}}}, "response_format", "required"),
    (
        {"response_format": {"type": "json_object"}, "messages": [says(), says("{", "assistant")]},
        "response_format",
        "may not end",
    ),
    (
        {
            "messages": [
                says("a", "system"),
                says([{"type": "image_url", "image_url": {"url": "http://127.0.0.1/b.png"}}]),
            ]
        },
        None,
        "Unable to download the file",
    ),
    (
        {"messages": [says([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}])]},
        None,
        "Could not process image",
    ),
]


@pytest.mark.parametrize(("fields", "param", "words"), REFUSED, ids=[str(row[0])[:50] for row in REFUSED])
async def test_what_is_wrong_is_told_with_the_chat_requests_own_path(
    fields: dict[str, Any], param: str | None, words: str
):
    async with World() as world:
        status, told = await post(world, **fields)
    assert (status, told["error"]["type"], told["error"]["param"]) == (400, "invalid_request_error", param), told
    assert (words in told["error"]["message"], told["error"]["code"]) == (True, None), told


async def test_arguments_that_are_no_json_are_refused():
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bo'}}
    async with World() as world:
        status, told = await post(
            world,
            messages=[says(), says(None, "assistant", tool_calls=[call]), says("x", "tool", tool_call_id="call_1")],
        )
    assert (status, told["error"]["message"]) == (
        400, "messages.1.tool_calls.0.function.arguments: must be a JSON object",
    )  # fmt: skip


async def test_errors_are_the_sdks_own_classes():
    async with World() as world:
        with pytest.raises(openai.AuthenticationError) as wrong_key:
            async with client_of(world, api_key="sk-wrong") as client:
                await client.chat.completions.create(model="echo", messages=[says()])
        with pytest.raises(openai.NotFoundError) as no_model:
            await create(world, model="nobody")
        with pytest.raises(openai.BadRequestError) as too_long:
            await create(world, says("a " * 200_001))
        with pytest.raises(openai.InternalServerError) as failed:
            await create(world, model="fail-0")
        with pytest.raises(openai.InternalServerError) as down:
            await create(world, model="down")
    assert wrong_key.value.code == "invalid_api_key"
    assert (no_model.value.code, no_model.value.param) == ("model_not_found", "model")
    assert (too_long.value.code, too_long.value.param) == ("context_length_exceeded", "messages")
    assert (failed.value.status_code, failed.value.type) == (500, "server_error")
    assert (down.value.status_code, down.value.response.headers["retry-after"]) == (503, "1")


async def test_a_failure_in_mid_stream_is_raised_by_the_sdk():
    async with World() as world:
        with pytest.raises(openai.APIError, match="Internal server error"):
            await chunks(world, model="fail-3")


async def test_limits_are_told_in_openais_headers_and_refused_in_its_words():
    async with World(rate_limits={"requests_per_minute": 1}) as world, client_of(world) as client:
        raw = await client.chat.completions.with_raw_response.create(model="echo", messages=[says()])
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model="echo", messages=[says()])
    told, headers = refused.value, refused.value.response.headers
    assert (raw.headers["x-ratelimit-limit-requests"], raw.headers["x-ratelimit-remaining-requests"]) == ("1", "0")
    assert not [name for name in raw.headers if name.startswith("anthropic-ratelimit")]
    assert 59 <= int(headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 60
    assert (told.code, int(headers["retry-after"]) > 0) == ("rate_limit_exceeded", True)


def test_a_spent_budget_is_a_quota_that_is_used_up():
    spent = ApiError(Kind.RATE_LIMIT, "Spent.", details={"error_code": "enforced_spend_limit_reached"})
    assert body_of(spent)["error"]["code"] == "insufficient_quota"


async def test_every_kind_of_error_has_a_name_and_a_status():
    assert all(body_of(ApiError(kind, "x"))["error"]["type"] for kind in Kind)


async def test_models_are_listed_in_either_shape():
    async with World() as world, client_of(world) as client, world.sdk() as native:
        ours = [model async for model in client.models.list()]
        one = await client.models.retrieve("echo")
        theirs = [model async for model in native.models.list()]
        async with world.http.get("/v1/models", headers={"x-api-key": API_KEY}) as reply:
            unversioned = reply.status, (await reply.json())["error"]["message"]
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("nobody")
    assert [model.id for model in ours] == [model.id for model in theirs]
    assert (one.id, one.object, one.owned_by) == ("echo", "model", "antiphon")
    assert unversioned == (400, "anthropic-version: header is required")


async def test_a_client_that_leaves_ends_the_work():
    engine = ScriptedEngine()
    engine.feed([Piece("one", 1)])
    async with World(engine) as world:
        async with client_of(world) as client:
            stream = await client.chat.completions.create(model="scripted", messages=[says()], stream=True)
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
            await stream.close()
        await asyncio.wait_for(engine.closed.wait(), 5)


GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "openai.md"


@pytest.mark.parametrize("block", [block.text for block in blocks(GUIDE, "python test")], ids=["text", "tools"])
async def test_the_guides_examples_work_with_its_variables_alone(block: str):
    async with World() as world:
        environment = {"OPENAI_BASE_URL": f"{world.url}/v1", "OPENAI_API_KEY": API_KEY}
        assert all(name in GUIDE.read_text() for name in environment)
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-c", block, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        printed, complaints = await asyncio.wait_for(program.communicate(), 40)
    assert printed.decode().strip() == "Name three rivers.", complaints.decode()
