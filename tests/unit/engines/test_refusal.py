"""An engine's own refusals."""

import pytest

from antiphon.engines.refusal import refusal


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"object":"error","message":"This model\'s maximum context length is 8192 tokens. However, you requested '
            b'9000 tokens (8000 in the messages, 1000 in the completion).","code":400}',
            "prompt is too long: 9000 tokens > 8192 maximum",
        ),
        (
            b'{"error":{"code":400,"message":"request (9000 tokens) exceeds the available context size (8192 tokens), '
            b'try increasing it","type":"exceed_context_size_error"}}',
            "prompt is too long: 9000 tokens > 8192 maximum",
        ),
        (b'{"error":{"message":"no such thing"}}', "The engine refused the request: no such thing"),
        (b'{"error":"no"}', "The engine refused the request: no"),
        (b"<html>", "The engine refused the request: <html>"),
        (b"[]", "The engine refused the request: []"),
        (b"\xff" * 1000, "The engine refused the request: " + "\ufffd" * 300),
    ],
)
def test_a_refusal_is_told_in_words_that_clients_know(content: bytes, message: str):
    assert refusal(content).message == message
