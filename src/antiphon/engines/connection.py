"""HTTP/1.1 connections to an engine: llhttp's parser on asyncio's transports, and a pool of those that can be kept."""

import asyncio
import socket
import ssl
import sys

import httptools

from antiphon.core.errors import overloaded

_CONNECT_TIMEOUT_S = 5
_IDLE_S = 75
_MAX_IDLE = 64
_MAX_UNREAD_BYTES = 262_144
_MAX_HEAD_BYTES = 65_536
_KEEPALIVE = {"TCP_KEEPIDLE" if sys.platform == "linux" else "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""An engine's machine that is gone without a word is noticed after a minute; seconds, seconds, and number."""


class Broken(Exception):
    """The connection ended, or spoke no HTTP, before its reply was whole. `has_begun`: a byte of it had come."""

    def __init__(self, *, has_begun: bool) -> None:
        super().__init__("the connection to the engine ended too early")
        self.has_begun = has_begun


class Connection(asyncio.Protocol):
    """One request at a time: `send` it, then `read` the reply."""

    loop: asyncio.AbstractEventLoop
    """The one it lives on: to ask for the running one is a system call, and every request would make a few."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None
        self._is_lost = False
        self._reset()
        self._is_complete = True  # nothing has been asked, so nothing may come

    def _reset(self) -> None:
        self.status = 0
        self.is_encoded = False  # compressed, say
        self._body: list[bytes] = []
        self._num_unread_bytes = 0
        self._num_head_bytes = 0  # or of a trailer: all that has come since there was something to read
        self._has_begun = self._has_head = self._has_length = False
        self._is_complete = self._keeps_alive = False

    @property
    def is_reusable(self) -> bool:
        """Whether the request has left, its whole reply has come, and another may follow."""
        if self._is_lost or self._is_full or not (self._is_complete and self._keeps_alive):
            return False
        return not self._transport.is_closing() and not self._transport.get_write_buffer_size()

    @property
    def _is_full(self) -> bool:
        """Whether so much is unread that no more is taken in."""
        return self._num_unread_bytes > _MAX_UNREAD_BYTES

    async def send(self, request: bytes) -> None:
        """Return when the head of the reply has come, and with it its `status`. Raises Broken."""
        self._reset()
        if not self._is_lost:
            self._transport.write(request)
        while not self._has_head:
            await self._wait()

    async def read(self) -> bytes:
        """All of the body that has come since, at least one byte; b"" at its end. Raises Broken."""
        while not self._body:
            if self._is_complete:
                return b""
            await self._wait()
        if self._is_full:
            self._transport.resume_reading()
        content = b"".join(self._body)
        self._body, self._num_unread_bytes = [], 0
        return content

    async def read_all(self) -> bytes:
        """The rest of the body. Raises Broken."""
        parts: list[bytes] = []
        while part := await self.read():
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        """At once, whatever has not been read."""
        self._is_lost = True
        self._transport.abort()

    async def _wait(self) -> None:
        if self._is_lost:
            raise Broken(has_begun=self._has_begun)
        self._waiter = self.loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    # What the transport calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self.loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        made = transport.get_extra_info("socket")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def data_received(self, data: bytes) -> None:
        if self._is_complete:
            self.close()
            return
        self._has_begun = True
        self._num_head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.close()
        if self._num_head_bytes > _MAX_HEAD_BYTES:
            self.close()
        if self._is_full:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """A reply that tells no length ends here; any other breaks."""
        self._is_complete = self._is_complete or (self._has_head and not self._has_length)
        self._is_lost = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        del self._parser  # they hold each other
        self._wake()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._is_complete:
            raise ValueError("a second reply to one request")
        self.is_encoded = self._has_length = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            self._has_length = True
        elif name == b"content-encoding":
            self.is_encoded = value.lower() != b"identity"

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if not 100 <= status < 200:  # those only say that the reply is still to come
            self.status = status
            self._has_head, self._num_head_bytes = True, 0

    def on_body(self, body: bytes) -> None:
        self._body.append(body)
        self._num_unread_bytes += len(body)
        self._num_head_bytes = 0

    def on_message_complete(self) -> None:
        if self._has_head:
            self._is_complete = True
            self._keeps_alive = self._parser.should_keep_alive()


class Pool:
    """The connections to one host. Those that are good for another request are kept a while."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._address = (host, port)
        self._tls = tls
        self._open: set[Connection] = set()
        self._idle: list[tuple[Connection, float]] = []
        """Since when; the oldest first."""
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def take(self) -> Connection | None:
        """A connection that was kept and, as far as is known here, is still open."""
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.is_reusable:
                return connection
            self._drop(connection)
        return None

    async def connect(self) -> Connection:
        """A new connection. Raises `overloaded` if there is none to be had within 5 s."""
        if self._is_closed:
            raise overloaded()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(Connection, *self._address, ssl=self._tls)
        except OSError as error:  # a TimeoutError is one
            raise overloaded() from error
        self._open.add(connection)
        return connection

    def release(self, connection: Connection) -> None:
        """Keep `connection` if it is good for another request; close it at once if not."""
        if connection.is_reusable and len(self._idle) < _MAX_IDLE and not self._is_closed:
            self._idle.append((connection, connection.loop.time()))
            if not self._timer:
                self._look_in(_IDLE_S)
        else:
            self._drop(connection)

    def _look_in(self, seconds: float) -> None:
        """One timer for all that are idle, which costs a request nothing."""
        self._timer = asyncio.get_running_loop().call_later(seconds, self._drop_old)

    def _drop_old(self) -> None:
        self._timer = None
        old_at = asyncio.get_running_loop().time() - _IDLE_S
        while self._idle and self._idle[0][1] <= old_at:
            self._drop(self._idle.pop(0)[0])
        if self._idle:
            self._look_in(self._idle[0][1] - old_at)

    def close(self) -> None:
        """Close every connection, also those in use; there will be no others."""
        self._is_closed = True
        if self._timer:
            self._timer.cancel()
        self._idle.clear()
        for connection in self._open:
            connection.close()

    def _drop(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.close()
