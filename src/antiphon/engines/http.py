"""The HTTP connection to an engine, shared by its dialects. Leaving a stream closes the connection at once."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

import aiohttp
import orjson
from yarl import URL

from antiphon.core.errors import ApiError, Kind, internal, overloaded
from antiphon.engines.refusal import refusal

_CONNECT_TIMEOUT_S = 5
_BUSY = (429, 503, 529)
_REFUSED = (400, 413, 422)
_MAX_REFUSAL_BYTES = 65_536
_INSTANT_S = 1.0
_KEEPALIVE = {"TCP_KEEPIDLE" if sys.platform == "linux" else "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""An engine's machine that is gone without a word is noticed after a minute; seconds, seconds, and number."""


class Upstream:
    """An engine's base URL. Make it on the running loop; `key` goes as a bearer token."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._urls: dict[str, URL] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=75, socket_factory=_socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {}),
            skip_auto_headers=("accept", "accept-encoding", "user-agent"),
            auto_decompress=False,
        )

    async def status_of(self, path: str) -> int:
        """What a GET of `path` is answered with. Raises `overloaded` while the engine is away or busy."""
        return (await self._request("GET", path, None))[0]

    async def get_json(self, path: str) -> Any:
        return await self._json("GET", path, None)

    async def post_json(self, path: str, data: Any) -> Any:
        return await self._json("POST", path, data)

    async def _json(self, method: str, path: str, data: Any) -> Any:
        """The reply's JSON. Raises `overloaded` while the engine is away or busy, `internal` for any other failure."""
        status, content = await self._request(method, path, None if data is None else orjson.dumps(data))
        _check_status(status)
        with reading():
            return orjson.loads(content)

    async def _request(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        try:
            async with await self._open(method, path, body, limit=_SMALL) as response:
                content = await response.read()
        except aiohttp.ClientError as error:
            raise overloaded() from error
        except TimeoutError as error:
            raise ApiError(Kind.TIMEOUT, "Request timed out") from error
        if response.status in _BUSY:
            raise overloaded()
        return response.status, content

    async def post_and_wait(self, path: str, data: Any) -> Any:
        """The JSON of a reply that takes as long as it takes. Leaving the call closes the connection.

        Raises `overloaded` if the engine refused the work, `internal` if it failed.
        """
        response = await self._begin(path, data)
        try:
            return orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise internal() from error
        finally:
            response.close()

    async def _open(
        self, method: str, path: str, body: bytes | None, *, limit: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """The reply's head. Asked once more if a connection that was kept turns out to be closed: engines do so after
        a few idle seconds, and llama.cpp often after a stream, without a word. One that breaks later than at once may
        have taken a computation with it, and is not asked again."""
        loop = asyncio.get_running_loop()
        asked_at, opened = loop.time(), list[int]()
        _opened.set(opened)
        try:
            return await self._ask(method, path, body, limit)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            if opened or loop.time() - asked_at > _INSTANT_S:
                raise
            return await self._ask(method, path, body, limit)

    async def _ask(
        self, method: str, path: str, body: bytes | None, limit: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        if self._session.closed:
            raise overloaded()
        url = self._urls.get(path) or self._urls.setdefault(path, URL(self._url + path, encoded=True))
        return await self._session.request(method, url, data=body, timeout=limit, allow_redirects=False)

    @asynccontextmanager
    async def stream(self, path: str, data: Any) -> AsyncGenerator[DataLines, None]:
        """POST `data` and read the events of the reply. Leaving the context closes the connection."""
        response = await self._begin(path, data)
        try:
            yield DataLines(response)
        finally:
            response.close()

    async def _begin(self, path: str, data: Any) -> aiohttp.ClientResponse:
        """The head of a reply that is good so far; whoever asked closes it."""
        try:
            response = await self._open("POST", path, orjson.dumps(data), limit=_UNBOUNDED)
        except (aiohttp.ClientConnectorError, TimeoutError) as error:
            raise overloaded() from error
        except aiohttp.ClientError as error:
            raise internal() from error
        if response.status != 200:
            await _refuse(response)
        return response

    async def aclose(self) -> None:
        await self._session.close()


_SMALL = aiohttp.ClientTimeout(total=60, sock_connect=_CONNECT_TIMEOUT_S)
"""For what an engine answers without computing; a stream may take as long as it takes."""
_UNBOUNDED = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S)

_opened: ContextVar[list[int]] = ContextVar("the sockets that were opened for a request, by their numbers")


def _socket(address: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
    made = socket.socket(*address[:3])
    _opened.get().append(made.fileno())
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


@contextmanager
def reading() -> Generator[None]:
    """Whatever an engine says that has not the expected shape is `internal`."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise internal() from error


class DataLines:
    """The `data:` lines of a stream of server-sent events; a line that a chunk cuts waits for its rest."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._content = response.content
        self._rest = b""

    async def read(self) -> list[bytes]:
        """The payloads of all lines that have arrived, at least one; [] at the end. Raises `internal` if it breaks."""
        while chunk := await self._read_chunk():
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            if payloads := _payloads(lines):
                return payloads
        last, self._rest = self._rest, b""
        return _payloads([last])

    async def _read_chunk(self) -> bytes:
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise internal() from error


def _payloads(lines: list[bytes]) -> list[bytes]:
    return [line[5:].strip() for line in lines if line.startswith(b"data:")]


async def _refuse(response: aiohttp.ClientResponse) -> NoReturn:
    """Raise what an engine's status, and the words of a 4xx, mean to the caller."""
    try:
        if response.status in _BUSY:
            raise overloaded()
        if response.status in _REFUSED:
            raise refusal(await response.content.read(_MAX_REFUSAL_BYTES))
        raise internal()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise internal() from error
    finally:
        response.close()


def _check_status(status: int) -> None:
    if status in _BUSY:
        raise overloaded()
    if status != 200:
        raise internal()
