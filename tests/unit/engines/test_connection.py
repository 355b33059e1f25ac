"""One connection to an engine, and the pool of them, on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from antiphon.core.errors import ApiError, Kind
from antiphon.engines import connection as connections
from antiphon.engines.connection import Broken, Connection, Pool
from tests.unit.engines.peer import OK, Engine, OnRequest, Peer, engine, hangs_up_after, is_silent, says

GET = b"GET / HTTP/1.1\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def pool_of(on_request: OnRequest) -> AsyncGenerator[tuple[Pool, Engine]]:
    async with engine(on_request) as peer:
        pool = Pool("127.0.0.1", peer.port, None)
        try:
            yield pool, peer
        finally:
            pool.close()


async def ask(pool: Pool) -> tuple[int, bytes]:
    """Status and body; the connection goes back to the pool."""
    connection = pool.take() or await pool.connect()
    try:
        await connection.send(GET)
        return connection.status, await connection.read_all()
    finally:
        pool.release(connection)


def drips(reply: bytes) -> OnRequest:
    """Each byte comes alone."""

    def drip(peer: Peer, rest: bytes) -> None:
        if rest:
            peer.out.write(rest[:1])
            asyncio.get_running_loop().call_later(0.0005, drip, peer, rest[1:])

    return lambda peer: drip(peer, reply)


@pytest.mark.parametrize("say", [says, drips])
@pytest.mark.parametrize(
    ("reply", "expected", "is_kept"),
    [
        (HEAD + b"Content-Length: 5\r\n\r\nhello", (200, b"hello"), True),
        (HEAD + b"content-length: 0\r\n\r\n", (200, b""), True),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", (200, b"hello"), True),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-cost: 7\r\n\r\n", (200, b"hello"), True),
        (HEAD + b"content-length: 5\r\nconnection: close\r\n\r\nhello", (200, b"hello"), False),
        (HEAD + b"content-length: 5\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nhello", (200, b"hello"), True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b""), True),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", (304, b""), True),
        (b"HTTP/1.1 404\r\ncontent-length: 0\r\n\r\n", (404, b""), True),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", (200, b"hello"), False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\nhello", (200, b"hello"), True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, (200, b"{}"), True),
        (b"HTTP/1.1 103 Early Hints\r\ncontent-encoding: x\r\ncontent-length: 9\r\n\r\n" * 3 + OK, (200, b"{}"), True),
    ],
)
async def test_a_reply_however_it_is_framed(say: Any, reply: bytes, expected: Any, is_kept: bool):
    async with pool_of(say(reply)) as (pool, peer):
        assert await ask(pool) == expected
        assert await ask(pool) == expected
        assert len(peer.peers) == (1 if is_kept else 2)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("body", [b"hello", b""])
@pytest.mark.parametrize("hints", [b"", b"HTTP/1.1 103 Early Hints\r\ncontent-length: 9\r\n\r\n"])
async def test_a_reply_without_a_length_ends_with_its_connection(version: bytes, body: bytes, hints: bytes):
    async with pool_of(hangs_up_after(hints, b"HTTP/" + version + b" 200 OK\r\n\r\n", body)) as (pool, peer):
        assert await ask(pool) == (200, body)
        assert await ask(pool) == (200, body)
        assert len(peer.peers) == 2


@pytest.mark.parametrize(
    ("reply", "has_begun"),
    [
        (b"", False),
        (b"H", True),
        (HEAD, True),
        (HEAD + b"content-length: 5\r\n\r\nhell", True),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", True),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n", True),
    ],
)
async def test_a_reply_that_breaks_off(reply: bytes, has_begun: bool):
    async with pool_of(hangs_up_after(reply)) as (pool, _):
        with pytest.raises(Broken) as broken:
            await ask(pool)
    assert broken.value.has_begun is has_begun


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"<html>",
        b"POST / HTTP/1.1\r\n\r\n",
        b"HTTP/3.7 200 OK\r\n\r\n",
        HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n",
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nnone\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_break(reply: bytes):
    async with pool_of(says(reply)) as (pool, _):
        with pytest.raises(Broken) as broken:
            await ask(pool)
    assert broken.value.has_begun


@pytest.mark.parametrize(
    ("start", "endless"),
    [
        (HEAD, b"x-pad: " + b"x" * 1000 + b"\r\n"),
        (HEAD + b"x-pad: ", b"x" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"x-trailer: " + b"x" * 1000 + b"\r\n"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n1;", b"x" * 1000),
    ],
)
async def test_a_head_without_end_is_a_break(start: bytes, endless: bytes):
    def pour(peer: Peer) -> None:
        if not peer.out.is_closing():
            peer.out.write(endless)
            asyncio.get_running_loop().call_later(0.0002, pour, peer)

    def answer(peer: Peer) -> None:
        peer.out.write(start)
        pour(peer)

    async with pool_of(answer) as (pool, _):
        with pytest.raises(Broken):
            await asyncio.wait_for(ask(pool), 5)


async def test_bytes_that_nobody_asked_for_end_a_connection():
    async with pool_of(says(OK, OK)) as (pool, peer):
        assert await ask(pool) == await ask(pool) == (200, b"{}")
        assert len(peer.peers) == 2


@pytest.mark.parametrize("what", [b"H", b"\r\n", b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"", None])
async def test_a_kept_connection_that_was_ended_or_spoken_on_is_not_used_again(what: bytes | None):
    async with pool_of(says(OK)) as (pool, peer):
        await ask(pool)
        out = peer.peers[0].out
        if what:
            out.write(what)
        elif what is None:
            out.abort()
        else:
            out.write_eof()
        await asyncio.wait_for(peer.peers[0].lost.wait(), 1)
        await asyncio.sleep(0.01)
        assert await ask(pool) == (200, b"{}")
        assert [len(each.requests) for each in peer.peers] == [1, 1]


async def test_bytes_before_the_first_request_are_not_its_reply():
    async with pool_of(says(OK)) as (pool, peer):
        connection = await pool.connect()
        await asyncio.sleep(0.01)
        peer.peers[0].out.write(OK)
        await asyncio.sleep(0.01)
        with pytest.raises(Broken):
            await connection.send(GET)
        pool.release(connection)


async def test_a_connection_is_kept_for_a_while(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "_IDLE_S", 0.05)
    async with pool_of(says(OK)) as (pool, peer):
        await ask(pool)
        await ask(pool)
        assert len(peer.peers) == 1
        await asyncio.wait_for(peer.peers[0].lost.wait(), 1)
        await ask(pool)
        assert len(peer.peers) == 2


async def test_a_connection_in_use_is_not_closed_for_having_been_idle(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "_IDLE_S", 0.05)
    async with pool_of(says(OK)) as (pool, peer):
        await ask(pool)
        peer.on_request = lambda slow: asyncio.get_running_loop().call_later(0.1, slow.out.write, OK)
        assert await ask(pool) == (200, b"{}")
        assert len(peer.peers) == 1


async def test_no_more_than_64_connections_are_kept():
    async with pool_of(says(OK)) as (pool, peer):
        await asyncio.gather(*(ask(pool) for _ in range(80)))
        assert len(peer.peers) == 80
        await asyncio.sleep(0.05)
        assert sum(not each.lost.is_set() for each in peer.peers) == 64


async def test_a_body_that_nobody_reads_is_not_taken_in():
    size = 8_000_000
    async with pool_of(says(HEAD, b"content-length: %d\r\n\r\n" % size, b"x" * size)) as (pool, peer):
        connection = await pool.connect()
        await connection.send(GET)
        await asyncio.sleep(0.2)
        assert 262_144 < connection._num_unread_bytes < 1_000_000
        assert peer.peers[0].out.get_write_buffer_size() > 0
        assert len(await connection.read_all()) == size
        pool.release(connection)
        assert pool.take() is connection
        pool.release(connection)


async def test_a_reply_that_is_left_unread_ends_its_connection():
    size = 300_000
    async with pool_of(says(HEAD, b"content-length: %d\r\n\r\n" % size, b"x" * size)) as (pool, _):
        connection = await pool.connect()
        await connection.send(GET)
        await asyncio.sleep(0.05)
        pool.release(connection)
        assert pool.take() is None


async def test_a_reply_before_the_request_has_left_ends_the_connection():
    def refuse(peer: Peer) -> None:
        peer.out.write(OK)
        peer.out.pause_reading()

    async with pool_of(refuse) as (pool, peer):
        connection = await pool.connect()
        await connection.send(GET + b"x" * 20_000_000)
        assert await connection.read_all() == b"{}"
        pool.release(connection)
        assert pool.take() is None
        peer.peers[0].out.resume_reading()  # or it would not see the end


async def test_an_engine_s_machine_that_vanishes_is_noticed():
    async with pool_of(says(OK)) as (pool, _):
        connection = await pool.connect()
        made = connection._transport.get_extra_info("socket")
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        pool.release(connection)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200", HEAD + b"content-length: 9\r\n\r\nhello"])
async def test_a_call_that_is_cancelled_leaves_no_half_used_connection(reply: bytes):
    async with pool_of(says(reply)) as (pool, peer):
        asking = asyncio.ensure_future(ask(pool))
        await asyncio.sleep(0.05)
        assert peer.num_requests == 1
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        assert pool.take() is None
        await peer.all_lost()


@pytest.mark.parametrize("num_turns", range(12))
async def test_a_call_may_be_cancelled_at_any_moment(num_turns: int):
    """Whatever had been reached by then, the next call gets its own reply, and no connection is left at the end."""
    async with pool_of(says(OK)) as (pool, peer):
        asking = asyncio.ensure_future(ask(pool))
        for _ in range(num_turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        peer.on_request = says(HEAD, b"content-length: 4\r\n\r\nnext")
        assert await ask(pool) == (200, b"next")


async def test_closing_the_pool_ends_what_runs():
    async with pool_of(is_silent) as (pool, peer):
        asking = asyncio.ensure_future(ask(pool))
        await asyncio.sleep(0.05)
        pool.close()
        with pytest.raises(Broken):
            await asking
        with pytest.raises(ApiError) as refused:
            await ask(pool)
        await peer.all_lost()
    assert refused.value.kind is Kind.OVERLOADED


async def test_a_connection_that_is_being_made_when_the_pool_closes_is_not_kept():
    async with pool_of(says(OK)) as (pool, peer):
        asking = asyncio.ensure_future(ask(pool))
        await asyncio.sleep(0)
        pool.close()
        assert await asking == (200, b"{}")
        await peer.all_lost()


async def test_a_connection_holds_nothing_when_it_has_ended():
    async with pool_of(says(OK)) as (pool, _):
        await ask(pool)
        connection = pool.take()
        assert connection
        connection.close()
        await asyncio.sleep(0.01)
        assert not hasattr(connection, "_parser")
        pool.release(connection)
        assert not pool._open


def test_a_connection_that_was_never_made_is_not_good_for_a_request():
    assert not Connection().is_reusable
