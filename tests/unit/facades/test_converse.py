"""Converse to Messages and back, block by block."""

import base64
import json
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from pydantic import TypeAdapter

from antiphon.core.errors import ApiError
from antiphon.facades.bedrock.answers import ConverseStream, reply_of
from antiphon.facades.bedrock.convert import body_of
from antiphon.facades.bedrock.shapes import Converse
from antiphon.wire.blocks import Block
from antiphon.wire.events import (
    BlockStart,
    BlockStop,
    InputJsonDelta,
    Message,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
    Usage,
)

TOOL = {"toolSpec": {"name": "weather", "description": "The weather.", "inputSchema": {"json": {"type": "object"}}}}


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


DOCUMENT = {"type": "document", "title": "d"}
CONVERTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": ({"text": "a"}, {"type": "text", "text": "a"}),
    "guarded text": ({"guardContent": {"text": {"text": "a"}}}, {"type": "text", "text": "a"}),
    "image": (
        {"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}},
    ),
    "pdf": (
        {"document": {"format": "pdf", "name": "d", "source": {"bytes": "AAAA"}, "citations": {"enabled": True}}},
        DOCUMENT
        | {
            "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
            "citations": {"enabled": True},
        },
    ),
    "text file": (
        {"document": {"format": "md", "name": "d", "source": {"bytes": in_base64("# é")}, "context": "c"}},
        DOCUMENT | {"source": {"type": "text", "media_type": "text/plain", "data": "# é"}, "context": "c"},
    ),
    "document of text": (
        {"document": {"name": "d", "source": {"text": "a"}}},
        DOCUMENT | {"source": {"type": "text", "media_type": "text/plain", "data": "a"}},
    ),
    "document of parts": (
        {"document": {"name": "d", "source": {"content": [{"text": "a"}, {"text": "b"}]}}},
        DOCUMENT
        | {"source": {"type": "content", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}},
    ),
    "tool use": (
        {"toolUse": {"toolUseId": "t", "name": "n", "input": {"a": 1}}},
        {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}},
    ),
    "tool result": (
        {"toolResult": {"toolUseId": "t", "content": [{"text": "a"}, {"json": [1, "é"]}], "status": "error"}},
        {
            "type": "tool_result",
            "tool_use_id": "t",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": '[1, "é"]'}],
            "is_error": True,
        },
    ),
    "reasoning": (
        {"reasoningContent": {"reasoningText": {"text": "a", "signature": "s"}}},
        {"type": "thinking", "thinking": "a", "signature": "s"},
    ),
    "redacted reasoning": (
        {"reasoningContent": {"redactedContent": in_base64("secret")}},
        {"type": "redacted_thinking", "data": "secret"},
    ),
    "search result": (
        {"searchResult": {"source": "s", "title": "t", "content": [{"text": "a"}], "citations": {"enabled": True}}},
        {
            "type": "search_result",
            "source": "s",
            "title": "t",
            "content": [{"type": "text", "text": "a"}],
            "citations": {"enabled": True},
        },
    ),
    "citations": (
        {
            "citationsContent": {
                "content": [{"text": "a"}, {"text": "b"}],
                "citations": [
                    {
                        "title": "t",
                        "sourceContent": [{"text": "quoted"}],
                        "location": {"documentChar": {"documentIndex": 2, "start": 3, "end": 9}},
                    }
                ],
            }
        },
        {
            "type": "text",
            "text": "ab",
            "citations": [
                {
                    "type": "char_location",
                    "cited_text": "quoted",
                    "start_char_index": 3,
                    "end_char_index": 9,
                    "document_index": 2,
                    "document_title": "t",
                }
            ],
        },
    ),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_each_block_of_converse_is_one_of_messages(name: str):
    given, wanted = CONVERTED[name]
    turn = {"role": "user", "content": [given, {"cachePoint": {"type": "default", "ttl": "1h"}}]}
    body = body_of(Converse.model_validate({"messages": [turn]}))
    (block,) = body["messages"][0]["content"]
    assert block == wanted | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert TypeAdapter(Block).validate_python(block)


def test_fields_of_converse_are_fields_of_messages():
    request = {
        "messages": [{"role": "user", "content": [{"text": "a"}]}],
        "system": [{"text": "s"}, {"cachePoint": {"type": "default"}}],
        "inferenceConfig": {"maxTokens": 5, "temperature": 0.5, "topP": 0.9, "stopSequences": ["x"]},
        "toolConfig": {
            "tools": [TOOL, {"cachePoint": {"type": "default"}}],
            "toolChoice": {"tool": {"name": "weather"}},
        },
        "outputConfig": {"effort": "low"},
        "additionalModelRequestFields": {"top_k": 7, "tools": [{"type": "memory_20250818", "name": "memory"}]},
    }
    cached = {"cache_control": {"type": "ephemeral"}}
    schema = TOOL["toolSpec"]["inputSchema"]["json"]  # type: ignore[index]
    tool = {"name": "weather", "description": "The weather.", "input_schema": schema}
    assert body_of(Converse.model_validate(request)) == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
        "system": [{"type": "text", "text": "s"} | cached],
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["x"],
        "tools": [tool | cached, {"type": "memory_20250818", "name": "memory"}],
        "tool_choice": {"type": "tool", "name": "weather"},
        "output_config": {"effort": "low"},
        "top_k": 7,
    }


USAGE = Usage(3, 5, cache_creation_5m=7, cache_creation_1h=11, cache_read=13)
USAGE_TOLD = {
    "inputTokens": 3,
    "outputTokens": 5,
    "totalTokens": 39,
    "cacheReadInputTokens": 13,
    "cacheWriteInputTokens": 18,
    "cacheDetails": [{"ttl": "5m", "inputTokens": 7}, {"ttl": "1h", "inputTokens": 11}],
}


def test_a_message_is_a_reply_of_converse():
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "secret"},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}},
    ]
    message = Message("msg_1", "echo", USAGE, content, "refusal")
    assert reply_of(message, 17, ["/id", "/content/2/text", "/content/9", "/a~1b"]) == {
        "output": {
            "message": {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
                    {"reasoningContent": {"redactedContent": in_base64("secret")}},
                    {"text": "a"},
                    {"toolUse": {"toolUseId": "t", "name": "n", "input": {"a": 1}}},
                ],
            }
        },
        "stopReason": "content_filtered",
        "usage": USAGE_TOLD,
        "metrics": {"latencyMs": 17},
        "additionalModelResponseFields": {"id": "msg_1", "content": {"2": {"text": "a"}}},
    }


def test_what_a_reply_shows_can_be_sent_back():
    content = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "é"}]
    reply = reply_of(Message("msg_1", "echo", USAGE, content, "end_turn"), 0, [])
    turns = [{"role": "user", "content": [{"text": "a"}]}, reply["output"]["message"]]
    assert body_of(Converse.model_validate({"messages": turns}))["messages"][1]["content"] == content


def test_events_are_those_of_a_converse_stream():
    events = [
        MessageStart("msg_1", "echo", USAGE),
        BlockStart(0, {"type": "thinking", "thinking": "", "signature": ""}),
        ThinkingDelta(0, "hm"),
        SignatureDelta(0, "s"),
        BlockStop(0),
        BlockStart(1, {"type": "text", "text": ""}),
        Ping(),
        TextDelta(1, 'a"b'),
        BlockStop(1),
        BlockStart(2, {"type": "tool_use", "id": "t", "name": "n", "input": {}}),
        InputJsonDelta(2, '{"a":'),
        InputJsonDelta(2, "1}"),
        BlockStop(2),
        BlockStart(3, {"type": "redacted_thinking", "data": "secret"}),
        BlockStop(3),
        MessageDelta("tool_use", None, USAGE),
        MessageStop(),
    ]
    stream = ConverseStream(lambda: 17, ["/stop_reason", "/id"])
    raw = b"".join([stream.frames(events[start : start + 2]) for start in range(0, len(events), 2)])
    found = read(raw)
    assert found == [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "s"}}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": 'a"b'}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t", "name": "n"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"a":'}}}),
        ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": "1}"}}}),
        ("contentBlockStop", {"contentBlockIndex": 2}),
        (
            "contentBlockDelta",
            {"contentBlockIndex": 3, "delta": {"reasoningContent": {"redactedContent": in_base64("secret")}}},
        ),
        ("contentBlockStop", {"contentBlockIndex": 3}),
        (
            "messageStop",
            {"stopReason": "tool_use", "additionalModelResponseFields": {"stop_reason": "tool_use", "id": "msg_1"}},
        ),
        ("metadata", {"usage": USAGE_TOLD, "metrics": {"latencyMs": 17}}),
    ]


def read(raw: bytes) -> list[tuple[str, dict[str, Any]]]:
    buffer, found = EventStreamBuffer(), []
    buffer.add_data(raw)
    for message in buffer:
        data = json.loads(message.payload)
        del data["p"]
        found.append((message.headers[":event-type"], data))
    return found


def test_web_citations_are_refused():
    citation = {"location": {"web": {"url": "https://a"}}, "sourceContent": [{"text": "q"}]}
    block = {"citationsContent": {"content": [{"text": "a"}], "citations": [citation]}}
    with pytest.raises(ApiError, match="web pages"):
        body_of(Converse.model_validate({"messages": [{"role": "assistant", "content": [block]}]}))
