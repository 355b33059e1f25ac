"""Events as server-sent events. What is constant in a frame is bytes already; only strings are escaped, by orjson."""

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from antiphon.core.errors import ApiError
from antiphon.encode.envelope import error_body
from antiphon.wire.events import (
    BlockStart,
    BlockStop,
    CitationsDelta,
    Event,
    InputJsonDelta,
    Message,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
    context_of,
)

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":'
_TEXT_DELTA = _DELTA + b'"text_delta","text":%b}}\n\n'
_CITATIONS_DELTA = _DELTA + b'"citations_delta","citation":%b}}\n\n'
_INPUT_JSON_DELTA = _DELTA + b'"input_json_delta","partial_json":%b}}\n\n'
_THINKING_DELTA = _DELTA + b'"thinking_delta","thinking":%b}}\n\n'
_SIGNATURE_DELTA = _DELTA + b'"signature_delta","signature":%b}}\n\n'
_BLOCK_STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'


def frame(name: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


def encode(events: Iterable[Event]) -> bytes:
    """The frames of `events`, joined."""
    return b"".join([_FRAMES[type(event)](event) for event in events])


def encode_error(error: ApiError, request_id: str) -> bytes:
    return frame("error", error_body(error, request_id))


def _message_start(event: MessageStart) -> bytes:
    message = Message(event.id, event.model, event.usage, diagnostics=event.diagnostics).as_json()
    return frame("message_start", {"type": "message_start", "message": message})


def _block_start(event: BlockStart) -> bytes:
    data = {"type": "content_block_start", "index": event.index, "content_block": event.block}
    return frame("content_block_start", data)


def _text_delta(event: TextDelta) -> bytes:
    return _TEXT_DELTA % (event.index, orjson.dumps(event.text))


def _citations_delta(event: CitationsDelta) -> bytes:
    return _CITATIONS_DELTA % (event.index, orjson.dumps(event.citation))


def _input_json_delta(event: InputJsonDelta) -> bytes:
    return _INPUT_JSON_DELTA % (event.index, orjson.dumps(event.partial_json))


def _thinking_delta(event: ThinkingDelta) -> bytes:
    return _THINKING_DELTA % (event.index, orjson.dumps(event.thinking))


def _signature_delta(event: SignatureDelta) -> bytes:
    return _SIGNATURE_DELTA % (event.index, orjson.dumps(event.signature))


def _block_stop(event: BlockStop) -> bytes:
    return _BLOCK_STOP % event.index


def _message_delta(event: MessageDelta) -> bytes:
    usage = event.usage
    data = {
        "type": "message_delta",
        "delta": {"stop_reason": event.stop_reason, "stop_sequence": event.stop_sequence, "stop_details": None},
        "usage": {
            "input_tokens": usage.input_tokens,
            "cache_creation_input_tokens": usage.cache_creation_5m + usage.cache_creation_1h,
            "cache_read_input_tokens": usage.cache_read,
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"thinking_tokens": usage.thinking_tokens},
            **({"server_tool_use": usage.server_tool_uses} if usage.server_tool_uses else {}),
        },
        **context_of(event.applied_edits),
    }
    return frame("message_delta", data)


_FRAMES: dict[type, Callable[[Any], bytes]] = {
    MessageStart: _message_start,
    BlockStart: _block_start,
    TextDelta: _text_delta,
    CitationsDelta: _citations_delta,
    InputJsonDelta: _input_json_delta,
    ThinkingDelta: _thinking_delta,
    SignatureDelta: _signature_delta,
    BlockStop: _block_stop,
    MessageDelta: _message_delta,
    MessageStop: lambda _: _MESSAGE_STOP,
    Ping: lambda _: PING,
}
