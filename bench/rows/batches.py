"""Row 11: batches on the scripted engine: how fast they drain beside the same calls one by one, and what they hold."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench import load
from bench.processes import GATEWAY_CORE, KEY, Child
from bench.report import Limit, Line, over
from bench.rows.latency import body_of
from bench.session import Bench, Target

QUIET_S = 1.5
"""A batch waits until nobody has called for a while."""
_DEADLINE_S = 3600.0
"""For the longest batch of all, on a slow machine."""
_NUM_CONNECTIONS = 32
_NUM_DRAINED = 10_000
_NUM_LARGE = 100_000
_LARGE_BYTES = 100_000_000
PATH = "/v1/messages/batches"
HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01", "content-type": "application/json"}


def drained(bench: Bench) -> list[Line]:
    """Calls and batches take turns on one server; a batch is measured from its body's first byte to its end."""
    child = _start(bench, "batches")
    body = body_of(256, 1) | {"model": "echo"}
    direct: list[float] = []
    drain: list[float] = []
    grown: list[float] = []
    for number in range(bench.options.rounds + 1):
        target = Target("direct", child)
        found = load.run(
            child.port, target.request(body), connections=_NUM_CONNECTIONS, seconds=bench.options.seconds
        ).per_second
        time.sleep(QUIET_S)
        before = child.rss_bytes
        rate, peak = _drain(child, body)
        if number:  # the first round warms up
            direct.append(found)
            drain.append(rate)
            grown.append((peak - before) / 1e6)
    child.stop()
    rates = {"direct": direct, "ours": drain}
    return [
        Line(
            "11",
            f"{_NUM_DRAINED:,} items of a batch, SQLite",
            "items/s",
            rates,
            over(drain, direct),
            figure_of="batch/direct",
            limit=Limit(0.7, is_least=True),
        ),
        Line("11", "memory grown by it", "MB", {"ours": grown}, grown, "MB", "ours", Limit(60)),
    ]


def created(bench: Bench) -> list[Line]:
    """One large batch, sent as it is made, to a server that does not work on it."""
    child = _start(bench, "batch-create", ANTIPHON_BATCH_WORKER="false")
    text = "word " * (_LARGE_BYTES // _NUM_LARGE // 5 - 24)
    body = body_of(16, 1) | {"model": "echo", "messages": [{"role": "user", "content": text}]}
    small = b"".join(_body(body, 10))
    _send(child, lambda: iter([small]))
    before = child.rss_bytes
    peak = before

    def pieces() -> Iterator[bytes]:
        nonlocal peak
        for number, piece in enumerate(_body(body, _NUM_LARGE)):
            if number % 1000 == 0:
                peak = max(peak, child.rss_bytes)
            yield piece

    num_bytes = sum(map(len, _body(body, _NUM_LARGE)))
    began_at = time.monotonic()
    _send(child, pieces)
    took_s = [time.monotonic() - began_at]
    grown = [(max(peak, child.rss_bytes) - before) / 1e6]
    child.stop()
    what = f"to make a batch of {_NUM_LARGE:,} items, {num_bytes / 1e6:.0f} MB"
    return [
        Line("11", what, "s", {"ours": took_s}, took_s, "s", "ours", Limit(20)),
        Line("11", f"memory {what}", "MB", {"ours": grown}, grown, "MB", "ours", Limit(150)),
    ]


def rows(bench: Bench) -> list[Line]:
    return [*drained(bench), *created(bench)]


def _start(bench: Bench, name: str, **env: str) -> Child:
    child = bench.stage.antiphon(name, "--fake", source=bench.options.source, core=GATEWAY_CORE, **env)
    child.wait_until_ready(Target(name, child).request(body_of(16, 1) | {"model": "echo"}))
    return child


def _drain(child: Child, body: dict[str, Any]) -> tuple[float, int]:
    """(items per second, the most memory that was seen)."""
    memory = [child.rss_bytes]
    began_at = time.monotonic()
    batch_id = _send(child, lambda: _body(body, _NUM_DRAINED))
    wait_until(child, batch_id, has_ended, 0.05, lambda: memory.append(child.rss_bytes))
    rate = _NUM_DRAINED / (time.monotonic() - began_at)
    ask(child, "DELETE", f"{PATH}/{batch_id}")
    return rate, max(memory)


def wait_until(
    child: Child,
    batch_id: str,
    is_so: Callable[[dict[str, Any]], bool],
    pause_s: float,
    note: Callable[[], object] = int,
) -> None:
    """Look at a batch until it is so; `note` is called after each look that has found it otherwise."""
    deadline = time.monotonic() + _DEADLINE_S
    while not is_so(ask(child, "GET", f"{PATH}/{batch_id}")):
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: the batch {batch_id} is not as it should be after {_DEADLINE_S:.0f} s")
        note()
        time.sleep(pause_s)


def has_ended(batch: dict[str, Any]) -> bool:
    return batch["processing_status"] == "ended"


def _body(params: dict[str, Any], num: int) -> Iterator[bytes]:
    """The body of a batch in pieces."""
    text = json.dumps(params)
    yield b'{"requests":['
    for number in range(num):
        yield f'{"," if number else ""}{{"custom_id":"i{number}","params":{text}}}'.encode()
    yield b"]}"


def _send(child: Child, pieces: Callable[[], Iterator[bytes]]) -> str:
    """Make a batch; its id."""
    length = sum(map(len, pieces()))

    def joined() -> Iterator[bytes]:
        held = bytearray()
        for piece in pieces():
            held += piece
            if len(held) > 1 << 16:
                yield bytes(held)
                held.clear()
        yield bytes(held)

    return ask(child, "POST", PATH, joined(), length)["id"]


def ask(child: Child, method: str, path: str, body: Any = None, length: int = 0) -> dict[str, Any]:
    """The JSON of a reply."""
    connection = http.client.HTTPConnection("127.0.0.1", child.port, timeout=120)
    try:
        connection.request(method, path, body, HEADERS | ({"content-length": str(length)} if body else {}))
        reply = connection.getresponse()
        answer = json.loads(reply.read())
    finally:
        connection.close()
    if reply.status != 200:
        raise SystemExit(f"bench: {method} {path} was answered with {reply.status}: {answer}")
    return answer
