"""HTTP to an engine, shared by its dialects. Leaving a stream closes its connection at once."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import SplitResult, quote, unquote, urlsplit

import orjson

from antiphon.core.errors import ApiError, Kind, OperatorError, internal, overloaded
from antiphon.engines.connection import Broken, Connection, Pool
from antiphon.engines.refusal import refusal

_SMALL_S = 60
"""For what an engine answers without computing; a stream may take as long as it takes."""
_INSTANT_S = 1.0
_BUSY = (429, 503, 529)
_REFUSED = (400, 413, 422)
_MAX_REFUSAL_BYTES = 65_536
_PORTS = {"http": 80, "https": 443}


class Upstream:
    """An engine's base URL; `key` goes as a bearer token. No redirect is followed, and no cookie kept."""

    def __init__(self, url: str, key: str | None = None) -> None:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        self._pool = Pool(parts.hostname or "", port, ssl.create_default_context() if parts.scheme == "https" else None)
        self._base = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        self._head = _head(parts, key)

    async def status_of(self, path: str) -> int:
        """What a GET of `path` is answered with. Raises `overloaded` while the engine is away or busy."""
        return (await self._exchange("GET", path, None))[0]

    async def get_json(self, path: str) -> Any:
        return await self._json("GET", path, None)

    async def post_json(self, path: str, data: Any) -> Any:
        return await self._json("POST", path, orjson.dumps(data))

    async def _json(self, method: str, path: str, body: bytes | None) -> Any:
        """The reply's JSON. Raises `overloaded` while the engine is away or busy, `internal` for any other failure."""
        status, content = await self._exchange(method, path, body)
        if status != 200:
            raise internal()
        with reading():
            return orjson.loads(content)

    async def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(_SMALL_S):
                reply = await self._ask(method, path, body)
                try:
                    content = await reply.read_all()
                finally:
                    self._pool.release(reply)
        except Broken as error:
            raise overloaded() from error
        except TimeoutError as error:
            raise ApiError(Kind.TIMEOUT, "Request timed out") from error
        if reply.status in _BUSY:
            raise overloaded()
        if reply.is_encoded:
            raise internal()
        return reply.status, content

    async def post_and_wait(self, path: str, data: Any) -> Any:
        """The JSON of a reply that takes as long as it takes. Leaving the call closes the connection.

        Raises `overloaded` if the engine refused the work, `internal` if it failed.
        """
        reply = await self._begin(path, data)
        try:
            return orjson.loads(await reply.read_all())
        except (Broken, ValueError) as error:
            raise internal() from error
        finally:
            self._pool.release(reply)

    @asynccontextmanager
    async def stream(self, path: str, data: Any) -> AsyncGenerator[DataLines, None]:
        """POST `data` and read the events of the reply. Leaving the context closes the connection."""
        reply = await self._begin(path, data)
        try:
            yield DataLines(reply)
        finally:
            self._pool.release(reply)

    async def _begin(self, path: str, data: Any) -> Connection:
        """The head of a reply that is good so far; whoever asked releases it."""
        try:
            reply = await self._ask("POST", path, orjson.dumps(data))
        except Broken as error:
            raise internal() from error
        if reply.status != 200 or reply.is_encoded:
            try:
                await _refuse(reply)
            finally:
                self._pool.release(reply)
        return reply

    async def _ask(self, method: str, path: str, body: bytes | None) -> Connection:
        """The reply's head. Asked once more if a connection that was kept turns out to be closed: engines do so after
        a few idle seconds, and llama.cpp often after a stream, without a word. One that breaks later than at once may
        have taken a computation with it, and is not asked again."""
        request = self._request(method, path, body)
        if kept := self._pool.take():
            asked_at = kept.loop.time()
            try:
                return await self._send(kept, request)
            except Broken as error:
                if error.has_begun or kept.loop.time() - asked_at > _INSTANT_S:
                    raise
        return await self._send(await self._pool.connect(), request)

    async def _send(self, connection: Connection, request: bytes) -> Connection:
        try:
            await connection.send(request)
        except BaseException:
            self._pool.release(connection)
            raise
        return connection

    def _request(self, method: str, path: str, body: bytes | None) -> bytes:
        line = f"{method} {self._base}{path} HTTP/1.1\r\n".encode("ascii")
        length = b"" if body is None else b"Content-Length: %d\r\n" % len(body)
        return b"%b%b%b\r\n%b" % (line, self._head, length, body or b"")

    async def aclose(self) -> None:
        self._pool.close()


def _head(url: SplitResult, key: str | None) -> bytes:
    """The header fields that all requests share. Raises OperatorError if they would not stay in their lines."""
    fields = [f"Host: {_host(url)}", "Content-Type: application/json"]
    if credentials := _credentials(url, key):
        fields.append(f"Authorization: {credentials}")
    if not all(map(str.isprintable, fields)):
        raise OperatorError("The engine's URL or its key contains a character that HTTP cannot send.")
    return "".join(f"{field}\r\n" for field in fields).encode()


def _host(url: SplitResult) -> str:
    """As the Host field names it: in ASCII, with the port unless that goes without saying."""
    try:
        host = (url.hostname or "").encode("idna").decode("ascii")
    except UnicodeError as error:
        raise OperatorError(f"{url.hostname} cannot be the name of the engine's host.") from error
    host = f"[{host}]" if ":" in host else host
    return host if url.port in (None, _PORTS[url.scheme]) else f"{host}:{url.port}"


def _credentials(url: SplitResult, key: str | None) -> str | None:
    if key:
        return f"Bearer {key}"
    if url.username is None:
        return None
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return f"Basic {b64encode(pair.encode()).decode('ascii')}"


async def _refuse(reply: Connection) -> NoReturn:
    """Raise what an engine's status, and the words of a 4xx, mean to the caller."""
    if reply.status in _BUSY:
        raise overloaded()
    if reply.status not in _REFUSED or reply.is_encoded:
        raise internal()
    content = b""
    try:
        async with asyncio.timeout(_SMALL_S):
            while len(content) < _MAX_REFUSAL_BYTES and (part := await reply.read()):
                content += part
    except (Broken, TimeoutError) as error:
        raise internal() from error
    raise refusal(content[:_MAX_REFUSAL_BYTES])


class _Reading:
    """A class, for a reply of an engine is read for each burst: a generator would cost more than the reading."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, ValueError | LookupError | TypeError | AttributeError):
            raise internal() from error


_READING = _Reading()


def reading() -> AbstractContextManager[None]:
    """Whatever an engine says that has not the expected shape is `internal`."""
    return _READING


class DataLines:
    """The `data:` lines of a stream of server-sent events; a line that a chunk cuts waits for its rest."""

    def __init__(self, reply: Connection) -> None:
        self._reply = reply
        self._rest = b""

    async def read(self) -> list[bytes]:
        """The payloads of all lines that have arrived, at least one; [] at the end. Raises `internal` if it breaks."""
        try:
            while chunk := await self._reply.read():
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                if payloads := _payloads(lines):
                    return payloads
        except Broken as error:
            raise internal() from error
        last, self._rest = self._rest, b""
        return _payloads([last])


def _payloads(lines: list[bytes]) -> list[bytes]:
    return [line[5:].strip() for line in lines if line.startswith(b"data:")]
