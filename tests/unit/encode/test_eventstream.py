"""Frames of AWS's event stream, read back by botocore's own decoder."""

import base64
import json
from typing import Any

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from antiphon.encode import eventstream, sse
from antiphon.wire.events import (
    BlockStart,
    BlockStop,
    Event,
    InputJsonDelta,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
    Usage,
)
from tests.fixtures import streams

_INDEX, _TEXT, _COUNT = st.integers(0, 1000), st.text(), st.integers(0, 10**9)
EVENTS = st.one_of(
    *(st.builds(kind, _INDEX, _TEXT) for kind in (TextDelta, InputJsonDelta, ThinkingDelta, SignatureDelta)),
    st.builds(BlockStart, _INDEX, st.fixed_dictionaries({"type": st.just("text"), "text": _TEXT})),
    st.builds(BlockStop, _INDEX),
    st.builds(MessageStart, _TEXT, _TEXT, st.builds(Usage, _COUNT, _COUNT)),
    st.builds(MessageDelta, st.just("end_turn"), st.none() | _TEXT, st.builds(Usage, _COUNT, _COUNT)),
    st.just(Ping()),
    st.just(MessageStop()),
)
METRICS = {"inputTokenCount": 3, "outputTokenCount": 5, "invocationLatency": 7, "firstByteLatency": 1}


def read(raw: bytes) -> list[Any]:
    """The messages that botocore finds in `raw`."""
    buffer = EventStreamBuffer()
    buffer.add_data(raw)
    return list(buffer)


def encode(*events: Event) -> bytes:
    return eventstream.encode(events, lambda: METRICS)


def told(message: Any) -> dict[str, Any]:
    """The event of the Messages API in a chunk."""
    assert message.headers == {
        ":event-type": "chunk",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return json.loads(base64.b64decode(json.loads(message.payload)["bytes"], validate=True))


@given(st.lists(EVENTS, min_size=1, max_size=8))
def test_botocore_reads_what_the_native_door_says(events: list[Event]):
    native = streams.parse(sse.encode(events))
    if isinstance(events[-1], MessageStop):
        native[-1]["amazon-bedrock-invocationMetrics"] = METRICS
    assert [told(message) for message in read(encode(*events))] == native


@given(st.lists(EVENTS, min_size=1, max_size=4), st.data())
def test_a_stream_cut_anywhere_is_its_whole_frames(events: list[Event], data: st.DataObject):
    whole = encode(*events)
    cut = data.draw(st.integers(0, len(whole)))
    found, all_of_it = read(whole[:cut]), read(whole)
    assert [message.payload for message in found] == [message.payload for message in all_of_it[: len(found)]]
    assert len(found) < len(all_of_it) or cut == len(whole)


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_byte_that_was_changed_is_noticed(place: int, change: int):
    raw = bytearray(encode(TextDelta(0, "hello")))
    raw[place % len(raw)] ^= change
    try:
        found = read(bytes(raw))
    except ChecksumMismatch:
        return
    except ValueError:  # a length that no frame may have
        return
    assert not found


@given(EVENTS, st.integers(1, 7))
def test_it_does_not_matter_how_the_bytes_arrive(event: Event, size: int):
    raw, buffer, found = encode(event, TextDelta(0, "x")), EventStreamBuffer(), []
    for start in range(0, len(raw), size):
        buffer.add_data(raw[start : start + size])
        found += list(buffer)
    assert len(found) == 2


def test_short_tokens_all_look_alike_from_outside():
    assert len({len(encode(TextDelta(0, "x" * num_chars))) for num_chars in range(12)}) == 1


@pytest.mark.parametrize("text", ["", "x" * 100_000, "\u2028\x00\U0001f600"])
def test_any_length_is_padded_to_the_grain(text: str):
    (message,) = read(encode(TextDelta(0, text)))
    assert len(message.payload) % 62 == 0
    assert set(json.loads(message.payload)) == {"bytes", "p"}


@given(st.dictionaries(st.text(min_size=1), st.text(), min_size=1))
def test_an_event_of_any_name_says_its_data(data: dict[str, str]):
    (message,) = read(eventstream.event("contentBlockDelta", data))
    assert message.headers[":event-type"] == "contentBlockDelta"
    assert json.loads(message.payload) == data | {"p": json.loads(message.payload)["p"]}


def test_an_exception_has_its_name_and_its_words():
    (message,) = read(eventstream.exception("throttlingException", "Slow down."))
    assert message.headers == {
        ":exception-type": "throttlingException",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    assert json.loads(message.payload) == {"message": "Slow down."}
    assert message.to_response_dict()["status_code"] == 400
