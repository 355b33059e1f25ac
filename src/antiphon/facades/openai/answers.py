"""Replies in the shape of chat completions: whole, or as the chunks of a stream."""

from collections.abc import Sequence
from typing import Any

import orjson

from antiphon.wire.events import (
    BlockStart,
    BlockStop,
    Event,
    InputJsonDelta,
    Message,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    StopReason,
    TextDelta,
    Usage,
)

PING = b": ping\n\n"
_DONE = b"data: [DONE]\n\n"
_REASONS: dict[StopReason, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}

Json = dict[str, Any]


def completion_of(message: Message, created: int, *, is_legacy: bool) -> Json:
    """The whole reply. Thinking is left out; `is_legacy` has a call told as `function_call`."""
    text = "".join(block["text"] for block in message.content if block["type"] == "text")
    calls = [block for block in message.content if block["type"] == "tool_use"]
    said: Json = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
    if calls and is_legacy:
        said["function_call"] = _function(calls[0])
    elif calls:
        said["tool_calls"] = [{"id": call["id"], "type": "function", "function": _function(call)} for call in calls]
    reason = _reason(message.stop_reason or "end_turn", is_legacy=is_legacy)
    return {
        "id": message.id,
        "object": "chat.completion",
        "created": created,
        "model": message.model,
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": reason}],
        "usage": usage_of(message.usage),
        "system_fingerprint": None,
    }


def _function(call: Json) -> Json:
    return {"name": call["name"], "arguments": orjson.dumps(call["input"]).decode()}


def _reason(reason: StopReason, *, is_legacy: bool) -> str:
    return "function_call" if is_legacy and reason == "tool_use" else _REASONS[reason]


def usage_of(usage: Usage) -> Json:
    num_prompt = usage.input_tokens + usage.cache_creation_5m + usage.cache_creation_1h + usage.cache_read
    return {
        "prompt_tokens": num_prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": num_prompt + usage.output_tokens,
    }


class ChatStream:
    """The chunks of one reply. `frames` takes its events in order."""

    def __init__(self, created: int, *, has_usage: bool, is_legacy: bool) -> None:
        self._created = created
        self._has_usage = has_usage
        self._is_legacy = is_legacy
        self._head = b""
        """How all chunks begin, up to their choices."""
        self._end = b""
        self._before_text = self._after_text = b""
        """What stands around the text of each of its chunks."""
        self._num_calls = 0
        self._call: int | None = None
        """The block that is a tool call under way."""
        self._has_arguments = False

    def frames(self, events: Sequence[Event]) -> bytes:
        return b"".join([self._frame(event) for event in events])

    def _frame(self, event: Event) -> bytes:
        if type(event) is TextDelta:  # nearly all of them are
            return self._before_text + orjson.dumps(event.text) + self._after_text
        match event:
            case InputJsonDelta(index, text) if index == self._call:
                self._has_arguments = self._has_arguments or bool(text)
                return self._arguments(text)
            case BlockStart(index, {"type": "tool_use"} as block):
                self._call, self._has_arguments = index, False
                return self._begin_call(block)
            case BlockStop(index) if index == self._call:
                return self._end_call()
            case MessageStart():
                return self._begin(event)
            case MessageDelta():
                return self._finish(event)
            case MessageStop():
                return _DONE
            case Ping():
                return PING
            case _:
                return b""

    def _begin(self, event: MessageStart) -> bytes:
        same = {"id": event.id, "object": "chat.completion.chunk", "created": self._created, "model": event.model}
        self._head = b"data: %b," % orjson.dumps(same | {"system_fingerprint": None})[:-1]
        self._end = b',"usage":null}\n\n' if self._has_usage else b"}\n\n"
        self._before_text, _, self._after_text = self._chunk(b'{"content":\0}').partition(b"\0")
        return self._chunk(b'{"role":"assistant","content":"","refusal":null}')

    def _chunk(self, delta: bytes, reason: bytes = b"null") -> bytes:
        choice = b'"choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]' % (delta, reason)
        return self._head + choice + self._end

    def _begin_call(self, block: Json) -> bytes:
        function: Json = {"name": block["name"], "arguments": ""}
        if self._is_legacy:
            return self._chunk(orjson.dumps({"function_call": function}))
        call = {"index": self._num_calls, "id": block["id"], "type": "function", "function": function}
        return self._chunk(orjson.dumps({"tool_calls": [call]}))

    def _arguments(self, text: str) -> bytes:
        function = {"arguments": text}
        if self._is_legacy:
            return self._chunk(orjson.dumps({"function_call": function}))
        return self._chunk(orjson.dumps({"tool_calls": [{"index": self._num_calls, "function": function}]}))

    def _end_call(self) -> bytes:
        """A call without arguments still has some to be parsed."""
        last = b"" if self._has_arguments else self._arguments("{}")
        self._call = None
        self._num_calls += 1
        return last

    def _finish(self, event: MessageDelta) -> bytes:
        reason = _reason(event.stop_reason, is_legacy=self._is_legacy)
        last = self._chunk(b"{}", orjson.dumps(reason))
        if not self._has_usage:
            return last
        return last + self._head + b'"choices":[],"usage":%b}\n\n' % orjson.dumps(usage_of(event.usage))
