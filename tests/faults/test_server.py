"""What reaches the server before it is a request: too slow, too large, no HTTP; and the end of the server."""

import asyncio
import json
import socket
import time

import pytest

from antiphon.core.clock import ManualClock
from antiphon.telemetry.requests import find_request
from antiphon.turn.pieces import Piece
from tests.fixtures import streams
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.wire import RawClient, head_bytes, request_bytes
from tests.fixtures.world import HEADERS, World, ask

MB = 1024 * 1024


def body_of(reply: bytes) -> dict:
    return json.loads(reply.split(b"\r\n\r\n", 1)[1])


async def test_a_body_that_is_announced_too_large_is_refused_before_it_comes():
    async with World() as world, RawClient(world.url) as client:
        await client.send(head_bytes(33 * MB))
        reply = await client.read_until(b"Request exceeds the maximum size")
    assert b" 413 " in reply
    assert b"request_too_large" in reply


async def test_a_chunked_body_is_refused_when_it_has_grown_too_large():
    async with World() as world, RawClient(world.url) as client:
        head = head_bytes(0).replace(b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n")
        await client.send(head)
        chunk = b"100000\r\n" + b" " * MB + b"\r\n"
        for _ in range(33):
            await client.send(chunk)
        reply = await client.read_until(b"Request exceeds the maximum size")
    assert b" 413 " in reply


async def test_the_rest_of_a_refused_body_is_not_kept():
    """The client may go on sending; the connection stays usable, and nothing of it stays in memory."""
    async with World() as world, RawClient(world.url) as client:
        await client.send(head_bytes(40 * MB))
        await client.read_until(b"Request exceeds")
        for _ in range(40):
            await client.send(b" " * MB)
        await client.send(request_bytes(ask("again")))
        assert b'"text":"again"' in await client.read_until(b'"text":"again"')


@pytest.mark.parametrize("sent", [b"", b"POST /v1/mess", head_bytes(100)[:-2], head_bytes(100)])
async def test_a_request_that_never_becomes_whole_is_cut(sent: bytes):
    """Slow-loris: bytes that keep trickling do not move the deadline."""
    clock = ManualClock()
    async with World(clock=clock, body_timeout_s=60) as world, RawClient(world.url) as client:
        if sent:
            await client.send(sent)
        await asyncio.sleep(0.05)
        clock.advance(9)
        if sent:
            await client.send(b"x")
        await asyncio.sleep(0.05)
        clock.advance(60)
        async with asyncio.timeout(2):
            reply = await client.read_all()
    if b"\r\n\r\n" in sent:
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert body_of(reply)["error"]["details"] == {"error_code": "request_body_timeout"}
    else:
        assert reply == b""


@pytest.mark.parametrize("parts", [1, 2])
async def test_an_upgrade_is_ignored_and_the_body_kept(parts: int):
    """Java's own client asks for h2c in its first request."""
    whole = request_bytes(
        ask("hi"), connection="Upgrade, HTTP2-Settings", upgrade="h2c", **{"http2-settings": "AAEAAEAAAAIAAAABAAMAAABk"}
    )
    end = whole.index(b"\r\n\r\n") + 4
    async with World() as world, RawClient(world.url) as client:
        for part in [whole] if parts == 1 else [whole[:end], whole[end:]]:
            await client.send(part)
            await asyncio.sleep(0.05)
        assert b'"text":"hi"' in await client.read_until(b'"usage"')


async def test_a_second_request_before_the_first_is_answered_is_left_out():
    engine = ScriptedEngine()
    async with World(engine) as world, RawClient(world.url) as client:
        await client.send(request_bytes(ask(model="scripted")) * 2)
        await engine.started.wait()
        engine.say("one")
        async with asyncio.timeout(2):
            answers = await client.read_all()
    assert answers.count(b"HTTP/1.1 200") == 1
    assert engine.num_started == 1


async def test_bytes_that_begin_no_request_do_not_keep_a_connection():
    clock = ManualClock()
    async with World(clock=clock) as world, RawClient(world.url) as client:
        await client.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        await client.read_until(b"ok")
        await client.send(b"\r\n")
        await asyncio.sleep(0.05)
        clock.advance(11)
        async with asyncio.timeout(2):
            assert await client.read_all() == b""


async def test_a_half_sent_body_does_not_hold_up_the_end_of_the_server():
    async with World(drain_s=0.1) as world, RawClient(world.url) as client:
        await client.send(head_bytes(100) + b"{")
        await asyncio.sleep(0.05)
        started_at = time.monotonic()
        world.server.stop()
        async with asyncio.timeout(3):
            reply = await client.read_all()
        assert time.monotonic() - started_at < 2
    assert reply.startswith(b"HTTP/1.1 529 ")
    assert body_of(reply)["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        head_bytes(10).replace(b"content-length: 10", b"content-length: ten"),
        head_bytes(10).replace(b"content-length: 10", b"content-length: 10\r\ncontent-length: 11"),
        head_bytes(10).replace(b"content-length: 10", b"content-length: 10\r\ntransfer-encoding: chunked"),
        b"GET / HTTP/1.1\r\nx: " + b"a" * 70_000,
    ],
)
async def test_what_is_no_http_gets_the_envelope_and_is_closed(sent: bytes):
    async with World() as world, RawClient(world.url) as client:
        await client.send(sent)
        async with asyncio.timeout(2):
            reply = await client.read_all()
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert body_of(reply)["error"]["type"] == "invalid_request_error"
    assert body_of(reply)["request_id"].startswith("req_")


async def test_what_is_no_http_is_found_in_the_log_by_its_id():
    async with World() as world, RawClient(world.url) as client:
        await client.send(b"hello\r\n\r\n")
        reply = await client.read_all()
        line = find_request(world.app.settings.data_dir / "logs", body_of(reply)["request_id"])
    assert line is not None
    assert (line["status"], line["route"]) == (400, "")
    assert line["error"].startswith("invalid_request_error: ")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/nothing", 404, "not_found_error"),
        ("GET", "/v1/messages", 405, "invalid_request_error"),
        ("DELETE", "/v1/models/echo", 405, "invalid_request_error"),
        ("POST", "/", 405, "invalid_request_error"),
        ("PATCH", "/healthz", 405, "invalid_request_error"),
    ],
)
async def test_unknown_paths_and_methods_get_the_envelope(method: str, path: str, status: int, kind: str):
    async with World() as world, world.http.request(method, path, headers=HEADERS) as reply:
        body = await reply.json()
        assert (reply.status, body["type"], body["error"]["type"]) == (status, "error", kind)
        assert body["request_id"] == reply.headers["request-id"]


@pytest.mark.parametrize("path", ["/v1/messages?beta=true", "/v1/v1/messages", "/v1/v1/messages?beta=true"])
async def test_the_paths_that_clients_really_use(path: str):
    async with World() as world:
        status, body = await world.post(path, ask("hi"))
    assert (status, body["content"][0]["text"]) == (200, "hi")


@pytest.mark.parametrize("path", ["/", "/api/hello", "/healthz", "/readyz", "/openapi.json", "/metrics"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_probes_need_no_key(path: str, method: str):
    async with World() as world, world.http.request(method, path) as reply:
        body = await reply.read()
        assert reply.status == 200
        assert bool(body) == (method == "GET")
        for name in ("request-id", "anthropic-organization-id", "anthropic-workspace-id"):
            assert reply.headers[name]


async def test_drain_is_not_ready_and_lets_a_stream_finish():
    engine = ScriptedEngine()
    async with World(engine, drain_s=5) as world, RawClient(world.url) as probe:
        reading = asyncio.ensure_future(world.stream(ask(model="scripted")))
        await engine.started.wait()
        engine.feed([Piece("before", 1)])
        await probe.send(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b" 200 " in await probe.read_until(b'"ready"')
        world.server.stop()
        await asyncio.sleep(0.05)
        await probe.send(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b" 503 " in await probe.read_until(b"not ready")
        status, body = await world.post("/v1/messages", ask(model="scripted"))
        assert (status, body["error"]["type"]) == (529, "overloaded_error")
        engine.say(" after")
        assert streams.text_of(await reading) == "before after"


async def test_at_the_drains_deadline_a_stream_ends_with_an_error_event():
    engine = ScriptedEngine()
    async with World(engine, drain_s=0.1) as world:
        reading = asyncio.ensure_future(world.stream(ask(model="scripted")))
        waiting = asyncio.ensure_future(world.post("/v1/messages", ask(model="scripted")))
        await engine.started.wait()
        engine.feed([Piece("begun", 1)])
        await asyncio.sleep(0.05)
        started_at = time.monotonic()
        world.server.stop()
        events, (status, body) = await reading, await waiting
        assert time.monotonic() - started_at < 2
    assert events[-1]["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    assert (status, body["error"]["type"]) == (529, "overloaded_error")
    assert engine.num_closed == engine.num_started


async def test_nodelay_is_set_on_the_clients_leg():
    async with World() as world, RawClient(world.url) as client:
        await client.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        await client.read_until(b"ok")
        (protocol,) = world.server._uvicorn.server_state.connections
        served = protocol.transport.get_extra_info("socket")
        assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
