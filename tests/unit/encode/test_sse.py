"""Frames: one line of data each, whatever the text."""

import json

from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.errors import overloaded
from antiphon.encode import sse
from antiphon.wire.events import BlockStop, MessageStop, Ping, TextDelta


@given(st.text())
def test_any_text_is_one_frame_that_says_it(text: str):
    frame = sse.encode([TextDelta(3, text)])
    name, data = frame.decode().removesuffix("\n\n").split("\n")
    assert name == "event: content_block_delta"
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "content_block_delta",
        "index": 3,
        "delta": {"type": "text_delta", "text": text},
    }


def test_the_constant_frames():
    assert sse.encode([Ping()]) == b'event: ping\ndata: {"type": "ping"}\n\n'
    assert sse.encode([MessageStop()]) == b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert sse.encode([BlockStop(2)]) == b'event: content_block_stop\ndata: {"type":"content_block_stop","index":2}\n\n'


def test_an_error_is_an_event_with_the_envelope():
    name, data = sse.encode_error(overloaded(), "req_1").decode().removesuffix("\n\n").split("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "Overloaded"},
        "request_id": "req_1",
    }
