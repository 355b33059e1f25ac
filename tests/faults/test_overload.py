"""A full queue and a long wait are refused with 529; the next in line is served fairly."""

import asyncio

import pytest

from antiphon.core.clock import ManualClock
from antiphon.core.errors import ApiError
from antiphon.engines.pool import Pool
from antiphon.settings import Settings
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.world import HEADERS, World, ask


async def test_a_full_queue_is_529_with_retry_after():
    engine = ScriptedEngine(num_slots=1)
    async with World(engine, max_waiting=0) as world:
        first = asyncio.ensure_future(world.post("/v1/messages", ask(model="scripted")))
        await engine.started.wait()
        async with world.http.post("/v1/messages", headers=HEADERS, json=ask(model="scripted")) as reply:
            body = await reply.json()
            assert (reply.status, body["error"]["type"], body["error"]["message"]) == (
                529,
                "overloaded_error",
                "Overloaded",
            )
            assert int(reply.headers["retry-after"]) >= 1
        engine.say("done")
        assert (await first)[0] == 200


async def test_a_wait_longer_than_the_setting_is_529_before_any_event():
    engine = ScriptedEngine(num_slots=1)
    async with World(engine, max_wait_s=0.05) as world:
        first = asyncio.ensure_future(world.post("/v1/messages", ask(model="scripted")))
        await engine.started.wait()
        status, body = await world.post("/v1/messages", ask(model="scripted", stream=True))
        assert (status, body["error"]["type"]) == (529, "overloaded_error")
        engine.say("done")
        assert (await first)[0] == 200


async def _hold(pool: Pool, workspace: str, order: list[str], go: asyncio.Event) -> None:
    await pool.acquire(workspace)
    try:
        order.append(workspace)
        await go.wait()
    finally:
        pool.release()


async def test_workspaces_take_turns():
    pool, order, go = Pool(1, 10, 5.0, ManualClock()), [], asyncio.Event()
    tasks = [asyncio.ensure_future(_hold(pool, name, order, go)) for name in ["a", "a", "a", "a", "b", "c"]]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*tasks)
    assert order == ["a", "a", "b", "c", "a", "a"]
    assert (pool.num_free, pool.num_waiting) == (1, 0)


async def test_a_waiter_that_is_cancelled_in_the_moment_of_its_grant_gives_the_slot_on():
    pool, order, go = Pool(1, 10, 5.0, ManualClock()), [], asyncio.Event()
    release = asyncio.Event()
    first = asyncio.ensure_future(_hold(pool, "a", order, release))
    await asyncio.sleep(0)
    second, third = (asyncio.ensure_future(_hold(pool, name, order, go)) for name in "bc")
    await asyncio.sleep(0)
    release.set()
    await asyncio.sleep(0)
    assert not second.done()
    second.cancel()
    go.set()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert order == ["a", "c"]
    assert (pool.num_free, pool.num_waiting) == (1, 0)


async def test_a_call_waits_for_most_of_a_minute_and_less_than_proxies_do():
    clock = ManualClock()
    pool = Pool(1, 10, Settings.model_fields["max_wait_s"].default, clock)
    await pool.acquire("a")
    waiting = asyncio.ensure_future(_hold(pool, "b", [], asyncio.Event()))
    await asyncio.sleep(0)
    clock.advance(45)
    await asyncio.sleep(0)
    assert not waiting.done()
    clock.advance(14)
    with pytest.raises(ApiError):
        await waiting


@pytest.mark.parametrize(("max_wait_s", "come_back"), [(5.0, "5"), (2.0, "2"), (50.0, "5")])
async def test_the_wait_is_bounded(max_wait_s: float, come_back: str):
    clock = ManualClock()
    pool = Pool(1, 10, max_wait_s, clock)
    await pool.acquire("a")
    waiting = asyncio.ensure_future(_hold(pool, "b", [], asyncio.Event()))
    await asyncio.sleep(0)
    clock.advance(max_wait_s - 0.1)
    await asyncio.sleep(0)
    assert not waiting.done()
    clock.advance(0.2)
    with pytest.raises(ApiError) as refused:
        await waiting
    pool.release()
    assert refused.value.kind.status == 529
    assert refused.value.headers["retry-after"] == come_back
    assert (pool.num_free, pool.num_waiting) == (1, 0)
