"""Pieces become events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.errors import ApiError
from antiphon.encode import sse
from antiphon.encode.collect import Collector
from antiphon.turn.assemble import Assembler, Plan
from antiphon.turn.pieces import Piece, Progress, Stop
from antiphon.wire.events import Event, Message, MessageDelta, TextDelta
from tests.fixtures import streams


def run(bursts: list[list[Piece]], **plan: object) -> list[Event]:
    assembler = Assembler(Plan(**({"message_id": "msg_1", "model": "m", "num_input": 7} | LIMITS | plan)))  # type: ignore[arg-type]
    events = assembler.start()
    for burst in bursts:
        events += assembler.feed(burst)
        if assembler.is_done:
            return events
    assembler.check_done()
    return events


LIMITS = {"max_tokens": 100, "max_output": 100}
END = Piece("", 3, stop=Stop("end"))


def fold(events: list[Event]) -> Message:
    collector = Collector()
    collector.feed(events)
    return collector.message


def names(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_the_order_of_a_stream():
    events = run([[Piece(progress=Progress(0, 7, 0))], [Piece("a", 1), Piece("b", 2)], [Piece("c", 3)], [END]])
    assert names(events) == [
        "MessageStart",
        "BlockStart",
        "Ping",
        "TextDelta",
        "TextDelta",
        "BlockStop",
        "MessageDelta",
        "MessageStop",
    ]


def test_what_is_ready_together_is_one_delta():
    events = run([[Piece("a", 1), Piece("b", 2), Piece("c", 3, stop=Stop("end"))]])
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["abc"]


def test_a_reply_without_text_has_no_block_and_counts_a_token():
    events = run([[Piece("", 1, stop=Stop("end"))]])
    message = fold(events)
    assert (message.content, message.stop_reason, message.usage.output_tokens) == ([], "end_turn", 1)


@pytest.mark.parametrize(
    ("plan", "cause", "reason"),
    [
        ({}, "end", "end_turn"),
        ({}, "length", "max_tokens"),
        ({"max_output": 60}, "length", "model_context_window_exceeded"),
        ({"max_output": 60}, "end", "end_turn"),
    ],
)
def test_the_stop_reason(plan: dict, cause, reason: str):
    assert fold(run([[Piece("x", 1, stop=Stop(cause))]], **plan)).stop_reason == reason


def test_an_engine_that_estimates_brings_the_truth_in_the_end():
    events = run([[Piece("x", 1)], [Piece("", 5, stop=Stop("end", num_input=11))]])
    assert (fold(events).usage.input_tokens, fold(events).usage.output_tokens) == (11, 5)


def test_output_that_ends_without_a_stop_is_an_error():
    with pytest.raises(ApiError):
        run([[Piece("x", 1)]])


def test_the_engine_is_not_fed_after_a_stop_sequence():
    events = run([[Piece("one ST", 1)], [Piece("OP two", 2), Piece("never", 3)]], stop_sequences=["STOP"])
    message = fold(events)
    assert (message.content[0]["text"], message.stop_sequence, message.usage.output_tokens) == ("one ", "STOP", 2)


@given(
    st.lists(st.lists(st.text("abST", max_size=4), min_size=1, max_size=4), max_size=6),
    st.lists(st.sampled_from(["ST", "bS", "TT"]), max_size=2),
    st.sampled_from(["end", "length"]),
)
def test_every_stream_keeps_the_rules_and_folds_to_its_own_text(texts: list[list[str]], stops: list[str], cause):
    counter = iter(range(1, 1000))
    bursts = [[Piece(text, next(counter)) for text in burst] for burst in texts]
    events = run([*bursts, [Piece("", next(counter), stop=Stop(cause))]], stop_sequences=stops)
    parsed = streams.parse(sse.encode(events))
    streams.check(parsed)
    streams.check_input_is_kept(parsed)
    whole = "".join(text for burst in texts for text in burst)
    message = fold(events)
    text = message.content[0]["text"] if message.content else ""
    assert streams.text_of(parsed) == text
    assert whole.startswith(text)
    assert not any(stop in text for stop in stops)
    if message.stop_reason != "stop_sequence":
        assert text == whole
    (delta,) = [event for event in events if isinstance(event, MessageDelta)]
    assert (delta.stop_sequence is not None) == (delta.stop_reason == "stop_sequence")
