"""Closed-loop load on one port over raw sockets: each connection sends its next request when its reply is whole."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import uvloop

TOKEN = b"antiphon"
"""What the mock says. Tokens are counted by this, so that a delta that carries several counts as several."""
_FAILED = b"event: error\n"
_GRACE_S = 30.0


@dataclass(slots=True)
class Load:
    """What came back. `first_s` are times to the first token; `gaps_s` lie between arrivals of tokens."""

    total_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    num_tokens: int = 0
    failures: list[bytes] = field(default_factory=list)
    wall_s: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.total_s) / self.wall_s

    @property
    def tokens_per_second(self) -> float:
        return self.num_tokens / self.wall_s


def run(port: int, request: bytes, *, connections: int, seconds: float, stagger_s: float = 0.0) -> Load:
    """Load for `seconds`; what is under way then is waited for and counts. `stagger_s` lies between the first requests.

    A reply that is not a whole 200 ends the bench: what fails fast must not pass for fast.
    """
    return uvloop.run(_run(port, request, connections, seconds, stagger_s))


async def _run(port: int, request: bytes, connections: int, seconds: float, stagger_s: float) -> Load:
    loop = asyncio.get_running_loop()
    load = Load()
    started = time.perf_counter()
    until = started + seconds
    clients: list[_Client] = []
    for number in range(connections):
        _, client = await loop.create_connection(lambda: _Client(request, until, load), "127.0.0.1", port)
        loop.call_later(number * stagger_s, client.send)
        clients.append(client)
    async with asyncio.timeout(seconds + _GRACE_S):
        await asyncio.gather(*(client.ended for client in clients))
    load.wall_s = time.perf_counter() - started
    if load.failures:
        reply = load.failures[0]
        raise SystemExit(f"bench: {len(load.failures)} replies failed, such as {reply[:200]!r} ... {reply[-1000:]!r}")
    return load


class _Client(asyncio.Protocol):
    """One connection of the load."""

    def __init__(self, request: bytes, until: float, load: Load) -> None:
        self._request = request
        self._until = until
        self._load = load
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self._load.failures.append(b"the connection was closed")
            self.ended.set_result(None)

    def send(self) -> None:
        self._chunks: list[bytes] = []
        self._is_whole: Callable[[bytes], bool] | None = None
        self._last_token_at = 0.0
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self._chunks.append(data)
        if TOKEN in data:
            self._note_token(now)
        if self._is_whole is None:
            self._is_whole = whole_of(data)
        if self._is_whole(data):
            self._finish(now)

    def _note_token(self, now: float) -> None:
        if self._last_token_at:
            self._load.gaps_s.append(now - self._last_token_at)
        else:
            self._load.first_s.append(now - self._sent_at)
        self._last_token_at = now

    def _finish(self, now: float) -> None:
        reply = b"".join(self._chunks)
        if reply.startswith(b"HTTP/1.1 200") and _FAILED not in reply:
            self._load.total_s.append(now - self._sent_at)
            self._load.num_tokens += reply.count(TOKEN)
        else:
            self._load.failures.append(reply)
        if now < self._until:
            self.send()
        else:
            self.ended.set_result(None)
            self._transport.close()


def whole_of(head: bytes) -> Callable[[bytes], bool]:
    """A function that is fed a reply's data by pieces, and is true when it is whole. `head` is the first piece."""
    end = head.find(b"\r\n\r\n") + 4
    if end < 4:
        raise ValueError(f"a reply's head came in pieces: {head!r}")
    at = head[:end].lower().find(b"content-length:")
    if at < 0:
        return _until_last_chunk()
    return _until_size(end + int(head[at + 15 : end].split(b"\r\n", 1)[0]))


def _until_size(size: int) -> Callable[[bytes], bool]:
    def feed(data: bytes) -> bool:
        nonlocal size
        size -= len(data)
        return size <= 0

    return feed


def _until_last_chunk() -> Callable[[bytes], bool]:
    tail = b""

    def feed(data: bytes) -> bool:
        nonlocal tail
        tail = data[-7:] if len(data) >= 7 else (tail + data)[-7:]
        return tail == b"\r\n0\r\n\r\n"

    return feed
