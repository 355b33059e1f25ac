"""The connection to an engine."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

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
