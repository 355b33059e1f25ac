"""Every door to a model, held to the same conversation: what one says of it, all say.

A door is how a request in the Messages API's terms is put there, and how the answer is read back into these terms.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from botocore.eventstream import EventStreamBuffer

from antiphon.turn.pieces import Piece
from tests.fixtures import streams
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.images import halves, png, said
from tests.fixtures.looking import Looking
from tests.fixtures.world import API_KEY, World

Json = dict[str, Any]
BEARER = {"authorization": f"Bearer {API_KEY}", "anthropic-version": "2023-06-01", "content-type": "application/json"}
TOOL = {
    "name": "weather",
    "description": "The weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


class Seen(NamedTuple):
    """What a client learns of a reply."""

    text: str
    calls: list[tuple[str, Json]]
    reason: str
    num_input: int
    num_output: int
    thought: str = ""
    """What it is shown of the model's thinking, and whether that is signed."""


class Door(NamedTuple):
    path: Callable[[Json], str]
    """The path for a request."""
    write: Callable[[Json], Json]
    """The body for a request."""
    read: Callable[[bytes], Seen]
    reads_reason: Callable[[str], str] = str
    """How this door tells a reason to stop."""
    shows_thinking: bool = True
    statuses: dict[int, int] = {}  # noqa: RUF012
    """Where it has others than the native one."""


def of_message(message: Json) -> Seen:
    content, usage = message["content"], message["usage"]
    num_input = sum(usage.get(f"{kind}input_tokens", 0) for kind in ("", "cache_creation_", "cache_read_"))
    return Seen(
        "".join(block["text"] for block in content if block["type"] == "text"),
        [(block["name"], block["input"]) for block in content if block["type"] == "tool_use"],
        message["stop_reason"],
        num_input,
        usage["output_tokens"],
        "".join(_thought(block["thinking"], block["signature"]) for block in content if block["type"] == "thinking"),
    )


def _thought(text: str, signature: str | None) -> str:
    return f"{text}[{'signed' if signature else 'not signed'}]"


def of_events(events: list[Json]) -> Seen:
    message: Json = {}
    fragments: list[str] = []
    for event in events:
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(event["content_block"])
            case "content_block_delta" if event["delta"]["type"] == "text_delta":
                message["content"][-1]["text"] += event["delta"]["text"]
            case "content_block_delta" if event["delta"]["type"] in ("thinking_delta", "signature_delta"):
                for name in ("thinking", "signature"):
                    message["content"][-1][name] += event["delta"].get(name, "")
            case "content_block_delta":
                fragments.append(event["delta"]["partial_json"])
            case "content_block_stop" if message["content"][-1]["type"] == "tool_use":
                message["content"][-1]["input"] = json.loads("".join(fragments))
            case "message_delta":
                message["stop_reason"] = event["delta"]["stop_reason"]
                message["usage"] |= event["usage"]
            case _:
                pass
    return of_message(message)


def of_sse(raw: bytes) -> Seen:
    return of_events(streams.parse(raw))


def frames_of(raw: bytes) -> list[tuple[str, Json]]:
    buffer = EventStreamBuffer()
    buffer.add_data(raw)
    return [(event.headers[":event-type"], json.loads(event.payload)) for event in buffer]


def of_chunks(raw: bytes) -> Seen:
    return of_events([json.loads(base64.b64decode(data["bytes"])) for _, data in frames_of(raw)])


def of_converse(raw: bytes) -> Seen:
    reply = json.loads(raw)
    content = reply["output"]["message"]["content"]
    return Seen(
        "".join(block.get("text", "") for block in content),
        [(block["toolUse"]["name"], block["toolUse"]["input"]) for block in content if "toolUse" in block],
        reply["stopReason"],
        _num_input_of_converse(reply["usage"]),
        reply["usage"]["outputTokens"],
        "".join(
            _thought(part["text"], part.get("signature"))
            for block in content
            for part in [block.get("reasoningContent", {}).get("reasoningText")]
            if part
        ),
    )


def _num_input_of_converse(usage: Json) -> int:
    return sum(usage.get(name, 0) for name in ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"))


def of_converse_stream(raw: bytes) -> Seen:
    events = frames_of(raw)
    found = {name: data for name, data in events if name in ("messageStop", "metadata")}
    deltas = [data["delta"] for name, data in events if name == "contentBlockDelta"]
    names = [data["start"]["toolUse"]["name"] for name, data in events if name == "contentBlockStart"]
    fragments = "".join(delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta)
    usage = found["metadata"]["usage"]
    reasons = [delta["reasoningContent"] for delta in deltas if "reasoningContent" in delta]
    thoughts = "".join(reason.get("text", "") for reason in reasons)
    return Seen(
        "".join(delta.get("text", "") for delta in deltas),
        [(name, json.loads(fragments)) for name in names],
        found["messageStop"]["stopReason"],
        _num_input_of_converse(usage),
        usage["outputTokens"],
        _thought(thoughts, "".join(reason.get("signature", "") for reason in reasons)) if reasons else "",
    )


def of_completion(raw: bytes) -> Seen:
    reply = json.loads(raw)
    (choice,) = reply["choices"]
    calls = [call["function"] for call in choice["message"].get("tool_calls", ())]
    return Seen(
        choice["message"]["content"] or "",
        [(call["name"], json.loads(call["arguments"])) for call in calls],
        choice["finish_reason"],
        reply["usage"]["prompt_tokens"],
        reply["usage"]["completion_tokens"],
    )


def of_completion_chunks(raw: bytes) -> Seen:
    lines = [line.removeprefix(b"data: ") for line in raw.split(b"\n\n") if line.startswith(b"data: ")]
    assert lines.pop() == b"[DONE]"
    *chunks, usage = map(json.loads, lines)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    parts = [call["function"] for delta in deltas for call in delta.get("tool_calls", ())]
    names = [part["name"] for part in parts if "name" in part]
    return Seen(
        "".join(delta.get("content") or "" for delta in deltas),
        [(name, json.loads("".join(part["arguments"] for part in parts))) for name in names],
        chunks[-1]["choices"][0]["finish_reason"],
        usage["usage"]["prompt_tokens"],
        usage["usage"]["completion_tokens"],
    )


def as_cloud(request: Json) -> Json:
    return {name: value for name, value in request.items() if name != "model"} | {"anthropic_version": "2023-06-01"}


def as_converse(request: Json) -> Json:
    body: Json = {
        "messages": [
            {"role": turn["role"], "content": [_converse_block(block) for block in _blocks(turn)]}
            for turn in request["messages"]
        ],
        "inferenceConfig": {
            "maxTokens": request["max_tokens"],
            "stopSequences": request.get("stop_sequences", []),
        },
    }
    if "system" in request:
        body["system"] = [{"text": request["system"]}]
    if "thinking" in request:
        body["additionalModelRequestFields"] = {"thinking": request["thinking"]}
    if "tools" in request:
        specs = [
            {"name": tool["name"], "description": tool["description"], "inputSchema": {"json": tool["input_schema"]}}
            for tool in request["tools"]
        ]
        body["toolConfig"] = {"tools": [{"toolSpec": spec} for spec in specs]}
    return body


def _blocks(turn: Json) -> list[Json]:
    content = turn["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _converse_block(block: Json) -> Json:
    match block["type"]:
        case "text":
            return {"text": block["text"]}
        case "image":
            return {"image": {"format": "png", "source": {"bytes": block["source"]["data"]}}}
        case "tool_use":
            return {"toolUse": {"toolUseId": block["id"], "name": block["name"], "input": block["input"]}}
        case _:
            return {"toolResult": {"toolUseId": block["tool_use_id"], "content": [{"text": block["content"]}]}}


def as_chat(request: Json) -> Json:
    messages = [{"role": "system", "content": request["system"]}] if "system" in request else []
    for turn in request["messages"]:
        if any(block["type"] == "image" for block in _blocks(turn)):
            messages.append({"role": turn["role"], "content": [_chat_part(block) for block in _blocks(turn)]})
        else:
            messages += [_chat_message(turn["role"], block) for block in _blocks(turn)]
    body: Json = {"model": request["model"], "max_tokens": request["max_tokens"], "messages": messages}
    if "stop_sequences" in request:
        body["stop"] = request["stop_sequences"]
    if "thinking" in request:
        body["thinking"] = request["thinking"]
    if "tools" in request:
        functions = [
            {"name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"]}
            for tool in request["tools"]
        ]
        body["tools"] = [{"type": "function", "function": function} for function in functions]
    return body


def _chat_part(block: Json) -> Json:
    if block["type"] == "text":
        return block
    source = block["source"]
    return {"type": "image_url", "image_url": {"url": f"data:{source['media_type']};base64,{source['data']}"}}


def _chat_message(role: str, block: Json) -> Json:
    match block["type"]:
        case "text":
            return {"role": role, "content": block["text"]}
        case "tool_use":
            function = {"name": block["name"], "arguments": json.dumps(block["input"])}
            return {"role": role, "tool_calls": [{"id": block["id"], "type": "function", "function": function}]}
        case _:
            return {"role": "tool", "tool_call_id": block["tool_use_id"], "content": block["content"]}


_OF_CHAT = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
_VERTEX = "/v1/projects/p/locations/global/publishers/anthropic/models/"
_BEDROCK_STATUSES = {529: 503}


def whole(request: Json) -> Json:
    return request


def streamed(request: Json) -> Json:
    return request | {"stream": True}


def native(path: str) -> tuple[Door, Door]:
    return (
        Door(lambda _: path, whole, lambda raw: of_message(json.loads(raw))),
        Door(lambda _: path, streamed, of_sse),
    )


def bedrock(operation: str, write: Callable[[Json], Json], read: Callable[[bytes], Seen]) -> Door:
    return Door(lambda request: f"/model/{request['model']}/{operation}", write, read, statuses=_BEDROCK_STATUSES)


DOORS = {
    **dict(zip(("native", "native streamed"), native("/v1/messages"), strict=True)),
    **dict(zip(("prefixed", "prefixed streamed"), native("/anthropic/v1/messages"), strict=True)),
    "vertex": Door(
        lambda request: f"{_VERTEX}{request['model']}:rawPredict", as_cloud, lambda raw: of_message(json.loads(raw))
    ),
    "vertex streamed": Door(
        lambda request: f"{_VERTEX}{request['model']}:streamRawPredict", lambda r: streamed(as_cloud(r)), of_sse
    ),
    "bedrock": bedrock("invoke", as_cloud, lambda raw: of_message(json.loads(raw))),
    "bedrock streamed": bedrock("invoke-with-response-stream", as_cloud, of_chunks),
    "converse": bedrock("converse", as_converse, of_converse),
    "converse streamed": bedrock("converse-stream", as_converse, of_converse_stream),
    "openai": Door(
        lambda _: "/v1/chat/completions",
        as_chat,
        of_completion,
        _OF_CHAT.__getitem__,
        shows_thinking=False,
        statuses={529: 503},
    ),
    "openai streamed": Door(
        lambda _: "/v1/chat/completions",
        lambda request: as_chat(request) | {"stream": True, "stream_options": {"include_usage": True}},
        of_completion_chunks,
        _OF_CHAT.__getitem__,
        shows_thinking=False,
        statuses={529: 503},
    ),
}
STREAMED = [name for name in DOORS if name.endswith("streamed")]


async def knock(world: World, name: str, request: Json) -> tuple[int, bytes]:
    door = DOORS[name]
    async with world.http.post(door.path(request), json=door.write(request), headers=BEARER) as reply:
        return reply.status, await reply.read()


def ask(text: str | list[Json], **fields: Any) -> Json:
    return {"model": "echo", "max_tokens": 100, "messages": [{"role": "user", "content": text}]} | fields


CALLED = [
    {"role": "user", "content": "Rain?"},
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bonn"}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "it rains"}]},
]
CONVERSATIONS = {
    "text": (ask("grüß dich, \"world\"\n✓"), "grüß dich, \"world\"\n✓", "end_turn"),
    "system": (ask("one two", system="be brief"), "one two", "end_turn"),
    "stop": (ask("one two three four", stop_sequences=["three"]), "one two ", "stop_sequence"),
    "limit": (ask("one two three", max_tokens=2), "one two ", "max_tokens"),
    "call": (ask("Rain?", model="tool-caller", tools=[TOOL]), "", "tool_use"),
    "result": (ask("", model="tool-caller", tools=[TOOL], messages=CALLED), "it rains", "end_turn"),
    "thinker": (ask("why", model="thinker"), "why", "end_turn"),
    "thinking": (ask("why", model="thinker", thinking={"type": "adaptive"}), "why", "end_turn"),
    "image": (ask([png(halves()), said("what is it?")]), "what is it?", "end_turn"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_all_doors_say_the_same(name: str):
    request, text, reason = CONVERSATIONS[name]
    async with World() as world:
        answers = {door: await knock(world, door, request) for door in DOORS}
    assert {door: status for door, (status, _) in answers.items() if status != 200} == {}, answers
    seen = {door: DOORS[door].read(raw) for door, (_, raw) in answers.items()}
    first = seen["native"]
    assert (first.text, first.reason) == (text, reason)
    assert bool(first.calls) == (reason == "tool_use")
    assert first.thought == ("The user says: why[signed]" if name == "thinking" else "")
    for door, answer in seen.items():
        thought = first.thought if DOORS[door].shows_thinking else ""
        assert answer == first._replace(reason=DOORS[door].reads_reason(first.reason), thought=thought), door


ERRORS = {
    "model": (ask("a", model="nobody"), 404),
    "empty": (ask(""), 400),
    "too much": (ask("a", max_tokens=10**7), 400),
    "too long": (ask("a " * 200_001), 400),
    "away": (ask("a", model="down"), 529),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_all_doors_refuse_the_same(name: str):
    request, status = ERRORS[name]
    async with World() as world:
        answers = {door: (await knock(world, door, request))[0] for door in DOORS}
    assert answers == {door: DOORS[door].statuses.get(status, status) for door in DOORS}


@pytest.mark.parametrize("name", STREAMED)
async def test_a_failure_in_mid_stream_is_told_at_every_door(name: str):
    async with World() as world:
        status, raw = await knock(world, name, ask("a", model="fail-3"))
    assert (status, b"Internal server error" in raw) == (200, True)


@pytest.mark.parametrize("name", DOORS)
async def test_a_client_that_leaves_any_door_ends_the_work(name: str):
    engine = ScriptedEngine()
    engine.feed([Piece("one ", 1)])
    async with World(engine) as world:
        asking = asyncio.create_task(knock(world, name, ask("a", model="scripted")))
        await asyncio.wait_for(engine.started.wait(), 5)
        asking.cancel()
        await asyncio.wait_for(engine.closed.wait(), 5)


async def test_an_image_is_counted_and_shown_the_same_at_every_door():
    request, _, _ = CONVERSATIONS["image"]
    shown: dict[str, bytes] = {}
    for door in DOORS:
        engine = Looking()
        async with World(engine=engine) as world:
            status, raw = await knock(world, door, request)
        assert status == 200, (door, raw)
        (picture,) = engine.pictures
        shown[door] = picture.data
    assert len(set(shown.values())) == 1


async def test_text_completions_say_what_they_can():
    async with World() as world:
        for text, stops in (("one two three four", ["three"]), ("one two", [])):
            body = {"model": "echo", "prompt": f"\n\nHuman: {text}\n\nAssistant:", "max_tokens_to_sample": 100}
            _, old = await world.post("/v1/complete", body | {"stop_sequences": stops})
            _, raw = await knock(world, "native", ask(text, stop_sequences=stops))
            assert old["completion"].strip() == DOORS["native"].read(raw).text.strip()
