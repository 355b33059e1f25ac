"""HTTP to an engine: what is sent, what its answers mean, and when it is asked again. On both loops."""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.errors import ApiError, Kind, OperatorError
from antiphon.engines import connection, http
from antiphon.engines.http import Upstream
from tests.unit.engines.peer import OK, Engine, OnRequest, Peer, engine, hangs_up_after, is_silent, says

PEM = Path(__file__).with_name("localhost.pem")
HEAD = b"HTTP/1.1 200 OK\r\n"
EVENTS = HEAD + b"transfer-encoding: chunked\r\n\r\n"
EVENT = b"9\r\ndata: 1\n\n\r\n"
Call = Callable[[Upstream], Awaitable[Any]]


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def upstream(on_request: OnRequest) -> AsyncGenerator[tuple[Upstream, Engine]]:
    async with engine(on_request) as peer:
        client = Upstream(f"http://127.0.0.1:{peer.port}")
        try:
            yield client, peer
        finally:
            await client.aclose()


async def get(client: Upstream) -> Any:
    return await client.get_json("/x")


async def work(client: Upstream) -> list[bytes]:
    lines: list[bytes] = []
    async with client.stream("/x", {}) as events:
        while part := await events.read():
            lines += part
    return lines


async def wait(client: Upstream) -> Any:
    return await client.post_and_wait("/x", {})


async def kind_of(call: Awaitable[Any]) -> Kind:
    with pytest.raises(ApiError) as failed:
        await asyncio.wait_for(call, 5)
    return failed.value.kind


def status(number: int, *fields: bytes, body: bytes = b"{}") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"HTTP/1.1 %d X\r\n%bcontent-length: %d\r\n\r\n%b" % (number, lines, len(body), body)


calls = pytest.mark.parametrize("call", [get, wait, work])
long_calls = pytest.mark.parametrize("call", [wait, work])


# What is sent.


async def sent(url: str, key: str | None = None) -> list[str]:
    """The lines of a GET of `/x`, where PORT in `url` is the engine's."""
    async with engine(says(OK), "::1" if "[::1]" in url else "127.0.0.1") as peer:
        client = Upstream(url.replace("PORT", str(peer.port)), key)
        await get(client)
        await client.aclose()
        head = peer.peers[0].requests[0].decode()
    assert head.endswith("\r\n\r\n")
    return head.replace(str(peer.port), "PORT").split("\r\n")[:-2]


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("http://127.0.0.1:PORT", "GET /x HTTP/1.1", "127.0.0.1:PORT"),
        ("http://127.0.0.1:PORT/", "GET /x HTTP/1.1", "127.0.0.1:PORT"),
        ("http://LocalHost:PORT/deep/base/", "GET /deep/base/x HTTP/1.1", "localhost:PORT"),
        ("http://127.0.0.1:PORT/a b/ä/%7e%2F?q=1#f", "GET /a%20b/%C3%A4/%7e%2F/x HTTP/1.1", "127.0.0.1:PORT"),
        ("http://127.0.0.1:PORT/a\r\nX-Evil: 1", "GET /aX-Evil:%201/x HTTP/1.1", "127.0.0.1:PORT"),
        ("http://127.0.0.1:PORT/a\x0b\x00\x85", "GET /a%0B%00%C2%85/x HTTP/1.1", "127.0.0.1:PORT"),
        pytest.param(
            "http://[::1]:PORT/",
            "GET /x HTTP/1.1",
            "[::1]:PORT",
            marks=pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6"),
        ),
    ],
)
async def test_the_request_line_and_the_host(url: str, line: str, host: str):
    assert await sent(url) == [line, f"Host: {host}", "Content-Type: application/json"]


@pytest.mark.parametrize(
    ("url", "key", "credentials"),
    [
        ("http://127.0.0.1:PORT", "sk-1", "Bearer sk-1"),
        ("http://m%65:p%40ss%3A@127.0.0.1:PORT", None, f"Basic {b64encode(b'me:p@ss:').decode()}"),
        ("http://me@127.0.0.1:PORT", None, f"Basic {b64encode(b'me:').decode()}"),
        ("http://:p@127.0.0.1:PORT", None, f"Basic {b64encode(b':p').decode()}"),
        ("http://me:a%0D%0Ab@127.0.0.1:PORT", None, f"Basic {b64encode(bytes([*b'me:a', 13, 10, *b'b'])).decode()}"),
    ],
)
async def test_the_credentials(url: str, key: str | None, credentials: str):
    assert (await sent(url, key))[-1] == f"Authorization: {credentials}"


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://127.0.0.1", "sk\r\nx-evil: 1"),
        ("http://127.0.0.1", "sk\n"),
        ("http://127.0.0.1", "sk\x00"),
        ("http://evil\x0bhost", None),
    ],
)
async def test_what_would_not_stay_in_its_line_is_one_sentence(url: str, key: str | None):
    with pytest.raises(OperatorError, match="cannot send") as refused:
        Upstream(url, key)
    assert "sk" not in str(refused.value)


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "ä" * 64])
async def test_a_name_that_no_host_can_have_is_one_sentence(host: str):
    with pytest.raises(OperatorError, match=f"^{host} cannot be the name"):
        Upstream(f"http://{host}:80")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://engine", "engine"),
        ("http://engine:80", "engine"),
        ("https://engine:443", "engine"),
        ("https://engine:80", "engine:80"),
        ("http://bücher.example", "xn--bcher-kva.example"),
    ],
)
async def test_the_host_is_told_with_its_port_unless_that_goes_without_saying(url: str, host: str):
    assert Upstream(url)._head.startswith(f"Host: {host}\r\n".encode())


async def test_a_body_comes_with_its_length():
    async with upstream(says(OK)) as (client, peer):
        assert await client.post_json("/x", {"a": "ä"}) == {}
    assert peer.peers[0].requests[0].endswith(b'\r\nContent-Length: 10\r\n\r\n{"a":"\xc3\xa4"}')


async def test_no_cookie_is_kept_and_no_redirect_followed():
    async with upstream(says(status(302, b"location: /elsewhere", b"set-cookie: a=b"))) as (client, peer):
        assert await client.status_of("/x") == 302
        assert await kind_of(get(client)) is Kind.INTERNAL
        assert await kind_of(work(client)) is Kind.INTERNAL
        requests = b"".join(request for each in peer.peers for request in each.requests).lower()
    assert requests.count(b"http/1.1") == 3
    assert b"cookie" not in requests
    assert b"elsewhere" not in requests


# What the answers mean.


@pytest.mark.parametrize(
    ("number", "of_small", "of_work"),
    [
        (201, Kind.INTERNAL, Kind.INTERNAL),
        (204, Kind.INTERNAL, Kind.INTERNAL),
        (400, Kind.INTERNAL, Kind.INVALID_REQUEST),
        (401, Kind.INTERNAL, Kind.INTERNAL),
        (404, Kind.INTERNAL, Kind.INTERNAL),
        (413, Kind.INTERNAL, Kind.INVALID_REQUEST),
        (422, Kind.INTERNAL, Kind.INVALID_REQUEST),
        (429, Kind.OVERLOADED, Kind.OVERLOADED),
        (500, Kind.INTERNAL, Kind.INTERNAL),
        (503, Kind.OVERLOADED, Kind.OVERLOADED),
        (529, Kind.OVERLOADED, Kind.OVERLOADED),
    ],
)
async def test_what_a_status_means(number: int, of_small: Kind, of_work: Kind):
    async with upstream(says(status(number))) as (client, _):
        assert await kind_of(get(client)) is of_small
        assert await kind_of(client.post_json("/x", {})) is of_small
        assert await kind_of(work(client)) is of_work
        assert await kind_of(wait(client)) is of_work
        if of_small is Kind.OVERLOADED:
            assert await kind_of(client.status_of("/x")) is Kind.OVERLOADED
        else:
            assert await client.status_of("/x") == number


@long_calls
async def test_a_refusal_s_first_64_kilobytes_are_read(call: Call, monkeypatch: pytest.MonkeyPatch):
    read: list[bytes] = []
    monkeypatch.setattr(http, "refusal", lambda content: read.append(content) or ApiError(Kind.INVALID_REQUEST, "no"))
    endless = b"HTTP/1.1 400 X\r\ncontent-length: 9999999\r\n\r\n"
    async with upstream(says(endless, b"x" * 70_000)) as (client, _):
        assert await kind_of(call(client)) is Kind.INVALID_REQUEST
    assert read == [b"x" * 65_536]


@long_calls
@pytest.mark.parametrize("answer", [says, hangs_up_after])
async def test_a_refusal_that_stops_in_the_middle_is_an_internal_error(
    call: Call, answer: Callable[..., OnRequest], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(http, "_SMALL_S", 0.05)
    async with upstream(answer(b"HTTP/1.1 400 X\r\ncontent-length: 9\r\n\r\n{")) as (client, _):
        assert await kind_of(call(client)) is Kind.INTERNAL


@calls
@pytest.mark.parametrize("number", [200, 400, 429])
async def test_a_compressed_answer_is_an_internal_error(call: Call, number: int):
    async with upstream(says(status(number, b"Content-Encoding: gzip"))) as (client, _):
        assert await kind_of(call(client)) is (Kind.OVERLOADED if number == 429 else Kind.INTERNAL)


@pytest.mark.parametrize("hints", [b"", b"HTTP/1.1 103 Early Hints\r\ncontent-encoding: gzip\r\n\r\n"])
@pytest.mark.parametrize("fields", [(), (b"content-encoding: Identity",)])
async def test_an_answer_is_only_compressed_if_it_says_so_itself(hints: bytes, fields: tuple[bytes, ...]):
    async with upstream(says(hints, status(200, *fields))) as (client, _):
        assert await get(client) == {}


@pytest.mark.parametrize("call", [get, wait])
async def test_a_page_instead_of_json_is_an_internal_error(call: Call):
    async with upstream(says(status(200, b"content-type: text/html", body=b"<html>"))) as (client, _):
        assert await kind_of(call(client)) is Kind.INTERNAL


@pytest.mark.parametrize("call", [get, lambda client: client.status_of("/x")])
@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200", HEAD + b"content-length: 9\r\n\r\n{", b"no HTTP\r\n"])
async def test_a_small_request_that_breaks_is_an_engine_that_is_away(call: Call, reply: bytes):
    async with upstream(hangs_up_after(reply)) as (client, _):
        assert await kind_of(call(client)) is Kind.OVERLOADED


@long_calls
@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200", EVENTS, EVENTS + EVENT, EVENTS + EVENT[:7], b"no HTTP\r\n"])
async def test_work_that_breaks_is_an_internal_error(call: Call, reply: bytes):
    async with upstream(hangs_up_after(reply)) as (client, _):
        assert await kind_of(call(client)) is Kind.INTERNAL


@calls
async def test_an_engine_that_cannot_be_reached_is_away(call: Call):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    client = Upstream(f"http://127.0.0.1:{port}")
    assert await kind_of(call(client)) is Kind.OVERLOADED


@calls
async def test_an_upstream_that_was_closed_is_an_engine_that_is_away(call: Call):
    async with upstream(says(OK)) as (client, _):
        await client.aclose()
        assert await kind_of(call(client)) is Kind.OVERLOADED


@pytest.mark.parametrize("reply", [b"", HEAD, EVENTS + EVENT])
async def test_a_small_request_takes_no_longer_than_it_may(reply: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http, "_SMALL_S", 0.05)
    async with upstream(says(reply)) as (client, peer):
        with pytest.raises(ApiError, match="Request timed out") as late:
            await get(client)
        await peer.all_lost()
    assert late.value.kind is Kind.TIMEOUT


@long_calls
async def test_work_takes_as_long_as_it_takes(call: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http, "_SMALL_S", 0.05)

    def answer(peer: Peer) -> None:
        asyncio.get_running_loop().call_later(0.15, peer.out.write, status(200, body=b"7"))

    async with upstream(answer) as (client, _):
        assert await call(client) in (7, [])


# When an engine is asked again.


async def warmed(client: Upstream, peer: Engine, then: OnRequest) -> int:
    """One connection is kept; `then` answers what comes next. How many requests there were."""
    assert await get(client) == {}
    peer.on_request = then
    return peer.num_requests


@calls
async def test_a_kept_connection_that_was_closed_is_no_failure(call: Call):
    def hang_up_once(peer: Peer) -> None:
        engine_of.on_request = says(status(200, body=b"7"))
        peer.out.abort()

    async with upstream(says(OK)) as (client, engine_of):
        await warmed(client, engine_of, hang_up_once)
        assert await call(client) in (7, [])
        assert [len(each.requests) for each in engine_of.peers] == [2, 1]


@calls
async def test_it_is_asked_once_more_and_never_twice(call: Call):
    async with upstream(says(OK)) as (client, peer):
        assert await asyncio.gather(*(get(client) for _ in range(3))) == [{}] * 3
        peer.on_request = hangs_up_after(b"")
        await kind_of(call(client))
        assert peer.num_requests == 3 + 2


@calls
async def test_a_new_connection_that_breaks_is_not_asked_again(call: Call):
    async with upstream(hangs_up_after(b"")) as (client, peer):
        await kind_of(call(client))
        assert peer.num_requests == 1


@calls
async def test_what_broke_after_a_byte_of_its_reply_is_not_asked_again(call: Call):
    async with upstream(says(OK)) as (client, peer):
        num_before = await warmed(client, peer, hangs_up_after(b"H"))
        await kind_of(call(client))
        assert peer.num_requests == num_before + 1


@calls
@pytest.mark.parametrize(("after_s", "num_more"), [(0.05, 2), (0.3, 1)])
async def test_only_what_breaks_at_once_is_asked_again(
    call: Call, monkeypatch: pytest.MonkeyPatch, after_s: float, num_more: int
):
    monkeypatch.setattr(http, "_INSTANT_S", 0.2)
    async with upstream(says(OK)) as (client, peer):
        num_before = await warmed(
            client, peer, lambda peer: asyncio.get_running_loop().call_later(after_s, peer.out.abort)
        )
        await kind_of(call(client))
        assert peer.num_requests == num_before + num_more


# What becomes of a connection.


async def test_small_requests_share_a_connection():
    async with upstream(says(OK)) as (client, peer):
        for _ in range(4):
            assert await client.post_json("/x", {}) == {}
        assert len(peer.peers) == 1


@pytest.mark.parametrize(("tail", "num_peers"), [(b"0\r\n\r\n", 1), (b"", 2)])
async def test_a_stream_that_was_left_keeps_its_connection_only_if_it_was_over(tail: bytes, num_peers: int):
    async with upstream(says(EVENTS, EVENT, tail)) as (client, peer):
        for _ in range(2):
            async with client.stream("/x", {}) as events:
                assert await events.read() == [b"1"]
        assert len(peer.peers) == num_peers


@calls
@pytest.mark.parametrize("reply", [b"", EVENTS, EVENTS + EVENT])
async def test_a_call_that_is_dropped_closes_its_connection_at_once(call: Call, reply: bytes):
    async with upstream(says(reply)) as (client, peer):
        calling = asyncio.ensure_future(call(client))
        await asyncio.sleep(0.05)
        assert peer.num_requests == 1
        calling.cancel()
        await asyncio.wait_for(peer.peers[0].lost.wait(), 0.1)
        await asyncio.wait([calling])
        assert calling.cancelled()
        peer.on_request = says(OK)
        assert await get(client) == {}


# TLS.


def server_side() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


@asynccontextmanager
async def secure_upstream(host: str) -> AsyncGenerator[tuple[Upstream, Engine]]:
    async with engine(says(OK), tls=server_side()) as peer:
        client = Upstream(f"https://{host}:{peer.port}")
        try:
            yield client, peer
        finally:
            await client.aclose()


async def test_https_with_a_certificate_that_is_trusted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    async with secure_upstream("localhost") as (client, peer):
        assert [await get(client) for _ in range(3)] == [{}] * 3
        assert len(peer.peers) == 1
        peer.on_request = says(HEAD, b"content-length: 2000000\r\n\r\n", b'"' + b"x" * 1_999_998 + b'"')
        assert len(await get(client)) == 1_999_998
        peer.on_request = is_silent
        calling = asyncio.ensure_future(work(client))
        await asyncio.sleep(0.05)
        calling.cancel()
        await asyncio.wait_for(peer.peers[0].lost.wait(), 0.2)


@pytest.mark.parametrize("is_known", [True, False])
async def test_https_with_a_certificate_of_another_or_of_nobody(is_known: bool, monkeypatch: pytest.MonkeyPatch):
    if is_known:
        monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    async with secure_upstream("127.0.0.1" if is_known else "localhost") as (client, peer):
        assert await kind_of(get(client)) is Kind.OVERLOADED
        assert peer.num_requests == 0


@calls
async def test_a_connection_that_is_not_made_in_time_is_an_engine_that_is_away(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    """A server that takes the connection and never shakes hands."""
    monkeypatch.setattr(connection, "_CONNECT_TIMEOUT_S", 0.05)
    async with engine(is_silent) as peer:
        client = Upstream(f"https://127.0.0.1:{peer.port}")
        assert await kind_of(call(client)) is Kind.OVERLOADED
        await client.aclose()


async def test_a_call_that_is_dropped_while_it_connects_leaves_nothing_open():
    async with engine(is_silent) as peer:
        client = Upstream(f"https://127.0.0.1:{peer.port}")
        calling = asyncio.ensure_future(get(client))
        await asyncio.sleep(0.05)
        assert len(peer.peers) == 1
        calling.cancel()
        await asyncio.wait([calling])
        await peer.all_lost()


# The lines of a stream.


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
async def test_the_lines_of_a_stream_may_be_cut_anywhere(size: int):
    whole = b": hello\n\ndata: 1\r\n\r\nevent: x\ndata:2\n\ndata:  3 \n\nid: 7\ndata: 4"
    parts = [whole[i : i + size] for i in range(0, len(whole), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    async with upstream(says(EVENTS, chunks, b"0\r\n\r\n")) as (client, _):
        assert await work(client) == [b"1", b"2", b"3", b"4"]


async def test_what_has_come_before_a_break_is_read_before_it():
    async with upstream(hangs_up_after(EVENTS, EVENT, EVENT)) as (client, _), client.stream("/x", {}) as events:
        await asyncio.sleep(0.05)
        assert await events.read() == [b"1", b"1"]
        assert await kind_of(events.read()) is Kind.INTERNAL
