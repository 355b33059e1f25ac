"""The connection to an engine."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from antiphon.core.errors import ApiError, Kind
from antiphon.engines.http import Upstream

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Fickle(asyncio.Protocol):
    """Answers the first request of each connection, and closes it at the second without a word."""

    num_requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.num_answered = transport, 0
        assert isinstance(transport, asyncio.Transport)
        self.out = transport

    def data_received(self, data: bytes) -> None:
        Fickle.num_requests += 1
        if self.num_answered:
            self.out.close()
        else:
            self.num_answered += 1
            self.out.write(OK)


class Html(asyncio.Protocol):
    """Answers everything with a page."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.out = transport

    def data_received(self, data: bytes) -> None:
        self.out.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>")


class Crashing(Html):
    """Closes each connection `after_s` of a request for `/work`."""

    after_s = 0.0
    num_requests = 0

    def data_received(self, data: bytes) -> None:
        if b"/work" not in data:
            self.out.write(OK)
            return
        Crashing.num_requests += 1
        asyncio.get_running_loop().call_later(self.after_s, self.out.close)


class Silent(asyncio.Protocol):
    """Takes everything and answers nothing."""


@asynccontextmanager
async def upstream(protocol: type[asyncio.Protocol]) -> AsyncGenerator[Upstream]:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    client = Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield client
    finally:
        await client.aclose()
        server.close()


async def test_a_kept_connection_that_was_closed_is_no_failure():
    async with upstream(Fickle) as client:
        for _ in range(4):
            assert await client.post_json("/x", {}) == {}
    assert Fickle.num_requests > 4, "no connection was ever kept"


async def test_an_engine_that_does_not_answer_is_a_504(monkeypatch: pytest.MonkeyPatch):
    import aiohttp

    from antiphon.engines import http

    monkeypatch.setattr(http, "_SMALL", aiohttp.ClientTimeout(total=0.05))
    async with upstream(Silent) as client:
        with pytest.raises(ApiError) as late:
            await client.get_json("/props")
    assert late.value.kind is Kind.TIMEOUT


async def _work(client: Upstream) -> None:
    async with client.stream("/work", {}):
        pass


async def test_a_new_connection_that_breaks_is_not_asked_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Crashing, "num_requests", 0)
    async with upstream(Crashing) as client:
        with pytest.raises(ApiError) as failed:
            await _work(client)
    assert failed.value.kind is Kind.INTERNAL
    assert Crashing.num_requests == 1


@pytest.mark.parametrize(("after_s", "num_requests"), [(0.0, 2), (0.3, 1)])
async def test_only_what_breaks_at_once_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, after_s: float, num_requests: int
):
    from antiphon.engines import http

    monkeypatch.setattr(http, "_INSTANT_S", 0.2)
    monkeypatch.setattr(Crashing, "num_requests", 0)
    monkeypatch.setattr(Crashing, "after_s", after_s)
    async with upstream(Crashing) as client:
        await client.get_json("/props")
        with pytest.raises(ApiError):
            await _work(client)
    assert Crashing.num_requests == num_requests


async def test_a_page_instead_of_json_is_an_internal_error():
    async with upstream(Html) as client:
        with pytest.raises(ApiError) as failed:
            await client.get_json("/props")
    assert failed.value.kind is Kind.INTERNAL


async def test_a_session_that_was_closed_is_an_engine_that_is_away():
    async with upstream(Fickle) as client:
        await client.aclose()
        with pytest.raises(ApiError) as refused:
            await client.post_json("/x", {})
        with pytest.raises(ApiError) as dropped:
            await _work(client)
    assert (refused.value.kind, dropped.value.kind) == (Kind.OVERLOADED, Kind.OVERLOADED)


async def test_an_engine_s_machine_that_vanishes_is_noticed():
    async with upstream(Fickle) as client:
        await client.get_json("/props")
        connector: Any = client._session.connector
        ((protocol, _),) = next(iter(connector._conns.values()))
        made = protocol.transport.get_extra_info("socket")
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
