"""`/metrics` on a port of its own, for those who may look and hold no key. Whoever reaches the port may read it."""

import asyncio

from antiphon.core.clock import Clock
from antiphon.core.errors import OperatorError
from antiphon.telemetry.metrics import CONTENT_TYPE, Metrics

_MAX_HEAD_BYTES = 8 * 1024
_TIMEOUT_S = 10.0


class Exporter:
    """An open port, until `close`."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    @property
    def port(self) -> int:
        return self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """What is still being answered ends by itself."""
        self._server.close()


async def export(metrics: Metrics, host: str, port: int, clock: Clock) -> Exporter:
    """Serve `metrics` from now on. Raises OperatorError where the port cannot be had."""
    try:
        server = await asyncio.get_running_loop().create_server(lambda: _Scrape(metrics, clock), host, port)
    except OSError as error:
        raise OperatorError(
            f"Cannot listen on {host}:{port} for metrics ({error.strerror}): choose another metrics_port."
        ) from error
    return Exporter(server)


class _Scrape(asyncio.Protocol):
    """One request on one connection, within ten seconds: its answer, and the end."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._head = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._deadline = self._clock.call_later(_TIMEOUT_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        self._head += data
        if b"\r\n\r\n" in self._head:
            self._transport.write(self._answer(self._head.split(b"\r\n", 1)[0]))
            self._transport.close()
        elif len(self._head) > _MAX_HEAD_BYTES:
            self._transport.abort()

    def _answer(self, line: bytes) -> bytes:
        method, _, rest = line.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return _reply("405 Method Not Allowed", b"")
        if path != b"/metrics":
            return _reply("404 Not Found", b"the metrics are at /metrics\n")
        reply = _reply("200 OK", self._metrics.render())
        return reply if method == b"GET" else reply.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def _reply(status: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
