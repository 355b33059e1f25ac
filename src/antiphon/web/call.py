"""One HTTP call: its head, its answer, and what is logged of it."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NewType
from urllib.parse import parse_qs

import orjson
from starlette.types import Receive, Scope, Send

from antiphon.core.clock import Clock, Timer
from antiphon.core.errors import ApiError
from antiphon.core.ids import new_id
from antiphon.core.scope import Principal
from antiphon.core.tasks import TaskGroup
from antiphon.encode.envelope import error_body
from antiphon.encode.sse import encode_error
from antiphon.settings import Settings
from antiphon.store.directory import MAX_AGE_S, Directory
from antiphon.telemetry import logs
from antiphon.web.body import body_timeout, charset, chunks_of, read_body
from antiphon.web.identity import Identities
from antiphon.web.place import place_headers
from antiphon.web.watch import Connection, Watch
from antiphon.wire.decode import codec_of, transcode
from antiphon.wire.events import Usage
from antiphon.wire.versions import Version

_Header = tuple[bytes, bytes]
_JSON: _Header = (b"content-type", b"application/json")


@dataclass(frozen=True)
class Shared:
    """What every call of a server has in common."""

    settings: Settings
    clock: Clock
    tasks: TaskGroup
    directory: Directory
    live: set[Watch]
    identities: Identities | None = None


@dataclass(slots=True)
class Outcome:
    """What there is to say of a call when it is over."""

    status: int = 0
    route: str = ""
    asked: str | None = None
    """The model as the client has named it."""
    model: str | None = None
    usage: Usage | None = None
    first_byte_s: float | None = None
    error: str | None = None

    def note(self, model: str, usage: Usage) -> None:
        self.asked, self.model, self.usage = self.model, model, usage


class Manners(NamedTuple):
    """How a door speaks: its errors, and the headers in which its replies carry the call's id."""

    refuse: Callable[[ApiError, str], tuple[int, Sequence[_Header], bytes]]
    """An error and the call's id as (status, headers, body)."""
    break_off: Callable[[ApiError, str], bytes]
    """The same as the last frame of a stream."""
    id_headers: tuple[bytes, ...] = (b"request-id",)
    id_prefix: str = "req"


def _refuse(error: ApiError, call_id: str) -> tuple[int, Sequence[_Header], bytes]:
    return error.kind.status, [_JSON, *headers_of(error)], orjson.dumps(error_body(error, call_id))


def headers_of(error: ApiError) -> list[_Header]:
    return [(name.encode(), value.encode()) for name, value in error.headers.items()]


NATIVE = Manners(_refuse, encode_error)


class PublicCall:
    """A call that needs no credential: a handler that takes one may be called by anybody."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, shared: Shared) -> None:
        self.scope = scope
        self.shared = shared
        self.connection: Connection = scope["antiphon.connection"]
        self.id = new_id("req")
        self.headers = _by_name(scope["headers"])
        self.started_at = shared.clock.monotonic()
        self.outcome = Outcome()
        self.is_streaming = False
        self.is_late = False
        """Whether it came when the server was about to end: then only the public is served."""
        self._has_started = False
        self.caller: Principal | None = None
        self.readmit: Callable[[PublicCall], Awaitable[object]] | None = None
        """Asks once more whether the caller's key works: a body may take a minute to come."""
        self.more_headers: Sequence[_Header] = ()
        """What every answer to this call says beside its own headers."""
        self.manners = NATIVE
        self.receive = receive
        self.send = send

    def adopt(self, manners: Manners) -> None:
        """Speak so from now on, and be known by an id of that kind."""
        self.manners = manners
        if manners.id_prefix != "req":
            self.id = manners.id_prefix + self.id.removeprefix("req")
            logs.request_id.set(self.id)

    @property
    def params(self) -> dict[str, str]:
        """The path's parameters."""
        return self.scope.get("path_params", {})

    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)

    def header(self, name: bytes) -> str | None:
        """The value of header `name` (lower case), or None."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def address(self) -> str | None:
        """The client's IP address, as the connection has it."""
        client = self.scope.get("client")
        return client[0] if client else None

    async def body(self, limit_bytes: int) -> bytes:
        """The body as UTF-8 JSON bytes. Raises 413, and 400 for an encoding or a charset that is not served."""
        content = transcode(await read_body(self.receive, self.headers, limit_bytes), charset(self.headers))
        if self.readmit and self._age_s() > MAX_AGE_S:
            await self.readmit(self)
        return content

    async def chunks(self, limit_bytes: int) -> AsyncGenerator[bytes, None]:
        """The body as it comes: `upload_timeout_s` for all of it, and `body_timeout_s` for each chunk.

        Raises 413, and 400 for an encoding and for a body that takes too long.
        """
        settings = self.shared.settings
        async for chunk in chunks_of(self.receive, self.headers, limit_bytes):
            if self._age_s() > settings.upload_timeout_s:
                raise body_timeout()
            self.connection.give_time(settings.body_timeout_s)
            yield chunk
        if self.readmit and self._age_s() > MAX_AGE_S:
            await self.readmit(self)

    async def text_chunks(self, limit_bytes: int) -> AsyncGenerator[bytes, None]:
        """The same as UTF-8: every charset that is served has one byte for each character."""
        codec = codec_of(charset(self.headers))
        async for chunk in self.chunks(limit_bytes):
            yield chunk if codec == "utf-8" else transcode(chunk, codec)

    def _age_s(self) -> float:
        return self.shared.clock.monotonic() - self.started_at

    def watch(self) -> Watch:
        return Watch(self.connection, self.shared.live)

    async def reply_json(self, data: Any, status: int = 200) -> None:
        await self.reply(orjson.dumps(data), status, [_JSON])

    async def reply(self, body: bytes, status: int, headers: Sequence[_Header]) -> None:
        length = (b"content-length", b"%d" % len(body))
        timer = self._begin_write()
        try:
            await self.start(status, [*headers, length])
            await self.send_part(body, is_last=True)
        finally:
            if timer:
                timer.cancel()

    async def reply_pieces(self, pieces: AsyncIterator[bytes], num_bytes: int, headers: Sequence[_Header]) -> None:
        """Answer with `num_bytes` that come in pieces."""
        await self.start(200, [*headers, (b"content-length", b"%d" % num_bytes)])
        async for piece in pieces:
            await self._send_in_time(piece)
        await self._send_in_time(b"", is_last=True)

    async def _send_in_time(self, piece: bytes, *, is_last: bool = False) -> None:
        """Cut the connection if the client does not take the piece."""
        timer = self.shared.clock.call_later(self.shared.settings.write_timeout_s, self.cut)
        try:
            await self.send_part(piece, is_last=is_last)
        finally:
            timer.cancel()

    async def fail(self, error: ApiError) -> None:
        """Answer with `error`: as the reply, or as the last event of a stream that has begun."""
        self.outcome.error = told(error)
        if self.is_streaming:
            await self._end_stream(self.manners.break_off(error, self.id))
            return
        if self._has_started:
            self.connection.abort()
            return
        status, headers, body = self.manners.refuse(error, self.id)
        await self.reply(body, status, headers)

    async def _end_stream(self, frame: bytes) -> None:
        timer = self._begin_write()
        try:
            await self.send_part(frame, is_last=True)
        finally:
            if timer:
                timer.cancel()

    def _begin_write(self) -> Timer | None:
        """Cut the connection if the client leaves what is written unread for too long. None where no write waits."""
        if not self.connection.is_clogged():
            return None
        return self.shared.clock.call_later(self.shared.settings.write_timeout_s, self.cut)

    def cut(self) -> None:
        """Close the connection at once, whatever is still unsent. The call then ends as one whose client has left."""
        self.outcome.error = "the client reads too slowly"
        self.connection.abort()

    async def start(self, status: int, headers: Sequence[_Header]) -> None:
        where = self.caller.scope if self.caller else self.shared.directory.home
        ids = [(name, self.id.encode()) for name in self.manners.id_headers]
        every = [*headers, *self.more_headers, *ids, *place_headers(where)]
        await self.send({"type": "http.response.start", "status": status, "headers": every})
        self.outcome.status, self._has_started = status, True

    async def send_part(self, body: bytes, *, is_last: bool = False) -> None:
        if self.outcome.first_byte_s is None:
            self.outcome.first_byte_s = self.shared.clock.monotonic() - self.started_at
        await self.send({"type": "http.response.body", "body": body, "more_body": not is_last})


class Call(PublicCall):
    """A call made with an API key, in one version of the API."""

    version: Version
    betas: frozenset[str]

    @property
    def principal(self) -> Principal:
        assert self.caller is not None
        return self.caller


AdminCall = NewType("AdminCall", Call)
"""A call made with an admin key: a handler that takes one is of the Admin API."""

CloudCall = NewType("CloudCall", Call)
"""A call made with an API key at a cloud's door: no header names the version, so `version` and `betas` are not set."""


def told(error: ApiError) -> str:
    """An error as the log names it."""
    return f"{error.kind.type}: {error.message}"


def _by_name(headers: Sequence[_Header]) -> dict[bytes, bytes]:
    """Headers by lower-case name; the values of one that is repeated are joined by commas (RFC 9110, 5.2)."""
    found = dict(headers)
    if len(found) == len(headers):
        return found
    found.clear()
    for name, value in headers:
        found[name] = found[name] + b"," + value if name in found else value
    return found
