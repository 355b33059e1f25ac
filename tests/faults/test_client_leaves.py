"""The client leaves: the engine's work is dropped at once, whatever the call was doing."""

import asyncio
import time

import pytest

from antiphon.turn.pieces import Piece
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.wire import RawClient, request_bytes
from tests.fixtures.world import World, ask

BOUND_S = 0.1
_NUM_SAMPLES = 20


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("when", ["prefill", "mid-stream", "not streaming"])
async def test_a_client_that_leaves_ends_the_engines_work_within_100_ms(how: str, when: str):
    engine = ScriptedEngine()
    times: list[float] = []
    async with World(engine) as world:
        for _ in range(_NUM_SAMPLES):
            times.append(await _leave(world, engine, how, when))
        assert world.app.catalog.models[0].pool.num_free == 4
    assert engine.num_started == engine.num_closed == _NUM_SAMPLES
    # the promise is a percentile: one sample may meet a machine that is busy with something else
    assert sorted(times)[-2] < BOUND_S, sorted(times)


async def _leave(world: World, engine: ScriptedEngine, how: str, when: str) -> float:
    engine.started.clear()
    engine.closed.clear()
    async with RawClient(world.url) as client:
        await client.send(request_bytes(ask(model="scripted", stream=when != "not streaming")))
        await engine.started.wait()
        if when == "mid-stream":
            engine.feed([Piece("hello", 1)])
            await client.read_until(b"hello")
        client.leave(how=how)
        left_at = time.monotonic()
        await asyncio.wait_for(engine.closed.wait(), 5)
        return time.monotonic() - left_at


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("size", [100_000, 2_000_000])
async def test_a_client_with_a_large_body_is_heard_leaving_too(how: str, size: int):
    """A large body makes the server stop reading for a while: it must read again, or it would not see the end."""
    engine = ScriptedEngine()
    async with World(engine) as world, RawClient(world.url) as client:
        await client.send(request_bytes(ask("x" * size, model="scripted", stream=True)))
        await engine.started.wait()
        client.leave(how=how)
        async with asyncio.timeout(2):
            await engine.closed.wait()


async def test_a_client_that_leaves_the_queue_frees_its_place():
    engine = ScriptedEngine(num_slots=1)
    async with World(engine) as world:
        pool = world.app.catalog.models[0].pool
        async with RawClient(world.url) as running, RawClient(world.url) as waiting:
            await running.send(request_bytes(ask(model="scripted")))
            await engine.started.wait()
            await waiting.send(request_bytes(ask(model="scripted")))
            await _until(lambda: pool.num_waiting == 1)
            waiting.leave(how="FIN")
            await _until(lambda: pool.num_waiting == 0)
            assert engine.num_started == 1


async def test_a_client_that_leaves_is_logged_as_499():
    engine = ScriptedEngine()
    async with World(engine) as world:
        await _leave(world, engine, "FIN", "not streaming")
        log = world.app.settings.data_dir / "logs" / "requests.jsonl"
        await _until(lambda: b'"status":499' in log.read_bytes())


async def _until(claim) -> None:
    async with asyncio.timeout(5):
        while not claim():
            await asyncio.sleep(0.005)
