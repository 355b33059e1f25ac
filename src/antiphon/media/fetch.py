"""Gets files that strangers name, from the public net only (threat: server-side request forgery).

A name is looked up once. All of its addresses are judged, and the connection goes to one of those, so a name that means
something else a moment later gains nothing. Each redirect is a new name.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from socket import SOCK_STREAM
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import httptools

from antiphon.media.addresses import Address, Rules, literal, may_ask

log = logging.getLogger("antiphon.media")

TOTAL_S = 20.0
_CONNECT_S = 5.0
_MAX_REDIRECTS = 5
_MAX_HEAD_BYTES = 65_536
_MAX_URL_CHARS = 8_192
_CHUNK_BYTES = 65_536
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_SAFE = "/%:@!$&'()*+,;=~-._?[]"

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
"""All addresses of a name. Raises OSError if it has none."""


class Unreachable(Exception):
    """The file cannot be had. Its text is for the operator's log: it may tell what lies inside."""


class TooLong(Exception):
    """`num_bytes` of it were announced, or had come."""

    def __init__(self, num_bytes: int) -> None:
        super().__init__(num_bytes)
        self.num_bytes = num_bytes


async def look_up(host: str, port: int) -> Sequence[Address]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
    return list(dict.fromkeys(ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found))


class Fetcher:
    """`rules` say who may be asked."""

    def __init__(self, rules: Rules, resolve: Resolve = look_up, tls: ssl.SSLContext | None = None) -> None:
        self._rules = rules
        self._resolve = resolve
        self._tls = tls

    async def fetch(self, url: str, max_bytes: int) -> bytes:
        """The file at `url`. Raises Unreachable for whatever went wrong, and TooLong."""
        try:
            async with asyncio.timeout(TOTAL_S):
                return await self._follow(url, max_bytes)
        except (
            OSError,
            httptools.HttpParserError,
            EOFError,
            UnicodeError,
            ValueError,
        ) as error:  # a timeout is an OSError
            raise Unreachable(f"{type(error).__name__}: {error}") from error

    async def _follow(self, url: str, max_bytes: int) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            place = await self._place(url)
            reply = await self._get(place, max_bytes)
            if reply.status not in _REDIRECTS:
                return _content(reply)
            if not reply.location:
                raise Unreachable("a redirect to nowhere")
            url = urljoin(url, reply.location)
        raise Unreachable("too many redirects")

    async def _place(self, url: str) -> "_Place":
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or len(url) > _MAX_URL_CHARS:
            raise Unreachable("not an http or https URL")
        if parts.username is not None or parts.password is not None:
            raise Unreachable("a URL with credentials")
        host, port = parts.hostname, parts.port or _PORTS[parts.scheme]
        name = host if ":" in host else host.encode("idna").decode("ascii")
        address = literal(name)
        addresses = [address] if address else await self._resolve(name, port)
        if not may_ask(self._rules, name, addresses):
            raise Unreachable(f"{name} is at an address that may not be asked")
        return _Place(parts, name, port, addresses)

    async def _get(self, place: "_Place", max_bytes: int) -> "_Reply":
        reader, writer = await self._connect(place)
        reply = _Reply(max_bytes)
        try:
            writer.write(_request(place))
            await writer.drain()
            while not reply.is_over and (data := await reader.read(_CHUNK_BYTES)):
                reply.feed(data)
            if not reply.is_whole:
                raise EOFError("the reply broke off")
            return reply
        finally:
            writer.transport.abort()

    async def _connect(self, place: "_Place") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To one of the very addresses that were judged; TLS checks the certificate against the name."""
        tls = (self._tls or ssl.create_default_context()) if place.url.scheme == "https" else None
        error: OSError = ConnectionError("no address")
        for address in place.addresses:
            try:
                async with asyncio.timeout(_CONNECT_S):
                    name = place.host if tls else None
                    return await asyncio.open_connection(str(address), place.port, ssl=tls, server_hostname=name)
            except OSError as failure:
                error = failure
        raise error


class _Place(NamedTuple):
    """Where a URL leads."""

    url: SplitResult
    host: str
    port: int
    addresses: Sequence[Address]


def _request(place: _Place) -> bytes:
    path = quote(place.url.path or "/", safe=_SAFE)
    query = f"?{quote(place.url.query, safe=_SAFE)}" if place.url.query else ""
    host = f"[{place.host}]" if ":" in place.host else place.host
    port = "" if place.port == _PORTS[place.url.scheme] else f":{place.port}"
    head = f"GET {path}{query} HTTP/1.1\r\nHost: {host}{port}\r\nUser-Agent: antiphon\r\nAccept: */*\r\n"
    return f"{head}Accept-Encoding: identity\r\nConnection: close\r\n\r\n".encode("ascii")


class _Reply:
    """What llhttp finds. Only the body of a 200 is kept."""

    def __init__(self, max_bytes: int) -> None:
        self.status = 0
        self.location = ""
        self.is_encoded = False
        self.is_over = False
        self._max_bytes = max_bytes
        self._has_length = False
        self._num_head_bytes = self._num_announced = self._num_bytes = 0
        self._parts: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    @property
    def is_whole(self) -> bool:
        """Once the connection has ended: a reply that tells no length ends with it."""
        return self.is_over or (bool(self.status) and not self._has_length)

    @property
    def body(self) -> bytes:
        return b"".join(self._parts)

    def feed(self, data: bytes) -> None:
        if not self.status:
            self._num_head_bytes += len(data)
        if self._num_head_bytes > _MAX_HEAD_BYTES + _CHUNK_BYTES:
            raise ValueError("the head of the reply does not end")
        with suppress(httptools.HttpParserUpgrade):
            self._parser.feed_data(data)
        if self.status == 200 and max(self._num_announced, self._num_bytes) > self._max_bytes:
            raise TooLong(max(self._num_announced, self._num_bytes))

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"location":
            self.location = value.decode("utf-8")
        elif name == b"content-encoding":
            self.is_encoded = value.lower() != b"identity"
        elif name == b"content-length":
            self._has_length, self._num_announced = True, int(value)
        elif name == b"transfer-encoding":
            self._has_length = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:  # the others only say that the reply is still to come
            self.status = status
            self.is_over = status != 200

    def on_body(self, body: bytes) -> None:
        if self._num_bytes <= self._max_bytes:
            self._parts.append(body)
            self._num_bytes += len(body)

    def on_message_complete(self) -> None:
        self.is_over = bool(self.status)


def _content(reply: _Reply) -> bytes:
    if reply.status != 200:
        raise Unreachable(f"status {reply.status}")
    if reply.is_encoded:
        raise Unreachable("a content encoding that nobody asked for")
    return reply.body
