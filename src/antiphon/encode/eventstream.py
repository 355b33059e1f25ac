"""Events as frames of AWS's event stream (`application/vnd.amazon.eventstream`), which every AWS SDK reads.

A frame: its length, the length of its headers, CRC-32 of these eight bytes, headers, payload, CRC-32 of all before it;
numbers are big-endian. Payloads are padded to a few lengths (`p`), so that a watcher cannot tell tokens by their size.
"""

import struct
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from zlib import crc32

import orjson

from antiphon.encode import sse
from antiphon.wire.events import Event, InputJsonDelta, MessageStop, Ping, SignatureDelta, TextDelta, ThinkingDelta

CONTENT_TYPE = b"application/vnd.amazon.eventstream"
_PADDING = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_GRAIN = len(_PADDING)
_STRING = b"\x07"
_NUM_FIXED_BYTES = 16
"""Both lengths and both checksums."""
_MAX_KEPT_BYTES = 4096


def encode(events: Sequence[Event], metrics: Callable[[], Mapping[str, int]]) -> bytes:
    """The `chunk` frames of `events`, joined: each holds one event of the Messages API.

    `metrics` is asked once, for the `amazon-bedrock-invocationMetrics` of the last one.
    """
    if isinstance(events[-1], MessageStop):
        return _chunks(events[:-1]) + _last_chunk(metrics())
    return _chunks(events)


def event(name: str, data: Mapping[str, Any]) -> bytes:
    """A frame of the event `name`; `data` has at least one member."""
    return seal(event_start(name), orjson.dumps(data)[:-1] + b",")


def exception(name: str, message: str) -> bytes:
    """The frame that ends a stream which has failed."""
    payload = orjson.dumps({"message": message})
    head, checksum = _Start("exception", name, b"").head(len(payload))
    return head + payload + crc32(payload, checksum).to_bytes(4, "big")


@lru_cache(maxsize=1024)
def event_start(name: str, begin: bytes = b"") -> "_Start":
    """What the frames of an event have in common, whose payloads all begin with `begin`."""
    return _Start("event", name, begin)


def seal(start: "_Start", rest: bytes) -> bytes:
    """The frame of a payload that begins as `start` does. `rest` ends with a comma: the padding comes behind it."""
    rest += _ENDS[(start.size + len(rest)) % _GRAIN]
    head, checksum = start.heads.get(len(rest)) or start.head(len(rest))
    return head + rest + crc32(rest, checksum).to_bytes(4, "big")


class _Start:
    """How a frame begins: its headers, and the `size` bytes of its payload that are always the same."""

    def __init__(self, kind: str, name: str, begin: bytes) -> None:
        self.heads: dict[int, tuple[bytes, int]] = {}
        self.size = len(begin)
        headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
        parts = [_header(name.encode(), value.encode()) for name, value in headers.items()]
        self._num_headers_bytes = sum(map(len, parts))
        self._constant = b"".join(parts) + begin

    def head(self, num_bytes: int) -> tuple[bytes, int]:
        """(all that comes before the last `num_bytes` of the payload, CRC-32 of that)."""
        size = _NUM_FIXED_BYTES + len(self._constant) + num_bytes
        lengths = struct.pack(">II", size, self._num_headers_bytes)
        before = lengths + struct.pack(">I", crc32(lengths)) + self._constant
        found = before, crc32(before)
        if size < _MAX_KEPT_BYTES:
            self.heads[num_bytes] = found
        return found


def _header(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + _STRING + struct.pack(">H", len(value)) + value


_ENDS = [b'"p":"' + _PADDING[: -(size + len(b'"p":""}')) % _GRAIN] + b'"}' for size in range(_GRAIN)]


def _chunks(events: Iterable[Event]) -> bytes:
    return b"".join([_FRAMES.get(type(event), _chunk)(event) for event in events])


_CHUNK = event_start("chunk", b'{"bytes":"')


def _chunk(event: Event) -> bytes:
    return seal(_CHUNK, b2a_base64(_json(event), newline=False) + b'",')


def _last_chunk(metrics: Mapping[str, int]) -> bytes:
    stop = orjson.dumps({"type": "message_stop", "amazon-bedrock-invocationMetrics": dict(metrics)})
    return seal(_CHUNK, b2a_base64(stop, newline=False) + b'",')


def _json(event: Event) -> bytes:
    """`event` as the native door writes it: one description serves both."""
    return sse.encode((event,)).split(b"data: ", 1)[1][:-2]


@lru_cache(maxsize=1024)
def _delta_start(kind: Callable[[int, str], Event], index: int) -> _Start:
    """The deltas of a block are the same up to their text; filled up to whole groups of base64."""
    before = _json(kind(index, "")).removesuffix(b'""}}')
    return event_start("chunk", b'{"bytes":"' + b2a_base64(before + b" " * (-len(before) % 3), newline=False))


def _rest(text: str) -> bytes:
    return b2a_base64(orjson.dumps(text) + b"}}", newline=False) + b'",'


_FRAMES: dict[type, Callable[[Any], bytes]] = {
    TextDelta: lambda event: seal(_delta_start(TextDelta, event.index), _rest(event.text)),
    InputJsonDelta: lambda event: seal(_delta_start(InputJsonDelta, event.index), _rest(event.partial_json)),
    ThinkingDelta: lambda event: seal(_delta_start(ThinkingDelta, event.index), _rest(event.thinking)),
    SignatureDelta: lambda event: seal(_delta_start(SignatureDelta, event.index), _rest(event.signature)),
}


PING = _chunk(Ping())
"""It breaks a silence: clients of InvokeModelWithResponseStream know this event from the Messages API."""
