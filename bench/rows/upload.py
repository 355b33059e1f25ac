"""Row `upload`: a file of 500 MB, beside a plain copy on the same disk. Both are on the disk when they are done."""

import json
import os
import socket
import time
from pathlib import Path

from bench.load import whole_of
from bench.processes import KEY, Child, exchange
from bench.report import Limit, Line, over
from bench.session import READY_BODY, Bench, Target

_NUM_BYTES = 500 * 1000 * 1000
_PIECE_BYTES = 1 << 20
_BOUNDARY = "of-the-bench"
_PART = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'.encode()
_END = f"\r\n--{_BOUNDARY}--\r\n".encode()


def of_a_large_file(bench: Bench) -> list[Line]:
    source = bench.stage.folder / "large.bin"
    _fill(source)
    speeds: dict[str, list[float]] = {name: [] for name in ("copy", *bench.ours)}
    added: dict[str, list[float]] = {name: [] for name in bench.ours}
    children = {name: bench.start(name) for name in bench.ours}
    for name, child in children.items():
        child.wait_until_ready(Target(name, child).request(READY_BODY))
        _upload(child, source, 1_000_000)
    for _ in range(bench.options.rounds):
        speeds["copy"].append(_copy(source))
        for name, child in children.items():
            before = child.begin_peak()
            speeds[name].append(_upload(child, source, _NUM_BYTES))
            added[name].append((child.peak_bytes - before) / 1e6)
    return [line for name in bench.ours for line in _lines(name, speeds, added)]


def _lines(name: str, speeds: dict[str, list[float]], added: dict[str, list[float]]) -> list[Line]:
    ratio = over(speeds[name], speeds["copy"])
    what = "upload of 500 MB, to a copy with fsync"
    fast = Line("upload", what, "MB/s", speeds, ratio, figure_of=f"{name}/copy", limit=Limit(0.5, is_least=True))
    small = Line(
        "upload", "memory added by it, at its peak", "MB", added, added[name], figure_unit="MB", figure_of=name
    )
    small.limit = Limit(40)
    return [fast, small]


def _fill(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(_NUM_BYTES // 1_000_000):
            file.write(os.urandom(1_000_000))
        os.fsync(file.fileno())


def _copy(source: Path) -> float:
    """MB/s of the plainest program."""
    target = source.with_name("copy.bin")
    started = time.perf_counter()
    with source.open("rb") as reading, target.open("wb") as writing:
        while piece := reading.read(_PIECE_BYTES):
            writing.write(piece)
        writing.flush()
        os.fsync(writing.fileno())
    seconds = time.perf_counter() - started
    target.unlink()
    return _NUM_BYTES / 1e6 / seconds


def _upload(child: Child, source: Path, num_bytes: int) -> float:
    """MB/s. The file is deleted again, and that is not timed."""
    length = len(_PART) + num_bytes + len(_END)
    kind = f"content-type: multipart/form-data; boundary={_BOUNDARY}\r\ncontent-length: {length}\r\n"
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", child.port), timeout=120) as connection, source.open("rb") as file:
        connection.sendall(_head("POST", "/v1/files", kind) + _PART)
        connection.sendfile(file, count=num_bytes)
        connection.sendall(_END)
        reply = _read(connection)
    seconds = time.perf_counter() - started
    made = json.loads(reply.partition(b"\r\n\r\n")[2])
    if made.get("size_bytes") != num_bytes:
        raise SystemExit(f"bench: an upload was answered with {made}")
    exchange(child.port, _head("DELETE", f"/v1/files/{made['id']}", ""))
    return num_bytes / 1e6 / seconds


def _head(method: str, path: str, more: str) -> bytes:
    own = f"x-api-key: {KEY}\r\nanthropic-version: 2023-06-01\r\nconnection: close\r\n"
    return f"{method} {path} HTTP/1.1\r\nhost: bench\r\n{own}{more}\r\n".encode()


def _read(connection: socket.socket) -> bytes:
    reply = data = connection.recv(1 << 16)
    is_whole = whole_of(data)
    while not is_whole(data):
        data = connection.recv(1 << 16)
        reply += data
    return reply
