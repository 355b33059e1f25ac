"""The HTTP server: uvicorn, with deadlines for what it waits for, and a drain on SIGTERM."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Generator
from typing import Literal
from urllib.parse import unquote

import httptools
import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from antiphon.core.clock import Clock, Timer, sleep
from antiphon.core.errors import ApiError, OperatorError, invalid
from antiphon.core.ids import new_id
from antiphon.encode.envelope import error_body
from antiphon.settings import Settings
from antiphon.web.body import body_timeout
from antiphon.web.call import PublicCall, told
from antiphon.web.cycle import Cycle
from antiphon.web.door import Door
from antiphon.web.watch import Connection

_HEAD_TIMEOUT_S = 10.0
_MAX_HEAD_BYTES = 64 * 1024
_KEEP_ALIVE_S = 75
_POLL_S = 0.02
_GOODBYE_S = 2.0
_LINGER_S = 10.0
_DATE_EVERY_S = 1.0
_FRAMING = (b"content-length", b"transfer-encoding")


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OperatorError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY on each accepted connection; without it, it does not.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise OperatorError(
            f"Cannot listen on {host}:{port} ({error.strerror}): choose another with --port."
        ) from error
    listener.setblocking(False)
    return listener


class Server:
    """Serves `door` on `listener` until `stop` has been called and the running calls have ended."""

    def __init__(self, door: Door, listener: socket.socket, settings: Settings, clock: Clock) -> None:
        self._door = door
        self._listener = listener
        self._settings = settings
        self._clock = clock
        self._uvicorn = _Uvicorn(_config(door, settings, clock))
        self._stopping = asyncio.Event()
        self._is_hurried = False

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def stop(self) -> None:
        """Begin to drain; called again, end at once."""
        self._is_hurried = self._stopping.is_set()
        self._stopping.set()

    def stop_on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)

    async def serve(self) -> None:
        serving = self._door.shared.tasks.spawn(self._uvicorn.serve(sockets=[self._listener]), "server")
        stopping = self._door.shared.tasks.spawn(self._stopping.wait(), "stopping")
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await self._drain()
        self._uvicorn.end(is_hurried=self._is_hurried)
        await serving
        if not self._stopping.is_set():
            raise RuntimeError("the HTTP server ended by itself")

    async def _drain(self) -> None:
        """Refuse what is new, let what runs finish, and at the deadline end it with an `error` event."""
        self._door.drain()
        if not await self._all_ended(self._settings.drain_s):
            self._door.abort_all()
            self._is_hurried = False
            await self._all_ended(_GOODBYE_S)

    async def _all_ended(self, seconds: float) -> bool:
        deadline = self._clock.monotonic() + seconds
        while self._door.num_open and not self._is_hurried and self._clock.monotonic() < deadline:
            await sleep(self._clock, _POLL_S)
        return not self._door.num_open


def _config(door: Door, settings: Settings, clock: Clock) -> uvicorn.Config:
    class Protocol(_Protocol):
        body_timeout_s = settings.body_timeout_s

    Protocol.door, Protocol.clock = door, clock
    return uvicorn.Config(
        door,  # type: ignore[arg-type]
        http=Protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=3,
    )


class _Uvicorn(uvicorn.Server):
    """uvicorn looks ten times a second whether it is to end, and then waits for a tenth: this one is told."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    def end(self, *, is_hurried: bool) -> None:
        self.should_exit, self.force_exit = True, is_hurried
        self._ending.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # which renews the date of the replies
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), _DATE_EVERY_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in [*self.servers, *(sockets or [])]:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await _let_connections_close()
        try:
            await asyncio.wait_for(self._wait_tasks_to_complete(), self.config.timeout_graceful_shutdown)
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are `Server.stop_on_signals`'s."""
        yield


async def _let_connections_close() -> None:
    """An idle one is gone two turns of the loop after it was told."""
    for _ in range(2):
        await asyncio.sleep(0)  # noqa: TID251 - no time passes


_Part = Literal["head", "body"]


class _Protocol(HttpToolsProtocol):
    """uvicorn waits for a request without end; this one has an absolute deadline for its head and for its body."""

    body_timeout_s: float
    clock: Clock
    door: Door
    _deadline: Timer | None = None
    _num_head_bytes = 0
    _awaited: _Part | None = None
    _is_in_head = True
    _is_deaf = False
    _is_repeating = False
    _idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._connection = Connection(transport.abort, lambda: self.flow.write_paused, self.loop)
        self._connection.give_time = self._give_time
        self._wait_for("head")

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._connection.lose()

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        if self._is_in_head:
            self._num_head_bytes += len(data)
        self._parse(data)
        if self.transport.is_closing():
            return
        if self._is_in_head and self._num_head_bytes > _MAX_HEAD_BYTES:
            self.send_400_response("The request's head is too large.")
        else:
            self._wait_for(self._missing())

    def _missing(self) -> _Part | None:
        """What the client still has to send. Bytes that begin no request count as the beginning of a head."""
        if not self._is_in_head:
            return "body"
        return None if self._is_running() else "head"

    def _wait_for(self, part: _Part | None) -> None:
        """Absolute deadlines: they start when a part is first missed, and bytes that trickle do not move them. A
        request that comes in one piece, as most do, arms none."""
        if part == self._awaited:
            return
        self._awaited = part
        self._disarm()
        if part:
            self._arm(_HEAD_TIMEOUT_S if part == "head" else self.body_timeout_s)

    def _give_time(self, seconds: float) -> None:
        if self._awaited == "body":
            self._arm(seconds)

    def _parse(self, data: bytes) -> None:
        """As uvicorn does, but for an upgrade (h2c, as Java's client asks for): that is ignored, and the body kept."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _ignore_upgrade(self, rest: bytes) -> None:
        """RFC 9110, 7.8. The parser would stop here: a fresh one is told the same head without the upgrade."""
        kept = [(name, value) for name, value in self.headers if name in _FRAMING]
        head = b"".join([b"%b: %b\r\n" % header for header in kept])
        self.parser = httptools.HttpRequestParser(self)
        self._is_repeating = True
        self.url, self.headers = b"", []  # the running call keeps its own
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % head)
        self._is_repeating = False
        self._parse(rest)

    def on_message_begin(self) -> None:
        if self._is_repeating:
            return
        if self._is_running():
            # A second request before the first is answered: nobody needs it, and it would keep us from hearing the
            # client leave. The first is answered, and the connection closed.
            self._is_deaf = True
            self.cycle.keep_alive = False
            self.url, self.headers = b"", []  # the running call keeps its own
            return
        super().on_message_begin()
        self._is_in_head = True

    def on_body(self, body: bytes) -> None:
        if not self._is_deaf:
            super().on_body(body)

    def on_headers_complete(self) -> None:
        if self._is_deaf or self._is_repeating:
            return
        self._begin_call()
        self._is_in_head, self._num_head_bytes = False, 0

    def _begin_call(self) -> None:
        """As uvicorn does, but with a cycle of our own, and without what we have no use for."""
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        http_version = self.parser.get_http_version()
        request = {
            "method": self.parser.get_method().decode("ascii"),
            "http_version": http_version,
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "antiphon.connection": self._connection,
        }
        self.scope.update(request)  # type: ignore[typeddict-item]
        self.cycle = Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=http_version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self._start_asgi_task(self.cycle, self.door)  # type: ignore[arg-type]

    def on_message_complete(self) -> None:
        if self._is_deaf or (self.parser.should_upgrade() and not self._is_repeating):
            return
        super().on_message_complete()
        self._is_in_head = True
        self.flow.resume_reading()  # a large body paused it, and a client that leaves is only seen while we read

    def on_response_complete(self) -> None:
        self._awaited = None
        self.flow.resume_reading()
        if self.transport.is_closing():  # it waits for the client to read what is left: not for ever
            self._arm(_GOODBYE_S)
        elif self.cycle.more_body:  # nobody wants the rest of this body, but the client may want to read the answer
            self._awaited = "body"
            self._disarm()
            self._arm(_LINGER_S)
        else:
            self._idle_since = self.loop.time()
            if not self.timeout_keep_alive_task:
                self._keep_for(_KEEP_ALIVE_S)

    def _keep_for(self, seconds: float) -> None:
        """One timer for the connection, not one for each request: it looks again when it finds that one has come."""
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._awaited or self._is_running():
            return
        left_s = _KEEP_ALIVE_S - (self.loop.time() - self._idle_since)
        if left_s > 0:
            self._keep_for(left_s)
        else:
            self.transport.abort()

    def _is_running(self) -> bool:
        # uvicorn's annotation hides that there is no cycle before the first request
        return bool(self.cycle) and not self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """uvicorn's own answer to what is no HTTP."""
        self._refuse(invalid(msg))

    def _refuse(self, error: ApiError) -> None:
        """Answer in the API's envelope where there is no call that could, and close."""
        if self._is_running() and self.cycle.response_started:
            self.transport.abort()
            return
        request_id = self._blame(error)
        body = orjson.dumps(error_body(error, request_id))
        home = self.door.shared.directory.home
        head = (
            f"HTTP/1.1 {error.kind.status} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"request-id: {request_id}\r\nanthropic-organization-id: {home.organization_id}\r\n"
            f"anthropic-workspace-id: {home.workspace_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _blame(self, error: ApiError) -> str:
        """The id of the request that is refused. It is in the log, by the call that runs for it or by itself."""
        call: PublicCall | None = self.cycle.scope.get("antiphon.call") if self._is_running() else None
        if call is None:
            request_id = new_id("req")
            self.door.record_refusal(request_id, error)
            return request_id
        call.outcome.status, call.outcome.error = error.kind.status, told(error)
        return call.id

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.clock.call_later(seconds, self._expire)

    def _disarm(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        if self._is_in_head or not self._is_running():
            self.transport.abort()
        else:
            self._refuse(body_timeout())
