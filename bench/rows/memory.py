"""Row 8: resident memory."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.processes import exchange
from bench.report import Limit, Line
from bench.rows.latency import body_of
from bench.session import READY_BODY, Bench, Target, control

_NUM_WARM = 100
_SETTLE_S = 1.0


def resident(bench: Bench) -> list[Line]:
    """Idle, with streams open, and after they have ended; each gateway is a fresh one."""
    idle: dict[str, list[float]] = {}
    per_stream: dict[str, list[float]] = {}
    after: dict[str, list[float]] = {}
    for name in ["bare", *bench.ours]:
        child = bench.start(name)
        target = Target(name, child)
        child.wait_until_ready(target.request(READY_BODY))
        idle[name] = [child.rss_bytes / 1e6]
        for _ in range(_NUM_WARM):
            exchange(child.port, target.request(body_of(256, 1, stream=True)))
        warm = child.rss_bytes
        with _open_streams(bench, target):
            per_stream[name] = [(child.rss_bytes - warm) / 1e3 / bench.options.streams]
        time.sleep(_SETTLE_S)
        after[name] = [child.rss_bytes / warm]
        child.stop()
    num_streams = bench.options.streams
    lines: list[Line] = []
    for name in bench.ours:
        ratio = [idle[name][0] / idle["bare"][0]]
        lines.append(
            Line("8", "memory, idle without a model", "MB", idle, ratio, figure_of=f"{name}/bare", limit=Limit(2.5))
        )
        what = f"memory per open stream, {num_streams} open"
        lines.append(
            Line("8", what, "KB", per_stream, per_stream[name], figure_unit="KB", figure_of=name, limit=Limit(60))
        )
        what = f"memory after {num_streams} streams have ended / before"
        lines.append(Line("8", what, "x", after, after[name], figure_of=name, limit=Limit(1.1)))
    return lines


@contextmanager
def _open_streams(bench: Bench, target: Target) -> Iterator[None]:
    """Streams that have shown their first token and wait for the next; at the end all of them come to their own end."""
    control(bench.mock, is_held=True)
    request = target.request(body_of(256, 1, stream=True))
    with ExitStack() as stack:
        connections = [stack.enter_context(_stream(target.child.port, request)) for _ in range(bench.options.streams)]
        yield
        control(bench.mock, is_held=False)
        for connection in connections:
            _read_until(connection, b"\r\n0\r\n\r\n")


@contextmanager
def _stream(port: int, request: bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        _read_until(connection, b"antiphon")
        yield connection


def _read_until(connection: socket.socket, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        data = connection.recv(1 << 16)
        if not data:
            raise SystemExit("bench: a stream was cut while its memory was measured")
        seen += data
