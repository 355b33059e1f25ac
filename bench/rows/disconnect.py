"""Row 10: the client leaves, and the connection to the engine is closed."""

import socket
import struct
import time
from typing import Any

from bench.report import Limit, Line, percentile
from bench.rows.latency import body_of
from bench.session import Bench, Target, control

_LONG_MS = 60_000
_WAYS = ("RST", "FIN")
_NOW = struct.pack("ii", 1, 0)
_DEADLINE_S = 5.0

_MODES: dict[str, tuple[bool, dict[str, Any]]] = {
    "streaming": (True, {"pace_ms": _LONG_MS, "prefill_ms": 0}),
    "not streaming": (False, {"pace_ms": _LONG_MS, "prefill_ms": 0}),
    "during prefill": (True, {"pace_ms": 0, "prefill_ms": _LONG_MS}),
}


def until_closed(bench: Bench) -> list[Line]:
    (ours,) = bench.targets(["ours"])
    try:
        return [_line(bench, ours, mode, way) for mode in _MODES for way in _WAYS]
    finally:
        control(bench.mock, pace_ms=0, prefill_ms=0)


def _line(bench: Bench, target: Target, mode: str, way: str) -> Line:
    is_streaming, changes = _MODES[mode]
    control(bench.mock, **changes)
    request = target.request(body_of(256, 1, stream=is_streaming))
    times_ms = [
        _leave(bench, target, request, way, reads_token=mode == "streaming") for _ in range(bench.options.samples)
    ]
    p99 = percentile(times_ms, 0.99)
    line = Line("10", f"client gone to engine closed, {mode}, {way}", "ms", {"ours": times_ms}, [p99])
    line.figure_unit, line.figure_of, line.limit = "ms", "p99", Limit(100)
    line.notes.append(f"{len(times_ms)} samples, worst {max(times_ms):.1f} ms")
    return line


def _leave(bench: Bench, target: Target, request: bytes, way: str, *, reads_token: bool) -> float:
    """One call that the client leaves: ms until the mock sees its connection closed."""
    seen = len(control(bench.mock)["aborted_at"])
    with socket.create_connection(("127.0.0.1", target.child.port), timeout=_DEADLINE_S) as connection:
        connection.sendall(request)
        while reads_token and b"antiphon" not in connection.recv(1 << 16):
            pass
        _wait(bench, lambda state: state["open"] > 0)
        if way == "RST":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW)
        else:
            connection.shutdown(socket.SHUT_WR)
        left_at = time.monotonic()
    state = _wait(bench, lambda state: len(state["aborted_at"]) > seen)
    return (state["aborted_at"][-1] - left_at) * 1e3


def _wait(bench: Bench, is_so: Any) -> dict[str, Any]:
    deadline = time.monotonic() + _DEADLINE_S
    while not is_so(state := control(bench.mock)):
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: the engine did not see it within {_DEADLINE_S:g} s: {state}")
        time.sleep(0.0005)
    return state
