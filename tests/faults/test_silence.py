"""An engine that is silent, and clients that do not read."""

import asyncio

import pytest

from antiphon.core.clock import ManualClock
from antiphon.turn.pieces import Piece, Stop
from tests.fixtures import streams
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.wire import RawClient, request_bytes
from tests.fixtures.world import World, ask


async def test_message_start_leaves_before_the_engine_has_computed_anything():
    engine = ScriptedEngine()
    async with World(engine) as world, RawClient(world.url) as client:
        await client.send(request_bytes(ask(model="scripted", stream=True)))
        start = await client.read_until(b"message_start")
    assert b'"input_tokens":10' in start
    assert b"content_block_start" not in start


async def test_a_ping_after_every_ten_seconds_of_silence_also_in_prefill():
    engine, clock = ScriptedEngine(), ManualClock()
    async with World(engine, clock) as world, RawClient(world.url) as client:
        await client.send(request_bytes(ask(model="scripted", stream=True), connection="close"))
        await client.read_until(b"message_start")
        for _ in range(3):
            clock.advance(9.9)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.read()
            clock.advance(0.2)
            await client.read_until(b"event: ping")
        engine.feed([Piece("hi", 1)])
        await client.read_until(b"hi")
        clock.advance(10.1)
        await client.read_until(b"event: ping")
        engine.feed([Piece("", 1, stop=Stop("end"))])
        await client.read_until(b"message_stop")


async def test_the_ping_after_the_first_block_start():
    async with World() as world:
        events = await world.stream(ask("hello"))
    assert [e["type"] for e in events][:4] == ["message_start", "content_block_start", "ping", "content_block_delta"]


async def test_a_busy_stream_is_not_pinged():
    engine, clock = ScriptedEngine(), ManualClock()
    async with World(engine, clock) as world:
        reading = asyncio.ensure_future(world.stream(ask(model="scripted")))
        await engine.started.wait()
        for i in range(8):
            engine.feed([Piece("x", i + 1)])
            await asyncio.sleep(0.02)
            clock.advance(6)
        engine.feed([Piece("", 8, stop=Stop("end"))])
        events = await reading
    assert [e["type"] for e in events].count("ping") == 1
    assert streams.text_of(events) == "x" * 8


async def test_a_reader_that_never_reads_is_cut_and_holds_no_memory():
    """The engine is pulled: while the client's buffers are full nothing more is taken from it."""
    engine, clock = ScriptedEngine(), ManualClock()
    num_pieces, size = 2000, 10_000
    async with World(engine, clock, write_timeout_s=30) as world:
        async with RawClient(world.url, receive_buffer=4096) as client:
            await client.send(request_bytes(ask(model="scripted", stream=True)))
            await engine.started.wait()
            for i in range(num_pieces):
                engine.feed([Piece("x" * size, i + 1)])
            await asyncio.sleep(0.3)
            left = engine._steps.qsize()
            assert left > num_pieces * 0.5, "the engine was read far ahead of the client"
            for _ in range(5):
                clock.advance(10)
                await asyncio.sleep(0.01)
            async with asyncio.timeout(2):
                await engine.closed.wait()
            assert engine._steps.qsize() >= left - 1
