"""An engine of raw bytes: what a test tells it to say, it says, and nothing else."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Peer(asyncio.Protocol):
    """The engine's end of one connection."""

    out: asyncio.Transport

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._data = b""
        self.requests: list[bytes] = []
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.out = transport
        self._engine.peers.append(self)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, separator, body = self._data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if separator and len(body) >= int(length[1] if length else 0):
            self.requests.append(self._data)
            self._data = b""
            self._engine.on_request(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


OnRequest = Callable[[Peer], object]


def says(*parts: bytes) -> OnRequest:
    """Each request is answered with `parts`, all in one piece."""
    return lambda peer: peer.out.write(b"".join(parts))


def hangs_up_after(*parts: bytes) -> OnRequest:
    def answer(peer: Peer) -> None:
        peer.out.write(b"".join(parts))
        peer.out.close()

    return answer


def is_silent(peer: Peer) -> None:
    pass


class Engine:
    """A `Peer` for each connection that is made to it. `on_request` is called for each whole request."""

    def __init__(self, on_request: OnRequest) -> None:
        self.on_request = on_request
        self.peers: list[Peer] = []
        self.port = 0

    @property
    def num_requests(self) -> int:
        return sum(len(peer.requests) for peer in self.peers)

    async def all_lost(self) -> None:
        """Return when every connection has ended. Raises TimeoutError if one has leaked."""
        async with asyncio.timeout(2):
            for peer in self.peers:
                await peer.lost.wait()


@asynccontextmanager
async def engine(
    on_request: OnRequest, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Engine, None]:
    """At the end no connection may be left: whoever made one has closed it by then."""
    made = Engine(on_request)
    server = await asyncio.get_running_loop().create_server(lambda: Peer(made), host, 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
        await made.all_lost()
    finally:
        for peer in made.peers:
            peer.out.abort()
        server.close()
