"""One streamed call of the Messages API at a time, timed: for engines that really compute."""

import re
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.load import whole_of

_TEXT = b"text_delta"
_OUTPUT_TOKENS = re.compile(rb'"output_tokens":\s*(\d+)')
_INPUT_TOKENS = re.compile(rb'"input_tokens":\s*(\d+)')
_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Answer:
    """`first_s` is the time to the first text; the counts are the last ones that the stream names."""

    first_s: float
    total_s: float
    num_input: int
    num_output: int


def ask(port: int, request: bytes) -> Answer:
    started = time.perf_counter()
    first_s = 0.0
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as connection:
        connection.sendall(request)
        reply = data = connection.recv(1 << 16)
        is_whole = whole_of(data)
        while not is_whole(data):
            if not first_s and _TEXT in reply:
                first_s = time.perf_counter() - started
            data = connection.recv(1 << 16)
            if not data:
                raise SystemExit(f"bench: a reply was cut: {reply[-500:]!r}")
            reply += data
    total_s = time.perf_counter() - started
    if not reply.startswith(b"HTTP/1.1 200") or _TEXT not in reply:
        raise SystemExit(f"bench: an engine refused: {reply[:1000]!r}")
    counts = [int(pattern.findall(reply)[-1]) for pattern in (_INPUT_TOKENS, _OUTPUT_TOKENS)]
    return Answer(first_s or total_s, total_s, counts[0], counts[1])


def ask_together(port: int, requests: Sequence[bytes]) -> float:
    """Output tokens per second of all `requests` at once."""
    started = time.perf_counter()
    with ThreadPoolExecutor(len(requests)) as threads:
        answers = list(threads.map(lambda request: ask(port, request), requests))
    return sum(answer.num_output for answer in answers) / (time.perf_counter() - started)
