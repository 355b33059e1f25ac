"""A reply as Converse shows it: whole, or as the events of a ConverseStream."""

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, cast

import orjson

from antiphon.core.errors import invalid
from antiphon.encode.collect import Collector
from antiphon.encode.eventstream import event, event_start, seal
from antiphon.wire.events import (
    BlockStart,
    BlockStop,
    Event,
    InputJsonDelta,
    Message,
    MessageDelta,
    MessageStart,
    MessageStop,
    SignatureDelta,
    StopReason,
    TextDelta,
    ThinkingDelta,
    Usage,
)

Json = dict[str, Any]

_REASONS: dict[StopReason, str] = {"refusal": "content_filtered", "pause_turn": "end_turn"}
"""The others have the same name here."""


def reply_of(message: Message, latency_ms: int, paths: Sequence[str]) -> Json:
    """Converse's response; `paths` are JSON pointers to what else it is to show of the message."""
    reply: Json = {
        "output": {"message": {"role": "assistant", "content": [_block(block) for block in message.content]}},
        "stopReason": _reason(message.stop_reason),
        "usage": _usage(message.usage),
        "metrics": {"latencyMs": latency_ms},
    }
    return reply | _more_fields(message, paths)


def check_paths(paths: Sequence[str]) -> None:
    """Raises 400 for what is no JSON pointer."""
    for path in paths:
        if not path.startswith("/"):
            raise invalid(f"additionalModelResponseFieldPaths: '{path[:100]}' is not a JSON pointer.")


class ConverseStream:
    """Feed `frames` the events of a reply in order. `latency_ms` is asked at the end."""

    def __init__(self, latency_ms: Callable[[], int], paths: Sequence[str]) -> None:
        self._latency_ms = latency_ms
        self._paths = paths
        self._message = Collector()
        self._usage: Usage | None = None

    def frames(self, events: Sequence[Event]) -> bytes:
        if self._paths:
            self._message.feed(events)
        return b"".join([self._frame(event) for event in events])

    def _frame(self, what: Event) -> bytes:
        match what:
            case TextDelta(index, text):
                return _delta(_TEXT, index, text)
            case InputJsonDelta(index, text):
                return _delta(_INPUT, index, text)
            case ThinkingDelta(index, text):
                return _delta(_THINKING, index, text)
            case SignatureDelta(index, text):
                return _delta(_SIGNATURE, index, text)
            case BlockStart(index, block):
                return _block_start(index, block)
            case BlockStop(index):
                return event("contentBlockStop", {"contentBlockIndex": index})
            case MessageStart():
                return event("messageStart", {"role": "assistant"})
            case MessageDelta(reason, _, usage):
                self._usage = usage
                more = _more_fields(self._message.message, self._paths) if self._paths else {}
                return event("messageStop", {"stopReason": _reason(reason)} | more)
            case MessageStop():
                assert self._usage
                usage, metrics = _usage(self._usage), {"latencyMs": self._latency_ms()}
                return event("metadata", {"usage": usage, "metrics": metrics})
            case _:
                return b""


_TEXT = (b'{"text":', b"}")
_INPUT = (b'{"toolUse":{"input":', b"}}")
_THINKING = (b'{"reasoningContent":{"text":', b"}}")
_SIGNATURE = (b'{"reasoningContent":{"signature":', b"}}")


def _delta(kind: tuple[bytes, bytes], index: int, text: str) -> bytes:
    return seal(_delta_start(kind[0], index), orjson.dumps(text) + kind[1] + b",")


@lru_cache(maxsize=1024)
def _delta_start(kind: bytes, index: int):  # noqa: ANN202 - the encoder's own
    return event_start("contentBlockDelta", b'{"contentBlockIndex":%d,"delta":%b' % (index, kind))


def _block_start(index: int, block: Json) -> bytes:
    """Text and thinking have no start of their own here; what is whole at once is told as one delta."""
    if block["type"] in _CALLS:
        start = {"toolUse": {"toolUseId": block["id"], "name": block["name"], **_CALLS[block["type"]]}}
        return event("contentBlockStart", {"contentBlockIndex": index, "start": start})
    if block["type"] == "redacted_thinking":
        return event("contentBlockDelta", {"contentBlockIndex": index, "delta": _block(block)})
    if "tool_use_id" in block:
        result = _block(block)["toolResult"]
        texts = [{"text": json.dumps(part["json"])} for part in result.pop("content")]
        start = event("contentBlockStart", {"contentBlockIndex": index, "start": {"toolResult": result}})
        return start + event("contentBlockDelta", {"contentBlockIndex": index, "delta": {"toolResult": texts}})
    return b""


_CALLS: dict[str, Json] = {"tool_use": {}, "server_tool_use": {"type": "server_tool_use"}}


def _block(block: Json) -> Json:
    match block["type"]:
        case "text":
            return {"text": block["text"]}
        case "thinking":
            text = {"text": block["thinking"], "signature": block["signature"]}
            return {"reasoningContent": {"reasoningText": text}}
        case "redacted_thinking":
            return {"reasoningContent": {"redactedContent": b64encode(block["data"].encode()).decode()}}
        case kind if kind in _CALLS:
            called = {"toolUseId": block["id"], "name": block["name"], "input": block["input"]}
            return {"toolUse": called | _CALLS[kind]}
        case kind:
            result = {"toolUseId": block["tool_use_id"], "type": kind, "content": [{"json": block["content"]}]}
            return {"toolResult": result}


def _reason(reason: StopReason | None) -> str:
    assert reason
    return _REASONS.get(reason, reason)


def _usage(usage: Usage) -> Json:
    written = usage.cache_creation_5m + usage.cache_creation_1h
    counts: Json = {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens + usage.cache_read + written,
        "cacheReadInputTokens": usage.cache_read,
        "cacheWriteInputTokens": written,
    }
    by_ttl = {"5m": usage.cache_creation_5m, "1h": usage.cache_creation_1h}
    details = [{"ttl": ttl, "inputTokens": count} for ttl, count in by_ttl.items() if count]
    return counts | ({"cacheDetails": details} if details else {})


def _more_fields(message: Message, paths: Sequence[str]) -> Json:
    """What `paths` point to, where there is something, in objects as deep as the pointers."""
    whole, found = message.as_json(), Json()
    for path in paths:
        names = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
        value = _at(whole, names)
        if value is not None:
            place = found
            for name in names[:-1]:
                place = place.setdefault(name, {})
            place[names[-1]] = value
    return {"additionalModelResponseFields": found} if found else {}


def _at(value: Any, names: Sequence[str]) -> Any:
    for name in names:
        if isinstance(value, dict):
            value = cast(Json, value).get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(cast(list[Any], value)):
            value = cast(list[Any], value)[int(name)]
        else:
            return None
    return value
