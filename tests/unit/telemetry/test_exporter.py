"""The metrics on a port of their own."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest

from antiphon.core.clock import ManualClock, SystemClock
from antiphon.core.errors import OperatorError
from antiphon.telemetry.exporter import Exporter, export
from antiphon.telemetry.metrics import Metrics


@pytest.fixture
async def exporter() -> AsyncGenerator[Exporter, None]:
    exporter = await export(Metrics(), "127.0.0.1", 0, SystemClock())
    yield exporter
    exporter.close()


async def ask(exporter: Exporter, *parts: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", exporter.port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


@pytest.mark.parametrize("path", [b"/metrics", b"/metrics?name=x"])
async def test_it_answers_with_the_metrics(exporter: Exporter, path: bytes):
    head, _, body = (await ask(exporter, b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: %d\r\n" % len(body) in head
    assert b"antiphon_build_info{" in body


async def test_a_head_has_no_body(exporter: Exporter):
    head, _, body = (await ask(exporter, b"HEAD /metrics HTTP/1.1\r\n\r\n")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b""


async def test_a_request_may_come_in_pieces(exporter: Exporter):
    assert (await ask(exporter, b"GET /met", b"rics HTTP/1.1\r\nhost: x\r\n", b"\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /v1/models HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"\x16\x03\x01 nonsense\r\n\r\n", b"405"),
    ],
)
async def test_it_answers_nothing_else(exporter: Exporter, request_: bytes, status: bytes):
    answer = await ask(exporter, request_)
    assert answer.split(b" ")[1] == status
    assert b"antiphon_" not in answer


async def test_a_head_without_end_is_cut(exporter: Exporter):
    answer = b""
    with suppress(ConnectionError):  # how the cut looks depends on what was read before it
        answer = await ask(exporter, b"GET /metrics HTTP/1.1\r\n" + b"x: y\r\n" * 2000, b"\r\n")
    assert answer == b""


async def test_a_request_that_does_not_come_is_cut_after_ten_seconds():
    clock = ManualClock()
    exporter = await export(Metrics(), "127.0.0.1", 0, clock)
    reader, writer = await asyncio.open_connection("127.0.0.1", exporter.port)
    writer.write(b"GET /metrics")
    await asyncio.sleep(0.02)
    clock.advance(9.9)
    await asyncio.sleep(0.02)
    assert not reader.at_eof()
    clock.advance(0.2)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    exporter.close()


async def test_a_port_that_is_taken_is_the_operators_mistake():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OperatorError, match=rf"Cannot listen on 127.0.0.1:{port} for metrics .*metrics_port"):
            await export(Metrics(), "127.0.0.1", port, SystemClock())


async def test_after_its_end_nobody_answers():
    exporter = await export(Metrics(), "127.0.0.1", 0, SystemClock())
    port = exporter.port
    exporter.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
